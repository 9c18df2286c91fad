//! Profiles: of Datadog's profilers, and of Pyroscope's agents old and new.
//!
//! Compatible with the profiling intake of the Datadog agent as DataKit 1.84.1 takes it, with Pyroscope's `/ingest` as
//! DataKit takes it, and with the push API of Pyroscope 1.x (`push/v1/push.proto`, Connect).
//!
//! | path | what comes | answer |
//! |---|---|---|
//! | POST `/profiling/v1/input` | a multipart form: files, and `event.json` that describes them | 200 without a body; 400 in words |
//! | POST `/ingest` | one profile, or a form with it; what it is stands in the query | the same |
//! | POST `/push.v1.PusherService/Push` | protobuf or JSON: several profiles with their labels | 200; errors as Connect has them |
//!
//! **A profile is kept as it came.** It becomes a raw package for the destination's `/v1/upload/profiling`: a form with the
//! files byte for byte, and with an `event.json` in which the tags of the host and of the configuration are added. It is
//! answered when that is durable. What cannot be read is refused at once; the recorded server takes it and drops it later.
//!
//! What numbers there are in it ([`metrics`]) is found out after the answer.

mod form;
mod ingest;
mod input;
pub mod metadata;
pub mod metrics;
pub mod points;
mod push;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::codec::content_encoding::{Decoder, Encoding, Limits};
use crate::codec::{multipart, raw_package};
use crate::config::ProfilingSettings;
use crate::http1::{Framing, Head, Method, query};
use crate::metrics::names::API_PROFILING;
use crate::pipeline::hook::{Created, Scratch};
use crate::point::draft::{Draft, DraftKv};
use crate::point::{Category, Route};

use super::convert::{BodyEncoding, Fault, route_and_ack};
use super::hooks::Hooks;
use super::raw;
use super::reply::{ContentType, Cors, cors};
use super::{Action, Clock, Peer, Reply, Settings};

pub use form::File;
pub use metadata::Metadata;

const INPUT: &str = "/profiling/v1/input";
const INGEST: &str = "/ingest";
const PUSH: &str = "/push.v1.PusherService/Push";

pub const PATHS: [&str; 3] = [INPUT, INGEST, PUSH];

/// Where profiles go.
pub const UPLOAD_PATH: &str = "/v1/upload/profiling";

/// What filters call a profile.
const MEASUREMENT: &[u8] = b"profiling";

/// Profiles in one push. An agent sends one of a kind; each becomes a package of its own.
const PROFILES_MAX: usize = 64;

/// Whose dialect a request is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Input,
    Ingest,
    Push,
}

/// What the head of a request says.
#[derive(Clone, Debug)]
pub struct ProfilePlan {
    pub api: usize,
    pub route: Route,
    pub ack: super::Ack,
    pub cors: Cors,
    dialect: Dialect,
    encoding: BodyEncoding,
    content_type: Vec<u8>,
    /// Unescaped.
    query: Vec<(String, String)>,
    /// What is passed on, but for what describes the body.
    headers: Vec<(String, Vec<u8>)>,
}

/// One profile on its way.
#[derive(Debug)]
pub struct Package {
    /// The raw package, whole.
    pub bytes: Bytes,
    /// Where its body begins.
    body_at: usize,
    pub route: Route,
    /// Filters drop it.
    pub filtered: bool,
    /// A script does.
    pub dropped: bool,
    /// Points that scripts have made of it.
    pub created: Created,
    /// What it says of itself.
    pub metadata: Metadata,
    /// Where in `bytes` they are.
    pub files: Vec<File>,
}

