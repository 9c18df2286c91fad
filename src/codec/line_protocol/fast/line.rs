//! Stage 2: one ordinary line, from the index to the tape.

use std::hint::select_unpredictable;

use super::SLOTS;
use crate::buf::PADDING;
use crate::codec::line_protocol::error::KEY_BYTES_MAX;
use crate::codec::line_protocol::scan::parse_bool;
use crate::codec::line_protocol::tape::{Kind, Kv, PointSpan, Tape, span};
use crate::simd::{Decimal, Isa, copy_over, digits, load_u64};

/// Lines of more key-values in which fingerprints meet are left to the plain reader, whose search for duplicates does
/// not degrade.
const KVS_MAX: usize = 512;

/// Key parts and field keys below these cannot exceed the limit on their sum.
const KEY_PART_BYTES_MAX: usize = 1 << 14;
const FIELD_KEY_BYTES_MAX: usize = 1 << 15;
const _: () = assert!(KEY_PART_BYTES_MAX + 4 + FIELD_KEY_BYTES_MAX <= KEY_BYTES_MAX);

/// What the lines of a window share.
pub(super) struct Walk<'a> {
    pub(super) body: *const u8,
    /// The end of the body, where [`Walk::byte`] sees a newline when `CAREFUL`.
    pub(super) len: usize,
    /// Of the window, with its sentinels.
    pub(super) index: &'a [u32],
    pub(super) seen: &'a mut [u16; SLOTS],
    pub(super) line: u16,
}

/// Reads the line at `at`, whose structure starts at entry `k`; returns the entry and the offset of the next line.
/// `None`: not an ordinary line, and nothing has been appended.
///
/// # Safety
/// `k` must be the entry where the line at `at` starts; the line must end with a newline that is in the index; `at`
/// must be at least [`CAREFREE_FROM`]; key-values must be reserved, one for two entries; and `I` must be there. With
/// `CAREFUL` the line may end with the body instead, and may start anywhere.
#[inline(always)]
pub(super) unsafe fn line<I: Isa, const CAREFUL: bool>(
    walk: &mut Walk<'_>,
    k: usize,
    at: usize,
    tape: &mut Tape,
) -> Option<(usize, usize)> {
    let arena_mark = tape.arena.len();
    // SAFETY: the caller's promises.
    let next = unsafe { ordinary_line::<I, CAREFUL>(walk, k, at, tape) };
    if next.is_none() {
        tape.arena.truncate(arena_mark);
    }
    next
}

/// From here on a line may be read without [`line`]'s care: 16 bytes before the end of any of its values lie in the
/// body.
pub(super) const CAREFREE_FROM: usize = 16;

