//! HTTP tests against servers that behave, that do not, and that stand behind TLS or a proxy.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::aside::dialtest::testing::*;

const OK: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"a\":\"<\\u00e9\"}";

fn rules(rule: Value) -> Value {
    json!([rule])
}

fn is_200() -> Value {
    rules(json!({"status_code": [{"is": "200"}]}))
}

fn message(content: &Value) -> Value {
    serde_json::from_str(content["fields"]["message"].as_str().unwrap()).unwrap()
}

#[test]
fn a_request_that_goes_well_has_all_its_fields() {
    let server = Server::answering(OK);
    let url = server.url("/v1/ntp?x=<y>");
    let task = json!({"name": "t", "method": "GET", "url": url, "post_url": "", "status": "OK", "frequency": "1m",
        "tags": {"team": "a", "proto": "mine"}, "success_when": is_200()});
    let content = ask(&open(), "http", task);
    assert_eq!(
        (&content["status"], &content["error_msg"], &content["traceroute"]),
        (&json!("success"), &json!(""), &json!(""))
    );
    let fields = &content["fields"];
    for (name, value) in [
        ("name", json!("t")),
        ("url", json!(url)),
        ("status", json!("OK")),
        ("method", json!("GET")),
        ("dest_ip", json!("127.0.0.1")),
        ("proto", json!("mine")),
        ("team", json!("a")),
        ("status_code", json!(200)),
        ("status_code_string", json!("200 OK")),
        ("status_code_class", json!("2xx")),
        ("success", json!(1)),
        ("response_body_size", json!(15)),
        ("response_dns", json!(0)),
        ("response_ssl", json!(0)),
        ("config_vars", json!("[]")),
        ("message", json!(r#"{"request_body":{},"request_header":{},"status":"OK"}"#)),
    ] {
        assert_eq!(fields[name], value, "{name}");
    }
    let escaped = url.replace('<', "\\u003c").replace('>', "\\u003e");
    assert_eq!(
        fields["task"],
        format!(
            r#"{{"url":"{escaped}","method":"GET","success_when_logic":"","success_when":[{{"status_code":[{{"is":"200"}}]}}]}}"#
        )
    );
    for name in ["response_time", "response_connection", "response_ttfb", "response_download"] {
        assert!(fields[name].as_f64().unwrap() > 0.0, "{name}");
    }
    assert!(fields["response_ttfb"].as_f64() <= fields["response_time"].as_f64().map(|time| time + 1.0));
    assert!(content["cost"].as_str().unwrap().ends_with('s'));
    assert_eq!(fields.get("fail_reason"), None);
    assert!(server.heard().starts_with("GET /v1/ntp?x=%3Cy%3E HTTP/1.1\r\nHost: 127.0.0.1:"));
}

#[test]
fn what_does_not_hold_is_told_with_the_response() {
    let server = Server::answering(OK);
    let task = json!({"method": "GET", "url": server.url("/"), "success_when": [{
        "status_code": [{"is": "404"}], "body": [{"contains": "nix"}],
        "header": {"content-type": [{"match_regex": "^text/"}], "X-None": [{"is": "x"}]}, "response_time": "1ns"}]});
    let content = ask(&open(), "HTTP", task);
    let reason = failure(&content);
    let (rest, time) = reason.split_once(";HTTP response time(").unwrap();
    assert_eq!(
        rest,
        "HTTP header `X-None': expect to be `x', got `';\
         HTTP header `content-type': regex `^text/' match `application/json' failed;\
         response body: do not contains `nix', got `{\"a\":\"<\\u00e9\"}';\
         HTTP status: expect to be `404', got `200'"
    );
    assert!(time.ends_with(") larger than 1ns"), "{time}");
    let message = message(&content);
    assert_eq!(message["status"], "FAIL");
    assert_eq!(message["fail_reason"], reason);
    assert_eq!(message["response_body"], "{\"a\":\"<\\u00e9\"}");
    assert_eq!(
        message["response_header"],
        json!({"Content-Length": ["15"], "Content-Type": ["application/json"]})
    );

    // With `or`, one that holds is enough; what is not to be kept is not shown.
    let or = json!({"url": server.url("/"), "success_when_logic": "or",
        "success_when": [{"status_code": [{"is": "404"}, {"is": "200"}]}]});
    assert_eq!(ask(&open(), "http", or)["status"], "success");
    let secret = json!({"url": server.url("/"), "success_when": [{"status_code": [{"is": "404"}]}],
        "advance_options": {"secret": {"not_save": true}}});
    let shown = ask(&open(), "http", secret)["fields"]["message"].as_str().unwrap().to_owned();
    assert!(shown.contains("fail_reason") && !shown.contains("response_body"), "{shown}");
}

#[test]
fn a_long_body_is_shown_in_part() {
    let body = "x".repeat(20_000);
    let server =
        Server::answering(format!("HTTP/1.1 500 Oops\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    let content = ask(&open(), "http", json!({"url": server.url("/"), "success_when": is_200()}));
    assert_eq!(content["fields"]["response_body_size"], 20_000);
    assert_eq!(content["fields"]["status_code_string"], "500 Oops");
    assert_eq!(message(&content)["response_body"], format!("{}...", "x".repeat(10_240)));
}

#[test]
fn a_redirect_is_an_answer_and_never_a_way() {
    let trap = Server::answering(OK);
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", trap.url("/"));
    let server = Server::answering(redirect);
    let task = json!({"url": server.url("/"), "success_when": [{"status_code": [{"is": "302"}]}],
        "advance_options": {"request_options": {"follow_redirect": true}}});
    assert_eq!(ask(&open(), "http", task)["status"], "success");
    assert!(trap.heard.recv_timeout(Duration::from_millis(200)).is_err());
}

#[test]
fn what_goes_wrong_on_the_way_is_a_failed_test() {
    let port = closed_port();
    let reason = |url: &str| {
        let content = ask(&open(), "http", json!({"url": url, "success_when": is_200()}));
        assert_eq!(content["fields"]["success"], -1);
        failure(&content).to_owned()
    };
    let url = format!("http://user:secret@127.0.0.1:{port}/a");
    assert_eq!(
        reason(&url),
        format!(
            "Get \"http://user:***@127.0.0.1:{port}/a\": dial tcp 127.0.0.1:{port}: connect: connection refused"
        )
    );
    assert_eq!(
        reason("http://no-such-host.invalid/"),
        "Get \"http://no-such-host.invalid/\": dial tcp: lookup no-such-host.invalid: no such host"
    );
    assert_eq!(reason("ftp://127.0.0.1/"), "Get \"ftp://127.0.0.1/\": unsupported protocol scheme \"ftp\"");
    assert_eq!(reason("http:///x"), "Get \"http:///x\": http: no Host in request URL");
    assert_eq!(
        reason("127.0.0.1:80"),
        "parse \"127.0.0.1:80\": first path segment in URL cannot contain colon"
    );
    for (answer, error) in [
        ("", "EOF"),
        ("HTTP/1.1 200 OK\r\n", "unexpected EOF"),
        (
            "SSH-2.0\r\n\r\n",
            "net/http: HTTP/1.x transport connection broken: malformed HTTP response \"SSH-2.0\"",
        ),
    ] {
        let url = Server::answering(answer).url("/");
        assert_eq!(reason(&url), format!("Get \"{url}\": {error}"));
    }
    // What was wrong with the body comes behind what the rules say of it.
    let url = Server::answering("HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\nabc").url("/");
    assert_eq!(reason(&url), "HTTP status: expect to be `200', got `500';unexpected EOF");
}

#[test]
fn a_script_is_never_passed_over_in_silence() {
    let server = Server::answering(OK);
    let content = ask(&open(), "http", json!({"url": server.url("/"), "post_script": "vars[\"a\"] = 1"}));
    assert!(failure(&content).contains("post_script was not run"));
    let or = json!({"url": server.url("/"), "post_script": "x", "success_when": is_200(), "success_when_logic": "or"});
    assert!(failure(&ask(&open(), "http", or)).contains("post_script was not run"));
}

#[test]
fn bodies_and_variables_arrive() {
    let server = Server::answering(OK);
    let task = json!({"name": "{{not}}", "method": "POST", "url": format!("{}/{{{{v}}}}", server.url("")),
        "config_vars": [{"name": "v", "value": "a b", "secure": true}, {"id": "7", "type": "global", "name": "g"}],
        "success_when": [{"body": [{"not_contains": "{{g}}"}]}],
        "advance_options": {"request_options": {"headers": {"X-V": "{{urlencode v}}"}, "auth": {"username": "u", "password": "{{g}}"}},
            "request_body": {"body_type": "text/plain", "body": "{{g}}", "form": {"{{v}}": "{{g}}"}}}});
    let body = json!({"task_type": "http", "task": task, "variables": {"7": {"name": "x", "value": "shared", "secure": false}}});
    let (status, answer) = ask_with(&open(), &body.to_string(), Duration::from_secs(30));
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let content = &answer["content"];
    assert_eq!(content["status"], "success", "{content}");
    // The URL is shown as it was written, and what is secret not at all.
    assert_eq!(content["fields"]["url"], format!("{}/{{{{v}}}}", server.url("")));
    assert_eq!(
        content["fields"]["config_vars"],
        r#"[{"name":"v","secure":true},{"name":"g","value":"shared","secure":false}]"#
    );
    let shown = message(content);
    assert_eq!(shown["request_header"], json!({"Content-Type": "text/plain", "X-V": "a+b"}));
    assert_eq!(
        shown["request_body"],
        json!({"body_type": "text/plain", "body": "shared", "form": {"a b": "shared"}})
    );
    let heard = server.heard();
    assert!(heard.starts_with("POST /a%20b HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains("\r\nX-V: a+b\r\n") && heard.ends_with("\r\n\r\nshared"), "{heard}");
    assert!(heard.contains("\r\nAuthorization: Basic dTpzaGFyZWQ=\r\n"), "{heard}");
}

#[test]
fn nobody_can_hold_a_test_up() {
    let reason = |server: &Server, timeout: &str| {
        let begun = Instant::now();
        let task = json!({"url": server.url("/"), "success_when": is_200(), "advance_options": {"request_timeout": timeout}});
        let content = ask(&open(), "http", task);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        failure(&content).to_owned()
    };
    let silent = Server::start(|mut socket, _| drop(socket.read_to_end(&mut Vec::new())));
    assert!(reason(&silent, "200ms").ends_with("(Client.Timeout exceeded while awaiting headers)"));
    let drip = |bytes: &'static [u8], pause_ms: u64| {
        Server::start(move |mut socket, _| {
            read_request(&mut socket);
            for byte in bytes.iter().chain(std::iter::repeat(&b'x')) {
                if socket.write_all(&[*byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(pause_ms));
            }
        })
    };
    assert!(reason(&drip(b"HTTP/1.1 200 OK\r\nX: ", 20), "300ms").ends_with("while awaiting headers)"));
    let slow_body = drip(b"HTTP/1.1 200 OK\r\n\r\n", 5);
    assert!(reason(&slow_body, "500ms").ends_with("while reading body)"));
    let flood = |answer: &'static [u8]| {
        Server::start(move |mut socket, _| {
            read_request(&mut socket);
            let _ = socket.write_all(answer);
            while socket.write_all(&[b'y'; 65_536]).is_ok() {}
        })
    };
    assert!(reason(&flood(b"HTTP/1.1 200 OK\r\nX: "), "20s").contains("server response headers exceeded"));
    assert!(
        reason(&flood(b"HTTP/1.1 200 OK\r\n\r\n"), "20s")
            .contains("response body is larger than 10485760 bytes")
    );
}

/// A certificate for 127.0.0.1, which also signs itself.
fn certificate() -> (String, CertificateDer<'static>, PrivateKeyDer<'static>, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    (made.cert.pem(), made.cert.der().clone(), key, made.signing_key.serialize_pem())
}

/// Serves one request a connection over TLS.
fn tls_server(config: ServerConfig) -> Server {
    let config = Arc::new(config);
    Server::start(move |socket, heard| {
        let session = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(session, socket);
        let request = read_request(&mut stream);
        if request.is_empty() {
            return;
        }
        let _ = heard.send(request);
        let _ = stream.write_all(OK.as_bytes());
        stream.conn.send_close_notify();
        let _ = stream.flush();
    })
}

fn server_config() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap()
}

#[test]
fn certificates_are_checked_as_the_task_says() {
    let (pem, der, key, key_pem) = certificate();
    let plain =
        server_config().with_no_client_auth().with_single_cert(vec![der.clone()], key.clone_key()).unwrap();
    let server = tls_server(plain);
    let url = format!("https://{}/x", server.address);
    let with = |certificate: Value| {
        ask(
            &open(),
            "http",
            json!({"url": url, "success_when": is_200(), "advance_options": {"certificate": certificate}}),
        )
    };
    let unknown = with(json!({}));
    let reason = failure(&unknown);
    assert!(reason.starts_with(&format!("Get \"{url}\": tls: invalid peer certificate")), "{reason}");
    let ignored = with(json!({"ignore_server_certificate_error": true}));
    assert_eq!(ignored["status"], "success");
    assert!(ignored["fields"]["response_ssl"].as_f64().unwrap() > 0.0);
    assert_eq!(with(json!({"ca": pem}))["status"], "success");

    // A server that asks who is there.
    let mut roots = RootCertStore::empty();
    roots.add(der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let mutual =
        server_config().with_client_cert_verifier(verifier).with_single_cert(vec![der], key).unwrap();
    let server = tls_server(mutual);
    let url = format!("https://{}/", server.address);
    let with = |certificate: Value| {
        ask(
            &open(),
            "http",
            json!({"url": url, "success_when": is_200(), "advance_options": {"certificate": certificate}}),
        )
    };
    assert_eq!(with(json!({"ca": pem}))["status"], "fail");
    assert_eq!(with(json!({"ca": pem, "certificate": pem, "private_key": key_pem}))["status"], "success");
    let plain_to_tls = ask(&open(), "http", json!({"url": server.url("/"), "success_when": is_200()}));
    assert_eq!(plain_to_tls["status"], "fail");
}

/// A proxy that passes bytes on, for both kinds of requests.
fn proxy() -> Server {
    Server::start(|mut socket, heard| {
        let request = read_request(&mut socket);
        let text = String::from_utf8_lossy(&request).into_owned();
        let _ = heard.send(request);
        let target = text.split(' ').nth(1).unwrap_or_default();
        if let Some(place) = text.starts_with("CONNECT ").then_some(target) {
            let Ok(other) = TcpStream::connect(place) else { return };
            let _ = socket.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
            let (mut from, mut to) = (socket.try_clone().unwrap(), other.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
            });
            let _ = std::io::copy(&mut &other, &mut socket);
        } else {
            let _ = socket.write_all(OK.as_bytes());
        }
    })
}

#[test]
fn a_proxy_is_asked_in_its_own_way() {
    let proxy = proxy();
    let proxy_url = format!("http://p:q@{}", proxy.address);
    let task = |url: &str| {
        json!({"url": url, "success_when": is_200(), "advance_options": {"certificate": {"ignore_server_certificate_error": true},
            "proxy": {"url": proxy_url, "headers": {"X-P": "1"}}}})
    };
    assert_eq!(ask(&open(), "http", task("http://127.0.0.1:9/x"))["status"], "success");
    let heard = proxy.heard();
    assert!(heard.starts_with("GET http://127.0.0.1:9/x HTTP/1.1\r\nHost: 127.0.0.1:9\r\n"), "{heard}");
    assert!(
        heard.contains("\r\nProxy-Authorization: Basic cDpx\r\n") && heard.contains("\r\nX-P: 1\r\n"),
        "{heard}"
    );

    let (_, der, key, _) = certificate();
    let server = tls_server(server_config().with_no_client_auth().with_single_cert(vec![der], key).unwrap());
    let content = ask(&open(), "http", task(&format!("https://{}/y", server.address)));
    assert_eq!(content["status"], "success", "{content}");
    let heard = proxy.heard();
    assert!(heard.starts_with(&format!("CONNECT {} HTTP/1.1\r\n", server.address)), "{heard}");
    assert!(heard.contains("\r\nProxy-Authorization: Basic cDpx\r\n") && !heard.contains("X-P"), "{heard}");
    let seen = server.heard();
    assert!(seen.starts_with("GET /y HTTP/1.1\r\n") && !seen.contains("Proxy-Authorization"), "{seen}");

    // One that refuses, and one that is none.
    let refusing =
        Server::answering("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    let with = |proxy: String| {
        let task = json!({"url": "https://127.0.0.1:9/", "success_when": is_200(), "advance_options": {"proxy": {"url": proxy}}});
        failure(&ask(&open(), "http", task)).to_owned()
    };
    assert_eq!(with(refusing.url("")), "Get \"https://127.0.0.1:9/\": Proxy Authentication Required");
    let socks = with("socks5://127.0.0.1:1".to_owned());
    assert!(socks.ends_with("proxyconnect tcp: unsupported protocol scheme \"socks5\""), "{socks}");
}

/// The certificate of a port that speaks TLS and then says nothing.
#[test]
fn a_handshake_ends_too() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let task = json!({"url": url, "success_when": is_200(), "advance_options": {"request_timeout": "200ms"}});
    let reason = failure(&ask(&open(), "http", task)).to_owned();
    assert!(reason.ends_with("(Client.Timeout exceeded while awaiting headers)"), "{reason}");
}
