//! Connections: non-blocking sockets, edge-triggered, read with `recv` and written with `send`.
//!
//! Futures of this type keep no state of their own: dropping one loses nothing, and the next one starts afresh.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, sockopt};

use super::super::shard::give_way;
use super::driver::{Driver, Registration};

const INTEREST: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);

/// Unanswered data on an outbound connection for this long ends it: a peer that vanished is noticed in seconds, not
/// in the quarter of an hour that TCP allows.
const USER_TIMEOUT_MS: u32 = 20_000;

/// What is sent before others are served: a peer that takes as fast as we give would otherwise have the shard for itself
/// until all of a large body is gone.
const SEND_BYTES_MAX: usize = 256 << 10;

/// A connected socket of this shard. Dropping it closes it.
pub struct Stream {
    // Before the descriptor, so that the slot is free before the number can be taken again.
    registration: Registration,
    fd: OwnedFd,
}

impl Stream {
    pub(super) fn accepted(fd: OwnedFd) -> io::Result<Stream> {
        let registration = Driver::current().register(fd.as_fd(), INTEREST)?;
        Ok(Stream { registration, fd })
    }

    /// Connects within `limit`.
    pub async fn connect(addr: SocketAddr, limit: Duration) -> io::Result<Stream> {
        let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&fd, true)?;
        sockopt::set_tcp_user_timeout(&fd, USER_TIMEOUT_MS)?;
        match rustix::net::connect(&fd, &addr) {
            Ok(()) => {}
            Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = Stream::accepted(fd)?;
        stream.set_deadline(Some(limit));
        stream.registration.writable(stream.fd.as_fd(), INTEREST).await?;
        stream.set_deadline(None);
        match sockopt::socket_error(&stream.fd)? {
            Ok(()) => Ok(stream),
            Err(error) => Err(error.into()),
        }
    }

    /// Receives what there is, at least one byte; 0 when the peer has closed.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| {
            loop {
                match self.registration.poll_readable(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
                match self.try_recv(buf) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done),
                }
            }
        })
        .await
    }

    /// Resolves when a receive would not block.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.registration.poll_readable(cx)).await
    }

    /// Receives without waiting; `WouldBlock` when there is nothing.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = buf.len();
        loop {
            return match rustix::net::recv(&self.fd, &mut *buf, RecvFlags::DONTWAIT) {
                Ok((received, _)) => {
                    // A short read took all there was, and the next byte makes a new edge. After a hang-up there
                    // may be no more edges: keep asking until the end.
                    if received < wanted && !self.registration.is_hung_up() {
                        self.registration.clear_ready();
                    }
                    Ok(received)
                }
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => {
                    self.registration.clear_ready();
                    Err(io::ErrorKind::WouldBlock.into())
                }
                Err(error) => Err(error.into()),
            };
        }
    }

    /// Sends without waiting; says how much went.
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        loop {
            return match rustix::net::send(&self.fd, buf, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(sent) => Ok(sent),
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => Err(io::ErrorKind::WouldBlock.into()),
                Err(error) => Err(error.into()),
            };
        }
    }

    /// Sends everything. With a deadline set, fails with `TimedOut` when the peer does not take it.
    pub async fn send_all(&self, mut buf: &[u8]) -> io::Result<()> {
        let mut since = 0;
        while !buf.is_empty() {
            let piece = &buf[..buf.len().min(SEND_BYTES_MAX)];
            match self.try_send(piece) {
                Ok(sent) => {
                    buf = &buf[sent..];
                    since += sent;
                    // Also of a peer that makes room a little at a time and never has us wait.
                    if since >= SEND_BYTES_MAX && !buf.is_empty() {
                        since = 0;
                        give_way().await;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.registration.writable(self.fd.as_fd(), INTEREST).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// From `limit` on, waits on this stream fail with `TimedOut`; `None` lifts the limit. Coarse (a quarter of a
    /// second): for limits of seconds, free of any timer per connection.
    pub fn set_deadline(&self, limit: Option<Duration>) {
        self.registration.set_deadline(limit, false);
    }

    /// The same for the wait between two requests, which also ends when the shard stops.
    pub fn set_idle_deadline(&self, limit: Duration) {
        self.registration.set_deadline(Some(limit), true);
    }

    /// Ready once the deadline has passed, whatever the socket has to give.
    pub fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.registration.poll_expired(cx)
    }

    /// What the kernel was told of unanswered data.
    #[cfg(test)]
    pub fn user_timeout(&self) -> io::Result<Duration> {
        Ok(Duration::from_millis(u64::from(sockopt::tcp_user_timeout(&self.fd)?)))
    }

    /// Says that nothing more will be sent.
    pub fn shutdown_write(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.fd, Shutdown::Write)?)
    }
}
