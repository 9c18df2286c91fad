//! The socket driver: one epoll descriptor, one drain task, a slot a descriptor.
//!
//! The drain task asks epoll without waiting, sets flags in slots and wakes their tasks, yields once so that these
//! run, and asks again. After an empty pass, or after [`DRAIN_BUDGET`], it waits for the epoll descriptor itself
//! through the executor: with events pending that wait ends on the reactor's next pass without sleeping, and that
//! pass is what lets the executor see its own file and timer completions. Without the budget a busy socket set
//! starves the disk: commits then take a hundred milliseconds.
//!
//! A slot is named by (index, generation), never by descriptor number, so an event that was queued for a closed
//! connection cannot reach the one that took its place.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use rustix::event::epoll;

use crate::rt::sync::Notify;
use crate::rt::{io_error, shard, time};

/// How long the drain task keeps to sockets before it lets the reactor look at files and timers.
const DRAIN_BUDGET: Duration = Duration::from_micros(250);

/// Events taken from the kernel in one call.
const EVENTS_PER_PASS: usize = 1024;

/// The least time between two looks at deadlines; they are seconds long.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

const NO_DEADLINE: u64 = u64::MAX;

thread_local! {
    static DRIVER: RefCell<Option<Rc<Driver>>> = const { RefCell::new(None) };
}

/// A descriptor's place in the driver. Dropping it frees the slot; the descriptor leaves the set when it is closed.
pub struct Registration {
    driver: Rc<Driver>,
    index: u32,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    /// Nothing says that a receive would block.
    ready: bool,
    /// The peer closed or the socket failed: a receive will say which, and never blocks again.
    hup: bool,
    writable: bool,
    expired: bool,
    /// Between two requests: may be ended at once when the shard stops.
    idle: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Milliseconds on the driver's clock.
    deadline_ms: u64,
    wake: Option<(Arc<OwnedFd>, Rc<Notify>)>,
    next_free: u32,
}

const NO_SLOT: u32 = u32::MAX;

struct Slots {
    slots: Vec<Slot>,
    free: u32,
    live: usize,
}

/// One a shard, created at its start by [`Driver::start`].
pub struct Driver {
    epoll: OwnedFd,
    slots: RefCell<Slots>,
    idle: Notify,
    /// The drain task waits for the kernel: sockets have nothing to give.
    quiet: Cell<bool>,
    pass_ms: Cell<u64>,
    started: Instant,
    sweeping: Cell<bool>,
    /// When the sweeper looks next; [`NO_DEADLINE`] while there is none.
    next_sweep_ms: Cell<u64>,
    sooner: Notify,
}

struct EpollFd(OwnedFd);

