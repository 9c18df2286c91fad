//! What real clients were recorded to send, each request answered in-process, and of those that bring data the points.
//!
//! `tests/golden/captured/` holds the requests, and for traces the points that DataKit 1.84.1 makes of them; `message` is
//! compared as JSON, everything else exactly. What browsers send is line protocol: there the points are read from the
//! lines themselves, by a reader of this test's own. With `KITGATE_EXTRA_GOLDENS=DIR` a further folder is replayed: `DIR/<client>/
//! NNN.json`, one request each, and `DIR/goldens/<client>-NNN.json` with the points.

use std::collections::BTreeMap;
use std::io::Read as _;
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
    ("dd-browser-rum-7.16.2", 4),
    ("guance-browser-rum-3.2.27", 16),
];

/// What other suites replay, or none yet: by the beginning of the path.
const LEFT_OUT: [(&str, &str); 2] = [
    ("/debug/pprof/", "profiles that are fetched"),
    ("/api/data", "a page's own request, to the server that it came from"),
];

/// Where browsers send lines.
const BROWSERS_WRITES: [&str; 2] = ["/v1/write/rum", "/v1/write/logging"];
const REPLAY: &str = "/v1/write/rum/replay";

/// Tags that say who sent a point of a browser's, and the values of this machine's address.
const SENDER_TAGS: [(&str, &str); 5] = [
    ("ip", "127.0.0.1"),
    ("city", "unknown"),
    ("province", "unknown"),
    ("country", "unknown"),
    ("isp", "unknown"),
];

/// Tags of all points of the browser's SDK but its telemetry, and of all of its logs.
const RUM_TAGS: [&str; 20] = [
    "sdk_name",
    "sdk_version",
    "app_id",
    "env",
    "service",
    "version",
    "source",
    "session_id",
    "session_type",
    "os",
    "browser",
    "browser_version",
    "screen_size",
    "network_type",
    "time_zone",
    "device",
    "view_id",
    "view_url",
    "view_host",
    "view_path",
];
const LOG_TAGS: [&str; 8] =
    ["sdk_name", "app_id", "env", "service", "version", "session_id", "view_id", "status"];

/// By measurement: tags, and fields, that its points have.
const RUM_KEYS: [(&str, &[&str], &[&str]); 6] = [
    ("view", &["view_privacy_replay_level"], &["is_active", "view_error_count", "session_sample_rate"]),
    (
        "resource",
        &["resource_id", "resource_method", "resource_status"],
        &["resource_url_host", "resource_url", "resource_type", "duration"],
    ),
    ("action", &["action_type"], &["action_id", "action_name"]),
    (
        "error",
        &["error_id", "error_type", "error_source", "error_handling"],
        &["error_message", "error_stack"],
    ),
    ("long_task", &["long_task_id"], &["duration"]),
    ("telemetry", &["service"], &["type"]),
];

