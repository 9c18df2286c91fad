//! What may pass: the rules of the point model in order, one function a rule.
//!
//! Source: the constraints of the public document (items 1 to 13), and where it is silent the recorded DataKit
//! 1.84.1, whose warn types and messages these are, letter for letter (also `exceed_max_fields` for tags and
//! `tail_espace`). Lengths are bytes; cutting cuts bytes, also through a character.
//!
//! The order inside one point: measurement, counts, each key-value in list order, required key.

use std::borrow::Cow;
use std::collections::HashMap;

use super::draft::{Draft, DraftKv, Value, Warn};
use super::quote::quote;
use super::rules::{CategoryRules, RequiredKey};

/// What an empty measurement becomes.
pub const DEFAULT_MEASUREMENT: &str = "__default";
/// Recorded from DataKit 1.84.1; the document gives no limit.
pub const MEASUREMENT_BYTES_MAX: usize = 1024;
/// Item 9 of the document's constraints.
pub const FIELDS_MAX: usize = 1024;
/// Item 8.
pub const TAGS_MAX: usize = 256;
/// Item 10.
pub const KEY_BYTES_MAX: usize = 256;
/// Item 11.
pub const TAG_VALUE_BYTES_MAX: usize = 1024;
/// Item 12.
pub const FIELD_VALUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// `+Inf` and `-Inf` have no place in a store: the ends of the 64-bit integers stand in (recorded).
const INF_STAND_IN: f64 = u64::MAX as f64;
const NEG_INF_STAND_IN: f64 = i64::MIN as f64;

/// Up to here the list of keys is searched from front to back; beyond, in a map, so that a point with a thousand
/// keys that all need repair costs a thousand look-ups and not a million.
const LINEAR_KEYS_MAX: usize = 32;

/// How many fields and tags a reader did not put into the draft because as many as may be stand in it already: so a
/// point of a million fields is never held in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    pub fields: usize,
    pub tags: usize,
}

/// Applies every rule to `draft`, and appends what was changed to `warns`.
pub fn check(draft: &mut Draft<'_>, rules: &CategoryRules, warns: &mut Vec<Warn>) {
    check_rest(draft, LeftOut::default(), rules, warns);
}

/// As [`check`], for a draft that a reader has cut short: it holds the first [`FIELDS_MAX`] fields and the first
/// [`TAGS_MAX`] tags where some are left out.
pub fn check_rest(draft: &mut Draft<'_>, left_out: LeftOut, rules: &CategoryRules, warns: &mut Vec<Warn>) {
    measurement_empty(draft, warns);
    measurement_length(draft, warns);
    fields_count(draft, left_out.fields, warns);
    tags_count(draft, left_out.tags, warns);
    key_values(draft, rules, warns);
    if let Some(required) = &rules.required {
        required_key(draft, required, warns);
    }
}

/// Rule 1.
fn measurement_empty(draft: &mut Draft<'_>, warns: &mut Vec<Warn>) {
    if draft.name.is_empty() {
        draft.name = Cow::Borrowed(DEFAULT_MEASUREMENT.as_bytes());
        warns.push(Warn::new("invalid_measurement", format!("empty measurement, use {DEFAULT_MEASUREMENT}")));
    }
}

/// Rule 2.
fn measurement_length(draft: &mut Draft<'_>, warns: &mut Vec<Warn>) {
    let len = draft.name.len();
    if len > MEASUREMENT_BYTES_MAX {
        cut(&mut draft.name, MEASUREMENT_BYTES_MAX);
        let message =
            format!("exceed max measurement length({MEASUREMENT_BYTES_MAX}), got length {len}, trimmed");
        warns.push(Warn::new("invalid_measurement", message));
    }
}

