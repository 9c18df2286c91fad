//! SkyWalking over HTTP, both dialects.
//!
//! | path | body | answer |
//! |---|---|---|
//! | POST `/v3/segment`, `/v3/segments` | a segment, a list of them | 200 without a body |
//! | POST `/v3/logs` | a list of logs | 200 `{}` |
//! | POST `/v3/management/reportProperties`, `/keepAlive` | what an instance is, that it is | 200 `{}` |
//! | POST `/v3/trace`, `/v3/metric`, `/v3/logging`, `/v3/profiling` | DataKit's: one message | 200 without a body |
//! | POST `/browser/perfData`, `/browser/perfData/…`, `/browser/errorLog`, `/browser/errorLogs` | what pages say | 200 `{}` |
//! | GET `/v3/management/instances` | | the instances that are heard of, for people |
//!
//! Bodies are JSON, as the public protocol page has them, or protobuf where `Content-Type` says so. Points are those that
//! DataKit 1.84.1 makes. `/v3/profiling` brings tasks' snapshots, which nobody here asks for: they are let go. Agents never
//! look at an answer; what goes wrong is said all the same, 400, 413, 503 with `Retry-After`.

mod browser;
mod instances;
mod jvm;
mod logs;
mod messages;
mod segment;

use regex::bytes::Regex;

use crate::buf::Padded;
use crate::codec::json::{Elements, Tape as JsonTape};
use crate::http1::{Head, Method};
use crate::metrics::names::API_SKYWALKING;
use crate::point::pb::{self, PbError, Wire};
use crate::point::{Category, Compat, Precision};

use super::convert::{BodyEncoding, Conversion, Convert, ConvertPlan, Fault, route_and_ack};
use super::protobuf::{self, Message};
use super::reply::{ContentType, cors};
use super::tracing::{Filters, pattern};
use super::{Action, Clock, Peer, Reply, Settings};

pub use instances::Instances;

/// The configuration. Names and meaning are DataKit's (`[inputs.skywalking]`).
pub use crate::config::SkywalkingSettings as Options;

/// [`Options`], compiled.
#[derive(Debug)]
pub struct Collector {
    pub options: Options,
    pub filters: Filters,
    pub ignored: Vec<Regex>,
}

impl Collector {
    pub fn new(options: Options) -> Collector {
        Collector {
            filters: Filters::new(&options.filters),
            ignored: options.ignore_tags.iter().filter_map(|text| pattern(text).ok()).collect(),
            options,
        }
    }
}

/// All paths that agents use.
pub const PATHS: [&str; 15] = [
    "/v3/segment",
    "/v3/segments",
    "/v3/logs",
    "/v3/management/reportProperties",
    "/v3/management/keepAlive",
    "/v3/trace",
    "/v3/metric",
    "/v3/logging",
    "/v3/profiling",
    "/browser/perfData",
    "/browser/perfData/webVitals",
    "/browser/perfData/resources",
    "/browser/perfData/webInteractions",
    "/browser/errorLog",
    "/browser/errorLogs",
];

pub const INSTANCES_PATH: &str = "/v3/management/instances";

/// What a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Segments,
    Logs,
    Jvm,
    Properties,
    Ping,
    /// Of a page in a browser: JSON alone.
    Browser(browser::Kind),
    /// Nothing that is kept.
    Snapshots,
}

/// The routes.
pub fn route(
    head: &Head<'_>,
    path: &[u8],
    _peer: &Peer,
    clock: &Clock,
    settings: &Settings,
) -> Option<Action> {
    let cors = cors(head, &settings.options.allowed_cors_origins);
    let (content, answers_json) = match path {
        b"/v3/segment" | b"/v3/segments" | b"/v3/trace" => (Content::Segments, false),
        b"/v3/logs" => (Content::Logs, true),
        b"/v3/logging" => (Content::Logs, false),
        b"/v3/metric" => (Content::Jvm, false),
        b"/v3/profiling" => (Content::Snapshots, false),
        b"/v3/management/reportProperties" => (Content::Properties, true),
        b"/v3/management/keepAlive" => (Content::Ping, true),
        path if let Some(kind) = browser::Kind::of(path) => (Content::Browser(kind), true),
        path if path == INSTANCES_PATH.as_bytes() && head.method == Method::Get => {
            let body = settings.remembered.instances.show(clock.now_ns);
            return Some(Action::Reply(json_reply(200, body).with_cors(&cors)));
        }
        _ => return None,
    };
    if head.method != Method::Post {
        // DataKit has its page for that.
        let documented = settings.options.compat == Compat::Documented;
        let mut reply = Reply::empty(405);
        reply.headers.push(("Allow", "POST".into()));
        return documented.then(|| Action::Reply(reply.with_cors(&cors)));
    }
    let (route, ack) = match route_and_ack(head, settings) {
        Ok(found) => found,
        Err(reply) => return Some(Action::Reply(reply.with_cors(&cors))),
    };
    let content_type = head.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let job = Job {
        content,
        answers_json,
        is_protobuf: memchr::memmem::find(&content_type, b"protobuf").is_some(),
        compat: settings.options.compat,
    };
    Some(Action::Convert(Box::new(ConvertPlan {
        api: API_SKYWALKING,
        encoding: BodyEncoding::of(head),
        route,
        ack,
        cors,
        job: Box::new(job),
    })))
}

