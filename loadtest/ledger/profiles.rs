//! Large profiles come in beside small writes: what that does to the small ones' latency.
//!
//! Windows with and without profiles follow each other in turn; what is claimed is about the ratio of their medians. The
//! profiles are real ones, large and not compressed: each is read through for its numbers too.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::gateway::{self, Gateway};
use crate::loadgen::{self, Options as Load};
use crate::shared::child::{Scratch, free_port};
use crate::shared::corpus::Corpus;
use crate::shared::format::Format;
use crate::shared::http::response_head;
use crate::shared::{Outcome, system};
use crate::upstream::{self, Upstream};

/// The configuration of the case.
pub const TEMPLATE: &str = include_str!("../cases/large-profile/gateway.toml");
const PROFILE_BYTES: usize = 30 << 20;
/// A profile comes as over a link of 1 Gbit/s. As fast as the loopback goes its sender would have the load's core for itself for
/// milliseconds, and that would be measured.
const PIECE_BYTES: usize = 64 << 10;
const PIECE_TIME: Duration = Duration::from_micros(524);
/// Between two profiles.
const PAUSE: Duration = Duration::from_millis(500);
/// Small writes a second: a gateway that is busy, and not so busy that latency is a queue's.
const RATE: f64 = 1000.0;
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// What is claimed.
const RATIO_MAX: f64 = 2.0;

/// Settings of the case.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The gateway's binary.
    #[arg(long)]
    pub gateway: PathBuf,
    /// Length of a window in seconds.
    #[arg(long, default_value_t = 4)]
    pub seconds: u64,
    /// Windows of each kind.
    #[arg(long, default_value_t = 7)]
    pub rounds: u32,
    /// Connections of the small writes.
    #[arg(long, default_value_t = 32)]
    pub connections: usize,
    /// Core of the server.
    #[arg(long, default_value_t = 0)]
    pub server_core: usize,
    /// Core of load and destination.
    #[arg(long, default_value_t = 1)]
    pub load_core: usize,
    /// Parent of the scratch directory.
    #[arg(long)]
    pub scratch: Option<PathBuf>,
}

