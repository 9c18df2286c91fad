//! Scripts against what the reference's engine made of the same points: every recorded case of `golden/pipeline`, and
//! with `KITGATE_EXTRA_GOLDENS=DIR` those of a further folder (`*.jsonl`). The fuzz of the language is here too.
//!
//! A case that needs a part of [`Skip`] is counted and named, not compared.

pub(super) mod world;

use std::{cell::Cell, collections::BTreeMap, io::Read, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use bumpalo::Bump;
use kitgate::{
    buf::Padded,
    codec::line_protocol::{self, Tape},
    pipeline::{
        category::Category,
        error::ScriptError,
        funcs,
        post::{self, StatusOptions},
        record::{Kind, Record},
        set::ScriptSet,
        value::Value as Typed,
    },
};
use serde_json::{Value, json};
use world::World;

/// How many functions there are.
const FUNCTIONS: usize = 75;

/// Files of other shapes, which other tests read.
const OTHER_FILES: &[&str] = &["debug-api", "selection"];

/// When the message time is not given.
const TIME: i64 = 1_704_164_645_678_901_234;

/// Why a case was not compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Skip {
    /// The text of a script of the reference, which is not at hand.
    ShippedScript,
    Selection,
}

/// The files of all folders: name without its ending, text.
pub(super) fn golden_files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pipeline");
    let mut files: Vec<(String, String)> = Vec::new();
    let mut folders = vec![folder];
    folders.extend(std::env::var_os("KITGATE_EXTRA_GOLDENS").map(Into::into));
    for folder in &folders {
        let entries =
            std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let Some((stem, ending)) = name.split_once(".jsonl") else { continue };
            let bytes = std::fs::read(&path).unwrap();
            let mut text = String::new();
            match ending {
                ".zst" => {
                    zstd::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut text).unwrap();
                }
                _ => text = String::from_utf8(bytes).unwrap(),
            }
            files.push((stem.to_owned(), text));
        }
    }
    files.sort();
    files
}

#[test]
fn pipeline_goldens() {
    let mut files = golden_files();
    files.retain(|(stem, _)| !OTHER_FILES.contains(&stem.as_str()));
    assert_eq!(funcs::names().count(), FUNCTIONS, "the language has so many");

    let mut failures = Vec::new();
    let mut compared_all = 0;
    for (file, text) in &files {
        let (mut compared, mut failed) = (0, 0);
        let mut skipped: BTreeMap<Skip, u32> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let case: Value = serde_json::from_str(line).unwrap();
            if let Some(skip) = skip(&case) {
                *skipped.entry(skip).or_default() += 1;
                continue;
            }
            compared += 1;
            if let Err(difference) = check(&case) {
                failed += 1;
                failures.push(format!(
                    "{file} {}: {:?}\n  {difference}",
                    case["name"],
                    case["script"].as_str()
                ));
            }
        }
        println!("{file}: {compared} compared, {failed} failed, left out: {skipped:?}");
        compared_all += compared;
    }
    assert!(compared_all > 1_000, "the vectors are elsewhere: {compared_all} compared");
    let shown = failures.iter().take(60).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {compared_all} differ:\n{shown}", failures.len());
}

fn skip(case: &Value) -> Option<Skip> {
    if case.get("script_ref").is_some() {
        return Some(Skip::ShippedScript);
    }
    case.get("select").is_some().then_some(Skip::Selection)
}

