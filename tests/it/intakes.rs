//! The other protocols end to end, on the real program: what was recorded of their clients goes in over sockets and comes
//! out at the destination, small and large, compressed and not, and a full spool is said in each client's own words.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::golden_gateway::{bytes, golden, text};
use super::harness::{Gateway, dataway::Dataway, http::Client, points};

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// A v0.3 body in JSON: one trace of so many spans.
fn trace(spans: usize) -> Vec<u8> {
    let span = |id: usize| {
        json!({ "trace_id": 77, "span_id": id + 1, "parent_id": id, "service": "s", "name": "n", "resource": "r",
            "type": "web", "start": 1_700_000_000_000_000_000i64 + id as i64, "duration": 5_000,
            "meta": { "http.url": format!("/item/{id}"), "team": "core" }, "metrics": { "rows": 3.5 } })
    };
    json!([(0..spans).map(span).collect::<Vec<_>>()]).to_string().into_bytes()
}

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

/// How many spans have arrived, each once.
fn spans(dataway: &Dataway) -> usize {
    let ids: std::collections::BTreeSet<String> = dataway
        .points()
        .iter()
        .filter_map(|point| match point.fields.get("span_id") {
            Some(points::Value::Text(id)) => Some(id.clone()),
            _ => None,
        })
        .collect();
    ids.len()
}

#[test]
fn recorded_clients_points_arrive() {
    let dataway = Dataway::start();
    let gateway = Gateway::start("", &dataway.table());
    let mut client = gateway.client();
    let (mut want, mut refused) = (0, Vec::new());
    for file in ["ddtrace-py-1.20.19", "skywalking-py-1.2.0", "influxdb-client-py-1.50.0", "otlp-py-1.45.2"] {
        for case in golden(&format!("captured/{file}")) {
            let path = text(&case, "path");
            if path.starts_with("/profiling/") {
                continue;
            }
            let headers = case["headers"].as_array().unwrap().iter();
            let headers: Vec<(&str, &str)> = headers
                .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
                .filter(|(name, _)| {
                    !["host", "content-length", "connection"].contains(&&*name.to_ascii_lowercase())
                })
                .collect();
            let answer = client.request(text(&case, "method"), path, &headers, &bytes(&case, "body_b64"));
            if answer.status >= 300 {
                refused.push(format!("{} {path} {}", text(&case, "name"), answer.status));
            }
            let of = |trace: &Value| trace.as_array().unwrap().len();
            // One request's points were recorded in part.
            want += match text(&case, "name") {
                "ddtrace-py-1.20.19/001" => 12,
                _ => case["traces"].as_array().map_or(0, |traces| traces.iter().map(of).sum::<usize>()),
            };
        }
    }
    assert_eq!(refused, [""; 0]);
    assert!(want > 80, "{want}");
    dataway.await_points(want);
    for category in ["tracing", "metric", "logging"] {
        gateway.await_metric(&format!("kitgate_points_in_flight{{category=\"{category}\"}}"), 0.0);
        assert!(gateway.metric(&format!("kitgate_points_in_total{{category=\"{category}\"}}")) > 0.0);
    }
    let traced = dataway.packages().iter().filter(|package| package.path == "/v1/write/tracing").count();
    assert!(traced > 0);
    // By the protocol, whatever the path is.
    let sample = "datakit_http_api_total{api=\"datadog\",method=\"PUT\",status=\"OK\"}";
    assert!(gateway.metric(sample) > 0.0);
}

