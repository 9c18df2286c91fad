//! Flight recordings of the JVM: events by their names, and of those the numbers one asks for.
//!
//! ```text
//! recording  chunk*                       chunk  header (68 bytes), events: metadata and constant pools among them
//! header     "FLR\0", version 2.x, bytes of the chunk, where its pools are, where its metadata is, start and duration in
//!            nanoseconds, start in ticks, ticks a second, flags: whether integers are compressed
//! event      its size, the id of its class, and its fields as the metadata of the chunk has them
//! ```
//!
//! Every chunk describes itself: which events there are, with which fields of which kinds, in which units. So events of the JDK,
//! of Datadog's profiler and of async-profiler are read alike, and a field that a newer version has is stepped over. Times are
//! given as nanoseconds and amounts as bytes, whatever they are in the recording.
//!
//! What stands in constant pools (threads, stacks, classes, words) is nothing that can be counted, and is stepped over too.
//! Nothing is kept but the description of one chunk.

mod metadata;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;

use metadata::{Class, Field, Kind, Metadata, Unit};
use reader::Reader;

/// Chunks of one recording. The JVM begins a new one every 12 MiB, and a dump some.
const CHUNKS_MAX: usize = 10_000;
/// Structures inside each other: the JDK has two.
const DEPTH_MAX: usize = 8;
/// Steps a chunk may take for each byte of it. A value is a byte at least; only structures, which have none of their own,
/// come on top.
const STEPS_PER_BYTE: usize = 4;

const HEADER_BYTES: usize = 68;
const MAGIC: &[u8] = b"FLR\0";
/// The version that began with JDK 9 (and 8u262); the one before, Oracle's own of JDK 7 and 8, is another format.
const MAJOR: u16 = 2;

/// Why bytes are no recording that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It is cut short, or contradicts itself.
    Malformed(&'static str),
    /// A recording of this version.
    Version(u16, u16),
    /// More than is looked at, of this.
    TooLarge(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Malformed(text) => write!(f, "no flight recording: {text}"),
            Error::Version(major, minor) => {
                write!(f, "a flight recording of version {major}.{minor}, not {MAJOR}.x")
            }
            Error::TooLarge(what) => write!(f, "a flight recording with too many {what}"),
        }
    }
}

impl std::error::Error for Error {}

/// An event one asks for, and fields of it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub event: &'static str,
    pub fields: &'static [&'static str],
}

/// What a field holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Value {
    /// The event has no such field, or it is no number.
    #[default]
    Absent,
    Int(i64),
    Float(f64),
}

impl Value {
    pub fn int(self) -> Option<i64> {
        match self {
            Value::Absent => None,
            Value::Int(value) => Some(value),
            Value::Float(value) => Some(value as i64),
        }
    }

    pub fn float(self) -> Option<f64> {
        match self {
            Value::Absent => None,
            Value::Int(value) => Some(value as f64),
            Value::Float(value) => Some(value).filter(|value| value.is_finite()),
        }
    }
}

/// What a recording says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    pub chunks: usize,
    /// In nanoseconds since 1970.
    pub start_nanos: i64,
    pub end_nanos: i64,
}

/// Reads a recording that is not compressed. `take` gets each event that is wanted: which one of them, and the values of the
/// fields in the order in which they were asked for.
pub fn read(
    bytes: &[u8],
    wanted: &[Wanted],
    take: &mut dyn FnMut(usize, &[Value]),
) -> Result<Recording, Error> {
    let mut recording = Recording { chunks: 0, start_nanos: i64::MAX, end_nanos: i64::MIN };
    let mut rest = bytes;
    while !rest.is_empty() {
        if recording.chunks == CHUNKS_MAX {
            return Err(Error::TooLarge("chunks"));
        }
        let header = Header::read(rest)?;
        let (chunk, behind) =
            rest.split_at_checked(header.bytes).ok_or(Error::Malformed("a chunk is cut short"))?;
        header.events(chunk, wanted, take)?;
        recording.chunks += 1;
        recording.start_nanos = recording.start_nanos.min(header.start_nanos);
        let end_nanos = header.start_nanos.saturating_add(header.duration_nanos);
        recording.end_nanos = recording.end_nanos.max(end_nanos);
        rest = behind;
    }
    if recording.chunks == 0 {
        return Err(Error::Malformed("it is empty"));
    }
    Ok(recording)
}

