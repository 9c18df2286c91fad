//! The destination is down for the whole run: intake goes on, memory stays flat, a full spool says so, and when the
//! destination comes back everything acknowledged arrives.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::check;
use super::client::{self, Fleet};
use super::gateway::{self, Gateway};
use super::kill9::{drain, end_in_words, in_words};
use crate::shared::child::{Scratch, free_port};
use crate::shared::{Outcome, system};
use crate::upstream::{self, Mode, Upstream};

/// The configuration of the case: a small spool.
pub const TEMPLATE: &str = include_str!("../cases/absent-destination/gateway.toml");
/// The bound on resident memory: two shards, 64 connections.
const RSS_BYTES_MAX: u64 = 128 * 1024 * 1024;
const SAMPLE: Duration = Duration::from_millis(100);
const STOP_PATIENCE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(2);

/// Settings of the case.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The gateway's binary.
    #[arg(long)]
    pub gateway: PathBuf,
    /// How long the destination is away, in seconds.
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    pub connections: u32,
    /// Points in a request, at most.
    #[arg(long, default_value_t = 200)]
    pub points_max: u64,
    /// Patience for the backlog at the end, in seconds.
    #[arg(long, default_value_t = 120)]
    pub drain_s: u64,
    /// Another configuration than the case's.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Do not insist that the spool runs full in the time given.
    #[arg(long)]
    pub no_full: bool,
    /// Parent of the scratch directory.
    #[arg(long)]
    pub scratch: Option<PathBuf>,
}

/// Runs the case; true when every claim holds.
pub fn run(options: &Options) -> Outcome<bool> {
    let mut scratch = Scratch::create(options.scratch.as_deref(), "absent")?;
    let outcome = case(options, &scratch);
    if !matches!(outcome, Ok(true)) {
        scratch.keep();
        println!("kept for a look: {}", scratch.path().display());
    }
    outcome
}

fn case(options: &Options, scratch: &Scratch) -> Outcome<bool> {
    let upstream = Upstream::start(&upstream::Options {
        mode: Mode::Absent,
        core: Some(1),
        ..upstream::Options::local()
    })?;
    let address = ([127, 0, 0, 1], free_port()?).into();
    let template = gateway::template(options.config.as_deref(), TEMPLATE)?;
    let gateway =
        Gateway::prepare(&options.gateway, &template, scratch.path(), address, upstream.address(), "0,1")?;
    let (mut server, _) = gateway.start()?;
    let pids = [server.pid()];
    let fleet = Fleet::start(&client::Options {
        address,
        run: 1,
        connections: options.connections,
        categories: ["metric", "logging"].map(str::to_owned).to_vec(),
        points_max: options.points_max,
        pause_ms_max: 2,
        gzip_share: 0.2,
        query: "ack=disk".into(),
        seed: 7,
        core: None,
    });
    let begin = Instant::now();
    let away = Duration::from_secs(options.seconds);
    let (mut samples, mut full_at, mut seconds_said) = (Vec::new(), None, 0);
    while begin.elapsed() < away {
        std::thread::sleep(SAMPLE);
        if let Some(status) = server.exited()? {
            return Err(format!("it ended by itself ({status}): {}", server.log_tail()).into());
        }
        samples.push(system::usage(&pids).rss_bytes);
        let refused = fleet.progress().refused.load(Ordering::Relaxed);
        if refused > 0 && full_at.is_none() {
            full_at = Some(begin.elapsed());
        }
        if begin.elapsed().as_secs() / 5 > seconds_said {
            seconds_said = begin.elapsed().as_secs() / 5;
            println!(
                "{:>4} s: {} points acknowledged, {refused} requests refused, {:.1} MiB resident",
                begin.elapsed().as_secs(),
                fleet.progress().acknowledged.load(Ordering::Relaxed),
                mib(samples.last().copied().unwrap_or(0))
            );
        }
    }
    let p = fleet.progress();
    let read = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    let wrong =
        read(&p.without_retry_after) + read(&p.refused_for_ever) + read(&p.other_ack) + read(&p.unanswered);
    let (sent, remarks) = fleet.finish()?;
    let arrived_while_away = upstream.shared().account().ledger_points;
    upstream.shared().set_mode(Mode::Fast);
    let drained = drain(&upstream, &sent, Duration::from_secs(options.drain_s));
    samples.push(system::usage(&pids).rss_bytes);
    std::thread::sleep(GRACE);
    std::fs::write(scratch.path().join("metrics.txt"), gateway.metrics()?)?;
    let stop = server.stop(STOP_PATIENCE)?;
    let verdict = check::check(&sent, &upstream.shared().account());

    let rss_max = samples.iter().copied().max().unwrap_or(0);
    let half = samples.get(samples.len() / 2).copied().unwrap_or(0);
    println!("{verdict}");
    println!(
        "resident: {:.1} MiB at half time, {:.1} MiB at most (bound {:.0})",
        mib(half),
        mib(rss_max),
        mib(RSS_BYTES_MAX)
    );
    println!(
        "spool full after {}; backlog gone after {}; clean stop: {}",
        in_words(full_at),
        in_words(drained),
        end_in_words(stop)
    );
    remarks.iter().for_each(|remark| println!("  ! {remark}"));
    Ok(verdict.holds()
        && verdict.acknowledged > 0
        && arrived_while_away == 0
        && wrong == 0
        && rss_max <= RSS_BYTES_MAX
        && (full_at.is_some() || options.no_full)
        && drained.is_some()
        && stop.is_some_and(|status| status.success()))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}
