//! The messages of SkyWalking's data collect protocol 3, as far as they are read: `language-agent/{Tracing,JVMMetric}`,
//! `logging/Logging`, `management/Management`, `common/Common`.

use crate::intake::protobuf::Kind::{Bool, Double, Int, Message as Of, Text};
use crate::intake::protobuf::{Field, Message};

pub static SEGMENT: Message = Message {
    fields: &[
        Field::new("traceId", 1, Text),
        Field::new("traceSegmentId", 2, Text),
        Field::new("spans", 3, Of(&SPAN)).repeated(),
        Field::new("service", 4, Text),
        Field::new("serviceInstance", 5, Text),
        Field::new("isSizeLimited", 6, Bool),
    ],
};

const SPAN_TYPES: &[(&str, i64)] = &[("Entry", 0), ("Exit", 1), ("Local", 2)];

const SPAN_LAYERS: &[(&str, i64)] = &[
    ("Unknown", 0),
    ("Database", 1),
    ("RPCFramework", 2),
    ("Http", 3),
    ("MQ", 4),
    ("Cache", 5),
    ("FAAS", 6),
];

const REF_TYPES: &[(&str, i64)] = &[("CrossProcess", 0), ("CrossThread", 1)];

pub static SPAN: Message = Message {
    fields: &[
        Field::new("spanId", 1, Int(&[])),
        Field::new("parentSpanId", 2, Int(&[])),
        Field::new("startTime", 3, Int(&[])),
        Field::new("endTime", 4, Int(&[])),
        Field::new("refs", 5, Of(&REFERENCE)).repeated(),
        Field::new("operationName", 6, Text),
        Field::new("peer", 7, Text),
        Field::new("spanType", 8, Int(SPAN_TYPES)),
        Field::new("spanLayer", 9, Int(SPAN_LAYERS)),
        Field::new("componentId", 10, Int(&[])),
        Field::new("isError", 11, Bool),
        Field::new("tags", 12, Of(&PAIR)).repeated(),
        Field::new("logs", 13, Of(&SPAN_LOG)).repeated(),
        Field::new("skipAnalysis", 14, Bool),
    ],
};

static REFERENCE: Message = Message {
    fields: &[
        Field::new("refType", 1, Int(REF_TYPES)),
        Field::new("traceId", 2, Text),
        Field::new("parentTraceSegmentId", 3, Text),
        Field::new("parentSpanId", 4, Int(&[])),
        Field::new("parentService", 5, Text),
        Field::new("parentServiceInstance", 6, Text),
        Field::new("parentEndpoint", 7, Text),
        Field::new("networkAddressUsedAtPeer", 8, Text),
    ],
};

static PAIR: Message = Message { fields: &[Field::new("key", 1, Text), Field::new("value", 2, Text)] };

static SPAN_LOG: Message =
    Message { fields: &[Field::new("time", 1, Int(&[])), Field::new("data", 2, Of(&PAIR)).repeated()] };

pub static LOG: Message = Message {
    fields: &[
        Field::new("timestamp", 1, Int(&[])),
        Field::new("service", 2, Text),
        Field::new("serviceInstance", 3, Text),
        Field::new("endpoint", 4, Text),
        Field::new("body", 5, Of(&LOG_BODY)),
        Field::new("traceContext", 6, Of(&TRACE_CONTEXT)),
        Field::new("tags", 7, Of(&LOG_TAGS)),
        Field::new("layer", 8, Text),
    ],
};

static LOG_BODY: Message = Message {
    fields: &[
        Field::new("type", 1, Text),
        Field::new("text", 2, Of(&LOG_TEXT)),
        Field::new("json", 3, Of(&LOG_JSON)),
        Field::new("yaml", 4, Of(&LOG_YAML)),
    ],
};

static LOG_TEXT: Message = Message { fields: &[Field::new("text", 1, Text)] };
static LOG_JSON: Message = Message { fields: &[Field::new("json", 1, Text)] };
static LOG_YAML: Message = Message { fields: &[Field::new("yaml", 1, Text)] };

