//! The readers against each other, over generated and mutated bodies, and what recorded bodies do not cover.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::point::{Category, Compat, Precision, echo, rules};

const NOW: i64 = 1_800_000_000_000_000_000;

fn recorded(category: Category) -> Rules<'static> {
    Rules {
        category: rules(category, Compat::Datakit184),
        precision: Precision::Auto,
        now_ns: NOW,
        added_tags: None,
        time_correction: false,
        hook: None,
    }
}

/// The echo of a body's points, by every reader the same.
fn echoed(body: &str) -> Result<String, String> {
    echoed_as(body, Category::Tracing)
}

fn echoed_as(body: &str, category: Category) -> Result<String, String> {
    fuzz_differential(body.as_bytes());
    let mut bytes = body.as_bytes().to_vec();
    let padded = Padded::pad(&mut bytes);
    let mut batch = Batch::default();
    let mut at = JsonAt::default();
    let mut encoder = Encoder::default();
    match encoder.encode_json(padded, &mut at, Stretch::WHOLE, &recorded(category), &mut batch) {
        Ok(_) => {
            let mut out = Vec::new();
            echo::pbjson(&batch.bytes, echo::PbJsonStyle::default(), &mut out).unwrap();
            Ok(String::from_utf8(out).unwrap())
        }
        Err(BadJson) => Err(explain(body.as_bytes())),
    }
}

/// A point of PB-JSON with these members in its one field becomes this field.
fn assert_field(members: &str, expected: &str) {
    let body = format!("[{{\"name\":\"m\",\"fields\":[{{{members}}}],\"time\":1}}]");
    let echoed = echoed(&body).unwrap_or_else(|error| panic!("{members}: {error}"));
    let (_, fields) = echoed.split_once("\"fields\":[{").unwrap();
    let (field, _) = fields.rsplit_once("}],\"time\"").unwrap();
    assert_eq!(field, expected, "{members}");
}

const NO_PBJSON: &str =
    "json: cannot unmarshal array into Go struct field JSONPoint.fields of type map[string]interface {}";

