//! What real clients were recorded to send, each request answered in-process, and of those that bring data the points.
//!
//! `tests/golden/captured/` holds the requests, and for traces the points that DataKit 1.84.1 makes of them; `message` is
//! compared as JSON, everything else exactly. With `KITGATE_EXTRA_GOLDENS=DIR` a further folder is replayed: `DIR/<client>/
//! NNN.json`, one request each, and `DIR/goldens/<client>-NNN.json` with the points.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kitgate::intake::Options;
use kitgate::point::{Category, Compat};
use serde_json::{Value, json};

use crate::golden_gateway::{Gateway, Got, Sent, bytes, golden, text};
use crate::harness::points::{self, Point};

/// The recorded clients, and how many of their requests are replayed.
const CLIENTS: [(&str, usize); 12] = [
    ("dd-trace-js-5.132.0", 29),
    ("ddtrace-py-1.20.19", 14),
    ("ddtrace-py-4.16.0", 54),
    ("skywalking-py-1.2.0", 27),
    ("otlp-py-1.45.2", 5),
    ("influxdb-py-5.3.2", 4),
    ("influxdb-client-py-1.50.0", 10),
    ("go-pprof-1.24", 0),
    ("pyroscope-py-0.8.11", 3),
    ("pyroscope-py-1.4.0", 2),
    ("dd-browser-rum-7.16.2", 0),
    ("guance-browser-rum-3.2.27", 0),
];

/// What other suites replay, or none yet: by the beginning of the path.
const LEFT_OUT: [(&str, &str); 5] = [
    ("/debug/pprof/", "profiles that are fetched"),
    ("/rumproxy", "browsers"),
    ("/api/data", "browsers: a page's own request"),
    ("/v1/write/rum", "browsers: rum.rs"),
    ("/v1/write/logging", "browsers: rum.rs"),
];

/// Of the three traces of this request, which are alike, one is in the recorded points; of its repetitions all are.
const PARTLY_RECORDED: [&str; 1] = ["ddtrace-py-1.20.19/001"];

/// Added when points are fed: not in the recorded ones.
const ADDED_TAGS: [&str; 2] = ["host", "dk_fingerprint"];

/// Tags and fields by name.
type Map = BTreeMap<String, Value>;

/// A point in comparable form.
#[derive(Debug, PartialEq)]
struct Shown {
    name: String,
    time_ns: i64,
    tags: Map,
    fields: Map,
}

impl Shown {
    fn of(point: Point) -> Shown {
        let value = |key: &str, value: points::Value| match value {
            points::Value::Int(value) => json!(value),
            points::Value::Uint(value) => json!(value),
            points::Value::Float(value) => json!(value),
            points::Value::Bool(value) => json!(value),
            points::Value::Text(text) => message(key, &text),
            other => panic!("a field is {other:?}"),
        };
        Shown {
            name: point.name,
            time_ns: point.time_ns,
            tags: point.tags.into_iter().map(|(key, text)| (key, json!(text))).collect(),
            fields: point.fields.into_iter().map(|(key, field)| (key.clone(), value(&key, field))).collect(),
        }
    }

