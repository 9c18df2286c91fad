//! One load thread: its connections, its epoll descriptor, its counts.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::requests::Request;
use super::{Options, Schedule};
use crate::shared::http::response_head;
use crate::shared::{Fail, Outcome, system};

/// Big enough that a 64 KB request goes out in one `send`.
const SEND_BUFFER_BYTES: usize = 512 * 1024;
/// Answers are short; one `recv` takes one whole.
const RECEIVE_BYTES: usize = 16 * 1024;
/// An answer longer than this is not one of a write.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Connections are made anew at most this often in a run, all together: a dead server must not make us spin.
const RECONNECTS_MAX: u64 = 100_000;
/// Pause before a refused connection is tried again.
const REFUSED_PAUSE: Duration = Duration::from_millis(5);
/// How long answers are awaited after the last request.
const LINGER: Duration = Duration::from_secs(5);
/// The timer of the open loop never fires more often than this; what is due meanwhile goes out together.
const TICK_MIN: Duration = Duration::from_micros(50);
/// What took longer counts as this long.
const LATENCY_NS_MAX: u64 = 100_000_000_000;
const TIMER_KEY: u64 = u64::MAX;
const EVENTS_MAX: usize = 512;

/// Counts of a thread, or of all.
pub struct Tally {
    /// Latencies in nanoseconds, measured window only.
    pub latency: Histogram<u64>,
    /// Answers by status, measured window only.
    pub statuses: BTreeMap<u16, u64>,
    /// Points in requests answered 2xx, measured window only.
    pub points: u64,
    /// Request bytes of answered requests, measured window only.
    pub bytes: u64,
    /// Requests answered 2xx from the first to the last.
    pub requests_all: u64,
    /// Points in them.
    pub points_all: u64,
    /// Connections that broke or were refused.
    pub errors: u64,
    /// Open loop: requests that were due and could not be sent before the end.
    pub unsent: u64,
    /// CPU time of the load threads themselves, measured window only.
    pub cpu_ns: u64,
}

impl Tally {
    /// Nothing yet.
    pub fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3);
        Self {
            latency: latency.expect("the bounds are in order and three digits are allowed"),
            statuses: BTreeMap::new(),
            points: 0,
            bytes: 0,
            requests_all: 0,
            points_all: 0,
            errors: 0,
            unsent: 0,
            cpu_ns: 0,
        }
    }

    /// Adds another thread's.
    pub fn add(&mut self, other: &Tally) -> Outcome<()> {
        self.latency.add(&other.latency)?;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.points += other.points;
        self.bytes += other.bytes;
        self.requests_all += other.requests_all;
        self.points_all += other.points_all;
        self.errors += other.errors;
        self.unsent += other.unsent;
        self.cpu_ns += other.cpu_ns;
        Ok(())
    }
}

struct Conn {
    stream: TcpStream,
    request: usize,
    /// Bytes of the request that are out.
    sent: usize,
    /// A request is out, or on its way.
    busy: bool,
    /// Waits for room in the send buffer.
    wants_write: bool,
    /// What the latency counts from.
    since: Instant,
    /// The beginning of an answer that came in pieces.
    partial: Vec<u8>,
    /// Broken and not yet made anew; then the index is in `Worker::broken`.
    dead: bool,
}

/// A load thread before it runs.
pub struct Worker {
    options: Options,
    requests: Arc<Vec<Request>>,
    schedule: Schedule,
    epoll: OwnedFd,
    conns: Vec<Conn>,
    /// Connections without a request in flight (open loop).
    free: Vec<usize>,
    broken: Vec<usize>,
    next_request: usize,
    tally: Tally,
    /// Open loop: this thread's share of the rate.
    pace: Option<Pace>,
    reconnects: u64,
    in_flight: usize,
    scratch: Vec<u8>,
}

struct Pace {
    interval_ns: f64,
    /// Requests sent so far; the next is due at `start + issued * interval`.
    issued: u64,
    timer: OwnedFd,
}

impl Pace {
    fn due(&self, start: Instant) -> Instant {
        start + Duration::from_nanos((self.issued as f64 * self.interval_ns) as u64)
    }
}

