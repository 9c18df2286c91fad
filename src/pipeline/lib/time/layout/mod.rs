//! Go's layouts: a date written as it would look at 15:04:05 on January 2, 2006, in a zone seven hours west, called MST.
//!
//! [`Layout::compile`] takes one apart once; [`Layout::parse`] reads texts by it as `time.ParseInLocation` does, and
//! [`Layout::format`] writes them as `Time.Format` does.

mod format;
mod parse;

#[cfg(test)]
mod tests;

pub use parse::{Parsed, ZoneMark, full_year, number_of_offset, zone_name_len};

/// The longest layout that is compiled; what follows is taken literally. Real ones have a tenth of this.
const LAYOUT_BYTES_MAX: usize = 4_096;

/// A piece of a layout that stands for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    LongYear,
    Year,
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    UpperHalf,
    LowerHalf,
    ZoneName,
    Offset(OffsetStyle),
    /// Exactly so many digits of a second, with the point or comma before them.
    Fraction {
        digits: usize,
        comma: bool,
    },
    /// As many digits as there are, written without zeros at the end.
    LooseFraction {
        digits: usize,
        comma: bool,
    },
}

/// How a distance from UTC is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OffsetStyle {
    /// UTC itself is a `Z`.
    zulu: bool,
    colon: bool,
    parts: Parts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parts {
    Hours,
    Minutes,
    Seconds,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    /// What stands before the field.
    literal: Box<str>,
    field: Field,
    /// The field as the layout writes it, for what is said when a text does not fit.
    written: Box<str>,
}

/// A layout, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    text: Box<str>,
    pieces: Vec<Piece>,
    /// What stands behind the last field.
    rest: Box<str>,
}

/// The names Go has for layouts, and what they stand for.
const NAMED: [(&str, &str); 15] = [
    ("ANSIC", "Mon Jan _2 15:04:05 2006"),
    ("UnixDate", "Mon Jan _2 15:04:05 MST 2006"),
    ("RubyDate", "Mon Jan 02 15:04:05 -0700 2006"),
    ("RFC822", "02 Jan 06 15:04 MST"),
    ("RFC822Z", "02 Jan 06 15:04 -0700"),
    ("RFC850", "Monday, 02-Jan-06 15:04:05 MST"),
    ("RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"),
    ("RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"),
    ("RFC3339", "2006-01-02T15:04:05Z07:00"),
    ("RFC3339Nano", "2006-01-02T15:04:05.999999999Z07:00"),
    ("Kitchen", "3:04PM"),
    ("Stamp", "Jan _2 15:04:05"),
    ("StampMilli", "Jan _2 15:04:05.000"),
    ("StampMicro", "Jan _2 15:04:05.000000"),
    ("StampNano", "Jan _2 15:04:05.000000000"),
];

impl Layout {
    pub fn compile(text: &str) -> Layout {
        let mut pieces = Vec::new();
        let mut literal_from = 0;
        let mut at = 0;
        while at < text.len().min(LAYOUT_BYTES_MAX) {
            match field_at(text.as_bytes(), at) {
                Some((field, len)) => {
                    pieces.push(Piece {
                        literal: part(text, literal_from, at),
                        field,
                        written: part(text, at, at + len),
                    });
                    at += len;
                    literal_from = at;
                }
                None => at += 1,
            }
        }
        Layout { text: text.into(), pieces, rest: part(text, literal_from, text.len()) }
    }

    /// A layout by the name Go has for it.
    pub fn named(name: &str) -> Option<Layout> {
        let (_, layout) = NAMED.iter().find(|(known, _)| *known == name)?;
        Some(Layout::compile(layout))
    }
}

/// Fields begin and end at ASCII characters, so that the cuts are between characters.
fn part(text: &str, from: usize, to: usize) -> Box<str> {
    text.get(from..to).expect("BUG: a layout was cut inside a character").into()
}

/// The field that begins at a byte of a layout, and its length.
fn field_at(layout: &[u8], at: usize) -> Option<(Field, usize)> {
    let rest = layout.get(at..)?;
    let starts = |what: &str| rest.starts_with(what.as_bytes());
    match rest.first()? {
        b'J' if starts("January") => Some((Field::LongMonth, 7)),
        b'J' if starts("Jan") && !lower_case(rest.get(3)) => Some((Field::Month, 3)),
        b'M' if starts("Monday") => Some((Field::LongWeekday, 6)),
        b'M' if starts("Mon") && !lower_case(rest.get(3)) => Some((Field::Weekday, 3)),
        b'M' if starts("MST") => Some((Field::ZoneName, 3)),
        b'0' => zero(rest),
        b'1' if starts("15") => Some((Field::Hour, 2)),
        b'1' => Some((Field::NumMonth, 1)),
        b'2' if starts("2006") => Some((Field::LongYear, 4)),
        b'2' => Some((Field::Day, 1)),
        // The underscore before a year is no padding.
        b'_' if starts("_2006") => None,
        b'_' if starts("__2") => Some((Field::UnderYearDay, 3)),
        b'_' if starts("_2") => Some((Field::UnderDay, 2)),
        b'3' => Some((Field::Hour12, 1)),
        b'4' => Some((Field::Minute, 1)),
        b'5' => Some((Field::Second, 1)),
        b'P' if starts("PM") => Some((Field::UpperHalf, 2)),
        b'p' if starts("pm") => Some((Field::LowerHalf, 2)),
        b'-' => offset(rest, "-07", false),
        b'Z' => offset(rest, "Z07", true),
        b'.' | b',' => fraction(rest),
        _ => None,
    }
}

fn lower_case(byte: Option<&u8>) -> bool {
    byte.is_some_and(u8::is_ascii_lowercase)
}

fn zero(rest: &[u8]) -> Option<(Field, usize)> {
    if rest.starts_with(b"002") {
        return Some((Field::ZeroYearDay, 3));
    }
    let field = match rest.get(1)? {
        b'1' => Field::ZeroMonth,
        b'2' => Field::ZeroDay,
        b'3' => Field::ZeroHour12,
        b'4' => Field::ZeroMinute,
        b'5' => Field::ZeroSecond,
        b'6' => Field::Year,
        _ => return None,
    };
    Some((field, 2))
}

fn offset(rest: &[u8], start: &str, zulu: bool) -> Option<(Field, usize)> {
    let behind = rest.strip_prefix(start.as_bytes())?;
    let (colon, parts, len) = if behind.starts_with(b"0000") {
        (false, Parts::Seconds, 4)
    } else if behind.starts_with(b":00:00") {
        (true, Parts::Seconds, 6)
    } else if behind.starts_with(b"00") {
        (false, Parts::Minutes, 2)
    } else if behind.starts_with(b":00") {
        (true, Parts::Minutes, 3)
    } else {
        (false, Parts::Hours, 0)
    };
    Some((Field::Offset(OffsetStyle { zulu, colon, parts }), start.len() + len))
}

/// A point or comma with zeros or nines behind it, and no other digit after those.
fn fraction(rest: &[u8]) -> Option<(Field, usize)> {
    let digit = *rest.get(1).filter(|byte| matches!(byte, b'0' | b'9'))?;
    let digits = rest.iter().skip(1).take_while(|byte| **byte == digit).count();
    if rest.get(1 + digits).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let comma = rest.first() == Some(&b',');
    let field = if digit == b'0' {
        Field::Fraction { digits, comma }
    } else {
        Field::LooseFraction { digits, comma }
    };
    Some((field, 1 + digits))
}
