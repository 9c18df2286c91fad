//! The DataKit intake in-process: a request in, the answer as it is on the wire out, and the points that were taken.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kitgate::aside::{self, Desk, sourcemap};
use kitgate::buf::Padded;
use kitgate::config;
use kitgate::http1::{self, Connection, HeadLimits, HeadOutcome, HeaderSlots};
use kitgate::intake::aside::{AsidePlan, What};
use kitgate::intake::convert::{self, ConvertPlan, Reach};
use kitgate::intake::datakit::error::ApiError;
use kitgate::intake::datakit::write::{self, Decoded, Decoder, Scratch, Step, Stop, WritePlan, Written};
use kitgate::intake::profiling::Package;
use kitgate::intake::{self, Action, Clock, Options, Peer, Settings};
use kitgate::metrics::Registry;
use kitgate::point::{Batch, Category, Compat, GlobalTags};
use serde_json::Value;

/// The clock of the replay.
pub const NOW_NS: i64 = 1_800_000_000_123_456_789;

/// A request.
pub struct Sent {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// An answer, as it is on the wire.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// Points taken.
    pub fed: Batch,
    /// The same by category, of a protocol that is not DataKit's.
    pub converted: Vec<(Category, Batch)>,
    /// Profiles as they are passed on.
    pub profiles: Vec<Package>,
}

pub struct Gateway {
    settings: Settings,
    scratch: Scratch,
    converting: convert::Scratch,
}

impl Gateway {
    pub fn new(compat: Compat) -> Gateway {
        let host_tags = GlobalTags::new([("host", "golden-host")]).unwrap();
        let options = Options {
            compat,
            election_tags: host_tags.clone(),
            host_tags,
            time_correction: intake::time_correction_default(compat),
            access: intake::access::Options::of(compat),
            hostname: "golden-host".to_owned(),
            ..Options::default()
        };
        Gateway::with(options)
    }

    /// With settings of its own.
    pub fn with(options: Options) -> Gateway {
        let settings = Settings::new(options);
        Gateway { settings, scratch: Scratch::default(), converting: convert::Scratch::default() }
    }

    fn convert(&mut self, plan: &ConvertPlan, body: &[u8]) -> (intake::Reply, Vec<(Category, Batch)>) {
        let mut body = body.to_vec();
        let body = Padded::pad(&mut body);
        match convert::run(plan, body, NOW_NS, &self.settings, &mut self.converting, Reach::WHOLE) {
            Ok(Some((reply, converted))) => (reply, converted.batches),
            Ok(None) => panic!("a body is never too large for no bound"),
            Err(fault) => (plan.job.refuse(&fault), Vec::new()),
        }
    }

    /// On this thread, with the embedded default for a configuration and nobody to give orders to.
    fn aside(&self, plan: &AsidePlan, body: &[u8]) -> intake::Reply {
        let sourcemaps = sourcemap::Store::new("no-such-folder".as_ref(), Arc::clone(&self.settings.sources));
        let desk = Desk::new(Box::new(|_| false), Registry::new(1), Arc::new(sourcemaps));
        let settings = config::Settings::default();
        let timeout = Duration::from_secs(30);
        let deadline = Instant::now() + timeout;
        desk.answer(&aside::Request {
            plan,
            body,
            settings: &settings,
            intake: &self.settings,
            deadline,
            timeout,
        })
    }

