//! The benchmark corpora, generated: telegraf-like metrics, log messages, TSBS-like short points.
//!
//! A port of the project's `gen.py` (seed 20240601): the same draws from the same generator, so the same bytes. All
//! three are drawn from one stream in the order metrics, short, logs. They test throughput, not correctness: nothing
//! in them is malformed.

use std::fmt::Write as _;

use super::format::Format;
use super::mt19937::Mt19937;

/// The seed of the published corpora.
pub const SEED: u64 = 20_240_601;
/// Points of each corpus, as published.
pub const METRICS_COUNT: usize = 40_000;
const SHORT_COUNT: usize = 80_000;
const LOGS_COUNT: usize = 12_000;

const T0: i64 = 1_700_000_000_000_000_000;
const STEP_NS: i64 = 1_000_003;
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
const WORDS: &str = "connection reset by peer while reading response header from upstream client server request \
                     timeout retry worker accepted handler payload decoded queue flushed segment commit offset \
                     user session token expired refreshed cache miss hit evicted shard leader elected follower";

/// Which corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Corpus {
    /// 3 to 6 tags, 4 to 10 fields; 221 bytes a point.
    Metrics,
    /// One message of 300 to 800 bytes with escapes, newlines and UTF-8; 683 bytes a point.
    Logs,
    /// 3 tags, 2 integers; 100 bytes a point.
    Short,
}

/// A request body and the points in it.
#[derive(Clone, Debug)]
pub struct Body {
    /// In the format that was asked for (or what that was compressed to).
    pub bytes: Vec<u8>,
    /// Points in it.
    pub points: u32,
}

/// All points of a corpus in order, each without its newline.
pub fn points(corpus: Corpus) -> Vec<String> {
    generate(corpus, METRICS_COUNT, SHORT_COUNT, LOGS_COUNT)
}

fn generate(corpus: Corpus, metrics: usize, short: usize, logs: usize) -> Vec<String> {
    let mut draw = Draw(Mt19937::from_seed(SEED));
    let time = |i: usize| T0 + i as i64 * STEP_NS;
    let mut out: Vec<String> = (0..metrics).map(|i| metric_point(&mut draw, time(i))).collect();
    if corpus != Corpus::Metrics {
        out = (0..short).map(|i| short_point(&mut draw, time(i))).collect();
    }
    if corpus == Corpus::Logs {
        let words: Vec<&str> = WORDS.split_whitespace().collect();
        out = (0..logs).map(|i| log_point(&mut draw, &words, time(i))).collect();
    }
    out
}

/// Cuts a corpus into bodies: whole points until `bytes_min` is reached, at most `count_max` bodies.
pub fn bodies(corpus: Corpus, format: Format, bytes_min: usize, count_max: usize) -> Vec<Body> {
    let mut out = Vec::new();
    let mut open = Body { bytes: Vec::with_capacity(bytes_min + 4096), points: 0 };
    for point in points(corpus) {
        format.join(&mut open.bytes);
        format.write(&point, &mut open.bytes);
        open.points += 1;
        if open.bytes.len() >= bytes_min {
            format.end(&mut open.bytes);
            out.push(std::mem::replace(
                &mut open,
                Body { bytes: Vec::with_capacity(bytes_min + 4096), points: 0 },
            ));
            if out.len() >= count_max {
                return out;
            }
        }
    }
    out
}

/// Draws as `gen.py`'s class `R` does; the order of draws is part of the format.
struct Draw(Mt19937);

impl Draw {
    fn unit(&mut self) -> f64 {
        self.0.random()
    }

    fn int(&mut self, low: i64, high: i64) -> i64 {
        low + (self.unit() * (high - low + 1) as f64) as i64
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[(self.unit() * from.len() as f64) as usize]
    }

    fn some<'a>(&mut self, from: &[&'a str], count: usize) -> Vec<&'a str> {
        let mut all = from.to_vec();
        for j in 0..count {
            let m = j + (self.unit() * (all.len() - j) as f64) as usize;
            all.swap(j, m);
        }
        all.truncate(count);
        all
    }
}

fn tag_value(draw: &mut Draw, key: &str) -> String {
    match key {
        "host" => format!("web-{:04}.example.internal", draw.int(0, 3999)),
        "region" => draw.pick(&REGIONS).to_owned(),
        "datacenter" => {
            let region = draw.pick(&REGIONS);
            format!("{region}{}", draw.pick(&["a", "b", "c"]))
        }
        "service" => format!("svc-{:02}", draw.int(0, 63)),
        "env" => draw.pick(&["prod", "staging", "dev"]).to_owned(),
        "rack" => draw.int(0, 99).to_string(),
        "os" => draw.pick(&["Ubuntu\\ 22.04", "Debian12", "RHEL9"]).to_owned(),
        _ => draw.pick(&["SF", "NYC", "LON", "CHI"]).to_owned(),
    }
}