/// Runs a case; what differs, if something does.
fn check(case: &Value) -> Result<(), String> {
    let expected = &case["expected"];
    let main = case["script"].as_str().unwrap_or_default();
    let main = main.replace("${HTTP_BASE}", world::http_base());
    let mut sources = vec![("main.p", main.as_str())];
    for (name, script) in case["scripts"].as_object().into_iter().flatten() {
        sources.push((name, script.as_str().unwrap_or_default()));
    }
    let set = ScriptSet::compile(sources.iter().copied());
    for (name, error) in expected["other_script_errors"].as_object().into_iter().flatten() {
        let got = set.find(name).and_then(Result::err);
        same_error(error, got).map_err(|difference| format!("{name}: {difference}"))?;
    }
    let found = set.find("main.p").ok_or("no main script")?;
    if let Some(errors) = expected["pl_errors"].as_array() {
        let got = found.as_ref().err().copied();
        return same_error(errors.first().unwrap_or(&Value::Null), got);
    }
    let at = found.map_err(|error| format!("does not compile: {error}"))?;
    let options = &case["options"];
    let status = StatusOptions {
        keep: options["disable_add_status_field"] == true,
        ignored: options["ignore_status"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|status| status.as_str().unwrap_or_default().to_lowercase())
            .collect(),
    };
    let volatile: Vec<&str> =
        case["volatile"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let results = expected["results"].as_array().ok_or("no results expected")?;
    let points = Points::of(case)?;
    if points.count() != results.len() {
        return Err(format!("{} points, {} results", points.count(), results.len()));
    }
    let world = World::of(case)?;
    let state = set.state(at).ok_or("no state")?;
    let mut made = Vec::new();
    for (index, result) in results.iter().enumerate() {
        let arena = Bump::new();
        world.polls_left.set(options.get("timeout_ms").map(|_| 100));
        let record = points.record(index, &arena);
        let mut outcome = set.run(at, record, &arena, &world);
        if outcome.error.is_none() {
            post::finish(&mut outcome.record, &status, &arena);
        }
        let window = state.moved(&outcome.record, TIME);
        made.extend(state.take_ready());
        if result.get("panic").is_some() || volatile.contains(&"*") {
            continue;
        }
        same_error(&result["run_error"], outcome.error.as_deref())?;
        same_point(&result["point"], &shown(&outcome.record, false), &volatile)?;
        let created: Vec<Value> = outcome.record.created.iter().map(|record| shown(record, true)).collect();
        same_points("created", &result["created"], &created, &volatile)?;
        let window: Vec<Value> =
            window.iter().map(|point| shown(&point.record(&arena, &[]), false)).collect();
        same_points("window", &result["window"], &window, &volatile)?;
    }
    state.finish(TIME);
    made.extend(state.take_ready());
    let arena = Bump::new();
    let tags = [("gtag".to_owned(), "gv".to_owned())];
    let mut agg: Vec<Value> = made.iter().map(|point| shown(&point.record(&arena, &tags), true)).collect();
    agg.iter_mut().for_each(|point| point["time"] = Value::Null);
    agg.sort_by_key(Value::to_string);
    let mut expected_agg = expected["agg"].as_array().cloned().unwrap_or_default();
    expected_agg.iter_mut().for_each(|point| point["time"] = Value::Null);
    expected_agg.sort_by_key(Value::to_string);
    same_points("aggregated", &Value::Array(expected_agg), &agg, &volatile)
}

fn same_points(what: &str, expected: &Value, got: &[Value], volatile: &[&str]) -> Result<(), String> {
    let expected = expected.as_array().map(Vec::as_slice).unwrap_or_default();
    if got.len() != expected.len() {
        return Err(format!("{} points {what}, expected {}: {got:?}", got.len(), expected.len()));
    }
    for (expected, got) in expected.iter().zip(got) {
        same_point(expected, got, volatile).map_err(|difference| format!("{what}: {difference}"))?;
    }
    Ok(())
}

/// The points of a case. They borrow from the texts here.
pub(super) struct Points {
    category: Category,
    name: String,
    messages: Vec<Vec<u8>>,
    body: Vec<u8>,
    tape: Tape,
}

impl Points {
    pub(super) fn of(case: &Value) -> Result<Points, String> {
        let category = case["category"].as_str().and_then(Category::named).ok_or("no such category")?;
        let name = case["source"].as_str().unwrap_or("main").to_owned();
        let mut points =
            Points { category, name, messages: Vec::new(), body: Vec::new(), tape: Tape::default() };
        if let Some(lines) = case["points_lp"].as_str() {
            points.body = lines.as_bytes().to_vec();
            let body = Padded::pad(&mut points.body);
            line_protocol::parse(body, &mut points.tape).map_err(|failure| format!("{failure:?}"))?;
        } else if let Some(messages) = case["messages"].as_array() {
            points.messages = messages.iter().map(|text| text.as_str().unwrap_or_default().into()).collect();
        } else if let Some(encoded) = case["message_b64"].as_str() {
            points.messages = vec![BASE64_STANDARD.decode(encoded).map_err(|error| error.to_string())?];
        } else {
            points.messages = vec![case["message"].as_str().unwrap_or_default().into()];
        }
        Ok(points)
    }

    pub(super) fn count(&self) -> usize {
        self.messages.len() + self.tape.points.len()
    }

    pub(super) fn record<'r>(&'r self, index: usize, arena: &'r Bump) -> Record<'r> {
        let mut record = match self.messages.get(index) {
            Some(message) => {
                let mut record = Record::new(arena, self.category, self.name.as_bytes(), TIME);
                record.push(b"message", Typed::Str(message), Kind::Field, None);
                record
            }
            None => self.line(index, arena),
        };
        // Names of objects are of no concern to the recordings.
        if self.category == Category::Logging {
            record.add_defaults();
        }
        record
    }

    fn line<'r>(&'r self, index: usize, arena: &'r Bump) -> Record<'r> {
        use line_protocol::Kind as Written;
        let (tape, body) = (&self.tape, &self.body[..]);
        let point = &tape.points[index];
        let mut record =
            Record::new(arena, self.category, tape.name(body, point), point.time.unwrap_or(TIME));
        for kv in tape.kvs_of(point) {
            let (value, kind) = match kv.kind {
                Written::Tag => (Typed::Str(tape.text(body, kv)), Kind::Tag),
                Written::Int => (Typed::Int(kv.value as i64), Kind::Field),
                Written::Float => (Typed::Float(f64::from_bits(kv.value)), Kind::Field),
                Written::Bool => (Typed::Bool(kv.value != 0), Kind::Field),
                Written::Uint => (Typed::Int(kv.value as i64), Kind::Uint),
                Written::Str | Written::Bytes | Written::Array if self.category == Category::Metric => {
                    continue;
                }
                Written::Str | Written::Bytes => (Typed::Str(tape.text(body, kv)), Kind::Field),
                Written::Array => panic!("no case has an array"),
            };
            record.push(tape.key(body, kv), value, kind, None);
        }
        record
    }
}

/// A record as the vectors write one.
pub(super) fn shown(record: &Record<'_>, created: bool) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (mut tags, mut fields) = (serde_json::Map::new(), serde_json::Map::new());
    for entry in record.entries() {
        let value = match entry.value {
            Typed::Str(value) if entry.kind == Kind::Tag => {
                tags.insert(text(entry.key), json!(text(value)));
                continue;
            }
            Typed::Str(value) => match std::str::from_utf8(value) {
                Ok(value) => json!({"t": "str", "v": value}),
                Err(_) => json!({"t": "str", "b64": BASE64_STANDARD.encode(value)}),
            },
            Typed::Int(value) if entry.kind == Kind::Uint => json!({"t": "uint", "v": value as u64}),
            Typed::Int(value) => json!({"t": "int", "v": value}),
            Typed::Float(value) if value.is_nan() => json!({"t": "float", "v": "NaN"}),
            Typed::Float(f64::INFINITY) => json!({"t": "float", "v": "+Inf"}),
            Typed::Float(f64::NEG_INFINITY) => json!({"t": "float", "v": "-Inf"}),
            Typed::Float(value) => json!({"t": "float", "v": value}),
            Typed::Bool(value) => json!({"t": "bool", "v": value}),
            Typed::Nil => json!({"t": "nil"}),
            other => panic!("a point holds {other:?}"),
        };
        fields.insert(text(entry.key), value);
    }
    let mut point = json!({
        "measurement": text(record.name), "tags": tags, "fields": fields, "time": record.time, "dropped": record.dropped,
    });
    if created {
        point["category"] = json!(record.category.name());
    }
    point
}

pub(super) fn same_point(expected: &Value, got: &Value, volatile: &[&str]) -> Result<(), String> {
    let prepared = |point: &Value| {
        let mut point = point.clone();
        for key in volatile {
            for group in ["tags", "fields"] {
                point[group].as_object_mut().map(|group| group.remove(*key));
            }
            if *key == "time" {
                point["time"] = Value::Null;
            }
        }
        // Floats by their bits: 5 and 5.0 are the same number of a float.
        for field in point["fields"].as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
            // What follows is of Go's library.
            if field["v"].as_str().is_some_and(|text| text.starts_with(TIME_FAILED)) {
                field["v"] = json!(TIME_FAILED);
            }
            if field["t"] == "float"
                && let Some(value) = field["v"].as_f64()
            {
                // The recordings have lost the sign of a zero.
                field["v"] = json!((value + 0.0).to_bits());
            }
        }
        point
    };
    let (expected, got) = (prepared(expected), prepared(got));
    if expected == got { Ok(()) } else { Err(format!("expected {expected}\n       got {got}")) }
}

