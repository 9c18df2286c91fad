//! From a tape to `PBPoints` bytes in the open block: check and encode in one pass.
//!
//! `fast` writes ordinary points straight from the tape. A point is ordinary when no rule of [`super::check`] would
//! change it, save that its category's required key may be missing. What it cannot tell cheaply, and whatever is
//! unusual, it hands to `general`, point by point: the owned form, all rules in order, plain encoding. Both give points
//! of equal meaning; the tests compare them. Points that meet a [`Hook`] go that way too: lines are asked about before they
//! are written, points of other formats when they are.
//! `special` is what every fast path asks of a point while it is written.
//! [`protobuf`] does the same for bodies that are protobuf already.

mod fast;
mod general;
mod json;
mod keys;
pub mod protobuf;
mod special;

use std::ops::Range;

use crate::buf::{PADDING, Padded};
use crate::codec::line_protocol::{Kind, PointSpan, Tape};
use crate::simd::wire as simd_wire;

#[doc(hidden)]
pub use json::fuzz_differential as fuzz_json_differential;
pub use json::{BadJson, JsonAt, explain as explain_json};
pub use protobuf::{ProtobufError, explain as explain_protobuf};

use super::draft::{Draft, DraftKv, Value, Warn};
use super::global_tags::GlobalTag;
use super::pb::{self, PbPart, PbValue};
use super::rules::{CategoryRules, RequiredKey};
use super::time::Precision;
use super::{Batch, GlobalTags, check};

/// The field that keeps a corrected point's own time.
pub const ORIGINAL_TIME_KEY: &str = "__orig_time";

/// How the points of a request are treated.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    pub category: &'static CategoryRules,
    pub precision: Precision,
    /// Stands in for times that are missing; one value for the whole request.
    pub now_ns: i64,
    /// Tags for points that lack them, added after all checks. Where points are only looked at (echo, strict): those
    /// that belong to the request itself, and no global ones.
    pub added_tags: Option<&'a GlobalTags>,
    /// Move points that are more than two hours off to now: only when they are fed.
    pub time_correction: bool,
    /// What points meet on their way; only when they are fed. Without it nothing is paid for it.
    pub hook: Option<&'a dyn Hook>,
}

/// What looks at points one by one: behind their checks, with all their tags, before their times are corrected.
pub trait Hook: std::fmt::Debug {
    /// Passes the point on, as it is or changed, or does not: then it goes no further, and whoever stops it counts it.
    fn meet(&self, point: &mut Draft<'_>, pass: &mut dyn FnMut(&mut Draft<'_>));

    /// Whether there are points that need not meet it: where there are none, none is asked about.
    fn spares(&self) -> bool {
        false
    }

    /// Whether a point need not meet it, as it would be passed on as it is. Of one that is not checked yet it is also to hold
    /// for whatever the checks make of it.
    fn is_nothing_to(&self, _point: &Found<'_>) -> bool {
        false
    }
}

/// A point that may have to meet a [`Hook`].
#[derive(Clone, Copy, Debug)]
pub struct Found<'a>(Stage<'a>);

#[derive(Clone, Copy, Debug)]
enum Stage<'a> {
    /// As the parser found it.
    Parsed { body: &'a [u8], tape: &'a Tape, point: &'a PointSpan, added_tags: &'a [GlobalTag] },
    /// Checked and written: an entry of `PBPoints`.
    Encoded(&'a [u8]),
}

impl<'a> Found<'a> {
    /// `None`: not to be told.
    pub fn name(&self) -> Option<&'a [u8]> {
        match self.0 {
            Stage::Parsed { body, tape, point, .. } => Some(tape.name(body, point)),
            // Every fast path writes it first.
            Stage::Encoded(entry) => match pb::parts(pb::first(entry).ok()?.0?).next()?.ok()? {
                PbPart::Name(name) => Some(name),
                _ => None,
            },
        }
    }

    /// Whether this holds for all texts that this tag or field may have when the point has been checked: more than one only
    /// where it stands there twice, or where a check makes the one key of the other.
    pub fn all_texts(&self, key: &[u8], mut holds: impl FnMut(&[u8]) -> bool) -> bool {
        match self.0 {
            Stage::Parsed { body, tape, point, added_tags } => {
                let becomes =
                    |&(found, wanted): &(&u8, &u8)| found == wanted || (*found == b'.' && *wanted == b'_');
                let may_be = |found: &[u8]| {
                    found.len() >= key.len() && found.iter().zip(key).filter(becomes).count() == key.len()
                };
                let mut own = tape.kvs_of(point).iter();
                own.all(|kv| {
                    !matches!(kv.kind, Kind::Tag | Kind::Str)
                        || !may_be(tape.key(body, kv))
                        || holds(tape.text(body, kv))
                }) && added_tags.iter().all(|tag| *tag.key != *key || holds(&tag.value))
            }
            Stage::Encoded(entry) => {
                let Ok((Some(point), _)) = pb::first(entry) else { return false };
                pb::parts(point).all(|part| match part {
                    Ok(PbPart::Field(field)) if field.key == key => match field.value {
                        PbValue::Str(text) => holds(text),
                        _ => true,
                    },
                    Ok(_) => true,
                    Err(_) => false,
                })
            }
        }
    }
}

/// Whether the point that was written last, from `start` on, may stay as it is, or must be taken back to meet the hook.
#[inline(never)]
fn is_spared(hook: &dyn Hook, written: &[u8], start: usize) -> bool {
    written.get(start..).is_some_and(|entry| hook.is_nothing_to(&Found(Stage::Encoded(entry))))
}

