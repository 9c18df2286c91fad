//! The cursor journal: how far delivery is, the boundaries of every window that is out, before any of it is sent, and the
//! sums: what became of every point, exactly as of these boundaries.
//!
//! ```text
//! file "cursor": four slots of three sectors, written in turn
//!   0  8  magic "KITGCUR\n"                    80  8  seq of the end of the log, as far as it was synced
//!   8  4  version                              88  8  points before it
//!  12  1  category, 3 zero                     96  8  bytes before it
//!  16 16  log id                              104  8  newest segment's id
//!  32  8  generation                          112  8  the log's own time, ms (`age`)
//!  40  8  seq of the first frame that is      120  8  points before the sums began
//!         not done with                       128 56  gone: delivered, dead, parked, evicted, expired, lost, dropped
//!  48  8  points before it                    184 16  frames before the lanes were counted: from, to
//!  56  8  id of the oldest segment            200  4  how many spans
//!         that counts                         204  4  how many lanes: the known ones, other, unknown
//!  64  8  bytes before it                     208  8  the log's own time when the newest frame came, ms
//!  72  4  zero                                252  4  CRC32C of 0..76, 80..252 and 256..
//!  76  4  CRC32C of 0..76                     256 32  each span: end seq, points before it, bytes before it, state
//!                                                 72  each lane: key, committed, gone as above
//! ```
//!
//! States of spans: 0 to go out again, 1 done, 2 aside, 3 to go out again, from what lay aside. The newest intact slot counts. A slot is written only when the one before is durable, and never the
//! one that holds the newest durable state; so a torn write costs nothing. Only the sectors that are in use are written.
//! After a failed write or sync the file is not trusted again: the next state goes to a new file that takes its name. A
//! lost journal costs duplicates under new ids, never data; the sums begin anew.
//!
//! Version 1 had four slots of one sector, no sums, the number of spans at 72, the spans at 80, and the CRC at 76 over
//! both. It is read, and replaced as a whole by the next write. What its spans say is done was counted nowhere: the sums
//! begin behind it. Version 1 in turn finds the CRC at 76 to be right, the version to be later, and lets it be.
//!
//! Version 2 had the CRC at 252 over all of 0..252. With the CRC of 0..76 inside, that said nothing about those 76 bytes:
//! the CRC of a text and its own CRC is the same whatever the text is, and a slot that was torn right behind them passed
//! with the head of one state and the body of another. It is read, and later states take its slots in turn.

use super::account::{Account, FATES, LANES_MAX, LaneKey, Lanes};
use super::file::{Disk, SegmentFile, read_sector};
use super::format::{LogId, SECTOR_BYTES};
use super::ledger::{SPANS_MAX, Span, SpanState};
use super::place::Place;
use std::io;

pub(super) const NAME: &str = "cursor";
pub(super) const NAME_NEW: &str = "cursor.new";

/// The version this code writes, and the newest it reads.
pub(super) const VERSION: u32 = 3;
const MAGIC: [u8; 8] = *b"KITGCUR\n";
const SPAN_BYTES: usize = 32;
const CRC_AT: usize = 76;
const BODY_CRC_AT: usize = 252;
const BODY_AT: usize = 256;
const LANE_BYTES: usize = 16 + 8 * FATES;
const SLOT_SECTORS: usize = 3;
const SLOT_BYTES: usize = SLOT_SECTORS * SECTOR_BYTES;
/// Two would do against tearing; four leave older states to fall back on when the newest is damaged later.
const SLOTS: usize = 4;
/// Where version 1 had its spans, and how many it could have.
const SPANS_AT_V1: usize = 80;
const SPANS_MAX_V1: usize = 98;
const FILE_BYTES_V1: usize = SLOTS * SECTOR_BYTES;

const _: () = assert!(BODY_AT + SPANS_MAX * SPAN_BYTES + (LANES_MAX + 2) * LANE_BYTES <= SLOT_BYTES);
const _: () = assert!(SPANS_AT_V1 + SPANS_MAX_V1 * SPAN_BYTES <= SECTOR_BYTES);

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
    /// None: of version 1.
    pub sums: Option<Sums>,
}

