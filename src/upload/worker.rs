//! The workers of one category: take a window, make packages, send them, act on the answers, complete the window.
//!
//!     take ──▶ prepare ──▶ pass the gates ──▶ attempt ──▶ delivered ─────────────▶ ┐
//!                 ▲               ▲              │  │ └──▶ dead ──▶ dead-letter file ▶ complete the window
//!                 │ halves        │ wait         │  │
//!                 └──── too large ┼──────────────┘  │
//!                                 └──── retry, pause┘
//!
//! A window is completed when every point in it is delivered or in the dead-letter file, synced. Until then its frames
//! stay in the spool, whatever happens here. A worker keeps to its window until it is through; as many windows are in
//! flight as there are workers, so one bad package does not hold up the others.
//!
//! **When to take.** A caught-up worker that took every commit as it comes would send a thousand small requests a second.
//! So there is one taker at a time, and while something small is under way it waits for that to return and for
//! [`Settings::gather`] to pass, unless a full window is there. What comes after a pause in the traffic goes at once: no
//! timer delays an idle gateway, and packages grow with the load.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::batcher::{self, Package};
use super::body::Prepared;
use super::carrier::Carrier;
use super::dead::{DeadLetter, DeadLetters, Note, codec_name};
use super::env::Env;
use super::gate::Gate;
use super::race::{Either, join_all, race};
use super::retry::Backoff;
use super::source::{Frame, Source, Window};
use crate::point::Category;
use crate::rt::sync::Notify;
use crate::sink::{Outcome, Parcel, Refusal};

/// Packages of one window that are sent at the same time. A window has as many as it has routes.
const PACKAGES_AT_ONCE: usize = 4;

/// How often the taker looks whether a window has become full while it gathers.
const GATHER_STEP: Duration = Duration::from_millis(5);

/// A small request that does not return holds up the next small one for at most this many times [`Settings::gather`].
const GATHERS_MAX: u32 = 20;

/// After a failure a package waits at least this long (or its whole backoff, if that is shorter), even when the
/// destination has meanwhile taken something else.
const RECOVERY_WAIT_MIN: Duration = Duration::from_secs(1);

/// A state that lasts is logged once in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// How workers behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Windows in flight per category where traffic is heavy.
    pub workers: usize,
    /// The same for the quiet categories.
    pub workers_quiet: usize,
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
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            workers: 4,
            workers_quiet: 2,
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(30),
            pause_min: Duration::from_secs(1),
            pause_max: Duration::from_secs(60),
            lane_pause_min: Duration::from_secs(5),
            lane_pause_max: Duration::from_secs(60),
            gather: Duration::from_millis(20),
            window_raw_bytes: 1 << 20,
        }
    }
}

impl Settings {
    fn workers_of(&self, category: Category) -> usize {
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

    /// The destination has these points.
    fn delivered(&self, category: Category, points: u64);

    /// These points are in the dead-letter file.
    fn dead(&self, category: Category, refusal: Refusal, points: u64);
}

/// What all workers of a shard share.
pub struct Uploads<C, E> {
    carrier: C,
    env: E,
    settings: Settings,
    targets: Vec<TargetState>,
    dead: DeadLetters,
    control: Control,
    seeds: Cell<u64>,
}

struct TargetState {
    shown: String,
    gate: Gate,
    trouble: RefCell<Option<Trouble>>,
    /// Something was delivered after a failure.
    recovered: Notify,
}

/// A target that does not take data.
struct Trouble {
    since: Instant,
    logged: Instant,
    failures: u64,
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
        let targets = (0..carrier.targets())
            .map(|target| TargetState {
                shown: carrier.shown(target),
                gate: Gate::new(settings.pause_min, settings.pause_max, seed ^ target as u64),
                trouble: RefCell::default(),
                recovered: Notify::new(),
            })
            .collect();
        let (control, seeds) = (Control::default(), Cell::new(seed));
        Rc::new(Uploads { carrier, env, settings, targets, dead, control, seeds })
    }

