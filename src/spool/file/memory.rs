//! A disk in memory that behaves as badly as a disk may, and no worse.
//!
//! What survives a power cut: the bytes of a file up to its last successful `sync`; of what was written since, each
//! half-kilobyte old, new, or torn at any byte, in any combination; the names as of the last successful `sync_dir`, and of the later
//! creations, renamings and removals the first few, in order, as a journalling file system does it. A killed process
//! loses nothing that was written. Faults are armed by the test: run out of room, fail the next sync, write or read,
//! take long, die before the n-th operation. Every operation gives way once, so that tasks interleave. What is read is
//! counted; files may be mostly holes, so that a backlog of a hundred gigabytes fits.

use super::{Disk, Durability, SegmentFile};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::task::Poll;

/// A torn write is torn at this grain: the smallest sector in use.
const TEAR_BYTES: usize = 512;

/// A handle; clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    files: Vec<Contents>,
    names: BTreeMap<String, usize>,
    names_durable: BTreeMap<String, usize>,
    names_pending: Vec<NameChange>,
    faults: Faults,
    operations: u64,
    reads: u64,
    bytes_read: u64,
}

/// What is to go wrong.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The machine is dead before this many more operations have been done.
    pub operations_left: Option<u64>,
    /// Bytes that may still be reserved or written beyond what is reserved.
    pub room_bytes: Option<u64>,
    /// What is said when there is none of it left: by default that the disk is full.
    pub no_room: Option<io::ErrorKind>,
    /// Reserving room does nothing: files grow when they are written, as on a file system that copies on write.
    pub lazy_room: bool,
    pub syncs_failing: u32,
    /// What a failed sync did not write is forgotten, and the next one says that all is well, as the page cache does.
    /// Otherwise a later sync may still write it, as with direct I/O.
    pub failed_syncs_forget: bool,
    pub dir_syncs_failing: u32,
    pub writes_failing: u32,
    pub reads_failing: u32,
    pub creates_failing: u32,
    /// Files of which nothing can be read.
    pub unreadable: Vec<String>,
    /// Openings, renamings and removals.
    pub names_failing: u32,
    pub opens_failing: u32,
    /// Every operation gives way this many times more, and by chance ten times as many.
    pub slowness: u32,
    /// One operation in so many fails, by chance; 0: none.
    pub one_in_fails: u64,
    pub random: Random,
    /// What the disk says of itself.
    pub durability: Durability,
}

#[derive(Clone, Default)]
struct Contents {
    visible: Vec<u8>,
    durable: Vec<u8>,
    /// Ranges written since the last sync.
    pending: Vec<(usize, Vec<u8>)>,
    /// Bytes of room taken from the disk.
    reserved: usize,
    /// Zeros behind the contents, which take no memory.
    hole: u64,
}

#[derive(Clone)]
enum NameChange {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameChange::Create(name, file) => {
                names.insert(name.clone(), *file);
            }
            NameChange::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            NameChange::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

/// A small random generator: the seed is the whole state.
#[derive(Clone, Debug, Default)]
pub struct Random(pub u64);

impl Random {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        crate::spool::place::mix(self.0)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// An open file of a [`MemoryDisk`].
pub struct MemoryFile {
    disk: MemoryDisk,
    file: usize,
}

fn dead() -> io::Error {
    io::Error::other("the machine is dead")
}

/// Gives way so many times.
pub async fn pend(times: u32) {
    let mut left = times;
    std::future::poll_fn(|cx| match left.checked_sub(1) {
        Some(fewer) => {
            left = fewer;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        None => Poll::Ready(()),
    })
    .await;
}

impl MemoryDisk {
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state.borrow_mut().faults);
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.state.borrow().operations
    }

    /// The disk after a kill of the process: all that was written is there, nothing is armed.
    pub fn after_kill(&self) -> MemoryDisk {
        let state = self.state.borrow();
        MemoryDisk {
            state: Rc::new(RefCell::new(State {
                files: state.files.clone(),
                names: state.names.clone(),
                names_durable: state.names_durable.clone(),
                names_pending: state.names_pending.clone(),
                ..State::default()
            })),
        }
    }

    /// The disk after a power cut.
    pub fn after_power_cut(&self, random: &mut Random) -> MemoryDisk {
        let state = self.state.borrow();
        let mut names = state.names_durable.clone();
        let kept = random.below(state.names_pending.len() as u64 + 1) as usize;
        for change in state.names_pending.iter().take(kept) {
            change.apply(&mut names);
        }
        let files = state.files.iter().map(|file| file.after_power_cut(random)).collect();
        MemoryDisk {
            state: Rc::new(RefCell::new(State {
                files,
                names_durable: names.clone(),
                names,
                ..State::default()
            })),
        }
    }

    /// Names of the files.
    pub fn names(&self) -> Vec<String> {
        self.state.borrow().names.keys().cloned().collect()
    }