/// What became of everything, as of the spans; and what was committed, as of `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sums {
    pub end: Place,
    /// The newest segment at that time.
    pub segment_id_max: u64,
    pub lived_ms: u64,
    /// When the newest frame came.
    pub filled_lived_ms: u64,
    pub forgotten: u64,
    pub account: Account,
    pub lanes: Lanes,
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

/// Reads numbers one after the other; zeros behind the end.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn next(&mut self) -> u64 {
        let value = u64_at(self.bytes, self.at);
        self.at += 8;
        value
    }

    fn place(&mut self) -> Place {
        Place { seq: self.next(), points: self.next(), bytes: self.next() }
    }

    fn account(&mut self) -> Account {
        Account { committed: self.next(), gone: std::array::from_fn(|_| self.next()) }
    }

    /// Spans behind `start`, each of them forwards.
    fn spans(&mut self, mut start: Place, count: usize) -> Result<Vec<Span>, SlotError> {
        let mut spans = Vec::with_capacity(count);
        for _ in 0..count {
            let end = self.place();
            if !end.follows(start) || end.seq == start.seq || !end.is_plausible() {
                return Err(SlotError::Unreadable);
            }
            let (state, deferred) = match self.next() {
                0 => (SpanState::Replay, false),
                1 => (SpanState::Done, false),
                2 => (SpanState::Deferred, true),
                3 => (SpanState::Replay, true),
                _ => return Err(SlotError::Unreadable),
            };
            spans.push(Span { deferred, ..Span::new(start, end, state) });
            start = end;
        }
        Ok(spans)
    }
}

/// Writes numbers one after the other.
struct Output<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Output<'_> {
    fn put(&mut self, values: &[u64]) {
        for value in values {
            put(self.bytes, self.at, &value.to_le_bytes());
            self.at += 8;
        }
    }
}

impl Cursor {
    /// Fills the beginning of a slot and gives how many bytes of it are in use: whole sectors.
    pub(super) fn encode(&self, slot: &mut [u8]) -> usize {
        assert!(slot.len() == SLOT_BYTES, "BUG: a slot of {} bytes", slot.len());
        assert!(self.spans.len() <= SPANS_MAX, "BUG: {} spans", self.spans.len());
        let Some(sums) = &self.sums else { unreachable!("BUG: a cursor without sums is written") };
        slot.fill(0);
        put(slot, 0, &MAGIC);
        put(slot, 8, &VERSION.to_le_bytes());
        put(slot, 12, &[self.category]);
        put(slot, 16, &self.log_id);
        let mut out = Output { bytes: slot, at: 32 };
        out.put(&[self.generation, self.acked.seq, self.acked.points, self.segment_floor, self.acked.bytes]);
        let crc = crc32c::crc32c(&out.bytes[..CRC_AT]);
        put(out.bytes, CRC_AT, &crc.to_le_bytes());
        out.at = CRC_AT + 4;
        out.put(&[sums.end.seq, sums.end.points, sums.end.bytes]);
        out.put(&[sums.segment_id_max, sums.lived_ms, sums.forgotten]);
        out.put(&sums.account.gone);
        out.put(&[sums.lanes.uncounted.start, sums.lanes.uncounted.end]);
        let lanes = sums.lanes.known.len() + 2;
        out.put(&[self.spans.len() as u64 | (lanes as u64) << 32, sums.filled_lived_ms]);
        out.at = BODY_AT;
        for span in &self.spans {
            let state = match (span.state, span.deferred) {
                (SpanState::Open | SpanState::Replay, false) => 0,
                (SpanState::Done, _) => 1,
                (SpanState::Deferred, _) => 2,
                (SpanState::Open | SpanState::Replay, true) => 3,
            };
            out.put(&[span.end.seq, span.end.points, span.end.bytes, state]);
        }
        let known = sums.lanes.known.iter().map(|(lane, account)| (*lane, account));
        let others = [(LaneKey::OTHER, &sums.lanes.other), (LaneKey::UNKNOWN, &sums.lanes.unknown)];
        for (lane, account) in known.chain(others) {
            out.put(&[lane.0, account.committed]);
            out.put(&account.gone);
        }
        let end = out.at;
        let crc = Self::body_crc(slot, end, VERSION);
        put(slot, BODY_CRC_AT, &crc.to_le_bytes());
        end.next_multiple_of(SECTOR_BYTES)
    }

