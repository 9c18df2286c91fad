//! Whole-process experiments: a load generator, a stand-in destination, a ledger that numbers every point, and the
//! cases that put them round a gateway or a peer.
//!
//! One program, so that a case needs nothing but this binary and the server under test. It shares no code with the
//! gateway: a fault there cannot hide here.

#![allow(
    clippy::disallowed_methods,
    reason = "the bans are for shards; these are plain threads that may sleep and block"
)]

mod ledger;
mod loadgen;
mod runner;
mod shared;
mod upstream;

use clap::{Parser, Subcommand};

use shared::Outcome;

/// Load tests of the gateway and its peers.
#[derive(Parser)]
#[command(name = "loadtest")]
struct Arguments {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Subcommand)]
enum Tool {
    /// Offer load to a server and report rate, latency and what the server spent.
    Gen {
        #[command(flatten)]
        options: loadgen::Options,
        /// Print one line of JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Open idle keep-alive connections and report what each holds in the server.
    Idle {
        #[command(flatten)]
        options: loadgen::Options,
        /// Print one line of JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Run the stand-in destination until it is ended.
    Upstream(upstream::Options),
    /// Number every point and account for it.
    Ledger {
        #[command(subcommand)]
        command: ledger::Command,
    },
    /// Run cases (loadtest/cases), or list them.
    Case(runner::Options),
    /// Write a corpus to standard output.
    Corpus {
        /// Which.
        #[arg(value_enum)]
        corpus: shared::corpus::Corpus,
    },
}

fn main() -> std::process::ExitCode {
    match run(Arguments::parse().tool) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("loadtest: {e}");
            std::process::ExitCode::from(2)
        }
    }
}

fn run(tool: Tool) -> Outcome<std::process::ExitCode> {
    match tool {
        Tool::Gen { options, json } => {
            let report = loadgen::run(&options)?;
            if json { println!("{}", serde_json::to_string(&report)?) } else { print!("{report}") }
        }
        Tool::Idle { options, json } => {
            let idle = loadgen::idle::run(&options)?;
            if json {
                println!("{}", serde_json::to_string(&idle)?);
            } else {
                println!(
                    "{} idle connections: {:.0} bytes resident each ({} before, {} with), {:.0} us CPU a second",
                    idle.connections,
                    idle.bytes_per_connection,
                    idle.base_bytes,
                    idle.held_bytes,
                    idle.cpu_us_per_s
                );
            }
        }
        Tool::Upstream(options) => {
            let upstream = upstream::Upstream::start(&options)?;
            println!("packages on http://{}, control on http://{}", upstream.address(), upstream.control());
            upstream.join();
        }
        Tool::Ledger { command } => {
            if !ledger::run(&command)? {
                return Ok(std::process::ExitCode::FAILURE);
            }
        }
        Tool::Case(options) => {
            if !runner::run(&options)? {
                return Ok(std::process::ExitCode::FAILURE);
            }
        }
        Tool::Corpus { corpus } => {
            use std::io::Write as _;
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            for point in shared::corpus::points(corpus) {
                writeln!(out, "{point}")?;
            }
        }
    }
    Ok(std::process::ExitCode::SUCCESS)
}
