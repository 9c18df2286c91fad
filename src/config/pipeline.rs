//! `[pipeline]`: scripts, and what their functions may ask of the world. The names are DataKit's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::collectors::{Report, set};
use super::read::Written;
use super::resolve::parse_network;
use super::schema::{Kind, TIME, Table, example, key, table};
use super::secret::{Endpoint, Secret};

/// The scripts that come with the gateway.
pub const SHIPPED_SCRIPTS: [&str; 11] = [
    "apache",
    "docker",
    "elasticsearch",
    "java",
    "kafka",
    "mongodb",
    "mysql",
    "nginx",
    "postgresql",
    "redis",
    "syslog",
];

/// Stands for all of them.
pub const SHIPPED_ALL: &str = "*";

/// What scripts are kept for, by the names of their folders.
const CATEGORIES: [&str; 12] = [
    "metric",
    "network",
    "keyevent",
    "object",
    "object_change",
    "custom_object",
    "logging",
    "tracing",
    "rum",
    "security",
    "profiling",
    "dialtesting",
];

/// The tables.
pub(super) const TABLES: [Table; 4] = [
    table(
        "pipeline",
        "Scripts that rewrite points.",
        &[
            key(
                "remote_pull_interval",
                TIME,
                "\"1m\"",
                "How often the first of dataway.urls is asked for the scripts of its workspace.",
            ),
            key(
                "shipped_scripts",
                Kind::TextList,
                "[\"*\"]",
                "Scripts that come with the gateway, for the logs of usual servers, by name: those of deploy/pipeline/logging, or\n\
                 \"*\" for all. One of yours with such a name takes its place.",
            ),
            key(
                "ipdb_type",
                Kind::Word(&["geolite2", "iploc"]),
                "\"geolite2\"",
                "The database of geoip(): MaxMind's format. \"iploc\", DataKit's default, is not read here: geoip() then does\n\
                 nothing.",
            ),
            example(
                "refer_table_url",
                Kind::Text,
                "\"http://10.0.0.1:8080/tables\"",
                "Where the tables of query_refer_table() and mquery_refer_table() are fetched. Without it: there are none.",
            ),
            key("refer_table_pull_interval", TIME, "\"5m\"", "How often."),
            key(
                "use_sqlite",
                Kind::Bool,
                "false",
                "Taken for DataKit's sake. Tables are held in memory, with an index for each set of columns asked for.",
            ),
            key("sqlite_mem_mode", Kind::Bool, "false", "Taken for DataKit's sake."),
            key(
                "disable_http_request_func",
                Kind::Bool,
                "false",
                "Let http_request() ask nobody: it gives nil.",
            ),
            key(
                "http_request_host_whitelist",
                Kind::TextList,
                "[]",
                "The hosts that http_request() may ask, as \"api.example.com\". With this list or the next one: no others.",
            ),
            key(
                "http_request_cidr_whiltelist",
                Kind::TextList,
                "[]",
                "The networks it may ask, as \"10.0.0.0/8\". DataKit spells the key so; http_request_cidr_whitelist is the\n\
                 same.",
            ),
            key("http_request_cidr_whitelist", Kind::TextList, "[]", ""),
            key(
                "http_request_disable_internal_net",
                Kind::Bool,
                "false",
                "Refuse internal addresses: this machine's, private, link-local and unspecified ones.",
            ),
            key("disable_append_run_info", Kind::Bool, "false", "Taken for DataKit's sake."),
        ],
    ),
    table(
        "pipeline.ipdb_attr",
        "The files of geoip(), which are also those of rum.geoip_database and rum.isp_database where these are not set.\n\
         One that is not absolute is looked for in the folder ipdb/geolite2 of data_dir.",
        &[
            example("iploc_file", Kind::Text, "\"GeoLite2-City.mmdb\"", "Places."),
            example("isp_file", Kind::Text, "\"GeoLite2-ASN.mmdb\"", "Providers."),
        ],
    ),
    table(
        "pipeline.offload",
        "Taken for DataKit's sake, without effect: every gateway runs its scripts itself.",
        &[
            example("receiver", Kind::Word(&["datakit-http"]), "\"datakit-http\"", ""),
            example("addresses", Kind::TextList, "[\"http://10.0.0.2:9529\"]", ""),
        ],
    ),
    Table {
        path: "pipeline.default_pipeline",
        free: true,
        lists: false,
        keys: &[example("logging", Kind::Text, "\"fallback.p\"", "")],
        help: "The scripts of points that have none of their own, by category.",
    },
];

/// `[pipeline]`.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineSettings {
    pub remote_pull_interval: Duration,
    /// Scripts for logs that come with the gateway, without `.p`; `*` is all of them.
    pub shipped_scripts: Vec<String>,
    /// Scripts by category, with `.p`.
    pub default_scripts: Vec<(String, String)>,
    /// Gateways that DataKit would have run the workspace's scripts; nobody asks them here.
    pub offload: Vec<Endpoint>,
    /// Databases of `geoip()`, in MaxMind's format.
    pub geoip_database: Option<PathBuf>,
    pub isp_database: Option<PathBuf>,
    pub tables: TableSettings,
    pub http: HttpRequestSettings,
}

/// Reference tables.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSettings {
    /// May hold a token.
    pub url: Option<Secret>,
    pub interval: Duration,
    /// The user wants them in a database.
    pub sqlite: bool,
}

