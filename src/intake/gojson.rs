//! Small JSON bodies as Go's decoder reads them: names whatever their case, `null` for nothing, unknown names passed over,
//! and what is wrong said in Go's words. For requests that are not points.

use serde_json::{Map, Value};

use crate::codec::json;

/// A body's value. The error is Go's.
pub fn parse(body: &[u8]) -> Result<Value, String> {
    json::check(body).map_err(|error| error.to_string())?;
    // Grammar is good: what is left is nesting beyond what is worth a stack, and numbers beyond any range.
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// Go's word for the kind of a value.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The members of an object that stands for a Go struct.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    members: Option<&'a Map<String, Value>>,
    /// The struct's name, without its package.
    owner: &'static str,
    /// The names that lead to it, each with a dot behind it.
    path: String,
}

impl<'a> Fields<'a> {
    /// The outermost value. `package` is that of the struct.
    pub fn root(value: &'a Value, package: &str, owner: &'static str) -> Result<Fields<'a>, String> {
        let members = match value {
            Value::Object(members) => Some(members),
            Value::Null => None,
            other => {
                let kind = kind(other);
                return Err(format!("json: cannot unmarshal {kind} into Go value of type {package}.{owner}"));
            }
        };
        Ok(Fields { members, owner, path: String::new() })
    }

    /// An element of the list `key` here, whose elements are structs; `go_type` names their type.
    pub fn inside(
        &self,
        value: &'a Value,
        key: &str,
        owner: &'static str,
        go_type: &str,
    ) -> Result<Fields<'a>, String> {
        let members = match value {
            Value::Object(members) => Some(members),
            Value::Null => None,
            other => return Err(self.mismatch(key, kind(other), go_type)),
        };
        Ok(Fields { members, owner, path: format!("{}{key}.", self.path) })
    }

    /// The value of a name: the one that is spelled so, else one in other case. None for `null` too.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        let members = self.members?;
        let found = members.get(key).or_else(|| {
            members.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
        });
        found.filter(|value| !value.is_null())
    }

    pub fn text(&self, key: &str) -> Result<&'a str, String> {
        match self.get(key) {
            None => Ok(""),
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(self.mismatch(key, kind(other), "string")),
        }
    }

    pub fn boolean(&self, key: &str) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err(self.mismatch(key, kind(other), "bool")),
        }
    }

    pub fn integer(&self, key: &str) -> Result<i64, String> {
        self.get(key).map_or(Ok(0), |value| self.as_integer(key, value))
    }

    /// A value of `key`, or an element of it.
    pub fn as_integer(&self, key: &str, value: &Value) -> Result<i64, String> {
        match value {
            Value::Number(number) => {
                number.as_i64().ok_or_else(|| self.mismatch(key, &format!("number {number}"), "int"))
            }
            other => Err(self.mismatch(key, kind(other), "int")),
        }
    }

    /// `go_type` is the list's own type.
    pub fn list(&self, key: &str, go_type: &str) -> Result<Option<&'a [Value]>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self.mismatch(key, kind(other), go_type)),
        }
    }

    /// What Go says of a value of the wrong kind.
    pub fn mismatch(&self, key: &str, found: &str, go_type: &str) -> String {
        let Fields { owner, path, .. } = self;
        format!("json: cannot unmarshal {found} into Go struct field {owner}.{path}{key} of type {go_type}")
    }
}

/// An error's text as DataKit makes a code of it: the words joined, all but the first with a capital letter wherever one of
/// its letters follows something else.
pub fn camelised(text: &str) -> String {
    let mut words = text.split(' ');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut after_letter = false;
        for character in word.chars() {
            if after_letter {
                out.push(character)
            } else {
                out.extend(character.to_uppercase())
            }
            after_letter = match character {
                '_' => true,
                character if character.is_ascii() => character.is_ascii_alphanumeric(),
                character => !character.is_whitespace(),
            };
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_bodies_are_described_as_go_does() {
        for (body, text) in [
            ("abc", "invalid character 'a' looking for beginning of value"),
            ("", "unexpected end of JSON input"),
            ("{} x", "invalid character 'x' after top-level value"),
        ] {
            assert_eq!(parse(body.as_bytes()), Err(text.to_owned()), "{body}");
        }
        let array = parse(b"[]").unwrap();
        assert_eq!(
            Fields::root(&array, "httpapi", "ErrMessage").map(drop),
            Err("json: cannot unmarshal array into Go value of type httpapi.ErrMessage".to_owned())
        );
        let deep = "[".repeat(5000) + &"]".repeat(5000);
        assert!(parse(deep.as_bytes()).is_err());
    }

    #[test]
    fn names_are_found_in_any_case_and_null_is_nothing() {
        let value = parse(br#"{"Input":"a","source":null,"n":7,"b":true,"l":[1]}"#).unwrap();
        let fields = Fields::root(&value, "p", "S").unwrap();
        assert_eq!(
            (fields.text("input"), fields.text("source"), fields.text("none")),
            (Ok("a"), Ok(""), Ok(""))
        );
        assert_eq!((fields.integer("n"), fields.boolean("b")), (Ok(7), Ok(true)));
        assert_eq!(fields.list("l", "[]int").unwrap().unwrap().len(), 1);
        assert_eq!(
            fields.text("n"),
            Err("json: cannot unmarshal number into Go struct field S.n of type string".to_owned())
        );
        let value = parse(br#"{"queries":[{"limit":1.5}]}"#).unwrap();
        let fields = Fields::root(&value, "p", "Q").unwrap();
        let first = &fields.list("queries", "[]*p.One").unwrap().unwrap()[0];
        assert_eq!(
            fields.inside(first, "queries", "One", "p.One").unwrap().integer("limit"),
            Err("json: cannot unmarshal number 1.5 into Go struct field One.queries.limit of type int"
                .to_owned())
        );
    }

    #[test]
    fn texts_become_codes() {
        for (text, code) in [
            ("input or errcontent can not be nil", "inputOrErrcontentCanNotBeNil"),
            (
                "invalid JSON body: invalid character 'a' looking for beginning of value",
                "invalidJSONBody:InvalidCharacter'A'LookingForBeginningOfValue",
            ),
            (
                "invalid JSON body: json: cannot unmarshal array into Go value of type httpapi.ErrMessage",
                "invalidJSONBody:Json:CannotUnmarshalArrayIntoGoValueOfTypeHttpapi.ErrMessage",
            ),
            (
                "invalid JSON body: invalid character 'x' after top-level value",
                "invalidJSONBody:InvalidCharacter'X'AfterTop-LevelValue",
            ),
            ("", ""),
        ] {
            assert_eq!(camelised(text), code);
        }
    }
}
