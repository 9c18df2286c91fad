//! A package to all its destinations: sent, cut where it is refused, and what became of each of its points.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Ledger;
use super::aim::Aim;
use super::deliver::{Cause, Errand, Siblings, Verdict};
use super::lane::Lane;
use super::pieces::{Piece, Pieces};
use crate::sink::Refusal;
use crate::upload::batcher::Package;
use crate::upload::body::{self, Prepared};
use crate::upload::carrier::Carrier;
use crate::upload::dead::History;
use crate::upload::env::Env;
use crate::upload::race::join_all;
use crate::upload::ranges::Ranges;
use crate::upload::retry::Backoff;
use crate::upload::source::{Frame, Settled, Source};

/// What became of a package, as far as it was not delivered.
#[derive(Default)]
pub(super) struct Fates {
    pub deaths: Vec<Death>,
    pub parkings: Vec<Parking>,
}

/// Points that are dead, and why.
pub(super) struct Death {
    /// The whole frame, or a block of these points alone.
    pub frame: Frame,
    pub first_point: u32,
    pub package: String,
    pub target: usize,
    pub refusal: Refusal,
    pub status: Option<u16>,
    pub text: String,
    pub history: History,
    /// Those of them that no other death accounts for.
    pub points: u32,
}

/// A package that is to be set aside.
pub(super) struct Parking {
    pub package: Package,
    pub aim: Aim,
    pub cause: Cause,
    pub history: History,
    /// Those of its points that nothing else accounts for.
    pub points: u32,
}

impl Fates {
    fn add(&mut self, other: Fates) {
        self.deaths.extend(other.deaths);
        self.parkings.extend(other.parkings);
    }

    /// Of several packages.
    pub fn of(all: impl IntoIterator<Item = Fates>) -> Fates {
        let mut fates = Fates::default();
        all.into_iter().for_each(|other| fates.add(other));
        fates
    }

    /// Counts each point once, whatever several destinations make of it: dead if one refuses it, else parked if one has
    /// it in a side lane. Deaths that tell nothing new are left out.
    pub fn settle(&mut self) -> BTreeMap<u64, Settled> {
        let mut settled: BTreeMap<u64, Settled> = BTreeMap::new();
        let mut known: BTreeMap<u64, Ranges> = BTreeMap::new();
        self.deaths.retain_mut(|death| {
            let Frame { seq, block } = &death.frame;
            let ranges = known.entry(*seq).or_default();
            death.points = ranges.add(death.first_point, death.first_point.saturating_add(block.points));
            settled.entry(*seq).or_default().dead_points += death.points;
            // A frame without points is none the less one that was refused.
            death.points > 0 || block.points == 0
        });
        for parking in &mut self.parkings {
            let first = parking.package.first_point;
            for Frame { seq, block } in &parking.package.frames {
                let new = known.entry(*seq).or_default().add(first, first.saturating_add(block.points));
                settled.entry(*seq).or_default().parked_points += new;
                parking.points += new;
            }
        }
        settled
    }
}

impl<C: Carrier, E: Env, S: Source, L: Ledger + ?Sized> Lane<C, E, S, L> {
    /// Brings a package of a window to its end at every destination. None when it was broken off.
    pub(super) async fn settle(&self, package: &Package) -> Option<Fates> {
        let aims = self.uploads.aims();
        if let Some(reason) = package.unreadable() {
            return Some(unreadable(package, reason));
        }
        let prepared = Rc::new(self.prepare(package).await?);
        let siblings = (aims.len() > 1).then(|| Siblings::new(self.uploads.env.now()));
        let sends = aims.iter().map(|aim| {
            let errand = Errand { aim: *aim, is_side: false, siblings: siblings.as_ref() };
            let piece = Piece {
                package: package.clone(),
                prepared: Some(Rc::clone(&prepared)),
                history: History::default(),
            };
            self.send(errand, piece)
        });
        let mut fates = Fates::default();
        for part in join_all(sends, aims.len()).await {
            fates.add(part?);
        }
        Some(fates)
    }

