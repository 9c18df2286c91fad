//! `/rumproxy?ddforward=…`: what Datadog's SDK for browsers sends by way of a proxy, its option `proxy`.
//!
//! `ddforward` is the target that the SDK would have asked at home. Behind `/api/v2/rum` are events, one JSON object a
//! line: each becomes a RUM point under the names that the platform's own SDK has for the same things ([`names`]), with the
//! tags that tell who sent it and where from. Numbers are floats, as that SDK writes them. Events of a kind, or of an
//! application, that the configuration does not take are filtered. Whatever else the SDK asks for, as replays, which the
//! platform has in another form, is answered and let go.
//!
//! The answer is 202. The SDK does not come again after 4xx; it does after 503, with the same events.

mod names;

use serde_json::{Map, Value};

use crate::buf::Padded;
use crate::codec::content_encoding::Encoding;
use crate::http1::{Head, Method, query};
use crate::intake::convert::{BodyEncoding, Builder, Conversion, Convert, ConvertPlan, Fault, route_and_ack};
use crate::intake::datakit::rum::own_tags;
use crate::intake::datakit::write::BodyFormat;
use crate::intake::reply::cors;
use crate::intake::{Action, Peer, Reply, Settings};
use crate::metrics::names::API_DATADOG;
use crate::point::{Category, GlobalTags, Precision};

pub const PATH: &str = "/rumproxy";

/// The target at home, and what it is for events, without its slash: it is no path of ours.
const FORWARD: &str = "ddforward";
const EVENTS: &str = "api/v2/rum";

/// The SDK compresses nothing else, and says so nowhere else.
const DEFLATED: &str = "dd-evp-encoding=deflate";

/// The SDK closes an event at 256 KiB. Bounds what one takes when it is read: some ten times its size.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// Custom attributes of an event: more than a point takes.
const ATTRIBUTES_MAX: usize = 1024;

/// What its SDK is called; its version stands in every event.
const SDK_NAME: &[u8] = b"browser-rum-sdk";

const TAKEN: u16 = 202;

/// The route.
pub fn route(head: &Head<'_>, peer: &Peer, settings: &Settings) -> Option<Action> {
    let cors = cors(head, &settings.options.allowed_cors_origins);
    let forward = match head.method {
        Method::Get => None,
        Method::Post => query::first(head.query, FORWARD),
        _ => return None,
    };
    let forward = forward.unwrap_or_default();
    let (target, forwarded) = forward.split_once('?').unwrap_or((&forward, ""));
    if target.strip_prefix('/') != Some(EVENTS) {
        return Some(Action::Reply(Reply::empty(TAKEN).with_cors(&cors)));
    }
    let (route, ack) = match route_and_ack(head, settings) {
        Ok(found) => found,
        Err(reply) => return Some(Action::Reply(reply.with_cors(&cors))),
    };
    let is_deflated = forwarded.split('&').any(|pair| pair == DEFLATED);
    let encoding = if is_deflated { BodyEncoding::Coded(Encoding::Deflate) } else { BodyEncoding::of(head) };
    let sender = own_tags(head, peer, BodyFormat::LineProtocol, settings);
    Some(Action::Convert(Box::new(ConvertPlan {
        api: API_DATADOG,
        encoding,
        route,
        ack,
        cors,
        job: Box::new(EventsJob { sender }),
    })))
}

#[derive(Debug)]
struct EventsJob {
    /// Tags that say who sends, and where from.
    sender: GlobalTags,
}

impl Convert for EventsJob {
    fn convert(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<Reply, Fault> {
        let settings = cx.settings;
        let tags = &settings.options.host_tags;
        for line in body.bytes().split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
            if line.is_empty() {
                continue;
            }
            if line.len() > EVENT_BYTES_MAX {
                return Err(Fault::TooLarge(EVENT_BYTES_MAX));
            }
            let event: Value =
                serde_json::from_slice(line).map_err(|error| Fault::malformed(error.to_string()))?;
            let Some(kind) = at(&event, "type").and_then(Value::as_str) else {
                return Err(Fault::malformed("an event has no type"));
            };
            if !is_wanted(&event, kind, settings) {
                cx.filtered(Category::Rum, 1);
                continue;
            }
            self.point(&event, kind, Builder::new(cx.tape, body.bytes()));
            cx.flush_if_long(Category::Rum, Precision::Millis, tags, body)?;
        }
        cx.flush(Category::Rum, Precision::Millis, tags, body)?;
        Ok(Reply::empty(TAKEN))
    }

    fn refuse(&self, fault: &Fault) -> Reply {
        fault.with_retry(super::text_reply(fault.status(), &fault.text()))
    }
}

/// Whether the configuration takes events of this kind and application. What the SDK tells of itself it may tell before it
/// knows its application.
fn is_wanted(event: &Value, kind: &str, settings: &Settings) -> bool {
    let rum = &settings.options.rum;
    let application = at(event, "application.id").and_then(Value::as_str);
    let is_known = match application {
        Some(id) => rum.app_ids.is_empty() || rum.app_ids.iter().any(|known| known == id),
        None => kind == names::TELEMETRY,
    };
    is_known && rum.measurements.iter().any(|known| known == kind)
}

