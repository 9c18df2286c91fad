//! JSON tokens, read from a body and written as protobuf in the same move.
//!
//! One 32-byte load says where a string ends and whether it has escapes, control characters or bytes beyond ASCII, and
//! the same register is stored where the string belongs in the output: searching, checking and copying are one step.
//! A number of up to 15 bytes is one 16-byte load, two shuffles (drop the point, align to the right) and three
//! multiplications. Nothing is kept but the output, so whoever reads this way must be ready to take back what a point
//! has written when it turns out to be unusual.
//!
//! [`Cursor`] is a place in a body that cannot leave it: what it looks at may lie in the padding, but it never moves
//! there, so that a document which would need the padding to be complete is refused. `strings` has the moves from a
//! cursor to a [`super::wire::Writer`]. [`Plain`] does everything with ordinary instructions, as in [`super::wire`].

mod strings;

use std::marker::PhantomData;

use super::wire::{Kernel, Plain};
use crate::buf::{PADDING, Padded};

pub use strings::{Field, Written};

/// How far ahead of a cursor anything looks: a quote, 32 bytes and what stands behind them.
const LOOK_AHEAD: usize = 40;
const _: () = assert!(LOOK_AHEAD <= PADDING);

/// What 32 bytes have in them, a bit for each byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Quotes, backslashes and control characters.
    pub stops: u32,
    /// Bytes beyond ASCII.
    pub high: u32,
    /// The byte that was asked for.
    pub unwanted: u32,
}

/// A run of digits and points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// The digits without the point.
    pub mantissa: u64,
    /// How long the run is; 16 also stands for more.
    pub len: usize,
    /// How many digits follow the point.
    pub fraction: usize,
    /// 0 when this is a JSON number of at most 15 bytes, sign and exponent aside. Otherwise the mantissa means nothing.
    pub wrong: u32,
}

/// The instructions that differ between machines.
pub trait Tokens: Copy {
    /// Copies 32 bytes and says what is in them.
    ///
    /// # Safety
    /// 32 bytes are readable at `source` and writable at `target`, and the two do not overlap.
    unsafe fn copy_string(source: *const u8, target: *mut u8, unwanted: u8) -> Marks;

    /// The number that begins at `text`.
    ///
    /// # Safety
    /// 16 bytes are readable at `text`.
    unsafe fn number(text: *const u8) -> Number;

    /// Exactly 16 digits.
    ///
    /// # Safety
    /// 16 bytes are readable at `text`.
    unsafe fn digits16(text: *const u8) -> Option<u64>;

    /// Runs a kernel with the same instructions and out of line: for what is too large, and not too frequent.
    fn apart<K: Kernel>(kernel: K) -> K::Output;
}

impl Tokens for Plain {
    #[inline(always)]
    unsafe fn copy_string(source: *const u8, target: *mut u8, unwanted: u8) -> Marks {
        // SAFETY: the caller's promise; arrays of bytes have no alignment.
        let bytes = unsafe { *source.cast::<[u8; 32]>() };
        // SAFETY: as above.
        unsafe { *target.cast::<[u8; 32]>() = bytes };
        let mut marks = Marks { stops: 0, high: 0, unwanted: 0 };
        for (index, byte) in bytes.into_iter().enumerate() {
            marks.stops |= u32::from(matches!(byte, b'"' | b'\\' | 0..0x20)) << index;
            marks.high |= u32::from(byte >> 7) << index;
            marks.unwanted |= u32::from(byte == unwanted) << index;
        }
        marks
    }

