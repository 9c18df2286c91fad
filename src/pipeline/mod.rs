//! Pipeline: scripts that rewrite points on their way, in the language of DataKit.
//!
//! ```text
//! text ─ lexer → parser ─ ast → compile (checks, slots, funcs) ─ node::Program ┐
//!                                                    set: scripts by name ─────┴→ vm: run over a record → post
//! store: sets by namespace and category ─ which script a point gets ─ hook: on the path of points
//! ```
//!
//! A script is compiled once and shared by all runs. A run takes its values from an arena and gives everything back at its end;
//! what it may use up is bounded ([`vm`]). Nothing here has a clock, a file or a socket: what a run needs of the world it asks
//! of its [`vm::Host`]. [`state`] is what
//! outlives a run. [`lib`] is what functions stand on: pure code over bytes and numbers that knows nothing of scripts.

pub mod args;
pub mod ast;
pub mod category;
pub mod compile;
pub mod draft;
pub mod error;
mod eval;
pub mod funcs;
pub mod hook;
mod lexer;
pub mod lib;
pub mod node;
pub mod number;
mod ops;
pub mod outside;
mod parser;
pub mod post;
pub mod record;
pub mod set;
pub mod shipped;
pub mod state;
pub mod store;
pub mod text;
pub mod trial;
pub mod value;
pub mod vm;
