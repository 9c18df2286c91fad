//! The fast path against the general one, over generated bodies.

use std::cell::RefCell;

use proptest::prelude::*;

use super::*;
use crate::point::pb::{self, PbValue};
use crate::point::{Category, Compat, rules};

const NOW: i64 = 1_800_000_000_000_000_000;

/// What a point says, without the order of its fields.
#[derive(Debug, PartialEq)]
struct Meaning {
    name: Vec<u8>,
    time: i64,
    fields: Vec<String>,
    warns: Vec<String>,
}

fn meaning(batch: &Batch) -> Vec<Meaning> {
    let points: Vec<Meaning> = pb::points(&batch.bytes)
        .map(|point| {
            let point = point.unwrap();
            let mut fields: Vec<String> =
                point.fields().map(|field| format!("{:?}", field.unwrap())).collect();
            fields.sort();
            let mut warns: Vec<String> = point.warns().map(|warn| format!("{:?}", warn.unwrap())).collect();
            warns.sort();
            Meaning { name: point.name.to_vec(), time: point.time, fields, warns }
        })
        .collect();
    assert_eq!(points.len(), batch.points as usize);
    points
}

fn encode_both(body: &str, rules: &Rules<'_>) -> (Vec<Meaning>, Vec<Meaning>) {
    let mut bytes = body.as_bytes().to_vec();
    let body = Padded::pad(&mut bytes);
    let mut tape = Tape::default();
    crate::codec::line_protocol::parse(body, &mut tape).unwrap();
    let mut encoder = Encoder::default();
    // Something is there already, as in an open block, and the capacity is tight.
    let mut fast = Batch { bytes: b"\x0a\x00".to_vec(), points: 1 };
    let mut general = Batch { bytes: b"\x0a\x00".to_vec(), points: 1 };
    let fast_warn = encoder.encode(body, &tape, rules, &mut fast);
    let all = 0..tape.points.len();
    let general_warn = encoder.encode_general(body, &tape, all, rules, &mut general);
    assert_eq!(fast_warn, general_warn);
    (meaning(&fast), meaning(&general))
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z]{1,12}",
        1 => "[a-z]{30,35}",
        1 => "[a-z]{250,260}",
        2 => "[a-z]{1,3}\\.[a-z]{1,3}",
        1 => "[a-z]{1,3}_[a-z]{1,3}",
        1 => Just("a\\ b".to_owned()),
        1 => Just("a\\\nb".to_owned()),
        1 => Just("x\\y".to_owned()),
        3 => prop::sample::select(vec!["host", "status", "source", "date", "class", "name", "__orig_time", "zone"])
            .prop_map(str::to_owned),
    ]
}

fn tag_value() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z0-9]{1,20}",
        1 => "[a-z]{30,70}",
        1 => "[a-z]{1020,1030}",
        1 => Just("C:\\dir".to_owned()),
        1 => Just("a\\\nb".to_owned()),
        1 => Just("世界".to_owned()),
    ]
}

fn field_value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<i64>().prop_map(|value| format!("{value}i")),
        2 => (0i64..1000).prop_map(|value| format!("{value}i")),
        2 => any::<u64>().prop_map(|value| format!("{value}u")),
        4 => (0u32..100_000).prop_map(|value| format!("{}", f64::from(value) / 8.0)),
        1 => Just("true".to_owned()),
        2 => "[a-z .\\n]{0,40}".prop_map(|value| format!("\"{value}\"")),
        1 => "[a-z]{100,200}".prop_map(|value| format!("\"{value}\\\\\"")),
        1 => Just("\"aGVsbG8=\"b".to_owned()),
        1 => Just("[1i,2i]".to_owned()),
        1 => Just("[\"a\",\"b\\\"c\"]".to_owned()),
    ]
}

