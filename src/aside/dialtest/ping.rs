//! A socket for ICMP, and one echo over it.
//!
//! Linux lets whoever is in `net.ipv4.ping_group_range` ask for echoes over a socket of their own; others need
//! CAP_NET_RAW. Both are tried.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with, sockopt};

use super::packet::{self, EchoId, Message};

/// Bytes of a message that comes back: an IP header with options, and what we sent with room.
const MESSAGE_BYTES_MAX: usize = 2048;

/// A socket that speaks ICMP.
#[derive(Debug)]
pub struct Socket {
    /// Any socket of datagrams serves: only the type makes it one of ICMP.
    socket: UdpSocket,
    v4: bool,
    raw: bool,
    identifier: u16,
}

/// What came back of one echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub from: IpAddr,
    pub took: Duration,
    /// The target itself answered.
    pub is_reply: bool,
}

impl Socket {
    /// Opens one for addresses of this kind; `raw`: no other will do, since answers of routers come to no other.
    pub fn open(to: IpAddr, raw: bool) -> Result<Socket, String> {
        let v4 = to.is_ipv4();
        let (family, protocol) = match v4 {
            true => (AddressFamily::INET, ipproto::ICMP),
            false => (AddressFamily::INET6, ipproto::ICMPV6),
        };
        let open = |kind| socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol));
        let own = if raw { None } else { open(SocketType::DGRAM).ok() };
        let (socket, raw) = match own {
            Some(socket) => (socket, false),
            None => (open(SocketType::RAW).map_err(|error| refused(v4, raw, error.into()))?, true),
        };
        let mut identifier = [0; 2];
        SystemRandom::new().fill(&mut identifier).map_err(|_| "no random numbers".to_owned())?;
        Ok(Socket { socket: UdpSocket::from(socket), v4, raw, identifier: u16::from_be_bytes(identifier) })
    }

    /// How many routers a message may pass; of IPv4.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        sockopt::set_ip_ttl(&self.socket, ttl).map_err(Into::into)
    }

    /// Sends an echo and waits for what comes back; `None`: nothing did.
    pub fn echo(&self, to: IpAddr, payload: &[u8], deadline: Instant) -> io::Result<Option<Answer>> {
        let id = EchoId { identifier: self.identifier, sequence: next_sequence() };
        let begun = Instant::now();
        self.socket.send_to(&packet::echo(to, id, payload), SocketAddr::new(to, 0))?;
        let mut buf = [0; MESSAGE_BYTES_MAX];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            let (bytes, from) = match self.socket.recv_from(&mut buf) {
                Ok(received) => received,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
                        continue;
                    }
                    _ => return Err(error),
                },
            };
            let took = begun.elapsed();
            let message =
                buf.get(..bytes).and_then(|bytes| packet::read(bytes, self.v4, self.raw && self.v4));
            // Of a socket of its own the kernel chose the identifier, and lets nobody else's in.
            let is_ours = |other: EchoId| other.sequence == id.sequence && (!self.raw || other == id);
            match message {
                Some(Message::Reply(other)) if is_ours(other) && from.ip() == to => {
                    return Ok(Some(Answer { from: from.ip(), took, is_reply: true }));
                }
                Some(Message::Returned(other)) if is_ours(other) => {
                    return Ok(Some(Answer { from: from.ip(), took, is_reply: false }));
                }
                _ => {}
            }
        }
    }
}

/// Neighbouring echoes, also of tests beside each other, have different numbers.
fn next_sequence() -> u16 {
    static SEQUENCE: AtomicU16 = AtomicU16::new(0);
    SEQUENCE.fetch_add(1, Ordering::Relaxed)
}

fn refused(v4: bool, raw: bool, error: io::Error) -> String {
    let name = if v4 { "ip4:icmp 0.0.0.0" } else { "ip6:ipv6-icmp ::" };
    let error = super::net::words(&error);
    let need = if raw { "CAP_NET_RAW" } else { "net.ipv4.ping_group_range or CAP_NET_RAW" };
    format!("listen {name}: socket: {error} (the gateway needs {need} for this)")
}
