//! Source maps on the real program: archives are put, errors of every size get their original source on their way in, and
//! nothing waits where there are none.

use std::fs;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::harness::{Gateway, dataway::Dataway, http::Answer};

#[path = "../../src/aside/sourcemap/testing/archive.rs"]
#[allow(dead_code, reason = "some of it is for other tests")]
mod archives;

use archives::{Item, archive, form, map_to};

const TOKEN: &str = "tkn_0123456789abcdef0123456789abcdef";
const QUERY: &str = "app_id=app&env=prod&version=1";
const FRAME: &str = "  at f @ http://h/dist/a.js?x=1:1:4";
const RESOLVED: &str = "  at f @ src/a.ts:3:1";
const FIELD: &str = "error_stack_source_base64";

fn maps(source: &str) -> Vec<u8> {
    archive(&[Item::deflated("dist/a.js.map", &map_to(source))])
}

fn put(gateway: &Gateway, query: &str, file: &[u8]) -> Value {
    let target = format!("/v1/sourcemap?{query}&token={TOKEN}");
    let headers = [("Content-Type", "multipart/form-data; boundary=XX")];
    let answer = gateway.client().request("PUT", &target, &headers, &form("XX", "file", file));
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

fn check(gateway: &Gateway) -> Value {
    let stack: String = FRAME.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let answer = gateway.get(&format!("/v1/sourcemap/check?{QUERY}&error_stack={stack}"));
    serde_json::from_slice(&answer.body).unwrap()
}

fn line(message: &str) -> String {
    format!(
        "error,sdk_name=df_web_rum_sdk,app_id=app,env=prod,version=1 error_stack=\"{message}\n{FRAME}\" 1700000000000\n"
    )
}

/// The resolved stacks of an answer with an echo in JSON.
fn resolved(answer: &Answer) -> Vec<Option<String>> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let points: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
    let of = |point: &Value| {
        let text = point["fields"][FIELD].as_str()?;
        Some(String::from_utf8(STANDARD.decode(text).unwrap()).unwrap())
    };
    points.iter().map(of).collect()
}

fn echoed(gateway: &Gateway, body: &str) -> Vec<Option<String>> {
    resolved(&gateway.post("/v1/write/rum?echo=json", body.as_bytes()))
}

#[test]
fn errors_arrive_with_their_original_source() {
    let dataway = Dataway::start();
    let mut gateway = Gateway::start("", &dataway.table());
    assert_eq!(echoed(&gateway, &line("before")), [None]);
    assert_eq!(put(&gateway, QUERY, &maps("src/a.ts"))["success"], true);
    assert_eq!(check(&gateway)["content"]["error_stack"], RESOLVED);
    let is = |message: &str| Some(format!("{message}\n{RESOLVED}"));
    // The first time it is found, then it is known; one and several.
    for _ in 0..2 {
        assert_eq!(echoed(&gateway, &line("one")), [is("one")]);
    }
    let view = "view,sdk_name=df_web_rum_sdk,app_id=app n=1i 1700000000000\n";
    let body = [view, &line("one"), &line("two"), &line("three").replace("prod", "other")].concat();
    assert_eq!(echoed(&gateway, &body), [None, is("one"), is("two"), None]);
    // Without an echo, and too large for one go on the shard, and for the shard.
    for (points, message) in [(3, "small"), (4000, "sliced"), (12_000, "large")] {
        let body = line(message).repeat(points);
        let answer = gateway.post("/v1/write/rum", body.as_bytes());
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{answer:?}");
    }
    // Over a restart, without the cache.
    assert!(gateway.stop().success());
    gateway.run();
    assert_eq!(echoed(&gateway, &line("again")), [is("again")]);
    // Another archive holds at once.
    put(&gateway, QUERY, &maps("src/b.ts"));
    assert_eq!(echoed(&gateway, &line("one")), [Some("one\n  at f @ src/b.ts:3:1".to_owned())]);
    let deleted =
        gateway.client().request("DELETE", &format!("/v1/sourcemap?{QUERY}&token={TOKEN}"), &[], b"");
    assert!(deleted.text().contains("\"success\":true"), "{}", deleted.text());
    assert_eq!(echoed(&gateway, &line("one")), [None]);

    let sent = 1 + 2 + 4 + 3 + 4000 + 12_000 + 3;
    let points = dataway.await_points(sent);
    assert_eq!(points.len(), sent);
    for message in ["small", "sliced", "large"] {
        let expected = STANDARD.encode(format!("{message}\n{RESOLVED}"));
        let of: Vec<_> = points
            .iter()
            .filter(|point| {
                format!("{:?}", point.fields.get("error_stack")).contains(&format!("{message}\\n"))
            })
            .collect();
        assert!(of.len() >= 3);
        assert!(
            of.iter().all(|point| format!("{:?}", point.fields.get(FIELD)).contains(&expected)),
            "{message}: {:?}",
            of[0]
        );
    }
    gateway.await_metric("kitgate_points_in_flight{category=\"rum\"}", 0.0);
}

