//! SkyWalking: segments, logs and JVMs in both dialects, answers, damage.

use super::*;
use crate::intake::Options as IntakeOptions;
use crate::intake::testing::{Got, Point, Server, documented, mutilate, recorded};
use crate::intake::tracing::FilterOptions;
use proptest::prelude::*;
use serde_json::json;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

fn bytes_of(message: &Message, json: &serde_json::Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    protobuf::from_json(message, json.to_string().as_bytes(), &mut JsonTape::default(), &mut bytes).unwrap();
    bytes
}

fn segment(spans: serde_json::Value) -> serde_json::Value {
    json!({ "traceId": "t1", "traceSegmentId": "s1.", "service": "shop|ns", "serviceInstance": "i1", "spans": spans })
}

fn span(id: i32, parent: i32, extra: serde_json::Value) -> serde_json::Value {
    let mut span = json!({ "spanId": id, "parentSpanId": parent, "startTime": "1700000000007", "endTime": 1700000000009i64,
        "operationName": "op", "peer": null, "spanType": "Local", "spanLayer": "Unknown" });
    span.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    span
}

/// The same segment in both forms, and in a list.
fn both(server: &mut Server, segment: &serde_json::Value) -> Got {
    let json = server.post("/v3/segment", JSON, segment.to_string().as_bytes());
    let list = server.post("/v3/segments", JSON, format!(" [ {segment} ] ").as_bytes());
    let packed = server.post("/v3/trace", PROTOBUF, &bytes_of(&messages::SEGMENT, segment));
    assert_eq!([json.reply.status, list.reply.status, packed.reply.status], [200; 3]);
    assert_eq!(json.points, packed.points);
    assert_eq!(list.points, packed.points);
    packed
}

fn collect(options: Options) -> Server {
    Server::new(IntakeOptions { skywalking: options, time_correction: false, ..IntakeOptions::default() })
}

#[test]
fn the_documents_example_becomes_points() {
    let segment = json!({ "traceId": "a12ff60b", "serviceInstance": "User_Service_Instance_Name",
        "spans": [
            { "operationName": "/ingress", "startTime": 1588664577013i64, "endTime": 1588664577028i64, "spanType": "Exit",
              "spanId": 1, "isError": false, "parentSpanId": 0, "componentId": 6000, "peer": "upstream service",
              "spanLayer": "Http" },
            { "operationName": "/ingress", "startTime": 1588664577013i64, "tags": [
                { "key": "http.method", "value": "GET" }, { "key": "http.params", "value": "http://localhost/ingress" }],
              "endTime": 1588664577028i64, "spanType": "Entry", "spanId": 0, "parentSpanId": -1, "isError": false,
              "spanLayer": "Http", "componentId": 6000 }],
        "service": "User_Service_Name", "traceSegmentId": "a12ff60b-s" });
    let got = both(&mut documented(), &segment);
    let [exit, entry] = &got.points[..] else { panic!("{:?}", got.points) };
    assert_eq!(
        (exit.category, &*exit.name, exit.time),
        (Category::Tracing, "skywalking", 1588664577013000000)
    );
    assert_eq!(
        (exit.tag("span_type"), exit.tag("endpoint"), exit.field("duration")),
        ("exit", "upstream service", "15000i")
    );
    assert_eq!((exit.field("parent_id"), exit.field("span_id")), ("a12ff60b-s0", "a12ff60b-s1"));
    assert_eq!((entry.tag("span_type"), entry.field("parent_id")), ("entry", "0"));
    assert_eq!((entry.tag("http_method"), entry.tag("source_type")), ("GET", "custom"));
    assert_eq!(
        exit.field("message"),
        "{\"spanId\":1,\"startTime\":1588664577013,\"endTime\":1588664577028,\"operationName\":\"/ingress\",\
         \"peer\":\"upstream service\",\"spanType\":1,\"spanLayer\":3,\"componentId\":6000}"
    );
}

