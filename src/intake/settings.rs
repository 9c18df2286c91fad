//! What intakes need of the configuration, checked and derived once a start or reload.

use crate::point::{Compat, GlobalTags};

use super::reply::Envelope;

/// When a write is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ack {
    /// Once the points are in the ring.
    Memory,
    /// Once the group commit that holds them is on disk.
    #[default]
    Disk,
    /// Once the destination has taken them.
    Upstream,
}

impl Ack {
    pub const fn name(self) -> &'static str {
        match self {
            Ack::Memory => "memory",
            Ack::Disk => "disk",
            Ack::Upstream => "upstream",
        }
    }

    /// The value of `?ack=`.
    pub fn from_name(name: &str) -> Option<Ack> {
        [Ack::Memory, Ack::Disk, Ack::Upstream].into_iter().find(|ack| ack.name() == name)
    }
}

/// What an intake is configured with.
#[derive(Clone, Debug)]
pub struct Options {
    pub compat: Compat,
    /// The level of a write that asks for none.
    pub ack: Ack,
    /// Bytes of a body after decompression.
    pub body_bytes_max: usize,
    pub host_tags: GlobalTags,
    /// Where election is off: a copy of the host tags.
    pub election_tags: GlobalTags,
    /// Points more than two hours from now are moved to now when they are fed, their own time kept in `__orig_time`.
    pub time_correction: bool,
    pub disable_404page: bool,
    /// Empty: every origin.
    pub allowed_cors_origins: Vec<String>,
    pub hostname: String,
    pub version: String,
    /// The commit the binary was built from, for `/v1/ping`.
    pub commit: String,
    /// When the binary was built, for the 404 page.
    pub release_at: String,
}

impl Default for Options {
    fn default() -> Options {
        let compat = Compat::default();
        Options {
            compat,
            ack: Ack::default(),
            body_bytes_max: BODY_BYTES_MAX_DEFAULT,
            host_tags: GlobalTags::default(),
            election_tags: GlobalTags::default(),
            time_correction: time_correction_default(compat),
            disable_404page: false,
            allowed_cors_origins: Vec::new(),
            hostname: "localhost".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: "unknown".to_owned(),
            release_at: "unknown".to_owned(),
        }
    }
}

/// Twice the longest field value (32 MiB), so that every value the point model allows fits into a body.
pub const BODY_BYTES_MAX_DEFAULT: usize = 64 * 1024 * 1024;

/// The document has no such correction; the recorded DataKit has it on.
pub const fn time_correction_default(compat: Compat) -> bool {
    matches!(compat, Compat::Datakit184)
}

/// [`Options`], and what is rendered from them once.
#[derive(Debug)]
pub struct Settings {
    pub options: Options,
    pub envelope: Envelope,
}

impl Settings {
    pub fn new(options: Options) -> Settings {
        let envelope = Envelope::new(&options.version, &options.hostname);
        Settings { options, envelope }
    }
}