    fn recorded(point: &Value) -> Shown {
        let map = |value: &Value| -> Map {
            let members = value.as_object().into_iter().flatten();
            members.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        let fields = map(&point["fields"]).into_iter().map(|(key, value)| {
            let value = value.as_str().map_or_else(|| value.clone(), |text| message(&key, text));
            (key, value)
        });
        Shown {
            name: text(point, "measurement").to_owned(),
            time_ns: point["time_ns"].as_i64().unwrap(),
            tags: map(&point["tags"]),
            fields: fields.collect(),
        }
    }

    /// Without tags that every point gets.
    fn without_added(mut self) -> Shown {
        self.tags.retain(|key, _| !ADDED_TAGS.contains(&key.as_str()));
        self
    }

    fn order(&self) -> (String, String, i64) {
        let field = |key: &str| self.fields.get(key).map(Value::to_string).unwrap_or_default();
        (field("trace_id"), field("span_id"), self.time_ns)
    }
}

/// `message` as what it says, anything else as it is.
fn message(key: &str, text: &str) -> Value {
    let json = (key == "message").then(|| serde_json::from_str(text).ok()).flatten();
    let mut json: Value = json.unwrap_or_else(|| json!(text));
    // A map that a span does not have is null or empty in the recorded ones, by what stood in that memory before.
    for map in ["meta", "metrics"] {
        if let Some(Value::Null) = json.get(map) {
            json[map] = json!({});
        }
    }
    json
}

fn request(case: &Value) -> Sent {
    // What belongs to the connection it was recorded on.
    const FRAMING: [&str; 4] = ["host", "content-length", "transfer-encoding", "connection"];
    let headers = case["headers"].as_array().unwrap().iter();
    let headers =
        headers.map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned()));
    Sent {
        method: text(case, "method").to_owned(),
        target: text(case, "path").to_owned(),
        headers: headers.filter(|(name, _)| !FRAMING.contains(&&*name.to_ascii_lowercase())).collect(),
        body: bytes(case, "body_b64"),
    }
}

/// What is wrong with the answer to a request: each client needs something else of it.
fn wrong_answer(sent: &Sent, got: &Got) -> Option<String> {
    let path = sent.target.split('?').next().unwrap_or_default();
    let header = |name: &str| got.headers.get(name).map(String::as_str);
    let body = std::str::from_utf8(&got.body).unwrap_or("<no text>");
    let right = match path {
        "/v0.3/traces" => got.status == 200 && body == "OK\n",
        "/v0.4/traces" | "/v0.5/traces" => {
            got.status == 200 && body == "{}" && header("content-type") == Some("application/json")
        }
        // A tracer goes on with what it knows.
        "/info" => got.status == 404,
        "/v0.7/config" => got.status == 200 && body == "{}",
        "/v0.6/stats" | "/dogstatsd/v2/proxy" | "/telemetry/proxy/api/v2/apmtelemetry" => got.status == 200,
        "/v3/management/reportProperties" | "/v3/management/keepAlive" | "/v3/logs" => {
            got.status == 200 && body == "{}"
        }
        "/v3/segment" | "/v3/segments" => got.status == 200,
        "/v1/traces" | "/v1/metrics" | "/v1/logs" => got.status == 200 && body.is_empty(),
        "/write" | "/api/v2/write" => got.status == 204 && body.is_empty(),
        "/ping" => got.status == 204 && header("x-influxdb-version").is_some(),
        "/health" => got.status == 200 && body.contains("\"status\":\"pass\""),
        "/profiling/v1/input" | "/ingest" => got.status == 200 && body.is_empty(),
        "/push.v1.PusherService/Push" => {
            got.status == 200 && body.is_empty() && header("content-type") == Some("application/proto")
        }
        // Of what nobody has thought about: a client may be told that it is not there, and never that we are at fault.
        _ => got.status < 500,
    };
    (!right).then(|| format!("{} {:?} {body:.200}", got.status, got.headers))
}

/// What is wrong with the profiles that a request brings: each is passed on with the bytes it came in.
fn wrong_profile(sent: &Sent, got: &Got) -> Option<String> {
    let is_of_profiles =
        ["/profiling/", "/ingest", "/push.v1."].iter().any(|path| sent.target.starts_with(path));
    if !is_of_profiles {
        return (!got.profiles.is_empty()).then(|| "a profile out of nothing".to_owned());
    }
    let [profile] = &*got.profiles else { return Some(format!("{} profiles", got.profiles.len())) };
    let metadata = &profile.metadata;
    let mut wrong = Vec::new();
    if metadata.tag("service").is_none_or(str::is_empty) {
        wrong.push("no service".to_owned());
    }
    if !["python", "nodejs"].contains(&metadata.language()) {
        wrong.push(format!("a program in {}", metadata.language()));
    }
    if metadata.span_ns().is_none_or(|(start, end)| !(1..=120).contains(&((end - start) / 1_000_000_000))) {
        wrong.push(format!("{:?} is no time", metadata.span_ns()));
    }
    // The push is compressed as a whole; what is in it is not.
    let was_sent = |file: &[u8]| memchr::memmem::find(&sent.body, file).is_some();
    if !sent.target.starts_with("/push")
        && !profile.files().all(|(_, file)| !file.is_empty() && was_sent(file))
    {
        wrong.push("its files are not those that came".to_owned());
    }
    (!wrong.is_empty()).then(|| wrong.join(", "))
}

