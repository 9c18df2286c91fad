//! One category's way to its destination: what its workers share, and what each of them does.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Ledger, Uploads};
use crate::point::{Category, Route, RouteError};
use crate::rt::sync::Notify;
use crate::sink::{Outcome, Parcel, Refusal, redact_tokens};
use crate::upload::batcher::{self, Package};
use crate::upload::body::Prepared;
use crate::upload::carrier::Carrier;
use crate::upload::dead::{DeadLetter, KeptToken, Note, codec_name, kind_name};
use crate::upload::env::Env;
use crate::upload::gate::Gate;
use crate::upload::race::{Either, join_all, race};
use crate::upload::retry::Backoff;
use crate::upload::source::{Frame, Source, Window};

/// Packages of one window that are sent at the same time. A window has as many as it has routes.
const PACKAGES_AT_ONCE: usize = 4;

/// How often the taker looks whether a window has become full while it gathers.
const GATHER_STEP: Duration = Duration::from_millis(5);

/// A small request that does not return holds up the next small one for at most this many times [`Settings::gather`].
const GATHERS_MAX: u32 = 20;

/// After a failure a package waits at least this long (or its whole backoff, if that is shorter), even when the
/// destination has meanwhile taken something else.
const RECOVERY_WAIT_MIN: Duration = Duration::from_secs(1);

/// See the module. Shared by the category's workers.
pub(super) struct Lane<C, E, S, L: ?Sized> {
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
    pub fn new(uploads: Rc<Uploads<C, E>>, source: S, ledger: Rc<L>) -> Rc<Lane<C, E, S, L>> {
        let settings = &uploads.settings;
        let gate = || Gate::new(settings.lane_pause_min, settings.lane_pause_max, uploads.seed());
        let gates = uploads.targets.iter().map(|_| gate()).collect();
        Rc::new(Lane {
            category: source.category(),
            gates,
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
        if let Some(reason) = package.unreadable() {
            let death =
                |frame: &Frame| self.death(package, frame, 0, Refusal::Unreadable, None, reason.to_owned());
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
        let (route, token) = match Route::decode(&block.route) {
            Ok(route) => (route.shown(), route.token.map(KeptToken)),
            Err(RouteError) => (redact_tokens(&String::from_utf8_lossy(&block.route)), None),
        };
        let note = Note {
            package: death.package.clone(),
            seq: death.frame.seq,
            first_point: 0,
            category: self.category.name().to_owned(),
            route,
            token,
            kind: kind_name(block.kind).to_owned(),
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
            history: Vec::new(),
        };
        DeadLetter { note, data: block.payload.clone() }
    }
}

fn parcel(category: Category, package: &Package, points: u64) -> Option<Parcel<'_>> {
    let route = package.route.as_ref()?;
    let (package_id, received_ms) = (&*package.id, package.received_ms());
    Some(Parcel { category, route, package_id, points, received_ms, raw: package.raw() })
}
