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
    let second = [
        ("Content-Encoding", "snappy"),
        ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
    ];
    assert_eq!(documented().send("POST", PATH, &second, &snappy(b"")).reply.status, 415);
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
        for headers in [&HEADERS[..], &[]] {
            let status = documented().send("POST", PATH, headers, &bytes).reply.status;
            prop_assert!(matches!(status, 204 | 400 | 413), "{status}");
        }
    }
}
