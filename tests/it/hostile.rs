//! Bodies that are made to hurt: huge, deep, lying, or full of keys that collide. Each gets a clear answer, costs bounded
//! memory, and other connections do not notice.

use std::{
    fs,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::harness::{Gateway, http::Client};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const PROTOBUF: (&str, &str) = ("Content-Type", "application/protobuf; proto=com.guance.Point");

/// What a neighbour may wait for one small write while a body of 32 MiB is decoded. Decoding such a body takes a second
/// or more here, so a shard that does it in one go is found out; the rest is room for busy machines.
const NEIGHBOUR_P99: Duration = Duration::from_millis(800);

/// What the process may hold at its peak beyond what it holds at rest: the body, what it is decompressed, its points
/// encoded and compressed, and room for the allocator.
const PEAK_BYTES: u64 = 640 << 20;

/// One gateway at a time: each of these tests wants the machine to itself.
fn gateway() -> (MutexGuard<'static, ()>, Gateway) {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    (alone, Gateway::start("destination = \"blackhole\"", "[limits]\nbody_max = \"64MiB\"\n"))
}

/// The largest resident set of the process so far.
fn peak_bytes(gateway: &Gateway) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

/// Sends `body` and measures meanwhile, on another connection, how long small writes take; returns the status and their
/// 99th percentile.
fn with_a_neighbour(gateway: &Gateway, target: &str, header: (&str, &str), body: &[u8]) -> (u16, Duration) {
    let stop = Arc::new(AtomicBool::new(false));
    let address = gateway.address();
    let neighbour = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            let mut client = Client::connect(address);
            let mut took = Vec::new();
            while !stop.load(Ordering::Relaxed) || took.len() < 20 {
                let started = Instant::now();
                // Not synced: what is asked is whether the shard is there, not how quick the disk is.
                let target = "/v1/write/logging?ack=memory";
                let answer = client.request("POST", target, &[], b"small,a=b f=1i 1700000000");
                assert_eq!(answer.status, 200);
                took.push(started.elapsed());
                thread::sleep(Duration::from_millis(2));
            }
            took.sort();
            took[took.len() - 1 - took.len() / 100]
        })
    };
    let answer = Client::connect(address).request("POST", target, &[header], body);
    stop.store(true, Ordering::Relaxed);
    (answer.status, neighbour.join().expect("the neighbour's writes go well"))
}

/// `cpu,host=web f=1i 1` as an entry of a protobuf body.
fn protobuf_point() -> Vec<u8> {
    let fields: [&[u8]; 4] = [
        b"\x0a\x03cpu",
        b"\x12\x0d\x0a\x04host\x5a\x03web\x40\x01",
        b"\x12\x05\x0a\x01f\x10\x01",
        b"\x18\x01",
    ];
    let point = fields.concat();
    [&[0x0a, point.len() as u8], &point[..]].concat()
}

