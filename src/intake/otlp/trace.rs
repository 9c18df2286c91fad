//! Spans to tracing points: measurement `opentelemetry`, one a span, as DataKit makes them.
//!
//! Attributes that the platform knows become tags, under one name whatever the version of the conventions; all others
//! stand in `message`, which is the span as OTLP's JSON, with those of its resource and scope among its own.

use std::borrow::Cow;

use crate::buf::Padded;
use crate::intake::convert::{Builder, Conversion, Fault};
use crate::intake::protobuf;
use crate::intake::tracing::chunks::{Chunks, Fate, Fates, Seen};
use crate::intake::tracing::collector::Collector;
use crate::point::check::TAGS_MAX;
use crate::point::pb::{self, Wire};
use crate::point::{Category, Precision};

use super::attributes::{self, Any, STYLE, key_value};
use super::messages::SHOWN_SPAN;

/// Spans of a request: more than a collector batches; beyond, their ids alone take long to sort.
const SPANS_MAX: usize = 1 << 20;

/// The measurement, and the tag `source`.
const SOURCE: &[u8] = b"opentelemetry";

const UNKNOWN_SERVICE: &[u8] = b"unknown_service";

/// A longer value is a field and not a tag.
const TAG_VALUE_BYTES_MAX: usize = 1024;

const NS_PER_US: u64 = 1_000;

/// The tag that an attribute becomes.
fn tag_of(key: &[u8]) -> Option<&'static str> {
    Some(match key {
        b"db.system" | b"db.system.name" => "db_system",
        b"db.operation" | b"db.operation.name" => "db_operation",
        b"db.name" | b"db.namespace" => "db_name",
        b"db.statement" | b"db.query.text" => "db_statement",
        b"server.address" => "server_address",
        b"server.port" => "server_port",
        b"net.host.name" => "net_host_name",
        b"net.host.port" => "net_host_port",
        b"network.peer.address" => "network_peer_address",
        b"network.peer.port" => "network_peer_port",
        b"network.transport" => "network_transport",
        b"http.request.method" | b"http.method" => "http_method",
        b"http.response.status_code" | b"http.status_code" => "http_status_code",
        b"http.route" => "http_route",
        b"http.target" => "http_target",
        b"http.scheme" => "http_scheme",
        b"http.url" => "http_url",
        b"url.full" => "url_full",
        b"url.scheme" => "url_scheme",
        b"url.path" => "url_path",
        b"url.query" => "url_query",
        b"messaging.system" => "messaging_system",
        b"messaging.operation" | b"messaging.operation.name" => "messaging_operation",
        b"messaging.destination.name" => "messaging_destination_name",
        b"rpc.service" => "rpc_service",
        b"rpc.system" => "rpc_system",
        b"rpc.method" => "rpc_method",
        b"rpc.grpc.status_code" => "rpc_grpc_status_code",
        b"error.type" => "error_type",
        b"container.name" => "container_name",
        b"process.pid" => "process_pid",
        b"project" => "project",
        b"version" | b"service.version" => "version",
        b"env" | b"deployment.environment" | b"deployment.environment.name" => "env",
        b"host" => "host",
        b"host.name" => "host_name",
        b"pod_name" => "pod_name",
        b"pod_namespace" => "pod_namespace",
        _ => return None,
    })
}

/// A key and its value.
type Tag<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// Attributes, parted: those that become tags, and the others as a list in JSON.
#[derive(Debug, Default)]
struct Parted<'a> {
    tags: Vec<Tag<'a>>,
    shown: Vec<u8>,
    service: Option<&'a [u8]>,
    runtime_id: Option<&'a [u8]>,
}

impl<'a> Parted<'a> {
    fn of(bytes: &'a [u8], number: u64, collector: &'a Collector) -> Result<Parted<'a>, Fault> {
        let mut parted = Parted::default();
        for attribute in attributes::of(bytes, number) {
            let attribute = attribute?;
            let (key, value) = key_value(attribute)?;
            match (key, value) {
                (b"service.name", Any::Text(text)) => parted.service = Some(text),
                (b"runtime-id" | b"runtime_id", Any::Text(text)) => parted.runtime_id = Some(text),
                _ => {}
            }
            let known = tag_of(key).map(|tag| Cow::Borrowed(tag.as_bytes()));
            match known.or_else(|| collector.customer_tag(key)) {
                Some(tag) if parted.tags.len() <= TAGS_MAX && !parted.has(&tag) => {
                    parted.tags.push((tag, value.text()?));
                }
                Some(_) => {}
                None => attributes::show(attribute, &mut parted.shown)?,
            }
        }
        Ok(parted)
    }

    fn has(&self, tag: &[u8]) -> bool {
        self.tags.iter().any(|(there, _)| **there == *tag)
    }
}

/// Who is whose parent among all spans of the request.
#[derive(Debug, Default)]
struct Relations {
    ids: Vec<u64>,
    parents: Vec<u64>,
}

