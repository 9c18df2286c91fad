//! Segment files before and after their life as segments: names, spares written in advance, reuse, removal.
//!
//! A write into blocks that were written before commits no metadata, and costs half of one that does. So spares are
//! filled with zeros and synced while there is time, and a segment that has been delivered becomes a spare. No name
//! needs to be durable here: whatever a crash brings back is told apart by its header, its salt and the cursor.

use super::config::FullState;
use super::file::{Disk, SegmentFile, is_full};
use super::format::SECTOR_BYTES;
use super::ledger::Segment;
use super::log::Log;
use std::collections::VecDeque;
use std::io;

/// One write of zeros.
const FILL_BYTES: usize = 1 << 20;
/// A spare is prepared when this part of the active segment is used: early enough to be ready, and never for a
/// category that hardly sees data.
const SPARE_AHEAD_PARTS: u64 = 4;

/// Segment ids end here: a segment a microsecond would take a hundred thousand years. Room above it for arithmetic.
pub(super) const ID_MAX: u64 = 1 << 62;
/// Damaged segments kept for a look at them. They are within no capacity, so only a few; a full disk has none.
const QUARANTINED_MAX: usize = 4;

const _: () = assert!(FILL_BYTES.is_multiple_of(SECTOR_BYTES));

/// What a file name means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    Cursor,
    Segment(u64),
    Spare(u64),
    /// Was being prepared when the process ended.
    Unfinished(u64),
    /// Frames in it could not be read: kept for a while after its end.
    Quarantined(u64),
}

pub(super) fn segment_name(id: u64) -> String {
    format!("segment-{id:016x}")
}

fn spare_name(id: u64) -> String {
    format!("spare-{id:016x}")
}

fn quarantined_name(id: u64) -> String {
    format!("quarantined-{id:016x}")
}

fn unfinished_name(id: u64) -> String {
    format!("unfinished-{id:016x}")
}

pub(super) fn parse_name(name: &str) -> Option<Name> {
    // A half-made journal is the journal's own business: it removes it before it makes another.
    if name == super::cursor::NAME || name == super::cursor::NAME_NEW {
        return Some(Name::Cursor);
    }
    let (kind, id) = name.split_once('-')?;
    if id.len() != 16 || id.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    // A name with a number that is never reached is not ours, whatever it looks like.
    let id = u64::from_str_radix(id, 16).ok().filter(|id| *id <= ID_MAX)?;
    match kind {
        "segment" => Some(Name::Segment(id)),
        "spare" => Some(Name::Spare(id)),
        "unfinished" => Some(Name::Unfinished(id)),
        "quarantined" => Some(Name::Quarantined(id)),
        _ => None,
    }
}

/// Ready to become a segment.
pub(super) struct Spare<D: Disk> {
    name: String,
    file: D::File,
}

/// Files that are not live segments.
pub(super) struct Pool<D: Disk> {
    pub spares: VecDeque<Spare<D>>,
    /// Delivered or evicted; to become spares or to be removed.
    pub retired: VecDeque<Segment>,
    /// Names of damaged segments that are kept, oldest first.
    pub quarantined: VecDeque<String>,
    discard: Vec<String>,
    next_id: u64,
}

impl<D: Disk> Pool<D> {
    pub(super) fn new() -> Pool<D> {
        Pool {
            spares: VecDeque::new(),
            retired: VecDeque::new(),
            quarantined: VecDeque::new(),
            discard: Vec::new(),
            next_id: 1,
        }
    }

    /// Ids are never given twice, also not across restarts while a file bears them.
    pub(super) fn note_id(&mut self, id: u64) {
        self.next_id = self.next_id.max(id.saturating_add(1));
    }

    pub(super) fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    pub(super) fn discard(&mut self, name: String) {
        self.discard.push(name);
    }

    pub(super) fn add_spare(&mut self, name: String, file: D::File) {
        self.spares.push_back(Spare { name, file });
    }
}

