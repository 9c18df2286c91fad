//! Profiles of every kind of client, good and bad: what is passed on, and what is answered.

use serde_json::{Value, json};

use super::form::Received;
use super::*;
use crate::http1::{HeadLimits, HeadOutcome, HeaderSlots, parse_head};
use crate::intake::{Compat, Options};
use crate::point::GlobalTags;

const NOW_NS: i64 = 1_700_000_000_000_000_000;

fn settings(change: impl FnOnce(&mut Options)) -> Settings {
    let mut options = Options { compat: Compat::Documented, ..Options::default() };
    options.host_tag_pairs = vec![("host".to_owned(), "gate-1".to_owned())];
    options.host_tags = GlobalTags::own([("host", "gate-1")]).unwrap();
    change(&mut options);
    Settings::new(options)
}

fn asked(target: &str, headers: &str, settings: &Settings) -> Result<Box<ProfilePlan>, Reply> {
    let request = format!("POST {target} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
    let mut slots = HeaderSlots::new();
    let Ok(HeadOutcome::Complete { head, .. }) =
        parse_head(request.as_bytes(), &mut slots, &HeadLimits::default())
    else {
        panic!("no head")
    };
    if let Some(reply) = refuse_early(&head, settings) {
        return Err(reply);
    }
    let (peer, clock) =
        (Peer::Ip([127, 0, 0, 1].into()), Clock { now_ns: NOW_NS, uptime: Default::default() });
    match route(&head, head.path.as_bytes(), &peer, &clock, settings) {
        Some(Action::Profile(plan)) => Ok(plan),
        Some(Action::Reply(reply)) => Err(reply),
        other => panic!("{other:?}"),
    }
}

fn sent(target: &str, headers: &str, body: &[u8], settings: &Settings) -> Result<Vec<Package>, Reply> {
    let plan = asked(target, headers, settings)?;
    plan.prepare(body, NOW_NS, settings).map_err(|fault| plan.refuse(&fault))
}

const FORM: &str = "Content-Type: multipart/form-data; boundary=b\r\n";

fn part(name: &str, file: Option<&str>, content: &[u8]) -> Vec<u8> {
    let file = file.map_or(String::new(), |file| format!("; filename=\"{file}\""));
    let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
    [head.as_bytes(), content, b"\r\n"].concat()
}

fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    [&parts.concat()[..], b"--b--\r\n"].concat()
}

fn event(tags: &str) -> Vec<u8> {
    let event = json!({ "version": "4", "family": "python", "tags_profiler": tags, "attachments": ["auto.pprof"],
        "start": "2026-11-21T23:16:52Z", "end": "2026-11-21T23:17:52Z", "endpoint_counts": { "GET /": 3 } });
    part("event", Some("event.json"), event.to_string().as_bytes())
}

/// The event in a package, and its files by name.
fn opened(package: &Package) -> (Value, Vec<(String, Vec<u8>)>) {
    let read = raw_package::RawPackage::read(&package.bytes).unwrap();
    assert_eq!(read.path, "/v1/upload/profiling");
    assert_eq!(package.body(), &package.bytes[read.body_at..]);
    let content_type = read.headers().find(|(name, _)| *name == "Content-Type").unwrap().1;
    let boundary = multipart::boundary(content_type).unwrap();
    let body = package.body();
    let received = Received::read(body, &boundary).unwrap();
    let files: Vec<_> =
        received.files().into_iter().map(|file| (file.file_name, body[file.at].to_vec())).collect();
    let known: Vec<_> =
        package.files().map(|(file, content)| (file.file_name.clone(), content.to_vec())).collect();
    assert_eq!(files, known);
    (serde_json::from_slice(received.event.unwrap()).unwrap(), files)
}

fn words(reply: &Reply) -> (u16, String) {
    (reply.status, String::from_utf8(reply.body.clone()).unwrap())
}

