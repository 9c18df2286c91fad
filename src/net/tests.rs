//! Connections on real sockets, with a service that answers late, keeps bodies, and refuses.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use ipnet::IpNet;
use rustls::server::ServerConfig;

use crate::http1::{Connection, Head, HeadError, HeadLimits, Response, response};
use crate::rt::net::{Driver, Listener, bind, local_addr};
use crate::rt::{shard, time};

use super::buffers::Buffers;
use super::conn::ConnContext;
use super::{Admission, Answer, ConnLimits, Gate, Incoming, OwnedBody, Service, accept};

const DATE: &[u8; response::DATE_BYTES] = b"Thu, 01 Jan 1970 00:00:00 GMT";
const BODY_BYTES_MAX: usize = 1 << 20;

/// `/now` answers with the body's length; `/later` when `/release` came; `/keep` with the kept body's sum.
#[derive(Default)]
struct Echo {
    waiting: RefCell<HashMap<u32, Waker>>,
    released: Cell<bool>,
    next: Cell<u32>,
    draining: Cell<bool>,
}

struct Pending {
    id: u32,
    text: String,
    body: Option<OwnedBody>,
    keep: bool,
}

fn write(text: &str, connection: Connection, out: &mut Vec<u8>) {
    Response { status: 200, headers: &[], body: text.as_bytes(), connection, head_only: false }
        .write(DATE, out);
}

impl Service for Echo {
    type Pending = Pending;

    fn admit(&self, _: &Head<'_>, _: SocketAddr, _: &mut Vec<u8>) -> Admission {
        Admission::Accept { body_bytes_max: BODY_BYTES_MAX }
    }

    fn call(&self, request: Incoming<'_>, out: &mut Vec<u8>) -> Answer<Pending> {
        let path = request.head.target;
        let text = format!("{path} {}", request.body.len());
        let id = self.next.get();
        self.next.set(id + 1);
        let pending = |keep| Pending { id, text: text.clone(), body: None, keep };
        match path.split('?').next() {
            Some("/later") => Answer::Later(pending(false)),
            Some("/keep") => Answer::KeepBody(pending(true)),
            Some("/release") => {
                self.released.set(true);
                self.waiting.borrow_mut().drain().for_each(|(_, waker)| waker.wake());
                write("released", request.connection, out);
                Answer::Done
            }
            _ => {
                write(&text, request.connection, out);
                Answer::Done
            }
        }
    }

    fn attach(&self, pending: &mut Pending, body: OwnedBody) {
        pending.body = Some(body);
    }

    fn poll_finish(&self, pending: &mut Pending, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<()> {
        if pending.keep {
            let body = pending.body.take().expect("the body was attached");
            let sum: u64 = body.padded().iter().map(|&byte| u64::from(byte)).sum();
            write(&format!("kept {} sum {sum}", body.padded().len()), Connection::Persistent, out);
            return Poll::Ready(());
        }
        if self.released.get() {
            write(&pending.text, Connection::Persistent, out);
            return Poll::Ready(());
        }
        self.waiting.borrow_mut().insert(pending.id, cx.waker().clone());
        Poll::Pending
    }

    fn answer_timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(2))
    }

    fn give_up(&self, _: &mut Pending, out: &mut Vec<u8>) {
        response::write_refusal(503, "gave up", DATE, out);
    }

    fn refuse_head(&self, error: HeadError, out: &mut Vec<u8>) {
        response::write_refusal(error.status(), error.text(), DATE, out);
    }

    fn refuse_body(&self, status: u16, text: &'static str, out: &mut Vec<u8>) {
        response::write_refusal(status, text, DATE, out);
    }

    fn refuse_connection(&self, out: &mut Vec<u8>) {
        response::write_refusal(503, "too many connections", DATE, out);
    }

    fn refused_entrance(&self) {}

    fn draining(&self) -> bool {
        self.draining.get()
    }
}

/// Runs `client` on a thread against a fresh listener; the shard drains when it returns.
fn with_server(connections_max: usize, client: impl FnOnce(SocketAddr) + Send + 'static) {
    with_entrance(connections_max, Vec::new(), None, client);
}

