//! One package to one destination, until that has said what becomes of it or the package is better set aside.
//!
//!     pass the gates, take a place ──▶ attempt ──▶ a verdict
//!          ▲                              │ none
//!          └─── wait, twice as long ──────┤
//!                                         └──▶ set aside: it fails alone, its token is refused, or everybody else has it

use std::time::{Duration, Instant};

use super::lane::Lane;
use super::target::TargetState;
use super::{Ledger, aim::Aim};
use crate::rt::sync::Notify;
use crate::sink::{Outcome, Parcel, Refusal};
use crate::upload::batcher::Package;
use crate::upload::body::Prepared;
use crate::upload::carrier::Carrier;
use crate::upload::concurrency::Ended;
use crate::upload::dead::{History, Tried};
use crate::upload::env::Env;
use crate::upload::failover::Choice;
use crate::upload::race::{Either, race};
use crate::upload::retry::Backoff;
use crate::upload::source::Source;
use crate::upload::tokens::TokenKey;

/// After a failure a package waits at least this long (or its whole backoff, if that is shorter), even when the
/// destination has meanwhile taken something else.
const RECOVERY_WAIT_MIN: Duration = Duration::from_secs(1);

/// A package that failed this often, while [`PARK_OTHERS`] others were taken, is set aside: by then it has waited half a
/// minute, which most hiccups do not last.
const PARK_TRIES: u32 = 6;

/// See [`PARK_TRIES`]: one other that was taken may be chance.
const PARK_OTHERS: u64 = 3;

/// In a side lane: tries before it goes back to the end of its lane, if others were taken meanwhile.
const SIDE_TRIES: u32 = 2;

/// A destination that answers with 5xx, and only that, for this long is shown other packages.
const SCOUT_AFTER: Duration = Duration::from_secs(15);

/// Tries of a package that is set aside for that.
const SCOUT_TRIES: u32 = 3;

/// With several destinations for everything: one that is behind the others, or down, for this long gets the package from
/// a side lane later.
pub(super) const LAG_MAX: Duration = Duration::from_secs(10);

/// How often a waiting package looks whether another destination has become the right one.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What a destination finally said about a package, or what is done without that.
pub(super) enum Verdict {
    Delivered,
    TooLarge { status: Option<u16>, text: String },
    Refused { refusal: Refusal, status: Option<u16>, text: String },
    Park(Cause),
}

/// Why a package is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It fails while others pass.
    Failing,
    /// The token that came with it is refused.
    Token,
    /// The other destinations have it.
    Lagging,
}

/// What a package is sent for.
pub(super) struct Errand<'a> {
    pub aim: Aim,
    /// From a side lane: there is nothing to hold up.
    pub is_side: bool,
    /// The same package on its way to other destinations.
    pub siblings: Option<&'a Siblings>,
}

/// One package on its way to several destinations.
pub(super) struct Siblings {
    since: Instant,
    delivered: std::cell::Cell<bool>,
    changed: Notify,
}

/// Why a wait is left.
enum Left {
    Moved,
    Park(Cause),
}

impl Siblings {
    pub fn new(since: Instant) -> Siblings {
        Siblings { since, delivered: std::cell::Cell::new(false), changed: Notify::new() }
    }

    /// One destination has it.
    pub fn delivered(&self) {
        self.delivered.set(true);
        self.changed.notify_all();
    }

    async fn until_delivered(&self) {
        loop {
            let changed = self.changed.notified();
            if self.delivered.get() {
                return;
            }
            changed.await;
        }
    }
}

impl<C: Carrier, E: Env, S: Source, L: Ledger + ?Sized> Lane<C, E, S, L> {
    /// Sends a package until something comes of it, and says which target said so. None when it was broken off.
    pub(super) async fn deliver(
        &self,
        errand: &Errand<'_>,
        package: &Package,
        prepared: &Prepared,
        history: &mut History,
    ) -> Option<(usize, Verdict)> {
        loop {
            let choice = self.uploads.choose(errand.aim);
            if let Some(verdict) = self.deliver_to(choice, errand, package, prepared, history).await? {
                return Some((choice.target, verdict));
            }
        }
    }

