//! Where writer and readers stand: segments, the cursor, the windows between it and the reading position, and the sums.
//! Pure bookkeeping; nothing here waits or touches a file.
//!
//! ```text
//!   segments    | 1           | 2           | 3                      |
//!   frames      .......................................................
//!                 ^acked    [span][span][span]^read                   ^end
//! ```
//!
//! `acked`: all before it is done with. Between `acked` and `read` lie the spans, without gaps: windows that are out
//! (open), that wait to go out again with the same boundaries (replay), stretches put aside of which windows are cut
//! (deferred), and what is done behind one that is not. `end`: all before it is synced. A span's points are the
//! difference of its two places, so that spooled = end − acked − done, exactly, in constant time and also after damage.
//!
//! The account moves with the spans, in one step: forgotten + gone = points before `acked` + points of done spans.

use super::account::{Account, LaneKey, Lanes, Totals};
use super::config::{Backlog, Fate};
use super::place::Place;
use std::collections::VecDeque;

/// Windows that may be out at once, over all workers of a log. With what is done between them they must fit a cursor
/// slot; more would only grow what is sent again after a crash.
pub const WINDOWS_OPEN_MAX: usize = 48;
/// Of these, windows of what was put aside: what is fresh always finds room beside them.
pub const WINDOWS_DEFERRED_MAX: usize = WINDOWS_OPEN_MAX / 2;
/// Stretches put aside. Each outage makes one at most, and only what is committed between two of them keeps them apart.
pub const DEFERRED_MAX: usize = 8;
/// Spans at most: every window that is not done and every stretch aside, what is done between them, and an end.
pub(super) const SPANS_MAX: usize = 2 * (WINDOWS_OPEN_MAX + DEFERRED_MAX) + 2;

/// A segment that still matters.
#[derive(Debug)]
pub(super) struct Segment {
    pub id: u64,
    pub salt: u64,
    pub first: Place,
    /// Behind its last frame that counts: where the next segment begins, whatever else is in the file.
    pub end: Place,
    /// Bytes of the file that may hold frames that count.
    pub used_bytes: u64,
    /// Bytes of disk.
    pub file_bytes: u64,
    pub opened_ms: u64,
    /// The log's own time (`age`) when the last frame was added; what is not known is taken for later.
    pub filled_lived_ms: u64,
    /// Frames in it could not be read: a copy is kept for a while.
    pub damaged: bool,
    /// Whether the file is as long as its kind and above suspicion, so that it may be used again.
    pub recyclable: bool,
    /// Some places to start reading at: (seq, offset), ascending, a bounded number.
    pub index: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpanState {
    /// Handed out.
    Open,
    /// To be handed out again, as it was.
    Replay,
    Done,
    /// Put aside: windows are cut from its beginning.
    Deferred,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub start: Place,
    pub end: Place,
    pub state: SpanState,
    /// Cut from what was put aside.
    pub deferred: bool,
    /// When its first frame was sealed; 0 if nobody has looked.
    pub oldest_ms: u64,
    /// Frames and points of it that were said to be lost: once is enough, however often it is read, unless there are more.
    pub lost_told: (u64, u64),
}

impl Span {
    pub(super) fn new(start: Place, end: Place, state: SpanState) -> Span {
        Span { start, end, state, deferred: state == SpanState::Deferred, oldest_ms: 0, lost_told: (0, 0) }
    }

    /// Whether it is a window that is out or was out.
    pub(super) fn is_window(&self) -> bool {
        matches!(self.state, SpanState::Open | SpanState::Replay)
    }

    pub(super) fn points(&self) -> u64 {
        self.end.points_since(self.start)
    }
}

/// Points of one lane in what is given up, and the number of a frame among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub seq: u64,
    pub lane: LaneKey,
    pub points: u64,
}

#[derive(Debug)]
pub(super) struct Ledger {
    pub segments: VecDeque<Segment>,
    /// Whether the last segment is still written to.
    pub active: bool,
    /// The largest id that a segment here has had.
    pub segment_id_max: u64,
    pub acked: Place,
    pub spans: VecDeque<Span>,
    pub read: Place,
    pub end: Place,
    /// What became of the points before `acked` and in done spans, `forgotten` apart: those are from before the sums.
    pub account: Account,
    pub forgotten: u64,
    pub lanes: Lanes,
    /// Counts what the cursor journal has to know: openings and completions.
    pub version: u64,
    /// The version and the cursor that the journal holds durably.
    pub durable_version: u64,
    pub durable_acked: Place,
}

