//! The spool on a real disk: what a durable commit costs, beside a bare write and sync of the same bytes in the same run.
//!
//!     cargo bench --bench spool [-- DIRECTORY]
//!
//! "bare" is one aligned direct write and one fdatasync into a file that was written before: what the disk itself takes.
//! "commit" is the log with all it does, on recycled segments; "commit, fresh" on segments that are only reserved. "window"
//! takes frames from memory, makes the boundaries durable and completes. Everything on one shard, one commit at a time; a
//! virtual disk with a host cache flushes much faster than a bare one, so read the ratios.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kitgate::rt;
use kitgate::spool::file::{Disk, SegmentFile};
use kitgate::spool::{Block, Codec, DirectDisk, Fate, Kind, Log, LogConfig, WindowLimits, fresh_id};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long each contender runs.
const TURN: Duration = Duration::from_millis(700);
/// The bare file: as long as a segment, written round and round.
const BARE_BYTES: u64 = 32 << 20;

fn main() {
    let dir = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let dir = PathBuf::from(dir.unwrap_or_else(|| "target/bench-spool".to_owned()));
    let core = rt::shard::allowed_cores()[0];
    let shard = rt::shard::start("bench", core, move || async move {
        let outcome = run(&dir).await;
        let _ = std::fs::remove_dir_all(&dir);
        outcome.map_err(|error| error.to_string())
    });
    match shard.and_then(rt::shard::ShardHandle::join) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => println!("failed: {error}"),
        Err(error) => println!("no shard: {error}"),
    }
}

/// What a turn of some contender gave.
struct Turn {
    latencies_us: Vec<u32>,
    bytes: u64,
}

async fn run(dir: &Path) -> std::io::Result<()> {
    println!(
        "{:<34} {:>10} {:>10} {:>10} {:>10} {:>10} {:>8}",
        "one commit", "commits/s", "MB/s", "p50 us", "p99 us", "us CPU", "x bare"
    );
    for (name, blocks, payload) in
        [("2 KB", 1, 2 << 10), ("66 KB in 33 blocks", 33, 2 << 10), ("1 MB in 16 blocks", 16, 64 << 10)]
    {
        let blocks: Vec<Block> = (0..blocks).map(|tag| block(tag, payload)).collect();
        let bytes: usize = blocks.iter().map(|block| block.payload.len()).sum();
        let bare = bare(&dir.join("bare"), bytes.next_multiple_of(4096)).await?;
        let base = bare.0.latencies_us.len() as f64;
        print(&format!("{name}, bare"), &bare, base);
        let fresh = commits(&dir.join("fresh"), &blocks, 0).await?;
        print(&format!("{name}, commit, fresh"), &fresh, base);
        let recycled = commits(&dir.join("recycled"), &blocks, 4).await?;
        print(&format!("{name}, commit"), &recycled, base);
    }
    Ok(())
}

fn print(name: &str, (turn, cpu): &(Turn, Duration), base: f64) {
    let mut sorted = turn.latencies_us.clone();
    sorted.sort_unstable();
    let commits = sorted.len() as f64;
    let at = |part: f64| sorted.get((commits * part) as usize).copied().unwrap_or(0);
    let rate = commits / TURN.as_secs_f64();
    println!(
        "{name:<34} {rate:>10.0} {:>10.0} {:>10} {:>10} {:>10.1} {:>8.2}",
        turn.bytes as f64 / TURN.as_secs_f64() / 1e6,
        at(0.5),
        at(0.99),
        cpu.as_micros() as f64 / commits,
        commits / base
    );
}

fn block(tag: u64, bytes: usize) -> Block {
    let mut state = tag;
    let payload: Vec<u8> = (0..bytes)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect();
    let payload = Bytes::from(payload);
    Block {
        category: 0,
        codec: Codec::Zstd,
        kind: Kind::Points,
        points: 300,
        raw_bytes: 4 * bytes as u32,
        sealed_ms: 1_700_000_000_000,
        route: Bytes::new(),
        payload_crc: crc32c::crc32c(&payload),
        payload,
    }
}

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

async fn bare(dir: &Path, bytes: usize) -> std::io::Result<(Turn, Duration)> {
    let disk = DirectDisk::open(dir).await?;
    let file = disk.create("bare", BARE_BYTES).await?;
    for at in (0..BARE_BYTES).step_by(1 << 20) {
        let mut zeros = disk.alloc(1 << 20);
        zeros.fill(0);
        file.write_at(zeros, at).await?;
    }
    file.sync().await?;
    let mut turn = Turn { latencies_us: Vec::new(), bytes: 0 };
    let (begun, cpu_begun, mut at) = (Instant::now(), cpu(), 0);
    while begun.elapsed() < TURN {
        let started = Instant::now();
        let mut buf = disk.alloc(bytes);
        buf.fill(turn.bytes as u8);
        if at + bytes as u64 > BARE_BYTES {
            at = 0;
        }
        file.write_at(buf, at).await?;
        file.sync().await?;
        at += bytes as u64;
        turn.bytes += bytes as u64;
        turn.latencies_us.push(started.elapsed().as_micros() as u32);
    }
    let cpu = cpu() - cpu_begun;
    drop(file);
    disk.remove("bare").await?;
    Ok((turn, cpu))
}

async fn commits(dir: &Path, blocks: &[Block], spares_max: usize) -> std::io::Result<(Turn, Duration)> {
    let disk = DirectDisk::open(dir).await?;
    let config = LogConfig { spares_max, ..LogConfig::default() };
    let opened = Log::open(disk, 0, fresh_id()?, config).await;
    let (log, _) = opened.map_err(|error| std::io::Error::other(error.to_string()))?;
    let log = Rc::new(log);
    let stop = Rc::new(Cell::new(false));
    let limits = WindowLimits { frames_max: 4096, raw_bytes_max: 16 << 20, stored_bytes_max: 4 << 20 };
    // Delivery beside it, so that segments come back: what the gateway does all the time.
    let sender = Rc::clone(&log);
    rt::spawn(async move {
        while let Ok(Some(window)) = sender.next_window(&limits).await {
            sender.complete(window, Fate::Delivered);
            rt::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let (maintainer, stopped) = (Rc::clone(&log), Rc::clone(&stop));
    rt::spawn(async move {
        while !stopped.get() {
            maintainer.maintenance_needed().await;
            rt::time::sleep(Duration::from_millis(20)).await;
            if maintainer.maintain().await.is_err() {
                return;
            }
        }
    });
    // Two segments' worth before it counts.
    let commit_bytes: u64 = blocks.iter().map(|block| block.payload.len() as u64 + 4096).sum();
    let warm_up = if spares_max == 0 { 1 } else { (64 << 20) / commit_bytes + 1 }.min(3_000);
    let mut turn = Turn { latencies_us: Vec::new(), bytes: 0 };
    for _ in 0..warm_up {
        log.commit(blocks).await.map_err(|error| std::io::Error::other(error.reason.to_string()))?;
    }
    let (begun, cpu_begun) = (Instant::now(), cpu());
    while begun.elapsed() < TURN {
        let started = Instant::now();
        log.commit(blocks).await.map_err(|error| std::io::Error::other(error.reason.to_string()))?;
        turn.latencies_us.push(started.elapsed().as_micros() as u32);
        turn.bytes += commit_bytes;
    }
    let cpu = cpu() - cpu_begun;
    stop.set(true);
    log.close();
    log.flush().await?;
    Ok((turn, cpu))
}