    fn body_crc(slot: &[u8], end: usize, version: u32) -> u32 {
        let before = match version {
            ..=2 => crc32c::crc32c(&slot[..BODY_CRC_AT]),
            _ => crc32c::crc32c_append(crc32c::crc32c(&slot[..CRC_AT]), &slot[CRC_AT + 4..BODY_CRC_AT]),
        };
        crc32c::crc32c_append(before, &slot[BODY_AT..end])
    }

    /// Reads a slot. Windows that were out wait to go out again.
    pub(super) fn decode(slot: &[u8]) -> Result<Cursor, SlotError> {
        if slot.len() < SECTOR_BYTES || slot[..8] != MAGIC {
            return Err(SlotError::Unreadable);
        }
        let version = u32_at(slot, 8);
        if version <= 1 {
            return Self::decode_v1(slot);
        }
        if crc32c::crc32c(&slot[..CRC_AT]) != u32_at(slot, CRC_AT) {
            return Err(SlotError::Unreadable);
        }
        if version > VERSION {
            return Err(SlotError::Newer(version));
        }
        let (spans, lanes) = (u32_at(slot, 200) as usize, u32_at(slot, 204) as usize);
        let end = BODY_AT + spans.min(SPANS_MAX) * SPAN_BYTES + lanes.min(LANES_MAX + 2) * LANE_BYTES;
        if spans > SPANS_MAX || !(2..=LANES_MAX + 2).contains(&lanes) || end > slot.len() {
            return Err(SlotError::Unreadable);
        }
        if Self::body_crc(slot, end, version) != u32_at(slot, BODY_CRC_AT) {
            return Err(SlotError::Unreadable);
        }
        let (log_id, mut fields) = Self::log_id(slot)?;
        let (generation, acked, segment_floor) = Self::position(&mut fields);
        fields.at = CRC_AT + 4;
        let end = fields.place();
        let (segment_id_max, lived_ms, forgotten) = (fields.next(), fields.next(), fields.next());
        let account = Account { committed: 0, gone: std::array::from_fn(|_| fields.next()) };
        let uncounted = fields.next()..fields.next();
        let filled_lived_ms = u64_at(slot, 208);
        fields.at = BODY_AT;
        let spans = fields.spans(acked, spans)?;
        let mut known: Vec<(LaneKey, Account)> =
            (0..lanes).map(|_| (LaneKey(fields.next()), fields.account())).collect();
        let (Some((_, unknown)), Some((_, other))) = (known.pop(), known.pop()) else {
            return Err(SlotError::Unreadable);
        };
        // What the ledger holds to be true of itself: a slot that says otherwise is damaged, CRC or no CRC.
        let passed = spans.iter().filter(|span| span.state == SpanState::Done).map(Span::points);
        let passed = passed.fold(acked.points, u64::wrapping_add);
        let read = spans.last().map_or(acked, |span| span.end);
        let plausible = end.is_plausible() && acked.is_plausible();
        if !plausible || !end.follows(read) || forgotten.wrapping_add(account.gone_points()) != passed {
            return Err(SlotError::Unreadable);
        }
        let lanes = Lanes { known, other, unknown, uncounted };
        let sums = Some(Sums { end, segment_id_max, lived_ms, filled_lived_ms, forgotten, account, lanes });
        Ok(Cursor { log_id, category: slot[12], generation, acked, segment_floor, spans, sums })
    }

