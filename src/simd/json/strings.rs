//! From a cursor to a writer: names, keys and values.
//!
//! Short texts without escapes take the way described in [`super`]. The others, and values of unknown length, take a
//! loop of their own out of line: it copies up to the next escape, writes what that stands for, and puts the lengths
//! before the text at the end, when they are known.

use std::hint::select_unpredictable;
use std::marker::PhantomData;

use super::Cursor;
use crate::simd::wire::{
    DEPOSIT_BITS, FIELD_ROOM, Isa, Kernel, Layout, MOVE_BYTES, Place, Text, Writer, deposit, suspects,
    varint_len,
};

/// What the character behind a backslash stands for; 0 where that is nothing, or `u`.
static ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let (from, to) = (b"\"\\/bfnrt", b"\"\\/\x08\x0c\n\r\t");
    let mut at = 0;
    while at < from.len() {
        escapes[from[at] as usize] = to[at];
        at += 1;
    }
    escapes
};

/// The widths of both lengths of a long value as they are guessed.
const GUESSED_WIDTH: usize = 2;

impl<'a> Text<'a> {
    /// A number that depends on the first and the last eight bytes only.
    #[inline(always)]
    pub fn fingerprint<I: Isa>(self) -> u64 {
        let bytes = self.len.min(8);
        // SAFETY: PADDING bytes behind the text are readable, and eight are not more.
        let (first, last) =
            unsafe { (crate::simd::load_u64(self.at), crate::simd::load_u64(self.at.add(self.len - bytes))) };
        let first = I::low_bits(first, bytes as u32 * 8);
        let last = I::low_bits(last, bytes as u32 * 8);
        // The upper bits of a product depend on all bits of its factor; both constants are odd and without pattern.
        (first.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ last).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }
}

/// A field whose key is written, and whose value is not.
pub struct Field<'w, 'v, 'a, I> {
    /// INVARIANT: has room for FIELD_ROOM and two moves more; unless the key is longer than MOVE_BYTES, it stands four
    /// bytes behind the place.
    writer: &'w mut Writer<'v, I>,
    key: Text<'a>,
    suspect: u32,
}

/// A field that is written and may be added to.
pub struct Written<'w, 'v, I> {
    /// INVARIANT: `size` bytes before its place a field begins, its length behind the first byte.
    writer: &'w mut Writer<'v, I>,
    size: usize,
    text_len: usize,
    suspect: u32,
}

impl<'v, I: Isa> Writer<'v, I> {
    /// Passes a string and writes it as a text field of the message itself, such as its name; the result is its length.
    /// `None` for a string with escapes.
    #[inline(always)]
    pub fn string_field(&mut self, tag: u8, cursor: &mut Cursor<'_>) -> Option<usize> {
        if cursor.byte() != b'"' {
            return None;
        }
        self.room(FIELD_ROOM + MOVE_BYTES);
        // SAFETY: behind the quote 32 bytes are readable, and one more; there is room for tag, length and one move.
        let (marks, len, closed) = unsafe {
            let text = cursor.at.add(1);
            let marks = I::copy_string(text, self.place.at.add(2), b'"');
            let len = marks.stops.trailing_zeros() as usize;
            (marks, len, *text.add(len) == b'"')
        };
        if !closed {
            let text = cursor.long_key(len)?;
            self.text_field(tag, text);
            return Some(text.len);
        }
        cursor.high |= I::low_bits(u64::from(marks.high), len as u32) as u32;
        cursor.skip(len + 2)?;
        // SAFETY: there is room, and the text is behind tag and length already.
        unsafe {
            self.place.at.cast::<u16>().write_unaligned(u16::from_le_bytes([tag, len as u8]));
            self.advance(2 + len);
        }
        Some(len)
    }

