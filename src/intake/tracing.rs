//! What trace collectors share: which traces pass, and the names of things in a tracing point.
//!
//! A filter looks at a chunk, the spans that one trace brought in one request, and keeps or drops all of it. The order
//! is the recorded one: closed resources; what holds an error stays; (statuses that are not errors to the user); rare
//! resources stay; then the sampler, which decides by the trace's id, so that every collector decides alike.
//!
//! - [`chunks`]: the spans of a request by their traces, and what the filters say of each
//! - [`collector`]: the configuration that OTLP and Zipkin have alike
//! - [`metrics`]: what is counted of spans

pub mod chunks;
pub mod collector;
pub mod metrics;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;

use regex::bytes::Regex;

pub use crate::config::TraceFilters as FilterOptions;
pub use crate::config::pattern::pattern;

/// [`FilterOptions`], compiled.
#[derive(Debug, Default)]
pub struct Filters {
    closed: Vec<(Box<[u8]>, Vec<Regex>)>,
    keeps_rare: bool,
    /// Below 1.
    rate: Option<f64>,
}

/// What is to become of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    Drop,
    /// The next filter decides.
    Open,
}

impl Filters {
    /// Patterns must have been checked with [`pattern`]: one that is none is left out.
    pub fn new(options: &FilterOptions) -> Filters {
        let closed = options.close_resource.iter().map(|(service, patterns)| {
            let patterns = patterns.iter().filter_map(|text| pattern(text).ok()).collect();
            (service.as_bytes().into(), patterns)
        });
        let rate = options.sampling_rate.filter(|rate| *rate < 1.0);
        Filters {
            closed: closed.collect(),
            // Where everything stays, nothing need be remembered.
            keeps_rare: rate.is_some() && options.keep_rare_resource,
            rate,
        }
    }

    /// Whether nothing is ever dropped.
    pub fn is_open(&self) -> bool {
        self.closed.is_empty() && self.rate.is_none()
    }

    /// Whether there is a sampler.
    pub fn samples(&self) -> Option<f64> {
        self.rate
    }

    /// Whether a span's resource is closed.
    pub fn closes(&self, service: &[u8], resource: &[u8]) -> bool {
        self.closed.iter().any(|(of, patterns)| {
            (&**of == b"*" || &**of == service) && patterns.iter().any(|pattern| pattern.is_match(resource))
        })
    }

    /// Whether a chunk stays because of where it begins: the service, resource and kind of source of its first entry.
    pub fn is_rare(&self, entry: [&[u8]; 3], seen: &RareResources, now_ns: i64) -> bool {
        self.keeps_rare && seen.is_rare(entry, now_ns)
    }

    /// What the sampler says of a trace's id.
    pub fn sample(&self, trace_id: &[u8]) -> Verdict {
        match self.rate {
            None => Verdict::Keep,
            Some(rate) if id_number(trace_id) % SAMPLES <= (rate * SAMPLES as f64) as u64 => Verdict::Keep,
            Some(_) => Verdict::Drop,
        }
    }
}

/// The sampler's resolution. An id that is 0 modulo this stays at every rate: recorded.
const SAMPLES: u64 = 10_000;

/// The number that a trace's id stands for: decimal, or hexadecimal, or of a long one its last eight letters.
fn id_number(id: &[u8]) -> u64 {
    if id.len() >= 32
        && let Some(last) = id.last_chunk::<8>()
    {
        return u64::from_be_bytes(*last);
    }
    let text = str::from_utf8(id).unwrap_or_default();
    let number = text.parse().or_else(|_| u64::from_str_radix(text, 16));
    number.unwrap_or_else(|_| id.last_chunk::<8>().map_or(0, |last| u64::from_be_bytes(*last)))
}

/// How long a resource is remembered.
const RARE_NS: i64 = 3_600_000_000_000;

/// Resources remembered. Past it those not seen for an hour are forgotten, and if none is, new ones are not rare.
const RARE_RESOURCES_MAX: usize = 1 << 16;

