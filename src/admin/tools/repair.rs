//! `kitgate spool repair`: damaged segments go to `<data_dir>/quarantine/`, their good frames stay under their numbers.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::{Failure, LogPlace, Said, Tools, at, shown};
use crate::point::Category;
use crate::spool::inspect::{Quarantine, Sums};
use crate::spool::{OwnError, Owner};

/// Mending a segment may show that the one before it has frames missing at its end. One more look is enough for that;
/// what still looks damaged then is said to be.
const PASSES_MAX: usize = 3;

struct Repaired {
    text: String,
    json: serde_json::Value,
    mended: usize,
    left: u64,
}

fn quarantine_dir(tools: &Tools<'_>, log: &LogPlace) -> PathBuf {
    let dir = tools.settings.data_dir.join("quarantine").join(log.category.name());
    match &log.side {
        Some(target) => dir.join("side").join(target),
        None => dir,
    }
}

fn repair_log(tools: &Tools<'_>, log: &LogPlace) -> Result<Repaired, Failure> {
    let quarantine = Quarantine { dir: quarantine_dir(tools, log) };
    let (mut text, mut mended, mut left) = (String::new(), Vec::new(), 0);
    for _ in 0..PASSES_MAX {
        left = 0;
        let mut view = log.view()?;
        let ids: Vec<u64> = view.segments.iter().map(|segment| segment.id).collect();
        for id in ids {
            let Some(segment) = view.segments.iter().find(|segment| segment.id == id) else { continue };
            let check = view.check(segment, false).map_err(at(&view.path(segment)))?;
            if check.damages_count == 0 {
                continue;
            }
            left += check.damages_count;
            if !check.is_mendable() {
                continue;
            }
            let done = quarantine.mend(&view, segment).map_err(at(&view.path(segment)))?;
            let _ = writeln!(
                text,
                "  {}: kept {} with {}, {} lost; as it was: {}",
                segment.name,
                shown::count(done.kept.frames, "frame"),
                shown::count(done.kept.points, "point"),
                shown::count(check.lost.points, "point"),
                done.quarantined.display(),
            );
            mended.push(json!({
                "file": segment.name, "frames_kept": done.kept.frames, "points_kept": done.kept.points,
                "frames_lost": check.lost.frames, "points_lost": check.lost.points,
                "quarantined": done.quarantined.display().to_string(),
            }));
            // What is known of the next segment may hang on this one.
            view = log.view()?;
        }
        if left == 0 {
            break;
        }
    }
    let missing = log.view()?.front_gap().map_err(at(&log.dir))?.map_or(Sums::default(), |gap| gap.lost);
    let verdict = match (mended.len(), left) {
        (0, _) => "nothing to repair".to_owned(),
        (count, 0) => format!("{} repaired", shown::count(count as u64, "segment")),
        (_, left) => format!("{} cannot be repaired", shown::count(left, "spot")),
    };
    let gone = if missing.frames == 0 {
        String::new()
    } else {
        let points = shown::count(missing.points, "point");
        format!("  segments are missing that held {points}; no repair brings them back\n")
    };
    let text = format!("{}: {verdict}\n{text}{gone}", log.name());
    let json = json!({
        "category": log.category.name(), "side_lane": log.side, "segments": mended, "damages_left": left,
        "frames_missing": missing.frames, "points_missing": missing.points,
    });
    Ok(Repaired { text, mended: mended.len(), left, json })
}

pub(super) fn repair(tools: &Tools<'_>, category: Category) -> Result<Said, Failure> {
    let data_dir = &tools.settings.data_dir;
    let logs = tools.logs(Some(category))?;
    let _owner = Owner::take(data_dir).map_err(|error| match error {
        owned @ OwnError::Owned { .. } => {
            Failure::Busy(format!("{owned}; stop it first: segments that are in use cannot be rewritten"))
        }
        OwnError::Io { path, error } => at(&path)(error),
    })?;
    let (mut text, mut all, mut left) = (String::new(), Vec::new(), 0);
    for log in logs {
        let repaired = repair_log(tools, &log)?;
        // A side lane is spoken of when there was something to do.
        if log.side.is_none() || repaired.mended > 0 {
            text.push_str(&repaired.text);
        }
        left += repaired.left;
        all.push(repaired.json);
    }
    if all.is_empty() {
        text = format!("nothing has been spooled of {}\n", category.name());
    }
    Ok(Said { text, json: json!({ "logs": all, "damages_left": left }), good: left == 0 })
}
