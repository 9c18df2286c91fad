//! The sending side of the ledger: blocking connections that number every point and note what became of it.
//!
//! A request is never sent twice: what a sender repeats by itself would look like a duplicate of the gateway's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::point::{self, Number, SEQ_MAX};
use super::sent::{Fate, Range};
use crate::shared::http::{header, response_head};
use crate::shared::random::Random;
use crate::shared::{Outcome, system};

/// A gateway that answers nothing for so long has failed.
const ANSWER_PATIENCE: Duration = Duration::from_secs(40);
const CONNECT_PATIENCE: Duration = Duration::from_millis(500);
/// Between attempts to reach a gateway that is down.
const DOWN_PAUSE: Duration = Duration::from_millis(3);
/// After a 503, whatever Retry-After says: the run is short.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);
/// One request in so many is large: it spans blocks.
const LARGE_SHARE: f64 = 0.01;
const LARGE_FACTOR: u64 = 30;

/// How the fleet sends.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Gateway.
    #[arg(long, default_value = "127.0.0.1:9529")]
    pub address: SocketAddr,
    /// Tells this client's points from another run's.
    #[arg(long, default_value_t = 1)]
    pub run: u32,
    /// Connections, each a thread.
    #[arg(long, short, default_value_t = 32)]
    pub connections: u32,
    /// Categories, dealt to the connections in turn.
    #[arg(long, value_delimiter = ',', default_value = "metric,logging,tracing,object")]
    pub categories: Vec<String>,
    /// Points in a request, at most.
    #[arg(long, default_value_t = 40)]
    pub points_max: u64,
    /// Pause between a connection's requests, at most, in milliseconds.
    #[arg(long, default_value_t = 10)]
    pub pause_ms_max: u64,
    /// Share of requests that are gzipped.
    #[arg(long, default_value_t = 0.2)]
    pub gzip_share: f64,
    /// Query of the requests.
    #[arg(long, default_value = "ack=disk")]
    pub query: String,
    /// Seed of sizes and pauses.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Core of all threads.
    #[arg(long)]
    pub core: Option<usize>,
}

/// Counts that a driver looks at while the fleet runs.
#[derive(Default)]
pub struct Progress {
    /// Points answered 2xx.
    pub acknowledged: AtomicU64,
    /// Requests answered 503.
    pub refused: AtomicU64,
    /// 503 answers without Retry-After. **Violation.**
    pub without_retry_after: AtomicU64,
    /// Requests answered 4xx. **Violation**: every point sent is good.
    pub refused_for_ever: AtomicU64,
    /// 2xx answers whose `X-Kitgate-Ack` is not the level that was asked for. **Violation.**
    pub other_ack: AtomicU64,
    /// Requests without an answer within [`ANSWER_PATIENCE`]. **Violation.**
    pub unanswered: AtomicU64,
    /// Set by the driver: some of the points are poisonous from now on.
    pub poison: AtomicBool,
}

/// Running connections.
pub struct Fleet {
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
    remarks: Arc<Mutex<Vec<String>>>,
    threads: Vec<JoinHandle<Outcome<Vec<Range>>>>,
}

impl Fleet {
    /// Starts sending.
    pub fn start(options: &Options) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let progress = Arc::new(Progress::default());
        let remarks = Arc::new(Mutex::new(Vec::new()));
        let threads = (0..options.connections)
            .map(|conn| {
                let sender = Sender {
                    random: Random::new(options.seed ^ (u64::from(conn) << 32)),
                    category: options.categories[conn as usize % options.categories.len()].clone(),
                    options: options.clone(),
                    conn,
                    stop: Arc::clone(&stop),
                    progress: Arc::clone(&progress),
                    remarks: Arc::clone(&remarks),
                };
                std::thread::spawn(move || sender.run())
            })
            .collect();
        Self { stop, progress, remarks, threads }
    }

    /// Counts so far.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Stops after the requests in flight; everything that was sent, and remarks on answers that must not be.
    pub fn finish(mut self) -> Outcome<(Vec<Range>, Vec<String>)> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sent = Vec::new();
        for thread in self.threads.drain(..) {
            sent.extend(thread.join().map_err(|_| "a sending thread panicked")??);
        }
        let remarks = self.remarks.lock().map(|r| r.clone()).unwrap_or_default();
        Ok((sent, remarks))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Sender {
    options: Options,
    conn: u32,
    category: String,
    random: Random,
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
    remarks: Arc<Mutex<Vec<String>>>,
}

struct Answer {
    status: u16,
    close: bool,
}

