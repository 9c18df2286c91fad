//! The life of one connection: read, hand over, answer in order, and again.
//!
//! - While nothing of a request is there, the connection owns no buffer: it waits for the socket alone.
//! - Requests that arrive together are handed over together, up to a bound; their answers leave in order, in one
//!   send. While answers are outstanding nothing more is read: not reading is the backpressure.
//! - After a refusal the rest of the stream is never parsed: the answer is sent, the sending side closed, what still
//!   comes is read and thrown away for a moment (closing at once would reset the connection and take the answer with
//!   it), and the connection ends.
//! - Every wait has a deadline of its own; the socket driver checks them, no timer a connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use ipnet::IpNet;
use rustls::server::ServerConfig;

use crate::buf::PADDING;
use crate::http1::response::CONTINUE;
use crate::http1::{
    ChunkedDecoder, Connection, Framing, Head, HeadLimits, HeadOutcome, HeadScan, HeaderSlots, parse_head,
};
use crate::rt::give_way;
use crate::rt::net::Stream;

use super::accept::{Gate, Pass};
use super::buffers::{Buffer, Buffers};
use super::service::{Admission, Answer, Incoming, OwnedBody, Service, Storage, padded};
use super::transport::{Entrance, Transport};

/// How long a stop waits for the first request of a connection: its client has connected and sends in this moment, or is
/// one that keeps connections in reserve.
const FIRST_REQUEST_PATIENCE: Duration = Duration::from_millis(500);

/// Requests of one connection in work at once. Pipelining clients are rare; this keeps one of them from owning a
/// shard.
const PIPELINE_MAX: usize = 64;

/// Received in one go, and then others are served: some 50 µs.
const RECEIVE_BYTES_MAX: usize = 256 << 10;

/// A body must grow by this much for its deadline to move: one byte now and then is no progress.
const BODY_PROGRESS_BYTES: usize = 16 << 10;

/// After a refusal: how long, and how much, the client may go on sending before it is cut off.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 1 << 20;

/// Deadlines of a connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnLimits {
    pub head: HeadLimits,
    /// From the first byte of a head to its last.
    pub head_timeout: Duration,
    /// For each [`BODY_PROGRESS_BYTES`] of a body.
    pub body_timeout: Duration,
    /// For the client to take an answer.
    pub write_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
}

/// What the connections of a shard share.
pub struct ConnContext {
    pub buffers: Rc<Buffers>,
    pub gate: Rc<Gate>,
    /// A reload may change them under open connections.
    pub limits: Cell<ConnLimits>,
    /// Hops that say for whom they speak: the PROXY protocol. A reload may change them.
    pub proxies: RefCell<Rc<[IpNet]>>,
    /// What clients of a listener with TLS see. Certificates change while everything runs.
    pub tls: Arc<ArcSwapOption<ServerConfig>>,
}

/// An answer of the pipeline, in the order of the requests.
enum Queued<P> {
    Written(Vec<u8>),
    Pending(P),
}

/// What the connection does next.
enum Next {
    /// Read more: the request at the front of the buffer is not complete. So many bytes are wanted in all.
    Read { wanted: usize },
    /// The front of the buffer is a chunked body, to be read by its own loop.
    Chunked { head_bytes: usize, body_bytes_max: usize },
    /// The buffer is used up, or the pipeline is full.
    Answer,
    /// Send what is written and end.
    Close,
    /// The body of a refused request has not come whole: so much is still to be thrown away.
    Skip { left: u64 },
}

struct Conn<S: Service> {
    stream: Transport,
    peer: SocketAddr,
    service: Rc<S>,
    context: Rc<ConnContext>,
    buffer: Option<Buffer>,
    filled: usize,
    scan: HeadScan,
    /// The deadline of the head at the front runs.
    head_clock: bool,
    /// The body of the request at the front has been admitted: its whole length.
    admitted: Option<usize>,
    out: Vec<u8>,
    queue: VecDeque<Queued<S::Pending>>,
    /// A request has come on it.
    used: bool,
    close: bool,
}

