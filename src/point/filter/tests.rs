//! Rules against the recorded table, against a plain reading of it, and against mutilation.

use std::collections::BTreeMap;

use super::*;
use crate::point::Category;
use crate::point::draft::{Draft, DraftKv, Value};

/// A point of a category: `t` tags, the rest fields.
fn draft() -> Draft<'static> {
    let tag = |key: &'static str, value: &'static str| DraftKv::tag(key.as_bytes(), value.as_bytes());
    let field = |key: &'static str, value| DraftKv::field(key.as_bytes(), value);
    let text = |text: &'static str| Value::Str(text.as_bytes().into());
    Draft {
        name: b"nginx"[..].into(),
        kvs: vec![
            tag("host", "web-1"),
            tag("a.b", "dotted"),
            field("n", Value::Int(5)),
            field("minus", Value::Int(-5)),
            field("f", Value::Float(5.0)),
            field("ok", Value::Bool(true)),
            field("s", text("xyz")),
            field("empty", text("")),
            field("u", Value::Uint(5)),
            field("raw", Value::Bytes(b"xyz"[..].into())),
            field("list", Value::Any(b""[..].into())),
            field("nothing", Value::Nil),
        ],
        time: 1,
        ..Draft::default()
    }
}

fn holds_in(category: Category, rule: &str) -> bool {
    let rule = Rule::parse(rule).unwrap_or_else(|fault| panic!("{rule}: {fault}"));
    rule.is_true(&DraftView { draft: &draft(), category })
}

fn holds(rule: &str) -> bool {
    holds_in(Category::Logging, rule)
}

#[test]
fn rules_are_true_where_the_recorded_ones_are() {
    for (rule, expected) in [
        // Several braces: any of them. Commas: all of them.
        ("{}", true),
        ("{ , }", true),
        ("", false),
        (";;", false),
        ("{ n = 5 }", true),
        ("{ n = 5, s = 'xyz' }", true),
        ("{ n = 5, s = 'abc' }", false),
        ("{ n = 5, s = 'abc' or s = 'xyz', }", true),
        ("{ n = 4 } ; { s = 'xyz' }", true),
        (";{ n = 4 };;{ s = 'abc' };", false),
        ("{ n = 4 or n = 5 and s = 'abc' }", false),
        ("{ n = 5 or n = 4 and s = 'abc' }", true),
        ("{ (n = 5 or n = 4) and s = 'abc' }", false),
        ("{ n = 5 && (s = 'abc' || host = 'web-1') }", true),
        ("{ N = 5 } # names have case\n", false),
        ("# first\n{ n = 5 AnD ok = TRUE }", true),
        // Types must be the same.
        ("{ n = 5.0 }", false),
        ("{ f = 5 }", false),
        ("{ f = 5.0 }", true),
        ("{ f = 5.0000000001 }", true),
        ("{ f = 5.00001 }", false),
        ("{ f != 5.0000000001 }", true),
        ("{ f > 4 }", false),
        ("{ n = '5' }", false),
        ("{ n != '5' }", false),
        ("{ n != 4.0 }", false),
        ("{ n != 4 }", true),
        ("{ minus = -5 and minus < - 4 and n >= +5 and n <= 0x5 }", true),
        ("{ u = 5 }", false),
        ("{ u != 5 }", false),
        ("{ u != nil }", true),
        ("{ raw = 'xyz' or raw != 'abc' or raw match ['x'] }", false),
        ("{ list = nil }", false),
        ("{ ok = true }", true),
        ("{ ok != false }", true),
        ("{ ok > false }", false),
        ("{ s > 'xya' and s < 'xyzz' and s >= \"xyz\" and s <= 'xyz' }", true),
        ("{ empty = '' }", true),
        ("{ empty != nil }", true),
        // Lists.
        ("{ n in [1, 5] }", true),
        ("{ n in [1, 5.0] }", false),
        ("{ s in ['abc', 'xyz'] }", true),
        ("{ s in [] }", false),
        ("{ s notin [] }", true),
        ("{ s not_in ['abc', nil] }", true),
        ("{ s notin ['abc', 'xyz'] }", false),
        ("{ n notin ['5'] }", true),
        ("{ f in [5.0] }", true),
        ("{ ok in [true] }", false),
        ("{ ok notin [true] }", true),
        // Patterns: not anchored; any that matches, any that does not.
        ("{ s match ['y'] }", true),
        ("{ s match ['^y'] }", false),
        ("{ s match ['a', 'z$'] }", true),
        ("{ s match [] }", false),
        ("{ n match ['5'] }", false),
        ("{ n notmatch ['6'] }", false),
        ("{ s notmatch ['y'] }", false),
        ("{ s notmatch ['a', 'y'] }", true),
        ("{ s notmatch ['x', 'y'] }", false),
        ("{ s = re('Y') }", false),
        ("{ s = re(\"(?i)Y\") }", true),
        ("{ s = re(`\\w$`) }", true),
        ("{ n = re('5') }", false),
        ("{ s match ['g(-z]+ng'] }", false),
        ("{ s notmatch ['g(-z]+ng'] }", false),
        ("{ s = re('(') }", false),
        // What is not there.
        ("{ gone = 'abc' }", false),
        ("{ gone > 1 }", false),
        ("{ gone match ['.*'] }", false),
        ("{ gone notmatch ['x'] }", false),
        ("{ gone = re('.*') }", false),
        ("{ gone != 'abc' }", true),
        ("{ gone != 1 }", true),
        ("{ gone = nil }", true),
        ("{ gone = NULL }", true),
        ("{ gone != nil }", false),
        ("{ gone in [nil, 'a'] }", true),
        ("{ gone in ['a', nil] }", false),
        ("{ gone notin ['a'] }", true),
        ("{ gone notin ['a', nil] }", false),
        ("{ nothing = nil }", true),
        ("{ n = nil }", false),
        ("{ n != nil }", true),
        // Names.
        ("{ `a.b` = 'dotted' }", true),
        ("{ identifier('a.b') = 'dotted' }", true),
        ("{ a.b = 'dotted' or a.b != 'x' or a.b in [nil] or a.b match ['d'] }", false),
        ("{ host = s or host != s or 5 = n }", false),
        // Literals on both sides.
        ("{ 1 = 1 }", true),
        ("{ 1 != nil }", true),
        ("{ nil = nil }", true),
        ("{ nil != 'a' or nil = 1 }", false),
        ("{ 'xyz' = re('y') }", true),
        ("{ 1 = re('1') }", false),
        // In the words of the platform.
        ("{ category = 'logging' and source = 'nginx' }", true),
        ("{ measurement = 'nginx' or class = 'nginx' }", false),
    ] {
        assert_eq!(holds(rule), expected, "{rule}");
    }
}

