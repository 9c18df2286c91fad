//! One path, end to end, on the real program: points come in over HTTP and go out as packages, whatever the
//! destination does and however the process ends.

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::harness::{
    Gateway, PATIENCE,
    dataway::{Dataway, Step},
    points::Value,
};

/// Line protocol of `count` points that can be told apart by their field `n`.
fn lines(count: std::ops::Range<i64>) -> String {
    count
        .map(|n| format!("smoke,host=client-1,kind=a\\ b n={n}i,text=\"é\\\"x\" 1700000000{n:09}\n"))
        .collect()
}

/// Which `n` have arrived; panics on an `n` in two packages.
fn arrived(dataway: &Dataway) -> BTreeSet<i64> {
    let mut seen = BTreeSet::new();
    for point in dataway.points() {
        match point.fields["n"] {
            Value::Int(n) => assert!(seen.insert(n), "{n} under two package ids"),
            ref other => panic!("n is {other:?}"),
        }
    }
    seen
}

fn assert_balanced(gateway: &Gateway, category: &str) {
    gateway.await_metric(&format!("kitgate_points_in_flight{{category=\"{category}\"}}"), 0.0);
}

#[test]
fn a_point_arrives_as_datakit_would_send_it() {
    let dataway = Dataway::start();
    let gateway = Gateway::start("hostname = \"edge-1\"", &dataway.table());
    let answer = gateway.post("/v1/write/logging?storage_index=idx&precision=n", lines(0..2).as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body, b"");
    assert_eq!(answer.header("X-Kitgate-Ack"), Some("disk"));
    assert!(answer.header("X-Datakit").is_some_and(|value| value.ends_with("/edge-1")), "{answer:?}");

    dataway.await_points(2);
    let package = dataway.taken().remove(0);
    assert_eq!(package.path, "/v1/write/logging");
    assert_eq!(package.query, "token=tkn_0123456789abcdef0123456789abcdef");
    let header = |name: &str| package.headers.get(name).map_or("", String::as_str);
    assert_eq!(header("content-type"), "application/protobuf; proto=com.guance.Point");
    assert_eq!(header("content-encoding"), "gzip");
    assert_eq!(header("x-points"), "2");
    assert_eq!(header("x-storage-index-name"), "idx");
    assert_eq!(header("referer"), "DataKit");
    assert!(header("user-agent").starts_with("datakit-linux-") && header("user-agent").ends_with("/edge-1"));
    let id = package.id().strip_prefix("dk_").expect("an id with its prefix");
    assert!(
        id.len() == 20 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'v').contains(&byte)),
        "{id}"
    );

    let point = &package.points[1];
    assert_eq!(point.name, "smoke");
    assert_eq!(point.time_ns, 1_700_000_000_000_000_001);
    let tags: Vec<(&str, &str)> =
        point.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(tags, [("host", "client-1"), ("kind", "a b")], "the point's own host wins");
    assert_eq!(point.fields["text"], Value::Text("é\"x".to_owned()));
    assert_eq!(point.fields["status"], Value::Text("unknown".to_owned()), "the documents' default");

    gateway.await_metric("kitgate_points_delivered_total{category=\"logging\"}", 2.0);
    assert_balanced(&gateway, "logging");
    let sample = "datakit_http_api_total{api=\"/v1/write/logging\",method=\"POST\",status=\"OK\"}";
    assert_eq!(gateway.metric(sample), 1.0);
}

#[test]
fn global_tags_are_added_where_they_lack() {
    let dataway = Dataway::start();
    let tags = "[global_host_tags]\nhost = \"edge-2\"\nsite = \"here\"\n";
    let gateway = Gateway::start("", &format!("{}{tags}", dataway.table()));
    assert_eq!(gateway.post("/v1/write/metric", b"m,site=there f=1i").status, 200);
    let point = dataway.await_points(1).remove(0);
    assert_eq!((point.tags["host"].as_str(), point.tags["site"].as_str()), ("edge-2", "there"));
}

#[test]
fn without_a_destination_a_person_can_read_the_points() {
    let mut gateway = Gateway::start("", "");
    assert_eq!(gateway.post("/v1/write/logging", b"nginx,host=h message=\"hello world\",n=1i").status, 200);
    gateway.await_metric("kitgate_points_delivered_total{category=\"logging\"}", 1.0);
    assert_balanced(&gateway, "logging");
    assert!(gateway.stop().success());
    let text = read_archive(&gateway.data_dir().join("archive/logging"));
    let line =
        text.lines().find(|line| line.starts_with("nginx,host=h ")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("message=\"hello world\"") && line.contains("n=1i"), "{line}");
}

