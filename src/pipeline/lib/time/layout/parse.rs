//! Texts read by a layout, with everything Go lets pass: more or fewer spaces, any case of names, a fraction of a second that
//! the layout does not have.

use super::{Field, Layout, OffsetStyle, Parts};
use crate::pipeline::lib::time::{
    Nanos, Zone,
    civil::{self, Civil, MONTHS, WEEKDAYS},
};

/// What a text says of the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneMark<'a> {
    /// Nothing: clocks of whoever asks.
    Local,
    Utc,
    Offset(i64),
    Name(&'a str),
}

/// What a text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<'a> {
    pub civil: Civil,
    pub zone: ZoneMark<'a>,
}

impl Parsed<'_> {
    /// The moment that is meant, in seconds since 1970.
    pub fn seconds(&self, local: &Zone) -> i64 {
        let shown = self.civil.seconds();
        match &self.zone {
            ZoneMark::Local => local.seconds_of(&self.civil),
            ZoneMark::Utc => shown,
            ZoneMark::Offset(offset) => shown.wrapping_sub(*offset),
            ZoneMark::Name(name) => {
                // An abbreviation that nobody knows is Greenwich's, unless it is Greenwich's with a distance.
                let offset = local.offset_of(name, shown).or_else(|| {
                    let hours = name.strip_prefix("GMT")?.parse::<i64>().ok()?;
                    Some(hours * 3_600)
                });
                shown.wrapping_sub(offset.unwrap_or(0))
            }
        }
    }

    /// The moment that is meant, in nanoseconds since 1970.
    pub fn nanos(&self, local: &Zone) -> Nanos {
        civil::nanos(self.seconds(local), self.civil.nanos)
    }
}

/// Why a field is not what the layout has here.
enum Misfit {
    /// Not what the layout has here.
    Shape,
    OutOfRange(&'static str),
}

type Read<'a, T> = Result<(T, &'a str), Misfit>;

/// What has been read so far.
struct State<'a> {
    civil: Civil,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    afternoon: Option<bool>,
    zone: ZoneMark<'a>,
}

/// Where and why a whole text does not fit.
enum Failure<'a> {
    /// At the literal before this piece, or at the one behind the last.
    Literal(usize, &'a str),
    Field(usize, &'a str),
    OutOfRange(&'static str),
    Extra(&'a str),
}

impl Layout {
    /// What a text says by this layout. The error is Go's.
    pub fn parse<'a>(&self, text: &'a str) -> Result<Parsed<'a>, String> {
        self.read(text).map_err(|failure| self.describe(text, &failure))
    }

    /// What a text says by this layout, for callers that have others to try.
    pub fn matches<'a>(&self, text: &'a str) -> Option<Parsed<'a>> {
        self.read(text).ok()
    }

    fn read<'a>(&self, text: &'a str) -> Result<Parsed<'a>, Failure<'a>> {
        let mut state = State {
            civil: Civil::default(),
            month: None,
            day: None,
            day_of_year: None,
            afternoon: None,
            zone: ZoneMark::Local,
        };
        let mut rest = text;
        for (index, piece) in self.pieces.iter().enumerate() {
            rest = skip(rest, &piece.literal).ok_or(Failure::Literal(index, rest))?;
            let next = self.pieces.get(index + 1);
            // The layout's own fraction directly behind takes the digits.
            let fraction_follows = next.is_some_and(|next| {
                next.literal.is_empty()
                    && matches!(next.field, Field::Fraction { .. } | Field::LooseFraction { .. })
            });
            rest = state.take(piece.field, rest, fraction_follows).map_err(|misfit| match misfit {
                Misfit::Shape => Failure::Field(index, rest),
                Misfit::OutOfRange(what) => Failure::OutOfRange(what),
            })?;
        }
        rest = skip(rest, &self.rest).ok_or(Failure::Literal(self.pieces.len(), rest))?;
        if !rest.is_empty() {
            return Err(Failure::Extra(rest));
        }
        state.finish().map_err(Failure::OutOfRange)
    }

    #[cold]
    fn describe(&self, text: &str, failure: &Failure) -> String {
        let (rest, written) = match failure {
            Failure::OutOfRange(what) => return format!("parsing time {text:?}: {what} out of range"),
            Failure::Extra(rest) => return format!("parsing time {text:?}: extra text: {rest:?}"),
            Failure::Literal(index, rest) => {
                (rest, self.pieces.get(*index).map_or(&self.rest, |piece| &piece.literal))
            }
            Failure::Field(index, rest) => {
                (rest, self.pieces.get(*index).map_or(&self.rest, |piece| &piece.written))
            }
        };
        format!("parsing time {text:?} as {:?}: cannot parse {rest:?} as {written:?}", self.text)
    }
}