#[test]
fn an_upload_gets_the_tags_of_host_and_configuration() {
    let settings = settings(|options| {
        options.profiling.tags =
            vec![("team".to_owned(), "core".to_owned()), ("env".to_owned(), "prod".to_owned())];
    });
    let body = form(&[
        event("service:shop,env:test,runtime-id:1"),
        part("auto", Some("auto.pprof"), b"\x1f\x8b\0\xff\r\n"),
        part("note", None, b"x"),
    ]);
    let packages =
        sent(INPUT, &format!("{FORM}DD-EVP-ORIGIN: py\r\nConnection: close\r\n"), &body, &settings);
    let package = &packages.unwrap()[0];
    let (event, files) = opened(package);
    assert_eq!(event["tags_profiler"], "service:shop,env:prod,runtime-id:1,team:core,host:gate-1");
    assert_eq!((&event["language"], &event["format"]), (&json!("python"), &json!("pprof")));
    assert_eq!(event["attachments"], json!(["event", "auto"]));
    assert_eq!(event["endpoint_counts"]["GET /"], 3, "what else the client says stays");
    assert_eq!(files, [("auto.pprof".to_owned(), b"\x1f\x8b\0\xff\r\n".to_vec())]);
    let head = String::from_utf8_lossy(&package.bytes[..300]).into_owned();
    assert!(head.contains("DD-EVP-ORIGIN: py\r\n") && head.contains("X-Datakit-Version: "), "{head}");
    assert!(!head.contains("Connection") && !head.contains("Host:"), "{head}");
}

#[test]
fn what_needs_no_tags_passes_unchanged() {
    let settings = settings(|_| {});
    let body = form(&[event("host:h1,service:shop"), part("auto", Some("auto.pprof"), b"1")]);
    let packages = sent(INPUT, FORM, &body, &settings).unwrap();
    assert_eq!(packages[0].body(), body);
    opened(&packages[0]);
}

#[test]
fn old_clients_have_their_event_written_for_them() {
    let settings = settings(|_| {});
    let body = form(&[
        part("tags[]", None, b"service:shop"),
        part("tags[]", None, b"language:ruby"),
        part("recording-start", None, b"2026-11-21T23:16:52Z"),
        part("recording-end", None, b"2026-11-21T23:17:52Z"),
        part("data[0]", Some("cpu.pprof"), b"1"),
    ]);
    let (event, files) = opened(&sent(INPUT, FORM, &body, &settings).unwrap()[0]);
    assert_eq!(event["tags_profiler"], "service:shop,language:ruby,host:gate-1");
    assert_eq!((&event["language"], &event["start"]), (&json!("ruby"), &json!("2026-11-21T23:16:52Z")));
    assert_eq!(files[0].1, b"1");
}

#[test]
fn what_is_no_profile_is_refused_in_words() {
    let settings = settings(|_| {});
    let whole = form(&[event("service:a"), part("auto", Some("auto.pprof"), b"1")]);
    let no_event = form(&[part("auto", Some("auto.pprof"), b"1")]);
    let bad_event = form(&[part("event", Some("event.json"), b"{"), part("auto", Some("auto.pprof"), b"1")]);
    let no_file = form(&[event("service:a")]);
    for (headers, body, expected) in [
        (FORM, &b""[..], "incoming profiling request body is nil"),
        (FORM, b"garbage", "multipart: NextPart: EOF"),
        (FORM, &whole[..whole.len() - 9], "unexpected EOF"),
        ("Content-Type: text/plain\r\n", &whole, "request Content-Type isn't multipart/form-data"),
        ("Content-Type: multipart/form-data\r\n", &whole, "no multipart boundary param in Content-Type"),
        (FORM, &no_event, "the form does not say what its profile is of: neither event.json nor tags"),
        (FORM, &bad_event, "event.json: EOF while parsing an object at line 1 column 1"),
        (FORM, &no_file, "there is no profile in the form"),
    ] {
        let reply = sent(INPUT, headers, body, &settings).unwrap_err();
        let text = format!(
            "error code [unableToReadProfileBody], http code [400], err: unable to read profile body: {expected}"
        );
        assert_eq!(words(&reply), (400, text));
    }
    let gzip = format!("{FORM}Content-Encoding: gzip\r\n");
    assert_eq!(sent(INPUT, &gzip, b"no gzip", &settings).unwrap_err().status, 400);
    assert_eq!(sent(INPUT, &gzip, &crate::codec::compress::gzip(&whole), &settings).unwrap().len(), 1);
    let snappy = format!("{FORM}Content-Encoding: x-own\r\n");
    assert_eq!(sent(INPUT, &snappy, &whole, &settings).unwrap_err().status, 415);
}

