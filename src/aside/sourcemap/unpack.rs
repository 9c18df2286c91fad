//! Archives of symbols on disk: unpacked into a folder that takes its place as a whole.
//!
//! What an archive holds becomes ordinary files and folders of the new folder, and nothing else anywhere: paths are those
//! that [`super::zip`] lets through, links are never made, and a file that exists is not written to a second time.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::zip::{self, Medium, ZipError};

/// Files of symbols have hundreds of megabytes.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// Unpacks an archive into `folder`, which must not exist. Files in a folder of the archive's own name, `top`, come to lie
/// without it. Returns how many bytes they have.
pub fn unpack(medium: &dyn Medium, top: &str, folder: &Path, bytes_max: u64) -> Result<u64, ZipError> {
    let entries = zip::entries(medium, &|_| true)?;
    let said: u64 = entries.values().fold(0, |sum, entry| sum.saturating_add(entry.bytes));
    if said > bytes_max {
        return Err(ZipError::TooLarge);
    }
    make_folder(folder)?;
    let mut left = bytes_max;
    for (path, entry) in &entries {
        let inside = path.strip_prefix(top).and_then(|path| path.strip_prefix('/')).unwrap_or(path);
        let target = folder.join(inside);
        if let Some(parent) = target.parent() {
            make_folder(parent)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&target)?;
        left -= entry.unpack(medium, left.min(FILE_BYTES_MAX), &mut |piece| file.write_all(piece))?;
    }
    Ok(bytes_max - left)
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(path)
}

/// How many bytes the files of a folder have. What cannot be read counts nothing.
pub fn bytes_in(folder: &Path) -> u64 {
    let mut folders = vec![folder.to_owned()];
    let mut sum = 0u64;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(about) if about.is_dir() => folders.push(entry.path()),
                Ok(about) => sum = sum.saturating_add(about.len()),
                Err(_) => {}
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Item, archive, archive_of_a_million};
    use super::*;

    fn files(folder: &Path) -> Vec<String> {
        let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
        while let Some(at) = folders.pop() {
            for entry in fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                assert!(!path.is_symlink());
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        let mut names: Vec<String> = found
            .iter()
            .map(|path| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_come_to_lie_in_the_folder_and_nowhere_else() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("new");
        let whole = archive(&[
            Item::new("mapping.txt", b"m"),
            Item::deflated("app-1/arm64-v8a/lib.so", &[7; 100_000]),
            Item::new("../slip", b"x"),
            Item::new("/tmp/kitgate-absolute", b"x"),
            Item { mode: 0o120_777, ..Item::new("link", b"/etc") },
            Item::new("link/passwd", b"not through a link"),
            Item::new("folder/", b""),
        ]);
        assert_eq!(unpack(&whole, "app-1", &folder, 1 << 20).unwrap(), 1 + 100_000 + 18);
        assert_eq!(files(home.path()), ["new/arm64-v8a/lib.so", "new/link/passwd", "new/mapping.txt"]);
        assert_eq!(bytes_in(home.path()), 1 + 100_000 + 18);
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let folder = |name: &str| home.path().join(name);
        let two = archive(&[Item::new("a", &[1; 600]), Item::new("b", &[2; 600])]);
        assert!(matches!(unpack(&two, "", &folder("sum"), 1000), Err(ZipError::TooLarge)));
        assert_eq!(unpack(&two, "", &folder("fits"), 1200).unwrap(), 1200);
        let bomb = archive(&[Item::deflated("a", &vec![0; 16 << 20])]);
        assert!(matches!(unpack(&bomb, "", &folder("bomb"), u64::MAX), Err(ZipError::TooLarge)));
        let liar = archive(&[Item { bytes: Some(5), ..Item::deflated("a", &vec![0; 16 << 20]) }]);
        assert!(matches!(unpack(&liar, "", &folder("liar"), u64::MAX), Err(ZipError::Damaged)));
        assert!(bytes_in(&folder("liar")) < 1 << 20);
        let million = archive_of_a_million();
        assert!(matches!(unpack(&million, "", &folder("million"), u64::MAX), Err(ZipError::TooManyEntries)));
        assert!(!folder("million").exists());
        // A file that is a folder too.
        let both = archive(&[Item::new("a", b"1"), Item::new("a/b", b"2")]);
        assert!(matches!(unpack(&both, "", &folder("both"), 9), Err(ZipError::Io(_))));
    }
}
