//! Spans as they were read, whatever form they came in: numbers, and texts by where they lie in the body.
//!
//! A *chunk* is what one trace brought in one request. Its spans are read whole before the first point is made of it: what
//! a span is (entry, local or exit) follows from the others.

use crate::buf::{PADDING, Padded};
use crate::intake::convert::Fault;
use crate::simd::wire::{self, Isa, Sources};

/// A text of the body, or one that had to be changed and lies in [`Spans::own`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The highest bit says where.
    at: u32,
    len: u32,
}

const OWN: u32 = 1 << 31;

impl Text {
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    pub fn len(self) -> usize {
        self.len as usize
    }

    /// The offset, if it lies in the body.
    pub fn in_body(self) -> Option<usize> {
        (self.at & OWN == 0).then_some(self.at as usize)
    }

    /// The text where [`Spans::sources`] has it.
    #[inline(always)]
    pub fn of<'a>(self, sources: &Sources<'a>) -> wire::Text<'a> {
        sources.text(self.at & OWN != 0, (self.at & !OWN) as usize, self.len())
    }

    /// Its first `chars` characters.
    fn cut(self, chars: usize, spans: &Spans, body: &[u8]) -> Text {
        if self.len() <= chars {
            return self;
        }
        let text = spans.text(self, body);
        // Texts are UTF-8: the bytes that begin a character are those that do not continue one.
        let mut starts = text.iter().enumerate().filter(|(_, byte)| **byte & 0xc0 != 0x80);
        starts.nth(chars).map_or(self, |(at, _)| Text { len: at as u32, ..self })
    }
}

/// A span.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    pub service: Text,
    pub name: Text,
    pub resource: Text,
    /// What the protocol calls `type`.
    pub kind: Text,
    pub trace_id: u64,
    pub span_id: u64,
    pub parent_id: u64,
    /// Nanoseconds.
    pub start: i64,
    pub duration: i64,
    pub error: i32,
    /// `_sampling_priority_v1`.
    pub priority: Option<i64>,
    pub meta: Run,
    pub metrics: Run,
}

/// A run of entries in [`Spans::meta`] or [`Spans::metrics`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    pub first: u32,
    pub count: u32,
}

impl Run {
    pub fn of<T>(self, entries: &[T]) -> &[T] {
        entries.get(self.first as usize..(self.first + self.count) as usize).unwrap_or_default()
    }
}

/// Spans of one or more chunks, and the memory for the next ones.
#[derive(Debug, Default)]
pub struct Spans {
    pub list: Vec<Span>,
    pub meta: Vec<[Text; 2]>,
    pub metrics: Vec<(Text, f64)>,
    /// With padding behind it, once there is anything.
    own: Vec<u8>,
}

/// Spans, or entries of all their maps, that are held at once. A tracer sends a few thousand; beyond, a body of some
/// megabytes would take gigabytes.
const SPANS_MAX: usize = 1 << 20;
const ENTRIES_MAX: usize = 1 << 22;

/// Memory for more than this is given back.
const SPANS_KEPT_MAX: usize = 1 << 12;
const ENTRIES_KEPT_MAX: usize = 1 << 16;
const OWN_KEPT_BYTES_MAX: usize = 1 << 18;

/// What the document allows.
pub const NAME_CHARS_MAX: usize = 100;
pub const SERVICE_CHARS_MAX: usize = 100;
pub const RESOURCE_CHARS_MAX: usize = 5_000;

/// The key of the sampling priority.
const PRIORITY_KEY: &[u8] = b"_sampling_priority_v1";

impl Spans {
    /// Forgets the spans, for those of the next chunk.
    pub fn clear(&mut self) {
        self.list.clear();
        self.meta.clear();
        self.metrics.clear();
        self.own.clear();
    }

    /// The same at the end of a body, and gives back what only a large one needs.
    pub fn shrink(&mut self) {
        self.clear();
        self.list.shrink_to(SPANS_KEPT_MAX);
        self.meta.shrink_to(ENTRIES_KEPT_MAX);
        self.metrics.shrink_to(ENTRIES_KEPT_MAX);
        self.own.shrink_to(OWN_KEPT_BYTES_MAX);
    }

    #[inline(always)]
    pub fn text<'a>(&'a self, text: Text, body: &'a [u8]) -> &'a [u8] {
        let source = if text.at & OWN == 0 { body } else { &self.own };
        let at = (text.at & !OWN) as usize;
        source.get(at..at + text.len as usize).unwrap_or_default()
    }