impl Relations {
    fn of(body: &[u8]) -> Result<Relations, Fault> {
        let mut relations = Relations::default();
        each_span(body, &mut |_, _, span| {
            let span = Span::parse(span)?;
            if relations.ids.len() >= SPANS_MAX {
                return Err(Fault::TooLarge(SPANS_MAX * size_of::<u64>()));
            }
            relations.ids.push(number(span.span_id));
            relations.parents.push(number(span.parent_id));
            Ok(())
        })?;
        relations.ids.sort_unstable();
        relations.parents.sort_unstable();
        Ok(relations)
    }

    fn span_type(&self, span: &Span<'_>) -> &'static str {
        let parent = number(span.parent_id);
        if parent == 0 || self.ids.binary_search(&parent).is_err() {
            return "entry";
        }
        if self.parents.binary_search(&number(span.span_id)).is_ok() { "local" } else { "exit" }
    }
}

/// A span's id as a number.
fn number(id: &[u8]) -> u64 {
    id.iter().rev().take(8).rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[derive(Debug, Default)]
struct Span<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent_id: &'a [u8],
    name: &'a [u8],
    kind: u64,
    start: u64,
    end: u64,
    /// None: no status was given.
    code: Option<u64>,
}

impl<'a> Span<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Span<'a>, Fault> {
        let mut span = Span::default();
        for field in pb::fields(bytes) {
            match field? {
                (1, Wire::Len(id)) => span.trace_id = id,
                (2, Wire::Len(id)) => span.span_id = id,
                (4, Wire::Len(id)) => span.parent_id = id,
                (5, Wire::Len(name)) => span.name = name,
                (6, Wire::Varint(kind)) => span.kind = kind,
                (7, Wire::Fixed64(time)) => span.start = time,
                (8, Wire::Fixed64(time)) => span.end = time,
                (15, Wire::Len(status)) => {
                    let code = pb::fields(status).filter_map(Result::ok).filter_map(|field| match field {
                        (3, Wire::Varint(code)) => Some(code),
                        _ => None,
                    });
                    span.code = Some(code.last().unwrap_or_default());
                }
                _ => {}
            }
        }
        Ok(span)
    }

    /// What DataKit calls it: a span without a status is `info`.
    fn status(&self) -> &'static str {
        match self.code {
            Some(0 | 1) => "ok",
            Some(2) => "error",
            _ => "info",
        }
    }
}

const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

/// Calls `take` with resource, scope and span for each span.
fn each_span<'a>(
    body: &'a [u8],
    take: &mut dyn FnMut(&'a [u8], &'a [u8], &'a [u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    super::each_item(body, 2, take)
}

/// What becomes of each trace. Where nothing is filtered, nothing is looked at.
fn fates(
    bytes: &[u8],
    relations: &Relations,
    collector: &Collector,
    cx: &Conversion<'_>,
) -> Result<Fates, Fault> {
    let filters = &collector.filters;
    if filters.is_open() {
        return Ok(Fates::default());
    }
    let mut chunks = Chunks::default();
    let (mut at, mut service) = (None, UNKNOWN_SERVICE);
    each_span(bytes, &mut |resource_bytes, _, span_bytes| {
        if at != Some(resource_bytes.as_ptr()) {
            at = Some(resource_bytes.as_ptr());
            service = Parted::of(resource_bytes, 1, collector)?.service.unwrap_or(UNKNOWN_SERVICE);
        }
        let span = Span::parse(span_bytes)?;
        let seen = Seen {
            service,
            resource: span.name,
            is_error: span.status() == "error",
            is_entry: relations.span_type(&span) == "entry",
        };
        chunks.note(&attributes::id(span.trace_id), seen, filters);
        Ok(())
    })?;
    Ok(chunks.judge(filters, SOURCE, &cx.settings.remembered.resources, cx.now_ns))
}

