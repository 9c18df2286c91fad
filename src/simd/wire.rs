//! Writing protobuf fields with over-copying moves.
//!
//! A text of up to 32 bytes is copied by one 32-byte move, however long it is; what is written too much is overwritten
//! by what follows. That needs sources that are readable past their end ([`Padded`]) and room in the target; both are
//! proven here, once a field, so that the interface is safe. While a key passes through the register it is compared
//! with the bytes that must not be in it; who writes a point asks at its end whether anything was found, not at every
//! key. Varints are spread by one bit deposit instead of a loop.
//!
//! [`Plain`] does the same with ordinary instructions. It runs on other machines, and the tests compare the two.

mod decimal;
pub mod frames;
mod long;
mod quoted;

use std::marker::PhantomData;

use crate::buf::Padded;

/// Texts up to this long go through one register.
pub(super) const MOVE_BYTES: usize = 32;

/// Room a field needs beside its texts: tags, lengths, a varint or double, the `is_tag` mark, and the width of one
/// move past the end.
pub(super) const FIELD_ROOM: usize = 32 + MOVE_BYTES;

/// The least a target grows by. (A vector that grows also doubles.)
const GROWTH_BYTES: usize = 16 * 1024;

/// Longer varints are written by the loop.
pub(super) const DEPOSIT_BITS: u32 = 56;

/// The instructions that differ between machines.
pub trait Isa: super::json::Tokens {
    /// Copies 32 bytes; the result has a bit for every byte that is a newline or `unwanted`.
    ///
    /// # Safety
    /// 32 bytes are readable at `source` and writable at `target`, and the two do not overlap.
    unsafe fn copy_and_find(source: *const u8, target: *mut u8, unwanted: u8) -> u32;

    /// A bit for every byte of 32 that is beyond ASCII.
    ///
    /// # Safety
    /// 32 bytes are readable at `source`.
    unsafe fn high_bits(source: *const u8) -> u32;

    /// Spreads the 56 low bits of `value` into groups of seven, one a byte.
    fn spread(value: u64) -> u64;

    /// The lowest `bits` bits of `value`; all of them from 64 on.
    fn low_bits(value: u64, bits: u32) -> u64;
}

/// Instructions every machine has.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Isa for Plain {
    #[inline(always)]
    unsafe fn copy_and_find(source: *const u8, target: *mut u8, unwanted: u8) -> u32 {
        // SAFETY: the caller's promise; arrays of bytes have no alignment.
        let bytes = unsafe { *source.cast::<[u8; MOVE_BYTES]>() };
        // SAFETY: as above.
        unsafe { *target.cast::<[u8; MOVE_BYTES]>() = bytes };
        let mut found = 0;
        for (index, byte) in bytes.into_iter().enumerate() {
            found |= u32::from(byte == b'\n' || byte == unwanted) << index;
        }
        found
    }

    #[inline(always)]
    unsafe fn high_bits(source: *const u8) -> u32 {
        // SAFETY: the caller's promise; arrays of bytes have no alignment.
        let bytes = unsafe { *source.cast::<[u8; MOVE_BYTES]>() };
        bytes.into_iter().enumerate().fold(0, |bits, (index, byte)| bits | u32::from(byte >> 7) << index)
    }

    #[inline(always)]
    fn spread(value: u64) -> u64 {
        let mut spread = 0;
        for group in 0..8 {
            spread |= (value >> (7 * group) & 0x7f) << (8 * group);
        }
        spread
    }

    #[inline(always)]
    fn low_bits(value: u64, bits: u32) -> u64 {
        if bits >= 64 { value } else { value & ((1 << bits) - 1) }
    }
}

/// AVX2 and BMI2. Only [`run`] hands it out, where the processor has both.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Isa for Avx2 {
    #[inline(always)]
    unsafe fn copy_and_find(source: *const u8, target: *mut u8, unwanted: u8) -> u32 {
        use std::arch::x86_64::{
            _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
            _mm256_storeu_si256,
        };
        // SAFETY: the caller's promise about the memory; whoever has an `Avx2` runs inside `with_avx2`.
        unsafe {
            let bytes = _mm256_loadu_si256(source.cast());
            _mm256_storeu_si256(target.cast(), bytes);
            let newline = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'\n' as i8));
            let other = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(unwanted as i8));
            _mm256_movemask_epi8(_mm256_or_si256(newline, other)) as u32
        }
    }

    #[inline(always)]
    unsafe fn high_bits(source: *const u8) -> u32 {
        use std::arch::x86_64::{_mm256_loadu_si256, _mm256_movemask_epi8};
        // SAFETY: as above.
        unsafe { _mm256_movemask_epi8(_mm256_loadu_si256(source.cast())) as u32 }
    }

    #[inline(always)]
    fn spread(value: u64) -> u64 {
        // SAFETY: whoever has an `Avx2` runs inside `with_avx2`.
        unsafe { std::arch::x86_64::_pdep_u64(value, 0x7f7f_7f7f_7f7f_7f7f) }
    }

    #[inline(always)]
    fn low_bits(value: u64, bits: u32) -> u64 {
        // SAFETY: as above.
        unsafe { std::arch::x86_64::_bzhi_u64(value, bits) }
    }
}

