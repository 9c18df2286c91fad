//! The destination's socket side: one epoll thread, HTTP/1.1 with Content-Length, answers now or later.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::time::Timespec;

use super::account::Delivery;
use super::mode::Mode;
use super::{Options, Shared, decode};
use crate::shared::Outcome;
use crate::shared::random::Random;

const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 64;
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
const CONNECTIONS_MAX: usize = 4096;
/// One warm buffer for everybody: a body of a few hundred KB comes in few calls.
const RECEIVE_BYTES: usize = 256 * 1024;
const LISTENER: u64 = u64::MAX;
const EVENTS_MAX: usize = 256;
/// How soon a new mode or the end is noticed.
const TICK: Duration = Duration::from_millis(10);

/// What the head of a package said.
#[derive(Clone, Default)]
struct Head {
    path: String,
    id: String,
    encoding: String,
    content_type: String,
    points: Option<u64>,
    body_len: usize,
}

struct Conn {
    stream: TcpStream,
    /// Head bytes, then body bytes unless they are dropped.
    input: Vec<u8>,
    head: Option<Head>,
    /// Body bytes that came and were dropped (`discard`).
    dropped: usize,
    generation: u64,
}

/// The destination before it runs.
pub struct Server {
    options: Options,
    shared: Arc<Shared>,
    address: SocketAddr,
    listener: Option<TcpListener>,
    epoll: OwnedFd,
    conns: Vec<Option<Conn>>,
    generations: u64,
    /// Answers that are due later: instant, connection, its generation, status.
    later: BinaryHeap<Reverse<(Instant, usize, u64, u16)>>,
    random: Random,
    scratch: Vec<u8>,
}

/// What is answered to poison.
const POISON_STATUS: u16 = 400;

/// Whether the decoded body holds the marker.
fn holds(head: &Head, body: &[u8], marker: &str) -> bool {
    decode::content(&head.encoding, body)
        .is_ok_and(|text| memchr::memmem::find(&text, marker.as_bytes()).is_some())
}

impl Server {
    /// Takes the port.
    pub fn bind(options: &Options, shared: Arc<Shared>) -> Outcome<Self> {
        let listener = TcpListener::bind(options.listen)
            .map_err(|e| format!("cannot listen on {}: {e}", options.listen))?;
        let address = listener.local_addr()?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut server = Self {
            options: options.clone(),
            shared,
            address,
            listener: None,
            epoll,
            conns: Vec::new(),
            generations: 0,
            later: BinaryHeap::new(),
            random: Random::new(options.seed),
            scratch: vec![0; RECEIVE_BYTES],
        };
        server.watch(listener)?;
        Ok(server)
    }

    /// The port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn watch(&mut self, listener: TcpListener) -> Outcome<()> {
        listener.set_nonblocking(true)?;
        epoll::add(&self.epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        self.listener = Some(listener);
        Ok(())
    }