/// The same behind proxies, or with TLS.
pub(super) fn with_entrance(
    connections_max: usize,
    proxies: Vec<IpNet>,
    tls: Option<Arc<ServerConfig>>,
    client: impl FnOnce(SocketAddr) + Send + 'static,
) {
    let core = shard::allowed_cores()[0];
    shard::start("net-test", core, move || async move {
        Driver::start().unwrap();
        let fd = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = local_addr(&fd).unwrap();
        let context = Rc::new(ConnContext {
            buffers: Buffers::new(),
            gate: Gate::new(Arc::new(AtomicUsize::new(0)), connections_max),
            limits: Cell::new(ConnLimits {
                head: HeadLimits::default(),
                head_timeout: Duration::from_millis(500),
                body_timeout: Duration::from_millis(500),
                write_timeout: Duration::from_millis(500),
                idle_timeout: Duration::from_secs(3),
            }),
            proxies: RefCell::new(proxies.into()),
            tls: Arc::new(ArcSwapOption::from(tls)),
        });
        let listener = Listener::new(fd).unwrap();
        crate::rt::spawn(accept(
            listener,
            "test",
            true,
            Rc::new(Echo::default()),
            Rc::clone(&context),
            Rc::default(),
        ));
        let thread = std::thread::spawn(move || client(address));
        while !thread.is_finished() {
            time::sleep(Duration::from_millis(5)).await;
        }
        thread.join().expect("the client found what it expected");
        context.gate.stop();
        let drained = async {
            while context.gate.open_here() > 0 {
                context.gate.closed().await;
            }
        };
        time::timeout(Duration::from_secs(5), drained).await.expect("every connection ends");
        assert_eq!(context.buffers.borrowed_bytes(), 0, "every buffer came back");
    })
    .unwrap()
    .join()
    .unwrap();
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads one response: status and body.
fn read(stream: &mut TcpStream) -> (u16, String) {
    let mut head = Vec::new();
    let mut byte = [0u8; 1];
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).expect("an answer in time"), 1, "the connection ended");
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    let length = text
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    (status, String::from_utf8(body).unwrap())
}

fn at_end(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).is_ok() && rest.is_empty()
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_connection_is_used_again_and_again() {
    with_server(10, |address| {
        let mut stream = connect(address);
        for round in 0..50 {
            stream.write_all(post("/now", &"x".repeat(round)).as_bytes()).unwrap();
            assert_eq!(read(&mut stream), (200, format!("/now {round}")));
        }
    });
}

