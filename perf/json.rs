//! JSON bodies to checked protobuf, beside line protocol for the same points and beside simd-json.
//!
//!     cargo bench --bench json [-- metrics | logs | floats]
//!
//! Every contender gets the same points in bodies of about 64 KB, then of 2 KB: as line protocol (both steps), as
//! simple JSON, as PB-JSON, and as both with the white space of Python's `json.dumps`. "general" is the gateway's own
//! path for what is unusual. "simd-json + walk" fills one tape over and over from a copy of the body (simd-json works
//! in place) and walks it as a converter would have to, but writes nothing: it adds up lengths and numbers. What is
//! printed is the median over the rounds and the median of each round's ratio to line protocol, which does not move
//! with the neighbours. `once <name>` runs one contender over its 64 KB bodies once and prints nothing: for callgrind.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use kitgate::buf::{PADDING, Padded};
use kitgate::codec::line_protocol::{self, Kind, Tape};
use kitgate::point::encode::{Encoder, JsonAt, Rules, Stretch};
use kitgate::point::{Batch, Category, Compat, GlobalTags, Precision, rules};
use simd_json::{Buffers, Node, StaticNode};

#[path = "corpus.rs"]
mod corpus;

use corpus::Corpus;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds; each contender runs for [`TURN`] in each.
const ROUNDS: usize = 11;
const TURN: Duration = Duration::from_millis(25);

const BODY_SIZES: [usize; 2] = [64 << 10, 2 << 10];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let (once, wanted) = match args.split_first() {
        Some((first, rest)) if first == "once" => (rest.first(), &[][..]),
        _ => (None, &args[..]),
    };
    let corpora = [
        (Category::Metric, corpus::metrics(6_000, usize::MAX)),
        (Category::Logging, corpus::logs(2_000, usize::MAX)),
        (Category::Metric, corpus::floats(6_000, usize::MAX)),
    ];
    for (category, corpus) in corpora {
        if once.is_some() && corpus.name != "metrics" {
            continue;
        }
        if wanted.is_empty() || wanted.iter().any(|name| name == corpus.name) {
            for size in BODY_SIZES {
                run(category, &corpus, size, once.map(String::as_str));
            }
        }
    }
}

/// The points of a corpus in every form.
struct Forms {
    line_protocol: Vec<String>,
    simple: Vec<String>,
    pb: Vec<String>,
    simple_spaced: Vec<String>,
    pb_spaced: Vec<String>,
}

impl Forms {
    fn of(corpus: &Corpus) -> Forms {
        let mut forms = Forms {
            line_protocol: Vec::new(),
            simple: Vec::new(),
            pb: Vec::new(),
            simple_spaced: Vec::new(),
            pb_spaced: Vec::new(),
        };
        for body in &corpus.bodies {
            let mut bytes = body.text.clone().into_bytes();
            let body = Padded::pad(&mut bytes);
            let mut tape = Tape::default();
            line_protocol::parse(body, &mut tape).expect("a good corpus");
            let starts = tape.points.iter().map(|point| point.name as usize).chain([body.len()]);
            let starts: Vec<usize> = starts.collect();
            for (point, line) in tape.points.iter().zip(starts.windows(2)) {
                let text = &body[line[0]..line[1]];
                forms.line_protocol.push(String::from_utf8(text.to_vec()).expect("a corpus of text"));
                let (simple, pb) = json(&body, &tape, point);
                forms.simple_spaced.push(spaced(&simple));
                forms.pb_spaced.push(spaced(&pb));
                forms.simple.push(simple);
                forms.pb.push(pb);
            }
        }
        forms
    }
}

/// A point as simple JSON and as PB-JSON (as Go's jsonpb writes it: integers as texts).
fn json(body: &[u8], tape: &Tape, point: &line_protocol::PointSpan) -> (String, String) {
    let text = |bytes: &[u8]| -> String {
        serde_json::to_string(std::str::from_utf8(bytes).expect("a corpus of text")).expect("a text")
    };
    let name = text(tape.name(body, point));
    let (mut tags, mut fields, mut list) = (String::new(), String::new(), String::new());
    for kv in tape.kvs_of(point) {
        let key = text(tape.key(body, kv));
        let (value, pb) = match kv.kind {
            Kind::Int => (format!("{}", kv.value as i64), format!("\"i\":\"{}\"", kv.value as i64)),
            Kind::Float => {
                let value = f64::from_bits(kv.value);
                (format!("{value}"), format!("\"f\":{value}"))
            }
            Kind::Tag => {
                let value = text(tape.text(body, kv));
                (value.clone(), format!("\"s\":{value},\"is_tag\":true"))
            }
            _ => {
                let value = text(tape.text(body, kv));
                (value.clone(), format!("\"s\":{value}"))
            }
        };
        let _ = write!(list, "{{\"key\":{key},{pb}}},");
        let map = if kv.kind == Kind::Tag { &mut tags } else { &mut fields };
        let _ = write!(map, "{key}:{value},");
    }
    for list in [&mut tags, &mut fields, &mut list] {
        list.pop();
    }
    let time = point.time.unwrap_or_default();
    (
        format!("{{\"measurement\":{name},\"tags\":{{{tags}}},\"fields\":{{{fields}}},\"time\":{time}}}"),
        format!("{{\"name\":{name},\"fields\":[{list}],\"time\":\"{time}\"}}"),
    )
}

