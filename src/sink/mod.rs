//! Destinations: a package of points becomes a request, an answer becomes an outcome. A raw package is a request already, and
//! gets the head that this destination wants. Pure: no sockets, files, clocks.
//!
//! | sink | carried by | what it takes |
//! |---|---|---|
//! | [`dataway`] | HTTP requests | protobuf or line protocol; gzip, zstd or identity; joined members or one |
//! | [`archive`] | files on this machine | anything; writes line protocol text that a person can read |
//! | [`blackhole`] | nothing | anything; counts and drops, for benchmarks |
//!
//! # Adding one
//!
//! A folder `src/sink/<name>/` whose `mod.rs` opens with the remote side's limits and the source they come from; a
//! variant of [`Sink`] here. A destination that is reached by HTTP implements [`HttpSink`] and is then carried by
//! `upload` with everything that belongs to it: connections, retries, pauses, splitting, dead letters. Nothing
//! between the spool and the sink changes.
//!
//! What the outcome of an answer *does* (wait, split, give up) is decided by `upload::worker`; what an answer *means*
//! is decided here, in each sink's `outcome.rs`, as a table.

pub mod archive;
pub mod blackhole;
pub mod dataway;
pub mod lines;
mod target;

pub use target::{Target, redact_tokens};

use std::time::Duration;

use crate::codec::raw_package::RawPackage;
use crate::config::{BodyFormat, Compression, Destination, UrlsMode};
use crate::point::{Category, Route};

/// How a body is compressed on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    /// The word for `Content-Encoding`; none for identity, which has no header.
    pub const fn token(self) -> Option<&'static str> {
        match self {
            Coding::Identity => None,
            Coding::Gzip => Some("gzip"),
            Coding::Zstd => Some("zstd"),
        }
    }
}

/// What the body holds once it is decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `PBPoints`, as the spool holds them.
    Protobuf,
    /// Line protocol text, written from the protobuf points.
    LineProtocol,
}

/// What a destination takes. Whatever the spool holds in another form is converted once per package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepts {
    pub format: Format,
    pub coding: Coding,
    /// Whether the far end reads gzip members or zstd frames that are put one behind another. Where it does not, a
    /// package of several blocks is recompressed into one member.
    pub joined_members: bool,
}

/// What a sink is told about a package; the body travels beside it.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    pub category: Category,
    pub route: &'a Route,
    /// `dk_` and twenty characters; the same for every attempt, also after a restart.
    pub package_id: &'a str,
    pub points: u64,
    /// Wall clock at which the first of its blocks was sealed.
    pub received_ms: u64,
    /// A request that goes out as it came, instead of points.
    pub raw: Option<RawPackage<'a>>,
}

/// A destination's answer, read whole or up to a cap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// `Retry-After`, understood and capped.
    pub retry_after: Option<Duration>,
    /// The start of the body: for dead letters and logs.
    pub excerpt: Vec<u8>,
}

/// What is to be done with a package after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The destination has it.
    Delivered,
    /// Send this package again after its own backoff; others go on.
    Retry,
    /// Nothing of any category goes to this destination for a while; then this package again.
    PauseDestination(Option<Duration>),
    /// Nothing of this category goes to this destination for a while; then this package again. The data is kept.
    PauseLane(Option<Duration>),
    /// The same for the token that came with the package alone.
    PauseToken(Option<Duration>),
    /// Too large: send its halves. A single point that is too large is dead.
    Split,
    /// Refused for ever: to the dead-letter file, all of it or those points of it that are to blame.
    Dead(Refusal),
}

/// Why a package can never be delivered: a bounded set of words for metrics and dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// 400 or 422: the destination read it and did not like it.
    Invalid,
    /// 413 for what cannot be split any further.
    TooLarge,
    /// 404, 405, 410: this destination has no such place.
    NoSuchPlace,
    /// 406: the sinker rules of the destination match no workspace.
    NotAcceptable,
    /// Any other 4xx.
    Refused,
    /// The stored block cannot be decompressed or read: damaged before its checksum was taken.
    Unreadable,
    /// It was tried as often as is configured.
    TriedEnough,
}

impl Refusal {
    /// Whether some of the points may be to blame and the rest may pass.
    pub const fn is_about_content(self) -> bool {
        match self {
            Refusal::Invalid | Refusal::Refused => true,
            Refusal::TooLarge
            | Refusal::NoSuchPlace
            | Refusal::NotAcceptable
            | Refusal::Unreadable
            | Refusal::TriedEnough => false,
        }
    }

