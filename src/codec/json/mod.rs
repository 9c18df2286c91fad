//! JSON as Go's `encoding/json` takes it: bytes in, a flat tape out. What the values mean is the reader's business.
//!
//! Two parsers give tapes of the same shape ([`View`]). [`Tape`] is ours: it keeps the text of every number and string,
//! takes whatever Go takes (broken UTF-8, half surrogate pairs, numbers of any length) and refuses whatever Go refuses.
//! [`Simd`] is simd-json, faster, and stricter than Go: what it refuses says nothing, what it takes is right.
//! [`check`] has Go's words for what is wrong with a text.

mod elements;
mod number;
mod simd;
mod syntax;
mod tape;
mod text;

#[cfg(test)]
mod tests;

pub use elements::Elements;
pub use number::Number;
pub use simd::Simd;
pub use syntax::{SyntaxError, check};
pub use tape::{Malformed, NODES_MAX, Place, Tape};
pub use text::Text;

/// Go's bound on arrays and objects inside each other.
pub const DEPTH_MAX: usize = 10_000;

/// A value of a tape.
pub trait Value<'a>: Copy {
    type Items: Iterator<Item = Self>;
    type Members: Iterator<Item = (Text<'a>, Self)>;

    fn view(self) -> View<'a, Self::Items, Self::Members>;

    /// The first number in this value, however deep, that no `f64` can say.
    fn overflow(self) -> Option<Number<'a>>;
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum View<'a, Items, Members> {
    Null,
    Bool(bool),
    Number(Number<'a>),
    Text(Text<'a>),
    Array(Items),
    /// In the order of the text, also those that come twice.
    Object(Members),
}

impl<Items, Members> View<'_, Items, Members> {
    /// The kind, as Go names it in errors.
    pub fn kind(&self) -> &'static str {
        match self {
            View::Null => "null",
            View::Bool(_) => "bool",
            View::Number(_) => "number",
            View::Text(_) => "string",
            View::Array(_) => "array",
            View::Object(_) => "object",
        }
    }
}

/// White space of JSON.
pub fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