/// With a space behind every colon and comma.
fn spaced(json: &str) -> String {
    let (mut out, mut in_text, mut escaped) = (String::new(), false, false);
    for character in json.chars() {
        out.push(character);
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_text = !in_text,
            ',' | ':' if !in_text => out.push(' '),
            _ => {}
        }
    }
    out
}

/// Points in bodies of about `size` bytes, with padding.
fn bodies(points: &[String], size: usize, [start, between, end]: [&str; 3]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    let mut body = String::from(start);
    for (index, point) in points.iter().enumerate() {
        body.push_str(point);
        if body.len() >= size || index + 1 == points.len() {
            body.push_str(end);
            let mut bytes = std::mem::replace(&mut body, String::from(start)).into_bytes();
            bytes.resize(bytes.len() + PADDING, 0);
            bodies.push(bytes);
        } else {
            body.push_str(between);
        }
    }
    bodies
}

fn padded(bytes: &[u8]) -> Padded<'_> {
    Padded::new(bytes, bytes.len() - PADDING).expect("padded by us")
}

/// Works through every body once, returns something that depends on the work.
type Contender<'a> = (&'static str, Box<dyn FnMut() -> u64 + 'a>);

fn run(category: Category, corpus: &Corpus, size: usize, once: Option<&str>) {
    let forms = Forms::of(corpus);
    let points = forms.simple.len();
    let lines = bodies(&forms.line_protocol, size, ["", "", ""]);
    let list = |points: &[String]| bodies(points, size, ["[", ",", "]"]);
    let json = [
        ("simple JSON", list(&forms.simple)),
        ("PB-JSON", list(&forms.pb)),
        ("simple JSON, spaced", list(&forms.simple_spaced)),
        ("PB-JSON, spaced", list(&forms.pb_spaced)),
    ];
    let host = GlobalTags::new([("host", "gateway-1")]).expect("one tag");
    let rules = Rules {
        category: rules(category, Compat::Documented),
        precision: Precision::Auto,
        now_ns: 1_800_000_000_000_000_000,
        added_tags: Some(&host),
        time_correction: false,
        hook: None,
    };

    let mut contenders: Vec<Contender<'_>> = Vec::new();
    let (mut tape, mut encoder, mut batch) =
        (Tape::default(), Encoder::default(), Batch::with_capacity(1 << 20));
    let lines = &lines;
    let both_steps = move || {
        let each = lines.iter().map(|body| {
            line_protocol::parse(padded(body), &mut tape).expect("a good corpus");
            batch.clear();
            encoder.encode(padded(body), &tape, &rules, &mut batch);
            batch.bytes.len() as u64
        });
        each.sum()
    };
    contenders.push(("line protocol", Box::new(both_steps)));
    for (name, bodies) in &json {
        let (mut encoder, mut batch) = (Encoder::default(), Batch::with_capacity(1 << 20));
        let fast = move || {
            let each = bodies.iter().map(|body| {
                batch.clear();
                let mut at = JsonAt::default();
                let warn = encoder.encode_json(padded(body), &mut at, Stretch::WHOLE, &rules, &mut batch);
                warn.expect("a good corpus");
                batch.bytes.len() as u64
            });
            each.sum()
        };
        contenders.push((name, Box::new(fast)));
    }
    for (name, (_, bodies)) in ["simple JSON, general", "PB-JSON, general"].into_iter().zip(&json) {
        let (mut encoder, mut batch) = (Encoder::default(), Batch::with_capacity(1 << 20));
        let general = move || {
            let each = bodies.iter().map(|body| {
                batch.clear();
                let mut at = JsonAt::default();
                let (stretch, body) = (Stretch::WHOLE, padded(body));
                let warn = encoder.encode_json_general(body, &mut at, stretch, &rules, &mut batch);
                warn.expect("a good corpus");
                batch.bytes.len() as u64
            });
            each.sum()
        };
        contenders.push((name, Box::new(general)));
    }
    let names = ["simple JSON, simd-json + walk", "PB-JSON, simd-json + walk"];
    for (name, (_, bodies)) in names.into_iter().zip(&json) {
        let mut buffers = Buffers::new(1 << 18);
        let mut spare = Some(simd_json::Tape::null());
        let mut copy = Vec::new();
        let walked = move || {
            let each = bodies.iter().map(|body| {
                copy.clear();
                copy.extend_from_slice(body);
                let len = body.len() - PADDING;
                let mut tape = spare.take().expect("put back").reset();
                simd_json::fill_tape_padded(&mut copy, len, &mut buffers, &mut tape).expect("a good corpus");
                let sum = walk(&tape.0);
                spare = Some(tape.reset());
                sum
            });
            each.sum()
        };
        contenders.push((name, Box::new(walked)));
    }
    match once {
        Some(name) => {
            for (contender, work) in &mut contenders {
                if *contender == name && size == BODY_SIZES[0] {
                    black_box(work());
                }
            }
        }
        None => race(corpus.name, size, points, contenders),
    }
}