    fn decode_v1(slot: &[u8]) -> Result<Cursor, SlotError> {
        let count = u32_at(slot, 72) as usize;
        let end = SPANS_AT_V1 + count.min(SPANS_MAX_V1) * SPAN_BYTES;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&slot[..CRC_AT]), &slot[SPANS_AT_V1..end]);
        if count > SPANS_MAX_V1 || crc != u32_at(slot, CRC_AT) {
            return Err(SlotError::Unreadable);
        }
        let (log_id, mut fields) = Self::log_id(slot)?;
        let (generation, acked, segment_floor) = Self::position(&mut fields);
        fields.at = SPANS_AT_V1;
        let spans = fields.spans(acked, count)?;
        if !acked.is_plausible() {
            return Err(SlotError::Unreadable);
        }
        Ok(Cursor { log_id, category: slot[12], generation, acked, segment_floor, spans, sums: None })
    }

    fn log_id(slot: &[u8]) -> Result<(LogId, Fields<'_>), SlotError> {
        let log_id = slot[16..32].try_into().map_err(|_| SlotError::Unreadable)?;
        Ok((log_id, Fields { bytes: slot, at: 32 }))
    }

    fn position(fields: &mut Fields<'_>) -> (u64, Place, u64) {
        let (generation, seq, points) = (fields.next(), fields.next(), fields.next());
        let (segment_floor, bytes) = (fields.next(), fields.next());
        (generation, Place { seq, points, bytes }, segment_floor)
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
        let (bytes, len, mut whole) = Self::read_all(&file).await;
        let slot_bytes = if len <= FILE_BYTES_V1 { SECTOR_BYTES } else { SLOT_BYTES };
        whole &= len == bytes.len();
        let mut newest: Option<Cursor> = None;
        for slot in bytes.chunks_exact(slot_bytes).take(SLOTS) {
            match Cursor::decode(slot) {
                Ok(cursor) if newest.as_ref().is_none_or(|best| best.generation < cursor.generation) => {
                    newest = Some(cursor);
                }
                Ok(_) | Err(SlotError::Unreadable) => {}
                Err(SlotError::Newer(version)) => return Ok((nothing, Err(version))),
            }
        }
        let generation = newest.as_ref().map_or(0, |cursor| cursor.generation);
        // A short, an old or a damaged file is replaced, not mended.
        let journal = Journal { file: whole.then_some(file).filter(|_| newest.is_some()), generation };
        Ok((journal, Ok(newest)))
    }

    /// All of the file, its length, and whether all of that could be read.
    async fn read_all(file: &D::File) -> (Vec<u8>, usize, bool) {
        let mut bytes = vec![0; SLOTS * SLOT_BYTES];
        if let Ok(read) = file.read_at(0, SLOTS * SLOT_BYTES).await {
            bytes[..read.len()].copy_from_slice(&read);
            return (bytes, read.len(), true);
        }
        let (mut len, mut whole) = (0, true);
        for (index, sector) in bytes.chunks_exact_mut(SECTOR_BYTES).enumerate() {
            // A sector that cannot be read is as good as none: it must not keep the data from being delivered.
            match read_sector(file, (index * SECTOR_BYTES) as u64).await {
                Ok(read) => {
                    sector[..read.len()].copy_from_slice(&read);
                    len = index * SECTOR_BYTES + read.len();
                    if read.len() < SECTOR_BYTES {
                        break;
                    }
                }
                Err(error) => {
                    tracing::error!(sector = index, %error, "a sector of the cursor journal cannot be read");
                    whole = false;
                }
            }
        }
        (bytes, len, whole)
    }

    /// Whether there is a file, so that storing takes no room.
    pub(super) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Makes a state durable, with the next generation.
    pub(super) async fn store(&mut self, disk: &D, cursor: &mut Cursor) -> io::Result<()> {
        cursor.generation = self.generation + 1;
        // Taken out while it is used: after an error, or when this future is dropped half-way, it is not used again.
        let file = match self.file.take().filter(SegmentFile::is_linked) {
            Some(file) => {
                let mut encoded = [0; SLOT_BYTES];
                let used = cursor.encode(&mut encoded);
                let mut slot = disk.alloc(used);
                slot.copy_from_slice(&encoded[..used]);
                file.write_at(slot, cursor.generation % SLOTS as u64 * SLOT_BYTES as u64).await?;
                file.sync().await?;
                file
            }
            None => Self::renew(disk, cursor).await?,
        };
        self.file = Some(file);
        self.generation = cursor.generation;
        Ok(())
    }

    /// A new file with this state in it, under the name of the old one. In every slot: there is nothing older to keep.
    async fn renew(disk: &D, cursor: &Cursor) -> io::Result<D::File> {
        match disk.remove(NAME_NEW).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let bytes = SLOTS * SLOT_BYTES;
        let file = disk.create(NAME_NEW, bytes as u64).await?;
        let mut all = disk.alloc(bytes);
        for slot in all.chunks_exact_mut(SLOT_BYTES) {
            cursor.encode(slot);
        }
        file.write_at(all, 0).await?;
        file.sync().await?;
        disk.rename(NAME_NEW, NAME).await?;
        disk.sync_dir().await?;
        Ok(file)
    }
}
