//! `POST /v1/write/:category`: points in.
//!
//! In two steps, so that the shard can choose the open block in between: [`plan`] reads the head, [`decode`] the body.
//! A big body is taken in slices by a [`Decoder`] instead, so that other connections get their turn. Both stand on one
//! `reader`, which knows the body formats.
//!
//! The order of checks is the recorded one: category, empty body, decompression, all points, no points, strict, echo.
//! A body is taken whole or not at all.

use std::sync::Arc;

use crate::codec::content_encoding::Encoding;
use crate::http1::Head;
use crate::pipeline::hook::Created;
use crate::point::{Category, Compat, GlobalTags, Precision, Route};

use super::super::reply::{ContentType, Cors, Reply};
use super::super::request::Peer;
use super::super::settings::{Ack, Settings, ack_from_name};
use super::error::ApiError;
use super::logstreaming::{self, Stream};
use super::rum;
use super::rum::sources::Answers;
use super::token::{self, Sender};

mod decode;
mod params;
mod reader;
mod sliced;

pub use decode::{Decoded, decode, explain};
pub use reader::{Scratch, Stop};
pub use sliced::{BATCH_BYTES, Decoder, STEP_BYTES, Step};

use params::Params;

/// A parameter that is only passed on (input, source, version, storage index) may be this long; the rest is cut.
/// Labels and header values beyond a few hundred bytes help nobody, and a route is stored with every block.
const LABEL_BYTES_MAX: usize = 256;

/// How the body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentEncoding {
    Identity,
    Coded(Encoding),
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
    /// A log line a point: see [`super::logstreaming`].
    Text,
    /// Log records in JSON: the same.
    Firelens,
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
#[derive(Clone, Debug)]
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
    /// Tags that belong to this request alone. They show in an echo, and come before global ones of the same key.
    pub own_tags: GlobalTags,
    /// A label for monitoring; absent: the category.
    pub input: Option<Box<str>>,
    /// Chooses a script (section Pipeline of the API).
    pub source: Option<Box<str>>,
    /// The collector's version: a label.
    pub version: Option<Box<str>>,
    /// When the answer may be given.
    pub ack: Ack,
    pub cors: Cors,
    /// A write of [`super::logstreaming`], which is answered in its own way.
    pub stream: Option<Box<Stream>>,
    /// What was found for its errors, once that was asked for ([`Decoded::Unresolved`]).
    pub answers: Option<Arc<Answers>>,
}

/// Reads the head. `path` and `category` are decoded; the reply is boxed because it is the rare case.
pub fn plan(
    head: &Head<'_>,
    path: &[u8],
    category: &[u8],
    cors: Cors,
    peer: &Peer,
    settings: &Settings,
) -> Result<WritePlan, Box<Reply>> {
    let compat = settings.options.compat;
    let Some(category) = category_of(category, compat) else {
        return Err(Box::new(ApiError::invalid_category(path).reply().with_cors(&cors)));
    };
    let mut plan = plan_of(head, category, cors, settings)?;
    if category == Category::Rum {
        plan.own_tags = rum::own_tags(head, peer, plan.format, settings);
    }
    Ok(plan)
}

/// As [`plan`], once the category is known.
pub(super) fn plan_of(
    head: &Head<'_>,
    category: Category,
    cors: Cors,
    settings: &Settings,
) -> Result<WritePlan, Box<Reply>> {
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
        route: Route { storage_index: storage_index.as_deref().map(label), token, ..Route::default() },
        precision: Precision::from_param(params.precision.as_deref().unwrap_or("")),
        encoding: content_encoding(head, params.encoding.as_deref()),
        format: body_format(head),
        echo: params.echo,
        dry: params.dry,
        strict: params.strict,
        tags: params.tags,
        own_tags: GlobalTags::default(),
        input: params.input.as_deref().map(label),
        source: params.source.as_deref().map(label),
        version: params.version.as_deref().map(label),
        ack,
        cors,
        stream: None,
        answers: None,
    })
}

/// The categories of the URL. Profiling is documented, and refused by the recorded server.
fn category_of(name: &[u8], compat: Compat) -> Option<Category> {
    let category = Category::from_name(std::str::from_utf8(name).ok()?)?;
    let refused = category == Category::Profiling && compat == Compat::Datakit184;
    (category.has_points() && !refused).then_some(category)
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
    match std::str::from_utf8(value) {
        Ok("") => ContentEncoding::Identity,
        Ok(name) => Encoding::from_name(name).map_or(ContentEncoding::Unknown, ContentEncoding::Coded),
        Err(_) => ContentEncoding::Unknown,
    }
}

pub(super) fn label(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(LABEL_BYTES_MAX)].into()
}

/// What became of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// How many points of the body are in the batch; of a dry request: would be.
    pub points: u32,
    /// How many more it held, which filters have dropped. Of a dry request they are asked of none.
    pub filtered: u32,
    /// And how many scripts have dropped.
    pub dropped: u32,
    /// The points as they were understood, if that was asked for.
    pub echo: Option<Vec<u8>>,
    /// How many points scripts have run over.
    pub scripted: u64,
    /// Points that scripts have made.
    pub created: Created,
}

impl WritePlan {
    /// The answer to a write that went well. The shard gives it when `self.ack` allows.
    pub fn reply(&self, written: Written) -> Reply {
        if self.stream.is_some() {
            return logstreaming::reply(self);
        }
        let reply = Reply {
            nosniff: true,
            content_type: ContentType::Empty,
            cors: self.cors.clone(),
            ack: (!self.dry).then_some(self.ack),
            body: written.echo.unwrap_or_default(),
            ..Reply::empty(200)
        };
        if self.category == Category::Rum { rum::answered(reply) } else { reply }
    }

    /// The answer to a write that is refused.
    pub fn refuse(&self, error: &ApiError) -> Reply {
        if self.stream.is_some() {
            return logstreaming::refuse(self, error);
        }
        let reply = if self.category == Category::Rum { rum::refused(error) } else { error.reply() };
        reply.with_cors(&self.cors)
    }
}

#[cfg(test)]
mod tests;
