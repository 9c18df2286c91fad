//! Line protocol: our reader on every instruction set, beside our plain reader, a naive one, and the
//! `influxdb-line-protocol` crate.
//!
//!     cargo bench --bench line_protocol [-- metrics | logs | short]
//!
//! The naive reader is what one writes without further thought: borrowed text, a `Vec` a point, the standard
//! library's numbers. It and the crate check less than we do and unescape nothing. All run over the same bodies of
//! about 64 KB, in turns; what is printed is the median over the rounds, in CPU time of the thread, so that other work
//! on the machine blurs the figures less.

use std::hint::black_box;
use std::time::Duration;

use kitgate::buf::{PADDING, Padded};
use kitgate::codec::line_protocol::{self, Kind, Tape};
use kitgate::simd::Level;

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
        corpus::metrics(6_000, 64 << 10),
        corpus::logs(2_000, 64 << 10),
        corpus::short(12_000, 64 << 10),
        Corpus { name: "metrics_2k", ..corpus::metrics(6_000, 2 << 10) },
    ];
    for corpus in corpora {
        if wanted.is_empty() || wanted.iter().any(|name| name == corpus.name) {
            run(&corpus);
        }
    }
}

/// A reader: reads every body once, returns something that depends on what it read.
type Reader<'a> = Box<dyn FnMut() -> u64 + 'a>;

