//! The runtime behind one door: the only folder that names glommio.
//!
//! A shard is one executor pinned to one core. What it offers is small on purpose, so that a second implementation
//! (epoll where io_uring is denied, a simulated one for tests) can stand behind the same names:
//!
//! - [`shard`]: start executors, spawn tasks, yield.
//! - [`time`]: sleep, deadlines, the wall clock.
//! - [`net`]: listeners and streams on **one epoll descriptor a shard**, which the executor awaits as one foreign
//!   descriptor. Plain `recv` and `send` on sockets of our own cost what bare epoll costs; glommio's own stream
//!   costs 1.2 to 1.4 times that and nine kilobytes an idle connection.
//! - [`file`]: direct-I/O files on io_uring, and the few directory operations of the spool.
//! - [`wake`]: wakes another shard, through an event descriptor in its epoll set.
//! - [`sync`]: waiting within a shard.
//! - [`blocking`]: a small pool of threads for what blocks (names, directories, compression of old files).
//! - [`memory`]: how the allocator keeps what is given back.
//! - [`handover`]: sockets from one process to the next.
//! - [`probe`]: what the host grants, asked before any shard starts.
//!
//! Why `glommio-ng`, pinned: 0.9.0 panics with a misleading text where io_uring is denied, aborts after 32,767
//! clones of one waker, needs a C toolchain, and has no way to wait for a foreign descriptor except by an
//! undocumented side effect of a stream that is not one. The republish repairs all four. What neither repairs is a
//! stream's read deadline that survives a dropped read; we do not use its streams.

pub mod blocking;
pub mod file;
pub mod handover;
pub mod memory;
pub mod net;
pub mod probe;
pub mod shard;
pub mod sync;
pub mod time;
pub mod wake;

pub use shard::{give_way, spawn, yield_now};

/// An error of the executor, as the I/O error that it almost always wraps.
fn io_error<T>(error: glommio::GlommioError<T>) -> std::io::Error {
    match error {
        glommio::GlommioError::IoError(inner) => inner,
        glommio::GlommioError::EnhancedIoError { source, .. } => source,
        other => std::io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
