//! Repair of damaged segments, on a log that nobody has open.
//!
//! A damaged segment is copied into quarantine and written anew with its good frames, which keep their numbers: packages
//! keep their ids, the cursor its meaning, and what is gone stays a gap that is counted as lost when its turn comes.
//!
//! ```text
//! 1  copy to  <quarantine>/segment-<id>[.<n>].part, sync, rename to the name without .part, sync the directory
//! 2  write    <log>/unfinished-<id> with a header and the good frames, sync
//! 3  rename   it over <log>/segment-<id>, sync the directory
//! ```
//!
//! A crash leaves the damaged segment or the mended one under the name, never neither; what else it leaves is removed by
//! the next start of the log, or used by the next repair.

use super::super::file::SegmentFile;
use super::super::format::{LogId, SECTOR_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::super::owner::fresh_id;
use super::super::place::Place;
use super::plain::{PlainFile, now};
use super::{Found, HeaderState, LogView, SegmentView, Sums};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What one read of a copy asks for.
const COPY_BYTES: usize = 1 << 20;
/// Copies of one segment at most: each is of another damage, or of a repair that was cut off.
const COPIES_MAX: u32 = 1000;

/// Where damaged segments of one log go.
#[derive(Clone, Debug)]
pub struct Quarantine {
    pub dir: PathBuf,
}

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// Good frames that were written again.
    pub kept: Sums,
    /// Where the damaged segment lies now.
    pub quarantined: PathBuf,
}

impl Quarantine {
    /// Repairs one segment. Nobody may have the log open. On an error the segment is as it was.
    pub fn mend(&self, view: &LogView, segment: &SegmentView) -> io::Result<Mended> {
        let path = view.path(segment);
        let quarantined = self.keep(&path, &segment.name)?;
        let dir = path.parent().unwrap_or(Path::new("."));
        let first = match segment.header {
            HeaderState::Nothing => replaced_first(view, segment)?,
            HeaderState::Intact(_) | HeaderState::Lost => Some(segment.first),
        };
        let Some(first) = first else {
            // It stands for no frames that anyone could name.
            fs::remove_file(&path)?;
            sync_dir(dir)?;
            return Ok(Mended { kept: Sums::default(), quarantined });
        };
        let log_id = match view.id {
            Some(id) => id,
            None => fresh_id()?,
        };
        let new = dir.join(format!("unfinished-{:016x}", segment.id));
        let kept = rewrite(view, segment, first, log_id, &new)?;
        fs::rename(&new, &path)?;
        sync_dir(dir)?;
        Ok(Mended { kept, quarantined })
    }

    /// Copies a segment into quarantine, unless the same bytes are there already.
    fn keep(&self, path: &Path, name: &str) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.dir)?;
        for dir in self.dir.ancestors().skip(1).take(3).filter(|dir| !dir.as_os_str().is_empty()) {
            sync_dir(dir)?;
        }
        for number in 0..COPIES_MAX {
            let copy = self.dir.join(if number == 0 { name.to_owned() } else { format!("{name}.{number}") });
            match same(path, &copy) {
                Ok(true) => return Ok(copy),
                Ok(false) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            let part = self.dir.join(format!("{name}.{number}.part"));
            let mut out = File::create(&part)?;
            pieces(path, |piece| out.write_all(piece))?;
            out.sync_all()?;
            fs::rename(&part, &copy)?;
            sync_dir(&self.dir)?;
            return Ok(copy);
        }
        Err(io::Error::other("too many copies of one segment in quarantine"))
    }
}

/// Where a segment begins of which nothing can be read: where the one before ends. None: nothing follows that would have
/// to be told where it ended.
fn replaced_first(view: &LogView, segment: &SegmentView) -> io::Result<Option<Place>> {
    let Some(next) = segment.next else { return Ok(None) };
    let before = view.segments.iter().rev().find(|other| other.id < segment.id);
    let first = match before {
        Some(before) => view.check(before, false)?.end,
        None => view.has_cursor().then(|| view.acked()),
    };
    Ok(first.filter(|first| next.follows(*first)))
}

fn rewrite(
    view: &LogView,
    segment: &SegmentView,
    first: Place,
    log_id: LogId,
    to: &Path,
) -> io::Result<Sums> {
    match fs::remove_file(to) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let source = PlainFile::open(&view.path(segment))?;
    let mut out = BufWriter::new(OpenOptions::new().write(true).create_new(true).open(to)?);
    let mut kept = Sums::default();
    out.write_all(&[0; SEGMENT_HEADER_BYTES])?;
    if segment.header != HeaderState::Nothing {
        let mut walk = view.walk(segment, true)?;
        while let Some(found) = walk.next_found()? {
            let Found::Frame(frame) = found else { continue };
            if !frame.is_whole {
                continue;
            }
            let bytes = frame.header.frame_bytes() as u64;
            piece_by_piece(&source, frame.offset, bytes, |piece| out.write_all(piece))?;
            kept.add(Sums { frames: 1, points: frame.header.points.into(), bytes });
        }
    }
    let end = SEGMENT_HEADER_BYTES as u64 + kept.bytes;
    let file_bytes = end.next_multiple_of(SECTOR_BYTES as u64);
    let header = SegmentHeader {
        category: view.category,
        log_id,
        segment_id: segment.id,
        salt: segment.salt,
        first,
        opened_ms: segment.opened_ms,
        file_bytes,
        mended: true,
        opened_lived_ms: segment.opened_lived_ms(),
    };
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.set_len(file_bytes)?;
    std::os::unix::fs::FileExt::write_all_at(&file, &header.encode(), 0)?;
    file.sync_all()?;
    Ok(kept)
}

/// Lends out the bytes from `offset` on.
fn piece_by_piece(
    file: &PlainFile,
    offset: u64,
    bytes: u64,
    mut lend: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut at = offset;
    while at < offset + bytes {
        let len = usize::try_from(offset + bytes - at).unwrap_or(usize::MAX).min(COPY_BYTES);
        let piece = now(file.read_at(at, len))?;
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        lend(&piece)?;
        at += piece.len() as u64;
    }
    Ok(())
}

/// Lends out a whole file; zeros stand for sectors that cannot be read.
fn pieces(path: &Path, mut lend: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let file = PlainFile::open(path)?;
    let bytes = fs::metadata(path)?.len();
    let mut at = 0;
    while at < bytes {
        let len = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(COPY_BYTES);
        let piece = match now(file.read_at(at, len)) {
            Ok(piece) => piece,
            Err(_) => {
                let mut piece = Vec::with_capacity(len);
                for sector in (0..len).step_by(SECTOR_BYTES) {
                    let len = SECTOR_BYTES.min(len - sector);
                    let read = now(file.read_at(at + sector as u64, len)).unwrap_or_default();
                    piece.extend_from_slice(&read);
                    piece.resize(sector + len, 0);
                }
                piece
            }
        };
        if piece.is_empty() {
            break;
        }
        lend(&piece)?;
        at += piece.len() as u64;
    }
    Ok(())
}

/// Whether two files hold the same bytes.
fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let (about, other_about) = (fs::metadata(one)?, fs::metadata(other)?);
    if about.len() != other_about.len() {
        return Ok(false);
    }
    let file = PlainFile::open(other)?;
    let (mut at, mut equal) = (0, true);
    pieces(one, |piece| {
        equal = equal && now(file.read_at(at, piece.len()))? == piece;
        at += piece.len() as u64;
        Ok(())
    })?;
    Ok(equal)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
