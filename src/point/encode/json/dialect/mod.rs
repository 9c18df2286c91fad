//! The two dialects: what a parsed element means, if it means anything.
//!
//! Each element is tried as PB-JSON first, which is strict, and then as simple JSON, which is lenient. Where neither
//! takes it, what simple JSON has against it is the error, whatever was meant.

mod any;
mod pbjson;
mod simple;
mod unique;

use std::fmt;

use crate::codec::json::{Number, Value, View};
use crate::point::draft::Draft;

/// A point as it was sent.
#[derive(Debug, PartialEq)]
pub(super) struct Sent<'a> {
    /// Its warnings are those that came with it; it has no time yet.
    pub draft: Draft<'a>,
    pub time: Option<i64>,
}

/// Why an element is no point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A PB-JSON point that DataKit takes, and fails over.
    Unsound(&'static str),
    /// What simple JSON has against it.
    Mismatch(Mismatch),
    /// This tape cannot say: another must.
    Unclear,
}

/// A value where Go's `JSONPoint` has another type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    kind: &'static str,
    /// The text of a number, where that and not its being a number is wrong.
    number: String,
    /// The member of the struct; `None`: the element itself.
    member: Option<&'static str>,
    go_type: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unsound(what) => f.write_str(what),
            Refusal::Mismatch(mismatch) => mismatch.fmt(f),
            Refusal::Unclear => f.write_str("json: not a point"),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "json: cannot unmarshal {}", self.kind)?;
        if !self.number.is_empty() {
            write!(f, " {}", self.number)?;
        }
        match self.member {
            Some(member) => {
                write!(f, " into Go struct field JSONPoint.{member} of type {}", self.go_type)
            }
            None => write!(f, " into Go value of type {}", self.go_type),
        }
    }
}

impl Mismatch {
    fn kind(kind: &'static str, member: &'static str, go_type: &'static str) -> Refusal {
        Refusal::Mismatch(Mismatch { kind, number: String::new(), member: Some(member), go_type })
    }

    fn number(number: Number<'_>, member: &'static str, go_type: &'static str) -> Refusal {
        let number = String::from_utf8_lossy(number.text()).into_owned();
        Refusal::Mismatch(Mismatch { kind: "number", number, member: Some(member), go_type })
    }
}

/// A list of points may have none in a place, and DataKit fails over it later.
const NULL_POINT: &str = "json: cannot unmarshal null into Go value of type point.JSONPoint";

/// Reads an element.
pub(super) fn read<'a, V: Value<'a>>(element: V) -> Result<Sent<'a>, Refusal> {
    if let View::Null = element.view() {
        return Err(Refusal::Unsound(NULL_POINT));
    }
    match pbjson::read(element) {
        Ok(sent) => Ok(sent),
        Err(pbjson::Not::Unsound(what)) => Err(Refusal::Unsound(what)),
        Err(pbjson::Not::Unclear) => Err(Refusal::Unclear),
        Err(pbjson::Not::PbJson) => simple::read(element),
    }
}
