//! Profiles in the form of pprof (`profile.proto`): what is measured in them, how much of it there is, and what has been
//! added since an earlier profile ([`delta`]).
//!
//! ```text
//! Profile  { 1: sample_type*, 2: sample*, 3: mapping*, 4: location*, 5: function*, 6: string_table*, 7: drop_frames,
//!            8: keep_frames, 9: time_nanos, 10: duration_nanos, 11: period_type, 12: period, 13: comment*,
//!            14: default_sample_type, 15: doc_url }
//! Sample   { 1: location_id*, 2: value*, 3: label* }     Label    { 1: key, 2: str, 3: num, 4: num_unit }
//! Location { 1: id, 2: mapping_id, 3: address, 4: line*, 5: is_folded }    Line { 1: function_id, 2: line, 3: column }
//! Mapping  { 1: id, 2: start, 3: limit, 4: offset, 5: filename, 6: build_id, 7..10: has_… }
//! Function { 1: id, 2: name, 3: system_name, 4: filename, 5: start_line }      ValueType { 1: type, 2: unit }
//! ```
//!
//! Texts are places in the string table, which usually comes last. Nothing is kept of a profile but what was asked for, and
//! every list has a bound.

mod delta;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeSet;
use std::fmt;

use super::protobuf::{PbError, Wire, fields, varint};

pub use delta::{Delta, delta};

/// Kinds of values in one profile: Datadog's profiler for Python has about fifteen.
const TYPES_MAX: usize = 64;
/// Texts of one profile. A large program with a stack of every request has some hundred thousand.
const STRINGS_MAX: usize = 1 << 20;
/// Distinct labels that are given out: they become tags, of which a profile has some ten.
const LABELS_MAX: usize = 256;

mod number {
    pub const SAMPLE_TYPE: u64 = 1;
    pub const SAMPLE: u64 = 2;
    pub const MAPPING: u64 = 3;
    pub const LOCATION: u64 = 4;
    pub const FUNCTION: u64 = 5;
    pub const STRING: u64 = 6;
    pub const DROP_FRAMES: u64 = 7;
    pub const KEEP_FRAMES: u64 = 8;
    pub const TIME: u64 = 9;
    pub const DURATION: u64 = 10;
    pub const PERIOD_TYPE: u64 = 11;
    pub const PERIOD: u64 = 12;
    pub const COMMENT: u64 = 13;
    pub const DEFAULT_TYPE: u64 = 14;
    pub const DOC_URL: u64 = 15;
}

/// Why bytes are no profile that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not even protobuf.
    Malformed(PbError),
    /// It contradicts itself, or what it is compared with.
    Invalid(&'static str),
    /// More than is looked at, of this.
    TooLarge(&'static str),
}

impl From<PbError> for Error {
    fn from(error: PbError) -> Error {
        Error::Malformed(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Malformed(error) => write!(f, "no profile: {error}"),
            Error::Invalid(text) => write!(f, "no valid profile: {text}"),
            Error::TooLarge(what) => write!(f, "a profile with too many {what}"),
        }
    }
}

impl std::error::Error for Error {}

/// What a value measures, as `cpu` in `nanoseconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueType<'a> {
    pub kind: &'a [u8],
    pub unit: &'a [u8],
}

/// A profile that was read through once.
#[derive(Debug)]
pub struct Profile<'a> {
    /// What the values of a sample are, in order.
    pub types: Vec<ValueType<'a>>,
    /// The values of all samples, added up by type.
    pub sums: Vec<i64>,
    pub samples: usize,
    /// When it was taken; 0: not said.
    pub time_nanos: i64,
    pub duration_nanos: i64,
    strings: Vec<&'a [u8]>,
    bytes: &'a [u8],
}