/// The head of a chunk.
#[derive(Clone, Copy, Debug)]
struct Header {
    bytes: usize,
    metadata_at: usize,
    start_nanos: i64,
    duration_nanos: i64,
    start_ticks: i64,
    ticks_per_second: i64,
    compressed: bool,
}

impl Header {
    fn read(chunk: &[u8]) -> Result<Header, Error> {
        const SHORT: Error = Error::Malformed("a chunk is cut short");
        let header: &[u8; HEADER_BYTES] = chunk.first_chunk().ok_or(SHORT)?;
        if !header.starts_with(MAGIC) {
            return Err(Error::Malformed("a chunk does not begin as one"));
        }
        let short = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let long = |at: usize| i64::from_be_bytes(std::array::from_fn(|n| header[at + n]));
        if short(4) != MAJOR {
            return Err(Error::Version(short(4), short(6)));
        }
        let place = |at: usize| usize::try_from(long(at)).map_err(|_| SHORT);
        let header = Header {
            bytes: place(8)?,
            metadata_at: place(24)?,
            start_nanos: long(32),
            duration_nanos: long(40).max(0),
            start_ticks: long(48),
            ticks_per_second: long(56),
            // The last byte of what was a number of four and has since been split up.
            compressed: header[67] & 1 != 0,
        };
        // A chunk that is still being written has no size yet.
        if header.bytes < HEADER_BYTES || header.metadata_at < HEADER_BYTES {
            return Err(Error::Malformed("a chunk is not finished"));
        }
        if header.ticks_per_second <= 0 {
            return Err(Error::Malformed("a clock that stands still"));
        }
        Ok(header)
    }

    fn events(
        &self,
        chunk: &[u8],
        wanted: &[Wanted],
        take: &mut dyn FnMut(usize, &[Value]),
    ) -> Result<(), Error> {
        let metadata = self.event(chunk, self.metadata_at)?.0;
        let metadata = Metadata::read(Reader::new(metadata, self.compressed))?;
        let layouts: HashMap<i64, Layout<'_>> =
            metadata.classes().filter_map(|class| Layout::new(&metadata, class, wanted)).collect();
        let mut steps_left = chunk.len().saturating_mul(STEPS_PER_BYTE);
        let mut values = Vec::new();
        let mut at = HEADER_BYTES;
        while at < chunk.len() {
            let (event, end) = self.event(chunk, at)?;
            at = end;
            let mut reader = Reader::new(event, self.compressed);
            let Some(layout) = layouts.get(&reader.long()?) else { continue };
            values.clear();
            values.resize(layout.slots, Value::Absent);
            for (field, slot) in &layout.fields {
                let value = self.value(&mut reader, field, &metadata, 0, &mut steps_left)?;
                if let Some(slot) = slot {
                    values[*slot] = value;
                }
            }
            take(layout.index, &values);
        }
        Ok(())
    }

