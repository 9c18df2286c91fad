//! What InfluxDB's clients write, of both versions.
//!
//! | path | answer |
//! |---|---|
//! | POST `/write?db=…&precision=…` (v1) | 204 |
//! | POST `/api/v2/write?org=…&bucket=…&precision=…` (v2) | 204 |
//! | GET, HEAD `/ping` | 204 with `X-Influxdb-Version`; with `verbose` 200 |
//! | GET `/health` | 200, `pass` |
//!
//! The body is line protocol, in nanoseconds unless `precision` says otherwise, and becomes metrics; database, retention
//! policy, organisation and bucket have no counterpart. A body is taken whole or not at all: one bad line refuses it, with
//! the parser's words in the error of the version's form. Clients try again after 503.

use crate::buf::Padded;
use crate::codec::line_protocol;
use crate::http1::{Head, Method, query};
use crate::metrics::names::API_INFLUXDB;
use crate::point::echo::json_string;
use crate::point::{Category, Precision};

use super::convert::{BodyEncoding, Conversion, Convert, ConvertPlan, Fault, TAPE_BYTES, route_and_ack};
use super::reply::{ContentType, cors};
use super::{Action, Clock, Peer, Reply, Settings};

/// All paths.
pub const PATHS: [&str; 4] = ["/write", "/api/v2/write", "/ping", "/health"];

/// Clients read from it what the server can do: 1.8 writes as both versions do, and has no more.
const VERSION: &str = "1.8.10";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// The routes.
pub fn route(
    head: &Head<'_>,
    path: &[u8],
    _peer: &Peer,
    _clock: &Clock,
    settings: &Settings,
) -> Option<Action> {
    let cors = cors(head, &settings.options.allowed_cors_origins);
    let version = match (head.method, path) {
        (Method::Post, b"/write") => Version::V1,
        (Method::Post, b"/api/v2/write") => Version::V2,
        (Method::Get | Method::Head, b"/ping") => {
            let verbose =
                query::first(head.query, "verbose").is_some_and(|value| value != "false" && value != "0");
            let reply = match verbose {
                true => json_reply(200, format!("{{\"version\":\"{VERSION}\"}}").into_bytes()),
                false => Reply::empty(204),
            };
            return Some(Action::Reply(versioned(reply).with_cors(&cors)));
        }
        (Method::Get | Method::Head, b"/health") => {
            let body = format!(
                "{{\"name\":\"influxdb\",\"message\":\"ready for writes\",\"status\":\"pass\",\"checks\":[],\
                 \"version\":\"{VERSION}\"}}"
            );
            return Some(Action::Reply(versioned(json_reply(200, body.into_bytes())).with_cors(&cors)));
        }
        _ => return None,
    };
    let (route, ack) = match route_and_ack(head, settings) {
        Ok(found) => found,
        Err(reply) => return Some(Action::Reply(reply.with_cors(&cors))),
    };
    let precision = match query::first(head.query, "precision").as_deref() {
        Some("u" | "us" | "µ") => Precision::Micros,
        Some("ms") => Precision::Millis,
        Some("s") => Precision::Seconds,
        Some("m") => Precision::Minutes,
        Some("h") => Precision::Hours,
        None | Some("" | "n" | "ns") => Precision::Nanos,
        Some(_) => {
            let fault = Fault::malformed("precision is none of ns, us, ms, s, m and h");
            return Some(Action::Reply(
                Job { version, precision: Precision::Nanos }.refuse(&fault).with_cors(&cors),
            ));
        }
    };
    Some(Action::Convert(Box::new(ConvertPlan {
        api: API_INFLUXDB,
        encoding: BodyEncoding::of(head),
        route,
        ack,
        cors,
        job: Box::new(Job { version, precision }),
    })))
}

fn json_reply(status: u16, body: Vec<u8>) -> Reply {
    Reply { content_type: ContentType::Value("application/json".into()), body, ..Reply::empty(status) }
}

fn versioned(mut reply: Reply) -> Reply {
    reply.headers.push(("X-Influxdb-Version", VERSION.into()));
    reply.headers.push(("X-Influxdb-Build", "OSS".into()));
    reply
}

#[derive(Debug)]
struct Job {
    version: Version,
    precision: Precision,
}

impl Convert for Job {
    fn convert(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<Reply, Fault> {
        let settings = cx.settings;
        let tags = &settings.options.host_tags;
        let mut at = 0;
        while at < body.len() {
            cx.tape.clear();
            at = line_protocol::parse_some(body, at, TAPE_BYTES, cx.tape)
                .map_err(|_| Fault::Malformed(line_protocol::explain(&body).message))?;
            if cx.tape.lost_points > 0 {
                return Err(Fault::malformed("a field has a value that cannot be read"));
            }
            cx.flush(Category::Metric, self.precision, tags, body)?;
        }
        Ok(versioned(Reply::empty(204)))
    }

    fn refuse(&self, fault: &Fault) -> Reply {
        let (code, status) = match fault {
            Fault::Malformed(_) => ("invalid", 400),
            Fault::Unsupported(_) => ("invalid", 415),
            Fault::TooLarge(_) => ("request too large", 413),
            Fault::Busy { .. } => ("unavailable", 503),
        };
        let text = fault.text();
        let mut body = match self.version {
            Version::V1 => b"{\"error\":".to_vec(),
            Version::V2 => format!("{{\"code\":\"{code}\",\"message\":").into_bytes(),
        };
        json_string(text.as_bytes(), &mut body);
        body.push(b'}');
        let mut reply = versioned(json_reply(status, body));
        // Both versions' clients look there too.
        reply.headers.push(("X-Influxdb-Error", one_line(&text).into()));
        fault.with_retry(reply)
    }
}

/// The beginning of a text as a header can have it.
fn one_line(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let plain = |letter: char| if letter == ' ' || letter.is_ascii_graphic() { letter } else { '?' };
    text.chars().take(CHARS_MAX).map(plain).collect()
}

#[cfg(test)]
mod tests;
