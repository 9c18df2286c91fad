//! `kitgate spool drop`: an operator gives up what is spooled. It is counted as dropped.

use serde_json::json;

use super::arguments::DropArguments;
use super::{Failure, LogPlace, Said, Tools, at, shown};
use crate::config::units;
use crate::point::Category;
use crate::spool::inspect::{Found, HeaderState, LogView, Place};

/// The boundary that was asked for.
enum Before {
    Seq(u64),
    Time(u64),
    Everything,
}

fn before(what: &DropArguments, now_ms: u64) -> Result<Before, Failure> {
    let Some(text) = what.before.as_deref() else { return Ok(Before::Everything) };
    if let Ok(seq) = text.parse::<u64>() {
        return Ok(Before::Seq(seq));
    }
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return Ok(Before::Time(u64::try_from(stamp.as_millisecond()).unwrap_or(0)));
    }
    match units::parse_time(text) {
        Some(age) => {
            let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            Ok(Before::Time(now_ms.saturating_sub(age_ms)))
        }
        None => Err(Failure::Usage(format!(
            "{text:?} is neither a frame's number, nor a time as 2026-01-31T12:00:00Z, nor an age as 36h"
        ))),
    }
}

/// The first frame that stays.
fn boundary(view: &LogView, before: &Before) -> std::io::Result<Place> {
    let end = view.end()?;
    let stays = |seq: u64, sealed_ms: u64| match before {
        Before::Seq(wanted) => seq >= *wanted,
        Before::Time(ms) => sealed_ms >= *ms,
        Before::Everything => false,
    };
    for segment in &view.segments {
        let whole =
            matches!(before, Before::Seq(wanted) if segment.next.is_some_and(|next| next.seq <= *wanted));
        if whole || segment.header == HeaderState::Nothing || matches!(before, Before::Everything) {
            continue;
        }
        let mut walk = view.walk(segment, false)?;
        while let Some(found) = walk.next_found()? {
            if let Found::Frame(frame) = found
                && stays(frame.seq(), frame.header.sealed_ms)
            {
                return Ok(frame.header.place);
            }
        }
    }
    Ok(end)
}

pub(super) fn drop_frames(
    tools: &mut Tools<'_>,
    category: Category,
    what: &DropArguments,
    yes: bool,
) -> Result<Said, Failure> {
    let before = before(what, tools.now_ms)?;
    let dir = tools.settings.spool.dir(category.name());
    let log = LogPlace { category, side: None, dir };
    if !log.dir.is_dir() {
        return Err(Failure::Failed(format!("nothing has been spooled of {}", category.name())));
    }
    let view = log.view()?;
    let boundary = boundary(&view, &before).map_err(at(&log.dir))?;
    let goes = view.not_done(view.acked(), boundary);
    let asked = format!(
        "{} of {} with {}, all before frame {}",
        shown::count(goes.frames, "frame"),
        category.name(),
        shown::count(goes.points, "point"),
        boundary.seq
    );
    if !yes {
        return Err(Failure::Usage(format!("this would give up {asked}, for good: say --yes to do it")));
    }
    let points = tools
        .spools()?
        .drop_before(category, boundary.seq)
        .map_err(|error| Failure::Failed(format!("{}: {error}", category.name())))?;
    let mut text = format!("gave up {} of {}\n", shown::count(points, "point"), category.name());
    if points < goes.points {
        let left = shown::count(goes.points - points, "point");
        text.push_str(&format!(
            "{left} of what was asked for are on their way to the destination, or there by now\n"
        ));
    }
    let json = json!({
        "category": category.name(), "points_dropped": points, "points_asked": goes.points, "before_seq": boundary.seq,
    });
    Ok(Said { text, json, good: true })
}