/// How many points a request without recorded ones brings, by category.
fn expected_counts(path: &str, body: &[u8]) -> Option<(Category, usize)> {
    let lines = || body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    match path {
        "/write" | "/api/v2/write" => Some((Category::Metric, lines())),
        "/v3/logs" => {
            let logs: Value = serde_json::from_slice(body).unwrap();
            Some((Category::Logging, logs.as_array().unwrap().len()))
        }
        _ => None,
    }
}

/// As DataKit is set up by default. Points are compared as they are converted, before their times are corrected.
fn gateway() -> Gateway {
    Gateway::with(Options { compat: Compat::Datakit184, time_correction: false, ..Options::default() })
}

#[derive(Default)]
struct Tally {
    ran: usize,
    points: usize,
    left_out: BTreeMap<&'static str, Vec<String>>,
    failures: Vec<String>,
}

fn replay(gateway: &mut Gateway, case: &Value, tally: &mut Tally) {
    let name = text(case, "name");
    let sent = request(case);
    let path = sent.target.split('?').next().unwrap_or_default();
    if let Some((_, reason)) = LEFT_OUT.iter().find(|(prefix, _)| path.starts_with(prefix)) {
        tally.left_out.entry(reason).or_default().push(name.to_owned());
        return;
    }
    tally.ran += 1;
    let got = gateway.send(&sent);
    if let Some(wrong) = wrong_profile(&sent, &got) {
        tally.failures.push(format!("{name} {path}: {wrong}"));
    }
    if let Some(wrong) = wrong_answer(&sent, &got) {
        tally.failures.push(format!("{name} {path}: {wrong}"));
    }
    let mut have: Vec<Shown> = points::read(&got.fed.bytes).into_iter().map(Shown::of).collect();
    tally.points += have.len();
    if let Some((category, count)) = expected_counts(path, &sent.body) {
        let of_category = |(there, _): &&(Category, _)| *there == category;
        let found: u32 = got.converted.iter().filter(of_category).map(|(_, batch)| batch.points).sum();
        if found as usize != count || have.len() != count {
            tally.failures.push(format!("{name} {path}: {found} points of {} of {count}", have.len()));
        }
        return;
    }
    let traces = case["traces"].as_array();
    if traces.is_none() && path.starts_with("/v1/") {
        if have.is_empty() {
            tally.failures.push(format!("{name} {path}: no points"));
        }
        return;
    }
    // No recorded points: there are none.
    let mut want: Vec<Shown> = traces
        .into_iter()
        .flatten()
        .flat_map(|trace| trace.as_array().unwrap())
        .map(Shown::recorded)
        .collect();
    have = have.into_iter().map(Shown::without_added).collect();
    have.sort_by_key(Shown::order);
    want.sort_by_key(Shown::order);
    if PARTLY_RECORDED.contains(&name) {
        assert_eq!((have.len(), want.len()), (12, 4), "{name}");
        have.retain(|point| want.iter().any(|other| other.order() == point.order()));
    }
    if have.len() != want.len() {
        tally.failures.push(format!("{name} {path}: {} points, not {}", have.len(), want.len()));
    }
    for (have, want) in have.iter().zip(&want) {
        if have != want {
            tally.failures.push(format!("{name} {path}:\n    want {want:?}\n    got  {have:?}"));
        }
    }
}

