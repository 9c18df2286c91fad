//! Expansion, types, and the recorded answers.

use std::sync::Arc;

use super::*;
use crate::pipeline::lib::golden_tests::{Case, cases, literal};

fn matched(grok: &Grok, text: &str, trim: bool) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let keys = grok.keys();
    let hit = grok.run(text.as_bytes(), trim, &mut Scratch::default(), |n, value| {
        found.push((keys[n].name.clone(), format!("{value:?}")));
    });
    hit.then_some(found)
}

fn fields(pattern: &str, text: &str) -> Option<Vec<(String, String)>> {
    let patterns = Patterns::built_in();
    let grok = Grok::compile(pattern, &|name| patterns.get(name)).unwrap();
    matched(&grok, text, true).map(|found| {
        let plain = |value: String| value.split_once('(').map(|(_, v)| v.trim_end_matches(')').to_owned());
        found.into_iter().filter_map(|(key, value)| Some((key, plain(value)?))).collect()
    })
}

fn refused(pattern: &str) -> String {
    let patterns = Patterns::built_in();
    Grok::compile(pattern, &|name| patterns.get(name)).unwrap_err().to_string()
}

#[test]
fn every_built_in_pattern_is_there() {
    let (patterns, refused) = Patterns::with(std::iter::empty());
    assert_eq!(refused, []);
    for (name, _) in patterns::BUILT_IN {
        let text = patterns.get(name).unwrap().text.clone();
        assert!(!text.contains("%{") || name == "COMMONENVOYACCESSLOG", "{name}: {text}");
    }
}

#[test]
fn refusals() {
    assert_eq!(refused("%{INT:a:long}"), "invalid pattern `%{INT:a:long}`");
    assert_eq!(refused("%{A--B}"), "invalid pattern `%{A--B}`");
    assert_eq!(refused("%{NOPE:x}"), "no pattern foud for %{NOPE}");
    assert_eq!(
        refused("(unclosed %{INT:x}"),
        "error parsing regexp: missing closing ): `(unclosed (?P<x>(?:[+-]?(?:[0-9]+)))`"
    );
    assert!(refused(&"%{IPV6}".repeat(200)).contains("too large"));
    assert!(
        refused(&(0..600).map(|n| format!("%{{INT:k{n}}}")).collect::<String>()).contains("too many groups")
    );
}

#[test]
fn types_are_inherited_unless_declared_again() {
    let patterns = Patterns::built_in();
    let pair = Arc::new(Definition::new("%{INT:n:int} %{INT:m:int}", &|name| patterns.get(name)).unwrap());
    let lookup = |name: &str| if name == "pair" { Some(Arc::clone(&pair)) } else { patterns.get(name) };
    let grok = Grok::compile("%{pair:p} %{NUMBER:m:float}", &lookup).unwrap();
    let found = matched(&grok, "1 2 3.5", true).unwrap();
    let text: Vec<String> = found.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(text, ["p=Str([49, 32, 50])", "n=Int(1)", "m=Float(3.5)"]);
}

#[test]
fn files_add_patterns_and_change_none() {
    let added = [
        ("INT", "x"),
        ("A", "%{B}+"),
        ("B", "(?:q)"),
        ("LOOP", "%{POOL}"),
        ("POOL", "%{LOOP}"),
        ("BAD", "("),
    ];
    let (patterns, refused) = Patterns::with(added.into_iter());
    assert_eq!(patterns.get("A").unwrap().text, "((?:q))+");
    assert!(patterns.get("INT").unwrap().text.contains("[0-9]"));
    let names: Vec<&str> = refused.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["BAD", "LOOP", "POOL"]);
}

#[test]
fn an_access_log() {
    let pattern = "^%{IPORHOST:remote_addr} %{NOTSPACE:ident} %{NOTSPACE:remote_user} \\[%{HTTPDATE:time}\\] \
                   \"%{WORD:verb} %{NOTSPACE:uri} HTTP/%{NUMBER:proto_ver}\" %{INT:http_status:int} \
                   %{INT:resp_bytes:int} \"%{DATA:referer}\" \"%{DATA:ua_raw}\"";
    let line = "83.243.39.102 - alice [02/Mar/2021:02:52:34 +0800] \"GET /api?q=%E4&p=4 HTTP/1.1\" 301 28140 \
                \"-\" \"UA\"";
    let patterns = Patterns::built_in();
    let grok = Grok::compile(pattern, &|name| patterns.get(name)).unwrap();
    let found = matched(&grok, line, true).unwrap();
    assert_eq!(found[0].0, "remote_addr");
    assert_eq!(found[7], ("http_status".to_owned(), "Int(301)".to_owned()));
    assert_eq!(found.len(), 11);
    assert!(matched(&grok, &line[1..line.len() - 1], true).is_none());
}

