//! A point in owned small form: what the general path works on. Texts are borrowed until a rule changes them.
//!
//! No ordinary point takes this form; `encode::fast` writes those straight from the tape.

use std::borrow::Cow;

use super::wire;

/// A point that is being checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft<'a> {
    pub name: Cow<'a, [u8]>,
    pub kvs: Vec<DraftKv<'a>>,
    /// Nanoseconds.
    pub time: i64,
    pub warns: Vec<Warn>,
    /// The `info` of each debug entry: passed on.
    pub debugs: Vec<Cow<'a, [u8]>>,
}

/// A tag or field.
#[derive(Clone, Debug, PartialEq)]
pub struct DraftKv<'a> {
    pub key: Cow<'a, [u8]>,
    pub value: Value<'a>,
    pub is_tag: bool,
    /// The metric type: 0 where none was given.
    pub metric_type: i32,
    pub unit: Cow<'a, [u8]>,
}

/// The value of a tag or field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Nil,
    Int(i64),
    Uint(u64),
    Float(f64),
    Bool(bool),
    Str(Cow<'a, [u8]>),
    Bytes(Cow<'a, [u8]>),
    /// An encoded `google.protobuf.Any`: an array or a map.
    Any(Cow<'a, [u8]>),
}

/// What was changed about a point, and why. Travels with the point (`PBPoint.warns`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warn {
    pub kind: Cow<'static, str>,
    /// Mostly text; keys that are not UTF-8 are repeated as they came.
    pub message: Vec<u8>,
}

impl<'a> DraftKv<'a> {
    pub fn tag(key: impl Into<Cow<'a, [u8]>>, value: impl Into<Cow<'a, [u8]>>) -> DraftKv<'a> {
        DraftKv { is_tag: true, ..DraftKv::field(key, Value::Str(value.into())) }
    }

    pub fn field(key: impl Into<Cow<'a, [u8]>>, value: Value<'a>) -> DraftKv<'a> {
        DraftKv { key: key.into(), value, is_tag: false, metric_type: 0, unit: Cow::Borrowed(b"") }
    }

    /// Appends this as an entry of `PBPoint.fields`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        wire::put_message(out, wire::POINT_FIELD, |out| {
            wire::put_bytes(out, wire::FIELD_KEY, &self.key);
            match &self.value {
                Value::Nil => {}
                Value::Int(value) => wire::put_uint(out, wire::FIELD_INT, *value as u64),
                Value::Uint(value) => wire::put_uint(out, wire::FIELD_UINT, *value),
                Value::Float(value) => wire::put_double(out, wire::FIELD_FLOAT, value.to_bits()),
                Value::Bool(value) => wire::put_uint(out, wire::FIELD_BOOL, u64::from(*value)),
                Value::Bytes(value) => wire::put_bytes(out, wire::FIELD_BYTES, value),
                Value::Any(value) => wire::put_bytes(out, wire::FIELD_ANY, value),
                Value::Str(value) => wire::put_bytes(out, wire::FIELD_STR, value),
            }
            if self.is_tag {
                wire::put_uint(out, wire::FIELD_IS_TAG, 1);
            }
            if self.metric_type != 0 {
                wire::put_uint(out, wire::FIELD_TYPE, i64::from(self.metric_type) as u64);
            }
            if !self.unit.is_empty() {
                wire::put_bytes(out, wire::FIELD_UNIT, &self.unit);
            }
        });
    }
}

impl Warn {
    pub fn new(kind: &'static str, message: impl Into<Vec<u8>>) -> Warn {
        Warn { kind: Cow::Borrowed(kind), message: message.into() }
    }

    /// Appends this as an entry of `PBPoint.warns`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        wire::put_message(out, wire::POINT_WARN, |out| {
            wire::put_bytes(out, wire::WARN_TYPE, self.kind.as_bytes());
            wire::put_bytes(out, wire::WARN_MESSAGE, &self.message);
        });
    }

    /// `<type>: <message>`, as strict mode reports it.
    pub fn text(&self) -> String {
        format!("{}: {}", self.kind, String::from_utf8_lossy(&self.message))
    }
}
