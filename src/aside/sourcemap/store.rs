//! The archives on disk, and what is kept of them in memory.
//!
//! ```text
//! <data_dir>/rum/web/<app_id>-<env>-<version>.zip      maps, read where they are
//!               /miniapp/…
//!               /android/….zip  /android/…/            symbols, and what they are unpacked to
//!               /ios/…
//!               /.--source-map-archive-dict.json       which of those were unpacked when
//!               /.tmp/                                 what is being written
//! ```
//!
//! A file takes its place by a rename: whoever reads the old one goes on with it. A map is read from its archive when a
//! frame first asks for it, one at a time, and kept as long as there is room. What is there is looked at every three
//! minutes and after each change by a thread of its own, which also unpacks symbols.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::config::SourcemapSettings;
use crate::intake::datakit::rum::sources::{Answers, Archives, Lru, Platform, Question, Sources};

use super::books::Books;
use super::map::SourceMap;
use super::resolve::BEYOND_WAIT;
use super::tools::Slots;
use super::unpack;
use super::workers::Workers;
use super::zip::{self, Entries, Medium};

/// How often the folders are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(180);

/// An archive that was opened is taken for what is there so long, whatever was put in its place by others.
const RELOAD_AFTER: Duration = Duration::from_secs(300);

/// Archives that are open: a descriptor each, and their lists of files.
const OPEN_MAX: usize = 64;

/// Archives that are known. A release a day of a hundred applications makes as many in two years.
const ARCHIVES_MAX: usize = 65_536;

/// One map, as text. The largest bundles' have some ten megabytes.
const MAP_BYTES_MAX: u64 = 128 << 20;

/// An archive's symbols, unpacked, whatever the capacity is.
const UNPACKED_BYTES_MAX: u64 = 16 << 30;

/// What keeping that an archive has no readable map of a name costs.
const ABSENT_BYTES: usize = 64;

impl Medium for File {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, out, offset)
    }
}

/// The archives of a gateway.
#[derive(Debug)]
pub struct Store {
    /// `<data_dir>/rum`.
    root: PathBuf,
    sources: Arc<Sources>,
    open: Mutex<HashMap<ArchiveKey, Arc<Open>>>,
    maps: Mutex<Lru<MapKey, Option<Arc<SourceMap>>>>,
    books: Mutex<Books>,
    /// Reading a map takes memory beyond the cache: one at a time.
    reading: Slots,
    pub(super) tools: Slots,
    /// Bytes of archives and of what they are unpacked to.
    used: AtomicU64,
    serial: AtomicU64,
    changed: Arc<Changed>,
    workers: OnceLock<Workers>,
}

/// Wakes the thread that looks at the folders.
#[derive(Debug, Default)]
struct Changed {
    is_told: Mutex<bool>,
    woken: Condvar,
}

impl Changed {
    fn tell(&self) {
        *lock(&self.is_told) = true;
        self.woken.notify_one();
    }

