//! The primitives on AVX2, and what AVX-512 does better.
//!
//! The methods carry no `target_feature` of their own: they are inlined into functions that do, which is the only
//! place they may be called from.

use std::arch::x86_64::*;

use super::{Block, Decimal, FLATTEN_SPARE, Isa};

/// AVX2, BMI1, BMI2, POPCNT, LZCNT, PCLMULQDQ.
#[derive(Clone, Copy, Debug)]
pub struct Avx2;

/// All of [`Avx2`], and AVX-512 F, BW, VL, VBMI2.
#[derive(Clone, Copy, Debug)]
pub struct Avx512;

/// Separators by their low and their high half: a byte is one when the two rows share a bit.
/// Bit 0: `\0 \t \n`. Bit 1: space and comma. Bit 2: `=`. Bit 3: `[` and `]`.
const LOW: [i8; 16] = [0b0011, 0, 0, 0, 0, 0, 0, 0, 0, 0b0001, 0b0001, 0b1000, 0b0010, 0b1100, 0, 0];
const HIGH: [i8; 16] = [0b0001, 0, 0b0010, 0b0100, 0, 0b1000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[inline(always)]
unsafe fn rows(row: &[i8; 16]) -> __m128i {
    // SAFETY: 16 bytes, no alignment assumed.
    unsafe { _mm_loadu_si128(row.as_ptr().cast()) }
}

/// Which of 32 bytes are no separators.
#[inline(always)]
unsafe fn others(bytes: __m256i) -> u32 {
    // SAFETY: the caller promises AVX2.
    unsafe {
        let by_low = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(rows(&LOW)), bytes);
        let halves = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), _mm256_set1_epi8(0x0f));
        let by_high = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(rows(&HIGH)), halves);
        let none = _mm256_cmpeq_epi8(_mm256_and_si256(by_low, by_high), _mm256_setzero_si256());
        _mm256_movemask_epi8(none) as u32
    }
}

/// Which of 32 bytes are `byte`.
#[inline(always)]
unsafe fn equal(bytes: __m256i, byte: u8) -> u32 {
    // SAFETY: the caller promises AVX2.
    unsafe { _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte as i8))) as u32 }
}

#[inline(always)]
fn join(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

impl Isa for Avx2 {
    #[inline(always)]
    unsafe fn block(bytes: *const u8) -> Block {
        // SAFETY: the caller promises 64 readable bytes and the instruction set.
        unsafe {
            let a = _mm256_loadu_si256(bytes.cast());
            let b = _mm256_loadu_si256(bytes.add(32).cast());
            Block {
                separators: !join(others(a), others(b)),
                quotes: join(equal(a, b'"'), equal(b, b'"')),
                backslashes: join(equal(a, b'\\'), equal(b, b'\\')),
            }
        }
    }

    #[inline(always)]
    unsafe fn prefix_xor(bits: u64) -> u64 {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let product = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits as i64), _mm_set1_epi8(-1));
            _mm_cvtsi128_si64(product) as u64
        }
    }

    #[inline(always)]
    unsafe fn flatten(out: *mut u32, base: u32, mut bits: u64) -> usize {
        /// Blocks inside long strings rarely have more than this, others rarely less.
        const FEW: usize = 4;
        /// And hardly any has more than this: so the branches are predicted, whatever the text is.
        const MANY: usize = 12;
        const _: () = assert!(FEW < MANY && MANY <= FLATTEN_SPARE);
        let count = bits.count_ones() as usize;
        // SAFETY: below 64 or `FLATTEN_SPARE`. The stores are volatile, or the compiler gathers them into vectors,
        // which costs twice the stores.
        let mut store = |i| unsafe {
            out.add(i).write_volatile(base.wrapping_add(bits.trailing_zeros()));
            bits &= bits.wrapping_sub(1);
        };
        (0..FEW).for_each(&mut store);
        if count > FEW {
            (FEW..MANY).for_each(&mut store);
            (MANY..count).for_each(&mut store);
        }
        count
    }

    #[inline(always)]
    unsafe fn fingerprint(start: u64, end: u64, bytes: usize) -> u64 {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let bits = 8 * bytes as u32;
            _mm_crc32_u64(_mm_crc32_u64(0, _bzhi_u64(start, bits)), _bzhi_u64(end, bits))
        }
    }

    #[inline(always)]
    unsafe fn decimal(end: *const u8, len: usize, no_point: u32) -> Decimal {
        // SAFETY: the caller promises 16 readable bytes before the end and the instruction set; places in the tables
        // are masked or at most 16.
        unsafe {
            let bytes = _mm_loadu_si128(end.sub(16).cast());
            let digits = _mm_sub_epi8(bytes, _mm_set1_epi8(b'0' as i8));
            let is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digits, _mm_set1_epi8(9)), digits);
            let is_digit = _mm_movemask_epi8(is_digit) as u32;
            let is_point = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'.' as i8))) as u32;
            // The last `len` of 16, the first of these, the very last one.
            let text = 0xffff_0000u32.wrapping_shr(len as u32) & 0xffff;
            let ends = _blsi_u32(text) | 0x8000;
            let points = is_point & text;
            let wrong = (text & !(is_digit | is_point))
                | (ends & !is_digit)
                | _blsr_u32(points)
                | (points & no_point)
                | (len.wrapping_sub(1) as u32 & !15);
            let point = (points | 1 << 16).trailing_zeros() as usize;
            // Take away what stands before, close the gap of the point, multiply and add.
            let last = _mm_loadu_si128(LAST.0.as_ptr().add(len & 31).cast());
            let without = _mm_load_si128(WITHOUT.0.as_ptr().add(point * 16).cast());
            let digits = _mm_shuffle_epi8(_mm_and_si128(digits, last), without);
            Decimal { mantissa: sixteen(digits), point, wrong }
        }
    }

    #[inline(always)]
    unsafe fn digits16(text: *const u8) -> Option<u64> {
        // SAFETY: the caller promises 16 readable bytes and the instruction set.
        unsafe {
            let digits = _mm_sub_epi8(_mm_loadu_si128(text.cast()), _mm_set1_epi8(b'0' as i8));
            let is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digits, _mm_set1_epi8(9)), digits);
            (_mm_movemask_epi8(is_digit) == 0xffff).then(|| sixteen(digits))
        }
    }
}