/// Work to be compiled for each set of instructions.
pub trait Kernel {
    type Output;
    /// Must be `#[inline(always)]`, and so must be everything hot in it: that is how it gets the instructions.
    fn run<I: Isa>(self) -> Self::Output;
}

/// Runs a kernel with the best instructions this machine has.
pub fn run<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("lzcnt")
    {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { with_avx2(kernel) };
    }
    run_plain(kernel)
}

/// Runs a kernel with ordinary instructions.
pub fn run_plain<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Plain>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
fn with_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx2>()
}

/// A body and the arena beside it: what texts are taken from.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// INVARIANT: [`crate::buf::PADDING`] bytes behind each are readable.
    padded: [&'a [u8]; 2],
}

/// A text in a source: [`crate::buf::PADDING`] bytes behind it are readable.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// INVARIANT: `len + PADDING` bytes are readable and initialised here for `'a`.
    pub(super) at: *const u8,
    pub(super) len: usize,
    pub(super) source: PhantomData<&'a [u8]>,
}

impl<'a> Sources<'a> {
    pub fn new(body: Padded<'a>, arena: Padded<'a>) -> Sources<'a> {
        Sources { padded: [body.bytes(), arena.bytes()] }
    }

    /// The `len` bytes at `offset` of the body, or of the arena.
    #[inline(always)]
    pub fn text(&self, in_arena: bool, offset: usize, len: usize) -> Text<'a> {
        let source = self.padded[usize::from(in_arena)];
        // The sum cannot wrap: both come from 32 bits.
        if offset + len > source.len() {
            outside(offset, len, source.len());
        }
        // SAFETY: the span lies in the source, behind which `Padded` proved PADDING more bytes.
        Text { at: unsafe { source.as_ptr().add(offset) }, len, source: PhantomData }
    }
}

/// By value: what a message is made of would have to lie in memory, with every text.
#[cold]
#[inline(never)]
fn outside(offset: usize, len: usize, source: usize) -> ! {
    panic!("BUG: a span of {len} at {offset} in {source}");
}

impl<'a> Text<'a> {
    #[inline(always)]
    pub fn len(self) -> usize {
        self.len
    }

    #[inline(always)]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    #[inline(always)]
    pub fn bytes(self) -> &'a [u8] {
        // SAFETY: the invariant.
        unsafe { std::slice::from_raw_parts(self.at, self.len) }
    }

    /// Six bits that depend on the length and the first eight bytes only; [`key_filter`] gives the same for a slice.
    #[inline(always)]
    pub fn filter<I: Isa>(self) -> u32 {
        filter(self.first_word::<I>(), self.len)
    }

    /// Whether the last byte is a backslash. The text must not be empty: checked by the callers, who branch on the
    /// length anyway.
    #[inline(always)]
    fn ends_with_backslash(self) -> u32 {
        debug_assert!(self.len > 0);
        // SAFETY: the invariant, and the callers' check.
        u32::from(unsafe { *self.at.add(self.len - 1) } == b'\\')
    }
}

fn filter(first: u64, len: usize) -> u32 {
    // The upper bits of a product depend on all bits of its factor; the constant is the golden ratio's.
    ((first ^ (len as u64) << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as u32
}

/// See [`Text::filter`].
pub fn key_filter(key: &[u8]) -> u32 {
    let mut first = [0; 8];
    let len = key.len().min(8);
    first[..len].copy_from_slice(&key[..len]);
    filter(u64::from_le_bytes(first), key.len())
}

/// The tags of the fields of one kind of message: which byte introduces what.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Of the whole field, in its parent.
    pub field: u8,
    pub key: u8,
    /// The two bytes behind a text that say it is a tag.
    pub is_tag: [u8; 2],
}

/// Appends fields to a `Vec`.
///
/// Everything hot is inlined and everything else works on a copy of [`Place`], so that no writer's address is ever
/// taken: where the next byte goes stays in a register from field to field.
#[derive(Debug)]
pub struct Writer<'v, I> {
    pub(super) place: Place,
    /// The length of the vector when writing began.
    floor: usize,
    pub(super) layout: Layout,
    /// The borrow of `place.out`.
    out: PhantomData<&'v mut Vec<u8>>,
    isa: PhantomData<I>,
}

