//! Executors: one a shard, pinned to its core.

use std::future::{Future, poll_fn};
use std::io;
use std::task::Poll;
use std::time::Duration;

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement, PoolPlacement};

use super::io_error;

/// Entries of a shard's submission ring. Files and one poll are all that uses it: a spool keeps a few writes in
/// flight a category and each upload one read.
const RING_ENTRIES: usize = 256;

/// Memory registered with io_uring for file I/O. A commit batch is about 1 MiB and a category has two in flight at
/// most; what does not fit comes from the allocator. Small enough for the usual 8 MiB limit on locked memory.
const IO_MEMORY_BYTES: usize = 2 << 20;

/// A running shard.
pub struct ShardHandle<T: Send + 'static> {
    handle: ExecutorJoinHandle<T>,
}

impl<T: Send + 'static> ShardHandle<T> {
    /// Waits for the shard's end. A shard that could not start, or that panicked, says so here.
    pub fn join(self) -> io::Result<T> {
        self.handle.join().map_err(io_error)
    }
}

/// Starts an executor on `core` and runs `body` on it.
pub fn start<B, F, T>(name: &str, core: usize, body: B) -> io::Result<ShardHandle<T>>
where
    B: FnOnce() -> F + Send + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let handle = LocalExecutorBuilder::new(Placement::Fixed(core))
        .name(name)
        .ring_depth(RING_ENTRIES)
        .io_memory(IO_MEMORY_BYTES)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
        .spawn(body)
        .map_err(io_error)?;
    Ok(ShardHandle { handle })
}

/// Starts an executor and takes it down again: whether this host lets us have one.
pub(super) fn try_start() -> io::Result<()> {
    let thread = std::thread::spawn(|| {
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .ring_depth(RING_ENTRIES)
            .io_memory(IO_MEMORY_BYTES)
            .make();
        executor.map(|executor| executor.run(async {})).map_err(io_error)
    });
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the executor panicked while it was set up")))
}

/// Runs `future` on this shard, detached.
pub fn spawn<F>(future: F)
where
    F: Future<Output = ()> + 'static,
{
    glommio::spawn_local(future).detach();
}

/// Lets every other ready task of this shard run once.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The cores this process may run on, in order.
pub fn allowed_cores() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return vec![0] };
    let cores: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect();
    if cores.is_empty() { vec![0] } else { cores }
}

/// How long a task with much to do stands back: until the reactor has been asked once, which takes about this long anyway.
const PAUSE: Duration = Duration::from_micros(20);

/// Lets everybody run once, those too whom the reactor is to wake. While a task is ready the reactor is not asked, and one that
/// yields is ready at once: others that wait for a socket or the disk would wait on until all of its work is done.
pub async fn give_way() {
    glommio::timer::sleep(PAUSE).await;
}
