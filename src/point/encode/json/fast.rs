//! The fast path: runs of ordinary elements, from the body to the open block in one pass.
//!
//! Nothing is kept of an element but what is written of it: see [`crate::simd::json`]. Either dialect is told from its
//! members when they have all been seen. A key is copied before its value is looked at; six bits of it ask whether it
//! means something ([`super::super::special`]), thirteen whether this point may have had it before. What is suspect is
//! gathered, and asked about once, at the end of the element.
//!
//! Whatever is not ordinary, down to escapes in keys and members in an order that no client writes, ends the run before
//! its element with nothing of it written; so does an element that has to meet a hook. So this file holds no rule of its own about what is right: it must only be
//! sure of what it takes.

use crate::buf::Padded;
use crate::point::check::{FIELD_VALUE_BYTES_MAX, FIELDS_MAX, MEASUREMENT_BYTES_MAX};
use crate::point::check::{TAG_VALUE_BYTES_MAX, TAGS_MAX};
use crate::point::draft::Warn;
use crate::point::encode::special::{LAYOUT, Outcome, Seen, Special, finish, look};
use crate::point::encode::{Required, Rules, is_spared};
use crate::point::pb::PbPoint;
use crate::point::{Batch, check, wire};
use crate::simd::json::{Cursor, low_bytes, word};
use crate::simd::wire::{self as simd_wire, Isa, Kernel, Text, Writer};

use super::{Left, Stage};

/// Places in the table of keys; more of them mean fewer keys that seem to be there twice.
const SLOTS: usize = 1 << 13;

/// White space between two elements that is passed here; more is passed by who counts it.
const GAP_BYTES_MAX: usize = 64;

/// A run of elements to take.
pub(super) struct Run<'a, 'r> {
    pub body: Padded<'a>,
    /// The first byte of an element.
    pub from: usize,
    /// To be asked ([`Left::is_over`]) and told ([`Left::spend`]) between elements.
    pub left: &'a mut Left,
    pub rules: &'a Rules<'r>,
    pub required: Option<&'a Required>,
    pub keys: &'a mut Keys,
    /// `points` counts what was taken.
    pub batch: &'a mut Batch,
}

/// What was taken.
pub(super) struct Taken {
    /// See [`Stop`].
    pub next: usize,
    pub stop: Stop,
    /// The first warning of the points taken.
    pub warn: Option<Warn>,
}

/// Where a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// `next` is the first byte of an element that is not ordinary: the general path takes it.
    Before,
    /// `next` is the first byte behind an element that was taken (or white space further on): the stretch is over, or
    /// there is something else than a comma and another element.
    Behind,
}

impl Stop {
    pub(super) fn stage(self) -> Stage {
        match self {
            Stop::Before => Stage::Element,
            Stop::Behind => Stage::Behind,
        }
    }
}

pub(super) fn run(run: Run<'_, '_>) -> Taken {
    simd_wire::run(run)
}

/// Which keys a point has had, by fingerprint: a slot holds the number of the last point that had one of its keys.
#[derive(Debug)]
pub struct Keys {
    slots: Box<[u16; SLOTS]>,
    point: u16,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys { slots: Box::new([0; SLOTS]), point: 0 }
    }
}

impl Keys {
    fn next_point(&mut self) {
        self.point = self.point.wrapping_add(1);
        if self.point == 0 {
            self.slots.fill(0);
            self.point = 1;
        }
    }

    /// Whether this point may have had the key.
    #[inline(always)]
    fn note<I: Isa>(&mut self, key: Text<'_>) -> bool {
        let slot =
            &mut self.slots[(key.fingerprint::<I>() >> (64 - SLOTS.trailing_zeros())) as usize % SLOTS];
        std::mem::replace(slot, self.point) == self.point
    }
}

impl Kernel for Run<'_, '_> {
    type Output = Taken;

