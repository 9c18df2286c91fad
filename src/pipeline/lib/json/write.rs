//! JSON as Go writes it: members by their names in order, `<`, `>` and `&` escaped.

use std::borrow::Cow;

use super::{Kind, View};
use crate::point::echo::json_number;

/// A member that is left out, as often as its name is there.
#[derive(Clone, Copy, Debug)]
pub struct Without<'a> {
    pub map: View<'a>,
    pub name: &'a [u8],
}

/// Appends a value, perhaps without a member somewhere in it.
pub fn write_value(value: View, without: Option<Without>, out: &mut Vec<u8>) {
    match value.kind() {
        Kind::Null => out.extend_from_slice(b"null"),
        Kind::False => out.extend_from_slice(b"false"),
        Kind::True => out.extend_from_slice(b"true"),
        Kind::Number => write_float(value.number().unwrap_or_default(), out),
        Kind::Text | Kind::EscapedText => write_text(&value.bytes().unwrap_or_default(), out),
        Kind::List => {
            out.push(b'[');
            for (index, item) in value.items().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(item, without, out);
            }
            out.push(b']');
        }
        Kind::Map => {
            out.push(b'{');
            for (index, (name, member)) in members(value, without).into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(&name, out);
                out.push(b':');
                write_value(member, without, out);
            }
            out.push(b'}');
        }
    }
}

/// Members in order, of each name the last one.
fn members<'a>(map: View<'a>, without: Option<Without>) -> Vec<(Cow<'a, [u8]>, View<'a>)> {
    let without = without.filter(|without| without.map.is(&map)).map(|without| without.name);
    let named = map.members().map(|(name, value)| (name.bytes().unwrap_or_default(), value));
    let mut members: Vec<_> = named.filter(|(name, _)| Some(name.as_ref()) != without).collect();
    members.reverse();
    // Stable: of equal names the last one is first now, and stays.
    members.sort_by(|(a, _), (b, _)| a.cmp(b));
    members.dedup_by(|(later, _), (kept, _)| later == kept);
    members
}

/// Appends a float: the shortest digits, an exponent of two digits at least where it is very large or small. What is no
/// number in JSON is null.
pub fn write_float(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return out.extend_from_slice(b"null");
    }
    json_number(value, out);
    if let [.., b'e', b'-', digit] = *out.as_slice() {
        out.pop();
        out.extend_from_slice(&[b'0', digit]);
    }
}

/// Appends a text with its quotes. What is not UTF-8 becomes U+FFFD, byte by byte.
pub fn write_text(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        write_valid(chunk.valid(), out);
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

fn write_valid(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let len = match byte {
            b'"' | b'\\' | b'<' | b'>' | b'&' | 0..0x20 => 1,
            // U+2028 and U+2029 end lines in JavaScript.
            0xE2 if matches!(bytes.get(at + 1..at + 3), Some([0x80, 0xA8 | 0xA9])) => 3,
            _ => continue,
        };
        out.extend_from_slice(bytes.get(from..at).unwrap_or_default());
        from = at + len;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0xE2 => {
                out.extend_from_slice(if bytes.get(at + 2) == Some(&0xA8) { b"\\u2028" } else { b"\\u2029" })
            }
            byte => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(bytes.get(from..).unwrap_or_default());
}
