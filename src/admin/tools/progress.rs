//! How far a tool has come with something that it must not do twice: a small JSON file, replaced as a whole, synced.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Failure, at, sync_dir};

/// Ranges of numbers that are done, per source; ends are exclusive.
#[derive(Debug)]
pub struct Progress {
    path: PathBuf,
    done: BTreeMap<String, Vec<(u64, u64)>>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    done: BTreeMap<String, Vec<(u64, u64)>>,
}

/// The version this code writes, and the only one it reads.
const VERSION: u32 = 1;

impl Progress {
    /// What was noted under this name in the folder.
    pub fn load(folder: &Path, name: &str) -> Result<Progress, Failure> {
        let path = folder.join(format!("{name}.json"));
        let done = match std::fs::read(&path) {
            Ok(bytes) => {
                let kept: Kept = serde_json::from_slice(&bytes)
                    .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
                if kept.version != VERSION {
                    let text = format!("{} was written by a later version", path.display());
                    return Err(Failure::Failed(text));
                }
                kept.done
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(at(&path)(error)),
        };
        Ok(Progress { path, done })
    }

    pub fn is_done(&self, source: &str, number: u64) -> bool {
        self.done.get(source).is_some_and(|ranges| {
            let behind = ranges.partition_point(|(from, _)| *from <= number);
            behind.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, to)| number < *to)
        })
    }

    /// Up to where everything from 0 on is done.
    pub fn done_through(&self, source: &str) -> u64 {
        let first = self.done.get(source).and_then(|ranges| ranges.first());
        first.filter(|(from, _)| *from == 0).map_or(0, |(_, to)| *to)
    }

    /// Notes a range, to be kept by [`Progress::store`].
    pub fn note(&mut self, source: &str, from: u64, to: u64) {
        let ranges = self.done.entry(source.to_owned()).or_default();
        ranges.push((from, to));
        ranges.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
        for (from, to) in ranges.drain(..) {
            match merged.last_mut().filter(|last| from <= last.1) {
                Some(last) => last.1 = last.1.max(to),
                None => merged.push((from, to)),
            }
        }
        *ranges = merged;
    }

    /// Makes the notes durable.
    pub fn store(&self) -> Result<(), Failure> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let written = || -> io::Result<()> {
            std::fs::create_dir_all(folder)?;
            let new = self.path.with_extension("json.new");
            let mut file = File::create(&new)?;
            let kept = Kept { version: VERSION, done: self.done.clone() };
            file.write_all(&serde_json::to_vec(&kept)?)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)?;
            sync_dir(folder)?;
            folder.parent().map_or(Ok(()), sync_dir)
        };
        written().map_err(at(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_and_survive() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("tools");
        let mut progress = Progress::load(&folder, "replayed").unwrap();
        for (from, to) in [(5, 8), (0, 3), (8, 9), (20, 30), (2, 4)] {
            progress.note("a", from, to);
        }
        progress.store().unwrap();
        let progress = Progress::load(&folder, "replayed").unwrap();
        let done: Vec<u64> = (0..40).filter(|number| progress.is_done("a", *number)).collect();
        assert_eq!(done, [0, 1, 2, 3, 5, 6, 7, 8].into_iter().chain(20..30).collect::<Vec<_>>());
        assert!(!progress.is_done("b", 5));
        assert_eq!((progress.done_through("a"), progress.done_through("b")), (4, 0));
        std::fs::write(folder.join("replayed.json"), b"{\"version\":2,\"done\":{}}").unwrap();
        assert!(Progress::load(&folder, "replayed").unwrap_err().text().contains("later version"));
    }
}
