//! Asks the first destination for filters.

use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::config::{Destination, Settings};
use crate::point::sinker;
use crate::shard::filters::{ANSWER_BYTES_MAX, Ask, PATH, QUERY};
use crate::sink::{Target, dataway};

/// The call, for the thread that makes it now and then: each on a connection of its own.
pub fn for_filters() -> Ask {
    Box::new(ask)
}

fn ask(settings: &Settings, left: Duration) -> Result<Vec<u8>, String> {
    let Destination::Dataway(dataway) = &settings.destination else {
        return Err("there is no destination to ask".to_owned());
    };
    let Some(endpoint) = dataway.urls.first() else { return Err("there is no destination to ask".to_owned()) };
    let target = Target::new(endpoint.clone());
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(left.min(dataway.timeout)))
        .user_agent(dataway::user_agent(env!("CARGO_PKG_VERSION"), &settings.hostname));
    if endpoint.tls {
        let roots = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<_> = roots.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(if roots.is_empty() { RootCerts::WebPki } else { RootCerts::new_with_certs(&roots) })
            .disable_verification(dataway.tls_insecure);
        config = config.tls_config(tls.build());
    }
    let scheme = if endpoint.tls { "https" } else { "http" };
    let query = endpoint.query.expose();
    let query = if query.is_empty() { QUERY.to_owned() } else { format!("{query}&{QUERY}") };
    let url = format!("{scheme}://{}{PATH}?{query}", endpoint.authority());
    let mut request = config.build().new_agent().get(&url).header("Referer", "DataKit");
    if let Some(tags) = sinker::static_header(settings) {
        request = request.header("X-Global-Tags", tags);
    }
    let failed = |error: ureq::Error| target.redact(&format!("{}: {error}", target.shown()));
    let mut response = request.call().map_err(failed)?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(format!("{} answered {status}", target.shown()));
    }
    response.body_mut().with_config().limit(ANSWER_BYTES_MAX as u64 + 1).read_to_vec().map_err(failed)
}
