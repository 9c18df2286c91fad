//! `POST /v1/write/:category`: points in.
//!
//! In two steps, so that the shard can choose the open block in between: [`plan`] reads the head, [`decode`] the body.
//! A big body is taken in slices by a [`Decoder`] instead, so that other connections get their turn.
//!
//! The order of checks is the recorded one: category, empty body, decompression, all lines, no points, strict, echo.
//! A body is taken whole or not at all.

use std::borrow::Cow;

use crate::buf::Padded;
use crate::codec::content_encoding::{DecodeError, GzipDecoder};
use crate::codec::line_protocol::{self, Tape};
use crate::http1::{Head, query};
use crate::point::encode::{Encoder, Rules};
use crate::point::{Batch, Category, Compat, GlobalTags, Precision, Route, echo, rules};

use super::super::reply::{ContentType, Cors, Reply};
use super::super::settings::{Ack, Settings, ack_from_name};
use super::error::ApiError;
use super::token::{self, Sender};

mod sliced;

pub use sliced::{BATCH_BYTES, Decoder, STEP_BYTES, Step};

/// A parameter that is only passed on (input, source, version, storage index) may be this long; the rest is cut.
/// Labels and header values beyond a few hundred bytes help nobody, and a route is stored with every block.
const LABEL_BYTES_MAX: usize = 256;

/// Points are sent back for bodies up to this size: an echo is for people who look at it, and is made in one go.
const ECHO_BODY_BYTES_MAX: usize = 1024 * 1024;

/// How the body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentEncoding {
    Identity,
    Gzip,
    /// Named, and nothing we decode.
    Unknown,
}

/// What the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    LineProtocol,
    /// Simple JSON or PB-JSON, element by element.
    Json,
    Protobuf,
}

/// In which form the points are sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    LineProtocol,
    Json,
    PbJson,
}

/// Which global tags the points get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagSet {
    #[default]
    Host,
    Election,
    None,
}

/// What the head of a write asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WritePlan {
    pub category: Category,
    pub route: Route,
    pub precision: Precision,
    pub encoding: ContentEncoding,
    pub format: BodyFormat,
    pub echo: Option<Echo>,
    /// Check and echo, but do not take the points.
    pub dry: bool,
    /// Any warning refuses the body.
    pub strict: bool,
    pub tags: TagSet,
    /// A label for monitoring; absent: the category.
    pub input: Option<Box<str>>,
    /// Chooses a script (section Pipeline of the API).
    pub source: Option<Box<str>>,
    /// The collector's version: a label.
    pub version: Option<Box<str>>,
    /// When the answer may be given.
    pub ack: Ack,
    pub cors: Cors,
}

/// Reads the head. `path` and `category` are decoded; the reply is boxed because it is the rare case.
pub fn plan(
    head: &Head<'_>,
    path: &[u8],
    category: &[u8],
    cors: Cors,
    settings: &Settings,
) -> Result<WritePlan, Box<Reply>> {
    let compat = settings.options.compat;
    let Some(category) = category_of(category, compat) else {
        return Err(Box::new(ApiError::invalid_category(path).reply().with_cors(&cors)));
    };
    let params = Params::read(head.query);
    let ack = match params.ack.as_deref() {
        None => settings.options.ack,
        Some(name) => match ack_from_name(name) {
            Some(ack) => ack,
            None => {
                let message = format!("unknown ack {name:?}: memory, disk or upstream");
                return Err(Box::new(ApiError::bad_request(message).reply().with_cors(&cors)));
            }
        },
    };
    let sender = if category == Category::Rum { Sender::Browser } else { Sender::Agent };
    let token = token::of_write(head.query, sender, settings)
        .map_err(|error| Box::new(error.reply().with_cors(&cors)))?;
    // `storage_index` means something for logging only; elsewhere it is ignored.
    let storage_index = params.storage_index.filter(|_| category == Category::Logging);
    Ok(WritePlan {
        category,
        route: Route { storage_index: storage_index.as_deref().map(label), token },
        precision: Precision::from_param(params.precision.as_deref().unwrap_or("")),
        encoding: content_encoding(head, params.encoding.as_deref()),
        format: body_format(head),
        echo: params.echo,
        dry: params.dry,
        strict: params.strict,
        tags: params.tags,
        input: params.input.as_deref().map(label),
        source: params.source.as_deref().map(label),
        version: params.version.as_deref().map(label),
        ack,
        cors,
    })
}

