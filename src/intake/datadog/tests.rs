//! Datadog tracers: every form of a trace, filters, answers, damage.

use super::*;
use crate::intake::testing::{Got, Point, Server, documented, mutilate, recorded};
use crate::intake::tracing::FilterOptions;
use crate::intake::{Options as IntakeOptions, access};
use crate::point::Category;
use proptest::prelude::*;
use serde_json::json;

/// Writes msgpack.
#[derive(Default)]
struct Pack(Vec<u8>);

impl Pack {
    fn value(&mut self, value: &serde_json::Value) {
        use serde_json::Value;
        match value {
            Value::Null => self.0.push(0xc0),
            Value::Bool(value) => self.0.push(0xc2 + u8::from(*value)),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), ..) => {
                    self.0.push(0xcf);
                    self.0.extend(value.to_be_bytes());
                }
                (_, Some(value), _) => {
                    self.0.push(0xd3);
                    self.0.extend(value.to_be_bytes());
                }
                (.., value) => {
                    self.0.push(0xcb);
                    self.0.extend(value.unwrap().to_be_bytes());
                }
            },
            Value::String(text) => {
                self.0.push(0xdb);
                self.0.extend((text.len() as u32).to_be_bytes());
                self.0.extend(text.as_bytes());
            }
            Value::Array(items) => {
                self.0.push(0xdd);
                self.0.extend((items.len() as u32).to_be_bytes());
                items.iter().for_each(|item| self.value(item));
            }
            Value::Object(members) => {
                self.0.push(0xdf);
                self.0.extend((members.len() as u32).to_be_bytes());
                for (key, value) in members {
                    self.value(&json!(key));
                    self.value(value);
                }
            }
        }
    }
}

fn pack(value: &serde_json::Value) -> Vec<u8> {
    let mut pack = Pack::default();
    pack.value(value);
    pack.0
}

/// The pairs of indices of a v0.5 map.
fn pack_dictionary(strings: &serde_json::Value, spans: &[serde_json::Value]) -> Vec<u8> {
    let mut out = vec![0x92];
    out.extend(pack(strings));
    out.extend([0x91, 0xdd]);
    out.extend((spans.len() as u32).to_be_bytes());
    for span in spans {
        let values = span.as_array().unwrap();
        out.push(0x90 + values.len() as u8);
        for (index, value) in values.iter().enumerate() {
            let pairs = value.as_array().filter(|_| index == 9 || index == 10);
            match pairs {
                None => out.extend(pack(value)),
                Some(pairs) => {
                    out.push(0x80 + pairs.len() as u8);
                    pairs
                        .iter()
                        .flat_map(|pair| pair.as_array().unwrap())
                        .for_each(|it| out.extend(pack(it)));
                }
            }
        }
    }
    out
}

fn span(trace: u64, id: u64, parent: u64) -> serde_json::Value {
    json!({ "trace_id": trace, "span_id": id, "parent_id": parent, "service": "s", "name": "n", "resource": "r",
        "type": "web", "start": 1_700_000_000_000_000_000i64, "duration": 5_000, "error": 0,
        "meta": { "env": "e" }, "metrics": { "m": 1.5 } })
}

const MSGPACK: &str = "application/msgpack";
const JSON: &str = "application/json";

/// The same traces in every form that takes them.
fn both(server: &mut Server, traces: &serde_json::Value) -> Got {
    let mut packed = server.post("/v0.4/traces", MSGPACK, &pack(traces));
    let mut json = server.post("/v0.3/traces", JSON, traces.to_string().as_bytes());
    assert_eq!(packed.reply.status, json.reply.status, "{traces}");
    for got in [&mut packed, &mut json] {
        for point in &mut got.points {
            let message = point.message().to_string();
            point.fields.insert("message".to_owned(), message);
        }
    }
    assert_eq!(packed.points, json.points);
    assert_eq!(packed.filtered, json.filtered);
    packed
}

fn collect(options: Options) -> Server {
    Server::new(IntakeOptions { datadog: options, time_correction: false, ..IntakeOptions::default() })
}

fn ids(points: &[Point]) -> Vec<&str> {
    points.iter().map(|point| point.field("span_id")).collect()
}

