//! Zip archives from outside: which files are in one, and the bytes of each, with a bound on everything.
//!
//! Made for archives that want to do harm. The list of files is read once and must be short enough; what leads outside, is
//! a link, a device or encrypted is not in it; a file gives no more bytes than it says it has, than its size in the archive
//! makes likely, and than the caller grants; and it must have the checksum it says it has. Stored and deflated files are
//! read, which is all that Go's reader and so DataKit knows.

use std::collections::HashMap;
use std::fmt;
use std::io;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::url::clean;

/// What an archive lies in.
pub trait Medium {
    fn bytes(&self) -> io::Result<u64>;
    /// Fills `out` from an offset, or fails.
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()>;
}

/// Files of one archive. A build of symbols has some hundreds, of maps some thousands; an archive with more is refused
/// before its list is read.
pub const ENTRIES_MAX: u64 = 100_000;
/// And what their list takes.
const DIRECTORY_BYTES_MAX: u64 = 32 << 20;

/// The longest path of a file.
const NAME_BYTES_MAX: usize = 1024;

/// What a file may be unpacked to: so many times its size in the archive, beyond what is harmless. Maps and symbols come
/// down to a twentieth; deflate cannot do better than a thousandth.
const RATIO_MAX: u64 = 200;
const RATIO_FREE_BYTES: u64 = 4 << 20;

/// How far before its end an archive's last record may begin: a comment follows it.
const END_BYTES: usize = 22;
const END_COMMENT_BYTES_MAX: usize = u16::MAX as usize;

/// Bytes that are unpacked at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Why an archive or a file of it cannot be read.
#[derive(Debug)]
pub enum ZipError {
    NotAnArchive,
    TooManyEntries,
    /// A file that is larger than it may be, or than it says.
    TooLarge,
    /// A method other than stored and deflated.
    Method,
    Damaged,
    Io(io::Error),
}

impl fmt::Display for ZipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ZipError::NotAnArchive => f.write_str("not a valid zip file"),
            ZipError::TooManyEntries => write!(f, "more than {ENTRIES_MAX} files"),
            ZipError::TooLarge => f.write_str("unpacks to too much"),
            ZipError::Method => f.write_str("unsupported compression algorithm"),
            ZipError::Damaged => f.write_str("damaged"),
            ZipError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ZipError {}

impl From<io::Error> for ZipError {
    fn from(error: io::Error) -> ZipError {
        ZipError::Io(error)
    }
}

/// Where a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Of its own header.
    offset: u64,
    packed_bytes: u64,
    pub bytes: u64,
    crc: u32,
    method: u16,
}

/// The files by their cleaned paths; of two of one path the last.
pub type Entries = HashMap<Box<str>, Entry>;

/// Reads the list of files, those whose cleaned path `wanted` wants.
pub fn entries(medium: &dyn Medium, wanted: &dyn Fn(&str) -> bool) -> Result<Entries, ZipError> {
    let directory = Directory::find(medium)?;
    let mut bytes = vec![0; directory.bytes as usize];
    medium.read_exact_at(&mut bytes, directory.offset)?;
    let mut rest = &*bytes;
    let mut found = Entries::new();
    for _ in 0..directory.entries {
        let ((header, name, extra), after) = split_header(rest).ok_or(ZipError::NotAnArchive)?;
        rest = after;
        let Some(path) = safe_path(header, name).filter(|path| wanted(path)) else { continue };
        if let Some(mut entry) = entry_of(header, extra) {
            entry.offset = entry.offset.checked_add(directory.base).ok_or(ZipError::NotAnArchive)?;
            found.insert(path.into(), entry);
        }
    }
    Ok(found)
}

/// Where the list of files is.
struct Directory {
    offset: u64,
    bytes: u64,
    entries: u64,
    /// What stands before the archive: offsets do not count it.
    base: u64,
}