/// Converts a request.
pub fn convert(body: Padded<'_>, remote_ip: &str, cx: &mut Conversion<'_>) -> Result<(), Fault> {
    let bytes = body.bytes();
    let relations = Relations::of(bytes)?;
    let settings = cx.settings;
    let (collector, tags) = (&settings.otlp, &settings.tracing_tags);
    let mut fates = fates(bytes, &relations, collector, cx)?;
    // Of the resource and scope at hand: many spans share them.
    let (mut at, mut resource, mut scope) = (None, Parted::default(), Parted::default());
    each_span(bytes, &mut |resource_bytes, scope_bytes, span_bytes| {
        let place = (resource_bytes.as_ptr(), scope_bytes.as_ptr());
        if at != Some(place) {
            at = Some(place);
            resource = Parted::of(resource_bytes, 1, collector)?;
            scope = Parted::of(scope_bytes, 3, collector)?;
        }
        let span = Span::parse(span_bytes)?;
        let trace_id = attributes::id(span.trace_id);
        let fate = fates.next(&trace_id);
        if fate == Fate::Drop {
            cx.filtered(Category::Tracing, 1);
            if collector.labels.is_none() {
                return Ok(());
            }
        }
        let own = Parted::of(span_bytes, 9, collector)?;
        let arena_len = cx.tape.arena.len();
        let mut point = Builder::new(cx.tape, bytes);
        if let Fate::Sampled(Some(rate)) = fate {
            point.float_field(b"dk_sampling_rate", rate);
        }
        point.text_field(b"trace_id", &trace_id);
        point.text_field(b"parent_id", &attributes::id(span.parent_id));
        point.text_field(b"span_id", &attributes::id(span.span_id));
        point.text_field(b"resource", span.name);
        point.int_field(b"start", (span.start / NS_PER_US) as i64);
        point.int_field(b"duration", (span.end.saturating_sub(span.start) / NS_PER_US) as i64);
        point.tag(b"operation", span.name);
        point.tag(b"service", resource.service.unwrap_or(UNKNOWN_SERVICE));
        point.tag(b"source", SOURCE);
        point.tag(b"span_type", relations.span_type(&span).as_bytes());
        point.tag(b"status", span.status().as_bytes());
        point.tag(b"remote_ip", remote_ip.as_bytes());
        if let Some(kind) = KINDS.get(span.kind as usize) {
            point.tag(b"span_kind", kind.as_bytes());
        }
        if let Some(id) = resource.runtime_id.or(own.runtime_id) {
            point.text_field(b"runtime_id", id);
        }
        exception(span_bytes, &mut point)?;
        for (tag, value) in own.tags.iter().chain(&scope.tags).chain(&resource.tags) {
            if value.len() > TAG_VALUE_BYTES_MAX {
                point.text_field(tag, value);
            } else {
                point.tag(tag, value);
            }
        }
        if point.has(b"db_system")
            && let Some((_, host)) = own.tags.iter().find(|(tag, _)| **tag == *b"server_address")
        {
            point.tag(b"db_host", host);
        }
        let is_web = [&b"http_scheme"[..], b"http_method", b"rpc_system"].iter().any(|tag| point.has(tag));
        let source_type = match () {
            () if is_web => "web",
            () if point.has(b"db_system") => "db",
            () if point.has(b"messaging_system") => "message_queue",
            () => "custom",
        };
        point.tag(b"source_type", source_type.as_bytes());
        if let Some(class @ b'1'..=b'5') =
            point.tag_value(b"http_status_code").and_then(|code| code.first()).copied()
        {
            point.tag(b"http_status_class", &[class, b'x', b'x']);
        }
        for (key, value) in &collector.options.tags {
            point.tag(key.as_bytes(), value.as_bytes());
        }
        if !collector.options.del_message {
            point.text_field(b"message", &message(span_bytes, [&own, &scope, &resource])?);
        }
        point.finish(SOURCE, i64::try_from(span.start).unwrap_or_default());
        if let Some(labels) = &collector.labels {
            cx.count_span(labels, bytes);
        }
        if fate == Fate::Drop {
            cx.take_back(arena_len);
        }
        cx.flush_if_long(Category::Tracing, Precision::Nanos, tags, body)
    })?;
    cx.flush(Category::Tracing, Precision::Nanos, tags, body)
}

/// The span as JSON, with the attributes of its scope and resource among its own.
fn message(span_bytes: &[u8], parted: [&Parted<'_>; 3]) -> Result<Vec<u8>, Fault> {
    let mut message = Vec::with_capacity(span_bytes.len() * 2);
    protobuf::to_json(&SHOWN_SPAN, span_bytes, STYLE, &mut message)?;
    let shown = parted.into_iter().map(|parted| &parted.shown).filter(|list| !list.is_empty());
    for (index, list) in shown.enumerate() {
        // Before the closing brace of the object, or of the list that was begun.
        message.truncate(message.len() - if index == 0 { 1 } else { 2 });
        let begin: &[u8] = match (index, message.last()) {
            (0, Some(b'{')) => b"\"attributes\":[",
            (0, _) => b",\"attributes\":[",
            _ => b",",
        };
        message.extend_from_slice(begin);
        message.extend_from_slice(list);
        message.extend_from_slice(b"]}");
    }
    Ok(message)
}

/// The first event that is an exception, as fields.
fn exception(span: &[u8], point: &mut Builder<'_>) -> Result<(), Fault> {
    for event in attributes::of(span, 11) {
        let event = event?;
        let name = pb::fields(event).filter_map(Result::ok).find_map(|field| match field {
            (2, Wire::Len(name)) => Some(name),
            _ => None,
        });
        if name != Some(b"exception") {
            continue;
        }
        for attribute in attributes::of(event, 3) {
            let (key, value) = key_value(attribute?)?;
            let field: &[u8] = match key {
                b"exception.type" => b"error_type",
                b"exception.message" => b"error_message",
                b"exception.stacktrace" => b"error_stack",
                _ => continue,
            };
            point.text_field(field, &value.text()?);
        }
        return Ok(());
    }
    Ok(())
}
