//! Packages that come again: a sender that did not hear our answer sends the same body under the same `X-Pkg-Id`, as a
//! DataKit agent does towards its DataWay. Inside the window it is stored once.
//!
//! A package is known by its id *and* its contents: another body under a used id is another package. What was stored is
//! answered as stored; what is still on its way is answered 503, so that the sender asks again when it is known. What did
//! not get stored is forgotten at once. The window is bounded in time and entries and ends with the process: past it the
//! promise is the general one, at least once.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::http1::Head;
use crate::intake::datakit::write::WritePlan;

use super::ticket::Progress;

/// Agents give a request up after some seconds to minutes, and try again within a few more.
const WINDOW: Duration = Duration::from_secs(600);

/// Locks: shards rarely meet at one.
const STRIPES: usize = 16;

/// Packages remembered in all: at some hundred bytes each a few megabytes.
const ENTRIES_MAX: usize = 65_536;

/// An id that is longer is nobody's: DataKit's has 23 characters.
const ID_BYTES_MAX: usize = 128;

/// Which package: a keyed hash of everything that makes it that one.
type Key = (u64, u64);

/// What is known of the packages of the process.
pub struct Dedup {
    hashers: [RandomState; 2],
    stripes: [Mutex<Stripe>; STRIPES],
}

#[derive(Default)]
struct Stripe {
    /// Whether it is stored.
    known: HashMap<Key, bool>,
    order: VecDeque<(Instant, Key)>,
}

impl Default for Dedup {
    fn default() -> Dedup {
        Dedup { hashers: [RandomState::new(), RandomState::new()], stripes: Default::default() }
    }
}

/// What to do with a package.
pub enum Seen {
    /// Store it, and tell the guard what came of it.
    New(Guard),
    /// It is stored.
    Stored,
    /// It is on its way.
    UnderWay,
}

/// A package on its way. Dropped, it is forgotten.
pub struct Guard {
    dedup: Arc<Dedup>,
    key: Key,
    is_stored: bool,
    /// As far as it has to come.
    wanted: Progress,
}

impl Dedup {
    /// Looks a request up. None: it names no package, or wants more than to have it stored.
    pub fn look(
        self: &Arc<Self>,
        head: &Head<'_>,
        plan: &WritePlan,
        body: &[u8],
        wanted: Progress,
    ) -> Option<Seen> {
        let id = head.header("X-Pkg-Id").filter(|id| (1..=ID_BYTES_MAX).contains(&id.len()))?;
        if plan.dry || plan.echo.is_some() {
            return None;
        }
        let contents = (id, plan.category as u8, &plan.route, body.len(), crc32c::crc32c(body));
        let [left, right] = &self.hashers;
        Some(self.enter((left.hash_one(contents), right.hash_one(contents)), wanted, Instant::now()))
    }

    fn enter(self: &Arc<Self>, key: Key, wanted: Progress, now: Instant) -> Seen {
        let mut stripe = self.stripe(key);
        while let Some((since, oldest)) = stripe.order.front().copied() {
            if stripe.order.len() < ENTRIES_MAX / STRIPES && now.duration_since(since) < WINDOW {
                break;
            }
            stripe.order.pop_front();
            stripe.known.remove(&oldest);
        }
        match stripe.known.get(&key) {
            Some(true) => Seen::Stored,
            Some(false) => Seen::UnderWay,
            None => {
                stripe.known.insert(key, false);
                stripe.order.push_back((now, key));
                Seen::New(Guard { dedup: Arc::clone(self), key, is_stored: false, wanted })
            }
        }
    }

    fn stripe(&self, key: Key) -> MutexGuard<'_, Stripe> {
        self.stripes[key.0 as usize % STRIPES].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guard {
    /// It has come so far. True: that is as far as it had to.
    pub fn is_content_with(&self, progress: Progress) -> bool {
        matches!(progress, Progress::Durable | Progress::Delivered) && progress >= self.wanted
    }

    /// It is stored: whoever brings it again is told so.
    pub fn stored(mut self) {
        self.is_stored = true;
        if let Some(stored) = self.dedup.stripe(self.key).known.get_mut(&self.key) {
            *stored = true;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.is_stored {
            self.dedup.stripe(self.key).known.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(dedup: &Arc<Dedup>, key: Key, now: Instant) -> Option<Guard> {
        match dedup.enter(key, Progress::Durable, now) {
            Seen::New(guard) => Some(guard),
            Seen::Stored | Seen::UnderWay => None,
        }
    }

    #[test]
    fn a_package_is_new_under_way_and_stored() {
        let (dedup, now) = (Arc::<Dedup>::default(), Instant::now());
        let guard = enter(&dedup, (1, 1), now).expect("it is new");
        assert!(matches!(dedup.enter((1, 1), Progress::Durable, now), Seen::UnderWay));
        drop(guard);
        let guard = enter(&dedup, (1, 1), now).expect("what was not stored is forgotten");
        guard.stored();
        assert!(matches!(dedup.enter((1, 1), Progress::Durable, now), Seen::Stored));
        assert!(enter(&dedup, (1, 2), now).is_some(), "another body under the same id");
        assert!(enter(&dedup, (1, 1), now + WINDOW).is_some(), "past the window");
    }

    #[test]
    fn the_table_is_bounded() {
        let (dedup, now) = (Arc::<Dedup>::default(), Instant::now());
        for key in 0..3 * ENTRIES_MAX as u64 {
            enter(&dedup, (key, 0), now).expect("it is new").stored();
        }
        let held: usize = dedup.stripes.iter().map(|stripe| stripe.lock().unwrap().known.len()).sum();
        assert!(held <= ENTRIES_MAX, "{held}");
    }

    #[test]
    fn a_level_is_reached_or_not() {
        let dedup = Arc::<Dedup>::default();
        let guard = |wanted| match dedup.enter((9, 9), wanted, Instant::now()) {
            Seen::New(guard) => guard,
            _ => panic!("it is new"),
        };
        let upstream = guard(Progress::Delivered);
        assert!(
            !upstream.is_content_with(Progress::Durable) && upstream.is_content_with(Progress::Delivered)
        );
        drop(upstream);
        let disk = guard(Progress::Durable);
        assert!(disk.is_content_with(Progress::Durable) && !disk.is_content_with(Progress::Failed));
    }
}
