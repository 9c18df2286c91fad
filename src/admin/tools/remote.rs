//! The spools of a running gateway: orders by the control socket, data by a file in the data directory, which is in the
//! form of a segment. The tool's side, and the gateway's.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::blocks;
use crate::admin::control::{Answer, Request, call};
use crate::admin::spools::Spools;
use crate::point::Category;
use crate::spool::inspect::{Export, Found, LogView};
use crate::spool::{Block, LogStats};

/// For the first word: a gateway that is there answers at once.
pub const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// For an order to be carried out: a commit may wait for a slow disk, and behind other orders.
const ORDER_PATIENCE: Duration = Duration::from_secs(120);

/// What a tool wants done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Job {
    /// Nothing; to see whether orders are taken.
    Hello,
    /// Make the frames in this file durable. It lies in the tools' folder of the data directory.
    Commit {
        category: String,
        file: String,
    },
    DropBefore {
        category: String,
        seq: u64,
    },
    Stats {
        category: String,
    },
}

impl Job {
    pub fn as_value(&self) -> Value {
        // It is made of texts and numbers.
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

/// A running gateway's spools, as seen by a tool.
pub struct Remote {
    data_dir: PathBuf,
    folder: PathBuf,
    orders: u64,
}

impl Remote {
    pub fn new(data_dir: PathBuf, folder: PathBuf) -> Remote {
        Remote { data_dir, folder, orders: 0 }
    }

    fn order(&self, job: &Job) -> Result<Value, String> {
        let asked = call(&self.data_dir, &Request::Tool { job: job.as_value() }, ORDER_PATIENCE);
        let answer = asked.map_err(|error| error.to_string())?;
        if answer.ok { Ok(answer.result) } else { Err(answer.text) }
    }
}

/// Writes blocks into a file of frames.
fn write_frames(path: &Path, category: Category, blocks: &[Block]) -> io::Result<()> {
    let mut export = Export::new(BufWriter::new(File::create(path)?), category as u8, None);
    for block in blocks {
        export.block(block)?;
    }
    export.finish()
}

impl Spools for Remote {
    fn commit(&mut self, category: Category, blocks: Vec<Block>) -> Result<(), String> {
        self.orders += 1;
        let file = format!("order-{}-{}.frames", std::process::id(), self.orders);
        let path = self.folder.join(&file);
        std::fs::create_dir_all(&self.folder).map_err(|error| error.to_string())?;
        let written = write_frames(&path, category, &blocks).map_err(|error| error.to_string());
        let done = written.and_then(|()| {
            self.order(&Job::Commit { category: category.name().to_owned(), file }).map(|_| ())
        });
        // It has been read, or nobody will read it.
        let _ = std::fs::remove_file(&path);
        done
    }

    fn drop_before(&mut self, category: Category, seq: u64) -> Result<u64, String> {
        let result = self.order(&Job::DropBefore { category: category.name().to_owned(), seq })?;
        Ok(result["points"].as_u64().unwrap_or(0))
    }

    fn stats(&mut self, category: Category) -> Result<LogStats, String> {
        let result = self.order(&Job::Stats { category: category.name().to_owned() })?;
        let number = |name: &str| result[name].as_u64().unwrap_or(0);
        Ok(LogStats {
            spooled_points: number("spooled_points"),
            spooled_frames: number("spooled_frames"),
            spooled_bytes: number("spooled_bytes"),
            segments: number("segments"),
            disk_bytes: number("disk_bytes"),
            oldest_ms: result["oldest_ms"].as_u64(),
            ..LogStats::default()
        })
    }
}

/// Carries out a tool's order in the gateway whose data directory this is.
pub fn serve(job: Value, data_dir: &Path, spools: &mut dyn Spools) -> Answer {
    let job: Job = match serde_json::from_value(job) {
        Ok(job) => job,
        Err(error) => return Answer::bad(format!("this version does not know that order: {error}")),
    };
    match execute(job, data_dir, spools) {
        Ok(result) => Answer { ok: true, text: "done".to_owned(), result },
        Err(text) => Answer::bad(text),
    }
}

fn category_of(name: &str) -> Result<Category, String> {
    Category::from_name(name).ok_or_else(|| format!("no such category: {name:?}"))
}

fn execute(job: Job, data_dir: &Path, spools: &mut dyn Spools) -> Result<Value, String> {
    match job {
        Job::Hello => Ok(Value::Null),
        Job::Commit { category, file } => {
            let category = category_of(&category)?;
            let plain = file.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
            if !plain || file.starts_with('.') {
                return Err("an order's file is named, and lies in the tools' folder".to_owned());
            }
            let frames = read_frames(&data_dir.join("tools").join(file), category)?;
            let points: u64 = frames.iter().map(|block| u64::from(block.points)).sum();
            spools.commit(category, frames)?;
            Ok(json!({ "points": points }))
        }
        Job::DropBefore { category, seq } => {
            let points = spools.drop_before(category_of(&category)?, seq)?;
            Ok(json!({ "points": points }))
        }
        Job::Stats { category } => {
            let stats = spools.stats(category_of(&category)?)?;
            Ok(json!({
                "spooled_points": stats.spooled_points, "spooled_frames": stats.spooled_frames,
                "spooled_bytes": stats.spooled_bytes, "segments": stats.segments,
                "disk_bytes": stats.disk_bytes, "oldest_ms": stats.oldest_ms,
            }))
        }
    }
}

/// All of it or nothing: a tool writes whole frames, and few of them.
fn read_frames(path: &Path, category: Category) -> Result<Vec<Block>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot read the frames to be committed: {error}");
    let bytes = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if bytes > blocks::FRAME_BYTES_MAX {
        return Err("more frames than one order may hold".to_owned());
    }
    let view = LogView::of_file(path).map_err(|error| failed(&error))?;
    let mut frames = Vec::new();
    for segment in &view.segments {
        let mut walk = view.walk(segment, true).map_err(|error| failed(&error))?;
        while let Some(found) = walk.next_found().map_err(|error| failed(&error))? {
            let Found::Frame(frame) = found else { return Err(failed(&"a frame is damaged")) };
            let block = walk.block(&frame).map_err(|error| failed(&error))?;
            match block.filter(|block| block.category == category as u8) {
                Some(block) => frames.push(block),
                None => return Err(failed(&"a frame is damaged, or of another category")),
            }
        }
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tools::testing::{MemorySpools, block};

    #[test]
    fn frames_travel_by_file_and_only_from_the_tools_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("tools");
        std::fs::create_dir(&folder).unwrap();
        let sent = vec![block(1, b"one", "token=tkn%5Fa"), block(2, b"two and more", ""), block(3, b"", "")];
        write_frames(&folder.join("order-1-1.frames"), Category::Logging, &sent).unwrap();
        let mut spools = MemorySpools::default();
        let job =
            |file: &str| Job::Commit { category: "logging".to_owned(), file: file.to_owned() }.as_value();
        let answer = serve(job("order-1-1.frames"), dir.path(), &mut spools);
        assert!(answer.ok, "{answer:?}");
        assert_eq!(answer.result["points"], 6);
        let got = &spools.committed[&Category::Logging];
        let key = |blocks: &[Block]| -> Vec<_> {
            blocks
                .iter()
                .map(|one| (one.payload.clone(), one.route.clone(), one.points, one.sealed_ms))
                .collect()
        };
        assert_eq!(key(got), key(&sent));
        for file in ["../LOCK", "/etc/passwd", "", ".hidden", "absent"] {
            assert!(!serve(job(file), dir.path(), &mut spools).ok, "{file}");
        }
        // A category that the frames are not of, and an order nobody knows.
        let other = Job::Commit { category: "rum".to_owned(), file: "order-1-1.frames".to_owned() };
        assert!(!serve(other.as_value(), dir.path(), &mut spools).ok);
        assert!(!serve(json!({ "do": "fly" }), dir.path(), &mut spools).ok);
        assert_eq!(spools.committed[&Category::Logging].len(), 3);
    }
}
