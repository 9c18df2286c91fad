//! `icmp`: echoes, one after another, and what their round trips were like.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::duration::Span;
use super::json::Json;
use super::net::words;
use super::outcome::Outcome;
use super::ping::Socket;
use super::success::{Judge, check_number};
use super::task::{IcmpTask, Task, ValueSuccess};
use super::template::Filler;
use super::test::{Env, Test, fill, pause};
use super::traceroute::{self, Hop};

/// Echoes, where the task names no number.
const PACKETS: isize = 3;

/// For each answer, where the task has no time of its own or less than a second.
const TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// Between two echoes.
const INTERVAL: Duration = Duration::from_secs(3);

/// What an echo carries.
const PAYLOAD: &[u8] = b"ICMP testing";

impl Test for IcmpTask {
    fn validate(&self, _deadline: Instant) -> Result<(), String> {
        if self.host.is_empty() {
            return Err("host should not be empty".to_owned());
        }
        if !self.timeout.is_empty() {
            Span::parse(&self.timeout)?;
        }
        if self.success_when.items().is_empty() {
            return Err("no any check rule".to_owned());
        }
        for limit in self.success_when.items().iter().flat_map(|rule| rule.response_time.items()) {
            Span::parse(&limit.target)?;
        }
        Ok(())
    }

    fn fill(&mut self, filler: &Filler) -> Result<(), String> {
        fill(&mut self.host, "host", filler)
    }

    fn hosts(&self) -> Vec<String> {
        vec![self.host.clone()]
    }

    fn run(task: &Task<IcmpTask>, env: &Env<'_>) -> Result<Outcome, String> {
        let mut echoes = Echoes::default();
        if let Err(error) = echoes.run(&task.own, env) {
            echoes = Echoes { troubles: vec![error], address: echoes.address, ..Echoes::default() };
        }
        if let (true, Some(address)) = (task.own.traces(), echoes.address) {
            match traceroute::run(address, task.own.traceroute_config.as_ref(), env.reach) {
                Ok(hops) => echoes.hops = hops,
                Err(error) => echoes.troubles.push(error),
            }
        }
        Ok(echoes.outcome(task, env.reach.deadline))
    }
}

impl IcmpTask {
    fn traces(&self) -> bool {
        self.enable_traceroute || self.success_when.items().iter().any(|rule| rule.hops.0.is_some())
    }
}

/// What happened, as far as it came.
#[derive(Debug, Default)]
struct Echoes {
    address: Option<IpAddr>,
    sent: usize,
    round_trips: Vec<Duration>,
    hops: Vec<Hop>,
    troubles: Vec<String>,
}

/// Round trips, summed up, in microseconds.
#[derive(Debug, Default, PartialEq)]
struct Summary {
    average: f64,
    min: f64,
    max: f64,
    deviation: f64,
    loss_percent: f64,
}

impl Echoes {
    fn run(&mut self, task: &IcmpTask, env: &Env<'_>) -> Result<(), String> {
        let timeout = Span::parse(&task.timeout).map(Span::duration).unwrap_or(TIMEOUT);
        let timeout = if timeout < TIMEOUT_MIN { TIMEOUT } else { timeout };
        let addresses = env
            .reach
            .within(timeout)
            .addresses_for(&task.host)
            .map_err(|error| format!("ping failed: error resolving address: {error}"))?;
        let address = addresses.iter().find(|address| address.is_ipv4()).or_else(|| addresses.first());
        let address =
            *address.ok_or("ping failed: error resolving address: unable to find ip; no fallback")?;
        self.address = Some(address);
        let socket = Socket::open(address, false)
            .map_err(|error| format!("ping failed: error listening to socket: {error}"))?;
        let count = if task.packet_count > 0 { task.packet_count } else { PACKETS };
        for index in 0..count {
            let begun = Instant::now();
            if begun >= env.reach.deadline {
                return Err("ping failed: i/o timeout".to_owned());
            }
            let answer = socket
                .echo(address, PAYLOAD, env.reach.within(timeout).deadline)
                .map_err(|error| format!("ping failed: error writing to socket: {}", words(&error)))?;
            self.sent += 1;
            self.round_trips.extend(answer.filter(|answer| answer.is_reply).map(|answer| answer.took));
            if index + 1 < count {
                pause(Instant::now() + INTERVAL, env.reach.deadline);
            }
        }
        Ok(())
    }

    fn summary(&self) -> Summary {
        // Without any answer everything is lost, as it is when nothing was sent.
        let mut summary = Summary { loss_percent: 100.0, ..Summary::default() };
        if self.sent > 0 {
            let lost = self.sent - self.round_trips.len();
            summary.loss_percent = lost as f64 / self.sent as f64 * 100.0;
        }
        let micros: Vec<f64> = self.round_trips.iter().map(|took| took.as_nanos() as f64 / 1e3).collect();
        if micros.is_empty() {
            return summary;
        }
        let count = micros.len() as f64;
        let average = micros.iter().sum::<f64>() / count;
        let spread = micros.iter().map(|took| (took - average).powi(2)).sum::<f64>();
        summary.average = round(average);
        summary.min = round(micros.iter().copied().fold(f64::INFINITY, f64::min));
        summary.max = round(micros.iter().copied().fold(0.0, f64::max));
        summary.deviation = round((spread / count).sqrt());
        summary
    }