impl<'a> State<'a> {
    fn take(&mut self, field: Field, text: &'a str, fraction_follows: bool) -> Result<&'a str, Misfit> {
        let civil = &mut self.civil;
        let rest = match field {
            Field::LongYear => {
                if !text.as_bytes().first().is_some_and(u8::is_ascii_digit) {
                    return Err(Misfit::Shape);
                }
                let (year, rest) = digits(text, 4)?;
                civil.year = year;
                rest
            }
            Field::Year => {
                let (year, rest) = digits(text, 2)?;
                civil.year = full_year(year);
                rest
            }
            Field::LongMonth | Field::Month => {
                let (index, rest) = name_of(text, &MONTHS, field == Field::LongMonth)?;
                self.month = Some(index as i64 + 1);
                rest
            }
            Field::NumMonth | Field::ZeroMonth => {
                let (month, rest) = number(text, field == Field::ZeroMonth)?;
                self.month = Some(within(month, 1, 12, "month")?);
                rest
            }
            Field::LongWeekday | Field::Weekday => name_of(text, &WEEKDAYS, field == Field::LongWeekday)?.1,
            Field::Day | Field::UnderDay | Field::ZeroDay => {
                let text =
                    if field == Field::UnderDay { text.strip_prefix(' ').unwrap_or(text) } else { text };
                let (day, rest) = number(text, field == Field::ZeroDay)?;
                self.day = Some(day);
                rest
            }
            Field::UnderYearDay | Field::ZeroYearDay => {
                let padded = text.len() - text.trim_start_matches(' ').len();
                let text = if field == Field::UnderYearDay { &text[padded.min(2)..] } else { text };
                let fixed = if field == Field::ZeroYearDay { 3 } else { 3 - padded.min(2) };
                let (day, rest) = digits(text, fixed)?;
                self.day_of_year = Some(day);
                rest
            }
            Field::Hour => {
                let (hour, rest) = number(text, false)?;
                civil.hour = within(hour, 0, 23, "hour")?;
                rest
            }
            Field::Hour12 | Field::ZeroHour12 => {
                let (hour, rest) = number(text, field == Field::ZeroHour12)?;
                civil.hour = within(hour, 0, 12, "hour")?;
                rest
            }
            Field::Minute | Field::ZeroMinute => {
                let (minute, rest) = number(text, field == Field::ZeroMinute)?;
                civil.minute = within(minute, 0, 59, "minute")?;
                rest
            }
            Field::Second | Field::ZeroSecond => {
                let (second, rest) = number(text, field == Field::ZeroSecond)?;
                civil.second = within(second, 0, 59, "second")?;
                match fraction_len(rest) {
                    Some(len) if !fraction_follows => {
                        civil.nanos = nanos_of(&rest[..len])?;
                        &rest[len..]
                    }
                    _ => rest,
                }
            }
            Field::UpperHalf | Field::LowerHalf => {
                let half = text.get(..2).ok_or(Misfit::Shape)?;
                self.afternoon = Some(match (field, half) {
                    (Field::UpperHalf, "PM") | (Field::LowerHalf, "pm") => true,
                    (Field::UpperHalf, "AM") | (Field::LowerHalf, "am") => false,
                    _ => return Err(Misfit::Shape),
                });
                &text[2..]
            }
            Field::ZoneName => {
                if let Some(rest) = text.strip_prefix("UTC") {
                    self.zone = ZoneMark::Utc;
                    return Ok(rest);
                }
                let len = zone_name_len(text).ok_or(Misfit::Shape)?;
                let (name, rest) = text.split_at(len);
                self.zone = ZoneMark::Name(name);
                rest
            }
            Field::Offset(style) => {
                if let Some(rest) = text.strip_prefix('Z').filter(|_| style.zulu) {
                    self.zone = ZoneMark::Utc;
                    return Ok(rest);
                }
                let (offset, rest) = offset_of(text, style)?;
                self.zone = ZoneMark::Offset(offset);
                rest
            }
            Field::Fraction { digits, .. } => {
                let (taken, rest) = text.split_at_checked(1 + digits).ok_or(Misfit::Shape)?;
                civil.nanos = nanos_of(taken)?;
                rest
            }
            Field::LooseFraction { .. } => match fraction_len(text) {
                Some(len) => {
                    // Nine digits at most, as Go takes them here.
                    let (taken, rest) = text.split_at(len.min(10));
                    civil.nanos = nanos_of(taken)?;
                    rest
                }
                None => text,
            },
        };
        Ok(rest)
    }

    fn finish(self) -> Result<Parsed<'a>, &'static str> {
        let State { mut civil, month, day, day_of_year, afternoon, zone } = self;
        match afternoon {
            Some(true) if civil.hour < 12 => civil.hour += 12,
            Some(false) if civil.hour == 12 => civil.hour = 0,
            _ => {}
        }
        civil.month = month.unwrap_or(1);
        civil.day = day.unwrap_or(1);
        if let Some(of_year) = day_of_year {
            let days = if civil::is_leap(civil.year) { 366 } else { 365 };
            if !(1..=days).contains(&of_year) {
                return Err("day-of-year");
            }
            let found =
                Civil::from_seconds((civil::to_days(civil.year, 1, 1) + of_year - 1) * civil::DAY_SECONDS, 0);
            if month.is_some_and(|month| month != found.month) || day.is_some_and(|day| day != found.day) {
                return Err("day-of-year does not match the date, which is");
            }
            (civil.month, civil.day) = (found.month, found.day);
        }
        if !(1..=civil::days_in_month(civil.year, civil.month)).contains(&civil.day) {
            return Err("day");
        }
        Ok(Parsed { civil, zone })
    }
}

/// A year of two digits: from 1969 to 2068.
pub fn full_year(year: i64) -> i64 {
    if year >= 69 { year + 1_900 } else { year + 2_000 }
}

/// What is left of a text behind a literal; spaces may be more or fewer than the literal has.
fn skip<'a>(mut text: &'a str, literal: &str) -> Option<&'a str> {
    let mut rest = literal;
    while let Some(next) = rest.chars().next() {
        if next == ' ' {
            if !text.is_empty() && !text.starts_with(' ') {
                return None;
            }
            rest = rest.trim_start_matches(' ');
            text = text.trim_start_matches(' ');
        } else {
            text = text.strip_prefix(next)?;
            rest = &rest[next.len_utf8()..];
        }
    }
    Some(text)
}

