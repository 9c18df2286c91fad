//! Points of every format on their way through the decoder, with archives and without.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::buf::Padded;
use crate::http1::{HeadLimits, HeadOutcome, HeaderSlots, parse_head};
use crate::intake::datakit::write::{Decoded, Decoder, Scratch, Step, Stop, WritePlan, decode};
use crate::intake::{Action, Clock, Options, Peer, Settings};
use crate::point::GlobalTags;

const NOW: i64 = 1_800_000_000_000_000_000;
const STACK_TEXT: &str = "Error: x\n  at f @ http://h/a.js:1:4";

fn settings(archives: &[(Platform, &str)]) -> Settings {
    let host_tags = GlobalTags::new([("host", "gateway")]).unwrap();
    let settings = Settings::new(Options { host_tags, ..Options::default() });
    let archives = archives.iter().map(|(platform, name)| ((*platform, Box::from(*name)), 1));
    settings.sources.publish(archives.collect());
    settings
}

fn web() -> Settings {
    settings(&[(Platform::Web, "app-prod-1.zip")])
}

fn plan(query: &str, content_type: &str, settings: &Settings) -> WritePlan {
    let head =
        format!("POST /v1/write/rum{query} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n\r\n");
    let mut slots = HeaderSlots::new();
    let HeadOutcome::Complete { head, .. } =
        parse_head(head.as_bytes(), &mut slots, &HeadLimits::default()).unwrap()
    else {
        panic!("a partial head");
    };
    let clock = Clock { now_ns: NOW, uptime: Duration::from_secs(1) };
    match crate::intake::route(&head, &Peer::Unix, &clock, settings) {
        Action::Write(plan) => *plan,
        action => panic!("{action:?}"),
    }
}

/// An error of a browser, as a line.
fn line(app_id: &str, more: &str) -> String {
    format!(
        "error,sdk_name=df_web_rum_sdk,app_id={app_id},env=prod,version=1 error_stack=\"{STACK_TEXT}\"{more} {NOW}\n"
    )
}

fn once(plan: &WritePlan, body: &[u8], settings: &Settings) -> (Decoded, Batch) {
    let (mut body, mut batch) = (body.to_vec(), Batch::default());
    let decoded = decode(plan, Padded::pad(&mut body), NOW, settings, &mut Scratch::default(), &mut batch);
    (decoded.unwrap(), batch)
}

/// Decodes twice: the questions of the first time are all answered the same.
fn answered(plan: &mut WritePlan, body: &[u8], settings: &Settings) -> (Vec<Question>, Batch) {
    let (Decoded::Unresolved(questions), batch) = once(plan, body, settings) else {
        panic!("nothing is asked")
    };
    assert!(batch.is_empty() && batch.bytes.is_empty(), "the batch is as it was");
    let answers = Arc::new(Answers::default());
    for question in &questions {
        answers.put(question.key, answer(b"resolved"));
    }
    plan.answers = Some(answers);
    let (Decoded::Written(written), batch) = once(plan, body, settings) else { panic!("asked twice") };
    assert_eq!(batch.points, if plan.dry { 0 } else { written.points });
    (questions, batch)
}

/// The resolved stack of each point.
fn resolved(batch: &Batch) -> Vec<Option<String>> {
    let of = |point: PbPoint<'_>| {
        let mut found = point.fields().map(Result::unwrap).filter(|field| field.key == RESOLVED.as_bytes());
        let field = found.next()?;
        assert!(found.next().is_none() && !field.is_tag, "one field");
        let PbValue::Str(text) = field.value else { panic!("{field:?}") };
        Some(String::from_utf8(STANDARD.decode(text).unwrap()).unwrap())
    };
    pb::points(&batch.bytes).map(|point| of(point.unwrap())).collect()
}

fn yes() -> Option<String> {
    Some("resolved".to_owned())
}

#[test]
fn without_archives_nothing_is_looked_at() {
    let settings = settings(&[]);
    assert!(settings.sources.is_empty());
    let plan = plan("", "text/plain", &settings);
    let (decoded, batch) = once(&plan, line("app", "").as_bytes(), &settings);
    assert!(matches!(decoded, Decoded::Written(_)));
    assert_eq!(resolved(&batch), [None]);
}

