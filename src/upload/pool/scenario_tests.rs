//! What destinations and networks do to a connection, one scenario a test, on a real shard. The names of the scenarios
//! (D10 …) are those of the table in the documents.

use std::io::{BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustls::RootCertStore;

use super::tests::{on_shard, post, read_request, server, settings, target, tls_server, tls_server_with};
use super::*;
use crate::http1::client::BODY_READ_BYTES_MAX;
use crate::upload::tls;

/// A server that says `answer` to each request, then closes.
fn answering(answer: &'static [u8]) -> (u16, Arc<AtomicUsize>) {
    server(move |_, mut stream| {
        let _ = read_request(&mut BufReader::new(stream.try_clone().unwrap()));
        let _ = stream.write_all(answer);
    })
}

fn quick() -> PoolSettings {
    PoolSettings { timeout: Duration::from_millis(400), ..settings() }
}

#[test]
fn d10_an_address_that_is_silent_comes_behind_the_others() {
    // It takes connections and answers nothing: as a host that hangs.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    on_shard(move || async move {
        let pool = Pool::new(quick(), None);
        let target = target(&format!("http://localhost:{port}"));
        let result = post(&pool, &target, &[b"x"]).await;
        assert!(matches!(result, Err(TransportError::Timeout)), "{result:?}");
        let order = pool.dns.resolve("localhost", port).await.unwrap();
        assert_eq!(order.last(), Some(&SocketAddr::from(([127, 0, 0, 1], port))), "{order:?}");
    });
    drop(silent);
}

#[test]
fn d11_an_expired_certificate_is_told_and_a_stalled_handshake_ends_in_time() {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let expired = tls_server_with(rustls::ALL_VERSIONS, params);
    let stalled = TcpListener::bind("127.0.0.1:0").unwrap();
    let stalled_port = stalled.local_addr().unwrap().port();
    let (port, roots) = (expired.port, expired.roots);
    on_shard(move || async move {
        let tls = Tls::new(tls::client_config(roots, false).unwrap(), || None);
        let pool = Pool::new(quick(), Some(tls));
        let result = post(&pool, &target(&format!("https://localhost:{port}")), &[b"x"]).await;
        let Err(TransportError::Tls(text)) = result else { panic!("{result:?}") };
        assert!(text.to_lowercase().contains("expired"), "{text}");
        let result = post(&pool, &target(&format!("https://127.0.0.1:{stalled_port}")), &[b"x"]).await;
        assert!(matches!(result, Err(TransportError::Timeout)), "{result:?}");
    });
    drop(stalled);
}

#[test]
fn d11_certificates_that_are_renewed_on_disk_are_used_without_a_restart() {
    static RENEWED: Mutex<Option<RootCertStore>> = Mutex::new(None);
    fn reload() -> Option<Arc<ClientConfig>> {
        tls::client_config(RENEWED.lock().unwrap().clone()?, false).ok()
    }
    let server = tls_server(rustls::ALL_VERSIONS);
    let (port, roots) = (server.port, server.roots);
    on_shard(move || async move {
        // What was trusted at the start does not know this server.
        let tls = Tls::new(tls::client_config(tls::trusted_roots(), false).unwrap(), reload);
        let pool = Pool::new(settings(), Some(tls));
        let target = target(&format!("https://localhost:{port}"));
        *RENEWED.lock().unwrap() = Some(roots);
        let result = post(&pool, &target, &[b"x"]).await;
        assert!(matches!(result, Err(TransportError::Tls(_))), "{result:?}");
        assert_eq!(post(&pool, &target, &[b"x"]).await.unwrap().status, 200);
    });
}

#[test]
fn d12_odd_answers_are_understood_or_refused() {
    let cases: [(&[u8], Result<u16, &str>); 9] = [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Ok(200)),
        (b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n", Ok(417)),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", Ok(200)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer: 1\r\nStatus: 500\r\n\r\n", Ok(200)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", Err("length is ambiguous")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", Err("before the response was complete")),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", Err("interim")),
        (b"HTTP/2 200\r\n\r\n", Err("head")),
        (b"ICY 200 OK\r\n\r\n", Err("head")),
    ];
    for (answer, expected) in cases {
        let (port, _) = answering(answer);
        on_shard(move || async move {
            let pool = Pool::new(settings(), None);
            let result = post(&pool, &target(&format!("http://127.0.0.1:{port}")), &[b"x"]).await;
            match (expected, result) {
                (Ok(status), Ok(reply)) => assert_eq!(reply.status, status, "{}", answer.escape_ascii()),
                (Err(text), Err(error)) => {
                    assert!(error.to_string().contains(text), "{error} for {}", answer.escape_ascii());
                }
                (_, result) => panic!("{result:?} for {}", answer.escape_ascii()),
            }
        });
    }
}

