//! Numbers as Go's `strconv` reads and writes them.

/// Why a text is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused<T> {
    Syntax,
    /// Too large; the nearest there is.
    Range(T),
}

/// `ParseInt(text, base, 64)`; base 0 goes by the prefix and allows `_` between digits.
pub fn parse_int(text: &[u8], base: u32) -> Result<i64, Refused<i64>> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (radix, digits) = match (base, digits) {
        (0, [b'0', b'x' | b'X', rest @ ..]) => (16, rest),
        (0, [b'0', b'b' | b'B', rest @ ..]) => (2, rest),
        (0, [b'0', b'o' | b'O', rest @ ..]) => (8, rest),
        (0, [b'0', rest @ ..]) if !rest.is_empty() => (8, rest),
        (0, rest) => (10, rest),
        (2..=36, rest) => (base, rest),
        _ => return Err(Refused::Syntax),
    };
    if digits.is_empty() || (base == 0 && digits.contains(&b'_') && !underscores_fit(text)) {
        return Err(Refused::Syntax);
    }
    let mut value = 0_u64;
    let mut over = false;
    for &digit in digits {
        if digit == b'_' && base == 0 {
            continue;
        }
        let Some(digit) = char::from(digit).to_digit(radix) else { return Err(Refused::Syntax) };
        match value.checked_mul(u64::from(radix)).and_then(|value| value.checked_add(u64::from(digit))) {
            Some(sum) => value = sum,
            None => over = true,
        }
    }
    match (negative, value) {
        (false, _) if over || value > i64::MAX as u64 => Err(Refused::Range(i64::MAX)),
        (true, _) if over || value > 1 << 63 => Err(Refused::Range(i64::MIN)),
        (false, value) => Ok(value as i64),
        (true, value) => Ok((value as i64).wrapping_neg()),
    }
}

/// Underscores stand between digits, or right behind a prefix.
fn underscores_fit(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    let (mut last, hex, rest) = match text {
        [b'0', letter @ (b'x' | b'X' | b'b' | b'B' | b'o' | b'O'), rest @ ..] => {
            (b'0', letter.eq_ignore_ascii_case(&b'x'), rest)
        }
        rest => (b'^', false, rest),
    };
    for &byte in rest {
        if byte.is_ascii_digit() || (hex && byte.is_ascii_hexdigit()) {
            last = b'0';
        } else if byte == b'_' {
            if last != b'0' {
                return false;
            }
            last = b'_';
        } else {
            if last == b'_' {
                return false;
            }
            last = b'!';
        }
    }
    last != b'_'
}

/// `ParseFloat(text, 64)`.
pub fn parse_float(text: &[u8]) -> Result<f64, Refused<f64>> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let signed = |value: f64| if negative { -value } else { value };
    if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
        return Ok(signed(f64::INFINITY));
    }
    if text.eq_ignore_ascii_case(b"nan") {
        return Ok(f64::NAN);
    }
    let mut plain: Vec<u8>;
    let mut digits = rest;
    if rest.contains(&b'_') {
        if !underscores_fit(rest) {
            return Err(Refused::Syntax);
        }
        plain = rest.to_vec();
        plain.retain(|byte| *byte != b'_');
        digits = &plain;
    }
    if let [b'0', b'x' | b'X', hex @ ..] = digits {
        let value = hex_float(hex).ok_or(Refused::Syntax)?;
        return if value.is_infinite() { Err(Refused::Range(signed(value))) } else { Ok(signed(value)) };
    }
    if !digits.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return Err(Refused::Syntax);
    }
    // A sign was taken already.
    if matches!(digits.first(), Some(b'+' | b'-') | None) {
        return Err(Refused::Syntax);
    }
    let value: f64 = fast_float2::parse(digits).map_err(|_| Refused::Syntax)?;
    if value.is_infinite() { Err(Refused::Range(signed(value))) } else { Ok(signed(value)) }
}

/// `1.8p-3`: the exponent is required, and bits past what a double holds are cut with rounding to even.
fn hex_float(text: &[u8]) -> Option<f64> {
    let p = text.iter().position(|byte| byte.eq_ignore_ascii_case(&b'p'))?;
    let (digits, exponent) = (&text[..p], &text[p + 1..]);
    let exponent: i64 = match parse_int(exponent, 10) {
        Ok(exponent) => exponent.clamp(-100_000, 100_000),
        Err(Refused::Range(exponent)) => exponent.clamp(-100_000, 100_000),
        Err(Refused::Syntax) => return None,
    };
    let (mut mantissa, mut shift, mut any, mut point) = (0_u128, exponent, false, false);
    for &byte in digits {
        if byte == b'.' && !point {
            point = true;
            continue;
        }
        let digit = char::from(byte).to_digit(16)?;
        any = true;
        if mantissa >> 120 == 0 {
            mantissa = mantissa << 4 | u128::from(digit);
            shift -= if point { 4 } else { 0 };
        } else {
            // Only whether anything is left there matters.
            mantissa |= u128::from(digit != 0);
            shift += if point { 0 } else { 4 };
        }
    }
    if !any {
        return None;
    }
    let mut value = mantissa as f64;
    // In steps that are exact, so that only the last one rounds.
    while shift != 0 && value != 0.0 && value.is_finite() {
        let step = shift.clamp(-1_000, 1_000);
        value *= 2_f64.powi(step as i32);
        shift -= step;
    }
    Some(value)
}