/// The categories of the URL. Profiling is documented, and refused by the recorded server.
fn category_of(name: &[u8], compat: Compat) -> Option<Category> {
    let category = Category::from_name(std::str::from_utf8(name).ok()?)?;
    let refused = category == Category::Profiling && compat == Compat::Datakit184;
    (!refused).then_some(category)
}

/// `Content-Type` decides: `application/json` anywhere in it, or one of two exact values; everything else, absent
/// included, is line protocol.
fn body_format(head: &Head<'_>) -> BodyFormat {
    let Some(value) = head.header("content-type") else { return BodyFormat::LineProtocol };
    if memchr::memmem::find(value, b"application/json").is_some()
        || value == b"application/pbjson; proto=com.guance.Point"
    {
        return BodyFormat::Json;
    }
    match value {
        b"application/protobuf; proto=com.guance.Point" => BodyFormat::Protobuf,
        _ => BodyFormat::LineProtocol,
    }
}

/// The parameter, and where it is absent or empty the header. Case matters.
fn content_encoding(head: &Head<'_>, param: Option<&str>) -> ContentEncoding {
    let value = match param {
        Some(value) => value.as_bytes(),
        None => head.header("content-encoding").unwrap_or(b""),
    };
    match value {
        b"" => ContentEncoding::Identity,
        b"gzip" => ContentEncoding::Gzip,
        _ => ContentEncoding::Unknown,
    }
}

fn label(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(LABEL_BYTES_MAX)].into()
}

/// The query parameters. Of one that comes twice the first counts. A switch is on with any value but the empty one,
/// also `false` and `0`. What nobody knows is ignored, and so is `loose`: there is no other mode beside strict.
#[derive(Default)]
struct Params<'a> {
    precision: Option<Cow<'a, str>>,
    encoding: Option<Cow<'a, str>>,
    input: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    version: Option<Cow<'a, str>>,
    storage_index: Option<Cow<'a, str>>,
    ack: Option<Cow<'a, str>>,
    echo: Option<Echo>,
    dry: bool,
    strict: bool,
    tags: TagSet,
}

/// The parameters, in the order of the bits that say which have been seen.
const PARAM_NAMES: [&str; 15] = [
    "precision",
    "encoding",
    "echo",
    "echo_line_proto",
    "echo_json",
    "dry",
    "strict",
    "global_election_tags",
    "ignore_global_host_tags",
    "ignore_global_tags",
    "input",
    "source",
    "version",
    "storage_index",
    "ack",
];

