//! The integration tests, one binary. `harness.rs` starts the real gateway and stands in for its neighbours; the
//! other files are named after what they prove.

#![allow(clippy::disallowed_methods)] // tests are no shards: they may sleep

mod cli;
mod config;
mod golden_write;
mod harness;
mod layout;
mod smoke;
