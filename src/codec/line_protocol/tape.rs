//! The tape: what a parsed body looks like. Flat arrays that are reused, no allocation a point.
//!
//! Text is a span of bytes: `offset << 32 | len`. A span points into the body itself, or, where bytes had to be
//! changed (unescaping, base64), into `Tape::arena`: the flags of the key-value say which.

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
    /// An array of one kind: `start << 32 | count` into `Tape::items`.
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
}
