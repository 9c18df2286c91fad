//! A request in, the answer and the points out: what the tests of all protocols ask.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::buf::Padded;
use crate::http1::{HeadLimits, HeadOutcome, HeaderSlots, parse_head};
use crate::point::pb::{self, PbValue};
use crate::point::{Category, Compat};

use super::convert::{self, ConvertPlan, Converted, Fault, Reach};
use super::{Action, Clock, Options, Peer, Reply, Settings};

/// The clock of the tests.
pub const NOW_NS: i64 = 1_700_000_000_000_000_000;

/// The intakes with some settings.
pub struct Server {
    pub settings: Settings,
    scratch: convert::Scratch,
}

/// What became of a request.
#[derive(Debug)]
pub struct Got {
    pub reply: Reply,
    pub points: Vec<Point>,
    pub filtered: Vec<(Category, u64)>,
}

/// A point, values as text: numbers with their kind behind them.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub category: Category,
    pub name: String,
    pub tags: BTreeMap<String, String>,
    pub fields: BTreeMap<String, String>,
    pub time: i64,
    pub warns: usize,
}

impl Point {
    pub fn tag(&self, key: &str) -> &str {
        self.tags.get(key).map_or("-", |value| value)
    }

    pub fn field(&self, key: &str) -> &str {
        self.fields.get(key).map_or("-", |value| value)
    }

    /// `message` as JSON.
    pub fn message(&self) -> serde_json::Value {
        serde_json::from_str(self.field("message")).unwrap()
    }
}

pub fn documented() -> Server {
    Server::new(Options { compat: Compat::Documented, time_correction: false, ..Options::default() })
}

pub fn recorded() -> Server {
    Server::new(Options { compat: Compat::Datakit184, time_correction: false, ..Options::default() })
}

impl Server {
    pub fn new(options: Options) -> Server {
        Server { settings: Settings::new(options), scratch: convert::Scratch::default() }
    }

    pub fn post(&mut self, target: &str, content_type: &str, body: &[u8]) -> Got {
        self.send("POST", target, &[("Content-Type", content_type)], body)
    }

    pub fn get(&mut self, target: &str) -> Got {
        self.send("GET", target, &[], b"")
    }

    pub fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Got {
        let answered = |reply| Got { reply, points: Vec::new(), filtered: Vec::new() };
        match self.action(method, target, headers) {
            Action::Reply(reply) => answered(reply),
            Action::Convert(plan) => self.run(&plan, body),
            Action::Write(_) | Action::Raw(_) | Action::Profile(_) | Action::Aside(_) => {
                panic!("another protocol's")
            }
        }
    }

    /// What comes of a plan and its body.
    pub fn run(&mut self, plan: &ConvertPlan, body: &[u8]) -> Got {
        let answered = |reply| Got { reply, points: Vec::new(), filtered: Vec::new() };
        let mut body = body.to_vec();
        let body = Padded::pad(&mut body);
        match convert::run(plan, body, NOW_NS, &self.settings, &mut self.scratch, Reach::WHOLE) {
            Ok(Some((reply, converted))) => {
                let points = points(&converted);
                Got { reply, points, filtered: converted.filtered }
            }
            Ok(None) => panic!("no body is too large for no bound"),
            Err(fault) => answered(plan.job.refuse(&fault)),
        }
    }

    fn action(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Action {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut slots = HeaderSlots::new();
        let parsed = parse_head(head.as_bytes(), &mut slots, &HeadLimits::default()).unwrap();
        let HeadOutcome::Complete { head, .. } = parsed else { panic!("a partial head") };
        let clock = Clock { now_ns: NOW_NS, uptime: Duration::from_secs(1) };
        super::route(&head, &Peer::Ip([10, 0, 0, 7].into()), &clock, &self.settings)
    }

    /// The protocol's words when the gateway is busy.
    pub fn busy(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        let Action::Convert(plan) = self.action(method, target, headers) else {
            panic!("nothing to be stored")
        };
        plan.job.refuse(&Fault::Busy { reason: "the spool is full", retry_after_s: 3 })
    }
}

fn points(converted: &Converted) -> Vec<Point> {
    let mut points = Vec::new();
    for (category, batch) in &converted.batches {
        let before = points.len();
        for point in pb::points(&batch.bytes) {
            let point = point.unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let mut read = Point {
                category: *category,
                name: text(point.name),
                tags: BTreeMap::new(),
                fields: BTreeMap::new(),
                time: point.time,
                warns: point.warns().count(),
            };
            for field in point.fields() {
                let field = field.unwrap();
                let value = match field.value {
                    PbValue::Str(value) | PbValue::Bytes(value) => text(value),
                    PbValue::Int(value) => format!("{value}i"),
                    PbValue::Uint(value) => format!("{value}u"),
                    PbValue::Float(value) => format!("{value}f"),
                    PbValue::Bool(value) => value.to_string(),
                    PbValue::Any(_) | PbValue::Nil => "?".to_owned(),
                };
                let map = if field.is_tag { &mut read.tags } else { &mut read.fields };
                assert_eq!(map.insert(text(field.key), value), None, "a key stands twice");
            }
            points.push(read);
        }
        assert_eq!(points.len() - before, batch.points as usize);
    }
    points
}

/// Every beginning of a body, and the body with each of its bytes changed: the answer is one of these, and nothing is
/// stored of what is refused.
pub fn mutilate(server: &mut Server, target: &str, headers: &[(&str, &str)], body: &[u8], statuses: &[u16]) {
    let mut bodies: Vec<Vec<u8>> = (0..body.len()).map(|len| body[..len].to_vec()).collect();
    for at in 0..body.len() {
        for changed in [0x00, 0x7f, 0x80, 0xff, body[at] ^ 1, body[at].wrapping_add(1)] {
            let mut body = body.to_vec();
            body[at] = changed;
            bodies.push(body);
        }
    }
    for body in bodies {
        let got = server.send("POST", target, headers, &body);
        assert!(statuses.contains(&got.reply.status), "{target} {} for {body:x?}", got.reply.status);
        assert!(got.reply.status < 300 || got.points.is_empty());
    }
}
