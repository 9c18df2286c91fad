//! The disk as the spool sees it: a directory of its own, files read and written in whole sectors, and the two
//! promises everything rests on: [`SegmentFile::sync`] makes the contents durable, [`Disk::sync_dir`] the names.
//!
//! Two implementations: `direct` over the runtime's files, and `memory`, which forgets at a crash what was not synced,
//! tears what was on its way, and fails when told to. No method is called again after its future was dropped half-way
//! without the file being given up: a write may still be under way.

use std::future::Future;
use std::io;
use std::ops::{Deref, DerefMut};

pub mod direct;
#[cfg(test)]
pub mod memory;

/// The directory of one log.
pub trait Disk: 'static {
    type File: SegmentFile<Buf = Self::Buf>;
    /// Memory that a file of this disk can be written from.
    type Buf: DerefMut<Target = [u8]>;

    /// A buffer of `bytes`, a multiple of the sector, with unspecified contents.
    fn alloc(&self, bytes: usize) -> Self::Buf;

    /// Names and lengths of the plain files here.
    fn list(&self) -> impl Future<Output = io::Result<Vec<(String, u64)>>>;

    /// A file that exists.
    fn open(&self, name: &str) -> impl Future<Output = io::Result<Self::File>>;

    /// A new file of this length, its room reserved where the file system can do that. No trace is left of a failure,
    /// as far as that is possible.
    fn create(&self, name: &str, bytes: u64) -> impl Future<Output = io::Result<Self::File>>;

    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &str, to: &str) -> impl Future<Output = io::Result<()>>;

    fn remove(&self, name: &str) -> impl Future<Output = io::Result<()>>;

    /// Cuts a file that nobody has open.
    fn truncate(&self, name: &str, bytes: u64) -> impl Future<Output = io::Result<()>>;

    /// Makes created, renamed and removed names durable.
    fn sync_dir(&self) -> impl Future<Output = io::Result<()>>;

    /// Bytes that can still be had from the file system; none if that cannot be told.
    fn free_bytes(&self) -> impl Future<Output = io::Result<Option<u64>>>;

    /// What a sync is worth here.
    fn durability(&self) -> impl Future<Output = io::Result<Durability>>;
}

/// What a successful sync is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Survives a power cut, as far as the device keeps its word.
    #[default]
    Disk,
    /// The same, but through the page cache: after a failed sync less is known.
    Buffered,
    /// A layer over other file systems, as containers have: goes with the container.
    Layer,
    /// Memory: survives a kill of the process and nothing more.
    Memory,
}

impl std::fmt::Display for Durability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Durability::Disk => "a disk with direct I/O",
            Durability::Buffered => "a file system without direct I/O",
            Durability::Layer => "a container's own layer, which goes with the container",
            Durability::Memory => "memory, which a restart of the machine clears",
        })
    }
}

/// An open file. Dropping it closes it.
pub trait SegmentFile: 'static {
    type Buf;
    /// What a read gave.
    type Read: Deref<Target = [u8]>;

    /// Writes the whole buffer at `offset`, a multiple of the sector, or fails.
    fn write_at(&self, buf: Self::Buf, offset: u64) -> impl Future<Output = io::Result<()>>;

    /// Reads up to `len` bytes; fewer at the end of the file. Both are multiples of the sector.
    fn read_at(&self, offset: u64, len: usize) -> impl Future<Output = io::Result<Self::Read>>;

    /// Makes everything written so far durable. After an error nothing is known about any of it, and a later success
    /// says nothing either.
    fn sync(&self) -> impl Future<Output = io::Result<()>>;

    /// Whether the file still has a name. Syncing one that has none succeeds and means nothing.
    fn is_linked(&self) -> bool;
}

/// Whether an error says that there is no room, which is a state that ends, and not a defect.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// How often a sector that start-up depends on is read before it counts as unreadable.
const READ_ATTEMPTS: usize = 8;
/// How often a segment is opened at start before all of it counts as unreadable, which is a lot to lose.
const OPEN_ATTEMPTS: usize = 20;

/// A file, opened with some insistence. None: the device cannot give it, now or ever. Other errors may be of the machine
/// and not of the file, and are told.
pub(super) async fn open_file<D: Disk>(disk: &D, name: &str) -> io::Result<Option<D::File>> {
    const EIO: i32 = 5;
    let mut attempt = 1;
    loop {
        match disk.open(name).await {
            Ok(file) => return Ok(Some(file)),
            Err(error) if error.raw_os_error() != Some(EIO) => return Err(error),
            Err(_) if attempt < OPEN_ATTEMPTS => attempt += 1,
            Err(error) => {
                tracing::error!(file = name, %error, "cannot be opened");
                return Ok(None);
            }
        }
    }
}

/// One sector, read with some insistence.
pub(super) async fn read_sector<F: SegmentFile>(file: &F, offset: u64) -> io::Result<F::Read> {
    let mut attempt = 1;
    loop {
        match file.read_at(offset, super::format::SECTOR_BYTES).await {
            Err(_) if attempt < READ_ATTEMPTS => attempt += 1,
            other => return other,
        }
    }
}
