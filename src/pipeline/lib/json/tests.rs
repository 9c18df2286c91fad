//! Recorded cases, and comparisons with another JSON library.

use std::{borrow::Cow, collections::BTreeMap};

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::pipeline::lib::testing::{self, Arg, Call, Case, Line, Val, cases};

/// A value while a case is played.
#[derive(Clone, Debug)]
enum Played {
    Plain(Val),
    /// A list or a map that `load_json` made, written as JSON.
    Tree(&'static str, Vec<u8>),
}

struct Run {
    variables: BTreeMap<String, Played>,
    fields: BTreeMap<String, Val>,
    index: Index,
}

/// The tree of a value, for comparison.
fn tree(value: View) -> Json {
    let text = |bytes: Option<Cow<[u8]>>| String::from_utf8_lossy(&bytes.unwrap()).into_owned();
    match value.kind() {
        Kind::Null => Json::Null,
        Kind::True => true.into(),
        Kind::False => false.into(),
        Kind::Number => value.number().into(),
        Kind::Text | Kind::EscapedText => text(value.bytes()).into(),
        Kind::List => value.items().map(tree).collect(),
        Kind::Map => {
            Json::Object(value.members().map(|(name, member)| (text(name.bytes()), tree(member))).collect())
        }
    }
}

fn path(arg: &Arg) -> Option<Vec<Step>> {
    let Arg::Path(steps) = arg else { return None };
    let step = |step: &testing::Step| match step {
        testing::Step::Name(name) => Step::Name(name.as_bytes().into()),
        testing::Step::Index(index) => Step::Index(*index),
    };
    Some(steps.iter().map(step).collect())
}

/// A path as text. One that is an index of a bare name has none.
fn path_text(arg: &Arg) -> Option<String> {
    let steps = match arg {
        Arg::Literal(Val::Str(text)) => return String::from_utf8(text.clone()).ok(),
        Arg::Path(steps) => steps,
        _ => return None,
    };
    let names = steps.iter().filter(|step| matches!(step, testing::Step::Name(_))).count();
    if names <= 1 && steps.len() > 1 {
        return Some(String::new());
    }
    let mut text = String::new();
    for step in steps {
        match step {
            testing::Step::Name(name) if text.is_empty() => text = name.clone(),
            testing::Step::Name(name) => text = format!("{text}.{name}"),
            testing::Step::Index(index) => text = format!("{text}[{index}]"),
        }
    }
    Some(text)
}

fn flag(arg: Option<&Arg>, default: bool) -> Option<bool> {
    match arg {
        None => Some(default),
        Some(Arg::Literal(Val::Bool(value))) => Some(*value),
        Some(_) => None,
    }
}

impl Run {
    /// None as soon as there is something in a case that is not played here.
    fn play(case: &Case) -> Option<Run> {
        let fields = BTreeMap::from([("message".to_owned(), Val::Str(case.message.clone()))]);
        let mut run = Run { variables: BTreeMap::new(), fields, index: Index::new() };
        for line in case.lines.as_ref()? {
            match line {
                Line::Assign(name, arg) => {
                    let value = run.value(arg)?;
                    run.variables.insert(name.clone(), value);
                }
                Line::Call(call) => run.call(call)?,
            }
        }
        Some(run)
    }

    fn value(&mut self, arg: &Arg) -> Option<Played> {
        match arg {
            Arg::Literal(value) => Some(Played::Plain(value.clone())),
            Arg::Path(steps) => {
                let [testing::Step::Name(name)] = steps.as_slice() else { return None };
                let field = || self.fields.get(name).cloned().unwrap_or(Val::Nil);
                Some(self.variables.get(name).cloned().unwrap_or_else(|| Played::Plain(field())))
            }
            Arg::Call(call) => {
                if call.name == "json" {
                    self.call(call)?;
                    return Some(Played::Plain(Val::Nil));
                }
                let argument = self.value(call.arg(0, "")?)?;
                match (call.name.as_str(), argument) {
                    ("load_json", Played::Plain(Val::Str(text))) => Some(self.load(&text)),
                    ("valid_json" | "vaild_json", value) => {
                        let good = matches!(value, Played::Plain(Val::Str(text)) if is_valid(&text));
                        Some(Played::Plain(Val::Bool(good)))
                    }
                    ("value_type", value) => Some(Played::Plain(Val::text(match value {
                        Played::Tree(kind, _) => kind,
                        Played::Plain(Val::Nil) => "",
                        Played::Plain(Val::Bool(_)) => "bool",
                        Played::Plain(Val::Int(_)) => "int",
                        Played::Plain(Val::Float(_)) => "float",
                        Played::Plain(Val::Str(_)) => "str",
                    }))),
                    _ => None,
                }
            }
        }
    }

