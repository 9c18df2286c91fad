//! How fast a backlog is sent, and when it will be gone. Pure: the time is an argument.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A pause in the traffic lets this much go at once afterwards, and no more.
const BURST: Duration = Duration::from_millis(500);

/// What was sent in this time counts half of what is sent now, for the estimate.
const HALF_LIFE: Duration = Duration::from_secs(30);

/// Slower than this it does not end in any time that is worth naming.
const RATE_MIN: f64 = 1.0;

/// A bound on bytes a second, one for all shards: a backlog may lie with one of them, and a lock for every window costs nothing.
#[derive(Debug, Default)]
pub struct Pace {
    bytes_per_s: u64,
    /// When all that was let go so far will have had its time.
    paid: Mutex<Option<Instant>>,
}

impl Pace {
    /// 0: no bound.
    pub fn new(bytes_per_s: u64) -> Pace {
        Pace { bytes_per_s, paid: Mutex::default() }
    }

    /// How long these bytes have to wait until they may go.
    pub fn take(&self, now: Instant, bytes: u64) -> Duration {
        if self.bytes_per_s == 0 {
            return Duration::ZERO;
        }
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let mut paid = self.paid.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let from = paid.map_or(now, |paid| paid.max(earliest));
        *paid = Some(from + Duration::from_secs_f64(bytes as f64 / self.bytes_per_s as f64));
        from.saturating_duration_since(now)
    }
}

/// When a backlog will be gone, by how fast it went lately.
#[derive(Debug, Default)]
pub struct Eta {
    /// Bytes a second, as of `seen`.
    rate: f64,
    seen: Option<Instant>,
}

impl Eta {
    /// So many bytes have gone.
    pub fn done(&mut self, now: Instant, bytes: u64) {
        let Some(seen) = self.seen.replace(now) else { return };
        let took = now.saturating_duration_since(seen).as_secs_f64().max(0.001);
        let old = (-took / HALF_LIFE.as_secs_f64()).exp2();
        let current = bytes as f64 / took;
        self.rate = if self.rate == 0.0 { current } else { self.rate * old + current * (1.0 - old) };
    }

    /// How long `bytes` will take: zero for none, no time if nothing moves.
    pub fn left(&self, now: Instant, bytes: u64) -> Option<Duration> {
        if bytes == 0 {
            return Some(Duration::ZERO);
        }
        let silence = now.saturating_duration_since(self.seen?).as_secs_f64();
        let rate = self.rate * (-silence / HALF_LIFE.as_secs_f64()).exp2();
        (rate >= RATE_MIN).then(|| Duration::from_secs_f64(bytes as f64 / rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_pace_is_kept_and_a_pause_is_not_made_up_for() {
        let (pace, mut now) = (Pace::new(1000), Instant::now());
        let start = now;
        for _ in 0..100 {
            now += pace.take(now, 500);
        }
        assert_eq!(now - start, Duration::from_millis(49_500));
        now += 100 * S;
        let waits: Vec<Duration> = (0..4).map(|_| pace.take(now, 500)).collect();
        let half = Duration::from_millis(500);
        assert_eq!(waits, [Duration::ZERO, Duration::ZERO, half, S]);
        assert_eq!(Pace::new(0).take(now, u64::MAX), Duration::ZERO);
    }

    #[test]
    fn an_estimate_follows_what_is_done_and_ends_with_it() {
        let (mut eta, mut now) = (Eta::default(), Instant::now());
        assert_eq!((eta.left(now, 0), eta.left(now, 10)), (Some(Duration::ZERO), None));
        for _ in 0..200 {
            eta.done(now, 1000);
            now += S / 2;
        }
        let left = eta.left(now, 200_000).unwrap();
        assert!(left >= 95 * S && left <= 105 * S, "{left:?}");
        assert!(eta.left(now + 60 * S, 200_000).unwrap() >= 380 * S, "it stands still");
        assert_eq!(eta.left(now + 3600 * S, 200_000), None);
    }
}
