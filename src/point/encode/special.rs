//! What every fast path asks of a point while it writes it: which of its keys mean something, what stands behind its
//! fields, and whether it was ordinary after all.

use crate::point::check::KEY_BYTES_MAX;
use crate::point::draft::{DraftKv, Value};
use crate::point::time::{CORRECTION_NS, Resolved, resolve};
use crate::point::wire;
use crate::simd::wire::{Isa, Layout, Text, Writer, key_filter};

use super::{ORIGINAL_TIME_KEY, Required, Rules};

/// `PBPoint.fields`.
pub(super) const LAYOUT: Layout =
    Layout { field: wire::POINT_FIELD, key: wire::FIELD_KEY, is_tag: [wire::FIELD_IS_TAG, 1] };

/// How a point went.
pub(super) enum Outcome {
    Clean,
    /// Written, with its category's required key and the warning about it.
    DefaultAdded,
    /// Not (rightly) written.
    Unusual,
}

/// The keys that mean something, and what has been seen of them.
pub(super) struct Special<'a, 'r> {
    pub(super) rules: &'a Rules<'r>,
    pub(super) required: Option<&'a Required>,
    pub(super) hot: Hot,
}

/// What is asked at every key: kept in registers.
#[derive(Clone, Copy)]
pub(super) struct Hot {
    /// Bit [`key_filter`] is set for every key that [`Special::see`] wants to know about.
    pub(super) filter: u64,
    /// The byte no key may have beside newlines.
    pub(super) unwanted: u8,
    pub(super) strings_dropped: bool,
}

/// What a point has of the special keys.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) required: bool,
    pub(super) original_time: bool,
    pub(super) disabled: bool,
    /// One bit a tag that would be added.
    pub(super) added_tags: u64,
}

impl<'a, 'r> Special<'a, 'r> {
    pub(super) fn new(rules: &'a Rules<'r>, required: Option<&'a Required>) -> Special<'a, 'r> {
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
        rules.added_tags().iter().for_each(|tag| watch(&tag.key));
        if rules.time_correction {
            watch(ORIGINAL_TIME_KEY.as_bytes());
        }
        special
    }

    #[inline(never)]
    pub(super) fn see(&self, key: &[u8], seen: &mut Seen) {
        if let Some(required) = self.required {
            seen.required |= required.key.key.as_bytes() == key;
        }
        seen.disabled |= self.rules.category.disabled_keys.iter().any(|disabled| disabled.as_bytes() == key);
        if let Some(index) = self.rules.added_tags().iter().position(|tag| &*tag.key == key) {
            // At most 64: `GLOBAL_TAGS_MAX`.
            seen.added_tags |= 1 << index;
        }
        seen.original_time |= key == ORIGINAL_TIME_KEY.as_bytes();
    }
}

/// Not zero for a key that is too long. Notes the special ones.
#[inline(always)]
pub(super) fn look<I: Isa>(key: Text<'_>, hot: Hot, special: &Special<'_, '_>, seen: &mut Seen) -> u32 {
    if hot.filter >> key.filter::<I>() & 1 != 0 {
        special.see(key.bytes(), seen);
    }
    u32::from(key.len() > KEY_BYTES_MAX)
}

/// What stands behind the fields: defaults, global tags, time, warnings.
#[inline(always)]
pub(super) fn finish<I: Isa>(
    writer: &mut Writer<'_, I>,
    timestamp: Option<i64>,
    special: &Special<'_, '_>,
    seen: &Seen,
    start: usize,
) -> Outcome {
    finish_with(writer, timestamp, special, seen, start, b"")
}

/// As [`finish`], with warnings and debugs that the point brought, encoded.
#[inline(always)]
pub(super) fn finish_with<I: Isa>(
    writer: &mut Writer<'_, I>,
    timestamp: Option<i64>,
    special: &Special<'_, '_>,
    seen: &Seen,
    start: usize,
    brought: &[u8],
) -> Outcome {
    let rules = special.rules;
    let mut time = match resolve(timestamp, rules.precision) {
        Resolved::Given(ns) => ns,
        Resolved::Now => rules.now_ns,
        Resolved::Negative | Resolved::OutOfRange => return Outcome::Unusual,
    };
    let missing = special.required.filter(|_| !seen.required);
    if let Some(required) = missing {
        writer.bytes(&required.field);
    }
    let default = missing.map(|required| required.key.key.as_bytes());
    for (index, tag) in rules.added_tags().iter().enumerate() {
        if seen.added_tags >> index & 1 == 0 && default != Some(&*tag.key) {
            writer.bytes(&tag.encoded);
        }
    }
    if rules.time_correction && time.abs_diff(rules.now_ns) > CORRECTION_NS {
        if !seen.original_time {
            writer.with_vec(|out| {
                DraftKv::field(ORIGINAL_TIME_KEY.as_bytes(), Value::Int(time)).encode(out);
            });
        }
        time = rules.now_ns;
    }
    writer.varint_field(wire::POINT_TIME, time as u64);
    if !brought.is_empty() {
        writer.bytes(brought);
    }
    if let Some(required) = missing {
        writer.bytes(&required.warn);
    }
    writer.close(start);
    if missing.is_some() { Outcome::DefaultAdded } else { Outcome::Clean }
}
