//! Zipkin: spans in three forms, answers, damage.

use super::*;
use crate::intake::testing::{documented, mutilate, recorded};
use crate::point::wire;
use proptest::prelude::*;
use serde_json::json;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

fn spans() -> serde_json::Value {
    let span = |id: &str, parent: &str, service: &str| {
        json!({ "traceId": "5AF7183FB1D4CF5F", "id": id, "parentId": parent, "kind": "SERVER", "name": "get /x",
            "timestamp": 1700000000000007i64, "duration": 120, "localEndpoint": { "serviceName": service },
            "tags": { "http.method": "GET", "team": "core" } })
    };
    let mut last = span("000000000000000d", "c", "db");
    last["tags"]["error"] = json!("");
    json!([span("a", "0", "shop"), span("b", "a", "shop"), span("c", "b", "shop"), last])
}

#[test]
fn spans_become_points() {
    let body = spans();
    let got = documented().post("/api/v2/spans", JSON, body.to_string().as_bytes());
    assert_eq!((got.reply.status, got.points.len()), (202, 4));
    let first = &got.points[0];
    assert_eq!(
        (first.category, &*first.name, first.time),
        (Category::Tracing, "zipkin", 1700000000000007000)
    );
    for (key, value) in [
        ("service", "shop"),
        ("operation", "get /x"),
        ("source", "zipkin"),
        ("span_kind", "server"),
        ("status", "ok"),
        ("http_method", "GET"),
        ("team", "-"),
        ("remote_ip", "10.0.0.7"),
    ] {
        assert_eq!(first.tag(key), value, "{key}");
    }
    for (key, value) in [
        ("trace_id", "5af7183fb1d4cf5f"),
        ("span_id", "a"),
        ("parent_id", "0"),
        ("start", "1700000000000007i"),
        ("duration", "120i"),
    ] {
        assert_eq!(first.field(key), value, "{key}");
    }
    assert_eq!(first.message(), body[0]);
    let kinds: Vec<&str> = got.points.iter().map(|point| point.tag("span_type")).collect();
    assert_eq!(kinds, ["entry", "local", "local", "entry"]);
    assert_eq!(got.points[3].tag("status"), "error");
}

#[test]
fn protobuf_says_the_same() {
    let mut body = Vec::new();
    wire::put_message(&mut body, wire::tag(1, wire::LEN), |out| {
        wire::put_bytes(out, wire::tag(1, wire::LEN), &[0x5a, 0xf7, 0x18, 0x3f, 0xb1, 0xd4, 0xcf, 0x5f]);
        wire::put_bytes(out, wire::tag(3, wire::LEN), &[0, 0, 0, 0, 0, 0, 0, 0x0a]);
        wire::put_uint(out, wire::tag(4, wire::VARINT), 2);
        wire::put_bytes(out, wire::tag(5, wire::LEN), b"get /x");
        out.push(wire::tag(6, wire::FIXED64));
        out.extend(1700000000000007u64.to_le_bytes());
        wire::put_uint(out, wire::tag(7, wire::VARINT), 120);
        wire::put_bytes(out, wire::tag(8, wire::LEN), b"\x0a\x04shop");
        wire::put_bytes(out, wire::tag(11, wire::LEN), b"\x0a\x0bhttp.method\x12\x03GET");
    });
    let got = documented().post("/api/v2/spans", PROTOBUF, &body);
    let point = &got.points[0];
    assert_eq!((point.field("trace_id"), point.field("span_id")), ("5af7183fb1d4cf5f", "000000000000000a"));
    assert_eq!(
        (point.tag("span_kind"), point.tag("http_method"), point.tag("service")),
        ("server", "GET", "shop")
    );
    assert_eq!(
        point.message(),
        json!({ "traceId": "5af7183fb1d4cf5f", "id": "000000000000000a", "kind": "SERVER", "name": "get /x",
            "timestamp": 1700000000000007i64, "duration": 120, "localEndpoint": { "serviceName": "shop" },
            "tags": { "http.method": "GET" } })
    );
    mutilate(&mut documented(), "/api/v2/spans", &[("Content-Type", PROTOBUF)], &body, &[202, 400]);
}

