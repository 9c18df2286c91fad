//! What the gateway runs on: every value checked, in plain types, with the defaults of `compat = "documented"`.
//!
//! [`Settings::default`] is the embedded default: what `kitgate` without arguments starts with. Stages are handed
//! their own part of it and never see the text it came from.

use std::{fmt, net::Ipv4Addr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::address::Address;
use super::collectors::{DatadogSettings, SkywalkingSettings, SpanSettings};
use super::dialtesting::DialtestingSettings;
use super::go_pull::GoPull;
use super::pipeline::PipelineSettings;
use super::profiling::ProfilingSettings;
use super::secret::{Endpoint, Secret};
use crate::limits;

/// Which behaviour wins where the public documents and DataKit 1.84.1 contradict each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// The public API documents.
    #[default]
    Documented,
    /// DataKit 1.84.1 as recorded.
    Datakit184,
}

/// When a request is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ack {
    /// The points are in the ring: a crash loses them.
    Memory,
    /// The commit that holds them is synced.
    #[default]
    Disk,
    /// The destination took them.
    Upstream,
}

/// What happens to new data when a category's spool is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Full {
    /// 503 with Retry-After; what is spooled stays.
    #[default]
    Refuse,
    /// The oldest segment goes, counted as dropped.
    EvictOldest,
}

/// How blocks are compressed before they are spooled and sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    #[default]
    Gzip,
    Zstd,
    Identity,
}

/// What several addresses of a destination are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UrlsMode {
    /// Each gets everything.
    #[default]
    Replicate,
    /// One is enough: the first that takes data.
    Failover,
}

/// What an upload body holds before compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFormat {
    /// DataKit's `v2`.
    #[default]
    Protobuf,
    /// DataKit's `v1`.
    LineProtocol,
}

/// Everything, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub compat: Compat,
    pub data_dir: PathBuf,
    /// The cores that run a shard each; never empty.
    pub shards: Vec<usize>,
    pub ack: Ack,
    /// The name in `X-Datakit`, the User-Agent and the `host` tag.
    pub hostname: String,
    pub http: HttpSettings,
    pub limits: LimitSettings,
    /// Tags for points that lack them, sorted by key.
    pub global_host_tags: Vec<(String, String)>,
    /// The same for `?global_election_tags=`; a copy of the host tags while election is off.
    pub global_election_tags: Vec<(String, String)>,
    /// Whether the election's tags are its own.
    pub election: bool,
    /// Points more than two hours off are sent with the time of their arrival.
    pub auto_timestamp_correction: bool,
    pub filters: FilterSettings,
    pub spool: SpoolSettings,
    pub rum: RumSettings,
    pub datadog: DatadogSettings,
    pub skywalking: SkywalkingSettings,
    /// Go programs whose profiles are fetched.
    pub go_pulls: Vec<GoPull>,
    pub profiling: ProfilingSettings,
    pub otlp: SpanSettings,
    pub zipkin: SpanSettings,
    pub dialtesting: DialtestingSettings,
    pub pipeline: PipelineSettings,
    pub destination: Destination,
    pub shutdown: ShutdownSettings,
    pub log: LogSettings,
}

/// The names of listeners. The first is the main one: it has TLS where there is a certificate.
pub const LISTENERS: [&str; 4] = ["datakit", "datadog", "skywalking", "socket"];

/// The files of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its chain, in PEM.
    pub cert: PathBuf,
    pub privkey: PathBuf,
    /// Authorities whose certificates clients must show; none: clients show none.
    pub client_ca: Option<PathBuf>,
}

/// A socket to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// One of [`LISTENERS`]: for logs and metrics.
    pub name: &'static str,
    pub address: Address,
}

/// What the HTTP side does.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpSettings {
    /// Never empty; the main listener comes first.
    pub listen: Vec<Listener>,
    /// How long a request may wait for its points to be stored until it is answered 503; zero switches it off.
    pub timeout: Duration,
    /// 404 without the welcome page.
    pub disable_404page: bool,
    /// Empty: every origin.
    pub allowed_cors_origins: Vec<String>,
    /// Paths for others than this machine; empty: the writes.
    pub public_apis: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether they say so in the PROXY protocol too.
    pub proxy_protocol: bool,
    /// TLS of the main listener.
    pub tls: Option<TlsFiles>,
    /// None: no limit.
    pub rate_limit: Option<RateLimit>,
    /// `?token=` selects the workspace.
    pub token_routing: bool,
    /// The tokens it may name; empty: every well-formed one.
    pub tokens: Vec<Secret>,
}