/// Rule 3.
fn fields_count(draft: &mut Draft<'_>, left_out: usize, warns: &mut Vec<Warn>) {
    let count = draft.kvs.iter().filter(|kv| !kv.is_tag).count() + left_out;
    if count > FIELDS_MAX {
        keep_first(&mut draft.kvs, false, FIELDS_MAX);
        let message =
            format!("exceed max field count({FIELDS_MAX}), got {count} fields, extra fields deleted");
        warns.push(Warn::new("exceed_max_fields", message));
    }
}

/// Rule 4. (The type is the one for fields: recorded.)
fn tags_count(draft: &mut Draft<'_>, left_out: usize, warns: &mut Vec<Warn>) {
    let count = draft.kvs.iter().filter(|kv| kv.is_tag).count() + left_out;
    if count > TAGS_MAX {
        keep_first(&mut draft.kvs, true, TAGS_MAX);
        let message = format!("exceed max tag count({TAGS_MAX}), got {count} tags, extra tags deleted");
        warns.push(Warn::new("exceed_max_fields", message));
    }
}

/// Rules 5 to 15, key-value by key-value.
fn key_values(draft: &mut Draft<'_>, rules: &CategoryRules, warns: &mut Vec<Warn>) {
    let kvs = &mut draft.kvs;
    let mut keys = Keys::new(kvs);
    let mut keep = Vec::with_capacity(kvs.len());
    for index in 0..kvs.len() {
        let kept = key_value(kvs, index, rules, &mut keys, warns);
        if kept {
            keys.keep(kvs, index);
        }
        keep.push(kept);
    }
    let mut keep = keep.into_iter();
    kvs.retain(|_| keep.next().unwrap_or(true));
}

