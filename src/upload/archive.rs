//! Writes the archive's files (see [`crate::sink::archive`]): append, sync, rotate, compress. All of it on the
//! blocking pool; a category's file is written by one job at a time.
//!
//! What is not whole is never cut: a file that ends with a torn package is rotated out of the way and a new one begun. The
//! package was not complete, so it comes again, and whoever reads the old file knows the torn one by its comment line.

use std::array;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::write::GzEncoder;

use super::body::{self, Body, Prepared, Render};
use super::carrier::{Attempt, Carrier};
use super::env::Env;
use crate::point::CATEGORY_COUNT;
use crate::sink::archive::{self, Archive, Day, FileName, text};
use crate::sink::{Accepts, Coding, Format, Outcome, Parcel};
use crate::spool::Block;

/// Rotated files are compressed fast: they are many under load, and the cores are the shards'.
const GZIP_LEVEL: u32 = 1;

/// A file that is being compressed; left over after a crash, it is overwritten when the job is done again.
const PART_SUFFIX: &str = ".part";

/// The text form of packages.
const TEXT: Accepts =
    Accepts { format: Format::LineProtocol, coding: Coding::Identity, joined_members: true };

/// Brings packages to the archive.
pub struct ArchiveCarrier<E> {
    env: E,
    render: Render,
    files: Arc<[Mutex<Folder>; CATEGORY_COUNT]>,
    archive: Archive,
}

impl<E: Env> ArchiveCarrier<E> {
    pub fn new(archive: &Archive, env: E, render: Render) -> ArchiveCarrier<E> {
        let files = array::from_fn(|index| {
            let category = u8::try_from(index).ok().and_then(crate::point::Category::from_index);
            let path = category.map_or_else(|| archive.dir.clone(), |category| archive.folder(category));
            Mutex::new(Folder { path, rotate_bytes: archive.rotate_bytes, open: None })
        });
        ArchiveCarrier { env, render, files: Arc::new(files), archive: archive.clone() }
    }
}

impl<E: Env> Carrier for ArchiveCarrier<E> {
    fn name(&self) -> &'static str {
        archive::NAME
    }

    fn targets(&self) -> usize {
        1
    }

    fn shown(&self, _target: usize) -> String {
        self.archive.dir.display().to_string()
    }

    async fn prepare(&self, parcel: &Parcel<'_>, blocks: Vec<Block>) -> io::Result<Prepared> {
        if parcel.raw.is_some() {
            return Ok(body::raw(&blocks, 0));
        }
        let render = self.render;
        self.env.blocking(move || body::converted(&blocks, TEXT, render)).await?
    }

    async fn attempt(&self, _target: usize, parcel: &Parcel<'_>, body: &Body) -> Attempt {
        if let Some(raw) = &parcel.raw {
            let path = self.archive.raw_path(raw.path, &Day::of_ms(parcel.received_ms), parcel.package_id);
            let parts = body.parts.clone();
            return outcome(self.env.blocking(move || write_raw(&path, &parts)).await);
        }
        let lines = body.parts.concat();
        let mut record = Vec::with_capacity(lines.len() + 256);
        text::comment(parcel, lines.len() as u64, crc32c::crc32c(&lines), &mut record);
        record.extend_from_slice(&lines);
        let (files, index, day) =
            (Arc::clone(&self.files), parcel.category.index(), Day::of_ms(parcel.received_ms));
        let job = move || {
            let Some(folder) = files.get(index) else {
                return Err(io::Error::other("BUG: no such category"));
            };
            let finished = folder.lock().unwrap_or_else(PoisonError::into_inner).append(&day, &record)?;
            // Not under the lock: the next package may be written meanwhile.
            for path in finished {
                if let Err(error) = compress(&path) {
                    tracing::warn!(file = %path.display(), %error, "an archive file stays uncompressed until the next start");
                }
            }
            Ok(())
        };
        outcome(self.env.blocking(job).await)
    }
}

fn outcome(written: io::Result<io::Result<()>>) -> Attempt {
    match written.and_then(|result| result) {
        Ok(()) => Attempt { outcome: Outcome::Delivered, status: None, text: String::new() },
        Err(error) => Attempt { outcome: Outcome::Retry, status: None, text: error.to_string() },
    }
}

