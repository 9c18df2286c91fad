//! Small pools of threads: one for what may block (name look-ups, directory scans, compression of finished files), one for
//! what takes long (bodies of many megabytes), one for what takes long and nobody waits for, and one for requests that wait for
//! somebody else.
//!
//! Shared by all shards, never pinned to a shard's core by intent, bounded in threads and in queued jobs. A job that
//! panics gives its caller an error and the thread lives on.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Threads of a pool. Jobs are rare; two keep a stuck name look-up, or the body of one sender, from holding up the
/// rest.
const THREADS: usize = 2;

/// Threads of the pool for requests, which mostly wait: for another host, seconds each if it is slow.
const REQUEST_THREADS: usize = 16;

/// Requests that wait for one of them. Past it they are turned away: each holds its body, and nobody waits gladly.
const QUEUED_REQUESTS_MAX: usize = 64;

/// Threads for what nobody waits for.
const BACKGROUND_THREADS: usize = 1;

/// How far the threads for long work stand back behind the shards.
const LONG_WORK_NICE: i32 = 5;

/// Jobs waiting at most. Past it, callers wait for room: every caller is a task that has nothing better to do.
const QUEUED_JOBS_MAX: usize = 256;

/// Jobs that are queued or running.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

type Job = Box<dyn FnOnce() + Send>;

/// Which threads do a job.
#[derive(Clone, Copy)]
enum Pool {
    Blocking,
    LongWork,
    Background,
    Requests,
}

/// How threads stand to others that want the same core.
#[derive(Clone, Copy)]
enum Rank {
    Nice(i32),
    /// They run when nobody else wants to. Threads that share a core with a shard, even with a much smaller share of it, have it
    /// for a slice of some milliseconds once they have it, and the shard's requests wait.
    Idle,
}

impl Pool {
    fn jobs(self) -> &'static flume::Sender<Job> {
        static BLOCKING: OnceLock<flume::Sender<Job>> = OnceLock::new();
        static LONG_WORK: OnceLock<flume::Sender<Job>> = OnceLock::new();
        static BACKGROUND: OnceLock<flume::Sender<Job>> = OnceLock::new();
        static REQUESTS: OnceLock<flume::Sender<Job>> = OnceLock::new();
        let behind = Rank::Nice(LONG_WORK_NICE);
        match self {
            Pool::Blocking => {
                BLOCKING.get_or_init(|| start("blocking", THREADS, QUEUED_JOBS_MAX, Rank::Nice(0)))
            }
            Pool::LongWork => LONG_WORK.get_or_init(|| start("long-work", THREADS, QUEUED_JOBS_MAX, behind)),
            Pool::Background => BACKGROUND
                .get_or_init(|| start("background", BACKGROUND_THREADS, QUEUED_JOBS_MAX, Rank::Idle)),
            Pool::Requests => {
                REQUESTS.get_or_init(|| start("requests", REQUEST_THREADS, QUEUED_REQUESTS_MAX, behind))
            }
        }
    }
}

fn start(name: &str, threads: usize, queued_max: usize, rank: Rank) -> flume::Sender<Job> {
    let (sender, receiver) = flume::bounded::<Job>(queued_max);
    for index in 0..threads {
        let receiver = receiver.clone();
        let spawned = std::thread::Builder::new().name(format!("{name}-{index}")).spawn(move || {
            unpin();
            rank.take();
            while let Ok(job) = receiver.recv() {
                job();
            }
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "cannot start a thread of the {name} pool");
        }
    }
    sender
}

impl Rank {
    /// Of this thread alone; refused nowhere, and no loss where it is.
    fn take(self) {
        match self {
            Rank::Nice(nice) => {
                let _ = rustix::process::nice(nice);
            }
            Rank::Idle => {
                let none = libc::sched_param { sched_priority: 0 };
                // SAFETY: about this thread, and reads the one number it is given.
                let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none) };
            }
        }
    }
}

/// A thread inherits the affinity of the shard that started it: give it every core back.
fn unpin() {
    let mut all = rustix::thread::CpuSet::new();
    for core in 0..rustix::thread::CpuSet::MAX_CPU {
        all.set(core);
    }
    // Refused only where a container fixes the set, and then the set is right as it is.
    let _ = rustix::thread::sched_setaffinity(None, &all);
}

/// Runs a job that may block, and waits for what it returns. An error means that the job panicked.
pub async fn run<T, F>(job: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    run_on(Pool::Blocking, job).await
}

/// Runs a job that takes long, likewise.
pub async fn run_long<T, F>(job: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    run_on(Pool::LongWork, job).await
}

/// Runs a job that nobody waits for, when there is nothing else to do: under full load that may be much later.
pub async fn run_background<T, F>(job: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    run_on(Pool::Background, job).await
}

/// What became of a request's job.
#[derive(Debug, PartialEq, Eq)]
pub enum Aside<T> {
    Done(T),
    /// Too many wait already.
    Busy,
    Panicked,
}

/// Runs a request's job, if its turn can come. Nobody waits for such jobs when the process ends: see [`settle`].
pub async fn run_aside<T, F>(job: F) -> Aside<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (sender, receiver) = flume::bounded(1);
    let job: Job = Box::new(move || {
        let _ = sender.send(catch_unwind(AssertUnwindSafe(job)));
    });
    if Pool::Requests.jobs().try_send(job).is_err() {
        return Aside::Busy;
    }
    match receiver.recv_async().await {
        Ok(Ok(value)) => Aside::Done(value),
        _ => Aside::Panicked,
    }
}

/// Waits until no job is queued or running any more: what nobody waits for may still write. False when `patience` ran out.
pub fn settle(patience: Duration) -> bool {
    const STEP: Duration = Duration::from_millis(5);
    let begun = Instant::now();
    while UNDER_WAY.load(Ordering::Acquire) > 0 {
        if begun.elapsed() >= patience {
            return false;
        }
        std::thread::sleep(STEP);
    }
    true
}

/// Counts a job until it is dropped, done or not.
struct UnderWay;

impl UnderWay {
    fn new() -> UnderWay {
        UNDER_WAY.fetch_add(1, Ordering::AcqRel);
        UnderWay
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn run_on<T, F>(pool: Pool, job: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (sender, receiver) = flume::bounded(1);
    let under_way = UnderWay::new();
    let job: Job = Box::new(move || {
        let _under_way = under_way;
        let result = catch_unwind(AssertUnwindSafe(job));
        // The caller may have gone; then nobody wants the result.
        let _ = sender.send(result);
    });
    pool.jobs().send_async(job).await.map_err(|_| io::Error::other("the pool is gone"))?;
    match receiver.recv_async().await {
        Ok(Ok(value)) => Ok(value),
        _ => Err(io::Error::other("a job of the pool panicked")),
    }
}
