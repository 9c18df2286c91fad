//! The fast path: ordinary points, straight from the tape.
//!
//! Nothing is looked at twice. While a key is copied it is compared with the bytes no key may have, and six bits of it
//! are looked up in a filter of the keys that mean something (required, refused, global tags); what was found is
//! gathered, and asked about once, at the end of the point. If there was anything, the point is written again by the
//! general path. Numbers of all kinds go one way: the choice between varint and double is a select, not a branch.

use std::ops::Range;

use crate::buf::Padded;
use crate::codec::line_protocol::{Kind, Kv, PointSpan, Tape};
use crate::point::check::{FIELD_VALUE_BYTES_MAX, FIELDS_MAX, KEY_BYTES_MAX, MEASUREMENT_BYTES_MAX};
use crate::point::check::{TAG_VALUE_BYTES_MAX, TAGS_MAX};
use crate::point::draft::{DraftKv, Value, Warn};
use crate::point::time::{CORRECTION_NS, Resolved, resolve};
use crate::point::{Batch, check, wire};
use crate::simd::wire::{Isa, Kernel, Layout, Sources, Text, Writer, key_filter};

use super::{ORIGINAL_TIME_KEY, Required, Rules, general};

/// `PBPoint.fields`.
const LAYOUT: Layout =
    Layout { field: wire::POINT_FIELD, key: wire::FIELD_KEY, is_tag: [wire::FIELD_IS_TAG, 1] };

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
                    let warn = writer.with_vec(|out| general::encode(&body, tape, point, rules, out));
                    first_warn = first_warn.or(warn);
                }
            }
        }
        writer.finish();
        batch.points += points.len() as u32;
        first_warn
    }
}

/// How a point went.
enum Outcome {
    Clean,
    /// Written, with its category's required key and the warning about it.
    DefaultAdded,
    /// Not (rightly) written.
    Unusual,
}

/// The keys that mean something, and what has been seen of them.
struct Special<'a, 'r> {
    rules: &'a Rules<'r>,
    required: Option<&'a Required>,
    hot: Hot,
}

/// What is asked at every key: kept in registers.
#[derive(Clone, Copy)]
struct Hot {
    /// Bit [`key_filter`] is set for every key that [`Special::see`] wants to know about.
    filter: u64,
    /// The byte no key may have beside newlines.
    unwanted: u8,
    strings_dropped: bool,
}

/// What a point has of the special keys.
#[derive(Clone, Copy, Default)]
struct Seen {
    required: bool,
    original_time: bool,
    disabled: bool,
    /// One bit a global tag.
    global_tags: u64,
}

impl<'a, 'r> Special<'a, 'r> {
    fn new(rules: &'a Rules<'r>, required: Option<&'a Required>) -> Special<'a, 'r> {
        let mut special = Special {
            rules,
            required,
            hot: Hot {
                filter: 0,
                unwanted: if rules.category.dots_replaced { b'.' } else { b'\n' },
                strings_dropped: rules.category.strings_dropped,
            },
        };
        let mut watch = |key: &[u8]| special.hot.filter |= 1 << key_filter(key);
        rules.category.disabled_keys.iter().for_each(|key| watch(key.as_bytes()));
        if let Some(required) = required {
            watch(required.key.key.as_bytes());
        }
        if let Some(feed) = &rules.feed {
            for tag in feed.global_tags.map(|tags| tags.as_slice()).unwrap_or_default() {
                watch(&tag.key);
            }
            if feed.time_correction {
                watch(ORIGINAL_TIME_KEY.as_bytes());
            }
        }
        special
    }

    #[inline(never)]
    fn see(&self, key: &[u8], seen: &mut Seen) {
        if let Some(required) = self.required {
            seen.required |= required.key.key.as_bytes() == key;
        }
        seen.disabled |= self.rules.category.disabled_keys.iter().any(|disabled| disabled.as_bytes() == key);
        if let Some(feed) = &self.rules.feed {
            let tags = feed.global_tags.map(|tags| tags.as_slice()).unwrap_or_default();
            if let Some(index) = tags.iter().position(|tag| &*tag.key == key) {
                // At most 64: `GLOBAL_TAGS_MAX`.
                seen.global_tags |= 1 << index;
            }
            seen.original_time |= key == ORIGINAL_TIME_KEY.as_bytes();
        }
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
    finish(writer, point, special, &seen, start)
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

/// Not zero for a key that is too long. Notes the special ones.
#[inline(always)]
fn look<I: Isa>(key: Text<'_>, hot: Hot, special: &Special<'_, '_>, seen: &mut Seen) -> u32 {
    if hot.filter >> key.filter::<I>() & 1 != 0 {
        special.see(key.bytes(), seen);
    }
    u32::from(key.len() > KEY_BYTES_MAX)
}

/// What stands behind the fields: defaults, global tags, time, warnings.
#[inline(always)]
fn finish<I: Isa>(
    writer: &mut Writer<'_, I>,
    point: &PointSpan,
    special: &Special<'_, '_>,
    seen: &Seen,
    start: usize,
) -> Outcome {
    let rules = special.rules;
    let mut time = match resolve(point.time, rules.precision) {
        Resolved::Given(ns) => ns,
        Resolved::Now => rules.now_ns,
        Resolved::Negative | Resolved::OutOfRange => return Outcome::Unusual,
    };
    let missing = special.required.filter(|_| !seen.required);
    if let Some(required) = missing {
        writer.bytes(&required.field);
    }
    if let Some(feed) = &rules.feed {
        let added = missing.map(|required| required.key.key.as_bytes());
        for (index, tag) in
            feed.global_tags.map(|tags| tags.as_slice()).unwrap_or_default().iter().enumerate()
        {
            if seen.global_tags >> index & 1 == 0 && added != Some(&*tag.key) {
                writer.bytes(&tag.encoded);
            }
        }
        if feed.time_correction && time.abs_diff(rules.now_ns) > CORRECTION_NS {
            if !seen.original_time {
                writer.with_vec(|out| {
                    DraftKv::field(ORIGINAL_TIME_KEY.as_bytes(), Value::Int(time)).encode(out);
                });
            }
            time = rules.now_ns;
        }
    }
    writer.varint_field(wire::POINT_TIME, time as u64);
    if let Some(required) = missing {
        writer.bytes(&required.warn);
    }
    writer.close(start);
    if missing.is_some() { Outcome::DefaultAdded } else { Outcome::Clean }
}
