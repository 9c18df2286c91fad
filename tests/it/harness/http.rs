//! A blocking HTTP/1.1 client that shares no code with the gateway, so that no mistake cancels out.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use super::PATIENCE;

/// One kept-alive connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("a body in UTF-8")
    }
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Client { stream: BufReader::new(stream) }
    }

    /// Sends a request with a `Content-Length` and reads the answer.
    pub fn request(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head =
            format!("{method} {target} HTTP/1.1\r\nHost: gateway\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.send(head.as_bytes());
        self.send(body);
        self.receive(method == "HEAD")
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the gateway reads");
    }

    /// Sends bytes; false if the connection has ended.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// Reads one answer.
    pub fn receive(&mut self, to_head: bool) -> Answer {
        self.try_receive(to_head).expect("an answer, not the end")
    }

    /// Reads one answer; `None` if the connection ends instead.
    pub fn try_receive(&mut self, to_head: bool) -> Option<Answer> {
        let status_line = self.line()?;
        let mut words = status_line.splitn(3, ' ');
        assert!(words.next().is_some_and(|version| version.starts_with("HTTP/1.")), "{status_line}");
        let status: u16 = words.next().and_then(|word| word.parse().ok()).expect("a status");
        let mut headers = Vec::new();
        loop {
            let line = self.line().expect("a whole head");
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("a header: {line}"));
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if to_head || status < 200 || status == 204 || status == 304 {
            return Some(answer);
        }
        if answer.header("Transfer-Encoding") == Some("chunked") {
            loop {
                let size = self.line().expect("a chunk");
                let size = usize::from_str_radix(&size, 16).expect("its size");
                let mut chunk = vec![0; size + 2];
                self.stream.read_exact(&mut chunk).expect("the chunk");
                assert!(chunk.ends_with(b"\r\n"));
                if size == 0 {
                    break;
                }
                answer.body.extend_from_slice(&chunk[..size]);
            }
        } else if let Some(length) = answer.header("Content-Length") {
            answer.body = vec![0; length.parse().expect("a length")];
            self.stream.read_exact(&mut answer.body).expect("the whole body");
        } else {
            self.stream.read_to_end(&mut answer.body).expect("the body up to the end");
        }
        Some(answer)
    }

    /// Whether the gateway has closed the connection, or does so within the patience of the harness.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.fill_buf(), Ok(bytes) if bytes.is_empty()) || self.stream.fill_buf().is_err()
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).ok()?;
        if read == 0 {
            return None;
        }
        assert!(line.ends_with("\r\n"), "{line:?}");
        line.truncate(line.len() - 2);
        Some(line)
    }
}
