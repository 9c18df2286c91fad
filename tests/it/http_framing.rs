//! HTTP/1.1 over a real socket: where messages end, what is refused, and who is cut off for being slow.
//!
//! The rules themselves are tested beside the parser, cut at every byte. Here the running gateway is held to the
//! consequence: after a refusal the connection ends, and bytes behind it are never answered as a request.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{Gateway, PATIENCE};

const POINT: &str = "m f=1i 1\n";
/// What a smuggler would like to see answered: it goes behind whatever is to be refused.
const SMUGGLED: &str = "GET /v1/ping HTTP/1.1\r\nHost: gateway\r\n\r\n";

fn gateway(limits: &str) -> Gateway {
    Gateway::start("destination = \"blackhole\"\nack = \"memory\"\n", &format!("[limits]\n{limits}\n"))
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// Everything the gateway says to `input` until it closes the connection, which it must.
fn said_before_closing(address: SocketAddr, input: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    // It may stop reading early: that is for the answer to tell.
    let _ = stream.write_all(input);
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => {
            panic!("not closed ({error}) after {}: {}", shown(input), said.escape_ascii())
        }
    }
    said
}

fn shown(input: &[u8]) -> String {
    input[..input.len().min(400)].escape_ascii().to_string()
}

/// One answer of several.
#[derive(Debug)]
struct Said {
    status: u16,
    head: String,
    body: Vec<u8>,
}

/// Splits what came from a connection into answers; none may be cut short. `to_head`: answers without body.
fn answers(mut raw: &[u8], to_head: bool) -> Vec<Said> {
    let mut all = Vec::new();
    while !raw.is_empty() {
        let end = raw.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("a whole head: {}", raw.escape_ascii())) + 4;
        let head = String::from_utf8(raw[..end].to_vec()).expect("a head in UTF-8");
        raw = &raw[end..];
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).expect("a status line");
        let status = status.parse().expect("a status");
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.map_or(0, |length| length.parse::<usize>().expect("a length"));
        let length = if to_head { 0 } else { length };
        assert!(raw.len() >= length, "a whole body of {length} bytes: {}", raw.escape_ascii());
        all.push(Said { status, head, body: raw[..length].to_vec() });
        raw = &raw[length..];
    }
    all
}

/// The gateway answers `input` once, with this status, says that it closes, and closes.
fn refused(address: SocketAddr, input: &[u8], status: u16) {
    let said = answers(&said_before_closing(address, input), false);
    assert_eq!(said.len(), 1, "{said:?} to {}", shown(input));
    assert_eq!(said[0].status, status, "{said:?} to {}", shown(input));
    assert!(said[0].head.contains("\r\nConnection: close\r\n"), "{said:?} to {}", shown(input));
}

/// Sends and reads until as many answers are whole; the connection stays open.
fn converse(stream: &mut TcpStream, input: &[u8], count: usize) -> Vec<Said> {
    stream.write_all(input).expect("the gateway reads");
    let mut raw = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let heads = raw.windows(9).filter(|bytes| bytes == b"HTTP/1.1 ").count();
        if heads >= count && whole(&raw) {
            let said = answers(&raw, false);
            assert_eq!(said.len(), count, "{said:?}");
            return said;
        }
        match stream.read(&mut piece) {
            Ok(0) => panic!("closed after {} of {count} answers: {}", heads, raw.escape_ascii()),
            Ok(read) => raw.extend_from_slice(&piece[..read]),
            Err(error) => panic!("{error} after {} of {count} answers: {}", heads, raw.escape_ascii()),
        }
    }
}

/// Whether the last answer in `raw` has come to its end.
fn whole(raw: &[u8]) -> bool {
    let mut rest = raw;
    while !rest.is_empty() {
        let Some(end) = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return false };
        let head = String::from_utf8_lossy(&rest[..end + 4]).into_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
        let Some(left) = rest.get(end + 4 + length.unwrap_or(0)..) else { return false };
        rest = left;
    }
    true
}

fn post(lines: &str, body: &str) -> Vec<u8> {
    format!("POST /v1/write/metric HTTP/1.1\r\nHost: gateway\r\n{lines}\r\n{body}").into_bytes()
}

fn post_point() -> Vec<u8> {
    post(&format!("Content-Length: {}\r\n", POINT.len()), POINT)
}

