//! Filters: conditions by which points are dropped, in the language of DataKit's blacklist.
//!
//! ```text
//! { source = 'nginx' and (status in ['ok', nil] or cost > 1.5), host match ['^test-'] } ; { }   # a comment
//!   └ name   └ literal                                        └ and                   └ or  └ every point
//! ```
//!
//! A *rule* is a text; of its braces any may be true of a point, and in a brace everything that stands between commas.
//! A category has any number of rules: a point of which one is true is dropped.
//!
//! - `lexer`, `parser`: from a text to a [`Rule`], patterns compiled, everything bounded
//! - `pattern`: patterns mean what they mean in Go
//! - `eval`: whether a rule is true of a [`View`] of a point
//! - `set`: the rules of all categories, as a whole; `hook`: how points meet them
//!
//! Source: DataKit 1.84.1, as recorded where it was recorded and as it is written elsewhere. Types are never converted:
//! what is not of a literal's type is neither equal to it nor unequal. Two things are not copied: what DataKit's grammar
//! takes and then is never true of anything (arithmetic, functions) is refused in words, and so is `!= re(…)`, which
//! there is true of every text. A list of patterns skips those that are none, as there; they are told of.

mod eval;
mod hook;
mod lexer;
mod parser;
mod pattern;
mod set;

#[cfg(test)]
mod tests;

pub use eval::{View, Viewed};
pub(super) use hook::measurement_key;
pub use hook::{DraftView, Filtering, virtual_key};
pub use parser::{Fault, RULE_BYTES_MAX, Rule};
pub use pattern::go_pattern;
pub use set::{FilterSet, Loaded, RULES_MAX};
