//! WebSocket tests against a server that somebody else wrote, and against some that are none.

use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tungstenite::handshake::server::{Request, Response};
use tungstenite::{Message, WebSocket, accept_hdr};

use crate::aside::dialtest::testing::*;

/// Sends back what it gets, with a ping before and the frames it may choose.
fn echo<S: std::io::Read + std::io::Write>(mut socket: WebSocket<S>) {
    while let Ok(message) = socket.read() {
        if message.is_text() {
            let _ = socket.send(Message::Ping(b"are you there".to_vec().into()));
            let answer = format!("echo {}", message.into_text().unwrap());
            let _ = socket.send(Message::text(answer));
        }
    }
}

#[expect(clippy::result_large_err, reason = "the library's type of callback")]
fn server() -> Server {
    Server::start(|socket: TcpStream, heard| {
        let callback = |request: &Request, mut response: Response| {
            let line = format!("{} {:?}", request.uri(), request.headers());
            let _ = heard.send(line.into_bytes());
            response.headers_mut().insert("X-Server", "mine".parse().unwrap());
            Ok(response)
        };
        if let Ok(socket) = accept_hdr(socket, callback) {
            echo(socket);
        }
    })
}

fn success(rule: Value) -> Value {
    json!([rule])
}

#[test]
fn a_message_comes_back() {
    let server = server();
    let url = format!("ws://{}/path?q", server.address);
    let task = json!({"name": "w", "url": url, "message": "hello", "success_when": [{
        "response_time": [{"is_contain_dns": true, "target": "10s"}], "response_message": [{"is": "echo hello"}],
        "header": {"x-server": [{"is": "mine"}]}}],
        "advance_options": {"request_options": {"headers": {"X-Mine": "1"}}, "auth": {"username": "u", "password": "p"}}});
    let content = ask(&open(), "websocket", task);
    assert_eq!(content["status"], "success", "{content}");
    let fields = &content["fields"];
    for (name, value) in [
        ("url", json!(url)),
        ("proto", json!("websocket")),
        ("name", json!("w")),
        ("response_message", json!("echo hello")),
        ("sent_message", json!("hello")),
        ("success", json!(1)),
        ("response_time_with_dns", fields["response_time"].clone()),
    ] {
        assert_eq!(fields[name], value, "{name}");
    }
    assert_eq!(fields["message"], format!("{{\"response_time\":{}}}", fields["response_time"]));
    let heard = server.heard();
    assert!(heard.starts_with("/path?q ") && heard.contains("\"x-mine\": \"1\""), "{heard}");
    assert!(heard.contains("\"authorization\": \"Basic dTpw\""), "{heard}");
}

#[test]
fn long_messages_go_both_ways() {
    let server = server();
    for length in [125, 126, 65_535, 65_536, 400_000] {
        let sent = "ä".repeat(length / 2);
        let task = json!({"url": format!("ws://{}", server.address), "message": sent,
            "success_when": success(json!({"response_message": [{"is": format!("echo {sent}")}]}))});
        assert_eq!(ask(&open(), "websocket", task)["status"], "success", "{length}");
    }
}

#[test]
fn what_does_not_hold_is_told_with_the_headers() {
    let server = server();
    let task = json!({"url": format!("ws://{}/", server.address), "message": "m", "success_when": [{
        "response_time": [{"target": "1ns"}], "response_message": [{"contains": "nix"}], "header": {"X-Server": [{"is_not": "mine"}]}}]});
    let content = ask(&open(), "websocket", task);
    let reason = failure(&content);
    assert!(reason.starts_with("response time(") && reason.contains(") larger than 1ns;"), "{reason}");
    assert!(
        reason.ends_with(
            "response message: do not contains `nix', got `echo m';Websocket header `X-Server': shoud not be mine"
        ),
        "{reason}"
    );
    let message = content["fields"]["message"].as_str().unwrap();
    assert!(message.contains("\"X-Server\":[\"mine\"]"), "{message}");
}

#[test]
fn certificates_are_not_checked() {
    let made = rcgen::generate_simple_self_signed(["nobody".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let server = Server::start(move |socket, _| {
        let session = ServerConnection::new(Arc::clone(&config)).unwrap();
        if let Ok(socket) = tungstenite::accept(StreamOwned::new(session, socket)) {
            echo(socket);
        }
    });
    let task = json!({"url": format!("wss://localhost:{}/", server.address.port()), "message": "m",
        "success_when": success(json!({"response_message": [{"is": "echo m"}]}))});
    let content = ask(&open(), "websocket", task);
    // A name may have an address of IPv6 first, where nobody listens.
    if content["status"] == "fail" {
        assert!(failure(&content).contains("dial tcp [::1]"), "{content}");
    }
    let task = json!({"url": format!("wss://{}/", server.address), "message": "m",
        "success_when": success(json!({"response_message": [{"is": "echo m"}]}))});
    assert_eq!(ask(&open(), "websocket", task)["status"], "success");
}

#[test]
fn what_is_no_websocket_is_said_to_be_none() {
    let rule = || success(json!({"response_message": [{"is_not": "nobody says this"}]}));
    let reason = |url: String, options: Value| {
        let task = json!({"url": url, "message": "m", "success_when": rule(), "advance_options": options});
        failure(&ask(&open(), "websocket", task)).to_owned()
    };
    let plain = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let ws = |server: &Server| format!("ws://{}/", server.address);
    assert_eq!(reason(ws(&plain), json!(null)), "websocket: bad handshake");
    // An answer that was made for another key.
    let lying = Server::answering(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    );
    assert_eq!(reason(ws(&lying), json!(null)), "websocket: bad handshake");
    let port = closed_port();
    let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(reason(format!("ws://127.0.0.1:{port}/"), json!(null)), refused);
    assert_eq!(reason("http://127.0.0.1/".to_owned(), json!(null)), "malformed ws or wss URL");
    let header = |name: &str, value: &str| json!({"request_options": {"headers": {name: value}}});
    assert_eq!(
        reason(ws(&plain), header("Upgrade", "x")),
        "websocket: duplicate header not allowed: Upgrade"
    );
    assert_eq!(
        reason(ws(&plain), header("A", "1\r\nB: 2")),
        "net/http: invalid header field value for \"A\""
    );
    assert_eq!(reason(ws(&plain), header("Host", "a b")), "http: invalid Host header");
    let closing = Server::start(|socket, _| {
        if let Ok(mut socket) = tungstenite::accept(socket) {
            let _ = socket.close(None);
            let _ = socket.read();
        }
    });
    assert_eq!(reason(ws(&closing), json!(null)), "websocket: close 1005 (no status)");
    let silent = Server::start(|socket, _| {
        if let Ok(_socket) = tungstenite::accept(socket) {
            thread::sleep(Duration::from_secs(20));
        }
    });
    let late = reason(ws(&silent), json!({"request_options": {"timeout": "300ms"}}));
    assert!(late.starts_with("read tcp 127.0.0.1:") && late.ends_with(": i/o timeout"), "{late}");
}

#[test]
fn a_known_key_has_a_known_answer() {
    assert_eq!(super::accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}