/// [`line`], which may leave something in the arena when it gives up.
#[inline(always)]
unsafe fn ordinary_line<I: Isa, const CAREFUL: bool>(
    walk: &mut Walk<'_>,
    mut k: usize,
    at: usize,
    tape: &mut Tape,
) -> Option<(usize, usize)> {
    // SAFETY: entries of the index are offsets up to the end of the body, behind which PADDING
    // bytes are readable. An entry is looked at only while no newline of this line has been passed, so at most
    // four entries past it, which the sentinels cover. Each key-value written has taken two entries, so that the
    // caller's reservation covers it.
    unsafe {
        let mut end = walk.entry(k);
        if end == at {
            // Blank, or starts with a separator.
            return (walk.byte::<CAREFUL>(at) == b'\n').then_some((k + 1, at + 1));
        }
        let mut byte = walk.byte::<CAREFUL>(end);
        let first = *walk.body.add(at);
        if first == b'#' || (byte != b',' && byte != b' ') {
            return None;
        }
        let name_len = end - at;
        k += 1;
        walk.next_line();
        let first_kv = tape.kvs.len();
        let kvs = tape.kvs.as_mut_ptr().add(first_kv);
        let mut kv = kvs;
        while byte == b',' {
            let key = end + 1;
            let equals = walk.entry(k);
            let value = equals + 1;
            end = walk.entry(k + 1);
            byte = walk.byte::<CAREFUL>(end);
            k += 2;
            // Means nothing before the line is known to be well-formed.
            let (mut text, mut flags) = (span(value, end.wrapping_sub(value)), 0);
            if byte == b'\\' {
                let (unescaped, next_k) = walk.escaped_tag::<CAREFUL>(k - 1, value, tape)?;
                (text, flags) = (unescaped, Kv::VALUE_IN_ARENA);
                k = next_k;
                end = walk.entry(k - 1);
                byte = walk.byte::<CAREFUL>(end);
            }
            let well_formed = (walk.byte::<CAREFUL>(equals) == b'=')
                & (equals > key)
                & (end > value)
                & ((byte == b',') | (byte == b' '));
            if !well_formed || walk.is_duplicate::<I>(key, equals, kvs, kv) {
                return None;
            }
            kv.write(Kv {
                key: key as u32,
                key_len: (equals - key) as u16,
                kind: Kind::Tag,
                flags,
                value: text,
            });
            kv = kv.add(1);
        }
        let first_field = kv;
        if end - at >= KEY_PART_BYTES_MAX {
            return None;
        }
        let mut widest = 0;
        loop {
            let key = end + 1;
            let equals = walk.entry(k);
            let well_formed = (walk.byte::<CAREFUL>(equals) == b'=') & (equals > key);
            if !well_formed || walk.is_duplicate::<I>(key, equals, kvs, kv) {
                return None;
            }
            widest |= equals - key;
            let value = equals + 1;
            let first = *walk.body.add(value);
            end = walk.entry(k + 1);
            let (kind, bits, flags);
            if first == b'"' {
                let next_k;
                (flags, bits, next_k) = walk.string::<CAREFUL>(k, value, tape)?;
                kind = Kind::Str;
                k = next_k;
                end = walk.entry(k - 1);
            } else {
                let negative = u64::from(first == b'-');
                let text = value + negative as usize;
                let is_int = *walk.body.add(end - 1) == b'i';
                let number_end = end - usize::from(is_int);
                // An empty value is wrong.
                let len = number_end.wrapping_sub(text);
                let decimal = if CAREFUL && number_end < CAREFREE_FROM {
                    Decimal::WRONG
                } else {
                    I::decimal(walk.body.add(number_end), len, u32::from(is_int).wrapping_neg())
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
                    (kind, bits) = unusual_value(text)?;
                }
                flags = 0;
                k += 2;
            }
            kv.write(Kv { key: key as u32, key_len: (equals - key) as u16, kind, flags, value: bits });
            kv = kv.add(1);
            byte = walk.byte::<CAREFUL>(end);
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
                if walk.byte::<CAREFUL>(end) != b'\n' {
                    return None;
                }
                Some(walk.time::<I, CAREFUL>(text, end)?)
            }
            _ => return None,
        };
        if widest >= FIELD_KEY_BYTES_MAX {
            return None;
        }
        let fields = kv.offset_from_unsigned(first_field);
        let tags = first_field.offset_from_unsigned(kvs);
        tape.kvs.set_len(first_kv + tags + fields);
        tape.points.push(PointSpan {
            name: at as u32,
            name_len: name_len as u32,
            kv: first_kv as u32,
            tags: tags as u32,
            fields: fields as u32,
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

    /// The byte at an offset up to the end of the body; at the end, a newline if `CAREFUL`.
    #[inline(always)]
    unsafe fn byte<const CAREFUL: bool>(&self, at: usize) -> u8 {
        debug_assert!(at <= self.len, "BUG: offset {at} of {}", self.len);
        if CAREFUL && at == self.len {
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

    /// Whether one of the key-values of this line, from `first` up to `next`, has the key between `key` and `equals`.
    /// Every key gets a fingerprint, and only when this line has had the fingerprint before are keys compared.
    #[inline(always)]
    unsafe fn is_duplicate<I: Isa>(
        &mut self,
        key: usize,
        equals: usize,
        first: *const Kv,
        next: *const Kv,
    ) -> bool {
        // SAFETY: the key lies in the body and is not empty; 8 bytes from any of its bytes are readable.
        let slot = unsafe {
            let bytes = (equals - key).min(8);
            let start = load_u64(self.body.add(key));
            let end = load_u64(self.body.add(equals - bytes));
            I::fingerprint(start, end, bytes) as usize % SLOTS
        };
        let seen = self.seen[slot];
        self.seen[slot] = self.line;
        // SAFETY: key-values are written up to `next`.
        seen == self.line && unsafe { self.has_key(key, equals - key, first, next) }
    }

    /// Compares keys. Lines of many key-values count as having it, too.
    #[cold]
    #[inline(never)]
    unsafe fn has_key(&self, key: usize, len: usize, first: *const Kv, next: *const Kv) -> bool {
        // SAFETY: the caller's promise: written key-values of one allocation, whose keys lie in the body.
        unsafe {
            let bytes = |at: usize, len: usize| std::slice::from_raw_parts(self.body.add(at), len);
            let kvs = std::slice::from_raw_parts(first, next.offset_from_unsigned(first));
            let same = |kv: &Kv| bytes(kv.key as usize, usize::from(kv.key_len)) == bytes(key, len);
            kvs.len() > KVS_MAX || kvs.iter().any(same)
        }
    }

    /// The string value at `value`, after the `=` that is entry `k`: flags, span and the entry behind its separator.
    #[inline(always)]
    unsafe fn string<const CAREFUL: bool>(
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
            match self.byte::<CAREFUL>(close) {
                b'"' if self.entry(k + 3) == close + 1 => {
                    Some((0, span(value + 1, close - value - 1), k + 4))
                }
                b'\\' => self.escaped_string::<CAREFUL>(k + 2, value + 1, tape),
                _ => None,
            }
        }
    }

    /// A string with backslashes, from `start` on; the first one is entry `k`.
    #[inline(never)]
    unsafe fn escaped_string<const CAREFUL: bool>(
        &self,
        k: usize,
        start: usize,
        tape: &mut Tape,
    ) -> Option<(u8, u64, usize)> {
        // SAFETY: as for `line`. What is written is no longer than the string, and that and a spare are reserved.
        unsafe {
            let mut last = k + 1;
            while self.byte::<CAREFUL>(self.entry(last)) == b'\\' {
                last += 1;
            }
            let close = self.entry(last);
            if self.byte::<CAREFUL>(close) != b'"' || self.entry(last + 1) != close + 1 {
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
    unsafe fn escaped_tag<const CAREFUL: bool>(
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
                let byte = self.byte::<CAREFUL>(at);
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
    unsafe fn time<I: Isa, const CAREFUL: bool>(&self, start: usize, end: usize) -> Option<i64> {
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
            if !CAREFUL || end >= CAREFREE_FROM {
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
