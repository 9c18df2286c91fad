//! kill -9 at random instants under load, again and again; then everything acknowledged must have arrived.
//!
//! The destination changes its manners every round: an answer may be late, refused, or lost after the package was
//! taken, so that packages are in every state when the process dies. One kill in ten falls into the start-up itself.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::check::{self, Verdict};
use super::client::{self, Fleet};
use super::gateway::{self, Gateway};
use crate::shared::child::{Scratch, free_port};
use crate::shared::random::Random;
use crate::shared::{Outcome, system};
use crate::upstream::{self, Mode, Upstream};

/// The configuration of the case.
pub const TEMPLATE: &str = include_str!("../cases/kill9/gateway.toml");
/// Share of kills that fall into recovery.
const DURING_START: f64 = 0.1;
/// A clean stop may take so long: what is committed need not be delivered first.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// After everything has arrived, duplicates get this long to show up.
const GRACE: Duration = Duration::from_secs(2);
/// The share of failing answers, and of answers that are lost, in rounds that have them.
const TROUBLE_SHARE: f64 = 0.3;

/// Settings of the case.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The gateway's binary.
    #[arg(long)]
    pub gateway: PathBuf,
    /// Kills.
    #[arg(long, default_value_t = 20)]
    pub rounds: u32,
    /// Seed of every decision; printed, so that a run can be repeated. Default: the clock.
    #[arg(long)]
    pub seed: Option<u64>,
    /// A round lasts at least so long, in milliseconds.
    #[arg(long, default_value_t = 40)]
    pub round_ms_min: u64,
    /// A round lasts at most so long, in milliseconds.
    #[arg(long, default_value_t = 900)]
    pub round_ms_max: u64,
    /// Connections.
    #[arg(long, default_value_t = 32)]
    pub connections: u32,
    /// Patience for the backlog at the end, in seconds.
    #[arg(long, default_value_t = 120)]
    pub drain_s: u64,
    /// The level to ask for. With `memory` losses are what must be found: the counter-check of this case.
    #[arg(long, default_value = "disk")]
    pub ack: String,
    /// Another configuration than the case's.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Parent of the scratch directory.
    #[arg(long)]
    pub scratch: Option<PathBuf>,
}

/// Runs the case; true when the ledger balances.
pub fn run(options: &Options) -> Outcome<bool> {
    let clock = std::time::UNIX_EPOCH.elapsed().map_or(1, |d| d.as_nanos() as u64);
    let seed = options.seed.unwrap_or(clock);
    println!("kill9: {} rounds, --seed {seed}", options.rounds);
    let mut scratch = Scratch::create(options.scratch.as_deref(), "kill9")?;
    let outcome = rounds(options, seed, &scratch);
    if !matches!(outcome, Ok(true)) {
        scratch.keep();
        println!("kept for a look: {}", scratch.path().display());
    }
    outcome
}

