//! The bodies every benchmark reads: seeded, generated at run time, the same bytes on every machine.
//!
//! Three kinds, after what agents send: `metrics` (telegraf-like: 3 to 6 tags, 4 to 10 numeric fields, a field keeps
//! its type, one tag value needs an escape), `logs` (a message of 300 to 800 bytes with escaped quotes and
//! backslashes, raw newlines and UTF-8) and `short` (3 tags, 2 integers). Timestamps are nanoseconds of 2023. They
//! test throughput, not correctness: nothing in them is malformed.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::fmt::Write as _;

/// The first timestamp; each point is a millisecond and three nanoseconds later.
const TIME_NS: u64 = 1_700_000_000_000_000_000;
const TIME_STEP_NS: u64 = 1_000_003;

const MEASUREMENTS: [&str; 10] =
    ["cpu", "mem", "disk", "diskio", "net", "system", "nginx", "redis", "postgresql", "docker_container"];
const TAG_KEYS: [&str; 8] = ["host", "region", "datacenter", "service", "env", "rack", "os", "team"];
const REGIONS: [&str; 5] = ["us-east-1", "us-west-2", "eu-central-1", "ap-northeast-1", "cn-north-1"];
const FIELD_KEYS: [&str; 16] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_iowait",
    "bytes_sent",
    "bytes_recv",
    "packets_sent",
    "packets_recv",
    "err_in",
    "err_out",
    "load1",
    "load5",
    "load15",
    "read_bytes",
    "write_bytes",
    "io_time",
];
const WORDS: [&str; 37] = [
    "connection",
    "reset",
    "by",
    "peer",
    "while",
    "reading",
    "response",
    "header",
    "from",
    "upstream",
    "client",
    "server",
    "request",
    "timeout",
    "retry",
    "worker",
    "accepted",
    "handler",
    "payload",
    "decoded",
    "queue",
    "flushed",
    "segment",
    "commit",
    "offset",
    "user",
    "session",
    "token",
    "expired",
    "refreshed",
    "cache",
    "miss",
    "hit",
    "evicted",
    "shard",
    "leader",
    "elected",
];

/// A body of a corpus: whole lines.
#[derive(Clone, Debug)]
pub struct Body {
    pub text: String,
    pub points: usize,
}

/// A corpus, cut into request bodies.
#[derive(Clone, Debug)]
pub struct Corpus {
    pub name: &'static str,
    pub bodies: Vec<Body>,
}

impl Corpus {
    pub fn bytes(&self) -> usize {
        self.bodies.iter().map(|body| body.text.len()).sum()
    }

    pub fn points(&self) -> usize {
        self.bodies.iter().map(|body| body.points).sum()
    }
}

/// `points` telegraf-like points in bodies of about `body_bytes`.
pub fn metrics(points: usize, body_bytes: usize) -> Corpus {
    cut("metrics", points, body_bytes, metric_point)
}

/// `points` log lines in bodies of about `body_bytes`.
pub fn logs(points: usize, body_bytes: usize) -> Corpus {
    cut("logs", points, body_bytes, log_point)
}

/// `points` of what a program sends that prints doubles as they are: 4 to 10 fields of 15 to 18 digits, a third of them
/// negative.
pub fn floats(points: usize, body_bytes: usize) -> Corpus {
    cut("floats", points, body_bytes, float_point)
}

/// `points` short points in bodies of about `body_bytes`.
pub fn short(points: usize, body_bytes: usize) -> Corpus {
    cut("short", points, body_bytes, short_point)
}

fn cut(name: &'static str, points: usize, body_bytes: usize, point: fn(&mut Rng, &mut String)) -> Corpus {
    let mut rng = Rng(0x2024_0601_9e37_79b9);
    let mut bodies = Vec::new();
    let mut body = Body { text: String::new(), points: 0 };
    for i in 0..points {
        point(&mut rng, &mut body.text);
        let _ = writeln!(body.text, " {}", TIME_NS + i as u64 * TIME_STEP_NS);
        body.points += 1;
        if body.text.len() >= body_bytes {
            bodies.push(std::mem::replace(&mut body, Body { text: String::new(), points: 0 }));
        }
    }
    if body.points > 0 {
        bodies.push(body);
    }
    Corpus { name, bodies }
}