impl Ledger {
    /// The spans start at the cursor and follow one another.
    pub(super) fn check(&self) {
        let mut at = self.acked;
        for span in &self.spans {
            assert!(span.start == at, "BUG: span at {:?}, expected {at:?}", span.start);
            assert!(span.end.follows(span.start), "BUG: span runs backwards: {span:?}");
            at = span.end;
        }
        assert!(at == self.read, "BUG: spans end at {at:?}, reading at {:?}", self.read);
        assert!(self.end.follows(self.read), "BUG: reading at {:?} behind the end {:?}", self.read, self.end);
        assert!(self.spans.len() <= SPANS_MAX, "BUG: {} spans", self.spans.len());
    }

    /// The account fits the spans.
    fn check_account(&self) {
        let gone = self.forgotten.wrapping_add(self.account.gone_points());
        let done = self.spans.iter().filter(|span| span.state == SpanState::Done).map(Span::points);
        let passed = self.acked.points.wrapping_add(done.sum());
        assert!(gone == passed, "BUG: {gone} points accounted for, {passed} done with");
    }

    /// What became of every point.
    pub(super) fn totals(&self) -> Totals {
        self.account.totals(self.end.points.saturating_sub(self.forgotten))
    }

    /// Windows that are out or wait to go out again.
    pub(super) fn open_count(&self) -> usize {
        self.spans.iter().filter(|span| span.is_window()).count()
    }

    /// Those of them that were put aside before.
    pub(super) fn open_deferred_count(&self) -> usize {
        self.spans.iter().filter(|span| span.is_window() && span.deferred).count()
    }

    /// The first window that must go out again, of what was put aside or of the rest.
    pub(super) fn next_replay(&self, deferred: bool) -> Option<Span> {
        let mut spans = self.spans.iter();
        spans.find(|span| span.state == SpanState::Replay && span.deferred == deferred).copied()
    }

    /// The oldest stretch that lies aside.
    pub(super) fn next_deferred(&self) -> Option<Span> {
        self.spans.iter().find(|span| span.state == SpanState::Deferred).copied()
    }

    /// Everything up to `end` that nobody has taken is put aside. Gives its points.
    pub(super) fn defer(&mut self, end: Place) -> u64 {
        let points = end.points_since(self.read);
        if end.seq <= self.read.seq {
            return 0;
        }
        match self.spans.back_mut().filter(|span| span.state == SpanState::Deferred) {
            Some(last) => last.end = end,
            None => {
                let aside = self.spans.iter().filter(|span| span.state == SpanState::Deferred).count();
                if aside >= DEFERRED_MAX {
                    return 0;
                }
                self.spans.push_back(Span::new(self.read, end, SpanState::Deferred));
            }
        }
        self.read = end;
        self.version += 1;
        self.check();
        points
    }

    /// A window from the beginning of a stretch that lies aside goes out.
    pub(super) fn open_deferred(&mut self, start_seq: u64, end: Place) {
        let Some(at) = self.find(start_seq) else { unreachable!("BUG: no stretch from {start_seq}") };
        let stretch = self.spans[at];
        assert!(stretch.state == SpanState::Deferred, "BUG: not aside: {stretch:?}");
        assert!(end.seq > start_seq, "BUG: an empty window");
        assert!(stretch.end.follows(end), "BUG: a window beyond its stretch: {end:?} in {stretch:?}");
        self.spans[at] = Span { end, state: SpanState::Open, ..stretch };
        if end.seq < stretch.end.seq {
            self.spans.insert(at + 1, Span::new(end, stretch.end, SpanState::Deferred));
        }
        self.version += 1;
        self.check();
    }

    /// What lies aside and can be taken.
    pub(super) fn deferred(&self) -> Backlog {
        let mut sum = Backlog::default();
        let aside = |span: &&Span| {
            span.state == SpanState::Deferred || (span.state == SpanState::Replay && span.deferred)
        };
        for span in self.spans.iter().filter(aside) {
            sum.frames += span.end.frames_since(span.start);
            sum.points += span.points();
            sum.bytes += span.end.bytes_since(span.start);
        }
        sum
    }

    /// A window from the reading position up to `end` goes out.
    pub(super) fn open(&mut self, end: Place) {
        assert!(end.seq > self.read.seq, "BUG: an empty window");
        assert!(self.open_count() < WINDOWS_OPEN_MAX, "BUG: too many windows");
        self.spans.push_back(Span::new(self.read, end, SpanState::Open));
        self.read = end;
        self.version += 1;
        self.check();
    }

    /// The span that starts here.
    pub(super) fn span_mut(&mut self, start_seq: u64) -> Option<&mut Span> {
        let at = self.find(start_seq)?;
        self.spans.get_mut(at)
    }

