//! What became of every point: sums since the birth of a log, for all of it and for each lane. Pure bookkeeping.
//!
//! At any moment `committed = delivered + dead + parked + evicted + expired + lost + dropped + spooled`. The sums stand in
//! the cursor beside the spans that they belong to, so that after a crash they fit what goes out again.
//!
//! A lane is whatever `LogConfig::lane_of` makes of a frame's route. Frames that cannot be read have no route: their
//! points are gone from the log at once, and from a lane when nothing is spooled any more: what a lane has too much
//! then was theirs. Until then they stand under [`LaneKey::UNKNOWN`].

use super::config::Fate;

/// Lanes that a log keeps apart; the rest counts as one. A table of this size fits a cursor slot.
pub const LANES_MAX: usize = 64;
/// How a point can end.
pub(super) const FATES: usize = 7;

/// A lane of a log: what `LogConfig::lane_of` says of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneKey(pub u64);

impl LaneKey {
    /// Frames without a lane.
    pub const NONE: LaneKey = LaneKey(0);
    /// All lanes behind the first [`LANES_MAX`].
    pub const OTHER: LaneKey = LaneKey(u64::MAX);
    /// Points of frames that could not be read, until it is known whose they were.
    pub const UNKNOWN: LaneKey = LaneKey(u64::MAX - 1);
}

/// Points since the birth of the log, or since its sums began: with the first cursor that has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub committed: u64,
    pub delivered: u64,
    pub dead: u64,
    pub parked: u64,
    pub evicted: u64,
    pub expired: u64,
    pub lost: u64,
    pub dropped: u64,
}

impl Totals {
    /// What is not spooled any more.
    pub fn gone(&self) -> u64 {
        self.delivered + self.dead + self.parked + self.evicted + self.expired + self.lost + self.dropped
    }

    /// What is still here.
    pub fn spooled(&self) -> u64 {
        self.committed.saturating_sub(self.gone())
    }
}

/// The sums of a log or a lane as they are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub committed: u64,
    /// By `Fate as usize`.
    pub gone: [u64; FATES],
}

impl Account {
    pub(super) fn add(&mut self, fate: Fate, points: u64) {
        // Wrapping, as a damaged table must not stop the log.
        let sum = &mut self.gone[fate as usize];
        *sum = sum.wrapping_add(points);
    }

    pub(super) fn gone_points(&self) -> u64 {
        self.gone.iter().fold(0, |sum, points| sum.wrapping_add(*points))
    }

    pub(super) fn totals(&self, committed: u64) -> Totals {
        let of = |fate: Fate| self.gone[fate as usize];
        Totals {
            committed,
            delivered: of(Fate::Delivered),
            dead: of(Fate::Dead),
            parked: of(Fate::Parked),
            evicted: of(Fate::Evicted),
            expired: of(Fate::Expired),
            lost: of(Fate::Lost),
            dropped: of(Fate::Dropped),
        }
    }
}

/// The lanes of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lanes {
    /// In the order of their first frame, so that the same frames give the same table.
    pub known: Vec<(LaneKey, Account)>,
    pub other: Account,
    pub unknown: Account,
    /// Numbers of frames that were committed before lanes were counted: they are counted when they are gone.
    pub uncounted: std::ops::Range<u64>,
}

impl Lanes {
    /// The account of a lane, which is new here if there is room.
    fn account(&mut self, lane: LaneKey) -> &mut Account {
        if lane == LaneKey::UNKNOWN {
            return &mut self.unknown;
        }
        let at = self.known.iter().position(|(key, _)| *key == lane);
        let at = at.or_else(|| {
            let room = self.known.len() < LANES_MAX && lane != LaneKey::OTHER;
            room.then(|| {
                self.known.push((lane, Account::default()));
                self.known.len() - 1
            })
        });
        match at {
            Some(at) => &mut self.known[at].1,
            None => &mut self.other,
        }
    }

    pub(super) fn committed(&mut self, lane: LaneKey, points: u64) {
        self.account(lane).committed += points;
    }

