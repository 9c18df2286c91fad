//! The same log on a real file system, under the real executor. The promises are proven on the disk in memory; this is
//! that the other one keeps the same contract.

use super::super::file::{Disk, SegmentFile};
use super::super::{Block, DirectDisk, Durability, Fate, Log, LogConfig};
use super::{ALL, CATEGORY, ID, block, frames, tag};
use crate::rt::shard;
use std::path::PathBuf;
use std::rc::Rc;

fn on_shard<F: Future<Output = ()> + 'static>(body: impl FnOnce(PathBuf) -> F + Send + 'static) {
    // Not under /tmp, which may be memory: beside the build, where direct I/O is likely.
    let build = concat!(env!("CARGO_MANIFEST_DIR"), "/target");
    std::fs::create_dir_all(build).unwrap();
    let dir = tempfile::tempdir_in(build).unwrap();
    let path = dir.path().join("spool").join("metric");
    let core = shard::allowed_cores()[0];
    shard::start("test", core, move || body(path)).unwrap().join().unwrap();
}

async fn open(path: &std::path::Path) -> Log<DirectDisk> {
    let disk = DirectDisk::open(path).await.unwrap();
    let config = LogConfig { segment_bytes: 256 << 10, tail_bytes_max: 64 << 10, ..LogConfig::default() };
    Log::open(disk, CATEGORY, ID, config).await.unwrap_or_else(|error| panic!("{error}")).0
}

async fn drain(log: &Log<DirectDisk>, frames_max: usize) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some(window) = log.try_window(&frames(frames_max)).await.unwrap() {
        all.extend(window.frames.iter().map(|frame| tag(&frame.block)));
        log.complete(window, Fate::Delivered);
    }
    log.maintain().await.unwrap();
    all
}

#[test]
fn a_log_on_a_real_disk_commits_reopens_delivers_and_recycles() {
    on_shard(|path| async move {
        let log = open(&path).await;
        let mut next = 0;
        for round in 0..20 {
            let blocks: Vec<Block> =
                (next..next + 30).map(|tag| block(tag, 500 + tag as usize * 7)).collect();
            log.commit(&blocks).await.unwrap();
            next += 30;
            if round % 7 == 3 {
                log.maintain().await.unwrap();
            }
        }
        log.commit(&[block(next, 1_500_000)]).await.unwrap();
        next += 1;
        let first = log.try_window(&frames(3)).await.unwrap().unwrap();
        let bounds = (first.first_seq, first.last_seq);
        drop(log);
        let log = open(&path).await;
        let again = log.try_window(&ALL).await.unwrap().unwrap();
        assert_eq!((again.first_seq, again.last_seq), bounds);
        log.complete(again, Fate::Delivered);
        assert_eq!(drain(&log, 50).await, (3..next).collect::<Vec<_>>());
        let stats = log.stats();
        assert_eq!((stats.lost_frames, stats.spooled_points), (0, 0));
        assert!(stats.spares > 0);
        for _ in 0..3 {
            let blocks: Vec<Block> = (next..next + 100).map(|tag| block(tag, 2000)).collect();
            log.commit(&blocks).await.unwrap();
            assert_eq!(drain(&log, 1000).await, (next..next + 100).collect::<Vec<_>>());
            next += 100;
        }
        assert!(log.stats().segments_reused > 0);
    });
}

#[test]
fn committing_sending_and_maintaining_at_once() {
    on_shard(|path| async move {
        let log = Rc::new(open(&path).await);
        let sender = log.clone();
        crate::rt::spawn(async move {
            while let Some(window) = sender.next_window(&frames(20)).await.unwrap() {
                sender.complete(window, Fate::Delivered);
            }
        });
        let maintainer = log.clone();
        crate::rt::spawn(async move {
            loop {
                maintainer.maintenance_needed().await;
                maintainer.maintain().await.unwrap();
            }
        });
        for next in 0..400 {
            log.commit(&[block(next, 3000)]).await.unwrap();
        }
        while log.delivered_through() < 400 {
            log.delivery_changed().await;
        }
        log.close();
        log.flush().await.unwrap();
        assert_eq!(log.stats().spooled_points, 0);
    });
}

