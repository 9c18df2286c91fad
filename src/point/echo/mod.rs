//! Points as text, written from their encoded bytes: the three `echo` formats, and line protocol for the archive.
//!
//! Source: the recorded DataKit 1.84.1, byte for byte where an order is fixed. Points stand in input order.

mod json;
mod lp;
mod number;
mod pbjson;
mod text;

pub use json::json;
pub use lp::{LineWriter, line_protocol, line_protocol_as_recorded};
pub use number::json as json_number;
pub use pbjson::{PbJsonStyle, pbjson};
pub use text::json_string;

use super::pb::{PbError, PbField, PbValue};

/// Why an echo could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EchoError {
    Pb(PbError),
    /// JSON has no such number; the text is what the reference answers in place of an echo.
    NotANumber,
}

impl From<PbError> for EchoError {
    fn from(error: PbError) -> EchoError {
        EchoError::Pb(error)
    }
}

impl std::fmt::Display for EchoError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EchoError::Pb(error) => error.fmt(f),
            EchoError::NotANumber => f.write_str(
                "json: error calling MarshalJSON for type *point.Point: json: unsupported value: NaN",
            ),
        }
    }
}

impl std::error::Error for EchoError {}

/// The elements of an array value if they are all of one kind; `None` for mixed arrays, maps and what is unknown.
fn uniform_array(any: &[u8]) -> Result<Option<Vec<PbValue<'_>>>, PbError> {
    let (type_url, value) = super::pb::any(any)?;
    if type_url != super::wire::ARRAY_TYPE_URL.as_bytes() {
        return Ok(None);
    }
    let items = super::pb::array(value).collect::<Result<Vec<_>, _>>()?;
    let kind = items.first().map(std::mem::discriminant);
    let uniform =
        items.iter().all(|item| *item != PbValue::Nil && Some(std::mem::discriminant(item)) == kind);
    Ok(uniform.then_some(items))
}

/// A tag's text; `None` for fields.
fn tag_text<'a>(field: &PbField<'a>) -> Option<&'a [u8]> {
    match field.value {
        PbValue::Str(value) if field.is_tag => Some(value),
        _ => None,
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests;
