//! Where everything in a JSON text is: a flat list of values in the order of the text, made in one pass.

use std::{borrow::Cow, num::NonZeroUsize};

use bumpalo::Bump;

use super::{DEPTH_MAX, NODES_MAX, TEXT_BYTES_MAX, text};
use crate::pipeline::lib::text::same;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Null,
    False,
    True,
    Number,
    /// A text that is as it stands.
    Text,
    /// A text with backslashes.
    EscapedText,
    List,
    Map,
}

/// A value: its bytes (of a text, those between the quotes) and the node behind everything that is in it.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    kind: Kind,
    start: u32,
    end: u32,
    next: u32,
}

/// Where everything in a text is. Keeps its memory from one text to the next.
#[derive(Debug, Default)]
pub struct Places {
    nodes: Vec<Node>,
    /// Lists and maps that are open during the pass.
    open: Vec<u32>,
}

/// What is kept between two texts; more is given back.
const KEPT_BYTES_MAX: usize = 256 * 1_024;

impl Places {
    /// The values of a text ([`View::root`] looks at them), or None if it is no JSON.
    pub fn of(&mut self, text: &[u8]) -> Option<&[Node]> {
        self.nodes.clear();
        self.open.clear();
        if self.nodes.capacity() > KEPT_BYTES_MAX / size_of::<Node>() {
            self.nodes = Vec::new();
        }
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let mut pass = Pass { text, at: 0, nodes: &mut self.nodes, open: &mut self.open };
        pass.value()?;
        text.get(pass.at..)?.iter().all(|byte| is_white(*byte)).then_some(&self.nodes)
    }
}

/// A text with its [`Places`]. Keeps its memory from one text to the next.
#[derive(Debug, Default)]
pub struct Index {
    arena: Bump,
    places: Places,
}

impl Index {
    pub fn new() -> Index {
        Index::default()
    }

    /// The value of a text, or None if it is no JSON.
    pub fn of(&mut self, text: &[u8]) -> Option<View<'_>> {
        self.arena.reset();
        let nodes = self.places.of(text)?;
        View::root(&self.arena, self.arena.alloc_slice_copy(text), nodes)
    }
}

fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// One byte after another, from the first one on. What is passed most often is inlined, so that the place in the text stays in a
/// register.
struct Pass<'a> {
    text: &'a [u8],
    at: usize,
    nodes: &'a mut Vec<Node>,
    open: &'a mut Vec<u32>,
}

impl Pass<'_> {
    /// One value with everything in it. None as soon as it is no JSON.
    #[inline(always)]
    fn value(&mut self) -> Option<()> {
        let (mut in_map, mut named) = (false, false);
        loop {
            // A value begins here, or the name of one.
            if named {
                self.key()?;
            }
            match self.visible()? {
                b'"' => self.text()?,
                b'{' => {
                    self.begin(Kind::Map)?;
                    in_map = true;
                    if self.visible()? != b'}' {
                        named = true;
                        continue;
                    }
                    in_map = self.end();
                }
                b'[' => {
                    self.begin(Kind::List)?;
                    in_map = false;
                    if self.visible()? != b']' {
                        named = false;
                        continue;
                    }
                    in_map = self.end();
                }
                b'-' | b'0'..=b'9' => {
                    let end = number_end(self.text, self.at)?;
                    self.push(Kind::Number, self.at, end);
                    self.at = end;
                }
                b't' => self.word(b"true", Kind::True)?,
                b'f' => self.word(b"false", Kind::False)?,
                b'n' => self.word(b"null", Kind::Null)?,
                _ => return None,
            }
            // Behind a value: the next one, or ends of what it is in.
            loop {
                if self.open.is_empty() {
                    return (self.nodes.len() <= NODES_MAX).then_some(());
                }
                match (self.visible()?, in_map) {
                    (b',', _) if self.nodes.len() > NODES_MAX => return None,
                    (b',', _) => {
                        self.at += 1;
                        named = in_map;
                        break;
                    }
                    (b'}', true) | (b']', false) => in_map = self.end(),
                    _ => return None,
                }
            }
        }
    }

    /// The next byte that is not white. It is not passed.
    #[inline(always)]
    fn visible(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.get(self.at)?;
            if !is_white(byte) {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Whether there are too many is seen at the commas.
    #[inline(always)]
    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { kind, start: start as u32, end: end as u32, next });
    }

    #[inline(always)]
    fn begin(&mut self, kind: Kind) -> Option<()> {
        if self.open.len() >= DEPTH_MAX {
            return None;
        }
        self.open.push(self.nodes.len() as u32);
        self.push(kind, self.at, self.at);
        self.at += 1;
        Some(())
    }

    /// The end of a list or map. Whether what it is in is a map.
    #[inline(always)]
    fn end(&mut self) -> bool {
        self.at += 1;
        let next = self.nodes.len() as u32;
        if let Some(node) = self.open.pop().and_then(|open| self.nodes.get_mut(open as usize)) {
            node.end = self.at as u32;
            node.next = next;
        }
        let outer = self.open.last().and_then(|open| self.nodes.get(*open as usize));
        outer.is_some_and(|node| node.kind == Kind::Map)
    }

    /// A member's name and the colon behind it.
    #[inline(always)]
    fn key(&mut self) -> Option<()> {
        if self.visible()? != b'"' {
            return None;
        }
        self.text()?;
        if self.visible()? != b':' {
            return None;
        }
        self.at += 1;
        Some(())
    }

    #[inline(always)]
    fn word(&mut self, word: &[u8], kind: Kind) -> Option<()> {
        if !self.text.get(self.at..)?.starts_with(word) {
            return None;
        }
        let start = self.at;
        self.at += word.len();
        self.push(kind, start, self.at);
        Some(())
    }

    #[inline(always)]
    fn text(&mut self) -> Option<()> {
        let start = self.at + 1;
        let (end, escaped) = text::end_of(self.text, start)?;
        self.at = end + 1;
        self.push(if escaped { Kind::EscapedText } else { Kind::Text }, start, end);
        Some(())
    }
}