    /// The same for one target; no verdict when another one is to be tried.
    async fn deliver_to(
        &self,
        choice: Choice,
        errand: &Errand<'_>,
        package: &Package,
        prepared: &Prepared,
        history: &mut History,
    ) -> Option<Option<Verdict>> {
        let uploads = &*self.uploads;
        let (env, control) = (&uploads.env, &uploads.control);
        let (state, lane_gate) = (uploads.targets.get(choice.target)?, self.gates.get(choice.target)?);
        let parcel = self.parcel(package, prepared.points)?;
        let token = parcel.route.token.as_ref().map(TokenKey::of);
        let mut backoff =
            Backoff::new(uploads.settings.retry_min, uploads.settings.retry_max, uploads.seed());
        let taken_before = state.taken.get();
        let (mut tries, mut only_5xx) = (0, true);
        let answers_max = uploads.settings.answers_max(self.category);
        loop {
            let token_rests = token.and_then(|key| state.tokens.borrow().rests(key, env.now()));
            if let Some(rests) = token_rests {
                if !errand.is_side {
                    return Some(Some(Verdict::Park(Cause::Token)));
                }
                control.unless_stopping(env.sleep(rests)).await?;
                continue;
            }
            let pass = async {
                let lane_permit = lane_gate.pass(env).await;
                let slot = state.slots.take(|| state.limit()).await;
                (lane_permit, slot, state.gate.pass(env).await)
            };
            let passed = control.unless_stopping(race(pass, self.leave(choice, errand, state))).await?;
            let (lane_permit, slot, permit) = match passed {
                Either::First(passed) => passed,
                Either::Second(left) => return Some(left.into()),
            };
            let sent = env.now();
            self.show(choice.target, state);
            if tries > 0 || errand.is_side {
                self.ledger.retried(self.category);
            }
            let attempt = uploads.carrier.attempt(choice.target, &parcel, &prepared.body).await;
            let (now, status, text) = (env.now(), attempt.status, attempt.text);
            let body_bytes = prepared.body.bytes;
            let in_flight = state.slots.taken();
            let ended = Ended { lane: self.category.index(), sent, now, body_bytes, in_flight };
            history.add(Tried { ms: env.wall_ms(), status });
            self.ledger.attempt(self.category, status, body_bytes, now - sent);
            tries += 1;
            only_5xx &= status.is_some_and(|status| status >= 500);
            let verdict = match attempt.outcome {
                Outcome::Delivered => {
                    state.delivered(now);
                    Some(Verdict::Delivered)
                }
                Outcome::Dead(refusal) => Some(Verdict::Refused { refusal, status, text }),
                Outcome::Split => Some(Verdict::TooLarge { status, text }),
                Outcome::Retry => {
                    state.log_failure(now, self.category, &package.id, status, &text);
                    state.failed(ended, status, permit);
                    if status.is_some() {
                        lane_permit.passed();
                    }
                    drop(slot);
                    self.failed(choice.target, state);
                    if answers_max.is_some_and(|most| history.answers() >= most) {
                        let refusal = Refusal::TriedEnough;
                        return Some(Some(Verdict::Refused { refusal, status, text }));
                    }
                    if choice.is_probe {
                        return Some(None);
                    }
                    if self.sets_aside(state, errand, tries, state.taken.get() - taken_before, only_5xx) {
                        return Some(Some(Verdict::Park(Cause::Failing)));
                    }
                    let recovered = state.recovered.notified();
                    let wait = backoff.next_wait();
                    let early = async {
                        env.sleep(wait.min(RECOVERY_WAIT_MIN)).await;
                        recovered.await;
                    };
                    let waits = race(env.sleep(wait), early);
                    let left = self.leave(choice, errand, state);
                    match control.unless_stopping(race(waits, left)).await? {
                        Either::First(_) => continue,
                        Either::Second(left) => return Some(left.into()),
                    }
                }
                Outcome::PauseDestination(after) => {
                    state.log_failure(now, self.category, &package.id, status, &text);
                    state.paused(ended, after, status, permit);
                    drop(slot);
                    self.failed(choice.target, state);
                    if choice.is_probe {
                        return Some(None);
                    }
                    continue;
                }
                Outcome::PauseLane(after) => {
                    state.log_failure(now, self.category, &package.id, status, &text);
                    permit.passed();
                    lane_permit.pause(now, after);
                    drop(slot);
                    self.show(choice.target, state);
                    continue;
                }
                Outcome::PauseToken(after) => {
                    permit.passed();
                    lane_permit.passed();
                    state.answered(ended);
                    if let Some(key) = token {
                        state.tokens.borrow_mut().refuse(key, now, after);
                    }
                    state.log_token(now, self.category, &package.id, status, &text);
                    drop(slot);
                    self.show(choice.target, state);
                    return Some(Some(Verdict::Park(Cause::Token)));
                }
            };
            if let (Some(key), Some(Verdict::Delivered)) = (token, &verdict) {
                state.tokens.borrow_mut().accept(key);
            }
            permit.passed();
            lane_permit.passed();
            state.answered(ended);
            uploads.answered(choice.target);
            drop(slot);
            self.show(choice.target, state);
            return Some(verdict);
        }
    }

