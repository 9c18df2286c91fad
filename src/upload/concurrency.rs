//! How many requests one target has in flight at once: as many as it takes well.
//!
//! The limit starts at [`LIMIT_START`] and doubles with every round of answers while it is in use, up to
//! [`LIMIT_MAX`]; after a first setback it grows by one a round. It is halved when the target strains (no answer in
//! time, a broken connection, 429, 5xx), and shrinks in proportion when answers take much longer than the best ones of
//! the last minutes. What was sent before a cut says nothing about the cut limit and cannot cut it again.
//!
//! **One sick lane does not pull down the others.** Where one category fails again and again while others get their
//! answers, the trouble is with its data and not with the load: its failures stop counting until it has had a success.
//!
//! Pure: the time is an argument.

use std::time::{Duration, Instant};

use crate::point::CATEGORY_COUNT;

/// More than all workers of a busy category have in flight, so that a gateway that was just started is not slower
/// than one that has been running.
const LIMIT_START: f64 = 16.0;

/// As many as the workers of all categories of one shard can use between them; past it a target gains nothing.
pub const LIMIT_MAX: usize = 64;

/// What a strained target keeps at least: with one request at a time it can show that it is better.
const LIMIT_MIN: f64 = 1.0;

/// A cut for a failure.
const CUT: f64 = 0.5;

/// Answers may take this many times the best before that counts as slow: large and small bodies, a busy link, a pause of
/// a garbage collector are all within it.
const SLOW_TIMES: u32 = 4;

/// And never less than this: between ten and forty milliseconds nobody waits for anything.
const SLOW_MIN: Duration = Duration::from_millis(500);

/// The best is that of the last one or two spans of this length: a target that has become slower for good is measured
/// by what it is now.
const BEST_SPAN: Duration = Duration::from_secs(60);

/// Failures in a row after which a lane that fails while others succeed is taken for sick.
const SICK_FAILURES: u32 = 1;

/// Bodies of a kind are compared with each other: a mebibyte takes longer than a kibibyte on any link.
const SIZE_CLASSES: usize = 4;

/// The first body size of each class but the first.
const SIZES: [u64; SIZE_CLASSES - 1] = [16 << 10, 128 << 10, 1 << 20];

/// The limit of one target, for all categories of a shard.
#[derive(Debug)]
pub struct Concurrency {
    limit: f64,
    max: f64,
    /// Whether a round of answers doubles the limit.
    doubling: bool,
    /// What was sent before this has no say.
    cut_at: Option<Instant>,
    best: [Best; SIZE_CLASSES],
    lanes: [Lane; CATEGORY_COUNT],
    /// When any lane last had a success.
    succeeded: Option<Instant>,
}

/// The shortest answers lately.
#[derive(Clone, Copy, Debug, Default)]
struct Best {
    since: Option<Instant>,
    now: Option<Duration>,
    before: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    failures: u32,
    /// When the first of these failures was.
    failing_since: Option<Instant>,
}

/// One request that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// `Category::index()`.
    pub lane: usize,
    pub sent: Instant,
    pub now: Instant,
    pub body_bytes: u64,
    /// Requests in flight when it ended, itself included.
    pub in_flight: usize,
}

impl Best {
    /// Takes in one more and gives the best so far.
    fn see(&mut self, now: Instant, took: Duration) -> Duration {
        let since = *self.since.get_or_insert(now);
        if now - since >= BEST_SPAN {
            // After two spans of silence nothing that is known is of lately.
            self.before = if now - since < 2 * BEST_SPAN { self.now } else { None };
            self.now = None;
            self.since = Some(now);
        }
        let best = self.now.map_or(took, |best| best.min(took));
        self.now = Some(best);
        self.before.map_or(best, |before| before.min(best))
    }
}