    /// The tasks that serve one category; the caller runs them. They end when the source is closed or at a stop.
    pub fn workers<S: Source, L: Ledger + ?Sized>(
        self: &Rc<Self>,
        source: S,
        ledger: Rc<L>,
    ) -> Vec<impl Future<Output = ()> + 'static + use<C, E, S, L>> {
        let category = source.category();
        let gates = (0..self.targets.len())
            .map(|_| Gate::new(self.settings.lane_pause_min, self.settings.lane_pause_max, self.seed()))
            .collect();
        let lane = Rc::new(Lane {
            uploads: Rc::clone(self),
            category,
            source,
            ledger,
            gates,
            taking: Cell::new(false),
            taken: Cell::new(None),
            small_in_flight: Cell::new(0),
            changed: Notify::new(),
        });
        let count = self.settings.workers_of(category);
        (0..count).map(|_| Rc::clone(&lane).work()).collect()
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

impl TargetState {
    fn failed(&self, now: Instant, category: Category, package: &str, status: Option<u16>, text: &str) {
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

    fn delivered(&self, now: Instant) {
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

struct Lane<C, E, S, L: ?Sized> {
    uploads: Rc<Uploads<C, E>>,
    category: Category,
    source: S,
    ledger: Rc<L>,
    /// One for each target.
    gates: Vec<Gate>,
    taking: Cell<bool>,
    /// When a window was last taken.
    taken: Cell<Option<Instant>>,
    small_in_flight: Cell<usize>,
    changed: Notify,
}

/// What a destination finally said about a package.
enum Verdict {
    Delivered,
    TooLarge { status: Option<u16>, text: String },
    Refused { refusal: Refusal, status: Option<u16>, text: String },
}

/// Why a frame is dead.
struct Death {
    frame: Frame,
    package: String,
    target: usize,
    refusal: Refusal,
    status: Option<u16>,
    text: String,
}

/// Dead frames by their sequence number: the first reason counts.
type Deaths = BTreeMap<u64, Death>;

/// Counts down when its scope is left, in whatever way.
struct Counted<'a> {
    count: &'a Cell<usize>,
    changed: &'a Notify,
}

impl<'a> Counted<'a> {
    fn new(count: &'a Cell<usize>, changed: &'a Notify) -> Counted<'a> {
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
    async fn work(self: Rc<Self>) {
        let control = &self.uploads.control;
        let _working = Counted::new(&control.workers, &control.changed);
        while let Some(Some(window)) = control.unless_stopping(self.take()).await {
            let through = match race(control.until(&control.killed), self.process(&window)).await {
                Either::First(()) => None,
                Either::Second(through) => through,
            };
            match through {
                Some(deaths) => self.complete(window, &deaths),
                None => {
                    control.abandoned.set(control.abandoned.get() + 1);
                    self.source.give_back(window);
                    return;
                }
            }
        }
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
        let window = self.source.next_window().await;
        self.taken.set(Some(env.now()));
        window
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

    /// Brings a window to its end, and says which of its frames are dead. None when it was broken off.
    async fn process(&self, window: &Window) -> Option<Deaths> {
        let raw_bytes: u64 = window.frames.iter().map(|frame| u64::from(frame.block.raw_bytes)).sum();
        let is_small = raw_bytes < self.uploads.settings.window_raw_bytes / 2;
        let _small = is_small.then(|| Counted::new(&self.small_in_flight, &self.changed));

        let packages = batcher::packages(window, &self.source);
        let sent = join_all(packages.iter().map(|package| self.settle(package)), PACKAGES_AT_ONCE).await;
        let mut deaths = Deaths::new();
        for part in sent {
            deaths.extend(part?);
        }
        if !deaths.is_empty() {
            self.bury(&deaths).await?;
        }
        Some(deaths)
    }

    fn complete(&self, window: Window, deaths: &Deaths) {
        let (mut points, mut dead_points) = (window.points, 0);
        for death in deaths.values() {
            let of_frame = u64::from(death.frame.block.points);
            self.ledger.dead(self.category, death.refusal, of_frame);
            dead_points += of_frame;
        }
        points = points.saturating_sub(dead_points);
        if points > 0 {
            self.ledger.delivered(self.category, points);
        }
        let dead: Vec<u64> = deaths.keys().copied().collect();
        self.source.complete(window, &dead);
    }

    /// Sends a package to every target. None when it was broken off.
    async fn settle(&self, package: &Package) -> Option<Deaths> {
        let targets = self.uploads.targets.len();
        if package.route.is_none() {
            let death = |frame: &Frame| {
                let text = "the route was stored by a newer version".to_owned();
                self.death(package, frame, 0, Refusal::Unreadable, None, text)
            };
            return Some(package.frames.iter().map(|frame| (frame.seq, death(frame))).collect());
        }
        let prepared = Rc::new(self.prepare(package).await?);
        let sends = (0..targets).map(|target| self.send(target, package, Rc::clone(&prepared)));
        let mut deaths = Deaths::new();
        for part in join_all(sends, targets).await {
            for (seq, death) in part? {
                deaths.entry(seq).or_insert(death);
            }
        }
        Some(deaths)
    }

    /// Sends a package to one target, in pieces if it must be.
    async fn send(&self, target: usize, package: &Package, prepared: Rc<Prepared>) -> Option<Deaths> {
        let mut deaths = Deaths::new();
        let mut pieces = vec![(package.clone(), Some(prepared))];
        while let Some((piece, prepared)) = pieces.pop() {
            let prepared = match prepared {
                Some(prepared) => prepared,
                None => Rc::new(self.prepare(&piece).await?),
            };
            for &position in &prepared.unreadable {
                if let Some(frame) = piece.frames.get(position) {
                    let text = "the block is not what its frame says".to_owned();
                    let death = self.death(&piece, frame, target, Refusal::Unreadable, None, text);
                    deaths.entry(frame.seq).or_insert(death);
                }
            }
            if prepared.unreadable.len() == piece.frames.len() {
                continue;
            }
            let (refusal, status, text) = match self.deliver(target, &piece, &prepared).await? {
                Verdict::Delivered => continue,
                Verdict::Refused { refusal, status, text } => (refusal, status, text),
                Verdict::TooLarge { status, text } => match piece.halves(&self.source) {
                    Some([left, right]) => {
                        pieces.push((right, None));
                        pieces.push((left, None));
                        continue;
                    }
                    None => (Refusal::TooLarge, status, text),
                },
            };
            for frame in &piece.frames {
                let death = self.death(&piece, frame, target, refusal, status, text.clone());
                deaths.entry(frame.seq).or_insert(death);
            }
        }
        Some(deaths)
    }

    /// One package to one target, until the target has said what becomes of it.
    async fn deliver(&self, target: usize, package: &Package, prepared: &Prepared) -> Option<Verdict> {
        let uploads = &*self.uploads;
        let (env, control) = (&uploads.env, &uploads.control);
        let (state, lane_gate) = (uploads.targets.get(target)?, self.gates.get(target)?);
        let parcel = parcel(self.category, package, prepared.points)?;
        let mut backoff =
            Backoff::new(uploads.settings.retry_min, uploads.settings.retry_max, uploads.seed());
        loop {
            let lane_permit = control.unless_stopping(lane_gate.pass(env)).await?;
            let permit = control.unless_stopping(state.gate.pass(env)).await?;
            let started = env.now();
            let attempt = uploads.carrier.attempt(target, &parcel, &prepared.body).await;
            let now = env.now();
            self.ledger.attempt(self.category, attempt.status, prepared.body.bytes, now - started);
            let (status, text) = (attempt.status, attempt.text);
            let verdict = match attempt.outcome {
                Outcome::Delivered => {
                    state.delivered(now);
                    Some(Verdict::Delivered)
                }
                Outcome::Dead(refusal) => Some(Verdict::Refused { refusal, status, text }),
                Outcome::Split => Some(Verdict::TooLarge { status, text }),
                Outcome::Retry => {
                    state.failed(now, self.category, &package.id, status, &text);
                    None
                }
                Outcome::PauseDestination(after) => {
                    state.failed(now, self.category, &package.id, status, &text);
                    permit.pause(now, after);
                    continue;
                }
                Outcome::PauseLane(after) => {
                    state.failed(now, self.category, &package.id, status, &text);
                    permit.passed();
                    lane_permit.pause(now, after);
                    continue;
                }
            };
            if status.is_some() || verdict.is_some() {
                permit.passed();
                lane_permit.passed();
            } else {
                drop((permit, lane_permit));
            }
            if verdict.is_some() {
                return verdict;
            }
            let recovered = state.recovered.notified();
            let wait = backoff.next_wait();
            let early = async {
                env.sleep(wait.min(RECOVERY_WAIT_MIN)).await;
                recovered.await;
            };
            control.unless_stopping(race(env.sleep(wait), early)).await?;
        }
    }

    /// The body of a package. Fails only for reasons that may pass, and is tried until they have.
    async fn prepare(&self, package: &Package) -> Option<Prepared> {
        let uploads = &*self.uploads;
        let parcel = parcel(self.category, package, package.points())?;
        let mut backoff =
            Backoff::new(uploads.settings.retry_min, uploads.settings.retry_max, uploads.seed());
        loop {
            let blocks = package.frames.iter().map(|frame| frame.block.clone()).collect();
            match uploads.carrier.prepare(&parcel, blocks).await {
                Ok(prepared) => return Some(prepared),
                Err(error) => {
                    tracing::error!(category = self.category.name(), package = package.id, %error, "cannot make a body");
                    uploads.control.unless_stopping(uploads.env.sleep(backoff.next_wait())).await?;
                }
            }
        }
    }

    /// Writes dead letters. While that is impossible the window waits: there is no other place for its points.
    async fn bury(&self, deaths: &Deaths) -> Option<()> {
        let uploads = &*self.uploads;
        let (category, now_ms) = (self.category, uploads.env.wall_ms());
        let letters: Rc<[DeadLetter]> = deaths.values().map(|death| self.letter(death, now_ms)).collect();
        let mut backoff =
            Backoff::new(uploads.settings.retry_min, uploads.settings.retry_max, uploads.seed());
        loop {
            let (dead, letters) = (uploads.dead.clone(), letters.to_vec());
            let written = uploads.env.blocking(move || dead.append(category, &letters, now_ms)).await;
            match written.and_then(|result| result) {
                Ok(()) => break,
                Err(error) => {
                    tracing::error!(
                        category = category.name(), frames = deaths.len(), %error,
                        "dead letters cannot be written; their window waits"
                    );
                    uploads.control.unless_stopping(uploads.env.sleep(backoff.next_wait())).await?;
                }
            }
        }
        let points: u64 = deaths.values().map(|death| u64::from(death.frame.block.points)).sum();
        if let Some(death) = deaths.values().next() {
            tracing::error!(
                category = category.name(),
                frames = deaths.len(),
                points,
                package = death.package,
                reason = death.refusal.name(),
                status = death.status,
                text = death.text,
                "the destination refuses data for ever; it is in the dead-letter file"
            );
        }
        Some(())
    }

    fn death(
        &self,
        package: &Package,
        frame: &Frame,
        target: usize,
        refusal: Refusal,
        status: Option<u16>,
        text: String,
    ) -> Death {
        Death { frame: frame.clone(), package: package.id.clone(), target, refusal, status, text }
    }

    fn letter(&self, death: &Death, now_ms: u64) -> DeadLetter {
        let block = &death.frame.block;
        let note = Note {
            package: death.package.clone(),
            seq: death.frame.seq,
            category: self.category.name().to_owned(),
            route: String::from_utf8_lossy(&block.route).into_owned(),
            codec: codec_name(block.codec).to_owned(),
            points: block.points,
            raw_bytes: block.raw_bytes,
            sealed_ms: block.sealed_ms,
            died_ms: now_ms,
            destination: self
                .uploads
                .targets
                .get(death.target)
                .map(|state| state.shown.clone())
                .unwrap_or_default(),
            reason: death.refusal.name().to_owned(),
            status: death.status,
            answer: death.text.clone(),
        };
        DeadLetter { note, data: block.payload.clone() }
    }
}

fn parcel(category: Category, package: &Package, points: u64) -> Option<Parcel<'_>> {
    let route = package.route.as_ref()?;
    Some(Parcel { category, route, package_id: &package.id, points, received_ms: package.received_ms() })
}

#[cfg(test)]
mod tests;
