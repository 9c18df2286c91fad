//! tidwall's path language over JSON, as `gjson()` takes it.
//!
//! ```text
//! path      part { ("." | "|") part }            "." after "#" works on every item, "|" on the list of them
//! part      name, with * ? and \ before what is meant as it stands
//!           number                               item of a list
//!           #                                    length of a list, or every item of it
//!           #(query)  #(query)#                  the first item, or all, for which  [path] [op value]  holds
//!           @modifier[:argument]
//!           {path, "name":path}  [path, path]    a map or a list of what several paths lead to
//!           !literal
//! op        = == != < <= > >= % !%               % is a pattern of * and ?
//! ```
//!
//! Every step gives JSON text, which the next step reads. Texts are refused from [`PATH_BYTES_MAX`], results from
//! [`RESULT_BYTES_MAX`], and steps inside steps from [`DEPTH_MAX`] on: a path can double what it reads with every step.

mod modifier;
mod query;
mod split;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::{Index, Kind, View, write_text};
use split::{Part, Separator};

/// The longest path; real ones have dozens of bytes.
pub const PATH_BYTES_MAX: usize = 4 * 1_024;
/// Paths in paths: multipaths, queries, items.
pub const DEPTH_MAX: usize = 32;
/// The longest result of a step.
pub const RESULT_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Bytes that all steps of a path may read together: what bounds its time.
const WORK_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// What a path leads to, as a point takes it. Null is nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    Number(f64),
    Bool(bool),
    Text(Vec<u8>),
    /// A list or a map, as it stands in the text.
    Json(Vec<u8>),
}

/// The value a path leads to in a JSON text.
pub fn find(text: &[u8], path: &str) -> Option<Found> {
    find_counting(text, path).0
}

/// The same, with the bytes that were read on the way.
pub fn find_counting(text: &[u8], path: &str) -> (Option<Found>, usize) {
    let mut walk = Walk { work_left: WORK_BYTES_MAX };
    let found = find_by(&mut walk, text, path);
    (found, WORK_BYTES_MAX - walk.work_left)
}

fn find_by(walk: &mut Walk, text: &[u8], path: &str) -> Option<Found> {
    if path.is_empty() || path.len() > PATH_BYTES_MAX {
        return None;
    }
    let lines;
    let (text, path) = match path.strip_prefix("..") {
        Some(path) => {
            lines = list_of_lines(text);
            (lines.as_slice(), path)
        }
        None => (text, path),
    };
    let result = walk.find(text, path, 0)?;
    let mut index = Index::new();
    let value = index.of(&result)?;
    match value.kind() {
        Kind::Null => None,
        Kind::True => Some(Found::Bool(true)),
        Kind::False => Some(Found::Bool(false)),
        Kind::Number => value.number().map(Found::Number),
        Kind::Text | Kind::EscapedText => value.bytes().map(|bytes| Found::Text(bytes.into_owned())),
        // As it stands, with the white space that modifiers put around it.
        Kind::List | Kind::Map => Some(Found::Json(result)),
    }
}

/// The values of JSON lines as a list. Lines that are none are left out.
fn list_of_lines(text: &[u8]) -> Vec<u8> {
    let mut index = Index::new();
    list(text.split(|byte| *byte == b'\n').filter(|line| index.of(line).is_some()))
}

/// A list of texts.
fn list<T: AsRef<[u8]>>(items: impl Iterator<Item = T>) -> Vec<u8> {
    let mut out = vec![b'['];
    for item in items {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(item.as_ref());
    }
    out.push(b']');
    out
}

struct Walk {
    work_left: usize,
}

impl Walk {
    /// The JSON text that a path leads to.
    fn find(&mut self, text: &[u8], path: &str, depth: usize) -> Option<Vec<u8>> {
        if depth > DEPTH_MAX || text.len() > RESULT_BYTES_MAX {
            return None;
        }
        self.work_left = self.work_left.checked_sub(text.len())?;
        if path.is_empty() {
            return Some(text.to_vec());
        }
        let (part, separator, rest) = split::first(path)?;
        let mut index = Index::new();
        let view = match &part {
            // What is no JSON has no parts, but modifiers and literals take it.
            Part::Modifier { .. } | Part::Literal(_) => None,
            _ => Some(index.of(text)?),
        };
        let each = separator == Separator::Dot;
        let found = match (part, view) {
            (Part::Modifier { name, argument }, _) => modifier::apply(text, name, argument)?,
            (Part::Literal(json), _) => json.as_bytes().to_vec(),
            (Part::Several { paths, names }, Some(_)) => self.several(text, &paths, names, depth)?,
            (Part::Length, Some(view)) if view.kind() == Kind::List => {
                if each && !rest.is_empty() {
                    return self.of_each(view.items(), rest, depth);
                }
                view.items().count().to_string().into_bytes()
            }
            (Part::Query { query, all }, Some(view)) if view.kind() == Kind::List => {
                let query = query::parse(query);
                let mut items = Vec::new();
                for item in view.items() {
                    if self.holds(&query, item, depth) {
                        items.push(item);
                        if !all {
                            break;
                        }
                    }
                }
                if all && each && !rest.is_empty() {
                    return self.of_each(items.into_iter(), rest, depth);
                }
                if all { list(items.iter().map(View::raw)) } else { items.first()?.raw().to_vec() }
            }
            (Part::Name(name), Some(view)) => member(view, &name)?.raw().to_vec(),
            _ => return None,
        };
        // A separator with nothing behind it changes nothing.
        self.find(&found, rest, depth + 1)
    }

