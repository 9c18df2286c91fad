//! Packages that must not hold up the others: set aside durably, and tried again from there.
//!
//! A category has a side lane for each destination, and for tokens that came with points [`TOKEN_GROUPS`] more, so that
//! a refused token holds up few others. What is in a side lane goes out one package at a time, oldest first; one that
//! fails again goes back to the end, and the lane rests, longer each time. A package keeps its id through all of that.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::aim::Aim;
use super::deliver::{Cause, Errand};
use super::lane::{Counted, Lane};
use super::pieces::Piece;
use super::settle::{Fates, Parking, unreadable};
use super::{Ledger, Moved};
use crate::rt::sync::Notify;
use crate::upload::batcher::Package;
use crate::upload::carrier::Carrier;
use crate::upload::dead::History;
use crate::upload::env::Env;
use crate::upload::parked::Parked;
use crate::upload::race::{Either, race};
use crate::upload::retry::Backoff;
use crate::upload::source::{Settled, SideLane, Source, Window};
use crate::upload::tokens::TokenKey;

/// Side lanes for refused tokens, for each category and destination.
const TOKEN_GROUPS: u64 = 16;

/// Rests of a side lane whose packages fail.
const REST_MIN: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(60);

/// The side lanes of a category that are served.
#[derive(Default)]
pub(super) struct Sides {
    served: RefCell<BTreeSet<String>>,
    /// Those that nobody serves yet.
    new: RefCell<Vec<(String, Aim)>>,
    pub changed: Notify,
}

impl Sides {
    fn want(&self, name: String, aim: Aim) {
        if self.served.borrow_mut().insert(name.clone()) {
            self.new.borrow_mut().push((name, aim));
            self.changed.notify_all();
        }
    }
}

type Serving = Pin<Box<dyn Future<Output = ()>>>;

impl<C: Carrier, E: Env, S: Source, L: Ledger + ?Sized> Lane<C, E, S, L> {
    /// The name of the side lane for a package.
    fn side_name(&self, parking: &Parking) -> String {
        let key = self.uploads.key(parking.aim);
        let token = parking.package.route.as_ref().and_then(|route| route.token.as_ref());
        match (parking.cause, token) {
            (Cause::Token, Some(token)) => {
                format!("{key}-t{:02}", TokenKey::of(token).group(TOKEN_GROUPS))
            }
            _ => key.to_owned(),
        }
    }

    /// Makes packages durable in their side lanes. While that is impossible their window waits: there is no other place
    /// for them.
    pub(super) async fn park(&self, parkings: &[Parking]) -> Option<()> {
        for parking in parkings {
            self.park_one(parking, &self.side_name(parking)).await?;
        }
        Some(())
    }

    async fn park_one(&self, parking: &Parking, name: &str) -> Option<()> {
        let (uploads, control) = (&*self.uploads, &self.uploads.control);
        let history = &parking.history;
        let parked = parking.package.to_parked(history.count, history.tries().to_vec());
        let block = parked.block(parking.points)?;
        let mut backoff =
            Backoff::new(uploads.settings.retry_min, uploads.settings.retry_max, uploads.seed());
        loop {
            let appended = match self.source.side(name).await {
                Ok(side) => side.append(block.clone()).await,
                Err(error) => Err(error),
            };
            match appended {
                Ok(()) => break,
                Err(error) => {
                    tracing::error!(
                        category = self.category.name(), package = parking.package.id, %error,
                        "a package cannot be set aside; its window waits"
                    );
                    control.unless_stopping(uploads.env.sleep(backoff.next_wait())).await?;
                }
            }
        }
        self.sides.want(name.to_owned(), parking.aim);
        Some(())
    }

    /// Serves the side lanes of the category: those that are there at the start, and those that packages are put into.
    pub async fn keep_sides(self: Rc<Self>) {
        let control = &self.uploads.control;
        let _working = Counted::new(&control.workers, &control.changed);
        let Some(names) = control.unless_stopping(self.source.sides()).await else { return };
        for name in names {
            let key = name.rsplit_once("-t").map_or(&*name, |(key, _)| key);
            match self.uploads.aim_of(key) {
                Some(aim) => self.sides.want(name, aim),
                None => tracing::warn!(
                    category = self.category.name(),
                    side_lane = name,
                    "points wait in a side lane for a destination that is not configured any more"
                ),
            }
        }
        let mut serving: Vec<Serving> = Vec::new();
        loop {
            let changed = self.sides.changed.notified();
            for (name, aim) in self.sides.new.take() {
                serving.push(Box::pin(Rc::clone(&self).serve_side(name, aim)));
            }
            // Nobody is left who could set anything aside.
            if serving.is_empty() && (control.stopping.get() || self.working.get() == 0) {
                return;
            }
            let stopping = async {
                match control.stopping.get() {
                    false => control.until(&control.stopping).await,
                    true => std::future::pending().await,
                }
            };
            race(one_of(&mut serving), race(changed, stopping)).await;
        }
    }

