//! Stage 2: one ordinary line, from the index to the tape.

use std::hint::select_unpredictable;

use super::SLOTS;
use crate::buf::PADDING;
use crate::codec::line_protocol::error::KEY_BYTES_MAX;
use crate::codec::line_protocol::scan::parse_bool;
use crate::codec::line_protocol::tape::{Kind, Kv, PointSpan, Tape, span};
use crate::simd::{Decimal, Isa, copy_over, digits, load_u64};

/// Lines of more key-values are left to the plain reader, whose search for duplicates does not degrade.
const KVS_MAX: usize = 512;

/// Key parts and field keys below these cannot exceed the limit on their sum.
const KEY_PART_BYTES_MAX: usize = 1 << 14;
const FIELD_KEY_BYTES_MAX: usize = 1 << 15;
const _: () = assert!(KEY_PART_BYTES_MAX + 4 + FIELD_KEY_BYTES_MAX <= KEY_BYTES_MAX);

/// What the lines of a window share.
pub(super) struct Walk<'a> {
    pub(super) body: *const u8,
    /// The end of the body, where [`Walk::byte`] sees a newline when `TAIL`.
    pub(super) len: usize,
    /// Of the window, with its sentinels.
    pub(super) index: &'a [u32],
    pub(super) seen: &'a mut [u16; SLOTS],
    pub(super) line: u16,
}

/// Reads the line at `at`, whose structure starts at entry `k`. `None`: not an ordinary line, and nothing has
/// been appended.
///
/// # Safety
/// `k` must be the entry where the line at `at` starts; the line must end with a newline that is in the index, or
/// at the end of the body if `TAIL`; and `I` must be there.
#[inline(always)]
pub(super) unsafe fn line<I: Isa, const TAIL: bool>(
    walk: &mut Walk<'_>,
    mut k: usize,
    at: usize,
    tape: &mut Tape,
) -> Option<(usize, usize)> {
    // SAFETY (this function): entries of the index are offsets up to the end of the body, behind which PADDING
    // bytes are readable. An entry is looked at only while no newline of this line has been passed, so at most
    // four entries past it, which the sentinels cover. Key-values are written only after `reserve`.
    unsafe {
        let mut end = walk.entry(k);
        if end == at {
            // Blank, or starts with a separator.
            return (walk.byte::<TAIL>(at) == b'\n').then_some((k + 1, at + 1));
        }
        let mut byte = walk.byte::<TAIL>(end);
        let first = *walk.body.add(at);
        if first == b'#' || (byte != b',' && byte != b' ') {
            return None;
        }
        let name_len = end - at;
        k += 1;
        walk.next_line();
        let first_kv = tape.kvs.len();
        let arena_mark = tape.arena.len();
        tape.kvs.reserve(KVS_MAX + 1);
        let kvs = tape.kvs.as_mut_ptr().add(first_kv);
        let mut n = 0;
        while byte == b',' {
            let key = end + 1;
            let equals = walk.entry(k);
            let value = equals + 1;
            end = walk.entry(k + 1);
            byte = walk.byte::<TAIL>(end);
            k += 2;
            // Means nothing before the line is known to be well-formed.
            let (mut text, mut flags) = (span(value, end.wrapping_sub(value)), 0);
            if byte == b'\\' {
                let Some((unescaped, next_k)) = walk.escaped_tag::<TAIL>(k - 1, value, tape) else {
                    walk.undo(tape, arena_mark);
                    return None;
                };
                (text, flags) = (unescaped, Kv::VALUE_IN_ARENA);
                k = next_k;
                end = walk.entry(k - 1);
                byte = walk.byte::<TAIL>(end);
            }
            let well_formed = (walk.byte::<TAIL>(equals) == b'=')
                & (equals > key)
                & (end > value)
                & ((byte == b',') | (byte == b' '))
                & (n < KVS_MAX);
            if !well_formed || walk.is_duplicate::<I>(key, equals - key, kvs, n) {
                walk.undo(tape, arena_mark);
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
            walk.undo(tape, arena_mark);
            return None;
        }
        let mut widest = 0;
        loop {
            let key = end + 1;
            let equals = walk.entry(k);
            let well_formed = (walk.byte::<TAIL>(equals) == b'=') & (equals > key) & (n < KVS_MAX);
            if !well_formed || walk.is_duplicate::<I>(key, equals - key, kvs, n) {
                walk.undo(tape, arena_mark);
                return None;
            }
            widest |= equals - key;
            let value = equals + 1;
            let first = *walk.body.add(value);
            end = walk.entry(k + 1);
            let (kind, bits, flags);
            if first == b'"' {
                let string = walk.string::<TAIL>(k, value, tape);
                let Some((flag, text, next_k)) = string else {
                    walk.undo(tape, arena_mark);
                    return None;
                };
                (kind, bits, flags) = (Kind::Str, text, flag);
                k = next_k;
                end = walk.entry(k - 1);
            } else {
                let negative = u64::from(first == b'-');
                let text = value + negative as usize;
                let is_int = *walk.body.add(end - 1) == b'i';
                let number_end = end - usize::from(is_int);
                let no_point = u32::from(is_int).wrapping_neg();
                // 16 bytes before the end of the number lie in the body; an empty value is wrong.
                let decimal = if end > 16 {
                    I::decimal(walk.body.add(number_end), number_end.wrapping_sub(text), no_point)
                } else {
                    Decimal::WRONG
                };
                if decimal.wrong == 0 {
                    // Both kinds, then one of them: which it is cannot be predicted, and a branch not taken right
                    // costs more than the division.
                    let float = decimal.float().to_bits() ^ negative << 63;
                    let int = (decimal.mantissa ^ negative.wrapping_neg()).wrapping_add(negative);
                    bits = select_unpredictable(is_int, int, float);
                    kind = select_unpredictable(is_int, Kind::Int, Kind::Float);
                } else {
                    let text = std::slice::from_raw_parts(walk.body.add(value), end.saturating_sub(value));
                    let Some(unusual) = unusual_value(text) else {
                        walk.undo(tape, arena_mark);
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
            byte = walk.byte::<TAIL>(end);
            if byte != b',' {
                break;
            }
        }
        let time = match byte {
            b'\n' => None,
            b' ' => {
                let text = end + 1;
                end = walk.entry(k);
                k += 1;
                let time = if walk.byte::<TAIL>(end) == b'\n' { walk.time::<I>(text, end) } else { None };
                if time.is_none() {
                    walk.undo(tape, arena_mark);
                    return None;
                }
                time
            }
            _ => {
                walk.undo(tape, arena_mark);
                return None;
            }
        };
        if widest >= FIELD_KEY_BYTES_MAX {
            walk.undo(tape, arena_mark);
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

impl Walk<'_> {
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
    unsafe fn is_duplicate<I: Isa>(&mut self, key: usize, len: usize, kvs: *const Kv, n: usize) -> bool {
        // SAFETY: the key lies in the body and is not empty; 8 bytes from any of its bytes are readable.
        let slot = unsafe {
            let bytes = len.min(8);
            let start = load_u64(self.body.add(key));
            let end = load_u64(self.body.add(key + len - bytes));
            I::fingerprint(start, end, bytes) as usize % SLOTS
        };
        let seen = self.seen[slot];
        self.seen[slot] = self.line;
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
    #[inline(never)]
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
    #[inline(never)]
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
            if end > 16 {
                let decimal = I::decimal(self.body.add(end), text.len(), !0);
                if decimal.wrong == 0 {
                    return Some(decimal.mantissa as i64);
                }
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
