//! Simple JSON: `{"measurement": …, "tags": {…}, "fields": {…}, "time": …}`, as Go decodes a struct of these: keys in any
//! letter case, unknown ones ignored, `null` no value at all, maps that come twice added to.

use std::borrow::Cow;

use crate::codec::json::{Number, Text, Value as Json, View};
use crate::point::draft::{Draft, DraftKv, Value};
use crate::point::pb::{self, PbValue};

use super::unique::Unique;
use super::{Mismatch, Refusal, Sent};

const INT: &str = "int64";
const FLOAT: &str = "float64";
const STRING: &str = "string";
const STRINGS: &str = "map[string]string";
const ANYTHING: &str = "map[string]interface {}";

/// A member of Go's `JSONPoint`.
#[derive(Clone, Copy)]
enum Member {
    Measurement,
    Tags,
    Fields,
    Time,
}

pub(super) fn read<'a, V: Json<'a>>(element: V) -> Result<Sent<'a>, Refusal> {
    let members = match element.view() {
        View::Object(members) => members,
        other => {
            let go_type = "point.JSONPoint";
            let mismatch = Mismatch { kind: other.kind(), number: String::new(), member: None, go_type };
            return Err(Refusal::Mismatch(mismatch));
        }
    };
    let mut name: Cow<'a, [u8]> = Cow::Borrowed(b"");
    let mut time = None;
    let mut tags = Unique::default();
    let mut fields = Unique::default();
    for (key, value) in members {
        match Member::of(&key.decode()) {
            None => {}
            Some(Member::Measurement) => match value.view() {
                View::Null => {}
                View::Text(text) => name = text.decode(),
                other => return Err(Mismatch::kind(other.kind(), "measurement", STRING)),
            },
            Some(Member::Time) => match value.view() {
                View::Null => {}
                View::Number(number) => match number.to_i64() {
                    Some(given) => time = Some(given),
                    None => return Err(Mismatch::number(number, "time", INT)),
                },
                other => return Err(Mismatch::kind(other.kind(), "time", INT)),
            },
            Some(Member::Tags) => match value.view() {
                View::Null => tags.clear(),
                View::Object(members) => {
                    for (key, value) in members {
                        tags.insert(key.decode(), tag(value)?);
                    }
                }
                other => return Err(Mismatch::kind(other.kind(), "tags", STRINGS)),
            },
            Some(Member::Fields) => match value.view() {
                View::Null => fields.clear(),
                View::Object(members) => {
                    for (key, value) in members {
                        fields.insert(key.decode(), field(value)?);
                    }
                }
                other => return Err(Mismatch::kind(other.kind(), "fields", ANYTHING)),
            },
        }
    }
    // A tag and a field of one name: the tag stays.
    let mut kvs = Vec::with_capacity(tags.len() + fields.len());
    let fields = fields.into_iter().filter(|(key, _)| !tags.contains(key));
    kvs.extend(fields.map(|(key, value)| DraftKv::field(key, value)));
    kvs.extend(tags.into_iter().map(|(key, value)| DraftKv::tag(key, value)));
    Ok(Sent { draft: Draft { name, kvs, ..Draft::default() }, time })
}

impl Member {
    fn of(key: &[u8]) -> Option<Member> {
        match key {
            b"measurement" => Some(Member::Measurement),
            b"tags" => Some(Member::Tags),
            b"fields" => Some(Member::Fields),
            b"time" => Some(Member::Time),
            _ if folds_to(key, b"measurement") => Some(Member::Measurement),
            _ if folds_to(key, b"tags") => Some(Member::Tags),
            _ if folds_to(key, b"fields") => Some(Member::Fields),
            _ if folds_to(key, b"time") => Some(Member::Time),
            _ => None,
        }
    }
}