    fn outcome(&self, task: &Task<IcmpTask>, deadline: Instant) -> Outcome {
        let own = &task.own;
        let summary = self.summary();
        let mut outcome = Outcome::new(&task.common);
        outcome.tag("dest_host", &own.host);
        outcome.tag("proto", "icmp");
        outcome.task_tags(&task.common);
        let times = [
            ("average", summary.average),
            ("min", summary.min),
            ("max", summary.max),
            ("std", summary.deviation),
        ];
        for (name, micros) in times {
            outcome.field(&format!("{name}_round_trip_time"), Json::Float(micros));
            outcome.field(&format!("{name}_round_trip_time_in_millis"), Json::Float(round(micros / 1e3)));
        }
        outcome.field("packet_loss_percent", Json::Float(summary.loss_percent));
        let count = |count: usize| Json::Int(i64::try_from(count).unwrap_or(i64::MAX));
        outcome.field("packets_sent", count(self.sent));
        outcome.field("packets_received", count(self.round_trips.len()));
        if own.traces() {
            traceroute::show(&self.hops, &mut outcome);
        }
        let verdict = self.judge(own, &summary, deadline);
        if verdict.is_ok() {
            outcome.message("average_round_trip_time", Json::Float(summary.average));
        }
        outcome.verdict(verdict);
        outcome.finish(task);
        outcome
    }

    fn judge(&self, task: &IcmpTask, summary: &Summary, deadline: Instant) -> Result<(), String> {
        let mut judge = Judge::new(deadline);
        for rule in task.success_when.items() {
            for limit in rule.response_time.items() {
                let value = match limit.func.as_str() {
                    "avg" => summary.average,
                    "min" => summary.min,
                    "max" => summary.max,
                    "std" => summary.deviation,
                    _ => 0.0,
                };
                let target = Span::parse(&limit.target).unwrap_or_default().micros() as f64;
                let bound = ValueSuccess { op: limit.op.clone(), target };
                judge.settle(match summary.loss_percent {
                    100.0 => Err("all packets lost".to_owned()),
                    _ => check_number(&bound, value)
                        .map_err(|reason| format!("ICMP round-trip({}) check failed: {reason}", limit.func)),
                });
            }
            for bound in rule.packet_loss_percent.items() {
                judge.number(bound, summary.loss_percent, "packet_loss_percent");
            }
            for bound in rule.packets.items() {
                judge.number(bound, self.round_trips.len() as f64, "packets received");
            }
            if task.traces() {
                traceroute::judge(&self.hops, rule.hops.items(), &mut judge);
            }
        }
        judge.verdict(&task.success_when_logic, &self.troubles.join(";"))
    }
}

/// Three decimals.
fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_are_summed_up() {
        let echoes = Echoes {
            sent: 4,
            round_trips: [1000, 2000, 4000].map(Duration::from_micros).to_vec(),
            ..Echoes::default()
        };
        let expected =
            Summary { average: 2333.333, min: 1000.0, max: 4000.0, deviation: 1247.219, loss_percent: 25.0 };
        assert_eq!(echoes.summary(), expected);
        let none = Summary { loss_percent: 100.0, ..Summary::default() };
        assert_eq!(Echoes { sent: 3, ..Echoes::default() }.summary(), none);
        assert_eq!(Echoes::default().summary(), none);
    }

    #[test]
    fn rules_say_what_datakit_says() {
        let task = Task::<IcmpTask>::read_text(
            r#"{"host":"h","success_when":[{"response_time":[{"func":"avg","op":"lt","target":"1ms"},
            {"func":"max","op":"leq","target":"5ms"}],"packet_loss_percent":[{"op":"leq","target":10}],
            "packets":[{"op":"geq","target":3}],"hops":[{"op":"eq","target":2}]}]}"#,
        )
        .unwrap()
        .own;
        assert!(task.traces());
        let later = Instant::now() + Duration::from_secs(60);
        let echoes = Echoes {
            sent: 3,
            round_trips: [1500, 2500].map(Duration::from_micros).to_vec(),
            troubles: vec!["start trace error: x".to_owned()],
            ..Echoes::default()
        };
        assert_eq!(
            echoes.judge(&task, &echoes.summary(), later).unwrap_err(),
            "ICMP round-trip(avg) check failed: 2000 is greater equal than target 1000;\
             packet_loss_percent check failed: 33.33333333333333 is greater than target 10;\
             packets received check failed: 2 is less equal than target 3;traceroute failed with no hops;\
             start trace error: x"
        );
        let lost = Echoes { sent: 1, ..Echoes::default() };
        let reason = lost.judge(&task, &lost.summary(), later).unwrap_err();
        assert!(
            reason.starts_with("all packets lost;all packets lost;packet_loss_percent check failed: 100"),
            "{reason}"
        );
    }
}
