//! What trace collectors are configured with: `[intake.datadog]`, `[intake.skywalking]`, `[intake.otlp]`, `[intake.zipkin]`.

use super::pattern::pattern;
use super::read::Written;

/// Which traces pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceFilters {
    /// By service (`*`: every one): patterns of resources whose traces are dropped.
    pub close_resource: Vec<(String, Vec<String>)>,
    pub keep_rare_resource: bool,
    /// None: all stay.
    pub sampling_rate: Option<f64>,
}

/// What is counted of spans.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceMetrics {
    pub enabled: bool,
    /// Tags that are left out.
    pub blacklist: Vec<String>,
    /// Tags besides the usual ones.
    pub whitelist: Vec<String>,
}

impl Default for TraceMetrics {
    fn default() -> TraceMetrics {
        let blacklist = ["resource", "operation"].map(str::to_owned).to_vec();
        TraceMetrics { enabled: false, blacklist, whitelist: Vec::new() }
    }
}

/// `[intake.otlp]` and `[intake.zipkin]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanSettings {
    pub customer_tags: Vec<String>,
    pub filters: TraceFilters,
    pub del_message: bool,
    pub tags: Vec<(String, String)>,
    /// Zipkin has none.
    pub metrics: TraceMetrics,
}

/// `[intake.datadog]`.
#[derive(Clone, Debug, PartialEq)]
pub struct DatadogSettings {
    pub customer_tags: Vec<String>,
    pub filters: TraceFilters,
    pub omit_err_status: Vec<String>,
    pub trace_128_bit_id: bool,
    pub trace_id_64_bit_hex: bool,
    pub compatible_otel: bool,
    pub del_message: bool,
    pub tags: Vec<(String, String)>,
    pub body_bytes_max: usize,
    pub trace_max_spans: usize,
    pub metrics: TraceMetrics,
}

impl Default for DatadogSettings {
    fn default() -> DatadogSettings {
        DatadogSettings {
            customer_tags: Vec::new(),
            filters: TraceFilters::default(),
            omit_err_status: Vec::new(),
            trace_128_bit_id: true,
            trace_id_64_bit_hex: false,
            compatible_otel: false,
            del_message: false,
            tags: Vec::new(),
            body_bytes_max: 32 << 20,
            trace_max_spans: 100_000,
            metrics: TraceMetrics::default(),
        }
    }
}

/// `[intake.skywalking]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SkywalkingSettings {
    pub filters: TraceFilters,
    pub plugins: Vec<String>,
    pub ignore_tags: Vec<String>,
    pub del_message: bool,
    pub tags: Vec<(String, String)>,
}

/// Tags of the configuration and customer tags: as many as leave a point room for its own.
pub const TAGS_MAX: usize = 32;
pub const CUSTOMER_TAGS_MAX: usize = 100;

/// Tags of a point of metrics, besides the usual ones.
pub const METRIC_TAGS_MAX: usize = 32;

/// The prefix of a pattern among customer tags.
pub const PATTERN_PREFIX: &str = "reg:";

/// A problem: the key, and what is wrong with it.
pub(super) type Report<'a> = &'a mut dyn FnMut(&str, String);

pub(super) fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

pub(super) fn datadog(written: &Written, report: Report<'_>) -> DatadogSettings {
    let customer_tags = customer_tags("intake.datadog", written, report);
    let mut datadog = DatadogSettings { customer_tags, ..DatadogSettings::default() };
    set(&mut datadog.omit_err_status, written.list("intake.datadog.omit_err_status"));
    set(&mut datadog.trace_128_bit_id, written.bool("intake.datadog.trace_128_bit_id"));
    set(&mut datadog.trace_id_64_bit_hex, written.bool("intake.datadog.trace_id_64_bit_hex"));
    set(&mut datadog.compatible_otel, written.bool("intake.datadog.compatible_otel"));
    set(&mut datadog.del_message, written.bool("intake.datadog.del_message"));
    let bytes = written.size("intake.datadog.max_trace_body").map(|bytes| bytes as usize);
    set(&mut datadog.body_bytes_max, bytes);
    let spans = written.integer("intake.datadog.trace_max_spans").map(|spans| spans as usize);
    set(&mut datadog.trace_max_spans, spans);
    datadog.filters = filters("intake.datadog", written, report);
    datadog.tags = tags("intake.datadog.tags", written, report);
    datadog.metrics = metrics("intake.datadog", written, report);
    datadog
}