    /// Sends what is in one side lane, for ever.
    async fn serve_side(self: Rc<Self>, name: String, aim: Aim) {
        let (uploads, control) = (&*self.uploads, &self.uploads.control);
        let mut rest = Backoff::new(REST_MIN, REST_MAX, uploads.seed());
        let mut opening =
            Backoff::new(uploads.settings.retry_min, uploads.settings.retry_max, uploads.seed());
        let side = loop {
            match self.source.side(&name).await {
                Ok(side) => break side,
                Err(error) => {
                    tracing::error!(category = self.category.name(), side_lane = name, %error, "cannot open a side lane");
                    let wait = uploads.env.sleep(opening.next_wait());
                    if control.unless_stopping(wait).await.is_none() {
                        return;
                    }
                }
            }
        };
        while let Some(Some(window)) = control.unless_stopping(side.next()).await {
            let work = self.serve_one(&name, aim, &window);
            let moved = match race(control.until(&control.killed), work).await {
                Either::First(()) => None,
                Either::Second(moved) => moved,
            };
            let Some((moved, settled)) = moved else {
                control.abandoned.set(control.abandoned.get() + 1);
                side.give_back(window);
                return;
            };
            side.complete(window, settled);
            moved.tell(self.category, &*self.ledger);
            if settled.parked_points == 0 && !moved.is_parked {
                rest.reset();
            } else if control.unless_stopping(uploads.env.sleep(rest.next_wait())).await.is_none() {
                return;
            }
        }
    }

    /// One package of a side lane. None when it was broken off.
    async fn serve_one(&self, name: &str, aim: Aim, window: &Window) -> Option<(Moved, Settled)> {
        let Some(frame) = window.frames.first() else { return Some(Default::default()) };
        let mut fates = match Parked::read(&frame.block) {
            Some(parked) => {
                let mut history = History::of(&parked.head.history, parked.head.attempts);
                let package = Package::parked(parked);
                match package.unreadable() {
                    Some(reason) => unreadable(&package, reason),
                    None => {
                        let errand = Errand { aim, is_side: true, siblings: None };
                        let history = std::mem::take(&mut history);
                        self.send(errand, Piece { package, prepared: None, history }).await?
                    }
                }
            }
            None => {
                let package = Package::of_frame(frame, &self.source);
                unreadable(&package, "the frame in the side lane holds no package")
            }
        };
        fates.settle();
        // What the account has in this frame, and no more.
        let mut left = frame.block.points;
        let mut share = |points: &mut u32| {
            *points = (*points).min(left);
            left -= *points;
        };
        fates.deaths.iter_mut().for_each(|death| share(&mut death.points));
        fates.parkings.iter_mut().for_each(|parking| share(&mut parking.points));
        self.bury(&fates.deaths).await?;
        for parking in &fates.parkings {
            // Where it was: what it was set aside for has not changed.
            self.park_one(parking, name).await?;
        }
        let mut moved = Moved::of(&fates, u64::from(frame.block.points));
        moved.is_parked = !fates.parkings.is_empty();
        let points = |all: &mut dyn Iterator<Item = u32>| all.sum::<u32>();
        let settled = Settled {
            dead_points: points(&mut fates.deaths.iter().map(|death| death.points)),
            parked_points: points(&mut fates.parkings.iter().map(|parking| parking.points)),
        };
        Some((moved, settled))
    }
}

/// Polls all of them; resolves when one has ended, and takes it out.
async fn one_of(serving: &mut Vec<Serving>) {
    poll_fn(|cx| {
        let before = serving.len();
        serving.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if serving.len() < before { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl Moved {
    /// What became of a package or a window with so many points.
    pub(super) fn of(fates: &Fates, points: u64) -> Moved {
        let mut moved = Moved { delivered: points, ..Moved::default() };
        for death in &fates.deaths {
            moved.dead.push((death.refusal, u64::from(death.points)));
            moved.delivered = moved.delivered.saturating_sub(u64::from(death.points));
        }
        for parking in &fates.parkings {
            moved.parked += u64::from(parking.points);
            moved.delivered = moved.delivered.saturating_sub(u64::from(parking.points));
        }
        moved
    }
}
