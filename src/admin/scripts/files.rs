//! Scripts and patterns, as they lie in folders.

use std::io;
use std::path::{Path, PathBuf};

use crate::pipeline::store::{SCRIPT_BYTES_MAX, Texts};

/// Entries of a folder that are looked at.
const ENTRIES_MAX: usize = 10_000;

/// The scripts of a folder, by name. One that cannot be read is told of.
pub fn scripts(folder: &Path) -> Texts {
    let mut texts = Texts::new();
    for path in entries(folder) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if !name.ends_with(".p") || !path.is_file() {
            continue;
        }
        match read(&path) {
            Ok(text) => drop(texts.insert(name.to_owned(), text)),
            Err(error) => tracing::warn!(file = %path.display(), %error, "a script cannot be read"),
        }
    }
    texts
}

/// The patterns in the files of a folder: a line each, a name and an expression.
pub fn patterns(folder: &Path) -> Vec<(String, String)> {
    let mut patterns = Vec::new();
    for path in entries(folder).into_iter().filter(|path| path.is_file()) {
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "patterns cannot be read");
                continue;
            }
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.split_once(char::is_whitespace));
        patterns.extend(pairs.map(|(name, expression)| (name.to_owned(), expression.trim().to_owned())));
    }
    patterns
}

/// A file of scripts or patterns.
pub fn read(path: &Path) -> io::Result<String> {
    if std::fs::metadata(path)?.len() > SCRIPT_BYTES_MAX as u64 {
        return Err(io::Error::other(format!("larger than {SCRIPT_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(path)
}

/// What is in a folder, by name; nothing where there is none.
pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        entries.take(ENTRIES_MAX).filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
