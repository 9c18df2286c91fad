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
//! values, and field values that are numbers, truth values or strings. Every other line, and every line that might be wrong, is handed
//! to the plain reader alone, after which stage 2 goes on. So a line is taken here only when the plain reader would
//! give the same; what is an error is never decided here.
//!
//! Quotes outside string values (in a tag, say) make stage 1 see strings where there are none. Such a line is not
//! ordinary, and behind it the index is only used on when it has a newline exactly where the plain reader found the
//! end of the line: then the quotes before balance. Otherwise a new window starts there.

use std::ops::ControlFlow;

use super::BODY_BYTES_MAX;
use super::error::LineError;
use super::plain;
use super::scan::{Scanned, parse_bool};
use super::tape::{Kind, Kv, PointSpan, Tape, span};
use crate::buf::{PADDING, Padded};
use crate::simd::structure::{self, SENTINELS};
use crate::simd::{Isa, Level, POWERS_OF_TEN, copy_over, digits, load_u64, portable::Portable};

/// How much of the body stage 1 indexes at once: body, index and tape of a window stay in the first-level caches.
const WINDOW_BYTES: usize = 16 << 10;

/// After a line that left the index unusable windows start this small, so that bodies full of such lines do not pay
/// for windows they throw away.
const WINDOW_BYTES_MIN: usize = 1 << 10;

/// A line that does not end within this is left to the plain reader, which needs no index.
const WINDOW_BYTES_MAX: usize = 1 << 20;

/// Slots of the table that finds duplicate keys. At a dozen keys a line one line in a hundred and fifty looks twice.
const SLOTS: usize = 1 << 13;

/// Lines of more key-values are left to the plain reader, whose search for duplicates does not degrade.
const KVS_MAX: usize = 512;

