//! The vector reader: ordinary lines, quickly.
//!
//! Stage 1 ([`crate::simd::structure`]) lists where the structure of a window of the body lies. Stage 2, here, walks
//! that list line by line. A line is ordinary when it is nothing but
//!
//! ```text
//! name ,key=value… SPACE key=value,… [SPACE time] NEWLINE
//! ```
//!
//! with single spaces, no quote, bracket, tab or NUL outside string values, no backslash either but for escapes in tag
//! values, and field values that are numbers, truth values or strings. Every other line, and every line that might be
//! wrong, is handed to the plain reader alone, after which stage 2 goes on. So a line is taken here only when the plain
//! reader would give the same; what is an error is never decided here.
//!
//! Quotes outside string values (in a tag, say) make stage 1 see strings where there are none. Such a line is not
//! ordinary, and behind it the index is only used on when it has a newline exactly where the plain reader found the
//! end of the line: then the quotes before balance. Otherwise a new window starts there.

mod line;

use line::{CAREFREE_FROM, Walk};

use super::BODY_BYTES_MAX;
use super::plain;
use super::scan::Scanned;
use super::tape::Tape;
use crate::buf::Padded;
use crate::simd::structure;
use crate::simd::{Isa, Level, portable::Portable};

/// How much of the body stage 1 indexes at once: body, index and tape of a window stay in the first-level caches.
const WINDOW_BYTES: usize = 16 << 10;

/// After a line that left the index unusable windows start this small, so that bodies full of such lines do not pay
/// for windows they throw away.
const WINDOW_BYTES_MIN: usize = 1 << 10;

/// A line that does not end within this is left to the plain reader, which needs no index.
const WINDOW_BYTES_MAX: usize = 1 << 20;

/// Slots of the table that finds duplicate keys. At a dozen keys a line one line in a hundred and fifty looks twice.
const SLOTS: usize = 1 << 13;

#[cfg(test)]
thread_local! {
    /// Lines that were handed to the plain reader, so that tests can see that ordinary ones are not.
    pub(super) static HANDED_OVER: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Memory of the reader, kept with the tape from one body to the next.
#[derive(Debug)]
pub(super) struct Scratch {
    index: Vec<u32>,
    scanned: Scanned,
    /// Per fingerprint of a key the last line that had it.
    seen: Box<[u16; SLOTS]>,
    line: u16,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch { index: Vec::new(), scanned: Scanned::default(), seen: Box::new([0; SLOTS]), line: 0 }
    }
}

/// A bad line: the body has to be read again for the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad;

/// Reads whole lines from `from` on until at least `budget` bytes are read or the body ends; returns where it
/// stopped. Appends to the tape.
pub(super) fn parse_some(
    level: Level,
    body: Padded<'_>,
    from: usize,
    budget: usize,
    tape: &mut Tape,
) -> Result<usize, Bad> {
    assert!(body.len() <= BODY_BYTES_MAX, "BUG: a body of {} bytes", body.len());
    assert!(level <= Level::best(), "BUG: {level:?} is not there");
    let mut scratch = tape.scratch.take().unwrap_or_default();
    let result = windows(level, body, from, budget, &mut scratch, tape);
    tape.scratch = Some(scratch);
    result
}

/// Window after window.
fn windows(
    level: Level,
    body: Padded<'_>,
    from: usize,
    budget: usize,
    scratch: &mut Scratch,
    tape: &mut Tape,
) -> Result<usize, Bad> {
    let len = body.len();
    let stop = from.saturating_add(budget.max(1)).min(len);
    let mut at = from;
    let mut window = WINDOW_BYTES;
    // More than a window, while a line is longer than one.
    let mut stretched = 0;
    while at < stop {
        let to = len.min(at + window.min((stop - at).max(WINDOW_BYTES_MIN)).max(stretched));
        // SAFETY: `at <= to <= len`, and the level is there.
        let count = unsafe { index(level, body, at, to, &mut scratch.index) };
        let newline = scratch.index[..count].iter().rposition(|&i| body[i as usize] == b'\n');
        let complete = newline.map_or(0, |last| last + 1);
        if complete == 0 && to < len {
            // Not one line ends here.
            if to - at < WINDOW_BYTES_MAX {
                stretched = ((to - at).max(WINDOW_BYTES_MIN) * 4).min(WINDOW_BYTES_MAX);
            } else {
                stretched = 0;
                at = one_plain_line(&body, at, &mut scratch.scanned, tape)?;
            }
            continue;
        }
        stretched = 0;
        let synchronous;
        (at, synchronous) = lines(level, body, at, to, count, complete, scratch, tape)?;
        window = if synchronous { (window * 2).min(WINDOW_BYTES) } else { WINDOW_BYTES_MIN };
    }
    Ok(at.min(len))
}