#[test]
fn references_and_tags_are_taken_as_recorded() {
    let reference = json!([
        { "refType": 0, "traceId": "t0", "parentTraceSegmentId": "p.", "parentSpanId": 4, "parentService": "a" },
        { "parentTraceSegmentId": "q.", "parentSpanId": 9 },
    ]);
    let tags = json!([
        { "key": "service", "value": "not me" }, { "key": "a.b", "value": "1" }, { "key": "a.b", "value": "2" },
        { "key": "secret.x", "value": "3" }, { "key": "zone", "value": "mine" },
    ]);
    let mut server = collect(Options {
        ignore_tags: vec!["^secret".to_owned()],
        tags: vec![("zone".to_owned(), "z".to_owned()), ("dc".to_owned(), "d".to_owned())],
        ..Options::default()
    });
    let got = both(
        &mut server,
        &segment(json!([span(0, -1, json!({ "refs": reference, "tags": tags, "isError": true }))])),
    );
    let point = &got.points[0];
    assert_eq!(point.field("parent_id"), "p.4");
    for (key, value) in [
        ("service", "shop|ns"),
        ("a_b", "1"),
        ("secret_x", "-"),
        ("zone", "mine"),
        ("dc", "d"),
        ("status", "error"),
        ("span_type", "local"),
    ] {
        assert_eq!(point.tag(key), value, "{key}");
    }
}

#[test]
fn plugins_name_services() {
    let mut server =
        collect(Options { plugins: vec!["db.type".to_owned()], del_message: true, ..Options::default() });
    let tags =
        json!([{ "key": "db.type", "value": "mysql" }, { "key": "db.statement", "value": "select 1" }]);
    let got =
        both(&mut server, &segment(json!([span(1, 0, json!({ "spanLayer": "Database", "tags": tags }))])));
    let point = &got.points[0];
    for (key, value) in
        [("service", "mysql"), ("span_type", "entry"), ("source_type", "db"), ("resource", "select 1")]
    {
        assert_eq!(point.tag(key), value, "{key}");
    }
    assert_eq!((point.field("resource"), point.field("message")), ("-", "-"));
}

#[test]
fn segments_are_filtered_as_traces_are() {
    let filters = FilterOptions {
        close_resource: vec![("shop|ns".to_owned(), vec!["^health".to_owned()])],
        sampling_rate: Some(0.0),
        ..FilterOptions::default()
    };
    let mut server = collect(Options { filters, ..Options::default() });
    let mut send = |id: &str, extra: serde_json::Value| {
        let mut segment = segment(json!([span(0, -1, extra)]));
        segment["traceId"] = json!(id);
        let got = both(&mut server, &segment);
        (got.points.len(), got.filtered.len())
    };
    assert_eq!(send("1", json!({ "operationName": "healthz", "isError": true })), (0, 1));
    assert_eq!(send("1", json!({ "isError": true })), (1, 0));
    assert_eq!(send("1", json!({})), (0, 1));
    assert_eq!(send("10000", json!({})), (1, 0));
}

#[test]
fn logs_become_points() {
    let logs = json!([
        { "timestamp": "1700000000123", "service": "shop", "serviceInstance": "i1", "endpoint": "/x", "layer": "GENERAL",
          "body": { "type": "text", "text": { "text": "hello" } },
          "traceContext": { "traceId": "t", "traceSegmentId": "s" },
          "tags": { "data": [{ "key": "level", "value": "WARN" }, { "key": "logger", "value": "app" },
                              { "key": "thread", "value": "main" }] } },
        { "service": "shop", "body": { "json": { "json": "{\"a\":1}" } } },
        { "service": "shop", "body": {} },
    ]);
    let got = documented().post("/v3/logs", JSON, logs.to_string().as_bytes());
    assert_eq!((got.reply.status, &*got.reply.body), (200, &b"{}"[..]));
    let [first, second] = &got.points[..] else { panic!("{:?}", got.points) };
    assert_eq!((first.category, &*first.name, first.time), (Category::Logging, "shop", 1700000000123000000));
    for (key, value) in [
        ("status", "warn"),
        ("filename", "app"),
        ("thread", "main"),
        ("endpoint", "/x"),
        ("layer", "GENERAL"),
        ("trace_id", "t"),
        ("span_id", "0"),
        ("trace_segment_id", "s"),
    ] {
        assert_eq!(first.tag(key), value, "{key}");
    }
    assert_eq!((first.field("message"), second.field("message")), ("hello", "{\"a\":1}"));
    let one = bytes_of(&messages::LOG, &logs[0]);
    for target in ["/v3/logging", "/v3/logs"] {
        let got = recorded().post(target, PROTOBUF, &one);
        assert_eq!((got.points.len(), got.points[0].time), (1, crate::intake::testing::NOW_NS), "{target}");
    }
}

