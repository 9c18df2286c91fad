//! The tree checks its own manners: who may import whom, where `unsafe` and the runtime may be named, how files open
//! and how long they get.
//!
//! Code is looked at with comments and texts blanked out and without its test modules, which may import anything.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Past this a file holds more than one concept; a table of tests may be longer.
const LINES_MAX: usize = 700;
const TEST_LINES_MAX: usize = 1_000;

/// The tiers, highest first. A folder imports only from tiers below its own; `rt` is named only by the upper two.
const TIERS: [&[&str]; 5] = [
    &["main", "app", "shard"],
    &["net", "spool", "upload", "admin", "aside"],
    &["intake", "pipeline", "sink"],
    &["http1", "codec", "point", "ring"],
    &["buf", "simd", "limits", "metrics", "config", "rt"],
];

/// Imports inside one tier that the design has.
const ALLOWED: &[(&str, &str)] = &[
    ("main", "app"),
    ("app", "shard"),
    ("upload", "spool"),
    // What is decoded meets its scripts while it is encoded.
    ("intake", "pipeline"),
    // TLS towards others is set up in one place.
    ("aside", "upload"),
    // Tools look into spools and dead letters, and say what is to be done with them.
    ("admin", "spool"),
    ("admin", "upload"),
    // Points are encoded straight from the spans the parser found; codec in turn knows no points.
    ("point", "codec"),
    // The copies rely on the padding that buf promises.
    ("simd", "buf"),
];

/// Imports the tiers would allow and the design does not.
const FORBIDDEN: &[(&str, &str)] = &[
    ("net", "intake"),
    ("net", "sink"),
    ("net", "point"),
    ("net", "codec"),
    ("spool", "point"),
    ("spool", "codec"),
    ("spool", "intake"),
    ("spool", "sink"),
    ("upload", "intake"),
    ("intake", "ring"),
    ("sink", "ring"),
];

/// Everyone may read a bound.
const COMMON: &str = "limits";

/// Where `unsafe` may stand.
const UNSAFE_IN: [&str; 5] = ["simd/", "ring/", "buf/", "rt/", "codec/line_protocol/"];
/// How far above `unsafe` its reason may begin.
const SAFETY_LINES: usize = 12;

/// What the three lower tiers do not have: files, threads, clocks, sockets.
const IMPURE: [&str; 9] = [
    "std::fs",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "File::open",
];

/// What has no place in any source, in two halves so that this file does not name it.
const BANNED: [(&str, &str); 6] =
    [("todo", "!("), ("unimplemented", "!("), ("dbg", "!("), ("/wo", "rk/"), ("/ro", "ot/"), ("FIX", "ME")];

struct Source {
    /// Below the package's root.
    path: PathBuf,
    text: String,
}

impl Source {
    fn read(path: PathBuf) -> Source {
        let text = fs::read_to_string(root().join(&path)).expect("a source is UTF-8");
        Source { path, text }
    }

    fn given(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.to_owned() }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The module under src/ it belongs to: a folder, or a file at the top.
    fn module(&self) -> Option<String> {
        let below = self.path.strip_prefix("src").ok()?;
        let first = below.components().next()?.as_os_str().to_str()?;
        Some(first.trim_end_matches(".rs").to_owned())
    }

    /// A test, or what tests are made with: `tests.rs`, `loom_tests.rs`, `testing/`.
    fn is_test(&self) -> bool {
        let names_tests = |part: &std::ffi::OsStr| {
            let name = part.to_string_lossy();
            let name = name.trim_end_matches(".rs");
            name == "testing" || name == "tests" || name.ends_with("_tests")
        };
        !self.path.starts_with("src") || self.path.iter().any(names_tests)
    }

