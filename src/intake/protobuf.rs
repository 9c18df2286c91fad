//! Messages of protocols that have two forms, protobuf and its JSON: which fields there are, in tables.
//!
//! A body in JSON is written as protobuf first and read as that, so that a protocol has one conversion. The other way
//! round a part of a message is shown as JSON in a point.
//!
//! Reading is liberal, as the protocols ask for: names in camel case or as they are in the definition, numbers also as
//! text, enums by name or number, `null` for what is not there, unknown names passed over.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use crate::codec::json::{self, Malformed, Number, Tape, Value, View};
use crate::point::echo::json_string;
use crate::point::pb::{self, PbError, Wire};
use crate::point::wire;

use super::convert::Fault;

impl From<PbError> for Fault {
    fn from(error: PbError) -> Fault {
        Fault::Malformed(error.to_string())
    }
}

/// A kind of message.
#[derive(Debug)]
pub struct Message {
    /// In the order of the definition.
    pub fields: &'static [Field],
}

#[derive(Debug)]
pub struct Field {
    /// In camel case.
    pub name: &'static str,
    pub number: u32,
    pub kind: Kind,
    pub repeated: bool,
    /// One of several that exclude each other, or an optional one: written also where it is zero.
    pub present: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Bool,
    /// Signed integers and enums: those have names.
    Int(&'static [(&'static str, i64)]),
    Uint,
    /// `sint32`.
    Zigzag,
    Fixed64,
    /// Signed.
    Sfixed64,
    Fixed32,
    Double,
    Text,
    /// In base64.
    Bytes,
    /// In hexadecimal: what ids are.
    Id,
    Message(&'static Message),
}

impl Field {
    pub const fn new(name: &'static str, number: u32, kind: Kind) -> Field {
        Field { name, number, kind, repeated: false, present: false }
    }

    pub const fn repeated(self) -> Field {
        Field { repeated: true, ..self }
    }

    pub const fn present(self) -> Field {
        Field { present: true, ..self }
    }
}

/// Messages inside each other. What is deeper is refused: nobody who means well goes there.
const DEPTH_MAX: usize = 64;

/// Writes a JSON body as the message that it is.
pub fn from_json(message: &Message, body: &[u8], tape: &mut Tape, out: &mut Vec<u8>) -> Result<(), Fault> {
    parse_whole(body, tape)?;
    message_from(message, tape.root(body), out)
}

/// Reads a body that is one JSON value.
pub fn parse_whole(body: &[u8], tape: &mut Tape) -> Result<(), Fault> {
    let end = tape.parse(body, 0, DEPTH_MAX).map_err(malformed)?;
    if body[end..].iter().any(|&byte| !json::is_white(byte)) {
        return Err(malformed(Malformed::Syntax));
    }
    Ok(())
}

/// What a tape could not be made of.
pub fn malformed(error: Malformed) -> Fault {
    match error {
        Malformed::Syntax => Fault::malformed("the body is no JSON"),
        Malformed::TooLarge => Fault::TooLarge(json::NODES_MAX),
    }
}

/// Writes a JSON object as the message that it is.
pub fn message_from<'a>(message: &Message, object: impl Value<'a>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let members = match object.view() {
        View::Null => return Ok(()),
        View::Object(members) => members,
        other => return Err(Fault::Malformed(format!("an object that is {}", other.kind()))),
    };
    for (key, value) in members {
        let key = key.decode();
        let Some(field) = message.fields.iter().find(|field| is_named(&key, field.name)) else { continue };
        match value.view() {
            View::Null => {}
            View::Array(items) if field.repeated => {
                for item in items {
                    field_from(field, item, out)?;
                }
            }
            _ => field_from(field, value, out)?,
        }
    }
    Ok(())
}

/// Whether a key is a name in camel case, or that name as it is in the definition.
fn is_named(key: &[u8], name: &str) -> bool {
    let mut expected = name.bytes();
    let mut upper = false;
    for &byte in key {
        if byte == b'_' {
            upper = true;
            continue;
        }
        let byte = if upper { byte.to_ascii_uppercase() } else { byte };
        upper = false;
        if expected.next() != Some(byte) {
            return false;
        }
    }
    expected.next().is_none()
}

fn tag(number: u32, wire_type: u32, out: &mut Vec<u8>) {
    wire::put_varint(out, u64::from(number << 3 | wire_type));
}

