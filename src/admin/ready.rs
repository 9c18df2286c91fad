//! `/readyz`: whether a load balancer should send here, and if not, why.
//!
//! Ready means that a write would be accepted now. A destination that is away does not make a gateway unready as long
//! as the spool takes the data; a full spool does, and so does a disk that failed.

use super::Page;

/// What speaks for and against sending here; gathered by whoever answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Every shard listens and every log is recovered.
    pub started: bool,
    /// A stop was asked for: new work should go elsewhere, running work ends.
    pub stopping: bool,
    /// Categories whose spool refuses new data.
    pub full: Vec<&'static str>,
    /// Categories whose log can no longer be written.
    pub failed: Vec<&'static str>,
}

impl State {
    /// Whether a write of any category would be accepted.
    pub fn is_ready(&self) -> bool {
        self.started && !self.stopping && self.full.is_empty() && self.failed.is_empty()
    }

    /// The page: 200 and `ready`, or 503 and one reason a line.
    pub fn page(&self) -> Page {
        let mut body = String::new();
        if self.is_ready() {
            body.push_str("ready\n");
        }
        if !self.started {
            body.push_str("not ready: starting, the spool is being read\n");
        }
        if self.stopping {
            body.push_str("not ready: stopping\n");
        }
        for category in &self.full {
            body.push_str("not ready: the spool of category ");
            body.push_str(category);
            body.push_str(" is full; writes to it are answered 503\n");
        }
        for category in &self.failed {
            body.push_str("not ready: the spool of category ");
            body.push_str(category);
            body.push_str(" cannot be written; see the log for the disk error\n");
        }
        let status = if self.is_ready() { 200 } else { 503 };
        Page { status, content_type: "text/plain; charset=utf-8", body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_named() {
        assert_eq!(State::default().page().status, 503);
        let ready = State { started: true, ..State::default() };
        assert_eq!((ready.page().status, ready.page().body.as_str()), (200, "ready\n"));
        let bad = State { started: true, stopping: true, full: vec!["logging"], failed: vec!["rum"] };
        let page = bad.page();
        assert_eq!((page.status, page.body.lines().count()), (503, 3));
        assert!(page.body.contains("logging is full") && page.body.contains("rum cannot be written"));
    }
}