    /// Until something is told, or it is time all the same.
    fn wait(&self, most: Duration) {
        let waited = self.woken.wait_timeout_while(lock(&self.is_told), most, |is_told| !*is_told);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// Whose folder an archive is in, and its file's name.
type ArchiveKey = (Platform, Box<str>);

/// A map of an archive that was opened.
type MapKey = (u64, Box<str>);

/// An archive of maps that is open.
#[derive(Debug)]
pub struct Open {
    /// Another one each time.
    serial: u64,
    file: File,
    entries: Entries,
    modified: SystemTime,
    loaded: Instant,
    used: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What panicked left nothing half done: each change is one assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// The archives below a data directory. Nothing is read before [`Store::look`].
    pub fn new(data_dir: &Path, sources: Arc<Sources>) -> Store {
        Store {
            // Answers name it.
            root: std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned()).join("rum"),
            sources,
            open: Mutex::default(),
            maps: Mutex::new(Lru::new(0)),
            books: Mutex::default(),
            reading: Slots::default(),
            tools: Slots::default(),
            used: AtomicU64::new(0),
            serial: AtomicU64::new(1),
            changed: Arc::default(),
            workers: OnceLock::new(),
        }
    }

    /// Looks, and goes on looking for as long as `settings` gives some: those of the time, none once the directory is to
    /// change hands. What is there is known at once; unpacking takes its time.
    pub fn keep_looking(
        store: &Arc<Store>,
        settings: impl Fn() -> Option<SourcemapSettings> + Send + 'static,
    ) -> io::Result<()> {
        let Some(now) = settings() else { return Ok(()) };
        store.workers.get_or_init(|| Workers::start(store, &now));
        if now.enabled {
            store.publish();
        }
        let (weak, changed) = (Arc::downgrade(store), Arc::clone(&store.changed));
        let look = move || {
            while let (Some(store), Some(settings)) = (weak.upgrade(), settings()) {
                store.look(&settings);
                drop(store);
                changed.wait(LOOK_INTERVAL);
            }
        };
        std::thread::Builder::new().name("sourcemaps".to_owned()).spawn(look)?;
        Ok(())
    }

    /// Something may have changed that is seen only by looking: settings, or the folders.
    pub fn look_again(&self) {
        self.changed.tell();
    }

    /// Has the stacks of a request resolved into `answers`, on other threads. What is returned is disconnected when there is
    /// nothing more to wait for; whoever waits shorter leaves what is found later to the next request.
    pub fn ask(
        &self,
        questions: Vec<Question>,
        answers: &Arc<Answers>,
        settings: &SourcemapSettings,
    ) -> Option<flume::Receiver<()>> {
        let deadline = Instant::now() + settings.wait + BEYOND_WAIT;
        Some(self.workers.get()?.ask(questions, answers, settings, deadline))
    }

    /// What is known to the requests.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The folder of a platform.
    pub fn folder(&self, platform: Platform) -> PathBuf {
        self.root.join(platform.name())
    }

    /// Where an archive's symbols are unpacked to.
    pub(super) fn unpacked(&self, platform: Platform, archive: &str) -> PathBuf {
        self.folder(platform).join(archive.strip_suffix(".zip").unwrap_or(archive))
    }

    /// Whether there is room for another so large archive.
    pub fn has_room(&self, bytes: u64, settings: &SourcemapSettings) -> bool {
        self.used.load(Ordering::Relaxed).saturating_add(bytes) <= settings.capacity_bytes
    }

    /// Puts an archive into its place, or says which step failed.
    pub fn put(&self, platform: Platform, name: &str, bytes: &[u8]) -> Result<(), PutError> {
        let folder = self.folder(platform);
        fs::create_dir_all(&folder).map_err(PutError::Folder)?;
        let (temporary, mut file) = self.temporary().map_err(PutError::Create)?;
        let placed =
            file.write_all(bytes).and_then(|()| file.sync_all()).map_err(PutError::Write).and_then(|()| {
                fs::rename(&temporary, folder.join(name)).map_err(PutError::Create)?;
                File::open(&folder).and_then(|folder| folder.sync_all()).map_err(PutError::Write)
            });
        if placed.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        placed?;
        self.used.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.forget(platform, name);
        Ok(())
    }

    /// Removes an archive. What it was unpacked to goes when the folders are next looked at.
    pub fn delete(&self, platform: Platform, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder(platform).join(name))?;
        self.forget(platform, name);
        Ok(())
    }

    /// Another file is in its place, or none.
    fn forget(&self, platform: Platform, name: &str) {
        lock(&self.open).remove(&(platform, Box::from(name)));
        self.publish();
        self.changed.tell();
    }

