//! `kitgate spool replay`: the frames of another place into this gateway, in order, each once.
//!
//! A frame is known by its log and its number, wherever its file was copied: what has been replayed is noted under them
//! after it is durable here, so a replay that was cut off goes on, and a second one adds nothing. Frames are sealed anew:
//! they get numbers, and their packages ids, of this gateway, and count their age from now. Points are not touched.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::blocks::{self, Batch};
use super::progress::Progress;
use super::{Failure, Said, Tools, at, folders, open_failure, shown};
use crate::admin::spools::Spools;
use crate::point::Category;
use crate::spool::inspect::{Found, LogView, Stand};
use crate::spool::{Block, Kind};
use crate::upload::parked::Parked;

/// The name of the notes.
const NOTES: &str = "replayed";

/// What was found at the source.
struct Source {
    view: LogView,
    category: Category,
    path: PathBuf,
}

#[derive(Default)]
struct Counts {
    frames: u64,
    points: u64,
    known: u64,
    damaged_frames: u64,
    damaged_points: u64,
    unknown_frames: u64,
}

/// The logs in a file, a log's directory, a spool directory, or a data directory.
fn sources(from: &Path) -> Result<Vec<Source>, Failure> {
    let about = std::fs::metadata(from).map_err(at(from))?;
    let mut found = Vec::new();
    if about.is_file() {
        let view = LogView::of_file(from).map_err(|error| open_failure(from, &error))?;
        found.extend(source(view, from)?);
        return Ok(found);
    }
    let mut dirs = vec![from.to_path_buf()];
    for spool in [from.to_path_buf(), from.join("spool")] {
        dirs.extend(named_folders(&spool)?);
    }
    for side in named_folders(&from.join("side"))? {
        dirs.extend(folders(&side)?.into_iter().map(|target| side.join(target)));
    }
    for dir in dirs {
        if let Some(category) = category_in(&dir)? {
            let view = LogView::open(&dir, category).map_err(|error| open_failure(&dir, &error))?;
            found.extend(source(view, &dir)?);
        }
    }
    Ok(found)
}

fn source(view: LogView, path: &Path) -> Result<Option<Source>, Failure> {
    let Some(category) = Category::from_index(view.category) else {
        let text = format!("{}: of a category that this version does not know", path.display());
        return Err(Failure::Failed(text));
    };
    Ok(Some(Source { view, category, path: path.to_path_buf() }))
}

/// The folders in `dir` that are named like a category.
fn named_folders(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let named = folders(dir)?.into_iter().filter(|name| Category::from_name(name).is_some());
    Ok(named.map(|name| dir.join(name)).collect())
}

/// The category of the log in this directory, by the first of its segments that says so; none: there is no log in it.
fn category_in(dir: &Path) -> Result<Option<u8>, Failure> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(at(dir))? {
        let name = entry.map_err(at(dir))?.file_name().to_string_lossy().into_owned();
        if name.starts_with("segment-") {
            names.push(name);
        }
    }
    names.sort();
    let by_folder = dir.file_name().and_then(|name| Category::from_name(&name.to_string_lossy()));
    for name in &names {
        let path = dir.join(name);
        match LogView::of_file(&path) {
            Ok(view) => return Ok(Some(view.category)),
            Err(crate::spool::OpenError::Io(_)) => {}
            Err(newer @ crate::spool::OpenError::Newer { .. }) => return Err(open_failure(dir, &newer)),
        }
    }
    // Segments of which nothing can be read are still to be reported as damaged.
    Ok(by_folder.filter(|_| !names.is_empty()).map(|category| category as u8))
}

/// The name under which a log's frames are noted.
fn log_name(source: &Source) -> String {
    match source.view.id.filter(|id| id.iter().any(|byte| *byte != 0)) {
        Some(id) => {
            let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{id}/{}", source.category.name())
        }
        None => {
            let path = std::fs::canonicalize(&source.path).unwrap_or_else(|_| source.path.clone());
            format!("{}/{}", path.display(), source.category.name())
        }
    }
}

/// What goes into the log for a frame: itself, or what a side lane kept. None: of a sort that is not known.
fn sealed_anew(block: Block, now_ms: u64) -> Option<Vec<Block>> {
    let anew = |block: Block| Block { sealed_ms: now_ms, ..block };
    match block.kind {
        Kind::Points | Kind::Raw => Some(vec![anew(block)]),
        Kind::Parked => {
            Some(Parked::read(&block)?.frames.into_iter().map(|frame| anew(frame.block)).collect())
        }
    }
}

