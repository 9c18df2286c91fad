//! The configurations in this tree must follow the code: the reference in deploy/, the cases in loadtest/, the README.

use std::fs;

use kitgate::config::{Surroundings, doc, resolve};

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
