//! The committing side of a log: blocks to frames, one write after the other, one sync, then they count.

use super::account::LaneKey;
use super::block::Block;
use super::config::{CommitError, CommitFailure, FullState, PIECE_BYTES, WRITE_BYTES_MAX, WhenFull};
use super::file::{Disk, SegmentFile};
use super::format::{self, FrameHeader, SECTOR_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::ledger::Segment;
use super::log::Log;
use super::place::{Place, mix};
use super::pool::segment_name;
use std::io;
use std::ops::Range;
use std::time::Instant;

/// How often blocks are written: once, and after a failure once more, to another segment. A disk that fails twice in a
/// row gets the sender told.
const WRITE_ATTEMPTS: usize = 2;
/// Places remembered in a segment, so that a reader that starts in the middle need not walk all of it.
const INDEX_PLACES: u64 = 16;

/// The segment that is written to. Taken out for the time of a commit: if the commit fails, or is dropped half-way
/// with a write still under way, nothing is ever written there again.
pub(super) struct Writer<D: Disk> {
    pub(super) active: Option<Active<D>>,
}

pub(super) struct Active<D: Disk> {
    id: u64,
    salt: u64,
    first: Place,
    opened_ms: u64,
    file: D::File,
    file_bytes: u64,
    /// Where the next commit begins: a sector of its own.
    position: u64,
    /// The header, until the first commit has written it; with it, name and contents become durable.
    header: Option<SegmentHeader>,
}

impl<D: Disk> Active<D> {
    fn room(&self) -> u64 {
        let begin = if self.header.is_some() { SEGMENT_HEADER_BYTES as u64 } else { self.position };
        self.file_bytes.saturating_sub(begin)
    }
}

impl<D: Disk> Writer<D> {
    pub(super) fn new() -> Writer<D> {
        Writer { active: None }
    }
}

impl<D: Disk> Log<D> {
    /// Makes blocks durable, in order, and gives their numbers: when this returns, they survive a power cut. One sync
    /// covers all of them, so give it what has gathered, about [`super::COMMIT_BYTES_TARGET`] at a time. Calls from
    /// several tasks take turns. No block goes out before this returns, so that the caller can note the numbers first.
    pub async fn commit(&self, blocks: &[Block]) -> Result<Range<u64>, CommitError> {
        let mut writer = self.writer.take().await;
        let _shown_at_the_end = Show { log: self };
        let first = self.ledger.borrow().end.seq;
        if self.held.get() {
            self.count(|counters| counters.commits_failed += 1);
            return Err(CommitError { committed: first..first, reason: CommitFailure::Full });
        }
        let mut durable = 0;
        while let Some(rest) = blocks.get(durable..).filter(|rest| !rest.is_empty()) {
            match self.commit_run(&mut writer, rest).await {
                Ok(count) => durable += count,
                Err(reason) => {
                    self.count(|counters| counters.commits_failed += 1);
                    return Err(CommitError { committed: first..first + durable as u64, reason });
                }
            }
        }
        Ok(first..first + durable as u64)
    }

    /// Commits as many of the blocks as one segment takes.
    async fn commit_run(&self, writer: &mut Writer<D>, blocks: &[Block]) -> Result<usize, CommitFailure> {
        let Some(first) = blocks.first() else { return Ok(0) };
        let first_bytes = format::frame_bytes(first) as u64;
        let mut failure = None;
        for _ in 0..WRITE_ATTEMPTS {
            if writer.active.as_ref().is_none_or(|active| active.room() < first_bytes) {
                let next = match self.next_segment(writer, first_bytes, first.sealed_ms).await {
                    Ok(next) => next,
                    // What went wrong first says more than what came of it, unless the disk has just filled up.
                    Err(CommitFailure::Io(error)) => {
                        failure.get_or_insert(error);
                        break;
                    }
                    Err(other) => return Err(other),
                };
                // Only now is the old one sealed: where there is no room for a large block, a small one may still fit.
                self.ledger.borrow_mut().active = false;
                writer.active = Some(next);
            }
            // Taken out: see Writer.
            let Some(mut active) = writer.active.take() else { unreachable!("BUG: no segment to write to") };
            let mut room = active.room();
            let mut bytes = 0;
            let count = blocks
                .iter()
                .map_while(|block| {
                    let frame = format::frame_bytes(block) as u64;
                    room = room.checked_sub(frame)?;
                    bytes += frame;
                    Some(())
                })
                .count();
            assert!(count > 0, "BUG: a block of {first_bytes} bytes in a segment with less room");
            match self.write(&mut active, &blocks[..count], bytes).await {
                Ok(()) => {
                    self.publish(&mut active, &blocks[..count], bytes);
                    writer.active = Some(active);
                    return Ok(count);
                }
                Err(error) => {
                    self.poison(active, &error);
                    failure = Some(error);
                }
            }
        }
        let error = failure.unwrap_or_else(|| io::Error::other("no attempt was made"));
        Err(self.failure(error))
    }

    fn failure(&self, error: io::Error) -> CommitFailure {
        if self.note_full(&error) { CommitFailure::Full } else { CommitFailure::Io(error) }
    }

    /// Frames to buffers to the file, then the sync, and the name's too if it is new.
    async fn write(&self, active: &mut Active<D>, blocks: &[Block], frames_bytes: u64) -> io::Result<()> {
        let begun = Instant::now();
        let header_bytes = if active.header.is_some() { SEGMENT_HEADER_BYTES as u64 } else { 0 };
        let total = (header_bytes + frames_bytes).next_multiple_of(SECTOR_BYTES as u64);
        let place = self.ledger.borrow().end;
        let mut out = Output {
            disk: &self.disk,
            file: &active.file,
            offset: active.position,
            left: total,
            piece: if total > 2 * WRITE_BYTES_MAX as u64 { PIECE_BYTES } else { WRITE_BYTES_MAX },
            buf: None,
            at: 0,
        };
        if let Some(header) = &active.header {
            let bytes = header.encode();
            out.put(&bytes).await?;
            out.pad(SEGMENT_HEADER_BYTES - bytes.len()).await?;
        }
        let mut at = place;
        for block in blocks {
            debug_assert_eq!(
                crc32c::crc32c(&block.payload),
                block.payload_crc,
                "BUG: a block's checksum is wrong"
            );
            let header = FrameHeader::of(block, at, active.salt, place.seq).in_segment(active.id);
            let frame_bytes = header.frame_bytes();
            out.put(&header.encode(&block.route)).await?;
            out.put(&block.route).await?;
            out.put(&block.payload).await?;
            let used = format::FRAME_HEADER_BYTES + block.route.len() + block.payload.len();
            out.pad(frame_bytes - used).await?;
            at = header.end();
        }
        out.finish().await?;
        let written = Instant::now();
        active.file.sync().await?;
        if !active.file.is_linked() {
            // Somebody has removed the file: it takes everything, and forgets it when it is closed.
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the segment was removed while it was written",
            ));
        }
        if active.header.is_some() {
            self.disk.sync_dir().await?;
        }
        active.position += total;
        let done = Instant::now();
        self.count(|counters| {
            counters.commits += 1;
            counters.commit_ns += done.duration_since(begun).as_nanos() as u64;
            let sync_ns = done.duration_since(written).as_nanos() as u64;
            counters.sync_ns += sync_ns;
            counters.sync_ns_max = counters.sync_ns_max.max(sync_ns);
        });
        Ok(())
    }

    /// The blocks count from here on: they can be read, sent, and spoken of.
    fn publish(&self, active: &mut Active<D>, blocks: &[Block], bytes: u64) {
        let mut ledger = self.ledger.borrow_mut();
        let mut tail = self.tail.borrow_mut();
        let start = ledger.end;
        let mut offset = SEGMENT_HEADER_BYTES as u64;
        let mut at = start;
        for block in blocks {
            tail.push(at, block.clone());
            ledger.lanes.committed(LaneKey((self.config.lane_of)(&block.route)), u64::from(block.points));
            at = at.after(block.points, format::frame_bytes(block));
        }
        assert!(
            at.bytes_since(start) == bytes,
            "BUG: {bytes} bytes written, {} counted",
            at.bytes_since(start)
        );
        if active.header.take().is_some() {
            assert!(active.first == start, "BUG: a segment from {:?} at {start:?}", active.first);
            ledger.segments.push_back(Segment {
                id: active.id,
                salt: active.salt,
                first: active.first,
                end: at,
                used_bytes: active.position,
                file_bytes: active.file_bytes,
                opened_ms: active.opened_ms,
                filled_lived_ms: 0,
                damaged: false,
                recyclable: active.file_bytes == self.config.segment_bytes,
                index: Vec::new(),
            });
            ledger.active = true;
            assert!(
                active.id > ledger.segment_id_max,
                "BUG: segment {} behind {}",
                active.id,
                ledger.segment_id_max
            );
            ledger.segment_id_max = active.id;
            // Soon in the cursor: what a restart has to read for the sums of the lanes is what came behind that.
            ledger.version += 1;
        } else if let Some(segment) = ledger.segments.back() {
            offset = segment.used_bytes;
        }
        let Some(segment) = ledger.segments.back_mut() else {
            unreachable!("BUG: no segment behind a commit")
        };
        assert!(segment.id == active.id, "BUG: wrote to segment {}, counting on {}", active.id, segment.id);
        let apart = active.file_bytes / INDEX_PLACES;
        if offset > segment.index.last().map_or(0, |(_, offset)| *offset) + apart {
            segment.index.push((start.seq, offset));
        }
        segment.end = at;
        segment.used_bytes = active.position;
        segment.filled_lived_ms = self.age.get().lived_ms();
        ledger.end = at;
        drop(ledger);
        drop(tail);
        self.count(|counters| {
            counters.committed_frames += at.frames_since(start);
            counters.committed_points += at.points_since(start);
            counters.committed_bytes += bytes;
        });
        self.full.set(FullState::Room);
        self.work.notify_all();
    }

    /// Nothing is known about what this segment holds behind the last good commit, and no later sync will tell. It is
    /// never written to again; where the next one begins, it ends.
    fn poison(&self, active: Active<D>, error: &io::Error) {
        let seq = self.ledger.borrow().end.seq;
        let name = segment_name(active.id);
        tracing::error!(category = self.category, segment = name, seq, %error, "a commit failed; the segment is closed");
        self.count(|counters| counters.segments_poisoned += 1);
        let mut ledger = self.ledger.borrow_mut();
        if active.header.is_some() {
            // Never held anything that counts.
            self.pool.borrow_mut().discard(name);
        } else if let Some(segment) = ledger.segments.back_mut().filter(|segment| segment.id == active.id) {
            segment.recyclable = false;
        }
        ledger.active = false;
        drop(ledger);
        self.work.notify_all();
    }

    /// A new segment with room for a frame of `frame_bytes`, within the capacity.
    async fn next_segment(
        &self,
        writer: &mut Writer<D>,
        frame_bytes: u64,
        opened_ms: u64,
    ) -> Result<Active<D>, CommitFailure> {
        let needed = (SEGMENT_HEADER_BYTES as u64 + frame_bytes).next_multiple_of(SECTOR_BYTES as u64);
        let bytes = needed.max(self.config.segment_bytes);
        if bytes > self.config.capacity_bytes {
            return Err(CommitFailure::TooLarge);
        }
        // What delivers on a disk without room must be there before there is anything to deliver.
        self.ensure_journal().await.map_err(|error| self.failure(error))?;
        while self.ledger.borrow().disk_bytes() + bytes > self.config.capacity_bytes {
            if self.make_room(writer).await {
                continue;
            }
            if self.full.replace(FullState::Capacity) == FullState::Room {
                tracing::warn!(category = self.category, "the spool is full; refusing until there is room");
            }
            return Err(CommitFailure::Full);
        }
        let id = self.pool.borrow_mut().take_id();
        let acquired = match self.acquire(id, bytes).await {
            // A file system that is full gets room by the same policy.
            Err(error) if super::file::is_full(&error) && self.config.when_full == WhenFull::EvictOldest => {
                if self.evict_oldest().await {
                    self.acquire(id, bytes).await
                } else {
                    Err(error)
                }
            }
            other => other,
        };
        let (file, file_bytes) = acquired.map_err(|error| self.failure(error))?;
        let salt = mix(self.salt_seed ^ mix(id));
        let first = self.ledger.borrow().end;
        let header = SegmentHeader {
            category: self.category,
            log_id: self.id,
            segment_id: id,
            salt,
            first,
            opened_ms,
            file_bytes,
            mended: false,
            opened_lived_ms: Some(self.age.get().lived_ms()),
        };
        Ok(Active { id, salt, first, opened_ms, file, file_bytes, position: 0, header: Some(header) })
    }

    /// Looks for room within the capacity: the active segment if it is done with and too small for what comes, and the
    /// oldest if that is the policy. False: there is none.
    async fn make_room(&self, writer: &mut Writer<D>) -> bool {
        let evicting = self.config.when_full == WhenFull::EvictOldest;
        if evicting && self.evict_oldest().await {
            return true;
        }
        if evicting || self.ledger.borrow().active_is_done() {
            writer.active = None;
            if std::mem::replace(&mut self.ledger.borrow_mut().active, false) {
                // Sealed: it can be evicted now, or retired once the cursor is durable behind it.
                let before = self.ledger.borrow().segments.len();
                self.ledger.borrow_mut().version += 1;
                let flushed = self.flush().await;
                return evicting || (flushed.is_ok() && self.ledger.borrow().segments.len() < before);
            }
        }
        false
    }
}