    #[inline(always)]
    fn run<I: Isa>(self) -> Taken {
        let Run { body, from, left, rules, required, keys, batch } = self;
        let special = Special::new(rules, required);
        let mut writer: Writer<'_, I> = Writer::new(&mut batch.bytes, LAYOUT);
        let mut cursor = Cursor::new(body, from);
        let mut points = 0;
        let mut warn = None;
        let (stop, next) = loop {
            let before = cursor;
            let start = writer.position();
            let mut outcome = element(&mut writer, &mut cursor, &special, keys);
            if let Some(hook) = rules.hook
                && let Some(Outcome::Clean | Outcome::DefaultAdded) = outcome
                && !writer.with_vec(|out| is_spared(hook, out, start))
            {
                outcome = Some(Outcome::Unusual);
            }
            match outcome {
                Some(Outcome::Clean) => {}
                Some(Outcome::DefaultAdded) => {
                    if let (None, Some(required)) = (&warn, required) {
                        warn = Some(check::required_warn(&required.key));
                    }
                }
                Some(Outcome::Unusual) | None => {
                    writer.rewind(start);
                    break (Stop::Before, before);
                }
            }
            points += 1;
            left.spend(before.left() - cursor.left());
            let offset = body.len() - cursor.left();
            if left.cost == 0 || offset >= left.until || writer.position() >= left.batch_end {
                break (Stop::Behind, cursor);
            }
            let behind = cursor;
            if !to_next_element(&mut cursor) {
                break (Stop::Behind, behind);
            }
        };
        writer.finish();
        batch.points += points;
        Taken { next: body.len() - next.left(), stop, warn }
    }
}

/// Passes a comma and the white space around it; whether an element follows.
#[inline(always)]
fn to_next_element(cursor: &mut Cursor<'_>) -> bool {
    cursor.space_up_to(GAP_BYTES_MAX);
    cursor.expect(b',').is_some() && {
        cursor.space_up_to(GAP_BYTES_MAX);
        cursor.byte() == b'{' && cursor.left() > 0
    }
}

/// The members of an element, a bit each.
mod member {
    pub const MEASUREMENT: u32 = 1;
    pub const TAGS: u32 = 2;
    pub const FIELDS: u32 = 4;
    pub const TIME: u32 = 8;
    pub const NAME: u32 = 16;
    /// Those that only PB-JSON has, beside the name.
    pub const FIELD_LIST: u32 = 32;
    pub const QUOTED_TIME: u32 = 64;
    /// Those that only simple JSON has, beside the measurement.
    pub const FIELD_MAP: u32 = 128;
    /// A name of the other kind, or a list where a map should be.
    pub const NOT_IN_SIMPLE: u32 = NAME | FIELD_LIST | QUOTED_TIME;
    pub const NOT_IN_PB: u32 = MEASUREMENT | TAGS | FIELD_MAP;
}

/// An element while it is being written.
struct Point<'k, 'a, 'r> {
    special: &'k Special<'a, 'r>,
    keys: &'k mut Keys,
    seen: Seen,
    /// Not zero: unusual after all.
    suspect: u32,
    /// A key may be there twice.
    repeated: bool,
    tags: usize,
    fields: usize,
}

/// Writes one element, on the assumption that it is ordinary. `None` at the first thing that is not.
#[inline(always)]
fn element<I: Isa>(
    writer: &mut Writer<'_, I>,
    cursor: &mut Cursor<'_>,
    special: &Special<'_, '_>,
    keys: &mut Keys,
) -> Option<Outcome> {
    let before = *cursor;
    cursor.expect(b'{')?;
    cursor.space();
    let start = writer.open(wire::POINTS_POINT);
    keys.next_point();
    let mut point =
        Point { special, keys, seen: Seen::default(), suspect: 0, repeated: false, tags: 0, fields: 0 };
    let mut members = 0;
    let mut time = None;
    loop {
        let head = cursor.word::<0>();
        let passed = if low_bytes(head, 7) == const { word(b"\"tags\":") } {
            cursor.skip(7)?;
            cursor.space();
            point.tag_map(writer, cursor)?;
            member::TAGS
        } else if head == const { word(b"\"fields\"") } {
            cursor.skip(8)?;
            cursor.expect(b':')?;
            cursor.space();
            if cursor.byte() == b'[' {
                point.field_list(writer, cursor)?;
                member::FIELDS | member::FIELD_LIST
            } else {
                point.field_map(writer, cursor)?;
                member::FIELDS | member::FIELD_MAP
            }
        } else if low_bytes(head, 7) == const { word(b"\"time\":") } {
            cursor.skip(7)?;
            cursor.space();
            let quoted = cursor.byte() == b'"';
            cursor.skip(usize::from(quoted))?;
            time = Some(cursor.time::<I>()?);
            if quoted {
                cursor.expect(b'"')?;
                member::TIME | member::QUOTED_TIME
            } else {
                member::TIME
            }
        } else {
            let passed = if head == const { word(b"\"measure") }
                && low_bytes(cursor.word::<8>(), 6) == const { word(b"ment\":") }
            {
                cursor.skip(14)?;
                member::MEASUREMENT
            } else if low_bytes(head, 7) == const { word(b"\"name\":") } {
                cursor.skip(7)?;
                member::NAME
            } else {
                return None;
            };
            cursor.space();
            let len = writer.string_field(wire::POINT_NAME, cursor)?;
            point.suspect |= u32::from(len == 0 || len > MEASUREMENT_BYTES_MAX);
            passed
        };
        if members & passed != 0 {
            return None;
        }
        members |= passed;
        if !another(cursor, b'}')? {
            break;
        }
    }
    let is_simple = members & member::MEASUREMENT != 0 && members & member::NOT_IN_SIMPLE == 0;
    let is_pb = members & member::NAME != 0 && members & member::NOT_IN_PB == 0;
    if !(is_simple || is_pb)
        || point.suspect != 0
        || point.seen.disabled
        || point.tags > TAGS_MAX
        || point.fields > FIELDS_MAX
    {
        return None;
    }
    if point.repeated && writer.with_vec(|out| has_repeats(&out[start..])) {
        return None;
    }
    if cursor.take_high() && !is_utf8(before, *cursor) {
        return None;
    }
    Some(finish(writer, time, special, &point.seen, start))
}

