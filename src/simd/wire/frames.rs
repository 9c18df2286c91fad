//! Reading protobuf messages where they stand.
//!
//! A [`Frames`] is a place inside a message inside a padded body. It gives out words and texts by their distance from
//! there; one comparison each proves that they may be read, and words may reach past the end of the message, into the
//! padding at most: what stands there is for the caller to ignore. Texts can be looked through and hashed with the
//! registers that [`super::Writer`] would copy them with.

use std::marker::PhantomData;

use super::{Isa, Layout, MOVE_BYTES, Text, suspects};
use crate::buf::{PADDING, Padded};

/// A place in a message, and how much of the message is left from there.
#[derive(Clone, Copy, Debug)]
pub struct Frames<'a> {
    /// INVARIANT: `left + PADDING` bytes are readable and initialised here for `'a`.
    at: *const u8,
    left: usize,
    source: PhantomData<&'a [u8]>,
}

impl<'a> Frames<'a> {
    /// The `len` bytes at `offset` of `body`.
    #[inline(always)]
    pub fn new(body: Padded<'a>, offset: usize, len: usize) -> Frames<'a> {
        let source = body.bytes();
        let inside = offset <= source.len() && len <= source.len() - offset;
        assert!(inside, "BUG: a message of {len} at {offset} in {}", source.len());
        // SAFETY: the message lies in the body, behind which `Padded` proves PADDING more bytes.
        Frames { at: unsafe { source.as_ptr().add(offset) }, left: len, source: PhantomData }
    }

    #[inline(always)]
    pub fn left(self) -> usize {
        self.left
    }

    /// All that is left.
    #[inline(always)]
    pub fn bytes(self) -> &'a [u8] {
        // SAFETY: the invariant.
        unsafe { std::slice::from_raw_parts(self.at, self.left) }
    }

    /// The eight bytes at `offset`, which may lie behind the message.
    #[inline(always)]
    pub fn word(self, offset: usize) -> u64 {
        assert!(offset <= self.left + (PADDING - 8), "BUG: a word at {offset} of {}", self.left);
        // SAFETY: the invariant, and the line above.
        u64::from_le(unsafe { self.at.add(offset).cast::<u64>().read_unaligned() })
    }

