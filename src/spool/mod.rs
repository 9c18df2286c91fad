//! The disk-backed queue: one append-only log of frames per category. It knows frames, not points.
//!
//! (Written out below.)

mod block;
mod config;
mod cursor;
pub mod file;
mod format;
mod ledger;
mod log;
mod owner;
mod place;
mod pool;
mod recover;
mod scan;
mod tail;
mod turn;
mod window;
mod writer;

#[cfg(test)]
mod tests;

pub use block::{Block, Codec, Kind};
pub use config::{
    COMMIT_BYTES_TARGET, CommitError, CommitFailure, Completion, Fate, FullState, LogConfig, LogStats,
    WRITE_BYTES_MAX, WhenFull, WindowLimits,
};
pub use file::direct::DirectDisk;
pub use format::{LogId, PAYLOAD_BYTES_MAX, ROUTE_BYTES_MAX};
pub use ledger::WINDOWS_OPEN_MAX;
pub use log::{Log, Observer};
pub use owner::{OwnError, Owner, fresh_id};
pub use place::package_id;
pub use recover::{OpenError, RecoveryReport};
pub use window::{Frame, Window};
