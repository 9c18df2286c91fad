//! What spans say in numbers: how many there were, how many failed, how long they took. DataKit's `tracing_metrics`.
//!
//! A point in the tape is counted under its *labels*, the tags that the configuration names. Spans of one request are
//! counted into a [`Tally`] of the shard's own; when the whole request has proved good it is added to the process's
//! ([`Counted`]), and once a minute what stands there becomes points and begins anew ([`plans`]). What a sampler drops
//! is counted: the numbers are those of all spans.
//!
//! | field | |
//! |---|---|
//! | `hits`, `errors` | spans, and those that failed |
//! | `hits_by_http_status`, `errors_by_http_status` | the same of spans with a status of HTTP |
//! | `latency_count`, `latency_sum` | how many spans, and their microseconds in all |
//! | `latency_bucket` | with the tag `le`: how many took at most so many microseconds |
//! | `apdex` | of spans with a status of HTTP: from 0, nobody is satisfied, to 1 |

use std::collections::HashMap;
use std::sync::Mutex;

use crate::buf::Padded;
use crate::codec::line_protocol::{Kind, Kv, Tape};
use crate::intake::convert::{BodyEncoding, Builder, Conversion, Convert, ConvertPlan, Fault};
use crate::intake::{Cors, Reply, Settings};
use crate::metrics::names::API_DATADOG;
use crate::point::{Category, Precision, Route};

pub use crate::config::TraceMetrics as Options;

const MEASUREMENT: &[u8] = b"tracing_metrics";

/// The usual labels.
const LABELS: [&str; 15] = [
    "service",
    "source",
    "operation",
    "env",
    "status",
    "version",
    "resource",
    "host",
    "http_status_code",
    "http_status_class",
    "rpc_grpc_status_code",
    "pod_name",
    "pod_namespace",
    "project",
    "remote_ip",
];

/// What the apdex is of, whatever the labels are.
const APDEX_LABELS: [&str; 6] = ["service", "env", "version", "resource", "source", "remote_ip"];

/// Bounds of the buckets, in microseconds.
const BOUNDS_US: [i64; 15] = [
    100,
    500,
    1_000,
    5_000,
    10_000,
    20_000,
    30_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
];

/// Up to this a user is satisfied, up to that they bear with it.
const SATISFIED_US: i64 = 2_000_000;
const TOLERATED_US: i64 = 8_000_000;

/// Sets of labels of a minute, and bytes of all of them: a tag that has another value in every span makes as many sets.
/// Spans of further ones are counted together, under a `source` of its own.
const SETS_MAX: usize = 1 << 12;
const KEYS_BYTES_MAX: usize = 2 << 20;
const UNLABELLED: &[u8] = b"unlabelled";

/// Sets that become points in one go: 17 points of some hundred bytes each.
const PLAN_SETS_MAX: usize = 128;

/// The labels of a collector.
#[derive(Debug)]
pub struct Labels {
    keys: Vec<Box<[u8]>>,
    /// Tags of every point.
    tags: Vec<(String, String)>,
}

impl Labels {
    /// None: nothing is counted.
    pub fn new(options: &Options, tags: &[(String, String)]) -> Option<Labels> {
        let listed = |list: &[String], key: &str| list.iter().any(|there| there.replace('.', "_") == key);
        let usual = LABELS.iter().filter(|key| !listed(&options.blacklist, key)).map(|key| (*key).to_owned());
        let added = options.whitelist.iter().map(|key| key.replace('.', "_"));
        let mut keys: Vec<Box<[u8]>> = Vec::new();
        for key in usual.chain(added) {
            if keys.iter().all(|there| **there != *key.as_bytes()) {
                keys.push(key.as_bytes().into());
            }
        }
        options.enabled.then(|| Labels { keys, tags: tags.to_vec() })
    }
}

/// What is counted of a set of labels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    hits: u64,
    errors: u64,
    http_hits: u64,
    http_errors: u64,
    sum_us: f64,
    /// Not those of the buckets before; the last one is what is above all bounds.
    buckets: [u64; BOUNDS_US.len() + 1],
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Apdex {
    count: u64,
    satisfied: u64,
    tolerated: u64,
}

