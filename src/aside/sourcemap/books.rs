//! Which archives were unpacked when, in the file in which DataKit notes it: a directory can change hands either way.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Below the folder of all archives.
pub const FILE_NAME: &str = ".--source-map-archive-dict.json";

/// The file is not read past this.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Go's time of nothing.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Archives by their paths.
#[derive(Debug, Default)]
pub struct Books {
    archives: BTreeMap<PathBuf, Note>,
    /// Those that could not be unpacked as they were then: they are not tried again and again.
    refused: HashMap<PathBuf, SystemTime>,
    opened: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    mod_time: String,
    extract_time: String,
}

impl Books {
    /// Reads the file, the first time. One that cannot be read is as good as none.
    pub fn open(&mut self, path: &Path) {
        if std::mem::replace(&mut self.opened, true) {
            return;
        }
        let mut text = Vec::new();
        let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut text));
        if read.is_ok() {
            self.archives = serde_json::from_slice(&text).unwrap_or_default();
        }
    }

    /// Whether an archive is to be unpacked: what it was unpacked to is not there or of another, or nobody knows.
    pub fn is_due(&self, archive: &Path, modified: SystemTime, is_unpacked: bool) -> bool {
        if self.refused.get(archive) == Some(&modified) {
            return false;
        }
        let Some(note) = self.archives.get(archive).filter(|_| is_unpacked) else { return true };
        let time = |text: &str| text.parse::<Timestamp>().ok().map(SystemTime::from);
        time(&note.mod_time) != Some(modified) || time(&note.extract_time).is_none_or(|time| time < modified)
    }

    /// An archive that was last changed at a time was unpacked, or could not be.
    pub fn note(&mut self, archive: &Path, modified: SystemTime, is_unpacked: bool) {
        if is_unpacked {
            self.refused.remove(archive);
        } else {
            self.refused.insert(archive.to_owned(), modified);
        }
        let text = |time: SystemTime| {
            Timestamp::try_from(time).map_or_else(|_| NEVER.to_owned(), |time| time.to_string())
        };
        let before = self.archives.get(archive).map(|note| note.extract_time.clone());
        // Clocks differ, and a file may be from the future: unpacked is never before changed.
        let now = is_unpacked.then(|| text(SystemTime::now().max(modified)));
        let extract_time = now.or(before).unwrap_or_else(|| NEVER.to_owned());
        self.archives.insert(archive.to_owned(), Note { mod_time: text(modified), extract_time });
    }

    /// Forgets archives that are not there any more, and names them.
    pub fn forget_missing(&mut self, is_there: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
        let gone: Vec<PathBuf> = self.archives.keys().filter(|path| !is_there(path)).cloned().collect();
        for path in &gone {
            self.archives.remove(path);
            self.refused.remove(path);
        }
        gone
    }

    /// Writes the file, as a whole or not at all.
    pub fn write(&self, path: &Path, temporary: impl Fn() -> io::Result<(PathBuf, File)>) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(&self.archives)?;
        let (from, mut file) = temporary()?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(from, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_archive_is_due_until_it_is_unpacked_and_when_it_is_another() {
        let (archive, old) = (Path::new("/a.zip"), SystemTime::UNIX_EPOCH + Duration::from_secs(1000));
        let mut books = Books::default();
        assert!(books.is_due(archive, old, false) && books.is_due(archive, old, true));
        books.note(archive, old, true);
        assert!(!books.is_due(archive, old, true) && books.is_due(archive, old, false));
        assert!(books.is_due(archive, old + Duration::from_secs(9), true));
        // One that cannot be unpacked is tried once.
        let new = old + Duration::from_secs(9);
        books.note(archive, new, false);
        assert!(
            !books.is_due(archive, new, true) && books.is_due(archive, new + Duration::from_secs(1), true)
        );
        // One from the future is not unpacked for ever.
        let future = SystemTime::now() + Duration::from_secs(1000);
        books.note(archive, future, true);
        assert!(!books.is_due(archive, future, true));
        assert_eq!(books.forget_missing(|_| false), [archive]);
        assert!(books.is_due(archive, new, true));
    }

    #[test]
    fn the_file_is_datakits() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(FILE_NAME);
        let theirs = r#"{
    "/usr/local/datakit/data/rum/android/app-prod-1.zip": {
        "mod_time": "2026-01-02T03:04:05.678901234+08:00",
        "extract_time": "2026-01-02T03:05:00+08:00"
    },
    "/x.zip": { "mod_time": "2026-01-02T03:04:05Z", "extract_time": "0001-01-01T00:00:00Z" }
}"#;
        fs::write(&path, theirs).unwrap();
        let mut books = Books::default();
        books.open(&path);
        let modified = |text: &str| SystemTime::from(text.parse::<Timestamp>().unwrap());
        let app = Path::new("/usr/local/datakit/data/rum/android/app-prod-1.zip");
        assert!(!books.is_due(app, modified("2026-01-01T19:04:05.678901234Z"), true));
        assert!(books.is_due(app, modified("2026-01-01T19:04:06Z"), true));
        assert!(books.is_due(Path::new("/x.zip"), modified("2026-01-02T03:04:05Z"), true));
        books.note(Path::new("/x.zip"), modified("2026-01-02T03:04:05Z"), true);
        let temporary = || {
            let path = home.path().join("tmp");
            Ok((path.clone(), File::create(path)?))
        };
        books.write(&path, temporary).unwrap();
        let mut again = Books::default();
        again.open(&path);
        assert_eq!(again.archives, books.archives);
        fs::write(&path, "{ broken").unwrap();
        let mut none = Books::default();
        none.open(&path);
        assert!(none.archives.is_empty());
    }
}
