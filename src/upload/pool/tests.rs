//! The pool on a real shard, against servers on threads of their own.

use crate::point::Category;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::config::secret::Endpoint;
use crate::rt::{net::Driver, shard};
use crate::upload::body::Body;
use crate::upload::tls;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub(super) fn on_shard<T, F, B>(body: B) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
    B: FnOnce() -> F + Send + 'static,
{
    let core = shard::allowed_cores()[0];
    let handle = shard::start("test", core, move || async move {
        Driver::start().unwrap();
        body().await
    });
    handle.unwrap().join().unwrap()
}

pub(super) fn settings() -> PoolSettings {
    PoolSettings {
        timeout_of_profiles: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(60),
        idle_per_host_max: 4,
    }
}

/// Reads one request: its head, and a body of Content-Length bytes. None at the end of the connection.
pub(super) fn read_request(stream: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// A server that runs `serve` for each connection in turn and counts them.
pub(super) fn server(serve: impl Fn(usize, TcpStream) + Send + 'static) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    thread::spawn(move || {
        for stream in listener.incoming() {
            serve(counter.fetch_add(1, Ordering::SeqCst), stream.unwrap());
        }
    });
    (port, count)
}

pub(super) fn target(url: &str) -> Target {
    Target::new(Endpoint::parse(url).unwrap())
}

pub(super) async fn post(
    pool: &Pool,
    target: &Target,
    parts: &[&'static [u8]],
) -> Result<Reply, TransportError> {
    let body = Body::of(parts.iter().map(|part| Bytes::from_static(part)).collect());
    let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.bytes);
    pool.exchange(Request { category: Category::Metric, target, head: head.as_bytes(), body: &body }).await
}

#[test]
fn one_connection_serves_many_requests() {
    let (port, connections) = server(|_, stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while let Some((_, body)) = read_request(&mut reader) {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(&[answer.as_bytes(), &body].concat()).unwrap();
        }
    });
    on_shard(move || async move {
        let pool = Pool::new(settings(), None);
        let target = target(&format!("http://localhost:{port}"));
        for _ in 0..3 {
            let reply = post(&pool, &target, &[b"one ", b"", b"two"]).await.unwrap();
            assert_eq!((reply.status, &reply.body[..]), (200, &b"one two"[..]));
        }
    });
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[test]
fn bodies_of_any_shape_arrive_whole() {
    static LARGE: [u8; 3 << 20] = [b'x'; 3 << 20];
    static SMALL: [u8; 40_000] = [b'y'; 40_000];
    let (port, _) = server(|_, stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while let Some((_, body)) = read_request(&mut reader) {
            let answer = format!("{} {:08x}", body.len(), crc32c::crc32c(&body));
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len()).unwrap();
        }
    });
    on_shard(move || async move {
        let pool = Pool::new(settings(), None);
        let target = target(&format!("http://127.0.0.1:{port}"));
        let shapes: [&[&'static [u8]]; 4] =
            [&[], &[&SMALL, &SMALL, &SMALL], &[b"a", &LARGE, b"b", &SMALL], &[&LARGE, &LARGE]];
        for parts in shapes {
            let whole = parts.concat();
            let reply = post(&pool, &target, parts).await.unwrap();
            let expected = format!("{} {:08x}", whole.len(), crc32c::crc32c(&whole));
            assert_eq!(String::from_utf8(reply.body).unwrap(), expected);
        }
    });
}

#[test]
fn d17_a_kept_connection_that_is_dead_is_replaced_without_an_error() {
    // The first connection answers once. What happens to the second request on it differs by round.
    for round in 0..3 {
        let (port, connections) = server(move |index, stream| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            let _ = read_request(&mut reader).unwrap();
            stream.write_all(OK.as_bytes()).unwrap();
            match (index, round) {
                // Closed at once, long before it is used again.
                (0, 0) => {}
                // Closed when the next request has been read, without a byte of an answer.
                (0, 1) => drop(read_request(&mut reader)),
                // Reset while the next request is under way: unread bytes make a reset of a close.
                (0, _) => drop(reader.fill_buf().map(<[u8]>::len)),
                _ => drop(read_request(&mut reader)),
            }
        });
        on_shard(move || async move {
            let pool = Pool::new(settings(), None);
            let target = target(&format!("http://127.0.0.1:{port}"));
            assert_eq!(post(&pool, &target, &[b"first"]).await.unwrap().status, 200);
            crate::rt::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(post(&pool, &target, &[b"second"]).await.unwrap().status, 200, "round {round}");
        });
        assert_eq!(connections.load(Ordering::SeqCst), 2, "round {round}");
    }
}

