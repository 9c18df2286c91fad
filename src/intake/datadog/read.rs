//! The bodies of trace requests, read in place into [`Spans`].
//!
//! | | form |
//! |---|---|
//! | v0.1 | JSON: an array of spans |
//! | v0.2, v0.3, v0.4 | msgpack or JSON: an array of traces, each an array of spans, which are maps |
//! | v0.5 | msgpack: an array of strings and one of traces, whose spans are arrays of twelve with indices of strings |
//!
//! What is accepted for which key is what the recorded DataKit accepts: nil stands for zero and for an empty text, a
//! binary for a text, an integer for a double. A nil span is skipped, where DataKit fails.

use crate::buf::Padded;
use crate::codec::json::{self, Elements, Malformed, Tape, Value, View};
use crate::codec::msgpack::{MsgpackError, Reader};
use crate::intake::convert::Fault;
use crate::simd::json::word;
use crate::simd::wire::{self, Isa, Kernel, Sources};

use super::spans::{Span, Spans, Text};

impl From<MsgpackError> for Fault {
    fn from(error: MsgpackError) -> Fault {
        Fault::malformed(error.to_string())
    }
}

/// Containers inside each other in a JSON body: array, array, span, `meta_struct` or links, and what is in them.
const DEPTH_MAX: usize = 64;

/// The traces of a msgpack body, one at a time.
#[derive(Debug)]
pub struct Traces<'b> {
    body: Padded<'b>,
    reader: Reader<'b>,
    left: usize,
}

impl<'b> Traces<'b> {
    pub fn new(body: Padded<'b>) -> Result<Traces<'b>, Fault> {
        let mut reader = Reader::new(body.bytes());
        let left = reader.array()?;
        Ok(Traces { body, reader, left })
    }

    /// Reads the next trace; `false` at the end.
    pub fn next(&mut self, spans: &mut Spans) -> Result<bool, Fault> {
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        if self.reader.nil() {
            return Ok(true);
        }
        let count = self.reader.array()?;
        wire::run(TraceKernel { reader: &mut self.reader, count, body: self.body, spans })?;
        Ok(true)
    }
}

/// The spans of a trace, compiled for each set of instructions.
struct TraceKernel<'k, 'b> {
    reader: &'k mut Reader<'b>,
    count: usize,
    body: Padded<'b>,
    spans: &'k mut Spans,
}

impl Kernel for TraceKernel<'_, '_> {
    type Output = Result<(), Fault>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Result<(), Fault> {
        let sources = Sources::new(self.body, self.body);
        // One of its own, so that its place is a register; and over the bytes that the texts are taken from, so that what
        // it says to be inside is not asked again.
        let body = self.body.bytes();
        let mut reader = Reader::starting_at(body, self.reader.offset());
        for _ in 0..self.count {
            if !reader.nil() {
                span::<I>(&mut reader, &sources, body, self.spans)?;
            }
        }
        *self.reader = reader;
        Ok(())
    }
}

/// The first bytes of a span's keys.
mod key {
    use super::word;

