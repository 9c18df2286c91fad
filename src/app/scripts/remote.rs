//! The scripts of the workspace, from the destination.
//!
//! ```text
//! GET /v1/datakit/pull?token=…&remote_pipelines=true&ts=<update_time>&relation_ts=<relation_update_time>
//! {"remote_pipelines": {"update_time": 7, "pipelines": [{"category", "name", "base64text", "as_default"}],
//!                       "relation_update_time": 7, "relation": [{"category", "source", "name"}]}}
//! ```
//!
//! Times are versions: with another one than ours the list replaces what there was, an empty one too; with our own, and with a
//! negative one, nothing has changed. What was taken is kept in the data directory, so that a restart finds it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use crate::app::filters::name_of;
use crate::aside::forward::{Answer, Call, Failure};
use crate::config::secret::Endpoint;
use crate::config::{Destination, Settings};
use crate::metrics::filters::{PULL_CHANGED, PULL_FAILED, PULL_UNCHANGED};
use crate::pipeline::category::Category;
use crate::pipeline::store::{Namespace, Sources};
use crate::shard::Common;
use crate::shard::common::Live;

const PATH: &str = "/v1/datakit/pull";

/// More often would be a load on both sides.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// How long the destination may take to answer.
const PULL_TIMEOUT: Duration = Duration::from_secs(30);

/// An answer: thousands of scripts.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// How often the thread looks whether it is still wanted, and whether the configuration is another one.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How often errors of scripts are told of, one of each script.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// The file in the data directory. It holds no token.
const FILE: &str = "pipeline_remote.json";

/// An answer of the destination. Whatever else it holds is for others.
#[derive(Deserialize)]
struct Pulled {
    #[serde(default)]
    remote_pipelines: Option<Changes>,
}

/// A part that is absent has not changed.
#[derive(Deserialize)]
struct Changes {
    #[serde(default = "unchanged")]
    update_time: i64,
    #[serde(default)]
    pipelines: Option<Vec<RemoteScript>>,
    #[serde(default = "unchanged")]
    relation_update_time: i64,
    #[serde(default)]
    relation: Option<Vec<Related>>,
}

/// The time that says that nothing has changed.
fn unchanged() -> i64 {
    -1
}

/// What the workspace has, and whose it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remote {
    of: String,
    update_time: i64,
    pipelines: Vec<RemoteScript>,
    relation_update_time: i64,
    relation: Vec<Related>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct RemoteScript {
    name: String,
    base64text: String,
    category: String,
    as_default: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Related {
    category: String,
    source: String,
    name: String,
}

impl Remote {
    /// Takes what has changed; whether anything has.
    fn take(&mut self, body: &[u8]) -> Result<bool, String> {
        let pulled: Pulled =
            serde_json::from_slice(body).map_err(|error| format!("the answer cannot be read: {error}"))?;
        let Some(changes) = pulled.remote_pipelines else { return Ok(false) };
        let before = (self.update_time, self.relation_update_time);
        if changes.update_time >= 0 && changes.update_time != self.update_time {
            self.update_time = changes.update_time;
            self.pipelines = changes.pipelines.unwrap_or_default();
        }
        if changes.relation_update_time >= 0 && changes.relation_update_time != self.relation_update_time {
            self.relation_update_time = changes.relation_update_time;
            self.relation = changes.relation.unwrap_or_default();
        }
        Ok(before != (self.update_time, self.relation_update_time))
    }

    /// Adds what can be read of it; the rest is told of.
    pub fn add_to(&self, sources: &mut Sources) {
        for script in &self.pipelines {
            let name = with_ending(&script.name);
            let text =
                BASE64_STANDARD.decode(&script.base64text).ok().and_then(|text| String::from_utf8(text).ok());
            let (Some(category), Some(text)) = (Category::named(&script.category), text) else {
                tracing::warn!(
                    script = name,
                    category = script.category,
                    "a script of the workspace is no text"
                );
                continue;
            };
            sources.add(Namespace::Remote, category, &name, &text);
            if script.as_default {
                sources.defaults.insert(category, name);
            }
        }
        for Related { category, source, name } in &self.relation {
            if let Some(category) = Category::named(category) {
                sources.relation.entry(category).or_default().insert(source.clone(), name.clone());
            }
        }
    }
}

fn with_ending(name: &str) -> String {
    if name.ends_with(".p") { name.to_owned() } else { format!("{name}.p") }
}

/// Whom to ask; none where nobody is asked.
fn asked(settings: &Settings) -> Option<&Endpoint> {
    match &settings.destination {
        Destination::Dataway(dataway) => dataway.urls.first(),
        _ => None,
    }
}

/// What the destination has said before.
pub fn kept(settings: &Settings) -> Option<Remote> {
    let of = name_of(asked(settings)?);
    let path = settings.data_dir.join(FILE);
    let metadata = std::fs::metadata(&path).ok()?;
    if metadata.len() > 2 * ANSWER_BYTES_MAX as u64 {
        return None;
    }
    let text = std::fs::read(&path).ok()?;
    match serde_json::from_slice::<Remote>(&text) {
        Ok(kept) => (kept.of == of).then_some(kept),
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "the scripts of the last run cannot be read");
            None
        }
    }
}

fn keep(data_dir: &Path, remote: &Remote) -> io::Result<()> {
    let fresh = data_dir.join(format!("{FILE}.new"));
    std::fs::write(&fresh, serde_json::to_vec(remote)?)?;
    std::fs::rename(&fresh, data_dir.join(FILE))
}