#[test]
fn traces_of_every_size_arrive_whole_or_not_at_all() {
    let dataway = Dataway::start();
    let gateway = Gateway::start("shards = 2", &dataway.table());
    let mut want = 0;
    // In the open block, on the shard, on another thread; and the same compressed.
    for (spans, compressed) in
        [(3, false), (3, true), (3_000, false), (3_000, true), (12_000, false), (12_000, true)]
    {
        let mut body = trace(spans);
        let mut headers = JSON.to_vec();
        if compressed {
            body = gzip(&body);
            headers.push(("Content-Encoding", "gzip"));
        }
        let answer = gateway.client().request("PUT", "/v0.4/traces?ack=upstream", &headers, &body);
        assert_eq!((answer.status, &*answer.body), (200, &b"{}"[..]), "{spans} {compressed}");
        assert_eq!(answer.header("X-Kitgate-Ack"), Some("upstream"));
        want += spans;
        assert_eq!(dataway.points().len(), want, "{spans} {compressed}: all of them are there");
    }
    assert_eq!(spans(&dataway), 12_000);
    // One bad span at the end, and nothing of it is kept.
    for spans in [3, 3_000, 12_000] {
        let mut body = trace(spans);
        body.truncate(body.len() - 2);
        body.extend_from_slice(b",{\"start\":\"x\"}]]");
        assert_eq!(gateway.client().request("PUT", "/v0.4/traces", &JSON, &body).status, 400, "{spans}");
    }
    gateway.await_metric("kitgate_points_in_flight{category=\"tracing\"}", 0.0);
    assert_eq!(gateway.metric("kitgate_points_in_total{category=\"tracing\"}"), want as f64);
    assert_eq!(gateway.metric("kitgate_points_delivered_total{category=\"tracing\"}"), want as f64);
}

#[test]
fn what_a_sampler_drops_is_accounted_for() {
    let dataway = Dataway::start();
    let tables = format!("{}[intake.datadog.sampler]\nsampling_rate = 0\n", dataway.table());
    let gateway = Gateway::start("", &tables);
    for spans in [4, 3_000] {
        assert_eq!(gateway.client().request("PUT", "/v0.4/traces", &JSON, &trace(spans)).status, 200);
    }
    assert_eq!(gateway.metric("kitgate_points_in_total{category=\"tracing\"}"), 3_004.0);
    let dropped = "kitgate_points_dropped_total{category=\"tracing\",reason=\"filtered\"}";
    assert_eq!(gateway.metric(dropped), 3_004.0);
    gateway.await_metric("kitgate_points_in_flight{category=\"tracing\"}", 0.0);
}

#[test]
fn a_full_spool_is_said_in_each_clients_words() {
    let dataway = Dataway::start();
    let tables = format!(
        "{}compression = \"identity\"\n[spool]\ncapacity = \"4MiB\"\nsegment_size = \"1MiB\"\n",
        dataway.table()
    );
    let gateway = Gateway::start("", &tables);
    drop(dataway);
    // First in large pieces and then in small ones, until there is no room for anything.
    for category in ["tracing", "logging", "metric"] {
        for lines in [10_000, 500, 1] {
            let body = format!("m,t={} f=1i 1700000000\n", "x".repeat(20)).repeat(lines);
            let target = format!("/v1/write/{category}");
            let full = (0..2_000).any(|_| gateway.post(&target, body.as_bytes()).status == 503);
            assert!(full, "{category} takes more than it can hold");
        }
    }
    let otlp = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}"#;
    let zipkin = br#"[{"traceId":"1","id":"2"}]"#;
    let segment = br#"{"traceId":"1","traceSegmentId":"2","spans":[{"spanId":1}]}"#;
    let large = trace(12_000);
    for (method, target, body, says) in [
        ("PUT", "/v0.4/traces", &trace(2)[..], "the spool is full\n"),
        ("PUT", "/v0.4/traces", &large, "the spool is full\n"),
        ("POST", "/v1/logs", otlp, "{\"code\":14,\"message\":\"the spool is full\"}"),
        ("POST", "/api/v2/spans", zipkin, "the spool is full"),
        ("POST", "/v3/segment", segment, "{\"message\":\"the spool is full\"}"),
        ("POST", "/prom_remote_write", &prometheus_message(), "{\"error\":\"the spool is full\"}"),
        ("POST", "/write", b"m f=1i", "{\"error\":\"the spool is full\"}"),
        ("POST", "/api/v2/write", b"m f=1i", "{\"code\":\"unavailable\",\"message\":\"the spool is full\"}"),
    ] {
        let answer = gateway.client().request(method, target, &JSON, body);
        assert_eq!((answer.status, &*answer.text()), (503, says), "{target}");
        let seconds = answer.header("Retry-After").and_then(|value| value.parse::<u32>().ok());
        assert!(seconds.is_some_and(|seconds| (1..=300).contains(&seconds)), "{target} {seconds:?}");
    }
    for category in ["tracing", "logging", "metric"] {
        gateway.await_metric(&format!("kitgate_points_in_flight{{category=\"{category}\"}}"), 0.0);
    }
}

