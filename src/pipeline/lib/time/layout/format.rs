//! Moments as text, by a layout.

use std::fmt::Write as _;

use super::{Field, Layout, OffsetStyle, Parts};
use crate::pipeline::lib::time::{
    Zone,
    civil::{Civil, MONTHS, WEEKDAYS},
};

impl Layout {
    /// The text of a moment, as clocks of the zone show it.
    pub fn format(&self, seconds: i64, nanos: i64, zone: &Zone) -> String {
        let civil = zone.civil_at(seconds, nanos);
        let (offset, name) = zone.describe(seconds);
        let mut out = String::with_capacity(self.text.len() + 16);
        for piece in &self.pieces {
            out.push_str(&piece.literal);
            field(&mut out, piece.field, &civil, offset, &name);
        }
        out.push_str(&self.rest);
        out
    }
}

/// Writing to a string cannot fail; the results are dropped.
fn field(out: &mut String, field: Field, civil: &Civil, offset: i64, name: &str) {
    let month = MONTHS.get(civil.month as usize - 1).copied().unwrap_or_default();
    let weekday = WEEKDAYS.get(civil.weekday()).copied().unwrap_or_default();
    let _ = match field {
        Field::LongYear if civil.year < 0 => write!(out, "-{:04}", -civil.year),
        Field::LongYear => write!(out, "{:04}", civil.year),
        Field::Year => write!(out, "{:02}", civil.year.rem_euclid(100)),
        Field::LongMonth => out.write_str(month),
        Field::Month => out.write_str(&month[..3]),
        Field::NumMonth => write!(out, "{}", civil.month),
        Field::ZeroMonth => write!(out, "{:02}", civil.month),
        Field::LongWeekday => out.write_str(weekday),
        Field::Weekday => out.write_str(&weekday[..3]),
        Field::Day => write!(out, "{}", civil.day),
        Field::UnderDay => write!(out, "{:2}", civil.day),
        Field::ZeroDay => write!(out, "{:02}", civil.day),
        Field::UnderYearDay => write!(out, "{:3}", civil.day_of_year()),
        Field::ZeroYearDay => write!(out, "{:03}", civil.day_of_year()),
        Field::Hour => write!(out, "{:02}", civil.hour),
        Field::Hour12 => write!(out, "{}", civil.hour12()),
        Field::ZeroHour12 => write!(out, "{:02}", civil.hour12()),
        Field::Minute => write!(out, "{}", civil.minute),
        Field::ZeroMinute => write!(out, "{:02}", civil.minute),
        Field::Second => write!(out, "{}", civil.second),
        Field::ZeroSecond => write!(out, "{:02}", civil.second),
        Field::UpperHalf => out.write_str(if civil.hour >= 12 { "PM" } else { "AM" }),
        Field::LowerHalf => out.write_str(if civil.hour >= 12 { "pm" } else { "am" }),
        Field::ZoneName => out.write_str(name),
        Field::Offset(style) => return write_offset(out, style, offset),
        Field::Fraction { digits, comma } => return fraction(out, civil.nanos, digits, comma, false),
        Field::LooseFraction { digits, comma } => return fraction(out, civil.nanos, digits, comma, true),
    };
}

fn write_offset(out: &mut String, style: OffsetStyle, offset: i64) {
    if style.zulu && offset == 0 {
        return out.push('Z');
    }
    let size = offset.abs();
    let (hours, minutes, seconds) = (size / 3_600, size / 60 % 60, size % 60);
    let colon = if style.colon { ":" } else { "" };
    let sign = if offset < 0 { '-' } else { '+' };
    let _ = match style.parts {
        Parts::Hours => write!(out, "{sign}{hours:02}"),
        Parts::Minutes => write!(out, "{sign}{hours:02}{colon}{minutes:02}"),
        Parts::Seconds => write!(out, "{sign}{hours:02}{colon}{minutes:02}{colon}{seconds:02}"),
    };
}

/// Digits of a second. More than nine do not exist and are zeros.
fn fraction(out: &mut String, nanos: i64, digits: usize, comma: bool, loose: bool) {
    let text = format!("{nanos:09}");
    let mut shown = &text[..digits.min(text.len())];
    if loose {
        shown = shown.trim_end_matches('0');
        if shown.is_empty() {
            return;
        }
    }
    out.push(if comma { ',' } else { '.' });
    out.push_str(shown);
    if !loose {
        out.extend(std::iter::repeat_n('0', digits.saturating_sub(text.len())));
    }
}