#[test]
fn errors_of_known_applications_are_asked_about() {
    let settings = web();
    let mut plan = plan("", "text/plain", &settings);
    let view =
        format!("view,sdk_name=df_web_rum_sdk,app_id=app,env=prod,version=1 error_stack=\"x\" {NOW}\n");
    let body = [view.clone(), line("app", ""), line("other", ""), line("app", ",n=1i"), view].concat();
    let (questions, batch) = answered(&mut plan, body.as_bytes(), &settings);
    assert_eq!(questions.len(), 1, "the same stack is asked about once");
    let question = &questions[0];
    assert_eq!((question.platform, &*question.archive), (Platform::Web, "app-prod-1.zip"));
    assert_eq!((&*question.stack, &*question.error_type), (STACK_TEXT.as_bytes(), &b""[..]));
    assert_eq!(resolved(&batch), [None, yes(), None, yes(), None]);
    // All else is as it would be without.
    let (_, plain) = once(&plan, body.as_bytes(), &self::settings(&[]));
    let strip = |batch: &Batch| -> Vec<Vec<String>> {
        let fields = |point: PbPoint<'_>| {
            let all = point.fields().map(Result::unwrap);
            all.filter(|field| field.key != RESOLVED.as_bytes()).map(|field| format!("{field:?}")).collect()
        };
        pb::points(&batch.bytes).map(|point| fields(point.unwrap())).collect()
    };
    assert_eq!(strip(&batch), strip(&plain));
}

