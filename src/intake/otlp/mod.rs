//! OTLP 1 over HTTP: `POST /v1/{traces,metrics,logs}`, and the same under `/otel`, where DataKit has them.
//!
//! Bodies are protobuf or its JSON, compressed as `Content-Encoding` says. Points are those that DataKit makes. Answers are
//! OTLP's: an empty message, and for what goes wrong a `Status` in the form that the request had. 503 has `Retry-After`,
//! and exporters come again. Under `compat = "datakit-1.84"` answers have no body, and what is bad is always a bare 400.

mod attributes;
mod logs;
mod messages;
mod metric;
mod trace;

use crate::buf::Padded;
use crate::codec::json::Tape as JsonTape;
use crate::http1::{Head, Method};
use crate::metrics::names::API_OTLP;
use crate::point::echo::json_string;
use crate::point::pb::{self, Wire};
use crate::point::{Compat, wire};

use super::convert::{BodyEncoding, Conversion, Convert, ConvertPlan, Fault, route_and_ack};
use super::protobuf;
use super::reply::{ContentType, cors};
use super::{Action, Clock, Peer, Reply, Settings};

/// All paths.
pub const PATHS: [&str; 6] =
    ["/v1/traces", "/v1/metrics", "/v1/logs", "/otel/v1/traces", "/otel/v1/metrics", "/otel/v1/logs"];

/// What a request brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Traces,
    Metrics,
    Logs,
}

/// The form of a body, and of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
    /// Another, or none named.
    Unknown,
}

/// The routes.
pub fn route(
    head: &Head<'_>,
    path: &[u8],
    peer: &Peer,
    _clock: &Clock,
    settings: &Settings,
) -> Option<Action> {
    if head.method != Method::Post {
        return None;
    }
    let signal = match path.strip_prefix(b"/otel").unwrap_or(path) {
        b"/v1/traces" => Signal::Traces,
        b"/v1/metrics" => Signal::Metrics,
        b"/v1/logs" => Signal::Logs,
        _ => return None,
    };
    let cors = cors(head, &settings.options.allowed_cors_origins);
    let (route, ack) = match route_and_ack(head, settings) {
        Ok(found) => found,
        Err(reply) => return Some(Action::Reply(reply.with_cors(&cors))),
    };
    let content_type = head.header("content-type").unwrap_or_default();
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let form = match media_type.trim_ascii().to_ascii_lowercase().as_slice() {
        b"application/x-protobuf" => Form::Protobuf,
        b"application/json" => Form::Json,
        _ => Form::Unknown,
    };
    let job = Job { signal, form, remote_ip: peer.text(), compat: settings.options.compat };
    Some(Action::Convert(Box::new(ConvertPlan {
        api: API_OTLP,
        encoding: BodyEncoding::of(head),
        route,
        ack,
        cors,
        job: Box::new(job),
    })))
}

#[derive(Debug)]
struct Job {
    signal: Signal,
    form: Form,
    remote_ip: String,
    compat: Compat,
}

impl Job {
    fn read(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<(), Fault> {
        match self.signal {
            Signal::Traces => trace::convert(body, &self.remote_ip, cx),
            Signal::Metrics => metric::convert(body, cx),
            Signal::Logs => logs::convert(body, cx),
        }
    }

    fn reply(&self, status: u16, protobuf: Vec<u8>, json: Vec<u8>) -> Reply {
        if self.compat == Compat::Datakit184 {
            return Reply::empty(status);
        }
        let (content_type, body) = match self.form {
            Form::Json => ("application/json", json),
            Form::Protobuf | Form::Unknown => ("application/x-protobuf", protobuf),
        };
        Reply { content_type: ContentType::Value(content_type.into()), body, ..Reply::empty(status) }
    }
}

// Codes of `google.rpc.Code`.
const INVALID_ARGUMENT: u64 = 3;
const RESOURCE_EXHAUSTED: u64 = 8;
const UNIMPLEMENTED: u64 = 12;
const UNAVAILABLE: u64 = 14;

impl Convert for Job {
    fn convert(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<Reply, Fault> {
        match self.form {
            Form::Protobuf => self.read(body, cx)?,
            Form::Json => {
                let message = match self.signal {
                    Signal::Traces => &messages::TRACES,
                    Signal::Metrics => &messages::METRICS,
                    Signal::Logs => &messages::LOGS,
                };
                let mut bytes = Vec::with_capacity(body.len());
                protobuf::from_json(message, &body, &mut JsonTape::default(), &mut bytes)?;
                self.read(Padded::pad(&mut bytes), cx)?;
            }
            Form::Unknown => {
                let text = "the Content-Type must be application/x-protobuf or application/json";
                return Err(Fault::Unsupported(text.to_owned()));
            }
        }
        Ok(self.reply(200, Vec::new(), b"{}".to_vec()))
    }

    fn refuse(&self, fault: &Fault) -> Reply {
        let status = match fault {
            Fault::Unsupported(_) if self.compat == Compat::Datakit184 => 400,
            fault => fault.status(),
        };
        let code = match fault {
            Fault::Malformed(_) => INVALID_ARGUMENT,
            Fault::TooLarge(_) => RESOURCE_EXHAUSTED,
            Fault::Unsupported(_) => UNIMPLEMENTED,
            Fault::Busy { .. } => UNAVAILABLE,
        };
        let text = fault.text();
        let mut protobuf = Vec::new();
        wire::put_uint(&mut protobuf, wire::tag(1, wire::VARINT), code);
        wire::put_bytes(&mut protobuf, wire::tag(2, wire::LEN), text.as_bytes());
        let mut json = format!("{{\"code\":{code},\"message\":").into_bytes();
        json_string(text.as_bytes(), &mut json);
        json.push(b'}');
        fault.with_retry(self.reply(status, protobuf, json))
    }
}

/// Calls `take` with resource, scope and item for each span, metric or log record of a request: all three kinds of request
/// are built alike.
fn each_item<'a>(
    body: &'a [u8],
    item_number: u64,
    take: &mut dyn FnMut(&'a [u8], &'a [u8], &'a [u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    /// A resource or scope that is not there.
    const NONE: &[u8] = b"";
    for field in pb::fields(body) {
        let (1, Wire::Len(of_resource)) = field? else { continue };
        // It may stand behind what belongs to it.
        let resource = last(of_resource, 1)?.unwrap_or(NONE);
        for field in pb::fields(of_resource) {
            let (2, Wire::Len(of_scope)) = field? else { continue };
            let scope = last(of_scope, 1)?.unwrap_or(NONE);
            for field in pb::fields(of_scope) {
                if let (number, Wire::Len(item)) = field?
                    && number == item_number
                {
                    take(resource, scope, item)?;
                }
            }
        }
    }
    Ok(())
}

/// The last occurrence of a message in another.
fn last(bytes: &[u8], number: u64) -> Result<Option<&[u8]>, Fault> {
    let mut found = None;
    for field in pb::fields(bytes) {
        if let (there, Wire::Len(inside)) = field?
            && there == number
        {
            found = Some(inside);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