    /// Changes a file behind everybody's back, durably.
    pub fn tamper(&self, name: &str, change: impl Fn(&mut Vec<u8>)) {
        let mut state = self.state.borrow_mut();
        let file = state.names[name];
        let contents = &mut state.files[file];
        change(&mut contents.visible);
        change(&mut contents.durable);
    }

    /// What a file holds.
    pub fn contents(&self, name: &str) -> Vec<u8> {
        let state = self.state.borrow();
        state.files[state.names[name]].visible.clone()
    }

    /// Puts a foreign file there, durably.
    pub fn plant(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state.borrow_mut();
        let file = state.files.len();
        state.files.push(Contents {
            visible: bytes.to_vec(),
            durable: bytes.to_vec(),
            ..Contents::default()
        });
        state.names.insert(name.to_owned(), file);
        state.names_durable.insert(name.to_owned(), file);
    }

    /// One operation, when it is its turn; an error if the machine dies before it.
    async fn operation(&self) -> io::Result<()> {
        let slowness = {
            let faults = &mut self.state.borrow_mut().faults;
            let slower = faults.slowness > 0 && faults.random.chance(20);
            faults.slowness * if slower { 10 } else { 1 }
        };
        pend(1 + slowness).await;
        let mut state = self.state.borrow_mut();
        if let Some(left) = &mut state.faults.operations_left {
            *left = left.checked_sub(1).ok_or_else(dead)?;
        }
        state.operations += 1;
        Ok(())
    }

    /// Reads so far, and their bytes.
    pub fn read_so_far(&self) -> (u64, u64) {
        let state = self.state.borrow();
        (state.reads, state.bytes_read)
    }

    /// Puts a file there that has these bytes at its beginning and zeros up to `len`.
    pub fn plant_sparse(&self, name: &str, bytes: &[u8], len: u64) {
        self.plant(name, bytes);
        let mut state = self.state.borrow_mut();
        let file = state.names[name];
        state.files[file].hole = len - bytes.len() as u64;
    }

    /// Whether the machine has died.
    pub fn is_dead(&self) -> bool {
        self.state.borrow().faults.operations_left == Some(0)
    }

    fn fail(&self, counter: impl Fn(&mut Faults) -> &mut u32) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let faults = &mut state.faults;
        if faults.one_in_fails > 0 && faults.random.chance(faults.one_in_fails) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let left = counter(&mut state.faults);
        match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                Err(io::Error::from_raw_os_error(5))
            }
            None => Ok(()),
        }
    }
}

impl State {
    /// Takes room for a file to hold `bytes`.
    fn reserve(&mut self, file: usize, bytes: usize) -> io::Result<()> {
        let more = bytes.saturating_sub(self.files[file].reserved) as u64;
        let kind = self.faults.no_room.unwrap_or(io::ErrorKind::StorageFull);
        if let Some(room) = &mut self.faults.room_bytes {
            *room = room.checked_sub(more).ok_or_else(|| io::Error::from(kind))?;
        }
        self.files[file].reserved = self.files[file].reserved.max(bytes);
        Ok(())
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.names_pending.push(change);
    }

    /// Gives back the room of a file that has lost its name.
    fn release(&mut self, file: usize) {
        let reserved = std::mem::take(&mut self.files[file].reserved) as u64;
        if let Some(room) = &mut self.faults.room_bytes {
            *room += reserved;
        }
    }

