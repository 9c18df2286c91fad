//! From committed frames to a destination that has them: packages, requests, answers, dead letters.
//!
//! ```text
//!  spool::Log ─ window ─▶ batcher ─ packages ─▶ body ─▶ carrier ─ request ─▶ pool, tls, dns ─▶ destination
//!      ▲                   one a route           join or    │                                      │
//!      │                                         convert    └◀─ answer ◀──── sink: what it means ◀─┘
//!      └── complete ◀── worker: delivered │ retry, pause (gate) │ split │ dead ─▶ dead-letter file
//!                                         └ set aside ─▶ side lane ─▶ again from there
//! ```
//!
//! - [`source`]: what is taken from; the spool's log, or a script in tests.
//! - [`batcher`]: a window becomes packages, a pure function of the window.
//! - [`body`]: blocks joined as they are, or converted once.
//! - [`carrier`]: what brings a package to a destination: HTTP over a [`carrier::Transport`], files ([`archive`]), nothing.
//! - [`worker`]: the workers of a category, and what every outcome does.
//! - [`gate`], [`retry`]: pauses that all who send to one place share; backoff and `Retry-After`.
//! - [`breaker`], [`concurrency`], [`slots`], [`tokens`]: when a target counts as down, how many requests it gets at once
//!   and whose turn it is, which tokens it refuses.
//! - [`failover`]: which of several targets gets the packages, where one is enough.
//! - [`pace`]: how fast a backlog goes out, and when it will be gone.
//! - [`dead`]: the dead-letter files; [`ranges`]: which points are in them.
//! - [`parked`], [`side_log`]: a package in a side lane, and side lanes over the spool's logs.
//! - [`pool`], [`tls`], [`dns`]: connections.
//! - [`env`]: clocks, sleep and blocking work as a trait: all but the connections runs in tests on a virtual clock.
//!
//! # Promises
//!
//! - A package has one id for ever: over retries, restarts and changes of settings (see [`batcher`]).
//! - A window is completed when each of its points was answered with 2xx by every target or is synced to a dead-letter
//!   file or a side lane. Nothing else moves the cursor, and nothing is dropped.
//! - What one package meets does not stop the others, unless the destination says so (429; 401 and 403 to its own token).
//! - Memory is bounded by windows in flight: workers × categories × (window, and its converted form where there is one),
//!   and a package for each side lane.
//! - Tokens are in request heads and nowhere else.
//!
//! # Starting it on a shard
//!
//! ```text
//! let plan = upload::Plan::new(&settings)?;                      // once, before the shards
//! let uploads = upload::Uploads::start(plan.clone(), seed);      // once a shard
//! for each category that is at home on this shard:
//!     uploads.serve(source, ledger);      // a Source over the category's log, windows up to plan.window_raw_bytes()
//! …
//! uploads.stop(budget).await;             // then flush the logs
//! ```

pub mod archive;
pub mod batcher;
pub mod body;
pub mod breaker;
pub mod carrier;
pub mod concurrency;
pub mod dead;
pub mod dns;
pub mod env;
pub mod failover;
pub mod gate;
pub mod pace;
pub mod parked;
pub mod pool;
mod race;
pub mod ranges;
pub mod retry;
pub mod side_log;
pub mod slots;
pub mod source;
pub mod tls;
pub mod tokens;
pub mod worker;

#[cfg(test)]
pub(crate) mod testing;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::config::{Destination, ProfilingSettings, Settings, UrlsMode};
use crate::sink::{Sink, lines};
use archive::ArchiveCarrier;
use body::Unreadable;
use carrier::{BlackholeCarrier, HttpCarrier};
use dead::DeadLetters;
use env::RtEnv;
use pace::Pace;
use pool::{Pool, PoolSettings, Tls};
use source::Source;
pub use worker::{Ledger, Standing, Stopped};

/// The folder of dead letters in the data directory.
pub const DEAD_DIR: &str = "dead";

/// The archive is on this machine: two windows at a time, one being written while the other is synced.
const ARCHIVE_WORKERS: usize = 2;

/// What every shard's uploads are made of: made once, before the shards start, since it reads certificates.
#[derive(Clone)]
pub struct Plan {
    destination: Destination,
    profiles: ProfilingSettings,
    hostname: String,
    dead: DeadLetters,
    tls: Option<Arc<ClientConfig>>,
    /// What all shards share.
    backlog: Arc<Pace>,
}

impl Plan {
    /// Blocks: reads the machine's certificates if a target wants TLS. The error is for people.
    pub fn new(settings: &Settings) -> Result<Plan, String> {
        let tls = match &settings.destination {
            Destination::Dataway(dataway) if dataway.urls.iter().any(|url| url.tls) => {
                let config = tls::client_config(tls::trusted_roots(), dataway.tls_insecure);
                Some(config.map_err(|error| format!("TLS cannot be set up: {error}"))?)
            }
            _ => None,
        };
        Ok(Plan {
            destination: settings.destination.clone(),
            profiles: settings.profiling.clone(),
            hostname: settings.hostname.clone(),
            dead: DeadLetters::new(settings.data_dir.join(DEAD_DIR)),
            tls,
            backlog: Arc::new(Pace::new(match &settings.destination {
                Destination::Dataway(dataway) => dataway.backlog_bytes_per_s,
                Destination::Archive(_) | Destination::Blackhole => 0,
            })),
        })
    }

