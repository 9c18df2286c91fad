//! What uploads take from: one category's log, as windows of frames. A trait, so that the workers are tested without
//! a disk; the shard that owns a log implements it over that.

use std::future::Future;

use crate::point::Category;

pub use crate::spool::{Frame, Window};

/// One category's log. Window boundaries are durable before a window is handed out: after a crash the same window comes
/// again, so that its packages have the same points and the same ids.
pub trait Source: 'static {
    fn category(&self) -> Category;

    /// Bytes of points, before compression, that no window has taken yet. May be a guess.
    fn pending_raw_bytes(&self) -> u64;

    /// The next frames, at least one, up to the source's limit of raw bytes; waits while there are none. None when the
    /// source is closed. Several windows may be out at a time.
    fn next_window(&self) -> impl Future<Output = Option<Window>>;

    /// The id of the package that holds the frames of one route between two sequence numbers: a pure function, the
    /// same after a restart.
    fn package_id(&self, first_seq: u64, last_seq: u64, route: &[u8], sealed_ms: u64) -> String;

    /// Every frame of the window is delivered, or dead where `dead` (sorted) says so: the cursor may move past it
    /// once all before it are complete.
    fn complete(&self, window: Window, dead: &[u64]);

    /// The window was broken off: it is to be sent again as it is.
    fn give_back(&self, window: Window);
}