/// The routes.
pub fn route(
    head: &Head<'_>,
    path: &[u8],
    _peer: &Peer,
    _clock: &Clock,
    settings: &Settings,
) -> Option<Action> {
    let dialect = dialect_of(head.method, path)?;
    let cors = cors(head, &settings.options.allowed_cors_origins);
    let (route, ack) = match route_and_ack(head, settings) {
        Ok(found) => found,
        Err(reply) => return Some(Action::Reply(reply.with_cors(&cors))),
    };
    let of_body = |name: &str| BODY_HEADERS.iter().any(|header| name.eq_ignore_ascii_case(header));
    let passed_on = raw::passed_on(head).filter(|(name, _)| !of_body(name));
    Some(Action::Profile(Box::new(ProfilePlan {
        api: API_PROFILING,
        route,
        ack,
        cors,
        dialect,
        encoding: BodyEncoding::of(head),
        content_type: head.header("content-type").unwrap_or_default().to_vec(),
        query: query::pairs(head.query).map(parameter).collect(),
        headers: passed_on.map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
    })))
}

fn parameter(pair: query::Pair<'_>) -> (String, String) {
    (String::from_utf8_lossy(&pair.key).into_owned(), pair.text().into_owned())
}

/// Headers that say how the body is written: ours is.
const BODY_HEADERS: [&str; 3] = ["content-type", "content-encoding", "content-md5"];

fn dialect_of(method: Method, path: &[u8]) -> Option<Dialect> {
    let dialect = match std::str::from_utf8(path).ok()? {
        INPUT => Dialect::Input,
        INGEST => Dialect::Ingest,
        PUSH => Dialect::Push,
        _ => return None,
    };
    (method == Method::Post).then_some(dialect)
}

/// How large a body may be as it comes.
pub fn body_bytes_max(method: Method, path: &[u8], settings: &Settings) -> Option<usize> {
    dialect_of(method, path).map(|_| settings.options.profiling.body_bytes_max)
}

/// The refusal of a body by its announced length.
pub fn refuse_early(head: &Head<'_>, settings: &Settings) -> Option<Reply> {
    let dialect = dialect_of(head.method, head.path.as_bytes())?;
    let most = settings.options.profiling.body_bytes_max;
    let too_large = matches!(head.framing, Framing::Length(bytes) if bytes > most as u64);
    let cors = || cors(head, &settings.options.allowed_cors_origins);
    too_large.then(|| refusal(dialect, &Fault::TooLarge(most)).with_cors(&cors()))
}

impl ProfilePlan {
    /// A plan for a form that the gateway has made itself.
    pub fn own(content_type: &str, headers: &[(String, String)]) -> ProfilePlan {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
        ProfilePlan {
            api: API_PROFILING,
            route: Route::default(),
            ack: super::Ack::Disk,
            cors: Cors::Denied,
            dialect: Dialect::Input,
            encoding: BodyEncoding::Identity,
            content_type: content_type.into(),
            query: Vec::new(),
            headers: headers.collect(),
        }
    }

    /// The answer when all is durable.
    pub fn taken(&self) -> Reply {
        let mut reply = Reply { ack: Some(self.ack), ..Reply::empty(200) };
        if self.dialect == Dialect::Push {
            let json = self.content_type.starts_with(b"application/json");
            let media_type = if json { "application/json" } else { "application/proto" };
            reply.content_type = ContentType::Value(media_type.into());
            // An empty message: in protobuf it has no bytes.
            reply.body = if json { b"{}".to_vec() } else { Vec::new() };
        }
        reply.with_cors(&self.cors)
    }

    pub fn refuse(&self, fault: &Fault) -> Reply {
        refusal(self.dialect, fault).with_cors(&self.cors)
    }

    /// Reads a body and makes packages of it.
    pub fn prepare(&self, body: &[u8], now_ns: i64, settings: &Settings) -> Result<Vec<Package>, Fault> {
        let mut decoded = Vec::new();
        let body = self.decompressed(body, &mut decoded, settings)?;
        let cx = Context { plan: self, now_ns, settings };
        let mut packages = match self.dialect {
            Dialect::Input => vec![input::package(&cx, body)?],
            Dialect::Ingest => vec![ingest::package(&cx, body)?],
            Dialect::Push => push::packages(&cx, body)?,
        };
        for package in &mut packages {
            cx.look(package);
        }
        Ok(packages)
    }