    #[inline(always)]
    unsafe fn number(text: *const u8) -> Number {
        // SAFETY: the caller's promise; arrays of bytes have no alignment.
        let bytes = unsafe { *text.cast::<[u8; 16]>() };
        let len = bytes.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'.')).unwrap_or(16);
        let (mut mantissa, mut fraction, mut points) = (0u64, 0, 0);
        for &byte in &bytes[..len] {
            if byte == b'.' {
                points += 1;
            } else {
                // 16 digits are far from 64 bits.
                mantissa = mantissa * 10 + u64::from(byte - b'0');
                fraction += usize::from(points > 0);
            }
        }
        let ends_in_digits = len > 0 && bytes[0] != b'.' && bytes[len - 1] != b'.';
        let leading_zero = bytes[0] == b'0' && bytes[1].is_ascii_digit();
        let wrong = !ends_in_digits || leading_zero || points > 1 || len > 15;
        Number { mantissa, len, fraction, wrong: u32::from(wrong) }
    }

    #[inline(always)]
    unsafe fn digits16(text: *const u8) -> Option<u64> {
        // SAFETY: the caller's promise; arrays of bytes have no alignment.
        super::digits(unsafe { &*text.cast::<[u8; 16]>() })
    }

    #[inline(never)]
    fn apart<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Plain>()
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    //! AVX2 and BMI2.

    use std::arch::x86_64::*;

    use super::{Marks, Number, Tokens};
    use crate::simd::wire::{Avx2, Kernel};
    use crate::simd::x86::sixteen;

    #[repr(align(16))]
    struct Aligned<const N: usize>([u8; N]);

    /// A shuffle that gives zero.
    const ZERO: u8 = 0x80;

    /// Row `i` takes byte `i` out of 16 and moves those behind it to the left.
    static WITHOUT: Aligned<{ 17 * 16 }> = Aligned({
        let mut table = [ZERO; 17 * 16];
        let mut point = 0;
        while point < 17 {
            let mut i = 0;
            while i < 15 {
                table[point * 16 + i] = if i < point { i as u8 } else { i as u8 + 1 };
                i += 1;
            }
            point += 1;
        }
        table
    });

    /// 16 bytes from offset `n` move the first `n` of 16 to the right end, zeros before them.
    static TO_THE_RIGHT: Aligned<32> = Aligned({
        let mut table = [ZERO; 32];
        let mut i = 0;
        while i < 16 {
            table[16 + i] = i as u8;
            i += 1;
        }
        table
    });

    impl Tokens for Avx2 {
        #[inline(always)]
        unsafe fn copy_string(source: *const u8, target: *mut u8, unwanted: u8) -> Marks {
            // SAFETY: the caller's promise about the memory; whoever has an `Avx2` runs inside `with_avx2`.
            unsafe {
                let bytes = _mm256_loadu_si256(source.cast());
                _mm256_storeu_si256(target.cast(), bytes);
                let quote = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'"' as i8));
                let backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'\\' as i8));
                let last_control = _mm256_set1_epi8(0x1f);
                let control = _mm256_cmpeq_epi8(_mm256_max_epu8(bytes, last_control), last_control);
                let stops = _mm256_or_si256(_mm256_or_si256(quote, backslash), control);
                let unwanted = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(unwanted as i8));
                Marks {
                    stops: _mm256_movemask_epi8(stops) as u32,
                    high: _mm256_movemask_epi8(bytes) as u32,
                    unwanted: _mm256_movemask_epi8(unwanted) as u32,
                }
            }
        }

        #[inline(always)]
        unsafe fn number(text: *const u8) -> Number {
            // SAFETY: the caller promises 16 readable bytes; whoever has an `Avx2` runs inside `with_avx2`. Places in
            // the tables are at most 16.
            unsafe {
                let bytes = _mm_loadu_si128(text.cast());
                let digits = _mm_sub_epi8(bytes, _mm_set1_epi8(b'0' as i8));
                let is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digits, _mm_set1_epi8(9)), digits);
                let is_digit = _mm_movemask_epi8(is_digit) as u32;
                let is_point = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'.' as i8))) as u32;
                let len = (!(is_digit | is_point)).trailing_zeros();
                let points = _bzhi_u32(is_point, len);
                // Where there is none, the byte behind the run is what is taken away.
                let point = (points | 1 << len).trailing_zeros();
                let count = len - u32::from(points != 0);
                // Digits at both ends, one point, no zero before other digits, 15 bytes.
                let leading_zero = u32::from(*text == b'0') & (is_digit >> 1);
                let wrong = (!is_digit & 1)
                    | ((!is_digit << 1) >> len & 1)
                    | _blsr_u32(points)
                    | leading_zero & 1
                    | len & 16;
                let without = _mm_load_si128(WITHOUT.0.as_ptr().add(point as usize * 16).cast());
                let right = _mm_loadu_si128(TO_THE_RIGHT.0.as_ptr().add(count as usize).cast());
                let aligned = _mm_shuffle_epi8(_mm_shuffle_epi8(digits, without), right);
                Number {
                    mantissa: sixteen(aligned),
                    len: len as usize,
                    fraction: (len - point).saturating_sub(1) as usize,
                    wrong,
                }
            }
        }

        #[inline(always)]
        unsafe fn digits16(text: *const u8) -> Option<u64> {
            // SAFETY: the caller's promise; whoever has an `Avx2` runs inside `with_avx2`.
            unsafe { <crate::simd::x86::Avx2 as crate::simd::Isa>::digits16(text) }
        }

        #[inline(always)]
        fn apart<K: Kernel>(kernel: K) -> K::Output {
            // SAFETY: whoever has an `Avx2` runs where these instructions are.
            unsafe { apart(kernel) }
        }
    }

    #[inline(never)]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    fn apart<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Avx2>()
    }
}

