//! `kitgate pipeline test`: scripts against what they are expected to make of their samples.
//!
//! Beside `NAME.p` lies `NAME.cases.jsonl`, a case a line; empty lines and those that begin with `#` are passed over:
//!
//! ```text
//! {"name": "an access", "message": "10.0.0.1 GET /", "expect": {"tags": {}, "fields": {"message": …, "ip": "10.0.0.1"}}}
//! ```
//!
//! | key | |
//! |---|---|
//! | `message` | the sample: a text, which is one point; or |
//! | `lines` | points in line protocol, in nanoseconds; or `json`, points as the API takes them |
//! | `expect` | what becomes of the point; a list where there are several |
//! | `name`, `category`, `tz`, `now` | optional: what the case is called; of the points, else that of the folder; the time zone, else UTC; nanoseconds at which it happens |
//!
//! Of an expectation what is not named may be anything: `name`; `tags` and `fields`, all that there are; `has`, some of
//! them; `lacks`, a list of keys; `time` in nanoseconds; `dropped`; `error`, a part of its text; `created`, a list of
//! expectations, which may also name a `category`.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::run::said;
use super::{Desk, compiled, files, zone_of};
use crate::pipeline::category::Category;
use crate::pipeline::lib::time::Zone;
use crate::pipeline::post::StatusOptions;
use crate::pipeline::set::ScriptSet;
use crate::pipeline::trial::{BadData, Format, Shown, Trial, Tried};
use crate::pipeline::vm::Host;

/// What the ending of a file of cases is.
const ENDING: &str = ".cases.jsonl";

/// What came of all cases.
#[derive(Debug, Default)]
pub struct Report {
    pub scripts: usize,
    pub cases: usize,
    pub failures: Vec<Failed>,
    /// Scripts without cases.
    pub untested: Vec<String>,
}

/// A case, or a script that does not compile.
#[derive(Debug)]
pub struct Failed {
    pub script: String,
    pub case: String,
    pub difference: String,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.failures.is_empty()
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        for Failed { script, case, difference } in &self.failures {
            let _ = writeln!(text, "FAILED {script}, {case}: {difference}");
        }
        for script in &self.untested {
            let _ = writeln!(text, "{script} has no cases");
        }
        let Report { scripts, cases, failures, .. } = self;
        let _ = writeln!(text, "{cases} cases of {scripts} scripts, {} failed", failures.len());
        text
    }

    pub fn json(&self) -> Value {
        let failed = self.failures.iter().map(|Failed { script, case, difference }| {
            json!({"script": script, "case": case, "difference": difference})
        });
        json!({
            "scripts": self.scripts, "cases": self.cases, "failed": failed.collect::<Vec<_>>(),
            "untested": self.untested,
        })
    }

    fn fail(&mut self, script: &str, case: impl Into<String>, difference: impl Into<String>) {
        self.failures.push(Failed {
            script: script.to_owned(),
            case: case.into(),
            difference: difference.into(),
        });
    }
}

/// Tests the scripts of a folder.
pub fn test(dir: &Path) -> Result<Report, String> {
    if !dir.is_dir() {
        return Err(format!("{}: no such folder", dir.display()));
    }
    let named = dir.canonicalize().ok();
    let named = named.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    let category = named.and_then(Category::named).unwrap_or(Category::Logging);
    let mut report = Report::default();
    let set = compiled(dir);
    for (name, error) in set.names() {
        report.scripts += 1;
        if let Some(error) = error {
            report.fail(name, "compiling it", error.to_string());
            continue;
        }
        let stem = name.strip_suffix(".p").unwrap_or(name);
        let path = dir.join(format!("{stem}{ENDING}"));
        if !path.exists() {
            report.untested.push(name.to_owned());
            continue;
        }
        let text = files::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            report.cases += 1;
            let case: Value = match serde_json::from_str(line) {
                Ok(case) => case,
                Err(error) => {
                    report.fail(name, format!("line {number}"), format!("cannot be read: {error}"));
                    continue;
                }
            };
            let title = case["name"].as_str().map_or_else(|| format!("line {number}"), str::to_owned);
            // Each begins with nothing kept of another.
            let fresh = compiled(dir);
            if let Err(difference) = check(&fresh, name, category, &case) {
                report.fail(name, title, difference);
            }
        }
    }
    for path in files::entries(dir) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(stem) = name.strip_suffix(ENDING)
            && set.find(&format!("{stem}.p")).is_none()
        {
            report.fail(name, "all of them", format!("there is no {stem}.p"));
        }
    }
    Ok(report)
}

const KNOWN: [&str; 9] = ["name", "category", "tz", "now", "message", "lines", "json", "expect", "note"];