    pub const SERVICE: u64 = word(b"service");
    pub const NAME: u64 = word(b"name");
    pub const RESOURCE: u64 = word(b"resource");
    pub const TYPE: u64 = word(b"type");
    pub const TRACE_ID: u64 = word(b"trace_id");
    pub const SPAN_ID: u64 = word(b"span_id");
    pub const PARENT_I: u64 = word(b"parent_i");
    pub const START: u64 = word(b"start");
    pub const DURATION: u64 = word(b"duration");
    pub const ERROR: u64 = word(b"error");
    pub const META: u64 = word(b"meta");
    pub const METRICS: u64 = word(b"metrics");
}

#[inline(always)]
fn span<I: Isa>(
    reader: &mut Reader<'_>,
    sources: &Sources<'_>,
    body: &[u8],
    spans: &mut Spans,
) -> Result<(), Fault> {
    let (meta, metrics) = (spans.meta.len(), spans.metrics.len());
    let mut span = Span::default();
    for _ in 0..reader.map()? {
        let key = reader.text()?;
        let key = sources.text(false, key.start, key.end - key.start);
        // By one word: no comparison of texts. Those of eight bytes are told from longer ones by the length.
        match (key.first_word::<I>(), key.len()) {
            (key::SERVICE, 7) => span.service = spans.take_in::<I>(reader.text()?, sources, body),
            (key::NAME, 4) => span.name = spans.take_in::<I>(reader.text()?, sources, body),
            (key::RESOURCE, 8) => span.resource = spans.take_in::<I>(reader.text()?, sources, body),
            (key::TYPE, 4) => span.kind = spans.take_in::<I>(reader.text()?, sources, body),
            (key::TRACE_ID, 8) => span.trace_id = reader.bits()?,
            (key::SPAN_ID, 7) => span.span_id = reader.bits()?,
            (key::PARENT_I, 9) if key.bytes() == b"parent_id" => span.parent_id = reader.bits()?,
            (key::START, 5) => span.start = reader.int()?,
            (key::DURATION, 8) => span.duration = reader.int()?,
            (key::ERROR, 5) => span.error = error(reader.int()?)?,
            (key::META, 4) => {
                for _ in 0..reader.map()? {
                    let key = spans.take_in::<I>(reader.text()?, sources, body);
                    let value = spans.take_in::<I>(reader.text()?, sources, body);
                    spans.push_meta(key, value)?;
                }
            }
            (key::METRICS, 7) => {
                for _ in 0..reader.map()? {
                    let key = spans.take_in::<I>(reader.text()?, sources, body);
                    spans.push_metric(key, reader.double()?)?;
                }
            }
            _ => reader.skip()?,
        }
    }
    spans.push(span, meta, metrics, body)
}

fn error(value: i64) -> Result<i32, Fault> {
    i32::try_from(value).map_err(|_| MsgpackError::OutOfRange.into())
}

/// Strings of a v0.5 body: more than the largest payload of a tracer can name.
const STRINGS_MAX: usize = 1 << 21;

/// Values of a v0.5 span.
const SPAN_VALUES: usize = 12;

/// Reads all traces of a v0.5 body; those of the same id become one.
pub fn dictionary(body: &[u8], strings: &mut Vec<Text>, spans: &mut Spans) -> Result<(), Fault> {
    strings.clear();
    let mut reader = Reader::new(body);
    // Its length is not looked at: recorded.
    reader.array()?;
    for _ in 0..reader.array()? {
        if strings.len() >= STRINGS_MAX {
            return Err(Fault::TooLarge(STRINGS_MAX * size_of::<Text>()));
        }
        strings.push(spans.take(reader.text()?, body));
    }
    let strings = &strings[..];
    for _ in 0..reader.array()? {
        if reader.nil() {
            continue;
        }
        for _ in 0..reader.array()? {
            if !reader.nil() {
                dictionary_span(&mut reader, body, strings, spans)?;
            }
        }
    }
    spans.group();
    Ok(())
}

fn dictionary_span(
    reader: &mut Reader<'_>,
    body: &[u8],
    strings: &[Text],
    spans: &mut Spans,
) -> Result<(), Fault> {
    let string = |reader: &mut Reader<'_>| -> Result<Text, Fault> {
        let index = reader.index()?;
        let text = strings.get(index as usize).copied();
        text.ok_or_else(|| Fault::malformed(format!("string {index} of {}", strings.len())))
    };
    let values = reader.array()?;
    if values != SPAN_VALUES {
        return Err(Fault::malformed(format!("a span of {values} values, not {SPAN_VALUES}")));
    }
    let (meta, metrics) = (spans.meta.len(), spans.metrics.len());
    let mut span = Span {
        service: string(reader)?,
        name: string(reader)?,
        resource: string(reader)?,
        trace_id: reader.bits()?,
        span_id: reader.bits()?,
        parent_id: reader.bits()?,
        start: reader.int()?,
        duration: reader.int()?,
        error: error(reader.int()?)?,
        ..Span::default()
    };
    for _ in 0..reader.map()? {
        let (key, value) = (string(reader)?, string(reader)?);
        spans.push_meta(key, value)?;
    }
    for _ in 0..reader.map()? {
        let key = string(reader)?;
        spans.push_metric(key, reader.double()?)?;
    }
    span.kind = string(reader)?;
    spans.push(span, meta, metrics, body)
}

/// The traces of a JSON body, one at a time.
#[derive(Debug)]
pub struct JsonTraces<'b> {
    body: &'b [u8],
    elements: Option<Elements<'b>>,
}

