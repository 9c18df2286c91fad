//! A category's log at its home: opened, kept in order, counted, and taken from by the uploads.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::config::SpoolSettings;
use crate::metrics::counters::{CategoryCounters, DropReason, ShardCounters};
use crate::point::Category;
use crate::rt::time;
use crate::sink::Refusal;
use crate::spool::{
    self, Block, CommitError, CommitFailure, Completion, DirectDisk, Fate, FullState, Log, LogConfig,
    Settled, WindowLimits, fresh_id, package_id,
};
use crate::upload::env::RtEnv;
use crate::upload::side_log::{SideLog, SideLogs};
use crate::upload::source::{Backlog, Source, Window};
use crate::upload::{Ledger, Standing, Uploads};

use super::Common;
use super::books;
use super::control::Held;
use super::home::{Deliveries, Reporter};
use super::policy::when_full;
use super::side::{SIDE_DIR, SideFolders};
use super::ticket::Progress;

/// Frames of one window at most: bounds the list, rarely the window.
const WINDOW_FRAMES_MAX: usize = 1024;

/// Completions that end within this time share a durable write of the cursor, and with it the windows behind them.
const MAINTAIN_PAUSE: Duration = Duration::from_millis(20);

/// After a round of maintenance that failed.
const MAINTAIN_RETRY: Duration = Duration::from_secs(1);

/// Spare segments a log keeps: one being written in advance while the other is taken.
const SPARES_MAX: usize = 2;

/// What a stored byte was before compression, about: for the backlog found at start, of which only the stored size is
/// known.
const RAW_BYTES_PER_STORED: u64 = 3;

/// How a category's log is opened.
pub fn log_config(settings: &SpoolSettings, category: Category) -> LogConfig {
    LogConfig {
        segment_bytes: settings.segment_bytes,
        capacity_bytes: settings.capacity_bytes(category.name()),
        when_full: when_full(settings),
        tail_bytes_max: settings.tail_cache_bytes,
        spares_max: SPARES_MAX,
        lane_of: books::lane_of,
        max_age: settings.max_age(category.name()),
        reserve_bytes: settings.reserve_bytes,
    }
}

/// What is shown where a backlog does not move: a year.
const BACKLOG_ETA_MAX_S: u64 = 365 * 86_400;

/// One category's log, where it lives.
pub struct HomeLog {
    pub category: Category,
    pub log: Log<DirectDisk>,
    sides: SideLogs<SideFolders, RtEnv>,
    pub deliveries: Rc<Deliveries>,
    reporter: Rc<Reporter>,
    common: Arc<Common>,
    counters: Arc<ShardCounters>,
    /// Raw bytes committed and not yet taken by a window.
    pending_raw_bytes: Cell<u64>,
}

impl HomeLog {
    /// Opens the log and recovers what is in it.
    pub async fn open(
        category: Category,
        common: &Arc<Common>,
        counters: &Arc<ShardCounters>,
        reporter: &Rc<Reporter>,
    ) -> io::Result<Rc<HomeLog>> {
        let live = common.live_owned();
        let settings = &live.settings.spool;
        let disk = DirectDisk::open(&settings.dir(category.name())).await?;
        let config = log_config(settings, category);
        let sides = SideFolders::new(live.settings.data_dir.join(SIDE_DIR).join(category.name()));
        let sides = SideLogs::new(sides, RtEnv, category as u8, &config);
        let opened = Log::open(disk, category as u8, fresh_id()?, config).await;
        let (log, report) =
            opened.map_err(|error| io::Error::other(format!("{}: {error}", category.name())))?;
        if report != spool::RecoveryReport::default() {
            tracing::info!(
                category = category.name(),
                points = report.spooled_points,
                segments = report.segments,
                torn_bytes = report.torn_bytes,
                "recovered the spool"
            );
        }
        if report.cursor_lost {
            tracing::error!(
                category = category.name(),
                "the cursor is unreadable: all that is spooled goes out again"
            );
        }
        // What lies aside waits for nobody's next window.
        let waiting = report.spooled_bytes.saturating_sub(log.deferred().bytes);
        let home = Rc::new(HomeLog {
            category,
            log,
            sides,
            deliveries: Rc::default(),
            reporter: Rc::clone(reporter),
            common: Arc::clone(common),
            counters: Arc::clone(counters),
            pending_raw_bytes: Cell::new(waiting * RAW_BYTES_PER_STORED),
        });
        home.cells().points_recovered.add(report.spooled_points);
        let observed = Rc::downgrade(&home);
        home.log.observe(Box::new(move |completion| {
            if let Some(home) = observed.upgrade() {
                home.completed(completion);
            }
        }));
        if category == Category::Profiling && live.settings.profiling.clear_on_start {
            home.clear().await?;
        }
        home.sides.disks().counted_by(&home);
        home.publish();
        home.publish_lanes();
        Ok(home)
    }

