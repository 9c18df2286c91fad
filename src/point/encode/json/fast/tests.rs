//! What the fast path takes, what it leaves alone, and that both mean what the plain reader says.

use super::super::Reader;
use super::super::fuzz::outcome;
use super::*;
use crate::buf::PADDING;
use crate::point::encode::Encoder;
use crate::point::{Category, Compat, GlobalTags, Precision, rules};

const NOW: i64 = 1_700_000_000_000_000_000;

/// What stands behind a body must not matter.
const PADDINGS: [u8; 6] = [0, b'7', b'"', b'}', b' ', 0xff];

fn plain_rules(category: Category) -> Rules<'static> {
    Rules {
        category: rules(category, Compat::Documented),
        precision: Precision::Auto,
        now_ns: NOW,
        added_tags: None,
        time_correction: false,
        hook: None,
    }
}

/// How many elements of `[…]` the fast path takes before the first one it leaves alone, or, with `Behind`, the end; and
/// that nothing of that one is left.
fn taken(body: &str, rules: &Rules<'_>) -> (u32, Stop) {
    let mut bytes = body.as_bytes().to_vec();
    let len = bytes.len();
    bytes.resize(len + PADDING, PADDINGS[len % PADDINGS.len()]);
    let body = Padded::new(&bytes, len).unwrap();
    let mut left = Left { cost: usize::MAX, until: usize::MAX, batch_end: usize::MAX };
    let mut batch = Batch { bytes: b"\x0a\x00".to_vec(), points: 0 };
    let (mut keys, mut encoder) = (Keys::default(), Encoder::default());
    let required = encoder.required(rules.category);
    let from = body.iter().position(|byte| *byte == b'{').unwrap_or(len);
    let found = run(Run { body, from, left: &mut left, rules, required, keys: &mut keys, batch: &mut batch });
    assert_eq!(crate::point::pb::points(&batch.bytes).count(), batch.points as usize + 1);
    // The plain instructions say the same.
    let mut left = Left { cost: usize::MAX, until: usize::MAX, batch_end: usize::MAX };
    let mut other = Batch { bytes: b"\x0a\x00".to_vec(), points: 0 };
    let again = Run { body, from, left: &mut left, rules, required, keys: &mut keys, batch: &mut other };
    let plain = simd_wire::run_plain(again);
    assert_eq!((plain.next, plain.stop, plain.warn), (found.next, found.stop, found.warn));
    assert_eq!((other.bytes, other.points), (batch.bytes, batch.points));
    if found.stop == Stop::Behind {
        assert_eq!(body[found.next..].trim_ascii(), b"]");
    }
    (batch.points, found.stop)
}

/// With a space behind every colon and comma.
fn spaced(json: &str) -> String {
    let (mut out, mut in_text, mut escaped) = (String::new(), false, false);
    for character in json.chars() {
        out.push(character);
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_text = !in_text,
            ',' | ':' if !in_text => out.push(' '),
            _ => {}
        }
    }
    out
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end.max(1)
    }
}

