//! The fast way against the plain one, and what either must say.

use proptest::prelude::*;

use super::fuzz::{Meaning, Outcome, encode, fuzz_differential, meanings};
use super::*;
use crate::point::{Category, Compat, GlobalTags, Precision, rules};

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

/// Both ways, which must agree.
fn both(body: &[u8], rules: &Rules<'_>) -> Outcome {
    let mut buffer = body.to_vec();
    let body = Padded::pad(&mut buffer);
    let fast = encode(body, rules, usize::MAX, Encoder::encode_protobuf);
    let plain = encode(body, rules, usize::MAX, Encoder::encode_protobuf_plain);
    assert_eq!(fast, plain);
    fast
}

fn points(body: &[u8], rules: &Rules<'_>) -> Vec<Meaning> {
    both(body, rules).unwrap().0
}

fn error(body: &[u8]) -> String {
    let error = both(body, &recorded(Category::Network)).unwrap_err().to_string();
    assert_eq!(explain(body), error);
    error
}

/// How a value stands in the body.
#[derive(Clone, Debug)]
enum Shape {
    Value(Value<'static>),
    /// Tag mark before or behind the text: as Go writes it, and as we do.
    Tag(Vec<u8>, bool),
    NoValue,
    /// Two of them.
    Twice,
    TagFalse,
}

#[derive(Clone, Debug)]
struct Part {
    key: Vec<u8>,
    shape: Shape,
    unit: bool,
    unknown: bool,
}

fn put_part(part: &Part, out: &mut Vec<u8>) {
    wire::put_message(out, wire::POINT_FIELD, |out| {
        wire::put_bytes(out, wire::FIELD_KEY, &part.key);
        if part.unit {
            wire::put_uint(out, wire::FIELD_TYPE, 3);
            wire::put_bytes(out, wire::FIELD_UNIT, b"ms");
        }
        match &part.shape {
            Shape::Value(Value::Int(value)) => wire::put_uint(out, wire::FIELD_INT, *value as u64),
            Shape::Value(Value::Uint(value)) => wire::put_uint(out, wire::FIELD_UINT, *value),
            Shape::Value(Value::Float(value)) => wire::put_double(out, wire::FIELD_FLOAT, value.to_bits()),
            Shape::Value(Value::Bool(value)) => wire::put_uint(out, wire::FIELD_BOOL, u64::from(*value)),
            Shape::Value(Value::Str(value)) => wire::put_bytes(out, wire::FIELD_STR, value),
            Shape::Value(Value::Bytes(value)) => wire::put_bytes(out, wire::FIELD_BYTES, value),
            Shape::Value(Value::Any(value)) => wire::put_bytes(out, wire::FIELD_ANY, value),
            Shape::Value(Value::Nil) | Shape::NoValue => {}
            Shape::Tag(value, true) => {
                wire::put_uint(out, wire::FIELD_IS_TAG, 1);
                wire::put_bytes(out, wire::FIELD_STR, value);
            }
            Shape::Tag(value, false) => {
                wire::put_bytes(out, wire::FIELD_STR, value);
                wire::put_uint(out, wire::FIELD_IS_TAG, 1);
            }
            Shape::Twice => {
                wire::put_uint(out, wire::FIELD_INT, 1);
                wire::put_bytes(out, wire::FIELD_STR, b"last");
            }
            Shape::TagFalse => {
                wire::put_uint(out, wire::FIELD_IS_TAG, 0);
                wire::put_uint(out, wire::FIELD_INT, 1);
            }
        }
        if part.unknown {
            wire::put_uint(out, wire::tag(15, wire::VARINT), 7);
        }
    });
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => "[a-z]{1,12}".prop_map(String::into_bytes),
        2 => "[a-z]{14,18}".prop_map(String::into_bytes),
        2 => "[a-z]{30,35}".prop_map(String::into_bytes),
        1 => "[a-z]{126,131}".prop_map(String::into_bytes),
        1 => "[a-z]{254,258}".prop_map(String::into_bytes),
        1 => "[a-z]{1,3}\\.[a-z]{1,3}".prop_map(String::into_bytes),
        1 => Just(b"a\nb".to_vec()),
        1 => Just(b"b\\".to_vec()),
        1 => Just(b"\xff\xfe".to_vec()),
        1 => Just(Vec::new()),
        3 => prop::sample::select(vec!["host", "status", "source", "date", "name", "__orig_time", "zone"])
            .prop_map(|key| key.as_bytes().to_vec()),
    ]
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[a-z0-9]{0,20}".prop_map(String::into_bytes),
        1 => "[a-z]{30,35}".prop_map(String::into_bytes),
        1 => "[a-z]{100,140}".prop_map(String::into_bytes),
        1 => "[a-z]{1020,1030}".prop_map(String::into_bytes),
        1 => Just(b"a\nb".to_vec()),
        1 => Just(b"C:\\".to_vec()),
        1 => Just(b"\xc3\x28".to_vec()),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    let int = prop_oneof![any::<i64>(), -3i64..300, (0u32..64).prop_map(|shift| 1i64 << shift)];
    let mut array = Vec::new();
    pb::encode_array([PbValue::Int(1), PbValue::Str(b"x")], &mut array);
    prop_oneof![
        8 => int.prop_map(|value| Shape::Value(Value::Int(value))),
        3 => any::<u64>().prop_map(|value| Shape::Value(Value::Uint(value))),
        8 => any::<f64>().prop_map(|value| Shape::Value(Value::Float(value))),
        1 => Just(Shape::Value(Value::Float(f64::NEG_INFINITY))),
        3 => any::<bool>().prop_map(|value| Shape::Value(Value::Bool(value))),
        3 => text().prop_map(|value| Shape::Value(Value::Str(value.into()))),
        1 => text().prop_map(|value| Shape::Value(Value::Bytes(value.into()))),
        1 => Just(Shape::Value(Value::Any(array.into()))),
        10 => (text(), any::<bool>()).prop_map(|(value, before)| Shape::Tag(value, before)),
        1 => Just(Shape::NoValue),
        1 => Just(Shape::Twice),
        1 => Just(Shape::TagFalse),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    (key(), shape(), prop::bool::weighted(0.1), prop::bool::weighted(0.03))
        .prop_map(|(key, shape, unit, unknown)| Part { key, shape, unit, unknown })
}

/// What else may be odd about a point.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Oddity {
    None,
    TimeFirst,
    TwoTimes,
    UnknownField,
    Warns,
    UnknownInWarn,
    NameLast,
}