    /// Passes a key and the byte that must follow it, and begins a field. `None` for a key with escapes.
    #[inline(always)]
    pub fn field<'w, 'a>(
        &'w mut self,
        cursor: &mut Cursor<'a>,
        follower: u8,
        unwanted: u8,
    ) -> Option<Field<'w, 'v, 'a, I>> {
        if cursor.byte() != b'"' {
            return None;
        }
        self.room(FIELD_ROOM + 2 * MOVE_BYTES);
        // SAFETY: behind the quote 32 bytes are readable, and two more; there is room for four bytes and a move.
        let (text, marks, len, closed, next) = unsafe {
            let text = cursor.at.add(1);
            let marks = I::copy_string(text, self.place.at.add(4), unwanted);
            let len = marks.stops.trailing_zeros() as usize;
            (text, marks, len, *text.add(len) == b'"', *text.add(len + 1))
        };
        if !closed {
            let key = cursor.long_key(len)?;
            cursor.expect(follower)?;
            return Some(Field { writer: self, key, suspect: u32::from(suspects(key.bytes(), unwanted)) });
        }
        if next != follower {
            return None;
        }
        cursor.high |= I::low_bits(u64::from(marks.high), len as u32) as u32;
        cursor.skip(len + 3)?;
        let suspect = I::low_bits(u64::from(marks.unwanted), len as u32) as u32 | u32::from(len == 0);
        // The cursor was not moved out of the body, so the text lies in it.
        Some(Field { writer: self, key: Text { at: text, len, source: PhantomData }, suspect })
    }
}

impl<'a> Cursor<'a> {
    /// Passes a string without escapes that is longer than `from`.
    #[cold]
    #[inline(never)]
    fn long_key_apart(self, from: usize) -> Option<(Text<'a>, u32)> {
        let bytes = self.rest().get(1..)?;
        let stop = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        let len = from + bytes.get(from..)?.iter().position(stop)?;
        let high = bytes[..len].iter().fold(0, |high, byte| high | u32::from(byte >> 7));
        // SAFETY: behind the quote, which lies in the body; so does the text.
        let text = Text { at: unsafe { self.at.add(1) }, len, source: PhantomData };
        (bytes[len] == b'"').then_some((text, high))
    }

    #[inline(always)]
    fn long_key(&mut self, from: usize) -> Option<Text<'a>> {
        let (text, high) = self.long_key_apart(from)?;
        self.high |= high;
        self.skip(text.len + 2)?;
        Some(text)
    }
}

