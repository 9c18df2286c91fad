//! Regular expressions of scripts: Go's dialect, leftmost-first, in time that is linear in the text whatever the
//! pattern is.
//!
//! Two engines share the work. The backtracker ([`search`]) is several times as fast on the patterns that logs are
//! taken apart with, and finds groups in the same pass; it has a number of steps for each search. Where they are
//! spent, or where a pattern is none of its kind, the `regex` crate's engines answer, which need no luck.

pub mod program;
pub mod search;
pub mod syntax;

use std::borrow::Cow;

use memchr::memmem::Finder;
use regex_automata::{Anchored, Input, meta};
use regex_syntax::hir::{Hir, HirKind};

use program::Program;
pub use search::Scratch;
use search::{NONE, Outcome};
pub use syntax::Error;

/// Memory of one compiled pattern in the linear engine.
const LINEAR_BYTES_MAX: usize = 16 << 20;
/// Memory of its lazily built automata, for each thread that runs it.
const LINEAR_CACHE_BYTES_MAX: usize = 2 << 20;
/// Steps a search has for itself, and for each byte of the text: past this the linear engine is quicker.
const STEPS_BASE: usize = 2_000;
const STEPS_PER_BYTE: usize = 16;
/// Steps it may spend on finding where a match starts, for each byte.
const STEPS_PER_BYTE_SEEKING: usize = 4;
/// Steps of all searches for the matches of one text: whoever counts them has refused the run before.
pub const EACH_WORK_MAX: usize = 1 << 26;
/// A shorter text that must occur is not worth looking for.
const NEEDLE_BYTES_MIN: usize = 2;

/// A compiled pattern.
#[derive(Debug)]
pub struct Regex {
    program: Option<Program>,
    linear: meta::Regex,
    /// A text that is in every match, where matches can begin anywhere.
    needle: Option<Finder<'static>>,
    names: Vec<Option<String>>,
    groups: usize,
}

impl Regex {
    pub fn new(pattern: &str) -> Result<Regex, Error> {
        Regex::keeping(pattern, None)
    }

    /// With the groups in `keep` only, numbered from 1 in that order (see [`syntax::parse`]): a group nobody asks for
    /// costs time in every search.
    pub fn keeping(pattern: &str, keep: Option<&[usize]>) -> Result<Regex, Error> {
        let parsed = syntax::parse(pattern, keep)?;
        let config = meta::Config::new()
            .nfa_size_limit(Some(LINEAR_BYTES_MAX))
            .hybrid_cache_capacity(LINEAR_CACHE_BYTES_MAX)
            // Both are built in full when compiling, for searches that the backtracker does.
            .onepass(false)
            .dfa(false);
        let linear = meta::Builder::new()
            .configure(config)
            .build_from_hir(&parsed.hir)
            .map_err(|_| Error { what: "expression too large", part: String::new() })?;
        let program = program::compile(&parsed.hir);
        let anchored = program.as_ref().is_some_and(|program| program.anchored);
        let needle = needle(&parsed.hir).filter(|needle| !anchored && needle.len() >= NEEDLE_BYTES_MIN);
        Ok(Regex {
            program,
            linear,
            needle: needle.map(|needle| Finder::new(needle.as_ref()).into_owned()),
            groups: keep.map_or(parsed.names.len(), <[usize]>::len),
            names: parsed.names,
        })
    }

    /// What it takes, about.
    pub fn memory(&self) -> usize {
        size_of::<Regex>() + self.linear.memory_usage()
    }

    /// Names of the groups of the pattern, kept or not, from 1 on.
    pub fn names(&self) -> &[Option<String>] {
        &self.names
    }

    /// Kept groups.
    pub fn groups(&self) -> usize {
        self.groups
    }

    pub fn is_match(&self, text: &[u8], scratch: &mut Scratch) -> bool {
        self.captures(text, 0, scratch)
    }

    /// The first match that starts at `from` or later. The groups' places are in `scratch` afterwards ([`group`]).
    ///
    /// Bytes that are not UTF-8 are one character each, U+FFFD, as Go has it.
    pub fn captures(&self, text: &[u8], from: usize, scratch: &mut Scratch) -> bool {
        if simdutf8::basic::from_utf8(text).is_ok() {
            return self.search(text, from, scratch);
        }
        let (readable, origins) = readable(text);
        let from = origins.partition_point(|origin| (*origin as usize) < from);
        let found = self.search(readable.as_bytes(), from, scratch);
        for slot in scratch.slots.iter_mut().filter(|slot| **slot != NONE) {
            *slot = origins.get(*slot).map_or(text.len(), |origin| *origin as usize);
        }
        found
    }

    /// `text` is UTF-8, `from` at a character.
    fn search(&self, text: &[u8], from: usize, scratch: &mut Scratch) -> bool {
        let found = self.search_in_steps(text, from, scratch);
        scratch.end();
        found
    }

