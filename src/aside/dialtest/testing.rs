//! For tests: somebody who asks, and somebody who answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Guard, Options, debug};

/// Without a guard, as its callers are on this machine.
pub fn open() -> Options {
    Options { guard: Guard::default(), user_agent: "agent/1".to_owned(), timeout: Duration::from_secs(30) }
}

/// With one.
pub fn closed() -> Options {
    Options { guard: Guard { internal_forbidden: true, networks: Vec::new() }, ..open() }
}

/// Tests have a bound on how many run at once, and more tests than that.
static TURN: Mutex<()> = Mutex::new(());

pub fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Asks for a test; gives status and body.
pub fn ask_with(options: &Options, body: &str, patience: Duration) -> (u16, String) {
    let _turn = turn();
    let reply = debug(options, body.as_bytes(), Instant::now() + patience);
    (reply.status, String::from_utf8(reply.body).unwrap())
}

/// The content of an answer that is one.
pub fn ask(options: &Options, kind: &str, task: Value) -> Value {
    let body = json!({"task_type": kind, "task": task}).to_string();
    let (status, body) = ask_with(options, &body, Duration::from_secs(30));
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        answer["content"]["fields"]["status"] == "OK",
        answer["content"]["status"] == "success",
        "{answer}"
    );
    answer["content"].clone()
}

/// The message of a refusal.
pub fn refusal(options: &Options, kind: &str, task: Value) -> String {
    let body = json!({"task_type": kind, "task": task}).to_string();
    let (status, body) = ask_with(options, &body, Duration::from_secs(30));
    assert_eq!(status, 400, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["error_code"], "datakit.invalidRequest");
    answer["message"].as_str().unwrap().to_owned()
}

/// Why a test failed.
pub fn failure(content: &Value) -> &str {
    assert_eq!(content["status"], "fail", "{content}");
    assert_eq!(content["error_msg"], content["fields"]["fail_reason"]);
    content["error_msg"].as_str().unwrap()
}

/// A server of one's own.
pub struct Server {
    pub address: SocketAddr,
    /// What it was told, one entry a connection.
    pub heard: Receiver<Vec<u8>>,
}

impl Server {
    /// Hands each connection to `serve`, on a thread of its own.
    pub fn start(serve: impl Fn(TcpStream, &Sender<Vec<u8>>) + Send + Sync + Clone + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, heard) = channel();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(socket) = socket else { return };
                let (serve, sender) = (serve.clone(), sender.clone());
                thread::spawn(move || serve(socket, &sender));
            }
        });
        Server { address, heard }
    }

    /// Reads a request, answers with these bytes, and closes.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Server {
        let answer = answer.into();
        Server::start(move |mut socket, heard| {
            let request = read_request(&mut socket);
            let _ = heard.send(request);
            let _ = socket.write_all(&answer);
        })
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn heard(&self) -> String {
        let heard = self.heard.recv_timeout(Duration::from_secs(10)).unwrap();
        String::from_utf8_lossy(&heard).into_owned()
    }
}

/// A head, and the body it announces.
pub fn read_request(socket: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buf = [0; 4096];
    loop {
        let end = all.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&all[..end]).to_ascii_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
            if all.len() >= end + 4 + length.unwrap_or(0) {
                return all;
            }
        }
        match socket.read(&mut buf) {
            Ok(0) | Err(_) => return all,
            Ok(read) => all.extend_from_slice(&buf[..read]),
        }
    }
}

/// Nobody listens there.
pub fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
