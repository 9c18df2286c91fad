//! Dates of unknown shape, as `default_time` takes them: seven layouts of well-known programs first, and then whatever can be
//! recognised.
//!
//! ```text
//! digits   unix time by their number (10, 13, 16, 19), yyyy, yyyymmdd, yyyymmddhhmmss
//! numbers  yyyy-mm[-dd]  yyyy/mm/dd  yyyy:mm:dd  yyyy.mm[.dd]  mm/dd/yy[yy]  mm:dd:yy[yy]  mm.dd.yy[yy]  2014年04月08日
//! names    2013-Feb-03  3-Feb-2013  3/Feb/2013:15:04:05  3 Feb 2013  3 February 2013
//!          Feb 3, 2013  Feb. 3rd 2013  February 3, '13  Mon Feb 3 15:04:05 2013  Monday, 3 Feb 2013
//! clock    15:04[:05[.999]]  3:04 PM  3:04pm  15:04:05Z  +01:00  -0700  GMT+0100 (anything)  MST 2013  -07 m=anything
//! ```
//!
//! Where a date is ambiguous the month is first. An abbreviation of a zone counts only before a year, and when it is MST:
//! so it is in the parser that DataKit uses, whose answers decide here. What the day lacks is year 0, January, the 1st.

use std::sync::LazyLock;

use super::{
    Nanos, Zone,
    civil::{self, Civil},
    layout::{Layout, Parsed, ZoneMark, full_year, number_of_offset, zone_name_len},
    usual,
};

/// The layouts that come first, each with the program that writes it.
static FIRST: LazyLock<[(Layout, Year); 7]> = LazyLock::new(|| {
    [
        // nginx
        (Layout::compile("02/Jan/2006:15:04:05 -0700"), Year::Written),
        // Redis, and what it wrote before it wrote years
        (Layout::compile("02 Jan 2006 15:04:05.000"), Year::Written),
        (Layout::compile("02 Jan 15:04:05.000 2006"), Year::Missing),
        // MySQL
        (Layout::compile("060102 15:04:05"), Year::Written),
        // gin
        (Layout::compile("2006/01/02 - 15:04:05"), Year::Written),
        // Apache
        (Layout::compile("Mon Jan 2 15:04:05.000000 2006"), Year::Written),
        // PostgreSQL; its UTC is no zone
        (Layout::compile("2006-01-02 15:04:05.000 UTC"), Year::Written),
    ]
});

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Year {
    Written,
    /// This year's is put behind the text.
    Missing,
}

/// The longest text that can be a date; what is longer is none.
const TEXT_BYTES_MAX: usize = 256;

/// The moment that a text means to clocks of the zone. The error is what DataKit puts behind `time convert failed: `.
pub fn default_time(text: &str, zone: &Zone, now: Nanos) -> Result<Nanos, String> {
    if let Some(moment) = usual::moment(text.as_bytes(), zone) {
        return Ok(moment);
    }
    of_any_shape(text, zone, now)
}

