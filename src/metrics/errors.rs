//! What other programs last reported of themselves (`POST /v1/lasterror`). The only labels that a client chose: so many
//! series, so long, and no more.

use std::sync::Mutex;

/// Series kept: the oldest makes room.
const SERIES_MAX: usize = 64;
/// Of an input's or a source's name.
const NAME_BYTES_MAX: usize = 128;
/// Of an error's text.
const TEXT_BYTES_MAX: usize = 512;

/// The last error of an input and a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    pub input: String,
    pub source: String,
    pub text: String,
    pub at_s: u64,
    /// How many there were.
    pub count: u64,
}

/// The last errors, oldest first.
#[derive(Debug, Default)]
pub struct LastErrors(Mutex<Vec<LastError>>);

impl LastErrors {
    /// A program reports an error.
    pub fn report(&self, input: &str, source: &str, text: &str, at_s: u64) {
        let (input, source) = (cut(input, NAME_BYTES_MAX), cut(source, NAME_BYTES_MAX));
        let text = cut(text, TEXT_BYTES_MAX).to_owned();
        let mut errors = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let known = errors.iter().position(|error| error.input == input && error.source == source);
        let count = 1 + known.map_or(0, |at| errors.remove(at).count);
        if errors.len() == SERIES_MAX {
            errors.remove(0);
        }
        errors.push(LastError { input: input.to_owned(), source: source.to_owned(), text, at_s, count });
    }

    /// All of them.
    pub fn all(&self) -> Vec<LastError> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_and_are_short() {
        let errors = LastErrors::default();
        for index in 0..SERIES_MAX + 5 {
            errors.report(&format!("input-{index}"), "s", &"ä".repeat(TEXT_BYTES_MAX), 7);
        }
        errors.report("input-10", "s", "again", 8);
        let all = errors.all();
        assert_eq!(all.len(), SERIES_MAX);
        assert!(all.iter().all(|error| error.text.len() <= TEXT_BYTES_MAX && error.input != "input-0"));
        let last = all.last().unwrap();
        assert_eq!(
            (last.input.as_str(), last.text.as_str(), last.count, last.at_s),
            ("input-10", "again", 2, 8)
        );
    }
}
