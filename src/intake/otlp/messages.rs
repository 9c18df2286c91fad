//! The messages of OTLP 1, as far as they are read: `opentelemetry/proto/{common,resource,trace,metrics,logs}/v1`.

use crate::intake::protobuf::Kind::{
    Bool, Bytes, Double, Fixed32, Fixed64, Id, Int, Message as Of, Sfixed64, Text, Uint, Zigzag,
};
use crate::intake::protobuf::{Field, Message};

pub static TRACES: Message =
    Message { fields: &[Field::new("resourceSpans", 1, Of(&RESOURCE_SPANS)).repeated()] };

static RESOURCE_SPANS: Message = Message {
    fields: &[
        Field::new("resource", 1, Of(&RESOURCE)),
        Field::new("scopeSpans", 2, Of(&SCOPE_SPANS)).repeated(),
        Field::new("schemaUrl", 3, Text),
    ],
};

static RESOURCE: Message = Message { fields: &[Field::new("attributes", 1, Of(&KEY_VALUE)).repeated()] };

static SCOPE_SPANS: Message =
    Message { fields: &[Field::new("scope", 1, Of(&SCOPE)), Field::new("spans", 2, Of(&SPAN)).repeated()] };

static SCOPE: Message = Message {
    fields: &[
        Field::new("name", 1, Text),
        Field::new("version", 2, Text),
        Field::new("attributes", 3, Of(&KEY_VALUE)).repeated(),
    ],
};

pub static KEY_VALUE: Message =
    Message { fields: &[Field::new("key", 1, Text), Field::new("value", 2, Of(&ANY_VALUE))] };

pub static ANY_VALUE: Message = Message {
    fields: &[
        Field::new("stringValue", 1, Text).present(),
        Field::new("boolValue", 2, Bool).present(),
        Field::new("intValue", 3, Int(&[])).present(),
        Field::new("doubleValue", 4, Double).present(),
        Field::new("arrayValue", 5, Of(&ARRAY_VALUE)).present(),
        Field::new("kvlistValue", 6, Of(&KVLIST_VALUE)).present(),
        Field::new("bytesValue", 7, Bytes).present(),
    ],
};

pub static ARRAY_VALUE: Message = Message { fields: &[Field::new("values", 1, Of(&ANY_VALUE)).repeated()] };

pub static KVLIST_VALUE: Message = Message { fields: &[Field::new("values", 1, Of(&KEY_VALUE)).repeated()] };

const SPAN_KINDS: &[(&str, i64)] = &[
    ("SPAN_KIND_UNSPECIFIED", 0),
    ("SPAN_KIND_INTERNAL", 1),
    ("SPAN_KIND_SERVER", 2),
    ("SPAN_KIND_CLIENT", 3),
    ("SPAN_KIND_PRODUCER", 4),
    ("SPAN_KIND_CONSUMER", 5),
];

const STATUS_CODES: &[(&str, i64)] =
    &[("STATUS_CODE_UNSET", 0), ("STATUS_CODE_OK", 1), ("STATUS_CODE_ERROR", 2)];

static SPAN: Message = Message {
    fields: &[
        Field::new("traceId", 1, Id),
        Field::new("spanId", 2, Id),
        Field::new("traceState", 3, Text),
        Field::new("parentSpanId", 4, Id),
        Field::new("name", 5, Text),
        Field::new("kind", 6, Int(SPAN_KINDS)),
        Field::new("startTimeUnixNano", 7, Fixed64),
        Field::new("endTimeUnixNano", 8, Fixed64),
        Field::new("attributes", 9, Of(&KEY_VALUE)).repeated(),
        Field::new("droppedAttributesCount", 10, Uint),
        Field::new("events", 11, Of(&EVENT)).repeated(),
        Field::new("droppedEventsCount", 12, Uint),
        Field::new("links", 13, Of(&LINK)).repeated(),
        Field::new("droppedLinksCount", 14, Uint),
        Field::new("status", 15, Of(&STATUS)),
        Field::new("flags", 16, Fixed32),
    ],
};