fn metric_point(rng: &mut Rng, out: &mut String) {
    let count = rng.between(3, 6);
    let mut tags = rng.some(&TAG_KEYS, count);
    tags.sort_unstable();
    let count = rng.between(4, 10);
    let fields = rng.some(&FIELD_KEYS, count);
    let mut text = String::new();
    for (i, key) in fields.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(text, "{comma}{key}=");
        if key.starts_with("usage") || key.starts_with("load") {
            push_significant(&mut text, rng.unit() * 100.0);
        } else {
            let _ = write!(text, "{}i", 10f64.powf(rng.unit() * 9.0) as u64);
        }
    }
    let name = *rng.pick(&MEASUREMENTS);
    out.push_str(name);
    for key in tags {
        let _ = write!(out, ",{key}=");
        push_tag_value(rng, key, out);
    }
    let _ = write!(out, " {text}");
}

fn float_point(rng: &mut Rng, out: &mut String) {
    let _ = write!(out, "sensor,host=host_{},rack={} ", rng.between(0, 999), rng.between(0, 99));
    let count = rng.between(4, 10);
    for (i, key) in rng.some(&FIELD_KEYS, count).iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let sign = if rng.unit() < 0.33 { -1.0 } else { 1.0 };
        let _ = write!(out, "{comma}{key}={}", sign * rng.unit() * 1000.0);
    }
}

fn short_point(rng: &mut Rng, out: &mut String) {
    let _ = write!(
        out,
        "cpu,hostname=host_{},region={},rack={} usage_user={}i,usage_system={}i",
        rng.between(0, 999),
        rng.pick(&REGIONS),
        rng.between(0, 99),
        rng.between(0, 100),
        rng.between(0, 100),
    );
}

fn log_point(rng: &mut Rng, out: &mut String) {
    let wanted = rng.between(300, 800);
    let mut message = String::new();
    while message.len() < wanted {
        if !message.is_empty() {
            message.push(' ');
        }
        let word = *rng.pick(&WORDS);
        let x = rng.unit();
        let _ = match x {
            x if x < 0.04 => write!(message, "\"{word}\""),
            x if x < 0.06 => write!(message, "C:\\srv\\{word}"),
            x if x < 0.08 => {
                let (other, line) = (*rng.pick(&WORDS), rng.between(1, 999));
                write!(message, "\n\tat com.example.{word}({other}.java:{line})")
            }
            x if x < 0.10 => write!(message, "日志={word},"),
            x if x < 0.16 => write!(message, "key_{}={},", rng.between(0, 9), rng.between(0, 99999)),
            _ => write!(message, "{word}"),
        };
    }
    out.push_str("app_log,host=");
    push_tag_value(rng, "host", out);
    out.push_str(",service=");
    push_tag_value(rng, "service", out);
    let status = *rng.pick(&["info", "warning", "error"]);
    let message = message.replace('\\', "\\\\").replace('"', "\\\"");
    let _ = write!(out, ",status={status} message=\"{message}\",duration={}i", rng.between(1, 999_999));
}

fn push_tag_value(rng: &mut Rng, key: &str, out: &mut String) {
    let _ = match key {
        "host" => write!(out, "web-{:04}.example.internal", rng.between(0, 3999)),
        "region" => write!(out, "{}", rng.pick(&REGIONS)),
        "datacenter" => write!(out, "{}{}", rng.pick(&REGIONS), rng.pick(&['a', 'b', 'c'])),
        "service" => write!(out, "svc-{:02}", rng.between(0, 63)),
        "env" => write!(out, "{}", rng.pick(&["prod", "staging", "dev"])),
        "rack" => write!(out, "{}", rng.between(0, 99)),
        "os" => write!(out, "{}", rng.pick(&["Ubuntu\\ 22.04", "Debian12", "RHEL9"])),
        _ => write!(out, "{}", rng.pick(&["SF", "NYC", "LON", "CHI"])),
    };
}

/// Six significant digits without trailing zeros.
fn push_significant(out: &mut String, value: f64) {
    let before = if value < 1e-4 { -4 } else { value.log10().floor() as i32 };
    let text = format!("{value:.*}", (5 - before).max(0) as usize);
    out.push_str(if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text });
}

/// Xorshift64*.
struct Rng(u64);

impl Rng {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.unit() * (high - low + 1) as f64) as usize
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[(self.unit() * of.len() as f64) as usize]
    }

    fn some<'a>(&mut self, of: &[&'a str], count: usize) -> Vec<&'a str> {
        let mut of = of.to_vec();
        for i in 0..count {
            let j = i + (self.unit() * (of.len() - i) as f64) as usize;
            of.swap(i, j);
        }
        of.truncate(count);
        of
    }
}