#[test]
fn texts_of_errors_become_one_line_as_a_check_would_make_them() {
    for text in ["no\nway", "\n", "a\\", "\\", "\n\\", "a\n\\\\", "", "plain", "é\nà"] {
        let points = [0, 1].map(|error| {
            let mut span = span(1, 7, 0);
            span["meta"] = json!({ "error.msg": text, "error.type": text, "env": text });
            span["error"] = json!(error);
            let mut point = both(&mut documented(), &json!([[span]])).points.remove(0);
            point.fields.remove("message");
            point.tags.remove("status");
            point
        });
        assert_eq!(points[0], points[1], "{text:?}");
    }
}

#[test]
fn a_span_becomes_a_point() {
    let mut span = span(u64::MAX, 7, 0);
    span["resource"] = json!("a\nb");
    span["meta"] = json!({ "http.url": "/x", "http.status_code": "404", "error.msg": "no\nway", "team": "core",
        "db.type": "mysql", "peer.hostname": "db1", "runtime-id": "u-1", "long": "x", "error.stack": "s\n".repeat(600) });
    span["metrics"] = json!({ "_sampling_priority_v1": 2, "rows": 3 });
    span["error"] = json!(1);
    span["meta_struct"] = json!({ "deep": [[{}]] });
    let got = both(&mut documented(), &json!([[span]]));
    assert_eq!(got.reply.status, 200);
    let point = &got.points[0];
    assert_eq!(
        (point.category, &*point.name, point.time),
        (Category::Tracing, "ddtrace", 1_700_000_000_000_000_000)
    );
    for (key, value) in [
        ("service", "s"),
        ("operation", "n"),
        ("source", "ddtrace"),
        ("span_type", "entry"),
        ("source_type", "web"),
        ("status", "error"),
        ("remote_ip", "10.0.0.7"),
        ("sampling_rate", "user_keep"),
        ("http_url", "/x"),
        ("http_status_code", "404"),
        ("http_status_class", "4xx"),
        ("error_message", "no way"),
        ("db_system", "mysql"),
        ("db_host", "db1"),
        ("runtime_id", "u-1"),
        ("runtime-id", "u-1"),
        ("dk_fingerprint", "localhost"),
        ("error_stack", "-"),
        ("team", "-"),
    ] {
        assert_eq!(point.tag(key), value, "{key}");
    }
    for (key, value) in [
        ("trace_id", "18446744073709551615"),
        ("span_id", "7"),
        ("parent_id", "0"),
        ("resource", "a b"),
        ("start", "1700000000000000i"),
        ("duration", "5i"),
        ("error_stack", &*"s\n".repeat(600)),
    ] {
        assert_eq!(point.field(key), value, "{key}");
    }
    assert_eq!(
        point.message(),
        json!({ "service": "s", "name": "n", "resource": "a\nb", "start": 1_700_000_000_000_000_000i64,
            "duration": 5_000, "error": 1, "meta": { "team": "core", "peer.hostname": "db1", "long": "x" },
            "metrics": { "_sampling_priority_v1": 2, "rows": 3 }, "type": "web" })
    );
}

#[test]
fn ids_are_as_configured() {
    let mut first = span(0x1f, 0x2e, 0);
    first["meta"]["_dd.p.tid"] = json!("6b0220c300000000");
    let traces = json!([[first, span(0x1f, 0x3d, 0x2e)]]);
    let ids = |options: Options| {
        let got = both(&mut collect(options), &traces);
        let of = |point: &Point| ["trace_id", "span_id", "parent_id"].map(|key| point.field(key).to_owned());
        (of(&got.points[0]), of(&got.points[1]))
    };
    let wide = "6b0220c300000000000000000000001f";
    let defaults = ids(Options::default());
    assert_eq!(defaults, ([wide, "46", "0"].map(String::from), [wide, "61", "46"].map(String::from)));
    let narrow = ids(Options { trace_128_bit_id: false, ..Options::default() });
    assert_eq!(narrow.0, ["31", "46", "0"]);
    let otel = ids(Options { compatible_otel: true, ..Options::default() });
    assert_eq!(otel.1, [wide, "000000000000003d", "000000000000002e"]);
    let hexadecimal = ids(Options { trace_id_64_bit_hex: true, ..Options::default() });
    assert_eq!(hexadecimal.0, ["000000000000001f", "000000000000002e", "0"]);
}

