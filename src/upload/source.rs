//! What uploads take from: one category's log, as windows of frames. A trait, so that the workers are tested without
//! a disk; [`LogSource`] is the spool's log.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use super::env::Env;
use super::retry::Backoff;
use crate::point::Category;
use crate::spool::file::Disk;
use crate::spool::{Fate, Log, WindowLimits, package_id};

pub use crate::spool::{Frame, Window};

/// Frames of one window at most: bounds the lists, and what a window of tiny blocks costs to join.
const WINDOW_FRAMES_MAX: usize = 4096;

/// Waits after a read of the spool has failed.
const READ_RETRY_MIN: Duration = Duration::from_millis(100);
const READ_RETRY_MAX: Duration = Duration::from_secs(10);

/// One category's log. Window boundaries are durable before a window is handed out: after a crash the same window comes
/// again, so that its packages have the same points and the same ids.
pub trait Source: 'static {
    fn category(&self) -> Category;

    /// Bytes of points, before compression, that no window has taken yet. May be a guess.
    fn pending_raw_bytes(&self) -> u64;

    /// The next frames, up to the source's limit of raw bytes but at least one; waits while there are none. None when
    /// the source is closed. Several windows may be out at a time.
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

/// The spool's log.
pub struct LogSource<D: Disk, E> {
    log: Rc<Log<D>>,
    category: Category,
    limits: WindowLimits,
    env: E,
    /// Stored bytes in windows that are out.
    out_bytes: Cell<u64>,
    /// Raw bytes for each stored one, of the last window.
    ratio: Cell<f64>,
}

impl<D: Disk, E: Env> LogSource<D, E> {
    /// `raw_bytes_max` bounds a window, and with it a package.
    pub fn new(log: Rc<Log<D>>, category: Category, raw_bytes_max: usize, env: E) -> LogSource<D, E> {
        // Stored bytes are fewer than raw ones, or a few more where compression does not help.
        let stored_bytes_max = raw_bytes_max.saturating_add(raw_bytes_max / 8);
        let limits = WindowLimits { frames_max: WINDOW_FRAMES_MAX, raw_bytes_max, stored_bytes_max };
        LogSource { log, category, limits, env, out_bytes: Cell::new(0), ratio: Cell::new(1.0) }
    }

    fn taken(&self, window: &Window) {
        let raw: u64 = window.frames.iter().map(|frame| u64::from(frame.block.raw_bytes)).sum();
        let stored = stored_bytes(window);
        self.out_bytes.set(self.out_bytes.get() + stored);
        if stored > 0 {
            self.ratio.set((raw as f64 / stored as f64).max(1.0));
        }
    }

    fn returned(&self, window: &Window) {
        self.out_bytes.set(self.out_bytes.get().saturating_sub(stored_bytes(window)));
    }
}

fn stored_bytes(window: &Window) -> u64 {
    window.frames.iter().map(|frame| (frame.block.payload.len() + frame.block.route.len()) as u64).sum()
}

impl<D: Disk, E: Env> Source for LogSource<D, E> {
    fn category(&self) -> Category {
        self.category
    }

    fn pending_raw_bytes(&self) -> u64 {
        // Frame headers count as stored; they make the guess a little large, and windows a little smaller than full.
        let pending = self.log.stats().spooled_bytes.saturating_sub(self.out_bytes.get());
        (pending as f64 * self.ratio.get()) as u64
    }

    async fn next_window(&self) -> Option<Window> {
        let mut backoff = Backoff::new(READ_RETRY_MIN, READ_RETRY_MAX, self.category.index() as u64);
        loop {
            match self.log.next_window(&self.limits).await {
                Ok(window) => return window.inspect(|window| self.taken(window)),
                Err(error) => {
                    tracing::error!(category = self.category.name(), %error, "the spool cannot be read; tried again");
                    self.env.sleep(backoff.next()).await;
                }
            }
        }
    }

    fn package_id(&self, first_seq: u64, last_seq: u64, route: &[u8], sealed_ms: u64) -> String {
        package_id(self.log.id(), self.log.category(), first_seq, last_seq, route, sealed_ms)
    }

    fn complete(&self, window: Window, dead: &[u64]) {
        self.returned(&window);
        let fate_of = |seq| if dead.binary_search(&seq).is_ok() { Fate::Dead } else { Fate::Delivered };
        self.log.complete_each(window, fate_of);
    }

    fn give_back(&self, window: Window) {
        self.returned(&window);
        self.log.give_back(window);
    }
}