    /// Where all texts are.
    #[inline(always)]
    pub fn sources<'a>(&'a self, body: Padded<'a>) -> Sources<'a> {
        let own = Padded::new(&self.own, self.own.len().saturating_sub(PADDING));
        Sources::new(body, own.unwrap_or(body))
    }

    /// A text that lies at `range` of the body; what is not UTF-8 in it is replaced.
    #[inline(never)]
    pub fn take(&mut self, range: std::ops::Range<usize>, body: &[u8]) -> Text {
        let bytes = &body[range.clone()];
        if bytes.is_ascii() || simdutf8::basic::from_utf8(bytes).is_ok() {
            return Text { at: range.start as u32, len: range.len() as u32 };
        }
        self.keep(String::from_utf8_lossy(bytes).as_bytes())
    }

    /// As [`Spans::take`], for each set of instructions; `sources` are those of the body.
    #[inline(always)]
    pub fn take_in<I: Isa>(
        &mut self,
        range: std::ops::Range<usize>,
        sources: &Sources<'_>,
        body: &[u8],
    ) -> Text {
        let len = range.end - range.start;
        if sources.text(false, range.start, len).is_ascii::<I>() {
            return Text { at: range.start as u32, len: len as u32 };
        }
        self.take(range, body)
    }

    /// A text that lies elsewhere.
    pub fn keep(&mut self, bytes: &[u8]) -> Text {
        self.own.truncate(self.own.len().saturating_sub(PADDING));
        let text = Text { at: self.own.len() as u32 | OWN, len: bytes.len() as u32 };
        self.own.extend_from_slice(bytes);
        self.own.extend_from_slice(&[0; PADDING]);
        text
    }

    /// Adds a span whose maps were pushed since `meta` and `metrics` had these lengths.
    #[inline(always)]
    pub fn push(&mut self, mut span: Span, meta: usize, metrics: usize, body: &[u8]) -> Result<(), Fault> {
        span.meta = Run { first: meta as u32, count: (self.meta.len() - meta) as u32 };
        span.metrics = Run { first: metrics as u32, count: (self.metrics.len() - metrics) as u32 };
        let priority = self.metrics[metrics..]
            .iter()
            .find(|(key, _)| key.len() == PRIORITY_KEY.len() && self.text(*key, body) == PRIORITY_KEY);
        span.priority = priority.map(|(_, value)| *value as i64);
        if self.list.len() >= SPANS_MAX {
            return Err(Fault::TooLarge(SPANS_MAX * size_of::<Span>()));
        }
        self.list.push(span);
        Ok(())
    }

    #[inline(always)]
    pub fn push_meta(&mut self, key: Text, value: Text) -> Result<(), Fault> {
        if self.meta.len() >= ENTRIES_MAX {
            return Err(Fault::TooLarge(ENTRIES_MAX * size_of::<[Text; 2]>()));
        }
        self.meta.push([key, value]);
        Ok(())
    }

    #[inline(always)]
    pub fn push_metric(&mut self, key: Text, value: f64) -> Result<(), Fault> {
        if self.metrics.len() >= ENTRIES_MAX {
            return Err(Fault::TooLarge(ENTRIES_MAX * size_of::<(Text, f64)>()));
        }
        self.metrics.push((key, value));
        Ok(())
    }

    /// Cuts names, services and resources to what the document allows.
    pub fn cut(&mut self, body: &[u8]) {
        for index in 0..self.list.len() {
            let span = &self.list[index];
            let is_short = span.name.len() <= NAME_CHARS_MAX
                && span.service.len() <= SERVICE_CHARS_MAX
                && span.resource.len() <= RESOURCE_CHARS_MAX;
            if is_short {
                continue;
            }
            let mut span = *span;
            span.name = span.name.cut(NAME_CHARS_MAX, self, body);
            span.service = span.service.cut(SERVICE_CHARS_MAX, self, body);
            span.resource = span.resource.cut(RESOURCE_CHARS_MAX, self, body);
            self.list[index] = span;
        }
    }

    /// Puts spans of the same trace side by side, traces and spans in the order in which they came.
    pub fn group(&mut self) {
        let mut first_of = std::collections::HashMap::new();
        for (index, span) in self.list.iter().enumerate() {
            first_of.entry(span.trace_id).or_insert(index);
        }
        self.list.sort_by_cached_key(|span| first_of.get(&span.trace_id).copied());
    }
}

/// A short text with what stands behind it, so that it is looked at as a whole and not byte by byte.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    pub bytes: &'a [u8; WINDOW_BYTES],
    /// At most as many as there are bytes.
    pub len: usize,
}

/// Keys and most values are no longer.
pub const WINDOW_BYTES: usize = 32;