/// Tags that Datadog's SDK leaves to whoever reads the browser's name, and what only some of its requests have.
const NOT_FROM_DATADOG: [&str; 7] = [
    "tag os",
    "tag browser",
    "tag browser_version",
    "tag screen_size",
    "tag time_zone",
    "tag device",
    "tag resource_method",
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
        // A browser's page gets no answer to read that does not name its origin, and comes again after some statuses.
        "/rumproxy" => got.status == 202 && body.is_empty() && names_origin(sent, got),
        "/v1/write/rum" | REPLAY | "/v1/write/logging" => {
            got.status == 200 && body.is_empty() && names_origin(sent, got)
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

/// Whether the page that sent a request may see the answer.
fn names_origin(sent: &Sent, got: &Got) -> bool {
    let origin = sent.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("origin"));
    let header = |name: &str| got.headers.get(name).map(String::as_str);
    header("access-control-allow-origin") == Some(origin.map_or("*", |(_, value)| value.as_str()))
        && origin.is_none_or(|_| header("access-control-allow-credentials") == Some("true"))
}

/// The points of what a browser sent, read by the lines' grammar alone: times are milliseconds, texts may go over
/// several lines.
fn browser_lines(sent: &Sent) -> Vec<Shown> {
    let body = if sent.target.contains("encoding=deflate") {
        let mut plain = Vec::new();
        flate2::read::ZlibDecoder::new(&sent.body[..]).read_to_end(&mut plain).unwrap();
        plain
    } else {
        sent.body.clone()
    };
    let text = String::from_utf8(body).unwrap();
    let end = regex::Regex::new(r" (\d{13})(?:\n|\z)").unwrap();
    let mut points = Vec::new();
    let mut rest = text.as_str();
    while let Some(found) = end.captures(rest) {
        let whole = found.get(0).unwrap();
        points.push(browser_point(&rest[..whole.start()], found[1].parse().unwrap()));
        rest = &rest[whole.end()..];
    }
    assert_eq!(rest, "", "what stands behind the last time");
    points
}

fn browser_point(line: &str, time_ms: i64) -> Shown {
    // Pieces by what parts them, escaped or in quotes not counted; a backslash before anything else is itself.
    let mut pieces = vec![(None, String::new())];
    let (mut quoted, mut in_fields) = (false, false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let at_mark = match letter {
            '\\' if letters
                .peek()
                .is_some_and(|next| if quoted { "\"\\" } else { ", =" }.contains(*next)) =>
            {
                let escaped = letters.next().unwrap();
                pieces.last_mut().unwrap().1.push(escaped);
                continue;
            }
            '"' if in_fields => {
                quoted = !quoted;
                false
            }
            ' ' if !in_fields => {
                in_fields = true;
                true
            }
            '=' | ',' => !quoted,
            _ => false,
        };
        if at_mark {
            pieces.push((Some((letter, in_fields)), String::new()));
        } else {
            pieces.last_mut().unwrap().1.push(letter);
        }
    }
    let name = pieces[0].1.clone();
    let mut point =
        Shown { name, time_ns: time_ms * 1_000_000, tags: BTreeMap::new(), fields: BTreeMap::new() };
    for pair in pieces[1..].chunks(2) {
        let [(_, key), (Some(('=', of_fields)), value)] = pair else { panic!("{pair:?} in {line}") };
        let inside = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let value = match (of_fields, inside, value.parse::<f64>()) {
            (false, ..) => json!(value),
            (true, Some(text), _) => message(key, text),
            (true, None, Ok(number)) => json!(number),
            (true, None, Err(_)) => json!(matches!(value.as_str(), "true" | "t" | "T")),
        };
        if *of_fields { &mut point.fields } else { &mut point.tags }.insert(key.clone(), value);
    }
    point
}

/// What a browser's points lack of what points of their kind have.
fn missing_keys(point: &Shown, path: &str) -> Vec<String> {
    let is_log = path == "/v1/write/logging";
    let of_kind = RUM_KEYS.iter().find(|(name, ..)| *name == point.name);
    let (tags, fields) = of_kind.map_or((&[][..], &[][..]), |(_, tags, fields)| (tags, fields));
    let common = match &*point.name {
        "telemetry" => &[][..],
        _ if is_log => &LOG_TAGS,
        _ => &RUM_TAGS,
    };
    let known = of_kind.is_some() != is_log && (!is_log || point.name == "browser_log");
    let unknown = (!known).then(|| format!("measurement {}", point.name));
    let sender = SENDER_TAGS
        .iter()
        .filter(|_| !is_log)
        .filter(|(key, value)| point.tags.get(*key) != Some(&json!(value)));
    let sender = sender.map(|(key, _)| format!("tag {key}"));
    let tags = common.iter().chain(tags).filter(|key| !point.tags.contains_key(**key));
    let fields =
        fields.iter().chain(is_log.then_some(&"message")).filter(|key| !point.fields.contains_key(**key));
    let tags = tags.map(|key| format!("tag {key}"));
    unknown.into_iter().chain(sender).chain(tags).chain(fields.map(|key| format!("field {key}"))).collect()
}

/// Compares what was made of a browser's lines with the lines, and with what such points have.
fn browser_points(path: &str, sent: &Sent, have: Vec<Shown>) -> Vec<String> {
    let want = browser_lines(sent);
    if have.len() != want.len() || have.is_empty() {
        return vec![format!("{} points, not {}", have.len(), want.len())];
    }
    let mut failures = Vec::new();
    for (mut have, want) in have.into_iter().zip(want) {
        let missing = missing_keys(&have, path);
        if !missing.is_empty() {
            failures.push(format!("{} without {missing:?}", have.name));
        }
        have.tags
            .retain(|key, _| path == "/v1/write/logging" || !SENDER_TAGS.iter().any(|(tag, _)| tag == key));
        if have != want {
            failures.push(format!("\n    want {want:?}\n    got  {have:?}"));
        }
    }
    failures
}

/// Compares what was made of events that Datadog's SDK sent through a proxy with the events, one a line.
fn proxied_points(sent: &Sent, have: &[Shown]) -> Vec<String> {
    let text = String::from_utf8_lossy(&sent.body);
    let is_events = sent.method == "POST" && sent.target.contains("ddforward=%2Fapi%2Fv2%2Frum%3F");
    let events: Vec<Value> = match is_events {
        true => text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        false => Vec::new(),
    };
    if have.len() != events.len() {
        return vec![format!("{} points, not {}", have.len(), events.len())];
    }
    let mut failures = Vec::new();
    for (point, event) in have.iter().zip(&events) {
        let kind = event["type"].as_str().unwrap();
        let key = format!("{kind}_id");
        let own_id = point.tags.get(&key).or_else(|| point.fields.get(&key));
        let id = if kind == "view" { &event["view"]["id"] } else { &event[kind]["id"] };
        let time_ns = event["date"].as_i64().unwrap() * 1_000_000;
        if (&*point.name, point.time_ns) != (kind, time_ns) || own_id.unwrap_or(&Value::Null) != id {
            failures.push(format!("\n    want {event}\n    got  {point:?}"));
        }
        for (tag, name) in [("app_id", "application"), ("session_id", "session"), ("view_id", "view")] {
            if point.tags.get(tag).unwrap_or(&Value::Null) != &event[name]["id"] {
                failures.push(format!("{tag} of {point:?}"));
            }
        }
        let missing = missing_keys(point, "/rumproxy");
        let missing: Vec<&String> =
            missing.iter().filter(|key| !NOT_FROM_DATADOG.contains(&&***key)).collect();
        if !missing.is_empty() {
            failures.push(format!("{kind} without {missing:?}"));
        }
    }
    failures
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

/// Points are compared as they are converted, before their times are corrected.
struct Gateways {
    /// As DataKit is set up by default.
    recorded: Gateway,
    /// As the documents say, which browsers need: the recorded one refuses a whole body for the SDK's own telemetry.
    documented: Gateway,
}

impl Gateways {
    fn new() -> Gateways {
        let gateway =
            |compat| Gateway::with(Options { compat, time_correction: false, ..Options::default() });
        Gateways { recorded: gateway(Compat::Datakit184), documented: gateway(Compat::Documented) }
    }
}

#[derive(Default)]
struct Tally {
    ran: usize,
    points: usize,
    left_out: BTreeMap<&'static str, Vec<String>>,
    failures: Vec<String>,
}

fn replay(gateways: &mut Gateways, case: &Value, tally: &mut Tally) {
    let name = text(case, "name");
    let sent = request(case);
    let path = sent.target.split('?').next().unwrap_or_default();
    if let Some((_, reason)) = LEFT_OUT.iter().find(|(prefix, _)| path.starts_with(prefix)) {
        tally.left_out.entry(reason).or_default().push(name.to_owned());
        return;
    }
    tally.ran += 1;
    let is_browsers = BROWSERS_WRITES.contains(&path);
    let gateway =
        if is_browsers || path == REPLAY { &mut gateways.documented } else { &mut gateways.recorded };
    let got = gateway.send(&sent);
    if let Some(wrong) = wrong_profile(&sent, &got) {
        tally.failures.push(format!("{name} {path}: {wrong}"));
    }
    if let Some(wrong) = wrong_answer(&sent, &got) {
        tally.failures.push(format!("{name} {path}: {wrong}"));
    }
    let mut have: Vec<Shown> = points::read(&got.fed.bytes).into_iter().map(Shown::of).collect();
    tally.points += have.len();
    if is_browsers {
        let failures = browser_points(path, &sent, have);
        tally.failures.extend(failures.into_iter().map(|failure| format!("{name} {path}: {failure}")));
        return;
    }
    if path == "/rumproxy" {
        let failures = proxied_points(&sent, &have);
        tally.failures.extend(failures.into_iter().map(|failure| format!("{name} {path}: {failure}")));
        return;
    }
    if let Some((category, count)) = expected_counts(path, &sent.body) {
        let of_category = |(there, _): &&(Category, _)| *there == category;
        let found: u32 = got.converted.iter().filter(of_category).map(|(_, batch)| batch.points).sum();
        if found as usize != count || have.len() != count {
            tally.failures.push(format!("{name} {path}: {found} points of {} of {count}", have.len()));
        }
        return;
    }
    let traces = case["traces"].as_array();
    if traces.is_none() && ["/v1/traces", "/v1/metrics", "/v1/logs"].contains(&path) {
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
        let mut gateways = Gateways::new();
        let mut tally = Tally::default();
        for case in golden(&format!("captured/{client}")) {
            replay(&mut gateways, &case, &mut tally);
        }
        report(&tally, client);
        assert_eq!(tally.ran, ran, "{client}");
    }
    if let Some(folder) = std::env::var_os("KITGATE_EXTRA_GOLDENS") {
        let mut tally = Tally::default();
        for case in extra(Path::new(&folder)) {
            replay(&mut Gateways::new(), &case, &mut tally);
        }
        report(&tally, &folder.to_string_lossy());
        assert!(tally.ran + tally.left_out.len() > 0, "{}: nothing to replay", folder.to_string_lossy());
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
            replay(&mut Gateways::new(), &case, &mut tally);
        }
        tally
    };
    let tally = run();
    assert_eq!((tally.ran, tally.points, &tally.failures[..]), (1, 1, &[][..]));
    point["tags"]["status"] = json!("error");
    write("goldens/a-tracer-001.json", &json!({ "traces": [[point]] }));
    assert_eq!(run().failures.len(), 1, "what differs is found");
}

/// Under the recorded server's rules the SDK's telemetry, which names no application, takes its whole body with it.
#[test]
fn the_recorded_rules_refuse_telemetry_and_what_came_with_it() {
    let mut gateways = Gateways::new();
    let (mut taken, mut refused) = (0, 0);
    for case in golden("captured/guance-browser-rum-3.2.27") {
        let sent = request(&case);
        if !sent.target.starts_with("/v1/write/rum?") {
            continue;
        }
        let nameless = browser_lines(&sent).iter().any(|point| !point.tags.contains_key("app_id"));
        let got = gateways.recorded.send(&sent);
        if nameless {
            refused += 1;
            let text = String::from_utf8_lossy(&got.body).into_owned();
            assert!(got.status == 400 && text.contains("invalid key") && got.fed.is_empty(), "{text}");
        } else {
            taken += 1;
            assert!(got.status == 200 && !got.fed.is_empty());
        }
        assert!(names_origin(&sent, &got));
    }
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
}