/// Serves one connection to its end.
pub(super) async fn serve<S: Service>(
    stream: Stream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    pass: Pass,
    service: Rc<S>,
    context: Rc<ConnContext>,
) {
    let proxies = Rc::clone(&context.proxies.borrow());
    let entrance = Entrance { proxies: &proxies, tls, patience: context.limits.get().head_timeout };
    if entrance.is_plain(peer) {
        drop(proxies);
        return serve_on(Transport::Plain(stream), peer, Vec::new(), pass, service, context).await;
    }
    // Boxed: a plain connection does not carry the room for a handshake around.
    match Box::pin(entrance.pass(stream, peer)).await {
        Ok((transport, peer, early)) => {
            Box::pin(serve_on(transport, peer, early, pass, service, context)).await;
        }
        Err(error) => {
            service.refused_entrance();
            tracing::debug!(%peer, %error, "a connection did not come to its first request");
        }
    }
}

async fn serve_on<S: Service>(
    stream: Transport,
    peer: SocketAddr,
    early: Vec<u8>,
    pass: Pass,
    service: Rc<S>,
    context: Rc<ConnContext>,
) {
    let mut conn = Conn {
        stream,
        peer,
        service,
        context,
        buffer: None,
        filled: 0,
        scan: HeadScan::default(),
        head_clock: false,
        admitted: None,
        out: Vec::new(),
        queue: VecDeque::new(),
        used: false,
        close: false,
    };
    if !early.is_empty() {
        conn.begin_with(&early).await;
    }
    // An error here means that the client is gone or too slow: there is nobody to tell.
    let _ = conn.run().await;
    drop(pass);
}