#[test]
fn what_is_no_rule_is_refused_in_words() {
    for (rule, word) in [
        ("n = 5", "braces"),
        ("{ n == 5 }", "not =="),
        ("{ n = 5 ", "missing"),
        ("{ n = 5 } { n = 6 }", "; between"),
        ("{ n }", "comparison"),
        ("{ (n) }", "comparison"),
        ("{ n = }", "value"),
        ("{ n = 5 s = 6 }", "missing"),
        ("{ n = 5 and }", "value"),
        ("{ n in 5 }", "list"),
        ("{ n in [5 6] }", "comma"),
        ("{ 5 in [5] }", "only a name"),
        ("{ s match [5] }", "texts alone"),
        ("{ s in [re('a')] }", "re(…)"),
        ("{ s != re('a') }", "notmatch"),
        ("{ re('a') = s }", "pattern"),
        ("{ s = re(a) }", "re(…)"),
        ("{ n = 1 = 2 }", "compared"),
        ("{ n + 1 = 2 }", "comparison"),
        ("{ f(n) = 2 }", "comparison"),
        ("{ n = 5s }", "number"),
        ("{ limit = 5 }", "reserved"),
        ("{ not n = 5 }", "comparison"),
        ("{ s = 'a }", "closed"),
        ("{ (n = 5 }", ") is missing"),
        ("}", "braces"),
    ] {
        let fault = Rule::parse(rule).expect_err(rule).to_string();
        assert!(fault.contains(word), "{rule}: {fault}");
    }
}

#[test]
fn what_can_never_be_true_is_noted() {
    for rule in ["{ a.b = 1 }", "{ a = b }", "{ a match ['('] }", "{ a = re('[') }", "{ a in [true, 'x'] }"] {
        assert_eq!(Rule::parse(rule).unwrap().notes.len(), 1, "{rule}");
    }
    assert!(Rule::parse("{ a in [nil, 'x'] and b = re('x') }").unwrap().notes.is_empty());
}

