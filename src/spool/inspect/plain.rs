//! A directory read with plain files and without a runtime, so that the spool's own readers work in a tool. It cannot be
//! written to, and nothing in it waits: a future over it is ready when it is first polled.

use super::super::file::{Disk, Durability, SegmentFile};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The end of a future over plain files.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("BUG: a plain file made someone wait"),
    }
}

pub(super) struct PlainDir {
    dir: PathBuf,
}

pub(super) struct PlainFile {
    file: File,
}

impl PlainDir {
    pub(super) fn new(dir: &Path) -> PlainDir {
        PlainDir { dir: dir.to_path_buf() }
    }
}

impl PlainFile {
    pub(super) fn open(path: &Path) -> io::Result<PlainFile> {
        Ok(PlainFile { file: File::open(path)? })
    }
}

fn read_only<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "BUG: an inspection writes"))
}

impl Disk for PlainDir {
    type File = PlainFile;
    type Buf = Vec<u8>;

    fn alloc(&self, bytes: usize) -> Vec<u8> {
        vec![0; bytes]
    }

    async fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            match entry.metadata() {
                Ok(about) if about.is_file() => {
                    names.push((entry.file_name().to_string_lossy().into_owned(), about.len()));
                }
                Ok(_) => {}
                // Removed between the two questions: the directory may be in use.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(names)
    }

    async fn open(&self, name: &str) -> io::Result<PlainFile> {
        PlainFile::open(&self.dir.join(name))
    }

    async fn create(&self, _name: &str, _bytes: u64) -> io::Result<PlainFile> {
        read_only()
    }

    async fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        read_only()
    }

    async fn remove(&self, _name: &str) -> io::Result<()> {
        read_only()
    }

    async fn truncate(&self, _name: &str, _bytes: u64) -> io::Result<()> {
        read_only()
    }

    async fn sync_dir(&self) -> io::Result<()> {
        read_only()
    }

    async fn free_bytes(&self) -> io::Result<Option<u64>> {
        Ok(None)
    }

    async fn durability(&self) -> io::Result<Durability> {
        Ok(Durability::default())
    }
}

impl SegmentFile for PlainFile {
    type Buf = Vec<u8>;
    type Read = Vec<u8>;

    async fn write_at(&self, _buf: Vec<u8>, _offset: u64) -> io::Result<()> {
        read_only()
    }

    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let mut got = 0;
        while let Some(rest) = bytes.get_mut(got..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + got as u64) {
                Ok(0) => break,
                Ok(count) => got += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(got);
        Ok(bytes)
    }

    async fn sync(&self) -> io::Result<()> {
        read_only()
    }

    fn is_linked(&self) -> bool {
        self.file.metadata().is_ok_and(|about| about.nlink() > 0)
    }
}
