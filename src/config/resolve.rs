//! From what was written to [`Settings`]: defaults by `compat`, cross checks, everything in plain types.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;

use super::{
    address::Address,
    collectors::{self, set},
    dialtesting::{self, Reports},
    go_pull, pipeline, profiling,
    read::{Problem, Shards, Written, read},
    schema,
    secret::{Endpoint, Secret},
    settings::{
        Ack, ArchiveSettings, BodyFormat, Compat, Compression, DATA_DIR, DatawaySettings, Destination, Full,
        LISTENERS, Listener, LogFormat, RateLimit, SEGMENTS_MIN, SESSION_REPLAY, Settings, TlsFiles,
        UrlsMode,
    },
    units,
};

/// DataKit raises smaller values to this.
const MAX_RAW_BODY_BYTES_MIN: u64 = 102_400;

/// What a configuration is resolved against: the machine, and nothing read behind the caller's back.
pub struct Surroundings<'a> {
    pub var: &'a dyn Fn(&str) -> Option<String>,
    pub hostname: &'a str,
    /// The address this machine speaks from; asked for only where `$datakit_ip` is used.
    pub ip: &'a dyn Fn() -> Option<IpAddr>,
    /// The cores this process may run on.
    pub cores: &'a [usize],
}

/// Settings, and what a user should know about them.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    pub settings: Settings,
    pub warnings: Vec<Problem>,
}

/// Reads and checks a configuration; the empty text is the embedded default.
pub fn resolve(text: &str, around: &Surroundings<'_>) -> Result<Resolved, Vec<Problem>> {
    let (written, problems) = read(text, around.var);
    let mut resolver = Resolver { written, around, problems, warnings: Vec::new() };
    let settings = resolver.settings();
    if resolver.problems.is_empty() {
        Ok(Resolved { settings, warnings: resolver.warnings })
    } else {
        resolver.problems.sort_by_key(|problem| problem.line);
        Err(resolver.problems)
    }
}

/// Segments are written with direct I/O, in whole blocks of the device.
const SEGMENT_ALIGN_BYTES: u64 = 4_096;
/// DataKit's rate, requests a second.
const RATE_RECORDED: f64 = 100.0;
/// The burst that DataKit documents.
const RATE_BURST: u32 = 500;
const RATE_TTL: Duration = Duration::from_secs(60);
/// A route is stored with every block: no token is nearly as long.
const TOKEN_BYTES_MAX: usize = 128;
/// The categories that filters are written for.
const FILTERED: [&str; 10] = [
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
];
/// DataKit's word for "discard", as the first URL.
const DEV_NULL: &str = "dev_null";

