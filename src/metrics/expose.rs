//! The Prometheus text format, version 0.0.4: the table of `names.rs`, written row by row.
//!
//! Cells that were never used are left out where a name has many label values (requests, drops); the ledger is
//! always complete.

use std::{fmt::Write, sync::Arc};

use super::{
    books::{self, STATES},
    counters::{
        BUCKETS_US, Counter, DropReason, Histogram, ProfileMetrics, Refusal, ShardCounters, TargetCounters,
        UPLOAD_ANSWERS,
    },
    errors::LastErrors,
    filters::{FilterStats, PULLS},
    ledger::Account,
    names::{APIS, CATEGORIES, METHODS, METRICS, Metric, STATUSES, TARGETS},
    pulls::{PULL_RESULTS, PullStats},
    scripts::{Runs, ScriptsStats},
};

/// The `Content-Type` of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The counters of all shards.
#[derive(Clone, Debug)]
pub struct Registry {
    shards: Arc<[Arc<ShardCounters>]>,
    filters: Arc<FilterStats>,
    errors: Arc<LastErrors>,
    pulls: Arc<PullStats>,
    scripts: Arc<ScriptsStats>,
}

/// What is not counted but read when the page is asked for.
#[derive(Clone, Debug, Default)]
pub struct Process {
    pub version: &'static str,
    /// `x86_64-linux`.
    pub target: String,
    /// How disk and sockets are driven.
    pub runtime: &'static str,
    pub ready: bool,
    pub now_ms: u64,
    pub started_ms: u64,
    pub resident_bytes: u64,
    pub open_fds: u64,
    pub max_fds: u64,
    pub cpu_ms: u64,
}

impl Registry {
    /// Counters for `shards` shards, all zero.
    pub fn new(shards: usize) -> Registry {
        let shards = (0..shards).map(|_| Arc::new(ShardCounters::default())).collect();
        Registry {
            shards,
            filters: Arc::default(),
            errors: Arc::default(),
            pulls: Arc::default(),
            scripts: Arc::default(),
        }
    }

    /// What is known of the filters in force.
    pub fn filters(&self) -> &FilterStats {
        &self.filters
    }

    /// What is known of scripts.
    pub fn scripts(&self) -> &Arc<ScriptsStats> {
        &self.scripts
    }

    /// The cells of one shard, for its thread to write.
    pub fn shard(&self, index: usize) -> Arc<ShardCounters> {
        Arc::clone(&self.shards[index])
    }

    /// What other programs reported of themselves.
    pub fn errors(&self) -> &LastErrors {
        &self.errors
    }

    /// What became of asking Go programs for their profiles.
    pub fn pulls(&self) -> &Arc<PullStats> {
        &self.pulls
    }

    /// The points of one category, by its index.
    pub fn account(&self, category: usize) -> Account {
        Account::of(&self.shards, category)
    }

    /// The books of one category, by its index: those of its home shard.
    pub fn books(&self, category: usize) -> books::Page {
        let pages = self.shards.iter().map(|shard| shard.categories[category].books.read());
        pages.max_by_key(|page| page.all.taken).unwrap_or_default()
    }

    /// The whole page.
    pub fn render(&self, process: &Process) -> String {
        let mut page =
            Page { out: String::with_capacity(PAGE_BYTES), registry: self, process, metric: &METRICS[0] };
        for metric in METRICS {
            page.metric = metric;
            let kind = metric.kind.name();
            write!(page.out, "# HELP {} {}\n# TYPE {0} {kind}\n", metric.name, metric.help)
                .expect(INFALLIBLE);
            (metric.write)(&mut page);
        }
        page.out
    }
}

/// About what a page of a busy gateway takes.
const PAGE_BYTES: usize = 32 << 10;
const INFALLIBLE: &str = "BUG: writing to a String cannot fail";

/// The page being written, and the row whose turn it is.
pub struct Page<'a> {
    out: String,
    registry: &'a Registry,
    process: &'a Process,
    metric: &'static Metric,
}

