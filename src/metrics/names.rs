//! Every name on `/metrics`, in one table, and every value its labels can take.
//!
//! Ours begin with `kitgate_`, have base units, and add up over shards and machines. DataKit's names are kept where
//! they mean something here, so that monitors made for it keep working; its summaries come without quantiles.
//! No label holds what a client chose.

use super::expose::{self, Page, datakit};

/// The categories' names, in the order of `point::Category::index()`; a test holds the two together.
pub const CATEGORIES: [&str; 11] = [
    "metric",
    "network",
    "keyevent",
    "object",
    "custom_object",
    "logging",
    "tracing",
    "rum",
    "security",
    "profiling",
    "session_replay", // raw packages, each of them one point
];

/// The `api` label. Writes come first, by category, so that a write's index is its category's.
pub const APIS: [&str; 38] = [
    "/v1/write/metric",
    "/v1/write/network",
    "/v1/write/keyevent",
    "/v1/write/object",
    "/v1/write/custom_object",
    "/v1/write/logging",
    "/v1/write/tracing",
    "/v1/write/rum",
    "/v1/write/security",
    "/v1/write/profiling",
    "/v1/write/rum/replay",
    "/v1/write/:category", // a category that does not exist
    "/v1/ping",
    "/metrics",
    "/livez",
    "/readyz",
    "/v1/ntp",
    "/v1/check/token/:token",
    "datadog", // all routes of a protocol
    "skywalking",
    "otlp",
    "zipkin",
    "/prom_remote_write",
    "influxdb",
    "/v1/query/raw",
    "/v1/object/labels",
    "/v1/workspace",
    "/v1/env_variable",
    "/v1/lasterror",
    "/v1/global/host/tags",
    "/v1/global/election/tags",
    "/openapi.json",
    "/v1/sourcemap",
    "/v1/dialtesting/debug",
    "/v1/pipeline/debug",
    "/profiling/v1/input", // and Pyroscope's
    "404-page",            // as DataKit calls it
    "other",               // refused before it had a route
];
pub const API_WRITE: usize = 0;
pub const API_WRITE_UNKNOWN: usize = 11;
pub const API_PING: usize = 12;
pub const API_METRICS: usize = 13;
pub const API_LIVEZ: usize = 14;
pub const API_READYZ: usize = 15;
pub const API_NTP: usize = 16;
pub const API_CHECK_TOKEN: usize = 17;
pub const API_DATADOG: usize = 18;
pub const API_SKYWALKING: usize = 19;
pub const API_OTLP: usize = 20;
pub const API_ZIPKIN: usize = 21;
pub const API_PROMETHEUS: usize = 22;
pub const API_INFLUXDB: usize = 23;
pub const API_QUERY: usize = 24;
pub const API_LABELS: usize = 25;
pub const API_WORKSPACE: usize = 26;
pub const API_ENV_VARIABLE: usize = 27;
pub const API_LASTERROR: usize = 28;
pub const API_HOST_TAGS: usize = 29;
pub const API_ELECTION_TAGS: usize = 30;
pub const API_OPENAPI: usize = 31;
pub const API_SOURCEMAP: usize = 32;
pub const API_DIALTEST: usize = 33;
pub const API_PIPELINE: usize = 34;
pub const API_PROFILING: usize = 35;
pub const API_404: usize = 36;
pub const API_OTHER: usize = 37;
const _: () = assert!(API_WRITE_UNKNOWN == CATEGORIES.len() && API_OTHER == APIS.len() - 1);

/// The `method` label; the last one is for all others.
pub const METHODS: [&str; 8] = ["POST", "GET", "OPTIONS", "HEAD", "PUT", "DELETE", "PATCH", "other"];

