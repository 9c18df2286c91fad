//! From the form in which points are checked to the one in which scripts see them, and back. Nothing is copied that a script has
//! not changed; what it has changed lies in the run's arena.

use std::borrow::Cow;

use bumpalo::Bump;

use super::{
    category::Category,
    record::{Kind, Record},
    value::{List, Map, Value},
};
use crate::point::draft::{Draft, DraftKv, Value as Drafted};
use crate::point::pb::{self, PbValue};
use crate::point::wire;

/// A point for a script.
pub fn read<'r>(category: Category, draft: &'r Draft<'_>, arena: &'r Bump) -> Record<'r> {
    let mut record = Record::new(arena, category, &draft.name, draft.time);
    for (index, kv) in draft.kvs.iter().enumerate() {
        let (value, mut kind) = match &kv.value {
            Drafted::Nil => (Value::Nil, Kind::Field),
            Drafted::Int(value) => (Value::Int(*value), Kind::Field),
            Drafted::Uint(value) => (Value::Int(*value as i64), Kind::Uint),
            Drafted::Float(value) => (Value::Float(*value), Kind::Field),
            Drafted::Bool(value) => (Value::Bool(*value), Kind::Field),
            Drafted::Str(text) | Drafted::Bytes(text) => (Value::Str(text), Kind::Field),
            Drafted::Any(any) => (Value::Str(json_of(any, arena)), Kind::Field),
        };
        if kv.is_tag {
            kind = Kind::Tag;
        }
        record.push(&kv.key, value, kind, u32::try_from(index).ok());
    }
    record
}

/// The point again. `from` is what the record was read from; a point that a script has made has none.
pub fn write<'r>(record: &Record<'r>, from: Option<&'r Draft<'_>>, arena: &'r Bump) -> Draft<'r> {
    let unchanged = |origin: Option<u32>| from?.kvs.get(origin? as usize);
    let mut kvs = Vec::with_capacity(record.entries().count());
    for entry in record.entries() {
        kvs.push(match unchanged(entry.origin) {
            Some(kv) => again(kv),
            None => {
                let text = |text: &'r [u8]| Cow::Borrowed(utf8(text, arena));
                let value = match entry.value {
                    Value::Int(value) if entry.kind == Kind::Uint => Drafted::Uint(value as u64),
                    Value::Int(value) => Drafted::Int(value),
                    Value::Float(value) => Drafted::Float(value),
                    Value::Bool(value) => Drafted::Bool(value),
                    Value::Str(value) => Drafted::Str(text(value)),
                    // Lists and maps are held as text: see `Entry`.
                    Value::Unset | Value::Void | Value::Nil | Value::List(_) | Value::Map(_) => Drafted::Nil,
                };
                DraftKv { is_tag: entry.kind == Kind::Tag, ..DraftKv::field(text(entry.key), value) }
            }
        });
    }
    let name = match from {
        Some(from) if std::ptr::eq(record.name, &*from.name) => record.name,
        _ => utf8(record.name, arena),
    };
    Draft { name: Cow::Borrowed(name), kvs, time: record.time, ..Draft::default() }
}

fn again<'r>(kv: &'r DraftKv<'_>) -> DraftKv<'r> {
    let value = match &kv.value {
        Drafted::Nil => Drafted::Nil,
        Drafted::Int(value) => Drafted::Int(*value),
        Drafted::Uint(value) => Drafted::Uint(*value),
        Drafted::Float(value) => Drafted::Float(*value),
        Drafted::Bool(value) => Drafted::Bool(*value),
        Drafted::Str(text) => Drafted::Str(Cow::Borrowed(text)),
        Drafted::Bytes(bytes) => Drafted::Bytes(Cow::Borrowed(bytes)),
        Drafted::Any(any) => Drafted::Any(Cow::Borrowed(any)),
    };
    DraftKv {
        key: Cow::Borrowed(&kv.key),
        value,
        is_tag: kv.is_tag,
        metric_type: kv.metric_type,
        unit: Cow::Borrowed(&kv.unit),
    }
}