#[test]
fn each_category_has_its_own_word_for_the_measurement() {
    for category in Category::ALL {
        let name = category.name();
        assert!(holds_in(category, &format!("{{ category = '{name}' }}")), "{name}");
        for (key, words) in [
            ("source", &["logging", "network", "keyevent", "rum"][..]),
            ("measurement", &["metric"]),
            ("class", &["object", "custom_object"]),
        ] {
            assert_eq!(
                holds_in(category, &format!("{{ {key} = 'nginx' }}")),
                words.contains(&name),
                "{name} {key}"
            );
        }
    }
    // What a point has itself wins.
    let mut own = draft();
    own.kvs.push(DraftKv::tag(&b"source"[..], &b"mine"[..]));
    let rule = Rule::parse("{ source = 'mine' }").unwrap();
    assert!(rule.is_true(&DraftView { draft: &own, category: Category::Logging }));
}

#[test]
fn sizes_are_bounded() {
    let nested = |depth: usize| format!("{{ {}n = 5{} }}", "(".repeat(depth), ")".repeat(depth));
    assert!(holds(&nested(32)));
    assert!(Rule::parse(&nested(33)).is_err());
    let listed = |patterns: usize| format!("{{ s match [{}] }}", "'y',".repeat(patterns));
    assert!(holds(&listed(128)));
    assert!(Rule::parse(&listed(129)).is_err());
    let long = format!("{{ s in [{}'xyz'] }}", "'abc',".repeat(10_000));
    assert!(holds(&long));
    assert!(Rule::parse(&format!("{long}{}", " ".repeat(RULE_BYTES_MAX))).is_err());
    // Comparisons in a row need no stack.
    assert!(!holds(&format!("{{ n = 4{} }}", " or n = 4".repeat(6_000))));
}

#[test]
fn a_set_leaves_out_what_is_no_rule_and_keeps_the_rest() {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let (logging, metric) = (texts(&["{ a = 1 }", "{ a == 1 }", "{}"]), texts(&["{ a = b }"]));
    let other = texts(&["{}"]);
    let loaded = FilterSet::load([
        ("logging", logging.as_slice()),
        ("metric", metric.as_slice()),
        ("dialtesting", other.as_slice()),
        ("session_replay", other.as_slice()),
    ]);
    assert_eq!((loaded.set.of(Category::Logging).len(), loaded.set.of(Category::Metric).len()), (2, 1));
    assert_eq!((loaded.set.len(), loaded.refused), (3, 1));
    assert_eq!(loaded.problems.len(), 2, "{:?}", loaded.problems);
    assert!(loaded.problems[0].starts_with("logging, rule 2 is left out: "), "{:?}", loaded.problems);
    let many = vec!["{}".to_owned(); RULES_MAX + 1];
    let loaded = FilterSet::load([("rum", many.as_slice())]);
    assert_eq!((loaded.set.len(), loaded.refused), (RULES_MAX, 1));
    let patterns = vec![format!("{{ s match [{}] }}", "'y',".repeat(100)); 11];
    let loaded = FilterSet::load([("rum", patterns.as_slice())]);
    assert_eq!((loaded.set.len(), loaded.refused), (10, 1));
}

/// Numbers as they come, from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

/// A point for the plain reading of rules: values as they are written.
type Plain = BTreeMap<&'static str, &'static str>;

const LITERALS: [&str; 8] = ["1", "2", "1.0", "2.5", "'1'", "'xyz'", "true", "nil"];

fn kind(literal: &str) -> char {
    match literal {
        "nil" => 'n',
        "true" | "false" => 'b',
        text if text.starts_with('\'') => 's',
        number if number.contains('.') => 'f',
        _ => 'i',
    }
}

