//! JSON strings out of texts: looked through for what is to be escaped in the same move that copies them.

use super::{Isa, MOVE_BYTES, Text, Writer};
use crate::buf::PADDING;

const _: () = assert!(MOVE_BYTES <= PADDING);

impl<'a> Text<'a> {
    /// The first bytes of the text, and of what stands behind it where it is shorter.
    #[inline(always)]
    pub fn head(self) -> &'a [u8; MOVE_BYTES] {
        // SAFETY: the invariant; PADDING is no less.
        unsafe { &*self.at.cast() }
    }

    /// The first eight bytes of the text, and zeros where it is shorter: as [`crate::simd::json::word`] has it.
    #[inline(always)]
    pub fn first_word<I: Isa>(self) -> u64 {
        // SAFETY: the invariant; PADDING is more than eight.
        let first = u64::from_le(unsafe { self.at.cast::<u64>().read_unaligned() });
        I::low_bits(first, (self.len.min(8) * 8) as u32)
    }

    #[inline(always)]
    pub fn is_ascii<I: Isa>(self) -> bool {
        let (mut done, mut high) = (0, 0);
        loop {
            let left = self.len - done;
            // SAFETY: the invariant; `done` is at most the length.
            let bits = unsafe { I::high_bits(self.at.add(done)) };
            high |= I::low_bits(u64::from(bits), left.min(MOVE_BYTES) as u32);
            if left <= MOVE_BYTES {
                return high == 0;
            }
            done += MOVE_BYTES;
        }
    }
}

impl<I: Isa> Writer<'_, I> {
    /// Appends a JSON string, unless something in the text is to be escaped: then nothing, and `false`.
    #[inline(always)]
    pub fn quoted(&mut self, text: Text<'_>) -> bool {
        self.room(text.len + 2 + MOVE_BYTES);
        let mut done = 0;
        // SAFETY: there is room for the text, its quotes and one move; it is readable one move from its end.
        unsafe {
            let start = self.place.at;
            *start = b'"';
            let at = start.add(1);
            loop {
                let left = text.len - done;
                let stops = I::copy_string(text.at.add(done), at.add(done), 0).stops;
                if I::low_bits(u64::from(stops), left.min(MOVE_BYTES) as u32) != 0 {
                    return false;
                }
                if left <= MOVE_BYTES {
                    break;
                }
                done += MOVE_BYTES;
            }
            *at.add(text.len) = b'"';
            self.advance(text.len + 2);
        }
        true
    }

    /// Appends `before` and a member, `"key":"value"`. Unless one of the two is long or has something to be escaped: then
    /// nothing, and `false`.
    #[inline(always)]
    pub fn quoted_pair(&mut self, before: u8, key: Text<'_>, value: Text<'_>) -> bool {
        if key.len.max(value.len) > MOVE_BYTES {
            return false;
        }
        self.room(6 + 2 * MOVE_BYTES);
        // SAFETY: there is room for both texts, the last of them with a whole move, and for the six bytes around them;
        // the texts are readable one move from their start.
        unsafe {
            let start = self.place.at;
            start.cast::<u16>().write_unaligned(u16::from_ne_bytes([before, b'"']));
            let found = I::copy_string(key.at, start.add(2), 0).stops;
            let mut stops = I::low_bits(u64::from(found), key.len as u32);
            let at = start.add(2 + key.len);
            at.cast::<u32>().write_unaligned(u32::from_ne_bytes(*b"\":\" "));
            let found = I::copy_string(value.at, at.add(3), 0).stops;
            stops |= I::low_bits(u64::from(found), value.len as u32);
            *at.add(3 + value.len) = b'"';
            if stops != 0 {
                return false;
            }
            self.advance(6 + key.len + value.len);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Kernel, Layout, Sources, run, run_plain};
    use super::*;
    use crate::buf::Padded;

    /// Writes a text alone, and as key and as value of a member.
    struct Script<'a>(&'a [u8]);

    impl Kernel for Script<'_> {
        type Output = (Vec<u8>, [bool; 4]);

        #[inline(always)]
        fn run<I: Isa>(self) -> Self::Output {
            let (mut text, mut other) = (self.0.to_vec(), b"x".to_vec());
            // What stands behind a text must not matter.
            text.extend(b"\"\\\x01\xff".iter().cycle().take(PADDING));
            let text = Padded::new(&text, self.0.len()).unwrap();
            let sources = Sources::new(text, Padded::pad(&mut other));
            let (text, other) = (sources.text(false, 0, self.0.len()), sources.text(true, 0, 1));
            let mut out = Vec::new();
            let mut writer: Writer<'_, I> =
                Writer::new(&mut out, Layout { field: 0, key: 0, is_tag: [0, 0] });
            let said = [
                writer.quoted(text),
                writer.quoted_pair(b'{', text, other),
                writer.quoted_pair(b',', other, text),
                text.is_ascii::<I>(),
            ];
            writer.finish();
            (out, said)
        }
    }

    fn obvious(text: &[u8]) -> (Vec<u8>, [bool; 4]) {
        let is_plain = !text.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        let is_pair = is_plain && text.len() <= MOVE_BYTES;
        let mut out = Vec::new();
        if is_plain {
            out.extend([b"\"", text, b"\""].concat());
        }
        if is_pair {
            out.extend([b"{\"", text, b"\":\"x\""].concat());
            out.extend([b",\"x\":\"", text, b"\""].concat());
        }
        (out, [is_plain, is_pair, is_pair, text.is_ascii()])
    }

    proptest! {
        #[test]
        fn all_write_what_the_obvious_way_writes(text in proptest::collection::vec(
            prop_oneof![30 => b' '..=b'~', 1 => any::<u8>()], 0..100,
        )) {
            prop_assert_eq!(run(Script(&text)), obvious(&text));
            prop_assert_eq!(run_plain(Script(&text)), obvious(&text));
        }
    }

    #[test]
    fn every_place_is_looked_at() {
        for len in 1..=3 * MOVE_BYTES {
            for at in 0..len {
                for byte in [b'"', b'\\', 0x1f, 0, 0x80, b' ', 0x7f] {
                    let mut text = vec![b'a'; len];
                    text[at] = byte;
                    assert_eq!(run(Script(&text)), obvious(&text), "{byte:#x} at {at} of {len}");
                }
            }
        }
    }
}
