//! simd-json, per text: copied into padded memory that is kept, parsed there into a tape that is kept.

use std::fmt;

use memchr::{memchr, memchr2, memchr3};
use simd_json::{Buffers, Node, StaticNode};

use super::{Number, Text, Value, View};

/// Longer texts are not copied: our own parser takes them where they stand, and bounds the memory they take.
const BYTES_MAX: usize = 256 << 10;

/// Points are four deep; the stack is kept.
const SIMD_DEPTH_MAX: usize = 128;

/// simd-json's memory, kept from text to text.
pub struct Simd {
    input: Vec<u8>,
    buffers: Buffers,
    tape: simd_json::Tape<'static>,
}

impl Default for Simd {
    fn default() -> Simd {
        Simd {
            input: Vec::new(),
            buffers: Buffers::with_max_depth(0, SIMD_DEPTH_MAX),
            tape: simd_json::Tape(Vec::new()),
        }
    }
}

impl fmt::Debug for Simd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simd").finish_non_exhaustive()
    }
}

impl Simd {
    /// Reads the object that begins at `start` of `bytes`, lets `read` look at it, and gives the offset behind it.
    /// `None` where simd-json cannot read it, which need not mean that it is malformed, or where `read` gives nothing.
    pub fn read<R>(
        &mut self,
        bytes: &[u8],
        start: usize,
        read: impl FnOnce(Place<'_>) -> Option<R>,
    ) -> Option<(usize, R)> {
        let end = object_end(bytes, start)?;
        let text = bytes.get(start..end)?;
        self.input.clear();
        self.input.extend_from_slice(text);
        self.input.resize(text.len() + simd_json::INPUT_PADDING, b' ');
        let maybe_escaped = memchr(b'\\', text).is_some();
        let mut tape = std::mem::replace(&mut self.tape, simd_json::Tape(Vec::new())).reset();
        let parsed = simd_json::fill_tape_padded(&mut self.input, text.len(), &mut self.buffers, &mut tape);
        let result = match parsed {
            Ok(()) => read(Place { nodes: &tape.0, maybe_escaped }),
            Err(_) => None,
        };
        self.tape = tape.reset();
        result.map(|result| (end, result))
    }
}

/// The offset behind the object that begins at `start`, if it is well-formed; anything within [`BYTES_MAX`] otherwise.
fn object_end(bytes: &[u8], start: usize) -> Option<usize> {
    let limit = bytes.len().min(start.saturating_add(BYTES_MAX));
    let bytes = bytes.get(..limit)?;
    if bytes.get(start) != Some(&b'{') {
        return None;
    }
    let (mut at, mut depth) = (start, 0_usize);
    loop {
        at += memchr3(b'"', b'{', b'}', bytes.get(at..)?)?;
        match bytes[at] {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => at = string_end(bytes, at + 1)?,
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Where the closing quote stands.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// A value of simd-json's tape.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// From the value on.
    nodes: &'a [Node<'a>],
    maybe_escaped: bool,
}

impl<'a> Place<'a> {
    /// How many nodes the value takes.
    fn width(self) -> usize {
        match self.nodes.first() {
            Some(Node::Array { count, .. } | Node::Object { count, .. }) => count + 1,
            _ => 1,
        }
    }
}

/// The values in an array, or the keys and values in an object.
#[derive(Clone, Copy, Debug)]
pub struct Inside<'a> {
    rest: Place<'a>,
    left: usize,
}

impl<'a> Inside<'a> {
    fn step(&mut self) -> Option<Place<'a>> {
        self.left = self.left.checked_sub(1)?;
        let here = self.rest;
        self.rest.nodes = here.nodes.get(here.width()..).unwrap_or_default();
        Some(here)
    }
}

impl<'a> Iterator for Inside<'a> {
    type Item = Place<'a>;

    fn next(&mut self) -> Option<Place<'a>> {
        self.step()
    }
}

/// See [`Inside`].
#[derive(Clone, Copy, Debug)]
pub struct Members<'a>(Inside<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (Text<'a>, Place<'a>);

    fn next(&mut self) -> Option<(Text<'a>, Place<'a>)> {
        let key = self.0.step()?;
        let value = self.0.step()?;
        let text = match key.nodes.first() {
            Some(Node::String(text)) => text,
            _ => "",
        };
        Some((Text::decoded_form(text, key.maybe_escaped), value))
    }
}

impl<'a> Value<'a> for Place<'a> {
    type Items = Inside<'a>;
    type Members = Members<'a>;

    fn view(self) -> View<'a, Inside<'a>, Members<'a>> {
        let inside =
            |left| Inside { rest: Place { nodes: self.nodes.get(1..).unwrap_or_default(), ..self }, left };
        match self.nodes.first().copied() {
            None | Some(Node::Static(StaticNode::Null)) => View::Null,
            Some(Node::Static(StaticNode::Bool(value))) => View::Bool(value),
            Some(Node::Static(StaticNode::I64(value))) => View::Number(Number::Int(value)),
            Some(Node::Static(StaticNode::U64(value))) => View::Number(Number::Uint(value)),
            Some(Node::Static(StaticNode::F64(value))) => View::Number(Number::Float(value)),
            Some(Node::String(text)) => View::Text(Text::decoded_form(text, self.maybe_escaped)),
            Some(Node::Array { len, .. }) => View::Array(inside(len)),
            Some(Node::Object { len, .. }) => View::Object(Members(inside(2 * len))),
        }
    }

    fn overflow(self) -> Option<Number<'a>> {
        let within = self.nodes.get(..self.width()).unwrap_or_default();
        within.iter().find_map(|node| match node {
            Node::Static(StaticNode::F64(value)) if !value.is_finite() => Some(Number::Float(*value)),
            _ => None,
        })
    }
}
