//! What is counted, and how it is shown. Each shard counts into cells of its own (`counters.rs`); a scrape sums the
//! cells of all shards without stopping any, and writes them by the one table of names (`names.rs`, `expose.rs`).
//! The points of a category are an account that must balance (`ledger.rs`).

pub mod books;
pub mod counters;
pub mod errors;
pub mod expose;
pub mod filters;
pub mod ledger;
pub mod names;
pub mod pulls;
pub mod scripts;

pub use counters::{CategoryCounters, Counter, DropReason, Gauge, Histogram, Refusal, ShardCounters};
pub use expose::{Process, Registry};
pub use ledger::Account;
