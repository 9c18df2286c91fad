//! `multi`: HTTP tasks and waits, one after another. A step that fails ends the way, unless it may fail; the steps behind
//! are listed and not run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use super::duration::Span;
use super::json::Json;
use super::outcome::Outcome;
use super::task::{ConfigVar, HttpTask, MultiTask, Step, Task};
use super::template::Filler;
use super::test::{Env, Test, check_variables, is_variable, now_ns, pause, variables};

/// Steps of a task: each of them costs a connection, and a part of the answer.
const STEPS_MAX: usize = 100;

const RETRIES_MAX: isize = 5;
const RETRY_INTERVAL_MS_MAX: isize = 5_000;
const WAIT_S_MAX: isize = 180;

impl Test for MultiTask {
    fn validate(&self, deadline: Instant) -> Result<(), String> {
        if self.steps.items().len() > STEPS_MAX {
            return Err(format!("more than {STEPS_MAX} steps"));
        }
        for step in self.steps.items() {
            if let Some(retry) = &step.retry {
                if !(0..=RETRIES_MAX).contains(&retry.retry) {
                    return Err("retry should be in 0 ~ 5".to_owned());
                }
                if !(0..=RETRY_INTERVAL_MS_MAX).contains(&retry.interval) {
                    return Err("retry interval should be in 0 ~ 5000".to_owned());
                }
            }
            match step.kind.as_str() {
                "wait" if !(1..=WAIT_S_MAX).contains(&step.value) => {
                    return Err("wait step value should be in 1 ~ 180".to_owned());
                }
                "http" => validate_http(step, deadline)?,
                // What is no step at all is said when they are run, as recorded.
                _ => {}
            }
        }
        Ok(())
    }

    /// Each step is filled in when its turn comes.
    fn fill(&mut self, _filler: &Filler) -> Result<(), String> {
        Ok(())
    }

    fn hosts(&self) -> Vec<String> {
        let tasks = self.steps.items().iter().filter(|step| step.kind == "http");
        let tasks = tasks.filter_map(|step| Task::<HttpTask>::read_text(&step.task).ok());
        tasks.flat_map(|task| task.own.hosts()).collect()
    }

    fn run(task: &Task<MultiTask>, env: &Env<'_>) -> Result<Outcome, String> {
        let steps = task.own.steps.items();
        if steps.is_empty() {
            return Err("no steps found".to_owned());
        }
        if steps.iter().any(|step| !matches!(step.kind.as_str(), "http" | "wait")) {
            return Err("step type should be wait or http".to_owned());
        }
        let begun = Instant::now();
        let mut way = Way::default();
        for (index, step) in steps.iter().enumerate() {
            way.step(index, step, &task.common.config_vars.0, env);
        }
        way.duration = begun.elapsed();
        Ok(way.outcome(task))
    }
}

fn validate_http(step: &Step, deadline: Instant) -> Result<(), String> {
    if step.task.is_empty() {
        return Err("http step task should not be empty".to_owned());
    }
    let task =
        Task::<HttpTask>::read_text(&step.task).map_err(|error| format!("new task failed: {error}"))?;
    check_variables(&task.common)
        .and_then(|()| task.own.validate(deadline))
        .map_err(|error| format!("check task failed: {error}"))?;
    match step.extracted_vars.items().iter().find(|variable| !is_variable(&variable.name)) {
        Some(variable) => Err(format!("invalid variable name {}", variable.name)),
        None => Ok(()),
    }
}

/// What happened, step by step.
#[derive(Debug, Default)]
struct Way {
    steps: Vec<BTreeMap<String, Json>>,
    /// A step failed that must not.
    ended: bool,
    last_step: Option<usize>,
    /// The last HTTP step that was run.
    last_http: Option<usize>,
    duration: Duration,
}

