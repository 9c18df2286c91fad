//! Floats as Go prints them: the shortest digits that read back, laid out with or without an exponent.

/// The shortest decimal of a finite number: its digits without the point, and where the point is (`0.d₁d₂… × 10^point`).
struct Decimal {
    digits: [u8; 17],
    len: usize,
    point: i32,
}

/// Appends a float without an exponent, whatever its size (Go's `'f', -1`).
pub fn plain(value: f64, out: &mut Vec<u8>) {
    if value.is_sign_negative() {
        out.push(b'-');
    }
    push_plain(&decimal(value.abs()), out);
}

/// Appends a float as Go's JSON encoder does: an exponent below 1e-6 and from 1e21 on.
pub fn json(value: f64, out: &mut Vec<u8>) {
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let size = value.abs();
    let decimal = decimal(size);
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return push_plain(&decimal, out);
    }
    let (first, rest) = decimal.digits[..decimal.len].split_at(1);
    out.extend_from_slice(first);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    let exponent = decimal.point - 1;
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    // At least two digits, but for one-digit negative exponents, which the encoder shortens.
    if (0..10).contains(&exponent) {
        out.push(b'0');
    }
    out.extend_from_slice(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
}

fn push_plain(decimal: &Decimal, out: &mut Vec<u8>) {
    let digits = &decimal.digits[..decimal.len];
    let zeros = |count: i32, out: &mut Vec<u8>| out.extend((0..count).map(|_| b'0'));
    match usize::try_from(decimal.point) {
        Ok(point) if point >= digits.len() => {
            out.extend_from_slice(digits);
            zeros((point - digits.len()) as i32, out);
        }
        Ok(point) if point > 0 => {
            out.extend_from_slice(&digits[..point]);
            out.push(b'.');
            out.extend_from_slice(&digits[point..]);
        }
        _ => {
            out.extend_from_slice(b"0.");
            zeros(-decimal.point, out);
            out.extend_from_slice(digits);
        }
    }
}

/// `value` is finite and not negative. The digits are ryu's; its layout is taken apart.
fn decimal(value: f64) -> Decimal {
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut decimal = Decimal {
        digits: [b'0'; 17],
        len: 0,
        point: whole.len() as i32 + exponent.parse::<i32>().unwrap_or(0),
    };
    for digit in whole.bytes().chain(fraction.bytes()) {
        if decimal.len == 0 && digit == b'0' {
            // A leading zero is no digit, but moves the point.
            decimal.point -= 1;
        } else if let Some(slot) = decimal.digits.get_mut(decimal.len) {
            *slot = digit;
            decimal.len += 1;
        }
    }
    while decimal.len > 0 && decimal.digits[decimal.len - 1] == b'0' {
        decimal.len -= 1;
    }
    if decimal.len == 0 {
        return Decimal { digits: [b'0'; 17], len: 1, point: 1 };
    }
    decimal
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: fn(f64, &mut Vec<u8>), value: f64) -> String {
        let mut out = Vec::new();
        write(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_are_printed_as_go_does() {
        let cases = [
            (0.0, "0", "0"),
            (-0.0, "-0", "-0"),
            (1000.0, "1000", "1000"),
            (1.5, "1.5", "1.5"),
            (0.1, "0.1", "0.1"),
            (123.456, "123.456", "123.456"),
            (1e-6, "0.000001", "0.000001"),
            (1e-7, "0.0000001", "1e-7"),
            (1.5e-7, "0.00000015", "1.5e-7"),
            (1e-10, "0.0000000001", "1e-10"),
            (1e20, "100000000000000000000", "100000000000000000000"),
            (1e21, "1000000000000000000000", "1e+21"),
            (-2.5e22, "-25000000000000000000000", "-2.5e+22"),
            (9007199254740993.0, "9007199254740992", "9007199254740992"),
            (18446744073709551615.0, "18446744073709552000", "18446744073709552000"),
            (1e100, &format!("1{}", "0".repeat(100)), "1e+100"),
        ];
        for (value, plain_text, json_text) in cases {
            assert_eq!(text(plain, value), plain_text);
            assert_eq!(text(json, value), json_text);
        }
        let smallest = text(plain, 5e-324);
        assert!(
            smallest.starts_with("0.0000") && smallest.ends_with('5') && smallest.len() == 326,
            "{smallest}"
        );
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            for write in [plain, json] {
                let read: f64 = text(write, value).parse().unwrap();
                prop_assert_eq!(read.to_bits(), bits);
            }
        }
    }
}
