//! Waking another shard: an event descriptor in its epoll set.
//!
//! Waking costs a system call and, if the other side sleeps, tens of microseconds; so senders wake once a batch,
//! and only when the receiver said that it went to sleep.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

use super::net::Driver;
use super::sync::Notify;

/// The sending half: any thread may hold clones of it.
#[derive(Clone)]
pub struct Waker {
    fd: Arc<OwnedFd>,
}

impl Waker {
    pub fn new() -> io::Result<Waker> {
        Ok(Waker { fd: Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?) })
    }

    /// Wakes the shard that listens. A full counter means that it has been told already.
    pub fn wake(&self) {
        let _ = rustix::io::write(&*self.fd, &1u64.to_ne_bytes());
    }
}

/// The receiving half, on its shard: notified once for any number of wakes since the last time.
pub struct WakeListener {
    notify: Rc<Notify>,
    _registration: super::net::Registration,
}

impl WakeListener {
    pub fn new(waker: &Waker) -> io::Result<WakeListener> {
        let notify = Rc::new(Notify::new());
        let driver = Driver::current();
        let registration = driver.register_wake(Arc::clone(&waker.fd), Rc::clone(&notify))?;
        Ok(WakeListener { notify, _registration: registration })
    }

    /// Resolves at the next wake after this call.
    pub fn woken(&self) -> impl Future<Output = ()> + '_ {
        self.notify.notified()
    }
}
