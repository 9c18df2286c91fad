//! `GET /v1/ntp`: what the time is here. Recorded: not in the API's wrapper.

use crate::intake::{Clock, Reply};

const NS_PER_S: i64 = 1_000_000_000;

pub fn reply(clock: &Clock) -> Reply {
    Reply::json(200, format!("{{\"timestamp_sec\":{}}}", clock.now_ns.div_euclid(NS_PER_S)).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_without_a_wrapper() {
        let clock = Clock { now_ns: 1_747_100_923_999_999_999, uptime: std::time::Duration::ZERO };
        assert_eq!(reply(&clock).body, br#"{"timestamp_sec":1747100923}"#);
    }
}
