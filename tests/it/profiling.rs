//! Profiles on the real program: what clients were recorded to send arrives with its files as they were, and the numbers in
//! it as points.

use std::fs;

use kitgate::codec::multipart::{Form, boundary};
use serde_json::{Value, json};

use super::golden_gateway::{bytes, golden, text};
use super::harness::dataway::{Dataway, Package, Step};
use super::harness::http::Answer;
use super::harness::points::Value as PointValue;
use super::harness::{Gateway, scratch};

const INPUT: &str = "/profiling/v1/input";

/// The recorded requests that bring profiles.
fn recorded() -> Vec<Value> {
    let clients = [
        "ddtrace-py-1.20.19",
        "ddtrace-py-4.16.0",
        "dd-trace-js-5.132.0",
        "pyroscope-py-0.8.11",
        "pyroscope-py-1.4.0",
    ];
    let cases = clients.into_iter().flat_map(|client| golden(&format!("captured/{client}")));
    let brings = |case: &Value| {
        ["/profiling/", "/ingest", "/push."].iter().any(|path| text(case, "path").starts_with(path))
    };
    cases.filter(brings).collect()
}

fn post(gateway: &Gateway, case: &Value) -> Answer {
    let headers = case["headers"].as_array().unwrap().iter();
    let headers: Vec<(&str, &str)> = headers
        .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .filter(|(name, _)| {
            !["host", "content-length", "connection", "transfer-encoding"]
                .contains(&&*name.to_ascii_lowercase())
        })
        .collect();
    gateway.client().request("POST", text(case, "path"), &headers, &bytes(case, "body_b64"))
}

/// The event of a profile that arrived, and its files.
fn opened(package: &Package) -> (Value, Vec<(String, Vec<u8>)>) {
    assert_eq!(package.path, "/v1/upload/profiling");
    let boundary = boundary(package.headers["content-type"].as_bytes()).unwrap();
    let mut form = Form::open(&package.raw, &boundary).unwrap();
    let (mut event, mut files) = (None, Vec::new());
    while let Some(part) = form.next_part().unwrap() {
        let Some(name) = part.file_name() else { continue };
        match name.as_slice() {
            b"event.json" => event = Some(serde_json::from_slice(part.content).unwrap()),
            name => files.push((String::from_utf8(name.to_vec()).unwrap(), part.content.to_vec())),
        }
    }
    (event.unwrap(), files)
}

/// A small profile of a program.
fn form(service: &str, file: &[u8]) -> (Vec<(&'static str, &'static str)>, Vec<u8>) {
    let event = json!({ "family": "python", "tags_profiler": format!("service:{service},env:test"),
        "start": "2026-11-21T23:16:52Z", "end": "2026-11-21T23:17:52Z" });
    let mut body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"event\"; filename=\"event.json\"\r\n\r\n{event}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"auto\"; filename=\"auto.pprof\"\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n--b--\r\n");
    (vec![("Content-Type", "multipart/form-data; boundary=b")], body)
}

fn send(gateway: &Gateway, service: &str, file: &[u8]) -> Answer {
    let (headers, body) = form(service, file);
    gateway.client().request("POST", INPUT, &headers, &body)
}

fn assert_balanced(gateway: &Gateway) {
    gateway.await_metric("kitgate_points_in_flight{category=\"profiling\"}", 0.0);
}

#[test]
fn recorded_profiles_arrive_with_their_files_as_they_were() {
    let dataway = Dataway::start();
    let gateway = Gateway::start("hostname = \"gate-1\"\n", &dataway.table());
    let cases = recorded();
    assert_eq!(cases.len(), 14);
    for case in &cases {
        let answer = post(&gateway, case);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{}: {answer:?}", text(case, "name"));
        assert_eq!(answer.header("X-Kitgate-Ack"), Some("disk"));
    }
    let arrived = dataway.await_raw(cases.len());
    assert_eq!(arrived.len(), cases.len());
    let mut unseen: Vec<&Value> = cases.iter().collect();
    for package in &arrived {
        let (event, files) = opened(package);
        let tags = event["tags_profiler"].as_str().unwrap();
        assert!(tags.contains("host:") && tags.contains("service:"), "{tags}");
        assert!(event["language"] != "unknown", "{event}");
        // One client says all that is wanted, and its event stays as it is.
        assert!(event["format"] == "pprof" || tags.contains("host:demo-host"), "{event}");
        assert!(
            package.headers.contains_key("x-datakit-version") && package.headers.contains_key("x-pkg-id")
        );
        // Which one it is: the one that holds all of its files. A push is compressed as a whole.
        let whole = |case: &&&Value| {
            let mut sent = bytes(case, "body_b64");
            if text(case, "path").starts_with("/push") {
                let mut plain = Vec::new();
                std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&*sent), &mut plain)
                    .unwrap();
                sent = plain;
            }
            files.iter().all(|(_, file)| memchr::memmem::find(&sent, file).is_some())
        };
        let found = unseen.iter().find(whole).unwrap_or_else(|| panic!("nobody sent {:?}", event));
        let found = text(found, "name").to_owned();
        unseen.retain(|case| text(case, "name") != found);
    }
    assert!(unseen.is_empty(), "{unseen:?}");
    assert_balanced(&gateway);
    assert_eq!(gateway.metric("kitgate_points_delivered_total{category=\"profiling\"}"), cases.len() as f64);
}

