//! What became of asking Go programs for their profiles. Several threads count; any may read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a pull came to, in the order of [`PULL_RESULTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullResult {
    /// A profile was taken.
    Taken,
    /// The first of its kind: what later ones are compared with.
    First,
    /// No answer, or none that is a profile.
    Failed,
    /// There was no room for it.
    Refused,
}

/// The `result` label.
pub const PULL_RESULTS: [&str; 4] = ["taken", "first", "failed", "refused"];

#[derive(Debug, Default)]
pub struct PullStats([AtomicU64; PULL_RESULTS.len()]);

impl PullStats {
    pub fn count(&self, result: PullResult) {
        self.0[result as usize].fetch_add(1, Relaxed);
    }

    /// In the order of [`PULL_RESULTS`].
    pub fn read(&self) -> [u64; PULL_RESULTS.len()] {
        std::array::from_fn(|index| self.0[index].load(Relaxed))
    }
}
