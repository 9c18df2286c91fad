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
    unsafe fn decimal(text: *const u8) -> Decimal {
        // SAFETY: the caller promises 16 readable bytes.
        let text = unsafe { text.cast::<[u8; 16]>().read_unaligned() };
        let len = text.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'.')).count();
        let (mut mantissa, mut fraction, mut points) = (0u64, 0, 0);
        for byte in text.into_iter().take(len) {
            if byte == b'.' {
                points += 1;
            } else {
                mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
                fraction += points.min(1);
            }
        }
        let digit = |i: usize| text.get(i).is_some_and(u8::is_ascii_digit);
        let ok = len < 16 && points <= 1 && digit(0) && digit(len.wrapping_sub(1));
        Decimal { mantissa, fraction, len, ok }
    }

    #[inline(always)]
    unsafe fn digits16(text: *const u8) -> Option<u64> {
        // SAFETY: the caller promises 16 readable bytes.
        digits(&unsafe { text.cast::<[u8; 16]>().read_unaligned() })
    }
}