/// How the message about a date that could not be read begins.
const TIME_FAILED: &str = "time convert failed: ";

/// Texts that come from Go's libraries are free; where they stand is not.
const LOOSE: &[&str] = &["error parsing regexp", "failed to parse url", "parsing time"];

fn same_error(expected: &Value, got: Option<&ScriptError>) -> Result<(), String> {
    let shown = match got {
        None => Value::Null,
        Some(error) => {
            let places = error.places.iter().map(|place| {
                json!({"file": place.file, "ln": place.line, "col": place.column, "pos": place.offset})
            });
            json!({"error": error.message, "pos_chain": places.collect::<Vec<_>>()})
        }
    };
    let message = expected["error"].as_str().unwrap_or_default();
    let loose = LOOSE.iter().any(|start| message.contains(start));
    let same = expected["pos_chain"] == shown["pos_chain"] && (loose || expected["error"] == shown["error"]);
    if same { Ok(()) } else { Err(format!("expected error {expected}\n       got error {shown}")) }
}

/// Scripts that together use everything there is.
const SEEDS: &[&str] = &[
    "x = [1, 2.5, \"a\\x41 \", nil, true, {\"k\": [1]}]\nfor v in x { add_key(last, v) }\nadd_key(n, len(x))",
    "a = 0\nfor i = 0; i < 5; i += 1 {\n if i == 3 { break } elif i == 1 {\n continue\n}\n a += i * 2 - 1 % 2\n}\nadd_key(a)",
    "m = {\"a\": {\"b\": [1, 2, 3]}}\nm[\"a\"][\"b\"][-1] = m\nadd_key(y, m[\"a\"][\"b\"][0:2:1])",
    "m = {}\nm[\"m\"] = m\nadd_key(same, m == m)\nadd_key(m)",
    "if \"e\" in message && !(len(message) > 3 || false) { set_tag(t, message) } else { drop_key(message) }",
    "l = [1]\nfor ;; { l = append(l, l) }\nadd_key(l)",
    "s = \"ab\"\nfor ;; { s = s + s }",
    "for ;; { s = message + s }",
    "use(\"other.p\")\ncreate_point(\"n\", {\"t\": \"v\"}, {\"f\": 1}, category=\"L\", after_use=\"other.p\")\nexit()",
    "`a b` = '''long\n'text' '''\nadd_key(a.b[0].c, `a b`)\nrename(z, message)\nx.y = -(+(!nil))\nx, y = 1, 2",
    "cast(message, \"int\")\nadd_key(h, hash(\"a\", method=\"md5\"))\nslice_string(\"中文\", 0, 1)\ncover(message, [1, -1])",
    "group_between(n, [-1, 2.5], \"v\", k)\ngroup_in(message, [\"hello\", 0x1F, 1e3], 7)\nnullif(message, \"\")",
    "add_pattern(\"n\", \"%{INT:a:int}\")\nif grok(_, \"^%{WORD:w} (?P<b>%{n})?%{DATA:c:float}$\", false) { replace(w, \"(l+)(.)\", \"$2${1}$$\") }\nadd_key(m, match(\"\\\\w+\", message))",
    "json(_, a.b[0].c, v, true, true)\njson(_, .[-1], w)\nm = load_json(_)\nm[\"x\"] = m\nfor k in m { add_key(k, m[k]) }\ngjson(_, \"a.#(b>1)#|@reverse\", \"g\")\nadd_key(ok, valid_json(_))",
    "kv_split(_, \"[ ,]\", \"[=:]\", \"<\", \">\", [\"a\", \"b\"], \"p_\")\nstrfmt(out, \"%08.3f %-5s|%x %[1]*d %v\", 1.5, message, [1, {\"k\": nil}], 3)\nurl_decode(out)\nu = url_parse(_)\nadd_key(u)\nuser_agent(_)\nsql_cover(_)",
    "xml(_, '//a[@b=\"1\"]/c', x)\ndecode(x, \"gbk\")\ndecode(_, 'gb18030')\ndecode(_, \"utf-16le\")\nadd_key(s, sample(0.5))\nadd_key(d, timestamp(\"ms\"))\ndatetime(d, \"ms\", \"%Y-%_m-%5d %Z\", \"Asia/Tokyo\")",
    "parse_date(key=\"t\", yy=\"21\", MM=\"May\", dd=\"3\", hh=\"1\", mm=\"2\", ss=\"3\", ms=\"4\", zone=\"-9:30\")\nadjust_timezone(t)\nduration_precision(t, \"ns\", \"MS\")\nparse_duration(l)\ndefault_time(_, \"+8\")\ndefault_time_with_fmt(l, \"Jan _2 15:04:05.000 MST\", \"UTC\")",
    "x = 9223372036854775807 * -1 / 3 % 7 + 0.5\nadd_key(v, value_type(x + nil))\nadd_key(p, parse_int(\"zz\", 36)) # end",
];

