//! Go's `encoding/json` for structures whose members are known: names in any case, the first error told and the rest
//! read on, written again in the order of declaration.
//!
//! [`go_struct`] declares a structure once; reading, writing and the names in error texts follow from it.

use std::collections::BTreeMap;

use super::json::{Json, write_number};
use crate::point::echo::json_string;

/// A Go type.
pub trait Go: Default {
    /// Its name, as errors have it.
    fn go_type() -> String;
    /// How a slice of it is declared: of values or of pointers.
    const LISTED_AS: &'static str = "";

    fn decode(&mut self, json: &Json, at: &mut Decoder);
    fn encode(&self, out: &mut Vec<u8>);
    /// Whether `omitempty` omits it.
    fn is_empty(&self) -> bool;
}

/// Where a decoder stands, and the first thing that was wrong.
#[derive(Default)]
pub struct Decoder {
    error: Option<String>,
    structure: &'static str,
    path: Vec<&'static str>,
}

impl Decoder {
    /// Reads a whole value; Go goes on behind a mismatch, so that the value is there in any case.
    #[cfg(test)]
    pub fn read<T: Go>(json: &Json) -> (T, Option<String>) {
        let mut decoder = Decoder::default();
        let mut value = T::default();
        value.decode(json, &mut decoder);
        (value, decoder.error)
    }

    pub fn mismatch(&mut self, value: &str, go_type: &str) {
        if self.error.is_some() {
            return;
        }
        let target = match self.path.as_slice() {
            [] => "value".to_owned(),
            path => format!("struct field {}.{}", self.structure, path.join(".")),
        };
        self.error = Some(format!("json: cannot unmarshal {value} into Go {target} of type {go_type}"));
    }

    /// Runs `read` inside an object of this type.
    pub fn within(&mut self, structure: &'static str, read: impl FnOnce(&mut Decoder)) {
        let outer = std::mem::replace(&mut self.structure, structure);
        read(self);
        self.structure = outer;
    }

    /// Runs `read` for one member.
    pub fn field(&mut self, name: &'static str, read: impl FnOnce(&mut Decoder)) {
        self.path.push(name);
        read(self);
        self.path.pop();
    }

    pub fn into_error(self) -> Option<String> {
        self.error
    }
}