/// The `status` label of DataKit's metrics is the reason phrase. Statuses that are not here are `other`.
pub const STATUSES: [(u16, &str); 20] = [
    (200, "OK"),
    (204, "No Content"),
    (202, "Accepted"),
    (301, "Moved Permanently"),
    (307, "Temporary Redirect"),
    (400, "Bad Request"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (408, "Request Timeout"),
    (411, "Length Required"),
    (413, "Request Entity Too Large"),
    (414, "Request URI Too Long"),
    (417, "Expectation Failed"),
    (429, "Too Many Requests"),
    (431, "Request Header Fields Too Large"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (503, "Service Unavailable"),
    (505, "HTTP Version Not Supported"),
];

/// The `target` label: the place of a destination's address in the configuration.
pub const TARGETS: [&str; 8] = ["1", "2", "3", "4", "5", "6", "7", "8 and more"];

/// What `# TYPE` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

impl Kind {
    /// The word in the exposition.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// One row: a name, what it means, which labels it has, and who writes its samples.
#[derive(Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    /// In the order in which they are written; `le` of histograms not counted.
    pub labels: &'static [&'static str],
    pub help: &'static str,
    pub(super) write: fn(&mut Page<'_>),
}

const fn row(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    write: fn(&mut Page<'_>),
) -> Metric {
    Metric { name, kind, labels, help, write }
}

use Kind::{Counter, Gauge, Histogram, Summary};

/// The table, in the order of the page.
#[rustfmt::skip]
pub static METRICS: &[Metric] = &[
    row("kitgate_build_info", Gauge, &["version", "target", "runtime"], "Always 1; what is running.", expose::build_info),
    row("kitgate_start_time_seconds", Gauge, &[], "When the process started, Unix time.", expose::start_time),
    row("kitgate_uptime_seconds", Gauge, &[], "How long the process has been running.", expose::uptime),
    row("kitgate_shards", Gauge, &[], "Shards, each on a core of its own.", expose::shards),
    row("kitgate_ready", Gauge, &[], "1 while /readyz answers 200.", expose::ready),

    row("process_resident_memory_bytes", Gauge, &[], "Resident memory.", expose::resident),
    row("process_open_fds", Gauge, &[], "Open file descriptors.", expose::open_fds),
    row("process_max_fds", Gauge, &[], "How many file descriptors may be open.", expose::max_fds),
    row("process_cpu_seconds_total", Counter, &[], "CPU time, user and system.", expose::cpu_seconds),

    row("kitgate_points_in_total", Counter, &["category"], "Points accepted into a block.", expose::points_in),
    row("kitgate_points_recovered_total", Counter, &["category"], "Points found in the spool at start.", expose::points_recovered),
    row("kitgate_points_in_flight", Gauge, &["category"], "Points accepted and not yet on disk; zero at a quiet moment, or the account is wrong.", expose::points_in_flight),
    row("kitgate_points_spooled", Gauge, &["category"], "Points on disk that wait for delivery.", expose::points_spooled),
    row("kitgate_points_delivered_total", Counter, &["category"], "Points the destination took.", expose::points_delivered),
    row("kitgate_points_dead_total", Counter, &["category"], "Points the destination refused for ever, kept in the dead-letter files.", expose::points_dead),
    row("kitgate_points_dropped_total", Counter, &["category", "reason"], "Accepted points that will not be delivered.", expose::points_dropped),
    row("kitgate_ledger_points", Gauge, &["category", "state"], "Points ever made durable in this data directory, over all restarts: taken + copied = the sum of the others.", expose::ledger_points),
    row("kitgate_ledger_lane_points", Gauge, &["category", "lane", "state"], "The same for each token that came with points, by a number that stands for it.", expose::ledger_lane_points),
    row("kitgate_points_warned_total", Counter, &["category"], "Points that a check changed.", expose::points_warned),

    row("kitgate_filter_rules", Gauge, &["category"], "Filters in force; what they drop is kitgate_points_dropped_total with the reason filtered.", expose::filter_rules),
    row("kitgate_filter_refused_rules", Gauge, &[], "Filters that are left out because they cannot be read.", expose::filter_refused_rules),
    row("kitgate_filter_pulls_total", Counter, &["result"], "How often the destination was asked for filters, by what came of it.", expose::filter_pulls),

    row("kitgate_scripts", Gauge, &["category"], "Scripts in force.", expose::scripts_loaded),
    row("kitgate_scripts_broken", Gauge, &[], "Scripts that are left out because they do not compile; the log says why.", expose::scripts_broken),
    row("kitgate_script_points_total", Counter, &["category", "name", "namespace"], "Points that a script was run over.", expose::script_points),
    row("kitgate_script_dropped_points_total", Counter, &["category", "name", "namespace"], "Points that a script has dropped.", expose::script_dropped),
    row("kitgate_script_errors_total", Counter, &["category", "name", "namespace"], "Runs that ended with an error; their points were passed on as far as they had come.", expose::script_errors),
    row("kitgate_script_created_points_total", Counter, &["category", "name", "namespace"], "Points that a script has made.", expose::script_created),
    row("kitgate_script_seconds_total", Counter, &["category", "name", "namespace"], "Time in a script, from one run in sixteen.", expose::script_seconds),
    row("kitgate_script_pulls_total", Counter, &["result"], "How often the destination was asked for scripts, by what came of it.", expose::script_pulls),

    row("kitgate_profile_pulls_total", Counter, &["result"], "How often Go programs were asked for a profile, by what came of it.", expose::profile_pulls),

    row("kitgate_connections_open", Gauge, &[], "Open client connections.", expose::connections_open),
    row("kitgate_connections_total", Counter, &[], "Client connections accepted.", expose::connections_total),
    row("kitgate_received_bytes_total", Counter, &[], "Bytes read from clients.", expose::received_bytes),
    row("kitgate_sent_bytes_total", Counter, &[], "Bytes written to clients.", expose::sent_bytes),
    row("kitgate_profile_metrics_total", Counter, &["outcome"], "Profiles whose numbers were looked for, by what became of that.", expose::profile_metrics),
    row("kitgate_refused_total", Counter, &["reason"], "Requests and connections that were not served.", expose::refused),
    row("kitgate_write_seconds", Histogram, &[], "Writes, from the complete head to the answer.", expose::write_seconds),

    row("kitgate_blocks_sealed_total", Counter, &[], "Blocks of points sealed.", expose::blocks_sealed),
    row("kitgate_blocks_raw_bytes_total", Counter, &[], "Bytes of sealed blocks before compression.", expose::blocks_raw),
    row("kitgate_blocks_payload_bytes_total", Counter, &[], "Bytes of sealed blocks after compression.", expose::blocks_payload),
    row("kitgate_seal_seconds", Histogram, &[], "Compressing and checksumming a block.", expose::seal_seconds),
    row("kitgate_ring_full_total", Counter, &[], "Blocks that found their ring full and had to wait.", expose::ring_full),

    row("kitgate_commit_seconds", Histogram, &[], "Group commits: write and sync.", expose::commit_seconds),
    row("kitgate_commit_frames_total", Counter, &[], "Frames committed.", expose::commit_frames),
    row("kitgate_commit_bytes_total", Counter, &[], "Bytes committed.", expose::commit_bytes),
    row("kitgate_commit_failures_total", Counter, &[], "Commits the disk failed.", expose::commit_failures),
    row("kitgate_spool_bytes", Gauge, &["category"], "Bytes of frames that wait for delivery.", expose::spool_bytes),
    row("kitgate_spool_segments", Gauge, &["category"], "Segment files in use.", expose::spool_segments),
    row("kitgate_spool_oldest_age_seconds", Gauge, &["category"], "Age of the oldest block that waits for delivery.", expose::spool_oldest),
    row("kitgate_spool_damaged_frames_total", Counter, &["category"], "Frames skipped because their checksum is wrong.", expose::spool_damaged),

    row("kitgate_upload_packages_total", Counter, &["category"], "Packages the destination took.", expose::upload_packages),
    row("kitgate_upload_answers_total", Counter, &["code"], "Answers of the destination by class; none: no answer.", expose::upload_answers),
    row("kitgate_upload_retries_total", Counter, &[], "Packages sent again.", expose::upload_retries),
    row("kitgate_upload_body_bytes_total", Counter, &[], "Body bytes sent to the destination.", expose::upload_bytes),
    row("kitgate_upload_in_flight", Gauge, &[], "Packages sent and not yet answered.", expose::upload_in_flight),
    row("kitgate_upload_seconds", Histogram, &[], "From sending a package to its answer.", expose::upload_seconds),

    row("kitgate_upload_down", Gauge, &["target"], "Shards for which this target is down: its breaker is open.", expose::upload_down),
    row("kitgate_upload_breaker_opened_total", Counter, &["target"], "How often a breaker has opened.", expose::upload_opened),
    row("kitgate_upload_concurrency_limit", Gauge, &["target"], "Requests this target may have in flight, as it takes them.", expose::upload_limit),
    row("kitgate_upload_tokens_refused", Gauge, &["target"], "Tokens that came with points and that this target refuses; someone has to act.", expose::upload_tokens),
    row("kitgate_upload_set_aside_points_total", Counter, &["category"], "Points put into side lanes, out of the way of the others.", expose::upload_set_aside),
    row("kitgate_upload_side_points", Gauge, &["category"], "Points that wait in side lanes; part of kitgate_points_spooled.", expose::upload_side_points),
    row("kitgate_upload_side_packages", Gauge, &["category"], "Packages that wait in side lanes, one for each destination that lacks them.", expose::upload_side_packages),
    row("kitgate_upload_backlog_points", Gauge, &["category"], "Points put aside after an outage, sent behind fresh ones; part of kitgate_points_spooled.", expose::upload_backlog),
    row("kitgate_upload_backlog_eta_seconds", Gauge, &["category"], "When they will be gone at the present pace; a year while nothing moves.", expose::upload_eta),

    row("kitgate_shard_busy_seconds_total", Counter, &["shard"], "Time a shard worked rather than waited.", expose::shard_busy),

    row("datakit_http_api_total", Counter, &["api", "method", "status"], "API requests.", datakit::api_total),
    row("datakit_http_api_elapsed_seconds", Summary, &["api", "method", "status"], "API request cost.", datakit::api_elapsed),
    row("datakit_http_api_req_size_bytes", Summary, &["api", "method", "status"], "API request body size.", datakit::api_size),
    row("datakit_io_feed_total", Counter, &["category", "name"], "Requests whose points were taken.", datakit::feed_total),
    row("datakit_io_feed_point", Summary, &["category", "name"], "Points of those requests.", datakit::feed_point),
    row("datakit_io_dataway_point_total", Counter, &["category", "status"], "Points uploaded.", datakit::dataway_points),
    row("datakit_io_dataway_http_drop_point_total", Counter, &["category", "error"], "Points that the destination refused for ever.", datakit::dropped_points),
    row("diskcache_size", Gauge, &["path"], "Bytes that wait on disk.", datakit::disk_bytes),
    row("diskcache_datafiles", Gauge, &["path"], "Files of them.", datakit::disk_files),
    row("datakit_io_input_filter_point_total", Counter, &["name"], "Points that filters have dropped.", datakit::filtered_points),
    row("datakit_filter_update_total", Counter, &[], "How often other filters were put in force.", datakit::filter_updates),
    row("datakit_filter_last_update_timestamp_seconds", Gauge, &[], "When other filters were last put in force.", datakit::filter_updated),
    row("datakit_filter_pull_latency_seconds", Summary, &[], "Asking the destination for filters.", datakit::filter_latency),
    row("datakit_pipeline_point_total", Counter, &["category", "name", "namespace"], "Points that scripts were run over.", expose::script_points),
    row("datakit_pipeline_drop_point_total", Counter, &["category", "name", "namespace"], "Points that scripts have dropped.", expose::script_dropped),
    row("datakit_pipeline_error_point_total", Counter, &["category", "name", "namespace"], "Runs of scripts that ended with an error.", expose::script_errors),
    row("datakit_pipeline_cost_seconds", Summary, &["category", "name", "namespace"], "Time in scripts.", datakit::script_cost),
    row("datakit_pipeline_last_update_timestamp_seconds", Gauge, &[], "When other scripts were last put in force.", datakit::scripts_updated),
    row("datakit_last_err", Gauge, &["input", "source", "category", "error"], "What programs last reported of themselves, and when.", datakit::last_errors),
    row("datakit_error_total", Counter, &["source", "category"], "How often they did.", datakit::error_total),
    row("datakit_open_files", Gauge, &[], "Open files.", expose::open_fds),
    row("datakit_cpu_cores", Gauge, &[], "CPU cores in use.", expose::shards),
    row("datakit_uptime_seconds", Gauge, &[], "Uptime.", expose::uptime),
];