/// The powers of ten that divide a mantissa of 15 digits, and zeros up to a power of two, so that a masked place needs
/// no check.
static POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The first bytes of a token as they are read by [`Cursor::word`].
pub const fn word(text: &[u8]) -> u64 {
    assert!(text.len() <= 8);
    let (mut word, mut at) = (0, 0);
    while at < text.len() {
        word |= (text[at] as u64) << (8 * at);
        at += 1;
    }
    word
}

/// The lowest `bytes` of a word.
pub const fn low_bytes(word: u64, bytes: usize) -> u64 {
    word & u64::MAX >> (64 - 8 * bytes)
}

/// A place in a body, and what strings before it had in them.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    /// INVARIANT: not behind `end`.
    at: *const u8,
    /// The end of the body. INVARIANT: everything from `at` to here, and PADDING bytes more, is readable and
    /// initialised for `'a`.
    end: *const u8,
    /// Not zero when a string had bytes beyond ASCII.
    high: u32,
    body: PhantomData<&'a [u8]>,
}

impl<'a> Cursor<'a> {
    pub fn new(body: Padded<'a>, offset: usize) -> Cursor<'a> {
        assert!(offset <= body.len(), "BUG: a cursor at {offset} of {}", body.len());
        let range = body.bytes().as_ptr_range();
        // SAFETY: inside the body, behind which `Padded` proves PADDING more bytes.
        Cursor { at: unsafe { range.start.add(offset) }, end: range.end, high: 0, body: PhantomData }
    }

    /// How many bytes of the body are left.
    #[inline(always)]
    pub fn left(self) -> usize {
        self.end as usize - self.at as usize
    }

    /// Whether strings passed since the last call had bytes beyond ASCII.
    #[inline(always)]
    pub fn take_high(&mut self) -> bool {
        std::mem::take(&mut self.high) != 0
    }

    /// What is left of the body.
    pub fn rest(self) -> &'a [u8] {
        // SAFETY: the invariants.
        unsafe { std::slice::from_raw_parts(self.at, self.left()) }
    }

    /// The byte here; one of the padding at the end of the body.
    #[inline(always)]
    pub fn byte(self) -> u8 {
        self.ahead::<0>()
    }

    /// The byte `AHEAD` of here, which may be one of the padding.
    #[inline(always)]
    pub fn ahead<const AHEAD: usize>(self) -> u8 {
        const { assert!(AHEAD < LOOK_AHEAD) };
        // SAFETY: the invariants.
        unsafe { *self.at.add(AHEAD) }
    }

    /// The eight bytes `AHEAD` of here, some of which may be of the padding.
    #[inline(always)]
    pub fn word<const AHEAD: usize>(self) -> u64 {
        const { assert!(AHEAD + 8 < LOOK_AHEAD) };
        // SAFETY: the invariants.
        unsafe { super::load_u64(self.at.add(AHEAD)) }
    }

    /// Moves on; `None` where the body has not that many bytes.
    #[inline(always)]
    pub fn skip(&mut self, bytes: usize) -> Option<()> {
        if self.left() < bytes {
            return None;
        }
        // SAFETY: as many bytes are left.
        self.at = unsafe { self.at.add(bytes) };
        Some(())
    }

    /// Passes one byte that must be there.
    #[inline(always)]
    pub fn expect(&mut self, byte: u8) -> Option<()> {
        if self.byte() != byte {
            return None;
        }
        self.skip(1)
    }

    /// Passes white space.
    #[inline(always)]
    pub fn space(&mut self) {
        self.space_up_to(usize::MAX);
    }

    /// Passes white space, but not more of it than `most` bytes.
    #[inline(always)]
    pub fn space_up_to(&mut self, most: usize) {
        if self.byte() <= b' ' {
            let mut passed = 0;
            while passed < most
                && matches!(self.byte(), b' ' | b'\n' | b'\r' | b'\t')
                && self.skip(1).is_some()
            {
                passed += 1;
            }
        }
    }

    /// Passes `true` or `false`.
    #[inline(always)]
    pub fn boolean(&mut self) -> Option<bool> {
        let here = self.word::<0>();
        if low_bytes(here, 4) == const { word(b"true") } {
            self.skip(4)?;
            Some(true)
        } else if low_bytes(here, 5) == const { word(b"false") } {
            self.skip(5)?;
            Some(false)
        } else {
            None
        }
    }

