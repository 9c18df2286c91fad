//! The reading side of a log: windows of frames, whose boundaries are durable before anything in them is sent.

use super::block::Block;
use super::config::{Completion, Fate, WindowLimits};
use super::cursor::{Cursor, Sums};
use super::file::{Disk, SegmentFile};
use super::format::SECTOR_BYTES;
use super::ledger::{SpanState, WINDOWS_DEFERRED_MAX, WINDOWS_OPEN_MAX};
use super::log::Log;
use super::place::Place;
use super::pool::segment_name;
use super::scan::Scan;
use std::io;

/// A frame on its way out.
#[derive(Clone, Debug)]
pub struct Frame {
    pub seq: u64,
    pub block: Block,
}

/// Consecutive frames that go out together. Its boundaries never change again, also not across a restart, so what is
/// made of them deterministically keeps its identity: one package for each route in it, under
/// [`super::package_id`] of these two numbers. Give it back with [`Log::complete`] or [`Log::give_back`].
#[derive(Debug)]
pub struct Window {
    pub first_seq: u64,
    pub last_seq: u64,
    pub frames: Vec<Frame>,
    /// Points of the frames here; the window may have lost some.
    pub points: u64,
    /// Whether it was out before, in this process or an earlier one.
    pub replayed: bool,
}

/// Where a reader of the disk stands.
pub(super) struct Reader<D: Disk> {
    open: Option<OpenSegment<D>>,
    /// The segment that could not be read last, and how often in a row.
    failures: (u64, u32),
}

/// How often in a row a segment is read in vain before it is given up. The caller pauses between them, some seconds in
/// all: a device that comes back within that costs nothing.
const READ_FAILURES: u32 = 5;
/// Other segments that are asked whether the device is well.
const READ_WITNESSES: usize = 2;

struct OpenSegment<D: Disk> {
    id: u64,
    scan: Scan<D::File>,
    /// All frames before this one are behind the position.
    next: u64,
}

/// What was read.
struct Run {
    frames: Vec<Frame>,
    end: Place,
    lost: Vec<Lost>,
}

struct Lost {
    segment: Option<u64>,
    from: Place,
    to: Place,
}

/// What a window has taken so far, against its limits.
struct Fill<'a> {
    limits: Option<&'a WindowLimits>,
    frames: usize,
    raw: usize,
    stored: usize,
}

impl Fill<'_> {
    fn takes(&mut self, raw: usize, stored: usize) -> bool {
        let raw = self.raw.saturating_add(raw);
        let stored = self.stored.saturating_add(stored);
        let fits = self.limits.is_none_or(|limits| {
            self.frames < limits.frames_max
                && raw <= limits.raw_bytes_max
                && stored <= limits.stored_bytes_max
        });
        if fits || self.frames == 0 {
            (self.frames, self.raw, self.stored) = (self.frames + 1, raw, stored);
            return true;
        }
        false
    }
}

/// Takes a window back when the future that was to hand it out is dropped or fails.
struct TakeBack<'a, D: Disk> {
    log: &'a Log<D>,
    first_seq: u64,
    armed: bool,
}

impl<D: Disk> Drop for TakeBack<'_, D> {
    fn drop(&mut self) {
        if self.armed {
            self.log.ledger.borrow_mut().set(self.first_seq, SpanState::Replay);
            self.log.changed.notify_all();
        }
    }
}

impl<D: Disk> Reader<D> {
    pub(super) fn new() -> Reader<D> {
        Reader { open: None, failures: (0, 0) }
    }
}

impl<D: Disk> Log<D> {
    /// The next frames to send, as soon as there are any: windows that were out before a restart first and as they
    /// were, then what has been committed since, as much as there is up to the limits. None: the log is closed.
    /// An error leaves everything as it was; try again after a while.
    pub async fn next_window(&self, limits: &WindowLimits) -> io::Result<Option<Window>> {
        self.wait_for_window(limits, false).await
    }

    /// The same, but none when there is nothing to send now, or as many windows are out as may be.
    pub async fn try_window(&self, limits: &WindowLimits) -> io::Result<Option<Window>> {
        self.take_window(limits, false).await
    }

    /// The oldest of what lies aside; otherwise like [`Log::next_window`].
    pub async fn next_deferred_window(&self, limits: &WindowLimits) -> io::Result<Option<Window>> {
        self.wait_for_window(limits, true).await
    }

    /// The same, but none when nothing lies aside, or as many windows of it are out as may be.
    pub async fn try_deferred_window(&self, limits: &WindowLimits) -> io::Result<Option<Window>> {
        self.take_window(limits, true).await
    }

