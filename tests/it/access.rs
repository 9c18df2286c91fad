//! Who may ask, how often, and for whom: on the real program.

use std::{fs, io::Read, path::Path};

use super::harness::{
    Gateway,
    dataway::{Dataway, Step},
    http::Answer,
    points::Value,
};

const TOKEN_A: &str = "tkn_aaaaaaaaaaaaaaaa0123456789abcdef";
const TOKEN_B: &str = "tokn_bbbbbbbbbbbb0123456789ab";
const UNKNOWN: &str = "tkn_cccccccccccccccc0123456789abcdef";

fn http_api(keys: &str) -> String {
    format!("[http_api]\nlisten = \"127.0.0.1:0\"\n{keys}\n")
}

fn code(answer: &Answer) -> String {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    body["error_code"].as_str().unwrap_or_default().to_owned()
}

/// Everything in the files under `folder`, unpacked.
fn read_all(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(read_all(&path));
        } else if path.extension().is_some_and(|extension| extension == "gz") {
            let bytes = fs::read(&path).expect("a file");
            flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut all).expect("gzip");
        } else {
            all.extend(fs::read(&path).expect("a file"));
        }
    }
    all
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn what_is_not_public_is_for_this_machine_alone() {
    let gateway = Gateway::start("", "");
    let outside = [("X-Forwarded-For", "127.0.0.1")];
    let mut client = gateway.client();
    let refused = client.request("GET", "/metrics", &outside, b"");
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.text(),
        "{\"error_code\":\"datakit.publicAccessDisabled\",\"message\":\"api /metrics disabled from external IP, only \
         loopback(localhost) allowed\"}"
    );
    assert_eq!(refused.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(refused.header("Access-Control-Allow-Origin"), Some("*"));
    // The same connection goes on, also behind a body that nobody reads, and one that comes in pieces.
    assert_eq!(
        client.request("POST", "/nope", &[("X-Real-IP", "::1")], b"POST / HTTP/1.1\r\n\r\n").status,
        403
    );
    client.send(b"POST /nope HTTP/1.1\r\nHost: h\r\nX-Real-IP: ::1\r\nContent-Length: 200000\r\n\r\n");
    client.send(&vec![b'x'; 70_000]);
    assert_eq!(client.receive(false).status, 403, "before all of the body is there");
    client.send(&vec![b'x'; 130_000]);
    assert_eq!(client.request("POST", "/v1/write/metric", &outside, b"m f=1i").status, 200);
    assert_eq!(client.request("OPTIONS", "/metrics", &outside, b"").status, 204);
    assert_eq!(client.request("GET", "/livez", &outside, b"").status, 200);
    assert_eq!(client.request("GET", "/metrics", &[], b"").status, 200);
    // What is pipelined behind a refused request is answered.
    client.send(b"POST /nope HTTP/1.1\r\nHost: h\r\nX-Real-IP: ::1\r\nContent-Length: 3\r\n\r\nabc");
    client.send(b"GET /v1/ping HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((client.receive(false).status, client.receive(false).status), (403, 200));
    // Where the end of the body cannot be known, the connection ends.
    for head in
        ["Expect: 100-continue\r\nContent-Length: 5", "Transfer-Encoding: chunked", "Content-Length: 9999999"]
    {
        let mut client = gateway.client();
        client.send(format!("POST /nope HTTP/1.1\r\nHost: h\r\nX-Real-IP: ::1\r\n{head}\r\n\r\n").as_bytes());
        let answer = client.receive(false);
        assert_eq!((answer.status, answer.header("Connection")), (403, Some("close")), "{head}");
        assert!(client.is_closed(), "{head}");
    }
    assert_eq!(gateway.metric("kitgate_refused_total{reason=\"not_public\"}"), 7.0);
}

#[test]
fn the_list_of_public_paths_is_the_users() {
    let gateway = Gateway::start("", &http_api("public_apis = [\"metrics\", \"/v1/write/metric\"]"));
    let mut client = gateway.client();
    for (method, target, status) in [
        ("GET", "/metrics", 200),
        ("GET", "/v1/ping", 200),
        ("GET", "/v1/ntp", 200),
        ("POST", "/v1/write/metric", 200),
        ("POST", "/v1/write/logging", 403),
        ("POST", "/v1/write/metric/", 403),
    ] {
        let answer = client.request(method, target, &[("X-Forwarded-For", "192.0.2.1")], b"m f=1i");
        assert_eq!(answer.status, status, "{target}");
    }
}

#[test]
fn past_the_rate_a_sender_keeps_its_data_and_its_connection() {
    let gateway = Gateway::start("", &http_api("request_rate_limit = 0.01\nrequest_rate_limit_burst = 2"));
    let mut client = gateway.client();
    for forwarded in ["1.1.1.1", "2.2.2.2", "3.3.3.3"] {
        let headers = [("X-Forwarded-For", forwarded)];
        let answer = client.request("POST", "/v1/write/metric", &headers, b"m f=1i");
        assert_eq!(answer.header("X-Rate-Limit-Limit"), Some("0.01"));
        assert_eq!(answer.header("X-Rate-Limit-Duration"), Some("1"));
        assert_eq!(answer.header("X-Rate-Limit-Request-Forwarded-For"), Some(forwarded));
        let remote = answer.header("X-Rate-Limit-Request-Remote-Addr").expect("the peer");
        assert!(remote.starts_with("127.0.0.1:"), "{remote}");
        if forwarded == "3.3.3.3" {
            assert_eq!((answer.status, code(&answer).as_str()), (503, "datakit.reachMaxAPILimit"));
            assert_eq!(answer.header("Retry-After"), Some("100"));
            assert_eq!(answer.header("Connection"), None);
        } else {
            assert_eq!((answer.status, answer.header("Retry-After")), (200, None));
        }
    }
    // Other routes have their own count, and what collectors register in DataKit has none.
    assert_eq!(client.request("POST", "/v1/write/logging", &[], b"m f=1i").status, 200);
    for _ in 0..3 {
        let answer = client.request("POST", "/v1/write/logstreaming", &[], b"a line");
        assert_eq!((answer.status, answer.header("X-Rate-Limit-Limit")), (200, None));
    }
    // Two counts of three have gone to the page itself after this.
    assert_eq!(gateway.metric("kitgate_refused_total{reason=\"rate_limit\"}"), 1.0);
    let label = "{api=\"other\",method=\"POST\",status=\"Service Unavailable\"}";
    assert_eq!(gateway.metric(&format!("datakit_http_api_total{label}")), 1.0);
    assert_eq!(gateway.get("/metrics").status, 503);
}

#[test]
fn datakits_own_limit_is_429_and_believes_what_it_is_told() {
    let keys = "request_rate_limit = 0.01\nrequest_rate_limit_burst = 1";
    let gateway = Gateway::start("compat = \"datakit-1.84\"", &http_api(keys));
    let mut client = gateway.client();
    for (forwarded, status) in
        [("9.9.9.9, 1.1.1.1", 200), ("8.8.8.8, 1.1.1.1", 429), ("1.1.1.1, 2.2.2.2", 200)]
    {
        let answer = client.request("POST", "/v1/write/metric", &[("X-Forwarded-For", forwarded)], b"m f=1i");
        assert_eq!((answer.status, answer.header("Retry-After")), (status, None), "{forwarded}");
        if status == 429 {
            assert_eq!(answer.text(), "{\"error_code\":\"datakit.reachMaxAPILimit\"}");
        }
    }
}

#[test]
fn behind_a_trusted_proxy_each_client_has_its_own_rate() {
    let keys = "request_rate_limit = 0.01\nrequest_rate_limit_burst = 1\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let gateway = Gateway::start("", &http_api(keys));
    let mut client = gateway.client();
    for (forwarded, status) in
        [("1.1.1.1", 200), ("7.7.7.7, 1.1.1.1", 503), ("2.2.2.2", 200), ("2.2.2.2, 127.0.0.9", 503)]
    {
        let answer = client.request("POST", "/v1/write/metric", &[("X-Forwarded-For", forwarded)], b"m f=1i");
        assert_eq!(answer.status, status, "{forwarded}");
    }
}

#[test]
fn workspaces_are_kept_apart_also_across_a_crash() {
    let dataway = Dataway::start();
    let address = dataway.address();
    let table = dataway.table().replace("?token=", "?a=1&z=2&token=");
    let mut gateway = Gateway::start("", &table);
    drop(dataway);
    for (query, workspace) in [
        (format!("?token={TOKEN_A}"), "a"),
        (format!("?token={TOKEN_B}&storage_index=i"), "b"),
        (String::new(), "own"),
    ] {
        for n in 0..3 {
            let line = format!("m,workspace={workspace} n={n}i");
            assert_eq!(gateway.post(&format!("/v1/write/logging{query}"), line.as_bytes()).status, 200);
        }
    }
    gateway.await_metric("kitgate_points_spooled{category=\"logging\"}", 9.0);
    let page = gateway.get("/metrics").text();
    gateway.kill();

    let dataway = Dataway::start_at(address);
    gateway.run();
    assert_eq!(dataway.await_points(9).len(), 9);
    gateway.await_metric("kitgate_points_delivered_total{category=\"logging\"}", 9.0);
    let own = "tkn_0123456789abcdef0123456789abcdef";
    let mut seen = 0;
    for package in dataway.taken() {
        let (token, index) = match package.points[0].tags["workspace"].as_str() {
            "a" => (TOKEN_A, None),
            "b" => (TOKEN_B, Some("i")),
            _ => (own, None),
        };
        assert_eq!(package.query, format!("a=1&token={token}&z=2"));
        assert_eq!(package.headers.get("x-storage-index-name").map(String::as_str), index);
        assert!(
            package.points.iter().all(|point| point.tags["workspace"] == package.points[0].tags["workspace"])
        );
        seen += package.points.len();
    }
    assert_eq!(seen, 9);
    assert!(gateway.stop().success());
    let log = gateway.log.join("\n");
    for text in [&log, &page] {
        assert!(!text.contains(&TOKEN_A[4..]) && !text.contains(&TOKEN_B[5..]), "{text}");
    }
}

#[test]
fn a_refused_workspace_does_not_hold_up_the_others() {
    let dataway = Dataway::start();
    let mut gateway = Gateway::start("", &dataway.table());
    // Refused when it comes; by the time it is tried again somebody has mended it.
    dataway.script(&[Step::Status(403)]);
    let target = format!("/v1/write/metric?token={TOKEN_A}");
    assert_eq!(gateway.post(&target, b"m,workspace=a f=1i").status, 200);
    gateway.await_metric("kitgate_upload_side_points{category=\"metric\"}", 1.0);
    gateway.await_metric("kitgate_upload_tokens_refused{target=\"1\"}", 1.0);
    gateway.await_metric("kitgate_points_spooled{category=\"metric\"}", 1.0);
    assert_eq!(gateway.post("/v1/write/metric", b"m,workspace=own f=2i").status, 200);
    let points = dataway.await_points(1);
    assert_eq!(points[0].fields["f"], Value::Int(2));
    // What waits goes out by itself, and the account is even.
    let points = dataway.await_points(2);
    assert_eq!(points[1].fields["f"], Value::Int(1));
    gateway.await_metric("kitgate_points_delivered_total{category=\"metric\"}", 2.0);
    gateway.await_metric("kitgate_upload_side_points{category=\"metric\"}", 0.0);
    gateway.await_metric("kitgate_points_in_flight{category=\"metric\"}", 0.0);
    assert!(gateway.stop().success());
    let names: Vec<_> = std::fs::read_dir(gateway.data_dir().join("side/metric")).unwrap().collect();
    let names: Vec<String> =
        names.into_iter().map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].contains("-t") && !names[0].contains(&TOKEN_A[4..]), "{names:?}");
    assert!(!holds(gateway.log.join("\n").as_bytes(), &TOKEN_A[4..]));
}

