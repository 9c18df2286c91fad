//! The workers of one category: take a window, make packages, send them, act on the answers, complete the window.
//!
//!     take ──▶ prepare ──▶ pass the gates ──▶ attempt ──▶ delivered ───────────────────▶ ┐
//!                 ▲               ▲            │ │ │ └──▶ dead ──▶ dead-letter file ───▶ complete the window
//!                 │ halves        │ wait       │ │ └────▶ set aside ──▶ side lane ─────▶ ┘    (and again from there)
//!                 └──── refused ──┼────────────┘ │
//!                                 └ retry, pause ┘
//!
//! - `lane`: what the workers of a category share; taking windows, and what lies aside
//! - `settle`, `pieces`: a package to all its destinations, cut where it is refused
//! - `deliver`: a package to one destination, until something comes of it; `target`: what is known of that; `aim`: which
//! - `bury`, `side`: dead letters, and packages that are set aside
//!
//! A window is completed when every point in it is delivered, in the dead-letter file or in a side lane, synced. Until
//! then its frames stay in the spool, whatever happens here. A worker keeps to its window until it is through; as many
//! windows are in flight as there are workers, and what fails alone is set aside, so that no package holds up the others.
//!
//! **Several destinations.** Each gets every package; one that is behind the others, or down, has it set aside in a side
//! lane of its own, which is its cursor. Or one of them is enough (`failover`): the first that takes data.
//!
//! **Fresh first.** What has piled up is put aside in the log itself, and some workers send it at a pace.
//!
//! **When to take.** A caught-up worker that took every commit as it comes would send a thousand small requests a second.
//! So there is one taker at a time, and while something small is under way it waits for that to return and for
//! [`Settings::gather`] to pass, unless a full window is there. What comes after a pause in the traffic goes at once: no
//! timer delays an idle gateway, and packages grow with the load.

mod aim;
mod bury;
mod deliver;
mod lane;
mod pieces;
mod settle;
mod side;
mod target;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::carrier::Carrier;
use super::concurrency::LIMIT_MAX;
use super::dead::DeadLetters;
use super::env::Env;
use super::failover::Failover;
use super::pace::Pace;
use super::race::{Either, race};
use super::source::{Backlog, Source};
use crate::point::Category;
use crate::rt::sync::Notify;
use crate::sink::Refusal;
use lane::Lane;
use target::TargetState;

/// How workers behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Windows in flight per category where traffic is heavy.
    pub workers: usize,
    /// The same for the quiet categories.
    pub workers_quiet: usize,
    /// For profiles; none: as a quiet category.
    pub workers_of_profiles: Option<usize>,
    /// After so many answers without taking it a profile is a dead letter; none: never.
    pub answers_max_of_profiles: Option<u32>,
    /// Backoff of one package.
    pub retry_min: Duration,
    pub retry_max: Duration,
    /// Pause of the whole destination after 429 and 408 that do not say how long.
    pub pause_min: Duration,
    pub pause_max: Duration,
    /// Pause of a category after 401 and 403: an operator has to act.
    pub lane_pause_min: Duration,
    pub lane_pause_max: Duration,
    /// Least time between two takes that are not full.
    pub gather: Duration,
    /// Raw bytes of a full window: the source's own limit.
    pub window_raw_bytes: u64,
    /// Requests in flight to one target, of all categories together; fewer where it does not take so many.
    pub in_flight_max: usize,
    /// Stored bytes of a category that wait for longer than its workers can hide: put aside, so that fresh data goes
    /// first.
    pub defer_bytes: u64,
    /// How fast that is sent.
    pub backlog: Arc<Pace>,
    /// One target is enough: the first that takes data.
    pub failover: bool,
}

/// What a category may have waiting before it is put aside: a few seconds of a busy gateway, which the workers catch up
/// with by themselves.
const DEFER_BYTES: u64 = 64 << 20;

/// One worker in so many is for what lies aside.
const BACKLOG_SHARE: usize = 4;

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            workers: 4,
            workers_quiet: 2,
            workers_of_profiles: None,
            answers_max_of_profiles: None,
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(30),
            pause_min: Duration::from_secs(1),
            pause_max: Duration::from_secs(60),
            lane_pause_min: Duration::from_secs(5),
            lane_pause_max: Duration::from_secs(60),
            gather: Duration::from_millis(20),
            window_raw_bytes: 1 << 20,
            in_flight_max: LIMIT_MAX,
            defer_bytes: DEFER_BYTES,
            backlog: Arc::default(),
            failover: false,
        }
    }
}

impl Settings {
    /// How often a destination may answer without taking a package before that is given up.
    fn answers_max(&self, category: Category) -> Option<u32> {
        self.answers_max_of_profiles.filter(|_| category == Category::Profiling)
    }

    fn workers_of(&self, category: Category) -> usize {
        if let (Category::Profiling, Some(workers)) = (category, self.workers_of_profiles) {
            return workers.max(1);
        }
        let busy = matches!(
            category,
            Category::Metric | Category::Network | Category::Logging | Category::Tracing | Category::Rum
        );
        if busy { self.workers.max(1) } else { self.workers_quiet.clamp(1, self.workers.max(1)) }
    }
}