impl Page<'_> {
    fn sum(&self, read: impl Fn(&ShardCounters) -> u64) -> u64 {
        self.registry.shards.iter().map(|shard| read(shard)).sum()
    }

    /// One line: the row's name with `suffix`, its labels with `values`, then `extra` (`le="…"`), then the value.
    fn line(&mut self, suffix: &str, values: &[&str], extra: Option<&str>, value: impl std::fmt::Display) {
        let labels = self.metric.labels;
        assert!(labels.len() == values.len(), "BUG: {} has other labels", self.metric.name);
        self.out.push_str(self.metric.name);
        self.out.push_str(suffix);
        let mut separator = '{';
        for (label, value) in labels.iter().zip(values) {
            write!(self.out, "{separator}{label}=\"").expect(INFALLIBLE);
            escape(value, &mut self.out);
            self.out.push('"');
            separator = ',';
        }
        if let Some(extra) = extra {
            write!(self.out, "{separator}{extra}").expect(INFALLIBLE);
            separator = ',';
        }
        if separator == ',' {
            self.out.push('}');
        }
        writeln!(self.out, " {value}").expect(INFALLIBLE);
    }

    fn value(&mut self, value: impl std::fmt::Display) {
        self.line("", &[], None, value);
    }

    fn counter(&mut self, read: impl Fn(&ShardCounters) -> &Counter) {
        let sum = self.sum(|shard| read(shard).get());
        self.value(sum);
    }

    fn per_script(&mut self, read: impl Fn(&Runs) -> u64) {
        for script in self.registry.scripts.list() {
            self.line("", &[script.category, &script.name, script.namespace], None, read(&script.read()));
        }
    }

    fn per_category(&mut self, read: impl Fn(&ShardCounters, usize) -> u64) {
        for (index, name) in CATEGORIES.iter().enumerate() {
            let sum = self.sum(|shard| read(shard, index));
            self.line("", &[name], None, sum);
        }
    }

    fn histogram(&mut self, read: impl Fn(&ShardCounters) -> &Histogram) {
        let mut sums = [0_u64; BUCKETS_US.len() + 1];
        let mut total_ns = 0_u64;
        for shard in self.registry.shards.iter() {
            let (buckets, sum_ns) = read(shard).read();
            sums.iter_mut().zip(buckets).for_each(|(sum, bucket)| *sum += bucket);
            total_ns = total_ns.wrapping_add(sum_ns);
        }
        let mut below = 0;
        for (bound_us, count) in BUCKETS_US.iter().zip(sums) {
            below += count;
            let bound = format!("le=\"{}\"", Seconds::from_us(*bound_us));
            self.line("_bucket", &[], Some(&bound), below);
        }
        below += sums[BUCKETS_US.len()];
        self.line("_bucket", &[], Some("le=\"+Inf\""), below);
        self.line("_sum", &[], None, Seconds(total_ns));
        self.line("_count", &[], None, below);
    }

    /// Calls `write` for each used combination with its count, time and bytes.
    fn requests(&mut self, write: impl Fn(&mut Self, &[&str], [u64; 3])) {
        for (api, api_name) in APIS.iter().enumerate() {
            for (method, method_name) in METHODS.iter().enumerate() {
                for status in 0..=STATUSES.len() {
                    let mut sums = [0_u64; 3];
                    for shard in self.registry.shards.iter() {
                        let cell = shard.cell(api, method, status);
                        let values = [cell.count.get(), cell.elapsed_ns.get(), cell.body_bytes.get()];
                        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.wrapping_add(value));
                    }
                    if sums[0] > 0 {
                        let status_name = STATUSES.get(status).map_or("other", |(_, name)| *name);
                        write(self, &[api_name, method_name, status_name], sums);
                    }
                }
            }
        }
    }
}

/// Nanoseconds, written in seconds without a float's noise.
struct Seconds(u64);

impl Seconds {
    const fn from_us(us: u64) -> Seconds {
        Seconds(us * 1_000)
    }
}

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, mut rest) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        write!(f, "{whole}")?;
        if rest > 0 {
            let mut digits = 9;
            while rest.is_multiple_of(10) {
                rest /= 10;
                digits -= 1;
            }
            write!(f, ".{rest:0digits$}")?;
        }
        Ok(())
    }
}