/// How often a client may ask on one route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Requests a second, above zero.
    pub per_s: f64,
    /// Requests at one moment; none: as many as in a second, and at least one.
    pub burst: Option<u32>,
    /// How long an idle client is remembered.
    pub ttl: Duration,
}

/// The bounds a user may move. The others are constants.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitSettings {
    /// Connections of the whole process.
    pub connections_max: usize,
    /// A request body on the wire.
    pub body_bytes_max: usize,
    /// A request body after decompression.
    pub decoded_body_bytes_max: usize,
    /// From the first byte of a head, or from accept, to its last.
    pub head_timeout: Duration,
    /// Without a byte of a body arriving.
    pub body_timeout: Duration,
    /// Without the client taking a byte of the answer.
    pub write_timeout: Duration,
    /// Between two requests on a connection.
    pub idle_timeout: Duration,
}

/// How important a category is that has no priority of its own.
pub const PRIORITY: u8 = 5;

/// The disk queue.
#[derive(Clone, Debug, PartialEq)]
pub struct SpoolSettings {
    /// `<data_dir>/spool`.
    pub dir: PathBuf,
    /// Folders of single categories in place of it, by their names.
    pub dir_of: Vec<(&'static str, PathBuf)>,
    pub segment_bytes: u64,
    /// The bound of a category that has none of its own.
    pub capacity_bytes: u64,
    /// Bounds of single categories, by their names.
    pub capacity_bytes_of: Vec<(&'static str, u64)>,
    pub full: Full,
    /// What all categories together may hold; none: the sum of what each may.
    pub total_capacity_bytes: Option<u64>,
    /// How important single categories are when the total is reached, by their names; the others: [`PRIORITY`].
    pub priority_of: Vec<(&'static str, u8)>,
    /// Undelivered data older than this is given up; none: never.
    pub max_age: Option<Duration>,
    /// Of single categories, by their names.
    pub max_age_of: Vec<(&'static str, Option<Duration>)>,
    /// What new segments leave free of the file system.
    pub reserve_bytes: u64,
    /// How much of a category's newest data is kept in memory for upload, so that it is not read back.
    pub tail_cache_bytes: usize,
}

impl SpoolSettings {
    /// Where one category's log is.
    pub fn dir(&self, category: &str) -> PathBuf {
        let own = self.dir_of.iter().find(|(name, _)| *name == category);
        own.map_or(&self.dir, |(_, dir)| dir).join(category)
    }

    /// The bound of one category.
    pub fn capacity_bytes(&self, category: &str) -> u64 {
        let own = self.capacity_bytes_of.iter().find(|(name, _)| *name == category);
        own.map_or(self.capacity_bytes, |(_, bytes)| *bytes)
    }

    /// How important one category is: more is more.
    pub fn priority(&self, category: &str) -> u8 {
        let own = self.priority_of.iter().find(|(name, _)| *name == category);
        own.map_or(PRIORITY, |(_, priority)| *priority)
    }

    /// After how long one category's data is given up.
    pub fn max_age(&self, category: &str) -> Option<Duration> {
        let own = self.max_age_of.iter().find(|(name, _)| *name == category);
        own.map_or(self.max_age, |(_, age)| *age)
    }
}

/// Which points are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterSettings {
    /// Rules by category, where there are any: then the destination is not asked.
    pub local: Vec<(String, Vec<String>)>,
    /// Ask the first destination for rules.
    pub remote: bool,
}

/// What browsers and apps send of their users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RumSettings {
    /// Empty: every application.
    pub app_ids: Vec<String>,
    pub measurements: Vec<String>,
    /// The header that names the client.
    pub origin_ip_header: String,
    pub geoip_database: Option<PathBuf>,
    pub isp_database: Option<PathBuf>,
    pub sourcemap: SourcemapSettings,
}

/// Source maps and symbols: the original source of RUM errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcemapSettings {
    pub enabled: bool,
    /// What archives, and what they are unpacked to, may take.
    pub capacity_bytes: u64,
    /// Maps that are kept in memory, ready to be asked.
    pub cache_bytes: usize,
    /// How long points wait for their errors to be resolved; then they go without.
    pub wait: Duration,
    /// How long an external program may run.
    pub tool_timeout: Duration,
    /// How many of them run at once.
    pub tool_runs: usize,
    /// Where external programs are.
    pub android_cmdline_home: Option<PathBuf>,
    pub proguard_home: Option<PathBuf>,
    pub ndk_home: Option<PathBuf>,
    pub atos_bin_path: Option<PathBuf>,
}

impl Default for SourcemapSettings {
    fn default() -> SourcemapSettings {
        SourcemapSettings {
            enabled: true,
            capacity_bytes: 10 << 30,
            cache_bytes: 256 << 20,
            wait: Duration::from_secs(5),
            tool_timeout: Duration::from_secs(30),
            tool_runs: 4,
            android_cmdline_home: None,
            proguard_home: None,
            ndk_home: None,
            atos_bin_path: None,
        }
    }
}

/// Where points go.
#[derive(Clone, Debug, PartialEq)]
pub enum Destination {
    Dataway(DatawaySettings),
    Archive(ArchiveSettings),
    Blackhole,
}

impl Destination {
    /// How blocks are compressed for it.
    pub fn compression(&self) -> Compression {
        match self {
            Destination::Dataway(dataway) => dataway.compression,
            // What is spooled for the archive is read once, on this machine, and unpacked at once.
            Destination::Archive(_) => Compression::Zstd,
            Destination::Blackhole => Compression::Identity,
        }
    }
}

/// As people are told, without tokens.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Dataway(dataway) => {
                for (index, url) in dataway.urls.iter().enumerate() {
                    write!(f, "{}{url}", if index == 0 { "" } else { " and " })?;
                }
                Ok(())
            }
            Destination::Archive(archive) => write!(f, "readable files in {}", archive.dir.display()),
            Destination::Blackhole => f.write_str("nowhere: everything is discarded"),
        }
    }
}

