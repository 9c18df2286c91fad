//! What intakes need of the configuration, checked and derived once a start or reload.

use std::collections::HashSet;
use std::sync::Arc;

use crate::config::ProfilingSettings;
use crate::config::secret::Secret;
pub use crate::config::{Ack, Compat};
use crate::point::GlobalTags;
use crate::point::sinker::Sinker;

use super::access::{self, PublicApis};
use super::datadog;
use super::datakit;
use super::datakit::rum::{RumOptions, geo::LiveGeo, sources::Sources};
use super::filters::LiveFilters;
use super::reply::Envelope;
use super::scripts::LiveScripts;
use super::skywalking;
use super::tracing::collector;

/// The levels, by the word for them in `?ack=` and `X-Kitgate-Ack`.
const ACKS: [(Ack, &str); 3] = [(Ack::Memory, "memory"), (Ack::Disk, "disk"), (Ack::Upstream, "upstream")];

/// The word for a level.
pub fn ack_name(ack: Ack) -> &'static str {
    ACKS[ack as usize].1
}

/// The level of a word.
pub fn ack_from_name(name: &str) -> Option<Ack> {
    ACKS.into_iter().find(|(_, word)| *word == name).map(|(ack, _)| ack)
}

/// Says which gateway a span came by: DataKit's name for it.
pub const FINGERPRINT_KEY: &str = "dk_fingerprint";

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
    /// The same for people, sorted by key.
    pub host_tag_pairs: Vec<(String, String)>,
    pub election_tag_pairs: Vec<(String, String)>,
    /// Whether the election's tags are its own.
    pub election: bool,
    /// Points more than two hours from now are moved to now when they are fed, their own time kept in `__orig_time`.
    pub time_correction: bool,
    pub access: access::Options,
    pub disable_404page: bool,
    /// Empty: every origin.
    pub allowed_cors_origins: Vec<String>,
    pub rum: RumOptions,
    pub datadog: datadog::Options,
    pub skywalking: skywalking::Options,
    pub profiling: ProfilingSettings,
    pub otlp: collector::Options,
    pub zipkin: collector::Options,
    /// Whether dial tests are run.
    pub dialtesting: bool,
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
            body_bytes_max: crate::limits::DECODED_BODY_BYTES_MAX_DEFAULT,
            host_tags: GlobalTags::default(),
            election_tags: GlobalTags::default(),
            host_tag_pairs: Vec::new(),
            election_tag_pairs: Vec::new(),
            election: false,
            time_correction: time_correction_default(compat),
            access: access::Options::of(compat),
            disable_404page: false,
            allowed_cors_origins: Vec::new(),
            rum: RumOptions::default(),
            datadog: datadog::Options::default(),
            skywalking: skywalking::Options::default(),
            profiling: ProfilingSettings::default(),
            otlp: collector::Options::default(),
            zipkin: collector::Options::default(),
            dialtesting: false,
            hostname: "localhost".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: "unknown".to_owned(),
            release_at: "unknown".to_owned(),
        }
    }
}

/// The document has no such correction; the recorded DataKit has it on.
pub const fn time_correction_default(compat: Compat) -> bool {
    matches!(compat, Compat::Datakit184)
}

/// What is remembered of requests, all of it bounded.
#[derive(Debug, Default)]
pub struct Remembered {
    /// Resources that traces began with.
    pub resources: super::tracing::RareResources,
    /// SkyWalking's service instances.
    pub instances: skywalking::Instances,
    /// What is counted of spans.
    pub spans: super::tracing::metrics::Counted,
    /// Meta keys that Java tracers asked to have as tags.
    pub trace_tags: datadog::TraceTags,
}

/// [`Options`], and what is rendered from them once.
#[derive(Debug)]
pub struct Settings {
    pub options: Options,
    pub envelope: Envelope,
    /// Where clients are: empty until somebody puts databases in.
    pub geo: Arc<LiveGeo>,
    /// Which points are dropped: none until somebody puts rules in.
    pub filters: Arc<LiveFilters>,
    /// How points are rewritten: none until somebody puts scripts in.
    pub scripts: Arc<LiveScripts>,
    /// What points are grouped by on their way up, if they are.
    pub sinker: Option<Arc<Sinker>>,
    /// Source maps there are: none until somebody says which.
    pub sources: Arc<Sources>,
    pub public_apis: PublicApis,
    pub datadog: datadog::Collector,
    /// What requests leave behind for later ones; outlives a reload.
    pub remembered: Arc<Remembered>,
    pub skywalking: skywalking::Collector,
    pub otlp: collector::Collector,
    pub zipkin: collector::Collector,
    /// The tags that points of traces get: the host tags, and which gateway they came by.
    pub tracing_tags: GlobalTags,
    /// Tokens that are served; empty: every well-formed one.
    pub tokens: HashSet<Secret>,
}

impl Settings {
    pub fn new(options: Options) -> Settings {
        let envelope = Envelope::new(&options.version, &options.hostname);
        let access = &options.access;
        let mut public_apis = PublicApis::new(&access.public_apis, access.token_routing);
        if options.dialtesting {
            public_apis.add(datakit::DIALTEST);
        }
        let tokens = access.tokens.iter().cloned().collect();
        let datadog = datadog::Collector::new(options.datadog.clone());
        let skywalking = skywalking::Collector::new(options.skywalking.clone());
        let otlp = collector::Collector::new(options.otlp.clone());
        let zipkin = collector::Collector::new(options.zipkin.clone());
        // One tag is always few enough.
        let own = GlobalTags::own([(FINGERPRINT_KEY, options.hostname.as_str())]).unwrap_or_default();
        let tracing_tags = own.joined(&options.host_tags);
        Settings {
            options,
            envelope,
            geo: Arc::default(),
            filters: Arc::default(),
            scripts: Arc::default(),
            sinker: None,
            sources: Arc::default(),
            remembered: Arc::default(),
            public_apis,
            datadog,
            skywalking,
            otlp,
            zipkin,
            tracing_tags,
            tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_one_word_each() {
        for (index, (ack, word)) in ACKS.into_iter().enumerate() {
            assert_eq!(ack as usize, index);
            assert_eq!((ack_name(ack), ack_from_name(word)), (word, Some(ack)));
        }
        assert_eq!(ack_from_name("Disk"), None);
    }
}
