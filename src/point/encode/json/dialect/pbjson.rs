//! PB-JSON: a `PBPoint` as gogo's `jsonpb` reads it: names exactly, nothing unknown, integers also as strings.
//!
//! Objects go through Go maps there, so that of a name that comes twice only the last value is looked at. Of several
//! values of one field Go takes any one; here it is the first.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

use crate::codec::json::{Number, Value as Json, View};
use crate::point::draft::{Draft, DraftKv, Value, Warn};

use super::{Sent, any};

/// Why an element is no PB-JSON point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Not {
    PbJson,
    /// It is one, but a part of it makes no sense; DataKit panics over these and stores nothing.
    Unsound(&'static str),
    /// This tape cannot say.
    Unclear,
}

const NULL_ENTRY: &str = "pbjson: null in a list";
const TAG_VALUE: &str = "pbjson: the value of a tag must be a string";

/// What is wrong with a point but does not make it something else: the first such thing.
pub(super) type Flaw = Option<&'static str>;

pub(super) fn read<'a, V: Json<'a>>(element: V) -> Result<Sent<'a>, Not> {
    let names: [&[u8]; 5] = [b"name", b"fields", b"time", b"warns", b"debugs"];
    let [name, fields, time, warns, debugs] = slots(element, names, |_| {})?;
    let mut flaw = None;
    let mut draft = Draft { name: optional(name, text)?.unwrap_or_default(), ..Draft::default() };
    for field in optional(fields, items)?.into_iter().flatten() {
        draft.kvs.extend(self::field(field, &mut flaw)?);
    }
    for entry in optional(warns, items)?.into_iter().flatten() {
        draft.warns.extend(warn(entry, &mut flaw)?);
    }
    for entry in optional(debugs, items)?.into_iter().flatten() {
        draft.debugs.extend(debug(entry, &mut flaw)?);
    }
    let time = optional(time, int)?;
    match flaw {
        Some(flaw) => Err(Not::Unsound(flaw)),
        None => Ok(Sent { draft, time }),
    }
}

/// The members of an object, by name; `seen` is told of each. `null` is an object without any.
pub(super) fn slots<'a, V: Json<'a>, const N: usize>(
    object: V,
    names: [&[u8]; N],
    mut seen: impl FnMut(usize),
) -> Result<[Option<V>; N], Not> {
    let mut slots = [None; N];
    let members = match object.view() {
        View::Null => return Ok(slots),
        View::Object(members) => members,
        _ => return Err(Not::PbJson),
    };
    for (key, value) in members {
        let key = key.decode();
        let index = names.iter().position(|name| **name == *key).ok_or(Not::PbJson)?;
        slots[index] = Some(value);
        seen(index);
    }
    Ok(slots)
}

/// Reads a member that is there and not `null`.
pub(super) fn optional<'a, V: Json<'a>, T>(
    slot: Option<V>,
    read: impl FnOnce(V) -> Result<T, Not>,
) -> Result<Option<T>, Not> {
    match slot {
        Some(value) if !matches!(value.view(), View::Null) => read(value).map(Some),
        _ => Ok(None),
    }
}

pub(super) fn text<'a, V: Json<'a>>(value: V) -> Result<Cow<'a, [u8]>, Not> {
    match value.view() {
        View::Text(text) => Ok(text.decode()),
        _ => Err(Not::PbJson),
    }
}

pub(super) fn items<'a, V: Json<'a>>(value: V) -> Result<V::Items, Not> {
    match value.view() {
        View::Array(items) => Ok(items),
        _ => Err(Not::PbJson),
    }
}

fn flag<'a, V: Json<'a>>(value: V) -> Result<bool, Not> {
    match value.view() {
        View::Bool(value) => Ok(value),
        _ => Err(Not::PbJson),
    }
}

/// A number, or one in a string; `None` for `null` in a string.
fn number<'a, V: Json<'a>>(value: V) -> Result<Option<Number<'a>>, Not> {
    match value.view() {
        View::Number(number) => Ok(Some(number)),
        View::Text(text) => Number::in_string(text.raw().ok_or(Not::Unclear)?).ok_or(Not::PbJson),
        _ => Err(Not::PbJson),
    }
}

fn int<'a, V: Json<'a>>(value: V) -> Result<i64, Not> {
    number(value)?.map_or(Some(0), Number::to_i64).ok_or(Not::PbJson)
}

fn uint<'a, V: Json<'a>>(value: V) -> Result<u64, Not> {
    number(value)?.map_or(Some(0), Number::to_u64).ok_or(Not::PbJson)
}

fn float<'a, V: Json<'a>>(value: V) -> Result<f64, Not> {
    if let View::Text(text) = value.view() {
        match text.raw().ok_or(Not::Unclear)? {
            b"NaN" => return Ok(f64::NAN),
            b"Infinity" => return Ok(f64::INFINITY),
            b"-Infinity" => return Ok(f64::NEG_INFINITY),
            _ => {}
        }
    }
    number(value)?.map_or(Some(0.0), Number::to_f64).ok_or(Not::PbJson)
}

/// Base64 in a string; Go also takes an array of numbers.
fn bytes<'a, V: Json<'a>>(value: V) -> Result<Vec<u8>, Not> {
    // Go's decoder does not look at the bits behind the last byte, and skips line ends.
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    match value.view() {
        View::Text(text) => {
            let mut text = text.decode();
            if text.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
                text.to_mut().retain(|byte| !matches!(byte, b'\r' | b'\n'));
            }
            BASE64.decode(&*text).map_err(|_| Not::PbJson)
        }
        View::Array(items) => items
            .map(|item| match item.view() {
                View::Null => Ok(0),
                View::Number(number) => {
                    number.to_u64().and_then(|value| u8::try_from(value).ok()).ok_or(Not::PbJson)
                }
                _ => Err(Not::PbJson),
            })
            .collect(),
        _ => Err(Not::PbJson),
    }
}

