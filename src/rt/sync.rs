//! Waiting within a shard: no locks, no atomics.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Wakes every task that waits. A notification nobody waits for is forgotten, so callers check their condition,
/// then wait, with no await between the two.
#[derive(Default)]
pub struct Notify {
    waiters: RefCell<Vec<Waker>>,
    epoch: Cell<u64>,
}

impl Notify {
    pub fn new() -> Notify {
        Notify::default()
    }

    /// Resolves at the next [`Notify::notify_all`] after this call.
    pub fn notified(&self) -> impl Future<Output = ()> + '_ {
        let seen = self.epoch.get();
        poll_fn(move |cx| {
            if self.epoch.get() != seen {
                return Poll::Ready(());
            }
            let mut waiters = self.waiters.borrow_mut();
            if !waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
                waiters.push(cx.waker().clone());
            }
            Poll::Pending
        })
    }

    pub fn notify_all(&self) {
        self.epoch.set(self.epoch.get().wrapping_add(1));
        let waiters = std::mem::take(&mut *self.waiters.borrow_mut());
        for waiter in waiters {
            waiter.wake();
        }
    }
}
