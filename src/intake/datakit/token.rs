//! `?token=` on writes, and `GET /v1/check/token/:token`: this gateway as agents' DataWay.
//!
//! A token names a workspace. Where token routing is on, the one of a request goes with its points, as far as the
//! destination, in place of the configured one; a request without one belongs to the configured one's workspace. What a
//! token must look like is DataKit's own check. A list of tokens in the configuration lets in those alone, whatever they
//! look like.
//!
//! RUM is sent from browsers, with a public token of another form that only a destination can judge. Without a list such
//! a token is left out there, and the points belong to the configured workspace; with one it must be on it.
//!
//! No text says which token it was.

use crate::config::secret::Secret;
use crate::http1::query;
use crate::intake::{Reply, Settings};
use crate::point::echo::json_string;

use super::error::ApiError;

/// Beginnings, and how many letters and digits follow.
const FORMS: [(&str, usize); 3] = [("tkn_", 32), ("token_", 32), ("tokn_", 24)];

const MALFORMED: &str =
    "the token is malformed: it must be tkn_ or token_ and 32, or tokn_ and 24 letters and digits";
const UNKNOWN: &str = "the token is none of those that are served here";

/// Whose points a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    Agent,
    Browser,
}

/// The token that a write selects. None: that of the configuration.
pub fn of_write(raw_query: &str, sender: Sender, settings: &Settings) -> Result<Option<Secret>, ApiError> {
    if raw_query.is_empty() || !settings.options.access.token_routing {
        return Ok(None);
    }
    let Some(token) = query::first(raw_query, "token").filter(|token| !token.is_empty()) else {
        return Ok(None);
    };
    if sender == Sender::Browser && settings.options.access.tokens.is_empty() && !is_well_formed(&token) {
        return Ok(None);
    }
    judge(token.into_owned(), settings).map(Some)
}

/// The answer to whether a token is served: what a DataWay says.
pub fn check(token: &[u8], settings: &Settings) -> Reply {
    let token = String::from_utf8_lossy(token).into_owned();
    let (status, code, message) = match judge(token, settings) {
        Ok(_) => (200, "", String::new()),
        Err(error) => (error.status, error.code, error.message),
    };
    let mut body = format!("{{\"code\":{status},\"errorCode\":").into_bytes();
    json_string(code.as_bytes(), &mut body);
    body.extend_from_slice(b",\"message\":");
    json_string(message.as_bytes(), &mut body);
    body.push(b'}');
    Reply::json(status, body)
}

fn judge(token: String, settings: &Settings) -> Result<Secret, ApiError> {
    let token = Secret::new(token);
    let served = &settings.tokens;
    let invalid =
        |text: &str| ApiError { status: 403, code: "datakit.invalidToken", message: text.to_owned() };
    // Found by a keyed hash, so that the time it takes says nothing about the tokens that are served.
    match served.contains(&token) {
        true => Ok(token),
        false if !is_well_formed(token.expose()) => Err(invalid(MALFORMED)),
        false if served.is_empty() => Ok(token),
        false => Err(invalid(UNKNOWN)),
    }
}