impl Worker {
    /// Opens this thread's share of the connections.
    pub fn connect(
        options: &Options,
        requests: Arc<Vec<Request>>,
        schedule: Schedule,
        index: usize,
    ) -> Outcome<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let share = options.connections / options.threads
            + usize::from(index < options.connections % options.threads);
        let mut conns = Vec::with_capacity(share);
        for i in 0..share {
            let stream = open(options)?;
            epoll::add(&epoll, &stream, epoll::EventData::new_u64(i as u64), epoll::EventFlags::IN)?;
            conns.push(Conn {
                stream,
                request: 0,
                sent: 0,
                busy: false,
                wants_write: false,
                since: schedule.start,
                partial: Vec::new(),
                dead: false,
            });
        }
        let pace = options.rate.map(|rate| pace(rate / options.threads as f64, &epoll)).transpose()?;
        // Threads begin at different bodies, so that no two send the same one at once.
        let next_request = requests.len() * index / options.threads;
        Ok(Self {
            options: options.clone(),
            requests,
            schedule,
            epoll,
            free: (0..conns.len()).rev().collect(),
            conns,
            broken: Vec::new(),
            next_request,
            tally: Tally::new(),
            pace,
            reconnects: 0,
            in_flight: 0,
            scratch: vec![0; RECEIVE_BYTES],
        })
    }

    /// Offers the load until the schedule ends; `progress` counts 2xx answers for whoever samples the server.
    pub fn run(mut self, progress: &AtomicU64) -> Outcome<Tally> {
        std::thread::sleep(self.schedule.start.saturating_duration_since(Instant::now()));
        let empty = epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        let mut events = vec![empty; EVENTS_MAX];
        if self.pace.is_none() {
            for i in 0..self.conns.len() {
                self.begin(i, Instant::now());
            }
        }
        let (mut cpu_at_measure, mut cpu_at_end) = (None, None);
        loop {
            let now = Instant::now();
            if now >= self.schedule.measure && cpu_at_measure.is_none() {
                cpu_at_measure = Some(system::own_cpu_ns());
            }
            if now >= self.schedule.end && cpu_at_end.is_none() {
                cpu_at_end = Some(system::own_cpu_ns());
            }
            if now >= self.schedule.end && (self.in_flight == 0 || now >= self.schedule.end + LINGER) {
                break;
            }
            self.mend(now)?;
            self.issue(now);
            let wait = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
            let count = match epoll::wait(&self.epoll, &mut events[..], Some(&wait)) {
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(e) => return Err(e.into()),
            };
            for event in &events[..count] {
                let key = event.data.u64();
                if key == TIMER_KEY {
                    self.take_tick();
                } else {
                    self.event(key as usize, event.flags, progress);
                }
            }
        }
        self.tally.cpu_ns = cpu_at_end.unwrap_or(0).saturating_sub(cpu_at_measure.unwrap_or(0));
        if let Some(pace) = &self.pace {
            let due = (self.schedule.end - self.schedule.start).as_nanos() as f64 / pace.interval_ns;
            self.tally.unsent = (due as u64).saturating_sub(pace.issued);
        }
        Ok(self.tally)
    }

    fn take_tick(&mut self) {
        if let Some(pace) = &self.pace {
            // Only to clear it; how often it fired does not matter.
            let _ = rustix::io::read(&pace.timer, &mut [0u8; 8]);
        }
    }

    /// Open loop: sends what is due on connections that are free.
    fn issue(&mut self, now: Instant) {
        if now >= self.schedule.end {
            return;
        }
        while let Some(pace) = &mut self.pace {
            let due = pace.due(self.schedule.start);
            if due > now {
                return;
            }
            let Some(i) = self.free.pop() else { return };
            pace.issued += 1;
            self.begin(i, due);
        }
    }

    fn begin(&mut self, i: usize, since: Instant) {
        let conn = &mut self.conns[i];
        conn.request = self.next_request;
        conn.sent = 0;
        conn.since = since;
        conn.busy = true;
        conn.partial.clear();
        self.next_request += 1;
        if self.next_request == self.requests.len() {
            self.next_request = 0;
        }
        self.in_flight += 1;
        self.push(i);
    }

    /// Sends as much as the socket takes.
    fn push(&mut self, i: usize) {
        let conn = &mut self.conns[i];
        let bytes = &self.requests[conn.request].bytes;
        while conn.sent < bytes.len() {
            match send(&conn.stream, &bytes[conn.sent..], SendFlags::NOSIGNAL) {
                Ok(count) => conn.sent += count,
                Err(Errno::AGAIN) => break,
                Err(_) => return self.fail(i),
            }
        }
        let unfinished = conn.sent < bytes.len();
        if unfinished != conn.wants_write {
            conn.wants_write = unfinished;
            let flags = if unfinished {
                epoll::EventFlags::IN | epoll::EventFlags::OUT
            } else {
                epoll::EventFlags::IN
            };
            if epoll::modify(&self.epoll, &conn.stream, epoll::EventData::new_u64(i as u64), flags).is_err() {
                self.fail(i);
            }
        }
    }

    fn event(&mut self, i: usize, flags: epoll::EventFlags, progress: &AtomicU64) {
        if self.conns[i].dead {
            return;
        }
        if flags.contains(epoll::EventFlags::OUT) {
            self.push(i);
        }
        let anything = epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        if flags.intersects(anything) && !self.conns[i].dead {
            self.receive(i, progress);
        }
    }

    fn receive(&mut self, i: usize, progress: &AtomicU64) {
        let conn = &mut self.conns[i];
        let count = match recv(&conn.stream, &mut self.scratch[..], RecvFlags::empty()) {
            Ok((_, 0)) => return self.fail(i),
            Ok((_, count)) => count,
            Err(Errno::AGAIN | Errno::INTR) => return,
            Err(_) => return self.fail(i),
        };
        let fresh = &self.scratch[..count];
        let whole = if conn.partial.is_empty() {
            fresh
        } else {
            conn.partial.extend_from_slice(fresh);
            &conn.partial
        };
        let head = match response_head(whole) {
            Ok(Some(head)) if whole.len() >= head.head_len + head.body_len => head,
            Ok(_) if whole.len() < ANSWER_BYTES_MAX => {
                if conn.partial.is_empty() {
                    conn.partial.extend_from_slice(&self.scratch[..count]);
                }
                return;
            }
            _ => return self.fail(i),
        };
        let now = Instant::now();
        let request = &self.requests[conn.request];
        let accepted = (200..300).contains(&head.status);
        if accepted {
            self.tally.requests_all += 1;
            self.tally.points_all += u64::from(request.points);
            progress.fetch_add(1, Ordering::Relaxed);
        }
        if now >= self.schedule.measure && now < self.schedule.end {
            self.tally.latency.saturating_record(now.duration_since(conn.since).as_nanos() as u64);
            *self.tally.statuses.entry(head.status).or_default() += 1;
            self.tally.bytes += request.bytes.len() as u64;
            if accepted {
                self.tally.points += u64::from(request.points);
            }
        }
        self.in_flight -= 1;
        conn.busy = false;
        // An answer before the whole request was read (413, 503) leaves the connection unusable for the next one.
        if head.close || conn.sent < request.bytes.len() {
            return self.bury(i);
        }
        if self.pace.is_some() {
            self.free.push(i);
        } else if now < self.schedule.end {
            self.begin(i, now);
        }
    }

    /// The connection broke: counted, and made anew when it may be.
    fn fail(&mut self, i: usize) {
        self.tally.errors += 1;
        if self.conns[i].busy {
            self.conns[i].busy = false;
            self.in_flight -= 1;
        }
        self.bury(i);
    }

    fn bury(&mut self, i: usize) {
        let conn = &mut self.conns[i];
        conn.dead = true;
        let _ = epoll::delete(&self.epoll, &conn.stream);
        self.free.retain(|free| *free != i);
        self.broken.push(i);
    }

    /// Makes broken connections anew.
    fn mend(&mut self, now: Instant) -> Outcome<()> {
        while now < self.schedule.end {
            let Some(i) = self.broken.pop() else { break };
            self.reconnects += 1;
            if self.reconnects > RECONNECTS_MAX {
                return Err(format!("{RECONNECTS_MAX} connections broke: giving up").into());
            }
            let Ok(stream) = open(&self.options) else {
                self.tally.errors += 1;
                self.broken.push(i);
                std::thread::sleep(REFUSED_PAUSE);
                break;
            };
            let key = epoll::EventData::new_u64(i as u64);
            epoll::add(&self.epoll, &stream, key, epoll::EventFlags::IN)?;
            let conn = &mut self.conns[i];
            *conn = Conn { stream, dead: false, wants_write: false, partial: Vec::new(), sent: 0, ..*conn };
            if self.pace.is_some() {
                self.free.push(i);
            } else {
                self.begin(i, now);
            }
        }
        Ok(())
    }
}

fn open(options: &Options) -> Outcome<TcpStream> {
    let stream = TcpStream::connect_timeout(&options.address, Duration::from_secs(5))
        .map_err(|e| Fail::from(format!("cannot connect to {}: {e}", options.address)))?;
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn pace(rate: f64, epoll: &OwnedFd) -> Outcome<Pace> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let interval = Duration::from_secs_f64(1.0 / rate);
    let tick = interval.max(TICK_MIN);
    let tick = Timespec { tv_sec: tick.as_secs() as i64, tv_nsec: i64::from(tick.subsec_nanos()) };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: tick, it_value: tick })?;
    epoll::add(epoll, &timer, epoll::EventData::new_u64(TIMER_KEY), epoll::EventFlags::IN)?;
    Ok(Pace { interval_ns: interval.as_nanos() as f64, issued: 0, timer })
}
