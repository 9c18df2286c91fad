//! The fast path: ordinary points, copied from the body in one piece.
//!
//! A point is ordinary when its parts stand in the order of their numbers (as every library writes them), each member
//! once, none unknown, and when no rule would change it. The walk looks at a field's first eight bytes, and at the
//! eight behind its key: if the lengths there fit one another, all else is a matter of finding flaws, which are
//! gathered and asked about once, at the end of the point. A field of another shape (longer, with a unit or a type, a
//! wide number) is read member by member.
//!
//! This path never says that a body is bad. What does not fit goes the plain way, and that finds out.

use crate::buf::Padded;
use crate::point::check::{FIELD_VALUE_BYTES_MAX, FIELDS_MAX, MEASUREMENT_BYTES_MAX};
use crate::point::check::{TAG_VALUE_BYTES_MAX, TAGS_MAX};
use crate::point::draft::Warn;
use crate::point::pb::PbPoint;
use crate::point::{Batch, check, wire};
use crate::simd::wire::frames::Frames;
use crate::simd::wire::{Isa, Kernel, Writer};

use super::super::keys::Keys;
use super::super::special::{LAYOUT, Outcome, Seen, Special, finish_with, look};
use super::super::{Required, Rules, is_spared};
use super::{ProtobufError, Walk, as_warn};

/// The points of one call.
pub(super) struct Points<'a, 'r, 's> {
    pub body: Padded<'a>,
    pub walk: Walk<'s>,
    pub rules: &'a Rules<'r>,
    pub required: Option<&'a Required>,
    pub keys: &'a mut Keys,
    pub batch: &'a mut Batch,
}

