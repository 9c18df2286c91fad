//! The general path: any point, all rules, no hurry.
//!
//! DataKit checks line protocol twice: once with the limits alone, whose warnings it throws away, and once with the
//! category's rules. So a point carries the warnings of the second pass only. A strict client, though, is told of the
//! first pass as well, and of a negative time: a value that was cut or replaced is not what it sent (DataKit stays
//! silent there; that is not copied).

use std::borrow::Cow;

use crate::codec::line_protocol::{Kind, Kv, PointSpan, Tape};
use crate::point::GlobalTag;
use crate::point::draft::{Draft, DraftKv, Value, Warn};
use crate::point::pb::{self, PbValue};
use crate::point::rules::LIMITS_ONLY;
use crate::point::time::{CORRECTION_NS, Resolved, resolve};
use crate::point::{check, wire};

use super::{ORIGINAL_TIME_KEY, Rules};

/// What was made of a point.
pub(super) struct Written {
    /// Its first warning, be it on the point or not.
    pub warn: Option<Warn>,
    /// How many points were written: none where a hook has dropped it.
    pub points: u32,
}

/// Appends one point to `out`.
pub(super) fn encode(
    body: &[u8],
    tape: &Tape,
    point: &PointSpan,
    rules: &Rules<'_>,
    out: &mut Vec<u8>,
) -> Written {
    let mut draft = draft(body, tape, point);
    let mut silent = Vec::new();
    check::check(&mut draft, &LIMITS_ONLY, &mut silent);
    let mut warns = Vec::new();
    check::check(&mut draft, rules.category, &mut warns);
    draft.time = match resolve(point.time, rules.precision) {
        Resolved::Given(ns) => ns,
        Resolved::Now => rules.now_ns,
        Resolved::Negative => {
            silent.push(time_warn("is negative", point.time));
            rules.now_ns
        }
        Resolved::OutOfRange => {
            warns.push(time_warn("is out of range", point.time));
            rules.now_ns
        }
    };
    draft.warns = warns;
    write(draft, silent, rules, out)
}

/// Ours: DataKit takes now without a word, or wraps around.
pub(super) fn time_warn(what: &str, timestamp: Option<i64>) -> Warn {
    Warn::new("invalid_time", format!("time {} {what}, use now", timestamp.unwrap_or_default()))
}

/// Adds what is added after the checks, and writes the point. Its first warning is one of `silent`, which the point does
/// not carry, or of its own.
pub(super) fn write(draft: Draft<'_>, silent: Vec<Warn>, rules: &Rules<'_>, out: &mut Vec<u8>) -> Written {
    write_with(draft, silent, |_| (), rules, out)
}

/// As [`write`]; `brought` writes the warnings and debugs that the point came with, which stand before those of the
/// draft.
pub(super) fn write_with(
    draft: Draft<'_>,
    silent: Vec<Warn>,
    brought: impl FnOnce(&mut Vec<u8>),
    rules: &Rules<'_>,
    out: &mut Vec<u8>,
) -> Written {
    let mut draft = draft;
    let corrected_to = rules.time_correction.then_some(rules.now_ns);
    let Some(hook) = rules.hook else {
        put(&mut draft, rules.added_tags(), corrected_to, brought, out);
        return Written { warn: silent.into_iter().chain(draft.warns).next(), points: 1 };
    };
    // It is to see them, and may change them.
    for tag in rules.added_tags() {
        if !draft.kvs.iter().any(|kv| *kv.key == *tag.key) {
            draft.kvs.push(DraftKv::tag(&*tag.key, &*tag.value));
        }
    }
    let warn = silent.into_iter().next().or_else(|| draft.warns.first().cloned());
    let mut brought = Some(brought);
    hook.meet(&mut draft, &mut |draft| {
        if let Some(brought) = brought.take() {
            put(draft, &[], corrected_to, brought, out);
        }
    });
    // Passed on, or not.
    if brought.is_none() { Written { warn, points: 1 } } else { Written { warn: None, points: 0 } }
}

/// Appends the point.
pub(super) fn put(
    draft: &mut Draft<'_>,
    added_tags: &[GlobalTag],
    corrected_to: Option<i64>,
    brought: impl FnOnce(&mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    if let Some(now_ns) = corrected_to.filter(|now_ns| draft.time.abs_diff(*now_ns) > CORRECTION_NS) {
        let original = std::mem::replace(&mut draft.time, now_ns);
        if !draft.kvs.iter().any(|kv| &*kv.key == ORIGINAL_TIME_KEY.as_bytes()) {
            draft.kvs.push(DraftKv::field(ORIGINAL_TIME_KEY.as_bytes(), Value::Int(original)));
        }
    }
    wire::put_message(out, wire::POINTS_POINT, |out| {
        wire::put_bytes(out, wire::POINT_NAME, &draft.name);
        for kv in &draft.kvs {
            kv.encode(out);
        }
        for tag in added_tags {
            if !draft.kvs.iter().any(|kv| *kv.key == *tag.key) {
                out.extend_from_slice(&tag.encoded);
            }
        }
        wire::put_uint(out, wire::POINT_TIME, draft.time as u64);
        brought(out);
        for warn in &draft.warns {
            warn.encode(out);
        }
        for info in &draft.debugs {
            wire::put_message(out, wire::POINT_DEBUG, |out| wire::put_bytes(out, wire::DEBUG_INFO, info));
        }
    });
}

/// The point in owned small form. Fields come before tags, as they do in the reference.
fn draft<'a>(body: &'a [u8], tape: &'a Tape, point: &PointSpan) -> Draft<'a> {
    let (tags, fields) = tape.kvs_of(point).split_at(point.tags as usize);
    let kvs = fields.iter().chain(tags).map(|kv| {
        let key = Cow::Borrowed(tape.key(body, kv));
        let text = || Cow::Borrowed(tape.text(body, kv));
        match kv.kind {
            Kind::Tag => DraftKv { is_tag: true, ..DraftKv::field(key, Value::Str(text())) },
            Kind::Int => DraftKv::field(key, Value::Int(kv.value as i64)),
            Kind::Float => DraftKv::field(key, Value::Float(f64::from_bits(kv.value))),
            Kind::Str => DraftKv::field(key, Value::Str(text())),
            Kind::Bool => DraftKv::field(key, Value::Bool(kv.value != 0)),
            Kind::Uint => DraftKv::field(key, Value::Uint(kv.value)),
            Kind::Bytes => DraftKv::field(key, Value::Bytes(text())),
            Kind::Array => {
                let mut any = Vec::new();
                encode_array(body, tape, kv, &mut any);
                DraftKv::field(key, Value::Any(any.into()))
            }
        }
    });
    Draft { name: Cow::Borrowed(tape.name(body, point)), kvs: kvs.collect(), ..Draft::default() }
}

/// Appends the `Any` of an array value.
pub(super) fn encode_array(body: &[u8], tape: &Tape, kv: &Kv, out: &mut Vec<u8>) {
    let items = tape.items_of(kv.value).iter().map(|item| {
        let text = || tape.text_at(body, item.in_arena, item.value);
        match item.kind {
            Kind::Int => PbValue::Int(item.value as i64),
            Kind::Float => PbValue::Float(f64::from_bits(item.value)),
            Kind::Bool => PbValue::Bool(item.value != 0),
            Kind::Uint => PbValue::Uint(item.value),
            Kind::Str | Kind::Tag => PbValue::Str(text()),
            Kind::Bytes => PbValue::Bytes(text()),
            // Never an array: the tape's promise.
            Kind::Array => PbValue::Nil,
        }
    });
    pb::encode_array(items, out);
}
