//! From a tape to `PBPoints` bytes in the open block: check and encode in one pass.
//!
//! `fast` writes ordinary points straight from the tape. A point is ordinary when no rule of [`super::check`] would
//! change it, save that its category's required key may be missing. What it cannot tell cheaply, and whatever is
//! unusual, it hands to `general`, point by point: the owned form, all rules in order, plain encoding. Both give points
//! of equal meaning; the tests compare them.

mod fast;
mod general;

use std::ops::Range;

use crate::buf::{PADDING, Padded};
use crate::codec::line_protocol::Tape;
use crate::simd::wire as simd_wire;

use super::draft::{DraftKv, Value, Warn};
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
    /// `None`: points are only looked at (echo, strict), and nothing is added that feeding adds.
    pub feed: Option<Feed<'a>>,
}

/// What is added to points when they are fed, after all checks.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    pub global_tags: Option<&'a GlobalTags>,
    /// Move points that are more than two hours off to now.
    pub time_correction: bool,
}

/// Encodes points. Holds memory that is reused; one a shard.
#[derive(Debug, Default)]
pub struct Encoder {
    required: Vec<Required>,
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
        let arena_len = tape.arena.len().saturating_sub(PADDING);
        let Some(arena) = Padded::new(&tape.arena, arena_len) else {
            // A tape without padding behind its arena was not made by the parser.
            return self.encode_general(body, tape, points, rules, batch);
        };
        let kernel =
            fast::Points { body, arena, tape, points, rules, required: self.required(rules.category), batch };
        simd_wire::run(kernel)
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
            let warn = general::encode(&body, tape, point, rules, &mut batch.bytes);
            first_warn = first_warn.or(warn);
            batch.points += 1;
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
