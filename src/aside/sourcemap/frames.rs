//! The stack of a browser's error: finding its frames, and putting the original places in.
//!
//! ```text
//! Error: x
//!   at f @ http://host/dist/a.js:1:234          →          at f @ src/a.ts:17:4
//! ```
//!
//! A frame is `@ ` and what follows up to the last `:row:column` of the line. The map is that of the URL's path, whatever
//! host it came from. A frame that cannot be resolved stays, and the last reason is told.

use std::sync::{Arc, OnceLock};

use regex::bytes::{Captures, Regex};

use super::map::SourceMap;
use super::url::{Url, quoted};

/// What a resolved stack may grow to; frames beyond stay as they are. Names of sources come from a map.
const RESOLVED_BYTES_MAX: usize = 4 << 20;

/// A stack with the original places.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    pub stack: Vec<u8>,
    /// Why a frame stayed: of several reasons the last.
    pub failure: Option<String>,
}

/// Resolves a stack. `map_of` gives the map of a path inside the archive.
pub fn resolve(stack: &[u8], map_of: &mut dyn FnMut(&str) -> Option<Arc<SourceMap>>) -> Resolved {
    static FRAME: OnceLock<Regex> = OnceLock::new();
    let frame =
        FRAME.get_or_init(|| Regex::new(r"(?-u)@ (.*:\d+:\d+)").expect("BUG: the pattern is well-formed"));
    let mut failure = None;
    let mut grown = stack.len();
    let replaced = frame.replace_all(stack, |found: &Captures<'_>| {
        let whole = found.get_match().as_bytes();
        let place = &whole[2..];
        match original(place, map_of) {
            Ok(text) if grown + text.len() <= RESOLVED_BYTES_MAX => {
                grown += text.len();
                [b"@ ", text.as_bytes()].concat()
            }
            Ok(_) => whole.to_vec(),
            Err(reason) => {
                failure = Some(reason);
                whole.to_vec()
            }
        }
    });
    Resolved { stack: replaced.into_owned(), failure }
}

/// The original of `url:row:column`.
fn original(place: &[u8], map_of: &mut dyn FnMut(&str) -> Option<Arc<SourceMap>>) -> Result<String, String> {
    let place = String::from_utf8_lossy(place);
    let mut parts = place.rsplitn(3, ':');
    let (Some(column), Some(row), Some(url)) = (parts.next(), parts.next(), parts.next()) else {
        return Ok(place.into_owned());
    };
    let row = number(row)?;
    let column = number(column)?;
    let path = Url::parse(url).map_err(|error| {
        let shown = url.split_once('#').map_or(url, |(before, _)| before);
        format!("parse url failed, {url}, parse {}: {error}", quoted(shown))
    })?;
    let path = String::from_utf8_lossy(path.path());
    let key = format!("{}.map", path.strip_prefix('/').unwrap_or(&path));
    let Some(map) = map_of(&key) else {
        return Err(format!("parse sourcemap for [{place}] failed: sourcemap file [{key}] is required"));
    };
    let found = map.look_up(row, column).ok_or_else(|| {
        format!("fetch original source information failed, make sure sourcemap file [{key}] is valid")
    })?;
    Ok(format!("{}:{}:{}", found.source, found.line, found.column))
}