/// The number that 16 digits (not characters) are.
#[inline(always)]
pub(super) unsafe fn sixteen(digits: __m128i) -> u64 {
    // SAFETY: the caller promises the instruction set.
    unsafe {
        let pairs = _mm_maddubs_epi16(digits, _mm_set1_epi16(0x010a));
        let fours = _mm_madd_epi16(pairs, _mm_set1_epi32(0x0001_0064));
        let fours = _mm_packus_epi32(fours, fours);
        let eights = _mm_madd_epi16(fours, _mm_set1_epi32(0x0001_2710));
        let eights = _mm_cvtsi128_si64(eights) as u64;
        (eights & 0xffff_ffff) * 100_000_000 + (eights >> 32)
    }
}

#[repr(align(16))]
struct Aligned<const N: usize>([u8; N]);

/// A shuffle that gives zero.
const ZERO: u8 = 0x80;

/// Row `i` takes byte `i` out of 16 and moves those before it to the right; row 16 takes none.
static WITHOUT: Aligned<{ 17 * 16 }> = Aligned({
    let mut table = [ZERO; 17 * 16];
    let mut point = 0;
    while point < 17 {
        let mut i = 0;
        while i < 16 {
            if i > point || point == 16 {
                table[point * 16 + i] = i as u8;
            } else if i > 0 {
                table[point * 16 + i] = i as u8 - 1;
            }
            i += 1;
        }
        point += 1;
    }
    table
});

/// 16 bytes from offset `n` cover the last `n` of 16; from 16 on all.
static LAST: Aligned<48> = Aligned({
    let mut table = [0xff; 48];
    let mut i = 0;
    while i < 16 {
        table[i] = 0;
        i += 1;
    }
    table
});

impl Isa for Avx512 {
    #[inline(always)]
    unsafe fn block(bytes: *const u8) -> Block {
        // SAFETY: the caller promises 64 readable bytes and the instruction set.
        unsafe {
            let v = _mm512_loadu_si512(bytes.cast());
            let low = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(rows(&LOW)), v);
            let halves = _mm512_and_si512(_mm512_srli_epi16::<4>(v), _mm512_set1_epi8(0x0f));
            let high = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(rows(&HIGH)), halves);
            Block {
                separators: _mm512_test_epi8_mask(low, high),
                quotes: _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(b'"' as i8)),
                backslashes: _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(b'\\' as i8)),
            }
        }
    }

    #[inline(always)]
    unsafe fn prefix_xor(bits: u64) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { Avx2::prefix_xor(bits) }
    }

    #[inline(always)]
    unsafe fn flatten(out: *mut u32, base: u32, bits: u64) -> usize {
        let count = bits.count_ones() as usize;
        // SAFETY: each store writes 16 elements from a multiple of 16 that is 0 or below `count`.
        unsafe {
            let positions = _mm512_maskz_compress_epi8(bits, _mm512_loadu_si512(POSITIONS.as_ptr().cast()));
            let base = _mm512_set1_epi32(base as i32);
            widen(out, base, _mm512_castsi512_si128(positions));
            if count > 16 {
                widen(out.add(16), base, _mm512_extracti32x4_epi32::<1>(positions));
                if count > 32 {
                    widen(out.add(32), base, _mm512_extracti32x4_epi32::<2>(positions));
                    widen(out.add(48), base, _mm512_extracti32x4_epi32::<3>(positions));
                }
            }
        }
        count
    }

    #[inline(always)]
    unsafe fn fingerprint(start: u64, end: u64, bytes: usize) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { Avx2::fingerprint(start, end, bytes) }
    }

    #[inline(always)]
    unsafe fn decimal(end: *const u8, len: usize, no_point: u32) -> Decimal {
        // SAFETY: the caller's promise.
        unsafe { Avx2::decimal(end, len, no_point) }
    }

    #[inline(always)]
    unsafe fn digits16(text: *const u8) -> Option<u64> {
        // SAFETY: the caller's promise.
        unsafe { Avx2::digits16(text) }
    }
}

/// Stores 16 bytes as 32 bits each, plus `base`.
#[inline(always)]
unsafe fn widen(out: *mut u32, base: __m512i, sixteen: __m128i) {
    // SAFETY: the caller promises 16 writable elements and the instruction set.
    unsafe { _mm512_storeu_si512(out.cast(), _mm512_add_epi32(_mm512_cvtepu8_epi32(sixteen), base)) };
}

/// 0 to 63.
static POSITIONS: [u8; 64] = {
    let mut positions = [0; 64];
    let mut i = 0;
    while i < 64 {
        positions[i] = i as u8;
        i += 1;
    }
    positions
};
