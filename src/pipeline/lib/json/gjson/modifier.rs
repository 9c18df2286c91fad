//! What `@name` in a path does to a text.

use super::{Index, Kind, View, list, write_text};
use crate::pipeline::lib::json::is_valid;

/// What a modifier makes of a text; None if there is no such modifier or nothing comes of it.
pub fn apply(text: &[u8], name: &str, argument: &str) -> Option<Vec<u8>> {
    let mut index = Index::new();
    match name {
        "this" => return Some(text.to_vec()),
        "valid" => return is_valid(text).then(|| text.to_vec()),
        "tostr" => {
            let mut out = Vec::with_capacity(text.len() + 2);
            write_text(text, &mut out);
            return Some(out);
        }
        _ => {}
    }
    let value = index.of(text)?;
    Some(match name {
        "reverse" => reverse(value),
        "ugly" => {
            let mut out = Vec::with_capacity(text.len());
            ugly(value, &mut out);
            out
        }
        "pretty" => {
            let mut out = Vec::with_capacity(text.len() * 2);
            pretty(value, 0, &mut out);
            out.push(b'\n');
            out
        }
        "keys" => match value.kind() {
            Kind::Map => list(value.members().map(|(name, _)| name.raw())),
            Kind::List => list(value.items().map(|_| b"null")),
            _ => b"[null]".to_vec(),
        },
        "values" => match value.kind() {
            Kind::Map => list(value.members().map(|(_, member)| member.raw())),
            Kind::List => text.to_vec(),
            _ => list(std::iter::once(value.raw())),
        },
        "flatten" => flatten(value, argument.contains("\"deep\":true")),
        "join" => join(value, argument.contains("\"preserve\":true")),
        "group" => group(value),
        "fromstr" => {
            let inside = value.bytes()?.into_owned();
            return is_valid(&inside).then_some(inside);
        }
        "dig" => {
            let mut found = Vec::new();
            dig(value, argument, &mut found);
            list(found.into_iter())
        }
        _ => return None,
    })
}

fn reverse(value: View) -> Vec<u8> {
    match value.kind() {
        Kind::List => {
            let items: Vec<View> = value.items().collect();
            list(items.iter().rev().map(View::raw))
        }
        Kind::Map => {
            let members: Vec<(View, View)> = value.members().collect();
            map(members.iter().rev().map(|(name, member)| (name.raw(), member.raw())))
        }
        _ => value.raw().to_vec(),
    }
}

/// A map of names in quotes and values.
fn map<'a>(members: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut out = vec![b'{'];
    for (name, member) in members {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(name);
        out.push(b':');
        out.extend_from_slice(member);
    }
    out.push(b'}');
    out
}

/// Without white space; everything else as it stands.
fn ugly(value: View, out: &mut Vec<u8>) {
    line(value, b",", b":", out);
}

fn line(value: View, comma: &[u8], colon: &[u8], out: &mut Vec<u8>) {
    match value.kind() {
        Kind::List => {
            out.push(b'[');
            for (index, item) in value.items().enumerate() {
                if index > 0 {
                    out.extend_from_slice(comma);
                }
                line(item, comma, colon, out);
            }
            out.push(b']');
        }
        Kind::Map => {
            out.push(b'{');
            for (index, (name, member)) in value.members().enumerate() {
                if index > 0 {
                    out.extend_from_slice(comma);
                }
                out.extend_from_slice(name.raw());
                out.extend_from_slice(colon);
                line(member, comma, colon, out);
            }
            out.push(b'}');
        }
        _ => out.extend_from_slice(value.raw()),
    }
}

/// One member a line, lists on one line where they fit into 80 columns and have no maps in them.
fn pretty(value: View, level: usize, out: &mut Vec<u8>) {
    /// The column that lines end at.
    const WIDTH: usize = 80;
    let indent = |level: usize, out: &mut Vec<u8>| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', 2 * level));
    };
    match value.kind() {
        Kind::List if value.count() > 1 => {
            // Whatever is longer than this does not fit, and need not be tried.
            if value.raw().len() <= 4 * WIDTH && !has_map(value) {
                let column = out.len() - memchr::memrchr(b'\n', out).map_or(0, |at| at + 1);
                let before = out.len();
                line(value, b", ", b": ", out);
                if out.len() - before <= WIDTH.saturating_sub(column) {
                    return;
                }
                out.truncate(before);
            }
            out.push(b'[');
            for (index, item) in value.items().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                indent(level + 1, out);
                pretty(item, level + 1, out);
            }
            indent(level, out);
            out.push(b']');
        }
        Kind::Map if value.count() > 1 => {
            out.push(b'{');
            for (index, (name, member)) in value.members().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                indent(level + 1, out);
                out.extend_from_slice(name.raw());
                out.extend_from_slice(b": ");
                pretty(member, level + 1, out);
            }
            indent(level, out);
            out.push(b'}');
        }
        Kind::List => out.extend_from_slice(b"[]"),
        Kind::Map => out.extend_from_slice(b"{}"),
        _ => out.extend_from_slice(value.raw()),
    }
}

fn has_map(value: View) -> bool {
    value.kind() == Kind::Map || value.items().any(has_map)
}

fn flatten(value: View, deep: bool) -> Vec<u8> {
    if value.kind() != Kind::List {
        return value.raw().to_vec();
    }
    let mut items = Vec::new();
    flat_items(value, deep, &mut items);
    list(items.into_iter())
}

fn flat_items<'a>(list: View<'a>, deep: bool, out: &mut Vec<&'a [u8]>) {
    for item in list.items() {
        match item.kind() {
            Kind::List if deep => flat_items(item, true, out),
            Kind::List => out.extend(item.items().map(|item| item.raw())),
            _ => out.push(item.raw()),
        }
    }
}

/// The maps of a list as one: the last value of every name, or with `preserve` everything as it comes.
fn join(value: View, preserve: bool) -> Vec<u8> {
    if value.kind() != Kind::List {
        return value.raw().to_vec();
    }
    let members = value.items().filter(|item| item.kind() == Kind::Map).flat_map(|item| item.members());
    let mut joined: Vec<(&[u8], &[u8])> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (name, member) in members {
        let place = *places.entry(name.raw()).or_insert(joined.len());
        match joined.get_mut(place).filter(|_| !preserve) {
            Some(known) => known.1 = member.raw(),
            None => joined.push((name.raw(), member.raw())),
        }
    }
    map(joined.into_iter())
}

/// A map of lists as a list of maps.
fn group(value: View) -> Vec<u8> {
    let mut maps: Vec<Vec<(&[u8], &[u8])>> = Vec::new();
    for (name, items) in value.members() {
        for (index, item) in items.items().enumerate() {
            if maps.len() <= index {
                maps.push(Vec::new());
            }
            if let Some(map) = maps.get_mut(index) {
                map.push((name.raw(), item.raw()));
            }
        }
    }
    list(maps.into_iter().map(|members| map(members.into_iter())))
}

/// Every member of a name, however deep.
fn dig<'a>(value: View<'a>, name: &str, out: &mut Vec<&'a [u8]>) {
    out.extend(value.get(name.as_bytes()).map(|member| member.raw()));
    for item in value.items() {
        dig(item, name, out);
    }
    for (_, member) in value.members() {
        dig(member, name, out);
    }
}