fn line() -> impl Strategy<Value = String> {
    let tags = proptest::collection::btree_map(key(), tag_value(), 0..5);
    let fields = proptest::collection::vec((key(), field_value()), 1..8);
    let time = prop_oneof![
        2 => Just(String::new()),
        2 => Just(" 1700000000".to_owned()),
        2 => (NOW - 3_600_000_000_000..NOW).prop_map(|time| format!(" {time}")),
        1 => Just(" 9999999999".to_owned()),
        1 => Just(" -5".to_owned()),
    ];
    let name = prop_oneof![8 => "[a-z]{1,10}", 1 => "[a-z]{60,70}", 1 => "[a-z]{1020,1030}"];
    (name, tags, fields, time).prop_map(|(mut line, tags, fields, time)| {
        for (key, value) in tags {
            line.push_str(&format!(",{key}={value}"));
        }
        let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{line} {}{time}", fields.join(","))
    })
}

proptest! {
    #[test]
    fn both_paths_mean_the_same(
        lines in proptest::collection::vec(line(), 1..6),
        category in prop::sample::select(Category::ALL.to_vec()),
        compat in prop::sample::select(vec![Compat::Documented, Compat::Datakit184]),
        feed in any::<bool>(),
        time_correction in any::<bool>(),
    ) {
        let tags = GlobalTags::new([("host", "gateway"), ("zone", "z"), ("status", "s")]).unwrap();
        let rules = Rules {
            category: rules(category, compat),
            precision: Precision::Auto,
            now_ns: NOW,
            added_tags: feed.then_some(&tags),
            time_correction,
            hook: None,
        };
        let (fast, general) = encode_both(&lines.join("\n"), &rules);
        prop_assert_eq!(&fast, &general);
        // A hook that keeps everything changes nothing.
        let keeper = Watcher::default();
        let (met, _) = encode_both(&lines.join("\n"), &Rules { hook: Some(&keeper), ..rules });
        prop_assert_eq!(met, general);
    }
}

/// Drops points with the key `drop`, and notes what it met.
#[derive(Debug, Default)]
struct Watcher(RefCell<Vec<String>>);

impl Hook for Watcher {
    fn meet(&self, point: &mut Draft<'_>, pass: &mut dyn FnMut(&mut Draft<'_>)) {
        let mut keys: Vec<String> =
            point.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect();
        keys.sort();
        self.0.borrow_mut().push(format!("{} at {}", keys.join(" "), point.time));
        if !keys.contains(&"drop".to_owned()) {
            pass(point);
        }
    }
}

