//! A reader over `PBPoints` bytes that copies nothing and trusts nothing.
//!
//! It reads what the encoder wrote (for echoes and the archive) as well as bodies from outside: every length is
//! checked against what is there, nothing recurses, and garbage ends in a typed error whose text is the one Go's
//! generated code gives. Unknown fields are skipped; of a value given twice the last one counts.

use crate::codec::protobuf::Cursor;

use super::wire::{self, ARRAY_ITEM, BASIC_BOOL, BASIC_BYTES, BASIC_FLOAT, BASIC_INT, BASIC_STR, BASIC_UINT};

pub use crate::codec::protobuf::{PbError, Wire, fields, varint};

/// A field's value as it stands in the bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PbValue<'a> {
    /// None was written.
    Nil,
    Int(i64),
    Uint(u64),
    Float(f64),
    Bool(bool),
    Bytes(&'a [u8]),
    /// An encoded `google.protobuf.Any`; [`any`] opens it.
    Any(&'a [u8]),
    Str(&'a [u8]),
}

/// One entry of `PBPoint.fields`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PbField<'a> {
    pub key: &'a [u8],
    pub value: PbValue<'a>,
    pub is_tag: bool,
    pub metric_type: i32,
    pub unit: &'a [u8],
}

/// A point: its scalars, and its bytes for another walk over the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PbPoint<'a> {
    pub name: &'a [u8],
    pub time: i64,
    bytes: &'a [u8],
}

/// One entry of `PBPoint.warns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PbWarn<'a> {
    pub kind: &'a [u8],
    pub message: &'a [u8],
}

/// What a point is made of, as it stands in the bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PbPart<'a> {
    Name(&'a [u8]),
    Field(PbField<'a>),
    Time(i64),
    Warn(PbWarn<'a>),
    /// The `info` of a debug entry.
    Debug(&'a [u8]),
}

/// The first field of a `PBPoints` message that is not empty: a point's bytes, or `None` for an unknown field; and how
/// many bytes it takes.
pub fn first(bytes: &[u8]) -> Result<(Option<&[u8]>, usize), PbError> {
    let mut cursor = Cursor { bytes, message: "PBPoints" };
    let point = match cursor.tag()? {
        Some((1, wire)) => Some(cursor.len(wire, "Arr")?),
        Some((_, wire)) => {
            cursor.skip(wire)?;
            None
        }
        None => None,
    };
    Ok((point, bytes.len() - cursor.bytes.len()))
}

/// The parts of one point in one walk, each read whole before the next is looked at: so the first error is the one that
/// Go's generated code finds first. Ends after it.
pub fn parts(bytes: &[u8]) -> impl Iterator<Item = Result<PbPart<'_>, PbError>> {
    let mut cursor = Cursor { bytes, message: "PBPoint" };
    std::iter::from_fn(move || {
        let part = next_part(&mut cursor);
        if part.is_err() {
            cursor.bytes = &[];
        }
        part.transpose()
    })
}

fn next_part<'a>(cursor: &mut Cursor<'a>) -> Result<Option<PbPart<'a>>, PbError> {
    while let Some((number, wire)) = cursor.tag()? {
        let part = match number {
            1 => PbPart::Name(cursor.len(wire, "Name")?),
            2 => PbPart::Field(PbField::parse(cursor.len(wire, "Fields")?)?),
            3 => PbPart::Time(cursor.uint(wire, "Time")? as i64),
            4 => PbPart::Warn(PbWarn::parse(cursor.len(wire, "Warns")?)?),
            5 => PbPart::Debug(debug_info(cursor.len(wire, "Debugs")?)?),
            _ => {
                cursor.skip(wire)?;
                continue;
            }
        };
        return Ok(Some(part));
    }
    Ok(None)
}

/// The `info` of a debug entry: of several the last.
fn debug_info(bytes: &[u8]) -> Result<&[u8], PbError> {
    let mut cursor = Cursor { bytes, message: "Debug" };
    let mut info: &[u8] = b"";
    while let Some((number, wire)) = cursor.tag()? {
        match number {
            1 => info = cursor.len(wire, "Info")?,
            _ => cursor.skip(wire)?,
        }
    }
    Ok(info)
}

