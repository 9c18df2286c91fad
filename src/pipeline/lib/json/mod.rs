//! JSON in scripts: one pass over a text makes an [`Index`], and whatever a script asks of the text is answered from that.
//!
//! Several `json()` calls on one key share the index: nothing but the values that are asked for is decoded. What `load_json`
//! gives looks into it too, as long as a script looks at a few members only.
//! [`gjson`] is tidwall's path language.
//!
//! The grammar is that of the reference engine's parser, which is more lenient than JSON: numbers may begin with zeros, texts
//! may have any byte in them, UTF-8 or not. [`is_valid`] is strict. A number that no `f64` can say makes the whole text bad.

pub mod gjson;
mod index;
mod path;
mod text;
mod write;

#[cfg(test)]
mod tests;

pub use index::{Index, Kind, Node, Places, TooMany, View};
pub use path::{Found, Step, delete, extract};
pub use write::{Without, write_float, write_text, write_value};

/// Lists and maps inside each other. Logs have a dozen; every level costs stack where a tree is built.
pub const DEPTH_MAX: usize = 512;
/// The longest text that is looked into: what the debug interface takes.
pub const TEXT_BYTES_MAX: usize = 32 * 1_024 * 1_024;
/// Values in a text, names too. An index of so many takes 8 MiB.
pub const NODES_MAX: usize = 512 * 1_024;

// Places in a text and in its index are kept in 32 bits.
const _: () = assert!(TEXT_BYTES_MAX < u32::MAX as usize);
const _: () = assert!(NODES_MAX < u32::MAX as usize);

/// Whether a text is JSON by the letter.
pub fn is_valid(text: &[u8]) -> bool {
    crate::codec::json::check(text).is_ok()
}
