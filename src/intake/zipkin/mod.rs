//! Zipkin: `POST /api/v2/spans` in JSON and protobuf, `POST /api/v1/spans` in JSON and Thrift.
//!
//! Spans become tracing points as DataKit makes them: measurement `zipkin`, `error` among the tags says that a span
//! failed, `message` is the span in JSON, as it came where it came so. Of the tags of a span those that the platform knows
//! become tags.
//!
//! 202 is the answer to what was taken, as Zipkin's own; reporters look at nothing but its class.

mod span;
mod thrift;

use crate::buf::Padded;
use crate::codec::json::{Elements, Tape as JsonTape};
use crate::http1::{Head, Method};
use crate::metrics::names::API_ZIPKIN;
use crate::point::pb::{self, Wire};
use crate::point::{Category, Compat, Precision};

use super::convert::{BodyEncoding, Builder, Conversion, Convert, ConvertPlan, Fault, route_and_ack};
use super::protobuf::malformed;
use super::reply::{ContentType, cors};
use super::tracing::chunks::{Chunks, Fate, Fates, Seen};
use super::{Action, Clock, Peer, Reply, Settings};

use span::Span;

/// All paths.
pub const PATHS: [&str; 2] = ["/api/v2/spans", "/api/v1/spans"];

/// Spans of a request: reporters send some hundreds.
const SPANS_MAX: usize = 1 << 18;

/// Containers inside each other.
const DEPTH_MAX: usize = 16;

const NS_PER_US: i64 = 1_000;

/// A longer value is a field and not a tag.
const TAG_VALUE_BYTES_MAX: usize = 1024;

/// Tags of a span that become tags of its point, `.` written `_`.
const TAGS: [&str; 18] = [
    "http.url",
    "http.method",
    "http.path",
    "http.route",
    "http.host",
    "http.status_code",
    "db.type",
    "db.instance",
    "db.operation",
    "error.type",
    "error.message",
    "error.stack",
    "project",
    "version",
    "env",
    "host",
    "pod_name",
    "pod_namespace",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    V1,
    V2,
    Protobuf,
    Thrift,
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
    let is_second = match path {
        b"/api/v2/spans" => true,
        b"/api/v1/spans" => false,
        _ => return None,
    };
    if head.method != Method::Post {
        return None;
    }
    let cors = cors(head, &settings.options.allowed_cors_origins);
    let (route, ack) = match route_and_ack(head, settings) {
        Ok(found) => found,
        Err(reply) => return Some(Action::Reply(reply.with_cors(&cors))),
    };
    let content_type = head.header("content-type").unwrap_or_default();
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let form = match media_type.trim_ascii().to_ascii_lowercase().as_slice() {
        b"" | b"application/json" if is_second => Form::V2,
        b"" | b"application/json" => Form::V1,
        b"application/x-protobuf" if is_second => Form::Protobuf,
        b"application/x-thrift" if !is_second => Form::Thrift,
        _ => Form::Unknown,
    };
    let job = Job { form, remote_ip: peer.text(), compat: settings.options.compat };
    Some(Action::Convert(Box::new(ConvertPlan {
        api: API_ZIPKIN,
        encoding: BodyEncoding::of(head),
        route,
        ack,
        cors,
        job: Box::new(job),
    })))
}

#[derive(Debug)]
struct Job {
    form: Form,
    remote_ip: String,
    compat: Compat,
}

/// Takes a span, and its JSON where it came as such.
type Take<'t> = dyn FnMut(Span, Option<&[u8]>) -> Result<(), Fault> + 't;

/// What is known of the spans of a request, by id.
#[derive(Default)]
struct Relations {
    /// Ids, and whose service they are.
    spans: Vec<(String, Vec<u8>)>,
    parents: Vec<String>,
}

impl Relations {
    fn span_type(&self, span: &Span) -> &'static str {
        if span.parent_id.is_empty() {
            return "entry";
        }
        let parent = self.spans.binary_search_by(|(id, _)| id.cmp(&span.parent_id));
        match parent.ok().and_then(|index| self.spans.get(index)) {
            Some((_, service)) if *service == span.service => {
                if self.parents.binary_search(&span.id).is_ok() { "local" } else { "exit" }
            }
            _ => "entry",
        }
    }
}

impl Job {
    /// Calls `take` with each span.
    fn each(&self, body: &[u8], take: &mut Take<'_>) -> Result<(), Fault> {
        if self.form == Form::Protobuf {
            for field in pb::fields(body) {
                if let (1, Wire::Len(bytes)) = field? {
                    take(Span::protobuf(bytes)?, None)?;
                }
            }
            return Ok(());
        }
        if self.form == Form::Thrift {
            return thrift::each(body, &mut |span| take(span, None));
        }
        let mut elements =
            Elements::new(body).ok_or_else(|| Fault::malformed("the body is no JSON array"))?;
        let mut tape = JsonTape::default();
        while elements.next(&mut tape, DEPTH_MAX).map_err(malformed)? {
            let place = tape.root(body);
            let span = if self.form == Form::V1 { Span::v1(place)? } else { Span::v2(place)? };
            take(span, Some(elements.text()))?;
        }
        Ok(())
    }

