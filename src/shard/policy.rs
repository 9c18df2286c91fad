//! Ages and totals: what no log can decide alone. Each shard looks after the logs that are at home on it; what the others
//! hold it reads from what they have last put up.

use std::rc::Rc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use crate::config::{Full, SpoolSettings};
use crate::point::{CATEGORY_COUNT, Category};
use crate::rt::time;
use crate::spool::policy::{Standing, Verdict, verdicts};
use crate::spool::{LogStats, WhenFull};

use super::Common;
use super::uploads::HomeLog;

/// How often it is looked. Between two looks logs can grow past the total by what a disk takes in that time; the reserve is
/// there for more.
const INTERVAL: Duration = Duration::from_secs(1);

/// Segments that one look gives up at most: the rest waits for the next, so that a total that was made much smaller does
/// not stop everything else.
const EVICTIONS_MAX: usize = 64;

/// Where all logs of the process stand.
#[derive(Default)]
pub struct Board {
    standings: Mutex<[Option<Standing>; CATEGORY_COUNT]>,
}

impl Board {
    /// Puts up where a category stands, and gives what it is to do.
    fn put(&self, category: Category, standing: Standing, total_bytes: u64) -> Verdict {
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        standings[category.index()] = Some(standing);
        let known: Vec<(usize, Standing)> = standings
            .iter()
            .enumerate()
            .filter_map(|(index, standing)| standing.map(|standing| (index, standing)))
            .collect();
        let logs: Vec<Standing> = known.iter().map(|(_, standing)| *standing).collect();
        let at = known.iter().position(|(index, _)| *index == category.index());
        at.and_then(|at| verdicts(total_bytes, &logs).get(at).copied()).unwrap_or(Verdict::Room)
    }
}

/// What a full log does.
pub fn when_full(settings: &SpoolSettings) -> WhenFull {
    match settings.full {
        Full::Refuse => WhenFull::Refuse,
        Full::EvictOldest => WhenFull::EvictOldest,
    }
}

fn standing(settings: &SpoolSettings, category: Category, stats: &LogStats) -> Standing {
    Standing {
        priority: settings.priority(category.name()),
        when_full: when_full(settings),
        disk_bytes: stats.disk_bytes_with_spares,
        oldest_ms: stats.oldest_ms,
    }
}

/// Looks after the logs at home on this shard, for ever.
pub async fn run(common: std::sync::Arc<Common>, homes: Vec<Rc<HomeLog>>) {
    loop {
        time::sleep(INTERVAL).await;
        let live = common.live_owned();
        let settings = &live.settings.spool;
        for home in &homes {
            home.log.expire(time::wall_ms()).await;
            let Some(total_bytes) = settings.total_capacity_bytes else { continue };
            for _ in 0..EVICTIONS_MAX {
                let standing = standing(settings, home.category, &home.log.stats());
                let verdict = common.board.put(home.category, standing, total_bytes);
                home.log.hold(verdict == Verdict::Hold);
                if verdict != Verdict::Evict || !home.log.evict_oldest().await {
                    break;
                }
            }
            home.look();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_category_hears_what_it_is_to_do_about_the_sum_of_all() {
        let board = Board::default();
        let standing = |when_full, disk_bytes, oldest_ms| Standing {
            priority: 5,
            when_full,
            disk_bytes,
            oldest_ms: Some(oldest_ms),
        };
        assert_eq!(board.put(Category::Metric, standing(WhenFull::Refuse, 600, 1), 1000), Verdict::Room);
        assert_eq!(
            board.put(Category::Logging, standing(WhenFull::EvictOldest, 600, 2), 1000),
            Verdict::Evict
        );
        assert_eq!(board.put(Category::Metric, standing(WhenFull::Refuse, 600, 1), 1000), Verdict::Hold);
        assert_eq!(
            board.put(Category::Logging, standing(WhenFull::EvictOldest, 300, 2), 1000),
            Verdict::Room
        );
        assert_eq!(board.put(Category::Metric, standing(WhenFull::Refuse, 600, 1), 1000), Verdict::Room);
    }
}
