//! What the world outside knows of a log: what it was given, what it said, what came out. The oracle of the simulation.

use super::*;
use crate::spool::ledger::SpanState;
use crate::spool::{Completion, LaneKey, Totals};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Lanes that blocks are of.
const LANES: u64 = 5;

/// A block on a lane that its tag decides.
pub fn lane_block(tag: u64, bytes: usize) -> Block {
    let route = match tag % LANES {
        0 => Bytes::new(),
        lane => Bytes::from(vec![b'=', lane as u8]),
    };
    Block { route, ..block(tag, bytes) }
}

pub fn lane_of(route: &[u8]) -> u64 {
    route.last().map_or(0, |lane| u64::from(*lane))
}

/// What became of one frame's points, in the last way it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Sent { dead: u32, parked: u32 },
    Gone(Fate),
}

#[derive(Default)]
pub struct Books {
    /// Tags handed to a commit.
    pub attempted: BTreeSet<u64>,
    /// Acknowledged: number and tag.
    pub acked: BTreeMap<u64, u64>,
    /// Seen in a window: number to tag, tag to number, number to the window's first and last.
    pub tag_of: BTreeMap<u64, u64>,
    pub seq_of: BTreeMap<u64, u64>,
    pub window_of: BTreeMap<u64, (u64, u64)>,
    /// Done with, and the cursor flushed after that: never to be seen again.
    pub settled: BTreeSet<u64>,
    /// Reported as lost: the torn part of a commit that nobody was told of, with something whole behind it.
    pub lost: BTreeSet<u64>,
    /// Reported as given up, by whatever policy.
    pub given_up: BTreeSet<u64>,
    pub outcomes: BTreeMap<u64, Outcome>,
    /// Points and lane of every frame, as committed or found.
    pub frames: BTreeMap<u64, (u32, u64)>,
    /// Acknowledged frames that may be missing: damage was done, or a window was out when its segment was evicted.
    pub forgiven: u64,
    pub next_tag: u64,
}

impl Books {
    /// A new block.
    pub fn next_block(&mut self, bytes: usize) -> Block {
        let tag = self.next_tag;
        self.next_tag += 1;
        self.attempted.insert(tag);
        lane_block(tag, bytes)
    }

    /// These will be frames from this number on, if all goes well.
    pub fn attempt(&mut self, first: u64, blocks: &[Block]) {
        for (seq, block) in (first..).zip(blocks) {
            self.frames.insert(seq, (block.points, lane_of(&block.route)));
        }
    }

    pub fn acknowledged(&mut self, seqs: std::ops::Range<u64>, blocks: &[Block]) {
        for (seq, block) in seqs.zip(blocks) {
            if self.acked.insert(seq, tag(block)).is_some() {
                // The last frame before a crash, damaged: nobody can tell it from one that was never synced.
                assert!(self.forgiven > 0, "number {seq} given twice");
                self.forgiven -= 1;
            }
        }
    }

    /// A window is about to be sent.
    pub fn sent(&mut self, window: &Window) {
        let bounds = (window.first_seq, window.last_seq);
        let seqs: BTreeSet<u64> = window.frames.iter().map(|frame| frame.seq).collect();
        for seq in window.first_seq..=window.last_seq {
            assert!(seqs.contains(&seq) || self.lost.contains(&seq), "{seq} is neither here nor reported");
        }
        for frame in &window.frames {
            let tag = tag(&frame.block);
            let seq = frame.seq;
            assert_eq!(frame.block.payload, block(tag, frame.block.payload.len()).payload, "altered");
            assert!(self.attempted.contains(&tag), "{tag} was invented");
            assert!(!self.settled.contains(&tag), "{tag} was settled and comes again");
            assert_eq!(*self.tag_of.entry(seq).or_insert(tag), tag, "another frame under number {seq}");
            assert_eq!(*self.seq_of.entry(tag).or_insert(seq), seq, "{tag} under two numbers");
            if self.acked.get(&seq).is_some_and(|acked| *acked != tag) {
                // As in `acknowledged`, and of what was given the number then nobody was told.
                assert!(self.forgiven > 0, "{seq} is not what was committed");
                self.forgiven -= 1;
                self.acked.remove(&seq);
            }
            let first = *self.window_of.entry(seq).or_insert(bounds);
            assert_eq!(first, bounds, "frame {seq} in two packages");
        }
    }