    fn read(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<(), Fault> {
        let bytes = body.bytes();
        let mut relations = Relations::default();
        self.each(bytes, &mut |span, _| {
            if relations.spans.len() >= SPANS_MAX {
                return Err(Fault::TooLarge(SPANS_MAX * size_of::<Span>()));
            }
            relations.spans.push((span.id, span.service));
            relations.parents.push(span.parent_id);
            Ok(())
        })?;
        relations.spans.sort_unstable();
        relations.parents.sort_unstable();
        let settings = cx.settings;
        let tags = &settings.tracing_tags;
        let mut fates = self.fates(bytes, &relations, cx)?;
        self.each(bytes, &mut |span, json| {
            let fate = fates.next(span.trace_id.as_bytes());
            if fate == Fate::Drop {
                cx.filtered(Category::Tracing, 1);
                return Ok(());
            }
            self.point(&span, json, &relations, fate, bytes, cx);
            cx.flush_if_long(Category::Tracing, Precision::Nanos, tags, body)
        })?;
        cx.flush(Category::Tracing, Precision::Nanos, tags, body)
    }

    /// What becomes of each trace. Where nothing is filtered, nothing is looked at.
    fn fates(&self, bytes: &[u8], relations: &Relations, cx: &Conversion<'_>) -> Result<Fates, Fault> {
        let filters = &cx.settings.zipkin.filters;
        if filters.is_open() {
            return Ok(Fates::default());
        }
        let mut chunks = Chunks::default();
        self.each(bytes, &mut |span, _| {
            let seen = Seen {
                service: span.service(),
                resource: span.resource(),
                is_error: span.is_error(),
                is_entry: relations.span_type(&span) == "entry",
            };
            chunks.note(span.trace_id.as_bytes(), seen, filters);
            Ok(())
        })?;
        Ok(chunks.judge(filters, b"zipkin", &cx.settings.remembered.resources, cx.now_ns))
    }

    fn point(
        &self,
        span: &Span,
        json: Option<&[u8]>,
        relations: &Relations,
        fate: Fate,
        body: &[u8],
        cx: &mut Conversion<'_>,
    ) {
        let collector = &cx.settings.zipkin;
        let mut point = Builder::new(cx.tape, body);
        if let Fate::Sampled(Some(rate)) = fate {
            point.float_field(b"dk_sampling_rate", rate);
        }
        point.text_field(b"trace_id", span.trace_id.as_bytes());
        let parent: &[u8] = if span.parent_id.is_empty() { b"0" } else { span.parent_id.as_bytes() };
        point.text_field(b"parent_id", parent);
        point.text_field(b"span_id", span.id.as_bytes());
        point.text_field(b"resource", span.resource());
        point.int_field(b"start", span.timestamp_us);
        point.int_field(b"duration", span.duration_us);
        match json {
            _ if collector.options.del_message => {}
            Some(json) => point.text_field(b"message", json),
            None => point.text_field(b"message", &span.json()),
        }
        point.tag(b"service", span.service());
        point.tag(b"operation", &span.name);
        point.tag(b"source", b"zipkin");
        point.tag(b"source_type", b"custom");
        point.tag(b"span_type", relations.span_type(span).as_bytes());
        point.tag(b"status", if span.is_error() { b"error" } else { b"ok" });
        point.tag(b"remote_ip", self.remote_ip.as_bytes());
        if !span.kind.is_empty() {
            point.tag(b"span_kind", &span.kind.to_ascii_lowercase());
        }
        let mut promote = |key: &[u8], value: &[u8]| {
            if value.len() > TAG_VALUE_BYTES_MAX {
                point.text_field(key, value);
            } else {
                point.tag(key, value);
            }
        };
        for name in TAGS {
            if let Some(value) = span.tag(name) {
                promote(name.replace('.', "_").as_bytes(), value);
            }
        }
        for (key, value) in &span.tags {
            if let Some(tag) = collector.customer_tag(key) {
                promote(&tag, value);
            }
        }
        for (key, value) in &collector.options.tags {
            point.tag(key.as_bytes(), value.as_bytes());
        }
        point.finish(b"zipkin", span.timestamp_us.checked_mul(NS_PER_US).unwrap_or_default());
    }
}

impl Convert for Job {
    fn convert(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<Reply, Fault> {
        if self.form == Form::Unknown {
            let text = "the Content-Type must be application/json, or application/x-protobuf for version 2, or \
                        application/x-thrift for version 1";
            return Err(Fault::Unsupported(text.to_owned()));
        }
        self.read(body, cx)?;
        Ok(Reply::empty(if self.compat == Compat::Datakit184 { 200 } else { 202 }))
    }

    fn refuse(&self, fault: &Fault) -> Reply {
        let recorded = self.compat == Compat::Datakit184;
        match fault {
            Fault::Malformed(_) | Fault::Unsupported(_) if recorded => Reply::empty(400),
            fault => fault.with_retry(Reply {
                content_type: ContentType::Value("text/plain; charset=utf-8".into()),
                body: fault.text().into_bytes(),
                ..Reply::empty(fault.status())
            }),
        }
    }
}

#[cfg(test)]
mod tests;
