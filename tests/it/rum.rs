//! RUM on the real program: points with the place of their sender, and session replays that arrive as they came.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::golden_gateway::{bytes, golden, text};
use super::harness::{
    Gateway, PATIENCE,
    dataway::{Dataway, Package, Step},
    http::Answer,
};

#[path = "../../src/intake/datakit/rum/geo/testing.rs"]
pub mod mmdb;

const REPLAY: &str = "/v1/write/rum/replay";
const BOUNDARY: &str = "----WebKitFormBoundaryPQ3Ily31QfcT5Kis";
const VIEW: &[u8] = b"view,app_id=a,sdk_name=s time_spent=1 1700000000000";

/// A replay whose segment has `segment` bytes, none like the other for long.
fn replay(segment: usize, seed: u8) -> Vec<u8> {
    let mut body = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"segment\"; filename=\"s-1\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    let mut state = u32::from(seed) | 1;
    body.extend((0..segment).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    }));
    body.extend_from_slice(
        format!(
            "\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"app_id\"\r\n\r\na\r\n--{BOUNDARY}--\r\n"
        )
        .as_bytes(),
    );
    body
}

fn content_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

fn post_replay(gateway: &Gateway, body: &[u8]) -> Answer {
    gateway.client().request("POST", REPLAY, &[("Content-Type", &content_type())], body)
}

fn assert_stored(answer: &Answer) {
    assert_eq!((answer.status, answer.body.len()), (200, 0), "{answer:?}");
    assert_eq!(answer.header("Content-Type"), None);
    assert_eq!(answer.header("X-Kitgate-Ack"), Some("disk"));
}

fn assert_balanced(gateway: &Gateway, category: &str) {
    gateway.await_metric(&format!("kitgate_points_in_flight{{category=\"{category}\"}}"), 0.0);
}

#[test]
fn what_a_browser_sends_arrives_as_it_sent_it() {
    let dataway = Dataway::start();
    let gateway = Gateway::start("", &dataway.table());
    let requests = golden("browser-rum/requests");
    let mut replays: Vec<(BTreeMap<String, String>, Vec<u8>)> = Vec::new();
    for request in &requests {
        let headers: Vec<(&str, &str)> = request["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
            .filter(|(name, _)| !matches!(*name, "Host" | "Content-Length" | "Connection"))
            .collect();
        let body = bytes(request, "body_b64");
        let target = text(request, "path_and_query");
        let answer = gateway.client().request("POST", target, &headers, &body);
        assert_eq!(answer.status, 200, "{}: {answer:?}", text(request, "name"));
        let origin = headers.iter().find(|(name, _)| *name == "Origin").map(|(_, value)| *value);
        assert_eq!(answer.header("Access-Control-Allow-Origin"), origin);
        assert_eq!(answer.header("Access-Control-Allow-Credentials"), Some("true"));
        if target.starts_with(REPLAY) {
            let kept = headers.iter().filter(|(name, _)| *name != "Accept-Encoding");
            let kept = kept.map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned()));
            replays.push((kept.collect(), body));
        }
    }
    assert!(replays.len() >= 5, "the recording has replays");

    let mut arrived = dataway.await_raw(replays.len());
    for (headers, body) in replays {
        let at = arrived.iter().position(|package| package.raw == body).expect("a replay with this body");
        let Package { path, query, headers: mut got, .. } = arrived.remove(at);
        assert_eq!((path.as_str(), query.as_str()), (REPLAY, "token=tkn_0123456789abcdef0123456789abcdef"));
        assert_eq!(got.remove("host"), Some(dataway.address().to_string()));
        assert_eq!(got.remove("content-length"), Some(body.len().to_string()));
        assert!(got.remove("x-pkg-id").is_some_and(|id| id.starts_with("dk_")));
        assert_eq!(got, headers);
    }
    assert!(arrived.is_empty());

    let rum = || dataway.points().into_iter().filter(|point| point.tags.contains_key("ip"));
    let deadline = Instant::now() + PATIENCE;
    while rum().count() < 20 {
        assert!(Instant::now() < deadline, "{} points of RUM", rum().count());
        thread::sleep(Duration::from_millis(10));
    }
    for point in rum() {
        assert_eq!((&*point.tags["ip"], &*point.tags["country"]), ("127.0.0.1", "unknown"));
    }
    for category in ["rum", "session_replay", "logging"] {
        assert_balanced(&gateway, category);
    }
}