    fn search_in_steps(&self, text: &[u8], from: usize, scratch: &mut Scratch) -> bool {
        scratch.slots.clear();
        scratch.slots.resize(2 * (self.groups + 1), NONE);
        if from > text.len()
            || self.needle.as_ref().is_some_and(|needle| needle.find(&text[from..]).is_none())
        {
            return false;
        }
        let Some(program) = self.program.as_ref().filter(|_| text.len() < u32::MAX as usize) else {
            return self.search_linear(text, from, Anchored::No, scratch);
        };
        scratch.begin(STEPS_BASE + text.len().saturating_mul(STEPS_PER_BYTE_SEEKING));
        let mut at = from;
        loop {
            if program.anchored && at > 0 {
                return false;
            }
            match text.get(at) {
                Some(byte) if !program.starts[usize::from(*byte)] || byte & 0xc0 == 0x80 => {
                    let rest = text.get(at..).unwrap_or_default();
                    let skip = rest
                        .iter()
                        .position(|byte| program.starts[usize::from(*byte)] && byte & 0xc0 != 0x80)
                        .unwrap_or(rest.len());
                    at += skip;
                    continue;
                }
                None if !program.may_be_empty || at > text.len() => return false,
                _ => {}
            }
            match program.run(text, at, scratch) {
                Outcome::Match(_) => return true,
                Outcome::Nothing => {
                    // What was noted with nothing to go back to is still noted.
                    scratch.slots.fill(NONE);
                    at += 1;
                }
                Outcome::GaveUp => break,
            }
        }
        scratch.end();
        scratch.add_work(text.len() - at);
        // It takes long: where a match starts, and whether there is one, is asked of the automaton.
        let Some(found) = self.linear.find(Input::new(text).range(at..).anchored(Anchored::No)) else {
            return false;
        };
        scratch.slots.fill(NONE);
        scratch.begin(STEPS_BASE + text.len().saturating_mul(STEPS_PER_BYTE));
        match program.run(text, found.start(), scratch) {
            Outcome::Match(_) => true,
            _ => self.search_linear(text, found.start(), Anchored::Yes, scratch),
        }
    }

    fn search_linear(&self, text: &[u8], from: usize, anchored: Anchored, scratch: &mut Scratch) -> bool {
        scratch.end();
        scratch.add_work(text.len() - from);
        let mut captures = self.linear.create_captures();
        self.linear.captures(Input::new(text).range(from..).anchored(anchored), &mut captures);
        for (slot, place) in scratch.slots.iter_mut().zip(captures.slots()) {
            *slot = place.map_or(NONE, |place| place.get());
        }
        captures.is_match()
    }

