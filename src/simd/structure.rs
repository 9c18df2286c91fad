//! The index: where the structure of a text lies. First of the two stages of a structural reader.
//!
//! Of `\0 \t \n space , = [ ]` those that are neither in a string nor escaped, all quotes that are not escaped, and
//! every backslash that escapes: their offsets, in order. A string is what stands between two unescaped quotes, counted from the start of
//! the window, wherever they are; whether quotes may stand there is for the second stage to find out.

use super::{FLATTEN_SPARE, Isa};

/// Elements behind the last offset that may be read; they hold the end of the window.
pub const SENTINELS: usize = 8;

/// Fills `out` with the structure of `text[from..to]` and [`SENTINELS`] times `to`; returns how many offsets there
/// are without those.
///
/// # Safety
/// The instruction set must be there, `from <= to`, `to` must fit 32 bits, and 64 bytes from `to` on must be
/// readable, as must everything before.
#[inline(always)]
pub unsafe fn index<I: Isa>(text: *const u8, from: usize, to: usize, out: &mut Vec<u32>) -> usize {
    out.clear();
    // One entry a byte at worst; memory that is not written to is not taken.
    out.reserve((to - from).next_multiple_of(64) + FLATTEN_SPARE + SENTINELS);
    let mut count = 0;
    let (mut escape, mut in_string) = (0u64, 0u64);
    let mut at = from;
    while at < to {
        // SAFETY: `at` is below `to`, behind which 64 bytes are readable.
        let block = unsafe { I::block(text.add(at)) };
        let escaped = escaped(block.backslashes, &mut escape);
        let quotes = block.quotes & !escaped;
        // SAFETY: the caller promises the instruction set.
        let strings = unsafe { I::prefix_xor(quotes) } ^ in_string;
        in_string = ((strings as i64) >> 63) as u64;
        let mut bits = ((block.separators & !strings) | quotes | block.backslashes) & !escaped;
        let left = to - at;
        if left < 64 {
            bits &= (1 << left) - 1;
        }
        // SAFETY: there is room for an entry a byte and the spare; the length is set below.
        count += unsafe { I::flatten(out.as_mut_ptr().add(count), at as u32, bits) };
        at += 64;
    }
    // SAFETY: `count` elements have been written.
    unsafe { out.set_len(count) };
    out.extend_from_slice(&[to as u32; SENTINELS]);
    count
}

/// Which bytes a backslash escapes: those behind an odd run of backslashes. `carry` is 1 when the byte before the
/// block escapes the first one.
#[inline(always)]
fn escaped(backslashes: u64, carry: &mut u64) -> u64 {
    if backslashes == 0 {
        return std::mem::take(carry);
    }
    const EVEN: u64 = 0x5555_5555_5555_5555;
    let starts = backslashes & !*carry;
    let follows = starts << 1 | *carry;
    let odd_starts = starts & !EVEN & !follows;
    let (sequences, overflow) = odd_starts.overflowing_add(starts);
    *carry = u64::from(overflow);
    (EVEN ^ (sequences << 1)) & follows
}
