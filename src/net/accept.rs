//! The accept loop of one listener on one shard, and the gate that counts connections.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::rt::net::{AcceptError, Driver, Listener};
use crate::rt::sync::Notify;
use crate::rt::{spawn, time};

use super::conn::{self, ConnContext};
use super::service::Service;

/// How long accepting pauses when descriptors or memory have run out, unless a connection closes first.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Connections taken from the kernel before other tasks get their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Counts the connections of the process against its limit, and those of the shard for its drain.
pub struct Gate {
    all: Arc<AtomicUsize>,
    limit: Cell<usize>,
    here: Cell<usize>,
    closed: Notify,
    stopping: Cell<bool>,
    stop: Notify,
}

impl Gate {
    pub fn new(all: Arc<AtomicUsize>, limit: usize) -> Rc<Gate> {
        Rc::new(Gate {
            all,
            limit: Cell::new(limit),
            here: Cell::new(0),
            closed: Notify::new(),
            stopping: Cell::new(false),
            stop: Notify::new(),
        })
    }

    /// Takes a place; none is left past the limit.
    fn enter(self: &Rc<Self>) -> Option<Pass> {
        if self.all.fetch_add(1, Ordering::Relaxed) >= self.limit.get() {
            self.all.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.here.set(self.here.get() + 1);
        Some(Pass { gate: Rc::clone(self) })
    }

    /// Another limit, for connections that come from now on.
    pub fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
    }

    /// Connections of this shard.
    pub fn open_here(&self) -> usize {
        self.here.get()
    }

    /// No more connections; idle ones end, busy ones end after their answer.
    pub fn stop(&self) {
        self.stopping.set(true);
        self.stop.notify_all();
        Driver::expire_idle();
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    fn stopped(&self) -> impl Future<Output = ()> + '_ {
        self.stop.notified()
    }

    /// Resolves when a connection of this shard has closed.
    pub fn closed(&self) -> impl Future<Output = ()> + '_ {
        self.closed.notified()
    }
}

/// A connection's place; given back when dropped.
pub(super) struct Pass {
    pub(super) gate: Rc<Gate>,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.all.fetch_sub(1, Ordering::Relaxed);
        self.gate.here.set(self.gate.here.get() - 1);
        self.gate.closed.notify_all();
    }
}

/// Tells one listener to end, whatever the others do.
#[derive(Default)]
pub struct Closing {
    said: Cell<bool>,
    over: Cell<bool>,
    notify: Notify,
}

impl Closing {
    pub fn say(&self) {
        self.said.set(true);
        self.notify.notify_all();
    }

    /// The listener is gone, and its address is free.
    pub fn is_over(&self) {
        self.over.set(true);
        self.notify.notify_all();
    }

    /// Waits for that.
    pub async fn over(&self) {
        loop {
            let changed = self.notify.notified();
            if self.over.get() {
                return;
            }
            changed.await;
        }
    }
}

/// Accepts connections until the gate stops, or until this listener is closing and nobody waits at it any more. `name` is
/// for the log; `secure`: with TLS, where there is a certificate.
pub async fn accept<S: Service>(
    listener: Listener,
    name: &'static str,
    secure: bool,
    service: Rc<S>,
    context: Rc<ConnContext>,
    closing: Rc<Closing>,
) {
    let gate = Rc::clone(&context.gate);
    let mut turn = 0;
    loop {
        if gate.is_stopping() {
            return;
        }
        let accepted = {
            let mut accept = std::pin::pin!(listener.accept());
            let mut stop = std::pin::pin!(gate.stopped());
            let mut close = std::pin::pin!(closing.notify.notified());
            std::future::poll_fn(|cx| {
                if stop.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                let told = close.as_mut().poll(cx).is_ready() || closing.said.get();
                match accept.as_mut().poll(cx) {
                    Poll::Pending if told => Poll::Ready(None),
                    other => other.map(Some),
                }
            })
            .await
        };
        match accepted {
            None => return,
            Some(Ok((stream, peer))) => match gate.enter() {
                Some(pass) => {
                    let tls = if secure { context.tls.load_full() } else { None };
                    spawn(conn::serve(stream, peer, tls, pass, Rc::clone(&service), Rc::clone(&context)))
                }
                None => {
                    let mut out = Vec::new();
                    service.refuse_connection(&mut out);
                    // Best effort: a fresh socket takes a short answer without blocking. Nothing that a TLS client
                    // would understand is short.
                    if !secure || context.tls.load().is_none() {
                        let _ = stream.try_send(&out);
                    }
                }
            },
            Some(Err(AcceptError::Exhausted(error))) => {
                tracing::warn!(listener = name, %error, "cannot accept: out of descriptors or memory; pausing");
                // Level-triggered: left in the set it would fire for ever.
                if let Err(error) = listener.disarm() {
                    tracing::error!(listener = name, %error, "cannot disarm the listener");
                }
                let _ = time::timeout(EXHAUSTED_PAUSE, gate.closed()).await;
                if let Err(error) = listener.rearm() {
                    tracing::error!(listener = name, %error, "cannot rearm the listener");
                    return;
                }
            }
            Some(Err(AcceptError::Failed(error))) => {
                tracing::warn!(listener = name, %error, "accept failed");
                time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
        turn += 1;
        if turn % ACCEPTS_PER_TURN == 0 {
            crate::rt::yield_now().await;
        }
    }
}
