//! A look into a log's directory from outside: for tools. Nothing is changed, nothing has to run, and the owner may be
//! at work meanwhile.
//!
//! The readers are the spool's own (`format`, `scan`, `cursor`), over plain files. What recovery would decide is decided
//! alike: which files are segments of this log, where each ends, which frames count. Unlike recovery nothing is kept in
//! memory but a list of segments, and files are read with the suspicion that somebody made them up.
//!
//! A directory in use moves under the reader. Segments go and come under other names, so what looks damaged is asked
//! for again under its name before it is said ([`LogView::is_there`]); the end of the last segment may be a commit under
//! way, and is told apart from damage by what its frames say was synced before them.

mod check;
mod export;
mod mend;
mod plain;
mod walk;

pub use super::format::{FrameHeader, SECTOR_BYTES, SegmentHeader};
pub use super::place::Place;
pub use check::{Damage, DamageKind, SegmentCheck};
pub use export::Export;
pub use mend::{Mended, Quarantine};
pub use walk::{Found, FoundFrame, Gap, Walk};

use super::cursor::{Cursor, Journal, NAME as CURSOR_NAME};
use super::file::{Disk, read_sector};
use super::format::{self, HeaderError, LogId, SEGMENT_HEADER_BYTES};
use super::ledger::SpanState;
use super::pool::{self, Name};
use super::recover::OpenError;
use super::scan::Scan;
use plain::{PlainDir, PlainFile, now};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What stands in the first sector of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderState {
    Intact(SegmentHeader),
    /// Damaged; the frames were found by what they say themselves.
    Lost,
    /// Damaged, and no frame was found either.
    Nothing,
}

/// One file that holds frames that count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentView {
    pub id: u64,
    pub name: String,
    pub header: HeaderState,
    pub salt: u64,
    pub first: Place,
    /// Where the next segment begins; none for the last one.
    pub next: Option<Place>,
    pub opened_ms: u64,
    pub file_bytes: u64,
    inode: u64,
}

impl SegmentView {
    fn opened_lived_ms(&self) -> Option<u64> {
        match &self.header {
            HeaderState::Intact(header) => header.opened_lived_ms,
            HeaderState::Lost | HeaderState::Nothing => None,
        }
    }

    /// Whether a repair wrote it and nothing was cut off since: what is missing is known.
    fn is_mended(&self) -> bool {
        matches!(&self.header, HeaderState::Intact(header) if header.mended && header.file_bytes == self.file_bytes)
    }
}

/// What becomes of a stretch of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Delivered, or given up and counted.
    Done,
    /// In a window whose boundaries are fixed; it goes out under them, again if need be.
    Out,
    /// Put aside, so that what is fresh goes first.
    Aside,
    /// Nobody has taken it.
    Waiting,
}

impl Stand {
    fn of(state: SpanState) -> Stand {
        match state {
            SpanState::Done => Stand::Done,
            SpanState::Open | SpanState::Replay => Stand::Out,
            SpanState::Deferred => Stand::Aside,
        }
    }
}

/// Frames from `start` on, up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub start: Place,
    pub end: Place,
    pub stand: Stand,
}

/// A log's directory as it was when it was looked at.
#[derive(Debug)]
pub struct LogView {
    dir: PathBuf,
    pub category: u8,
    pub id: Option<LogId>,
    /// None: there is none that can be read, so everything counts as not delivered.
    cursor: Option<Cursor>,
    /// In order. Those that are done with are not among them.
    pub segments: Vec<SegmentView>,
    /// Segments that the cursor has left behind and that are still there.
    pub left_behind: Vec<String>,
    /// Copies of damaged segments that the log itself keeps for a while.
    pub quarantined: Vec<String>,
    /// Files that are not ours, or of another log.
    pub ignored: Vec<String>,
    pub spares: u64,
    /// Of all that is here.
    pub disk_bytes: u64,
}

/// What is spooled and not done with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub frames: u64,
    pub points: u64,
    pub bytes: u64,
}

