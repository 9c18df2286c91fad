//! Simple JSON: `[{"measurement":…,"tags":{…},"fields":{…},"time":<int ns>},…]`, keys sorted.

use std::collections::BTreeMap;

use crate::point::pb::{self, PbPoint, PbValue};

use super::{EchoError, base64, json_string, number, tag_text, uniform_array};

/// Appends the points as an array.
pub fn json(points: &[u8], out: &mut Vec<u8>) -> Result<(), EchoError> {
    out.push(b'[');
    for (index, point) in pb::points(points).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_point(&point?, out)?;
    }
    out.push(b']');
    Ok(())
}

fn push_point(point: &PbPoint<'_>, out: &mut Vec<u8>) -> Result<(), EchoError> {
    // Of a key that comes twice the last one stays.
    let (mut tags, mut fields) = (BTreeMap::new(), BTreeMap::new());
    for field in point.fields() {
        let field = field?;
        match tag_text(&field) {
            Some(value) => drop(tags.insert(field.key, value)),
            None => drop(fields.insert(field.key, field.value)),
        }
    }
    out.extend_from_slice(b"{\"measurement\":");
    json_string(point.name, out);
    if !tags.is_empty() {
        out.extend_from_slice(b",\"tags\":{");
        for (index, (key, value)) in tags.into_iter().enumerate() {
            push_key(index == 0, key, out);
            json_string(value, out);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b",\"fields\":{");
    let mut first = true;
    for (key, value) in fields {
        let start = out.len();
        push_key(first, key, out);
        if push_value(value, out)? {
            first = false;
        } else {
            out.truncate(start);
        }
    }
    out.push(b'}');
    if point.time != 0 {
        out.extend_from_slice(b",\"time\":");
        out.extend_from_slice(itoa::Buffer::new().format(point.time).as_bytes());
    }
    out.push(b'}');
    Ok(())
}

fn push_key(first: bool, key: &[u8], out: &mut Vec<u8>) {
    if !first {
        out.push(b',');
    }
    json_string(key, out);
    out.push(b':');
}

/// `false`: the value has no form here, and its field is left out.
fn push_value(value: PbValue<'_>, out: &mut Vec<u8>) -> Result<bool, EchoError> {
    let mut digits = itoa::Buffer::new();
    match value {
        PbValue::Nil => return Ok(false),
        PbValue::Int(value) => out.extend_from_slice(digits.format(value).as_bytes()),
        PbValue::Uint(value) => out.extend_from_slice(digits.format(value).as_bytes()),
        PbValue::Float(value) if !value.is_finite() => return Err(EchoError::NotANumber),
        PbValue::Float(value) => number::json(value, out),
        PbValue::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        PbValue::Str(value) => json_string(value, out),
        PbValue::Bytes(value) => json_string(base64(value).as_bytes(), out),
        PbValue::Any(any) => {
            let Some(items) = uniform_array(any)? else { return Ok(false) };
            if items.is_empty() {
                out.extend_from_slice(b"null");
                return Ok(true);
            }
            out.push(b'[');
            for (index, item) in items.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_value(item, out)?;
            }
            out.push(b']');
        }
    }
    Ok(true)
}
