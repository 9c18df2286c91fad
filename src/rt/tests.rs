//! The runtime's own promises, on a real executor and real sockets and files.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::file::{self, AlignedBuf, File, OpenMode};
use super::net::{Driver, Listener, Stream, bind, local_addr};
use super::sync::Notify;
use super::wake::{WakeListener, Waker};
use super::{blocking, shard, spawn, time, yield_now};

fn on_shard<T, F, B>(body: B) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
    B: FnOnce() -> F + Send + 'static,
{
    let core = shard::allowed_cores()[0];
    shard::start("test", core, move || async move {
        Driver::start().unwrap();
        body().await
    })
    .unwrap()
    .join()
    .unwrap()
}

async fn pair() -> (Stream, Stream) {
    let fd = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = local_addr(&fd).unwrap();
    let listener = Listener::new(fd).unwrap();
    let client = Stream::connect(addr, Duration::from_secs(5)).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (client, server)
}

#[test]
fn bytes_cross_a_connection_in_both_directions() {
    on_shard(|| async {
        let (client, server) = pair().await;
        client.send_all(b"ping").await.unwrap();
        let mut buf = [0u8; 64];
        assert_eq!(server.recv(&mut buf).await.unwrap(), 4);
        server.send_all(b"pong!").await.unwrap();
        assert_eq!(client.recv(&mut buf).await.unwrap(), 5);
        drop(client);
        assert_eq!(server.recv(&mut buf).await.unwrap(), 0);
        assert_eq!(server.recv(&mut buf).await.unwrap(), 0, "the end stays the end");
    });
}

#[test]
fn a_send_larger_than_the_socket_buffer_waits_for_the_reader() {
    on_shard(|| async {
        let (client, server) = pair().await;
        let sent = Rc::new(Notify::new());
        let told = Rc::clone(&sent);
        spawn(async move {
            client.send_all(&vec![7u8; 32 << 20]).await.unwrap();
            told.notify_all();
        });
        let mut buf = vec![0u8; 1 << 16];
        let mut received = 0;
        while received < 32 << 20 {
            let n = server.recv(&mut buf).await.unwrap();
            assert!(n > 0 && buf[..n].iter().all(|&byte| byte == 7));
            received += n;
        }
        assert_eq!(received, 32 << 20);
    });
}

#[test]
fn a_deadline_ends_a_receive_and_the_next_deadline_is_fresh() {
    // The executor's own streams keep a dropped read's deadline; ours must not.
    on_shard(|| async {
        let (client, server) = pair().await;
        let mut buf = [0u8; 8];
        server.set_deadline(Some(Duration::from_millis(300)));
        let started = Instant::now();
        assert_eq!(server.recv(&mut buf).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() >= Duration::from_millis(250));
        server.set_deadline(Some(Duration::from_secs(60)));
        let dropped = time::timeout(Duration::from_millis(20), server.recv(&mut buf)).await;
        assert!(dropped.is_err());
        client.send_all(b"late").await.unwrap();
        assert_eq!(server.recv(&mut buf).await.unwrap(), 4);
    });
}

#[test]
fn a_writer_without_a_reader_meets_its_deadline() {
    on_shard(|| async {
        let (client, _server) = pair().await;
        client.set_deadline(Some(Duration::from_millis(300)));
        let refused = client.send_all(&vec![0u8; 64 << 20]).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::TimedOut);
    });
}

