//! When to try again: jittered exponential backoff, and `Retry-After`. Pure; time and chance are arguments.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// No destination makes us wait longer than this by `Retry-After`: what it says may be absurd, and data piles up here
/// meanwhile.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// A `Retry-After` of zero, or a date that has passed, still waits this long, so that it cannot make a busy loop.
pub const RETRY_AFTER_MIN: Duration = Duration::from_millis(100);

/// Doubling past this many times changes nothing under any sensible cap, and must not overflow.
const DOUBLINGS_MAX: u32 = 20;

/// The waits between attempts at one thing: each twice the one before up to a cap, and of each a random share between
/// half and all, so that what failed together does not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
    chance: u64,
}

impl Backoff {
    /// `seed` is any number that differs between those who wait.
    pub fn new(min: Duration, max: Duration, seed: u64) -> Backoff {
        Backoff { min, max: max.max(min), failures: 0, chance: seed }
    }

    /// How long to wait after one more failure.
    pub fn next_wait(&mut self) -> Duration {
        let doubled = self.min.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX));
        self.failures = self.failures.saturating_add(1);
        jittered(doubled.min(self.max), &mut self.chance)
    }

    /// Failures since the start or the last reset.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Between half of `wait` and all of it.
fn jittered(wait: Duration, chance: &mut u64) -> Duration {
    let half = wait / 2;
    let span = u64::try_from((wait - half).as_nanos()).unwrap_or(u64::MAX);
    let share = if span == 0 { 0 } else { splitmix(chance) % span.saturating_add(1) };
    half + Duration::from_nanos(share)
}

/// SplitMix64: every seed gives a different, even sequence.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Reads `Retry-After`: seconds, or one of the three forms of an HTTP date. Kept between [`RETRY_AFTER_MIN`] and
/// [`RETRY_AFTER_MAX`]. None when it is neither: then the caller's own pause counts.
pub fn retry_after(value: &[u8], now_unix_s: i64) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has mean "very long".
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let at = http_date_unix_s(text)?;
        Duration::from_secs(u64::try_from(at.saturating_sub(now_unix_s)).unwrap_or(0))
    };
    Some(wait.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX))
}

/// RFC 9110 section 5.6.7: the form that is sent today and the two that must still be read. The day of the week is
/// not checked against the date.
fn http_date_unix_s(text: &str) -> Option<i64> {
    let after_weekday = text.split_once(' ')?.1.trim_start();
    let forms = [
        ("%d %b %Y %H:%M:%S GMT", after_weekday),
        ("%d-%b-%y %H:%M:%S GMT", after_weekday),
        ("%b %e %H:%M:%S %Y", after_weekday),
    ];
    let civil = forms.into_iter().find_map(|(form, text)| DateTime::strptime(form, text).ok())?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_up_to_the_cap_and_keep_their_jitter() {
        for seed in 0..200 {
            let mut backoff = Backoff::new(S, 30 * S, seed);
            for expected in [1, 2, 4, 8, 16, 30, 30, 30] {
                let wait = backoff.next_wait();
                assert!(wait >= expected * S / 2, "{wait:?} of {expected}");
                assert!(wait <= expected * S, "{wait:?} of {expected}");
            }
            backoff.reset();
            assert!(backoff.next_wait() <= S);
        }
    }

    #[test]
    fn waits_of_two_seeds_differ_and_of_one_seed_repeat() {
        let waits = |seed| {
            let mut backoff = Backoff::new(S, 30 * S, seed);
            (0..5).map(|_| backoff.next_wait()).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }

    #[test]
    fn backoff_for_ever_does_not_overflow() {
        let mut backoff = Backoff::new(Duration::MAX / 2, Duration::MAX, 1);
        backoff.failures = u32::MAX - 1;
        for _ in 0..3 {
            assert!(backoff.next_wait() >= Duration::MAX / 4);
        }
        let mut zero = Backoff::new(Duration::ZERO, Duration::ZERO, 1);
        assert_eq!(zero.next_wait(), Duration::ZERO);
    }

    #[test]
    fn retry_after_in_every_form() {
        // 1994-11-06T08:49:37Z
        let at = 784_111_777;
        for (value, expected) in [
            ("7", Some(7 * S)),
            (" 7 ", Some(7 * S)),
            ("0", Some(RETRY_AFTER_MIN)),
            ("299", Some(299 * S)),
            ("300", Some(RETRY_AFTER_MAX)),
            ("31536000", Some(RETRY_AFTER_MAX)),
            ("99999999999999999999999999", Some(RETRY_AFTER_MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(17 * S)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(17 * S)),
            ("Sun Nov  6 08:49:37 1994", Some(17 * S)),
            ("Mon, 06 Nov 1994 08:49:37 GMT", Some(17 * S)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(RETRY_AFTER_MIN)),
            ("Fri, 31 Dec 9998 23:59:59 GMT", Some(RETRY_AFTER_MAX)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(RETRY_AFTER_MIN)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 31 Feb 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 25:49:37 GMT", None),
        ] {
            assert_eq!(retry_after(value.as_bytes(), at - 17), expected, "{value:?}");
        }
        assert_eq!(retry_after(b"\xff\xfe", at), None);
        assert_eq!(retry_after(b"Sun, 06 Nov 1994 08:49:37 GMT", i64::MIN), Some(RETRY_AFTER_MAX));
        assert_eq!(retry_after(b"Sun, 06 Nov 1994 08:49:37 GMT", i64::MAX), Some(RETRY_AFTER_MIN));
    }
}