/// The same without the short way.
pub(super) fn of_any_shape(text: &str, zone: &Zone, now: Nanos) -> Result<Nanos, String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err("text is too long for a date".to_owned());
    }
    for (layout, year) in FIRST.iter() {
        let moment = match year {
            Year::Written => layout.matches(text).map(|parsed| parsed.nanos(zone)),
            // A look at the end spares most texts the copy.
            Year::Missing if !text.as_bytes().get(3).is_some_and(u8::is_ascii_alphabetic) => None,
            Year::Missing => {
                let year = zone.civil_at(now.div_euclid(civil::SECOND), 0).year;
                layout.matches(&format!("{text} {year:04}")).map(|parsed| parsed.nanos(zone))
            }
        };
        if let Some(moment) = moment.filter(|moment| *moment > 0) {
            return Ok(moment);
        }
    }
    match recognise(text) {
        Ok(Recognised::Moment(moment)) => Ok(moment),
        Ok(Recognised::Date(date)) => Ok(date.nanos(zone)),
        Err(Misfit::Unknown) => Err(format!("Could not find format for {text:?}")),
        Err(Misfit::TooShort) => Err(format!("unrecognized format, too short {text}")),
        Err(Misfit::OutOfRange(what)) => Err(format!("parsing time {text:?}: {what} out of range")),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misfit {
    Unknown,
    TooShort,
    OutOfRange(&'static str),
}

enum Recognised<'a> {
    Moment(Nanos),
    Date(Parsed<'a>),
}

type Step<T> = Result<T, Misfit>;

fn recognise(text: &str) -> Step<Recognised<'_>> {
    let mut date = Date { cursor: Cursor { rest: text.trim_end_matches(' ') }, ..Date::default() };
    match date.cursor.peek().ok_or(Misfit::Unknown)? {
        b'0'..=b'9' => {
            let lead = date.cursor.digits();
            if date.cursor.rest.is_empty() {
                return only_digits(lead);
            }
            date.after_digits(lead)?;
        }
        byte if byte.is_ascii_alphabetic() => date.after_word()?,
        _ => return Err(Misfit::Unknown),
    }
    date.finish().map(Recognised::Date)
}

/// Unix time, or a date without anything between its numbers.
fn only_digits(digits: &str) -> Step<Recognised<'_>> {
    let unix = |unit: i64| {
        let value = digits.parse::<i64>().map_err(|_| Misfit::Unknown)?;
        Ok(Recognised::Moment(value.wrapping_mul(unit)))
    };
    let mut date = Date::default();
    let mut fields = Cursor { rest: digits };
    match digits.len() {
        19 => return unix(1),
        16 => return unix(1_000),
        13 => return unix(1_000_000),
        10 => return unix(civil::SECOND),
        4 => date.year = Some(fields.number(4)?),
        8 | 14 => {
            date.year = Some(fields.number(4)?);
            date.civil.month = fields.number(2)?;
            date.civil.day = fields.number(2)?;
            if digits.len() == 14 {
                date.civil.hour = fields.number(2)?;
                date.civil.minute = fields.number(2)?;
                date.civil.second = fields.number(2)?;
            }
        }
        0..4 => return Err(Misfit::TooShort),
        _ => return Err(Misfit::Unknown),
    }
    date.finish().map(Recognised::Date)
}

/// What is left of a text.
#[derive(Clone, Copy, Default)]
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.rest.as_bytes().first().copied()
    }

    fn eat(&mut self, what: &str) -> bool {
        let behind = self.rest.strip_prefix(what);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    fn expect(&mut self, what: &str) -> Step<()> {
        if self.eat(what) { Ok(()) } else { Err(Misfit::Unknown) }
    }

    fn spaces(&mut self) -> bool {
        let behind = self.rest.trim_start_matches(' ');
        let some = behind.len() < self.rest.len();
        self.rest = behind;
        some
    }

    /// The ASCII bytes at the start that are wanted.
    fn run(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let len = self.rest.bytes().take_while(|byte| byte.is_ascii() && wanted(*byte)).count();
        let (taken, behind) = self.rest.split_at(len);
        self.rest = behind;
        taken
    }

    fn digits(&mut self) -> &'a str {
        self.run(|byte| byte.is_ascii_digit())
    }

    fn letters(&mut self) -> &'a str {
        self.run(|byte| byte.is_ascii_alphabetic())
    }

    /// Exactly so many digits.
    fn number(&mut self, count: usize) -> Step<i64> {
        let (taken, behind) = self.rest.split_at_checked(count).ok_or(Misfit::Unknown)?;
        self.rest = behind;
        number(taken, count, count)
    }

    /// One or two digits, and no more.
    fn small(&mut self) -> Step<i64> {
        number(self.digits(), 1, 2)
    }
}

