//! Every key a configuration may hold, in one table: its name, its kind, its default as written, and what it does.
//! Reading (`read.rs`), its error texts and the reference (`doc.rs`) all follow the table.

mod collectors;
mod dataway;
mod sourcemap;

use std::borrow::Cow;

/// What a key's value must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Text that is shown to nobody: error messages do not repeat it.
    SecretList,
    /// A list of texts.
    TextList,
    /// One of these words.
    Word(&'static [&'static str]),
    Bool,
    /// A whole number within these bounds.
    Integer {
        min: i64,
        max: i64,
    },
    /// A number above zero; zero only where it means off.
    Number {
        zero: bool,
    },
    /// Bytes, with or without a unit, within these bounds.
    Size {
        min: u64,
        max: u64,
    },
    /// A time with its unit; zero only where it means off.
    Time {
        zero: bool,
    },
    /// `"auto"`, a number, or a list of cores.
    Shards,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// As it would be written. Where there is no default: an example, with `example` set.
    pub default: &'static str,
    pub example: bool,
    pub help: &'static str,
}

/// One table, with its keys in the order of the reference.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// `""` for the top level.
    pub path: &'static str,
    pub help: &'static str,
    pub keys: &'static [Key],
    /// Names are the user's own and values are text: tags.
    pub free: bool,
    /// Of a free table: values are lists of texts.
    pub lists: bool,
}

