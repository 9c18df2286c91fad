//! What a profile says of itself: its tags, its language, and the time it is of.
//!
//! New clients say it in a file `event.json`, old ones in plain values of the form; Pyroscope's in the query and in labels.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// Bytes of `event.json`: recorded ones have two to three thousand, those with counts of many endpoints some ten thousand.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// Tags of a profile. Clients send some twenty.
pub const TAGS_MAX: usize = 256;

/// What a profile says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// In the order of the client, every key once.
    tags: Vec<(String, String)>,
    /// What else `event.json` holds.
    event: Map<String, Value>,
}

impl Metadata {
    /// As old clients say it: repeated `tags[]`, each `key:value`, and other plain values.
    pub fn from_values<'a>(values: impl Iterator<Item = (&'a str, &'a str)>) -> Metadata {
        let mut metadata = Metadata::default();
        let mut others = Vec::new();
        for (name, value) in values {
            match name {
                "tags[]" | "tags" => metadata.add_pairs(value),
                _ => others.push((name, value)),
            }
        }
        for (name, value) in others {
            match name {
                // When it was is not what it is.
                "recording-start" => drop(metadata.event.insert("start".to_owned(), value.into())),
                "recording-end" => drop(metadata.event.insert("end".to_owned(), value.into())),
                _ => drop(metadata.add(name, value)),
            }
        }
        metadata
    }

    /// As `event.json` says it.
    pub fn from_event(json: &[u8]) -> Result<Metadata, String> {
        if json.len() > EVENT_BYTES_MAX {
            return Err(format!("event.json has more than {EVENT_BYTES_MAX} bytes"));
        }
        let event = serde_json::from_slice(json).map_err(|error| format!("event.json: {error}"))?;
        let mut metadata = Metadata { tags: Vec::new(), event };
        if let Some(Value::String(tags)) = metadata.event.remove("tags_profiler") {
            metadata.add_pairs(&tags);
        }
        Ok(metadata)
    }

    /// From tags alone.
    pub fn from_tags(tags: impl IntoIterator<Item = (String, String)>) -> Metadata {
        let mut metadata = Metadata::default();
        for (key, value) in tags {
            metadata.add(&key, &value);
        }
        metadata
    }

    pub fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.event.is_empty()
    }

    fn add_pairs(&mut self, pairs: &str) {
        for pair in pairs.split(',') {
            if let Some((key, value)) = pair.split_once(':') {
                self.add(key.trim(), value.trim());
            }
        }
    }

    /// Adds a tag, unless there is one of that key. What comes past [`TAGS_MAX`] is left out.
    pub fn add(&mut self, key: &str, value: &str) -> bool {
        let fits = !key.is_empty() && self.tags.len() < TAGS_MAX && self.tag(key).is_none();
        if fits {
            self.tags.push((key.to_owned(), value.to_owned()));
        }
        fits
    }

    /// Sets a tag, whatever it was. False: it was that.
    pub fn set(&mut self, key: &str, value: &str) -> bool {
        match self.tags.iter_mut().find(|(there, _)| there == key) {
            None => self.add(key, value),
            Some((_, there)) if there == value => false,
            Some((_, there)) => {
                value.clone_into(there);
                true
            }
        }
    }

    pub fn remove(&mut self, key: &str) {
        self.tags.retain(|(there, _)| there != key);
    }

    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|(there, _)| there == key).map(|(_, value)| value.as_str())
    }

    pub fn tags(&self) -> &[(String, String)] {
        &self.tags
    }

    /// A text of the event, if it has no such tag.
    fn text(&self, key: &str) -> Option<&str> {
        self.tag(key).or_else(|| self.event.get(key)?.as_str())
    }

    /// What the program is written in, in the destination's words; "unknown" where that is not known.
    pub fn language(&self) -> &'static str {
        let said = ["language", "runtime", "family"].into_iter().filter_map(|key| self.text(key));
        said.filter_map(language_of).next().unwrap_or(UNKNOWN)
    }

    pub fn set_language(&mut self, language: &str) {
        self.event.insert("language".to_owned(), language.into());
    }

    /// Who took it, if that is said.
    pub fn profiler(&self) -> &str {
        self.text("profiler").unwrap_or_default()
    }

    /// When it begins and when it ends, in nanoseconds since 1970.
    pub fn span_ns(&self) -> Option<(i64, i64)> {
        let at = |key: &str| {
            let text = self.event.get(key)?.as_str()?;
            i64::try_from(text.parse::<Timestamp>().ok()?.as_nanosecond()).ok()
        };
        Some((at("start")?, at("end")?))
    }

    pub fn set_span(&mut self, start_ns: i64, end_ns: i64) {
        for (key, ns) in [("start", start_ns), ("end", end_ns)] {
            if let Ok(time) = Timestamp::from_nanosecond(i128::from(ns)) {
                self.event.insert(key.to_owned(), time.to_string().into());
            }
        }
    }

    /// `event.json` as the destination wants it: what the client said, and in it what the destination goes by.
    pub fn event_json(&self, profiler: &str, format: &str, attachments: &[String]) -> Vec<u8> {
        let mut event = self.event.clone();
        let tags: Vec<String> = self.tags.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        for (key, value) in [
            ("format", Value::from(format)),
            ("profiler", profiler.into()),
            ("attachments", attachments.into()),
            ("language", self.language().into()),
            ("tags_profiler", tags.join(",").into()),
        ] {
            event.insert(key.to_owned(), value);
        }
        Value::Object(event).to_string().into_bytes()
    }

    /// Tags that a client wants on everything that is made of its profile: `k:v,k:v`.
    pub fn sub_custom_tags(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = self.text("sub_custom_tags").unwrap_or_default();
        text.split(',').filter_map(|pair| pair.split_once(':')).map(|(key, value)| (key.trim(), value.trim()))
    }
}

