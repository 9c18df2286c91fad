//! Counters with one writer each.
//!
//! A cell is a relaxed atomic that only its own shard changes: adding is a load, an add and a store, with no lock
//! prefix and no shared cache line. Any thread may read. What two shards count alike lives in two cells.
//!
//! On the hot path a request costs [`ShardCounters::request`] once, and a batch one add per figure.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crossbeam::utils::CachePadded;

use super::books::Books;
use super::names::{APIS, CATEGORIES, METHODS, STATUSES, TARGETS};

/// Only ever grows. To be changed by one thread; a second writer would lose counts, nothing worse.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`; wraps after 2^64.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// What was counted so far.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A level. To be changed by one thread.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Makes it `value`.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Raises it.
    #[inline]
    pub fn add(&self, n: u64) {
        self.set(self.get().wrapping_add(n));
    }

    /// Lowers it, not below zero.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.set(self.get().saturating_sub(n));
    }

    /// The level.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the histogram buckets in microseconds: 1, 2, 5 per decade, from what a warm request takes
/// (tens of µs) to what a timeout takes (a minute). One more bucket holds what is above.
pub const BUCKETS_US: [u64; 20] = [
    20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// Times on a logarithmic scale, fixed so that the histograms of shards and machines add up.
#[derive(Debug)]
pub struct Histogram {
    buckets: [Counter; BUCKETS_US.len() + 1],
    sum_ns: Counter,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: array::from_fn(|_| Counter::default()), sum_ns: Counter::default() }
    }
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn record_ns(&self, ns: u64) {
        let bucket = BUCKETS_US.partition_point(|bound_us| bound_us * 1_000 < ns);
        self.buckets[bucket].add(1);
        self.sum_ns.add(ns);
    }

    /// The counts, not accumulated, the last one being what is above every bound; and the sum.
    pub fn read(&self) -> ([u64; BUCKETS_US.len() + 1], u64) {
        (array::from_fn(|index| self.buckets[index].get()), self.sum_ns.get())
    }
}

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The label value.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }
    };
}

reasons! {
    /// Why accepted points did not get delivered. The sender of an `overload` or `disk_error` was told 503.
    DropReason {
        /// The capacity policy `evict_oldest` made room.
        Evicted => "evicted",
        /// Older than the age that the spool keeps.
        Expired => "expired",
        /// An operator gave them up: `kitgate spool drop`.
        Operator => "operator",
        /// The frame that held them is damaged on disk.
        Damaged => "damaged",
        /// The commit failed.
        DiskError => "disk_error",
        /// The ring or the spool was full when their block was to be stored.
        Overload => "overload",
        /// Filters drop them, or a collector's settings: a sampler, a closed resource, a trace its sender gave up.
        Filtered => "filtered",
        /// A script did: `drop()`, or a status that it was told to ignore.
        Script => "script",
    }
}

reasons! {
    /// Why a request or a connection was not served.
    Refusal {
        /// The request breaks HTTP/1.1.
        Framing => "framing",
        /// The head is past its bound in bytes or in headers.
        HeadTooLarge => "head_too_large",
        /// The body is past its bound, before or after decompression.
        BodyTooLarge => "body_too_large",
        /// The client was too slow, or the answer was.
        Timeout => "timeout",
        /// No such category.
        Category => "category",
        /// No body, or no points in it.
        Empty => "empty",
        /// The body does not decompress, or its encoding is unknown.
        Encoding => "encoding",
        /// A point cannot be read.
        Points => "points",
        /// `?strict=` met a warning.
        Strict => "strict",
        /// The rings stayed full past the deadline.
        Overload => "overload",
        /// The spool is full.
        SpoolFull => "spool_full",
        /// The disk failed.
        DiskError => "disk_error",
        /// The process is stopping.
        Stopping => "stopping",
        /// More connections than allowed.
        Connections => "connections",
        /// No first request: a bad header of a proxy, a failed TLS handshake.
        Entrance => "entrance",
        /// The path is for this machine alone.
        NotPublic => "not_public",
        /// The client is past its rate.
        RateLimit => "rate_limit",
        /// `?token=` is malformed, or none of those that are taken.
        Token => "token",
    }
}

/// Bytes and connections.
#[derive(Debug, Default)]
pub struct NetCounters {
    pub connections_opened: Counter,
    pub connections_closed: Counter,
    pub received_bytes: Counter,
    pub sent_bytes: Counter,
}

/// One combination of route, method and status.
#[derive(Debug, Default)]
pub struct RequestCell {
    pub count: Counter,
    pub elapsed_ns: Counter,
    pub body_bytes: Counter,
}

/// From points to sealed blocks.
#[derive(Debug, Default)]
pub struct BlockCounters {
    pub sealed: Counter,
    pub raw_bytes: Counter,
    pub payload_bytes: Counter,
    /// What compressing and checksumming took.
    pub seal: Histogram,
    /// How often a block found its ring full and had to wait.
    pub ring_full: Counter,
}

/// Commits to disk, on the home shards.
#[derive(Debug, Default)]
pub struct CommitCounters {
    pub frames: Counter,
    pub bytes: Counter,
    pub failures: Counter,
    /// Write and sync, from the start of a commit to its end; its count is the number of commits.
    pub commit: Histogram,
}

