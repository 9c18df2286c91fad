//! `POST /v1/write/logstreaming`: log lines as agents stream them.
//!
//! | `type=` | the body | becomes |
//! |---|---|---|
//! | none, or any other | text | a point a line: `message`, `status="info"` |
//! | `firelens` | a JSON array of objects | a point an object, see [`firelens`] |
//! | `influxdb` | line protocol | its points, in nanoseconds unless `precision=` says otherwise |
//!
//! They are log points; in the first two forms they are named by `source=`. All of them get the tags `service` and
//! `ip_or_hostname` and those of `tags=k=v,k2=v2`, unless `ignore_url_tags=` is there. The host is that of the request
//! target, which only proxies write; without one there is no such tag.
//!
//! The readers fill the line protocol's tape, so that the encoder's fast path takes the points, with texts where they lie
//! in the body.
//!
//! Compatible with DataKit 1.84.1: its answers are not in the API's wrapper, and a bad body gets a bare 400. Blank lines
//! make no points here. JSON integers stay integers, and what no field can hold (objects, lists) is kept as text.

mod firelens;
mod text;

use crate::buf::Padded;
use crate::codec::line_protocol::{Kind, Kv, PointSpan, Tape, span};
use crate::http1::{Head, query};
use crate::intake::Settings;
use crate::intake::reply::{Cors, Reply};
use crate::point::{Category, GlobalTags, Precision, TooManyGlobalTags};

use super::error::ApiError;
use super::write::{self, BodyFormat, WritePlan};

pub use text::LINE_BYTES_MAX;

/// The name of points whose request names none.
const SOURCE_DEFAULT: &str = "default";

/// What is the same for all points of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Their name.
    pub source: Box<str>,
}

/// A body that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad;

/// Reads the head.
pub fn plan(head: &Head<'_>, cors: Cors, settings: &Settings) -> Result<WritePlan, Box<Reply>> {
    let param = |name| query::first(head.query, name).filter(|value| !value.is_empty());
    let source = param("source").unwrap_or_else(|| SOURCE_DEFAULT.into());
    let own_tags = if param("ignore_url_tags").is_some() {
        GlobalTags::default()
    } else {
        let given = param("tags").unwrap_or_default();
        let service = param("service").unwrap_or_else(|| source.clone());
        tags(&given, host(head.target), &service).map_err(|error| {
            let error = ApiError::bad_request(format!("tags holds too much: {error}"));
            Box::new(error.reply().with_cors(&cors))
        })?
    };
    Ok(WritePlan {
        format: match param("type").as_deref() {
            Some("influxdb") => BodyFormat::LineProtocol,
            Some("firelens") => BodyFormat::Firelens,
            _ => BodyFormat::Text,
        },
        // Never guessed from the size of a time.
        precision: param("precision").map_or(Precision::Nanos, |precision| Precision::from_param(&precision)),
        echo: None,
        dry: false,
        strict: false,
        own_tags,
        source: param("pipeline").map(|name| write::label(&name)),
        stream: Some(Box::new(Stream { source: source.into() })),
        ..write::plan_of(head, Category::Logging, cors, settings)?
    })
}

/// The request's own tags; those that every request has win. A pair without exactly one `=` is ignored.
fn tags(given: &str, host: &str, service: &str) -> Result<GlobalTags, TooManyGlobalTags> {
    let given = given.split(',').filter_map(|pair| {
        let (key, value) = pair.split_once('=').filter(|(_, value)| !value.contains('='))?;
        Some((key.trim(), value.trim()))
    });
    let own = [("ip_or_hostname", host), ("service", service)];
    GlobalTags::own(given.chain(own).filter(|(_, value)| !value.is_empty()))
}

/// The host of a target in absolute form, without its port; empty in the form that clients use.
fn host(target: &str) -> &str {
    let Some((_, rest)) = target.split_once("://").filter(|(scheme, _)| !scheme.contains('/')) else {
        return "";
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// Reads whole points from `from` on until `budget` bytes are read, as `line_protocol::parse_some` does. Always called
/// with the same body; returns where the next piece starts.
pub fn read_some(
    format: BodyFormat,
    stream: &Stream,
    body: Padded<'_>,
    from: usize,
    budget: usize,
    tape: &mut Tape,
) -> Result<usize, Bad> {
    tape.clear();
    let mut points = Points::new(stream, tape);
    let next = match format {
        BodyFormat::Firelens => firelens::read(&body, from, budget, &mut points)?,
        _ => text::read(&body, from, budget, &mut points)?,
    };
    tape.seal();
    Ok(next)
}

/// The answer to a body that was taken.
pub fn reply(plan: &WritePlan) -> Reply {
    let body = br#"{"status":"success"}"#.to_vec();
    let reply = Reply::page(200, "text/plain; charset=utf-8", body, plan.cors.clone());
    Reply { ack: Some(plan.ack), ..reply }
}

/// The answer to a body that was not. What is too large is said to be so, and not only bad.
pub fn refuse(plan: &WritePlan, error: &ApiError) -> Reply {
    let reply = if error.status == 400 { Reply::empty(400) } else { error.reply() };
    reply.with_cors(&plan.cors)
}

/// A tape being filled with points of one name. Keys and fixed texts stand in its arena, what the client wrote stays in
/// the body.
struct Points<'t> {
    tape: &'t mut Tape,
    name_len: u32,
    message: Key,
    status: Key,
    info: u64,
}

/// A key in the arena.
#[derive(Clone, Copy)]
struct Key {
    at: u32,
    len: u16,
}

impl<'t> Points<'t> {
    fn new(stream: &Stream, tape: &'t mut Tape) -> Points<'t> {
        // At the front of the arena, hence at offset 0.
        tape.arena.extend_from_slice(stream.source.as_bytes());
        let mut points = Points {
            name_len: stream.source.len() as u32,
            tape,
            message: Key { at: 0, len: 0 },
            status: Key { at: 0, len: 0 },
            info: 0,
        };
        points.message = points.key("message");
        points.status = points.key("status");
        points.info = points.keep(b"info");
        points
    }

    /// Puts a key into the arena. One that the tape has no room for is cut; longer than 64 KiB it is no name any more.
    fn key(&mut self, key: &str) -> Key {
        let key = &key[..key.floor_char_boundary(usize::from(u16::MAX))];
        let at = self.tape.arena.len() as u32;
        self.tape.arena.extend_from_slice(key.as_bytes());
        Key { at, len: key.len() as u16 }
    }

    /// Puts a text into the arena.
    fn keep(&mut self, text: &[u8]) -> u64 {
        let at = self.tape.arena.len();
        self.tape.arena.extend_from_slice(text);
        span(at, text.len())
    }

    fn field(&mut self, key: Key, kind: Kind, value_flags: u8, value: u64) {
        let flags = Kv::KEY_IN_ARENA | value_flags;
        self.tape.kvs.push(Kv { key: key.at, key_len: key.len, kind, flags, value });
    }

    /// Ends a point whose fields were added since `first_kv`.
    fn point(&mut self, first_kv: usize, time: Option<i64>) {
        self.tape.points.push(PointSpan {
            name: 0,
            name_len: self.name_len,
            kv: first_kv as u32,
            tags: 0,
            fields: (self.tape.kvs.len() - first_kv) as u32,
            name_in_arena: true,
            time,
        });
    }
}

#[cfg(test)]
mod tests;