/// The points of a `PBPoints` message, one after the other. Ends after its first error.
pub fn points(bytes: &[u8]) -> Points<'_> {
    Points { cursor: Cursor { bytes, message: "PBPoints" } }
}

/// See [`points`].
#[derive(Clone, Debug)]
pub struct Points<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Iterator for Points<'a> {
    type Item = Result<PbPoint<'a>, PbError>;

    fn next(&mut self) -> Option<Self::Item> {
        let point = next_message(&mut self.cursor, "Arr").map(|found| found.map(PbPoint::parse));
        match point {
            Ok(None) => None,
            Ok(Some(Ok(point))) => Some(Ok(point)),
            Ok(Some(Err(error))) | Err(error) => {
                self.cursor.bytes = &[];
                Some(Err(error))
            }
        }
    }
}

/// The next field number 1 of a list message, others skipped.
fn next_message<'a>(cursor: &mut Cursor<'a>, field: &'static str) -> Result<Option<&'a [u8]>, PbError> {
    while let Some((number, wire)) = cursor.tag()? {
        if number == 1 {
            return cursor.len(wire, field).map(Some);
        }
        cursor.skip(wire)?;
    }
    Ok(None)
}

impl<'a> PbPoint<'a> {
    /// Reads the scalars of one point and walks over the rest, checking its frames.
    pub fn parse(bytes: &'a [u8]) -> Result<PbPoint<'a>, PbError> {
        let mut cursor = Cursor { bytes, message: "PBPoint" };
        let mut point = PbPoint { name: b"", time: 0, bytes };
        while let Some((number, wire)) = cursor.tag()? {
            match number {
                1 => point.name = cursor.len(wire, "Name")?,
                2 => cursor.pass(wire, "Fields")?,
                3 => point.time = cursor.uint(wire, "Time")? as i64,
                4 => cursor.pass(wire, "Warns")?,
                5 => cursor.pass(wire, "Debugs")?,
                _ => cursor.skip(wire)?,
            }
        }
        Ok(point)
    }

    /// The encoded point.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Tags and fields, in the order in which they stand.
    pub fn fields(&self) -> impl Iterator<Item = Result<PbField<'a>, PbError>> + use<'a> {
        self.entries(2).map(|entry| entry.and_then(PbField::parse))
    }

    pub fn warns(&self) -> impl Iterator<Item = Result<PbWarn<'a>, PbError>> + use<'a> {
        self.entries(4).map(|entry| entry.and_then(PbWarn::parse))
    }

    /// The `info` of each debug entry.
    pub fn debugs(&self) -> impl Iterator<Item = Result<&'a [u8], PbError>> + use<'a> {
        self.entries(5).map(|entry| entry.and_then(debug_info))
    }

    fn entries(&self, wanted: u64) -> Entries<'a> {
        Entries { cursor: Cursor { bytes: self.bytes, message: "PBPoint" }, wanted }
    }
}

/// The entries of one repeated message field of a point.
struct Entries<'a> {
    cursor: Cursor<'a>,
    wanted: u64,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<&'a [u8], PbError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let step = match self.cursor.tag() {
                Ok(None) => return None,
                Ok(Some((number, wire))) if number == self.wanted => return Some(self.cursor.len(wire, "")),
                Ok(Some((_, wire))) => self.cursor.skip(wire),
                Err(error) => Err(error),
            };
            if let Err(error) = step {
                self.cursor.bytes = &[];
                return Some(Err(error));
            }
        }
    }
}

