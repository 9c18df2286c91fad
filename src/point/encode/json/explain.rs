//! What is wrong with a body, as DataKit says it.

use crate::codec::json::{self, Malformed, Tape, is_white};

use super::dialect;
use super::element::ELEMENT_DEPTH_MAX;

const TOO_LARGE: &str = "json: too many values in one point";

/// Said of a body with which nothing is wrong.
pub(super) const NOTHING_WRONG: &str = "json: invalid points";

/// Go's text for the first thing that is wrong with `body`: with its syntax anywhere, then with its elements from first
/// to last. Reads all of it.
pub fn explain(body: &[u8]) -> String {
    if let Err(error) = json::check(body) {
        return error.to_string();
    }
    let mut tape = Tape::default();
    let mut at = white(body, 0);
    if !matches!(body.get(at), Some(b'[' | b'n')) {
        let kind = match body.get(at) {
            Some(b'{') => "object",
            Some(b'"') => "string",
            Some(b't' | b'f') => "bool",
            _ => "number",
        };
        return format!("json: cannot unmarshal {kind} into Go value of type []*point.Point");
    }
    // Between the elements of a well-formed array there are white space and one comma.
    while let Some(b'[' | b',') = body.get(at) {
        at = white(body, at + 1);
        let element = tape.parse(body, at, ELEMENT_DEPTH_MAX);
        at = match element {
            Ok(end) => white(body, end),
            Err(Malformed::TooLarge) => return TOO_LARGE.to_owned(),
            // Only `[]` and its end get here.
            Err(Malformed::Syntax) => break,
        };
        if let Err(refusal) = dialect::read(tape.root(body)) {
            return refusal.to_string();
        }
    }
    // Nothing: whoever asked was wrong.
    NOTHING_WRONG.to_owned()
}

/// The next offset that is not white space.
fn white(body: &[u8], from: usize) -> usize {
    let rest = body.get(from..).unwrap_or_default();
    from + rest.iter().position(|&byte| !is_white(byte)).unwrap_or(rest.len())
}
