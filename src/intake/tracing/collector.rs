//! The configuration that OTLP and Zipkin have alike (`[intake.otlp]`, `[intake.zipkin]`), compiled.

use std::borrow::Cow;
use std::collections::HashMap;

use regex::bytes::Regex;

use crate::config::{CUSTOMER_TAGS_MAX, PATTERN_PREFIX};

use super::metrics::Labels;
use super::{Filters, pattern};

/// The configuration. Names and meaning are DataKit's.
pub use crate::config::SpanSettings as Options;

/// [`Options`], compiled.
#[derive(Debug)]
pub struct Collector {
    pub options: Options,
    pub filters: Filters,
    /// What is counted, if anything is.
    pub labels: Option<Labels>,
    customers: HashMap<Box<[u8]>, Box<[u8]>>,
    patterns: Vec<Regex>,
}

impl Collector {
    /// Patterns must have been checked: one that is none is left out.
    pub fn new(options: Options) -> Collector {
        let (mut customers, mut patterns) = (HashMap::new(), Vec::new());
        for tag in options.customer_tags.iter().take(CUSTOMER_TAGS_MAX) {
            match tag.strip_prefix(PATTERN_PREFIX) {
                Some(text) => patterns.extend(pattern(text)),
                None => {
                    customers.insert(tag.as_bytes().into(), underscored(tag.as_bytes()).into());
                }
            }
        }
        Collector {
            filters: Filters::new(&options.filters),
            labels: Labels::new(&options.metrics, &options.tags),
            customers,
            patterns,
            options,
        }
    }

    /// The tag that a customer's key becomes, if it is to.
    pub fn customer_tag<'a>(&'a self, key: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        if let Some(name) = self.customers.get(key) {
            return Some(Cow::Borrowed(name));
        }
        self.patterns.iter().any(|pattern| pattern.is_match(key)).then(|| underscored(key))
    }
}

/// A key as a tag has it.
pub fn underscored(key: &[u8]) -> Cow<'_, [u8]> {
    match memchr::memchr(b'.', key) {
        None => Cow::Borrowed(key),
        Some(_) => key.iter().map(|&byte| if byte == b'.' { b'_' } else { byte }).collect::<Vec<u8>>().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn customer_tags_are_keys_and_patterns() {
        let collector = Collector::new(Options {
            customer_tags: vec!["team.name".to_owned(), "reg:^usr\\.".to_owned()],
            ..Options::default()
        });
        assert_eq!(collector.customer_tag(b"team.name").as_deref(), Some(&b"team_name"[..]));
        assert_eq!(collector.customer_tag(b"usr.id").as_deref(), Some(&b"usr_id"[..]));
        for key in [&b"team"[..], b"team_name", b"x.usr.id", b""] {
            assert_eq!(collector.customer_tag(key), None);
        }
        assert!(collector.labels.is_none());
    }
}
