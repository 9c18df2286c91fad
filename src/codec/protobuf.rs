//! Protobuf on the wire, for messages of any kind: a reader that copies nothing and trusts nothing, and a plain writer into
//! a `Vec`.
//!
//! Every length is checked against what is there, nothing recurses, and garbage ends in a typed error whose text is the
//! one Go's generated code gives.

/// Wire types.
pub const VARINT: u32 = 0;
pub const FIXED64: u32 = 1;
pub const LEN: u32 = 2;
pub const START_GROUP: u32 = 3;
pub const END_GROUP: u32 = 4;
pub const FIXED32: u32 = 5;

/// The first byte of a field: number and wire type, both small.
pub const fn tag(number: u32, wire: u32) -> u8 {
    assert!(number < 16);
    (number << 3 | wire) as u8
}

/// Groups are obsolete; a skipped field may nest them this deep before it is refused.
const GROUP_DEPTH_MAX: u32 = 64;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PbError {
    /// A value or message goes past the end.
    UnexpectedEof,
    /// A varint of more than 64 bits.
    Overflow,
    /// A length with its highest bit set.
    NegativeLength,
    /// Field number 0, or one too large.
    IllegalTag { message: &'static str, number: u64, wire: u32 },
    /// Wire type 6 or 7.
    IllegalWireType(u32),
    /// A known field with another wire type than its own.
    WrongWireType { wire: u32, field: &'static str },
    /// A group's end without its beginning, or groups nested too deeply.
    EndOfGroup,
}

impl std::fmt::Display for PbError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PbError::UnexpectedEof => f.write_str("unexpected EOF"),
            PbError::Overflow => f.write_str("proto: integer overflow"),
            PbError::NegativeLength => f.write_str("proto: negative length found during unmarshaling"),
            PbError::IllegalTag { message, number, wire } => {
                write!(f, "proto: {message}: illegal tag {number} (wire type {wire})")
            }
            PbError::IllegalWireType(wire) => write!(f, "proto: illegal wireType {wire}"),
            PbError::WrongWireType { wire, field } => {
                write!(f, "proto: wrong wireType = {wire} for field {field}")
            }
            PbError::EndOfGroup => f.write_str("proto: unexpected end of group"),
        }
    }
}

impl std::error::Error for PbError {}

/// A field of a message that is not ours, by its wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Len(&'a [u8]),
    Fixed32(u32),
}

/// The fields of a message that is not ours, with their numbers, groups left out. Ends after its first error.
pub fn fields(bytes: &[u8]) -> impl Iterator<Item = Result<(u64, Wire<'_>), PbError>> {
    let mut cursor = Cursor { bytes, message: "message" };
    std::iter::from_fn(move || {
        let field = next_field(&mut cursor);
        if field.is_err() {
            cursor.bytes = &[];
        }
        field.transpose()
    })
}

/// The varint that bytes begin with, and what is behind it.
pub fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), PbError> {
    let mut cursor = Cursor { bytes, message: "message" };
    let value = cursor.varint()?;
    Ok((value, cursor.bytes))
}

fn next_field<'a>(cursor: &mut Cursor<'a>) -> Result<Option<(u64, Wire<'a>)>, PbError> {
    while let Some((number, wire)) = cursor.tag()? {
        let value = match wire {
            VARINT => Wire::Varint(cursor.varint()?),
            FIXED64 => Wire::Fixed64(cursor.double(wire, "")?.to_bits()),
            LEN => Wire::Len(cursor.len(wire, "")?),
            FIXED32 => {
                let bytes = cursor.take(4)?;
                Wire::Fixed32(bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)))
            }
            _ => {
                cursor.skip(wire)?;
                continue;
            }
        };
        return Ok(Some((number, value)));
    }
    Ok(None)
}

/// What is left of a message.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    pub bytes: &'a [u8],
    /// Whose fields these are, for error texts.
    pub message: &'static str,
}