    /// Sends a package to one destination, in pieces if it must be.
    pub(super) async fn send(&self, errand: Errand<'_>, whole: Piece) -> Option<Fates> {
        let package = whole.package.clone();
        let doubt = self.doubt(errand.aim);
        let mut pieces = Pieces::new(whole, doubt.is_some_and(std::cell::Cell::get));
        let mut fates = Fates::default();
        while let Some(Piece { package: piece, prepared, mut history }) = pieces.next() {
            let prepared = match prepared {
                Some(prepared) => prepared,
                None => Rc::new(self.prepare(&piece).await?),
            };
            fates.deaths.extend(prepared.unreadable.iter().filter_map(|position| {
                let text = "the block is not what its frame says";
                let frame = piece.frames.get(*position)?.clone();
                Some(Death { frame, ..death(&piece, 0, Refusal::Unreadable, None, text, &history)? })
            }));
            if prepared.unreadable.len() == piece.frames.len() {
                continue;
            }
            let (target, verdict) = self.deliver(&errand, &piece, &prepared, &mut history).await?;
            let (refusal, status, text) = match verdict {
                Verdict::Delivered => {
                    pieces.taken();
                    doubt.inspect(|doubt| doubt.set(false));
                    continue;
                }
                Verdict::Park(cause) => {
                    let (aim, points) = (errand.aim, 0);
                    fates.parkings.push(Parking { package: piece, aim, cause, history, points });
                    continue;
                }
                Verdict::TooLarge { status, text } => match self.halves(&piece, &history).await? {
                    Some(halves) => {
                        pieces.put_first(halves);
                        continue;
                    }
                    None => {
                        pieces.single_too_large();
                        (Refusal::TooLarge, status, text)
                    }
                },
                Verdict::Refused { refusal, status, text } => {
                    if refusal.is_about_content() && pieces.refused() && !pieces.is_hopeless() {
                        // What cannot be cut is found, if it was not all there is.
                        if let Some(halves) = self.halves(&piece, &history).await? {
                            pieces.put_behind(halves);
                            continue;
                        }
                    }
                    (refusal, status, text)
                }
            };
            if pieces.is_hopeless() {
                doubt.inspect(|doubt| doubt.set(true));
                // Whole frames, as they came, instead of their pieces.
                fates = Fates::default();
                fates.deaths.extend(deaths(&package, target, refusal, status, &text, &history));
                break;
            }
            fates.deaths.extend(deaths(&piece, target, refusal, status, &text, &history));
        }
        if fates.parkings.is_empty()
            && let Some(siblings) = errand.siblings
        {
            siblings.delivered();
        }
        Some(fates)
    }

    /// Whether the destination refused the last package whole.
    fn doubt(&self, aim: Aim) -> Option<&std::cell::Cell<bool>> {
        match aim {
            Aim::One(target) => self.doubts.get(target),
            Aim::Any => self.doubts.first(),
        }
    }

    /// A package in two: its frames, or the points of its only frame. No halves if there is one point. None when it was
    /// broken off.
    async fn halves(&self, piece: &Package, history: &History) -> Option<Option<[Piece; 2]>> {
        let halves = match piece.halves(&self.source) {
            Some(halves) => Some(halves),
            None => {
                let block = piece.frames.first()?.block.clone();
                let cut = self.uploads.env.blocking(move || body::halves(&block)).await;
                cut.ok().flatten().and_then(|blocks| piece.parts(blocks, &self.source))
            }
        };
        let piece = |package| Piece { package, prepared: None, history: history.clone() };
        Some(halves.map(|halves| halves.map(piece)))
    }

    /// The body of a package. Fails only for reasons that may pass, and is tried until they have.
    pub(super) async fn prepare(&self, package: &Package) -> Option<Prepared> {
        let uploads = &*self.uploads;
        let parcel = self.parcel(package, package.points())?;
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
}

/// The deaths of a package that this version cannot send.
pub(super) fn unreadable(package: &Package, reason: &str) -> Fates {
    let history = History::default();
    let deaths = deaths(package, 0, Refusal::Unreadable, None, reason, &history).collect();
    Fates { deaths, parkings: Vec::new() }
}

fn death(
    package: &Package,
    target: usize,
    refusal: Refusal,
    status: Option<u16>,
    text: &str,
    history: &History,
) -> Option<Death> {
    deaths(package, target, refusal, status, text, history).next()
}

fn deaths(
    package: &Package,
    target: usize,
    refusal: Refusal,
    status: Option<u16>,
    text: &str,
    history: &History,
) -> impl Iterator<Item = Death> {
    package.frames.iter().map(move |frame| Death {
        frame: frame.clone(),
        first_point: package.first_point,
        package: package.id.clone(),
        target,
        refusal,
        status,
        text: text.to_owned(),
        history: history.clone(),
        points: 0,
    })
}