    /// The `len` bytes at `offset` as a text.
    #[inline(always)]
    pub fn text(self, offset: usize, len: usize) -> Text<'a> {
        let inner = self.message(offset, len);
        Text { at: inner.at, len, source: PhantomData }
    }

    /// The `len` bytes at `offset` as a message of their own.
    #[inline(always)]
    pub fn message(self, offset: usize, len: usize) -> Frames<'a> {
        let inside = offset <= self.left && len <= self.left - offset;
        assert!(inside, "BUG: {len} bytes at {offset} of {}", self.left);
        // SAFETY: inside what is left, so that the invariant holds there too.
        Frames { at: unsafe { self.at.add(offset) }, left: len, source: PhantomData }
    }

    /// Moves on.
    #[inline(always)]
    pub fn pass(&mut self, bytes: usize) {
        *self = self.message(bytes, self.left.saturating_sub(bytes));
    }

    /// The field that begins here, of the short form: tag, length, the key's tag and length in one byte each, a key
    /// that fits into a register, and behind it something of two bytes or more. Its key, what is behind that, and how
    /// many bytes it takes in all; `None` where anything else stands.
    #[inline(always)]
    pub fn short_field(self, layout: Layout) -> Option<(Text<'a>, Frames<'a>, usize)> {
        // Of both lengths the upper bit.
        const MASK: u32 = u32::from_le_bytes([0xff, 0x80, 0xff, 0x80]);
        let head = self.word(0) as u32;
        let (len, key_len) = ((head >> 8) as u8 as usize, (head >> 24) as usize);
        let fits = head & MASK == u32::from_le_bytes([layout.field, 0, layout.key, 0])
            && key_len.wrapping_sub(1) < MOVE_BYTES
            && key_len + 4 <= len
            && len + 2 <= self.left;
        if !fits {
            return None;
        }
        // SAFETY: the key begins at 4, and 4 + key_len <= len + 2 <= left; so the invariants hold at both places.
        let (key, behind) = unsafe { (self.at.add(4), self.at.add(4 + key_len)) };
        let key = Text { at: key, len: key_len, source: PhantomData };
        Some((key, Frames { at: behind, left: len - 2 - key_len, source: PhantomData }, len + 2))
    }

    /// The varint at `offset`, and its width; `None` where it does not end inside the message, or has more than ten
    /// bytes.
    #[inline(always)]
    pub fn varint(self, offset: usize) -> Option<(u64, usize)> {
        let word = self.word(offset);
        let stops = !word & 0x8080_8080_8080_8080;
        let (value, width) = if stops != 0 {
            // The bytes up to the first without its high bit, seven bits each.
            let kept = word & (stops ^ (stops - 1));
            (gather(kept), stops.trailing_zeros() as usize / 8 + 1)
        } else {
            let rest = self.word(offset + 8);
            let (ninth, tenth) = (rest as u8, (rest >> 8) as u8);
            let low = gather(word) | u64::from(ninth & 0x7f) << 56;
            match (ninth < 0x80, tenth < 0x80) {
                (true, _) => (low, 9),
                // Of the tenth byte one bit is left; Go drops the others, too.
                (false, true) => (low | u64::from(tenth) << 63, 10),
                (false, false) => return None,
            }
        };
        (offset + width <= self.left).then_some((value, width))
    }

    /// The length-delimited contents whose length stands at `offset`: where they begin, and how long they are.
    #[inline(always)]
    pub fn delimited(self, offset: usize) -> Option<(usize, usize)> {
        if offset >= self.left {
            return None;
        }
        let (len, width) = self.varint(offset)?;
        let start = offset + width;
        (len <= (self.left - start) as u64).then_some((start, len as usize))
    }
}

/// Seven bits of each byte, put together.
#[inline(always)]
fn gather(word: u64) -> u64 {
    let word = word & 0x7f7f_7f7f_7f7f_7f7f;
    let pairs = word & 0x007f_007f_007f_007f | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = pairs & 0x0000_3fff_0000_3fff | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    fours & 0x0fff_ffff | (fours & 0x0fff_ffff_0000_0000) >> 4
}

impl Text<'_> {
    /// Not zero if this is no key as it should be: it is empty, has a newline or the byte `unwanted` in it, or ends
    /// with a backslash.
    #[inline(always)]
    pub fn key_flaws<I: Isa>(self, unwanted: u8) -> u32 {
        if self.len.wrapping_sub(1) < MOVE_BYTES {
            return self.short_flaws::<I>(unwanted);
        }
        long_flaws(self, unwanted)
    }

    /// The same of a tag's value, which may be empty.
    #[inline(always)]
    pub fn value_flaws<I: Isa>(self) -> u32 {
        if self.len == 0 { 0 } else { self.key_flaws::<I>(b'\n') }
    }

    #[inline(always)]
    fn short_flaws<I: Isa>(self, unwanted: u8) -> u32 {
        let mut unused = [0; MOVE_BYTES];
        // SAFETY: the text is readable one move from its start, and the target is a move wide. (The copy has no
        // reader, and so is none.)
        let found = unsafe { I::copy_and_find(self.at, unused.as_mut_ptr(), unwanted) };
        I::low_bits(u64::from(found), self.len as u32) as u32 | self.ends_with_backslash()
    }

    /// 64 bits that depend on all bytes and on the length. Not for strangers' keys to be kept apart by: two that are
    /// equal in it are looked at again.
    #[inline(always)]
    pub fn hash<I: Isa>(self) -> u64 {
        if self.len > MOVE_BYTES {
            return long_hash(self);
        }
        // Two words cover up to 16 bytes, four up to 32; where the text is shorter than a word, both are the same.
        let (width, last) = (self.len.min(8), self.len.saturating_sub(8));
        // SAFETY: both words begin inside the text or at its start; PADDING is more than eight.
        let (first, end) = unsafe { (self.word(0), self.word(last)) };
        let low = |word: u64| I::low_bits(word, 8 * width as u32);
        let hash = fold(low(first) ^ SEEDS[0] ^ self.len as u64, low(end) ^ SEEDS[1]);
        if self.len <= 16 {
            return hash;
        }
        // SAFETY: the text has more than 16 bytes.
        let (second, third) = unsafe { (self.word(8), self.word(self.len - 16)) };
        hash ^ fold(second ^ SEEDS[2], third ^ SEEDS[3])
    }

    /// # Safety
    /// `offset` is at most the length, or `PADDING - 8`.
    #[inline(always)]
    unsafe fn word(self, offset: usize) -> u64 {
        // SAFETY: the invariant of `Text`, and the caller's promise.
        u64::from_le(unsafe { self.at.add(offset).cast::<u64>().read_unaligned() })
    }
}

