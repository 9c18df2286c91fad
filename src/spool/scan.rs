//! Walks the frames of one segment file: forwards, in bounded memory, over whatever damage lies between.

use super::block::Block;
use super::config::PIECE_BYTES;
use super::file::{SegmentFile, read_sector};
use super::format::{self, FrameHeader, SECTOR_BYTES, SEGMENT_HEADER_BYTES, Step};
use super::turn::give_way;
use bytes::Bytes;
use std::io;

/// What one read asks for: long enough to be near the disk's full rate, short enough for one buffer a log.
const READ_BYTES: usize = 1 << 20;
/// How often a failed read is tried as a whole before its sectors are tried one by one.
const READ_ATTEMPTS: usize = 2;

const _: () = assert!(READ_BYTES.is_multiple_of(SECTOR_BYTES));

/// A position in a segment, and the bytes read ahead of it.
pub(super) struct Scan<F: SegmentFile> {
    file: F,
    pub salt: u64,
    /// Frames lie before this offset.
    end: u64,
    /// Where in the file `buf` begins.
    start: u64,
    buf: Vec<u8>,
    at: usize,
    /// Sectors that could not be read.
    pub sectors_unreadable: u64,
}

impl<F: SegmentFile> Scan<F> {
    /// From `offset`, a place where a frame begins, or from the front.
    pub(super) fn new(file: F, salt: u64, offset: Option<u64>, end: u64) -> Scan<F> {
        let offset = offset.unwrap_or(SEGMENT_HEADER_BYTES as u64).max(SEGMENT_HEADER_BYTES as u64);
        let start = offset - offset % SECTOR_BYTES as u64;
        let at = (offset - start) as usize;
        let mut scan = Scan { file, salt, end: 0, start, buf: Vec::new(), at, sectors_unreadable: 0 };
        scan.set_end(end);
        scan
    }

    /// More of the file has become readable.
    pub(super) fn set_end(&mut self, end: u64) {
        self.end = end.next_multiple_of(SECTOR_BYTES as u64);
    }

    pub(super) fn offset(&self) -> u64 {
        self.start + self.at as u64
    }

    /// The frame at the position, if one is there: its header is intact and all of its bytes are at hand.
    pub(super) async fn here(&mut self) -> io::Result<Option<FrameHeader>> {
        loop {
            let room = self.end.saturating_sub(self.offset());
            let ahead = self.buf.get(self.at..).unwrap_or(&[]);
            match format::frame_at(ahead, room, self.salt) {
                Step::Frame(header) => return Ok(Some(header)),
                Step::Wants(bytes) => {
                    if !self.fill(bytes).await? {
                        return Ok(None);
                    }
                }
                Step::Nothing => return Ok(None),
            }
        }
    }

    /// The next frame at or behind the position. Moves there, and stays.
    pub(super) async fn peek(&mut self) -> io::Result<Option<FrameHeader>> {
        loop {
            if let Some(header) = self.here().await? {
                return Ok(Some(header));
            }
            if self.end.saturating_sub(self.offset()) < format::FRAME_HEADER_BYTES as u64 {
                return Ok(None);
            }
            self.search();
        }
    }

    /// The frame header at the position, if one is there, whether or not its payload has been read.
    pub(super) async fn head_here(&mut self) -> io::Result<Option<FrameHeader>> {
        loop {
            let room = self.end.saturating_sub(self.offset());
            let ahead = self.buf.get(self.at..).unwrap_or(&[]);
            match format::head_at(ahead, room, self.salt) {
                Step::Frame(header) => return Ok(Some(header)),
                Step::Wants(bytes) => {
                    if !self.fill(bytes).await? {
                        return Ok(None);
                    }
                }
                Step::Nothing => return Ok(None),
            }
        }
    }

    /// As [`Scan::peek`], for what stands before the payload, which need not fit into memory and is not read.
    pub(super) async fn peek_head(&mut self) -> io::Result<Option<FrameHeader>> {
        loop {
            if let Some(header) = self.head_here().await? {
                return Ok(Some(header));
            }
            if self.end.saturating_sub(self.offset()) < format::FRAME_HEADER_BYTES as u64 {
                return Ok(None);
            }
            self.search();
        }
    }

