//! Source maps: `PUT | DELETE /v1/sourcemap`, `GET /v1/sourcemap/check`, and the original source of RUM errors.
//!
//! An archive of an application's maps (web, miniapp) or symbols (android, ios) is put under its name, environment and
//! version. The stack of an error of that application then gets the places in its source: in `check`, and in points on
//! their way in (see [`crate::intake::datakit::rum::sources`]).
//!
//! Pure: [`map`] reads a map, [`frames`] and [`mobile`] stacks, [`multipart`] a form, [`zip`] an archive, [`url`] names. With
//! files and programs: [`store`], [`unpack`], [`books`], [`tools`], [`resolve`],
//! [`workers`].
//!
//! Compatible with the recorded DataKit 1.84.1: every answer is 200, and its body says whether it went well. What differs:
//! archives of miniapp are taken, which its own message says they are; a corrupt archive put over a good one is not hidden
//! by what is still in memory; maps are read when they are asked for, not all at once; of what `retrace` prints no letters
//! are cut off.

mod books;
mod frames;
mod map;
mod mobile;
mod multipart;
mod resolve;
mod store;
#[cfg(test)]
mod testing;
mod tools;
mod unpack;
mod url;
mod workers;
mod zip;

pub use store::Store;

use std::borrow::Cow;
use std::io;
use std::time::Instant;

use crate::config::secret::Secret;
use crate::config::{Destination, SourcemapSettings};
use crate::http1::query;
use crate::intake::datakit::rum::sources::{Platform, archive_name};
use crate::intake::{ContentType, Reply};
use crate::point::echo::json_string;

use resolve::Failure;
use store::PutError;

/// A form with an archive: DataKit's bound. Whoever receives bodies must let this and a little more through, so that what
/// is too large can be told.
pub const BODY_BYTES_MAX: usize = 100 << 20;

/// The name of the file in the form.
const FILE: &str = "file";

/// The token that changes archives: that of the first destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstToken {
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
    a.len() == b.len() && std::hint::black_box(a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b))) == 0
}

/// `PUT /v1/sourcemap`.
pub fn put(
    store: &Store,
    settings: &SourcemapSettings,
    query: &str,
    content_type: &[u8],
    body: &[u8],
    token: &FirstToken,
) -> Reply {
    changed(put_archive(store, settings, query, content_type, body, token))
}

fn put_archive(
    store: &Store,
    settings: &SourcemapSettings,
    query: &str,
    content_type: &[u8],
    body: &[u8],
    token: &FirstToken,
) -> Result<String, String> {
    let (platform, name) = target(query, token)?;
    if body.len() > BODY_BYTES_MAX {
        return Err("http: request body too large".to_owned());
    }
    let file = multipart::file(content_type, body, FILE).map_err(|error| error.to_string())?;
    let folder = store.folder(platform);
    let path = folder.join(&name);
    let shown = path.display();
    if !store.has_room(file.len() as u64, settings) {
        return Err(format!("write sourcemap file [{shown}] failed: write {shown}: no space left on device"));
    }
    store.put(platform, &name, file).map_err(|error| match error {
        PutError::Folder(error) => {
            let folder = folder.display();
            format!("create rum dir [{folder}] failed: mkdir {folder}: {}", in_gos_words(&error))
        }
        PutError::Create(error) => {
            format!("create sourcemap file [{shown}] failed: open {shown}: {}", in_gos_words(&error))
        }
        PutError::Write(error) => {
            format!("write sourcemap file [{shown}] failed: write {shown}: {}", in_gos_words(&error))
        }
    })?;
    Ok(format!("uploaded to [{shown}]!"))
}

/// `DELETE /v1/sourcemap`.
pub fn delete(store: &Store, query: &str, token: &FirstToken) -> Reply {
    changed(target(query, token).and_then(|(platform, name)| {
        let path = store.folder(platform).join(&name);
        let shown = path.display();
        store.delete(platform, &name).map_err(|error| {
            format!("delete sourcemap file [{shown}] failed: remove {shown}: {}", in_gos_words(&error))
        })?;
        Ok(format!("deleted [{shown}]!"))
    }))
}

