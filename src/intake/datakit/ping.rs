//! `GET /v1/ping`.

use std::time::Duration;

use crate::intake::{Clock, Reply, Settings};
use crate::point::echo::json_string;

pub fn reply(clock: &Clock, settings: &Settings) -> Reply {
    let options = &settings.options;
    let uptime = go_duration(clock.uptime);
    let mut body = b"{\"content\":{\"version\":".to_vec();
    json_string(options.version.as_bytes(), &mut body);
    for (name, value) in [("uptime", &uptime), ("host", &options.hostname), ("commit", &options.commit)] {
        body.push(b',');
        json_string(name.as_bytes(), &mut body);
        body.push(b':');
        json_string(value.as_bytes(), &mut body);
    }
    body.extend_from_slice(b"}}");
    Reply::json(200, body)
}

/// A duration as Go's `time.Duration` prints it: `41m44.632183515s`, `1.5ms`, `0s`.
pub fn go_duration(duration: Duration) -> String {
    let ns = duration.as_nanos();
    let below = |unit: u128, name: &str| {
        let (whole, rest) = (ns / unit, ns % unit);
        let digits = unit.ilog10() as usize;
        let fraction = format!("{rest:0digits$}");
        match fraction.trim_end_matches('0') {
            "" => format!("{whole}{name}"),
            fraction => format!("{whole}.{fraction}{name}"),
        }
    };
    if ns == 0 {
        return "0s".to_owned();
    }
    if ns < 1_000 {
        return format!("{ns}ns");
    }
    if ns < 1_000_000 {
        return below(1_000, "µs");
    }
    if ns < 1_000_000_000 {
        return below(1_000_000, "ms");
    }
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = go_seconds(seconds % 60, duration.subsec_nanos());
    match (hours, minutes) {
        (0, 0) => rest,
        (0, minutes) => format!("{minutes}m{rest}"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}"),
    }
}

fn go_seconds(seconds: u64, nanos: u32) -> String {
    let fraction = format!("{nanos:09}");
    match fraction.trim_end_matches('0') {
        "" => format!("{seconds}s"),
        fraction => format!("{seconds}.{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_as_go_does() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (1_000_000_000, "1s"),
            (3_300_000_000, "3.3s"),
            (60_000_000_000, "1m0s"),
            (2_504_632_183_515, "41m44.632183515s"),
            (3_600_000_000_000, "1h0m0s"),
            (90_061_001_000_000, "25h1m1.001s"),
        ];
        for (ns, text) in cases {
            assert_eq!(go_duration(Duration::from_nanos(ns)), text);
        }
    }
}
