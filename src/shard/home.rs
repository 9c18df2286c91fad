//! The home side of a category: takes sealed blocks from all shards, commits them in groups, sends word back.
//!
//! A commit takes whatever has arrived since the last one began, up to a bound; the next begins when it has ended.
//! Nothing waits for company: batches are as large as the load makes them.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::limits::COMMIT_BYTES_MAX;
use crate::ring::{Consumer, Full, Producer};
use crate::rt::sync::Notify;
use crate::rt::time;
use crate::rt::wake::Waker;
use crate::spool::{Block, CommitError, CommitFailure};

use super::exchange::{Report, Sealed};
use super::lanes::Lanes;
use super::ticket::Progress;
use super::uploads::HomeLog;

/// Blocks of one commit: bounds the list, never the rate.
const COMMIT_BLOCKS_MAX: usize = 512;

/// How long reports that found their ring full wait for another try.
const REPORT_RETRY: std::time::Duration = std::time::Duration::from_millis(1);

/// Sends word of blocks to the shards they came from.
pub struct Reporter {
    index: usize,
    rings: RefCell<Vec<Producer<Report>>>,
    overflow: RefCell<VecDeque<(usize, Report)>>,
    wakers: Vec<Waker>,
    lanes: Rc<Lanes>,
}

impl Reporter {
    pub fn new(
        index: usize,
        rings: Vec<Producer<Report>>,
        wakers: Vec<Waker>,
        lanes: Rc<Lanes>,
    ) -> Rc<Reporter> {
        Rc::new(Reporter { index, rings: RefCell::new(rings), overflow: RefCell::default(), wakers, lanes })
    }

    fn send(self: &Rc<Self>, source: usize, report: Report) {
        if source == self.index {
            self.lanes.report(report.ticket, report.progress);
            return;
        }
        let queued = !self.overflow.borrow().is_empty();
        if queued || !self.try_send(source, report) {
            self.overflow.borrow_mut().push_back((source, report));
            if !queued {
                let reporter = Rc::clone(self);
                crate::rt::spawn(async move { reporter.retry().await });
            }
        }
    }

    fn try_send(&self, source: usize, report: Report) -> bool {
        let mut rings = self.rings.borrow_mut();
        let ring = &mut rings[source];
        match ring.push(report) {
            Ok(()) => {
                if ring.should_wake() {
                    self.wakers[source].wake();
                }
                true
            }
            Err(Full(_)) => false,
        }
    }

    async fn retry(self: Rc<Self>) {
        loop {
            let Some((source, report)) = self.overflow.borrow().front().copied() else { return };
            if self.try_send(source, report) {
                self.overflow.borrow_mut().pop_front();
            } else {
                time::sleep(REPORT_RETRY).await;
            }
        }
    }
}

/// Blocks whose senders wait for delivery, by sequence number.
#[derive(Default)]
pub struct Deliveries {
    waiting: RefCell<BTreeMap<u64, (usize, u64)>>,
}

impl Deliveries {
    /// The destination has answered for the frames from `first` to `last`, both included.
    pub fn settle(&self, first: u64, last: u64, progress: Progress, reporter: &Rc<Reporter>) {
        let settled: Vec<(u64, (usize, u64))> =
            self.waiting.borrow().range(first..=last).map(|(seq, to)| (*seq, *to)).collect();
        for (seq, (source, ticket)) in settled {
            self.waiting.borrow_mut().remove(&seq);
            reporter.send(source, Report { ticket, progress });
        }
    }
}

/// What the commit loop of one category works with.
pub struct Home {
    pub home: Rc<HomeLog>,
    pub arrived: Rc<Vec<Notify>>,
    pub reporter: Rc<Reporter>,
}

impl Home {
    /// Commits what arrives, for ever.
    pub async fn run(self, mut rings: Vec<Consumer<Sealed>>) {
        let arrived = &self.arrived[self.home.category.index()];
        let mut blocks: Vec<Block> = Vec::new();
        let mut tickets: Vec<(usize, u64, bool)> = Vec::new();
        loop {
            gather(&mut rings, &mut blocks, &mut tickets);
            if blocks.is_empty() {
                // Arm every ring, then look once more: a block that came in between must not be slept over.
                let mut asleep = true;
                for ring in &mut rings {
                    asleep &= ring.prepare_sleep();
                }
                if asleep {
                    arrived.notified().await;
                }
                for ring in &mut rings {
                    ring.cancel_sleep();
                }
                continue;
            }
            let mut from = 0;
            while from < blocks.len() {
                from += self.commit(&blocks[from..], &tickets[from..]).await;
            }
            blocks.clear();
            tickets.clear();
        }
    }

    /// Commits blocks and sends word of them; says of how many. That is all of them, unless one is too large for the
    /// log: then it is that one and those before it, and what stands behind it gets a commit of its own.
    async fn commit(&self, blocks: &[Block], tickets: &[(usize, u64, bool)]) -> usize {
        let started = time::Instant::now();
        let outcome = self.home.log.commit(blocks).await;
        let (committed, failed, settled) = match &outcome {
            Ok(seqs) => (seqs.clone(), Progress::Durable, blocks.len()),
            Err(CommitError { committed, reason }) => {
                let taken = (committed.end - committed.start) as usize;
                let settled = match reason {
                    CommitFailure::TooLarge => (taken + 1).min(blocks.len()),
                    CommitFailure::Full | CommitFailure::Io(_) => blocks.len(),
                };
                (committed.clone(), refused(reason), settled)
            }
        };
        self.home.committed(&blocks[..settled], started, &outcome);
        let mut seqs = committed;
        for &(source, ticket, wants_delivery) in &tickets[..settled] {
            let progress = match seqs.next() {
                Some(seq) => {
                    if wants_delivery {
                        self.home.deliveries.waiting.borrow_mut().insert(seq, (source, ticket));
                    }
                    Progress::Durable
                }
                None => failed,
            };
            self.reporter.send(source, Report { ticket, progress });
        }
        settled
    }
}

fn refused(reason: &CommitFailure) -> Progress {
    match reason {
        CommitFailure::Full => Progress::Full,
        CommitFailure::TooLarge => Progress::TooLarge,
        CommitFailure::Io(_) => Progress::Failed,
    }
}

/// Takes blocks from the rings in turn, up to one commit's bound.
fn gather(rings: &mut [Consumer<Sealed>], blocks: &mut Vec<Block>, tickets: &mut Vec<(usize, u64, bool)>) {
    let mut bytes = 0;
    let mut found = true;
    while found && bytes < COMMIT_BYTES_MAX && blocks.len() < COMMIT_BLOCKS_MAX {
        found = false;
        for (source, ring) in rings.iter_mut().enumerate() {
            let Some(sealed) = ring.pop() else { continue };
            found = true;
            bytes += sealed.block.payload.len();
            blocks.push(sealed.block);
            tickets.push((source, sealed.ticket, sealed.wants_delivery));
        }
    }
}