    async fn wait_for_window(&self, limits: &WindowLimits, deferred: bool) -> io::Result<Option<Window>> {
        loop {
            let changed = self.changed.notified();
            if self.closed.get() {
                return Ok(None);
            }
            if let Some(window) = self.take_window(limits, deferred).await? {
                return Ok(Some(window));
            }
            changed.await;
        }
    }

    async fn take_window(&self, limits: &WindowLimits, deferred: bool) -> io::Result<Option<Window>> {
        let mut reader = if deferred { &self.deferred_reader } else { &self.reader }.take().await;
        loop {
            let replay = self.ledger.borrow().next_replay(deferred);
            let run = match replay {
                Some(span) => {
                    let run = self.read(&mut reader, span.start, span.end, None).await?;
                    if !self.ledger.borrow().is(span.start.seq, SpanState::Replay) {
                        continue; // evicted meanwhile
                    }
                    self.ledger.borrow_mut().set(span.start.seq, SpanState::Open);
                    self.count(|counters| counters.windows_from_disk += 1);
                    (span.start, run)
                }
                None => {
                    let opened = if deferred {
                        self.new_deferred_window(&mut reader, limits).await?
                    } else {
                        self.new_window(&mut reader, limits).await?
                    };
                    let Some(opened) = opened else {
                        if deferred {
                            // It may be long until something lies aside again.
                            reader.open = None;
                        }
                        return Ok(None);
                    };
                    opened
                }
            };
            let (start, run) = run;
            self.note_opened(start, &run);
            if run.frames.is_empty() {
                // All of it lost, and said so.
                self.ledger.borrow_mut().settle(start.seq, []);
                self.completed();
                continue;
            }
            drop(reader);
            let mut take_back = TakeBack { log: self, first_seq: start.seq, armed: true };
            self.flush().await?;
            take_back.armed = false;
            return Ok(Some(Window {
                first_seq: start.seq,
                last_seq: run.end.seq - 1,
                points: run.frames.iter().map(|frame| u64::from(frame.block.points)).sum(),
                frames: run.frames,
                replayed: replay.is_some(),
            }));
        }
    }

    /// Opens a window at the reading position, from memory if what is next is there.
    async fn new_window(
        &self,
        reader: &mut Reader<D>,
        limits: &WindowLimits,
    ) -> io::Result<Option<(Place, Run)>> {
        loop {
            let end = self.readable.get();
            let from = {
                let ledger = self.ledger.borrow();
                if ledger.open_count() >= WINDOWS_OPEN_MAX || ledger.read.seq >= end.seq {
                    return Ok(None);
                }
                ledger.read
            };
            let cached = self.tail.borrow().first().map(|(place, _)| place);
            let run = if cached.is_some_and(|cached| cached.seq == from.seq) {
                self.count(|counters| counters.windows_from_memory += 1);
                self.take_cached(limits)
            } else {
                let to = cached.filter(|cached| cached.seq < end.seq).unwrap_or(end);
                let run = self.read(reader, from, to, Some(limits)).await?;
                if self.ledger.borrow().read != from {
                    continue; // evicted meanwhile
                }
                self.count(|counters| counters.windows_from_disk += 1);
                run
            };
            self.ledger.borrow_mut().open(run.end);
            self.tail.borrow_mut().drop_before(run.end.seq);
            return Ok(Some((from, run)));
        }
    }

    /// Opens a window at the beginning of the oldest stretch that lies aside.
    async fn new_deferred_window(
        &self,
        reader: &mut Reader<D>,
        limits: &WindowLimits,
    ) -> io::Result<Option<(Place, Run)>> {
        loop {
            let stretch = {
                let ledger = self.ledger.borrow();
                if ledger.open_count() >= WINDOWS_OPEN_MAX
                    || ledger.open_deferred_count() >= WINDOWS_DEFERRED_MAX
                {
                    return Ok(None);
                }
                match ledger.next_deferred() {
                    Some(stretch) => stretch,
                    None => return Ok(None),
                }
            };
            let run = self.read(reader, stretch.start, stretch.end, Some(limits)).await?;
            if self.ledger.borrow().next_deferred().is_none_or(|now| now.start != stretch.start) {
                continue; // given up meanwhile
            }
            self.count(|counters| counters.windows_from_disk += 1);
            self.ledger.borrow_mut().open_deferred(stretch.start.seq, run.end);
            return Ok(Some((stretch.start, run)));
        }
    }

    fn take_cached(&self, limits: &WindowLimits) -> Run {
        let mut fill = Fill { limits: Some(limits), frames: 0, raw: 0, stored: 0 };
        let mut frames = Vec::new();
        let mut end = Place::BIRTH;
        let readable = self.readable.get().seq;
        for (place, block) in self.tail.borrow().iter().take_while(|(place, _)| place.seq < readable) {
            let stored = block.payload.len();
            if !fill.takes(block.raw_bytes as usize, stored) {
                break;
            }
            frames.push(Frame { seq: place.seq, block: block.clone() });
            end = place.after(block.points, super::format::frame_bytes(block));
        }
        Run { frames, end, lost: Vec::new() }
    }

