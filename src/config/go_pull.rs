//! `[intake.profiling.go.<name>]`: Go programs whose profiles are fetched, each a table under a name of its own.

use std::path::PathBuf;
use std::time::Duration;

use super::read::{Problem, Written, nearest};
use super::schema::{Kind, Table, example, table};
use super::secret::Endpoint;

/// The tables of all programs are below this one.
pub(super) const PATH: &str = "intake.profiling.go";

/// The profiles that can be fetched.
pub const PROFILES: [&str; 5] = ["cpu", "goroutine", "heap", "mutex", "block"];

/// DataKit's least: a CPU profile takes as long.
const INTERVAL_MIN: Duration = Duration::from_secs(10);

/// Programs: each has a thread of its own.
pub const PROGRAMS_MAX: usize = 64;

/// Tags of one program.
const TAGS_MAX: usize = 32;

/// The keys. They say defaults in words: a table with anything in it is a program to fetch from.
pub(super) const TABLE: Table = table(
    "intake.profiling.go.app",
    "A Go program with net/http/pprof, whose profiles are fetched. Any name in place of app, one table for each program.",
    &[
        example("url", Kind::Text, "\"http://127.0.0.1:6060\"", "Where it listens; its path is ignored."),
        example(
            "enabled_types",
            Kind::TextList,
            "[\"cpu\", \"goroutine\", \"heap\", \"mutex\", \"block\"]",
            "What is fetched. Without it: nothing.",
        ),
        example(
            "interval",
            Kind::Time { zero: false },
            "\"10s\"",
            "How often; 10 s is the least and the default.",
        ),
        example("service", Kind::Text, "\"shop\"", ""),
        example("env", Kind::Text, "\"prod\"", ""),
        example("version", Kind::Text, "\"1.2.3\"", ""),
        example(
            "tls_open",
            Kind::Bool,
            "false",
            "Whether the files below are used, or certificates are not checked.",
        ),
        example(
            "tls_ca",
            Kind::Text,
            "\"/etc/kitgate/app-ca.crt\"",
            "The authority of its certificate, in PEM. Without it: the machine's.",
        ),
        example("tls_cert", Kind::Text, "\"/etc/kitgate/app.crt\"", "A certificate to show, in PEM."),
        example("tls_key", Kind::Text, "\"/etc/kitgate/app.key\"", "Its key, in PEM."),
        example("insecure_skip_verify", Kind::Bool, "false", "Do not check its certificate."),
    ],
);

pub(super) const TAGS: Table = Table {
    path: "intake.profiling.go.app.tags",
    free: true,
    lists: false,
    keys: &[example("team", Kind::Text, "\"core\"", "")],
    help: "Tags of its profiles.",
};

/// A Go program whose profiles are fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct GoPull {
    /// Of its table.
    pub name: String,
    pub url: Endpoint,
    pub interval: Duration,
    pub service: String,
    pub env: String,
    pub version: String,
    /// Of [`PROFILES`], in the order in which they are fetched; not empty.
    pub enabled_types: Vec<&'static str>,
    pub tls_open: bool,
    pub tls_ca: Option<PathBuf>,
    /// A certificate and its key.
    pub tls_cert: Option<(PathBuf, PathBuf)>,
    pub insecure_skip_verify: bool,
    pub tags: Vec<(String, String)>,
}

/// What was written, and what there is to say of it.
pub(super) struct Reports<'a> {
    written: &'a Written,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl<'a> Reports<'a> {
    pub(super) fn new(written: &'a Written) -> Reports<'a> {
        Reports { written, problems: Vec::new(), warnings: Vec::new() }
    }

    /// Problems and warnings.
    pub(super) fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.problems, self.warnings)
    }

    /// Names of programs, and of tags, are not in the schema.
    fn said(&self, key: &str, text: impl AsRef<str>) -> Problem {
        Problem { line: self.written.line_of(key), text: format!("{key} {}", text.as_ref()) }
    }

    fn problem(&mut self, key: &str, text: impl AsRef<str>) {
        self.problems.push(self.said(key, text));
    }

    fn warning(&mut self, key: &str, text: impl AsRef<str>) {
        self.warnings.push(self.said(key, text));
    }
}

