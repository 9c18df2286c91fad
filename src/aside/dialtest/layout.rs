//! Go's time layouts: a time shown the way the reference time `Mon Jan 2 15:04:05 MST 2006` is written. UTC throughout.

use jiff::Timestamp;
use jiff::civil::{DateTime, Weekday};
use jiff::tz::Offset;

/// The elements, longer ones before those they begin with.
const ELEMENTS: [&str; 38] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "-07:00:00",
    "-07:00",
    "-070000",
    "-0700",
    "-07",
    "Z07:00:00",
    "Z07:00",
    "Z070000",
    "Z0700",
    "Z07",
    "002",
    "__2",
    "_2006",
    "_2",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "PM",
    "pm",
    "1",
    "2",
    "3",
    "4",
    "5",
    ".0",
    ",0",
    ".9",
    ",9",
];

/// `unix_ns` as `layout` says.
pub fn format(layout: &str, unix_ns: i64) -> String {
    let timestamp = Timestamp::from_nanosecond(i128::from(unix_ns)).unwrap_or_default();
    let time = Offset::UTC.to_datetime(timestamp);
    let mut out = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        let taken = ELEMENTS
            .iter()
            .find(|element| rest.starts_with(**element))
            .and_then(|element| push(element, rest, time, &mut out));
        match taken {
            Some(bytes) => rest = rest.get(bytes..).unwrap_or_default(),
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

/// Appends one element, and gives how many bytes of the layout it takes; `None` where it is not meant after all.
fn push(element: &str, rest: &str, time: DateTime, out: &mut String) -> Option<usize> {
    let hour12 = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    // A word goes on: "Jane" and "Month" are no elements.
    let word_ends = |text: &str| !text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let text = match element {
        "January" => MONTHS[usize::from(time.month().unsigned_abs() - 1) % 12].to_owned(),
        "Jan" if word_ends(&rest[3..]) => {
            MONTHS[usize::from(time.month().unsigned_abs() - 1) % 12][..3].to_owned()
        }
        "Monday" => weekday(time).to_owned(),
        "Mon" if word_ends(&rest[3..]) => weekday(time)[..3].to_owned(),
        "MST" => "UTC".to_owned(),
        "2006" => format!("{:04}", time.year()),
        "06" => format!("{:02}", time.year().rem_euclid(100)),
        "01" => format!("{:02}", time.month()),
        "1" => time.month().to_string(),
        "02" => format!("{:02}", time.day()),
        "_2" => format!("{:>2}", time.day()),
        // An underscore before a year is one.
        "_2006" => format!("_{:04}", time.year()),
        "2" => time.day().to_string(),
        "002" => format!("{:03}", time.day_of_year()),
        "__2" => format!("{:>3}", time.day_of_year()),
        "15" => format!("{:02}", time.hour()),
        "03" => format!("{hour12:02}"),
        "3" => hour12.to_string(),
        "04" => format!("{:02}", time.minute()),
        "4" => time.minute().to_string(),
        "05" => format!("{:02}", time.second()),
        "5" => time.second().to_string(),
        "PM" => if time.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        "pm" => if time.hour() < 12 { "am" } else { "pm" }.to_owned(),
        "-07:00:00" => "+00:00:00".to_owned(),
        "-07:00" => "+00:00".to_owned(),
        "-070000" => "+000000".to_owned(),
        "-0700" => "+0000".to_owned(),
        "-07" => "+00".to_owned(),
        "Z07:00:00" | "Z07:00" | "Z070000" | "Z0700" | "Z07" => "Z".to_owned(),
        ".0" | ",0" | ".9" | ",9" => return fraction(rest, time, out),
        _ => return None,
    };
    out.push_str(&text);
    Some(element.len())
}

/// A fraction of a second: a point or comma and the same digit over and over, no other digit behind it.
fn fraction(rest: &str, time: DateTime, out: &mut String) -> Option<usize> {
    let bytes = rest.as_bytes();
    let digit = *bytes.get(1)?;
    let count = bytes[1..].iter().take_while(|byte| **byte == digit).count();
    if bytes.get(1 + count).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let nanos = format!("{:09}", time.subsec_nanosecond());
    let digits = nanos.get(..count.min(9)).unwrap_or(&nanos);
    let digits = if digit == b'9' { digits.trim_end_matches('0') } else { digits };
    if !digits.is_empty() {
        out.push(char::from(bytes[0]));
        out.push_str(digits);
    }
    Some(1 + count)
}

const MONTHS: [&str; 12] = [
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

fn weekday(time: DateTime) -> &'static str {
    match time.weekday() {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_gos() {
        // 2026-11-05 09:07:03.012345678 UTC, a Thursday.
        let at = 1_793_869_623_012_345_678;
        for (layout, text) in [
            ("2006-01-02T15:04:05Z07:00", "2026-11-05T09:07:03Z"),
            ("2006-01-02T15:04:05Z", "2026-11-05T09:07:03Z"),
            ("Mon, 02 Jan 2006 15:04:05 MST", "Thu, 05 Nov 2026 09:07:03 UTC"),
            ("Monday, January _2 2006 3:4:5PM -0700", "Thursday, November  5 2026 9:7:3AM +0000"),
            ("06/1/2 03h pm .000 .999999999 .00000000000", "26/11/5 09h am .012 .012345678 .012345678"),
            ("002 __2 -07:00 _2006 1.05", "309 309 +00:00 _2026 11.03"),
            ("Janet Month é plain", "Janet Month é plain"),
            ("", ""),
        ] {
            assert_eq!(format(layout, at), text, "{layout}");
        }
        assert_eq!(format("2006", i64::MIN), "1677");
    }
}