fn point() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        10 => "[a-z]{1,10}", 1 => "[a-z]{120,140}", 1 => "[a-z]{1020,1030}", 1 => Just(String::new()),
    ];
    let time = prop_oneof![
        2 => Just(0i64),
        3 => NOW - 3_600_000_000_000..NOW,
        1 => Just(1_700_000_000),
        1 => Just(-5),
        1 => Just(9_999_999_999),
        1 => any::<i64>(),
    ];
    let oddity = prop_oneof![
        12 => Just(Oddity::None), 1 => Just(Oddity::TimeFirst), 1 => Just(Oddity::TwoTimes),
        1 => Just(Oddity::UnknownField), 3 => Just(Oddity::Warns), 1 => Just(Oddity::UnknownInWarn),
        1 => Just(Oddity::NameLast),
    ];
    (name, proptest::collection::vec(part(), 0..7), time, oddity).prop_map(|(name, parts, time, oddity)| {
        let mut out = Vec::new();
        wire::put_message(&mut out, wire::POINTS_POINT, |out| {
            let mut parts: Vec<_> = parts.iter().collect();
            // Most points have no key twice.
            if parts.len() % 4 != 0 {
                parts.sort_by(|a, b| a.key.cmp(&b.key));
                parts.dedup_by(|a, b| a.key == b.key);
            }
            if oddity != Oddity::NameLast {
                wire::put_bytes(out, wire::POINT_NAME, name.as_bytes());
            }
            if matches!(oddity, Oddity::TimeFirst | Oddity::TwoTimes) {
                wire::put_uint(out, wire::POINT_TIME, time as u64);
            }
            parts.into_iter().for_each(|part| put_part(part, out));
            if oddity != Oddity::TimeFirst && time != 0 {
                wire::put_uint(out, wire::POINT_TIME, time as u64);
            }
            if oddity == Oddity::NameLast {
                wire::put_bytes(out, wire::POINT_NAME, name.as_bytes());
            }
            if oddity == Oddity::UnknownField {
                wire::put_bytes(out, wire::tag(9, wire::LEN), b"unknown");
            }
            if matches!(oddity, Oddity::Warns | Oddity::UnknownInWarn) {
                Warn::new("kind", "came along").encode(out);
                out.extend_from_slice(b"\x2a\x04\x0a\x02hi");
                Warn::new("second", "").encode(out);
            }
            if oddity == Oddity::UnknownInWarn {
                out.extend_from_slice(b"\x22\x02\x18\x01");
            }
        });
        out
    })
}