#[test]
fn a_hook_meets_every_point_of_every_format_whole_and_at_its_own_time() {
    let tags = GlobalTags::new([("host", "gateway"), ("zone", "z")]).unwrap();
    let old = NOW - 3 * 3_600_000_000_000;
    let lines = format!("a,host=own f=1i {old}\na drop=1i {NOW}\na,k=v f=1i {NOW}\n");
    let simple = format!(
        "[{{\"measurement\":\"a\",\"tags\":{{\"host\":\"own\"}},\"fields\":{{\"f\":1}},\"time\":{old}}},\
         {{\"measurement\":\"a\",\"fields\":{{\"drop\":1}},\"time\":{NOW}}},\
         {{\"name\":\"a\",\"fields\":[{{\"key\":\"k\",\"s\":\"v\",\"is_tag\":true}},{{\"key\":\"f\",\"i\":1}}],\"time\":{NOW}}}]"
    );
    let mut protobuf = Vec::new();
    for (kvs, time) in [
        (vec![DraftKv::tag(&b"host"[..], &b"own"[..]), DraftKv::field(&b"f"[..], Value::Int(1))], old),
        (vec![DraftKv::field(&b"drop"[..], Value::Int(1))], NOW),
        (vec![DraftKv::tag(&b"k"[..], &b"v"[..]), DraftKv::field(&b"f"[..], Value::Int(1))], NOW),
    ] {
        crate::point::wire::put_message(&mut protobuf, crate::point::wire::POINTS_POINT, |out| {
            crate::point::wire::put_bytes(out, crate::point::wire::POINT_NAME, b"a");
            kvs.iter().for_each(|kv| kv.encode(out));
            crate::point::wire::put_uint(out, crate::point::wire::POINT_TIME, time as u64);
        });
    }
    for (format, body) in
        [("lines", lines.into_bytes()), ("JSON", simple.into_bytes()), ("protobuf", protobuf)]
    {
        let watcher = Watcher::default();
        let rules = Rules {
            added_tags: Some(&tags),
            time_correction: true,
            hook: Some(&watcher),
            ..recorded(Category::Logging)
        };
        let mut bytes = body;
        let body = Padded::pad(&mut bytes);
        let (mut encoder, mut batch) = (Encoder::default(), Batch::default());
        match format {
            "lines" => {
                let mut tape = Tape::default();
                crate::codec::line_protocol::parse(body, &mut tape).unwrap();
                encoder.encode(body, &tape, &rules, &mut batch);
            }
            "JSON" => {
                let mut at = JsonAt::default();
                encoder.encode_json(body, &mut at, Stretch::WHOLE, &rules, &mut batch).unwrap();
                assert!(at.is_done());
            }
            _ => {
                let mut at = 0;
                encoder.encode_protobuf(body, &mut at, Stretch::WHOLE, &rules, &mut batch).unwrap();
                assert_eq!(at, body.len());
            }
        }
        let expected = [
            format!("f host status zone at {old}"),
            format!("drop host status zone at {NOW}"),
            format!("f host k status zone at {NOW}"),
        ];
        assert_eq!(*watcher.0.borrow(), expected, "{format}");
        let written = meaning(&batch);
        assert_eq!(written.len(), 2, "{format}");
        assert_eq!(written[0].time, NOW, "{format}: corrected afterwards");
        assert!(
            written[0]
                .fields
                .iter()
                .any(|field| field.contains("__orig_time") || field.contains("95, 95, 111"))
        );
        assert_eq!((written[0].fields.len(), written[1].fields.len()), (5, 5), "{format}");
    }
}

/// The rules of a category as recorded, with nothing added by feeding.
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

#[test]
fn many_points_cross_every_growth_of_the_block() {
    let body: String = (0..3000)
        .map(|i| format!("cpu,host=h{i},region=eu usage={}.5,count={i}i,big={}i\n", i % 100, i64::MIN + i))
        .collect();
    let (fast, general) = encode_both(&body, &recorded(Category::Metric));
    assert_eq!(fast.len(), 3001);
    assert!(fast == general);
}

#[test]
fn a_point_at_each_limit_and_just_past_it() {
    for (tags, fields) in [(256, 1024), (257, 1), (1, 1025)] {
        let tags: String = (0..tags).map(|i| format!(",t{i}=v")).collect();
        let fields: Vec<String> = (0..fields).map(|i| format!("f{i}=1i")).collect();
        let body = format!("m{tags} {}", fields.join(","));
        let (fast, general) = encode_both(&body, &recorded(Category::Network));
        assert_eq!(fast, general);
        assert!(fast[1].fields.len() <= 256 + 1024);
    }
}

#[test]
fn logging_without_a_status_takes_the_default_and_says_so() {
    let rules = recorded(Category::Logging);
    let mut bytes = b"nginx,host=a message=\"hello\" 1700000000".to_vec();
    let body = Padded::pad(&mut bytes);
    let mut tape = Tape::default();
    crate::codec::line_protocol::parse(body, &mut tape).unwrap();
    let mut batch = Batch::default();
    let warn = Encoder::default().encode(body, &tape, &rules, &mut batch).unwrap();
    assert_eq!(warn.text(), "add_required_kv: add required key-value \"status\": \"info\"");
    let point = pb::points(&batch.bytes).next().unwrap().unwrap();
    let status = point.fields().map(Result::unwrap).find(|field| field.key == b"status").unwrap();
    assert_eq!((status.value, status.is_tag), (PbValue::Str(b"info"), false));
    assert_eq!(point.warns().count(), 1);
}
