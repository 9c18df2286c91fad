//! Which core runs what.
//!
//! A shard runs on one core of `shards` and owns the connections the kernel gives it. A category's spool and uploads
//! live on one *home* shard, so that a log has one writer; categories are dealt round, the busy ones (metric,
//! logging, tracing) to different shards as soon as there are that many.

use crate::point::{CATEGORY_COUNT, Category};

/// The shard that writes and uploads `category`.
pub fn home_of(category: Category, shards: usize) -> usize {
    /// Busiest first, as agents send them.
    const DEAL: [Category; CATEGORY_COUNT] = [
        Category::Metric,
        Category::Logging,
        Category::Tracing,
        Category::Rum,
        Category::Network,
        Category::Object,
        Category::CustomObject,
        Category::Keyevent,
        Category::Security,
        Category::Profiling,
        Category::SessionReplay,
    ];
    let place = DEAL.iter().position(|dealt| *dealt == category).unwrap_or(0);
    place % shards.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_has_a_home_and_the_busy_ones_have_different_homes() {
        for shards in 1..=16 {
            for category in Category::ALL {
                assert!(home_of(category, shards) < shards);
            }
        }
        let busy = [Category::Metric, Category::Logging, Category::Tracing];
        let homes: std::collections::HashSet<usize> =
            busy.into_iter().map(|category| home_of(category, 3)).collect();
        assert_eq!(homes.len(), 3);
    }
}
