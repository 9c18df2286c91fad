//! One task at a time: a value that is used across awaits, on one thread.

use std::cell::{Cell, RefCell, RefMut};
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::task::{Poll, Waker};

/// Like an asynchronous mutex, without atomics.
pub(super) struct Turn<T> {
    value: RefCell<T>,
    taken: Cell<bool>,
    waiters: RefCell<Vec<Waker>>,
}

/// The value, until dropped.
pub(super) struct Holding<'a, T> {
    turn: &'a Turn<T>,
    value: Option<RefMut<'a, T>>,
}

impl<T> Turn<T> {
    pub(super) fn new(value: T) -> Turn<T> {
        Turn { value: RefCell::new(value), taken: Cell::new(false), waiters: RefCell::default() }
    }

    pub(super) async fn take(&self) -> Holding<'_, T> {
        poll_fn(|cx| {
            if self.taken.get() {
                let mut waiters = self.waiters.borrow_mut();
                if !waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
                    waiters.push(cx.waker().clone());
                }
                return Poll::Pending;
            }
            self.taken.set(true);
            Poll::Ready(())
        })
        .await;
        Holding { turn: self, value: Some(self.value.borrow_mut()) }
    }

    /// The value, if nobody has it.
    pub(super) fn try_take(&self) -> Option<Holding<'_, T>> {
        if self.taken.replace(true) {
            return None;
        }
        Some(Holding { turn: self, value: Some(self.value.borrow_mut()) })
    }
}

impl<T> Deref for Holding<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.value {
            Some(value) => value,
            None => unreachable!("BUG: used after drop"),
        }
    }
}

impl<T> DerefMut for Holding<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.value {
            Some(value) => value,
            None => unreachable!("BUG: used after drop"),
        }
    }
}

impl<T> Drop for Holding<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        self.turn.taken.set(false);
        // All of them: one that was dropped while waiting must not swallow the turn of another. They are few.
        for waiter in std::mem::take(&mut *self.turn.waiters.borrow_mut()) {
            waiter.wake();
        }
    }
}

/// Lets every other ready task run once.
pub(super) async fn give_way() {
    let mut given = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