#[test]
fn the_archive_does_not_tell_tokens() {
    let mut gateway = Gateway::start("", "");
    let target = format!("/v1/write/metric?token={TOKEN_A}");
    assert_eq!(gateway.post(&target, b"m f=1i").status, 200);
    gateway.await_metric("kitgate_points_delivered_total{category=\"metric\"}", 1.0);
    assert!(gateway.stop().success());
    let archive = read_all(&gateway.data_dir().join("archive"));
    assert!(holds(&archive, " route=token=tkn_***\n") && !holds(&archive, &TOKEN_A[4..]));
}

#[test]
fn tokens_that_are_not_served_are_refused() {
    let dataway = Dataway::start();
    let tables = format!("{}{}", http_api(&format!("tokens = [\"{TOKEN_A}\"]")), dataway.table());
    let mut gateway = Gateway::start("", &tables);
    let mut client = gateway.client();
    for (token, status) in [(TOKEN_A, 200), (UNKNOWN, 403), ("tkn_short1234", 403)] {
        for path in ["/v1/write/metric", "/v1/write/logstreaming"] {
            let answer = client.request("POST", &format!("{path}?token={token}"), &[], b"m f=1i");
            assert_eq!(answer.status, status, "{path}");
            if status == 403 {
                assert_eq!(code(&answer), "datakit.invalidToken");
                assert!(!answer.text().contains(&token[4..]), "{answer:?}");
            }
        }
        let asked =
            client.request("GET", &format!("/v1/check/token/{token}"), &[("X-Real-IP", "1.1.1.1")], b"");
        let body: serde_json::Value = serde_json::from_slice(&asked.body).expect("JSON");
        assert_eq!((asked.status, body["code"].as_u64()), (status, Some(u64::from(status))));
        assert!(!asked.text().contains(&token[4..]), "{asked:?}");
    }
    assert_eq!(dataway.await_points(2).len(), 2);
    let page = gateway.get("/metrics").text();
    assert!(page.contains("kitgate_refused_total{reason=\"token\"} 6\n"), "{page}");
    assert!(gateway.stop().success());
    for token in [TOKEN_A, UNKNOWN] {
        assert!(!gateway.log.join("\n").contains(&token[4..]) && !page.contains(&token[4..]));
    }
}

