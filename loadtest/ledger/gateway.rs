//! The gateway as the ledger's cases see it: a binary, a configuration made from a template, a data directory.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::shared::child::{Launch, Server};
use crate::shared::{Outcome, http};

/// A start may take so long, recovery included.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// The configuration that was named, or the case's own.
pub fn template(named: Option<&Path>, own: &str) -> Outcome<String> {
    Ok(match named {
        Some(path) => std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?,
        None => own.to_owned(),
    })
}

/// Everything needed to start it, and start it again.
pub struct Gateway {
    binary: PathBuf,
    config: PathBuf,
    log: PathBuf,
    cores: String,
    address: SocketAddr,
}

impl Gateway {
    /// Fills the template's `${LISTEN}`, `${UPSTREAM}` and `${DATA}` and writes it to `scratch`.
    pub fn prepare(
        binary: &Path,
        template: &str,
        scratch: &Path,
        address: SocketAddr,
        upstream: SocketAddr,
        cores: &str,
    ) -> Outcome<Self> {
        let data = scratch.join("data");
        std::fs::create_dir_all(&data)?;
        let text = template
            .replace("${LISTEN}", &address.to_string())
            .replace("${UPSTREAM}", &upstream.to_string())
            .replace("${DATA}", &data.display().to_string());
        let config = scratch.join("gateway.toml");
        std::fs::write(&config, text)?;
        let binary = binary.canonicalize().map_err(|e| format!("{}: {e}", binary.display()))?;
        Ok(Self { binary, config, log: scratch.join("gateway.log"), cores: cores.to_owned(), address })
    }

    /// Starts it without waiting.
    pub fn spawn(&self) -> Outcome<Server> {
        let command =
            [&self.binary.display().to_string(), "run", "--config", &self.config.display().to_string()];
        Server::start(&Launch {
            command: command.iter().map(|word| (*word).to_string()).collect(),
            cores: &self.cores,
            log: &self.log,
            environment: Vec::new(),
        })
    }

    /// Starts it and waits until it answers a ping; how long that took.
    pub fn start(&self) -> Outcome<(Server, Duration)> {
        let mut server = self.spawn()?;
        let took = server.wait_listening(self.address, START_PATIENCE)?;
        let (status, _) = http::call(self.address, "GET", "/v1/ping")?;
        if status != 200 {
            return Err(format!("/v1/ping answers {status}").into());
        }
        Ok((server, took))
    }

    /// Runs one of the gateway's tools; what it printed.
    pub fn tool(&self, arguments: &[&str]) -> Outcome<String> {
        let output = std::process::Command::new(&self.binary)
            .args(arguments)
            .arg("--config")
            .arg(&self.config)
            .output()
            .map_err(|e| format!("{}: {e}", self.binary.display()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        let error = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}: {}: {text}{error}", arguments.join(" "), output.status).into())
    }

    /// `/metrics`, for a look at the gateway's own ledger.
    pub fn metrics(&self) -> Outcome<String> {
        let (status, body) = http::call(self.address, "GET", "/metrics")?;
        if status != 200 {
            return Err(format!("/metrics answers {status}").into());
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}