/// A text of so many digits.
fn number(digits: &str, least: usize, most: usize) -> Step<i64> {
    if digits.len() < least || digits.len() > most || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Misfit::Unknown);
    }
    digits.parse().map_err(|_| Misfit::Unknown)
}

/// Two digits of this century or the last, or four.
fn year(digits: &str) -> Step<i64> {
    match digits.len() {
        2 => Ok(full_year(number(digits, 2, 2)?)),
        _ => number(digits, 4, 4),
    }
}

fn month(name: &str) -> Step<i64> {
    // The one month that English shortens to four letters.
    let name = if name.eq_ignore_ascii_case("sept") { "Sep" } else { name };
    civil::month_of(name).ok_or(Misfit::Unknown)
}

/// A date as far as it is known.
#[derive(Default)]
struct Date<'a> {
    cursor: Cursor<'a>,
    civil: Civil,
    year: Option<i64>,
    /// Of a clock of twelve hours.
    afternoon: Option<bool>,
    zone: Option<ZoneMark<'a>>,
}

impl<'a> Date<'a> {
    fn after_digits(&mut self, lead: &'a str) -> Step<()> {
        let separator = self.cursor.rest.chars().next().ok_or(Misfit::Unknown)?;
        self.cursor.rest = &self.cursor.rest[separator.len_utf8()..];
        let letter_next = self.cursor.peek().is_some_and(|byte| byte.is_ascii_alphabetic());
        match separator {
            '-' | '−' if lead.len() == 4 && letter_next => {
                self.year = Some(year(lead)?);
                self.civil.month = month(self.cursor.letters())?;
                self.cursor.expect("-")?;
                self.civil.day = self.cursor.small()?;
                self.maybe_clock(" ")
            }
            '-' | '−' if lead.len() == 4 => {
                self.year_first(lead, "-")?;
                match self.cursor.peek() {
                    Some(b'+' | b'-') => self.offset_and_rest(),
                    _ if self.cursor.eat("T") => self.clock(),
                    _ => self.maybe_clock(" "),
                }
            }
            '-' | '/' | ' ' if letter_next => {
                self.day_first(lead, separator)?;
                self.cursor.eat(",");
                let clock = if separator == '/' && self.cursor.rest.starts_with(':') { ":" } else { " " };
                self.maybe_clock(clock)
            }
            '/' | ':' | '.' => {
                let between = match separator {
                    '/' => "/",
                    ':' => ":",
                    _ => ".",
                };
                if lead.len() == 4 {
                    self.year_first(lead, between)?;
                } else {
                    self.civil.month = number(lead, 1, 2)?;
                    self.civil.day = self.cursor.small()?;
                    self.cursor.expect(between)?;
                    self.year = Some(year(self.cursor.digits())?);
                }
                // Behind points no clock is taken.
                if separator == '.' { self.end() } else { self.maybe_clock(" ") }
            }
            '年' => {
                self.year = Some(year(lead)?);
                self.civil.month = self.cursor.number(2)?;
                self.cursor.expect("月")?;
                self.civil.day = self.cursor.number(2)?;
                self.cursor.expect("日")?;
                self.maybe_clock(" ")
            }
            _ => Err(Misfit::Unknown),
        }
    }

    /// What is behind the year and the first separator.
    fn year_first(&mut self, lead: &str, between: &str) -> Step<()> {
        self.year = Some(year(lead)?);
        self.civil.month = self.cursor.small()?;
        if self.cursor.eat(between) {
            self.civil.day = self.cursor.small()?;
        }
        Ok(())
    }

    /// Day, name of a month, year. The cursor is at the name.
    fn day_first(&mut self, lead: &str, separator: char) -> Step<()> {
        self.civil.day = number(lead, 1, 2)?;
        self.civil.month = month(self.cursor.letters())?;
        match separator {
            ' ' => _ = self.cursor.eat(".") || self.cursor.eat(","),
            '/' => self.cursor.expect("/")?,
            _ => self.cursor.expect("-")?,
        }
        self.cursor.spaces();
        self.cursor.eat("'");
        self.year = Some(year(self.cursor.digits())?);
        Ok(())
    }