    /// A window is done with; of each frame these points are not delivered.
    pub fn done(&mut self, window: &Window, settled: impl Fn(u64) -> Settled) {
        let mut at = window.first_seq;
        for frame in &window.frames {
            for lost in at..frame.seq {
                self.outcomes.insert(lost, Outcome::Gone(Fate::Lost));
            }
            let Settled { dead_points, parked_points } = settled(frame.seq);
            let dead = dead_points.min(frame.block.points);
            let parked = parked_points.min(frame.block.points - dead);
            self.outcomes.insert(frame.seq, Outcome::Sent { dead, parked });
            at = frame.seq + 1;
        }
        for lost in at..=window.last_seq {
            self.outcomes.insert(lost, Outcome::Gone(Fate::Lost));
        }
    }

    fn told(&mut self, completion: Completion, evicting: bool) {
        for seq in completion.first_seq..=completion.last_seq {
            match completion.fate {
                Fate::Lost => {
                    // A window that was out when its segment was evicted, and comes back after all. Told in every life.
                    let known = self.acked.contains_key(&seq) || self.tag_of.contains_key(&seq);
                    if known && !self.lost.contains(&seq) {
                        assert!(evicting || self.forgiven > 0, "{seq} was acknowledged and is lost");
                        self.forgiven = self.forgiven.saturating_sub(u64::from(!evicting));
                    }
                    self.lost.insert(seq);
                }
                Fate::Evicted | Fate::Expired | Fate::Dropped => {
                    self.given_up.insert(seq);
                    self.outcomes.insert(seq, Outcome::Gone(completion.fate));
                }
                Fate::Delivered | Fate::Dead | Fate::Parked => {}
            }
            if completion.fate == Fate::Lost {
                self.outcomes.insert(seq, Outcome::Gone(Fate::Lost));
            }
        }
    }

    /// The sums that the log must say, when all before these numbers is done with.
    fn expected(&self, done: impl Fn(u64) -> bool, end: u64) -> (Totals, BTreeMap<u64, Totals>) {
        let mut all = Totals::default();
        let mut lanes: BTreeMap<u64, Totals> = BTreeMap::new();
        for (seq, (points, lane)) in self.frames.range(..end) {
            let points = u64::from(*points);
            for sums in [&mut all, lanes.entry(*lane).or_default()] {
                sums.committed += points;
                if !done(*seq) {
                    continue;
                }
                match self.outcomes.get(seq) {
                    Some(Outcome::Sent { dead, parked }) => {
                        sums.delivered += points - u64::from(dead + parked);
                        sums.dead += u64::from(*dead);
                        sums.parked += u64::from(*parked);
                    }
                    Some(Outcome::Gone(Fate::Evicted)) => sums.evicted += points,
                    Some(Outcome::Gone(Fate::Expired)) => sums.expired += points,
                    Some(Outcome::Gone(Fate::Dropped)) => sums.dropped += points,
                    Some(Outcome::Gone(_)) => sums.lost += points,
                    None => panic!("{seq} is done with, and nobody was told"),
                }
            }
        }
        (all, lanes)
    }
}

/// Has everything noted that the log tells.
pub fn watch(log: &Log<MemoryDisk>, books: &Rc<RefCell<Books>>) {
    let books = books.clone();
    // A log that gives up its oldest data, by its size or by its age.
    let evicting =
        log.config.when_full == crate::spool::WhenFull::EvictOldest || log.config.max_age.is_some();
    log.observe(Box::new(move |completion| books.borrow_mut().told(completion, evicting)));
}