pub const UNKNOWN: &str = "unknown";

/// What stands for a language in what clients say. Of several that are found the longest counts: `javascript` is not Java.
const LANGUAGES: [(&str, &str); 23] = [
    ("javascript", "nodejs"),
    ("nodejs", "nodejs"),
    ("node.js", "nodejs"),
    ("node", "nodejs"),
    ("js", "nodejs"),
    ("java", "java"),
    ("jvm", "java"),
    ("kotlin", "java"),
    ("scala", "java"),
    ("python", "python"),
    ("ruby", "ruby"),
    ("php", "php"),
    ("dotnet", "dotnet"),
    (".net", "dotnet"),
    ("c#", "dotnet"),
    ("csharp", "dotnet"),
    ("golang", "golang"),
    ("go", "golang"),
    ("cpp", "cpp"),
    ("c++", "cpp"),
    ("cplusplus", "cpp"),
    ("rust", "rust"),
    ("pyroscope-rs", "rust"),
];

/// The language that a word names.
pub fn language_of(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let found = LANGUAGES.iter().filter(|(part, _)| word.contains(part));
    found.max_by_key(|(part, _)| part.len()).map(|(_, language)| *language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_found_in_what_clients_say() {
        for (word, expected) in [
            ("javascript", Some("nodejs")),
            ("NodeJS", Some("nodejs")),
            ("JVM", Some("java")),
            ("openjdk java", Some("java")),
            ("CPython", Some("python")),
            (".NET", Some("dotnet")),
            ("go", Some("golang")),
            ("c++", Some("cpp")),
            ("pyroscope-rs", Some("rust")),
            ("cobol", None),
            ("", None),
        ] {
            assert_eq!(language_of(word), expected, "{word}");
        }
        let runtime = Metadata::from_tags([("runtime".to_owned(), "CPython".to_owned())]);
        assert_eq!(runtime.language(), "python");
        assert_eq!(Metadata::default().language(), UNKNOWN);
    }

    #[test]
    fn events_are_read_and_written() {
        let json = br#"{"version":"4","family":"go","attachments":["cpu.pprof"],"endpoint_counts":{"/a":3},
            "tags_profiler":"service:shop,env:prod,url:http://a:80,service:other,nothing, host : h1 ",
            "start":"2026-11-21T23:16:52Z","end":"2026-11-21T23:17:52.5Z"}"#;
        let mut metadata = Metadata::from_event(json).unwrap();
        let tags = [("service", "shop"), ("env", "prod"), ("url", "http://a:80"), ("host", "h1")];
        assert_eq!(metadata.tags(), tags.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let (start, end) = metadata.span_ns().unwrap();
        assert_eq!((start, end - start), (1_795_303_012_000_000_000, 60_500_000_000));
        assert!(!metadata.add("host", "h2") && metadata.add("team", "core"));
        assert!(metadata.set("env", "test") && !metadata.set("env", "test"));
        let event: Value =
            serde_json::from_slice(&metadata.event_json("", "pprof", &["cpu.pprof".to_owned()])).unwrap();
        assert_eq!(event["tags_profiler"], "service:shop,env:test,url:http://a:80,host:h1,team:core");
        assert_eq!((&event["language"], &event["format"]), (&"golang".into(), &"pprof".into()));
        assert_eq!(event["endpoint_counts"]["/a"], 3);
        assert_eq!(event["start"], "2026-11-21T23:16:52Z");
        assert!(Metadata::from_event(b"[]").is_err() && Metadata::from_event(b"{\"a\":").is_err());
    }

    #[test]
    fn old_clients_say_it_in_values() {
        let values = [
            ("runtime", "node"),
            ("tags[]", "service:shop"),
            ("tags[]", "runtime:ignored"),
            ("recording-start", "2026-11-21T23:16:52Z"),
            ("recording-end", "2026-11-21T23:17:52Z"),
            ("format", "pprof"),
        ];
        let metadata = Metadata::from_values(values.into_iter());
        assert_eq!(metadata.tag("service"), Some("shop"));
        assert_eq!(metadata.tag("runtime"), Some("ignored"));
        assert_eq!(metadata.tag("format"), Some("pprof"));
        let (start, end) = metadata.span_ns().unwrap();
        assert_eq!(end - start, 60_000_000_000);
    }

    #[test]
    fn tags_are_bounded() {
        let many: String = (0..TAGS_MAX + 9).map(|n| format!("k{n}:v,")).collect();
        let metadata = Metadata::from_values([("tags[]", many.as_str())].into_iter());
        assert_eq!(metadata.tags().len(), TAGS_MAX);
    }
}
