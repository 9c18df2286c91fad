//! Our parser: any text Go takes, byte by byte, without recursion.

use super::text::scan as scan_string;
use super::{Number, Text, Value, View, is_white, number};

/// Values and keys of one text. A point keeps 1,280 fields and tags; one long array is what fills this. Bounds the
/// memory that a body can take to a few times its size.
pub const NODES_MAX: usize = 1 << 20;

/// Memory for more nodes than this is given back.
const NODES_KEPT_MAX: usize = 1 << 14;

/// A parsed text, and the memory for the next one.
#[derive(Debug, Default)]
pub struct Tape {
    nodes: Vec<Node>,
    /// The containers around what is being read: indices into `nodes`.
    open: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    kind: Kind,
    /// The text of a number, or of a string without its quotes.
    start: u32,
    len: u32,
    /// The index of the node behind this one and all that is in it.
    next: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    True,
    False,
    Number,
    String,
    Escaped,
    Array,
    Object,
}

/// Why a text is no tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It is no JSON, or nested too deeply. [`super::check`] says where.
    Syntax,
    /// More than [`NODES_MAX`] values and keys.
    TooLarge,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    /// A value, or the end of the array that was just opened.
    Item,
    Key,
    /// A key, or the end of the object that was just opened.
    FirstKey,
    /// A comma, or the end of the innermost container.
    Behind,
}

impl Tape {
    /// Reads the value that begins at `start` of `bytes`; gives the offset behind it.
    pub fn parse(&mut self, bytes: &[u8], start: usize, depth_max: usize) -> Result<usize, Malformed> {
        self.nodes.clear();
        self.nodes.shrink_to(NODES_KEPT_MAX);
        self.open.clear();
        if u32::try_from(bytes.len()).is_err() {
            return Err(Malformed::TooLarge);
        }
        let mut at = start;
        let mut expect = Expect::Value;
        loop {
            while bytes.get(at).copied().is_some_and(is_white) {
                at += 1;
            }
            let byte = *bytes.get(at).ok_or(Malformed::Syntax)?;
            let is_key = matches!(expect, Expect::Key | Expect::FirstKey);
            match (byte, expect) {
                (b'"', _) if expect != Expect::Behind => {
                    let text = scan_string(bytes, at + 1).ok_or(Malformed::Syntax)?;
                    let (len, kind) = text.extent();
                    self.push(if kind { Kind::Escaped } else { Kind::String }, at + 1, len)?;
                    at += len + 2;
                    if is_key {
                        at = colon(bytes, at).ok_or(Malformed::Syntax)?;
                        expect = Expect::Value;
                        continue;
                    }
                }
                (b'}', Expect::FirstKey | Expect::Behind) => {
                    self.close(Kind::Object)?;
                    at += 1;
                }
                (b']', Expect::Item | Expect::Behind) => {
                    self.close(Kind::Array)?;
                    at += 1;
                }
                (b',', Expect::Behind) => {
                    at += 1;
                    expect = if self.innermost() == Some(Kind::Object) { Expect::Key } else { Expect::Value };
                    continue;
                }
                (b'{' | b'[', Expect::Value | Expect::Item) => {
                    if self.open.len() >= depth_max {
                        return Err(Malformed::Syntax);
                    }
                    self.open.push(self.nodes.len() as u32);
                    let kind = if byte == b'{' { Kind::Object } else { Kind::Array };
                    self.push(kind, at, 0)?;
                    at += 1;
                    expect = if byte == b'{' { Expect::FirstKey } else { Expect::Item };
                    continue;
                }
                (_, Expect::Value | Expect::Item) => {
                    let (kind, len) = scalar(&bytes[at..]).ok_or(Malformed::Syntax)?;
                    self.push(kind, at, len)?;
                    at += len;
                }
                _ => return Err(Malformed::Syntax),
            }
            if self.open.is_empty() {
                return Ok(at);
            }
            expect = Expect::Behind;
        }
    }