#[test]
fn pipelined_requests_are_answered_in_order_also_when_some_are_late() {
    with_server(10, |address| {
        let (mut first, mut second) = (connect(address), connect(address));
        let mut requests = String::new();
        for index in 0..200 {
            let path = if index % 3 == 0 { "/later" } else { "/now" };
            requests.push_str(&post(&format!("{path}?{index}"), "abc"));
        }
        first.write_all(requests.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        second.write_all(post("/release", "").as_bytes()).unwrap();
        assert_eq!(read(&mut second), (200, "released".to_owned()));
        for index in 0..200 {
            let path = if index % 3 == 0 { "/later" } else { "/now" };
            assert_eq!(read(&mut first), (200, format!("{path}?{index} 3")));
        }
    });
}

#[test]
fn a_request_split_at_every_byte_is_the_same_request() {
    with_server(10, |address| {
        let request = post("/now", "0123456789");
        let mut stream = connect(address);
        for cut in 1..request.len() {
            stream.write_all(&request.as_bytes()[..cut]).unwrap();
            std::thread::sleep(Duration::from_micros(200));
            stream.write_all(&request.as_bytes()[cut..]).unwrap();
            assert_eq!(read(&mut stream), (200, "/now 10".to_owned()), "cut at {cut}");
        }
    });
}

#[test]
fn large_and_chunked_and_kept_bodies_arrive_whole() {
    with_server(10, |address| {
        let mut stream = connect(address);
        for len in [0, 1, 70_000, 150_000, 1 << 20] {
            let body = "b".repeat(len);
            stream.write_all(post("/keep", &body).as_bytes()).unwrap();
            assert_eq!(read(&mut stream), (200, format!("kept {len} sum {}", len * 98)));
            let mut chunked =
                "POST /keep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
            for part in body.as_bytes().chunks(8191) {
                chunked.push_str(&format!("{:x}\r\n{}\r\n", part.len(), std::str::from_utf8(part).unwrap()));
            }
            chunked.push_str("0\r\n\r\n");
            // And one behind it, so that what follows a kept body is not lost.
            chunked.push_str(&post("/now", "abc"));
            stream.write_all(chunked.as_bytes()).unwrap();
            assert_eq!(read(&mut stream), (200, format!("kept {len} sum {}", len * 98)));
            assert_eq!(read(&mut stream), (200, "/now 3".to_owned()));
        }
        stream.write_all((post("/keep", "abc") + &post("/keep", "d")).as_bytes()).unwrap();
        assert_eq!(read(&mut stream), (200, "kept 3 sum 294".to_owned()));
        assert_eq!(read(&mut stream), (200, "kept 1 sum 100".to_owned()));
    });
}

#[test]
fn a_body_beyond_the_limit_is_refused_and_its_tail_is_never_a_request() {
    with_server(10, |address| {
        let mut stream = connect(address);
        let smuggled = post("/now", "smuggled");
        let head = format!("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", BODY_BYTES_MAX + 1);
        stream.write_all((head + &smuggled).as_bytes()).unwrap();
        assert_eq!(read(&mut stream).0, 413);
        assert!(at_end(&mut stream));

        let mut stream = connect(address);
        stream.write_all(b"POST /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(65536));
        for _ in 0..17 {
            if stream.write_all(chunk.as_bytes()).is_err() {
                break;
            }
        }
        assert_eq!(read(&mut stream).0, 413);
        assert!(at_end(&mut stream));
    });
}

#[test]
fn a_refused_head_ends_the_connection() {
    with_server(10, |address| {
        for request in [
            "POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
            "POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            "GET / HTTP/1.1\nHost: a\n\n",
        ] {
            let mut stream = connect(address);
            stream.write_all((request.to_owned() + &post("/now", "next")).as_bytes()).unwrap();
            assert_eq!(read(&mut stream).0, 400, "{request:?}");
            assert!(at_end(&mut stream), "{request:?}");
        }
    });
}

#[test]
fn continue_is_sent_once_and_only_when_waited_for() {
    with_server(10, |address| {
        let mut stream = connect(address);
        let head = "POST /now HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        assert_eq!(read(&mut stream), (100, String::new()));
        stream.write_all(b"abc").unwrap();
        assert_eq!(read(&mut stream), (200, "/now 3".to_owned()));
        // A client that does not wait gets no 100.
        stream.write_all((head.to_owned() + "abc").as_bytes()).unwrap();
        assert_eq!(read(&mut stream), (200, "/now 3".to_owned()));
        let chunked =
            "POST /now HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(chunked.as_bytes()).unwrap();
        assert_eq!(read(&mut stream), (100, String::new()));
        stream.write_all(b"2\r\nab\r\n0\r\n\r\n").unwrap();
        assert_eq!(read(&mut stream), (200, "/now 2".to_owned()));
    });
}

#[test]
fn close_and_http10_end_the_connection_after_the_answer() {
    with_server(10, |address| {
        for head in ["GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET /now HTTP/1.0\r\n\r\n"]
        {
            let mut stream = connect(address);
            stream.write_all(head.as_bytes()).unwrap();
            assert_eq!(read(&mut stream), (200, "/now 0".to_owned()));
            assert!(at_end(&mut stream), "{head:?}");
        }
        let mut stream = connect(address);
        for _ in 0..3 {
            stream.write_all(b"GET /now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
            assert_eq!(read(&mut stream), (200, "/now 0".to_owned()));
        }
    });
}

#[test]
fn slow_heads_and_bodies_meet_their_deadlines() {
    with_server(10, |address| {
        let mut stream = connect(address);
        let started = Instant::now();
        // A byte now and then does not move the deadline.
        for byte in b"POST /now HTT" {
            if stream.write_all(&[*byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(read(&mut stream).0, 408);
        assert!(started.elapsed() < Duration::from_secs(3));

        for framing in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
            let mut stream = connect(address);
            stream
                .write_all(format!("POST /now HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").as_bytes())
                .unwrap();
            for _ in 0..12 {
                if stream.write_all(b"1").is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            let status = read(&mut stream).0;
            // Ones in a row are a chunk size, until they are too long to be one.
            assert!(status == 503 || status == 400, "{framing}: {status}");
        }
    });
}

#[test]
fn an_answer_that_does_not_come_is_given_up() {
    with_server(10, |address| {
        let mut stream = connect(address);
        stream.write_all(post("/later", "abc").as_bytes()).unwrap();
        assert_eq!(read(&mut stream).0, 503);
    });
}

#[test]
fn connections_beyond_the_limit_are_told_so() {
    with_server(2, |address| {
        let mut held = [connect(address), connect(address)];
        for stream in &mut held {
            stream.write_all(post("/now", "a").as_bytes()).unwrap();
            assert_eq!(read(stream).0, 200);
        }
        let mut third = connect(address);
        assert_eq!(read(&mut third).0, 503);
        assert!(at_end(&mut third));
        drop(held);
        std::thread::sleep(Duration::from_millis(100));
        let mut fourth = connect(address);
        fourth.write_all(post("/now", "a").as_bytes()).unwrap();
        assert_eq!(read(&mut fourth).0, 200);
    });
}

#[test]
fn clients_that_vanish_leave_nothing_behind() {
    with_server(1000, |address| {
        for index in 0..300 {
            let mut stream = connect(address);
            let request = post("/later", &"z".repeat(5_000));
            stream.write_all(&request.as_bytes()[..request.len() * (index % 10) / 9]).unwrap();
        }
    });
}
