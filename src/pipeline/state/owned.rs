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
