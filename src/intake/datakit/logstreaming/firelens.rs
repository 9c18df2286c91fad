//! What FireLens (Fluent Bit in AWS) sends: `[{"date":1700000000.123,"source":"stdout","log":"…",…},…]`.
//!
//! `log` becomes `message`, `date` the time, `source` the field `firelens_source`, everything else a field under its own
//! name. A body that is anything else becomes one point with all of it as its message.
//!
//! Nothing is built from the JSON: it is looked through once to see that it is an array of objects, and then each object
//! gives its members as spans of the body.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::codec::line_protocol::{Kind, Kv, span};

use super::{Bad, Points, text};

const NS_PER_S: f64 = 1e9;

/// Reads whole objects.
pub(super) fn read(body: &[u8], from: usize, budget: usize, points: &mut Points<'_>) -> Result<usize, Bad> {
    if from == 0 && !is_array_of_objects(body) {
        text::message(span(0, body.len()), 0, points);
        return Ok(body.len());
    }
    let mut at = from;
    while at - from < budget {
        // Between objects: the bracket or a comma, and spaces. It was all looked through at the start.
        let skipped =
            body[at..].iter().position(|byte| !matches!(byte, b'[' | b',' | b' ' | b'\t' | b'\r' | b'\n'));
        at += skipped.ok_or(Bad)?;
        if body[at] == b']' {
            return Ok(body.len());
        }
        let mut objects = serde_json::Deserializer::from_slice(&body[at..]).into_iter();
        let object: Object<'_> = objects.next().and_then(Result::ok).ok_or(Bad)?;
        record(&object, body, points);
        at += objects.byte_offset();
    }
    Ok(at)
}

/// The members of one object; of one that comes twice the last counts.
type Object<'a> = BTreeMap<String, &'a RawValue>;

fn record(object: &Object<'_>, body: &[u8], points: &mut Points<'_>) {
    let first = points.tape.kvs.len();
    let mut time = None;
    for (name, value) in object {
        let key = match name.as_str() {
            "" => continue,
            "log" => points.message,
            "source" => points.key("firelens_source"),
            // What they became takes their place.
            "message" if object.contains_key("log") => continue,
            "firelens_source" if object.contains_key("source") => continue,
            "date" => match seconds(value.get()) {
                Some(ns) => {
                    time = Some(ns);
                    continue;
                }
                None => points.key("date"),
            },
            name => points.key(name),
        };
        let Some((kind, flags, bits)) = value_of(value.get(), body, points) else { continue };
        points.field(key, kind, flags, bits);
    }
    points.point(first, time);
}

/// A JSON value as a field has it; none for `null`. What no field can hold stays as it is written, as text.
fn value_of(raw: &str, body: &[u8], points: &mut Points<'_>) -> Option<(Kind, u8, u64)> {
    let in_body = |text: &str| {
        // `text` is a part of `body`: the parser lends and does not copy.
        let at = (text.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
        (body.get(at..at + text.len())? == text.as_bytes()).then(|| span(at, text.len()))
    };
    let as_text = |raw: &str, points: &mut Points<'_>| match in_body(raw) {
        Some(span) => (Kind::Str, 0, span),
        None => (Kind::Str, Kv::VALUE_IN_ARENA, points.keep(raw.as_bytes())),
    };
    match raw.as_bytes().first()? {
        b'n' => None,
        b't' | b'f' => Some((Kind::Bool, 0, u64::from(raw == "true"))),
        b'"' => {
            let inside = raw.get(1..raw.len() - 1)?;
            match in_body(inside).filter(|_| !inside.contains('\\')) {
                Some(span) => Some((Kind::Str, 0, span)),
                None => {
                    // Half a surrogate pair is no text in Rust: it stays as it is written.
                    let text: String = serde_json::from_str(raw).unwrap_or_else(|_| inside.to_owned());
                    Some((Kind::Str, Kv::VALUE_IN_ARENA, points.keep(text.as_bytes())))
                }
            }
        }
        b'{' | b'[' => Some(as_text(raw, points)),
        _ => match (raw.parse::<i64>(), raw.parse::<u64>()) {
            (Ok(number), _) => Some((Kind::Int, 0, number as u64)),
            (_, Ok(number)) => Some((Kind::Uint, 0, number)),
            _ => match raw.parse::<f64>() {
                Ok(number) if number.is_finite() => Some((Kind::Float, 0, number.to_bits())),
                _ => Some(as_text(raw, points)),
            },
        },
    }
}

/// Seconds since 1970 with a fraction, in nanoseconds; none for what is no such number.
fn seconds(raw: &str) -> Option<i64> {
    let seconds: f64 = raw.parse().ok()?;
    let (whole, fraction) = (seconds.floor(), seconds - seconds.floor());
    let in_range = whole.abs() < i64::MAX as f64 / NS_PER_S - 1.0;
    in_range.then(|| whole as i64 * NS_PER_S as i64 + (fraction * NS_PER_S).round() as i64)
}

/// Whether the whole of `body` is JSON of this shape. Deep nesting costs no stack: what is ignored is skipped in a loop.
fn is_array_of_objects(body: &[u8]) -> bool {
    struct Shape;
    struct Record;

    impl<'de> Visitor<'de> for Shape {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of objects")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
            while elements.next_element::<Record>()?.is_some() {}
            Ok(())
        }
    }

    impl<'de> Deserialize<'de> for Record {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Record, D::Error> {
            struct Members;

            impl<'de> Visitor<'de> for Members {
                type Value = Record;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Record, A::Error> {
                    // Names are read as they are later: an escape that is none shows here.
                    while members.next_entry::<String, IgnoredAny>()?.is_some() {}
                    Ok(Record)
                }
            }

            deserializer.deserialize_map(Members)
        }
    }

    // What is ignored is not checked to be UTF-8.
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_seq(Shape).is_ok() && deserializer.end().is_ok()
}
