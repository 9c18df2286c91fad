//! Check and encode: from the tape to `PBPoints`, the fast path as it is used, beside the general one.
//!
//!     cargo bench --bench encode [-- metrics | logs | short]
//!
//! "parse" is the line protocol reader alone, "parse + encode" what a body costs on its way into the open block. "fed" adds
//! the global tag every gateway has, `host`, which the points of these corpora have themselves or lack. All run over the same
//! bodies of about 64 KB, in turns; what is printed is the median over the rounds.

use std::hint::black_box;
use std::time::Duration;

use kitgate::buf::{PADDING, Padded};
use kitgate::codec::line_protocol::{self, Tape};
use kitgate::point::encode::{Encoder, Rules};
use kitgate::point::{Batch, Category, Compat, GlobalTags, Precision, echo, rules};

#[path = "corpus.rs"]
mod corpus;

use corpus::Corpus;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds; each contender runs for [`TURN`] in each.
const ROUNDS: usize = 9;
const TURN: Duration = Duration::from_millis(60);

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

/// Works through every body once, returns something that depends on the work.
type Contender<'a> = (&'static str, Box<dyn FnMut() -> u64 + 'a>);

fn run(category: Category, corpus: &Corpus) {
    let padded: Vec<Vec<u8>> = corpus
        .bodies
        .iter()
        .map(|body| {
            let mut bytes = body.text.clone().into_bytes();
            bytes.resize(body.text.len() + PADDING, 0);
            bytes
        })
        .collect();
    let bodies: Vec<Padded<'_>> =
        padded.iter().filter_map(|bytes| Padded::new(bytes, bytes.len() - PADDING)).collect();
    let tapes: Vec<Tape> = bodies
        .iter()
        .map(|&body| {
            let mut tape = Tape::default();
            line_protocol::parse(body, &mut tape).expect("a good corpus");
            tape
        })
        .collect();
    let host = GlobalTags::new([("host", "gateway-1")]).expect("one tag");
    let bare = Rules {
        category: rules(category, Compat::Documented),
        precision: Precision::Auto,
        now_ns: 1_800_000_000_000_000_000,
        added_tags: None,
        time_correction: false,
        hook: None,
    };
    let fed = Rules { added_tags: Some(&host), ..bare };
    let encoded: Vec<Batch> = bodies
        .iter()
        .zip(&tapes)
        .map(|(&body, tape)| {
            let mut batch = Batch::default();
            Encoder::default().encode(body, tape, &fed, &mut batch);
            batch
        })
        .collect();

    let (bodies, tapes) = (&bodies, &tapes);
    let mut contenders: Vec<Contender<'_>> = Vec::new();
    for (name, rules) in [("encode", bare), ("encode, fed", fed)] {
        let (mut encoder, mut batch) = (Encoder::default(), Batch::with_capacity(1 << 20));
        let work = move || {
            let each = bodies.iter().zip(tapes).map(|(&body, tape)| {
                batch.clear();
                encoder.encode(body, tape, &rules, &mut batch);
                batch.bytes.len() as u64
            });
            each.sum()
        };
        contenders.push((name, Box::new(work)));
    }
    let (mut encoder, mut batch) = (Encoder::default(), Batch::with_capacity(1 << 20));
    let general = move || {
        let each = bodies.iter().zip(tapes).map(|(&body, tape)| {
            batch.clear();
            encoder.encode_general(body, tape, 0..tape.points.len(), &fed, &mut batch);
            batch.bytes.len() as u64
        });
        each.sum()
    };
    contenders.push(("general path, fed", Box::new(general)));
    let mut tape = Tape::default();
    let parse = move || {
        let each = bodies.iter().map(|&body| {
            line_protocol::parse(body, &mut tape).expect("a good corpus");
            tape.kvs.len() as u64
        });
        each.sum()
    };
    contenders.push(("parse", Box::new(parse)));
    let (mut tape, mut encoder, mut batch) =
        (Tape::default(), Encoder::default(), Batch::with_capacity(1 << 20));
    let both = move || {
        let each = bodies.iter().map(|&body| {
            line_protocol::parse(body, &mut tape).expect("a good corpus");
            batch.clear();
            encoder.encode(body, &tape, &fed, &mut batch);
            batch.bytes.len() as u64
        });
        each.sum()
    };
    contenders.push(("parse + encode, fed", Box::new(both)));
    let mut text = Vec::new();
    let lines = move || {
        let each = encoded.iter().map(|batch| {
            text.clear();
            echo::line_protocol(&batch.bytes, &mut text).expect("our own bytes");
            text.len() as u64
        });
        each.sum()
    };
    contenders.push(("back to line protocol", Box::new(lines)));
    race(corpus, contenders);
}

/// The processor time of this thread: neighbours cost it less than they cost the clock on the wall.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn race(corpus: &Corpus, mut contenders: Vec<Contender<'_>>) {
    println!(
        "{} ({} points, {} bytes a point)",
        corpus.name,
        corpus.points(),
        corpus.bytes() / corpus.points()
    );
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for ((_, work), times) in contenders.iter_mut().zip(&mut times) {
            let (start, mut passes) = (cpu_time(), 0);
            while cpu_time() - start < TURN {
                black_box(work());
                passes += 1;
            }
            times.push((cpu_time() - start).as_nanos() as f64 / (passes * corpus.points()) as f64);
        }
    }
    for ((name, _), mut times) in contenders.iter().zip(times) {
        times.sort_by(f64::total_cmp);
        println!("  {name:<24} {:8.1} ns a point (best {:.1})", times[times.len() / 2], times[0]);
    }
}