/// `GET /v1/sourcemap/check`.
pub fn check(store: &Store, settings: &SourcemapSettings, query: &str, deadline: Instant) -> Reply {
    let asked = Asked::read(query);
    let platform = Platform::from_name(&asked.platform).unwrap_or(Platform::Web);
    let (resolved, failure) = if asked.app_id.is_empty() {
        (Vec::new(), None)
    } else {
        resolve_checked(store, settings, platform, &asked, deadline)
    };
    let mut body = b"{\"content\":{\"error_stack\":".to_vec();
    json_string(&resolved, &mut body);
    body.extend_from_slice(b",\"original_error_stack\":");
    json_string(asked.error_stack.as_bytes(), &mut body);
    body.push(b'}');
    end(body, failure.as_deref(), "application/json;charset=utf-8")
}

/// The resolved stack, and what is told to have gone wrong.
fn resolve_checked(
    store: &Store,
    settings: &SourcemapSettings,
    platform: Platform,
    asked: &Asked<'_>,
    deadline: Instant,
) -> (Vec<u8>, Option<String>) {
    let name = asked.archive();
    let stack = asked.error_stack.as_bytes();
    match platform {
        // Which program it takes depends on the type of the error, which is no parameter.
        Platform::Android => (Vec::new(), None),
        Platform::Ios => (store.resolve_ios(&name, stack, settings, deadline).unwrap_or_default(), None),
        Platform::Web | Platform::Miniapp => {
            let in_folder = |platform| store.resolve_web(platform, &name, stack, settings, deadline);
            let found = match (in_folder(platform), platform.fallback()) {
                (Err(Failure::NoArchive), Some(fallback)) => in_folder(fallback),
                (found, _) => found,
            };
            match found {
                Ok(resolved) => (resolved.stack, resolved.failure),
                Err(Failure::NoArchive) => {
                    let path = store.folder(platform).join(&name);
                    (Vec::new(), Some(format!("source map file [{}] not exists", path.display())))
                }
                Err(Failure::OutOfTime) => (Vec::new(), Some("it takes too long: try again".to_owned())),
                Err(Failure::Other(text)) => (Vec::new(), Some(text)),
            }
        }
    }
}

/// The parameters.
#[derive(Default)]
struct Asked<'a> {
    token: Cow<'a, str>,
    app_id: Cow<'a, str>,
    env: Cow<'a, str>,
    version: Cow<'a, str>,
    platform: Cow<'a, str>,
    error_stack: Cow<'a, str>,
}

impl<'a> Asked<'a> {
    fn read(query: &'a str) -> Asked<'a> {
        let of = |name: &str| query::first(query, name).unwrap_or_default();
        Asked {
            token: of("token"),
            app_id: of("app_id"),
            env: of("env"),
            version: of("version"),
            platform: of("platform"),
            error_stack: of("error_stack"),
        }
    }

    fn archive(&self) -> String {
        archive_name(&self.app_id, &self.env, &self.version)
    }
}

/// Whose archive of which name is to be changed, if whoever asks may.
fn target(query: &str, token: &FirstToken) -> Result<(Platform, String), String> {
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

/// The answer to a change.
fn changed(result: Result<String, String>) -> Reply {
    let mut body = b"{\"content\":".to_vec();
    match &result {
        Ok(text) => json_string(text.as_bytes(), &mut body),
        Err(_) => body.extend_from_slice(b"null"),
    }
    end(body, result.err().as_deref(), "text/plain; charset=utf-8")
}

fn end(mut body: Vec<u8>, error: Option<&str>, content_type: &'static str) -> Reply {
    body.extend_from_slice(b",\"errorMsg\":");
    json_string(error.unwrap_or_default().as_bytes(), &mut body);
    body.extend_from_slice(if error.is_none() { b",\"success\":true}" } else { b",\"success\":false}" });
    Reply { content_type: ContentType::Value(content_type.into()), body, ..Reply::empty(200) }
}

/// What the system says, without its number and in lower case.
fn in_gos_words(error: &io::Error) -> String {
    if error.raw_os_error().is_none() && error.kind() == io::ErrorKind::InvalidInput {
        return "invalid argument".to_owned();
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
