//! What a browser says about itself, read as the widely used Go library `mssola/user_agent` does: products with
//! comments, the first of which names the platform.

/// Sections and comments that are looked at; what is behind them is rubbish.
const SECTIONS_MAX: usize = 256;
/// Bytes that are looked at. Servers cut headers shorter than that.
const TEXT_BYTES_MAX: usize = 16 << 10;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct UserAgent<'u> {
    pub mobile: bool,
    pub bot: bool,
    pub os: &'u str,
    pub browser: &'u str,
    pub browser_version: &'u str,
    pub engine: &'u str,
    pub engine_version: &'u str,
    pub platform: &'u str,
}

/// `name/version (comment; comment)`.
#[derive(Debug, Default)]
struct Section<'u> {
    name: &'u str,
    version: &'u str,
    comment: Vec<&'u str>,
}

struct Reader<'u> {
    whole: &'u str,
    found: UserAgent<'u>,
    undecided: bool,
}

pub fn parse(text: &str) -> UserAgent<'_> {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let whole = &text[..end];
    let sections = sections(whole);
    let mut reader = Reader { whole, found: UserAgent::default(), undecided: false };
    reader.found.mobile = sections.iter().any(|section| section.name == "Mobile");
    if let Some(first) = sections.first() {
        reader.browser(&sections);
        reader.system(first);
        if reader.undecided {
            reader.bot(&sections);
        }
    }
    reader.found
}

fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections = Vec::new();
    let mut at = 0;
    while at < text.len() && sections.len() < SECTIONS_MAX {
        let mut section = Section::default();
        let byte = |at: usize| text.as_bytes().get(at).copied();
        if !matches!(byte(at), Some(b'(' | b'[')) {
            let product = until(text, &mut at, b' ', false);
            (section.name, section.version) = product.split_once('/').unwrap_or((product, ""));
        }
        if byte(at) == Some(b'(') {
            at += 1;
            section.comment = until(text, &mut at, b')', true).split("; ").take(SECTIONS_MAX).collect();
            at += 1;
        }
        if byte(at) == Some(b'[') {
            at += 1;
            until(text, &mut at, b']', true);
            at += 1;
        }
        sections.push(section);
    }
    sections
}

/// The text up to `end`, which is skipped; with `nested`, parentheses inside are passed over.
fn until<'u>(text: &'u str, at: &mut usize, end: u8, nested: bool) -> &'u str {
    let from = *at;
    let mut open = 0;
    for (n, byte) in text.bytes().enumerate().skip(from) {
        if byte == end {
            if open == 0 {
                *at = n + 1;
                return text.get(from..n).unwrap_or("");
            }
            open -= 1;
        } else if nested && byte == b'(' {
            open += 1;
        }
    }
    *at = text.len() + 1;
    text.get(from..).unwrap_or("")
}

fn names_crawler(comment: &[&str]) -> bool {
    comment.iter().any(|c| c.len() > 5 && (c.starts_with("Googlebot") || c.starts_with("bingbot")))
}