/// Everything under `folder`, unpacked.
fn read_archive(folder: &Path) -> String {
    let mut text = String::new();
    for file in fs::read_dir(folder).expect("a folder per category") {
        let path = file.expect("a file").path();
        let bytes = fs::read(&path).expect("a readable file");
        if path.extension().is_some_and(|extension| extension == "gz") {
            flate2::read::MultiGzDecoder::new(bytes.as_slice())
                .read_to_string(&mut text)
                .expect("gzip of text");
        } else {
            text.push_str(&String::from_utf8(bytes).expect("text"));
        }
    }
    text
}

#[test]
fn what_was_acknowledged_outlives_a_crash() {
    let dataway = Dataway::start();
    let address = dataway.address();
    let mut gateway = Gateway::start("", &dataway.table());
    drop(dataway);
    for batch in 0..5 {
        let answer = gateway.post("/v1/write/metric", lines(batch * 10..batch * 10 + 10).as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    gateway.await_metric("kitgate_points_spooled{category=\"metric\"}", 50.0);
    gateway.kill();

    gateway.run();
    assert_eq!(gateway.metric("kitgate_points_recovered_total{category=\"metric\"}"), 50.0);
    assert_eq!(gateway.post("/v1/write/metric", lines(50..60).as_bytes()).status, 200);
    let dataway = Dataway::start_at(address);
    dataway.await_points(60);
    assert_eq!(arrived(&dataway), (0..60).collect());
    gateway.await_metric("kitgate_points_delivered_total{category=\"metric\"}", 60.0);
    gateway.await_metric("kitgate_points_spooled{category=\"metric\"}", 0.0);
    assert_balanced(&gateway, "metric");
    assert!(gateway.stop().success());

    // What was delivered does not come again.
    gateway.run();
    assert_eq!(gateway.metric("kitgate_points_recovered_total{category=\"metric\"}"), 0.0);
    assert_eq!(arrived(&dataway).len(), 60);
}

#[test]
fn a_package_keeps_its_id_until_it_is_taken() {
    let dataway = Dataway::start();
    dataway.script(&[Step::Status(500), Step::Close, Step::Status(403), Step::RetryAfter(429, 1)]);
    let mut gateway = Gateway::start("", &dataway.table());
    assert_eq!(gateway.post("/v1/write/tracing", lines(0..3).as_bytes()).status, 200);
    let started = Instant::now();
    let packages = dataway.await_packages(5);
    assert!(started.elapsed() > Duration::from_millis(900), "Retry-After is heeded");
    let ids: BTreeSet<&str> = packages.iter().map(|package| package.id()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert!(packages.iter().all(|package| package.points == packages[0].points));
    gateway.await_metric("kitgate_points_delivered_total{category=\"tracing\"}", 3.0);
    assert_balanced(&gateway, "tracing");

    // And over a restart.
    dataway.always(Step::Status(503));
    assert_eq!(gateway.post("/v1/write/tracing", lines(3..5).as_bytes()).status, 200);
    let before = dataway.await_packages(7).last().expect("a package").id().to_owned();
    gateway.kill();
    dataway.always(Step::Take);
    gateway.run();
    dataway.await_points(5);
    assert_eq!(dataway.taken().last().expect("a package").id(), before);
}

#[test]
fn what_is_refused_for_ever_is_kept_and_the_rest_goes_on() {
    let dataway = Dataway::start();
    dataway.always(Step::Status(400));
    let gateway = Gateway::start("", &dataway.table());
    assert_eq!(gateway.post("/v1/write/rum", b"view,app_id=poison f=1i").status, 200);
    gateway.await_metric("kitgate_points_dead_total{category=\"rum\"}", 1.0);
    dataway.always(Step::Take);
    assert_eq!(gateway.post("/v1/write/rum", b"action,app_id=good f=1i").status, 200);
    assert_eq!(dataway.await_points(1)[0].name, "action");
    gateway.await_metric("kitgate_points_spooled{category=\"rum\"}", 0.0);
    assert_balanced(&gateway, "rum");
    let kept = fs::read_dir(gateway.data_dir().join("dead")).expect("data_dir/dead").count();
    assert!(kept > 0, "the dead letter is not there");
}

#[test]
fn bodies_stay_below_the_limit() {
    let dataway = Dataway::start();
    dataway.always(Step::Status(503));
    let gateway = Gateway::start("", &format!("{}max_raw_body_size = 102400\n", dataway.table()));
    let mut client = gateway.client();
    for batch in 0..8 {
        let body = lines(batch * 500..batch * 500 + 500);
        assert_eq!(client.request("POST", "/v1/write/metric", &[], body.as_bytes()).status, 200);
    }
    dataway.always(Step::Take);
    dataway.await_points(4_000);
    assert_eq!(arrived(&dataway), (0..4_000).collect());
    let packages = dataway.taken();
    assert!(packages.len() >= 3, "{} packages", packages.len());
    for package in packages {
        assert!(package.raw_bytes <= 102_400, "{}", package.raw_bytes);
        assert!(
            package.wire_bytes < package.raw_bytes / 2,
            "{} of {}",
            package.wire_bytes,
            package.raw_bytes
        );
    }
}

#[test]
fn what_is_spooled_follows_a_change_of_destination() {
    let gone = Dataway::start();
    let mut gateway = Gateway::start("", &gone.table());
    let old = gone.address().to_string();
    gone.always(Step::Status(503));
    assert_eq!(gateway.post("/v1/write/logging", lines(0..7).as_bytes()).status, 200);
    let id = gone.await_packages(1)[0].id().to_owned();
    assert!(gateway.stop().success());

    let new = Dataway::start();
    let config = fs::read_to_string(gateway.config_file()).expect("the configuration");
    fs::write(gateway.config_file(), config.replace(&old, &new.address().to_string())).expect("a new one");
    gateway.run();
    assert_eq!(new.await_points(7).len(), 7);
    assert_eq!(new.taken()[0].id(), id, "the package keeps its id");
    assert!(gone.taken().is_empty());
}

#[test]
fn a_stop_answers_and_keeps_everything() {
    let dataway = Dataway::start();
    let address = dataway.address();
    let mut gateway = Gateway::start("ack = \"memory\"", &dataway.table());
    drop(dataway);
    let mut client = gateway.client();
    for batch in 0..20 {
        let answer =
            client.request("POST", "/v1/write/network", &[], lines(batch * 5..batch * 5 + 5).as_bytes());
        assert_eq!((answer.status, answer.header("X-Kitgate-Ack")), (200, Some("memory")));
    }
    let idle = &mut gateway.client();
    assert!(gateway.stop().success(), "{:?}", gateway.log);
    assert!(client.is_closed() && idle.is_closed());
    gateway.run();
    let dataway = Dataway::start_at(address);
    dataway.await_points(100);
    assert_eq!(arrived(&dataway), (0..100).collect());
}

#[test]
fn a_stop_while_clients_send_loses_nothing_acknowledged() {
    let dataway = Dataway::start();
    let mut gateway = Gateway::start("", &dataway.table());
    let address = gateway.address();
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            thread::spawn(move || {
                let mut acknowledged = Vec::new();
                let mut client = super::harness::http::Client::connect(address);
                for n in (sender * 1_000_000).. {
                    let body = lines(n..n + 1);
                    let request = format!(
                        "POST /v1/write/security HTTP/1.1\r\nHost: g\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if !client.try_send(request.as_bytes()) {
                        break;
                    }
                    match client.try_receive(false) {
                        Some(answer) if answer.status == 200 => acknowledged.push(n),
                        _ => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    dataway.await_points(40);
    assert!(gateway.stop().success(), "{:?}", gateway.log);
    let acknowledged: BTreeSet<i64> =
        senders.into_iter().flat_map(|sender| sender.join().expect("a sender")).collect();
    assert!(acknowledged.len() >= 40);
    gateway.run();
    gateway.await_metric("kitgate_points_spooled{category=\"security\"}", 0.0);
    let arrived = arrived(&dataway);
    assert!(acknowledged.is_subset(&arrived), "lost: {:?}", acknowledged.difference(&arrived));
}

#[test]
fn a_full_spool_is_503_with_retry_after_until_there_is_room() {
    let dataway = Dataway::start();
    let address = dataway.address();
    let tables = format!(
        "{}compression = \"identity\"\n[spool]\ncapacity = \"4MiB\"\nsegment_size = \"1MiB\"\n",
        dataway.table()
    );
    let gateway = Gateway::start("", &tables);
    drop(dataway);
    assert_eq!(gateway.get("/readyz").status, 200);
    let mut accepted = 0_i64;
    let refused = loop {
        let filler = "x".repeat(300_000);
        let answer =
            gateway.post("/v1/write/logging", format!("full n={accepted}i,filler=\"{filler}\"").as_bytes());
        match answer.status {
            200 => accepted += 1,
            _ => break answer,
        }
        assert!(accepted < 20, "4 MiB take more than 6 MB");
    };
    assert_eq!(refused.status, 503, "{refused:?}");
    let seconds: u32 =
        refused.header("Retry-After").and_then(|value| value.parse().ok()).expect("Retry-After");
    assert!((1..=300).contains(&seconds), "{seconds}");
    assert!(refused.text().contains("the spool is full"), "{}", refused.text());
    assert!(accepted >= 6, "only {accepted} fit into 4 MiB");
    let ready = gateway.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("the spool of category logging is full"), "{}", ready.text());
    // The other categories go on.
    assert_eq!(gateway.post("/v1/write/metric", b"m f=1i").status, 200);

    let dataway = Dataway::start_at(address);
    dataway.await_points(accepted as usize + 1);
    let deadline = Instant::now() + PATIENCE;
    while gateway.get("/readyz").status != 200 {
        assert!(Instant::now() < deadline, "it does not get ready again");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(gateway.post("/v1/write/logging", b"again n=-1i").status, 200);
    dataway.await_points(accepted as usize + 2);
    gateway.await_metric("kitgate_points_delivered_total{category=\"logging\"}", accepted as f64 + 1.0);
    assert_balanced(&gateway, "logging");
}

#[test]
fn upstream_answers_when_the_destination_has_it() {
    let dataway = Dataway::start();
    dataway.script(&[Step::Status(503), Step::Status(503)]);
    let gateway = Gateway::start("", &dataway.table());
    let answer = gateway.post("/v1/write/keyevent?ack=upstream", b"k f=1i");
    assert_eq!((answer.status, answer.header("X-Kitgate-Ack")), (200, Some("upstream")));
    assert_eq!(dataway.points().len(), 1, "answered before it was taken");
    assert_eq!(dataway.packages().len(), 3);
}

#[test]
fn the_pages_for_machines() {
    let gateway = Gateway::start(
        "hostname = \"edge-3\"",
        "[http_api]\nlisten = \"127.0.0.1:0\"\ndisable_404page = true\n",
    );
    assert_eq!((gateway.get("/livez").status, gateway.get("/readyz").text()), (200, "ready\n".to_owned()));
    let page = gateway.get("/metrics");
    assert_eq!(page.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for part in [
        "kitgate_build_info{version=",
        "kitgate_ready 1\n",
        "process_resident_memory_bytes ",
        "datakit_http_api_total",
    ] {
        assert!(page.text().contains(part), "{part}");
    }
    let ping = gateway.get("/v1/ping");
    assert_eq!(ping.status, 200);
    assert!(ping.text().contains("\"host\":\"edge-3\""), "{}", ping.text());
    assert_eq!(gateway.get("/nowhere").status, 404);
}

#[test]
fn a_point_larger_than_the_spool_is_413_and_the_rest_goes_on() {
    let dataway = Dataway::start();
    let tables = format!(
        "{}compression = \"identity\"\n[spool]\ncapacity = \"4MiB\"\nsegment_size = \"1MiB\"\n",
        dataway.table()
    );
    let gateway = Gateway::start("", &tables);
    assert_eq!(gateway.post("/v1/write/logging", b"small f=1i").status, 200);
    let filler = "x".repeat(5_000_000);
    let answer = gateway.post("/v1/write/logging", format!("big f=\"{filler}\"").as_bytes());
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(gateway.post("/v1/write/logging", b"small f=2i").status, 200);
    dataway.await_points(2);
    gateway.await_metric("kitgate_points_delivered_total{category=\"logging\"}", 2.0);
    assert_balanced(&gateway, "logging");
}
