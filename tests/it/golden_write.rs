//! Recorded exchanges, replayed in-process against the DataKit intake: head → plan → decode → reply.
//!
//! Compared are status, headers and body; JSON as values, with the order of `fields` and `warns` inside a point left
//! open (the recorded server emits both in random order), everything else byte by byte. A case that is not replayed is
//! named in [`excluded`]; a case marked `quirk` must meet what [`quirk`] says of its kind. Nothing else is left out, and
//! the counts are asserted.

use std::collections::BTreeMap;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kitgate::point::Compat;
use serde_json::{Value, json};

use crate::golden_gateway::{Gateway, Got, NOW_NS, Sent, bytes, golden, text};

/// A masked time must have been this close to the clock of its side.
const NOW_WINDOW_NS: i64 = 3 * 86_400 * 1_000_000_000 * 10;

pub fn request(case: &Value) -> Sent {
    let mut body = bytes(case, "body_b64");
    if let Some(repeat) = case.get("body_repeat") {
        let count = repeat["count"].as_u64().unwrap() as usize;
        body = bytes(repeat, "prefix_b64");
        body.extend(bytes(repeat, "chunk_b64").repeat(count));
        body.extend(bytes(repeat, "suffix_b64"));
        if repeat["gzip"].as_bool() == Some(true) {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&body).unwrap();
            body = encoder.finish().unwrap();
        }
    }
    let headers = case["headers"].as_array().unwrap().iter();
    let headers =
        headers.map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned()));
    Sent {
        method: text(case, "method").to_owned(),
        target: text(case, "path_and_query").to_owned(),
        headers: headers.collect(),
        body,
    }
}

/// The headers that were recorded.
fn kept_headers(headers: &BTreeMap<String, String>) -> BTreeMap<String, Value> {
    let mut kept = BTreeMap::new();
    for (name, value) in headers {
        let recorded = matches!(&**name, "content-type" | "x-content-type-options" | "allow" | "location")
            || name.starts_with("access-control-");
        if recorded {
            kept.insert(name.clone(), json!(value));
        } else if name == "x-datakit" {
            kept.insert(name.clone(), json!(true));
        }
    }
    kept
}

