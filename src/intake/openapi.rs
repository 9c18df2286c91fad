//! `GET /openapi.json`: the description of the whole HTTP surface, for people and their tools. Written by hand; that it is
//! true is a test's doing: what is in it is answered, and what is answered is in it.

use super::Reply;

/// The document.
pub const DOCUMENT: &str = include_str!("openapi.json");

pub const PATH: &str = "/openapi.json";

pub fn reply() -> Reply {
    Reply::json(200, DOCUMENT.as_bytes().to_vec())
}