#[test]
fn numbers_in_profiles_become_points() {
    let dataway = Dataway::start();
    let gateway = Gateway::start(
        "hostname = \"gate-1\"\n",
        &format!("{}\n[intake.profiling.tags]\nteam = \"core\"\n", dataway.table()),
    );
    let of_python: Vec<Value> =
        recorded().into_iter().filter(|case| text(case, "name").starts_with("ddtrace-py-")).collect();
    for case in &of_python {
        assert_eq!(post(&gateway, case).status, 200);
    }
    let points = dataway.await_points(of_python.len());
    assert_eq!(points.len(), of_python.len());
    for point in &points {
        assert_eq!(point.name, "profiling_metrics");
        let tag = |key: &str| point.tags.get(key).map(String::as_str);
        assert_eq!(
            (tag("language"), tag("service"), tag("env")),
            (Some("python"), Some("demo-py"), Some("test"))
        );
        assert_eq!(tag("team"), Some("core"));
        // One client says where it runs, and that stays.
        assert!(matches!(tag("host"), Some("demo-host" | "gate-1")), "{:?}", tag("host"));
        let Some(PointValue::Float(cores)) = point.fields.get("prof_python_cpu_cores") else {
            panic!("{:?}", point.fields)
        };
        assert!((0.0..16.0).contains(cores), "{cores}");
    }
    gateway.await_metric("kitgate_profile_metrics_total{outcome=\"made\"}", of_python.len() as f64);
    // What cannot be read is passed on all the same.
    assert_eq!(send(&gateway, "shop", b"no pprof").status, 200);
    gateway.await_metric("kitgate_profile_metrics_total{outcome=\"failed\"}", 1.0);
    assert_eq!(dataway.await_raw(of_python.len() + 1).len(), of_python.len() + 1);
}

#[test]
fn without_metrics_there_are_none() {
    let dataway = Dataway::start();
    let gateway =
        Gateway::start("", &format!("{}\n[intake.profiling]\ngenerate_metrics = false\n", dataway.table()));
    let case = recorded().into_iter().next().unwrap();
    assert_eq!(post(&gateway, &case).status, 200);
    dataway.await_raw(1);
    assert_balanced(&gateway);
    assert!(dataway.points().is_empty());
    assert_eq!(gateway.metric("kitgate_profile_metrics_total{outcome=\"made\"}"), 0.0);
}