#[test]
fn d12_a_redirect_takes_no_token_to_another_host() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let other_port = other.local_addr().unwrap().port();
    other.set_nonblocking(true).unwrap();
    for status in [301, 302, 303, 307, 308] {
        let (port, _) = server(move |_, mut stream| {
            let _ = read_request(&mut BufReader::new(stream.try_clone().unwrap()));
            let place = format!("http://127.0.0.1:{other_port}/v1/write/logging");
            let _ = write!(stream, "HTTP/1.1 {status} X\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n");
        });
        on_shard(move || async move {
            let pool = Pool::new(settings(), None);
            let target = target(&format!("http://127.0.0.1:{port}?token=tkn_0123456789"));
            assert_eq!(post(&pool, &target, &[b"x"]).await.unwrap().status, status);
        });
    }
    assert!(other.accept().is_err(), "nobody came");
}

#[test]
fn d15_a_peer_that_vanishes_is_given_up_in_time() {
    // It takes the connection and reads nothing: as a machine behind a cable that was pulled.
    static LARGE: [u8; 1 << 20] = [b'x'; 1 << 20];
    let vanished = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = vanished.local_addr().unwrap();
    on_shard(move || async move {
        let stream = Stream::connect(address, Duration::from_secs(5)).await.unwrap();
        assert_eq!(stream.user_timeout().unwrap(), Duration::from_secs(20), "the kernel looks, too");
        let pool = Pool::new(quick(), None);
        let started = Instant::now();
        let result = post(&pool, &target(&format!("http://{address}")), &[&LARGE]).await;
        assert!(matches!(result, Err(TransportError::Timeout)), "{result:?}");
        let limit = quick().timeout + TIME_PER_MIB;
        assert!(started.elapsed() < limit + Duration::from_secs(2), "{:?}", started.elapsed());
        assert!(pool.idle.borrow().values().all(VecDeque::is_empty));
    });
    drop(vanished);
}

#[test]
fn d16_an_endless_error_body_is_read_to_a_bound_only() {
    static WRITTEN: AtomicUsize = AtomicUsize::new(0);
    static ENDED: AtomicBool = AtomicBool::new(false);
    let (port, _) = server(|_, mut stream| {
        let _ = read_request(&mut BufReader::new(stream.try_clone().unwrap()));
        let _ = stream.write_all(b"HTTP/1.1 400 X\r\nContent-Length: 1073741824\r\n\r\n");
        while let Ok(written) = stream.write(&[b'e'; 64 << 10]) {
            WRITTEN.fetch_add(written, Ordering::SeqCst);
        }
        ENDED.store(true, Ordering::SeqCst);
    });
    on_shard(move || async move {
        let pool = Pool::new(settings(), None);
        let reply = post(&pool, &target(&format!("http://127.0.0.1:{port}")), &[b"x"]).await.unwrap();
        assert_eq!((reply.status, reply.reusable), (400, false));
        assert!(reply.body_bytes <= 2 * BODY_READ_BYTES_MAX, "{}", reply.body_bytes);
        assert!(reply.body.len() <= 16 << 10);
    });
    while !ENDED.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(10));
    }
    // What the two kernels hold between them comes on top.
    assert!(WRITTEN.load(Ordering::SeqCst) < 32 << 20, "{}", WRITTEN.load(Ordering::SeqCst));
}

#[test]
fn d17_a_second_fresh_connection_is_not_tried() {
    // The kept connection is dead, and so is the one that takes its place: the worker's backoff is for that.
    let (port, connections) = server(|index, mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let _ = read_request(&mut reader);
        if index == 0 {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            let _ = reader.read(&mut [0]);
        }
    });
    on_shard(move || async move {
        let pool = Pool::new(settings(), None);
        let target = target(&format!("http://127.0.0.1:{port}"));
        assert_eq!(post(&pool, &target, &[b"x"]).await.unwrap().status, 200);
        let result = post(&pool, &target, &[b"x"]).await;
        assert!(matches!(result, Err(TransportError::Io(_))), "{result:?}");
    });
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}