impl Directory {
    fn find(medium: &dyn Medium) -> Result<Directory, ZipError> {
        let whole = medium.bytes()?;
        let tail_bytes = whole.min((END_BYTES + END_COMMENT_BYTES_MAX) as u64);
        let tail_offset = whole - tail_bytes;
        let mut tail = vec![0; tail_bytes as usize];
        medium.read_exact_at(&mut tail, tail_offset)?;
        let at = find_end(&tail).ok_or(ZipError::NotAnArchive)?;
        let end = &tail[at..];
        let mut entries = u64::from(u16_at(end, 10));
        let mut bytes = u64::from(u32_at(end, 12));
        let mut offset = u64::from(u32_at(end, 16));
        let mut ends = tail_offset + at as u64;
        let is_large = entries == 0xffff || bytes == u64::from(u32::MAX) || offset == u64::from(u32::MAX);
        if is_large && let Some(large) = LargeEnd::find(medium, ends)? {
            (entries, bytes, offset, ends) = (large.entries, large.bytes, large.offset, large.at);
        }
        if entries > ENTRIES_MAX || bytes > DIRECTORY_BYTES_MAX {
            return Err(ZipError::TooManyEntries);
        }
        let first = ends.checked_sub(bytes).ok_or(ZipError::NotAnArchive)?;
        let base = first.checked_sub(offset).ok_or(ZipError::NotAnArchive)?;
        Ok(Directory { offset: first, bytes, entries, base })
    }
}

/// The place of the last record: the last one whose comment ends where the archive does, or before.
fn find_end(tail: &[u8]) -> Option<usize> {
    let mut end = tail.len();
    while let Some(at) = memchr::memmem::rfind(&tail[..end], b"PK\x05\x06") {
        let is_whole = tail.len() - at >= END_BYTES
            && tail.len() - at - END_BYTES >= usize::from(u16_at(&tail[at..], 20));
        if is_whole {
            return Some(at);
        }
        end = at + 3;
    }
    None
}

/// The last record of archives with more files or bytes than the old one can tell.
struct LargeEnd {
    at: u64,
    entries: u64,
    bytes: u64,
    offset: u64,
}

impl LargeEnd {
    fn find(medium: &dyn Medium, end: u64) -> Result<Option<LargeEnd>, ZipError> {
        const LOCATOR_BYTES: u64 = 20;
        const RECORD_BYTES: u64 = 56;
        let Some(at) = end.checked_sub(LOCATOR_BYTES) else { return Ok(None) };
        let mut locator = [0; LOCATOR_BYTES as usize];
        medium.read_exact_at(&mut locator, at)?;
        if !locator.starts_with(b"PK\x06\x07") {
            return Ok(None);
        }
        let at = u64_at(&locator, 8);
        let mut record = [0; RECORD_BYTES as usize];
        if at.checked_add(RECORD_BYTES).is_none_or(|after| after > end) {
            return Err(ZipError::NotAnArchive);
        }
        medium.read_exact_at(&mut record, at)?;
        if !record.starts_with(b"PK\x06\x06") {
            return Err(ZipError::NotAnArchive);
        }
        let (entries, bytes, offset) = (u64_at(&record, 32), u64_at(&record, 40), u64_at(&record, 48));
        Ok(Some(LargeEnd { at, entries, bytes, offset }))
    }
}

const HEADER_BYTES: usize = 46;

/// One entry of the list: its fixed part, its name, and what is added to it.
type Header<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// The first entry, and what follows it.
fn split_header(bytes: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
    if !header.starts_with(b"PK\x01\x02") {
        return None;
    }
    let (name, rest) = rest.split_at_checked(usize::from(u16_at(header, 28)))?;
    let (extra, rest) = rest.split_at_checked(usize::from(u16_at(header, 30)))?;
    let (_comment, rest) = rest.split_at_checked(usize::from(u16_at(header, 32)))?;
    Some(((header, name, extra), rest))
}

/// The cleaned path of an ordinary file that stays inside. None for all others.
fn safe_path(header: &[u8], name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let path = clean(name);
    let is_folder = name.ends_with('/');
    let leads_outside = path.starts_with("..") || path.starts_with('/') || path == ".";
    if is_folder || leads_outside || path.len() > NAME_BYTES_MAX || path.bytes().any(|byte| byte < b' ') {
        return None;
    }
    // What Unix says of the file; 0 where the archive was made elsewhere.
    let made_by_unix = matches!(header[5], 3 | 19);
    let kind = u32_at(header, 38) >> 28;
    let is_ordinary = !made_by_unix || matches!(kind, 0 | 8);
    let is_encrypted = u16_at(header, 8) & 1 == 1;
    (is_ordinary && !is_encrypted).then_some(path)
}