#[test]
fn connecting_to_nobody_is_an_error() {
    on_shard(|| async {
        let fd = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let addr = local_addr(&fd).unwrap();
        drop(fd);
        let refused = Stream::connect(addr, Duration::from_secs(5)).await.err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn slots_are_reused_without_mixing_connections() {
    on_shard(|| async {
        for round in 0..2_000u32 {
            let (client, server) = pair().await;
            client.send_all(&round.to_le_bytes()).await.unwrap();
            let mut buf = [0u8; 8];
            assert_eq!(server.recv(&mut buf).await.unwrap(), 4);
            assert_eq!(buf[..4], round.to_le_bytes());
        }
    });
}

#[test]
fn another_thread_wakes_a_sleeping_shard() {
    let waker = Waker::new().unwrap();
    let remote = waker.clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        remote.wake();
    });
    on_shard(move || async move {
        let listener = WakeListener::new(&waker).unwrap();
        time::timeout(Duration::from_secs(5), listener.woken()).await.unwrap();
    });
    thread.join().unwrap();
}

#[test]
fn an_idle_shard_uses_no_cpu() {
    let cpu = on_shard(|| async {
        let (_client, _server) = pair().await;
        let before = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time::sleep(Duration::from_millis(500)).await;
        let after = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        (after.tv_sec - before.tv_sec) * 1_000_000_000 + (after.tv_nsec - before.tv_nsec)
    });
    assert!(cpu < 50_000_000, "an idle shard ran for {cpu} ns in half a second");
}

#[test]
fn a_busy_socket_set_does_not_starve_the_disk() {
    on_shard(|| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let (client, server) = pair().await;
        spawn(async move {
            let buf = [1u8; 1024];
            while client.send_all(&buf).await.is_ok() {
                yield_now().await;
            }
        });
        spawn(async move {
            let mut buf = [0u8; 1024];
            while matches!(server.recv(&mut buf).await, Ok(1..)) {}
        });
        let file = File::open(&path, OpenMode::CreateNew).await.unwrap();
        for index in 0..8u64 {
            let written = async {
                file.write_at(AlignedBuf::new(4096), index * 4096).await.unwrap();
                file.sync().await.unwrap();
            };
            time::timeout(Duration::from_secs(10), written).await.unwrap();
        }
    });
}

#[test]
fn files_read_back_what_was_written() {
    on_shard(|| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("segment");
        let file = File::open(&path, OpenMode::CreateNew).await.unwrap();
        file.allocate(1 << 20).await.unwrap();
        assert_eq!(file.len().await.unwrap(), 1 << 20);
        let mut buf = AlignedBuf::new(8192);
        buf.as_mut_slice().fill(0xa5);
        file.write_at(buf, 4096).await.unwrap();
        file.sync().await.unwrap();
        let read = file.read_at(0, 16384).await.unwrap();
        assert_eq!(read.len(), 16384);
        assert!(read[..4096].iter().all(|&byte| byte == 0));
        assert!(read[4096..12288].iter().all(|&byte| byte == 0xa5));
        file.close().await.unwrap();
        assert!(File::open(&path, OpenMode::CreateNew).await.is_err());
        assert!(File::open(&dir.path().join("none"), OpenMode::Existing).await.is_err());
        let moved = dir.path().join("moved");
        file::rename(&path, &moved).await.unwrap();
        file::sync_dir(dir.path()).await.unwrap();
        assert_eq!(file::list(dir.path()).await.unwrap(), [("moved".to_owned(), 1 << 20)]);
        assert!(file::free_bytes(dir.path()).await.unwrap() > 0);
        file::remove(&moved).await.unwrap();
    });
}

#[test]
fn what_nobody_waits_for_runs_when_nobody_else_wants_to() {
    on_shard(|| async {
        // SAFETY: asks about this thread.
        let class = || unsafe { libc::sched_getscheduler(0) };
        assert_eq!(blocking::run_background(class).await.unwrap(), libc::SCHED_IDLE);
        assert_eq!(blocking::run_long(class).await.unwrap(), libc::SCHED_OTHER);
    });
}

#[test]
fn a_panicking_job_is_an_error_and_the_pool_lives_on() {
    on_shard(|| async {
        assert!(blocking::run(|| -> u32 { panic!("on purpose") }).await.is_err());
        for _ in 0..8 {
            assert_eq!(blocking::run(|| 7).await.unwrap(), 7);
        }
    });
}

#[test]
fn many_tasks_and_timers_at_once() {
    // 0.9.0 aborts after 32,767 clones of one task's waker.
    on_shard(|| async {
        let notify = Rc::new(Notify::new());
        let done = Rc::new(std::cell::Cell::new(0u32));
        for _ in 0..40_000 {
            let (notify, done) = (Rc::clone(&notify), Rc::clone(&done));
            spawn(async move {
                notify.notified().await;
                done.set(done.get() + 1);
            });
        }
        yield_now().await;
        notify.notify_all();
        while done.get() < 40_000 {
            yield_now().await;
        }
    });
}

#[test]
fn the_probe_names_a_directory_it_cannot_write_to() {
    let findings = super::probe::probe(&super::probe::Wanted {
        shards: 1,
        connections_max: 100,
        data_dir: std::path::Path::new("/proc/kitgate-cannot-be-here"),
    });
    let found = findings.iter().find(|finding| finding.what.contains("/proc/kitgate-cannot-be-here"));
    assert!(found.is_some_and(|finding| finding.fatal));
}