#[test]
fn without_token_routing_a_token_is_ignored() {
    let dataway = Dataway::start();
    let gateway = Gateway::start("compat = \"datakit-1.84\"", &dataway.table());
    assert_eq!(gateway.post("/v1/write/metric?token=abc", b"m f=1i").status, 200);
    assert_eq!(gateway.post(&format!("/v1/write/metric?token={TOKEN_A}"), b"m f=2i").status, 200);
    dataway.await_points(2);
    for package in dataway.taken() {
        assert_eq!(package.query, "token=tkn_0123456789abcdef0123456789abcdef");
    }
    assert_eq!(gateway.get(&format!("/v1/check/token/{TOKEN_A}")).status, 404);
}

#[test]
fn log_streams_are_taken() {
    let dataway = Dataway::start();
    let gateway = Gateway::start("", &dataway.table());
    let answer = gateway.post("/v1/write/logstreaming?source=nginx&tags=env=prod", b"one\ntwo\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (200, "{\"status\":\"success\"}"));
    assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=utf-8"));
    let records = br#"[{"date":1700000000.25,"log":"three","source":"stdout"}]"#;
    assert_eq!(gateway.post("/v1/write/logstreaming?type=firelens", records).status, 200);
    let mut points = dataway.await_points(3);
    points.sort_by_key(|point| point.fields["message"] == Value::Text("three".to_owned()));
    assert_eq!((points[0].name.as_str(), points[2].name.as_str()), ("nginx", "default"));
    assert_eq!(points[0].tags["env"], "prod");
    assert_eq!(points[0].tags["service"], "nginx");
    assert_eq!(points[2].fields["firelens_source"], Value::Text("stdout".to_owned()));
    assert_eq!(points[2].time_ns, 1_700_000_000_250_000_000);
    // Nothing, a bad body, and one that is decoded in steps.
    assert_eq!(gateway.post("/v1/write/logstreaming", b"").status, 200);
    let bad = gateway.post("/v1/write/logstreaming?type=influxdb", b"m f=");
    assert_eq!((bad.status, bad.body.len(), bad.header("Content-Type")), (400, 0, None));
    let many = "a line of a log\n".repeat(100_000);
    assert_eq!(gateway.post("/v1/write/logstreaming", many.as_bytes()).status, 200);
    gateway.await_metric("kitgate_points_delivered_total{category=\"logging\"}", 100_003.0);
    gateway.await_metric("kitgate_points_in_flight{category=\"logging\"}", 0.0);
}