proptest! {
    #[test]
    fn both_ways_mean_the_same(
        points in proptest::collection::vec(point(), 1..6),
        category in prop::sample::select(Category::ALL.to_vec()),
        compat in prop::sample::select(vec![Compat::Documented, Compat::Datakit184]),
        precision in prop::sample::select(vec![Precision::Auto, Precision::Millis, Precision::Nanos]),
        feed in any::<bool>(),
        time_correction in any::<bool>(),
    ) {
        let tags = GlobalTags::new([("host", "gateway"), ("zone", "z"), ("status", "s")]).unwrap();
        let rules = Rules {
            category: rules(category, compat),
            precision,
            now_ns: NOW,
            added_tags: feed.then_some(&tags),
            time_correction,
            hook: None,
        };
        prop_assert_eq!(self::points(&points.concat(), &rules).len(), points.len());
    }

    #[test]
    fn damage_is_found_by_both_or_by_none(
        points in proptest::collection::vec(point(), 1..4),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..4),
    ) {
        let mut body = points.concat();
        for (at, byte, kind) in damage {
            if body.is_empty() {
                break;
            }
            let at = at.index(body.len());
            match kind {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ => body.truncate(at),
            }
        }
        fuzz_differential(&body);
    }

    #[test]
    fn garbage_is_taken_the_same_by_both(body in proptest::collection::vec(
        prop_oneof![0u8.., prop::sample::select(vec![0x0au8, 0x12, 0x18, 0x22, 0x2a, 1, 2, 3])], 0..80,
    )) {
        fuzz_differential(&body);
    }
}

/// The example of the specification, and a tag as Go writes it.
const POINT: &[u8] = b"\x0a\x1e\x0a\x01m\x12\x05\x0a\x01f\x10\x01\x12\x08\x0a\x01t@\x01Z\x01v\
    \x18\x80\x80\xa8\xb1\xe3\x9f\xe7\xcb\x17";

/// A point `m` of the given parts.
fn point_of(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_message(&mut out, wire::POINTS_POINT, |out| {
        wire::put_bytes(out, wire::POINT_NAME, b"m");
        parts.iter().for_each(|part| out.extend_from_slice(part));
    });
    out
}

fn field(members: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_bytes(&mut out, wire::POINT_FIELD, members);
    out
}

#[test]
fn an_ordinary_point_is_copied_as_it_is() {
    let mut buffer = POINT.repeat(3);
    let body = Padded::pad(&mut buffer);
    let (mut batch, mut at) = (Batch::default(), 0);
    let rules = recorded(Category::Metric);
    let warn = Encoder::default().encode_protobuf(body, &mut at, Stretch::WHOLE, &rules, &mut batch);
    assert_eq!((warn, at, batch.points), (Ok(None), 3 * POINT.len(), 3));
    // The frame of a short point is one byte long in the body and in the batch.
    assert_eq!(batch.bytes, POINT.repeat(3));
}

#[test]
fn what_is_added_stands_where_it_belongs() {
    let tags = GlobalTags::new([("host", "gateway"), ("t", "not this one")]).unwrap();
    let rules = Rules { added_tags: Some(&tags), time_correction: true, ..recorded(Category::Object) };
    let body = point_of(&[&field(b"\x0a\x01t@\x01Z\x01v"), b"\x18\x05", b"\x22\x06\x0a\x01t\x12\x01m"]);
    let points = points(&body, &rules);
    let keys = |wanted: &str| points[0].fields.iter().any(|field| field.contains(wanted));
    assert_eq!(points[0].time, NOW);
    assert_eq!(points[0].fields.len(), 4, "{:?}", points[0].fields);
    assert!(keys("Int(5000000000)"), "the time it had: {:?}", points[0].fields);
    assert!(points[0].warns[0].contains("[116]") && points[0].warns.len() == 2, "{:?}", points[0].warns);
}