impl Concurrency {
    /// A limit of at most `max`, which is at least 1.
    pub fn new(max: usize) -> Concurrency {
        let max = max.clamp(1, LIMIT_MAX) as f64;
        Concurrency {
            limit: LIMIT_START.min(max),
            max,
            doubling: true,
            cut_at: None,
            best: [Best::default(); SIZE_CLASSES],
            lanes: [Lane::default(); CATEGORY_COUNT],
            succeeded: None,
        }
    }

    /// Requests that may be in flight.
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// An answer came that is not about the load.
    pub fn answered(&mut self, ended: Ended) {
        if let Some(lane) = self.lanes.get_mut(ended.lane) {
            *lane = Lane::default();
        }
        self.succeeded = Some(ended.now);
        let took = ended.now - ended.sent;
        let class = SIZES.partition_point(|size| *size <= ended.body_bytes);
        let best = self.best.get_mut(class).map_or(took, |best| best.see(ended.now, took));
        let slow = (best * SLOW_TIMES).max(SLOW_MIN);
        if took > slow {
            self.cut(ended, slow.as_secs_f64() / took.as_secs_f64());
        } else if ended.in_flight >= self.limit() {
            // Only a limit that is in use shows what the target takes.
            self.limit += if self.doubling { 1.0 } else { 1.0 / self.limit };
            self.limit = self.limit.min(self.max);
        }
    }

    /// The target did not cope: no answer, or one that says so.
    pub fn strained(&mut self, ended: Ended) {
        if !self.is_sick(ended) {
            self.cut(ended, CUT);
        }
    }

    /// Counts a failure of a lane, and says whether the lane alone is to blame.
    fn is_sick(&mut self, ended: Ended) -> bool {
        let others = self.succeeded;
        let Some(lane) = self.lanes.get_mut(ended.lane) else { return false };
        lane.failures = lane.failures.saturating_add(1);
        let since = *lane.failing_since.get_or_insert(ended.now);
        lane.failures > SICK_FAILURES && others.is_some_and(|others| others >= since)
    }

