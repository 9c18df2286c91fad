//! The integration tests, one binary. `harness.rs` starts the real gateway and stands in for its neighbours; the
//! other files are named after what they prove.

mod access;
mod captured;
mod cli;
mod config;
mod control;
mod dedup;
mod entrance;
mod filters;
mod golden_document;
mod golden_gateway;
mod golden_live;
mod golden_write;
mod harness;
mod hostile;
mod http_framing;
mod intakes;
mod layout;
mod lifecycle;
mod openapi;
mod pipeline;
mod pipeline_cli;
mod pipeline_debug;
mod pipeline_select;
mod profiling;
mod rum;
mod script_state;
mod scripts;
mod smoke;
mod sourcemap;
mod tools;
mod upload;
