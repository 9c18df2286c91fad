//! Pipeline scripts over log lines.
//!
//!     cargo bench --profile max --bench pipeline [-- nginx_grok_only | json_log | …] [--once]
//!
//! Each script of `data/pipeline` runs over the lines of its file, one point a line: the point is made of its line (field
//! `message`, category logging, status `info`), the script runs, and status and time are settled. The arena is emptied after
//! every point, as a shard does it. What is printed is the median over the rounds, in processor time of the thread, and what
//! the Go engine took for the same on one machine. Every script is checked to end without an error, and to find something.
//!
//! `--once` runs each script a fixed number of times, for `valgrind --tool=callgrind`.

use std::hint::black_box;
use std::time::Duration;

use bumpalo::Bump;
use kitgate::pipeline::{
    category::Category,
    post::{self, StatusOptions},
    record::{Kind, Record},
    set::ScriptSet,
    value::Value,
    vm::Host,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds; each script runs for [`TURN`] in each.
const ROUNDS: usize = 15;
const TURN: Duration = Duration::from_millis(60);
/// Passes over all lines with `--once`.
const ONCE: usize = 5;

const TIME_NS: i64 = 1_800_000_000_000_000_000;

/// A script, its lines, a key that it writes, and what the Go engine takes for a point where that was measured.
struct Case {
    name: &'static str,
    script: &'static str,
    lines: &'static [u8],
    written: &'static [u8],
    go_ns: Option<f64>,
}

macro_rules! data {
    ($file:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/perf/data/pipeline/", $file)
    };
}

const NGINX_LINES: &[u8] = include_bytes!(data!("nginx_access.log.zst"));
const JSON_LINES: &[u8] = include_bytes!(data!("json_log.log.zst"));
const PLAIN_LINES: &[u8] = include_bytes!(data!("plain.log.zst"));

const CASES: [Case; 6] = [
    Case {
        name: "nginx_grok_only",
        script: include_str!(data!("nginx_grok_only.p")),
        lines: NGINX_LINES,
        written: b"ua_raw",
        go_ns: Some(21_290.0),
    },
    Case {
        name: "nginx_access",
        script: include_str!(data!("nginx_access.p")),
        lines: NGINX_LINES,
        written: b"browser",
        go_ns: None,
    },
    Case {
        name: "nginx_multi_grok",
        script: include_str!(data!("nginx_multi_grok.p")),
        lines: NGINX_LINES,
        written: b"code",
        go_ns: None,
    },
    Case {
        name: "json_log",
        script: include_str!(data!("json_log.p")),
        lines: JSON_LINES,
        written: b"trace_id",
        go_ns: Some(10_550.0),
    },
    Case {
        name: "json_fn",
        script: include_str!(data!("json_fn.p")),
        lines: JSON_LINES,
        written: b"trace_id",
        go_ns: Some(28_550.0),
    },
    Case {
        name: "ifelse_cast",
        script: include_str!(data!("ifelse_cast.p")),
        lines: PLAIN_LINES,
        written: b"total",
        go_ns: Some(6_240.0),
    },
];

struct Clock;

impl Host for Clock {
    fn now_ns(&self) -> i64 {
        TIME_NS
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let wanted: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let once = args.iter().any(|arg| arg == "--once");
    for case in &CASES {
        if wanted.is_empty() || wanted.iter().any(|name| *name == case.name) {
            run(case, once);
        }
    }
}

fn run(case: &Case, once: bool) {
    let text = zstd::decode_all(case.lines).expect("a file of ours");
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let set = ScriptSet::compile([("main.p", case.script)]);
    let at = set.find("main.p").expect("the script").expect("a good script");
    let status = StatusOptions::default();
    let mut arena = Bump::new();
    let mut pass = |check: bool| {
        let mut seen = 0;
        for &line in &lines {
            let mut record = Record::new(&arena, Category::Logging, b"bench", TIME_NS);
            record.push(b"message", Value::Str(line), Kind::Field, None);
            record.add_defaults();
            let mut outcome = set.run(at, record, &arena, &Clock);
            if outcome.error.is_none() {
                post::finish(&mut outcome.record, &status, &arena);
            }
            if check {
                assert!(outcome.error.is_none(), "{}: {:?}", case.name, outcome.error);
            }
            seen += usize::from(black_box(&outcome.record).get(case.written).is_some());
            drop(outcome);
            arena.reset();
        }
        seen
    };
    let seen = pass(true);
    assert!(seen * 2 > lines.len(), "{}: {seen} of {} lines", case.name, lines.len());
    if once {
        for _ in 0..ONCE {
            black_box(pass(false));
        }
        return;
    }
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (start, mut passes) = (cpu_time(), 0);
            while cpu_time() - start < TURN {
                black_box(pass(false));
                passes += 1;
            }
            (cpu_time() - start).as_nanos() as f64 / (passes * lines.len()) as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let (typical, best) = (times[times.len() / 2], times[0]);
    let ratio = case.go_ns.map_or(String::new(), |go| format!("  Go's engine x{:.1}", go / typical));
    println!("{:<18} {typical:8.1} ns a point (best {best:.1}){ratio}", case.name);
}

/// The processor time of this thread: neighbours cost it less than they cost the clock on the wall.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
