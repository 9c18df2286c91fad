//! Side lanes over the spool's own logs: one small log each, opened when something is put into it or when it is there.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::env::Env;
use super::source::{Block, Settled, SideLane, Window};
use crate::rt::sync::Notify;
use crate::spool::file::Disk;
use crate::spool::{Fate, Log, LogConfig, RecoveryReport, WindowLimits, fresh_id};

/// Side lanes of one category: one for each destination and group of tokens. More are names that somebody else made.
const LANES_MAX: usize = 256;

/// A side lane's segments: small, since most side lanes hold little for a short time.
const SEGMENT_BYTES: u64 = 4 << 20;

/// One package a time, whatever its size.
const ONE: WindowLimits = WindowLimits { frames_max: 1, raw_bytes_max: 0, stored_bytes_max: 0 };

/// After a read that failed.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Where side lanes live: each has a folder of its own.
pub trait SideDisks: 'static {
    type Disk: Disk;

    /// The folder of this name, made if there is none.
    fn open(&self, name: &str) -> impl Future<Output = io::Result<Self::Disk>>;

    /// The names of those that exist.
    fn names(&self) -> impl Future<Output = io::Result<Vec<String>>>;

    /// A side lane was opened: it is to be maintained, watched and counted from now on.
    fn opened(&self, name: &str, log: &Rc<Log<Self::Disk>>, report: &RecoveryReport);
}

/// The side lanes of one category.
pub struct SideLogs<K: SideDisks, E> {
    disks: K,
    env: E,
    category: u8,
    config: LogConfig,
    open: RefCell<BTreeMap<String, Rc<SideLog<K::Disk, E>>>>,
    opening: Cell<bool>,
    changed: Notify,
    closed: Cell<bool>,
}

/// One side lane.
pub struct SideLog<D: Disk, E> {
    log: Rc<Log<D>>,
    env: E,
}

/// One opens a side lane at a time: two of the same name would be two owners of one log.
struct Opening<'a> {
    opening: &'a Cell<bool>,
    changed: &'a Notify,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.opening.set(false);
        self.changed.notify_all();
    }
}

impl<K: SideDisks, E: Env> SideLogs<K, E> {
    /// `of_category` is how the category's own log is set up: a side lane may hold as much, and nothing is given up
    /// there for its age.
    pub fn new(disks: K, env: E, category: u8, of_category: &LogConfig) -> SideLogs<K, E> {
        let config = LogConfig {
            segment_bytes: SEGMENT_BYTES.min(of_category.segment_bytes),
            when_full: crate::spool::WhenFull::Refuse,
            tail_bytes_max: 0,
            spares_max: 1,
            max_age: None,
            ..of_category.clone()
        };
        SideLogs {
            disks,
            env,
            category,
            config,
            open: RefCell::default(),
            opening: Cell::new(false),
            changed: Notify::new(),
            closed: Cell::new(false),
        }
    }

    /// The side lane of this name.
    pub async fn open(&self, name: &str) -> Result<Rc<SideLog<K::Disk, E>>, String> {
        let _opening = loop {
            let changed = self.changed.notified();
            if let Some(side) = self.open.borrow().get(name) {
                return Ok(Rc::clone(side));
            }
            if !self.opening.replace(true) {
                break Opening { opening: &self.opening, changed: &self.changed };
            }
            changed.await;
        };
        if self.open.borrow().len() >= LANES_MAX {
            return Err("too many side lanes".to_owned());
        }
        let text = |error: io::Error| format!("side lane {name}: {error}");
        let disk = self.disks.open(name).await.map_err(text)?;
        let id = fresh_id().map_err(text)?;
        let opened = Log::open(disk, self.category, id, self.config.clone()).await;
        let (log, report) = opened.map_err(|error| format!("side lane {name}: {error}"))?;
        let log = Rc::new(log);
        self.disks.opened(name, &log, &report);
        if self.closed.get() {
            log.close();
        }
        let side = Rc::new(SideLog { log, env: self.env.clone() });
        self.open.borrow_mut().insert(name.to_owned(), Rc::clone(&side));
        Ok(side)
    }

    /// The names of the side lanes that exist.
    pub async fn names(&self) -> Vec<String> {
        match self.disks.names().await {
            Ok(names) => names,
            Err(error) => {
                tracing::error!(%error, "the side lanes cannot be listed: what is in them waits for the next start");
                Vec::new()
            }
        }
    }

    /// Where they live.
    pub fn disks(&self) -> &K {
        &self.disks
    }

    /// The logs that are open.
    pub fn logs(&self) -> Vec<(String, Rc<Log<K::Disk>>)> {
        self.open.borrow().iter().map(|(name, side)| (name.clone(), Rc::clone(&side.log))).collect()
    }

    /// Ends every wait for a package.
    pub fn close(&self) {
        self.closed.set(true);
        self.logs().iter().for_each(|(_, log)| log.close());
    }
}

impl<D: Disk, E: Env> SideLane for SideLog<D, E> {
    async fn append(&self, block: Block) -> Result<(), String> {
        self.log.commit(&[block]).await.map(|_| ()).map_err(|error| error.reason.to_string())
    }

    async fn next(&self) -> Option<Window> {
        loop {
            match self.log.next_window(&ONE).await {
                Ok(Some(window)) if window.frames.is_empty() => self.log.complete(window, Fate::Lost),
                Ok(window) => return window,
                Err(error) => {
                    tracing::warn!(%error, "cannot take from a side lane; trying again");
                    self.env.sleep(READ_AGAIN).await;
                }
            }
        }
    }

    fn complete(&self, window: Window, settled: Settled) {
        self.log.complete_each(window, |_seq| settled);
    }

    fn give_back(&self, window: Window) {
        self.log.give_back(window);
    }
}
