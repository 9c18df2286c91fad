//! A pause that everyone who sends to one place shares.
//!
//!     Open ──pause──▶ Resting ──time passes──▶ Probing ──an answer that is no pause──▶ Open
//!                        ▲                        │
//!                        └────────pause───────────┘
//!
//! After the rest exactly one goes ahead to see; the others wait for what it finds, so that a destination that comes
//! back is not met by everyone at once. A probe that ends without a verdict (its worker was stopped, or the connection
//! failed, which the worker's own backoff deals with) hands the role to the next.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::env::Env;
use super::race::race;
use super::retry::Backoff;
use crate::rt::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Resting(Instant),
    Probing(Instant),
}

/// One gate: of a destination for all categories, or of one category.
pub struct Gate {
    state: Cell<State>,
    rest: RefCell<Backoff>,
    changed: Notify,
}

/// The right to send one request. Dropped without a verdict it leaves the gate to the next.
pub struct Permit<'a> {
    gate: &'a Gate,
    probe: bool,
}

impl Gate {
    /// A gate whose pauses, where the destination does not say how long, begin with `rest_min` and double.
    pub fn new(rest_min: Duration, rest_max: Duration, seed: u64) -> Gate {
        Gate {
            state: Cell::new(State::Open),
            rest: RefCell::new(Backoff::new(rest_min, rest_max, seed)),
            changed: Notify::new(),
        }
    }

    pub fn is_open(&self) -> bool {
        self.state.get() == State::Open
    }

    /// Waits until a request may go.
    pub async fn pass<E: Env>(&self, env: &E) -> Permit<'_> {
        loop {
            let changed = self.changed.notified();
            match self.state.get() {
                State::Open => return Permit { gate: self, probe: false },
                State::Resting(until) => {
                    let now = env.now();
                    if now >= until {
                        self.state.set(State::Probing(until));
                        return Permit { gate: self, probe: true };
                    }
                    race(changed, env.sleep(until - now)).await;
                }
                State::Probing(_) => changed.await,
            }
        }
    }
}

impl Permit<'_> {
    /// Whether this is the one request that may go after a rest.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// The destination wants a pause: `after`, or the gate's own idea. Gives how long it is. Several who are told so
    /// at once lengthen one pause, they do not add up.
    pub fn pause(mut self, now: Instant, after: Option<Duration>) -> Duration {
        let gate = self.gate;
        let resting_until = match gate.state.get() {
            State::Resting(until) => Some(until),
            State::Open | State::Probing(_) => None,
        };
        let own = || match resting_until {
            Some(until) => until.saturating_duration_since(now),
            None => gate.rest.borrow_mut().next_wait(),
        };
        let wait = after.unwrap_or_else(own);
        let until = now + wait;
        gate.state.set(State::Resting(resting_until.map_or(until, |before| before.max(until))));
        self.probe = false;
        gate.changed.notify_all();
        wait
    }

    /// The destination takes requests. Only the probe's word opens a gate: an answer to what was sent before the
    /// pause says nothing about now.
    pub fn passed(mut self) {
        if std::mem::take(&mut self.probe) && matches!(self.gate.state.get(), State::Probing(_)) {
            self.gate.rest.borrow_mut().reset();
            self.gate.state.set(State::Open);
            self.gate.changed.notify_all();
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.probe
            && let State::Probing(until) = self.gate.state.get()
        {
            self.gate.state.set(State::Resting(until));
            self.gate.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::testing::Sim;
    use std::rc::Rc;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn after_a_pause_one_probes_and_the_rest_follow_its_success() {
        let sim = Sim::new();
        let gate = Rc::new(Gate::new(S, 60 * S, 1));
        let log = Rc::new(RefCell::new(Vec::new()));
        sim.run(async {
            gate.pass(&sim).await.pause(sim.now(), Some(10 * S));
        });
        for worker in 0..3 {
            let (gate, log, env) = (Rc::clone(&gate), Rc::clone(&log), sim.clone());
            sim.spawn(async move {
                let permit = gate.pass(&env).await;
                log.borrow_mut().push((worker, env.elapsed()));
                env.sleep(2 * S).await;
                permit.passed();
            });
        }
        sim.run_to_end();
        assert_eq!(*log.borrow(), [(0, 10 * S), (1, 12 * S), (2, 12 * S)]);
        assert!(gate.is_open());
    }

    #[test]
    fn a_probe_that_gives_up_hands_over_and_one_that_is_refused_rests_longer() {
        let sim = Sim::new();
        let gate = Rc::new(Gate::new(4 * S, 60 * S, 1));
        let first = sim.run(async { gate.pass(&sim).await.pause(sim.now(), None) });
        assert!(first >= 2 * S && first <= 4 * S);
        sim.run(async {
            drop(gate.pass(&sim).await);
            assert_eq!(sim.elapsed(), first, "the next probes at once");
            let second = gate.pass(&sim).await.pause(sim.now(), None);
            assert!(second >= 4 * S && second <= 8 * S);
            gate.pass(&sim).await.passed();
            assert_eq!(sim.elapsed(), first + second);
            assert!(gate.is_open());
            let again = gate.pass(&sim).await.pause(sim.now(), None);
            assert!(again <= 4 * S, "a success starts the pauses afresh");
        });
    }

    #[test]
    fn pauses_told_at_once_do_not_add_up_and_late_successes_do_not_open() {
        let sim = Sim::new();
        let gate = Gate::new(S, 60 * S, 1);
        sim.run(async {
            let (one, two, three) = (gate.pass(&sim).await, gate.pass(&sim).await, gate.pass(&sim).await);
            one.pause(sim.now(), Some(10 * S));
            two.pause(sim.now(), None);
            three.passed();
            assert!(!gate.is_open());
            gate.pass(&sim).await.passed();
            assert_eq!(sim.elapsed(), 10 * S);
        });
    }
}
