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

use super::collector::{self, Collector, Name, Names, Promoted, source_type};
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
const TRUNCATED: &[u8] = b"\"__datakit_span_truncated\":\"";

/// Memory for one chunk after the other.
#[derive(Debug, Default)]
pub struct ChunkScratch {
    /// Ids, and which span has them, sorted.
    ids: Vec<(u64, u32)>,
    parents: Vec<u64>,
    fields: Vec<Kv>,
    promoted: Vec<(Target, Text)>,
}

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
    let trace_id = trace_id(first, collector, spans, &body);
    scratch.relate(all);
    let mut sampled = None;
    let is_kept = match filter(request, spans, all, scratch, &trace_id, &body, cx.now_ns) {
        Verdict::Keep => true,
        Verdict::Drop => false,
        Verdict::Open => {
            sampled = collector.filters.samples();
            collector.filters.sample(&trace_id) != Verdict::Drop
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
    let tags = &cx.settings.tracing_tags;
    let mut shared = None;
    for (index, span) in kept.iter().enumerate() {
        if cx.tape.arena.is_empty() {
            cx.tape.arena.extend_from_slice(&collector.names.bytes);
            shared = None;
        }
        let shared = *shared.get_or_insert_with(|| Shared {
            trace_id: keep(&mut cx.tape.arena, &trace_id),
            remote_ip: keep(&mut cx.tape.arena, request.remote_ip.as_bytes()),
        });
        let is_last = index + 1 == kept.len();
        let extra =
            Extra { sampled: sampled.filter(|_| index == 0), truncated: if is_last { truncated } else { 0 } };
        let kind = scratch.span_type(span, all, spans, &body);
        let arena_len = cx.tape.arena.len();
        let tape = &mut *cx.tape;
        wire::run(PointKernel { request, spans, span, kind, shared, extra, scratch, body, tape });
        if let Some(labels) = &collector.labels {
            cx.count_span(labels, &body);
        }
        if is_kept {
            cx.flush_if_long(Category::Tracing, Precision::Nanos, tags, body)?;
        } else {
            cx.take_back(arena_len);
        }
    }
    Ok(())
}

/// Texts that all points of a chunk have, in the arena.
#[derive(Clone, Copy)]
struct Shared {
    trace_id: (u64, u8),
    remote_ip: (u64, u8),
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
fn trace_id(first: &Span, collector: &Collector, spans: &Spans, body: &[u8]) -> Vec<u8> {
    let options = &collector.options;
    if options.trace_id_64_bit_hex {
        return hex(first.trace_id);
    }
    let upper = first.meta.of(&spans.meta).iter().find(|[key, _]| spans.text(*key, body) == UPPER_ID_KEY);
    match upper {
        Some([_, upper]) if options.trace_128_bit_id && !upper.is_empty() => {
            let mut id = spans.text(*upper, body).to_vec();
            id.extend(hex(first.trace_id));
            id
        }
        _ => itoa::Buffer::new().format(first.trace_id).as_bytes().to_vec(),
    }
}

fn hex(id: u64) -> Vec<u8> {
    format!("{id:016x}").into_bytes()
}

/// What the filters before the sampler say of a chunk, in the recorded order.
fn filter(
    request: &Request<'_>,
    spans: &Spans,
    all: &[Span],
    scratch: &ChunkScratch,
    trace_id: &[u8],
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
    let entry = all.iter().find(|span| scratch.span_type(span, all, spans, body) == collector::ENTRY);
    if let Some(entry) = entry {
        let kind = collector.names.text(source_type(text(entry.kind)));
        if filters.is_rare([text(entry.service), text(entry.resource), kind], request.seen, now_ns) {
            return Verdict::Keep;
        }
    }
    let user_keep = all.iter().any(|span| span.priority == Some(2));
    debug_assert!(!trace_id.is_empty());
    if user_keep { Verdict::Keep } else { Verdict::Open }
}

impl ChunkScratch {
    /// Notes who is whose parent.
    fn relate(&mut self, all: &[Span]) {
        self.ids.clear();
        self.parents.clear();
        self.ids.extend(all.iter().enumerate().map(|(index, span)| (span.span_id, index as u32)));
        self.parents.extend(all.iter().map(|span| span.parent_id));
        self.ids.sort_unstable();
        self.parents.sort_unstable();
    }

    /// Entry, local or exit.
    fn span_type(&self, span: &Span, all: &[Span], spans: &Spans, body: &[u8]) -> Name {
        if span.parent_id == 0 {
            return collector::ENTRY;
        }
        // Of several spans with the parent's id the last counts.
        let behind = self.ids.partition_point(|(id, _)| *id <= span.parent_id);
        let parent = behind.checked_sub(1).and_then(|last| self.ids.get(last));
        let parent = parent.filter(|(id, _)| *id == span.parent_id);
        let Some(parent) = parent.and_then(|(_, index)| all.get(*index as usize)) else {
            return collector::ENTRY;
        };
        if spans.text(parent.service, body) != spans.text(span.service, body) {
            return collector::ENTRY;
        }
        let is_parent = self.parents.binary_search(&span.span_id).is_ok();
        if is_parent { collector::LOCAL } else { collector::EXIT }
    }
}

/// A point in the making: tags go to the tape at once, fields wait for them.
struct Point<'t> {
    tape: &'t mut Tape,
    names: &'t Names,
    body: &'t [u8],
    fields: &'t mut Vec<Kv>,
    first: usize,
    seen: [u64; collector::NAMES_MAX / 64],
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
    fn kv(&self, name: Name, kind: Kind, flags: u8, value: u64) -> Kv {
        let (key, key_len) = self.names.place(name);
        Kv { key, key_len, kind, flags: flags | Kv::KEY_IN_ARENA, value }
    }

    #[inline(always)]
    fn tag(&mut self, name: Name, (value, flags): (u64, u8)) {
        if self.claim(name) {
            let kv = self.kv(name, Kind::Tag, flags, value);
            self.tape.kvs.push(kv);
        }
    }

    /// A tag whose value is a name.
    #[inline(always)]
    fn named(&mut self, name: Name, value: Name) {
        let (at, len) = self.names.place(value);
        self.tag(name, (span_bits(at as usize, usize::from(len)), Kv::VALUE_IN_ARENA));
    }

    #[inline(always)]
    fn field(&mut self, name: Name, kind: Kind, (value, flags): (u64, u8)) {
        if self.claim(name) {
            let kv = self.kv(name, kind, flags, value);
            self.fields.push(kv);
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

/// A span's point, compiled for each set of instructions: most of the work is on windows, which are registers.
struct PointKernel<'a, 'r> {
    request: &'a Request<'r>,
    spans: &'a Spans,
    span: &'a Span,
    kind: Name,
    shared: Shared,
    extra: Extra,
    scratch: &'a mut ChunkScratch,
    body: Padded<'a>,
    tape: &'a mut Tape,
}

impl Kernel for PointKernel<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let PointKernel { request, spans, span, kind, shared, extra, scratch, body, tape } = self;
        point::<I>(request, spans, span, kind, shared, extra, scratch, body, tape);
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
    scratch: &mut ChunkScratch,
    body: Padded<'_>,
    tape: &mut Tape,
) {
    let collector = request.collector;
    let options = &collector.options;
    scratch.fields.clear();
    scratch.promoted.clear();
    let first = tape.kvs.len();
    let sources = spans.sources(body);
    let body = body.bytes();
    let start = tape.arena.len();
    let mut out = json::writer::<I>(&mut tape.arena);
    let has_db_type =
        message(request, spans, span, extra.truncated, &mut scratch.promoted, &sources, &mut out);
    out.finish();
    if options.del_message {
        tape.arena.truncate(start);
    }
    let message = (span_bits(start, tape.arena.len() - start), Kv::VALUE_IN_ARENA);
    let mut point = Point {
        tape,
        names: &collector.names,
        body,
        fields: &mut scratch.fields,
        first,
        seen: Default::default(),
    };

    // Fields.
    point.field(collector::TRACE_ID, Kind::Str, shared.trace_id);
    let hexadecimal = options.compatible_otel || options.trace_id_64_bit_hex;
    for (name, id) in [(collector::PARENT_ID, span.parent_id), (collector::SPAN_ID, span.span_id)] {
        let text = match hexadecimal && id != 0 {
            true => point.keep(&hex(id)),
            false => point.keep(itoa::Buffer::new().format(id).as_bytes()),
        };
        point.field(name, Kind::Str, text);
    }
    let resource = match memchr::memchr(b'\n', spans.text(span.resource, body)) {
        None => point.place(span.resource, spans),
        Some(_) => {
            let text = spans.text(span.resource, body).iter();
            let text: Vec<u8> = text.map(|&byte| if byte == b'\n' { b' ' } else { byte }).collect();
            point.keep(&text)
        }
    };
    point.field(collector::RESOURCE, Kind::Str, resource);
    point.field(collector::START, Kind::Int, ((span.start / NS_PER_US) as u64, 0));
    point.field(collector::DURATION, Kind::Int, ((span.duration / NS_PER_US) as u64, 0));
    if !options.del_message {
        point.field(collector::MESSAGE, Kind::Str, message);
    }
    if let Some(rate) = extra.sampled {
        point.field(collector::DK_SAMPLING_RATE, Kind::Float, (rate.to_bits(), 0));
    }

    // Tags: what the collector says comes first, what the client promotes last.
    let service = point.place(span.service, spans);
    point.tag(collector::SERVICE, service);
    let operation = point.place(span.name, spans);
    point.tag(collector::OPERATION, operation);
    point.named(collector::SOURCE, collector::DDTRACE);
    point.named(collector::SPAN_TYPE, kind);
    point.named(collector::SOURCE_TYPE, source_type(spans.text(span.kind, body)));
    point.named(collector::STATUS, if span.error != 0 { collector::ERROR } else { collector::OK });
    point.tag(collector::REMOTE_IP, shared.remote_ip);
    match span.priority {
        Some(2) => point.named(collector::SAMPLING_RATE, collector::USER_KEEP),
        Some(1) => point.named(collector::SAMPLING_RATE, collector::SAMPLER_KEEP),
        _ => {}
    }
    for &(name, at, len) in &collector.tags {
        point.tag(name, (span_bits(at as usize, len as usize), Kv::VALUE_IN_ARENA));
    }
    for &(target, value) in &scratch.promoted {
        match target {
            Target::Own(key) => point.matched(key, value, spans),
            Target::Name(name) if value.len() > TAG_VALUE_BYTES_MAX => {
                let value = point.place(value, spans);
                point.field(name, Kind::Str, value);
            }
            Target::Name(name) => {
                let class =
                    spans.text(value, body).first().copied().filter(|_| name == collector::HTTP_STATUS_CODE);
                let value = match span.error {
                    0 => point.place(value, spans),
                    _ => point.place_in_one_line(value, spans),
                };
                point.tag(name, value);
                let class = class.and_then(|digit| digit.checked_sub(b'1'));
                if let Some(class) = class.and_then(|index| collector::CLASSES.get(usize::from(index))) {
                    point.named(collector::HTTP_STATUS_CLASS, *class);
                }
            }
        }
    }
    if has_db_type {
        let meta = span.meta.of(&spans.meta).iter();
        let peer = meta.clone().find(|[key, _]| spans.text(*key, body) == PEER_HOST_KEY);
        let host = peer.map_or_else(Default::default, |[_, value]| point.place(*value, spans));
        point.tag(collector::DB_HOST, host);
    }

    let (tags, fields) = (point.tape.kvs.len() - first, scratch.fields.len());
    tape.kvs.append(&mut scratch.fields);
    let (name, name_len) = collector.names.place(collector::DDTRACE);
    tape.points.push(PointSpan {
        name,
        name_len: u32::from(name_len),
        kv: first as u32,
        tags: tags as u32,
        fields: fields as u32,
        name_in_arena: true,
        time: Some(span.start),
    });
}

/// Writes the span as JSON, straight to where it stays, and notes what is promoted, in one walk over its meta. Says
/// whether there is a `db.type`.
#[inline(always)]
fn message<I: Isa>(
    request: &Request<'_>,
    spans: &Spans,
    span: &Span,
    truncated: usize,
    promoted: &mut Vec<(Target, Text)>,
    sources: &Sources<'_>,
    out: &mut Writer<'_, I>,
) -> bool {
    let mut has_db_type = false;
    out.bytes(b"{\"service\":");
    json::text(out, span.service.of(sources));
    out.bytes(b",\"name\":");
    json::text(out, span.name.of(sources));
    out.bytes(b",\"resource\":");
    json::text(out, span.resource.of(sources));
    out.bytes(b",\"start\":");
    json::int(out, span.start);
    out.bytes(b",\"duration\":");
    json::int(out, span.duration);
    out.bytes(b",\"error\":");
    json::int(out, i64::from(span.error));
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
                json::member(out, before, name, value.of(sources));
                before = b',';
            }
        }
    }
    if truncated > 0 {
        out.bytes(&[before]);
        out.bytes(TRUNCATED);
        out.bytes(itoa::Buffer::new().format(truncated).as_bytes());
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
        out.bytes(&[before]);
        json::text(out, key.of(sources));
        out.bytes(b":");
        json::double(out, *value);
        before = b',';
    }
    if before == b',' {
        out.bytes(b"}");
    } else {
        out.bytes(b"null");
    }
    out.bytes(b",\"type\":");
    json::text(out, span.kind.of(sources));
    out.bytes(b"}");
    has_db_type
}
