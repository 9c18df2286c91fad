//! Puts filters in force: those of the configuration, or else those that the first destination has for its workspace, which
//! is asked for them at the start and every half minute, or as often as it says.
//!
//! What a destination has said is kept in the data directory, so that after a restart the first point already meets it,
//! whether the destination answers or not. A destination that cannot be asked, and an answer that is none, leave the
//! rules that there are; of an answer that is one, texts that are no rules are left out and the others hold.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::aside::forward::{Answer, Call, Failure};
use crate::config::secret::Endpoint;
use crate::config::{Destination, Settings};
use crate::metrics::filters::{PULL_CHANGED, PULL_FAILED, PULL_UNCHANGED};
use crate::point::Category;
use crate::point::filter::FilterSet;

use crate::shard::Common;
use crate::shard::common::Live;

/// Where rules are asked for.
const PATH: &str = "/v1/datakit/pull";
const QUERY: &str = "filters=true";

/// DataKit's interval, while the destination names none.
const INTERVAL: Duration = Duration::from_secs(30);
/// What a destination may ask for: more often is a load on both sides, more seldom is a slip of its pen.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// How long the destination may take to answer.
const PULL_TIMEOUT: Duration = Duration::from_secs(30);

/// An answer. Rules that people write come to some kilobytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// How often the thread looks whether it is still wanted, and whether the configuration is another one.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The file in the data directory. It holds no token.
const FILE: &str = "filters.json";

/// An answer of the destination. Whatever else it holds is for others.
#[derive(Debug, Deserialize)]
struct Rules {
    /// Absent or null: none.
    #[serde(default)]
    filters: Option<std::collections::BTreeMap<String, Option<Vec<String>>>>,
    /// Nanoseconds.
    #[serde(default)]
    pull_interval: Option<i64>,
}

impl Rules {
    fn read(body: &[u8]) -> Result<Rules, String> {
        serde_json::from_slice(body).map_err(|error| format!("the answer cannot be read: {error}"))
    }

    fn interval(&self) -> Option<Duration> {
        let ns = self.pull_interval.and_then(|ns| u64::try_from(ns).ok()).filter(|ns| *ns > 0)?;
        Some(Duration::from_nanos(ns).clamp(INTERVAL_MIN, INTERVAL_MAX))
    }

    fn rules(&self) -> Vec<(&str, &[String])> {
        let filters = self.filters.iter().flatten();
        filters.map(|(category, rules)| (category.as_str(), rules.as_deref().unwrap_or_default())).collect()
    }
}

/// What is kept: whose rules they are, and the answer that brought them.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    of: String,
    #[serde(borrow)]
    answer: &'a RawValue,
}

/// Whom to ask; none where nobody is asked.
fn asked(settings: &Settings) -> Option<&Endpoint> {
    match &settings.destination {
        Destination::Dataway(dataway) if settings.filters.remote && settings.filters.local.is_empty() => {
            dataway.urls.first()
        }
        _ => None,
    }
}

/// Stands for a destination and its token, which cannot be read from it.
pub(super) fn name_of(endpoint: &Endpoint) -> String {
    /// FNV-1a, 64 bits.
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let text = format!("{}{}", endpoint.authority(), endpoint.target("/").expose());
    let hash = text.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    format!("{hash:016x}")
}

/// Puts the rules in force that are there without asking anybody: before the first request, and when the configuration has
/// changed.
pub fn put_in_force(common: &Common, live: &Live) {
    let settings = &live.settings;
    if !settings.filters.local.is_empty() {
        let rules = settings.filters.local.iter().map(|(category, rules)| (&**category, &**rules));
        return apply(common, live, rules);
    }
    let kept = asked(settings).and_then(|endpoint| kept(&settings.data_dir, endpoint));
    match kept {
        Some(answer) => apply(common, live, answer.rules()),
        None => apply(common, live, []),
    }
}

fn apply<'r>(common: &Common, live: &Live, rules: impl IntoIterator<Item = (&'r str, &'r [String])>) {
    let loaded = FilterSet::load(rules);
    loaded.problems.iter().for_each(|problem| tracing::warn!(problem, "filters"));
    let stats = common.registry.filters();
    for category in Category::ALL {
        stats.rules[category.index()].set(loaded.set.of(category).len() as u64);
    }
    stats.refused_rules.set(loaded.refused as u64);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    stats.updated(now.as_secs());
    if !loaded.set.is_empty() {
        tracing::info!(rules = loaded.set.len(), left_out = loaded.refused, "filters are in force");
    }
    live.intake.filters.store(loaded.set);
}

/// What a destination has said before.
fn kept(data_dir: &Path, endpoint: &Endpoint) -> Option<Rules> {
    let path = data_dir.join(FILE);
    let text = match std::fs::metadata(&path) {
        Ok(metadata) if metadata.len() > 2 * ANSWER_BYTES_MAX as u64 => return None,
        Ok(_) => std::fs::read(&path).ok()?,
        Err(_) => return None,
    };
    let kept: Kept<'_> = match serde_json::from_slice(&text) {
        Ok(kept) => kept,
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "the filters of the last run cannot be read");
            return None;
        }
    };
    (kept.of == name_of(endpoint)).then(|| Rules::read(kept.answer.get().as_bytes()).ok())?
}

fn keep(data_dir: &Path, endpoint: &Endpoint, body: &[u8]) -> io::Result<()> {
    let answer: &RawValue = serde_json::from_slice(body)?;
    let text = serde_json::to_vec(&Kept { of: name_of(endpoint), answer })?;
    let fresh: PathBuf = data_dir.join(format!("{FILE}.new"));
    std::fs::write(&fresh, text)?;
    std::fs::rename(&fresh, data_dir.join(FILE))
}

