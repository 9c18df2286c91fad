//! One run of one server: named numbers.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::case::{Case, Kind, ServerSpec};
use super::contestant::{Contestant, Places};
use crate::loadgen::{self, Report, idle};
use crate::shared::Outcome;
use crate::shared::child::Scratch;
use crate::shared::system;
use crate::upstream::{self, Upstream};

/// Measures by name.
pub type Sample = BTreeMap<&'static str, f64>;

/// A destination that has taken nothing for so long has everything (vmagent flushes once a second).
const QUIET: Duration = Duration::from_millis(1500);
/// A backlog may take so long.
const DRAIN_PATIENCE: Duration = Duration::from_secs(120);

/// Runs one server once.
pub fn run(
    name: &str,
    case: &Case,
    spec: &ServerSpec,
    places: &Places,
    connections: usize,
    scratch_base: Option<&std::path::Path>,
) -> Outcome<Sample> {
    let scratch = Scratch::create(scratch_base, name)?;
    let upstream = Upstream::start(&upstream::Options {
        discard: true,
        core: Some(places.load_core),
        ..upstream::Options::local()
    })?;
    let mut server = Contestant::start(name, spec, places, upstream.address(), scratch.path())?;
    let options = loadgen::Options {
        target: server.target.clone(),
        corpus: case.load.corpus,
        format: spec.format,
        body_bytes: case.load.body_bytes,
        connections,
        duration: Duration::from_secs_f64(case.load.seconds),
        warm_up: Duration::from_secs_f64(case.load.warm_up),
        core: Some(places.load_core),
        server_pid: Some(server.pid()),
        ..loadgen::Options::defaults(server.address)
    };
    let sample = match case.kind {
        Kind::Idle => {
            let idle = idle::run(&options)?;
            Sample::from([
                ("bytes_per_connection", idle.bytes_per_connection),
                ("idle_cpu_us_per_s", idle.cpu_us_per_s),
            ])
        }
        _ => {
            let report = loadgen::run(&options)?;
            server.check_alive()?;
            let mut sample = from_report(&report)?;
            if server.uploads {
                drained(&mut sample, &report, &server, &upstream)?;
            }
            sample
        }
    };
    server.check_alive()?;
    server.stop()?;
    Ok(sample)
}

fn from_report(report: &Report) -> Outcome<Sample> {
    let accepted: u64 = report.statuses.iter().filter(|(s, _)| (200..300).contains(*s)).map(|(_, n)| n).sum();
    if accepted == 0 || accepted < report.answers || report.errors > 0 {
        return Err(format!("not everything was accepted:\n{report}").into());
    }
    let missing = || crate::shared::Fail::from("the server's CPU time was not sampled");
    Ok(Sample::from([
        ("requests_per_s", report.requests_per_s),
        ("points_per_s", report.points_per_s),
        ("load_cpu_us_per_request", report.load_cpu_us_per_request),
        ("p50_ms", report.latency.p50_ms),
        ("p99_ms", report.latency.p99_ms),
        ("cpu_us_per_request", report.cpu_us_per_request.ok_or_else(missing)?),
        ("cpu_ns_per_point", report.cpu_ns_per_point.ok_or_else(missing)?),
        ("cpu_share", report.cpu_share.ok_or_else(missing)?),
        ("rss_mib", report.rss_bytes_max.ok_or_else(missing)? as f64 / 1024.0 / 1024.0),
    ]))
}

/// CPU from before the first request until the destination had everything, over all points accepted: what is put off
/// is paid for too.
fn drained(sample: &mut Sample, report: &Report, server: &Contestant, upstream: &Upstream) -> Outcome<()> {
    if !upstream.wait_quiet(QUIET, DRAIN_PATIENCE) {
        return Err(format!("the backlog is not gone after {DRAIN_PATIENCE:?}").into());
    }
    let bytes = upstream.shared().bytes.load(Ordering::Relaxed);
    if bytes == 0 {
        return Err("nothing arrived at the destination".into());
    }
    let delivered = upstream.shared().points.load(Ordering::Relaxed);
    if server.counts_points && delivered != report.points_all {
        let metrics = server.metrics().unwrap_or_default();
        let ours: Vec<&str> = metrics.lines().filter(|line| line.contains("metric")).take(20).collect();
        return Err(format!(
            "{} points were accepted and {delivered} delivered\n{}",
            report.points_all,
            ours.join("\n")
        )
        .into());
    }
    let mut pids = system::children(server.pid());
    pids.push(server.pid());
    let cpu_ns = system::usage(&pids).cpu_ns.saturating_sub(report.cpu_ns_before.unwrap_or(0)) as f64;
    let points = report.points_all.max(1) as f64;
    sample.insert("cpu_ns_per_point_drained", cpu_ns / points);
    sample.insert("points_per_cpu_s_drained", points / (cpu_ns / 1e9));
    sample.insert("upload_bytes_per_point", bytes as f64 / points);
    Ok(())
}