/// A span as its point's `message` shows it, without its attributes: those are shown with the ones it shares.
pub static SHOWN_SPAN: Message = Message {
    fields: &[
        Field::new("traceId", 1, Id),
        Field::new("spanId", 2, Id),
        Field::new("traceState", 3, Text),
        Field::new("parentSpanId", 4, Id),
        Field::new("name", 5, Text),
        Field::new("kind", 6, Int(SPAN_KINDS)),
        Field::new("startTimeUnixNano", 7, Fixed64),
        Field::new("endTimeUnixNano", 8, Fixed64),
        Field::new("events", 11, Of(&EVENT)).repeated(),
        Field::new("links", 13, Of(&LINK)).repeated(),
        Field::new("status", 15, Of(&STATUS)),
    ],
};

static EVENT: Message = Message {
    fields: &[
        Field::new("timeUnixNano", 1, Fixed64),
        Field::new("name", 2, Text),
        Field::new("attributes", 3, Of(&KEY_VALUE)).repeated(),
    ],
};

static LINK: Message = Message {
    fields: &[
        Field::new("traceId", 1, Id),
        Field::new("spanId", 2, Id),
        Field::new("traceState", 3, Text),
        Field::new("attributes", 4, Of(&KEY_VALUE)).repeated(),
        Field::new("flags", 6, Fixed32),
    ],
};

static STATUS: Message =
    Message { fields: &[Field::new("message", 2, Text), Field::new("code", 3, Int(STATUS_CODES))] };

pub static METRICS: Message =
    Message { fields: &[Field::new("resourceMetrics", 1, Of(&RESOURCE_METRICS)).repeated()] };

static RESOURCE_METRICS: Message = Message {
    fields: &[
        Field::new("resource", 1, Of(&RESOURCE)),
        Field::new("scopeMetrics", 2, Of(&SCOPE_METRICS)).repeated(),
        Field::new("schemaUrl", 3, Text),
    ],
};

static SCOPE_METRICS: Message = Message {
    fields: &[Field::new("scope", 1, Of(&SCOPE)), Field::new("metrics", 2, Of(&METRIC)).repeated()],
};

static METRIC: Message = Message {
    fields: &[
        Field::new("name", 1, Text),
        Field::new("description", 2, Text),
        Field::new("unit", 3, Text),
        Field::new("gauge", 5, Of(&NUMBERS)),
        Field::new("sum", 7, Of(&NUMBERS)),
        Field::new("histogram", 9, Of(&HISTOGRAM)),
        Field::new("exponentialHistogram", 10, Of(&EXPONENTIAL_HISTOGRAM)),
        Field::new("summary", 11, Of(&SUMMARY)),
    ],
};

static NUMBERS: Message = Message { fields: &[Field::new("dataPoints", 1, Of(&NUMBER_POINT)).repeated()] };

static NUMBER_POINT: Message = Message {
    fields: &[
        Field::new("startTimeUnixNano", 2, Fixed64),
        Field::new("timeUnixNano", 3, Fixed64),
        Field::new("asDouble", 4, Double),
        Field::new("asInt", 6, Sfixed64),
        Field::new("attributes", 7, Of(&KEY_VALUE)).repeated(),
    ],
};

static HISTOGRAM: Message =
    Message { fields: &[Field::new("dataPoints", 1, Of(&HISTOGRAM_POINT)).repeated()] };

static HISTOGRAM_POINT: Message = Message {
    fields: &[
        Field::new("timeUnixNano", 3, Fixed64),
        Field::new("count", 4, Fixed64),
        Field::new("sum", 5, Double),
        Field::new("bucketCounts", 6, Fixed64).repeated(),
        Field::new("explicitBounds", 7, Double).repeated(),
        Field::new("attributes", 9, Of(&KEY_VALUE)).repeated(),
        Field::new("min", 11, Double),
        Field::new("max", 12, Double),
    ],
};

static EXPONENTIAL_HISTOGRAM: Message =
    Message { fields: &[Field::new("dataPoints", 1, Of(&EXPONENTIAL_POINT)).repeated()] };