/// Key parts and field keys below these cannot exceed the limit on their sum.
const KEY_PART_BYTES_MAX: usize = 1 << 14;
const FIELD_KEY_BYTES_MAX: usize = 1 << 15;
const _: () = assert!(KEY_PART_BYTES_MAX + 4 + FIELD_KEY_BYTES_MAX <= super::error::KEY_BYTES_MAX);

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
#[derive(Debug)]
pub(super) struct Bad;

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
    match level {
        Level::Portable => run::<Portable>(body, from, budget, tape),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            assert!(level <= Level::best(), "BUG: AVX2 asked for and not there");
            // SAFETY: it is there.
            unsafe { run_avx2(body, from, budget, tape) }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => {
            assert!(level <= Level::best(), "BUG: AVX-512 asked for and not there");
            // SAFETY: it is there.
            unsafe { run_avx512(body, from, budget, tape) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        _ => run::<Portable>(body, from, budget, tape),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt,pclmulqdq")]
fn run_avx2(body: Padded<'_>, from: usize, budget: usize, tape: &mut Tape) -> Result<usize, Bad> {
    run::<crate::simd::x86::Avx2>(body, from, budget, tape)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt,pclmulqdq,avx512f,avx512bw,avx512vl,avx512vbmi2")]
fn run_avx512(body: Padded<'_>, from: usize, budget: usize, tape: &mut Tape) -> Result<usize, Bad> {
    run::<crate::simd::x86::Avx512>(body, from, budget, tape)
}

/// Window after window. Only called where `I` is available.
#[inline(always)]
fn run<I: Isa>(body: Padded<'_>, from: usize, budget: usize, tape: &mut Tape) -> Result<usize, Bad> {
    let mut scratch = std::mem::take(&mut tape.scratch).unwrap_or_default();
    let len = body.len();
    let stop = from.saturating_add(budget.max(1)).min(len);
    let mut at = from;
    let mut window = WINDOW_BYTES;
    // More than a window, while a line is longer than one.
    let mut stretched = 0;
    let result = loop {
        if at >= stop {
            break Ok(at.min(len));
        }
        let to = len.min(at + window.min((stop - at).max(WINDOW_BYTES_MIN)).max(stretched));
        // SAFETY: `at <= to <= len`, the body is padded and short enough, and `I` is available.
        let count =
            unsafe { structure::index::<I>(body.with_padding().as_ptr(), at, to, &mut scratch.index) };
        let lines = scratch.index[..count].iter().rposition(|&i| body[i as usize] == b'\n');
        let complete = lines.map_or(0, |last| last + 1);
        if complete == 0 && to < len {
            // Not one line ends here.
            if to - at < WINDOW_BYTES_MAX {
                stretched = (to - at).max(WINDOW_BYTES_MIN) * 4;
                continue;
            }
            stretched = 0;
            match one_plain_line(&body, at, &mut scratch.scanned, tape) {
                Ok(next) => at = next,
                Err(_) => break Err(Bad),
            }
            continue;
        }
        stretched = 0;
        // SAFETY: the index is of this body; `I` is available.
        let reached = unsafe { walk::<I>(body, at, to, complete, &mut scratch, tape) };
        match reached {
            Ok(ControlFlow::Continue(next)) => {
                at = next;
                window = (window * 2).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES);
            }
            Ok(ControlFlow::Break(next)) => {
                at = next;
                window = WINDOW_BYTES_MIN;
            }
            Err(Bad) => break Err(Bad),
        }
    };
    tape.scratch = Some(scratch);
    result
}

fn one_plain_line(
    body: &[u8],
    at: usize,
    scanned: &mut Scanned,
    tape: &mut Tape,
) -> Result<usize, LineError> {
    #[cfg(test)]
    HANDED_OVER.set(HANDED_OVER.get() + 1);
    let line = plain::line(body, at, scanned, Some(tape));
    line.result.map(|_| line.next)
}

/// What a walk over one window shares between its lines.
struct Walk<'a> {
    body: *const u8,
    /// The end of the body, where [`Walk::byte`] sees a newline when `TAIL`.
    len: usize,
    index: &'a [u32],
    seen: &'a mut [u16; SLOTS],
    line: u16,
}

/// Reads the lines of a window: the first `complete` entries of the index end with a newline. Continues behind the
/// last line, breaks off behind a line that made the index unusable.
///
/// # Safety
/// The index must be that of `body[at..to]`, `I` must be available.
#[inline(always)]
unsafe fn walk<I: Isa>(
    body: Padded<'_>,
    mut at: usize,
    to: usize,
    complete: usize,
    scratch: &mut Scratch,
    tape: &mut Tape,
) -> Result<ControlFlow<usize, usize>, Bad> {
    let Scratch { index, scanned, seen, line } = scratch;
    let count = index.len() - SENTINELS;
    let mut walk =
        Walk { body: body.with_padding().as_ptr(), len: body.len(), index: &index[..], seen, line: *line };
    let mut k = 0;
    let result = loop {
        // SAFETY: `k` is at the start of a line that has a newline in the index, or in the last, unended line.
        let ordinary = unsafe {
            if k < complete {
                walk.line::<I, false>(k, at, tape)
            } else if at < to && to == body.len() {
                walk.line::<I, true>(k, at, tape)
            } else {
                break Ok(ControlFlow::Continue(at));
            }
        };
        if let Some((next_k, next)) = ordinary {
            k = next_k;
            at = next;
            continue;
        }
        let Ok(next) = one_plain_line(&body, at, scanned, tape) else { break Err(Bad) };
        at = next;
        while k < count && (index[k] as usize) < next - 1 {
            k += 1;
        }
        let synchronous = k < count && index[k] as usize == next - 1 && body[next - 1] == b'\n';
        if !synchronous {
            break Ok(ControlFlow::Break(at));
        }
        k += 1;
    };
    *line = walk.line;
    result
}

impl Walk<'_> {
    /// Reads the line at `at`, whose structure starts at entry `k`. `None`: not an ordinary line, and nothing has
    /// been appended.
    ///
    /// # Safety
    /// As for [`walk`]; the line must end with a newline that is in the index, or at the end of the body if `TAIL`.
    #[inline(always)]
    unsafe fn line<I: Isa, const TAIL: bool>(
        &mut self,
        mut k: usize,
        at: usize,
        tape: &mut Tape,
    ) -> Option<(usize, usize)> {
        // SAFETY (this function): entries of the index are offsets up to the end of the body, behind which PADDING
        // bytes are readable. An entry is looked at only while no newline of this line has been passed, so at most
        // four entries past it, which the sentinels cover. Key-values are written only after `reserve`.
        unsafe {
            let mut end = self.entry(k);
            if end == at {
                // Blank, or starts with a separator.
                return (self.byte::<TAIL>(at) == b'\n').then_some((k + 1, at + 1));
            }
            let mut byte = self.byte::<TAIL>(end);
            let first = *self.body.add(at);
            if first == b'#' || (byte != b',' && byte != b' ') {
                return None;
            }
            let name_len = end - at;
            k += 1;
            self.next_line();
            let first_kv = tape.kvs.len();
            let arena_mark = tape.arena.len();
            tape.kvs.reserve(KVS_MAX + 1);
            let kvs = tape.kvs.as_mut_ptr().add(first_kv);
            let mut n = 0;
            while byte == b',' {
                let key = end + 1;
                let equals = self.entry(k);
                let value = equals + 1;
                end = self.entry(k + 1);
                byte = self.byte::<TAIL>(end);
                k += 2;
                let (mut text, mut flags) = (span(value, end - value), 0);
                if byte == b'\\' {
                    let Some((unescaped, next_k)) = self.escaped_tag::<TAIL>(k - 1, value, tape) else {
                        self.undo(tape, arena_mark);
                        return None;
                    };
                    (text, flags) = (unescaped, Kv::VALUE_IN_ARENA);
                    k = next_k;
                    end = self.entry(k - 1);
                    byte = self.byte::<TAIL>(end);
                }
                let well_formed = (self.byte::<TAIL>(equals) == b'=')
                    & (equals > key)
                    & (end > value)
                    & ((byte == b',') | (byte == b' '))
                    & (n < KVS_MAX);
                if !well_formed || self.is_duplicate(key, equals - key, kvs, n) {
                    self.undo(tape, arena_mark);
                    return None;
                }
                kvs.add(n).write(Kv {
                    key: key as u32,
                    key_len: (equals - key) as u16,
                    kind: Kind::Tag,
                    flags,
                    value: text,
                });
                n += 1;
            }
            let tags = n;
            if end - at >= KEY_PART_BYTES_MAX {
                self.undo(tape, arena_mark);
                return None;
            }
            let mut widest = 0;
            loop {
                let key = end + 1;
                let equals = self.entry(k);
                let well_formed = (self.byte::<TAIL>(equals) == b'=') & (equals > key) & (n < KVS_MAX);
                if !well_formed || self.is_duplicate(key, equals - key, kvs, n) {
                    self.undo(tape, arena_mark);
                    return None;
                }
                widest |= equals - key;
                let value = equals + 1;
                let first = *self.body.add(value);
                end = self.entry(k + 1);
                let (kind, bits, flags);
                if first == b'"' {
                    let string = self.string::<TAIL>(k, value, tape);
                    let Some((flag, text, next_k)) = string else {
                        self.undo(tape, arena_mark);
                        return None;
                    };
                    (kind, bits, flags) = (Kind::Str, text, flag);
                    k = next_k;
                    end = self.entry(k - 1);
                } else {
                    let negative = u64::from(first == b'-');
                    let text = value + negative as usize;
                    let decimal = I::decimal(self.body.add(text));
                    let suffix = *self.body.add(text + decimal.len);
                    let is_int = u64::from(suffix == b'i');
                    let ends = text + decimal.len + is_int as usize == end;
                    if decimal.ok & ends & ((is_int == 0) | (decimal.fraction == 0)) {
                        let float =
                            decimal.mantissa as i64 as f64 / POWERS_OF_TEN.get_unchecked(decimal.fraction);
                        let float = float.to_bits() ^ negative << 63;
                        let int = (decimal.mantissa ^ negative.wrapping_neg()).wrapping_add(negative);
                        bits = if is_int == 1 { int } else { float };
                        kind = if is_int == 1 { Kind::Int } else { Kind::Float };
                    } else {
                        let text =
                            std::slice::from_raw_parts(self.body.add(value), end.saturating_sub(value));
                        let Some(unusual) = unusual_value(text) else {
                            self.undo(tape, arena_mark);
                            return None;
                        };
                        (kind, bits) = unusual;
                    }
                    flags = 0;
                    k += 2;
                }
                kvs.add(n).write(Kv {
                    key: key as u32,
                    key_len: (equals - key) as u16,
                    kind,
                    flags,
                    value: bits,
                });
                n += 1;
                byte = self.byte::<TAIL>(end);
                if byte != b',' {
                    break;
                }
            }
            let time = match byte {
                b'\n' => None,
                b' ' => {
                    let text = end + 1;
                    end = self.entry(k);
                    k += 1;
                    let time = if self.byte::<TAIL>(end) == b'\n' { self.time::<I>(text, end) } else { None };
                    if time.is_none() {
                        self.undo(tape, arena_mark);
                        return None;
                    }
                    time
                }
                _ => {
                    self.undo(tape, arena_mark);
                    return None;
                }
            };
            if widest >= FIELD_KEY_BYTES_MAX {
                self.undo(tape, arena_mark);
                return None;
            }
            tape.kvs.set_len(first_kv + n);
            tape.points.push(PointSpan {
                name: at as u32,
                name_len: name_len as u32,
                kv: first_kv as u32,
                tags: tags as u32,
                fields: (n - tags) as u32,
                name_in_arena: false,
                time,
            });
            Some((k, end + 1))
        }
    }

    /// Entry `k` of the index.
    #[inline(always)]
    unsafe fn entry(&self, k: usize) -> usize {
        debug_assert!(k < self.index.len(), "BUG: entry {k} of {}", self.index.len());
        // SAFETY: the caller stays within the index and its sentinels.
        unsafe { *self.index.get_unchecked(k) as usize }
    }

    /// The byte at an offset up to the end of the body; at the end, a newline if `TAIL`.
    #[inline(always)]
    unsafe fn byte<const TAIL: bool>(&self, at: usize) -> u8 {
        debug_assert!(at <= self.len, "BUG: offset {at} of {}", self.len);
        if TAIL && at == self.len {
            return b'\n';
        }
        // SAFETY: up to the end, behind which the padding is readable.
        unsafe { *self.body.add(at) }
    }

    /// Starts a line for [`Walk::is_duplicate`].
    #[inline(always)]
    fn next_line(&mut self) {
        self.line = self.line.wrapping_add(1);
        if self.line == 0 {
            self.seen.fill(0);
            self.line = 1;
        }
    }

    /// Whether one of the `n` key-values of this line already has the key. Every key gets a fingerprint, and only
    /// when this line has had the fingerprint before are keys compared.
    #[inline(always)]
    unsafe fn is_duplicate(&mut self, key: usize, len: usize, kvs: *const Kv, n: usize) -> bool {
        // SAFETY: the key lies in the body and is not empty; 8 bytes from any of its bytes are readable.
        let hash = unsafe {
            let mask = u64::MAX >> (64 - 8 * len.min(8));
            let start = load_u64(self.body.add(key)) & mask;
            let end = load_u64(self.body.add(key + len.max(8) - 8)) & mask;
            let mixed = start.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                ^ end.rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed.wrapping_add(len as u64).wrapping_mul(0x94d0_49bb_1331_11eb)
                >> (64 - SLOTS.trailing_zeros())) as usize
        };
        let seen = self.seen[hash];
        self.seen[hash] = self.line;
        // SAFETY: `n` key-values are written.
        seen == self.line && unsafe { self.has_key(key, len, kvs, n) }
    }

    #[cold]
    #[inline(never)]
    unsafe fn has_key(&self, key: usize, len: usize, kvs: *const Kv, n: usize) -> bool {
        // SAFETY: the caller's promise: written key-values, whose keys lie in the body.
        unsafe {
            let bytes = |at: usize, len: usize| std::slice::from_raw_parts(self.body.add(at), len);
            let kvs = std::slice::from_raw_parts(kvs, n);
            kvs.iter().any(|kv| bytes(kv.key as usize, usize::from(kv.key_len)) == bytes(key, len))
        }
    }

    /// Takes back what a line that turns out not to be ordinary has put into the arena.
    #[cold]
    #[inline(never)]
    fn undo(&self, tape: &mut Tape, arena_mark: usize) {
        tape.arena.truncate(arena_mark);
    }

    /// The string value at `value`, after the `=` that is entry `k`: flags, span and the entry behind its separator.
    #[inline(always)]
    unsafe fn string<const TAIL: bool>(
        &self,
        k: usize,
        value: usize,
        tape: &mut Tape,
    ) -> Option<(u8, u64, usize)> {
        // SAFETY: as for `line`; between quotes the index has backslashes and nothing else.
        unsafe {
            if self.entry(k + 1) != value {
                return None;
            }
            let close = self.entry(k + 2);
            match self.byte::<TAIL>(close) {
                b'"' if self.entry(k + 3) == close + 1 => {
                    Some((0, span(value + 1, close - value - 1), k + 4))
                }
                b'\\' => self.escaped_string::<TAIL>(k + 2, value + 1, tape),
                _ => None,
            }
        }
    }

    /// A string with backslashes, from `start` on; the first one is entry `k`.
    #[inline(always)]
    unsafe fn escaped_string<const TAIL: bool>(
        &self,
        k: usize,
        start: usize,
        tape: &mut Tape,
    ) -> Option<(u8, u64, usize)> {
        // SAFETY: as for `line`. What is written is no longer than the string, and that and a spare are reserved.
        unsafe {
            let mut last = k + 1;
            while self.byte::<TAIL>(self.entry(last)) == b'\\' {
                last += 1;
            }
            let close = self.entry(last);
            if self.byte::<TAIL>(close) != b'"' || self.entry(last + 1) != close + 1 {
                return None;
            }
            let offset = tape.arena.len();
            tape.arena.reserve(close - start + PADDING);
            let out = tape.arena.as_mut_ptr().add(offset);
            let (mut written, mut from) = (0, start);
            for at in k..last {
                let backslash = self.entry(at);
                if matches!(*self.body.add(backslash + 1), b'"' | b'\\') {
                    copy_over(out.add(written), self.body.add(from), backslash - from);
                    written += backslash - from;
                    from = backslash + 1;
                }
            }
            let next_k = last + 2;
            if written == 0 && from == start {
                // Only such backslashes as stay.
                return Some((0, span(start, close - start), next_k));
            }
            copy_over(out.add(written), self.body.add(from), close - from);
            written += close - from;
            tape.arena.set_len(offset + written);
            Some((Kv::VALUE_IN_ARENA, span(offset, written), next_k))
        }
    }

    /// A tag value with escapes, from `start` on; the first backslash is entry `k`. Returns its text in the arena and
    /// the entry behind its separator. Only single backslashes before what they escape: about others the passes over
    /// a line disagree.
    #[inline(always)]
    unsafe fn escaped_tag<const TAIL: bool>(
        &self,
        mut k: usize,
        start: usize,
        tape: &mut Tape,
    ) -> Option<(u64, usize)> {
        // SAFETY: as for `line`. What is written is no longer than the value, and that and a spare are reserved.
        unsafe {
            let offset = tape.arena.len();
            let (mut written, mut from) = (0, start);
            loop {
                let at = self.entry(k);
                let byte = self.byte::<TAIL>(at);
                let is_escape = byte == b'\\';
                if is_escape && !matches!(*self.body.add(at + 1), b' ' | b',' | b'=') {
                    return None;
                }
                tape.arena.reserve(written + (at - from) + PADDING);
                copy_over(tape.arena.as_mut_ptr().add(offset + written), self.body.add(from), at - from);
                written += at - from;
                tape.arena.set_len(offset + written);
                k += 1;
                if !is_escape {
                    return Some((span(offset, written), k));
                }
                from = at + 1;
            }
        }
    }

    /// The time between two offsets: nanoseconds as they are today, or another run of digits.
    #[inline(always)]
    unsafe fn time<I: Isa>(&self, start: usize, end: usize) -> Option<i64> {
        /// 16 digits behind the first three of 19.
        const LOW: u64 = 10_000_000_000_000_000;
        /// With these first three digits and 16 more the time is in range whatever the others are.
        const HIGH_MAX: u64 = 921;
        // SAFETY: `end` lies in the body, so 16 bytes from any offset before it are readable.
        unsafe {
            let text = std::slice::from_raw_parts(self.body.add(start), end - start);
            if let [a, b, c, rest @ ..] = text
                && rest.len() == 16
            {
                let high = digits(&[*a, *b, *c])?;
                let low = I::digits16(rest.as_ptr())?;
                return (high <= HIGH_MAX).then(|| (high * LOW + low) as i64);
            }
            let decimal = I::decimal(text.as_ptr());
            if decimal.ok & (decimal.fraction == 0) & (decimal.len == text.len()) {
                return Some(decimal.mantissa as i64);
            }
            if text.len() <= INT_DIGITS_MAX { digits(text).map(|time| time as i64) } else { None }
        }
    }
}