#[test]
fn the_first_version_says_it_in_annotations() {
    let body = json!([{ "traceId": "1", "id": "2", "name": "op",
        "annotations": [{ "timestamp": 9, "value": "sr", "endpoint": { "serviceName": "old" } }, { "timestamp": 5 }],
        "binaryAnnotations": [{ "key": "path.http", "value": "/p" }, { "key": "error", "value": true }] }]);
    let got = documented().post("/api/v1/spans", JSON, body.to_string().as_bytes());
    let point = &got.points[0];
    assert_eq!((point.tag("service"), point.tag("status"), point.field("resource")), ("old", "error", "/p"));
    assert_eq!((point.field("start"), point.field("duration"), point.time), ("5i", "4i", 5_000));
}

#[test]
fn what_is_no_span_is_refused() {
    for body in [
        &b"x"[..],
        b"",
        b"{}",
        b"[1]",
        b"[{}]",
        br#"[{"traceId":"1","id":"0"}]"#,
        br#"[{"traceId":"xyz","id":"1"}]"#,
        br#"[{"traceId":"1","id":"1","tags":[]}]"#,
        br#"[{"traceId":"1","id":"1","timestamp":"1"}]"#,
        br#"[{"traceId":"1","id":"1"}"#,
    ] {
        assert_eq!(documented().post("/api/v2/spans", JSON, body).reply.status, 400, "{body:?}");
        let got = recorded().post("/api/v2/spans", JSON, body).reply;
        assert_eq!((got.status, got.body.len()), (400, 0), "{body:?}");
    }
    assert_eq!(documented().post("/api/v2/spans", "application/x-thrift", b"\x0c").reply.status, 415);
    assert_eq!(documented().post("/api/v1/spans", "application/x-thrift", b"\x0c").reply.status, 400);
    assert_eq!(documented().post("/api/v2/spans", JSON, b"[]").reply.status, 202);
    let busy = documented().busy("POST", "/api/v2/spans", &[]);
    assert_eq!((busy.status, &busy.headers[..]), (503, &[("Retry-After", "3".into())][..]));
    let body = spans().to_string();
    mutilate(
        &mut documented(),
        "/api/v2/spans",
        &[("Content-Type", JSON)],
        &body.as_bytes()[..300],
        &[202, 400],
    );
}

proptest! {
    #[test]
    fn garbage_is_refused_or_understood(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for (path, form) in [(PATHS[0], JSON), (PATHS[0], PROTOBUF), (PATHS[1], JSON)] {
            let status = documented().post(path, form, &bytes).reply.status;
            prop_assert!(matches!(status, 202 | 400 | 413), "{status}");
        }
    }
}

#[test]
fn the_configuration_says_what_passes_and_which_tags_there_are() {
    let mut body = spans();
    body.as_array_mut()
        .unwrap()
        .push(json!({ "traceId": "1", "id": "1", "name": "/health", "timestamp": 1 }));
    let zipkin = crate::intake::tracing::collector::Options {
        customer_tags: vec!["team".to_owned()],
        filters: crate::intake::tracing::FilterOptions {
            close_resource: vec![("*".to_owned(), vec!["^/health$".to_owned()])],
            ..Default::default()
        },
        del_message: true,
        tags: vec![("site".to_owned(), "s1".to_owned())],
        ..Default::default()
    };
    let options = crate::intake::Options { zipkin, time_correction: false, ..Default::default() };
    let mut server = crate::intake::testing::Server::new(options);
    let got = server.post("/api/v2/spans", JSON, body.to_string().as_bytes());
    assert_eq!((got.points.len(), &got.filtered[..]), (4, &[(Category::Tracing, 1)][..]));
    let point = &got.points[0];
    assert_eq!([point.tag("team"), point.tag("site"), point.field("message")], ["core", "s1", "-"]);
}

