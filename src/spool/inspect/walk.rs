//! The frames of one segment, one after another, with what lies between them. Memory stays small whatever a frame
//! claims to be: payloads are checked in pieces, and loaded only by who asks for one.

use super::super::block::Block;
use super::super::format::{FrameHeader, SECTOR_BYTES};
use super::super::place::Place;
use super::super::scan::Scan;
use super::plain::{PlainFile, now};
use std::io;
use std::path::Path;

/// A frame as it was found: its header is intact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFrame {
    pub header: FrameHeader,
    pub offset: u64,
    /// Whether its payload is what the header says; true, too, where nobody checked.
    pub is_whole: bool,
}

impl FoundFrame {
    pub fn seq(&self) -> u64 {
        self.header.place.seq
    }
}

/// Frames that should be here and are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: Place,
    pub to: Place,
    /// What lies in their place, from here …
    pub offset: u64,
    /// … for so many bytes; none when the next frame stands where they would have begun: they were taken out, or
    /// never written.
    pub bytes: u64,
}

/// What is next in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Frame(FoundFrame),
    Gap(Gap),
    /// A frame of a commit that failed here and was done again elsewhere, or one that was here before.
    Leftover(FoundFrame),
}

/// Reads one segment from its first frame on.
pub struct Walk {
    scan: Scan<PlainFile>,
    checked: bool,
    /// What the next frame should be.
    expected: Place,
    /// Where the next segment begins; none in the last one.
    ceiling: Option<Place>,
    /// Behind the last frame.
    offset: u64,
    file_bytes: u64,
    /// The frame that was given last.
    given: Option<FrameHeader>,
    ended: bool,
    synced: u64,
}

impl Walk {
    pub(super) fn new(
        path: &Path,
        salt: u64,
        first: Place,
        ceiling: Option<Place>,
        checked: bool,
    ) -> io::Result<Walk> {
        let file_bytes = std::fs::metadata(path)?.len();
        let scan = Scan::new(PlainFile::open(path)?, salt, None, file_bytes);
        let offset = scan.offset();
        Ok(Walk {
            scan,
            checked,
            expected: first,
            ceiling,
            offset,
            file_bytes,
            given: None,
            ended: false,
            synced: 0,
        })
    }

    /// What is next. What cannot be read counts as damage; an error is one of the whole file.
    pub fn next_found(&mut self) -> io::Result<Option<Found>> {
        if let Some(given) = self.given.take() {
            self.scan.consume(&given);
        }
        let Some(header) = now(self.scan.peek_head())? else { return Ok(self.end()) };
        let offset = self.scan.offset();
        let in_place = header.place.seq >= self.expected.seq
            && header.place.follows(self.expected)
            && self.ceiling.is_none_or(|end| header.place.seq < end.seq && end.follows(header.end()));
        if !in_place {
            self.given = Some(header.clone());
            return Ok(Some(Found::Leftover(FoundFrame { header, offset, is_whole: true })));
        }
        if header.place.seq > self.expected.seq {
            let gap = self.gap(header.place, offset - self.offset);
            self.expected = header.place;
            return Ok(Some(Found::Gap(gap)));
        }
        // A spot that cannot be read is one that does not hold.
        let is_whole = !self.checked || now(self.scan.payload_holds(&header)).unwrap_or(false);
        self.expected = header.end();
        self.offset = self.scan.frame_end(&header);
        if is_whole {
            self.synced = self.synced.max(header.synced);
        }
        self.given = Some(header.clone());
        Ok(Some(Found::Frame(FoundFrame { header, offset, is_whole })))
    }

    /// Where the log stands behind the last frame that was given.
    pub fn place(&self) -> Place {
        self.expected
    }

    /// Behind the last frame that was given.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Every frame below was on disk before a whole frame here was written: damage to it is damage, and not a commit
    /// that is under way.
    pub fn synced_below(&self) -> u64 {
        self.synced
    }

    /// Sectors that could not be read so far.
    pub fn sectors_unreadable(&self) -> u64 {
        self.scan.sectors_unreadable
    }

    /// The block of the frame that was given last; none if it is damaged or of a sort that this version does not know.
    /// It is all in memory then: look at its size first.
    pub fn block(&mut self, frame: &FoundFrame) -> io::Result<Option<Block>> {
        if self.given.as_ref() != Some(&frame.header) {
            return Ok(None);
        }
        let found = now(self.scan.peek())?.filter(|header| *header == frame.header);
        Ok(found.and_then(|header| header.block(self.scan.frame(&header))))
    }

    /// Header, route and payload of that frame as they lie on disk.
    pub fn bytes(&mut self, frame: &FoundFrame) -> io::Result<Option<&[u8]>> {
        let found = now(self.scan.peek())?.filter(|header| *header == frame.header);
        Ok(found.map(|header| self.scan.frame(&header)))
    }

    fn gap(&self, to: Place, bytes: u64) -> Gap {
        Gap { from: self.expected, to, offset: self.offset, bytes }
    }

    fn end(&mut self) -> Option<Found> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        let to = self.ceiling.filter(|end| end.seq > self.expected.seq)?;
        // Whole sectors: what fills the last one is no trace of a frame.
        let sector = self.offset.next_multiple_of(SECTOR_BYTES as u64);
        let bytes = if self.file_bytes > sector { self.file_bytes - self.offset } else { 0 };
        let gap = self.gap(to, bytes);
        self.expected = to;
        Some(Found::Gap(gap))
    }
}
