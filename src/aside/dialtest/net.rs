//! Names, connections and TLS, every wait with an end.
//!
//! A connection is only ever made by [`Reach`], to an address that the guard has let through.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::guard::Guard;
use super::task::HttpCertificate;
use crate::upload::tls;

/// Addresses of a name that are looked at.
const ADDRESSES_MAX: usize = 16;

/// Addresses of a name that are tried one after another, each for its part of the time.
const ATTEMPTS_MAX: u32 = 4;

/// Look-ups under way. The resolver of the C library cannot be interrupted: one that hangs keeps a thread for some
/// seconds past its test.
const LOOKUPS_MAX: usize = 16;

static LOOKUPS: AtomicUsize = AtomicUsize::new(0);

/// What a test may reach, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    pub guard: &'a Guard,
    pub deadline: Instant,
}

/// Why a host cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAddress {
    /// It has none; the text is the resolver's.
    Unknown(String),
    /// It has one that is forbidden.
    Forbidden,
}

impl<'a> Reach<'a> {
    /// The same, for at most so long.
    pub fn within(self, timeout: Duration) -> Reach<'a> {
        let own = Instant::now().checked_add(timeout).unwrap_or(self.deadline);
        Reach { deadline: self.deadline.min(own), ..self }
    }

    /// The addresses of a host, all of them allowed.
    pub fn addresses(self, host: &str) -> Result<Vec<IpAddr>, NoAddress> {
        let addresses = look_up(host, self.deadline).map_err(NoAddress::Unknown)?;
        if addresses.iter().any(|address| self.guard.forbids(*address)) {
            return Err(NoAddress::Forbidden);
        }
        Ok(addresses)
    }

    /// The same for a test that is under way: an error is its failure.
    pub fn addresses_for(self, host: &str) -> Result<Vec<IpAddr>, String> {
        self.addresses(host).map_err(|reason| match reason {
            NoAddress::Unknown(error) => error,
            NoAddress::Forbidden => forbidden(host),
        })
    }

    /// Connects to the first of these that answers. They come from [`Reach::addresses`].
    pub fn connect(self, addresses: &[IpAddr], port: u16) -> Result<Connected, Failed> {
        let mut failed = Failed { address: None, error: io::ErrorKind::NotFound.into() };
        let tried = addresses.len().min(ATTEMPTS_MAX as usize);
        for (index, address) in addresses.iter().take(tried).enumerate() {
            let address = SocketAddr::new(*address, port);
            assert!(!self.guard.forbids(address.ip()), "BUG: {address} was not checked");
            let left = self.deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(tried - index).unwrap_or(1);
            let begun = Instant::now();
            let stream = match share {
                Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
                share => TcpStream::connect_timeout(&address, share),
            };
            match stream {
                Ok(socket) => {
                    let took = begun.elapsed();
                    // Without it, small writes wait for each other; nothing is lost where it is refused.
                    let _ = socket.set_nodelay(true);
                    let stream = Timed { socket, deadline: self.deadline };
                    return Ok(Connected { stream, address, took });
                }
                Err(error) => failed = Failed { address: Some(address), error },
            }
        }
        Err(failed)
    }
}

/// What is said of a host that must not be reached.
pub fn forbidden(hosts: &str) -> String {
    format!("dest host [{hosts}] is not allowed to be tested")
}

/// A connection that was made.
#[derive(Debug)]
pub struct Connected {
    pub stream: Timed,
    pub address: SocketAddr,
    /// How long the kernel took for it.
    pub took: Duration,
}

/// A connection that was not.
#[derive(Debug)]
pub struct Failed {
    /// The last address that was tried.
    pub address: Option<SocketAddr>,
    pub error: io::Error,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dial tcp ")?;
        if let Some(address) = self.address {
            write!(f, "{address}: ")?;
        }
        match self.error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => f.write_str("i/o timeout"),
            _ => write!(f, "connect: {}", words(&self.error)),
        }
    }
}

/// An error in Go's words: the system's in lower case, without its number.
pub fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => return "i/o timeout".to_owned(),
        io::ErrorKind::UnexpectedEof => return "EOF".to_owned(),
        _ => {}
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    match error.raw_os_error() {
        Some(_) => text.to_lowercase(),
        None => text.to_owned(),
    }
}