/// Where writing takes place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// INVARIANT: the vector that the writer has borrowed; nobody else touches it meanwhile.
    out: *mut Vec<u8>,
    /// Where the next byte goes. INVARIANT: inside the allocation of `out`, not before `Writer::floor`; everything
    /// before it is initialised.
    pub(super) at: *mut u8,
    /// The end of the allocation.
    end: *mut u8,
}

impl Place {
    /// The end of what is in the vector.
    fn of(out: &mut Vec<u8>) -> Place {
        let range = out.spare_capacity_mut().as_mut_ptr_range();
        Place { at: range.start.cast(), end: range.end.cast(), out }
    }

    /// The vector, with everything written so far in it.
    fn with_vec<R>(self, write: impl FnOnce(&mut Vec<u8>) -> R) -> (Place, R) {
        // SAFETY: the invariant of `out`; the reference ends with this function.
        let out = unsafe { &mut *self.out };
        let len = self.at as usize - out.as_ptr() as usize;
        // SAFETY: the invariant of `at`.
        unsafe { out.set_len(len) };
        let result = write(out);
        (Place::of(out), result)
    }

    #[cold]
    #[inline(never)]
    fn grow(self, bytes: usize) -> Place {
        self.with_vec(|out| out.reserve(bytes.max(GROWTH_BYTES))).0
    }

    /// The start of the allocation.
    #[inline(always)]
    fn base(self) -> *mut u8 {
        // SAFETY: the invariant of `out`.
        unsafe { (*self.out).as_mut_ptr() }
    }
}

impl<'v, I: Isa> Writer<'v, I> {
    #[inline(always)]
    pub fn new(out: &'v mut Vec<u8>, layout: Layout) -> Writer<'v, I> {
        let floor = out.len();
        Writer { place: Place::of(out), floor, layout, out: PhantomData, isa: PhantomData }
    }

    /// A writer at the same place, for work that is not inlined.
    #[inline(always)]
    pub(super) fn at_place(place: Place, layout: Layout) -> Writer<'v, I> {
        Writer { place, floor: 0, layout, out: PhantomData, isa: PhantomData }
    }

    /// What was written becomes the vector's.
    #[inline(always)]
    pub fn finish(self) {
        self.place.with_vec(|_| ());
    }

    /// The length the vector would have.
    #[inline(always)]
    pub fn position(&self) -> usize {
        self.place.at as usize - self.place.base() as usize
    }

    /// Goes back to an earlier position.
    #[inline(always)]
    pub fn rewind(&mut self, position: usize) {
        assert!(
            (self.floor..=self.position()).contains(&position),
            "BUG: rewind to {position} of {}",
            self.position()
        );
        (self.place, ()) = self.place.with_vec(|out| out.truncate(position));
    }

