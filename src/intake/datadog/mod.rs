//! The API of the Datadog trace agent.
//!
//! Compatible with the public page "Send traces to the Agent by API", with what ddtrace for Python (1.20, 4.16) and
//! dd-trace for Node (5.132) were recorded to send, and with DataKit 1.84.1, whose points these are.
//!
//! | path | answer |
//! |---|---|
//! | PUT, POST `/v0.1/spans`, `/v0.2/traces`, `/v0.3/traces` | 200 `OK` |
//! | PUT, POST `/v0.4/traces`, `/v0.5/traces` | 200 `{}` |
//! | GET `/info` | what is served here; 404 under `compat = "datakit-1.84"`, and clients go on with what they know |
//! | POST `/telemetry/proxy/…` | 200: what a Java tracer says of itself becomes an object ([`telemetry`]), the rest is let go |
//! | POST `/v0.7/config` | 200 `{}`: no configuration for you |
//! | PUT, POST `/v0.6/stats`, POST `/dogstatsd/v2/proxy` | 200: numbers that follow from the traces, let go |
//! | GET, POST `/rumproxy?ddforward=…` | 202: events of Datadog's SDK for browsers ([`rum`]) |
//!
//! What a tracer sends that cannot be read is 400, what is too large 413, and what cannot be stored now 503: tracers
//! that try again do so for that.

mod collector;
mod convert;
mod json;
mod read;
mod rum;
mod spans;
pub mod telemetry;

use std::net::IpAddr;

use crate::buf::Padded;
use crate::codec::json::Tape as JsonTape;
use crate::http1::{Head, Method};
use crate::metrics::names::API_DATADOG;
use crate::point::Compat;

use super::convert::{BodyEncoding, Conversion, Convert, ConvertPlan, Fault, route_and_ack};
use super::reply::{ContentType, cors};
use super::{Action, Clock, Peer, Reply, Settings};

pub use collector::{Collector, Options, TraceTags};

use convert::{ChunkScratch, Request};
use read::{JsonTraces, Traces};
use spans::{Spans, Text};

/// Memory from one request to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    spans: Spans,
    strings: Vec<Text>,
    chunk: ChunkScratch,
    json: JsonTape,
}

/// What a trace request is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// A list of spans, JSON.
    V01,
    /// Traces, JSON.
    V02,
    V03,
    V04,
    /// With a dictionary, msgpack.
    V05,
}

/// All paths.
pub const PATHS: [&str; 11] = [
    "/v0.1/spans",
    "/v0.2/traces",
    "/v0.3/traces",
    "/v0.4/traces",
    "/v0.5/traces",
    "/info",
    "/v0.6/stats",
    "/v0.7/config",
    "/dogstatsd/v2/proxy",
    "/telemetry/proxy/api/v2/apmtelemetry",
    rum::PATH,
];

const TELEMETRY_PATH: &[u8] = b"/telemetry/proxy/api/v2/apmtelemetry";

/// The routes.
pub fn route(
    head: &Head<'_>,
    path: &[u8],
    peer: &Peer,
    _clock: &Clock,
    settings: &Settings,
) -> Option<Action> {
    let sends = matches!(head.method, Method::Post | Method::Put);
    let version = match path {
        b"/v0.1/spans" => Version::V01,
        b"/v0.2/traces" => Version::V02,
        b"/v0.3/traces" => Version::V03,
        b"/v0.4/traces" => Version::V04,
        b"/v0.5/traces" => Version::V05,
        path if path == rum::PATH.as_bytes() => return rum::route(head, peer, settings),
        _ => return other(head, path, sends, settings),
    };
    sends.then(|| traces(head, version, peer, settings))
}

fn other(head: &Head<'_>, path: &[u8], sends: bool, settings: &Settings) -> Option<Action> {
    let cors = || cors(head, &settings.options.allowed_cors_origins);
    let reply = match path {
        b"/info" if head.method == Method::Get => info(settings),
        b"/v0.6/stats" if sends => Reply::empty(200),
        b"/v0.6/stats" if head.method == Method::Get => Reply::empty(404),
        b"/v0.7/config" if sends => json_reply(b"{}".to_vec()),
        b"/dogstatsd/v2/proxy" if sends => Reply::empty(200),
        TELEMETRY_PATH if sends => match telemetry::plan(head, cors(), settings) {
            Some(plan) => return Some(Action::Convert(Box::new(plan))),
            None => Reply::empty(200),
        },
        _ => return None,
    };
    Some(Action::Reply(reply.with_cors(&cors())))
}

