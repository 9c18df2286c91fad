//! A large backlog is drained while points come in: how long a live point takes to its destination, with and without it,
//! and how much memory that takes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::gateway::{self, Gateway};
use super::kill9::end_in_words;
use super::point::{self, Number};
use crate::shared::child::{Scratch, free_port};
use crate::shared::http::response_head;
use crate::shared::{Outcome, system};
use crate::upstream::{self, Mode, Upstream};

/// The configuration of the case.
pub const TEMPLATE: &str = include_str!("../cases/backlog/gateway.toml");
/// A live point goes out so often.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);
/// A probe that has not arrived by then counts as this long.
const PROBE_PATIENCE: Duration = Duration::from_secs(20);
/// How often the destination's account is looked at: what a time is exact to.
const LOOK: Duration = Duration::from_millis(1);
/// Bodies of the backlog.
const BODY_BYTES: usize = 1 << 20;
/// Packages above this are taken without a look: the stand-in is to be faster than what it measures.
const LOOK_BYTES_MAX: usize = 64 << 10;
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// What is claimed.
const RATIO_MAX: f64 = 2.0;
const RESIDENT_ABOVE_IDLE_MAX: u64 = 64 << 20;

/// Settings of the case.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The gateway's binary.
    #[arg(long)]
    pub gateway: PathBuf,
    /// Bytes of the backlog.
    #[arg(long, default_value_t = 5_000_000_000)]
    pub bytes: u64,
    /// How long is measured without a backlog and, at most, with it, in seconds.
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
    /// Connections that write the backlog.
    #[arg(long, default_value_t = 4)]
    pub connections: u32,
    /// Parent of the scratch directory.
    #[arg(long)]
    pub scratch: Option<PathBuf>,
}

/// Runs the case; true when every claim holds.
pub fn run(options: &Options) -> Outcome<bool> {
    let scratch = Scratch::create(options.scratch.as_deref(), "backlog")?;
    let upstream = Upstream::start(&upstream::Options {
        look_bytes_max: LOOK_BYTES_MAX,
        core: Some(1),
        ..upstream::Options::local()
    })?;
    let address = ([127, 0, 0, 1], free_port()?).into();
    let template = gateway::template(None, TEMPLATE)?;
    let gateway =
        Gateway::prepare(&options.gateway, &template, scratch.path(), address, upstream.address(), "0,1")?;
    let (mut server, _) = gateway.start()?;
    let pids = [server.pid()];
    let resident = || system::usage(&pids).rss_bytes;
    let spooled = || -> Outcome<u64> { sample(&gateway.metrics()?, "kitgate_spool_bytes") };
    let mut probes = Probes { address, upstream: &upstream, next: 0 };

    let measure = Duration::from_secs(options.seconds);
    probes.run(Duration::from_secs(2), || Ok(true))?;
    let idle = resident();
    let without = probes.run(measure, || Ok(true))?;
    println!("without a backlog: {without}; {} MiB resident", idle >> 20);

    upstream.shared().set_mode(Mode::Absent);
    let begun = Instant::now();
    write_backlog(address, options.bytes, options.connections)?;
    let backlog = spooled()?;
    let filled = resident();
    println!(
        "a backlog of {backlog} bytes after {:.0} s; {} MiB resident",
        begun.elapsed().as_secs_f64(),
        filled >> 20
    );
    upstream.shared().set_mode(Mode::Fast);
    // A destination that has come back is found by the next try; until then nobody's points arrive.
    probes.one()?;
    let (mut most, mut left) = (0, backlog);
    let with = probes.run(measure, || {
        most = most.max(resident());
        left = spooled()?;
        Ok(left > backlog / 50)
    })?;
    println!("with the backlog:  {with}; {} MiB resident at most; {left} bytes left", most >> 20);
    println!("{}", eta(&gateway.metrics()?));
    let begun = Instant::now();
    while spooled()? > 0 && begun.elapsed() < Duration::from_secs(300) {
        std::thread::sleep(Duration::from_millis(200));
    }
    let gone = spooled()? == 0;
    println!("the rest of it gone after {:.0} s more: {gone}", begun.elapsed().as_secs_f64());
    let stop = server.stop(STOP_PATIENCE)?;
    let ratio = with.median.as_secs_f64() / without.median.as_secs_f64();
    let tail = with.p95.as_secs_f64() / without.p95.as_secs_f64();
    let above = most.saturating_sub(idle) >> 20;
    println!("time to delivery: median {ratio:.2} times, p95 {tail:.2} times; {above} MiB above idle");
    println!("{}; clean stop: {}", system::describe(), end_in_words(stop));
    Ok(ratio <= RATIO_MAX
        && tail <= RATIO_MAX
        && most <= idle + RESIDENT_ABOVE_IDLE_MAX
        && backlog >= options.bytes / 10 * 9
        && left < backlog
        && gone
        && stop.is_some_and(|status| status.success()))
}