impl<'a> PbField<'a> {
    /// Reads one field. Of several values the last one counts.
    pub fn parse(bytes: &'a [u8]) -> Result<PbField<'a>, PbError> {
        let mut cursor = Cursor { bytes, message: "Field" };
        let mut field = PbField { key: b"", value: PbValue::Nil, is_tag: false, metric_type: 0, unit: b"" };
        while let Some((number, wire)) = cursor.tag()? {
            match number {
                1 => field.key = cursor.len(wire, "Key")?,
                2 => field.value = PbValue::Int(cursor.uint(wire, "I")? as i64),
                3 => field.value = PbValue::Uint(cursor.uint(wire, "U")?),
                4 => field.value = PbValue::Float(cursor.double(wire, "F")?),
                5 => field.value = PbValue::Bool(cursor.uint(wire, "B")? != 0),
                6 => field.value = PbValue::Bytes(cursor.len(wire, "D")?),
                7 => field.value = PbValue::Any(cursor.len(wire, "A")?),
                8 => field.is_tag = cursor.uint(wire, "IsTag")? != 0,
                9 => field.metric_type = cursor.uint(wire, "Type")? as i32,
                10 => field.unit = cursor.len(wire, "Unit")?,
                11 => field.value = PbValue::Str(cursor.len(wire, "S")?),
                _ => cursor.skip(wire)?,
            }
        }
        Ok(field)
    }
}

impl<'a> PbWarn<'a> {
    fn parse(bytes: &'a [u8]) -> Result<PbWarn<'a>, PbError> {
        let mut cursor = Cursor { bytes, message: "Warn" };
        let mut warn = PbWarn { kind: b"", message: b"" };
        while let Some((number, wire)) = cursor.tag()? {
            match number {
                1 => warn.kind = cursor.len(wire, "Type")?,
                2 => warn.message = cursor.len(wire, "Msg")?,
                _ => cursor.skip(wire)?,
            }
        }
        Ok(warn)
    }
}

/// An `Any`: its type URL and its value.
pub fn any(bytes: &[u8]) -> Result<(&[u8], &[u8]), PbError> {
    let mut cursor = Cursor { bytes, message: "Any" };
    let (mut type_url, mut value): (&[u8], &[u8]) = (b"", b"");
    while let Some((number, wire)) = cursor.tag()? {
        match number {
            1 => type_url = cursor.len(wire, "TypeUrl")?,
            2 => value = cursor.len(wire, "Value")?,
            _ => cursor.skip(wire)?,
        }
    }
    Ok((type_url, value))
}

/// The elements of an encoded `Array`. `Nil` is an element without a value; none is ever `Any`.
pub fn array(bytes: &[u8]) -> impl Iterator<Item = Result<PbValue<'_>, PbError>> {
    let mut cursor = Cursor { bytes, message: "Array" };
    std::iter::from_fn(move || {
        let item = next_message(&mut cursor, "Arr").and_then(|found| found.map(basic).transpose());
        if item.is_err() {
            cursor.bytes = &[];
        }
        item.transpose()
    })
}

/// One `BasicTypes`.
fn basic(bytes: &[u8]) -> Result<PbValue<'_>, PbError> {
    let mut cursor = Cursor { bytes, message: "BasicTypes" };
    let mut value = PbValue::Nil;
    while let Some((number, wire)) = cursor.tag()? {
        value = match number {
            1 => PbValue::Int(cursor.uint(wire, "I")? as i64),
            2 => PbValue::Uint(cursor.uint(wire, "U")?),
            3 => PbValue::Float(cursor.double(wire, "F")?),
            4 => PbValue::Bool(cursor.uint(wire, "B")? != 0),
            5 => PbValue::Bytes(cursor.len(wire, "D")?),
            6 => PbValue::Str(cursor.len(wire, "S")?),
            _ => {
                cursor.skip(wire)?;
                value
            }
        };
    }
    Ok(value)
}

/// The entries of an encoded `Map`.
pub fn map(bytes: &[u8]) -> impl Iterator<Item = Result<(&[u8], PbValue<'_>), PbError>> {
    let mut cursor = Cursor { bytes, message: "Map" };
    std::iter::from_fn(move || {
        let entry = next_message(&mut cursor, "Map").and_then(|found| found.map(map_entry).transpose());
        if entry.is_err() {
            cursor.bytes = &[];
        }
        entry.transpose()
    })
}

fn map_entry(bytes: &[u8]) -> Result<(&[u8], PbValue<'_>), PbError> {
    let mut cursor = Cursor { bytes, message: "Map" };
    let (mut key, mut value): (&[u8], _) = (b"", PbValue::Nil);
    while let Some((number, wire)) = cursor.tag()? {
        match number {
            1 => key = cursor.len(wire, "Map")?,
            2 => value = basic(cursor.len(wire, "Map")?)?,
            _ => cursor.skip(wire)?,
        }
    }
    Ok((key, value))
}

