//! What the host grants, asked before any shard starts, and said in plain words with the way to grant it.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{file, shard};

/// Below this the executor refuses to start.
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;

/// Rings, and memory registered for file I/O, of one shard.
const MEMLOCK_BYTES_PER_SHARD: u64 = 3 << 20;

/// Descriptors that are not connections: rings, epoll, segments of every category, destinations.
pub const DESCRIPTORS_RESERVED: u64 = 256;

/// With fewer than this nothing useful can run.
const DESCRIPTORS_MIN: u64 = 512;

/// With less free space than this the spool cannot open one segment a busy category.
const FREE_BYTES_MIN: u64 = 64 << 20;

/// One thing that the host does not grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The gateway cannot start.
    pub fatal: bool,
    pub what: String,
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    {}", self.what, self.fix)
    }
}

/// What was asked for.
pub struct Wanted<'a> {
    pub shards: usize,
    pub connections_max: u64,
    pub data_dir: &'a Path,
}

/// Everything that is missing, most important first. Raises the soft limit on descriptors to the hard one on the
/// way, as every server does.
pub fn probe(wanted: &Wanted<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(memlock(wanted.shards));
    // A limit that is too low already says why the executor cannot start.
    if !findings.iter().any(|finding| finding.fatal) {
        findings.extend(io_uring());
    }
    findings.extend(descriptors(wanted.connections_max));
    findings.extend(data_dir(wanted.data_dir));
    findings.sort_by_key(|finding| !finding.fatal);
    findings
}

fn fatal(what: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { fatal: true, what: what.into(), fix: fix.into() }
}

fn warning(what: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { fatal: false, what: what.into(), fix: fix.into() }
}

fn memlock(shards: usize) -> Option<Finding> {
    let limit = getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX);
    let recommended = MEMLOCK_BYTES_PER_SHARD * shards as u64;
    if limit < MEMLOCK_BYTES_MIN {
        return Some(fatal(
            format!("locked memory is limited to {} KiB; io_uring needs at least 512 KiB", limit >> 10),
            format!(
                "grant {} KiB for {shards} shards: `ulimit -l {}`, systemd `LimitMEMLOCK={}M`, docker `--ulimit memlock={recommended}`",
                recommended >> 10,
                recommended >> 10,
                recommended >> 20
            ),
        ));
    }
    (limit < recommended).then(|| {
        warning(
            format!(
                "locked memory is limited to {} KiB; {shards} shards want {} KiB",
                limit >> 10,
                recommended >> 10
            ),
            format!(
                "`ulimit -l {}` or systemd `LimitMEMLOCK={}M`, or fewer shards",
                recommended >> 10,
                recommended >> 20
            ),
        )
    })
}

fn io_uring() -> Option<Finding> {
    let error = shard::try_start().err()?;
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    let disabled = disabled.trim();
    Some(match error.raw_os_error() {
        _ if disabled == "2" || disabled == "1" => fatal(
            format!("the kernel has io_uring switched off (kernel.io_uring_disabled = {disabled})"),
            "`sysctl kernel.io_uring_disabled=0`, or with 1: run in the group of kernel.io_uring_group",
        ),
        Some(code) if code == rustix::io::Errno::PERM.raw_os_error() => fatal(
            "io_uring is denied, most likely by the seccomp profile of a container runtime",
            "allow io_uring_setup, io_uring_enter and io_uring_register in the profile (deploy/host.md)",
        ),
        Some(code) if code == rustix::io::Errno::NOSYS.raw_os_error() => {
            fatal("this kernel has no io_uring", "run Linux 5.15 or later")
        }
        _ => fatal(format!("io_uring does not start: {error}"), "see deploy/host.md for what it needs"),
    })
}

fn descriptors(connections_max: u64) -> Option<Finding> {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let wanted = connections_max + DESCRIPTORS_RESERVED;
    if limit.current.unwrap_or(u64::MAX) < wanted {
        // What is refused here is found below.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit { current: Some(hard.min(wanted.max(1 << 16))), maximum: limit.maximum },
        );
    }
    let granted = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let fix =
        format!("`ulimit -n {wanted}`, systemd `LimitNOFILE={wanted}`, docker `--ulimit nofile={wanted}`");
    if granted < DESCRIPTORS_MIN {
        return Some(fatal(
            format!("only {granted} descriptors may be open; {DESCRIPTORS_MIN} is the least"),
            fix,
        ));
    }
    (granted < wanted).then(|| {
        warning(
            format!(
                "{granted} descriptors may be open; {connections_max} connections and the spool want {wanted}"
            ),
            fix,
        )
    })
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn data_dir(dir: &Path) -> Vec<Finding> {
    let shown = dir.display();
    let trial = || -> io::Result<bool> {
        fs::create_dir_all(dir)?;
        let name = dir.join(format!(".probe-{}", std::process::id()));
        let mut trial = fs::File::create(&name)?;
        let written = trial.write_all(b"probe").and_then(|()| trial.sync_data());
        let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
        let direct = fs::OpenOptions::new().read(true).custom_flags(flags).open(&name).is_ok();
        fs::remove_file(&name)?;
        written.map(|()| direct)
    };
    let mut findings = Vec::new();
    match trial() {
        // A full disk is a state: what is spooled there goes out, and makes room.
        Err(error) if is_full(&error) => {}
        Err(error) => findings.push(fatal(
            format!("cannot write to the data directory {shown}: {error}"),
            "create it and give it to the user that runs kitgate, or set data_dir",
        )),
        Ok(false) => findings.push(warning(
            format!("the file system of {shown} has no direct I/O; the spool uses buffered I/O there"),
            "put data_dir on a local file system (ext4, xfs) for the measured speed",
        )),
        Ok(true) => {}
    }
    if let Ok(free) = file::free_bytes_now(dir)
        && free < FREE_BYTES_MIN
    {
        findings.push(warning(
            format!("only {} MiB are free for {shown}", free >> 20),
            "free some space or move data_dir: a full disk answers 503",
        ));
    }
    findings
}
