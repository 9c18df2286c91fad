//! The table of the destination that most have.

use super::{COUNT_MAX, Kind, TIME, Table, example, key, size, table};

/// `[dataway]`.
pub(super) const TABLE: Table = table(
    "dataway",
    "The destination, when it is a DataWay.",
    &[
        example(
            "urls",
            Kind::SecretList,
            "[\"https://openway.guance.com?token=${DATAWAY_TOKEN}\"]",
            "Every package goes to all of them. The path is ignored, the query goes with every call.",
        ),
        key(
            "compression",
            Kind::Word(&["gzip", "zstd", "identity"]),
            "\"gzip\"",
            "How bodies are compressed, on disk and on the wire. Every DataWay reads gzip.",
        ),
        key("gzip", Kind::Bool, "true", "DataKit's name for it: false is compression = \"identity\"."),
        key(
            "joined_members",
            Kind::Bool,
            "true",
            "Whether the destination reads bodies of several gzip members or zstd frames, as the formats allow.\n\
         false costs one more compression per package.",
        ),
        key(
            "content_encoding",
            Kind::Word(&["v2", "protobuf", "v1", "line-protocol"]),
            "\"v2\"",
            "The body format: protobuf (\"v2\") or line protocol (\"v1\").",
        ),
        key(
            "max_raw_body_size",
            size(1),
            "1048576",
            "Bytes of a body before compression. Less than 102400 is raised to it, as DataKit does.",
        ),
        key("timeout_v2", TIME, "\"30s\"", "For connecting, and for each answer."),
        key(
            "max_retry_count",
            Kind::Integer { min: 1, max: 10 },
            "1",
            "DataKit's attempts before a package is put aside. Without effect: a package is tried until it is taken.",
        ),
        key(
            "retry_delay",
            TIME,
            "\"1s\"",
            "The first pause between two tries; each further one is twice as long.",
        ),
        key(
            "retry_delay_max",
            TIME,
            "\"30s\"",
            "The longest pause between two tries, unless the destination asks for more.",
        ),
        key("workers", Kind::Integer { min: 1, max: 64 }, "4", "Requests in flight per category."),
        key(
            "mode",
            Kind::Word(&["replicate", "failover"]),
            "\"replicate\"",
            "With several urls: \"replicate\" sends every package to each of them; one that is down gets its packages\n\
         later and does not hold up the others. \"failover\" sends to the first one, and to the next while that is down.",
        ),
        key(
            "backlog_rate",
            size(0),
            "\"32MiB\"",
            "Bytes a second, as spooled, at which what has piled up during an outage is sent, behind fresh data.\n\
         0: as fast as a quarter of the workers can.",
        ),
        key(
            "max_idle_conns_per_host",
            Kind::Integer { min: 0, max: COUNT_MAX },
            "64",
            "Connections kept open for reuse.",
        ),
        key("idle_timeout", TIME, "\"90s\"", "How long such a connection is kept."),
        key("tls_insecure", Kind::Bool, "false", "Do not check certificates. For tests only."),
        key(
            "enable_sinker",
            Kind::Bool,
            "false",
            "Send points in groups by their values of global tags' keys and of those below, each with X-Global-Tags.\n\
         ENV_DATAWAY_ENABLE_SINKER is the same.",
        ),
        key(
            "global_customer_keys",
            Kind::TextList,
            "[]",
            "Further keys; also \"category\", and \"source\", \"measurement\" or \"class\", as the category has it.\n\
         ENV_SINKER_GLOBAL_CUSTOMER_KEYS is the same, with commas between.",
        ),
    ],
);
