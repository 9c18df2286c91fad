//! Spans to tracing points, one a span: measurement `ddtrace`, as DataKit 1.84.1 makes them.
//!
//! Everything lies in the body or in the tape's arena; no point takes an owned form on the way. The arena begins with the
//! names that all points have in common, and a bit for each name says whether the point at hand has that key.

use std::ops::Range;

use crate::buf::Padded;
use crate::codec::line_protocol::{Kind, Kv, PointSpan, Tape, span as span_bits};
use crate::intake::convert::{Conversion, Fault};
use crate::intake::tracing::{RareResources, Verdict};
use crate::point::check::without_newlines;
use crate::point::{Category, Precision};
use crate::simd::wire::{self, Isa, Kernel, Sources, Writer};

use super::collector::{self, Collector, Name, Names, Promoted, Seen, source_type};
use super::json;
use super::spans::{Span, Spans, Text, Window};

/// A longer value is a field and not a tag.
const TAG_VALUE_BYTES_MAX: usize = 1024;

const NS_PER_US: i64 = 1_000;

/// The upper half of a trace's id, as 16 hexadecimal digits, among the meta of its first span.
const UPPER_ID_KEY: &[u8] = b"_dd.p.tid";

/// Where an outgoing call to a database goes.
const PEER_HOST_KEY: &[u8] = b"peer.hostname";

/// Among the meta of the last span that is kept of a trace of too many.
const TRUNCATED: &[u8; 28] = b"\"__datakit_span_truncated\":\"";

/// Memory for one chunk after the other.
#[derive(Debug, Default)]
pub struct ChunkScratch {
    relations: Relations,
    trace_id: Vec<u8>,
    fields: Vec<Kv>,
    promoted: Vec<(Target, Text)>,
}

/// Who is whose parent in a chunk of many spans; in one of few they are simply looked through.
#[derive(Debug, Default)]
struct Relations {
    /// Ids, and which span has them, sorted.
    ids: Vec<(u64, u32)>,
    parents: Vec<u64>,
}

/// So many spans are looked through.
const FEW_SPANS: usize = 16;

#[derive(Clone, Copy, Debug)]
enum Target {
    Name(Name),
    /// The meta key itself, dots replaced.
    Own(Text),
}

/// What is the same for all chunks of a request.
pub struct Request<'a> {
    pub collector: &'a Collector,
    pub remote_ip: &'a str,
    /// Resources that traces began with.
    pub seen: &'a RareResources,
    /// Meta keys that become tags besides the collector's.
    pub trace_tags: &'a [Box<[u8]>],
}

/// Converts the spans of one trace.
pub fn chunk(
    request: &Request<'_>,
    spans: &Spans,
    range: Range<usize>,
    scratch: &mut ChunkScratch,
    body: Padded<'_>,
    cx: &mut Conversion<'_>,
) -> Result<(), Fault> {
    let all = spans.list.get(range).unwrap_or_default();
    let Some(first) = all.first() else { return Ok(()) };
    let collector = request.collector;
    let refused = |span: &Span| matches!(span.priority, Some(0 | -1 | -3));
    if all.iter().any(refused) {
        cx.filtered(Category::Tracing, all.len() as u64);
        return Ok(());
    }
    let ChunkScratch { relations, trace_id, fields, promoted } = scratch;
    put_trace_id(first, collector, spans, &body, trace_id);
    relations.relate(all);
    let mut sampled = None;
    let is_kept = match filter(request, spans, all, relations, &body, cx.now_ns) {
        Verdict::Keep => true,
        Verdict::Drop => false,
        Verdict::Open => {
            sampled = collector.filters.samples();
            collector.filters.sample(trace_id) != Verdict::Drop
        }
    };
    if !is_kept {
        cx.filtered(Category::Tracing, all.len() as u64);
        if collector.labels.is_none() {
            return Ok(());
        }
    }
    let kept = &all[..all.len().min(collector.options.trace_max_spans)];
    let truncated = all.len() - kept.len();
    if truncated > 0 && is_kept {
        cx.filtered(Category::Tracing, truncated as u64);
    }
    wire::run(ChunkKernel {
        request,
        spans,
        all,
        kept,
        is_kept,
        sampled,
        relations,
        trace_id,
        fields,
        promoted,
        body,
        cx,
    })
}

