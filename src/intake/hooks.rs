//! What the points of a body meet before they are encoded: scripts that rewrite them, then filters that drop some.

use std::sync::Arc;

use crate::pipeline::hook::{Around, Created, Met, Scratch, Scripting, scripted};
use crate::pipeline::store::{Choice, Store};
use crate::point::Category;
use crate::point::encode::Hook;
use crate::point::filter::{FilterSet, Filtering};

use super::settings::Settings;

/// What holds for one body, from its first point to its last, and what has come of it so far.
#[derive(Debug, Default)]
pub struct Hooks {
    filters: Option<Arc<FilterSet>>,
    scripts: Option<Arc<Store>>,
    met: Met,
}

/// Points of one call that went no further.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    pub filtered: u32,
    /// By scripts.
    pub dropped: u32,
}

impl std::ops::AddAssign for Gone {
    fn add_assign(&mut self, more: Gone) {
        self.filtered += more.filtered;
        self.dropped += more.dropped;
    }
}

impl Gone {
    pub fn points(self) -> u32 {
        self.filtered + self.dropped
    }
}

impl Hooks {
    /// For a body of points of one category.
    pub fn of(category: Category, settings: &Settings) -> Hooks {
        let scripts = settings.scripts.of(category);
        // Scripts make points of every category.
        let filters = if scripts.is_some() { settings.filters.any() } else { settings.filters.of(category) };
        Hooks { filters, scripts, met: Met::default() }
    }

    /// For a body of points of any categories.
    pub fn any(settings: &Settings) -> Hooks {
        Hooks { filters: settings.filters.any(), scripts: settings.scripts.any(), met: Met::default() }
    }

    /// Whether no point meets anything.
    pub fn is_empty(&self) -> bool {
        self.filters.is_none() && self.scripts.is_none()
    }

    /// Whether points of the category are spared that have no script.
    pub fn spares(&self, category: Category) -> bool {
        self.filters.as_ref().is_none_or(|filters| filters.of(category).is_empty())
    }

    /// How many points scripts have run over.
    pub fn scripted(&self) -> u64 {
        self.met.points()
    }

    /// Encodes points of a category, by `encode`, which is given what they meet. `choice` is what the request says of
    /// scripts.
    pub fn with<T>(
        &mut self,
        category: Category,
        choice: Option<Choice<'_>>,
        settings: &Settings,
        now_ns: i64,
        scratch: &mut Scratch,
        encode: impl FnOnce(Option<&dyn Hook>) -> T,
    ) -> (T, Gone) {
        let Hooks { filters, scripts, met } = self;
        let rules = filters.as_ref().map_or(&[][..], |filters| filters.of(category));
        let filtering = Filtering::new(rules, category);
        let filter = (!rules.is_empty()).then_some(&filtering as &dyn Hook);
        let scripts = scripts.as_ref().zip(scripted(category)).zip(settings.scripts.host());
        let scripts = scripts.filter(|((store, of), _)| !store.of(*of).is_empty());
        let Some(((store, of), host)) = scripts else {
            let encoded = encode(filter);
            return (encoded, Gone { filtered: filtering.dropped(), dropped: 0 });
        };
        let before = met.dropped;
        let around = Around {
            scripts: store.of(of),
            choices: choice.as_slice(),
            status: &store.status,
            host: &**host,
            next: filter,
            filters: filters.as_deref(),
            corrected_to: settings.options.time_correction.then_some(now_ns),
            tags: &settings.options.host_tag_pairs,
        };
        let encoded = encode(Some(&Scripting::new(of, around, scratch, met)));
        (encoded, Gone { filtered: filtering.dropped(), dropped: met.dropped - before })
    }

    /// The body has proved good: its runs are counted, and what they have made is given out.
    pub fn finish(&mut self) -> Created {
        self.met.count();
        std::mem::take(&mut self.met.created)
    }
}
