//! What the shards of a process share: settings and counters to read, and a few flags. Nothing on the path of a point.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::admin::{self, Page, process, ready};
use crate::config::{self, Compat as CompatSetting, Settings};
use crate::intake::datakit::rum::RumOptions;
use crate::intake::{self, access, access::RateLimiter};
use crate::metrics::Registry;
use crate::point::{Category, Compat, GlobalTags};
use crate::spool::Owner;
use crate::upload;

/// Shared by all shards of the process.
pub struct Common {
    pub settings: Settings,
    pub intake: intake::Settings,
    /// Requests by client and route, where they are limited.
    pub limiter: Option<RateLimiter>,
    pub registry: Registry,
    /// What every shard's uploads are made of.
    pub upload: upload::Plan,
    /// The data directory is ours for as long as this lives.
    _owner: Owner,
    /// Open connections of the process.
    pub connections: Arc<AtomicUsize>,
    /// Big bodies that are being decoded or sent: see `slow`.
    pub big_bodies: AtomicUsize,
    /// Shards that still have requests to finish; homes wait for all of them before they stop.
    pub feeding: AtomicUsize,
    stopping: AtomicBool,
    ready: AtomicBool,
    full: [AtomicBool; crate::point::CATEGORY_COUNT],
    failed: [AtomicBool; crate::point::CATEGORY_COUNT],
    started: Instant,
}

impl Common {
    pub fn new(
        settings: Settings,
        registry: Registry,
        connections: Arc<AtomicUsize>,
        shards: usize,
    ) -> io::Result<Common> {
        let intake = intake::Settings::new(intake_options(&settings)?);
        let owner = Owner::take(&settings.data_dir).map_err(|error| io::Error::other(error.to_string()))?;
        let upload = upload::Plan::new(&settings).map_err(io::Error::other)?;
        Ok(Common {
            settings,
            limiter: intake.options.access.rate.map(RateLimiter::new),
            intake,
            registry,
            upload,
            _owner: owner,
            connections,
            big_bodies: AtomicUsize::new(0),
            feeding: AtomicUsize::new(shards),
            stopping: AtomicBool::new(false),
            ready: AtomicBool::new(false),
            full: Default::default(),
            failed: Default::default(),
            started: Instant::now(),
        })
    }

    /// A number that differs between shards and runs: spreads retries.
    pub fn seed(&self, shard: usize) -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        (now.as_nanos() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ shard as u64
    }

    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
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
        },
        datadog: settings.datadog.clone(),
        skywalking: settings.skywalking.clone(),
        hostname: settings.hostname.clone(),
        ..intake::Options::default()
    })
}
