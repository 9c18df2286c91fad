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

use std::io;
use std::time::Instant;

use crate::config::SourcemapSettings;
use crate::intake::Reply;
use crate::intake::aside::SourceMap;
use crate::intake::datakit::rum::sourcemap::{Asked, FirstToken, changed, check_bytes, checked, target};
use crate::intake::datakit::rum::sources::Platform;

use super::Request;
use resolve::Failure;
use store::PutError;

/// The name of the file in the form.
const FILE: &str = "file";

/// Answers a request.
pub fn answer(store: &Store, asked: SourceMap, request: &Request<'_>) -> Reply {
    let (plan, settings) = (request.plan, &request.settings.rum.sourcemap);
    // Switched off since it was routed: nobody's token is right.
    let token = request.intake.options.rum.sourcemap.clone().unwrap_or_default();
    match asked {
        SourceMap::Put => {
            put(store, settings, &plan.query, plan.content_type.as_bytes(), request.body, &token)
        }
        SourceMap::Delete => delete(store, &plan.query, &token),
        SourceMap::Check => check(store, settings, &plan.query, request.deadline),
    }
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
    check_bytes(body.len() as u64)?;
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
    checked(&resolved, &asked.error_stack, failure.as_deref())
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