fn escape(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

// The rows' writers, in the order of the table.

pub(super) fn build_info(page: &mut Page<'_>) {
    let process = page.process;
    page.line("", &[process.version, &process.target, process.runtime], None, 1);
}

pub(super) fn start_time(page: &mut Page<'_>) {
    page.value(Seconds(page.process.started_ms * 1_000_000));
}

pub(super) fn uptime(page: &mut Page<'_>) {
    page.value(Seconds(page.process.now_ms.saturating_sub(page.process.started_ms) * 1_000_000));
}

pub(super) fn shards(page: &mut Page<'_>) {
    page.value(page.registry.shards.len());
}

pub(super) fn ready(page: &mut Page<'_>) {
    page.value(u8::from(page.process.ready));
}

pub(super) fn resident(page: &mut Page<'_>) {
    page.value(page.process.resident_bytes);
}

pub(super) fn open_fds(page: &mut Page<'_>) {
    page.value(page.process.open_fds);
}

pub(super) fn max_fds(page: &mut Page<'_>) {
    page.value(page.process.max_fds);
}

pub(super) fn cpu_seconds(page: &mut Page<'_>) {
    page.value(Seconds(page.process.cpu_ms * 1_000_000));
}

pub(super) fn points_in(page: &mut Page<'_>) {
    page.per_category(|shard, category| shard.categories[category].points_in.get());
}

pub(super) fn points_recovered(page: &mut Page<'_>) {
    page.per_category(|shard, category| shard.categories[category].points_recovered.get());
}

pub(super) fn points_in_flight(page: &mut Page<'_>) {
    for (index, name) in CATEGORIES.iter().enumerate() {
        let in_flight = page.registry.account(index).in_flight();
        page.line("", &[name], None, in_flight);
    }
}

pub(super) fn ledger_points(page: &mut Page<'_>) {
    for (index, name) in CATEGORIES.iter().enumerate() {
        for (state, points) in STATES.iter().zip(page.registry.books(index).all.values()) {
            page.line("", &[name, state], None, points);
        }
    }
}

pub(super) fn ledger_lane_points(page: &mut Page<'_>) {
    for (index, name) in CATEGORIES.iter().enumerate() {
        for (lane, sums) in page.registry.books(index).lanes {
            for (state, points) in STATES.iter().zip(sums.values()) {
                page.line("", &[name, &lane, state], None, points);
            }
        }
    }
}

pub(super) fn points_spooled(page: &mut Page<'_>) {
    page.per_category(|shard, category| shard.categories[category].spooled_points.get());
}

pub(super) fn points_delivered(page: &mut Page<'_>) {
    page.per_category(|shard, category| shard.categories[category].points_delivered.get());
}

pub(super) fn points_dead(page: &mut Page<'_>) {
    page.per_category(|shard, category| shard.categories[category].points_dead.get());
}

pub(super) fn points_dropped(page: &mut Page<'_>) {
    for (index, name) in CATEGORIES.iter().enumerate() {
        for reason in DropReason::ALL {
            let sum = page.sum(|shard| shard.categories[index].dropped(*reason));
            page.line("", &[name, reason.name()], None, sum);
        }
    }
}

pub(super) fn filter_rules(page: &mut Page<'_>) {
    for (index, name) in CATEGORIES.iter().enumerate() {
        let rules = page.registry.filters.rules[index].get();
        page.line("", &[name], None, rules);
    }
}

pub(super) fn filter_refused_rules(page: &mut Page<'_>) {
    page.value(page.registry.filters.refused_rules.get());
}

pub(super) fn filter_pulls(page: &mut Page<'_>) {
    for (index, name) in PULLS.iter().enumerate() {
        let pulls = page.registry.filters.pulls[index].get();
        page.line("", &[name], None, pulls);
    }
}

pub(super) fn scripts_loaded(page: &mut Page<'_>) {
    let scripts = Arc::clone(&page.registry.scripts);
    for (name, loaded) in CATEGORIES.iter().zip(&scripts.loaded) {
        page.line("", &[name], None, loaded.get());
    }
}

pub(super) fn scripts_broken(page: &mut Page<'_>) {
    page.value(page.registry.scripts.broken.get());
}

pub(super) fn script_pulls(page: &mut Page<'_>) {
    let scripts = Arc::clone(&page.registry.scripts);
    for (name, pulls) in PULLS.iter().zip(&scripts.pulls) {
        page.line("", &[name], None, pulls.get());
    }
}

pub(super) fn script_points(page: &mut Page<'_>) {
    page.per_script(|runs| runs.points);
}

pub(super) fn script_dropped(page: &mut Page<'_>) {
    page.per_script(|runs| runs.dropped);
}

pub(super) fn script_errors(page: &mut Page<'_>) {
    page.per_script(|runs| runs.errors);
}

pub(super) fn script_created(page: &mut Page<'_>) {
    page.per_script(|runs| runs.created);
}

pub(super) fn script_seconds(page: &mut Page<'_>) {
    for script in page.registry.scripts.list() {
        let labels = [script.category, &script.name, script.namespace];
        page.line("", &labels, None, Seconds(script.read().ns));
    }
}

pub(super) fn profile_pulls(page: &mut Page<'_>) {
    for (name, count) in PULL_RESULTS.iter().zip(page.registry.pulls.read()) {
        page.line("", &[name], None, count);
    }
}

pub(super) fn points_warned(page: &mut Page<'_>) {
    page.per_category(|shard, category| shard.categories[category].points_warned.get());
}

pub(super) fn connections_open(page: &mut Page<'_>) {
    let closed = page.sum(|shard| shard.net.connections_closed.get());
    let opened = page.sum(|shard| shard.net.connections_opened.get());
    page.value(opened.saturating_sub(closed));
}

pub(super) fn connections_total(page: &mut Page<'_>) {
    page.counter(|shard| &shard.net.connections_opened);
}

pub(super) fn received_bytes(page: &mut Page<'_>) {
    page.counter(|shard| &shard.net.received_bytes);
}

pub(super) fn sent_bytes(page: &mut Page<'_>) {
    page.counter(|shard| &shard.net.sent_bytes);
}

pub(super) fn refused(page: &mut Page<'_>) {
    for reason in Refusal::ALL {
        let sum = page.sum(|shard| shard.refused(*reason));
        page.line("", &[reason.name()], None, sum);
    }
}

pub(super) fn profile_metrics(page: &mut Page<'_>) {
    for outcome in ProfileMetrics::ALL {
        let sum = page.sum(|shard| shard.profile_metrics_of(outcome));
        page.line("", &[outcome.name()], None, sum);
    }
}

pub(super) fn write_seconds(page: &mut Page<'_>) {
    page.histogram(|shard| &shard.write);
}

pub(super) fn blocks_sealed(page: &mut Page<'_>) {
    page.counter(|shard| &shard.blocks.sealed);
}

pub(super) fn blocks_raw(page: &mut Page<'_>) {
    page.counter(|shard| &shard.blocks.raw_bytes);
}

pub(super) fn blocks_payload(page: &mut Page<'_>) {
    page.counter(|shard| &shard.blocks.payload_bytes);
}

pub(super) fn seal_seconds(page: &mut Page<'_>) {
    page.histogram(|shard| &shard.blocks.seal);
}

pub(super) fn ring_full(page: &mut Page<'_>) {
    page.counter(|shard| &shard.blocks.ring_full);
}

pub(super) fn commit_seconds(page: &mut Page<'_>) {
    page.histogram(|shard| &shard.commits.commit);
}

pub(super) fn commit_frames(page: &mut Page<'_>) {
    page.counter(|shard| &shard.commits.frames);
}

pub(super) fn commit_bytes(page: &mut Page<'_>) {
    page.counter(|shard| &shard.commits.bytes);
}

pub(super) fn commit_failures(page: &mut Page<'_>) {
    page.counter(|shard| &shard.commits.failures);
}

pub(super) fn spool_bytes(page: &mut Page<'_>) {
    page.per_category(|shard, category| shard.categories[category].spooled_bytes.get());
}

pub(super) fn spool_segments(page: &mut Page<'_>) {
    page.per_category(|shard, category| shard.categories[category].segments.get());
}

pub(super) fn spool_oldest(page: &mut Page<'_>) {
    for (index, name) in CATEGORIES.iter().enumerate() {
        let stamps = page.registry.shards.iter().map(|shard| shard.categories[index].oldest_ms.get());
        let oldest_ms = stamps.filter(|ms| *ms > 0).min();
        let age_ms = oldest_ms.map_or(0, |ms| page.process.now_ms.saturating_sub(ms));
        page.line("", &[name], None, Seconds(age_ms * 1_000_000));
    }
}

pub(super) fn spool_damaged(page: &mut Page<'_>) {
    page.per_category(|shard, category| shard.categories[category].damaged_frames.get());
}

pub(super) fn upload_packages(page: &mut Page<'_>) {
    page.per_category(|shard, category| shard.categories[category].packages_delivered.get());
}

pub(super) fn upload_answers(page: &mut Page<'_>) {
    for (index, class) in UPLOAD_ANSWERS.iter().enumerate() {
        let sum = page.sum(|shard| shard.uploads.answers[index].get());
        page.line("", &[class], None, sum);
    }
}

pub(super) fn upload_retries(page: &mut Page<'_>) {
    page.counter(|shard| &shard.uploads.retries);
}

pub(super) fn upload_bytes(page: &mut Page<'_>) {
    page.counter(|shard| &shard.uploads.body_bytes);
}

pub(super) fn upload_in_flight(page: &mut Page<'_>) {
    let of = |shard: &ShardCounters| shard.targets.iter().map(|target| target.in_flight.get()).sum();
    let sum = page.sum(of);
    page.value(sum);
}

fn per_target(page: &mut Page<'_>, read: impl Fn(&TargetCounters) -> u64) {
    for (index, name) in TARGETS.iter().enumerate() {
        // A target that was never sent anything is none, but for the first, which there always is.
        if index == 0 || page.sum(|shard| shard.targets[index].limit.get()) > 0 {
            let sum = page.sum(|shard| read(&shard.targets[index]));
            page.line("", &[name], None, sum);
        }
    }
}

pub(super) fn upload_down(page: &mut Page<'_>) {
    per_target(page, |target| target.down.get());
}

pub(super) fn upload_opened(page: &mut Page<'_>) {
    per_target(page, |target| target.opened.get());
}

pub(super) fn upload_limit(page: &mut Page<'_>) {
    per_target(page, |target| target.limit.get());
}

pub(super) fn upload_tokens(page: &mut Page<'_>) {
    per_target(page, |target| target.tokens_refused.get());
}

pub(super) fn upload_set_aside(page: &mut Page<'_>) {
    page.per_category(|shard, category| shard.categories[category].points_set_aside.get());
}

pub(super) fn upload_side_points(page: &mut Page<'_>) {
    page.per_category(|shard, category| shard.categories[category].parked_points.get());
}

pub(super) fn upload_side_packages(page: &mut Page<'_>) {
    page.per_category(|shard, category| shard.categories[category].parked_packages.get());
}

pub(super) fn upload_backlog(page: &mut Page<'_>) {
    page.per_category(|shard, category| shard.categories[category].backlog_points.get());
}

pub(super) fn upload_eta(page: &mut Page<'_>) {
    // Each category has one home; the others show zero.
    page.per_category(|shard, category| shard.categories[category].backlog_eta_s.get());
}

pub(super) fn upload_seconds(page: &mut Page<'_>) {
    page.histogram(|shard| &shard.uploads.latency);
}

pub(super) fn shard_busy(page: &mut Page<'_>) {
    for (index, shard) in page.registry.shards.iter().enumerate() {
        let mut buffer = itoa::Buffer::new();
        page.line("", &[buffer.format(index)], None, Seconds(shard.busy_ns.get()));
    }
}

pub(super) mod datakit;
#[cfg(test)]
mod tests;
