//! What every kind of task can do, and the order it is done in.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use super::net::Reach;
use super::outcome::Outcome;
use super::task::{Common, Kind, Task, Variable};
use super::template::Filler;

/// What a run has beside its task.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    pub reach: Reach<'a>,
    pub user_agent: &'a str,
}

/// A kind of task.
pub trait Test: Kind {
    /// What is wrong with it, as far as it can be told without the network. Past the deadline nothing more is looked at.
    fn validate(&self, deadline: Instant) -> Result<(), String>;

    /// Fills in what stands between braces.
    fn fill(&mut self, filler: &Filler) -> Result<(), String>;

    /// Whom it asks.
    fn hosts(&self) -> Vec<String>;

    /// Runs it. A test that fails has an outcome; an error is of the task.
    fn run(task: &Task<Self>, env: &Env<'_>) -> Result<Outcome, String>;
}

/// Fills in one text of a task; `what` says which, where that fails.
pub fn fill(text: &mut String, what: &str, filler: &Filler) -> Result<(), String> {
    *text = filler.fill(text).map_err(|error| format!("render {what} failed: {error}"))?;
    Ok(())
}

/// The variables of a task by name. One that is shared gets its value from `shared`.
pub fn variables(common: &mut Common, shared: &BTreeMap<String, Variable>) -> BTreeMap<String, String> {
    for variable in common.config_vars.items_mut() {
        let is_shared = variable.kind == "global" && !variable.id.is_empty();
        if let Some(shared) = shared.get(&variable.id).filter(|_| is_shared) {
            variable.value.clone_from(&shared.value);
            variable.secure = shared.secure;
        }
    }
    let pair = |variable: &super::task::ConfigVar| (variable.name.clone(), variable.value.clone());
    common.config_vars.items().iter().map(pair).collect()
}

/// Whether all variables have names that can be used.
pub fn check_variables(common: &Common) -> Result<(), String> {
    match common.config_vars.items().iter().find(|variable| !is_variable(&variable.name)) {
        Some(variable) => Err(format!("invalid variable name {}", variable.name)),
        None => Ok(()),
    }
}

/// The time, for templates.
pub fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

/// Whether a name may be a variable's. As recorded: the end of it decides.
pub fn is_variable(name: &str) -> bool {
    let end = name.rsplit(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).next();
    end.is_some_and(|end| end.bytes().any(|byte| byte.is_ascii_alphabetic() || byte == b'_'))
}

/// Sleeps, but not past the deadline. Nobody unparks this thread on purpose, and waking early only looks at the clock.
pub fn pause(until: Instant, deadline: Instant) {
    let until = until.min(deadline);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_variables_are_judged_as_recorded() {
        for (name, expected) in [
            ("a", true),
            ("_1", true),
            ("a-b", true),
            ("1a", true),
            ("", false),
            ("1", false),
            ("a-", false),
            ("a-1", false),
        ] {
            assert_eq!(is_variable(name), expected, "{name}");
        }
    }
}