impl<'u> Reader<'u> {
    fn browser(&mut self, sections: &[Section<'u>]) {
        let first = &sections[0];
        let found = &mut self.found;
        match (first.name, sections) {
            ("Opera", _) => {
                found.browser = "Opera";
                found.browser_version = first.version;
                found.engine = "Presto";
                found.engine_version = sections.get(1).map_or("", |section| section.version);
            }
            ("Dalvik", _) => {}
            (_, [_, engine, rest @ ..]) => {
                found.engine = engine.name;
                found.engine_version = engine.version;
                if let [third, ..] = rest {
                    self.browser_behind(sections, engine, third);
                }
            }
            (_, [_]) => {
                if let ["compatible", msie, ..] = first.comment[..]
                    && let Some(version) = msie.strip_prefix("MSIE")
                {
                    found.engine = "Trident";
                    found.browser = "Internet Explorer";
                    // In compatibility mode the engine's version tells more.
                    let engine = first.comment.iter().find_map(|c| c.strip_prefix("Trident/"));
                    found.browser_version = match engine {
                        Some("4.0") => "8.0",
                        Some("5.0") => "9.0",
                        Some("6.0") => "10.0",
                        _ => version.trim(),
                    };
                }
            }
            (_, []) => {}
        }
    }

    /// With something behind the engine.
    fn browser_behind(&mut self, sections: &[Section<'u>], engine: &Section<'u>, third: &Section<'u>) {
        let found = &mut self.found;
        let named = match sections.get(3) {
            Some(fourth) if third.version.is_empty() => fourth,
            _ => third,
        };
        found.browser_version = named.version;
        match engine.name {
            "AppleWebKit" => {
                self.undecided |= names_crawler(&engine.comment);
                let from_end = |n: usize| sections.len().checked_sub(n).and_then(|at| sections.get(at));
                let name_of = |n: usize| from_end(n).map_or("", |section| section.name);
                let version_of = |n: usize| from_end(n).map_or("", |section| section.version);
                match name_of(1) {
                    "Edge" => {
                        found.browser = "Edge";
                        found.browser_version = version_of(1);
                        found.engine = "EdgeHTML";
                        found.engine_version = "";
                    }
                    "Edg" => {
                        if !self.undecided {
                            found.browser = "Edge";
                            found.browser_version = version_of(1);
                            found.engine_version = version_of(2);
                        }
                    }
                    "OPR" => {
                        found.browser = "Opera";
                        found.browser_version = version_of(1);
                    }
                    "Mobile" => {
                        found.browser = "Mobile App";
                        found.browser_version = "";
                    }
                    _ => match (name_of(3), name_of(2), named.name) {
                        (name @ ("YaApp_iOS" | "YaBrowser"), _, _) => {
                            found.browser = name;
                            found.browser_version = version_of(3);
                        }
                        (_, name @ ("Electron" | "DuckDuckGo" | "PhantomJS"), _) => {
                            found.browser = name;
                            found.browser_version = version_of(2);
                        }
                        (_, _, "Chrome" | "CriOS") => found.browser = "Chrome",
                        (_, _, "HeadlessChrome") => found.browser = "Headless Chrome",
                        (_, _, "Chromium") => found.browser = "Chromium",
                        (_, _, "GSA") => found.browser = "Google App",
                        (_, _, "FxiOS") => found.browser = "Firefox",
                        _ => found.browser = "Safari",
                    },
                }
            }
            "Gecko" => {
                found.browser = third.name;
                if third.name == "MRA"
                    && let Some(fifth) = sections.get(4)
                {
                    found.browser = fifth.name;
                    found.browser_version = fifth.version;
                }
            }
            "like" if third.name == "Gecko" => {
                found.engine = "Trident";
                found.browser = "Internet Explorer";
                let version = sections[0].comment.iter().find_map(|c| c.strip_prefix("rv:"));
                found.browser_version = version.unwrap_or("");
            }
            _ => {}
        }
    }

    fn system(&mut self, first: &Section<'u>) {
        let comment = &first.comment[..];
        let found = &mut self.found;
        match first.name {
            "Mozilla" => {
                found.platform = match comment.first() {
                    None | Some(&"compatible") => "",
                    Some(name) if name.starts_with("Windows") => "Windows",
                    Some(name) if name.starts_with("Symbian") => "Symbian",
                    Some(name) if name.starts_with("webOS") => "webOS",
                    Some(&"BB10") => "BlackBerry",
                    Some(name) => name,
                };
                if let (true, Some(name)) = (found.platform == "Windows", comment.first()) {
                    found.os = windows(name);
                }
                match found.engine {
                    "" => self.undecided = true,
                    "Gecko" => self.gecko(comment),
                    "AppleWebKit" => self.webkit(comment),
                    "Trident" => {
                        found.platform = "Windows";
                        if found.os.is_empty() {
                            found.os = comment.get(2).map_or("Windows NT 4.0", |name| windows(name));
                        }
                        found.mobile |= comment.iter().any(|c| c.starts_with("IEMobile"));
                    }
                    _ => {}
                }
            }
            "Opera" => match comment {
                [] => {}
                [name, ..] if name.starts_with("Windows") => {
                    found.platform = "Windows";
                    found.os = windows(name);
                }
                [name, rest @ ..] => {
                    found.mobile |= name.starts_with("Android");
                    found.platform = name;
                    found.os = rest.first().unwrap_or(name);
                }
            },
            "Dalvik" => {
                if let Some(name) = comment.first().filter(|name| name.starts_with("Linux")) {
                    found.platform = name;
                    found.os = comment.get(2).unwrap_or(&"");
                    found.mobile = true;
                }
            }
            "okhttp" => {
                found.mobile = true;
                found.browser = "OkHttp";
                found.browser_version = first.version;
            }
            _ => self.undecided = true,
        }
    }

    fn gecko(&mut self, comment: &[&'u str]) {
        let found = &mut self.found;
        let [first, second, ..] = *comment else { return };
        if matches!(second, "U" | "arm_64") {
            found.os = windows(comment.get(2).unwrap_or(&second));
        } else if found.platform.contains("Android") {
            found.mobile = true;
            (found.platform, found.os) = (windows(second), found.platform);
        } else if matches!(first, "Mobile" | "Tablet") {
            found.mobile = true;
            found.os = "FirefoxOS";
        } else if found.os.is_empty() {
            found.os = windows(second);
        }
    }

    fn webkit(&mut self, comment: &[&'u str]) {
        match self.found.platform {
            "webOS" => {
                self.found.browser = "webOS";
                self.found.os = "Palm";
                self.found.mobile = true;
            }
            "Symbian" => {
                self.found.mobile = true;
                self.found.browser = "Symbian";
                self.found.os = comment.first().unwrap_or(&"");
            }
            "Linux" => {
                let found = &mut self.found;
                found.mobile = true;
                if found.browser == "Safari" {
                    found.browser = "Android";
                }
                match comment {
                    [_, "U" | "arm_64", os, ..] => found.os = os,
                    [os, "U" | "arm_64"] => {
                        found.mobile = false;
                        found.os = os;
                    }
                    [_, os, ..] => found.os = os,
                    _ => {}
                }
                if comment.len() == 3 {
                    self.crawler();
                }
            }
            platform => {
                match comment {
                    [] => return,
                    [name, ..] if name.starts_with("Windows NT") => self.found.os = windows(name),
                    [_] => {}
                    [_, name] => {
                        if !self.crawler() && !self.preview() {
                            self.found.os = windows(name);
                        }
                    }
                    [_, _, name, ..] => self.found.os = windows(name),
                }
                if platform == "BlackBerry" {
                    self.found.browser = platform;
                    if self.found.os == "Touch" {
                        self.found.os = platform;
                    }
                }
            }
        }
        let found = &mut self.found;
        if found.platform == "Macintosh" && found.engine == "AppleWebKit" && found.browser == "Firefox" {
            found.platform = "iPad";
            found.mobile = true;
        }
    }

    /// A search engine's crawler posing as a telephone.
    fn crawler(&mut self) -> bool {
        if self.whole.contains("Google") || self.whole.contains("bingbot") {
            self.found.platform = "";
            self.undecided = true;
        }
        self.undecided
    }

    /// A messenger posing as two crawlers at once.
    fn preview(&mut self) -> bool {
        let is = self.whole.contains("facebookexternalhit") && self.whole.contains("Twitterbot");
        if is {
            self.found.bot = true;
            self.found.browser = "iMessage-Preview";
            self.found.engine = "";
            self.found.engine_version = "";
        }
        is
    }

    fn bot(&mut self, sections: &[Section<'u>]) {
        if let [only] = sections
            && only.name != "Mozilla"
        {
            if sounds_like_bot(only.name) {
                self.simple(only.name, "", true);
            } else {
                self.simple(only.name, only.version, site(&only.comment).is_some());
            }
            return;
        }
        if let Some(name) = sections.iter().find_map(|section| site(&section.comment)) {
            let (name, version) = name.split_once('/').unwrap_or((name, ""));
            self.simple(name, version, true);
        } else if let Some(first) = sections.first() {
            self.found.browser = first.name;
            self.found.browser_version = first.version;
        }
    }

    fn simple(&mut self, name: &'u str, version: &'u str, bot: bool) {
        let UserAgent { mobile, platform, .. } = self.found;
        self.found = UserAgent {
            mobile,
            platform,
            bot,
            browser: name,
            browser_version: version,
            ..Default::default()
        };
    }
}

/// The name of a Windows whose kernel version is given.
fn windows(name: &str) -> &str {
    let mut parts = name.splitn(3, ' ');
    let (_, Some("NT"), Some(version)) = (parts.next(), parts.next(), parts.next()) else { return name };
    match version {
        "5.0" => "Windows 2000",
        "5.01" => "Windows 2000, Service Pack 1 (SP1)",
        "5.1" => "Windows XP",
        "5.2" => "Windows XP x64 Edition",
        "6.0" => "Windows Vista",
        "6.1" => "Windows 7",
        "6.2" => "Windows 8",
        "6.3" => "Windows 8.1",
        "10.0" => "Windows 10",
        _ => name,
    }
}

fn sounds_like_bot(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["bot", "crawler", "spider", "spyder", "search", "worm", "fetch", "nutch"]
        .iter()
        .any(|word| name.contains(word))
}

/// The name that goes with a web site in a comment: crawlers say where one can complain.
fn site<'u>(comment: &[&'u str]) -> Option<&'u str> {
    let place = match comment.len() {
        0 => return None,
        1 | 2 => 0,
        4 => 3,
        _ => 2,
    };
    let site = address(comment[place])?;
    Some(if place == 0 { site } else { comment[place - 1].trim() }).filter(|name| !name.is_empty())
}

/// `https?://.+\.\w+`, the longest there is.
fn address(text: &str) -> Option<&str> {
    let mut from = 0;
    loop {
        let start = from + text.get(from..)?.find("http")?;
        from = start + 4;
        let rest = text.get(from..)?;
        let Some(host) = rest.strip_prefix("s").unwrap_or(rest).strip_prefix("://") else { continue };
        let host = host.split('\n').next().unwrap_or("");
        let begin = host.as_ptr() as usize - text.as_ptr() as usize;
        let is_word = |byte: &u8| *byte == b'_' || byte.is_ascii_alphanumeric();
        let bytes = host.as_bytes();
        let dot =
            (1..bytes.len()).rev().find(|at| bytes[*at] == b'.' && bytes.get(at + 1).is_some_and(is_word));
        if let Some(dot) = dot {
            let end = dot + 1 + bytes[dot + 1..].iter().take_while(|byte| is_word(byte)).count();
            return text.get(start..begin + end);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pipeline::lib::golden_tests::cases;

    #[test]
    fn recorded_answers() {
        let mut covered = 0;
        for case in cases("useragent") {
            if case.script != "user_agent(_)" {
                continue;
            }
            covered += 1;
            let found = parse(&case.message);
            let own = [
                ("isMobile", json!(found.mobile)),
                ("isBot", json!(found.bot)),
                ("os", json!(found.os)),
                ("browser", json!(found.browser)),
                ("browserVer", json!(found.browser_version)),
                ("engine", json!(found.engine)),
                ("engineVer", json!(found.engine_version)),
                ("ua", json!(found.platform)),
            ];
            for (key, value) in own {
                assert_eq!(Some(&value), case.field(key).map(|field| &field["v"]), "{}: {key}", case.name);
            }
        }
        assert!(covered >= 31, "{covered}");
    }

    #[test]
    fn rubbish_is_survived() {
        let seed = "Mozilla/5.0 (compatible; MSIE 7.0; Trident/4.0) [x] A (b(c)) http://é.x http";
        for cut in 0..seed.len() {
            for (at, with) in [(cut, "("), (cut, ")"), (cut / 2, "http://"), (cut, "é"), (cut, "; ")] {
                let mut text = seed.to_owned();
                if text.is_char_boundary(at) && text.is_char_boundary(cut) {
                    text.insert_str(at, with);
                    parse(&text);
                    parse(&text[at..]);
                }
            }
        }
        parse(&"(; é".repeat(50_000));
        parse(&"x ".repeat(50_000));
    }
}