    /// Gives up what an earlier run has left, as is configured. It counts as what an operator drops.
    async fn clear(&self) -> io::Result<()> {
        let points = self.log.drop_before(u64::MAX).await?;
        self.pending_raw_bytes.set(0);
        if points > 0 {
            let category = self.category.name();
            tracing::warn!(category, points, "gave up what an earlier run had left, as configured");
        }
        Ok(())
    }

    /// A side lane of this category is there now: what it holds is part of the account.
    pub fn side_opened(self: &Rc<Self>, name: &str, log: &Log<DirectDisk>, report: &spool::RecoveryReport) {
        if report.spooled_points > 0 {
            let points = report.spooled_points;
            tracing::info!(
                category = self.category.name(),
                side_lane = name,
                points,
                "recovered a side lane"
            );
        }
        self.cells().points_recovered.add(report.spooled_points);
        let observed = Rc::downgrade(self);
        log.observe(Box::new(move |completion| {
            if let Some(home) = observed.upgrade()
                && completion.fate == Fate::Lost
            {
                home.cells().drop_points(DropReason::Damaged, completion.points);
            }
        }));
    }

    /// Starts the workers that upload this category.
    pub fn serve(self: &Rc<Self>, uploads: &Uploads, raw_bytes_max: usize) {
        let limits =
            WindowLimits { frames_max: WINDOW_FRAMES_MAX, raw_bytes_max, stored_bytes_max: raw_bytes_max };
        let source = LogSource { home: Rc::clone(self), limits };
        uploads.serve(source, Rc::clone(self));
    }

    /// Keeps the log in order, for ever.
    pub async fn maintain(self: Rc<Self>) {
        loop {
            self.log.maintenance_needed().await;
            time::sleep(MAINTAIN_PAUSE).await;
            if let Err(error) = self.log.maintain().await {
                tracing::warn!(category = self.category.name(), %error, "the spool's background work failed; trying again");
                time::sleep(MAINTAIN_RETRY).await;
            }
            self.publish();
            self.publish_lanes();
        }
    }

    /// The uploads have stopped: nobody need wait for deliveries any more.
    pub fn leave_deliveries(&self) {
        self.deliveries.settle(0, u64::MAX, Progress::Left, &self.reporter);
    }

    /// The uploads have stopped: what was completed becomes durable.
    pub async fn close(&self) {
        self.log.close();
        self.sides.close();
        let mut flushed = vec![self.log.flush().await];
        for (_, side) in self.sides.logs() {
            flushed.push(side.flush().await);
        }
        for error in flushed.into_iter().filter_map(Result::err) {
            tracing::error!(
                category = self.category.name(),
                %error,
                "the cursor could not be written: what was delivered last goes out again, under the same ids"
            );
        }
        self.publish();
    }

    fn cells(&self) -> &CategoryCounters {
        &self.counters.categories[self.category.index()]
    }

    /// Counts a commit that has ended.
    pub fn committed(
        &self,
        blocks: &[Block],
        started: time::Instant,
        outcome: &Result<Range<u64>, CommitError>,
    ) {
        let cells = &self.counters.commits;
        let taken = match outcome {
            Ok(seqs) => seqs,
            Err(error) => &error.committed,
        };
        let taken = (taken.end - taken.start) as usize;
        let (stored, refused) = blocks.split_at(taken.min(blocks.len()));
        cells.frames.add(stored.len() as u64);
        cells.bytes.add(stored.iter().map(|block| block.payload.len() as u64).sum());
        let raw: u64 = stored.iter().map(|block| u64::from(block.raw_bytes)).sum();
        self.pending_raw_bytes.set(self.pending_raw_bytes.get() + raw);
        cells.commit.record_ns(started.elapsed().as_nanos() as u64);
        if let Err(error) = outcome {
            cells.failures.add(1);
            let points = refused.iter().map(|block| u64::from(block.points)).sum();
            let reason = match error.reason {
                CommitFailure::Io(_) => DropReason::DiskError,
                CommitFailure::Full | CommitFailure::TooLarge => DropReason::Overload,
            };
            self.cells().drop_points(reason, points);
            if let CommitFailure::Io(error) = &error.reason {
                tracing::error!(category = self.category.name(), %error, "a commit failed; its senders were told so");
            }
        }
        let failed = matches!(outcome, Err(CommitError { reason: CommitFailure::Io(_), .. }));
        self.common.set_state(self.category, self.log.is_full(), failed);
        self.publish();
    }

