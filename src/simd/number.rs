//! Decimal text to numbers: what the vector conversions return, and the pieces that need no vectors.

/// The powers of ten that a double holds exactly.
pub const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// The digits at some place, converted: `mantissa / 10^fraction`, exact, because a mantissa of 15 digits and such a
/// power are exact doubles and one division rounds once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    pub mantissa: u64,
    /// Digits behind the point, below 15.
    pub fraction: usize,
    /// Bytes of the run of digits and points.
    pub len: usize,
    /// The run is 1 to 15 bytes, begins and ends with a digit and has at most one point. Otherwise nothing else of
    /// this value means anything.
    pub ok: bool,
}

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
