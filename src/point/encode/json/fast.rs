//! The fast path. Takes nothing yet.

use crate::buf::Padded;
use crate::point::Batch;
use crate::point::draft::Warn;
use crate::point::encode::{Required, Rules};

use super::{Left, Stage};

/// A run of elements to take.
pub(super) struct Run<'a, 'r> {
    pub body: Padded<'a>,
    /// The first byte of an element.
    pub from: usize,
    /// To be asked ([`Left::is_over`]) and told ([`Left::spend`]) between elements.
    pub left: &'a mut Left,
    pub rules: &'a Rules<'r>,
    pub required: Option<&'a Required>,
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
    Taken { next: run.from, stop: Stop::Before, warn: None }
}
