//! Patterns that users write: regular expressions, looked for anywhere in a text, whose time is linear in it.

use regex::bytes::{Regex, RegexBuilder};

/// A compiled pattern may take this much; what is written by hand takes a few kilobytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Compiles a pattern.
pub fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_checked() {
        assert!(pattern("a.b").is_ok_and(|pattern| pattern.is_match(b"xa-by")));
        assert!(pattern("a(").is_err());
        assert!(pattern("(a{1000}){1000}").is_err());
    }
}
