//! The ledger: every point has a number, and every number is accounted for.
//!
//! - `point.rs`: what a numbered point looks like, and how one is known to be whole.
//! - `client.rs`: sends them and notes what was answered (`sent.rs`); `check.rs` compares that with the destination's
//!   account (`file.rs` carries it between processes).
//! - `kill9.rs`, `absent.rs`: the cases that put a gateway between the two and hurt it.

pub mod absent;
pub mod backlog;
pub mod books;
pub mod check;
pub mod client;
pub mod file;
pub mod full_disk;
pub mod gateway;
pub mod kill9;
pub mod point;
pub mod profiles;
pub mod sent;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use crate::loadgen::options::seconds;
use crate::shared::{Outcome, http};

/// What the ledger can do.
#[derive(Subcommand)]
pub enum Command {
    /// Send numbered points to a running gateway and write down what was answered.
    Send {
        #[command(flatten)]
        options: client::Options,
        /// How long.
        #[arg(long, value_parser = seconds, default_value = "5")]
        duration: Duration,
        /// Where to.
        #[arg(long)]
        log: PathBuf,
    },
    /// Compare what was sent with what a stand-in destination took.
    Check {
        /// Logs of `send`; each run its own `--run`.
        #[arg(long, required = true)]
        log: Vec<PathBuf>,
        /// The destination's control port.
        #[arg(long, default_value = "127.0.0.1:9527")]
        control: SocketAddr,
        /// Print one line of JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// kill -9 the gateway again and again under load.
    Kill9(kill9::Options),
    /// Keep the destination away for the whole run, then let it come back.
    Absent(absent::Options),
    /// Fill a small file system to the last byte while points are written.
    FullDisk(full_disk::Options),
    /// Drain a large backlog while points come in.
    Backlog(backlog::Options),
    /// Send large profiles beside small writes.
    LargeProfile(profiles::Options),
}

/// Runs a command; true when the ledger balances.
pub fn run(command: &Command) -> Outcome<bool> {
    match command {
        Command::Send { options, duration, log } => {
            let fleet = client::Fleet::start(options);
            std::thread::sleep(*duration);
            let (sent, remarks) = fleet.finish()?;
            std::fs::write(log, sent::to_text(&sent))?;
            remarks.iter().for_each(|remark| println!("! {remark}"));
            println!(
                "{} requests, {} points",
                sent.len(),
                sent.iter().map(|r| u64::from(r.count)).sum::<u64>()
            );
            Ok(true)
        }
        Command::Check { log, control, json } => {
            let mut all = Vec::new();
            for path in log {
                all.extend(sent::from_text(&std::fs::read_to_string(path)?)?);
            }
            let (status, body) = http::call(*control, "GET", "/ledger")?;
            if status != 200 {
                return Err(format!("/ledger answers {status}").into());
            }
            let verdict = check::check(&all, &file::read_account(&body)?);
            if *json {
                println!("{}", serde_json::to_string(&verdict)?)
            } else {
                println!("{verdict}")
            }
            Ok(verdict.holds())
        }
        Command::Kill9(options) => kill9::run(options),
        Command::Absent(options) => absent::run(options),
        Command::FullDisk(options) => full_disk::run(options),
        Command::Backlog(options) => backlog::run(options),
        Command::LargeProfile(options) => profiles::run(options),
    }
}
