//! The client: one agent for the settings that hold, made anew when those change.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::config::secret::Endpoint;
use crate::config::{DatawaySettings, Destination, Settings};
use crate::point::sinker;
use crate::sink::Target;
use crate::sink::dataway::user_agent;

/// An answer is held in memory as a whole. A query may bring long series; this is far beyond what a page shows.
const ANSWER_BYTES_MAX: u64 = 32 << 20;
/// How much of a refusal is repeated to whoever asked.
const EXCERPT_BYTES_MAX: usize = 512;
/// A destination that does not answer a call for so long is not asked any longer, whatever time is left.
const CALL_TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// A call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub method: &'static str,
    pub path: &'a str,
    /// Parameters beside those of the destination, escaped.
    pub query: &'a str,
    pub body: Option<&'a [u8]>,
}

impl<'a> Call<'a> {
    pub fn new(method: &'static str, path: &'a str) -> Call<'a> {
        Call { method, path, query: "", body: None }
    }

    pub fn with_body(self, body: &'a [u8]) -> Call<'a> {
        Call { body: Some(body), ..self }
    }
}

/// What the destination said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    NoDestination,
    Timeout,
    /// In words, without secrets.
    Other(String),
}

/// Calls the first destination. One a process.
#[derive(Debug, Default)]
pub struct Forward {
    agent: Mutex<Option<(Key, Agent)>>,
}

/// What an agent depends on.
#[derive(Clone, PartialEq, Debug)]
struct Key {
    endpoint: Endpoint,
    hostname: String,
    insecure: bool,
}

impl Forward {
    /// Makes a call, within `left`. Blocks.
    pub fn call(&self, settings: &Settings, call: &Call<'_>, left: Duration) -> Result<Answer, Failure> {
        let Destination::Dataway(dataway) = &settings.destination else { return Err(Failure::NoDestination) };
        let endpoint = dataway.urls.first().ok_or(Failure::NoDestination)?;
        let agent = self.agent(settings, dataway, endpoint);
        let target = Target::new(endpoint.clone());
        let timeout = left.min(dataway.timeout).min(CALL_TIMEOUT_MAX);
        let tags = sinker::static_header(settings);
        ask(&agent, endpoint, call, tags.as_deref(), timeout).map_err(|error| failure(&error, &target))
    }

    fn agent(&self, settings: &Settings, dataway: &DatawaySettings, endpoint: &Endpoint) -> Agent {
        let insecure = dataway.tls_insecure;
        let key = Key { endpoint: endpoint.clone(), hostname: settings.hostname.clone(), insecure };
        let mut agent = self.agent.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match &*agent {
            Some((known, agent)) if *known == key => agent.clone(),
            _ => {
                let fresh = new_agent(&settings.hostname, endpoint.tls, insecure);
                *agent = Some((key, fresh.clone()));
                fresh
            }
        }
    }
}

fn new_agent(hostname: &str, tls: bool, insecure: bool) -> Agent {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(user_agent(env!("CARGO_PKG_VERSION"), hostname))
        .accept("");
    if tls {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        config = config.tls_config(
            TlsConfig::builder()
                .unversioned_rustls_crypto_provider(provider)
                .root_certs(roots())
                .disable_verification(insecure)
                .build(),
        );
    }
    config.build().new_agent()
}

/// The machine's own certificates, or Mozilla's where it has none: as uploads have them.
pub(in crate::aside) fn roots() -> RootCerts {
    let native = rustls_native_certs::load_native_certs().certs;
    if native.is_empty() {
        return RootCerts::WebPki;
    }
    RootCerts::new_with_certs(
        &native.iter().map(|der| Certificate::from_der(der).to_owned()).collect::<Vec<_>>(),
    )
}

fn ask(
    agent: &Agent,
    endpoint: &Endpoint,
    call: &Call<'_>,
    tags: Option<&str>,
    timeout: Duration,
) -> Result<Answer, ureq::Error> {
    let scheme = if endpoint.tls { "https" } else { "http" };
    let mut url = format!("{scheme}://{}{}", endpoint.authority(), call.path);
    let mut separator = '?';
    for part in [endpoint.query.expose(), call.query].into_iter().filter(|part| !part.is_empty()) {
        url.push(separator);
        url.push_str(part);
        separator = '&';
    }
    let mut response = match (call.method, call.body) {
        ("DELETE", Some(body)) => {
            let request = with_headers(agent.delete(&url), tags).force_send_body();
            request.config().timeout_global(Some(timeout)).build().send(body)?
        }
        (_, Some(body)) => {
            let request = with_headers(agent.post(&url), tags);
            request.config().timeout_global(Some(timeout)).build().send(body)?
        }
        (_, None) => {
            let request = with_headers(agent.get(&url), tags);
            request.config().timeout_global(Some(timeout)).build().call()?
        }
    };
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok(Answer { status, body })
}

/// What every call says; `tags` where the sinker is on.
fn with_headers<B>(request: ureq::RequestBuilder<B>, tags: Option<&str>) -> ureq::RequestBuilder<B> {
    let request = request.header("Referer", "DataKit");
    match tags {
        Some(tags) => request.header("X-Global-Tags", tags.as_bytes()),
        None => request,
    }
}

fn failure(error: &ureq::Error, target: &Target) -> Failure {
    if matches!(error, ureq::Error::Timeout(_)) {
        return Failure::Timeout;
    }
    Failure::Other(target.redact(&format!("{}: {error}", target.shown())))
}

/// The beginning of a body, if it is text.
pub(in crate::aside) fn excerpt(body: &[u8]) -> Option<String> {
    let cut = &body[..body.len().min(EXCERPT_BYTES_MAX)];
    let text = match std::str::from_utf8(cut) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&cut[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let text = crate::sink::redact_tokens(text.trim());
    (!text.is_empty()).then_some(text)
}
