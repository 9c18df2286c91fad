//! Values and points that outlive the run that made them.

use std::sync::Arc;

use bumpalo::Bump;

use crate::pipeline::{
    category::Category,
    error::Error,
    record::{Kind, Record},
    value::{TooMuch, VALUE_DEPTH_MAX, Value},
    vm::Vm,
};

/// What an element, an entry or a key costs beside its bytes.
const PART_BYTES: usize = 64;

/// A value. Copies share what it holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Owned {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Arc<[u8]>),
    List(Arc<[Owned]>),
    Map(Arc<[(Box<[u8]>, Owned)]>),
}

impl Owned {
    /// Copies a value of at most so many bytes.
    pub fn of(value: Value<'_>, bytes_max: usize) -> Result<Owned, TooMuch> {
        let mut left = bytes_max;
        owned(value, &mut left, VALUE_DEPTH_MAX)
    }

    /// What it takes, roughly.
    pub fn bytes(&self) -> usize {
        PART_BYTES
            + match self {
                Owned::Nil | Owned::Bool(_) | Owned::Int(_) | Owned::Float(_) => 0,
                Owned::Str(text) => text.len(),
                Owned::List(items) => items.iter().map(Owned::bytes).sum(),
                Owned::Map(entries) => entries.iter().map(|(key, value)| key.len() + value.bytes()).sum(),
            }
    }

    /// The value in a run.
    pub fn value<'r>(&self, vm: &mut Vm<'r>) -> Result<Value<'r>, Error> {
        Ok(match self {
            Owned::Nil => Value::Nil,
            Owned::Bool(value) => Value::Bool(*value),
            Owned::Int(value) => Value::Int(*value),
            Owned::Float(value) => Value::Float(*value),
            Owned::Str(text) => Value::Str(vm.text(text)?),
            Owned::List(items) => {
                let items = items.iter().map(|item| item.value(vm)).collect::<Result<Vec<_>, _>>()?;
                vm.list(items.into_iter())?
            }
            Owned::Map(entries) => {
                let mut copied = Vec::with_capacity(entries.len());
                for (key, value) in entries.iter() {
                    copied.push((vm.text(key)?, value.value(vm)?));
                }
                vm.map(copied.into_iter())?
            }
        })
    }
}

fn owned(value: Value<'_>, left: &mut usize, depth: usize) -> Result<Owned, TooMuch> {
    let depth = depth.checked_sub(1).ok_or(TooMuch::Deep)?;
    take(left, 0)?;
    Ok(match value {
        Value::Unset | Value::Void | Value::Nil => Owned::Nil,
        Value::Bool(value) => Owned::Bool(value),
        Value::Int(value) => Owned::Int(value),
        Value::Float(value) => Owned::Float(value),
        Value::Str(text) => {
            take(left, text.len())?;
            Owned::Str(text.into())
        }
        Value::List(list) => {
            let items: Result<Vec<_>, _> = list.iter().map(|item| owned(item, left, depth)).collect();
            Owned::List(items?.into())
        }
        Value::Map(map) => {
            let mut entries = Vec::new();
            while let Some((key, value)) = map.entry(entries.len()) {
                take(left, key.len())?;
                entries.push((key.into(), owned(value, left, depth)?));
            }
            Owned::Map(entries.into())
        }
    })
}

fn take(left: &mut usize, bytes: usize) -> Result<(), TooMuch> {
    *left = left.checked_sub(PART_BYTES + bytes).ok_or(TooMuch::Large)?;
    Ok(())
}

/// A point.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedPoint {
    pub category: Category,
    pub name: Box<[u8]>,
    /// Nanoseconds.
    pub time: i64,
    /// Tags and fields. Values are neither lists nor maps.
    pub entries: Vec<(Box<[u8]>, Owned, Kind)>,
}