/// Passes what stands behind a member of a list or map that ends with `end`: whether another follows.
#[inline(always)]
fn another(cursor: &mut Cursor<'_>, end: u8) -> Option<bool> {
    cursor.space();
    let byte = cursor.byte();
    cursor.skip(1)?;
    if byte == b',' {
        cursor.space();
        return Some(true);
    }
    (byte == end).then_some(false)
}

/// Passes the beginning of a list or map: whether it has members.
#[inline(always)]
fn begin(cursor: &mut Cursor<'_>, start: u8, end: u8) -> Option<bool> {
    cursor.expect(start)?;
    cursor.space();
    if cursor.byte() == end {
        cursor.skip(1)?;
        return Some(false);
    }
    Some(true)
}

impl Point<'_, '_, '_> {
    /// What is asked at every key.
    #[inline(always)]
    fn key<I: Isa>(&mut self, key: Text<'_>, suspect: u32) {
        self.suspect |= suspect | look::<I>(key, self.special.hot, self.special, &mut self.seen);
        self.repeated |= self.keys.note::<I>(key);
    }

    /// `{"host":"a"}`
    #[inline(always)]
    fn tag_map<I: Isa>(&mut self, writer: &mut Writer<'_, I>, cursor: &mut Cursor<'_>) -> Option<()> {
        let mut more = begin(cursor, b'{', b'}')?;
        while more {
            let field = writer.field(cursor, b':', self.special.hot.unwanted)?;
            self.key::<I>(field.key(), field.suspect());
            cursor.space();
            let written = field.string(wire::FIELD_STR, cursor)?;
            self.suspect |= u32::from(written.text_len() > TAG_VALUE_BYTES_MAX) | written.tag();
            self.tags += 1;
            more = another(cursor, b'}')?;
        }
        Some(())
    }

    /// `{"usage":1.5,"message":"x","up":true}`
    #[inline(always)]
    fn field_map<I: Isa>(&mut self, writer: &mut Writer<'_, I>, cursor: &mut Cursor<'_>) -> Option<()> {
        let mut more = begin(cursor, b'{', b'}')?;
        while more {
            let field = writer.field(cursor, b':', self.special.hot.unwanted)?;
            self.key::<I>(field.key(), field.suspect());
            cursor.space();
            match cursor.byte() {
                b'"' => {
                    let written = field.string(wire::FIELD_STR, cursor)?;
                    self.string_field(written.text_len());
                }
                b't' | b'f' => {
                    field.number(wire::FIELD_BOOL, u64::from(cursor.boolean()?), false);
                }
                _ => {
                    field.number(wire::FIELD_FLOAT, cursor.number::<I>(false)?, true);
                }
            }
            self.fields += 1;
            more = another(cursor, b'}')?;
        }
        Some(())
    }

    /// `[{"key":"usage","f":1.5}]`
    #[inline(always)]
    fn field_list<I: Isa>(&mut self, writer: &mut Writer<'_, I>, cursor: &mut Cursor<'_>) -> Option<()> {
        let mut more = begin(cursor, b'[', b']')?;
        while more {
            self.field_item(writer, cursor)?;
            more = another(cursor, b']')?;
        }
        Some(())
    }

    /// `{"key":"host","s":"a","is_tag":true}`
    #[inline(always)]
    fn field_item<I: Isa>(&mut self, writer: &mut Writer<'_, I>, cursor: &mut Cursor<'_>) -> Option<()> {
        if cursor.word::<0>() == const { word(b"{\"key\":\"") } {
            cursor.skip(7)?;
        } else {
            cursor.expect(b'{')?;
            cursor.space();
            if low_bytes(cursor.word::<0>(), 6) != const { word(b"\"key\":") } {
                return None;
            }
            cursor.skip(6)?;
            cursor.space();
        }
        let field = writer.field(cursor, b',', self.special.hot.unwanted)?;
        self.key::<I>(field.key(), field.suspect());
        cursor.space();
        let head = cursor.word::<0>() as u32;
        if head & 0xffff_00ff != const { word(b"\"\0\":") as u32 } {
            return None;
        }
        cursor.skip(4)?;
        cursor.space();
        let kind = (head >> 8) as u8;
        match kind {
            b's' => {
                let written = field.string(wire::FIELD_STR, cursor)?;
                let len = written.text_len();
                let is_tag = cursor.word::<0>() == const { word(b",\"is_tag") }
                    && low_bytes(cursor.word::<8>(), 7) == const { word(b"\":true}") };
                if is_tag {
                    cursor.skip(15)?;
                } else if !is_tag_behind(cursor)? {
                    self.string_field(len);
                    self.fields += 1;
                    return Some(());
                }
                self.suspect |= u32::from(len > TAG_VALUE_BYTES_MAX) | written.tag();
                self.tags += 1;
                return Some(());
            }
            b'i' | b'f' => {
                let is_int = kind == b'i';
                let value = cursor.number::<I>(is_int)?;
                let tag = if is_int { wire::FIELD_INT } else { wire::FIELD_FLOAT };
                field.number(tag, value, !is_int);
            }
            b'u' => {
                let value = cursor.number::<I>(true)?;
                // As a signed one it was negative.
                self.suspect |= u32::from(value >> 63 != 0);
                field.number(wire::FIELD_UINT, value, false);
            }
            b'b' => {
                field.number(wire::FIELD_BOOL, u64::from(cursor.boolean()?), false);
            }
            _ => return None,
        }
        self.fields += 1;
        (!is_tag_behind(cursor)?).then_some(())
    }

    /// A field with a text that is no tag.
    #[inline(always)]
    fn string_field(&mut self, len: usize) {
        self.suspect |= u32::from(self.special.hot.strings_dropped || len > FIELD_VALUE_BYTES_MAX);
    }
}