#[test]
fn stretches_end_where_they_are_told_to() {
    let mut buffer = POINT.repeat(100);
    let body = Padded::pad(&mut buffer);
    let rules = recorded(Category::Metric);
    let mut encoder = Encoder::default();
    for stretch in [
        Stretch { budget: 5 * POINT_COST_BYTES, ..Stretch::WHOLE },
        Stretch { until: 4 * POINT.len() + 1, ..Stretch::WHOLE },
        Stretch { growth: 5 * POINT.len(), ..Stretch::WHOLE },
    ] {
        for encode in [Encoder::encode_protobuf, Encoder::encode_protobuf_plain] {
            let (mut batch, mut at) = (Batch::default(), 0);
            encode(&mut encoder, body, &mut at, stretch, &rules, &mut batch).unwrap();
            let points = batch.points as usize;
            // The plain way costs more of the budget.
            assert!(points == 5 || points == 1 && stretch.budget != usize::MAX, "{points} for {stretch:?}");
            assert_eq!(at, points * POINT.len());
            encode(&mut encoder, body, &mut at, Stretch { until: 0, ..stretch }, &rules, &mut batch).unwrap();
            assert_eq!(batch.points as usize, points + 1, "always one more");
        }
    }
}

#[test]
fn negative_times_are_scaled_and_others_resolved() {
    let time = |time: i64, precision| {
        let mut encoded = Vec::new();
        wire::put_uint(&mut encoded, wire::POINT_TIME, time as u64);
        let rules = Rules { precision, ..recorded(Category::Network) };
        let (points, warn) = both(&point_of(&[&encoded]), &rules).unwrap();
        (points[0].time, warn.map(|warn| warn.text()))
    };
    assert_eq!(time(-5, Precision::Auto), (-5_000_000_000, None));
    assert_eq!(time(-5, Precision::Nanos), (-5, None));
    assert_eq!(time(0, Precision::Auto), (NOW, None));
    assert_eq!(time(1_700_000_000, Precision::Auto), (1_700_000_000_000_000_000, None));
    for (given, precision) in [(i64::MIN, Precision::Auto), (i64::MAX, Precision::Millis)] {
        let text = format!("invalid_time: time {given} is out of range, use now");
        assert_eq!(time(given, precision), (NOW, Some(text)));
    }
}

