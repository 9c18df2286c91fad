//! Time: the precision of a request, its recognition, and what stands in for a time that is not there.

/// How the timestamps of a request are scaled to nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// No `precision` parameter: guessed from the size of each timestamp.
    #[default]
    Auto,
    Nanos,
    Micros,
    Millis,
    Seconds,
    Minutes,
    Hours,
}

/// Below this a timestamp without precision is in seconds; 1,000 times as much is milliseconds, and so on.
/// (DataKit divides: `ts / 10^9 < 10`.)
const AUTO_SECONDS_BELOW: i64 = 10_000_000_000;
const AUTO_MILLIS_BELOW: i64 = 10_000_000_000_000;
const AUTO_MICROS_BELOW: i64 = 10_000_000_000_000_000;

/// A point further from now than this is moved to now, where the correction is on.
pub const CORRECTION_NS: u64 = 2 * 3600 * 1_000_000_000;

impl Precision {
    /// The value of the `precision` parameter. Empty is absent; a word nobody knows means nanoseconds, without
    /// recognition (so does the recorded DataKit).
    pub fn from_param(value: &str) -> Precision {
        match value {
            "" => Precision::Auto,
            "u" => Precision::Micros,
            "ms" => Precision::Millis,
            "s" => Precision::Seconds,
            "m" => Precision::Minutes,
            "h" => Precision::Hours,
            _ => Precision::Nanos,
        }
    }

    fn factor(self, timestamp: i64) -> i64 {
        match self {
            Precision::Auto if timestamp < AUTO_SECONDS_BELOW => 1_000_000_000,
            Precision::Auto if timestamp < AUTO_MILLIS_BELOW => 1_000_000,
            Precision::Auto if timestamp < AUTO_MICROS_BELOW => 1_000,
            Precision::Auto | Precision::Nanos => 1,
            Precision::Micros => 1_000,
            Precision::Millis => 1_000_000,
            Precision::Seconds => 1_000_000_000,
            Precision::Minutes => 60_000_000_000,
            Precision::Hours => 3_600_000_000_000,
        }
    }
}

/// A point's time in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// As the client meant it.
    Given(i64),
    /// Absent or zero: now.
    Now,
    /// Negative: now. (DataKit says nothing of it, not even to strict clients; here those are told.)
    Negative,
    /// Past what nanoseconds in 64 bits can say: now, with a warning. (DataKit wraps around.)
    OutOfRange,
}

/// Scales a timestamp to nanoseconds.
#[inline(always)]
pub fn resolve(timestamp: Option<i64>, precision: Precision) -> Resolved {
    match timestamp {
        None | Some(0) => Resolved::Now,
        Some(timestamp) if timestamp < 0 => Resolved::Negative,
        Some(timestamp) => match timestamp.checked_mul(precision.factor(timestamp)) {
            Some(ns) => Resolved::Given(ns),
            None => Resolved::OutOfRange,
        },
    }
}

/// As [`resolve`], for protobuf bodies: there a negative time is scaled like any other (recorded; to the recognition it
/// is in seconds).
pub fn resolve_signed(timestamp: i64, precision: Precision) -> Resolved {
    match timestamp {
        0 => Resolved::Now,
        _ => match timestamp.checked_mul(precision.factor(timestamp)) {
            Some(ns) => Resolved::Given(ns),
            None => Resolved::OutOfRange,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognition_has_the_recorded_thresholds() {
        let auto = |ts| resolve(Some(ts), Precision::Auto);
        assert_eq!(auto(1), Resolved::Given(1_000_000_000));
        assert_eq!(auto(1_000_000_000), Resolved::Given(1_000_000_000_000_000_000));
        assert_eq!(auto(99_999_999_999), Resolved::Given(99_999_999_999_000_000));
        assert_eq!(auto(10_000_000_000_000), Resolved::Given(10_000_000_000_000_000));
        assert_eq!(auto(9_223_372_036_854_775), Resolved::Given(9_223_372_036_854_775_000));
        assert_eq!(auto(10_000_000_000_000_000), Resolved::Given(10_000_000_000_000_000));
    }

    #[test]
    fn what_does_not_fit_is_out_of_range_and_never_wraps() {
        assert_eq!(resolve(Some(9_999_999_999), Precision::Auto), Resolved::OutOfRange);
        assert_eq!(resolve(Some(1_700_000_000_000_000_000), Precision::Millis), Resolved::OutOfRange);
        assert_eq!(resolve(Some(-1), Precision::Nanos), Resolved::Negative);
        assert_eq!(resolve(Some(0), Precision::Hours), Resolved::Now);
        assert_eq!(resolve(None, Precision::Hours), Resolved::Now);
    }

    #[test]
    fn signed_times_are_scaled_as_they_are() {
        assert_eq!(resolve_signed(-5, Precision::Auto), Resolved::Given(-5_000_000_000));
        assert_eq!(resolve_signed(-5, Precision::Millis), Resolved::Given(-5_000_000));
        assert_eq!(resolve_signed(i64::MIN, Precision::Auto), Resolved::OutOfRange);
        assert_eq!(resolve_signed(i64::MIN, Precision::Nanos), Resolved::Given(i64::MIN));
        assert_eq!(resolve_signed(0, Precision::Auto), Resolved::Now);
        for time in [1, 9_999_999_999, 1_700_000_000_000_000_000] {
            assert_eq!(resolve_signed(time, Precision::Auto), resolve(Some(time), Precision::Auto));
        }
    }

    #[test]
    fn unknown_words_mean_nanoseconds() {
        for word in ["n", "ns", "us", "S", "d", "garbage"] {
            assert_eq!(Precision::from_param(word), Precision::Nanos, "{word}");
        }
        assert_eq!(Precision::from_param(""), Precision::Auto);
        assert_eq!(resolve(Some(472_222), Precision::Hours), Resolved::Given(1_699_999_200_000_000_000));
    }
}