#[test]
fn e1_e2_e3_ambiguous_lengths_are_refused_and_nothing_behind_them_is_read() {
    let gateway = gateway("");
    let address = gateway.address();
    for (lines, status) in [
        ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", 400),
        ("TRANSFER-ENCODING: chunked\r\ncontent-length: 4\r\n", 400),
        ("Content-Length: 9\r\nContent-Length: 9\r\n", 400),
        ("Content-Length: 9\r\nContent-Length: 0\r\n", 400),
        ("Content-Length: 9, 9\r\n", 400),
        ("Content-Length: +9\r\n", 400),
        ("Content-Length: -9\r\n", 400),
        ("Content-Length: 0x9\r\n", 400),
        ("Content-Length: 9 9\r\n", 400),
        ("Content-Length:\r\n", 400),
        ("Content-Length: 99999999999999999999\r\n", 400),
        ("Transfer-Encoding: chunked, gzip\r\n", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ("Transfer-Encoding: xchunked\r\n", 501),
        ("Transfer-Encoding: chunked\x0b\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding:\r\n chunked\r\n", 400),
    ] {
        for body in [POINT, "0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"] {
            refused(address, &[post(lines, body), SMUGGLED.into()].concat(), status);
        }
    }
    let old =
        format!("POST /v1/write/metric HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}");
    refused(address, old.as_bytes(), 400);
}

#[test]
fn e4_e5_chunked_bodies() {
    let gateway = gateway("");
    let address = gateway.address();
    let head = "Transfer-Encoding: chunked\r\n";
    let mut stream = connect(address);
    for body in [
        "9\r\nm f=1i 1\n\r\n0\r\n\r\n".to_owned(),
        "3\r\nm f\r\n6\r\n=1i 1\n\r\n0\r\n\r\n".to_owned(),
        "0000009;name=value\r\nm f=1i 1\n\r\n000;x\r\nA: b\r\nContent-Length: 3\r\n\r\n".to_owned(),
    ] {
        // The connection goes on, and the next request is found where it starts.
        let said = converse(&mut stream, &[post(head, &body), SMUGGLED.into()].concat(), 2);
        assert_eq!([said[0].status, said[1].status], [200, 200], "{said:?}");
    }
    for body in [
        "fffffffffffffffff\r\n",
        "ffffffffffffffff1\r\nm f=1i 1\n\r\n0\r\n\r\n",
        "+9\r\nm f=1i 1\n\r\n0\r\n\r\n",
        " 9\r\nm f=1i 1\n\r\n0\r\n\r\n",
        "9 \r\nm f=1i 1\n\r\n0\r\n\r\n",
        "0x9\r\nm f=1i 1\n\r\n0\r\n\r\n",
        "9\nm f=1i 1\n\r\n0\r\n\r\n",
        "9\r\nm f=1i 1\n0\r\n\r\n",
        "8\r\nm f=1i 1\n\r\n0\r\n\r\n",
        "9;a\nb\r\nm f=1i 1\n\r\n0\r\n\r\n",
        "9\r\nm f=1i 1\n\r\n0\r\n A: b\r\n\r\n",
        "9\r\nm f=1i 1\n\r\n0\r\nGET / HTTP/1.1\r\n\r\n",
    ] {
        refused(address, &[post(head, body), SMUGGLED.into()].concat(), 400);
    }
    let extension = format!("9;{}\r\nm f=1i 1\n\r\n0\r\n\r\n{SMUGGLED}", "x".repeat(64 << 10));
    refused(address, &post(head, &extension), 400);
    let trailers = format!("0\r\n{}\r\n{SMUGGLED}", "A: b\r\n".repeat(10_000));
    refused(address, &post(head, &trailers), 400);
    // Without its end it is never answered as a request.
    let mut unfinished = connect(address);
    unfinished.write_all(&post(head, "9\r\nm f=1i 1\n\r\n0\r\n")).expect("sent");
    unfinished.shutdown(Shutdown::Write).expect("shut down");
    let mut said = Vec::new();
    let _ = unfinished.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP/1.1 2"), "{}", said.escape_ascii());
}

#[test]
fn e6_e8_bytes_that_are_no_head() {
    let gateway = gateway("");
    let address = gateway.address();
    let ping = |line: &str| format!("GET /v1/ping HTTP/1.1\r\nHost: gateway\r\n{line}\r\n{SMUGGLED}");
    for line in [
        "A: b\n",
        "A: b\rc\r\n",
        "A: b\0\r\n",
        "A : b\r\n",
        "A: b\r\n c\r\n",
        ": b\r\n",
        "A(: b\r\n",
        "A\r\n",
        "\tA: b\r\n",
        "Host: other\r\n",
    ] {
        refused(address, ping(line).as_bytes(), 400);
    }
    for (head, status) in [
        ("GET /v1/ping HTTP/1.1\r\n\r\n", 400),
        ("GET /v1/ping HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET /v1/ping HTTP/1.1\nHost: gateway\n\n", 400),
        ("GET /v1/ping HTTP/1.2\r\nHost: gateway\r\n\r\n", 505),
        ("GET /v1/ping\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET v1/ping HTTP/1.1\r\nHost: gateway\r\n\r\n", 400),
        ("GET /%zz HTTP/1.1\r\nHost: gateway\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: gateway\r\n\r\n", 400),
        ("CONNECT gateway:80 HTTP/1.1\r\nHost: gateway\r\n\r\n", 501),
        ("\x16\x03\x01\x02", 400),
    ] {
        refused(address, format!("{head}{SMUGGLED}").as_bytes(), status);
    }
    let absolute = "GET http://elsewhere/v1/ping HTTP/1.1\r\nHost: gateway\r\n\r\n";
    let said = converse(&mut connect(address), absolute.as_bytes(), 1);
    assert_eq!(said[0].status, 200);
    let escaped = "GET /v1/%70ing HTTP/1.1\r\nHost: gateway\r\n\r\n";
    let said = converse(&mut connect(address), escaped.as_bytes(), 1);
    assert_eq!(said[0].status, 200);
}

#[test]
fn e9_requests_cut_at_every_byte_are_answered_as_whole_ones() {
    let gateway = gateway("");
    let mut stream = connect(gateway.address());
    let chunked = post("Transfer-Encoding: chunked\r\n", "9;x\r\nm f=1i 1\n\r\n0\r\nA: b\r\n\r\n");
    for request in [post_point(), chunked] {
        for cut in 1..request.len() {
            stream.write_all(&request[..cut]).expect("sent");
            thread::sleep(Duration::from_millis(1));
            let said = converse(&mut stream, &request[cut..], 1);
            assert_eq!(said[0].status, 200, "cut at {cut}");
        }
        for byte in &request[..request.len() - 1] {
            stream.write_all(&[*byte]).expect("sent");
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(converse(&mut stream, &request[request.len() - 1..], 1)[0].status, 200);
        // A long gap, well within the deadline.
        stream.write_all(&request[..20]).expect("sent");
        thread::sleep(Duration::from_secs(2));
        assert_eq!(converse(&mut stream, &request[20..], 1)[0].status, 200);
    }
}

#[test]
fn e10_the_rest_of_a_refused_body_is_not_a_request() {
    let gateway = gateway("body_max = \"64KiB\"");
    let address = gateway.address();
    let filler = SMUGGLED.repeat(100);
    // Announced too long: refused at once, whatever follows.
    let input = post("Content-Length: 1000000\r\n", &filler);
    refused(address, &input, 413);
    // So with chunks, at the size that passes the bound, in the first chunk or later.
    let input = post("Transfer-Encoding: chunked\r\n", &format!("100000\r\n{filler}"));
    refused(address, &input, 413);
    let first = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    let input = post("Transfer-Encoding: chunked\r\n", &format!("{first}{first}1\r\n{filler}"));
    refused(address, &input, 413);
    // A client that sends all of a long body before it reads still gets the answer.
    let mut stream = connect(address);
    let long = post(&format!("Content-Length: {}\r\n", 512 << 10), &"x".repeat(512 << 10));
    stream.write_all(&long).expect("taken, if not read");
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("an orderly end");
    assert_eq!(answers(&said, false)[0].status, 413);
    // One byte less than too long is taken (and is not line protocol).
    let most = post(&format!("Content-Length: {}\r\n", 64 << 10), &"x".repeat(64 << 10));
    let said = converse(&mut connect(address), &most, 1);
    assert_eq!(said[0].status, 400, "{said:?}");
    assert!(!said[0].head.contains("Connection: close"), "{said:?}");
}

#[test]
fn e11_continue_is_said_once_and_other_expectations_are_refused() {
    let gateway = gateway("body_max = \"64KiB\"");
    let address = gateway.address();
    let length = format!("Content-Length: {}\r\nExpect: 100-continue\r\n", POINT.len());
    let mut stream = connect(address);
    for _ in 0..2 {
        let said = converse(&mut stream, &post(&length, ""), 1);
        assert_eq!(said[0].status, 100);
        // Cut, so that a second look at the head would show as a second 100.
        stream.write_all(&POINT.as_bytes()[..3]).expect("sent");
        thread::sleep(Duration::from_millis(20));
        let said = converse(&mut stream, &POINT.as_bytes()[3..], 1);
        assert_eq!(said[0].status, 200);
    }
    let chunked = "Transfer-Encoding: chunked\r\nExpect: 100-Continue\r\n";
    assert_eq!(converse(&mut stream, &post(chunked, ""), 1)[0].status, 100);
    assert_eq!(converse(&mut stream, b"9\r\nm f=1i 1\n\r\n0\r\n\r\n", 1)[0].status, 200);
    // A body that comes unasked needs no 100.
    let said = converse(&mut stream, &[post(&length, POINT), SMUGGLED.into()].concat(), 2);
    assert_eq!([said[0].status, said[1].status], [200, 200]);
    // What is refused is refused without it.
    refused(address, &post("Content-Length: 1000000\r\nExpect: 100-continue\r\n", ""), 413);
    let body = format!("{POINT}{SMUGGLED}");
    refused(address, &post("Content-Length: 9\r\nExpect: 200-ok\r\n", &body), 417);
}

#[test]
fn e12_heads_are_bounded() {
    let gateway = gateway("");
    let address = gateway.address();
    let get = |target: &str, lines: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: gateway\r\n{lines}\r\n{SMUGGLED}").into_bytes()
    };
    refused(address, &get("/v1/ping", &"A: b\r\n".repeat(100)), 431);
    refused(address, &get("/v1/ping", &format!("A: {}\r\n", "b".repeat(64 << 10))), 431);
    refused(address, &get(&format!("/{}", "a".repeat(8 << 10)), ""), 414);
    refused(address, &get(&format!("/v1/ping?{}", "a=1&".repeat(10_000)), ""), 414);
    // Told while it is still being sent.
    refused(address, format!("GET /{}", "a".repeat(64 << 10)).as_bytes(), 414);
    refused(address, "\r\n".repeat(1000).as_bytes(), 400);
    // And what is within is served.
    let full = get("/v1/ping", &"A: b\r\n".repeat(60));
    let said = converse(&mut connect(address), &full, 2);
    assert_eq!([said[0].status, said[1].status], [200, 200]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let gateway = gateway("");
    let mut stream = connect(gateway.address());
    let mut input = Vec::new();
    let mut expected = Vec::new();
    for round in 0..300 {
        match round % 4 {
            0 => input.extend_from_slice(SMUGGLED.as_bytes()),
            1 => input.extend_from_slice(&post_point()),
            2 => input.extend_from_slice(&post("Content-Length: 3\r\n", "bad")),
            _ => input.extend_from_slice(b"OPTIONS /v1/write/metric HTTP/1.1\r\nHost: gateway\r\n\r\n"),
        }
        expected.push([200, 200, 400, 204][round % 4]);
    }
    let said = converse(&mut stream, &input, expected.len());
    let statuses: Vec<u16> = said.iter().map(|said| said.status).collect();
    assert_eq!(statuses, expected);
    // `Connection: close` in the middle ends it there.
    let close = "GET /v1/ping HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n";
    let said = said_before_closing(gateway.address(), [SMUGGLED, close, SMUGGLED].concat().as_bytes());
    assert_eq!(answers(&said, false).len(), 2);
}

#[test]
fn versions_and_methods() {
    let gateway = gateway("");
    let address = gateway.address();
    // 1.0 ends with its answer unless it asks for more, and is told that it gets it.
    let said = answers(&said_before_closing(address, b"GET /v1/ping HTTP/1.0\r\n\r\n"), false);
    assert_eq!((said.len(), said[0].status), (1, 200));
    let mut stream = connect(address);
    for _ in 0..2 {
        let said = converse(&mut stream, b"GET /v1/ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 1);
        assert!(said[0].head.contains("\r\nConnection: keep-alive\r\n"), "{said:?}");
    }
    // HEAD: the head of an answer, and the next answer right behind it.
    let head = "HEAD /v1/ping HTTP/1.1\r\nHost: gateway\r\n\r\n";
    let last = "HEAD / HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n";
    let said = said_before_closing(address, format!("{head}{head}{last}").as_bytes());
    assert_eq!(answers(&said, true).len(), 3);
    let said = converse(&mut connect(address), b"OPTIONS /nowhere HTTP/1.1\r\nHost: gateway\r\n\r\n", 1);
    assert_eq!((said[0].status, said[0].body.len()), (204, 0));
    for method in ["TRACE", "PATCH", "BREW", "get"] {
        let request = format!("{method} /v1/ping HTTP/1.1\r\nHost: gateway\r\n\r\n");
        let said = converse(&mut connect(address), request.as_bytes(), 1);
        assert!(matches!(said[0].status, 404 | 405 | 501), "{method}: {said:?}");
    }
}

/// Until the gateway cuts this connection off; what it said, and how long that took.
fn cut_off(mut stream: TcpStream, mut feed: impl FnMut(&mut TcpStream)) -> (Vec<u8>, Duration) {
    let start = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    let mut said = Vec::new();
    let mut piece = [0; 4096];
    loop {
        assert!(start.elapsed() < PATIENCE, "not cut off; said {}", said.escape_ascii());
        match stream.read(&mut piece) {
            Ok(0) => return (said, start.elapsed()),
            Ok(read) => said.extend_from_slice(&piece[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                feed(&mut stream)
            }
            Err(_) => return (said, start.elapsed()),
        }
    }
}

#[test]
fn slow_senders_are_cut_off_and_others_are_served() {
    let gateway = gateway("head_timeout = \"500ms\"\nbody_timeout = \"500ms\"\nidle_timeout = \"500ms\"");
    let address = gateway.address();
    let idle = |_: &mut TcpStream| {};
    let started = |input: &[u8]| {
        let mut stream = connect(address);
        stream.write_all(input).expect("sent");
        stream
    };
    let cut_off_with = |status: u16, (said, took): (Vec<u8>, Duration)| {
        let said = answers(&said, false);
        assert_eq!((said.len(), said[0].status), (1, status), "{said:?}");
        assert!(took >= Duration::from_millis(400), "cut off after {took:?}");
    };
    let timed_out = |cut| cut_off_with(408, cut);
    // Whose body is late is to keep it and come again: agents throw away what gets a 4xx.
    let late_body = |cut| cut_off_with(503, cut);
    timed_out(cut_off(started(b"GET /v1/ping HT"), idle));
    timed_out(cut_off(started(b"GET /v1/ping HTTP/1.1\r\nHost: gateway\r\n"), idle));
    // A byte now and then does not move the deadline of a head.
    let drip = |stream: &mut TcpStream| drop(stream.write_all(b"a"));
    timed_out(cut_off(started(b"GET /v1/ping HTTP/1.1\r\nHost: gateway\r\nA: "), drip));
    // Nor that of a body.
    late_body(cut_off(started(&post("Content-Length: 100000\r\n", "m f")), idle));
    late_body(cut_off(started(&post("Content-Length: 100000\r\n", "m f")), drip));
    let chunks = |stream: &mut TcpStream| drop(stream.write_all(b"1\r\na\r\n"));
    late_body(cut_off(started(&post("Transfer-Encoding: chunked\r\n", "1\r\nm\r\n")), idle));
    late_body(cut_off(started(&post("Transfer-Encoding: chunked\r\n", "1\r\nm\r\n")), chunks));
    // Between requests there is nothing to answer: it just ends.
    let (said, _) = cut_off(started(b""), idle);
    assert!(said.is_empty(), "{}", said.escape_ascii());
    let (said, _) = cut_off(started(SMUGGLED.as_bytes()), idle);
    assert_eq!(answers(&said, false).len(), 1);
    // Two hundred of them at once cost the others nothing.
    let slow: Vec<TcpStream> =
        (0..200).map(|_| started(b"POST /v1/write/metric HTTP/1.1\r\nHost: g")).collect();
    assert_eq!(converse(&mut connect(address), &post_point(), 1)[0].status, 200);
    for stream in slow {
        timed_out_or_closed(cut_off(stream, idle));
    }
    assert_eq!(converse(&mut connect(address), &post_point(), 1)[0].status, 200);
}

fn timed_out_or_closed((said, _): (Vec<u8>, Duration)) {
    assert!(answers(&said, false).iter().all(|said| said.status == 408));
}

#[test]
fn slow_readers_are_cut_off_and_others_are_served() {
    let gateway = gateway("write_timeout = \"500ms\"");
    let address = gateway.address();
    let mut stream = connect(address);
    stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    // Asks for pages and reads none, until the gateway has stopped reading too and then given up.
    let ask = b"GET /metrics HTTP/1.1\r\nHost: gateway\r\n\r\n".repeat(100);
    let mut asked = 0;
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "never cut off");
        match stream.write(&ask[asked..]) {
            Ok(written) => asked = (asked + written) % ask.len(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                // It has stopped reading from us, and from nobody else.
                assert_eq!(converse(&mut connect(address), &post_point(), 1)[0].status, 200);
            }
            // Reset, or closed.
            Err(_) => break,
        }
    }
    assert_eq!(converse(&mut connect(address), &post_point(), 1)[0].status, 200);
}
