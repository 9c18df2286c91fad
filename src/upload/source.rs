//! What uploads take from: one category's log, as windows of frames, and the small logs beside it, where a package waits
//! that must not hold up the others. Traits, so that the workers are tested without a disk; the shard that owns the logs
//! implements them over those.

use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

use crate::point::Category;

pub use crate::spool::{Backlog, Block, Frame, Settled, Window};

/// One category's log. Window boundaries are durable before a window is handed out: after a crash the same window comes
/// again, so that its packages have the same points and the same ids.
pub trait Source: 'static {
    type Side: SideLane;

    fn category(&self) -> Category;

    /// Bytes of points, before compression, that no window has taken yet. May be a guess.
    fn pending_raw_bytes(&self) -> u64;

    /// Bytes as stored that no window has taken yet and that do not lie aside.
    fn waiting_bytes(&self) -> u64;

    /// The next frames, at least one, up to the source's limit of raw bytes; waits while there are none. None when the
    /// source is closed. Several windows may be out at a time.
    fn next_window(&self) -> impl Future<Output = Option<Window>>;

    /// Puts everything that waits aside, so that [`Source::next_window`] goes on with what comes from now on. Gives the
    /// points.
    fn defer(&self) -> u64;

    /// What lies aside.
    fn deferred(&self) -> Backlog;

    /// The oldest of what lies aside; otherwise like [`Source::next_window`].
    fn next_deferred_window(&self) -> impl Future<Output = Option<Window>>;

    /// The id of the package that holds the frames of one route between two sequence numbers: a pure function, the
    /// same after a restart.
    fn package_id(&self, first_seq: u64, last_seq: u64, route: &[u8], sealed_ms: u64) -> String;

    /// Every frame of the window is done with: delivered, but for the points that `settled` tells of.
    fn complete(&self, window: Window, settled: &BTreeMap<u64, Settled>);

    /// The window was broken off: it is to be sent again as it is.
    fn give_back(&self, window: Window);

    /// The side lane of this name, opened if it is not, made if there is none. The error is for people.
    fn side(&self, name: &str) -> impl Future<Output = Result<Rc<Self::Side>, String>>;

    /// The names of the side lanes that exist.
    fn sides(&self) -> impl Future<Output = Vec<String>>;
}

/// A side lane: a small log of packages, each a frame of its own.
pub trait SideLane: 'static {
    /// Makes a package durable here. The error is for people; trying again may help.
    fn append(&self, block: Block) -> impl Future<Output = Result<(), String>>;

    /// The next package, as a window of one frame; waits while there is none. None when the lane is closed.
    fn next(&self) -> impl Future<Output = Option<Window>>;

    /// The package is done with here.
    fn complete(&self, window: Window, settled: Settled);

    /// It is to come again.
    fn give_back(&self, window: Window);
}