/// Which resources have been seen in the last hour. Of all protocols: the kind of source tells them apart.
#[derive(Debug, Default)]
pub struct RareResources {
    hasher: RandomState,
    seen: Mutex<HashMap<u64, i64>>,
}

impl RareResources {
    fn is_rare(&self, entry: [&[u8]; 3], now_ns: i64) -> bool {
        let key = self.hasher.hash_one(entry);
        let Ok(mut seen) = self.seen.lock() else { return false };
        let old = |last: i64| now_ns.saturating_sub(last) > RARE_NS;
        if let Some(last) = seen.get_mut(&key) {
            return old(std::mem::replace(last, now_ns));
        }
        if seen.len() >= RARE_RESOURCES_MAX {
            seen.retain(|_, last| !old(*last));
        }
        if seen.len() >= RARE_RESOURCES_MAX {
            return false;
        }
        seen.insert(key, now_ns);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(options: FilterOptions) -> Filters {
        Filters::new(&options)
    }

    #[test]
    fn resources_are_closed_by_service_or_for_all() {
        let close = |service: &str, patterns: &[&str]| {
            (service.to_owned(), patterns.iter().map(|&pattern| pattern.to_owned()).collect())
        };
        let filters = filters(FilterOptions {
            close_resource: vec![close("shop", &["^GET /health", "ping"]), close("*", &["^/metrics$"])],
            ..FilterOptions::default()
        });
        assert!(!filters.is_open());
        assert!(filters.closes(b"shop", b"GET /healthz"));
        assert!(filters.closes(b"shop", b"do-ping-now"));
        assert!(filters.closes(b"other", b"/metrics"));
        assert!(!filters.closes(b"other", b"GET /healthz"));
        assert!(!filters.closes(b"other", b"/metrics/x"));
    }

    #[test]
    fn the_sampler_decides_by_the_id_as_recorded() {
        let rate = |rate| filters(FilterOptions { sampling_rate: Some(rate), ..FilterOptions::default() });
        assert!(rate(1.0).is_open());
        assert_eq!(rate(0.5).sample(b"5000"), Verdict::Keep);
        assert_eq!(rate(0.5).sample(b"5001"), Verdict::Drop);
        assert_eq!(rate(0.0).sample(b"20000"), Verdict::Keep);
        assert_eq!(rate(0.0).sample(b"1"), Verdict::Drop);
        // ff is 255.
        assert_eq!(rate(0.026).sample(b"ff"), Verdict::Keep);
        assert_eq!(rate(0.025).sample(b"ff"), Verdict::Drop);
        let id = b"6b02265d00000000012d6fcd95582719";
        assert_eq!(id_number(id), u64::from_be_bytes(*b"95582719"));
        let kept = (0..10_000u64).filter(|id| rate(0.3).sample(id.to_string().as_bytes()) == Verdict::Keep);
        assert_eq!(kept.count(), 3_001);
    }

    #[test]
    fn a_rare_resource_is_one_not_seen_for_an_hour() {
        let options =
            FilterOptions { keep_rare_resource: true, sampling_rate: Some(0.1), ..FilterOptions::default() };
        let rare = filters(options.clone());
        let entry: [&[u8]; 3] = [b"s", b"r", b"web"];
        let seen = RareResources::default();
        assert!(rare.is_rare(entry, &seen, 0));
        assert!(!rare.is_rare(entry, &seen, 1));
        assert!(!rare.is_rare(entry, &seen, RARE_NS));
        assert!(rare.is_rare(entry, &seen, 2 * RARE_NS + 1));
        assert!(rare.is_rare([b"s", b"other", b"web"], &seen, 0));
        let all = filters(FilterOptions { sampling_rate: None, ..options });
        assert!(
            !all.is_rare(entry, &RareResources::default(), 0),
            "where everything stays, nothing need be remembered"
        );
    }
}
