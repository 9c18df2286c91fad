//! What a run of the load generator is asked to do.

use std::net::SocketAddr;
use std::time::Duration;

use crate::shared::Outcome;
use crate::shared::corpus::Corpus;
use crate::shared::format::Format;

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Encoding {
    /// As they are.
    Identity,
    /// gzip, level 6, once at the start.
    Gzip,
}

/// All settings of a run, from the command line or from a case.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Server under test.
    #[arg(long, default_value = "127.0.0.1:9529")]
    pub address: SocketAddr,
    /// Path and query.
    #[arg(long, default_value = "/v1/write/metric")]
    pub target: String,
    /// Extra header, `Name: value`; may be repeated.
    #[arg(long = "header")]
    pub headers: Vec<String>,
    /// Which points.
    #[arg(long, value_enum, default_value = "metrics")]
    pub corpus: Corpus,
    /// In which form.
    #[arg(long, value_enum, default_value = "lines")]
    pub format: Format,
    /// Whole points until a body has this many bytes.
    #[arg(long, default_value_t = 2048)]
    pub body_bytes: usize,
    /// Distinct bodies to rotate over, at most; 0 is the whole corpus.
    #[arg(long, default_value_t = 0)]
    pub bodies: usize,
    /// How bodies are compressed.
    #[arg(long, value_enum, default_value = "identity")]
    pub encoding: Encoding,
    /// Keep-alive connections, all threads together.
    #[arg(long, short, default_value_t = 64)]
    pub connections: usize,
    /// Requests a second (open loop); without it every connection keeps one request in flight (closed loop).
    #[arg(long)]
    pub rate: Option<f64>,
    /// Measured time.
    #[arg(long, value_parser = seconds, default_value = "5")]
    pub duration: Duration,
    /// Time before it.
    #[arg(long, value_parser = seconds, default_value = "1")]
    pub warm_up: Duration,
    /// Load threads.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Core of the first load thread; the others take the next ones.
    #[arg(long)]
    pub core: Option<usize>,
    /// Process whose CPU and memory are sampled, with its children.
    #[arg(long)]
    pub server_pid: Option<u32>,
}

/// Parses seconds with a fraction.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let n: f64 = text.trim_end_matches('s').parse().map_err(|e| format!("{e}"))?;
    Duration::try_from_secs_f64(n).map_err(|e| e.to_string())
}

impl Options {
    /// The defaults of the command line, for callers that set the rest.
    pub fn defaults(address: SocketAddr) -> Self {
        Self {
            address,
            target: "/v1/write/metric".into(),
            headers: Vec::new(),
            corpus: Corpus::Metrics,
            format: Format::Lines,
            body_bytes: 2048,
            bodies: 0,
            encoding: Encoding::Identity,
            connections: 64,
            rate: None,
            duration: Duration::from_secs(5),
            warm_up: Duration::from_secs(1),
            threads: 1,
            core: None,
            server_pid: None,
        }
    }

    /// Refuses what cannot run.
    pub fn check(&self) -> Outcome<()> {
        if self.threads == 0 || self.connections < self.threads {
            return Err("at least one thread, and at least one connection a thread".into());
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate <= 10_000_000.0)) {
            return Err("--rate is requests a second, above 0 and at most 10 million".into());
        }
        Ok(())
    }
}