/// Reads an `Any` through, and the array or map in it.
pub fn check_any(bytes: &[u8]) -> Result<(), PbError> {
    let (type_url, value) = any(bytes)?;
    if type_url == wire::ARRAY_TYPE_URL.as_bytes() {
        return array(value).try_for_each(|item| item.map(|_| ()));
    }
    if type_url == wire::MAP_TYPE_URL.as_bytes() {
        return map(value).try_for_each(|entry| entry.map(|_| ()));
    }
    Ok(())
}

/// Encodes an array of basic values as the `Any` that a field carries. `Nil` and `Any` have no basic form.
pub fn encode_array<'a>(items: impl IntoIterator<Item = PbValue<'a>>, out: &mut Vec<u8>) {
    wire::put_bytes(out, wire::ANY_TYPE_URL, wire::ARRAY_TYPE_URL.as_bytes());
    wire::put_message(out, wire::ANY_VALUE, |out| {
        for item in items {
            wire::put_message(out, ARRAY_ITEM, |out| put_basic(item, out));
        }
    });
}

/// Appends what is in a `BasicTypes` message.
pub fn put_basic(value: PbValue<'_>, out: &mut Vec<u8>) {
    match value {
        PbValue::Nil | PbValue::Any(_) => {}
        PbValue::Int(value) => wire::put_uint(out, BASIC_INT, value as u64),
        PbValue::Uint(value) => wire::put_uint(out, BASIC_UINT, value),
        PbValue::Float(value) => wire::put_double(out, BASIC_FLOAT, value.to_bits()),
        PbValue::Bool(value) => wire::put_uint(out, BASIC_BOOL, u64::from(value)),
        PbValue::Bytes(value) => wire::put_bytes(out, BASIC_BYTES, value),
        PbValue::Str(value) => wire::put_bytes(out, BASIC_STR, value),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walk(bytes: &[u8]) -> Result<usize, PbError> {
        let mut seen = 0;
        for point in points(bytes) {
            let point = point?;
            for field in point.fields() {
                if let PbValue::Any(bytes) = field?.value {
                    let (_, value) = super::any(bytes)?;
                    for item in array(value) {
                        item?;
                        seen += 1;
                    }
                }
                seen += 1;
            }
            for warn in point.warns() {
                warn?;
                seen += 1;
            }
            for debug in point.debugs() {
                debug?;
                seen += 1;
            }
            seen += 1;
        }
        Ok(seen)
    }

    proptest! {
        #[test]
        fn garbage_ends_in_an_error_and_never_in_a_panic(bytes in proptest::collection::vec(0u8.., 0..200)) {
            let _ = walk(&bytes);
        }

        #[test]
        fn a_flipped_byte_never_panics(at in 0usize..22, flip in 1u8..) {
            let mut bytes = b"\x0a\x14\x0a\x07mnotags\x12\x06\x0a\x02f1\x10\x01\x18\x80\x01".to_vec();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            let _ = walk(&bytes);
        }
    }

    #[test]
    fn the_specified_example_reads_back() {
        let bytes = b"\x0a\x13\x0a\x07mnotags\x12\x06\x0a\x02f1\x10\x01\x18\x05";
        let point = points(bytes).next().unwrap().unwrap();
        assert_eq!((point.name, point.time), (&b"mnotags"[..], 5));
        let fields: Vec<_> = point.fields().map(Result::unwrap).collect();
        assert_eq!(fields.len(), 1);
        assert_eq!((fields[0].key, fields[0].value), (&b"f1"[..], PbValue::Int(1)));
    }

    #[test]
    fn errors_have_the_texts_of_the_generated_code() {
        let text = |bytes: &[u8]| walk(bytes).unwrap_err().to_string();
        assert_eq!(text(b"\x0a\x05ab"), "unexpected EOF");
        assert_eq!(text(b"\x00"), "proto: PBPoints: illegal tag 0 (wire type 0)");
        assert_eq!(text(b"\x08\x01"), "proto: wrong wireType = 0 for field Arr");
        assert_eq!(text(b"\x17"), "proto: illegal wireType 7");
        assert_eq!(text(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "proto: integer overflow");
    }
}
