//! What scripts ask of other hosts: `http_request()`, and the reference tables.
//!
//! Calls block, so that they are made on threads beside the shards. A host is checked by its name and by the addresses it
//! has, and only an address that was checked is connected to, after a redirect as before.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::config::Config;
use ureq::http::{Request, Uri};
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::config::HttpRequestSettings;
use crate::config::secret::Secret;
use crate::pipeline::outside::{HttpRequest, HttpResponse};

use super::dialtest::guard::Guard;
use super::forward;

/// A request of a script, from the look-up of its host to the last byte of its answer: DataKit's.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// An answer to a script. It becomes a value of the run, whose values together may take some ten times as much.
const ANSWER_BYTES_MAX: u64 = 8 << 20;
/// As many as Go's client follows.
const REDIRECTS_MAX: u32 = 10;

/// Tables may be large and are fetched seldom.
const TABLES_TIMEOUT: Duration = Duration::from_secs(60);
/// Read, they take up to some twenty times as much for a moment.
const TABLES_BYTES_MAX: u64 = 32 << 20;

/// Asks other hosts for scripts. One a configuration.
#[derive(Debug)]
pub struct Asker {
    /// None: nobody is asked.
    agent: Option<Agent>,
    settings: HttpRequestSettings,
}

impl Asker {
    pub fn new(settings: &HttpRequestSettings) -> Asker {
        let agent = (!settings.disabled).then(|| {
            let config = config().max_redirects(REDIRECTS_MAX).max_redirects_will_error(false).build();
            let checked = Checked { settings: settings.clone(), resolver: DefaultResolver::default() };
            Agent::with_parts(config, DefaultConnector::default(), checked)
        });
        Asker { agent, settings: settings.clone() }
    }

    /// Whether it is one of these settings.
    pub fn is_of(&self, settings: &HttpRequestSettings) -> bool {
        self.settings == *settings
    }

    /// The answer, within `left` and [`REQUEST_TIMEOUT`]. None where there is none. Blocks.
    pub fn ask(&self, request: &HttpRequest<'_>, left: Duration) -> Option<HttpResponse> {
        let agent = self.agent.as_ref()?;
        let timeout = left.min(REQUEST_TIMEOUT);
        if timeout.is_zero() {
            return None;
        }
        match ask(agent, request, timeout) {
            Ok(response) => Some(response),
            Err(error) => {
                // The address stays out of it: it may hold a token.
                tracing::debug!(%error, "http_request() comes to nothing");
                None
            }
        }
    }
}

fn ask(agent: &Agent, request: &HttpRequest<'_>, timeout: Duration) -> Result<HttpResponse, ureq::Error> {
    let mut built = Request::builder().method(method(request.method).as_slice()).uri(request.url);
    for (name, value) in &request.headers {
        built = built.header(*name, *value);
    }
    // Without a body these say that they have none, as Go's client does.
    let empty: Option<&[u8]> = matches!(request.method, b"POST" | b"PUT" | b"PATCH").then_some(b"");
    let mut response = match request.body.or(empty) {
        Some(body) => agent.run(with_timeout(agent, built.body(body)?, timeout))?,
        None => agent.run(with_timeout(agent, built.body(())?, timeout))?,
    };
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok(HttpResponse { status, body })
}

fn with_timeout<B: ureq::AsSendBody>(agent: &Agent, request: Request<B>, timeout: Duration) -> Request<B> {
    agent.configure_request(request).timeout_global(Some(timeout)).build()
}

/// As Go's client has it: nothing is `GET`.
fn method(given: &[u8]) -> Vec<u8> {
    if given.is_empty() { b"GET".to_vec() } else { given.to_vec() }
}

fn config() -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).root_certs(forward::roots());
    Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .proxy(None)
        .tls_config(tls.build())
}

/// Looks names up, and gives the addresses that may be asked.
struct Checked {
    settings: HttpRequestSettings,
    resolver: DefaultResolver,
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Checked {
    fn allows(&self, host: &str, address: IpAddr) -> bool {
        let HttpRequestSettings { hosts, networks, internal_forbidden, .. } = &self.settings;
        let guard = Guard { internal_forbidden: *internal_forbidden, networks: Vec::new() };
        let listed = hosts.is_empty() && networks.is_empty()
            || hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
            || networks.iter().any(|network| network.contains(&address.to_canonical()));
        listed && !guard.forbids(address)
    }
}

impl Resolver for Checked {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let found = self.resolver.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        for address in found.iter().filter(|address| self.allows(host, address.ip())) {
            allowed.push(*address);
        }
        if allowed.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(allowed) }
    }
}

