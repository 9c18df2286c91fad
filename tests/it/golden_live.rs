//! Recorded exchanges whose answers need more than the intake: another host, the configuration, files. Replayed in order
//! against the real binary, with a stand-in for the destination that the answers were recorded with.

use std::collections::BTreeMap;

use kitgate::point::Batch;
use serde_json::Value;

use crate::golden_gateway::{Got, Sent, golden, text};
use crate::golden_write::{differences, request};
use crate::harness::Gateway;
use crate::harness::canned::Canned;

/// The token of the recorded configuration.
const TOKEN: &str = "tkn_0123456789abcdef0123456789abcdef";

/// What the recorded destination answered.
static ANSWERS: [(&str, &str); 5] = [
    (
        "/v1/query/raw",
        r#"{"content":[{"series":[{"name":"cpu","columns":["time","usage"],"values":[[1700000000000,1.5]]}],"cost":"1ms","points":null}]}"#,
    ),
    ("/v1/object/labels", r#"{"content":{"_id":"375370265b0641818a99ed1a61aed8563a25459d"}}"#),
    ("/v1/ntp", r#"{"timestamp_sec":1795303971}"#),
    ("/v1/datakit/pull", r#"{"content":{}}"#),
    ("/v1/env_variable", r#"{"content":{"rum.appid_1":"{\"k\":1}"}}"#),
];

fn start(tables: &str) -> (Gateway, Canned) {
    let upstream = Canned::start(&ANSWERS);
    let gateway = Gateway::start(
        "compat = \"datakit-1.84\"\nhostname = \"golden-host\"",
        &format!(
            "[http_api]\nlisten = \"127.0.0.1:0\"\nrequest_rate_limit = 0\n[dataway]\nurls = [\"http://{}?token={TOKEN}\"]\n\
             {tables}",
            upstream.address()
        ),
    );
    (gateway, upstream)
}

fn send(gateway: &Gateway, case: &Value) -> Got {
    send_as(gateway, &request(case))
}

fn send_as(gateway: &Gateway, sent: &Sent) -> Got {
    let headers: Vec<(&str, &str)> = sent.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let answer = gateway.client().request(&sent.method, &sent.target, &headers, &sent.body);
    let headers: BTreeMap<String, String> =
        answer.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    Got {
        status: answer.status,
        headers,
        body: answer.body,
        fed: Batch::default(),
        converted: Vec::new(),
        profiles: Vec::new(),
    }
}

/// Replays a file; `quirk` says what is wrong with the answer to a case whose recorded answer shows a defect.
fn replay(file: &str, tables: &str, ran: usize, quirk: impl Fn(&Value, &Got) -> Option<String>) -> Canned {
    let (gateway, upstream) = start(tables);
    let (mut passed, mut failures) = (0, Vec::new());
    for case in golden(&format!("datakit/{file}")) {
        let got = send(&gateway, &case);
        let wrong = match case["quirk"].as_str() {
            Some(_) => quirk(&case, &got).into_iter().collect(),
            None => differences(&case, &got),
        };
        match wrong.is_empty() {
            true => passed += 1,
            false => failures.push(format!("{}:\n  {}", text(&case, "name"), wrong.join("\n  "))),
        }
    }
    assert!(failures.is_empty(), "{file}: {} failed\n{}", failures.len(), failures.join("\n"));
    assert_eq!(passed, ran, "{file}: cases that ran");
    upstream
}

#[test]
fn global_tags() {
    replay("globaltags", "", 21, |_, _| Some("no such case".to_owned()));
}

#[test]
fn destination() {
    // The recorded server answered labels with 500, whatever was sent: they are passed on.
    let upstream = replay("dataway", "", 11, |_, got| {
        let passed_on = got.status == 200 && got.body == ANSWERS[1].1.as_bytes();
        (!passed_on).then(|| format!("{} {}", got.status, String::from_utf8_lossy(&got.body)))
    });
    let queries = upstream.asked("/v1/query/raw");
    let query: Value = serde_json::from_slice(&queries[0].body).unwrap();
    assert_eq!((&query["token"], &query["queries"][0]["limit"]), (&Value::from(TOKEN), &Value::from(0)));
    let names: Vec<&str> = queries[0].headers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"user-agent") && names.contains(&"referer") && !names.contains(&"content-type"));
    assert_eq!(
        upstream.asked("/v1/env_variable")[0].target,
        format!("/v1/env_variable?token={TOKEN}&app_id=appid_1&scope=rum")
    );
    assert_eq!(upstream.asked("/v1/object/labels")[0].method, "POST");
}

/// The file is replayed in its order: an archive is put, asked and deleted.
#[test]
fn source_maps() {
    replay("sourcemap", "", 14, |_, _| Some("no such case".to_owned()));
}

/// The recorded tests ask a server at a fixed port; here it has another one.
#[test]
fn dial_tests() {
    const RECORDED: &str = "127.0.0.1:9600";
    let (gateway, upstream) = start("[dialtesting]\nenable_debug_api = true");
    let address = upstream.address().to_string();
    let cases = golden("datakit/dialtesting");
    assert_eq!(cases.len(), 7);
    for case in &cases {
        let mut sent = request(case);
        sent.body = String::from_utf8(sent.body).unwrap().replace(RECORDED, &address).into_bytes();
        let mut got = send_as(&gateway, &sent);
        got.body = String::from_utf8(got.body).unwrap().replace(&address, RECORDED).into_bytes();
        match case["quirk"].as_str() {
            // A request without a task: a panic, 200, nothing.
            Some(_) => {
                let body: Value = serde_json::from_slice(&got.body).unwrap();
                assert_eq!((got.status, &body["error_code"]), (400, &Value::from("datakit.invalidRequest")));
            }
            None => assert_eq!(differences(case, &got), Vec::<String>::new(), "{}", text(case, "name")),
        }
    }
    assert_eq!(upstream.asked("/v1/ntp").len(), 2);
    let agent = &upstream.asked("/v1/ntp")[0].headers;
    assert!(
        agent.iter().any(|(name, value)| name == "user-agent" && value.starts_with("datakit-linux-")),
        "{agent:?}"
    );
}

/// Without being asked for there is no such route, and by default none that reaches this machine's own network.
#[test]
fn dial_tests_are_off_and_guarded() {
    let body = br#"{"task_type":"tcp","task":{"host":"127.0.0.1","port":"1","success_when":[{}]}}"#;
    let post = |gateway: &Gateway| gateway.client().request("POST", "/v1/dialtesting/debug", &[], body);
    let off = Gateway::start("", "[http_api]\nlisten = \"127.0.0.1:0\"");
    assert_eq!(post(&off).status, 404);
    let on =
        Gateway::start("", "[http_api]\nlisten = \"127.0.0.1:0\"\n[dialtesting]\nenable_debug_api = true");
    let answer = post(&on);
    let text = String::from_utf8(answer.body).unwrap();
    assert_eq!(answer.status, 400, "{text}");
    assert!(text.contains("dest host [127.0.0.1] is not allowed to be tested"), "{text}");
}