/// Bodies of 32 MiB in every format are taken whole, and a neighbour does not wait for them.
#[test]
fn bodies_of_32_mib_leave_others_alone() {
    const BYTES: usize = 32 << 20;
    let (_alone, gateway) = gateway();
    let line =
        b"cpu,host=web-0001,region=eu usage=12.5,count=12345i,text=\"some text\" 1700000000000000000\n";
    let simple = br#"{"measurement":"cpu","tags":{"host":"web-0001"},"fields":{"usage":12.5,"text":"some text"},"time":1700000000000000000},"#;
    let pbjson = br#"{"name":"cpu","fields":[{"key":"usage","f":12.5},{"key":"host","s":"web-0001","is_tag":true}],"time":"1700000000000000000"},"#;
    // Nothing the fast path takes: a nested array.
    let unusual =
        br#"{"measurement":"cpu","fields":{"a":[1,2,3],"b":null,"c":{"d":[]}},"time":1700000000000000000},"#;
    let point = protobuf_point();
    let array = |element: &[u8]| {
        let mut body = vec![b'['];
        body.extend(element.repeat(BYTES / element.len()));
        *body.last_mut().expect("not empty") = b']';
        body
    };
    let cases = [
        ("line protocol", ("A", "b"), line.repeat(BYTES / line.len()), line.len()),
        ("simple JSON", JSON, array(simple), simple.len()),
        ("PB-JSON", JSON, array(pbjson), pbjson.len()),
        ("unusual JSON", JSON, array(unusual), unusual.len()),
        ("protobuf", PROTOBUF, point.repeat(BYTES / point.len()), point.len()),
    ];
    let mut points = 0;
    for (name, header, body, element) in &cases {
        let (status, p99) = with_a_neighbour(&gateway, "/v1/write/tracing", *header, body);
        assert_eq!(status, 200, "{name}");
        assert!(p99 < NEIGHBOUR_P99, "{name}: {p99:?}");
        points += BYTES / element;
    }
    gateway.await_metric("kitgate_points_in_total{category=\"tracing\"}", points as f64);
    // A bad byte at the very end: the whole body is refused, which takes another reading of all of it.
    for (name, header, mut body, _) in cases {
        let last = body.len() - 1;
        body[last] = 0xff;
        let (status, p99) = with_a_neighbour(&gateway, "/v1/write/tracing", header, &body);
        assert_eq!(status, 400, "{name}");
        assert!(p99 < NEIGHBOUR_P99, "{name}, bad: {p99:?}");
    }
    gateway.await_metric("kitgate_points_in_total{category=\"tracing\"}", points as f64);
    assert!(peak_bytes(&gateway) < PEAK_BYTES, "{} bytes", peak_bytes(&gateway));
}

/// One point of 32 MiB cannot be cut into slices.
#[test]
fn one_point_of_32_mib_leaves_others_alone() {
    let (_alone, gateway) = gateway();
    let keys: String = (0..1_000_000).map(|n| format!(",k{n}=\"{:016}\"", n)).collect();
    let line = format!("m f=1i{keys} 1700000000");
    let (status, p99) = with_a_neighbour(&gateway, "/v1/write/tracing", ("A", "b"), line.as_bytes());
    assert_eq!(status, 200);
    assert!(p99 < NEIGHBOUR_P99, "{p99:?}");
    let text = "x".repeat(31 << 20);
    let json = format!("[{{\"measurement\":\"m\",\"fields\":{{\"text\":\"{text}\"}}}}]");
    let (status, p99) = with_a_neighbour(&gateway, "/v1/write/tracing", JSON, json.as_bytes());
    assert_eq!(status, 200);
    assert!(p99 < NEIGHBOUR_P99, "{p99:?}");
    gateway.await_metric("kitgate_points_in_total{category=\"tracing\"}", 2.0);
    assert!(peak_bytes(&gateway) < PEAK_BYTES, "{} bytes", peak_bytes(&gateway));
}