impl<'b> JsonTraces<'b> {
    pub fn new(body: &'b [u8]) -> Result<JsonTraces<'b>, Fault> {
        // `null` is no traces, as Go has it.
        let elements = match body.trim_ascii() {
            b"null" => None,
            _ => Some(Elements::new(body).ok_or_else(|| Fault::malformed("the body is no array"))?),
        };
        Ok(JsonTraces { body, elements })
    }

    /// Reads the next trace; `false` at the end.
    pub fn next(&mut self, tape: &mut Tape, spans: &mut Spans) -> Result<bool, Fault> {
        self.element(tape, |place, body| match place.view() {
            View::Null => Ok(()),
            View::Array(items) => items.into_iter().try_for_each(|item| json_span(item, body, spans)),
            other => Err(Fault::malformed(format!("a trace that is {}", other.kind()))),
        })
    }

    /// Reads the next element as a span; `false` at the end.
    pub fn next_span(&mut self, tape: &mut Tape, spans: &mut Spans) -> Result<bool, Fault> {
        self.element(tape, |place, body| json_span(place, body, spans))
    }

    fn element(
        &mut self,
        tape: &mut Tape,
        read: impl FnOnce(json::Place<'_>, &[u8]) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        let Some(elements) = &mut self.elements else { return Ok(false) };
        match elements.next(tape, DEPTH_MAX) {
            Ok(false) => Ok(false),
            Ok(true) => read(tape.root(self.body), self.body).map(|()| true),
            Err(Malformed::Syntax) => Err(Fault::malformed("the body is no JSON")),
            Err(Malformed::TooLarge) => Err(Fault::TooLarge(json::NODES_MAX)),
        }
    }
}

fn json_span<'a>(place: impl Value<'a>, body: &[u8], spans: &mut Spans) -> Result<(), Fault> {
    let members = match place.view() {
        View::Null => return Ok(()),
        View::Object(members) => members,
        other => return Err(Fault::malformed(format!("a span that is {}", other.kind()))),
    };
    let (meta, metrics) = (spans.meta.len(), spans.metrics.len());
    let mut span = Span::default();
    for (key, value) in members {
        match &*key.decode() {
            b"service" => span.service = json_text(value, body, spans)?,
            b"name" => span.name = json_text(value, body, spans)?,
            b"resource" => span.resource = json_text(value, body, spans)?,
            b"type" => span.kind = json_text(value, body, spans)?,
            b"trace_id" => span.trace_id = json_bits(value)?,
            b"span_id" => span.span_id = json_bits(value)?,
            b"parent_id" => span.parent_id = json_bits(value)?,
            b"start" => span.start = json_int(value)?,
            b"duration" => span.duration = json_int(value)?,
            b"error" => span.error = error(json_int(value)?)?,
            b"meta" => {
                for (key, value) in json_members(value)?.into_iter().flatten() {
                    let key = json_own(key, body, spans);
                    let value = json_text(value, body, spans)?;
                    spans.push_meta(key, value)?;
                }
            }
            b"metrics" => {
                for (key, value) in json_members(value)?.into_iter().flatten() {
                    let key = json_own(key, body, spans);
                    let value = match value.view() {
                        View::Null => Some(0.0),
                        View::Number(number) => number.to_f64(),
                        _ => None,
                    };
                    spans.push_metric(
                        key,
                        value.ok_or_else(|| Fault::malformed("a metric that is no number"))?,
                    )?;
                }
            }
            _ => {}
        }
    }
    spans.push(span, meta, metrics, body)
}

fn json_members<'a, V: Value<'a>>(value: V) -> Result<Option<V::Members>, Fault> {
    match value.view() {
        View::Null => Ok(None),
        View::Object(members) => Ok(Some(members)),
        other => Err(Fault::malformed(format!("a map that is {}", other.kind()))),
    }
}

fn json_text<'a>(value: impl Value<'a>, body: &[u8], spans: &mut Spans) -> Result<Text, Fault> {
    match value.view() {
        View::Null => Ok(Text::default()),
        View::Text(text) => Ok(json_own(text, body, spans)),
        other => Err(Fault::malformed(format!("a text that is {}", other.kind()))),
    }
}

/// In the body, if it stands there as it is meant.
fn json_own(text: json::Text<'_>, body: &[u8], spans: &mut Spans) -> Text {
    let decoded = text.decode();
    let inside = (decoded.as_ptr() as usize).checked_sub(body.as_ptr() as usize);
    match inside.filter(|at| at + decoded.len() <= body.len()) {
        Some(at) => spans.take(at..at + decoded.len(), body),
        None => spans.keep(&decoded),
    }
}

/// An unsigned integer of 64 bits, or a negative one by its bits: never by way of a double.
fn json_bits<'a>(value: impl Value<'a>) -> Result<u64, Fault> {
    let bits = match value.view() {
        View::Null => Some(0),
        View::Number(number) => number.to_u64().or_else(|| number.to_i64().map(|value| value as u64)),
        _ => None,
    };
    bits.ok_or_else(|| Fault::malformed("an id that is no integer of 64 bits"))
}

fn json_int<'a>(value: impl Value<'a>) -> Result<i64, Fault> {
    let int = match value.view() {
        View::Null => Some(0),
        View::Number(number) => number.to_i64(),
        _ => None,
    };
    int.ok_or_else(|| Fault::malformed("a number that is no integer of 64 bits"))
}