#[test]
fn a_program_that_takes_long_leaves_the_points_as_they_are() {
    let dataway = Dataway::start();
    let home = super::harness::scratch();
    let tool = home.path().join("proguard/bin/retrace.sh");
    fs::create_dir_all(tool.parent().unwrap()).unwrap();
    fs::write(&tool, "sleep 1; echo retraced; cat").unwrap();
    let tables = format!(
        "{}[rum.sourcemap]\nproguard_home = \"{}\"\nwait = \"200ms\"\n",
        dataway.table(),
        home.path().join("proguard").display()
    );
    let gateway = Gateway::start("", &tables);
    put(&gateway, "app_id=app&platform=android", &archive(&[Item::new("mapping.txt", b"a.b -> c:\n")]));
    let mapping = gateway.data_dir().join("rum/android/app-none-none/mapping.txt");
    let patience = Instant::now() + Duration::from_secs(20);
    while !mapping.is_file() {
        assert!(Instant::now() < patience, "symbols are not unpacked");
        std::thread::sleep(Duration::from_millis(10));
    }
    let crash =
        "error,sdk_name=df_android_rum_sdk,app_id=app,error_type=java_crash error_stack=\"x\" 1700000000000";
    let begun = Instant::now();
    assert_eq!(echoed(&gateway, crash), [None], "not in time");
    assert!(begun.elapsed() < Duration::from_secs(3));
    // The next one finds what the first one asked for.
    let patience = Instant::now() + Duration::from_secs(20);
    while echoed(&gateway, crash) != [Some("retraced\nx".to_owned())] {
        assert!(Instant::now() < patience, "never resolved");
    }
}

#[test]
fn archives_are_taken_from_those_who_may() {
    let dataway = Dataway::start();
    let gateway = Gateway::start("", &dataway.table());
    // A hundred megabytes are announced; nobody waits for them.
    let mut client = gateway.client();
    let head = "PUT /v1/sourcemap?app_id=a&token=tkn_x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\
                Content-Type: multipart/form-data; boundary=XX\r\n\r\n";
    client.send(head.as_bytes());
    let answer = client.receive(false);
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("invalid token: token is missing or not correct"), "{}", answer.text());
    let mut client = gateway.client();
    let head = format!(
        "PUT /v1/sourcemap?app_id=a&token={TOKEN} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
        (100 << 20) + 1
    );
    client.send(head.as_bytes());
    let answer = client.receive(false);
    assert!(answer.text().contains("http: request body too large"), "{}", answer.text());
    // One that is larger than other bodies may be.
    let large: Vec<u8> = (0..40u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert_eq!(put(&gateway, "app_id=large", &large)["success"], true);
    assert_eq!(fs::metadata(gateway.data_dir().join("rum/web/large-none-none.zip")).unwrap().len(), 40 << 20);
}

#[test]
fn switched_off_there_are_no_such_routes() {
    let dataway = Dataway::start();
    let tables = format!("{}[rum.sourcemap]\nenabled = false\n", dataway.table());
    let gateway = Gateway::start("", &tables);
    let archive = gateway.data_dir().join("rum/web/app-prod-1.zip");
    fs::create_dir_all(archive.parent().unwrap()).unwrap();
    fs::write(&archive, maps("src/a.ts")).unwrap();
    for (method, path) in [("PUT", ""), ("DELETE", ""), ("GET", "/check")] {
        let target = format!("/v1/sourcemap{path}?{QUERY}&token={TOKEN}");
        assert_eq!(gateway.client().request(method, &target, &[], b"").status, 404, "{method}");
    }
    assert_eq!(echoed(&gateway, &line("off")), [None]);
    // A reload switches them on, with what is there.
    gateway.edit(|text| text.replace("enabled = false", "enabled = true"));
    let (status, text) = gateway.tool(&["reload"]);
    assert_eq!(status, 0, "{text}");
    assert_eq!(check(&gateway)["content"]["error_stack"], RESOLVED);
    let patience = Instant::now() + Duration::from_secs(10);
    while echoed(&gateway, &line("on")) == [None] {
        assert!(Instant::now() < patience, "the reload is not noticed");
    }
}