    fn cut(&mut self, ended: Ended, to: f64) {
        if self.cut_at.is_some_and(|cut_at| ended.sent < cut_at) {
            return;
        }
        self.cut_at = Some(ended.now);
        self.doubling = false;
        self.limit = (self.limit * to.max(CUT)).max(LIMIT_MIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const S: Duration = Duration::from_secs(1);

    /// A target seen from one side: rounds of as many requests as the limit allows, each answered together.
    struct Rounds {
        concurrency: Concurrency,
        now: Instant,
    }

    impl Rounds {
        fn new() -> Rounds {
            Rounds { concurrency: Concurrency::new(LIMIT_MAX), now: Instant::now() }
        }

        fn ended(&self, lane: usize, took: Duration) -> Ended {
            let in_flight = self.concurrency.limit();
            Ended { lane, sent: self.now - took, now: self.now, body_bytes: 100, in_flight }
        }

        fn answered(&mut self, took: Duration) -> usize {
            self.now += took;
            for _ in 0..self.concurrency.limit() {
                self.concurrency.answered(self.ended(0, took));
            }
            self.concurrency.limit()
        }

        fn strained(&mut self, took: Duration) -> usize {
            self.now += took;
            for _ in 0..self.concurrency.limit() {
                self.concurrency.strained(self.ended(0, took));
            }
            self.concurrency.limit()
        }
    }

    #[test]
    fn it_grows_while_it_is_used_and_halves_once_for_a_crowd() {
        let mut rounds = Rounds::new();
        assert_eq!(rounds.concurrency.limit(), 16);
        assert_eq!([rounds.answered(10 * MS), rounds.answered(10 * MS)], [32, 64]);
        assert_eq!(rounds.answered(10 * MS), LIMIT_MAX);
        assert_eq!([rounds.strained(10 * MS), rounds.strained(10 * MS)], [32, 16], "once a round");
        assert_eq!(rounds.answered(10 * MS), 16, "then by about one a round");
        assert_eq!(rounds.answered(10 * MS), 17);
        for _ in 0..20 {
            rounds.strained(10 * MS);
        }
        assert_eq!(rounds.concurrency.limit(), 1, "never to nothing");
        for _ in 0..100 {
            rounds.answered(10 * MS);
        }
        assert_eq!(rounds.concurrency.limit(), LIMIT_MAX, "and back");
    }

    #[test]
    fn an_unused_limit_stays_where_it_is() {
        let mut concurrency = Concurrency::new(LIMIT_MAX);
        let now = Instant::now();
        for _ in 0..100 {
            concurrency.answered(Ended { lane: 0, sent: now, now, body_bytes: 1, in_flight: 4 });
        }
        assert_eq!(concurrency.limit(), 16);
        assert_eq!(Concurrency::new(2).limit(), 2);
    }

    #[test]
    fn a_slow_destination_gets_less_and_a_recovering_one_more_again() {
        let mut rounds = Rounds::new();
        for _ in 0..3 {
            rounds.answered(50 * MS);
        }
        assert_eq!(rounds.concurrency.limit(), LIMIT_MAX);
        // Ten times slower than its best, but nobody waits for that.
        assert_eq!(rounds.answered(450 * MS), LIMIT_MAX);
        let limits: Vec<usize> = (0..9).map(|_| rounds.answered(25 * S)).collect();
        // After some two minutes the old best is forgotten: it is as it is.
        assert_eq!(limits[..3], [32, 16, 8], "{limits:?}");
        assert!(limits[8] > limits[5] && limits[5] >= 2, "{limits:?}");
        for _ in 0..100 {
            rounds.answered(50 * MS);
        }
        assert_eq!(rounds.concurrency.limit(), LIMIT_MAX);
    }

    #[test]
    fn large_bodies_are_not_measured_by_small_ones() {
        let mut concurrency = Concurrency::new(LIMIT_MAX);
        let start = Instant::now();
        for round in 0..20 {
            let now = start + round * S;
            let ended = |body_bytes, took| Ended { lane: 0, sent: now - took, now, body_bytes, in_flight: 1 };
            concurrency.answered(ended(1000, 5 * MS));
            concurrency.answered(ended(2 << 20, 3 * S));
        }
        assert_eq!(concurrency.limit(), 16);
    }

    #[test]
    fn one_bad_category_does_not_pull_down_the_others() {
        let mut rounds = Rounds::new();
        for _ in 0..3 {
            rounds.answered(10 * MS);
        }
        for _ in 0..200 {
            rounds.now += 10 * MS;
            let (bad, good) = (rounds.ended(5, 10 * MS), rounds.ended(0, 10 * MS));
            rounds.concurrency.strained(bad);
            rounds.concurrency.answered(good);
        }
        assert!(rounds.concurrency.limit() > 32, "{}", rounds.concurrency.limit());
        // When nobody succeeds it is the target.
        rounds.now += S;
        for _ in 0..10 {
            rounds.now += 10 * MS;
            rounds.concurrency.strained(rounds.ended(0, 10 * MS));
        }
        assert!(rounds.concurrency.limit() <= 8, "{}", rounds.concurrency.limit());
    }

    #[test]
    fn what_was_sent_before_a_cut_does_not_cut_again() {
        let mut concurrency = Concurrency::new(LIMIT_MAX);
        let start = Instant::now();
        let ended = |sent: u32, now: u32| Ended {
            lane: 0,
            sent: start + sent * S,
            now: start + now * S,
            body_bytes: 1,
            in_flight: 16,
        };
        concurrency.strained(ended(0, 30));
        assert_eq!(concurrency.limit(), 8);
        for sent in 1..30 {
            concurrency.strained(ended(sent, sent + 30));
        }
        assert_eq!(concurrency.limit(), 8);
        concurrency.strained(ended(30, 60));
        assert_eq!(concurrency.limit(), 4);
    }
}
