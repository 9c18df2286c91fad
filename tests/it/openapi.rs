//! The description of the HTTP surface, held true on the real program: what is in it is answered as it says, and what is
//! answered is in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kitgate::{
    admin, intake,
    metrics::names::{APIS, CATEGORIES},
};
use serde_json::{Map, Value};

use super::harness::{Gateway, http::Answer};

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"];

/// Everything that can be switched on is.
const TABLES: &str = "[election]\nenable = true\n[dialtesting]\nenable_debug_api = true\n\
    disable_internal_network_task = false\n";

/// Their answer is that there is no destination, here.
const FORWARDED: &str = "Asks the destination";

struct Document(Value);

/// A path of the document with one of its methods.
struct Operation<'d> {
    method: String,
    path: &'d str,
    value: &'d Value,
}

/// A request that the document shows.
struct Example {
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Document {
    fn read() -> Document {
        Document(serde_json::from_str(intake::openapi::DOCUMENT).expect("JSON"))
    }

    fn paths(&self) -> &Map<String, Value> {
        self.0["paths"].as_object().expect("paths")
    }

    fn operations(&self) -> Vec<Operation<'_>> {
        let mut operations = Vec::new();
        for (path, methods) in self.paths() {
            for (method, value) in methods.as_object().expect("methods") {
                operations.push(Operation { method: method.to_uppercase(), path, value });
            }
        }
        operations
    }

    /// What a value is that may be a reference.
    fn resolved<'d>(&'d self, value: &'d Value) -> &'d Value {
        let Some(reference) = value.get("$ref") else { return value };
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#')).expect("a local reference");
        self.0.pointer(pointer).unwrap_or_else(|| panic!("there is no {pointer}"))
    }

    /// A request for each body that is shown; one without where there is none.
    fn examples(&self, operation: &Operation<'_>) -> Vec<Example> {
        let mut target = operation.path.to_owned();
        let (mut query, mut headers) = (Vec::new(), Vec::new());
        for parameter in list(&operation.value["parameters"]) {
            let parameter = self.resolved(parameter);
            let name = text(&parameter["name"]);
            let Some(example) = parameter.get("example") else {
                assert_ne!(parameter["required"], true, "{}: {name} has no example", operation.path);
                continue;
            };
            match text(&parameter["in"]) {
                "path" => target = target.replace(&format!("{{{name}}}"), &escaped(text(example))),
                "header" => headers.push((name.to_owned(), text(example).to_owned())),
                _ => match example.as_object() {
                    Some(pairs) => query.extend(pairs.iter().map(|(key, value)| pair(key, text(value)))),
                    None => query.push(pair(name, text(example))),
                },
            }
        }
        if !query.is_empty() {
            target = format!("{target}?{}", query.join("&"));
        }
        let Some(contents) = operation.value["requestBody"]["content"].as_object() else {
            return vec![Example { target, headers, body: Vec::new() }];
        };
        let mut examples = Vec::new();
        for (content_type, content) in contents {
            let bodies = bodies(content);
            assert!(!bodies.is_empty(), "{} {content_type} has no example", operation.path);
            for body in bodies {
                let mut headers = headers.clone();
                let boundary = content.get("x-kitgate-boundary").map(|it| format!("; boundary={}", text(it)));
                headers
                    .push(("Content-Type".to_owned(), content_type.clone() + &boundary.unwrap_or_default()));
                for (name, value) in content["x-kitgate-headers"].as_object().into_iter().flatten() {
                    headers.push((name.clone(), text(value).to_owned()));
                }
                examples.push(Example { target: target.clone(), headers, body });
            }
        }
        examples
    }
}

fn bodies(content: &Value) -> Vec<Vec<u8>> {
    let examples =
        content["examples"].as_object().into_iter().flatten().map(|(_, example)| &example["value"]);
    let mut bodies: Vec<Vec<u8>> = examples
        .chain(content.get("example"))
        .map(|value| match value {
            Value::String(text) => text.clone().into_bytes(),
            value => value.to_string().into_bytes(),
        })
        .collect();
    if let Some(body) = content.get("x-kitgate-body-base64") {
        bodies.push(STANDARD.decode(text(body)).expect("base64"));
    }
    bodies
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") })
        .collect()
}

fn pair(name: &str, value: &str) -> String {
    format!("{}={}", escaped(name), escaped(value))
}

fn send(gateway: &Gateway, method: &str, example: &Example) -> Answer {
    let headers: Vec<(&str, &str)> =
        example.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    gateway.client().request(method, &example.target, &headers, &example.body)
}

/// Whether a route has answered.
fn is_routed(answer: &Answer) -> bool {
    ![404, 405].contains(&answer.status)
}

/// All paths of the program.
fn known() -> BTreeSet<&'static str> {
    intake::paths().chain(admin::PATHS).collect()
}

#[test]
fn the_document_is_served() {
    let gateway = Gateway::start("", "");
    let answer = gateway.get("/openapi.json");
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/json")));
    assert_eq!(answer.text(), intake::openapi::DOCUMENT);
    assert_eq!(
        gateway.metric("datakit_http_api_total{api=\"/openapi.json\",method=\"GET\",status=\"OK\"}"),
        1.0
    );
    let elsewhere = gateway.client().request("GET", "/openapi.json", &[("X-Real-IP", "1.1.1.1")], b"");
    assert_eq!(elsewhere.status, 403);
    let listed =
        Gateway::start("", "[http_api]\nlisten = \"127.0.0.1:0\"\npublic_apis = [\"/openapi.json\"]\n");
    let elsewhere = listed.client().request("GET", "/openapi.json", &[("X-Real-IP", "1.1.1.1")], b"");
    assert_eq!(elsewhere.status, 200);
}