/// The addresses of a host, as the machine knows them.
#[expect(clippy::disallowed_methods, reason = "it runs on a thread of its own, which is the place for it")]
fn look_up(host: &str, deadline: Instant) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![address]);
    }
    let failed = |reason: &str| format!("lookup {host}: {reason}");
    // A name with such bytes is none, and a zero byte would end it early.
    if host.is_empty() || host.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(failed("no such host"));
    }
    let under_way = UnderWay::begin().ok_or_else(|| failed("too many look-ups are under way"))?;
    let (sender, receiver) = mpsc::sync_channel(1);
    let name = host.to_owned();
    let spawned = std::thread::Builder::new().name("dialtest-dns".to_owned()).spawn(move || {
        let found = (name.as_str(), 0).to_socket_addrs();
        let found =
            found.map(|found| found.map(|address| address.ip()).take(ADDRESSES_MAX).collect::<Vec<_>>());
        drop(under_way);
        // Whoever asked may have given up.
        let _ = sender.send(found);
    });
    spawned.map_err(|error| failed(&words(&error)))?;
    match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(Ok(mut addresses)) if !addresses.is_empty() => {
            let mut seen = Vec::new();
            addresses.retain(|address| {
                !seen.contains(address) && {
                    seen.push(*address);
                    true
                }
            });
            Ok(addresses)
        }
        Ok(_) => Err(failed("no such host")),
        Err(_) => Err(failed("i/o timeout")),
    }
}

/// Counts a look-up until it ends, waited for or not.
struct UnderWay;

impl UnderWay {
    fn begin() -> Option<UnderWay> {
        let more = |count: usize| (count < LOOKUPS_MAX).then_some(count + 1);
        LOOKUPS.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok().map(|_| UnderWay)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        LOOKUPS.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A connection whose every wait ends at one moment: bytes that drip in do not move it.
#[derive(Debug)]
pub struct Timed {
    socket: TcpStream,
    deadline: Instant,
}

impl Timed {
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Both ends, as `127.0.0.1:5000->127.0.0.1:80`.
    pub fn ends(&self) -> String {
        match (self.socket.local_addr(), self.socket.peer_addr()) {
            (Ok(local), Ok(peer)) => format!("{local}->{peer}"),
            _ => "tcp".to_owned(),
        }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// The system says "try again" for a wait that ended.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for Timed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(buf).map_err(timed_out)
    }
}

impl Write for Timed {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(buf).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection, with TLS on it or not.
#[derive(Debug)]
pub enum Link {
    Plain(Timed),
    /// On another link: behind a proxy that speaks TLS itself, twice.
    Tls(Box<StreamOwned<ClientConnection, Link>>),
}

impl Link {
    /// Shakes hands with `host` on a connection.
    pub fn tls(mut stream: Link, config: Arc<ClientConfig>, host: &str) -> Result<Link, String> {
        let failed = |error: &dyn std::fmt::Display| format!("tls: {error}");
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?;
        let mut session = ClientConnection::new(config, name).map_err(|error| failed(&error))?;
        while session.is_handshaking() {
            if let Err(error) = session.complete_io(&mut stream) {
                return Err(match error.kind() {
                    io::ErrorKind::InvalidData => failed(&error),
                    io::ErrorKind::TimedOut => "net/http: TLS handshake timeout".to_owned(),
                    _ => words(&error),
                });
            }
        }
        Ok(Link::Tls(Box::new(StreamOwned::new(session, stream))))
    }
}

impl Read for Link {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Plain(stream) => stream.read(buf),
            // Servers that end without a close notice are many, and Go takes it for an end too.
            Link::Tls(stream) => match stream.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                read => read,
            },
        }
    }
}

impl Write for Link {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Link::Plain(stream) => stream.write(buf),
            Link::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Link::Plain(stream) => stream.flush(),
            Link::Tls(stream) => stream.flush(),
        }
    }
}

