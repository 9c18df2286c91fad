//! Formats of percent signs, as `datetime` writes them: the directives of strftime, with the flags `-` (no padding), `_`
//! (spaces), `0` (zeros), `^` (capitals), `#` (the other case) and a width. What is no directive is copied.

use std::fmt::Write as _;

use super::{
    Zone,
    civil::{Civil, MONTHS, WEEKDAYS},
};

/// The widest that a script may have a field; more is cut to this.
const WIDTH_MAX: usize = 1_024;
/// The longest text that is written; a format of many wide fields ends here.
const TEXT_BYTES_MAX: usize = 64 * 1_024;

#[derive(Clone, Copy, Default)]
struct Flags {
    padding: Option<Padding>,
    upper: bool,
    swap: bool,
    width: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Padding {
    None,
    Spaces,
    Zeros,
}

struct Moment<'a> {
    civil: Civil,
    seconds: i64,
    offset: i64,
    zone_name: &'a str,
}

/// The text of a moment, as clocks of the zone show it.
pub fn format(pattern: &str, seconds: i64, nanos: i64, zone: &Zone) -> String {
    let (offset, zone_name) = zone.describe(seconds);
    let moment = Moment { civil: zone.civil_at(seconds, nanos), seconds, offset, zone_name: &zone_name };
    let mut out = String::with_capacity(pattern.len() + 24);
    moment.expand(&mut out, pattern);
    out
}

impl Moment<'_> {
    fn expand(&self, out: &mut String, pattern: &str) {
        let mut rest = pattern;
        while let Some(at) = rest.find('%') {
            if out.len() > TEXT_BYTES_MAX {
                return;
            }
            let (before, directive) = rest.split_at(at);
            out.push_str(before);
            let (flags, flags_len) = flags(&directive[1..]);
            let behind = &directive[1 + flags_len..];
            let taken = self.directive(out, behind, flags);
            // What is unknown stands for itself, up to the character that makes it so.
            let len = taken.unwrap_or_else(|| behind.chars().next().map_or(0, char::len_utf8));
            let (copied, left) = directive.split_at(1 + flags_len + len);
            if taken.is_none() {
                out.push_str(copied);
            }
            rest = left;
        }
        out.push_str(rest);
    }

    /// Writes what a directive stands for and says how long the directive is. None if there is no such directive.
    fn directive(&self, out: &mut String, text: &str, flags: Flags) -> Option<usize> {
        let civil = &self.civil;
        let directive = text.chars().next()?;
        match directive {
            'Y' => number(out, civil.year, 4, Padding::Zeros, flags),
            'y' => number(out, civil.year.rem_euclid(100), 2, Padding::Zeros, flags),
            'C' => number(out, civil.year.div_euclid(100), 2, Padding::Zeros, flags),
            'g' => number(out, civil.iso_week().0.rem_euclid(100), 2, Padding::Zeros, flags),
            'G' => number(out, civil.iso_week().0, 4, Padding::Zeros, flags),
            'm' => number(out, civil.month, 2, Padding::Zeros, flags),
            'B' => word(out, self.month(), flags),
            'b' | 'h' => word(out, &self.month()[..3], flags),
            'A' => word(out, self.weekday(), flags),
            'a' => word(out, &self.weekday()[..3], flags),
            'w' => number(out, civil.weekday() as i64, 1, Padding::Zeros, flags),
            'u' => number(out, (civil.weekday() as i64 + 6) % 7 + 1, 1, Padding::Zeros, flags),
            'V' => number(out, civil.iso_week().1, 2, Padding::Zeros, flags),
            'U' => {
                number(out, (civil.day_of_year() + 6 - civil.weekday() as i64) / 7, 2, Padding::Zeros, flags)
            }
            'W' => {
                let monday_first = (civil.weekday() as i64 + 6) % 7;
                number(out, (civil.day_of_year() + 6 - monday_first) / 7, 2, Padding::Zeros, flags);
            }
            'e' => number(out, civil.day, 2, Padding::Spaces, flags),
            'd' => number(out, civil.day, 2, Padding::Zeros, flags),
            'j' => number(out, civil.day_of_year(), 3, Padding::Zeros, flags),
            'k' => number(out, civil.hour, 2, Padding::Spaces, flags),
            'H' => number(out, civil.hour, 2, Padding::Zeros, flags),
            'l' => number(out, civil.hour12(), 2, Padding::Spaces, flags),
            'I' => number(out, civil.hour12(), 2, Padding::Zeros, flags),
            'p' => word(out, if civil.hour < 12 { "AM" } else { "PM" }, flags),
            'P' => word(out, if civil.hour < 12 { "am" } else { "pm" }, flags),
            'M' => number(out, civil.minute, 2, Padding::Zeros, flags),
            'S' => number(out, civil.second, 2, Padding::Zeros, flags),
            's' => number(out, self.seconds, 1, Padding::Zeros, flags),
            'f' => number(out, civil.nanos / 1_000, 6, Padding::Zeros, flags),
            'Z' => word(out, self.zone_name, flags),
            'z' => self.offset(out, 0, flags),
            ':' => {
                let colons = text.bytes().take_while(|byte| *byte == b':').count();
                if colons > 2 || text.as_bytes().get(colons) != Some(&b'z') {
                    return None;
                }
                self.offset(out, colons, flags);
                return Some(colons + 1);
            }
            'c' => self.compound(out, "%a %b %e %H:%M:%S %Y", flags),
            'v' => self.compound(out, "%e-%b-%Y", flags),
            'D' | 'x' => self.compound(out, "%m/%d/%y", flags),
            'F' => self.compound(out, "%Y-%m-%d", flags),
            'R' => self.compound(out, "%H:%M", flags),
            'r' => self.compound(out, "%I:%M:%S %p", flags),
            'T' | 'X' => self.compound(out, "%H:%M:%S", flags),
            '+' => self.compound(out, "%a %b %e %H:%M:%S %Z %Y", flags),
            'n' => out.push('\n'),
            't' => out.push('\t'),
            '%' => out.push('%'),
            _ => return None,
        }
        Some(directive.len_utf8())
    }

    fn month(&self) -> &'static str {
        MONTHS.get(self.civil.month as usize - 1).copied().unwrap_or("???")
    }

    fn weekday(&self) -> &'static str {
        WEEKDAYS.get(self.civil.weekday()).copied().unwrap_or("???")
    }

    /// `+hhmm`, with one colon `+hh:mm`, with two `+hh:mm:ss`.
    fn offset(&self, out: &mut String, colons: usize, flags: Flags) {
        let sign = if self.offset < 0 { '-' } else { '+' };
        let size = self.offset.abs();
        let (hours, minutes, seconds) = (size / 3_600, size / 60 % 60, size % 60);
        let text = match colons {
            0 => format!("{hours:02}{minutes:02}"),
            1 => format!("{hours:02}:{minutes:02}"),
            _ => format!("{hours:02}:{minutes:02}:{seconds:02}"),
        };
        out.push(sign);
        out.extend(std::iter::repeat_n('0', flags.width.saturating_sub(text.len() + 1)));
        out.push_str(&text);
    }

    /// A directive that stands for several.
    fn compound(&self, out: &mut String, pattern: &str, flags: Flags) {
        let mut text = String::new();
        self.expand(&mut text, pattern);
        word(out, &text, flags);
    }
}

