//! Connections to destinations: kept alive, a few idle ones for each host, plain or TLS.
//!
//! One exchange sends the request and listens for the answer at the same time: a destination may refuse a large body
//! before it has read it, and then the answer is what counts, not that sending failed.
//!
//! A connection is given up when it has grown old or leads to an address that its name no longer has: so a destination
//! that moves is followed. An address that takes no connection, or does not answer on one, stands behind the name's other
//! addresses for a while (see [`super::dns`]).
//!
//! A kept connection may have been closed by the other side just when it was taken. If it dies before a single byte of an
//! answer has come, the request is sent once more on a fresh connection; the destination knows it by its package id.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::carrier::{Request, Transport, TransportError};
use super::dns::Dns;
use super::env::{Env, RtEnv};
use super::race::{Either, race};
use super::tls::TlsStream;
use crate::http1::client::{Progress, Reply, ResponseReader};
use crate::point::Category;
use crate::rt::net::Stream;
use crate::rt::time::timeout;
use crate::sink::Target;

/// One address that does not answer may not use up the whole time: a name often has others.
const CONNECT_LIMIT_MAX: Duration = Duration::from_secs(5);

/// Head and small parts of a body are gathered up to this before they are sent.
const GATHER_BYTES: usize = 64 << 10;

/// A body of several mebibytes, as a raw package may have, gets this much more time for each: a slow link must be able to
/// deliver it at all.
const TIME_PER_MIB: Duration = Duration::from_secs(2);

/// Answers are some hundred bytes.
const RECV_BYTES: usize = 4 << 10;

/// A connection older than this is not used again: with each new one the name is looked up.
const AGE_MAX: Duration = Duration::from_secs(300);

/// After a session that failed for its certificate, the trusted certificates are read again at most this often: whoever
/// renews them on disk need not restart anything.
const ROOTS_INTERVAL: Duration = Duration::from_secs(60);

/// How connections are made and kept.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// From name look-up to the last byte of the answer, for an ordinary body.
    pub timeout: Duration,
    /// The same for an answer to a profile.
    pub timeout_of_profiles: Duration,
    /// An idle connection older than this is not used again.
    pub idle_timeout: Duration,
    /// Idle connections kept for each host.
    pub idle_per_host_max: usize,
}

/// The connections of a shard.
pub struct Pool {
    settings: PoolSettings,
    tls: RefCell<Option<Tls>>,
    dns: Dns<RtEnv>,
    idle: RefCell<HashMap<Key, VecDeque<Idle>>>,
}

/// How sessions are made.
pub struct Tls {
    pub config: Arc<ClientConfig>,
    /// Makes it anew, from what is on disk now. Blocks.
    pub reload: fn() -> Option<Arc<ClientConfig>>,
    /// When that was last done.
    reloaded: Option<Instant>,
}

impl Tls {
    pub fn new(config: Arc<ClientConfig>, reload: fn() -> Option<Arc<ClientConfig>>) -> Tls {
        Tls { config, reload, reloaded: None }
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    tls: bool,
    host: String,
    port: u16,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

struct Connection {
    link: Link,
    address: SocketAddr,
    made: Instant,
}

enum Link {
    Plain(Stream),
    Tls(Box<TlsStream>),
}

/// Says so when an exchange is broken off: its time is over, and the address did not answer.
struct Answering<'a> {
    pool: &'a Pool,
    target: &'a Target,
    address: SocketAddr,
    armed: bool,
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.pool.dns.failed(self.target.host(), self.target.port(), self.address);
        }
    }
}

/// How an exchange on one connection failed.
struct Failed {
    error: TransportError,
    /// Not a byte of an answer had come.
    untouched: bool,
}

impl Pool {
    /// `tls` is needed when a target wants it.
    pub fn new(settings: PoolSettings, tls: Option<Tls>) -> Pool {
        Pool { settings, tls: RefCell::new(tls), dns: Dns::new(RtEnv), idle: RefCell::default() }
    }