fn field_from<'a>(field: &Field, value: impl Value<'a>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let wrong = || Fault::Malformed(format!("{} of another kind than it has", field.name));
    let view = value.view();
    if let Kind::Message(message) = field.kind {
        let mut inside = Vec::new();
        message_from(message, value, &mut inside)?;
        put_bytes(field.number, &inside, out);
        return Ok(());
    }
    match (field.kind, view) {
        (_, View::Null) => {}
        (Kind::Bool, View::Bool(value)) => {
            tag(field.number, wire::VARINT, out);
            out.push(u8::from(value));
        }
        (Kind::Text, View::Text(text)) => put_bytes(field.number, &text.decode(), out),
        (Kind::Bytes, View::Text(text)) => {
            let text = text.decode();
            let engines = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD];
            let bytes = engines.into_iter().find_map(|engine| engine.decode(&*text).ok());
            put_bytes(field.number, &bytes.ok_or_else(wrong)?, out);
        }
        (Kind::Id, View::Text(text)) => {
            let bytes = unhex(&text.decode()).ok_or_else(wrong)?;
            put_bytes(field.number, &bytes, out);
        }
        (Kind::Int(names), View::Text(text)) if !names.is_empty() => {
            let text = text.decode();
            let named = names.iter().find(|(name, _)| name.as_bytes() == &*text).map(|(_, value)| *value);
            let number = || str::from_utf8(&text).ok()?.parse().ok();
            // A name of a newer version means nothing here: as if it were not there.
            let value: i64 = named.or_else(number).unwrap_or_default();
            tag(field.number, wire::VARINT, out);
            wire::put_varint(out, value as u64);
        }
        (kind, View::Number(number)) => number_from(field.number, kind, number, out).ok_or_else(wrong)?,
        (kind, View::Text(text)) => {
            let text = text.decode();
            let special = match &*text {
                b"NaN" => Some(f64::NAN),
                b"Infinity" => Some(f64::INFINITY),
                b"-Infinity" => Some(f64::NEG_INFINITY),
                _ => None,
            };
            match (kind, special) {
                (Kind::Double, Some(value)) => put_fixed64(field.number, value.to_bits(), out),
                _ => {
                    let number = Number::in_string(&text).flatten().ok_or_else(wrong)?;
                    number_from(field.number, kind, number, out).ok_or_else(wrong)?;
                }
            }
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

/// Whole numbers may be written with a point, as some clients' numbers are.
fn number_from(number: u32, kind: Kind, value: Number<'_>, out: &mut Vec<u8>) -> Option<()> {
    let whole = |value: Number<'_>| value.to_f64().filter(|value| value.fract() == 0.0);
    let int = || value.to_i64().or_else(|| whole(value).filter(|it| it.abs() < 9e18).map(|it| it as i64));
    let uint = || {
        value.to_u64().or_else(|| whole(value).filter(|it| (0.0..1.8e19).contains(it)).map(|it| it as u64))
    };
    match kind {
        Kind::Int(_) => {
            let value = int()?;
            tag(number, wire::VARINT, out);
            wire::put_varint(out, value as u64);
        }
        Kind::Uint => {
            let value = uint()?;
            tag(number, wire::VARINT, out);
            wire::put_varint(out, value);
        }
        Kind::Zigzag => {
            let value = int()?;
            tag(number, wire::VARINT, out);
            wire::put_varint(out, (value << 1 ^ value >> 63) as u64);
        }
        Kind::Fixed64 => put_fixed64(number, uint()?, out),
        Kind::Sfixed64 => put_fixed64(number, int()? as u64, out),
        Kind::Fixed32 => {
            let value = u32::try_from(uint()?).ok()?;
            tag(number, wire::FIXED32, out);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Kind::Double => put_fixed64(number, value.to_f64()?.to_bits(), out),
        Kind::Bool | Kind::Text | Kind::Bytes | Kind::Id | Kind::Message(_) => return None,
    }
    Some(())
}

fn put_fixed64(number: u32, bits: u64, out: &mut Vec<u8>) {
    tag(number, wire::FIXED64, out);
    out.extend_from_slice(&bits.to_le_bytes());
}

fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    tag(number, wire::LEN, out);
    wire::put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// Appends bytes in hexadecimal.
pub fn put_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// How a message is shown.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Integers of 64 bits are text, as protobuf's own JSON has them.
    pub wide_as_text: bool,
}

/// Appends a message as JSON: fields in the order of the definition, those that are zero left out, enums by number, HTML
/// escaped. What is nested too deeply is left out.
pub fn to_json(message: &Message, bytes: &[u8], style: Style, out: &mut Vec<u8>) -> Result<(), PbError> {
    show(message, bytes, style, 0, out)
}

fn show(
    message: &Message,
    bytes: &[u8],
    style: Style,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), PbError> {
    out.push(b'{');
    let start = out.len();
    for field in message.fields {
        let mut last = None;
        let mut items = 0;
        for found in pb::fields(bytes) {
            let (number, value) = found?;
            if number != u64::from(field.number) {
                continue;
            }
            if !field.repeated {
                last = Some(value);
                continue;
            }
            each(field.kind, value, |value| {
                if items == 0 {
                    key(field.name, start, out);
                    out.push(b'[');
                } else {
                    out.push(b',');
                }
                items += 1;
                show_value(field.kind, value, style, depth, out)
            })?;
        }
        if items > 0 {
            out.push(b']');
        }
        if let Some(value) = last
            && (field.present || !is_zero(value))
        {
            key(field.name, start, out);
            show_value(field.kind, value, style, depth, out)?;
        }
    }
    out.push(b'}');
    Ok(())
}

fn key(name: &str, start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn is_zero(value: Wire<'_>) -> bool {
    match value {
        Wire::Varint(value) | Wire::Fixed64(value) => value == 0,
        Wire::Fixed32(value) => value == 0,
        Wire::Len(bytes) => bytes.is_empty(),
    }
}

/// The values of one occurrence of a repeated field: numbers may come packed.
pub fn each<'a>(
    kind: Kind,
    value: Wire<'a>,
    mut take: impl FnMut(Wire<'a>) -> Result<(), PbError>,
) -> Result<(), PbError> {
    let Wire::Len(mut bytes) = value else { return take(value) };
    match kind {
        Kind::Text | Kind::Bytes | Kind::Id | Kind::Message(_) => take(value),
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => {
            while let Some((first, rest)) = bytes.split_first_chunk::<8>() {
                take(Wire::Fixed64(u64::from_le_bytes(*first)))?;
                bytes = rest;
            }
            if bytes.is_empty() { Ok(()) } else { Err(PbError::UnexpectedEof) }
        }
        Kind::Fixed32 => {
            while let Some((first, rest)) = bytes.split_first_chunk::<4>() {
                take(Wire::Fixed32(u32::from_le_bytes(*first)))?;
                bytes = rest;
            }
            if bytes.is_empty() { Ok(()) } else { Err(PbError::UnexpectedEof) }
        }
        Kind::Bool | Kind::Int(_) | Kind::Uint | Kind::Zigzag => {
            while !bytes.is_empty() {
                let (value, rest) = pb::varint(bytes)?;
                take(Wire::Varint(value))?;
                bytes = rest;
            }
            Ok(())
        }
    }
}

fn show_value(
    kind: Kind,
    value: Wire<'_>,
    style: Style,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), PbError> {
    let number = |text: &str, wide: bool, out: &mut Vec<u8>| {
        let quote: &[u8] = if wide && style.wide_as_text { b"\"" } else { b"" };
        out.extend_from_slice(quote);
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(quote);
    };
    let mut buffer = itoa::Buffer::new();
    match (kind, value) {
        (Kind::Bool, Wire::Varint(value)) => {
            out.extend_from_slice(if value != 0 { b"true" } else { b"false" });
        }
        (Kind::Int(names), Wire::Varint(value)) => {
            let wide = names.is_empty();
            number(buffer.format(value as i64), wide, out);
        }
        (Kind::Uint, Wire::Varint(value)) => number(buffer.format(value), true, out),
        (Kind::Zigzag, Wire::Varint(value)) => {
            number(buffer.format((value >> 1) as i64 ^ -((value & 1) as i64)), false, out);
        }
        (Kind::Fixed64, Wire::Fixed64(value)) => number(buffer.format(value), true, out),
        (Kind::Sfixed64, Wire::Fixed64(value)) => number(buffer.format(value as i64), true, out),
        (Kind::Fixed32, Wire::Fixed32(value)) => number(buffer.format(value), false, out),
        (Kind::Double, Wire::Fixed64(bits)) => put_double(f64::from_bits(bits), out),
        (Kind::Text, Wire::Len(bytes)) => json_string(bytes, out),
        (Kind::Bytes, Wire::Len(bytes)) => {
            out.push(b'"');
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.push(b'"');
        }
        (Kind::Id, Wire::Len(bytes)) => {
            out.push(b'"');
            put_hex(bytes, out);
            out.push(b'"');
        }
        (Kind::Message(message), Wire::Len(bytes)) if depth < DEPTH_MAX => {
            show(message, bytes, style, depth + 1, out)?;
        }
        // Another wire type than the field's, or too deep.
        _ => out.extend_from_slice(b"null"),
    }
    Ok(())
}

/// Appends a double as JSON; what is no number is a text.
pub fn put_double(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
    } else {
        use std::io::Write as _;
        // To a vector nothing fails.
        let _ = if value == 0.0 || (1e-6..1e21).contains(&value.abs()) {
            write!(out, "{value}")
        } else {
            write!(out, "{value:e}")
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    static TREE: Message = Message {
        fields: &[
            Field::new("name", 1, Kind::Text),
            Field::new("leafCount", 2, Kind::Int(&[])),
            Field::new("kind", 3, Kind::Int(&[("OAK", 0), ("ASH", 5)])),
            Field::new("traceId", 4, Kind::Id),
            Field::new("bark", 5, Kind::Bytes),
            Field::new("height", 6, Kind::Double).present(),
            Field::new("felled", 7, Kind::Bool),
            Field::new("rings", 8, Kind::Fixed64).repeated(),
            Field::new("branches", 9, Kind::Message(&TREE)).repeated(),
            Field::new("twist", 10, Kind::Zigzag),
            Field::new("flags", 17, Kind::Fixed32),
            Field::new("offset", 18, Kind::Sfixed64),
            Field::new("age", 19, Kind::Uint),
        ],
    };

    fn there_and_back(json: &str) -> Result<String, Fault> {
        let (mut bytes, mut shown) = (Vec::new(), Vec::new());
        from_json(&TREE, json.as_bytes(), &mut Tape::default(), &mut bytes)?;
        to_json(&TREE, &bytes, Style { wide_as_text: false }, &mut shown).unwrap();
        Ok(String::from_utf8(shown).unwrap())
    }

    #[test]
    fn what_is_written_is_shown_again() {
        for (json, expected) in [
            ("{}", "{}"),
            ("null", "{}"),
            (
                r#" {"name":"a<b","leafCount":"-3","kind":"ASH","traceId":"00fF","bark":"_-A=","height":0,"felled":true,
                   "rings":[1,"2",18446744073709551615],"branches":[{"name":"c"},null,{}],"twist":-7,"flags":257,
                   "offset":-5,"age":"12"} "#,
                "{\"name\":\"a\\u003cb\",\"leafCount\":-3,\"kind\":5,\"traceId\":\"00ff\",\"bark\":\"/+A=\",\"height\":0,\
                 \"felled\":true,\"rings\":[1,2,18446744073709551615],\"branches\":[{\"name\":\"c\"},{},{}],\"twist\":-7,\
                 \"flags\":257,\"offset\":-5,\"age\":12}",
            ),
            (r#"{"leaf_count":3,"trace_id":"ab","unknown":{"x":[1]}}"#, r#"{"leafCount":3,"traceId":"ab"}"#),
            (
                r#"{"leafCount":7.0,"kind":"NEWER","height":"Infinity"}"#,
                r#"{"leafCount":7,"height":"Infinity"}"#,
            ),
            (r#"{"name":null,"branches":null,"kind":5}"#, r#"{"kind":5}"#),
        ] {
            assert_eq!(there_and_back(json).unwrap(), expected, "{json}");
        }
    }

    #[test]
    fn what_is_of_another_kind_is_refused() {
        for json in [
            "[]",
            "1",
            "",
            "{",
            "{}{}",
            r#"{"name":1}"#,
            r#"{"leafCount":1.5}"#,
            r#"{"leafCount":"x"}"#,
            r#"{"leafCount":true}"#,
            r#"{"traceId":"abc"}"#,
            r#"{"traceId":"zz"}"#,
            r#"{"bark":"***"}"#,
            r#"{"felled":"yes"}"#,
            r#"{"age":-1}"#,
            r#"{"branches":[1]}"#,
            r#"{"rings":[[1]]}"#,
        ] {
            assert!(matches!(there_and_back(json), Err(Fault::Malformed(_))), "{json}");
        }
        let deep = format!("{}{}", "{\"branches\":[".repeat(40), "]}".repeat(40));
        assert!(there_and_back(&deep).is_err());
    }

    #[test]
    fn numbers_that_come_packed_are_taken_apart() {
        let packed = b"\x42\x10\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0";
        let mut shown = Vec::new();
        to_json(&TREE, packed, Style { wide_as_text: true }, &mut shown).unwrap();
        assert_eq!(shown, br#"{"rings":["1","2"]}"#);
        assert!(to_json(&TREE, b"\x42\x03\x01\0\0", Style { wide_as_text: true }, &mut shown).is_err());
    }

    #[test]
    fn deep_messages_end() {
        let mut bytes = Vec::new();
        for _ in 0..2_000 {
            let inside = std::mem::take(&mut bytes);
            put_bytes(9, &inside, &mut bytes);
        }
        let mut shown = Vec::new();
        to_json(&TREE, &bytes, Style { wide_as_text: false }, &mut shown).unwrap();
        assert!(shown.len() < 2_000, "{}", shown.len());
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_json(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let mut shown = Vec::new();
            if to_json(&TREE, &bytes, Style { wide_as_text: true }, &mut shown).is_ok() {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&shown).is_ok());
            }
        }
    }
}
