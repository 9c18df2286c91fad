//! Remote write: samples, answers, damage.

use super::*;
use crate::intake::testing::{documented, mutilate, recorded};
use crate::point::wire;
use proptest::prelude::*;

fn series(labels: &[(&str, &str)], samples: &[(f64, i64)]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_message(&mut out, wire::tag(1, wire::LEN), |out| {
        for (name, value) in labels {
            wire::put_message(out, wire::tag(1, wire::LEN), |out| {
                wire::put_bytes(out, wire::tag(1, wire::LEN), name.as_bytes());
                wire::put_bytes(out, wire::tag(2, wire::LEN), value.as_bytes());
            });
        }
        for (value, time) in samples {
            wire::put_message(out, wire::tag(2, wire::LEN), |out| {
                wire::put_double(out, wire::tag(1, wire::FIXED64), value.to_bits());
                wire::put_uint(out, wire::tag(2, wire::VARINT), *time as u64);
            });
        }
    });
    out
}

fn snappy(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).unwrap()
}

const HEADERS: [(&str, &str); 2] =
    [("Content-Encoding", "snappy"), ("Content-Type", "application/x-protobuf")];

const PATH: &str = "/prom_remote_write";

#[test]
fn samples_become_points() {
    let mut body =
        series(&[("__name__", "http_requests_total"), ("job", "api")], &[(3.0, 1_700_000_000_123), (4.5, 0)]);
    body.extend(series(&[("__name__", "up")], &[(f64::NAN, 5)]));
    body.extend(series(&[("__name__", "up")], &[(0.0, 1_700_000_000_000)]));
    let got = documented().send("POST", "/prom_remote_write?cluster=c1&token=", &HEADERS, &snappy(&body));
    assert_eq!((got.reply.status, got.points.len()), (204, 3));
    let first = &got.points[0];
    assert_eq!(
        (first.category, &*first.name, first.time),
        (Category::Metric, "http", 1_700_000_000_123_000_000)
    );
    assert_eq!(first.field("requests_total"), "3f");
    assert_eq!((first.tag("job"), first.tag("cluster"), first.tag("token")), ("api", "c1", "-"));
    assert_eq!(got.points[1].time, crate::intake::testing::NOW_NS);
    assert_eq!((&*got.points[2].name, got.points[2].field("up")), ("up", "0f"));
}

#[test]
fn histograms_have_count_and_sum() {
    let mut body = Vec::new();
    wire::put_message(&mut body, wire::tag(1, wire::LEN), |out| {
        wire::put_bytes(out, wire::tag(1, wire::LEN), b"\x0a\x08__name__\x12\x07rpc_lat");
        wire::put_message(out, wire::tag(4, wire::LEN), |out| {
            wire::put_uint(out, wire::tag(1, wire::VARINT), 7);
            wire::put_double(out, wire::tag(3, wire::FIXED64), 2.5f64.to_bits());
            wire::put_uint(out, wire::tag(15, wire::VARINT), 9);
        });
    });
    let got = documented().send("POST", PATH, &HEADERS, &snappy(&body));
    let point = &got.points[0];
    assert_eq!((point.field("lat_count"), point.field("lat_sum"), point.time), ("7f", "2.5f", 9_000_000));
}

const SECOND_HEADERS: [(&str, &str); 3] = [
    ("Content-Encoding", "snappy"),
    ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
    ("X-Prometheus-Remote-Write-Version", "2.0.0"),
];

/// A series: places of labels, samples, and the sum of a histogram.
type Series<'a> = (&'a [u64], &'a [(f64, i64)], Option<f64>);

