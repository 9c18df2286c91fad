//! Every checksum of a segment, and what is wrong where.

use super::super::block::{Codec, Kind};
use super::super::format::{SECTOR_BYTES, SEGMENT_HEADER_BYTES};
use super::{Found, FoundFrame, Gap, HeaderState, LogView, Place, SegmentView, Sums};
use std::io;

/// Damaged spots that are named one by one; the others are counted. More is not read by anybody, and whoever made the
/// file up does not decide about memory.
pub const DAMAGES_NAMED_MAX: usize = 256;

/// What is wrong with a spot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// The segment's own first sector. Its frames say enough to be read all the same.
    Header,
    /// The whole segment: neither its header nor one frame can be read.
    Segment,
    /// Frames of which nothing is left that can be read.
    Frames,
    /// The payload of one frame.
    Payload,
    /// A whole frame of a sort that this version does not know.
    Unknown,
    /// Not damage any more: frames that were taken out by a repair. What there was of them is in quarantine.
    Missing,
}

/// One damaged spot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    pub kind: DamageKind,
    pub offset: u64,
    pub bytes: u64,
    pub first_seq: u64,
    pub frames: u64,
    pub points: u64,
    /// What of it is neither delivered nor given up: lost.
    pub lost: Sums,
}

/// What a segment holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentCheck {
    /// Whole frames that count.
    pub whole: Sums,
    /// Those of them that are not done with.
    pub spooled: Sums,
    /// The first [`DAMAGES_NAMED_MAX`] damaged spots.
    pub damages: Vec<Damage>,
    pub damages_count: u64,
    /// What is gone and was neither delivered nor given up, whether or not a repair took it out.
    pub lost: Sums,
    /// What a repair took out, delivered or not.
    pub missing: Sums,
    /// At the end of the last segment, behind the last whole frame: a commit that was cut off, or is under way. Offset,
    /// and bytes as far as they can be told.
    pub tail: Option<(u64, u64)>,
    /// Frames of commits that failed here and were done again elsewhere.
    pub leftovers: u64,
    pub sectors_unreadable: u64,
    pub oldest_ms: Option<u64>,
    pub newest_ms: Option<u64>,
    pub first: Option<Place>,
    pub end: Option<Place>,
    /// It was delivered and taken away while it was read; nothing above counts.
    pub vanished: bool,
}

impl SegmentCheck {
    /// Whether a repair changes anything: a frame of an unknown sort stays what it is.
    pub fn is_mendable(&self) -> bool {
        let unknown = self.damages.iter().filter(|damage| damage.kind == DamageKind::Unknown).count();
        self.damages_count > unknown as u64
    }

    fn name(&mut self, damage: Damage) {
        if damage.kind == DamageKind::Missing {
            self.missing.add(Sums { frames: damage.frames, points: damage.points, bytes: 0 });
        } else {
            self.damages_count += 1;
        }
        self.lost.add(damage.lost);
        if self.damages.len() < DAMAGES_NAMED_MAX {
            self.damages.push(damage);
        }
    }

    fn take(&mut self, view: &LogView, frame: &FoundFrame) {
        let header = &frame.header;
        let sums = Sums { frames: 1, points: header.points.into(), bytes: header.frame_bytes() as u64 };
        self.whole.add(sums);
        if view.stand(frame.seq()) != super::Stand::Done {
            self.spooled.add(sums);
        }
        self.oldest_ms = Some(self.oldest_ms.map_or(header.sealed_ms, |ms| ms.min(header.sealed_ms)));
        self.newest_ms = Some(self.newest_ms.map_or(header.sealed_ms, |ms| ms.max(header.sealed_ms)));
    }
}

impl SegmentCheck {
    /// Takes what nobody can have been told of for a commit under way.
    fn withdraw_unsettled(&mut self, settled_below: u64) {
        let unsettled =
            |damage: &Damage| damage.first_seq >= settled_below && damage.kind != DamageKind::Header;
        let (unsettled, settled) = std::mem::take(&mut self.damages).into_iter().partition(unsettled);
        self.damages = settled;
        let unsettled: Vec<Damage> = unsettled;
        for damage in &unsettled {
            self.damages_count = self.damages_count.saturating_sub(1);
            self.lost.take_off(damage.lost);
            self.tail = self.tail.or(Some((damage.offset, damage.bytes)));
        }
    }
}