#[test]
fn what_is_too_large_is_refused_by_its_head_as_recorded() {
    let settings = settings(|options| options.profiling.body_bytes_max = 1 << 20);
    let headers = format!("{FORM}Content-Length: {}\r\n", (1 << 20) + 1);
    let expected = "error code [unableToReadProfileBody:Http:RequestBodyTooLarge], http code [400], \
                    err: unable to read profile body: http: request body too large";
    let reply = asked(INPUT, &headers, &settings).unwrap_err();
    assert_eq!(words(&reply), (400, expected.to_owned()));
    assert_eq!(body_bytes_max(Method::Post, INPUT.as_bytes(), &settings), Some(1 << 20));
    let bomb = crate::codec::compress::gzip(&vec![0; 2 << 20]);
    let gzip = format!("{FORM}Content-Encoding: gzip\r\n");
    let settings = self::settings(|options| options.body_bytes_max = 1 << 20);
    assert_eq!(words(&sent(INPUT, &gzip, &bomb, &settings).unwrap_err()), (400, expected.to_owned()));
}

/// A profile of one sample with a label, two values and a time.
fn pprof(label: (&str, &str)) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8][..], bytes].concat();
    let mut profile = Vec::new();
    profile.extend(field(1, &[1 << 3, 1, 2 << 3, 2]));
    let own = field(3, &[1 << 3, 3, 2 << 3, 4]);
    profile.extend(field(2, &[&field(2, &[7])[..], &own].concat()));
    for text in ["", "cpu", "nanoseconds", label.0, label.1] {
        profile.extend(field(6, text.as_bytes()));
    }
    profile.extend([9 << 3]);
    crate::point::wire::put_varint(&mut profile, NOW_NS as u64);
    profile.extend([10 << 3]);
    crate::point::wire::put_varint(&mut profile, 15_000_000_000);
    profile
}

#[test]
fn pyroscope_agents_say_what_a_profile_is_of_in_the_query() {
    let settings = settings(|options| {
        options.profiling.pyroscope_tags = vec![("team".to_owned(), "core".to_owned())];
    });
    let body = crate::codec::compress::gzip(&pprof(("region", "eu")));
    let target = "/ingest?name=shop.web%7Benv%3Dtest%2Cversion%3D1%7D&from=1795303000&until=1795303010&format=pprof\
                  &spyName=pyspy&sampleRate=100&token=tkn_1234567890abcdef1234567890abcdef";
    let headers = "Content-Type: binary/octet-stream\r\nContent-Encoding: gzip\r\n";
    let packages = sent(target, headers, &body, &settings).unwrap();
    let (event, files) = opened(&packages[0]);
    assert_eq!(files, [("auto.pprof".to_owned(), body.clone())], "as it came, compressed");
    assert_eq!((&event["profiler"], &event["language"]), (&json!("pyroscope"), &json!("python")));
    assert_eq!(event["start"], "2026-11-21T23:16:40Z");
    assert_eq!(event["end"], "2026-11-21T23:16:50Z");
    let tags = event["tags_profiler"].as_str().unwrap();
    for tag in ["service:shop.web", "env:test", "version:1", "region:eu", "team:core", "host:gate-1"] {
        assert!(tags.split(',').any(|there| there == tag), "{tag} of {tags}");
    }
    assert!(!tags.contains("tkn_") && !tags.contains("token"), "{tags}");
    assert!(packages[0].route.token.is_some());
    let head = String::from_utf8_lossy(&packages[0].bytes[..200]).into_owned();
    assert!(!head.to_ascii_lowercase().contains("content-encoding"), "{head}");

    let bad = sent("/ingest?name=a&from=now", headers, &body, &settings).unwrap_err();
    assert_eq!(
        words(&bad).1,
        "error code [unableToReadProfileBody], http code [400], err: unable to read pyroscope body: \
         the parameter from is \"now\", and not a time"
    );
    let bad = sent("/ingest?name=a", "Content-Type: text/html\r\n", &body, &settings).unwrap_err();
    assert_eq!(bad.status, 400);
}

#[test]
fn a_time_at_the_end_of_all_numbers_is_no_trouble() {
    let settings = settings(|_| {});
    for until in [i64::MIN, i64::MIN / 1_000_000_000, -1, 0, i64::MAX] {
        let target = format!("/ingest?name=a&until={until}");
        let packages = sent(&target, "Content-Type: binary/octet-stream\r\n", b"pprof", &settings);
        assert_eq!(packages.unwrap().len(), 1, "{until}");
    }
}

