//! PB-JSON: the protobuf form as JSON, `[{"name":…,"fields":[…],"time":"<ns>","warns":[…],"debugs":[…]},…]`.
//!
//! Members with their default value are left out, but for a field's value, which is there even when it is zero.

use crate::point::pb::{self, PbField, PbPoint, PbValue};
use crate::point::wire;

use super::{EchoError, base64, json_string, number};

/// What the encoded bytes do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PbJsonStyle {
    /// From the first point with warnings on, later points without any carry an empty list: what DataKit 1.84.1 shows
    /// of its reusing one list for all points.
    pub empty_warns_after_warned: bool,
    /// `fields` is left out where there are none, instead of an empty list: of a point that never had any.
    pub omit_empty_fields: bool,
}

/// Appends the points as an array.
pub fn pbjson(points: &[u8], style: PbJsonStyle, out: &mut Vec<u8>) -> Result<(), EchoError> {
    let mut warned = false;
    out.push(b'[');
    for (index, point) in pb::points(points).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_point(&point?, style, &mut warned, out)?;
    }
    out.push(b']');
    Ok(())
}

fn push_point(
    point: &PbPoint<'_>,
    style: PbJsonStyle,
    warned: &mut bool,
    out: &mut Vec<u8>,
) -> Result<(), EchoError> {
    out.push(b'{');
    let start = out.len();
    if !point.name.is_empty() {
        push_member("name", start, out);
        json_string(point.name, out);
    }
    let mut fields = point.fields().peekable();
    if fields.peek().is_some() || !style.omit_empty_fields {
        push_member("fields", start, out);
        push_list(fields, out, |field, out| push_field(&field, out))?;
    }
    if point.time != 0 {
        push_member("time", start, out);
        push_quoted(point.time, out);
    }
    let mut warns = point.warns().peekable();
    let has_warns = warns.peek().is_some();
    if has_warns || (*warned && style.empty_warns_after_warned) {
        *warned = true;
        push_member("warns", start, out);
        push_list(warns, out, |warn, out| {
            out.extend_from_slice(b"{\"type\":");
            json_string(warn.kind, out);
            out.extend_from_slice(b",\"message\":");
            json_string(warn.message, out);
            out.push(b'}');
            Ok(())
        })?;
    }
    let mut debugs = point.debugs().peekable();
    if debugs.peek().is_some() {
        push_member("debugs", start, out);
        push_list(debugs, out, |info, out| {
            out.extend_from_slice(b"{\"info\":");
            json_string(info, out);
            out.push(b'}');
            Ok(())
        })?;
    }
    out.push(b'}');
    Ok(())
}

fn push_list<T>(
    entries: impl Iterator<Item = Result<T, pb::PbError>>,
    out: &mut Vec<u8>,
    mut push: impl FnMut(T, &mut Vec<u8>) -> Result<(), EchoError>,
) -> Result<(), EchoError> {
    out.push(b'[');
    for (index, entry) in entries.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(entry?, out)?;
    }
    out.push(b']');
    Ok(())
}

fn push_field(field: &PbField<'_>, out: &mut Vec<u8>) -> Result<(), EchoError> {
    out.push(b'{');
    let start = out.len();
    if !field.key.is_empty() {
        push_member("key", start, out);
        json_string(field.key, out);
    }
    push_value(&field.value, start, out)?;
    if field.is_tag {
        push_member("is_tag", start, out);
        out.extend_from_slice(b"true");
    }
    if field.metric_type != 0 {
        push_member("type", start, out);
        match field.metric_type {
            1 => out.extend_from_slice(b"\"COUNT\""),
            2 => out.extend_from_slice(b"\"RATE\""),
            3 => out.extend_from_slice(b"\"GAUGE\""),
            other => out.extend_from_slice(itoa::Buffer::new().format(other).as_bytes()),
        }
    }
    if !field.unit.is_empty() {
        push_member("unit", start, out);
        json_string(field.unit, out);
    }
    out.push(b'}');
    Ok(())
}

/// Appends the value as a member; nothing for a field without one.
fn push_value(value: &PbValue<'_>, start: usize, out: &mut Vec<u8>) -> Result<(), EchoError> {
    match *value {
        PbValue::Nil => {}
        PbValue::Int(value) => {
            push_member("i", start, out);
            push_quoted(value, out);
        }
        PbValue::Uint(value) => {
            push_member("u", start, out);
            push_quoted(value, out);
        }
        PbValue::Float(value) => {
            push_member("f", start, out);
            match value {
                _ if value.is_nan() => out.extend_from_slice(b"\"NaN\""),
                f64::INFINITY => out.extend_from_slice(b"\"Infinity\""),
                f64::NEG_INFINITY => out.extend_from_slice(b"\"-Infinity\""),
                _ => number::json(value, out),
            }
        }
        PbValue::Bool(value) => {
            push_member("b", start, out);
            out.extend_from_slice(if value { b"true" } else { b"false" });
        }
        PbValue::Bytes(value) => {
            push_member("d", start, out);
            json_string(base64(value).as_bytes(), out);
        }
        PbValue::Str(value) => {
            push_member("s", start, out);
            json_string(value, out);
        }
        PbValue::Any(any) => {
            push_member("a", start, out);
            push_any(any, out)?;
        }
    }
    Ok(())
}

fn push_any(any: &[u8], out: &mut Vec<u8>) -> Result<(), EchoError> {
    let (type_url, value) = pb::any(any)?;
    out.extend_from_slice(b"{\"@type\":");
    json_string(type_url, out);
    if type_url == wire::ARRAY_TYPE_URL.as_bytes() {
        let mut items = pb::array(value).peekable();
        if items.peek().is_some() {
            out.extend_from_slice(b",\"arr\":");
            push_list(items, out, |item, out| push_basic(&item, out))?;
        }
    } else if type_url == wire::MAP_TYPE_URL.as_bytes() {
        let mut entries = pb::map(value).collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(|(key, _)| *key);
        if !entries.is_empty() {
            out.extend_from_slice(b",\"map\":{");
            for (index, (key, item)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                json_string(key, out);
                out.push(b':');
                push_basic(item, out)?;
            }
            out.push(b'}');
        }
    }
    out.push(b'}');
    Ok(())
}

fn push_basic(value: &PbValue<'_>, out: &mut Vec<u8>) -> Result<(), EchoError> {
    out.push(b'{');
    let start = out.len();
    push_value(value, start, out)?;
    out.push(b'}');
    Ok(())
}

fn push_member(name: &str, start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn push_quoted(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    out.push(b'"');
}
