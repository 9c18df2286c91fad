//! The routes for people and their tools, with the real binary: tags that change while it runs, reports, what is not
//! there.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::dataway::Dataway;
use crate::harness::{BINARY, Gateway, scratch};

fn object(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn ask(gateway: &Gateway, method: &str, target: &str) -> (u16, Value) {
    let answer = gateway.client().request(method, target, &[], b"");
    (answer.status, object(&answer.text()))
}

#[test]
fn tags_count_from_the_next_point_on_and_over_restarts() {
    let upstream = Dataway::start();
    let tables = format!(
        "{}\n# our tags\n[global_host_tags] # of this edge\nhost = \"edge\" # its name\n",
        upstream.table()
    );
    let mut gateway = Gateway::start("# the top", &tables);
    assert_eq!(
        ask(&gateway, "GET", "/v1/global/host/tags"),
        (200, json!({ "host-tags": { "host": "edge" } }))
    );

    let mut client = gateway.client();
    assert_eq!(client.request("POST", "/v1/write/metric", &[], b"m f=1i").status, 200);
    let all = json!({ "host": "edge", "zone": "a b" });
    assert_eq!(
        ask(&gateway, "POST", "/v1/global/host/tags?zone=a%20b&host=no"),
        (200, json!({ "dataway-tags": all, "election-tags": all, "host-tags": all }))
    );
    // On a connection that was there before.
    assert_eq!(client.request("POST", "/v1/write/metric", &[], b"m f=2i").status, 200);
    assert_eq!(client.request("POST", "/v1/write/metric?global_election_tags=1", &[], b"m f=3i").status, 200);
    let points = upstream.await_points(3);
    let zones: Vec<Option<&str>> =
        points.iter().map(|point| point.tags.get("zone").map(String::as_str)).collect();
    assert_eq!(zones, [None, Some("a b"), Some("a b")]);

    let text = fs::read_to_string(gateway.config_file()).unwrap();
    assert!(
        text.contains("# the top") && text.contains("# our tags\n[global_host_tags] # of this edge\n"),
        "{text}"
    );
    assert!(text.contains("host = \"edge\" # its name\nzone = \"a b\"\n"), "{text}");
    gateway.stop();
    gateway.run();
    assert_eq!(ask(&gateway, "GET", "/v1/global/host/tags").1, json!({ "host-tags": all }));
    let (status, left) = ask(&gateway, "DELETE", "/v1/global/host/tags?tags=zone,host");
    assert_eq!((status, &left["host-tags"]), (200, &json!({ "host": "edge" })));
    // A reload finds in the file what is in force.
    let (code, said) = gateway.tool(&["reload"]);
    assert_eq!((code, said.trim()), (0, "nothing has changed"));
}

#[test]
fn the_election_has_tags_of_its_own_where_it_is_on() {
    let tables = "[election]\nenable = true\n[election.tags]\ncluster = \"c\"\n";
    let gateway = Gateway::start("", tables);
    let (status, tags) = ask(&gateway, "POST", "/v1/global/election/tags?e=1");
    assert_eq!((status, &tags["election-tags"]), (200, &json!({ "cluster": "c", "e": "1" })));
    assert!(tags["host-tags"].get("e").is_none() && tags["dataway-tags"]["e"] == json!("1"), "{tags}");
    assert!(fs::read_to_string(gateway.config_file()).unwrap().contains("cluster = \"c\"\ne = \"1\"\n"));
    let (_, tags) = ask(&gateway, "DELETE", "/v1/global/election/tags?tags=cluster");
    assert_eq!(tags["election-tags"], json!({ "e": "1" }));
    // More than points can carry is refused, and nothing of it stays.
    let many: Vec<String> = (0..60).map(|number| format!("t{number}=1")).collect();
    let (status, refusal) = ask(&gateway, "POST", &format!("/v1/global/host/tags?{}", many.join("&")));
    assert_eq!((status, &refusal["error_code"]), (500, &json!("kitgate.tagsNotChanged")));
    let tags = ask(&gateway, "GET", "/v1/global/host/tags").1;
    assert_eq!(tags["host-tags"].as_object().unwrap().len(), 1);
}

/// Without a configuration's file they are kept beside the data.
#[test]
fn tags_of_the_embedded_default_are_read_from_beside_the_data() {
    let folder = scratch();
    fs::create_dir(folder.path().join("kitgate-data")).unwrap();
    fs::write(folder.path().join("kitgate-data/kitgate.toml"), "[global_host_tags]\nzone = \"z\"\n").unwrap();
    let output = Command::new(BINARY).arg("check").current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("zone=z"), "{said}");
}

