//! The `message` of a span: the span as JSON, as DataKit writes it. Ids are left out, and so is what became a tag.

use std::io::Write as _;

use super::spans::{WINDOW_BYTES, Window};

/// A text in the making. There is always room for what has a bound, so that nobody asks for it byte by byte.
#[derive(Debug, Default)]
pub struct Out {
    /// Longer than what is written.
    bytes: Vec<u8>,
    len: usize,
    escaped: Vec<u8>,
}

/// Room behind what is written: a short text with its quotes, or any number or literal.
const ROOM_BYTES: usize = 64;
const _: () = assert!(ROOM_BYTES >= WINDOW_BYTES + 2);

/// Memory for more than this is given back.
const KEPT_BYTES_MAX: usize = 1 << 18;

impl Out {
    /// Begins a new text.
    pub fn begin(&mut self) {
        if self.bytes.len() > KEPT_BYTES_MAX {
            *self = Out::default();
        }
        self.len = 0;
    }

    pub fn written(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The next [`ROOM_BYTES`].
    #[inline(always)]
    fn room(&mut self) -> &mut [u8; ROOM_BYTES] {
        if self.bytes.len() < self.len + ROOM_BYTES {
            self.grow(ROOM_BYTES);
        }
        let room = self.bytes.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut);
        room.expect("BUG: room was made")
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, more: usize) {
        self.bytes.resize((self.len + more).max(2 * self.bytes.len()), 0);
    }

    /// Appends a few bytes as they are.
    #[inline(always)]
    pub fn raw<const N: usize>(&mut self, bytes: &[u8; N]) {
        const { assert!(N <= ROOM_BYTES) };
        self.room()[..N].copy_from_slice(bytes);
        self.len += N;
    }

    /// Appends a JSON string; `window` is the same text, if it is short.
    #[inline(always)]
    pub fn text(&mut self, window: Option<Window<'_>>, bytes: &[u8]) {
        match window {
            Some(window) if !has_special(window) => {
                let room = self.room();
                room[0] = b'"';
                room[1..=WINDOW_BYTES].copy_from_slice(window.bytes);
                room[1 + window.len] = b'"';
                self.len += window.len + 2;
            }
            _ => self.long_text(bytes),
        }
    }

    #[inline(never)]
    fn long_text(&mut self, bytes: &[u8]) {
        let mut escaped = std::mem::take(&mut self.escaped);
        let is_special = bytes.iter().fold(false, |found, &byte| found | is_special(byte));
        let shown = if is_special {
            escaped.clear();
            self::escaped(bytes, &mut escaped);
            &escaped
        } else {
            bytes
        };
        let needed = shown.len() + 2;
        if self.bytes.len() < self.len + needed {
            self.grow(needed);
        }
        if let Some(room) = self.bytes.get_mut(self.len..self.len + needed) {
            room[0] = b'"';
            room[1..needed - 1].copy_from_slice(shown);
            room[needed - 1] = b'"';
        }
        self.len += needed;
        escaped.shrink_to(KEPT_BYTES_MAX);
        self.escaped = escaped;
    }

    pub fn int(&mut self, value: i64) {
        let mut digits = itoa::Buffer::new();
        self.digits(digits.format(value).as_bytes());
    }

    #[inline(always)]
    fn digits(&mut self, digits: &[u8]) {
        if let Some(room) = self.room().get_mut(..digits.len()) {
            room.copy_from_slice(digits);
        }
        self.len += digits.len();
    }

    /// Appends a number with at most six decimals; what is none is `null`.
    #[inline(always)]
    pub fn double(&mut self, value: f64) {
        // Most are counts and marks.
        let small = value as u8;
        if small < 10 && f64::from(small).to_bits() == value.to_bits() {
            return self.raw(&[b'0' + small]);
        }
        self.any_double(value);
    }

    #[inline(never)]
    fn any_double(&mut self, value: f64) {
        self.escaped.clear();
        double(value, &mut self.escaped);
        let written = std::mem::take(&mut self.escaped);
        // A double has no more digits than 25, with its exponent.
        self.digits(&written);
        self.escaped = written;
    }
}

/// Whether anything in a short text is to be escaped.
#[inline(always)]
fn has_special(window: Window<'_>) -> bool {
    let mask = window.mask();
    let found: [u8; WINDOW_BYTES] =
        std::array::from_fn(|at| u8::from(is_special(window.bytes[at])).wrapping_neg() & mask[at]);
    found != [0; WINDOW_BYTES]
}

#[inline(always)]
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

/// The largest double that is written with six decimals; above it all digits are.
const LOSSY_MAX: f64 = 0x4ff_ffff as f64;

const DECIMALS: u64 = 1_000_000;

fn double(value: f64, out: &mut Vec<u8>) {
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

    fn written(write: impl FnOnce(&mut Out)) -> String {
        let mut out = Out::default();
        out.begin();
        out.raw(b"<");
        write(&mut out);
        out.raw(b">");
        let text = String::from_utf8(out.written().to_vec()).unwrap();
        text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap().to_owned()
    }

    /// With a window, where there is one.
    fn text(words: &[u8], out: &mut Out) {
        let mut source = words.to_vec();
        source.extend(b"\"\\\x01".iter().cycle().take(WINDOW_BYTES));
        out.text(Window::at(&source, 0, words.len()), words);
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
            assert_eq!(written(|out| out.double(value)), expected, "{value}");
        }
    }

    #[test]
    fn every_byte_is_escaped_wherever_it_stands() {
        for special in (0u8..0x80).filter(|byte| is_special(*byte)).chain([b'a', 0x7f]) {
            for len in 1..40 {
                for at in 0..len {
                    let mut words = vec![b'x'; len];
                    words[at] = special;
                    let json = written(|out| text(&words, out));
                    assert_eq!(serde_json::from_str::<String>(&json).unwrap().as_bytes(), words);
                }
            }
        }
        let long = "\"".repeat(10_000);
        assert_eq!(written(|out| text(long.as_bytes(), out)).len(), 20_002);
    }

    proptest! {
        #[test]
        fn what_is_written_is_json(words in ".{0,40}", number in any::<f64>(), int_value in any::<i64>()) {
            let json = written(|out| text(words.as_bytes(), out));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), words);
            let json = written(|out| out.double(number));
            let read: Option<f64> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read.is_some(), number.is_finite());
            prop_assert_eq!(written(|out| out.int(int_value)).parse(), Ok(int_value));
        }
    }
}