/// Exactly so many digits.
fn digits(text: &str, count: usize) -> Read<'_, i64> {
    let (taken, rest) = text.split_at_checked(count).ok_or(Misfit::Shape)?;
    if taken.is_empty() || !taken.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Misfit::Shape);
    }
    Ok((decimal(taken), rest))
}

/// One or two digits, or two.
fn number(text: &str, two: bool) -> Read<'_, i64> {
    match digits(text, 2) {
        Err(Misfit::Shape) if !two => digits(text, 1),
        read => read,
    }
}

/// ASCII digits as a number; callers take few.
fn decimal(digits: &str) -> i64 {
    digits.bytes().fold(0_i64, |sum, digit| sum.wrapping_mul(10).wrapping_add(i64::from(digit - b'0')))
}

fn within(value: i64, low: i64, high: i64, what: &'static str) -> Result<i64, Misfit> {
    if (low..=high).contains(&value) { Ok(value) } else { Err(Misfit::OutOfRange(what)) }
}

fn name_of<'a>(text: &'a str, names: &[&str], long: bool) -> Read<'a, usize> {
    for (index, name) in names.iter().enumerate() {
        let name = if long { name } else { &name[..3] };
        if text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            return Ok((index, &text[name.len()..]));
        }
    }
    Err(Misfit::Shape)
}