#[test]
fn what_needs_a_destination_says_so_where_there_is_none() {
    let gateway = Gateway::start("", "");
    for (method, target) in [
        ("POST", "/v1/query/raw"),
        ("POST", "/v1/object/labels"),
        ("DELETE", "/v1/object/labels"),
        ("GET", "/v1/workspace"),
        ("GET", "/v1/env_variable?app_id=a"),
    ] {
        let answer = gateway.client().request(method, target, &[], b"{}");
        let error = object(&answer.text());
        assert_eq!((answer.status, &error["error_code"]), (500, &json!("datawayTokenMissing")), "{target}");
        assert!(error["message"].as_str().unwrap().contains("[dataway]"), "{error}");
    }
}

#[test]
fn reports_show_in_metrics_and_the_page_in_gzip() {
    let gateway = Gateway::start("", "");
    let report = br#"{"input":"redis","source":"us-east-9xwha","err_content":"Cache \"avalanche\""}"#;
    assert_eq!(gateway.post("/v1/lasterror", report).status, 200);
    assert_eq!(gateway.post("/v1/lasterror", report).status, 200);
    let series = r#"datakit_error_total{source="us-east-9xwha",category="unknown"}"#;
    assert_eq!(gateway.metric(series), 2.0);
    let page = gateway.get("/metrics").text();
    let line = r#"datakit_last_err{input="redis",source="us-east-9xwha",category="unknown",error="Cache \"avalanche\""} 1"#;
    assert!(page.contains(line), "{page:.300}");
    let packed = gateway.client().request("GET", "/metrics", &[("Accept-Encoding", "br, gzip;q=0.5")], b"");
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut text).unwrap();
    assert!(text.contains("# TYPE kitgate_ready gauge"));
    let plain = gateway.client().request("GET", "/metrics", &[("Accept-Encoding", "gzip;q=0, *;q=0.0")], b"");
    assert_eq!(plain.header("Content-Encoding"), None);
}

/// More questions than threads: those that find none are told to come again, and everybody else is served meanwhile.
#[test]
fn questions_to_a_silent_destination_hold_up_nobody() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tables = format!(
        "[http_api]\nlisten = \"127.0.0.1:0\"\ntimeout = \"2s\"\n[dataway]\nurls = [\"http://{}?token=tkn_1\"]\n",
        silent.local_addr().unwrap()
    );
    let gateway = Gateway::start("", &tables);
    let address = gateway.address();
    let asking: Vec<_> = (0..100)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = crate::harness::http::Client::connect(address);
                client.request("POST", "/v1/query/raw", &[], b"{}").status
            })
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let begun = std::time::Instant::now();
    assert_eq!(gateway.post("/v1/write/metric", b"m f=1i").status, 200);
    assert_eq!(gateway.get("/metrics").status, 200);
    assert!(begun.elapsed() < std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
    let statuses: Vec<u16> = asking.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(statuses.iter().all(|status| matches!(status, 408 | 500 | 503)), "{statuses:?}");
    assert!(statuses.contains(&503) && statuses.iter().any(|status| *status != 503), "{statuses:?}");
}

/// A question is a small thing, whatever writes may be.
#[test]
fn a_question_has_a_bound_of_its_own() {
    let gateway = Gateway::start("", "");
    let mut client = gateway.client();
    let large =
        format!("POST /v1/query/raw HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", (8 << 20) + 1);
    client.send(large.as_bytes());
    let answer = client.receive(false);
    let error = object(&answer.text());
    assert_eq!((answer.status, &error["error_code"]), (413, &json!("kitgate.bodyTooLarge")), "{error}");
    // Without a length, too.
    let mut client = gateway.client();
    client.send(b"POST /v1/lasterror HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    for _ in 0..9 {
        if !client.try_send(&chunk) {
            break;
        }
    }
    assert_eq!(client.receive(false).status, 413);
    // As large as a question may be, it is one.
    let padded = format!("{{\"queries\":[]{}}}", " ".repeat((8 << 20) - 14));
    assert_eq!(gateway.post("/v1/query/raw", padded.as_bytes()).status, 500);
}
