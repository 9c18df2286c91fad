//! Files of the spool: direct I/O on io_uring where the file system has it, plain I/O where it has not.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use glommio::io::{DmaBuffer, DmaFile, OpenOptions, ReadResult};
use rustix::fs::{AtFlags, StatxFlags};

use super::{blocking, io_error};

/// Offsets and lengths of reads and writes are multiples of this. It is the largest logical block in use; where the
/// device would take less, keeping to it costs nothing and never tears a neighbour.
pub const ALIGN_BYTES: usize = 4096;

const _: () = assert!(ALIGN_BYTES.is_power_of_two());

/// A buffer that direct I/O accepts. Comes from memory registered with io_uring while that lasts.
pub struct AlignedBuf {
    inner: DmaBuffer,
}

impl AlignedBuf {
    /// A buffer of `len` bytes with unspecified contents. `len` is a multiple of [`ALIGN_BYTES`].
    pub fn new(len: usize) -> AlignedBuf {
        assert!(len > 0 && len.is_multiple_of(ALIGN_BYTES), "BUG: unaligned buffer of {len} bytes");
        AlignedBuf { inner: glommio::allocate_dma_buffer(len) }
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.inner.as_bytes_mut()
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.inner.as_bytes()
    }
}

/// What a read gave; may be shorter than asked at the end of the file.
pub struct ReadBuf {
    inner: ReadResult,
}

impl Deref for ReadBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.inner
    }
}

/// How to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Read and write; fails if there is none.
    Existing,
    /// Read and write; fails if there is one.
    CreateNew,
}

/// An open file. Dropping it closes it.
pub struct File {
    inner: DmaFile,
    path: PathBuf,
}

impl File {
    pub async fn open(path: &Path, mode: OpenMode) -> io::Result<File> {
        // The executor unwraps a statfs of the path it opens; look first, so that a name nobody can resolve is an
        // error here and not a panic there.
        if mode == OpenMode::Existing {
            let probe = path.to_path_buf();
            blocking::run(move || std::fs::metadata(probe)).await??;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(mode == OpenMode::CreateNew);
        let inner = options.dma_open(path).await.map_err(io_error)?;
        Ok(File { inner, path: path.to_path_buf() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the whole buffer at `offset`. A short write is an error: the caller cannot go on from the middle of a
    /// block.
    pub async fn write_at(&self, buf: AlignedBuf, offset: u64) -> io::Result<()> {
        let len = buf.len();
        assert!(offset.is_multiple_of(ALIGN_BYTES as u64), "BUG: unaligned write at {offset}");
        let written = self.inner.write_at(buf.inner, offset).await.map_err(io_error)?;
        if written == len {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::WriteZero, format!("wrote {written} of {len} bytes")))
        }
    }

    /// Reads up to `len` bytes at `offset`; both are multiples of [`ALIGN_BYTES`].
    pub async fn read_at(&self, offset: u64, len: usize) -> io::Result<ReadBuf> {
        assert!(offset.is_multiple_of(ALIGN_BYTES as u64), "BUG: unaligned read at {offset}");
        assert!(len.is_multiple_of(ALIGN_BYTES), "BUG: unaligned read of {len}");
        let inner = self.inner.read_at_aligned(offset, len).await.map_err(io_error)?;
        Ok(ReadBuf { inner })
    }

    /// Makes written data durable (`fdatasync`).
    pub async fn sync(&self) -> io::Result<()> {
        self.inner.fdatasync().await.map_err(io_error)
    }

    /// Reserves room and sets the length.
    pub async fn allocate(&self, len: u64) -> io::Result<()> {
        self.inner.pre_allocate(len, false).await.map_err(io_error)
    }

    /// Whether the file still has a name: what is written to one that has none is gone when it is closed.
    pub fn is_linked(&self) -> bool {
        // SAFETY: the descriptor is open for as long as `inner` is, which outlives this borrow.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.inner.as_raw_fd()) };
        // Asked for nothing else: a file whose times have been asked for gets new ones with its next write (multigrain
        // timestamps, Linux 6.13), and such a write cannot be done at once but goes to a worker of io_uring's. That cost
        // a tenth of all CPU.
        let flags = AtFlags::EMPTY_PATH;
        match rustix::fs::statx(descriptor, c"", flags, StatxFlags::NLINK) {
            Ok(stat) => stat.stx_nlink > 0,
            Err(_) => rustix::fs::fstat(descriptor).map_or(true, |stat| stat.st_nlink > 0),
        }
    }

    pub async fn len(&self) -> io::Result<u64> {
        self.inner.file_size().await.map_err(io_error)
    }

    pub async fn close(self) -> io::Result<()> {
        self.inner.close().await.map_err(io_error)
    }
}

/// Names and lengths of the plain files in a directory.
pub async fn list(dir: &Path) -> io::Result<Vec<(String, u64)>> {
    let dir = dir.to_path_buf();
    blocking::run(move || {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                files.push((name, metadata.len()));
            }
        }
        Ok(files)
    })
    .await?
}

pub async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (from.to_path_buf(), to.to_path_buf());
    blocking::run(move || std::fs::rename(from, to)).await?
}

pub async fn remove(path: &Path) -> io::Result<()> {
    let path = path.to_path_buf();
    blocking::run(move || std::fs::remove_file(path)).await?
}

pub async fn create_dir_all(path: &Path) -> io::Result<()> {
    let path = path.to_path_buf();
    blocking::run(move || std::fs::create_dir_all(path)).await?
}

/// Makes the entries of a directory durable.
pub async fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = dir.to_path_buf();
    blocking::run(move || std::fs::File::open(dir)?.sync_all()).await?
}

/// What is known of where a directory lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Medium {
    /// The magic number of the file system: see statfs(2).
    pub file_system: u64,
    /// Whether files here take direct I/O.
    pub direct: bool,
}

/// Looks where a directory lies.
pub async fn medium(dir: &Path) -> io::Result<Medium> {
    let dir = dir.to_path_buf();
    blocking::run(move || {
        use rustix::fs::{Mode, OFlags};
        let file_system = rustix::fs::statfs(&dir)?.f_type as u64;
        // A file without a name, gone when it is closed. Where such are not to be had, direct I/O is.
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
        let probe = rustix::fs::open(&dir, flags, Mode::RUSR | Mode::WUSR);
        Ok(Medium { file_system, direct: !matches!(probe, Err(rustix::io::Errno::INVAL)) })
    })
    .await?
}

/// Bytes that an ordinary user may still write to the file system of `dir`.
pub async fn free_bytes(dir: &Path) -> io::Result<u64> {
    let dir = dir.to_path_buf();
    blocking::run(move || free_bytes_now(&dir)).await?
}

/// The same, before any shard runs.
pub fn free_bytes_now(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
