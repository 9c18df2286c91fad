//! How points meet rules: as drafts on the encoder's general path, once they are checked and have their global tags.

use std::cell::Cell;

use super::eval::{View, Viewed};
use super::parser::Rule;
use crate::point::Category;
use crate::point::draft::{Draft, Value};
use crate::point::encode::Hook;

/// A draft as rules see it. What it has itself comes before what its category adds.
#[derive(Debug)]
pub struct DraftView<'d, 'a> {
    pub draft: &'d Draft<'a>,
    pub category: Category,
}

impl View for DraftView<'_, '_> {
    fn get(&self, name: &[u8]) -> Option<Viewed<'_>> {
        let own = self.draft.kvs.iter().find(|kv| &*kv.key == name).map(|kv| &kv.value);
        match own {
            Some(Value::Nil) | None => virtual_key(self.category, name, &self.draft.name).map(Viewed::Text),
            Some(Value::Int(value)) => Some(Viewed::Int(*value)),
            Some(Value::Float(value)) => Some(Viewed::Float(*value)),
            Some(Value::Bool(value)) => Some(Viewed::Bool(*value)),
            Some(Value::Str(text)) => Some(Viewed::Text(text)),
            Some(Value::Uint(_) | Value::Bytes(_) | Value::Any(_)) => Some(Viewed::Other),
        }
    }
}

/// What a category's points have without having it: its name, and their measurement under the platform's word for it.
pub fn virtual_key<'a>(category: Category, name: &[u8], measurement: &'a [u8]) -> Option<&'a [u8]> {
    match (name, measurement_key(category)) {
        (b"category", _) => Some(category.name().as_bytes()),
        (name, Some(key)) if name == key.as_bytes() => Some(measurement),
        _ => None,
    }
}

/// The platform's word for the measurement of a category.
pub(in crate::point) fn measurement_key(category: Category) -> Option<&'static str> {
    match category {
        Category::Logging | Category::Network | Category::Keyevent | Category::Rum => Some("source"),
        Category::Metric => Some("measurement"),
        Category::Object | Category::CustomObject => Some("class"),
        Category::Tracing | Category::Security | Category::Profiling | Category::SessionReplay => None,
    }
}

/// The rules of a category, for the points of one call.
#[derive(Debug)]
pub struct Filtering<'r> {
    rules: &'r [Rule],
    category: Category,
    dropped: Cell<u32>,
}

impl<'r> Filtering<'r> {
    pub fn new(rules: &'r [Rule], category: Category) -> Filtering<'r> {
        Filtering { rules, category, dropped: Cell::new(0) }
    }

    /// How many points were dropped.
    pub fn dropped(&self) -> u32 {
        self.dropped.get()
    }
}

impl Hook for Filtering<'_> {
    fn meet(&self, point: &mut Draft<'_>, pass: &mut dyn FnMut(&mut Draft<'_>)) {
        let view = DraftView { draft: point, category: self.category };
        if self.rules.iter().any(|rule| rule.is_true(&view)) {
            self.dropped.set(self.dropped.get() + 1);
        } else {
            pass(point);
        }
    }
}