#[test]
fn mutated_patterns_and_lines_do_not_panic() {
    let patterns = Patterns::built_in();
    let seed = "^%{IPORHOST:a} \\[%{HTTPDATE:t}\\] %{QS:q} %{NUMBER:n:float}|%{TIMESTAMP_ISO8601:t}%{DATA}$";
    let line = "1.2.3.4 [02/Mar/2021:02:52:34 +0800] \"é\" 1.5";
    let mut state = 3_u64;
    let mut next = |end: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
        (state >> 33) as usize % end
    };
    for _ in 0..300 {
        let mut pattern = seed.as_bytes().to_vec();
        let mut text = line.as_bytes().to_vec();
        for _ in 0..3 {
            let at = next(pattern.len());
            match next(3) {
                0 => drop(pattern.remove(at)),
                1 => pattern.insert(at, b"%{}:()[]*+?|\\"[next(13)]),
                _ => pattern[at] = b' ' + next(95) as u8,
            }
            let at = next(text.len());
            text[at] = next(256) as u8;
        }
        let pattern = String::from_utf8_lossy(&pattern).into_owned();
        if let Ok(grok) = Grok::compile(&pattern, &|name| patterns.get(name)) {
            grok.run(&text, true, &mut Scratch::default(), |_, _| {});
        }
    }
}

/// One `grok(_, "…")` of a script: the pattern, and the variable its answer goes to.
struct Call {
    pattern: String,
    answer: Option<String>,
    trim: bool,
}

/// The calls of a script that consists of nothing but `grok(_, …)` and of keeping their answers.
fn calls(case: &Case) -> Option<Vec<Call>> {
    let mut calls = Vec::new();
    for line in case.script.split('\n').map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with("add_key(ok)") || line.starts_with("add_key(full)") {
            continue;
        }
        let (answer, call) = match line.split_once('=') {
            Some((name, call)) if !name.contains('(') => (Some(name.trim().to_owned()), call.trim()),
            _ => (None, line),
        };
        let (pattern, rest) = literal(call.strip_prefix("grok(_, ")?)?;
        let trim = match rest {
            ")" | ", true)" => true,
            ", false)" => false,
            _ => return None,
        };
        // A script with one answer kept in a variable only: it is a key too if it was added.
        let added = answer.filter(|name| case.script.contains(&format!("add_key({name})")));
        calls.push(Call { pattern, answer: added, trim });
    }
    (!calls.is_empty()).then_some(calls)
}

#[test]
fn recorded_answers() {
    let patterns = Patterns::built_in();
    let mut covered = 0;
    for case in cases("grok") {
        let Some(calls) = calls(&case) else { continue };
        covered += 1;
        let mut point = serde_json::Map::new();
        point.insert("message".to_owned(), case.message.clone().into());
        point.insert("status".to_owned(), "info".into());
        let mut error = None;
        for call in &calls {
            let grok = match Grok::compile(&call.pattern, &|name| patterns.get(name)) {
                Ok(grok) => grok,
                Err(refused) => {
                    error = Some(refused.to_string());
                    break;
                }
            };
            let text = point["message"].as_str().unwrap().to_owned();
            let keys = grok.keys();
            let hit = grok.run(text.as_bytes(), call.trim, &mut Scratch::default(), |n, value| {
                let value = match value {
                    Captured::Str(text) => String::from_utf8_lossy(text).into_owned().into(),
                    Captured::Int(value) => value.into(),
                    Captured::Float(value) => value.into(),
                    Captured::Bool(value) => value.into(),
                };
                point.insert(keys[n].name.clone(), value);
            });
            if let Some(name) = &call.answer {
                point.insert(name.clone(), hit.into());
            }
        }
        assert_eq!(error.as_deref(), case.refused(), "{}", case.name);
        if error.is_some() {
            continue;
        }
        let expected = case.expected["results"][0]["point"]["fields"].as_object().unwrap();
        let names: Vec<&String> = expected.keys().collect();
        let mut own: Vec<&String> = point.keys().collect();
        own.sort_unstable();
        assert_eq!(own, names, "{}", case.name);
        for (key, value) in expected {
            let same = match (value["v"].as_f64(), point[key].as_f64()) {
                (Some(wanted), Some(found)) => wanted == found,
                _ => value["v"] == point[key],
            };
            assert!(same, "{}: {key} is {}, not {}", case.name, point[key], value["v"]);
        }
    }
    assert!(covered >= 130, "only {covered} cases could be read");
    println!("{covered} of grok.jsonl");
}

#[test]
fn octal_and_fractions() {
    for (text, expected) in
        [("010", "8"), ("08", "0"), ("12.0", "12"), ("12.5", "0"), ("0x1F", "31"), ("+5", "5"), ("7", "7")]
    {
        let found = fields("^%{GREEDYDATA:i:int}$", text).unwrap();
        assert_eq!(found, [("i".to_owned(), expected.to_owned())], "{text}");
    }
}
