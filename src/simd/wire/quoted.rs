//! JSON strings out of texts: looked through for what is to be escaped in the same move that copies them.

use super::{Isa, Kernel, Layout, MOVE_BYTES, Place, Text, Writer};
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
        // SAFETY: the invariant; `done` is at most the length.
        unsafe {
            while self.len - done > MOVE_BYTES {
                high |= I::high_bits(self.at.add(done));
                done += MOVE_BYTES;
            }
            let last = I::high_bits(self.at.add(done));
            high == 0 && I::low_bits(u64::from(last), (self.len - done) as u32) == 0
        }
    }
}

/// What stands for a byte that is to be escaped, and how long it is.
static ESCAPES: [([u8; 8], u8); 256] = {
    let digits = b"0123456789abcdef";
    let mut escapes = [([0; 8], 0); 256];
    let mut byte = 0;
    while byte < 0x20 {
        escapes[byte] = ([b'\\', b'u', b'0', b'0', digits[byte >> 4], digits[byte & 15], 0, 0], 6);
        byte += 1;
    }
    let short = [(b'"', b'"'), (b'\\', b'\\'), (b'\n', b'n'), (b'\r', b'r'), (b'\t', b't')];
    let mut at = 0;
    while at < short.len() {
        let (byte, letter) = short[at];
        escapes[byte as usize] = ([b'\\', letter, 0, 0, 0, 0, 0, 0], 2);
        at += 1;
    }
    escapes
};

/// The way of a text in which something is to be escaped: from one such byte to the next.
struct Escaped<'a> {
    place: Place,
    layout: Layout,
    text: Text<'a>,
}

impl Kernel for Escaped<'_> {
    type Output = Place;

    #[inline(always)]
    fn run<I: Isa>(self) -> Place {
        let mut writer: Writer<'_, I> = Writer::at_place(self.place, self.layout);
        let (text, mut done) = (self.text, 0);
        writer.bytes(b"\"");
        while done < text.len {
            let left = (text.len - done).min(MOVE_BYTES);
            writer.room(2 * MOVE_BYTES);
            // SAFETY: there is room for a move, or for what of it stays and an escape; the text is readable one move from
            // its end, and `done` is below its length.
            unsafe {
                let stops = I::copy_string(text.at.add(done), writer.place.at, 0).stops;
                let stops = I::low_bits(u64::from(stops), left as u32);
                if stops == 0 {
                    writer.advance(left);
                    done += left;
                    continue;
                }
                let plain = stops.trailing_zeros() as usize;
                let (escape, len) = ESCAPES[usize::from(*text.at.add(done + plain))];
                writer.advance(plain);
                writer.place.at.cast::<[u8; 8]>().write_unaligned(escape);
                writer.advance(usize::from(len));
                done += plain + 1;
            }
        }
        writer.bytes(b"\"");
        writer.place
    }
}

/// A member of which the one or the other is long or to be escaped.
struct Pair<'a> {
    place: Place,
    layout: Layout,
    before: u8,
    key: Text<'a>,
    value: Text<'a>,
}

impl Kernel for Pair<'_> {
    type Output = Place;

    #[inline(always)]
    fn run<I: Isa>(self) -> Place {
        let mut writer: Writer<'_, I> = Writer::at_place(self.place, self.layout);
        writer.quoted(&[self.before], self.key);
        writer.quoted(b":", self.value);
        writer.place
    }
}

impl<I: Isa> Writer<'_, I> {
    /// Appends `before` and a JSON string. Says whether nothing in the text was to be escaped.
    #[inline(always)]
    pub fn quoted<const N: usize>(&mut self, before: &[u8; N], text: Text<'_>) -> bool {
        self.room(N + text.len + 2 + MOVE_BYTES);
        let mut done = 0;
        // SAFETY: there is room for what stands before, the text, its quotes and one move; it is readable one move from its
        // end.
        unsafe {
            self.place.at.cast::<[u8; N]>().write_unaligned(*before);
            self.advance(N);
            let start = self.place.at;
            *start = b'"';
            let at = start.add(1);
            while text.len - done > MOVE_BYTES {
                if I::copy_string(text.at.add(done), at.add(done), 0).stops != 0 {
                    return self.escaped(text);
                }
                done += MOVE_BYTES;
            }
            let stops = I::copy_string(text.at.add(done), at.add(done), 0).stops;
            if I::low_bits(u64::from(stops), (text.len - done) as u32) != 0 {
                return self.escaped(text);
            }
            *at.add(text.len) = b'"';
            self.advance(text.len + 2);
        }
        true
    }

    #[inline(always)]
    fn escaped(&mut self, text: Text<'_>) -> bool {
        self.place = I::apart(Escaped { place: self.place, layout: self.layout, text });
        false
    }

    /// Appends `before` and a member, `"key":"value"`.
    #[inline(always)]
    pub fn quoted_pair(&mut self, before: u8, key: Text<'_>, value: Text<'_>) {
        if key.len.max(value.len) > MOVE_BYTES {
            return self.any_pair(before, key, value);
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
                return self.any_pair(before, key, value);
            }
            self.advance(6 + key.len + value.len);
        }
    }

    /// As [`Writer::quoted_pair`], for texts of any length, whatever is in them.
    #[inline(always)]
    fn any_pair(&mut self, before: u8, key: Text<'_>, value: Text<'_>) {
        self.place = I::apart(Pair { place: self.place, layout: self.layout, before, key, value });
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
        type Output = (Vec<u8>, [bool; 2]);

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
            let is_plain = writer.quoted(b"before", text);
            writer.quoted_pair(b'{', text, other);
            writer.quoted_pair(b',', other, text);
            writer.finish();
            (out, [is_plain, text.is_ascii::<I>()])
        }
    }

    fn obvious(text: &[u8]) -> (Vec<u8>, [bool; 2]) {
        let is_plain = !text.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        let escape = |byte: &u8| match *byte {
            b'"' | b'\\' => vec![b'\\', *byte],
            b'\n' => b"\\n".to_vec(),
            b'\r' => b"\\r".to_vec(),
            b'\t' => b"\\t".to_vec(),
            byte @ 0..0x20 => format!("\\u{byte:04x}").into_bytes(),
            byte => vec![byte],
        };
        let escaped: Vec<u8> = text.iter().flat_map(escape).collect();
        let mut out = [b"before\"", &escaped[..], b"\""].concat();
        out.extend([b"{\"", &escaped[..], b"\":\"x\""].concat());
        out.extend([b",\"x\":\"", &escaped[..], b"\""].concat());
        (out, [is_plain, text.is_ascii()])
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
    fn what_is_escaped_is_json() {
        let text: String = (0..=0x7f).map(char::from).cycle().take(10_000).collect();
        let (written, _) = run(Script(text.as_bytes()));
        let json = str::from_utf8(&written).unwrap().strip_prefix("before").unwrap();
        let (json, _) = json.split_once("{\"").unwrap();
        // The text has `{"` in it only with a backslash between the two.
        assert_eq!(serde_json::from_str::<String>(json).unwrap(), text);
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
