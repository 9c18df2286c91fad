//! Sleeping, deadlines, and the two clocks: monotonic for every deadline, wall time only for stamps.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use std::time::Instant;

/// The deadline passed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl std::fmt::Display for Elapsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("deadline passed")
    }
}

impl std::error::Error for Elapsed {}

/// Waits for `duration`.
pub async fn sleep(duration: Duration) {
    glommio::timer::Timer::new(duration).await;
}

/// Runs `future` for at most `limit`. Our own futures keep no state of their own, so dropping one loses nothing.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut timer = pin!(glommio::timer::Timer::new(limit));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        timer.as_mut().poll(cx).map(|_| Err(Elapsed))
    })
    .await
}

/// Nanoseconds since 1970; 0 on a clock set before that.
pub fn wall_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// Milliseconds since 1970.
pub fn wall_ms() -> u64 {
    (wall_ns() / 1_000_000) as u64
}
