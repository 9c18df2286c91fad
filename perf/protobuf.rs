//! Protobuf bodies: from the bytes of a request to the open block, beside line protocol with the same points.
//!
//!     cargo bench --bench protobuf [-- metrics | logs | short]
//!
//! The bodies hold the points of the line protocol bodies (about 64 KB each), written as Go's generated code writes
//! them: members by their numbers, the mark of a tag before its text. "fed" adds the global tag `host` to points that
//! lack it. All run over the same points in turns; what is printed is the median over the rounds, and its ratio to
//! line protocol.

use std::hint::black_box;
use std::time::Duration;

use kitgate::buf::{PADDING, Padded};
use kitgate::codec::line_protocol::{self, Tape};
use kitgate::point::encode::{Encoder, Rules, Stretch};
use kitgate::point::pb::{self, PbField, PbValue};
use kitgate::point::{Batch, Category, Compat, GlobalTags, Precision, rules, wire};

#[path = "corpus.rs"]
mod corpus;

use corpus::Corpus;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds; each contender runs for [`TURN`] in each.
const ROUNDS: usize = 15;
const TURN: Duration = Duration::from_millis(40);

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let corpora = [
        (Category::Metric, corpus::metrics(6_000, 64 << 10)),
        (Category::Logging, corpus::logs(2_000, 64 << 10)),
        (Category::Metric, corpus::short(12_000, 64 << 10)),
    ];
    for (category, corpus) in corpora {
        if wanted.is_empty() || wanted.iter().any(|name| name == corpus.name) {
            run(category, &corpus);
        }
    }
}

fn pad(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len() + PADDING, 0);
    bytes
}

fn padded(bytes: &[u8]) -> Padded<'_> {
    Padded::new(bytes, bytes.len() - PADDING).expect("padded")
}

/// The points of a line protocol body as Go sends them.
fn as_protobuf(body: Padded<'_>, rules: &Rules<'_>) -> Vec<u8> {
    let (mut tape, mut batch) = (Tape::default(), Batch::default());
    line_protocol::parse(body, &mut tape).expect("a good corpus");
    Encoder::default().encode(body, &tape, rules, &mut batch);
    let mut out = Vec::new();
    for point in pb::points(&batch.bytes) {
        let point = point.expect("our own bytes");
        wire::put_message(&mut out, wire::POINTS_POINT, |out| {
            wire::put_bytes(out, wire::POINT_NAME, point.name);
            for field in point.fields() {
                put_field(&field.expect("our own bytes"), out);
            }
            wire::put_uint(out, wire::POINT_TIME, point.time as u64);
        });
    }
    out
}

fn put_field(field: &PbField<'_>, out: &mut Vec<u8>) {
    wire::put_message(out, wire::POINT_FIELD, |out| {
        wire::put_bytes(out, wire::FIELD_KEY, field.key);
        if field.is_tag {
            wire::put_uint(out, wire::FIELD_IS_TAG, 1);
        }
        match field.value {
            PbValue::Int(value) => wire::put_uint(out, wire::FIELD_INT, value as u64),
            PbValue::Uint(value) => wire::put_uint(out, wire::FIELD_UINT, value),
            PbValue::Float(value) => wire::put_double(out, wire::FIELD_FLOAT, value.to_bits()),
            PbValue::Bool(value) => wire::put_uint(out, wire::FIELD_BOOL, u64::from(value)),
            PbValue::Bytes(value) => wire::put_bytes(out, wire::FIELD_BYTES, value),
            PbValue::Any(value) => wire::put_bytes(out, wire::FIELD_ANY, value),
            PbValue::Str(value) => wire::put_bytes(out, wire::FIELD_STR, value),
            PbValue::Nil => {}
        }
    });
}

/// Works through every body once, returns something that depends on the work.
type Contender<'a> = (&'static str, Box<dyn FnMut() -> u64 + 'a>);

fn run(category: Category, corpus: &Corpus) {
    let host = GlobalTags::new([("host", "gateway-1")]).expect("one tag");
    // The recorded rules of logging want a status; the corpus has one.
    let bare = Rules {
        category: rules(category, Compat::Documented),
        precision: Precision::Auto,
        now_ns: 1_800_000_000_000_000_000,
        added_tags: None,
        time_correction: false,
        hook: None,
    };
    let fed = Rules { added_tags: Some(&host), ..bare };
    let lines: Vec<Vec<u8>> = corpus.bodies.iter().map(|body| pad(body.text.clone().into_bytes())).collect();
    let bodies: Vec<Vec<u8>> = lines.iter().map(|text| pad(as_protobuf(padded(text), &bare))).collect();
    let (lines, bodies) = (&lines, &bodies);

    let mut contenders: Vec<Contender<'_>> = Vec::new();
    let (mut tape, mut encoder, mut batch) =
        (Tape::default(), Encoder::default(), Batch::with_capacity(1 << 20));
    let work = move || {
        let each = lines.iter().map(|text| {
            line_protocol::parse(padded(text), &mut tape).expect("a good corpus");
            batch.clear();
            encoder.encode(padded(text), &tape, &fed, &mut batch);
            batch.bytes.len() as u64
        });
        each.sum()
    };
    contenders.push(("line protocol, fed", Box::new(work)));
    for (name, rules) in [("protobuf", bare), ("protobuf, fed", fed)] {
        let (mut encoder, mut batch) = (Encoder::default(), Batch::with_capacity(1 << 20));
        let work = move || {
            let each = bodies.iter().map(|body| {
                batch.clear();
                encoder
                    .encode_protobuf(padded(body), &mut 0, Stretch::WHOLE, &rules, &mut batch)
                    .expect("a good corpus");
                batch.bytes.len() as u64
            });
            each.sum()
        };
        contenders.push((name, Box::new(work)));
    }
    let (mut encoder, mut batch) = (Encoder::default(), Batch::with_capacity(1 << 20));
    let plain = move || {
        let each = bodies.iter().map(|body| {
            batch.clear();
            encoder
                .encode_protobuf_plain(padded(body), &mut 0, Stretch::WHOLE, &fed, &mut batch)
                .expect("a good corpus");
            batch.bytes.len() as u64
        });
        each.sum()
    };
    contenders.push(("protobuf, plain way, fed", Box::new(plain)));
    let mut copy = Vec::with_capacity(1 << 20);
    let copied = move || {
        let each = bodies.iter().map(|body| {
            copy.clear();
            copy.extend_from_slice(body);
            black_box(&copy).len() as u64
        });
        each.sum()
    };
    contenders.push(("a copy of the body", Box::new(copied)));
    let bytes: usize = bodies.iter().map(|body| body.len() - PADDING).sum();
    println!(
        "{} ({} points, {} bytes a point as lines, {} as protobuf)",
        corpus.name,
        corpus.points(),
        corpus.bytes() / corpus.points(),
        bytes / corpus.points()
    );
    race(corpus.points(), contenders);
}

/// The processor time of this thread: neighbours cost it less than they cost the clock on the wall.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn race(points: usize, mut contenders: Vec<Contender<'_>>) {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for ((_, work), times) in contenders.iter_mut().zip(&mut times) {
            let (start, mut passes) = (cpu_time(), 0);
            while cpu_time() - start < TURN {
                black_box(work());
                passes += 1;
            }
            times.push((cpu_time() - start).as_nanos() as f64 / (passes * points) as f64);
        }
    }
    let mut first = None;
    for ((name, _), mut times) in contenders.iter().zip(times) {
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        let ratio = median / *first.get_or_insert(median);
        println!("  {name:<26} {median:8.1} ns a point (best {:.1}), {ratio:.2} of line protocol", times[0]);
    }
}
