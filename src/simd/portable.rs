//! The primitives without vectors.

use super::{Block, Decimal, Isa, digits};

/// Any machine.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

const SEPARATOR: u8 = 1;
const QUOTE: u8 = 2;
const BACKSLASH: u8 = 4;

/// The class of every byte.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let separators = b"\0\t\n ,=[]";
    let mut i = 0;
    while i < separators.len() {
        classes[separators[i] as usize] = SEPARATOR;
        i += 1;
    }
    classes[b'"' as usize] = QUOTE;
    classes[b'\\' as usize] = BACKSLASH;
    classes
};

impl Isa for Portable {
    #[inline(always)]
    unsafe fn block(bytes: *const u8) -> Block {
        // SAFETY: the caller promises 64 readable bytes.
        let bytes = unsafe { bytes.cast::<[u8; 64]>().read_unaligned() };
        let mut block = Block::default();
        for (i, byte) in bytes.into_iter().enumerate() {
            let class = u64::from(CLASSES[usize::from(byte)]);
            block.separators |= (class & 1) << i;
            block.quotes |= (class >> 1 & 1) << i;
            block.backslashes |= (class >> 2) << i;
        }
        block
    }

    #[inline(always)]
    unsafe fn prefix_xor(mut bits: u64) -> u64 {
        for shift in [1, 2, 4, 8, 16, 32] {
            bits ^= bits << shift;
        }
        bits
    }

    #[inline(always)]
    unsafe fn flatten(out: *mut u32, base: u32, mut bits: u64) -> usize {
        let count = bits.count_ones() as usize;
        for i in 0..count {
            // SAFETY: at most 64 elements, which the caller promises are writable.
            unsafe { out.add(i).write(base + bits.trailing_zeros()) };
            bits &= bits - 1;
        }
        count
    }

    #[inline(always)]
    unsafe fn fingerprint(start: u64, end: u64, bytes: usize) -> u64 {
        let mask = u64::MAX >> (64 - 8 * bytes);
        let start = (start & mask).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let end = (end & mask).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (start ^ end).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40
    }

    #[inline(always)]
    unsafe fn decimal(end: *const u8, len: usize, no_point: u32) -> Decimal {
        if len == 0 || len > 16 {
            return Decimal::WRONG;
        }
        // SAFETY: the caller promises 16 readable bytes before the end.
        let text = unsafe { std::slice::from_raw_parts(end.sub(len), len) };
        let (mut mantissa, mut point, mut points) = (0u64, 16, 0);
        let mut wrong = !text[0].is_ascii_digit() || !text[len - 1].is_ascii_digit();
        for (i, &byte) in text.iter().enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit <= 9 {
                mantissa = mantissa * 10 + u64::from(digit);
            } else {
                wrong |= byte != b'.';
                point = 16 - len + i;
                points += 1;
            }
        }
        wrong |= points > 1 || (points > 0 && no_point != 0);
        Decimal { mantissa, point, wrong: u32::from(wrong) }
    }

    #[inline(always)]
    unsafe fn digits16(text: *const u8) -> Option<u64> {
        // SAFETY: the caller promises 16 readable bytes.
        digits(&unsafe { text.cast::<[u8; 16]>().read_unaligned() })
    }
}
