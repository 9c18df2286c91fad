//! Numbers in the `message` of a span: the span as JSON, as DataKit writes it. Texts are the writer's own.

use std::io::Write as _;

use crate::simd::wire::{Isa, Layout, Writer};

/// Nothing is written as a field of a message.
const NO_FIELDS: Layout = Layout { field: 0, key: 0, is_tag: [0, 0] };

/// Begins to write behind what there is.
#[inline(always)]
pub fn writer<I: Isa>(out: &mut Vec<u8>) -> Writer<'_, I> {
    Writer::new(out, NO_FIELDS)
}

/// Appends `before` and an integer.
#[inline(always)]
pub fn int<I: Isa, const N: usize>(out: &mut Writer<'_, I>, before: &[u8; N], value: i64) {
    if value >= 0 {
        out.decimal(before, value as u64);
    } else {
        out.bytes(before);
        out.decimal(b"-", value.unsigned_abs());
    }
}

/// Appends `before` and a number with at most six decimals; what is none is `null`.
#[inline(always)]
pub fn double<I: Isa, const N: usize>(out: &mut Writer<'_, I>, before: &[u8; N], value: f64) {
    // Most are counts and marks.
    let whole = value as u32;
    if f64::from(whole).to_bits() != value.to_bits() || value > LOSSY_MAX {
        out.bytes(before);
        out.with_vec(|out| any_double(value, out));
    } else {
        out.decimal(before, u64::from(whole));
    }
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

    use crate::simd::wire::{self, Kernel};

    /// What there is to be written.
    #[derive(Clone, Copy)]
    enum Piece {
        Int(i64),
        Double(f64),
    }

    impl Kernel for Piece {
        type Output = Vec<u8>;

        #[inline(always)]
        fn run<I: Isa>(self) -> Vec<u8> {
            let mut out = Vec::new();
            let mut writer = writer::<I>(&mut out);
            match self {
                Piece::Int(value) => int(&mut writer, b"<", value),
                Piece::Double(value) => double(&mut writer, b"<", value),
            }
            writer.bytes(b">");
            writer.finish();
            out
        }
    }

    fn written(piece: Piece) -> String {
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

    proptest! {
        #[test]
        fn what_is_written_is_json(number in any::<f64>(), int_value in any::<i64>()) {
            let json = written(Piece::Double(number));
            let read: Option<f64> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read.is_some(), number.is_finite());
            prop_assert_eq!(written(Piece::Int(int_value)).parse(), Ok(int_value));
        }
    }
}