impl<'w, 'v, 'a, I: Isa> Field<'w, 'v, 'a, I> {
    #[inline(always)]
    pub fn key(&self) -> Text<'a> {
        self.key
    }

    /// Not zero if the key is empty or has the unwanted byte in it.
    #[inline(always)]
    pub fn suspect(&self) -> u32 {
        self.suspect
    }

    /// Ends the field with a number: a varint, or with `fixed` the eight bytes themselves.
    #[inline(always)]
    pub fn number(self, tag: u8, value: u64, fixed: bool) -> Written<'w, 'v, I> {
        let Field { writer, key, .. } = self;
        // A varint beyond the deposit: negative numbers and very large ones.
        let wide = value >> DEPOSIT_BITS != 0 && !fixed;
        if key.len > MOVE_BYTES || wide {
            let before = writer.position();
            let apart: Writer<'_, I> = Writer::at_place(writer.place, writer.layout);
            (writer.place, _) = apart.any_number(key, tag, value, fixed, b'\n');
            let size = writer.position() - before;
            return Written { writer, size, text_len: 0, suspect: 0 };
        }
        let (varint, width) = deposit::<I>(value);
        let payload = select_unpredictable(fixed, value, varint);
        let width = select_unpredictable(fixed, 8, width);
        let len = key.len + 3 + width;
        // SAFETY: the invariant: there is room, and the key is where it belongs. `len` is below 128.
        unsafe {
            let start = writer.place.at;
            let head = [writer.layout.field, len as u8, writer.layout.key, key.len as u8];
            start.cast::<u32>().write_unaligned(u32::from_le_bytes(head));
            let at = start.add(4 + key.len);
            *at = tag;
            at.add(1).cast::<u64>().write_unaligned(payload.to_le());
            writer.advance(len + 2);
        }
        Written { writer, size: len + 2, text_len: 0, suspect: 0 }
    }

    /// Passes a string and ends the field with it. `None` where it is not well-formed; what is not UTF-8 is left to who
    /// asks the cursor.
    #[inline(always)]
    pub fn string(self, tag: u8, cursor: &mut Cursor<'_>) -> Option<Written<'w, 'v, I>> {
        let Field { writer, key, .. } = self;
        if cursor.byte() != b'"' {
            return None;
        }
        if key.len <= MOVE_BYTES {
            // SAFETY: behind the quote 32 bytes are readable, and one more; the invariant: there is room for both
            // texts, each with a whole move, and for the rest, and the key is where it belongs. `len` is below 128.
            unsafe {
                let start = writer.place.at;
                let at = start.add(4 + key.len);
                let text = cursor.at.add(1);
                let marks = I::copy_string(text, at.add(2), b'"');
                let text_len = marks.stops.trailing_zeros() as usize;
                if *text.add(text_len) == b'"' {
                    cursor.high |= I::low_bits(u64::from(marks.high), text_len as u32) as u32;
                    cursor.skip(text_len + 2)?;
                    let len = key.len + text_len + 4;
                    let head = [writer.layout.field, len as u8, writer.layout.key, key.len as u8];
                    start.cast::<u32>().write_unaligned(u32::from_le_bytes(head));
                    at.cast::<u16>().write_unaligned(u16::from_le_bytes([tag, text_len as u8]));
                    writer.advance(len + 2);
                    return Some(Written { writer, size: len + 2, text_len, suspect: 0 });
                }
            }
        }
        let before = writer.position();
        let (place, copied) =
            I::apart(LongString { place: writer.place, layout: writer.layout, key, tag, cursor: *cursor });
        writer.place = place;
        let copied = copied?;
        *cursor = copied.cursor;
        let size = writer.position() - before;
        Some(Written { writer, size, text_len: copied.len, suspect: copied.suspect })
    }
}

impl<I: Isa> Written<'_, '_, I> {
    /// How long the text is.
    #[inline(always)]
    pub fn text_len(&self) -> usize {
        self.text_len
    }

    /// Says of a field with a text that it is a tag. The result is not zero if the text has a newline or ends with a
    /// backslash.
    #[inline(always)]
    pub fn tag(self) -> u32 {
        let Written { writer, size, suspect, .. } = self;
        let mark = writer.layout.is_tag;
        writer.room(FIELD_ROOM);
        // SAFETY: the invariant, and there is room.
        unsafe {
            let len = writer.place.at.sub(size).add(1);
            if *len < 128 - 2 {
                *len += 2;
                writer.place.at.cast::<u16>().write_unaligned(u16::from_le_bytes(mark));
                writer.advance(2);
                return suspect;
            }
        }
        let apart: Writer<'_, I> = Writer::at_place(writer.place, writer.layout);
        writer.place = apart.add_to_field(size, &mark);
        suspect
    }
}

impl<I: Isa> Writer<'_, I> {
    /// Adds to the field that began `size` bytes ago.
    #[inline(never)]
    fn add_to_field(mut self, size: usize, bytes: &[u8]) -> Place {
        self.with_vec(|out| {
            let start = out.len() - size;
            let width = out[start + 1..].iter().take_while(|byte| **byte >= 128).count() + 1;
            let len = size - 1 - width + bytes.len();
            out.extend_from_slice(bytes);
            set_width(out, start + 1, width, varint_len(len as u64));
            put_varint(&mut out[start + 1..], len);
        });
        self.place
    }
}

/// Makes the gap at `at` another number of bytes wide.
fn set_width(out: &mut Vec<u8>, at: usize, from: usize, to: usize) {
    let len = out.len();
    if to > from {
        out.resize(len + to - from, 0);
    }
    out.copy_within(at + from..len, at + to);
    out.truncate(len + to - from);
}

/// Writes a varint to the start of `out`, which has room for it.
fn put_varint(out: &mut [u8], mut value: usize) {
    let last = varint_len(value as u64) - 1;
    for byte in &mut out[..last] {
        *byte = value as u8 | 0x80;
        value >>= 7;
    }
    out[last] = value as u8;
}