    fn completed(&self, completion: Completion) {
        let progress = match completion.fate {
            Fate::Delivered => Progress::Delivered,
            Fate::Dead | Fate::Parked => Progress::Failed,
            Fate::Evicted | Fate::Expired | Fate::Dropped => {
                let reason = match completion.fate {
                    Fate::Expired => DropReason::Expired,
                    Fate::Dropped => DropReason::Operator,
                    _ => DropReason::Evicted,
                };
                self.cells().drop_points(reason, completion.points);
                Progress::Failed
            }
            Fate::Lost => {
                self.cells().drop_points(DropReason::Damaged, completion.points);
                tracing::error!(
                    category = self.category.name(),
                    first = completion.first_seq,
                    last = completion.last_seq,
                    points = completion.points,
                    "frames of the spool are damaged and lost"
                );
                Progress::Failed
            }
        };
        self.deliveries.settle(completion.first_seq, completion.last_seq, progress, &self.reporter);
        self.common.set_state(self.category, self.log.is_full(), false);
        self.publish();
    }

    /// Shows where the log stands.
    pub fn publish(&self) {
        let stats = self.log.stats();
        let cells = self.cells();
        let logs = self.sides.logs();
        let totals: Vec<_> = logs.iter().map(|(_, log)| log.totals()).collect();
        cells.books.set(books::all(&self.log.totals(), &totals));
        let sides: Vec<_> = logs.into_iter().map(|(_, log)| log.stats()).collect();
        let parked: u64 = sides.iter().map(|side| side.spooled_points).sum();
        cells.parked_points.set(parked);
        cells.parked_packages.set(sides.iter().map(|side| side.spooled_frames).sum());
        // What waits in side lanes is spooled as well.
        cells.spooled_points.set(stats.spooled_points + parked);
        cells
            .spooled_bytes
            .set(stats.spooled_bytes + sides.iter().map(|side| side.spooled_bytes).sum::<u64>());
        cells.segments.set(stats.segments);
        cells.oldest_ms.set(stats.oldest_ms.unwrap_or(0));
        let counted = cells.damaged_frames.get();
        cells.damaged_frames.add(stats.lost_frames.saturating_sub(counted));
        self.common.set_full(self.category, stats.full != FullState::Room);
    }
}

impl HomeLog {
    /// Somebody else has changed the log.
    pub fn look(&self) {
        self.common.set_full(self.category, self.log.is_full());
        self.publish();
    }

    /// The same by lanes: more to write, and so not at every turn.
    fn publish_lanes(&self) {
        let sides: Vec<_> = self.sides.logs().into_iter().map(|(_, log)| log.lanes()).collect();
        self.cells().books.set_lanes(books::lanes(&self.log.lanes(), &sides));
    }
}

impl Held for HomeLog {
    fn category(&self) -> Category {
        self.category
    }

    fn log(&self) -> &Log<DirectDisk> {
        &self.log
    }

    fn ordered(&self, blocks: &[Block], started: time::Instant, outcome: &Result<Range<u64>, CommitError>) {
        self.cells().points_in.add(blocks.iter().map(|block| u64::from(block.points)).sum());
        self.committed(blocks, started, outcome);
    }
}

impl Ledger for HomeLog {
    fn attempt(&self, _: Category, status: Option<u16>, body_bytes: u64, took: Duration) {
        let cells = &self.counters.uploads;
        cells.answer(status);
        cells.body_bytes.add(body_bytes);
        cells.latency.record_ns(took.as_nanos() as u64);
    }

    fn retried(&self, _: Category) {
        self.counters.uploads.retries.add(1);
    }