    /// Whether the payload of the frame that `peek_head` gave is what its header says. Read in pieces.
    pub(super) async fn payload_holds(&self, header: &FrameHeader) -> io::Result<bool> {
        let lead = format::FRAME_HEADER_BYTES + usize::from(header.route_bytes);
        let ahead = self.buf.get(self.at..).unwrap_or(&[]);
        if let Some(payload) = ahead.get(lead..lead + header.payload_bytes as usize) {
            return Ok(crc32c::crc32c(payload) == header.payload_crc);
        }
        let mut at = self.offset() + lead as u64;
        let end = at + u64::from(header.payload_bytes);
        let mut crc = 0;
        while at < end {
            let skipped = at % SECTOR_BYTES as u64;
            let len = usize::try_from(end - at + skipped).unwrap_or(usize::MAX).min(READ_BYTES);
            let bytes = self.file.read_at(at - skipped, len.next_multiple_of(SECTOR_BYTES)).await?;
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX);
            let piece = bytes.get(skipped as usize..).unwrap_or(&[]);
            let piece = piece.get(..wanted).unwrap_or(piece);
            if piece.is_empty() {
                return Ok(false);
            }
            crc = crc32c::crc32c_append(crc, piece);
            at += piece.len() as u64;
        }
        Ok(crc == header.payload_crc)
    }

    /// Moves to the next thing that looks like a frame, or to the end of what has been read.
    fn search(&mut self) {
        let from = self.at + format::FRAME_ALIGN_BYTES;
        self.at = format::next_magic(&self.buf, from).unwrap_or_else(|| self.buf.len().max(from));
    }

    /// Any segment's frame header at or behind the position: its salt. For segments whose own header is lost.
    pub(super) async fn peek_salt(&mut self) -> io::Result<Option<u64>> {
        loop {
            if self.end.saturating_sub(self.offset()) < format::FRAME_HEADER_BYTES as u64 {
                return Ok(None);
            }
            let ahead = self.buf.get(self.at..).unwrap_or(&[]);
            if ahead.len() < format::FRAME_HEADER_BYTES {
                if !self.fill(format::FRAME_HEADER_BYTES).await? {
                    return Ok(None);
                }
                continue;
            }
            if let Some(salt) = format::salt_at(ahead) {
                return Ok(Some(salt));
            }
            self.search();
        }
    }

    /// The bytes of the frame that `peek` gave.
    pub(super) fn frame(&self, header: &FrameHeader) -> &[u8] {
        self.buf.get(self.at..self.at + header.frame_bytes()).unwrap_or(&[])
    }

    /// Its route.
    pub(super) fn route(&self, header: &FrameHeader) -> &[u8] {
        let route_end = format::FRAME_HEADER_BYTES + usize::from(header.route_bytes);
        self.frame(header).get(format::FRAME_HEADER_BYTES..route_end).unwrap_or(&[])
    }

    /// Where the frame that `peek` gave ends.
    pub(super) fn frame_end(&self, header: &FrameHeader) -> u64 {
        self.offset() + header.frame_bytes() as u64
    }

    /// What is in it, if its payload is what the header says; and moves behind it. A large one is not copied: what has been
    /// read ahead is given away with it.
    pub(super) async fn take(&mut self, header: &FrameHeader) -> Option<Block> {
        if (header.payload_bytes as usize) < READ_BYTES {
            let block = header.block(self.frame(header));
            self.consume(header);
            return block;
        }
        let (at, end) = (self.at, (self.at + header.frame_bytes()).min(self.buf.len()));
        let whole = Bytes::from(std::mem::take(&mut self.buf));
        self.buf = whole.get(end..).unwrap_or(&[]).to_vec();
        self.start += end as u64;
        self.at = 0;
        let frame = whole.slice(at.min(end)..end);
        let mut crc = 0;
        for piece in header.payload(&frame)?.chunks(PIECE_BYTES) {
            crc = crc32c::crc32c_append(crc, piece);
            give_way().await;
        }
        header.block_of(&frame, crc)
    }

    /// Moves behind it.
    pub(super) fn consume(&mut self, header: &FrameHeader) {
        self.at += header.frame_bytes();
    }

    /// Moves on by the least step, to look behind something that was not what it seemed.
    pub(super) fn step(&mut self) {
        self.at += format::FRAME_ALIGN_BYTES;
    }

    /// Has `wanted` bytes at the position. False: the file ends before that.
    async fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        // The position may be behind what is read, by less than a sector or by a skipped payload.
        let behind = self.at.min(self.buf.len());
        self.buf.drain(..behind);
        self.start += behind as u64;
        self.at -= behind;
        if self.buf.is_empty() && self.at >= SECTOR_BYTES {
            let skipped = self.at - self.at % SECTOR_BYTES;
            // `start` is a sector boundary here: reads end at one, and all that was read is consumed.
            self.start += skipped as u64;
            self.at -= skipped;
        }
        if self.buf.capacity() > 2 * READ_BYTES && wanted <= READ_BYTES {
            self.buf.shrink_to(READ_BYTES);
        }
        // In pieces: a frame may have tens of megabytes, and others are served while the next piece comes.
        self.buf.reserve((self.at + wanted).saturating_sub(self.buf.len()));
        let most = if wanted > READ_BYTES { PIECE_BYTES } else { READ_BYTES };
        while self.buf.len() < self.at + wanted {
            let from = self.start + self.buf.len() as u64;
            let left = self.end.saturating_sub(from);
            let len = usize::try_from(left).map_or(most, |left| left.min(most));
            if len == 0 {
                return Ok(false);
            }
            let got = self.read(from, len).await?;
            if got < len {
                // The file is shorter than it should be.
                self.end = from + (got - got % SECTOR_BYTES) as u64;
                let keep = (self.end - self.start) as usize;
                self.buf.truncate(keep);
                return Ok(self.buf.len() >= self.at + wanted);
            }
        }
        Ok(true)
    }

    /// Appends what can be read; zeros stand for sectors that cannot, and the search goes on behind them.
    async fn read(&mut self, from: u64, len: usize) -> io::Result<usize> {
        for _ in 0..READ_ATTEMPTS {
            if let Ok(bytes) = self.file.read_at(from, len).await {
                self.buf.extend_from_slice(&bytes);
                return Ok(bytes.len());
            }
        }
        let mut got = 0;
        let mut last_error = None;
        let mut readable = false;
        for offset in (0..len).step_by(SECTOR_BYTES) {
            match read_sector(&self.file, from + offset as u64).await {
                Ok(bytes) => {
                    readable = true;
                    self.buf.extend_from_slice(&bytes);
                    got += bytes.len();
                    if bytes.len() < SECTOR_BYTES {
                        break;
                    }
                }
                Err(error) => {
                    last_error = Some(error);
                    self.sectors_unreadable += 1;
                    self.buf.resize(self.buf.len() + SECTOR_BYTES, 0);
                    got += SECTOR_BYTES;
                }
            }
        }
        match last_error {
            // Not one sector of so many: that is the device, or the machine going down, and not a damaged spot.
            Some(error) if !readable => Err(error),
            _ => Ok(got),
        }
    }
}
