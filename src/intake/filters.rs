//! The filters in force: read by every request, replaced as a whole by whoever brings new ones.
//!
//! A request asks once, and goes by what it was given to its end. Where no category has a rule that is one look at a flag.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;

use crate::point::filter::FilterSet;
use crate::point::{CATEGORY_COUNT, Category};

const _: () = assert!(CATEGORY_COUNT <= u32::BITS as usize);

/// The rules of now.
#[derive(Debug, Default)]
pub struct LiveFilters {
    set: ArcSwap<FilterSet>,
    /// One bit a category that has rules.
    some: AtomicU32,
}

impl LiveFilters {
    /// The rules, if this category has any.
    pub fn of(&self, category: Category) -> Option<Arc<FilterSet>> {
        self.has(category).then(|| self.set.load_full())
    }

    /// Whether a category has rules.
    pub fn has(&self, category: Category) -> bool {
        self.some.load(Ordering::Acquire) >> category.index() & 1 != 0
    }

    /// The rules, if any category has some: for a body that becomes points of several.
    pub fn any(&self) -> Option<Arc<FilterSet>> {
        (self.some.load(Ordering::Acquire) != 0).then(|| self.set.load_full())
    }

    /// Puts other rules in force, for every request from now on.
    pub fn store(&self, set: FilterSet) {
        let bits = Category::ALL
            .into_iter()
            .filter(|category| !set.of(*category).is_empty())
            .fold(0, |bits, category| bits | 1 << category.index());
        // A request in between finds no rules where there are, or none where it was told of some: as if a moment earlier.
        self.set.store(Arc::new(set));
        self.some.store(bits, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_categories_with_rules_are_told_of() {
        let filters = LiveFilters::default();
        assert!(filters.any().is_none() && filters.of(Category::Rum).is_none());
        let rules = ["{}".to_owned()];
        filters.store(FilterSet::load([("rum", &rules[..])]).set);
        assert!(filters.any().is_some() && filters.of(Category::Logging).is_none());
        let held = filters.of(Category::Rum).unwrap();
        filters.store(FilterSet::default());
        assert!(filters.of(Category::Rum).is_none());
        assert_eq!(held.of(Category::Rum).len(), 1, "a request goes by what it was given");
    }
}