struct Resolver<'a> {
    written: Written,
    around: &'a Surroundings<'a>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Resolver<'_> {
    fn problem(&mut self, key: &str, text: impl AsRef<str>) {
        let line = self.written.line(key);
        self.problems.push(Problem { line, text: format!("{key} {}", text.as_ref()) });
    }

    fn warning(&mut self, key: &str, text: impl AsRef<str>) {
        let line = self.written.line(key);
        self.warnings.push(Problem { line, text: format!("{key} {}", text.as_ref()) });
    }

    fn settings(&mut self) -> Settings {
        let mut settings = Settings::default();
        let written = self.written.clone();
        if written.text("compat").as_deref() == Some("datakit-1.84") {
            settings.compat = Compat::Datakit184;
            settings.auto_timestamp_correction = true;
        }
        settings.data_dir = PathBuf::from(written.text("data_dir").unwrap_or_else(|| DATA_DIR.to_owned()));
        if settings.data_dir.as_os_str().is_empty() {
            self.problem("data_dir", "must not be empty");
        }
        settings.shards = self.shards();
        settings.ack = match written.text("ack").as_deref() {
            Some("memory") => Ack::Memory,
            Some("upstream") => Ack::Upstream,
            _ => Ack::Disk,
        };
        settings.hostname = self.hostname();
        self.http(&mut settings);
        self.limits(&mut settings);
        self.tags(&mut settings);
        set(&mut settings.auto_timestamp_correction, written.bool("io.auto_timestamp_correction"));
        set(&mut settings.filters.remote, written.bool("io.remote_filters"));
        settings.filters.local = self.filters();
        self.spool(&mut settings);
        self.rum(&mut settings);
        set(&mut settings.shutdown.delay, written.time("shutdown.delay"));
        set(&mut settings.shutdown.budget, written.time("shutdown.budget"));
        self.collectors(&mut settings);
        self.dialtesting(&mut settings);
        self.go_pulls(&mut settings);
        settings.destination = self.destination(&settings.data_dir);
        self.log(&mut settings);
        settings
    }

    fn shards(&mut self) -> Vec<usize> {
        let cores = self.around.cores;
        assert!(!cores.is_empty(), "BUG: a process runs on at least one core");
        match self.written.shards("shards").unwrap_or(Shards::Auto) {
            Shards::Auto => cores.to_vec(),
            Shards::Count(count) if count > cores.len() => {
                self.problem(
                    "shards",
                    format!("must be at most {}, the cores this process may use", cores.len()),
                );
                cores.to_vec()
            }
            Shards::Count(count) => cores[..count].to_vec(),
            Shards::Cores(list) => {
                if list.is_empty() {
                    self.problem("shards", "must name at least one core");
                }
                for (index, core) in list.iter().enumerate() {
                    if !cores.contains(core) {
                        self.problem(
                            "shards",
                            format!("names core {core}, but this process may use only {cores:?}"),
                        );
                    } else if list[..index].contains(core) {
                        self.problem("shards", format!("names core {core} twice"));
                    }
                }
                list
            }
        }
    }

    fn hostname(&mut self) -> String {
        let hostname = self.written.text("hostname").unwrap_or_else(|| self.around.hostname.to_owned());
        // It is sent in headers.
        if hostname.is_empty() || !hostname.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.problem("hostname", "must be a name without spaces, in ASCII");
        }
        hostname
    }

    fn http(&mut self, settings: &mut Settings) {
        let written = self.written.clone();
        let mut listen = Vec::new();
        let keys = [
            "http_api.listen",
            "intake.datadog.listen",
            "intake.skywalking.listen",
            "http_api.listen_socket",
        ];
        for (index, (name, key)) in LISTENERS.into_iter().zip(keys).enumerate() {
            let address = match written.text(key) {
                None => match settings.http.listen.get(index) {
                    Some(listener) => listener.address.clone(),
                    None => continue,
                },
                Some(text) if text.is_empty() && index > 0 => continue,
                Some(text) if name == "socket" && !text.starts_with('/') => {
                    self.problem(key, format!("must be an absolute path, not {text:?}"));
                    continue;
                }
                Some(text) => match parse_listen(&text) {
                    Ok(address) => address,
                    Err(reason) => {
                        self.problem(key, reason);
                        continue;
                    }
                },
            };
            let same = |other: &&Listener| other.address == address && address.is_one_s_own();
            if let Some(other) = listen.iter().find(same) {
                let other = LISTENERS.iter().position(|name| *name == other.name).map_or("", |at| keys[at]);
                self.problem(key, format!("is {address}, as {other} is; give them two ports"));
            }
            listen.push(Listener { name, address });
        }
        settings.http.listen = listen;
        set(&mut settings.http.timeout, written.time("http_api.timeout"));
        set(&mut settings.http.disable_404page, written.bool("http_api.disable_404page"));
        set(&mut settings.http.allowed_cors_origins, written.list("http_api.allowed_cors_origins"));
        settings.http.tls = self.tls();
        self.access(settings);
    }

    fn tls(&mut self) -> Option<TlsFiles> {
        let file = |key: &str| self.written.text(key).filter(|text| !text.is_empty()).map(PathBuf::from);
        let (cert, privkey) = (file("http_api.tls.cert"), file("http_api.tls.privkey"));
        let client_ca = file("http_api.tls.client_ca");
        match (cert, privkey) {
            (Some(cert), Some(privkey)) => Some(TlsFiles { cert, privkey, client_ca }),
            (None, None) if client_ca.is_none() => None,
            // Half of it must not mean plain text.
            (Some(_), None) => {
                self.problem("http_api.tls.cert", "needs privkey beside it");
                None
            }
            _ => {
                self.problem("http_api.tls", "needs cert and privkey");
                None
            }
        }
    }

    /// Who may ask, how often, and with which token.
    fn access(&mut self, settings: &mut Settings) {
        let written = self.written.clone();
        let recorded = settings.compat == Compat::Datakit184;
        let http = &mut settings.http;
        set(&mut http.public_apis, written.list("http_api.public_apis"));
        for text in written.list("http_api.trusted_proxies").unwrap_or_default() {
            match parse_network(&text) {
                Some(network) => http.trusted_proxies.push(network),
                None => {
                    let form = "must hold addresses or networks, as \"192.0.2.1\" or \"10.0.0.0/8\"";
                    self.problem("http_api.trusted_proxies", format!("{form}, not {text:?}"));
                }
            }
        }
        http.proxy_protocol = written.bool("http_api.proxy_protocol") == Some(true);
        if http.proxy_protocol && http.trusted_proxies.is_empty() {
            let reason = "needs http_api.trusted_proxies: from anybody else such a header is not believed";
            self.problem("http_api.proxy_protocol", reason);
        }
        let per_s = written.number("http_api.request_rate_limit");
        let per_s = per_s.unwrap_or(if recorded { RATE_RECORDED } else { 0.0 });
        let mut rate = RateLimit { per_s, burst: (!recorded).then_some(RATE_BURST), ttl: RATE_TTL };
        // The schema keeps it far below 2^32.
        set(
            &mut rate.burst,
            written.integer("http_api.request_rate_limit_burst").map(|burst| u32::try_from(burst).ok()),
        );
        set(&mut rate.ttl, written.time("http_api.request_rate_limit_ttl"));
        http.rate_limit = (per_s > 0.0).then_some(rate);
        http.token_routing = written.bool("http_api.token_routing").unwrap_or(!recorded);
        let tokens = written.list("http_api.tokens").unwrap_or_default();
        // They are sent in requests. What is wrong with one is said without repeating it.
        let is_token = |text: &String| {
            (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if let Some(index) = tokens.iter().position(|token| !is_token(token)) {
            let form = format!("must be 1 to {TOKEN_BYTES_MAX} letters, digits or signs, without spaces");
            self.problem("http_api.tokens", format!("number {}: {form}", index + 1));
        }
        if !tokens.is_empty() && !http.token_routing {
            self.warning("http_api.tokens", "is not used while http_api.token_routing is false");
        }
        http.tokens = tokens.into_iter().map(Secret::new).collect();
    }

    fn limits(&mut self, settings: &mut Settings) {
        let written = self.written.clone();
        let limits = &mut settings.limits;
        set(&mut limits.connections_max, written.integer("limits.connections_max").map(to_usize));
        set(&mut limits.body_bytes_max, written.size("limits.body_max").map(|bytes| bytes as usize));
        set(
            &mut limits.decoded_body_bytes_max,
            written.size("limits.decoded_body_max").map(|bytes| bytes as usize),
        );
        set(&mut limits.head_timeout, written.time("limits.head_timeout"));
        set(&mut limits.body_timeout, written.time("limits.body_timeout"));
        set(&mut limits.write_timeout, written.time("limits.write_timeout"));
        set(&mut limits.idle_timeout, written.time("limits.idle_timeout"));
        if written.bool("http_api.close_idle_connection") == Some(true) && !settings.http.timeout.is_zero() {
            limits.idle_timeout = limits.idle_timeout.min(settings.http.timeout);
        }
        if limits.decoded_body_bytes_max < limits.body_bytes_max {
            self.problem("limits.decoded_body_max", "must not be less than limits.body_max");
        }
    }

    fn tags(&mut self, settings: &mut Settings) {
        let mut host_tags = self.replaced("global_host_tags");
        // The documents let a configured host stand; DataKit attaches the real name whatever is configured.
        if settings.compat == Compat::Datakit184 {
            host_tags.retain(|(key, _)| key != "host");
        }
        if !host_tags.iter().any(|(key, _)| key == "host") {
            host_tags.push(("host".to_owned(), settings.hostname.clone()));
            host_tags.sort();
        }
        let election_tags = self.replaced("election.tags");
        settings.election = self.written.bool("election.enable") == Some(true);
        settings.global_election_tags = if settings.election {
            election_tags
        } else {
            if !election_tags.is_empty() {
                let text = "[election.tags] is not used while election.enable is false".to_owned();
                self.warnings.push(Problem { line: None, text });
            }
            host_tags.clone()
        };
        settings.global_host_tags = host_tags;
    }

    /// A table of tags with its placeholders replaced.
    fn replaced(&mut self, path: &str) -> Vec<(String, String)> {
        let mut tags = self.written.tags(path);
        for (key, value) in &mut tags {
            if key.is_empty() {
                self.problems
                    .push(Problem { line: None, text: format!("[{path}] holds a tag without a name") });
            }
            let lower = value.to_ascii_lowercase();
            let Some(placeholder) = lower.strip_prefix("__").or_else(|| lower.strip_prefix('$')) else {
                continue;
            };
            let replacement = match placeholder {
                "datakit_hostname" => Some(self.around.hostname.to_owned()),
                "datakit_ip" => (self.around.ip)().map(|ip| ip.to_string()),
                "datakit_uuid" | "datakit_id" => None,
                _ => continue,
            };
            match replacement {
                Some(text) => *value = text,
                None => {
                    let text = format!("{path}.{key}: there is no value for {value} on this machine");
                    self.problems.push(Problem { line: None, text });
                }
            }
        }
        tags
    }

    fn spool(&mut self, settings: &mut Settings) {
        let written = self.written.clone();
        let spool = &mut settings.spool;
        spool.dir = settings.data_dir.join("spool");
        set(&mut spool.segment_bytes, written.size("spool.segment_size"));
        if !spool.segment_bytes.is_multiple_of(SEGMENT_ALIGN_BYTES) {
            self.problem("spool.segment_size", format!("must be a multiple of {SEGMENT_ALIGN_BYTES} bytes"));
        }
        let datakit = written.number("dataway.wal.max_capacity_gb");
        let own = written.size("spool.capacity");
        if datakit.is_some() && own.is_some() {
            self.problem(
                "dataway.wal.max_capacity_gb",
                "and spool.capacity say the same thing; keep one of them",
            );
        }
        set(&mut spool.capacity_bytes, datakit.map(|gib| (gib * (1_u64 << 30) as f64) as u64));
        set(&mut spool.capacity_bytes, own);
        let least = SEGMENTS_MIN * spool.segment_bytes;
        let too_small =
            format!("must be at least {}, which is {SEGMENTS_MIN} segments", units::show_size(least));
        if spool.capacity_bytes < least {
            self.problem(
                if datakit.is_some() { "dataway.wal.max_capacity_gb" } else { "spool.capacity" },
                &too_small,
            );
        }
        for key in schema::find_table("spool.capacity_of").map_or(&[][..], |table| table.keys) {
            let full = schema::full_name("spool.capacity_of", key.name);
            if let Some(bytes) = written.size(&full) {
                if bytes < least {
                    self.problem(&full, &too_small);
                }
                spool.capacity_bytes_of.push((key.name, bytes));
            }
        }
        let keys_of = |table| schema::find_table(table).map_or(&[][..], |table| table.keys);
        for key in keys_of("spool.priority_of") {
            let priority = written.integer(&schema::full_name("spool.priority_of", key.name));
            let priority = priority.and_then(|priority| u8::try_from(priority).ok());
            spool.priority_of.extend(priority.map(|priority| (key.name, priority)));
        }
        // Zero is for ever.
        let age = |age: Duration| (!age.is_zero()).then_some(age);
        spool.max_age = written.time("spool.max_age").and_then(age);
        for key in keys_of("spool.max_age_of") {
            let written = written.time(&schema::full_name("spool.max_age_of", key.name));
            spool.max_age_of.extend(written.map(|written| (key.name, age(written))));
        }
        spool.total_capacity_bytes = written.size("spool.total_capacity");
        set(&mut spool.reserve_bytes, written.size("spool.reserve"));
        if written.text("spool.full").as_deref() == Some("evict_oldest") {
            spool.full = Full::EvictOldest;
        }
        set(&mut spool.tail_cache_bytes, written.size("spool.tail_cache").map(|bytes| bytes as usize));
    }

    fn rum(&mut self, settings: &mut Settings) {
        let written = self.written.clone();
        let rum = &mut settings.rum;
        set(&mut rum.app_ids, written.list("rum.rum_app_id_white_list"));
        set(&mut rum.measurements, written.list("rum.measurements"));
        if rum.measurements.is_empty() {
            self.problem("rum.measurements", "must name at least one: without any, every request is refused");
        }
        set(&mut rum.origin_ip_header, written.text("rum.rum_origin_ip_header"));
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if rum.origin_ip_header.is_empty() || !rum.origin_ip_header.bytes().all(is_token) {
            self.problem("rum.rum_origin_ip_header", "must be the name of a header");
        }
        let file = |key: &str| written.text(key).filter(|path| !path.is_empty()).map(PathBuf::from);
        rum.geoip_database = file("rum.geoip_database");
        rum.isp_database = file("rum.isp_database");
        let maps = &mut rum.sourcemap;
        set(&mut maps.enabled, written.bool("rum.sourcemap.enabled"));
        set(&mut maps.capacity_bytes, written.size("rum.sourcemap.capacity"));
        set(&mut maps.cache_bytes, written.size("rum.sourcemap.cache").map(|bytes| bytes as usize));
        set(&mut maps.wait, written.time("rum.sourcemap.wait"));
        set(&mut maps.tool_timeout, written.time("rum.sourcemap.tool_timeout"));
        set(&mut maps.tool_runs, written.integer("rum.sourcemap.tool_runs").map(|runs| runs as usize));
        maps.android_cmdline_home = file("rum.sourcemap.android_cmdline_home");
        maps.proguard_home = file("rum.sourcemap.proguard_home");
        maps.ndk_home = file("rum.sourcemap.ndk_home");
        maps.atos_bin_path = file("rum.sourcemap.atos_bin_path");
        if let Some(bytes) = written.size("rum.replay_capacity") {
            let least = SEGMENTS_MIN * settings.spool.segment_bytes;
            if bytes < least {
                let text =
                    format!("must be at least {}, which is {SEGMENTS_MIN} segments", units::show_size(least));
                self.problem("rum.replay_capacity", text);
            }
            settings.spool.capacity_bytes_of.retain(|(name, _)| *name != SESSION_REPLAY);
            settings.spool.capacity_bytes_of.push((SESSION_REPLAY, bytes));
        }
    }

    fn collectors(&mut self, settings: &mut Settings) {
        let written = self.written.clone();
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let mut report = |key: &str, text: String| problems.push((key.to_owned(), text));
        let mut warn = |key: &str, text: String| warnings.push((key.to_owned(), text));
        settings.datadog = collectors::datadog(&written, &mut report);
        settings.skywalking = collectors::skywalking(&written, &mut report);
        settings.profiling = profiling::profiling(&written, &mut settings.spool, &mut report);
        settings.otlp = collectors::otlp(&written, &mut report);
        settings.zipkin = collectors::zipkin(&written, &mut report);
        settings.pipeline = pipeline::pipeline(&written, &settings.data_dir, &mut report, &mut warn);
        for (key, text) in warnings {
            self.warning(&key, text);
        }
        for (key, text) in problems {
            // Names in a free table, and tables themselves, are not in the schema.
            let line = written.line_of(&key);
            self.problems.push(Problem { line, text: format!("{key} {text}") });
        }
    }

    fn dialtesting(&mut self, settings: &mut Settings) {
        let written = self.written.clone();
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let reports = Reports {
            problem: &mut |key, text| problems.push((key.to_owned(), text)),
            warning: &mut |key, text| warnings.push((key.to_owned(), text)),
        };
        settings.dialtesting = dialtesting::dialtesting(&written, settings.compat, self.around.var, reports);
        for (key, text) in problems {
            self.problem(&key, text);
        }
        // Variables have no line.
        let warnings =
            warnings.into_iter().map(|(key, text)| Problem { line: None, text: format!("{key} {text}") });
        self.warnings.extend(warnings);
    }

    fn go_pulls(&mut self, settings: &mut Settings) {
        let mut reports = go_pull::Reports::new(&self.written);
        settings.go_pulls = go_pull::go_pulls(&mut reports);
        let (problems, warnings) = reports.into_parts();
        self.problems.extend(problems);
        self.warnings.extend(warnings);
    }

    fn destination(&mut self, data_dir: &Path) -> Destination {
        let urls = self.written.list("dataway.urls").unwrap_or_default();
        let discard = urls.first().is_some_and(|url| url == DEV_NULL);
        match self.written.text("destination").as_deref() {
            Some("blackhole") => Destination::Blackhole,
            Some("archive") => {
                if !urls.is_empty() {
                    self.warning("dataway.urls", "is not used: destination is \"archive\"");
                }
                self.archive(data_dir)
            }
            Some("dataway") if urls.is_empty() => {
                self.problem("destination", "is \"dataway\", but dataway.urls names none");
                Destination::Blackhole
            }
            _ if discard => Destination::Blackhole,
            _ if urls.is_empty() => self.archive(data_dir),
            _ => self.dataway(&urls),
        }
    }

    /// What a variable of DataKit's says; an empty one says nothing.
    fn variable(&self, name: &str) -> Option<String> {
        (self.around.var)(name).filter(|value| !value.is_empty())
    }

    /// Rules by category. One that cannot be read is left out when they are put in force, and told of.
    fn filters(&mut self) -> Vec<(String, Vec<String>)> {
        const PATH: &str = "io.filters";
        const VARIABLE: &str = "ENV_IO_FILTERS";
        if let Some(text) = self.variable(VARIABLE) {
            type Filters = std::collections::BTreeMap<String, Vec<String>>;
            return match serde_json::from_str::<Filters>(&text) {
                Ok(filters) => filters.into_iter().filter(|(_, rules)| !rules.is_empty()).collect(),
                Err(error) => {
                    let text = format!("{VARIABLE} must be categories with lists of rules, as JSON: {error}");
                    self.problems.push(Problem { line: None, text });
                    Vec::new()
                }
            };
        }
        let mut filters = self.written.lists(PATH);
        for (category, _) in &filters {
            if !FILTERED.contains(&category.as_str()) {
                let key = format!("{PATH}.{category}");
                let (line, known) = (self.written.line_of(&key), FILTERED.join(", "));
                self.problems.push(Problem { line, text: format!("{key} is no category: {known}") });
            }
        }
        filters.retain(|(_, rules)| !rules.is_empty());
        filters
    }

    /// The keys of the sinker, if it is on.
    fn sinker(&mut self) -> Option<Vec<String>> {
        let on = self.variable("ENV_DATAWAY_ENABLE_SINKER").is_some()
            || self.written.bool("dataway.enable_sinker") == Some(true);
        let keys = match self.variable("ENV_SINKER_GLOBAL_CUSTOMER_KEYS") {
            Some(list) => list.split(',').map(|key| key.trim().to_owned()).collect(),
            None => self.written.list("dataway.global_customer_keys").unwrap_or_default(),
        };
        if !on && !keys.is_empty() {
            self.warning("dataway.global_customer_keys", "is not used while dataway.enable_sinker is false");
        }
        on.then(|| keys.into_iter().filter(|key| !key.is_empty()).collect())
    }

    fn archive(&mut self, data_dir: &Path) -> Destination {
        let dir = self.written.text("archive.dir").filter(|dir| !dir.is_empty());
        let dir = dir.map_or_else(|| data_dir.join("archive"), PathBuf::from);
        let mut archive = ArchiveSettings { dir, rotate_bytes: 64 << 20 };
        set(&mut archive.rotate_bytes, self.written.size("archive.rotate_size"));
        Destination::Archive(archive)
    }

    fn dataway(&mut self, urls: &[String]) -> Destination {
        let mut endpoints: Vec<Endpoint> = Vec::with_capacity(urls.len());
        for (index, url) in urls.iter().enumerate() {
            // The URL itself is not repeated: it holds the token.
            match Endpoint::parse(url) {
                Ok(endpoint) if endpoints.contains(&endpoint) => {
                    self.problem("dataway.urls", format!("names {endpoint} twice"));
                }
                Ok(endpoint) => endpoints.push(endpoint),
                Err(reason) => self.problem("dataway.urls", format!("number {}: {reason}", index + 1)),
            }
        }
        let mut dataway = DatawaySettings::new(endpoints);
        let written = self.written.clone();
        if matches!(written.text("dataway.content_encoding").as_deref(), Some("v1" | "line-protocol")) {
            dataway.format = BodyFormat::LineProtocol;
        }
        let own = written.text("dataway.compression");
        let gzip = written.bool("dataway.gzip");
        match (own.as_deref(), gzip) {
            (Some("gzip"), Some(false)) | (Some("zstd" | "identity"), Some(true)) => {
                self.problem(
                    "dataway.gzip",
                    "and dataway.compression contradict each other; keep compression",
                );
            }
            _ => {}
        }
        dataway.compression = match own.as_deref() {
            Some("zstd") => Compression::Zstd,
            Some("identity") => Compression::Identity,
            None if gzip == Some(false) => Compression::Identity,
            _ => Compression::Gzip,
        };
        set(&mut dataway.joined_members, written.bool("dataway.joined_members"));
        if let Some(bytes) = written.size("dataway.max_raw_body_size") {
            if bytes < MAX_RAW_BODY_BYTES_MIN {
                self.warning("dataway.max_raw_body_size", format!("is raised to {MAX_RAW_BODY_BYTES_MIN}"));
            }
            dataway.max_raw_body_bytes = bytes.max(MAX_RAW_BODY_BYTES_MIN) as usize;
        }
        set(&mut dataway.timeout, written.time("dataway.timeout_v2"));
        if written.integer("dataway.max_retry_count").is_some() {
            self.warning("dataway.max_retry_count", "has no effect: a package is tried until it is taken");
        }
        set(&mut dataway.retry_delay, written.time("dataway.retry_delay"));
        set(&mut dataway.retry_delay_max, written.time("dataway.retry_delay_max"));
        if dataway.retry_delay_max < dataway.retry_delay {
            self.problem("dataway.retry_delay_max", "must not be less than dataway.retry_delay");
        }
        set(&mut dataway.workers, written.integer("dataway.workers").map(to_usize));
        if written.text("dataway.mode").as_deref() == Some("failover") {
            dataway.mode = UrlsMode::Failover;
        }
        set(&mut dataway.backlog_bytes_per_s, written.size("dataway.backlog_rate"));
        set(
            &mut dataway.max_idle_conns_per_host,
            written.integer("dataway.max_idle_conns_per_host").map(to_usize),
        );
        set(&mut dataway.idle_timeout, written.time("dataway.idle_timeout"));
        set(&mut dataway.tls_insecure, written.bool("dataway.tls_insecure"));
        if dataway.tls_insecure {
            self.warning(
                "dataway.tls_insecure",
                "is on: whoever is between can read and change what is sent",
            );
        }
        dataway.sinker_keys = self.sinker();
        Destination::Dataway(dataway)
    }

    fn log(&mut self, settings: &mut Settings) {
        set(&mut settings.log.level, self.written.text("log.level"));
        if !settings.log.level.split(',').all(is_log_directive) {
            self.problem(
                "log.level",
                "must be error, warn, info, debug or trace, or by module, as \"info,kitgate::spool=debug\"",
            );
        }
        if self.written.text("log.format").as_deref() == Some("json") {
            settings.log.format = LogFormat::Json;
        }
    }
}

/// The schema has refused what is negative.
fn to_usize(number: i64) -> usize {
    number.unsigned_abs() as usize
}

/// `address:port`, with `localhost` replaced as DataKit does.
fn parse_listen(text: &str) -> Result<Address, String> {
    if text.starts_with('/') {
        return Ok(Address::Unix(text.into()));
    }
    let address = text.replace("localhost", "127.0.0.1");
    address.parse().map(Address::Tcp).map_err(|_| {
        format!("must be an address and a port, as \"127.0.0.1:9529\" or \"[::]:9529\", not {text:?}")
    })
}

/// `10.0.0.0/8`, or one address.
pub(super) fn parse_network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.map(|network| network.trunc())
}

fn is_log_directive(directive: &str) -> bool {
    let is_level = |level: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&level);
    match directive.split_once('=') {
        Some((module, level)) => {
            !module.is_empty()
                && module.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'))
                && is_level(level)
        }
        None => is_level(directive),
    }
}