/// The client side of TLS as a task wants it; an error is one of the task.
pub fn tls_config(certificate: Option<&HttpCertificate>) -> Result<Arc<ClientConfig>, String> {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    let failed = |error: rustls::Error| format!("tls: {error}");
    let none = HttpCertificate::default();
    let options = certificate.unwrap_or(&none);
    let roots = match options.ca.is_empty() || options.ignore_server_certificate_error {
        // Read once: they are files, some hundred of them.
        true => ROOTS.get_or_init(tls::trusted_roots).clone(),
        false => {
            let mut roots = RootCertStore::empty();
            let (added, _) = roots.add_parsable_certificates(certificates(&options.ca));
            if added == 0 {
                return Err("tls: failed to find any PEM data in ca input".to_owned());
            }
            roots
        }
    };
    let config = tls::client_config(roots, options.ignore_server_certificate_error).map_err(failed)?;
    if options.certificate.is_empty() && options.private_key.is_empty() {
        return Ok(config);
    }
    let chain = certificates(&options.certificate);
    if chain.is_empty() {
        return Err("tls: failed to find any PEM data in certificate input".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(options.private_key.as_bytes())
        .map_err(|_| "tls: failed to find any PEM data in key input".to_owned())?;
    let signer = rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|_| "tls: failed to parse private key".to_owned())?;
    let certified = rustls::sign::CertifiedKey::new(chain, signer);
    certified.keys_match().map_err(failed)?;
    let mut config = ClientConfig::clone(&config);
    config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    Ok(Arc::new(config))
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn names_are_looked_up_and_checked_before_they_are_dialled() {
        let open = Guard::default();
        let reach = Reach { guard: &open, deadline: soon() };
        assert!(reach.addresses("localhost").unwrap().iter().all(IpAddr::is_loopback));
        assert_eq!(reach.addresses("::1"), Ok(vec!["::1".parse().unwrap()]));
        let none = "lookup no-such-host.invalid: no such host".to_owned();
        assert_eq!(reach.addresses("no-such-host.invalid"), Err(NoAddress::Unknown(none)));
        for host in ["", "a b", "a\0b"] {
            let error = format!("lookup {host}: no such host");
            assert_eq!(reach.addresses(host), Err(NoAddress::Unknown(error)));
        }

        let closed = Guard { internal_forbidden: true, networks: Vec::new() };
        let reach = Reach { guard: &closed, deadline: soon() };
        // What the C library takes for an address is one, however it is written.
        for host in
            ["localhost", "127.0.0.1", "::1", "127.1", "2130706433", "0x7f000001", "0", "::ffff:7f00:1"]
        {
            assert_eq!(reach.addresses(host), Err(NoAddress::Forbidden), "{host}");
        }
        assert_eq!(reach.addresses_for("localhost"), Err(forbidden("localhost")));
        assert!(reach.addresses("8.8.8.8").is_ok());
    }

    #[test]
    #[should_panic(expected = "was not checked")]
    fn an_address_that_was_not_checked_is_never_dialled() {
        let closed = Guard { internal_forbidden: true, networks: Vec::new() };
        let reach = Reach { guard: &closed, deadline: soon() };
        let _ = reach.connect(&["127.0.0.1".parse().unwrap()], 1);
    }

    #[test]
    fn a_connection_is_made_to_the_first_that_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Guard::default();
        let reach = Reach { guard: &open, deadline: soon() };
        let addresses = ["127.0.0.2".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        let connected = reach.connect(&addresses, port).unwrap();
        assert_eq!(connected.address.ip(), addresses[1]);
        drop(listener);
        let failed = reach.connect(&addresses, port).unwrap_err();
        assert_eq!(failed.to_string(), format!("dial tcp 127.0.0.1:{port}: connect: connection refused"));
        let late = Reach { deadline: Instant::now(), ..reach };
        assert_eq!(
            late.connect(&addresses, port).unwrap_err().to_string(),
            format!("dial tcp 127.0.0.1:{port}: i/o timeout")
        );
    }

    #[test]
    fn bytes_that_drip_in_do_not_move_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            while socket.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let open = Guard::default();
        let begun = Instant::now();
        let reach = Reach { guard: &open, deadline: begun + Duration::from_millis(300) };
        let mut stream = reach.connect(&[address.ip()], address.port()).unwrap().stream;
        let mut all = Vec::new();
        let error = stream.read_to_end(&mut all).unwrap_err();
        assert_eq!((error.kind(), words(&error).as_str()), (io::ErrorKind::TimedOut, "i/o timeout"));
        assert!(!all.is_empty() && begun.elapsed() < Duration::from_secs(2));
        drop(stream);
        server.join().unwrap();
    }

    #[test]
    fn a_clients_certificate_must_be_one() {
        let made = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
        let with = |certificate: &str, private_key: &str, ca: &str| {
            let certificate = HttpCertificate {
                certificate: certificate.to_owned(),
                private_key: private_key.to_owned(),
                ca: ca.to_owned(),
                ..HttpCertificate::default()
            };
            tls_config(Some(&certificate)).map(drop)
        };
        let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        assert_eq!(with(&pem, &key, &pem), Ok(()));
        assert_eq!(with("", "", &pem), Ok(()));
        assert_eq!(with("", "", "x"), Err("tls: failed to find any PEM data in ca input".to_owned()));
        assert_eq!(
            with("x", &key, ""),
            Err("tls: failed to find any PEM data in certificate input".to_owned())
        );
        assert_eq!(with(&pem, "x", ""), Err("tls: failed to find any PEM data in key input".to_owned()));
        assert!(with(&pem, &other.signing_key.serialize_pem(), "").is_err());
    }
}