fn number(text: &str) -> Result<i64, String> {
    // Nothing but digits: only their number can be wrong.
    text.parse().map_err(|_| format!("strconv.Atoi: parsing {}: value out of range", quoted(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `dist/a.js.map`: column 4 of row 1 is `src/a.ts` line 3 column 1.
    fn maps(key: &str) -> Option<Arc<SourceMap>> {
        let text = br#"{"version":3,"sources":["src/a.ts"],"mappings":"AACA,IACC;"}"#;
        (key == "dist/a.js.map").then(|| Arc::new(SourceMap::parse(text, 1 << 16).unwrap()))
    }

    fn resolved(stack: &str) -> (String, Option<String>) {
        let resolved = resolve(stack.as_bytes(), &mut maps);
        (String::from_utf8(resolved.stack).unwrap(), resolved.failure)
    }

    #[test]
    fn frames_get_their_original_place() {
        let stack = "Error: x\n  at f @ http://h:80/dist/a.js?v=1:1:4\r\n  at <anonymous> @ dist/a.js:1:0\n";
        let expected = "Error: x\n  at f @ src/a.ts:3:1\r\n  at <anonymous> @ src/a.ts:2:0\n";
        assert_eq!(resolved(stack), (expected.to_owned(), None));
    }

    #[test]
    fn what_is_no_frame_stays_and_is_no_failure() {
        for stack in [
            "",
            "x",
            "Error: x\n  at foo (http://localhost/main.js:1:1)",
            "@ http://h/dist/a.js:1",
            "@http://h/dist/a.js:1:1",
            "@ \nhttp://h/dist/a.js:1:1",
            "@ a:1:",
        ] {
            assert_eq!(resolved(stack), (stack.to_owned(), None), "{stack}");
        }
    }

    #[test]
    fn a_frame_goes_to_the_last_place_of_its_line() {
        // Greedy: what is between is part of the URL.
        let (stack, failure) = resolved("@ http://h/dist/a.js:1:4 @ http://h/dist/a.js:1:4 end");
        assert_eq!(stack, "@ http://h/dist/a.js:1:4 @ http://h/dist/a.js:1:4 end");
        let key = "dist/a.js:1:4 @ http://h/dist/a.js.map";
        let place = "http://h/dist/a.js:1:4 @ http://h/dist/a.js:1:4";
        let expected = format!("parse sourcemap for [{place}] failed: sourcemap file [{key}] is required");
        assert_eq!(failure.as_deref(), Some(expected.as_str()));
    }

    #[test]
    fn the_last_failure_is_told_and_the_others_are_resolved() {
        let good = "@ http://h/dist/a.js:1:4";
        for (bad, reason) in [
            (
                "@ http://h/b.js:1:4",
                "parse sourcemap for [http://h/b.js:1:4] failed: sourcemap file [b.js.map] is required",
            ),
            (
                "@ http://h/dist/a.js:9:0",
                "fetch original source information failed, make sure sourcemap file [dist/a.js.map] is valid",
            ),
            (
                "@ http://h/%zz:1:1",
                "parse url failed, http://h/%zz, parse \"http://h/%zz\": invalid URL escape \"%zz\"",
            ),
            (
                "@ a.js:99999999999999999999:1",
                "strconv.Atoi: parsing \"99999999999999999999\": value out of range",
            ),
        ] {
            let (stack, failure) = resolved(&format!("{good}\n{bad}\n{good}"));
            assert_eq!(stack, format!("@ src/a.ts:3:1\n{bad}\n@ src/a.ts:3:1"));
            assert_eq!(failure.as_deref(), Some(reason));
        }
    }

    #[test]
    fn bytes_that_are_no_text_pass() {
        let resolved = resolve(b"\xff @ \xfe/a.js:1:2 \xfd", &mut maps);
        assert_eq!(resolved.stack, b"\xff @ \xfe/a.js:1:2 \xfd");
        assert!(resolved.failure.unwrap().starts_with("parse sourcemap for [\u{fffd}/a.js:1:2]"));
    }

    #[test]
    fn a_stack_grows_to_a_bound() {
        let name = "s".repeat(10_000);
        let text = format!(r#"{{"sources":["{name}"],"mappings":"AACA;"}}"#);
        let map = Arc::new(SourceMap::parse(text.as_bytes(), 1 << 16).unwrap());
        let stack = "@ a.js:1:0\n".repeat(10_000);
        let resolved = resolve(stack.as_bytes(), &mut |_| Some(Arc::clone(&map)));
        assert!(resolved.stack.len() <= RESOLVED_BYTES_MAX && resolved.stack.len() > RESOLVED_BYTES_MAX / 2);
        assert!(resolved.stack.ends_with(b"@ a.js:1:0\n"));
    }
}
