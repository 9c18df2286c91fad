//! Where packages go: to every target, or to whichever is the right one now.

use std::time::Instant;

use super::Uploads;
use crate::upload::carrier::Carrier;
use crate::upload::env::Env;
use crate::upload::failover::Choice;

/// Longest name of a target in file names.
const KEY_BYTES_MAX: usize = 64;

/// The side lane of packages that may go to any target.
const ANY: &str = "any";

/// One destination of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    One(usize),
    /// One of them is enough.
    Any,
}

/// The names of the targets in file names: those of their hosts, which stay when a token is replaced.
pub(super) fn keys(shown: &[String]) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for shown in shown {
        let key: String = shown
            .replace("://", "_")
            .chars()
            .map(|char| if char.is_ascii_alphanumeric() || char == '.' { char } else { '_' })
            .take(KEY_BYTES_MAX)
            .collect();
        let number = keys.iter().filter(|other| other.split('~').next() == Some(&*key)).count();
        keys.push(if number == 0 { key } else { format!("{key}~{}", number + 1) });
    }
    keys
}

impl<C: Carrier, E: Env> Uploads<C, E> {
    /// Where each package goes.
    pub(super) fn aims(&self) -> Vec<Aim> {
        match &self.failover {
            Some(_) => vec![Aim::Any],
            None => (0..self.targets.len()).map(Aim::One).collect(),
        }
    }

    /// The word for an aim in names of side lanes.
    pub(super) fn key(&self, aim: Aim) -> &str {
        match aim {
            Aim::One(target) => self.keys.get(target).map_or(ANY, String::as_str),
            Aim::Any => ANY,
        }
    }

    /// The aim with this word, if there still is one.
    pub(super) fn aim_of(&self, key: &str) -> Option<Aim> {
        if key == ANY {
            return Some(if self.failover.is_some() { Aim::Any } else { Aim::One(0) });
        }
        self.keys.iter().position(|own| own == key).map(Aim::One)
    }

    pub(super) fn choose(&self, aim: Aim) -> Choice {
        match (aim, &self.failover) {
            (Aim::One(target), _) => Choice { target, is_probe: false },
            (Aim::Any, None) => Choice { target: 0, is_probe: false },
            (Aim::Any, Some(failover)) => {
                failover.borrow_mut().choose(self.env.now(), |target| self.down_since(target))
            }
        }
    }

    /// The target that gets the packages where one is enough.
    pub(super) fn active(&self) -> usize {
        let Some(failover) = &self.failover else { return 0 };
        let mut failover = failover.borrow_mut();
        let (before, _) = failover.active();
        failover.look(self.env.now(), |target| self.down_since(target));
        let (active, moves) = failover.active();
        if active != before {
            let name = |target: usize| self.targets.get(target).map(|state| state.shown.as_str());
            tracing::warn!(
                from = name(before),
                to = name(active),
                moves,
                "another destination gets the data"
            );
        }
        active
    }

    pub(super) fn answered(&self, target: usize) {
        if let Some(failover) = &self.failover {
            failover.borrow_mut().answered(target, self.env.now());
        }
    }

    pub(super) fn failed(&self, target: usize) {
        if let Some(failover) = &self.failover {
            failover.borrow_mut().failed(target);
        }
    }

    fn down_since(&self, target: usize) -> Option<Instant> {
        self.targets.get(target)?.down_since()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_s_name_is_a_file_name_and_its_own() {
        let shown = ["http://a:1", "https://[::1]:9528", "http://a:1", "http://a.b-c", "http://../x"];
        let keys = keys(&shown.map(str::to_owned));
        assert_eq!(keys, ["http_a_1", "https____1__9528", "http_a_1~2", "http_a.b_c", "http_.._x"]);
        assert!(super::keys(&["h".repeat(1000)])[0].len() <= KEY_BYTES_MAX);
    }
}