impl<D: Disk> Log<D> {
    /// A file for the segment with this id, of at least `bytes`; its contents are whatever. Its name is not durable.
    pub(super) async fn acquire(&self, id: u64, bytes: u64) -> io::Result<(D::File, u64)> {
        let name = segment_name(id);
        if bytes <= self.config.segment_bytes {
            let spare = self.pool.borrow_mut().spares.pop_front();
            if let Some(spare) = spare {
                match self.disk.rename(&spare.name, &name).await {
                    Ok(()) => {
                        self.count(|counters| counters.segments_reused += 1);
                        return Ok((spare.file, self.config.segment_bytes));
                    }
                    Err(error) => {
                        tracing::warn!(file = spare.name, %error, "cannot use a spare segment");
                        self.pool.borrow_mut().discard(spare.name);
                    }
                }
            }
            let retired = {
                let mut pool = self.pool.borrow_mut();
                let found = pool.retired.iter().position(|segment| segment.recyclable && !segment.damaged);
                found.and_then(|at| pool.retired.remove(at))
            };
            if let Some(segment) = retired {
                let old = segment_name(segment.id);
                match self.reuse(&old, &name).await {
                    Ok(file) => {
                        self.count(|counters| counters.segments_reused += 1);
                        return Ok((file, self.config.segment_bytes));
                    }
                    Err(error) => {
                        tracing::warn!(file = old, %error, "cannot reuse a delivered segment");
                        self.pool.borrow_mut().discard(old);
                        // It may have the new name already.
                        match self.disk.remove(&name).await {
                            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                            _ => {}
                        }
                    }
                }
            }
        }
        let bytes = bytes.max(self.config.segment_bytes);
        loop {
            match self.create(&name, bytes).await {
                Ok(file) => {
                    self.count(|counters| counters.segments_created += 1);
                    return Ok((file, bytes));
                }
                // What is kept to be looked at goes before anybody is refused.
                Err(error) if is_full(&error) => {
                    let oldest = self.pool.borrow_mut().quarantined.pop_front();
                    let Some(oldest) = oldest else { return Err(error) };
                    self.disk.remove(&oldest).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A new file, if that leaves the reserve free.
    async fn create(&self, name: &str, bytes: u64) -> io::Result<D::File> {
        let reserve = self.config.reserve_bytes;
        if reserve > 0
            && let Some(free) = self.disk.free_bytes().await?
            && free < bytes.saturating_add(reserve)
        {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "only the reserve is left"));
        }
        self.disk.create(name, bytes).await
    }

    async fn reuse(&self, from: &str, to: &str) -> io::Result<D::File> {
        self.disk.rename(from, to).await?;
        self.disk.open(to).await
    }

    /// Resolves when [`Log::maintain`] has something to do.
    pub async fn maintenance_needed(&self) {
        loop {
            let rung = self.work.notified();
            if self.has_work() {
                return;
            }
            rung.await;
        }
    }

    fn has_work(&self) -> bool {
        let pool = self.pool.borrow();
        let ledger = self.ledger.borrow();
        ledger.durable_version < ledger.version
            || !pool.retired.is_empty()
            || !pool.discard.is_empty()
            || self.full.get() == FullState::Disk
            || (pool.spares.is_empty() && self.wants_spare())
    }

    /// The background work of a log: makes completions durable, turns what has been delivered into spares or removes
    /// it, writes a spare in advance, looks whether a full disk has room again. The caller runs it in a loop with
    /// [`Log::maintenance_needed`], a pause of some 20 ms before each round (so that completions share a sync with the
    /// windows that follow them) and a longer one after an error.
    pub async fn maintain(&self) -> io::Result<()> {
        let Some(_turn) = self.maintaining.try_take() else { return Ok(()) };
        match self.flush().await {
            // Without a cursor nothing is delivered and so nothing gets free: it goes before all that is in reserve.
            Err(error) if is_full(&error) => {
                self.shed();
                self.remove_discarded().await?;
                self.flush().await?;
            }
            other => other?,
        }
        loop {
            let next = self.pool.borrow_mut().retired.pop_front();
            let Some(segment) = next else { break };
            self.put_away(segment).await?;
        }
        self.remove_discarded().await?;
        let wanted = self.wants_spare() || self.full.get() == FullState::Disk;
        if wanted && self.pool.borrow().spares.is_empty() {
            self.prepare_spare().await?;
        }
        if self.full.get() == FullState::Disk {
            // There was room for a spare: the next commit will find it.
            self.full.set(FullState::Room);
        }
        Ok(())
    }

    /// Has everything removed that is only there for speed or to be looked at.
    fn shed(&self) {
        let mut pool = self.pool.borrow_mut();
        let pool = &mut *pool;
        pool.discard.extend(pool.spares.drain(..).map(|spare| spare.name));
        pool.discard.extend(pool.quarantined.drain(..));
    }

    async fn remove_discarded(&self) -> io::Result<()> {
        loop {
            let next = self.pool.borrow_mut().discard.pop();
            let Some(name) = next else { break };
            match self.disk.remove(&name).await {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.pool.borrow_mut().discard(name);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn put_away(&self, segment: Segment) -> io::Result<()> {
        let old = segment_name(segment.id);
        if segment.damaged && self.full.get() == FullState::Room {
            return self.quarantine(&old, segment.id).await;
        }
        let room = self.pool.borrow().spares.len() < self.config.spares_max;
        if segment.recyclable && room {
            let name = spare_name(segment.id);
            match self.reuse(&old, &name).await {
                Ok(file) => {
                    self.pool.borrow_mut().add_spare(name, file);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let mut pool = self.pool.borrow_mut();
                    pool.discard(name);
                    pool.discard(old);
                    return Err(error);
                }
            }
        }
        self.pool.borrow_mut().discard(old);
        Ok(())
    }

    /// Keeps a segment in which something could not be read, the newest few of such.
    async fn quarantine(&self, old: &str, id: u64) -> io::Result<()> {
        let name = quarantined_name(id);
        match self.disk.rename(old, &name).await {
            Ok(()) => {}
            // It was lost as a whole.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                let mut pool = self.pool.borrow_mut();
                pool.discard(name);
                pool.discard(old.to_owned());
                return Err(error);
            }
        }
        tracing::warn!(category = self.category, file = name, "kept a copy of a damaged segment");
        let mut pool = self.pool.borrow_mut();
        pool.quarantined.push_back(name);
        if pool.quarantined.len() > QUARANTINED_MAX
            && let Some(oldest) = pool.quarantined.pop_front()
        {
            pool.discard(oldest);
        }
        Ok(())
    }

    /// Whether the active segment is far enough for a spare, and the capacity has room for it.
    fn wants_spare(&self) -> bool {
        let ledger = self.ledger.borrow();
        let Some(last) = ledger.segments.back().filter(|_| ledger.active) else { return false };
        self.config.spares_max > 0
            && last.used_bytes >= last.file_bytes / SPARE_AHEAD_PARTS
            && ledger.disk_bytes() + self.config.segment_bytes <= self.config.capacity_bytes
    }

    async fn prepare_spare(&self) -> io::Result<()> {
        let id = self.pool.borrow_mut().take_id();
        let unfinished = unfinished_name(id);
        let file = self.create(&unfinished, self.config.segment_bytes).await?;
        let name = spare_name(id);
        let filled = self.fill_with_zeros(&file).await;
        let named = match filled {
            Ok(()) => self.disk.rename(&unfinished, &name).await,
            Err(error) => Err(error),
        };
        match named {
            Ok(()) => {
                self.pool.borrow_mut().add_spare(name, file);
                Ok(())
            }
            Err(error) => {
                drop(file);
                self.pool.borrow_mut().discard(unfinished);
                Err(error)
            }
        }
    }

    async fn fill_with_zeros(&self, file: &D::File) -> io::Result<()> {
        let mut offset = 0;
        while offset < self.config.segment_bytes {
            let left = self.config.segment_bytes - offset;
            let bytes = usize::try_from(left).map_or(FILL_BYTES, |left| left.min(FILL_BYTES));
            let mut zeros = self.disk.alloc(bytes);
            zeros.fill(0);
            file.write_at(zeros, offset).await?;
            offset += bytes as u64;
        }
        file.sync().await
    }

    /// Says that the disk is full if an error means that.
    pub(super) fn note_full(&self, error: &io::Error) -> bool {
        let full = is_full(error);
        if full && self.full.replace(FullState::Disk) != FullState::Disk {
            tracing::warn!(category = self.category, "the disk is full; refusing until there is room");
            self.work.notify_all();
        }
        full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        assert_eq!(parse_name(&segment_name(0x1f)), Some(Name::Segment(0x1f)));
        assert_eq!(parse_name(&spare_name(3)), Some(Name::Spare(3)));
        assert_eq!(parse_name(&unfinished_name(3)), Some(Name::Unfinished(3)));
        assert_eq!(parse_name("cursor"), Some(Name::Cursor));
        assert_eq!(parse_name(&quarantined_name(9)), Some(Name::Quarantined(9)));
        assert_eq!(parse_name(&segment_name(ID_MAX)), Some(Name::Segment(ID_MAX)));
        for foreign in [
            "",
            "segment-",
            "segment-1",
            "segment-000000000000001F",
            "core.123",
            "segment-+00000000000001f",
            "spare-ffffffffffffffff",
        ] {
            assert_eq!(parse_name(foreign), None, "{foreign}");
        }
    }
}