/// Requests to the destination, on the home shards.
#[derive(Debug, Default)]
pub struct UploadCounters {
    /// By class: 2xx, 3xx, 4xx, 5xx; then no answer at all.
    pub answers: [Counter; UPLOAD_ANSWERS.len()],
    pub body_bytes: Counter,
    pub retries: Counter,
    pub latency: Histogram,
}

/// How one target of the destination stands, as its shard sees it.
#[derive(Debug, Default)]
pub struct TargetCounters {
    /// 1 while its breaker is open.
    pub down: Gauge,
    /// How often it has opened; its owner counts.
    pub opened: Gauge,
    pub limit: Gauge,
    /// Packages sent and not yet answered.
    pub in_flight: Gauge,
    pub tokens_refused: Gauge,
}

/// What became of the numbers in a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileMetrics {
    /// They are a point.
    Made,
    /// There are none.
    None,
    /// They could not be read, or the point not be stored.
    Failed,
    /// Too many profiles waited already.
    Skipped,
}

impl ProfileMetrics {
    pub const ALL: [ProfileMetrics; 4] =
        [ProfileMetrics::Made, ProfileMetrics::None, ProfileMetrics::Failed, ProfileMetrics::Skipped];

    pub const fn name(self) -> &'static str {
        match self {
            ProfileMetrics::Made => "made",
            ProfileMetrics::None => "none",
            ProfileMetrics::Failed => "failed",
            ProfileMetrics::Skipped => "skipped",
        }
    }
}

/// The label values of [`UploadCounters::answers`].
pub const UPLOAD_ANSWERS: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "none"];

impl UploadCounters {
    /// Counts an answer by its status, or its absence.
    pub fn answer(&self, status: Option<u16>) {
        let class = match status {
            Some(200..=299) => 0,
            Some(300..=399) => 1,
            Some(400..=499) => 2,
            Some(_) => 3,
            None => 4,
        };
        self.answers[class].add(1);
    }
}

/// One category on one shard: what came in here, and, where this is the category's home, what became of it.
#[derive(Debug)]
pub struct CategoryCounters {
    /// Points put into a block for the ring.
    pub points_in: Counter,
    /// Requests with at least one point put into a block.
    pub requests_in: Counter,
    /// Points that a check took out of a point list or changed are not here: only whole points count.
    pub points_warned: Counter,
    /// Points found in the spool at start.
    pub points_recovered: Counter,
    /// Points in packages the destination took.
    pub points_delivered: Counter,
    /// Points in packages the destination refused for ever, kept in the dead-letter files.
    pub points_dead: Counter,
    dropped: [Counter; DropReason::ALL.len()],
    /// What the log holds; set by its home shard.
    pub spooled_points: Gauge,
    pub spooled_bytes: Gauge,
    pub segments: Gauge,
    /// When the oldest block in the log was sealed, Unix milliseconds; 0 while it is empty.
    pub oldest_ms: Gauge,
    /// Frames skipped because their checksum is wrong.
    pub damaged_frames: Counter,
    pub packages_delivered: Counter,
    /// Points put into side lanes, ever; and those that are there now, which count as spooled.
    pub points_set_aside: Counter,
    pub parked_points: Gauge,
    /// Packages there: those for a second destination have no points in the account.
    pub parked_packages: Gauge,
    /// What of the spooled points waits behind fresh ones, and for how long.
    pub backlog_points: Gauge,
    pub backlog_eta_s: Gauge,
    pub books: Books,
}

impl Default for CategoryCounters {
    fn default() -> CategoryCounters {
        CategoryCounters {
            points_in: Counter::default(),
            requests_in: Counter::default(),
            points_warned: Counter::default(),
            points_recovered: Counter::default(),
            points_delivered: Counter::default(),
            points_dead: Counter::default(),
            dropped: array::from_fn(|_| Counter::default()),
            spooled_points: Gauge::default(),
            spooled_bytes: Gauge::default(),
            segments: Gauge::default(),
            oldest_ms: Gauge::default(),
            damaged_frames: Counter::default(),
            packages_delivered: Counter::default(),
            points_set_aside: Counter::default(),
            parked_points: Gauge::default(),
            parked_packages: Gauge::default(),
            backlog_points: Gauge::default(),
            backlog_eta_s: Gauge::default(),
            books: Books::default(),
        }
    }
}

impl CategoryCounters {
    /// Accepted points that will not be delivered.
    pub fn drop_points(&self, reason: DropReason, points: u64) {
        self.dropped[reason as usize].add(points);
    }

    /// How many points were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize].get()
    }
}

const CELLS: usize = APIS.len() * METHODS.len() * (STATUSES.len() + 1);

