//! The way to an address, router by router: echoes that may pass one more each time. IPv4 only, and CAP_NET_RAW.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::decode::go_struct;
use super::decode::{Go as _, List};
use super::duration::Span;
use super::json::Json;
use super::net::{Reach, words};
use super::outcome::Outcome;
use super::ping::{Answer, Socket};
use super::success::Judge;
use super::task::{TracerouteOption, ValueSuccess};

/// Without a word about it: routers, tries for each, and how long each is waited for.
const HOPS: u32 = 30;
const TRIES: u32 = 2;
const TIMEOUT: Duration = Duration::from_millis(30);

/// Where there is a word: tries when it names none, and what is more than enough.
const TRIES_CONFIGURED: u32 = 3;
const HOPS_MAX: u32 = 60;
const TRIES_MAX: u32 = 3;
const TIMEOUT_MAX: Duration = Duration::from_secs(10);

go_struct! {
    /// One router, or the target.
    Hop "Route" "*" {
        total: isize => "total",
        failed: isize => "failed",
        loss: f64 => "loss",
        avg_cost: f64 => "avg_cost",
        min_cost: f64 => "min_cost",
        max_cost: f64 => "max_cost",
        std_cost: f64 => "std_cost",
        items: List<Probe> => "items",
    }
}

go_struct! {
    Probe "RouteItem" "*" {
        ip: String => "ip",
        response_time: f64 => "response_time",
    }
}

/// How it is gone about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    hops: u32,
    tries: u32,
    timeout: Duration,
}

impl Plan {
    fn new(option: Option<&TracerouteOption>) -> Plan {
        let Some(option) = option else { return Plan { hops: HOPS, tries: TRIES, timeout: TIMEOUT } };
        let bounded = |value: isize, default: u32, max: u32| match u32::try_from(value) {
            Err(_) if value > 0 => max,
            Err(_) | Ok(0) => default,
            Ok(value) => value.min(max),
        };
        let timeout = match Span::parse(&option.timeout) {
            Err(_) => TIMEOUT,
            // As recorded: a time that is none counts as a second.
            Ok(timeout) if !timeout.is_positive() => Duration::from_secs(1),
            Ok(timeout) => timeout.duration().min(TIMEOUT_MAX),
        };
        Plan {
            hops: bounded(option.hops, HOPS, HOPS_MAX),
            tries: bounded(option.retry, TRIES_CONFIGURED, TRIES_MAX),
            timeout,
        }
    }
}

/// Goes the way to an address, which has been checked.
pub fn run(to: IpAddr, option: Option<&TracerouteOption>, reach: Reach<'_>) -> Result<Vec<Hop>, String> {
    let plan = Plan::new(option);
    let failed = |error: String| format!("start trace error: {error}");
    if to.is_ipv6() {
        return Err(failed("support ip version 4 only".to_owned()));
    }
    let socket = Socket::open(to, true).map_err(failed)?;
    let mut hops = Vec::new();
    for ttl in 1..=plan.hops {
        socket.set_ttl(ttl).map_err(|error| failed(words(&error)))?;
        let mut probes = Vec::new();
        for _ in 0..plan.tries {
            if Instant::now() >= reach.deadline {
                return Ok(hops);
            }
            let answer = socket.echo(to, b"", reach.within(plan.timeout).deadline);
            probes.push(answer.map_err(|error| failed(words(&error)))?);
        }
        hops.push(Hop::new(&probes));
        if probes.iter().flatten().any(|answer| answer.is_reply || answer.from == to) {
            break;
        }
    }
    Ok(hops)
}