impl Apdex {
    /// With two decimals; of those who bear with it every second one counts, whole ones only: recorded.
    fn value(self) -> f64 {
        let value = (self.satisfied + self.tolerated / 2) as f64 / self.count.max(1) as f64;
        (value * 100.0).round() / 100.0
    }
}

/// Sets of labels, each as its keys and values behind their lengths.
#[derive(Debug)]
struct Sets<T> {
    sets: HashMap<Box<[u8]>, T>,
    bytes: usize,
}

impl<T> Default for Sets<T> {
    fn default() -> Sets<T> {
        Sets { sets: HashMap::new(), bytes: 0 }
    }
}

impl<T: Default> Sets<T> {
    fn entry(&mut self, key: &[u8]) -> Option<&mut T> {
        if !self.sets.contains_key(key) {
            if self.sets.len() >= SETS_MAX || self.bytes + key.len() > KEYS_BYTES_MAX {
                return None;
            }
            self.bytes += key.len();
            self.sets.insert(key.into(), T::default());
        }
        self.sets.get_mut(key)
    }

    /// Adds what is in another one; says how many sets found no room.
    fn absorb(&mut self, other: Sets<T>, add: impl Fn(&mut T, T) -> u64) -> u64 {
        let mut lost = 0;
        for (key, value) in other.sets {
            match self.entry(&key) {
                Some(mine) => {
                    add(mine, value);
                }
                None => lost += add(&mut T::default(), value),
            }
        }
        lost
    }
}

/// What is counted of some spans.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Sets<Counts>,
    apdex: Sets<Apdex>,
    /// Spans that found no room.
    lost: u64,
    key: Vec<u8>,
}

impl Tally {
    pub fn is_empty(&self) -> bool {
        self.counts.sets.is_empty() && self.lost == 0
    }

    pub fn clear(&mut self) {
        if !self.is_empty() {
            *self = Tally::default();
        }
    }

    /// Counts the last point of a tape.
    pub fn note(&mut self, labels: &Labels, tape: &Tape, body: &[u8]) {
        let Some(point) = tape.points.last() else { return };
        let first = point.kv as usize;
        let kvs = tape.kvs.get(first..first + (point.tags + point.fields) as usize).unwrap_or_default();
        let find = |key: &[u8]| kvs.iter().find(|kv| tape.key(body, kv) == key);
        let text = |key: &[u8]| text(find(key)?, tape, body);
        let duration_us = match find(b"duration") {
            Some(kv) if kv.kind == Kind::Int => kv.value as i64,
            _ => 0,
        };
        let is_error = text(b"status") == Some(b"error");
        let is_http = text(b"http_status_code").is_some_and(|code| !code.is_empty());
        let mut key = std::mem::take(&mut self.key);

        key.clear();
        labels.keys.iter().for_each(|label| put(label, text(label).unwrap_or_default(), &mut key));
        labels.tags.iter().for_each(|(label, value)| put(label.as_bytes(), value.as_bytes(), &mut key));
        match self.counts.entry(&key) {
            Some(counts) => counts.note(duration_us, is_error, is_http),
            None => self.lost += 1,
        }
        if is_http {
            key.clear();
            for label in APDEX_LABELS {
                put(label.as_bytes(), text(label.as_bytes()).unwrap_or_default(), &mut key);
            }
            labels.tags.iter().for_each(|(label, value)| put(label.as_bytes(), value.as_bytes(), &mut key));
            if let Some(apdex) = self.apdex.entry(&key) {
                apdex.count += 1;
                apdex.satisfied += u64::from(duration_us <= SATISFIED_US);
                apdex.tolerated += u64::from(duration_us > SATISFIED_US && duration_us <= TOLERATED_US);
            }
        }
        self.key = key;
    }

    fn absorb(&mut self, other: Tally) {
        self.lost += other.lost;
        self.lost += self.counts.absorb(other.counts, |mine, counts| {
            mine.add(&counts);
            counts.hits
        });
        self.apdex.absorb(other.apdex, |mine, apdex| {
            mine.count += apdex.count;
            mine.satisfied += apdex.satisfied;
            mine.tolerated += apdex.tolerated;
            apdex.count
        });
    }
}

