//! The books of a category, added up over its log and its side lanes.

use std::collections::BTreeMap;

use crate::metrics::books::Sums;
use crate::point::Route;
use crate::spool::{LaneKey, Totals};

/// The lane of a route: of its token, which a number cannot be turned back into.
pub fn lane_of(route: &[u8]) -> u64 {
    /// FNV-1a, 64 bits. Stored in cursors: never change it.
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    if route.is_empty() {
        return LaneKey::NONE.0;
    }
    let Some(token) = Route::decode(route).ok().and_then(|route| route.token) else { return LaneKey::NONE.0 };
    let hash = token.expose().bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    // Both ends of the range have a meaning of their own.
    hash.clamp(LaneKey::NONE.0 + 1, LaneKey::UNKNOWN.0 - 1)
}

/// How a lane is shown.
fn name_of(lane: LaneKey) -> String {
    match lane {
        LaneKey::NONE => "default".to_owned(),
        LaneKey::OTHER => "other".to_owned(),
        LaneKey::UNKNOWN => "unreadable".to_owned(),
        LaneKey(key) => format!("{key:016x}"),
    }
}

/// A log and the side lanes beside it, as one. What went from the one into the others is in both: it counts where it is.
fn add_up<'a>(log: &Totals, sides: impl Iterator<Item = &'a Totals>) -> Sums {
    let mut sums = Sums { taken: log.committed, ..Sums::default() };
    let (mut put_aside, mut taken_aside) = (log.parked, 0);
    let mut add = |totals: &Totals| {
        sums.spooled += totals.spooled();
        sums.delivered += totals.delivered;
        sums.dead += totals.dead;
        sums.evicted += totals.evicted;
        sums.expired += totals.expired;
        sums.lost += totals.lost;
        sums.dropped += totals.dropped;
    };
    add(log);
    for side in sides {
        add(side);
        put_aside += side.parked;
        taken_aside += side.committed;
    }
    // There first, and gone here afterwards.
    sums.copied = taken_aside.saturating_sub(put_aside);
    sums
}

/// The sums of a category.
pub fn all(log: &Totals, sides: &[Totals]) -> Sums {
    add_up(log, sides.iter())
}

/// The sums of each of its lanes.
pub fn lanes(log: &[(LaneKey, Totals)], sides: &[Vec<(LaneKey, Totals)>]) -> Vec<(String, Sums)> {
    let mut by_lane: BTreeMap<LaneKey, (Totals, Vec<Totals>)> = BTreeMap::new();
    for (lane, totals) in log {
        by_lane.entry(*lane).or_default().0 = *totals;
    }
    for (lane, totals) in sides.iter().flatten() {
        by_lane.entry(*lane).or_default().1.push(*totals);
    }
    let lanes = by_lane.into_iter();
    lanes.map(|(lane, (log, sides))| (name_of(lane), add_up(&log, sides.iter()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secret::Secret;

    #[test]
    fn a_lane_is_a_token_and_does_not_show_it() {
        let route = |token: &str, index: Option<&str>| {
            let token = (!token.is_empty()).then(|| Secret::new(token));
            Route { storage_index: index.map(Into::into), token, ..Route::default() }.encode()
        };
        let lane = |token, index| lane_of(route(token, index).as_bytes());
        assert_eq!(lane("", None), 0);
        assert_eq!(lane("", Some("a")), 0);
        assert_eq!(lane("tkn_a", None), lane("tkn_a", Some("b")));
        assert_ne!(lane("tkn_a", None), lane("tkn_b", None));
        assert_eq!(lane("tkn_a", None), 0x0b06_035a_7d5b_9392, "it is stored: it never changes");
        assert_eq!(name_of(LaneKey(lane("tkn_a", None))), "0b06035a7d5b9392");
        assert_eq!(name_of(LaneKey::NONE), "default");
    }

    #[test]
    fn what_was_set_aside_counts_where_it_is() {
        // 100 taken, 60 delivered, 30 set aside, 10 wait; of the 30 one was tried again and set aside anew, then buried.
        let log = Totals { committed: 100, delivered: 60, parked: 30, ..Totals::default() };
        let side = Totals { committed: 31, delivered: 20, parked: 1, dead: 4, ..Totals::default() };
        let sums = all(&log, &[side]);
        assert_eq!((sums.taken, sums.copied, sums.spooled, sums.delivered, sums.dead), (100, 0, 16, 80, 4));
        let debit: u64 = sums.values()[2..].iter().sum();
        assert_eq!(debit, sums.taken + sums.copied);
        // Two targets that are down: the points are there twice.
        let sums = all(&log, &[side, Totals { committed: 30, ..Totals::default() }]);
        assert_eq!((sums.copied, sums.spooled), (30, 46));
        let debit: u64 = sums.values()[2..].iter().sum();
        assert_eq!(debit, sums.taken + sums.copied);
    }

    #[test]
    fn lanes_are_joined_by_their_key() {
        let totals = |committed| Totals { committed, ..Totals::default() };
        let log = [(LaneKey(7), Totals { parked: 3, ..totals(5) }), (LaneKey::NONE, totals(2))];
        let lanes = lanes(&log, &[vec![(LaneKey(7), totals(3))]]);
        assert_eq!(lanes[0].0, "default");
        assert_eq!(lanes[1].0, "0000000000000007");
        assert_eq!((lanes[1].1.taken, lanes[1].1.spooled, lanes[1].1.copied), (5, 5, 0));
    }
}
