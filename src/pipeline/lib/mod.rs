//! What the functions of scripts stand on: texts in, values out, nothing of the language itself.

pub mod gofmt;
pub mod grok;
pub mod kv;
pub mod number;
pub mod regex;
pub mod sql_cover;
pub mod text;
pub mod url;
pub mod user_agent;
pub mod xml;

#[cfg(test)]
mod golden_tests;
