//! Segments to tracing points: measurement `skywalking`, one a span, as DataKit 1.84.1 makes them.
//!
//! A segment is what one thread did for a trace. A span's id is the segment's with its number behind it; a reference to
//! another segment, as the first span of a process has, says whose child it is. Only the first reference counts.

use crate::intake::convert::{Builder, Conversion, Fault};
use crate::intake::protobuf::{self, Style};
use crate::intake::tracing::collector::underscored;
use crate::intake::tracing::{RareResources, Verdict};
use crate::point::Category;
use crate::point::pb::{self, Wire};

use super::messages::SPAN;
use super::{Collector, pair};

const MEASUREMENT: &[u8] = b"skywalking";

const NS_PER_MS: i64 = 1_000_000;
const US_PER_MS: i64 = 1_000;

/// Spans of a segment. An agent stops at a few hundred and says so.
const SPANS_MAX: usize = 1 << 20;

// Kinds of spans.
const ENTRY: i64 = 0;
const EXIT: i64 = 1;

/// By the number of a layer: what kind of source that is.
const LAYERS: [&str; 7] = ["custom", "db", "framework", "web", "message_queue", "cache", "app"];
const DATABASE: usize = 1;
const CACHE: usize = 5;

#[derive(Debug, Default)]
struct Segment<'a> {
    trace_id: &'a [u8],
    id: &'a [u8],
    service: &'a [u8],
    instance: &'a [u8],
    spans: Vec<&'a [u8]>,
}

#[derive(Debug, Default)]
struct Span<'a> {
    id: i64,
    parent_id: i64,
    start_ms: i64,
    end_ms: i64,
    /// The first one.
    reference: Option<&'a [u8]>,
    operation: &'a [u8],
    peer: &'a [u8],
    kind: i64,
    layer: i64,
    is_error: bool,
}

impl<'a> Segment<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Segment<'a>, Fault> {
        let mut segment = Segment::default();
        for field in pb::fields(bytes) {
            match field? {
                (1, Wire::Len(text)) => segment.trace_id = text,
                (2, Wire::Len(text)) => segment.id = text,
                (3, Wire::Len(_)) if segment.spans.len() >= SPANS_MAX => {
                    return Err(Fault::TooLarge(SPANS_MAX * size_of::<&[u8]>()));
                }
                (3, Wire::Len(span)) => segment.spans.push(span),
                (4, Wire::Len(text)) => segment.service = text,
                (5, Wire::Len(text)) => segment.instance = text,
                _ => {}
            }
        }
        Ok(segment)
    }
}

impl<'a> Span<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Span<'a>, Fault> {
        let mut span = Span::default();
        for field in pb::fields(bytes) {
            match field? {
                // 32 bits, and negative numbers are written with 64.
                (1, Wire::Varint(value)) => span.id = i64::from(value as i32),
                (2, Wire::Varint(value)) => span.parent_id = i64::from(value as i32),
                (3, Wire::Varint(value)) => span.start_ms = value as i64,
                (4, Wire::Varint(value)) => span.end_ms = value as i64,
                (5, Wire::Len(reference)) => span.reference = span.reference.or(Some(reference)),
                (6, Wire::Len(text)) => span.operation = text,
                (7, Wire::Len(text)) => span.peer = text,
                (8, Wire::Varint(value)) => span.kind = value as i64,
                (9, Wire::Varint(value)) => span.layer = value as i64,
                (11, Wire::Varint(value)) => span.is_error = value != 0,
                _ => {}
            }
        }
        Ok(span)
    }

    fn parent(&self, segment: &Segment<'_>) -> Result<Vec<u8>, Fault> {
        let Some(reference) = self.reference else {
            return Ok(if self.parent_id < 0 { b"0".to_vec() } else { span_id(segment.id, self.parent_id) });
        };
        let (mut of, mut id): (&[u8], i64) = (b"", 0);
        for field in pb::fields(reference) {
            match field? {
                (3, Wire::Len(text)) => of = text,
                (4, Wire::Varint(value)) => id = i64::from(value as i32),
                _ => {}
            }
        }
        Ok(span_id(of, id))
    }
}

/// The id of a segment and the number of a span.
fn span_id(segment: &[u8], id: i64) -> Vec<u8> {
    [segment, itoa::Buffer::new().format(id).as_bytes()].concat()
}