/// After a recovery: what is spooled is learnt, and the sums are those that follow from all that was said before.
pub fn audit(disk: &MemoryDisk, config: &LogConfig, books: &Rc<RefCell<Books>>, exact: bool) {
    let opened = block_on(Log::open(disk.clone(), CATEGORY, ID, config.clone()));
    let (log, report) = opened.unwrap_or_else(|error| panic!("{error}"));
    let mut books = books.borrow_mut();
    assert!(!report.cursor_lost || books.window_of.is_empty(), "the cursor was lost");
    let (acked, end, spans) = {
        let ledger = log.ledger.borrow();
        let spans: Vec<(u64, u64)> = ledger
            .spans
            .iter()
            .filter(|span| span.state == SpanState::Done)
            .map(|span| (span.start.seq, span.end.seq))
            .collect();
        (ledger.acked, ledger.end, spans)
    };
    let done = |seq: u64| seq < acked.seq || spans.iter().any(|(start, end)| (*start..*end).contains(&seq));
    // What can be read is what is there: a commit that failed may have left its frames, or others in their place.
    let mut found = BTreeMap::new();
    block_on(log.walk(acked, end, |header, route| {
        found.insert(header.place.seq, (header.points, lane_of(route)));
        true
    }))
    .unwrap();
    books.frames.retain(|seq, _| done(*seq) || found.contains_key(seq));
    books.frames.extend(found.iter().filter(|(seq, _)| !done(**seq)));
    let totals = log.totals();
    assert_eq!(totals.spooled(), log.stats().spooled_points);
    assert_eq!(totals.spooled(), report.spooled_points);
    if !exact {
        return;
    }
    let (expected, lanes) = books.expected(done, end.seq);
    // Frames that nobody can read have points that nobody but the log knows.
    let unread = totals.committed - expected.committed;
    let read = |totals: Totals| (totals.delivered, totals.dead, totals.parked);
    assert_eq!(read(totals), read(expected));
    let unseen = |totals: Totals| [totals.evicted, totals.expired, totals.dropped, totals.lost];
    let mut more = 0;
    for (said, expected) in unseen(totals).into_iter().zip(unseen(expected)) {
        assert!(said >= expected, "{totals:?}, more were told: {expected:?}");
        more += said - expected;
    }
    assert!(more <= unread, "{totals:?}, expected {expected:?}");
    let evicting = config.when_full == crate::spool::WhenFull::EvictOldest;
    let mut unknown = 0;
    let mut seen = Totals::default();
    for (lane, sums) in log.lanes() {
        if lane == LaneKey::UNKNOWN {
            unknown = sums.gone();
            continue;
        }
        let expected = lanes.get(&lane.0).copied().unwrap_or_default();
        assert_eq!(
            (sums.delivered, sums.dead, sums.parked),
            (expected.delivered, expected.dead, expected.parked)
        );
        // What was out when its segment was evicted was committed, and cannot be read any more.
        assert!(
            sums.committed >= expected.committed,
            "{lane:?}: {sums:?}, expected {expected:?}, {totals:?}, {acked:?} {end:?} {spans:?} {:?} found {found:?} {:?}",
            log.lanes(),
            log.ledger.borrow().segments
        );
        // And so for a frame that cannot be read in this life.
        assert!(
            sums.committed - expected.committed <= unread || evicting,
            "{lane:?}: {sums:?}, expected {expected:?}, {unread} unread"
        );
        seen.evicted += sums.evicted;
        seen.expired += sums.expired;
        seen.dropped += sums.dropped;
    }
    let given_up = |totals: Totals| totals.evicted + totals.expired + totals.dropped;
    assert!(given_up(totals) - given_up(seen) <= unknown, "{:?}", log.lanes());
}
