//! JSON bodies: an array of points, each simple JSON or PB-JSON, as one element after the other.
//!
//! ```text
//!             ┌─ fast: runs of ordinary elements, straight from the body
//! element ────┤
//!             └─ general: one element ── simd-json's tape ──┐
//!                                 └─ what that refuses or ──┴─ dialects: a draft ── checks ── written
//!                                    loses: the plain tape
//! ```
//!
//! What is right is what DataKit 1.84.1 takes, which is what Go's `encoding/json` and gogo's `jsonpb` take: the plain
//! tape and the [`dialect`]s know that, and nothing else decides. A body is read in stretches, so a call may end
//! between any two elements; where anything is wrong the whole body is refused and read once more by [`explain`].

mod dialect;
mod element;
mod explain;
mod fast;
mod fuzz;

#[cfg(test)]
mod tests;

pub use explain::explain;
#[doc(hidden)]
pub use fuzz::fuzz_differential;

use crate::buf::Padded;
use crate::codec::json::is_white;
use crate::point::Batch;
use crate::point::draft::Warn;

use super::{Encoder, GENERAL_COST, Rules, Stretch};

pub(super) use element::Scratch;
pub(super) use fast::Keys;

/// How far a body is read. The default stands before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonAt {
    offset: usize,
    stage: Stage,
}

/// What is expected next, after white space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// `[`, or the `null` that is a body without points.
    #[default]
    Top,
    /// The first element, or `]`.
    First,
    /// An element.
    Element,
    /// `,` or `]`.
    Behind,
    /// Nothing more.
    Tail,
    Done,
}

/// Something is wrong with the body; [`explain`] says what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadJson;

impl JsonAt {
    /// All of the body is read.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// How many bytes are read.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl Encoder {
    /// Appends points of `body` to `batch`: from `at`, which moves on, as far as `stretch` says. The result is the first
    /// warning of the first of these points that has one, also one that the point itself does not carry.
    /// After an error the batch holds points of a body that is to be refused: the caller takes them back.
    pub fn encode_json(
        &mut self,
        body: Padded<'_>,
        at: &mut JsonAt,
        stretch: Stretch,
        rules: &Rules<'_>,
        batch: &mut Batch,
    ) -> Result<Option<Warn>, BadJson> {
        self.encode_json_by(Reader::All, body, at, stretch, rules, batch)
    }

    /// [`Encoder::encode_json`] by the plain reader alone: what the others are tested against.
    pub fn encode_json_plain(
        &mut self,
        body: Padded<'_>,
        at: &mut JsonAt,
        stretch: Stretch,
        rules: &Rules<'_>,
        batch: &mut Batch,
    ) -> Result<Option<Warn>, BadJson> {
        self.encode_json_by(Reader::Plain, body, at, stretch, rules, batch)
    }

    /// [`Encoder::encode_json`] without the fast path: for tests and benchmarks.
    pub fn encode_json_general(
        &mut self,
        body: Padded<'_>,
        at: &mut JsonAt,
        stretch: Stretch,
        rules: &Rules<'_>,
        batch: &mut Batch,
    ) -> Result<Option<Warn>, BadJson> {
        self.encode_json_by(Reader::General, body, at, stretch, rules, batch)
    }

    fn encode_json_by(
        &mut self,
        reader: Reader,
        body: Padded<'_>,
        at: &mut JsonAt,
        stretch: Stretch,
        rules: &Rules<'_>,
        batch: &mut Batch,
    ) -> Result<Option<Warn>, BadJson> {
        let meets_all = rules.hook.is_some_and(|hook| !hook.spares());
        let reader = if reader == Reader::All && meets_all { Reader::General } else { reader };
        // Made now, so that the loop can borrow it beside the scratch.
        self.required(rules.category);
        let required = self.required.iter().find(|required| Some(required.key) == rules.category.required);
        let mut left = Left {
            cost: stretch.budget.max(1),
            until: stretch.until,
            batch_end: batch.bytes.len().saturating_add(stretch.growth),
        };
        let mut first_warn = None;
        loop {
            let gap = left.white_space(&body, at.offset);
            at.offset += gap.skipped;
            if gap.cut {
                return Ok(first_warn);
            }
            let next = body.get(at.offset).copied();
            match (at.stage, next) {
                (Stage::Top, Some(b'[')) => at.pass(1, Stage::First),
                (Stage::Top, Some(b'n')) if body[at.offset..].starts_with(b"null") => at.pass(4, Stage::Tail),
                (Stage::First | Stage::Behind, Some(b']')) => at.pass(1, Stage::Tail),
                (Stage::Behind, Some(b',')) => at.pass(1, Stage::Element),
                (Stage::Tail, None) => at.stage = Stage::Done,
                (Stage::Done, _) => return Ok(first_warn),
                // White space was cut here before: the other pass over this stretch ends at the same place.
                (Stage::First | Stage::Element, Some(_)) if at.offset >= stretch.until => {
                    return Ok(first_warn);
                }
                (Stage::First | Stage::Element, Some(_)) => {
                    if reader == Reader::All {
                        // The fast path's place: as many elements as it can take, from an element's first byte on.
                        let (left, keys) = (&mut left, &mut self.json_keys);
                        let run = fast::Run { body, from: at.offset, left, rules, required, keys, batch };
                        let taken = fast::run(run);
                        first_warn = first_warn.or(taken.warn);
                        if taken.next > at.offset {
                            *at = JsonAt { offset: taken.next, stage: taken.stop.stage() };
                        }
                        if left.is_over(at.offset, batch) {
                            return Ok(first_warn);
                        }
                        if taken.stop == fast::Stop::Behind {
                            continue;
                        }
                    }
                    let start = at.offset;
                    let (end, warn) = element::encode(&body, start, reader, rules, &mut self.json, batch)?;
                    first_warn = first_warn.or(warn);
                    *at = JsonAt { offset: end, stage: Stage::Behind };
                    left.spend((end - start).saturating_mul(GENERAL_COST));
                    if left.is_over(at.offset, batch) {
                        return Ok(first_warn);
                    }
                }
                _ => return Err(BadJson),
            }
        }
    }
}

impl JsonAt {
    fn pass(&mut self, bytes: usize, stage: Stage) {
        *self = JsonAt { offset: self.offset + bytes, stage };
    }
}

/// Which readers may take an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    All,
    General,
    Plain,
}

/// What is left of a stretch.
struct Left {
    /// In bytes, those of the general path counted [`GENERAL_COST`] times.
    cost: usize,
    /// An offset in the body.
    until: usize,
    /// The length the batch may grow to.
    batch_end: usize,
}

/// White space that was passed.
struct Gap {
    skipped: usize,
    /// The stretch ended in it.
    cut: bool,
}

impl Left {
    fn spend(&mut self, cost: usize) {
        self.cost = self.cost.saturating_sub(cost);
    }

    /// Asked between elements: the stretch ends here.
    fn is_over(&self, offset: usize, batch: &Batch) -> bool {
        self.cost == 0 || offset >= self.until || batch.bytes.len() >= self.batch_end
    }

    /// Passes white space, of which there may be as much as of anything else.
    fn white_space(&mut self, body: &[u8], offset: usize) -> Gap {
        let rest = body.get(offset..).unwrap_or_default();
        let within = rest.get(..self.cost).unwrap_or(rest);
        let skipped = within.iter().position(|&byte| !is_white(byte));
        let cut = skipped.is_none() && within.len() < rest.len();
        let skipped = skipped.unwrap_or(within.len());
        self.spend(skipped);
        Gap { skipped, cut }
    }
}