/// How points are uploaded.
#[derive(Clone, Debug, PartialEq)]
pub struct DatawaySettings {
    /// Never empty.
    pub urls: Vec<Endpoint>,
    /// Whether a package goes to all of them or to one.
    pub mode: UrlsMode,
    pub format: BodyFormat,
    pub compression: Compression,
    /// Whether the destination reads several gzip members or zstd frames one behind another.
    pub joined_members: bool,
    /// Uncompressed protobuf of one request.
    pub max_raw_body_bytes: usize,
    /// Connect, and each answer.
    pub timeout: Duration,
    /// The first pause of the backoff.
    pub retry_delay: Duration,
    pub retry_delay_max: Duration,
    /// Requests in flight per category.
    pub workers: usize,
    /// Spooled bytes a second of what waits behind fresh data; 0: no bound.
    pub backlog_bytes_per_s: u64,
    pub max_idle_conns_per_host: usize,
    pub idle_timeout: Duration,
    /// Certificates are not checked.
    pub tls_insecure: bool,
    /// The sinker is on: keys by which points are grouped, beside those of the global tags.
    pub sinker_keys: Option<Vec<String>>,
}

impl DatawaySettings {
    /// The defaults, towards `urls`.
    pub fn new(urls: Vec<Endpoint>) -> DatawaySettings {
        DatawaySettings {
            urls,
            mode: UrlsMode::Replicate,
            format: BodyFormat::Protobuf,
            compression: Compression::Gzip,
            joined_members: true,
            max_raw_body_bytes: limits::UPLOAD_RAW_BYTES_MAX_DEFAULT,
            timeout: Duration::from_secs(30),
            retry_delay: Duration::from_secs(1),
            retry_delay_max: Duration::from_secs(30),
            workers: 4,
            backlog_bytes_per_s: 32 << 20,
            max_idle_conns_per_host: 64,
            idle_timeout: Duration::from_secs(90),
            tls_insecure: false,
            sinker_keys: None,
        }
    }
}

/// The local archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveSettings {
    pub dir: PathBuf,
    /// A file past this size is closed and compressed, as one of a past day is.
    pub rotate_bytes: u64,
}

/// How a stop goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownSettings {
    /// Still serving, no longer ready.
    pub delay: Duration,
    /// For everything after that.
    pub budget: Duration,
}

/// What is written to standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A level, or directives as `info,kitgate::spool=debug`.
    pub level: String,
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// The measurements that the SDKs send.
pub const RUM_MEASUREMENTS: [&str; 6] = ["view", "resource", "action", "long_task", "error", "telemetry"];