    /// Without comments, texts and test modules; line by line as in the file.
    fn code(&self) -> String {
        let code = blank(&self.text);
        let mut kept = String::new();
        let mut lines = code.lines().peekable();
        while let Some(line) = lines.next() {
            let tests = line.trim() == "#[cfg(test)]" || line.trim() == "#[cfg(all(test, kitgate_loom))]";
            // Test modules stand at the end of a file.
            if tests && lines.peek().is_some_and(|next| next.starts_with("mod ") && next.ends_with('{')) {
                break;
            }
            kept.push_str(line);
            kept.push('\n');
        }
        kept
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["src", "tests", "perf", "loadtest"] {
        collect(Path::new(folder), &mut found);
    }
    assert!(found.len() > 20, "the sources are elsewhere: {found:?}");
    found.into_iter().map(Source::read).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(root().join(folder)) else { return };
    for entry in entries {
        let entry = entry.expect("a folder can be read");
        let path = folder.join(entry.file_name());
        if entry.path().is_dir() && entry.file_name() != "target" {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// `text` with the inside of comments, strings and characters as spaces; lines stay where they are.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let hide = |c: char| if c == '\n' { '\n' } else { ' ' };
    let starts = |at: usize, what: &str| what.chars().enumerate().all(|(n, c)| chars.get(at + n) == Some(&c));
    while at < chars.len() {
        let end = if starts(at, "//") {
            (at..chars.len()).find(|n| chars[*n] == '\n').unwrap_or(chars.len())
        } else if starts(at, "/*") {
            block_comment_end(&chars, at)
        } else if let Some(hashes) = raw_string(&chars, at) {
            let closing = format!("\"{}", "#".repeat(hashes));
            let open = at + 1 + hashes + 1;
            (open..chars.len()).find(|n| starts(*n, &closing)).map_or(chars.len(), |n| n + 1 + hashes)
        } else if chars[at] == '"' {
            quoted_end(&chars, at, '"')
        } else if chars[at] == '\'' && (chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\''))
        {
            quoted_end(&chars, at, '\'')
        } else {
            out.push(chars[at]);
            at += 1;
            continue;
        };
        out.extend(chars[at..end].iter().copied().map(hide));
        at = end;
    }
    out
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

/// The number of `#` if a raw string begins here.
fn raw_string(chars: &[char], at: usize) -> Option<usize> {
    let word_before =
        at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') && chars[at - 1] != 'b';
    if chars[at] != 'r' || word_before {
        return None;
    }
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    (chars.get(at + 1 + hashes) == Some(&'"')).then_some(hashes)
}

fn quoted_end(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Where `word` stands in `code` as a word of its own.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = code[..*at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

fn line_of(code: &str, at: usize) -> usize {
    1 + code[..at].matches('\n').count()
}

/// The modules of this crate that `code` names through `root::`.
fn imports(code: &str, root: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let ident =
        |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    for at in words(code, root) {
        let Some(rest) = code[at + root.len()..].strip_prefix("::") else { continue };
        match rest.trim_start().strip_prefix('{') {
            None => {
                found.insert(ident(rest));
            }
            Some(group) => {
                // `crate::{a::{b, c}, d}`: the first name of each entry.
                let mut depth = 0_usize;
                let mut fresh = true;
                for (n, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => fresh = true,
                        c if fresh && (c.is_alphanumeric() || c == '_') => {
                            found.insert(ident(&group[n..]));
                            fresh = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

fn tier(module: &str) -> Option<usize> {
    TIERS.iter().position(|tier| tier.contains(&module))
}

fn check_imports(source: &Source) -> Vec<String> {
    let Some(module) = source.module().filter(|module| module != "lib") else { return Vec::new() };
    let Some(own) = tier(&module) else { return vec![format!("{}: {module} is in no tier", source.name())] };
    if source.is_test() {
        return Vec::new();
    }
    let code = source.code();
    let mut names = imports(&code, "crate");
    if module == "main" {
        names.extend(imports(&code, "kitgate"));
    }
    let mut wrong = Vec::new();
    for name in names.into_iter().filter(|name| *name != module && name != COMMON) {
        let pair = (module.as_str(), name.as_str());
        let Some(other) = tier(&name) else { continue };
        let upper = own <= 1;
        let ok = if name == "rt" { upper } else { other > own || ALLOWED.contains(&pair) };
        if !ok || FORBIDDEN.contains(&pair) {
            wrong.push(format!("{}: {module} must not import {name}", source.name()));
        }
    }
    wrong
}

fn check_runtime(source: &Source) -> Vec<String> {
    let rt = source.path.starts_with("src/rt");
    let code = if rt { String::new() } else { blank(&source.text) };
    words(&code, "glommio")
        .map(|at| format!("{}:{}: only rt names glommio", source.name(), line_of(&code, at)))
        .collect()
}

fn check_pure(source: &Source) -> Vec<String> {
    let Some(module) = source.module() else { return Vec::new() };
    if source.is_test() || module == "rt" || tier(&module).is_none_or(|tier| tier < 2) {
        return Vec::new();
    }
    let code = source.code();
    let found = IMPURE
        .iter()
        .flat_map(|word| words(&code, word).map(|at| (word, line_of(&code, at))).collect::<Vec<_>>());
    found
        .map(|(word, line)| {
            format!("{}:{line}: {word} in a tier without files, threads, clocks", source.name())
        })
        .collect()
}

/// A sleeping thread is a whole shard that stands still; `rt::time::sleep` lets the others go on.
fn check_blocking(source: &Source) -> Vec<String> {
    // The main thread runs no shard.
    let shards = |module: &String| module != "rt" && module != "app" && !source.is_test();
    let Some(module) = source.module().filter(shards) else {
        return Vec::new();
    };
    let code = source.code();
    words(&code, "thread::sleep")
        .map(|at| format!("{}:{}: {module} puts a thread to sleep", source.name(), line_of(&code, at)))
        .collect()
}

fn check_unsafe(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    let code = blank(&source.text);
    let lines: Vec<&str> = source.text.lines().collect();
    let below = source.path.strip_prefix("src").unwrap_or(&source.path).display().to_string();
    for at in words(&code, "unsafe") {
        let line = line_of(&code, at);
        let place = format!("{}:{line}", source.name());
        if !UNSAFE_IN.iter().any(|folder| below.starts_with(folder)) {
            wrong.push(format!("{place}: unsafe outside {UNSAFE_IN:?}"));
        }
        // Blocks and impls assert something; functions ask for something, and clippy wants that said on the
        // trait's method or the function itself.
        let next = code[at + "unsafe".len()..].trim_start();
        if !next.starts_with('{') && !next.starts_with("impl") {
            continue;
        }
        let above = &lines[line.saturating_sub(1 + SAFETY_LINES)..line];
        if !above.iter().any(|text| text.contains("SAFETY") || text.contains("# Safety")) {
            wrong.push(format!("{place}: unsafe without SAFETY"));
        }
    }
    wrong
}

fn check_manners(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    if !source.text.starts_with("//! ") {
        wrong.push(format!("{}: does not open with //!", source.name()));
    }
    let lines = source.text.lines().count();
    let lines_max = if source.is_test() { TEST_LINES_MAX } else { LINES_MAX };
    if lines > lines_max {
        wrong.push(format!("{}: {lines} lines; at most {lines_max}", source.name()));
    }
    for (first, second) in BANNED {
        for (at, _) in source.text.match_indices(&format!("{first}{second}")) {
            wrong.push(format!("{}:{}: {first}{second}", source.name(), line_of(&source.text, at)));
        }
    }
    if !source.is_test() {
        let code = source.code();
        for (at, _) in code.match_indices(".unwrap()") {
            wrong.push(format!(
                "{}:{}: unwrap() says nothing; expect(\"BUG: …\") or an error",
                source.name(),
                line_of(&code, at)
            ));
        }
    }
    wrong
}

fn all(check: fn(&Source) -> Vec<String>) {
    let wrong: Vec<String> = sources().iter().flat_map(check).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn imports_go_down_the_tiers() {
    all(check_imports);
}

#[test]
fn only_rt_names_the_executor() {
    all(check_runtime);
}

#[test]
fn the_lower_tiers_are_pure() {
    all(check_pure);
}

#[test]
fn no_shard_sleeps() {
    all(check_blocking);
}

#[test]
fn unsafe_is_where_it_may_be_and_argued() {
    all(check_unsafe);
}

#[test]
fn files_keep_their_manners() {
    all(check_manners);
}

/// The page of faults says which test stands for which fault: each of them is there.
#[test]
fn the_faults_are_tested_by_tests_that_exist() {
    let page = fs::read_to_string(root().join("deploy/faults.md")).expect("the page");
    let code: String = sources().iter().map(|source| source.text.as_str()).collect();
    let is_name = |text: &&str| {
        text.contains('_') && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let named: BTreeSet<&str> = page.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(named.len() > 60, "{named:?}");
    let missing: Vec<&&str> = named.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}

#[test]
fn lib_declares_every_module() {
    let lib = Source::read("src/lib.rs".into()).code();
    for source in sources() {
        if let Some(module) = source.module().filter(|module| module != "lib" && module != "main") {
            assert!(lib.contains(&format!("pub mod {module};")), "lib.rs does not declare {module}");
        }
    }
}

#[test]
fn texts_name_no_place_on_a_machine() {
    let mut files = vec![root().join("README.md"), root().join(".ci/run"), root().join("Cargo.toml")];
    let mut folders = vec![root().join("deploy"), root().join("loadtest"), root().join("perf")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("a folder can be read").path();
            let text = path
                .extension()
                .is_some_and(|end| ["md", "toml", "service", "sh", "json"].iter().any(|e| end == *e));
            if path.is_dir() {
                folders.push(path);
            } else if text {
                files.push(path);
            }
        }
    }
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for (first, second) in BANNED {
            assert!(!text.contains(&format!("{first}{second}")), "{} holds {first}{second}", file.display());
        }
    }
}

// The checks themselves: each must find what it is for.

#[test]
fn blanking_hides_texts_and_keeps_lines() {
    let text = "a // unsafe\n/* unsafe /* x */ unsafe */ b \"unsafe \\\" unsafe\" c 'u' '\\'' r#\"unsafe \" \"# d<'a> br\"unsafe\"";
    let code = blank(text);
    assert_eq!(code.matches("unsafe").count(), 0, "{code}");
    assert_eq!(code.chars().count(), text.chars().count());
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "b", "c", "d<'a>", "b"]);
}

#[test]
fn a_turn_upwards_is_found() {
    let wrong = |path, text| check_imports(&Source::given(path, text)).len();
    assert_eq!(wrong("src/point/x.rs", "use crate::spool::Block;"), 1);
    assert_eq!(wrong("src/point/x.rs", "use crate::{buf, codec::line_protocol::{Tape, Kv}, limits};"), 0);
    assert_eq!(wrong("src/codec/x.rs", "fn f() { crate::point::Batch::default(); }"), 1);
    assert_eq!(wrong("src/intake/x.rs", "use crate::{point::{Batch, Mark}, rt};"), 1);
    assert_eq!(wrong("src/spool/x.rs", "use crate::point::Batch;"), 1);
    assert_eq!(wrong("src/spool/x.rs", "use crate::rt::file;"), 0);
    assert_eq!(wrong("src/upload/x.rs", "use crate::spool::Log; use crate::sink;"), 0);
    assert_eq!(wrong("src/net/x.rs", "use crate::upload::x;"), 1);
    assert_eq!(
        wrong("src/net/x.rs", "// crate::upload\n#[cfg(test)]\nmod tests {\nuse crate::upload;\n}"),
        0
    );
    assert_eq!(wrong("src/main.rs", "use kitgate::app;"), 0);
    assert_eq!(wrong("src/unheard_of/x.rs", ""), 1);
}

#[test]
fn bad_manners_are_found() {
    let count = |check: fn(&Source) -> Vec<String>, path, text: &str| check(&Source::given(path, text)).len();
    assert_eq!(count(check_runtime, "src/net/x.rs", "use glommio::spawn;"), 1);
    assert_eq!(count(check_runtime, "src/rt/x.rs", "use glommio::spawn;"), 0);
    assert_eq!(count(check_pure, "src/point/x.rs", "let now = std::time::Instant::now();"), 1);
    assert_eq!(count(check_pure, "src/spool/x.rs", "let now = std::time::Instant::now();"), 0);
    assert_eq!(count(check_blocking, "src/net/x.rs", "std::thread::sleep(pause);"), 1);
    assert_eq!(count(check_unsafe, "src/point/x.rs", "// SAFETY: no.\nunsafe { f() }"), 1);
    assert_eq!(count(check_unsafe, "src/simd/x.rs", "unsafe { f() }"), 1);
    assert_eq!(count(check_unsafe, "src/simd/x.rs", "// SAFETY: yes.\nunsafe { f() }"), 0);
    assert_eq!(count(check_manners, "src/simd/x.rs", "fn f() {}"), 1);
    assert_eq!(count(check_manners, "src/simd/x.rs", &format!("//! x\n{}", "\n".repeat(LINES_MAX))), 1);
    assert_eq!(count(check_manners, "src/simd/x.rs", "//! x\nfn f() { g().unwrap() }"), 1);
    let banned = format!("//! x\nfn f() {{ {}{}) }}", BANNED[0].0, BANNED[0].1);
    assert_eq!(count(check_manners, "tests/x.rs", &banned), 1);
}
