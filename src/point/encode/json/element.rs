//! One element by the general path.

use crate::codec::json::{DEPTH_MAX, Simd, Tape};
use crate::point::draft::Warn;
use crate::point::encode::Rules;
use crate::point::encode::general::{Written, time_warn, write};
use crate::point::rules::LIMITS_ONLY;
use crate::point::time::{Resolved, resolve};
use crate::point::{Batch, check};

use super::dialect::{self, Sent};
use super::{BadJson, Reader};

/// An element stands in the body's array.
pub(super) const ELEMENT_DEPTH_MAX: usize = DEPTH_MAX - 1;

/// Memory that is reused from element to element.
#[derive(Debug, Default)]
pub struct Scratch {
    simd: Simd,
    tape: Tape,
}

/// Writes the element at `start`; gives the offset behind it, and its first warning.
pub(super) fn encode(
    body: &[u8],
    start: usize,
    reader: Reader,
    rules: &Rules<'_>,
    scratch: &mut Scratch,
    batch: &mut Batch,
) -> Result<(usize, Option<Warn>), BadJson> {
    let Scratch { simd, tape } = scratch;
    let out = &mut batch.bytes;
    let mut done = None;
    if reader != Reader::Plain {
        // A refusal here says nothing: the plain tape decides.
        done = simd
            .read(body, start, |element| dialect::read(element).ok().map(|sent| finish(sent, rules, out)));
    }
    let done = match done {
        Some(done) => done,
        None => {
            let end = tape.parse(body, start, ELEMENT_DEPTH_MAX).map_err(|_| BadJson)?;
            let sent = dialect::read(tape.root(body)).map_err(|_| BadJson)?;
            (end, finish(sent, rules, out))
        }
    };
    let (end, written) = done;
    batch.points += written.points;
    Ok((end, written.warn))
}

/// Checks a point and writes it.
///
/// DataKit checks twice: with the limits alone while it decodes, and then with the category's rules. Other than with line
/// protocol the warnings of both stay. Those that a point brings with it take the place of the first ones.
fn finish(sent: Sent<'_>, rules: &Rules<'_>, out: &mut Vec<u8>) -> Written {
    let Sent { mut draft, time } = sent;
    let brought = std::mem::take(&mut draft.warns);
    let mut warns = Vec::new();
    check::check(&mut draft, &LIMITS_ONLY, &mut warns);
    if !brought.is_empty() {
        warns = brought;
    }
    check::check(&mut draft, rules.category, &mut warns);
    // Said to strict clients only; see `general`.
    let mut silent = Vec::new();
    draft.time = match resolve(time, rules.precision) {
        Resolved::Given(ns) => ns,
        Resolved::Now => rules.now_ns,
        Resolved::Negative => {
            silent.push(time_warn("is negative", time));
            rules.now_ns
        }
        Resolved::OutOfRange => {
            warns.push(time_warn("is out of range", time));
            rules.now_ns
        }
    };
    draft.warns = warns;
    write(draft, silent, rules, out)
}
