//! Lengths of time: Go's text for them, and the same length in other units.

use super::Nanos;

/// The units Go's texts may have. Two signs are in use for micro.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Nanoseconds of a text such as `-1h2.5s`. None where Go gives an error.
pub fn parse(text: &str) -> Option<Nanos> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (length, behind) = component(rest)?;
        total = total.checked_add(length).filter(|total| *total <= 1 << 63)?;
        rest = behind;
    }
    match (negative, i64::try_from(total)) {
        (true, Ok(total)) => Some(-total),
        (true, Err(_)) => Some(i64::MIN),
        (false, total) => total.ok(),
    }
}

/// A number with its unit, and what is behind.
fn component(text: &str) -> Option<(u64, &str)> {
    let (whole, behind) = digits(text);
    let (fraction, behind) = match behind.strip_prefix('.') {
        Some(behind) => digits(behind),
        None => ("", behind),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit_len = behind.bytes().take_while(|byte| *byte != b'.' && !byte.is_ascii_digit()).count();
    let (unit, behind) = behind.split_at(unit_len);
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let whole =
        if whole.is_empty() { 0 } else { whole.parse::<u64>().ok().filter(|whole| *whole <= 1 << 63)? };
    let length = whole.checked_mul(*unit).filter(|length| *length <= 1 << 63)?;
    Some((length.checked_add(part_of(fraction, *unit))?, behind))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// `0.fraction` of a unit, cut to nanoseconds.
fn part_of(fraction: &str, unit: u64) -> u64 {
    // More digits than an i64 holds change nothing, as in Go.
    let mut value = 0_u64;
    let mut scale = 1.0_f64;
    for digit in fraction.bytes() {
        let Some(next) = value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit - b'0')))
        else {
            break;
        };
        if next > 1 << 63 {
            break;
        }
        value = next;
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

/// A length in another unit; None if a unit is none of `s`, `ms`, `us` and `ns`, in any case. Wraps where it is too long.
pub fn convert(length: i64, from: &str, to: &str) -> Option<i64> {
    let (from, to) = (unit(from)?, unit(to)?);
    Some(if from >= to { length.wrapping_mul(from / to) } else { length / (to / from) })
}

/// Nanoseconds of a unit's name.
fn unit(name: &str) -> Option<i64> {
    let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];
    units.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, unit)| *unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_of_go() {
        for (text, nanos) in [
            ("1h2m3s", Some(3_723_000_000_000)),
            ("-1.5h", Some(-5_400_000_000_000)),
            (".5s", Some(500_000_000)),
            ("1.s", Some(1_000_000_000)),
            ("3µs", Some(3_000)),
            ("3μs", Some(3_000)),
            ("+0", Some(0)),
            ("1m1m", Some(120_000_000_000)),
            ("0.3333333333333333333h", Some(1_200_000_000_000)),
            ("9223372036854775807ns", Some(i64::MAX)),
            ("-9223372036854775808ns", Some(i64::MIN)),
            ("9223372036854775808ns", None),
            ("9999999h", None),
            ("", None),
            ("-", None),
            ("1", None),
            (".s", None),
            ("1x", None),
            ("1 s", None),
            ("1e3s", None),
        ] {
            assert_eq!(parse(text), nanos, "{text}");
        }
    }

    #[test]
    fn units() {
        assert_eq!(convert(5, "S", "ms"), Some(5_000));
        assert_eq!(convert(-5_999, "us", "MS"), Some(-5));
        assert_eq!(convert(9_223_372_036_854_775, "s", "ns"), Some(-808_000_000));
        assert_eq!(convert(5, "m", "s"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fall(text in "([-+.]|[0-9]{1,25}|ns|us|µs|ms|s|m|h|\\PC){0,8}") {
            parse(&text);
        }
    }
}
