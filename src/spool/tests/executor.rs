//! Runs futures without a runtime: one to its end, or several interleaved by a seed.

use crate::spool::file::memory::Random;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// Polls that one future may take: the disk gives way once an operation, so a loop that never ends is noticed.
const POLLS_MAX: usize = 5_000_000;

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..POLLS_MAX {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("the future does not end");
}

/// Polls a few futures in random order until they are done, `steps` have been made, or `stop` says so.
pub fn interleave<'a>(
    mut futures: Vec<Pin<Box<dyn Future<Output = ()> + 'a>>>,
    random: &mut Random,
    steps: usize,
    stop: impl Fn() -> bool,
) {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..steps {
        if futures.is_empty() || stop() {
            return;
        }
        let at = random.below(futures.len() as u64) as usize;
        if futures[at].as_mut().poll(&mut context).is_ready() {
            drop(futures.swap_remove(at));
        }
    }
}
