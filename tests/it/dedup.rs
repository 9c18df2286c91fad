//! Packages that come again, because their sender did not hear the answer: `X-Pkg-Id` and the same body are stored once.

use std::{thread, time::Duration};

use super::harness::{
    Gateway,
    dataway::{Dataway, Step},
};

fn line(n: i64) -> Vec<u8> {
    format!("again,kind=a n={n}i 1700000000000000000\n").into_bytes()
}

const ID: (&str, &str) = ("X-Pkg-Id", "dk_d4q0s6hq4vok0f0r3u5g");

/// C2: one copy inside the window; another body under the same id is another package.
#[test]
fn c2_a_package_that_is_sent_again_is_stored_once() {
    let dataway = Dataway::start();
    let gateway = Gateway::start("shards = 2", &dataway.table());
    let send = |body: &[u8], headers: &[(&str, &str)]| {
        let answer = gateway.client().request("POST", "/v1/write/metric", headers, body);
        assert_eq!((answer.status, answer.header("X-Kitgate-Ack")), (200, Some("disk")), "{answer:?}");
    };
    for _ in 0..3 {
        send(&line(1), &[ID]);
    }
    send(&line(2), &[ID]);
    // Without an id nobody can know.
    send(&line(3), &[]);
    send(&line(3), &[]);
    // A large body goes another way through the gateway.
    let large: Vec<u8> = (10..8_000).flat_map(line).collect();
    assert!(large.len() > 300_000);
    send(&large, &[ID]);
    send(&large, &[ID]);
    // Where it goes is part of what it is.
    let token = "/v1/write/metric?token=tkn_0123456789abcdef0123456789abcdef";
    assert_eq!(gateway.client().request("POST", token, &[ID], &line(1)).status, 200);
    dataway.await_points(4 + 7_990 + 1);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(dataway.points().len(), 4 + 7_990 + 1);
}

/// What was refused is not remembered: its sender brings it again, and then it is new.
#[test]
fn a_package_that_was_refused_is_taken_when_it_comes_again() {
    let dataway = Dataway::start();
    dataway.always(Step::Status(503));
    let gateway = Gateway::start(
        "",
        &format!("{}[http_api]\nlisten = \"127.0.0.1:0\"\ntimeout = \"300ms\"\n", dataway.table()),
    );
    let bad = gateway.client().request("POST", "/v1/write/metric", &[ID], b"no line protocol");
    assert_eq!(bad.status, 400);
    // The destination does not answer in time; the points are stored all the same, and said to be on their way.
    let answer = gateway.client().request("POST", "/v1/write/metric?ack=upstream", &[ID], &line(1));
    assert_eq!(answer.status, 503, "{answer:?}");
    let answer = gateway.client().request("POST", "/v1/write/metric?ack=upstream", &[ID], &line(1));
    assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("3")), "{answer:?}");
    dataway.always(Step::Take);
    dataway.await_points(1);
    let mut status = 503;
    while status == 503 {
        thread::sleep(Duration::from_millis(20));
        status = gateway.client().request("POST", "/v1/write/metric?ack=upstream", &[ID], &line(1)).status;
    }
    assert_eq!(status, 200);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(dataway.points().len(), 1);
}

/// C1: the client is gone before its answer: the point is stored once and accounted for, and a client that comes back with
/// the same package is told that it is there.
#[test]
fn c1_a_client_that_leaves_before_its_answer_has_its_point_stored_once() {
    let dataway = Dataway::start();
    let gateway = Gateway::start("", &dataway.table());
    for n in 0..20 {
        let id = format!("dk_{n:020}");
        let body = line(n);
        let head = format!(
            "POST /v1/write/metric HTTP/1.1\r\nHost: h\r\nX-Pkg-Id: {id}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut client = gateway.client();
        client.send(head.as_bytes());
        client.send(&body);
        drop(client);
        let mut status = 503;
        while status == 503 {
            status = gateway.client().request("POST", "/v1/write/metric", &[("X-Pkg-Id", &id)], &body).status;
        }
        assert_eq!(status, 200);
    }
    dataway.await_points(20);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(dataway.points().len(), 20);
    gateway.await_metric("kitgate_points_in_flight{category=\"metric\"}", 0.0);
    assert_eq!(gateway.metric("kitgate_ledger_points{category=\"metric\",state=\"taken\"}"), 20.0);
}