/// Shows readers what has been committed, when dropped.
struct Show<'a, D: Disk> {
    log: &'a Log<D>,
}

impl<D: Disk> Drop for Show<'_, D> {
    fn drop(&mut self) {
        self.log.readable.set(self.log.ledger.borrow().end);
        self.log.changed.notify_all();
    }
}

/// A stream of bytes into a file, one buffer at a time.
struct Output<'a, D: Disk> {
    disk: &'a D,
    file: &'a D::File,
    offset: u64,
    /// Bytes still to come, those in the buffer included; whole sectors.
    left: u64,
    /// Bytes of a buffer.
    piece: usize,
    buf: Option<D::Buf>,
    at: usize,
}

impl<D: Disk> Output<'_, D> {
    async fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = self.room();
            let count = room.len().min(bytes.len());
            let (now, later) = bytes.split_at(count);
            room[..count].copy_from_slice(now);
            bytes = later;
            self.advance(count).await?;
        }
        Ok(())
    }

    async fn pad(&mut self, mut zeros: usize) -> io::Result<()> {
        while zeros > 0 {
            let room = self.room();
            let count = room.len().min(zeros);
            room[..count].fill(0);
            zeros -= count;
            self.advance(count).await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> io::Result<()> {
        let rest = self.left as usize - self.at;
        self.pad(rest).await?;
        assert!(self.left == 0, "BUG: {} bytes not written", self.left);
        Ok(())
    }

    /// What is free of the current buffer.
    fn room(&mut self) -> &mut [u8] {
        let (disk, left, piece) = (self.disk, self.left, self.piece);
        let buf = self
            .buf
            .get_or_insert_with(|| disk.alloc(usize::try_from(left).map_or(piece, |left| left.min(piece))));
        &mut buf[self.at..]
    }

    /// `count` more bytes are in the buffer; a full one is written.
    async fn advance(&mut self, count: usize) -> io::Result<()> {
        self.at += count;
        if let Some(buf) = self.buf.take_if(|buf| buf.len() == self.at) {
            let bytes = buf.len() as u64;
            self.file.write_at(buf, self.offset).await?;
            self.offset += bytes;
            self.left -= bytes;
            self.at = 0;
        }
        Ok(())
    }
}