/// Writes a raw package as a file of its own: it is there whole, under its name, or not at all.
fn write_raw(path: &Path, parts: &[Bytes]) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Err(io::Error::other("BUG: a file without a folder")) };
    if !folder.is_dir() {
        std::fs::create_dir_all(folder)?;
        for dir in folder.ancestors().skip(1).take(3).filter(|dir| !dir.as_os_str().is_empty()) {
            sync_dir(dir)?;
        }
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(PART_SUFFIX);
    let part = path.with_file_name(name);
    let mut file = File::create(&part)?;
    for bytes in parts {
        file.write_all(bytes)?;
    }
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    sync_dir(folder)
}

/// One category's folder.
struct Folder {
    path: PathBuf,
    rotate_bytes: u64,
    open: Option<OpenFile>,
}

struct OpenFile {
    day: Day,
    file: File,
    /// Length of its whole packages.
    bytes: u64,
}

impl Folder {
    /// Appends one package to the file of `day` and syncs it. Gives the files that can be compressed now.
    fn append(&mut self, day: &Day, record: &[u8]) -> io::Result<Vec<PathBuf>> {
        let mut finished = Vec::new();
        let mut open = match self.open.take() {
            Some(open) if open.day == *day && open.bytes < self.rotate_bytes => open,
            Some(open) if open.day == *day => {
                drop(open);
                finished.push(self.rotate(day)?);
                self.open(day, &mut finished)?
            }
            _ => {
                self.sweep(day, &mut finished)?;
                self.open(day, &mut finished)?
            }
        };
        let written = open.file.write_all(record).and_then(|()| open.file.sync_data());
        if let Err(error) = written {
            // Back to whole packages. If that fails too, the next open finds a torn one and leaves the file behind.
            let _ = open.file.set_len(open.bytes).and_then(|()| open.file.sync_data());
            return Err(error);
        }
        open.bytes += record.len() as u64;
        self.open = Some(open);
        Ok(finished)
    }

    fn open(&self, day: &Day, finished: &mut Vec<PathBuf>) -> io::Result<OpenFile> {
        let path = Archive::path(&self.path, &FileName::Open(day.clone()));
        if let Ok(mut file) = OpenOptions::new().read(true).write(true).open(&path) {
            let bytes = file.metadata()?.len();
            if bytes < self.rotate_bytes && is_whole(&mut file, bytes)? {
                file.seek(SeekFrom::Start(bytes))?;
                return Ok(OpenFile { day: day.clone(), file, bytes });
            }
            drop(file);
            finished.push(self.rotate(day)?);
        }
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        sync_dir(&self.path)?;
        Ok(OpenFile { day: day.clone(), file, bytes: 0 })
    }

    /// Gives the open file of `day` its number.
    fn rotate(&self, day: &Day) -> io::Result<PathBuf> {
        let names = self.names()?;
        let number = FileName::next_number(names.iter(), day);
        let to = Archive::path(&self.path, &FileName::Rotated(day.clone(), number));
        std::fs::rename(Archive::path(&self.path, &FileName::Open(day.clone())), &to)?;
        sync_dir(&self.path)?;
        Ok(to)
    }

    /// Makes the folder if there is none, and gathers what an earlier run or day has left to be finished.
    fn sweep(&self, today: &Day, finished: &mut Vec<PathBuf>) -> io::Result<()> {
        if !self.path.is_dir() {
            std::fs::create_dir_all(&self.path)?;
            for dir in self.path.ancestors().skip(1).take(2).filter(|dir| !dir.as_os_str().is_empty()) {
                sync_dir(dir)?;
            }
        }
        for name in self.names()? {
            match name {
                FileName::Open(day) if day < *today => finished.push(self.rotate(&day)?),
                FileName::Rotated(..) => finished.push(Archive::path(&self.path, &name)),
                FileName::Open(_) | FileName::Compressed(..) => {}
            }
        }
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<FileName>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            if let Some(name) = entry?.file_name().to_str().and_then(FileName::parse) {
                names.push(name);
            }
        }
        Ok(names)
    }
}

/// Whether the file holds whole packages only: goes from comment to comment, and checks the last package's lines.
fn is_whole(file: &mut File, len: u64) -> io::Result<bool> {
    let mut at = 0;
    let mut window = Vec::new();
    while at < len {
        file.seek(SeekFrom::Start(at))?;
        window.clear();
        (&*file).take(text::COMMENT_BYTES_MAX as u64).read_to_end(&mut window)?;
        let Some(comment) = text::parse_comment(&window) else { return Ok(false) };
        let lines_at = at + comment.line_bytes as u64;
        let Some(next) = lines_at.checked_add(comment.bytes).filter(|next| *next <= len) else {
            return Ok(false);
        };
        if next == len {
            file.seek(SeekFrom::Start(lines_at))?;
            let mut lines = Vec::new();
            (&*file).take(comment.bytes).read_to_end(&mut lines)?;
            return Ok(crc32c::crc32c(&lines) == comment.crc);
        }
        at = next;
    }
    Ok(true)
}

