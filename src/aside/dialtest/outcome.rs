//! What a test found: tags and fields, as they would be a point's.

use std::collections::BTreeMap;

use super::decode::{Go, List};
use super::json::Json;
use super::task::{Common, ConfigVar, Kind, Task};

/// Bytes of the field `message`.
const MESSAGE_BYTES_MAX: usize = 102_400;

/// Tags and fields of a test.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub tags: BTreeMap<String, String>,
    pub fields: BTreeMap<String, Json>,
    message: BTreeMap<String, Json>,
}

impl Outcome {
    /// One that has failed so far, with the tags of its task.
    pub fn new(common: &Common) -> Outcome {
        let mut outcome = Outcome::default();
        outcome.tag("name", &common.name);
        outcome.tag("status", "FAIL");
        outcome.field("success", Json::Int(-1));
        outcome
    }

    pub fn tag(&mut self, name: &str, value: impl Into<String>) {
        self.tags.insert(name.to_owned(), value.into());
    }

    pub fn field(&mut self, name: &str, value: Json) {
        self.fields.insert(name.to_owned(), value);
    }

    /// A part of the field `message`.
    pub fn message(&mut self, name: &str, value: Json) {
        self.message.insert(name.to_owned(), value);
    }

    pub fn failed(&self) -> bool {
        self.fields.contains_key("fail_reason")
    }

    /// The tags of the task itself, over those that stand so far.
    pub fn task_tags(&mut self, common: &Common) {
        for (name, value) in common.tags.iter() {
            self.tag(name, value);
        }
    }

    /// Says how it ended; `Err` is why it failed.
    pub fn verdict(&mut self, verdict: Result<(), String>) {
        match verdict {
            Ok(()) => {
                self.tag("status", "OK");
                self.field("success", Json::Int(1));
            }
            Err(reason) => {
                self.message("fail_reason", Json::text(reason.clone()));
                self.field("fail_reason", Json::Text(reason));
            }
        }
    }

    /// The rest of the fields: `message`, and what every task tells of itself.
    pub fn finish<T: Kind>(&mut self, task: &Task<T>) {
        let message = Json::Map(std::mem::take(&mut self.message)).render();
        let message = match message.as_bytes().get(..MESSAGE_BYTES_MAX) {
            Some(cut) => String::from_utf8_lossy(cut).into_owned(),
            None => message,
        };
        self.field("message", Json::Text(message));
        self.about(task);
    }

    /// `config_vars` without what is secret, and the task as it came.
    pub fn about<T: Kind>(&mut self, task: &Task<T>) {
        let shown = |variable: &ConfigVar| ConfigVar {
            name: variable.name.clone(),
            value: if variable.secure { String::new() } else { variable.value.clone() },
            secure: variable.secure,
            ..ConfigVar::default()
        };
        let mut list = Vec::new();
        List(Some(task.common.config_vars.items().iter().map(shown).collect())).encode(&mut list);
        self.field("config_vars", Json::Text(String::from_utf8_lossy(&list).into_owned()));
        self.field("task", Json::Text(task.raw()));
    }

    /// As one object: tags over fields.
    pub fn merged(self) -> BTreeMap<String, Json> {
        let mut all = self.fields;
        all.extend(self.tags.into_iter().map(|(name, value)| (name, Json::Text(value))));
        all
    }
}
