//! How the destination behaves, as a text that a command line or a control request carries.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// One behaviour.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// Answers at once.
    Fast,
    /// Takes everything and answers after a while.
    Slow(Duration),
    /// Answers a share of the requests with a status and takes nothing of them.
    Failing {
        /// What is answered.
        status: u16,
        /// Which share.
        share: f64,
    },
    /// Refuses connections, and closes those it has.
    Absent,
    /// Reads and never answers; takes nothing.
    Silent,
    /// Takes everything, but closes without an answer for a share: the sender must send again, under the same id.
    Forgetful(f64),
    /// Refuses, for ever, packages whose decoded body contains the marker.
    Poisonous {
        /// Bytes to look for.
        marker: String,
        /// What is answered then.
        status: u16,
    },
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let arguments: Vec<&str> = parts.collect();
        let number = |i: usize, default: f64| match arguments.get(i) {
            None => Ok(default),
            Some(text) => text.parse::<f64>().map_err(|e| format!("{text}: {e}")),
        };
        let share = |i| number(i, 1.0).map(|share| share.clamp(0.0, 1.0));
        let status = |i, default| {
            number(i, default).and_then(|n| {
                if (200.0..600.0).contains(&n) { Ok(n as u16) } else { Err(format!("status {n}")) }
            })
        };
        Ok(match name {
            "fast" => Mode::Fast,
            "slow" => Mode::Slow(Duration::from_millis(number(0, 100.0)?.clamp(0.0, 600_000.0) as u64)),
            "failing" => Mode::Failing { status: status(0, 503.0)?, share: share(1)? },
            "absent" => Mode::Absent,
            "silent" => Mode::Silent,
            "forgetful" => Mode::Forgetful(share(0)?),
            "poisonous" => {
                let marker = arguments.first().copied().unwrap_or("poison").to_owned();
                Mode::Poisonous { marker, status: status(1, 400.0)? }
            }
            other => return Err(format!("no mode {other:?}")),
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::Fast => write!(f, "fast"),
            Mode::Slow(delay) => write!(f, "slow:{}", delay.as_millis()),
            Mode::Failing { status, share } => write!(f, "failing:{status}:{share}"),
            Mode::Absent => write!(f, "absent"),
            Mode::Silent => write!(f, "silent"),
            Mode::Forgetful(share) => write!(f, "forgetful:{share}"),
            Mode::Poisonous { marker, status } => write!(f, "poisonous:{marker}:{status}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_survives_its_text() {
        for text in
            ["fast", "slow:250", "failing:503:0.25", "absent", "silent", "forgetful:0.5", "poisonous:bad:413"]
        {
            assert_eq!(text.parse::<Mode>().unwrap().to_string(), text);
        }
        for text in ["", "late", "slow:x", "failing:99"] {
            assert!(text.parse::<Mode>().is_err(), "{text:?}");
        }
    }
}