/// Scripts can make texts of any bytes; the form in which points are sent has only UTF-8.
fn utf8<'r>(text: &'r [u8], arena: &'r Bump) -> &'r [u8] {
    match String::from_utf8_lossy(text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(mended) => arena.alloc_slice_copy(mended.as_bytes()),
    }
}

/// An array or map of a field as JSON. Empty where it is neither.
fn json_of<'r>(encoded: &[u8], arena: &'r Bump) -> &'r [u8] {
    let Ok((type_url, bytes)) = pb::any(encoded) else { return b"" };
    let copied = |value: PbValue<'_>| match value {
        PbValue::Nil | PbValue::Any(_) => Value::Nil,
        PbValue::Int(value) => Value::Int(value),
        PbValue::Uint(value) => Value::Int(value as i64),
        PbValue::Float(value) => Value::Float(value),
        PbValue::Bool(value) => Value::Bool(value),
        PbValue::Str(text) | PbValue::Bytes(text) => Value::Str(arena.alloc_slice_copy(text)),
    };
    let value = if type_url == wire::ARRAY_TYPE_URL.as_bytes() {
        let items: Vec<Value<'_>> = pb::array(bytes).map_while(Result::ok).map(copied).collect();
        Value::List(List::new(arena, items.into_iter()))
    } else if type_url == wire::MAP_TYPE_URL.as_bytes() {
        let entries = pb::map(bytes).map_while(Result::ok);
        let entries = entries.map(|(key, value)| (&*arena.alloc_slice_copy(key), copied(value)));
        Value::Map(arena.alloc(Map::of(arena, entries)))
    } else {
        return b"";
    };
    let mut out = Vec::new();
    match super::text::put_json(&mut out, value, usize::MAX) {
        Ok(()) => arena.alloc_slice_copy(&out),
        Err(_) => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{set::ScriptSet, vm::Host};

    struct Nothing;

    impl Host for Nothing {
        fn now_ns(&self) -> i64 {
            0
        }
    }

    #[test]
    fn what_a_script_leaves_alone_stays_as_it_was() {
        let mut any = Vec::new();
        pb::encode_array([PbValue::Int(1), PbValue::Int(2)], &mut any);
        let draft = Draft {
            name: Cow::Borrowed(b"m"),
            kvs: vec![
                DraftKv {
                    unit: Cow::Borrowed(b"s"),
                    metric_type: 1,
                    ..DraftKv::field(&b"a"[..], Drafted::Uint(7))
                },
                DraftKv::field(&b"items"[..], Drafted::Any(any.into())),
                DraftKv::tag(&b"t"[..], &b"v"[..]),
                DraftKv::field(&b"raw"[..], Drafted::Bytes(Cow::Borrowed(b"\xff"))),
            ],
            time: 5,
            ..Draft::default()
        };
        let set = ScriptSet::compile([(
            "a.p",
            "add_key(text, items)\nx = \"\\xff \"\nadd_key(bad, x)\nrename(u, t)",
        )]);
        let at = set.find("a.p").and_then(Result::ok).unwrap();
        let arena = Bump::new();
        let outcome = set.run(at, read(Category::Metric, &draft, &arena), &arena, &Nothing);
        assert!(outcome.error.is_none());
        let written = write(&outcome.record, Some(&draft), &arena);
        assert_eq!(written.kvs[0], draft.kvs[0]);
        assert_eq!(written.kvs[1], draft.kvs[1]);
        assert_eq!((&*written.kvs[2].key, written.kvs[2].is_tag), (&b"u"[..], true));
        assert_eq!(written.kvs[3], draft.kvs[3]);
        assert_eq!(written.kvs[4].value, Drafted::Str(Cow::Borrowed(b"[1,2]")));
        assert_eq!(written.kvs[5].value, Drafted::Str(Cow::Borrowed("\u{fffd} ".as_bytes())));
        assert_eq!((&*written.name, written.time), (&b"m"[..], 5));
    }
}
