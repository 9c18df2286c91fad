//! The fast path: ordinary points, straight from the tape. Every point is written: what meets a hook does not come here.
//!
//! Nothing is looked at twice. While a key is copied it is compared with the bytes no key may have, and six bits of it
//! are looked up in a filter of the keys that mean something (required, refused, global tags); what was found is
//! gathered, and asked about once, at the end of the point. If there was anything, the point is written again by the
//! general path. Numbers of all kinds go one way: the choice between varint and double is a select, not a branch.

use std::ops::Range;

use crate::buf::Padded;
use crate::codec::line_protocol::{Kind, Kv, PointSpan, Tape};
use crate::point::check::{FIELD_VALUE_BYTES_MAX, FIELDS_MAX, MEASUREMENT_BYTES_MAX};
use crate::point::check::{TAG_VALUE_BYTES_MAX, TAGS_MAX};
use crate::point::draft::Warn;
use crate::point::{Batch, check, wire};
use crate::simd::wire::{Isa, Kernel, Sources, Text, Writer};

use super::special::{LAYOUT, Outcome, Seen, Special, finish, look};
use super::{Required, Rules, general};

/// The points of one call.
pub(super) struct Points<'a, 'r> {
    pub body: Padded<'a>,
    pub arena: Padded<'a>,
    pub tape: &'a Tape,
    pub points: Range<usize>,
    pub rules: &'a Rules<'r>,
    pub required: Option<&'a Required>,
    pub batch: &'a mut Batch,
}

impl Kernel for Points<'_, '_> {
    type Output = Option<Warn>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Option<Warn> {
        let Points { body, arena, tape, points, rules, required, batch } = self;
        let sources = Sources::new(body, arena);
        let special = Special::new(rules, required);
        let points = &tape.points[points];
        let mut writer: Writer<'_, I> = Writer::new(&mut batch.bytes, LAYOUT);
        let mut first_warn = None;
        for point in points {
            let start = writer.position();
            match ordinary(&mut writer, &sources, tape, point, &special) {
                Outcome::Clean => {}
                Outcome::DefaultAdded => {
                    if let (None, Some(required)) = (&first_warn, required) {
                        first_warn = Some(check::required_warn(&required.key));
                    }
                }
                Outcome::Unusual => {
                    writer.rewind(start);
                    let written = writer.with_vec(|out| general::encode(&body, tape, point, rules, out));
                    first_warn = first_warn.or(written.warn);
                }
            }
        }
        writer.finish();
        batch.points += points.len() as u32;
        first_warn
    }
}

/// Writes one point, on the assumption that it is ordinary.
#[inline(always)]
fn ordinary<I: Isa>(
    writer: &mut Writer<'_, I>,
    sources: &Sources<'_>,
    tape: &Tape,
    point: &PointSpan,
    special: &Special<'_, '_>,
) -> Outcome {
    let hot = special.hot;
    let (tag_count, field_count) = (point.tags as usize, point.fields as usize);
    let name = sources.text(point.name_in_arena, point.name as usize, point.name_len as usize);
    if tag_count > TAGS_MAX
        || field_count > FIELDS_MAX
        || name.is_empty()
        || name.len() > MEASUREMENT_BYTES_MAX
    {
        return Outcome::Unusual;
    }
    let (tags, fields) = tape.kvs_of(point).split_at(tag_count);
    let start = writer.open(wire::POINTS_POINT);
    writer.text_field(wire::POINT_NAME, name);
    let mut seen = Seen::default();
    let mut suspect = 0;
    for kv in tags {
        let (key, value) = (key(sources, kv), text(sources, kv));
        suspect |= look::<I>(key, hot, special, &mut seen);
        suspect |= u32::from(value.len() > TAG_VALUE_BYTES_MAX);
        suspect |= writer.text::<true>(key, wire::FIELD_STR, value, hot.unwanted);
    }
    for kv in fields {
        let key = key(sources, kv);
        suspect |= look::<I>(key, hot, special, &mut seen);
        suspect |= match kv.kind {
            Kind::Int | Kind::Float | Kind::Bool | Kind::Uint => {
                let is_float = kv.kind == Kind::Float;
                let infinite = is_float && kv.value << 1 == f64::INFINITY.to_bits() << 1;
                writer.number(key, NUMBER_TAGS[kv.kind as usize], kv.value, is_float, hot.unwanted)
                    | u32::from(infinite)
            }
            Kind::Str | Kind::Bytes => {
                let value = text(sources, kv);
                let tag = if kv.kind == Kind::Str { wire::FIELD_STR } else { wire::FIELD_BYTES };
                let refused = hot.strings_dropped || value.len() > FIELD_VALUE_BYTES_MAX;
                if refused { 1 } else { writer.text::<false>(key, tag, value, hot.unwanted) }
            }
            // Rare enough for the general path.
            Kind::Array | Kind::Tag => 1,
        };
    }
    if suspect != 0 || seen.disabled {
        return Outcome::Unusual;
    }
    finish(writer, point.time, special, &seen, start)
}

/// The tags of number fields, by kind.
const NUMBER_TAGS: [u8; 8] = {
    let mut tags = [0; 8];
    tags[Kind::Int as usize] = wire::FIELD_INT;
    tags[Kind::Float as usize] = wire::FIELD_FLOAT;
    tags[Kind::Bool as usize] = wire::FIELD_BOOL;
    tags[Kind::Uint as usize] = wire::FIELD_UINT;
    tags
};

#[inline(always)]
fn key<'a>(sources: &Sources<'a>, kv: &Kv) -> Text<'a> {
    sources.text(kv.flags & Kv::KEY_IN_ARENA != 0, kv.key as usize, usize::from(kv.key_len))
}

#[inline(always)]
fn text<'a>(sources: &Sources<'a>, kv: &Kv) -> Text<'a> {
    let (offset, len) = ((kv.value >> 32) as usize, kv.value as u32 as usize);
    sources.text(kv.flags & Kv::VALUE_IN_ARENA != 0, offset, len)
}
