//! The page is read by a parser stricter than Prometheus' own, and compared with the table.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{
    super::names::{API_404, API_WRITE, Kind},
    *,
};
use crate::point::Category;

/// One sample: its full name, its labels, its value.
type Sample = (String, BTreeMap<String, String>, f64);

/// Families in order: name, type, samples. Panics on anything out of form.
fn parse(page: &str) -> Vec<(String, String, Vec<Sample>)> {
    assert!(page.ends_with('\n'));
    let mut families: Vec<(String, String, Vec<Sample>)> = Vec::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        let (name, help) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')).expect(line);
        assert!(!help.is_empty() && !help.contains('\\'), "{line}");
        let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} "))).expect(line);
        assert!(["counter", "gauge", "histogram", "summary"].contains(&kind), "{line}");
        let mut samples = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            samples.push(parse_sample(line));
        }
        families.push((name.to_owned(), kind.to_owned(), samples));
    }
    families
}

fn parse_sample(line: &str) -> Sample {
    let is_name = |name: &str| {
        name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let name_end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(name_end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").expect(line);
            assert!(is_name(label), "{line}");
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().expect(line) {
                    (at, '"') => break at + 1,
                    (_, '\\') => match chars.next().expect(line).1 {
                        'n' => value.push('\n'),
                        c @ ('\\' | '"') => value.push(c),
                        c => panic!("bad escape {c} in {line}"),
                    },
                    (_, c) => value.push(c),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "label twice: {line}");
            rest = &after[end..];
            match rest.strip_prefix(',') {
                Some(after) => rest = after,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').expect(line);
    }
    let value = rest.strip_prefix(' ').expect(line);
    assert!(!value.contains(' '), "{line}");
    (name.to_owned(), labels, value.parse().expect(line))
}

fn busy_registry() -> Registry {
    let registry = Registry::new(2);
    let shard = registry.shard(1);
    shard.request(API_WRITE + Category::Logging.index(), "POST", 200, 1_500_000, 2_048);
    shard.request(API_WRITE + Category::Logging.index(), "POST", 503, 10_000, 2_048);
    shard.request(API_404, "BREW", 418, 5, 0);
    let logging = &shard.categories[Category::Logging.index()];
    logging.points_in.add(300);
    logging.requests_in.add(1);
    registry.shard(0).categories[Category::Logging.index()].spooled_points.set(290);
    registry.shard(0).categories[Category::Logging.index()].drop_points(DropReason::Evicted, 10);
    registry.shard(0).categories[Category::Logging.index()].oldest_ms.set(4_500);
    registry.shard(0).uploads.answer(Some(204));
    registry.shard(0).uploads.answer(None);
    shard.refuse(Refusal::SpoolFull);
    shard.busy_ns.add(1_000_000_001);
    registry
}

fn page() -> String {
    let process = Process {
        version: "1.2.3",
        target: "weird\"target\\\n".to_owned(),
        runtime: "io_uring",
        now_ms: 10_000,
        started_ms: 1_000,
        ..Process::default()
    };
    busy_registry().render(&process)
}

#[test]
fn the_page_is_the_table() {
    let page = page();
    let families = parse(&page);
    let written: Vec<&str> = families.iter().map(|(name, ..)| name.as_str()).collect();
    let table: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(written, table);
    assert_eq!(table.iter().collect::<HashSet<_>>().len(), table.len(), "a name stands twice in the table");
    let mut seen = HashSet::new();
    for ((_, kind, samples), metric) in families.iter().zip(METRICS) {
        assert_eq!(kind, metric.kind.name());
        assert!(!samples.is_empty() || metric.labels.len() > 1, "{} has no sample", metric.name);
        for (name, labels, value) in samples {
            assert!(seen.insert((name.clone(), labels.clone())), "{name} {labels:?} stands twice");
            let suffix = name.strip_prefix(metric.name).expect("a sample of another family");
            let allowed: &[&str] = match metric.kind {
                Kind::Counter | Kind::Gauge => &[""],
                Kind::Histogram => &["_bucket", "_sum", "_count"],
                Kind::Summary => &["_sum", "_count"],
            };
            assert!(allowed.contains(&suffix), "{name}");
            let mut expected: BTreeSet<&str> = metric.labels.iter().copied().collect();
            if suffix == "_bucket" {
                expected.insert("le");
            }
            assert_eq!(labels.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{name}");
            assert!(value.is_finite());
        }
    }
}

#[test]
fn names_follow_the_conventions() {
    for metric in METRICS.iter().filter(|metric| !metric.name.starts_with("datakit_")) {
        assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
        if metric.kind == Kind::Histogram {
            assert!(metric.name.ends_with("_seconds"), "{}", metric.name);
        }
        assert!(metric.help.ends_with('.'), "{}", metric.name);
    }
}

#[test]
fn histograms_accumulate() {
    let page = page();
    for (name, kind, samples) in parse(&page) {
        if kind != "histogram" {
            continue;
        }
        let buckets: Vec<f64> =
            samples.iter().filter(|sample| sample.1.contains_key("le")).map(|s| s.2).collect();
        let bounds: Vec<f64> =
            samples.iter().filter_map(|sample| sample.1.get("le")).map(|le| le.parse().unwrap()).collect();
        assert_eq!(buckets.len(), BUCKETS_US.len() + 1, "{name}");
        assert!(buckets.is_sorted() && bounds.is_sorted() && bounds.last() == Some(&f64::INFINITY), "{name}");
        let count = samples.iter().find(|sample| sample.0.ends_with("_count")).unwrap().2;
        assert_eq!(buckets.last(), Some(&count));
    }
}

#[test]
fn values_arrive_on_the_page() {
    let page = page();
    for line in [
        "kitgate_build_info{version=\"1.2.3\",target=\"weird\\\"target\\\\\\n\",runtime=\"io_uring\"} 1",
        "kitgate_uptime_seconds 9",
        "kitgate_points_in_total{category=\"logging\"} 300",
        "kitgate_points_in_flight{category=\"logging\"} 0",
        "kitgate_points_dropped_total{category=\"logging\",reason=\"evicted\"} 10",
        "kitgate_spool_oldest_age_seconds{category=\"logging\"} 5.5",
        "kitgate_spool_oldest_age_seconds{category=\"metric\"} 0",
        "kitgate_refused_total{reason=\"spool_full\"} 1",
        "kitgate_write_seconds_sum 0.00151",
        "kitgate_write_seconds_bucket{le=\"0.00002\"} 1",
        "kitgate_write_seconds_bucket{le=\"0.002\"} 2",
        "kitgate_upload_answers_total{code=\"none\"} 1",
        "kitgate_shard_busy_seconds_total{shard=\"1\"} 1.000000001",
        "datakit_http_api_total{api=\"/v1/write/logging\",method=\"POST\",status=\"OK\"} 1",
        "datakit_http_api_total{api=\"404-page\",method=\"other\",status=\"other\"} 1",
        "datakit_http_api_req_size_bytes_sum{api=\"/v1/write/logging\",method=\"POST\",status=\"Service Unavailable\"} 2048",
        "datakit_io_feed_point_sum{category=\"logging\",name=\"v1-write\"} 300",
    ] {
        assert!(page.lines().any(|written| written == line), "missing: {line}\n{page}");
    }
}

#[test]
fn the_label_values_are_the_categories() {
    assert_eq!(CATEGORIES, Category::ALL.map(Category::name));
    for category in Category::ALL {
        let route = match category {
            Category::SessionReplay => "/v1/write/rum/replay".to_owned(),
            _ => format!("/v1/write/{}", category.name()),
        };
        assert_eq!(APIS[API_WRITE + category.index()], route);
    }
}
