//! What the shards of a process share: settings and counters to read, and a few flags. Nothing on the path of a point.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use rustls::server::ServerConfig;

use crate::admin::{self, Page, process, ready};
use crate::aside::{self, Desk, sourcemap};
use crate::config::{self, Compat as CompatSetting, Settings};
use crate::intake::datakit::rum::{RumOptions, sourcemap::FirstToken};
use crate::intake::{self, access, access::RateLimiter};
use crate::metrics::Registry;
use crate::pipeline::state::tables::LiveTables;
use crate::point::sinker::Sinker;
use crate::point::{Category, Compat, GlobalTags};
use crate::upload;

use super::dedup::Dedup;
use super::policy::Board;
use super::profile::Submitted;

/// Profiles that wait there. Whoever fetches them waits too.
const SUBMITTED_MAX: usize = 2;

/// What a reload replaces, as a whole: a request sees the old or the new, never some of each.
pub struct Live {
    pub settings: Settings,
    pub intake: intake::Settings,
    /// Requests by client and route, where they are limited.
    pub limiter: Option<Arc<RateLimiter>>,
    /// What every shard's uploads are made of.
    pub upload: upload::Plan,
    /// What clients see, as the files were when these settings were read.
    pub tls: Option<super::tls::Loaded>,
}

impl Live {
    /// Everything that can be wrong with settings on this machine is found here: it blocks, and reads certificates. What
    /// outlives a change of settings is taken over from `before`.
    pub fn new(settings: Settings, before: Option<&Live>) -> io::Result<Live> {
        let mut intake = intake::Settings::new(intake_options(&settings)?);
        intake.sinker = Sinker::of(&settings).map(Arc::new);
        let rate = intake.options.access.rate;
        let mut limiter = None;
        if let Some(before) = before {
            intake.geo = Arc::clone(&before.intake.geo);
            intake.filters = Arc::clone(&before.intake.filters);
            intake.scripts = Arc::clone(&before.intake.scripts);
            intake.sources = Arc::clone(&before.intake.sources);
            intake.remembered = Arc::clone(&before.intake.remembered);
            limiter = before.limiter.clone().filter(|_| before.intake.options.access.rate == rate);
        }
        let limiter = limiter.or_else(|| rate.map(RateLimiter::new).map(Arc::new));
        let upload = upload::Plan::new(&settings).map_err(io::Error::other)?;
        let tls = settings.http.tls.as_ref().map(super::tls::load).transpose().map_err(io::Error::other)?;
        Ok(Live { settings, intake, limiter, upload, tls })
    }
}

/// How the shards are to stop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stop {
    /// Requests are served so long, each with the word that it is the last on its connection.
    pub delay: Duration,
    /// From then on, for everything.
    pub budget: Duration,
    /// Uploads end during the delay and not after the commits: another process waits for the spool.
    pub uploads_at_once: bool,
}

/// Shared by all shards of the process.
pub struct Common {
    live: ArcSwap<Live>,
    pub registry: Registry,
    /// Where requests are answered that no shard answers.
    pub desk: Desk,
    /// Open connections of the process.
    pub connections: Arc<AtomicUsize>,
    /// Big bodies that are being decoded or sent: see `slow`.
    pub big_bodies: AtomicUsize,
    /// Shards that still have requests to finish; homes wait for all of them before they stop.
    pub feeding: AtomicUsize,
    /// What clients see now.
    pub tls: Arc<ArcSwapOption<ServerConfig>>,
    /// Packages that were stored a moment ago.
    pub dedup: Arc<Dedup>,
    /// Profiles that the gateway has fetched itself, on their way to the first shard.
    pub submitted: (flume::Sender<Submitted>, flume::Receiver<Submitted>),
    /// Reference tables of scripts.
    pub tables: Arc<LiveTables>,
    /// What the logs of all shards hold.
    pub board: Board,
    stop: OnceLock<Stop>,
    ready: AtomicBool,
    full: [AtomicBool; crate::point::CATEGORY_COUNT],
    failed: [AtomicBool; crate::point::CATEGORY_COUNT],
    started: Instant,
}

impl Common {
    pub fn new(live: Live, registry: Registry, shards: usize, orders: aside::Orders) -> Common {
        let sourcemaps = sourcemap::Store::new(&live.settings.data_dir, Arc::clone(&live.intake.sources));
        Common {
            tls: Arc::new(ArcSwapOption::new(live.tls.as_ref().map(|loaded| Arc::clone(&loaded.config)))),
            live: ArcSwap::from_pointee(live),
            desk: Desk::new(orders, registry.clone(), Arc::new(sourcemaps)),
            registry,
            connections: Arc::default(),
            big_bodies: AtomicUsize::new(0),
            feeding: AtomicUsize::new(shards),
            dedup: Arc::default(),
            submitted: flume::bounded(SUBMITTED_MAX),
            tables: Arc::default(),
            board: Board::default(),
            stop: OnceLock::new(),
            ready: AtomicBool::new(false),
            full: Default::default(),
            failed: Default::default(),
            started: Instant::now(),
        }
    }