    /// The value that was read; `bytes` as in [`Tape::parse`].
    pub fn root<'a>(&'a self, bytes: &'a [u8]) -> Place<'a> {
        Place { tape: &self.nodes, bytes, at: 0 }
    }

    fn innermost(&self) -> Option<Kind> {
        self.open.last().and_then(|&index| self.nodes.get(index as usize)).map(|node| node.kind)
    }

    fn push(&mut self, kind: Kind, start: usize, len: usize) -> Result<(), Malformed> {
        if self.nodes.len() >= NODES_MAX {
            return Err(Malformed::TooLarge);
        }
        // They fit: the text does.
        self.nodes.push(Node {
            kind,
            start: start as u32,
            len: len as u32,
            next: self.nodes.len() as u32 + 1,
        });
        Ok(())
    }

    fn close(&mut self, kind: Kind) -> Result<(), Malformed> {
        if self.innermost() != Some(kind) {
            return Err(Malformed::Syntax);
        }
        let next = self.nodes.len() as u32;
        if let Some(node) = self.open.pop().and_then(|index| self.nodes.get_mut(index as usize)) {
            node.next = next;
        }
        Ok(())
    }
}

/// The offset behind the colon that follows a key.
fn colon(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let at = rest.iter().position(|&byte| !is_white(byte))?;
    (rest[at] == b':').then_some(from + at + 1)
}

fn scalar(bytes: &[u8]) -> Option<(Kind, usize)> {
    match bytes.first()? {
        b'n' if bytes.starts_with(b"null") => Some((Kind::Null, 4)),
        b't' if bytes.starts_with(b"true") => Some((Kind::True, 4)),
        b'f' if bytes.starts_with(b"false") => Some((Kind::False, 5)),
        _ => number::scan(bytes).map(|len| (Kind::Number, len)),
    }
}

/// A value of a [`Tape`].
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    tape: &'a [Node],
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Place<'a> {
    fn node(self) -> Node {
        const NULL: Node = Node { kind: Kind::Null, start: 0, len: 0, next: u32::MAX };
        self.tape.get(self.at).copied().unwrap_or(NULL)
    }

    fn slice(self, node: Node) -> &'a [u8] {
        let start = node.start as usize;
        self.bytes.get(start..start + node.len as usize).unwrap_or_default()
    }

    fn text(self, node: Node) -> Text<'a> {
        Text::raw_form(self.slice(node), node.kind == Kind::Escaped)
    }

    fn inside(self, node: Node) -> Inside<'a> {
        Inside { place: Place { at: self.at + 1, ..self }, end: node.next as usize }
    }
}

/// The values in an array, or the keys and values in an object.
#[derive(Clone, Copy, Debug)]
pub struct Inside<'a> {
    place: Place<'a>,
    end: usize,
}

impl<'a> Inside<'a> {
    fn step(&mut self) -> Option<Place<'a>> {
        (self.place.at < self.end).then(|| {
            let here = self.place;
            self.place.at = here.node().next as usize;
            here
        })
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
        Some((key.text(key.node()), value))
    }
}

impl<'a> Value<'a> for Place<'a> {
    type Items = Inside<'a>;
    type Members = Members<'a>;

    fn view(self) -> View<'a, Inside<'a>, Members<'a>> {
        let node = self.node();
        match node.kind {
            Kind::Null => View::Null,
            Kind::True => View::Bool(true),
            Kind::False => View::Bool(false),
            Kind::Number => View::Number(Number::Text(self.slice(node))),
            Kind::String | Kind::Escaped => View::Text(self.text(node)),
            Kind::Array => View::Array(self.inside(node)),
            Kind::Object => View::Object(Members(self.inside(node))),
        }
    }

    fn overflow(self) -> Option<Number<'a>> {
        let within = self.tape.get(self.at..self.node().next as usize).unwrap_or_default();
        let mut numbers = within
            .iter()
            .filter(|node| node.kind == Kind::Number)
            .map(|&node| Number::Text(self.slice(node)));
        numbers.find(|number| number.to_f64().is_none())
    }
}
