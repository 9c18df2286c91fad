//! A category's log: what its parts share, and the questions it answers. Committing is in `writer`, reading in
//! `window`, background work in `pool`.

use super::age::Age;
use super::config::{Completion, FullState, LogConfig, LogStats};
use super::cursor::Journal;
use super::file::Disk;
use super::format::LogId;
use super::ledger::Ledger;
use super::place::{Place, mix};
use super::pool::Pool;
use super::recover::{OpenError, RecoveryReport, recover};
use super::tail::Tail;
use super::turn::Turn;
use super::window::Reader;
use super::writer::Writer;
use crate::rt::sync::Notify;
use std::cell::{Cell, RefCell};

/// Told of everything that is done with, frame by frame: how `ack = upstream` finds its requests.
pub type Observer = Box<dyn Fn(Completion)>;

/// One category's queue on disk. Belongs to one thread; tasks on it share it in an `Rc`.
pub struct Log<D: Disk> {
    pub(super) disk: D,
    pub(super) category: u8,
    pub(super) id: LogId,
    /// Of this opening alone, so that no two lives of a file share a salt.
    pub(super) salt_seed: u64,
    pub(super) config: LogConfig,
    pub(super) ledger: RefCell<Ledger>,
    /// Up to here frames may be handed out: the end of the last commit that has returned.
    pub(super) readable: Cell<Place>,
    pub(super) tail: RefCell<Tail>,
    pub(super) pool: RefCell<Pool<D>>,
    pub(super) writer: Turn<Writer<D>>,
    pub(super) reader: Turn<Reader<D>>,
    /// Of what lies aside: it stands elsewhere in the log.
    pub(super) deferred_reader: Turn<Reader<D>>,
    pub(super) journal: Turn<Journal<D>>,
    pub(super) maintaining: Turn<()>,
    /// There may be something to read, or room for another window, or the log is closed.
    pub(super) changed: Notify,
    /// Something is done with.
    pub(super) delivered: Notify,
    /// There may be something to maintain.
    pub(super) work: Notify,
    pub(super) age: Cell<Age>,
    pub(super) full: Cell<FullState>,
    pub(super) held: Cell<bool>,
    pub(super) closed: Cell<bool>,
    counters: RefCell<LogStats>,
    observer: RefCell<Option<Observer>>,
}

impl<D: Disk> Log<D> {
    /// Opens the log in a directory, recovering what is there. `fresh_id` is 16 random bytes: the identity of the log
    /// if it has none yet, and the salt of its segments.
    pub async fn open(
        disk: D,
        category: u8,
        fresh_id: LogId,
        config: LogConfig,
    ) -> Result<(Log<D>, RecoveryReport), OpenError> {
        let config = config.normalised();
        let found = recover(&disk, category, fresh_id, &config).await?;
        let salt_seed = fresh_id.chunks_exact(8).fold(1, |seed, half| {
            mix(seed ^ half.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)))
        });
        let log = Log {
            disk,
            category,
            id: found.id,
            salt_seed,
            readable: Cell::new(found.ledger.end),
            ledger: RefCell::new(found.ledger),
            tail: RefCell::new(Tail::new(config.tail_bytes_max)),
            pool: RefCell::new(found.pool),
            writer: Turn::new(Writer::new()),
            reader: Turn::new(Reader::new()),
            deferred_reader: Turn::new(Reader::new()),
            age: Cell::new(found.age),
            journal: Turn::new(found.journal),
            maintaining: Turn::new(()),
            changed: Notify::new(),
            delivered: Notify::new(),
            work: Notify::new(),
            full: Cell::new(FullState::Room),
            held: Cell::new(false),
            closed: Cell::new(false),
            counters: RefCell::new(LogStats::default()),
            observer: RefCell::new(None),
            config,
        };
        Ok((log, found.report))
    }

    /// The category whose frames these are.
    pub fn category(&self) -> u8 {
        self.category
    }

    /// The identity that goes into package ids. Kept for as long as a segment or the cursor is.
    pub fn id(&self) -> &LogId {
        &self.id
    }

    /// Whether a commit would be refused now, as far as is known: for refusing early. Ends by itself, by delivery or
    /// by [`Log::maintain`] finding room.
    pub fn is_full(&self) -> bool {
        if self.full.get() == FullState::Capacity && self.has_capacity() {
            self.full.set(FullState::Room);
        }
        self.full.get() != FullState::Room || self.held.get()
    }

    /// Refuses what is new, or no longer: what [`super::policy`] says when all logs together hold too much.
    pub fn hold(&self, held: bool) {
        if self.held.replace(held) != held {
            tracing::warn!(category = self.category, held, "all spools together are at their total");
        }
    }

    fn has_capacity(&self) -> bool {
        self.ledger.borrow().disk_bytes() + self.config.segment_bytes <= self.config.capacity_bytes
    }

    /// The largest payload and route together that can ever be committed here.
    pub fn block_bytes_max(&self) -> u64 {
        use super::format::{FRAME_HEADER_BYTES, PAYLOAD_BYTES_MAX, SECTOR_BYTES, SEGMENT_HEADER_BYTES};
        let overhead = (SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + SECTOR_BYTES) as u64;
        self.config.capacity_bytes.saturating_sub(overhead).min(PAYLOAD_BYTES_MAX as u64)
    }

    /// Ends the waiting of [`Log::next_window`], for good. Committing and completing go on.
    pub fn close(&self) {
        self.closed.set(true);
        self.changed.notify_all();
    }

    /// Has every completion told to `observer`, from now on, at once and in the order in which it happens.
    pub fn observe(&self, observer: Observer) {
        *self.observer.borrow_mut() = Some(observer);
    }

    pub(super) fn tell(&self, completion: Completion) {
        if let Some(observer) = &*self.observer.borrow() {
            observer(completion);
        }
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut LogStats)) {
        change(&mut self.counters.borrow_mut());
    }

    /// Where it stands. In constant time, apart from a sum over segments.
    pub fn stats(&self) -> LogStats {
        let full = match self.is_full() {
            false => FullState::Room,
            true if self.full.get() == FullState::Room => FullState::Total,
            true => self.full.get(),
        };
        let ledger = self.ledger.borrow();
        let pool = self.pool.borrow();
        let tail = self.tail.borrow();
        let (spooled_frames, spooled_points, spooled_bytes) = ledger.spooled();
        let disk_bytes = ledger.disk_bytes();
        let retired: u64 = pool.retired.iter().map(|segment| segment.file_bytes).sum();
        let oldest = ledger.spans.iter().find(|span| span.state != super::ledger::SpanState::Done);
        let oldest_ms = match oldest {
            _ if spooled_frames == 0 => None,
            Some(span) if span.oldest_ms > 0 => Some(span.oldest_ms),
            None => match tail.first().filter(|(place, _)| place.seq == ledger.read.seq) {
                Some((_, block)) => Some(block.sealed_ms),
                None => ledger.segment_of(ledger.read.seq).map(|segment| segment.opened_ms),
            },
            Some(span) => ledger.segment_of(span.start.seq).map(|segment| segment.opened_ms),
        };
        LogStats {
            spooled_points,
            spooled_frames,
            spooled_bytes,
            segments: ledger.segments.len() as u64,
            disk_bytes,
            disk_bytes_with_spares: disk_bytes
                + retired
                + pool.spares.len() as u64 * self.config.segment_bytes,
            spares: pool.spares.len() as u64,
            tail_bytes: tail.bytes() as u64,
            windows_open: ledger.open_count() as u64,
            oldest_ms,
            full,
            deferred: ledger.deferred(),
            ..self.counters.borrow().clone()
        }
    }
}
