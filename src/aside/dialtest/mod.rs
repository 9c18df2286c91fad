//! `POST /v1/dialtesting/debug`: a task as a dial test has it is run once, here and now, and its result is the answer.
//!
//! ```text
//! request ─ json ─ decode ─ task ──┬─ guard: may its hosts be asked?
//!                                  ├─ validate, template, validate
//!                                  └─ run: http, tcp, icmp, websocket, multi ─ success ─ outcome ─ answer
//! ```
//!
//! The pure parts ([`json`], [`decode`], [`task`], [`template`], [`pattern`], [`success`], [`url`], [`packet`], frames and
//! requests) know neither sockets nor clocks. The others are ordinary blocking code on a thread that is there for it:
//! every wait ends at a deadline, everything that is read has a bound, and every connection is made by
//! [`net::Reach`], to an address that the [`guard`] has let through.
//!
//! Compatible with DataKit 1.84.1, texts included. Its defects that are not copied stand in deploy/compatibility.md.

mod decode;
mod duration;
pub(super) mod guard;
mod http;
mod icmp;
mod json;
mod layout;
mod multi;
mod net;
mod outcome;
mod packet;
mod pattern;
mod ping;
mod success;
mod task;
mod tcp;
mod template;
mod test;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod traceroute;
mod url;
mod websocket;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub use guard::Guard;

use self::decode::{Decoder, Go as _, Map, find};
use self::json::Json;
use self::net::{NoAddress, Reach, forbidden};
use self::outcome::Outcome;
use self::task::{HttpTask, IcmpTask, MultiTask, Task, TcpTask, Variable, WebsocketTask};
use self::template::Filler;
use self::test::{Env, Test, check_variables, now_ns, variables};
use crate::config::Settings;
use crate::intake::Reply;
use crate::intake::datakit::error::{ApiError, overloaded, timed_out};
use crate::intake::datakit::go_duration;
use crate::sink::dataway::user_agent;

pub use crate::intake::aside::BODY_BYTES_MAX;

/// Tests under way. Each holds a thread for up to half a minute, and some ten MiB.
pub const CALLS_MAX: usize = 8;

/// When somebody who was refused may ask again.
const RETRY_AFTER_S: u32 = 5;

static CALLS: AtomicUsize = AtomicUsize::new(0);

/// How tests are run.
#[derive(Clone, Debug)]
pub struct Options {
    pub guard: Guard,
    /// What an HTTP server is told about who asks.
    pub user_agent: String,
    /// How long a request may take, as its deadline says; it is told to those who run into it.
    pub timeout: Duration,
}

impl Options {
    /// `version` is the one that is told to others; `timeout` is the deadline's.
    pub fn new(settings: &Settings, version: &str, timeout: Duration) -> Options {
        let guard = Guard {
            internal_forbidden: settings.dialtesting.internal_forbidden,
            networks: settings.dialtesting.internal_networks.clone(),
        };
        Options { guard, user_agent: user_agent(version, &settings.hostname), timeout }
    }
}

/// Answers a request. Past the deadline the answer is 408, and no more than a second later.
pub fn debug(options: &Options, body: &[u8], deadline: Instant) -> Reply {
    if body.len() > BODY_BYTES_MAX {
        return ApiError::body_too_large(BODY_BYTES_MAX).reply();
    }
    let Some(_call) = Call::begin() else {
        return overloaded("too many dial tests are under way", RETRY_AFTER_S);
    };
    let begun = Instant::now();
    let answer = answer(options, body, deadline);
    if Instant::now() >= deadline {
        return timed_out(options.timeout);
    }
    match answer {
        Ok((outcome, traced)) => Reply::json(200, render(outcome, traced, begun.elapsed())),
        Err(message) => ApiError { status: 400, code: "datakit.invalidRequest", message }.reply(),
    }
}

/// Counts a test until it ends.
struct Call;

