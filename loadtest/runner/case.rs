//! A case as its folder describes it: `case.toml`, and `gateway.toml` beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::shared::Outcome;
use crate::shared::corpus::Corpus;
use crate::shared::format::Format;

/// `case.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What is measured, in a line.
    pub title: String,
    /// What is claimed, in words.
    pub goal: String,
    /// Who runs where, in words.
    pub share: String,
    /// How it is run.
    pub kind: Kind,
    /// What is offered.
    pub load: Load,
    /// Who is measured, in the order of the first round.
    #[serde(default, rename = "server")]
    pub servers: Vec<ServerSpec>,
    /// What must hold.
    #[serde(default, rename = "claim")]
    pub claims: Vec<Claim>,
}

/// How a case is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The load generator against each server in turn.
    Rate,
    /// Idle connections to each server in turn.
    Idle,
    /// `ledger kill9`.
    Kill9,
    /// `ledger absent`.
    AbsentDestination,
    /// `ledger full-disk`.
    FullDisk,
    /// `ledger backlog`.
    Backlog,
    /// `ledger large-profile`.
    LargeProfile,
}

/// The load's shape.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    /// Which points.
    pub corpus: Corpus,
    /// Whole points until a body has this many bytes.
    pub body_bytes: usize,
    /// Each number is a run of its own.
    pub connections: Vec<usize>,
    /// Measured seconds of a run.
    pub seconds: f64,
    /// Seconds before.
    pub warm_up: f64,
    /// Rounds, every server once in each; for kill9: kills.
    pub rounds: u32,
    /// For backlog: how large it is.
    pub backlog_bytes: u64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            corpus: Corpus::Metrics,
            body_bytes: 2048,
            connections: vec![64],
            seconds: 3.0,
            warm_up: 1.0,
            rounds: 5,
            backlog_bytes: 0,
        }
    }
}

/// One server of a comparison.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSpec {
    /// Name in the table.
    pub name: String,
    /// What it is.
    pub kind: ServerKind,
    /// What its points are written as.
    #[serde(default = "metric")]
    pub category: String,
    /// Query of the requests.
    #[serde(default)]
    pub query: String,
    /// How the bodies it gets say their points.
    #[serde(default)]
    pub format: Format,
    /// Replaces `${NAME}` in `gateway.toml`.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
}

fn metric() -> String {
    "metric".to_owned()
}

/// Kinds of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerKind {
    /// The gateway.
    Gateway,
    /// The gateway's HTTP alone (`http_floor`).
    Floor,
    /// nginx, `return 204`.
    Nginx,
    /// vmagent, remote write.
    Vmagent,
}

/// A bound on a measure, or on its ratio to another server's in the same round.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Server it is about.
    pub of: String,
    /// Server it is compared with; without it the bound is on the measure itself.
    pub to: Option<String>,
    /// Which measure.
    pub measure: String,
    /// Upper bound.
    pub at_most: Option<f64>,
    /// Lower bound.
    pub at_least: Option<f64>,
}

/// Where the folders are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("loadtest")
}

/// Names of all cases.
pub fn names() -> Outcome<Vec<String>> {
    let mut out: Vec<String> = std::fs::read_dir(folder().join("cases"))?
        .flatten()
        .filter(|entry| entry.path().join("case.toml").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    out.sort();
    Ok(out)
}

/// Reads a case.
pub fn read(name: &str) -> Outcome<Case> {
    let path = folder().join("cases").join(name).join("case.toml");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let case: Case = toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    for claim in &case.claims {
        let known = |server: &String| case.servers.iter().any(|s| s.name == *server);
        if !known(&claim.of) || claim.to.as_ref().is_some_and(|to| !known(to)) {
            return Err(format!("{}: a claim names a server that is not there", path.display()).into());
        }
        if claim.at_most.is_some() == claim.at_least.is_some() {
            return Err(format!("{}: a claim has one bound", path.display()).into());
        }
    }
    Ok(case)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_can_be_read() {
        let names = names().unwrap();
        assert!(names.len() >= 7, "{names:?}");
        for name in names {
            let case = read(&name).unwrap();
            let needs_template = case.servers.iter().any(|s| s.kind == ServerKind::Gateway)
                || matches!(
                    case.kind,
                    Kind::Kill9
                        | Kind::AbsentDestination
                        | Kind::FullDisk
                        | Kind::Backlog
                        | Kind::LargeProfile
                );
            let template = folder().join("cases").join(&name).join("gateway.toml");
            assert_eq!(template.exists(), needs_template, "{name}");
        }
    }
}