/// Runs the case; true when the claim holds.
pub fn run(options: &Options) -> Outcome<bool> {
    let scratch = Scratch::create(options.scratch.as_deref(), "profiles")?;
    let upstream =
        Upstream::start(&upstream::Options { core: Some(options.load_core), ..upstream::Options::local() })?;
    let address: SocketAddr = ([127, 0, 0, 1], free_port()?).into();
    let template = gateway::template(None, TEMPLATE)?;
    let cores = options.server_core.to_string();
    let gateway =
        Gateway::prepare(&options.gateway, &template, scratch.path(), address, upstream.address(), &cores)?;
    let (mut server, _) = gateway.start()?;
    let pids = [server.pid()];
    let load = Load {
        address,
        target: "/v1/write/metric".to_owned(),
        headers: Vec::new(),
        corpus: Corpus::Metrics,
        format: Format::Lines,
        body_bytes: 2048,
        bodies: 0,
        encoding: loadgen::options::Encoding::Identity,
        connections: options.connections,
        rate: Some(RATE),
        duration: Duration::from_secs(options.seconds),
        warm_up: Duration::from_millis(500),
        threads: 1,
        core: Some(options.load_core),
        server_pid: None,
    };
    let upload = upload(address);
    let (mut without, mut with, mut most) = (Vec::new(), Vec::new(), 0);
    let count = AtomicU64::new(0);
    let mut took = Vec::new();
    for round in 0..options.rounds {
        without.push(measure(&load)?);
        let ended = AtomicBool::new(false);
        let p99 = std::thread::scope(|scope| -> Outcome<f64> {
            let uploads = scope.spawn(|| -> Result<Vec<Duration>, String> {
                let mut took = Vec::new();
                while !ended.load(Ordering::Acquire) {
                    let begun = Instant::now();
                    let status = send(address, &upload).map_err(|error| error.to_string())?;
                    took.push(begun.elapsed());
                    if status != 200 {
                        return Err(format!("a profile is answered {status}"));
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(PAUSE);
                }
                Ok(took)
            });
            let p99 = measure(&load);
            ended.store(true, Ordering::Release);
            took.extend(uploads.join().map_err(|_| "the uploads panicked")??);
            p99
        })?;
        with.push(p99);
        most = most.max(system::usage(&pids).rss_bytes);
        println!(
            "{round}: p99 {:.2} ms without, {p99:.2} ms with profiles; {} MiB resident",
            without.last().copied().unwrap_or_default(),
            most >> 20
        );
        // What is left of one window is not the next one's.
        std::thread::sleep(Duration::from_secs(1));
    }
    let stop = server.stop(STOP_PATIENCE)?;
    let (without, with) = (median(&mut without), median(&mut with));
    took.sort_unstable();
    println!(
        "p99 {without:.2} ms without and {with:.2} ms with profiles, {:.2} times; {} profiles, median {:.0} ms each",
        with / without,
        count.load(Ordering::Relaxed),
        took.get(took.len() / 2).copied().unwrap_or_default().as_secs_f64() * 1e3
    );
    println!("{}", system::describe());
    Ok(with <= RATIO_MAX * without && stop.is_some_and(|status| status.success()))
}

/// p99 of the small writes. The load goes before what else is on its core, the destination and the profiles' sender:
/// it is to measure the gateway and not them.
fn measure(load: &Load) -> Outcome<f64> {
    std::thread::scope(|scope| {
        let measured = scope.spawn(|| {
            // Of this thread and those it starts; where that takes more rights, the measure is a pessimist's.
            let _ = rustix::process::nice(-10);
            loadgen::run(load).map(|report| report.latency.p99_ms).map_err(|error| error.to_string())
        });
        Ok(measured.join().map_err(|_| "the load panicked")??)
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// A request with a large profile of a Python program.
fn upload(address: SocketAddr) -> Vec<u8> {
    let event = r#"{"version":"4","family":"python","attachments":["auto.pprof"],"tags_profiler":"service:load,env:test,language:python","start":"2026-11-21T23:16:52Z","end":"2026-11-21T23:17:52Z"}"#;
    let mut body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"event\"; filename=\"event.json\"\r\n\r\n{event}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"auto\"; filename=\"auto.pprof\"\r\n\r\n"
    )
    .into_bytes();
    profile(PROFILE_BYTES, &mut body);
    body.extend_from_slice(b"\r\n--b--\r\n");
    let head = format!(
        "POST /profiling/v1/input HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// A profile in pprof of about so many bytes: samples of thirty locations each, no two alike.
fn profile(bytes: usize, out: &mut Vec<u8>) {
    let end = out.len() + bytes;
    // cpu-time in nanoseconds.
    out.extend_from_slice(&[0x0a, 4, 8, 1, 16, 2]);
    for text in ["", "cpu-time", "nanoseconds"] {
        out.extend_from_slice(&[0x32, text.len() as u8]);
        out.extend_from_slice(text.as_bytes());
    }
    let mut state = 1u32;
    while out.len() < end {
        // Packed location ids of two bytes each, and one value.
        out.extend_from_slice(&[0x12, 2 + 60 + 2 + 2, 0x0a, 60]);
        for _ in 0..30 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            out.extend_from_slice(&[0x80 | (state >> 24) as u8, 1 + (state >> 17) as u8 % 100]);
        }
        out.extend_from_slice(&[0x12, 2, 0x80 | (state >> 16) as u8, 1]);
    }
}

fn send(address: SocketAddr, request: &[u8]) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    let begun = Instant::now();
    for (index, piece) in request.chunks(PIECE_BYTES).enumerate() {
        stream.write_all(piece)?;
        let due = PIECE_TIME * u32::try_from(index + 1).unwrap_or(u32::MAX);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        if let Ok(Some(head)) = response_head(&bytes)
            && bytes.len() >= head.head_len + head.body_len
        {
            return Ok(head.status);
        }
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..count]);
    }
}
