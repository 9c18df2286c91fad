//! Whole requests: what is refused, what is answered, what is recorded.

use std::io::{Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::testing::*;
use super::*;

fn rule() -> Value {
    json!([{"status_code": [{"is": "200"}]}])
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn what_is_no_request_is_refused_as_recorded() {
    let wrapped = ", err: error code [datakit.invalidRequest], http code [400], err: invalid request";
    let error = |body: &str| {
        let (status, answer) = ask_with(&open(), body, Duration::from_secs(10));
        assert_eq!(status, 400, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["error_code"], "datakit.invalidRequest");
        answer["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(error(""), format!("unexpected end of JSON input{wrapped}"));
    assert_eq!(
        error("[]"),
        format!(
            "json: cannot unmarshal array into Go value of type httpapi.dialtestingDebugRequest{wrapped}"
        )
    );
    assert_eq!(
        error(r#"{"task_type":5}"#),
        format!(
            "json: cannot unmarshal number into Go struct field dialtestingDebugRequest.task_type of type string{wrapped}"
        )
    );
    assert_eq!(error("null"), "unknown task type:");
    assert_eq!(error("{}"), "unknown task type:");
    assert_eq!(error(r#"{"task_type":"grpc"}"#), "unknown task type:GRPC");
    assert_eq!(error(r#"{"task_type":"http"}"#), "the request has no task");
    assert_eq!(error(r#"{"task_type":"icmp","Task":null}"#), "the request has no task");
    let task = |kind: &str, task: Value| refusal(&open(), kind, task);
    assert_eq!(task("http", json!({"status": "Stop"})), "the task status is stop");
    assert!(task("tcp", json!({"port": 80})).starts_with(
        "json.Unmarshal failed: json: cannot unmarshal number into Go struct field TCPTask.port of type string, task json: {"
    ));
    for (kind, body, message) in [
        ("http", json!({"url": "http://h/"}), "task check failed: no any check rule"),
        (
            "http",
            json!({"success_when": [{"response_time": "1x"}]}),
            "task check failed: time: unknown unit \"x\" in duration \"1x\"",
        ),
        (
            "http",
            json!({"success_when": [{"body": [{"match_regex": "("}]}]}),
            "task check failed: error parsing regexp: missing closing ): `(`",
        ),
        (
            "http",
            json!({"success_when": rule(), "advance_options": {"request_body": {"body_type": "x"}}}),
            "task check failed: invalid body type: `x'",
        ),
        (
            "http",
            json!({"url": "http://{{who}}/", "success_when": rule()}),
            "render template error: render url failed: parse template error: variable 'who' not defined",
        ),
        (
            "http",
            json!({"config_vars": [{"name": "1"}], "success_when": rule()}),
            "task check failed: invalid variable name 1",
        ),
        ("tcp", json!({}), "task check failed: host should not be empty"),
        ("tcp", json!({"host": "h"}), "task check failed: port should not be empty"),
        ("tcp", json!({"host": "h", "port": "1"}), "task check failed: no any check rule"),
        ("icmp", json!({}), "task check failed: host should not be empty"),
        ("icmp", json!({"host": "h", "timeout": "x"}), "task check failed: time: invalid duration \"x\""),
        ("websocket", json!({}), "task check failed: URL should not be empty"),
        (
            "websocket",
            json!({"url": "ws://h:x", "success_when": [{}]}),
            "task check failed: parse \"ws://h:x\": invalid port \":x\" after host",
        ),
        ("multi", json!({}), "no steps found"),
        ("multi", json!({"steps": [{"type": "x"}]}), "step type should be wait or http"),
        (
            "multi",
            json!({"steps": [{"type": "wait", "value": 181}]}),
            "task check failed: wait step value should be in 1 ~ 180",
        ),
        (
            "multi",
            json!({"steps": [{"type": "http"}]}),
            "task check failed: http step task should not be empty",
        ),
        (
            "multi",
            json!({"steps": [{"type": "http", "task": "{}", "retry": {"retry": 6}}]}),
            "task check failed: retry should be in 0 ~ 5",
        ),
        (
            "multi",
            json!({"steps": [{"type": "http", "task": "{}"}]}),
            "task check failed: check task failed: no any check rule",
        ),
        (
            "multi",
            json!({"steps": [{"type": "http", "task": "{"}]}),
            "task check failed: new task failed: json.Unmarshal failed: unexpected end of JSON input, task json: {",
        ),
    ] {
        assert_eq!(task(kind, body), message);
    }
    let big = format!("{{\"task_type\":\"{}\"}}", "x".repeat(BODY_BYTES_MAX));
    assert_eq!(ask_with(&open(), &big, Duration::from_secs(10)).0, 413);
}

#[test]
fn a_connection_is_a_test_of_its_own() {
    let server = Server::start(|mut socket, heard| {
        let mut buf = [0; 64];
        let read = socket.read(&mut buf).unwrap_or(0);
        let _ = heard.send(buf[..read].to_vec());
        let _ = socket.write_all(b"pong");
    });
    let (host, port) = (server.address.ip().to_string(), server.address.port().to_string());
    let task = json!({"name": "t", "host": host, "port": port, "message": "ping", "success_when": [{
        "response_time": [{"target": "5s", "is_contain_dns": true}], "response_message": [{"is": "pong"}]}]});
    let content = ask(&open(), "TCP", task);
    let fields = &content["fields"];
    assert_eq!(content["status"], "success", "{content}");
    for (name, value) in [
        ("dest_host", json!(host)),
        ("dest_port", json!(port)),
        ("dest_ip", json!("127.0.0.1")),
        ("proto", json!("tcp")),
        ("response_message", json!("pong")),
        ("success", json!(1)),
        ("response_time_with_dns", fields["response_time"].clone()),
    ] {
        assert_eq!(fields[name], value, "{name}");
    }
    assert_eq!(server.heard(), "ping");
    let strict =
        json!({"host": host, "port": port, "success_when": [{"response_time": [{"target": "1ns"}]}]});
    let content = ask(&open(), "tcp", strict);
    let reason = failure(&content);
    assert!(
        reason.starts_with("TCP response time(") && reason.ends_with(") larger equal than 1ns"),
        "{reason}"
    );

    let gone = closed_port();
    let rules = json!([{"response_message": [{"is": "x"}]}]);
    let content =
        ask(&open(), "tcp", json!({"host": "127.0.0.1", "port": gone.to_string(), "success_when": rules}));
    assert_eq!(
        failure(&content),
        format!(
            "response message: expect to be `x', got `';dial tcp 127.0.0.1:{gone}: connect: connection refused"
        )
    );
    let content =
        ask(&open(), "tcp", json!({"host": "no-such-host.invalid", "port": "1", "success_when": [{}]}));
    assert_eq!(failure(&content), "lookup no-such-host.invalid: no such host");
    let content = ask(&open(), "tcp", json!({"host": "127.0.0.1", "port": "70000", "success_when": [{}]}));
    assert_eq!(failure(&content), "dial tcp: lookup tcp/70000: unknown port");
}

/// Where the machine lets us; elsewhere the reason says what is missing.
#[test]
fn echoes_and_ways_are_tested_where_the_machine_allows_it() {
    let target = "127.0.0.1".parse().unwrap();
    let icmp = json!({"host": "127.0.0.1", "packet_count": 1, "enable_traceroute": true, "success_when": [{
        "response_time": [{"func": "avg", "op": "lt", "target": "1s"}], "packet_loss_percent": [{"op": "eq", "target": 0}],
        "hops": [{"op": "eq", "target": 1}]}]});
    let content = ask(&open(), "icmp", icmp);
    if ping::Socket::open(target, true).is_err() {
        assert!(failure(&content).contains("CAP_NET_RAW"), "{content}");
        return;
    }
    let fields = &content["fields"];
    assert_eq!(content["status"], "success", "{content}");
    assert_eq!((&fields["packets_sent"], &fields["packets_received"]), (&json!(1), &json!(1)));
    assert!(fields["average_round_trip_time"].as_f64().unwrap() > 0.0);
    assert_eq!(
        (&fields["hops"], &fields["proto"], &fields["dest_host"]),
        (&json!(1), &json!("icmp"), &json!("127.0.0.1"))
    );
    let way: Value = serde_json::from_str(content["traceroute"].as_str().unwrap()).unwrap();
    assert_eq!((&way[0]["total"], &way[0]["items"][0]["ip"]), (&json!(2), &json!("127.0.0.1")));

    let v6 = ask(
        &open(),
        "icmp",
        json!({"host": "::1", "packet_count": 1, "success_when": [{"packets": [{"op": "eq", "target": 1}]}]}),
    );
    assert!(
        v6["status"] == "success" || failure(&v6).contains("address") || failure(&v6).contains("network"),
        "{v6}"
    );

    let tcp = json!({"host": "127.0.0.1", "port": closed_port().to_string(), "success_when": [{"hops": [{"op": "gt", "target": 3}]}]});
    let content = ask(&open(), "tcp", tcp);
    assert!(
        failure(&content).starts_with("traceroute hops check failed: 1 is less than target 3;dial tcp"),
        "{content}"
    );
    assert!(content["traceroute"].as_str().unwrap().starts_with("[{\"total\":2,"), "{content}");
}

#[test]
fn steps_follow_each_other() {
    let server = Server::answering(OK);
    let http = |code: &str| {
        json!({"name": "s", "method": "GET", "url": server.url("/{{v}}"), "success_when": [{"status_code": [{"is": code}]}]}).to_string()
    };
    let task = |steps: Value| json!({"name": "m", "tags": {"team": "a"}, "config_vars": [{"name": "v", "value": "x"}], "steps": steps});
    let good = task(
        json!([{"type": "http", "task": http("404"), "allow_failure": true}, {"type": "wait", "value": 1},
        {"type": "http", "task": http("200"), "extracted_vars": [{"name": "e", "field": "f", "secure": true}]}]),
    );
    let begun = Instant::now();
    let content = ask(&open(), "multi", good);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let fields = &content["fields"];
    assert_eq!(content["status"], "success", "{content}");
    assert_eq!(
        (&fields["success"], &fields["last_step"], &fields["team"]),
        (&json!(1), &json!(2), &json!("a"))
    );
    let steps: Value = serde_json::from_str(fields["steps"].as_str().unwrap()).unwrap();
    assert_eq!(
        steps[0]["fail_reason"],
        "run task failed: run HTTP step task failed: HTTP status: expect to be `404', got `200'"
    );
    assert_eq!((&steps[1]["type"], &steps[1]["value"]), (&json!("wait"), &json!(1)));
    assert_eq!(steps[2]["extracted_vars"], json!([{"name": "e", "field": "f", "secure": true}]));
    assert!(server.heard().starts_with("GET /x "));

    let bad = task(json!([{"type": "http", "task": http("404"), "retry": {"retry": 2, "interval": 10}},
        {"type": "http", "task": http("200")}, {"type": "wait", "value": 100}]));
    while server.heard.try_recv().is_ok() {}
    let content = ask(&open(), "multi", bad);
    assert!(
        failure(&content).starts_with("run task failed: run HTTP step task failed: HTTP status"),
        "{content}"
    );
    let fields = &content["fields"];
    assert_eq!((&fields["success"], &fields["last_step"]), (&json!(-1), &json!(0)));
    let steps: Value = serde_json::from_str(fields["steps"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&steps[1]["name"], steps[1].get("status"), steps[2].get("task_start_time")),
        (&json!("s"), None, None)
    );
    assert_eq!(server.heard.try_iter().count(), 3);
}

/// Every host of every kind, however it is written, and wherever it stands in the task.
#[test]
fn internal_hosts_are_refused_before_anything_is_dialled() {
    let trap = Server::answering(OK);
    let port = trap.address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0.0.0.0",
        "[::]",
        "[::ffff:127.0.0.1]",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "127.1",
        "2130706433",
        "0x7f000001",
        "LOCALHOST",
    ] {
        let plain = host.trim_matches(['[', ']']);
        let not_allowed = format!("dest host [{plain}] is not allowed to be tested");
        let url = format!("http://{host}:{port}/");
        assert_eq!(refusal(&closed(), "http", json!({"url": url, "success_when": rule()})), not_allowed);
        let ws = json!({"url": format!("ws://{host}:{port}/"), "success_when": [{}]});
        assert_eq!(refusal(&closed(), "websocket", ws), not_allowed);
        let tcp = json!({"host": plain, "port": port.to_string(), "success_when": [{}]});
        assert_eq!(refusal(&closed(), "tcp", tcp), not_allowed);
        assert_eq!(refusal(&closed(), "icmp", json!({"host": plain, "success_when": [{}]})), not_allowed);
    }
    // A variable is no way around it.
    let hidden = json!({"url": "http://{{h}}/", "config_vars": [{"name": "h", "value": "127.0.0.1"}], "success_when": rule()});
    assert_eq!(refusal(&closed(), "http", hidden), "dest host [127.0.0.1] is not allowed to be tested");
    // Nor is a proxy, nor the second step.
    let proxied = json!({"url": "http://8.8.8.8/", "success_when": rule(), "advance_options": {"proxy": {"url": trap.url("")}}});
    assert_eq!(
        refusal(&closed(), "http", proxied),
        "dest host [8.8.8.8,127.0.0.1] is not allowed to be tested"
    );
    let step =
        |url: &str| json!({"type": "http", "task": json!({"url": url, "success_when": rule()}).to_string()});
    let multi = json!({"steps": [step("http://8.8.8.8/"), step(&trap.url("/"))]});
    assert_eq!(
        refusal(&closed(), "multi", multi),
        "dest host [8.8.8.8,127.0.0.1] is not allowed to be tested"
    );
    // What is only known when a step runs is refused then.
    let late = json!({"config_vars": [{"name": "h", "value": format!("127.0.0.1:{port}")}], "steps": [step("http://{{h}}/")]});
    let content = ask(&closed(), "multi", late);
    assert!(failure(&content).contains("dest host [127.0.0.1] is not allowed to be tested"), "{content}");
    assert_eq!(
        refusal(&closed(), "http", json!({"url": "http://no-such-host.invalid/", "success_when": rule()})),
        "dest host is not valid: lookup ip failed: lookup no-such-host.invalid: no such host"
    );
    assert!(trap.heard.recv_timeout(Duration::from_millis(200)).is_err(), "the trap was reached");

    // A list of one's own lets this machine in.
    let mut own = closed();
    own.guard.networks = vec!["192.0.2.0/24".parse().unwrap()];
    assert_eq!(ask(&own, "http", json!({"url": trap.url("/"), "success_when": rule()}))["status"], "success");
}

#[test]
fn past_the_deadline_the_answer_is_408() {
    let silent = Server::start(|mut socket, _| drop(socket.read_to_end(&mut Vec::new())));
    let port = silent.address.port();
    let patience = Duration::from_millis(700);
    for (kind, task) in [
        ("http", json!({"url": silent.url("/"), "success_when": rule()})),
        ("tcp", json!({"host": "127.0.0.1", "port": port.to_string(), "message": "x", "success_when": [{}]})),
        ("websocket", json!({"url": format!("ws://127.0.0.1:{port}/"), "success_when": [{}]})),
        ("multi", json!({"steps": [{"type": "wait", "value": 100}]})),
    ] {
        let body = json!({"task_type": kind, "task": task}).to_string();
        let _turn = turn();
        let begun = Instant::now();
        let reply = debug(&open(), body.as_bytes(), begun + patience);
        assert_eq!((reply.status, reply.body.as_slice()), (408, b"timeout(30s)".as_slice()), "{kind}");
        assert!(begun.elapsed() < patience + Duration::from_secs(1), "{kind}: {:?}", begun.elapsed());
    }
}

#[test]
fn more_tests_than_fit_are_turned_away() {
    let body = json!({"task_type": "multi", "task": {"steps": [{"type": "wait", "value": 100}]}}).to_string();
    let _turn = turn();
    let (deadline, options) = (Instant::now() + Duration::from_secs(2), open());
    let refused = thread::scope(|scope| {
        let calls: Vec<_> =
            (0..CALLS_MAX * 2).map(|_| scope.spawn(|| debug(&options, body.as_bytes(), deadline))).collect();
        calls
            .into_iter()
            .map(|call| call.join().unwrap())
            .filter(|reply| reply.status == 503)
            .collect::<Vec<_>>()
    });
    assert!(refused.len() >= CALLS_MAX, "{}", refused.len());
    assert!(refused[0].headers.iter().any(|(name, _)| *name == "Retry-After"));
}

/// Whatever a task is made of, the answer is one.
#[test]
fn no_request_makes_it_panic() {
    let good = json!({"task_type": "http", "task": {"name": "t", "url": "http://{{h}}/", "method": "GET", "status": "stop",
        "tags": {"a": "b"}, "config_vars": [{"id": "1", "type": "global", "name": "h", "value": "x", "secure": true}],
        "success_when": [{"body": [{"match_regex": "a+"}], "header": {"A": [{"is": "1"}]}, "response_time": "1s"}],
        "steps": [{"type": "http", "task": "{\"url\":\"x\"}", "retry": {"retry": 1, "interval": 2}, "value": 3}],
        "advance_options": {"request_options": {"headers": {"a": "b"}, "auth": {"username": "u"}}, "request_body": {"form": {"a": "b"},
        "files": [{"name": "n", "size": 3}]}, "certificate": {"ca": "x"}, "proxy": {"url": "y"}}},
        "variables": {"1": {"value": "v"}}})
    .to_string();
    let parts: [&[u8]; 14] = [
        b"null", b"{}", b"[]", b"1e3", b"-1", b"\"\"", b"true", b"{{", b"}}", b"\\u0000", b"\xff", b"\"",
        b",", b"wait",
    ];
    let kinds = ["http", "tcp", "icmp", "websocket", "multi"];
    let mut seed = 11_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let past = Instant::now();
    for _ in 0..5_000 {
        let mut body = good
            .replace("\"task_type\":\"http\"", &format!("\"task_type\":\"{}\"", kinds[random(5)]))
            .into_bytes();
        for _ in 0..=random(3) {
            let at = random(body.len());
            let end = (at + random(12)).min(body.len());
            body.splice(at..end, parts[random(parts.len())].iter().copied());
        }
        // The deadline has passed: everything is read and checked, nothing is dialled.
        let _ = answer(&closed(), &body, past);
    }
}

/// The recorded exchanges, with their stand-in for a server.
#[test]
fn recorded_answers_are_given() {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sat, 21 Nov 2026 23:32:51 GMT\r\nContent-Length: 28\r\n\r\n\
         {\"timestamp_sec\":1795303971}",
    );
    let task = |rule: &str| {
        format!(
            "{{\"name\": \"t\", \"method\": \"GET\", \"url\": \"{}\", \"post_url\": \"\", \"status\": \"OK\", \"frequency\": \"1m\", \
             \"success_when\": [{{\"status_code\": [{{\"is\": \"{rule}\"}}]}}]}}",
            server.url("/v1/ntp")
        )
    };
    let ask = |rule: &str| {
        let (status, body) = ask_with(
            &open(),
            &format!("{{\"task_type\": \"http\", \"task\": {}}}", task(rule)),
            Duration::from_secs(10),
        );
        assert_eq!(status, 200, "{body}");
        let number =
            regex::Regex::new(r#"("cost":"|response_(?:time|connection|download|ttfb)":)[0-9.]+(?:[µm]?s)?"#)
                .unwrap();
        number.replace_all(&body, "${1}N").into_owned()
    };
    let recorded = |status: &str, success: i32, code: &str, error: &str, fail_reason: &str, more: &str| {
        format!(
            "{{\"content\":{{\"cost\":\"N\",\"error_msg\":\"{error}\",\"status\":\"{}\",\"traceroute\":\"\",\"fields\":{{\
             \"config_vars\":\"[]\",\"dest_ip\":\"127.0.0.1\",{fail_reason}\"message\":\"{{{more}\\\"status\\\":\\\"{status}\\\"}}\",\
             \"method\":\"GET\",\"name\":\"t\",\"proto\":\"HTTP/1.1\",\"response_body_size\":28,\"response_connection\":N,\
             \"response_dns\":0,\"response_download\":N,\"response_ssl\":0,\"response_time\":N,\"response_ttfb\":N,\
             \"status\":\"{status}\",\"status_code\":200,\"status_code_class\":\"2xx\",\"status_code_string\":\"200 OK\",\
             \"success\":{success},\"task\":\"{{\\\"url\\\":\\\"{url}\\\",\\\"method\\\":\\\"GET\\\",\\\"success_when_logic\\\":\\\"\\\",\
             \\\"success_when\\\":[{{\\\"status_code\\\":[{{\\\"is\\\":\\\"{code}\\\"}}]}}]}}\",\"url\":\"{url}\"}}}}}}",
            if success > 0 { "success" } else { "fail" },
            url = server.url("/v1/ntp"),
        )
    };
    let asked = "\\\"request_body\\\":{},\\\"request_header\\\":{},";
    assert_eq!(ask("200"), recorded("OK", 1, "200", "", "", asked));
    let error = "HTTP status: expect to be `404', got `200'";
    let more = format!(
        "\\\"fail_reason\\\":\\\"{error}\\\",{asked}\\\"response_body\\\":\\\"{{\\\\\\\"timestamp_sec\\\\\\\":1795303971}}\\\",\
         \\\"response_header\\\":{{\\\"Content-Length\\\":[\\\"28\\\"],\\\"Content-Type\\\":[\\\"application/json\\\"],\
         \\\"Date\\\":[\\\"Sat, 21 Nov 2026 23:32:51 GMT\\\"]}},"
    );
    assert_eq!(
        ask("404"),
        recorded("FAIL", -1, "404", error, &format!("\"fail_reason\":\"{error}\","), &more)
    );
}