    fn file(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Contents {
    fn after_power_cut(&self, random: &mut Random) -> Contents {
        let mut durable = self.durable.clone();
        if self.visible.len() != durable.len() && random.chance(2) {
            durable.resize(self.visible.len(), 0);
        }
        for (offset, bytes) in &self.pending {
            for (index, sector) in bytes.chunks(TEAR_BYTES).enumerate() {
                let at = offset + index * TEAR_BYTES;
                let kept = match random.below(5) {
                    0 | 1 => sector.len(),
                    2 => random.below(sector.len() as u64) as usize,
                    _ => 0,
                };
                let end = durable.len().min(at + kept);
                if at < end {
                    durable[at..end].copy_from_slice(&sector[..end - at]);
                }
            }
        }
        Contents { visible: durable.clone(), durable, pending: Vec::new(), ..*self }
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;
    type Buf = Vec<u8>;

    fn alloc(&self, bytes: usize) -> Vec<u8> {
        // Unspecified contents: something that would be noticed.
        vec![0xee; bytes]
    }

    async fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.operation().await?;
        let state = self.state.borrow();
        Ok(state
            .names
            .iter()
            .map(|(name, file)| {
                (name.clone(), state.files[*file].visible.len() as u64 + state.files[*file].hole)
            })
            .collect())
    }

    async fn open(&self, name: &str) -> io::Result<MemoryFile> {
        self.operation().await?;
        self.fail(|faults| &mut faults.names_failing)?;
        let mut state = self.state.borrow_mut();
        if let Some(fewer) = state.faults.opens_failing.checked_sub(1) {
            state.faults.opens_failing = fewer;
            return Err(io::Error::from_raw_os_error(5));
        }
        let file = state.file(name)?;
        drop(state);
        Ok(MemoryFile { disk: self.clone(), file })
    }

    async fn create(&self, name: &str, bytes: u64) -> io::Result<MemoryFile> {
        self.operation().await?;
        self.fail(|faults| &mut faults.creates_failing)?;
        let mut state = self.state.borrow_mut();
        if state.names.contains_key(name) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        let file = state.files.len();
        state.files.push(Contents::default());
        if !state.faults.lazy_room {
            state.reserve(file, bytes as usize)?;
        }
        state.files[file].visible.resize(bytes as usize, 0);
        state.change_names(NameChange::Create(name.to_owned(), file));
        Ok(MemoryFile { disk: self.clone(), file })
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.operation().await?;
        self.fail(|faults| &mut faults.names_failing)?;
        let mut state = self.state.borrow_mut();
        state.file(from)?;
        if let Ok(replaced) = state.file(to) {
            state.release(replaced);
        }
        state.change_names(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        self.operation().await?;
        self.fail(|faults| &mut faults.names_failing)?;
        let mut state = self.state.borrow_mut();
        let file = state.file(name)?;
        state.release(file);
        state.change_names(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    async fn truncate(&self, name: &str, bytes: u64) -> io::Result<()> {
        self.operation().await?;
        let mut state = self.state.borrow_mut();
        let file = state.file(name)?;
        state.files[file].visible.truncate(bytes as usize);
        state.files[file].hole = 0;
        Ok(())
    }

    async fn sync_dir(&self) -> io::Result<()> {
        self.operation().await?;
        self.fail(|faults| &mut faults.dir_syncs_failing)?;
        let mut state = self.state.borrow_mut();
        state.names_durable = state.names.clone();
        state.names_pending.clear();
        Ok(())
    }

    async fn free_bytes(&self) -> io::Result<Option<u64>> {
        self.operation().await?;
        Ok(self.state.borrow().faults.room_bytes)
    }

    async fn durability(&self) -> io::Result<Durability> {
        Ok(self.state.borrow().faults.durability)
    }
}

impl SegmentFile for MemoryFile {
    type Buf = Vec<u8>;
    type Read = Vec<u8>;

    async fn write_at(&self, buf: Vec<u8>, offset: u64) -> io::Result<()> {
        assert!((offset as usize).is_multiple_of(super::super::format::SECTOR_BYTES), "unaligned write");
        assert!(buf.len().is_multiple_of(super::super::format::SECTOR_BYTES), "unaligned length");
        self.disk.operation().await?;
        let failed = self.disk.fail(|faults| &mut faults.writes_failing);
        let mut state = self.disk.state.borrow_mut();
        let end = offset as usize + buf.len();
        state.reserve(self.file, end)?;
        let contents = &mut state.files[self.file];
        if contents.visible.len() < end {
            contents.visible.resize(end, 0);
        }
        // A failed write may have written the half of it.
        let written = if failed.is_err() { buf.len() / 2 } else { buf.len() };
        contents.visible[offset as usize..offset as usize + written].copy_from_slice(&buf[..written]);
        contents.pending.push((offset as usize, buf[..written].to_vec()));
        failed
    }

    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.disk.operation().await?;
        self.disk.fail(|faults| &mut faults.reads_failing)?;
        let mut state = self.disk.state.borrow_mut();
        if state.faults.unreadable.iter().any(|name| state.names.get(name) == Some(&self.file)) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let contents = &state.files[self.file];
        let visible = &contents.visible;
        let start = (offset as usize).min(visible.len());
        let mut read = visible[start..visible.len().min(start + len)].to_vec();
        let left = (visible.len() as u64 + contents.hole).saturating_sub(offset);
        read.resize(len.min(left as usize), 0);
        state.reads += 1;
        state.bytes_read += read.len() as u64;
        Ok(read)
    }

    async fn sync(&self) -> io::Result<()> {
        self.disk.operation().await?;
        let failed = self.disk.fail(|faults| &mut faults.syncs_failing);
        let mut state = self.disk.state.borrow_mut();
        let forget = state.faults.failed_syncs_forget;
        let contents = &mut state.files[self.file];
        if failed.is_err() {
            if forget {
                contents.pending.clear();
            }
            return failed;
        }
        contents.durable.resize(contents.visible.len(), 0);
        for (offset, bytes) in contents.pending.drain(..) {
            // What was cut off after it was written stays cut off.
            let end = contents.durable.len().min(offset + bytes.len());
            if offset < end {
                contents.durable[offset..end].copy_from_slice(&bytes[..end - offset]);
            }
        }
        Ok(())
    }

    fn is_linked(&self) -> bool {
        self.disk.state.borrow().names.values().any(|file| *file == self.file)
    }
}