/// Reads the lines of a window: of the `count` entries of its index the first `complete` end with a newline. Returns
/// where it stopped: behind the last line, or (`false`) behind one that made the rest of the index unusable.
#[expect(clippy::too_many_arguments, reason = "a window, its index, and where the points go")]
fn lines(
    level: Level,
    body: Padded<'_>,
    from: usize,
    to: usize,
    count: usize,
    complete: usize,
    scratch: &mut Scratch,
    tape: &mut Tape,
) -> Result<(usize, bool), Bad> {
    let Scratch { index, scanned, seen, line } = scratch;
    let mut walk =
        Walk { body: body.with_padding().as_ptr(), len: body.len(), index: &index[..], seen, line: *line };
    let (mut k, mut at) = (0, from);
    let result = loop {
        if k < complete && at >= CAREFREE_FROM {
            // SAFETY: `k` is where the structure of the line at `at` starts, entry `complete - 1` is a newline, and
            // the level is there.
            (k, at) = unsafe { walk_lines(level, &mut walk, k, at, complete, tape) };
            if k == complete {
                continue;
            }
        } else if k < complete || (at < to && to == body.len()) {
            // SAFETY: likewise, with a line that starts or ends with the body.
            if let Some(next) = unsafe { walk_careful_line(level, &mut walk, k, at, tape) } {
                (k, at) = next;
                continue;
            }
        } else {
            break Ok((at, true));
        }
        // A line that is not ordinary.
        match one_plain_line(&body, at, scanned, tape) {
            Ok(next) => at = next,
            Err(Bad) => break Err(Bad),
        }
        let end = at - 1;
        while k < count && (index[k] as usize) < end {
            k += 1;
        }
        let synchronous = k < count && index[k] as usize == end && body[end] == b'\n';
        if !synchronous {
            break Ok((at, false));
        }
        k += 1;
    };
    *line = walk.line;
    result
}

fn one_plain_line(body: &[u8], at: usize, scanned: &mut Scanned, tape: &mut Tape) -> Result<usize, Bad> {
    #[cfg(test)]
    HANDED_OVER.set(HANDED_OVER.get() + 1);
    let line = plain::line(body, at, scanned, Some(tape));
    line.result.map(|_| line.next).map_err(|_| Bad)
}

/// One function of `$name` per instruction set, and the one that chooses.
///
/// # Safety
/// The level must be there; otherwise as for the function that is instantiated.
macro_rules! per_level {
    (unsafe fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty = $generic:ident::<$isa:ident>) => {
        unsafe fn $name(level: Level, $($arg: $type),*) -> $result {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt,sse4.2,pclmulqdq")]
            unsafe fn avx2($($arg: $type),*) -> $result {
                // SAFETY: the caller's promise.
                unsafe { $generic::<crate::simd::x86::Avx2>($($arg),*) }
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(
                enable = "avx2,bmi1,bmi2,popcnt,lzcnt,sse4.2,pclmulqdq,avx512f,avx512bw,avx512vl,avx512vbmi2"
            )]
            unsafe fn avx512($($arg: $type),*) -> $result {
                // SAFETY: the caller's promise.
                unsafe { $generic::<crate::simd::x86::Avx512>($($arg),*) }
            }

            // SAFETY: the caller's promise.
            unsafe {
                match level {
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => avx2($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => avx512($($arg),*),
                    _ => $generic::<Portable>($($arg),*),
                }
            }
        }
    };
}

per_level!(unsafe fn index(body: Padded<'_>, from: usize, to: usize, out: &mut Vec<u32>) -> usize = index_on::<I>);
per_level!(unsafe fn walk_lines(walk: &mut Walk<'_>, k: usize, at: usize, complete: usize, tape: &mut Tape) -> (usize, usize) = walk_lines_on::<I>);
per_level!(unsafe fn walk_careful_line(walk: &mut Walk<'_>, k: usize, at: usize, tape: &mut Tape) -> Option<(usize, usize)> = careful_line_on::<I>);

/// Stage 1 of a window.
///
/// # Safety
/// `from <= to <= body.len()`, and `I` must be there.
#[inline(always)]
unsafe fn index_on<I: Isa>(body: Padded<'_>, from: usize, to: usize, out: &mut Vec<u32>) -> usize {
    // SAFETY: the body is padded and short enough for 32 bits.
    unsafe { structure::index::<I>(body.with_padding().as_ptr(), from, to, out) }
}

/// Reads ordinary lines until one is not, or none is left before entry `complete`. Returns the entry and the offset
/// of the line it stopped at.
///
/// # Safety
/// Entry `complete - 1` must be a newline, `k` the entry where the line at `at` starts, `at` at least
/// [`CAREFREE_FROM`], and `I` must be there.
#[inline(always)]
unsafe fn walk_lines_on<I: Isa>(
    walk: &mut Walk<'_>,
    mut k: usize,
    mut at: usize,
    complete: usize,
    tape: &mut Tape,
) -> (usize, usize) {
    tape.kvs.reserve((complete - k).div_ceil(2));
    while k < complete {
        // SAFETY: a newline is at or behind entry `k`; lines take at least the entries reserved for.
        match unsafe { line::line::<I, false>(walk, k, at, tape) } {
            Some(next) => (k, at) = next,
            None => break,
        }
    }
    (k, at)
}

/// Reads one line that starts or ends with the body, if it is ordinary.
///
/// # Safety
/// `k` must be the entry where the line at `at` starts, a newline or the end of the body must end it, and `I` must be
/// there.
#[inline(always)]
unsafe fn careful_line_on<I: Isa>(
    walk: &mut Walk<'_>,
    k: usize,
    at: usize,
    tape: &mut Tape,
) -> Option<(usize, usize)> {
    tape.kvs.reserve((walk.index.len() - k).div_ceil(2));
    // SAFETY: the caller's promises.
    unsafe { line::line::<I, true>(walk, k, at, tape) }
}