    /// The event that begins here, behind its size, and where it ends.
    fn event<'a>(&self, chunk: &'a [u8], at: usize) -> Result<(&'a [u8], usize), Error> {
        const WRONG: Error = Error::Malformed("an event of an impossible size");
        let mut reader = Reader::new(chunk.get(at..).unwrap_or_default(), self.compressed);
        let size = usize::try_from(reader.int()?).map_err(|_| WRONG)?;
        let end = at.checked_add(size).ok_or(WRONG)?;
        let start = at + reader.passed();
        // An event of no size would be met again and again.
        chunk.get(start..end).map(|event| (event, end)).ok_or(WRONG)
    }

    /// Reads a field, or steps over it. Of a list or a structure there is no value.
    fn value(
        &self,
        reader: &mut Reader<'_>,
        field: &Field,
        metadata: &Metadata<'_>,
        depth: usize,
        steps_left: &mut usize,
    ) -> Result<Value, Error> {
        if field.list {
            let len = reader.int()?;
            for _ in 0..u32::try_from(len).map_err(|_| Error::Malformed("a list of an impossible size"))? {
                self.one(reader, field, metadata, depth, steps_left)?;
            }
            return Ok(Value::Absent);
        }
        self.one(reader, field, metadata, depth, steps_left)
    }

    fn one(
        &self,
        reader: &mut Reader<'_>,
        field: &Field,
        metadata: &Metadata<'_>,
        depth: usize,
        steps_left: &mut usize,
    ) -> Result<Value, Error> {
        *steps_left = steps_left.checked_sub(1).ok_or(Error::TooLarge("values"))?;
        let value = match field.kind {
            Kind::Byte => i64::from(reader.byte()? as i8),
            Kind::Bool => i64::from(reader.byte()? != 0),
            Kind::Char => i64::from(reader.char()?),
            Kind::Short => i64::from(reader.short()?),
            Kind::Int => i64::from(reader.int()?),
            Kind::Long => reader.long()?,
            Kind::Float => return Ok(Value::Float(f64::from(f32::from_be_bytes(reader.array()?)))),
            Kind::Double => return Ok(Value::Float(f64::from_be_bytes(reader.array()?))),
            Kind::Text => {
                reader.text()?;
                return Ok(Value::Absent);
            }
            Kind::Pool => {
                reader.long()?;
                return Ok(Value::Absent);
            }
            Kind::Struct(class) => {
                let class: &Class<'_> = metadata.class(class)?;
                if depth == DEPTH_MAX {
                    return Err(Error::TooLarge("structures inside each other"));
                }
                for field in &class.fields {
                    self.value(reader, field, metadata, depth + 1, steps_left)?;
                }
                return Ok(Value::Absent);
            }
        };
        Ok(Value::Int(self.in_our_units(value, field.unit)))
    }

    fn in_our_units(&self, value: i64, unit: Unit) -> i64 {
        let nanos = |ticks: i128| ticks * 1_000_000_000 / i128::from(self.ticks_per_second);
        let wide = match unit {
            Unit::AsIs => return value,
            Unit::Times(factor) => i128::from(value) * i128::from(factor),
            Unit::Bits => i128::from(value) / 8,
            Unit::SpanInTicks => nanos(i128::from(value)),
            Unit::TimeInTicks => {
                i128::from(self.start_nanos) + nanos(i128::from(value) - i128::from(self.start_ticks))
            }
        };
        i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX })
    }
}

/// How a wanted event is laid out in a chunk.
struct Layout<'m> {
    /// Which of the wanted it is.
    index: usize,
    slots: usize,
    /// Up to the last field that is wanted, and where its value goes.
    fields: Vec<(&'m Field, Option<usize>)>,
}

impl<'m> Layout<'m> {
    fn new(metadata: &Metadata<'_>, class: &'m Class<'_>, wanted: &[Wanted]) -> Option<(i64, Layout<'m>)> {
        let index = wanted.iter().position(|wanted| wanted.event == class.name())?;
        let wanted = wanted.get(index)?;
        let slot = |field: &Field| wanted.fields.iter().position(|name| metadata.is_named(field, name));
        let mut fields: Vec<(&Field, Option<usize>)> =
            class.fields.iter().map(|field| (field, slot(field))).collect();
        let used = fields.iter().rposition(|(_, slot)| slot.is_some()).map_or(0, |last| last + 1);
        fields.truncate(used);
        Some((class.id, Layout { index, slots: wanted.fields.len(), fields }))
    }
}
