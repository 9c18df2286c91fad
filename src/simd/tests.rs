//! Every instruction set against the portable one, and that one against the obvious.

use super::*;
use crate::buf::Padded;
use proptest::prelude::*;

/// The structure of a text, found the obvious way.
fn structure_naive(text: &[u8]) -> Vec<u32> {
    let (mut in_string, mut escaped) = (false, false);
    let mut found = Vec::new();
    for (i, &byte) in text.iter().enumerate() {
        let counts = match byte {
            b'"' if !escaped => {
                in_string = !in_string;
                true
            }
            b'\\' if !escaped => true,
            b'\0' | b'\t' | b'\n' | b' ' | b',' | b'=' | b'[' | b']' => !in_string && !escaped,
            _ => false,
        };
        if counts {
            found.push(i as u32);
        }
        escaped = byte == b'\\' && !escaped;
    }
    found
}

fn structure(level: Level, text: &[u8], padding: u8) -> Vec<u32> {
    let mut buffer = text.to_vec();
    buffer.extend_from_slice(&[padding; crate::buf::PADDING]);
    let text = Padded::new(&buffer, text.len()).unwrap();
    let mut out = Vec::new();
    let count = structure_on(level, text, &mut out);
    assert_eq!(out[count..], [text.len() as u32; structure::SENTINELS]);
    out.truncate(count);
    out
}

fn structure_on(level: Level, text: Padded<'_>, out: &mut Vec<u32>) -> usize {
    let start = text.with_padding().as_ptr();
    // SAFETY: the text is padded, and only available levels are asked for.
    unsafe {
        match level {
            Level::Portable => structure::index::<portable::Portable>(start, 0, text.len(), out),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => with_avx2(|| structure::index::<x86::Avx2>(start, 0, text.len(), out)),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => with_avx512(|| structure::index::<x86::Avx512>(start, 0, text.len(), out)),
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("no such level here"),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt,sse4.2,pclmulqdq")]
fn with_avx2<T>(f: impl FnOnce() -> T) -> T {
    f()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(
    enable = "avx2,bmi1,bmi2,popcnt,lzcnt,sse4.2,pclmulqdq,avx512f,avx512bw,avx512vl,avx512vbmi2"
)]
fn with_avx512<T>(f: impl FnOnce() -> T) -> T {
    f()
}

/// The last `len` of 16 bytes as a decimal, and all of them as digits.
fn decimal(level: Level, text: &[u8; 16], len: usize, no_point: u32) -> (Decimal, Option<u64>) {
    let (start, end) = (text.as_ptr(), text.as_ptr_range().end);
    // SAFETY: 16 bytes, and only available levels are asked for.
    unsafe {
        match level {
            Level::Portable => {
                (portable::Portable::decimal(end, len, no_point), portable::Portable::digits16(start))
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 | Level::Avx512 => {
                with_avx2(|| (x86::Avx2::decimal(end, len, no_point), x86::Avx2::digits16(start)))
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("no such level here"),
        }
    }
}

/// Texts made of what the index looks for, so that every combination comes up.
fn structural_text() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => prop::sample::select(&b"\0\t\n ,=[]\"\\a"[..]), 1 => any::<u8>()];
    prop::collection::vec(byte, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_level_finds_the_same_structure(text in structural_text(), padding in any::<u8>()) {
        let expected = structure_naive(&text);
        for level in Level::available() {
            prop_assert_eq!(&structure(level, &text, padding), &expected, "{:?}", level);
        }
    }

    #[test]
    fn every_level_converts_the_same_numbers(
        text in prop::array::uniform16(prop::sample::select(&b"01234567890123456789.-i, "[..])),
        len in 0usize..40,
        no_point in prop::sample::select(&[0, !0][..]),
    ) {
        let (expected, sixteen) = decimal(Level::Portable, &text, len, no_point);
        for level in Level::available() {
            let (found, found_sixteen) = decimal(level, &text, len, no_point);
            prop_assert_eq!(found.wrong == 0, expected.wrong == 0);
            if expected.wrong == 0 {
                prop_assert_eq!(found, expected);
            }
            prop_assert_eq!(found_sixteen, sixteen);
        }
    }

    #[test]
    fn fingerprints_depend_on_the_low_bytes_alone(start in any::<u64>(), end in any::<u64>(), other in any::<u64>(), bytes in 1usize..=8) {
        let mask = u64::MAX >> (64 - 8 * bytes);
        let changed = |word: u64| (word & mask) | (other & !mask);
        let of = |level: Level, start: u64, end: u64| {
            // SAFETY: only available levels are asked for.
            unsafe {
                match level {
                    Level::Portable => portable::Portable::fingerprint(start, end, bytes),
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 | Level::Avx512 => with_avx2(|| x86::Avx2::fingerprint(start, end, bytes)),
                    #[cfg(not(target_arch = "x86_64"))]
                    _ => unreachable!("no such level here"),
                }
            }
        };
        for level in Level::available() {
            prop_assert_eq!(of(level, start, end), of(level, changed(start), changed(end)));
        }
    }

    #[test]
    fn decimals_are_what_the_standard_library_reads(number in "[0-9]{1,9}(\\.[0-9]{1,5})?", before in any::<u8>()) {
        let mut text = [before; 16];
        text[16 - number.len()..].copy_from_slice(number.as_bytes());
        for level in Level::available() {
            let (found, _) = decimal(level, &text, number.len(), 0);
            prop_assert_eq!(found.wrong, 0);
            prop_assert_eq!(found.float().to_bits(), number.parse::<f64>().unwrap().to_bits());
            let (found, _) = decimal(level, &text, number.len(), !0);
            prop_assert_eq!(found.wrong == 0, !number.contains('.'));
        }
    }

    #[test]
    fn copies_are_exact(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut from = bytes.clone();
        from.resize(bytes.len() + 32, 1);
        let mut to = vec![2u8; bytes.len() + 32];
        // SAFETY: both have 32 bytes more than are copied.
        unsafe { copy_over(to.as_mut_ptr(), from.as_ptr(), bytes.len()) };
        prop_assert_eq!(&to[..bytes.len()], &bytes[..]);
    }
}

#[test]
fn runs_of_backslashes_cross_blocks() {
    for run in 0..=9 {
        for before in 55..70 {
            let mut text = vec![b'x'; before];
            text.extend(std::iter::repeat_n(b'\\', run));
            text.extend_from_slice(b"\" a");
            for level in Level::available() {
                assert_eq!(structure(level, &text, b'"'), structure_naive(&text), "{level:?} {run} {before}");
            }
        }
    }
}