/// The header that names a client, unless another one is configured.
pub const RUM_ORIGIN_IP_HEADER: &str = "X-Forwarded-For";

/// Profiles: `point::Category::Profiling` by its name; as large as DataKit's queue of them.
pub(super) const PROFILING: &str = "profiling";
pub(super) const PROFILING_CAPACITY_BYTES: u64 = 10 << 30;

/// A spool that cannot hold one segment and the next would refuse everything.
pub(super) const SEGMENTS_MIN: u64 = 2;

/// The log of session replays: `point::Category::SessionReplay` by its name.
pub(super) const SESSION_REPLAY: &str = "session_replay";

/// As much as DataKit keeps of them.
const REPLAY_CAPACITY_BYTES: u64 = 20 << 30;

/// The data directory of the embedded default.
pub(super) const DATA_DIR: &str = "./kitgate-data";

impl Default for Settings {
    fn default() -> Settings {
        let loopback =
            |name, port| Listener { name, address: Address::Tcp((Ipv4Addr::LOCALHOST, port).into()) };
        let data_dir = PathBuf::from(DATA_DIR);
        Settings {
            compat: Compat::Documented,
            shards: vec![0],
            ack: Ack::Disk,
            hostname: "localhost".to_owned(),
            http: HttpSettings {
                listen: vec![
                    loopback("datakit", 9529),
                    loopback("datadog", 8126),
                    loopback("skywalking", 12800),
                ],
                timeout: Duration::from_secs(30),
                disable_404page: false,
                allowed_cors_origins: Vec::new(),
                public_apis: Vec::new(),
                trusted_proxies: Vec::new(),
                proxy_protocol: false,
                tls: None,
                rate_limit: None,
                token_routing: true,
                tokens: Vec::new(),
            },
            limits: LimitSettings {
                connections_max: 65_536,
                body_bytes_max: limits::BODY_BYTES_MAX_DEFAULT,
                decoded_body_bytes_max: limits::DECODED_BODY_BYTES_MAX_DEFAULT,
                head_timeout: Duration::from_secs(10),
                body_timeout: Duration::from_secs(30),
                write_timeout: Duration::from_secs(30),
                idle_timeout: Duration::from_secs(300),
            },
            global_host_tags: vec![("host".to_owned(), "localhost".to_owned())],
            global_election_tags: vec![("host".to_owned(), "localhost".to_owned())],
            election: false,
            auto_timestamp_correction: false,
            filters: FilterSettings { local: Vec::new(), remote: true },
            spool: SpoolSettings {
                dir: data_dir.join("spool"),
                dir_of: Vec::new(),
                segment_bytes: 32 << 20,
                capacity_bytes: 2 << 30,
                capacity_bytes_of: vec![
                    (SESSION_REPLAY, REPLAY_CAPACITY_BYTES),
                    (PROFILING, PROFILING_CAPACITY_BYTES),
                ],
                full: Full::Refuse,
                total_capacity_bytes: None,
                priority_of: Vec::new(),
                max_age: None,
                max_age_of: Vec::new(),
                reserve_bytes: 16 << 20,
                tail_cache_bytes: 4 << 20,
            },
            rum: RumSettings {
                app_ids: Vec::new(),
                measurements: RUM_MEASUREMENTS.map(str::to_owned).to_vec(),
                origin_ip_header: RUM_ORIGIN_IP_HEADER.to_owned(),
                geoip_database: None,
                isp_database: None,
                sourcemap: SourcemapSettings::default(),
            },
            datadog: DatadogSettings::default(),
            skywalking: SkywalkingSettings::default(),
            go_pulls: Vec::new(),
            profiling: ProfilingSettings::default(),
            otlp: SpanSettings::default(),
            zipkin: SpanSettings::default(),
            dialtesting: DialtestingSettings::default(),
            pipeline: PipelineSettings::default(),
            destination: Destination::Archive(ArchiveSettings {
                dir: data_dir.join("archive"),
                rotate_bytes: 64 << 20,
            }),
            shutdown: ShutdownSettings { delay: Duration::ZERO, budget: Duration::from_secs(25) },
            log: LogSettings { level: "info".to_owned(), format: LogFormat::Text },
            data_dir,
        }
    }
}