/// Appends a point that was made on the way and so meets no rules. Its time is corrected to `now`, where times are.
pub fn put_made(point: &mut Draft<'_>, corrected_to: Option<i64>, batch: &mut Batch) {
    general::put(point, &[], corrected_to, |_| (), &mut batch.bytes);
    batch.points += 1;
}

impl<'a> Rules<'a> {
    fn added_tags(&self) -> &'a [GlobalTag] {
        self.added_tags.map(GlobalTags::as_slice).unwrap_or_default()
    }
}

/// How far one call goes on in a body. It ends at the first boundary between points that lies past any of the bounds,
/// and always takes at least one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Bytes of the body to read. A point that takes the general path counts [`GENERAL_COST`] times, so that a call takes
    /// about as long whatever the points are.
    pub budget: usize,
    /// An offset in the body.
    pub until: usize,
    /// Bytes that the batch may grow by.
    pub growth: usize,
}

/// The general path costs about this many times what the fast one does: measured 12 to 17 for JSON metrics.
pub const GENERAL_COST: usize = 16;

impl Stretch {
    /// To the end of the body.
    pub const WHOLE: Stretch = Stretch { budget: usize::MAX, until: usize::MAX, growth: usize::MAX };
}

/// Encodes points. Holds memory that is reused; one a shard.
#[derive(Debug, Default)]
pub struct Encoder {
    required: Vec<Required>,
    json: json::Scratch,
    json_keys: json::Keys,
    /// Of protobuf bodies; made with the first one.
    keys: Option<keys::Keys>,
}

/// A required key's default, encoded: the field, and the warning that says it was added.
#[derive(Debug)]
struct Required {
    key: RequiredKey,
    field: Vec<u8>,
    warn: Vec<u8>,
}

impl Encoder {
    /// Appends all points of `tape` to `batch`. The result is the first warning of the first point that has one,
    /// also one that the point itself does not carry (see [`general`]).
    pub fn encode(
        &mut self,
        body: Padded<'_>,
        tape: &Tape,
        rules: &Rules<'_>,
        batch: &mut Batch,
    ) -> Option<Warn> {
        self.encode_range(body, tape, 0..tape.points.len(), rules, batch)
    }

    /// As [`Encoder::encode`], for some of the points.
    pub fn encode_range(
        &mut self,
        body: Padded<'_>,
        tape: &Tape,
        points: Range<usize>,
        rules: &Rules<'_>,
        batch: &mut Batch,
    ) -> Option<Warn> {
        if let Some(hook) = rules.hook {
            return match hook.spares() {
                true => self.encode_hooked(body, tape, points, rules, hook, batch),
                false => self.encode_general(body, tape, points, rules, batch),
            };
        }
        let arena_len = tape.arena.len().saturating_sub(PADDING);
        let Some(arena) = Padded::new(&tape.arena, arena_len) else {
            // A tape without padding behind its arena was not made by the parser.
            return self.encode_general(body, tape, points, rules, batch);
        };
        let kernel =
            fast::Points { body, arena, tape, points, rules, required: self.required(rules.category), batch };
        simd_wire::run(kernel)
    }

    /// Where some points meet a hook: those it is nothing to go the fast way, as many at once as there are.
    fn encode_hooked(
        &mut self,
        body: Padded<'_>,
        tape: &Tape,
        points: Range<usize>,
        rules: &Rules<'_>,
        hook: &dyn Hook,
        batch: &mut Batch,
    ) -> Option<Warn> {
        let spared = Rules { hook: None, ..*rules };
        let found = |point| Found(Stage::Parsed { body: &body, tape, point, added_tags: rules.added_tags() });
        let is_spared =
            |at: usize| tape.points.get(at).is_some_and(|point| hook.is_nothing_to(&found(point)));
        let mut first_warn = None;
        let (mut at, mut spared_here) = (points.start, is_spared(points.start));
        while at < points.end {
            let (mut next, mut spared_there) = (at + 1, spared_here);
            while next < points.end {
                spared_there = is_spared(next);
                if spared_there != spared_here {
                    break;
                }
                next += 1;
            }
            let warn = match spared_here {
                true => self.encode_range(body, tape, at..next, &spared, batch),
                false => self.encode_general(body, tape, at..next, rules, batch),
            };
            first_warn = first_warn.or(warn);
            (at, spared_here) = (next, spared_there);
        }
        first_warn
    }

    /// The slow way for every point: what the fast one is tested against.
    pub fn encode_general(
        &mut self,
        body: Padded<'_>,
        tape: &Tape,
        points: Range<usize>,
        rules: &Rules<'_>,
        batch: &mut Batch,
    ) -> Option<Warn> {
        let mut first_warn = None;
        for point in &tape.points[points] {
            let written = general::encode(&body, tape, point, rules, &mut batch.bytes);
            first_warn = first_warn.or(written.warn);
            batch.points += written.points;
        }
        first_warn
    }

    /// The encoded default of a category, made once.
    fn required(&mut self, category: &CategoryRules) -> Option<&Required> {
        let key = category.required?;
        let index = match self.required.iter().position(|required| required.key == key) {
            Some(index) => index,
            None => {
                let (mut field, mut warn) = (Vec::new(), Vec::new());
                let value = Value::Str(key.default.as_bytes().into());
                DraftKv::field(key.key.as_bytes(), value).encode(&mut field);
                check::required_warn(&key).encode(&mut warn);
                self.required.push(Required { key, field, warn });
                self.required.len() - 1
            }
        };
        self.required.get(index)
    }
}

#[cfg(test)]
mod tests;
