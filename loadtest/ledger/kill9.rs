//! kill -9 at random instants under load, again and again; then everything acknowledged must have arrived.
//!
//! The destination is there and gone in the first third, slow in the second, and poisonous in the last, where it refuses
//! some points for ever; all the time answers may be late, refused, or lost after the package was taken, so that packages
//! are in every state when the process dies. One kill in ten falls into the start-up itself. Afterwards the gateway's own
//! ledger is compared with what client and destination know, and what was refused is sent again from the dead letters.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::books::{Books, STATES};
use super::check::{self, Verdict};
use super::client::{self, Fleet};
use super::gateway::{self, Gateway};
use super::point;
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
/// A round is so many stretches of the destination's manners.
const TURNS: u32 = 4;
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
    /// Pause between a connection's requests, at most, in milliseconds.
    #[arg(long, default_value_t = 10)]
    pub pause_ms_max: u64,
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
        pause_ms_max: options.pause_ms_max,
        gzip_share: 0.2,
        query: format!("ack={}", options.ack),
        seed,
        core: None,
    });
    let (mut starts_ms, mut kills_at_start) = (Vec::new(), 0);
    let mut resident = Vec::new();
    for round in 0..options.rounds {
        let phase = Phase::of(round, options.rounds);
        if phase == Phase::Poisonous && upstream.shared().poison().is_none() {
            upstream.shared().set_poison(Some(point::POISON));
            fleet.progress().poison.store(true, Ordering::Relaxed);
        }
        upstream.shared().set_mode(manners(phase, &mut random));
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
        let length = random.range(options.round_ms_min, options.round_ms_max);
        for _ in 0..TURNS {
            std::thread::sleep(Duration::from_millis(length) / TURNS);
            if phase == Phase::Flapping {
                upstream.shared().set_mode(manners(phase, &mut random));
            }
        }
        if let Some(status) = server.exited()? {
            return Err(format!("round {round}: it ended by itself ({status}): {}", server.log_tail()).into());
        }
        if (round + 1) % 10 == 0 || round + 1 == options.rounds {
            let books = Books::read(&gateway.metrics()?)?;
            resident.push(books.resident_bytes);
            println!(
                "round {:>4}: {} points acknowledged, {} arrived; {} MiB; {books}",
                round + 1,
                fleet.progress().acknowledged.load(Ordering::Relaxed),
                upstream.shared().account().ledger_points,
                books.resident_bytes >> 20
            );
            if !books.unbalanced.is_empty() {
                return Err(format!("round {round}: the gateway's ledger does not balance: {books}").into());
            }
        }
        server.kill()?;
    }

    upstream.shared().set_mode(Mode::Fast);
    let (mut server, _) = gateway.start()?;
    let (other_ack, refused_for_ever, unanswered, without_retry_after) = {
        let p = fleet.progress();
        let read = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        (read(&p.other_ack), read(&p.refused_for_ever), read(&p.unanswered), read(&p.without_retry_after))
    };
    let (sent, remarks) = fleet.finish()?;
    let patience = Duration::from_secs(options.drain_s);
    let drained = until(patience, || Ok(check::missing_good(&sent, &upstream.shared().account()) == 0))?;
    let mut books = Books::default();
    let settled = until(patience, || {
        books = Books::read(&gateway.metrics()?)?;
        Ok(books.is_settled())
    })?;
    std::thread::sleep(GRACE);
    let delivered = upstream.shared().account().ledger_points;
    let exact = Exact {
        taken: books.of("taken") >= fleet_acknowledged(&sent),
        delivered: books.of("delivered") == delivered,
    };
    std::fs::write(scratch.path().join("metrics.txt"), gateway.metrics().unwrap_or_else(|e| format!("{e}")))?;
    let stop = server.stop(STOP_PATIENCE)?;
    // A clean stop leaves nothing that a further start would send under another id, and the ledger as it was.
    let (mut server, _) = gateway.start()?;
    std::thread::sleep(GRACE);
    let kept = Books::read(&gateway.metrics()?)?;
    let same = STATES.iter().all(|state| kept.of(state) == books.of(state));
    // What was refused for ever is in the dead-letter files, all of it: sent again by hand, it arrives.
    let mut redriven = Some(Duration::ZERO);
    if upstream.shared().poison().is_some() {
        upstream.shared().set_poison(None);
        let told = gateway.tool(&["dlq", "redrive", "--all"])?;
        println!("dlq redrive --all: {}", told.lines().last().unwrap_or_default());
        redriven = until(patience, || Ok(check::missing(&sent, &upstream.shared().account()) == 0))?;
        std::thread::sleep(GRACE);
    }
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
    println!("the gateway's ledger: {books}");
    println!(
        "  settled after {}; as many taken as acknowledged: {}; delivered is what arrived ({delivered}): {}; the same \
         after a restart: {same}; poison sent again arrived after {}",
        in_words(settled),
        exact.taken,
        exact.delivered,
        in_words(redriven)
    );
    let flat = is_flat(&resident);
    println!(
        "resident memory: first {} MiB, last {} MiB, most {} MiB; flat: {flat}",
        resident.first().unwrap_or(&0) >> 20,
        resident.last().unwrap_or(&0) >> 20,
        resident.iter().max().unwrap_or(&0) >> 20
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
    let ledger = settled.is_some() && exact.taken && exact.delivered && same && redriven.is_some();
    Ok(verdict.holds() && verdict.acknowledged > 0 && drained.is_some() && clean && answers && ledger && flat)
}