fn check(set: &ScriptSet, name: &str, category: Category, case: &Value) -> Result<(), String> {
    let members = case.as_object().ok_or("a case is an object")?;
    if let Some(unknown) = members.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(format!("unknown key {unknown:?}"));
    }
    let category = match case.get("category") {
        None => category,
        Some(name) => name.as_str().and_then(Category::named).ok_or("no such category")?,
    };
    let zone = zone_of(Some(case["tz"].as_str().unwrap_or("UTC")), &Zone::UTC)?;
    let desk = Desk { now_ns: case["now"].as_i64(), zone };
    let Some(Ok(at)) = set.find(name) else { return Err("there is no such script".to_owned()) };
    let stem = name.strip_suffix(".p").unwrap_or(name);
    let trial = Trial { set, at, category, name: stem, status: &StatusOptions::default(), host: &desk };
    let json_text;
    let (format, data) = match (&case["message"], &case["lines"], &case["json"]) {
        (Value::String(text), Value::Null, Value::Null) => (Format::Text, text.as_bytes()),
        (Value::Null, Value::String(text), Value::Null) => (Format::LineProtocol, text.as_bytes()),
        (Value::Null, Value::Null, points @ Value::Array(_)) => {
            json_text = points.to_string();
            (Format::Json, json_text.as_bytes())
        }
        _ => return Err("one of message, lines (texts) or json (a list) is the sample".to_owned()),
    };
    let mut tried = trial.run(format, data, desk.now_ns()).map_err(|BadData(text)| text)?;
    tried.extend(trial.finish(&[]));
    let one;
    let expected = match case.get("expect") {
        Some(Value::Array(all)) => all,
        Some(expected @ Value::Object(_)) => {
            one = vec![expected.clone()];
            &one
        }
        _ => return Err("expect is an object, or a list of them".to_owned()),
    };
    if expected.len() != tried.len() {
        return Err(format!("{} points came of it, {} are expected", tried.len(), expected.len()));
    }
    let is_one = tried.len() == 1;
    for (index, (expected, tried)) in expected.iter().zip(&tried).enumerate() {
        let place = if is_one { String::new() } else { format!("point {}: ", index + 1) };
        compare(expected, tried).map_err(|difference| format!("{place}{difference}"))?;
    }
    Ok(())
}

fn compare(expected: &Value, tried: &Tried) -> Result<(), String> {
    let expected = expected.as_object().ok_or("an expectation is an object")?;
    let error = tried.run_error.as_ref().map(said);
    match (expected.get("error").and_then(Value::as_str), &error) {
        (None, Some(error)) => return Err(format!("it failed: {error}")),
        (Some(wanted), None) => return Err(format!("it did not fail, with {wanted:?}")),
        (Some(wanted), Some(error)) if !error.contains(wanted) => {
            return Err(format!("it failed with {error:?}, not with {wanted:?}"));
        }
        _ => {}
    }
    let point = tried.point.as_ref().or(tried.left.as_ref()).ok_or("there is no point")?;
    same_point(expected, point, &["error", "created"])?;
    if let Some(created) = expected.get("created") {
        let created = created.as_array().ok_or("created is a list")?;
        let made = tried.create_point.as_deref().unwrap_or_default();
        if created.len() != made.len() {
            return Err(format!("{} points were created, {} are expected", made.len(), created.len()));
        }
        for (index, (expected, point)) in created.iter().zip(made).enumerate() {
            let expected = expected.as_object().ok_or("an expectation is an object")?;
            same_point(expected, point, &["category"])
                .map_err(|difference| format!("created point {}: {difference}", index + 1))?;
            let category = point.category.map_or("", Category::name);
            if expected.get("category").is_some_and(|wanted| wanted != category) {
                return Err(format!("created point {} is of category {category}", index + 1));
            }
        }
    }
    Ok(())
}

