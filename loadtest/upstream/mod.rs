//! A stand-in destination (DataWay): fast, slow, failing, absent, poisonous, silent or forgetful, at will and at run
//! time, and exact about what it took.
//!
//! - `server.rs`: HTTP/1.1 on one epoll thread; knows bodies and answers.
//! - `mode.rs`: how it behaves; `decode.rs`: body → points, with its own small reader of PBPoints.
//! - `account.rs`: packages by `X-Pkg-Id`, points of the ledger by their number.
//! - `control.rs`: a second port where the mode is set and the account is read, also while the destination is absent.

pub mod account;
mod control;
pub mod decode;
pub mod mode;
mod server;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::shared::{Outcome, system};

pub use account::Account;
pub use mode::Mode;

/// Settings at start.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where packages are taken; port 0 picks one.
    #[arg(long, default_value = "127.0.0.1:9528")]
    pub listen: SocketAddr,
    /// Where it is controlled (`POST /control?mode=...`, `GET /stats`, `GET /ledger`).
    #[arg(long, default_value = "127.0.0.1:9527")]
    pub control: SocketAddr,
    /// How it behaves at first: fast, slow:MS, failing:STATUS:SHARE, absent, silent, forgetful:SHARE,
    /// poisonous:MARKER:STATUS.
    #[arg(long, default_value = "fast")]
    pub mode: Mode,
    /// Read and drop bodies; count only what heads say. For benchmarks.
    #[arg(long)]
    pub discard: bool,
    /// Take larger bodies without a look at their points.
    #[arg(long, default_value_t = usize::MAX)]
    pub look_bytes_max: usize,
    /// Status of a success.
    #[arg(long, default_value_t = 204)]
    pub status: u16,
    /// Core of its thread.
    #[arg(long)]
    pub core: Option<usize>,
    /// Seed of its random decisions.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Options {
    /// On free loopback ports, for callers in this process.
    pub fn local() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: any,
            control: any,
            mode: Mode::Fast,
            discard: false,
            look_bytes_max: usize::MAX,
            status: 204,
            core: None,
            seed: 1,
        }
    }
}

/// What the server's thread and everybody else share.
pub struct Shared {
    mode: Mutex<Mode>,
    /// Packages that hold these bytes are refused for ever, whatever the mode.
    poison: Mutex<Option<String>>,
    account: Mutex<Account>,
    stop: AtomicBool,
    /// Requests taken, whatever was answered.
    pub requests: AtomicU64,
    /// Body bytes taken.
    pub bytes: AtomicU64,
    /// Sum of `X-Points` of requests answered 2xx.
    pub points: AtomicU64,
}

impl Shared {
    /// The account, for as long as the guard lives.
    pub fn account(&self) -> MutexGuard<'_, Account> {
        // A panic of the server's thread is reported by its join; the account stays readable.
        self.account.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Behaves so from now on.
    pub fn set_mode(&self, mode: Mode) {
        *self.mode.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = mode;
    }

    /// Refuses, in whatever mode, packages whose decoded body holds `marker`.
    pub fn set_poison(&self, marker: Option<&str>) {
        *self.poison.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = marker.map(str::to_owned);
    }

    /// What it refuses.
    pub fn poison(&self) -> Option<String> {
        self.poison.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// How it behaves.
    pub fn mode(&self) -> Mode {
        self.mode.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

/// A running destination; ends with the value.
pub struct Upstream {
    shared: Arc<Shared>,
    address: SocketAddr,
    control: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

impl Upstream {
    /// Binds both ports and starts.
    pub fn start(options: &Options) -> Outcome<Self> {
        system::raise_descriptor_limit();
        let shared = Arc::new(Shared {
            mode: Mutex::new(options.mode.clone()),
            poison: Mutex::new(None),
            account: Mutex::new(Account::default()),
            stop: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            points: AtomicU64::new(0),
        });
        let server = server::Server::bind(options, Arc::clone(&shared))?;
        let control = control::Control::bind(options, Arc::clone(&shared))?;
        let (address, control_address) = (server.address(), control.address());
        let core = options.core;
        let threads = vec![
            std::thread::spawn(move || {
                let pinned = core.map_or(Ok(()), system::pin);
                if let Err(e) = pinned.and_then(|()| server.run()) {
                    eprintln!("upstream: {e}");
                }
            }),
            std::thread::spawn(move || control.run()),
        ];
        Ok(Self { shared, address, control: control_address, threads })
    }

    /// Where packages are taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it is controlled.
    pub fn control(&self) -> SocketAddr {
        self.control
    }

    /// Counts and account.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Waits until nothing has arrived for `quiet`, at most `patience`; false when it never was quiet.
    pub fn wait_quiet(&self, quiet: Duration, patience: Duration) -> bool {
        let begin = std::time::Instant::now();
        let mut last = (self.shared.bytes.load(Ordering::Relaxed), begin);
        while begin.elapsed() < patience {
            std::thread::sleep(Duration::from_millis(20));
            let bytes = self.shared.bytes.load(Ordering::Relaxed);
            if bytes != last.0 {
                last = (bytes, std::time::Instant::now());
            } else if last.1.elapsed() >= quiet {
                return true;
            }
        }
        false
    }

    /// Runs until the process is ended.
    pub fn join(mut self) {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
