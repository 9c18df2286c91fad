//! Which script a point gets: by its key, which depends on the category, the workspace's relation comes first, then what the
//! request says, then the script that is called as the key; what is not there is the category's default.

use std::sync::Arc;

use super::{CategoryScripts, Script};
use crate::pipeline::category::Category;

/// The key of a point, by which its script is chosen; none where it cannot have one. `text` gives a tag or field that is a
/// text. The result may lie in `buffer`.
pub fn key_of<'k>(
    category: Category,
    name: &'k [u8],
    text: impl Fn(&[u8]) -> Option<&'k [u8]>,
    buffer: &'k mut Vec<u8>,
) -> Option<&'k [u8]> {
    let key = match (category, key_in(category)) {
        (Category::Rum, Some(app_id)) => {
            let app = text(app_id)?;
            buffer.clear();
            buffer.extend_from_slice(app);
            buffer.push(b'_');
            buffer.extend_from_slice(name);
            buffer
        }
        (_, Some(key)) => text(key)?,
        (_, None) => name,
    };
    (!key.is_empty()).then_some(key)
}

/// The tag or field that the key of a point comes from; none where it is the point's name.
pub fn key_in(category: Category) -> Option<&'static [u8]> {
    match category {
        Category::Rum => Some(b"app_id"),
        Category::Security => Some(b"category"),
        Category::Tracing | Category::Profiling => Some(b"service"),
        Category::Keyevent => Some(b"df_source"),
        _ => None,
    }
}

/// What a request says of scripts: the key of points, and the script they get. `-` is none, and empty says nothing.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    pub key: &'a [u8],
    pub script: &'a [u8],
}

/// The same, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptChoice {
    pub key: Box<[u8]>,
    pub script: Box<[u8]>,
}

impl KeptChoice {
    pub fn lend(&self) -> Choice<'_> {
        Choice { key: &self.key, script: &self.script }
    }
}

/// Chooses for one point after another, and remembers the last choice: most points of a body are alike.
#[derive(Debug)]
pub struct Selector<'s> {
    scripts: &'s CategoryScripts,
    choices: &'s [Choice<'s>],
    last_key: Vec<u8>,
    last: Option<&'s Arc<Script>>,
    name: Vec<u8>,
}

impl<'s> Selector<'s> {
    pub fn new(scripts: &'s CategoryScripts, choices: &'s [Choice<'s>]) -> Selector<'s> {
        // No point has an empty key.
        Selector { scripts, choices, last_key: Vec::new(), last: None, name: Vec::new() }
    }

    /// The script of points with this key.
    pub fn select(&mut self, key: &[u8]) -> Option<&'s Arc<Script>> {
        if self.last_key != key {
            self.last = self.look_up(key);
            self.last_key.clear();
            self.last_key.extend_from_slice(key);
        }
        self.last
    }

    fn look_up(&mut self, key: &[u8]) -> Option<&'s Arc<Script>> {
        let scripts = self.scripts;
        let chosen = self.choices.iter().find(|choice| choice.key == key).map(|choice| choice.script);
        let name = match (scripts.relation.get(key), chosen) {
            (Some(related), _) => related,
            (None, Some(b"-")) => return None,
            (None, Some(chosen)) if !chosen.is_empty() => chosen,
            _ => {
                self.name.clear();
                self.name.extend_from_slice(key);
                self.name.extend_from_slice(b".p");
                &self.name
            }
        };
        scripts.scripts.get(name).or(scripts.default.as_ref())
    }
}