#[test]
fn a_profile_outlives_a_kill_and_a_dead_destination() {
    let dataway = Dataway::start();
    dataway.always(Step::Status(503));
    let mut gateway = Gateway::start("", &dataway.table());
    let large: Vec<u8> =
        (0..3_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    assert_eq!(send(&gateway, "shop", &large).status, 200);
    assert_eq!(send(&gateway, "shop", b"small").status, 200);
    gateway.kill();
    dataway.always(Step::Take);
    gateway.run();
    let arrived = dataway.await_raw(2);
    let taken: Vec<_> = arrived.iter().filter(|package| package.answered == Step::Take).map(opened).collect();
    assert!(taken.iter().any(|(_, files)| files[0].1 == large), "the large one arrived");
    assert!(taken.iter().any(|(_, files)| files[0].1 == b"small"));
    assert_balanced(&gateway);
}

#[test]
fn what_is_no_profile_or_too_large_is_refused() {
    let gateway = Gateway::start("", "[intake.profiling]\nbody_size_limit_mb = 1\n");
    let text = |answer: &Answer| (answer.status, answer.text());
    let headers = [("Content-Type", "multipart/form-data; boundary=b")];
    let answer = gateway.client().request("POST", INPUT, &headers, b"garbage");
    assert_eq!(text(&answer).0, 400);
    assert!(
        text(&answer).1.starts_with("error code [unableToReadProfileBody], http code [400], err: "),
        "{answer:?}"
    );
    let answer = send(&gateway, "shop", &vec![0; 1 << 20]);
    assert_eq!(text(&answer).0, 400);
    assert!(text(&answer).1.ends_with("http: request body too large"), "{answer:?}");
    assert_eq!(send(&gateway, "shop", &vec![0; 1 << 19]).status, 200);
    assert_eq!(gateway.get(INPUT).status, 404);
}

#[test]
fn the_queue_has_a_folder_of_its_own_and_can_be_cleared() {
    let dataway = Dataway::start();
    dataway.always(Step::Status(503));
    let folder = scratch();
    let tables = |clear: bool| {
        format!(
            "{}\n[intake.profiling.io_config]\ncache_path = {:?}\ncache_capacity_mb = 256\nclear_cache_on_start = {clear}\n",
            dataway.table(),
            folder.path()
        )
    };
    let mut gateway = Gateway::start("", &tables(false));
    assert_eq!(send(&gateway, "shop", b"1").status, 200);
    assert!(fs::read_dir(folder.path().join("profiling")).unwrap().count() > 0);
    assert!(!gateway.data_dir().join("spool/profiling").exists());
    // Another gateway may not have it too.
    let second = std::panic::catch_unwind(|| Gateway::start("", &tables(false)));
    assert!(second.is_err(), "two owners of one queue");
    let (code, listed) = gateway.tool(&["spool", "ls"]);
    assert!(code == 0 && listed.contains("profiling"), "{listed}");
    gateway.stop();
    gateway.edit(|text| text.replace("clear_cache_on_start = false", "clear_cache_on_start = true"));
    gateway.run();
    assert_balanced(&gateway);
    assert_eq!(
        gateway.metric("kitgate_points_dropped_total{category=\"profiling\",reason=\"operator\"}"),
        1.0
    );
    dataway.always(Step::Take);
    assert_eq!(send(&gateway, "shop", b"2").status, 200);
    gateway.await_metric("kitgate_points_delivered_total{category=\"profiling\"}", 1.0);
}

#[test]
fn a_profile_that_is_answered_too_often_becomes_a_dead_letter() {
    let dataway = Dataway::start();
    dataway.always(Step::Status(500));
    let gateway = Gateway::start(
        "",
        &format!("{}\n[intake.profiling.io_config]\nsend_retry_count = 2\n", dataway.table()),
    );
    assert_eq!(send(&gateway, "shop", b"1").status, 200);
    gateway.await_metric("kitgate_points_dead_total{category=\"profiling\"}", 1.0);
    assert_balanced(&gateway);
    let (code, dead) = gateway.tool(&["dlq", "ls"]);
    assert!(code == 0 && dead.contains("tried_enough"), "{dead}");
}

/// A Go program, as far as its profiles go: answers with what a real one was recorded to answer.
fn go_program() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answers = golden("captured/go-pprof-1.24");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = std::io::BufReader::new(stream.unwrap());
            let mut line = String::new();
            std::io::BufRead::read_line(&mut stream, &mut line).unwrap();
            let mut header = String::new();
            while header != "\r\n" {
                header.clear();
                std::io::BufRead::read_line(&mut stream, &mut header).unwrap();
            }
            let asked = line.split(' ').nth(1).unwrap().split('?').next().unwrap();
            let known = answers.iter().find(|case| text(case, "path").split('?').next() == Some(asked));
            let body = known.map_or(Vec::new(), |case| bytes(&case["response"], "body_b64"));
            let status = if known.is_some() { "200 OK" } else { "404 Not Found" };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let stream = stream.get_mut();
            std::io::Write::write_all(stream, &[head.as_bytes(), &body].concat()).unwrap();
        }
    });
    address
}

#[test]
fn a_go_program_is_asked_for_its_profiles() {
    let dataway = Dataway::start();
    let program = go_program();
    let mut gateway = Gateway::start(
        "hostname = \"gate-1\"\n",
        &format!(
            "{}\n[intake.profiling.go.shop]\nurl = \"http://{program}\"\nservice = \"shop\"\nenv = \"test\"\n\
             enabled_types = [\"goroutine\", \"heap\", \"cpu\"]\n",
            dataway.table()
        ),
    );
    let arrived: Vec<_> = dataway.await_raw(2).iter().map(opened).collect();
    for (event, files) in &arrived {
        assert_eq!((&event["language"], &event["profiler"]), (&json!("golang"), &json!("pprof")), "{event}");
        let tags = event["tags_profiler"].as_str().unwrap();
        assert!(["service:shop", "env:test", "host:gate-1"].iter().all(|tag| tags.contains(tag)), "{tags}");
        assert!(["goroutines.pprof", "cpu.pprof"].contains(&&*files[0].0) && !files[0].1.is_empty());
    }
    assert_ne!(arrived[0].1[0].0, arrived[1].1[0].0);
    assert_balanced(&gateway);
    let points = dataway.await_points(2);
    assert!(points.iter().all(|point| point.name == "profiling_metrics"));
    assert!(points.iter().any(|point| point.fields.contains_key("prof_go_num_goroutine")), "{points:?}");
    // Nobody asks it any more.
    gateway.edit(|text| text.replace("[\"goroutine\", \"heap\", \"cpu\"]", "[]"));
    gateway.signal(rustix::process::Signal::HUP);
    gateway.await_line("reloaded");
    gateway.stop();
}

#[test]
fn filters_drop_profiles_by_their_tags() {
    let dataway = Dataway::start();
    let gateway = Gateway::start(
        "",
        &format!("{}\n[io.filters]\nprofiling = [\"{{ service = 'noise' }}\"]\n", dataway.table()),
    );
    assert_eq!(send(&gateway, "noise", b"1").status, 200);
    assert_eq!(send(&gateway, "shop", b"2").status, 200);
    let (event, _) = opened(&dataway.await_raw(1)[0]);
    assert!(event["tags_profiler"].as_str().unwrap().contains("service:shop"));
    assert_balanced(&gateway);
    assert_eq!(
        gateway.metric("kitgate_points_dropped_total{category=\"profiling\",reason=\"filtered\"}"),
        1.0
    );
}