/// Starts the thread that asks. It ends with the shards.
pub fn start(common: &Arc<Common>) -> io::Result<()> {
    let common = Arc::downgrade(common);
    let body = move || Puller { last: None, interval: INTERVAL, has_failed: false }.run(&common);
    std::thread::Builder::new().name("filters".to_owned()).spawn(body).map(drop)
}

/// The body of an answer with status 200, or why there is none. Blocks.
fn ask(common: &Common, settings: &Settings) -> Result<Vec<u8>, String> {
    let call = Call { query: QUERY, ..Call::new("GET", PATH) };
    match common.desk.forward.call(settings, &call, PULL_TIMEOUT) {
        Ok(Answer { status: 200, body }) => Ok(body),
        Ok(Answer { status, .. }) => Err(format!("it answered {status}")),
        Err(Failure::NoDestination) => Err("there is none".to_owned()),
        Err(Failure::Timeout) => Err("it does not answer in time".to_owned()),
        Err(Failure::Other(text)) => Err(text),
    }
}

struct Puller {
    /// Who was asked last, and the body of the last answer that was one.
    last: Option<(Endpoint, Vec<u8>)>,
    interval: Duration,
    /// The last time came to nothing, which was said.
    has_failed: bool,
}

impl Puller {
    fn run(mut self, common: &Weak<Common>) {
        let mut next: Option<Instant> = None;
        let mut before: Option<Endpoint> = None;
        loop {
            let Some(common) = common.upgrade().filter(|common| !common.is_stopping()) else { return };
            let live = common.live_owned();
            let endpoint = asked(&live.settings).cloned();
            if endpoint != before {
                (next, before) = (None, endpoint.clone());
                (self.last, self.interval, self.has_failed) = (None, INTERVAL, false);
            }
            if let Some(endpoint) = endpoint
                && next.is_none_or(|next| next <= Instant::now())
            {
                self.pull(&common, &live, &endpoint);
                next = Some(Instant::now() + self.interval);
            }
            drop((common, live));
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    fn pull(&mut self, common: &Common, live: &Live, endpoint: &Endpoint) {
        let started = Instant::now();
        let pulled = ask(common, &live.settings).and_then(|body| self.take(common, live, endpoint, body));
        let elapsed_ns = started.elapsed().as_nanos() as u64;
        let result = match pulled {
            Ok(true) => PULL_CHANGED,
            Ok(false) => PULL_UNCHANGED,
            Err(error) => {
                if !self.has_failed {
                    tracing::warn!(error, "no filters from the destination; those that are there stay");
                }
                PULL_FAILED
            }
        };
        self.has_failed = result == PULL_FAILED;
        common.registry.filters().pulled(result, elapsed_ns);
    }

    /// Puts the rules of an answer in force, unless they are already.
    fn take(
        &mut self,
        common: &Common,
        live: &Live,
        endpoint: &Endpoint,
        body: Vec<u8>,
    ) -> Result<bool, String> {
        if body.len() > ANSWER_BYTES_MAX {
            return Err(format!("the answer is larger than {ANSWER_BYTES_MAX} bytes"));
        }
        if self.last.as_ref().is_some_and(|(_, last)| *last == body) {
            return Ok(false);
        }
        let answer = Rules::read(&body)?;
        self.interval = answer.interval().unwrap_or(self.interval);
        // Asking takes its time: whatever holds now holds for another destination, or has rules of its own.
        let now = common.live_owned();
        if asked(&now.settings) != Some(endpoint) {
            return Ok(false);
        }
        apply(common, &now, answer.rules());
        if let Err(error) = keep(&live.settings.data_dir, endpoint, &body) {
            tracing::warn!(%error, "the filters cannot be kept for the next start");
        }
        self.last = Some((endpoint.clone(), body));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_come() {
        let read = |text: &str| Rules::read(text.as_bytes());
        for text in ["{}", "{\"content\":{}}", "{\"filters\":null}", "{\"filters\":{\"logging\":null}}"] {
            let answer = read(text).unwrap();
            assert!(answer.rules().iter().all(|(_, rules)| rules.is_empty()) && answer.interval().is_none());
        }
        let answer =
            read("{\"filters\":{\"logging\":[\"{}\"],\"x\":[]},\"pull_interval\":10000000000,\"kv\":1}")
                .unwrap();
        assert_eq!(answer.rules()[0], ("logging", &["{}".to_owned()][..]));
        assert_eq!(answer.interval(), Some(Duration::from_secs(10)));
        let interval = |ns: i64| read(&format!("{{\"pull_interval\":{ns}}}")).unwrap().interval();
        assert_eq!((interval(0), interval(-1)), (None, None));
        assert_eq!((interval(1), interval(i64::MAX)), (Some(INTERVAL_MIN), Some(INTERVAL_MAX)));
        for text in ["", "no", "{\"filters\":[]}", "{\"filters\":{\"logging\":\"{}\"}}"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_kept_belongs_to_one_destination_and_holds_no_token() {
        let dir = tempfile::tempdir().unwrap();
        let endpoint =
            |token: &str| Endpoint::parse(&format!("http://127.0.0.1:9?token=tkn_{token}")).unwrap();
        assert!(kept(dir.path(), &endpoint("one")).is_none());
        keep(dir.path(), &endpoint("one"), b"{\"filters\": {\"rum\": [\"{}\"]}}").unwrap();
        assert_eq!(kept(dir.path(), &endpoint("one")).unwrap().rules().len(), 1);
        assert!(kept(dir.path(), &endpoint("two")).is_none());
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(!text.contains("tkn_"), "{text}");
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(kept(dir.path(), &endpoint("one")).is_none());
    }
}
