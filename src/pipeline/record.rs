//! The point that a script works on: its name, tags, fields and time, and what became of it.

use bumpalo::{Bump, collections::Vec as ArenaVec};

use super::{category::Category, lib::text::same, state::window::Stream, value::Value};

/// How a key is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tag,
    Field,
    /// A field that came as an unsigned integer; a script sees it as a signed one.
    Uint,
    /// Deleted: its place stays empty.
    Gone,
}

/// A tag or field.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'r> {
    pub key: &'r [u8],
    /// No list or map: those are held as JSON. A tag's is a text.
    pub value: Value<'r>,
    pub kind: Kind,
    /// Which of the tags and fields of the original point it is, as long as the script has not written it: what the
    /// values
    /// here do not say (unit, metric type, arrays) can be taken from there.
    pub origin: Option<u32>,
}

impl Entry<'_> {
    /// Most keys differ in their lengths or in how they end.
    #[inline(always)]
    fn is(&self, key: &[u8]) -> bool {
        self.key.len() == key.len()
            && self.key.last() == key.last()
            && same(self.key, key)
            && self.kind != Kind::Gone
    }
}

/// A point.
#[derive(Debug)]
pub struct Record<'r> {
    pub category: Category,
    pub name: &'r [u8],
    /// Nanoseconds.
    pub time: i64,
    entries: ArenaVec<'r, Entry<'r>>,
    /// `drop()` was called.
    pub dropped: bool,
    /// `setopt(status_mapping=…)`
    pub status_mapping: bool,
    /// By `point_window()`.
    pub window: Option<Stream<'r>>,
    /// By `create_point()`, in order.
    pub created: Vec<Record<'r>>,
}

impl<'r> Record<'r> {
    pub fn new(arena: &'r Bump, category: Category, name: &'r [u8], time: i64) -> Record<'r> {
        let entries = ArenaVec::with_capacity_in(ENTRIES_EXPECTED, arena);
        Record {
            category,
            name,
            time,
            entries,
            dropped: false,
            status_mapping: true,
            window: None,
            created: Vec::new(),
        }
    }

    /// Adds what the point came with. The key must be new.
    pub fn push(&mut self, key: &'r [u8], value: Value<'r>, kind: Kind, origin: Option<u32>) {
        self.entries.push(Entry { key, value, kind, origin });
    }

    /// Tags and fields, in the order of their first writing.
    pub fn entries(&self) -> impl Iterator<Item = &Entry<'r>> {
        self.entries.iter().filter(|entry| entry.kind != Kind::Gone)
    }

    #[expect(
        clippy::manual_find,
        reason = "`Iterator::find` is a call of its own, and this is what scripts do most"
    )]
    #[inline]
    pub fn entry(&self, key: &[u8]) -> Option<&Entry<'r>> {
        for entry in &self.entries {
            if entry.is(key) {
                return Some(entry);
            }
        }
        None
    }

    pub fn get(&self, key: &[u8]) -> Option<Value<'r>> {
        self.entry(key).map(|entry| entry.value)
    }

    pub fn is_tag(&self, key: &[u8]) -> bool {
        self.entry(key).is_some_and(|entry| entry.kind == Kind::Tag)
    }

    /// Writes a tag or field, of which there is one afterwards. Texts are made of lists, maps and the values of tags
    /// before.
    pub(super) fn put(&mut self, key: &'r [u8], value: Value<'r>, kind: Kind) {
        match self.find(key) {
            Some(entry) => {
                entry.value = value;
                entry.kind = kind;
                entry.origin = None;
            }
            None => self.entries.push(Entry { key, value, kind, origin: None }),
        }
    }

    /// Writes the tag or field of that name, or a new field. Not done where the value would have to be made a text for a
    /// tag.
    #[inline(always)]
    pub(super) fn put_as_it_was(&mut self, key: &'r [u8], value: Value<'r>) -> bool {
        let Some(entry) = self.find(key) else {
            self.entries.push(Entry { key, value, kind: Kind::Field, origin: None });
            return true;
        };
        if entry.kind == Kind::Tag {
            if !matches!(value, Value::Str(_)) {
                return false;
            }
        } else {
            entry.kind = Kind::Field;
        }
        entry.value = value;
        entry.origin = None;
        true
    }

    pub fn delete(&mut self, key: &[u8]) {
        if let Some(entry) = self.find(key) {
            entry.kind = Kind::Gone;
        }
    }

    /// Keeps value and kind, changes the key; what was there under the new one goes.
    pub fn rename(&mut self, new: &'r [u8], old: &[u8]) {
        if new == old || self.entry(old).is_none() {
            return;
        }
        self.delete(new);
        if let Some(entry) = self.find(old) {
            entry.key = new;
            entry.origin = None;
        }
    }

    /// What every newly built point of its category has.
    pub fn add_defaults(&mut self) {
        let Some((key, value)) = default_field(self.category) else { return };
        if self.entry(key).is_none() {
            self.push(key, Value::Str(value), Kind::Field, None);
        }
    }

    #[expect(
        clippy::manual_find,
        reason = "`Iterator::find` is a call of its own, and this is what scripts do most"
    )]
    #[inline(always)]
    fn find(&mut self, key: &[u8]) -> Option<&mut Entry<'r>> {
        for entry in &mut self.entries {
            if entry.is(key) {
                return Some(entry);
            }
        }
        None
    }
}

/// What every newly built point of a category has.
pub fn default_field(category: Category) -> Option<(&'static [u8], &'static [u8])> {
    match category {
        Category::Logging | Category::Dialtesting => Some((b"status", b"info")),
        Category::Object | Category::CustomObject => Some((b"name", b"default")),
        _ => None,
    }
}

/// Room for the tags and fields of most points.
const ENTRIES_EXPECTED: usize = 24;
