//! Heads to plans, and the two ways to decode a body against each other.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::buf::Padded;
use crate::http1::{HeadLimits, HeadOutcome, HeaderSlots, parse_head};
use crate::intake::{Action, Clock, Options, Peer};
use crate::metrics::scripts::ScriptStats;
use crate::pipeline::category::Category as Scripted;
use crate::pipeline::store::{Namespace, Sources, Store};
use crate::pipeline::vm::Host;
use crate::point::{Batch, pb};

const NOW: i64 = 1_800_000_000_000_000_000;

fn settings() -> Settings {
    let host_tags = GlobalTags::new([("host", "gateway")]).unwrap();
    Settings::new(Options { host_tags, body_bytes_max: 300_000, ..Options::default() })
}

fn planned(target: &str, headers: &str, settings: &Settings) -> Result<WritePlan, Reply> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
    let mut slots = HeaderSlots::new();
    let HeadOutcome::Complete { head, .. } =
        parse_head(head.as_bytes(), &mut slots, &HeadLimits::default()).unwrap()
    else {
        panic!("a partial head");
    };
    let clock = Clock { now_ns: NOW, uptime: Duration::from_secs(1) };
    match crate::intake::route(&head, &Peer::Unix, &clock, settings) {
        Action::Write(plan) => Ok(*plan),
        Action::Reply(reply) => Err(reply),
        Action::Raw(_) | Action::Profile(_) | Action::Aside(_) | Action::Convert(_) => panic!("a page"),
    }
}

fn plan_of(target: &str) -> WritePlan {
    planned(target, "", &settings()).unwrap()
}

fn code(reply: &Reply) -> String {
    let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    body["error_code"].as_str().unwrap().to_owned()
}

/// In one go, or in steps where that is too much.
fn decoded(plan: &WritePlan, body: &[u8], settings: &Settings) -> (Result<Written, Reply>, Batch) {
    let mut bytes = body.to_vec();
    let mut batch = Batch::default();
    let mut scratch = Scratch::default();
    match decode(plan, Padded::pad(&mut bytes), NOW, settings, &mut scratch, &mut batch) {
        Ok(Decoded::Written(written)) => (Ok(written), batch),
        Ok(Decoded::InSteps) => {
            assert!(batch.is_empty() && batch.bytes.is_empty());
            match sliced(plan, body, settings, STEP_BYTES) {
                Ok((written, all)) => (Ok(written), all),
                Err(reply) => (Err(reply), batch),
            }
        }
        Ok(Decoded::Unresolved(_)) => panic!("nothing is to be resolved"),
        Err(error) => (Err(plan.refuse(&error)), batch),
    }
}

#[test]
fn switches_are_on_with_any_value_and_off_with_none() {
    for value in ["1", "false", "0", "x"] {
        assert!(plan_of(&format!("/v1/write/metric?dry={value}")).dry);
        assert!(plan_of(&format!("/v1/write/metric?strict={value}")).strict);
        assert_eq!(plan_of(&format!("/v1/write/metric?ignore_global_tags={value}")).tags, TagSet::None);
    }
    let off = plan_of("/v1/write/metric?dry=&strict&ignore_global_host_tags=&echo=&precision=&ack=");
    assert!(!off.dry && !off.strict && off.echo.is_none());
    assert_eq!((off.tags, off.precision, off.ack), (TagSet::Host, Precision::Auto, Ack::Disk));
    let election = plan_of("/v1/write/metric?ignore_global_tags=1&global_election_tags=0");
    assert_eq!(election.tags, TagSet::Election);
}

#[test]
fn the_first_of_repeated_parameters_counts() {
    assert_eq!(plan_of("/v1/write/metric?echo=json&echo=lp").echo, Some(Echo::Json));
    assert_eq!(plan_of("/v1/write/metric?echo=&echo=lp").echo, None);
    assert_eq!(plan_of("/v1/write/metric?echo=what&echo_json=1").echo, None);
    assert_eq!(plan_of("/v1/write/metric?echo_json=1&echo_line_proto=1").echo, Some(Echo::LineProtocol));
}

