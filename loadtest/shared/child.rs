//! Servers under test as child processes: pinned, logged to a file, and killed whatever happens.
//!
//! The guard kills on drop; `setpriv --pdeathsig` covers the case that this process is itself killed.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Outcome;

/// How often a condition about a child is looked at.
const POLL: Duration = Duration::from_millis(2);

/// A running server.
pub struct Server {
    child: Child,
    log: PathBuf,
}

/// What to start.
pub struct Launch<'a> {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Cores as `taskset -c` takes them.
    pub cores: &'a str,
    /// Where its output goes (appended).
    pub log: &'a Path,
    /// Extra environment.
    pub environment: Vec<(String, String)>,
}

impl Server {
    /// Starts it; the process id is the server's own, since every wrapper replaces itself.
    pub fn start(launch: &Launch<'_>) -> Outcome<Self> {
        let log = File::options().create(true).append(true).open(launch.log)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "taskset", "-c", launch.cores])
            .args(&launch.command)
            .envs(launch.environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|e| format!("cannot start {:?} through setpriv (util-linux): {e}", launch.command))?;
        Ok(Self { child, log: launch.log.to_owned() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until something accepts at `address`; an early exit or the deadline is an error with the log's tail.
    pub fn wait_listening(&mut self, address: SocketAddr, deadline: Duration) -> Outcome<Duration> {
        let begin = Instant::now();
        loop {
            if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
                return Ok(begin.elapsed());
            }
            if let Some(status) = self.exited()? {
                return Err(format!("the server ended by itself ({status}): {}", self.log_tail()).into());
            }
            if begin.elapsed() > deadline {
                return Err(
                    format!("nothing listens on {address} after {deadline:?}: {}", self.log_tail()).into()
                );
            }
            std::thread::sleep(POLL);
        }
    }

    /// Its exit status if it has ended.
    pub fn exited(&mut self) -> Outcome<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// kill -9, and waits for the end.
    pub fn kill(&mut self) -> Outcome<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop (SIGTERM) and waits; `None` when it had to be killed.
    pub fn stop(&mut self, patience: Duration) -> Outcome<Option<ExitStatus>> {
        if let Some(status) = self.exited()? {
            return Ok(Some(status));
        }
        if let Some(pid) = Pid::from_raw(self.pid() as i32) {
            kill_process(pid, Signal::TERM)?;
        }
        let begin = Instant::now();
        while begin.elapsed() < patience {
            if let Some(status) = self.exited()? {
                return Ok(Some(status));
            }
            std::thread::sleep(POLL);
        }
        self.kill()?;
        Ok(None)
    }

    /// The last lines it wrote.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A loopback port that was free a moment ago.
pub fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A directory that goes away with the guard, unless it is kept for a look at what went wrong.
pub struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// A fresh directory under `base` (the disk that is to be measured) or the system's temporary directory.
    pub fn create(base: Option<&Path>, name: &str) -> Outcome<Self> {
        let base = base.map_or_else(std::env::temp_dir, Path::to_owned);
        let nanos = std::time::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_nanos());
        let path = base.join(format!("kitgate-loadtest-{name}-{}-{nanos}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self { path, keep: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it on disk.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