    async fn exchange_on_any(&self, request: Request<'_>) -> Result<Reply, TransportError> {
        let key = Key {
            tls: request.target.is_tls(),
            host: request.target.host().to_owned(),
            port: request.target.port(),
        };
        if let Some(connection) = self.take_idle(&key) {
            match self.exchange_on(&connection, request).await {
                Ok(reply) => return Ok(self.done(key, connection, reply)),
                Err(Failed { untouched: true, error: TransportError::Io(_) }) => {}
                Err(failed) => return Err(failed.error),
            }
        }
        let connection = self.connect(request.target).await?;
        match self.exchange_on(&connection, request).await {
            Ok(reply) => Ok(self.done(key, connection, reply)),
            Err(failed) => Err(failed.error),
        }
    }

    async fn exchange_on(&self, connection: &Connection, request: Request<'_>) -> Result<Reply, Failed> {
        let (target, address) = (request.target, connection.address);
        let mut answering = Answering { pool: self, target, address, armed: true };
        let exchanged = connection.link.exchange(request).await;
        // A connection that was closed is no silence.
        answering.armed = false;
        exchanged
    }

    fn done(&self, key: Key, connection: Connection, reply: Reply) -> Reply {
        if reply.reusable && connection.made.elapsed() < AGE_MAX {
            let mut idle = self.idle.borrow_mut();
            let idle = idle.entry(key).or_default();
            if idle.len() < self.settings.idle_per_host_max {
                idle.push_back(Idle { connection, since: Instant::now() });
            }
        }
        reply
    }

    /// The connection that was used last, if it still looks alive. Older ones are left to grow old.
    fn take_idle(&self, key: &Key) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let idle = idle.get_mut(key)?;
        let now = Instant::now();
        while idle.front().is_some_and(|oldest| now - oldest.since >= self.settings.idle_timeout) {
            idle.pop_front();
        }
        while let Some(Idle { connection, .. }) = idle.pop_back() {
            let is_current = self.dns.names(&key.host, key.port, connection.address);
            if is_current && connection.link.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self, target: &Target) -> Result<Connection, TransportError> {
        let (host, port) = (target.host(), target.port());
        let addresses = self.dns.resolve(host, port).await.map_err(TransportError::Resolve)?;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match self.connect_to(address).await {
                Ok(stream) => {
                    let link = self.dressed(stream, target, address).await?;
                    self.dns.worked(host, port, address);
                    return Ok(Connection { link, address, made: Instant::now() });
                }
                Err(error) => {
                    self.dns.failed(host, port, address);
                    last = error;
                }
            }
        }
        self.dns.all_failed(host, port);
        Err(TransportError::Connect(last))
    }

    /// The connection as the target wants it: plain, or with a session.
    async fn dressed(
        &self,
        stream: Stream,
        target: &Target,
        address: SocketAddr,
    ) -> Result<Link, TransportError> {
        if !target.is_tls() {
            return Ok(Link::Plain(stream));
        }
        let config = self.tls.borrow().as_ref().map(|tls| Arc::clone(&tls.config));
        let config = config.ok_or_else(|| TransportError::Tls("BUG: no TLS configuration".to_owned()))?;
        let mut answering = Answering { pool: self, target, address, armed: true };
        let connected = TlsStream::connect(stream, &config, target.host()).await;
        answering.armed = false;
        match connected {
            Ok(tls) => Ok(Link::Tls(Box::new(tls))),
            Err(error) => {
                self.dns.failed(target.host(), target.port(), address);
                self.renew_roots().await;
                Err(TransportError::Tls(error.to_string()))
            }
        }
    }

    /// Reads the trusted certificates again, if that is due: the next session is made with them.
    async fn renew_roots(&self) {
        let reload = match &mut *self.tls.borrow_mut() {
            Some(tls) if tls.reloaded.is_none_or(|reloaded| reloaded.elapsed() >= ROOTS_INTERVAL) => {
                tls.reloaded = Some(Instant::now());
                tls.reload
            }
            _ => return,
        };
        if let Ok(Some(config)) = RtEnv.blocking(reload).await
            && let Some(tls) = &mut *self.tls.borrow_mut()
        {
            tls.config = config;
        }
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<Stream> {
        Stream::connect(address, self.settings.timeout.min(CONNECT_LIMIT_MAX)).await
    }
}

