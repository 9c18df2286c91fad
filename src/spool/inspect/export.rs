//! Frames taken out into one stream that is itself a segment: what reads segments reads it, wherever it goes.

use super::super::block::Block;
use super::super::format::{
    FRAME_ALIGN_BYTES, FrameHeader, LogId, SECTOR_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use super::super::place::Place;
use std::io::{self, Write};

/// Exported frames have this salt: there is no file with a former life to tell them apart from.
const SALT: u64 = u64::from_le_bytes(*b"EXPORTED");

/// Writes frames one behind another.
pub struct Export<W: Write> {
    out: W,
    began: bool,
    category: u8,
    log_id: LogId,
    bytes: usize,
    /// Where the next block goes that has no place yet.
    next: Place,
}

impl<W: Write> Export<W> {
    pub fn new(out: W, category: u8, log_id: Option<LogId>) -> Export<W> {
        Export {
            out,
            began: false,
            category,
            log_id: log_id.unwrap_or_default(),
            bytes: 0,
            next: Place::BIRTH,
        }
    }

    /// What is written to, for who writes something else than frames.
    pub fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// Appends a block as a frame of its own.
    pub fn block(&mut self, block: &Block) -> io::Result<()> {
        let header = FrameHeader::of(block, self.next, SALT, 0);
        self.begin(header.place, block.sealed_ms)?;
        self.next = header.end();
        let head = header.encode(&block.route);
        let filled = head.len() + block.route.len() + block.payload.len();
        self.bytes += header.frame_bytes();
        self.out.write_all(&head)?;
        self.out.write_all(&block.route)?;
        self.out.write_all(&block.payload)?;
        self.out.write_all(&[0; FRAME_ALIGN_BYTES][..header.frame_bytes() - filled])
    }

    /// Appends a frame, given as it lies in its segment.
    pub fn frame(&mut self, header: &FrameHeader, bytes: &[u8]) -> io::Result<()> {
        let Some((route, _)) = header.split(bytes) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame shorter than it says"));
        };
        self.begin(header.place, header.sealed_ms)?;
        // Of no segment any more.
        let head = FrameHeader { salt: SALT, segment_mark: 0, ..header.clone() }.encode(route);
        self.out.write_all(&head)?;
        self.bytes += bytes.len();
        self.out.write_all(bytes.get(head.len()..).unwrap_or(&[]))
    }

    fn begin(&mut self, first: Place, opened_ms: u64) -> io::Result<()> {
        if std::mem::replace(&mut self.began, true) {
            return Ok(());
        }
        let header = SegmentHeader {
            category: self.category,
            log_id: self.log_id,
            segment_id: 0,
            salt: SALT,
            first,
            opened_ms,
            file_bytes: 0,
            mended: false,
            opened_lived_ms: None,
        };
        let mut sector = header.encode().to_vec();
        sector.resize(SEGMENT_HEADER_BYTES, 0);
        self.out.write_all(&sector)
    }

    /// Writes what is still held back, and fills the last sector: segments are read in whole ones.
    pub fn finish(mut self) -> io::Result<()> {
        let fill = self.bytes.next_multiple_of(SECTOR_BYTES) - self.bytes;
        self.out.write_all(&[0; SECTOR_BYTES][..fill])?;
        self.out.flush()
    }
}
