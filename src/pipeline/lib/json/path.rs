//! `json()`: one value out of a text by a path of names and indexes.

use std::borrow::Cow;

use super::{Kind, View, write::Without, write_value};

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Name(Box<[u8]>),
    /// Of a list; from the end if it is negative.
    Index(i64),
}

/// What a path leads to, as a point takes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<'a> {
    Number(f64),
    Bool(bool),
    Text(Cow<'a, [u8]>),
    /// A list or a map, written anew.
    Json(Vec<u8>),
}

/// The value a path leads to; None if it leads nowhere, or to null.
fn find<'a>(root: View<'a>, path: &[Step]) -> Option<View<'a>> {
    let found = path.iter().try_fold(root, |value, step| match step {
        Step::Name(name) => value.get(name),
        Step::Index(index) => value.item(*index),
    });
    found.filter(|value| value.kind() != Kind::Null)
}

/// What `json()` writes to a point.
pub fn extract<'a>(root: View<'a>, path: &[Step], trim_space: bool) -> Option<Found<'a>> {
    let value = find(root, path)?;
    Some(match value.kind() {
        Kind::Null => return None,
        Kind::True => Found::Bool(true),
        Kind::False => Found::Bool(false),
        Kind::Number => Found::Number(value.number()?),
        Kind::Text | Kind::EscapedText => {
            let bytes = value.bytes()?;
            Found::Text(if trim_space { trimmed(bytes) } else { bytes })
        }
        Kind::List | Kind::Map => {
            let mut out = Vec::with_capacity(value.raw().len());
            write_value(value, None, &mut out);
            Found::Json(out)
        }
    })
}

/// The whole text written anew without the member that a path leads to; None if it leads nowhere or to an item of a list.
pub fn delete(root: View, path: &[Step]) -> Option<Vec<u8>> {
    let (Step::Name(name), before) = path.split_last()? else { return None };
    let map = find(root, before)?;
    map.get(name).filter(|value| value.kind() != Kind::Null)?;
    let mut out = Vec::with_capacity(root.raw().len());
    write_value(root, Some(Without { map, name }), &mut out);
    Some(out)
}

fn trimmed(bytes: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    fn inside(bytes: &[u8]) -> &[u8] {
        match std::str::from_utf8(bytes) {
            Ok(text) => text.trim().as_bytes(),
            Err(_) => bytes.trim_ascii(),
        }
    }
    match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(inside(bytes)),
        Cow::Owned(bytes) => {
            let kept = inside(&bytes);
            if kept.len() == bytes.len() { Cow::Owned(bytes) } else { Cow::Owned(kept.to_vec()) }
        }
    }
}
