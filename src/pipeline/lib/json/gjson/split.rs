//! Paths taken apart, one part at a time.

/// What one part of a path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Name(Name<'a>),
    /// `#`
    Length,
    /// `#(…)`, `#(…)#`
    Query {
        query: &'a str,
        all: bool,
    },
    /// `@name:argument`
    Modifier {
        name: &'a str,
        argument: &'a str,
    },
    /// `{…}`, `[…]`
    Several {
        paths: Vec<(Option<&'a str>, &'a str)>,
        names: bool,
    },
    /// `!…`
    Literal(&'a str),
}

/// A name, perhaps a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// As written, escapes and all.
    pub pattern: &'a str,
    /// Without the backslashes.
    pub text: String,
    pub wild: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    Dot,
    Bar,
    End,
}

/// The first part of a path, what separates it from the rest, and the rest.
pub fn first(path: &str) -> Option<(Part<'_>, Separator, &str)> {
    let (part, len) = match path.as_bytes().first()? {
        b'@' => modifier(path),
        b'{' | b'[' => several(path)?,
        b'!' => {
            let len = 1 + nested_end(&path[1..], |byte| matches!(byte, b'.' | b'|'));
            (Part::Literal(&path[1..len]), len)
        }
        b'#' => hash(path)?,
        _ => name(path),
    };
    let rest = &path[len..];
    match rest.as_bytes().first() {
        None => Some((part, Separator::End, "")),
        Some(b'.') => Some((part, Separator::Dot, &rest[1..])),
        Some(b'|') => Some((part, Separator::Bar, &rest[1..])),
        Some(_) => None,
    }
}

/// A path up to its first bar outside of brackets, and what is behind that.
pub fn at_bar(path: &str) -> (&str, &str) {
    let end = nested_end(path, |byte| byte == b'|');
    (&path[..end], path.get(end + 1..).unwrap_or_default())
}

/// The name that a member of a multipath gets: the last of its path, if that is a plain name.
pub fn last_name(path: &str) -> &str {
    let last = path.rsplit(['.', '|']).next().unwrap_or_default();
    let plain = |byte: u8| {
        byte > b' ' && !matches!(byte, b'[' | b']' | b'{' | b'}' | b'(' | b')' | b'#' | b'@' | b'!')
    };
    if !last.is_empty() && last.bytes().all(plain) { last } else { "_" }
}

/// Where a text has its first byte that is wanted, outside of brackets and quotes; its length if it has none.
fn nested_end(text: &str, wanted: impl Fn(u8) -> bool) -> usize {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut quoted = false;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            byte if depth == 0 && wanted(*byte) => return at,
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    text.len()
}

fn modifier(path: &str) -> (Part<'_>, usize) {
    let name_len = 1 + nested_end(&path[1..], |byte| matches!(byte, b'.' | b'|' | b':'));
    let name = &path[1..name_len];
    let Some(argument) = path[name_len..].strip_prefix(':') else {
        return (Part::Modifier { name, argument: "" }, name_len);
    };
    // JSON ends where its brackets do; anything else goes on to the next bar.
    let json = argument.starts_with(['{', '[', '"']);
    let len = nested_end(argument, |byte| byte == b'|' || json && byte == b'.');
    (Part::Modifier { name, argument: &argument[..len] }, name_len + 1 + len)
}

/// The contents of the brackets that a text begins with, and their length with the brackets.
fn bracketed(text: &str) -> Option<(&str, usize)> {
    let inside = text.get(1..)?;
    let end = nested_end(inside, |byte| matches!(byte, b')' | b']' | b'}'));
    inside.get(end..end + 1)?;
    Some((&inside[..end], end + 2))
}

fn several(path: &str) -> Option<(Part<'_>, usize)> {
    let (mut inside, len) = bracketed(path)?;
    let names = path.starts_with('{');
    let mut paths = Vec::new();
    while !inside.is_empty() {
        let end = nested_end(inside, |byte| byte == b',');
        let item = inside[..end].trim();
        inside = inside.get(end + 1..).unwrap_or_default();
        // A name is before a colon, unless the colon is a modifier's.
        let colon = nested_end(item, |byte| byte == b':');
        let named =
            item.starts_with('"') || !item.starts_with(['@', '!', '#']) && !item[..colon].contains('@');
        match item.get(colon + 1..).filter(|_| named && colon < item.len()) {
            Some(path) => paths.push((Some(item[..colon].trim()), path.trim())),
            None => paths.push((None, item)),
        }
    }
    Some((Part::Several { paths, names }, len))
}

fn hash(path: &str) -> Option<(Part<'_>, usize)> {
    if !path[1..].starts_with(['(', '[']) {
        // "#" is a part by itself, and "#x" a name like others.
        let (part, len) = name(path);
        return Some(if len == 1 { (Part::Length, 1) } else { (part, len) });
    }
    let (query, len) = bracketed(&path[1..])?;
    let all = path[1 + len..].starts_with('#');
    Some((Part::Query { query: query.trim(), all }, 1 + len + usize::from(all)))
}

fn name(path: &str) -> (Part<'_>, usize) {
    let mut text = String::new();
    let mut wild = false;
    let mut chars = path.char_indices();
    let mut len = path.len();
    while let Some((at, character)) = chars.next() {
        match character {
            '.' | '|' => {
                len = at;
                break;
            }
            '\\' => text.extend(chars.next().map(|(_, escaped)| escaped)),
            '*' | '?' => {
                wild = true;
                text.push(character);
            }
            _ => text.push(character),
        }
    }
    (Part::Name(Name { pattern: &path[..len], text, wild }), len)
}

/// Where the operator of a query is, outside of brackets and quotes.
pub fn operator_at(query: &str) -> usize {
    nested_end(query, |byte| matches!(byte, b'=' | b'!' | b'<' | b'>' | b'%'))
}