#[test]
fn labels_are_kept_and_cut_and_the_storage_index_is_for_logging() {
    let plan = plan_of("/v1/write/logging?storage_index=my%20index&input=a+b&source=nginx&version=1.2");
    assert_eq!(plan.route.storage_index.as_deref(), Some("my index"));
    assert_eq!(plan.input.as_deref(), Some("a b"));
    assert_eq!((plan.source.as_deref(), plan.version.as_deref()), (Some("nginx"), Some("1.2")));
    assert!(plan_of("/v1/write/metric?storage_index=x").route.is_default());
    let long = "世".repeat(100);
    let escaped: String = long.bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert_eq!(plan_of(&format!("/v1/write/logging?input={escaped}")).input.unwrap().len(), 255);
}

#[test]
fn profiling_is_a_category_of_the_document_only() {
    assert_eq!(plan_of("/v1/write/profiling").category, Category::Profiling);
    let recorded = Settings::new(Options { compat: Compat::Datakit184, ..Options::default() });
    assert_eq!(code(&planned("/v1/write/profiling", "", &recorded).unwrap_err()), "datakit.invalidCategory");
    assert_eq!(plan_of("/v1/write/%6detric").category, Category::Metric);
}

#[test]
fn the_level_can_be_asked_for() {
    let settings = settings();
    for (word, ack) in [("memory", Ack::Memory), ("disk", Ack::Disk), ("upstream", Ack::Upstream)] {
        let plan = plan_of(&format!("/v1/write/metric?ack={word}"));
        assert_eq!(plan.ack, ack);
        let reply = plan.reply(Written::default());
        assert!(reply.headers(&settings.envelope).contains(&("X-Kitgate-Ack", word.into())));
    }
    assert_eq!(code(&planned("/v1/write/metric?ack=Disk", "", &settings).unwrap_err()), "datakit.badRequest");
    let dry = plan_of("/v1/write/metric?ack=memory&dry=1").reply(Written::default());
    assert_eq!(dry.ack, None);
}

#[test]
fn content_types_choose_the_format() {
    let settings = settings();
    let format = |value: &str| {
        planned("/v1/write/metric", &format!("Content-Type: {value}\r\n"), &settings).unwrap().format
    };
    assert_eq!(format("x-application/jsonp"), BodyFormat::Json);
    assert_eq!(format("application/pbjson; proto=com.guance.Point"), BodyFormat::Json);
    assert_eq!(format("application/pbjson"), BodyFormat::LineProtocol);
    assert_eq!(format("application/protobuf; proto=com.guance.Point"), BodyFormat::Protobuf);
    assert_eq!(format("application/protobuf"), BodyFormat::LineProtocol);
    for (value, body, expected) in [
        ("application/json", "{}", "datakit.invalidJsonPoint"),
        ("application/json", "[]", "datakit.noPoints"),
        ("application/protobuf; proto=com.guance.Point", "[]", "datakit.invalidProtobufPoint"),
    ] {
        let plan = planned("/v1/write/metric", &format!("Content-Type: {value}\r\n"), &settings).unwrap();
        let (result, batch) = decoded(&plan, body.as_bytes(), &settings);
        assert_eq!(code(&result.unwrap_err()), expected);
        assert!(batch.is_empty());
    }
}

#[test]
fn a_bomb_is_refused_with_413_and_costs_the_cap() {
    let settings = settings();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&b"m f=1i\n".repeat(100_000)).unwrap();
    let bomb = encoder.finish().unwrap();
    let plan = plan_of("/v1/write/metric?encoding=gzip");
    let (result, batch) = decoded(&plan, &bomb, &settings);
    let reply = result.unwrap_err();
    assert_eq!((reply.status, code(&reply)), (413, "kitgate.bodyTooLarge".to_owned()));
    assert!(batch.is_empty());
    assert_eq!(sliced(&plan, &bomb, &settings, 1000).unwrap_err(), reply);
}

