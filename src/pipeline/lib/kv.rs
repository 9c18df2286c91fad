//! `kv_split`: fields that a pattern parts, each parted in two by another.

use super::regex::{Regex, Scratch};

/// Fields of one text; what is past them is not looked at.
const FIELDS_MAX: usize = 10_000;

/// How a text is parted. Trimming strips the characters of a set from both ends.
#[derive(Debug)]
pub struct Split<'a> {
    pub fields: &'a Regex,
    pub values: &'a Regex,
    pub trim_key: &'a str,
    pub trim_value: &'a str,
}

impl Split<'_> {
    /// Hands over each key that is not empty, with its value.
    pub fn each<'t>(&self, text: &'t [u8], scratch: &mut Scratch, mut found: impl FnMut(&'t [u8], &'t [u8])) {
        for field in self.fields.split(text, FIELDS_MAX, scratch) {
            let pieces = self.values.split(field, 2, scratch);
            let [key, value] = pieces[..] else { continue };
            let key = trim_set(key, self.trim_key);
            if !key.is_empty() {
                found(key, trim_set(value, self.trim_value));
            }
        }
    }
}

/// Go's `strings.Trim`: without the characters of `set` at both ends.
pub fn trim_set<'t>(text: &'t [u8], set: &str) -> &'t [u8] {
    let mut rest = text;
    if set.is_empty() {
        return rest;
    }
    while let Some(c) = set.chars().find(|c| rest.starts_with(c.encode_utf8(&mut [0; 4]).as_bytes())) {
        rest = &rest[c.len_utf8()..];
    }
    while let Some(c) = set.chars().find(|c| rest.ends_with(c.encode_utf8(&mut [0; 4]).as_bytes())) {
        rest = &rest[..rest.len() - c.len_utf8()];
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, fields: &str, values: &str, trim_value: &str) -> Vec<(String, String)> {
        let (fields, values) = (Regex::new(fields).unwrap(), Regex::new(values).unwrap());
        let split = Split { fields: &fields, values: &values, trim_key: "", trim_value };
        let mut out = Vec::new();
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        split.each(text.as_bytes(), &mut Scratch::default(), |key, value| {
            out.push((text_of(key), text_of(value)))
        });
        out
    }

    #[test]
    fn as_recorded() {
        let line = "a=1 b=2 c=hello d== e f=x=y g=\"q\"";
        let get = |pairs: &[(String, String)], key: &str| {
            pairs.iter().rfind(|(own, _)| own == key).map(|(_, value)| value.clone())
        };
        let pairs = split(line, " ", "=", "\"");
        assert_eq!(get(&pairs, "a").as_deref(), Some("1"));
        assert_eq!(get(&pairs, "g").as_deref(), Some("q"));
        assert_eq!(get(&pairs, "e"), None);
        let pairs = split(line, "[ ]+", "=+", "");
        assert_eq!(get(&pairs, "d").as_deref(), Some(""));
        assert_eq!(get(&pairs, "f").as_deref(), Some("x=y"));
        assert_eq!(trim_set("＊a＊ ".as_bytes(), "＊ "), b"a");
    }
}
