//! The cursor journal: how far delivery is, and the boundaries of every window that is out, before any of it is sent.
//!
//! ```text
//! file "cursor": four slots of one sector, written in turn
//!   0  8  magic "KITGCUR\n"       64  8  bytes before it
//!   8  4  version                 72  4  how many spans follow
//!  12  1  category, 3 zero        76  4  CRC32C of 0..76 and of the spans
//!  16 16  log id                  80 32  each: end seq, points before it, bytes before it, 1 if done
//!  32  8  generation
//!  40  8  seq of the first frame that is not done with
//!  48  8  points before it
//!  56  8  id of the oldest segment that counts
//! ```
//!
//! The newest intact slot counts. A slot is written only when the one before is durable, and never the one that holds
//! the newest durable state; so a torn write costs nothing. After a failed write or sync the file is not trusted again:
//! the next state goes to a new file that takes its name. A lost journal costs duplicates under new ids, never data.

use super::file::{Disk, SegmentFile, read_sector};
use super::format::{LogId, SECTOR_BYTES, VERSION};
use super::ledger::{SPANS_MAX, Span, SpanState};
use super::place::Place;
use std::io;

pub(super) const NAME: &str = "cursor";
pub(super) const NAME_NEW: &str = "cursor.new";

const MAGIC: [u8; 8] = *b"KITGCUR\n";
const SPANS_AT: usize = 80;
const SPAN_BYTES: usize = 32;
const CRC_AT: usize = 76;
/// Two would do against tearing; four leave older states to fall back on when the newest is damaged later.
const SLOTS: u64 = 4;

const _: () = assert!(SPANS_AT + SPANS_MAX * SPAN_BYTES <= SECTOR_BYTES);

/// What a slot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub log_id: LogId,
    pub category: u8,
    pub generation: u64,
    pub acked: Place,
    /// Segments with smaller ids are done with, whatever is in them: what a failed commit left in one would look new
    /// once the segment in which it was done again is gone.
    pub segment_floor: u64,
    pub spans: Vec<Span>,
}

/// Why a slot says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotError {
    Unreadable,
    Newer(u32),
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|slice| slice.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|slice| slice.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

impl Cursor {
    /// Fills a whole sector.
    pub(super) fn encode(&self, slot: &mut [u8]) {
        assert!(slot.len() == SECTOR_BYTES, "BUG: a slot of {} bytes", slot.len());
        assert!(self.spans.len() <= SPANS_MAX, "BUG: {} spans", self.spans.len());
        slot.fill(0);
        put(slot, 0, &MAGIC);
        put(slot, 8, &VERSION.to_le_bytes());
        put(slot, 12, &[self.category]);
        put(slot, 16, &self.log_id);
        put(slot, 32, &self.generation.to_le_bytes());
        put(slot, 40, &self.acked.seq.to_le_bytes());
        put(slot, 48, &self.acked.points.to_le_bytes());
        put(slot, 56, &self.segment_floor.to_le_bytes());
        put(slot, 64, &self.acked.bytes.to_le_bytes());
        put(slot, 72, &(self.spans.len() as u32).to_le_bytes());
        for (index, span) in self.spans.iter().enumerate() {
            let at = SPANS_AT + index * SPAN_BYTES;
            put(slot, at, &span.end.seq.to_le_bytes());
            put(slot, at + 8, &span.end.points.to_le_bytes());
            put(slot, at + 16, &span.end.bytes.to_le_bytes());
            put(slot, at + 24, &u64::from(span.state == SpanState::Done).to_le_bytes());
        }
        let crc = Self::crc(slot, self.spans.len());
        put(slot, CRC_AT, &crc.to_le_bytes());
    }