#[test]
fn a_jvm_becomes_points() {
    let body = json!({ "service": "shop", "metrics": [{
        "cpu": { "usagePercent": 12.5 },
        "memory": [{ "isHeap": true, "init": 1, "max": -1, "used": 3, "committed": 4 }, { "used": 5 }],
        "memoryPool": [{ "type": "METASPACE_USAGE", "used": 6 }],
        "gc": [{ "phase": "OLD", "count": 7 }, { "count": 8 }],
        "thread": { "liveCount": 9, "timedWaitingStateThreadCount": 10 },
        "clazz": { "loadedClassCount": 11, "totalLoadedClassCount": 12 },
    }] });
    let got = documented().post("/v3/metric", PROTOBUF, &bytes_of(&messages::JVM, &body));
    let shown = |point: &Point| {
        assert_eq!(
            (point.category, &*point.name, point.tag("service")),
            (Category::Metric, "skywalking_jvm", "shop")
        );
        point.fields.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    };
    let mut shown: Vec<String> = got.points.iter().map(shown).collect();
    // Groups come in the order of the message, which is nobody's promise.
    shown.sort();
    assert_eq!(
        shown,
        [
            "class_loaded_count=11f class_total_loaded_count=12f class_total_unloaded_count=0f",
            "cpu_usage_percent=12.5f",
            "gc_new_count=8f",
            "gc_old_count=7f",
            "heap_committed=4f heap_init=1f heap_max=-1f heap_used=3f",
            "pool_metaspace_usage_committed=0f pool_metaspace_usage_init=0f pool_metaspace_usage_max=0f \
             pool_metaspace_usage_used=6f",
            "stack_committed=0f stack_init=0f stack_max=0f stack_used=5f",
            "thread_blocked_state_count=0f thread_daemon_count=0f thread_live_count=9f thread_peak_count=0f \
             thread_runnable_state_count=0f thread_time_waiting_state_count=10f thread_waiting_state_count=0f",
        ]
    );
}

#[test]
fn instances_are_kept_and_shown() {
    let mut server = documented();
    let properties =
        br#"{"service":"shop","serviceInstance":"i1","properties":[{"key":"language","value":"Lua"}]}"#;
    for target in ["/v3/management/reportProperties", "/v3/management/keepAlive"] {
        let got = server.post(target, JSON, properties);
        assert_eq!((got.reply.status, &*got.reply.body, got.points.len()), (200, &b"{}"[..], 0), "{target}");
    }
    let shown = server.get("/v3/management/instances").reply;
    let shown: serde_json::Value = serde_json::from_slice(&shown.body).unwrap();
    assert_eq!(shown[0]["properties"], json!([{ "key": "language", "value": "Lua" }]));
    assert!(!server.settings.public_apis.allows(b"/v3/management/instances"), "not for everybody");
}

