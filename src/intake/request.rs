//! What every intake is given.

use std::net::IpAddr;
use std::time::Duration;

use crate::buf::Padded;
use crate::http1::Head;

/// Who is on the other side of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Ip(IpAddr),
    /// A Unix socket: counts as loopback.
    Unix,
}

impl Peer {
    /// Its address.
    pub fn text(&self) -> String {
        match self {
            Peer::Ip(address) => address.to_canonical().to_string(),
            Peer::Unix => "127.0.0.1".to_owned(),
        }
    }
}

/// The time, handed in.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Wall clock, nanoseconds since 1970. One value for all points of a request.
    pub now_ns: i64,
    /// Since the process started.
    pub uptime: Duration,
}

/// A whole request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub head: &'a Head<'a>,
    pub body: Padded<'a>,
    pub peer: Peer,
    pub clock: Clock,
}