#[test]
fn an_echo_is_given_up_to_its_limit() {
    let settings = Settings::new(Options::default());
    let body = b"m f=1i\n".repeat((8 << 20) / 7 + 1);
    let (result, _) = decoded(&plan_of("/v1/write/metric?echo=lp"), &body, &settings);
    assert_eq!(result.unwrap_err().status, 413);
    assert!(decoded(&plan_of("/v1/write/metric?dry=1"), &body, &settings).0.is_ok());
    let (result, batch) =
        decoded(&plan_of("/v1/write/metric?echo=lp&dry=1"), &body[..7 * 150_000], &settings);
    assert_eq!(result.unwrap().points, 150_000);
    assert!(batch.is_empty());
}

/// A small body can hold more than one go should do, in points or under its compression.
#[test]
fn a_body_that_grows_is_taken_in_steps() {
    let settings = Settings::new(Options::default());
    let mut scratch = Scratch::default();
    let tiny = b"m f=1i\n".repeat(30_000);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&b"cpu,host=a usage=1.5 1700000000\n".repeat(10_000)).unwrap();
    let packed = encoder.finish().unwrap();
    for (query, body, points) in [("", tiny, 30_000), ("?encoding=gzip", packed, 10_000)] {
        let plan = plan_of(&format!("/v1/write/metric{query}"));
        let mut batch = Batch { bytes: b"\x0a\x00".to_vec(), points: 1 };
        let mut padded = body.clone();
        let result = decode(&plan, Padded::pad(&mut padded), NOW, &settings, &mut scratch, &mut batch);
        assert_eq!((result, &batch.bytes[..], batch.points), (Ok(Decoded::InSteps), &b"\x0a\x00"[..], 1));
        assert_eq!(decoded(&plan, &body, &settings).1.points, points);
    }
}

#[test]
fn a_value_that_cannot_be_decoded_refuses_the_body() {
    let settings = settings();
    let body = b"m f=\"!\"b\nm f=1i";
    let (result, batch) = decoded(&plan_of("/v1/write/metric"), body, &settings);
    assert_eq!(code(&result.unwrap_err()), "datakit.invalidLinePoint");
    assert!(batch.is_empty() && batch.bytes.is_empty());
    let mixed = b"m f=[1u,2i]";
    assert!(decoded(&plan_of("/v1/write/metric"), mixed, &settings).0.is_ok());
    let (result, _) = decoded(&plan_of("/v1/write/metric?strict=1"), mixed, &settings);
    assert_eq!(code(&result.unwrap_err()), "datakit.invalidLinePoint");
}

/// Decodes in steps; the result has all points in one batch.
fn sliced(
    plan: &WritePlan,
    body: &[u8],
    settings: &Settings,
    step: usize,
) -> Result<(Written, Batch), Reply> {
    let mut body = body.to_vec();
    let body = Padded::pad(&mut body);
    let mut scratch = Scratch::default();
    let mut decoder = Decoder::with_step(plan, settings, NOW, step);
    loop {
        match decoder.step(plan, body, settings, &mut scratch) {
            Ok(Step::More) => {}
            Ok(Step::Done(written)) => {
                let mut all = Batch::default();
                for batch in decoder.into_batches() {
                    assert!(batch.points > 0 && pb::points(&batch.bytes).count() == batch.points as usize);
                    all.bytes.extend_from_slice(&batch.bytes);
                    all.points += batch.points;
                }
                return Ok((written, all));
            }
            Err(Stop::Refused(error)) => return Err(plan.refuse(&error)),
            Err(Stop::Bad) => return Err(plan.refuse(&decoder.explain(&body))),
            Err(Stop::TooMuch) => panic!("batches have room"),
            Err(Stop::Unresolved(_)) => panic!("nothing is to be resolved"),
        }
    }
}

