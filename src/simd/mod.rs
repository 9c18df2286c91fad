//! Vector primitives, one folder entry per instruction set, chosen once at start.
//!
//! [`Isa`] is what an instruction set can do; code that uses it is generic over it and compiled once per set, inside
//! a function that enables the set's features. [`portable`] does everything without vectors: it serves machines that
//! have none, and it is the plain counterpart the others are tested against.

pub mod json;
mod number;
pub mod portable;
pub mod structure;
pub mod wire;
#[cfg(target_arch = "x86_64")]
pub mod x86;

#[cfg(test)]
mod tests;

pub use number::{Decimal, digits, load_u64};

/// The three bitmaps of 64 bytes; bit `i` is byte `i`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Bytes of the set `\0 \t \n space , = [ ]`.
    pub separators: u64,
    pub quotes: u64,
    pub backslashes: u64,
}

/// One instruction set.
///
/// # Safety
/// Every method needs the instruction set it is named after, and every pointer what the method says of it.
pub trait Isa: Copy {
    /// Classifies the 64 bytes at `bytes`.
    ///
    /// # Safety
    /// 64 bytes at `bytes` must be readable.
    unsafe fn block(bytes: *const u8) -> Block;

    /// Bit `i` of the result is the parity of the bits up to and including `i`.
    ///
    /// # Safety
    /// The instruction set must be there.
    unsafe fn prefix_xor(bits: u64) -> u64;

    /// Writes `base` plus the position of every set bit, in order; returns how many. May write up to
    /// [`FLATTEN_SPARE`] more.
    ///
    /// # Safety
    /// `64 + FLATTEN_SPARE` elements at `out` must be writable.
    unsafe fn flatten(out: *mut u32, base: u32, bits: u64) -> usize;

    /// A number of at least 24 bits that depends on the low `bytes` (1 to 8) of both words and on nothing else.
    ///
    /// # Safety
    /// The instruction set must be there.
    unsafe fn fingerprint(start: u64, end: u64, bytes: usize) -> u64;

    /// Converts the `len` bytes before `end`, which should be digits with at most one point between them. With
    /// `!0` for `no_point` a point is wrong, with 0 it is not. See [`Decimal`].
    ///
    /// # Safety
    /// 16 bytes before `end` must be readable.
    unsafe fn decimal(end: *const u8, len: usize, no_point: u32) -> Decimal;

    /// Converts exactly 16 digits; `None` when one is none.
    ///
    /// # Safety
    /// 16 bytes at `text` must be readable.
    unsafe fn digits16(text: *const u8) -> Option<u64>;
}

/// How many elements [`Isa::flatten`] may write past the ones that count.
pub const FLATTEN_SPARE: usize = 16;

/// The instruction sets there is code for, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Portable,
    Avx2,
    Avx512,
}

impl Level {
    /// Those this machine has; never empty.
    pub fn available() -> impl Iterator<Item = Level> {
        [Level::Portable, Level::Avx2, Level::Avx512].into_iter().filter(|&level| level <= Level::best())
    }

    /// The highest one this machine has. Looked up once; later calls read a flag.
    #[cfg(target_arch = "x86_64")]
    pub fn best() -> Level {
        use std::arch::is_x86_feature_detected as has;
        static BEST: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| {
            let avx2 = has!("avx2")
                && has!("bmi1")
                && has!("bmi2")
                && has!("popcnt")
                && has!("lzcnt")
                && has!("sse4.2")
                && has!("pclmulqdq");
            let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512vbmi2");
            match (avx2, avx512) {
                (true, true) => Level::Avx512,
                (true, false) => Level::Avx2,
                _ => Level::Portable,
            }
        })
    }

    /// The highest one this machine has.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn best() -> Level {
        Level::Portable
    }
}

/// Copies `len` bytes in pieces of 32, over-reading and over-writing by at most 31.
///
/// # Safety
/// `len + 31` bytes must be readable at `from` and writable at `to`; the two must not overlap.
#[inline(always)]
pub unsafe fn copy_over(to: *mut u8, from: *const u8, len: usize) {
    let mut done = 0;
    loop {
        // SAFETY: `done` is 0 or below `len`, so the piece ends at most 31 bytes past `len`.
        unsafe {
            let piece = from.add(done).cast::<[u8; 32]>().read_unaligned();
            to.add(done).cast::<[u8; 32]>().write_unaligned(piece);
        }
        done += 32;
        if done >= len {
            return;
        }
    }
}