    /// The word in metrics and dead letters.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::Invalid => "invalid",
            Refusal::TooLarge => "too_large",
            Refusal::NoSuchPlace => "no_such_place",
            Refusal::NotAcceptable => "not_acceptable",
            Refusal::Refused => "refused",
            Refusal::Unreadable => "unreadable",
            Refusal::TriedEnough => "tried_enough",
        }
    }
}

/// A destination that is reached by HTTP requests.
pub trait HttpSink {
    /// The word in logs and metrics.
    fn name(&self) -> &'static str;

    fn accepts(&self) -> Accepts;

    /// Where to send: to each of them, or to one.
    fn targets(&self) -> &[Target];

    /// Appends the whole request head, up to and with the empty line.
    fn head(&self, target: &Target, parcel: &Parcel<'_>, body_bytes: u64, out: &mut Vec<u8>);

    /// What an answer to a package of this route means.
    fn outcome(&self, answer: &Answer, route: &Route) -> Outcome;
}

/// Every kind of destination.
pub enum Sink {
    Http(Box<dyn HttpSink>),
    Archive(archive::Archive),
    Blackhole,
}

impl Sink {
    /// The sink of a configuration. `version` and `hostname` are what Kitgate calls itself towards a DataWay.
    pub fn new(destination: &Destination, version: &str, hostname: &str) -> Sink {
        match destination {
            Destination::Dataway(dataway) => {
                let targets = dataway.urls.iter().cloned().map(Target::new).collect();
                let accepts = Accepts {
                    format: match dataway.format {
                        BodyFormat::Protobuf => Format::Protobuf,
                        BodyFormat::LineProtocol => Format::LineProtocol,
                    },
                    coding: match dataway.compression {
                        Compression::Gzip => Coding::Gzip,
                        Compression::Zstd => Coding::Zstd,
                        Compression::Identity => Coding::Identity,
                    },
                    joined_members: dataway.joined_members,
                };
                Sink::Http(Box::new(dataway::Dataway::new(
                    targets,
                    accepts,
                    dataway::user_agent(version, hostname),
                )))
            }
            Destination::Archive(archive) => Sink::Archive(archive::Archive {
                dir: archive.dir.clone(),
                rotate_bytes: archive.rotate_bytes,
            }),
            Destination::Blackhole => Sink::Blackhole,
        }
    }
}

/// Where points go, for people: no token in it.
pub fn describe(destination: &Destination) -> String {
    match destination {
        Destination::Dataway(dataway) => {
            let urls: Vec<String> = dataway.urls.iter().map(ToString::to_string).collect();
            urls.join(match dataway.mode {
                UrlsMode::Replicate => " and ",
                UrlsMode::Failover => ", or where that is down ",
            })
        }
        Destination::Archive(archive) => format!("the archive in {}", archive.dir.display()),
        Destination::Blackhole => "nowhere (blackhole): every point is dropped".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secret::Endpoint;
    use crate::config::{ArchiveSettings, DatawaySettings};

    #[test]
    fn descriptions_tell_where_and_no_token() {
        let urls = ["http://a:1?token=tkn_0123456789", "https://b?token=tkn_abcdefghij"];
        let urls = urls.iter().map(|url| Endpoint::parse(url).unwrap()).collect();
        let text = describe(&Destination::Dataway(DatawaySettings::new(urls)));
        assert_eq!(text, "http://a:1?token=tkn_*** and https://b?token=tkn_***");
        let archive = ArchiveSettings { dir: "/data/archive".into(), rotate_bytes: 1 };
        assert_eq!(describe(&Destination::Archive(archive)), "the archive in /data/archive");
    }

    #[test]
    fn a_configured_dataway_is_spoken_to_as_configured() {
        let urls = vec![Endpoint::parse("http://a:1?token=x").unwrap()];
        let settings = DatawaySettings {
            compression: Compression::Zstd,
            joined_members: false,
            ..DatawaySettings::new(urls)
        };
        let Sink::Http(sink) = Sink::new(&Destination::Dataway(settings), "9.9", "edge") else {
            panic!("not HTTP")
        };
        assert_eq!(
            sink.accepts(),
            Accepts { format: Format::Protobuf, coding: Coding::Zstd, joined_members: false }
        );
        let (mut head, route) = (Vec::new(), Route::default());
        let parcel = Parcel {
            category: Category::Rum,
            route: &route,
            package_id: "dk_1",
            points: 1,
            received_ms: 0,
            raw: None,
        };
        sink.head(&sink.targets()[0], &parcel, 3, &mut head);
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("POST /v1/write/rum?token=x HTTP/1.1\r\nHost: a:1\r\n"), "{head}");
        assert!(head.contains("/9.9/edge\r\n") && head.contains("\r\nContent-Encoding: zstd\r\n"), "{head}");
    }
}