    /// What a path leads to in each of several values, where it leads somewhere.
    fn of_each<'a>(
        &mut self,
        items: impl Iterator<Item = View<'a>>,
        path: &str,
        depth: usize,
    ) -> Option<Vec<u8>> {
        // What stands behind a bar is for the list as a whole.
        let (own, whole) = split::at_bar(path);
        let mut out = vec![b'['];
        for item in items {
            let Some(found) = self.find(item.raw(), own, depth + 1) else { continue };
            if out.len() > 1 {
                out.push(b',');
            }
            out.extend_from_slice(&found);
            if out.len() > RESULT_BYTES_MAX {
                return None;
            }
        }
        out.push(b']');
        self.find(&out, whole, depth + 1)
    }

    fn several(
        &mut self,
        text: &[u8],
        paths: &[(Option<&str>, &str)],
        names: bool,
        depth: usize,
    ) -> Option<Vec<u8>> {
        let (open, close) = if names { (b'{', b'}') } else { (b'[', b']') };
        let mut out = vec![open];
        for (name, path) in paths {
            let Some(found) = self.find(text, path, depth + 1) else { continue };
            if out.len() > 1 {
                out.push(b',');
            }
            if names {
                match name {
                    Some(quoted) if quoted.starts_with('"') => out.extend_from_slice(quoted.as_bytes()),
                    Some(plain) => write_text(plain.as_bytes(), &mut out),
                    None => write_text(split::last_name(path).as_bytes(), &mut out),
                }
                out.push(b':');
            }
            out.extend_from_slice(&found);
            if out.len() > RESULT_BYTES_MAX {
                return None;
            }
        }
        out.push(close);
        Some(out)
    }

    fn holds(&mut self, query: &query::Query, item: View, depth: usize) -> bool {
        let Some(text) = self.find(item.raw(), query.path, depth + 1) else {
            return query.holds(None);
        };
        let mut index = Index::new();
        query.holds(index.of(&text))
    }
}

/// The member of a name or the item of a number.
fn member<'a>(value: View<'a>, name: &split::Name) -> Option<View<'a>> {
    match value.kind() {
        Kind::List => {
            let number = !name.text.is_empty() && name.text.bytes().all(|byte| byte.is_ascii_digit());
            if number { value.item(name.text.parse().ok()?) } else { None }
        }
        // Of a name that comes twice tidwall takes the first.
        Kind::Map => value.members().find_map(|(key, member)| {
            let key: Cow<[u8]> = key.bytes()?;
            let same = if name.wild {
                matches(&key, name.pattern.as_bytes())
            } else {
                *key == *name.text.as_bytes()
            };
            same.then_some(member)
        }),
        _ => None,
    }
}

/// Whether a text is like a pattern of `*` (anything) and `?` (any character), where a backslash makes the next one plain.
fn matches(text: &[u8], pattern: &[u8]) -> bool {
    let character = |at: usize| {
        let len = match text.get(at) {
            Some(0xC0..=0xDF) => 2,
            Some(0xE0..=0xEF) => 3,
            Some(0xF0..=0xF7) => 4,
            _ => 1,
        };
        (at + len).min(text.len())
    };
    let (mut at, mut p) = (0, 0);
    // Where to go on if what follows the last star does not fit: one more byte belongs to the star.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((at, p + 1));
                p += 1;
                continue;
            }
            Some(b'?') => {
                at = character(at);
                p += 1;
                continue;
            }
            Some(b'\\') if pattern.get(p + 1) == text.get(at) => {
                at += 1;
                p += 2;
                continue;
            }
            Some(byte) if *byte != b'\\' && text.get(at) == Some(byte) => {
                at += 1;
                p += 1;
                continue;
            }
            _ => {}
        }
        let Some((from, behind)) = star else { return false };
        star = Some((from + 1, behind));
        at = from + 1;
        p = behind;
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}
