//! Decimal text to numbers: what the vector conversions return, and the pieces that need no vectors.

/// Up to 16 bytes of digits, converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// The digits without the point.
    pub mantissa: u64,
    /// Where the point stands among 16 bytes, the last of which is the last digit; 16 when there is none.
    pub point: usize,
    /// 0 when there are 1 to 16 bytes that begin and end with a digit and have at most one point, if any is allowed.
    /// Otherwise the mantissa means nothing.
    pub wrong: u32,
}

impl Decimal {
    /// No number.
    pub const WRONG: Decimal = Decimal { mantissa: 0, point: 16, wrong: 1 };

    /// The value as a double, correctly rounded. With a point there are at most 15 digits, so that mantissa and power
    /// are exact and the division rounds once; without one only the conversion rounds.
    #[inline(always)]
    pub fn float(self) -> f64 {
        self.mantissa as i64 as f64 / DIVISORS[self.point & 31]
    }
}

/// By the place of the point, what the mantissa is to be divided by; 1 from 16 on, and to the next power of two so
/// that a masked place needs no check.
static DIVISORS: [f64; 32] = {
    let mut divisors = [1.0; 32];
    let mut point = 15;
    while point > 0 {
        point -= 1;
        divisors[point] = divisors[point + 1] * 10.0;
    }
    divisors
};

/// Eight bytes in memory order.
///
/// # Safety
/// 8 bytes at `bytes` must be readable.
#[inline(always)]
pub unsafe fn load_u64(bytes: *const u8) -> u64 {
    // SAFETY: the caller's promise; no alignment is assumed.
    u64::from_le_bytes(unsafe { bytes.cast::<[u8; 8]>().read_unaligned() })
}

/// A run of 1 to 19 digits; `None` when it is longer, empty or not all digits.
#[inline]
pub fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    text.iter().try_fold(0u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| value * 10 + u64::from(digit))
    })
}
