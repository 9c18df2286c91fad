//! The destination over real sockets: every mode, the control port, and the ledger from a line to a verdict.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::{Mode, Options, Upstream};
use crate::ledger::point::{self, Number};
use crate::ledger::sent::{Fate, Range};
use crate::ledger::{check, file};
use crate::shared::http;

/// One package on its own connection; its status, or none when the connection was refused or closed.
fn post(address: SocketAddr, id: &str, points: usize, body: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(400))).ok()?;
    write!(
        stream,
        "POST /v1/write/logging?token=t HTTP/1.1\r\nHost: x\r\nX-Pkg-Id: {id}\r\nX-Points: {points}\r\nContent-Type: \
         application/protobuf; proto=com.guance.Point\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .ok()?;
    // In two pieces: bodies do not come whole.
    let (a, b) = body.split_at(body.len() / 2);
    stream.write_all(a).ok()?;
    std::thread::sleep(Duration::from_millis(2));
    stream.write_all(b).ok()?;
    let mut answer = [0; 512];
    let count = stream.read(&mut answer).ok()?;
    http::response_head(&answer[..count]).ok()?.map(|head| head.status)
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn bytes(out: &mut Vec<u8>, field: u8, content: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// The ledger's own line of a point, as the protobuf that a gateway makes of it: the test's little gateway.
fn encode(number: Number) -> Vec<u8> {
    let mut line = String::new();
    point::write(&mut line, "logging", number, false);
    let line = line.trim_end();
    let (tags, rest) = line.split_once(' ').unwrap();
    let (fields, time) = rest.rsplit_once(' ').unwrap();
    let (numbers, note) = fields.split_once(",note=").unwrap();
    let mut out = Vec::new();
    bytes(&mut out, 1, point::MEASUREMENT.as_bytes());
    let key = |out: &mut Vec<u8>, name: &str, value: &dyn Fn(&mut Vec<u8>)| {
        let mut key = Vec::new();
        bytes(&mut key, 1, name.as_bytes());
        value(&mut key);
        bytes(out, 2, &key);
    };
    for tag in tags.split(',').skip(1) {
        let (name, text) = tag.split_once('=').unwrap();
        key(&mut out, name, &|key| {
            key.extend_from_slice(&[8 << 3, 1]);
            bytes(key, 11, text.as_bytes());
        });
    }
    for field in numbers.split(',') {
        let (name, text) = field.split_once('=').unwrap();
        key(&mut out, name, &|key| match text.strip_suffix('i') {
            Some(int) => {
                key.push(2 << 3);
                varint(key, int.parse::<i64>().unwrap() as u64);
            }
            None if text.starts_with(['t', 'f']) => {
                key.extend_from_slice(&[5 << 3, u8::from(text == "true")])
            }
            None => {
                key.push(4 << 3 | 1);
                key.extend_from_slice(&text.parse::<f64>().unwrap().to_le_bytes());
            }
        });
    }
    let note = note.trim_matches('"').replace("\\\"", "\"").replace("\\\\", "\\");
    key(&mut out, "note", &|key| bytes(key, 11, note.as_bytes()));
    out.push(3 << 3);
    varint(&mut out, time.parse::<i64>().unwrap() as u64);
    let mut whole = Vec::new();
    bytes(&mut whole, 1, &out);
    whole
}

/// A package of these points, two gzip members behind one another.
fn package(seqs: std::ops::Range<u32>) -> Vec<u8> {
    let gzip = |content: &[u8]| {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        e.write_all(content).unwrap();
        e.finish().unwrap()
    };
    let points: Vec<Vec<u8>> = seqs.map(|seq| encode(Number { run: 1, conn: 0, seq })).collect();
    let half = points.len() / 2;
    [gzip(&points[..half].concat()), gzip(&points[half..].concat())].concat()
}

fn mode(upstream: &Upstream, text: &str) {
    let target = format!("/control?mode={text}");
    assert_eq!(http::call(upstream.control(), "POST", &target).unwrap().0, 200);
    // The socket side looks at it every tick.
    std::thread::sleep(Duration::from_millis(50));
}

#[test]
fn modes_are_what_they_say() {
    let upstream = Upstream::start(&Options::local()).unwrap();
    let address = upstream.address();
    let deliveries = || upstream.shared().account().packages.iter().map(|p| p.deliveries).sum::<u32>();
    assert_eq!(post(address, "p0", 4, &package(0..4)), Some(204));
    assert_eq!(deliveries(), 1);
    mode(&upstream, "failing:503:1");
    assert_eq!(post(address, "p1", 4, &package(4..8)), Some(503));
    assert_eq!(deliveries(), 1);
    mode(&upstream, "forgetful:1");
    assert_eq!(post(address, "p1", 4, &package(4..8)), None);
    assert_eq!(deliveries(), 2);
    mode(&upstream, "slow:150");
    let begin = Instant::now();
    assert_eq!(post(address, "p1", 4, &package(4..8)), Some(204));
    assert!(begin.elapsed() >= Duration::from_millis(150));
    assert_eq!(deliveries(), 3);
    mode(&upstream, "silent");
    assert_eq!(post(address, "p2", 4, &package(8..12)), None);
    assert_eq!(deliveries(), 3);
    mode(&upstream, "absent");
    assert!(TcpStream::connect(address).is_err());
    mode(&upstream, "poisonous:n9:413");
    assert_eq!(post(address, "p2", 4, &package(8..12)), Some(413));
    assert_eq!(post(address, "p3", 2, &package(12..14)), Some(204));
    assert_eq!(deliveries(), 4);
    assert_eq!(upstream.shared().mode(), Mode::Poisonous { marker: "n9".into(), status: 413 });
    let account = upstream.shared().account();
    assert_eq!(
        (account.faults.sum(), account.ledger_points, account.points),
        (0, 10, 10),
        "{:?}",
        account.messages
    );
}

#[test]
fn the_ledger_from_a_line_to_a_verdict() {
    let upstream = Upstream::start(&Options::local()).unwrap();
    let address = upstream.address();
    post(address, "p0", 4, &package(0..4)).unwrap();
    post(address, "p0", 4, &package(0..4)).unwrap();
    post(address, "p1", 3, &package(4..7)).unwrap();
    let range = |first, count, fate| Range { run: 1, conn: 0, first, count, fate };
    let sent =
        [range(0, 5, Fate::Acknowledged), range(5, 2, Fate::Unknown), range(7, 2, Fate::RefusedForNow)];
    let fetch = || {
        let (status, body) = http::call(upstream.control(), "GET", "/ledger").unwrap();
        assert_eq!(status, 200);
        file::read_account(&body).unwrap()
    };
    let verdict = check::check(&sent, &fetch());
    assert!(verdict.holds(), "{verdict}");
    assert_eq!(
        (verdict.again_same_package, verdict.acknowledged_delivered, verdict.unknown_delivered),
        (4, 5, 2)
    );
    // The same points under another id, and one that nobody sent.
    post(address, "p2", 5, &package(4..9)).unwrap();
    post(address, "p3", 1, &package(9..10)).unwrap();
    let verdict = check::check(&sent, &fetch());
    assert!(!verdict.holds());
    assert_eq!((verdict.again_other_package, verdict.invented, verdict.refused_for_now_delivered), (3, 1, 2));
}

#[test]
fn discarding_counts_what_heads_say() {
    let upstream = Upstream::start(&Options { discard: true, ..Options::local() }).unwrap();
    for i in 0..3 {
        assert_eq!(post(upstream.address(), &format!("p{i}"), 40, &[7; 100_000]), Some(204));
    }
    let shared = upstream.shared();
    let read = |n: &std::sync::atomic::AtomicU64| n.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((read(&shared.requests), read(&shared.points)), (3, 120));
    assert!(read(&shared.bytes) >= 300_000);
    assert_eq!(shared.account().packages.len(), 0);
}