/// Starts the thread that asks. It ends with the shards.
pub fn start(common: &Arc<Common>) -> io::Result<()> {
    let common = Arc::downgrade(common);
    let body = move || Puller { has_failed: false }.run(&common);
    std::thread::Builder::new().name("scripts".to_owned()).spawn(body).map(drop)
}

/// The body of an answer with status 200, or why there is none. Blocks.
fn ask(common: &Common, settings: &Settings, query: &str) -> Result<Vec<u8>, String> {
    let call = Call { query, ..Call::new("GET", PATH) };
    match common.desk.forward.call(settings, &call, PULL_TIMEOUT) {
        Ok(Answer { status: 200, body }) if body.len() <= ANSWER_BYTES_MAX => Ok(body),
        Ok(Answer { status: 200, .. }) => Err(format!("the answer is larger than {ANSWER_BYTES_MAX} bytes")),
        Ok(Answer { status, .. }) => Err(format!("it answered {status}")),
        Err(Failure::NoDestination) => Err("there is none".to_owned()),
        Err(Failure::Timeout) => Err("it does not answer in time".to_owned()),
        Err(Failure::Other(text)) => Err(text),
    }
}

struct Puller {
    /// The last time came to nothing, which was said.
    has_failed: bool,
}

impl Puller {
    fn run(mut self, common: &Weak<Common>) {
        let mut next: Option<Instant> = None;
        let mut before: Option<Endpoint> = None;
        let mut told = Instant::now();
        loop {
            let Some(common) = common.upgrade().filter(|common| !common.is_stopping()) else { return };
            let live = common.live_owned();
            let endpoint = asked(&live.settings).cloned();
            if endpoint != before {
                (next, before) = (None, endpoint.clone());
                self.has_failed = false;
            }
            if let Some(endpoint) = endpoint
                && next.is_none_or(|next| next <= Instant::now())
            {
                self.pull(&common, &live, &endpoint);
                next = Some(Instant::now() + interval(&live.settings));
            }
            if told.elapsed() >= TELL_INTERVAL {
                tell(&common);
                told = Instant::now();
            }
            drop((common, live));
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    fn pull(&mut self, common: &Common, live: &Live, endpoint: &Endpoint) {
        let started = Instant::now();
        let mut remote = kept(&live.settings).unwrap_or_default();
        remote.of = name_of(endpoint);
        let query = format!(
            "remote_pipelines=true&ts={}&relation_ts={}",
            remote.update_time, remote.relation_update_time
        );
        let pulled = ask(common, &live.settings, &query).and_then(|body| remote.take(&body));
        let elapsed_ns = started.elapsed().as_nanos() as u64;
        let result = match pulled {
            Ok(true) => {
                if let Err(error) = keep(&live.settings.data_dir, &remote) {
                    // Without the file nobody else finds them.
                    tracing::warn!(%error, "the scripts of the workspace cannot be kept, and are not put in force");
                }
                // Asking takes its time: whatever holds now may be another configuration.
                super::put_in_force(common, &common.live_owned());
                PULL_CHANGED
            }
            Ok(false) => PULL_UNCHANGED,
            Err(error) => {
                if !self.has_failed {
                    tracing::warn!(error, "no scripts from the destination; those that are there stay");
                }
                PULL_FAILED
            }
        };
        self.has_failed = result == PULL_FAILED;
        let stats = common.registry.scripts();
        if let Some(counter) = stats.pulls.get(result) {
            counter.add(1);
        }
        stats.pull_ns.add(elapsed_ns);
    }
}

fn interval(settings: &Settings) -> Duration {
    settings.pipeline.remote_pull_interval.max(INTERVAL_MIN)
}

/// Tells of scripts whose runs have ended with errors.
fn tell(common: &Common) {
    for script in common.registry.scripts().list() {
        if let Some(error) = script.take_error() {
            let (category, namespace, errors) = (script.category, script.namespace, script.read().errors);
            tracing::warn!(category, namespace, script = script.name, errors, error, "a script has failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_say_what_has_changed() {
        let mut remote = Remote::default();
        let answer = br#"{"remote_pipelines":{"update_time":5,"pipelines":[
            {"category":"logging","name":"nginx.p","base64text":"eCA9IDE=","as_default":true},
            {"category":"nothing","name":"a","base64text":"eCA9IDE="},
            {"category":"metric","name":"cpu","base64text":"@@"}],
            "relation_update_time":3,"relation":[{"category":"logging","source":"web","name":"nginx.p"}]}}"#;
        assert_eq!(remote.take(answer), Ok(true));
        let mut sources = Sources::default();
        remote.add_to(&mut sources);
        assert_eq!(sources.texts.len(), 1);
        let logging = &sources.texts[&(Namespace::Remote, Category::Logging)];
        assert_eq!(logging.get("nginx.p").map(String::as_str), Some("x = 1"));
        assert_eq!(sources.defaults[&Category::Logging], "nginx.p");
        assert_eq!(sources.relation[&Category::Logging]["web"], "nginx.p");
        for same in [
            &br#"{"content":{}}"#[..],
            br#"{"remote_pipelines":null}"#,
            br#"{"remote_pipelines":{"update_time":-1,"pipelines":null,"relation_update_time":-1}}"#,
            br#"{"remote_pipelines":{"update_time":5,"pipelines":[],"relation_update_time":3}}"#,
        ] {
            assert_eq!(remote.take(same), Ok(false));
            assert_eq!((remote.pipelines.len(), remote.relation.len()), (3, 1));
        }
        assert_eq!(remote.take(br#"{"remote_pipelines":{"update_time":6,"pipelines":[]}}"#), Ok(true));
        assert_eq!((remote.pipelines.len(), remote.relation.len()), (0, 1));
        assert!(remote.take(b"5").is_err() && remote.take(b"no").is_err());
    }
}
