//! One category's way to its destination: what its workers share, and what each of them does.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::settle::Fates;
use super::side::Sides;
use super::{Ledger, Moved, Uploads};
use crate::point::Category;
use crate::rt::sync::Notify;
use crate::upload::batcher;
use crate::upload::carrier::Carrier;
use crate::upload::env::Env;
use crate::upload::gate::Gate;
use crate::upload::pace::Eta;
use crate::upload::race::{Either, join_all, race};
use crate::upload::source::{Settled, Source, Window};

/// Packages of one window that are sent at the same time. A window has as many as it has routes.
const PACKAGES_AT_ONCE: usize = 4;

/// How often the taker looks whether a window has become full while it gathers.
const GATHER_STEP: Duration = Duration::from_millis(5);

/// A small request that does not return holds up the next small one for at most this many times [`Settings::gather`].
const GATHERS_MAX: u32 = 20;

/// How often the backlog is shown on `/metrics` while nothing of it moves.
const SHOW_INTERVAL: Duration = Duration::from_secs(5);

/// The least time between two times that what waits is put aside: each makes a stretch that must be kept in mind.
const DEFER_INTERVAL: Duration = Duration::from_secs(10);

/// What came of a window: for the source, and for the ledger.
struct Through {
    settled: BTreeMap<u64, Settled>,
    moved: Moved,
}

/// See the module. Shared by the category's workers.
pub(super) struct Lane<C, E, S, L: ?Sized> {
    pub(super) uploads: Rc<Uploads<C, E>>,
    pub(super) category: Category,
    pub(super) source: S,
    pub(super) ledger: Rc<L>,
    /// One for each target.
    pub(super) gates: Vec<Gate>,
    /// For each target: it refused all of the last package.
    pub(super) doubts: Vec<Cell<bool>>,
    pub(super) sides: Sides,
    /// Workers that have not ended.
    pub(super) working: Cell<usize>,
    eta: RefCell<Eta>,
    /// When what waited was last put aside.
    deferred: Cell<Option<Instant>>,
    taking: Cell<bool>,
    /// When a window was last taken.
    taken: Cell<Option<Instant>>,
    small_in_flight: Cell<usize>,
    changed: Notify,
}

/// Counts down when its scope is left, in whatever way.
pub(super) struct Counted<'a> {
    count: &'a Cell<usize>,
    changed: &'a Notify,
}

impl<'a> Counted<'a> {
    pub fn new(count: &'a Cell<usize>, changed: &'a Notify) -> Counted<'a> {
        count.set(count.get() + 1);
        Counted { count, changed }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
        self.changed.notify_all();
    }
}

/// One worker less when its scope is left.
struct Ends<'a> {
    working: &'a Cell<usize>,
    changed: &'a Notify,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.working.set(self.working.get().saturating_sub(1));
        self.changed.notify_all();
    }
}

/// The turn to take a window.
struct Turn<'a> {
    taking: &'a Cell<bool>,
    changed: &'a Notify,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.taking.set(false);
        self.changed.notify_all();
    }
}

impl<C: Carrier, E: Env, S: Source, L: Ledger + ?Sized> Lane<C, E, S, L> {
    pub fn new(uploads: Rc<Uploads<C, E>>, source: S, ledger: Rc<L>, workers: usize) -> Rc<Lane<C, E, S, L>> {
        let settings = &uploads.settings;
        let gate = || Gate::new(settings.lane_pause_min, settings.lane_pause_max, uploads.seed());
        let gates = uploads.targets.iter().map(|_| gate()).collect();
        Rc::new(Lane {
            category: source.category(),
            gates,
            doubts: uploads.targets.iter().map(|_| Cell::new(false)).collect(),
            sides: Sides::default(),
            working: Cell::new(workers),
            eta: RefCell::default(),
            deferred: Cell::new(None),
            uploads,
            source,
            ledger,
            taking: Cell::new(false),
            taken: Cell::new(None),
            small_in_flight: Cell::new(0),
            changed: Notify::new(),
        })
    }

    /// One worker: runs until the source is closed or the workers are stopped.
    pub async fn work(self: Rc<Self>) {
        let control = &self.uploads.control;
        let _working = Counted::new(&control.workers, &control.changed);
        let _ends = self.ends();
        while let Some(Some(window)) = control.unless_stopping(self.take()).await {
            if !self.bring_through(window).await {
                return;
            }
        }
    }

