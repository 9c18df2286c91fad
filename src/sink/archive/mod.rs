//! The embedded default: what arrives is written as line protocol text, one file per category and day (UTC), that a
//! person can read with `less`. No remote side, so no limits but the disk's.
//!
//!     archive/
//!       metric/
//!         2026-01-30.1.lp.gz      rotated at the size limit, then compressed
//!         2026-01-30.2.lp.gz      the rest of that day, compressed when the day had passed
//!         2026-01-31.lp           the file being written
//!       logging/ …
//!
//! Each package is one record in the file (see [`text`]): a comment line that names it, then its points, one a line.
//! A package's day is the day on which it was received. A record is written and synced before its package counts as
//! delivered, so a crash leaves at most one torn record at the end, which the next start cuts off: the package comes
//! again, with the same id. A crash between the sync and the spool's cursor writes a package twice, again with the same id.
//!
//! A raw package is a file of its own, a request as it came: text up to the empty line, then the body.
//!
//!       rum-replay/
//!         2026-01-31/
//!           dk_0a1b2c3d4e5f6g7h8i9j.http
//!
//! This folder knows names and text; `upload::archive` writes the files.

pub mod text;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::point::Category;

pub const NAME: &str = "archive";

/// A file is rotated when it has grown past this: large enough for few files, small enough for an editor.
pub const ROTATE_BYTES_DEFAULT: u64 = 64 << 20;

/// Where the archive lies and how large its files grow.
#[derive(Clone, Debug)]
pub struct Archive {
    pub dir: PathBuf,
    pub rotate_bytes: u64,
}

/// A day, UTC, as file names carry it: `2026-01-31`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(String);

impl Day {
    /// The day of a wall clock time. A time that no calendar has is the first day there is.
    pub fn of_ms(ms: u64) -> Day {
        let ms = i64::try_from(ms).unwrap_or(0);
        let stamp = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        Day(stamp.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(text: &str) -> Option<Day> {
        let digits = |range: std::ops::Range<usize>| {
            text.get(range).is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let dashes = text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
        (text.len() == 10 && dashes && digits(0..4) && digits(5..7) && digits(8..10))
            .then(|| Day(text.to_owned()))
    }
}

/// What a file name in a category's folder says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileName {
    /// `<day>.lp`: being written, or left behind by a run that ended on an earlier day.
    Open(Day),
    /// `<day>.<n>.lp`: rotated, to be compressed.
    Rotated(Day, u32),
    /// `<day>.<n>.lp.gz`: done.
    Compressed(Day, u32),
}

impl FileName {
    pub fn parse(name: &str) -> Option<FileName> {
        let (name, compressed) = match name.strip_suffix(".gz") {
            Some(rest) => (rest, true),
            None => (name, false),
        };
        let name = name.strip_suffix(".lp")?;
        match (name.split_once('.'), compressed) {
            (None, false) => Day::parse(name).map(FileName::Open),
            (None, true) => None,
            (Some((day, number)), _) => {
                let day = Day::parse(day)?;
                let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
                let number: u32 = number.parse().ok().filter(|_| plain)?;
                Some(if compressed {
                    FileName::Compressed(day, number)
                } else {
                    FileName::Rotated(day, number)
                })
            }
        }
    }

    pub fn text(&self) -> String {
        match self {
            FileName::Open(day) => format!("{}.lp", day.0),
            FileName::Rotated(day, number) => format!("{}.{number}.lp", day.0),
            FileName::Compressed(day, number) => format!("{}.{number}.lp.gz", day.0),
        }
    }

    /// The number that the next rotated file of `day` takes: past every one there is.
    pub fn next_number<'a>(names: impl Iterator<Item = &'a FileName>, day: &Day) -> u32 {
        names
            .filter_map(|name| match name {
                FileName::Rotated(of, number) | FileName::Compressed(of, number) if of == day => {
                    Some(*number)
                }
                _ => None,
            })
            .max()
            .unwrap_or(0)
            .saturating_add(1)
    }
}

impl Archive {
    /// The file of a raw package that was sent to `path`.
    pub fn raw_path(&self, path: &str, day: &Day, package_id: &str) -> PathBuf {
        self.dir.join(raw_folder(path)).join(&day.0).join(format!("{package_id}.http"))
    }

    /// The folder of one category.
    pub fn folder(&self, category: Category) -> PathBuf {
        self.dir.join(category.name())
    }

    /// The path of one file.
    pub fn path(folder: &Path, name: &FileName) -> PathBuf {
        folder.join(name.text())
    }
}

/// `/v1/write/rum/replay` is `rum-replay`.
fn raw_folder(path: &str) -> String {
    let path = path.strip_prefix("/v1/").unwrap_or(path);
    let path = path.strip_prefix("write/").unwrap_or(path).trim_matches('/');
    let name: String =
        path.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '-' }).collect();
    if name.is_empty() { "raw".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_utc() {
        assert_eq!(Day::of_ms(0).as_str(), "1970-01-01");
        assert_eq!(Day::of_ms(1_769_903_999_999).as_str(), "2026-01-31");
        assert_eq!(Day::of_ms(1_769_904_000_000).as_str(), "2026-02-01");
        assert_eq!(Day::of_ms(u64::MAX).as_str(), "1970-01-01");
    }

    #[test]
    fn file_names_round_trip_and_foreign_ones_are_ignored() {
        let day = Day::of_ms(1_769_903_999_999);
        for name in
            [FileName::Open(day.clone()), FileName::Rotated(day.clone(), 3), FileName::Compressed(day, 12)]
        {
            assert_eq!(FileName::parse(&name.text()), Some(name.clone()));
        }
        for foreign in [
            "notes.txt",
            "2026-01-31",
            "2026-01-31.lp.gz",
            "2026-1-31.lp",
            "2026-01-31.x.lp",
            "2026-01-31.+1.lp",
            "2026-01-31..lp",
            "2026-01-31.1.lp.gz.tmp",
            "日志日志.lp",
            "",
        ] {
            assert_eq!(FileName::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn numbers_go_on_past_the_compressed_ones() {
        let (day, other) = (Day::of_ms(0), Day::of_ms(86_400_000));
        let names = [
            FileName::Open(day.clone()),
            FileName::Compressed(day.clone(), 1),
            FileName::Rotated(day.clone(), 2),
            FileName::Compressed(other.clone(), 9),
        ];
        assert_eq!(FileName::next_number(names.iter(), &day), 3);
        assert_eq!(FileName::next_number(names.iter(), &other), 10);
        assert_eq!(FileName::next_number([].iter(), &day), 1);
    }

    #[test]
    fn raw_packages_have_folders_by_their_paths() {
        let archive = Archive { dir: "/a".into(), rotate_bytes: 1 };
        let path = |path| archive.raw_path(path, &Day::of_ms(0), "dk_1").display().to_string();
        assert_eq!(path("/v1/write/rum/replay"), "/a/rum-replay/1970-01-01/dk_1.http");
        assert_eq!(path("/v1/upload/profiling"), "/a/upload-profiling/1970-01-01/dk_1.http");
        assert_eq!(path("/../etc"), "/a/---etc/1970-01-01/dk_1.http");
        assert_eq!(path("/"), "/a/raw/1970-01-01/dk_1.http");
    }
}
