//! `tcp`: a connection, perhaps a message and what comes back, perhaps the way there.

use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::duration::Span;
use super::json::Json;
use super::net::words;
use super::outcome::Outcome;
use super::success::{Judge, validate};
use super::task::{Task, TcpTask};
use super::template::Filler;
use super::test::{Env, Test, fill};
use super::traceroute::{self, Hop};

/// For the connection, where the task has no time of its own.
const TIMEOUT: Duration = Duration::from_secs(10);

/// For the message and what comes back.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// What is read of an answer: one read of so much.
const ANSWER_BYTES_MAX: usize = 1024;

impl Test for TcpTask {
    fn validate(&self, deadline: Instant) -> Result<(), String> {
        if self.host.is_empty() {
            return Err("host should not be empty".to_owned());
        }
        if self.port.is_empty() {
            return Err("port should not be empty".to_owned());
        }
        if !self.timeout.is_empty() {
            Span::parse(&self.timeout)?;
        }
        if self.success_when.items().is_empty() {
            return Err("no any check rule".to_owned());
        }
        for rule in self.success_when.items() {
            for limit in rule.response_time.items() {
                Span::parse(&limit.target)?;
            }
            validate(rule.response_message.items(), deadline)?;
        }
        Ok(())
    }

    fn fill(&mut self, filler: &Filler) -> Result<(), String> {
        fill(&mut self.host, "host", filler)?;
        fill(&mut self.port, "port", filler)?;
        fill(&mut self.message, "message", filler)
    }

    fn hosts(&self) -> Vec<String> {
        vec![self.host.clone()]
    }

    fn run(task: &Task<TcpTask>, env: &Env<'_>) -> Result<Outcome, String> {
        let mut dial = Dial::default();
        if let Err(error) = dial.run(&task.own, env) {
            dial.troubles.push(error);
        }
        let traced = task.own.traces();
        if let (true, Some(address)) = (traced, dial.address) {
            match traceroute::run(address, task.own.traceroute_config.as_ref(), env.reach) {
                Ok(hops) => dial.hops = hops,
                Err(error) => dial.troubles.push(error),
            }
        }
        Ok(dial.outcome(task, env.reach.deadline))
    }
}

impl TcpTask {
    /// A rule on hops asks for the way, too.
    fn traces(&self) -> bool {
        self.enable_traceroute || self.success_when.items().iter().any(|rule| rule.hops.0.is_some())
    }
}

/// What happened, as far as it came.
#[derive(Debug, Default)]
struct Dial {
    address: Option<IpAddr>,
    dns: Duration,
    cost: Duration,
    answer: String,
    hops: Vec<Hop>,
    troubles: Vec<String>,
}

impl Dial {
    fn run(&mut self, task: &TcpTask, env: &Env<'_>) -> Result<(), String> {
        let timeout = if task.timeout.is_empty() { TIMEOUT } else { Span::parse(&task.timeout)?.duration() };
        let reach = env.reach.within(timeout);
        let begun = Instant::now();
        let addresses = reach.addresses_for(&task.host)?;
        // As recorded: the first address it is.
        let first = addresses
            .first()
            .copied()
            .ok_or_else(|| format!("invalid host: {}, found no ip record", task.host))?;
        self.address = Some(first);
        let took = if task.host.parse::<IpAddr>().is_ok() { Duration::ZERO } else { begun.elapsed() };
        let unknown = || format!("dial tcp: lookup tcp/{}: unknown port", task.port);
        let port = task.port.parse().map_err(|_| unknown())?;
        let begun = Instant::now();
        let mut connected = reach.connect(&[first], port).map_err(|failed| failed.to_string())?;
        self.cost = begun.elapsed();
        self.dns = took;
        if task.message.is_empty() {
            return Ok(());
        }
        let ends = connected.stream.ends();
        connected.stream.set_deadline(env.reach.within(MESSAGE_TIMEOUT).deadline);
        let mut stream = connected.stream;
        stream
            .write_all(task.message.as_bytes())
            .map_err(|error| format!("write tcp {ends}: {}", words(&error)))?;
        let mut answer = [0; ANSWER_BYTES_MAX];
        match stream.read(&mut answer) {
            Ok(0) => Err("EOF".to_owned()),
            Ok(bytes) => {
                self.answer = String::from_utf8_lossy(answer.get(..bytes).unwrap_or_default()).into_owned();
                Ok(())
            }
            Err(error) => Err(format!("read tcp {ends}: {}", words(&error))),
        }
    }

    fn outcome(&self, task: &Task<TcpTask>, deadline: Instant) -> Outcome {
        let own = &task.own;
        let mut outcome = Outcome::new(&task.common);
        outcome.tag("dest_host", &own.host);
        outcome.tag("dest_port", &own.port);
        outcome.tag("dest_ip", self.address.map(|address| address.to_string()).unwrap_or_default());
        outcome.tag("proto", "tcp");
        outcome.task_tags(&task.common);
        let response_time = Json::Int(Span::of(self.cost).micros());
        outcome.field("response_time", response_time.clone());
        outcome.field("response_time_with_dns", Json::Int(Span::of(self.cost + self.dns).micros()));
        if !self.answer.is_empty() {
            outcome.field("response_message", Json::text(&self.answer));
        }
        if own.traces() {
            traceroute::show(&self.hops, &mut outcome);
        }
        let verdict = self.judge(own, deadline);
        if verdict.is_ok() {
            outcome.message("response_time", response_time);
        }
        outcome.verdict(verdict);
        outcome.finish(task);
        outcome
    }

    fn judge(&self, task: &TcpTask, deadline: Instant) -> Result<(), String> {
        let mut judge = Judge::new(deadline);
        for rule in task.success_when.items() {
            for limit in rule.response_time.items() {
                let dns = if limit.is_contain_dns { self.dns } else { Duration::ZERO };
                let cost = Span::of(self.cost + dns);
                let target = Span::parse(&limit.target).unwrap_or_default();
                if cost >= target {
                    judge.fail(format!("TCP response time({cost}) larger equal than {target}"));
                } else {
                    judge.pass();
                }
            }
            for option in rule.response_message.items() {
                judge.text(option, &self.answer, "response message");
            }
            if task.traces() {
                traceroute::judge(&self.hops, rule.hops.items(), &mut judge);
            }
        }
        judge.verdict(&task.success_when_logic, &self.troubles.join(";"))
    }
}