/// Who keeps the books. Called on the shard, once per event, never per point.
pub trait Ledger: 'static {
    /// One request came to an end.
    fn attempt(&self, _category: Category, _status: Option<u16>, _body_bytes: u64, _took: Duration) {}

    /// A package is sent once more.
    fn retried(&self, _category: Category) {}

    /// The destination has these points.
    fn delivered(&self, category: Category, points: u64);

    /// These points are in the dead-letter file.
    fn dead(&self, category: Category, refusal: Refusal, points: u64);

    /// These points are in a side lane now. What they become there is told by the other calls.
    fn parked(&self, _category: Category, _points: u64) {}

    /// How a target stands, whenever that may have changed.
    fn target(&self, _target: usize, _standing: Standing) {}

    /// What lies aside, and how long it will take; no time if nothing moves.
    fn backlog(&self, _category: Category, _backlog: Backlog, _eta: Option<Duration>) {}
}

/// How a target stands, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its breaker is open.
    pub is_down: bool,
    /// How often it has opened.
    pub opened: u64,
    /// Requests it may have in flight, and those that are.
    pub limit: usize,
    pub in_flight: usize,
    /// Tokens that came with points and that it refuses.
    pub tokens_refused: usize,
}

/// What became of the points of a window or of a package in a side lane.
#[derive(Clone, Debug, Default)]
struct Moved {
    delivered: u64,
    dead: Vec<(Refusal, u64)>,
    parked: u64,
    /// Something of it waits in a side lane, be it of no account.
    is_parked: bool,
}

impl Moved {
    fn tell<L: Ledger + ?Sized>(&self, category: Category, ledger: &L) {
        for (refusal, points) in &self.dead {
            ledger.dead(category, *refusal, *points);
        }
        if self.delivered > 0 {
            ledger.delivered(category, self.delivered);
        }
        if self.parked > 0 {
            ledger.parked(category, self.parked);
        }
    }
}

/// A task that serves a category.
pub type Work = Pin<Box<dyn Future<Output = ()>>>;

/// What all workers of a shard share.
pub struct Uploads<C, E> {
    carrier: C,
    env: E,
    settings: Settings,
    targets: Vec<TargetState>,
    /// The targets in names of side lanes.
    keys: Vec<String>,
    /// Where one target is enough and there are several.
    failover: Option<RefCell<Failover>>,
    dead: DeadLetters,
    control: Control,
    seeds: Cell<u64>,
}

#[derive(Default)]
struct Control {
    stopping: Cell<bool>,
    killed: Cell<bool>,
    workers: Cell<usize>,
    abandoned: Cell<usize>,
    changed: Notify,
}

impl Control {
    async fn until(&self, flag: &Cell<bool>) {
        loop {
            let changed = self.changed.notified();
            if flag.get() {
                return;
            }
            changed.await;
        }
    }

    /// The output of `future`, or none when the workers are told to stop first.
    async fn unless_stopping<F: Future>(&self, future: F) -> Option<F::Output> {
        match race(self.until(&self.stopping), future).await {
            Either::First(()) => None,
            Either::Second(output) => Some(output),
        }
    }
}

/// What a stop left undone. Nothing of it is lost: it is spooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Windows that were in flight and are sent again at the next start.
    pub windows_abandoned: usize,
}

impl<C: Carrier, E: Env> Uploads<C, E> {
    /// `seed` is any number that differs between shards and runs.
    pub fn new(carrier: C, env: E, settings: Settings, dead: DeadLetters, seed: u64) -> Rc<Uploads<C, E>> {
        let shown: Vec<String> = (0..carrier.targets()).map(|target| carrier.shown(target)).collect();
        let keys = aim::keys(&shown);
        let target = |(index, shown)| TargetState::new(shown, &settings, seed ^ index as u64);
        let targets: Vec<TargetState> = shown.into_iter().enumerate().map(target).collect();
        let is_failover = settings.failover && targets.len() > 1;
        let failover = is_failover.then(|| RefCell::new(Failover::new(targets.len())));
        let (control, seeds) = (Control::default(), Cell::new(seed));
        Rc::new(Uploads { carrier, env, settings, targets, keys, failover, dead, control, seeds })
    }

    /// The tasks that serve one category; the caller runs them. They end when the source is closed or at a stop.
    pub fn workers<S: Source, L: Ledger + ?Sized>(self: &Rc<Self>, source: S, ledger: Rc<L>) -> Vec<Work> {
        let category = source.category();
        let fresh = self.settings.workers_of(category);
        let aside = fresh.div_ceil(BACKLOG_SHARE);
        let lane = Lane::new(Rc::clone(self), source, ledger, fresh + aside);
        let mut tasks: Vec<Work> = Vec::new();
        for _ in 0..fresh {
            tasks.push(Box::pin(Rc::clone(&lane).work()));
        }
        for _ in 0..aside {
            tasks.push(Box::pin(Rc::clone(&lane).work_backlog()));
        }
        tasks.push(Box::pin(lane.keep_sides()));
        tasks
    }

    /// Takes no new window, breaks off every wait, lets requests in flight end within `budget`, then breaks those off
    /// too.
    pub async fn stop(&self, budget: Duration) -> Stopped {
        let control = &self.control;
        control.stopping.set(true);
        control.changed.notify_all();
        race(self.workers_ended(), self.env.sleep(budget)).await;
        control.killed.set(true);
        control.changed.notify_all();
        self.workers_ended().await;
        Stopped { windows_abandoned: control.abandoned.get() }
    }

    async fn workers_ended(&self) {
        loop {
            let changed = self.control.changed.notified();
            if self.control.workers.get() == 0 {
                return;
            }
            changed.await;
        }
    }

    fn seed(&self) -> u64 {
        let seed = self.seeds.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.seeds.set(seed);
        seed
    }
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod scenario_tests;
#[cfg(test)]
mod tests;