/// The points of a chunk, compiled for each set of instructions: most of the work is on windows, which are registers.
struct ChunkKernel<'a, 'r, 'c> {
    request: &'a Request<'r>,
    spans: &'a Spans,
    all: &'a [Span],
    /// Those of which there are points.
    kept: &'a [Span],
    /// Not: they are only counted.
    is_kept: bool,
    /// The sampler's rate.
    sampled: Option<f64>,
    relations: &'a Relations,
    trace_id: &'a [u8],
    fields: &'a mut Vec<Kv>,
    promoted: &'a mut Vec<(Target, Text)>,
    body: Padded<'a>,
    cx: &'a mut Conversion<'c>,
}

impl Kernel for ChunkKernel<'_, '_, '_> {
    type Output = Result<(), Fault>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Result<(), Fault> {
        let ChunkKernel { request, spans, all, kept, body, cx, .. } = self;
        let collector = request.collector;
        let tags = &cx.settings.tracing_tags;
        let mut shared = None;
        for (index, span) in kept.iter().enumerate() {
            if cx.tape.arena.is_empty() {
                cx.tape.arena.extend_from_slice(&collector.names.bytes);
                shared = None;
            }
            let shared = *shared.get_or_insert_with(|| Shared {
                trace_id: keep(&mut cx.tape.arena, self.trace_id).0,
                remote_ip: keep(&mut cx.tape.arena, request.remote_ip.as_bytes()).0,
            });
            let is_last = index + 1 == kept.len();
            let extra = Extra {
                sampled: self.sampled.filter(|_| index == 0),
                truncated: if is_last { all.len() - kept.len() } else { 0 },
            };
            let kind = self.relations.span_type(span, all, spans, &body);
            let arena_len = cx.tape.arena.len();
            point::<I>(
                request,
                spans,
                span,
                kind,
                shared,
                extra,
                (self.fields, self.promoted),
                body,
                cx.tape,
            );
            if let Some(labels) = &collector.labels {
                cx.count_span(labels, &body);
            }
            if self.is_kept {
                cx.flush_if_long(Category::Tracing, Precision::Nanos, tags, body)?;
            } else {
                cx.take_back(arena_len);
            }
        }
        Ok(())
    }
}

/// Texts that all points of a chunk have, in the arena.
#[derive(Clone, Copy)]
struct Shared {
    trace_id: u64,
    remote_ip: u64,
}

fn keep(arena: &mut Vec<u8>, bytes: &[u8]) -> (u64, u8) {
    let at = arena.len();
    arena.extend_from_slice(bytes);
    (span_bits(at, bytes.len()), Kv::VALUE_IN_ARENA)
}

/// What only the first or the last span of a chunk has.
#[derive(Clone, Copy)]
struct Extra {
    /// The sampler's rate.
    sampled: Option<f64>,
    /// So many spans follow that were left out.
    truncated: usize,
}

/// The id of a trace, from its first span.
fn put_trace_id(first: &Span, collector: &Collector, spans: &Spans, body: &[u8], id: &mut Vec<u8>) {
    let options = &collector.options;
    id.clear();
    if options.trace_id_64_bit_hex {
        id.extend_from_slice(&hex(first.trace_id));
        return;
    }
    let is_upper = |key: Text| key.len() == UPPER_ID_KEY.len() && spans.text(key, body) == UPPER_ID_KEY;
    let upper = first.meta.of(&spans.meta).iter().find(|[key, _]| is_upper(*key));
    match upper {
        Some([_, upper]) if options.trace_128_bit_id && !upper.is_empty() => {
            id.extend_from_slice(spans.text(*upper, body));
            id.extend_from_slice(&hex(first.trace_id));
        }
        _ => id.extend_from_slice(itoa::Buffer::new().format(first.trace_id).as_bytes()),
    }
}

/// 16 hexadecimal digits.
#[inline(always)]
fn hex(id: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (index, digit) in digits.iter_mut().enumerate() {
        let nibble = (id >> (60 - 4 * index)) as u8 & 15;
        *digit = nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
    }
    digits
}

