//! The tape: what a parsed body looks like. Flat arrays that are reused, no allocation a point.
//!
//! Text is a span of bytes: `offset << 32 | len`. A span points into the body itself, or, where bytes had to be
//! changed (unescaping, base64), into `Tape::arena`: the flags of the key-value say which.
//!
//! What a reader may rely on after a successful parse:
//! - every span lies inside the body or inside the arena, whichever its flag names;
//! - the body is [`Padded`](crate::buf::Padded) and the arena ends with [`PADDING`] bytes that no span covers, so a
//!   copy may read [`PADDING`] bytes past the end of any span;
//! - no two key-values of a point have the same key: a tag has won over a field, a later field over an earlier one;
//! - no key is empty, and no tag value is.

use super::fast::Scratch;
use crate::buf::PADDING;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A tag: text, span in `value`.
    Tag = 0,
    /// `i64` as bits.
    Int = 1,
    /// `f64` as bits.
    Float = 2,
    /// Text, span in `value`.
    Str = 3,
    /// 0 or 1.
    Bool = 4,
    /// `u64`.
    Uint = 5,
    /// Decoded bytes, span into the arena.
    Bytes = 6,
    /// An array of one kind: `start << 32 | count` into `Tape::items`. Never empty.
    Array = 7,
}

/// One tag or field.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Kv {
    /// Offset of the key in the body, or in the arena when `KEY_IN_ARENA`.
    pub key: u32,
    pub key_len: u16,
    pub kind: Kind,
    pub flags: u8,
    /// By kind: number bits, a span, or a range of items.
    pub value: u64,
}

impl Kv {
    pub const KEY_IN_ARENA: u8 = 1;
    pub const VALUE_IN_ARENA: u8 = 2;
}

/// An element of an array: never a tag and never an array.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    pub kind: Kind,
    pub in_arena: bool,
    pub value: u64,
}

/// One point: a name, a run of key-values (tags first, then fields, each in input order), a time.
#[derive(Clone, Copy, Debug)]
pub struct PointSpan {
    pub name: u32,
    pub name_len: u32,
    /// First key-value in `Tape::kvs`.
    pub kv: u32,
    pub tags: u32,
    pub fields: u32,
    /// The name lies in the arena.
    pub name_in_arena: bool,
    /// As written, before precision; `None` where the line has no timestamp.
    pub time: Option<i64>,
}

/// A parsed body. Reused from one body to the next.
#[derive(Debug, Default)]
pub struct Tape {
    pub kvs: Vec<Kv>,
    pub points: Vec<PointSpan>,
    pub items: Vec<Item>,
    pub arena: Vec<u8>,
    /// Points that were dropped because a value could not be decoded.
    pub lost_points: u32,
    /// Values that are missing or not what was written: a field of no kind, an array element of another kind.
    pub lost_values: u32,
    pub(super) scratch: Option<Scratch>,
}

/// A span of `len` bytes at `offset`, as [`Kv::value`] holds it.
pub(crate) fn span(offset: usize, len: usize) -> u64 {
    (offset as u64) << 32 | len as u64
}

/// The offset and length of a span.
pub(crate) fn unspan(span: u64) -> (usize, usize) {
    ((span >> 32) as usize, (span & u64::from(u32::MAX)) as usize)
}

impl Tape {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.kvs.clear();
        self.points.clear();
        self.items.clear();
        self.arena.clear();
        self.lost_points = 0;
        self.lost_values = 0;
    }

    /// Ends a parse: from here on the arena is padded and must not grow before the next [`Tape::clear`].
    pub(crate) fn seal(&mut self) {
        self.arena.extend_from_slice(&[0; PADDING]);
    }

    /// The key-values of a point.
    pub fn kvs_of(&self, point: &PointSpan) -> &[Kv] {
        &self.kvs[point.kv as usize..][..(point.tags + point.fields) as usize]
    }

    /// The elements of an array, given the `value` of its key-value.
    pub fn items_of(&self, value: u64) -> &[Item] {
        let (start, count) = unspan(value);
        &self.items[start..start + count]
    }

    /// The name of a point of this body.
    pub fn name<'a>(&'a self, body: &'a [u8], point: &PointSpan) -> &'a [u8] {
        let source = if point.name_in_arena { &self.arena[..] } else { body };
        &source[point.name as usize..][..point.name_len as usize]
    }

    /// The key of a key-value of this body.
    pub fn key<'a>(&'a self, body: &'a [u8], kv: &Kv) -> &'a [u8] {
        let source = if kv.flags & Kv::KEY_IN_ARENA != 0 { &self.arena[..] } else { body };
        &source[kv.key as usize..][..usize::from(kv.key_len)]
    }

    /// The text of a tag, string or bytes value of this body.
    pub fn text<'a>(&'a self, body: &'a [u8], kv: &Kv) -> &'a [u8] {
        self.text_at(body, kv.flags & Kv::VALUE_IN_ARENA != 0, kv.value)
    }

    /// The text a span names, in the arena or in the body.
    pub fn text_at<'a>(&'a self, body: &'a [u8], in_arena: bool, value: u64) -> &'a [u8] {
        let (start, len) = unspan(value);
        let source = if in_arena { &self.arena[..] } else { body };
        &source[start..start + len]
    }
}
