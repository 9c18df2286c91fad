//! The routes for people and their tools: queries, labels, tags, errors. What they need of the head; the rest is done aside.

use crate::http1::{Head, Method};
use crate::intake::aside::{AsidePlan, BODY_BYTES_MAX, SourceMap, TRIAL_BODY_BYTES_MAX, TagSet, What};
use crate::intake::reply::Cors;
use crate::intake::{Action, Settings};
use crate::metrics::names::{
    API_DIALTEST, API_ELECTION_TAGS, API_ENV_VARIABLE, API_HOST_TAGS, API_LABELS, API_LASTERROR, API_METRICS,
    API_PIPELINE, API_QUERY, API_SOURCEMAP, API_WORKSPACE,
};

use super::rum::sourcemap;
use super::tags;

/// A route: its method, its path, and the number under which its requests are counted against a client's rate.
struct Control {
    method: Method,
    path: &'static str,
    limited: Option<u8>,
    api: usize,
}

const fn control(method: Method, path: &'static str, limited: Option<u8>, api: usize) -> Control {
    Control { method, path, limited, api }
}

const METRICS: &str = "/metrics";
const HOST_TAGS: &str = "/v1/global/host/tags";
const ELECTION_TAGS: &str = "/v1/global/election/tags";
const LABELS: &str = "/v1/object/labels";
/// A public route where tests are run at all.
pub const DIALTEST: &str = "/v1/dialtesting/debug";
const PIPELINE_DEBUG: &str = "/v1/pipeline/debug";
pub const ENV_VARIABLE: &str = "/v1/env_variable";

/// All of them. `/v1/env_variable`, source maps and dial tests are a collector's in DataKit, hence not limited.
static ROUTES: [Control; 18] = [
    control(Method::Get, METRICS, Some(252), API_METRICS),
    control(Method::Post, "/v1/query/raw", Some(250), API_QUERY),
    control(Method::Post, LABELS, Some(249), API_LABELS),
    control(Method::Delete, LABELS, Some(248), API_LABELS),
    control(Method::Get, "/v1/workspace", Some(247), API_WORKSPACE),
    control(Method::Get, ENV_VARIABLE, None, API_ENV_VARIABLE),
    control(Method::Put, sourcemap::PATH, None, API_SOURCEMAP),
    control(Method::Delete, sourcemap::PATH, None, API_SOURCEMAP),
    control(Method::Get, sourcemap::CHECK_PATH, None, API_SOURCEMAP),
    control(Method::Post, DIALTEST, None, API_DIALTEST),
    control(Method::Post, PIPELINE_DEBUG, Some(238), API_PIPELINE),
    control(Method::Post, "/v1/lasterror", Some(246), API_LASTERROR),
    control(Method::Get, HOST_TAGS, Some(245), API_HOST_TAGS),
    control(Method::Post, HOST_TAGS, Some(244), API_HOST_TAGS),
    control(Method::Delete, HOST_TAGS, Some(243), API_HOST_TAGS),
    control(Method::Get, ELECTION_TAGS, Some(242), API_ELECTION_TAGS),
    control(Method::Post, ELECTION_TAGS, Some(241), API_ELECTION_TAGS),
    control(Method::Delete, ELECTION_TAGS, Some(240), API_ELECTION_TAGS),
];

/// Their paths; one with several methods several times.
pub fn paths() -> impl Iterator<Item = &'static str> {
    ROUTES.iter().map(|route| route.path)
}

fn find(method: Method, path: &[u8]) -> Option<&'static Control> {
    ROUTES.iter().find(|route| route.method == method && route.path.as_bytes() == path)
}

/// The route, if it is open.
fn find_open(method: Method, path: &[u8], settings: &Settings) -> Option<&'static Control> {
    find(method, path).filter(|route| match route.api {
        API_SOURCEMAP => settings.options.rum.sourcemap.is_some(),
        API_DIALTEST => settings.options.dialtesting,
        _ => true,
    })
}

/// Whether there is such a route.
pub fn is_route(method: Method, path: &[u8], settings: &Settings) -> bool {
    find_open(method, path, settings).is_some()
}

/// How large the body of a request on one of them may be, whatever is configured for writes.
pub fn body_bytes_max(method: Method, path: &[u8]) -> Option<usize> {
    let route = find(method, path)?;
    Some(match route.api {
        API_SOURCEMAP => sourcemap::BODY_BYTES_MAX,
        API_PIPELINE => TRIAL_BODY_BYTES_MAX,
        _ => BODY_BYTES_MAX,
    })
}

/// See [`super::limited`].
pub fn limited(method: Method, path: &[u8]) -> Option<u8> {
    find(method, path)?.limited
}

/// What is to be done about a request on one of them.
pub fn route(
    head: &Head<'_>,
    path: &[u8],
    cors: impl FnOnce() -> Cors,
    settings: &Settings,
) -> Option<Action> {
    let control = find_open(head.method, path, settings)?;
    let cors = cors();
    let what = match (head.method, control.path) {
        (_, METRICS) => What::Metrics { gzip: accepts_gzip(head) },
        (_, "/v1/query/raw") => What::Query,
        (Method::Delete, LABELS) => What::UnsetLabels,
        (_, LABELS) => What::SetLabels,
        (_, "/v1/workspace") => What::Workspace,
        (_, ENV_VARIABLE) => What::EnvVariable,
        (_, "/v1/lasterror") => What::LastError,
        (_, DIALTEST) => What::DialTest,
        (_, PIPELINE_DEBUG) => What::Pipeline,
        (_, sourcemap::CHECK_PATH) => What::SourceMap(SourceMap::Check),
        (Method::Delete, sourcemap::PATH) => What::SourceMap(SourceMap::Delete),
        (_, sourcemap::PATH) => What::SourceMap(SourceMap::Put),
        (method, path) => {
            let set = if path == HOST_TAGS { TagSet::Host } else { TagSet::Election };
            match tags::asked(method, set, head.query, settings) {
                Ok(change) => What::Tags(set, change),
                Err(reply) => return Some(Action::Reply(reply.with_cors(&cors))),
            }
        }
    };
    let content_type =
        head.header("content-type").map(String::from_utf8_lossy).unwrap_or_default().into_owned();
    Some(Action::Aside(Box::new(AsidePlan {
        what,
        query: head.query.to_owned(),
        content_type,
        cors,
        api: control.api,
    })))
}

/// Whether the client reads gzip: by name or as anything, and not with a weight of zero.
fn accepts_gzip(head: &Head<'_>) -> bool {
    let Some(accepted) = head.header("accept-encoding").and_then(|value| std::str::from_utf8(value).ok())
    else {
        return false;
    };
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let zero = parts.any(|part| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.bytes().all(|byte| matches!(byte, b'0' | b'.')))
        });
        (name.eq_ignore_ascii_case("gzip") || name == "*") && !zero
    })
}