    fn failed(&self, target: usize, state: &TargetState) {
        self.uploads.failed(target);
        self.show(target, state);
    }

    /// Tells the ledger how the target stands.
    fn show(&self, target: usize, state: &TargetState) {
        let breaker = state.breaker.borrow();
        self.ledger.target(
            target,
            super::Standing {
                is_down: breaker.down_since().is_some(),
                opened: breaker.opened(),
                limit: state.limit(),
                in_flight: state.slots.taken(),
                tokens_refused: state.tokens.borrow().refused(),
            },
        );
    }

    /// Whether a package that has failed once more had better go out of the way.
    fn sets_aside(
        &self,
        state: &TargetState,
        errand: &Errand<'_>,
        tries: u32,
        others: u64,
        only_5xx: bool,
    ) -> bool {
        if errand.is_side {
            return tries >= SIDE_TRIES && others > 0;
        }
        if tries >= PARK_TRIES && others >= PARK_OTHERS {
            return true;
        }
        let now = self.uploads.env.now();
        let is_down = state.down_since().is_some_and(|since| now - since >= SCOUT_AFTER);
        is_down && only_5xx && tries >= SCOUT_TRIES && state.take_scout()
    }

    /// Resolves when there is no point in waiting for this target any longer.
    async fn leave(&self, choice: Choice, errand: &Errand<'_>, state: &TargetState) -> Left {
        let (uploads, env) = (&*self.uploads, &self.uploads.env);
        match (errand.aim, errand.siblings) {
            (Aim::Any, _) if choice.is_probe => Left::Moved,
            (Aim::Any, _) => loop {
                if uploads.active() != choice.target {
                    return Left::Moved;
                }
                env.sleep(LOOK_INTERVAL).await;
            },
            (Aim::One(_), Some(siblings)) => {
                siblings.until_delivered().await;
                let down_since = state.down_since().unwrap_or(siblings.since).min(siblings.since);
                let until = down_since + LAG_MAX;
                env.sleep(until.saturating_duration_since(env.now())).await;
                Left::Park(Cause::Lagging)
            }
            (Aim::One(_), None) => std::future::pending().await,
        }
    }

    /// What the sink is told about a package.
    pub(super) fn parcel<'a>(&self, package: &'a Package, points: u64) -> Option<Parcel<'a>> {
        let route = package.route.as_ref()?;
        let (package_id, received_ms) = (&*package.id, package.received_ms());
        Some(Parcel { category: self.category, route, package_id, points, received_ms, raw: package.raw() })
    }
}

impl From<Left> for Option<Verdict> {
    fn from(left: Left) -> Option<Verdict> {
        match left {
            Left::Moved => None,
            Left::Park(cause) => Some(Verdict::Park(cause)),
        }
    }
}
