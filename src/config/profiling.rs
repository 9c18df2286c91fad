//! `[intake.profiling]` and `[intake.pyroscope]`: profiles, and the disk queue that is theirs.

use std::path::PathBuf;
use std::time::Duration;

use super::collectors::{Report, set, tags};
use super::read::Written;
use super::schema::{COUNT_MAX, Key, Kind, TIME, Table, example, key, table};
use super::settings::{PROFILING, PROFILING_CAPACITY_BYTES, SEGMENTS_MIN, SpoolSettings};
use super::units;

const TAG_KEYS: &[Key] = &[example("team", Kind::Text, "\"core\"", "")];

/// The tables.
pub(super) const TABLES: [Table; 4] = [
    table(
        "intake.profiling",
        "Profiles, of Datadog's profilers and of Pyroscope's agents. They are kept as they came and sent to\n\
         /v1/upload/profiling; [intake.profiling.io_config] has the names that DataKit has for the queue.",
        &[
            key(
                "body_size_limit_mb",
                Kind::Integer { min: 1, max: 1024 },
                "32",
                "A profile upload, in MiB; 400 past it, as DataKit has it.",
            ),
            key(
                "generate_metrics",
                Kind::Bool,
                "true",
                "Make points profiling_metrics from profiles of Python, Go and Java programs.",
            ),
        ],
    ),
    table(
        "intake.profiling.io_config",
        "How profiles are queued on disk and sent.",
        &[
            example(
                "cache_path",
                Kind::Text,
                "\"/var/lib/kitgate-profiles\"",
                "Another folder for the queue. Without it: with the other queues, in data_dir.",
            ),
            key(
                "cache_capacity_mb",
                Kind::Integer { min: 4, max: 1 << 30 },
                "10240",
                "How much may be queued, in MiB; counts before spool.capacity_of.profiling.",
            ),
            key(
                "clear_cache_on_start",
                Kind::Bool,
                "false",
                "Give up what an earlier run has left in the queue; it is counted as dropped.",
            ),
            key("upload_workers", Kind::Integer { min: 1, max: 64 }, "8", "Requests in flight."),
            key("send_timeout", TIME, "\"75s\"", "For each answer."),
            key(
                "send_retry_count",
                Kind::Integer { min: 0, max: COUNT_MAX },
                "0",
                "A profile that the destination has answered so often without taking it becomes a dead letter. No answer at\n\
                 all does not count. 0: it is tried until it is taken. DataKit's default is 4, and then it is lost.",
            ),
        ],
    ),
    Table {
        path: "intake.profiling.tags",
        free: true,
        lists: false,
        keys: TAG_KEYS,
        help: "Tags of every profile, whatever its client says.",
    },
    Table {
        path: "intake.pyroscope.tags",
        free: true,
        lists: false,
        keys: TAG_KEYS,
        help: "Tags of every profile that came by /ingest or /push.v1.PusherService/Push.",
    },
];

/// `[intake.profiling]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfilingSettings {
    pub body_bytes_max: usize,
    pub generate_metrics: bool,
    pub clear_on_start: bool,
    pub upload_workers: usize,
    pub send_timeout: Duration,
    /// Answers after which a profile is a dead letter; none: it is tried until it is taken.
    pub answers_max: Option<u32>,
    pub tags: Vec<(String, String)>,
    pub pyroscope_tags: Vec<(String, String)>,
}

impl Default for ProfilingSettings {
    fn default() -> ProfilingSettings {
        ProfilingSettings {
            body_bytes_max: 32 << 20,
            generate_metrics: true,
            clear_on_start: false,
            upload_workers: 8,
            send_timeout: Duration::from_secs(75),
            answers_max: None,
            tags: Vec::new(),
            pyroscope_tags: Vec::new(),
        }
    }
}

/// Reads it, and what of it is the spool's.
pub(super) fn profiling(
    written: &Written,
    spool: &mut SpoolSettings,
    report: Report<'_>,
) -> ProfilingSettings {
    let mut profiling = ProfilingSettings::default();
    let of_count = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    let limit = written.integer("intake.profiling.body_size_limit_mb").map(of_count);
    set(&mut profiling.body_bytes_max, limit.map(|mib| mib << 20));
    set(&mut profiling.generate_metrics, written.bool("intake.profiling.generate_metrics"));
    let io = |name: &str| format!("intake.profiling.io_config.{name}");
    set(&mut profiling.clear_on_start, written.bool(&io("clear_cache_on_start")));
    set(&mut profiling.upload_workers, written.integer(&io("upload_workers")).map(of_count));
    set(&mut profiling.send_timeout, written.time(&io("send_timeout")));
    let answers = written.integer(&io("send_retry_count")).and_then(|count| u32::try_from(count).ok());
    profiling.answers_max = answers.filter(|count| *count > 0);
    profiling.tags = tags("intake.profiling.tags", written, report);
    profiling.pyroscope_tags = tags("intake.pyroscope.tags", written, report);
    if let Some(path) = written.text(&io("cache_path")).filter(|path| !path.is_empty()) {
        spool.dir_of.push((PROFILING, PathBuf::from(path)));
    }
    let own = written.size("spool.capacity_of.profiling");
    let of_all =
        written.size("spool.capacity").is_some() || written.number("dataway.wal.max_capacity_gb").is_some();
    let mut capacity = own.or_else(|| (!of_all).then_some(PROFILING_CAPACITY_BYTES));
    if let Some(mib) = written.integer(&io("cache_capacity_mb")) {
        let key = io("cache_capacity_mb");
        let bytes = u64::try_from(mib).unwrap_or(u64::MAX) << 20;
        let least = SEGMENTS_MIN * spool.segment_bytes;
        if bytes < least {
            let text =
                format!("must be at least {}, which is {SEGMENTS_MIN} segments", units::show_size(least));
            report(&key, text);
        }
        capacity = Some(bytes);
    }
    spool.capacity_bytes_of.retain(|(name, _)| *name != PROFILING);
    spool.capacity_bytes_of.extend(capacity.map(|bytes| (PROFILING, bytes)));
    profiling
}