fn text<'a>(kv: &Kv, tape: &'a Tape, body: &'a [u8]) -> Option<&'a [u8]> {
    matches!(kv.kind, Kind::Tag | Kind::Str).then(|| tape.text(body, kv))
}

/// Appends a label; one that says nothing is left out.
fn put(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    if value.is_empty() {
        return;
    }
    for text in [key, value] {
        // A label is no longer than a tag may be.
        let text = text.get(..crate::point::check::TAG_VALUE_BYTES_MAX).unwrap_or(text);
        out.extend_from_slice(&(text.len() as u16).to_be_bytes());
        out.extend_from_slice(text);
    }
}

/// The texts of a set, keys and values by turns.
fn texts(mut set: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = set.split_first_chunk::<2>()?;
        let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        set = rest;
        Some(text)
    })
}

impl Counts {
    fn note(&mut self, duration_us: i64, is_error: bool, is_http: bool) {
        self.hits += 1;
        self.errors += u64::from(is_error);
        self.http_hits += u64::from(is_http);
        self.http_errors += u64::from(is_http && is_error);
        self.sum_us += duration_us as f64;
        let bucket = BOUNDS_US.partition_point(|bound| *bound < duration_us);
        self.buckets[bucket] += 1;
    }

    fn add(&mut self, other: &Counts) {
        self.hits += other.hits;
        self.errors += other.errors;
        self.http_hits += other.http_hits;
        self.http_errors += other.http_errors;
        self.sum_us += other.sum_us;
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
    }
}

/// What is counted in the process since it last became points.
#[derive(Debug, Default)]
pub struct Counted(Mutex<Tally>);

impl Counted {
    /// Adds what a request brought, and leaves nothing of it there.
    pub fn add(&self, tally: &mut Tally) {
        let theirs = std::mem::take(tally);
        if let Ok(mut all) = self.0.lock() {
            all.absorb(theirs);
        }
    }

    fn take(&self) -> Tally {
        self.0.lock().map(|mut all| std::mem::take(&mut *all)).unwrap_or_default()
    }
}

/// What was counted, on its way to become points: one plan after the other, which may be run more than once.
pub fn plans(settings: &Settings, now_ns: i64) -> Vec<ConvertPlan> {
    let tally = settings.remembered.spans.take();
    let mut reports = Vec::new();
    let mut counts: Vec<_> = tally.counts.sets.into_iter().collect();
    let mut apdex: Vec<_> = tally.apdex.sets.into_iter().collect();
    let mut lost = tally.lost;
    while !counts.is_empty() || !apdex.is_empty() || lost > 0 {
        let counts = counts.split_off(counts.len().saturating_sub(PLAN_SETS_MAX));
        let apdex = apdex.split_off(apdex.len().saturating_sub(PLAN_SETS_MAX));
        reports.push(Report { counts, apdex, lost: std::mem::take(&mut lost), now_ns });
    }
    let plan = |report| ConvertPlan {
        api: API_DATADOG,
        encoding: BodyEncoding::Identity,
        route: Route::default(),
        ack: settings.options.ack,
        cors: Cors::default(),
        job: Box::new(report),
    };
    reports.into_iter().map(plan).collect()
}

#[derive(Debug)]
struct Report {
    counts: Vec<(Box<[u8]>, Counts)>,
    apdex: Vec<(Box<[u8]>, Apdex)>,
    lost: u64,
    now_ns: i64,
}

impl Report {
    fn begin<'t>(set: &[u8], tape: &'t mut Tape, body: &'t [u8]) -> Builder<'t> {
        let mut point = Builder::new(tape, body);
        let mut texts = texts(set);
        while let (Some(key), Some(value)) = (texts.next(), texts.next()) {
            point.tag(key, value);
        }
        point
    }