pub(super) fn otlp(written: &Written, report: Report<'_>) -> SpanSettings {
    let spans = spans("intake.otlp", written, report);
    SpanSettings { metrics: metrics("intake.otlp", written, report), ..spans }
}

pub(super) fn zipkin(written: &Written, report: Report<'_>) -> SpanSettings {
    spans("intake.zipkin", written, report)
}

fn spans(table: &str, written: &Written, report: Report<'_>) -> SpanSettings {
    SpanSettings {
        customer_tags: customer_tags(table, written, report),
        filters: filters(table, written, report),
        del_message: written.bool(&format!("{table}.del_message")).unwrap_or_default(),
        tags: tags(&format!("{table}.tags"), written, report),
        // Which `[intake.otlp]` alone has.
        metrics: TraceMetrics::default(),
    }
}

fn customer_tags(table: &str, written: &Written, report: Report<'_>) -> Vec<String> {
    let key = format!("{table}.customer_tags");
    let tags = written.list(&key).unwrap_or_default();
    check(&key, tags.iter().filter_map(|tag| tag.strip_prefix(PATTERN_PREFIX)), report);
    if tags.len() > CUSTOMER_TAGS_MAX {
        report(&key, format!("must hold at most {CUSTOMER_TAGS_MAX}"));
    }
    tags
}

fn metrics(table: &str, written: &Written, report: Report<'_>) -> TraceMetrics {
    let mut metrics = TraceMetrics::default();
    set(&mut metrics.enabled, written.bool(&format!("{table}.tracing_metric_enable")));
    set(&mut metrics.blacklist, written.list(&format!("{table}.tracing_metric_tag_blacklist")));
    let key = format!("{table}.tracing_metric_tag_whitelist");
    set(&mut metrics.whitelist, written.list(&key));
    if metrics.whitelist.len() > METRIC_TAGS_MAX {
        report(&key, format!("must hold at most {METRIC_TAGS_MAX}"));
    }
    metrics
}

pub(super) fn skywalking(written: &Written, report: Report<'_>) -> SkywalkingSettings {
    let mut skywalking = SkywalkingSettings::default();
    set(&mut skywalking.plugins, written.list("intake.skywalking.plugins"));
    set(&mut skywalking.ignore_tags, written.list("intake.skywalking.ignore_tags"));
    let ignored = skywalking.ignore_tags.iter().map(String::as_str);
    check("intake.skywalking.ignore_tags", ignored, report);
    set(&mut skywalking.del_message, written.bool("intake.skywalking.del_message"));
    skywalking.filters = filters("intake.skywalking", written, report);
    skywalking.tags = tags("intake.skywalking.tags", written, report);
    skywalking
}

fn check<'p>(key: &str, patterns: impl Iterator<Item = &'p str>, report: Report<'_>) {
    for text in patterns {
        if let Err(error) = pattern(text) {
            // The engine draws where; its last line says what.
            let error = error.lines().last().unwrap_or_default().trim().to_owned();
            report(key, format!("holds {text:?}, which is no pattern: {error}"));
        }
    }
}

fn filters(table: &str, written: &Written, report: Report<'_>) -> TraceFilters {
    let mut filters = TraceFilters {
        close_resource: written.lists(&format!("{table}.close_resource")),
        ..TraceFilters::default()
    };
    for (service, patterns) in &filters.close_resource {
        let key = format!("{table}.close_resource.{service}");
        check(&key, patterns.iter().map(String::as_str), report);
    }
    set(&mut filters.keep_rare_resource, written.bool(&format!("{table}.keep_rare_resource")));
    let key = format!("{table}.sampler.sampling_rate");
    let rate = written.number(&key);
    if rate.is_some_and(|rate| rate > 1.0) {
        report(&key, "must be between 0 and 1".to_owned());
    }
    filters.sampling_rate = rate.filter(|rate| *rate < 1.0);
    filters
}

pub(super) fn tags(table: &str, written: &Written, report: Report<'_>) -> Vec<(String, String)> {
    let tags = written.tags(table);
    if tags.iter().any(|(key, _)| key.is_empty()) {
        report(table, "holds a tag without a name".to_owned());
    }
    if tags.len() > TAGS_MAX {
        report(table, format!("must hold at most {TAGS_MAX} tags"));
    }
    tags
}
