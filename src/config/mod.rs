//! Configuration: what a user writes becomes [`Settings`], checked before anything starts.
//!
//! ```text
//! text --read.rs--> keys of the right kind --resolve.rs--> Settings
//!        parse, expand ${VAR}, schema.rs     defaults, cross checks
//! ```
//!
//! Nothing here touches a file, a variable or the machine: the caller brings the text and its [`Surroundings`].

mod address;
mod collectors;
mod dialtesting;
pub mod doc;
pub mod edit;
mod env;
mod go_pull;
pub mod pattern;
pub mod pipeline;
mod profiling;
mod read;
mod resolve;
mod schema;
pub mod secret;
mod settings;
pub mod units;

pub use address::Address;
pub use collectors::{
    CUSTOMER_TAGS_MAX, DatadogSettings, PATTERN_PREFIX, SkywalkingSettings, SpanSettings,
    TAGS_MAX as COLLECTOR_TAGS_MAX, TraceFilters, TraceMetrics,
};
pub use dialtesting::DialtestingSettings;
pub use go_pull::{GoPull, PROFILES as GO_PROFILES};
pub use pipeline::{HttpRequestSettings, PipelineSettings, TableSettings};
pub use profiling::ProfilingSettings;
pub use read::Problem;
pub use resolve::{Resolved, Surroundings, resolve};
pub use settings::{
    Ack, ArchiveSettings, BodyFormat, Compat, Compression, DatawaySettings, Destination, FilterSettings,
    Full, HttpSettings, LISTENERS, LimitSettings, Listener, LogFormat, LogSettings, RUM_MEASUREMENTS,
    RUM_ORIGIN_IP_HEADER, RateLimit, RumSettings, Settings, ShutdownSettings, SourcemapSettings,
    SpoolSettings, TlsFiles, UrlsMode,
};

#[cfg(test)]
mod tests;