    /// A worker for what lies aside: at a pace that leaves the others their share.
    pub async fn work_backlog(self: Rc<Self>) {
        let (uploads, control) = (&*self.uploads, &self.uploads.control);
        let _working = Counted::new(&control.workers, &control.changed);
        let _ends = self.ends();
        while let Some(Some(window)) = control.unless_stopping(self.take_deferred()).await {
            let bytes: u64 = window.frames.iter().map(|frame| frame.block.payload.len() as u64).sum();
            let wait = uploads.settings.backlog.take(uploads.env.now(), bytes);
            if !wait.is_zero() && control.unless_stopping(uploads.env.sleep(wait)).await.is_none() {
                self.source.give_back(window);
                return;
            }
            if !self.bring_through(window).await {
                return;
            }
            self.eta.borrow_mut().done(uploads.env.now(), bytes);
            self.show_backlog();
        }
    }

    /// The next window of what lies aside. While there is none because nothing moves, the ledger is told so.
    async fn take_deferred(&self) -> Option<Window> {
        let show = async {
            while self.source.deferred().frames > 0 {
                self.show_backlog();
                self.uploads.env.sleep(SHOW_INTERVAL).await;
            }
            std::future::pending().await
        };
        match race(self.source.next_deferred_window(), show).await {
            Either::First(window) => window,
            Either::Second(window) => window,
        }
    }

    fn ends(&self) -> Ends<'_> {
        Ends { working: &self.working, changed: &self.sides.changed }
    }

    fn show_backlog(&self) {
        let backlog = self.source.deferred();
        let eta = self.eta.borrow().left(self.uploads.env.now(), backlog.bytes);
        self.ledger.backlog(self.category, backlog, eta);
    }

    /// Brings a window to its end and completes it. False when it was broken off.
    async fn bring_through(&self, window: Window) -> bool {
        let control = &self.uploads.control;
        let through = match race(control.until(&control.killed), self.process(&window)).await {
            Either::First(()) => None,
            Either::Second(through) => through,
        };
        let is_through = through.is_some();
        match through {
            Some(through) => {
                self.source.complete(window, &through.settled);
                through.moved.tell(self.category, &*self.ledger);
            }
            None => {
                control.abandoned.set(control.abandoned.get() + 1);
                self.source.give_back(window);
            }
        }
        is_through
    }

    /// The next window, when it is time for one. None when the source is closed.
    async fn take(&self) -> Option<Window> {
        let _turn = self.turn().await;
        let (env, settings) = (&self.uploads.env, &self.uploads.settings);
        while self.source.pending_raw_bytes() < settings.window_raw_bytes {
            let Some(taken) = self.taken.get() else { break };
            let since = env.now() - taken;
            let alone = self.small_in_flight.get() == 0;
            if since >= settings.gather && (alone || since >= settings.gather * GATHERS_MAX) {
                break;
            }
            let step = settings.gather.saturating_sub(since).min(GATHER_STEP).max(Duration::from_millis(1));
            env.sleep(step).await;
        }
        self.put_aside();
        let window = self.source.next_window().await;
        self.taken.set(Some(env.now()));
        window
    }

    /// After an outage, or at a start with much to send: what waits is put aside, so that what comes now need not wait
    /// for it.
    fn put_aside(&self) {
        let (now, settings) = (self.uploads.env.now(), &self.uploads.settings);
        if self.source.waiting_bytes() < settings.defer_bytes
            || self.deferred.get().is_some_and(|deferred| now - deferred < DEFER_INTERVAL)
        {
            return;
        }
        self.deferred.set(Some(now));
        let points = self.source.defer();
        if points > 0 {
            tracing::info!(
                category = self.category.name(),
                points,
                "the backlog is put aside and sent at a pace; what comes now goes first"
            );
            self.show_backlog();
        }
    }

    async fn turn(&self) -> Turn<'_> {
        loop {
            let changed = self.changed.notified();
            if !self.taking.replace(true) {
                return Turn { taking: &self.taking, changed: &self.changed };
            }
            changed.await;
        }
    }

    /// Brings a window to its end, and says what became of its points. None when it was broken off.
    async fn process(&self, window: &Window) -> Option<Through> {
        let raw_bytes: u64 = window.frames.iter().map(|frame| u64::from(frame.block.raw_bytes)).sum();
        let is_small = raw_bytes < self.uploads.settings.window_raw_bytes / 2;
        let _small = is_small.then(|| Counted::new(&self.small_in_flight, &self.changed));

        let packages = batcher::packages(window, &self.source);
        let sent = join_all(packages.iter().map(|package| self.settle(package)), PACKAGES_AT_ONCE).await;
        let mut fates = Fates::of(sent.into_iter().collect::<Option<Vec<Fates>>>()?);
        let settled = fates.settle();
        self.bury(&fates.deaths).await?;
        self.park(&fates.parkings).await?;
        Some(Through { settled, moved: Moved::of(&fates, window.points) })
    }
}