#[test]
fn names_and_lengths_are_as_the_contract_says() {
    on_shard(|path| async move {
        let disk = DirectDisk::open(&path).await.unwrap();
        assert_eq!(disk.open("none").await.err().unwrap().kind(), std::io::ErrorKind::NotFound);
        let file = disk.create("a", 16 << 10).await.unwrap();
        assert_eq!(disk.create("a", 4096).await.err().unwrap().kind(), std::io::ErrorKind::AlreadyExists);
        let mut buf = disk.alloc(8192);
        buf.fill(7);
        file.write_at(buf, 4096).await.unwrap();
        file.sync().await.unwrap();
        disk.rename("a", "b").await.unwrap();
        disk.sync_dir().await.unwrap();
        drop(file);
        let file = disk.open("b").await.unwrap();
        let read = file.read_at(0, 16 << 10).await.unwrap();
        assert_eq!(read.len(), 16 << 10);
        assert!(read[..4096].iter().all(|byte| *byte == 0));
        assert!(read[4096..12288].iter().all(|byte| *byte == 7));
        assert_eq!(file.read_at(12 << 10, 8192).await.unwrap().len(), 4096, "short at the end");
        drop(file);
        disk.truncate("b", 4096).await.unwrap();
        assert_eq!(disk.list().await.unwrap(), [("b".to_owned(), 4096)]);
        disk.remove("b").await.unwrap();
        assert_eq!(disk.remove("b").await.err().unwrap().kind(), std::io::ErrorKind::NotFound);
    });
}

#[test]
fn a_directory_of_memory_is_told_from_a_disk() {
    // Where there is one: a file system of memory that every Linux has.
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else { return };
    let path = dir.path().join("metric");
    let core = shard::allowed_cores()[0];
    let body = move || async move {
        let disk = DirectDisk::open(&path).await.unwrap();
        let config = LogConfig { segment_bytes: 256 << 10, ..LogConfig::default() };
        let opened = Log::open(disk, CATEGORY, ID, config).await;
        let (log, report) = opened.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(report.durability, Durability::Memory);
        log.commit(&[block(1, 100)]).await.unwrap();
        assert_eq!(drain(&log, 1).await, [1]);
    };
    shard::start("test", core, body).unwrap().join().unwrap();
}

#[test]
fn a_spool_directory_behind_a_link_is_the_same_spool() {
    on_shard(|path| async move {
        open(&path).await.commit(&[block(1, 100), block(2, 100)]).await.unwrap();
        let link = path.with_file_name("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let log = open(&link).await;
        log.commit(&[block(3, 100)]).await.unwrap();
        assert_eq!(drain(&log, 10).await, [1, 2, 3]);
    });
}

#[test]
fn a_directory_deleted_under_a_running_log_stops_acknowledging() {
    on_shard(|path| async move {
        let log = open(&path).await;
        log.commit(&[block(1, 100)]).await.unwrap();
        std::fs::remove_dir_all(&path).unwrap();
        for _ in 0..3 {
            assert!(log.commit(&[block(2, 100)]).await.is_err());
        }
        // And when somebody puts it back, it goes on there.
        std::fs::create_dir(&path).unwrap();
        log.commit(&[block(3, 100)]).await.unwrap();
        assert_eq!(drain(&log, 10).await, [1, 3], "the first was in memory");
        log.commit(&[block(4, 100)]).await.unwrap();
        drop(log);
        assert_eq!(drain(&open(&path).await, 10).await, [4]);
    });
}

#[test]
fn a_copy_with_times_in_the_future_is_the_same_spool() {
    on_shard(|path| async move {
        let log = open(&path).await;
        let blocks: Vec<Block> = (0..300).map(|tag| block(tag, 3000)).collect();
        log.commit(&blocks).await.unwrap();
        let out = log.try_window(&frames(7)).await.unwrap().unwrap();
        drop(log);
        // As a backup brings it back: other inodes, other times, other order.
        let copy = path.with_file_name("copy");
        std::fs::create_dir(&copy).unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort_by(|left, right| right.cmp(left));
        for name in names {
            std::fs::copy(path.join(&name), copy.join(&name)).unwrap();
            let file = std::fs::File::options().write(true).open(copy.join(&name)).unwrap();
            let future = std::time::SystemTime::now() + std::time::Duration::from_secs(10 * 365 * 86_400);
            file.set_modified(future).unwrap();
        }
        let log = open(&copy).await;
        let again = log.try_window(&ALL).await.unwrap().unwrap();
        assert_eq!((again.first_seq, again.last_seq), (out.first_seq, out.last_seq));
        log.complete(again, Fate::Delivered);
        assert_eq!(drain(&log, 50).await, (7..300).collect::<Vec<_>>());
        assert_eq!(log.totals().lost, 0);
    });
}