/// Converts a segment; what its texts lie in is given to the tape as `body`.
pub fn convert(
    bytes: &[u8],
    body: &[u8],
    collector: &Collector,
    cx: &mut Conversion<'_>,
) -> Result<(), Fault> {
    let segment = Segment::parse(bytes)?;
    if segment.spans.is_empty() {
        return Ok(());
    }
    let mut sampled = None;
    let keeps = match filter(&segment, collector, &cx.settings.remembered.resources, cx.now_ns)? {
        Verdict::Keep => true,
        Verdict::Drop => false,
        Verdict::Open => {
            sampled = collector.filters.samples();
            collector.filters.sample(segment.trace_id) == Verdict::Keep
        }
    };
    if !keeps {
        cx.filtered(Category::Tracing, segment.spans.len() as u64);
        return Ok(());
    }
    for (index, bytes) in segment.spans.iter().enumerate() {
        let span = Span::parse(bytes)?;
        let mut point = Builder::new(cx.tape, body);
        if let Some(rate) = sampled.filter(|_| index == 0) {
            point.float_field(b"dk_sampling_rate", rate);
        }
        write(&segment, &span, bytes, collector, &mut point)?;
        point.finish(MEASUREMENT, span.start_ms.checked_mul(NS_PER_MS).unwrap_or_default());
    }
    Ok(())
}

fn write(
    segment: &Segment<'_>,
    span: &Span<'_>,
    bytes: &[u8],
    collector: &Collector,
    point: &mut Builder<'_>,
) -> Result<(), Fault> {
    let options = &collector.options;
    let layer = usize::try_from(span.layer).unwrap_or_default();
    let plugin = plugin(bytes, collector)?;
    let statement = match &plugin {
        Some(_) if layer == DATABASE || layer == CACHE => tag(bytes, b"db.statement")?,
        _ => None,
    };
    point.text_field(b"trace_id", segment.trace_id);
    point.text_field(b"parent_id", &span.parent(segment)?);
    point.text_field(b"span_id", &span_id(segment.id, span.id));
    match statement {
        Some(statement) => point.tag(b"resource", statement),
        None => point.text_field(b"resource", span.operation),
    }
    point.int_field(b"start", span.start_ms.saturating_mul(US_PER_MS));
    point.int_field(b"duration", span.end_ms.saturating_sub(span.start_ms).saturating_mul(US_PER_MS));
    if !options.del_message {
        let mut message = Vec::with_capacity(bytes.len() * 2);
        protobuf::to_json(&SPAN, bytes, Style { wide_as_text: false }, &mut message)?;
        point.text_field(b"message", &message);
    }
    let (service, span_type, source_type) = match plugin {
        Some(service) => (service, "entry", LAYERS.get(layer).copied().unwrap_or("custom")),
        None => {
            let span_type = match span.kind {
                ENTRY => "entry",
                EXIT => "exit",
                _ => "local",
            };
            (segment.service, span_type, "custom")
        }
    };
    point.tag(b"service", service);
    point.tag(b"service_instance", segment.instance);
    point.tag(b"source", MEASUREMENT);
    point.tag(b"source_type", source_type.as_bytes());
    point.tag(b"span_type", span_type.as_bytes());
    point.tag(b"status", if span.is_error { b"error" } else { b"ok" });
    if !span.peer.is_empty() {
        point.tag(b"endpoint", span.peer);
    }
    for field in pb::fields(bytes) {
        let (12, Wire::Len(tag)) = field? else { continue };
        let (key, value) = pair(tag)?;
        if !collector.ignored.iter().any(|pattern| pattern.is_match(key)) {
            point.tag(&underscored(key), value);
        }
    }
    for (key, value) in &options.tags {
        point.tag(key.as_bytes(), value.as_bytes());
    }
    Ok(())
}

/// The value of a span's tag, if it says anything.
fn tag<'a>(span: &'a [u8], wanted: &[u8]) -> Result<Option<&'a [u8]>, Fault> {
    for field in pb::fields(span) {
        let (12, Wire::Len(tag)) = field? else { continue };
        let (key, value) = pair(tag)?;
        if key == wanted && !value.is_empty() {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// What a span of a plugin names as its service.
fn plugin<'a>(span: &'a [u8], collector: &Collector) -> Result<Option<&'a [u8]>, Fault> {
    let mut found = None;
    for key in &collector.options.plugins {
        found = tag(span, key.as_bytes())?.or(found);
    }
    Ok(found)
}

/// What the filters before the sampler say of a segment.
fn filter(
    segment: &Segment<'_>,
    collector: &Collector,
    seen: &RareResources,
    now_ns: i64,
) -> Result<Verdict, Fault> {
    let filters = &collector.filters;
    if filters.is_open() {
        return Ok(Verdict::Keep);
    }
    let (mut has_error, mut entry) = (false, None);
    for bytes in &segment.spans {
        let span = Span::parse(bytes)?;
        if filters.closes(segment.service, span.operation) {
            return Ok(Verdict::Drop);
        }
        has_error |= span.is_error;
        if span.kind == ENTRY && entry.is_none() {
            entry = Some(span.operation);
        }
    }
    if has_error || filters.samples().is_none() {
        return Ok(Verdict::Keep);
    }
    let is_rare = entry
        .is_some_and(|operation| filters.is_rare([segment.service, operation, b"skywalking"], seen, now_ns));
    Ok(if is_rare { Verdict::Keep } else { Verdict::Open })
}
