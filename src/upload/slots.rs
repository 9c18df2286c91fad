//! Who may send next: a number of places that changes, given in the order in which they were asked for.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use crate::rt::sync::Notify;

/// The places of one target. Who waits is served in order, whatever category it is of.
#[derive(Default)]
pub struct Slots {
    taken: Cell<usize>,
    next: Cell<u64>,
    waiting: RefCell<BTreeSet<u64>>,
    changed: Notify,
}

/// A place, until it is dropped.
pub struct Slot<'a> {
    slots: &'a Slots,
}

struct Turn<'a> {
    slots: &'a Slots,
    number: u64,
}

impl Slots {
    /// Requests in flight.
    pub fn taken(&self) -> usize {
        self.taken.get()
    }

    /// Waits for a place; `limit` says how many there are now.
    pub async fn take(&self, limit: impl Fn() -> usize) -> Slot<'_> {
        let number = self.next.replace(self.next.get() + 1);
        self.waiting.borrow_mut().insert(number);
        let turn = Turn { slots: self, number };
        loop {
            let changed = self.changed.notified();
            let first = self.waiting.borrow().first() == Some(&number);
            if first && self.taken.get() < limit().max(1) {
                self.taken.set(self.taken.get() + 1);
                drop(turn);
                return Slot { slots: self };
            }
            changed.await;
        }
    }

    /// The limit may have grown.
    pub fn look(&self) {
        if !self.waiting.borrow().is_empty() {
            self.changed.notify_all();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.slots.waiting.borrow_mut().remove(&self.number);
        self.slots.look();
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.slots.taken.set(self.slots.taken.get() - 1);
        self.slots.look();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::env::Env;
    use crate::upload::race::race;
    use crate::upload::testing::Sim;
    use std::rc::Rc;
    use std::time::Duration;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn places_are_given_in_order_and_never_more_than_there_are() {
        let sim = Sim::new();
        let (slots, log) = (Rc::new(Slots::default()), Rc::new(RefCell::new(Vec::new())));
        for worker in 0..6 {
            let (slots, log, env) = (Rc::clone(&slots), Rc::clone(&log), sim.clone());
            sim.spawn(async move {
                let limit = || if env.elapsed() < S { 2 } else { 1 };
                let _slot = slots.take(limit).await;
                log.borrow_mut().push((worker, env.elapsed()));
                env.sleep(S).await;
            });
        }
        sim.run_to_end();
        // Two, then one at a time.
        assert_eq!(*log.borrow(), [(0, 0 * S), (1, 0 * S), (2, S), (3, 2 * S), (4, 3 * S), (5, 4 * S)]);
        assert_eq!(slots.taken(), 0);
    }

    #[test]
    fn who_gives_up_is_passed_over() {
        let sim = Sim::new();
        let slots = Slots::default();
        sim.run(async {
            let held = slots.take(|| 1).await;
            race(slots.take(|| 1), sim.sleep(S)).await;
            drop(held);
            drop(slots.take(|| 1).await);
        });
        assert!(slots.waiting.borrow().is_empty());
    }
}
