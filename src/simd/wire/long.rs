//! Fields with a text that is longer than a move, such as messages.

use super::{FIELD_ROOM, Isa, Kernel, Layout, MOVE_BYTES, Place, Text, Writer, suspects, varint_len};

/// As [`Writer::text`], for texts of any length.
pub(super) struct LongText<'a> {
    pub place: Place,
    pub layout: Layout,
    pub key: Text<'a>,
    pub tag: u8,
    pub value: Text<'a>,
    pub unwanted: u8,
    pub is_tag: bool,
}

impl Kernel for LongText<'_> {
    type Output = (Place, u32);

    #[inline(always)]
    fn run<I: Isa>(self) -> (Place, u32) {
        let LongText { place, layout, key, tag, value, unwanted, is_tag } = self;
        let mut writer: Writer<'_, I> = Writer::at_place(place, layout);
        let len = 1
            + varint_len(key.len as u64)
            + key.len
            + 1
            + varint_len(value.len as u64)
            + value.len
            + if is_tag { 2 } else { 0 };
        let mut suspect = if key.len.wrapping_sub(1) < MOVE_BYTES {
            writer.room(FIELD_ROOM + MOVE_BYTES);
            // SAFETY: there is room for three tags, two lengths, the length of a short key, and the key with a whole move; the
            // key is readable one move from its start, and it is not empty.
            unsafe {
                writer.put(layout.field);
                writer.put_varint(len as u64);
                writer.put(layout.key);
                writer.put(key.len as u8);
                let found = I::copy_and_find(key.at, writer.place.at, unwanted);
                writer.advance(key.len);
                writer.put(tag);
                writer.put_varint(value.len as u64);
                I::low_bits(u64::from(found), key.len as u32) as u32 | key.ends_with_backslash()
            }
        } else {
            writer.varint_field(layout.field, len as u64);
            writer = writer.long_piece(layout.key, key);
            writer.varint_field(tag, value.len as u64);
            u32::from(suspects(key.bytes(), unwanted))
        };
        writer.bytes(value.bytes());
        if is_tag {
            suspect |= u32::from(suspects(value.bytes(), b'\n'));
            writer.bytes(&layout.is_tag);
        }
        (writer.place, suspect)
    }
}
