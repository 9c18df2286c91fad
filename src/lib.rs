//! Kitgate, an ingest gateway.
//!
//! (The architecture document; grows with the code.)

// The stages, in the order in which data flows through them.
// pub mod app;
// pub mod shard;
pub mod net;
pub mod http1;
pub mod intake;
pub mod codec;
pub mod point;
pub mod ring;
pub mod spool;
pub mod upload;
pub mod sink;

// What the stages stand on.
pub mod admin;
pub mod buf;
pub mod config;
pub mod limits;
pub mod metrics;
pub mod rt;
pub mod simd;