impl AsRawFd for EpollFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Driver {
    /// Sets up this shard's driver and its drain task. Call once, on the shard, before any socket is made.
    pub fn start() -> io::Result<()> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let watched = glommio::io::PollableFd::new(EpollFd(epoll.try_clone()?)).map_err(io_error)?;
        let driver = Rc::new(Driver {
            epoll,
            slots: RefCell::new(Slots { slots: Vec::new(), free: NO_SLOT, live: 0 }),
            idle: Notify::new(),
            quiet: Cell::new(false),
            pass_ms: Cell::new(0),
            started: Instant::now(),
            sweeping: Cell::new(false),
            next_sweep_ms: Cell::new(NO_DEADLINE),
            sooner: Notify::new(),
        });
        DRIVER.with(|current| *current.borrow_mut() = Some(Rc::clone(&driver)));
        shard::spawn(drain(driver, watched));
        Ok(())
    }

    /// This shard's driver.
    pub(crate) fn current() -> Rc<Driver> {
        DRIVER
            .with(|current| current.borrow().clone())
            .unwrap_or_else(|| panic!("BUG: no socket driver on this thread"))
    }

    /// Resolves when the sockets have nothing more to give for now, or have had their time: the moment to seal what
    /// the requests of this pass have written.
    pub async fn idle() {
        let driver = Driver::current();
        if !driver.quiet.get() {
            driver.idle.notified().await;
        }
    }

    /// Ends every wait that was marked idle, as if its deadline had passed.
    pub fn expire_idle() {
        let driver = Driver::current();
        for slot in driver.slots.borrow_mut().slots.iter_mut().filter(|slot| slot.idle) {
            slot.expired = true;
            if let Some(waker) = slot.reader.take() {
                waker.wake();
            }
        }
    }

    pub(super) fn register(
        self: &Rc<Self>,
        fd: BorrowedFd<'_>,
        flags: epoll::EventFlags,
    ) -> io::Result<Registration> {
        self.register_with(fd, flags, None)
    }

    pub(crate) fn register_wake(
        self: &Rc<Self>,
        fd: Arc<OwnedFd>,
        notify: Rc<Notify>,
    ) -> io::Result<Registration> {
        let borrowed = Arc::clone(&fd);
        self.register_with(
            borrowed.as_fd(),
            epoll::EventFlags::IN | epoll::EventFlags::ET,
            Some((fd, notify)),
        )
    }

    fn register_with(
        self: &Rc<Self>,
        fd: BorrowedFd<'_>,
        flags: epoll::EventFlags,
        wake: Option<(Arc<OwnedFd>, Rc<Notify>)>,
    ) -> io::Result<Registration> {
        let (index, generation) = {
            let mut all = self.slots.borrow_mut();
            let index = if all.free == NO_SLOT {
                let index = u32::try_from(all.slots.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
                all.slots.push(Slot::default());
                index
            } else {
                let index = all.free;
                all.free = all.slots[index as usize].next_free;
                index
            };
            all.live += 1;
            let slot = &mut all.slots[index as usize];
            let generation = slot.generation;
            *slot =
                Slot { generation, deadline_ms: NO_DEADLINE, wake, next_free: NO_SLOT, ..Slot::default() };
            (index, generation)
        };
        let registration = Registration { driver: Rc::clone(self), index };
        epoll::add(&self.epoll, fd, data(index, generation), flags)?;
        Ok(registration)
    }

    fn with_slot<R>(&self, index: u32, f: impl FnOnce(&mut Slot) -> R) -> R {
        f(&mut self.slots.borrow_mut().slots[index as usize])
    }

    /// Milliseconds since this driver started.
    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// The same as it was when the drain task last looked: good enough for a wait of minutes, and free.
    fn recent_ms(&self) -> u64 {
        self.pass_ms.get()
    }

    /// Sets flags and wakes tasks for one event.
    fn dispatch(&self, event: &epoll::Event) {
        let key = event.data.u64();
        let (index, generation) = (key as u32, (key >> 32) as u32);
        let flags = event.flags;
        let mut all = self.slots.borrow_mut();
        let Some(slot) = all.slots.get_mut(index as usize) else { return };
        if slot.generation != generation {
            return;
        }
        if let Some((fd, notify)) = &slot.wake {
            let (fd, notify) = (Arc::clone(fd), Rc::clone(notify));
            drop(all);
            // Resets the counter; edge-triggered, so a failed read only means that there was nothing left.
            let _ = rustix::io::read(&*fd, &mut [0u8; 8]);
            notify.notify_all();
            return;
        }
        let gone = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        if flags.intersects(gone) {
            slot.hup = true;
        }
        if flags.intersects(epoll::EventFlags::IN | gone) {
            slot.ready = true;
            if let Some(waker) = slot.reader.take() {
                waker.wake();
            }
        }
        if flags.intersects(epoll::EventFlags::OUT | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
            slot.writable = true;
            if let Some(waker) = slot.writer.take() {
                waker.wake();
            }
        }
    }

    /// Wakes every task whose deadline has passed; the earliest that is left.
    fn sweep(&self) -> u64 {
        let now = self.now_ms();
        let mut earliest = NO_DEADLINE;
        let mut all = self.slots.borrow_mut();
        for slot in &mut all.slots {
            if slot.deadline_ms > now {
                earliest = earliest.min(slot.deadline_ms);
                continue;
            }
            slot.deadline_ms = NO_DEADLINE;
            slot.expired = true;
            for waker in [slot.reader.take(), slot.writer.take()].into_iter().flatten() {
                waker.wake();
            }
        }
        earliest
    }

    /// Sees to it that somebody looks when `deadline_ms` has passed. The sweeper sleeps until the earliest deadline
    /// there is and ends when there is none: idle connections cost nothing but their slots.
    fn expect(self: &Rc<Self>, deadline_ms: u64) {
        if self.next_sweep_ms.get() <= deadline_ms.saturating_add(SWEEP_INTERVAL.as_millis() as u64) {
            return;
        }
        self.next_sweep_ms.set(deadline_ms);
        if self.sweeping.replace(true) {
            self.sooner.notify_all();
            return;
        }
        let driver = Rc::clone(self);
        shard::spawn(async move {
            loop {
                let earliest = driver.sweep();
                if earliest == NO_DEADLINE {
                    break;
                }
                driver.next_sweep_ms.set(earliest);
                let wait =
                    Duration::from_millis(earliest.saturating_sub(driver.now_ms())).max(SWEEP_INTERVAL);
                // Either way it is time to look again.
                let _ = time::timeout(wait, driver.sooner.notified()).await;
            }
            driver.next_sweep_ms.set(NO_DEADLINE);
            driver.sweeping.set(false);
        });
    }
}

