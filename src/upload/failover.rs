//! Which of several targets gets the packages when one is enough: the first one, and the next while that is down. Pure:
//! the time is an argument.
//!
//!     first target active ── down for LEAVE_AFTER ──▶ the next that is not down is active
//!              ▲                                          │ a package every PROBE_INTERVAL goes to the first
//!              └── has answered every probe for RETURN_AFTER ◀┘
//!
//! Both times are there so that a target that comes and goes does not pull the packages to and fro: each move may send
//! what was under way a second time, to the other place, under the same id.

use std::time::{Duration, Instant};

/// A target that is down for less than this is waited for.
pub const LEAVE_AFTER: Duration = Duration::from_secs(10);

/// A target that was left must answer for this long before it is trusted again.
pub const RETURN_AFTER: Duration = Duration::from_secs(60);

/// How often one package goes to a target that was left, to see.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Where a package is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub target: usize,
    /// To see whether the target is back; if it does not answer at once, the package goes on to the active one.
    pub is_probe: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Failover {
    active: usize,
    targets: Vec<Seen>,
    moves: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Since when every probe was answered.
    good_since: Option<Instant>,
    probed: Option<Instant>,
}

impl Failover {
    pub fn new(targets: usize) -> Failover {
        Failover { active: 0, targets: vec![Seen::default(); targets], moves: 0 }
    }

    /// The target that gets the packages, and how often that has changed.
    pub fn active(&self) -> (usize, u64) {
        (self.active, self.moves)
    }

    /// Looks whether another target is to get the packages now. `down_since` is what the breakers say.
    pub fn look(&mut self, now: Instant, down_since: impl Fn(usize) -> Option<Instant>) {
        let returned = self.targets.iter().take(self.active).position(|seen| {
            seen.good_since.is_some_and(|since| now.saturating_duration_since(since) >= RETURN_AFTER)
        });
        if let Some(better) = returned {
            self.go(better);
        }
        let is_left =
            down_since(self.active).is_some_and(|since| now.saturating_duration_since(since) >= LEAVE_AFTER);
        if is_left && let Some(next) = (0..self.targets.len()).find(|target| down_since(*target).is_none()) {
            self.go(next);
        }
    }

    fn go(&mut self, target: usize) {
        if target != self.active {
            self.active = target;
            self.moves += 1;
            for seen in &mut self.targets {
                seen.good_since = None;
            }
        }
    }

    /// Where the next package goes.
    pub fn choose(&mut self, now: Instant, down_since: impl Fn(usize) -> Option<Instant>) -> Choice {
        self.look(now, down_since);
        let due = self.targets.iter_mut().take(self.active).enumerate().find(|(_, seen)| {
            seen.probed.is_none_or(|probed| now.saturating_duration_since(probed) >= PROBE_INTERVAL)
        });
        match due {
            Some((target, seen)) => {
                seen.probed = Some(now);
                Choice { target, is_probe: true }
            }
            None => Choice { target: self.active, is_probe: false },
        }
    }

    /// A target has answered.
    pub fn answered(&mut self, target: usize, now: Instant) {
        if let Some(seen) = self.targets.get_mut(target) {
            seen.good_since.get_or_insert(now);
        }
    }

    /// A target has failed once.
    pub fn failed(&mut self, target: usize) {
        if let Some(seen) = self.targets.get_mut(target) {
            seen.good_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn the_next_takes_over_after_a_while_and_the_first_returns_after_a_longer_one() {
        let start = Instant::now();
        let mut failover = Failover::new(2);
        let mut down: Option<Instant> = None;
        let mut went = Vec::new();
        for second in 0..200 {
            let now = start + second * S;
            match second {
                10 => down = Some(now),
                50 => down = None,
                _ => {}
            }
            let choice = failover.choose(now, |target| if target == 0 { down } else { None });
            match (choice.target, down) {
                (0, Some(_)) => failover.failed(0),
                _ => failover.answered(choice.target, now),
            }
            went.push(choice);
        }
        let active_second: Vec<usize> =
            (0..200).filter(|second| went[*second].target == 1 && !went[*second].is_probe).collect();
        assert_eq!((active_second.first(), active_second.last()), (Some(&21), Some(&109)));
        let probes = went.iter().filter(|choice| choice.is_probe).count();
        assert!((17..=19).contains(&probes), "{probes}");
        assert_eq!(failover.active(), (0, 2));
    }

    #[test]
    fn flapping_does_not_move_it_to_and_fro() {
        let start = Instant::now();
        let mut failover = Failover::new(2);
        // Down every other second: never for long.
        for second in 0..1000 {
            let now = start + second * S;
            let down = (second % 2 == 0).then_some(now);
            failover.choose(now, |target| if target == 0 { down } else { None });
        }
        assert_eq!(failover.active(), (0, 0));
        // Once it was left, it must answer every probe for a minute.
        let gone = start + 1000 * S;
        failover.look(gone + LEAVE_AFTER, |target| (target == 0).then_some(gone));
        assert_eq!(failover.active(), (1, 1));
        for second in 1000..2000 {
            let now = start + second * S;
            let choice = failover.choose(now, |_| None);
            match (choice.is_probe, second % 50 < 5) {
                (true, true) => failover.failed(0),
                (true, false) => failover.answered(0, now),
                _ => {}
            }
        }
        assert_eq!(failover.active(), (1, 1));
    }

    #[test]
    fn when_all_are_down_nothing_moves() {
        let now = Instant::now();
        let mut failover = Failover::new(3);
        failover.look(now + 60 * S, |_| Some(now));
        assert_eq!(failover.active(), (0, 0));
        failover.look(now + 60 * S, |target| (target != 2).then_some(now));
        assert_eq!(failover.active(), (2, 1));
    }
}