impl<S: Service> Conn<S> {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            if self.filled == 0 && !self.wait_for_request().await? {
                return Ok(());
            }
            match self.take_requests() {
                Next::Read { wanted } => {
                    // Answers owed go out before more is waited for.
                    self.answer().await?;
                    if !self.read_more(wanted).await? {
                        return self.finish_refusal().await;
                    }
                }
                Next::Chunked { head_bytes, body_bytes_max } => {
                    self.answer().await?;
                    if !self.read_chunked(head_bytes, body_bytes_max).await? {
                        return self.finish_refusal().await;
                    }
                    self.answer().await?;
                }
                Next::Answer => self.answer().await?,
                Next::Close => {
                    self.answer().await?;
                    return self.linger().await;
                }
                Next::Skip { left } => {
                    // The sender should hear of it before it has sent everything.
                    self.answer().await?;
                    self.skip(left).await?;
                }
            }
            if self.close {
                self.answer().await?;
                return self.linger().await;
            }
        }
    }

    /// What came of the first request before it was looked for.
    async fn begin_with(&mut self, early: &[u8]) {
        let mut buffer = self.context.buffers.borrow().await;
        let space = buffer.space(0);
        let taken = early.len().min(space.len());
        assert!(taken == early.len(), "BUG: a buffer has no room for {} bytes", early.len());
        space[..taken].copy_from_slice(early);
        self.filled = taken;
        self.buffer = Some(buffer);
        self.scan = HeadScan::default();
        self.used = true;
    }

    /// Waits, owning nothing, for the first bytes of a request. False at the end of the connection.
    async fn wait_for_request(&mut self) -> io::Result<bool> {
        self.buffer = None;
        self.out = Vec::new();
        let gate = Rc::clone(&self.context.gate);
        let mut last = false;
        loop {
            let mut patience = self.context.limits.get().idle_timeout;
            if gate.is_stopping() {
                if self.used || last {
                    return Ok(false);
                }
                // Its client has come to send something, and to hear an answer.
                last = true;
                patience = FIRST_REQUEST_PATIENCE;
            }
            self.stream.set_idle_deadline(patience);
            let expired = match self.stream.readable().await {
                Ok(()) => false,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => true,
                Err(error) => return Err(error),
            };
            let mut buffer = self.context.buffers.borrow().await;
            match self.stream.try_recv(buffer.space(0)) {
                Ok(0) => return Ok(false),
                Ok(received) => {
                    self.filled = received;
                    self.buffer = Some(buffer);
                    self.scan = HeadScan::default();
                    self.used = true;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            // Its time is over, or it is the gateway's. Else it was a wake-up without data.
            if expired && !gate.is_stopping() {
                return Ok(false);
            }
        }
    }

    /// Hands over every complete request at the front of the buffer.
    fn take_requests(&mut self) -> Next {
        let Some(mut buffer) = self.buffer.take() else { return Next::Answer };
        let mut consumed = 0;
        let next = loop {
            if consumed == self.filled {
                break Next::Answer;
            }
            if self.queue.len() >= PIPELINE_MAX {
                break Next::Answer;
            }
            let input = &buffer.bytes()[consumed..self.filled];
            if let Some(wanted) = self.admitted
                && input.len() < wanted
            {
                break Next::Read { wanted };
            }
            if self.admitted.is_none() && !self.scan.worth_parsing(input, &self.context.limits.get().head) {
                break Next::Read { wanted: 0 };
            }
            let mut slots = HeaderSlots::new();
            let (head, head_bytes) = match parse_head(input, &mut slots, &self.context.limits.get().head) {
                Ok(HeadOutcome::Partial) => break Next::Read { wanted: 0 },
                Ok(HeadOutcome::Complete { head, len }) => (head, len),
                Err(error) => {
                    let service = &self.service;
                    let out = front(&mut self.queue, &mut self.out);
                    service.refuse_head(error, out);
                    break Next::Close;
                }
            };
            let body_bytes = match head.framing {
                Framing::None => 0,
                Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
                Framing::Chunked => 0,
            };
            if self.admitted.is_none() {
                let body_bytes_max =
                    match self.service.admit(&head, self.peer, front(&mut self.queue, &mut self.out)) {
                        Admission::Accept { body_bytes_max } => body_bytes_max,
                        Admission::Refuse => break Next::Close,
                        Admission::Skip if self.connection(&head) == Connection::Close => break Next::Close,
                        Admission::Skip => {
                            let Framing::Length(length) = head.framing else {
                                // Nothing follows a head without framing; chunks have no length to skip.
                                if head.framing == Framing::Chunked {
                                    break Next::Close;
                                }
                                consumed += head_bytes;
                                self.next_request();
                                continue;
                            };
                            let here = (input.len() - head_bytes) as u64;
                            consumed += head_bytes + here.min(length) as usize;
                            self.next_request();
                            if here < length {
                                break Next::Skip { left: length - here };
                            }
                            continue;
                        }
                    };
                if body_bytes > body_bytes_max {
                    let out = front(&mut self.queue, &mut self.out);
                    self.service.refuse_body(413, "request body too large", out);
                    break Next::Close;
                }
                if head.expect_continue && input.len() == head_bytes {
                    front(&mut self.queue, &mut self.out).extend_from_slice(CONTINUE);
                }
                if head.framing == Framing::Chunked {
                    let wanted = Next::Chunked { head_bytes, body_bytes_max };
                    break wanted;
                }
                let wanted = head_bytes + body_bytes;
                self.admitted = Some(wanted);
                if input.len() < wanted {
                    break Next::Read { wanted };
                }
            }
            let connection = self.connection(&head);
            self.close = connection == Connection::Close;
            let start = consumed + head_bytes;
            let end = start + body_bytes;
            let body = padded(buffer.bytes(), &(start..end));
            let request = Incoming { head: &head, body, peer: self.peer, connection };
            let answer = self.service.call(request, front(&mut self.queue, &mut self.out));
            self.next_request();
            consumed = end;
            match answer {
                Answer::Done => {}
                Answer::Later(pending) => self.queue.push_back(Queued::Pending(pending)),
                Answer::KeepBody(mut pending) => {
                    // What follows the body moves to a buffer of its own; nothing follows, as a rule.
                    let rest = &buffer.bytes()[end..self.filled];
                    let body_copy;
                    let storage = if rest.is_empty() {
                        self.filled = 0;
                        body_copy = start..end;
                        Storage::Pooled(buffer)
                    } else {
                        let mut copy = Vec::with_capacity(body_bytes + PADDING);
                        copy.extend_from_slice(&buffer.bytes()[start..end]);
                        copy.resize(body_bytes + PADDING, 0);
                        body_copy = 0..body_bytes;
                        let mut counted = self.context.buffers.count();
                        counted.add(copy.len());
                        let kept = Storage::Plain(copy, counted);
                        self.filled = buffer.compact(end, self.filled);
                        self.buffer = Some(buffer);
                        kept
                    };
                    self.service.attach(&mut pending, OwnedBody { storage, range: body_copy });
                    self.queue.push_back(Queued::Pending(pending));
                    return Next::Answer;
                }
            }
            if self.close {
                break Next::Answer;
            }
        };
        self.filled = if consumed == 0 { self.filled } else { buffer.compact(consumed, self.filled) };
        if self.filled > 0 {
            self.buffer = Some(buffer);
        }
        next
    }

    /// The request at the front is dealt with.
    fn next_request(&mut self) {
        self.admitted = None;
        self.head_clock = false;
        self.scan = HeadScan::default();
    }

    /// Throws away the rest of a body. The buffer is empty and stays so.
    async fn skip(&mut self, mut left: u64) -> io::Result<()> {
        let mut buffer = self.context.buffers.borrow().await;
        // Once for all of it: there is not much that may be skipped.
        self.stream.set_deadline(Some(self.context.limits.get().body_timeout));
        while left > 0 {
            let space = buffer.space(0);
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(space.len());
            match self.stream.recv(&mut space[..wanted]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                received => left -= received as u64,
            }
        }
        Ok(())
    }

    fn connection(&self, head: &Head<'_>) -> Connection {
        if self.service.draining() || self.context.gate.is_stopping() {
            Connection::Close
        } else {
            head.connection()
        }
    }

    /// Receives more of the request at the front: once for a head, all of it for a body. False when it has been
    /// refused: too slow, or more than the shard has room for.
    async fn read_more(&mut self, wanted: usize) -> io::Result<bool> {
        let limits = self.context.limits.get();
        let in_body = wanted > 0;
        if in_body {
            self.stream.set_deadline(Some(limits.body_timeout));
        } else if !self.head_clock {
            // Once a head: a byte now and then does not move it.
            self.head_clock = true;
            self.stream.set_deadline(Some(limits.head_timeout));
        }
        let (mut progress, mut since) = (0, 0);
        loop {
            let Some(buffer) = self.buffer.as_mut() else { return Ok(true) };
            if self.filled == buffer.capacity() && !buffer.grow(wanted) {
                self.service.refuse_body(503, "out of receive buffers", &mut self.out);
                return Ok(false);
            }
            let space = buffer.space(self.filled);
            let most = space.len().min(RECEIVE_BYTES_MAX);
            match self.stream.recv(&mut space[..most]).await {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(received) => {
                    self.filled += received;
                    progress += received;
                    since += received;
                    // A sender that is faster than we are would have the shard for itself.
                    if since >= RECEIVE_BYTES_MAX {
                        since = 0;
                        give_way().await;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    // The body may be data that its sender would throw away at any 4xx.
                    let (status, text) = match in_body {
                        true => (503, "request body too slow"),
                        false => (408, "request head too slow"),
                    };
                    self.service.refuse_body(status, text, &mut self.out);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
            if self.filled >= wanted {
                return Ok(true);
            }
            if progress >= BODY_PROGRESS_BYTES {
                progress = 0;
                self.stream.set_deadline(Some(limits.body_timeout));
            }
        }
    }

    /// Reads a chunked body behind the head at the front of the buffer, and hands the request over.
    async fn read_chunked(&mut self, head_bytes: usize, body_bytes_max: usize) -> io::Result<bool> {
        let limits = self.context.limits.get();
        let Some(mut buffer) = self.buffer.take() else { return Ok(true) };
        let mut decoder = ChunkedDecoder::new();
        let mut body: Vec<u8> = Vec::new();
        let mut counted = self.context.buffers.count();
        let (mut progress, mut since) = (0, 0);
        self.stream.set_deadline(Some(limits.body_timeout));
        loop {
            let input = &buffer.bytes()[head_bytes..self.filled];
            // Doubled when it grows, as vectors do.
            let needed = body.len() + input.len();
            if needed > counted.bytes() && !counted.grow(needed * 2) {
                self.service.refuse_body(503, "out of receive buffers", &mut self.out);
                return Ok(false);
            }
            // With the padding that stands behind it in the end.
            if needed + PADDING > body.capacity() {
                body = moved(&body, needed * 2 + PADDING).await;
            }
            let step = match decoder.decode(input, &mut body, body_bytes_max as u64) {
                Ok(step) => step,
                Err(error) => {
                    self.service.refuse_body(error.status(), error.text(), &mut self.out);
                    return Ok(false);
                }
            };
            // What has been decoded makes room; the head stays at the front.
            let left = self.filled - head_bytes - step.consumed;
            buffer.remove(head_bytes, step.consumed, self.filled);
            self.filled = head_bytes + left;
            if step.done {
                break;
            }
            if self.filled == buffer.capacity() && !buffer.grow(0) {
                self.service.refuse_body(503, "out of buffers", &mut self.out);
                return Ok(false);
            }
            let space = buffer.space(self.filled);
            let most = space.len().min(RECEIVE_BYTES_MAX);
            match self.stream.recv(&mut space[..most]).await {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(received) => {
                    self.filled += received;
                    progress += received;
                    since += received;
                    if since >= RECEIVE_BYTES_MAX {
                        since = 0;
                        give_way().await;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    self.service.refuse_body(503, "request body too slow", &mut self.out);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
            if progress >= BODY_PROGRESS_BYTES {
                progress = 0;
                self.stream.set_deadline(Some(limits.body_timeout));
            }
        }
        let len = body.len();
        body.resize(len + PADDING, 0);
        let mut slots = HeaderSlots::new();
        // The same bytes parsed once already.
        let parsed = parse_head(&buffer.bytes()[..head_bytes], &mut slots, &limits.head);
        let Ok(HeadOutcome::Complete { head, .. }) = parsed else {
            return Err(io::Error::other("BUG: a head that parsed does not parse again"));
        };
        let connection = self.connection(&head);
        self.close = connection == Connection::Close;
        let request = Incoming { head: &head, body: padded(&body, &(0..len)), peer: self.peer, connection };
        match self.service.call(request, front(&mut self.queue, &mut self.out)) {
            Answer::Done => {}
            Answer::Later(pending) => self.queue.push_back(Queued::Pending(pending)),
            Answer::KeepBody(mut pending) => {
                self.service.attach(
                    &mut pending,
                    OwnedBody { storage: Storage::Plain(body, counted), range: 0..len },
                );
                self.queue.push_back(Queued::Pending(pending));
            }
        }
        self.head_clock = false;
        self.scan = HeadScan::default();
        self.filled = buffer.compact(head_bytes, self.filled);
        if self.filled > 0 {
            self.buffer = Some(buffer);
        }
        Ok(true)
    }

    /// Finishes what is queued, in order, and sends it all.
    async fn answer(&mut self) -> io::Result<()> {
        while let Some(queued) = self.queue.front_mut() {
            match queued {
                Queued::Written(bytes) => self.out.append(bytes),
                Queued::Pending(pending) => {
                    // Not the client's deadline but ours: what it waits for takes too long.
                    self.stream.set_deadline(self.service.answer_timeout());
                    let (service, stream, out) = (&self.service, &self.stream, &mut self.out);
                    poll_fn(|cx| {
                        if service.poll_finish(pending, cx, out).is_ready() {
                            return Poll::Ready(());
                        }
                        stream.poll_expired(cx).map(|()| service.give_up(pending, out))
                    })
                    .await;
                }
            }
            self.queue.pop_front();
        }
        if self.out.is_empty() {
            return Ok(());
        }
        match self.stream.try_send(&self.out) {
            Ok(sent) if sent == self.out.len() => {}
            Ok(sent) => self.send_rest(sent).await?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.send_rest(0).await?,
            Err(error) => return Err(error),
        }
        self.out.clear();
        Ok(())
    }

    async fn send_rest(&mut self, sent: usize) -> io::Result<()> {
        self.stream.set_deadline(Some(self.context.limits.get().write_timeout));
        self.stream.send_all(&self.out[sent..]).await
    }

    async fn finish_refusal(&mut self) -> io::Result<()> {
        self.answer().await?;
        self.linger().await
    }

    /// Lets the client read the last answer before the connection is gone.
    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown_write()?;
        self.stream.set_deadline(Some(LINGER_TIME));
        let mut buffer = match self.buffer.take() {
            Some(buffer) => buffer,
            None => self.context.buffers.borrow().await,
        };
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            match self.stream.recv(buffer.space(0)).await? {
                0 => break,
                received => left = left.saturating_sub(received),
            }
        }
        Ok(())
    }
}

/// Where the next answer is written: straight to the output, or behind answers that are still pending.
fn front<'a, P>(queue: &'a mut VecDeque<Queued<P>>, out: &'a mut Vec<u8>) -> &'a mut Vec<u8> {
    if matches!(queue.back(), Some(Queued::Pending(_))) {
        queue.push_back(Queued::Written(Vec::new()));
    }
    match queue.back_mut() {
        Some(Queued::Written(bytes)) => bytes,
        _ => out,
    }
}

/// The bytes in a larger place, with others served while they are copied.
async fn moved(bytes: &[u8], capacity: usize) -> Vec<u8> {
    let mut place = Vec::with_capacity(capacity);
    for piece in bytes.chunks(RECEIVE_BYTES_MAX) {
        place.extend_from_slice(piece);
        if piece.len() == RECEIVE_BYTES_MAX {
            give_way().await;
        }
    }
    place
}