    fn counts(&self, set: &[u8], counts: &Counts, body: Padded<'_>, cx: &mut Conversion<'_>) {
        let mut point = Report::begin(set, cx.tape, body.bytes());
        for (field, count) in [
            (&b"hits"[..], counts.hits),
            (b"hits_by_http_status", counts.http_hits),
            (b"errors", counts.errors),
            (b"errors_by_http_status", counts.http_errors),
        ] {
            if count > 0 {
                point.float_field(field, count as f64);
            }
        }
        point.int_field(b"latency_count", counts.hits as i64);
        point.float_field(b"latency_sum", counts.sum_us);
        point.finish(MEASUREMENT, self.now_ns);
        let mut below = 0;
        for (index, count) in counts.buckets.iter().enumerate() {
            below += count;
            let bound = BOUNDS_US.get(index).map(i64::to_string);
            // The last says nothing where nothing is above all bounds.
            if bound.is_none() && *count == 0 {
                continue;
            }
            let mut point = Report::begin(set, cx.tape, body.bytes());
            point.tag(b"le", bound.as_deref().unwrap_or("+Inf").as_bytes());
            point.int_field(b"latency_bucket", below as i64);
            point.finish(MEASUREMENT, self.now_ns);
        }
    }
}

impl Convert for Report {
    fn convert(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<Reply, Fault> {
        for (set, counts) in &self.counts {
            self.counts(set, counts, body, cx);
        }
        for (set, apdex) in &self.apdex {
            let mut point = Report::begin(set, cx.tape, body.bytes());
            point.float_field(b"apdex", apdex.value());
            point.finish(MEASUREMENT, self.now_ns);
        }
        if self.lost > 0 {
            let mut point = Builder::new(cx.tape, body.bytes());
            point.tag(b"source", UNLABELLED);
            point.float_field(b"hits", self.lost as f64);
            point.finish(MEASUREMENT, self.now_ns);
        }
        cx.flush(Category::Metric, Precision::Nanos, &cx.settings.options.host_tags, body)?;
        Ok(Reply::empty(200))
    }

    fn refuse(&self, fault: &Fault) -> Reply {
        fault.with_retry(Reply::empty(fault.status()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::Options as IntakeOptions;
    use crate::intake::testing::{NOW_NS, Point, Server};

    const SPANS: &str = r#"[[
        {"trace_id":1,"span_id":2,"name":"op","resource":"/a","service":"s","start":1,"duration":100000,
         "meta":{"http.status_code":"200","env":"e"}},
        {"trace_id":1,"span_id":3,"parent_id":2,"name":"op","resource":"/b","service":"s","start":1,
         "duration":3000000000,"meta":{"http.status_code":"200","env":"e"}},
        {"trace_id":1,"span_id":4,"parent_id":2,"name":"op","resource":"/b","service":"s","start":1,
         "duration":9000000000,"error":1,"meta":{"http.status_code":"500","env":"e"}},
        {"trace_id":1,"span_id":5,"parent_id":2,"name":"db","resource":"q","service":"s","start":1,"duration":0}]]"#;

    fn counting(filters: crate::intake::tracing::FilterOptions) -> Server {
        let datadog = crate::config::DatadogSettings {
            metrics: Options { enabled: true, whitelist: vec!["span.type".to_owned()], ..Options::default() },
            tags: vec![("zone".to_owned(), "z".to_owned())],
            filters,
            ..Default::default()
        };
        Server::new(IntakeOptions { datadog, time_correction: false, ..IntakeOptions::default() })
    }

    fn reported(server: &mut Server) -> Vec<Point> {
        let plans = plans(&server.settings, NOW_NS);
        plans.iter().flat_map(|plan| server.run(plan, b"").points).collect()
    }

    #[test]
    fn spans_are_counted_by_their_labels() {
        let mut server = counting(Default::default());
        let got = server.post("/v0.3/traces", "application/json", SPANS.as_bytes());
        assert_eq!((got.reply.status, got.points.len()), (200, 4));
        server.post("/v0.3/traces", "application/json", SPANS.as_bytes());
        // What is refused counts nothing.
        let broken = format!("{SPANS}x");
        assert_eq!(server.post("/v0.3/traces", "application/json", broken.as_bytes()).reply.status, 400);

        let points = reported(&mut server);
        assert!(points.iter().all(|point| {
            (&*point.name, point.category, point.time) == ("tracing_metrics", Category::Metric, NOW_NS)
        }));
        let of = |tags: &[(&str, &str)], field: &str| -> Vec<String> {
            let of = points.iter().filter(|point| {
                point.fields.contains_key(field) && tags.iter().all(|(key, value)| point.tag(key) == *value)
            });
            of.map(|point| point.field(field).to_owned()).collect()
        };
        let exits = [("http_status_code", "200"), ("span_type", "exit")];
        assert_eq!(of(&exits, "hits"), ["2f"]);
        assert_eq!(of(&exits, "errors"), [""; 0]);
        assert_eq!(of(&exits, "latency_sum"), ["6000000f"]);
        assert_eq!(of(&[("http_status_code", "500")], "errors_by_http_status"), ["2f"]);
        assert_eq!(of(&[("status", "ok"), ("env", "-")], "hits_by_http_status"), [""; 0]);
        assert_eq!(of(&[("status", "ok"), ("env", "-")], "hits"), ["2f"]);
        let bucket = |le| [exits[0], exits[1], ("le", le)];
        assert_eq!(of(&bucket("1000000"), "latency_bucket"), ["0i"]);
        assert_eq!(of(&bucket("5000000"), "latency_bucket"), ["2i"]);
        assert_eq!(of(&bucket("300000000"), "latency_bucket"), ["2i"]);
        assert_eq!(of(&bucket("+Inf"), "latency_bucket"), [""; 0]);
        // Of resource /b: two spans that are borne with, two that are not.
        assert_eq!(of(&[("resource", "/b")], "apdex"), ["0.25f"]);
        assert_eq!(of(&[("resource", "/a")], "apdex"), ["1f"]);
        let counted = points.iter().find(|point| point.fields.contains_key("hits")).unwrap();
        assert_eq!(
            [counted.tag("zone"), counted.tag("source"), counted.tag("resource"), counted.tag("operation")],
            ["z", "ddtrace", "-", "-"]
        );
        assert!(reported(&mut server).is_empty(), "counters begin anew");
    }

    #[test]
    fn what_the_sampler_drops_is_counted_too() {
        let filters = crate::intake::tracing::FilterOptions {
            close_resource: vec![("*".to_owned(), vec!["^/a$".to_owned()])],
            ..Default::default()
        };
        let mut server = counting(filters);
        let got = server.post("/v0.3/traces", "application/json", SPANS.as_bytes());
        assert_eq!((got.points.len(), &got.filtered[..]), (0, &[(Category::Tracing, 4)][..]));
        let hits: f64 = reported(&mut server)
            .iter()
            .filter_map(|point| point.fields.get("hits")?.strip_suffix('f')?.parse::<f64>().ok())
            .sum();
        assert_eq!(hits, 4.0);
    }

    #[test]
    fn past_the_most_sets_spans_are_counted_together() {
        let mut server = counting(Default::default());
        for first in (0..SETS_MAX + 10).step_by(1000) {
            let spans: Vec<String> = (first..(first + 1000).min(SETS_MAX + 10))
                .map(|id| format!(r#"{{"trace_id":1,"span_id":{id},"service":"s{id}","start":1}}"#))
                .collect();
            let body = format!("[[{}]]", spans.join(","));
            assert_eq!(server.post("/v0.3/traces", "application/json", body.as_bytes()).reply.status, 200);
        }
        let points = reported(&mut server);
        let rest = points.iter().find(|point| point.tag("source") == "unlabelled").unwrap();
        assert_eq!(rest.field("hits"), "10f");
        let sets = points.iter().filter(|point| point.fields.contains_key("latency_count"));
        assert_eq!(sets.count(), SETS_MAX);
    }

    #[test]
    fn labels_are_the_usual_ones_less_and_more() {
        assert!(Labels::new(&Options::default(), &[]).is_none());
        let options = Options {
            enabled: true,
            blacklist: vec!["service".to_owned()],
            whitelist: vec!["a.b".to_owned(), "env".to_owned()],
        };
        let labels = Labels::new(&options, &[]).unwrap();
        assert_eq!(labels.keys.len(), LABELS.len());
        assert!(labels.keys.iter().any(|key| **key == *b"a_b"));
        assert!(labels.keys.iter().all(|key| **key != *b"service"));
    }
}
