//! Requests as agents send them, against the points they become.

use std::time::Duration;

use super::*;
use crate::http1::{HeadLimits, HeadOutcome, HeaderSlots, parse_head};
use crate::intake::datakit::write::{Decoded, Decoder, Scratch, Step, decode};
use crate::intake::{Action, Clock, Options, Peer};
use crate::point::{Batch, Compat, echo};

const NOW: i64 = 1_800_000_000_000_000_000;

fn settings() -> Settings {
    let host_tags = GlobalTags::new([("host", "gateway")]).unwrap();
    Settings::new(Options {
        compat: Compat::Datakit184,
        time_correction: false,
        host_tags,
        ..Options::default()
    })
}

fn planned(target: &str) -> Result<WritePlan, Reply> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\r\n");
    let mut slots = HeaderSlots::new();
    let HeadOutcome::Complete { head, .. } =
        parse_head(head.as_bytes(), &mut slots, &HeadLimits::default()).unwrap()
    else {
        panic!("a partial head");
    };
    let clock = Clock { now_ns: NOW, uptime: Duration::from_secs(1) };
    match crate::intake::route(&head, &Peer::Unix, &clock, &settings()) {
        Action::Write(plan) => Ok(*plan),
        Action::Reply(reply) => Err(reply),
        Action::Aside(_) | Action::Raw(_) | Action::Profile(_) | Action::Convert(_) => panic!("no write"),
    }
}

fn plan_of(query: &str) -> WritePlan {
    planned(&format!("/v1/write/logstreaming{query}")).unwrap()
}

/// The points as line protocol, or the refusal.
fn lines(plan: &WritePlan, body: &[u8]) -> Result<Vec<String>, Reply> {
    let mut bytes = body.to_vec();
    let (mut batch, mut scratch, settings) = (Batch::default(), Scratch::default(), settings());
    let decoded = decode(plan, Padded::pad(&mut bytes), NOW, &settings, &mut scratch, &mut batch);
    match decoded.map_err(|error| plan.refuse(&error))? {
        Decoded::Written(written) => assert_eq!(written.points, batch.points),
        Decoded::InSteps => panic!("a small body"),
        Decoded::Unresolved(_) => panic!("a log"),
    }
    // In steps it is the same.
    if !body.is_empty() {
        let mut decoder = Decoder::with_step(plan, &settings, NOW, 1);
        let mut bytes = body.to_vec();
        let whole = Padded::pad(&mut bytes);
        while decoder.step(plan, whole, &settings, &mut scratch).unwrap() == Step::More {}
        let sliced: Vec<u8> = decoder.into_batches().into_iter().flat_map(|batch| batch.bytes).collect();
        assert_eq!(sliced, batch.bytes);
    }
    let mut text = Vec::new();
    echo::line_protocol(&batch.bytes, &mut text).unwrap();
    Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}

#[test]
fn a_line_is_a_point() {
    let plan = plan_of("?source=nginx&tags=env=prod,%20zone%20=%20a,bad,x=y=z,empty=");
    assert_eq!(
        lines(&plan, b"first\r\n\n\r\nsecond \"quoted\" \\ \xe6\x97\xa5\r\n\nlast, without an end\r")
            .unwrap(),
        [
            "nginx,env=prod,host=gateway,service=nginx,zone=a message=\"first\",status=\"info\" 1800000000000000000",
            "nginx,env=prod,host=gateway,service=nginx,zone=a \
             message=\"second \\\"quoted\\\" \\\\ 日\",status=\"info\" 1800000000000000000",
            "nginx,env=prod,host=gateway,service=nginx,zone=a \
             message=\"last, without an end\",status=\"info\" 1800000000000000000",
        ]
    );
    let plan = plan_of("?type=what&service=front&ignore_global_tags=1");
    assert_eq!(
        lines(&plan, b"x").unwrap(),
        ["default,service=front message=\"x\",status=\"info\" 1800000000000000000"]
    );
    let plan = plan_of("?service=front&tags=a=b&ignore_url_tags=1");
    assert_eq!(
        lines(&plan, b"x").unwrap(),
        ["default,host=gateway message=\"x\",status=\"info\" 1800000000000000000"]
    );
}

#[test]
fn the_host_is_that_of_the_target() {
    for (target, expected) in [
        ("http://logs.example:8080/v1/write/logstreaming?a=b://c", "logs.example"),
        ("http://[2001:db8::1]:80/v1/write/logstreaming", "2001:db8::1"),
        ("http://h?x", "h"),
        ("/v1/write/logstreaming?x=http://h/", ""),
        ("/v1/write/logstreaming", ""),
    ] {
        assert_eq!(host(target), expected, "{target}");
    }
    let plan = planned("http://logs.example:8080/v1/write/logstreaming?ignore_global_tags=1").unwrap();
    let line = lines(&plan, b"x").unwrap().remove(0);
    assert!(line.starts_with("default,ip_or_hostname=logs.example,service=default "), "{line}");
}