impl LogView {
    /// Looks at the log of `category` in this directory. An error leaves everything as it is; so does success.
    pub fn open(dir: &Path, category: u8) -> Result<LogView, OpenError> {
        let disk = PlainDir::new(dir);
        let mut view = LogView {
            dir: dir.to_path_buf(),
            category,
            id: None,
            cursor: None,
            segments: Vec::new(),
            left_behind: Vec::new(),
            quarantined: Vec::new(),
            ignored: Vec::new(),
            spares: 0,
            disk_bytes: 0,
        };
        let mut found = Vec::new();
        for (name, bytes) in now(disk.list())? {
            view.disk_bytes += bytes;
            match pool::parse_name(&name) {
                Some(Name::Segment(id)) => found.extend(read_header(dir, id, name, bytes)?),
                Some(Name::Spare(_) | Name::Unfinished(_)) => view.spares += 1,
                Some(Name::Quarantined(_)) => view.quarantined.push(name),
                Some(Name::Cursor) => {}
                None => view.ignored.push(name),
            }
        }
        found.sort_by_key(|candidate| candidate.id);
        let (_, cursor) = now(Journal::load(&disk))?;
        let cursor = cursor.map_err(|version| OpenError::Newer { file: CURSOR_NAME.to_owned(), version })?;
        view.cursor = cursor.filter(|cursor| cursor.category == category);
        view.accept(found)?;
        Ok(view)
    }