fn metric_type<'a, V: Json<'a>>(value: V) -> Result<i32, Not> {
    match value.view() {
        View::Text(text) => match text.raw().ok_or(Not::Unclear)? {
            b"UNSPECIFIED" => Ok(0),
            b"COUNT" => Ok(1),
            b"RATE" => Ok(2),
            b"GAUGE" => Ok(3),
            _ => Err(Not::PbJson),
        },
        View::Number(number) => {
            number.to_i64().and_then(|value| i32::try_from(value).ok()).ok_or(Not::PbJson)
        }
        _ => Err(Not::PbJson),
    }
}

/// One value, under one of the names it may have, in the order of [`KINDS`]. `null` is the zero of its kind.
fn kind_value<'a, V: Json<'a>>(kind: usize, value: V, flaw: &mut Flaw) -> Result<Value<'a>, Not> {
    let value = Some(value);
    Ok(match kind {
        0 => Value::Int(optional(value, int)?.unwrap_or_default()),
        1 => Value::Uint(optional(value, uint)?.unwrap_or_default()),
        2 => Value::Float(optional(value, float)?.unwrap_or_default()),
        3 => Value::Bool(optional(value, flag)?.unwrap_or_default()),
        4 => Value::Bytes(Cow::Owned(optional(value, bytes)?.unwrap_or_default())),
        5 => Value::Str(optional(value, text)?.unwrap_or_default()),
        _ => optional(value, |value| any::read(value, flaw))?
            .map_or(Value::Nil, |any| Value::Any(Cow::Owned(any))),
    })
}

/// The names of values: integer, unsigned, float, bool, bytes, string; and, of a field only, array or map.
const KINDS: [&[u8]; 7] = [b"i", b"u", b"f", b"b", b"d", b"s", b"a"];

/// A field's value, or that of an array's element: every one that is there must be right, the first one counts. Go has
/// a member for the whole group as well, which can be given nothing else than `null`.
fn value_of<'a, V: Json<'a>>(
    kinds: &[Option<V>],
    group: Option<V>,
    first: Option<usize>,
    flaw: &mut Flaw,
) -> Result<Value<'a>, Not> {
    optional(group, |_| Err::<(), Not>(Not::PbJson))?;
    let mut value = Value::Nil;
    for (kind, json) in kinds.iter().enumerate() {
        let Some(json) = *json else { continue };
        let read = kind_value(kind, json, flaw)?;
        if first == Some(kind) {
            value = read;
        }
    }
    Ok(value)
}

/// An element of an array, or a value of a map.
pub(super) fn basic<'a, V: Json<'a>>(object: V, flaw: &mut Flaw) -> Result<Value<'a>, Not> {
    let [i, u, f, b, d, s, _] = KINDS;
    let mut first = None;
    let note = |index| {
        if index < 6 {
            first.get_or_insert(index);
        }
    };
    let [kinds @ .., group] = slots(object, [i, u, f, b, d, s, b"x"], note)?;
    value_of(&kinds, group, first, flaw)
}

/// `None`: it was `null`.
fn field<'a, V: Json<'a>>(field: V, flaw: &mut Flaw) -> Result<Option<DraftKv<'a>>, Not> {
    if is_null(field, flaw) {
        return Ok(None);
    }
    let [i, u, f, b, d, s, a] = KINDS;
    let names = [i, u, f, b, d, s, a, b"val", b"key", b"is_tag", b"type", b"unit"];
    let mut first = None;
    let note = |index| {
        if index < KINDS.len() {
            first.get_or_insert(index);
        }
    };
    let [kinds @ .., group, key, is_tag, metric, unit] = slots(field, names, note)?;
    let value = value_of(&kinds, group, first, flaw)?;
    let is_tag = optional(is_tag, flag)?.unwrap_or_default();
    if is_tag && !matches!(value, Value::Str(_)) {
        flaw.get_or_insert(TAG_VALUE);
    }
    Ok(Some(DraftKv {
        key: optional(key, text)?.unwrap_or_default(),
        value,
        is_tag,
        metric_type: optional(metric, metric_type)?.unwrap_or_default(),
        unit: optional(unit, text)?.unwrap_or_default(),
    }))
}

fn warn<'a, V: Json<'a>>(warn: V, flaw: &mut Flaw) -> Result<Option<Warn>, Not> {
    if is_null(warn, flaw) {
        return Ok(None);
    }
    // The message has two names; the second one counts.
    let [kind, msg, message] = slots(warn, [b"type", b"msg", b"message"], |_| {})?;
    let kind = optional(kind, text)?.unwrap_or_default();
    let message = optional(message.or(msg), text)?.unwrap_or_default();
    let kind = Cow::Owned(String::from_utf8_lossy(&kind).into_owned());
    Ok(Some(Warn { kind, message: message.into_owned() }))
}

fn debug<'a, V: Json<'a>>(debug: V, flaw: &mut Flaw) -> Result<Option<Cow<'a, [u8]>>, Not> {
    if is_null(debug, flaw) {
        return Ok(None);
    }
    let [info] = slots(debug, [b"info"], |_| {})?;
    Ok(Some(optional(info, text)?.unwrap_or_default()))
}

/// `null` where there should be an object in a list.
pub(super) fn is_null<'a, V: Json<'a>>(value: V, flaw: &mut Flaw) -> bool {
    let is_null = matches!(value.view(), View::Null);
    if is_null {
        flaw.get_or_insert(NULL_ENTRY);
    }
    is_null
}
