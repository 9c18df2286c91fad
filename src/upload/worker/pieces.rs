//! A package on its way, in pieces: a refused one is halved until the points that are to blame stand alone.
//!
//! A package that is too large goes on with its first half, and that one's half, until something fits. One that is
//! refused for what is in it goes on with both halves before any quarter: where some points are to blame the other half
//! passes soon, and where the destination refuses everything that shows soon, too. Pure.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::upload::batcher::Package;
use crate::upload::body::Prepared;
use crate::upload::dead::History;

/// Requests for one package at most: enough to find a dozen points among a hundred thousand. What has not been told apart
/// by then dies together.
pub(super) const REQUESTS_MAX: u32 = 256;

/// Refusals of a package's pieces after which, if none was taken, all of it counts as refused: the whole, its halves,
/// quarters, eighths and sixteenths.
pub(super) const REFUSALS_MAX: u32 = 31;

/// The same for the packages behind one that was refused whole: the whole and its halves.
pub(super) const REFUSALS_MAX_IN_DOUBT: u32 = 3;

/// Single points that are each too large, when nothing has passed yet: it is not the points' fault.
pub(super) const TOO_LARGE_MAX: u32 = 4;

/// A part of a package, or all of it.
pub(super) struct Piece {
    pub package: Package,
    /// What is sent for it, if that has been made.
    pub prepared: Option<Rc<Prepared>>,
    /// The tries at it and at what it was cut from.
    pub history: History,
}

/// See the module.
pub(super) struct Pieces {
    queue: VecDeque<Piece>,
    refusals_max: u32,
    requests: u32,
    refusals: u32,
    single_too_large: u32,
    any_taken: bool,
}

impl Pieces {
    /// `in_doubt`: the last package was refused whole.
    pub fn new(whole: Piece, in_doubt: bool) -> Pieces {
        Pieces {
            queue: VecDeque::from([whole]),
            refusals_max: if in_doubt { REFUSALS_MAX_IN_DOUBT } else { REFUSALS_MAX },
            requests: 0,
            refusals: 0,
            single_too_large: 0,
            any_taken: false,
        }
    }

    pub fn next(&mut self) -> Option<Piece> {
        let piece = self.queue.pop_front()?;
        self.requests += 1;
        Some(piece)
    }

    /// A piece was taken.
    pub fn taken(&mut self) {
        self.any_taken = true;
    }

    /// A piece was refused for what is in it. True if it is worth cutting.
    pub fn refused(&mut self) -> bool {
        self.refusals += 1;
        self.requests < REQUESTS_MAX
    }

    /// A piece that cannot be cut is too large.
    pub fn single_too_large(&mut self) {
        self.single_too_large += 1;
    }

    /// Whether the destination refuses all of the package.
    pub fn is_hopeless(&self) -> bool {
        let refused = self.refusals >= self.refusals_max || self.single_too_large >= TOO_LARGE_MAX;
        refused && !self.any_taken
    }

    /// Halves of a refused piece: behind what waits.
    pub fn put_behind(&mut self, halves: [Piece; 2]) {
        self.queue.extend(halves);
    }

    /// Halves of a piece that is too large: next.
    pub fn put_first(&mut self, halves: [Piece; 2]) {
        let [left, right] = halves;
        self.queue.push_front(right);
        self.queue.push_front(left);
    }
}
