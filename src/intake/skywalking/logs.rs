//! Logs to log points: the measurement is the service. A log without a text is none.

use crate::intake::convert::{Builder, Conversion, Fault};
use crate::point::Compat;
use crate::point::pb::{self, Wire};

use super::{Collector, pair};

const NS_PER_MS: i64 = 1_000_000;

/// Converts a log; what its texts lie in is given to the tape as `body`. The recorded DataKit has the time of receipt for
/// the log's.
pub fn convert(
    bytes: &[u8],
    body: &[u8],
    collector: &Collector,
    cx: &mut Conversion<'_>,
) -> Result<(), Fault> {
    let mut time_ms = 0;
    let mut message: &[u8] = b"";
    let (mut service, mut instance, mut endpoint, mut layer): (&[u8], &[u8], &[u8], &[u8]) =
        Default::default();
    let (mut context, mut tags) = (None, None);
    for field in pb::fields(bytes) {
        match field? {
            (1, Wire::Varint(time)) => time_ms = time as i64,
            (2, Wire::Len(text)) => service = text,
            (3, Wire::Len(text)) => instance = text,
            (4, Wire::Len(text)) => endpoint = text,
            (5, Wire::Len(text)) => message = text_of(text)?,
            (6, Wire::Len(bytes)) => context = Some(bytes),
            (7, Wire::Len(bytes)) => tags = Some(bytes),
            (8, Wire::Len(text)) => layer = text,
            _ => {}
        }
    }
    if message.is_empty() {
        return Ok(());
    }
    let recorded = cx.settings.options.compat == Compat::Datakit184;
    let mut point = Builder::new(cx.tape, body);
    let own = [
        (&b"endpoint"[..], endpoint),
        (b"service", service),
        (b"service_instance", instance),
        (b"layer", layer),
    ];
    for (key, value) in own {
        if !value.is_empty() {
            point.tag(key, value);
        }
    }
    if let Some(context) = context {
        let (mut trace_id, mut segment_id, mut span_id): (&[u8], &[u8], i64) = (b"", b"", 0);
        for field in pb::fields(context) {
            match field? {
                (1, Wire::Len(text)) => trace_id = text,
                (2, Wire::Len(text)) => segment_id = text,
                (3, Wire::Varint(id)) => span_id = i64::from(id as i32),
                _ => {}
            }
        }
        point.tag(b"trace_id", trace_id);
        point.tag(b"span_id", itoa::Buffer::new().format(span_id).as_bytes());
        point.tag(b"trace_segment_id", segment_id);
    }
    for (key, value) in &collector.options.tags {
        point.tag(key.as_bytes(), value.as_bytes());
    }
    for tag in pb::fields(tags.unwrap_or_default()) {
        let (1, Wire::Len(tag)) = tag? else { continue };
        match pair(tag)? {
            (b"level", level) => point.tag(b"status", &level.to_ascii_lowercase()),
            (b"logger", logger) => point.tag(b"filename", logger),
            (key, value) => point.tag(key, value),
        }
    }
    point.text_field(b"message", message);
    let time_ms = if recorded { 0 } else { time_ms };
    point.finish(service, time_ms.checked_mul(NS_PER_MS).unwrap_or_default());
    Ok(())
}

/// The text of a body: plain, JSON or YAML.
fn text_of(body: &[u8]) -> Result<&[u8], Fault> {
    let mut text: &[u8] = b"";
    for field in pb::fields(body) {
        let (2..=4, Wire::Len(inside)) = field? else { continue };
        for field in pb::fields(inside) {
            if let (1, Wire::Len(bytes)) = field? {
                text = bytes;
            }
        }
    }
    Ok(text)
}