fn rounds(options: &Options, seed: u64, scratch: &Scratch) -> Outcome<bool> {
    let mut random = Random::new(seed);
    let upstream = Upstream::start(&upstream::Options { seed, core: Some(1), ..upstream::Options::local() })?;
    let address = ([127, 0, 0, 1], free_port()?).into();
    let template = gateway::template(options.config.as_deref(), TEMPLATE)?;
    let gateway =
        Gateway::prepare(&options.gateway, &template, scratch.path(), address, upstream.address(), "0,1")?;
    let fleet = Fleet::start(&client::Options {
        address,
        run: 1,
        connections: options.connections,
        categories: ["metric", "logging", "tracing", "object"].map(str::to_owned).to_vec(),
        points_max: 40,
        pause_ms_max: 10,
        gzip_share: 0.2,
        query: format!("ack={}", options.ack),
        seed,
        core: None,
    });
    let (mut starts_ms, mut kills_at_start) = (Vec::new(), 0);
    for round in 0..options.rounds {
        let mode = manners(&mut random);
        upstream.shared().set_mode(mode.clone());
        if random.chance(DURING_START) {
            let mut server = gateway.spawn()?;
            std::thread::sleep(Duration::from_micros(random.range(0, 60_000)));
            if let Some(status) = server.exited()? {
                return Err(
                    format!("round {round}: it ended by itself ({status}): {}", server.log_tail()).into()
                );
            }
            server.kill()?;
            kills_at_start += 1;
        }
        let (mut server, took) = gateway.start().map_err(|e| format!("round {round}: {e}"))?;
        starts_ms.push(took.as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(random.range(options.round_ms_min, options.round_ms_max)));
        if let Some(status) = server.exited()? {
            return Err(format!("round {round}: it ended by itself ({status}): {}", server.log_tail()).into());
        }
        server.kill()?;
        if (round + 1) % 10 == 0 || round + 1 == options.rounds {
            println!(
                "round {:>3}: {} points acknowledged, {} arrived",
                round + 1,
                fleet.progress().acknowledged.load(Ordering::Relaxed),
                upstream.shared().account().ledger_points
            );
        }
    }

    upstream.shared().set_mode(Mode::Fast);
    let (mut server, _) = gateway.start()?;
    let (other_ack, refused_for_ever, unanswered, without_retry_after) = {
        let p = fleet.progress();
        let read = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        (read(&p.other_ack), read(&p.refused_for_ever), read(&p.unanswered), read(&p.without_retry_after))
    };
    let (sent, remarks) = fleet.finish()?;
    let drained = drain(&upstream, &sent, Duration::from_secs(options.drain_s));
    std::thread::sleep(GRACE);
    let metrics = gateway.metrics().unwrap_or_else(|e| format!("{e}"));
    std::fs::write(scratch.path().join("metrics.txt"), metrics)?;
    let stop = server.stop(STOP_PATIENCE)?;
    // A clean stop leaves nothing that a further start would send under another id.
    let (mut server, _) = gateway.start()?;
    std::thread::sleep(GRACE);
    server.stop(STOP_PATIENCE)?;

    let verdict: Verdict = check::check(&sent, &upstream.shared().account());
    starts_ms.sort_by(f64::total_cmp);
    println!("{verdict}");
    println!(
        "{} kills under load and {kills_at_start} during start; start to listening: median {:.0} ms, longest {:.0} ms",
        starts_ms.len(),
        starts_ms.get(starts_ms.len() / 2).copied().unwrap_or(0.0),
        starts_ms.last().copied().unwrap_or(0.0)
    );
    println!("backlog gone after {}; clean stop: {}", in_words(drained), end_in_words(stop));
    println!(
        "answers that must not be: 4xx {refused_for_ever}, another ack than asked {other_ack}, none {unanswered}, 503 \
         without Retry-After {without_retry_after}"
    );
    remarks.iter().for_each(|remark| println!("  ! {remark}"));
    println!("{}", system::describe());
    let clean = stop.is_some_and(|status| status.success());
    let answers = other_ack + refused_for_ever + unanswered + without_retry_after == 0;
    Ok(verdict.holds() && verdict.acknowledged > 0 && drained.is_some() && clean && answers)
}

/// How the destination behaves in a round.
fn manners(random: &mut Random) -> Mode {
    match random.range(0, 9) {
        0 => Mode::Absent,
        1 => Mode::Slow(Duration::from_millis(random.range(1, 300))),
        2 => Mode::Failing { status: 503, share: TROUBLE_SHARE },
        3 | 4 => Mode::Forgetful(TROUBLE_SHARE),
        5 => Mode::Silent,
        _ => Mode::Fast,
    }
}

/// When something came to pass, if it did.
pub fn in_words(after: Option<Duration>) -> String {
    after.map_or_else(|| "NEVER".to_owned(), |t| format!("{:.1} s", t.as_secs_f64()))
}

/// How a stop ended, if by itself.
pub fn end_in_words(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "HAD TO BE KILLED".to_owned(), |status| status.to_string())
}

/// Waits until every acknowledged point has arrived; how long that took.
pub fn drain(upstream: &Upstream, sent: &[super::sent::Range], patience: Duration) -> Option<Duration> {
    const POLL: Duration = Duration::from_millis(200);
    let begin = Instant::now();
    loop {
        if check::missing(sent, &upstream.shared().account()) == 0 {
            return Some(begin.elapsed());
        }
        if begin.elapsed() >= patience {
            return None;
        }
        std::thread::sleep(POLL);
    }
}