    /// Passes a number; the result is the bits of a double or, with `is_int`, of an integer, which may stand in quotes.
    /// `None` for what is none or does not fit, and for the integer -0. What follows is not looked at.
    #[inline(always)]
    pub fn number<I: Tokens>(&mut self, is_int: bool) -> Option<u64> {
        let quoted = is_int & (self.byte() == b'"');
        // SAFETY: quote, sign and 17 bytes are not more than LOOK_AHEAD.
        let (negative, number, next) = unsafe {
            let text = self.at.add(usize::from(quoted));
            let negative = *text == b'-';
            let text = text.add(usize::from(negative));
            let number = I::number(text);
            (negative, number, *text.add(number.len))
        };
        let ends = if quoted { next == b'"' } else { next | 0x20 != b'e' };
        let no_int = (number.fraction != 0) | (negative & (number.mantissa == 0));
        if (number.wrong != 0) | !ends | (is_int & no_int) {
            return self.any_number(is_int, quoted);
        }
        self.skip(number.len + usize::from(negative) + 2 * usize::from(quoted))?;
        // Both kinds, then one of them: which it is cannot be predicted, and a branch not taken right costs more than
        // the division.
        let float = number.mantissa as i64 as f64 / POWERS[number.fraction & 15];
        let float = float.to_bits() ^ u64::from(negative) << 63;
        let sign = u64::from(negative);
        let int = (number.mantissa ^ sign.wrapping_neg()).wrapping_add(sign);
        Some(std::hint::select_unpredictable(is_int, int, float))
    }

    /// Passes an integer that is probably one of 19 digits: a time in nanoseconds.
    #[inline(always)]
    pub fn time<I: Tokens>(&mut self) -> Option<i64> {
        /// Of a number that fits, the first three of 19 digits are below.
        const HEAD_MAX: u64 = 922;
        // SAFETY: 19 bytes are not more than LOOK_AHEAD.
        let low = unsafe { I::digits16(self.at.add(3)) };
        let [first, second, third] = [self.ahead::<0>(), self.ahead::<1>(), self.ahead::<2>()]
            .map(|byte| u64::from(byte.wrapping_sub(b'0')));
        let head = first * 100 + second * 10 + third;
        let well_formed = (first.wrapping_sub(1) < 9) & (second < 10) & (third < 10) & (head < HEAD_MAX);
        match low {
            Some(low) if well_formed => {
                self.skip(19)?;
                Some((head * 10_000_000_000_000_000 + low) as i64)
            }
            _ if self.byte() == b'"' => None,
            _ => Some(self.number::<I>(true)? as i64),
        }
    }

    /// As [`Cursor::number`], for numbers of any form.
    #[inline(never)]
    fn any_number_apart(self, is_int: bool, quoted: bool) -> Option<(u64, usize)> {
        let rest = &self.rest().get(usize::from(quoted)..)?;
        let (bits, len) = if is_int { integer(rest)? } else { float(rest)? };
        if quoted && rest.get(len) != Some(&b'"') {
            return None;
        }
        Some((bits, len + 2 * usize::from(quoted)))
    }

    #[inline(always)]
    fn any_number(&mut self, is_int: bool, quoted: bool) -> Option<u64> {
        let (bits, len) = self.any_number_apart(is_int, quoted)?;
        self.skip(len)?;
        Some(bits)
    }
}

/// How many digits there are.
fn digit_run(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The sign and integral part of a number: digits without a zero before them.
fn integral(text: &[u8]) -> Option<usize> {
    let sign = usize::from(text.first() == Some(&b'-'));
    let digits = digit_run(text.get(sign..)?);
    let leading_zero = digits > 1 && text.get(sign) == Some(&b'0');
    (digits > 0 && !leading_zero).then_some(sign + digits)
}

/// The 64-bit integer at the start of a text, and how long it is.
fn integer(text: &[u8]) -> Option<(u64, usize)> {
    let len = integral(text)?;
    let value: i64 = std::str::from_utf8(text.get(..len)?).ok()?.parse().ok()?;
    let minus_zero = value == 0 && len > 1;
    (!minus_zero).then_some((value as u64, len))
}

/// The bits of the double at the start of a text, and how long it is; `None` if it is beyond the largest.
fn float(text: &[u8]) -> Option<(u64, usize)> {
    let mut len = integral(text)?;
    if text.get(len) == Some(&b'.') {
        let digits = digit_run(text.get(len + 1..)?);
        if digits == 0 {
            return None;
        }
        len += 1 + digits;
    }
    if matches!(text.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(len + 1), Some(b'+' | b'-')));
        let digits = digit_run(text.get(len + 1 + sign..)?);
        if digits == 0 {
            return None;
        }
        len += 1 + sign + digits;
    }
    let value: f64 = fast_float2::parse(text.get(..len)?).ok()?;
    value.is_finite().then_some((value.to_bits(), len))
}

#[cfg(test)]
mod tests;
