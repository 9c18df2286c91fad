//! The three formats, on points that line protocol can make and on those it cannot.

use proptest::prelude::*;

use super::*;
use crate::buf::Padded;
use crate::codec::line_protocol::{Tape, parse};
use crate::point::draft::{DraftKv, Value, Warn};
use crate::point::encode::{Encoder, Rules};
use crate::point::{Batch, LIMITS_ONLY, Precision, pb, wire};

fn point(name: &str, time: i64, kvs: &[DraftKv<'_>], warns: &[Warn]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_message(&mut out, wire::POINTS_POINT, |out| {
        wire::put_bytes(out, wire::POINT_NAME, name.as_bytes());
        kvs.iter().for_each(|kv| kv.encode(out));
        wire::put_uint(out, wire::POINT_TIME, time as u64);
        warns.iter().for_each(|warn| warn.encode(out));
    });
    out
}

fn array(items: &[PbValue<'_>]) -> Value<'static> {
    let mut any = Vec::new();
    pb::encode_array(items.iter().copied(), &mut any);
    Value::Any(any.into())
}

fn field<'a>(key: &'a str, value: Value<'a>) -> DraftKv<'a> {
    DraftKv::field(key.as_bytes(), value)
}

fn tag<'a>(key: &'a str, value: &'a str) -> DraftKv<'a> {
    DraftKv::tag(key.as_bytes(), value.as_bytes())
}

fn lp(points: &[u8]) -> String {
    let mut out = Vec::new();
    line_protocol(points, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn json_text(points: &[u8]) -> Result<String, EchoError> {
    let mut out = Vec::new();
    json(points, &mut out).map(|()| String::from_utf8(out).unwrap())
}

fn pbjson_text(points: &[u8]) -> String {
    let mut out = Vec::new();
    pbjson(points, PbJsonStyle::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn every_kind_in_every_format() {
    let kvs = [
        field("z", Value::Int(-5)),
        field("u", Value::Uint(u64::MAX)),
        field("f", Value::Float(1e21)),
        field("b", Value::Bool(false)),
        field("s", Value::Str(b"a\"b\\c\n<".into())),
        field("d", Value::Bytes(b"hello".into())),
        field("a", array(&[PbValue::Str(b"x\"y"), PbValue::Str(b"z")])),
        field("empty", array(&[])),
        field("mixed", array(&[PbValue::Int(1), PbValue::Bool(true)])),
        field("nil", Value::Nil),
        tag("t 1", "v,=\\"),
        tag("none", ""),
    ];
    let points = point("m, x", 1_700_000_000_000_000_000, &kvs, &[Warn::new("kind", "why")]);
    assert_eq!(
        lp(&points),
        "m\\,\\ x,t\\ 1=v\\,\\=\\ a=[\"x\\\"y\",\"z\"],b=false,d=\"aGVsbG8=\"b,f=1000000000000000000000,\
         s=\"a\\\"b\\\\c\n<\",u=18446744073709551615u,z=-5i 1700000000000000000"
    );
    assert_eq!(
        json_text(&points).unwrap(),
        "[{\"measurement\":\"m, x\",\"tags\":{\"none\":\"\",\"t 1\":\"v,=\\\\\"},\"fields\":{\"a\":[\"x\\\"y\",\"z\"],\
         \"b\":false,\"d\":\"aGVsbG8=\",\"empty\":null,\"f\":1e+21,\"s\":\"a\\\"b\\\\c\\n\\u003c\",\
         \"u\":18446744073709551615,\"z\":-5},\"time\":1700000000000000000}]"
    );
    assert_eq!(
        pbjson_text(&points),
        "[{\"name\":\"m, x\",\"fields\":[{\"key\":\"z\",\"i\":\"-5\"},{\"key\":\"u\",\"u\":\"18446744073709551615\"},\
         {\"key\":\"f\",\"f\":1e+21},{\"key\":\"b\",\"b\":false},{\"key\":\"s\",\"s\":\"a\\\"b\\\\c\\n\\u003c\"},\
         {\"key\":\"d\",\"d\":\"aGVsbG8=\"},{\"key\":\"a\",\"a\":{\"@type\":\"type.googleapis.com/point.Array\",\
         \"arr\":[{\"s\":\"x\\\"y\"},{\"s\":\"z\"}]}},{\"key\":\"empty\",\"a\":{\"@type\":\
         \"type.googleapis.com/point.Array\"}},{\"key\":\"mixed\",\"a\":{\"@type\":\"type.googleapis.com/point.Array\",\
         \"arr\":[{\"i\":\"1\"},{\"b\":true}]}},{\"key\":\"nil\"},{\"key\":\"t 1\",\"s\":\"v,=\\\\\",\"is_tag\":true},\
         {\"key\":\"none\",\"s\":\"\",\"is_tag\":true}],\"time\":\"1700000000000000000\",\
         \"warns\":[{\"type\":\"kind\",\"message\":\"why\"}]}]"
    );
}

#[test]
fn points_without_a_line_are_empty_lines() {
    let good = point("m", 5, &[field("f", Value::Int(1))], &[]);
    let nan = point("m", 5, &[field("f", Value::Float(f64::NAN)), field("g", Value::Int(1))], &[]);
    let bare = point("m", 5, &[tag("t", "v")], &[]);
    let late = point("m", i64::MAX, &[field("f", Value::Int(1))], &[]);
    let points = [good.clone(), nan.clone(), bare, late, good].concat();
    assert_eq!(lp(&points), "m f=1i 5\n\n\n\nm f=1i 5");
    let error = json_text(&nan).unwrap_err();
    assert_eq!(
        error.to_string(),
        "json: error calling MarshalJSON for type *point.Point: json: unsupported value: NaN"
    );
    assert!(pbjson_text(&nan).contains("{\"key\":\"f\",\"f\":\"NaN\"}"));
}

#[test]
fn names_that_are_escaped_already_are_not_escaped_twice() {
    let points = point("a\\,b c\\=d", 5, &[field("f", Value::Int(1))], &[]);
    assert_eq!(lp(&points), "a\\,b\\ c\\=d f=1i 5");
}

#[test]
fn metric_types_and_units_are_named() {
    let kv = DraftKv { metric_type: 3, unit: b"kb".into(), ..field("f", Value::Uint(1)) };
    let odd = DraftKv { metric_type: 9, ..field("g", Value::Uint(1)) };
    assert_eq!(
        pbjson_text(&point("m", 0, &[kv, odd], &[])),
        "[{\"name\":\"m\",\"fields\":[{\"key\":\"f\",\"u\":\"1\",\"type\":\"GAUGE\",\"unit\":\"kb\"},\
         {\"key\":\"g\",\"u\":\"1\",\"type\":9}]}]"
    );
}

fn encode(text: &[u8]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    let body = Padded::pad(&mut bytes);
    let mut tape = Tape::default();
    parse(body, &mut tape).unwrap();
    assert_eq!((tape.lost_points, tape.lost_values), (0, 0));
    let rules = Rules {
        category: &LIMITS_ONLY,
        precision: Precision::Nanos,
        now_ns: 1,
        added_tags: None,
        time_correction: false,
        hook: None,
    };
    let mut batch = Batch::default();
    Encoder::default().encode(body, &tape, &rules, &mut batch);
    batch.bytes
}

proptest! {
    /// What the archive holds can be sent again.
    #[test]
    fn line_protocol_reads_back_as_the_same_points(
        name in "[a-z][a-z ,]{0,5}[a-z]",
        tags in proptest::collection::btree_map("[a-z][a-z ,=]{0,5}[a-z]", "[a-z][a-z ,=\\\\]{0,5}[a-z]", 0..4),
        strings in proptest::collection::btree_map("[A-Z][a-z ,=\"]{0,5}[a-z]", "[a-z \"\\\\\n,=]{0,8}", 0..4),
        ints in proptest::collection::vec(any::<i64>(), 1..4),
        floats in proptest::collection::vec(-1e300f64..1e300, 1..4),
        time in 1..i64::MAX,
    ) {
        // The format has no way to write a backslash before a byte that is escaped outside strings: `\\\\,` reads as
        // an escaped comma behind a backslash, and where the comma stands alone it ends the value.
        let writable = |mut text: String| {
            while let Some(at) = text.as_bytes().windows(2).position(|pair| pair[0] == b'\\' && b" ,=".contains(&pair[1])) {
                text.remove(at);
            }
            text
        };
        let tags: Vec<(String, String)> = tags.into_iter().map(|(key, value)| (key, writable(value))).collect();
        let mut kvs: Vec<DraftKv<'_>> = tags.iter().map(|(key, value)| tag(key, value)).collect();
        kvs.extend(strings.iter().map(|(key, value)| field(key, Value::Str(value.as_bytes().into()))));
        kvs.push(field("0ints", array(&ints.iter().copied().map(PbValue::Int).collect::<Vec<_>>())));
        kvs.push(field("0floats", array(&floats.iter().copied().map(PbValue::Float).collect::<Vec<_>>())));
        kvs.push(field("0float", Value::Float(floats[0])));
        let points = point(&name, time, &kvs, &[]);
        let line = lp(&points);
        let again = encode(line.as_bytes());
        prop_assert_eq!(json_text(&points).unwrap(), json_text(&again).unwrap(), "{}", line);
    }
}
