//! Calls against a stand-in for the destination that answers once.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::*;
use crate::aside::Orders;
use crate::config::secret::Endpoint;
use crate::config::{DatawaySettings, Settings};
use crate::intake;
use crate::intake::Cors;
use crate::intake::aside::{AsidePlan, What};
use crate::metrics::Registry;

const TOKEN: &str = "tkn_0123456789abcdef0123456789abcdef";

/// Answers one request with this, and gives the request.
fn once(answer: &'static str) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut part) = (Vec::new(), [0; 4096]);
        let text = loop {
            let read = stream.read(&mut part).unwrap();
            request.extend_from_slice(&part[..read]);
            let text = String::from_utf8_lossy(&request).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.to_ascii_lowercase();
            let length = length.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                break text;
            }
        };
        if answer.is_empty() {
            // Never answers; the client gives up.
            let _ = stream.read(&mut part);
        } else {
            stream.write_all(answer.as_bytes()).unwrap();
        }
        text
    });
    (port, server)
}

fn settings(port: u16, query: &str) -> Settings {
    let endpoint = Endpoint::parse(&format!("http://127.0.0.1:{port}{query}")).unwrap();
    Settings {
        destination: Destination::Dataway(DatawaySettings::new(vec![endpoint])),
        ..Settings::default()
    }
}

fn asked(settings: &Settings, what: What, query: &str, body: &str, timeout: Duration) -> Reply {
    let orders: Orders = Box::new(|_| false);
    let sourcemaps = crate::aside::sourcemap::Store::new("nowhere".as_ref(), Default::default());
    let desk = Desk::new(orders, Registry::new(1), std::sync::Arc::new(sourcemaps));
    let plan =
        AsidePlan { what, query: query.to_owned(), content_type: String::new(), cors: Cors::Any, api: 0 };
    let intake = intake::Settings::new(intake::Options::default());
    let deadline = Instant::now() + timeout;
    desk.answer(&Request { plan: &plan, body: body.as_bytes(), settings, intake: &intake, deadline, timeout })
}

const LONG: Duration = Duration::from_secs(20);
const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"content\":[\"x\"]}";

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

#[test]
fn a_query_goes_with_the_token_and_comes_back_as_it_is() {
    let (port, server) = once("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"content\":1}");
    let settings = settings(port, &format!("?token={TOKEN}&b=1"));
    let reply = asked(&settings, What::Query, "", r#"{"queries":[]}"#, LONG);
    assert_eq!((reply.status, text(&reply)), (200, "{\"content\":1}".to_owned()));
    let request = server.join().unwrap();
    assert!(request.starts_with(&format!("POST /v1/query/raw?b=1&token={TOKEN} HTTP/1.1\r\n")), "{request}");
    assert!(request.ends_with(&format!("{{\"token\":\"{TOKEN}\",\"queries\":[],\"echo_explain\":false}}")));
    let head = request.to_ascii_lowercase();
    assert!(head.contains("\r\nuser-agent: datakit-") && head.contains("\r\nreferer: datakit\r\n"), "{head}");
}

#[test]
fn labels_are_taken_back_with_a_body() {
    let (port, server) = once(GOOD);
    let settings = settings(port, &format!("?token={TOKEN}"));
    let reply = asked(&settings, What::UnsetLabels, "", "{\"object_class\":\"a\"}", LONG);
    assert_eq!(reply.status, 200);
    let request = server.join().unwrap();
    assert!(
        request.starts_with(&format!("DELETE /v1/object/labels?token={TOKEN} HTTP/1.1\r\n")),
        "{request}"
    );
    assert!(request.ends_with("\r\n\r\n{\"object_class\":\"a\"}"), "{request}");
}

#[test]
fn variables_are_asked_for_with_what_was_given_escaped() {
    let (port, server) = once(GOOD);
    let reply =
        asked(&settings(port, &format!("?token={TOKEN}")), What::EnvVariable, "app_id=a%20b%26c", "", LONG);
    assert_eq!(reply.status, 200);
    let request = server.join().unwrap();
    let line = format!("GET /v1/env_variable?token={TOKEN}&app_id=a+b%26c&scope=rum HTTP/1.1\r\n");
    assert!(request.starts_with(&line), "{request}");
}

#[test]
fn the_workspace_is_that_of_the_token() {
    let (port, server) = once(GOOD);
    assert_eq!(asked(&settings(port, &format!("?token={TOKEN}")), What::Workspace, "", "", LONG).status, 200);
    let request = server.join().unwrap();
    assert!(request.ends_with(&format!("{{\"token\":[\"{TOKEN}\"]}}")), "{request}");
}

#[test]
fn a_refusal_of_the_question_is_an_answer_and_a_failure_is_none() {
    let (port, _server) = once("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}");
    let reply = asked(&settings(port, "?token=t"), What::Query, "", "{}", LONG);
    assert_eq!((reply.status, text(&reply)), (200, "{}".to_owned()));

    let (port, _server) =
        once("HTTP/1.1 502 Bad\r\nContent-Length: 45\r\n\r\nno tkn_0123456789abcdef0123456789abcdef to do");
    let reply = asked(&settings(port, "?token=t"), What::Query, "", "{}", LONG);
    assert_eq!(reply.status, 500);
    let message = "the destination answered 502: no tkn_*** to do";
    assert_eq!(text(&reply), format!("{{\"error_code\":\"all-retry-failed\",\"message\":\"{message}\"}}"));
}

#[test]
fn nobody_there_nothing_configured_and_no_answer_in_time() {
    let (port, server) = once(GOOD);
    drop(std::net::TcpStream::connect(("127.0.0.1", port)));
    drop(server);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut settings = settings(free, &format!("?token={TOKEN}"));
    let reply = asked(&settings, What::SetLabels, "", "{}", LONG);
    assert_eq!(reply.status, 500);
    assert!(
        text(&reply).contains("all-retry-failed") && text(&reply).contains("refused"),
        "{}",
        text(&reply)
    );
    assert!(!text(&reply).contains("0123456789abcdef"));
    settings.compat = Compat::Datakit184;
    let reply = asked(&settings, What::SetLabels, "", "{}", LONG);
    assert_eq!(text(&reply), "{\"error_code\":\"all-retry-failed\"}");

    settings.destination = Destination::Blackhole;
    let reply = asked(&settings, What::SetLabels, "", "{}", LONG);
    assert_eq!((reply.status, text(&reply)), (500, "{\"error_code\":\"datawayTokenMissing\"}".to_owned()));
    settings.compat = Compat::Documented;
    assert!(text(&asked(&settings, What::Workspace, "", "{}", LONG)).contains("set `urls` in [dataway]"));
}

#[test]
fn a_destination_that_says_nothing_costs_the_time_that_was_given() {
    let (port, _server) = once("");
    let begun = Instant::now();
    let reply = asked(&settings(port, "?token=t"), What::Query, "", "{}", Duration::from_millis(300));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(matches!(reply.status, 408 | 500), "{}", text(&reply));
}

#[test]
fn a_bad_query_is_refused_before_anybody_is_asked() {
    let reply = asked(&settings(1, "?token=t"), What::Query, "", "xx", LONG);
    assert_eq!(
        (reply.status, text(&reply).as_str()),
        (
            400,
            "{\"error_code\":\"datakit.invalidJSON\",\"message\":\"json.Unmarshal: invalid character 'x' looking for \
             beginning of value\"}"
        )
    );
}
