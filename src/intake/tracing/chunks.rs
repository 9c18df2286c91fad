//! The spans of a request by their traces, for protocols whose requests mix them: a first walk over the spans says what
//! each trace is like, the filters judge each once, and a second walk asks what is to become of a span.

use std::collections::HashMap;

use super::{Filters, RareResources, Verdict};

/// What the filters look at of a span.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub service: &'a [u8],
    pub resource: &'a [u8],
    pub is_error: bool,
    pub is_entry: bool,
}

/// What is known of a trace.
#[derive(Debug, Default)]
struct Chunk {
    is_closed: bool,
    has_error: bool,
    /// Service and resource of the first span that is an entry.
    entry: Option<[Box<[u8]>; 2]>,
}

/// What becomes of the spans of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    Keep,
    Drop,
    /// Kept by the sampler; the first span that asks is told its rate.
    Sampled(Option<f64>),
}

/// The traces of a request, by their ids as points have them.
#[derive(Debug, Default)]
pub struct Chunks(HashMap<Box<[u8]>, Chunk>);

impl Chunks {
    /// Notes a span. Whoever calls bounds how many there are.
    pub fn note(&mut self, trace_id: &[u8], span: Seen<'_>, filters: &Filters) {
        if !self.0.contains_key(trace_id) {
            self.0.insert(trace_id.into(), Chunk::default());
        }
        let Some(chunk) = self.0.get_mut(trace_id) else { return };
        chunk.is_closed |= filters.closes(span.service, span.resource);
        chunk.has_error |= span.is_error;
        if span.is_entry && chunk.entry.is_none() {
            chunk.entry = Some([span.service.into(), span.resource.into()]);
        }
    }

    /// What becomes of each trace. `source` tells one protocol's resources from another's.
    pub fn judge(self, filters: &Filters, source: &[u8], seen: &RareResources, now_ns: i64) -> Fates {
        let judged = self.0.into_iter().map(|(trace_id, chunk)| {
            let is_rare = || {
                let entry = chunk.entry.as_ref();
                entry.is_some_and(|[service, resource]| {
                    filters.is_rare([service, resource, source], seen, now_ns)
                })
            };
            let fate = match () {
                () if chunk.is_closed => Fate::Drop,
                () if chunk.has_error || filters.samples().is_none() || is_rare() => Fate::Keep,
                () if filters.sample(&trace_id) == Verdict::Drop => Fate::Drop,
                () => Fate::Sampled(filters.samples()),
            };
            (trace_id, fate)
        });
        Fates(Some(judged.collect()))
    }
}

/// What becomes of each trace; where nothing is filtered, all stay.
#[derive(Debug, Default)]
pub struct Fates(Option<HashMap<Box<[u8]>, Fate>>);

impl Fates {
    /// What becomes of the next span of a trace.
    pub fn next(&mut self, trace_id: &[u8]) -> Fate {
        let Some(fate) = self.0.as_mut().and_then(|fates| fates.get_mut(trace_id)) else { return Fate::Keep };
        let next = *fate;
        if let Fate::Sampled(rate) = fate {
            *rate = None;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::super::FilterOptions;
    use super::*;

    fn span<'a>(service: &'a str, resource: &'a str, is_error: bool, is_entry: bool) -> Seen<'a> {
        Seen { service: service.as_bytes(), resource: resource.as_bytes(), is_error, is_entry }
    }

    #[test]
    fn each_trace_is_judged_by_all_of_its_spans() {
        let filters = Filters::new(&FilterOptions {
            close_resource: vec![("*".to_owned(), vec!["^/health$".to_owned()])],
            keep_rare_resource: true,
            sampling_rate: Some(0.5),
        });
        let seen = RareResources::default();
        let fates = || {
            let mut chunks = Chunks::default();
            for (trace_id, span) in [
                ("5001", span("shop", "/buy", false, true)),
                ("6001", span("shop", "/buy", false, true)),
                ("5000", span("shop", "/sell", false, false)),
                ("7001", span("shop", "/sell", false, false)),
                ("6001", span("shop", "/pay", true, false)),
                ("5000", span("shop", "/lend", false, false)),
                ("8001", span("shop", "/buy", true, true)),
                ("8001", span("shop", "/health", false, false)),
            ] {
                chunks.note(trace_id.as_bytes(), span, &filters);
            }
            chunks.judge(&filters, b"test", &seen, 1)
        };
        let mut first = fates();
        assert_eq!(first.next(b"6001"), Fate::Keep, "it has an error");
        assert_eq!(first.next(b"8001"), Fate::Drop, "it is closed, errors or not");
        assert_eq!(first.next(b"7001"), Fate::Drop, "it is not of the half that stays");
        assert_eq!(first.next(b"5000"), Fate::Sampled(Some(0.5)));
        assert_eq!(first.next(b"5000"), Fate::Sampled(None));
        assert_eq!(first.next(b"5001"), Fate::Keep, "its resource is rare");
        assert_eq!(fates().next(b"5001"), Fate::Drop, "and is not, once it was seen");
        assert_eq!(Fates::default().next(b"5001"), Fate::Keep);
    }
}
