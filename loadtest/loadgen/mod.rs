//! The load generator: keep-alive connections on an epoll thread, closed loop or a set rate.
//!
//! - Closed loop: every connection has one request in flight; latency is from the first byte sent to the whole answer.
//! - Open loop (`rate`): requests are due at fixed instants and latency is counted from the **due** instant, so a server
//!   that stalls is charged for every request that should have been sent meanwhile (no coordinated omission).
//!
//! It does as little as it can: requests are built once, one `send` and one `recv` each, answers are looked at just
//! enough. Beside the histogram it reports what the server spent: CPU from the scheduler, resident memory.

pub mod idle;
pub mod options;
pub mod report;
pub mod requests;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::shared::Outcome;
use crate::shared::system::{self, Usage};

pub use options::Options;
pub use report::Report;

use worker::{Tally, Worker};

/// The instants that divide a run; all threads agree on them before the first request.
#[derive(Clone, Copy)]
pub struct Schedule {
    /// First request.
    pub start: Instant,
    /// From here on answers are measured.
    pub measure: Instant,
    /// No request is sent from here on.
    pub end: Instant,
}

/// How often resident memory is sampled.
const SAMPLE: Duration = Duration::from_millis(50);

/// Runs the load and gathers what came of it.
pub fn run(options: &Options) -> Outcome<Report> {
    system::raise_descriptor_limit();
    let requests = Arc::new(requests::build(options)?);
    let pids = watched(options);
    let start = Instant::now() + Duration::from_millis(20);
    let measure = start + options.warm_up;
    let schedule = Schedule { start, measure, end: measure + options.duration };
    let before_all = system::usage(&pids);
    let progress = Arc::new(AtomicU64::new(0));
    let workers = (0..options.threads)
        .map(|index| {
            let worker = Worker::connect(options, Arc::clone(&requests), schedule, index)?;
            let (core, progress) = (options.core, Arc::clone(&progress));
            Ok(std::thread::spawn(move || {
                if let Some(core) = core {
                    system::pin(core + index)?;
                }
                worker.run(&progress)
            }))
        })
        .collect::<Outcome<Vec<_>>>()?;

    sleep_until(measure);
    let (at_measure, count_at_measure) = (system::usage(&pids), progress.load(Ordering::Relaxed));
    let mut rss_max = at_measure.rss_bytes;
    while Instant::now() + SAMPLE < schedule.end {
        std::thread::sleep(SAMPLE);
        if !pids.is_empty() {
            rss_max = rss_max.max(system::usage(&pids).rss_bytes);
        }
    }
    sleep_until(schedule.end);
    let (at_end, count_at_end) = (system::usage(&pids), progress.load(Ordering::Relaxed));
    let mut tally = Tally::new();
    for worker in workers {
        tally.add(&worker.join().map_err(|_| "a load thread panicked")??)?;
    }
    let window = Window { at_measure, at_end, count: count_at_end.saturating_sub(count_at_measure) };
    Ok(report::build(options, &tally, &window, before_all, rss_max.max(at_end.rss_bytes)))
}

/// The measured window as the server saw it.
pub struct Window {
    at_measure: Usage,
    at_end: Usage,
    /// Answers between the two samples.
    count: u64,
}

impl Window {
    /// The server's CPU time in it.
    pub fn cpu_ns(&self) -> u64 {
        self.at_end.cpu_ns.saturating_sub(self.at_measure.cpu_ns)
    }
}

/// The server's process and its children.
fn watched(options: &Options) -> Vec<u32> {
    let Some(pid) = options.server_pid else { return Vec::new() };
    let mut pids = system::children(pid);
    pids.push(pid);
    pids
}

fn sleep_until(instant: Instant) {
    std::thread::sleep(instant.saturating_duration_since(Instant::now()));
}
