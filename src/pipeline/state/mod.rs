//! What scripts keep from run to run: values under keys ([`cache`]), sums over many points ([`aggregate`]), points that
//! may still be wanted ([`window`]); and tables to look things up in ([`tables`]).
//!
//! A script has one [`ScriptState`] for the whole process, as it has in the reference: a sum is over all points, and the
//! lines of a file meet in one window, whichever shards take them in. Scripts that keep nothing never touch it; those
//! that do hold a lock for some hundred nanoseconds a call. Everything is bounded, time is the host's, and what finds no
//! room is counted ([`ScriptState::take_refused`]).

pub mod aggregate;
pub mod cache;
pub mod owned;
pub mod tables;
pub mod window;

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::record::Record;
use aggregate::{Added, Buckets};
use cache::Cache;
use owned::{Owned, OwnedPoint};
use window::Windows;

/// What one script keeps. Scripts that it uses keep theirs here as well.
#[derive(Debug, Default)]
pub struct ScriptState {
    cache: Mutex<Cache>,
    buckets: Mutex<Buckets>,
    /// There are points in `buckets` that want to be fetched.
    ready: AtomicBool,
    windows: Mutex<Windows>,
    refused: AtomicU64,
}

impl ScriptState {
    pub fn cached(&self, key: &[u8], now_ns: i64) -> Option<Owned> {
        lock(&self.cache).get(key, now_ns)
    }

    /// Keeps a value until `until_ns`.
    pub fn cache(&self, key: &[u8], value: Owned, now_ns: i64, until_ns: i64) {
        if !lock(&self.cache).set(key, value, now_ns, until_ns) {
            self.refuse();
        }
    }

    /// Adds a bucket, unless it is there.
    pub fn create_bucket(&self, bucket: &aggregate::NewBucket<'_>, now_ns: i64) {
        if !lock(&self.buckets).create(bucket, now_ns) {
            self.refuse();
        }
    }

    /// Adds a value to a bucket, if there is such a one.
    pub fn aggregate(&self, metric: &aggregate::NewValue<'_>, now_ns: i64) {
        match lock(&self.buckets).add(metric, now_ns) {
            Added::NoBucket | Added::Added => {}
            Added::Full => self.ready.store(true, Ordering::Release),
            Added::Refused => self.refuse(),
        }
    }

    /// Makes points of the buckets whose time has come.
    pub fn tick(&self, now_ns: i64) {
        if lock(&self.buckets).tick(now_ns) {
            self.ready.store(true, Ordering::Release);
        }
    }

    /// Makes points of all buckets: the script goes.
    pub fn finish(&self, now_ns: i64) {
        if lock(&self.buckets).finish(now_ns) {
            self.ready.store(true, Ordering::Release);
        }
    }

    /// Points that buckets have made, without the global tags. Cheap where there are none.
    pub fn take_ready(&self) -> Vec<OwnedPoint> {
        if !self.ready.load(Ordering::Relaxed) || !self.ready.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        lock(&self.buckets).take_ready()
    }

    /// What is to be done with a point behind its run and [`super::post::finish`], where the script has a window on it: the
    /// points that are let through now. Nothing is locked for a point without a window.
    pub fn moved(&self, record: &Record<'_>, now_ns: i64) -> Vec<OwnedPoint> {
        match &record.window {
            None => Vec::new(),
            Some(stream) => lock(&self.windows).moved(stream, record, now_ns),
        }
    }

    /// How often something found no room since this was asked last.
    pub fn take_refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }

    fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whoever panicked with the lock left a state that is whole: nothing is done in steps that need each other.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