/// The flags and the width that a directive begins with, and how long they are.
fn flags(text: &str) -> (Flags, usize) {
    let mut flags = Flags::default();
    let mut len = 0;
    for byte in text.bytes() {
        match byte {
            b'-' => flags.padding = Some(Padding::None),
            b'_' => flags.padding = Some(Padding::Spaces),
            b'^' => flags.upper = true,
            b'#' => flags.swap = true,
            b'0' if flags.width == 0 => flags.padding = Some(Padding::Zeros),
            b'0'..=b'9' => flags.width = (flags.width * 10 + usize::from(byte - b'0')).min(WIDTH_MAX),
            _ => break,
        }
        len += 1;
    }
    (flags, len)
}

fn number(out: &mut String, value: i64, width: usize, padding: Padding, flags: Flags) {
    let width = width.max(flags.width);
    // Writing to a string cannot fail.
    let _ = match flags.padding.unwrap_or(padding) {
        Padding::None => write!(out, "{value}"),
        Padding::Spaces => write!(out, "{value:width$}"),
        Padding::Zeros => write!(out, "{value:0width$}"),
    };
}

fn word(out: &mut String, text: &str, flags: Flags) {
    let missing = flags.width.saturating_sub(text.chars().count());
    let padding = if flags.padding == Some(Padding::Zeros) { '0' } else { ' ' };
    if flags.padding != Some(Padding::None) {
        out.extend(std::iter::repeat_n(padding, missing));
    }
    if flags.upper {
        out.extend(text.chars().flat_map(char::to_uppercase));
    } else if flags.swap {
        // Words in capitals become small, others big.
        if text.chars().any(char::is_lowercase) {
            out.extend(text.chars().flat_map(char::to_uppercase));
        } else {
            out.extend(text.chars().flat_map(char::to_lowercase));
        }
    } else {
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn directives() {
        let zone = Zone::named("America/St_Johns").unwrap();
        for (pattern, expected) in [
            ("%Y %y %C %G %g %V %U %W %j %u %w", "2021 21 20 2020 20 53 01 00 003 7 0"),
            ("%B %b %h %A %a %p %P", "January Jan Jan Sunday Sun AM am"),
            ("%s %f %z %:z %::z %:::z", "1609682645 012345 -0330 -03:30 -03:30:00 %:::z"),
            (
                "%^B|%#b|%#Z|%10a|%-10a|%_5d|%-H|%04e|%9z",
                "JANUARY|JAN|nst|       Sun|Sun|    3|10|0003|-00000330",
            ),
            ("%Q %5 %é %", "%Q %5 %é %"),
            ("100%%%n%t", "100%\n\t"),
        ] {
            assert_eq!(format(pattern, 1_609_682_645, 12_345_678, &zone), expected, "{pattern}");
        }
    }

    #[test]
    fn no_format_takes_the_memory() {
        let text = format(&"%9999999999999999999999Y".repeat(10_000), 0, 0, &Zone::UTC);
        assert!(text.len() <= TEXT_BYTES_MAX + WIDTH_MAX + 10_000 * 24, "{}", text.len());
    }

    proptest! {
        #[test]
        fn no_format_makes_it_fall(pattern in "(%[-_^#0]{0,2}[0-9]{0,3}[a-zA-Z:+%é]|\\PC){0,12}", seconds in any::<i64>()) {
            format(&pattern, seconds, 1, &Zone::UTC);
        }
    }
}
