//! What the functions of the script language do, apart from the language: texts, bytes and numbers in, and the same out.
//! No clocks, files or zones of the machine: now and the local zone are arguments.

pub mod gofmt;
pub mod grok;
pub mod json;
pub mod kv;
pub mod number;
pub mod regex;
pub mod sql_cover;
pub mod text;
pub mod time;
pub mod url;
pub mod user_agent;
pub mod xml;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod testing;