/// Replaces times that were "now", and sorts what has no order.
fn canonical(value: &mut Value, volatile: &[&str], now: i64, path: &str) {
    if !path.is_empty() && volatile.contains(&path) {
        *value = json!("<volatile>");
        return;
    }
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                canonical(item, volatile, now, &format!("{path}/{index}"));
            }
        }
        Value::Object(members) => {
            let is_point = members.contains_key("measurement")
                || members.contains_key("name")
                    && (members.contains_key("fields") || members.contains_key("time"));
            for (key, member) in members.iter_mut() {
                canonical(member, volatile, now, &format!("{path}/{key}"));
                match member {
                    Value::Array(list) if is_point && (key == "fields" || key == "warns") => {
                        list.sort_by_key(Value::to_string);
                    }
                    _ if is_point && key == "time" && volatile.contains(&"time") => {
                        let time = member.as_i64().or_else(|| member.as_str()?.parse().ok());
                        if time.is_some_and(|time| (time - now).abs() < NOW_WINDOW_NS) {
                            *member = json!("<now>");
                        }
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// A body in comparable form: a JSON value, or the bytes with times of "now" replaced.
fn comparable(body: &[u8], volatile: &[&str], now: i64) -> Value {
    if let Ok(mut value) = serde_json::from_slice::<Value>(body) {
        canonical(&mut value, volatile, now, "");
        return value;
    }
    let text = String::from_utf8_lossy(body).into_owned();
    if !volatile.contains(&"time") {
        return json!({ "bytes": STANDARD.encode(body), "text": text });
    }
    let lines = text.split('\n').map(|line| match line.rsplit_once(' ') {
        Some((line, time)) if time.parse::<i64>().is_ok_and(|time| (time - now).abs() < NOW_WINDOW_NS) => {
            format!("{line} <now>")
        }
        _ => line.to_owned(),
    });
    json!(lines.collect::<Vec<_>>())
}

fn volatile(case: &Value) -> Vec<&str> {
    case["volatile"]
        .as_array()
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// What is wrong with an answer.
pub fn differences(case: &Value, got: &Got) -> Vec<String> {
    let mut wrong = Vec::new();
    if json!(got.status) != case["status"] {
        wrong.push(format!("status: want {}, got {}", case["status"], got.status));
    }
    let volatile = volatile(case);
    if !volatile.contains(&"body") {
        let want =
            comparable(&bytes(case, "resp_body_b64"), &volatile, case["recorded_at"].as_i64().unwrap_or(0));
        let have = comparable(&got.body, &volatile, NOW_NS);
        if want != have {
            wrong.push(format!("body:\n    want {want:.1500}\n    got  {have:.1500}"));
        }
    }
    let want: BTreeMap<String, Value> = case["resp_headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let have = kept_headers(&got.headers);
    if want != have {
        wrong.push(format!("headers:\n    want {want:?}\n    got  {have:?}"));
    }
    wrong
}

/// Why a case is not replayed; `None`: it is.
fn excluded(sent: &Sent) -> Option<&'static str> {
    let (path, _) = sent.target.split_once('?').unwrap_or((&sent.target, ""));
    if path.starts_with("/v1/write/") && sent.method == "POST" {
        return None;
    }
    // Disabled on purpose: a restart is the supervisor's.
    let later = ["/restart"];
    if later.contains(&path) && sent.method != "OPTIONS" {
        return Some("another route");
    }
    None
}

/// What must hold of a case whose recorded answer shows a defect. Also returns an error for kinds nobody has thought
/// about.
fn quirk(kind: &str, case: &Value, gateway: &mut Gateway) -> Vec<String> {
    let sent = request(case);
    let got = gateway.send(&sent);
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            let body = String::from_utf8_lossy(&got.body);
            wrong.push(format!("quirk {kind}: {what}; got {} {body:.600}", got.status));
        }
    };
    let error_code =
        || serde_json::from_slice::<Value>(&got.body).ok().map(|body| body["error_code"].clone());
    match kind {
        // A value was cut, and strict mode did not notice: it must.
        "limit-warn-lost" => {
            must(got.status == 400, "a strict request with a value to be cut is refused");
            must(error_code() == Some(json!("datakit.pointGotWarning")), "with the warning as its error");
        }
        // The time wrapped around or was replaced in silence: it becomes now, strict mode refuses, and of a time that
        // is out of range the point says so.
        "time-overflow" | "negative-time-is-now" => {
            let body: Value = serde_json::from_slice(&got.body).unwrap_or_default();
            must(got.status == 200 && body[0]["time"] == json!(NOW_NS), "the point's time is now");
            let mut strict = request(case);
            strict.target = strict.target.replace("echo=json", "echo=pbjson");
            let shown = gateway.send(&strict);
            let shown: Value = serde_json::from_slice(&shown.body).unwrap_or_default();
            let warned = shown[0]["warns"][0]["type"] == json!("invalid_time");
            must(warned == (kind == "time-overflow"), "and the point says why, if it was out of range");
            strict.target.push_str("&strict=1");
            must(gateway.send(&strict).status == 400, "and a strict request is refused");
        }
        // Warnings of a later point overwrote those of an earlier one: each point must have the warnings it has alone.
        "warns-shared-between-points" => {
            let together: Value = serde_json::from_slice(&got.body).unwrap_or_default();
            for (index, line) in sent.body.split(|byte| *byte == b'\n').enumerate() {
                let single = Sent { body: line.to_vec(), ..request(case) };
                let mut alone: Value = serde_json::from_slice(&gateway.send(&single).body).unwrap();
                let mut shared = together[index].clone();
                for point in [&mut alone[0], &mut shared] {
                    canonical(point, &[], NOW_NS, "");
                    // An empty list says as little as none.
                    let members = point.as_object_mut().unwrap();
                    members.retain(|key, value| key != "warns" || value != &json!([]));
                }
                must(alone[0] == shared, "a point has the same warnings alone and in company");
            }
        }
        // A value could not be decoded, and it, or its point, was dropped without a word. The body must be refused: alone for
        // having no points (the recorded answer where it is one), beside a good point for the value.
        "value-silently-lost" => {
            must(got.status == 400, "a value that cannot be decoded refuses the body");
            must(error_code() == Some(json!("datakit.noPoints")), "which has no other point");
            let mut beside = request(case);
            beside.body.extend_from_slice(b"\nm2 f=1i,status=\"ok\" 1700000000000000000");
            let got = gateway.send(&beside);
            let code = serde_json::from_slice::<Value>(&got.body).unwrap_or_default()["error_code"].clone();
            must(
                got.status == 400 && code == json!("datakit.invalidLinePoint"),
                "beside a good point it refuses the body as well",
            );
        }
        // The handler crashed and answered 200: a clear error.
        "panic-200" => must((400..600).contains(&got.status), "a clear error"),
        _ => must(false, "unknown kind"),
    }
    wrong
}

#[derive(Default)]
struct Tally {
    passed: usize,
    quirks: BTreeMap<String, usize>,
    excluded: BTreeMap<&'static str, usize>,
    failures: Vec<String>,
}

fn replay(file: &str) -> Tally {
    let mut gateway = Gateway::new(Compat::Datakit184);
    let mut tally = Tally::default();
    for case in golden(&format!("datakit/{file}")) {
        let sent = request(&case);
        if let Some(reason) = excluded(&sent) {
            *tally.excluded.entry(reason).or_insert(0) += 1;
            continue;
        }
        let wrong = match case["quirk"].as_str() {
            Some(kind) => {
                *tally.quirks.entry(kind.to_owned()).or_insert(0) += 1;
                quirk(kind, &case, &mut gateway)
            }
            None => differences(&case, &gateway.send(&sent)),
        };
        if wrong.is_empty() {
            tally.passed += 1;
        } else {
            tally.failures.push(format!("{}:\n  {}", text(&case, "name"), wrong.join("\n  ")));
        }
    }
    println!(
        "{file}: {} passed, {} failed, quirks among them {:?}, excluded {:?}",
        tally.passed,
        tally.failures.len(),
        tally.quirks,
        tally.excluded
    );
    tally
}

/// Replays a file and asserts how many cases ran, and what was left out for what reason.
fn assert_file(file: &str, ran: usize, excluded: &[(&'static str, usize)]) {
    let tally = replay(file);
    assert!(
        tally.failures.is_empty(),
        "{file}: {} failed\n{}",
        tally.failures.len(),
        tally.failures.join("\n")
    );
    assert_eq!(tally.excluded, excluded.iter().copied().collect(), "{file}: exclusions");
    assert_eq!(tally.passed, ran, "{file}: cases that ran");
}

const OTHER_ROUTE: &str = "another route";

#[test]
fn category() {
    assert_file("category", 56, &[]);
}

#[test]
fn lineproto() {
    assert_file("lineproto", 274, &[]);
}

#[test]
fn lineproto_errors() {
    assert_file("lineproto_errors", 18, &[]);
}

#[test]
fn precision() {
    assert_file("precision", 65, &[]);
}

#[test]
fn limits() {
    assert_file("limits", 37, &[]);
}

#[test]
fn params() {
    assert_file("params", 61, &[]);
}

#[test]
fn constraints() {
    assert_file("constraints", 121, &[]);
}

#[test]
fn encoding() {
    assert_file("encoding", 48, &[]);
}

#[test]
fn json() {
    assert_file("json", 123, &[]);
}

#[test]
fn pbjson() {
    assert_file("pbjson", 39, &[]);
}

#[test]
fn protobuf() {
    assert_file("protobuf", 85, &[]);
}

#[test]
fn rum() {
    assert_file("rum", 22, &[]);
}

#[test]
fn routes() {
    assert_file("routes", 40, &[(OTHER_ROUTE, 1)]);
}

/// Every protocol that DataKit serves beside its own.
#[test]
fn inputs() {
    assert_file("inputs", 15, &[]);
}

/// Of the vectors: an array whose first string has a comma is lost by the recorded server (point-model: to be repaired).
const REPAIRED_VECTOR: &str = r#"m f=["a,b","c]d"]"#;

#[test]
fn write_vectors() {
    let mut gateway = Gateway::new(Compat::Datakit184);
    let (mut ran, mut other_body, mut repaired, mut failures) = (0, 0, 0, Vec::new());
    for vector in golden("write-vectors/write") {
        let body = match vector["body"].as_str() {
            Some(body) => body.as_bytes().to_vec(),
            None => bytes(&vector, "body_base64"),
        };
        let content_type = vector["content_type"].as_str();
        let sent = Sent {
            method: "POST".to_owned(),
            target: format!("/v1/write/{}?{}", text(&vector, "category"), text(&vector, "query")),
            headers: content_type
                .map(|value| ("Content-Type".to_owned(), value.to_owned()))
                .into_iter()
                .collect(),
            body,
        };
        if excluded(&sent).is_some() {
            other_body += 1;
            continue;
        }
        let got = gateway.send(&sent);
        if sent.body == REPAIRED_VECTOR.as_bytes() {
            repaired += 1;
            let body: Value = serde_json::from_slice(&got.body).unwrap();
            assert_eq!(body[0]["fields"][0]["a"]["arr"], json!([{ "s": "a,b" }, { "s": "c]d" }]));
            continue;
        }
        ran += 1;
        let answer: Value = serde_json::from_slice(&got.body).unwrap_or_default();
        // Where the recorded server crashed and said 200, a sound one refuses.
        let status =
            if vector["real_server_crashed"] == json!(true) { json!(400) } else { vector["status"].clone() };
        let same = json!(got.status) == status
            && vector.get("error_code").is_none_or(|code| answer["error_code"] == *code)
            && vector.get("message").is_none_or(|message| answer["message"] == *message)
            && vector.get("points").is_none_or(|points| same_points(points, &answer, &vector));
        if !same {
            let answer = String::from_utf8_lossy(&got.body);
            failures.push(format!("{vector:.700}\n  got {} {answer:.700}", got.status));
        }
    }
    println!(
        "write-vectors: {ran} ran, {} failed, {repaired} repaired, {other_body} with other bodies",
        failures.len()
    );
    assert!(failures.is_empty(), "{} failed\n{}", failures.len(), failures.join("\n"));
    assert_eq!((ran, repaired, other_body), (245, 1, 0));
}

/// Compares an echo with a vector's points: `fields` by key, `warns` as a multiset, `NOW` as the clock.
fn same_points(want: &Value, got: &Value, vector: &Value) -> bool {
    let form = |points: &Value| {
        let mut points = points.clone();
        canonical(&mut points, &[], NOW_NS, "");
        for point in points.as_array_mut().into_iter().flatten() {
            let members = point.as_object_mut().unwrap();
            if members.get("time") == Some(&json!(NOW_NS.to_string())) {
                members.insert("time".to_owned(), json!("NOW"));
            }
            if members.get("warns") == Some(&json!([])) || vector["warns_omitted"] == json!(true) {
                members.remove("warns");
            }
        }
        points
    };
    form(want) == form(got)
}

/// What is fed differs from what is echoed: global tags, and, under the recorded behaviour, the correction of times.
#[test]
fn fed_points_carry_global_tags_and_corrected_times() {
    let line = b"cpu,host=mine f=1i 1700000000000000000\ncpu f=2i\n";
    for (compat, corrected) in [(Compat::Datakit184, true), (Compat::Documented, false)] {
        let mut gateway = Gateway::new(compat);
        let fed = |gateway: &mut Gateway, query: &str| {
            let target = format!("/v1/write/metric{query}");
            let sent = Sent { method: "POST".to_owned(), target, headers: Vec::new(), body: line.to_vec() };
            let got = gateway.send(&sent);
            assert_eq!((got.status, got.body.is_empty(), got.fed.points), (200, true, 2));
            assert_eq!(got.headers["x-kitgate-ack"], "disk");
            let mut text = Vec::new();
            kitgate::point::echo::line_protocol(&got.fed.bytes, &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        let first = match corrected {
            true => format!("cpu,host=mine __orig_time=1700000000000000000i,f=1i {NOW_NS}"),
            false => "cpu,host=mine f=1i 1700000000000000000".to_owned(),
        };
        assert_eq!(fed(&mut gateway, ""), format!("{first}\ncpu,host=golden-host f=2i {NOW_NS}"));
        assert_eq!(fed(&mut gateway, "?ignore_global_host_tags=0"), format!("{first}\ncpu f=2i {NOW_NS}"));
        let elected = fed(&mut gateway, "?global_election_tags=1&ignore_global_tags=1");
        assert_eq!(elected, format!("{first}\ncpu,host=golden-host f=2i {NOW_NS}"));
    }
}