fn json_reply(status: u16, body: Vec<u8>) -> Reply {
    Reply { content_type: ContentType::Value("application/json".into()), body, ..Reply::empty(status) }
}

#[derive(Debug)]
struct Job {
    content: Content,
    answers_json: bool,
    is_protobuf: bool,
    compat: Compat,
}

/// Containers inside each other in a JSON body.
const DEPTH_MAX: usize = 32;

impl Job {
    fn message(&self) -> &'static Message {
        match self.content {
            Content::Segments => &messages::SEGMENT,
            Content::Logs => &messages::LOG,
            Content::Jvm => &messages::JVM,
            Content::Properties => &messages::PROPERTIES,
            Content::Ping | Content::Snapshots | Content::Browser(_) => &messages::PING,
        }
    }

    /// Takes one message.
    fn take(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<(), Fault> {
        let settings = cx.settings;
        let collector = &settings.skywalking;
        let (category, tags) = match self.content {
            Content::Segments => {
                segment::convert(&body, &body, collector, cx)?;
                (Category::Tracing, &settings.tracing_tags)
            }
            Content::Logs => {
                logs::convert(&body, &body, collector, cx)?;
                (Category::Logging, &settings.tracing_tags)
            }
            Content::Jvm => {
                jvm::convert(&body, &body, cx)?;
                (Category::Metric, &settings.options.host_tags)
            }
            Content::Properties | Content::Ping => {
                return settings.remembered.instances.hear(&body, self.content == Content::Ping, cx.now_ns);
            }
            Content::Snapshots | Content::Browser(_) => return Ok(()),
        };
        cx.flush(category, Precision::Nanos, tags, body)
    }
}

impl Job {
    /// Takes what pages say: an object, or a list of them.
    fn browser(&self, kind: browser::Kind, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<(), Fault> {
        let settings = cx.settings;
        let (collector, tags) = (&settings.skywalking, &settings.options.host_tags);
        let mut tape = JsonTape::default();
        match Elements::new(&body) {
            Some(mut elements) => {
                while elements.next(&mut tape, DEPTH_MAX).map_err(protobuf::malformed)? {
                    browser::convert(kind, tape.root(&body), &body, collector, cx)?;
                    cx.flush_if_long(kind.category(), Precision::Nanos, tags, body)?;
                }
            }
            None => {
                protobuf::parse_whole(&body, &mut tape)?;
                browser::convert(kind, tape.root(&body), &body, collector, cx)?;
            }
        }
        cx.flush(kind.category(), Precision::Nanos, tags, body)
    }
}

impl Convert for Job {
    fn convert(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<Reply, Fault> {
        if self.content == Content::Snapshots {
            return Ok(Reply::empty(200));
        }
        if let Content::Browser(kind) = self.content {
            self.browser(kind, body, cx)?;
        } else if self.is_protobuf {
            self.take(body, cx)?;
        } else {
            let (mut tape, mut bytes) = (JsonTape::default(), Vec::new());
            match Elements::new(&body) {
                // One of a list after the other: what is made of one is let go before the next.
                Some(mut elements) => {
                    while elements.next(&mut tape, DEPTH_MAX).map_err(protobuf::malformed)? {
                        bytes.clear();
                        protobuf::message_from(self.message(), tape.root(&body), &mut bytes)?;
                        self.take(Padded::pad(&mut bytes), cx)?;
                    }
                }
                None => {
                    protobuf::from_json(self.message(), &body, &mut tape, &mut bytes)?;
                    self.take(Padded::pad(&mut bytes), cx)?;
                }
            }
        }
        Ok(if self.answers_json { json_reply(200, b"{}".to_vec()) } else { Reply::empty(200) })
    }

    fn refuse(&self, fault: &Fault) -> Reply {
        let recorded = self.compat == Compat::Datakit184;
        match fault {
            Fault::Malformed(_) | Fault::Unsupported(_) if recorded => Reply::empty(400),
            fault => {
                let mut body = b"{\"message\":".to_vec();
                crate::point::echo::json_string(fault.text().as_bytes(), &mut body);
                body.push(b'}');
                fault.with_retry(json_reply(fault.status(), body))
            }
        }
    }
}

/// A `KeyStringValuePair`.
fn pair(bytes: &[u8]) -> Result<(&[u8], &[u8]), PbError> {
    let (mut key, mut value): (&[u8], &[u8]) = (b"", b"");
    for field in pb::fields(bytes) {
        match field? {
            (1, Wire::Len(text)) => key = text,
            (2, Wire::Len(text)) => value = text,
            _ => {}
        }
    }
    Ok((key, value))
}

#[cfg(test)]
mod tests;
