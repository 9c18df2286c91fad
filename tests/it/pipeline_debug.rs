//! `POST /v1/pipeline/debug` on the real program: what the recorded server answered to the same requests, here and in the
//! further folder; and what it never has to answer, for it would take too long or too much.

use std::io::Read;
use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::harness::Gateway;
use super::pipeline::golden_files;

const PATH: &str = "/v1/pipeline/debug";

/// A request, and what came of it.
struct Case {
    name: String,
    body: Vec<u8>,
    status: u64,
    answer: Value,
    /// As JSON pointers.
    volatile: Vec<String>,
}

/// `content.plresults[0].point.time` as a pointer.
fn pointer(path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    format!("/{}", path.replace('[', ".").replace(']', "").replace('.', "/"))
}

fn volatile(case: &Value) -> Vec<String> {
    case["volatile"].as_array().into_iter().flatten().filter_map(Value::as_str).map(pointer).collect()
}

fn recorded(text: &str) -> Vec<Case> {
    let cases = text.lines().filter(|line| line.contains("\"response\""));
    let cases = cases.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let cases = cases.filter(|case| case.get("response").is_some());
    let read = |case: Value| Case {
        name: case["name"].to_string(),
        body: match case.get("raw_body") {
            Some(raw) => raw.as_str().expect("a text").as_bytes().to_vec(),
            None => case["body"].to_string().into_bytes(),
        },
        status: case["response"]["status"].as_u64().expect("a status"),
        answer: case["response"]["body"].clone(),
        volatile: volatile(&case),
    };
    cases.map(read).collect()
}

/// Those that were recorded with the rest of the server.
fn recorded_with_all() -> Vec<Case> {
    let bytes = include_bytes!("../golden/datakit/pipeline.jsonl.zst");
    let mut text = String::new();
    zstd::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut text).unwrap();
    let decoded = |value: &Value| BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).expect("base64");
    let cases = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let cases = cases.map(|case| Case {
        name: case["name"].to_string(),
        body: decoded(&case["body_b64"]),
        status: case["status"].as_u64().expect("a status"),
        answer: serde_json::from_slice(&decoded(&case["resp_body_b64"])).unwrap_or(Value::Null),
        volatile: volatile(&case),
    });
    cases.collect()
}

/// Equal, 1 and 1.0 too: JSON does not tell them apart.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| same(left, right)))
        }
        (left, right) => left == right,
    }
}

#[test]
fn pipeline_goldens_of_debug_api() {
    let mut gateway = Gateway::start("", "");
    let mut cases: Vec<Case> = golden_files().iter().flat_map(|(_, text)| recorded(text)).collect();
    cases.extend(recorded_with_all());
    assert!(cases.len() >= 35, "the vectors are elsewhere: {} cases", cases.len());
    let mut failures = Vec::new();
    for case in &cases {
        let answer =
            gateway.client().request("POST", PATH, &[("Content-Type", "application/json")], &case.body);
        let text = answer.text();
        let (mut expected, mut got) =
            (case.answer.clone(), serde_json::from_str::<Value>(&text).unwrap_or(Value::Null));
        for path in &case.volatile {
            for answer in [&mut expected, &mut got] {
                if let Some(value) = answer.pointer_mut(path) {
                    *value = Value::Null;
                }
            }
        }
        // The reference's crashes are not ours.
        let crashed = case.status == 500;
        if !crashed && (u64::from(answer.status) != case.status || !same(&expected, &got)) {
            failures.push(format!(
                "{}: expected {} {expected}\n   got {} {text}",
                case.name, case.status, answer.status
            ));
        }
        assert_eq!(answer.header("content-type"), Some("application/json"), "{}", case.name);
    }
    gateway.stop();
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

fn ask(gateway: &Gateway, script: &str, more: Value) -> (u16, Value) {
    let mut body = json!({
        "pipeline": {"logging": {"s": BASE64_STANDARD.encode(script)}}, "script_name": "s", "category": "logging",
        "data": [BASE64_STANDARD.encode("x")],
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    let body = body.to_string();
    let answer = gateway.client().request("POST", PATH, &[], body.as_bytes());
    (answer.status, serde_json::from_str(&answer.text()).unwrap_or(Value::Null))
}

#[test]
fn tried_scripts_are_bounded_and_leave_nothing() {
    let mut gateway = Gateway::start("", "");
    let started = Instant::now();
    let (status, answer) = ask(&gateway, "for ;; { x = 1 }", json!({}));
    assert_eq!(status, 200);
    assert!(answer["content"]["plresults"][0]["run_error"]["error"].as_str().unwrap().contains("steps"));
    assert!(started.elapsed() < Duration::from_secs(60));
    let (status, answer) = ask(&gateway, "add_key(a, 1)", json!({"benchmark": true}));
    let line = answer["content"]["benchmark"].as_str().expect("a line");
    assert!(status == 200 && line.ends_with(" ns/op") && line.contains('\t'), "{line}");
    let gbk = BASE64_STANDARD.encode(b"\xd6\xd0");
    let (_, answer) = ask(&gateway, "add_key(a, message)", json!({"encode": "GBK", "data": [gbk]}));
    assert_eq!(answer["content"]["plresults"][0]["point"]["fields"]["a"], "中");
    // Each point made is the whole message once more.
    let many = "for i = 0; i < 9000; i += 1 { create_point(\"m\", {}, {\"f\": message}, category=\"L\") }";
    let message = BASE64_STANDARD.encode("x".repeat(1 << 20));
    let (status, answer) = ask(&gateway, many, json!({"data": [message]}));
    assert_eq!((status, answer["error_code"].as_str()), (400, Some("datakit.invalidData")), "{answer}");
    let large = "# ".repeat(600_000);
    let (status, answer) = ask(&gateway, &large, json!({}));
    assert_eq!((status, answer["message"].as_str()), (400, Some("script size exceeds 1MB limit")));
    let (status, answer) = ask(&gateway, "x = 1", json!({"data": ["@"]}));
    assert_eq!((status, answer["error_code"].as_str()), (400, Some("datakit.invalidData")));
    let (status, answer) = ask(
        &gateway,
        "create_point(\"m\", {}, {\"f\": 1})",
        json!({"data_type": "application/json",
        "data": [BASE64_STANDARD.encode(r#"[{"measurement":"a","fields":{"f":1}},{"measurement":"b","fields":{"f":2}}]"#)]}),
    );
    assert_eq!(status, 200);
    assert_eq!(answer["content"]["plresults"].as_array().map(Vec::len), Some(2));
    assert_eq!(gateway.metric("kitgate_points_in_total{category=\"metric\"}"), 0.0);
    gateway.stop();
}