#[test]
fn a_fresh_connection_that_dies_is_an_error_and_not_tried_again() {
    let (port, connections) = server(|_, stream| {
        let _ = read_request(&mut BufReader::new(stream));
    });
    on_shard(move || async move {
        let pool = Pool::new(settings(), None);
        let result = post(&pool, &target(&format!("http://127.0.0.1:{port}")), &[b"x"]).await;
        assert!(matches!(result, Err(TransportError::Io(_))), "{result:?}");
    });
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[test]
fn d2_an_answer_that_is_cut_is_no_answer() {
    for cut in
        ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", "HTTP/1.1 200 OK\r\nConte", "nonsense\r\n\r\n"]
    {
        let (port, _) = server(move |_, mut stream| {
            let _ = read_request(&mut BufReader::new(stream.try_clone().unwrap()));
            stream.write_all(cut.as_bytes()).unwrap();
        });
        on_shard(move || async move {
            let pool = Pool::new(settings(), None);
            let result = post(&pool, &target(&format!("http://127.0.0.1:{port}")), &[b"x"]).await;
            assert!(matches!(result, Err(TransportError::Response(_))), "{cut}: {result:?}");
        });
    }
}

#[test]
fn a_refusal_before_the_body_is_read_counts_and_an_early_success_does_not() {
    static LARGE: [u8; 16 << 20] = [b'x'; 16 << 20];
    for (status, counts) in [(413, true), (200, false)] {
        let (port, _) = server(move |_, mut stream| {
            let mut some = [0; 100];
            stream.read_exact(&mut some).unwrap();
            write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").unwrap();
            thread::sleep(Duration::from_secs(1));
        });
        on_shard(move || async move {
            let pool = Pool::new(settings(), None);
            let result = post(&pool, &target(&format!("http://127.0.0.1:{port}")), &[&LARGE]).await;
            match counts {
                true => assert_eq!(result.unwrap().status, status),
                false => assert!(matches!(result, Err(TransportError::Io(_))), "{result:?}"),
            }
            assert!(pool.idle.borrow().values().all(VecDeque::is_empty), "not used again");
        });
    }
}

#[test]
fn silence_and_closed_ports_end_in_time() {
    let (port, _) = server(|_, stream| {
        let _ = read_request(&mut BufReader::new(stream.try_clone().unwrap()));
        thread::sleep(Duration::from_secs(3));
    });
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    on_shard(move || async move {
        let pool = Pool::new(PoolSettings { timeout: Duration::from_millis(300), ..settings() }, None);
        let result = post(&pool, &target(&format!("http://127.0.0.1:{port}")), &[b"x"]).await;
        assert!(matches!(result, Err(TransportError::Timeout)), "{result:?}");
        let result = post(&pool, &target(&format!("http://127.0.0.1:{closed}")), &[b"x"]).await;
        assert!(matches!(result, Err(TransportError::Connect(_))), "{result:?}");
        let result = post(&pool, &target("http://no-such-host.invalid"), &[b"x"]).await;
        assert!(matches!(result, Err(TransportError::Resolve(_) | TransportError::Timeout)), "{result:?}");
    });
}

pub(super) struct TlsServer {
    pub port: u16,
    pub connections: Arc<AtomicUsize>,
    pub roots: RootCertStore,
}

/// A server whose certificate is for `localhost` only.
pub(super) fn tls_server(versions: &'static [&'static rustls::SupportedProtocolVersion]) -> TlsServer {
    tls_server_with(versions, rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap())
}

