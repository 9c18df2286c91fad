//! What is known of scripts. Shards count here once a body, hence with locked adds; any may read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::counters::{Counter, Gauge};
use super::names::CATEGORIES;

/// What came of the points that one script has met, over all its versions.
#[derive(Debug, Default)]
pub struct ScriptStats {
    pub category: &'static str,
    pub namespace: &'static str,
    /// With `.p`.
    pub name: String,
    points: AtomicU64,
    dropped: AtomicU64,
    errors: AtomicU64,
    created: AtomicU64,
    ns: AtomicU64,
    /// What went wrong last, until somebody has told of it.
    last_error: Mutex<Option<String>>,
}

/// Runs of one script over the points of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    pub points: u64,
    /// By `drop()`, or for their status.
    pub dropped: u64,
    pub errors: u64,
    /// Points made by `create_point()`.
    pub created: u64,
    pub ns: u64,
}

impl ScriptStats {
    pub fn new(category: &'static str, namespace: &'static str, name: &str) -> ScriptStats {
        ScriptStats { category, namespace, name: name.to_owned(), ..ScriptStats::default() }
    }

    pub fn add(&self, runs: &Runs) {
        let Runs { points, dropped, errors, created, ns } = *runs;
        for (sum, more) in [
            (&self.points, points),
            (&self.dropped, dropped),
            (&self.errors, errors),
            (&self.created, created),
            (&self.ns, ns),
        ] {
            if more > 0 {
                sum.fetch_add(more, Relaxed);
            }
        }
    }

    /// A run has ended with this error.
    pub fn failed(&self, error: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// The last error since the last call.
    pub fn take_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn read(&self) -> Runs {
        Runs {
            points: self.points.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            errors: self.errors.load(Relaxed),
            created: self.created.load(Relaxed),
            ns: self.ns.load(Relaxed),
        }
    }
}

/// Scripts in force, and where they come from. One thread counts.
#[derive(Debug, Default)]
pub struct ScriptsStats {
    /// Each is listed as long as the process lives: a count that vanishes and comes back would be none.
    scripts: Mutex<Vec<Arc<ScriptStats>>>,
    /// In force, by category.
    pub loaded: [Gauge; CATEGORIES.len()],
    /// Left out, as they do not compile.
    pub broken: Gauge,
    /// How often others were put in force, and the last time, in Unix seconds.
    pub updates: Counter,
    pub updated_s: Gauge,
    /// By the results of [`super::filters::PULLS`].
    pub pulls: [Counter; super::filters::PULLS.len()],
    pub pull_ns: Counter,
}

/// Scripts that are listed. A workspace that renames its scripts every day must not fill the page.
pub const LISTED_MAX: usize = 4096;

impl ScriptsStats {
    /// The counts of a script: those it had before, where there was one of that name. None once too many are listed.
    pub fn of(&self, category: &'static str, namespace: &'static str, name: &str) -> Arc<ScriptStats> {
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &&Arc<ScriptStats>| {
            (known.category, known.namespace, known.name.as_str()) == (category, namespace, name)
        };
        if let Some(known) = scripts.iter().find(same) {
            return Arc::clone(known);
        }
        let stats = Arc::new(ScriptStats::new(category, namespace, name));
        if scripts.len() < LISTED_MAX {
            scripts.push(Arc::clone(&stats));
        }
        stats
    }

    /// All that are listed.
    pub fn list(&self) -> Vec<Arc<ScriptStats>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_keeps_its_counts() {
        let stats = ScriptsStats::default();
        stats.of("logging", "confd", "a.p").add(&Runs { points: 2, errors: 1, ..Runs::default() });
        stats.of("logging", "confd", "a.p").add(&Runs { points: 1, dropped: 1, ..Runs::default() });
        stats.of("logging", "remote", "a.p").add(&Runs::default());
        let all = stats.list();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].read(), Runs { points: 3, dropped: 1, errors: 1, created: 0, ns: 0 });
    }
}
