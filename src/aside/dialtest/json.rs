//! JSON whose shape is not known yet, as Go's `encoding/json` holds and writes it: objects sorted by key, every number
//! a double, strings escaped for HTML.

use std::collections::BTreeMap;

use crate::codec::json::{DEPTH_MAX, Malformed, Place, Tape, Value, View, check};
use crate::point::echo::{json_number, json_string};

/// Arrays and objects inside each other. A task has six; the tree is walked by recursion, so that this is small.
const NESTING_MAX: usize = 64;

/// Values of one request. A task of a hundred steps has some thousands; a value takes up to a hundred bytes of memory.
const VALUES_MAX: usize = 100_000;

const _: () = assert!(NESTING_MAX < DEPTH_MAX);

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    /// Of ours: what is read is always a double.
    Int(i64),
    Float(f64),
    Text(String),
    /// JSON already, in an order of its own.
    Raw(String),
    List(Vec<Json>),
    Map(BTreeMap<String, Json>),
}

impl Json {
    /// Reads a whole text; an error is in Go's words.
    pub fn parse(bytes: &[u8]) -> Result<Json, String> {
        check(bytes).map_err(|error| error.to_string())?;
        let mut tape = Tape::default();
        match tape.parse(bytes, 0, NESTING_MAX) {
            Ok(_) => {}
            Err(Malformed::Syntax) => {
                return Err(format!("more than {NESTING_MAX} values inside each other"));
            }
            Err(Malformed::TooLarge) => return Err(too_many()),
        }
        let mut room = VALUES_MAX;
        build(tape.root(bytes), &mut room)
    }

    pub fn text(text: impl Into<String>) -> Json {
        Json::Text(text.into())
    }

    /// The kind, as Go names it in errors.
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "bool",
            Json::Int(_) | Json::Float(_) => "number",
            Json::Text(_) => "string",
            Json::List(_) => "array",
            Json::Raw(_) | Json::Map(_) => "object",
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Json::Null => out.extend_from_slice(b"null"),
            Json::Bool(true) => out.extend_from_slice(b"true"),
            Json::Bool(false) => out.extend_from_slice(b"false"),
            Json::Int(value) => out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes()),
            Json::Float(value) => write_number(*value, out),
            Json::Text(text) => json_string(text.as_bytes(), out),
            Json::Raw(json) => out.extend_from_slice(json.as_bytes()),
            Json::List(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Json::Map(members) => {
                out.push(b'{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    json_string(key.as_bytes(), out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// The text of it.
    pub fn render(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// JSON has no infinities, and nothing here makes one; a zero is better than a broken answer.
pub fn write_number(value: f64, out: &mut Vec<u8>) {
    json_number(if value.is_finite() { value } else { 0.0 }, out);
}

/// A number as Go's `%v` prints it: an exponent below 1e-4 and from 1e21 on.
pub fn show_number(value: f64) -> String {
    let mut out = Vec::new();
    let size = value.abs();
    if size != 0.0 && size < 1e-4 {
        // The JSON form begins its exponents later; Rust's has the digits, Go's two digits of exponent.
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once("e-").unwrap_or((&text, "0"));
        return format!("{digits}e-{exponent:0>2}");
    }
    write_number(value, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn too_many() -> String {
    format!("more than {VALUES_MAX} values")
}

fn build(place: Place<'_>, room: &mut usize) -> Result<Json, String> {
    *room = room.checked_sub(1).ok_or_else(too_many)?;
    Ok(match place.view() {
        View::Null => Json::Null,
        View::Bool(value) => Json::Bool(value),
        View::Number(number) => Json::Float(number.to_f64().ok_or_else(|| {
            let text = String::from_utf8_lossy(number.text());
            let field = "Go struct field dialtestingDebugRequest.task of type float64";
            format!("json: cannot unmarshal number {text} into {field}")
        })?),
        View::Text(text) => Json::Text(String::from_utf8_lossy(&text.decode()).into_owned()),
        View::Array(items) => Json::List(items.map(|item| build(item, room)).collect::<Result<Vec<_>, _>>()?),
        View::Object(members) => {
            let mut map = BTreeMap::new();
            for (key, value) in members {
                let key = String::from_utf8_lossy(&key.decode()).into_owned();
                map.insert(key, build(value, room)?);
            }
            Json::Map(map)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_as_go_does() {
        let json = Json::parse(br#" {"b":[1,1.50,1e3,null,true],"a":"<\u2028&>","B":{},"b":[-0.0000001]} "#)
            .unwrap();
        assert_eq!(json.render(), r#"{"B":{},"a":"\u003c\u2028\u0026\u003e","b":[-1e-7]}"#);
        assert_eq!(Json::parse(b"[1,1.50,1e3,1e21]").unwrap().render(), "[1,1.5,1000,1e+21]");
    }

    #[test]
    fn errors_are_in_gos_words() {
        for (text, error) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("x", "invalid character 'x' looking for beginning of value"),
            ("{} {}", "invalid character '{' after top-level value"),
            (
                r#"{"task":1e999}"#,
                "json: cannot unmarshal number 1e999 into Go struct field dialtestingDebugRequest.task of type float64",
            ),
        ] {
            assert_eq!(Json::parse(text.as_bytes()), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let deep = format!("{}{}", "[".repeat(NESTING_MAX + 1), "]".repeat(NESTING_MAX + 1));
        assert!(Json::parse(deep.as_bytes()).unwrap_err().contains("inside each other"));
        let fits = format!("{}{}", "[".repeat(NESTING_MAX), "]".repeat(NESTING_MAX));
        assert_eq!(Json::parse(fits.as_bytes()).unwrap().render(), fits);
        let wide = format!("[{}1]", "1,".repeat(VALUES_MAX));
        assert!(Json::parse(wide.as_bytes()).unwrap_err().contains("more than"));
    }

    #[test]
    fn numbers_are_shown_as_go_does() {
        for (value, text) in [
            (0.0, "0"),
            (3.0, "3"),
            (33.333333333333336, "33.333333333333336"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e21, "1e+21"),
        ] {
            assert_eq!(show_number(value), text);
        }
    }
}
