//! `kitgate spool ls` and `stat`: what waits where. Headers and cursors alone are read, and of the last segment its frame
//! headers, so it costs little however much waits.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Failure, LogPlace, Said, Tools, shown};
use crate::point::Category;
use crate::spool::inspect::{HeaderState, LogView, SegmentView, Stand};

/// What a log's row says when it cannot be read.
fn row_of(log: &LogPlace, tools: &Tools<'_>) -> (Vec<String>, Value, bool) {
    let looked = log.view().and_then(|view| {
        let end = view.end().map_err(super::at(&log.dir))?;
        let oldest_ms = view.oldest_ms().map_err(super::at(&log.dir))?;
        Ok((view.not_done(view.acked(), end), oldest_ms, view))
    });
    let side = log.side.clone();
    match looked {
        Ok((sums, oldest_ms, view)) => {
            let oldest_ms = oldest_ms.filter(|_| sums.frames > 0);
            let state = state(&view);
            let row = vec![
                log.name(),
                shown::number(view.segments.len() as u64),
                shown::number(sums.frames),
                shown::number(sums.points),
                shown::bytes(sums.bytes),
                oldest_ms.map_or_else(|| "-".to_owned(), |ms| shown::age(ms, tools.now_ms)),
                shown::bytes(view.disk_bytes),
                state.clone(),
            ];
            let json = json!({
                "category": log.category.name(), "side_lane": side, "segments": view.segments.len(),
                "frames": sums.frames, "points": sums.points, "bytes": sums.bytes, "oldest_ms": oldest_ms,
                "disk_bytes": view.disk_bytes, "state": state,
            });
            (row, json, true)
        }
        Err(failure) => {
            let mut row = vec![log.name()];
            row.resize(7, "?".to_owned());
            row.push(failure.text().to_owned());
            let json = json!({ "category": log.category.name(), "side_lane": side, "error": failure.text() });
            (row, json, false)
        }
    }
}

fn state(view: &LogView) -> String {
    let lost =
        view.segments.iter().filter(|segment| !matches!(segment.header, HeaderState::Intact(_))).count();
    let mut said = Vec::new();
    if lost > 0 {
        said.push(format!("{} without header", shown::count(lost as u64, "segment")));
    }
    if !view.has_cursor() && !view.segments.is_empty() {
        said.push("no cursor: all goes out again".to_owned());
    }
    if !view.ignored.is_empty() {
        said.push(format!("{} ignored", shown::count(view.ignored.len() as u64, "file")));
    }
    if !view.quarantined.is_empty() {
        said.push(format!("{} in quarantine", shown::count(view.quarantined.len() as u64, "segment")));
    }
    if said.is_empty() { "ok".to_owned() } else { said.join(", ") }
}

