//! Datadog traces, msgpack v0.4, beside line protocol with the same points.
//!
//!     cargo bench --profile max --bench traces [-- node | python | web] [--once]
//!
//! Recorded bodies of dd-trace for Node and ddtrace for Python, and spans made after a web application's, are put
//! together to bodies of about 32 KB. What they become is written as line protocol, so that both ways give the same
//! points, byte for byte as long: that is checked before anything is measured. "plain" are points of the same size
//! and keys whose `message` has nothing to unescape, which is the cheapest that line protocol can be. Each way is a
//! request from its body to encoded points in a block, as a shard runs it: the head is parsed once, before.
//!
//! All run over the same bodies, in turns, in processor time of the thread; what is printed is the median over the
//! rounds. `--once` runs each way a fixed number of times, for `valgrind --tool=callgrind --toggle-collect=…`.

use std::hint::black_box;
use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kitgate::buf::{PADDING, Padded};
use kitgate::http1::{self, HeadLimits, HeadOutcome, HeaderSlots};
use kitgate::intake::convert::{self, ConvertPlan, Reach};
use kitgate::intake::datakit::write::{self, Decoded, WritePlan};
use kitgate::intake::{self, Action, Clock, Options, Peer, Settings};
use kitgate::point::{Batch, GlobalTags, echo};
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW_NS: i64 = 1_800_000_000_000_000_000;
const BODY_BYTES: usize = 32 << 10;
const BODIES: usize = 16;

/// Rounds; each way runs for [`TURN`] in each.
const ROUNDS: usize = 15;
const TURN: Duration = Duration::from_millis(60);

/// Passes over all bodies of a way with `--once`.
const ONCE: usize = 20;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let wanted: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let once = args.iter().any(|arg| arg == "--once");
    for (name, traces) in
        [("node", recorded("dd-trace-js-5.132.0")), ("python", recorded("ddtrace-py-4.16.0")), ("web", web())]
    {
        if wanted.is_empty() || wanted.iter().any(|it| *it == name) {
            run(name, &traces, once);
        }
    }
}