/// Everything one shard counts. Its thread writes; a scrape reads.
#[derive(Debug)]
pub struct ShardCounters {
    // Each part begins a cache line of its own, so that no allocation of another thread shares one with it.
    pub net: CachePadded<NetCounters>,
    pub blocks: CachePadded<BlockCounters>,
    pub commits: CachePadded<CommitCounters>,
    pub uploads: CachePadded<UploadCounters>,
    /// By their place in the configuration; all behind the last share its cell.
    pub targets: CachePadded<[TargetCounters; TARGETS.len()]>,
    /// By `Category::index()`.
    pub categories: [CachePadded<CategoryCounters>; CATEGORIES.len()],
    /// Writes, from the complete head to the answer handed to the socket.
    pub write: CachePadded<Histogram>,
    refused: CachePadded<[Counter; Refusal::ALL.len()]>,
    profile_metrics: [Counter; ProfileMetrics::ALL.len()],
    cells: Box<[RequestCell]>,
    /// Time this shard spent working rather than waiting.
    pub busy_ns: Counter,
}

impl Default for ShardCounters {
    fn default() -> ShardCounters {
        ShardCounters {
            net: CachePadded::default(),
            blocks: CachePadded::default(),
            commits: CachePadded::default(),
            uploads: CachePadded::default(),
            targets: CachePadded::new(array::from_fn(|_| TargetCounters::default())),
            categories: array::from_fn(|_| CachePadded::default()),
            write: CachePadded::default(),
            refused: CachePadded::new(array::from_fn(|_| Counter::default())),
            profile_metrics: array::from_fn(|_| Counter::default()),
            cells: (0..CELLS).map(|_| RequestCell::default()).collect(),
            busy_ns: Counter::default(),
        }
    }
}

impl ShardCounters {
    /// Counts an answered request. `api` is one of the `API_*` of `names.rs` (a write's is
    /// `API_WRITE + category.index()`); an unknown method or status is counted as `other`.
    #[inline]
    pub fn request(&self, api: usize, method: &str, status: u16, elapsed_ns: u64, body_bytes: u64) {
        let cell = self.cell(api, method_slot(method), status_slot(status));
        cell.count.add(1);
        cell.elapsed_ns.add(elapsed_ns);
        cell.body_bytes.add(body_bytes);
        if api < CATEGORIES.len() {
            self.write.record_ns(elapsed_ns);
        }
    }

    /// Counts what was not served, beside its status in [`ShardCounters::request`] where there was an answer.
    #[inline]
    pub fn refuse(&self, reason: Refusal) {
        self.refused[reason as usize].add(1);
    }

    /// Counts what became of the numbers in a profile.
    pub fn profile_metrics(&self, outcome: ProfileMetrics) {
        self.profile_metrics[outcome as usize].add(1);
    }

    /// How often that was.
    pub fn profile_metrics_of(&self, outcome: ProfileMetrics) -> u64 {
        self.profile_metrics[outcome as usize].get()
    }

    /// How often `reason` happened.
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refused[reason as usize].get()
    }

    /// The cell of one combination: indices into `APIS`, `METHODS`, `STATUSES` (its length means `other`).
    pub fn cell(&self, api: usize, method: usize, status: usize) -> &RequestCell {
        assert!(method < METHODS.len() && status <= STATUSES.len(), "BUG: no label for {method}, {status}");
        let api = api.min(APIS.len() - 1);
        &self.cells[(api * METHODS.len() + method) * (STATUSES.len() + 1) + status]
    }
}

fn method_slot(method: &str) -> usize {
    // POST stands first: it is nearly always the one.
    METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1)
}

fn status_slot(status: u16) -> usize {
    STATUSES.iter().position(|(known, _)| *known == status).unwrap_or(STATUSES.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_ascend_and_hold_their_bound() {
        assert!(BUCKETS_US.is_sorted());
        let histogram = Histogram::default();
        for ns in [0, 20_000, 20_001, 60_000_000_000, u64::MAX / 2] {
            histogram.record_ns(ns);
        }
        let (buckets, sum) = histogram.read();
        assert_eq!((buckets[0], buckets[1]), (2, 1));
        assert_eq!((buckets[BUCKETS_US.len() - 1], buckets[BUCKETS_US.len()]), (1, 1));
        assert_eq!(sum, 40_001 + 60_000_000_000 + u64::MAX / 2);
    }

    #[test]
    fn every_combination_has_its_own_cell() {
        let shard = ShardCounters::default();
        let mut expected = 0;
        for api in 0..APIS.len() {
            for method in METHODS {
                for status in STATUSES.iter().map(|(status, _)| *status).chain([599]) {
                    shard.request(api, method, status, 1, 1);
                    expected += 1;
                }
            }
        }
        assert_eq!(shard.cells.len(), expected);
        assert!(shard.cells.iter().all(|cell| cell.count.get() == 1 && cell.body_bytes.get() == 1));
        // What has no label of its own is counted, not lost and not a panic.
        shard.request(usize::MAX, "BREW", 418, 1, 1);
        assert_eq!(shard.cells.iter().map(|cell| cell.count.get()).sum::<u64>(), expected as u64 + 1);
    }

    #[test]
    fn reasons_are_indexed_by_their_order() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
        for (index, reason) in Refusal::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }

    #[test]
    fn a_gauge_does_not_go_below_zero() {
        let gauge = Gauge::default();
        gauge.add(2);
        gauge.sub(3);
        assert_eq!(gauge.get(), 0);
    }
}
