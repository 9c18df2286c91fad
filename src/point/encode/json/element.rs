//! One element by the general path.

use crate::buf::Padded;
use crate::point::Batch;
use crate::point::draft::Warn;
use crate::point::encode::Rules;

use super::{BadJson, Reader};

/// Memory that is reused from element to element.
#[derive(Debug, Default)]
pub struct Scratch {}

/// Writes the element at `start`; gives the offset behind it, and its first warning.
pub(super) fn encode(
    _body: Padded<'_>,
    _start: usize,
    _reader: Reader,
    _rules: &Rules<'_>,
    _scratch: &mut Scratch,
    _batch: &mut Batch,
) -> Result<(usize, Option<Warn>), BadJson> {
    Err(BadJson)
}