static EXPONENTIAL_POINT: Message = Message {
    fields: &[
        Field::new("attributes", 1, Of(&KEY_VALUE)).repeated(),
        Field::new("timeUnixNano", 3, Fixed64),
        Field::new("count", 4, Fixed64),
        Field::new("sum", 5, Double),
        Field::new("scale", 6, Zigzag),
        Field::new("min", 12, Double),
        Field::new("max", 13, Double),
    ],
};

static SUMMARY: Message = Message { fields: &[Field::new("dataPoints", 1, Of(&SUMMARY_POINT)).repeated()] };

static SUMMARY_POINT: Message = Message {
    fields: &[
        Field::new("timeUnixNano", 3, Fixed64),
        Field::new("count", 4, Fixed64),
        Field::new("sum", 5, Double),
        Field::new("quantileValues", 6, Of(&QUANTILE)).repeated(),
        Field::new("attributes", 7, Of(&KEY_VALUE)).repeated(),
    ],
};

static QUANTILE: Message =
    Message { fields: &[Field::new("quantile", 1, Double), Field::new("value", 2, Double)] };

pub static LOGS: Message =
    Message { fields: &[Field::new("resourceLogs", 1, Of(&RESOURCE_LOGS)).repeated()] };

static RESOURCE_LOGS: Message = Message {
    fields: &[
        Field::new("resource", 1, Of(&RESOURCE)),
        Field::new("scopeLogs", 2, Of(&SCOPE_LOGS)).repeated(),
        Field::new("schemaUrl", 3, Text),
    ],
};

static SCOPE_LOGS: Message = Message {
    fields: &[Field::new("scope", 1, Of(&SCOPE)), Field::new("logRecords", 2, Of(&LOG_RECORD)).repeated()],
};

const SEVERITIES: &[(&str, i64)] = &[
    ("SEVERITY_NUMBER_TRACE", 1),
    ("SEVERITY_NUMBER_TRACE2", 2),
    ("SEVERITY_NUMBER_TRACE3", 3),
    ("SEVERITY_NUMBER_TRACE4", 4),
    ("SEVERITY_NUMBER_DEBUG", 5),
    ("SEVERITY_NUMBER_DEBUG2", 6),
    ("SEVERITY_NUMBER_DEBUG3", 7),
    ("SEVERITY_NUMBER_DEBUG4", 8),
    ("SEVERITY_NUMBER_INFO", 9),
    ("SEVERITY_NUMBER_INFO2", 10),
    ("SEVERITY_NUMBER_INFO3", 11),
    ("SEVERITY_NUMBER_INFO4", 12),
    ("SEVERITY_NUMBER_WARN", 13),
    ("SEVERITY_NUMBER_WARN2", 14),
    ("SEVERITY_NUMBER_WARN3", 15),
    ("SEVERITY_NUMBER_WARN4", 16),
    ("SEVERITY_NUMBER_ERROR", 17),
    ("SEVERITY_NUMBER_ERROR2", 18),
    ("SEVERITY_NUMBER_ERROR3", 19),
    ("SEVERITY_NUMBER_ERROR4", 20),
    ("SEVERITY_NUMBER_FATAL", 21),
    ("SEVERITY_NUMBER_FATAL2", 22),
    ("SEVERITY_NUMBER_FATAL3", 23),
    ("SEVERITY_NUMBER_FATAL4", 24),
];

static LOG_RECORD: Message = Message {
    fields: &[
        Field::new("timeUnixNano", 1, Fixed64),
        Field::new("severityNumber", 2, Int(SEVERITIES)),
        Field::new("severityText", 3, Text),
        Field::new("body", 5, Of(&ANY_VALUE)),
        Field::new("attributes", 6, Of(&KEY_VALUE)).repeated(),
        Field::new("flags", 8, Fixed32),
        Field::new("traceId", 9, Id),
        Field::new("spanId", 10, Id),
        Field::new("observedTimeUnixNano", 11, Fixed64),
    ],
};