/// A field with a string that is long or has escapes.
struct LongString<'a, 'c> {
    place: Place,
    layout: Layout,
    key: Text<'a>,
    tag: u8,
    cursor: Cursor<'c>,
}

/// What was copied.
struct Copied<'c> {
    cursor: Cursor<'c>,
    len: usize,
    /// Not zero if it has a newline or ends with a backslash.
    suspect: u32,
}

impl<'c> Kernel for LongString<'_, 'c> {
    type Output = (Place, Option<Copied<'c>>);

    #[inline(always)]
    fn run<I: Isa>(self) -> Self::Output {
        let LongString { place, layout, key, tag, cursor } = self;
        let mut writer: Writer<'_, I> = Writer::at_place(place, layout);
        let start = writer.position();
        let copied = long_string(&mut writer, key, tag, cursor);
        if copied.is_none() {
            writer.rewind(start);
        }
        (writer.place, copied)
    }
}

#[inline(always)]
fn long_string<'c, I: Isa>(
    writer: &mut Writer<'_, I>,
    key: Text<'_>,
    tag: u8,
    mut cursor: Cursor<'c>,
) -> Option<Copied<'c>> {
    let layout = writer.layout;
    let start = writer.position();
    // With the lengths as they are guessed.
    writer.bytes(&[layout.field, 0, 0]);
    writer.varint_field(layout.key, key.len as u64);
    writer.bytes(key.bytes());
    writer.bytes(&[tag, 0, 0]);
    let value = writer.position();
    let mut newline = false;
    cursor.skip(1)?;
    loop {
        writer.room(FIELD_ROOM);
        // SAFETY: 32 bytes are readable from any place in the body; there is room for a move.
        let marks = unsafe { I::copy_string(cursor.at, writer.place.at, b'"') };
        let len = marks.stops.trailing_zeros() as usize;
        cursor.high |= I::low_bits(u64::from(marks.high), len as u32) as u32;
        cursor.skip(len)?;
        // SAFETY: at most the move that was made.
        unsafe { writer.advance(len) };
        if len == MOVE_BYTES {
            continue;
        }
        match cursor.byte() {
            b'"' => break,
            b'\\' => {}
            _ => return None,
        }
        let escaped = ESCAPES[usize::from(cursor.ahead::<1>())];
        if escaped != 0 {
            cursor.skip(2)?;
            newline |= escaped == b'\n';
            // SAFETY: there is room for the move and more.
            unsafe { writer.put(escaped) };
        } else {
            let (character, len) = unicode(cursor.rest())?;
            cursor.skip(len)?;
            newline |= character == '\n';
            writer.bytes(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    cursor.skip(1)?;
    let len = writer.position() - value;
    let inner = value - start - 3 - 2 + varint_len(len as u64) + len;
    let suspect = writer.with_vec(|out| {
        let tail_backslash = len > 0 && out.ends_with(b"\\");
        // The value first: what stands before it does not move into it.
        set_width(out, value - GUESSED_WIDTH, GUESSED_WIDTH, varint_len(len as u64));
        put_varint(&mut out[value - GUESSED_WIDTH..], len);
        if varint_len(inner as u64) != GUESSED_WIDTH {
            set_width(out, start + 1, GUESSED_WIDTH, varint_len(inner as u64));
        }
        put_varint(&mut out[start + 1..], inner);
        newline | tail_backslash
    });
    Some(Copied { cursor, len, suspect: u32::from(suspect) })
}

/// The character of the escape `\uXXXX`, or of a pair of them, at the start of a text, and how many bytes that takes.
#[inline(never)]
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| -> Option<u32> {
        let text = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        text.iter().try_fold(0, |value, byte| Some(value << 4 | char::from(*byte).to_digit(16)?))
    };
    let first = unit(0)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, 6));
    }
    // What is no character is half of a pair.
    char::decode_utf16([first as u16, unit(6)? as u16]).next()?.ok().map(|character| (character, 12))
}