/// Passes the rest of a field of PB-JSON: whether it says that it is a tag.
#[inline(always)]
fn is_tag_behind(cursor: &mut Cursor<'_>) -> Option<bool> {
    if !another(cursor, b'}')? {
        return Some(false);
    }
    if cursor.word::<0>() != const { word(b"\"is_tag\"") } {
        return None;
    }
    cursor.skip(8)?;
    cursor.expect(b':')?;
    cursor.space();
    let is_tag = cursor.boolean()?;
    // Nothing may stand behind it.
    (!another(cursor, b'}')?).then_some(is_tag)
}

/// Whether the fields of a point that was just written have a key in common.
#[cold]
#[inline(never)]
fn has_repeats(point: &[u8]) -> bool {
    let Ok(point) = PbPoint::parse(point) else { return true };
    let mut keys: Vec<&[u8]> = point.fields().filter_map(|field| Some(field.ok()?.key)).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// Whether what lies between two cursors is UTF-8.
#[inline(never)]
fn is_utf8(from: Cursor<'_>, to: Cursor<'_>) -> bool {
    let passed = from.left() - to.left();
    from.rest().get(..passed).is_some_and(|bytes| simdutf8::basic::from_utf8(bytes).is_ok())
}

#[cfg(test)]
mod tests;