/// The member that `key` means: the one of that name, else one of that name in another case.
pub fn find(names: &[&'static str], key: &str) -> Option<&'static str> {
    let exact = names.iter().find(|name| **name == key);
    exact.or_else(|| names.iter().find(|name| folds_to(name, key))).copied()
}

/// Whether `key` is `name`, which is ASCII, in another case. Go folds the two letters beyond ASCII that fold into it.
fn folds_to(name: &str, key: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(fold).eq(key.chars().map(fold))
}

/// Begins a member of an object that is being written.
pub fn member(name: &str, first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::take(first) {
        out.push(b',');
    }
    json_string(name.as_bytes(), out);
    out.push(b':');
}

/// Declares a structure: `Name "GoName" "*" { field: Type => "name" [omitempty], … }`; the second text says how slices of
/// it are declared.
macro_rules! go_struct {
    ($(#[$meta:meta])* $name:ident $go:literal $listed:literal {
        $($(#[$field_meta:meta])* $field:ident : $ty:ty => $key:literal $([$omit:ident])?),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $ty,)*
        }

        impl $name {
            pub const GO_NAME: &'static str = $go;
            const NAMES: &'static [&'static str] = &[$($key),*];

            /// Reads the member `key`; false where there is no such one.
            pub fn decode_member(
                &mut self,
                key: &str,
                value: &$crate::aside::dialtest::json::Json,
                at: &mut $crate::aside::dialtest::decode::Decoder,
            ) -> bool {
                use $crate::aside::dialtest::decode::Go as _;
                match $crate::aside::dialtest::decode::find(Self::NAMES, key) {
                    $(Some($key) => at.field($key, |at| self.$field.decode(value, at)),)*
                    _ => return false,
                }
                true
            }
        }

        impl $crate::aside::dialtest::decode::Go for $name {
            const LISTED_AS: &'static str = $listed;

            fn go_type() -> String {
                concat!("dialtesting.", $go).to_owned()
            }

            fn decode(
                &mut self,
                json: &$crate::aside::dialtest::json::Json,
                at: &mut $crate::aside::dialtest::decode::Decoder,
            ) {
                use $crate::aside::dialtest::json::Json;
                match json {
                    Json::Map(members) => at.within(Self::GO_NAME, |at| {
                        for (key, value) in members {
                            self.decode_member(key, value, at);
                        }
                    }),
                    Json::Null => {}
                    other => at.mismatch(other.kind(), &Self::go_type()),
                }
            }

            fn encode(&self, out: &mut Vec<u8>) {
                let mut first = true;
                out.push(b'{');
                $({
                    let omitted = (false $(|| stringify!($omit) == "omitempty")?) && self.$field.is_empty();
                    if !omitted {
                        $crate::aside::dialtest::decode::member($key, &mut first, out);
                        self.$field.encode(out);
                    }
                })*
                let _ = first;
                out.push(b'}');
            }

            fn is_empty(&self) -> bool {
                false
            }
        }
    };
}
pub(super) use go_struct;

impl Go for String {
    fn go_type() -> String {
        "string".to_owned()
    }

    fn decode(&mut self, json: &Json, at: &mut Decoder) {
        match json {
            Json::Text(text) => self.clone_from(text),
            Json::Null => {}
            other => at.mismatch(other.kind(), "string"),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        json_string(self.as_bytes(), out);
    }

    fn is_empty(&self) -> bool {
        String::is_empty(self)
    }
}

impl Go for bool {
    fn go_type() -> String {
        "bool".to_owned()
    }

    fn decode(&mut self, json: &Json, at: &mut Decoder) {
        match json {
            Json::Bool(value) => *self = *value,
            Json::Null => {}
            other => at.mismatch(other.kind(), "bool"),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }

    fn is_empty(&self) -> bool {
        !*self
    }
}

impl Go for f64 {
    fn go_type() -> String {
        "float64".to_owned()
    }

    fn decode(&mut self, json: &Json, at: &mut Decoder) {
        match json {
            Json::Float(value) => *self = *value,
            Json::Int(value) => *self = *value as f64,
            Json::Null => {}
            other => at.mismatch(other.kind(), "float64"),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        write_number(*self, out);
    }

    fn is_empty(&self) -> bool {
        *self == 0.0
    }
}

macro_rules! go_integer {
    ($ty:ty, $go:literal) => {
        impl Go for $ty {
            fn go_type() -> String {
                $go.to_owned()
            }

            fn decode(&mut self, json: &Json, at: &mut Decoder) {
                match json {
                    // The text decides, as in Go: what is written with a point or an exponent is no integer.
                    Json::Float(_) | Json::Int(_) => match json.render().parse() {
                        Ok(value) => *self = value,
                        Err(_) => at.mismatch(&format!("number {}", json.render()), $go),
                    },
                    Json::Null => {}
                    other => at.mismatch(other.kind(), $go),
                }
            }

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(itoa::Buffer::new().format(*self).as_bytes());
            }

            fn is_empty(&self) -> bool {
                *self == 0
            }
        }
    };
}
go_integer!(isize, "int");
go_integer!(i64, "int64");
go_integer!(u8, "uint8");

/// A pointer.
impl<T: Go> Go for Option<T> {
    fn go_type() -> String {
        format!("*{}", T::go_type())
    }

    fn decode(&mut self, json: &Json, at: &mut Decoder) {
        match json {
            Json::Null => *self = None,
            json => self.get_or_insert_default().decode(json, at),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            None => out.extend_from_slice(b"null"),
            Some(value) => value.encode(out),
        }
    }

    fn is_empty(&self) -> bool {
        self.is_none()
    }
}

/// A slice. One that is not there and one without elements are written differently.
#[derive(Clone, Debug, PartialEq)]
pub struct List<T>(pub Option<Vec<T>>);

impl<T> Default for List<T> {
    fn default() -> List<T> {
        List(None)
    }
}

impl<T> List<T> {
    pub fn items(&self) -> &[T] {
        self.0.as_deref().unwrap_or(&[])
    }

    pub fn items_mut(&mut self) -> &mut [T] {
        self.0.as_deref_mut().unwrap_or(&mut [])
    }
}

impl<T: Go> Go for List<T> {
    fn go_type() -> String {
        format!("[]{}{}", T::LISTED_AS, T::go_type())
    }

    fn decode(&mut self, json: &Json, at: &mut Decoder) {
        match json {
            Json::List(items) => {
                let read = |item| {
                    let mut value = T::default();
                    value.decode(item, at);
                    value
                };
                self.0 = Some(items.iter().map(read).collect());
            }
            Json::Null => self.0 = None,
            other => at.mismatch(other.kind(), &Self::go_type()),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let Some(items) = &self.0 else { return out.extend_from_slice(b"null") };
        out.push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            item.encode(out);
        }
        out.push(b']');
    }

    fn is_empty(&self) -> bool {
        self.items().is_empty()
    }
}

/// A map from texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Map<T>(pub Option<BTreeMap<String, T>>);

impl<T> Default for Map<T> {
    fn default() -> Map<T> {
        Map(None)
    }
}

impl<T> Map<T> {
    pub fn iter(&self) -> impl Iterator<Item = (&String, &T)> {
        self.0.iter().flatten()
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flat_map(BTreeMap::values_mut)
    }

    #[cfg(test)]
    pub fn get(&self, key: &str) -> Option<&T> {
        self.0.as_ref()?.get(key)
    }
}

impl<T: Go> Go for Map<T> {
    fn go_type() -> String {
        format!("map[string]{}{}", T::LISTED_AS, T::go_type())
    }

    fn decode(&mut self, json: &Json, at: &mut Decoder) {
        match json {
            Json::Map(members) => {
                let map = self.0.get_or_insert_default();
                for (key, json) in members {
                    let mut value = T::default();
                    value.decode(json, at);
                    map.insert(key.clone(), value);
                }
            }
            Json::Null => self.0 = None,
            other => at.mismatch(other.kind(), &Self::go_type()),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let Some(map) = &self.0 else { return out.extend_from_slice(b"null") };
        let mut first = true;
        out.push(b'{');
        for (key, value) in map {
            member(key, &mut first, out);
            value.encode(out);
        }
        out.push(b'}');
    }

    fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(BTreeMap::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    go_struct! {
        Inner "Inner" "*" { count: isize => "count", name: String => "name" [omitempty] }
    }
    go_struct! {
        Outer "Outer" "*" {
            inner: Option<Inner> => "inner" [omitempty],
            list: List<Inner> => "list",
            map: Map<List<String>> => "map" [omitempty],
            small: u8 => "small",
            ratio: f64 => "ratio" [omitempty],
            is_on: bool => "is_on",
        }
    }

    fn read(text: &str) -> (Outer, Option<String>) {
        Decoder::read(&Json::parse(text.as_bytes()).unwrap())
    }

    fn written(value: &Outer) -> String {
        let mut out = Vec::new();
        value.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_are_read_in_any_case_and_written_in_order() {
        let (value, error) = read(
            r#"{"IS_ON":true,"map":{"k":["<"]},"ſmall":7,"LIST":[{"Count":2},null],"Inner":{"name":"n"},"x":[{}]}"#,
        );
        assert_eq!(error, None);
        assert_eq!(
            written(&value),
            r#"{"inner":{"count":0,"name":"n"},"list":[{"count":2},{"count":0}],"map":{"k":["\u003c"]},"small":7,"is_on":true}"#
        );
        assert_eq!(written(&Outer::default()), r#"{"list":null,"small":0,"is_on":false}"#);
        assert_eq!(written(&read(r#"{"list":[],"map":{}}"#).0), r#"{"list":[],"small":0,"is_on":false}"#);
        // The name itself comes before one in another case.
        assert_eq!(read(r#"{"SMALL":1,"small":2}"#).0.small, 2);
    }

    #[test]
    fn mismatches_are_told_in_gos_words_and_reading_goes_on() {
        for (text, error) in [
            (r#"[]"#, "json: cannot unmarshal array into Go value of type dialtesting.Outer"),
            (
                r#"{"inner":3}"#,
                "json: cannot unmarshal number into Go struct field Outer.inner of type dialtesting.Inner",
            ),
            (
                r#"{"inner":{"count":"x"}}"#,
                "json: cannot unmarshal string into Go struct field Inner.inner.count of type int",
            ),
            (
                r#"{"inner":{"count":1.5}}"#,
                "json: cannot unmarshal number 1.5 into Go struct field Inner.inner.count of type int",
            ),
            (
                r#"{"small":300}"#,
                "json: cannot unmarshal number 300 into Go struct field Outer.small of type uint8",
            ),
            (
                r#"{"list":{}}"#,
                "json: cannot unmarshal object into Go struct field Outer.list of type []*dialtesting.Inner",
            ),
            (
                r#"{"map":1}"#,
                "json: cannot unmarshal number into Go struct field Outer.map of type map[string][]string",
            ),
            (
                r#"{"map":{"k":[true]}}"#,
                "json: cannot unmarshal bool into Go struct field Outer.map of type string",
            ),
        ] {
            assert_eq!(read(text).1.as_deref(), Some(error), "{text}");
        }
        let (value, error) = read(r#"{"is_on":1,"small":9}"#);
        assert!(error.is_some() && value.small == 9);
        assert_eq!(read(r#"{"inner":null,"list":null,"small":null,"is_on":null}"#), (Outer::default(), None));
    }
}