/// Lines for them.
const MESSAGES: &[&str] = &[
    "hello 中",
    "{\"a\":{\"b\":[{\"c\":\" d \\u00e9\"},2]},\"x\":[1e3,null,true]}",
    "a=1,b:<2> http://u@h:80/p%20q?a=1&a=2#f SELECT * FROM t WHERE a = 'b' -- c",
    "<r><a b=\"1\"><c>&lt;x</c></a></r>",
    "2021-07-20T10:20:30.5Z",
    "Mozilla/5.0 (Linux; Android 9; x) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/89.0 Mobile",
];

/// How often a run may ask whether it is to stop: some thousand steps.
const RUN_POLLS: u32 = 4;

/// Compiles and runs whatever it is, a run without end until the host stops it; that the bounds end it as well is shown
/// below.
fn compile_and_run(script: &str, message: &str) {
    let set = ScriptSet::compile([("main.p", script), ("other.p", "add_key(o, 1)\nexit()")]);
    let Some(Ok(at)) = set.find("main.p") else { return };
    let arena = Bump::new();
    let world = World { polls_left: Cell::new(Some(RUN_POLLS)), ..World::default() };
    let mut record = Record::new(&arena, Category::Logging, b"main", TIME);
    record.push(b"message", Typed::Str(message.as_bytes()), Kind::Field, None);
    let mut outcome = set.run(at, record, &arena, &world);
    if outcome.error.is_none() {
        post::finish(&mut outcome.record, &StatusOptions::default(), &arena);
    }
    shown(&outcome.record, false);
}