fn run(corpus: &Corpus) {
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
    let texts: Vec<&str> = corpus.bodies.iter().map(|body| body.text.as_str()).collect();
    verify(corpus, &bodies, &texts);

    let bodies = &bodies;
    let mut readers: Vec<(String, Reader<'_>)> = Vec::new();
    for level in Level::available() {
        let mut tape = Tape::default();
        let read = move || {
            bodies
                .iter()
                .map(|&body| {
                    line_protocol::parse_on(level, body, &mut tape).expect("a good corpus");
                    sum(&tape)
                })
                .sum()
        };
        readers.push((format!("ours, {level:?}"), Box::new(read)));
    }
    let mut tape = Tape::default();
    let plain = move || {
        bodies
            .iter()
            .map(|&body| {
                line_protocol::parse_plain(body, &mut tape).expect("a good corpus");
                sum(&tape)
            })
            .sum()
    };
    readers.push(("ours, plain reader".into(), Box::new(plain)));
    let naive = texts.clone();
    readers.push((
        "naive".into(),
        Box::new(move || naive.iter().map(|text| naive::sum(&naive::parse(text))).sum()),
    ));
    readers.push((
        "influxdb-line-protocol".into(),
        Box::new(move || texts.iter().map(|text| crate_sum(text)).sum()),
    ));

    let mut times = vec![Vec::new(); readers.len()];
    for _ in 0..ROUNDS {
        for (times, (_, read)) in times.iter_mut().zip(&mut readers) {
            let start = cpu_time();
            let mut passes = 0u32;
            while cpu_time() - start < TURN {
                black_box(read());
                passes += 1;
            }
            times.push((cpu_time() - start).as_secs_f64() / f64::from(passes));
        }
    }
    let medians: Vec<f64> = times.into_iter().map(median).collect();
    let [.., naive, krate] = medians[..] else { unreachable!("BUG: two contenders at least") };

    let (bytes, points) = (corpus.bytes(), corpus.points());
    println!(
        "\n{}: {points} points, {:.0} bytes a point, {} bodies",
        corpus.name,
        bytes as f64 / points as f64,
        corpus.bodies.len()
    );
    println!("{:<26} {:>9} {:>8} {:>9} {:>9}", "", "ns/point", "GB/s", "x naive", "x crate");
    for ((name, _), seconds) in readers.iter().zip(&medians) {
        println!(
            "{name:<26} {:>9.1} {:>8.2} {:>9.2} {:>9.2}",
            seconds * 1e9 / points as f64,
            bytes as f64 / seconds / 1e9,
            naive / seconds,
            krate / seconds
        );
    }
}

/// What this thread has run so far.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Cheap, and different when points, key-values or times are.
fn sum(tape: &Tape) -> u64 {
    let last = tape.points.last().and_then(|point| point.time).unwrap_or(0);
    tape.points.len() as u64 * 1000 + tape.kvs.len() as u64 + last as u64 % 7
}

fn crate_sum(text: &str) -> u64 {
    let (mut points, mut kvs, mut last) = (0, 0, 0);
    for line in influxdb_line_protocol::parse_lines(text) {
        let line = line.expect("a good corpus");
        points += 1;
        kvs += line.series.tag_set.as_ref().map_or(0, |tags| tags.len()) + line.field_set.len();
        last = line.timestamp.unwrap_or(0);
    }
    points * 1000 + kvs as u64 + last as u64 % 7
}

/// Before anything is timed: all readers see the same, ours and the naive one number by number.
fn verify(corpus: &Corpus, bodies: &[Padded<'_>], texts: &[&str]) {
    let mut tape = Tape::default();
    for level in Level::available() {
        for (&body, text) in bodies.iter().zip(texts) {
            line_protocol::parse_on(level, body, &mut tape).expect("a good corpus");
            let naive = naive::parse(text);
            assert_eq!(sum(&tape), naive::sum(&naive), "{} {level:?}", corpus.name);
            assert_eq!(sum(&tape), crate_sum(text), "{} {level:?}", corpus.name);
            for (span, point) in tape.points.iter().zip(&naive) {
                assert_eq!(tape.name(&body, span), point.name.as_bytes());
                assert_eq!(span.time, Some(point.time));
                for (kv, (key, value)) in tape.kvs_of(span)[span.tags as usize..].iter().zip(&point.fields) {
                    assert_eq!(tape.key(&body, kv), key.as_bytes());
                    match value {
                        naive::Value::Int(value) => {
                            assert_eq!((kv.kind, kv.value as i64), (Kind::Int, *value))
                        }
                        naive::Value::Float(value) => {
                            assert_eq!((kv.kind, kv.value), (Kind::Float, value.to_bits()))
                        }
                        naive::Value::Str(value) => {
                            let value = value.replace("\\\"", "\"").replace("\\\\", "\\");
                            assert_eq!(tape.text(&body, kv), value.as_bytes());
                        }
                        naive::Value::Bool(value) => {
                            assert_eq!((kv.kind, kv.value), (Kind::Bool, u64::from(*value)))
                        }
                    }
                }
            }
        }
    }
}

/// The naive reader.
mod naive {
    pub enum Value<'a> {
        Str(&'a str),
        Int(i64),
        Float(f64),
        Bool(bool),
    }

    pub struct Point<'a> {
        pub name: &'a str,
        pub tags: Vec<(&'a str, &'a str)>,
        pub fields: Vec<(&'a str, Value<'a>)>,
        pub time: i64,
    }

    pub fn sum(points: &[Point<'_>]) -> u64 {
        let kvs: usize = points.iter().map(|point| point.tags.len() + point.fields.len()).sum();
        let last = points.last().map_or(0, |point| point.time);
        points.len() as u64 * 1000 + kvs as u64 + last as u64 % 7
    }

    /// Takes text up to one of `stops` that no backslash precedes.
    fn take<'a>(text: &'a str, at: &mut usize, stops: &[u8]) -> &'a str {
        let bytes = text.as_bytes();
        let start = *at;
        while *at < bytes.len() {
            match bytes[*at] {
                b'\\' => *at += 1,
                byte if stops.contains(&byte) => break,
                _ => {}
            }
            *at += 1;
        }
        &text[start..*at]
    }

    pub fn parse(text: &str) -> Vec<Point<'_>> {
        let bytes = text.as_bytes();
        let mut points = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let name = take(text, &mut at, b", ");
            let mut tags = Vec::new();
            while bytes[at] == b',' {
                at += 1;
                let key = take(text, &mut at, b"=");
                at += 1;
                tags.push((key, take(text, &mut at, b", ")));
            }
            let mut fields = Vec::new();
            loop {
                at += 1;
                let key = take(text, &mut at, b"=");
                at += 1;
                if bytes[at] == b'"' {
                    at += 1;
                    let value = take(text, &mut at, b"\"");
                    at += 1;
                    fields.push((key, Value::Str(value)));
                } else {
                    let value = take(text, &mut at, b", \n");
                    let value = match value.strip_suffix('i') {
                        Some(digits) => Value::Int(digits.parse().expect("an integer")),
                        None => match value.parse() {
                            Ok(value) => Value::Float(value),
                            Err(_) => Value::Bool(value.starts_with(['t', 'T'])),
                        },
                    };
                    fields.push((key, value));
                }
                if bytes[at] != b',' {
                    break;
                }
            }
            let mut time = 0;
            if bytes[at] == b' ' {
                at += 1;
                time = take(text, &mut at, b"\n").parse().expect("a time");
            }
            at += 1;
            points.push(Point { name, tags, fields, time });
        }
        points
    }
}