    /// Reads frames from disk: from `from` up to `to`, or until the limits are reached. What cannot be read is passed
    /// over and named.
    async fn read(
        &self,
        reader: &mut Reader<D>,
        from: Place,
        to: Place,
        limits: Option<&WindowLimits>,
    ) -> io::Result<Run> {
        let mut run = Run { frames: Vec::new(), end: from, lost: Vec::new() };
        let mut fill = Fill { limits, frames: 0, raw: 0, stored: 0 };
        while run.end.seq < to.seq {
            let (id, salt, used_bytes, offset, segment_end) = {
                let ledger = self.ledger.borrow();
                let Some(segment) = ledger.segment_of(run.end.seq) else {
                    // No segment has it. On to the next that has anything.
                    let next = ledger.next_segment_first(run.end.seq).filter(|next| next.seq < to.seq);
                    run.lose(None, next.unwrap_or(to));
                    continue;
                };
                let before = segment.index.partition_point(|(seq, _)| *seq <= run.end.seq);
                let offset = before.checked_sub(1).and_then(|at| segment.index.get(at)).map(|(_, at)| *at);
                (segment.id, segment.salt, segment.used_bytes, offset, segment.end)
            };
            let goal = if segment_end.seq < to.seq { segment_end } else { to };
            let kept = reader.open.take().filter(|open| open.id == id && open.next <= run.end.seq);
            let mut open = match kept {
                Some(open) => open,
                None => match self.disk.open(&segment_name(id)).await {
                    Ok(file) => OpenSegment { id, scan: Scan::new(file, salt, offset, used_bytes), next: 0 },
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        run.lose(Some(id), goal);
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            open.scan.set_end(used_bytes);
            let full = match self.read_segment(&mut open, &mut run, goal, segment_end, &mut fill).await {
                Ok(full) => full,
                Err(error) if self.is_beyond_reading(reader, id).await => {
                    tracing::error!(category = self.category, segment = segment_name(id), %error, "passed over");
                    run.lose(Some(id), goal);
                    continue;
                }
                // What has been read before it goes out; whoever asks next meets the error.
                Err(_) if limits.is_some() && !run.frames.is_empty() => break,
                Err(error) => return Err(error),
            };
            reader.failures = (id, 0);
            open.next = run.end.seq;
            reader.open = Some(open);
            if full {
                break;
            }
        }
        Ok(run)
    }

    /// Whether a segment of which nothing can be read is to be passed over: it has failed again and again, while another
    /// file can be read. Otherwise it is the device, or the machine going down, and may end.
    async fn is_beyond_reading(&self, reader: &mut Reader<D>, id: u64) -> bool {
        let (last, failures) = reader.failures;
        reader.failures = (id, if last == id { failures + 1 } else { 1 });
        if reader.failures.1 < READ_FAILURES {
            return false;
        }
        let others: Vec<u64> = {
            let ledger = self.ledger.borrow();
            let others = ledger.segments.iter().map(|segment| segment.id).filter(|other| *other != id);
            others.take(READ_WITNESSES).collect()
        };
        for name in others.into_iter().map(segment_name).chain([super::cursor::NAME.to_owned()]) {
            if let Ok(file) = self.disk.open(&name).await
                && file.read_at(0, SECTOR_BYTES).await.is_ok_and(|read| !read.is_empty())
            {
                return true;
            }
        }
        false
    }

    /// Reads on in one segment, up to `goal`. True: the limits are reached.
    async fn read_segment(
        &self,
        open: &mut OpenSegment<D>,
        run: &mut Run,
        goal: Place,
        segment_end: Place,
        fill: &mut Fill<'_>,
    ) -> io::Result<bool> {
        while run.end.seq < goal.seq {
            let Some(header) = open.scan.peek().await? else {
                run.lose(Some(open.id), goal);
                break;
            };
            let ends = header.end();
            let fits = segment_end.follows(ends) && (ends.seq != segment_end.seq || ends == segment_end);
            if header.place.seq >= segment_end.seq || !fits {
                // Of a commit that failed here and was done again elsewhere.
                open.scan.consume(&header);
                continue;
            }
            if header.place.seq < run.end.seq || !header.place.follows(run.end) {
                open.scan.consume(&header);
                continue;
            }
            if header.place.seq >= goal.seq {
                run.lose(Some(open.id), goal);
                break;
            }
            if header.place.seq > run.end.seq {
                run.lose(Some(open.id), header.place);
            }
            if !fill.takes(header.raw_bytes as usize, header.payload_bytes as usize) {
                return Ok(true);
            }
            match open.scan.take(&header).await {
                Some(block) => {
                    run.frames.push(Frame { seq: header.place.seq, block });
                    run.end = header.end();
                }
                None => run.lose(Some(open.id), header.end()),
            }
        }
        Ok(false)
    }

    /// Keeps what is to be known of an open window, and says what of it is lost, the first time it is read.
    fn note_opened(&self, start: Place, run: &Run) {
        let frames: u64 = run.lost.iter().map(|lost| lost.to.frames_since(lost.from)).sum();
        let points: u64 = run.lost.iter().map(|lost| lost.to.points_since(lost.from)).sum();
        let mut told = (0, 0);
        if let Some(span) = self.ledger.borrow_mut().span_mut(start.seq) {
            span.oldest_ms = run.frames.first().map_or(0, |frame| frame.block.sealed_ms);
            if frames <= span.lost_told.0 {
                return;
            }
            // More than before: what was read in time then has left with its segment since.
            told = std::mem::replace(&mut span.lost_told, (frames, points));
        }
        self.count(|counters| {
            counters.lost_points += points.saturating_sub(told.1);
            counters.lost_frames += frames.saturating_sub(told.0);
        });
        for lost in &run.lost {
            if let Some(id) = lost.segment {
                self.ledger.borrow_mut().mark_damaged(id);
            }
            let points = lost.to.points_since(lost.from);
            let (first_seq, last_seq) = (lost.from.seq, lost.to.seq - 1);
            let segment = lost.segment.map(segment_name).unwrap_or_default();
            tracing::error!(
                category = self.category,
                segment,
                first_seq,
                last_seq,
                points,
                "frames cannot be read and are lost"
            );
            self.tell(Completion::whole(first_seq, last_seq, points, Fate::Lost));
        }
    }

    pub(super) fn completed(&self) {
        self.delivered.notify_all();
        self.changed.notify_all();
        self.work.notify_all();
    }

    /// A window that was not sent, or not to the end: it goes out again as it is.
    pub fn give_back(&self, window: Window) {
        self.ledger.borrow_mut().set(window.first_seq, SpanState::Replay);
        drop(window);
        self.changed.notify_all();
    }

    /// Every frame up to this one is done with.
    pub fn delivered_through(&self) -> u64 {
        self.ledger.borrow().acked.seq.saturating_sub(1)
    }

    /// Resolves when the next window is done with.
    pub async fn delivery_changed(&self) {
        self.delivered.notified().await;
    }

    /// Has a journal file there.
    pub(super) async fn ensure_journal(&self) -> io::Result<()> {
        if self.journal.take().await.has_file() {
            return Ok(());
        }
        self.ledger.borrow_mut().version += 1;
        self.flush().await
    }

    /// Makes all completions and openings so far durable. Callers at the same time share a sync.
    pub async fn flush(&self) -> io::Result<()> {
        let wanted = self.ledger.borrow().version;
        loop {
            if self.ledger.borrow().durable_version >= wanted {
                return Ok(());
            }
            let mut journal = self.journal.take().await;
            if self.ledger.borrow().durable_version >= wanted {
                continue; // somebody else's sync covered it
            }
            let (version, mut cursor) = {
                let ledger = self.ledger.borrow();
                let cursor = Cursor {
                    log_id: self.id,
                    category: self.category,
                    generation: 0,
                    acked: ledger.acked,
                    segment_floor: ledger.segment_floor(),
                    spans: ledger.spans.iter().copied().collect(),
                    sums: Some(Sums {
                        end: ledger.end,
                        segment_id_max: ledger.segment_id_max,
                        lived_ms: self.age.get().lived_ms(),
                        filled_lived_ms: ledger.segments.back().map_or(0, |last| last.filled_lived_ms),
                        forgotten: ledger.forgotten,
                        account: ledger.account,
                        lanes: ledger.lanes.clone(),
                    }),
                };
                (ledger.version, cursor)
            };
            journal.store(&self.disk, &mut cursor).await?;
            self.count(|counters| counters.cursor_writes += 1);
            let mut ledger = self.ledger.borrow_mut();
            ledger.durable_version = version;
            ledger.durable_acked = cursor.acked;
            let retired = ledger.retire(&cursor.spans);
            drop(ledger);
            if !retired.is_empty() {
                self.pool.borrow_mut().retired.extend(retired);
                self.work.notify_all();
            }
        }
    }
}

impl Run {
    /// What lies up to `to` is lost; neighbours in one segment are told of together.
    fn lose(&mut self, segment: Option<u64>, to: Place) {
        let from = std::mem::replace(&mut self.end, to);
        match self.lost.last_mut().filter(|last| last.segment == segment && last.to == from) {
            Some(last) => last.to = to,
            None => self.lost.push(Lost { segment, from, to }),
        }
    }
}
