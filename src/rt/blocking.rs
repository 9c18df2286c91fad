//! A small pool of threads for what may block: name look-ups, directory scans, compression of finished files.
//!
//! Shared by all shards, never pinned to a shard's core by intent, bounded in threads and in queued jobs. A job that
//! panics gives its caller an error and the thread lives on.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// Threads of the pool. Jobs are rare and short; two keep a stuck name look-up from holding up the rest.
const THREADS: usize = 2;

/// Jobs waiting at most. Past it, callers wait for room: every caller is a task that has nothing better to do.
const QUEUED_JOBS_MAX: usize = 256;

type Job = Box<dyn FnOnce() + Send>;

fn pool() -> &'static flume::Sender<Job> {
    static POOL: OnceLock<flume::Sender<Job>> = OnceLock::new();
    POOL.get_or_init(|| {
        let (sender, receiver) = flume::bounded::<Job>(QUEUED_JOBS_MAX);
        for index in 0..THREADS {
            let receiver = receiver.clone();
            let spawned = std::thread::Builder::new().name(format!("blocking-{index}")).spawn(move || {
                unpin();
                while let Ok(job) = receiver.recv() {
                    job();
                }
            });
            if let Err(error) = spawned {
                tracing::error!(%error, "cannot start a thread of the blocking pool");
            }
        }
        sender
    })
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

/// Runs `job` on the pool and waits for what it returns. An error means that the job panicked.
pub async fn run<T, F>(job: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (sender, receiver) = flume::bounded(1);
    let job: Job = Box::new(move || {
        let result = catch_unwind(AssertUnwindSafe(job));
        // The caller may have gone; then nobody wants the result.
        let _ = sender.send(result);
    });
    pool().send_async(job).await.map_err(|_| io::Error::other("the blocking pool is gone"))?;
    match receiver.recv_async().await {
        Ok(Ok(value)) => Ok(value),
        _ => Err(io::Error::other("a job of the blocking pool panicked")),
    }
}