    /// Raw bytes of a package: what a source's windows are to be bounded by.
    pub fn window_raw_bytes(&self) -> usize {
        match &self.destination {
            Destination::Dataway(dataway) => dataway.max_raw_body_bytes,
            Destination::Archive(_) | Destination::Blackhole => 1 << 20,
        }
    }

    fn worker_settings(&self) -> worker::Settings {
        let defaults =
            worker::Settings { window_raw_bytes: self.window_raw_bytes() as u64, ..Default::default() };
        match &self.destination {
            Destination::Dataway(dataway) => worker::Settings {
                workers: dataway.workers,
                workers_of_profiles: Some(self.profiles.upload_workers),
                answers_max_of_profiles: self.profiles.answers_max,
                retry_min: dataway.retry_delay,
                retry_max: dataway.retry_delay_max,
                backlog: Arc::clone(&self.backlog),
                failover: dataway.mode == UrlsMode::Failover,
                ..defaults
            },
            Destination::Archive(_) => worker::Settings { workers: ARCHIVE_WORKERS, ..defaults },
            Destination::Blackhole => worker::Settings { workers: 1, ..defaults },
        }
    }
}

/// The uploads of one shard, to whichever destination.
pub enum Uploads {
    Http(Rc<worker::Uploads<HttpCarrier<Pool, RtEnv>, RtEnv>>),
    Archive(Rc<worker::Uploads<ArchiveCarrier<RtEnv>, RtEnv>>),
    Blackhole(Rc<worker::Uploads<BlackholeCarrier, RtEnv>>),
}

impl Uploads {
    /// Call once, on the shard. `seed` is any number that differs between shards and runs: it spreads retries.
    pub fn start(plan: Plan, seed: u64) -> Uploads {
        let settings = plan.worker_settings();
        let sink = Sink::new(&plan.destination, env!("CARGO_PKG_VERSION"), &plan.hostname);
        match (sink, &plan.destination) {
            (Sink::Http(sink), Destination::Dataway(dataway)) => {
                let pool = PoolSettings {
                    timeout: dataway.timeout,
                    timeout_of_profiles: plan.profiles.send_timeout,
                    idle_timeout: dataway.idle_timeout,
                    idle_per_host_max: dataway.max_idle_conns_per_host,
                };
                let reload = if dataway.tls_insecure { insecure_tls } else { trusting_tls };
                let tls = plan.tls.map(|config| Tls::new(config, reload));
                let carrier = HttpCarrier::new(sink, Pool::new(pool, tls), RtEnv, render);
                Uploads::Http(worker::Uploads::new(carrier, RtEnv, settings, plan.dead, seed))
            }
            (Sink::Archive(archive), _) => {
                let carrier = ArchiveCarrier::new(&archive, RtEnv, render);
                Uploads::Archive(worker::Uploads::new(carrier, RtEnv, settings, plan.dead, seed))
            }
            _ => Uploads::Blackhole(worker::Uploads::new(BlackholeCarrier, RtEnv, settings, plan.dead, seed)),
        }
    }

    /// Starts the workers of one category.
    pub fn serve<S: Source, L: Ledger + ?Sized>(&self, source: S, ledger: Rc<L>) {
        match self {
            Uploads::Http(uploads) => spawn_all(uploads.workers(source, ledger)),
            Uploads::Archive(uploads) => spawn_all(uploads.workers(source, ledger)),
            Uploads::Blackhole(uploads) => spawn_all(uploads.workers(source, ledger)),
        }
    }

    /// Takes no new window, lets requests in flight end within `budget`, leaves the rest in the spool.
    pub async fn stop(&self, budget: Duration) -> Stopped {
        match self {
            Uploads::Http(uploads) => uploads.stop(budget).await,
            Uploads::Archive(uploads) => uploads.stop(budget).await,
            Uploads::Blackhole(uploads) => uploads.stop(budget).await,
        }
    }
}

/// The session settings from the certificates that are on this machine now. Both block.
fn trusting_tls() -> Option<Arc<ClientConfig>> {
    tls::client_config(tls::trusted_roots(), false).ok()
}

fn insecure_tls() -> Option<Arc<ClientConfig>> {
    tls::client_config(rustls::RootCertStore::empty(), true).ok()
}

fn spawn_all(workers: Vec<impl Future<Output = ()> + 'static>) {
    for worker in workers {
        crate::rt::spawn(worker);
    }
}

fn render(points: &[u8], out: &mut Vec<u8>) -> Result<u64, Unreadable> {
    lines::line_protocol(points, out).map_err(|_| Unreadable)
}
