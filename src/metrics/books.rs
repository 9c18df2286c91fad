//! The books of a category: where every point is that was ever made durable here, over all restarts.
//!
//! ```text
//! taken + copied = spooled + delivered + dead + evicted + expired + lost + dropped
//! ```
//!
//! The logs keep these sums in their cursors, beside what they belong to, so that the equation holds exactly at any
//! moment and after any crash. *Copied* are points that are there a second time: set aside for several targets, or just
//! before a crash. The counters of `ledger` begin with the process and know more of what was refused.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The names of the sums, in the order of [`Sums::values`].
pub const STATES: [&str; 9] =
    ["taken", "copied", "spooled", "delivered", "dead", "evicted", "expired", "lost", "dropped"];

/// Points, by where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub taken: u64,
    pub copied: u64,
    pub spooled: u64,
    pub delivered: u64,
    pub dead: u64,
    pub evicted: u64,
    pub expired: u64,
    pub lost: u64,
    pub dropped: u64,
}

impl Sums {
    pub fn values(&self) -> [u64; STATES.len()] {
        [
            self.taken,
            self.copied,
            self.spooled,
            self.delivered,
            self.dead,
            self.evicted,
            self.expired,
            self.lost,
            self.dropped,
        ]
    }
}

/// One category's books: written by its home shard, read by scrapes.
#[derive(Debug, Default)]
pub struct Books {
    page: Mutex<Page>,
}

/// What stands in the books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub all: Sums,
    /// By a name that shows no token. Bounded by the log.
    pub lanes: Vec<(String, Sums)>,
}

impl Books {
    pub fn set(&self, all: Sums) {
        self.lock().all = all;
    }

    pub fn set_lanes(&self, lanes: Vec<(String, Sums)>) {
        self.lock().lanes = lanes;
    }

    pub fn read(&self) -> Page {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Page> {
        // Plain sums: whoever panicked has broken nothing.
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
