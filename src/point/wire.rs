//! `PBPoints` on the wire: field numbers, and a plain writer into a `Vec`.
//!
//! ```text
//! PBPoints { 1: repeated PBPoint }
//! PBPoint  { 1: name, 2: repeated Field, 3: time (int64), 4: repeated Warn, 5: repeated Debug }
//! Field    { 1: key, oneof { 2: int64, 3: uint64, 4: double, 5: bool, 6: bytes, 7: Any, 11: string },
//!            8: is_tag, 9: metric type, 10: unit }
//! Warn     { 1: type, 2: message }      Debug { 1: info }      Any { 1: type url, 2: value }
//! Array    { 1: repeated BasicTypes }   BasicTypes { oneof { 1: int64, 2: uint64, 3: double, 4: bool, 5: bytes, 6: string } }
//! Map      { 1: repeated { 1: key, 2: BasicTypes } }
//! ```
//!
//! A member of a `oneof` is written even where it is zero or empty.

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

pub const POINTS_POINT: u8 = tag(1, LEN);
pub const POINT_NAME: u8 = tag(1, LEN);
pub const POINT_FIELD: u8 = tag(2, LEN);
pub const POINT_TIME: u8 = tag(3, VARINT);
pub const POINT_WARN: u8 = tag(4, LEN);
pub const POINT_DEBUG: u8 = tag(5, LEN);
pub const FIELD_KEY: u8 = tag(1, LEN);
pub const FIELD_INT: u8 = tag(2, VARINT);
pub const FIELD_UINT: u8 = tag(3, VARINT);
pub const FIELD_FLOAT: u8 = tag(4, FIXED64);
pub const FIELD_BOOL: u8 = tag(5, VARINT);
pub const FIELD_BYTES: u8 = tag(6, LEN);
pub const FIELD_ANY: u8 = tag(7, LEN);
pub const FIELD_IS_TAG: u8 = tag(8, VARINT);
pub const FIELD_TYPE: u8 = tag(9, VARINT);
pub const FIELD_UNIT: u8 = tag(10, LEN);
pub const FIELD_STR: u8 = tag(11, LEN);
pub const WARN_TYPE: u8 = tag(1, LEN);
pub const WARN_MESSAGE: u8 = tag(2, LEN);
pub const DEBUG_INFO: u8 = tag(1, LEN);
pub const ANY_TYPE_URL: u8 = tag(1, LEN);
pub const ANY_VALUE: u8 = tag(2, LEN);
pub const ARRAY_ITEM: u8 = tag(1, LEN);
pub const MAP_ENTRY: u8 = tag(1, LEN);
pub const ENTRY_KEY: u8 = tag(1, LEN);
pub const ENTRY_VALUE: u8 = tag(2, LEN);
pub const BASIC_INT: u8 = tag(1, VARINT);
pub const BASIC_UINT: u8 = tag(2, VARINT);
pub const BASIC_FLOAT: u8 = tag(3, FIXED64);
pub const BASIC_BOOL: u8 = tag(4, VARINT);
pub const BASIC_BYTES: u8 = tag(5, LEN);
pub const BASIC_STR: u8 = tag(6, LEN);

/// The type URL of an array value.
pub const ARRAY_TYPE_URL: &str = "type.googleapis.com/point.Array";
/// The type URL of a map value: accepted, and left out of the line protocol and simple JSON echoes.
pub const MAP_TYPE_URL: &str = "type.googleapis.com/point.Map";

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
            put_message(&mut out, POINT_FIELD, |out| out.extend(std::iter::repeat_n(7u8, len)));
            let mut expected = vec![9];
            put_bytes(&mut expected, POINT_FIELD, &vec![7u8; len]);
            assert_eq!(out, expected);
        }
    }
}