impl Sums {
    pub fn add(&mut self, more: Sums) {
        self.frames = self.frames.saturating_add(more.frames);
        self.points = self.points.saturating_add(more.points);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

impl LogView {
    /// Reads a segment and checks all of it. `live`: somebody may be adding to the log, so what looks damaged and was
    /// not certainly on disk before is taken for a commit under way.
    pub fn check(&self, segment: &SegmentView, live: bool) -> io::Result<SegmentCheck> {
        let checked = self.check_now(segment, live);
        let looks_bad = checked.as_ref().map_or(true, |check| check.damages_count > 0);
        if live && looks_bad && !self.is_there(segment) {
            return Ok(SegmentCheck { vanished: true, ..SegmentCheck::default() });
        }
        checked
    }

    /// Frames that the cursor waits for and that are older than any segment: their segments are gone. Of no meaning while
    /// the log is in use, when windows that are out may have outlived their segments in memory.
    pub fn front_gap(&self) -> io::Result<Option<Damage>> {
        let first = self.segments.iter().find(|segment| segment.header != HeaderState::Nothing);
        let to = match first {
            Some(segment) => segment.first,
            None => self.end()?,
        };
        let from = self.acked();
        let missing = self.has_cursor() && to.seq > from.seq;
        Ok(missing.then(|| self.damage(DamageKind::Frames, 0, 0, from, to)))
    }

    fn check_now(&self, segment: &SegmentView, live: bool) -> io::Result<SegmentCheck> {
        let mut check = SegmentCheck { first: Some(segment.first), ..SegmentCheck::default() };
        if segment.header == HeaderState::Nothing {
            check.name(self.damage(DamageKind::Segment, 0, segment.file_bytes, segment.first, segment.first));
            return Ok(check);
        }
        if segment.header == HeaderState::Lost {
            let bytes = SEGMENT_HEADER_BYTES as u64;
            check.name(self.damage(DamageKind::Header, 0, bytes, segment.first, segment.first));
        }
        let mut walk = self.walk(segment, true)?;
        // Spots with nothing whole behind them so far: in the last segment they may be its torn end.
        let mut open: Vec<Damage> = Vec::new();
        let mut whole_place = segment.first;
        while let Some(found) = walk.next_found()? {
            match found {
                Found::Frame(frame) if frame.is_whole => {
                    open.drain(..).for_each(|damage| check.name(damage));
                    whole_place = frame.header.end();
                    check.take(self, &frame);
                    if Codec::from_byte(frame.header.codec).is_none()
                        || Kind::from_byte(frame.header.kind).is_none()
                    {
                        check.name(self.damage_of(DamageKind::Unknown, &frame));
                    }
                }
                Found::Frame(frame) => open.push(self.damage_of(DamageKind::Payload, &frame)),
                Found::Gap(gap) => open.push(self.gap(segment, gap)),
                Found::Leftover(_) => check.leftovers += 1,
            }
            if open.len() > DAMAGES_NAMED_MAX {
                check.name(open.remove(0));
            }
        }
        check.sectors_unreadable = walk.sectors_unreadable();
        check.end = Some(whole_place);
        if self.is_last(segment) {
            self.check_end(segment, &walk, &mut open, &mut check);
            if live {
                check.withdraw_unsettled(walk.synced_below().max(self.known_end().seq));
            }
        }
        open.into_iter().for_each(|damage| check.name(damage));
        Ok(check)
    }

    /// The end of the last segment: what is missing before the place that is known to have been on disk is lost. The rest
    /// is what recovery would cut: nobody was told of it, or it is damaged beyond telling the two apart.
    fn check_end(
        &self,
        segment: &SegmentView,
        walk: &super::Walk,
        open: &mut Vec<Damage>,
        check: &mut SegmentCheck,
    ) {
        let (known, seen) = (self.known_end(), walk.place());
        if known.seq > seen.seq && known.follows(seen) {
            let bytes =
                segment.file_bytes.saturating_sub(walk.offset().next_multiple_of(SECTOR_BYTES as u64));
            open.push(self.gap(segment, Gap { from: seen, to: known, offset: walk.offset(), bytes }));
        }
        let torn = open.iter().position(|damage| damage.first_seq >= known.seq).unwrap_or(open.len());
        let torn = open.split_off(torn);
        if let (Some(first), Some(last)) = (torn.first(), torn.last()) {
            check.tail = Some((first.offset, (last.offset + last.bytes).saturating_sub(first.offset)));
        }
    }

    fn gap(&self, segment: &SegmentView, gap: Gap) -> Damage {
        let kind =
            if gap.bytes == 0 && segment.is_mended() { DamageKind::Missing } else { DamageKind::Frames };
        self.damage(kind, gap.offset, gap.bytes, gap.from, gap.to)
    }

    fn damage_of(&self, kind: DamageKind, frame: &FoundFrame) -> Damage {
        let bytes = frame.header.frame_bytes() as u64;
        self.damage(kind, frame.offset, bytes, frame.header.place, frame.header.end())
    }

    fn damage(&self, kind: DamageKind, offset: u64, bytes: u64, from: Place, to: Place) -> Damage {
        Damage {
            kind,
            offset,
            bytes,
            first_seq: from.seq,
            frames: to.frames_since(from),
            points: to.points_since(from),
            lost: self.not_done(from, to),
        }
    }
}

impl Sums {
    fn take_off(&mut self, less: Sums) {
        self.frames = self.frames.saturating_sub(less.frames);
        self.points = self.points.saturating_sub(less.points);
        self.bytes = self.bytes.saturating_sub(less.bytes);
    }
}