    /// Without the compression that the head names. Pyroscope's agents name that of the profile itself, which stays.
    fn decompressed<'b>(
        &self,
        body: &'b [u8],
        out: &'b mut Vec<u8>,
        settings: &Settings,
    ) -> Result<&'b [u8], Fault> {
        let is_profile = self.dialect == Dialect::Ingest && !self.is_form();
        match self.encoding {
            BodyEncoding::Identity => Ok(body),
            _ if is_profile || body.is_empty() => Ok(body),
            BodyEncoding::Coded(encoding) => {
                decode(encoding, body, out, settings.options.body_bytes_max)?;
                Ok(out)
            }
            BodyEncoding::Snappy | BodyEncoding::Unknown => {
                Err(Fault::Unsupported("the Content-Encoding is not known".to_owned()))
            }
        }
    }

    fn is_form(&self) -> bool {
        let media = self.content_type.split(|byte| *byte == b';').next().unwrap_or_default();
        media.trim_ascii().eq_ignore_ascii_case(b"multipart/form-data")
    }

    fn boundary(&self) -> Result<Vec<u8>, Fault> {
        if !self.is_form() {
            return Err(Fault::malformed(multipart::FormError::NotMultipart.to_string()));
        }
        let boundary = multipart::boundary(&self.content_type);
        boundary.ok_or_else(|| Fault::malformed(multipart::FormError::NoBoundary.to_string()))
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str())
    }
}

fn decode(encoding: Encoding, body: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), Fault> {
    let mut decoder = Decoder::default();
    decoder.reset(encoding);
    decoder.decode_all(body, out, &Limits::new(most)).map_err(|error| match error {
        crate::codec::content_encoding::DecodeError::TooLarge => Fault::TooLarge(most),
        crate::codec::content_encoding::DecodeError::Malformed => {
            Fault::Malformed(format!("the body is no {}", encoding.name()))
        }
    })
}

/// What packages are made with.
struct Context<'a> {
    plan: &'a ProfilePlan,
    now_ns: i64,
    settings: &'a Settings,
}

impl Context<'_> {
    fn options(&self) -> &ProfilingSettings {
        &self.settings.options.profiling
    }

    /// Adds what is configured: tags of profiles go before what the client says, those of the host behind it. Whether
    /// anything is new.
    fn add_tags(&self, metadata: &mut Metadata) -> bool {
        let mut added = false;
        for (key, value) in &self.options().tags {
            added |= metadata.set(key, value);
        }
        for (key, value) in &self.settings.options.host_tag_pairs {
            added |= metadata.add(key, value);
        }
        added
    }

    /// The head of a package whose body is a form.
    fn head(&self, boundary: &[u8]) -> Vec<u8> {
        let content_type = [b"multipart/form-data; boundary=", boundary].concat();
        self.head_with(if self.plan.is_form() { &self.plan.content_type } else { &content_type })
    }

    fn head_with(&self, content_type: &[u8]) -> Vec<u8> {
        let own =
            [("Content-Type", content_type), ("X-Datakit-Version", self.settings.options.version.as_bytes())];
        let is_own = |name: &str| own.iter().any(|(there, _)| there.eq_ignore_ascii_case(name));
        let theirs = self.plan.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let theirs = theirs.filter(|(name, _)| !is_own(name));
        let mut head = Vec::with_capacity(1024);
        raw_package::write_head(UPLOAD_PATH, own.into_iter().chain(theirs), &mut head);
        head
    }

    /// Asks scripts, filters and the sinker, where there are any. Of a package it is only decided whether it goes on: its bytes
    /// are made already.
    fn look(&self, package: &mut Package) {
        let tags = package.metadata.tags();
        if let Some(sinker) = &self.settings.sinker {
            let pairs = tags.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
            package.route.global_tags = Some(sinker.value_of(Category::Profiling, pairs));
        }
        let mut hooks = Hooks::of(Category::Profiling, self.settings);
        if hooks.is_empty() {
            return;
        }
        let mut draft = Draft { name: MEASUREMENT.into(), ..Draft::default() };
        draft.kvs.extend(tags.iter().map(|(key, value)| DraftKv::tag(key.as_bytes(), value.as_bytes())));
        draft.time = self.now_ns;
        let mut scratch = Scratch::default();
        let (_, gone) =
            hooks.with(Category::Profiling, None, self.settings, self.now_ns, &mut scratch, |hook| {
                if let Some(hook) = hook {
                    hook.meet(&mut draft, &mut |_| ());
                }
            });
        (package.filtered, package.dropped) = (gone.filtered > 0, gone.dropped > 0);
        package.created = hooks.finish();
    }

    /// A package of one file, for clients that send no form.
    fn single(
        &self,
        profiler: &str,
        file_name: &str,
        format: &str,
        metadata: Metadata,
        file: &[u8],
    ) -> Package {
        let boundary = self.boundary_for(file);
        let mut bytes = self.head(&boundary);
        bytes.reserve(file.len() + 4096);
        let body_at = bytes.len();
        let mut writer = form::Writer::new(&boundary, &mut bytes);
        let at = writer.file(file_name, file_name, OCTET_STREAM, file);
        let event = metadata.event_json(profiler, format, &[file_name.to_owned()]);
        writer.file("event.json", "event.json", "application/json", &event);
        writer.end();
        let files = vec![File { name: file_name.to_owned(), file_name: file_name.to_owned(), at }];
        Package {
            bytes: bytes.into(),
            body_at,
            route: self.plan.route.clone(),
            filtered: false,
            dropped: false,
            created: Created::default(),
            metadata,
            files,
        }
    }

    /// A boundary that the file does not hold: the same for the same profile.
    fn boundary_for(&self, file: &[u8]) -> Vec<u8> {
        let mut seed = crc32c::crc32c(file);
        loop {
            let boundary = format!("----kitgate-{seed:08x}{:016x}", self.now_ns);
            if memchr::memmem::find(file, boundary.as_bytes()).is_none() {
                return boundary.into_bytes();
            }
            seed = seed.wrapping_add(1);
        }
    }
}

