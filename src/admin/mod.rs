//! What operators and their machines ask: `/metrics`, `/livez`, `/readyz`. The answers are built here and routed by
//! the shard that got the question; `process.rs` alone looks outside, at what the kernel says of this process.
//! `control.rs` is the socket by which tools speak to a running gateway, `spools.rs` what they can have done there.
//! `scripts` is `kitgate pipeline`. `check.rs` is what `kitgate check` prints, `logging.rs` how log lines look.

pub mod check;
pub mod control;
pub mod logging;
pub mod process;
pub mod ready;
pub mod scripts;
pub mod spools;
pub mod tools;

use crate::metrics::{Process, Registry, expose};

/// An answer of this module: never cached, never large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
}

/// What is asked, by path; only `GET` reaches this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Metrics,
    Livez,
    Readyz,
}

/// The paths of all questions.
pub const PATHS: [&str; 3] = ["/metrics", "/livez", "/readyz"];

impl Question {
    /// The question at `path`, if there is one.
    pub fn at(path: &str) -> Option<Question> {
        match path {
            "/metrics" => Some(Question::Metrics),
            "/livez" => Some(Question::Livez),
            "/readyz" => Some(Question::Readyz),
            _ => None,
        }
    }
}

/// `/metrics`.
pub fn metrics(registry: &Registry, process: &Process) -> Page {
    Page { status: 200, content_type: expose::CONTENT_TYPE, body: registry.render(process) }
}

/// `/livez`: whoever can answer is alive.
pub fn livez() -> Page {
    Page { status: 200, content_type: "text/plain; charset=utf-8", body: "ok\n".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_answer() {
        assert_eq!(livez().body, "ok\n");
        let page = metrics(&Registry::new(1), &Process::default());
        assert_eq!((page.status, page.content_type), (200, "text/plain; version=0.0.4; charset=utf-8"));
        assert!(page.body.contains("kitgate_ready 0\n"));
        assert_eq!(Question::at("/readyz"), Some(Question::Readyz));
        assert_eq!(Question::at("/readyz/"), None);
    }
}