pub(super) const fn key(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Key {
    Key { name, kind, default, example: false, help }
}

pub(super) const fn example(
    name: &'static str,
    kind: Kind,
    example: &'static str,
    help: &'static str,
) -> Key {
    Key { name, kind, default: example, example: true, help }
}

pub(super) const fn table(path: &'static str, help: &'static str, keys: &'static [Key]) -> Table {
    Table { path, help, keys, free: false, lists: false }
}

/// Any number of bytes from `min` up.
const fn size(min: u64) -> Kind {
    Kind::Size { min, max: i64::MAX as u64 }
}

/// A bound a process on one machine can have; what is above is a slip of the pen.
pub(super) const COUNT_MAX: i64 = 1_000_000;
/// Segments smaller than this would be mostly headers and file names, larger ones are recycled too seldom.
pub const SEGMENT_BYTES: Kind = Kind::Size { min: 1 << 20, max: 1 << 30 };
/// A body held in memory by one connection.
const BODY_BYTES: Kind = Kind::Size { min: 1 << 10, max: 4 << 30 };
const CAPACITY_BYTES: Kind = size(4 << 20);
const PRIORITY: Kind = Kind::Integer { min: 0, max: 9 };
pub(super) const TIME: Kind = Kind::Time { zero: false };

/// The table.
pub static TABLES: &[Table] = &[
    table(
        "",
        "",
        &[
            key(
                "compat",
                Kind::Word(&["documented", "datakit-1.84"]),
                "\"documented\"",
                "Which behaviour wins where the public documents and DataKit 1.84.1 contradict each other.\n\
             deploy/compatibility.md lists the differences.",
            ),
            key(
                "data_dir",
                Kind::Text,
                "\"./kitgate-data\"",
                "Where the spool, the archive and the dead-letter files live. One process at a time.",
            ),
            key(
                "shards",
                Kind::Shards,
                "\"auto\"",
                "One shard a core: \"auto\" (every core this process may use), a number, or a list of cores as [0, 2].",
            ),
            key(
                "ack",
                Kind::Word(&["memory", "disk", "upstream"]),
                "\"disk\"",
                "When a write is answered 2xx: \"memory\" (in a queue; a crash loses it), \"disk\" (synced), \"upstream\"\n\
             (the destination took it). A request may ask for another level with ?ack=.",
            ),
            key(
                "destination",
                Kind::Word(&["auto", "dataway", "archive", "blackhole"]),
                "\"auto\"",
                "Where points go. \"auto\": to [dataway] if it has urls, else into the local archive.\n\
             \"blackhole\" takes everything and keeps nothing, for measurements.",
            ),
            example(
                "hostname",
                Kind::Text,
                "\"edge-1\"",
                "The name in X-Datakit, in the User-Agent and in the tag host. Without it: the host's own.",
            ),
        ],
    ),
    table(
        "http_api",
        "The DataKit API.",
        &[
            key(
                "listen",
                Kind::Text,
                "\"127.0.0.1:9529\"",
                "Address and port. \"localhost\" stands for 127.0.0.1; [::] is all addresses of IPv6. An absolute path is a socket in\n\
             the file system.",
            ),
            example(
                "listen_socket",
                Kind::Text,
                "\"/run/kitgate/kitgate.sock\"",
                "A further listener: a socket in the file system. Whoever reaches it counts as this machine.",
            ),
            key(
                "timeout",
                Kind::Time { zero: true },
                "\"30s\"",
                "A request whose points are not stored after this is answered 503, so that its sender keeps them. 0: never.",
            ),
            key("disable_404page", Kind::Bool, "false", "Answer unknown paths with an empty body."),
            key(
                "allowed_cors_origins",
                Kind::TextList,
                "[]",
                "Origins that browsers may send from. Empty: all.",
            ),
            key(
                "close_idle_connection",
                Kind::Bool,
                "false",
                "Close a connection that is idle for longer than timeout, where limits.idle_timeout is longer.",
            ),
            key(
                "public_apis",
                Kind::TextList,
                "[]",
                "Paths that others than this machine may ask for, beside /v1/ping, /v1/ntp, /v1/write/rum and\n\
             /v1/write/logstreaming. Empty: also /v1/write/ of every category. What is listed takes the place of those.",
            ),
            key(
                "trusted_proxies",
                Kind::TextList,
                "[]",
                "Addresses or networks, as \"10.0.0.0/8\", of proxies whose X-Forwarded-For says who the client is.",
            ),
            key(
                "proxy_protocol",
                Kind::Bool,
                "false",
                "Whether they may also say so in the PROXY protocol (v1, v2), in front of the first request.",
            ),
            key(
                "request_rate_limit",
                Kind::Number { zero: true },
                "0.0",
                "Requests a second that a client may make on each route; past it 503 with Retry-After. 0: no limit.\n\
             The default is 100 under compat = \"datakit-1.84\", and past it 429.",
            ),
            key(
                "request_rate_limit_burst",
                Kind::Integer { min: 1, max: COUNT_MAX },
                "500",
                "Requests at one moment. Under compat = \"datakit-1.84\" the default is the rate.",
            ),
            key(
                "request_rate_limit_ttl",
                TIME,
                "\"60s\"",
                "A client that asks nothing for so long is forgotten.",
            ),
            key(
                "token_routing",
                Kind::Bool,
                "true",
                "?token= on a write says to which workspace its points go, in place of the token in dataway.urls.\n\
             The default is false under compat = \"datakit-1.84\", which ignores it.",
            ),
            key(
                "tokens",
                Kind::SecretList,
                "[]",
                "The tokens that ?token= may name; any other is answered 403. Empty: every well-formed one.",
            ),
        ],
    ),
    table(
        "http_api.tls",
        "TLS of http_api.listen. The files are read again when they change.",
        &[
            example("cert", Kind::Text, "\"/etc/kitgate/tls.crt\"", "The certificate and its chain, in PEM."),
            example("privkey", Kind::Text, "\"/etc/kitgate/tls.key\"", "Its key, in PEM."),
            example(
                "client_ca",
                Kind::Text,
                "\"/etc/kitgate/clients.crt\"",
                "Clients must show a certificate of one of these authorities.",
            ),
        ],
    ),
    dataway::TABLE,
    table(
        "dataway.wal",
        "DataKit's names for the spool.",
        &[key("max_capacity_gb", Kind::Number { zero: false }, "2.0", "The same as spool.capacity, in GiB.")],
    ),
    Table {
        path: "global_host_tags",
        free: true,
        lists: false,
        keys: &[
            example("host", Kind::Text, "\"edge-1\"", ""),
            example("ip", Kind::Text, "\"$datakit_ip\"", ""),
        ],
        help: "Tags for points that lack them. host is always there. $datakit_hostname and $datakit_ip are replaced.",
    },
    table(
        "election",
        "",
        &[key(
            "enable",
            Kind::Bool,
            "false",
            "Whether ?global_election_tags= means the tags below. false: it means the host tags.",
        )],
    ),
    Table {
        path: "election.tags",
        free: true,
        lists: false,
        keys: &[example("cluster", Kind::Text, "\"a\"", "")],
        help: "Tags for points that are written with ?global_election_tags=.",
    },
    table(
        "io",
        "",
        &[
            key(
                "auto_timestamp_correction",
                Kind::Bool,
                "false",
                "Points more than two hours off are sent with the time of their arrival, and keep their own in __orig_time.\n\
             The default is true under compat = \"datakit-1.84\".",
            ),
            key(
                "remote_filters",
                Kind::Bool,
                "true",
                "Ask the first of dataway.urls for the filters of its workspace, unless [io.filters] holds some.",
            ),
        ],
    ),
    Table {
        path: "io.filters",
        free: true,
        lists: true,
        keys: &[example(
            "logging",
            Kind::TextList,
            "[\"{ source = 'nginx' and status in ['ok', 'info'] }\"]",
            "",
        )],
        help: "Points that are dropped, in place of the destination's filters. ENV_IO_FILTERS is the same, as JSON.",
    },
    table(
        "spool",
        "The queue on disk. One log per category.",
        &[
            key(
                "capacity",
                CAPACITY_BYTES,
                "\"2GiB\"",
                "How much a category may hold that is not delivered.",
            ),
            key(
                "full",
                Kind::Word(&["refuse", "evict_oldest"]),
                "\"refuse\"",
                "When a category is full: \"refuse\" new data with 503, or \"evict_oldest\", counted as dropped.",
            ),
            example(
                "total_capacity",
                CAPACITY_BYTES,
                "\"20GiB\"",
                "How much all categories may hold together. The less important make room first: [spool.priority_of].",
            ),
            key(
                "max_age",
                Kind::Time { zero: true },
                "\"0s\"",
                "Undelivered data older than this is given up, counted as expired. 0: never. Only time that the gateway\n\
                 is running counts.",
            ),
            key(
                "reserve",
                Kind::Size { min: 0, max: i64::MAX as u64 },
                "\"16MiB\"",
                "What the spool leaves free of its file system. With less, new data is refused with 503.",
            ),
            key("segment_size", SEGMENT_BYTES, "\"32MiB\"", "The size of a file of the log."),
            key(
                "tail_cache",
                Kind::Size { min: 0, max: 1 << 30 },
                "\"4MiB\"",
                "How much of a category's newest data is also kept in memory, so that upload need not read it back; the newest frame at any size.",
            ),
        ],
    ),
    table(
        "spool.capacity_of",
        "Categories that may hold more or less than the others.",
        &[
            example("metric", CAPACITY_BYTES, "\"2GiB\"", ""),
            example("network", CAPACITY_BYTES, "\"2GiB\"", ""),
            example("keyevent", CAPACITY_BYTES, "\"2GiB\"", ""),
            example("object", CAPACITY_BYTES, "\"128MiB\"", ""),
            example("custom_object", CAPACITY_BYTES, "\"128MiB\"", ""),
            example("logging", CAPACITY_BYTES, "\"10GiB\"", ""),
            example("tracing", CAPACITY_BYTES, "\"2GiB\"", ""),
            example("rum", CAPACITY_BYTES, "\"2GiB\"", ""),
            example("security", CAPACITY_BYTES, "\"2GiB\"", ""),
            example("profiling", CAPACITY_BYTES, "\"2GiB\"", ""),
        ],
    ),
    table(
        "spool.priority_of",
        "How important categories are when spool.total_capacity is reached: 0 to 9. Each rank below the highest has a\n\
         tenth less of it.",
        &[
            example("metric", PRIORITY, "5", ""),
            example("network", PRIORITY, "5", ""),
            example("keyevent", PRIORITY, "5", ""),
            example("object", PRIORITY, "5", ""),
            example("custom_object", PRIORITY, "5", ""),
            example("logging", PRIORITY, "5", ""),
            example("tracing", PRIORITY, "5", ""),
            example("rum", PRIORITY, "5", ""),
            example("security", PRIORITY, "5", ""),
            example("profiling", PRIORITY, "5", ""),
        ],
    ),
    table(
        "spool.max_age_of",
        "Categories whose data is given up earlier or later than spool.max_age says.",
        &[
            example("metric", Kind::Time { zero: true }, "\"24h\"", ""),
            example("network", Kind::Time { zero: true }, "\"24h\"", ""),
            example("keyevent", Kind::Time { zero: true }, "\"24h\"", ""),
            example("object", Kind::Time { zero: true }, "\"24h\"", ""),
            example("custom_object", Kind::Time { zero: true }, "\"24h\"", ""),
            example("logging", Kind::Time { zero: true }, "\"24h\"", ""),
            example("tracing", Kind::Time { zero: true }, "\"24h\"", ""),
            example("rum", Kind::Time { zero: true }, "\"24h\"", ""),
            example("security", Kind::Time { zero: true }, "\"24h\"", ""),
            example("profiling", Kind::Time { zero: true }, "\"24h\"", ""),
        ],
    ),
    table(
        "rum",
        "What browsers and apps send of their users: /v1/write/rum and /v1/write/rum/replay.",
        &[
            key(
                "rum_app_id_white_list",
                Kind::TextList,
                "[]",
                "The applications whose data is taken. Empty: all.",
            ),
            key(
                "measurements",
                Kind::TextList,
                "[\"view\", \"resource\", \"action\", \"long_task\", \"error\", \"telemetry\"]",
                "The measurements that are taken.",
            ),
            key(
                "rum_origin_ip_header",
                Kind::Text,
                "\"X-Forwarded-For\"",
                "The header that names the client, before X-Forwarded-For and X-Real-IP.",
            ),
            example(
                "geoip_database",
                Kind::Text,
                "\"/usr/share/GeoIP/GeoLite2-City.mmdb\"",
                "A database of places in MaxMind's format: the tags city, province and country. Without it: unknown.\n\
             A new file is noticed and replaces the old one as a whole; a damaged one does not.",
            ),
            example(
                "isp_database",
                Kind::Text,
                "\"/usr/share/GeoIP/GeoLite2-ASN.mmdb\"",
                "The same for the tag isp: GeoIP2-ISP or GeoLite2-ASN.",
            ),
            key(
                "replay_capacity",
                CAPACITY_BYTES,
                "\"20GiB\"",
                "How much of session replays may be spooled, which have a log of their own.",
            ),
        ],
    ),
    sourcemap::TABLE,
    table(
        "archive",
        "The destination when there is no other: readable files, one per category and day.",
        &[
            example("dir", Kind::Text, "\"/srv/archive\"", "Without it: the folder archive in data_dir."),
            key(
                "rotate_size",
                size(64 << 10),
                "\"64MiB\"",
                "A file past this size is closed and compressed.",
            ),
        ],
    ),
    collectors::DATADOG,
    collectors::closed("intake.datadog.close_resource"),
    collectors::sampler("intake.datadog.sampler"),
    collectors::tags("intake.datadog.tags"),
    collectors::SKYWALKING,
    collectors::closed("intake.skywalking.close_resource"),
    collectors::sampler("intake.skywalking.sampler"),
    collectors::tags("intake.skywalking.tags"),
    collectors::OTLP,
    collectors::closed("intake.otlp.close_resource"),
    collectors::sampler("intake.otlp.sampler"),
    collectors::tags("intake.otlp.tags"),
    collectors::ZIPKIN,
    collectors::closed("intake.zipkin.close_resource"),
    collectors::sampler("intake.zipkin.sampler"),
    collectors::tags("intake.zipkin.tags"),
    super::profiling::TABLES[0],
    super::profiling::TABLES[1],
    super::profiling::TABLES[2],
    super::profiling::TABLES[3],
    super::go_pull::TABLE,
    super::go_pull::TAGS,
    super::dialtesting::TABLE,
    super::pipeline::TABLES[0],
    super::pipeline::TABLES[1],
    super::pipeline::TABLES[2],
    super::pipeline::TABLES[3],
    table(
        "limits",
        "Bounds against senders that are too many, too large or too slow.",
        &[
            key(
                "connections_max",
                Kind::Integer { min: 1, max: COUNT_MAX },
                "65536",
                "Open connections of the whole process.",
            ),
            key("body_max", BODY_BYTES, "\"64MiB\"", "A request body on the wire; 413 past it."),
            key(
                "decoded_body_max",
                BODY_BYTES,
                "\"128MiB\"",
                "A request body after decompression; 413 past it.",
            ),
            key("head_timeout", TIME, "\"10s\"", "For a request head to arrive."),
            key("body_timeout", TIME, "\"30s\"", "Without a byte of a body arriving."),
            key("write_timeout", TIME, "\"30s\"", "Without the client taking a byte of an answer."),
            key("idle_timeout", TIME, "\"5m\"", "Between two requests on a connection."),
        ],
    ),
    table(
        "shutdown",
        "How SIGTERM ends it: requests are served for the delay, then for what is in work there is the budget.",
        &[
            key(
                "delay",
                Kind::Time { zero: true },
                "\"0s\"",
                "Not ready any more, and still serving: for load balancers to notice before connections are refused.",
            ),
            key(
                "budget",
                TIME,
                "\"25s\"",
                "For answers, commits and uploads; what is left then stays on disk for the next start.",
            ),
        ],
    ),
    table(
        "log",
        "What is written to standard error.",
        &[
            key(
                "level",
                Kind::Text,
                "\"info\"",
                "error, warn, info, debug, trace; or by module, as \"info,kitgate::spool=debug\".",
            ),
            key("format", Kind::Word(&["text", "json"]), "\"text\"", "For people or for machines."),
        ],
    ),
];

/// Below these every table is the user's own, by a name of theirs; in [`TABLES`] the name is the one behind.
const NAMED: [(&str, &str); 1] = [(super::go_pull::PATH, "app")];

/// Whether the tables directly under the one with this path are the user's own.
pub fn is_named(path: &str) -> bool {
    NAMED.iter().any(|(named, _)| *named == path)
}

/// The path as it is in [`TABLES`].
fn canonical(path: &str) -> Cow<'_, str> {
    let below = |named: &str| path.strip_prefix(named)?.strip_prefix('.');
    match NAMED.iter().find_map(|(named, name)| Some((named, name, below(named)?))) {
        None => Cow::Borrowed(path),
        Some((named, name, rest)) => {
            let more = rest.find('.').map_or("", |dot| &rest[dot..]);
            Cow::Owned(format!("{named}.{name}{more}"))
        }
    }
}

/// The table with this path.
pub fn find_table(path: &str) -> Option<&'static Table> {
    let path = canonical(path);
    TABLES.iter().find(|table| table.path == path)
}

/// The names of the tables directly under the one with this path.
pub fn children(path: &str) -> impl Iterator<Item = &'static str> {
    let path = canonical(path);
    let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
    let mut names: Vec<&str> = TABLES
        .iter()
        .filter(|table| !table.path.is_empty())
        .filter_map(|table| table.path.strip_prefix(prefix.as_str()))
        .map(|rest| rest.split('.').next().unwrap_or(rest))
        .collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter()
}

impl Table {
    /// The key of this name; in a free table any name is one.
    pub fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// `table.key`, as error texts name it.
pub fn full_name(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