/// The programs, in the order of their names.
pub(super) fn go_pulls(reports: &mut Reports<'_>) -> Vec<GoPull> {
    let names = reports.written.names(PATH);
    if names.len() > PROGRAMS_MAX {
        reports.problem(PATH, format!("must hold at most {PROGRAMS_MAX} tables"));
    }
    names.iter().filter_map(|name| go_pull(name, reports)).collect()
}

fn go_pull(name: &str, reports: &mut Reports<'_>) -> Option<GoPull> {
    let written = reports.written;
    let key = |key: &str| format!("{PATH}.{name}.{key}");
    let text = |of: &str| written.text(&key(of)).unwrap_or_default();
    let truth = |of: &str| written.bool(&key(of)).unwrap_or(false);
    let file = |of: &str| written.text(&key(of)).filter(|path| !path.is_empty()).map(PathBuf::from);

    let url = match written.text(&key("url")).map(|url| Endpoint::parse(&url)) {
        Some(Ok(url)) => Some(url),
        Some(Err(error)) => {
            reports.problem(&key("url"), format!("is no URL: {error}"));
            None
        }
        None => {
            reports.problem(&key("url"), "is missing: where does the program listen?");
            None
        }
    };
    let mut interval = written.time(&key("interval")).unwrap_or(INTERVAL_MIN);
    if interval < INTERVAL_MIN {
        reports.warning(&key("interval"), "is less than 10s, and 10s is used");
        interval = INTERVAL_MIN;
    }
    let mut enabled_types = Vec::new();
    for word in written.list(&key("enabled_types")).unwrap_or_default() {
        match PROFILES.into_iter().find(|known| *known == word) {
            Some(known) if !enabled_types.contains(&known) => enabled_types.push(known),
            Some(_) => {}
            None => {
                let hint = nearest(&word, PROFILES.into_iter());
                let hint = hint.map(|known| format!("; did you mean {known:?}?")).unwrap_or_default();
                let text = format!("must hold some of {}, not {word:?}{hint}", PROFILES.join(", "));
                reports.problem(&key("enabled_types"), text);
            }
        }
    }
    if written.list(&key("enabled_types")).unwrap_or_default().is_empty() {
        reports.warning(&key("enabled_types"), "names nothing: no profile is fetched");
    }
    let (tls_open, insecure_skip_verify) = (truth("tls_open"), truth("insecure_skip_verify"));
    let tls_ca = file("tls_ca");
    let tls_cert = match (file("tls_cert"), file("tls_key")) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            reports.problem(&key("tls_cert"), "needs tls_key too");
            None
        }
        (None, Some(_)) => {
            reports.problem(&key("tls_key"), "needs tls_cert too");
            None
        }
    };
    for of in ["tls_ca", "tls_cert", "tls_key", "insecure_skip_verify"] {
        if !tls_open && written.line(&key(of)).is_some() {
            reports.warning(&key(of), "is not used: tls_open is false");
        }
    }
    if tls_open && url.as_ref().is_some_and(|url| !url.tls) {
        reports.warning(&key("tls_open"), "does nothing for a URL that begins with http://");
    }
    let tags = written.tags(&key("tags"));
    if tags.len() > TAGS_MAX {
        reports.problem(&key("tags"), format!("must hold at most {TAGS_MAX} tags"));
    }
    // They travel as `key:value,key:value`.
    let of_service = ["service", "env", "version"].map(|of| (of.to_owned(), text(of)));
    for (tag, value) in tags.iter().chain(&of_service) {
        if tag.is_empty() || tag.contains([':', ',']) || value.contains(',') {
            reports.problem(
                &key("tags"),
                format!("has {tag:?}, which may hold no comma, and no colon in its name"),
            );
        }
    }
    let [(_, service), (_, env), (_, version)] = of_service;
    (!enabled_types.is_empty()).then_some(())?;
    Some(GoPull {
        name: name.to_owned(),
        url: url?,
        interval,
        service,
        env,
        version,
        enabled_types,
        tls_open,
        tls_ca,
        tls_cert,
        insecure_skip_verify,
        tags,
    })
}

#[cfg(test)]
mod tests {
    use super::super::read::read;
    use super::*;

    fn of(text: &str) -> (Vec<GoPull>, Vec<String>, Vec<String>) {
        let (written, mut problems) = read(text, &|_| None);
        let mut reports = Reports::new(&written);
        let pulls = go_pulls(&mut reports);
        problems.extend(reports.problems);
        let texts = |said: &[Problem]| said.iter().map(|said| said.to_string().trim().to_owned()).collect();
        (pulls, texts(&problems), texts(&reports.warnings))
    }

