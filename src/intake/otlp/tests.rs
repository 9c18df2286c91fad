//! OTLP: the three signals in both forms, answers, damage.

use super::*;
use crate::intake::testing::{Got, Server, documented, mutilate, recorded};
use crate::point::Category;
use proptest::prelude::*;
use serde_json::json;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

fn message_of(signal: &str) -> &'static protobuf::Message {
    match signal {
        "traces" => &messages::TRACES,
        "metrics" => &messages::METRICS,
        _ => &messages::LOGS,
    }
}

fn protobuf_of(signal: &str, json: &serde_json::Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    let body = json.to_string();
    protobuf::from_json(message_of(signal), body.as_bytes(), &mut JsonTape::default(), &mut bytes).unwrap();
    bytes
}

/// The same request in both forms.
fn both(server: &mut Server, signal: &str, body: &serde_json::Value) -> Got {
    let json = server.post(&format!("/v1/{signal}"), JSON, body.to_string().as_bytes());
    let packed = server.post(&format!("/otel/v1/{signal}"), PROTOBUF, &protobuf_of(signal, body));
    assert_eq!((json.reply.status, packed.reply.status), (200, 200));
    assert_eq!(json.points, packed.points);
    packed
}

fn traces() -> serde_json::Value {
    let span = |id: &str, parent: &str, extra: serde_json::Value| {
        let mut span = json!({ "traceId": "5b8efff798038103d269b633813fc60c", "spanId": id, "parentSpanId": parent,
            "name": "op", "kind": 2, "startTimeUnixNano": "1700000000000001000", "endTimeUnixNano": 1700000000000005000i64,
            "status": {} });
        span.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        span
    };
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            { "key": "service.name", "value": { "stringValue": "shop" } },
            { "key": "host.name", "value": { "stringValue": "h1" } },
        ] },
        "scopeSpans": [{
            "scope": { "name": "lib", "version": "1", "attributes": [{ "key": "sc", "value": { "boolValue": true } }] },
            "spans": [
                span("eee19b7ec3c1b174", "", json!({ "attributes": [
                    { "key": "http.request.method", "value": { "stringValue": "GET" } },
                    { "key": "http.response.status_code", "value": { "intValue": "503" } },
                    { "key": "list", "value": { "arrayValue": { "values": [{ "intValue": 1 }, { "doubleValue": 0.5 }] } } },
                ], "status": { "code": "STATUS_CODE_ERROR", "message": "boom" },
                "events": [{ "name": "exception", "timeUnixNano": "1", "attributes": [
                    { "key": "exception.type", "value": { "stringValue": "E" } },
                    { "key": "exception.message", "value": { "stringValue": "m\nm" } },
                ] }] })),
                span("00f067aa0ba902b7", "eee19b7ec3c1b174", json!({ "kind": "SPAN_KIND_CLIENT", "attributes": [
                    { "key": "db.system", "value": { "stringValue": "mysql" } },
                    { "key": "server.address", "value": { "stringValue": "db1" } },
                ] })),
                span("00f067aa0ba902b8", "00f067aa0ba902b7", json!({})),
            ],
        }],
    }] })
}

#[test]
fn spans_become_points() {
    let got = both(&mut documented(), "traces", &traces());
    let [first, second, third] = &got.points[..] else { panic!("{:?}", got.points) };
    assert_eq!(
        (first.category, &*first.name, first.time),
        (Category::Tracing, "opentelemetry", 1700000000000001000)
    );
    for (key, value) in [
        ("service", "shop"),
        ("operation", "op"),
        ("source", "opentelemetry"),
        ("span_type", "entry"),
        ("span_kind", "server"),
        ("status", "error"),
        ("http_method", "GET"),
        ("http_status_code", "503"),
        ("http_status_class", "5xx"),
        ("source_type", "web"),
        ("host_name", "h1"),
        ("remote_ip", "10.0.0.7"),
        ("dk_fingerprint", "localhost"),
    ] {
        assert_eq!(first.tag(key), value, "{key}");
    }
    for (key, value) in [
        ("trace_id", "5b8efff798038103d269b633813fc60c"),
        ("span_id", "eee19b7ec3c1b174"),
        ("parent_id", "0"),
        ("resource", "op"),
        ("start", "1700000000000001i"),
        ("duration", "4i"),
        ("error_type", "E"),
        ("error_message", "m\nm"),
    ] {
        assert_eq!(first.field(key), value, "{key}");
    }
    let message = first.message();
    assert_eq!(
        message["attributes"],
        json!([
            { "key": "list", "value": { "arrayValue": { "values": [{ "intValue": "1" }, { "doubleValue": 0.5 }] } } },
            { "key": "sc", "value": { "boolValue": true } },
            { "key": "service.name", "value": { "stringValue": "shop" } },
        ])
    );
    assert_eq!(
        (&message["status"]["code"], &message["startTimeUnixNano"]),
        (&json!(2), &json!("1700000000000001000"))
    );
    assert_eq!(
        (second.tag("span_type"), second.tag("span_kind"), second.tag("db_host")),
        ("local", "client", "db1")
    );
    assert_eq!((second.tag("source_type"), second.tag("status")), ("db", "ok"));
    assert_eq!((third.tag("span_type"), third.field("parent_id")), ("exit", "00f067aa0ba902b7"));
}