/// Two spans of version 1: one whose times stand at its annotations, and its child.
fn thrift_spans() -> Vec<u8> {
    use super::thrift::testing::Value::{I32, I64, List, Struct, Text};
    let host = || Struct(vec![(1, I32(0x7f00_0001)), (3, Text(b"shop"))]);
    let annotation = |at: i64| Struct(vec![(1, I64(at)), (2, Text(b"sr")), (3, host())]);
    let binary = |key: &'static [u8], value: &'static [u8], of: i32| {
        Struct(vec![(1, Text(key)), (2, Text(value)), (3, I32(of)), (4, host())])
    };
    let first = Struct(vec![
        (1, I64(0x5af7_183f_b1d4_cf5f)),
        (12, I64(1)),
        (3, Text(b"get /x")),
        (4, I64(-1)),
        (6, List(vec![annotation(1_700_000_000_000_127), annotation(1_700_000_000_000_007)])),
        (
            8,
            List(vec![
                binary(b"http.method", b"GET", 6),
                binary(b"http.status_code", &[0, 0, 0, 200], 3),
                binary(b"error", &[1], 0),
            ]),
        ),
        (99, Struct(vec![(1, List(vec![Text(b"passed"), Text(b"over")]))])),
    ]);
    let second = Struct(vec![
        (1, I64(7)),
        (3, Text(b"child")),
        (4, I64(2)),
        (5, I64(-1)),
        (8, List(vec![binary(b"sa", b"", 6)])),
        (10, I64(1_700_000_000_000_010)),
        (11, I64(5)),
    ]);
    let mut out = Vec::new();
    List(vec![first, second]).write(&mut out);
    out
}

#[test]
fn version_one_comes_in_thrift_too() {
    let body = thrift_spans();
    let got = documented().post("/api/v1/spans", "application/x-thrift", &body);
    assert_eq!((got.reply.status, got.points.len()), (202, 2));
    let [first, second] = &got.points[..] else { panic!() };
    for (key, value) in [
        ("trace_id", "00000000000000015af7183fb1d4cf5f"),
        ("span_id", "ffffffffffffffff"),
        ("parent_id", "0"),
        ("start", "1700000000000007i"),
        ("duration", "120i"),
    ] {
        assert_eq!(first.field(key), value, "{key}");
    }
    assert_eq!(first.time, 1_700_000_000_000_007_000);
    for (key, value) in [
        ("service", "shop"),
        ("operation", "get /x"),
        ("status", "error"),
        ("span_type", "entry"),
        ("http_method", "GET"),
        ("http_status_code", "200"),
    ] {
        assert_eq!(first.tag(key), value, "{key}");
    }
    assert_eq!(first.message()["tags"]["http.status_code"], "200");
    assert_eq!((second.field("parent_id"), second.tag("span_type")), ("ffffffffffffffff", "exit"));
    assert_eq!((second.field("start"), second.field("duration")), ("1700000000000010i", "5i"));
    let empty = documented().post("/api/v1/spans", "application/x-thrift", b"\x0c\0\0\0\0");
    assert_eq!((empty.reply.status, empty.points.len()), (202, 0));
}

#[test]
fn damaged_thrift_is_refused_or_understood() {
    let head = [("Content-Type", "application/x-thrift")];
    mutilate(&mut documented(), "/api/v1/spans", &head, &thrift_spans(), &[202, 400]);
    // What promises much, and what goes deep.
    let lying = [&b"\x0c\0\0\0\x01\x0f\0\x63\x0c\x7f\xff\xff\xff"[..], &[0; 100]].concat();
    assert_eq!(documented().send("POST", "/api/v1/spans", &head, &lying).reply.status, 400);
    let deep = [&b"\x0c\0\0\0\x01"[..], &b"\x0c\0\x63".repeat(1000)].concat();
    assert_eq!(documented().send("POST", "/api/v1/spans", &head, &deep).reply.status, 400);
}

proptest! {
    #[test]
    fn thrift_garbage_is_refused_or_understood(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let body = [&b"\x0c\0\0\0\x01"[..], &bytes].concat();
        let status = documented().post("/api/v1/spans", "application/x-thrift", &body).reply.status;
        prop_assert!(matches!(status, 202 | 400), "{status}");
    }
}