#[cold]
#[inline(never)]
fn long_flaws(text: Text<'_>, unwanted: u8) -> u32 {
    u32::from(suspects(text.bytes(), unwanted))
}

#[cold]
#[inline(never)]
fn long_hash(text: Text<'_>) -> u64 {
    text.bytes().chunks(16).fold(text.len as u64, |hash, chunk| {
        let mut bytes = [0; 16];
        bytes[..chunk.len()].copy_from_slice(chunk);
        let both = u128::from_le_bytes(bytes);
        fold(hash ^ both as u64 ^ SEEDS[0], (both >> 64) as u64 ^ SEEDS[1]).wrapping_add(hash)
    })
}

/// Odd, and without a pattern: the fractions of the square roots of 2, 3, 5 and 7.
const SEEDS: [u64; 4] =
    [0x6a09_e667_f3bc_c909, 0xbb67_ae85_84ca_a73b, 0x3c6e_f372_fe94_f82b, 0xa54f_f53a_5f1d_36f1];

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Kernel, run, run_plain};
    use super::*;

    fn padded(bytes: &[u8], padding: u8) -> Vec<u8> {
        let mut buffer = bytes.to_vec();
        buffer.resize(bytes.len() + PADDING, padding);
        buffer
    }

    struct Hash<'a>(Text<'a>);

    impl Kernel for Hash<'_> {
        type Output = u64;

        #[inline(always)]
        fn run<I: Isa>(self) -> u64 {
            self.0.hash::<I>()
        }
    }

    struct Flaws<'a>(Text<'a>, u8);

    impl Kernel for Flaws<'_> {
        type Output = (u32, u32);

        #[inline(always)]
        fn run<I: Isa>(self) -> (u32, u32) {
            (self.0.key_flaws::<I>(self.1), self.0.value_flaws::<I>())
        }
    }

    fn plain_varint(bytes: &[u8]) -> Option<(u64, usize)> {
        let mut value = 0;
        for (index, &byte) in bytes.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Some((value, index + 1));
            }
        }
        None
    }

    proptest! {
        #[test]
        fn flaws_are_those_a_slow_look_finds(
            text in proptest::collection::vec(prop_oneof![
                6 => prop::num::u8::ANY, 1 => Just(b'\n'), 1 => Just(b'\\'), 1 => Just(b'.'),
            ], 0..70),
            unwanted in prop::sample::select(vec![b'.', b'\n']),
            padding in prop::sample::select(vec![0, b'\n', b'.', b'\\']),
        ) {
            let buffer = padded(&text, padding);
            let body = Padded::new(&buffer, text.len()).unwrap();
            let whole = Frames::new(body, 0, text.len()).text(0, text.len());
            let value = !text.is_empty() && suspects(&text, b'\n');
            for (key, val) in [run(Flaws(whole, unwanted)), run_plain(Flaws(whole, unwanted))] {
                prop_assert_eq!(key != 0, suspects(&text, unwanted));
                prop_assert_eq!(val != 0, value);
            }
        }

        #[test]
        fn equal_texts_have_equal_hashes_and_others_hardly(
            text in proptest::collection::vec(0u8.., 0..50),
            at in 0usize..50,
            flip in 1u8..,
            paddings in any::<(u8, u8)>(),
        ) {
            let hash = |text: &[u8], padding: u8| {
                let buffer = padded(text, padding);
                let body = Padded::new(&buffer, text.len()).unwrap();
                let text = Frames::new(body, 0, text.len()).text(0, text.len());
                assert_eq!(run(Hash(text)), run_plain(Hash(text)));
                run(Hash(text))
            };
            prop_assert_eq!(hash(&text, paddings.0), hash(&text, paddings.1));
            let mut longer = text.clone();
            longer.push(0);
            prop_assert_ne!(hash(&text, 0), hash(&longer, 0));
            if !text.is_empty() {
                let mut other = text.clone();
                other[at % text.len()] ^= flip;
                prop_assert_ne!(hash(&text, 0), hash(&other, 0));
            }
        }

        #[test]
        fn varints_are_read_as_a_loop_reads_them(
            bytes in proptest::collection::vec(prop_oneof![0u8.., 0x80u8..], 0..14),
            padding in 0u8..,
        ) {
            let buffer = padded(&bytes, padding);
            let frames = Frames::new(Padded::new(&buffer, bytes.len()).unwrap(), 0, bytes.len());
            prop_assert_eq!(frames.varint(0), plain_varint(&bytes));
            let expected = plain_varint(&bytes)
                .filter(|&(len, width)| len <= (bytes.len() - width) as u64)
                .map(|(len, width)| (width, len as usize));
            prop_assert_eq!(frames.delimited(0), expected);
        }
    }

    #[test]
    fn short_fields_are_taken_up_to_their_bounds() {
        let layout = Layout { field: 0x12, key: 0x0a, is_tag: [0x40, 1] };
        let field = |key_len: usize, value_len: usize| {
            let head = [0x12, (key_len + value_len + 2) as u8, 0x0a, key_len as u8];
            [&head[..], &vec![b'k'; key_len], &vec![7; value_len]].concat()
        };
        for (key_len, value_len, taken) in [
            (1, 2, true),
            (32, 2, true),
            (32, 93, true),
            (1, 124, true),
            (0, 2, false),
            (33, 2, false),
            (1, 1, false),
            (1, 0, false),
            (1, 125, false),
            (32, 94, false),
        ] {
            let bytes = field(key_len, value_len);
            for cut in [0, 1] {
                let buffer = padded(&bytes[..bytes.len() - cut], 0x12);
                let body = Padded::new(&buffer, bytes.len() - cut).unwrap();
                let found = Frames::new(body, 0, body.len()).short_field(layout);
                let found = found.map(|(key, value, size)| (key.bytes(), value.bytes(), size));
                let expected = (&bytes[4..4 + key_len], &bytes[4 + key_len..], bytes.len());
                assert_eq!(found, (taken && cut == 0).then_some(expected), "{key_len}, {value_len}");
            }
        }
        let buffer = padded(b"\x18\x05\x0a\x01k\x10\x01", 0);
        assert!(Frames::new(Padded::new(&buffer, 7).unwrap(), 0, 7).short_field(layout).is_none());
    }

    #[test]
    #[should_panic(expected = "BUG")]
    fn nothing_outside_the_message_is_a_text() {
        let buffer = padded(b"abc", 0);
        Frames::new(Padded::new(&buffer, 3).unwrap(), 1, 2).text(1, 2);
    }
}