impl EventsJob {
    fn point(&self, event: &Value, kind: &str, mut point: Builder<'_>) {
        point.tag(b"sdk_name", SDK_NAME);
        for (name, key) in [("sdk_version", "sdk_version"), ("env", "env")] {
            if let Some(value) = datadog_tag(event, name) {
                point.tag(key.as_bytes(), value.as_bytes());
            }
        }
        let (of_all, of_kind) = (&names::OF_ALL, names::of(kind));
        for (path, key) in of_all.tags.iter().chain(of_kind.tags) {
            if let Some(value) = at(event, path) {
                tag(&mut point, key, value);
            }
        }
        if kind != names::TELEMETRY {
            let is_signed_in = at(event, "usr.id").is_some();
            point.tag(b"is_signin", if is_signed_in { b"T" } else { b"F" });
        }
        for tag in self.sender.as_slice() {
            point.tag(&tag.key, &tag.value);
        }
        if let Some(url) = at(event, "view.url").and_then(Value::as_str).map(Url::parse) {
            point.tag(b"view_host", url.host.as_bytes());
            point.tag(b"view_path", url.path.as_bytes());
            if let Some(query) = url.query_json() {
                point.text_field(b"view_url_query", &query);
            }
        }
        if let Some(url) = at(event, "resource.url").and_then(Value::as_str).map(Url::parse) {
            point.text_field(b"resource_url_host", url.host.as_bytes());
            point.text_field(b"resource_url_path", url.path.as_bytes());
            if let Some(query) = url.query_json() {
                point.text_field(b"resource_url_query", &query);
            }
        }
        if let Some(class @ 1..=5) =
            at(event, "resource.status_code").and_then(Value::as_u64).map(|code| code / 100)
        {
            point.tag(b"resource_status_group", format!("{class}xx").as_bytes());
        }
        for (path, key) in of_kind.fields.iter().chain(of_all.fields) {
            if let Some(value) = at(event, path) {
                field(&mut point, key, value);
            }
        }
        if let Some(Value::Object(attributes)) = at(event, "context") {
            custom(&mut point, attributes);
        }
        let time_ms = at(event, "date").and_then(Value::as_i64).unwrap_or_default();
        point.finish(kind.as_bytes(), time_ms);
    }
}

/// The page's own attributes, and their names in a list, as the platform's SDK does it.
fn custom(point: &mut Builder<'_>, attributes: &Map<String, Value>) {
    for (key, value) in attributes.iter().take(ATTRIBUTES_MAX) {
        field(point, key, value);
    }
    if !attributes.is_empty() {
        let keys: Vec<&str> = attributes.keys().take(ATTRIBUTES_MAX).map(String::as_str).collect();
        field(point, "custom_keys", &Value::from(keys));
    }
}

/// What stands at a path of names with dots between them.
fn at<'a>(event: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(event, |value, name| value.get(name)).filter(|value| !value.is_null())
}

/// The value of one of the SDK's own tags, which stand in one text: `sdk_version:7.16.2,env:test`.
fn datadog_tag<'a>(event: &'a Value, name: &str) -> Option<&'a str> {
    let tags = at(event, "ddtags").and_then(Value::as_str)?;
    let mut pairs = tags.split(',').filter_map(|pair| pair.split_once(':'));
    pairs.find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value)
}

fn tag(point: &mut Builder<'_>, key: &str, value: &Value) {
    match value {
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => point.tag(key.as_bytes(), text.as_bytes()),
        other => point.tag(key.as_bytes(), other.to_string().as_bytes()),
    }
}

fn field(point: &mut Builder<'_>, key: &str, value: &Value) {
    let key = key.as_bytes();
    match value {
        Value::Null => {}
        Value::Bool(value) => point.bool_field(key, *value),
        // Of several kinds in one field the store would keep the first.
        Value::Number(number) => point.float_field(key, number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => point.text_field(key, text.as_bytes()),
        other => point.text_field(key, other.to_string().as_bytes()),
    }
}

/// The parts of an address that have names of their own.
#[derive(Debug, PartialEq, Eq)]
struct Url<'a> {
    host: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Url<'a> {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let slash = rest.find('/').unwrap_or(rest.len());
        let (host, path) = rest.split_at(slash);
        Url { host, path: if path.is_empty() { "/" } else { path }, query }
    }

    /// As an object in JSON.
    fn query_json(&self) -> Option<Vec<u8>> {
        let pairs = query::pairs(self.query).take(ATTRIBUTES_MAX);
        let object: Map<String, Value> =
            pairs.map(|pair| (String::from_utf8_lossy(&pair.key).into_owned(), pair.text().into())).collect();
        (!object.is_empty()).then(|| Value::Object(object).to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests;