impl Hop {
    fn new(probes: &[Option<Answer>]) -> Hop {
        let micros = |took: Duration| took.as_micros() as f64;
        let times: Vec<f64> = probes.iter().flatten().map(|answer| micros(answer.took)).collect();
        let failed = probes.len() - times.len();
        let count = times.len() as f64;
        let mean = if times.is_empty() { 0.0 } else { times.iter().sum::<f64>() / count };
        let spread = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>();
        let items = probes.iter().map(|probe| match probe {
            Some(answer) => Probe { ip: answer.from.to_string(), response_time: micros(answer.took) },
            None => Probe { ip: "*".to_owned(), response_time: 0.0 },
        });
        Hop {
            total: probes.len() as isize,
            failed: failed as isize,
            loss: (failed as f64 * 100.0 / probes.len().max(1) as f64 * 100.0).round() / 100.0,
            avg_cost: mean,
            min_cost: times.iter().copied().reduce(f64::min).unwrap_or(0.0),
            max_cost: times.iter().copied().fold(0.0, f64::max),
            std_cost: if times.len() > 1 { (spread / (count - 1.0)).sqrt() } else { 0.0 },
            items: List(Some(items.collect())),
        }
    }
}

/// The fields of a way.
pub fn show(hops: &[Hop], outcome: &mut Outcome) {
    let mut text = Vec::new();
    List(Some(hops.to_vec())).encode(&mut text);
    outcome.field("hops", Json::Int(hops.len() as i64));
    outcome.field("traceroute", Json::Text(String::from_utf8_lossy(&text).into_owned()));
}

/// The rules on how long it is.
pub fn judge(hops: &[Hop], rules: &[ValueSuccess], judge: &mut Judge) {
    if hops.is_empty() {
        judge.fail("traceroute failed with no hops".to_owned());
        return;
    }
    for rule in rules {
        judge.number(rule, hops.len() as f64, "traceroute hops");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_is_summed_up_as_recorded() {
        let answer = |micros| {
            let from = "127.0.0.1".parse().unwrap();
            Some(Answer { from, took: Duration::from_micros(micros), is_reply: true })
        };
        let shown = |probes: &[Option<Answer>]| {
            let mut out = Vec::new();
            Hop::new(probes).encode(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            shown(&[answer(24), answer(244)]),
            r#"{"total":2,"failed":0,"loss":0,"avg_cost":134,"min_cost":24,"max_cost":244,"std_cost":155.56349186104046,"items":[{"ip":"127.0.0.1","response_time":24},{"ip":"127.0.0.1","response_time":244}]}"#
        );
        assert_eq!(
            shown(&[None, answer(30), None]),
            r#"{"total":3,"failed":2,"loss":66.67,"avg_cost":30,"min_cost":30,"max_cost":30,"std_cost":0,"items":[{"ip":"*","response_time":0},{"ip":"127.0.0.1","response_time":30},{"ip":"*","response_time":0}]}"#
        );
        assert_eq!(Hop::new(&[None, None]).loss, 100.0);
    }

    #[test]
    fn plans_are_bounded() {
        let plan = |hops, retry, timeout: &str| {
            let plan = Plan::new(Some(&TracerouteOption { hops, retry, timeout: timeout.to_owned() }));
            (plan.hops, plan.tries, plan.timeout.as_millis())
        };
        assert_eq!(Plan::new(None), Plan { hops: 30, tries: 2, timeout: Duration::from_millis(30) });
        assert_eq!(plan(0, 0, ""), (30, 3, 30));
        assert_eq!(plan(-1, -1, "x"), (30, 3, 30));
        assert_eq!(plan(5, 1, "2s"), (5, 1, 2_000));
        assert_eq!(plan(isize::MAX, 9, "1h"), (60, 3, 10_000));
        assert_eq!(plan(1, 1, "-1s"), (1, 1, 1_000));
    }

    #[test]
    fn only_ipv4_is_traced() {
        let guard = super::super::guard::Guard::default();
        let reach = Reach { guard: &guard, deadline: Instant::now() + Duration::from_secs(5) };
        let error = run("::1".parse().unwrap(), None, reach).unwrap_err();
        assert_eq!(error, "start trace error: support ip version 4 only");
    }
}
