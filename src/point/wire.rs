//! `PBPoints` on the wire: field numbers.
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

pub use crate::codec::protobuf::{
    END_GROUP, FIXED32, FIXED64, LEN, START_GROUP, VARINT, put_bytes, put_double, put_message, put_uint,
    put_varint, tag, varint_len,
};

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
