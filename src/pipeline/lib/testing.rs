//! Recorded cases of the reference engine whose scripts are lines of simple calls, read without a parser of the language:
//! what the functions do can so be compared before and apart from everything that runs scripts.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value as Json;

/// A value as it stands in a case. Text is bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Val {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Vec<u8>),
}

impl Val {
    pub fn text(text: impl Into<Vec<u8>>) -> Val {
        Val::Str(text.into())
    }

    fn of(typed: &Json) -> Val {
        let value = &typed["v"];
        match typed["t"].as_str().unwrap() {
            "nil" => Val::Nil,
            "bool" => Val::Bool(value.as_bool().unwrap()),
            "int" => Val::Int(value.as_i64().unwrap()),
            "float" => Val::Float(value.as_f64().unwrap()),
            "str" => match typed.get("b64") {
                Some(bytes) => Val::Str(BASE64_STANDARD.decode(bytes.as_str().unwrap()).unwrap()),
                None => Val::text(value.as_str().unwrap()),
            },
            other => panic!("a case has a value of type {other}"),
        }
    }
}

/// An argument, or the right side of an assignment.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    Literal(Val),
    /// `a.b[0]`, an identifier too.
    Path(Vec<Step>),
    Call(Call),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Name(String),
    Index(i64),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub name: String,
    /// With the parameter's name, where it is given.
    pub args: Vec<(Option<String>, Arg)>,
}

impl Call {
    /// The argument of a parameter, by its place or name.
    pub fn arg(&self, index: usize, name: &str) -> Option<&Arg> {
        let named = self.args.iter().find(|(given, _)| given.as_deref() == Some(name)).map(|(_, arg)| arg);
        named.or_else(|| self.args.get(index).filter(|(given, _)| given.is_none()).map(|(_, arg)| arg))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    Assign(String, Arg),
    Call(Call),
}

pub struct Case {
    pub name: String,
    /// None if there are lines of other kinds.
    pub lines: Option<Vec<Line>>,
    pub message: Vec<u8>,
    pub zone: String,
    pub volatile: bool,
    /// None if the script does not compile, and that is what is expected.
    pub fields: Option<BTreeMap<String, Val>>,
    pub time: i64,
    pub error: Option<String>,
}

/// The cases of `tests/golden/pipeline/<file>.jsonl.zst`.
pub fn cases(file: &str) -> Vec<Case> {
    let path = format!("{}/tests/golden/pipeline/{file}.jsonl.zst", env!("CARGO_MANIFEST_DIR"));
    let text = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
    let cases: Vec<Case> = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| case(&serde_json::from_slice(line).unwrap()))
        .collect();
    assert!(!cases.is_empty());
    cases
}

fn case(json: &Json) -> Case {
    let text = |key: &str| json.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    let result = &json["expected"]["results"][0];
    let point = &result["point"];
    let fields = point["fields"].as_object().map(|fields| {
        let fields = fields.iter().filter(|(name, _)| *name != "status");
        fields.map(|(name, value)| (name.clone(), Val::of(value))).collect()
    });
    let message = match json.get("message_b64") {
        Some(bytes) => BASE64_STANDARD.decode(bytes.as_str().unwrap()).unwrap(),
        None => text("message").into_bytes(),
    };
    Case {
        name: text("name"),
        lines: lines(&text("script")),
        message,
        zone: text("tz"),
        volatile: json.get("volatile").is_some(),
        fields,
        time: point["time"].as_i64().unwrap_or_default(),
        error: result["run_error"]["error"].as_str().map(str::to_owned),
    }
}

fn lines(script: &str) -> Option<Vec<Line>> {
    let script = script.lines().map(str::trim).filter(|line| !line.is_empty());
    script
        .map(|text| {
            let mut reader = Reader { rest: text };
            let line = match text.split_once('=') {
                Some((name, value)) if is_name(name.trim()) && !value.starts_with('=') => {
                    reader.rest = value;
                    Line::Assign(name.trim().to_owned(), reader.arg()?)
                }
                _ => match reader.arg()? {
                    Arg::Call(call) => Line::Call(call),
                    _ => return None,
                },
            };
            reader.rest.trim().is_empty().then_some(line)
        })
        .collect()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn eat(&mut self, what: char) -> bool {
        let behind = self.rest.trim_start().strip_prefix(what);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    fn run(&mut self, wanted: fn(u8) -> bool) -> &'a str {
        let text = self.rest.trim_start();
        let (taken, rest) = text.split_at(text.bytes().take_while(|byte| wanted(*byte)).count());
        self.rest = rest;
        taken
    }

    fn arg(&mut self) -> Option<Arg> {
        let text = self.rest.trim_start();
        if text.starts_with('"') {
            return self.string().map(Arg::Literal);
        }
        if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
            let number = self.run(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
            let value = number.parse().map(Val::Int).or_else(|_| number.parse().map(Val::Float));
            return value.ok().map(Arg::Literal);
        }
        let mut path = Vec::new();
        loop {
            if self.eat('[') {
                let index = self.run(|byte| byte.is_ascii_digit() || byte == b'-');
                path.push(Step::Index(index.parse().ok()?));
                self.eat(']').then_some(())?;
            } else if path.is_empty() || self.eat('.') {
                if path.is_empty() && self.eat('.') {
                    continue;
                }
                path.push(Step::Name(self.name()?));
            } else {
                break;
            }
        }
        let first = match path.as_slice() {
            [Step::Name(name)] => name.clone(),
            _ => return Some(Arg::Path(path)),
        };
        if self.eat('(') {
            return self.args().map(|args| Arg::Call(Call { name: first, args }));
        }
        Some(match first.as_str() {
            "true" => Arg::Literal(Val::Bool(true)),
            "false" => Arg::Literal(Val::Bool(false)),
            "nil" => Arg::Literal(Val::Nil),
            "_" => Arg::Path(vec![Step::Name("message".to_owned())]),
            _ => Arg::Path(path),
        })
    }

    fn name(&mut self) -> Option<String> {
        if self.eat('`') {
            let (name, rest) = self.rest.split_once('`')?;
            self.rest = rest;
            return Some(name.to_owned());
        }
        let name = self.run(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_name(name).then(|| name.to_owned())
    }

    fn args(&mut self) -> Option<Vec<(Option<String>, Arg)>> {
        let mut args = Vec::new();
        while !self.eat(')') {
            let mut ahead = Reader { rest: self.rest };
            let name = ahead.name().filter(|_| ahead.eat('=') && !ahead.rest.starts_with('='));
            if name.is_some() {
                self.rest = ahead.rest;
            }
            args.push((name, self.arg()?));
            if !self.eat(',') && !self.rest.trim_start().starts_with(')') {
                return None;
            }
        }
        Some(args)
    }

    /// A literal as JSON has it too; others make the line one of another kind.
    fn string(&mut self) -> Option<Val> {
        let text = self.rest.trim_start();
        let mut end = 1;
        while text.as_bytes().get(end)? != &b'"' {
            end += if text.as_bytes()[end] == b'\\' { 2 } else { 1 };
        }
        let (literal, rest) = text.split_at_checked(end + 1)?;
        self.rest = rest;
        serde_json::from_str::<String>(literal).ok().map(Val::text)
    }
}