/// `x.lp` becomes `x.lp.gz`. Interrupted anywhere, it can be done again.
fn compress(path: &Path) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".gz");
    let done = path.with_file_name(&name);
    name.push(PART_SUFFIX);
    let part = path.with_file_name(&name);
    let mut from = match File::open(path) {
        // Another job was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut encoder = GzEncoder::new(File::create(&part)?, flate2::Compression::new(GZIP_LEVEL));
    io::copy(&mut from, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    std::fs::rename(&part, &done)?;
    if let Some(folder) = path.parent() {
        sync_dir(folder)?;
    }
    std::fs::remove_file(path)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::{Category, Route};
    use crate::upload::body::Unreadable;
    use crate::upload::testing::source::frame;
    use crate::upload::testing::{Sim, WALL_START_MS};

    const DAY_MS: u64 = 86_400_000;

    /// A point a payload: `<seq>;` becomes a line.
    fn render(points: &[u8], out: &mut Vec<u8>) -> Result<u64, Unreadable> {
        out.extend_from_slice(b"m seq=");
        out.extend_from_slice(points.strip_suffix(b";").ok_or(Unreadable)?);
        out.extend_from_slice(b"i 1\n");
        Ok(1)
    }

    struct World {
        sim: Sim,
        carrier: ArchiveCarrier<Sim>,
        dir: tempfile::TempDir,
    }

    impl World {
        fn new(rotate_bytes: u64) -> World {
            World::at(tempfile::tempdir().unwrap(), rotate_bytes)
        }

        fn at(dir: tempfile::TempDir, rotate_bytes: u64) -> World {
            let sim = Sim::new();
            let archive = Archive { dir: dir.path().join("archive"), rotate_bytes };
            World { carrier: ArchiveCarrier::new(&archive, sim.clone(), render), sim, dir }
        }

        fn restarted(self, rotate_bytes: u64) -> World {
            World::at(self.dir, rotate_bytes)
        }

        fn deliver(&self, id: &str, seqs: std::ops::Range<u64>, received_ms: u64) -> Attempt {
            let blocks: Vec<Block> = seqs.map(|seq| frame(seq, "", 1).block).collect();
            let route = Route::default();
            self.sim.run(async {
                let parcel = Parcel {
                    category: Category::Logging,
                    route: &route,
                    package_id: id,
                    points: 0,
                    received_ms,
                    raw: None,
                };
                let prepared = self.carrier.prepare(&parcel, blocks).await.unwrap();
                let parcel = Parcel { points: prepared.points, ..parcel };
                self.carrier.attempt(0, &parcel, &prepared.body).await
            })
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join("archive/logging").join(name)
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.path("")).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    fn gunzip(path: &Path) -> String {
        let mut out = String::new();
        flate2::read::MultiGzDecoder::new(File::open(path).unwrap()).read_to_string(&mut out).unwrap();
        out
    }

    #[test]
    fn packages_are_text_that_a_person_can_read() {
        let world = World::new(1 << 20);
        assert_eq!(world.deliver("dk_a", 0..2, WALL_START_MS).outcome, Outcome::Delivered);
        assert_eq!(world.deliver("dk_b", 2..3, WALL_START_MS + 5).outcome, Outcome::Delivered);
        let crc = |lines: &str| crc32c::crc32c(lines.as_bytes());
        let (first, second) = ("m seq=0i 1\nm seq=1i 1\n", "m seq=2i 1\n");
        assert_eq!(
            std::fs::read_to_string(world.path("2026-01-31.lp")).unwrap(),
            format!(
                "# dk_a points=2 received=2026-01-31T08:15:30.000Z bytes=22 crc32c={:08x}\n{first}\
                 # dk_b points=1 received=2026-01-31T08:15:30.005Z bytes=11 crc32c={:08x}\n{second}",
                crc(first),
                crc(second)
            )
        );
    }

    #[test]
    fn grown_files_are_numbered_and_compressed() {
        let world = World::new(100);
        for seq in 0..6 {
            assert_eq!(
                world.deliver(&format!("dk_{seq}"), seq..seq + 1, WALL_START_MS).outcome,
                Outcome::Delivered
            );
        }
        assert_eq!(world.names(), ["2026-01-31.1.lp.gz", "2026-01-31.2.lp.gz", "2026-01-31.lp"]);
        let all = [
            gunzip(&world.path("2026-01-31.1.lp.gz")),
            gunzip(&world.path("2026-01-31.2.lp.gz")),
            std::fs::read_to_string(world.path("2026-01-31.lp")).unwrap(),
        ];
        let lines: Vec<&str> =
            all.iter().flat_map(|text| text.lines()).filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines, (0..6).map(|seq| format!("m seq={seq}i 1")).collect::<Vec<_>>());
    }

    #[test]
    fn a_new_day_is_a_new_file_and_old_packages_keep_their_day() {
        let world = World::new(1 << 20);
        world.deliver("dk_a", 0..1, WALL_START_MS);
        world.deliver("dk_b", 1..2, WALL_START_MS + DAY_MS);
        assert_eq!(world.names(), ["2026-01-31.1.lp.gz", "2026-02-01.lp"]);
        world.deliver("dk_c", 2..3, WALL_START_MS);
        assert_eq!(world.names(), ["2026-01-31.1.lp.gz", "2026-01-31.lp", "2026-02-01.lp"]);
        assert!(std::fs::read_to_string(world.path("2026-01-31.lp")).unwrap().starts_with("# dk_c "));
    }

    #[test]
    fn a_restart_appends_and_a_torn_package_is_left_behind() {
        let world = World::new(1 << 20);
        world.deliver("dk_a", 0..1, WALL_START_MS);
        let world = world.restarted(1 << 20);
        world.deliver("dk_b", 1..3, WALL_START_MS);
        assert_eq!(world.names(), ["2026-01-31.lp"]);
        let whole = std::fs::read(world.path("2026-01-31.lp")).unwrap();
        let first = text::parse_comment(&whole).unwrap();
        let second_at = first.line_bytes + first.bytes as usize;

        let mut zeros = whole.clone();
        let zeros_at = zeros.len() - 4;
        zeros[zeros_at..].fill(0);
        let mut world = world;
        for torn in [&whole[..second_at + 1], &whole[..whole.len() - 1], &zeros] {
            std::fs::remove_dir_all(world.path("")).unwrap();
            std::fs::create_dir(world.path("")).unwrap();
            std::fs::write(world.path("2026-01-31.lp"), torn).unwrap();
            std::fs::write(world.path("2026-01-31.1.lp.gz.part"), "cut off").unwrap();
            world = world.restarted(1 << 20);
            world.deliver("dk_b", 1..3, WALL_START_MS);
            assert_eq!(world.names(), ["2026-01-31.1.lp.gz", "2026-01-31.lp"]);
            assert_eq!(gunzip(&world.path("2026-01-31.1.lp.gz")).as_bytes(), torn);
            assert_eq!(std::fs::read(world.path("2026-01-31.lp")).unwrap(), whole[second_at..]);
        }
    }

    #[test]
    fn what_an_earlier_run_left_uncompressed_is_compressed() {
        let world = World::new(1 << 20);
        world.deliver("dk_a", 0..1, WALL_START_MS);
        std::fs::write(world.path("2026-01-31.7.lp"), "m a=1 1\n").unwrap();
        std::fs::write(world.path("2026-01-30.lp"), "m b=1 1\n").unwrap();
        let world = world.restarted(1 << 20);
        world.deliver("dk_b", 0..1, WALL_START_MS);
        assert_eq!(world.names(), ["2026-01-30.1.lp.gz", "2026-01-31.7.lp.gz", "2026-01-31.lp"]);
        assert_eq!(gunzip(&world.path("2026-01-31.7.lp.gz")), "m a=1 1\n");
    }

    #[test]
    fn a_disk_that_refuses_is_tried_again() {
        let world = World::new(1 << 20);
        std::fs::write(world.dir.path().join("archive"), "a file where the folder should be").unwrap();
        let attempt = world.deliver("dk_a", 0..1, WALL_START_MS);
        assert_eq!((attempt.outcome, attempt.status), (Outcome::Retry, None));
        std::fs::remove_file(world.dir.path().join("archive")).unwrap();
        assert_eq!(world.deliver("dk_a", 0..1, WALL_START_MS).outcome, Outcome::Delivered);
    }
}
