//! Start-up: from the files of a directory to where the log stands. Bounded: the cursor, the first sector of every
//! segment, and the frames of the last one; what is inside the others is looked at when it is delivered.
//!
//! Nothing is decided here that a second look would decide otherwise, and nothing that matters is written: a crash in
//! the middle of recovery is followed by the same recovery. The recovered segments are never written to again.
//!
//! Not covered: a sync that failed, a kill before the commit was done again elsewhere, a file system without direct I/O
//! that shows the unwritten data from its cache after that, and a power cut. What vanishes then was not acknowledged.

use super::account::{Account, LaneKey, Lanes};
use super::age::Age;
use super::config::LogConfig;
use super::cursor::{Cursor, Journal, Sums};
use super::file::{Disk, Durability, SegmentFile, open_file, read_sector};
use super::format::{FrameHeader, HeaderError, LogId, SECTOR_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::ledger::{Ledger, Segment, Span, SpanState};
use super::place::Place;
use super::pool::{self, Name, Pool};
use super::scan::Scan;
use std::collections::VecDeque;
use std::io;

/// Why a log cannot be opened. Nothing has been touched.
#[derive(Debug)]
pub enum OpenError {
    Io(io::Error),
    /// A later version wrote this directory.
    Newer {
        file: String,
        version: u32,
    },
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenError::Io(error) => write!(f, "cannot read the spool: {error}"),
            OpenError::Newer { file, version } => {
                write!(f, "{file} was written by a later version (format {version}); it is left as it is")
            }
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> OpenError {
        OpenError::Io(error)
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    pub segments: u64,
    pub spooled_frames: u64,
    pub spooled_points: u64,
    pub spooled_bytes: u64,
    /// Windows that were out and go out again as they were.
    pub windows: u64,
    /// Bytes cut from the end of the last segment, if anything was written there: a commit that nobody was told of.
    pub torn_bytes: u64,
    /// Segments whose own header was lost and whose frames were found.
    pub segments_salvaged: u64,
    /// There are segments, and no readable cursor: all is delivered again.
    pub cursor_lost: bool,
    /// Files that are not ours, or of another log; left alone.
    pub ignored: Vec<String>,
    /// Copies of damaged segments.
    pub quarantined: u64,
    /// What a sync is worth here.
    pub durability: Durability,
}

/// A log as found.
pub(super) struct Recovered<D: Disk> {
    pub id: LogId,
    pub ledger: Ledger,
    pub pool: Pool<D>,
    pub journal: Journal<D>,
    pub age: Age,
    pub report: RecoveryReport,
}

/// A file named as a segment.
struct Candidate {
    id: u64,
    name: String,
    file_bytes: u64,
    header: Result<SegmentHeader, HeaderError>,
    readable: bool,
}

pub(super) async fn recover<D: Disk>(
    disk: &D,
    category: u8,
    fresh_id: LogId,
    config: &LogConfig,
) -> Result<Recovered<D>, OpenError> {
    let mut report = RecoveryReport::default();
    let mut pool = Pool::new();
    let mut candidates = Vec::new();
    let mut spares = Vec::new();
    for (name, bytes) in disk.list().await? {
        match pool::parse_name(&name) {
            Some(Name::Segment(id)) => candidates.push(read_header(disk, id, name, bytes).await?),
            Some(Name::Spare(id)) => spares.push((id, name, bytes)),
            Some(Name::Unfinished(id)) => {
                pool.note_id(id);
                pool.discard(name);
            }
            Some(Name::Quarantined(id)) => {
                pool.note_id(id);
                pool.quarantined.push_back(name);
            }
            Some(Name::Cursor) => {}
            None => report.ignored.push(name),
        }
    }
    candidates.sort_by_key(|candidate| candidate.id);
    for candidate in &candidates {
        pool.note_id(candidate.id);
        if let Err(HeaderError::Newer(version)) = candidate.header {
            return Err(OpenError::Newer { file: candidate.name.clone(), version });
        }
    }
    let (journal, cursor) = Journal::load(disk).await?;
    let cursor =
        cursor.map_err(|version| OpenError::Newer { file: super::cursor::NAME.to_owned(), version })?;
    let mut cursor = cursor.filter(|cursor| cursor.category == category);

    let newest = candidates.iter().rev().find_map(|candidate| {
        let header = candidate.header.as_ref().ok()?;
        (header.category == category && header.segment_id == candidate.id).then_some(header.log_id)
    });
    let id = cursor.as_ref().map(|cursor| cursor.log_id).or(newest).unwrap_or(fresh_id);

    let floor = cursor.as_ref().map_or(0, |cursor| cursor.segment_floor);
    pool.note_id(floor.saturating_sub(1));
    let foreign = |found: &Candidate| {
        found.header.as_ref().is_ok_and(|header| header.log_id != id || header.category != category)
    };
    let (old, candidates): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|found| found.id < floor && !foreign(found));
    let segment_id_max = candidates.iter().map(|candidate| candidate.id).max().unwrap_or(0);
    let mut segments =
        accept(disk, candidates, category, id, cursor.as_ref(), config, &mut pool, &mut report).await?;
    // Whose the frames are that came behind the newest cursor; without one, those of the last segment.
    let acked = cursor.as_ref().map(|cursor| cursor.acked);
    let mut sums = cursor.as_ref().and_then(|cursor| cursor.sums.clone());
    let known = sums.as_ref().map(|sums| sums.end);
    let mut lanes = sums.as_ref().map(|sums| sums.lanes.clone()).unwrap_or_default();
    let counted_to = known.map_or(0, |known| known.seq);
    let done: Vec<Span> = cursor.iter().flat_map(|cursor| &cursor.spans).copied().collect();
    let mut count = |frame: &FrameHeader, route: &[u8]| {
        let seq = frame.place.seq;
        let is_done = acked.is_some_and(|acked| seq < acked.seq)
            || done
                .iter()
                .any(|span| span.state == SpanState::Done && (span.start.seq..span.end.seq).contains(&seq));
        if seq >= counted_to && !is_done {
            lanes.committed(LaneKey((config.lane_of)(route)), u64::from(frame.points));
        }
    };
    if let Some(known) = known {
        count_before_last(disk, &segments, known, &mut count).await?;
    }
    // Behind the last segment there were others, which are done with: what it holds more is of failed commits. Where
    // these begin nobody wrote down, but all from there on is done, up to the end.
    let others =
        sums.as_ref().filter(|sums| segments.back().is_some_and(|last| last.id < sums.segment_id_max));
    let ceiling = others.map_or(u64::MAX, |sums| done_from(&done, sums.end.seq));
    let mut end = tail_end(disk, &mut segments, ceiling, &mut report, &mut count).await?;

    if let Some(found) = &cursor {
        let read = found.spans.last().map_or(found.acked, |span| span.end);
        let known = known.unwrap_or(read);
        if end.is_none_or(|end| end.seq < known.seq) {
            // What the cursor speaks of is gone, and was acknowledged or never was: numbers are not given twice.
            end = Some(known);
        } else if end.is_some_and(|end| !end.follows(known)) {
            tracing::error!(category, "the cursor is of another history; delivery starts over");
            (cursor, sums) = (None, None);
        }
    }
    if cursor.is_some() && !old.is_empty() {
        // They go by its word, which a power cut could still take back: a kill leaves a cursor that was never synced.
        disk.open(super::cursor::NAME).await?.sync().await?;
    }
    for candidate in old {
        // What a cursor says that is not of this history is not taken for a reason to delete.
        if cursor.is_some() { pool.discard(candidate.name) } else { report.ignored.push(candidate.name) }
    }
    let end = end.unwrap_or(Place::BIRTH);
    report.cursor_lost = cursor.is_none() && !segments.is_empty();
    let oldest = segments.front().map_or(end, |segment| segment.first);
    let with_sums = sums.is_some();
    let history_lost = cursor.is_none() && acked.is_some();
    let (acked, spans) = match cursor {
        Some(cursor) => (cursor.acked, VecDeque::from(cursor.spans)),
        None => (oldest, VecDeque::new()),
    };
    let sums = sums.unwrap_or_else(|| {
        // The sums begin here: behind what is done with, and for the lanes with the last segment.
        let done = spans.iter().filter(|span| span.state == SpanState::Done).map(Span::points);
        let last = segments.back().map_or(end, |last| last.first);
        if history_lost {
            lanes = Lanes::default();
        }
        let uncounted_to = if history_lost { end.seq } else { last.seq };
        lanes.uncounted = acked.seq..uncounted_to.max(acked.seq);
        Sums {
            end,
            segment_id_max: 0,
            lived_ms: 0,
            filled_lived_ms: 0,
            forgotten: done.fold(acked.points, u64::wrapping_add),
            account: Account::default(),
            lanes: Lanes::default(),
        }
    });
    let lived_ms = segments.back().map_or(0, |last| last.filled_lived_ms).max(sums.lived_ms);
    for segment in &mut segments {
        segment.filled_lived_ms = segment.filled_lived_ms.min(lived_ms);
    }
    if let Some(last) = segments.back_mut() {
        // Nothing came since the cursor was written, or nobody knows when.
        let known = with_sums && last.end.seq <= sums.end.seq;
        last.filled_lived_ms = if known { sums.filled_lived_ms.min(lived_ms) } else { lived_ms };
    }
    report.windows = spans.iter().filter(|span| span.state == SpanState::Replay).count() as u64;
    let read = spans.back().map_or(acked, |span| span.end);
    // A kill leaves things that can be read and that a power cut would still take: the last commit, a renamed file, the
    // newest cursor. Before anything is built on them they are made durable: the segment above, the names here, and
    // the cursor by counting it as unwritten, which has it written before the first window goes out.
    let known = !segments.is_empty() || read != Place::BIRTH;
    if known {
        disk.sync_dir().await?;
    }
    let segment_id_max = segment_id_max.max(sums.segment_id_max).max(floor.saturating_sub(1));
    // No segment to come may have a smaller one: what a cursor says of the last would be taken for one before it.
    pool.note_id(segment_id_max);
    let ledger = Ledger {
        segments,
        active: false,
        segment_id_max,
        acked,
        spans,
        read,
        end,
        account: sums.account,
        forgotten: sums.forgotten,
        lanes,
        version: u64::from(known),
        durable_version: 0,
        durable_acked: Place::BIRTH,
    };
    ledger.check();
    for (id, name, bytes) in spares {
        pool.note_id(id);
        if bytes == config.segment_bytes && pool.spares.len() < config.spares_max {
            match disk.open(&name).await {
                Ok(file) => {
                    // It may hold a segment whose name a power cut took back. Were its number given again, to this file,
                    // what is in it would pass for what was to be written.
                    match read_sector(&file, 0).await {
                        Ok(sector) if sector.is_empty() => {}
                        Ok(sector) => {
                            if let Ok(header) = SegmentHeader::decode(&sector) {
                                pool.note_id(header.segment_id);
                            }
                        }
                        Err(_) => {
                            pool.discard(name);
                            continue;
                        }
                    }
                    pool.add_spare(name, file);
                }
                Err(_) => pool.discard(name),
            }
        } else {
            pool.discard(name);
        }
    }
    report.segments = ledger.segments.len() as u64;
    (report.spooled_frames, report.spooled_points, report.spooled_bytes) = ledger.spooled();
    report.quarantined = pool.quarantined.len() as u64;
    report.durability = disk.durability().await.unwrap_or_default();
    if report.durability != Durability::Disk {
        tracing::warn!(category, "the spool lies on {}: acknowledged means less here", report.durability);
    }
    Ok(Recovered { id, ledger, pool, journal, age: Age::of(lived_ms), report })
}

async fn read_header<D: Disk>(
    disk: &D,
    id: u64,
    name: String,
    file_bytes: u64,
) -> Result<Candidate, OpenError> {
    let mut readable = true;
    let mut header = Err(HeaderError::Damaged);
    match open_file(disk, &name).await? {
        Some(file) => match read_sector(&file, 0).await {
            Ok(sector) if sector.is_empty() => header = Err(HeaderError::Blank),
            Ok(sector) => header = SegmentHeader::decode(&sector),
            // A damaged spot: the frames behind it may be fine.
            Err(_) => {}
        },
        None => readable = false,
    }
    Ok(Candidate { id, name, file_bytes, header, readable })
}

/// Sorts out what is a segment of this log, in order, each ending where the next begins.
#[expect(clippy::too_many_arguments, reason = "one step of recovery, taken out for its length")]
async fn accept<D: Disk>(
    disk: &D,
    candidates: Vec<Candidate>,
    category: u8,
    id: LogId,
    cursor: Option<&Cursor>,
    config: &LogConfig,
    pool: &mut Pool<D>,
    report: &mut RecoveryReport,
) -> Result<VecDeque<Segment>, OpenError> {
    let mut segments: VecDeque<Segment> = VecDeque::new();
    // An intact header is believed before a lost one is guessed at: for each candidate, where the next intact one begins.
    let ours = |candidate: &Candidate| {
        let header = candidate.header.as_ref().ok()?;
        let ours = header.log_id == id && header.category == category && header.segment_id == candidate.id;
        ours.then_some(header.first.seq)
    };
    let mut ceilings = vec![u64::MAX; candidates.len()];
    for at in (1..candidates.len()).rev() {
        ceilings[at - 1] = ours(&candidates[at]).unwrap_or(ceilings[at]);
    }
    for (candidate, ceiling) in candidates.into_iter().zip(ceilings) {
        if !candidate.readable {
            report.ignored.push(candidate.name);
            continue;
        }
        let header = match candidate.header {
            Ok(header) if header.log_id != id || header.category != category => {
                report.ignored.push(candidate.name);
                continue;
            }
            // A file that was to become this segment and never held anything under this name: its header is from
            // its life before. Nothing in it was acknowledged under this name.
            Ok(header) if header.segment_id != candidate.id => None,
            Ok(header) => Some(header),
            Err(HeaderError::Blank) if candidate.file_bytes <= SEGMENT_HEADER_BYTES as u64 => None,
            Err(_) => {
                // Those of a commit that failed here are not older than the segment in which it was done again. Frames
                // from this file's life before may have any number: a segment whose name a power cut took back left
                // some in a spare, or a commit that failed in one that was delivered since. They say that they are not
                // of this one. Those of an earlier build say nothing: all that can be asked of them is to be no older
                // than what the cursor has left behind.
                let floor = segments.back().map_or(0, |last| last.first.seq);
                let floor = floor.max(cursor.map_or(0, |cursor| cursor.acked.seq));
                let found = salvage(disk, &candidate, category, floor..ceiling).await?;
                report.segments_salvaged += u64::from(found.is_some());
                found
            }
        };
        let Some(header) = header else {
            pool.discard(candidate.name);
            continue;
        };
        if let Some(last) = segments.back_mut() {
            if !header.first.follows(last.first) {
                tracing::error!(
                    file = candidate.name,
                    "a segment that cannot follow the one before; left alone"
                );
                report.ignored.push(candidate.name);
                continue;
            }
            last.end = header.first;
            last.filled_lived_ms = header.opened_lived_ms.unwrap_or(u64::MAX);
        }
        segments.push_back(Segment {
            id: candidate.id,
            salt: header.salt,
            first: header.first,
            end: header.first,
            used_bytes: candidate.file_bytes,
            file_bytes: candidate.file_bytes,
            opened_ms: header.opened_ms,
            filled_lived_ms: header.opened_lived_ms.unwrap_or(0),
            damaged: false,
            recyclable: candidate.file_bytes == config.segment_bytes,
            index: Vec::new(),
        });
    }
    Ok(segments)
}

/// Finds the frames of a segment whose header is lost: those of one salt, of this segment, with numbers as they can be.
async fn salvage<D: Disk>(
    disk: &D,
    candidate: &Candidate,
    category: u8,
    seqs: std::ops::Range<u64>,
) -> Result<Option<SegmentHeader>, OpenError> {
    let Some(file) = open_file(disk, &candidate.name).await? else {
        return Err(io::Error::other(format!("{} cannot be opened any more", candidate.name)).into());
    };
    let mut scan = Scan::new(file, 0, None, candidate.file_bytes);
    while let Some(salt) = scan.peek_salt().await? {
        scan.salt = salt;
        let fitting = scan.here().await?.filter(|frame| {
            frame.category == category && seqs.contains(&frame.place.seq) && frame.may_be_of(candidate.id)
        });
        if let Some(frame) = fitting {
            tracing::error!(
                file = candidate.name,
                first_seq = frame.place.seq,
                "a segment without its header; its frames are read all the same"
            );
            return Ok(Some(SegmentHeader {
                category,
                log_id: [0; 16],
                segment_id: candidate.id,
                salt,
                first: frame.place,
                opened_ms: frame.sealed_ms,
                file_bytes: candidate.file_bytes,
                mended: false,
                opened_lived_ms: None,
            }));
        }
        scan.step();
    }
    Ok(None)
}

/// Where what is done with without a gap up to `end` begins.
fn done_from(spans: &[Span], end: u64) -> u64 {
    spans
        .iter()
        .rev()
        .take_while(|span| span.state == SpanState::Done)
        .fold(end, |from, span| if span.end.seq == from { span.start.seq } else { from })
}

/// Shows the frames from `known` on in the segments before the last: one, or more if the cursor could not be written.
async fn count_before_last<D: Disk>(
    disk: &D,
    segments: &VecDeque<Segment>,
    known: Place,
    count: &mut impl FnMut(&FrameHeader, &[u8]),
) -> Result<(), OpenError> {
    let before_last = segments.len().saturating_sub(1);
    for segment in segments.iter().take(before_last).filter(|segment| segment.end.seq > known.seq) {
        let Some(file) = open_file(disk, &pool::segment_name(segment.id)).await? else { continue };
        let mut scan = Scan::new(file, segment.salt, None, segment.used_bytes);
        let mut at = segment.first;
        while let Some(frame) = scan.peek().await? {
            if frame.place.follows(at) && segment.end.follows(frame.end()) {
                at = frame.end();
                count(&frame, scan.route(&frame));
            }
            scan.consume(&frame);
        }
    }
    Ok(())
}

/// Reads the last segment to its end and cuts what is torn. Gives the place behind the last frame that has a number
/// below `ceiling`.
async fn tail_end<D: Disk>(
    disk: &D,
    segments: &mut VecDeque<Segment>,
    ceiling: u64,
    report: &mut RecoveryReport,
    count: &mut impl FnMut(&FrameHeader, &[u8]),
) -> Result<Option<Place>, OpenError> {
    let Some(last) = segments.back_mut() else { return Ok(None) };
    let name = pool::segment_name(last.id);
    let Some(file) = open_file(disk, &name).await? else {
        return Err(io::Error::other(format!("{name} cannot be opened any more")).into());
    };
    file.sync().await?;
    let mut scan = Scan::new(file, last.salt, None, last.file_bytes);
    let mut end = last.first;
    let mut end_offset = SEGMENT_HEADER_BYTES as u64;
    let mut torn_offset = 0;
    let mut damaged: Vec<(FrameHeader, Vec<u8>)> = Vec::new();
    while let Some(frame) = scan.peek().await? {
        let follows = frame.place.follows(end) && frame.place.seq < ceiling;
        let intact = frame.block(scan.frame(&frame)).is_some();
        if intact && follows {
            // What is damaged before something whole was committed too, and is met when it is delivered.
            for (damaged, route) in
                damaged.drain(..).filter(|(damaged, _)| frame.place.follows(damaged.end()))
            {
                count(&damaged, &route);
            }
            count(&frame, scan.route(&frame));
            end = frame.end();
            end_offset = scan.frame_end(&frame);
        } else {
            if frame.place.seq < ceiling {
                torn_offset = scan.frame_end(&frame);
            }
            if follows {
                damaged.push((frame.clone(), scan.route(&frame).to_vec()));
            }
        }
        scan.consume(&frame);
    }
    drop(scan);
    last.end = end;
    last.used_bytes = end_offset.next_multiple_of(SECTOR_BYTES as u64);
    report.torn_bytes = torn_offset.saturating_sub(end_offset);
    if report.torn_bytes > 0 {
        tracing::warn!(
            file = name,
            seq = end.seq,
            bytes = report.torn_bytes,
            "cut the torn end of a commit that was not acknowledged"
        );
    }
    // A segment that nothing will be added to need not keep the room. If this fails, it keeps it. What is passed over by the
    // cursor's word stays: a power cut may take that word back.
    if ceiling == u64::MAX && last.used_bytes < last.file_bytes {
        match disk.truncate(&name, last.used_bytes).await {
            Ok(()) => {
                last.file_bytes = last.used_bytes;
                last.recyclable = false;
            }
            Err(error) => tracing::warn!(file = name, %error, "cannot cut a segment"),
        }
    }
    Ok(Some(end))
}