/// A point as agents send it, in both dialects.
fn ordinary(random: &mut Random, category: Category) -> [String; 2] {
    let (mut tags, mut fields, mut list) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..random.below(6) {
        let key =
            ["host", "region", "service", "env", "team", "a_key_of_more_than_thirty_two_bytes_in_all"][at];
        let value = [
            "web-01.example.internal",
            "",
            "世界",
            "C:\\\\dir",
            "a tag value that is a good deal longer than one move",
        ];
        let value = value[random.below(5)];
        tags.push(format!("\"{key}\":\"{value}\""));
        list.push(format!("{{\"key\":\"{key}\",\"s\":\"{value}\",\"is_tag\":true}}"));
    }
    for at in 0..1 + random.below(9) {
        let key = format!("{}_{at}", ["usage", "bytes", "load", "count"][random.below(4)]);
        let number = match random.below(6) {
            0 => format!("{}", random.below(1 << 40)),
            1 => format!("-{}", 1 + random.below(1000)),
            2 => format!("{}.{}", random.below(1000), random.below(1_000_000)),
            3 => format!("{}e-{}", 1 + random.below(9), random.below(300)),
            4 => format!("0.{}{}", 1 + random.below(1 << 40), random.below(1 << 30)),
            _ => "0".to_owned(),
        };
        let text = ["plain", "a \\\"quoted\\\" one\\n\\tat C:\\\\dir", "日志", "\\u00e9\\ud83d\\ude00", "x"];
        let text = text[random.below(5)].repeat(1 + random.below(40));
        match random.below(if category == Category::Metric { 5 } else { 7 }) {
            0 | 1 => {
                fields.push(format!("\"{key}\":{number}"));
                list.push(format!("{{\"key\":\"{key}\",\"f\":{number}}}"));
            }
            2 | 3 => {
                let number = random.below(1 << 60) as i64 - (1 << 59);
                fields.push(format!("\"{key}\":{number}"));
                let quote = ["", "\""][random.below(2)];
                list.push(format!("{{\"key\":\"{key}\",\"i\":{quote}{number}{quote}}}"));
            }
            4 => {
                fields.push(format!("\"{key}\":true"));
                list.push(format!("{{\"key\":\"{key}\",\"b\":true}}"));
                list.push(format!("{{\"key\":\"{key}_u\",\"u\":{}}}", random.below(1 << 40)));
            }
            _ => {
                fields.push(format!("\"{key}\":\"{text}\""));
                list.push(format!("{{\"key\":\"{key}\",\"s\":\"{text}\"}}"));
            }
        }
    }
    let time = ["1700000000", "1700000000123", "1700000000123456", "1700000000123456789"][random.below(4)];
    let mut simple = vec![
        "\"measurement\":\"cpu\"".to_owned(),
        format!("\"tags\":{{{}}}", tags.join(",")),
        format!("\"fields\":{{{}}}", fields.join(",")),
        format!("\"time\":{time}"),
    ];
    let quote = ["", "\""][random.below(2)];
    let mut pb = vec![
        "\"name\":\"cpu\"".to_owned(),
        format!("\"fields\":[{}]", list.join(",")),
        format!("\"time\":{quote}{time}{quote}"),
    ];
    // Go sorts the members of maps; not everyone sends a time.
    match random.below(4) {
        0 => {
            simple.rotate_left(2);
            pb.rotate_left(1);
        }
        1 => {
            simple.pop();
            pb.pop();
        }
        _ => {}
    }
    [format!("{{{}}}", simple.join(",")), format!("{{{}}}", pb.join(","))]
}

#[test]
fn ordinary_points_never_take_the_general_path() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for category in [Category::Metric, Category::Logging, Category::Tracing] {
        let points: Vec<String> = (0..400).flat_map(|_| ordinary(&mut random, category)).collect();
        let rules = plain_rules(category);
        for body in
            [format!("[{}]", points.join(",")), spaced(&format!(" [\n  {} ]\n", points.join(" ,\n  ")))]
        {
            assert_eq!(taken(&body, &rules), (800, Stop::Behind));
        }
    }
}

