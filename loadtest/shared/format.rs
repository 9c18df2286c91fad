//! The points of a corpus in the other body formats. Reads the line protocol that the corpora are written in: escapes in
//! tags, quoted strings, integers and floats; nothing else occurs in them.

use std::fmt::Write as _;

/// How a body says its points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A line a point.
    #[default]
    Lines,
    /// `{"measurement","tags","fields","time"}`.
    Json,
    /// `{"name","fields":[{"key",…}],"time"}`.
    PbJson,
    /// `PBPoints`.
    Protobuf,
}

impl Format {
    /// The `Content-Type` a client sends with it.
    pub fn content_type(self) -> Option<&'static str> {
        match self {
            Format::Lines => None,
            Format::Json => Some("application/json"),
            Format::PbJson => Some("application/pbjson; proto=com.guance.Point"),
            Format::Protobuf => Some("application/protobuf; proto=com.guance.Point"),
        }
    }

    /// Begins a body, or puts the next point behind the last one.
    pub fn join(self, body: &mut Vec<u8>) {
        match self {
            Format::Lines | Format::Protobuf => {}
            Format::Json | Format::PbJson => body.push(if body.is_empty() { b'[' } else { b',' }),
        }
    }

    /// Appends a point, given as its line.
    pub fn write(self, line: &str, body: &mut Vec<u8>) {
        match self {
            Format::Lines => body.extend_from_slice(format!("{line}\n").as_bytes()),
            Format::Json => body.extend_from_slice(Point::read(line).json().as_bytes()),
            Format::PbJson => body.extend_from_slice(Point::read(line).pbjson().as_bytes()),
            Format::Protobuf => field(1, &Point::read(line).protobuf(), body),
        }
    }

    /// Ends a body.
    pub fn end(self, body: &mut Vec<u8>) {
        if matches!(self, Format::Json | Format::PbJson) {
            body.push(b']');
        }
    }
}

enum Value {
    /// As written: a float's digits stay as they are.
    Float(String),
    Int(i64),
    Text(String),
}

struct Point {
    name: String,
    tags: Vec<(String, String)>,
    fields: Vec<(String, Value)>,
    time: i64,
}

/// Up to an unescaped byte of `ends`; what is escaped loses its backslash.
fn token(rest: &mut &str, ends: &[char]) -> String {
    let mut out = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        if ends.contains(&c) {
            *rest = &rest[at..];
            return out;
        }
        let next = if c == '\\' { chars.next() } else { None };
        out.push(next.map_or(c, |(_, escaped)| escaped));
    }
    *rest = "";
    out
}

fn skip(rest: &mut &str, expected: char) -> bool {
    let found = rest.starts_with(expected);
    if found {
        *rest = &rest[expected.len_utf8()..];
    }
    found
}

impl Point {
    fn read(line: &str) -> Point {
        let mut rest = line;
        let name = token(&mut rest, &[',', ' ']);
        let mut tags = Vec::new();
        while skip(&mut rest, ',') {
            let key = token(&mut rest, &['=']);
            skip(&mut rest, '=');
            tags.push((key, token(&mut rest, &[',', ' '])));
        }
        let mut fields = Vec::new();
        while skip(&mut rest, if fields.is_empty() { ' ' } else { ',' }) {
            let key = token(&mut rest, &['=']);
            skip(&mut rest, '=');
            let value = if skip(&mut rest, '"') {
                let text = token(&mut rest, &['"']);
                skip(&mut rest, '"');
                Value::Text(text)
            } else {
                let text = token(&mut rest, &[',', ' ']);
                match text.strip_suffix('i') {
                    Some(digits) => Value::Int(digits.parse().expect("an integer of a corpus")),
                    None => Value::Float(text),
                }
            };
            fields.push((key, value));
        }
        Point { name, tags, fields, time: rest.trim().parse().expect("a time of a corpus") }
    }