/// The sum of a metric over its labels.
fn sample(page: &str, name: &str) -> Outcome<u64> {
    let mut sum = 0.0;
    for line in page.lines().filter(|line| line.starts_with(name)) {
        let value = line.rsplit(' ').next().unwrap_or_default();
        sum += value.parse::<f64>().map_err(|e| format!("{line}: {e}"))?;
    }
    Ok(sum as u64)
}

fn eta(page: &str) -> String {
    let lines = page.lines().filter(|line| line.contains("backlog") && line.contains("metric"));
    lines.filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("; ")
}

/// Writes bodies until so many bytes are acknowledged.
fn write_backlog(address: SocketAddr, bytes: u64, connections: u32) -> Outcome<()> {
    let written = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..connections)
            .map(|conn| {
                let written = &written;
                scope.spawn(move || -> Result<(), String> {
                    let mut body = String::with_capacity(BODY_BYTES + 300);
                    let mut n = 0;
                    while body.len() < BODY_BYTES {
                        // Fields that look like what monitors send; no two points are the same.
                        body.push_str(&format!(
                            "backlog,conn={conn},core=c{n} usage={}.25,idle={}i,wait={}.5 17000000000{n:08}\n",
                            n % 100,
                            n * 31,
                            n % 7
                        ));
                        n += 1;
                    }
                    let mut stream = connect(address)?;
                    while written.fetch_add(body.len() as u64, Ordering::Relaxed) < bytes {
                        let status = post(&mut stream, address, body.as_bytes())?;
                        if status != 200 {
                            return Err(format!("the backlog is answered {status}"));
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        for writer in writers {
            writer.join().map_err(|_| "a writer panicked")??;
        }
        Ok(())
    })
}

fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).map_err(|e| e.to_string())?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    Ok(stream)
}

fn post(stream: &mut TcpStream, address: SocketAddr, body: &[u8]) -> Result<u16, String> {
    let head = format!(
        "POST /v1/write/metric?ack=disk HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut exchange = || -> std::io::Result<u16> {
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
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
    };
    exchange().map_err(|e| e.to_string())
}

/// Single points, each followed to its arrival.
struct Probes<'a> {
    address: SocketAddr,
    upstream: &'a Upstream,
    next: u32,
}

/// How long they took.
struct Times {
    count: usize,
    median: Duration,
    p95: Duration,
    worst: Duration,
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "{} points, median {:.1} ms, p95 {:.1} ms, longest {:.1} ms",
            self.count,
            ms(self.median),
            ms(self.p95),
            ms(self.worst)
        )
    }
}

impl Probes<'_> {
    /// One point after the other, for so long or until `goes_on` is false.
    fn run(&mut self, time: Duration, mut goes_on: impl FnMut() -> Outcome<bool>) -> Outcome<Times> {
        let begun = Instant::now();
        let mut times = Vec::new();
        while begun.elapsed() < time && goes_on()? {
            times.push(self.one()?);
            std::thread::sleep(PROBE_INTERVAL);
        }
        times.sort_unstable();
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
        let worst = times.last().copied().unwrap_or_default();
        Ok(Times { count: times.len(), median: at(0.5), p95: at(0.95), worst })
    }

    /// From the first byte sent to the destination's having it.
    fn one(&mut self) -> Outcome<Duration> {
        let number = Number { run: 9, conn: 0, seq: self.next };
        self.next += 1;
        let mut line = String::new();
        point::write(&mut line, "metric", number, false);
        let mut stream = connect(self.address)?;
        let begun = Instant::now();
        let status = post(&mut stream, self.address, line.as_bytes())?;
        if status != 200 {
            return Err(format!("a live point is answered {status}").into());
        }
        while begun.elapsed() < PROBE_PATIENCE {
            let account = self.upstream.shared().account();
            let stream = account.streams.get(&(number.run, number.conn));
            if stream.and_then(|s| s.get(number.seq as usize)).is_some_and(|package| *package != 0) {
                return Ok(begun.elapsed());
            }
            drop(account);
            std::thread::sleep(LOOK);
        }
        Ok(PROBE_PATIENCE)
    }
}
