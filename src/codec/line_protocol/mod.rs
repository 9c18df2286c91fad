//! Line protocol, exactly as DataKit 1.84.1 reads it.

mod tape;

pub use tape::{Item, Kind, Kv, PointSpan, Tape};