/// A rule's text, and whether it is true of `point`: read from the table of the documents, line by line.
fn random(dice: &mut Dice, point: &Plain, depth: usize) -> (String, bool) {
    if depth > 0 && dice.roll(3) > 0 {
        let (left, left_holds) = random(dice, point, depth - 1);
        let (right, right_holds) = random(dice, point, depth - 1);
        return match dice.roll(2) {
            0 => (format!("({left} and {right})"), left_holds && right_holds),
            _ => (format!("({left} or {right})"), left_holds || right_holds),
        };
    }
    let name = dice.one(&["a", "b", "c", "gone"]);
    let there = point.get(name).copied();
    match dice.roll(4) {
        0 => {
            let (op, literal) = (dice.one(&["=", "!="]), dice.one(&LITERALS));
            let holds = match (there, op) {
                (None, "=") => literal == "nil",
                (None, _) => literal != "nil",
                (Some(_), _) if literal == "nil" => op == "!=",
                (Some(value), _) if kind(value) != kind(literal) => false,
                (Some(value), "=") => value == literal,
                (Some(value), _) => value != literal,
            };
            (format!("{name} {op} {literal}"), holds)
        }
        1 => {
            let (op, literal) = (dice.one(&["<", "<=", ">", ">="]), dice.one(&LITERALS));
            let same = there.filter(|value| kind(value) == kind(literal) && kind(value) != 'b');
            // Of one kind the literals are in the order of their texts.
            let holds = same.is_some_and(|value| match op {
                "<" => value < literal,
                "<=" => value <= literal,
                ">" => value > literal,
                _ => value >= literal,
            });
            (format!("{name} {op} {literal}"), holds)
        }
        2 => {
            let items: Vec<&str> = (0..dice.roll(4)).map(|_| dice.one(&LITERALS)).collect();
            let seen: Vec<&str> = items.iter().copied().filter(|item| kind(item) != 'b').collect();
            let listed = format!("[{}]", items.join(", "));
            if dice.roll(2) == 0 {
                let holds = match there {
                    Some(value) => seen.contains(&value),
                    None => seen.first() == Some(&"nil"),
                };
                (format!("{name} in {listed}"), holds)
            } else {
                (format!("{name} notin {listed}"), !seen.contains(&there.unwrap_or("nil")))
            }
        }
        _ => {
            let patterns: Vec<&str> = (0..dice.roll(3)).map(|_| dice.one(&["'x'", "'1'", "'q'"])).collect();
            let text = there.filter(|value| kind(value) == 's');
            let found = |pattern: &&str| text.is_some_and(|text| text.contains(pattern.trim_matches('\'')));
            let listed = format!("[{}]", patterns.join(", "));
            match dice.roll(2) {
                0 => (format!("{name} match {listed}"), patterns.iter().any(found)),
                _ => {
                    let holds = text.is_some() && patterns.iter().any(|pattern| !found(pattern));
                    (format!("{name} notmatch {listed}"), holds)
                }
            }
        }
    }
}

#[test]
fn random_rules_are_true_as_a_plain_reading_has_it() {
    let mut dice = Dice(0x5eed_f117_e25e_ed01);
    for round in 0..20_000 {
        let mut point = Plain::new();
        for name in ["a", "b", "c"] {
            if dice.roll(4) > 0 {
                point.insert(name, LITERALS[dice.roll(LITERALS.len() - 1)]);
            }
        }
        let kvs = point.iter().map(|(name, literal)| {
            let value = match kind(literal) {
                'i' => Value::Int(literal.parse().unwrap()),
                'f' => Value::Float(literal.parse().unwrap()),
                'b' => Value::Bool(true),
                _ => Value::Str(literal.trim_matches('\'').as_bytes().into()),
            };
            DraftKv::field(name.as_bytes(), value)
        });
        let draft = Draft { kvs: kvs.collect(), ..Draft::default() };
        let (text, expected) = random(&mut dice, &point, 3);
        let rule = Rule::parse(&format!("{{ {text} }}")).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        let view = DraftView { draft: &draft, category: Category::Tracing };
        assert_eq!(rule.is_true(&view), expected, "round {round}: {text} of {point:?}");
    }
}

#[test]
fn mutilated_rules_are_rules_or_faults() {
    let seeds = [
        "{ source = 'nginx' and (status in ['ok', nil, -1.5e3] || `a.b` != 0x1f) , host notmatch [\"^\\x41\\u4e2d\"] };{}",
        "{ identifier('x') = re('(?i)a[b-d]+$') or a.b > 5 or n <= 017 } # end",
    ];
    let mut dice = Dice(7);
    let bytes = b"{}()[],;'\"`\\#=!<>&|.-+0x9aeNu \n\xe4\xff";
    let mut rules = 0;
    for _ in 0..20_000 {
        let mut text = seeds[dice.roll(seeds.len())].as_bytes().to_vec();
        for _ in 0..1 + dice.roll(4) {
            let at = dice.roll(text.len());
            match dice.roll(3) {
                0 => text[at] = bytes[dice.roll(bytes.len())],
                1 => text.insert(at, bytes[dice.roll(bytes.len())]),
                _ => drop(text.drain(at..(at + 1 + dice.roll(8)).min(text.len()))),
            }
            if text.is_empty() {
                break;
            }
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        if let Ok(rule) = Rule::parse(&text) {
            rules += 1;
            rule.is_true(&DraftView { draft: &draft(), category: Category::Rum });
        }
    }
    assert!(rules > 1_000, "{rules} rules are too few to say anything");
}
