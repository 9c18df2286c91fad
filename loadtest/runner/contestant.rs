//! Servers that are measured: the gateway, its HTTP alone, and the peers, each started fresh for every run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::case::{self, ServerKind, ServerSpec};
use crate::ledger::gateway::Gateway;
use crate::shared::child::{Launch, Server, free_port};
use crate::shared::{Outcome, http};

const START_PATIENCE: Duration = Duration::from_secs(20);
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// Where the binaries are and what runs on which core.
#[derive(Clone, Debug)]
pub struct Places {
    /// The gateway.
    pub gateway: PathBuf,
    /// `http_floor`.
    pub floor: PathBuf,
    /// Core of the server.
    pub server_core: usize,
    /// Core of load and destination.
    pub load_core: usize,
}

/// A running server.
pub struct Contestant {
    server: Server,
    /// Where it takes requests.
    pub address: SocketAddr,
    /// Path and query of a write.
    pub target: String,
    /// It sends what it takes to the destination.
    pub uploads: bool,
    /// It says how many points a package has.
    pub counts_points: bool,
}

impl Contestant {
    /// Starts one; `upstream` is where it is to deliver.
    pub fn start(
        case: &str,
        spec: &ServerSpec,
        places: &Places,
        upstream: SocketAddr,
        scratch: &Path,
    ) -> Outcome<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let cores = places.server_core.to_string();
        let write = if spec.query.is_empty() {
            format!("/v1/write/{}", spec.category)
        } else {
            format!("/v1/write/{}?{}", spec.category, spec.query)
        };
        let peer = |script: &str| case::folder().join("peers").join(script).display().to_string();
        let dir = scratch.join("work").display().to_string();
        let port = address.port().to_string();
        let (command, target) = match spec.kind {
            ServerKind::Gateway => {
                let path = case::folder().join("cases").join(case).join("gateway.toml");
                let mut template = std::fs::read_to_string(path)?;
                for (name, value) in &spec.set {
                    template = template.replace(&format!("${{{name}}}"), value);
                }
                let gateway =
                    Gateway::prepare(&places.gateway, &template, scratch, address, upstream, &cores)?;
                let (server, _) = gateway.start()?;
                return Ok(Self { server, address, target: write, uploads: true, counts_points: true });
            }
            ServerKind::Floor => {
                (vec![places.floor.display().to_string(), address.to_string(), cores.clone()], write)
            }
            ServerKind::Nginx => (vec![peer("nginx.sh"), port, dir], write),
            ServerKind::Vmagent => {
                let sink = format!("http://{upstream}/api/v1/write");
                (vec![peer("vmagent.sh"), port, sink, dir], "/write?precision=ns".to_owned())
            }
        };
        let launch =
            Launch { command, cores: &cores, log: &scratch.join("server.log"), environment: Vec::new() };
        let mut server = Server::start(&launch)?;
        server.wait_listening(address, START_PATIENCE)?;
        let uploads = spec.kind == ServerKind::Vmagent;
        Ok(Self { server, address, target, uploads, counts_points: false })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Fails when it has ended by itself.
    pub fn check_alive(&mut self) -> Outcome<()> {
        match self.server.exited()? {
            None => Ok(()),
            Some(status) => {
                Err(format!("the server ended by itself ({status}): {}", self.server.log_tail()).into())
            }
        }
    }

    /// What its `/metrics` says, for a look after a failure.
    pub fn metrics(&self) -> Option<String> {
        let (_, body) = http::call(self.address, "GET", "/metrics").ok()?;
        Some(String::from_utf8_lossy(&body).into_owned())
    }

    /// Ends it.
    pub fn stop(mut self) -> Outcome<()> {
        self.server.stop(STOP_PATIENCE)?;
        Ok(())
    }
}