#[test]
fn metrics_become_points() {
    let attributes = json!([{ "key": "route.name", "value": { "stringValue": "/x" } }]);
    let body = json!({ "resourceMetrics": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "shop" } }] },
        "scopeMetrics": [{ "scope": { "name": "m" }, "metrics": [
            { "name": "req.count", "unit": "1", "sum": { "dataPoints": [
                { "timeUnixNano": "1700000000000000007", "asInt": "-5", "attributes": attributes }] } },
            { "name": "temp", "gauge": { "dataPoints": [{ "asDouble": 1.5 }, { "asDouble": "NaN" }] } },
            { "name": "lat", "histogram": { "dataPoints": [{ "count": 6, "sum": 12, "min": 0.5, "max": 9,
                "bucketCounts": ["1", "0", "5"], "explicitBounds": [0.25, 5] }] } },
            { "name": "exp", "exponentialHistogram": { "dataPoints": [{ "count": "2", "sum": 3, "scale": -1 }] } },
            { "name": "sum", "summary": { "dataPoints": [{ "count": 4, "sum": 2,
                "quantileValues": [{ "quantile": 0.5, "value": 7 }] }] } },
        ] }],
    }] });
    let got = both(&mut documented(), "metrics", &body);
    let found: Vec<String> = got
        .points
        .iter()
        .map(|point| {
            assert_eq!((point.category, &*point.name), (Category::Metric, "otel_service"));
            assert_eq!((point.tag("service_name"), point.tag("scope_name")), ("shop", "m"));
            let fields: Vec<String> =
                point.fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{} {}", fields.join(","), point.tag("le"))
        })
        .collect();
    assert_eq!(
        found,
        [
            "req.count=-5i -",
            "temp=1.5f -",
            "lat_avg=2f,lat_count=6i,lat_max=9f,lat_min=0.5f,lat_sum=12f -",
            "lat_bucket=1i 0.25",
            "lat_bucket=5i inf",
            "exp_avg=1.5f,exp_count=2i,exp_sum=3f -",
            "sum_avg=0.5f,sum_count=4i,sum_sum=2f -",
            "sum=7f -",
        ]
    );
    let first = &got.points[0];
    assert_eq!((first.tag("route_name"), first.tag("unit"), first.time), ("/x", "1", 1700000000000000007));
    assert_eq!(got.points[7].tag("quantile"), "0.5");
    assert_eq!(got.points[1].time, crate::intake::testing::NOW_NS, "no time is now");
}

