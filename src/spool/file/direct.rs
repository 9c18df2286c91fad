//! The disk itself: direct I/O through the runtime, names through its pool of blocking threads.

use super::{Disk, Durability, SegmentFile};
use crate::rt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

// statfs(2).
const TMPFS_MAGIC: u64 = 0x0102_1994;
const RAMFS_MAGIC: u64 = 0x8584_58f6;
const OVERLAYFS_MAGIC: u64 = 0x794c_7630;

/// A directory on a real file system. Every log has its own.
pub struct DirectDisk {
    dir: PathBuf,
}

/// An open file in it.
pub struct DirectFile {
    file: rt::file::File,
}

/// Aligned memory.
pub struct DirectBuf(rt::file::AlignedBuf);

const _: () = assert!(crate::spool::format::SECTOR_BYTES.is_multiple_of(rt::file::ALIGN_BYTES));

impl Deref for DirectBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for DirectBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.as_mut_slice()
    }
}

impl DirectDisk {
    /// Opens the directory, creating it, durably, if there is none.
    pub async fn open(dir: &Path) -> io::Result<DirectDisk> {
        rt::file::create_dir_all(dir).await?;
        if let Some(parent) = dir.parent() {
            rt::file::sync_dir(parent).await?;
        }
        Ok(DirectDisk { dir: dir.to_path_buf() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Disk for DirectDisk {
    type File = DirectFile;
    type Buf = DirectBuf;

    fn alloc(&self, bytes: usize) -> DirectBuf {
        DirectBuf(rt::file::AlignedBuf::new(bytes))
    }

    async fn list(&self) -> io::Result<Vec<(String, u64)>> {
        rt::file::list(&self.dir).await
    }

    async fn open(&self, name: &str) -> io::Result<DirectFile> {
        let file = rt::file::File::open(&self.path(name), rt::file::OpenMode::Existing).await?;
        Ok(DirectFile { file })
    }

    async fn create(&self, name: &str, bytes: u64) -> io::Result<DirectFile> {
        let path = self.path(name);
        let file = rt::file::File::open(&path, rt::file::OpenMode::CreateNew).await?;
        let reserved = match file.allocate(bytes).await {
            // No reservations here: the length alone, and room is found out when writing.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.set_len(name, bytes).await,
            other => other,
        };
        match reserved {
            Ok(()) => Ok(DirectFile { file }),
            Err(error) => {
                // The first error is the one to tell; a left-over file is found and removed at the next start.
                let _ = rt::file::remove(&path).await;
                Err(error)
            }
        }
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        rt::file::rename(&self.path(from), &self.path(to)).await
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        rt::file::remove(&self.path(name)).await
    }

    async fn truncate(&self, name: &str, bytes: u64) -> io::Result<()> {
        self.set_len(name, bytes).await
    }

    async fn sync_dir(&self) -> io::Result<()> {
        rt::file::sync_dir(&self.dir).await
    }

    async fn free_bytes(&self) -> io::Result<Option<u64>> {
        rt::file::free_bytes(&self.dir).await.map(Some)
    }

    async fn durability(&self) -> io::Result<Durability> {
        let medium = rt::file::medium(&self.dir).await?;
        Ok(match medium.file_system {
            TMPFS_MAGIC | RAMFS_MAGIC => Durability::Memory,
            OVERLAYFS_MAGIC => Durability::Layer,
            _ if medium.direct => Durability::Disk,
            _ => Durability::Buffered,
        })
    }
}

impl DirectDisk {
    async fn set_len(&self, name: &str, bytes: u64) -> io::Result<()> {
        let path = self.path(name);
        rt::blocking::run(move || std::fs::OpenOptions::new().write(true).open(path)?.set_len(bytes)).await?
    }
}

impl SegmentFile for DirectFile {
    type Buf = DirectBuf;
    type Read = rt::file::ReadBuf;

    async fn write_at(&self, buf: DirectBuf, offset: u64) -> io::Result<()> {
        self.file.write_at(buf.0, offset).await
    }

    async fn read_at(&self, offset: u64, len: usize) -> io::Result<rt::file::ReadBuf> {
        self.file.read_at(offset, len).await
    }

    async fn sync(&self) -> io::Result<()> {
        self.file.sync().await
    }

    fn is_linked(&self) -> bool {
        self.file.is_linked()
    }
}