/// `ParseBool`.
pub fn parse_bool(text: &[u8]) -> Option<bool> {
    match text {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
}

/// `FormatInt(value, base)` for bases 2 to 36.
pub fn format_int(value: i64, base: u32) -> Option<String> {
    if !(2..=36).contains(&base) {
        return None;
    }
    let mut left = value.unsigned_abs();
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit((left % u64::from(base)) as u32, base).unwrap_or('0'));
        left /= u64::from(base);
        if left == 0 {
            break;
        }
    }
    if value < 0 {
        digits.push('-');
    }
    Some(digits.iter().rev().collect())
}

/// The exponent at which the general style without a precision turns to exponents.
const GENERAL_DIGITS: i32 = 6;

/// How a float is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `e`: 1.5e+20
    Exponent,
    /// `f`: no exponent.
    Plain,
    /// `g`: an exponent where it is below -4 or not below the precision.
    General,
}

/// `FormatFloat(value, style, precision, 64)`; no precision: as many digits as tell it apart from all others.
pub fn format_float(value: f64, style: Style, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-Inf" } else { "+Inf" }.to_owned();
    }
    match (style, precision) {
        (Style::Plain, None) => format!("{value}"),
        (Style::Plain, Some(precision)) => format!("{value:.precision$}"),
        (Style::Exponent, None) => go_exponent(&format!("{value:e}")),
        (Style::Exponent, Some(precision)) => go_exponent(&format!("{value:.precision$e}")),
        (Style::General, precision) => {
            let digits = precision.map(|precision| precision.max(1));
            let scientific = match digits {
                None => format!("{value:e}"),
                Some(digits) => format!("{value:.*e}", digits - 1),
            };
            let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            let mantissa = trim_zeros(mantissa);
            let limit = digits.map_or(GENERAL_DIGITS, |digits| digits as i32);
            if exponent < -4 || exponent >= limit {
                return go_exponent(&format!("{mantissa}e{exponent}"));
            }
            match digits {
                None => format!("{value}"),
                Some(digits) => {
                    let places = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
                    trim_zeros(&format!("{value:.places$}")).to_owned()
                }
            }
        }
    }
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// `1e20` to `1e+20`: a sign always, two digits at least.
fn go_exponent(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_as_go_reads_them() {
        for (text, base, expected) in [
            ("010", 0, Ok(8)),
            ("08", 0, Err(Refused::Syntax)),
            ("0x1F", 0, Ok(31)),
            ("-0b11", 0, Ok(-3)),
            ("1_000", 0, Ok(1_000)),
            ("1__0", 0, Err(Refused::Syntax)),
            ("0x_1", 0, Ok(1)),
            ("_1", 0, Err(Refused::Syntax)),
            ("1_0", 10, Err(Refused::Syntax)),
            ("+5", 10, Ok(5)),
            ("", 0, Err(Refused::Syntax)),
            ("-", 10, Err(Refused::Syntax)),
            ("0", 0, Ok(0)),
            ("0x", 0, Err(Refused::Syntax)),
            ("zz", 36, Ok(1_295)),
            ("9223372036854775807", 10, Ok(i64::MAX)),
            ("9223372036854775808", 10, Err(Refused::Range(i64::MAX))),
            ("-9223372036854775808", 10, Ok(i64::MIN)),
            ("-99999999999999999999", 10, Err(Refused::Range(i64::MIN))),
            ("5", 1, Err(Refused::Syntax)),
            ("5", 37, Err(Refused::Syntax)),
        ] {
            assert_eq!(parse_int(text.as_bytes(), base), expected, "{text} {base}");
        }
    }

    #[test]
    fn floats_as_go_reads_them() {
        for (text, expected) in [
            ("1.5", Ok(1.5)),
            (".5", Ok(0.5)),
            ("5.", Ok(5.0)),
            ("-1e3", Ok(-1_000.0)),
            ("1_000", Ok(1_000.0)),
            ("1_", Err(Refused::Syntax)),
            ("0x1p4", Ok(16.0)),
            ("0x1.8p1", Ok(3.0)),
            ("0x1F", Err(Refused::Syntax)),
            ("-Inf", Ok(f64::NEG_INFINITY)),
            ("+infinity", Ok(f64::INFINITY)),
            ("1e999", Err(Refused::Range(f64::INFINITY))),
            ("", Err(Refused::Syntax)),
            (".", Err(Refused::Syntax)),
            ("+-1", Err(Refused::Syntax)),
            ("1e", Err(Refused::Syntax)),
            ("1 ", Err(Refused::Syntax)),
        ] {
            assert_eq!(parse_float(text.as_bytes()), expected, "{text}");
        }
        assert!(parse_float(b"nan").unwrap().is_nan());
    }

    #[test]
    fn floats_as_go_writes_them() {
        for (value, style, precision, expected) in [
            (1e20, Style::General, None, "1e+20"),
            (1_234_567.0, Style::General, None, "1.234567e+06"),
            (100_000.0, Style::General, None, "100000"),
            (2.5, Style::General, None, "2.5"),
            (1e-5, Style::General, None, "1e-05"),
            (2.5, Style::Exponent, Some(6), "2.500000e+00"),
            (1e21, Style::Plain, None, "1000000000000000000000"),
            (2.0, Style::Plain, None, "2"),
            (1.0 / 3.0, Style::General, Some(3), "0.333"),
            (1234.5, Style::General, Some(2), "1.2e+03"),
            (f64::INFINITY, Style::Plain, None, "+Inf"),
        ] {
            assert_eq!(format_float(value, style, precision), expected);
        }
        assert_eq!(format_int(-255, 16).as_deref(), Some("-ff"));
        assert_eq!(format_int(5, 1), None);
    }
}