impl<'a> Profile<'a> {
    /// Reads a profile that is not compressed.
    pub fn read(bytes: &'a [u8]) -> Result<Profile<'a>, Error> {
        let mut types = Vec::new();
        let mut profile = Profile {
            types: Vec::new(),
            sums: Vec::new(),
            samples: 0,
            time_nanos: 0,
            duration_nanos: 0,
            strings: Vec::new(),
            bytes,
        };
        let mut values = Vec::new();
        for field in fields(bytes) {
            match field? {
                (number::SAMPLE_TYPE, Wire::Len(bytes)) => {
                    bounded(types.len(), TYPES_MAX, "sample types")?;
                    types.push(value_type(bytes)?);
                }
                (number::SAMPLE, Wire::Len(bytes)) => {
                    sample_values(bytes, &mut values)?;
                    if profile.samples == 0 {
                        profile.sums = vec![0; values.len()];
                    }
                    if values.len() != profile.sums.len() {
                        return Err(OTHER_COUNT);
                    }
                    profile.samples += 1;
                    for (sum, value) in profile.sums.iter_mut().zip(&values) {
                        *sum = sum.saturating_add(*value);
                    }
                }
                (number::STRING, Wire::Len(text)) => {
                    bounded(profile.strings.len(), STRINGS_MAX, "texts")?;
                    profile.strings.push(text);
                }
                (number::TIME, Wire::Varint(value)) => profile.time_nanos = value as i64,
                (number::DURATION, Wire::Varint(value)) => profile.duration_nanos = value as i64,
                _ => {}
            }
        }
        if profile.strings.first().is_some_and(|text| !text.is_empty()) {
            return Err(Error::Invalid("the first text is not the empty one"));
        }
        if profile.samples == 0 {
            profile.sums = vec![0; types.len()];
        }
        if profile.sums.len() != types.len() {
            return Err(OTHER_COUNT);
        }
        for (kind, unit) in types {
            profile.types.push(ValueType { kind: profile.string(kind)?, unit: profile.string(unit)? });
        }
        Ok(profile)
    }

    /// What the values of a type come to; None: there is no such type.
    pub fn sum(&self, kind: &str) -> Option<i64> {
        let at = self.types.iter().position(|known| known.kind == kind.as_bytes())?;
        self.sums.get(at).copied()
    }

    /// The text labels of all samples but those with these keys: each pair once, sorted, and [`LABELS_MAX`] at most.
    pub fn labels(&self, without: &[&str]) -> Result<Vec<(String, String)>, Error> {
        let mut found: BTreeSet<(&[u8], &[u8])> = BTreeSet::new();
        for field in fields(self.bytes) {
            let (number::SAMPLE, Wire::Len(sample)) = field? else { continue };
            for field in fields(sample) {
                let (3, Wire::Len(bytes)) = field? else { continue };
                let label = Label::read(bytes)?;
                let (key, value) = (self.string(label.key)?, self.string(label.text)?);
                let wanted = !value.is_empty() && !without.iter().any(|name| name.as_bytes() == key);
                if wanted && found.len() < LABELS_MAX {
                    found.insert((key, value));
                }
            }
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(found.into_iter().map(|(key, value)| (text(key), text(value))).collect())
    }

    fn string(&self, index: u64) -> Result<&'a [u8], Error> {
        // A profile without any text may leave out even the empty one.
        match usize::try_from(index).ok().and_then(|index| self.strings.get(index)) {
            Some(text) => Ok(text),
            None if index == 0 => Ok(b""),
            None => Err(Error::Invalid("a text that is not there")),
        }
    }
}

const OTHER_COUNT: Error = Error::Invalid("a sample has another number of values than there are types");

fn bounded(len: usize, max: usize, what: &'static str) -> Result<(), Error> {
    if len < max { Ok(()) } else { Err(Error::TooLarge(what)) }
}

/// A `ValueType`: type and unit.
fn value_type(bytes: &[u8]) -> Result<(u64, u64), Error> {
    let (mut kind, mut unit) = (0, 0);
    for field in fields(bytes) {
        match field? {
            (1, Wire::Varint(value)) => kind = value,
            (2, Wire::Varint(value)) => unit = value,
            _ => {}
        }
    }
    Ok((kind, unit))
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Label {
    key: u64,
    text: u64,
    number: u64,
    unit: u64,
}

impl Label {
    fn read(bytes: &[u8]) -> Result<Label, Error> {
        let mut label = Label::default();
        for field in fields(bytes) {
            match field? {
                (1, Wire::Varint(value)) => label.key = value,
                (2, Wire::Varint(value)) => label.text = value,
                (3, Wire::Varint(value)) => label.number = value,
                (4, Wire::Varint(value)) => label.unit = value,
                _ => {}
            }
        }
        Ok(label)
    }
}

/// The values of a sample, into `values`.
fn sample_values(sample: &[u8], values: &mut Vec<i64>) -> Result<(), Error> {
    values.clear();
    for field in fields(sample) {
        if let (2, value) = field? {
            numbers(value, |value| {
                bounded(values.len(), TYPES_MAX, "values in a sample")?;
                values.push(value as i64);
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// The numbers of one occurrence of a repeated field: one, or several packed.
fn numbers(value: Wire<'_>, mut take: impl FnMut(u64) -> Result<(), Error>) -> Result<(), Error> {
    match value {
        Wire::Varint(value) => take(value),
        Wire::Len(mut bytes) => {
            while !bytes.is_empty() {
                let (value, rest) = varint(bytes)?;
                take(value)?;
                bytes = rest;
            }
            Ok(())
        }
        Wire::Fixed32(_) | Wire::Fixed64(_) => Err(Error::Invalid("a number of another kind")),
    }
}