#[test]
fn a_large_replay_survives_a_crash_of_the_gateway() {
    let dataway = Dataway::start();
    dataway.always(Step::Status(503));
    let mut gateway = Gateway::start("", &dataway.table());
    let bodies = [replay(30 << 20, 1), replay(70_000, 2), replay(0, 3)];
    for body in &bodies {
        assert_stored(&post_replay(&gateway, body));
    }
    assert_eq!(gateway.post("/v1/write/rum?precision=ms", VIEW).status, 200);
    dataway.await_packages(2);
    gateway.kill();
    let before = dataway.packages();
    dataway.always(Step::Take);
    gateway.run();
    assert_eq!(gateway.metric("kitgate_points_recovered_total{category=\"session_replay\"}"), 3.0);
    let arrived = dataway.await_raw(bodies.len());
    for body in &bodies {
        assert_eq!(arrived.iter().filter(|package| package.raw == *body).count(), 1);
    }
    assert_eq!(arrived.len(), bodies.len());
    for package in &before {
        assert!(
            dataway.packages().iter().any(|later| later.answered == Step::Take && later.id() == package.id()),
            "what was sent before the crash came under the same id after it"
        );
    }
    assert_eq!(dataway.await_points(1)[0].name, "view");
    gateway.await_metric("kitgate_points_delivered_total{category=\"session_replay\"}", 3.0);
    gateway.await_metric("kitgate_points_spooled{category=\"session_replay\"}", 0.0);
    assert_balanced(&gateway, "session_replay");
}

#[test]
fn a_replay_that_is_refused_for_ever_is_a_dead_letter() {
    let dataway = Dataway::start();
    dataway.script(&[Step::Status(413), Step::Status(400)]);
    let gateway = Gateway::start("", &dataway.table());
    let bodies = [replay(1_000, 1), replay(1_000, 2)];
    for body in &bodies {
        assert_stored(&post_replay(&gateway, body));
    }
    gateway.await_metric("kitgate_points_dead_total{category=\"session_replay\"}", 2.0);
    let files = all_files(&gateway.data_dir().join("dead/session_replay"));
    let letters: Vec<u8> = files.iter().flat_map(|file| fs::read(file).unwrap()).collect();
    for body in &bodies {
        let whole = letters.windows(body.len()).any(|window| window == &body[..]);
        assert!(whole, "a dead letter holds the whole body");
    }
    assert_balanced(&gateway, "session_replay");
}

#[test]
fn replays_that_cannot_be_taken_are_told_so() {
    let gateway = Gateway::start("", "");
    let whole = replay(100, 1);
    let cut = &whole[..whole.len() - 10];
    let answer = post_replay(&gateway, cut);
    assert_eq!((answer.status, answer.body.len(), answer.header("Content-Type")), (413, 0, None));
    for content_type in ["text/plain", "multipart/form-data"] {
        let answer = gateway.client().request("POST", REPLAY, &[("Content-Type", content_type)], &whole);
        assert_eq!((answer.status, answer.body.len()), (413, 0), "{content_type}");
    }
    // By its announcement, before a byte of it.
    let mut client = gateway.client();
    client.send(
        format!(
            "POST {REPLAY} HTTP/1.1\r\nHost: h\r\nOrigin: http://a\r\nContent-Type: {}\r\n\
             Content-Length: 999999999\r\n\r\n",
            content_type()
        )
        .as_bytes(),
    );
    let answer = client.receive(false);
    assert_eq!(answer.status, 400);
    assert_eq!(answer.text(), "request body size [999999999] exceeds the limit");
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("http://a"));
    assert!(client.is_closed());

    let answer = gateway.post("/v1/write/session_replay", VIEW);
    assert!(answer.status == 400 && answer.text().contains("datakit.invalidCategory"), "{answer:?}");
    let to = gateway.post("/v1/write/rum/replay/", b"");
    assert_eq!((to.status, to.header("Location")), (307, Some(REPLAY)));
    assert_balanced(&gateway, "session_replay");
}

