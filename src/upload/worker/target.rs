//! What the workers of all categories know about one target.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::point::Category;
use crate::rt::sync::Notify;
use crate::upload::gate::Gate;

/// A state that lasts is logged once in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// One target of the destination.
pub(super) struct TargetState {
    pub shown: String,
    pub gate: Gate,
    trouble: RefCell<Option<Trouble>>,
    /// Something was delivered after a failure.
    pub recovered: Notify,
}

/// A target that does not take data.
struct Trouble {
    since: Instant,
    logged: Instant,
    failures: u64,
}

impl TargetState {
    pub fn new(shown: String, gate: Gate) -> TargetState {
        TargetState { shown, gate, trouble: RefCell::default(), recovered: Notify::new() }
    }

    /// A try that did not end in a verdict. Logged when trouble begins, and then now and again.
    pub fn failed(&self, now: Instant, category: Category, package: &str, status: Option<u16>, text: &str) {
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

    /// The target has taken something.
    pub fn delivered(&self, now: Instant) {
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