fn json_reply(body: Vec<u8>) -> Reply {
    Reply { content_type: ContentType::Value("application/json".into()), body, ..Reply::empty(200) }
}

/// Nothing is named that would make a tracer send less, or elsewhere.
fn info(settings: &Settings) -> Reply {
    if settings.options.compat == Compat::Datakit184 {
        return Reply::empty(404);
    }
    let version = &settings.options.version;
    json_reply(
        format!(
            "{{\"version\":\"{version}\",\"endpoints\":[\"/v0.3/traces\",\"/v0.4/traces\",\"/v0.5/traces\",\
             \"/profiling/v1/input\",\"/telemetry/proxy/\"],\"client_drop_p0s\":false}}"
        )
        .into_bytes(),
    )
}

fn traces(head: &Head<'_>, version: Version, peer: &Peer, settings: &Settings) -> Action {
    let cors = cors(head, &settings.options.allowed_cors_origins);
    let (route, ack) = match route_and_ack(head, settings) {
        Ok(found) => found,
        Err(reply) => return Action::Reply(reply.with_cors(&cors)),
    };
    let header = |name| head.header(name).map(|value| String::from_utf8_lossy(value).into_owned());
    let job = TraceJob {
        version,
        form: Form::of(head),
        rates_version: header("datadog-rates-payload-version").unwrap_or_default(),
        is_empty: header("x-datadog-trace-count").is_some_and(|count| count.trim() == "0"),
        remote_ip: remote_ip(head, peer, settings.options.compat),
        compat: settings.options.compat,
    };
    if job.is_empty {
        return Action::Reply(job.taken().with_cors(&cors));
    }
    Action::Convert(Box::new(ConvertPlan {
        api: API_DATADOG,
        encoding: BodyEncoding::of(head),
        route,
        ack,
        cors,
        job: Box::new(job),
    }))
}

/// What a body is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Msgpack,
    Json,
    /// Named, and neither: JSON is tried first.
    Unknown,
}

impl Form {
    fn of(head: &Head<'_>) -> Form {
        let value = head.header("content-type").unwrap_or_default();
        let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default();
        match media_type.trim_ascii().to_ascii_lowercase().as_slice() {
            b"application/msgpack" => Form::Msgpack,
            b"" | b"application/json" | b"text/json" => Form::Json,
            _ => Form::Unknown,
        }
    }
}

/// Headers of proxies, in the order in which they are asked.
const FORWARDED: [&str; 3] = ["x-forwarded-for", "x-real-ip", "proxy-client-ip"];

/// Where the spans come from. Recorded: of a proxy's word only an address with a port counts, all others are passed over.
fn remote_ip(head: &Head<'_>, peer: &Peer, compat: Compat) -> String {
    let forwarded = FORWARDED.iter().find_map(|name| {
        let value = str::from_utf8(head.header(name)?).ok()?;
        value.split(',').map(str::trim).find_map(|element| {
            if let Ok(address) = element.parse::<std::net::SocketAddr>() {
                return Some(address.ip());
            }
            element.parse::<IpAddr>().ok().filter(|_| compat == Compat::Documented)
        })
    });
    match (forwarded, peer) {
        (Some(address), _) => address.to_string(),
        (None, peer) => peer.text(),
    }
}

/// A trace request.
#[derive(Debug)]
struct TraceJob {
    version: Version,
    form: Form,
    /// Sent back.
    rates_version: String,
    /// The head says that there are no traces.
    is_empty: bool,
    remote_ip: String,
    compat: Compat,
}

impl TraceJob {
    /// The answer to traces that were taken.
    fn taken(&self) -> Reply {
        match self.version {
            Version::V01 | Version::V02 | Version::V03 => Reply {
                content_type: ContentType::Value("text/plain; charset=utf-8".into()),
                body: b"OK\n".to_vec(),
                ..Reply::empty(200)
            },
            Version::V04 | Version::V05 => {
                let mut reply = json_reply(b"{}".to_vec());
                // Where it is absent it is empty: recorded.
                reply.headers.push(("Datadog-Rates-Payload-Version", self.rates_version.clone().into()));
                reply
            }
        }
    }

