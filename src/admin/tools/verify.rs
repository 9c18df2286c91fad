//! `kitgate spool verify`: every checksum, and what is wrong where.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Failure, LogPlace, Said, Tools, at, shown};
use crate::point::Category;
use crate::spool::inspect::{Damage, DamageKind, SegmentCheck, Sums};

/// What a spot is called, for people and for machines.
fn names(kind: DamageKind) -> (&'static str, &'static str) {
    match kind {
        DamageKind::Header => ("its header is damaged; its frames are read all the same", "header"),
        DamageKind::Segment => ("neither a header nor a frame can be read", "segment"),
        DamageKind::Frames => ("frames cannot be read", "frames"),
        DamageKind::Payload => ("the payload of a frame is damaged", "payload"),
        DamageKind::Unknown => ("a frame of a sort that this version does not know", "unknown"),
        DamageKind::Missing => ("taken out by an earlier repair", "missing"),
    }
}

fn frames_named(damage: &Damage) -> String {
    let last = damage.first_seq + damage.frames.saturating_sub(1);
    match damage.frames {
        0 => String::new(),
        1 => format!(", frame {}", damage.first_seq),
        _ => format!(", frames {} to {last}", damage.first_seq),
    }
}

/// A damaged spot on a line.
fn line(segment: &str, damage: &Damage) -> String {
    let (what, _) = names(damage.kind);
    let lost = match (damage.frames, damage.lost.frames) {
        (0, _) => String::new(),
        (_, 0) => "; all of it delivered or given up before, so nothing is lost".to_owned(),
        _ => format!("; {} lost", shown::count(damage.lost.points, "point")),
    };
    let (offset, bytes) = (damage.offset, damage.bytes);
    format!("{segment}: at {offset}, {bytes} bytes{}: {what}{lost}", frames_named(damage))
}

pub(super) fn damage_json(damage: &Damage) -> Value {
    let (_, what) = names(damage.kind);
    json!({
        "what": what, "offset": damage.offset, "bytes": damage.bytes, "first_seq": damage.first_seq,
        "frames": damage.frames, "points": damage.points, "frames_lost": damage.lost.frames,
        "points_lost": damage.lost.points,
    })
}

/// One log, checked.
struct Checked {
    text: String,
    json: Value,
    damages: u64,
}

fn check(log: &LogPlace, live: bool) -> Result<Checked, Failure> {
    let view = log.view()?;
    let (mut text, mut segments) = (String::new(), Vec::new());
    let (mut whole, mut lost, mut damages, mut leftovers) = (Sums::default(), Sums::default(), 0, 0);
    let mut spots = Vec::new();
    if !live && let Some(damage) = view.front_gap().map_err(at(&log.dir))? {
        spots.push(format!(
            "segments are missing{}; {} lost",
            frames_named(&damage),
            shown::count(damage.lost.points, "point")
        ));
        lost.add(damage.lost);
        damages += 1;
        segments.push(json!({ "id": null, "damages": [damage_json(&damage)] }));
    }
    for segment in &view.segments {
        let path = view.path(segment);
        let check = match view.check(segment, live) {
            Ok(check) => check,
            Err(error) => {
                damages += 1;
                spots.push(format!("{}: cannot be read: {error}", segment.name));
                segments.push(json!({ "file": segment.name, "error": error.to_string() }));
                continue;
            }
        };
        if check.vanished {
            continue; // delivered and taken away meanwhile
        }
        whole.add(check.whole);
        lost.add(check.lost);
        leftovers += check.leftovers;
        damages += check.damages_count;
        spots.extend(check.damages.iter().map(|damage| line(&segment.name, damage)));
        let unnamed = check.damages_count.saturating_sub(check.damages.len() as u64);
        if unnamed > 0 {
            spots.push(format!(
                "{}: {} more that are not named",
                segment.name,
                shown::count(unnamed, "spot")
            ));
        }
        if let Some((offset, bytes)) = check.tail {
            let what = if live {
                "a commit is being written, or was cut off"
            } else {
                "the torn end of a commit that nobody was told of; the next start cuts it"
            };
            spots.push(format!("{}: at {offset}, {bytes} bytes: {what}", segment.name));
        }
        if check.sectors_unreadable > 0 {
            let unreadable = shown::count(check.sectors_unreadable, "sector");
            spots.push(format!("{}: {unreadable} could not be read", path.display()));
        }
        segments.push(segment_json(&segment.name, &check));
    }
    let verdict = match damages {
        0 => "no damage".to_owned(),
        _ => format!(
            "{} damaged, {} with {} lost",
            shown::count(damages, "spot"),
            shown::count(lost.frames, "frame"),
            shown::count(lost.points, "point")
        ),
    };
    let _ = writeln!(
        text,
        "{}: {} in {}, {} checked: {verdict}",
        log.name(),
        shown::count(whole.frames, "frame"),
        shown::count(view.segments.len() as u64, "segment"),
        shown::bytes(whole.bytes),
    );
    spots.iter().for_each(|spot| {
        let _ = writeln!(text, "  {spot}");
    });
    let json = json!({
        "category": log.category.name(), "side_lane": log.side, "frames": whole.frames, "points": whole.points,
        "bytes": whole.bytes, "damages": damages, "frames_lost": lost.frames, "points_lost": lost.points,
        "leftover_frames": leftovers, "ignored": view.ignored, "segments": segments,
    });
    Ok(Checked { text, json, damages })
}

fn segment_json(name: &str, check: &SegmentCheck) -> Value {
    json!({
        "file": name, "frames": check.whole.frames, "points": check.whole.points, "bytes": check.whole.bytes,
        "waiting_frames": check.spooled.frames, "waiting_points": check.spooled.points,
        "damages": check.damages.iter().map(damage_json).collect::<Vec<_>>(), "damages_count": check.damages_count,
        "tail": check.tail.map(|(offset, bytes)| json!({ "offset": offset, "bytes": bytes })),
        "sectors_unreadable": check.sectors_unreadable, "oldest_ms": check.oldest_ms, "newest_ms": check.newest_ms,
    })
}

pub(super) fn verify(tools: &Tools<'_>, category: Option<Category>) -> Result<Said, Failure> {
    let live = tools.is_live();
    let (mut text, mut all, mut damages) = (String::new(), Vec::new(), 0);
    for log in tools.logs(category)? {
        let checked = check(&log, live)?;
        text.push_str(&checked.text);
        all.push(checked.json);
        damages += checked.damages;
    }
    if all.is_empty() {
        text.push_str("nothing has been spooled here\n");
    }
    Ok(Said { text, json: json!({ "damages": damages, "in_use": live, "logs": all }), good: damages == 0 })
}