/// Whether Go takes `key` for `name`: letters in any case, and the long s of old prints, which folds to an s. (The sign of
/// kelvin folds to a k; no member has one.)
fn folds_to(mut key: &[u8], name: &[u8]) -> bool {
    const LONG_S: &[u8] = "ſ".as_bytes();
    for &letter in name {
        key = match key.split_first() {
            Some((byte, rest)) if byte.eq_ignore_ascii_case(&letter) => rest,
            _ => match key.strip_prefix(LONG_S) {
                Some(rest) if letter == b's' => rest,
                _ => return false,
            },
        };
    }
    key.is_empty()
}

fn tag<'a, V: Json<'a>>(value: V) -> Result<Cow<'a, [u8]>, Refusal> {
    match value.view() {
        View::Null => Ok(Cow::Borrowed(b"")),
        View::Text(text) => Ok(text.decode()),
        other => Err(Mismatch::kind(other.kind(), "tags", STRING)),
    }
}

fn field<'a, V: Json<'a>>(value: V) -> Result<Value<'a>, Refusal> {
    match value.view() {
        View::Null => Ok(Value::Nil),
        View::Bool(value) => Ok(Value::Bool(value)),
        View::Number(number) => float(number).map(Value::Float),
        View::Text(text) => Ok(Value::Str(text.decode())),
        View::Array(items) => match value.overflow() {
            Some(number) => Err(Mismatch::number(number, "fields", FLOAT)),
            None => Ok(array(items)),
        },
        // Nothing is made of an object; but every number in it must be one.
        View::Object(_) => match value.overflow() {
            Some(number) => Err(Mismatch::number(number, "fields", FLOAT)),
            None => Ok(Value::Nil),
        },
    }
}

fn float(number: Number<'_>) -> Result<f64, Refusal> {
    number.to_f64().ok_or_else(|| Mismatch::number(number, "fields", FLOAT))
}

/// Values of one kind, or none, are an array; others are nothing.
fn array<'a, V: Json<'a>>(items: impl Iterator<Item = V>) -> Value<'a> {
    enum Scalar<'a> {
        Bool(bool),
        Float(f64),
        Text(Text<'a>),
    }
    let mut scalars = Vec::new();
    for item in items {
        let scalar = match item.view() {
            View::Bool(value) => Scalar::Bool(value),
            View::Number(number) => Scalar::Float(number.to_f64().unwrap_or_default()),
            View::Text(text) => Scalar::Text(text),
            View::Null | View::Array(_) | View::Object(_) => return Value::Nil,
        };
        if let Some(first) = scalars.first()
            && std::mem::discriminant(first) != std::mem::discriminant(&scalar)
        {
            return Value::Nil;
        }
        scalars.push(scalar);
    }
    let texts: Vec<Cow<'a, [u8]>> = scalars
        .iter()
        .map(|scalar| match scalar {
            Scalar::Text(text) => text.decode(),
            Scalar::Bool(_) | Scalar::Float(_) => Cow::Borrowed(&b""[..]),
        })
        .collect();
    let items = scalars.iter().zip(&texts).map(|(scalar, text)| match scalar {
        Scalar::Bool(value) => PbValue::Bool(*value),
        Scalar::Float(value) => PbValue::Float(*value),
        Scalar::Text(_) => PbValue::Str(text),
    });
    let mut any = Vec::new();
    pb::encode_array(items, &mut any);
    Value::Any(Cow::Owned(any))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fold_as_in_go() {
        for key in ["tags", "TAGS", "tAgS", "tagſ", "TAGſ"] {
            assert!(folds_to(key.as_bytes(), b"tags"), "{key}");
        }
        for key in ["tag", "tagss", "tag\u{212a}", "tagß", "", "ſags", "\u{ff34}ags"] {
            assert!(!folds_to(key.as_bytes(), b"tags"), "{key}");
        }
        assert!(
            folds_to("fieldſ".as_bytes(), b"fields") && folds_to("meaſUREMENT".as_bytes(), b"measurement")
        );
    }
}