/// A million of the smallest points, in every format.
#[test]
fn a_million_points_in_a_body() {
    const POINTS: usize = 1_000_000;
    let (_alone, gateway) = gateway();
    let mut json = b"[".to_vec();
    json.extend(br#"{"fields":{"f":1}},"#.repeat(POINTS));
    *json.last_mut().expect("not empty") = b']';
    let mut empty = b"[".to_vec();
    empty.extend(b"{},".repeat(POINTS));
    *empty.last_mut().expect("not empty") = b']';
    let lines = b"m f=1i\n".repeat(POINTS);
    let packed = zstd::encode_all(&lines[..], 1).expect("compressed");
    let cases = [
        ("line protocol", ("A", "b"), lines),
        ("the same, compressed", ("Content-Encoding", "zstd"), packed),
        ("JSON", JSON, json),
        ("empty PB-JSON", JSON, empty),
        ("empty protobuf", PROTOBUF, b"\x0a\x00".repeat(POINTS)),
    ];
    for (index, (name, header, body)) in cases.into_iter().enumerate() {
        let (status, p99) = with_a_neighbour(&gateway, "/v1/write/network", header, &body);
        assert_eq!(status, 200, "{name}");
        assert!(p99 < NEIGHBOUR_P99, "{name}: {p99:?}");
        let sum = (POINTS * (index + 1)) as f64;
        gateway.await_metric("kitgate_points_in_total{category=\"network\"}", sum);
    }
    assert!(peak_bytes(&gateway) < PEAK_BYTES, "{} bytes", peak_bytes(&gateway));
}

/// Deep nesting needs no stack, wherever it stands, closed or not.
#[test]
fn json_a_hundred_thousand_deep() {
    let (_alone, gateway) = gateway();
    for depth in [100_000, 1_000_000] {
        for open in
            ["[", "{\"a\":", "[{\"fields\":{\"f\":[", "[{\"name\":\"m\",\"fields\":[{\"key\":\"k\",\"a\":"]
        {
            let mut body = open.repeat(depth);
            let answer = gateway.client().request("POST", "/v1/write/metric", &[JSON], body.as_bytes());
            assert_eq!(answer.status, 400, "{open}");
            assert!(answer.text().contains("datakit.invalidJsonPoint"), "{}", answer.text());
            let close: String = open
                .chars()
                .rev()
                .filter_map(|c| [('[', ']'), ('{', '}')].iter().find(|p| p.0 == c).map(|p| p.1))
                .collect();
            body.push('1');
            body.push_str(&close.repeat(depth));
            let answer = gateway.client().request("POST", "/v1/write/metric", &[JSON], body.as_bytes());
            assert_eq!(answer.status, 400, "{open}, closed");
        }
    }
    assert_eq!(gateway.post("/v1/write/metric", b"m f=1i").status, 200);
    assert!(peak_bytes(&gateway) < PEAK_BYTES, "{} bytes", peak_bytes(&gateway));
}

/// Lengths of 2^32 and beyond, claimed and not kept, in every place that has a length.
#[test]
fn claimed_lengths_are_not_believed() {
    let (_alone, gateway) = gateway();
    let at_rest = peak_bytes(&gateway);
    // 2^32, 2^63 - 1 and 2^64 - 1 as varints.
    let lengths: [&[u8]; 3] = [
        b"\x80\x80\x80\x80\x10",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ];
    for length in lengths {
        // Of a point, a name, a field, a key, an array.
        let frames: [&[u8]; 5] =
            [b"\x0a", b"\x0a\x0a\x0a", b"\x0a\x0a\x12", b"\x0a\x0a\x12\x05\x0a", b"\x0a\x0a\x12\x08\x3a"];
        for frame in frames {
            let body = [frame, length, b"abc"].concat();
            let answer = gateway.client().request("POST", "/v1/write/metric", &[PROTOBUF], &body);
            assert_eq!(answer.status, 400, "{body:?}");
            assert!(answer.text().contains("datakit.invalidProtobufPoint"), "{}", answer.text());
        }
    }
    // A zstd frame that says its content has 2^62 bytes, and one with a window of 2^41.
    let claims: [&[u8]; 2] = [
        b"\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x00\x00\x40\x01\x00\x00",
        b"\x28\xb5\x2f\xfd\x00\xf8\x01\x00\x00",
    ];
    for body in claims {
        let answer = gateway.client().request("POST", "/v1/write/metric?encoding=zstd", &[], body);
        assert!(matches!(answer.status, 400 | 413), "{answer:?}");
    }
    // Of the body itself, whole or in chunks.
    for (framing, status) in [
        ("Content-Length: 4294967296\r\n\r\n", 413),
        ("Content-Length: 18446744073709551615\r\n\r\n", 413),
        ("Content-Length: 18446744073709551616\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\n100000000\r\nabc", 413),
        ("Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc", 400),
    ] {
        let mut client = gateway.client();
        client.send(format!("POST /v1/write/metric HTTP/1.1\r\nHost: a\r\n{framing}").as_bytes());
        let answer = client.receive(false);
        assert!(matches!(answer.status, 400 | 413), "{framing}: {answer:?}, {status} expected");
    }
    assert_eq!(gateway.post("/v1/write/metric", b"m f=1i").status, 200);
    let grown = peak_bytes(&gateway) - at_rest;
    assert!(grown < 64 << 20, "{grown} bytes more");
}

/// A bomb of each encoding: 413, whatever is inside.
#[test]
fn bombs_are_refused_with_413() {
    let (_alone, gateway) = gateway();
    let at_rest = peak_bytes(&gateway);
    let zeros = vec![0; 256 << 20];
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &zeros).expect("compressed");
        encoder.finish().expect("compressed")
    };
    let deflate = {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &zeros).expect("compressed");
        encoder.finish().expect("compressed")
    };
    let packed = zstd::encode_all(&zeros[..], 1).expect("compressed");
    drop(zeros);
    for (encoding, bomb) in [("gzip", gzip), ("deflate", deflate), ("zstd", packed)] {
        let (status, p99) =
            with_a_neighbour(&gateway, "/v1/write/metric", ("Content-Encoding", encoding), &bomb);
        assert_eq!(status, 413, "{encoding}");
        assert!(p99 < NEIGHBOUR_P99, "{encoding}: {p99:?}");
    }
    let grown = peak_bytes(&gateway) - at_rest;
    assert!(grown < 480 << 20, "{grown} bytes more");
}