pub(super) fn ls(tools: &Tools<'_>) -> Result<Said, Failure> {
    let head = ["category", "segments", "frames", "points", "bytes", "oldest", "on disk", "state"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut all = Vec::new();
    let mut good = true;
    for log in tools.logs(None)? {
        let (row, json, readable) = row_of(&log, tools);
        rows.push(row);
        all.push(json);
        good &= readable;
    }
    let text =
        if all.is_empty() { "nothing has been spooled here\n".to_owned() } else { shown::table(&rows) };
    Ok(Said { text, json: json!({ "logs": all }), good })
}

fn segment_row(view: &LogView, segment: &SegmentView) -> Result<(Vec<String>, Value), Failure> {
    let end = match segment.next {
        Some(next) => next,
        None => {
            let mut walk = view.walk(segment, false)?;
            while walk.next_found()?.is_some() {}
            walk.place()
        }
    };
    let (frames, points) = (end.frames_since(segment.first), end.points_since(segment.first));
    let bytes = end.bytes_since(segment.first);
    let waiting = view.not_done(segment.first, end);
    let header = match &segment.header {
        HeaderState::Intact(header) if header.mended => "mended",
        HeaderState::Intact(_) => "ok",
        HeaderState::Lost => "header damaged",
        HeaderState::Nothing => "unreadable",
    };
    let row = vec![
        format!("{:x}", segment.id),
        segment.first.seq.to_string(),
        shown::number(frames),
        shown::number(points),
        shown::bytes(bytes),
        shown::number(waiting.frames),
        shown::number(waiting.points),
        shown::bytes(segment.file_bytes),
        shown::time(segment.opened_ms),
        header.to_owned(),
    ];
    let json = json!({
        "id": format!("{:x}", segment.id), "file": segment.name, "first_seq": segment.first.seq, "frames": frames,
        "points": points, "bytes": bytes, "waiting_frames": waiting.frames, "waiting_points": waiting.points,
        "file_bytes": segment.file_bytes, "opened_ms": segment.opened_ms, "state": header,
    });
    Ok((row, json))
}

pub(super) fn stat(tools: &Tools<'_>, category: Category) -> Result<Said, Failure> {
    let (mut text, mut all) = (String::new(), Vec::new());
    for log in tools.logs(Some(category))? {
        let view = log.view()?;
        let end = view.end().map_err(super::at(&log.dir))?;
        let waiting = view.not_done(view.acked(), end);
        let oldest_ms = view.oldest_ms().map_err(super::at(&log.dir))?.filter(|_| waiting.frames > 0);
        let id = view.id.map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let _ = writeln!(text, "{}: {}", log.name(), state(&view));
        let _ = writeln!(text, "  log       {}", id.as_deref().unwrap_or("unknown"));
        let _ = writeln!(
            text,
            "  waiting   {} with {} ({})",
            shown::count(waiting.frames, "frame"),
            shown::count(waiting.points, "point"),
            shown::bytes(waiting.bytes)
        );
        if let Some(ms) = oldest_ms {
            let _ = writeln!(text, "  oldest    {}, {}", shown::time(ms), shown::age(ms, tools.now_ms));
        }
        let _ =
            writeln!(text, "  frames    delivered before {}, the next one is {}", view.acked().seq, end.seq);
        let totals = view.totals();
        if let Some(totals) = totals {
            let _ = writeln!(
                text,
                "  so far    {} points: {} delivered, {} dead, {} parked, {} evicted, {} expired, {} lost, {} dropped",
                shown::number(totals.committed),
                shown::number(totals.delivered),
                shown::number(totals.dead),
                shown::number(totals.parked),
                shown::number(totals.evicted),
                shown::number(totals.expired),
                shown::number(totals.lost),
                shown::number(totals.dropped),
            );
        }
        let head = [
            "segment",
            "first",
            "frames",
            "points",
            "bytes",
            "waiting",
            "points waiting",
            "file",
            "opened",
            "state",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        let mut segments = Vec::new();
        for segment in &view.segments {
            let (row, json) = segment_row(&view, segment)?;
            rows.push(row);
            segments.push(json);
        }
        text.push_str(&shown::table(&rows));
        let stretches: Vec<Value> = view
            .stretches()
            .iter()
            .map(|stretch| {
                let what = match stretch.stand {
                    Stand::Done => "done",
                    Stand::Out => "out",
                    Stand::Aside => "aside",
                    Stand::Waiting => "waiting",
                };
                let (first, last) = (stretch.start.seq, stretch.end.seq.saturating_sub(1));
                let _ = writeln!(text, "frames {first} to {last}: {what}");
                json!({ "first_seq": first, "last_seq": last, "state": what })
            })
            .collect();
        for name in &view.ignored {
            let _ = writeln!(text, "ignored: {name}");
        }
        all.push(json!({
            "category": log.category.name(), "side_lane": log.side, "log": id, "state": state(&view),
            "acked_seq": view.acked().seq, "next_seq": end.seq, "waiting_frames": waiting.frames,
            "waiting_points": waiting.points, "waiting_bytes": waiting.bytes, "oldest_ms": oldest_ms,
            "spares": view.spares, "disk_bytes": view.disk_bytes, "ignored": view.ignored,
            "left_behind": view.left_behind, "quarantined": view.quarantined, "segments": segments,
            "windows": stretches,
            "totals": totals.map(|totals| json!({
                "committed": totals.committed, "delivered": totals.delivered, "dead": totals.dead,
                "parked": totals.parked, "evicted": totals.evicted, "expired": totals.expired, "lost": totals.lost,
                "dropped": totals.dropped,
            })),
        }));
    }
    if all.is_empty() {
        text = format!("nothing has been spooled of {}\n", category.name());
    }
    Ok(Said { text, json: json!({ "logs": all }), good: true })
}