#[test]
fn a_big_body_comes_in_batches_below_the_size_of_a_commit() {
    let settings = Settings::new(Options::default());
    let plan = plan_of("/v1/write/metric");
    let mut body =
        [b"m f=1i\n".repeat(50_000), b"cpu,host=a usage=1.5,count=5i 1700000000\n".repeat(50_000)].concat();
    let body = Padded::pad(&mut body);
    let mut scratch = Scratch::default();
    let mut decoder = Decoder::new(&plan, &settings, NOW);
    let mut steps = 0;
    let written = loop {
        steps += 1;
        if let Step::Done(written) = decoder.step(&plan, body, &settings, &mut scratch).unwrap() {
            break written;
        }
    };
    assert_eq!((written.points, steps), (100_000, 2 + body.len() / STEP_BYTES));
    let batches = decoder.into_batches();
    assert!(batches.len() > 3);
    assert!(batches.iter().all(|batch| batch.bytes.len() < 1 << 20 && batch.bytes.capacity() < 2 << 20));
    assert_eq!(batches.iter().map(|batch| batch.points).sum::<u32>(), 100_000);
}

/// Where some points have scripts: what has none is decoded as if there were no scripts, and what has is done in steps.
#[test]
fn a_body_is_decoded_in_one_go_as_far_as_scripts_let_it() {
    struct Still;
    impl Host for Still {
        fn now_ns(&self) -> i64 {
            NOW
        }
    }
    let settings = Settings::new(Options::default());
    settings.scripts.set_host(Arc::new(Still));
    let mut sources = Sources::default();
    sources.add(Namespace::Default, Scripted::Logging, "shop.p", "add_key(met, 1)");
    settings.scripts.replace(Store::build(&sources, None, &|_, _, _| Arc::<ScriptStats>::default()));
    let plan = plan_of("/v1/write/logging");
    let json = |name: &str, points| {
        let point = format!(r#"{{"measurement":"{name}","fields":{{"message":"{}"}}}}"#, "a".repeat(80));
        format!("[{}]", vec![point; points].join(","))
    };
    let lines = |name: &str, points| format!("{name} message=\"{}\"\n", "a".repeat(80)).repeat(points);
    let json_plan = planned("/v1/write/logging", "Content-Type: application/json\r\n", &settings).unwrap();
    for (plan, body, scripted, in_one_go) in [
        (&plan, lines("other", 2000), 0, true),
        (&plan, lines("shop", 200), 200, true),
        (&plan, lines("shop", 1000), 1000, false),
        (&plan, lines("other", 1000) + &lines("shop", 1000), 1000, false),
        (&plan, lines("other", 1800) + &lines("shop", 50), 50, true),
        (&json_plan, json("other", 2000), 0, true),
        (&json_plan, json("shop", 200), 200, true),
        (&json_plan, json("shop", 1000), 1000, false),
    ] {
        let (mut bytes, mut batch) = (body.clone().into_bytes(), Batch::default());
        let mut scratch = Scratch::default();
        let whole = decode(plan, Padded::pad(&mut bytes), NOW, &settings, &mut scratch, &mut batch).unwrap();
        assert_eq!(whole != Decoded::InSteps, in_one_go, "{scripted} of {}", body.len());
        for step in [1 << 10, STEP_BYTES] {
            let (written, points) = sliced(plan, body.as_bytes(), &settings, step).unwrap();
            assert_eq!(written.scripted, scripted);
            let met =
                pb::points(&points.bytes).filter(|p| p.unwrap().fields().any(|f| f.unwrap().key == b"met"));
            assert_eq!(met.count() as u64, scripted);
            if let Decoded::Written(whole) = &whole {
                assert_eq!((whole, &batch.bytes), (&written, &points.bytes));
            }
        }
    }
}

/// The browser SDK sends JSON as text, which spares it a preflight.
#[test]
fn json_under_the_name_of_text_is_read_where_browsers_send_it() {
    let body = br#" [{"measurement":"view","tags":{"app_id":"a"},"fields":{"f":1}}]"#;
    for (category, compat, read) in [
        ("rum", Compat::Documented, true),
        ("logging", Compat::Documented, true),
        ("metric", Compat::Documented, false),
        ("rum", Compat::Datakit184, false),
    ] {
        let settings = Settings::new(Options { compat, ..Options::default() });
        let target = format!("/v1/write/{category}");
        let plan = planned(&target, "Content-Type: text/plain;charset=UTF-8\r\n", &settings).unwrap();
        let (result, batch) = decoded(&plan, body, &settings);
        assert_eq!((result.is_ok(), batch.points), (read, u32::from(read)), "{category} {compat:?}");
        assert_eq!(sliced(&plan, body, &settings, 10).is_ok(), read);
        let (bad, _) = decoded(&plan, b"[{]", &settings);
        let expected = if read { "datakit.invalidJsonPoint" } else { "datakit.invalidLinePoint" };
        assert_eq!(code(&bad.unwrap_err()), expected);
    }
}

/// A batch that the last point filled left an empty one behind, whose ticket nobody answered.
#[test]
fn a_point_that_fills_a_batch_leaves_no_empty_one() {
    let settings = Settings::new(Options::default());
    let text = "x".repeat(BATCH_BYTES);
    let json = format!("[{{\"fields\":{{\"text\":\"{text}\"}}}}]");
    let line = format!("m text=\"{text}\"\n# the end");
    for (headers, body) in [("Content-Type: application/json\r\n", json), ("", line)] {
        let plan = planned("/v1/write/logging", headers, &settings).unwrap();
        let (written, all) = sliced(&plan, body.as_bytes(), &settings, 1000).unwrap();
        assert_eq!((written.points, all.points), (1, 1));
    }
}

proptest! {
    #[test]
    fn steps_give_what_one_go_gives(
        lines in proptest::collection::vec(
            prop_oneof![
                8 => "[a-z]{1,4}(,t=[a-z]{1,3})? f=[0-9]{1,4}i( 17[0-9]{8})?",
                2 => "m s=\"[a-z\n ]{0,9}\"",
                1 => Just("# comment".to_owned()),
                1 => Just("m f=\"!\"b".to_owned()),
                1 => Just("bad".to_owned()),
            ],
            1..30,
        ),
        step in 1usize..400,
        query in prop::sample::select(vec!["", "?strict=1", "?echo=pbjson", "?echo=lp&dry=1", "?strict=1&echo=json"]),
        category in prop::sample::select(vec!["metric", "logging", "network"]),
        gzip in any::<bool>(),
        good in any::<bool>(),
    ) {
        let settings = settings();
        let headers = if gzip { "Content-Encoding: gzip\r\n" } else { "" };
        let plan = planned(&format!("/v1/write/{category}{query}"), headers, &settings).unwrap();
        let lines: Vec<String> =
            lines.into_iter().filter(|line| !good || !(line == "bad" || line.contains('!'))).collect();
        let mut body = lines.join("\n").into_bytes();
        if gzip {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&body).unwrap();
            body = encoder.finish().unwrap();
        }
        let (whole, batch) = decoded(&plan, &body, &settings);
        match (whole, sliced(&plan, &body, &settings, step)) {
            (Ok(whole), Ok((written, all))) => {
                prop_assert_eq!(whole, written);
                prop_assert_eq!(batch.bytes, all.bytes);
                prop_assert_eq!(batch.points, all.points);
            }
            (Err(whole), Err(reply)) => prop_assert_eq!(whole, reply),
            (whole, sliced) => prop_assert!(false, "{:?} but {:?}", whole, sliced),
        }
    }
}