#[test]
fn logs_become_points() {
    let record = |extra: serde_json::Value| {
        let mut record = json!({ "timeUnixNano": "1700000000000000009", "severityNumber": 17,
            "body": { "stringValue": "hello" } });
        record.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        record
    };
    let body = json!({ "resourceLogs": [{
        "resource": { "attributes": [
            { "key": "service.name", "value": { "stringValue": "shop" } },
            { "key": "host.name", "value": { "stringValue": "h1" } },
        ] },
        "scopeLogs": [{ "logRecords": [
            record(json!({ "attributes": [{ "key": "user.id", "value": { "intValue": 7 } }],
                "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174" })),
            record(json!({ "severityNumber": 0, "severityText": "NOTICE", "timeUnixNano": 0, "observedTimeUnixNano": 11,
                "body": { "kvlistValue": { "values": [{ "key": "a", "value": { "boolValue": false } }] } } })),
            record(json!({ "severityNumber": 0, "body": null })),
        ] }],
    }] });
    let got = both(&mut documented(), "logs", &body);
    let [first, second, third] = &got.points[..] else { panic!("{:?}", got.points) };
    assert_eq!((first.category, &*first.name, first.time), (Category::Logging, "shop", 1700000000000000009));
    assert_eq!((first.tag("status"), first.tag("service"), first.tag("host")), ("error", "shop", "h1"));
    assert_eq!((first.field("message"), first.field("user_id")), ("hello", "7"));
    assert_eq!(first.field("trace_id"), "5b8efff798038103d269b633813fc60c");
    assert_eq!((second.tag("status"), second.time, second.field("trace_id")), ("notice", 11, "-"));
    assert_eq!(second.field("message"), r#"{"values":[{"key":"a","value":{"boolValue":false}}]}"#);
    assert_eq!((third.tag("status"), third.field("message")), ("unknown", ""));
}

#[test]
fn answers_are_in_the_form_of_the_request() {
    let mut server = documented();
    let ok = server.post("/v1/traces", PROTOBUF, b"");
    assert_eq!((ok.reply.status, ok.reply.body.len()), (200, 0));
    assert_eq!(ok.reply.content_type, ContentType::Value(PROTOBUF.into()));
    let ok = server.post("/v1/logs", "application/json; charset=utf-8", b"{}");
    assert_eq!((ok.reply.status, &*ok.reply.body), (200, &b"{}"[..]));
    let bad = server.post("/v1/metrics", JSON, b"{");
    assert_eq!(bad.reply.status, 400);
    let status: serde_json::Value = serde_json::from_slice(&bad.reply.body).unwrap();
    assert_eq!(status, json!({ "code": 3, "message": "the body is no JSON" }));
    let bad = server.post("/v1/metrics", PROTOBUF, b"x");
    assert_eq!((bad.reply.status, &bad.reply.body[..4]), (400, &b"\x08\x03\x12\x0e"[..]));
    assert_eq!(server.post("/v1/traces", "text/plain", b"").reply.status, 415);
    let unknown =
        server.send("POST", "/v1/traces", &[("Content-Type", JSON), ("Content-Encoding", "lzma")], b"x");
    assert_eq!(unknown.reply.status, 415);
    let busy = server.busy("POST", "/v1/traces", &[("Content-Type", JSON)]);
    assert_eq!((busy.status, &busy.headers[..]), (503, &[("Retry-After", "3".into())][..]));
    assert_eq!(&*busy.body, br#"{"code":14,"message":"the spool is full"}"#);
    for (content_type, body) in [(PROTOBUF, &b"x"[..]), (JSON, b"{"), ("", b"")] {
        let got = recorded().post("/otel/v1/logs", content_type, body);
        assert_eq!((got.reply.status, got.reply.body.len()), (400, 0), "{content_type}");
    }
    assert_eq!(server.get("/v1/traces").reply.status, 404);
}

#[test]
fn damaged_requests_are_refused_or_understood() {
    let mut server = documented();
    let body = protobuf_of("traces", &traces());
    mutilate(
        &mut server,
        "/v1/traces",
        &[("Content-Type", PROTOBUF)],
        &body[..body.len().min(700)],
        &[200, 400],
    );
    // Ten bytes of a value that has itself in it a thousand times over.
    let mut deep = Vec::new();
    for _ in 0..1_000 {
        let inside = std::mem::take(&mut deep);
        wire::put_message(&mut deep, wire::tag(5, wire::LEN), |out| {
            wire::put_bytes(out, wire::tag(1, wire::LEN), &inside);
        });
    }
    let mut attribute = Vec::new();
    wire::put_bytes(&mut attribute, wire::tag(2, wire::LEN), &deep);
    let mut bytes = Vec::new();
    for number in [9, 2, 2, 1] {
        let inside = if bytes.is_empty() { attribute.clone() } else { std::mem::take(&mut bytes) };
        bytes.clear();
        wire::put_bytes(&mut bytes, wire::tag(number, wire::LEN), &inside);
    }
    let got = server.post("/v1/traces", PROTOBUF, &bytes);
    assert_eq!((got.reply.status, got.points.len()), (200, 1));
    assert!(got.points[0].field("message").len() < 10_000);
}

proptest! {
    #[test]
    fn garbage_is_refused_or_understood(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut server = documented();
        for signal in ["traces", "metrics", "logs"] {
            for form in [PROTOBUF, JSON] {
                let status = server.post(&format!("/v1/{signal}"), form, &bytes).reply.status;
                prop_assert!(matches!(status, 200 | 400 | 413), "{status}");
            }
        }
    }
}

/// Three traces of one span each, with these ids, names and states.
fn small(spans: [(&str, &str, u32); 3]) -> serde_json::Value {
    let spans: Vec<serde_json::Value> = spans
        .iter()
        .map(|(trace_id, name, code)| {
            json!({ "traceId": trace_id, "spanId": "eee19b7ec3c1b174", "name": name, "startTimeUnixNano": "1000",
                "endTimeUnixNano": "3000", "status": { "code": code },
                "attributes": [{ "key": "team.name", "value": { "stringValue": "core" } },
                    { "key": "zone", "value": { "stringValue": "own" } }] })
        })
        .collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "shop" } }] },
        "scopeSpans": [{ "spans": spans }] }] })
}