/// What the filters before the sampler say of a chunk, in the recorded order.
fn filter(
    request: &Request<'_>,
    spans: &Spans,
    all: &[Span],
    relations: &Relations,
    body: &[u8],
    now_ns: i64,
) -> Verdict {
    let collector = request.collector;
    let (filters, omitted) = (&collector.filters, &collector.options.omit_err_status);
    if filters.is_open() && omitted.is_empty() {
        return Verdict::Keep;
    }
    let text = |text: Text| spans.text(text, body);
    if all.iter().any(|span| filters.closes(text(span.service), text(span.resource))) {
        return Verdict::Drop;
    }
    if all.iter().any(|span| span.error != 0) {
        return Verdict::Keep;
    }
    let status = |span: &Span| {
        let meta = span.meta.of(&spans.meta).iter();
        meta.clone().find(|[key, _]| text(*key) == b"http.status_code").map(|[_, value]| text(*value))
    };
    let is_omitted = |span: &Span| {
        source_type(text(span.kind)) == collector::WEB
            && status(span).is_some_and(|status| omitted.iter().any(|omitted| omitted.as_bytes() == status))
    };
    if !omitted.is_empty() && all.iter().any(is_omitted) {
        return Verdict::Drop;
    }
    if filters.samples().is_none() {
        return Verdict::Keep;
    }
    let entry = all.iter().find(|span| relations.span_type(span, all, spans, body) == collector::ENTRY);
    if let Some(entry) = entry {
        let kind = collector.names.text(source_type(text(entry.kind)));
        if filters.is_rare([text(entry.service), text(entry.resource), kind], request.seen, now_ns) {
            return Verdict::Keep;
        }
    }
    let user_keep = all.iter().any(|span| span.priority == Some(2));
    if user_keep { Verdict::Keep } else { Verdict::Open }
}

impl Relations {
    fn relate(&mut self, all: &[Span]) {
        self.ids.clear();
        self.parents.clear();
        if all.len() > FEW_SPANS {
            self.ids.extend(all.iter().enumerate().map(|(index, span)| (span.span_id, index as u32)));
            self.parents.extend(all.iter().map(|span| span.parent_id));
            self.ids.sort_unstable();
            self.parents.sort_unstable();
        }
    }

    /// Of several spans with the parent's id the last counts.
    #[inline(always)]
    fn parent<'s>(&self, span: &Span, all: &'s [Span]) -> Option<&'s Span> {
        if all.len() <= FEW_SPANS {
            return all.iter().rfind(|parent| parent.span_id == span.parent_id);
        }
        let behind = self.ids.partition_point(|(id, _)| *id <= span.parent_id);
        let parent = behind.checked_sub(1).and_then(|last| self.ids.get(last));
        let (_, index) = parent.filter(|(id, _)| *id == span.parent_id)?;
        all.get(*index as usize)
    }

    #[inline(always)]
    fn is_parent(&self, span: &Span, all: &[Span]) -> bool {
        if all.len() <= FEW_SPANS {
            return all.iter().any(|child| child.parent_id == span.span_id);
        }
        self.parents.binary_search(&span.span_id).is_ok()
    }

    /// Entry, local or exit.
    #[inline(always)]
    fn span_type(&self, span: &Span, all: &[Span], spans: &Spans, body: &[u8]) -> Name {
        if span.parent_id == 0 {
            return collector::ENTRY;
        }
        let Some(parent) = self.parent(span, all) else { return collector::ENTRY };
        if spans.text(parent.service, body) != spans.text(span.service, body) {
            return collector::ENTRY;
        }
        if self.is_parent(span, all) { collector::LOCAL } else { collector::EXIT }
    }
}

/// A point in the making: tags go to the tape at once, fields wait for them.
struct Point<'t> {
    tape: &'t mut Tape,
    names: &'t Names,
    body: &'t [u8],
    fields: &'t mut Vec<Kv>,
    first: usize,
    seen: Seen,
}

