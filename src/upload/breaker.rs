//! When a target counts as down. Pure: the time is an argument.
//!
//! Failures in a row (no answer, 5xx, anything that is no verdict) open the breaker: nothing goes to the target but one
//! probe after a rest, see [`super::gate`]. One answer that is a verdict, of whatever package, closes it.

use std::time::{Duration, Instant};

use super::retry::Backoff;

/// Failures in a row that open it: more than one bad package or one lost connection make, fewer than a crowd.
pub const FAILURES_MAX: u32 = 5;

/// One target's breaker.
#[derive(Debug)]
pub struct Breaker {
    failures: u32,
    rest: Backoff,
    down_since: Option<Instant>,
    opened: u64,
}

impl Breaker {
    /// Rests begin with `rest_min` and double up to `rest_max`.
    pub fn new(rest_min: Duration, rest_max: Duration, seed: u64) -> Breaker {
        Breaker { failures: 0, rest: Backoff::new(rest_min, rest_max, seed), down_since: None, opened: 0 }
    }

    /// One more failure, of a probe or not. Gives how long the target is to rest, if it is to.
    pub fn failed(&mut self, now: Instant, is_probe: bool) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        if self.down_since.is_some() {
            // Others were on their way when it opened; they do not lengthen the rest.
            return is_probe.then(|| self.rest.next_wait());
        }
        if self.failures < FAILURES_MAX {
            return None;
        }
        self.down_since = Some(now);
        self.opened += 1;
        Some(self.rest.next_wait())
    }

    /// The target has answered. True if it had been down.
    pub fn answered(&mut self) -> bool {
        self.failures = 0;
        self.rest.reset();
        self.down_since.take().is_some()
    }

    /// Since when it is down.
    pub fn down_since(&self) -> Option<Instant> {
        self.down_since
    }

    /// How often it has opened.
    pub fn opened(&self) -> u64 {
        self.opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn failures_in_a_row_open_it_and_a_probe_lengthens_the_rest() {
        let mut breaker = Breaker::new(S, 30 * S, 1);
        let now = Instant::now();
        for _ in 0..3 {
            for _ in 1..FAILURES_MAX {
                assert_eq!(breaker.failed(now, false), None);
            }
            assert!(!breaker.answered(), "an answer in between starts the count afresh");
        }
        let rests: Vec<Duration> = (0..FAILURES_MAX).filter_map(|_| breaker.failed(now, false)).collect();
        assert_eq!(rests.len(), 1);
        assert!(rests[0] <= S && rests[0] >= S / 2);
        assert_eq!(breaker.down_since(), Some(now));
        assert_eq!(breaker.failed(now + S, false), None, "it was under way");
        let second = breaker.failed(now + S, true).unwrap();
        assert!(second >= S && second <= 2 * S, "{second:?}");
        assert_eq!((breaker.down_since(), breaker.opened()), (Some(now), 1));
        assert!(breaker.answered());
        assert_eq!((breaker.down_since(), breaker.opened()), (None, 1));
    }
}