    fn after_word(&mut self) -> Step<()> {
        let word = self.cursor.letters();
        if !civil::is_weekday(word) {
            return self.month_first(word);
        }
        self.cursor.eat(",");
        if !self.cursor.spaces() {
            return Err(Misfit::Unknown);
        }
        if self.cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            let lead = self.cursor.digits();
            let separator = if self.cursor.eat("-") { '-' } else { ' ' };
            self.cursor.spaces();
            self.day_first(lead, separator)?;
            self.cursor.eat(",");
            return self.maybe_clock(" ");
        }
        let word = self.cursor.letters();
        self.month_first(word)
    }

    /// Name of a month, day, perhaps a year. The cursor is behind the name.
    fn month_first(&mut self, name: &str) -> Step<()> {
        self.civil.month = month(name)?;
        self.cursor.eat(".");
        if !self.cursor.spaces() {
            return Err(Misfit::Unknown);
        }
        self.civil.day = self.cursor.small()?;
        let suffix = self.cursor.letters();
        if !suffix.is_empty()
            && !["st", "nd", "rd", "th"].iter().any(|known| known.eq_ignore_ascii_case(suffix))
        {
            return Err(Misfit::Unknown);
        }
        self.cursor.eat(",");
        if self.cursor.rest.is_empty() {
            return Ok(());
        }
        if !self.cursor.spaces() {
            return Err(Misfit::Unknown);
        }
        let quoted = self.cursor.eat("'");
        let mut ahead = self.cursor;
        let digits = ahead.digits();
        // A colon makes it an hour: the year may be behind the clock.
        if !quoted && ahead.peek() == Some(b':') {
            return self.clock();
        }
        self.year = Some(year(digits)?);
        self.cursor = ahead;
        self.cursor.eat(",");
        self.maybe_clock(" ")
    }

    /// The end, or a clock behind a separator.
    fn maybe_clock(&mut self, separator: &str) -> Step<()> {
        if self.cursor.rest.is_empty() {
            return Ok(());
        }
        self.cursor.expect(separator)?;
        self.cursor.spaces();
        if self.cursor.eat("at ") || self.cursor.eat("AT ") {
            self.cursor.spaces();
        }
        self.clock()
    }

    fn end(&self) -> Step<()> {
        if self.cursor.rest.is_empty() { Ok(()) } else { Err(Misfit::Unknown) }
    }

    fn clock(&mut self) -> Step<()> {
        self.civil.hour = self.cursor.small()?;
        self.cursor.expect(":")?;
        self.civil.minute = self.cursor.small()?;
        if self.cursor.eat(":") {
            self.civil.second = self.cursor.small()?;
            if matches!(self.cursor.peek(), Some(b'.' | b',' | b':')) {
                self.cursor.rest = &self.cursor.rest[1..];
                self.fraction()?;
            }
        }
        self.cursor.spaces();
        self.half();
        self.cursor.spaces();
        self.behind_clock()
    }

    fn fraction(&mut self) -> Step<()> {
        let digits = self.cursor.digits();
        if digits.is_empty() {
            return Err(Misfit::Unknown);
        }
        // What is finer than nanoseconds is dropped.
        let kept = &digits[..digits.len().min(9)];
        self.civil.nanos = number(kept, 1, 9)? * 10_i64.pow(9 - kept.len() as u32);
        Ok(())
    }

    /// AM or PM, if it is there.
    fn half(&mut self) {
        let mut ahead = self.cursor;
        let word = ahead.letters();
        let afternoon = word.eq_ignore_ascii_case("pm");
        if afternoon || word.eq_ignore_ascii_case("am") {
            self.afternoon = Some(afternoon);
            self.cursor = ahead;
        }
    }

    /// Zone, year, and what else is put there.
    fn behind_clock(&mut self) -> Step<()> {
        match self.cursor.peek() {
            None => Ok(()),
            // Hours alone are passed over, unless a name is before them.
            Some(b'+' | b'-') if self.cursor.rest.len() == "+08".len() => {
                self.offset_and_rest()?;
                self.zone = None;
                Ok(())
            }
            Some(b'+' | b'-') => self.offset_and_rest(),
            Some(b'0'..=b'9') if self.year.is_none() => {
                self.year = Some(number(self.cursor.digits(), 4, 4)?);
                self.end()
            }
            Some(b'Z') if self.cursor.rest.len() == 1 => {
                self.zone = Some(ZoneMark::Utc);
                Ok(())
            }
            Some(byte) if byte.is_ascii_alphabetic() => self.zone_name(),
            Some(_) => Err(Misfit::Unknown),
        }
    }

    /// A distance from UTC, and a year or anything behind it.
    fn offset_and_rest(&mut self) -> Step<()> {
        let (sign, _) = self.cursor.rest.split_at(1);
        let whole = self.cursor.rest;
        self.cursor.rest = &self.cursor.rest[sign.len()..];
        let len = 1 + self.cursor.run(|byte| byte.is_ascii_digit() || byte == b':').len();
        let offset = whole.get(..len).and_then(number_of_offset).ok_or(Misfit::Unknown)?;
        self.zone = Some(ZoneMark::Offset(offset));
        if self.cursor.rest.is_empty() {
            return Ok(());
        }
        if !self.cursor.spaces() {
            return Err(Misfit::Unknown);
        }
        let mut ahead = self.cursor;
        let digits = ahead.digits();
        if self.year.is_none() && digits.len() == 4 {
            self.year = Some(year(digits)?);
        }
        // The zone once more, its name, what Go's clocks add: nothing that changes the moment.
        Ok(())
    }

    fn zone_name(&mut self) -> Step<()> {
        let name = self.cursor.run(|byte| byte.is_ascii_alphabetic() || byte == b'/' || byte == b'_');
        if matches!(self.cursor.peek(), Some(b'+' | b'-')) {
            self.offset_and_rest()?;
            // Go believes the name, and not what it is said to be away from.
            if name == "UTC" {
                self.zone = Some(ZoneMark::Utc);
            }
            return Ok(());
        }
        if self.cursor.rest.is_empty() {
            if name == "MST" {
                self.zone = Some(ZoneMark::Name(name));
            }
            return Ok(());
        }
        if self.year.is_some() || !self.cursor.spaces() {
            return Err(Misfit::Unknown);
        }
        self.year = Some(number(self.cursor.digits(), 4, 4)?);
        self.zone = Some(match name {
            "UTC" => ZoneMark::Utc,
            _ if zone_name_len(name) == Some(name.len()) => ZoneMark::Name(name),
            _ => return Err(Misfit::Unknown),
        });
        self.end()
    }

    fn finish(self) -> Step<Parsed<'a>> {
        let Date { mut civil, year, afternoon, zone, .. } = self;
        civil.year = year.unwrap_or(0);
        let hours = if afternoon.is_some() { 12 } else { 23 };
        let ranges = [
            (civil.month, 1, 12, "month"),
            (civil.hour, 0, hours, "hour"),
            (civil.minute, 0, 59, "minute"),
            (civil.second, 0, 59, "second"),
        ];
        for (value, low, high, what) in ranges {
            if !(low..=high).contains(&value) {
                return Err(Misfit::OutOfRange(what));
            }
        }
        if !(1..=civil::days_in_month(civil.year, civil.month)).contains(&civil.day) {
            return Err(Misfit::OutOfRange("day"));
        }
        match afternoon {
            Some(true) if civil.hour < 12 => civil.hour += 12,
            Some(false) if civil.hour == 12 => civil.hour = 0,
            _ => {}
        }
        Ok(Parsed { civil, zone: zone.unwrap_or(ZoneMark::Local) })
    }
}