/// Where the number that begins at `start` ends.
fn number_end(text: &[u8], start: usize) -> Option<usize> {
    /// Integers of fewer digits are in range.
    const SURE_DIGITS: usize = 300;
    let sign = usize::from(text.get(start) == Some(&b'-'));
    let mut at = digits_end(text, start + sign)?;
    let mut sure = true;
    if text.get(at) == Some(&b'.') {
        at = digits_end(text, at + 1)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        sure = false;
        at += 1;
        if matches!(text.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = digits_end(text, at)?;
    }
    let number = text.get(start..at)?;
    let good = (sure && number.len() <= SURE_DIGITS) || float(number).is_finite();
    good.then_some(at)
}

/// Behind digits, of which there is at least one.
#[inline]
fn digits_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while text.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    (at > start).then_some(at)
}

/// A number that has been found to be one.
fn float(number: &[u8]) -> f64 {
    fast_float2::parse(number).unwrap_or(f64::INFINITY)
}

/// More members than are looked at one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// A text and what is in it.
#[derive(Debug)]
struct Whole<'a> {
    text: &'a [u8],
    nodes: &'a [Node],
}

/// A value in a text. Two words, so that it is passed and given back in registers.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    whole: &'a Whole<'a>,
    at: usize,
}

impl<'a> View<'a> {
    /// The whole of a text, `nodes` being what [`Places`] found in it; they are copied.
    pub fn root(arena: &'a Bump, text: &'a [u8], nodes: &[Node]) -> Option<View<'a>> {
        if nodes.is_empty() {
            return None;
        }
        let nodes = arena.alloc_slice_copy(nodes);
        Some(View { whole: arena.alloc(Whole { text, nodes }), at: 0 })
    }

    /// Bytes that [`View::root`] takes.
    pub fn takes(nodes: &[Node]) -> usize {
        size_of::<Whole<'_>>() + size_of_val(nodes)
    }

    #[inline]
    fn node(&self) -> Node {
        *self.whole.nodes.get(self.at).expect("BUG: a view of no node")
    }

    #[inline]
    pub fn kind(&self) -> Kind {
        self.node().kind
    }

    /// The bytes as they stand in the text, those of a text with its quotes.
    pub fn raw(&self) -> &'a [u8] {
        let Node { kind, start, end, .. } = self.node();
        let quote = usize::from(matches!(kind, Kind::Text | Kind::EscapedText));
        self.whole
            .text
            .get(start as usize - quote..end as usize + quote)
            .expect("BUG: a node beyond its text")
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        (self.kind() == Kind::Number).then(|| float(self.raw()))
    }

    /// The bytes a text stands for, if it is one.
    pub fn bytes(&self) -> Option<Cow<'a, [u8]>> {
        let Node { kind, start, end, .. } = self.node();
        let inside =
            || self.whole.text.get(start as usize..end as usize).expect("BUG: a node beyond its text");
        match kind {
            Kind::Text => Some(Cow::Borrowed(inside())),
            Kind::EscapedText => Some(Cow::Owned(text::decode(inside()))),
            _ => None,
        }
    }

    /// The bytes of a text without backslashes, if it is one.
    #[inline]
    pub fn plain_bytes(&self) -> Option<&'a [u8]> {
        let Node { kind, start, end, .. } = self.node();
        if kind != Kind::Text {
            return None;
        }
        Some(self.whole.text.get(start as usize..end as usize).expect("BUG: a node beyond its text"))
    }

    /// Whether two views are of one value of one index.
    pub fn is(&self, other: &View) -> bool {
        self.at == other.at && std::ptr::eq(self.whole, other.whole)
    }

    fn children(&self) -> Children<'a> {
        let node = self.node();
        let inside = matches!(node.kind, Kind::List | Kind::Map);
        let end = if inside { node.next as usize } else { self.at };
        Children { parent: *self, at: self.at + 1, end }
    }

    /// What is in a list; nothing is in anything else.
    pub fn items(&self) -> impl Iterator<Item = View<'a>> + use<'a> {
        let mut children = self.children();
        if self.kind() != Kind::List {
            children.end = 0;
        }
        children
    }

    /// Names and values of a map in the order of the text, also those that come twice; nothing is in anything else.
    pub fn members(&self) -> impl Iterator<Item = (View<'a>, View<'a>)> + use<'a> {
        let mut children = self.children();
        if self.kind() != Kind::Map {
            children.end = 0;
        }
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    /// How many values are in it, names and itself too.
    pub fn count(&self) -> usize {
        self.node().next as usize - self.at
    }

    /// The member of a name, the last one if there are several.
    pub fn get(&self, name: &[u8]) -> Option<View<'a>> {
        self.get_among(name, usize::MAX).ok().flatten()
    }

    /// The same, if there are no more than so many members.
    #[inline]
    pub fn get_among(&self, name: &[u8], most: usize) -> Result<Option<View<'a>>, TooMany> {
        let found = self.place_among(name, most)?;
        Ok(found.map(|at| View { at: at.get(), ..*self }))
    }

    /// The place of that member among the nodes; no member is the first one.
    #[inline]
    fn place_among(&self, name: &[u8], most: usize) -> Result<Option<NonZeroUsize>, TooMany> {
        let Whole { text, nodes } = *self.whole;
        let own = self.node();
        let (mut found, mut left) = (None, most);
        if own.kind != Kind::Map {
            return Ok(None);
        }
        let mut at = self.at + 1;
        while at < own.next as usize
            && let Some([key, value]) = nodes.get(at..at + 2)
        {
            left = left.checked_sub(1).ok_or(TooMany)?;
            let is_it = match key.kind {
                // Most names differ in their lengths.
                Kind::Text if (key.end - key.start) as usize != name.len() => false,
                Kind::Text => {
                    text.get(key.start as usize..key.end as usize).is_some_and(|key| same(key, name))
                }
                _ => View { at, ..*self }.bytes().as_deref() == Some(name),
            };
            if is_it {
                found = NonZeroUsize::new(at + 1);
            }
            at = value.next as usize;
        }
        Ok(found)
    }

    /// The item at an index; from the end if it is negative.
    pub fn item(&self, index: i64) -> Option<View<'a>> {
        if index >= 0 {
            return self.items().nth(usize::try_from(index).ok()?);
        }
        let from_end = usize::try_from(index.unsigned_abs()).ok()?;
        let count = self.items().count();
        self.items().nth(count.checked_sub(from_end)?)
    }
}

struct Children<'a> {
    parent: View<'a>,
    at: usize,
    end: usize,
}

impl<'a> Iterator for Children<'a> {
    type Item = View<'a>;

    fn next(&mut self) -> Option<View<'a>> {
        if self.at >= self.end {
            return None;
        }
        let child = View { at: self.at, ..self.parent };
        self.at = child.node().next as usize;
        Some(child)
    }
}
