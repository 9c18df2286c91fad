//! `PUT | DELETE /v1/sourcemap`, `GET /v1/sourcemap/check`: what is asked, and what answers look like.
//!
//! Every answer is 200; its body says whether it went well. What can be refused by the head alone, is: a form of a hundred
//! megabytes is received only from those who may put it there.

use std::borrow::Cow;

use crate::config::Destination;
use crate::config::secret::Secret;
use crate::http1::{Framing, Head, Method, query};
use crate::intake::{ContentType, Cors, Reply, Settings};
use crate::point::echo::json_string;

use super::sources::{Platform, archive_name};

pub const PATH: &str = "/v1/sourcemap";
pub const CHECK_PATH: &str = "/v1/sourcemap/check";

/// A form with an archive: DataKit's bound.
pub const BODY_BYTES_MAX: usize = 100 << 20;

const TOO_LARGE: &str = "http: request body too large";

/// The token that changes archives: that of the first destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FirstToken {
    #[default]
    NoDataway,
    NoToken,
    Token(Secret),
}

impl FirstToken {
    pub fn of(destination: &Destination) -> FirstToken {
        let Destination::Dataway(dataway) = destination else { return FirstToken::NoDataway };
        let Some(first) = dataway.urls.first() else { return FirstToken::NoDataway };
        match query::first(first.query.expose(), "token").filter(|token| !token.is_empty()) {
            None => FirstToken::NoToken,
            Some(token) => FirstToken::Token(Secret::new(token)),
        }
    }

    fn check(&self, given: &str) -> Result<(), String> {
        match self {
            FirstToken::NoDataway => Err("invalid token: dataway is not initialized".to_owned()),
            FirstToken::NoToken => Err("invalid token: dataway token is not set".to_owned()),
            FirstToken::Token(token) if is_same(token.expose().as_bytes(), given.as_bytes()) => Ok(()),
            FirstToken::Token(_) => Err("invalid token: token is missing or not correct".to_owned()),
        }
    }
}

/// Whether two texts are the same, in a time that does not tell how much of them is.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

/// The parameters.
#[derive(Debug, Default)]
pub struct Asked<'a> {
    pub app_id: Cow<'a, str>,
    pub platform: Cow<'a, str>,
    pub error_stack: Cow<'a, str>,
    token: Cow<'a, str>,
    env: Cow<'a, str>,
    version: Cow<'a, str>,
}

impl<'a> Asked<'a> {
    pub fn read(query: &'a str) -> Asked<'a> {
        let of = |name: &str| query::first(query, name).unwrap_or_default();
        Asked {
            app_id: of("app_id"),
            platform: of("platform"),
            error_stack: of("error_stack"),
            token: of("token"),
            env: of("env"),
            version: of("version"),
        }
    }

    /// The name of the archive's file.
    pub fn archive(&self) -> String {
        archive_name(&self.app_id, &self.env, &self.version)
    }
}

/// Whose archive of which name is to be changed, if whoever asks may.
pub fn target(query: &str, token: &FirstToken) -> Result<(Platform, String), String> {
    let asked = Asked::read(query);
    token.check(&asked.token)?;
    if asked.app_id.is_empty() {
        return Err("app_id not found".to_owned());
    }
    let platform = match &*asked.platform {
        "" => Some(Platform::Web),
        name => Platform::from_name(name),
    };
    let platform = platform.ok_or_else(|| {
        let platform = &asked.platform;
        format!("platform [{platform}] not supported, please use web, miniapp, android or ios")
    })?;
    let name = asked.archive();
    // Without a slash it can only be a file of its folder.
    if name.contains('/') {
        return Err(format!(
            "invalid file name [{name}], should not contain illegal char, such as  '../, /'"
        ));
    }
    Ok((platform, name))
}

/// That a form is larger than it may be.
pub fn check_bytes(bytes: u64) -> Result<(), String> {
    if bytes > BODY_BYTES_MAX as u64 { Err(TOO_LARGE.to_owned()) } else { Ok(()) }
}

/// The refusal of a form before it comes.
pub fn refuse_early(head: &Head<'_>, cors: impl FnOnce() -> Cors, settings: &Settings) -> Option<Reply> {
    let token = settings.options.rum.sourcemap.as_ref()?;
    if head.method != Method::Put || head.path != PATH {
        return None;
    }
    let bytes = match head.framing {
        Framing::Length(bytes) => bytes,
        _ => 0,
    };
    let error = target(head.query, token).and_then(|_| check_bytes(bytes)).err()?;
    Some(changed(Err(error)).with_cors(&cors()))
}

/// The answer to a change.
pub fn changed(result: Result<String, String>) -> Reply {
    let mut body = b"{\"content\":".to_vec();
    match &result {
        Ok(text) => json_string(text.as_bytes(), &mut body),
        Err(_) => body.extend_from_slice(b"null"),
    }
    end(body, result.err().as_deref(), "text/plain; charset=utf-8")
}

/// The answer to a check: the stack that was found, the one that was sent, and what went wrong.
pub fn checked(resolved: &[u8], original: &str, error: Option<&str>) -> Reply {
    let mut body = b"{\"content\":{\"error_stack\":".to_vec();
    json_string(resolved, &mut body);
    body.extend_from_slice(b",\"original_error_stack\":");
    json_string(original.as_bytes(), &mut body);
    body.push(b'}');
    end(body, error, "application/json;charset=utf-8")
}

fn end(mut body: Vec<u8>, error: Option<&str>, content_type: &'static str) -> Reply {
    body.extend_from_slice(b",\"errorMsg\":");
    json_string(error.unwrap_or_default().as_bytes(), &mut body);
    body.extend_from_slice(if error.is_none() { b",\"success\":true}" } else { b",\"success\":false}" });
    Reply { content_type: ContentType::Value(content_type.into()), body, ..Reply::empty(200) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secret::Endpoint;
    use crate::config::{ArchiveSettings, DatawaySettings};

    #[test]
    fn the_first_destinations_token_counts() {
        let dataway = |urls: &[&str]| {
            let urls = urls.iter().map(|url| Endpoint::parse(url).unwrap()).collect();
            Destination::Dataway(DatawaySettings::new(urls))
        };
        let of = FirstToken::of;
        let first = "http://a?token=tkn_a";
        assert_eq!(of(&dataway(&[first, "http://b?token=tkn_b"])), FirstToken::Token(Secret::new("tkn_a")));
        assert_eq!(of(&dataway(&["http://b?x=1", first])), FirstToken::NoToken);
        assert_eq!(of(&dataway(&["http://b?token="])), FirstToken::NoToken);
        let archive = ArchiveSettings { dir: "/x".into(), rotate_bytes: 1 };
        assert_eq!(of(&Destination::Archive(archive)), FirstToken::NoDataway);
        assert_eq!(of(&Destination::Blackhole), FirstToken::NoDataway);
        assert!(is_same(b"ab", b"ab") && is_same(b"", b""));
        assert!(!is_same(b"ab", b"ac") && !is_same(b"ab", b"abc") && !is_same(b"", b"a"));
        assert!(!format!("{:?}", of(&dataway(&[first]))).contains("tkn_a"));
    }
}
