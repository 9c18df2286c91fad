//! What a connection calls: the seam between HTTP and everything behind it.
//!
//! Polled instead of async, so that a request that waits for its commit costs no allocation and an idle connection
//! stays small.

use std::net::SocketAddr;
use std::ops::Range;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::buf::Padded;
use crate::http1::{Connection, Head, HeadError};

use super::buffers::{Buffer, Counted};

/// A whole request, lent for the length of the call.
pub struct Incoming<'a> {
    pub head: &'a Head<'a>,
    pub body: Padded<'a>,
    pub peer: SocketAddr,
    /// What the answer must say about the connection.
    pub connection: Connection,
}

/// Whether the body of a request may come.
pub enum Admission {
    /// Up to this many bytes.
    Accept { body_bytes_max: usize },
    /// The refusal has been written; the body is not read and the connection ends.
    Refuse,
    /// The refusal has been written; the body, of known length, is read past and the connection goes on, unless the
    /// client ends it.
    Skip,
}

/// What became of a request.
pub enum Answer<P> {
    /// The answer has been written.
    Done,
    /// The answer comes from [`Service::poll_finish`].
    Later(P),
    /// The same, and the service wants to keep the body: it gets it through [`Service::attach`] before anything else.
    KeepBody(P),
}

/// A body that outlives the call.
pub struct OwnedBody {
    pub(super) storage: Storage,
    pub(super) range: Range<usize>,
}

pub(super) enum Storage {
    Pooled(Buffer),
    /// Not received into a buffer, and counted with them.
    Plain(Vec<u8>, Counted),
}

impl OwnedBody {
    /// The body.
    pub fn padded(&self) -> Padded<'_> {
        let bytes: &[u8] = match &self.storage {
            Storage::Pooled(buffer) => buffer.bytes(),
            Storage::Plain(bytes, _) => bytes,
        };
        padded(bytes, &self.range)
    }

    /// Takes the bytes out, for another thread. They count as the connection's until the second value is dropped.
    pub fn detach(self) -> (DetachedBody, Held) {
        let (bytes, held) = match self.storage {
            Storage::Pooled(mut buffer) => (buffer.take(), Held::Buffer(buffer)),
            Storage::Plain(bytes, counted) => (bytes, Held::Counted(counted)),
        };
        (DetachedBody { bytes, range: self.range }, held)
    }
}

/// What a detached body counts for in its shard.
pub enum Held {
    Buffer(Buffer),
    Counted(Counted),
}

/// A body that belongs to no shard.
pub struct DetachedBody {
    bytes: Vec<u8>,
    range: Range<usize>,
}

impl DetachedBody {
    /// The body.
    pub fn padded(&self) -> Padded<'_> {
        padded(&self.bytes, &self.range)
    }
}

/// A body inside a receive buffer, which never receives into its last bytes.
pub(super) fn padded<'a>(bytes: &'a [u8], range: &Range<usize>) -> Padded<'a> {
    let body = bytes.get(range.start..).and_then(|rest| Padded::new(rest, range.len()));
    body.unwrap_or_else(|| panic!("BUG: no padding behind a body at {range:?} of {} bytes", bytes.len()))
}

/// What stands behind the connections of a shard.
pub trait Service: 'static {
    /// A request that is not answered yet.
    type Pending: 'static;

    /// The head is there and the body is not.
    fn admit(&self, head: &Head<'_>, peer: SocketAddr, out: &mut Vec<u8>) -> Admission;

    /// Handles one request. Writes the whole answer to `out`, or nothing.
    fn call(&self, request: Incoming<'_>, out: &mut Vec<u8>) -> Answer<Self::Pending>;

    /// Hands over the body that [`Answer::KeepBody`] asked for.
    fn attach(&self, pending: &mut Self::Pending, body: OwnedBody);

    /// Writes the answer once it is known. Keeps the waker when it is not.
    fn poll_finish(&self, pending: &mut Self::Pending, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<()>;

    /// How long an answer may take, and [`Service::give_up`] after that.
    fn answer_timeout(&self) -> Option<Duration>;

    /// Writes the answer to a request that took too long.
    fn give_up(&self, pending: &mut Self::Pending, out: &mut Vec<u8>);

    /// Writes the refusal of a head that is no head. The connection ends.
    fn refuse_head(&self, error: HeadError, out: &mut Vec<u8>);

    /// Writes the refusal of a body: malformed chunks (400), more than admitted (413), too slow (503, and
    /// 408 for a head).
    fn refuse_body(&self, status: u16, text: &'static str, out: &mut Vec<u8>);

    /// Writes the refusal of a connection beyond the limit (503).
    fn refuse_connection(&self, out: &mut Vec<u8>);

    /// A connection did not come to its first request: a bad header of a proxy, a failed handshake.
    fn refused_entrance(&self);

    /// The gateway is going down: answers say that the connection ends.
    fn draining(&self) -> bool;
}