fn report(tally: &Tally, of: &str) {
    println!(
        "{of}: {} requests replayed, {} points, {} failures",
        tally.ran,
        tally.points,
        tally.failures.len()
    );
    for (reason, names) in &tally.left_out {
        println!("  left out, {reason}: {}", names.join(" "));
    }
    let shown = tally.failures.iter().take(5).map(|failure| format!("{failure:.3000}")).collect::<Vec<_>>();
    assert!(tally.failures.is_empty(), "{of}: {} failures\n{}", tally.failures.len(), shown.join("\n"));
}

#[test]
fn captured_goldens() {
    for (client, ran) in CLIENTS {
        let mut gateway = gateway();
        let mut tally = Tally::default();
        for case in golden(&format!("captured/{client}")) {
            replay(&mut gateway, &case, &mut tally);
        }
        report(&tally, client);
        assert_eq!(tally.ran, ran, "{client}");
    }
    if let Some(folder) = std::env::var_os("KITGATE_EXTRA_GOLDENS") {
        let mut tally = Tally::default();
        for case in extra(Path::new(&folder)) {
            replay(&mut gateway(), &case, &mut tally);
        }
        report(&tally, &folder.to_string_lossy());
        assert!(tally.ran > 0, "{}: nothing to replay", folder.to_string_lossy());
    }
}

/// The requests of a folder, with their points.
fn extra(folder: &Path) -> Vec<Value> {
    let read = |path: &Path| -> Value {
        let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let entries = |folder: &Path| {
        let entries =
            std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let mut cases = Vec::new();
    for client in entries(folder).into_iter().filter(|path| path.is_dir() && !path.ends_with("goldens")) {
        let client_name = client.file_name().unwrap().to_string_lossy().into_owned();
        for path in
            entries(&client).into_iter().filter(|path| path.extension().is_some_and(|it| it == "json"))
        {
            let number = path.file_stem().unwrap().to_string_lossy().into_owned();
            let mut case = read(&path);
            case["name"] = json!(format!("{client_name}/{number}"));
            let points = folder.join("goldens").join(format!("{client_name}-{number}.json"));
            if points.exists() {
                case["traces"] = read(&points)["traces"].clone();
            }
            cases.push(case);
        }
    }
    cases
}

/// A folder in the form that was recorded is replayed as the stored requests are.
#[test]
fn a_further_folder_is_read_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, value: &Value| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value.to_string()).unwrap();
    };
    let body = br#"[[{"trace_id":1,"span_id":2,"name":"a","resource":"r","service":"s","start":5000,"duration":7000}]]"#;
    write(
        "a-tracer/001.json",
        &json!({ "method": "PUT", "path": "/v0.3/traces", "headers": [["Content-Type", "application/json"]],
            "body_b64": STANDARD.encode(body) }),
    );
    let tags = json!({ "operation": "a", "remote_ip": "127.0.0.1", "service": "s", "source": "ddtrace",
        "source_type": "custom", "span_type": "entry", "status": "ok" });
    let message = json!({ "service": "s", "name": "a", "resource": "r", "start": 5000, "duration": 7000, "error": 0,
        "meta": {}, "metrics": {}, "type": "" });
    let mut point = json!({ "measurement": "ddtrace", "tags": tags, "time_ns": 5000,
        "fields": { "trace_id": "1", "span_id": "2", "parent_id": "0", "resource": "r", "start": 5, "duration": 7,
            "message": message.to_string() } });
    write("goldens/a-tracer-001.json", &json!({ "traces": [[point]] }));
    let run = || {
        let mut tally = Tally::default();
        for case in extra(folder.path()) {
            replay(&mut gateway(), &case, &mut tally);
        }
        tally
    };
    let tally = run();
    assert_eq!((tally.ran, tally.points, &tally.failures[..]), (1, 1, &[][..]));
    point["tags"]["status"] = json!("error");
    write("goldens/a-tracer-001.json", &json!({ "traces": [[point]] }));
    assert_eq!(run().failures.len(), 1, "what differs is found");
}