impl Call {
    fn begin() -> Option<Call> {
        let more = |count: usize| (count < CALLS_MAX).then_some(count + 1);
        CALLS.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok().map(|_| Call)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        CALLS.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What is asked for.
#[derive(Debug, Default)]
struct Request {
    task: Option<Json>,
    task_type: String,
    /// Values that several tasks share, by id.
    variables: BTreeMap<String, Variable>,
}

impl Request {
    fn read(body: &[u8]) -> Result<Request, String> {
        // Wrapped twice: recorded.
        let wrapped = |error| {
            format!(
                "{error}, err: error code [datakit.invalidRequest], http code [400], err: invalid request"
            )
        };
        let mut request = Request::default();
        let mut variables = Map::<Variable>::default();
        let mut decoder = Decoder::default();
        match Json::parse(body).map_err(wrapped)? {
            Json::Map(members) => decoder.within("dialtestingDebugRequest", |at| {
                for (key, value) in members {
                    match find(&["task", "task_type", "variables"], &key) {
                        Some("task") => request.task = Some(value).filter(|task| *task != Json::Null),
                        Some("task_type") => at.field("task_type", |at| request.task_type.decode(&value, at)),
                        Some(_) => at.field("variables", |at| variables.decode(&value, at)),
                        None => {}
                    }
                }
            }),
            Json::Null => {}
            other => decoder.mismatch(other.kind(), "httpapi.dialtestingDebugRequest"),
        }
        request.variables = variables.0.unwrap_or_default();
        match decoder.into_error() {
            Some(error) => Err(wrapped(error)),
            None => Ok(request),
        }
    }
}

/// The result, and whether it is one that may tell of a way; or why there is none.
fn answer(options: &Options, body: &[u8], deadline: Instant) -> Result<(Outcome, bool), String> {
    let request = Request::read(body)?;
    let kind = request.task_type.to_uppercase();
    let run = Run { options, request: &request, deadline };
    match kind.as_str() {
        "HTTP" => run.run::<HttpTask>().map(|outcome| (outcome, false)),
        "TCP" => run.run::<TcpTask>().map(|outcome| (outcome, true)),
        "ICMP" => run.run::<IcmpTask>().map(|outcome| (outcome, true)),
        "WEBSOCKET" => run.run::<WebsocketTask>().map(|outcome| (outcome, false)),
        "MULTI" => run.run::<MultiTask>().map(|outcome| (outcome, false)),
        _ => Err(format!("unknown task type:{kind}")),
    }
}

struct Run<'a> {
    options: &'a Options,
    request: &'a Request,
    deadline: Instant,
}

impl Run<'_> {
    fn run<T: Test>(&self) -> Result<Outcome, String> {
        let json = self.request.task.as_ref().ok_or("the request has no task")?;
        let mut task = Task::<T>::read(json)?;
        if task.common.status.eq_ignore_ascii_case("stop") {
            return Err("the task status is stop".to_owned());
        }
        let reach = Reach { guard: &self.options.guard, deadline: self.deadline };
        // Before anything else, as recorded; what stands between braces is no host yet.
        let mut hosts = task.own.hosts();
        hosts.retain(|host| !host.contains("{{"));
        allow(&hosts, reach)?;
        check_variables(&task.common)
            .and_then(|()| task.own.validate(self.deadline))
            .map_err(|error| format!("task check failed: {error}"))?;
        let known = variables(&mut task.common, &self.request.variables);
        task.own
            .fill(&Filler::new(known, now_ns()))
            .map_err(|error| format!("render template error: {error}"))?;
        task.own.validate(self.deadline)?;
        let filled = task.own.hosts();
        if filled != hosts {
            allow(&filled, reach)?;
        }
        T::run(&task, &Env { reach, user_agent: &self.options.user_agent })
    }
}

/// Whether all these hosts may be asked. Nothing is connected to on the strength of this answer: whoever connects asks
/// again, and connects to what was answered then.
fn allow(hosts: &[String], reach: Reach<'_>) -> Result<(), String> {
    if !reach.guard.internal_forbidden {
        return Ok(());
    }
    for host in hosts {
        match reach.addresses(host) {
            Ok(_) => {}
            Err(NoAddress::Forbidden) => return Err(forbidden(&hosts.join(","))),
            Err(NoAddress::Unknown(error)) => {
                return Err(format!("dest host is not valid: lookup ip failed: {error}"));
            }
        }
    }
    Ok(())
}

fn render(outcome: Outcome, traced: bool, took: Duration) -> Vec<u8> {
    let status = if outcome.failed() { "fail" } else { "success" };
    let text = |name: &str| match outcome.fields.get(name) {
        Some(Json::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let (error, way) = (text("fail_reason"), if traced { text("traceroute") } else { String::new() });
    let mut out = b"{\"content\":{".to_vec();
    let members = [
        ("cost", Json::Text(go_duration(took))),
        ("error_msg", Json::Text(error)),
        ("status", Json::text(status)),
        ("traceroute", Json::Text(way)),
        ("fields", Json::Map(outcome.merged())),
    ];
    let mut first = true;
    for (name, value) in members {
        decode::member(name, &mut first, &mut out);
        value.write(&mut out);
    }
    out.extend_from_slice(b"}}");
    out
}