    pub fn send(&mut self, sent: &Sent) -> Got {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: gateway\r\n", sent.method, sent.target).into_bytes();
        let chunked = sent.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding"));
        for (name, value) in &sent.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if !chunked {
            write!(head, "Content-Length: {}\r\n", sent.body.len()).unwrap();
        }
        head.extend_from_slice(b"\r\n");
        let mut slots = HeaderSlots::new();
        let HeadOutcome::Complete { head, .. } =
            http1::parse_head(&head, &mut slots, &HeadLimits::default()).unwrap()
        else {
            panic!("a partial head");
        };
        let clock = Clock { now_ns: NOW_NS, uptime: Duration::from_secs(5) };
        let peer = Peer::Ip([127, 0, 0, 1].into());
        let mut fed = Batch::default();
        let mut converted = Vec::new();
        let mut profiles = Vec::new();
        let path = http1::target::decode_path(head.path).unwrap();
        let reply = match intake::access::check(&head, &path, &peer, 0, &self.settings, None) {
            Err((_, reply)) => Action::Reply(*reply),
            Ok(()) => intake::route(&head, &peer, &clock, &self.settings),
        };
        let reply = match reply {
            Action::Reply(reply) => reply,
            Action::Aside(plan) => match &plan.what {
                What::Metrics { .. } => {
                    let page = b"# HELP up\n".to_vec();
                    let cors = plan.cors.clone();
                    intake::Reply::page(200, "text/plain; version=0.0.4; charset=utf-8", page, cors)
                }
                _ => self.aside(&plan, &sent.body),
            },
            // As the shard does it, but for keeping the package.
            Action::Raw(plan) if plan.is_whole(&sent.body) => plan.stored,
            Action::Raw(plan) => plan.refused,
            Action::Profile(plan) => match plan.prepare(&sent.body, NOW_NS, &self.settings) {
                Ok(packages) => {
                    profiles = packages;
                    plan.taken()
                }
                Err(fault) => plan.refuse(&fault),
            },
            Action::Convert(plan) => {
                let (reply, taken) = self.convert(&plan, &sent.body);
                converted = taken;
                for (_, batch) in &converted {
                    fed.bytes.extend_from_slice(&batch.bytes);
                    fed.points += batch.points;
                }
                reply.with_cors(&plan.cors)
            }
            Action::Write(plan) => {
                let mut body = sent.body.clone();
                let body = Padded::pad(&mut body);
                let settings = &self.settings;
                let decoded = write::decode(&plan, body, NOW_NS, settings, &mut self.scratch, &mut fed);
                let decoded = match decoded {
                    Ok(Decoded::Written(written)) => Ok(written),
                    Ok(Decoded::InSteps) => in_steps(&plan, body, settings, &mut fed),
                    Ok(Decoded::Unresolved(_)) => panic!("there are no archives"),
                    Err(error) => Err(error),
                };
                match decoded {
                    Ok(written) => {
                        assert_eq!(fed.points, if plan.dry { 0 } else { written.points });
                        plan.reply(written)
                    }
                    Err(error) => {
                        assert!(fed.is_empty() && fed.bytes.is_empty(), "a refused body left points behind");
                        plan.refuse(&error)
                    }
                }
            }
        };
        let mut wire = Vec::new();
        let date = b"Sun, 06 Nov 1994 08:49:37 GMT";
        reply.write(&self.settings.envelope, date, Connection::Persistent, sent.method == "HEAD", &mut wire);
        Got { fed, converted, profiles, ..parse(&wire) }
    }
}

/// As the shard does with a big body.
fn in_steps(
    plan: &WritePlan,
    body: Padded<'_>,
    settings: &Settings,
    fed: &mut Batch,
) -> Result<Written, ApiError> {
    let mut decoder = Decoder::new(plan, settings, NOW_NS);
    let mut scratch = Scratch::default();
    loop {
        match decoder.step(plan, body, settings, &mut scratch) {
            Ok(Step::More) => {}
            Ok(Step::Done(written)) => {
                for batch in decoder.into_batches() {
                    fed.bytes.extend(batch.bytes);
                    fed.points += batch.points;
                }
                return Ok(written);
            }
            Err(Stop::Refused(error)) => return Err(error),
            Err(Stop::Bad) => return Err(decoder.explain(&body)),
            Err(Stop::TooMuch) => panic!("a decoder has room for everything"),
            Err(Stop::Unresolved(_)) => panic!("there are no archives"),
        }
    }
}

fn parse(wire: &[u8]) -> Got {
    let end = wire.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&wire[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap()[9..12].parse().unwrap();
    let headers = lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect();
    Got {
        status,
        headers,
        body: wire[end + 4..].to_vec(),
        fed: Batch::default(),
        converted: Vec::new(),
        profiles: Vec::new(),
    }
}

pub fn golden(path: &str) -> Vec<Value> {
    let path = format!("{}/tests/golden/{path}.jsonl.zst", env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    zstd::Decoder::new(file).unwrap().read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or("")
}

pub fn bytes(case: &Value, key: &str) -> Vec<u8> {
    STANDARD.decode(text(case, key)).unwrap()
}