/// Looks at every node of a body's tape that its points are made of.
fn walk(nodes: &[Node<'_>]) -> u64 {
    let Some(Node::Array { len: points, .. }) = nodes.first() else { unreachable!("a body is an array") };
    let (mut at, mut sum) = (1, 0);
    for _ in 0..*points {
        let Node::Object { len, .. } = nodes[at] else { unreachable!("an element is an object") };
        at += 1;
        for _ in 0..len {
            let member = text(&nodes[at]);
            at += 1;
            match (member, &nodes[at]) {
                ("measurement" | "name", node) => {
                    sum += weight(text(node));
                    at += 1;
                }
                ("tags" | "fields", Node::Object { len, .. }) => {
                    at += 1;
                    for _ in 0..*len {
                        sum += weight(text(&nodes[at])) + value(&nodes[at + 1]);
                        at += 2;
                    }
                }
                ("fields", Node::Array { len, .. }) => {
                    at += 1;
                    for _ in 0..*len {
                        let Node::Object { len, .. } = nodes[at] else {
                            unreachable!("a field is an object")
                        };
                        at += 1;
                        for _ in 0..len {
                            sum += match text(&nodes[at]) {
                                "key" | "s" => weight(text(&nodes[at + 1])),
                                "i" => text(&nodes[at + 1]).parse::<i64>().expect("an integer") as u64,
                                _ => value(&nodes[at + 1]),
                            };
                            at += 2;
                        }
                    }
                }
                ("time", Node::String(time)) => {
                    sum += time.parse::<i64>().expect("an integer") as u64;
                    at += 1;
                }
                (_, node) => {
                    sum += value(node);
                    at += 1;
                }
            }
        }
    }
    sum
}

fn text<'a>(node: &Node<'a>) -> &'a str {
    let Node::String(text) = node else { unreachable!("a text") };
    text
}

fn weight(text: &str) -> u64 {
    text.len() as u64 + u64::from(text.as_bytes().first().copied().unwrap_or_default())
}

fn value(node: &Node<'_>) -> u64 {
    match node {
        Node::String(text) => weight(text),
        Node::Static(StaticNode::I64(value)) => (*value as f64).to_bits(),
        Node::Static(StaticNode::U64(value)) => (*value as f64).to_bits(),
        Node::Static(StaticNode::F64(value)) => value.to_bits(),
        Node::Static(StaticNode::Bool(value)) => u64::from(*value),
        _ => unreachable!("no such value in a corpus"),
    }
}

/// The processor time of this thread: neighbours cost it less than they cost the clock on the wall.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn race(name: &str, size: usize, points: usize, mut contenders: Vec<Contender<'_>>) {
    println!("{name}, bodies of {} KB, {points} points", size >> 10);
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
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        (values[values.len() / 2], values[0])
    };
    for ((name, _), own) in contenders.iter().zip(&times) {
        let ratios = own.iter().zip(&times[0]).map(|(own, base)| own / base).collect();
        let ((typical, best), (ratio, _)) = (median(own.clone()), median(ratios));
        println!("  {name:<32} {typical:8.1} ns a point (best {best:.1})  x{ratio:.2}");
    }
}
