//! Calls to the first destination that carry no points: queries, labels, the workspace, variables, rules. Answers are passed
//! on; where there is none, it is said why.
//!
//! As recorded: what the destination answers, short of a 5xx, is the answer, under 200.

mod client;
mod query;

use std::fmt::Write as _;

use crate::config::{Compat, Destination};
use crate::http1::query::{escape, first};
use crate::intake::Reply;
use crate::intake::datakit::error::{ApiError, timed_out};
use crate::point::echo::json_string;

use super::{Desk, Request};

pub use client::{Answer, Call, Failure, Forward};
pub(super) use client::{excerpt, roots};

/// `POST /v1/query/raw`: the body is read and written anew, with the token of the destination where it has none.
pub fn query(desk: &Desk, request: &Request<'_>) -> Reply {
    let token = first_token(request);
    match query::rewrite(request.body, token.as_deref()) {
        Ok(body) => passed_on(desk, request, Call::new("POST", "/v1/query/raw").with_body(&body)),
        Err(text) => {
            let message = format!("json.Unmarshal: {text}");
            ApiError { status: 400, code: "datakit.invalidJSON", message }.reply()
        }
    }
}

/// `POST | DELETE /v1/object/labels`: the body as it is.
pub fn labels(desk: &Desk, request: &Request<'_>, method: &'static str) -> Reply {
    passed_on(desk, request, Call::new(method, "/v1/object/labels").with_body(request.body))
}

/// `GET /v1/workspace`: who the token of the destination belongs to.
pub fn workspace(desk: &Desk, request: &Request<'_>) -> Reply {
    let mut body = b"{\"token\":[".to_vec();
    json_string(first_token(request).unwrap_or_default().as_bytes(), &mut body);
    body.extend_from_slice(b"]}");
    passed_on(desk, request, Call::new("POST", "/v1/workspace").with_body(&body))
}

/// `GET /v1/env_variable?app_id=`: what is configured for an application.
pub fn env_variable(desk: &Desk, request: &Request<'_>) -> Reply {
    let mut more = "app_id=".to_owned();
    escape(&first(&request.plan.query, "app_id").unwrap_or_default(), &mut more);
    more.push_str("&scope=rum");
    passed_on(desk, request, Call { query: &more, ..Call::new("GET", "/v1/env_variable") })
}

/// The token of the first destination, decoded.
pub fn first_token(request: &Request<'_>) -> Option<String> {
    let Destination::Dataway(dataway) = &request.settings.destination else { return None };
    let token = first(dataway.urls.first()?.query.expose(), "token")?;
    (!token.is_empty()).then(|| token.into_owned())
}

/// Makes the call, and an answer of what comes of it.
fn passed_on(desk: &Desk, request: &Request<'_>, call: Call<'_>) -> Reply {
    let documented = request.settings.compat == Compat::Documented;
    let failed = |code: &'static str, message: String| {
        // The recorded server says nothing more.
        let message = if documented { message } else { String::new() };
        ApiError { status: 500, code, message }.reply()
    };
    match desk.forward.call(request.settings, &call, request.left()) {
        Ok(Answer { status, body }) if status < 500 => Reply::json(200, body),
        Ok(Answer { status, body }) => {
            let mut message = format!("the destination answered {status}");
            if let Some(text) = client::excerpt(&body) {
                let _ = write!(message, ": {text}");
            }
            failed(ALL_FAILED, message)
        }
        Err(Failure::NoDestination) => {
            let message = "there is no destination to ask: set `urls` in [dataway]".to_owned();
            failed("datawayTokenMissing", message)
        }
        Err(Failure::Timeout) if request.left().is_zero() => timed_out(request.timeout),
        Err(Failure::Timeout) => failed(ALL_FAILED, "the destination does not answer in time".to_owned()),
        Err(Failure::Other(text)) => failed(ALL_FAILED, text),
    }
}

/// DataKit's word for a call that came to nothing.
const ALL_FAILED: &str = "all-retry-failed";

#[cfg(test)]
mod tests;