impl<'a> Cursor<'a> {
    /// The next field's number and wire type; `None` at the end.
    #[inline]
    pub fn tag(&mut self) -> Result<Option<(u64, u32)>, PbError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let (number, wire) = (tag >> 3, tag as u32 & 7);
        if wire == END_GROUP {
            return Err(PbError::EndOfGroup);
        }
        // Go keeps the number in an int32 and calls what is not positive illegal.
        if number as i32 <= 0 {
            return Err(PbError::IllegalTag { message: self.message, number: tag >> 3, wire });
        }
        Ok(Some((number & 0x1fff_ffff, wire)))
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, PbError> {
        if let Some((&first, rest)) = self.bytes.split_first()
            && first < 0x80
        {
            self.bytes = rest;
            return Ok(u64::from(first));
        }
        let mut value = 0u64;
        for shift in (0..).step_by(7) {
            let (&byte, rest) = self.bytes.split_first().ok_or(PbError::UnexpectedEof)?;
            self.bytes = rest;
            if shift >= 64 {
                return Err(PbError::Overflow);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }

    pub fn take(&mut self, len: u64) -> Result<&'a [u8], PbError> {
        if len > i64::MAX as u64 {
            return Err(PbError::NegativeLength);
        }
        let len = usize::try_from(len).map_err(|_| PbError::UnexpectedEof)?;
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(PbError::UnexpectedEof)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub fn len(&mut self, wire: u32, field: &'static str) -> Result<&'a [u8], PbError> {
        if wire != LEN {
            return Err(PbError::WrongWireType { wire, field });
        }
        let len = self.varint()?;
        self.take(len)
    }

    /// Past a length-delimited field.
    pub fn pass(&mut self, wire: u32, field: &'static str) -> Result<(), PbError> {
        self.len(wire, field).map(|_| ())
    }

    pub fn uint(&mut self, wire: u32, field: &'static str) -> Result<u64, PbError> {
        if wire != VARINT {
            return Err(PbError::WrongWireType { wire, field });
        }
        self.varint()
    }

    pub fn double(&mut self, wire: u32, field: &'static str) -> Result<f64, PbError> {
        if wire != FIXED64 {
            return Err(PbError::WrongWireType { wire, field });
        }
        let bytes = self.take(8)?;
        Ok(bytes.first_chunk().map_or(0.0, |bytes| f64::from_le_bytes(*bytes)))
    }

    /// Skips the value of an unknown field.
    pub fn skip(&mut self, wire: u32) -> Result<(), PbError> {
        let mut depth = 0;
        let mut wire = wire;
        loop {
            match wire {
                VARINT => {
                    self.varint()?;
                }
                FIXED64 => {
                    self.take(8)?;
                }
                FIXED32 => {
                    self.take(4)?;
                }
                LEN => {
                    let len = self.varint()?;
                    self.take(len)?;
                }
                START_GROUP if depth < GROUP_DEPTH_MAX => depth += 1,
                END_GROUP if depth > 0 => depth -= 1,
                START_GROUP | END_GROUP => return Err(PbError::EndOfGroup),
                _ => return Err(PbError::IllegalWireType(wire)),
            }
            if depth == 0 {
                return Ok(());
            }
            if self.bytes.is_empty() {
                return Err(PbError::UnexpectedEof);
            }
            wire = self.varint()? as u32 & 7;
        }
    }
}

/// How many bytes a varint takes.
pub const fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length-delimited field.
pub fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a varint field.
pub fn put_uint(out: &mut Vec<u8>, tag: u8, value: u64) {
    out.push(tag);
    put_varint(out, value);
}

/// Appends a double.
pub fn put_double(out: &mut Vec<u8>, tag: u8, bits: u64) {
    out.push(tag);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Appends a message whose length is known only once `write` has written it.
pub fn put_message(out: &mut Vec<u8>, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let start = out.len();
    write(out);
    let len = out.len() - start;
    let width = varint_len(len as u64);
    out.resize(start + len + width, 0);
    out.copy_within(start..start + len, start + width);
    let mut rest = len as u64;
    for (index, slot) in out[start..start + width].iter_mut().enumerate() {
        *slot = rest as u8 & 0x7f | if index + 1 < width { 0x80 } else { 0 };
        rest >>= 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varint_len_matches_what_is_written() {
        for shift in 0..64 {
            for value in [(1u64 << shift) - 1, 1 << shift, (1 << shift) + 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value), "{value}");
            }
        }
    }

    #[test]
    fn messages_of_every_length_class_are_framed() {
        for len in [0usize, 1, 127, 128, 16_383, 16_384, 100_000] {
            let mut out = vec![9];
            put_message(&mut out, tag(2, LEN), |out| out.extend(std::iter::repeat_n(7u8, len)));
            let mut expected = vec![9];
            put_bytes(&mut expected, tag(2, LEN), &vec![7u8; len]);
            assert_eq!(out, expected);
        }
    }
}