impl Point<'_> {
    /// Notes that the point has a key; `false` if it had.
    #[inline(always)]
    fn claim(&mut self, name: Name) -> bool {
        let (word, bit) = (usize::from(name) / 64, 1 << (name % 64));
        let free = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        free
    }

    #[inline(always)]
    fn tag(&mut self, name: Name, (value, flags): (u64, u8)) {
        if self.claim(name) {
            self.tape.kvs.push(Kv { value, ..self.names.kv(name, Kind::Tag, flags) });
        }
    }

    /// A tag whose value is a name.
    #[inline(always)]
    fn named(&mut self, name: Name, value: Name) {
        self.tag(name, (self.names.value(value), Kv::VALUE_IN_ARENA));
    }

    #[inline(always)]
    fn field(&mut self, name: Name, kind: Kind, (value, flags): (u64, u8)) {
        if self.claim(name) {
            self.fields.push(Kv { value, ..self.names.kv(name, kind, flags) });
        }
    }

    /// Where a text is for the tape: texts that are not in the body come into the arena.
    #[inline(always)]
    fn place(&mut self, text: Text, spans: &Spans) -> (u64, u8) {
        match text.in_body() {
            Some(at) => (span_bits(at, text.len()), 0),
            None => self.keep(spans.text(text, self.body)),
        }
    }

    /// A tag of a span that failed: the texts of errors have lines. A check would make one of them, without a word, and all
    /// of the point would take the long way through it for that.
    fn place_in_one_line(&mut self, text: Text, spans: &Spans) -> (u64, u8) {
        match without_newlines(spans.text(text, self.body)) {
            Some(repaired) if !repaired.is_empty() => self.keep(&repaired),
            _ => self.place(text, spans),
        }
    }

    /// A resource: a newline in it becomes a space.
    fn place_with_spaces(&mut self, text: Text, spans: &Spans) -> (u64, u8) {
        let bytes = spans.text(text, self.body);
        if memchr::memchr(b'\n', bytes).is_none() {
            return self.place(text, spans);
        }
        let spaced = bytes.iter().map(|&byte| if byte == b'\n' { b' ' } else { byte });
        let (start, len) = (self.tape.arena.len(), bytes.len());
        self.tape.arena.extend(spaced);
        (span_bits(start, len), Kv::VALUE_IN_ARENA)
    }

    fn keep(&mut self, bytes: &[u8]) -> (u64, u8) {
        keep(&mut self.tape.arena, bytes)
    }

    /// A meta key that a pattern matched: it must not have the name of a key that is there.
    fn matched(&mut self, key: Text, value: Text, spans: &Spans) {
        let name: Vec<u8> = spans
            .text(key, self.body)
            .iter()
            .map(|&byte| if byte == b'.' { b'_' } else { byte })
            .take(usize::from(u16::MAX))
            .collect();
        let there = self.tape.kvs.get(self.first..).unwrap_or_default();
        let is_there = there.iter().chain(&*self.fields).any(|kv| self.tape.key(self.body, kv) == name);
        // As many as a check would leave, and one, so that the search stays short.
        if name.is_empty() || is_there || there.len() > crate::point::check::TAGS_MAX {
            return;
        }
        let (key_bits, _) = self.keep(&name);
        let (value_bits, flags) = self.place(value, spans);
        let long = value.len() > TAG_VALUE_BYTES_MAX;
        let kv = Kv {
            key: (key_bits >> 32) as u32,
            key_len: name.len() as u16,
            kind: if long { Kind::Str } else { Kind::Tag },
            flags: flags | Kv::KEY_IN_ARENA,
            value: value_bits,
        };
        if long { self.fields.push(kv) } else { self.tape.kvs.push(kv) }
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of a chunk, each borrowed by itself")]
#[inline(always)]
fn point<I: Isa>(
    request: &Request<'_>,
    spans: &Spans,
    span: &Span,
    kind: Name,
    shared: Shared,
    extra: Extra,
    (fields, promoted): (&mut Vec<Kv>, &mut Vec<(Target, Text)>),
    body: Padded<'_>,
    tape: &mut Tape,
) {
    let collector = request.collector;
    let options = &collector.options;
    promoted.clear();
    let first = tape.kvs.len();
    let sources = spans.sources(body);
    let body = body.bytes();
    let mut out = json::writer::<I>(&mut tape.arena);
    let hexadecimal = options.compatible_otel || options.trace_id_64_bit_hex;
    let ids = [span.parent_id, span.span_id].map(|id| {
        let start = out.position();
        match hexadecimal && id != 0 {
            true => out.bytes(&hex(id)),
            false => out.decimal(b"", id),
        }
        span_bits(start, out.position() - start)
    });
    let start = out.position();
    let message = message(request, spans, span, extra.truncated, promoted, &sources, &mut out);
    let message_len = out.position() - start;
    out.finish();
    if options.del_message {
        tape.arena.truncate(start);
    }
    let mut point = Point { tape, names: &collector.names, body, fields, first, seen: collector::FIRST_SEEN };

    // Fields: those that every point has.
    let (resource, resource_flags) = match message.resource_is_plain {
        true => point.place(span.resource, spans),
        false => point.place_with_spaces(span.resource, spans),
    };
    point.fields.clear();
    point.fields.extend_from_slice(&collector.first_fields);
    let first_fields = point.fields.first_chunk_mut().expect("BUG: they were just added");
    let [kv_trace_id, kv_parent_id, kv_span_id, kv_resource, kv_start, kv_duration, kv_message] =
        first_fields;
    kv_trace_id.value = shared.trace_id;
    [kv_parent_id.value, kv_span_id.value] = ids;
    (kv_resource.value, kv_resource.flags) = (resource, Kv::KEY_IN_ARENA | resource_flags);
    kv_start.value = (span.start / NS_PER_US) as u64;
    kv_duration.value = (span.duration / NS_PER_US) as u64;
    kv_message.value = span_bits(start, message_len);
    match options.del_message {
        true => drop(point.fields.pop()),
        false => _ = point.claim(collector::MESSAGE),
    }
    if let Some(rate) = extra.sampled {
        point.field(collector::DK_SAMPLING_RATE, Kind::Float, (rate.to_bits(), 0));
    }

    // Tags: what the collector says comes first, what the client promotes last.
    let (service, service_flags) = point.place(span.service, spans);
    let (operation, operation_flags) = point.place(span.name, spans);
    let status = if span.error != 0 { collector::ERROR } else { collector::OK };
    point.tape.kvs.extend_from_slice(&collector.first_tags);
    let first_tags = point.tape.kvs.last_chunk_mut().expect("BUG: they were just added");
    let [kv_service, kv_operation, _, kv_span_type, kv_source_type, kv_status, kv_remote_ip] = first_tags;
    (kv_service.value, kv_service.flags) = (service, Kv::KEY_IN_ARENA | service_flags);
    (kv_operation.value, kv_operation.flags) = (operation, Kv::KEY_IN_ARENA | operation_flags);
    kv_span_type.value = collector.names.value(kind);
    kv_source_type.value = collector.names.value(source_type(spans.text(span.kind, body)));
    kv_status.value = collector.names.value(status);
    kv_remote_ip.value = shared.remote_ip;
    match span.priority {
        Some(2) => point.named(collector::SAMPLING_RATE, collector::USER_KEEP),
        Some(1) => point.named(collector::SAMPLING_RATE, collector::SAMPLER_KEEP),
        _ => {}
    }
    for &(name, at, len) in &collector.tags {
        point.tag(name, (span_bits(at as usize, len as usize), Kv::VALUE_IN_ARENA));
    }
    for &(target, value) in &*promoted {
        match target {
            Target::Own(key) => point.matched(key, value, spans),
            Target::Name(name) if value.len() > TAG_VALUE_BYTES_MAX => {
                let value = point.place(value, spans);
                point.field(name, Kind::Str, value);
            }
            Target::Name(name) => {
                let place = match span.error {
                    0 => point.place(value, spans),
                    _ => point.place_in_one_line(value, spans),
                };
                point.tag(name, place);
                if name == collector::HTTP_STATUS_CODE {
                    let digit = spans.text(value, body).first();
                    let index = digit.and_then(|digit| digit.checked_sub(b'1'));
                    let class = index.and_then(|index| collector::CLASSES.get(usize::from(index)));
                    class.into_iter().for_each(|class| point.named(collector::HTTP_STATUS_CLASS, *class));
                }
            }
        }
    }
    if message.has_db_type {
        let meta = span.meta.of(&spans.meta).iter();
        let peer = meta.clone().find(|[key, _]| spans.text(*key, body) == PEER_HOST_KEY);
        let host = peer.map_or_else(Default::default, |[_, value]| point.place(*value, spans));
        point.tag(collector::DB_HOST, host);
    }

    let tags = tape.kvs.len() - first;
    tape.kvs.extend_from_slice(fields);
    let (name, name_len) = collector.names.place(collector::DDTRACE);
    tape.points.push(PointSpan {
        name,
        name_len: u32::from(name_len),
        kv: first as u32,
        tags: tags as u32,
        fields: fields.len() as u32,
        name_in_arena: true,
        time: Some(span.start),
    });
}

/// What was learnt while a message was written.
struct Message {
    has_db_type: bool,
    /// There is nothing in the resource that JSON escapes, and so no newline.
    resource_is_plain: bool,
}

/// Writes the span as JSON, straight to where it stays, and notes what is promoted, in one walk over its meta. Ids are left
/// out, and so is what became a tag.
#[inline(always)]
fn message<I: Isa>(
    request: &Request<'_>,
    spans: &Spans,
    span: &Span,
    truncated: usize,
    promoted: &mut Vec<(Target, Text)>,
    sources: &Sources<'_>,
    out: &mut Writer<'_, I>,
) -> Message {
    let mut has_db_type = false;
    out.quoted(b"{\"service\":", span.service.of(sources));
    out.quoted(b",\"name\":", span.name.of(sources));
    let resource_is_plain = out.quoted(b",\"resource\":", span.resource.of(sources));
    json::int(out, b",\"start\":", span.start);
    json::int(out, b",\"duration\":", span.duration);
    json::int(out, b",\"error\":", i64::from(span.error));
    out.bytes(b",\"meta\":");
    let mut before = b'{';
    for &[key, value] in span.meta.of(&spans.meta) {
        let name = key.of(sources);
        match request.collector.promoted(Window::of(name), name.bytes()) {
            Promoted::Known(promotion) => {
                has_db_type |= promotion.is_db_type;
                promoted.push((Target::Name(promotion.name), value));
                promoted.extend(promotion.second.map(|second| (Target::Name(second), value)));
            }
            Promoted::Matched => promoted.push((Target::Own(key), value)),
            Promoted::No if request.trace_tags.iter().any(|asked| **asked == *name.bytes()) => {
                promoted.push((Target::Own(key), value));
            }
            Promoted::No => {
                out.quoted_pair(before, name, value.of(sources));
                before = b',';
            }
        }
    }
    if truncated > 0 {
        out.bytes(&[before]);
        out.decimal(TRUNCATED, truncated as u64);
        out.bytes(b"\"");
        before = b',';
    }
    // As Go has it, a map that is not there is null.
    match (before == b',', span.meta.count > 0) {
        (true, _) => out.bytes(b"}"),
        (false, true) => out.bytes(b"{}"),
        (false, false) => out.bytes(b"null"),
    }
    out.bytes(b",\"metrics\":");
    let mut before = b'{';
    for (key, value) in span.metrics.of(&spans.metrics) {
        out.quoted(&[before], key.of(sources));
        json::double(out, b":", *value);
        before = b',';
    }
    if before == b',' {
        out.bytes(b"}");
    } else {
        out.bytes(b"null");
    }
    out.quoted(b",\"type\":", span.kind.of(sources));
    out.bytes(b"}");
    Message { has_db_type, resource_is_plain }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The type of a span, the obvious way.
    fn expected(span: &Span, all: &[Span]) -> Name {
        let parents: Vec<&Span> = all.iter().filter(|it| it.span_id == span.parent_id).collect();
        match parents.last() {
            Some(parent) if span.parent_id != 0 && parent.service == span.service => {
                let children = all.iter().filter(|it| it.parent_id == span.span_id).count();
                if children > 0 { collector::LOCAL } else { collector::EXIT }
            }
            _ => collector::ENTRY,
        }
    }

    proptest! {
        #[test]
        fn few_spans_and_many_are_related_alike(
            ids in proptest::collection::vec((0u64..30, 0u64..30, 0usize..2), 1..3 * FEW_SPANS),
        ) {
            let body = b"ab";
            let mut spans = Spans::default();
            let services = [spans.take(0..1, body), spans.take(1..2, body)];
            let all: Vec<Span> = ids
                .iter()
                .map(|&(span_id, parent_id, at)| {
                    Span { span_id, parent_id, service: services[at], ..Span::default() }
                })
                .collect();
            let mut relations = Relations::default();
            relations.relate(&all);
            for span in &all {
                prop_assert_eq!(relations.span_type(span, &all, &spans, body), expected(span, &all));
            }
        }

        #[test]
        fn ids_have_sixteen_digits(id in any::<u64>(), shift in 0u32..64) {
            let id = id >> shift;
            prop_assert_eq!(hex(id).to_vec(), format!("{id:016x}").into_bytes());
        }
    }
}