fn metric_point(draw: &mut Draw, time: i64) -> String {
    let tag_count = draw.int(3, 6) as usize;
    let mut tags = draw.some(&TAG_KEYS, tag_count);
    tags.sort_unstable();
    let field_count = draw.int(4, 10) as usize;
    let fields = draw.some(&FIELD_KEYS, field_count);
    let mut written = String::new();
    for (i, key) in fields.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let value = if key.starts_with("usage") || key.starts_with("load") {
            six_digits(draw.unit() * 100.0)
        } else {
            // The base is hidden from the optimiser: it would call exp10, whose last bit differs from pow's.
            format!("{}i", std::hint::black_box(10f64).powf(draw.unit() * 9.0) as i64)
        };
        let _ = write!(written, "{comma}{key}={value}");
    }
    let mut line = draw.pick(&MEASUREMENTS).to_owned();
    for key in tags {
        let value = tag_value(draw, key);
        let _ = write!(line, ",{key}={value}");
    }
    let _ = write!(line, " {written} {time}");
    line
}

fn short_point(draw: &mut Draw, time: i64) -> String {
    let host = draw.int(0, 999);
    let region = draw.pick(&REGIONS);
    let rack = draw.int(0, 99);
    let user = draw.int(0, 100);
    let system = draw.int(0, 100);
    format!(
        "cpu,hostname=host_{host},region={region},rack={rack} usage_user={user}i,usage_system={system}i {time}"
    )
}

fn log_point(draw: &mut Draw, words: &[&str], time: i64) -> String {
    let want = draw.int(300, 800) as usize;
    let mut message = String::new();
    let mut chars = 0; // Python counts characters, not bytes.
    while chars < want {
        let x = draw.unit();
        let word = if x < 0.04 {
            format!("\"{}\"", draw.pick(words))
        } else if x < 0.06 {
            format!("C:\\srv\\{}", draw.pick(words))
        } else if x < 0.08 {
            let (a, b) = (draw.pick(words), draw.pick(words));
            format!("\n\tat com.example.{a}({b}.java:{})", draw.int(1, 999))
        } else if x < 0.10 {
            format!("\u{65e5}\u{5fd7}={},", draw.pick(words))
        } else if x < 0.16 {
            let key = draw.int(0, 9);
            format!("key_{key}={},", draw.int(0, 99_999))
        } else {
            draw.pick(words).to_owned()
        };
        if chars > 0 {
            message.push(' ');
        }
        chars += word.chars().count() + 1;
        message.push_str(&word);
    }
    let host = tag_value(draw, "host");
    let service = tag_value(draw, "service");
    let status = draw.pick(&["info", "warning", "error"]);
    let duration = draw.int(1, 999_999);
    let message = message.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "app_log,host={host},service={service},status={status} message=\"{message}\",duration={duration}i {time}"
    )
}

/// C's `%.6g` for numbers that are not negative.
fn six_digits(v: f64) -> String {
    let scientific = format!("{v:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if v != 0.0 && !(-4..6).contains(&exponent) {
        let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{v:.*}", (5 - exponent).max(0) as usize);
    if plain.contains('.') { plain.trim_end_matches('0').trim_end_matches('.').to_owned() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(points: &[String]) -> String {
        points.iter().map(|p| format!("{p}\n")).collect()
    }

    #[test]
    fn bytes_are_those_of_gen_py() {
        // gen.py --metrics 400 --logs 200 --short 200: sizes and CRC32C of what it wrote.
        let wrote = [
            (Corpus::Metrics, 88_468, 0xbd87_4310),
            (Corpus::Logs, 138_700, 0x6c2d_0700),
            (Corpus::Short, 20_075, 0x4078_0ed3),
        ];
        for (corpus, bytes, crc) in wrote {
            let got = text(&generate(corpus, 400, 200, 200));
            assert_eq!((got.len(), crc32c::crc32c(got.as_bytes())), (bytes, crc), "{corpus:?}");
        }
    }

    #[test]
    fn ready_made_bodies_have_the_published_counts() {
        let body = &bodies(Corpus::Metrics, Format::Lines, 2048, 1)[0];
        assert_eq!((body.bytes.len(), body.points), (2277, 10));
        let body = &bodies(Corpus::Metrics, Format::Lines, 65536, 1)[0];
        assert_eq!((body.bytes.len(), body.points), (65683, 298));
    }

    #[test]
    fn six_digits_as_c_prints_them() {
        for (v, text) in [
            (0.0, "0"),
            (13.244_9, "13.2449"),
            (5.028_18, "5.02818"),
            (100.0, "100"),
            (99.999_99, "100"),
            (0.000_123_456_7, "0.000123457"),
            (0.000_012_345_67, "1.23457e-05"),
            (50.0, "50"),
        ] {
            assert_eq!(six_digits(v), text);
        }
    }
}