/// Traces of a body: what is behind the length of its array.
fn traces_of(body: &[u8]) -> (usize, &[u8]) {
    match body {
        [first @ 0x90..=0x9f, rest @ ..] => (usize::from(first & 0x0f), rest),
        [0xdc, a, b, rest @ ..] => (usize::from(u16::from_be_bytes([*a, *b])), rest),
        [0xdd, a, b, c, d, rest @ ..] => (u32::from_be_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => panic!("a body of traces"),
    }
}

/// Runs of traces that a recorded client sent: how many, and their bytes.
fn recorded(client: &str) -> Vec<(usize, Vec<u8>)> {
    let path = format!("{}/tests/golden/captured/{client}.jsonl.zst", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut text = String::new();
    zstd::Decoder::new(file).and_then(|mut file| file.read_to_string(&mut text)).expect("a recording");
    let cases = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a case"));
    let bodies = cases.filter(|case| case["path"] == "/v0.4/traces").map(|case| {
        let body = STANDARD.decode(case["body_b64"].as_str().unwrap_or_default()).expect("base64");
        let (count, traces) = traces_of(&body);
        (count, traces.to_vec())
    });
    bodies.collect()
}

/// Traces of eight spans, as a web application sends them: an entry, its framework, its database and a cache.
fn web() -> Vec<(usize, Vec<u8>)> {
    let mut id = 0x1234_5678_9abc_def0u64;
    let mut next = || {
        id = id.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        id >> 1
    };
    let kinds = [("web", "express.request"), ("custom", "express.middleware"), ("sql", "pg.query")];
    let mut traces = Vec::new();
    for trace in 0..64u64 {
        let (mut out, trace_id, root) = (vec![0x98], next(), next());
        for span in 0..8u64 {
            let (kind, name) = kinds[(span as usize).min(2)];
            let parent = if span == 0 { 0 } else { root };
            out.push(0x8c);
            pack_text("trace_id", &mut out);
            pack_int(trace_id, &mut out);
            pack_text("span_id", &mut out);
            pack_int(if span == 0 { root } else { next() }, &mut out);
            pack_text("parent_id", &mut out);
            pack_int(parent, &mut out);
            pack_text("name", &mut out);
            pack_text(name, &mut out);
            pack_text("resource", &mut out);
            pack_text(&format!("GET /api/v2/orders/{}/items", trace % 7), &mut out);
            pack_text("service", &mut out);
            pack_text("checkout-api", &mut out);
            pack_text("type", &mut out);
            pack_text(kind, &mut out);
            pack_text("error", &mut out);
            out.push(0);
            pack_text("start", &mut out);
            pack_int(1_799_999_990_000_000_000 + trace * 1_000_003 + span * 1_009, &mut out);
            pack_text("duration", &mut out);
            pack_int(1_000_000 + next() % 9_000_000, &mut out);
            pack_text("meta", &mut out);
            let meta = [
                ("_dd.p.tid", "6b02265d00000000"),
                ("runtime-id", "9a1c4c3a-3c55-4f0c-9ad2-7a1fbe4c0c7e"),
                ("language", "javascript"),
                ("env", "production"),
                ("version", "2024.11.3"),
                ("component", "express"),
                ("span.kind", "server"),
                ("http.method", "GET"),
                ("http.url", "http://shop.example.com/api/v2/orders/42/items?page=2"),
                ("http.status_code", "200"),
                ("http.route", "/api/v2/orders/:id/items"),
                (
                    "http.useragent",
                    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36",
                ),
                ("_dd.base_service", "checkout-api"),
                ("_dd.p.dm", "-1"),
            ];
            out.push(0x80 + meta.len() as u8);
            meta.iter().for_each(|(key, value)| {
                pack_text(key, &mut out);
                pack_text(value, &mut out);
            });
            pack_text("metrics", &mut out);
            let metrics = [
                ("_sampling_priority_v1", 1),
                ("_dd.measured", 1),
                ("process_id", 4711),
                ("_dd.top_level", 1),
            ];
            out.push(0x80 + metrics.len() as u8);
            metrics.iter().for_each(|(key, value)| {
                pack_text(key, &mut out);
                pack_int(*value, &mut out);
            });
        }
        traces.push((1, out));
    }
    traces
}

fn pack_text(text: &str, out: &mut Vec<u8>) {
    match text.len() {
        len @ 0..32 => out.push(0xa0 + len as u8),
        len => out.extend([0xd9, len as u8]),
    }
    out.extend_from_slice(text.as_bytes());
}

fn pack_int(value: u64, out: &mut Vec<u8>) {
    if value < 128 {
        out.push(value as u8);
    } else {
        out.push(0xcf);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Bodies of about [`BODY_BYTES`]: the traces over and over.
fn bodies(traces: &[(usize, Vec<u8>)]) -> Vec<Vec<u8>> {
    let mut rest = traces.iter().cycle();
    let body = || {
        let (mut count, mut bytes) = (0u32, Vec::new());
        while bytes.len() < BODY_BYTES {
            let (more, trace) = rest.next().expect("traces");
            count += *more as u32;
            bytes.extend_from_slice(trace);
        }
        let mut body = vec![0xdd];
        body.extend_from_slice(&count.to_be_bytes());
        body.extend(bytes);
        body
    };
    std::iter::repeat_with(body).take(BODIES).collect()
}

fn settings() -> Settings {
    let host_tags = GlobalTags::new([("host", "gateway-1")]).expect("one tag");
    Settings::new(Options {
        host_tags,
        time_correction: false,
        hostname: "gateway-1".to_owned(),
        ..Options::default()
    })
}

fn action(method: &str, target: &str, content_type: &str, settings: &Settings) -> Action {
    let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n\r\n");
    let mut slots = HeaderSlots::new();
    let parsed = http1::parse_head(head.as_bytes(), &mut slots, &HeadLimits::default()).expect("a good head");
    let HeadOutcome::Complete { head, .. } = parsed else { panic!("a whole head") };
    let clock = Clock { now_ns: NOW_NS, uptime: Duration::from_secs(5) };
    intake::route(&head, &Peer::Ip([10, 0, 0, 7].into()), &clock, settings)
}

/// Works through every body once, returns something that depends on the work.
type Way<'a> = (&'static str, Box<dyn FnMut() -> u64 + 'a>);

/// Bodies as a connection has them.
fn padded(bodies: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let pad = |body: &Vec<u8>| {
        let mut bytes = body.clone();
        bytes.resize(body.len() + PADDING, 0);
        bytes
    };
    bodies.iter().map(pad).collect()
}

fn body(bytes: &[u8]) -> Padded<'_> {
    Padded::new(bytes, bytes.len() - PADDING).expect("room behind it")
}

/// The way of msgpack.
struct Traces<'a> {
    settings: &'a Settings,
    plan: Box<ConvertPlan>,
    bodies: Vec<Vec<u8>>,
    scratch: convert::Scratch,
    block: Batch,
}

impl Traces<'_> {
    #[inline(never)]
    fn pass(&mut self) -> u64 {
        let mut bytes = 0;
        for at in 0..self.bodies.len() {
            bytes += self.one(at);
        }
        bytes
    }

    fn one(&mut self, at: usize) -> u64 {
        let done = convert::run(
            &self.plan,
            body(&self.bodies[at]),
            NOW_NS,
            self.settings,
            &mut self.scratch,
            Reach::WHOLE,
        );
        let Ok(Some((reply, converted))) = done else { panic!("a good body") };
        black_box(reply);
        self.block.clear();
        for (_, batch) in converted.batches {
            // As the shard does it.
            self.block.bytes.extend_from_slice(&batch.bytes);
            self.block.points += batch.points;
            self.scratch.reuse(batch);
        }
        self.block.bytes.len() as u64
    }
}

/// The way of line protocol.
struct Lines<'a> {
    settings: &'a Settings,
    plan: Box<WritePlan>,
    bodies: Vec<Vec<u8>>,
    scratch: write::Scratch,
    block: Batch,
}