    /// Looks at one segment file, wherever it lies: in quarantine, or written by a tool. It counts as a whole log.
    pub fn of_file(path: &Path) -> Result<LogView, OpenError> {
        let dir =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let about = std::fs::metadata(path)?;
        let found = read_header(dir, 0, name, about.len())?
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))?;
        let category = match &found.header {
            Ok(header) => header.category,
            Err(_) => first_category(path, about.len())?,
        };
        let mut view = LogView {
            dir: dir.to_path_buf(),
            category,
            id: found.header.as_ref().ok().map(|header| header.log_id),
            cursor: None,
            segments: Vec::new(),
            left_behind: Vec::new(),
            quarantined: Vec::new(),
            ignored: Vec::new(),
            spares: 0,
            disk_bytes: about.len(),
        };
        let id = found.header.as_ref().map_or(0, |header| header.segment_id);
        view.accept(vec![Candidate { id, ..found }])?;
        Ok(view)
    }

    /// Sorts out what is a segment of this log, each ending where the next begins; as recovery does.
    fn accept(&mut self, found: Vec<Candidate>) -> Result<(), OpenError> {
        let category = self.category;
        let newest = found.iter().rev().find_map(|candidate| {
            let header = candidate.header.as_ref().ok()?;
            (header.category == category && header.segment_id == candidate.id).then_some(header.log_id)
        });
        self.id = self.cursor.as_ref().map(|cursor| cursor.log_id).or(newest).or(self.id);
        let floor = self.cursor.as_ref().map_or(0, |cursor| cursor.segment_floor);
        let ours = |candidate: &Candidate| {
            let header = candidate.header.as_ref().ok()?;
            (Some(header.log_id) == self.id
                && header.category == category
                && header.segment_id == candidate.id)
                .then_some(header.first.seq)
        };
        let mut ceilings = vec![u64::MAX; found.len()];
        for at in (1..found.len()).rev() {
            ceilings[at - 1] = ours(&found[at]).unwrap_or(ceilings[at]);
        }
        let acked = self.cursor.as_ref().map_or(0, |cursor| cursor.acked.seq);
        for (candidate, ceiling) in found.into_iter().zip(ceilings) {
            let foreign = candidate
                .header
                .as_ref()
                .is_ok_and(|header| Some(header.log_id) != self.id || header.category != category);
            if foreign {
                self.ignored.push(candidate.name);
                continue;
            }
            if candidate.id < floor {
                self.left_behind.push(candidate.name);
                continue;
            }
            let last = self.segments.last().map(|last| last.first);
            let (header, salt, first, opened_ms) = match candidate.header {
                // Was to become this segment, and never held anything under this name.
                Ok(header) if header.segment_id != candidate.id => {
                    self.spares += 1;
                    continue;
                }
                Ok(header) => {
                    let (salt, first, opened_ms) = (header.salt, header.first, header.opened_ms);
                    (HeaderState::Intact(header), salt, first, opened_ms)
                }
                Err(HeaderError::Newer(version)) => {
                    return Err(OpenError::Newer { file: candidate.name, version });
                }
                Err(HeaderError::Blank) if candidate.file_bytes <= SEGMENT_HEADER_BYTES as u64 => {
                    self.spares += 1;
                    continue;
                }
                Err(_) => {
                    let floor = last.map_or(0, |first| first.seq).max(acked);
                    let blank = candidate.header == Err(HeaderError::Blank);
                    match salvage(&self.dir.join(&candidate.name), &candidate, category, floor..ceiling)? {
                        Some(frame) => (HeaderState::Lost, frame.salt, frame.place, frame.sealed_ms),
                        // Nothing was ever written to it under this name.
                        None if blank => {
                            self.spares += 1;
                            continue;
                        }
                        None => (HeaderState::Nothing, 0, last.unwrap_or(Place::BIRTH), 0),
                    }
                }
            };
            let nothing = header == HeaderState::Nothing;
            if !nothing {
                if last.is_some_and(|last| !first.follows(last)) {
                    self.ignored.push(candidate.name);
                    continue;
                }
                let before = self.segments.iter_mut().rev().take_while(|before| before.next.is_none());
                before.for_each(|before| before.next = Some(first));
            }
            self.segments.push(SegmentView {
                id: candidate.id,
                name: candidate.name,
                header,
                salt,
                first,
                next: None,
                opened_ms,
                file_bytes: candidate.file_bytes,
                inode: candidate.inode,
            });
        }
        Ok(())
    }

    pub fn path(&self, segment: &SegmentView) -> PathBuf {
        self.dir.join(&segment.name)
    }

    /// Whether this is the segment that is added to, if one is.
    pub fn is_last(&self, segment: &SegmentView) -> bool {
        segment.next.is_none()
    }

    /// Reads a segment; `checked`: its payloads too.
    pub fn walk(&self, segment: &SegmentView, checked: bool) -> io::Result<Walk> {
        Walk::new(&self.path(segment), segment.salt, segment.first, segment.next, checked)
    }

    /// Whether the segment is still the file that it was: its owner may have taken it away since.
    pub fn is_there(&self, segment: &SegmentView) -> bool {
        std::fs::metadata(self.path(segment)).is_ok_and(|about| about.ino() == segment.inode)
    }

    /// Whether there is a cursor that can be read.
    pub fn has_cursor(&self) -> bool {
        self.cursor.is_some()
    }

    /// The first frame that is not done with.
    pub fn acked(&self) -> Place {
        let oldest = self.segments.first().map_or(Place::BIRTH, |segment| segment.first);
        self.cursor.as_ref().map_or(oldest, |cursor| cursor.acked)
    }

    /// What becomes of the frames behind [`LogView::acked`], up to where they are taken; what follows waits.
    pub fn stretches(&self) -> Vec<Stretch> {
        let spans = self.cursor.iter().flat_map(|cursor| &cursor.spans);
        spans.map(|span| Stretch { start: span.start, end: span.end, stand: Stand::of(span.state) }).collect()
    }

    /// What becomes of a frame.
    pub fn stand(&self, seq: u64) -> Stand {
        if seq < self.acked().seq {
            return Stand::Done;
        }
        let spans = self.cursor.iter().flat_map(|cursor| &cursor.spans);
        let mut holding = spans.filter(|span| (span.start.seq..span.end.seq).contains(&seq));
        holding.next().map_or(Stand::Waiting, |span| Stand::of(span.state))
    }

    /// What of the frames from `from` up to `to` is not done with.
    pub fn not_done(&self, from: Place, to: Place) -> Sums {
        let mut sums = sums_between(later(from, self.acked()), to);
        for stretch in self.stretches().iter().filter(|stretch| stretch.stand == Stand::Done) {
            let done = sums_between(later(from, stretch.start), earlier(to, stretch.end));
            sums.frames = sums.frames.saturating_sub(done.frames);
            sums.points = sums.points.saturating_sub(done.points);
            sums.bytes = sums.bytes.saturating_sub(done.bytes);
        }
        sums
    }

    /// All before this was on disk when the cursor was written.
    fn known_end(&self) -> Place {
        let Some(cursor) = &self.cursor else { return Place::BIRTH };
        let read = cursor.spans.last().map_or(cursor.acked, |span| span.end);
        cursor.sums.as_ref().map_or(read, |sums| later(read, sums.end))
    }

    /// What became of the points of this log since its birth, as far as the cursor knows.
    pub fn totals(&self) -> Option<super::Totals> {
        let sums = self.cursor.as_ref()?.sums.as_ref()?;
        Some(sums.account.totals(sums.end.points))
    }

    /// Where the log ends: behind the last whole frame. Reads the last segment, without its payloads.
    pub fn end(&self) -> io::Result<Place> {
        let read =
            self.cursor.as_ref().map(|cursor| cursor.spans.last().map_or(cursor.acked, |span| span.end));
        let mut end = read.unwrap_or(Place::BIRTH);
        if let Some(last) = self.segments.iter().rev().find(|segment| segment.header != HeaderState::Nothing)
        {
            let mut walk = self.walk(last, false)?;
            while walk.next_found()?.is_some() {}
            end = later(end, walk.place());
        }
        Ok(end)
    }

    /// When the oldest frame that is not done with was sealed. Reads one segment up to it, without its payloads.
    pub fn oldest_ms(&self) -> io::Result<Option<u64>> {
        let mut from = self.acked();
        for stretch in self.stretches() {
            if stretch.stand != Stand::Done || stretch.start.seq != from.seq {
                break;
            }
            from = stretch.end;
        }
        for segment in &self.segments {
            if segment.next.is_some_and(|next| next.seq <= from.seq) || segment.header == HeaderState::Nothing
            {
                continue;
            }
            let mut walk = self.walk(segment, false)?;
            while let Some(found) = walk.next_found()? {
                if let Found::Frame(frame) = found
                    && frame.seq() >= from.seq
                {
                    return Ok(Some(frame.header.sealed_ms));
                }
            }
        }
        Ok(None)
    }
}

