//! Events of browsers: names, numbers, forms, damage. Whole sessions are replayed by `tests/it/captured.rs` and sent by a
//! browser in `tests/clients`.

use std::io::Write as _;

use serde_json::json;

use super::*;
use crate::intake::testing::{Got, Server, documented, mutilate};
use crate::intake::{Options, datakit::rum::RumOptions};

const TARGET: &str = "/rumproxy?ddforward=%2Fapi%2Fv2%2Frum%3Fddsource%3Dbrowser%26dd-api-key%3Dpub";

fn event(kind: &str, more: Value) -> Value {
    let mut event = json!({
        "type": kind, "date": 1_795_303_171_168i64, "service": "shop", "version": "1.0.0", "source": "browser",
        "application": { "id": "app" }, "session": { "id": "s1", "type": "user" },
        "usr": { "id": "u1", "anonymous_id": "a1", "name": "张三" },
        "view": { "id": "v1", "url": "http://shop.example:81/cart/1?a=1&b=%20x#top", "referrer": "" },
        "_dd": { "drift": -1, "configuration": { "session_sample_rate": 100 } },
        "ddtags": "sdk_version:7.16.2,env:test,service:shop", "display": { "viewport": { "width": 780 } },
    });
    for (key, value) in more.as_object().unwrap() {
        match (event.get_mut(key).and_then(Value::as_object_mut), value) {
            (Some(there), Value::Object(value)) => there.extend(value.clone()),
            _ => event[key] = value.clone(),
        }
    }
    event
}

fn lines(events: &[Value]) -> Vec<u8> {
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    lines.join("\n").into_bytes()
}

fn send(server: &mut Server, events: &[Value]) -> Got {
    server.post(TARGET, "text/plain;charset=UTF-8", &lines(events))
}