impl Lines<'_> {
    #[inline(never)]
    fn pass(&mut self) -> u64 {
        let mut bytes = 0;
        for at in 0..self.bodies.len() {
            bytes += self.one(at);
        }
        bytes
    }

    fn one(&mut self, at: usize) -> u64 {
        self.block.clear();
        let body = body(&self.bodies[at]);
        let done = write::decode(&self.plan, body, NOW_NS, self.settings, &mut self.scratch, &mut self.block);
        let Ok(Decoded::Written(written)) = done else { panic!("a good body") };
        black_box(self.plan.reply(written));
        self.block.bytes.len() as u64
    }
}

/// The same lines with a message of as many letters: nothing in it is to be unescaped, and it encodes to as many bytes.
fn plain(lines: &str) -> String {
    const KEY: &str = "message=\"";
    let mut out = String::new();
    let mut rest = lines;
    while let Some(at) = rest.find(KEY) {
        let (before, message) = rest.split_at(at + KEY.len());
        out.push_str(before);
        let (mut len, mut end, mut escaped) = (0, message.len(), false);
        for (at, byte) in message.bytes().enumerate() {
            match byte {
                b'\\' if !escaped => escaped = true,
                b'"' if !escaped => {
                    end = at;
                    break;
                }
                _ => {
                    escaped = false;
                    len += 1;
                }
            }
        }
        out.extend(std::iter::repeat_n('m', len));
        rest = &message[end..];
    }
    out.push_str(rest);
    out
}

fn run(name: &str, traces: &[(usize, Vec<u8>)], once: bool) {
    let settings = &settings();
    let Action::Convert(plan) = action("PUT", "/v0.4/traces", "application/msgpack", settings) else {
        panic!("a plan")
    };
    let mut spans = Traces {
        settings,
        plan,
        bodies: padded(&bodies(traces)),
        scratch: convert::Scratch::default(),
        block: Batch::with_capacity(1 << 20),
    };
    let (mut points, mut encoded, mut texts) = (0, 0, Vec::new());
    for at in 0..spans.bodies.len() {
        encoded += spans.one(at);
        points += u64::from(spans.block.points);
        let mut text = Vec::new();
        echo::line_protocol(&spans.block.bytes, &mut text).expect("our own points");
        texts.push(text);
    }
    let lines = |bodies: &[Vec<u8>]| {
        let Action::Write(plan) = action("POST", "/v1/write/tracing?precision=n", "text/plain", settings)
        else {
            panic!("a plan")
        };
        Lines {
            settings,
            plan,
            bodies: padded(bodies),
            scratch: write::Scratch::default(),
            block: Batch::with_capacity(1 << 20),
        }
    };
    let plain: Vec<Vec<u8>> =
        texts.iter().map(|text| plain(str::from_utf8(text).expect("text")).into_bytes()).collect();
    let (mut same, mut cheap) = (lines(&texts), lines(&plain));
    for (what, lines) in [("the same points", &mut same), ("plain points", &mut cheap)] {
        assert_eq!(lines.pass(), encoded, "{name}: {what} are of equal size");
    }

    let mut ways: [Way<'_>; 3] = [
        ("msgpack v0.4", Box::new(move || spans.pass())),
        ("line protocol, same points", Box::new(move || same.pass())),
        ("line protocol, plain", Box::new(move || cheap.pass())),
    ];
    println!("{name}: {points} spans, {} bytes a point encoded", encoded / points);
    if once {
        for (_, way) in &mut ways {
            (0..ONCE).for_each(|_| {
                black_box(way());
            });
        }
        println!("  {ONCE} passes of each way");
        return;
    }
    let mut times: [Vec<f64>; 3] = Default::default();
    for _ in 0..ROUNDS {
        for ((_, way), times) in ways.iter_mut().zip(&mut times) {
            let (start, mut passes) = (cpu_time(), 0u64);
            while cpu_time() - start < TURN {
                black_box(way());
                passes += 1;
            }
            times.push((cpu_time() - start).as_nanos() as f64 / (passes * points) as f64);
        }
    }
    let first = times[0].clone();
    for ((way, _), times) in ways.iter().zip(&times) {
        // Of each round by itself: what disturbs one way mostly disturbs the next.
        let ratio = median(first.iter().zip(times).map(|(first, time)| first / time).collect());
        let (median, best) = (median(times.clone()), times.iter().copied().fold(f64::INFINITY, f64::min));
        println!("  {way:<28} {median:8.1} ns a point (best {best:.1}); msgpack takes {ratio:.2} of it");
    }
}

/// The processor time of this thread: neighbours cost it less than they cost the clock on the wall.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
