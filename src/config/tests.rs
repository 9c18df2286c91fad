//! A configuration as a user writes it, against what comes out or what is said about it.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use super::{
    doc,
    schema::{self, Kind, TABLES},
    *,
};

fn var(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("tkn_secret0123456789".to_owned()),
        "WORKERS" => Some("7".to_owned()),
        "GZIP" => Some("false".to_owned()),
        "BAD" => Some("hunter2".to_owned()),
        "SHARDS" => Some("2".to_owned()),
        "EVIL" => Some("x\"\n[limits]\nconnections_max = 1\n#".to_owned()),
        _ => None,
    }
}

fn around() -> Surroundings<'static> {
    Surroundings {
        var: &var,
        hostname: "localhost",
        ip: &|| Some(IpAddr::from([192, 0, 2, 7])),
        cores: &[0, 1, 3],
    }
}

fn settings(text: &str) -> Settings {
    resolve(text, &around()).unwrap_or_else(|problems| panic!("{text}: {problems:?}")).settings
}

/// The problems, as printed after the file's name.
fn problems(text: &str) -> Vec<String> {
    match resolve(text, &around()) {
        Ok(resolved) => panic!("{text} is accepted: {resolved:?}"),
        Err(problems) => problems.iter().map(Problem::to_string).collect(),
    }
}

fn problem(text: &str) -> String {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].clone()
}