#[test]
fn events_become_points_under_the_platforms_names() {
    let more = json!({
        "resource": { "id": "r1", "url": "https://api.example/stock?q=1", "status_code": 204, "method": "GET",
            "duration": 62_800_000, "size": 12, "first_byte": { "duration": 6.5, "start": 1 } },
        "_dd": { "trace_id": "6268158305707658122", "span_id": "617250648100326791", "drift": -1 },
        "context": { "team": "core", "total": 12.5, "list": [1, 2] },
    });
    let got = send(&mut documented(), &[event("resource", more)]);
    assert_eq!((got.reply.status, got.reply.body.len(), got.points.len()), (202, 0, 1));
    let point = &got.points[0];
    assert_eq!((point.category, point.name.as_str()), (Category::Rum, "resource"));
    assert_eq!(point.time, 1_795_303_171_168_000_000);
    for (key, value) in [
        ("app_id", "app"),
        ("sdk_name", "browser-rum-sdk"),
        ("sdk_version", "7.16.2"),
        ("env", "test"),
        ("service", "shop"),
        ("userid", "u1"),
        ("user_name", "张三"),
        ("is_signin", "T"),
        ("view_url", "http://shop.example:81/cart/1?a=1&b=%20x#top"),
        ("view_host", "shop.example:81"),
        ("view_path", "/cart/1"),
        ("view_referrer", "-"),
        ("resource_status", "204"),
        ("resource_status_group", "2xx"),
        ("trace_id", "6268158305707658122"),
        ("ip", "10.0.0.7"),
        ("city", "unknown"),
    ] {
        assert_eq!(point.tag(key), value, "{key}");
    }
    for (key, value) in [
        ("view_url_query", r#"{"a":"1","b":" x"}"#),
        ("resource_url_host", "api.example"),
        ("resource_url_path", "/stock"),
        ("resource_url_query", r#"{"q":"1"}"#),
        ("duration", "62800000f"),
        ("resource_ttfb", "6.5f"),
        ("drift", "-1f"),
        ("display", r#"{"viewport":{"width":780}}"#),
        ("team", "core"),
        ("total", "12.5f"),
        ("list", "[1,2]"),
        ("custom_keys", r#"["list","team","total"]"#),
    ] {
        assert_eq!(point.field(key), value, "{key}");
    }
}

#[test]
fn every_kind_has_what_it_is_about() {
    let events = [
        event("view", json!({ "view": { "is_active": true, "time_spent": 5, "error": { "count": 2 } } })),
        event("action", json!({ "action": { "id": "x", "type": "custom", "target": { "name": "pay" } } })),
        event("error", json!({ "error": { "id": "e", "message": "m", "stack": "a\n  at b", "type": "T" } })),
        event("long_task", json!({ "long_task": { "id": "l", "duration": 9, "scripts": [{ "a": 1 }] } })),
        event("resource", json!({ "resource": { "url": "/relative" }, "action": { "id": ["x", "y"] } })),
    ];
    let got = send(&mut documented(), &events);
    let [view, action, error, task, resource] = &got.points[..] else { panic!("{:?}", got.points) };
    assert_eq!((view.field("is_active"), view.field("view_error_count")), ("true", "2f"));
    assert_eq!((action.tag("action_type"), action.field("action_name")), ("custom", "pay"));
    assert_eq!(action.field("action_id"), "x");
    assert_eq!((error.tag("error_type"), error.field("error_stack")), ("T", "a\n  at b"));
    assert_eq!((task.field("duration"), task.field("scripts")), ("9f", r#"[{"a":1}]"#));
    assert_eq!((resource.field("resource_url_host"), resource.field("resource_url_path")), ("", "/relative"));
    assert_eq!(resource.field("action_ids"), r#"["x","y"]"#);
}

#[test]
fn what_is_not_taken_is_filtered_and_the_rest_stays() {
    let telemetry = json!({ "type": "telemetry", "date": 1, "telemetry": { "type": "usage", "usage": { "feature": "f" } } });
    let nobodys = json!({ "type": "view", "date": 1, "view": { "is_active": true } });
    let events = [event("vital", json!({})), telemetry, nobodys, event("view", json!({}))];
    let got = send(&mut documented(), &events);
    let names: Vec<&str> = got.points.iter().map(|point| point.name.as_str()).collect();
    assert_eq!(names, ["telemetry", "view"]);
    assert_eq!(got.filtered, [(Category::Rum, 2)]);
    assert_eq!(got.points[0].field("usage"), r#"{"feature":"f"}"#);

    let rum = RumOptions { app_ids: vec!["another".to_owned()], ..RumOptions::default() };
    let got = send(&mut Server::new(Options { rum, ..Options::default() }), &events);
    assert_eq!((got.reply.status, got.points.len()), (202, 1));
    assert_eq!(got.filtered, [(Category::Rum, 3)]);
}

#[test]
fn bodies_may_be_deflated() {
    let body = lines(&[event("view", json!({})), event("error", json!({}))]);
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&body).unwrap();
    let target = format!("{TARGET}%26dd-evp-encoding%3Ddeflate");
    let got = documented().post(&target, "text/plain", &encoder.finish().unwrap());
    assert_eq!((got.reply.status, got.points.len()), (202, 2));
    assert_eq!(documented().post(&target, "text/plain", &body).reply.status, 400);
}

#[test]
fn other_targets_are_answered_and_let_go() {
    for (method, forward) in
        [("GET", "/api/v2/profiling/quota"), ("POST", "/api/v2/replay?a=b"), ("POST", "")]
    {
        let target = format!("/rumproxy?ddforward={forward}");
        let got = documented().send(method, &target, &[], b"{");
        assert_eq!((got.reply.status, got.points.len()), (202, 0), "{target}");
    }
    assert_eq!(documented().send("DELETE", TARGET, &[], b"").reply.status, 404);
    assert_eq!(documented().busy("POST", TARGET, &[]).status, 503);
}

#[test]
fn what_is_no_event_is_refused() {
    let event_of = |bytes: usize| event("view", json!({ "context": { "a": "x".repeat(bytes) } }));
    assert_eq!(send(&mut documented(), &[event_of(300_000)]).points.len(), 1);
    assert_eq!(send(&mut documented(), &[event_of(EVENT_BYTES_MAX)]).reply.status, 413);
    for body in ["[1]", "{", "{\"type\":1}", "null", "{\"type\":\"view\"}{}"] {
        let got = documented().post(TARGET, "text/plain", body.as_bytes());
        assert_eq!((got.reply.status, got.points.len()), (400, 0), "{body}");
    }
    let deep =
        format!("{{\"type\":\"view\",\"application\":{{\"id\":\"a\"}},\"context\":{}1", "[".repeat(9_000));
    assert_eq!(documented().post(TARGET, "text/plain", deep.as_bytes()).reply.status, 400);
    for body in ["", "\n\n"] {
        assert_eq!(documented().post(TARGET, "text/plain", body.as_bytes()).reply.status, 202);
    }
}

#[test]
fn addresses_come_apart() {
    for (url, host, path, query) in [
        ("http://a:1/b/c?d=e#f", "a:1", "/b/c", "d=e"),
        ("https://a", "a", "/", ""),
        ("https://a?x#y?z", "a", "/", "x"),
        ("/b?c", "", "/b", "c"),
        ("", "", "/", ""),
    ] {
        assert_eq!(Url::parse(url), Url { host, path, query }, "{url}");
    }
}

#[test]
fn damage_is_answered() {
    let body = lines(&[event("view", json!({ "context": { "a": [1, "x"] } }))]);
    mutilate(&mut documented(), TARGET, &[], &body[..200], &[202, 400]);
    mutilate(&mut documented(), TARGET, &[], b"{\"type\":\"telemetry\"}\n{}", &[202, 400]);
}