#[test]
fn kinds_of_spans_follow_from_the_others() {
    let mut other = span(1, 5, 3);
    other["service"] = json!("db");
    let spans = json!([[span(1, 2, 0), span(1, 3, 2), span(1, 4, 3), other, span(1, 6, 99)]]);
    let got = both(&mut documented(), &spans);
    let kinds: Vec<&str> = got.points.iter().map(|point| point.tag("span_type")).collect();
    assert_eq!(kinds, ["entry", "local", "exit", "entry", "entry"]);
}

#[test]
fn dictionaries_are_read_and_traces_joined() {
    let strings = json!(["", "s", "n", "r", "web", "env", "e", "_sampling_priority_v1"]);
    let of = |trace: u64, id: u64, parent: u64| {
        json!([1, 2, 3, trace, id, parent, 9_000, 4_000, 0, [[5, 6]], [[7, 1.0]], 4])
    };
    let body = pack_dictionary(&strings, &[of(1, 2, 0), of(9, 8, 0), of(1, 3, 2)]);
    let got = documented().post("/v0.5/traces", "text/anything", &body);
    assert_eq!((got.reply.status, &*got.reply.body), (200, &b"{}"[..]));
    assert_eq!(ids(&got.points), ["2", "3", "8"]);
    let kinds: Vec<&str> = got.points.iter().map(|point| point.tag("span_type")).collect();
    assert_eq!(kinds, ["entry", "exit", "entry"]);
    assert_eq!((got.points[0].tag("env"), got.points[0].tag("sampling_rate")), ("e", "sampler_keep"));
    for bad in [
        pack_dictionary(&json!([""]), &[of(1, 2, 0)]),
        pack_dictionary(&strings, &[json!([1, 2, 3])]),
        pack_dictionary(&strings, &[json!([1, 2, 3, 4, 5, 6, 7, 8, 9, [], [], 4, 4])]),
    ] {
        assert_eq!(documented().post("/v0.5/traces", MSGPACK, &bad).reply.status, 400);
    }
    let mut server = documented();
    mutilate(&mut server, "/v0.5/traces", &[("Content-Type", MSGPACK)], &body, &[200, 400, 413]);
}

#[test]
fn what_is_nothing_and_what_is_accepted() {
    let mut server = recorded();
    for (target, form, body, points) in [
        ("/v0.4/traces", MSGPACK, &b""[..], 0),
        ("/v0.4/traces", MSGPACK, b"\x90", 0),
        ("/v0.4/traces", MSGPACK, b"\x92\xc0\x90", 0),
        ("/v0.4/traces", MSGPACK, b"\x91\x91\xc0", 0),
        ("/v0.4/traces", MSGPACK, b"\x91\x91\x80", 1),
        ("/v0.4/traces", JSON, b"null", 0),
        ("/v0.4/traces", JSON, b"[]", 0),
        ("/v0.4/traces", JSON, b"[null,[],[null]]", 0),
        ("/v0.4/traces", JSON, b"[[{}]]", 1),
        ("/v0.4/traces", "text/plain", b" [[{}]]", 1),
        ("/v0.4/traces", "text/plain", b"\x91\x91\x80", 1),
        ("/v0.2/traces", JSON, b"[[{\"trace_id\":18446744073709551615,\"error\":null,\"meta\":null}]]", 1),
        // Binaries for texts, integers for doubles, bits of negative ids.
        (
            "/v0.3/traces",
            MSGPACK,
            b"\x91\x91\x83\xa7service\xc4\x01s\xa8trace_id\xff\xa7metrics\x81\xa1m\x05",
            1,
        ),
    ] {
        let got = server.post(target, form, body);
        assert_eq!((got.reply.status, got.points.len()), (200, points), "{target} {form} {body:?}");
    }
    let head = [("X-Datadog-Trace-Count", "0"), ("Content-Type", MSGPACK)];
    assert_eq!(server.send("PUT", "/v0.4/traces", &head, b"garbage").reply.status, 200);
}

