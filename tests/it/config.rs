//! What deploy/, loadtest/ and the README say about options and metrics must follow the code.

use std::{collections::BTreeSet, fs};

use kitgate::{
    config::{Surroundings, doc, resolve},
    metrics::names::{Kind, METRICS},
};

#[test]
fn the_annotated_configuration_is_what_the_program_prints() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/config/gateway.toml");
    let file = fs::read_to_string(path).expect("deploy/config/gateway.toml");
    assert!(file == doc::reference(), "write it anew: kitgate reference > deploy/config/gateway.toml");
}

fn accept(name: &str, text: &str) {
    let around = Surroundings {
        var: &|name| (name == "DATAWAY_TOKEN").then(|| "tkn_x".to_owned()),
        hostname: "host-1",
        ip: &|| None,
        cores: &[0, 1],
    };
    if let Err(problems) = resolve(text, &around) {
        let problems: Vec<String> = problems.iter().map(|problem| format!("{name}:{problem}")).collect();
        panic!("{}\n{text}", problems.join("\n"));
    }
}

#[test]
fn the_cases_are_accepted() {
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/loadtest/cases");
    let mut seen = 0;
    for case in fs::read_dir(cases).expect("loadtest/cases") {
        let file = case.expect("a case").path().join("gateway.toml");
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let mut filled = text
            .replace("${COMPRESSION}", "zstd")
            .replace("${DATA}", "data")
            .replace("${SCRIPTS}", "\"*\"")
            .replace("${UPSTREAM}", "127.0.0.1:2");
        filled = filled.replace("${LISTEN}", "127.0.0.1:1");
        accept(&file.display().to_string(), &filled);
        seen += 1;
    }
    assert!(seen >= 4, "the cases are elsewhere");
}

#[test]
fn the_example_of_the_readme_is_accepted() {
    let readme = include_str!("../../README.md");
    let (_, after) = readme.split_once("nearest known name.\n\n").expect("the example's place");
    let example: String =
        after.lines().map_while(|line| line.strip_prefix("    ")).flat_map(|line| [line, "\n"]).collect();
    assert!(example.contains("[dataway]"), "{example}");
    accept("README.md", &example);
}

/// The names of metrics in `text`, without the suffixes of histograms.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c));
    let words =
        words.filter(|word| ["kitgate_", "process_", "datakit_"].iter().any(|start| word.starts_with(start)));
    let histogram =
        |name: &str| METRICS.iter().any(|metric| metric.name == name && metric.kind == Kind::Histogram);
    let strip = |word: &str| {
        let short = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
        short.filter(|name| histogram(name)).unwrap_or(word).to_owned()
    };
    words.map(strip).collect()
}

#[test]
fn dashboards_show_every_metric_and_no_other() {
    let known: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    let dashboard = include_str!("../../deploy/dashboards/kitgate.json");
    serde_json::from_str::<serde_json::Value>(dashboard).expect("JSON");
    let shown = metrics_in(dashboard);
    // The old agent's names have their monitors elsewhere.
    let theirs = |name: &str| name.starts_with("datakit_") || name.starts_with("diskcache_");
    let own = known.iter().filter(|name| !theirs(name));
    let missing: Vec<&String> = own.filter(|name| !shown.contains(*name)).collect();
    assert!(missing.is_empty(), "no panel for {missing:?}");
    let texts = [
        dashboard,
        include_str!("../../deploy/dashboards/alerts.yaml"),
        include_str!("../../deploy/runbook.md"),
    ];
    for text in texts {
        let unknown: Vec<String> =
            metrics_in(text).into_iter().filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty(), "no such metric: {unknown:?}");
    }
}