/// A `WriteRequest` with one sample of `a_b`.
fn prometheus_message() -> Vec<u8> {
    let label = b"\x0a\x08__name__\x12\x03a_b";
    let sample = b"\x09\0\0\0\0\0\0\xf0\x3f\x10\x01";
    let mut series = vec![0x0a, label.len() as u8];
    series.extend_from_slice(label);
    series.extend_from_slice(&[0x12, sample.len() as u8]);
    series.extend_from_slice(sample);
    let mut message = vec![0x0a, series.len() as u8];
    message.extend_from_slice(&series);
    message
}

#[test]
fn agents_find_their_routes_on_their_own_ports_too() {
    let dataway = Dataway::start();
    let tables = format!(
        "{}[intake.datadog]\nlisten = \"127.0.0.1:0\"\n[intake.skywalking]\nlisten = \"127.0.0.1:0\"\n",
        dataway.table()
    );
    let gateway = Gateway::start("", &tables);
    let address_of = |name: &str| {
        let line = gateway.log.iter().find(|line| line.ends_with(&format!("({name})"))).expect("a listener");
        let at = line.strip_prefix("kitgate: listening on http://").expect("an address");
        at.split(' ').next().unwrap().parse().expect("an address")
    };
    let answer = Client::connect(address_of("datadog")).request("PUT", "/v0.3/traces", &JSON, &trace(1));
    assert_eq!((answer.status, &*answer.body), (200, &b"OK\n"[..]));
    let ping = br#"{"service":"s","serviceInstance":"i"}"#;
    let mut skywalking = Client::connect(address_of("skywalking"));
    let answer = skywalking.request("POST", "/v3/management/keepAlive", &JSON, ping);
    assert_eq!((answer.status, &*answer.body), (200, &b"{}"[..]));
    let shown = gateway.get("/v3/management/instances").text();
    assert!(shown.contains("\"serviceInstance\":\"i\""), "{shown}");
    dataway.await_points(1);
}

/// Counted while the gateway runs, and told at its end at the latest: of all spans, those included that a sampler drops.
#[test]
fn numbers_of_spans_arrive_when_the_gateway_stops() {
    let dataway = Dataway::start();
    let tables =
        "[intake.datadog]\ntracing_metric_enable = true\n[intake.datadog.sampler]\nsampling_rate = 0\n";
    let mut gateway = Gateway::start("", &format!("{tables}{}", dataway.table()));
    for _ in 0..3 {
        let answer = gateway.client().request("PUT", "/v0.3/traces", &JSON, &trace(5));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert!(gateway.stop().success());
    let counted = || {
        let points = dataway.points().into_iter().filter(|point| point.name == "tracing_metrics");
        let hits = points.filter_map(|point| match point.fields.get("hits") {
            Some(points::Value::Float(hits)) => Some(*hits),
            _ => None,
        });
        hits.sum::<f64>()
    };
    if counted() == 0.0 {
        // They came to the disk and no farther.
        gateway.run();
        dataway.await_points(1);
    }
    assert_eq!((counted(), spans(&dataway)), (15.0, 0));
}
