//! Arrays and maps of PB-JSON: `{"@type": "type.googleapis.com/point.Array", "arr": [{"i": "1"}, …]}`.

use crate::codec::json::{Value as Json, View};
use crate::point::draft::Value;
use crate::point::pb::{self, PbValue};
use crate::point::wire;

use super::pbjson::{Flaw, Not, basic, is_null, items, optional, slots, text};
use super::unique::Unique;

/// An encoded `Any`. It keeps the type URL it came with, of which only what stands behind the last slash counts.
pub(super) fn read<'a, V: Json<'a>>(any: V, flaw: &mut Flaw) -> Result<Vec<u8>, Not> {
    let [url, arr, map] = slots(any, [b"@type", b"arr", b"map"], |_| {})?;
    let url = optional(url, text)?.ok_or(Not::PbJson)?;
    let mut out = Vec::new();
    wire::put_bytes(&mut out, wire::ANY_TYPE_URL, &url);
    let name = url.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    match (name, arr, map) {
        (b"point.Array", arr, None) => array(arr, flaw, &mut out)?,
        (b"point.Map", None, map) => self::map(map, flaw, &mut out)?,
        // Other messages are known to DataKit and mean nothing to it.
        _ => return Err(Not::PbJson),
    }
    Ok(out)
}

fn array<'a, V: Json<'a>>(arr: Option<V>, flaw: &mut Flaw, out: &mut Vec<u8>) -> Result<(), Not> {
    let mut values = Vec::new();
    for item in optional(arr, items)?.into_iter().flatten() {
        if !is_null(item, flaw) {
            values.push(basic(item, flaw)?);
        }
    }
    wire::put_message(out, wire::ANY_VALUE, |out| {
        for value in &values {
            wire::put_message(out, wire::ARRAY_ITEM, |out| pb::put_basic(view(value), out));
        }
    });
    Ok(())
}

fn map<'a, V: Json<'a>>(map: Option<V>, flaw: &mut Flaw, out: &mut Vec<u8>) -> Result<(), Not> {
    let mut entries = Unique::default();
    if let Some(map) = map {
        match map.view() {
            View::Null => {}
            View::Object(members) => members.for_each(|(key, value)| entries.insert(key.decode(), value)),
            _ => return Err(Not::PbJson),
        }
    }
    let mut values = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        values.push((key, optional(Some(value), |value| basic(value, flaw))?));
    }
    wire::put_message(out, wire::ANY_VALUE, |out| {
        for (key, value) in &values {
            wire::put_message(out, wire::MAP_ENTRY, |out| {
                wire::put_bytes(out, wire::ENTRY_KEY, key);
                if let Some(value) = value {
                    wire::put_message(out, wire::ENTRY_VALUE, |out| pb::put_basic(view(value), out));
                }
            });
        }
    });
    Ok(())
}

fn view<'v>(value: &'v Value<'_>) -> PbValue<'v> {
    match value {
        Value::Nil => PbValue::Nil,
        Value::Int(value) => PbValue::Int(*value),
        Value::Uint(value) => PbValue::Uint(*value),
        Value::Float(value) => PbValue::Float(*value),
        Value::Bool(value) => PbValue::Bool(*value),
        Value::Str(value) => PbValue::Str(value),
        Value::Bytes(value) => PbValue::Bytes(value),
        Value::Any(value) => PbValue::Any(value),
    }
}
