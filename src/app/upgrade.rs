//! `kitgate upgrade`: listeners and spool go to a new process, with no refused connection and never two owners.
//!
//! ```text
//! old                                        new
//!  │ starts ────────────────────────────────▶ │ reads its configuration, checks the host
//!  │ ── listening sockets ──────────────────▶ │ takes them, binds what else it wants
//!  │ ◀───────────────────────────── prepared ─┤   (until here the old one just goes on)
//!  │ serves on, each answer the last of its   │
//!  │ connection; then stops accepting,        │
//!  │ answers, commits, closes its logs,       │ whoever knocks waits in the kernel
//!  │ lets go of the lock                      │
//!  ├── go ──────────────────────────────────▶ │ takes the lock, recovers, accepts
//!  │ ◀──────────────────────────────── ready ─┤
//!  ╵ ends                                     │
//! ```
//!
//! If the new one fails before *prepared*, nothing has happened. If it fails after *go*, the old one sees to it that it
//! is gone, takes the lock again, and serves on the sockets it has kept.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::sockets::Bound;
use crate::config::Address;
use crate::rt::handover;
use crate::shard::common::Stop;

/// Where the new process finds the old one.
pub const VARIABLE: &str = "KITGATE_UPGRADE";

const SOCKET_NAME: &str = "upgrade.sock";

/// For the new process to read its configuration and say that it could start.
const PREPARE_PATIENCE: Duration = Duration::from_secs(30);

/// For the new process to recover the spool and accept connections: start-up does not depend on the backlog.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// How long the old process serves on while connections change over by themselves: a client that is busy comes by many
/// times.
const DELAY: Duration = Duration::from_secs(1);

/// The least that requests in work get, whatever the configuration allows a stop.
const BUDGET_MIN: Duration = Duration::from_secs(10);

const STEP: Duration = Duration::from_millis(10);
const PREPARED: &str = "prepared";
const GO: &str = "go";
const READY: &str = "ready";

/// How the old process stops for a new one.
pub fn stop(budget: Duration) -> Stop {
    Stop { delay: DELAY, budget: budget.max(BUDGET_MIN), uploads_at_once: true }
}

/// What is said of one address.
#[derive(Serialize, Deserialize)]
struct Handed {
    name: String,
    configured: Address,
    address: Address,
    /// Addresses that follow.
    left: usize,
}

/// The new process, as the old one knows it. Dropped, it is killed: there are never two owners.
pub struct Successor {
    child: Option<Child>,
    stream: UnixStream,
}

impl Successor {
    /// Starts `program` and hands it the sockets. Returns when it says that it could take over. Blocks.
    pub fn prepare(
        program: &Path,
        arguments: &[String],
        data_dir: &Path,
        bound: &[Bound],
    ) -> Result<Successor, String> {
        let path = data_dir.join(SOCKET_NAME);
        let _ = std::fs::remove_file(&path);
        let told = |error: io::Error| format!("{}: {error}", path.display());
        let listener = UnixListener::bind(&path).map_err(told)?;
        let result = Successor::start(program, arguments, &path, &listener, bound);
        let _ = std::fs::remove_file(&path);
        result
    }

    fn start(
        program: &Path,
        arguments: &[String],
        path: &PathBuf,
        listener: &UnixListener,
        bound: &[Bound],
    ) -> Result<Successor, String> {
        let mut child = Command::new(program)
            .args(arguments)
            .env(VARIABLE, path)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let deadline = Instant::now() + PREPARE_PATIENCE;
        let prepared = meet(&mut child, listener, deadline).and_then(|stream| {
            hand_over(&stream, bound).map_err(|error| format!("it does not take the sockets: {error}"))?;
            expect(&stream, PREPARED, deadline.saturating_duration_since(Instant::now()))?;
            Ok(stream)
        });
        match prepared {
            Ok(stream) => Ok(Successor { child: Some(child), stream }),
            Err(text) => {
                let _ = child.kill();
                let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(format!("the new process cannot start ({status}): {text}; its log says why"))
            }
        }
    }