    /// Serves until told to stop.
    pub fn run(mut self) -> Outcome<()> {
        let empty = epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        let mut events = vec![empty; EVENTS_MAX];
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.follow_mode()?;
            let wait = self
                .later
                .peek()
                .map_or(TICK, |Reverse((due, ..))| due.saturating_duration_since(Instant::now()).min(TICK));
            let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
            let count = match epoll::wait(&self.epoll, &mut events[..], Some(&wait)) {
                Ok(count) => count,
                Err(Errno::INTR) => 0,
                Err(e) => return Err(e.into()),
            };
            for event in &events[..count] {
                match event.data.u64() {
                    LISTENER => self.accept(),
                    key => self.receive(key as usize),
                }
            }
            self.answer_due();
        }
        Ok(())
    }

    /// Absence is the one mode that touches sockets by itself.
    fn follow_mode(&mut self) -> Outcome<()> {
        let absent = self.shared.mode() == Mode::Absent;
        if absent && self.listener.is_some() {
            self.listener = None;
            self.conns.clear();
        } else if !absent && self.listener.is_none() {
            // The port may be in use for a moment by a connection that is being closed; the next tick tries again.
            if let Ok(listener) = TcpListener::bind(self.address) {
                self.watch(listener)?;
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(TcpListener::accept) {
            let _ = stream.set_nonblocking(true);
            let _ = stream.set_nodelay(true);
            let at = self.conns.iter().position(Option::is_none).unwrap_or(self.conns.len());
            if at >= CONNECTIONS_MAX {
                continue;
            }
            let key = epoll::EventData::new_u64(at as u64);
            if epoll::add(&self.epoll, &stream, key, epoll::EventFlags::IN).is_err() {
                continue;
            }
            self.generations += 1;
            let conn =
                Conn { stream, input: Vec::new(), head: None, dropped: 0, generation: self.generations };
            if at == self.conns.len() {
                self.conns.push(Some(conn));
            } else {
                self.conns[at] = Some(conn);
            }
        }
    }

    fn receive(&mut self, at: usize) {
        let Some(Some(conn)) = self.conns.get_mut(at) else { return };
        let count = match recv(&conn.stream, &mut self.scratch[..], RecvFlags::empty()) {
            Ok((_, count)) if count > 0 => count,
            Err(Errno::AGAIN | Errno::INTR) => return,
            _ => return self.close(at),
        };
        self.shared.bytes.fetch_add(count as u64, Ordering::Relaxed);
        if self.options.discard && conn.head.is_some() && conn.input.is_empty() {
            // What belongs to this body is dropped where it lies.
            let missing = conn.head.as_ref().map_or(0, |head| head.body_len) - conn.dropped;
            let mine = count.min(missing);
            conn.dropped += mine;
            conn.input.extend_from_slice(&self.scratch[mine..count]);
        } else {
            conn.input.extend_from_slice(&self.scratch[..count]);
        }
        self.advance(at);
    }

    /// Takes every whole request that is there.
    fn advance(&mut self, at: usize) {
        loop {
            let Some(Some(conn)) = self.conns.get_mut(at) else { return };
            if conn.head.is_none() {
                match read_head(&conn.input) {
                    Ok(None) if conn.input.len() < HEAD_BYTES_MAX => return,
                    Ok(Some((head, len))) if head.body_len <= BODY_BYTES_MAX => {
                        conn.input.drain(..len);
                        conn.dropped = 0;
                        conn.head = Some(head);
                    }
                    _ => {
                        // A sender that this cannot read is a fault of the sender worth seeing.
                        eprintln!(
                            "upstream: a request that cannot be read: {:?}",
                            String::from_utf8_lossy(&conn.input[..conn.input.len().min(200)])
                        );
                        return self.close(at);
                    }
                }
            }
            let Some(head) = &conn.head else { return };
            if self.options.discard {
                let mine = conn.input.len().min(head.body_len - conn.dropped);
                conn.input.drain(..mine);
                conn.dropped += mine;
                if conn.dropped < head.body_len {
                    return;
                }
            } else if conn.input.len() < head.body_len {
                return;
            }
            let Some(head) = conn.head.take() else { return };
            let body = if self.options.discard {
                Vec::new()
            } else if conn.input.len() == head.body_len {
                std::mem::take(&mut conn.input)
            } else {
                conn.input.drain(..head.body_len).collect()
            };
            if !self.request(at, &head, &body) {
                return;
            }
        }
    }

    /// One whole request; false when the connection is gone.
    fn request(&mut self, at: usize, head: &Head, body: &[u8]) -> bool {
        if head.path == PULL {
            return self.no_rules(at);
        }
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
        let ok = self.options.status;
        let mode = self.shared.mode();
        let answers = !matches!(mode, Mode::Absent | Mode::Silent);
        if answers && self.shared.poison().is_some_and(|marker| holds(head, body, &marker)) {
            self.answer(at, POISON_STATUS);
            return true;
        }
        match mode {
            Mode::Fast => {
                self.take(head, body);
                self.answer(at, ok);
                true
            }
            Mode::Slow(delay) => {
                self.take(head, body);
                let Some(Some(conn)) = self.conns.get(at) else { return false };
                self.later.push(Reverse((Instant::now() + delay, at, conn.generation, ok)));
                true
            }
            Mode::Failing { status, share } => {
                if self.random.chance(share) {
                    self.answer(at, status);
                } else {
                    self.take(head, body);
                    self.answer(at, ok);
                }
                true
            }
            Mode::Silent => true,
            Mode::Absent => {
                self.close(at);
                false
            }
            Mode::Forgetful(share) => {
                self.take(head, body);
                if self.random.chance(share) {
                    self.close(at);
                    return false;
                }
                self.answer(at, ok);
                true
            }
            Mode::Poisonous { marker, status } => {
                if holds(head, body, &marker) {
                    self.answer(at, status);
                } else {
                    self.take(head, body);
                    self.answer(at, ok);
                }
                true
            }
        }
    }

    /// A gateway asks for rules: there are none. That is no package, and counted nowhere.
    fn no_rules(&mut self, at: usize) -> bool {
        let Some(Some(conn)) = self.conns.get(at) else { return false };
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"content\":{}}";
        let gone = match self.shared.mode() {
            Mode::Silent => false,
            Mode::Absent => true,
            _ => send(&conn.stream, text.as_bytes(), SendFlags::NOSIGNAL) != Ok(text.len()),
        };
        if gone {
            self.close(at);
        }
        !gone
    }

    /// Notes the package in the account.
    fn take(&mut self, head: &Head, body: &[u8]) {
        self.shared.points.fetch_add(head.points.unwrap_or(0), Ordering::Relaxed);
        if self.options.discard || body.len() > self.options.look_bytes_max {
            return;
        }
        let mut account = self.shared.account();
        match decode::content(&head.encoding, body) {
            Err(why) => account.undecodable(&head.id, &why),
            Ok(body) => account.take(&Delivery {
                category: head.path.rsplit('/').next().unwrap_or_default(),
                id: &head.id,
                points: head.points,
                protobuf: head.content_type.contains("protobuf"),
                body: &body,
            }),
        }
    }

    fn answer_due(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, at, generation, status))) = self.later.peek().copied() {
            if due > now {
                return;
            }
            self.later.pop();
            if self.conns.get(at).is_some_and(|c| c.as_ref().is_some_and(|c| c.generation == generation)) {
                self.answer(at, status);
            }
        }
    }

    fn answer(&mut self, at: usize, status: u16) {
        let Some(Some(conn)) = self.conns.get(at) else { return };
        let text = match status {
            204 => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            _ => format!("HTTP/1.1 {status} Stand-In\r\nContent-Length: 0\r\n\r\n"),
        };
        // So short a text always fits the socket's buffer; if not, the peer does not read and may go.
        if send(&conn.stream, text.as_bytes(), SendFlags::NOSIGNAL) != Ok(text.len()) {
            self.close(at);
        }
    }

    fn close(&mut self, at: usize) {
        if let Some(slot) = self.conns.get_mut(at) {
            *slot = None;
        }
    }
}

/// Where gateways ask for rules.
const PULL: &str = "/v1/datakit/pull";

/// Parses a head; `Ok(None)` while it is incomplete.
fn read_head(input: &[u8]) -> Result<Option<(Head, usize)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(input).map_err(|e| e.to_string())? {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(len) => len,
    };
    let target = request.path.unwrap_or_default();
    let mut head = Head { path: target.split('?').next().unwrap_or_default().to_owned(), ..Head::default() };
    for header in request.headers.iter() {
        let value = String::from_utf8_lossy(header.value).trim().to_owned();
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => head.body_len = value.parse().map_err(|_| format!("length {value:?}"))?,
            "transfer-encoding" => return Err("chunked packages are not part of the contract".into()),
            "content-encoding" => head.encoding = value,
            "content-type" => head.content_type = value,
            "x-pkg-id" => head.id = value,
            "x-points" => head.points = value.parse().ok(),
            _ => {}
        }
    }
    Ok(Some((head, len)))
}
