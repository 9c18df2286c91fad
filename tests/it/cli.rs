//! The command line: verbs, exit codes, and what is said before any port is opened.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use super::harness::{BINARY, scratch};

fn kitgate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .args(arguments)
        .current_dir(folder)
        .env("KITGATE_TEST_TOKEN", "tkn_very-secret")
        .output()
        .expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn versions() {
    let folder = scratch();
    let output = kitgate(folder.path(), &["version"]);
    assert!(output.status.success());
    assert!(text(&output.stdout).starts_with(concat!("kitgate ", env!("CARGO_PKG_VERSION"), " (")));
    let output = kitgate(folder.path(), &["version", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&json["name"], &json["version"]), (&"kitgate".into(), &env!("CARGO_PKG_VERSION").into()));
}

#[test]
fn wrong_arguments_are_2() {
    let folder = scratch();
    for arguments in [&["serve"][..], &["run", "--confg", "x"], &["version", "--format", "xml"]] {
        let output = kitgate(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("--help"), "{arguments:?}");
    }
}

#[test]
fn bad_configuration_is_78_before_anything_happens() {
    let folder = scratch();
    let busy = TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = busy.local_addr().expect("its address");
    // Were a port opened first, this one would be the complaint.
    let config =
        format!("data_dir = \"here\"\nakc = \"disk\"\n[http_api]\nlisten = \"{listen}\"\ntimeout = 30\n");
    fs::write(folder.path().join("bad.toml"), config).expect("the configuration");
    for verb in ["run", "check"] {
        let output = kitgate(folder.path(), &[verb, "--config", "bad.toml"]);
        assert_eq!(output.status.code(), Some(78), "{verb}");
        let said = text(&output.stderr);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert_eq!(lines[0], "kitgate: bad.toml:2: unknown key \"akc\"; did you mean \"ack\"?");
        assert!(
            lines[1].starts_with("kitgate: bad.toml:5: http_api.timeout must be a time with its unit"),
            "{said}"
        );
        assert!(!folder.path().join("here").exists(), "{verb} made the data directory");
    }
    let output = kitgate(folder.path(), &["run", "--config", "absent.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).starts_with("kitgate: cannot read absent.toml: "));
}

#[test]
fn check_says_what_would_happen_and_leaves_nothing() {
    let folder = scratch();
    let config = "shards = 1\n[dataway]\nurls = [\"http://127.0.0.1:9?token=${KITGATE_TEST_TOKEN}\"]\nmax_raw_body_size = 5\n";
    fs::write(folder.path().join("good.toml"), config).expect("the configuration");
    let output = kitgate(folder.path(), &["check", "--config", "good.toml"]);
    let (said, warned) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}{warned}");
    assert!(said.contains("listens on   http://127.0.0.1:9529 (datakit)\n"), "{said}");
    assert!(said.contains("delivers to  http://127.0.0.1:9?token=tkn_***\n"), "{said}");
    assert_eq!(warned, "kitgate: warning: good.toml:4: dataway.max_raw_body_size is raised to 102400\n");
    assert!(!said.contains("very-secret"));
    assert!(!folder.path().join("kitgate-data").exists());
}

#[test]
fn the_reference_is_a_good_configuration() {
    let folder = scratch();
    let output = kitgate(folder.path(), &["reference"]);
    fs::write(folder.path().join("reference.toml"), &output.stdout).expect("the configuration");
    assert_eq!(kitgate(folder.path(), &["check", "--config", "reference.toml"]).status.code(), Some(0));
}
