//! The disk-backed queue: one append-only log of frames per category. It knows frames, not points.

mod block;

pub use block::{Block, Codec, Kind};
