//! Runs the cases of `cases/`: every server in turn, round after round, on the same cores, and ratios in the end.

pub mod case;
mod contestant;
mod measure;
mod summary;

use std::path::PathBuf;

use crate::ledger::{absent, backlog, full_disk, kill9, profiles};
use crate::shared::{Outcome, system};

use case::{Case, Kind};
use contestant::Places;
use summary::Series;

/// Settings of `case`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Cases to run; without any, they are listed.
    pub names: Vec<String>,
    /// The gateway's binary.
    #[arg(long)]
    pub gateway: Option<PathBuf>,
    /// The `http_floor` example's binary.
    #[arg(long)]
    pub floor: Option<PathBuf>,
    /// Other rounds than the case says (for kill9: kills).
    #[arg(long)]
    pub rounds: Option<u32>,
    /// Other measured seconds than the case says.
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Only these servers of the case.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Core of the server.
    #[arg(long, default_value_t = 0)]
    pub server_core: usize,
    /// Core of load and destination.
    #[arg(long, default_value_t = 1)]
    pub load_core: usize,
    /// Append the figures to this folder (usually loadtest/records).
    #[arg(long)]
    pub record: Option<PathBuf>,
    /// A remark for the record.
    #[arg(long, default_value = "")]
    pub note: String,
    /// Parent of scratch directories: the disk that is measured. Default: the system's temporary directory.
    #[arg(long)]
    pub scratch: Option<PathBuf>,
    /// Seed of kill9.
    #[arg(long)]
    pub seed: Option<u64>,
}

/// Runs them; true when every claim of every case holds.
pub fn run(options: &Options) -> Outcome<bool> {
    if options.names.is_empty() {
        for name in case::names()? {
            let case = case::read(&name)?;
            println!("{name:<20} {}\n{:<20} {}", case.title, "", case.goal);
        }
        return Ok(true);
    }
    let mut held = true;
    for name in &options.names {
        let mut case = case::read(name)?;
        case.load.rounds = options.rounds.unwrap_or(case.load.rounds).max(1);
        case.load.seconds = options.seconds.unwrap_or(case.load.seconds);
        if !options.only.is_empty() {
            let kept = |server: &String| options.only.contains(server);
            case.servers.retain(|server| kept(&server.name));
            case.claims.retain(|claim| kept(&claim.of) && claim.to.as_ref().is_none_or(kept));
        }
        println!("== {name}: {}\n   {}\n   {}\n   {}", case.title, case.goal, case.share, system::describe());
        held &= one(name, &case, options)?;
    }
    Ok(held)
}

fn one(name: &str, case: &Case, options: &Options) -> Outcome<bool> {
    match case.kind {
        Kind::Rate | Kind::Idle => compare(name, case, options),
        Kind::Kill9 => kill9::run(&kill9::Options {
            gateway: places(options)?.gateway,
            rounds: case.load.rounds,
            seed: options.seed,
            round_ms_min: 40,
            round_ms_max: (case.load.seconds * 1000.0) as u64,
            pause_ms_max: 10,
            connections: case.load.connections.first().copied().unwrap_or(32) as u32,
            drain_s: 120,
            ack: "disk".into(),
            config: None,
            scratch: options.scratch.clone(),
        }),
        Kind::FullDisk => full_disk::run(&full_disk::Options {
            gateway: places(options)?.gateway,
            seconds: case.load.seconds as u64,
            connections: case.load.connections.first().copied().unwrap_or(16) as u32,
            scratch: options.scratch.clone(),
        }),
        Kind::LargeProfile => profiles::run(&profiles::Options {
            gateway: places(options)?.gateway,
            seconds: case.load.seconds as u64,
            rounds: case.load.rounds,
            connections: case.load.connections.first().copied().unwrap_or(32),
            server_core: options.server_core,
            load_core: options.load_core,
            scratch: options.scratch.clone(),
        }),
        Kind::Backlog => backlog::run(&backlog::Options {
            gateway: places(options)?.gateway,
            bytes: case.load.backlog_bytes,
            seconds: case.load.seconds as u64,
            connections: case.load.connections.first().copied().unwrap_or(4) as u32,
            scratch: options.scratch.clone(),
        }),
        Kind::AbsentDestination => absent::run(&absent::Options {
            gateway: places(options)?.gateway,
            seconds: case.load.seconds as u64,
            connections: case.load.connections.first().copied().unwrap_or(64) as u32,
            points_max: 200,
            drain_s: 120,
            config: None,
            no_full: false,
            scratch: options.scratch.clone(),
        }),
    }
}

fn compare(name: &str, case: &Case, options: &Options) -> Outcome<bool> {
    let places = places(options)?;
    let mut series: Vec<Series> = Vec::new();
    for &connections in &case.load.connections {
        for spec in &case.servers {
            series.push(Series { server: spec.name.clone(), connections, rounds: Vec::new() });
        }
    }
    let count = case.servers.len();
    for round in 0..case.load.rounds as usize {
        for &connections in &case.load.connections {
            // Another one begins each round, so that none always follows the same.
            for turn in 0..count {
                let spec = &case.servers[(turn + round) % count];
                let sample = measure::run(name, case, spec, &places, connections, options.scratch.as_deref())
                    .map_err(|e| format!("{} with {connections} connections: {e}", spec.name))?;
                println!("round {}: {:<18} c={connections:<5} {}", round + 1, spec.name, brief(&sample));
                let mine = |s: &&mut Series| s.server == spec.name && s.connections == connections;
                if let Some(series) = series.iter_mut().find(mine) {
                    series.rounds.push(sample);
                }
            }
        }
    }
    println!();
    summary::report(name, case, &series, options.record.as_deref(), &options.note)
}

fn brief(sample: &measure::Sample) -> String {
    const SHOWN: [(&str, &str); 6] = [
        ("requests_per_s", "req/s"),
        ("cpu_us_per_request", "us/req"),
        ("cpu_ns_per_point", "ns/point"),
        ("cpu_ns_per_point_drained", "ns/point drained"),
        ("p99_ms", "ms p99"),
        ("bytes_per_connection", "bytes/connection"),
    ];
    let parts: Vec<String> = SHOWN
        .iter()
        .filter_map(|(measure, unit)| sample.get(measure).map(|value| format!("{value:.1} {unit}")))
        .collect();
    parts.join(", ")
}

/// Binaries beside this one (`target/<profile>/examples/loadtest`) unless they are named.
fn places(options: &Options) -> Outcome<Places> {
    let here = std::env::current_exe()?;
    let examples = here.parent().ok_or("no folder")?;
    let profile = examples.parent().ok_or("no folder")?;
    let find = |given: &Option<PathBuf>, beside: PathBuf| given.clone().unwrap_or(beside);
    Ok(Places {
        gateway: find(&options.gateway, profile.join("kitgate")),
        floor: find(&options.floor, examples.join("http_floor")),
        server_core: options.server_core,
        load_core: options.load_core,
    })
}