    fn find(&self, start_seq: u64) -> Option<usize> {
        let at = self.spans.partition_point(|span| span.start.seq < start_seq);
        self.spans.get(at).filter(|span| span.start.seq == start_seq).map(|_| at)
    }

    /// Whether the span that starts here is in this state.
    pub(super) fn is(&self, start_seq: u64, state: SpanState) -> bool {
        self.find(start_seq).is_some_and(|at| self.spans[at].state == state)
    }

    /// Moves a window between open and replay.
    pub(super) fn set(&mut self, start_seq: u64, state: SpanState) {
        if let Some(at) = self.find(start_seq)
            && self.spans[at].is_window()
        {
            self.spans[at].state = state;
        }
    }

    /// A window is done with. None if there is none such.
    fn complete(&mut self, start_seq: u64) -> Option<Span> {
        let at = self.find(start_seq).filter(|at| self.spans[*at].is_window())?;
        let span = self.spans[at];
        self.spans[at].state = SpanState::Done;
        self.merge(at);
        self.version += 1;
        self.check();
        Some(span)
    }

    /// A window is done with, and this became of the points of its frames: number, lane, fate, points. What it had more
    /// is lost. False if there is no such window.
    pub(super) fn settle(
        &mut self,
        start_seq: u64,
        parts: impl IntoIterator<Item = (u64, LaneKey, Fate, u64)>,
    ) -> bool {
        let Some(span) = self.complete(start_seq) else { return false };
        let mut left = span.points();
        for (seq, lane, fate, points) in parts {
            let points = points.min(left);
            left -= points;
            self.account.add(fate, points);
            self.lanes.gone(seq, lane, fate, points);
        }
        self.gone_unread(start_seq, Fate::Lost, left);
        self.settled();
        true
    }

    /// Points of frames that nobody has read.
    fn gone_unread(&mut self, seq: u64, fate: Fate, points: u64) {
        if points > 0 {
            self.account.add(fate, points);
            let lane = self.lanes.single().unwrap_or(LaneKey::UNKNOWN);
            self.lanes.gone(seq, lane, fate, points);
        }
    }

    fn settled(&mut self) {
        self.check_account();
        if self.acked.seq == self.end.seq {
            self.lanes.settle_unknown();
        }
    }

    /// Joins a done span with its done neighbours, and moves the cursor over what is done at the front.
    fn merge(&mut self, at: usize) {
        let mut at = at;
        if at + 1 < self.spans.len() && self.spans[at + 1].state == SpanState::Done {
            self.spans[at].end = self.spans[at + 1].end;
            self.spans.remove(at + 1);
        }
        if at > 0 && self.spans[at - 1].state == SpanState::Done {
            self.spans[at - 1].end = self.spans[at].end;
            self.spans.remove(at);
            at -= 1;
        }
        if at == 0 && self.spans[0].state == SpanState::Done {
            self.acked = self.spans[0].end;
            self.spans.pop_front();
        }
    }

    /// What is spooled before `to` and not out.
    pub(super) fn unsent_before(&self, to: Place) -> Vec<(Place, Place)> {
        let mut stretches = Vec::new();
        for span in self.spans.iter().filter(|span| span.start.seq < to.seq) {
            match span.state {
                SpanState::Replay if span.end.seq <= to.seq => stretches.push((span.start, span.end)),
                SpanState::Deferred if span.end.seq <= to.seq => stretches.push((span.start, span.end)),
                SpanState::Deferred => stretches.push((span.start, to)),
                SpanState::Open | SpanState::Replay | SpanState::Done => {}
            }
        }
        if self.read.seq < to.seq {
            stretches.push((self.read, to));
        }
        stretches
    }

    /// Gives up what is spooled before `to` and not out: [`Ledger::unsent_before`], which it gives. `shares` say whose it
    /// was, as far as that is known.
    pub(super) fn give_up(&mut self, to: Place, fate: Fate, shares: &[Share]) -> Vec<(Place, Place)> {
        let stretches = self.unsent_before(to);
        let Some((first, _)) = stretches.first().copied() else { return stretches };
        for (start, end) in &stretches {
            match self.find(start.seq) {
                Some(at) => {
                    let span = self.spans[at];
                    if end.seq < span.end.seq {
                        self.spans.insert(at + 1, Span { start: *end, ..span });
                    }
                    self.spans[at] = Span::new(*start, *end, SpanState::Done);
                    self.merge(at);
                }
                None => {
                    assert!(
                        start.seq == self.read.seq,
                        "BUG: gives up {start:?}, reading at {:?}",
                        self.read
                    );
                    self.spans.push_back(Span::new(*start, *end, SpanState::Done));
                    self.read = *end;
                    self.merge(self.spans.len() - 1);
                }
            }
        }
        let mut left: u64 = stretches.iter().map(|(start, end)| end.points_since(*start)).sum();
        for share in shares {
            let points = share.points.min(left);
            left -= points;
            self.account.add(fate, points);
            self.lanes.gone(share.seq, share.lane, fate, points);
        }
        self.gone_unread(first.seq, fate, left);
        self.version += 1;
        self.check();
        self.settled();
        stretches
    }