    /// A new file beside the places of archives, on the same file system.
    fn temporary(&self) -> io::Result<(PathBuf, File)> {
        let folder = self.temporary_folder();
        fs::create_dir_all(&folder)?;
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}-{serial}", std::process::id()));
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        Ok((path, file))
    }

    fn temporary_folder(&self) -> PathBuf {
        self.root.join(".tmp")
    }

    /// Looks at the folders: what is new is unpacked and told, what is gone is forgotten.
    pub fn look(&self, settings: &SourcemapSettings) {
        if !settings.enabled || !self.root.exists() {
            return self.sources.publish(Archives::new());
        }
        lock(&self.maps).set_bytes_max(settings.cache_bytes);
        self.remove_leftovers();
        self.publish();
        let mut found = Vec::new();
        for platform in [Platform::Android, Platform::Ios] {
            found.extend(self.archives(platform).into_iter().map(|(name, about)| (platform, name, about)));
        }
        self.unpack_new(&found, settings);
        self.count();
        self.publish();
    }

    /// What writers left that did not come to an end.
    fn remove_leftovers(&self) {
        let own = format!("{}-", std::process::id());
        for entry in fs::read_dir(self.temporary_folder()).into_iter().flatten().flatten() {
            // This process may be writing its own.
            if !entry.file_name().to_string_lossy().starts_with(&own) {
                remove(&entry.path());
            }
        }
    }

    fn unpack_new(&self, found: &[(Platform, String, fs::Metadata)], settings: &SourcemapSettings) {
        let path = self.root.join(super::books::FILE_NAME);
        let mut books = lock(&self.books);
        books.open(&path);
        let mut changed = false;
        for (platform, name, about) in found {
            let archive = self.folder(*platform).join(name);
            let folder = self.unpacked(*platform, name);
            let modified = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if !books.is_due(&archive, modified, folder.is_dir()) {
                continue;
            }
            changed = true;
            let result = self.unpack_one(&archive, name, &folder, settings);
            match &result {
                Ok(()) => tracing::info!(archive = %archive.display(), "symbols are unpacked"),
                // Told of once: the books know that it was tried.
                Err(error) => {
                    tracing::warn!(archive = %archive.display(), %error, "symbols cannot be unpacked");
                }
            }
            books.note(&archive, modified, result.is_ok());
        }
        let gone = books.forget_missing(|archive| {
            found.iter().any(|(platform, name, _)| self.folder(*platform).join(name) == archive)
        });
        for archive in &gone {
            // The file may come from elsewhere and name folders of others.
            let is_ours = [Platform::Android, Platform::Ios]
                .iter()
                .any(|platform| archive.parent() == Some(&*self.folder(*platform)));
            if is_ours && archive.extension().is_some_and(|end| end == "zip") {
                remove(&archive.with_extension(""));
            }
        }
        if (changed || !gone.is_empty())
            && let Err(error) = books.write(&path, || self.temporary())
        {
            tracing::warn!(path = %path.display(), %error, "cannot be written");
        }
    }

    fn unpack_one(
        &self,
        archive: &Path,
        name: &str,
        folder: &Path,
        settings: &SourcemapSettings,
    ) -> Result<(), zip::ZipError> {
        let file = File::open(archive)?;
        let (temporary, held) = self.temporary()?;
        drop(held);
        fs::remove_file(&temporary)?;
        let left = settings.capacity_bytes.saturating_sub(self.used.load(Ordering::Relaxed));
        let top = name.strip_suffix(".zip").unwrap_or(name);
        let placed = unpack::unpack(&file, top, &temporary, left.min(UNPACKED_BYTES_MAX)).and_then(|bytes| {
            self.used.fetch_add(bytes, Ordering::Relaxed);
            // A folder cannot be renamed over another: for a moment there is none.
            let (old, held) = self.temporary()?;
            drop(held);
            fs::remove_file(&old)?;
            match fs::rename(folder, &old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
            fs::rename(&temporary, folder)?;
            remove(&old);
            Ok(())
        });
        if placed.is_err() {
            remove(&temporary);
        }
        placed
    }

    /// The archives of a platform.
    fn archives(&self, platform: Platform) -> Vec<(String, fs::Metadata)> {
        let entries = fs::read_dir(self.folder(platform)).into_iter().flatten().flatten();
        let found = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok().filter(|name| name.ends_with(".zip"))?;
            // Of a link what it leads to: whoever can put one there can put a file there.
            let about = fs::metadata(entry.path()).ok().filter(fs::Metadata::is_file)?;
            Some((name, about))
        });
        found.take(ARCHIVES_MAX).collect()
    }

    /// Tells the requests which archives there are.
    fn publish(&self) {
        let mut archives = Archives::new();
        for platform in Platform::ALL {
            for (name, about) in self.archives(platform) {
                let mut state =
                    vec![about.mtime() as u64, about.mtime_nsec() as u64, about.size(), about.ino()];
                if matches!(platform, Platform::Android | Platform::Ios) {
                    // Only what is unpacked answers, and not as before once it was unpacked anew.
                    let Ok(folder) = fs::metadata(self.unpacked(platform, &name)) else { continue };
                    state.extend([folder.mtime() as u64, folder.mtime_nsec() as u64, folder.ino()]);
                }
                archives.insert((platform, name.into()), digest(&state));
            }
        }
        lock(&self.open).retain(|key, _| archives.contains_key(key));
        let open: Vec<u64> = lock(&self.open).values().map(|open| open.serial).collect();
        lock(&self.maps).retain(|(serial, _)| open.contains(serial));
        self.sources.publish(archives);
    }

    /// Counts what is on disk.
    fn count(&self) {
        self.used.store(unpack::bytes_in(&self.root), Ordering::Relaxed);
    }

    /// An archive of maps, as it is now or was at most some minutes ago; none where there is none that can be read.
    pub(super) fn open(&self, platform: Platform, name: &str, now: Instant) -> Option<Arc<Open>> {
        let key = (platform, Box::from(name));
        let held = lock(&self.open).get(&key).cloned();
        let tick = self.serial.fetch_add(1, Ordering::Relaxed);
        if let Some(open) = &held {
            open.used.store(tick, Ordering::Relaxed);
            if now.saturating_duration_since(open.loaded) < RELOAD_AFTER {
                return held;
            }
        }
        let path = self.folder(platform).join(name);
        let file = File::open(&path).ok();
        let about = file.as_ref().and_then(|file| file.metadata().ok()).filter(fs::Metadata::is_file);
        let Some((file, modified)) = file.zip(about.and_then(|about| about.modified().ok())) else {
            lock(&self.open).remove(&key);
            return None;
        };
        if let Some(open) = held.filter(|open| open.modified >= modified) {
            return Some(open);
        }
        let entries = match zip::entries(&file, &|path| path.ends_with(".map")) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::debug!(archive = %path.display(), %error, "cannot be read");
                lock(&self.open).remove(&key);
                return None;
            }
        };
        let open = Open { serial: tick, file, entries, modified, loaded: now, used: AtomicU64::new(tick) };
        let open = Arc::new(open);
        let mut all = lock(&self.open);
        while all.len() >= OPEN_MAX {
            let oldest = all.iter().min_by_key(|(_, open)| open.used.load(Ordering::Relaxed));
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            all.remove(&oldest);
        }
        all.insert(key, Arc::clone(&open));
        Some(open)
    }

    /// A map of an archive, by its path in it.
    pub(super) fn map(
        &self,
        open: &Open,
        path: &str,
        settings: &SourcemapSettings,
        deadline: Instant,
    ) -> Result<Option<Arc<SourceMap>>, OutOfTime> {
        let Some(entry) = open.entries.get(path) else { return Ok(None) };
        let key: MapKey = (open.serial, path.into());
        if let Some(map) = lock(&self.maps).get(&key) {
            return Ok(map.clone());
        }
        let _alone = self.reading.take(1, deadline).ok_or(OutOfTime)?;
        // Another may have read it meanwhile.
        if let Some(map) = lock(&self.maps).get(&key) {
            return Ok(map.clone());
        }
        let text = entry.read(&open.file, MAP_BYTES_MAX);
        let map = text.ok().and_then(|text| SourceMap::parse(&text, settings.cache_bytes / 2)).map(Arc::new);
        let bytes = map.as_ref().map_or(ABSENT_BYTES, |map| map.bytes()) + path.len();
        let mut maps = lock(&self.maps);
        maps.set_bytes_max(settings.cache_bytes);
        maps.put(key, map.clone(), bytes);
        Ok(map)
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        (lock(&self.open).len(), lock(&self.maps).len())
    }
}

/// The time for a request is over.
#[derive(Debug)]
pub struct OutOfTime;

/// Which step of putting an archive failed.
#[derive(Debug)]
pub enum PutError {
    Folder(io::Error),
    Create(io::Error),
    Write(io::Error),
}

/// Removes a file, or a folder with all that is in it; it is no matter if it is not there.
fn remove(path: &Path) {
    let removed = match fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => return,
    };
    if let Err(error) = removed {
        tracing::warn!(path = %path.display(), %error, "cannot be removed");
    }
}

/// One number for several (FNV-1a).
fn digest(numbers: &[u64]) -> u64 {
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
