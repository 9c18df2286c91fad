//! What an idle keep-alive connection holds: resident memory of the server with and without many of them.
//!
//! Each connection has served one request before it idles: that is when buffers that were taken for it would still be
//! held. The server is warmed and left alone first, so that what it keeps for good is in the base and not in the sum.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde::Serialize;

use super::requests::{self, Request};
use super::{Options, watched};
use crate::shared::http::response_head;
use crate::shared::{Outcome, system};

/// How long the server is left alone before it is looked at.
const SETTLE: Duration = Duration::from_millis(1500);
/// Patience for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Memory of the server around the idle connections.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Idle {
    /// Connections that idled.
    pub connections: usize,
    /// Resident bytes before them.
    pub base_bytes: u64,
    /// Resident bytes with them.
    pub held_bytes: u64,
    /// Resident bytes a connection.
    pub bytes_per_connection: f64,
    /// CPU microseconds the server used in a second with nothing but idle connections.
    pub cpu_us_per_s: f64,
}

/// Measures; `options.connections` idle ones.
pub fn run(options: &Options) -> Outcome<Idle> {
    system::raise_descriptor_limit();
    let pids = watched(options);
    if pids.is_empty() {
        return Err("--server-pid is needed to see the server's memory".into());
    }
    let requests = requests::build(&Options { bodies: 64, ..options.clone() })?;
    // Several rounds of many at once: what a busy server would have grown to, it has grown to before.
    for _ in 0..4 {
        let warm = open_all(options, &requests, options.connections.min(256))?;
        drop(warm);
    }
    std::thread::sleep(SETTLE);
    let base_bytes = system::usage(&pids).rss_bytes;
    let held = open_all(options, &requests, options.connections)?;
    std::thread::sleep(SETTLE);
    let with = system::usage(&pids);
    std::thread::sleep(Duration::from_secs(1));
    let later = system::usage(&pids);
    let connections = held.len();
    drop(held);
    Ok(Idle {
        connections,
        base_bytes,
        held_bytes: with.rss_bytes,
        bytes_per_connection: with.rss_bytes.saturating_sub(base_bytes) as f64 / connections as f64,
        cpu_us_per_s: later.cpu_ns.saturating_sub(with.cpu_ns) as f64 / 1e3,
    })
}

fn open_all(options: &Options, requests: &[Request], count: usize) -> Outcome<Vec<TcpStream>> {
    let mut out = Vec::with_capacity(count);
    for i in 0..count {
        let mut stream = TcpStream::connect_timeout(&options.address, PATIENCE)
            .map_err(|e| format!("connection {i} of {count}: {e}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        exchange(&mut stream, &requests[i % requests.len()].bytes)
            .map_err(|e| format!("connection {i} of {count}: {e}"))?;
        out.push(stream);
    }
    Ok(out)
}

/// One request and its answer, blocking; the answer's status.
pub fn exchange(stream: &mut TcpStream, request: &[u8]) -> Outcome<u16> {
    stream.write_all(request)?;
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match response_head(&bytes) {
            Ok(Some(head)) if bytes.len() >= head.head_len + head.body_len => return Ok(head.status),
            Ok(_) => {}
            Err(e) => return Err(format!("{e:?}").into()),
        }
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err("closed before the answer was whole".into());
        }
        bytes.extend_from_slice(&piece[..count]);
    }
}