fn is_well_formed(token: &str) -> bool {
    FORMS.iter().any(|(prefix, length)| {
        let rest = token.strip_prefix(prefix).unwrap_or_default();
        rest.len() == *length && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::{Options, access};
    use crate::point::Compat;

    const TKN: &str = "tkn_0123456789abcdef0123456789abcdef";
    const TOKEN: &str = "token_0123456789abcdef0123456789abcdef";
    const TOKN: &str = "tokn_0123456789abcdefABCDEFGH";
    const PUBLIC: &str = "b2c8f5d07f4a4b0e";

    fn settings(compat: Compat, tokens: &[&str]) -> Settings {
        let tokens = tokens.iter().map(|&token| Secret::new(token)).collect();
        let access = access::Options { tokens, ..access::Options::of(compat) };
        Settings::new(Options { compat, access, ..Options::default() })
    }

    fn selected(query: &str, sender: Sender, settings: &Settings) -> Result<Option<String>, u16> {
        let token = of_write(query, sender, settings);
        token.map(|token| token.map(|token| token.expose().to_owned())).map_err(|error| error.status)
    }

    #[test]
    fn a_well_formed_token_is_selected() {
        let settings = settings(Compat::Documented, &[]);
        for token in [TKN, TOKEN, TOKN] {
            let query = format!("precision=s&token={token}");
            assert_eq!(selected(&query, Sender::Agent, &settings), Ok(Some(token.to_owned())));
            assert_eq!(selected(&query, Sender::Browser, &settings), Ok(Some(token.to_owned())));
        }
        for query in ["", "precision=s", "token=", "token"] {
            assert_eq!(selected(query, Sender::Agent, &settings), Ok(None), "{query}");
        }
        assert_eq!(
            selected(&format!("token={}", TKN.replace('_', "%5F")), Sender::Agent, &settings),
            Ok(Some(TKN.to_owned()))
        );
        for token in [
            "abc",
            "tkn_",
            "tkn_0123456789abcdef0123456789abcde",
            "tkn_0123456789abcdef0123456789abcdef0",
            "TKN_0123456789abcdef0123456789abcdef",
            "tokn_0123456789abcdef0123456789abcdef",
            "tkn_0123456789abcdef0123456789abcd%0A",
            "tkn_0123456789abcdef0123456789abc%C3%A9",
            PUBLIC,
        ] {
            let query = format!("token={token}");
            assert_eq!(selected(&query, Sender::Agent, &settings), Err(403), "{token}");
            assert_eq!(selected(&query, Sender::Browser, &settings), Ok(None), "{token}");
            let error = of_write(&query, Sender::Agent, &settings).unwrap_err();
            assert_eq!((error.code, error.message.as_str()), ("datakit.invalidToken", MALFORMED));
        }
    }

    #[test]
    fn a_list_lets_in_those_on_it_alone() {
        let settings = settings(Compat::Documented, &[TKN, PUBLIC]);
        for sender in [Sender::Agent, Sender::Browser] {
            assert_eq!(selected(&format!("token={TKN}"), sender, &settings), Ok(Some(TKN.to_owned())));
            assert_eq!(selected(&format!("token={PUBLIC}"), sender, &settings), Ok(Some(PUBLIC.to_owned())));
            assert_eq!(selected(&format!("token={TOKEN}"), sender, &settings), Err(403));
            assert_eq!(selected("token=other", sender, &settings), Err(403));
            assert_eq!(selected("", sender, &settings), Ok(None));
        }
    }

    #[test]
    fn datakit_ignores_tokens() {
        let settings = settings(Compat::Datakit184, &[]);
        assert_eq!(selected("token=abc", Sender::Agent, &settings), Ok(None));
        assert_eq!(selected(&format!("token={TKN}"), Sender::Agent, &settings), Ok(None));
    }

    #[test]
    fn a_token_can_be_asked_about() {
        let (open, closed) = (settings(Compat::Documented, &[]), settings(Compat::Documented, &[TKN]));
        for (token, settings, status) in [
            (TKN, &open, 200),
            (TOKEN, &open, 200),
            ("tkn_x", &open, 403),
            (TKN, &closed, 200),
            (TOKEN, &closed, 403),
        ] {
            let reply = check(token.as_bytes(), settings);
            let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!((reply.status, body["code"].as_u64()), (status, Some(u64::from(status))), "{token}");
            assert_eq!(body["errorCode"], if status == 200 { "" } else { "datakit.invalidToken" });
            assert_eq!(body["message"] == "", status == 200);
            assert!(!String::from_utf8_lossy(&reply.body).contains(token));
        }
        assert_eq!(check(TKN.as_bytes(), &open).body, br#"{"code":200,"errorCode":"","message":""}"#);
    }
}
