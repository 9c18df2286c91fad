//! `%{NAME:alias:type}` written out as a regular expression.

use std::{collections::HashMap, fmt, sync::Arc};

use super::patterns::BUILT_IN;
use crate::pipeline::lib::regex::{self, syntax};

/// Patterns a user may keep in files, all together.
pub const PATTERNS_MAX: usize = 4_096;
/// How deep patterns of files may refer to each other.
const DEPTH_MAX: usize = 32;

/// What a captured text becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    #[default]
    Str,
    Int,
    Float,
    Bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A reference that is none: a bad name or an unknown type.
    Invalid(String),
    NotFound(String),
    Regex(regex::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Invalid(reference) => write!(f, "invalid pattern `%{{{reference}}}`"),
            // Spelled so by the engine that scripts were written for.
            Error::NotFound(name) => write!(f, "no pattern foud for %{{{name}}}"),
            Error::Regex(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

/// A pattern without references left in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub text: String,
    /// Types declared in it, by alias.
    pub kinds: Vec<(String, Kind)>,
}

/// Where names are looked up: the scopes of a script first, then [`Patterns`].
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<Arc<Definition>>;

impl Definition {
    /// Writes out the references in `pattern`.
    pub fn new(pattern: &str, lookup: Lookup<'_>) -> Result<Definition, Error> {
        let mut text = String::with_capacity(pattern.len() * 2);
        let mut kinds: Vec<(String, Kind)> = Vec::new();
        let mut rest = pattern;
        while let Some(at) = rest.find("%{") {
            let (plain, from) = rest.split_at(at);
            text.push_str(plain);
            let Some(inner) = reference(from) else {
                // Letters like any others.
                text.push('%');
                rest = &from[1..];
                continue;
            };
            rest = &from[inner.len() + 3..];
            let invalid = || Error::Invalid(inner.to_owned());
            let mut parts = inner.split(':');
            let name = parts.next().filter(|name| is_name(name)).ok_or_else(invalid)?;
            let alias: Option<String> = parts.next().map(alias_of);
            let kind = parts.next().map(|kind| kind_of(kind).ok_or_else(invalid)).transpose()?;
            let found = lookup(name).ok_or_else(|| Error::NotFound(name.to_owned()))?;
            text.push('(');
            if let Some(alias) = &alias {
                text.push_str("?P<");
                text.push_str(alias);
                text.push('>');
            }
            text.push_str(&found.text);
            text.push(')');
            if let (Some(alias), Some(kind)) = (alias, kind) {
                kinds.retain(|(own, _)| *own != alias);
                kinds.push((alias, kind));
            }
            for (alias, kind) in &found.kinds {
                if !kinds.iter().any(|(own, _)| own == alias) {
                    kinds.push((alias.clone(), *kind));
                }
            }
            if text.len() > syntax::PATTERN_BYTES_MAX {
                return Err(too_large());
            }
        }
        text.push_str(rest);
        if text.len() > syntax::PATTERN_BYTES_MAX {
            return Err(too_large());
        }
        Ok(Definition { text, kinds })
    }
}

fn too_large() -> Error {
    Error::Regex(regex::Error { what: "expression too large", part: String::new() })
}

fn is_word(b: u8) -> bool {
    b == b'_' || b.is_ascii_alphanumeric()
}

/// The inside of the reference that `from` begins with: one to three parts of word characters, dots and dashes.
fn reference(from: &str) -> Option<&str> {
    let inner = from.strip_prefix("%{")?;
    let end = inner.bytes().position(|b| !(is_word(b) || matches!(b, b'-' | b'.' | b':')))?;
    let (inner, after) = inner.split_at(end);
    let parts = inner.split(':');
    let well =
        after.starts_with('}') && parts.clone().count() <= 3 && parts.clone().all(|part| !part.is_empty());
    well.then_some(inner)
}

/// Words with single dots or dashes between them.
fn is_name(name: &str) -> bool {
    name.split(['-', '.']).all(|word| !word.is_empty())
}

/// Go's group names have word characters only.
fn alias_of(alias: &str) -> String {
    alias.chars().map(|c| if c == '-' || c == '.' { '_' } else { c }).collect()
}

fn kind_of(kind: &str) -> Option<Kind> {
    Some(match kind {
        "string" | "str" => Kind::Str,
        "int" => Kind::Int,
        "float" => Kind::Float,
        "bool" => Kind::Bool,
        _ => return None,
    })
}

/// The patterns that all scripts share: the built-in ones and those of the user's files.
#[derive(Debug)]
pub struct Patterns {
    known: HashMap<String, Arc<Definition>>,
}

impl Patterns {
    pub fn built_in() -> Patterns {
        Patterns::with(std::iter::empty()).0
    }

    /// With patterns from files. A built-in name stays what it is; what cannot be written out or is no regular
    /// expression is left out, and said.
    pub fn with<'a>(added: impl Iterator<Item = (&'a str, &'a str)>) -> (Patterns, Vec<(String, Error)>) {
        let mut texts: HashMap<&str, &str> = added.take(PATTERNS_MAX).collect();
        texts.extend(BUILT_IN);
        let mut names: Vec<&str> = texts.keys().copied().collect();
        names.sort_unstable();
        let mut patterns = Patterns { known: HashMap::with_capacity(texts.len()) };
        let mut refused = Vec::new();
        for name in names {
            if let Err(error) = patterns.resolve(name, &texts, 0) {
                refused.push((name.to_owned(), error));
            }
        }
        (patterns, refused)
    }

    pub fn get(&self, name: &str) -> Option<Arc<Definition>> {
        self.known.get(name).cloned()
    }

    fn resolve(&mut self, name: &str, texts: &HashMap<&str, &str>, depth: usize) -> Result<(), Error> {
        if self.known.contains_key(name) {
            return Ok(());
        }
        let Some(text) = texts.get(name).filter(|_| depth < DEPTH_MAX) else {
            return Err(Error::NotFound(name.to_owned()));
        };
        let mut rest = *text;
        while let Some(at) = rest.find("%{") {
            rest = &rest[at..];
            if let Some(inner) = reference(rest) {
                self.resolve(inner.split(':').next().unwrap_or(inner), texts, depth + 1)?;
            }
            rest = &rest[1..];
        }
        let definition = Definition::new(text, &|name| self.get(name))?;
        syntax::parse(&definition.text, Some(&[])).map_err(Error::Regex)?;
        self.known.insert(name.to_owned(), Arc::new(definition));
        Ok(())
    }
}