/// Whom scripts may ask over HTTP.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpRequestSettings {
    pub disabled: bool,
    /// Names and addresses, in lower case. With these or networks: no others.
    pub hosts: Vec<String>,
    pub networks: Vec<IpNet>,
    pub internal_forbidden: bool,
}

impl Default for PipelineSettings {
    fn default() -> PipelineSettings {
        PipelineSettings {
            remote_pull_interval: Duration::from_secs(60),
            shipped_scripts: vec![SHIPPED_ALL.to_owned()],
            default_scripts: Vec::new(),
            offload: Vec::new(),
            geoip_database: None,
            isp_database: None,
            tables: TableSettings { url: None, interval: Duration::from_secs(300), sqlite: false },
            http: HttpRequestSettings::default(),
        }
    }
}

/// Reads it. `report` is told what is wrong, `warn` what has no effect.
pub(super) fn pipeline(
    written: &Written,
    data_dir: &Path,
    report: Report<'_>,
    warn: Report<'_>,
) -> PipelineSettings {
    let mut pipeline = PipelineSettings::default();
    set(&mut pipeline.remote_pull_interval, written.time("pipeline.remote_pull_interval"));
    if let Some(names) = written.list("pipeline.shipped_scripts") {
        pipeline.shipped_scripts = names;
    }
    for name in &pipeline.shipped_scripts {
        if name != SHIPPED_ALL && !SHIPPED_SCRIPTS.contains(&name.as_str()) {
            let known = SHIPPED_SCRIPTS.join(", ");
            report("pipeline.shipped_scripts", format!("holds {name:?}; there are {known}"));
        }
    }
    for (category, script) in written.tags("pipeline.default_pipeline") {
        let key = format!("pipeline.default_pipeline.{category}");
        if !CATEGORIES.contains(&category.as_str()) {
            report(&key, format!("is no category: {}", CATEGORIES.join(", ")));
        } else if !script.is_empty() {
            pipeline.default_scripts.push((category, script));
        }
    }
    for (index, address) in written.list("pipeline.offload.addresses").unwrap_or_default().iter().enumerate()
    {
        match Endpoint::parse(address) {
            Ok(endpoint) => pipeline.offload.push(endpoint),
            Err(reason) => report("pipeline.offload.addresses", format!("number {}: {reason}", index + 1)),
        }
    }
    if !pipeline.offload.is_empty() {
        warn("pipeline.offload.addresses", "has no effect: every gateway runs its scripts itself".to_owned());
    }
    databases(written, data_dir, &mut pipeline, warn);
    pipeline.tables = tables(written, report, warn);
    pipeline.http = http(written, report);
    pipeline
}

fn databases(written: &Written, data_dir: &Path, pipeline: &mut PipelineSettings, warn: Report<'_>) {
    let file = |name: &str| {
        let file = written.text(&format!("pipeline.ipdb_attr.{name}")).filter(|file| !file.is_empty())?;
        // An absolute one takes the place of the folder.
        Some(data_dir.join("ipdb/geolite2").join(file))
    };
    if written.text("pipeline.ipdb_type").as_deref() == Some("iploc") {
        warn("pipeline.ipdb_type", "is \"iploc\", which is not read here: geoip() finds nothing".to_owned());
        return;
    }
    pipeline.geoip_database = file("iploc_file");
    pipeline.isp_database = file("isp_file");
}

fn tables(written: &Written, report: Report<'_>, warn: Report<'_>) -> TableSettings {
    let mut tables = PipelineSettings::default().tables;
    if let Some(url) = written.text("pipeline.refer_table_url").filter(|url| !url.is_empty()) {
        // The URL is not repeated: it may hold a token.
        if let Err(reason) = Endpoint::parse(&url) {
            report("pipeline.refer_table_url", format!("cannot be used: {reason}"));
        }
        tables.url = Some(Secret::new(url));
    }
    set(&mut tables.interval, written.time("pipeline.refer_table_pull_interval"));
    tables.sqlite = written.bool("pipeline.use_sqlite") == Some(true);
    if tables.sqlite {
        warn("pipeline.use_sqlite", "has no effect: tables are held in memory, indexed".to_owned());
    }
    tables
}

fn http(written: &Written, report: Report<'_>) -> HttpRequestSettings {
    let truth = |name: &str| written.bool(&format!("pipeline.{name}")) == Some(true);
    let hosts = written.list("pipeline.http_request_host_whitelist").unwrap_or_default();
    let mut networks = Vec::new();
    for key in ["pipeline.http_request_cidr_whiltelist", "pipeline.http_request_cidr_whitelist"] {
        for text in written.list(key).unwrap_or_default() {
            match parse_network(&text) {
                Some(network) => networks.push(network),
                // Without it the list would allow something else than was meant.
                None => report(key, format!("must hold networks, as \"10.0.0.0/8\", not {text:?}")),
            }
        }
    }
    HttpRequestSettings {
        disabled: truth("disable_http_request_func"),
        hosts: hosts
            .into_iter()
            .map(|host| host.to_ascii_lowercase())
            .filter(|host| !host.is_empty())
            .collect(),
        networks,
        internal_forbidden: truth("http_request_disable_internal_net"),
    }
}