impl Transport for Pool {
    async fn exchange(&self, request: Request<'_>) -> Result<Reply, TransportError> {
        let timeouts = &self.settings;
        let of_answer = match request.category {
            Category::Profiling => timeouts.timeout_of_profiles,
            _ => timeouts.timeout,
        };
        let limit = of_answer + TIME_PER_MIB * (request.body.bytes >> 20) as u32;
        match timeout(limit, self.exchange_on_any(request)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(TransportError::Timeout),
        }
    }
}

impl Link {
    async fn send_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Link::Plain(stream) => stream.send_all(bytes).await,
            Link::Tls(stream) => stream.send_all(bytes).await,
        }
    }

    async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Plain(stream) => stream.recv(buf).await,
            Link::Tls(stream) => stream.recv(buf).await,
        }
    }

    /// Whether the other side has said nothing, as it should between two requests.
    fn is_quiet(&self) -> bool {
        match self {
            Link::Plain(stream) => {
                matches!(stream.try_recv(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Link::Tls(stream) => stream.is_quiet(),
        }
    }

    /// Sends a request and reads its answer. An answer that is whole before the request is gone counts; the
    /// connection is then of no more use.
    async fn exchange(&self, request: Request<'_>) -> Result<Reply, Failed> {
        let mut reader = ResponseReader::new(false);
        let raced = race(self.receive(&mut reader), self.send(request)).await;
        let (received, sent_whole) = match raced {
            // The answer came first. A refusal needs no more of the request; a success that has not seen all of it
            // cannot be believed.
            Either::First(Ok(())) if reader.status().is_some_and(|status| (200..300).contains(&status)) => {
                let error = io::Error::other("a success was answered before the request was sent");
                return Err(Failed { error: TransportError::Io(error), untouched: false });
            }
            Either::First(received) => (received, false),
            Either::Second(Ok(())) => (self.receive(&mut reader).await, true),
            // Sending failed, perhaps because of a refusal that is already here. If there is none, the reason why
            // sending failed is what there is to tell.
            Either::Second(Err(error)) => match self.receive(&mut reader).await {
                Err(_) if reader.is_untouched() => (Err(TransportError::Io(error)), false),
                received => (received, false),
            },
        };
        let untouched = reader.is_untouched();
        received.map_err(|error| Failed { error, untouched })?;
        let reply = reader.into_reply();
        let mut reply =
            reply.map_err(|error| Failed { error: TransportError::Response(error), untouched: false })?;
        reply.reusable &= sent_whole;
        Ok(reply)
    }

    async fn send(&self, request: Request<'_>) -> io::Result<()> {
        let mut gathered =
            Vec::with_capacity(GATHER_BYTES.min(request.head.len() + request.body.bytes as usize));
        gathered.extend_from_slice(request.head);
        for part in &request.body.parts {
            if gathered.len() + part.len() <= GATHER_BYTES {
                gathered.extend_from_slice(part);
                continue;
            }
            self.send_all(&gathered).await?;
            gathered.clear();
            if part.len() > GATHER_BYTES {
                self.send_all(part).await?;
            } else {
                gathered.extend_from_slice(part);
            }
        }
        self.send_all(&gathered).await
    }

    /// Receives until the answer is whole.
    async fn receive(&self, reader: &mut ResponseReader) -> Result<(), TransportError> {
        // On the heap: the future of an exchange is held by every worker.
        let mut buf = vec![0; RECV_BYTES];
        loop {
            let received = self.recv(&mut buf).await.map_err(TransportError::Io)?;
            if received == 0 {
                if reader.is_untouched() {
                    return Err(TransportError::Io(io::ErrorKind::UnexpectedEof.into()));
                }
                return reader.close().map_err(TransportError::Response);
            }
            match reader.read(&buf[..received]).map_err(TransportError::Response)? {
                Progress::More => {}
                Progress::Done { consumed } if consumed == received => return Ok(()),
                // More than was asked for: the answer stands, the connection is not to be trusted.
                Progress::Done { .. } => return reader.close().map_err(TransportError::Response),
                Progress::Enough => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod scenario_tests;
#[cfg(test)]
mod tests;