    fn json(&self) -> String {
        let mut out = format!("{{\"measurement\":{},\"tags\":{{", quoted(&self.name));
        for (index, (key, value)) in self.tags.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(out, "{comma}{}:{}", quoted(key), quoted(value));
        }
        out.push_str("},\"fields\":{");
        for (index, (key, value)) in self.fields.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = match value {
                Value::Float(digits) => write!(out, "{comma}{}:{digits}", quoted(key)),
                Value::Int(value) => write!(out, "{comma}{}:{value}", quoted(key)),
                Value::Text(text) => write!(out, "{comma}{}:{}", quoted(key), quoted(text)),
            };
        }
        let _ = write!(out, "}},\"time\":{}}}", self.time);
        out
    }

    fn pbjson(&self) -> String {
        let mut fields: Vec<String> = self
            .fields
            .iter()
            .map(|(key, value)| match value {
                Value::Float(digits) => format!("{{\"key\":{},\"f\":{digits}}}", quoted(key)),
                Value::Int(value) => format!("{{\"key\":{},\"i\":\"{value}\"}}", quoted(key)),
                Value::Text(text) => format!("{{\"key\":{},\"s\":{}}}", quoted(key), quoted(text)),
            })
            .collect();
        fields.extend(self.tags.iter().map(|(key, value)| {
            format!("{{\"key\":{},\"s\":{},\"is_tag\":true}}", quoted(key), quoted(value))
        }));
        format!(
            "{{\"name\":{},\"fields\":[{}],\"time\":\"{}\"}}",
            quoted(&self.name),
            fields.join(","),
            self.time
        )
    }

    fn protobuf(&self) -> Vec<u8> {
        let mut point = Vec::new();
        field(1, self.name.as_bytes(), &mut point);
        for (key, value) in &self.fields {
            let mut entry = Vec::new();
            field(1, key.as_bytes(), &mut entry);
            match value {
                Value::Int(value) => {
                    varint(2 << 3, &mut entry);
                    varint(*value as u64, &mut entry);
                }
                Value::Float(digits) => {
                    varint(4 << 3 | 1, &mut entry);
                    let value: f64 = digits.parse().expect("a number of a corpus");
                    entry.extend_from_slice(&value.to_le_bytes());
                }
                Value::Text(text) => field(11, text.as_bytes(), &mut entry),
            }
            field(2, &entry, &mut point);
        }
        for (key, value) in &self.tags {
            let mut entry = Vec::new();
            field(1, key.as_bytes(), &mut entry);
            field(11, value.as_bytes(), &mut entry);
            entry.extend_from_slice(&[8 << 3, 1]);
            field(2, &entry, &mut point);
        }
        varint(3 << 3, &mut point);
        varint(self.time as u64, &mut point);
        point
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A length-delimited field.
fn field(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    varint(number << 3 | 2, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_every_format() {
        let line =
            r#"app,host=a\ b,os=Debian12 message="say \"hi\" \\",n=12i,usage=1.5e+2 1700000000000000000"#;
        let written = |format: Format| {
            let mut body = Vec::new();
            for _ in 0..2 {
                format.join(&mut body);
                format.write(line, &mut body);
            }
            format.end(&mut body);
            body
        };
        let json: serde_json::Value = serde_json::from_slice(&written(Format::Json)).unwrap();
        assert_eq!(json[1]["tags"]["host"], "a b");
        assert_eq!(json[1]["fields"]["message"], "say \"hi\" \\");
        assert_eq!(json[1]["fields"]["usage"], 150.0);
        assert_eq!(json[0]["time"], 1_700_000_000_000_000_000_i64);
        let pbjson: serde_json::Value = serde_json::from_slice(&written(Format::PbJson)).unwrap();
        assert_eq!(pbjson[1]["fields"][1], serde_json::json!({ "key": "n", "i": "12" }));
        assert_eq!(
            pbjson[1]["fields"][4],
            serde_json::json!({ "key": "os", "s": "Debian12", "is_tag": true })
        );
        let mut keys = 0;
        let points = crate::upstream::decode::each_point(&written(Format::Protobuf), |_| keys += 1);
        assert_eq!((points, keys), (Ok(2), 2));
        assert_eq!(written(Format::Lines), format!("{line}\n{line}\n").into_bytes());
    }
}
