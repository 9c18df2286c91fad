//! The tables of trace collectors: `intake.datadog`, `intake.skywalking`, `intake.otlp` and `intake.zipkin`, each with the
//! tables of its filters and tags.

use super::{BODY_BYTES, COUNT_MAX, Key, Kind, Table, example, key, table};

const RARE: Key = key(
    "keep_rare_resource",
    Kind::Bool,
    "false",
    "Where traces are sampled: one that begins with a resource not seen for an hour stays.",
);
const DEL_MESSAGE: Key =
    key("del_message", Kind::Bool, "false", "Points without message, the whole span as JSON.");

const METRICS: [Key; 3] = [
    key(
        "tracing_metric_enable",
        Kind::Bool,
        "false",
        "Points of tracing_metrics, each minute: how many spans there were, how many failed, how long they took.\n\
         Spans count that a filter or the sampler drops.",
    ),
    key(
        "tracing_metric_tag_blacklist",
        Kind::TextList,
        "[\"resource\", \"operation\"]",
        "Tags that these points do not have.",
    ),
    key(
        "tracing_metric_tag_whitelist",
        Kind::TextList,
        "[]",
        "Tags of spans that they have besides the usual ones.",
    ),
];

pub(super) const DATADOG: Table = table(
    "intake.datadog",
    "What Datadog tracers send, and a second address for them. The routes are the same as on the main one.",
    &[
        key("listen", Kind::Text, "\"127.0.0.1:8126\"", "Empty: none."),
        key(
            "customer_tags",
            Kind::TextList,
            "[]",
            "Meta keys of spans that become tags, a dot written _; \"reg:<pattern>\" stands for all that match.",
        ),
        key("omit_err_status", Kind::TextList, "[]", "Traces with a web span of such a status are dropped."),
        key("trace_128_bit_id", Kind::Bool, "true", "Trace ids of 128 bits, where the tracer has them."),
        key("trace_id_64_bit_hex", Kind::Bool, "false", "Ids as 16 hexadecimal digits; no 128 bits then."),
        key("compatible_otel", Kind::Bool, "false", "Span ids as 16 hexadecimal digits."),
        DEL_MESSAGE,
        RARE,
        key("max_trace_body", BODY_BYTES, "\"32MiB\"", "A trace request; 413 past it."),
        key(
            "trace_max_spans",
            Kind::Integer { min: 1, max: COUNT_MAX },
            "100000",
            "Of a trace with more spans the first so many are kept.",
        ),
        METRICS[0],
        METRICS[1],
        METRICS[2],
    ],
);

pub(super) const SKYWALKING: Table = table(
    "intake.skywalking",
    "What SkyWalking agents send, and a third address for them.",
    &[
        key("listen", Kind::Text, "\"127.0.0.1:12800\"", "Empty: none."),
        key(
            "plugins",
            Kind::TextList,
            "[]",
            "Keys of span tags that name the service of a span, as \"db.type\".",
        ),
        key("ignore_tags", Kind::TextList, "[]", "Patterns of span tags that do not become tags."),
        DEL_MESSAGE,
        RARE,
    ],
);

pub(super) const OTLP: Table = table(
    "intake.otlp",
    "Spans that OpenTelemetry's exporters send.",
    &[
        key(
            "customer_tags",
            Kind::TextList,
            "[]",
            "Attributes that become tags besides those that the platform knows, a dot written _; \"reg:<pattern>\"\n\
             stands for all that match.",
        ),
        DEL_MESSAGE,
        RARE,
        METRICS[0],
        METRICS[1],
        METRICS[2],
    ],
);

pub(super) const ZIPKIN: Table = table(
    "intake.zipkin",
    "What Zipkin's reporters send.",
    &[
        key(
            "customer_tags",
            Kind::TextList,
            "[]",
            "Tags of spans that become tags besides those that the platform knows, a dot written _;\n\
             \"reg:<pattern>\" stands for all that match.",
        ),
        DEL_MESSAGE,
        RARE,
    ],
);

const CLOSED_KEYS: &[Key] = &[example("\"*\"", Kind::TextList, "[\"^GET /health\"]", "")];
const SAMPLER_KEYS: &[Key] = &[key("sampling_rate", Kind::Number { zero: true }, "1.0", "From 0 to 1.")];
const TAG_KEYS: &[Key] = &[example("team", Kind::Text, "\"core\"", "")];

pub(super) const fn closed(path: &'static str) -> Table {
    Table {
        path,
        free: true,
        lists: true,
        keys: CLOSED_KEYS,
        help: "Resources whose traces are dropped: patterns by service, \"*\" for every one.",
    }
}

pub(super) const fn sampler(path: &'static str) -> Table {
    table(
        path,
        "The part of traces that stays, chosen by their ids; those with an error stay in any case.",
        SAMPLER_KEYS,
    )
}

pub(super) const fn tags(path: &'static str) -> Table {
    Table { path, free: true, lists: false, keys: TAG_KEYS, help: "Tags of every point." }
}