#[test]
fn tags_that_are_no_strings_refuse_the_body() {
    for value in [&b"\x10\x05"[..], b"\x21\0\0\0\0\0\0\0\0", b"\x32\x01x", b""] {
        let members = [b"\x0a\x02t\"\x40\x01", value].concat();
        assert_eq!(error(&point_of(&[&field(&members)])), r#"tag "t\"" is not a string"#);
    }
}

#[test]
fn errors_have_the_texts_of_the_generated_code() {
    for (body, text) in [
        (&b"[{\"measurement\":\"m\"}]"[..], "unexpected EOF"),
        (b"\x0a\x20\x0a\x01m", "unexpected EOF"),
        (b"\x0a\x01m\x18\x01", "unexpected EOF"),
        (b"\x00\x01", "proto: PBPoints: illegal tag 0 (wire type 0)"),
        (b"\x0b\x0c", "proto: wrong wireType = 3 for field Arr"),
        (b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", "proto: integer overflow"),
        // Lengths of 2^32, 2^63 and 2^64 - 1.
        (b"\x0a\x80\x80\x80\x80\x10xx", "unexpected EOF"),
        (
            b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01x",
            "proto: negative length found during unmarshaling",
        ),
        (
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x",
            "proto: negative length found during unmarshaling",
        ),
        (b"\x0a\x08\x0a\x01m\x12\x80\x80\x80\x01", "unexpected EOF"),
        // The first error inside a point wins over a later one of its frames.
        (b"\x0a\x08\x12\x04\x08\x01\x08\x01\x0a\x7f", "proto: wrong wireType = 0 for field Key"),
    ] {
        assert_eq!(error(body), text, "{}", body.escape_ascii());
    }
    // Groups end, however deep, and need no stack.
    let groups = [vec![0x7b; 100_000], vec![0x7c; 100_000]].concat();
    assert_eq!(error(&groups), "proto: unexpected end of group");
    assert_eq!(points(b"\x7b\x7c", &recorded(Category::Network)), []);
}

#[test]
fn arrays_that_cannot_be_read_are_refused() {
    let any = |value: &[u8]| {
        let mut any = Vec::new();
        wire::put_bytes(&mut any, wire::ANY_TYPE_URL, wire::ARRAY_TYPE_URL.as_bytes());
        wire::put_bytes(&mut any, wire::ANY_VALUE, value);
        let mut members = b"\x0a\x01f".to_vec();
        wire::put_bytes(&mut members, wire::FIELD_ANY, &any);
        point_of(&[&field(&members)])
    };
    assert_eq!(points(&any(b"\x0a\x02\x08\x01"), &recorded(Category::Metric))[0].fields.len(), 1);
    assert_eq!(error(&any(b"\x0a\x7f\x08\x01")), "unexpected EOF");
    assert_eq!(error(&point_of(&[&field(b"\x0a\x01f\x3a\x02\x0a\x05")])), "unexpected EOF");
}

#[test]
fn limits_hold_and_are_reported_with_the_true_counts() {
    let body = |tags: usize, fields: usize| {
        let tags = (0..tags).map(|i| field(format!("\x0a\x05t{i:04}@\x01Z\x01v").as_bytes()));
        let fields = (0..fields).map(|i| field(format!("\x0a\x05f{i:04}\x10\x01").as_bytes()));
        let parts: Vec<Vec<u8>> = fields.chain(tags).collect();
        point_of(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
    };
    let rules = recorded(Category::Network);
    assert_eq!(points(&body(256, 1024), &rules)[0].fields.len(), 1280);
    let (points, warn) = both(&body(257, 1100), &rules).unwrap();
    assert_eq!(points[0].fields.len(), 1280);
    assert_eq!(points[0].warns.len(), 2);
    assert!(points[0].fields.iter().all(|field| !field.contains("[116, 48, 50, 53, 54]")), "t0256 is out");
    assert_eq!(
        warn.unwrap().text(),
        "exceed_max_fields: exceed max field count(1024), got 1100 fields, extra fields deleted"
    );
}

#[test]
fn two_points_keep_their_keys_apart_and_one_does_not() {
    let twice = point_of(&[&field(b"\x0a\x01f\x10\x01"), &field(b"\x0a\x01f\x10\x02")]);
    let once = point_of(&[&field(b"\x0a\x01f\x10\x01")]);
    let points = points(&[once.clone(), twice, once].concat(), &recorded(Category::Metric));
    let fields: Vec<usize> = points.iter().map(|point| point.fields.len()).collect();
    assert_eq!(fields, [1, 0, 1]);
}

/// What costs a client little must not cost us much: neither memory nor more than linear time.
#[test]
fn bodies_made_of_little_stay_small() {
    let rules = recorded(Category::Metric);
    for (body, points) in [
        (b"\x0a\x00".repeat(100_000), 100_000),
        (b"\x10\x01".repeat(200_000), 0),
        (point_of(&[&b"\x12\x00".repeat(200_000)]), 1),
        (point_of(&[&b"\x12\x04\x0a\x00\x10\x00".repeat(100_000)]), 1),
        (point_of(&[&b"\x22\x00".repeat(200_000)]), 1),
        (point_of(&[&b"\x2a\x00".repeat(200_000)]), 1),
        (point_of(&[&b"\x18\x01".repeat(200_000)]), 1),
    ] {
        let mut buffer = body.clone();
        let padded = Padded::pad(&mut buffer);
        let (mut batch, mut at, mut calls) = (Batch::default(), 0, 0);
        let mut encoder = Encoder::default();
        while at < padded.len() {
            // As the shard does it: the batch is given away when it has grown.
            let stretch = Stretch { budget: 128 << 10, growth: 64 << 10, ..Stretch::WHOLE };
            encoder.encode_protobuf(padded, &mut at, stretch, &rules, &mut batch).unwrap();
            calls += 1;
            if points > 1 {
                assert!(batch.bytes.len() < 65 << 10, "{}", batch.bytes.len());
                batch.bytes.clear();
            }
        }
        assert_eq!(batch.points, points);
        assert!(batch.bytes.len() <= body.len() + (256 << 10), "{} of {}", batch.bytes.len(), body.len());
        assert!(calls > 1 || points == 1);
    }
}

#[test]
fn what_a_point_brings_stays_as_it_is() {
    let tail = b"\x22\x06\x0a\x01t\x12\x01\xff\x2a\x04\x0a\x02hi\x22\x00";
    let body = point_of(&[&field(b"\x0a\x03\xff\xfeg\x10\x01"), b"\x18\x05", tail]);
    let (points, warn) = both(&body, &recorded(Category::Logging)).unwrap();
    assert_eq!(points[0].warns.len(), 3);
    assert_eq!(points[0].debugs, [b"hi"]);
    assert!(points[0].fields.iter().any(|field| field.contains("[255, 254, 103]")));
    assert_eq!(warn.unwrap().text(), "t: \u{fffd}");
    assert_eq!(meanings(&Batch { bytes: b"\x0a\x00".to_vec(), points: 1 }), []);
}
