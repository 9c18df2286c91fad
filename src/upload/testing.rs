//! A runtime for tests: one thread, tasks in order, and a clock that jumps to the next timer when nothing is left to
//! do. The same test takes the same steps every time, and an hour of backoff takes no time.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::env::Env;

pub mod destination;
pub mod source;

/// Polls of one test at most: a busy loop fails instead of hanging.
const POLLS_MAX: usize = 1_000_000;

/// Where a virtual wall clock starts: 2026-01-31T08:15:30Z.
pub const WALL_START_MS: u64 = 1_769_847_330_000;

type Task = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Clone)]
pub struct Sim {
    inner: Rc<Inner>,
}

struct Inner {
    start: Instant,
    elapsed: Cell<Duration>,
    /// Each with its waker, which is the same at every poll, as with a real executor.
    tasks: RefCell<BTreeMap<usize, (Task, Waker)>>,
    next_task: Cell<usize>,
    ready: Arc<Mutex<VecDeque<usize>>>,
    timers: RefCell<BTreeMap<(Duration, usize), Waker>>,
    next_timer: Cell<usize>,
}

struct TaskWaker {
    task: usize,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.lock().unwrap();
        if !ready.contains(&self.task) {
            ready.push_back(self.task);
        }
    }
}

impl Sim {
    pub fn new() -> Sim {
        Sim {
            inner: Rc::new(Inner {
                start: Instant::now(),
                elapsed: Cell::new(Duration::ZERO),
                tasks: RefCell::default(),
                next_task: Cell::new(0),
                ready: Arc::default(),
                timers: RefCell::default(),
                next_timer: Cell::new(0),
            }),
        }
    }

    /// Virtual time since the start.
    pub fn elapsed(&self) -> Duration {
        self.inner.elapsed.get()
    }

    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let task = self.inner.next_task.replace(self.inner.next_task.get() + 1);
        let waker = Waker::from(Arc::new(TaskWaker { task, ready: Arc::clone(&self.inner.ready) }));
        self.inner.tasks.borrow_mut().insert(task, (Box::pin(future), waker));
        self.inner.ready.lock().unwrap().push_back(task);
    }

    /// Runs until `future` is done; spawned tasks run beside it.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        let main = usize::MAX;
        let waker = Waker::from(Arc::new(TaskWaker { task: main, ready: Arc::clone(&self.inner.ready) }));
        let mut future = std::pin::pin!(future);
        self.inner.ready.lock().unwrap().push_back(main);
        for _ in 0..POLLS_MAX {
            let next = self.inner.ready.lock().unwrap().pop_front();
            match next {
                Some(task) if task == main => {
                    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                        return output;
                    }
                }
                Some(task) => self.poll_task(task),
                None => {
                    assert!(self.advance(), "nothing is ready and no timer is set: the test waits for ever")
                }
            }
        }
        panic!("more than {POLLS_MAX} polls: a busy loop");
    }

    /// Runs until every spawned task is done.
    pub fn run_to_end(&self) {
        for _ in 0..POLLS_MAX {
            let next = self.inner.ready.lock().unwrap().pop_front();
            match next {
                Some(task) => self.poll_task(task),
                None if self.inner.tasks.borrow().is_empty() => return,
                None => assert!(self.advance(), "tasks wait for ever"),
            }
        }
        panic!("more than {POLLS_MAX} polls: a busy loop");
    }

    fn poll_task(&self, task: usize) {
        let Some((mut future, waker)) = self.inner.tasks.borrow_mut().remove(&task) else { return };
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.inner.tasks.borrow_mut().insert(task, (future, waker));
        }
    }

    /// Jumps to the next timer.
    fn advance(&self) -> bool {
        let Some(((at, _), waker)) = self.inner.timers.borrow_mut().pop_first() else { return false };
        self.inner.elapsed.set(at.max(self.inner.elapsed.get()));
        waker.wake();
        true
    }
}

impl Env for Sim {
    fn now(&self) -> Instant {
        self.inner.start + self.elapsed()
    }

    fn wall_ms(&self) -> u64 {
        WALL_START_MS + self.elapsed().as_millis() as u64
    }

    async fn sleep(&self, duration: Duration) {
        let number = self.inner.next_timer.replace(self.inner.next_timer.get() + 1);
        let key = (self.elapsed() + duration, number);
        struct Forget<'a>(&'a Inner, (Duration, usize));
        impl Drop for Forget<'_> {
            fn drop(&mut self) {
                self.0.timers.borrow_mut().remove(&self.1);
            }
        }
        let _forget = Forget(&self.inner, key);
        poll_fn(|cx| {
            if self.elapsed() >= key.0 {
                return Poll::Ready(());
            }
            self.inner.timers.borrow_mut().insert(key, cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    async fn blocking<T, F>(&self, job: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        Ok(job())
    }
}

#[test]
fn virtual_time_jumps_and_orders_tasks() {
    let sim = Sim::new();
    let log = Rc::new(RefCell::new(Vec::new()));
    for (name, seconds) in [("late", 3600), ("early", 1), ("tie", 1)] {
        let (env, log) = (sim.clone(), Rc::clone(&log));
        sim.spawn(async move {
            env.sleep(Duration::from_secs(seconds)).await;
            log.borrow_mut().push((name, env.elapsed().as_secs()));
        });
    }
    sim.run_to_end();
    assert_eq!(*log.borrow(), [("early", 1), ("tie", 1), ("late", 3600)]);
}