    /// What holds now, for the length of a look.
    pub fn live(&self) -> Guard<Arc<Live>> {
        self.live.load()
    }

    /// What holds now, for longer.
    pub fn live_owned(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// From now on this holds.
    pub fn set_live(&self, live: Arc<Live>) {
        self.live.store(live);
    }

    /// A number that differs between shards and runs: spreads retries.
    pub fn seed(&self, shard: usize) -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        (now.as_nanos() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ shard as u64
    }

    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The shards are to stop, once they are woken. The first word counts.
    pub fn stop(&self, stop: Stop) {
        let _ = self.stop.set(stop);
    }

    pub fn is_stopping(&self) -> bool {
        self.stop.get().is_some()
    }

    pub fn how_to_stop(&self) -> Stop {
        self.stop.get().copied().unwrap_or_default()
    }

    /// Every shard accepts connections.
    pub fn mark_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Whether a category's spool refuses new data, and whether because of the disk.
    pub fn set_state(&self, category: Category, full: bool, failed: bool) {
        self.set_full(category, full);
        self.failed[category.index()].store(failed, Ordering::Relaxed);
    }

    /// Room comes back long after the last commit, when delivered segments are let go of.
    pub fn set_full(&self, category: Category, full: bool) {
        self.full[category.index()].store(full, Ordering::Relaxed);
    }

    pub fn readiness(&self) -> ready::State {
        let named = |flags: &[AtomicBool]| {
            let set =
                Category::ALL.into_iter().filter(|category| flags[category.index()].load(Ordering::Relaxed));
            set.map(Category::name).collect()
        };
        ready::State {
            started: self.ready.load(Ordering::Acquire),
            stopping: self.is_stopping(),
            full: named(&self.full),
            failed: named(&self.failed),
        }
    }

    pub fn metrics_page(&self) -> Page {
        let mut process = process::look("glommio, epoll sockets, io_uring files");
        process.ready = self.readiness().is_ready();
        admin::metrics(&self.registry, &process)
    }

    /// One line for the end of the log: where the points went.
    pub fn summary(&self) -> String {
        let mut sums = [0u64; 5];
        for category in Category::ALL {
            let account = self.registry.account(category.index());
            let parts = [
                account.points_in + account.recovered,
                account.delivered,
                account.spooled,
                account.dead,
                account.dropped.iter().sum(),
            ];
            for (sum, part) in sums.iter_mut().zip(parts) {
                *sum += part;
            }
        }
        let [taken, delivered, spooled, dead, dropped] = sums;
        format!(
            "points: {taken} taken, {delivered} delivered, {spooled} spooled, {dead} dead, {dropped} dropped"
        )
    }
}

fn intake_options(settings: &Settings) -> io::Result<intake::Options> {
    let tags = |tags: &[(String, String)]| {
        GlobalTags::new(tags.iter().map(|(key, value)| (key.as_str(), value.as_str())))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("global tags: {error}")))
    };
    Ok(intake::Options {
        compat: match settings.compat {
            CompatSetting::Documented => Compat::Documented,
            CompatSetting::Datakit184 => Compat::Datakit184,
        },
        ack: match settings.ack {
            config::Ack::Memory => intake::Ack::Memory,
            config::Ack::Disk => intake::Ack::Disk,
            config::Ack::Upstream => intake::Ack::Upstream,
        },
        body_bytes_max: settings.limits.decoded_body_bytes_max,
        host_tags: tags(&settings.global_host_tags)?,
        host_tag_pairs: settings.global_host_tags.clone(),
        election_tag_pairs: settings.global_election_tags.clone(),
        election: settings.election,
        election_tags: tags(&settings.global_election_tags)?,
        time_correction: settings.auto_timestamp_correction,
        access: access::Options {
            public_apis: settings.http.public_apis.clone(),
            trusted_proxies: settings.http.trusted_proxies.clone(),
            rate: settings.http.rate_limit.map(|rate| access::Rate {
                per_s: rate.per_s,
                burst: rate.burst.unwrap_or_else(|| access::rate::recorded_burst(rate.per_s)),
                ttl: rate.ttl,
            }),
            token_routing: settings.http.token_routing,
            tokens: settings.http.tokens.clone(),
        },
        disable_404page: settings.http.disable_404page,
        allowed_cors_origins: settings.http.allowed_cors_origins.clone(),
        rum: RumOptions {
            app_ids: settings.rum.app_ids.clone(),
            measurements: settings.rum.measurements.clone(),
            origin_ip_header: settings.rum.origin_ip_header.clone(),
            sourcemap: settings.rum.sourcemap.enabled.then(|| FirstToken::of(&settings.destination)),
        },
        datadog: settings.datadog.clone(),
        skywalking: settings.skywalking.clone(),
        profiling: settings.profiling.clone(),
        otlp: settings.otlp.clone(),
        zipkin: settings.zipkin.clone(),
        dialtesting: settings.dialtesting.enabled,
        hostname: settings.hostname.clone(),
        ..intake::Options::default()
    })
}