/// All rules for one key-value; `false`: it goes.
fn key_value(
    kvs: &mut [DraftKv<'_>],
    index: usize,
    rules: &CategoryRules,
    keys: &mut Keys,
    warns: &mut Vec<Warn>,
) -> bool {
    let is_tag = kvs[index].is_tag;
    let names_ok = if is_tag {
        tag_key_length(kvs, index, keys, warns)
            && tag_key_characters(kvs, index, keys, warns)
            && (!rules.dots_replaced || tag_key_dots(kvs, index, keys, warns))
    } else {
        field_key_length(kvs, index, keys, warns)
            && (!rules.dots_replaced || field_key_dots(kvs, index, keys, warns))
            && field_key_characters(kvs, index, keys, warns)
    };
    if !names_ok
        || !key_not_empty(&kvs[index], warns)
        || !key_enabled(&kvs[index], rules, warns)
        || !key_unique(kvs, index, keys, warns)
    {
        return false;
    }
    let kv = &mut kvs[index];
    if is_tag {
        tag_value_characters(kv, warns);
        tag_value_length(kv, warns);
        return true;
    }
    field_infinite(kv, warns);
    field_nil(kv, warns);
    field_string_allowed(kv, rules, warns) && {
        field_value_length(kv, warns);
        true
    }
}

/// Rule 5, tags.
fn tag_key_length(kvs: &mut [DraftKv<'_>], index: usize, keys: &mut Keys, warns: &mut Vec<Warn>) -> bool {
    let len = kvs[index].key.len();
    if len <= KEY_BYTES_MAX {
        return true;
    }
    let message = format!("exceed max tag key length({KEY_BYTES_MAX}), got {len}, key truncated");
    warns.push(Warn::new("exceed_max_tag_key_len", message));
    let shorter = kvs[index].key[..KEY_BYTES_MAX].to_vec();
    rename(kvs, index, shorter, keys, "tag", "truncate", warns)
}

/// Rule 6, tags.
fn tag_key_characters(kvs: &mut [DraftKv<'_>], index: usize, keys: &mut Keys, warns: &mut Vec<Warn>) -> bool {
    let Some(repaired) = without_newlines(&kvs[index].key) else { return true };
    let mut message = b"invalid tag key ".to_vec();
    quote(&kvs[index].key, &mut message);
    message.extend_from_slice(b", replace \\ or \\n with ''");
    warns.push(Warn::new("invalid_tag_key", message));
    rename(kvs, index, repaired, keys, "tag", "adjust", warns)
}

/// Rule 7, tags.
fn tag_key_dots(kvs: &mut [DraftKv<'_>], index: usize, keys: &mut Keys, warns: &mut Vec<Warn>) -> bool {
    let Some(repaired) = without_dots(&kvs[index].key) else { return true };
    warns.push(dot_warn("invalid_tag_key", "tag", &kvs[index].key));
    rename(kvs, index, repaired, keys, "tag", "adjust", warns)
}

/// Rule 5, fields.
fn field_key_length(kvs: &mut [DraftKv<'_>], index: usize, keys: &mut Keys, warns: &mut Vec<Warn>) -> bool {
    let len = kvs[index].key.len();
    if len <= KEY_BYTES_MAX {
        return true;
    }
    let message = format!("exceed max field key length({KEY_BYTES_MAX}), got length {len}, key truncated");
    warns.push(Warn::new("exceed_max_field_key_len", message));
    let shorter = kvs[index].key[..KEY_BYTES_MAX].to_vec();
    rename(kvs, index, shorter, keys, "field", "truncate", warns)
}

/// Rule 6, fields.
fn field_key_dots(kvs: &mut [DraftKv<'_>], index: usize, keys: &mut Keys, warns: &mut Vec<Warn>) -> bool {
    let Some(repaired) = without_dots(&kvs[index].key) else { return true };
    warns.push(dot_warn("dot_in_key", "field", &kvs[index].key));
    rename(kvs, index, repaired, keys, "field", "adjust", warns)
}

/// Rule 7, fields.
fn field_key_characters(
    kvs: &mut [DraftKv<'_>],
    index: usize,
    keys: &mut Keys,
    warns: &mut Vec<Warn>,
) -> bool {
    let Some(repaired) = without_newlines(&kvs[index].key) else { return true };
    let mut message = b"invalid field key ".to_vec();
    quote(&kvs[index].key, &mut message);
    message.extend_from_slice(b": found \\n, replaced with ' '");
    warns.push(Warn::new("found_new_line_or_tail_espace", message));
    rename(kvs, index, repaired, keys, "field", "adjust", warns)
}

/// Rule 8.
fn key_not_empty(kv: &DraftKv<'_>, warns: &mut Vec<Warn>) -> bool {
    if kv.key.is_empty() {
        warns.push(Warn::new("tag_disabled", "empty tag key disabled"));
    }
    !kv.key.is_empty()
}

/// Rule 9: tags and fields, same text.
fn key_enabled(kv: &DraftKv<'_>, rules: &CategoryRules, warns: &mut Vec<Warn>) -> bool {
    let disabled = rules.disabled_keys.iter().any(|key| key.as_bytes() == &*kv.key);
    if disabled {
        let mut message = b"tag key ".to_vec();
        quote(&kv.key, &mut message);
        message.extend_from_slice(b" disabled");
        warns.push(Warn::new("tag_disabled", message));
    }
    !disabled
}

/// Rule 10: a key that is in the list more than once goes, and so does its twin.
fn key_unique(kvs: &[DraftKv<'_>], index: usize, keys: &Keys, warns: &mut Vec<Warn>) -> bool {
    let unique = keys.count(kvs, &kvs[index].key) <= 1;
    if !unique {
        let mut message = b"same key (".to_vec();
        quote(&kvs[index].key, &mut message);
        message.push(b')');
        warns.push(Warn::new("key_name_conflict", message));
    }
    unique
}

/// Rule 11, tags.
fn tag_value_characters(kv: &mut DraftKv<'_>, warns: &mut Vec<Warn>) {
    let Value::Str(value) = &mut kv.value else { return };
    let Some(repaired) = without_newlines(value) else { return };
    let mut message = b"invalid tag value ".to_vec();
    quote(value, &mut message);
    message.extend_from_slice(b", found \\n or tail \\");
    warns.push(Warn::new("found_new_line_or_tail_espace", message));
    *value = Cow::Owned(repaired);
}

/// Rule 12, tags.
fn tag_value_length(kv: &mut DraftKv<'_>, warns: &mut Vec<Warn>) {
    let Value::Str(value) = &mut kv.value else { return };
    let len = value.len();
    if len > TAG_VALUE_BYTES_MAX {
        cut(value, TAG_VALUE_BYTES_MAX);
        let message =
            format!("exceed max tag value length({TAG_VALUE_BYTES_MAX}), got {len}, value truncated");
        warns.push(Warn::new("exceed_max_tag_value_len", message));
    }
}

/// Rules 11 and 12, fields.
fn field_infinite(kv: &mut DraftKv<'_>, warns: &mut Vec<Warn>) {
    let Value::Float(value) = &mut kv.value else { return };
    if !value.is_infinite() {
        return;
    }
    let (kind, stand_in, end): (_, _, &[u8]) = if *value > 0.0 {
        ("convert_inf_to_max_value", INF_STAND_IN, b" convert to max-uint64")
    } else {
        ("convert_inf_to_min_value", NEG_INF_STAND_IN, b" convert to min-int64")
    };
    *value = stand_in;
    // "+inf" in both: recorded.
    let mut message = b"+inf value from ".to_vec();
    quote(&kv.key, &mut message);
    message.extend_from_slice(end);
    warns.push(Warn::new(kind, message));
}

/// Rule 13: kept, and said.
fn field_nil(kv: &DraftKv<'_>, warns: &mut Vec<Warn>) {
    if kv.value == Value::Nil {
        warns.push(Warn::new("nil_field", [b"nil field(", &*kv.key, b")"].concat()));
    }
}

/// Rule 14.
fn field_string_allowed(kv: &DraftKv<'_>, rules: &CategoryRules, warns: &mut Vec<Warn>) -> bool {
    let dropped = rules.strings_dropped && matches!(kv.value, Value::Str(_) | Value::Bytes(_));
    if dropped {
        let message: [&[u8]; 3] =
            [b"field(", &kv.key, b") dropped with string value, when [DisableStringField] enabled"];
        warns.push(Warn::new("invalid_field_value_type", message.concat()));
    }
    !dropped
}

/// Rule 15.
fn field_value_length(kv: &mut DraftKv<'_>, warns: &mut Vec<Warn>) {
    let (Value::Str(value) | Value::Bytes(value)) = &mut kv.value else { return };
    let len = value.len();
    if len > FIELD_VALUE_BYTES_MAX {
        cut(value, FIELD_VALUE_BYTES_MAX);
        let mut message = [b"field (", &*kv.key].concat();
        message.extend_from_slice(
            format!(") exceed max field value length({FIELD_VALUE_BYTES_MAX}), got {len}, value truncated")
                .as_bytes(),
        );
        warns.push(Warn::new("exceed_max_field_value_len", message));
    }
}

/// Rule 16.
fn required_key(draft: &mut Draft<'_>, required: &RequiredKey, warns: &mut Vec<Warn>) {
    if draft.kvs.iter().any(|kv| &*kv.key == required.key.as_bytes()) {
        return;
    }
    draft.kvs.push(DraftKv::field(required.key.as_bytes(), Value::Str(required.default.as_bytes().into())));
    warns.push(required_warn(required));
}

/// The warning of rule 16; the fast path has it encoded in advance.
pub fn required_warn(required: &RequiredKey) -> Warn {
    let message = format!("add required key-value \"{}\": \"{}\"", required.key, required.default);
    Warn::new("add_required_kv", message)
}

fn dot_warn(kind: &'static str, what: &str, key: &[u8]) -> Warn {
    let message = [b"invalid ", what.as_bytes(), b" key `", key, b"': found `.'"].concat();
    Warn::new(kind, message)
}

/// Gives a key-value another key, unless the list has that already: then it goes.
fn rename(
    kvs: &mut [DraftKv<'_>],
    index: usize,
    key: Vec<u8>,
    keys: &mut Keys,
    what: &str,
    after: &str,
    warns: &mut Vec<Warn>,
) -> bool {
    if keys.count(kvs, &key) > 0 {
        let mut message = format!("{what} key ").into_bytes();
        quote(&key, &mut message);
        message.extend_from_slice(format!(" exist after {after}").as_bytes());
        warns.push(Warn::new("invalid_tag_key", message));
        return false;
    }
    keys.rename(&kvs[index].key, &key);
    kvs[index].key = Cow::Owned(key);
    true
}

/// The key or value without newlines and trailing backslashes; `None` where there are none.
pub fn without_newlines(text: &[u8]) -> Option<Vec<u8>> {
    if text.last() != Some(&b'\\') && !text.contains(&b'\n') {
        return None;
    }
    let end = text.iter().rposition(|&byte| byte != b'\\').map_or(0, |at| at + 1);
    Some(text[..end].iter().map(|&byte| if byte == b'\n' { b' ' } else { byte }).collect())
}

fn without_dots(key: &[u8]) -> Option<Vec<u8>> {
    key.contains(&b'.').then(|| key.iter().map(|&byte| if byte == b'.' { b'_' } else { byte }).collect())
}

fn cut(text: &mut Cow<'_, [u8]>, len: usize) {
    match text {
        Cow::Borrowed(text) => *text = &text[..len],
        Cow::Owned(text) => text.truncate(len),
    }
}

/// Of the tags (or fields), keeps the first `count` in list order.
fn keep_first(kvs: &mut Vec<DraftKv<'_>>, is_tag: bool, count: usize) {
    let mut seen = 0;
    kvs.retain(|kv| {
        if kv.is_tag != is_tag {
            return true;
        }
        seen += 1;
        seen <= count
    });
}

/// The list of keys while it is being edited: "exists" and "more than once" ask it.
///
/// The reference compacts the list in place while it walks it, so a dropped entry still counts until a later one
/// has been moved over it. `slots` is that list: which key-value stands in which place.
struct Keys {
    slots: Vec<u32>,
    kept: usize,
    /// How often each key stands in `slots`; only for long lists.
    counts: Option<HashMap<Vec<u8>, u32>>,
}

impl Keys {
    fn new(kvs: &[DraftKv<'_>]) -> Keys {
        let counts = (kvs.len() > LINEAR_KEYS_MAX).then(|| {
            let mut counts = HashMap::with_capacity(kvs.len());
            for kv in kvs {
                *counts.entry(kv.key.to_vec()).or_insert(0) += 1;
            }
            counts
        });
        Keys { slots: (0..kvs.len() as u32).collect(), kept: 0, counts }
    }

    fn count(&self, kvs: &[DraftKv<'_>], key: &[u8]) -> u32 {
        match &self.counts {
            Some(counts) => counts.get(key).copied().unwrap_or(0),
            None => self.slots.iter().filter(|&&slot| &*kvs[slot as usize].key == key).count() as u32,
        }
    }

    /// The key-value under examination, which stands in one place only, takes another key.
    fn rename(&mut self, from: &[u8], to: &[u8]) {
        self.uncount(from);
        self.recount(to);
    }

    /// The key-value `index` stays: it moves up to the end of those kept before.
    fn keep(&mut self, kvs: &[DraftKv<'_>], index: usize) {
        let overwritten = std::mem::replace(&mut self.slots[self.kept], index as u32) as usize;
        self.kept += 1;
        if overwritten != index {
            self.uncount(&kvs[overwritten].key);
            self.recount(&kvs[index].key);
        }
    }

    fn uncount(&mut self, key: &[u8]) {
        if let Some(count) = self.counts.as_mut().and_then(|counts| counts.get_mut(key)) {
            *count -= 1;
        }
    }

    fn recount(&mut self, key: &[u8]) {
        if let Some(counts) = &mut self.counts {
            *counts.entry(key.to_vec()).or_insert(0) += 1;
        }
    }
}

#[cfg(test)]
mod tests;
