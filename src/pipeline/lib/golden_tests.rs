//! The recorded answers of the reference engine, as far as one call without the language around it can be taken from
//! them.

use std::{fs, io::Read, path::Path};

use serde_json::Value;

/// A recorded case: its name, the script, the line it ran over, and what the point's fields were afterwards.
pub struct Case {
    pub name: String,
    pub script: String,
    pub message: String,
    pub expected: Value,
}

impl Case {
    /// The field's value; `None` where it is not there.
    pub fn field(&self, key: &str) -> Option<&Value> {
        self.expected["results"][0]["point"]["fields"].get(key)
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.field(key).and_then(|field| field["v"].as_str())
    }

    /// What the script was refused with.
    pub fn refused(&self) -> Option<&str> {
        self.expected["pl_errors"][0]["error"].as_str()
    }

    pub fn run_error(&self) -> Option<&str> {
        self.expected["results"][0]["run_error"]["error"].as_str()
    }
}

/// The cases of a file that ran over one line.
pub fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/pipeline/{file}.jsonl.zst"));
    let packed = fs::read(path).unwrap();
    let mut text = String::new();
    zstd::Decoder::new(&packed[..]).unwrap().read_to_string(&mut text).unwrap();
    let cases = text.lines().filter_map(|line| {
        let case: Value = serde_json::from_str(line).unwrap();
        Some(Case {
            name: case["name"].as_str()?.to_owned(),
            script: case["script"].as_str()?.to_owned(),
            message: case["message"].as_str()?.to_owned(),
            expected: case["expected"].clone(),
        })
    });
    cases.collect()
}

/// The text literal that `script` begins with, unescaped, and what follows it.
pub fn literal(script: &str) -> Option<(String, &str)> {
    for fence in ["\"\"\"", "'''"] {
        if let Some(rest) = script.strip_prefix(fence) {
            let end = rest.find(fence)?;
            return Some((rest[..end].to_owned(), &rest[end + 3..]));
        }
    }
    let quote = script.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut out = String::new();
    let mut chars = script.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some((out, &script[at + 1..]));
        }
        let escaped = (c == '\\').then(|| chars.next()).flatten();
        out.push(match escaped {
            None => c,
            Some((_, 'n')) => '\n',
            Some((_, 't')) => '\t',
            Some((_, c @ ('\\' | '"' | '\''))) => c,
            // Others are read by the language's own tests.
            Some((at, 'u')) => {
                let c = char::from_u32(u32::from_str_radix(script.get(at + 1..at + 5)?, 16).ok()?)?;
                chars.nth(3);
                c
            }
            Some(_) => return None,
        });
    }
    None
}
