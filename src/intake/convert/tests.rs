//! The seam: batches, bounds, compressed bodies, faults.

use super::*;
use crate::http1::{HeadLimits, HeadOutcome, HeaderSlots, parse_head};
use crate::intake::Options;

/// Takes every byte for a point; says how many there were.
#[derive(Debug)]
struct Bytes;

impl Convert for Bytes {
    fn convert(&self, body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<Reply, Fault> {
        let tags = GlobalTags::default();
        for byte in body.iter() {
            if *byte == b'!' {
                return Err(Fault::malformed("an exclamation"));
            }
            let category = if *byte == b'l' { Category::Logging } else { Category::Metric };
            let mut point = Builder::new(cx.tape, &body);
            point.int_field(b"byte", i64::from(*byte));
            point.finish(b"bytes", 1);
            cx.flush(category, Precision::Nanos, &tags, body)?;
        }
        cx.filtered(Category::Metric, 1);
        cx.filtered(Category::Metric, 2);
        Ok(Reply::empty(204))
    }

    fn refuse(&self, fault: &Fault) -> Reply {
        fault.with_retry(Reply::empty(fault.status()))
    }
}

fn plan(encoding: BodyEncoding) -> ConvertPlan {
    ConvertPlan {
        api: 0,
        encoding,
        route: Route::default(),
        ack: Ack::Disk,
        cors: Cors::Any,
        job: Box::new(Bytes),
    }
}

fn convert(encoding: BodyEncoding, body: &[u8], reach: usize) -> Result<Option<Converted>, Fault> {
    let settings = Settings::new(Options { body_bytes_max: 1 << 16, ..Options::default() });
    let mut body = body.to_vec();
    let reach = Reach { body_bytes_max: reach, ..Reach::WHOLE };
    let done = run(&plan(encoding), Padded::pad(&mut body), 5, &settings, &mut Scratch::default(), reach)?;
    Ok(done.map(|(_, converted)| converted))
}

#[test]
fn points_come_out_by_category() {
    let converted = convert(BodyEncoding::Identity, b"alblc", 100).unwrap().unwrap();
    let counts: Vec<(Category, u32)> =
        converted.batches.iter().map(|(category, batch)| (*category, batch.points)).collect();
    assert_eq!(counts, [(Category::Metric, 3), (Category::Logging, 2)]);
    assert_eq!((converted.points(), converted.filtered), (5, vec![(Category::Metric, 3)]));
    assert_eq!(
        convert(BodyEncoding::Identity, b"ab!", 100).unwrap_err(),
        Fault::Malformed("an exclamation".to_owned())
    );
}

#[test]
fn large_bodies_become_batches_of_a_size() {
    let converted = convert(BodyEncoding::Identity, &vec![b'a'; 4_000], 1).unwrap().unwrap();
    assert_eq!((converted.batches.len(), converted.points()), (1, 4_000));
    // Sixty-four thousand points are more than twice the bytes that a body may have.
    assert!(matches!(
        convert(BodyEncoding::Identity, &vec![b'a'; 64_000], 1),
        Err(Fault::TooLarge(limit)) if limit == 2 << 16
    ));
}

#[test]
fn what_becomes_too_much_is_left_for_another_call() {
    let settings = Settings::new(Options::default());
    let mut body = vec![b'a'; 4_000];
    let body = Padded::pad(&mut body);
    let (plan, mut scratch) = (plan(BodyEncoding::Identity), Scratch::default());
    let mut run = |points_bytes_max| {
        let reach = Reach { points_bytes_max, ..Reach::WHOLE };
        run(&plan, body, 5, &settings, &mut scratch, reach).unwrap().map(|(_, converted)| converted.points())
    };
    assert_eq!(run(1_000), None);
    assert_eq!(run(1_000_000), Some(4_000));
}

#[test]
fn compressed_bodies_have_bounds() {
    let snappy = |len: usize| snap::raw::Encoder::new().compress_vec(&vec![b'a'; len]).unwrap();
    let points =
        |encoding, body: &[u8], reach| convert(encoding, body, reach).map(|done| done.map(|c| c.points()));
    assert_eq!(points(BodyEncoding::Snappy, &snappy(900), 1_000), Ok(Some(900)));
    assert_eq!(points(BodyEncoding::Snappy, &snappy(1_900), 1_000), Ok(None));
    assert_eq!(points(BodyEncoding::Snappy, &snappy(70_000), 1_000), Err(Fault::TooLarge(1 << 16)));
    for bad in [&b"\xff\xff\x03a"[..], b"\xff", b"\x05aa", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"] {
        assert!(
            matches!(
                points(BodyEncoding::Snappy, bad, 1 << 20),
                Err(Fault::Malformed(_) | Fault::TooLarge(_))
            ),
            "{bad:?}"
        );
    }
    let gzip = |bytes: &[u8]| {
        let mut out = Vec::new();
        crate::codec::compress::Gzip::default().compress(bytes, &mut out).unwrap();
        out
    };
    let coded = BodyEncoding::Coded(Encoding::Gzip);
    assert_eq!(points(coded, &gzip(b"abc"), 1_000), Ok(Some(3)));
    assert_eq!(points(coded, &gzip(&vec![b'a'; 2_000]), 1_000), Ok(None));
    assert!(matches!(points(coded, &gzip(&vec![b'a'; 70_000]), 1 << 20), Err(Fault::TooLarge(_))));
    assert!(matches!(points(coded, b"no gzip", 1_000), Err(Fault::Malformed(_))));
    assert_eq!(points(coded, b"", 1_000), Ok(Some(0)));
    assert!(matches!(points(BodyEncoding::Unknown, b"a", 1_000), Err(Fault::Unsupported(_))));
}

#[test]
fn encodings_are_named_without_case() {
    for (value, expected) in [
        ("", BodyEncoding::Identity),
        ("identity", BodyEncoding::Identity),
        ("GZIP", BodyEncoding::Coded(Encoding::Gzip)),
        ("zstd", BodyEncoding::Coded(Encoding::Zstd)),
        (" snappy ", BodyEncoding::Snappy),
        ("compress", BodyEncoding::Unknown),
    ] {
        let text = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: {value}\r\n\r\n");
        let mut slots = HeaderSlots::new();
        let parsed = parse_head(text.as_bytes(), &mut slots, &HeadLimits::default());
        let Ok(HeadOutcome::Complete { head, .. }) = parsed else { panic!("no head") };
        assert_eq!(BodyEncoding::of(&head), expected, "{value:?}");
    }
}

#[test]
fn a_fault_has_a_status_and_says_when_to_come_again() {
    let busy = Fault::Busy { reason: "full", retry_after_s: 3 };
    assert_eq!(Bytes.refuse(&busy).headers, [("Retry-After", "3".into())]);
    for (fault, status) in [
        (busy, 503),
        (Fault::TooLarge(1), 413),
        (Fault::malformed("x"), 400),
        (Fault::Unsupported("y".into()), 415),
    ] {
        assert_eq!(fault.status(), status);
        assert!(!fault.text().is_empty());
    }
}