/// The longest run of digits that fits an `i64` whatever the digits are.
const INT_DIGITS_MAX: usize = 18;

/// Values that are no short decimal: truth values, unsigned, long numbers, exponents. `None`: for the plain reader.
fn unusual_value(text: &[u8]) -> Option<(Kind, u64)> {
    let (&first, &last) = (text.first()?, text.last()?);
    match first {
        b't' | b'T' | b'f' | b'F' => parse_bool(text).map(|value| (Kind::Bool, u64::from(value))),
        b'0'..=b'9' | b'.' | b'-' => match last {
            b'i' | b'u' => {
                let negative = first == b'-';
                let text = text.get(usize::from(negative)..text.len() - 1)?;
                let value = digits(text).filter(|_| text.len() <= INT_DIGITS_MAX)? as i64;
                match (last, negative) {
                    (b'i', false) => Some((Kind::Int, value as u64)),
                    (b'i', true) => Some((Kind::Int, -value as u64)),
                    (_, false) => Some((Kind::Uint, value as u64)),
                    (_, true) => None,
                }
            }
            // Only decimals start like this, so what this accepts the scanner accepts too.
            _ if text.get(1).is_none_or(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E')) => {
                let value = fast_float2::parse::<f64, _>(text).ok().filter(|value| value.is_finite())?;
                Some((Kind::Float, value.to_bits()))
            }
            _ => None,
        },
        _ => None,
    }
}