#[test]
fn a_record_is_a_point() {
    let plan = plan_of("?type=firelens&source=app&ignore_global_tags=1&ignore_url_tags=1");
    let body = r#" [ {"date":1700000000.5,"source":"stdout","log":"a \"b\" é\n","n":1,"big":18446744073709551615,
        "f":1.5,"e":1e400,"t":true,"none":null,"":1,"container":{"id":"x","l":[1]},"list":[1,2]} ,
        {"message":"lost","log":"kept","firelens_source":"lost","source":7,"date":"yesterday","n":1,"n":2},{}]
        "#;
    assert_eq!(
        lines(&plan, body.as_bytes()).unwrap(),
        [
            "app big=18446744073709551615u,container=\"{\\\"id\\\":\\\"x\\\",\\\"l\\\":[1]}\",e=\"1e400\",f=1.5,\
             firelens_source=\"stdout\",list=\"[1,2]\",message=\"a \\\"b\\\" é",
            "\",n=1i,status=\"info\",t=true 1700000000500000000",
            "app firelens_source=7i,message=\"kept\",n=2i,status=\"info\" 1800000000000000000",
            "app status=\"info\" 1800000000000000000",
        ]
    );
    assert_eq!(lines(&plan, b"[]").unwrap(), [""; 0]);
}