/// Two hundred thousand keys of one point, all alike in their first bytes and length, or all the same: no way that looks
/// through them once for each.
#[test]
fn keys_that_collide_cost_no_more_than_others() {
    const KEYS: usize = 200_000;
    let (_alone, gateway) = gateway();
    let fields = |key: &dyn Fn(usize) -> String| -> String {
        let fields: Vec<String> = (0..KEYS).map(|n| format!("\"{}\":{n}", key(n))).collect();
        format!("[{{\"measurement\":\"m\",\"fields\":{{{}}}}}]", fields.join(","))
    };
    let pb_fields = |key: &dyn Fn(usize) -> String| -> String {
        let fields: Vec<String> =
            (0..KEYS).map(|n| format!("{{\"key\":\"{}\",\"i\":{n}}}", key(n))).collect();
        format!("[{{\"name\":\"m\",\"fields\":[{}]}}]", fields.join(","))
    };
    let lines = |key: &dyn Fn(usize) -> String| -> String {
        let fields: Vec<String> = (0..KEYS).map(|n| format!("{}={n}i", key(n))).collect();
        format!("m {}", fields.join(","))
    };
    let alike = |n: usize| format!("aaaaaaaa{n:08}");
    let same = |_: usize| "same".to_owned();
    let protobuf = |key: &dyn Fn(usize) -> String| -> Vec<u8> {
        let mut point = b"\x0a\x01m".to_vec();
        for n in 0..KEYS {
            let key = key(n);
            point.extend([0x12, key.len() as u8 + 4, 0x0a, key.len() as u8]);
            point.extend(key.as_bytes());
            point.extend([0x10, 1]);
        }
        let mut body = vec![0x0a];
        let mut len = point.len();
        while len >= 0x80 {
            body.push(len as u8 | 0x80);
            len >>= 7;
        }
        body.push(len as u8);
        body.extend(point);
        body
    };
    for (name, key) in [("alike", &alike as &dyn Fn(usize) -> String), ("same", &same)] {
        for (format, header, body) in [
            ("line protocol", ("A", "b"), lines(key).into_bytes()),
            ("JSON", JSON, fields(key).into_bytes()),
            ("PB-JSON", JSON, pb_fields(key).into_bytes()),
            ("protobuf", PROTOBUF, protobuf(key)),
        ] {
            let started = Instant::now();
            let (status, p99) = with_a_neighbour(&gateway, "/v1/write/security", header, &body);
            assert_eq!(status, 200, "{format}, {name}");
            // A quadratic way would need minutes.
            assert!(started.elapsed() < Duration::from_secs(20), "{format}, {name}: {:?}", started.elapsed());
            assert!(p99 < NEIGHBOUR_P99, "{format}, {name}: {p99:?}");
        }
    }
    gateway.await_metric("kitgate_points_in_total{category=\"security\"}", 8.0);
}
