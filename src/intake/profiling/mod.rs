//! Profiles: what profilers send.

pub mod metrics;
