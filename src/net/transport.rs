//! What a connection receives from and sends to: a socket, or a TLS session on one. And how it begins: the word of a proxy
//! about who is behind it, then the handshake.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ipnet::IpNet;
use rustls::server::ServerConfig;

use crate::rt::net::Stream;

use super::proxy_header::{HEADER_BYTES_MAX, Outcome, parse};
use super::tls::Session;

pub enum Transport {
    Plain(Stream),
    Tls(Box<Session>),
}

impl Transport {
    fn stream(&self) -> &Stream {
        match self {
            Transport::Plain(stream) => stream,
            Transport::Tls(session) => session.stream(),
        }
    }

    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(stream) => stream.recv(buf).await,
            Transport::Tls(session) => session.recv(buf).await,
        }
    }

    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Transport::Plain(stream) => stream.readable().await,
            Transport::Tls(session) => session.readable().await,
        }
    }

    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(stream) => stream.try_recv(buf),
            Transport::Tls(session) => session.try_recv(buf),
        }
    }

    /// `WouldBlock` where [`Transport::send_all`] has to do it.
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(stream) => stream.try_send(buf),
            Transport::Tls(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub async fn send_all(&self, buf: &[u8]) -> io::Result<()> {
        match self {
            Transport::Plain(stream) => stream.send_all(buf).await,
            Transport::Tls(session) => session.send_all(buf).await,
        }
    }

    pub fn set_deadline(&self, limit: Option<Duration>) {
        self.stream().set_deadline(limit);
    }

    pub fn set_idle_deadline(&self, limit: Duration) {
        self.stream().set_idle_deadline(limit);
    }

    pub fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream().poll_expired(cx)
    }

    pub fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Transport::Plain(stream) => stream.shutdown_write(),
            Transport::Tls(session) => session.shutdown_write(),
        }
    }
}

/// How a connection begins.
pub struct Entrance<'a> {
    /// Hops that say for whom they speak, in a header before everything else. Empty: nobody does.
    pub proxies: &'a [IpNet],
    pub tls: Option<Arc<ServerConfig>>,
    /// For all of it.
    pub patience: Duration,
}

impl Entrance<'_> {
    /// Whether a connection from there is a plain one from its first byte on.
    pub fn is_plain(&self, peer: SocketAddr) -> bool {
        self.tls.is_none() && !self.speaks_for_others(peer)
    }

    fn speaks_for_others(&self, peer: SocketAddr) -> bool {
        let peer = peer.ip().to_canonical();
        self.proxies.iter().any(|network| network.contains(&peer))
    }

    /// Goes through it. Beside the transport: who is on the other side, and what has come of the first request.
    pub async fn pass(
        self,
        stream: Stream,
        peer: SocketAddr,
    ) -> io::Result<(Transport, SocketAddr, Vec<u8>)> {
        stream.set_deadline(Some(self.patience));
        let (mut peer, mut early) = (peer, Vec::new());
        if self.speaks_for_others(peer) {
            let (source, rest) = proxy_header(&stream).await?;
            (peer, early) = (source.unwrap_or(peer), rest);
        }
        let transport = match self.tls {
            None => Transport::Plain(stream),
            Some(config) => {
                let session = Session::accept(stream, config, &early).await?;
                early.clear();
                Transport::Tls(Box::new(session))
            }
        };
        Ok((transport, peer, early))
    }
}

/// Reads the header of a proxy, if it sends one. Beside whom it names: what has come behind it.
async fn proxy_header(stream: &Stream) -> io::Result<(Option<SocketAddr>, Vec<u8>)> {
    let mut received = Vec::with_capacity(256);
    let mut part = [0; 1024];
    loop {
        match parse(&received) {
            Outcome::Partial if received.len() < HEADER_BYTES_MAX => {}
            Outcome::Partial | Outcome::Bad => return Err(io::ErrorKind::InvalidData.into()),
            Outcome::None => return Ok((None, received)),
            Outcome::Header { source, bytes } => {
                received.drain(..bytes);
                return Ok((source.map(not_local), received));
            }
        }
        match stream.recv(&mut part).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => received.extend_from_slice(&part[..read]),
        }
    }
}

/// Whoever comes through a proxy is not this machine, whatever the proxy says: routes for this machine alone stay so.
fn not_local(source: SocketAddr) -> SocketAddr {
    match source.ip().to_canonical() {
        ip if ip.is_loopback() => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), source.port()),
        ip => SocketAddr::new(ip, source.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_local_behind_a_proxy() {
        for (said, held) in [
            ("127.0.0.1:5", "0.0.0.0:5"),
            ("[::1]:5", "0.0.0.0:5"),
            ("[::ffff:127.0.0.1]:5", "0.0.0.0:5"),
            ("[::ffff:10.0.0.1]:5", "10.0.0.1:5"),
            ("192.0.2.7:5", "192.0.2.7:5"),
        ] {
            assert_eq!(not_local(said.parse().unwrap()), held.parse().unwrap(), "{said}");
        }
    }

    #[test]
    fn only_named_hops_speak_for_others() {
        let proxies: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let entrance = Entrance { proxies: &proxies, tls: None, patience: Duration::ZERO };
        assert!(!entrance.is_plain("10.1.2.3:4".parse().unwrap()));
        assert!(!entrance.is_plain("[::ffff:10.1.2.3]:4".parse().unwrap()));
        assert!(entrance.is_plain("192.0.2.1:4".parse().unwrap()));
    }
}