impl Sender {
    fn run(mut self) -> Outcome<Vec<Range>> {
        if let Some(core) = self.options.core {
            system::pin(core)?;
        }
        let mut sent = Vec::new();
        let mut next = 0;
        let mut stream = None;
        while !self.stop.load(Ordering::Relaxed) {
            let Some(open) = &mut stream else {
                match connect(self.options.address) {
                    Ok(fresh) => stream = Some(fresh),
                    Err(_) => std::thread::sleep(DOWN_PAUSE),
                }
                continue;
            };
            let (request, count) = self.request(next)?;
            let answer = self.exchange(open, &request);
            let fate = match &answer {
                Some(Answer { status: 200..=299, .. }) => Fate::Acknowledged,
                Some(Answer { status: 400..=499, .. }) => Fate::RefusedForEver,
                Some(_) => Fate::RefusedForNow,
                None => Fate::Unknown,
            };
            if fate == Fate::Acknowledged {
                self.progress.acknowledged.fetch_add(u64::from(count), Ordering::Relaxed);
            }
            sent.push(Range { run: self.options.run, conn: self.conn, first: next, count, fate });
            next += count;
            if next + count > SEQ_MAX {
                break;
            }
            if answer.is_none_or(|answer| answer.close) {
                stream = None;
            }
            if fate == Fate::RefusedForNow {
                std::thread::sleep(REFUSED_PAUSE);
            }
            let pause_us = self.random.range(0, self.options.pause_ms_max * 1000);
            std::thread::sleep(Duration::from_micros(pause_us));
        }
        Ok(sent)
    }

    fn request(&mut self, first: u32) -> Outcome<(Vec<u8>, u32)> {
        let mut count = self.random.range(1, self.options.points_max.max(1)) as u32;
        if self.random.chance(LARGE_SHARE) {
            count *= LARGE_FACTOR as u32;
        }
        let mut text = String::with_capacity(count as usize * 200);
        let poison = self.progress.poison.load(Ordering::Relaxed);
        for seq in first..first + count {
            point::write(
                &mut text,
                &self.category,
                Number { run: self.options.run, conn: self.conn, seq },
                poison,
            );
        }
        let gzip = self.random.chance(self.options.gzip_share);
        let body = if gzip {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text.as_bytes())?;
            encoder.finish()?
        } else {
            text.into_bytes()
        };
        let mut out = Vec::with_capacity(body.len() + 256);
        write!(
            out,
            "POST /v1/write/{}?{} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n{}\r\n",
            self.category,
            self.options.query,
            self.options.address,
            body.len(),
            if gzip { "Content-Encoding: gzip\r\n" } else { "" }
        )?;
        out.extend_from_slice(&body);
        Ok((out, count))
    }

    /// `None` when the connection died before a status was read.
    fn exchange(&self, stream: &mut TcpStream, request: &[u8]) -> Option<Answer> {
        let begin = Instant::now();
        stream.write_all(request).ok()?;
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        let head = loop {
            match response_head(&bytes) {
                // The status was read: the sender has been told, even if the body never comes.
                Ok(Some(head)) => break head,
                Ok(None) => {}
                Err(e) => {
                    self.remark(format!(
                        "an answer that cannot be read ({e:?}): {:?}",
                        String::from_utf8_lossy(&bytes)
                    ));
                    return None;
                }
            }
            match stream.read(&mut piece) {
                Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
                _ => {
                    if begin.elapsed() >= ANSWER_PATIENCE {
                        self.progress.unanswered.fetch_add(1, Ordering::Relaxed);
                        self.remark(format!("no answer within {ANSWER_PATIENCE:?}"));
                    }
                    return None;
                }
            }
        };
        self.judge(head.status, &bytes);
        let mut close = head.close;
        while !close && bytes.len() < head.head_len + head.body_len {
            match stream.read(&mut piece) {
                Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
                _ => close = true,
            }
        }
        Some(Answer { status: head.status, close })
    }

    fn judge(&self, status: u16, bytes: &[u8]) {
        match status {
            200..=299 => {
                let asked = self.options.query.split('&').find_map(|pair| pair.strip_prefix("ack="));
                let got = header(bytes, "x-kitgate-ack");
                if let (Some(asked), Some(got)) = (asked, &got)
                    && asked != got
                {
                    self.progress.other_ack.fetch_add(1, Ordering::Relaxed);
                    self.remark(format!("ack={asked} was asked for and {got} given"));
                }
            }
            503 => {
                self.progress.refused.fetch_add(1, Ordering::Relaxed);
                if header(bytes, "retry-after").is_none() {
                    self.progress.without_retry_after.fetch_add(1, Ordering::Relaxed);
                    self.remark(format!("503 without Retry-After: {:?}", String::from_utf8_lossy(bytes)));
                }
            }
            400..=499 => {
                self.progress.refused_for_ever.fetch_add(1, Ordering::Relaxed);
                self.remark(format!("good points were refused: {:?}", String::from_utf8_lossy(bytes)));
            }
            _ => self.remark(format!("status {status}: {:?}", String::from_utf8_lossy(bytes))),
        }
    }

    fn remark(&self, text: String) {
        const REMARKS_MAX: usize = 8;
        if let Ok(mut remarks) = self.remarks.lock()
            && remarks.len() < REMARKS_MAX
        {
            remarks.push(text);
        }
    }
}

fn connect(address: SocketAddr) -> Outcome<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, CONNECT_PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
    stream.set_write_timeout(Some(ANSWER_PATIENCE))?;
    Ok(stream)
}