fn sums_between(from: Place, to: Place) -> Sums {
    if to.seq <= from.seq {
        return Sums::default();
    }
    Sums { frames: to.frames_since(from), points: to.points_since(from), bytes: to.bytes_since(from) }
}

fn later(one: Place, other: Place) -> Place {
    if one.seq >= other.seq { one } else { other }
}

fn earlier(one: Place, other: Place) -> Place {
    if one.seq <= other.seq { one } else { other }
}

/// A file named as a segment.
struct Candidate {
    id: u64,
    name: String,
    header: Result<SegmentHeader, HeaderError>,
    file_bytes: u64,
    inode: u64,
}

/// None: it is gone.
fn read_header(dir: &Path, id: u64, name: String, file_bytes: u64) -> Result<Option<Candidate>, OpenError> {
    let path = dir.join(&name);
    let header = match PlainFile::open(&path) {
        Ok(file) => match now(read_sector(&file, 0)) {
            Ok(sector) if sector.is_empty() => Err(HeaderError::Blank),
            Ok(sector) => SegmentHeader::decode(&sector),
            Err(_) => Err(HeaderError::Damaged),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if let Err(HeaderError::Newer(version)) = header {
        return Err(OpenError::Newer { file: name, version });
    }
    let inode = std::fs::metadata(&path).map_or(0, |about| about.ino());
    Ok(Some(Candidate { id, name, header, file_bytes, inode }))
}

/// The first frame of a segment whose header is lost: those of one salt, of this segment, with numbers as they can be.
fn salvage(
    path: &Path,
    candidate: &Candidate,
    category: u8,
    seqs: std::ops::Range<u64>,
) -> Result<Option<FrameHeader>, OpenError> {
    let mut scan = Scan::new(PlainFile::open(path)?, 0, None, candidate.file_bytes);
    while let Some(salt) = now(scan.peek_salt())? {
        scan.salt = salt;
        let at = scan.offset();
        let found = now(scan.head_here())?;
        if let Some(frame) = found.filter(|frame| {
            frame.category == category && seqs.contains(&frame.place.seq) && frame.may_be_of(candidate.id)
        }) {
            return Ok(Some(frame));
        }
        debug_assert_eq!(at, scan.offset());
        scan.step();
    }
    Ok(None)
}

/// The category of the first frame in a file without a header.
fn first_category(path: &Path, file_bytes: u64) -> Result<u8, OpenError> {
    let mut scan = Scan::new(PlainFile::open(path)?, 0, None, file_bytes);
    while let Some(salt) = now(scan.peek_salt())? {
        scan.salt = salt;
        if let Some(frame) = now(scan.head_here())? {
            return Ok(frame.category);
        }
        scan.step();
    }
    let nothing = io::Error::new(io::ErrorKind::InvalidData, "neither a segment header nor a frame is in it");
    Err(OpenError::Io(nothing))
}

/// How long a frame of this block is on disk.
pub fn frame_bytes(block: &super::Block) -> usize {
    format::frame_bytes(block)
}