#[test]
fn what_is_no_array_of_objects_is_one_message() {
    let plan = plan_of("?type=firelens&ignore_global_tags=1&ignore_url_tags=1");
    for body in [
        "{}",
        "[1]",
        "[{},null]",
        "[{\"a\":1}",
        "[{\"a\":1}]x",
        "plain",
        "[{\"a\":1},]",
        "[{\"log\":\"\\x\"}]",
    ] {
        let escaped = body.replace('\\', "\\\\").replace('"', "\\\"");
        let expected = format!("default message=\"{escaped}\",status=\"info\" 1800000000000000000");
        assert_eq!(lines(&plan, body.as_bytes()).unwrap(), [expected], "{body}");
    }
    assert_eq!(lines(&plan, b"[{\"a\":\"\xff\"}]").unwrap().len(), 1);
    // Half a surrogate pair is kept as it is written, in a value as in a name.
    assert_eq!(
        lines(&plan, br#"[{"log":"\ud800"}]"#).unwrap(),
        ["default message=\"\\\\ud800\",status=\"info\" 1800000000000000000"]
    );
    assert_eq!(lines(&plan, br#"[{"\ud800":1}]"#).unwrap().len(), 1);
}

#[test]
fn depth_costs_no_stack() {
    let plan = plan_of("?type=firelens");
    let deep = format!("[{{\"a\":{}1{}}}]", "[".repeat(100_000), "]".repeat(100_000));
    let line = lines(&plan, deep.as_bytes()).unwrap().remove(0);
    assert!(line.contains("a=\"[[[[") && line.contains("]]]]\""), "it is kept as text");
    let open = "[{\"a\":".repeat(20_000);
    assert!(lines(&plan, open.as_bytes()).unwrap()[0].contains("message=\"[{"), "it is one message");
}

#[test]
fn line_protocol_is_in_nanoseconds_unless_it_says_otherwise() {
    let plan = plan_of("?type=influxdb&ignore_global_tags=1&source=unused");
    assert_eq!(
        lines(&plan, b"m,t=1 f=1i 1700000000\nm,service=own f=2i").unwrap(),
        [
            "m,service=unused,t=1 f=1i,status=\"info\" 1700000000",
            "m,service=own f=2i,status=\"info\" 1800000000000000000",
        ]
    );
    let plan = plan_of("?type=influxdb&ignore_global_tags=1&ignore_url_tags=1&precision=s");
    assert_eq!(lines(&plan, b"m f=1i 1700000000").unwrap(), ["m f=1i,status=\"info\" 1700000000000000000"]);
}

#[test]
fn answers_are_plain_and_a_bad_body_gets_a_bare_400() {
    let envelope = &settings().envelope;
    let plan = plan_of("?type=influxdb");
    let reply = plan.reply(Default::default());
    assert_eq!((reply.status, &reply.body[..]), (200, &br#"{"status":"success"}"#[..]));
    assert!(reply.headers(envelope).contains(&("Content-Type", "text/plain; charset=utf-8".into())));
    assert!(!reply.nosniff);
    for nothing in ["", "# a comment\n", "\n\n"] {
        assert_eq!(lines(&plan, nothing.as_bytes()).unwrap(), [""; 0], "{nothing:?}");
        assert_eq!(lines(&plan_of(""), b"\n\r\n").unwrap(), [""; 0]);
    }
    let refused = lines(&plan, b"m f=\n").unwrap_err();
    assert_eq!((refused.status, refused.body.len(), refused.content_type), (400, 0, Default::default()));
    let long = vec![b'a'; LINE_BYTES_MAX + 1];
    let mut tape = Tape::default();
    let stream = Stream { source: "s".into() };
    let mut body = long.clone();
    let read = read_some(BodyFormat::Text, &stream, Padded::pad(&mut body), 0, usize::MAX, &mut tape);
    assert_eq!(read, Err(Bad));
    let mut body = long[1..].to_vec();
    let read = read_some(BodyFormat::Text, &stream, Padded::pad(&mut body), 0, usize::MAX, &mut tape);
    assert_eq!((read, tape.points.len()), (Ok(LINE_BYTES_MAX), 1));
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let tags: Vec<String> = (0..20).map(|n| format!("t{n}=v")).collect();
    let refused = planned(&format!("/v1/write/logstreaming?tags={}", tags.join(","))).unwrap_err();
    assert_eq!(refused.status, 400);
    assert!(String::from_utf8(refused.body).unwrap().contains("tags holds too much"));
    let plan = plan_of("?dry=1&strict=1&echo=json&storage_index=i&pipeline=p");
    assert!(!plan.dry && !plan.strict && plan.echo.is_none(), "there are no such parameters here");
    assert_eq!((plan.route.storage_index.as_deref(), plan.source.as_deref()), (Some("i"), Some("p")));
}

/// The messages on a tape, read in steps of `budget` bytes.
fn read_in_steps(format: BodyFormat, body: &[u8], budget: usize) -> Vec<Vec<(String, String)>> {
    let mut bytes = body.to_vec();
    let body = Padded::pad(&mut bytes);
    let (mut tape, stream) = (Tape::default(), Stream { source: "s".into() });
    let (mut at, mut points) = (0, Vec::new());
    while at < body.len() {
        let next = read_some(format, &stream, body, at, budget, &mut tape).unwrap();
        assert!(next > at, "no step forward at {at}");
        at = next;
        for point in &tape.points {
            assert_eq!(tape.name(&body, point), b"s");
            let field = |kv: &Kv| {
                let value = match kv.kind {
                    Kind::Str => String::from_utf8_lossy(tape.text(&body, kv)).into_owned(),
                    Kind::Float => f64::from_bits(kv.value).to_string(),
                    Kind::Bool => (kv.value == 1).to_string(),
                    _ => (kv.value as i64).to_string(),
                };
                (String::from_utf8_lossy(tape.key(&body, kv)).into_owned(), value)
            };
            let mut fields: Vec<(String, String)> = tape.kvs_of(point).iter().map(field).collect();
            fields.sort();
            points.push(fields);
        }
    }
    points
}

/// What [`read_in_steps`] should give for JSON, by way of a tree of values.
fn records(body: &[u8]) -> Option<Vec<Vec<(String, String)>>> {
    let objects: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_slice(body).ok()?;
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) if number.is_f64() => number.as_f64().unwrap().to_string(),
        value => value.to_string(),
    };
    let record = |object: serde_json::Map<String, serde_json::Value>| {
        let mut fields: Vec<(String, String)> = Vec::new();
        for (name, value) in object.iter().filter(|(name, value)| !name.is_empty() && !value.is_null()) {
            let name = match name.as_str() {
                "log" => "message",
                "source" => "firelens_source",
                "date" if value.is_number() => continue,
                name => name,
            };
            fields.push((name.to_owned(), text(value)));
        }
        fields.sort();
        fields
    };
    Some(objects.into_iter().map(record).collect())
}

proptest::proptest! {
    #[test]
    fn lines_are_split_as_a_person_would(body in "[a\r\n]{0,40}", budget in 1_usize..50) {
        let lines = body.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let expected: Vec<_> = lines
            .filter(|line| !line.is_empty())
            .map(|line| vec![("message".to_owned(), line.to_owned()), ("status".to_owned(), "info".to_owned())])
            .collect();
        proptest::prop_assert_eq!(read_in_steps(BodyFormat::Text, body.as_bytes(), budget), expected);
    }

    #[test]
    fn records_are_what_a_tree_of_values_holds(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "[", "]", "{", "}", "},{", ":", ",", " ", "\"a\":1", "\"log\":\"x\\n\"", "\"date\":1.5", "\"date\":\"y\"",
            "\"source\":true", "\"b\":[1,{}]", "\"\\u00e9\":null", "\"c\":-0.25", "\"d\":\"é\"", "1", "\"\":2",
        ]), 0..12),
        wrapped in proptest::bool::weighted(0.8),
        budget in 1_usize..50,
    ) {
        let body = if wrapped { format!("[{{{}}}]", parts.join(",")) } else { parts.concat() };
        let read = read_in_steps(BodyFormat::Firelens, body.as_bytes(), budget);
        match records(body.as_bytes()) {
            Some(expected) => proptest::prop_assert_eq!(read, expected),
            None if body.is_empty() => proptest::prop_assert!(read.is_empty()),
            None => {
                let message = ("message".to_owned(), body.clone());
                proptest::prop_assert_eq!(read, vec![vec![message, ("status".to_owned(), "info".to_owned())]]);
            }
        }
    }
}