#[test]
fn idle_lanes_make_room_for_new_ones() {
    let gateway = Gateway::start("destination = \"blackhole\"", "");
    let mut client = gateway.client();
    for n in 0..1200 {
        let target = format!("/v1/write/metric?token=tkn_{n:032}&ack=memory");
        let answer = client.request("POST", &target, &[], b"m f=1i");
        assert_eq!(answer.status, 200, "{n}: {answer:?}");
    }
    gateway.await_metric("kitgate_points_delivered_total{category=\"metric\"}", 1200.0);
}

#[test]
fn a_browsers_public_token_is_left_to_the_destination() {
    let dataway = Dataway::start();
    let own = "token=tkn_0123456789abcdef0123456789abcdef";
    let gateway = Gateway::start("", &dataway.table());
    let form = [("Content-Type", "multipart/form-data; boundary=x")];
    let body = b"--x\r\nContent-Disposition: form-data; name=\"app_id\"\r\n\r\na\r\n--x--\r\n";
    let mut client = gateway.client();
    let mut sent_packages = 0;
    for (token, sent) in [("b2c8f5d07f4a4b0e", own), (TOKEN_A, &*format!("token={TOKEN_A}"))] {
        let view = b"view,app_id=a,sdk_name=s time_spent=1 1700000000000";
        assert_eq!(client.request("POST", &format!("/v1/write/rum?token={token}"), &[], view).status, 200);
        assert_eq!(
            client.request("POST", &format!("/v1/write/rum/replay?token={token}"), &form, body).status,
            200
        );
        sent_packages += 2;
        let packages = dataway.await_packages(sent_packages);
        for path in ["/v1/write/rum", "/v1/write/rum/replay"] {
            let last = packages.iter().rfind(|package| package.path == path);
            assert_eq!(last.map(|package| package.query.as_str()), Some(sent), "{path}");
        }
    }
}