    /// The segment that holds this frame, if one does.
    pub(super) fn segment_of(&self, seq: u64) -> Option<&Segment> {
        let behind = self.segments.partition_point(|segment| segment.first.seq <= seq);
        let segment = self.segments.get(behind.checked_sub(1)?)?;
        (seq < segment.end.seq).then_some(segment)
    }

    /// Where the first segment behind this frame begins.
    pub(super) fn next_segment_first(&self, seq: u64) -> Option<Place> {
        let behind = self.segments.partition_point(|segment| segment.first.seq <= seq);
        self.segments.get(behind).map(|segment| segment.first)
    }

    /// The id of the oldest segment that is not done with.
    pub(super) fn segment_floor(&self) -> u64 {
        let mut segments = self.segments.iter();
        let first = segments.find(|segment| segment.end.seq > self.acked.seq);
        let active = self.segments.back().filter(|_| self.active);
        first.or(active).map_or(self.segment_id_max + 1, |segment| segment.id)
    }

    /// Takes out the segments that the durable cursor has left behind, and those between them that it says are done with
    /// (behind a stretch that lies aside, they would fill the disk), the active one excepted.
    pub(super) fn retire(&mut self, durable: &[Span]) -> Vec<Segment> {
        let sealed = self.segments.len() - usize::from(self.active && !self.segments.is_empty());
        let behind = self.segments.partition_point(|segment| segment.end.seq <= self.durable_acked.seq);
        let mut retired: Vec<Segment> = self.segments.drain(..behind.min(sealed)).collect();
        for span in durable.iter().filter(|span| span.state == SpanState::Done) {
            let sealed = self.segments.len() - usize::from(self.active && !self.segments.is_empty());
            let from = self.segments.partition_point(|segment| segment.first.seq < span.start.seq);
            let to = self.segments.partition_point(|segment| segment.end.seq <= span.end.seq).min(sealed);
            if from < to {
                retired.extend(self.segments.drain(from..to));
            }
        }
        retired
    }

    /// Whether all of the active segment is done with.
    pub(super) fn active_is_done(&self) -> bool {
        self.active && self.segments.back().is_some_and(|segment| segment.end.seq <= self.acked.seq)
    }

    /// The oldest segment, unless it is the active one: what can be given up as a whole. Its id and its end.
    pub(super) fn oldest_sealed(&self) -> Option<(u64, Place)> {
        let front = self.segments.front().filter(|_| self.segments.len() > usize::from(self.active))?;
        Some((front.id, front.end))
    }

    /// Frames of this segment could not be read.
    pub(super) fn mark_damaged(&mut self, id: u64) {
        if let Some(segment) = self.segments.iter_mut().find(|segment| segment.id == id) {
            segment.damaged = true;
        }
    }

    /// Whether a window that is out has frames before this place.
    pub(super) fn is_out_before(&self, to: Place) -> bool {
        self.spans.iter().any(|span| span.state == SpanState::Open && span.start.seq < to.seq)
    }

    /// Takes out the oldest segment, if it is this one: all that is spooled in it is out. What is out keeps its boundaries,
    /// and says what it lost should it be read again.
    pub(super) fn take_oldest(&mut self, id: u64) -> Option<Segment> {
        self.oldest_sealed().filter(|(oldest, _)| *oldest == id)?;
        self.segments.pop_front()
    }

    /// What is spooled and not done: frames, points, bytes.
    pub(super) fn spooled(&self) -> (u64, u64, u64) {
        let mut frames = self.end.frames_since(self.acked);
        let mut points = self.end.points_since(self.acked);
        let mut bytes = self.end.bytes_since(self.acked);
        for span in self.spans.iter().filter(|span| span.state == SpanState::Done) {
            frames -= span.end.frames_since(span.start);
            points -= span.end.points_since(span.start);
            bytes -= span.end.bytes_since(span.start);
        }
        (frames, points, bytes)
    }

    /// Bytes of disk that live segments take.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.file_bytes).sum()
    }
}