#[test]
fn a_full_log_of_replays_refuses_them_and_nothing_else() {
    let dataway = Dataway::start();
    dataway.always(Step::Status(503));
    let gateway = Gateway::start("", &format!("{}[rum]\nreplay_capacity = \"64MiB\"\n", dataway.table()));
    let body = replay(25 << 20, 1);
    let mut taken = 0;
    let refused = loop {
        let answer = gateway.client().request(
            "POST",
            REPLAY,
            &[("Content-Type", &content_type()), ("Origin", "http://a")],
            &body,
        );
        if answer.status != 200 {
            break answer;
        }
        taken += 1;
        assert!(taken < 3, "64 MiB hold two of 25 MiB");
    };
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("Retry-After").is_some());
    assert_eq!(refused.header("Access-Control-Allow-Origin"), Some("http://a"));
    assert_eq!(gateway.post("/v1/write/rum?precision=ms", VIEW).status, 200);
    dataway.always(Step::Take);
    assert_eq!(dataway.await_raw(taken).len(), taken);
    assert_eq!(dataway.await_points(1).len(), 1);
    assert_balanced(&gateway, "session_replay");
}

#[test]
fn the_archive_keeps_a_replay_as_a_file() {
    let gateway = Gateway::start("", "");
    let body = replay(5_000, 1);
    assert_stored(&post_replay(&gateway, &body));
    gateway.await_metric("kitgate_points_delivered_total{category=\"session_replay\"}", 1.0);
    let files = all_files(&gateway.data_dir().join("archive/rum-replay"));
    let [file] = &files[..] else { panic!("{files:?}") };
    assert!(file.extension().is_some_and(|end| end == "http"), "{file:?}");
    let kept = fs::read(file).unwrap();
    let head = format!("POST {REPLAY} HTTP/1.1\r\nContent-Type: {}\r\n\r\n", content_type());
    assert_eq!(String::from_utf8_lossy(&kept[..head.len()]), head);
    assert_eq!(kept[head.len()..], body[..]);
}

#[test]
fn a_new_database_of_places_takes_the_old_ones_place_and_a_damaged_one_does_not() {
    let cities = |name: &str| {
        mmdb::Mmdb::new("Test-City")
            .put("81.2.69.0", 24, &mmdb::city(Some(name), Some("England"), Some("GB")))
            .put("1.160.0.0", 12, &mmdb::city(Some("Taipei"), None, Some("TW")))
            .finish()
    };
    let providers =
        mmdb::Mmdb::new("Test-ISP").put("81.2.0.0", 16, &mmdb::isp("isp", "Andrews & Arnold")).finish();
    let folder = super::harness::scratch();
    let (city, isp) = (folder.path().join("city.mmdb"), folder.path().join("isp.mmdb"));
    fs::write(&city, cities("London")).unwrap();
    fs::write(&isp, &providers).unwrap();
    let mut gateway = Gateway::start(
        "",
        &format!(
            "[rum]\ngeoip_database = {city:?}\nisp_database = {isp:?}\nrum_origin_ip_header = \"X-Client\"\n"
        ),
    );
    let place = |gateway: &Gateway, ip: &str| {
        let target = "/v1/write/rum?precision=ms&echo=lp&dry=1";
        let answer = gateway.client().request("POST", target, &[("X-Client", ip)], VIEW);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text()
    };
    let replaced = |gateway: &Gateway, wanted: &str| {
        let deadline = Instant::now() + PATIENCE;
        while !place(gateway, "81.2.69.1").contains(wanted) {
            assert!(Instant::now() < deadline, "{wanted}");
            thread::sleep(Duration::from_millis(50));
        }
    };
    assert_eq!(
        place(&gateway, "81.2.69.1"),
        "view,app_id=a,city=London,country=GB,ip=81.2.69.1,isp=Andrews\\ &\\ Arnold,province=England,sdk_name=s \
         time_spent=1 1700000000000000000"
    );
    assert!(
        place(&gateway, "1.160.0.9")
            .contains("city=Taipei,country=CN,ip=1.160.0.9,isp=unknown,province=Taiwan")
    );
    assert!(place(&gateway, "9.9.9.9").contains("city=unknown,country=unknown"));

    let put = |bytes: &[u8]| {
        let new = folder.path().join("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(&new, &city).unwrap();
    };
    put(&cities("Leeds"));
    replaced(&gateway, "city=Leeds");
    put(&cities("York")[..100]);
    // Whether it has been looked at shows in the log; then a good one comes again.
    thread::sleep(Duration::from_secs(3));
    assert!(place(&gateway, "81.2.69.1").contains("city=Leeds"), "what was known stays known");
    put(&cities("Bath"));
    replaced(&gateway, "city=Bath");
    gateway.stop();
    let told =
        gateway.log.iter().filter(|line| line.contains("the database of addresses is damaged")).count();
    assert_eq!(told, 1, "{:#?}", gateway.log);
}

/// The files in a folder and those below it.
fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(all_files(&path));
        } else {
            files.push(path);
        }
    }
    files
}
