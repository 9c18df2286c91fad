//! Who makes room when all logs together hold too much. Pure: the caller looks and acts.
//!
//! Every log has a capacity of its own; their sum may be more than the disk should give. Then the more important
//! categories have more of the total than the others: each rank below the highest stops at a tenth less. A log that
//! refuses when it is full refuses above its share; what is spooled stays. One that evicts gives up its oldest segment, the
//! least important first, and among equals the one with the oldest data.

use super::config::WhenFull;

/// Each rank's share of the total is this many tenths less than that of the rank above it...
const RANK_TENTHS: u64 = 1;
/// ...down to this many: the least important still has most of a quiet machine.
const SHARE_TENTHS_MIN: u64 = 5;

/// Where a log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// More is more important.
    pub priority: u8,
    pub when_full: WhenFull,
    /// [`super::LogStats::disk_bytes_with_spares`].
    pub disk_bytes: u64,
    /// [`super::LogStats::oldest_ms`].
    pub oldest_ms: Option<u64>,
}

/// What a log is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Room,
    /// Refuse what is new: [`super::Log::hold`].
    Hold,
    /// Give up the oldest segment, [`super::Log::evict_oldest`], and be asked again.
    Evict,
}

/// What each log is to do, so that all of them together stay within the total.
pub fn verdicts(total_bytes: u64, logs: &[Standing]) -> Vec<Verdict> {
    let sum = logs.iter().fold(0_u64, |sum, log| sum.saturating_add(log.disk_bytes));
    let mut priorities: Vec<u8> = logs.iter().map(|log| log.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    let share = |priority: u8| {
        let above = priorities.iter().filter(|other| **other > priority).count() as u64;
        let tenths = 10_u64.saturating_sub(above * RANK_TENTHS).max(SHARE_TENTHS_MIN);
        total_bytes / 10 * tenths + total_bytes % 10
    };
    let gives_up = |log: &&Standing| log.when_full == WhenFull::EvictOldest && log.oldest_ms.is_some();
    let victim = logs.iter().filter(gives_up).filter(|log| sum > share(log.priority));
    let victim = victim.min_by_key(|log| (log.priority, log.oldest_ms)).copied();
    let mut evicting = false;
    logs.iter()
        .map(|log| {
            if sum <= share(log.priority) {
                Verdict::Room
            } else if Some(*log) == victim && !std::mem::replace(&mut evicting, true) {
                Verdict::Evict
            } else if log.when_full == WhenFull::EvictOldest {
                // Somebody less important goes first, or nobody has anything to give.
                if victim.is_some() { Verdict::Room } else { Verdict::Hold }
            } else {
                Verdict::Hold
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Evict, Hold, Room};

    fn log(priority: u8, when_full: WhenFull, disk_bytes: u64, oldest_ms: u64) -> Standing {
        Standing { priority, when_full, disk_bytes, oldest_ms: (oldest_ms > 0).then_some(oldest_ms) }
    }

    #[test]
    fn within_the_total_nobody_does_anything() {
        let logs = [log(0, WhenFull::Refuse, 500, 1), log(0, WhenFull::EvictOldest, 500, 2)];
        assert_eq!(verdicts(1000, &logs), [Room, Room]);
        assert_eq!(verdicts(u64::MAX, &logs), [Room, Room]);
        assert_eq!(verdicts(0, &[]), []);
    }

    #[test]
    fn what_matters_less_is_refused_first() {
        let refuse = |priority, bytes| log(priority, WhenFull::Refuse, bytes, 1);
        let at = |bytes| verdicts(1000, &[refuse(9, bytes), refuse(5, 0), refuse(1, 0), refuse(1, 0)]);
        assert_eq!(at(800), [Room, Room, Room, Room]);
        assert_eq!(at(801), [Room, Room, Hold, Hold]);
        assert_eq!(at(901), [Room, Hold, Hold, Hold]);
        assert_eq!(at(1001), [Hold, Hold, Hold, Hold]);
    }

    #[test]
    fn the_least_important_then_the_oldest_is_evicted_one_at_a_time() {
        let evict = |priority, oldest| log(priority, WhenFull::EvictOldest, 400, oldest);
        assert_eq!(verdicts(1000, &[evict(1, 5), evict(1, 3), evict(1, 4)]), [Room, Evict, Room]);
        assert_eq!(verdicts(1000, &[evict(2, 1), evict(1, 9), evict(1, 8)]), [Room, Room, Evict]);
        // The least important has nothing: the next.
        assert_eq!(verdicts(1000, &[evict(2, 1), evict(1, 0), evict(2, 8)]), [Evict, Room, Room]);
        // Two that are alike: one of them.
        assert_eq!(verdicts(1000, &[evict(1, 3), evict(1, 3), evict(1, 3)]), [Evict, Room, Room]);
        assert_eq!(verdicts(1000, &[evict(1, 0), evict(1, 0), evict(1, 0)]), [Hold, Hold, Hold]);
    }

    #[test]
    fn what_refuses_is_never_evicted() {
        let logs = [log(0, WhenFull::Refuse, 900, 1), log(0, WhenFull::EvictOldest, 200, 2)];
        assert_eq!(verdicts(1000, &logs), [Hold, Evict]);
        let logs = [log(0, WhenFull::Refuse, 1100, 1), log(0, WhenFull::EvictOldest, 0, 0)];
        assert_eq!(verdicts(1000, &logs), [Hold, Hold]);
    }
}