impl<'a> Params<'a> {
    fn read(query: &'a str) -> Params<'a> {
        if query.is_empty() {
            return Params::default();
        }
        let mut values: [Option<Cow<'a, str>>; PARAM_NAMES.len()] = Default::default();
        for pair in query::pairs(query) {
            let index = PARAM_NAMES.iter().position(|name| name.as_bytes() == &*pair.key);
            if let Some(slot) = index.and_then(|index| values.get_mut(index))
                && slot.is_none()
            {
                *slot = Some(pair.text());
            }
        }
        // From here on an empty value is an absent one.
        let [
            precision,
            encoding,
            echo,
            echo_line_proto,
            echo_json,
            dry,
            strict,
            election,
            ignore_host,
            ignore,
            input,
            source,
            version,
            storage_index,
            ack,
        ] = values.map(|value| value.filter(|value| !value.is_empty()));
        let echo = match echo.as_deref() {
            Some("lp") => Some(Echo::LineProtocol),
            Some("json") => Some(Echo::Json),
            Some("pbjson") => Some(Echo::PbJson),
            Some(_) => None,
            None if echo_line_proto.is_some() => Some(Echo::LineProtocol),
            None if echo_json.is_some() => Some(Echo::Json),
            None => None,
        };
        let tags = if election.is_some() {
            TagSet::Election
        } else if ignore_host.is_some() || ignore.is_some() {
            TagSet::None
        } else {
            TagSet::Host
        };
        Params {
            precision,
            encoding,
            input,
            source,
            version,
            storage_index,
            ack,
            echo,
            dry: dry.is_some(),
            strict: strict.is_some(),
            tags,
        }
    }
}

/// Memory that decoding reuses from one body to the next. One a shard.
#[derive(Debug, Default)]
pub struct Scratch {
    tape: Tape,
    encoder: Encoder,
    /// The decompressed body.
    body: Vec<u8>,
    gzip: GzipDecoder,
    /// Points as they are echoed: without what is added when points are fed.
    echo: Batch,
}

/// What became of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// How many points the body held; in the batch unless the request was dry.
    pub points: u32,
    /// The points as they were understood, if that was asked for.
    pub echo: Option<Vec<u8>>,
}

impl WritePlan {
    /// The answer to a write that went well. The shard gives it when `self.ack` allows.
    pub fn reply(&self, written: Written) -> Reply {
        Reply {
            nosniff: true,
            content_type: ContentType::Empty,
            cors: self.cors.clone(),
            ack: (!self.dry).then_some(self.ack),
            body: written.echo.unwrap_or_default(),
            ..Reply::empty(200)
        }
    }

    fn refuse(&self, error: &ApiError) -> Box<Reply> {
        Box::new(error.reply().with_cors(&self.cors))
    }

    /// The rules of one pass over the points: `feed` for those that are taken, else for those that are looked at.
    fn rules<'a>(&self, settings: &'a Settings, now_ns: i64, feed: bool) -> Rules<'a> {
        let options = &settings.options;
        let global_tags: Option<&GlobalTags> = match self.tags {
            TagSet::Host => Some(&options.host_tags),
            TagSet::Election => Some(&options.election_tags),
            TagSet::None => None,
        };
        Rules {
            category: rules(self.category, options.compat),
            precision: self.precision,
            now_ns,
            added_tags: global_tags.filter(|_| feed),
            time_correction: feed && options.time_correction,
        }
    }
}

/// Decodes a whole body into `batch`. After an error, and after a dry run, the batch is as it was.
pub fn decode(
    plan: &WritePlan,
    body: Padded<'_>,
    now_ns: i64,
    settings: &Settings,
    scratch: &mut Scratch,
    batch: &mut Batch,
) -> Result<Written, Box<Reply>> {
    if body.is_empty() {
        return Err(plan.refuse(&ApiError::EMPTY_BODY));
    }
    let Scratch { tape, encoder, body: decoded, gzip, echo } = scratch;
    let body = match plan.encoding {
        ContentEncoding::Identity => body,
        ContentEncoding::Gzip => {
            decoded.clear();
            gzip.reset();
            gzip.decode_all(&body, decoded, settings.options.body_bytes_max)
                .map_err(|error| plan.refuse(&decode_error(error, settings)))?;
            Padded::pad(decoded)
        }
        ContentEncoding::Unknown => return Err(plan.refuse(&ApiError::DECODE_BODY_FAILED)),
    };
    check_body(plan, &body)?;
    line_protocol::parse(body, tape)
        .map_err(|failure| plan.refuse(&ApiError::invalid_line_point(failure.message)))?;
    check_lost(plan, tape.points.len(), tape.lost_points, tape.lost_values)?;
    let mut written = Written { points: tape.points.len() as u32, echo: None };
    // Strict and echo see the points before global tags and the correction of times: that is a pass of its own.
    if plan.strict || plan.echo.is_some() {
        echo.clear();
        let warn = encoder.encode(body, tape, &plan.rules(settings, now_ns, false), echo);
        if let Some(warn) = warn.filter(|_| plan.strict) {
            return Err(plan.refuse(&ApiError::point_got_warning(warn.text())));
        }
        written.echo = plan.echo.map(|format| write_echo(format, &echo.bytes, settings));
    }
    if !plan.dry {
        encoder.encode(body, tape, &plan.rules(settings, now_ns, true), batch);
    }
    Ok(written)
}