fn entry_of(header: &[u8], extra: &[u8]) -> Option<Entry> {
    let mut entry = Entry {
        offset: u64::from(u32_at(header, 42)),
        packed_bytes: u64::from(u32_at(header, 20)),
        bytes: u64::from(u32_at(header, 24)),
        crc: u32_at(header, 16),
        method: u16_at(header, 10),
    };
    // Numbers that need more than 32 bits stand in an addition, in this order, those that need it.
    let mut large = large_numbers(extra);
    for number in [&mut entry.bytes, &mut entry.packed_bytes, &mut entry.offset] {
        if *number == u64::from(u32::MAX) {
            let (value, rest) = large.split_at_checked(8)?;
            (*number, large) = (u64_at(value, 0), rest);
        }
    }
    Some(entry)
}

/// The addition with the id 1.
fn large_numbers(mut extra: &[u8]) -> &[u8] {
    while let Some((head, rest)) = extra.split_at_checked(4) {
        let Some((field, rest)) = rest.split_at_checked(usize::from(u16_at(head, 2))) else { break };
        if u16_at(head, 0) == 1 {
            return field;
        }
        extra = rest;
    }
    &[]
}

impl Entry {
    /// Unpacks a file in pieces; returns how many bytes it has. At most `bytes_max` of them.
    pub fn unpack(
        &self,
        medium: &dyn Medium,
        bytes_max: u64,
        out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<u64, ZipError> {
        let likely = RATIO_FREE_BYTES.saturating_add(self.packed_bytes.saturating_mul(RATIO_MAX));
        if self.bytes > bytes_max.min(likely) {
            return Err(ZipError::TooLarge);
        }
        let mut offset = self.data_offset(medium)?;
        let mut packed_left = self.packed_bytes;
        let mut inflate = match self.method {
            0 => None,
            8 => Some(Decompress::new(false)),
            _ => return Err(ZipError::Method),
        };
        let (mut crc, mut left) = (Crc::new(), self.bytes);
        let mut packed = vec![0; CHUNK_BYTES];
        let mut plain = vec![0; CHUNK_BYTES];
        let mut give = |piece: &[u8]| -> Result<(), ZipError> {
            left = left.checked_sub(piece.len() as u64).ok_or(ZipError::Damaged)?;
            crc.update(piece);
            Ok(out(piece)?)
        };
        let mut ended = self.method == 0;
        while packed_left > 0 {
            let piece = &mut packed[..(CHUNK_BYTES as u64).min(packed_left) as usize];
            medium.read_exact_at(piece, offset)?;
            offset += piece.len() as u64;
            packed_left -= piece.len() as u64;
            match &mut inflate {
                None => give(piece)?,
                Some(inflate) => ended = inflate_piece(inflate, piece, &mut plain, &mut give)?,
            }
            if ended && inflate.is_some() {
                break;
            }
        }
        if !ended || left != 0 || crc.sum() != self.crc {
            return Err(ZipError::Damaged);
        }
        Ok(self.bytes)
    }

    /// Unpacks a file whole.
    pub fn read(&self, medium: &dyn Medium, bytes_max: u64) -> Result<Vec<u8>, ZipError> {
        let mut whole = Vec::new();
        self.unpack(medium, bytes_max, &mut |piece| {
            whole.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(whole)
    }

    /// Where its bytes begin: its own header has a name and additions of its own.
    fn data_offset(&self, medium: &dyn Medium) -> Result<u64, ZipError> {
        const LOCAL_BYTES: usize = 30;
        let mut header = [0; LOCAL_BYTES];
        medium.read_exact_at(&mut header, self.offset)?;
        if !header.starts_with(b"PK\x03\x04") {
            return Err(ZipError::Damaged);
        }
        let skip = LOCAL_BYTES as u64 + u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28));
        self.offset.checked_add(skip).ok_or(ZipError::Damaged)
    }
}

/// Inflates one piece; `true`: the stream has ended.
fn inflate_piece(
    inflate: &mut Decompress,
    mut piece: &[u8],
    plain: &mut [u8],
    give: &mut dyn FnMut(&[u8]) -> Result<(), ZipError>,
) -> Result<bool, ZipError> {
    loop {
        let (taken, given) = (inflate.total_in(), inflate.total_out());
        let status =
            inflate.decompress(piece, plain, FlushDecompress::None).map_err(|_| ZipError::Damaged)?;
        let taken = (inflate.total_in() - taken) as usize;
        let given = (inflate.total_out() - given) as usize;
        piece = &piece[taken..];
        give(&plain[..given])?;
        if status == Status::StreamEnd {
            return Ok(true);
        }
        // A full buffer may have more behind it.
        if piece.is_empty() && given < plain.len() {
            return Ok(false);
        }
        if taken == 0 && given == 0 {
            return Err(ZipError::Damaged);
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests;
