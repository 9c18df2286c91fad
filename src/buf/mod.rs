//! Buffers that vector code may read past the end of.

mod padded;

pub use padded::{PADDING, Padded};