    /// Points of the frame with this number are gone.
    pub(super) fn gone(&mut self, seq: u64, lane: LaneKey, fate: Fate, points: u64) {
        let uncounted = self.uncounted.contains(&seq);
        let account = self.account(lane);
        account.add(fate, points);
        if uncounted {
            account.committed += points;
        }
    }

    /// The only lane there is.
    pub(super) fn single(&self) -> Option<LaneKey> {
        match self.known.as_slice() {
            [(lane, _)] if self.uncounted.is_empty() => Some(*lane),
            _ => None,
        }
    }

    /// Nothing is spooled: what a lane has too much was in frames that nobody could read.
    pub(super) fn settle_unknown(&mut self) {
        self.uncounted = 0..0;
        if self.unknown == Account::default() {
            return;
        }
        let accounts = self.known.iter_mut().map(|(_, account)| account).chain([&mut self.other]);
        for account in accounts {
            let mut surplus = account.committed.saturating_sub(account.gone_points());
            for (gone, unknown) in account.gone.iter_mut().zip(&mut self.unknown.gone) {
                let moved = surplus.min(*unknown);
                *gone += moved;
                *unknown -= moved;
                surplus -= moved;
            }
        }
    }

    /// Every lane with something in it.
    pub(super) fn totals(&self) -> Vec<(LaneKey, Totals)> {
        let known = self.known.iter().map(|(lane, account)| (*lane, account.totals(account.committed)));
        let other = (LaneKey::OTHER, self.other.totals(self.other.committed));
        let unknown = (LaneKey::UNKNOWN, self.unknown.totals(self.unknown.gone_points()));
        known.chain([other, unknown].into_iter().filter(|(_, totals)| *totals != Totals::default())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_beyond_the_table_count_as_one() {
        let mut lanes = Lanes::default();
        for lane in 0..100 {
            lanes.committed(LaneKey(lane), 10);
        }
        for lane in 0..100 {
            lanes.gone(lane, LaneKey(lane), Fate::Delivered, 4);
        }
        let totals = lanes.totals();
        assert_eq!(totals.len(), LANES_MAX + 1);
        for (lane, sums) in &totals[..LANES_MAX] {
            assert_eq!((sums.committed, sums.delivered, sums.spooled()), (10, 4, 6), "{lane:?}");
        }
        assert_eq!(totals[LANES_MAX].0, LaneKey::OTHER);
        assert_eq!(totals[LANES_MAX].1.committed, 360);
        assert_eq!(totals[LANES_MAX].1.spooled(), 36 * 6);
    }

    #[test]
    fn what_nobody_could_read_is_counted_on_its_lane_when_nothing_is_left() {
        let mut lanes = Lanes::default();
        lanes.committed(LaneKey(1), 10);
        lanes.committed(LaneKey(2), 20);
        lanes.gone(1, LaneKey(1), Fate::Delivered, 7);
        lanes.gone(2, LaneKey(2), Fate::Delivered, 18);
        lanes.gone(3, LaneKey::UNKNOWN, Fate::Lost, 4);
        lanes.gone(4, LaneKey::UNKNOWN, Fate::Evicted, 1);
        assert_eq!(
            lanes.totals()[2],
            (LaneKey::UNKNOWN, Totals { committed: 5, lost: 4, evicted: 1, ..Totals::default() })
        );
        lanes.settle_unknown();
        let totals = lanes.totals();
        assert_eq!(totals.len(), 2);
        assert!(totals.iter().all(|(_, sums)| sums.spooled() == 0), "{totals:?}");
        assert_eq!(totals.iter().map(|(_, sums)| sums.lost + sums.evicted).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn frames_from_before_the_lanes_count_when_they_are_gone() {
        let mut lanes = Lanes { uncounted: 1..5, ..Lanes::default() };
        lanes.gone(4, LaneKey(1), Fate::Delivered, 3);
        lanes.committed(LaneKey(1), 2);
        assert_eq!(
            lanes.totals(),
            [(LaneKey(1), Totals { committed: 5, delivered: 3, ..Totals::default() })]
        );
        lanes.gone(5, LaneKey(1), Fate::Delivered, 2);
        assert_eq!(lanes.totals()[0].1.spooled(), 0);
    }
}
