//! Scripts that rewrite points, in the language of DataKit's pipeline.
//!
//! [`lib`] holds what the language's functions stand on: pure code over bytes and numbers that knows nothing of scripts.

pub mod lib;