const WORDS: usize = WINDOW_BYTES / 8;

/// By the length of a text: the bytes of its window that belong to it.
static MASKS: [[u8; WINDOW_BYTES]; WINDOW_BYTES + 1] = {
    let mut masks = [[0; WINDOW_BYTES]; WINDOW_BYTES + 1];
    let mut len = 0;
    while len <= WINDOW_BYTES {
        let mut byte = 0;
        while byte < len {
            masks[len][byte] = 0xff;
            byte += 1;
        }
        len += 1;
    }
    masks
};

impl<'a> Window<'a> {
    /// None: it is longer.
    #[inline(always)]
    pub fn of(text: wire::Text<'a>) -> Option<Window<'a>> {
        (text.len() <= WINDOW_BYTES).then_some(Window { bytes: text.head(), len: text.len() })
    }

    /// None: it is longer, or stands so near to the end that there is no such window.
    #[inline(always)]
    pub fn at(source: &'a [u8], at: usize, len: usize) -> Option<Window<'a>> {
        let bytes = source.get(at..)?.first_chunk()?;
        (len <= WINDOW_BYTES).then_some(Window { bytes, len })
    }

    /// The first of [`Window::words`].
    #[inline(always)]
    pub fn first_word(self) -> u64 {
        let (bytes, mask) = (self.bytes.as_chunks::<8>().0, MASKS[self.len].as_chunks::<8>().0);
        u64::from_le_bytes(bytes[0]) & u64::from_le_bytes(mask[0])
    }

    /// The text, and zeros behind it.
    #[inline(always)]
    pub fn words(self) -> [u64; WORDS] {
        let (bytes, mask) = (self.bytes.as_chunks::<8>().0, MASKS[self.len].as_chunks::<8>().0);
        let mut words = [0; WORDS];
        // No `from_fn`: it is not inlined into code that is compiled for other instructions.
        for (word, (bytes, mask)) in words.iter_mut().zip(bytes.iter().zip(mask)) {
            *word = u64::from_le_bytes(*bytes) & u64::from_le_bytes(*mask);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_where_they_are_unless_they_must_be_changed() {
        let body = "ab€c\u{fffd}".as_bytes().to_vec();
        let mut bad = body;
        bad.push(0xff);
        let mut spans = Spans::default();
        let text = spans.take(2..5, &bad);
        assert_eq!((text.in_body(), spans.text(text, &bad)), (Some(2), "€".as_bytes()));
        let text = spans.take(3..bad.len(), &bad);
        assert_eq!(text.in_body(), None);
        assert_eq!(spans.text(text, &bad), "\u{fffd}\u{fffd}c\u{fffd}\u{fffd}".as_bytes());
    }

    #[test]
    fn windows_hold_the_text_and_nothing_else() {
        let source: Vec<u8> = (1..=64).chain([0xc3, 0xa9]).collect();
        for at in 0..source.len() {
            for len in 0..=source.len() - at {
                let window = Window::at(&source, at, len);
                assert_eq!(window.is_some(), len <= WINDOW_BYTES && at + WINDOW_BYTES <= source.len());
                let Some(window) = window else { continue };
                assert_eq!(window.first_word(), window.words()[0]);
                let words: Vec<u8> = window.words().iter().flat_map(|word| word.to_le_bytes()).collect();
                assert_eq!(
                    (&words[..len], words[len..].iter().all(|byte| *byte == 0)),
                    (&source[at..at + len], true)
                );
            }
        }
    }

    #[test]
    fn names_are_cut_between_characters() {
        let body = "é".repeat(200);
        let mut spans = Spans::default();
        let long = spans.take(0..body.len(), body.as_bytes());
        let short = spans.take(0..200, body.as_bytes());
        spans.push(Span { name: long, service: short, ..Span::default() }, 0, 0, b"").unwrap();
        spans.cut(body.as_bytes());
        assert_eq!((spans.list[0].name.len(), spans.list[0].service.len()), (200, 200));
        assert_eq!(spans.list[0].resource.len(), 0);
    }

    #[test]
    fn spans_of_a_trace_come_together() {
        let mut spans = Spans::default();
        for (trace_id, span_id) in [(7, 1), (3, 2), (7, 3), (1, 4), (3, 5)] {
            spans.push(Span { trace_id, span_id, ..Span::default() }, 0, 0, b"").unwrap();
        }
        spans.group();
        let order: Vec<u64> = spans.list.iter().map(|span| span.span_id).collect();
        assert_eq!(order, [1, 3, 2, 5, 4]);
    }
}