/// What the gateway's ledger says against what the client and the destination know.
struct Exact {
    taken: bool,
    delivered: bool,
}

fn fleet_acknowledged(sent: &[super::sent::Range]) -> u64 {
    let acknowledged = sent.iter().filter(|range| range.fate == super::sent::Fate::Acknowledged);
    acknowledged.map(|range| u64::from(range.count)).sum()
}

/// Whether memory stays where it is: no look finds much more than the middle one.
fn is_flat(resident: &[u64]) -> bool {
    const MARGIN_BYTES: u64 = 64 << 20;
    let mut sorted = resident.to_vec();
    sorted.sort_unstable();
    let (Some(middle), Some(most)) = (sorted.get(sorted.len() / 2), sorted.last()) else { return true };
    *most <= 2 * middle + MARGIN_BYTES
}

/// Waits until something holds; how long that took, if it came to pass.
fn until(patience: Duration, mut holds: impl FnMut() -> Outcome<bool>) -> Outcome<Option<Duration>> {
    const POLL: Duration = Duration::from_millis(200);
    let begin = Instant::now();
    loop {
        if holds()? {
            return Ok(Some(begin.elapsed()));
        }
        if begin.elapsed() >= patience {
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

/// What the destination is mainly like in a part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There and gone several times in a round.
    Flapping,
    Slow,
    /// Of any manners, and refusing some points for ever.
    Poisonous,
}

impl Phase {
    /// A third of the run each.
    fn of(round: u32, rounds: u32) -> Phase {
        match round * 3 / rounds.max(1) {
            0 => Phase::Flapping,
            1 => Phase::Slow,
            _ => Phase::Poisonous,
        }
    }
}

/// How the destination behaves, in a round or a part of it.
fn manners(phase: Phase, random: &mut Random) -> Mode {
    let slow = |random: &mut Random| Mode::Slow(Duration::from_millis(random.range(1, 300)));
    match (phase, random.range(0, 9)) {
        (Phase::Flapping, 0..=3) => Mode::Absent,
        (Phase::Flapping, 4) => Mode::Failing { status: 503, share: 1.0 },
        (Phase::Flapping, 5) => Mode::Failing { status: 429, share: TROUBLE_SHARE },
        (Phase::Slow, 0..=4) => slow(random),
        (Phase::Slow, 5 | 6) => Mode::Silent,
        (Phase::Poisonous, 0) => Mode::Absent,
        (Phase::Poisonous, 1) => slow(random),
        (Phase::Poisonous, 2) => Mode::Failing { status: 503, share: TROUBLE_SHARE },
        (Phase::Flapping | Phase::Slow | Phase::Poisonous, 7 | 8) => Mode::Forgetful(TROUBLE_SHARE),
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