#[test]
fn values_of_pbjson() {
    for (members, expected) in [
        (r#""key":"k","i":-5"#, r#""key":"k","i":"-5""#),
        (r#""key":"k","i":" 5 ""#, r#""key":"k","i":"5""#),
        (r#""key":"k","i":"null""#, r#""key":"k","i":"0""#),
        (r#""key":"k","i":"-0""#, r#""key":"k","i":"0""#),
        (r#""key":"k","i":-0"#, r#""key":"k","i":"0""#),
        (r#""key":"k","i":null"#, r#""key":"k","i":"0""#),
        (r#""key":"k","u":null"#, r#""key":"k","u":"0""#),
        (r#""key":"k","f":null"#, r#""key":"k","f":0"#),
        (r#""key":"k","b":null"#, r#""key":"k","b":false"#),
        (r#""key":"k","d":null"#, r#""key":"k","d":"""#),
        (r#""key":"k","s":null"#, r#""key":"k","s":"""#),
        (r#""key":"k","u":18446744073709551615"#, r#""key":"k","u":"18446744073709551615""#),
        (r#""key":"k","f":"-1e3""#, r#""key":"k","f":-1000"#),
        (r#""key":"k","d":[104,105,null]"#, r#""key":"k","d":"aGkA""#),
        (r#""key":"k","d":"aG\nk=""#, r#""key":"k","d":"aGk=""#),
        (r#""key":"k","d":"aGl=""#, r#""key":"k","d":"aGk=""#),
        // The first one counts; all are looked at.
        (r#""key":"k","s":"x","i":"1""#, r#""key":"k","s":"x""#),
        (r#""key":"k","i":"1","i":"2""#, r#""key":"k","i":"2""#),
        (r#""key":"a","key":"k","i":x"#.replace('x', "1").as_str(), r#""key":"k","i":"1""#),
        (r#""key":"k","i":"no","i":"2""#, r#""key":"k","i":"2""#),
        (r#""key":"k","val":null,"i":1"#, r#""key":"k","i":"1""#),
        (r#""key":"k","s":"x","is_tag":false"#, r#""key":"k","s":"x""#),
        (r#""key":"k","s":"x","is_tag":null"#, r#""key":"k","s":"x""#),
        (r#""key":"k","i":1,"type":-7,"unit":null"#, r#""key":"k","i":"1","type":-7"#),
        (r#""key":"k","i":1,"type":null"#, r#""key":"k","i":"1""#),
        (r#""key":"k","i":1,"type":"UNSPECIFIED","unit":"\u00b5s""#, r#""key":"k","i":"1","unit":"µs""#),
        (
            r#""key":"k","a":{"@type":"point.Array","arr":[{"s":"x"},{"i":1},{},{"x":null,"b":true}]}"#,
            r#""key":"k","a":{"@type":"point.Array"}"#,
        ),
        (
            r#""key":"k","a":{"@type":"type.googleapis.com/point.Array","arr":[{"s":"x"},{"i":1},{},{"x":null}]}"#,
            r#""key":"k","a":{"@type":"type.googleapis.com/point.Array","arr":[{"s":"x"},{"i":"1"},{},{}]}"#,
        ),
        (
            r#""key":"k","a":{"@type":"type.googleapis.com/point.Array","arr":null}"#,
            r#""key":"k","a":{"@type":"type.googleapis.com/point.Array"}"#,
        ),
        (
            r#""key":"k","a":{"map":{"b":{"f":"NaN"},"a":null,"b":{"d":"YQ=="}},"@type":"type.googleapis.com/point.Map"}"#,
            r#""key":"k","a":{"@type":"type.googleapis.com/point.Map","map":{"a":{},"b":{"d":"YQ=="}}}"#,
        ),
    ] {
        assert_field(members, expected);
    }
}

#[test]
fn what_is_no_pbjson() {
    for members in [
        r#""key":"k","i":1.0"#,
        r#""key":"k","i":1e3"#,
        r#""key":"k","i":"1.0""#,
        r#""key":"k","i":"""#,
        r#""key":"k","i":"05""#,
        r#""key":"k","i":"\u0035""#,
        r#""key":"k","i":9223372036854775808"#,
        r#""key":"k","i":true"#,
        r#""key":"k","u":-0"#,
        r#""key":"k","u":"-0""#,
        r#""key":"k","u":18446744073709551616"#,
        r#""key":"k","f":"nan""#,
        r#""key":"k","f":"Inf""#,
        r#""key":"k","f":"\u004eaN""#,
        r#""key":"k","f":1e400"#,
        r#""key":"k","f":true"#,
        r#""key":"k","b":"true""#,
        r#""key":"k","b":1"#,
        r#""key":"k","s":1"#,
        r#""key":"k","d":"YQ""#,
        r#""key":"k","d":"!!""#,
        r#""key":"k","d":[256]"#,
        r#""key":"k","d":[1.0]"#,
        r#""key":"k","d":{}"#,
        r#""key":1,"i":1"#,
        r#""Key":"k","i":1"#,
        r#""key":"k","i":1,"isTag":true"#,
        r#""key":"k","s":"x","is_tag":"true""#,
        r#""key":"k","i":1,"type":"gauge""#,
        r#""key":"k","i":1,"type":"1""#,
        r#""key":"k","i":1,"type":1.0"#,
        r#""key":"k","i":1,"type":2147483648"#,
        r#""key":"k","i":1,"unit":1"#,
        r#""key":"k","i":1,"other":null"#,
        r#""key":"k","val":{}"#,
        r#""key":"k","s":"x","i":"no""#,
        r#""key":"k","a":{}"#,
        r#""key":"k","a":[1]"#,
        r#""key":"k","a":{"@type":"","arr":[]}"#,
        r#""key":"k","a":{"@type":null,"arr":[]}"#,
        r#""key":"k","a":{"@type":"point.Other"}"#,
        r#""key":"k","a":{"@type":"point.Array","map":{}}"#,
        r#""key":"k","a":{"@type":"point.Array","arr":{}}"#,
        r#""key":"k","a":{"@type":"point.Array","arr":[1]}"#,
        r#""key":"k","a":{"@type":"point.Array","arr":[{"a":null}]}"#,
        r#""key":"k","a":{"@type":"point.Map","map":[]}"#,
        r#""key":"k","a":{"@type":"point.Map","map":{"k":1}}"#,
    ] {
        let body = format!("[{{\"name\":\"m\",\"fields\":[{{{members}}}]}}]");
        assert_eq!(echoed(&body), Err(NO_PBJSON.to_owned()), "{members}");
    }
}

#[test]
fn what_datakit_crashes_over_is_refused() {
    for (body, expected) in [
        ("[null]", "json: cannot unmarshal null into Go value of type point.JSONPoint"),
        ("[{},null]", "json: cannot unmarshal null into Go value of type point.JSONPoint"),
        (r#"[{"fields":[null]}]"#, "pbjson: null in a list"),
        (r#"[{"warns":[null]}]"#, "pbjson: null in a list"),
        (r#"[{"debugs":[{},null]}]"#, "pbjson: null in a list"),
        (r#"[{"fields":[{"a":{"@type":"point.Array","arr":[null]}}]}]"#, "pbjson: null in a list"),
        (r#"[{"fields":[{"key":"k","is_tag":true}]}]"#, "pbjson: the value of a tag must be a string"),
        (
            r#"[{"fields":[{"key":"k","is_tag":true,"i":1,"s":"x"}]}]"#,
            "pbjson: the value of a tag must be a string",
        ),
    ] {
        assert_eq!(echoed(body), Err(expected.to_owned()), "{body}");
    }
    // Not crashed over: as PB-JSON it is wrong in another way, and as simple JSON it is right.
    let body = r#"[{"warns":[null],"measurement":"m","time":1}]"#;
    assert_eq!(echoed(body).unwrap(), r#"[{"name":"m","fields":[],"time":"1000000000"}]"#);
}

#[test]
fn simple_json_is_read_as_go_reads_it() {
    for (body, expected) in [
        // Maps that come twice are added to, unless there is a null between them.
        (
            r#"[{"fields":{"a":1,"b":2},"FIELDS":{"a":3,"c":"\ud800"},"measurement":"m","time":1}]"#,
            r#"[{"name":"m","fields":[{"key":"a","f":3},{"key":"b","f":2},{"key":"c","s":"�"}],"time":"1000000000"}]"#,
        ),
        (
            r#"[{"fields":{"a":1},"fields":null,"fields":{"c":1},"measurement":"m","time":1}]"#,
            r#"[{"name":"m","fields":[{"key":"c","f":1}],"time":"1000000000"}]"#,
        ),
        (
            r#"[{"measurement":"m","measurement":null,"time":1,"time":null,"tagſ":{"t":"x","t":null}}]"#,
            r#"[{"name":"m","fields":[{"key":"t","s":"","is_tag":true}],"time":"1000000000"}]"#,
        ),
        (
            r#"[{"measurement":"m","\u0074ime":1,"unknown":[1e400,{"a":[]}],"fields":{"a":true},"tags":{"a":"x"}}]"#,
            r#"[{"name":"m","fields":[{"key":"a","s":"x","is_tag":true}],"time":"1000000000"}]"#,
        ),
        (
            r#"[{"measurement":"m","time":1,"fields":{"a":["x",1],"b":[1,-0,2e1],"c":[true,false]}}]"#,
            "[{\"name\":\"m\",\"fields\":[{\"key\":\"a\"},{\"key\":\"b\",\"a\":{\"@type\":\"type.googleapis.com/point.Array\",\
             \"arr\":[{\"f\":1},{\"f\":-0},{\"f\":20}]}},{\"key\":\"c\",\"a\":{\"@type\":\"type.googleapis.com/point.Array\",\
             \"arr\":[{\"b\":true},{\"b\":false}]}}],\"time\":\"1000000000\",\"warns\":[{\"type\":\"nil_field\",\
             \"message\":\"nil field(a)\"},{\"type\":\"nil_field\",\"message\":\"nil field(a)\"}]}]",
        ),
    ] {
        assert_eq!(echoed(body).as_deref(), Ok(expected), "{body}");
    }
}

#[test]
fn simple_json_is_refused_in_the_words_of_go() {
    for (element, expected) in [
        ("1", "number into Go value of type point.JSONPoint"),
        ("\"x\"", "string into Go value of type point.JSONPoint"),
        ("true", "bool into Go value of type point.JSONPoint"),
        ("[[]]", "array into Go value of type point.JSONPoint"),
        (r#"{"measurement":{}}"#, "object into Go struct field JSONPoint.measurement of type string"),
        (r#"{"tags":[]}"#, "array into Go struct field JSONPoint.tags of type map[string]string"),
        (r#"{"tags":{"a":{}}}"#, "object into Go struct field JSONPoint.tags of type string"),
        (r#"{"tags":{"a":1}}"#, "number into Go struct field JSONPoint.tags of type string"),
        (r#"{"fields":"x"}"#, "string into Go struct field JSONPoint.fields of type map[string]interface {}"),
        (
            r#"{"fields":{"a":[{"b":[1e999]}]}}"#,
            "number 1e999 into Go struct field JSONPoint.fields of type float64",
        ),
        (
            r#"{"fields":{"a":-1e999},"time":"x"}"#,
            "number -1e999 into Go struct field JSONPoint.fields of type float64",
        ),
        (r#"{"time":[]}"#, "array into Go struct field JSONPoint.time of type int64"),
        (r#"{"time":1e3,"x":0}"#, "number 1e3 into Go struct field JSONPoint.time of type int64"),
    ] {
        let expected = format!("json: cannot unmarshal {expected}");
        assert_eq!(echoed(&format!("[{{}}, {element}]")), Err(expected), "{element}");
    }
    for (body, kind) in
        [("{}", "object"), ("1", "number"), (" \"\"", "string"), ("true", "bool"), ("-1", "number")]
    {
        let expected = format!("json: cannot unmarshal {kind} into Go value of type []*point.Point");
        assert_eq!(echoed(body), Err(expected));
    }
}

#[test]
fn warnings_that_a_point_brings_take_the_place_of_the_first_ones() {
    let body = r#"[{"name":"m","fields":[{"key":"a.b"}],"time":1,"debugs":[{"info":"i"}],
        "warns":[{"type":"t","msg":"x","message":"m"},{}]}]"#;
    assert_eq!(
        echoed_as(body, Category::Object).unwrap(),
        "[{\"name\":\"m\",\"fields\":[{\"key\":\"a_b\"},{\"key\":\"name\",\"s\":\"default\"}],\"time\":\"1000000000\",\
         \"warns\":[{\"type\":\"t\",\"message\":\"m\"},{\"type\":\"\",\"message\":\"\"},{\"type\":\"dot_in_key\",\
         \"message\":\"invalid field key `a.b': found `.'\"},{\"type\":\"nil_field\",\"message\":\"nil field(a_b)\"},\
         {\"type\":\"add_required_kv\",\"message\":\"add required key-value \\\"name\\\": \\\"default\\\"\"}],\
         \"debugs\":[{\"info\":\"i\"}]}]"
    );
}

#[test]
fn bodies_without_points() {
    for body in ["[]", " [ \n]\t", "null", " null "] {
        assert_eq!(echoed(body).as_deref(), Ok("[]"), "{body:?}");
    }
    for body in [
        "", "  ", "[", "]", "[]]", "[,]", "[{},]", "[{}", "[{}{}]", "[{},,{}]", "nul", "null x", "[] x", "[}",
    ] {
        assert!(echoed(body).is_err(), "{body:?}");
    }
}

/// Bodies that are made to cost much: none takes more than its length says.
#[test]
fn bodies_that_are_made_to_cost_much() {
    let keys = |count: usize| (0..count).map(|i| format!("\"k{i}\":{i}")).collect::<Vec<_>>().join(",");
    let fields = |count: usize| {
        (0..count).map(|i| format!("{{\"key\":\"k{}\",\"i\":1}}", i % 7000)).collect::<Vec<_>>().join(",")
    };
    let good = [
        format!("[{{\"fields\":{{{}}}}}]", keys(100_000)),
        format!("[{{\"tags\":{{{}}}}}]", keys(50_000).replace(':', ":\"").replace(',', "\",") + "\""),
        format!("[{{\"fields\":[{}]}}]", fields(50_000)),
        format!("[{}{{}}]", "{},".repeat(20_000)),
        format!("[{{\"x\":{}1{}}}]", "[".repeat(9_000), "]".repeat(9_000)),
        format!("[{{\"fields\":{{\"a\":\"{}\"}}}}]", "\\u0041".repeat(100_000)),
        format!("[{}{{}}{}]", " ".repeat(100_000), "\n".repeat(100_000)),
    ];
    let bad = [
        "[".repeat(100_000),
        "[{\"fields\":".repeat(100_000),
        format!("[{{\"x\":{}1{}}}]", "[".repeat(10_000), "]".repeat(10_000)),
        format!("[{{\"fields\":{{\"a\":1{}}}}}]", "0".repeat(100_000)),
        format!("[{}", "{},".repeat(20_000)),
    ];
    let mut encoder = Encoder::default();
    let mut take = |body: &str| {
        let mut bytes = body.as_bytes().to_vec();
        let body = Padded::pad(&mut bytes);
        let (mut at, mut batch) = (JsonAt::default(), Batch::default());
        let result =
            encoder.encode_json(body, &mut at, Stretch::WHOLE, &recorded(Category::Tracing), &mut batch);
        assert!(result.is_ok() || !explain(&body).is_empty());
        result.is_ok()
    };
    for body in &good {
        assert!(take(body), "{:.60}", body);
    }
    for body in &bad {
        assert!(!take(body), "{:.60}", body);
    }
}

fn string() -> impl Strategy<Value = String> {
    const TEXTS: &[&str] = &[
        "a",
        "host",
        "status",
        "name",
        "a.b",
        "x\\\\",
        "\\n",
        "\\u0041",
        "世界",
        "\\ud83d\\ude00",
        "\\ud83d",
        "NaN",
        "Infinity",
        "5",
        "-7",
        " 8",
        "1.5",
        "null",
        "GAUGE",
        "aGk=",
        "type.googleapis.com/point.Array",
        "__orig_time",
        "",
    ];
    prop_oneof![
        4 => select(TEXTS).prop_map(|text| format!("\"{text}\"")),
        2 => "[a-z ]{0,40}".prop_map(|text| format!("\"{text}\"")),
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        (-1000i32..1000).prop_map(|value| format!("{}", f64::from(value) / 8.0)),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:e}")),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:?}")),
        select(&["-0", "0", "-0.0", "1e400", "1e-400", "1E+2", "18446744073709551616", "0.1e1"][..])
            .prop_map(str::to_owned),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        3 => number(),
        3 => string(),
        1 => select(&["true", "false", "null"][..]).prop_map(str::to_owned),
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::vec((string(), inner), 0..4).prop_map(members),
        ]
    })
}

fn members(members: Vec<(String, String)>) -> String {
    let members: Vec<String> = members.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn simple() -> impl Strategy<Value = String> {
    let key = select(&["measurement", "tags", "fields", "time", "Tags", "FIELDS", "tagſ", "x"][..])
        .prop_map(|key| format!("\"{key}\""));
    let tags = proptest::collection::vec((string(), string()), 0..4).prop_map(members);
    let fields = proptest::collection::vec((string(), value()), 0..5).prop_map(members);
    let time = prop_oneof![Just("1700000000".to_owned()), Just("0".to_owned()), number()];
    let odd = proptest::collection::vec((key, value()), 0..2);
    (string(), tags, fields, time, odd).prop_map(|(name, tags, fields, time, odd)| {
        let ordinary = [("measurement", name), ("tags", tags), ("fields", fields), ("time", time)];
        let ordinary = ordinary.into_iter().map(|(key, value)| (format!("\"{key}\""), value));
        members(odd.into_iter().chain(ordinary).collect())
    })
}

fn pbjson() -> impl Strategy<Value = String> {
    let list = (
        select(&["type.googleapis.com/point.Array", "point.Map", "point.Array", "x", ""][..]),
        select(&["arr", "map", "arr", "x"][..]),
        prop_oneof![
            value(),
            Just("[{\"i\":1},{\"s\":\"x\"}]".to_owned()),
            Just("{\"k\":{\"f\":1}}".to_owned())
        ],
    );
    let list = list.prop_map(|(url, key, value)| format!("{{\"@type\":\"{url}\",\"{key}\":{value}}}"));
    let member = prop_oneof![
        4 => string().prop_map(|text| ("\"key\"".to_owned(), text)),
        3 => number().prop_map(|number| ("\"i\"".to_owned(), number)),
        3 => any::<u64>().prop_map(|number| ("\"u\"".to_owned(), format!("\"{number}\""))),
        3 => number().prop_map(|number| ("\"f\"".to_owned(), number)),
        3 => string().prop_map(|text| ("\"s\"".to_owned(), text)),
        2 => list.prop_map(|list| ("\"a\"".to_owned(), list)),
        1 => Just(("\"is_tag\"".to_owned(), "true".to_owned())),
        1 => Just(("\"b\"".to_owned(), "true".to_owned())),
        1 => Just(("\"d\"".to_owned(), "\"aGk=\"".to_owned())),
        2 => (select(&["i", "u", "f", "b", "d", "s", "a", "type", "unit", "is_tag", "val"][..]), value())
            .prop_map(|(key, value)| (format!("\"{key}\""), value)),
    ];
    let field = proptest::collection::vec(member, 0..4).prop_map(members);
    let fields = proptest::collection::vec(field, 0..4).prop_map(|fields| format!("[{}]", fields.join(",")));
    let odd = (select(&["\"warns\"", "\"debugs\"", "\"name\"", "\"time\"", "\"x\""][..]), value());
    let warns = Just("[{\"type\":\"t\",\"message\":\"m\"}]".to_owned());
    (string(), fields, number(), prop::option::of(odd), prop::option::of(warns)).prop_map(
        |(name, fields, time, odd, warns)| {
            let mut all = vec![
                ("\"name\"".to_owned(), name),
                ("\"fields\"".to_owned(), fields),
                ("\"time\"".to_owned(), time),
            ];
            all.extend(odd.map(|(key, value)| (key.to_owned(), value)));
            all.extend(warns.map(|warns| ("\"warns\"".to_owned(), warns)));
            members(all)
        },
    )
}

/// An ordinary element, as the fast path takes it.
fn ordinary() -> impl Strategy<Value = String> {
    let fields = proptest::collection::btree_map("[a-z_.]{1,40}", 0u32..1_000_000, 1..6);
    let tags = proptest::collection::btree_map("[A-Z]{1,10}", "[a-z0-9 世]{0,40}", 0..4);
    ("[a-z]{1,40}", tags, fields, 1_600_000_000i64..1_800_000_000, any::<bool>()).prop_map(
        |(name, tags, fields, time, pbjson)| {
            if pbjson {
                let tags = tags
                    .iter()
                    .map(|(key, value)| format!("{{\"key\":\"{key}\",\"s\":\"{value}\",\"is_tag\":true}}"));
                let fields = fields.iter().map(|(key, value)| match value % 3 {
                    0 => format!("{{\"key\":\"{key}\",\"i\":\"{value}\"}}"),
                    1 => format!("{{\"key\":\"{key}\",\"f\":{}}}", f64::from(*value) / 8.0),
                    _ => format!("{{\"key\":\"{key}\",\"s\":\"{value}\"}}"),
                });
                let fields: Vec<String> = tags.chain(fields).collect();
                format!("{{\"name\":\"{name}\",\"fields\":[{}],\"time\":\"{time}\"}}", fields.join(","))
            } else {
                let tags = tags.iter().map(|(key, value)| (format!("\"{key}\""), format!("\"{value}\"")));
                let fields = fields.iter().map(|(key, value)| (format!("\"{key}\""), value.to_string()));
                let (tags, fields) = (members(tags.collect()), members(fields.collect()));
                format!("{{\"measurement\":\"{name}\",\"tags\":{tags},\"fields\":{fields},\"time\":{time}}}")
            }
        },
    )
}

fn body() -> impl Strategy<Value = String> {
    let element = prop_oneof![4 => ordinary(), 3 => simple(), 3 => pbjson(), 1 => value()];
    proptest::collection::vec(element, 0..5).prop_map(|elements| format!(" [{} ]\n", elements.join(" , ")))
}

proptest! {
    #[test]
    fn all_readers_say_the_same(body in body()) {
        fuzz_differential(body.as_bytes());
    }

    #[test]
    fn all_readers_say_the_same_of_one_element(element in prop_oneof![simple(), pbjson()]) {
        fuzz_differential(format!("[{element}]").as_bytes());
    }

    #[test]
    fn all_readers_say_the_same_of_broken_bodies(
        body in body(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..4, any::<prop::sample::Index>()), 1..4),
    ) {
        let pieces: &[&[u8]] = &[
            b"\"", b"\\", b"{", b"}", b"[", b"]", b",", b":", b"0", b"-", b".", b"e", b"null", b"\xff", b"\xe4\xb8", b"\n",
            b"\x00", b"\\u", b"\\ud800", b" ", b"1e999", b"true", b"00", b"\"k\":1,", b"{},",
        ];
        let mut bytes = body.into_bytes();
        for (at, kind, what) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = pieces[what.index(pieces.len())][0],
                1 => drop(bytes.splice(at..at, pieces[what.index(pieces.len())].iter().copied())),
                2 => bytes.truncate(at.max(1)),
                _ => {
                    let end = (at + what.index(20)).min(bytes.len() - 1);
                    drop(bytes.splice(at..end, []));
                }
            }
        }
        fuzz_differential(&bytes);
    }
}
