//! The `message` of a span: the span as JSON, as DataKit writes it. Ids are left out, and so is what became a tag.

use std::io::Write as _;

use crate::simd::wire::{Isa, Layout, Text, Writer};

/// Nothing is written as a field of a message.
const NO_FIELDS: Layout = Layout { field: 0, key: 0, is_tag: [0, 0] };

/// Begins to write behind what there is.
#[inline(always)]
pub fn writer<I: Isa>(out: &mut Vec<u8>) -> Writer<'_, I> {
    Writer::new(out, NO_FIELDS)
}

/// Appends a JSON string.
#[inline(always)]
pub fn text<I: Isa>(out: &mut Writer<'_, I>, text: Text<'_>) {
    if !out.quoted(text) {
        out.with_vec(|out| escaped(text.bytes(), out));
    }
}

/// Appends `before` and a member of a map.
#[inline(always)]
pub fn member<I: Isa>(out: &mut Writer<'_, I>, before: u8, key: Text<'_>, value: Text<'_>) {
    if !out.quoted_pair(before, key, value) {
        out.bytes(&[before]);
        text(out, key);
        out.bytes(b":");
        text(out, value);
    }
}

#[inline(always)]
pub fn int<I: Isa>(out: &mut Writer<'_, I>, value: i64) {
    if (0..10).contains(&value) {
        out.bytes(&[b'0' + value as u8]);
    } else {
        out.bytes(itoa::Buffer::new().format(value).as_bytes());
    }
}

/// Appends a number with at most six decimals; what is none is `null`.
#[inline(always)]
pub fn double<I: Isa>(out: &mut Writer<'_, I>, value: f64) {
    // Most are counts and marks.
    let whole = value as u32;
    if f64::from(whole).to_bits() != value.to_bits() || value > LOSSY_MAX {
        out.with_vec(|out| any_double(value, out));
    } else {
        int(out, i64::from(whole));
    }
}

fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

#[cold]
fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut copied = 0;
    out.push(b'"');
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
    out.push(b'"');
}

/// The largest double that is written with six decimals; above it all digits are.
const LOSSY_MAX: f64 = 0x4ff_ffff as f64;

const DECIMALS: u64 = 1_000_000;

fn any_double(value: f64, out: &mut Vec<u8>) {
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

    use crate::buf::Padded;
    use crate::simd::wire::{self, Kernel, Sources};

    /// What there is to be written.
    #[derive(Clone, Copy)]
    enum Piece<'a> {
        Text(&'a [u8]),
        /// Both the key and the value of a member.
        Member(&'a [u8]),
        Int(i64),
        Double(f64),
    }

    impl Kernel for Piece<'_> {
        type Output = Vec<u8>;

        #[inline(always)]
        fn run<I: Isa>(self) -> Vec<u8> {
            let mut words = match self {
                Piece::Text(words) | Piece::Member(words) => words.to_vec(),
                Piece::Int(_) | Piece::Double(_) => Vec::new(),
            };
            let words = Padded::pad(&mut words);
            let words = Sources::new(words, words).text(false, 0, words.len());
            let mut out = b"<".to_vec();
            let mut writer = writer::<I>(&mut out);
            match self {
                Piece::Text(_) => text(&mut writer, words),
                Piece::Member(_) => member(&mut writer, b'{', words, words),
                Piece::Int(value) => int(&mut writer, value),
                Piece::Double(value) => double(&mut writer, value),
            }
            writer.bytes(b">");
            writer.finish();
            out
        }
    }

    fn written(piece: Piece<'_>) -> String {
        let text = wire::run(piece);
        assert_eq!(text, wire::run_plain(piece));
        let text = String::from_utf8(text).unwrap();
        text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap().to_owned()
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
            (83_886_080.0, "83886080"),
            (4_294_967_295.0, "4294967295"),
            (4711.0, "4711"),
            (83_886_080.5, "83886080.5"),
            (1e15, "1000000000000000"),
            (1e21, "1e21"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
        ] {
            assert_eq!(written(Piece::Double(value)), expected, "{value}");
        }
    }

    #[test]
    fn every_byte_is_escaped_wherever_it_stands() {
        for special in (0u8..0x80).filter(|byte| is_special(*byte)).chain([b'a', 0x7f]) {
            for len in 1..40 {
                for at in 0..len {
                    let mut words = vec![b'x'; len];
                    words[at] = special;
                    let json = written(Piece::Text(&words));
                    assert_eq!(serde_json::from_str::<String>(&json).unwrap().as_bytes(), words);
                    let member = format!("{{{json}:{json}");
                    assert_eq!(written(Piece::Member(&words)), member);
                }
            }
        }
        let long = "\"".repeat(10_000);
        assert_eq!(written(Piece::Text(long.as_bytes())).len(), 20_002);
    }

    proptest! {
        #[test]
        fn what_is_written_is_json(words in ".{0,40}", number in any::<f64>(), int_value in any::<i64>()) {
            let json = written(Piece::Text(words.as_bytes()));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), words);
            let json = written(Piece::Double(number));
            let read: Option<f64> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read.is_some(), number.is_finite());
            prop_assert_eq!(written(Piece::Int(int_value)).parse(), Ok(int_value));
        }
    }
}
