//! grok: a line taken apart by named patterns.
//!
//! A pattern is written out once ([`expand`]), only the groups that name a key are kept, and a run hands each key its
//! text by reference: nothing is allocated for a line.

pub mod expand;
pub mod patterns;

pub use expand::{Definition, Error, Kind, Lookup, Patterns};

use super::{
    number,
    regex::{Regex, Scratch, group, syntax},
    text::trim_space,
};

/// Keys that one pattern may write.
pub const KEYS_MAX: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    pub kind: Kind,
}

/// What a key gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Captured<'t> {
    Str(&'t [u8]),
    Int(i64),
    Float(f64),
    Bool(bool),
}

/// A compiled pattern.
#[derive(Debug)]
pub struct Grok {
    regex: Regex,
    /// By the number of their group, less one.
    keys: Vec<Key>,
}

impl Grok {
    pub fn compile(pattern: &str, lookup: Lookup<'_>) -> Result<Grok, Error> {
        let Definition { text, kinds } = Definition::new(pattern, lookup)?;
        let names = syntax::parse(&text, Some(&[])).map_err(Error::Regex)?.names;
        // Of groups with the same name the last one counts, whether it takes part or not.
        let mut keep = Vec::new();
        let mut keys: Vec<Key> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (place, name) in names.iter().enumerate().rev() {
            let Some(name) = name.as_deref().filter(|name| seen.insert(*name)) else { continue };
            let kind = kinds.iter().find(|(alias, _)| alias == name).map_or(Kind::Str, |(_, kind)| *kind);
            keep.push(place);
            // The language's other word for the line itself.
            let name = if name == "_" { "message" } else { name };
            keys.push(Key { name: name.to_owned(), kind });
        }
        if keys.len() > KEYS_MAX {
            return Err(Error::Regex(super::regex::Error { what: "too many groups", part: String::new() }));
        }
        keep.reverse();
        keys.reverse();
        let regex = Regex::keeping(&text, Some(&keep)).map_err(Error::Regex)?;
        Ok(Grok { regex, keys })
    }

    /// What it takes, about.
    pub fn memory(&self) -> usize {
        self.regex.memory()
    }

    /// What [`Grok::run`] numbers.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Searches `text`; on a match `each` gets every key's place in [`Grok::keys`] and its value. A group that took no
    /// part is an empty text, or the zero of its type.
    pub fn run<'t>(
        &self,
        text: &'t [u8],
        trim: bool,
        scratch: &mut Scratch,
        mut each: impl FnMut(usize, Captured<'t>),
    ) -> bool {
        if !self.regex.captures(text, 0, scratch) {
            return false;
        }
        for (n, key) in self.keys.iter().enumerate() {
            let place = group(scratch, n + 1).and_then(|(start, end)| text.get(start..end));
            let found = place.unwrap_or_default();
            let found = if trim { trim_space(found) } else { found };
            each(
                n,
                match key.kind {
                    Kind::Str => Captured::Str(found),
                    Kind::Int => Captured::Int(whole(found)),
                    Kind::Float => Captured::Float(number::parse_float(found).unwrap_or_default()),
                    Kind::Bool => Captured::Bool(number::parse_bool(found).unwrap_or_default()),
                },
            );
        }
        true
    }
}

/// An integer of any base Go knows by its prefix (`010` is eight), a zero fraction being ignored; else 0.
fn whole(text: &[u8]) -> i64 {
    // By far most are plain decimals.
    if let [b'1'..=b'9', rest @ ..] = text
        && rest.len() < 18
        && rest.iter().all(u8::is_ascii_digit)
    {
        return text.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    }
    let point = text.iter().rposition(|b| *b == b'.');
    let fraction = point.map_or(&[][..], |point| &text[point + 1..]);
    let text = match point {
        Some(point) if !fraction.is_empty() && fraction.iter().all(|b| *b == b'0') => &text[..point],
        _ => text,
    };
    number::parse_int(text, 0).unwrap_or_default()
}

#[cfg(test)]
mod tests;