    fn crc(slot: &[u8], spans: usize) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&slot[..CRC_AT]), &slot[SPANS_AT..SPANS_AT + spans * SPAN_BYTES])
    }

    /// Reads a slot. Windows that were out wait to go out again.
    pub(super) fn decode(slot: &[u8]) -> Result<Cursor, SlotError> {
        if slot.len() < SECTOR_BYTES || slot[..8] != MAGIC {
            return Err(SlotError::Unreadable);
        }
        let count = u32_at(slot, 72) as usize;
        if count > SPANS_MAX || Self::crc(slot, count) != u32_at(slot, CRC_AT) {
            return Err(SlotError::Unreadable);
        }
        let version = u32_at(slot, 8);
        if version > VERSION {
            return Err(SlotError::Newer(version));
        }
        let acked = Place { seq: u64_at(slot, 40), points: u64_at(slot, 48), bytes: u64_at(slot, 64) };
        let mut spans = Vec::with_capacity(count);
        let mut start = acked;
        for index in 0..count {
            let at = SPANS_AT + index * SPAN_BYTES;
            let end =
                Place { seq: u64_at(slot, at), points: u64_at(slot, at + 8), bytes: u64_at(slot, at + 16) };
            if !end.follows(start) || end.seq == start.seq {
                return Err(SlotError::Unreadable);
            }
            let state = if u64_at(slot, at + 24) == 1 { SpanState::Done } else { SpanState::Replay };
            spans.push(Span::new(start, end, state));
            start = end;
        }
        let log_id = slot[16..32].try_into().map_err(|_| SlotError::Unreadable)?;
        Ok(Cursor {
            log_id,
            category: slot[12],
            generation: u64_at(slot, 32),
            acked,
            segment_floor: u64_at(slot, 56),
            spans,
        })
    }
}

/// The open journal file.
pub(super) struct Journal<D: Disk> {
    /// None: not made yet, or not trusted any more.
    file: Option<D::File>,
    generation: u64,
}

impl<D: Disk> Journal<D> {
    /// Reads the journal if there is one. The inner error is the number of a later version that wrote it.
    pub(super) async fn load(disk: &D) -> io::Result<(Journal<D>, Result<Option<Cursor>, u32>)> {
        let nothing = Journal { file: None, generation: 0 };
        let file = match disk.open(NAME).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((nothing, Ok(None))),
            Err(error) => return Err(error),
        };
        let mut newest: Option<Cursor> = None;
        let mut whole = true;
        for slot in 0..SLOTS {
            // A slot that cannot be read is as good as none: it must not keep the data from being delivered.
            let bytes = match read_sector(&file, slot * SECTOR_BYTES as u64).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    tracing::error!(slot, %error, "a slot of the cursor journal cannot be read");
                    whole = false;
                    continue;
                }
            };
            whole &= bytes.len() == SECTOR_BYTES;
            match Cursor::decode(&bytes) {
                Ok(cursor) if newest.as_ref().is_none_or(|best| best.generation < cursor.generation) => {
                    newest = Some(cursor);
                }
                Ok(_) | Err(SlotError::Unreadable) => {}
                Err(SlotError::Newer(version)) => return Ok((nothing, Err(version))),
            }
        }
        let generation = newest.as_ref().map_or(0, |cursor| cursor.generation);
        // A short or damaged file is replaced, not mended.
        let journal = Journal { file: whole.then_some(file).filter(|_| newest.is_some()), generation };
        Ok((journal, Ok(newest)))
    }

    /// Whether there is a file, so that storing takes no room.
    pub(super) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Makes a state durable. It has the next generation when this returns.
    pub(super) async fn store(&mut self, disk: &D, mut cursor: Cursor) -> io::Result<()> {
        cursor.generation = self.generation + 1;
        // Taken out while it is used: after an error, or when this future is dropped half-way, it is not used again.
        if let Some(file) = self.file.take() {
            let mut slot = disk.alloc(SECTOR_BYTES);
            cursor.encode(&mut slot);
            file.write_at(slot, cursor.generation % SLOTS * SECTOR_BYTES as u64).await?;
            file.sync().await?;
            self.file = Some(file);
        } else {
            self.file = Some(Self::renew(disk, &cursor).await?);
        }
        self.generation = cursor.generation;
        Ok(())
    }

    /// A new file with this state in it, under the name of the old one.
    async fn renew(disk: &D, cursor: &Cursor) -> io::Result<D::File> {
        match disk.remove(NAME_NEW).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let bytes = SLOTS as usize * SECTOR_BYTES;
        let file = disk.create(NAME_NEW, bytes as u64).await?;
        let mut all = disk.alloc(bytes);
        all.fill(0);
        let at = (cursor.generation % SLOTS) as usize * SECTOR_BYTES;
        cursor.encode(&mut all[at..at + SECTOR_BYTES]);
        file.write_at(all, 0).await?;
        file.sync().await?;
        disk.rename(NAME_NEW, NAME).await?;
        disk.sync_dir().await?;
        Ok(file)
    }
}