pub(super) fn replay(tools: &mut Tools<'_>, from: &Path, all: bool) -> Result<Said, Failure> {
    let sources = sources(from)?;
    if sources.is_empty() {
        return Err(Failure::Failed(format!("{}: there are no frames here", from.display())));
    }
    refuse_own(tools, from, &sources, all)?;
    let _alone = tools.alone()?;
    let mut progress = Progress::load(&tools.own_dir(), NOTES)?;
    let mut spools = tools.spools()?;
    let mut counts = Counts::default();
    for source in &sources {
        replay_log(source, all, tools.now_ms, &mut *spools, &mut progress, &mut counts)?;
    }
    let mut text = format!(
        "spooled {} with {}\n",
        shown::count(counts.frames, "frame"),
        shown::count(counts.points, "point")
    );
    for (number, what) in [
        (counts.known, "left out: delivered there, or replayed before"),
        (counts.damaged_frames, "left out: damaged"),
        (
            counts.unknown_frames,
            "left out: of a sort that this version does not know, or larger than it takes",
        ),
    ] {
        if number > 0 {
            text.push_str(&format!("{} {what}\n", shown::count(number, "frame")));
        }
    }
    let json = json!({
        "frames": counts.frames, "points": counts.points, "frames_known": counts.known,
        "frames_damaged": counts.damaged_frames, "points_damaged": counts.damaged_points,
        "frames_unknown": counts.unknown_frames,
    });
    Ok(Said { text, json, good: counts.damaged_frames == 0 && counts.unknown_frames == 0 })
}

/// A log is not replayed into itself: its frames are there. Its quarantine is another matter, but nearly all of that has
/// been written again, too, so it takes a word more.
fn refuse_own(tools: &Tools<'_>, from: &Path, sources: &[Source], all: bool) -> Result<(), Failure> {
    for source in sources {
        let own = tools.settings.spool.dir(source.category.name());
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        let inside = real(&source.path).zip(real(&own)).is_some_and(|(path, own)| path.starts_with(own));
        if inside {
            return Err(Failure::Usage(format!("{} is this gateway's own spool", from.display())));
        }
        let own_id = LogView::open(&own, source.category as u8).ok().and_then(|view| view.id);
        if !all && own_id.is_some() && own_id == source.view.id {
            return Err(Failure::Usage(format!(
                "{}: these frames are of this gateway's own log, which has the good ones; --all spools them again",
                source.path.display()
            )));
        }
    }
    Ok(())
}

fn replay_log(
    source: &Source,
    all: bool,
    now_ms: u64,
    spools: &mut dyn Spools,
    progress: &mut Progress,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let name = log_name(source);
    let mut batch: Batch<(u64, u64)> = Batch::default();
    for segment in &source.view.segments {
        let path = source.view.path(segment);
        let mut walk = source.view.walk(segment, true).map_err(at(&path))?;
        while let Some(found) = walk.next_found().map_err(at(&path))? {
            let frame = match found {
                Found::Frame(frame) => frame,
                Found::Gap(gap) => {
                    let lost = source.view.not_done(gap.from, gap.to);
                    counts.damaged_frames += lost.frames;
                    counts.damaged_points += lost.points;
                    continue;
                }
                Found::Leftover(_) => continue,
            };
            let (seq, points) = (frame.seq(), u64::from(frame.header.points));
            if !all && (source.view.stand(seq) == Stand::Done || progress.is_done(&name, seq)) {
                counts.known += 1;
                continue;
            }
            if !frame.is_whole {
                (counts.damaged_frames, counts.damaged_points) =
                    (counts.damaged_frames + 1, counts.damaged_points + points);
                continue;
            }
            let block =
                if blocks::fits(&frame.header) { walk.block(&frame).map_err(at(&path))? } else { None };
            let Some(anew) = block.and_then(|block| sealed_anew(block, now_ms)) else {
                counts.unknown_frames += 1;
                continue;
            };
            anew.into_iter().for_each(|block| batch.push(block));
            batch.notes.push((seq, points));
            if batch.is_full() {
                settle(&mut batch, source, &name, spools, progress, counts)?;
            }
        }
    }
    settle(&mut batch, source, &name, spools, progress, counts)
}

fn settle(
    batch: &mut Batch<(u64, u64)>,
    source: &Source,
    name: &str,
    spools: &mut dyn Spools,
    progress: &mut Progress,
    counts: &mut Counts,
) -> Result<(), Failure> {
    if batch.notes.is_empty() {
        return Ok(());
    }
    for (seq, points) in batch.commit(spools, source.category)? {
        progress.note(name, seq, seq.saturating_add(1));
        counts.frames += 1;
        counts.points += points;
    }
    progress.store()
}