#[test]
fn gos_forms_are_named_by_what_they_measure() {
    let settings = settings(|_| {});
    let body = form(&[
        part("profile", Some("profile.pprof"), b"1"),
        part("prev_profile", Some("prev.pprof"), b"2"),
        part("sample_type_config", Some("c.json"), br#"{"inuse_space":{"units":"bytes"}}"#),
    ]);
    let target = "/ingest?name=shop&from=1795303000&until=1795303010&spyName=gospy";
    let (event, files) = opened(&sent(target, FORM, &body, &settings).unwrap()[0]);
    assert_eq!(event["language"], "golang");
    assert_eq!(files[0], ("delta-heap.pprof".to_owned(), b"1".to_vec()));
    assert_eq!(files.len(), 3);
    let lines = form(&[part("other", Some("o"), b"1")]);
    assert_eq!(sent(target, FORM, &lines, &settings).unwrap_err().status, 400);
}

#[test]
fn pushes_hold_profiles_with_labels() {
    let settings = settings(|_| {});
    let profile = pprof(("span_id", "9"));
    let labels = json!([{ "name": "__name__", "value": "process_cpu" }, { "name": "service_name", "value": "shop" },
        { "name": "process.runtime.name", "value": "cpython" }, { "name": "env", "value": "test" }]);
    use base64::Engine as _;
    let raw = base64::engine::general_purpose::STANDARD.encode(&profile);
    let push = json!({ "series": [{ "labels": labels, "samples": [{ "rawProfile": raw, "ID": "1" }, { "rawProfile": raw }] }] });
    let json_type = "Content-Type: application/json\r\n";
    let packages = sent(PUSH, json_type, push.to_string().as_bytes(), &settings).unwrap();
    assert_eq!(packages.len(), 2);
    let (event, files) = opened(&packages[0]);
    assert_eq!(files, [("auto.pprof".to_owned(), profile)]);
    assert_eq!((&event["language"], &event["profiler"]), (&json!("python"), &json!("pyroscope")));
    assert_eq!(
        (&event["start"], &event["end"]),
        (&json!("2023-11-14T22:13:20Z"), &json!("2023-11-14T22:13:35Z"))
    );
    assert_eq!(
        event["tags_profiler"],
        "profile_type:process_cpu,process.runtime.name:cpython,env:test,service:shop,service_name:shop,host:gate-1"
    );
    for (headers, body, status, code) in [
        (json_type, "{", 400, "invalid_argument"),
        (json_type, r#"{"series":[{"samples":[{"rawProfile":"AA=="}]}]}"#, 400, "invalid_argument"),
        ("Content-Type: application/proto\r\n", "\u{1}\u{1}\u{1}", 400, "invalid_argument"),
        ("Content-Type: text/plain\r\n", "x", 415, "invalid_argument"),
    ] {
        let reply = sent(PUSH, headers, body.as_bytes(), &settings).unwrap_err();
        let (found, body) = words(&reply);
        let error: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((found, &error["code"]), (status, &json!(code)), "{body}");
    }
    let plan = asked(PUSH, "Content-Type: application/proto\r\n", &settings).unwrap();
    assert_eq!((plan.taken().status, plan.taken().body.len()), (200, 0));
    let busy = plan.refuse(&Fault::Busy { reason: "the gateway is busy", retry_after_s: 3 });
    assert_eq!(busy.status, 503);
    assert!(busy.headers.contains(&("Retry-After", "3".into())));
}

#[test]
fn garbage_in_every_dialect_is_refused_or_taken_and_never_more() {
    let settings = settings(|_| {});
    let whole = form(&[event("service:a"), part("auto", Some("auto.pprof"), &pprof(("a", "b")))]);
    let mut seed = 7u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let (mut good, mut bad) = (0, 0);
    for round in 0..3000 {
        let mut body = whole.clone();
        for _ in 0..=next() % 4 {
            let at = next() % body.len().max(1);
            match next() % 3 {
                0 if !body.is_empty() => body[at] = next() as u8,
                1 => body.truncate(at),
                _ => body.insert(at, next() as u8),
            }
        }
        let (target, headers) = match round % 4 {
            0 | 1 => (INPUT, FORM),
            2 => ("/ingest?name=a{b=c&spyName=gospy", FORM),
            _ => (PUSH, "Content-Type: application/proto\r\n"),
        };
        match sent(target, headers, &body, &settings) {
            Ok(packages) => good += packages.len(),
            Err(reply) => {
                assert_eq!(reply.status, 400);
                bad += 1;
            }
        }
    }
    assert!(good > 0 && bad > 0, "{good} {bad}");
}
