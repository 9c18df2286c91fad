//! What the workers of all categories know about one target.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::Settings;
use crate::point::Category;
use crate::rt::sync::Notify;
use crate::upload::breaker::Breaker;
use crate::upload::concurrency::{Concurrency, Ended};
use crate::upload::gate::{Gate, Permit};
use crate::upload::slots::Slots;
use crate::upload::tokens::Tokens;

/// A state that lasts is logged once in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Packages that may be set aside one after the other although nothing passes: with all workers at packages that fail,
/// nobody could find out that others would pass. As many as find out, and few enough for a whole outage.
const SCOUTS_MAX: u32 = 8;

/// One target of the destination.
pub(super) struct TargetState {
    pub shown: String,
    pub gate: Gate,
    pub slots: Slots,
    pub breaker: RefCell<Breaker>,
    pub concurrency: RefCell<Concurrency>,
    pub tokens: RefCell<Tokens>,
    /// Packages it has taken, ever: whoever fails meanwhile fails alone.
    pub taken: Cell<u64>,
    scouts: Cell<u32>,
    trouble: RefCell<Option<Trouble>>,
    tokens_logged: Cell<Option<Instant>>,
    /// It answers after a failure.
    pub recovered: Notify,
}

/// A target that does not take data.
struct Trouble {
    since: Instant,
    logged: Instant,
    failures: u64,
}

impl TargetState {
    pub fn new(shown: String, settings: &Settings, seed: u64) -> TargetState {
        TargetState {
            shown,
            gate: Gate::new(settings.pause_min, settings.pause_max, seed),
            slots: Slots::default(),
            breaker: RefCell::new(Breaker::new(settings.retry_min, settings.retry_max, seed)),
            concurrency: RefCell::new(Concurrency::new(settings.in_flight_max)),
            tokens: RefCell::new(Tokens::new(settings.lane_pause_min, settings.lane_pause_max)),
            taken: Cell::new(0),
            scouts: Cell::new(SCOUTS_MAX),
            trouble: RefCell::default(),
            tokens_logged: Cell::new(None),
            recovered: Notify::new(),
        }
    }

    /// Requests that may be in flight now.
    pub fn limit(&self) -> usize {
        self.concurrency.borrow().limit()
    }

    /// Since when it has been down.
    pub fn down_since(&self) -> Option<Instant> {
        self.breaker.borrow().down_since()
    }

    /// Takes one of the rights to set a package aside without having seen another one pass.
    pub fn take_scout(&self) -> bool {
        let left = self.scouts.get();
        self.scouts.set(left.saturating_sub(1));
        left > 0
    }

    /// A request that went through to an answer which is not about the load.
    pub fn answered(&self, ended: Ended) {
        self.concurrency.borrow_mut().answered(ended);
        self.slots.look();
        if self.breaker.borrow_mut().answered() {
            self.recovered.notify_all();
        }
    }

    /// A try that did not end in a verdict: whoever holds `permit` may be told to rest.
    pub fn failed(&self, ended: Ended, status: Option<u16>, permit: Permit<'_>) {
        let rest = self.breaker.borrow_mut().failed(ended.now, permit.is_probe());
        if is_strain(status) {
            self.concurrency.borrow_mut().strained(ended);
        }
        match rest {
            Some(rest) => {
                permit.pause(ended.now, Some(rest));
            }
            // An answer, if not one that helps: what is wrong may be this package.
            None if status.is_some() => permit.passed(),
            None => drop(permit),
        }
    }

    /// It wants a pause.
    pub fn paused(&self, ended: Ended, after: Option<Duration>, status: Option<u16>, permit: Permit<'_>) {
        if status.is_some_and(|status| status >= 500) {
            self.breaker.borrow_mut().failed(ended.now, permit.is_probe());
        }
        self.concurrency.borrow_mut().strained(ended);
        permit.pause(ended.now, after);
    }

    /// Logs a try that did not end in a verdict: when trouble begins, and then now and again.
    pub fn log_failure(
        &self,
        now: Instant,
        category: Category,
        package: &str,
        status: Option<u16>,
        text: &str,
    ) {
        let mut trouble = self.trouble.borrow_mut();
        let is_new = trouble.is_none();
        let trouble = trouble.get_or_insert(Trouble { since: now, logged: now, failures: 0 });
        trouble.failures += 1;
        if !is_new && now - trouble.logged < LOG_INTERVAL {
            return;
        }
        trouble.logged = now;
        let for_s = (now - trouble.since).as_secs();
        let (destination, category, failures) = (&self.shown, category.name(), trouble.failures);
        if matches!(status, Some(401 | 403)) {
            tracing::error!(
                destination,
                category,
                package,
                status,
                text,
                failures,
                for_s,
                "the destination refuses the token; the data is kept, someone has to act"
            );
        } else {
            tracing::warn!(
                destination,
                category,
                package,
                status,
                text,
                failures,
                for_s,
                "the destination does not take data; it is kept and tried again"
            );
        }
    }

    /// Logs that a token that came with points is refused.
    pub fn log_token(
        &self,
        now: Instant,
        category: Category,
        package: &str,
        status: Option<u16>,
        text: &str,
    ) {
        if self.tokens_logged.get().is_some_and(|logged| now - logged < LOG_INTERVAL) {
            return;
        }
        self.tokens_logged.set(Some(now));
        let (destination, category) = (&self.shown, category.name());
        let refused_tokens = self.tokens.borrow().refused();
        tracing::error!(
            destination,
            category,
            package,
            status,
            text,
            refused_tokens,
            "the destination refuses a token that came with points; they wait in a side lane, others go on"
        );
    }

    /// The target has taken something.
    pub fn delivered(&self, now: Instant) {
        self.taken.set(self.taken.get() + 1);
        self.scouts.set(SCOUTS_MAX);
        if let Some(trouble) = self.trouble.borrow_mut().take() {
            let for_s = (now - trouble.since).as_secs();
            tracing::info!(
                destination = self.shown,
                failures = trouble.failures,
                for_s,
                "the destination takes data"
            );
            self.recovered.notify_all();
        }
    }
}

/// Whether a failure may come of too much load: no answer, or one that says that the target is not well. A redirect
/// says neither.
fn is_strain(status: Option<u16>) -> bool {
    status.is_none_or(|status| status >= 500)
}