fn data(index: u32, generation: u32) -> epoll::EventData {
    epoll::EventData::new_u64(u64::from(generation) << 32 | u64::from(index))
}

async fn drain(driver: Rc<Driver>, watched: glommio::io::PollableFd<EpollFd>) {
    let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_PER_PASS);
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        let started = Instant::now();
        driver.pass_ms.set(started.duration_since(driver.started).as_millis() as u64);
        loop {
            events.clear();
            let taken = epoll::wait(&driver.epoll, rustix::buffer::spare_capacity(&mut events), Some(&now));
            if let Err(error) = taken
                && error != rustix::io::Errno::INTR
            {
                panic!("BUG: cannot read the epoll set: {error}");
            }
            if events.is_empty() {
                break;
            }
            for event in &events {
                driver.dispatch(event);
            }
            shard::yield_now().await;
            if started.elapsed() >= DRAIN_BUDGET {
                break;
            }
        }
        driver.quiet.set(true);
        driver.idle.notify_all();
        if let Err(error) = watched.readable().await {
            panic!("BUG: cannot wait for the epoll descriptor: {error}");
        }
        driver.quiet.set(false);
    }
}

impl Registration {
    /// Waits until a receive (or accept) need not block, or the deadline has passed.
    pub(super) fn poll_readable(&self, cx: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        self.driver.with_slot(self.index, |slot| {
            if slot.ready || slot.hup {
                return Poll::Ready(Ok(()));
            }
            if slot.expired {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            slot.reader = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    /// Waits for the deadline alone. Uses the writer's place: nobody waits to write meanwhile.
    pub(super) fn poll_expired(&self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        self.driver.with_slot(self.index, |slot| {
            if slot.expired {
                return Poll::Ready(());
            }
            slot.writer = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    /// The last call took all there was: wait for the next edge.
    pub(super) fn clear_ready(&self) {
        self.driver.with_slot(self.index, |slot| slot.ready = false);
    }

    pub(super) fn is_hung_up(&self) -> bool {
        self.driver.with_slot(self.index, |slot| slot.hup)
    }

    /// Waits until a send need not block. Interest in writing is added only now: a connection that never blocks
    /// never pays for it.
    pub(super) async fn writable(&self, fd: BorrowedFd<'_>, base: epoll::EventFlags) -> io::Result<()> {
        let generation = self.driver.with_slot(self.index, |slot| {
            slot.writable = false;
            slot.generation
        });
        let key = data(self.index, generation);
        epoll::modify(&self.driver.epoll, fd, key, base | epoll::EventFlags::OUT)?;
        let waited = poll_fn(|cx| {
            self.driver.with_slot(self.index, |slot| {
                if slot.writable {
                    return Poll::Ready(Ok(()));
                }
                if slot.expired {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                slot.writer = Some(cx.waker().clone());
                Poll::Pending
            })
        })
        .await;
        epoll::modify(&self.driver.epoll, fd, key, base)?;
        waited
    }

    /// From `limit` on, waits on this descriptor fail with `TimedOut`, until the next call. `None` waits for ever.
    /// Late by up to [`SWEEP_INTERVAL`]: for limits of seconds.
    pub(super) fn set_deadline(&self, limit: Option<Duration>, idle: bool) {
        let deadline_ms = match limit {
            Some(limit) => {
                let now = if idle { self.driver.recent_ms() } else { self.driver.now_ms() };
                now.saturating_add(limit.as_millis() as u64)
            }
            None => NO_DEADLINE,
        };
        self.driver.with_slot(self.index, |slot| {
            slot.deadline_ms = deadline_ms;
            slot.expired = false;
            slot.idle = idle;
        });
        self.driver.expect(deadline_ms);
    }

    /// Stops (or resumes) events for a level-triggered descriptor.
    pub(super) fn arm(&self, fd: BorrowedFd<'_>, flags: epoll::EventFlags) -> io::Result<()> {
        let generation = self.driver.with_slot(self.index, |slot| slot.generation);
        epoll::modify(&self.driver.epoll, fd, data(self.index, generation), flags)?;
        Ok(())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Closing the descriptor's last copy takes it out of the set, and the generation keeps late events out.
        let mut all = self.driver.slots.borrow_mut();
        all.live -= 1;
        let free = all.free;
        let slot = &mut all.slots[self.index as usize];
        let generation = slot.generation.wrapping_add(1);
        *slot = Slot { generation, deadline_ms: NO_DEADLINE, next_free: free, ..Slot::default() };
        all.free = self.index;
    }
}