    fn delivered(&self, _: Category, points: u64) {
        self.cells().points_delivered.add(points);
        self.cells().packages_delivered.add(1);
    }

    fn dead(&self, _: Category, _: Refusal, points: u64) {
        self.cells().points_dead.add(points);
    }

    fn parked(&self, _: Category, points: u64) {
        self.cells().points_set_aside.add(points);
        self.publish();
    }

    fn target(&self, target: usize, standing: Standing) {
        let cells = &self.counters.targets[target.min(self.counters.targets.len() - 1)];
        cells.down.set(u64::from(standing.is_down));
        cells.opened.set(standing.opened);
        cells.limit.set(standing.limit as u64);
        cells.in_flight.set(standing.in_flight as u64);
        cells.tokens_refused.set(standing.tokens_refused as u64);
    }

    fn backlog(&self, _: Category, backlog: Backlog, eta: Option<Duration>) {
        let cells = self.cells();
        cells.backlog_points.set(backlog.points);
        // While nothing moves there is no telling: the longest time that can be shown.
        cells.backlog_eta_s.set(eta.map_or(BACKLOG_ETA_MAX_S, |eta| eta.as_secs().min(BACKLOG_ETA_MAX_S)));
    }
}

/// The log as the uploads see it.
struct LogSource {
    home: Rc<HomeLog>,
    limits: WindowLimits,
}

impl LogSource {
    /// A window that holds anything. None: there is none.
    fn taken(&self, window: Window) -> Option<Window> {
        if !window.frames.is_empty() {
            return Some(window);
        }
        // All of it was lost to damage, and that has been told.
        self.home.log.complete(window, Fate::Lost);
        None
    }

    async fn failed(&self, error: io::Error) {
        tracing::warn!(category = self.home.category.name(), %error, "cannot take from the spool; trying again");
        time::sleep(MAINTAIN_RETRY).await;
    }
}

impl Source for LogSource {
    type Side = SideLog<DirectDisk, RtEnv>;

    fn category(&self) -> Category {
        self.home.category
    }

    fn pending_raw_bytes(&self) -> u64 {
        self.home.pending_raw_bytes.get()
    }

    fn waiting_bytes(&self) -> u64 {
        // Raw bytes are counted as they come and go; the sums of the log need a look at every segment.
        self.home.pending_raw_bytes.get() / RAW_BYTES_PER_STORED
    }

    async fn next_window(&self) -> Option<Window> {
        loop {
            match self.home.log.next_window(&self.limits).await {
                Ok(Some(window)) => {
                    let raw: u64 = window.frames.iter().map(|frame| u64::from(frame.block.raw_bytes)).sum();
                    let pending = &self.home.pending_raw_bytes;
                    pending.set(pending.get().saturating_sub(raw));
                    if let Some(window) = self.taken(window) {
                        return Some(window);
                    }
                }
                Ok(None) => return None,
                Err(error) => self.failed(error).await,
            }
        }
    }

    fn defer(&self) -> u64 {
        let points = self.home.log.defer();
        if points > 0 {
            self.home.pending_raw_bytes.set(0);
        }
        points
    }

    fn deferred(&self) -> Backlog {
        self.home.log.deferred()
    }

    async fn next_deferred_window(&self) -> Option<Window> {
        loop {
            match self.home.log.next_deferred_window(&self.limits).await {
                Ok(Some(window)) => {
                    if let Some(window) = self.taken(window) {
                        return Some(window);
                    }
                }
                Ok(None) => return None,
                Err(error) => self.failed(error).await,
            }
        }
    }

    fn package_id(&self, first_seq: u64, last_seq: u64, route: &[u8], sealed_ms: u64) -> String {
        package_id(self.home.log.id(), self.home.category as u8, first_seq, last_seq, route, sealed_ms)
    }

    fn complete(&self, window: Window, settled: &BTreeMap<u64, Settled>) {
        self.home.log.complete_each(window, |seq| settled.get(&seq).copied().unwrap_or_default());
    }

    fn give_back(&self, window: Window) {
        self.home.log.give_back(window);
    }

    async fn side(&self, name: &str) -> Result<Rc<Self::Side>, String> {
        self.home.sides.open(name).await
    }

    async fn sides(&self) -> Vec<String> {
        self.home.sides.names().await
    }
}