impl OwnedPoint {
    /// Copies what a record holds now.
    pub fn of(record: &Record<'_>) -> OwnedPoint {
        let entries = record.entries().map(|entry| {
            let value = match entry.value {
                Value::Bool(value) => Owned::Bool(value),
                Value::Int(value) => Owned::Int(value),
                Value::Float(value) => Owned::Float(value),
                Value::Str(text) => Owned::Str(text.into()),
                // A record holds no list and no map.
                _ => Owned::Nil,
            };
            (entry.key.into(), value, entry.kind)
        });
        OwnedPoint {
            category: record.category,
            name: record.name.into(),
            time: record.time,
            entries: entries.collect(),
        }
    }

    pub fn has_field(&self) -> bool {
        self.entries.iter().any(|(_, value, kind)| *kind != Kind::Tag && *value != Owned::Nil)
    }

    /// What it takes, roughly.
    pub fn bytes(&self) -> usize {
        let entries = self.entries.iter().map(|(key, value, _)| key.len() + value.bytes());
        self.name.len() + PART_BYTES + entries.sum::<usize>()
    }

    /// The point as a record, with `tags` where it has no keys of their names.
    pub fn record<'r>(&'r self, arena: &'r Bump, tags: &'r [(String, String)]) -> Record<'r> {
        let mut record = Record::new(arena, self.category, &self.name, self.time);
        for (key, value, kind) in &self.entries {
            let value = match value {
                Owned::Bool(value) => Value::Bool(*value),
                Owned::Int(value) => Value::Int(*value),
                Owned::Float(value) => Value::Float(*value),
                Owned::Str(text) => Value::Str(text),
                Owned::Nil | Owned::List(_) | Owned::Map(_) => Value::Nil,
            };
            record.push(key, value, *kind, None);
        }
        for (key, value) in tags {
            if record.entry(key.as_bytes()).is_none() {
                record.push(key.as_bytes(), Value::Str(value.as_bytes()), Kind::Tag, None);
            }
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::value::{List, Map};

    #[test]
    fn values_are_copied_within_bounds() {
        let arena = Bump::new();
        let list = Value::List(List::new(&arena, [Value::Int(1), Value::Str(b"ab")].into_iter()));
        let map = &*arena.alloc(Map::of(&arena, [(&b"k"[..], list), (&b"n"[..], Value::Void)].into_iter()));
        let owned = Owned::of(Value::Map(map), 1_000).unwrap();
        let items = Owned::List(vec![Owned::Int(1), Owned::Str(b"ab"[..].into())].into());
        assert_eq!(owned, Owned::Map(vec![(b"k"[..].into(), items), (b"n"[..].into(), Owned::Nil)].into()));
        assert_eq!(Owned::of(Value::Map(map), 100), Err(TooMuch::Large));
        assert!(owned.bytes() < 1_000);
        // One that holds itself ends somewhere.
        map.set(b"self", Value::Map(map));
        assert_eq!(Owned::of(Value::Map(map), usize::MAX), Err(TooMuch::Deep));
    }

    #[test]
    fn points_become_records_again() {
        let arena = Bump::new();
        let mut record = Record::new(&arena, Category::Logging, b"n", 7);
        record.push(b"tag", Value::Str(b"v"), Kind::Tag, Some(0));
        record.push(b"gone", Value::Int(1), Kind::Field, None);
        record.push(b"u", Value::Int(-1), Kind::Uint, None);
        record.push(b"nil", Value::Nil, Kind::Field, None);
        record.delete(b"gone");
        let point = OwnedPoint::of(&record);
        assert!(point.has_field());
        let tags = [("tag".to_owned(), "other".to_owned()), ("host".to_owned(), "h".to_owned())];
        let again = point.record(&arena, &tags);
        assert_eq!(OwnedPoint::of(&again).entries[..3], point.entries[..]);
        assert!(matches!(again.get(b"tag"), Some(Value::Str(b"v"))) && again.is_tag(b"host"));
        assert_eq!((again.time, again.name), (7, &b"n"[..]));
    }
}