/// The length of a point or comma and the digits behind it.
fn fraction_len(text: &str) -> Option<usize> {
    let rest = text.strip_prefix(['.', ','])?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then_some(1 + digits)
}

/// A fraction with its point. Digits past the ninth are dropped.
fn nanos_of(fraction: &str) -> Result<i64, Misfit> {
    let digits = fraction.strip_prefix(['.', ',']).ok_or(Misfit::Shape)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Misfit::Shape);
    }
    let kept = &digits[..digits.len().min(9)];
    Ok(decimal(kept) * 10_i64.pow(9 - kept.len() as u32))
}

/// Seconds of `+hhmm` and the like.
fn offset_of(text: &str, style: OffsetStyle) -> Read<'_, i64> {
    let (sign, mut rest) = match text.as_bytes().first() {
        Some(b'+') => (1, &text[1..]),
        Some(b'-') => (-1, &text[1..]),
        _ => return Err(Misfit::Shape),
    };
    let parts = match style.parts {
        Parts::Hours => 1,
        Parts::Minutes => 2,
        Parts::Seconds => 3,
    };
    let mut seconds = 0;
    for (index, unit) in [3_600, 60, 1].into_iter().enumerate().take(parts) {
        if index > 0 && style.colon {
            rest = rest.strip_prefix(':').ok_or(Misfit::Shape)?;
        }
        let (value, behind) = digits(rest, 2)?;
        let high = if index == 0 { 24 } else { 60 };
        let what = ["time zone offset hour", "time zone offset minute", "time zone offset second"][index];
        seconds += within(value, 0, high, what)? * unit;
        rest = behind;
    }
    Ok((sign * seconds, rest))
}

/// Seconds of a distance from UTC with a sign and one to four digits, perhaps a colon between them.
pub fn number_of_offset(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let text = &text[1..];
    let (hours, minutes) = match text.split_once(':') {
        Some(halves) => halves,
        None => text.split_at_checked(2)?,
    };
    let part = |text: &str, max: i64| {
        let good = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        good.then(|| decimal(text)).filter(|value| *value <= max)
    };
    let minutes = if minutes.is_empty() { 0 } else { part(minutes, 60)? };
    Some(sign * (part(hours, 24)? * 3_600 + minutes * 60))
}

/// The length of the abbreviation of a zone that a text begins with, as Go recognises them.
pub fn zone_name_len(text: &str) -> Option<usize> {
    if text.len() < 3 {
        return None;
    }
    if text.starts_with("ChST") || text.starts_with("MeST") {
        return Some(4);
    }
    if let Some(rest) = text.strip_prefix("GMT") {
        return Some(3 + signed_hours_len(rest));
    }
    if text.starts_with(['+', '-']) {
        return Some(signed_hours_len(text)).filter(|len| *len > 0);
    }
    let capitals = text.bytes().take(6).take_while(u8::is_ascii_uppercase).count();
    let ends_in_t = || text.as_bytes().get(capitals - 1) == Some(&b'T');
    match capitals {
        3 => Some(3),
        4 if ends_in_t() || text.starts_with("WITA") => Some(4),
        5 if ends_in_t() => Some(5),
        _ => None,
    }
}

/// The length of a sign and hours below 24 behind it; 0 if there is no such thing.
fn signed_hours_len(text: &str) -> usize {
    if !text.starts_with(['+', '-']) {
        return 0;
    }
    let digits = text.bytes().skip(1).take_while(u8::is_ascii_digit).count();
    // Few digits, so that the number cannot run over.
    match text.get(1..1 + digits.min(4)) {
        Some(hours) if digits > 0 && digits <= 4 && decimal(hours) < 24 => 1 + digits,
        _ => 0,
    }
}