fn dataway(text: &str) -> DatawaySettings {
    match settings(text).destination {
        Destination::Dataway(dataway) => dataway,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_written_is_the_embedded_default() {
    assert_eq!(settings(""), Settings { shards: vec![0, 1, 3], ..Settings::default() });
}

#[test]
fn the_example_of_the_readme() {
    let text = r#"
        compat   = "documented"
        data_dir = "/var/lib/kitgate"
        shards   = [0, 3]
        ack      = "upstream"
        [http_api]
        listen = "localhost:9529"
        [dataway]
        urls = ["http://127.0.0.1:9528?token=${TOKEN}"]
        [global_host_tags]
        host = "edge-1"
        [intake.datadog]
        listen = "[::1]:8126"
        [intake.skywalking]
        listen = ""
    "#;
    let settings = settings(text);
    assert_eq!(settings.shards, [0, 3]);
    assert_eq!(settings.ack, Ack::Upstream);
    assert_eq!(settings.spool.dir, PathBuf::from("/var/lib/kitgate/spool"));
    let listen: Vec<String> = settings
        .http
        .listen
        .iter()
        .map(|listener| format!("{} {}", listener.name, listener.address))
        .collect();
    assert_eq!(listen, ["datakit 127.0.0.1:9529", "datadog [::1]:8126"]);
    assert_eq!(settings.global_host_tags, [("host".to_owned(), "edge-1".to_owned())]);
    assert_eq!(settings.global_election_tags, settings.global_host_tags);
    match settings.destination {
        Destination::Dataway(dataway) => {
            assert_eq!(dataway.urls[0].query.expose(), "token=tkn_secret0123456789");
            assert_eq!(dataway.urls[0].to_string(), "http://127.0.0.1:9528?token=tkn_***");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn datakit_keys_keep_their_meaning() {
    let text = r#"
        compat = "datakit-1.84"
        [http_api]
        timeout = "1m30s"
        disable_404page = true
        allowed_cors_origins = ["https://a.example"]
        close_idle_connection = true
        [dataway]
        urls = ["https://h?token=tkn_x", "https://i"]
        timeout_v2 = "10s"
        max_retry_count = 3
        retry_delay = "200ms"
        max_idle_conns_per_host = 8
        idle_timeout = "1m"
        content_encoding = "protobuf"
        gzip = false
        max_raw_body_size = 1000
        tls_insecure = true
        [dataway.wal]
        max_capacity_gb = 0.5
        [global_host_tags]
        host = "other"
        node = "__datakit_hostname"
        ip = "$DataKit_IP"
        [election]
        enable = true
        [election.tags]
        cluster = "c"
        [io]
        auto_timestamp_correction = false
    "#;
    let settings = settings(text);
    assert_eq!(settings.compat, Compat::Datakit184);
    assert_eq!(settings.http.timeout, Duration::from_secs(90));
    assert_eq!(settings.limits.idle_timeout, Duration::from_secs(90));
    assert!(settings.http.disable_404page && !settings.auto_timestamp_correction);
    assert_eq!(settings.spool.capacity_bytes("metric"), 512 << 20);
    // The real name, whatever is configured.
    let tags: Vec<String> =
        settings.global_host_tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(tags, ["host=localhost", "ip=192.0.2.7", "node=localhost"]);
    assert_eq!(settings.global_election_tags, [("cluster".to_owned(), "c".to_owned())]);
    let dataway = dataway(text);
    assert_eq!((dataway.compression, dataway.format), (Compression::Identity, BodyFormat::Protobuf));
    assert_eq!(dataway.max_raw_body_bytes, 102_400);
    assert_eq!(dataway.retry_delay, Duration::from_millis(200));
    assert_eq!((dataway.max_idle_conns_per_host, dataway.idle_timeout), (8, Duration::from_secs(60)));
    assert!(dataway.tls_insecure);
    let warnings = resolve(text, &around()).unwrap().warnings;
    assert_eq!(warnings.len(), 3, "{warnings:?}");
}

#[test]
fn several_urls_get_everything_or_take_over_from_each_other() {
    let of = |keys: &str| dataway(&format!("[dataway]\nurls = [\"http://h\", \"http://i\"]\n{keys}"));
    assert_eq!((of("").mode, of("").backlog_bytes_per_s), (UrlsMode::Replicate, 32 << 20));
    let other = of("mode = \"failover\"\nbacklog_rate = \"1MiB\"");
    assert_eq!((other.mode, other.backlog_bytes_per_s), (UrlsMode::Failover, 1 << 20));
    assert_eq!(of("backlog_rate = 0").backlog_bytes_per_s, 0);
}

#[test]
fn both_body_formats_have_two_names() {
    for (word, format) in [
        ("v1", BodyFormat::LineProtocol),
        ("line-protocol", BodyFormat::LineProtocol),
        ("v2", BodyFormat::Protobuf),
        ("protobuf", BodyFormat::Protobuf),
    ] {
        let text = format!("[dataway]\nurls = [\"http://h\"]\ncontent_encoding = {word:?}");
        assert_eq!(dataway(&text).format, format);
    }
}

#[test]
fn compat_switches_defaults_only() {
    assert!(settings("compat = \"datakit-1.84\"").auto_timestamp_correction);
    assert!(!settings("").auto_timestamp_correction);
    assert!(settings("[io]\nauto_timestamp_correction = true").auto_timestamp_correction);
}

#[test]
fn dial_tests_are_off_and_keep_out_of_internal_networks() {
    let of = |text: &str| settings(text).dialtesting;
    assert_eq!(of(""), DialtestingSettings::default());
    assert_eq!(
        of(""),
        DialtestingSettings { enabled: false, internal_forbidden: true, internal_networks: Vec::new() }
    );
    assert!(!of("compat = \"datakit-1.84\"").internal_forbidden);
    let written = of(
        "compat = \"datakit-1.84\"\n[dialtesting]\nenable_debug_api = true\ndisable_internal_network_task = true\n\
         disabled_internal_network_cidr_list = [\"10.1.2.3/8\", \"::1\"]",
    );
    let networks: Vec<String> = written.internal_networks.iter().map(ToString::to_string).collect();
    assert!(written.enabled && written.internal_forbidden);
    assert_eq!(networks, ["10.0.0.0/8", "::1/128"]);
    assert!(!of("[dialtesting]\ndisable_internal_network_task = false").internal_forbidden);
    assert_eq!(
        problem("[dialtesting]\ndisabled_internal_network_cidr_list = [\"x\"]"),
        "2: dialtesting.disabled_internal_network_cidr_list must hold networks, as \"10.0.0.0/8\", not \"x\""
    );

    let set = |name: &str| {
        Some(match name {
            "ENV_INPUT_DIALTESTING_ENABLE_DEBUG_API" => "T".to_owned(),
            "ENV_INPUT_DIALTESTING_DISABLE_INTERNAL_NETWORK_TASK" => "0".to_owned(),
            "ENV_INPUT_DIALTESTING_DISABLED_INTERNAL_NETWORK_CIDR_LIST" => {
                "[\"10.0.0.0/8\",\"nix\"]".to_owned()
            }
            _ => return None,
        })
    };
    let resolved = resolve("", &Surroundings { var: &set, ..around() }).unwrap();
    let dialtesting = resolved.settings.dialtesting;
    assert!(dialtesting.enabled && !dialtesting.internal_forbidden);
    assert_eq!(dialtesting.internal_networks.len(), 1);
    assert_eq!(resolved.warnings.len(), 1, "{:?}", resolved.warnings);
    let file = "[dialtesting]\nenable_debug_api = false\ndisable_internal_network_task = true";
    let resolved = resolve(file, &Surroundings { var: &set, ..around() }).unwrap().settings.dialtesting;
    assert!(!resolved.enabled && resolved.internal_forbidden);
    let odd = |name: &str| name.starts_with("ENV_INPUT_DIALTESTING").then(|| "yes".to_owned());
    let resolved = resolve("", &Surroundings { var: &odd, ..around() }).unwrap();
    assert_eq!((resolved.settings.dialtesting, resolved.warnings.len()), (DialtestingSettings::default(), 3));
}

#[test]
fn destinations() {
    assert_eq!(settings("destination = \"blackhole\"").destination, Destination::Blackhole);
    assert_eq!(settings("[dataway]\nurls = [\"dev_null\"]").destination, Destination::Blackhole);
    let archive = settings("data_dir = \"/d\"\n[archive]\nrotate_size = \"1MiB\"").destination;
    assert_eq!(
        archive,
        Destination::Archive(ArchiveSettings { dir: "/d/archive".into(), rotate_bytes: 1 << 20 })
    );
    assert_eq!(
        problem("destination = \"dataway\""),
        "1: destination is \"dataway\", but dataway.urls names none"
    );
    let both = resolve("destination = \"archive\"\n[dataway]\nurls = [\"http://h\"]", &around()).unwrap();
    assert_eq!(both.warnings[0].to_string(), "3: dataway.urls is not used: destination is \"archive\"");
}

#[test]
fn variables_stay_inside_their_value() {
    let text = "hostname = \"h\"\n[global_host_tags]\nx = \"${EVIL}\"";
    let settings = settings(text);
    assert_eq!(settings.limits, Settings::default().limits);
    assert!(settings.global_host_tags.iter().any(|(_, value)| value.contains("[limits]")));
    // A variable may stand for a number or a truth value; plain text may not.
    let dataway = dataway("[dataway]\nurls = [\"http://h\"]\nworkers = \"${WORKERS}\"\ngzip = \"${GZIP}\"");
    assert_eq!((dataway.workers, dataway.compression), (7, Compression::Identity));
    assert_eq!(self::settings("shards = \"${SHARDS}\"").shards, [0, 1]);
    assert!(problem("[dataway]\nworkers = \"7\"").ends_with("must be a whole number from 1 to 64, not text"));
    assert!(problem("hostname = \"${NOT_SET}\"").contains("the variable NOT_SET is not set"));
}

#[test]
fn unknown_keys_name_line_and_neighbour() {
    for (text, expected) in [
        ("shard = 1", "1: unknown key \"shard\"; did you mean \"shards\"?"),
        ("\n\n[http_apy]\n", "3: unknown key \"http_apy\"; did you mean \"http_api\"?"),
        ("[dataway]\n\nurl = []", "3: unknown key \"url\" in [dataway]; did you mean \"urls\"?"),
        ("listen = \"x\"", "1: unknown key \"listen\"; there is one in [http_api]"),
        ("[dataway]\ncompat = \"x\"", "2: unknown key \"compat\" in [dataway]; there is one at the top"),
        ("[spool.priority_of]\nmetric = 10", "2: spool.priority_of.metric must be from 0 to 9, not 10"),
        ("[spool.capacity_of]\nlog = 1", "2: unknown key \"log\" in [spool.capacity_of]"),
        (
            "[intake.datadgo]\nlisten = \"x\"",
            "1: unknown key \"datadgo\" in [intake]; did you mean \"datadog\"?",
        ),
        ("[profiles]\n", "1: unknown key \"profiles\""),
        ("http_api = 3", "1: http_api must be a table, not a whole number"),
    ] {
        assert_eq!(problem(text), expected, "{text}");
    }
}

#[test]
fn bad_values_say_what_is_wanted() {
    for (text, expected) in [
        (
            "ack = \"dsik\"",
            "1: ack must be one of \"memory\", \"disk\", \"upstream\", not \"dsik\"; did you mean \"disk\"?",
        ),
        ("ack = 3", "1: ack must be one of \"memory\", \"disk\", \"upstream\""),
        (
            "[http_api]\ntimeout = 30",
            "2: http_api.timeout must be a time with its unit, as \"30s\", \"1m30s\" or \"200ms\", not a number without a unit",
        ),
        (
            "[http_api]\ntimeout = \"30\"",
            "2: http_api.timeout must be a time with its unit, as \"30s\", \"1m30s\" or \"200ms\", not \"30\"",
        ),
        ("[limits]\nhead_timeout = \"0s\"", "2: limits.head_timeout must be more than 0"),
        (
            "[spool]\ncapacity = \"10XB\"",
            "2: spool.capacity must be a size, as \"64MiB\", \"1GB\" or a number of bytes, not \"10XB\"",
        ),
        ("[spool]\nsegment_size = 4096", "2: spool.segment_size must be at least 1MiB"),
        ("[spool]\nsegment_size = 1048577", "2: spool.segment_size must be a multiple of 4096 bytes"),
        ("[spool]\ncapacity = \"40MiB\"", "2: spool.capacity must be at least 64MiB, which is 2 segments"),
        (
            "[spool.capacity_of]\nrum = \"40MiB\"",
            "2: spool.capacity_of.rum must be at least 64MiB, which is 2 segments",
        ),
        (
            "[http_api]\ndisable_404page = \"yes\"",
            "2: http_api.disable_404page must be true or false, not text",
        ),
        ("[dataway]\nurls = \"http://h\"", "2: dataway.urls must be a list of texts, as [\"…\"], not text"),
        ("[dataway]\nurls = [1]", "2: dataway.urls must hold only texts, not a whole number"),
        ("[dataway]\nmax_retry_count = 11", "2: dataway.max_retry_count must be from 1 to 10, not 11"),
        ("[global_host_tags]\na = 1", "2: global_host_tags.a must be text, not a whole number"),
        ("shards = 4", "1: shards must be at most 3, the cores this process may use"),
        ("shards = [2]", "1: shards names core 2, but this process may use only [0, 1, 3]"),
        ("shards = [1, 1]", "1: shards names core 1 twice"),
        ("shards = []", "1: shards must name at least one core"),
        ("shards = 0", "1: shards must be \"auto\", a number above 0, or a list of cores, as [0, 2]"),
        (
            "[http_api]\nlisten = \"host:80\"",
            "2: http_api.listen must be an address and a port, as \"127.0.0.1:9529\" or \"[::]:9529\", not \"host:80\"",
        ),
        (
            "[http_api]\nlisten_socket = \"run/kitgate.sock\"",
            "2: http_api.listen_socket must be an absolute path, not \"run/kitgate.sock\"",
        ),
        ("[http_api.tls]\ncert = \"c\"", "2: http_api.tls.cert needs privkey beside it"),
        (
            "[http_api]\nproxy_protocol = true",
            "2: http_api.proxy_protocol needs http_api.trusted_proxies: from anybody else such a header is not believed",
        ),
        (
            "[http_api]\nlisten = \"127.0.0.1:8126\"",
            " intake.datadog.listen is 127.0.0.1:8126, as http_api.listen is; give them two ports",
        ),
        ("[limits]\nbody_max = \"1GiB\"", " limits.decoded_body_max must not be less than limits.body_max"),
        (
            "[log]\nlevel = \"loud\"",
            "2: log.level must be error, warn, info, debug or trace, or by module, as \"info,kitgate::spool=debug\"",
        ),
        ("hostname = \"a b\"", "1: hostname must be a name without spaces, in ASCII"),
        (
            "[global_host_tags]\nid = \"$datakit_uuid\"",
            " global_host_tags.id: there is no value for $datakit_uuid on this machine",
        ),
        ("data_dir = \"\"", "1: data_dir must not be empty"),
        (
            "[dataway]\nurls = [\"http://h\"]\ngzip = false\ncompression = \"gzip\"",
            "3: dataway.gzip and dataway.compression contradict each other; keep compression",
        ),
        (
            "[spool]\ncapacity = \"1GiB\"\n[dataway.wal]\nmax_capacity_gb = 1",
            "4: dataway.wal.max_capacity_gb and spool.capacity say the same thing; keep one of them",
        ),
    ] {
        assert_eq!(problem(text), expected, "{text}");
    }
}

#[test]
fn all_problems_are_shown_in_order() {
    let problems = problems("shard = 1\nack = 1\n[dataway]\nurls = [\"ftp://x\"]\n[log]\nlevel = \"loud\"");
    let lines: Vec<&str> = problems.iter().map(|problem| problem.split(':').next().unwrap()).collect();
    assert_eq!(lines, ["1", "2", "4", "6"]);
}

#[test]
fn broken_toml_names_its_line() {
    for (text, line) in [("a = 1\nb = ", "2: "), ("x", "1: "), ("a = 1\na = 2", "2: "), ("[a\n", "1: ")] {
        assert!(problem(text).starts_with(line), "{text}: {}", problem(text));
    }
}

#[test]
fn problems_never_repeat_a_secret() {
    for text in [
        "[dataway]\nurls = [\"ftp://h?token=tkn_secret0123456789\"]",
        "[dataway]\nurls = \"http://h?token=tkn_secret0123456789\"",
        "[dataway]\nurls = [\"${TOKEN}\"]",
        "ack = \"${BAD}\"",
        "[http_api]\ntimeout = \"${BAD}\"",
        "[dataway]\nworkers = \"${BAD}\"",
    ] {
        let text = problem(text);
        assert!(!text.contains("secret") && !text.contains("hunter2"), "{text}");
    }
    let twice = problem("[dataway]\nurls = [\"http://h?token=${TOKEN}\", \"http://h?token=${TOKEN}\"]");
    assert_eq!(twice, "2: dataway.urls names http://h?token=tkn_*** twice");
    let settings = settings("[dataway]\nurls = [\"http://h?token=${TOKEN}\"]");
    assert!(!format!("{settings:?}").contains("secret"));
}

/// The reference with the `#` of every key taken away, and, where asked for, of the examples too.
fn uncommented(examples: bool) -> String {
    let mut table = "";
    let mut out = String::new();
    for line in reference_lines() {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_end_matches(']');
        }
        let key = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') && rest.contains(" = "));
        let name = key.and_then(|key| key.split(" = ").next());
        let known = name.and_then(|name| schema::find_table(table)?.find(name));
        match (key, known) {
            (Some(key), Some(known)) if examples || !known.example => out.push_str(key),
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

fn reference_lines() -> impl Iterator<Item = &'static str> {
    static REFERENCE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    REFERENCE.get_or_init(doc::reference).lines()
}

#[test]
fn the_reference_says_the_defaults() {
    let default = settings("");
    assert_eq!(settings(&doc::reference()), default);
    let written = uncommented(false);
    // Two names for one thing contradict each other by intention; the reference shows both.
    let written = written.replace("max_capacity_gb = 2.0\n", "");
    assert_eq!(settings(&written), default);
    let keys = TABLES.iter().flat_map(|table| table.keys).filter(|key| !key.example).count();
    let lines = written.lines().filter(|line| !line.starts_with('#') && line.contains(" = ")).count();
    assert_eq!(lines + 1, keys, "{written}");
    // With a destination, so that [dataway]'s defaults are seen too.
    let with_urls = written.replace("[dataway]\n", "[dataway]\nurls = [\"http://h\"]\n");
    assert_eq!(settings(&with_urls), settings("[dataway]\nurls = [\"http://h\"]"));
    assert_eq!(
        dataway("[dataway]\nurls = [\"http://h\"]\n[dataway.wal]\nmax_capacity_gb = 2.0"),
        dataway(&with_urls)
    );
}

#[test]
fn the_examples_are_accepted() {
    let text = uncommented(true).replace("max_capacity_gb = 2.0\n", "").replace("DATAWAY_TOKEN", "TOKEN");
    assert_eq!(settings(&text).spool.capacity_bytes("logging"), 10 << 30);
}

#[test]
fn who_may_ask_and_how_often() {
    let text = r#"
        [http_api]
        public_apis = ["/metrics"]
        trusted_proxies = ["10.1.2.3/8", "192.0.2.7", "2001:db8::/32"]
        request_rate_limit = 12
        request_rate_limit_ttl = "5m"
        tokens = ["tkn_${TOKEN}"]
    "#;
    let http = settings(text).http;
    assert_eq!(http.public_apis, ["/metrics"]);
    let networks: Vec<String> = http.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
    let rate = RateLimit { per_s: 12.0, burst: Some(500), ttl: Duration::from_secs(300) };
    assert_eq!((http.rate_limit, http.token_routing), (Some(rate), true));
    assert_eq!(http.tokens[0].expose(), "tkn_tkn_secret0123456789");

    let http = settings("compat = \"datakit-1.84\"").http;
    let rate = RateLimit { per_s: 100.0, burst: None, ttl: Duration::from_secs(60) };
    assert_eq!((http.rate_limit, http.token_routing), (Some(rate), false));
    let http = settings("compat = \"datakit-1.84\"\nhttp_api.request_rate_limit_burst = 7").http;
    assert_eq!(http.rate_limit.and_then(|rate| rate.burst), Some(7));
    assert_eq!(settings("compat = \"datakit-1.84\"\nhttp_api.request_rate_limit = 0").http.rate_limit, None);

    assert_eq!(
        problem("http_api.trusted_proxies = [\"10.0.0.0/33\"]"),
        "1: http_api.trusted_proxies must hold addresses or networks, as \"192.0.2.1\" or \"10.0.0.0/8\", not \
         \"10.0.0.0/33\""
    );
    assert_eq!(
        problem("http_api.request_rate_limit = -1.5"),
        "1: http_api.request_rate_limit must be a number, 0 or above"
    );
    let said = problem("http_api.tokens = [\"good\", \"${BAD} ${BAD}\"]");
    assert!(said.contains("number 2") && !said.contains("hunter2"), "{said}");
}

#[test]
fn every_key_is_used() {
    // A key that no code reads would be accepted and do nothing: each one, changed, must change the settings.
    let urls = "dataway.urls = [\"http://h\"]\n";
    let rate = "http_api.request_rate_limit = 10.5\n";
    let election = "election.tags.a = \"b\"\n";
    let sinker = "dataway.urls = [\"http://h\"]\ndataway.enable_sinker = true\n";
    let app =
        "intake.profiling.go.app.url = \"http://h\"\nintake.profiling.go.app.enabled_types = [\"cpu\"]\n";
    let (cert, key_file) = (
        format!("{app}intake.profiling.go.app.tls_key = \"k\"\n"),
        format!("{app}intake.profiling.go.app.tls_cert = \"c\"\n"),
    );
    let (cert, key_file) = (cert.as_str(), key_file.as_str());
    for table in TABLES.iter().filter(|table| !table.free) {
        for key in table.keys {
            let full = schema::full_name(table.path, key.name);
            let other = match (full.as_str(), key.kind) {
                // Known, and said to be without effect.
                (
                    "dataway.max_retry_count"
                    | "pipeline.sqlite_mem_mode"
                    | "pipeline.disable_append_run_info"
                    | "pipeline.offload.receiver",
                    _,
                ) => continue,
                ("pipeline.shipped_scripts", _) => "[\"nginx\"]".to_owned(),
                ("pipeline.refer_table_url", _) => "\"http://other\"".to_owned(),
                ("pipeline.offload.addresses", _) => "[\"http://other\"]".to_owned(),
                ("destination", _) => "\"archive\"".to_owned(),
                ("log.level", _) => "\"debug\"".to_owned(),
                (_, Kind::Text) if key.name == "listen_socket" => "\"/other\"".to_owned(),
                (_, Kind::Text) if key.name == "listen" => "\"127.0.0.1:1\"".to_owned(),
                (_, Kind::Word(words)) => format!("{:?}", words[words.len() - 1]),
                ("intake.profiling.go.app.url", _) => "\"http://other\"".to_owned(),
                ("intake.profiling.go.app.enabled_types", _) => "[\"heap\"]".to_owned(),
                (_, Kind::Text) => "\"other\"".to_owned(),
                (
                    "http_api.trusted_proxies"
                    | "dialtesting.disabled_internal_network_cidr_list"
                    | "pipeline.http_request_cidr_whiltelist"
                    | "pipeline.http_request_cidr_whitelist",
                    _,
                ) => "[\"192.0.2.0/24\"]".to_owned(),
                (_, Kind::TextList) => "[\"other\"]".to_owned(),
                (_, Kind::SecretList) => "[\"http://other\"]".to_owned(),
                (_, Kind::Bool) => (key.default == "false").to_string(),
                ("intake.profiling.io_config.cache_capacity_mb", _) => "300".to_owned(),
                (_, Kind::Integer { .. }) => "3".to_owned(),
                (_, Kind::Number { .. }) if key.name == "sampling_rate" => "0.5".to_owned(),
                (_, Kind::Number { .. }) => "3.5".to_owned(),
                (_, Kind::Size { .. }) => "\"96MiB\"".to_owned(),
                (_, Kind::Time { .. }) => "\"29s\"".to_owned(),
                (_, Kind::Shards) => "1".to_owned(),
            };
            let other = if full == "archive.rotate_size" { "\"1MiB\"".to_owned() } else { other };
            let base = match full.as_str() {
                "dataway.urls" | "archive.dir" | "archive.rotate_size" => "",
                "election.enable" => election,
                "dataway.global_customer_keys" => sinker,
                "http_api.proxy_protocol" => "http_api.trusted_proxies = [\"192.0.2.0/24\"]\n",
                "pipeline.ipdb_type" => "pipeline.ipdb_attr.isp_file = \"f\"\n",
                "http_api.tls.cert" => "http_api.tls.privkey = \"k\"\n",
                "http_api.tls.privkey" => "http_api.tls.cert = \"c\"\n",
                "http_api.tls.client_ca" => "http_api.tls.cert = \"c\"\nhttp_api.tls.privkey = \"k\"\n",
                "http_api.request_rate_limit_burst" | "http_api.request_rate_limit_ttl" => rate,
                "intake.profiling.go.app.url" => "intake.profiling.go.app.enabled_types = [\"cpu\"]\n",
                "intake.profiling.go.app.enabled_types" => "intake.profiling.go.app.url = \"http://h\"\n",
                "intake.profiling.go.app.tls_cert" => cert,
                "intake.profiling.go.app.tls_key" => key_file,
                name if name.starts_with("intake.profiling.go.app.") => app,
                _ => urls,
            };
            let changed = format!("{base}{full} = {other}\n");
            // Half of TLS is an error and not a setting.
            let half = full.starts_with("http_api.tls.") && !full.ends_with("client_ca")
                || ["url", "tls_cert", "tls_key"]
                    .iter()
                    .any(|key| full == format!("intake.profiling.go.app.{key}"));
            let before = if half { settings("") } else { settings(base) };
            assert_ne!(before, settings(&changed), "{full} changes nothing");
        }
    }
}

#[test]
fn the_spool_has_ages_priorities_a_total_and_a_reserve() {
    let spool = settings("").spool;
    assert_eq!((spool.max_age("metric"), spool.priority("metric")), (None, 5));
    assert_eq!((spool.total_capacity_bytes, spool.reserve_bytes), (None, 16 << 20));
    let text = r#"
        [spool]
        total_capacity = "20GiB"
        max_age = "48h"
        reserve = "1GiB"
        [spool.priority_of]
        keyevent = 9
        metric = 0
        [spool.max_age_of]
        logging = "0s"
        metric = "30m"
    "#;
    let spool = settings(text).spool;
    assert_eq!((spool.total_capacity_bytes, spool.reserve_bytes), (Some(20 << 30), 1 << 30));
    assert_eq!(["keyevent", "metric", "rum"].map(|name| spool.priority(name)), [9, 0, 5]);
    let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
    assert_eq!(["logging", "rum"].map(|name| spool.max_age(name)), [None, hours(48)]);
    assert_eq!(spool.max_age("metric"), Some(Duration::from_secs(1800)));
}

#[test]
fn collectors_are_configured_as_in_datakit() {
    let text = r#"
        [intake.datadog]
        customer_tags = ["team.name", "reg:^usr\\."]
        omit_err_status = ["404"]
        trace_128_bit_id = false
        keep_rare_resource = true
        max_trace_body = "1MiB"
        trace_max_spans = 7
        [intake.datadog.close_resource]
        "*" = ["^GET /health"]
        shop = ["a", "b"]
        [intake.datadog.sampler]
        sampling_rate = 0.25
        [intake.datadog.tags]
        zone = "${TOKEN}"
        [intake.skywalking]
        plugins = ["db.type"]
        ignore_tags = ["^x"]
        del_message = true
        [intake.skywalking.sampler]
        sampling_rate = 0
        [intake.otlp]
        customer_tags = ["team.name"]
        tracing_metric_enable = true
        tracing_metric_tag_blacklist = ["env"]
        [intake.otlp.tags]
        zone = "z"
        [intake.zipkin.close_resource]
        "*" = ["^/health"]
        [intake.zipkin.sampler]
        sampling_rate = 0.5
    "#;
    let settings = settings(text);
    let datadog = &settings.datadog;
    assert_eq!(datadog.customer_tags, ["team.name", "reg:^usr\\."]);
    assert_eq!(
        (datadog.trace_128_bit_id, datadog.body_bytes_max, datadog.trace_max_spans),
        (false, 1 << 20, 7)
    );
    let closed: Vec<(&str, usize)> =
        datadog.filters.close_resource.iter().map(|(service, list)| (service.as_str(), list.len())).collect();
    assert_eq!(closed, [("*", 1), ("shop", 2)]);
    assert_eq!((datadog.filters.sampling_rate, datadog.filters.keep_rare_resource), (Some(0.25), true));
    assert_eq!(datadog.tags[0].0, "zone");
    assert_eq!(
        (settings.skywalking.filters.sampling_rate, settings.skywalking.del_message),
        (Some(0.0), true)
    );
    assert_eq!(Settings::default().datadog, super::DatadogSettings::default());
    let (otlp, zipkin) = (&settings.otlp, &settings.zipkin);
    assert_eq!((&otlp.customer_tags[..], otlp.tags.len()), (&["team.name".to_owned()][..], 1));
    assert_eq!((otlp.metrics.enabled, &otlp.metrics.blacklist[..]), (true, &["env".to_owned()][..]));
    assert_eq!(datadog.metrics, super::TraceMetrics::default());
    assert_eq!((zipkin.filters.sampling_rate, zipkin.filters.close_resource.len()), (Some(0.5), 1));
}

#[test]
fn what_collectors_cannot_be_is_said() {
    for (text, problem) in [
        (
            "[intake.datadog]\ncustomer_tags = [\"reg:(\"]",
            "2: intake.datadog.customer_tags holds \"(\", which is no pattern",
        ),
        (
            "[intake.skywalking]\nignore_tags = [\"[\"]",
            "2: intake.skywalking.ignore_tags holds \"[\", which is no pattern",
        ),
        (
            "[intake.datadog.close_resource]\nshop = [\"a(\"]",
            "2: intake.datadog.close_resource.shop holds \"a(\"",
        ),
        (
            "[intake.datadog.close_resource]\nshop = 1",
            "2: intake.datadog.close_resource.shop must be a list of texts",
        ),
        (
            "[intake.datadog.sampler]\nsampling_rate = 1.5",
            "2: intake.datadog.sampler.sampling_rate must be between 0 and 1",
        ),
        (
            "[intake.otlp]\ncustomer_tags = [\"reg:(\"]",
            "2: intake.otlp.customer_tags holds \"(\", which is no pattern",
        ),
        ("[intake.zipkin]\ntracing_metric_enable = true", "2: unknown key \"tracing_metric_enable\""),
        ("[intake.datadog.tags]\n\"\" = \"x\"", " intake.datadog.tags holds a tag without a name"),
    ] {
        let problems = problems(text);
        assert!(problems.iter().any(|it| it.starts_with(problem)), "{text}\n{problems:?}");
    }
}

#[test]
fn filters_and_the_sinker_are_configured_as_in_datakit() {
    let resolved = |text: &str, variables: &[(&str, &str)]| {
        let var = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let problems = |problems: Vec<Problem>| problems.iter().map(Problem::to_string).collect::<Vec<_>>();
        resolve(text, &Surroundings { var: &var, ..around() })
            .map(|resolved| resolved.settings)
            .map_err(problems)
    };
    let rule = |text: &str| vec![text.to_owned()];
    let written = "[io]\nremote_filters = false\n[io.filters]\nlogging = [\"{ a = 1 }\"]\nrum = []\n";
    let filters = resolved(written, &[]).unwrap().filters;
    assert_eq!(filters.local, [("logging".to_owned(), rule("{ a = 1 }"))]);
    assert!(!filters.remote);
    let json = [("ENV_IO_FILTERS", r#"{"metric":["{}"],"rum":[]}"#)];
    assert_eq!(resolved(written, &json).unwrap().filters.local, [("metric".to_owned(), rule("{}"))]);
    assert_eq!(resolved(written, &[("ENV_IO_FILTERS", "")]).unwrap().filters, filters, "empty is unset");
    assert!(resolved("", &[("ENV_IO_FILTERS", "[]")]).unwrap_err()[0].contains("ENV_IO_FILTERS"));
    assert!(
        problem("[io.filters]\nlogs = [\"{}\"]").starts_with("2: io.filters.logs is no category: metric, ")
    );
    assert!(problem("[io.filters]\nrum = \"{}\"").contains("a list of texts"));

    let keys = |text: &str, variables: &[(&str, &str)]| {
        let text = format!("[dataway]\nurls = [\"http://h?token=x\"]\n{text}");
        match resolved(&text, variables).unwrap().destination {
            Destination::Dataway(dataway) => dataway.sinker_keys,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(keys("global_customer_keys = [\"a\"]", &[]), None);
    assert_eq!(keys("enable_sinker = true", &[]), Some(Vec::new()));
    assert_eq!(keys("enable_sinker = true\nglobal_customer_keys = [\"a\", \"\"]", &[]), Some(rule("a")));
    let variables = [("ENV_DATAWAY_ENABLE_SINKER", "false"), ("ENV_SINKER_GLOBAL_CUSTOMER_KEYS", " a, b ,,")];
    assert_eq!(keys("", &variables), Some(vec!["a".to_owned(), "b".to_owned()]), "any value is yes");
}

#[test]
fn pipelines_are_configured_as_in_datakit() {
    let text = r#"
        data_dir = "/d"
        [pipeline]
        remote_pull_interval = "2m"
        shipped_scripts = ["nginx", "*"]
        refer_table_url = "http://h/tables?token=${TOKEN}"
        refer_table_pull_interval = "1m"
        disable_http_request_func = true
        http_request_host_whitelist = ["API.example"]
        http_request_cidr_whiltelist = ["10.1.2.3/8"]
        http_request_disable_internal_net = true
        [pipeline.ipdb_attr]
        iploc_file = "City.mmdb"
        isp_file = "/geo/Isp.mmdb"
        [pipeline.offload]
        receiver = "datakit-http"
        addresses = ["http://h:9529"]
        [pipeline.default_pipeline]
        logging = "a.p"
        metric = ""
    "#;
    let pipeline = settings(text).pipeline;
    assert_eq!(pipeline.remote_pull_interval, Duration::from_secs(120));
    assert_eq!(pipeline.default_scripts, [("logging".to_owned(), "a.p".to_owned())]);
    assert_eq!(pipeline.shipped_scripts, ["nginx", "*"]);
    assert_eq!(pipeline.offload.len(), 1);
    assert_eq!(pipeline.geoip_database, Some(PathBuf::from("/d/ipdb/geolite2/City.mmdb")));
    assert_eq!(pipeline.isp_database, Some(PathBuf::from("/geo/Isp.mmdb")));
    let url = pipeline.tables.url.as_ref().map(|url| url.expose());
    assert_eq!(url, Some("http://h/tables?token=tkn_secret0123456789"));
    assert!(!format!("{pipeline:?}").contains("secret0123456789"));
    assert_eq!(pipeline.tables.interval, Duration::from_secs(60));
    let http = pipeline.http;
    assert!(http.disabled && http.internal_forbidden);
    assert_eq!(
        (http.hosts, http.networks[0].to_string()),
        (vec!["api.example".to_owned()], "10.0.0.0/8".to_owned())
    );

    assert_eq!(settings("").pipeline.shipped_scripts, ["*"]);
    assert!(settings("pipeline.shipped_scripts = []").pipeline.shipped_scripts.is_empty());
    let said = problem("pipeline.shipped_scripts = [\"ngin\"]");
    assert!(said.contains("holds \"ngin\"; there are apache, docker"), "{said}");
    let said = problem("pipeline.default_pipeline.logs = \"a.p\"");
    assert!(said.starts_with("1: pipeline.default_pipeline.logs is no category"), "{said}");
    let said = problem("pipeline.refer_table_url = \"${BAD}\"");
    assert!(said.contains("must begin with http") && !said.contains("hunter2"), "{said}");
    assert!(problem("pipeline.http_request_cidr_whitelist = [\"x\"]").contains("must hold networks"));
    let warned = resolve("[pipeline]\nuse_sqlite = true\nipdb_type = \"iploc\"", &around()).unwrap().warnings;
    assert_eq!(warned.len(), 2);
}
