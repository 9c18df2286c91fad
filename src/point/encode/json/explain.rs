//! What is wrong with a body.

/// Go's text for the first thing that is wrong with `body`. Reads all of it.
pub fn explain(_body: &[u8]) -> String {
    String::new()
}
