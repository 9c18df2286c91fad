//! Runs futures without a runtime: one to its end, or several interleaved by a seed.

use crate::spool::file::memory::Random;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Polls that one future may take: the disk gives way once an operation, so a loop that never ends is noticed.
const POLLS_MAX: usize = 5_000_000;

pub type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

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

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Stopped,
    /// The steps are used up.
    Cut,
    /// All that are left wait for something that none of them does.
    Asleep,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Flag>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Polls a few futures in random order, only those that have been woken, until `stop` says so, `steps` have been made,
/// or none of them is awake.
pub fn interleave(tasks: Vec<Task>, random: &mut Random, steps: usize, stop: impl Fn() -> bool) -> Ending {
    let mut tasks: Vec<_> = tasks
        .into_iter()
        .map(|task| {
            let flag = Arc::new(Flag(AtomicBool::new(true)));
            (Waker::from(flag.clone()), flag, task)
        })
        .collect();
    for _ in 0..steps {
        if stop() {
            return Ending::Stopped;
        }
        let awake = tasks.iter().filter(|(_, flag, _)| flag.0.load(Ordering::Relaxed)).count();
        if awake == 0 {
            return Ending::Asleep;
        }
        let wanted = random.below(awake as u64) as usize;
        let mut awake = tasks.iter().enumerate().filter(|(_, (_, flag, _))| flag.0.load(Ordering::Relaxed));
        let Some((at, _)) = awake.nth(wanted) else { unreachable!() };
        let (waker, flag, task) = &mut tasks[at];
        flag.0.store(false, Ordering::Relaxed);
        if task.as_mut().poll(&mut Context::from_waker(waker)).is_ready() {
            drop(tasks.swap_remove(at));
        }
    }
    Ending::Cut
}