impl Kernel for Points<'_, '_, '_> {
    type Output = Result<Option<Warn>, ProtobufError>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Self::Output {
        let Points { body, mut walk, rules, required, keys, batch } = self;
        let special = Special::new(rules, required);
        let whole = Frames::new(body, 0, body.len());
        let mut writer: Writer<'_, I> = Writer::new(&mut batch.bytes, LAYOUT);
        let (floor, mut points) = (writer.position(), 0);
        let mut result = Ok(());
        while walk.goes_on(body.len(), writer.position() - floor) {
            if let Some((content, len)) = point_at(whole, *walk.at) {
                keys.next_point();
                let (start, point) = (writer.position(), whole.message(content, len));
                let (outcome, brought) = ordinary(&mut writer, point, &special, keys);
                if let Outcome::Clean | Outcome::DefaultAdded = outcome
                    && rules.hook.is_none_or(|hook| writer.with_vec(|out| is_spared(hook, out, start)))
                {
                    let warned = brought > 0 || matches!(outcome, Outcome::DefaultAdded);
                    if warned && walk.first_warn.is_none() {
                        walk.first_warn = first_warn(point.bytes(), brought, &outcome, required);
                    }
                    points += 1;
                    walk.pass(content + len - *walk.at, 1);
                    continue;
                }
                writer.rewind(start);
            }
            match writer.with_vec(|out| walk.any(&body, rules, out)) {
                Ok(read) => points += read,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        writer.finish();
        batch.points += points;
        result.map(|()| walk.first_warn)
    }
}

/// Where the contents of the point at `at` begin, and how long they are; `None` if there is no whole point.
#[inline(always)]
fn point_at(body: Frames<'_>, at: usize) -> Option<(usize, usize)> {
    if body.word(at) as u8 != wire::POINTS_POINT {
        return None;
    }
    body.delimited(at + 1)
}

/// The first warning of a point that was written: one it brought (its last `brought` bytes are warnings and debugs), or
/// the one about the default.
#[cold]
#[inline(never)]
fn first_warn(point: &[u8], brought: usize, outcome: &Outcome, required: Option<&Required>) -> Option<Warn> {
    let own = (brought > 0).then(|| PbPoint::parse(point).ok()?.warns().next()?.ok()).flatten();
    let default = || match (outcome, required) {
        (Outcome::DefaultAdded, Some(required)) => Some(check::required_warn(&required.key)),
        _ => None,
    };
    own.map(as_warn).or_else(default)
}

/// `is_tag` and true; the same with a string behind it.
const IS_TAG: u64 = wire::FIELD_IS_TAG as u64 | 1 << 8;
const IS_TAG_STR: u64 = IS_TAG | (wire::FIELD_STR as u64) << 16;

/// Bits at the tags of numbers.
const NUMBERS: u64 =
    1 << wire::FIELD_INT | 1 << wire::FIELD_UINT | 1 << wire::FIELD_BOOL | 1 << wire::FIELD_FLOAT;

/// What shows that a byte of a varint is not the last.
const MORE: u64 = 0x8080_8080_8080_8080;

/// Writes one point, on the assumption that it is ordinary. Beside the outcome: how many bytes of warnings and debugs
/// it brought.
#[inline(always)]
fn ordinary<I: Isa>(
    writer: &mut Writer<'_, I>,
    point: Frames<'_>,
    special: &Special<'_, '_>,
    keys: &mut Keys,
) -> (Outcome, usize) {
    const UNUSUAL: (Outcome, usize) = (Outcome::Unusual, 0);
    let hot = special.hot;
    let mut rest = point;
    if rest.word(0) as u8 != wire::POINT_NAME {
        return UNUSUAL;
    }
    match rest.delimited(1) {
        Some((start, len)) if (1..=MEASUREMENT_BYTES_MAX).contains(&len) => rest.pass(start + len),
        _ => return UNUSUAL,
    }
    let mut seen = Seen::default();
    // Tags are counted in the upper half, fields in the lower.
    let (mut counts, mut suspect) = (0u64, 0u32);
    loop {
        let (size, key, is_tag, flaws);
        if let Some((short_key, value, short_size)) = rest.short_field(LAYOUT)
            && let Some(looked_at) = short_value::<I>(value, hot.strings_dropped)
        {
            (size, key) = (short_size, short_key);
            (is_tag, flaws) = looked_at;
        } else {
            if rest.left() == 0 || rest.word(0) as u8 != wire::POINT_FIELD {
                break;
            }
            let Some(field) = long_field(rest) else { return UNUSUAL };
            (size, key) = (field.size, rest.text(field.key.0, field.key.1));
            (is_tag, flaws) = long_flaws::<I>(rest, &field, hot.strings_dropped);
        }
        suspect |= flaws;
        suspect |= key.key_flaws::<I>(hot.unwanted);
        suspect |= look::<I>(key, hot, special, &mut seen);
        suspect |= keys.add(key.hash::<I>());
        counts += if is_tag { 1 << 32 } else { 1 };
        rest.pass(size);
    }
    let (tags, fields) = ((counts >> 32) as usize, counts as u32 as usize);
    if suspect != 0 || seen.disabled || tags > TAGS_MAX || fields > FIELDS_MAX {
        return UNUSUAL;
    }
    let Some(head) = point.bytes().get(..point.left() - rest.left()) else { return UNUSUAL };
    let mut time = None;
    if rest.left() > 0 && rest.word(0) as u8 == wire::POINT_TIME {
        let Some((value, width)) = rest.varint(1) else { return UNUSUAL };
        time = Some(value as i64);
        rest.pass(1 + width);
    }
    let brought = rest.bytes();
    if !brought.is_empty() && !brings_only_known(rest) {
        return UNUSUAL;
    }
    let start = writer.open(wire::POINTS_POINT);
    writer.bytes(head);
    (finish_with(writer, time, special, &seen, start, brought), brought.len())
}

/// Looks at what stands behind a field's key: whether that makes it a tag, and what is to be said against it. `None`
/// if it is more than a value, or one of another form.
#[inline(always)]
fn short_value<I: Isa>(value: Frames<'_>, strings_dropped: bool) -> Option<(bool, u32)> {
    let (len, word) = (value.left(), value.word(0));
    let tag = word as u8;
    if tag < 64 && NUMBERS >> tag & 1 != 0 && len <= 9 {
        // Both are worked out, one is taken: which of them a field holds cannot be foretold.
        let (payload, bits) = (value.word(1), 8 * (len as u32 - 1));
        // A varint takes all that is left: its last byte, and no other, says that there is no more.
        let more = I::low_bits(payload & MORE, bits) ^ I::low_bits(MORE, bits - 8);
        let infinite = payload << 1 == f64::INFINITY.to_bits() << 1;
        let (varint, double) = (u32::from(more != 0), u32::from(infinite || len != 9));
        return Some((false, if tag == wire::FIELD_FLOAT { double } else { varint }));
    }
    let text_len = (word >> 8) as u8 as usize;
    match tag {
        wire::FIELD_IS_TAG if word & 0xff_ffff == IS_TAG_STR && (word >> 24) as u8 as usize + 4 == len => {
            Some((true, value.text(4, len - 4).value_flaws::<I>()))
        }
        wire::FIELD_STR if text_len + 4 == len && value.word(2 + text_len) as u16 == IS_TAG as u16 => {
            Some((true, value.text(2, text_len).value_flaws::<I>()))
        }
        wire::FIELD_STR | wire::FIELD_BYTES if text_len + 2 == len => {
            Some((false, u32::from(strings_dropped)))
        }
        _ => None,
    }
}

/// A field as its members say: spans from the field's beginning.
struct Field {
    size: usize,
    key: (usize, usize),
    /// Of a string or bytes.
    text: (usize, usize),
    /// The tag of the value.
    value: u8,
    is_tag: bool,
    infinite: bool,
}

/// Reads the field at the start of `rest` member by member; `None` if there is anything a point should not have, or
/// should have once, or that the plain way has to look at.
#[inline(never)]
fn long_field(rest: Frames<'_>) -> Option<Field> {
    let (start, len) = rest.delimited(1)?;
    let content = rest.message(start, len);
    let mut field =
        Field { size: start + len, key: (0, 0), text: (0, 0), value: 0, is_tag: false, infinite: false };
    // One bit a member; all values are one.
    let (mut seen, mut at) = (0u32, 0);
    while at < len {
        let tag = content.word(at) as u8;
        at += 1;
        let member = match tag {
            wire::FIELD_INT | wire::FIELD_UINT | wire::FIELD_BOOL => {
                at += content.varint(at)?.1;
                field.value = tag;
                1
            }
            wire::FIELD_FLOAT => {
                if len - at < 8 {
                    return None;
                }
                field.infinite = content.word(at) << 1 == f64::INFINITY.to_bits() << 1;
                field.value = tag;
                at += 8;
                1
            }
            wire::FIELD_STR | wire::FIELD_BYTES => {
                let (text, text_len) = content.delimited(at)?;
                field.text = (start + text, text_len);
                field.value = tag;
                at = text + text_len;
                1
            }
            wire::FIELD_KEY => {
                let (key, key_len) = content.delimited(at)?;
                field.key = (start + key, key_len);
                at = key + key_len;
                2
            }
            wire::FIELD_IS_TAG => {
                let (value, width) = content.varint(at)?;
                field.is_tag = value != 0;
                at += width;
                4
            }
            wire::FIELD_TYPE => {
                at += content.varint(at)?.1;
                8
            }
            wire::FIELD_UNIT => {
                let (unit, unit_len) = content.delimited(at)?;
                at = unit + unit_len;
                16
            }
            // Arrays and maps are read through, and what is unknown is left behind: not here.
            _ => return None,
        };
        if seen & member != 0 {
            return None;
        }
        seen |= member;
    }
    (seen & 1 != 0 && (!field.is_tag || field.value == wire::FIELD_STR)).then_some(field)
}

/// Whether the field is a tag, and what is to be said against its value.
#[inline(always)]
fn long_flaws<I: Isa>(rest: Frames<'_>, field: &Field, strings_dropped: bool) -> (bool, u32) {
    let text = rest.text(field.text.0, field.text.1);
    let flaws = match field.value {
        _ if field.is_tag => text.value_flaws::<I>() | u32::from(text.len() > TAG_VALUE_BYTES_MAX),
        wire::FIELD_STR | wire::FIELD_BYTES => {
            u32::from(strings_dropped || text.len() > FIELD_VALUE_BYTES_MAX)
        }
        _ => u32::from(field.infinite),
    };
    (field.is_tag, flaws)
}

/// Whether what stands behind a point's time is warnings and debugs, and nothing unknown in them.
#[cold]
#[inline(never)]
fn brings_only_known(mut rest: Frames<'_>) -> bool {
    while rest.left() > 0 {
        let tag = rest.word(0) as u8;
        if !matches!(tag, wire::POINT_WARN | wire::POINT_DEBUG) {
            return false;
        }
        let Some((start, len)) = rest.delimited(1) else { return false };
        let mut entry = rest.message(start, len);
        while entry.left() > 0 {
            let text = entry.word(0) as u8;
            if !(text == wire::WARN_TYPE || tag == wire::POINT_WARN && text == wire::WARN_MESSAGE) {
                return false;
            }
            let Some((start, len)) = entry.delimited(1) else { return false };
            entry.pass(start + len);
        }
        rest.pass(start + len);
    }
    true
}

// Both entries begin with a text of number 1.
const _: () = assert!(wire::WARN_TYPE == wire::DEBUG_INFO);