/// Fetches the document of reference tables. The error says why there is none, without the address. Blocks.
pub fn fetch_tables(url: &Secret) -> Result<Vec<u8>, String> {
    let agent = config().timeout_global(Some(TABLES_TIMEOUT)).build().new_agent();
    let failed = |error: ureq::Error| match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::BodyExceedsLimit(_) => format!("an answer of more than {TABLES_BYTES_MAX} bytes"),
        // These two may repeat the address.
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => "the address cannot be used".to_owned(),
        error => error.to_string(),
    };
    let mut response = agent.get(url.expose()).call().map_err(failed)?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(format!("the answer has status {status}"));
    }
    response.body_mut().with_config().limit(TABLES_BYTES_MAX).read_to_vec().map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answers requests, one connection each, with what `answer` makes of their text.
    fn server(answer: impl Fn(&str) -> String + Send + 'static) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut text = [0; 4096];
                let length = stream.read(&mut text).unwrap_or(0);
                let reply = answer(&String::from_utf8_lossy(&text[..length]));
                let _ = stream.write_all(reply.as_bytes());
            }
        });
        port
    }

    fn reply(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    }

    fn get(settings: &HttpRequestSettings, url: &str) -> Option<HttpResponse> {
        let request = HttpRequest { method: b"GET", url: url.as_bytes(), headers: Vec::new(), body: None };
        Asker::new(settings).ask(&request, REQUEST_TIMEOUT)
    }

    #[test]
    fn only_those_are_asked_that_may_be() {
        let port = server(|_| reply("hello"));
        let url = format!("http://127.0.0.1:{port}/");
        let open = HttpRequestSettings::default();
        assert_eq!(get(&open, &url), Some(HttpResponse { status: 200, body: b"hello".to_vec() }));
        let answers = |settings: &HttpRequestSettings| get(settings, &url).is_some();
        assert!(!answers(&HttpRequestSettings { disabled: true, ..open.clone() }));
        assert!(!answers(&HttpRequestSettings { internal_forbidden: true, ..open.clone() }));
        let hosts = |host: &str| HttpRequestSettings { hosts: vec![host.to_owned()], ..open.clone() };
        assert!(answers(&hosts("127.0.0.1")) && !answers(&hosts("example.com")));
        let network = |text: &str| vec![text.parse().unwrap()];
        let networks = |text: &str| HttpRequestSettings { networks: network(text), ..open.clone() };
        assert!(answers(&networks("127.0.0.0/8")) && !answers(&networks("10.0.0.0/8")));
        assert!(!answers(&HttpRequestSettings { internal_forbidden: true, ..networks("127.0.0.0/8") }));
        for bad in ["ftp://127.0.0.1/", "http://", "", "127.0.0.1", "file:///etc/passwd", "http://a b/"] {
            assert_eq!(get(&open, bad), None, "{bad}");
        }
    }

    #[test]
    fn redirects_are_checked_too() {
        let target = server(|_| reply("there"));
        let location = format!("http://127.0.0.2:{target}/");
        let port = server(move |_| {
            format!(
                "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
        });
        let url = format!("http://127.0.0.1:{port}/");
        let only = |network: &str| HttpRequestSettings {
            networks: vec![network.parse().unwrap()],
            ..HttpRequestSettings::default()
        };
        assert_eq!(get(&only("127.0.0.1/32"), &url), None);
    }

    #[test]
    fn an_answer_that_is_too_late_or_too_large_is_none() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let asker = Asker::new(&HttpRequestSettings::default());
        let request = HttpRequest { method: b"GET", url: url.as_bytes(), headers: Vec::new(), body: None };
        let begun = std::time::Instant::now();
        assert_eq!(asker.ask(&request, Duration::from_millis(100)), None);
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(asker.ask(&request, Duration::ZERO), None);
        let port = server(|_| "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nx".to_owned());
        assert_eq!(get(&HttpRequestSettings::default(), &format!("http://127.0.0.1:{port}/")), None);
    }

    #[test]
    fn tables_are_fetched_and_addresses_not_told() {
        let port = server(|text| match text.contains("GET /tables?token=tkn_x ") {
            true => reply("[]"),
            false => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
        });
        let url = |path: &str| Secret::new(format!("http://127.0.0.1:{port}{path}"));
        assert_eq!(fetch_tables(&url("/tables?token=tkn_x")), Ok(b"[]".to_vec()));
        assert_eq!(fetch_tables(&url("/other")), Err("the answer has status 404".to_owned()));
        let error = fetch_tables(&Secret::new("http://h h/?token=tkn_secret")).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}