/// What the destination calls Pyroscope's agents, the older ones and the newer.
const PYROSCOPE: &str = "pyroscope";

/// Labels that tell one sample from another, not one program from another.
const SAMPLE_LABELS: [&str; 3] = ["span_id", "thread_id", "thread_name"];

/// Where these agents do not say what time a profile is of: it is of as long as they usually collect.
const SPAN_NS_DEFAULT: i64 = 10_000_000_000;

const OCTET_STREAM: &str = "application/octet-stream";

impl Package {
    /// Takes the bytes out, for the spool. What describes them stays.
    pub fn take_bytes(&mut self) -> Bytes {
        std::mem::take(&mut self.bytes)
    }

    /// Puts them back, to be looked into.
    pub fn give_back(&mut self, bytes: Bytes) {
        self.bytes = bytes;
    }

    /// The body, and what its files are called there.
    pub fn files(&self) -> impl Iterator<Item = (&File, &[u8])> {
        self.files.iter().map(|file| (file, self.bytes.get(file.at.clone()).unwrap_or_default()))
    }

    /// What is sent as the request's body.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.body_at..).unwrap_or_default()
    }
}

/// The words that the recorded server has for a body that cannot be read.
const UNREADABLE: &str = "unableToReadProfileBody";

fn refusal(dialect: Dialect, fault: &Fault) -> Reply {
    if let Fault::Busy { reason, retry_after_s } = fault
        && dialect != Dialect::Push
    {
        return super::datakit::error::overloaded(reason, *retry_after_s);
    }
    let body = match dialect {
        Dialect::Push => return fault.with_retry(push::refusal(fault)),
        Dialect::Input => "unable to read profile body",
        Dialect::Ingest => "unable to read pyroscope body",
    };
    let (status, code, text) = match fault {
        // As recorded: 400, whatever is wrong.
        Fault::TooLarge(_) => (400, ":Http:RequestBodyTooLarge", "http: request body too large".to_owned()),
        fault => (fault.status(), "", fault.text()),
    };
    let text = format!("error code [{UNREADABLE}{code}], http code [{status}], err: {body}: {text}");
    Reply {
        content_type: ContentType::Value("text/plain; charset=utf-8".into()),
        body: text.into_bytes(),
        ..Reply::empty(status)
    }
}
