//! The control port: `POST /control?mode=MODE`, `POST /clear`, `GET /stats` (JSON), `GET /ledger` (binary,
//! `ledger/file.rs`). One request at a time, blocking; nobody is in a hurry here.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Mode, Options, Shared};
use crate::ledger::file;
use crate::shared::Outcome;

const PATIENCE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(20);
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// The control port before it runs.
pub struct Control {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Control {
    /// Takes the port.
    pub fn bind(options: &Options, shared: Arc<Shared>) -> Outcome<Self> {
        let listener = TcpListener::bind(options.control)
            .map_err(|e| format!("cannot listen on {}: {e}", options.control))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, shared })
    }

    /// The port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until told to stop.
    pub fn run(self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            match self.listener.accept() {
                // A client that fails or leaves only harms itself.
                Ok((stream, _)) => drop(self.serve(stream)),
                Err(_) => std::thread::sleep(TICK),
            }
        }
    }

    fn serve(&self, mut stream: TcpStream) -> Outcome<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut input = Vec::new();
        let mut piece = [0; 1024];
        while memchr::memmem::find(&input, b"\r\n\r\n").is_none() && input.len() < HEAD_BYTES_MAX {
            match stream.read(&mut piece)? {
                0 => return Ok(()),
                count => input.extend_from_slice(&piece[..count]),
            }
        }
        let text = String::from_utf8_lossy(&input);
        let mut words = text.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (status, body) = self.reply(method, target);
        write!(
            stream,
            "HTTP/1.1 {status} Control\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        )?;
        stream.write_all(&body)?;
        Ok(())
    }

    fn reply(&self, method: &str, target: &str) -> (u16, Vec<u8>) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match (method, path) {
            ("POST", "/control") => {
                let mode = query.split('&').find_map(|pair| pair.strip_prefix("mode="));
                match mode.map(str::parse::<Mode>) {
                    Some(Ok(mode)) => {
                        let text = format!("{mode}\n");
                        self.shared.set_mode(mode);
                        (200, text.into_bytes())
                    }
                    Some(Err(e)) => (400, format!("{e}\n").into_bytes()),
                    None => (400, b"mode=... is missing\n".to_vec()),
                }
            }
            ("POST", "/clear") => {
                self.shared.account().clear();
                (200, Vec::new())
            }
            ("GET", "/stats") => (200, self.stats().into_bytes()),
            ("GET", "/ledger") => (200, file::write_account(&self.shared.account())),
            _ => (404, b"POST /control?mode=..., POST /clear, GET /stats, GET /ledger\n".to_vec()),
        }
    }

    fn stats(&self) -> String {
        let account = self.shared.account();
        let deliveries: u64 = account.packages.iter().map(|p| u64::from(p.deliveries)).sum();
        let text = serde_json::json!({
            "mode": self.shared.mode().to_string(),
            "requests": self.shared.requests.load(Ordering::Relaxed),
            "bytes": self.shared.bytes.load(Ordering::Relaxed),
            "points_announced": self.shared.points.load(Ordering::Relaxed),
            "packages": account.packages.len(),
            "deliveries": deliveries,
            "points": account.points,
            "ledger_points": account.ledger_points,
            "ledger_points_again": account.again.len(),
            "faults": account.faults,
            "messages": account.messages,
        });
        format!("{text}\n")
    }
}
