//! What is at hand is worth the same as what is not: every shape of an expression that has a shorter way, beside the same values
//! taken out of a list, for which there is none.

use bumpalo::Bump;

use crate::pipeline::{
    category::Category,
    record::{Kind, Record},
    set::ScriptSet,
    value::Value,
    vm::Host,
};

struct Still;

impl Host for Still {
    fn now_ns(&self) -> i64 {
        0
    }
}

/// What a script leaves under the key `r`, or the words of its error.
fn run(script: &str) -> String {
    let set = ScriptSet::compile([("main.p", script)]);
    let at = match set.find("main.p").unwrap() {
        Ok(at) => at,
        Err(error) => return format!("refused: {}", error.message),
    };
    let arena = Bump::new();
    let mut record = Record::new(&arena, Category::Logging, b"test", 0);
    record.push(b"key", Value::Int(3), Kind::Field, None);
    record.push(b"tag", Value::Str(b"3"), Kind::Tag, None);
    let outcome = set.run(at, record, &arena, &Still);
    match outcome.error {
        Some(error) => format!("error: {}", error.message),
        None => format!("{:?}", outcome.record.get(b"r")),
    }
}

const LITERALS: [&str; 17] = [
    "0",
    "1",
    "-1",
    "7",
    "9223372036854775807",
    "9223372036854775806",
    "-9223372036854775807",
    "9007199254740993",
    "1.5",
    "0.0",
    "true",
    "false",
    "nil",
    "\"\"",
    "\"a text that is longer\"",
    "\"a text that is other.\"",
    "[1]",
];
const ARITHMETIC: [&str; 5] = ["+", "-", "*", "/", "%"];
const COMPARISONS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];

/// Both scripts do the same.
fn same(short: &str, plain: &str) {
    let plainly = run(plain);
    assert!(!plainly.starts_with("refused"), "{plain}: {plainly}");
    assert_eq!(run(short), plainly, "{short}\n--- beside ---\n{plain}");
}

#[test]
fn operators_on_what_is_at_hand_are_the_same() {
    for left in LITERALS {
        for right in LITERALS {
            let (hand, list) = (format!("a = {left}\nb = {right}\n"), format!("l = [{left}, {right}]\n"));
            for op in ARITHMETIC {
                let plain = format!("{list}r = l[0] {op} l[1]\nadd_key(r)");
                same(&format!("{hand}r = a {op} b\nadd_key(r)"), &plain);
                same(&format!("{hand}add_key(r, a {op} b)"), &plain);
                // A literal zero behind `/` is seen by the check.
                if !matches!((op, right), ("/" | "%", "0" | "0.0")) {
                    same(&format!("r = {left} {op} {right}\nadd_key(r)"), &plain);
                }
                same(
                    &format!("{hand}a {op}= b\nadd_key(r, a)"),
                    &format!("{list}l[0] {op}= l[1]\nadd_key(r, l[0])"),
                );
                same(
                    &format!("{hand}r = 5 - (a {op} b)\nadd_key(r)"),
                    &format!("{list}r = 5 - (l[0] {op} l[1])\nadd_key(r)"),
                );
            }
            for op in COMPARISONS {
                let then =
                    |condition: &str| format!("if {condition} {{ r = 1 }} else {{ r = 2 }}\nadd_key(r, r)");
                let then = |condition: &str| format!("r = 0\n{}", then(condition));
                let plain = format!("{list}{}", then(&format!("l[0] {op} l[1]")));
                same(&format!("{hand}{}", then(&format!("a {op} b"))), &plain);
                same(&format!("{hand}add_key(r, a {op} b)"), &format!("{list}add_key(r, l[0] {op} l[1])"));
            }
        }
    }
}

#[test]
fn conditions_of_two_comparisons_are_the_same() {
    for (a, b) in [("1", "2"), ("2", "1"), ("1", "\"x\""), ("\"x\"", "\"y\""), ("nil", "1")] {
        for logic in ["&&", "||"] {
            let script = |left: &str, right: &str| {
                format!(
                    "a = {a}\nb = {b}\nl = [a, b]\nr = 0\nif {left} {logic} {right} {{ r = 1 }}\nadd_key(r)"
                )
            };
            same(&script("a < 2", "b < 2"), &script("(l[0] < 2 || false)", "(l[1] < 2 || false)"));
            same(&script("a == 1", "\"x\" in b"), &script("(l[0] == 1 && true)", "(\"x\" in l[1] && true)"));
            same(&script("\"x\" in a", "b == 1"), &script("(\"x\" in l[0] && true)", "(l[1] == 1 && true)"));
        }
    }
}

#[test]
fn names_that_are_no_variables_are_keys_of_the_point() {
    same("r = key + 1\nadd_key(r)", "l = [key]\nr = l[0] + 1\nadd_key(r)");
    same("r = 0\nif key == 3 { r = 1 }\nadd_key(r)", "add_key(r, 1)");
    same("key += 4\nadd_key(r, key)", "key = key + 4\nadd_key(r, key)");
    same("key = 1\nkey += 4\nadd_key(r, key)", "add_key(r, 5)");
    same("r = tag + 1\nadd_key(r)", "l = [tag]\nr = l[0] + 1\nadd_key(r)");
    // A tag takes any value as a text.
    same("add_key(tag, 5)\nadd_key(r, get_key(tag))", "add_key(r, \"5\")");
    same("add_key(tag, 5.5)\nadd_key(r, get_key(tag))", "add_key(r, \"5.5\")");
    same("add_key(tag, \"t\")\nadd_key(r, get_key(tag))", "add_key(r, \"t\")");
}

#[test]
fn variables_of_outer_scopes_are_found() {
    same(
        "n = 1\nif true {\n  n = n + 1\n  n += 1\n  if true { n = n * 5 }\n}\nadd_key(r, n)",
        "add_key(r, 15)",
    );
    same("for i = 0; i < 3; i += 1 { n = i }\nadd_key(r, n)", "add_key(r, nil)");
    same(
        "t = 0\nfor i = 0; i < 3; i += 1 { for j = 0; j < i; j += 1 { t += 10 * j + i } }\nadd_key(r, t)",
        "add_key(r, 15)",
    );
}