#[test]
fn pipeline_every_prefix_of_a_script_ends() {
    for seed in SEEDS {
        for end in (0..=seed.len()).filter(|&end| seed.is_char_boundary(end)) {
            compile_and_run(&seed[..end], MESSAGES[end % MESSAGES.len()]);
        }
    }
    for (seed, message) in SEEDS.iter().flat_map(|seed| MESSAGES.iter().map(move |message| (seed, message))) {
        compile_and_run(seed, message);
    }
}

#[test]
fn pipeline_mutated_scripts_end() {
    const PIECES: &[&str] = &[
        "(", ")", "[", "]", "{", "}", "\n", ";", ",", ":", ".", "=", "==", "+", "-", "/", "%", "!", "&&",
        "||", "in", "for", "if", "else", "break", "\"", "'", "`", "\\", "0", "9e9", "x", "中", "nil",
        "message", "for ;; {", "\u{0}", "#", "[0]", "[::-1]",
    ];
    // Any generator will do; this one is xorshift.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for round in 0..3_000 {
        let seed = SEEDS[round % SEEDS.len()];
        let mut chars: Vec<char> = seed.chars().collect();
        for _ in 0..=random(4) {
            let at = random(chars.len() + 1);
            match random(4) {
                0 => {
                    let end = chars.len().min(at + 1 + random(6));
                    chars.drain(at.min(end)..end);
                }
                1 => {
                    let other: Vec<char> = SEEDS[random(SEEDS.len())].chars().collect();
                    let from = random(other.len());
                    let to = other.len().min(from + random(40));
                    chars.splice(at..at, other[from..to].iter().copied());
                }
                _ => {
                    let piece = PIECES[random(PIECES.len())];
                    chars.splice(at..at, piece.chars());
                }
            }
        }
        let mut message = MESSAGES[random(MESSAGES.len())].to_owned();
        let at = random(message.len());
        if message.is_char_boundary(at) {
            message.insert_str(at, PIECES[random(PIECES.len())]);
        }
        compile_and_run(&chars.into_iter().collect::<String>(), &message);
    }
}

