//! Log records to log points: the measurement is `log.source`, or else the service; attributes are fields, as DataKit has
//! them.

use crate::buf::Padded;
use crate::intake::convert::{Builder, Conversion, Fault};
use crate::point::check::FIELDS_MAX;
use crate::point::pb::{self, Wire};
use crate::point::{Category, Precision};

use super::attributes::{self, ATTRIBUTES_MAX, Any, Shared, key_value, name};

/// The measurement of logs of no service.
const SOURCE_DEFAULT: &[u8] = b"otel_logs";

/// By `(severity number - 1) / 4`.
const STATUSES: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];

/// Converts a request.
pub fn convert(body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<(), Fault> {
    let bytes = body.bytes();
    let settings = cx.settings;
    let tags = &settings.tracing_tags;
    let (mut at, mut shared) = (None, Shared::default());
    super::each_item(bytes, 2, &mut |resource, scope, record| {
        let place = (resource.as_ptr(), scope.as_ptr());
        if at != Some(place) {
            at = Some(place);
            shared = Shared::default();
            shared.add(resource, 1, FIELDS_MAX)?;
            for field in pb::fields(scope) {
                if let (1, Wire::Len(name)) = field?
                    && !name.is_empty()
                {
                    shared.list.push((b"scope_name"[..].into(), name.into()));
                }
            }
            shared.add(scope, 3, FIELDS_MAX)?;
        }
        let (mut time, mut observed, mut severity) = (0, 0, 0);
        let (mut severity_text, mut trace_id, mut span_id): (&[u8], &[u8], &[u8]) = (b"", b"", b"");
        let mut message = Any::Nothing;
        for field in pb::fields(record) {
            match field? {
                (1, Wire::Fixed64(ns)) => time = ns,
                (11, Wire::Fixed64(ns)) => observed = ns,
                (2, Wire::Varint(number)) => severity = number,
                (3, Wire::Len(text)) => severity_text = text,
                (5, Wire::Len(any)) => message = Any::parse(any)?,
                (9, Wire::Len(id)) => trace_id = id,
                (10, Wire::Len(id)) => span_id = id,
                _ => {}
            }
        }
        let service = shared.get(b"service_name").filter(|name| !name.is_empty());
        let source = shared.get(b"log_source").filter(|name| !name.is_empty());
        let mut point = Builder::new(cx.tape, bytes);
        let named = STATUSES.get((severity.wrapping_sub(1) / 4) as usize).filter(|_| severity > 0);
        let status = match (named, severity_text) {
            (Some(status), _) => status.as_bytes().to_vec(),
            (None, b"") => b"unknown".to_vec(),
            (None, text) => text.to_ascii_lowercase(),
        };
        point.tag(b"status", &status);
        point.tag(b"service", service.unwrap_or(b"unknown_service"));
        if let Some(host) = shared.get(b"host_name").filter(|host| !host.is_empty()) {
            point.tag(b"host", host);
        }
        point.text_field(b"message", &message.text()?);
        for (key, id) in [(&b"trace_id"[..], trace_id), (b"span_id", span_id)] {
            if id.iter().any(|&byte| byte != 0) {
                point.text_field(key, &attributes::id(id));
            }
        }
        for attribute in attributes::of(record, 6).take(ATTRIBUTES_MAX) {
            let (key, value) = key_value(attribute?)?;
            point.text_field(&name(key), &value.text()?);
        }
        for (name, value) in &shared.list {
            point.text_field(name, value);
        }
        let at = if time > 0 { time } else { observed };
        let name = source.or(service).unwrap_or(SOURCE_DEFAULT);
        point.finish(name, i64::try_from(at).unwrap_or_default());
        cx.flush_if_long(Category::Logging, Precision::Nanos, tags, body)
    })?;
    cx.flush(Category::Logging, Precision::Nanos, tags, body)
}
