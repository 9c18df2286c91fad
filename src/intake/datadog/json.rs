//! The `message` of a span: the span as JSON, as DataKit writes it. Ids are left out, and so is what became a tag.

use std::io::Write as _;

/// Appends a JSON string. Nothing is escaped that need not be.
#[inline]
pub fn text(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    // Without a branch a byte, so that sixteen are looked at at once; hardly any text has something to escape.
    let special = bytes.iter().fold(false, |found, &byte| found | is_special(byte));
    if special {
        escaped(bytes, out)
    } else {
        out.extend_from_slice(bytes)
    }
    out.push(b'"');
}

#[inline]
fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

#[cold]
fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !is_special(byte) {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(DIGITS[usize::from(byte >> 4)]);
                out.push(DIGITS[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[copied..]);
}

pub fn int(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The largest double that is written with six decimals; above it all digits are.
const LOSSY_MAX: f64 = 0x4ff_ffff as f64;

const DECIMALS: u64 = 1_000_000;

/// Appends a number with at most six decimals; what is none is `null`.
pub fn double(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    if value.is_sign_negative() && value != 0.0 {
        out.push(b'-');
    }
    let value = value.abs();
    if value > LOSSY_MAX {
        // To a vector nothing fails.
        let _ = if value < 1e21 { write!(out, "{value}") } else { write!(out, "{value:e}") };
        return;
    }
    let scaled = (value * DECIMALS as f64 + 0.5) as u64;
    let (whole, mut fraction) = (scaled / DECIMALS, scaled % DECIMALS);
    out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    if fraction == 0 {
        return;
    }
    out.push(b'.');
    let mut place = DECIMALS / 10;
    while fraction > 0 {
        out.push(b'0' + (fraction / place) as u8);
        fraction %= place;
        place /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_have_six_decimals_at_most() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (0.000_001, "0.000001"),
            (0.000_000_4, "0"),
            (1.000_000_6, "1.000001"),
            (0.1 + 0.2, "0.3"),
            (12.345_678_9, "12.345679"),
            (83_886_079.0, "83886079"),
            (83_886_080.5, "83886080.5"),
            (1e15, "1000000000000000"),
            (1e21, "1e21"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
        ] {
            assert_eq!(written(|out| double(value, out)), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_json(words in ".{0,40}", number in any::<f64>(), int_value in any::<i64>()) {
            let json = written(|out| text(words.as_bytes(), out));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), words);
            let json = written(|out| double(number, out));
            let read: Option<f64> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read.is_some(), number.is_finite());
            prop_assert_eq!(written(|out| int(int_value, out)).parse(), Ok(int_value));
        }
    }
}
