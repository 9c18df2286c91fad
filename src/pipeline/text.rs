//! Values as text: what tags, JSON and messages show.

use std::io::Write;

use super::value::{TooMuch, VALUE_DEPTH_MAX, Value};

/// Shortest decimal digits without an exponent, as Go's `FormatFloat(value, 'f', -1, 64)`.
pub fn put_float(out: &mut Vec<u8>, value: f64) {
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        let _ = write!(out, "{value}");
    }
}

/// As a tag holds it: texts as they are, lists and maps as JSON. Nothing for nil.
pub fn put_text(out: &mut Vec<u8>, value: Value<'_>, bytes_max: usize) -> Result<(), TooMuch> {
    match value {
        Value::Unset | Value::Void | Value::Nil => {}
        Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Int(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        Value::Float(value) => put_float(out, value),
        Value::Str(value) => out.extend_from_slice(value),
        Value::List(_) | Value::Map(_) => put_json(out, value, bytes_max)?,
    }
    Ok(())
}

/// As Go's `encoding/json` writes it: keys sorted, `<`, `>` and `&` escaped. At most so many bytes, lest a map that
/// holds the
/// same map many times fill the memory.
pub fn put_json(out: &mut Vec<u8>, value: Value<'_>, bytes_max: usize) -> Result<(), TooMuch> {
    json(out, value, bytes_max, VALUE_DEPTH_MAX)
}

fn json(out: &mut Vec<u8>, value: Value<'_>, bytes_max: usize, depth: usize) -> Result<(), TooMuch> {
    let depth = depth.checked_sub(1).ok_or(TooMuch::Deep)?;
    if out.len() > bytes_max {
        return Err(TooMuch::Large);
    }
    match value {
        Value::Unset | Value::Void | Value::Nil => out.extend_from_slice(b"null"),
        Value::Bool(_) | Value::Int(_) => put_text(out, value, bytes_max)?,
        Value::Float(value) => json_float(out, value),
        Value::Str(value) => json_text(out, value),
        Value::List(list) => {
            out.push(b'[');
            for (at, item) in list.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                json(out, item, bytes_max, depth)?;
            }
            out.push(b']');
        }
        Value::Map(map) => {
            out.push(b'{');
            let mut at = 0;
            while let Some((key, value)) = map.entry(at) {
                if at > 0 {
                    out.push(b',');
                }
                json_text(out, key);
                out.push(b':');
                json(out, value, bytes_max, depth)?;
                at += 1;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// Below this a number is written with an exponent.
const JSON_EXPONENT_BELOW: f64 = 1e-6;
/// And from here on.
const JSON_EXPONENT_FROM: f64 = 1e21;

fn json_float(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    if size == 0.0 || (JSON_EXPONENT_BELOW..JSON_EXPONENT_FROM).contains(&size) || !value.is_finite() {
        return put_float(out, value);
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    let _ = write!(out, "{digits}e{sign}{exponent:0>2}");
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn json_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                '\u{8}' => out.extend_from_slice(b"\\b"),
                '\u{c}' => out.extend_from_slice(b"\\f"),
                '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    let code = u32::from(char);
                    out.extend_from_slice(b"\\u");
                    for shift in [12, 8, 4, 0] {
                        out.push(HEX[(code >> shift & 15) as usize]);
                    }
                }
                char => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}
