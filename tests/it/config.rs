//! The files of deploy/ that must follow the code.

use std::fs;

use kitgate::config::doc;

#[test]
fn the_annotated_configuration_is_what_the_program_prints() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/config/gateway.toml");
    let file = fs::read_to_string(path).expect("deploy/config/gateway.toml");
    assert!(file == doc::reference(), "write it anew: kitgate reference > deploy/config/gateway.toml");
}