#[test]
fn the_document_is_whole() {
    let document = Document::read();
    assert_eq!(document.0["openapi"], "3.1.0");
    assert_eq!(document.0["info"]["version"], env!("CARGO_PKG_VERSION"));
    let tags: BTreeSet<&str> = list(&document.0["tags"]).map(|tag| text(&tag["name"])).collect();
    let mut ids = BTreeSet::new();
    let mut used_tags = BTreeSet::new();
    for operation in document.operations() {
        let id = text(&operation.value["operationId"]);
        assert!(ids.insert(id), "{id} twice");
        used_tags.extend(list(&operation.value["tags"]).map(text));
    }
    assert_eq!(used_tags, tags);
    // Every reference leads somewhere, and everything that can be referred to is.
    let mut references = BTreeSet::new();
    refer(&document, &document.0, &mut references);
    for (kind, members) in document.0["components"].as_object().expect("components") {
        for name in members.as_object().expect("members").keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(references.contains(reference.as_str()), "nobody refers to {reference}");
        }
    }
}

fn refer<'d>(document: &'d Document, value: &'d Value, references: &mut BTreeSet<&'d str>) {
    match value {
        Value::Object(members) => {
            if members.contains_key("$ref") {
                document.resolved(value);
                references.insert(text(&members["$ref"]));
            }
            members.values().for_each(|value| refer(document, value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| refer(document, value, references)),
        _ => {}
    }
}

#[test]
fn every_route_is_in_it_and_nothing_else() {
    let document = Document::read();
    let described: BTreeSet<&str> = document.paths().keys().map(String::as_str).collect();
    assert_eq!(described, known());
    let gateway = Gateway::start("", TABLES);
    let operations = document.operations();
    for path in &described {
        for method in METHODS {
            let operation =
                operations.iter().find(|operation| operation.path == *path && operation.method == method);
            let bare =
                || Example { target: path.replace(['{', '}'], ""), headers: Vec::new(), body: Vec::new() };
            let example = operation.and_then(|operation| document.examples(operation).pop());
            let answer = send(&gateway, method, &example.unwrap_or_else(bare));
            let described = operation.is_some();
            assert_eq!(is_routed(&answer), described, "{method} {path}: {}", answer.status);
        }
    }
}

#[test]
fn what_is_shown_works_and_is_answered_as_described() {
    let document = Document::read();
    let mut gateway = Gateway::start("", TABLES);
    let mut count = 0;
    for operation in document.operations() {
        let is_forwarded = list(&operation.value["tags"]).any(|tag| tag == FORWARDED);
        for example in document.examples(&operation) {
            let answer = send(&gateway, &operation.method, &example);
            let what = format!("{} {} {:?}: {answer:?}", operation.method, example.target, example.headers);
            assert!(answer.status / 100 == 2 || (is_forwarded && answer.status == 500), "{what}");
            let described = &operation.value["responses"][answer.status.to_string()];
            assert!(!described.is_null(), "not described: {what}");
            let described = document.resolved(described);
            if !answer.body.is_empty() {
                let content_type = answer.header("Content-Type").unwrap_or_default();
                assert!(!described["content"][content_type].is_null(), "another type: {what}");
            }
            count += 1;
        }
    }
    assert!(count > 80, "{count}");
    // They are not only well formed: there are points in them.
    let points: f64 = CATEGORIES
        .iter()
        .map(|category| gateway.metric(&format!("kitgate_points_in_total{{category=\"{category}\"}}")))
        .sum();
    assert!(points > 50.0, "{points}");
    assert!(gateway.stop().success());
}

/// Whether a path is that of a route, one segment standing for what is in braces.
fn matches(route: &str, path: &str) -> bool {
    let (mut route, mut path) = (route.split('/'), path.split('/'));
    loop {
        match (route.next(), path.next()) {
            (None, None) => return true,
            (Some(pattern), Some(segment)) if pattern == segment || pattern.starts_with('{') => {}
            _ => return false,
        }
    }
}

/// Texts between quotes that look like paths, without those of tests.
fn paths_in(source: &str) -> Vec<&str> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let texts = code.flat_map(|line| line.split('"').skip(1).step_by(2));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._{}-".contains(&byte);
    texts
        .filter(|text| {
            text.len() > 1 && text.starts_with('/') && !text.starts_with("/{") && text.bytes().all(is_plain)
        })
        .collect()
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            out.push(path);
        }
    }
}

#[test]
fn no_path_in_the_sources_is_forgotten() {
    let known = known();
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/intake"), &mut files);
    let mut count = 0;
    for file in files.iter().filter(|file| !file.to_string_lossy().contains("testing")) {
        let source = fs::read_to_string(file).expect("a source");
        for path in paths_in(&source) {
            // What only begins a path, and a route with that beginning.
            // Where a destination takes what came here.
            if path.starts_with("/v1/upload/") {
                continue;
            }
            let is_prefix = path.ends_with('/') || path == "/otel";
            let is_known = known
                .iter()
                .any(|route| if is_prefix { route.starts_with(path) } else { matches(route, path) });
            assert!(is_known, "{}: {path} is not among intake::paths()", file.display());
            count += 1;
        }
    }
    assert!(count > 80, "{count}");
    for label in APIS.iter().filter(|label| label.starts_with('/')) {
        let path = label.replace(":category", "{category}").replace(":token", "{token}");
        assert!(known.iter().any(|route| matches(route, &path)), "{label}");
    }
    assert_eq!(
        paths_in("let a = \"/x/y\"; // \"/no\"\n    // \"/z\"\n b\"/w\" \"/ \" \"a/b\""),
        ["/x/y", "/no", "/w"]
    );
}
