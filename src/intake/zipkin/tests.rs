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
    assert_eq!(documented().post("/api/v1/spans", "application/x-thrift", b"\x0c").reply.status, 415);
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