    fn load(&mut self, text: &[u8]) -> Played {
        let Some(root) = self.index.of(text) else { return Played::Plain(Val::Nil) };
        let mut out = Vec::new();
        write_value(root, None, &mut out);
        match root.kind() {
            Kind::List => Played::Tree("list", out),
            Kind::Map => Played::Tree("map", out),
            _ => Played::Plain(match extract(root, &[], false) {
                None => Val::Nil,
                Some(found) => val(found),
            }),
        }
    }

    fn text_of(&mut self, arg: &Arg) -> Option<Vec<u8>> {
        match self.value(arg)? {
            Played::Plain(Val::Str(text)) => Some(text),
            Played::Plain(_) => Some(Vec::new()),
            Played::Tree(..) => None,
        }
    }

    fn call(&mut self, call: &Call) -> Option<()> {
        match call.name.as_str() {
            "add_key" => {
                let name = path_text(call.arg(0, "key")?)?;
                let value = match self.value(call.arg(1, "value").or_else(|| call.arg(0, "key"))?)? {
                    Played::Plain(value) => value,
                    Played::Tree(_, json) => Val::Str(json),
                };
                self.fields.insert(name, value);
            }
            "json" => self.json(call)?,
            "gjson" => {
                let text = self.text_of(call.arg(0, "input")?)?;
                let Arg::Literal(Val::Str(path)) = call.arg(1, "json_path")? else { return None };
                let path = std::str::from_utf8(path).unwrap();
                let key = match call.arg(2, "key_name") {
                    Some(arg) => String::from_utf8(self.text_of(arg)?).unwrap(),
                    None => path.to_owned(),
                };
                if let Some(found) = gjson::find(&text, path) {
                    let value = match found {
                        gjson::Found::Number(number) => Val::Float(number),
                        gjson::Found::Bool(value) => Val::Bool(value),
                        gjson::Found::Text(bytes) | gjson::Found::Json(bytes) => Val::Str(bytes),
                    };
                    self.fields.insert(key, value);
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn json(&mut self, call: &Call) -> Option<()> {
        let input = call.arg(0, "input")?;
        let text = self.text_of(input)?;
        let given = call.arg(1, "json_path")?;
        let steps = path(given)?;
        let key = path_text(call.arg(2, "newkey").unwrap_or(given))?;
        let trim = flag(call.arg(3, "trim_space"), true)?;
        let deletes = flag(call.arg(4, "delete_after_extract"), false)?;
        let Some(root) = self.index.of(&text) else { return Some(()) };
        let Some(found) = extract(root, &steps, trim).map(val) else { return Some(()) };
        let left = if deletes { delete(root, &steps) } else { None };
        self.fields.insert(key, found);
        if let Some(left) = left {
            let name = path_text(input)?;
            // The key of the point, whatever variable was read.
            if self.fields.contains_key(&name) {
                self.fields.insert(name, Val::Str(left));
            }
        }
        Some(())
    }
}

fn val(found: Found) -> Val {
    match found {
        Found::Number(number) => Val::Float(number),
        Found::Bool(value) => Val::Bool(value),
        Found::Text(bytes) => Val::Str(bytes.into_owned()),
        Found::Json(bytes) => Val::Str(bytes),
    }
}

#[test]
fn recorded_cases() {
    let (mut played, mut left) = (0, Vec::new());
    for case in cases("json") {
        let expected = case.fields.as_ref().filter(|_| case.error.is_none());
        match (Run::play(&case), expected) {
            (Some(mut run), Some(expected)) => {
                // What becomes of it is the business of whoever runs a script.
                run.fields.remove("status");
                assert_eq!(&run.fields, expected, "{}", case.name);
                played += 1;
            }
            _ => left.push(case.name),
        }
    }
    // The others are about the language: checks of arguments, indexes of variables, `delete`.
    assert!(played >= 68, "{played} played, left: {left:?}");
}

fn looked_at(text: &str) -> Option<String> {
    let mut index = Index::new();
    let mut out = Vec::new();
    write_value(index.of(text.as_bytes())?, None, &mut out);
    Some(String::from_utf8(out).unwrap())
}

#[test]
fn what_is_let_pass_and_what_is_not() {
    for (text, expected) in [
        (" {\"b\" : 1 , \"a\":[ ] , \"b\":-02.50} \n", r#"{"a":[],"b":-2.5}"#),
        ("[1e21,1e-7,12345678901234567890,0.000001,-0]", "[1e+21,1e-07,12345678901234567000,0.000001,-0]"),
        (
            "\"\\ud83d\\ude00\\ud83d\\u0041\\/\\b\u{2028}<\u{1}é\"",
            "\"😀\u{fffd}A/\\u0008\\u2028\\u003c\\u0001é\"",
        ),
        ("true", "true"),
        ("[null,false,{}]", "[null,false,{}]"),
    ] {
        assert_eq!(looked_at(text).as_deref(), Some(expected), "{text}");
    }
    for text in [
        "",
        " ",
        "{",
        "[",
        "[1",
        "[1,",
        "[,1]",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "[1}",
        "{\"a\":1]",
        "1 2",
        "tru",
        "nul",
        "-",
        "1.",
        "1e",
        ".5",
        "+1",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\",
        "1e400",
        "'a'",
        "[1]]",
    ] {
        assert_eq!(looked_at(text), None, "{text}");
    }
}

#[test]
fn depth_and_number_of_values_are_bounded() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(looked_at(&deep(DEPTH_MAX)).is_some());
    assert_eq!(looked_at(&deep(DEPTH_MAX + 1)), None);
    assert_eq!(looked_at(&("[".to_owned() + &"1,".repeat(NODES_MAX) + "1]")), None);
}

#[test]
fn as_many_values_as_there_may_be_are_taken_and_no_more() {
    let mut index = Index::new();
    // The list itself is a value too.
    let list = |items: usize| format!("[{}]", vec!["1"; items].join(","));
    assert!(
        index.of(list(NODES_MAX - 1).as_bytes()).is_some_and(|root| root.items().count() == NODES_MAX - 1)
    );
    assert!(index.of(list(NODES_MAX).as_bytes()).is_none());
    let map = |members: usize, last: &str| format!("{{{}{last}}}", "\"a\":1,".repeat(members));
    // Two values a member.
    assert!(index.of(map(NODES_MAX / 2 - 2, "\"b\":2").as_bytes()).is_some());
    assert!(index.of(map(NODES_MAX / 2 - 2, "\"b\":[]").as_bytes()).is_some());
    assert!(index.of(map(NODES_MAX / 2 - 2, "\"b\":[2]").as_bytes()).is_some());
    assert!(index.of(map(NODES_MAX / 2 - 2, "\"b\":[[2]]").as_bytes()).is_none());
    assert!(index.of(map(NODES_MAX / 2 - 1, "\"b\":2").as_bytes()).is_none());
}

#[test]
fn the_same_text_is_indexed_once_and_another_one_anew() {
    let mut index = Index::new();
    assert_eq!(index.of(b"{\"a\":1}").and_then(|root| root.get(b"a")?.number()), Some(1.0));
    assert_eq!(index.of(b"{\"a\":1}").and_then(|root| root.get(b"a")?.number()), Some(1.0));
    assert_eq!(index.of(b"{\"a\":2}").and_then(|root| root.get(b"a")?.number()), Some(2.0));
    assert!(index.of(b"{\"a\":2").is_none() && index.of(b"{\"a\":2").is_none());
    assert!(index.of(b"").is_none());
}

#[test]
fn what_is_deleted_is_gone_as_often_as_it_was_there() {
    let mut index = Index::new();
    let mut without = |text: &str, path: &[Step]| {
        let left = delete(index.of(text.as_bytes()).unwrap(), path);
        left.map(|left| String::from_utf8(left).unwrap())
    };
    let name = |name: &str| Step::Name(name.as_bytes().into());
    let path = [name("a"), Step::Index(-1), name("b")];
    assert_eq!(
        without(r#"{"a":[1,{"b":1,"c":2,"b":3}],"b":4}"#, &path).as_deref(),
        Some(r#"{"a":[1,{"c":2}],"b":4}"#)
    );
    assert_eq!(without(r#"{"a":[1]}"#, &path), None);
    assert_eq!(without(r#"{"a":[1]}"#, &[name("a"), Step::Index(0)]), None);
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<f64>().prop_filter("JSON has no others", |value| value.is_finite()).prop_map(Json::from),
        "\\PC{0,12}".prop_map(Json::from),
        "[\\x00-\\x1f\"\\\\a]{0,12}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::vec(("[a-c\"é]{0,3}", inner), 0..6)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn trees_are_those_of_another_library(value in json()) {
        let text = value.to_string();
        let mut index = Index::new();
        prop_assert_eq!(&tree(index.of(text.as_bytes()).unwrap()), &value);
        // What is written reads back as the same.
        let written = looked_at(&text).unwrap();
        prop_assert_eq!(&tree(index.of(written.as_bytes()).unwrap()), &value, "{}", written);
        prop_assert!(is_valid(written.as_bytes()));
    }

    #[test]
    fn strict_json_is_taken(text in "[\\[\\]{}\",:0-9.eE+\\-truefalsn\\\\ u]{0,14}") {
        // Whatever is JSON by the letter has an index, unless a number is out of range.
        if serde_json::from_str::<Json>(&text).is_ok() {
            prop_assert!(Index::new().of(text.as_bytes()).is_some());
        }
    }

    #[test]
    fn mutations_of_good_texts(value in json(), at in 0_usize..200, with in prop::collection::vec(any::<u8>(), 0..3)) {
        let mut text = value.to_string().into_bytes();
        let at = at.min(text.len() - 1);
        text.splice(at..=at, with);
        let mut index = Index::new();
        if let Some(root) = index.of(&text) {
            write_value(root, None, &mut Vec::new());
            tree(root);
            for step in [Step::Name(b"a".as_slice().into()), Step::Index(0)] {
                extract(root, std::slice::from_ref(&step), true);
                delete(root, &[step]);
            }
        }
    }
}