#[test]
fn what_is_not_ordinary_is_left_alone() {
    let good = r#"{"measurement":"m","fields":{"a":1}}"#;
    for odd in [
        r#"{}"#,
        r#"{"measurement":"","fields":{"a":1}}"#,
        r#"{"fields":{"a":1}}"#,
        r#"{"measurement":"m","measurement":"m"}"#,
        r#"{"Measurement":"m"}"#,
        r#"{"measurement":"m","more":1}"#,
        r#"{"measurement":"m","fields":{"a":1,"a":2}}"#,
        r#"{"measurement":"m","tags":{"a":"x"},"fields":{"a":2}}"#,
        r#"{"measurement":"m","tags":{"a":"x\n"}}"#,
        r#"{"measurement":"m","tags":{"a":"x\\"}}"#,
        r#"{"measurement":"m","tags":{"a":null}}"#,
        r#"{"measurement":"m","tags":{"":"x"}}"#,
        r#"{"measurement":"m","tags":{"a.b":"x"}}"#,
        r#"{"measurement":"m","tags":{"a\u0062":"x"}}"#,
        r#"{"measurement":"m","fields":{"a":null}}"#,
        r#"{"measurement":"m","fields":{"a":[1]}}"#,
        r#"{"measurement":"m","fields":{"a":1e400}}"#,
        r#"{"measurement":"m","fields":{"a":01}}"#,
        r#"{"measurement":"m","fields":{"a":1.}}"#,
        r#"{"measurement":"m","fields":{"a":.5}}"#,
        r#"{"measurement":"m","fields":{"a":"\ud800"}}"#,
        r#"{"measurement":"m","fields":{"a":1,}}"#,
        r#"{"measurement":"m","fields":{"source":1}}"#,
        r#"{"measurement":"m","fields":{"a":1},"time":-1}"#,
        r#"{"measurement":"m","fields":{"a":1},"time":-0}"#,
        r#"{"measurement":"m","fields":{"a":1},"time":"1"}"#,
        r#"{"measurement":"m","fields":{"a":1},"time":1.5}"#,
        r#"{"measurement":"m","fields":{"a":1},"time":9999999999}"#,
        r#"{"measurement":"m","fields":{"a":1},"time":9300000000000000000}"#,
        r#"{"measurement":"m","fields":{"a":1} "time":1}"#,
        r#"{"name":"m","fields":{"a":1}}"#,
        r#"{"name":"m","tags":{},"fields":[]}"#,
        r#"{"name":"m","fields":[{"key":"a","i":1,"is_tag":true}]}"#,
        r#"{"name":"m","fields":[{"key":"a","i":-0}]}"#,
        r#"{"name":"m","fields":[{"key":"a","i":1.0}]}"#,
        r#"{"name":"m","fields":[{"key":"a","i":"1""#,
        r#"{"name":"m","fields":[{"key":"a","i":9223372036854775808}]}"#,
        r#"{"name":"m","fields":[{"key":"a","u":-1}]}"#,
        r#"{"name":"m","fields":[{"key":"a","u":18446744073709551615}]}"#,
        r#"{"name":"m","fields":[{"key":"a","f":"NaN"}]}"#,
        r#"{"name":"m","fields":[{"key":"a","f":1,"i":1}]}"#,
        r#"{"name":"m","fields":[{"key":"a","d":"aGk="}]}"#,
        r#"{"name":"m","fields":[{"key":"a","f":1},{"key":"a","f":1}]}"#,
        r#"{"name":"m","fields":[{"key":"a"}]}"#,
        r#"{"name":"m","fields":[{"f":1,"key":"a"}]}"#,
        r#"{"name":"m","warns":[]}"#,
    ] {
        let body = format!("[{good},{odd},{good}]");
        assert_eq!(taken(&body, &plain_rules(Category::Logging)), (1, Stop::Before), "{odd}");
    }
    let strings = r#"[{"measurement":"m","fields":{"a":"x"}}]"#;
    assert_eq!(taken(strings, &plain_rules(Category::Metric)), (0, Stop::Before));
    let mut buffer = [b"[{\"measurement\":\"m\",\"fields\":{\"a\":\"".as_slice(), b"\xff", b"\"}}]"].concat();
    let body = Padded::pad(&mut buffer);
    let mut batch = Batch::default();
    let (mut keys, rules) = (Keys::default(), plain_rules(Category::Tracing));
    let mut left = Left { cost: usize::MAX, until: usize::MAX, batch_end: usize::MAX };
    let found = run(Run {
        body,
        from: 1,
        left: &mut left,
        rules: &rules,
        required: None,
        keys: &mut keys,
        batch: &mut batch,
    });
    assert_eq!((found.stop, batch.points, batch.bytes.len()), (Stop::Before, 0, 0));
}

#[test]
fn points_of_many_keys_are_read_and_their_repeats_found() {
    let rules = plain_rules(Category::Tracing);
    // More keys than there are places without meeting.
    let fields: Vec<String> = (0..1024).map(|at| format!("\"field_{at}_of_many\":{at}")).collect();
    let body = |fields: &[String]| format!("[{{\"measurement\":\"m\",\"fields\":{{{}}}}}]", fields.join(","));
    assert_eq!(taken(&body(&fields), &rules), (1, Stop::Behind));
    let mut twice = fields.clone();
    twice[1023] = "\"field_5_of_many\":0".to_owned();
    assert_eq!(taken(&body(&twice), &rules), (0, Stop::Before));
    let mut more = fields;
    more.push("\"last\":1".to_owned());
    assert_eq!(taken(&body(&more), &rules), (0, Stop::Before));
}

#[test]
fn a_stretch_ends_between_elements() {
    let body = br#"[{"measurement":"m","fields":{"a":1}},{"measurement":"m","fields":{"a":1}}]"#;
    let mut buffer = body.to_vec();
    let body = Padded::pad(&mut buffer);
    let one = body.iter().position(|byte| *byte == b'}').unwrap() + 2;
    let rules = plain_rules(Category::Tracing);
    for (cost, until, growth) in
        [(1, usize::MAX, usize::MAX), (usize::MAX, one, usize::MAX), (usize::MAX, usize::MAX, 1)]
    {
        let (mut keys, mut batch) = (Keys::default(), Batch::default());
        let mut left = Left { cost, until, batch_end: growth };
        let found = run(Run {
            body,
            from: 1,
            left: &mut left,
            rules: &rules,
            required: None,
            keys: &mut keys,
            batch: &mut batch,
        });
        assert_eq!((found.next, found.stop, batch.points), (one, Stop::Behind, 1));
    }
}