    #[test]
    fn programs_have_names_of_their_own() {
        let (pulls, problems, warnings) = of(r#"
            [intake.profiling.go.shop-1]
            url = "https://10.0.0.7:6060/ignored"
            interval = "30s"
            service = "shop"
            env = "prod"
            version = "1.2"
            enabled_types = ["heap", "cpu", "heap"]
            tls_open = true
            tls_ca = "/a/ca.crt"
            tls_cert = "/a/x.crt"
            tls_key = "/a/x.key"
            [intake.profiling.go.shop-1.tags]
            team = "core"
            [intake.profiling.go.empty]
            [intake.profiling.go.app]
            url = "http://localhost:6060"
            enabled_types = ["goroutine"]
        "#);
        assert_eq!((problems, warnings), (Vec::new(), Vec::new()));
        assert_eq!(pulls.len(), 2);
        let (app, shop) = (&pulls[0], &pulls[1]);
        assert_eq!((app.name.as_str(), app.interval), ("app", INTERVAL_MIN));
        assert_eq!((app.url.to_string().as_str(), app.tls_open), ("http://localhost:6060", false));
        assert_eq!((shop.name.as_str(), shop.url.to_string().as_str()), ("shop-1", "https://10.0.0.7:6060"));
        assert_eq!(shop.enabled_types, ["heap", "cpu"]);
        assert_eq!(shop.tags, [("team".to_owned(), "core".to_owned())]);
        assert_eq!(shop.tls_cert, Some(("/a/x.crt".into(), "/a/x.key".into())));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let problem = |text: &str| of(&format!("[intake.profiling.go.a]\n{text}")).1.join("; ");
        const URL: &str = "url = \"http://h:6060\"\n";
        assert_eq!(
            problem("service = \"x\""),
            "intake.profiling.go.a.url is missing: where does the program listen?"
        );
        assert_eq!(
            problem("url = \"h:6060\""),
            "2: intake.profiling.go.a.url is no URL: a URL must begin with http:// or https://"
        );
        assert_eq!(
            problem(&format!("{URL}enabled_types = [\"heapp\"]")),
            "3: intake.profiling.go.a.enabled_types must hold some of cpu, goroutine, heap, mutex, block, not \"heapp\"; \
             did you mean \"heap\"?"
        );
        assert_eq!(
            problem(&format!("{URL}tls_cert = \"x\"")),
            "3: intake.profiling.go.a.tls_cert needs tls_key too"
        );
        assert!(problem(&format!("{URL}tags = {{ a = \"b,c\" }}")).contains("may hold no comma"));
        assert_eq!(
            problem("urll = \"x\""),
            "2: unknown key \"urll\" in [intake.profiling.go.a]; did you mean \"url\"?"
        );
        let direct = of("[intake.profiling.go]\nurl = \"http://h\"").1.join("; ");
        assert_eq!(direct, "2: intake.profiling.go.url must be a table, not text");
        let dotted = of("[intake.profiling.go.\"a.b\"]\nurl = \"http://h\"").1.join("; ");
        assert_eq!(dotted, "1: \"a.b\" in [intake.profiling.go] must be a name of letters, digits, - and _");
    }

    #[test]
    fn what_is_doubtful_is_said_and_taken() {
        let text = "[intake.profiling.go.a]\nurl = \"http://h\"\ninterval = \"2s\"\nenabled_types = [\"cpu\"]\ntls_ca = \"x\"";
        let (pulls, problems, warnings) = of(text);
        assert_eq!((pulls[0].interval, problems), (INTERVAL_MIN, Vec::new()));
        let expected = [
            "3: intake.profiling.go.a.interval is less than 10s, and 10s is used",
            "5: intake.profiling.go.a.tls_ca is not used: tls_open is false",
        ];
        assert_eq!(warnings, expected);
        let (pulls, problems, warnings) = of("[intake.profiling.go.a]\nurl = \"http://h\"");
        assert_eq!((pulls, problems), (Vec::new(), Vec::new()));
        assert_eq!(warnings, ["intake.profiling.go.a.enabled_types names nothing: no profile is fetched"]);
    }
}