    /// Go's `ReplaceAllString`: `$1`, `${1}`, `${name}`, `$name` and `$$` in `template`. `None` where nothing matches.
    /// A result past `bytes_max` is cut there or a little behind, but always past it: who calls sees it.
    pub fn replace_all(
        &self,
        text: &[u8],
        template: &str,
        bytes_max: usize,
        scratch: &mut Scratch,
    ) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut copied = 0;
        self.each(text, scratch, |slots| {
            let (start, end) = (slots[0], slots[1]);
            out.extend_from_slice(text.get(copied..start).unwrap_or_default());
            copied = end;
            self.expand(template, text, slots, bytes_max, &mut out);
            out.len() <= bytes_max
        })
        .then(|| {
            out.extend_from_slice(text.get(copied..).unwrap_or_default());
            out
        })
    }

    /// Go's `Split(text, n)`: at most `pieces_max` pieces, the last one being the rest.
    pub fn split<'t>(&self, text: &'t [u8], pieces_max: usize, scratch: &mut Scratch) -> Vec<&'t [u8]> {
        if text.is_empty() || pieces_max <= 1 {
            return vec![text];
        }
        let mut pieces = Vec::new();
        let (mut begin, mut last) = (0, 0);
        self.each(text, scratch, |slots| {
            if pieces.len() + 1 >= pieces_max {
                return false;
            }
            last = slots[0];
            // An empty match at the very beginning parts nothing.
            if slots[1] != 0 {
                pieces.push(text.get(begin..last).unwrap_or_default());
            }
            begin = slots[1];
            true
        });
        if last != text.len() {
            pieces.push(text.get(begin..).unwrap_or_default());
        }
        pieces
    }

    /// Calls `found` with the slots of each match, left to right, not overlapping, as Go's `FindAll` has them: an empty
    /// match right behind another match does not count. Whether there was one.
    ///
    /// Searches that each look at most of a long text are given up at some time ([`EACH_WORK_MAX`]).
    fn each(&self, text: &[u8], scratch: &mut Scratch, mut found: impl FnMut(&[usize]) -> bool) -> bool {
        if simdutf8::basic::from_utf8(text).is_ok() {
            return self.each_readable(text, scratch, found);
        }
        let (readable, origins) = readable(text);
        let mut mapped = Vec::new();
        self.each_readable(readable.as_bytes(), scratch, |slots| {
            let origin = |slot: &usize| match *slot {
                NONE => NONE,
                slot => origins.get(slot).map_or(text.len(), |origin| *origin as usize),
            };
            mapped.clear();
            mapped.extend(slots.iter().map(origin));
            found(&mapped)
        })
    }

    fn each_readable(
        &self,
        text: &[u8],
        scratch: &mut Scratch,
        mut found: impl FnMut(&[usize]) -> bool,
    ) -> bool {
        let (mut at, mut last_end, mut any) = (0, NONE, false);
        while at <= text.len() && scratch.work() < EACH_WORK_MAX && self.search(text, at, scratch) {
            let (start, end) = (scratch.slots[0], scratch.slots[1]);
            let accepted = end > start || start != last_end;
            at = if end > at { end } else { at + width(text, at) };
            last_end = end;
            if accepted {
                any = true;
                if !found(&scratch.slots) {
                    break;
                }
            }
        }
        any
    }

    /// Writes `template` with the groups put in.
    fn expand(&self, template: &str, text: &[u8], slots: &[usize], bytes_max: usize, out: &mut Vec<u8>) {
        let mut rest = template;
        while let Some(dollar) = rest.find('$').filter(|_| out.len() <= bytes_max) {
            out.extend_from_slice(&rest.as_bytes()[..dollar]);
            rest = &rest[dollar + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                out.push(b'$');
                rest = after;
                continue;
            }
            let Some((name, after)) = reference(rest) else {
                out.push(b'$');
                continue;
            };
            rest = after;
            let all_digits = name.bytes().all(|b| b.is_ascii_digit());
            if all_digits {
                if let Some(place) = name.parse::<usize>().ok().and_then(|n| group_of(slots, n)) {
                    out.extend_from_slice(text.get(place.0..place.1).unwrap_or_default());
                }
                continue;
            }
            // Of groups with the same name the first that took part.
            let named = self.names.iter().enumerate().filter(|(_, own)| own.as_deref() == Some(name));
            if let Some(place) = named.filter_map(|(n, _)| group_of(slots, n + 1)).next() {
                out.extend_from_slice(text.get(place.0..place.1).unwrap_or_default());
            }
        }
        out.extend_from_slice(rest.as_bytes());
    }
}

/// The place of group `n` after a match.
pub fn group(scratch: &Scratch, n: usize) -> Option<(usize, usize)> {
    group_of(&scratch.slots, n)
}

fn group_of(slots: &[usize], n: usize) -> Option<(usize, usize)> {
    let start = *slots.get(n.checked_mul(2)?)?;
    let end = *slots.get(n * 2 + 1)?;
    (start != NONE && end != NONE).then_some((start, end))
}

/// The name behind a `$`, in braces or not, and what follows it.
fn reference(rest: &str) -> Option<(&str, &str)> {
    let braced = rest.strip_prefix('{');
    let inner = braced.unwrap_or(rest);
    let end = inner.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(inner.len());
    let (name, after) = inner.split_at(end);
    if name.is_empty() {
        return None;
    }
    let after = if braced.is_some() { after.strip_prefix('}')? } else { after };
    Some((name, after))
}

/// Bytes of the character at `at`; one where there is none.
fn width(text: &[u8], at: usize) -> usize {
    let len = match text.get(at) {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..) => 4,
        _ => 1,
    };
    let whole = text.get(at..at + len).is_some_and(|c| std::str::from_utf8(c).is_ok());
    if whole { len } else { 1 }
}

/// `text` with a U+FFFD for each byte that is not UTF-8, and for each place of it the place in `text`.
fn readable(text: &[u8]) -> (String, Vec<u32>) {
    let mut out = String::with_capacity(text.len() + 16);
    let mut origins = Vec::with_capacity(text.len() + 17);
    let mut at = 0_u32;
    for chunk in text.utf8_chunks() {
        out.push_str(chunk.valid());
        for _ in 0..chunk.valid().len() {
            origins.push(at);
            at = at.saturating_add(1);
        }
        for _ in chunk.invalid() {
            out.push(char::REPLACEMENT_CHARACTER);
            origins.extend([at; 3]);
            at = at.saturating_add(1);
        }
    }
    origins.push(at);
    (out, origins)
}

/// The longest text that is in every match.
fn needle(hir: &Hir) -> Option<Cow<'_, [u8]>> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(Cow::Borrowed(&literal.0)),
        HirKind::Capture(capture) => needle(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min >= 1 => needle(&repetition.sub),
        HirKind::Concat(parts) => parts.iter().filter_map(needle).max_by_key(|text| text.len()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
