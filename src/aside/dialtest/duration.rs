//! Durations as Go's `time.ParseDuration` reads them and `Duration.String` prints them: signed nanoseconds.

use std::time::Duration;

use crate::intake::datakit::go_duration;

/// A duration that may be below zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(i64);

impl Span {
    /// Reads `1h2m3.5s`, `-10ms`, `0`; an error is Go's.
    pub fn parse(text: &str) -> Result<Span, String> {
        let invalid = || format!("time: invalid duration {}", quoted(text));
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Span(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total = 0_u64;
        while !rest.is_empty() {
            let whole_end = digits(rest);
            let (whole, after) = rest.split_at(whole_end);
            let (fraction, after) = match after.strip_prefix('.') {
                Some(after) => after.split_at(digits(after)),
                None => ("", after),
            };
            if whole.is_empty() && fraction.is_empty() {
                return Err(invalid());
            }
            let unit_end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_end);
            let unit_ns = match unit {
                "" => return Err(format!("time: missing unit in duration {}", quoted(text))),
                "ns" => 1,
                "us" | "µs" | "μs" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000_u64,
                _ => {
                    let unit = quoted(unit);
                    return Err(format!("time: unknown unit {unit} in duration {}", quoted(text)));
                }
            };
            let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
            let part = whole.checked_mul(unit_ns).ok_or_else(invalid)?;
            // As many digits of a fraction as a nanosecond can have of an hour, and some more.
            let fraction =
                format!("0.{}", fraction.get(..18).unwrap_or(fraction)).parse::<f64>().unwrap_or(0.0);
            let part = part.checked_add((fraction * unit_ns as f64) as u64).ok_or_else(invalid)?;
            total = total.checked_add(part).filter(|total| *total <= 1 << 63).ok_or_else(invalid)?;
            rest = after;
        }
        match (negative, i64::try_from(total)) {
            (false, Ok(total)) => Ok(Span(total)),
            (true, Ok(total)) => Ok(Span(-total)),
            (true, Err(_)) => Ok(Span(i64::MIN)),
            (false, Err(_)) => Err(invalid()),
        }
    }

    /// One of time that has passed.
    pub fn of(duration: Duration) -> Span {
        Span(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }

    pub fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// A wait; below zero there is none.
    pub fn duration(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }

    /// Whole microseconds, towards zero.
    pub fn micros(self) -> i64 {
        self.0 / 1_000
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        f.write_str(&go_duration(Duration::from_nanos(self.0.unsigned_abs())))
    }
}

fn digits(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())
}

/// As the time package quotes: control bytes and what is beyond ASCII by its bytes.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_does() {
        for (text, ns) in [
            ("0", 0),
            ("-0", 0),
            ("10ms", 10_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("-1m2s", -62_000_000_000),
            ("+3us", 3_000),
            ("1µs1ns", 1_001),
            ("2562047h47m16.854775807s", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(Span::parse(text), Ok(Span(ns)), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused_in_gos_words() {
        for (text, error) in [
            ("", r#"time: invalid duration """#),
            ("-", r#"time: invalid duration "-""#),
            ("x", r#"time: invalid duration "x""#),
            (".s", r#"time: invalid duration ".s""#),
            ("30", r#"time: missing unit in duration "30""#),
            ("1d", r#"time: unknown unit "d" in duration "1d""#),
            ("1 s", r#"time: unknown unit " s" in duration "1 s""#),
            ("1s2", r#"time: missing unit in duration "1s2""#),
            ("3000000h", r#"time: invalid duration "3000000h""#),
            ("1\u{e9}", r#"time: unknown unit "\xc3\xa9" in duration "1\xc3\xa9""#),
        ] {
            assert_eq!(Span::parse(text), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn they_are_shown_as_go_does() {
        for (ns, text) in [(0, "0s"), (1_100, "1.1µs"), (-62_000_000_000, "-1m2s")] {
            assert_eq!(Span(ns).to_string(), text);
        }
    }
}