/// A request of version 2, with these symbols.
fn second(symbols: &[&str], series: &[Series<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (places, samples, histogram) in series {
        wire::put_message(&mut out, wire::tag(5, wire::LEN), |out| {
            let mut packed = Vec::new();
            places.iter().for_each(|place| wire::put_varint(&mut packed, *place));
            wire::put_bytes(out, wire::tag(1, wire::LEN), &packed);
            for (value, time) in *samples {
                wire::put_message(out, wire::tag(2, wire::LEN), |out| {
                    wire::put_double(out, wire::tag(1, wire::FIXED64), value.to_bits());
                    wire::put_uint(out, wire::tag(2, wire::VARINT), *time as u64);
                    wire::put_uint(out, wire::tag(3, wire::VARINT), 1);
                });
            }
            if let Some(sum) = histogram {
                wire::put_message(out, wire::tag(3, wire::LEN), |out| {
                    wire::put_double(out, wire::tag(2, wire::FIXED64), 4.0f64.to_bits());
                    wire::put_double(out, wire::tag(3, wire::FIXED64), sum.to_bits());
                    wire::put_uint(out, wire::tag(15, wire::VARINT), 9);
                });
            }
            // An exemplar, metadata, and when the series began.
            wire::put_bytes(out, wire::tag(4, wire::LEN), b"");
            wire::put_bytes(out, wire::tag(5, wire::LEN), b"\x08\x01");
            wire::put_uint(out, wire::tag(6, wire::VARINT), 7);
        });
    }
    // Texts may stand behind what names them.
    symbols.iter().for_each(|symbol| wire::put_bytes(&mut out, wire::tag(4, wire::LEN), symbol.as_bytes()));
    out
}

#[test]
fn version_two_has_its_texts_in_a_table() {
    let symbols = ["", "__name__", "http_requests_total", "job", "api", "rpc_lat"];
    let body = second(
        &symbols,
        &[
            (&[1, 2, 3, 4], &[(3.0, 1_700_000_000_123), (f64::NAN, 1_700_000_000_124)], None),
            (&[1, 5, 3, 4], &[], Some(2.5)),
        ],
    );
    let got = documented().send("POST", PATH, &SECOND_HEADERS, &snappy(&body));
    assert_eq!((got.reply.status, got.points.len()), (204, 2));
    let first = &got.points[0];
    assert_eq!((&*first.name, first.field("requests_total"), first.tag("job")), ("http", "3f", "api"));
    assert_eq!(first.time, 1_700_000_000_123_000_000);
    let second = &got.points[1];
    assert_eq!((second.field("lat_count"), second.field("lat_sum"), second.time), ("4f", "2.5f", 9_000_000));
    for (name, count) in [("Samples", "2"), ("Histograms", "1"), ("Exemplars", "0")] {
        let header = format!("X-Prometheus-Remote-Write-{name}-Written");
        let found = got.reply.headers.iter().find(|(there, _)| *there == header);
        assert_eq!(found.map(|(_, value)| &**value), Some(count), "{name}");
    }
}

#[test]
fn version_two_trusts_no_place() {
    let symbols = ["", "__name__", "a_b"];
    for (symbols, places) in [
        (&symbols[..], &[1, 3][..]),
        (&symbols, &[1, u64::MAX]),
        (&symbols, &[1]),
        (&symbols, &[]),
        (&symbols[1..], &[0, 1]),
    ] {
        let body = second(symbols, &[(places, &[(1.0, 1)], None)]);
        let got = documented().send("POST", PATH, &SECOND_HEADERS, &snappy(&body));
        assert_eq!((got.reply.status, got.points.len()), (400, 0), "{places:?}");
    }
    let good = second(&symbols, &[(&[1, 2], &[(1.0, 1)], Some(1.0))]);
    mutilate(&mut documented(), PATH, &SECOND_HEADERS[1..], &good, &[204, 400]);
    // A body of the other version is another message: nothing that is known is in it, or it is refused.
    let first = series(&[("__name__", "a_b")], &[(1.0, 1)]);
    assert!(documented().send("POST", PATH, &SECOND_HEADERS, &snappy(&first)).points.is_empty());
}

#[test]
fn names_are_parted_at_the_first_underscore() {
    for (metric, measurement, field) in [
        ("a_b_c", "a", "b_c"),
        ("up", "up", "up"),
        ("_up", "up", "up"),
        ("_a_b", "a", "b"),
        ("a_", "a_", "a_"),
    ] {
        assert_eq!(names(metric.as_bytes()), (measurement.as_bytes(), field.as_bytes()), "{metric}");
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let nameless = snappy(&series(&[("job", "x")], &[(1.0, 1)]));
    for body in [&b"no snappy"[..], &snappy(b"x"), &nameless] {
        let got = documented().send("POST", PATH, &HEADERS, body);
        assert_eq!((got.reply.status, got.points.len()), (400, 0), "{body:?}");
        assert!(got.reply.body.starts_with(b"{\"error\":"));
    }
    let third = [
        ("Content-Encoding", "snappy"),
        ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v3.Request"),
    ];
    assert_eq!(documented().send("POST", PATH, &third, &snappy(b"")).reply.status, 415);
    let first = [third[0], ("Content-Type", "application/x-protobuf; proto=prometheus.WriteRequest")];
    assert_eq!(documented().send("POST", PATH, &first, &snappy(b"")).reply.status, 204);
    // Recorded: nothing is said to be wrong. A good request is taken in either case.
    assert_eq!(documented().send("POST", PATH, &[], b"x").reply.status, 400);
    assert_eq!(recorded().send("POST", PATH, &[], b"x").reply.status, 204);
    let plain = series(&[("__name__", "a_b")], &[(1.0, 1)]);
    assert_eq!(recorded().send("POST", PATH, &[], &plain).points.len(), 1);
    let busy = documented().busy("POST", PATH, &HEADERS);
    assert_eq!((busy.status, &busy.headers[..]), (503, &[("Retry-After", "3".into())][..]));
    mutilate(&mut documented(), PATH, &[], &plain, &[204, 400]);
    mutilate(&mut documented(), PATH, &HEADERS, &snappy(&plain), &[204, 400, 413]);
}

proptest! {
    #[test]
    fn garbage_is_refused_or_understood(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for headers in [&HEADERS[..], &SECOND_HEADERS, &SECOND_HEADERS[1..], &[]] {
            let status = documented().send("POST", PATH, headers, &bytes).reply.status;
            prop_assert!(matches!(status, 204 | 400 | 413), "{status}");
        }
    }
}