/// What can be said about a decompressed body before it is parsed.
fn check_body(plan: &WritePlan, body: &[u8]) -> Result<(), Box<Reply>> {
    if body.len() > line_protocol::BODY_BYTES_MAX {
        return Err(plan.refuse(&ApiError::body_too_large(line_protocol::BODY_BYTES_MAX)));
    }
    if plan.echo.is_some() && body.len() > ECHO_BODY_BYTES_MAX {
        let mut error = ApiError::body_too_large(ECHO_BODY_BYTES_MAX);
        error.message.push_str(", too large for an echo");
        return Err(plan.refuse(&error));
    }
    check_format(plan, body)
}

/// The body formats that are not read yet, and the one body that has nothing in it.
fn check_format(plan: &WritePlan, body: &[u8]) -> Result<(), Box<Reply>> {
    let error = match plan.format {
        BodyFormat::LineProtocol if body.is_empty() => ApiError::invalid_line_point("empty data".to_owned()),
        BodyFormat::LineProtocol => return Ok(()),
        BodyFormat::Json => {
            ApiError::invalid_json_point("JSON bodies are not taken yet, send line protocol".to_owned())
        }
        BodyFormat::Protobuf => ApiError::invalid_protobuf_point(
            "protobuf bodies are not taken yet, send line protocol".to_owned(),
        ),
    };
    Err(plan.refuse(&error))
}

/// What the parser left out. DataKit drops a point whose value cannot be decoded and says nothing as long as another
/// point is left; here the body is refused. A value that is only not what was written refuses a strict request.
fn check_lost(plan: &WritePlan, points: usize, lost_points: u32, lost_values: u32) -> Result<(), Box<Reply>> {
    if points == 0 {
        return Err(plan.refuse(&ApiError::NO_POINTS));
    }
    if lost_points > 0 {
        let message = format!(
            "{lost_points} points have a value that cannot be decoded: base64 that is none, an array of mixed kinds, \
             or bytes behind a closing quote"
        );
        return Err(plan.refuse(&ApiError::invalid_line_point(message)));
    }
    if lost_values > 0 && plan.strict {
        let message =
            format!("{lost_values} values are not what was written: an array that is empty or mixed");
        return Err(plan.refuse(&ApiError::invalid_line_point(message)));
    }
    Ok(())
}

fn decode_error(error: DecodeError, settings: &Settings) -> ApiError {
    match error {
        DecodeError::Malformed => ApiError::DECODE_BODY_FAILED,
        DecodeError::TooLarge => ApiError::body_too_large(settings.options.body_bytes_max),
    }
}

fn write_echo(format: Echo, points: &[u8], settings: &Settings) -> Vec<u8> {
    let mut out = Vec::with_capacity(points.len() * 2);
    let result = match format {
        Echo::LineProtocol => echo::line_protocol(points, &mut out).map_err(echo::EchoError::from),
        Echo::Json => echo::json(points, &mut out),
        Echo::PbJson => {
            let style = echo::PbJsonStyle {
                empty_warns_after_warned: settings.options.compat == Compat::Datakit184,
                omit_empty_fields: false,
            };
            echo::pbjson(points, style, &mut out)
        }
    };
    if let Err(error) = result {
        // Recorded: status 200, and the encoder's error in place of the points.
        out = error.to_string().into_bytes();
    }
    out
}

#[cfg(test)]
mod tests;
