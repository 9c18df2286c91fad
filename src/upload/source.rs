//! What uploads take from: one category's log, as windows of frames. A trait, so that the workers are tested without
//! a disk.

use std::future::Future;
use std::io;

use crate::point::Category;
use crate::spool::Block;

/// A block and its place in its category's log.
#[derive(Clone, Debug)]
pub struct Frame {
    pub seq: u64,
    pub block: Block,
}

/// Frames that are taken, sent and completed together. Their boundaries are durable before they are handed out:
/// after a crash the same window comes again, so that its packages have the same points and the same ids.
#[derive(Clone, Debug)]
pub struct Window {
    /// In order of `seq`; never empty.
    pub frames: Vec<Frame>,
}

/// One category's log.
pub trait Source: 'static {
    fn category(&self) -> Category;

    /// Bytes of points, before compression, that no window has taken yet. May be a guess.
    fn pending_raw_bytes(&self) -> u64;

    /// The next frames, up to the source's limit of raw bytes but at least one; waits while there are none. None when
    /// the source is closed. Several windows may be out at a time.
    fn next_window(&self) -> impl Future<Output = Option<Window>>;

    /// The id of the package that holds exactly these frames: a pure function of them, the same after a restart.
    fn package_id(&self, frames: &[Frame]) -> String;

    /// Every frame of the window is delivered or dead: the cursor may move past it once all before it are complete.
    fn complete(&self, window: &Window) -> impl Future<Output = io::Result<()>>;
}
