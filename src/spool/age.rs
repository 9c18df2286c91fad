//! How old data is, in a time that only runs while the log does. Pure: the clock is given.
//!
//! Age policies must not give up what nobody could have sent: a machine that slept for a night, a gateway that was off,
//! or a clock that was set, ages nothing. So the log counts its own time: it moves with the clock, never backwards,
//! and by no more than a step at a time, however far the clock went in between. It is kept in the cursor, and every
//! segment says in its header when it began.

use super::place::PLAUSIBLE_MAX;
use std::time::Duration;

/// What one look at the clock adds at most. The caller looks every few seconds; a longer pause was no life.
const STEP_MS_MAX: u64 = 60_000;
/// How much of it may be lost by a crash.
const SAVE_MS: u64 = 60_000;

/// The log's own time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Age {
    lived_ms: u64,
    saved_ms: u64,
    looked_ms: Option<u64>,
}

impl Age {
    /// A log that had lived so long when it was last seen.
    pub(super) fn of(lived_ms: u64) -> Age {
        let lived_ms = lived_ms.min(PLAUSIBLE_MAX);
        Age { lived_ms, saved_ms: lived_ms, looked_ms: None }
    }

    pub(super) fn lived_ms(self) -> u64 {
        self.lived_ms
    }

    /// A look at the wall clock.
    pub(super) fn look(&mut self, now_ms: u64) {
        let passed = self.looked_ms.replace(now_ms).map_or(0, |before| now_ms.saturating_sub(before));
        self.lived_ms += passed.min(STEP_MS_MAX);
    }

    /// Whether it is time to have it written down; asking counts as doing.
    pub(super) fn wants_saving(&mut self) -> bool {
        let wants = self.lived_ms - self.saved_ms >= SAVE_MS;
        if wants {
            self.saved_ms = self.lived_ms;
        }
        wants
    }

    /// Whether what was last added to at `lived_ms` is older than that.
    pub(super) fn is_past(self, lived_ms: u64, max_age: Duration) -> bool {
        u128::from(self.lived_ms.saturating_sub(lived_ms)) > max_age.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_lives_only_while_it_is_looked_after() {
        let mut age = Age::of(1000);
        let mut now = 1_700_000_000_000;
        age.look(now);
        assert_eq!(age.lived_ms(), 1000, "the first look starts the clock");
        for _ in 0..10 {
            now += 5000;
            age.look(now);
        }
        assert_eq!(age.lived_ms(), 51_000);
        // Asleep for eight hours, set forward ten years, back to 1970, and on from there.
        for then in [now + 8 * 3_600_000, now + 315_360_000_000, 0, 5000] {
            age.look(then);
        }
        assert_eq!(age.lived_ms(), 51_000 + 2 * STEP_MS_MAX + 5000);
    }

    #[test]
    fn it_is_written_down_once_a_minute() {
        let mut age = Age::of(0);
        let saves = (0..240).filter(|second| {
            age.look(second * 1000);
            age.wants_saving()
        });
        assert_eq!(saves.count(), 3);
        assert!(age.is_past(0, Duration::from_secs(238)) && !age.is_past(0, Duration::from_secs(239)));
    }
}