fn collect(otlp: crate::intake::tracing::collector::Options) -> Server {
    Server::new(crate::intake::Options { otlp, time_correction: false, ..Default::default() })
}

#[test]
fn traces_are_filtered_each_by_itself() {
    let filters = crate::intake::tracing::FilterOptions {
        close_resource: vec![("shop".to_owned(), vec!["^/health$".to_owned()])],
        keep_rare_resource: false,
        sampling_rate: Some(0.0),
    };
    let mut server = collect(crate::intake::tracing::collector::Options { filters, ..Default::default() });
    let ids = ["0af7651916cd43dd8448eb211c80319c", "0af7651916cd43dd8448eb211c80319d"];
    let closed = (ids[0], "/health", 2);
    let failed = (ids[1], "/buy", 2);
    // The last eight letters, as a number, are 0 modulo 10,000.
    let kept = "0af7651916cd43dd8448eb2100000000";
    let number = |id: &str| u64::from_be_bytes(id.as_bytes()[24..].try_into().unwrap());
    let id = (0..100_000u32).map(|tail| format!("{}{tail:08x}", &kept[..24]));
    let kept = id.clone().find(|id| number(id).is_multiple_of(10_000)).unwrap();
    let dropped = id.clone().find(|id| !number(id).is_multiple_of(10_000)).unwrap();
    let got = both(&mut server, "traces", &small([closed, failed, (&kept, "/sell", 0)]));
    let names: Vec<&str> = got.points.iter().map(|point| point.tag("operation")).collect();
    assert_eq!((&names[..], &got.filtered[..]), (&["/buy", "/sell"][..], &[(Category::Tracing, 1)][..]));
    assert_eq!(
        (got.points[0].field("dk_sampling_rate"), got.points[1].field("dk_sampling_rate")),
        ("-", "0f")
    );
    let got =
        both(&mut server, "traces", &small([(&dropped, "/a", 0), (&dropped, "/b", 0), (&dropped, "/c", 1)]));
    assert_eq!((got.points.len(), &got.filtered[..]), (0, &[(Category::Tracing, 3)][..]));
}

#[test]
fn the_configuration_says_which_tags_there_are() {
    let options = crate::intake::tracing::collector::Options {
        customer_tags: vec!["team.name".to_owned(), "reg:^zo".to_owned()],
        del_message: true,
        tags: vec![("zone".to_owned(), "configured".to_owned()), ("site".to_owned(), "s1".to_owned())],
        ..Default::default()
    };
    let body = small([("0af7651916cd43dd8448eb211c80319c", "/buy", 0); 3]);
    let got = both(&mut collect(options), "traces", &body);
    let point = &got.points[0];
    assert_eq!([point.tag("team_name"), point.tag("zone"), point.tag("site")], ["core", "own", "s1"]);
    assert_eq!(point.field("message"), "-");
    let got = both(&mut documented(), "traces", &body);
    let message = got.points[0].message();
    assert_eq!(message["attributes"][0]["key"], "team.name", "what no tag was made of stays in the message");
    let options = crate::intake::tracing::collector::Options {
        customer_tags: vec!["team.name".to_owned()],
        ..Default::default()
    };
    let message = both(&mut collect(options), "traces", &body).points[0].message();
    assert_eq!(message["attributes"][0]["key"], "zone");
}

#[test]
fn spans_are_counted() {
    let options = crate::intake::tracing::collector::Options {
        metrics: crate::config::TraceMetrics { enabled: true, ..Default::default() },
        ..Default::default()
    };
    let mut server = collect(options);
    let body = small([("0af7651916cd43dd8448eb211c80319c", "/buy", 2); 3]);
    server.post("/v1/traces", JSON, body.to_string().as_bytes());
    let plans = crate::intake::tracing::metrics::plans(&server.settings, 1);
    let points = server.run(&plans[0], b"").points;
    let counted = points.iter().find(|point| point.fields.contains_key("hits")).unwrap();
    assert_eq!(
        (counted.field("hits"), counted.field("errors"), counted.field("latency_sum")),
        ("3f", "3f", "6f")
    );
    assert_eq!([counted.tag("source"), counted.tag("service")], ["opentelemetry", "shop"]);
}