#[test]
fn what_goes_wrong_is_said() {
    let mut server = documented();
    for (target, form, body) in [
        ("/v3/segment", JSON, &b"x"[..]),
        ("/v3/segment", JSON, b""),
        ("/v3/segment", JSON, b"1"),
        ("/v3/segments", JSON, b"[{}"),
        ("/v3/segments", JSON, b"[1]"),
        ("/v3/segment", JSON, br#"{"spans":{"a":1},"traceId":1}"#),
        ("/v3/trace", PROTOBUF, b"x"),
        ("/v3/logs", JSON, b"[{\"timestamp\":true}]"),
        ("/v3/management/keepAlive", JSON, b"["),
    ] {
        let got = server.post(target, form, body);
        assert_eq!(got.reply.status, 400, "{target} {body:?}");
        assert!(got.reply.body.starts_with(b"{\"message\":"));
        let got = recorded().post(target, form, body);
        assert_eq!((got.reply.status, got.reply.body.len()), (400, 0), "{target}");
    }
    assert_eq!(server.get("/v3/segment").reply.status, 405);
    assert_eq!(recorded().get("/v3/segment").reply.status, 404);
    assert_eq!(server.post("/v3/profiling", PROTOBUF, b"x").reply.status, 200);
    let busy = server.busy("POST", "/v3/segment", &[]);
    assert_eq!((busy.status, &busy.headers[..]), (503, &[("Retry-After", "3".into())][..]));
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(server.post("/v3/segment", JSON, deep.as_bytes()).reply.status, 400);
}

#[test]
fn damaged_segments_are_refused_or_understood() {
    let tags = json!([{ "key": "a", "value": "b" }]);
    let segment = segment(json!([span(
        1,
        0,
        json!({ "tags": tags, "refs": [{ "parentSpanId": 1 }], "logs": [{ "time": 1 }] })
    )]));
    let body = bytes_of(&messages::SEGMENT, &segment);
    mutilate(&mut documented(), "/v3/trace", &[("Content-Type", PROTOBUF)], &body, &[200, 400]);
    let body = segment.to_string();
    mutilate(&mut documented(), "/v3/segment", &[("Content-Type", JSON)], body.as_bytes(), &[200, 400]);
}

proptest! {
    #[test]
    fn garbage_is_refused_or_understood(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut server = documented();
        for path in PATHS {
            for form in [PROTOBUF, JSON] {
                let status = server.post(path, form, &bytes).reply.status;
                prop_assert!(matches!(status, 200 | 400 | 413), "{path} {status}");
            }
        }
    }
}

#[test]
fn what_pages_say_becomes_points() {
    let mut server = documented();
    let page = json!({ "service": "shop-web", "serviceVersion": "v1", "pagePath": "/cart", "time": "1700000000007",
        "dnsTime": 3, "fmpTime": 120, "peer": null });
    let got = server.post("/browser/perfData", JSON, page.to_string().as_bytes());
    assert_eq!((got.reply.status, &*got.reply.body), (200, &b"{}"[..]));
    let point = &got.points[0];
    assert_eq!((point.category, &*point.name), (Category::Metric, "skywalking_browser_page"));
    assert_eq!(point.time, 1_700_000_000_007_000_000);
    assert_eq!(
        [point.tag("service"), point.tag("service_version"), point.tag("page_path")],
        ["shop-web", "v1", "/cart"]
    );
    assert_eq!((point.field("dns_time"), point.field("fmp_time"), point.field("time")), ("3i", "120i", "-"));

    let vitals = json!({ "service": "shop-web", "pagePath": "/", "cls": 0.25, "lcpTime": 900 });
    let got = server.post("/browser/perfData/webVitals", JSON, vitals.to_string().as_bytes());
    assert_eq!(
        (&*got.points[0].name, got.points[0].field("cls")),
        ("skywalking_browser_web_vitals", "0.25f")
    );
    for path in ["/browser/perfData/resources", "/browser/perfData/webInteractions"] {
        let list =
            json!([{ "service": "s", "name": "a.js", "duration": 5 }, { "service": "s", "duration": 6 }]);
        assert_eq!(server.post(path, JSON, list.to_string().as_bytes()).points.len(), 2, "{path}");
    }

    let error = |message: &str| {
        json!({ "uniqueId": "u1", "service": "shop-web", "serviceVersion": "v1", "pagePath": "/cart",
            "category": "js", "grade": "ERROR", "message": message, "line": 1, "col": 2, "stack": "a\nb",
            "errorUrl": "http://x/a.js", "firstReportedError": true })
    };
    let got = server.post("/browser/errorLog", JSON, error("boom").to_string().as_bytes());
    let point = &got.points[0];
    assert_eq!((point.category, &*point.name), (Category::Logging, "shop-web"));
    assert_eq!([point.tag("category"), point.tag("status")], ["js", "error"]);
    assert_eq!(
        [point.field("message"), point.field("stack"), point.field("first_reported_error")],
        ["boom", "a\nb", "true"]
    );
    let list = json!([error("a"), error("b")]).to_string();
    let got = server.post("/browser/errorLogs", JSON, list.as_bytes());
    assert_eq!(got.points.len(), 2);
    mutilate(&mut server, "/browser/errorLogs", &[], list.as_bytes(), &[200, 400]);
    assert_eq!(server.post("/browser/errorLog", JSON, b"[1]").reply.status, 400);
    assert_eq!(server.get("/browser/errorLog").reply.status, 405);
}
