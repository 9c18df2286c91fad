//! The end of windows: what became of their frames, in the sums of the log and of its lanes.

use super::account::{LaneKey, Totals};
use super::config::{Backlog, Completion, Fate, Settled};
use super::file::Disk;
use super::log::Log;
use super::window::{Frame, Window};

/// What became of one frame.
fn outcome(frame: &Frame, settled: Settled) -> Completion {
    let points = frame.block.points;
    let dead = settled.dead_points.min(points);
    let parked = settled.parked_points.min(points - dead);
    let fate = match (dead, parked) {
        (0, 0) => Fate::Delivered,
        (0, _) => Fate::Parked,
        _ => Fate::Dead,
    };
    Completion {
        first_seq: frame.seq,
        last_seq: frame.seq,
        points: u64::from(points),
        fate,
        delivered_points: u64::from(points - dead - parked),
        dead_points: u64::from(dead),
        parked_points: u64::from(parked),
    }
}

impl<D: Disk> Log<D> {
    /// A window is done with. The cursor follows over what is done without a gap; it is durable with the next window,
    /// or with [`Log::maintain`] or [`Log::flush`]: a crash before that sends the window again under the same ids.
    pub fn complete(&self, window: Window, fate: Fate) {
        self.complete_as(window, |frame| {
            Completion::whole(frame.seq, frame.seq, u64::from(frame.block.points), fate)
        });
    }

    /// The same for a window whose frames, or parts of them, have different fates.
    pub fn complete_each(&self, window: Window, mut settle: impl FnMut(u64) -> Settled) {
        self.complete_as(window, |frame| outcome(frame, settle(frame.seq)));
    }

    fn complete_as(&self, window: Window, mut outcome: impl FnMut(&Frame) -> Completion) {
        let ended: Vec<Completion> = window.frames.iter().map(&mut outcome).collect();
        let parts = window.frames.iter().zip(&ended).flat_map(|(frame, ended)| {
            let lane = LaneKey((self.config.lane_of)(&frame.block.route));
            let other = ended.points - ended.delivered_points - ended.dead_points - ended.parked_points;
            [
                (frame.seq, lane, Fate::Delivered, ended.delivered_points),
                (frame.seq, lane, Fate::Dead, ended.dead_points),
                (frame.seq, lane, Fate::Parked, ended.parked_points),
                (frame.seq, lane, ended.fate, other),
            ]
            .into_iter()
            .filter(|(.., points)| *points > 0)
        });
        if !self.ledger.borrow_mut().settle(window.first_seq, parts) {
            return; // given back before, or given up while it waited
        }
        // In runs: what was lost between the frames has been told of.
        let mut runs: Vec<Completion> = Vec::new();
        for ended in ended {
            match runs.last_mut().filter(|run| run.last_seq + 1 == ended.first_seq && run.fate == ended.fate)
            {
                Some(run) => {
                    run.last_seq = ended.last_seq;
                    run.points += ended.points;
                    run.delivered_points += ended.delivered_points;
                    run.dead_points += ended.dead_points;
                    run.parked_points += ended.parked_points;
                }
                None => runs.push(ended),
            }
        }
        for run in runs {
            self.count(|counters| counters.add(&run));
            self.tell(run);
        }
        self.completed();
    }

    /// What became of every point of this log, over all its restarts.
    pub fn totals(&self) -> Totals {
        self.ledger.borrow().totals()
    }

    /// The same for each lane that has been seen.
    pub fn lanes(&self) -> Vec<(LaneKey, Totals)> {
        self.ledger.borrow().lanes.totals()
    }

    /// Puts everything that nobody has taken aside, so that [`Log::next_window`] goes on with what is committed from now
    /// on, and [`Log::next_deferred_window`] gives the rest. Durable with the next window. Gives the points put aside:
    /// 0 if there is nothing, or if [`super::DEFERRED_MAX`] stretches lie aside already.
    pub fn defer(&self) -> u64 {
        let points = self.ledger.borrow_mut().defer(self.readable.get());
        self.tail.borrow_mut().drop_before(self.ledger.borrow().read.seq);
        self.changed.notify_all();
        points
    }

    /// What lies aside and nobody has taken.
    pub fn deferred(&self) -> Backlog {
        self.ledger.borrow().deferred()
    }
}
