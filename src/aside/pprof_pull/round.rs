//! One round of questions to a Go program: what is asked, what is made of the answers, and the forms that come of it. Who
//! asks, and what time it is, are arguments.

use std::collections::HashMap;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::Serialize;

use crate::codec::pprof::{self, Profile};
use crate::config::GoPull;
use crate::intake::profiling::metrics::unpack;

/// A profile that can be asked for.
#[derive(Debug)]
pub(super) struct Part {
    /// In the configuration.
    pub(super) word: &'static str,
    pub(super) target: &'static str,
    /// Of its part in the form.
    pub(super) file: &'static str,
    /// Types of values that only ever grow: of these the difference to the pull before is sent. Empty: it is sent as it is.
    cumulative: &'static [(&'static str, &'static str)],
}

const CONTENTIONS: &[(&str, &str)] = &[("contentions", "count"), ("delay", "nanoseconds")];

static PARTS: [Part; 5] = [
    Part { word: "cpu", target: "/debug/pprof/profile?seconds=10", file: "cpu.pprof", cumulative: &[] },
    Part { word: "goroutine", target: "/debug/pprof/goroutine", file: "goroutines.pprof", cumulative: &[] },
    Part {
        word: "heap",
        target: "/debug/pprof/heap",
        file: "delta-heap.pprof",
        cumulative: &[("alloc_objects", "count"), ("alloc_space", "bytes")],
    },
    Part { word: "mutex", target: "/debug/pprof/mutex", file: "delta-mutex.pprof", cumulative: CONTENTIONS },
    Part { word: "block", target: "/debug/pprof/block", file: "delta-block.pprof", cumulative: CONTENTIONS },
];

/// What a program is asked for, in order.
pub(super) fn parts(target: &GoPull) -> Vec<&'static Part> {
    target.enabled_types.iter().filter_map(|word| PARTS.iter().find(|part| part.word == *word)).collect()
}

/// Why nothing came of a question. One that stays the same is said once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cause {
    Unreachable,
    Timeout,
    Status(u16),
    TooLarge,
    NoProfile,
    Restarted,
    /// There was no room for what came of it.
    Refused,
}

/// A cause, and more words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) cause: Cause,
    pub(super) text: String,
}

impl Trouble {
    pub(super) fn new(cause: Cause, text: impl Into<String>) -> Trouble {
        Trouble { cause, text: text.into() }
    }
}

/// An answer, ready to be sent.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) part: &'static Part,
    body: Vec<u8>,
    pub(super) start_ns: i64,
    pub(super) end_ns: i64,
    /// What the next one is compared with once this one has been taken.
    base: Option<Vec<u8>>,
}

impl Piece {
    pub(super) fn is_delta(&self) -> bool {
        self.base.is_some()
    }
}

/// What came before, by part: answers as they were, compressed, since the most of the time nobody looks.
#[derive(Debug, Default)]
pub(super) struct Bases(HashMap<&'static str, Vec<u8>>);

impl Bases {
    /// Makes a piece of an answer that came between these times; none of the first of its kind.
    pub(super) fn piece(
        &mut self,
        part: &'static Part,
        body: Vec<u8>,
        start_ns: i64,
        end_ns: i64,
    ) -> Result<Option<Piece>, Trouble> {
        let no_profile = |text: String| Trouble::new(Cause::NoProfile, text);
        let now = unpack(&body).map_err(no_profile)?;
        // Whoever listens there may be something else, which answers anything with a page.
        let read = Profile::read(&now).map_err(|error| no_profile(error.to_string()))?;
        if read.types.is_empty() {
            return Err(no_profile("an answer that measures nothing".to_owned()));
        }
        if part.cumulative.is_empty() {
            return Ok(Some(Piece { part, body, start_ns, end_ns, base: None }));
        }
        let Some(base) = self.0.get(part.word) else {
            drop(now);
            self.0.insert(part.word, body);
            return Ok(None);
        };
        let delta = unpack(base)
            .map_err(no_profile)
            .and_then(|before| {
                pprof::delta(&before, &now, part.cumulative).map_err(|error| no_profile(error.to_string()))
            })
            .and_then(|delta| match delta.restarted {
                true => Err(Trouble::new(Cause::Restarted, "it counts less than before")),
                false => Ok(delta),
            });
        drop(now);
        match delta {
            Ok(delta) => {
                let (start_ns, end_ns) = (delta.start_nanos, delta.end_nanos);
                let piece = gzip(&delta.profile);
                Ok(Some(Piece { part, body: piece, start_ns, end_ns, base: Some(body) }))
            }
            Err(trouble) => {
                // Good in itself, and nothing to compare: a new beginning.
                self.0.insert(part.word, body);
                Err(trouble)
            }
        }
    }

    /// Pieces have been taken. What has not been is part of what is sent next.
    pub(super) fn taken(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            if let Some(base) = piece.base {
                self.0.insert(piece.part.word, base);
            }
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("BUG: writing to a Vec cannot fail")
}

/// A form with profiles, as a profiler would have sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    pub content_type: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What the form says of itself.
#[derive(Serialize)]
struct Event<'a> {
    format: &'static str,
    profiler: &'static str,
    attachments: Vec<&'static str>,
    language: &'static str,
    tags_profiler: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    sub_custom_tags: &'a str,
    start: String,
    end: String,
}

/// The form of pieces that belong together; the first one says from when to when. There is one.
pub(super) fn form(target: &GoPull, pieces: &[Piece], boundary: &str, version: &str) -> Pulled {
    let (start_ns, end_ns) = pieces.first().map_or((0, 0), |first| (first.start_ns, first.end_ns));
    let named = [("service", &target.service), ("version", &target.version), ("env", &target.env)];
    let named = named.into_iter().filter(|(name, value)| {
        // A tag of the same name says it better.
        !value.is_empty() && !target.tags.iter().any(|(tag, _)| tag == name)
    });
    let tags: Vec<String> = target.tags.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    let all: Vec<String> =
        named.map(|(name, value)| format!("{name}:{value}")).chain(tags.iter().cloned()).collect();
    let event = Event {
        format: "pprof",
        profiler: "pprof",
        attachments: pieces.iter().map(|piece| piece.part.file).collect(),
        language: "golang",
        tags_profiler: &all.join(","),
        sub_custom_tags: &tags.join(","),
        start: time(start_ns),
        end: time(end_ns),
    };
    let event = serde_json::to_vec(&event).expect("BUG: texts are JSON");
    let mut body = Vec::new();
    let mut part = |name: &str, file: &str, kind: &str, content: &[u8]| {
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\n\
             Content-Type: {kind}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    };
    for piece in pieces {
        part(piece.part.file, piece.part.file, "application/octet-stream", &piece.body);
    }
    part("event", "event.json", "application/json", &event);
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Pulled {
        content_type: format!("multipart/form-data; boundary={boundary}"),
        headers: vec![
            ("X-Datakit-Version".to_owned(), version.to_owned()),
            ("X-Datakit-UnixNano".to_owned(), start_ns.to_string()),
        ],
        body,
    }
}

/// As RFC 3339 has it, with as many digits as there are.
fn time(ns: i64) -> String {
    Timestamp::from_nanosecond(ns.into()).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
