//! What is known of the filters in force. One thread counts; any may read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::counters::{Counter, Gauge};
use super::names::CATEGORIES;

/// What became of asking the destination, in the order of [`FilterStats::pulls`].
pub const PULLS: [&str; 3] = ["changed", "unchanged", "failed"];
pub const PULL_CHANGED: usize = 0;
pub const PULL_UNCHANGED: usize = 1;
pub const PULL_FAILED: usize = 2;

/// Rules, and where they come from.
#[derive(Debug, Default)]
pub struct FilterStats {
    /// Rules in force, by category.
    pub rules: [Gauge; CATEGORIES.len()],
    /// Texts among them that are no rules, and are left out.
    pub refused_rules: Gauge,
    pub pulls: [Counter; PULLS.len()],
    pub pull_ns: Counter,
    /// When other rules were put in force: how often, and the last time, in Unix seconds.
    pub updates: Counter,
    updated_s: AtomicU64,
}

impl FilterStats {
    /// Other rules are in force.
    pub fn updated(&self, now_s: u64) {
        self.updates.add(1);
        self.updated_s.store(now_s, Relaxed);
    }

    pub fn updated_s(&self) -> u64 {
        self.updated_s.load(Relaxed)
    }

    /// The destination was asked.
    pub fn pulled(&self, result: usize, elapsed_ns: u64) {
        if let Some(counter) = self.pulls.get(result) {
            counter.add(1);
        }
        self.pull_ns.add(elapsed_ns);
    }
}
