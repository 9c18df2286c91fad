//! What a run of the load generator found, as numbers, text and JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::worker::Tally;
use super::{Options, Window};
use crate::shared::system::Usage;

/// Latency in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Median.
    pub p50_ms: f64,
    /// One in ten is above.
    pub p90_ms: f64,
    /// One in a hundred.
    pub p99_ms: f64,
    /// One in a thousand.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was sent, in words.
    pub load: String,
    /// Measured seconds.
    pub seconds: f64,
    /// Answers in them.
    pub answers: u64,
    /// Answers a second.
    pub requests_per_s: f64,
    /// Points of 2xx answers a second.
    pub points_per_s: f64,
    /// Request bytes a second, in units of a million.
    pub megabytes_per_s: f64,
    /// Latency; open loop: from the instant a request was due.
    pub latency: Latency,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Connections that broke or were refused, whole run.
    pub errors: u64,
    /// Open loop: requests that could not be sent in time.
    pub unsent: u64,
    /// Points of 2xx answers from first to last, warm-up included.
    pub points_all: u64,
    /// CPU microseconds that the load itself cost an answer.
    pub load_cpu_us_per_request: f64,
    /// Server: CPU microseconds a 2xx answer in the window.
    pub cpu_us_per_request: Option<f64>,
    /// Server: CPU nanoseconds a point in the window.
    pub cpu_ns_per_point: Option<f64>,
    /// Server: how busy it was, one core being 1.
    pub cpu_share: Option<f64>,
    /// Server: CPU time from before the first request to the end of the window.
    pub cpu_ns_before: Option<u64>,
    /// Server: largest resident set seen.
    pub rss_bytes_max: Option<u64>,
}

/// Puts the numbers together.
pub fn build(options: &Options, tally: &Tally, window: &Window, before: Usage, rss_bytes_max: u64) -> Report {
    let seconds = options.duration.as_secs_f64();
    let quantile = |q: f64| tally.latency.value_at_quantile(q) as f64 / 1e6;
    let answers: u64 = tally.statuses.values().sum();
    let watched = options.server_pid.is_some();
    let accepted: u64 = tally.statuses.iter().filter(|(s, _)| (200..300).contains(*s)).map(|(_, n)| n).sum();
    let points_each = tally.points as f64 / accepted.max(1) as f64;
    let cpu_each = window.cpu_ns() as f64 / window.count.max(1) as f64;
    Report {
        load: describe(options),
        seconds,
        answers,
        requests_per_s: answers as f64 / seconds,
        points_per_s: tally.points as f64 / seconds,
        megabytes_per_s: tally.bytes as f64 / seconds / 1e6,
        latency: Latency {
            p50_ms: quantile(0.5),
            p90_ms: quantile(0.9),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            max_ms: tally.latency.max() as f64 / 1e6,
        },
        statuses: tally.statuses.clone(),
        errors: tally.errors,
        unsent: tally.unsent,
        points_all: tally.points_all,
        load_cpu_us_per_request: tally.cpu_ns as f64 / 1e3 / answers.max(1) as f64,
        cpu_us_per_request: watched.then_some(cpu_each / 1e3),
        cpu_ns_per_point: watched.then_some(cpu_each / points_each.max(f64::MIN_POSITIVE)),
        cpu_share: watched.then_some(window.cpu_ns() as f64 / 1e9 / seconds),
        cpu_ns_before: watched.then_some(before.cpu_ns),
        rss_bytes_max: watched.then_some(rss_bytes_max),
    }
}

fn describe(options: &Options) -> String {
    let shape = match options.rate {
        Some(rate) => format!("open loop, {rate} requests/s"),
        None => "closed loop".to_owned(),
    };
    format!(
        "{:?} bodies of {} bytes, {:?}, {} connections, {shape}",
        options.corpus, options.body_bytes, options.encoding, options.connections
    )
    .to_lowercase()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {:.1} s", self.load, self.seconds)?;
        writeln!(
            f,
            "  {:.0} requests/s, {:.0} points/s, {:.1} MB/s",
            self.requests_per_s, self.points_per_s, self.megabytes_per_s
        )?;
        let l = &self.latency;
        writeln!(
            f,
            "  latency ms: p50 {:.3}  p90 {:.3}  p99 {:.3}  p99.9 {:.3}  max {:.3}",
            l.p50_ms, l.p90_ms, l.p99_ms, l.p999_ms, l.max_ms
        )?;
        write!(f, "  answers:")?;
        for (status, count) in &self.statuses {
            write!(f, " {status} x {count}")?;
        }
        writeln!(
            f,
            "; {} broken connections, {} requests unsent; the load cost {:.2} us CPU a request",
            self.errors, self.unsent, self.load_cpu_us_per_request
        )?;
        if let (Some(us), Some(ns), Some(share), Some(rss)) =
            (self.cpu_us_per_request, self.cpu_ns_per_point, self.cpu_share, self.rss_bytes_max)
        {
            writeln!(
                f,
                "  server: {us:.2} us CPU a request, {ns:.0} ns a point, {:.0} % of a core, {:.1} MiB resident at most",
                share * 100.0,
                rss as f64 / 1024.0 / 1024.0
            )?;
        }
        Ok(())
    }
}