    /// The old process has let go of everything. Returns when the new one accepts connections.
    pub fn go(mut self) -> Result<(), String> {
        say(&self.stream, GO).map_err(|error| error.to_string())?;
        expect(&self.stream, READY, READY_PATIENCE)?;
        // It lives on.
        self.child = None;
        Ok(())
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until the new process connects, or is gone.
fn meet(child: &mut Child, listener: &UnixListener, deadline: Instant) -> Result<UnixStream, String> {
    listener.set_nonblocking(true).map_err(|error| error.to_string())?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).map_err(|error| error.to_string())?;
                let wait = deadline.saturating_duration_since(Instant::now()).max(STEP);
                stream.set_read_timeout(Some(wait)).map_err(|error| error.to_string())?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.to_string()),
        }
        if child.try_wait().map_err(|error| error.to_string())?.is_some() {
            return Err("it has ended".to_owned());
        }
        if Instant::now() >= deadline {
            return Err("it does not come forward".to_owned());
        }
        std::thread::sleep(STEP);
    }
}

fn hand_over(stream: &UnixStream, bound: &[Bound]) -> io::Result<()> {
    let mut left = bound.len();
    if left == 0 {
        return Err(io::Error::other("BUG: a gateway without listeners"));
    }
    for bound in bound {
        left -= 1;
        let handed = Handed {
            name: bound.name.to_owned(),
            configured: bound.configured.clone(),
            address: bound.address.clone(),
            left,
        };
        // With more shards than go into a message the new process binds the rest; nobody waits at those for long.
        let sockets = &bound.sockets[..bound.sockets.len().min(handover::DESCRIPTORS_MAX)];
        handover::send(stream, &serde_json::to_string(&handed)?, sockets)?;
    }
    Ok(())
}

fn say(mut stream: &UnixStream, word: &str) -> io::Result<()> {
    stream.write_all(format!("{word}\n").as_bytes())
}

fn expect(stream: &UnixStream, word: &str, patience: Duration) -> Result<(), String> {
    stream.set_read_timeout(Some(patience.max(STEP))).map_err(|error| error.to_string())?;
    let mut line = String::new();
    match BufReader::new(stream).read_line(&mut line) {
        Ok(0) => Err(format!("it has ended before it was {word}")),
        Ok(_) if line.trim_end() == word => Ok(()),
        Ok(_) => Err(format!("it said {:?} and not {word}", line.trim_end())),
        Err(error) => Err(format!("it was not {word} in time: {error}")),
    }
}

/// The old process, as the new one knows it.
pub struct Predecessor {
    stream: UnixStream,
}

impl Predecessor {
    /// Finds the old process, if there is one, and takes its sockets.
    pub fn find(names: &[&'static str]) -> io::Result<Option<(Predecessor, Vec<Bound>)>> {
        let Some(path) = std::env::var_os(VARIABLE) else { return Ok(None) };
        let stream = UnixStream::connect(path)?;
        let mut all = Vec::new();
        loop {
            let (line, sockets): (String, Vec<OwnedFd>) = handover::receive(&stream)?;
            let Handed { name, configured, address, left } = serde_json::from_str(&line)?;
            // A listener that this version does not know is closed.
            if let Some(name) = names.iter().find(|known| **known == name) {
                all.push(Bound { name, configured, address, sockets });
            }
            if left == 0 {
                return Ok(Some((Predecessor { stream }, all)));
            }
        }
    }

    /// Says that we could take over, and waits until we may.
    pub fn await_turn(&self) -> io::Result<()> {
        say(&self.stream, PREPARED)?;
        // As long as the old one lives it is its turn.
        self.stream.set_read_timeout(None)?;
        let mut line = String::new();
        BufReader::new(&self.stream).read_line(&mut line)?;
        match line.trim_end() {
            GO => Ok(()),
            // It is gone without a word, and so is its lock; we have its sockets.
            "" => Ok(()),
            other => Err(io::Error::other(format!("the old process says {other:?}"))),
        }
    }

    /// Says that we accept connections.
    pub fn ready(self) -> io::Result<()> {
        say(&self.stream, READY)
    }
}
