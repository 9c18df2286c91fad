//! `[dialtesting]`, and the variables DataKit has for it.

use ipnet::IpNet;

use super::read::Written;
use super::resolve::parse_network;
use super::schema::{Kind, Table, key, table};
use super::settings::Compat;

/// DataKit's names. What the file says counts before them.
pub const ENABLE_VAR: &str = "ENV_INPUT_DIALTESTING_ENABLE_DEBUG_API";
pub const INTERNAL_VAR: &str = "ENV_INPUT_DIALTESTING_DISABLE_INTERNAL_NETWORK_TASK";
pub const NETWORKS_VAR: &str = "ENV_INPUT_DIALTESTING_DISABLED_INTERNAL_NETWORK_CIDR_LIST";

/// The keys.
pub(super) const TABLE: Table = table(
    "dialtesting",
    "Dial tests: POST /v1/dialtesting/debug connects to whatever a task names, for whoever may ask, so that there is\n\
         no such route unless it is wanted. ENV_INPUT_DIALTESTING_<KEY> says the same where a key is not written.",
    &[
        key(
            "enable_debug_api",
            Kind::Bool,
            "false",
            "Whether tests are run. Then the route is a public one.",
        ),
        key(
            "disable_internal_network_task",
            Kind::Bool,
            "true",
            "Refuse tests of internal addresses: this machine's, private, link-local, shared and reserved ones.\n\
                 The default is false under compat = \"datakit-1.84\".",
        ),
        key(
            "disabled_internal_network_cidr_list",
            Kind::TextList,
            "[]",
            "The networks that are internal, as \"10.0.0.0/8\", in place of those.",
        ),
    ],
);

/// Tests that are run for whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialtestingSettings {
    /// Whether there is such a route.
    pub enabled: bool,
    /// Whether addresses of internal networks are refused.
    pub internal_forbidden: bool,
    /// The networks that are internal; empty: the built-in ones.
    pub internal_networks: Vec<IpNet>,
}

impl Default for DialtestingSettings {
    fn default() -> DialtestingSettings {
        DialtestingSettings { enabled: false, internal_forbidden: true, internal_networks: Vec::new() }
    }
}

/// Where something is said about a key: a problem, and a warning.
pub(super) struct Reports<'a> {
    pub problem: &'a mut dyn FnMut(&str, String),
    pub warning: &'a mut dyn FnMut(&str, String),
}

pub(super) fn dialtesting(
    written: &Written,
    compat: Compat,
    var: &dyn Fn(&str) -> Option<String>,
    reports: Reports<'_>,
) -> DialtestingSettings {
    let Reports { problem, warning } = reports;
    let var = |name: &str| var(name).filter(|text| !text.is_empty());
    let mut truth = |key: &str, name: &str, default: bool| {
        if let Some(value) = written.bool(key) {
            return value;
        }
        let Some(text) = var(name) else { return default };
        truth_of(&text).unwrap_or_else(|| {
            warning(name, format!("is {text:?}, which is neither true nor false, and is not used"));
            default
        })
    };
    let enabled = truth("dialtesting.enable_debug_api", ENABLE_VAR, false);
    // Whoever wants DataKit as it was wants this door as it was, too.
    let closed = compat == Compat::Documented;
    let internal_forbidden = truth("dialtesting.disable_internal_network_task", INTERNAL_VAR, closed);

    let key = "dialtesting.disabled_internal_network_cidr_list";
    let mut internal_networks = Vec::new();
    if let Some(list) = written.list(key) {
        for text in list {
            match parse_network(&text) {
                Some(network) => internal_networks.push(network),
                None => problem(key, format!("must hold networks, as \"10.0.0.0/8\", not {text:?}")),
            }
        }
    } else if let Some(text) = var(NETWORKS_VAR) {
        match serde_json::from_str::<Vec<String>>(&text) {
            Ok(list) => {
                for text in list {
                    match parse_network(&text) {
                        Some(network) => internal_networks.push(network),
                        None => warning(
                            NETWORKS_VAR,
                            format!("holds {text:?}, which is no network and is left out"),
                        ),
                    }
                }
            }
            Err(error) => {
                warning(NETWORKS_VAR, format!("is no list of texts in JSON and is not used: {error}"))
            }
        }
    }
    DialtestingSettings { enabled, internal_forbidden, internal_networks }
}

/// As Go reads a truth value.
fn truth_of(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}
