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
//! (open), that wait to go out again with the same boundaries (replay), and what is done behind one that is not.
//! `end`: all before it is synced. A span's points are the difference of its two places, so that spooled = end − acked −
//! done, exactly, in constant time and also after damage.

use super::place::Place;
use std::collections::VecDeque;

/// Windows that may be out at once, over all workers of a log. With what is done between them they must fit a cursor
/// slot; more would only grow what is sent again after a crash.
pub const WINDOWS_OPEN_MAX: usize = 48;
/// Spans at most: every window that is not done, what is done between them, and an end.
pub(super) const SPANS_MAX: usize = 2 * WINDOWS_OPEN_MAX + 2;

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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub start: Place,
    pub end: Place,
    pub state: SpanState,
    /// When its first frame was sealed; 0 if nobody has looked.
    pub oldest_ms: u64,
    /// Whether it has been said what of it is lost: once is enough, however often it is read.
    pub loss_told: bool,
}

impl Span {
    pub(super) fn new(start: Place, end: Place, state: SpanState) -> Span {
        Span { start, end, state, oldest_ms: 0, loss_told: false }
    }
}

/// What an eviction took.
#[derive(Debug)]
pub(super) struct Evicted {
    pub segment: Segment,
    /// What nobody had taken, and windows that waited to be taken again; counted as dropped.
    pub spans: Vec<(Place, Place)>,
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

    /// Windows that are out or wait to go out again.
    pub(super) fn open_count(&self) -> usize {
        self.spans.iter().filter(|span| span.state != SpanState::Done).count()
    }

    /// The first window that must go out again.
    pub(super) fn next_replay(&self) -> Option<Span> {
        self.spans.iter().find(|span| span.state == SpanState::Replay).copied()
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

    /// Moves a span that is not done between open and replay.
    pub(super) fn set(&mut self, start_seq: u64, state: SpanState) {
        if let Some(at) = self.find(start_seq)
            && self.spans[at].state != SpanState::Done
        {
            self.spans[at].state = state;
        }
    }

    /// A window is done with. False if there is none such.
    pub(super) fn complete(&mut self, start_seq: u64) -> bool {
        let Some(at) = self.find(start_seq).filter(|at| self.spans[*at].state != SpanState::Done) else {
            return false;
        };
        self.spans[at].state = SpanState::Done;
        self.merge(at);
        self.version += 1;
        self.check();
        true
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

    /// Frames from the reading position up to `end` are not to be handed out at all.
    pub(super) fn skip(&mut self, end: Place) {
        assert!(end.seq >= self.read.seq, "BUG: a skip backwards");
        if end.seq == self.read.seq {
            return;
        }
        self.spans.push_back(Span::new(self.read, end, SpanState::Done));
        self.read = end;
        self.merge(self.spans.len() - 1);
        self.version += 1;
        self.check();
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

    /// Takes out the segments that the durable cursor has left behind, the active one excepted.
    pub(super) fn retire(&mut self) -> Vec<Segment> {
        let mut retired = Vec::new();
        while let Some(front) = self.segments.front() {
            let active = self.active && self.segments.len() == 1;
            if active || front.end.seq > self.durable_acked.seq {
                break;
            }
            retired.extend(self.segments.pop_front());
        }
        retired
    }

    /// Whether all of the active segment is done with.
    pub(super) fn active_is_done(&self) -> bool {
        self.active && self.segments.back().is_some_and(|segment| segment.end.seq <= self.acked.seq)
    }

    /// Gives up the oldest segment, the active one excepted. Windows that are out stay out: their frames are in memory.
    pub(super) fn evict(&mut self) -> Option<Evicted> {
        if self.segments.len() <= usize::from(self.active) {
            return None;
        }
        let segment = self.segments.pop_front()?;
        let end = segment.end;
        let mut spans = Vec::new();
        while let Some(waiting) =
            self.spans.iter().find(|span| span.state == SpanState::Replay && span.end.seq <= end.seq).copied()
        {
            spans.push((waiting.start, waiting.end));
            self.complete(waiting.start.seq);
        }
        // One that loses only its beginning keeps its boundaries, and says what it lost when it is read.
        for span in self.spans.iter_mut().filter(|span| span.start.seq < end.seq) {
            span.loss_told &= span.state != SpanState::Replay;
        }
        if self.read.seq < end.seq {
            spans.push((self.read, end));
            self.skip(end);
        }
        Some(Evicted { segment, spans })
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