    /// Everything so far as the vector, for a writer of another kind; what it appends is kept.
    #[inline(always)]
    pub fn with_vec<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let (place, result) = self.place.with_vec(write);
        self.place = place;
        result
    }

    /// Makes sure of `bytes` bytes of room.
    #[inline(always)]
    pub(super) fn room(&mut self, bytes: usize) {
        if (self.place.end as usize - self.place.at as usize) < bytes {
            self.place = self.place.grow(bytes);
        }
    }

    /// Moves on.
    ///
    /// # Safety
    /// `bytes` bytes have been written.
    #[inline(always)]
    pub(super) unsafe fn advance(&mut self, bytes: usize) {
        // SAFETY: the caller's promise.
        self.place.at = unsafe { self.place.at.add(bytes) };
    }

    /// # Safety
    /// There is room for it.
    #[inline(always)]
    pub(super) unsafe fn put(&mut self, byte: u8) {
        // SAFETY: the caller's promise.
        unsafe {
            *self.place.at = byte;
            self.advance(1);
        }
    }

    /// # Safety
    /// There is room for ten bytes.
    #[inline(always)]
    pub(super) unsafe fn put_varint(&mut self, value: u64) {
        // SAFETY: the caller's promise.
        unsafe {
            let width = encode_varint::<I>(value, self.place.at);
            self.advance(width);
        }
    }

    /// Appends bytes as they are.
    #[inline(always)]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.room(bytes.len());
        // SAFETY: there is room; the source is borrowed from elsewhere.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.place.at, bytes.len());
            self.advance(bytes.len());
        }
    }

    /// Appends a varint field.
    #[inline(always)]
    pub fn varint_field(&mut self, tag: u8, value: u64) {
        self.room(FIELD_ROOM);
        // SAFETY: there is room.
        unsafe {
            self.put(tag);
            self.put_varint(value);
        }
    }

    /// Appends a text field of the message itself, such as its name.
    #[inline(always)]
    pub fn text_field(&mut self, tag: u8, text: Text<'_>) {
        if text.len > MOVE_BYTES {
            self.place = Self::at_place(self.place, self.layout).long_piece(tag, text).place;
            return;
        }
        self.room(FIELD_ROOM + MOVE_BYTES);
        // SAFETY: there is room for tag, length and one move; the text is readable as far.
        unsafe {
            self.place.at.cast::<u16>().write_unaligned(u16::from_le_bytes([tag, text.len as u8]));
            I::copy_and_find(text.at, self.place.at.add(2), b'\n');
            self.advance(2 + text.len);
        }
    }

    /// Begins a message inside the vector, guessing that its length takes two bytes.
    #[inline(always)]
    pub fn open(&mut self, tag: u8) -> usize {
        self.room(FIELD_ROOM);
        // SAFETY: there is room. The two bytes of the length are written, so everything before `at` is initialised.
        unsafe {
            self.put(tag);
            self.put(0);
            self.put(0);
        }
        self.position()
    }

    /// Ends the message whose contents began at `start`.
    #[inline(always)]
    pub fn close(&mut self, start: usize) {
        let len = self.position() - start;
        if (128..1 << 14).contains(&len) {
            // SAFETY: `open` put two bytes before `start`.
            unsafe {
                let hole = self.place.base().add(start - 2);
                *hole = len as u8 | 0x80;
                *hole.add(1) = (len >> 7) as u8;
            }
        } else {
            self.place = Self::at_place(self.place, self.layout).close_wide(start, len);
        }
    }

    /// The guess was wrong: the contents move.
    #[inline(never)]
    fn close_wide(mut self, start: usize, len: usize) -> Place {
        let mut text = [0u8; 10 + MOVE_BYTES];
        // SAFETY: ten bytes are room enough for any varint.
        let width = unsafe { encode_varint::<I>(len as u64, text.as_mut_ptr()) };
        self.room(width);
        // SAFETY: the contents are initialised, and there is room for `width` more bytes (at least two before them).
        unsafe {
            let contents = self.place.base().add(start);
            let hole = contents.sub(2);
            std::ptr::copy(contents, hole.add(width), len);
            std::ptr::copy_nonoverlapping(text.as_ptr(), hole, width);
            self.place.at = hole.add(width + len);
        }
        self.place
    }

    /// Appends a field with a text value. The result is not zero if the key, or with `IS_TAG` the value, is empty, has
    /// a newline or ends with a backslash, or if the key has the byte `unwanted` in it.
    #[inline(always)]
    pub fn text<const IS_TAG: bool>(&mut self, key: Text<'_>, tag: u8, value: Text<'_>, unwanted: u8) -> u32 {
        // An empty text wraps around and takes the other way.
        let short = key.len.wrapping_sub(1).max(value.len.wrapping_sub(1)) < MOVE_BYTES;
        if !short {
            let (place, layout) = (self.place, self.layout);
            let long = long::LongText { place, layout, key, tag, value, unwanted, is_tag: IS_TAG };
            let (place, suspect) = I::apart(long);
            self.place = place;
            return suspect;
        }
        self.room(FIELD_ROOM + 2 * MOVE_BYTES);
        let len = key.len + value.len + if IS_TAG { 6 } else { 4 };
        // SAFETY: there is room for both texts, each with a whole move, and for the rest; the texts are readable one
        // move from their start. `len` is below 128: two texts of at most 32 bytes.
        unsafe {
            let start = self.place.at;
            let head = [self.layout.field, len as u8, self.layout.key, key.len as u8];
            start.cast::<u32>().write_unaligned(u32::from_le_bytes(head));
            let found = I::copy_and_find(key.at, start.add(4), unwanted);
            let mut suspect =
                I::low_bits(u64::from(found), key.len as u32) as u32 | key.ends_with_backslash();
            let at = start.add(4 + key.len);
            at.cast::<u16>().write_unaligned(u16::from_le_bytes([tag, value.len as u8]));
            let found = I::copy_and_find(value.at, at.add(2), b'\n');
            if IS_TAG {
                suspect |=
                    I::low_bits(u64::from(found), value.len as u32) as u32 | value.ends_with_backslash();
                let mark = u16::from_le_bytes(self.layout.is_tag);
                at.add(2 + value.len).cast::<u16>().write_unaligned(mark);
            }
            self.advance(len + 2);
            suspect
        }
    }

    #[inline(never)]
    fn long_piece(mut self, tag: u8, text: Text<'_>) -> Self {
        self.varint_field(tag, text.len as u64);
        self.bytes(text.bytes());
        self
    }

    /// Appends a field with a number: a varint, or with `fixed` the eight bytes themselves. The result is as for a
    /// text's key.
    #[inline(always)]
    pub fn number(&mut self, key: Text<'_>, tag: u8, value: u64, fixed: bool, unwanted: u8) -> u32 {
        let short = key.len.wrapping_sub(1) < MOVE_BYTES;
        // A varint beyond the deposit: negative numbers and very large ones.
        let wide = value >> DEPOSIT_BITS != 0 && !fixed;
        if !short || wide {
            let writer = Self::at_place(self.place, self.layout);
            let (place, suspect) = writer.any_number(key, tag, value, fixed, unwanted);
            self.place = place;
            return suspect;
        }
        self.room(FIELD_ROOM + MOVE_BYTES);
        let (varint, width) = deposit::<I>(value);
        let (payload, width) = if fixed { (value, 8) } else { (varint, width) };
        let len = key.len + 3 + width;
        // SAFETY: there is room for the key with a whole move and for the rest; the key is readable one move from its
        // start. `len` is below 128.
        unsafe {
            let start = self.place.at;
            let head = [self.layout.field, len as u8, self.layout.key, key.len as u8];
            start.cast::<u32>().write_unaligned(u32::from_le_bytes(head));
            let found = I::copy_and_find(key.at, start.add(4), unwanted);
            let at = start.add(4 + key.len);
            *at = tag;
            at.add(1).cast::<u64>().write_unaligned(payload.to_le());
            self.advance(len + 2);
            I::low_bits(u64::from(found), key.len as u32) as u32 | key.ends_with_backslash()
        }
    }

    /// As [`Writer::number`], for any key and number.
    #[inline(never)]
    pub(super) fn any_number(
        mut self,
        key: Text<'_>,
        tag: u8,
        value: u64,
        fixed: bool,
        unwanted: u8,
    ) -> (Place, u32) {
        let width = if fixed { 8 } else { varint_len(value) };
        let len = 1 + varint_len(key.len as u64) + key.len + 1 + width;
        self.varint_field(self.layout.field, len as u64);
        let key_tag = self.layout.key;
        self = self.long_piece(key_tag, key);
        if fixed {
            self.bytes(&[tag]);
            self.bytes(&value.to_le_bytes());
        } else {
            self.varint_field(tag, value);
        }
        (self.place, u32::from(suspects(key.bytes(), unwanted)))
    }
}