#[test]
fn pipeline_deep_and_long_scripts_are_refused() {
    let deep = |open: &str, inner: &str, close: &str| {
        format!("{}{inner}{}", open.repeat(50_000), close.repeat(50_000))
    };
    let scripts = [
        format!("x = {}", deep("(", "1", ")")),
        format!("x = {}", deep("[", "1", "]")),
        format!("x = {}", deep("!", "1", "")),
        format!("x = {}", deep("f(", "1", ")")),
        deep("if true {", "x = 1", "}"),
        format!("x = 1{}", "+1".repeat(50_000)),
        format!("x = y{}", ".z".repeat(50_000)),
        format!("x = \"y\"{}", "[0:]".repeat(50_000)),
        // Chains inside brackets inside chains.
        format!("x = {}1{}", "(".repeat(90), format!("{})", "+1".repeat(200)).repeat(90)),
    ];
    for script in &scripts {
        let set = ScriptSet::compile([("main.p", script.as_str())]);
        let error = set.find("main.p").and_then(Result::err).expect("refused").to_string();
        assert!(error.contains("deep") || error.contains("on top of each other"), "{error}");
    }
    // As high as it gets, which has to fit the stack.
    compile_and_run(&format!("x = {}1{}", "(".repeat(90), "+1)".repeat(90)), "");
    compile_and_run(&format!("x = 1{}", "+1".repeat(250)), "");
    compile_and_run(&format!("{}x = 1{}", "if true {".repeat(90), "}".repeat(90)), "");
    let nested = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    compile_and_run("m = load_json(_)\nadd_key(t, value_type(m))\nadd_key(m)\njson(_, .[0], v)", &nested);
}

#[test]
fn pipeline_runs_are_bounded() {
    let cases = [
        ("for ;; { }", "steps"),
        ("for i = 0; true; i += 1 { x = [i, i, i, i] }", "bytes"),
        ("s = \"ab\"\nfor ;; { s = s + s }", "bytes"),
        ("l = [1]\nfor ;; { l = append(l, l) }", "elements"),
        // Entries are moved to make room, which is counted.
        ("m = {}\nfor i = 0; true; i += 1 { m[format_int(i, 10)] = i }", "steps"),
        ("m = {}\nm[\"m\"] = m\nadd_key(m)", "deep"),
        ("m = {\"a\": 1}\nfor i = 0; i < 90; i += 1 { m = {\"a\": m, \"b\": m} }\nadd_key(m)", "large"),
        ("for ;; { create_point(\"n\", {}, {}) }", "created"),
        ("for i = 0; true; i += 1 { add_key(x, value_type(\"a\" in [i])) }", "steps"),
        // What functions do counts.
        ("for ;; { match(\"(a*)*[^a]*(a|b)*c$\", message) }", "steps"),
        ("for ;; { replace(_, \"(?s)^.+$\", \"$0$0\") }", "bytes"),
        (
            "replace(_, \"a\", \"$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$\")\nfor ;; { add_key(x, match(\".*[^$].*q\", message)) }",
            "steps",
        ),
        ("for ;; { strfmt(x, \"%1000000d\", 1) }", "bytes"),
        ("m = {}\nm[\"m\"] = m\nstrfmt(x, \"%v\", m)", "deep"),
        ("m = {}\nfor i = 0; i < 40; i += 1 { m = [m, m] }\nstrfmt(x, \"%v\", m)", "large"),
        ("for ;; { x = load_json(\"[1,{},[{}],{\\\"a\\\":1}]\") }", "bytes"),
        ("for ;; { gjson(_, \"@this|@this|@this\") }", "steps"),
        ("for ;; { kv_split(_, \"a\", \"b\", include_keys=[\"c\"]) }", "steps"),
        ("for ;; { sql_cover(_) }", "bytes"),
        ("for ;; { decode(_, \"gbk\") }", "bytes"),
    ];
    let message = b"a".repeat(64 << 10);
    for (script, words) in cases {
        let set = ScriptSet::compile([("main.p", script)]);
        let at = set.find("main.p").and_then(Result::ok).expect(script);
        let arena = Bump::new();
        let world = World { polls_left: Cell::new(None), ..World::default() };
        let mut record = Record::new(&arena, Category::Logging, b"main", TIME);
        record.push(b"message", Typed::Str(&message), Kind::Field, None);
        let error = set.run(at, record, &arena, &world).error.expect(script).to_string();
        assert!(error.contains(words), "{script}: {error}");
    }
}

#[test]
fn pipeline_a_stopped_run_ends_quietly() {
    let set = ScriptSet::compile([("main.p", "add_key(a, 1)\nfor ;; { }\nadd_key(b, 1)")]);
    let at = set.find("main.p").and_then(Result::ok).expect("compiles");
    let arena = Bump::new();
    let world = World { polls_left: Cell::new(Some(3)), ..World::default() };
    let record = Record::new(&arena, Category::Logging, b"main", TIME);
    let outcome = set.run(at, record, &arena, &world);
    assert!(outcome.error.is_none());
    assert!(outcome.record.get(b"a").is_some() && outcome.record.get(b"b").is_none());
}