/// What is put into documents to break them.
const TOKENS: [&[u8]; 44] = [
    b"\"",
    b"\\",
    b",",
    b":",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"true",
    b"false",
    b"-",
    b"0",
    b"00",
    b"1",
    b".",
    b"e",
    b"E+",
    b"1e400",
    b" ",
    b"\n",
    b"\t",
    b"\0",
    b"\x1f",
    b"\\u0000",
    b"\\ud800",
    b"\\u00e9",
    b"\\u000a",
    b"\xff",
    b"\xc3\xa9",
    b"\xe6\x97",
    b"\"a\":1,",
    b"\"tags\":{",
    b"\"name\":",
    b"\"time\":5,",
    b"99999999999999999999",
    b"9223372036854775807",
    b"9223372036854775808",
    b"123456789012345.5",
    b",\"is_tag\":true",
    b"\\/",
    b"source",
    b"status",
    b"__orig_time",
];

fn mutate(random: &mut Random, document: &mut Vec<u8>) {
    for _ in 0..[0, 1, 1, 1, 2, 3, 5][random.below(7)] {
        let at = random.below(document.len());
        let token = TOKENS[random.below(TOKENS.len())];
        let some = (at + random.below(30)).min(document.len());
        match random.below(9) {
            _ if document.is_empty() => return,
            0 => document[at] = random.below(256) as u8,
            1 => document[at] ^= 1 << random.below(8),
            2 => drop(document.remove(at)),
            3 => drop(document.splice(at..at, token.iter().copied())),
            4 => {
                let end = (at + token.len()).min(document.len());
                drop(document.splice(at..end, token.iter().copied()));
            }
            5 => {
                let span = document[at..some].to_vec();
                let to = random.below(document.len() + 1);
                drop(document.splice(to..to, span));
            }
            6 => drop(document.drain(at..some)),
            7 if random.below(4) == 0 => document.truncate(at),
            _ => {
                // Numbers deserve more than their share.
                let digit = document[at..].iter().position(u8::is_ascii_digit).map_or(at, |digit| at + digit);
                let part: &[u8] =
                    [b"-".as_slice(), b".", b"0", b"e5", b"E-3", b"12345678901234567", b" "][random.below(7)];
                drop(document.splice(digit..digit, part.iter().copied()));
            }
        }
    }
}

/// Reads mutated documents with and without the fast path, and panics where that makes a difference. How many the fast
/// path took whole, how many the plain reader took beside these, and how many it refused.
fn mutations(seed: u64, documents: usize) -> [usize; 3] {
    let mut random = Random(seed);
    let tags = GlobalTags::new([("host", "gateway"), ("zone", "z")]).unwrap();
    let mut encoder = Encoder::default();
    let mut counts = [0; 3];
    for round in 0..documents {
        let category = [Category::Metric, Category::Logging, Category::Tracing][round % 3];
        let rules = Rules {
            added_tags: (round % 2 == 0).then_some(&tags),
            time_correction: round % 5 == 0,
            ..plain_rules(category)
        };
        let points: Vec<String> =
            (0..1 + random.below(2)).map(|_| ordinary(&mut random, category)[round % 2].clone()).collect();
        let whole = format!("[{}]", points.join(","));
        let mut document = if random.below(4) == 0 { spaced(&whole) } else { whole }.into_bytes();
        mutate(&mut random, &mut document);
        let len = document.len();
        document.resize(len + PADDING, PADDINGS[round % PADDINGS.len()]);
        let expected = outcome(&mut encoder, Reader::Plain, usize::MAX, &document, &rules);
        let found = outcome(&mut encoder, Reader::All, usize::MAX, &document, &rules);
        assert_eq!(found, expected, "{}", document[..len].escape_ascii());
        let whole = len > 2 && document.starts_with(b"[{") && {
            let body = Padded::new(&document, len).unwrap();
            let (mut keys, mut batch) = (Keys::default(), Batch::default());
            let mut left = Left { cost: usize::MAX, until: usize::MAX, batch_end: usize::MAX };
            let required = encoder.required(rules.category);
            let run_all = Run {
                body,
                from: 1,
                left: &mut left,
                rules: &rules,
                required,
                keys: &mut keys,
                batch: &mut batch,
            };
            let found = run(run_all);
            found.stop == Stop::Behind && body[found.next..] == *b"]"
        };
        counts[if expected.is_none() { 2 } else { usize::from(!whole) }] += 1;
    }
    counts
}

#[test]
fn mutated_documents_mean_the_same_with_and_without_the_fast_path() {
    let [fast, general, refused] = mutations(0x2545_f491_4f6c_dd1d, 6_000);
    assert!(fast > 1_000 && general > 100 && refused > 1_000, "{fast} {general} {refused}");
}

#[test]
#[ignore = "minutes; run it in release after changes to the fast path"]
fn millions_of_mutated_documents_mean_the_same() {
    let counts = mutations(0x0da3_e39c_b94b_95bd, 3_000_000);
    println!("taken whole by the fast path, else accepted, refused: {counts:?}");
}
