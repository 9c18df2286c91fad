//! What the load tools have in common: corpora, pinning and `/proc` sampling, child processes, a seeded generator.

pub mod child;
pub mod corpus;
pub mod format;
pub mod http;
pub mod mt19937;
pub mod random;
pub mod system;

/// Any failure of a tool: a text for the person who runs it.
pub type Fail = Box<dyn std::error::Error + Send + Sync>;

/// Result of a tool's step.
pub type Outcome<T> = Result<T, Fail>;
