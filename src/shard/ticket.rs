//! Tickets: how far a sealed block has come, and the requests that wait to hear it. Local to the shard that sealed
//! the block; what travels to the block's home and back is a number.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::dedup::Guard;

/// How far a block has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// In the open block, in a ring, or being written.
    Pending,
    /// Its commit is synced.
    Durable,
    /// The destination answered for it.
    Delivered,
    /// The spool has no room, by its capacity or the disk's.
    Full,
    /// Larger than the spool can ever take.
    TooLarge,
    /// The disk failed, or the destination refused the points for ever.
    Failed,
    /// Durable, and not delivered before the gateway stops.
    Left,
}

impl Progress {
    /// Nothing better can follow.
    fn is_final(self) -> bool {
        matches!(
            self,
            Progress::Delivered | Progress::Full | Progress::TooLarge | Progress::Failed | Progress::Left
        )
    }
}

/// One block's way, shared by the requests whose points it holds.
pub struct Ticket {
    progress: Cell<Progress>,
    /// Some request wants to hear of delivery, so the home shard has to report it.
    wants_delivery: Cell<bool>,
    waiters: RefCell<Vec<Waker>>,
    /// Packages that are stored when the block is; also where nobody waits for that any more.
    guards: RefCell<Vec<Guard>>,
}

impl Ticket {
    pub fn new() -> Rc<Ticket> {
        Rc::new(Ticket {
            progress: Cell::new(Progress::Pending),
            wants_delivery: Cell::new(false),
            waiters: RefCell::new(Vec::new()),
            guards: RefCell::new(Vec::new()),
        })
    }

    pub fn want_delivery(&self) {
        self.wants_delivery.set(true);
    }

    pub fn wants_delivery(&self) -> bool {
        self.wants_delivery.get()
    }

    /// The package of this guard is in the block.
    pub fn carry(&self, guard: Guard) {
        self.guards.borrow_mut().push(guard);
    }

    pub fn advance(&self, progress: Progress) {
        if progress <= self.progress.get() {
            return;
        }
        self.progress.set(progress);
        if !self.guards.borrow().is_empty() {
            self.tell_guards(progress);
        }
        for waiter in self.waiters.borrow_mut().drain(..) {
            waiter.wake();
        }
    }

    fn tell_guards(&self, progress: Progress) {
        for guard in self.guards.take() {
            if guard.is_content_with(progress) {
                guard.stored();
            } else if !progress.is_final() {
                self.guards.borrow_mut().push(guard);
            }
        }
    }

    /// Ready once the block is at least as far as `wanted`, or can never get there.
    pub fn poll(&self, wanted: Progress, cx: &mut Context<'_>) -> Poll<Progress> {
        let progress = self.progress.get();
        if progress >= wanted || progress.is_final() {
            return Poll::Ready(progress);
        }
        // A request is polled once when it starts to wait and once when it is woken: no look for doubles.
        self.waiters.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }
}

/// The tickets of this shard whose blocks are on their way, by number.
#[derive(Default)]
pub struct Tickets {
    next: Cell<u64>,
    waiting: RefCell<HashMap<u64, Rc<Ticket>>>,
}

impl Tickets {
    /// Gives a ticket its number.
    pub fn issue(&self, ticket: Rc<Ticket>) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        self.waiting.borrow_mut().insert(number, ticket);
        number
    }

    /// Takes word of a block. A ticket whose delivery nobody waits for is done once durable.
    pub fn report(&self, number: u64, progress: Progress) {
        let mut waiting = self.waiting.borrow_mut();
        let Some(ticket) = waiting.get(&number) else { return };
        let done = progress.is_final() || !ticket.wants_delivery();
        let ticket = if done { waiting.remove(&number) } else { waiting.get(&number).cloned() };
        drop(waiting);
        if let Some(ticket) = ticket {
            ticket.advance(progress);
        }
    }

    /// Blocks on their way.
    pub fn outstanding(&self) -> usize {
        self.waiting.borrow().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_wakes_at_the_level_it_was_asked_for() {
        let tickets = Tickets::default();
        let ticket = Ticket::new();
        let mut cx = Context::from_waker(Waker::noop());
        let number = tickets.issue(Rc::clone(&ticket));
        ticket.want_delivery();
        assert!(ticket.poll(Progress::Durable, &mut cx).is_pending());
        tickets.report(number, Progress::Durable);
        assert_eq!(ticket.poll(Progress::Durable, &mut cx), Poll::Ready(Progress::Durable));
        assert!(ticket.poll(Progress::Delivered, &mut cx).is_pending());
        assert_eq!(tickets.outstanding(), 1);
        tickets.report(number, Progress::Delivered);
        assert_eq!(ticket.poll(Progress::Delivered, &mut cx), Poll::Ready(Progress::Delivered));
        assert_eq!(tickets.outstanding(), 0);
    }

    #[test]
    fn a_refused_block_is_final_for_everybody() {
        let tickets = Tickets::default();
        let ticket = Ticket::new();
        let number = tickets.issue(Rc::clone(&ticket));
        ticket.want_delivery();
        tickets.report(number, Progress::Full);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(ticket.poll(Progress::Delivered, &mut cx), Poll::Ready(Progress::Full));
        assert_eq!(tickets.outstanding(), 0);
        tickets.report(number, Progress::Durable);
        assert_eq!(ticket.poll(Progress::Durable, &mut cx), Poll::Ready(Progress::Full));
    }
}