    fn read(
        &self,
        body: Padded<'_>,
        form: Form,
        scratch: &mut Scratch,
        cx: &mut Conversion<'_>,
    ) -> Result<(), Fault> {
        let settings = cx.settings;
        let trace_tags = settings.remembered.trace_tags.load();
        let request = Request {
            collector: &settings.datadog,
            remote_ip: &self.remote_ip,
            seen: &settings.remembered.resources,
            trace_tags: &trace_tags,
        };
        let cuts = self.compat == Compat::Documented;
        let Scratch { spans, strings, chunk, json } = scratch;
        let mut convert = |spans: &mut Spans, cx: &mut Conversion<'_>| {
            if cuts {
                spans.cut(&body);
            }
            let mut first = 0;
            for run in spans.list.chunk_by(|span, next| !self.is_grouped() || span.trace_id == next.trace_id)
            {
                let range = first..first + run.len();
                first = range.end;
                convert::chunk(&request, spans, range, chunk, body, cx)?;
            }
            spans.clear();
            Ok::<(), Fault>(())
        };
        match (self.version, form) {
            (Version::V05, _) => {
                read::dictionary(&body, strings, spans)?;
                convert(spans, cx)?;
            }
            // Which of the two it is said to be is not looked at by DataKit: recorded.
            (Version::V01, Form::Msgpack) if self.compat == Compat::Documented => {
                return Err(Fault::Unsupported("v0.1 takes JSON".to_owned()));
            }
            (Version::V01, _) => {
                let mut elements = JsonTraces::new(&body)?;
                while elements.next_span(json, spans)? {}
                spans.group();
                convert(spans, cx)?;
            }
            (Version::V02, Form::Msgpack) => {
                return Err(Fault::Unsupported("v0.2 takes JSON".to_owned()));
            }
            (_, Form::Msgpack) => {
                let mut traces = Traces::new(body)?;
                while traces.next(spans)? {
                    convert(spans, cx)?;
                }
            }
            (_, Form::Json | Form::Unknown) => {
                let mut traces = JsonTraces::new(&body)?;
                while traces.next(json, spans)? {
                    convert(spans, cx)?;
                }
            }
        }
        Ok(())
    }

    /// Whether spans of one trace may come in several pieces.
    fn is_grouped(&self) -> bool {
        matches!(self.version, Version::V01 | Version::V05)
    }
}

impl Convert for TraceJob {
    fn convert(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<Reply, Fault> {
        let options = &cx.settings.datadog.options;
        if body.len() > options.body_bytes_max {
            return Err(Fault::TooLarge(options.body_bytes_max));
        }
        if !body.is_empty() {
            // Taken out, so that the rest can be lent; its memory comes back.
            let mut scratch = std::mem::take(cx.datadog);
            scratch.spans.clear();
            // What is called neither is what it looks like: no JSON array begins like one of msgpack.
            let looks_like_json = body.iter().find(|byte| !byte.is_ascii_whitespace());
            let is_msgpack = self.form == Form::Unknown && !matches!(looks_like_json, Some(b'[' | b'n'));
            let form = if is_msgpack { Form::Msgpack } else { self.form };
            let result = self.read(body, form, &mut scratch, cx);
            scratch.spans.shrink();
            *cx.datadog = scratch;
            result?;
            cx.flush(
                crate::point::Category::Tracing,
                crate::point::Precision::Nanos,
                &cx.settings.tracing_tags,
                body,
            )?;
        }
        Ok(self.taken())
    }

    fn refuse(&self, fault: &Fault) -> Reply {
        let recorded = self.compat == Compat::Datakit184;
        match fault {
            // Taken, and let go, says DataKit; the counters know better.
            Fault::TooLarge(_) if recorded => Reply::empty(200),
            Fault::Malformed(_) | Fault::Unsupported(_) if recorded => Reply::empty(400),
            fault => fault.with_retry(text_reply(fault.status(), &fault.text())),
        }
    }
}

fn text_reply(status: u16, text: &str) -> Reply {
    Reply {
        content_type: ContentType::Value("text/plain; charset=utf-8".into()),
        body: format!("{text}\n").into_bytes(),
        ..Reply::empty(status)
    }
}

#[cfg(test)]
mod tests;
