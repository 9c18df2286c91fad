//! Line protocol: `<name>[,<tag>=<value>…] <field>=<value>[,…] <time ns>`, tags and fields sorted by key.

use crate::point::pb::{self, PbError, PbField, PbPoint, PbValue};

use super::{base64, number, tag_text, uniform_array};

/// Times a line may carry; the ends are reserved in the format's home.
const TIME_NS: std::ops::RangeInclusive<i64> = i64::MIN + 2..=i64::MAX - 1;

/// Appends the points as lines joined by newlines, without one at the end. A point that has no line (no field left, a
/// value that is no number) is an empty one.
pub fn line_protocol(points: &[u8], out: &mut Vec<u8>) -> Result<(), PbError> {
    write_lines(LineWriter::default(), points, out)
}

/// As [`line_protocol`], with an empty array as `key=`, which is no line protocol: what DataKit prints.
pub fn line_protocol_as_recorded(points: &[u8], out: &mut Vec<u8>) -> Result<(), PbError> {
    write_lines(LineWriter { empty_arrays: true, ..LineWriter::default() }, points, out)
}

fn write_lines(mut writer: LineWriter, points: &[u8], out: &mut Vec<u8>) -> Result<(), PbError> {
    for (index, point) in pb::points(points).enumerate() {
        if index > 0 {
            out.push(b'\n');
        }
        writer.write(&point?, out)?;
    }
    Ok(())
}

/// Writes points as lines; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct LineWriter {
    /// Fields of the point at hand, emptied in between: the lifetime of their texts ends with it.
    keys: Vec<Place>,
    /// Whether fields whose array is empty are written, without a value.
    empty_arrays: bool,
}

/// A field's place in the walk over the point, for sorting without keeping what it borrows.
type Place = u32;

impl LineWriter {
    /// Appends the line of one point, without a newline; `false`: it has none, and nothing was appended.
    pub fn write(&mut self, point: &PbPoint<'_>, out: &mut Vec<u8>) -> Result<bool, PbError> {
        let fields = point.fields().collect::<Result<Vec<_>, _>>()?;
        self.keys.clear();
        self.keys.extend(0..fields.len() as Place);
        self.keys.sort_by_key(|&place| fields[place as usize].key);
        let start = out.len();
        let mut name = Vec::with_capacity(point.name.len());
        unescape_name(point.name, &mut name);
        push_escaped(&name, b", ", out);
        for field in self.keys.iter().map(|&place| &fields[place as usize]) {
            let Some(value) = tag_text(field).filter(|value| !value.is_empty()) else { continue };
            out.push(b',');
            push_escaped(field.key, b", =", out);
            out.push(b'=');
            push_escaped(value, b", =", out);
        }
        let mut separator = b' ';
        for field in self.keys.iter().map(|&place| &fields[place as usize]) {
            if tag_text(field).is_some() {
                continue;
            }
            let before = out.len();
            out.push(separator);
            push_escaped(field.key, b", =\"", out);
            out.push(b'=');
            match push_value(field, self.empty_arrays, out)? {
                Pushed::Value => separator = b',',
                Pushed::Nothing => out.truncate(before),
                Pushed::NotANumber => {
                    out.truncate(start);
                    return Ok(false);
                }
            }
        }
        if separator == b' ' || !TIME_NS.contains(&point.time) {
            out.truncate(start);
            return Ok(false);
        }
        out.push(b' ');
        out.extend_from_slice(itoa::Buffer::new().format(point.time).as_bytes());
        Ok(true)
    }
}

/// What a value came to.
enum Pushed {
    Value,
    /// It has no form in line protocol: the field is left out.
    Nothing,
    /// The whole point is left out.
    NotANumber,
}

fn push_value(field: &PbField<'_>, empty_arrays: bool, out: &mut Vec<u8>) -> Result<Pushed, PbError> {
    let PbValue::Any(any) = field.value else { return Ok(push_basic(&field.value, out)) };
    let items = match uniform_array(any)? {
        None => return Ok(Pushed::Nothing),
        Some(items) if items.is_empty() && empty_arrays => return Ok(Pushed::Value),
        Some(items) if items.is_empty() => return Ok(Pushed::Nothing),
        Some(items) => items,
    };
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if let Pushed::NotANumber = push_basic(item, out) {
            return Ok(Pushed::NotANumber);
        }
    }
    out.push(b']');
    Ok(Pushed::Value)
}

fn push_basic(value: &PbValue<'_>, out: &mut Vec<u8>) -> Pushed {
    let mut digits = itoa::Buffer::new();
    match *value {
        PbValue::Nil | PbValue::Any(_) => return Pushed::Nothing,
        PbValue::Int(value) => {
            out.extend_from_slice(digits.format(value).as_bytes());
            out.push(b'i');
        }
        PbValue::Uint(value) => {
            out.extend_from_slice(digits.format(value).as_bytes());
            out.push(b'u');
        }
        PbValue::Float(value) if !value.is_finite() => return Pushed::NotANumber,
        PbValue::Float(value) => number::plain(value, out),
        PbValue::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        PbValue::Str(value) => {
            out.push(b'"');
            push_escaped(value, b"\"\\", out);
            out.push(b'"');
        }
        PbValue::Bytes(value) => {
            out.push(b'"');
            out.extend_from_slice(base64(value).as_bytes());
            out.extend_from_slice(b"\"b");
        }
    }
    Pushed::Value
}

/// A backslash before each of `special`.
fn push_escaped(text: &[u8], special: &[u8], out: &mut Vec<u8>) {
    // Hardly any text has one.
    if !text.iter().any(|byte| special.contains(byte)) {
        return out.extend_from_slice(text);
    }
    for &byte in text {
        if special.contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

/// Names are unescaped before they are escaped, so that what is escaped already is not escaped twice (recorded).
fn unescape_name(name: &[u8], out: &mut Vec<u8>) {
    let mut bytes = name.iter().peekable();
    while let Some(&byte) = bytes.next() {
        if byte == b'\\' && matches!(bytes.peek(), Some(b',' | b' ')) {
            continue;
        }
        out.push(byte);
    }
}
