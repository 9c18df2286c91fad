//! The calendar: days and seconds since 1970 to civil fields and back, in the proleptic Gregorian calendar.
//!
//! Wider than a calendar library is: scripts hand over any number of seconds, and texts without a year mean year 0.

use super::Nanos;

pub const DAY_SECONDS: i64 = 86_400;
/// Nanoseconds in a second.
pub const SECOND: i64 = 1_000_000_000;

pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A moment's fields in some zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    /// From 1.
    pub month: i64,
    /// From 1.
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    pub nanos: i64,
}

impl Default for Civil {
    /// What a text that says nothing means to Go.
    fn default() -> Civil {
        Civil { year: 0, month: 1, day: 1, hour: 0, minute: 0, second: 0, nanos: 0 }
    }
}

impl Civil {
    /// Fields of a moment `seconds` after 1970 on clocks that are not moved: add a zone's offset before.
    pub fn from_seconds(seconds: i64, nanos: i64) -> Civil {
        let (year, month, day) = from_days(seconds.div_euclid(DAY_SECONDS));
        let left = seconds.rem_euclid(DAY_SECONDS);
        Civil { year, month, day, hour: left / 3_600, minute: left / 60 % 60, second: left % 60, nanos }
    }

    /// Seconds since 1970 on clocks that are not moved.
    pub fn seconds(&self) -> i64 {
        let days = to_days(self.year, self.month, self.day);
        let clock = self.hour * 3_600 + self.minute * 60 + self.second;
        days.wrapping_mul(DAY_SECONDS).wrapping_add(clock)
    }

    /// From 0, Sunday.
    pub fn weekday(&self) -> usize {
        // 1970 began on a Thursday.
        (to_days(self.year, self.month, self.day) + 4).rem_euclid(7) as usize
    }

    /// From 1.
    pub fn day_of_year(&self) -> i64 {
        to_days(self.year, self.month, self.day) - to_days(self.year, 1, 1) + 1
    }

    /// Year and week as ISO 8601 counts them.
    pub fn iso_week(&self) -> (i64, i64) {
        // The week belongs to the year of its Thursday.
        let monday_first = (self.weekday() + 6) as i64 % 7;
        let thursday = to_days(self.year, self.month, self.day) - monday_first + 3;
        let (year, _, _) = from_days(thursday);
        (year, (thursday - to_days(year, 1, 1)) / 7 + 1)
    }

    /// From 0 to 12, never 0 o'clock.
    pub fn hour12(&self) -> i64 {
        match self.hour % 12 {
            0 => 12,
            hour => hour,
        }
    }
}

/// Nanoseconds since 1970; beyond the years 1678 to 2262 they wrap, as Go's do.
pub fn nanos(seconds: i64, nanos: i64) -> Nanos {
    seconds.wrapping_mul(SECOND).wrapping_add(nanos)
}

pub fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970. The month may be any; it is carried into the year.
pub fn to_days(year: i64, month: i64, day: i64) -> i64 {
    let year = year + (month - 1).div_euclid(12);
    let month = (month - 1).rem_euclid(12) + 1;
    // Years begin in March, so that the leap day is the last of one.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_first = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_first + 2) / 5 + 1;
    let month = if march_first < 10 { march_first + 3 } else { march_first - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// A month by its English name or the name's first three letters, in any case. From 1.
pub fn month_of(name: &str) -> Option<i64> {
    let found = MONTHS.iter().position(|month| {
        month.eq_ignore_ascii_case(name)
            || month.get(..3).is_some_and(|short| short.eq_ignore_ascii_case(name))
    });
    found.map(|index| index as i64 + 1)
}

/// Whether a text is a day of the week, or its first three letters, in any case.
pub fn is_weekday(name: &str) -> bool {
    WEEKDAYS.iter().any(|day| {
        day.eq_ignore_ascii_case(name) || day.get(..3).is_some_and(|short| short.eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_there_and_back() {
        for days in (-900_000..900_000).step_by(37) {
            let (year, month, day) = from_days(days);
            assert_eq!(to_days(year, month, day), days);
        }
        assert_eq!(from_days(0), (1970, 1, 1));
        assert_eq!(from_days(19_782), (2024, 2, 29));
        assert_eq!(to_days(0, 1, 1), -719_528);
    }

    #[test]
    fn weeks_as_iso_counts_them() {
        for (year, month, day, expected) in [
            (2021, 1, 3, (2020, 53)),
            (2021, 1, 4, (2021, 1)),
            (2024, 12, 30, (2025, 1)),
            (2020, 12, 31, (2020, 53)),
        ] {
            assert_eq!(
                Civil { year, month, day, ..Civil::default() }.iso_week(),
                expected,
                "{year}-{month}-{day}"
            );
        }
        assert_eq!(Civil { year: 2021, month: 7, day: 20, ..Civil::default() }.weekday(), 2);
    }

    #[test]
    fn any_second_has_fields() {
        for seconds in [i64::MIN, i64::MAX, -1, 0, 1, i64::MIN + 1] {
            assert_eq!(Civil::from_seconds(seconds, 0).seconds(), seconds);
        }
    }
}
