//! Texts and numbers, as Go's `strconv` turns one into the other.

/// `ParseFloat`, here with underscores between digits as well: decimal and hexadecimal digits, exponents, infinity,
/// NaN.
pub fn parse_float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.starts_with("0x") || unsigned.starts_with("0X") {
        return hex_float(text, unsigned);
    }
    let plain = if unsigned.contains('_') { without_underscores(text)? } else { text.into() };
    let value = plain.parse::<f64>().ok()?;
    // Rust goes on where Go tells that the range is left.
    let named = unsigned.starts_with(['i', 'I']);
    (named || !value.is_infinite()).then_some(value)
}

/// Underscores only between digits.
fn without_underscores(text: &str) -> Option<std::borrow::Cow<'_, str>> {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let fits =
        |(at, byte): (usize, &u8)| *byte != b'_' || (digit(at.checked_sub(1)) && digit(at.checked_add(1)));
    bytes.iter().enumerate().all(fits).then(|| text.replace('_', "").into())
}

/// `0x1.8p3`. The exponent is a must.
fn hex_float(text: &str, unsigned: &str) -> Option<f64> {
    let (mantissa, exponent) = unsigned.get(2..)?.split_once(['p', 'P'])?;
    let mut exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0;
    for digit in whole.chars() {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    for digit in fraction.chars() {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
        exponent = exponent.saturating_sub(4);
    }
    let value = value * 2f64.powi(exponent);
    let negative = text.starts_with('-');
    value.is_finite().then_some(if negative { -value } else { value })
}

/// `ParseBool`.
pub fn parse_bool(text: &[u8]) -> Option<bool> {
    match text {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
}

/// What `ParseInt(text, base, 64)` gives, its error ignored: 0 for what is no number, the limit for what is too large a
/// one.
pub fn parse_int(text: &[u8], base: i64) -> i64 {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let any_base = base == 0;
    let (base, digits, prefixed) = match (base, digits) {
        (0, [b'0', b'x' | b'X', rest @ ..]) => (16, rest, true),
        (0, [b'0', b'o' | b'O', rest @ ..]) => (8, rest, true),
        (0, [b'0', b'b' | b'B', rest @ ..]) => (2, rest, true),
        (0, [b'0', rest @ ..]) if !rest.is_empty() => (8, rest, true),
        (0, _) => (10, digits, false),
        (2..=36, _) => (base as u32, digits, false),
        _ => return 0,
    };
    let mut value: u64 = 0;
    let mut before_digit = prefixed;
    let mut any = false;
    for &byte in digits {
        if byte == b'_' && any_base && before_digit {
            before_digit = false;
            continue;
        }
        let Some(digit) = char::from(byte).to_digit(base) else { return 0 };
        before_digit = true;
        any = true;
        value = value.saturating_mul(u64::from(base)).saturating_add(u64::from(digit));
    }
    if !any || !before_digit {
        return 0;
    }
    match (negative, i64::try_from(value)) {
        (false, value) => value.unwrap_or(i64::MAX),
        (true, Ok(value)) => -value,
        (true, Err(_)) => i64::MIN,
    }
}

/// `FormatInt`; nothing for a base there is none of.
pub fn format_int(value: i64, base: i64) -> String {
    let Some(base) = u64::try_from(base).ok().filter(|base| (2..=36).contains(base)) else {
        return String::new();
    };
    let mut digits = Vec::new();
    let mut rest = value.unsigned_abs();
    loop {
        digits.push(char::from_digit((rest % base) as u32, base as u32).unwrap_or('0'));
        rest /= base;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        digits.push('-');
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_as_go_reads_them() {
        let cases: [(&str, i64, i64); 16] = [
            ("16", 10, 16),
            ("-7f", 16, -0x7f),
            ("0xff", 16, 0),
            ("0xff", 0, 255),
            ("0b11", 0, 3),
            ("0o17", 0, 15),
            ("017", 0, 15),
            ("0", 0, 0),
            ("1_000", 0, 1000),
            ("1__0", 0, 0),
            ("_1", 0, 0),
            ("0x_f", 0, 15),
            ("99999999999999999999", 10, i64::MAX),
            ("-99999999999999999999", 10, i64::MIN),
            ("zz", 36, 1295),
            ("1", 1, 0),
        ];
        for (text, base, expected) in cases {
            assert_eq!(parse_int(text.as_bytes(), base), expected, "{text} base {base}");
        }
        assert_eq!(parse_int(b"1_0", 10), 0);
        assert_eq!([format_int(-255, 16), format_int(0, 2), format_int(5, 1)], ["-ff", "0", ""]);
        assert_eq!(format_int(i64::MIN, 10), i64::MIN.to_string());
    }

    #[test]
    fn floats_as_go_reads_them() {
        let read = |text: &str| parse_float(text.as_bytes());
        assert_eq!(read("1e3"), Some(1000.0));
        assert_eq!(read("1_000.5"), Some(1000.5));
        assert_eq!(read("0x1.8p1"), Some(3.0));
        assert_eq!(read("-inf"), Some(f64::NEG_INFINITY));
        assert!(read("nan").is_some_and(f64::is_nan));
        for refused in ["", " 5", "5 ", "_1", "1_", "1__0", "0x1", "1e400", "abc", "1e"] {
            assert_eq!(read(refused), None, "{refused}");
        }
    }
}
