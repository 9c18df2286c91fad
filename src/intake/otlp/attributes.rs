//! Attributes: keys, and values of any kind, which points have as text, as numbers or as JSON.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::intake::convert::Fault;
use crate::intake::protobuf::{self, Message, Style, put_hex};
pub use crate::intake::tracing::collector::underscored as name;
use crate::point::check::FIELDS_MAX;
use crate::point::pb::{self, PbError, Wire};

use super::messages::{ARRAY_VALUE, KEY_VALUE, KVLIST_VALUE};

/// The value of an attribute, or of a log's body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Any<'a> {
    Nothing,
    Text(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(&'a [u8]),
    List(&'a [u8]),
    Bytes(&'a [u8]),
}

/// Attributes of one thing that are looked at to become tags and fields: four times as many as a point has room for.
pub const ATTRIBUTES_MAX: usize = 4 * FIELDS_MAX;

/// As OTLP's own JSON.
pub const STYLE: Style = Style { wide_as_text: true };

impl<'a> Any<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Any<'a>, PbError> {
        let mut any = Any::Nothing;
        for field in pb::fields(bytes) {
            any = match field? {
                (1, Wire::Len(text)) => Any::Text(text),
                (2, Wire::Varint(value)) => Any::Bool(value != 0),
                (3, Wire::Varint(value)) => Any::Int(value as i64),
                (4, Wire::Fixed64(bits)) => Any::Double(f64::from_bits(bits)),
                (5, Wire::Len(bytes)) => Any::Array(bytes),
                (6, Wire::Len(bytes)) => Any::List(bytes),
                (7, Wire::Len(bytes)) => Any::Bytes(bytes),
                _ => any,
            };
        }
        Ok(any)
    }

    /// The value as a text; arrays and lists as JSON.
    pub fn text(self) -> Result<Cow<'a, [u8]>, PbError> {
        let json = |message: &Message, bytes: &[u8]| {
            let mut out = Vec::new();
            protobuf::to_json(message, bytes, STYLE, &mut out)?;
            Ok(Cow::Owned(out))
        };
        Ok(match self {
            Any::Nothing => Cow::Borrowed(b"".as_slice()),
            Any::Text(text) => Cow::Borrowed(text),
            Any::Bool(true) => Cow::Borrowed(b"true".as_slice()),
            Any::Bool(false) => Cow::Borrowed(b"false".as_slice()),
            Any::Int(value) => Cow::Owned(itoa::Buffer::new().format(value).as_bytes().to_vec()),
            Any::Double(value) => Cow::Owned(value.to_string().into_bytes()),
            Any::Array(bytes) => return json(&ARRAY_VALUE, bytes),
            Any::List(bytes) => return json(&KVLIST_VALUE, bytes),
            Any::Bytes(bytes) => Cow::Owned(STANDARD.encode(bytes).into_bytes()),
        })
    }
}

/// The key and value of a `KeyValue`.
pub fn key_value(bytes: &[u8]) -> Result<(&[u8], Any<'_>), PbError> {
    let (mut key, mut value): (&[u8], _) = (b"", Any::Nothing);
    for field in pb::fields(bytes) {
        match field? {
            (1, Wire::Len(text)) => key = text,
            (2, Wire::Len(bytes)) => value = Any::parse(bytes)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// The attributes of a message, which has them in the field of this number.
pub fn of(bytes: &[u8], number: u64) -> impl Iterator<Item = Result<&[u8], PbError>> {
    pb::fields(bytes).filter_map(move |field| match field {
        Ok((found, Wire::Len(attribute))) if found == number => Some(Ok(attribute)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

/// Appends an attribute to a list of them in JSON.
pub fn show(attribute: &[u8], out: &mut Vec<u8>) -> Result<(), PbError> {
    if !out.is_empty() {
        out.push(b',');
    }
    protobuf::to_json(&KEY_VALUE, attribute, STYLE, out)
}

/// An id in hexadecimal; `0` where there is none.
pub fn id(bytes: &[u8]) -> Vec<u8> {
    if bytes.iter().all(|&byte| byte == 0) {
        return b"0".to_vec();
    }
    let mut out = Vec::with_capacity(bytes.len() * 2);
    put_hex(bytes, &mut out);
    out
}

/// A name and a text.
pub type Named<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// Names and texts that many points share, as many as a point can have.
#[derive(Debug, Default)]
pub struct Shared<'a> {
    pub list: Vec<Named<'a>>,
}

impl<'a> Shared<'a> {
    /// Adds attributes; of a name that comes twice the last value stays.
    pub fn add(&mut self, bytes: &'a [u8], number: u64, most: usize) -> Result<(), Fault> {
        for attribute in of(bytes, number).take(ATTRIBUTES_MAX) {
            let (key, value) = key_value(attribute?)?;
            let name = name(key);
            match self.list.iter().position(|(there, _)| *there == name) {
                Some(index) => self.list[index].1 = value.text()?,
                None if self.list.len() < most => self.list.push((name, value.text()?)),
                None => {}
            }
        }
        Ok(())
    }

    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.list.iter().find(|(there, _)| **there == *name).map(|(_, value)| &**value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_kind_have_a_text() {
        for (bytes, text) in [
            (&b"\x0a\x01a"[..], "a"),
            (b"\x10\x01", "true"),
            (b"\x10\x00", "false"),
            (b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "-1"),
            (b"\x21\0\0\0\0\0\0\xf8\x3f", "1.5"),
            (b"\x2a\x05\x0a\x03\x0a\x01a", r#"{"values":[{"stringValue":"a"}]}"#),
            (
                b"\x32\x0a\x0a\x08\x0a\x01k\x12\x03\x0a\x01v",
                r#"{"values":[{"key":"k","value":{"stringValue":"v"}}]}"#,
            ),
            (b"\x3a\x02\xff\xfe", "//4="),
            (b"", ""),
        ] {
            let any = Any::parse(bytes).unwrap();
            assert_eq!(any.text().unwrap(), text.as_bytes(), "{bytes:?}");
        }
    }

    #[test]
    fn ids_are_hexadecimal_and_zero_is_none() {
        assert_eq!(id(b""), b"0");
        assert_eq!(id(&[0; 8]), b"0");
        assert_eq!(id(&[0, 0xab]), b"00ab");
    }
}