fn same_point(expected: &Map<String, Value>, point: &Shown, others: &[&str]) -> Result<(), String> {
    let fields: Map<String, Value> = point
        .fields
        .iter()
        .map(|(key, json)| (key.clone(), serde_json::from_str(json).unwrap_or(Value::Null)))
        .collect();
    for (key, wanted) in expected {
        match key.as_str() {
            "name" if *wanted == point.name.as_str() => {}
            "name" => return Err(format!("it is called {:?}, not {wanted}", point.name)),
            "dropped" if *wanted == point.dropped => {}
            "dropped" => return Err(format!("dropped is {}", point.dropped)),
            "time" => {
                let time = point.time * 1_000_000_000 + point.time_ns;
                if wanted.as_i64() != Some(time) {
                    return Err(format!("its time is {time}, not {wanted}"));
                }
            }
            "tags" => {
                let tags = point.tags.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
                same_keys("tag", wanted, &tags)?;
            }
            "fields" => same_keys("field", wanted, &fields)?,
            "has" => {
                for (key, wanted) in wanted.as_object().ok_or("has is an object")? {
                    let found =
                        point.tags.get(key).map(|tag| json!(tag)).or_else(|| fields.get(key).cloned());
                    if !found.as_ref().is_some_and(|found| same(wanted, found)) {
                        return Err(format!("{key} is {}, not {wanted}", shown(found.as_ref())));
                    }
                }
            }
            "lacks" => {
                for key in wanted.as_array().ok_or("lacks is a list")?.iter().filter_map(Value::as_str) {
                    if point.tags.contains_key(key) || fields.contains_key(key) {
                        return Err(format!("{key} is there"));
                    }
                }
            }
            other if others.contains(&other) => {}
            other => return Err(format!("unknown expectation {other:?}")),
        }
    }
    Ok(())
}

fn same_keys(what: &str, wanted: &Value, found: &Map<String, Value>) -> Result<(), String> {
    let wanted = wanted.as_object().ok_or_else(|| format!("{what}s are an object"))?;
    for (key, value) in wanted {
        if !found.get(key).is_some_and(|found| same(value, found)) {
            return Err(format!("{what} {key} is {}, not {value}", shown(found.get(key))));
        }
    }
    match found.keys().find(|key| !wanted.contains_key(*key)) {
        Some(key) => Err(format!("{what} {key} is {}, and not expected", shown(found.get(key)))),
        None => Ok(()),
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "not there".to_owned(), Value::to_string)
}

/// Equal, 1 and 1.0 too: JSON does not tell them apart.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (left, right) => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn shipped_scripts_make_of_their_samples_what_they_should() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/pipeline/logging");
        let report = test(Path::new(folder)).unwrap();
        assert!(report.is_good() && report.untested.is_empty(), "{}", report.text());
        assert!(report.scripts >= 11 && report.cases >= 60, "{}", report.text());
    }

    #[test]
    fn cases_say_what_differs() {
        let dir = folder(&[
            (
                "a.p",
                "set_tag(t, \"v\")\nadd_key(n, 1)\nif message == \"bad\" { x = 1 + nil }\ncreate_point(\"m\", {}, {\"f\": 2})",
            ),
            ("b.p", "drop()"),
            ("c.p", "x = @"),
            ("d.p", "x = 1"),
            (
                "a.cases.jsonl",
                r#"
# fine
{"message": "x", "expect": {"name": "a", "tags": {"t": "v"}, "fields": {"message": "x", "status": "info", "n": 1.0}, "dropped": false, "created": [{"category": "metric", "fields": {"f": 2}}]}}
{"message": "bad", "expect": {"error": "unsupported rhs", "has": {"n": 1}}}
{"lines": "x f=1i 5\ny f=2i 6", "expect": [{"name": "x", "time": 5}, {"name": "y", "time": 6, "lacks": ["nothing"]}]}
{"json": [{"measurement": "j", "fields": {"f": 1}}], "category": "metric", "now": 7, "expect": {"time": 7}}
{"name": "wrong field", "message": "x", "expect": {"fields": {}}}
{"name": "wrong value", "message": "x", "expect": {"has": {"n": 2}}}
{"name": "no failure", "message": "x", "expect": {"error": "y"}}
{"name": "a slip", "message": "x", "expects": {}}
{"name": "another", "message": "x", "expect": {"feilds": {}}}
not JSON
"#,
            ),
            ("b.cases.jsonl", r#"{"message": "x", "expect": {"dropped": true}}"#),
            ("gone.cases.jsonl", ""),
        ]);
        let report = test(dir.path()).unwrap();
        assert_eq!((report.scripts, report.cases), (4, 11));
        assert_eq!(report.untested, ["d.p"]);
        let failed: Vec<(&str, &str)> =
            report.failures.iter().map(|failed| (failed.script.as_str(), failed.case.as_str())).collect();
        assert_eq!(
            failed,
            [
                ("a.p", "wrong field"),
                ("a.p", "wrong value"),
                ("a.p", "no failure"),
                ("a.p", "a slip"),
                ("a.p", "another"),
                ("a.p", "line 12"),
                ("c.p", "compiling it"),
                ("gone.cases.jsonl", "all of them"),
            ]
        );
        assert!(report.text().contains("FAILED a.p, wrong value: n is 1, not 2\n"), "{}", report.text());
        assert!(test(Path::new("/no/such")).is_err());
    }
}