static TRACE_CONTEXT: Message = Message {
    fields: &[
        Field::new("traceId", 1, Text),
        Field::new("traceSegmentId", 2, Text),
        Field::new("spanId", 3, Int(&[])),
    ],
};

static LOG_TAGS: Message = Message { fields: &[Field::new("data", 1, Of(&PAIR)).repeated()] };

pub static PROPERTIES: Message = Message {
    fields: &[
        Field::new("service", 1, Text),
        Field::new("serviceInstance", 2, Text),
        Field::new("properties", 3, Of(&PAIR)).repeated(),
        Field::new("layer", 4, Text),
    ],
};

pub static PING: Message = Message {
    fields: &[
        Field::new("service", 1, Text),
        Field::new("serviceInstance", 2, Text),
        Field::new("layer", 3, Text),
    ],
};

pub static JVM: Message = Message {
    fields: &[
        Field::new("metrics", 1, Of(&JVM_METRIC)).repeated(),
        Field::new("service", 2, Text),
        Field::new("serviceInstance", 3, Text),
    ],
};

static JVM_METRIC: Message = Message {
    fields: &[
        Field::new("time", 1, Int(&[])),
        Field::new("cpu", 2, Of(&CPU)),
        Field::new("memory", 3, Of(&MEMORY)).repeated(),
        Field::new("memoryPool", 4, Of(&MEMORY_POOL)).repeated(),
        Field::new("gc", 5, Of(&GC)).repeated(),
        Field::new("thread", 6, Of(&THREAD)),
        Field::new("clazz", 7, Of(&CLASS)),
    ],
};

static CPU: Message = Message { fields: &[Field::new("usagePercent", 2, Double)] };

static MEMORY: Message = Message {
    fields: &[
        Field::new("isHeap", 1, Bool),
        Field::new("init", 2, Int(&[])),
        Field::new("max", 3, Int(&[])),
        Field::new("used", 4, Int(&[])),
        Field::new("committed", 5, Int(&[])),
    ],
};

/// The kinds of pools, by number.
pub const POOLS: &[(&str, i64)] = &[
    ("CODE_CACHE_USAGE", 0),
    ("NEWGEN_USAGE", 1),
    ("OLDGEN_USAGE", 2),
    ("SURVIVOR_USAGE", 3),
    ("PERMGEN_USAGE", 4),
    ("METASPACE_USAGE", 5),
    ("ZHEAP_USAGE", 6),
    ("COMPRESSED_CLASS_SPACE_USAGE", 7),
    ("CODEHEAP_NON_NMETHODS_USAGE", 8),
    ("CODEHEAP_PROFILED_NMETHODS_USAGE", 9),
    ("CODEHEAP_NON_PROFILED_NMETHODS_USAGE", 10),
];

static MEMORY_POOL: Message = Message {
    fields: &[
        Field::new("type", 1, Int(POOLS)),
        Field::new("init", 2, Int(&[])),
        Field::new("max", 3, Int(&[])),
        Field::new("used", 4, Int(&[])),
        Field::new("committed", 5, Int(&[])),
    ],
};

const GC_PHASES: &[(&str, i64)] = &[("NEW", 0), ("OLD", 1), ("NORMAL", 2)];

static GC: Message = Message {
    fields: &[
        Field::new("phase", 1, Int(GC_PHASES)),
        Field::new("count", 2, Int(&[])),
        Field::new("time", 3, Int(&[])),
    ],
};

static THREAD: Message = Message {
    fields: &[
        Field::new("liveCount", 1, Int(&[])),
        Field::new("daemonCount", 2, Int(&[])),
        Field::new("peakCount", 3, Int(&[])),
        Field::new("runnableStateThreadCount", 4, Int(&[])),
        Field::new("blockedStateThreadCount", 5, Int(&[])),
        Field::new("waitingStateThreadCount", 6, Int(&[])),
        Field::new("timedWaitingStateThreadCount", 7, Int(&[])),
    ],
};

static CLASS: Message = Message {
    fields: &[
        Field::new("loadedClassCount", 1, Int(&[])),
        Field::new("totalUnloadedClassCount", 2, Int(&[])),
        Field::new("totalLoadedClassCount", 3, Int(&[])),
    ],
};
