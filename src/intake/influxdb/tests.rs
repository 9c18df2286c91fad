//! InfluxDB: lines, errors of both versions, garbage.

use super::*;
use crate::intake::testing::documented;
use proptest::prelude::*;

#[test]
fn lines_become_metrics() {
    for (target, time) in [
        ("/write?db=d", 1_700_000_000),
        ("/write?db=d&precision=u", 1_700_000_000_000),
        ("/api/v2/write?org=o&bucket=b&precision=us", 1_700_000_000_000),
        ("/write?precision=ms", 1_700_000_000_000_000),
        ("/api/v2/write?precision=s", 1_700_000_000_000_000_000),
    ] {
        let got = documented().post(target, "text/plain", b"cpu,dc=a\\,b n=3i,ok=True,u=1.5 1700000000\n");
        assert_eq!((got.reply.status, got.reply.body.len()), (204, 0), "{target}");
        let point = &got.points[0];
        assert_eq!((point.category, &*point.name, point.time), (Category::Metric, "cpu", time), "{target}");
        assert_eq!((point.tag("dc"), point.field("n"), point.field("ok")), ("a,b", "3i", "true"));
    }
    assert_eq!(documented().post("/write", "", b"").reply.status, 204);
    let many = b"m f=1i\n".repeat(100_000);
    assert_eq!(documented().post("/api/v2/write", "", &many).points.len(), 100_000);
}

#[test]
fn errors_have_the_versions_form() {
    let mut server = documented();
    let body = b"m f=1i\nm f=\n".repeat(3);
    let first = server.post("/write", "", &body);
    assert_eq!((first.reply.status, first.points.len()), (400, 0));
    let text: serde_json::Value = serde_json::from_slice(&first.reply.body).unwrap();
    assert!(text["error"].as_str().is_some_and(|text| !text.is_empty()));
    let second = server.post("/api/v2/write", "", &body);
    let text: serde_json::Value = serde_json::from_slice(&second.reply.body).unwrap();
    assert_eq!((second.reply.status, &text["code"]), (400, &"invalid".into()));
    assert_eq!(server.post("/write?precision=week", "", b"m f=1i").reply.status, 400);
    let busy = server.busy("POST", "/api/v2/write", &[]);
    assert_eq!(busy.status, 503);
    assert!(busy.headers.contains(&("Retry-After", "3".into())));
    assert_eq!(&*busy.body, br#"{"code":"unavailable","message":"the spool is full"}"#);
}

#[test]
fn clients_learn_that_it_is_there() {
    let mut server = documented();
    let ping = server.get("/ping").reply;
    assert_eq!(ping.status, 204);
    assert!(ping.headers.iter().any(|(name, _)| *name == "X-Influxdb-Version"));
    assert_eq!(server.get("/ping?verbose=true").reply.status, 200);
    let health: serde_json::Value = serde_json::from_slice(&server.get("/health").reply.body).unwrap();
    assert_eq!((&health["status"], &health["name"]), (&"pass".into(), &"influxdb".into()));
    assert_eq!(server.get("/write").reply.status, 404);
}

proptest! {
    #[test]
    fn garbage_is_refused_or_understood(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let got = documented().post("/write", "", &bytes);
        prop_assert!(matches!(got.reply.status, 204 | 400), "{}", got.reply.status);
        let error = got.reply.headers.iter().find(|(name, _)| *name == "X-Influxdb-Error");
        prop_assert!(error.is_none_or(|(_, text)| text.bytes().all(|byte| (b' '..0x7f).contains(&byte))));
    }
}
