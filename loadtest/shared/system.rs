//! The machine: cores, descriptors, and what `/proc` says about another process.
//!
//! CPU time is the scheduler's run time of every thread (`/proc/<pid>/task/*/schedstat`, nanoseconds): exact, and it
//! does not depend on the clock tick. Threads that ended take their time with them, so servers whose threads come and
//! go would be flattered; none of those measured here does that.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::Outcome;

/// Pins the calling thread, and what it spawns from now on, to one core.
pub fn pin(core: usize) -> Outcome<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(|e| format!("cannot pin to core {core}: {e}").into())
}

/// Raises the soft limit of descriptors to the hard one.
pub fn raise_descriptor_limit() {
    let now = getrlimit(Resource::Nofile);
    // Refusal is no reason to stop: the run says so itself when it lacks descriptors.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
}

/// What a process has used and holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Scheduler run time of all its threads.
    pub cpu_ns: u64,
    /// Resident set.
    pub rss_bytes: u64,
    /// The anonymous part of it.
    pub anonymous_bytes: u64,
}

/// Samples one process, and for a master-and-workers server its children too.
pub fn usage(pids: &[u32]) -> Usage {
    let mut sum = Usage::default();
    for pid in pids {
        sum.cpu_ns += cpu_ns(*pid);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        sum.rss_bytes += kilobytes(&status, "VmRSS:");
        sum.anonymous_bytes += kilobytes(&status, "RssAnon:");
    }
    sum
}

fn cpu_ns(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()))
        .sum()
}

/// Scheduler run time of the calling thread.
pub fn own_cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn kilobytes(status: &str, key: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The processes whose parent is `pid` (nginx's workers).
pub fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// The machine in a few words, for records.
pub fn describe() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|rest| rest.trim_start_matches([' ', '\t', ':']))
        .unwrap_or("unknown processor");
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} x{cores}, Linux {}", model.trim(), kernel.trim())
}

/// A short name of the machine for file names.
pub fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