/// What [`Writer::text`] looks for, one byte at a time.
pub(super) fn suspects(text: &[u8], unwanted: u8) -> bool {
    text.is_empty() || text.ends_with(b"\\") || memchr::memchr2(b'\n', unwanted, text).is_some()
}

/// How many bytes a varint takes.
#[inline(always)]
pub(super) fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    (bits * 9 + 64) / 64
}

/// A varint of at most 56 bits: its bytes in the low end of a word, and how many they are. (For more bits: anything.)
#[inline(always)]
pub(super) fn deposit<I: Isa>(value: u64) -> (u64, usize) {
    let width = varint_len(value);
    let more = I::low_bits(0x8080_8080_8080_8080, (width as u32 - 1) * 8);
    (I::spread(value) | more, width)
}

/// Writes a varint; the result is its width.
///
/// # Safety
/// Ten bytes are writable at `at`.
#[inline(always)]
unsafe fn encode_varint<I: Isa>(value: u64, at: *mut u8) -> usize {
    if value >> DEPOSIT_BITS == 0 {
        let (bytes, width) = deposit::<I>(value);
        // SAFETY: the caller's promise.
        unsafe { at.cast::<u64>().write_unaligned(bytes.to_le()) };
        return width;
    }
    let (mut rest, mut width) = (value, 0);
    while rest >= 0x80 {
        // SAFETY: 64 bits take at most ten groups of seven.
        unsafe { *at.add(width) = rest as u8 | 0x80 };
        rest >>= 7;
        width += 1;
    }
    // SAFETY: as above.
    unsafe { *at.add(width) = rest as u8 };
    width + 1
}

#[cfg(test)]
mod tests;
