//! What the workers need from a runtime: two clocks, sleep, and a place for work that blocks. A trait, so that their
//! logic runs in tests on a virtual clock, with the same result every time.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use crate::rt;

/// Time and blocking work.
pub trait Env: Clone + 'static {
    /// Monotonic: every deadline and pause.
    fn now(&self) -> Instant;

    /// Milliseconds since 1970: stamps only.
    fn wall_ms(&self) -> u64;

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;

    /// Runs `job` where it may block. An error means that it panicked.
    fn blocking<T, F>(&self, job: F) -> impl Future<Output = io::Result<T>>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static;
}

/// The runtime of a shard.
#[derive(Clone, Copy, Debug, Default)]
pub struct RtEnv;

impl Env for RtEnv {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall_ms(&self) -> u64 {
        rt::time::wall_ms()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        rt::time::sleep(duration)
    }

    fn blocking<T, F>(&self, job: F) -> impl Future<Output = io::Result<T>>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        rt::blocking::run(job)
    }
}