impl Way {
    fn step(&mut self, index: usize, step: &Step, common: &Option<Vec<ConfigVar>>, env: &Env<'_>) {
        let mut result = BTreeMap::from([
            ("type".to_owned(), Json::text(&step.kind)),
            ("allow_failure".to_owned(), Json::Bool(step.allow_failure)),
            ("task".to_owned(), Json::text(&step.task)),
        ]);
        if !self.ended {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
            result.insert("task_start_time".to_owned(), Json::Int(now));
            self.last_step = Some(index);
        }
        match (step.kind.as_str(), self.ended) {
            ("wait", ended) => {
                result.insert("value".to_owned(), Json::Int(step.value as i64));
                let wait = Duration::from_secs(u64::try_from(step.value).unwrap_or(0));
                if !ended {
                    pause(Instant::now() + wait, env.reach.deadline);
                }
            }
            (_, true) => {
                if let Ok(task) = Task::<HttpTask>::read_text(&step.task) {
                    result.insert("name".to_owned(), Json::Text(task.common.name));
                    result.insert("method".to_owned(), Json::Text(task.own.method));
                    result.insert("url".to_owned(), Json::Text(task.own.url));
                }
            }
            (_, false) => {
                self.last_http = Some(index);
                let (found, failure) = run_http(step, common, env);
                result.extend(found);
                if let Some(failure) = failure {
                    result
                        .insert("fail_reason".to_owned(), Json::Text(format!("run task failed: {failure}")));
                    self.ended = !step.allow_failure;
                }
            }
        }
        // Their values come from a script's variables; there are none yet.
        let variables = step.extracted_vars.items().iter().map(|variable| {
            let text = |text: &str| Json::text(text).render();
            let (name, field) = (text(&variable.name), text(&variable.field));
            Json::Raw(format!("{{\"name\":{name},\"field\":{field},\"secure\":{}}}", variable.secure))
        });
        result.insert("extracted_vars".to_owned(), Json::List(variables.collect()));
        self.steps.push(result);
    }

    fn outcome(self, task: &Task<MultiTask>) -> Outcome {
        let mut outcome = Outcome::new(&task.common);
        outcome.task_tags(&task.common);
        let index = |index: Option<usize>| index.map_or(-1, |index| index as i64);
        outcome.field("response_time", Json::Int(Span::of(self.duration).micros()));
        outcome.field("last_step", Json::Int(index(self.last_step)));
        if let Some(last) = self.last_http.and_then(|index| self.steps.get(index)) {
            if last.get("status") == Some(&Json::text("OK")) {
                outcome.tag("status", "OK");
                outcome.field("success", Json::Int(1));
            } else if let Some(reason) = last.get("fail_reason") {
                outcome.field("fail_reason", reason.clone());
            }
            outcome.field("message", last.get("message").cloned().unwrap_or(Json::Null));
        }
        let steps = Json::List(self.steps.into_iter().map(Json::Map).collect());
        outcome.field("steps", Json::Text(steps.render()));
        outcome.about(task);
        outcome
    }
}

/// Runs one step, again where it may be and fails. Gives what it found, and why it failed.
fn run_http(
    step: &Step,
    common: &Option<Vec<ConfigVar>>,
    env: &Env<'_>,
) -> (BTreeMap<String, Json>, Option<String>) {
    let (retries, interval) = match &step.retry {
        Some(retry) => (retry.retry.clamp(0, RETRIES_MAX), retry.interval.clamp(0, RETRY_INTERVAL_MS_MAX)),
        None => (0, 0),
    };
    let mut attempt = 0;
    loop {
        let (found, failure) = match attempt_http(step, common, env) {
            Ok(outcome) => {
                let found = outcome.merged();
                let reason = match found.get("fail_reason") {
                    Some(Json::Text(reason)) => Some(format!("run HTTP step task failed: {reason}")),
                    _ => None,
                };
                (found, reason)
            }
            Err(error) => (BTreeMap::new(), Some(format!("init http step task failed: {error}"))),
        };
        // In time, and only what failed: the reference repeats what went well, too.
        if failure.is_none() || attempt >= retries || Instant::now() >= env.reach.deadline {
            return (found, failure);
        }
        attempt += 1;
        let interval = Duration::from_millis(u64::try_from(interval).unwrap_or(0));
        pause(Instant::now() + interval, env.reach.deadline);
    }
}

fn attempt_http(step: &Step, common: &Option<Vec<ConfigVar>>, env: &Env<'_>) -> Result<Outcome, String> {
    let mut task = Task::<HttpTask>::read_text(&step.task)?;
    let mut known = variables(&mut task.common, &BTreeMap::new());
    // The whole task's variables come before a step's own.
    known.extend(common.iter().flatten().map(|variable| (variable.name.clone(), variable.value.clone())));
    let filler = Filler::new(known, now_ns());
    task.own.fill(&filler).map_err(|error| format!("render template error: {error}"))?;
    task.own.validate(env.reach.deadline)?;
    HttpTask::run(&task, env)
}