#[test]
fn what_is_no_trace_is_refused() {
    let bodies: [(&str, &[u8]); 16] = [
        (MSGPACK, b"\x00"),
        (MSGPACK, b"\xc0"),
        (MSGPACK, b"\x91\x00"),
        (MSGPACK, b"\x91\x91\x00"),
        (MSGPACK, b"\x91\x91\x81\xa4meta\xc0"),
        (MSGPACK, b"\x91\x91\x81\xa7metrics\x81\xa1m\xca\0\0\0\0"),
        (MSGPACK, b"\x91\x91\x81\xa5start\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
        (MSGPACK, b"\x91\x91\x81\xa5error\xce\xff\xff\xff\xff"),
        (MSGPACK, b"\xdd\xff\xff\xff\xff"),
        (MSGPACK, b"\x91\xdd\xff\xff\xff\xff"),
        (JSON, b"{}"),
        (JSON, b"[[1]]"),
        (JSON, b"[[{\"trace_id\":1.5}]]"),
        (JSON, b"[[{\"trace_id\":\"1\"}]]"),
        (JSON, b"[[{\"meta\":{\"a\":1}}]]"),
        (JSON, b"[[{}]"),
    ];
    for (form, body) in bodies {
        let got = recorded().post("/v0.4/traces", form, body);
        assert_eq!((got.reply.status, got.reply.body.len()), (400, 0), "{body:?}");
        let got = documented().post("/v0.4/traces", form, body);
        assert_eq!(got.reply.status, 400, "{body:?}");
        assert!(!got.reply.body.is_empty());
    }
    assert_eq!(documented().post("/v0.2/traces", MSGPACK, b"\x90").reply.status, 415);
    let deep = format!("[[{{\"x\":{}{}}}]]", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(documented().post("/v0.4/traces", JSON, deep.as_bytes()).reply.status, 400);
    let body = pack(&json!([[span(1, 2, 0)]]));
    mutilate(&mut documented(), "/v0.4/traces", &[("Content-Type", MSGPACK)], &body, &[200, 400, 413]);
}

#[test]
fn spans_without_a_list_of_traces_are_grouped() {
    let spans = json!([span(5, 1, 0), span(6, 2, 0), span(5, 3, 1)]);
    let got = documented().post("/v0.1/spans", "text/plain", spans.to_string().as_bytes());
    assert_eq!(ids(&got.points), ["1", "3", "2"]);
    assert_eq!(got.points[1].tag("span_type"), "exit");
    assert_eq!(&*got.reply.body, b"OK\n");
}

#[test]
fn texts_that_are_none_are_repaired() {
    let body = b"\x91\x91\x82\xa7service\xa3a\xffb\xa4name\xa1n";
    let got = documented().post("/v0.4/traces", MSGPACK, body);
    assert_eq!(got.points[0].tag("service"), "a\u{fffd}b");
    assert_eq!(got.points[0].message()["service"], "a\u{fffd}b");
}

#[test]
fn texts_have_the_documented_lengths_and_the_recorded_ones() {
    let mut long = span(1, 2, 0);
    for (key, chars) in [("service", 150), ("name", 150), ("resource", 6_000)] {
        long[key] = json!("é".repeat(chars));
    }
    let lengths = |got: Got| {
        let point = &got.points[0];
        [point.tag("service"), point.tag("operation"), point.field("resource")]
            .map(|text| text.chars().count())
    };
    let traces = json!([[long]]);
    assert_eq!(lengths(both(&mut documented(), &traces)), [100, 100, 5_000]);
    assert_eq!(lengths(both(&mut recorded(), &traces)), [150, 150, 6_000]);
}

#[test]
fn traces_that_their_sender_gave_up_are_counted_and_let_go() {
    for (priority, kept) in [(-3, false), (-1, false), (0, false), (1, true), (2, true), (3, true)] {
        let mut first = span(1, 2, 0);
        first["metrics"]["_sampling_priority_v1"] = json!(priority);
        let got = both(&mut documented(), &json!([[first, span(1, 3, 2)], [span(4, 5, 0)]]));
        assert_eq!(got.points.len(), if kept { 3 } else { 1 }, "{priority}");
        let filtered = if kept { vec![] } else { vec![(Category::Tracing, 2)] };
        assert_eq!(got.filtered, filtered, "{priority}");
    }
}

#[test]
fn collectors_filters_are_asked_in_order() {
    let web = |trace: u64, resource: &str, status: &str, error: i32| {
        let mut span = span(trace, trace, 0);
        span["resource"] = json!(resource);
        span["meta"]["http.status_code"] = json!(status);
        span["error"] = json!(error);
        json!([span])
    };
    let options = Options {
        filters: FilterOptions {
            close_resource: vec![("*".to_owned(), vec!["^/health".to_owned()])],
            keep_rare_resource: true,
            sampling_rate: Some(0.0),
        },
        omit_err_status: vec!["404".to_owned()],
        ..Options::default()
    };
    let mut server = collect(options);
    let traces = json!([
        web(1, "/health", "200", 1),    // closed, whatever else it is
        web(2, "/broken", "404", 1),    // an error stays
        web(3, "/missing", "404", 0),   // omitted
        web(4, "/rare", "200", 0),      // not seen before
        web(5, "/rare", "200", 0),      // seen, and sampled away
        web(10_000, "/rare", "200", 0)  // seen, and kept by the sampler
    ]);
    let got = server.post("/v0.4/traces", MSGPACK, &pack(&traces));
    assert_eq!(ids(&got.points), ["2", "4", "10000"]);
    assert_eq!(got.filtered, [(Category::Tracing, 3)]);
    assert_eq!(got.points[2].field("dk_sampling_rate"), "0f");
    assert_eq!(got.points[1].field("dk_sampling_rate"), "-");
}

#[test]
fn tags_come_from_the_configuration_and_by_customer_tags() {
    let mut server = collect(Options {
        customer_tags: vec!["team.name".to_owned(), "reg:^usr".to_owned(), "service".to_owned()],
        tags: vec![("zone".to_owned(), "z1".to_owned()), ("service".to_owned(), "never".to_owned())],
        del_message: true,
        ..Options::default()
    });
    let mut first = span(1, 2, 0);
    first["meta"] = json!({ "team.name": "core", "usr.id": "7", "usr_id": "8", "zone": "mine", "service": "x",
        "usr.long": "y".repeat(2_000) });
    let got = server.post("/v0.4/traces", MSGPACK, &pack(&json!([[first]])));
    let point = &got.points[0];
    for (key, value) in [("team_name", "core"), ("zone", "z1"), ("service", "s"), ("usr_long", "-")] {
        assert_eq!(point.tag(key), value, "{key}");
    }
    assert!(matches!(point.tag("usr_id"), "7" | "8"));
    assert_eq!((point.field("usr_long").len(), point.field("message")), (2_000, "-"));
}

#[test]
fn traces_of_too_many_spans_are_cut() {
    let mut server = collect(Options { trace_max_spans: 2, ..Options::default() });
    let got = both(&mut server, &json!([[span(1, 1, 0), span(1, 2, 1), span(1, 3, 1)]]));
    assert_eq!(ids(&got.points), ["1", "2"]);
    assert_eq!(got.filtered, [(Category::Tracing, 1)]);
    assert_eq!(got.points[1].message()["meta"]["__datakit_span_truncated"], "1");
    assert!(got.points[0].message()["meta"].get("__datakit_span_truncated").is_none());
}

#[test]
fn bodies_have_a_bound_of_their_own() {
    let body = pack(&json!([[span(1, 2, 0)]]));
    let options = Options { body_bytes_max: body.len() - 1, ..Options::default() };
    assert_eq!(collect(options.clone()).post("/v0.4/traces", MSGPACK, &body).reply.status, 413);
    // Recorded: said to be taken, and not kept.
    let options = IntakeOptions { datadog: options, compat: Compat::Datakit184, ..IntakeOptions::default() };
    let got = Server::new(options).post("/v0.4/traces", MSGPACK, &body);
    assert_eq!((got.reply.status, got.reply.body.len(), got.points.len()), (200, 0, 0));
}

#[test]
fn tracers_get_the_answers_they_need() {
    let mut server = documented();
    let got = server.send("PUT", "/v0.4/traces", &[("Datadog-Rates-Payload-Version", "v9")], b"[]");
    assert!(got.reply.headers.contains(&("Datadog-Rates-Payload-Version", "v9".into())));
    for (method, target, status, body) in [
        ("PUT", "/v0.3/traces", 200, &b"OK\n"[..]),
        ("POST", "/v0.7/config", 200, b"{}"),
        ("PUT", "/v0.6/stats", 200, b""),
        ("POST", "/dogstatsd/v2/proxy", 200, b""),
        ("GET", "/rumproxy?ddforward=%2Fapi%2Fv2%2Fprofiling%2Fquota", 202, b""),
        ("POST", "/telemetry/proxy/api/v2/apmtelemetry", 200, b""),
    ] {
        let got = server.send(method, target, &[], b"[]");
        assert_eq!((got.reply.status, &*got.reply.body), (status, body), "{target}");
    }
    for target in ["/v0.7/traces", "/v1.0/traces", "/evp_proxy/v2/x", "/debugger/v1/input"] {
        assert_eq!(server.post(target, MSGPACK, b"").reply.status, 404, "{target}");
    }
    let info: serde_json::Value = serde_json::from_slice(&server.get("/info").reply.body).unwrap();
    assert_eq!(info["client_drop_p0s"], false);
    assert!(info["endpoints"].as_array().unwrap().iter().all(|path| path != "/v0.6/stats"));
    assert_eq!(recorded().get("/info").reply.status, 404);
    assert_eq!(server.get("/v0.4/traces").reply.status, 404);
    let busy = server.busy("PUT", "/v0.5/traces", &[]);
    assert_eq!((busy.status, &busy.headers[..]), (503, &[("Retry-After", "3".into())][..]));
    for path in PATHS {
        assert!(server.settings.public_apis.allows(path.as_bytes()), "{path}");
    }
}

#[test]
fn a_proxys_word_for_the_address_counts_as_recorded() {
    let ip = |server: &mut Server, value: &str| {
        let head = [("Content-Type", JSON), ("X-Forwarded-For", value)];
        server.send("POST", "/v0.4/traces", &head, b"[[{}]]").points[0].tag("remote_ip").to_owned()
    };
    assert_eq!(ip(&mut recorded(), "1.2.3.4, 5.6.7.8:99"), "5.6.7.8");
    assert_eq!(ip(&mut recorded(), "1.2.3.4"), "10.0.0.7");
    assert_eq!(ip(&mut documented(), "1.2.3.4"), "1.2.3.4");
    assert_eq!(ip(&mut documented(), "unknown"), "10.0.0.7");
}

#[test]
fn a_jvm_says_what_it_is() {
    let head = [("DD-Telemetry-Request-Type", "message-batch"), ("DD-Telemetry-API-Version", "v2")];
    let target = "/telemetry/proxy/api/v2/apmtelemetry";
    let body = |language: &str| {
        json!({ "request_type": "message-batch", "runtime_id": "r-1", "host": { "hostname": "h", "os": "Linux" },
            "application": { "service_name": "svc", "language_name": language, "env": null },
            "payload": [
                { "request_type": "app-dependencies-loaded", "payload": { "dependencies": [{ "name": "a" }] } },
                { "request_type": "app-dependencies-loaded", "payload": { "dependencies": [{ "name": "b" }] } },
                { "request_type": "app-closing" },
                { "request_type": "app-heartbeat", "payload": {} },
                { "request_type": "generate-metrics", "payload": { "series": [
                    { "metric": "spans", "tags": ["k:v"], "points": [[1, 2.0], [2, 3.0]] } ] } },
            ] })
        .to_string()
    };
    let mut server = documented();
    let got = server.send("POST", target, &head, body("jvm").as_bytes());
    assert_eq!(got.reply.status, 200);
    let point = &got.points[0];
    assert_eq!((point.category, &*point.name), (Category::CustomObject, "tracing_service"));
    assert_eq!((point.tag("name"), point.tag("hostname"), point.tag("env")), ("svc-r-1", "h", "-"));
    assert_eq!(
        point.field("app_dependencies_loaded"),
        "{\"dependencies\":[{\"name\":\"a\"},{\"name\":\"b\"}]}"
    );
    assert_eq!((point.field("app_closing"), point.field("spans_k_v")), ("service closing", "5f"));
    assert!(server.send("POST", target, &head, body("python").as_bytes()).points.is_empty());
    assert!(server.send("POST", target, &[], b"no json").points.is_empty());
    assert_eq!(server.send("POST", target, &head, b"no json").reply.status, 400);
    mutilate(&mut server, target, &head, body("jvm").as_bytes(), &[200, 400]);
}

#[test]
fn tags_that_a_jvm_asks_for_are_tags_of_spans() {
    let head = [("DD-Telemetry-Request-Type", "app-started"), ("DD-Telemetry-API-Version", "v2")];
    let target = "/telemetry/proxy/api/v2/apmtelemetry";
    let body = |value: &str| {
        json!({ "request_type": "app-started", "runtime_id": "r-1",
            "application": { "service_name": "svc", "language_name": "jvm" },
            "payload": { "configuration": [
                { "name": "trace_tags", "value": value }, { "name": "trace_enabled", "value": true } ] } })
        .to_string()
    };
    let spans =
        json!([[{ "trace_id": 1, "span_id": 2, "meta": { "team.name": "core", "a": "1" } }]]).to_string();
    let mut server = documented();
    let before = &server.post("/v0.3/traces", JSON, spans.as_bytes()).points[0];
    assert_eq!((before.tag("team_name"), &before.message()["meta"]["team.name"]), ("-", &json!("core")));
    let object = &server.send("POST", target, &head, body("team.name:x,bad,b:c:d,:").as_bytes()).points[0];
    assert_eq!(
        (object.tag("team.name"), object.tag("team_name"), object.tag("runtime_id")),
        ("-", "x", "r-1")
    );
    let after = &server.post("/v0.3/traces", JSON, spans.as_bytes()).points[0];
    assert_eq!((after.tag("team_name"), after.tag("a")), ("core", "-"));
    assert_eq!(after.message()["meta"], json!({ "a": "1" }));
    // What clients say is bounded.
    let many: Vec<String> = (0..100).map(|index| format!("k{index}:v")).collect();
    server.send("POST", target, &head, body(&many.join(",")).as_bytes());
    assert_eq!(server.settings.remembered.trace_tags.load().len(), 64);
}

#[test]
fn the_oldest_routes_take_json_alone() {
    for target in ["/v0.1/spans", "/v0.2/traces"] {
        assert_eq!(documented().post(target, MSGPACK, b"\x90").reply.status, 415, "{target}");
        assert_eq!(documented().post(target, JSON, b"[]").reply.status, 200, "{target}");
    }
    assert_eq!(recorded().post("/v0.1/spans", MSGPACK, b"[]").reply.status, 200, "recorded: nobody looks");
}

#[test]
fn a_token_that_is_refused_is_refused_here_too() {
    let access = access::Options { token_routing: true, ..access::Options::of(Compat::Documented) };
    let mut server = Server::new(IntakeOptions { access, ..IntakeOptions::default() });
    assert_eq!(server.post("/v0.4/traces?token=bad", JSON, b"[[{}]]").reply.status, 403);
    let good = "/v0.4/traces?token=tkn_0123456789abcdef0123456789abcdef";
    assert_eq!(server.post(good, JSON, b"[[{}]]").reply.status, 200);
}

proptest! {
    #[test]
    fn garbage_is_refused_or_understood(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut server = documented();
        for (target, form) in
            [("/v0.4/traces", MSGPACK), ("/v0.4/traces", "x/y"), ("/v0.5/traces", MSGPACK), ("/v0.1/spans", JSON)]
        {
            let status = server.post(target, form, &bytes).reply.status;
            prop_assert!(matches!(status, 200 | 400 | 413), "{status}");
        }
    }

    #[test]
    fn both_forms_say_the_same(
        texts in proptest::collection::vec(".{0,12}", 6),
        ids in proptest::collection::vec(any::<u64>(), 3),
        number in any::<i32>(),
        metric in -1e9f64..1e9,
    ) {
        let mut span = span(ids[0], ids[1], ids[2]);
        span["service"] = json!(texts[0]);
        span["resource"] = json!(texts[1]);
        span["meta"] = json!({ &texts[2]: texts[3], "http.url": texts[4], "error.stack": texts[5] });
        span["metrics"] = json!({ "m": metric });
        span["error"] = json!(number);
        let got = both(&mut documented(), &json!([[span]]));
        prop_assert_eq!(got.points.len(), 1);
    }
}
