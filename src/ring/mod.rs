//! Bounded lock-free rings: how sealed blocks cross from the shard that parsed them to the shard that spools them.
//!
//! One ring has one producer and one consumer, each on its own thread; several sources are several rings. A ring is
//! bounded twice, in slots and in bytes, and both bounds are checked by the producer before anything is moved: a full
//! ring gives the item back, and it is the producer's business to wait or to refuse. Nothing here blocks, sleeps or
//! makes a system call. Sleeping is a handshake ([`Consumer::prepare_sleep`], [`Producer::should_wake`]) that says
//! *whether* somebody must be woken; how is known one floor up.
//!
//! `sync` is the door to loom: `RUSTFLAGS="--cfg kitgate_loom" cargo test --lib ring --release` runs every interleaving of
//! the tests in `loom_tests`.

mod spsc;
mod sync;

#[cfg(all(test, kitgate_loom))]
mod loom_tests;
#[cfg(all(test, not(kitgate_loom)))]
mod tests;

pub use spsc::{Consumer, Full, Producer, Weigh, channel};
