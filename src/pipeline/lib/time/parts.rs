//! `parse_date`: a date from its parts, each a text.

use super::{
    Nanos, Zone,
    civil::{self, Civil},
};

/// Which part is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Milli,
    Micro,
    Nano,
    Zone,
}

/// The parts of a date; what is absent or empty is now's, or 0 from the second on.
#[derive(Clone, Copy, Debug, Default)]
pub struct DateParts<'a> {
    pub year: Option<&'a str>,
    pub month: Option<&'a str>,
    pub day: Option<&'a str>,
    pub hour: Option<&'a str>,
    pub minute: Option<&'a str>,
    pub second: Option<&'a str>,
    pub milli: Option<&'a str>,
    pub micro: Option<&'a str>,
    pub nano: Option<&'a str>,
    /// UTC if absent.
    pub zone: Option<&'a str>,
}

/// Which part is wrong, and DataKit's words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateError {
    pub part: Part,
    pub text: String,
}

/// The moment that is meant. `local` says what now's year, month, day, hour and minute are.
pub fn parse_date(parts: &DateParts, now: Nanos, local: &Zone) -> Result<Nanos, DateError> {
    let today = local.civil_at(now.div_euclid(civil::SECOND), 0);
    let year = match number(parts.year, Part::Year)? {
        None => today.year,
        Some(year) if year < 0 => return Err(wrong(Part::Year, "year should larger than 0".to_owned())),
        Some(year) if year < 100 => today.year - today.year.rem_euclid(100) + year,
        // Years beyond what nanoseconds hold are nonsense anyway, but must not run over.
        Some(year) => year.min(YEAR_MAX),
    };
    let month = match present(parts.month) {
        None => today.month,
        Some(text) => month(text)?,
    };
    let day = ranged(parts.day, Part::Day, 1, 31, "month day")?.unwrap_or(today.day);
    let hour = ranged(parts.hour, Part::Hour, 0, 23, "hour")?.unwrap_or(today.hour);
    let minute = ranged(parts.minute, Part::Minute, 0, 59, "minute")?.unwrap_or(today.minute);
    let second = ranged(parts.second, Part::Second, 0, 59, "second")?.unwrap_or(0);
    let milli = number(parts.milli, Part::Milli)?.unwrap_or(0);
    let micro = number(parts.micro, Part::Micro)?.unwrap_or(0);
    let nano = number(parts.nano, Part::Nano)?.unwrap_or(0);
    let zone = match present(parts.zone) {
        None => Zone::UTC,
        Some(text) => Zone::for_parse_date(text).map_err(|text| wrong(Part::Zone, text))?,
    };
    // The 31st of a shorter month is in the next one.
    let civil = Civil { year, month, day, hour, minute, second, nanos: 0 };
    let fraction = milli.wrapping_mul(1_000_000).wrapping_add(micro.wrapping_mul(1_000)).wrapping_add(nano);
    Ok(civil::nanos(zone.seconds_of(&civil), fraction))
}

/// Far beyond the years that nanoseconds reach, and far below what days can be counted in.
const YEAR_MAX: i64 = 1_000_000;

fn wrong(part: Part, text: String) -> DateError {
    DateError { part, text }
}

fn present(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn number(text: Option<&str>, part: Part) -> Result<Option<i64>, DateError> {
    let Some(text) = present(text) else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(wrong(part, format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))),
    }
}

fn ranged(text: Option<&str>, part: Part, low: i64, high: i64, what: &str) -> Result<Option<i64>, DateError> {
    let value = number(text, part)?;
    match value {
        Some(value) if !(low..=high).contains(&value) => {
            // Of hours it is said that 24 may be, which it may not.
            let high = if part == Part::Hour { 24 } else { high };
            Err(wrong(part, format!("{what} should between [{low},{high}], got {value}")))
        }
        value => Ok(value),
    }
}

/// A number or an English name.
fn month(text: &str) -> Result<i64, DateError> {
    let Ok(value) = text.parse::<i64>() else {
        return civil::month_of(text).ok_or_else(|| wrong(Part::Month, format!("unknown month {text}")));
    };
    if (1..=12).contains(&value) {
        return Ok(value);
    }
    // The reference prints the text's bytes in hexadecimal.
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    Err(wrong(Part::Month, format!("month should between [1,12], got {hex},")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2021-07-20 10:20:30 UTC.
    const NOW: Nanos = 1_626_776_430_000_000_000;

    #[test]
    fn what_is_absent_is_now() {
        let local = Zone::named("Asia/Tokyo").unwrap();
        let parts = DateParts { minute: Some("5"), zone: Some("+9"), ..DateParts::default() };
        assert_eq!(parse_date(&parts, NOW, &local), Ok(1_626_775_500_000_000_000));
        let parts =
            DateParts { hour: Some(""), second: Some("1"), milli: Some("2"), nano: Some("3"), ..parts };
        assert_eq!(parse_date(&parts, NOW, &local), Ok(1_626_775_501_002_000_003));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |parts: DateParts| parse_date(&parts, NOW, &Zone::UTC).unwrap_err();
        for (parts, part, text) in [
            (
                DateParts { month: Some("13"), ..DateParts::default() },
                Part::Month,
                "month should between [1,12], got 3133,",
            ),
            (
                DateParts { day: Some("32"), ..DateParts::default() },
                Part::Day,
                "month day should between [1,31], got 32",
            ),
            (
                DateParts { hour: Some("24"), ..DateParts::default() },
                Part::Hour,
                "hour should between [0,24], got 24",
            ),
            (
                DateParts { minute: Some("60"), ..DateParts::default() },
                Part::Minute,
                "minute should between [0,59], got 60",
            ),
            (
                DateParts { second: Some("60"), ..DateParts::default() },
                Part::Second,
                "second should between [0,59], got 60",
            ),
            (DateParts { zone: Some("Mars"), ..DateParts::default() }, Part::Zone, "unknown timezone Mars"),
        ] {
            assert_eq!(error(parts), DateError { part, text: text.to_owned() });
        }
    }

    proptest! {
        #[test]
        fn no_part_makes_it_fall(texts in prop::collection::vec("(-?[0-9]{1,20}|[a-z]{0,3})", 9)) {
            let part = |index: usize| texts.get(index).map(String::as_str);
            let parts = DateParts {
                year: part(0), month: part(1), day: part(2), hour: part(3), minute: part(4), second: part(5),
                milli: part(6), micro: part(7), nano: part(8), zone: None,
            };
            drop(parse_date(&parts, NOW, &Zone::UTC));
        }
    }
}