#[test]
fn every_format_is_resolved() {
    let settings = web();
    let stack = STACK_TEXT.replace('\n', "\\n");
    let simple = format!(
        r#"[{{"measurement":"error","tags":{{"sdk_name":"df_web_rum_sdk","app_id":"app","env":"prod","version":"1"}},"fields":{{"error_stack":"{stack}"}},"time":{NOW}}}]"#
    );
    let tag = |key: &str, value: &str| format!(r#"{{"key":"{key}","s":"{value}","is_tag":true}}"#);
    let pbjson = format!(
        r#"[{{"name":"error","fields":[{},{},{},{},{{"key":"error_stack","s":"{stack}"}}],"time":"{NOW}"}}]"#,
        tag("sdk_name", "df_web_rum_sdk"),
        tag("app_id", "app"),
        tag("env", "prod"),
        tag("version", "1")
    );
    let mut proto = Vec::new();
    wire::put_message(&mut proto, wire::POINTS_POINT, |out| {
        wire::put_bytes(out, wire::POINT_NAME, b"error");
        for (key, value) in
            [("sdk_name", "df_web_rum_sdk"), ("app_id", "app"), ("env", "prod"), ("version", "1")]
        {
            DraftKv::tag(key.as_bytes(), value.as_bytes()).encode(out);
        }
        DraftKv::field(STACK, Value::Str(STACK_TEXT.as_bytes().into())).encode(out);
        wire::put_uint(out, wire::POINT_TIME, NOW as u64);
    });
    for (content_type, body) in [
        ("text/plain", line("app", "").into_bytes()),
        ("application/json", simple.clone().into_bytes()),
        ("text/plain", simple.into_bytes()),
        ("application/json", pbjson.into_bytes()),
        ("application/protobuf; proto=com.guance.Point", proto),
    ] {
        let mut plan = plan("", content_type, &settings);
        let (questions, batch) = answered(&mut plan, &body, &settings);
        assert_eq!(&*questions[0].stack, STACK_TEXT.as_bytes(), "{content_type}");
        assert_eq!(resolved(&batch), [yes()], "{content_type}");
    }
}

#[test]
fn echoes_show_it_and_dry_ones_too() {
    let settings = web();
    for query in ["?echo=lp", "?echo=json&dry=1", "?strict=1&echo=pbjson"] {
        let mut plan = plan(query, "text/plain", &settings);
        answered(&mut plan, line("app", "").as_bytes(), &settings);
        let (Decoded::Written(written), _) = once(&plan, line("app", "").as_bytes(), &settings) else {
            panic!()
        };
        let echo = String::from_utf8(written.echo.unwrap()).unwrap();
        assert_eq!(echo.matches(RESOLVED).count(), 1, "{echo}");
        assert!(echo.contains(&STANDARD.encode("resolved")), "{echo}");
    }
}

#[test]
fn in_steps_it_is_the_same() {
    let settings = web();
    let mut plan = plan("", "text/plain", &settings);
    let body = line("app", "").repeat(3) + &line("other", "");
    let (_, whole) = answered(&mut plan, body.as_bytes(), &settings);
    for answers in [plan.answers.clone(), None] {
        plan.answers = answers;
        let mut bytes = body.clone().into_bytes();
        let bytes = Padded::pad(&mut bytes);
        let mut decoder = Decoder::with_step(&plan, &settings, NOW, 1);
        let mut scratch = Scratch::default();
        let end = loop {
            match decoder.step(&plan, bytes, &settings, &mut scratch) {
                Ok(Step::More) => {}
                end => break end,
            }
        };
        match end {
            Ok(Step::Done(written)) => {
                assert!(plan.answers.is_some());
                assert_eq!(written.points, 4);
                let stepped: Vec<u8> =
                    decoder.into_batches().into_iter().flat_map(|batch| batch.bytes).collect();
                assert_eq!(stepped, whole.bytes);
            }
            Err(Stop::Unresolved(questions)) => assert!(plan.answers.is_none() && questions.len() == 1),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_kept_is_not_asked_again_until_it_expires() {
    let settings = web();
    let mut asked = plan("", "text/plain", &settings);
    let body = line("app", "");
    let (questions, _) = answered(&mut asked, body.as_bytes(), &settings);
    let fresh = plan("", "text/plain", &settings);
    let sources = &settings.sources;
    sources.keep(questions[0].key, answer(b"kept"), NOW + 1);
    let (decoded, batch) = once(&fresh, body.as_bytes(), &settings);
    assert!(matches!(decoded, Decoded::Written(_)));
    assert_eq!(resolved(&batch), [Some("kept".to_owned())]);
    // That there is nothing is known too.
    sources.keep(questions[0].key, None, NOW + 1);
    assert_eq!(resolved(&once(&fresh, body.as_bytes(), &settings).1), [None]);
    sources.keep(questions[0].key, answer(b"old"), NOW);
    assert!(matches!(once(&fresh, body.as_bytes(), &settings).0, Decoded::Unresolved(_)));
    // Another state of the archive is another question.
    sources.keep(questions[0].key, answer(b"kept"), i64::MAX);
    sources.publish([((Platform::Web, Box::from("app-prod-1.zip")), 2)].into_iter().collect());
    let (Decoded::Unresolved(again), _) = once(&fresh, body.as_bytes(), &settings) else {
        panic!("not asked")
    };
    assert_ne!(again[0].key, questions[0].key);
    // And one that is in use elsewhere is asked about.
    let busy = sources.kept.lock().unwrap();
    assert!(matches!(once(&fresh, body.as_bytes(), &settings).0, Decoded::Unresolved(_)));
    drop(busy);
}

#[test]
fn answers_that_do_not_come_leave_the_points_as_they_are() {
    let settings = web();
    let mut plan = plan("", "text/plain", &settings);
    plan.answers = Some(Arc::default());
    let (decoded, batch) = once(&plan, line("app", "").as_bytes(), &settings);
    assert!(matches!(decoded, Decoded::Written(_)));
    assert_eq!(resolved(&batch), [None]);
}

#[test]
fn a_field_of_that_name_is_replaced() {
    let settings = web();
    let mut plan = plan("", "text/plain", &settings);
    let body = line("app", &format!(",a=1i,b=2u,c=3.5,d=T,e=\"s\",{RESOLVED}=\"Zm9yZ2Vk\""));
    let (_, batch) = answered(&mut plan, body.as_bytes(), &settings);
    assert_eq!(resolved(&batch), [yes()]);
    let point = pb::points(&batch.bytes).next().unwrap().unwrap();
    assert_eq!((point.name, point.time), (&b"error"[..], NOW));
    let keys: Vec<&[u8]> = point.fields().map(|field| field.unwrap().key).collect();
    for key in ["a", "b", "c", "d", "e", "host", "app_id", "ip"] {
        assert!(keys.contains(&key.as_bytes()), "{key}");
    }
}

#[test]
fn points_that_lack_something_are_left_alone() {
    let settings = settings(&[(Platform::Web, "app-none-none.zip"), (Platform::Ios, "app-none-none.zip")]);
    let plan = plan("", "text/plain", &settings);
    for (point, is_asked) in [
        ("error,sdk_name=df_web_rum_sdk,app_id=app error_stack=\"x\"", true),
        ("error,sdk_name=df_miniapp_rum_sdk,app_id=app error_stack=\"x\"", true),
        ("error,sdk_name=df_uniapp_rum_sdk,app_id=app error_stack=\"x\"", true),
        ("error,sdk_name=df_ios_rum_sdk,app_id=app error_stack=\"x\"", true),
        ("error,app_id=app error_stack=\"x\",sdk_name=\"df_web_rum_sdk\"", true),
        ("error,sdk_name=df_android_rum_sdk,app_id=app error_stack=\"x\"", false),
        ("error,sdk_name=other,app_id=app error_stack=\"x\"", false),
        ("error,sdk_name=df_web_rum_sdk,app_id=app,env=e error_stack=\"x\"", false),
        ("error,sdk_name=df_web_rum_sdk,app_id=app error_stack=1", false),
        ("error,sdk_name=df_web_rum_sdk,app_id=app error_stack=\"\"", false),
        ("error,sdk_name=df_web_rum_sdk,app_id=app,error_stack=x n=1", false),
        ("action,sdk_name=df_web_rum_sdk,app_id=app error_stack=\"x\"", false),
    ] {
        let decoded = once(&plan, point.as_bytes(), &settings).0;
        assert_eq!(matches!(decoded, Decoded::Unresolved(_)), is_asked, "{point}");
    }
    let long = format!(
        "error,sdk_name=df_web_rum_sdk,app_id=app error_stack=\"{}\"",
        "x".repeat(STACK_BYTES_MAX + 1)
    );
    let mut slow = Decoder::new(&plan, &settings, NOW);
    let mut bytes = long.into_bytes();
    let bytes = Padded::pad(&mut bytes);
    while slow.step(&plan, bytes, &settings, &mut Scratch::default()).unwrap() == Step::More {}
}

#[test]
fn a_request_asks_and_grows_within_bounds() {
    let settings = web();
    let mut body = String::new();
    for index in 0..QUESTIONS_MAX + 10 {
        body += &line("app", "").replace("Error: x", &format!("Error: {index}"));
    }
    let mut asks = plan("", "text/plain", &settings);
    let (questions, batch) = answered(&mut asks, body.as_bytes(), &settings);
    assert_eq!(questions.len(), QUESTIONS_MAX);
    assert_eq!(resolved(&batch).iter().flatten().count(), QUESTIONS_MAX);
    // One stack, resolved to a megabyte, in a hundred points.
    let body = line("app", "").repeat(100);
    let mut grows = plan("", "text/plain", &settings);
    let (Decoded::Unresolved(questions), _) = once(&grows, body.as_bytes(), &settings) else { panic!() };
    let answers = Arc::new(Answers::default());
    answers.put(questions[0].key, answer(&vec![b'x'; 1 << 20]));
    grows.answers = Some(answers);
    let mut decoder = Decoder::new(&grows, &settings, NOW);
    let mut bytes = body.into_bytes();
    let bytes = Padded::pad(&mut bytes);
    while decoder.step(&grows, bytes, &settings, &mut Scratch::default()).unwrap() == Step::More {}
    let sum: usize = decoder.into_batches().iter().map(|batch| batch.bytes.len()).sum();
    assert!(sum > ANSWER_BYTES_MAX / 2 && sum < ANSWER_BYTES_MAX + (1 << 20), "{sum}");
}

#[test]
fn names_of_archives() {
    for (app, env, version, name) in [
        ("app_sm", "prod", "1.0.0", "app_sm-prod-1.0.0.zip"),
        ("a/../b", "", "", "a__..__b-none-none.zip"),
        ("..", "", "", "..-none-none.zip"),
        ("/etc/passwd", "/", "../..", "__etc__passwd-__-..__...zip"),
    ] {
        assert_eq!(archive_name(app, env, version), name);
        assert!(!archive_name(app, env, version).contains('/'));
    }
}