pub(super) fn tls_server_with(
    versions: &'static [&'static rustls::SupportedProtocolVersion],
    params: rcgen::CertificateParams,
) -> TlsServer {
    let signing_key = rcgen::KeyPair::generate().unwrap();
    let cert = params.self_signed(&signing_key).unwrap();
    let certified = rcgen::CertifiedKey { cert, signing_key };
    let certificate = certified.cert.der().clone();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let (port, connections) = server(move |_, stream| {
        let session = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = BufReader::new(StreamOwned::new(session, stream));
        while let Some((_, body)) = read_request(&mut stream) {
            let answer = format!("{} {:08x}", body.len(), crc32c::crc32c(&body));
            write!(stream.get_mut(), "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len())
                .unwrap();
            stream.get_mut().flush().unwrap();
        }
    });
    TlsServer { port, connections, roots }
}

#[test]
fn requests_go_over_tls_and_the_session_is_kept() {
    static LARGE: [u8; 2 << 20] = [b'x'; 2 << 20];
    static NEW: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
    static OLD: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
    for versions in [&NEW, &OLD] {
        let server = tls_server(versions);
        let (port, roots) = (server.port, server.roots);
        on_shard(move || async move {
            let config = tls::client_config(roots, false).unwrap();
            let pool = Pool::new(settings(), Some(Tls::new(config, || None)));
            let target = target(&format!("https://localhost:{port}?token=tkn_0123456789"));
            for parts in [&[&b"small"[..]][..], &[b"a", &LARGE, b"b"], &[b"small"]] {
                let whole = parts.concat();
                let reply = post(&pool, &target, parts).await.unwrap();
                let expected = format!("{} {:08x}", whole.len(), crc32c::crc32c(&whole));
                assert_eq!(String::from_utf8(reply.body).unwrap(), expected);
                crate::rt::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn whoever_cannot_prove_the_name_gets_nothing_unless_told_so() {
    let server = tls_server(rustls::ALL_VERSIONS);
    let (port, roots) = (server.port, server.roots);
    on_shard(move || async move {
        let right = target(&format!("https://localhost:{port}"));
        let wrong_name = target(&format!("https://127.0.0.1:{port}"));
        let strict =
            Pool::new(settings(), Some(Tls::new(tls::client_config(roots, false).unwrap(), || None)));
        let result = post(&strict, &wrong_name, &[b"x"]).await;
        assert!(matches!(result, Err(TransportError::Tls(_))), "{result:?}");
        let stranger = Pool::new(
            settings(),
            Some(Tls::new(tls::client_config(tls::trusted_roots(), false).unwrap(), || None)),
        );
        let result = post(&stranger, &right, &[b"x"]).await;
        assert!(matches!(result, Err(TransportError::Tls(_))), "{result:?}");
        let insecure = Pool::new(
            settings(),
            Some(Tls::new(tls::client_config(RootCertStore::empty(), true).unwrap(), || None)),
        );
        assert_eq!(post(&insecure, &wrong_name, &[b"x"]).await.unwrap().status, 200);
    });
}

#[test]
fn a_plain_server_behind_https_is_a_tls_error() {
    let (port, _) = server(|_, mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        thread::sleep(Duration::from_millis(200));
    });
    on_shard(move || async move {
        let pool = Pool::new(
            settings(),
            Some(Tls::new(tls::client_config(RootCertStore::empty(), true).unwrap(), || None)),
        );
        let result = post(&pool, &target(&format!("https://localhost:{port}")), &[b"x"]).await;
        assert!(matches!(result, Err(TransportError::Tls(_))), "{result:?}");
    });
}
