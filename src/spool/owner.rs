//! One owner: a kernel lock on the data directory, and randomness for new logs. At start, before any shard runs.

use super::format::LogId;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

const LOCK_NAME: &str = "LOCK";
/// A process id has at most this many digits.
const PID_BYTES_MAX: u64 = 20;

/// The data directory is ours until this is dropped, or the process ends, however it ends: the kernel holds the lock,
/// the file only says who.
#[derive(Debug)]
pub struct Owner {
    _file: File,
}

/// Why the directory is not ours.
#[derive(Debug)]
pub enum OwnError {
    /// Another process has it.
    Owned {
        path: PathBuf,
        pid: String,
    },
    Io {
        path: PathBuf,
        error: io::Error,
    },
}

impl std::fmt::Display for OwnError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OwnError::Owned { path, pid } if pid.is_empty() => {
                write!(f, "{} is held by another process", path.display())
            }
            OwnError::Owned { path, pid } => write!(f, "{} is held by process {pid}", path.display()),
            OwnError::Io { path, error } => write!(f, "cannot lock {}: {error}", path.display()),
        }
    }
}

impl Owner {
    /// Takes the directory, creating it if there is none. A lock file that a dead process left is no obstacle.
    pub fn take(data_dir: &Path) -> Result<Owner, OwnError> {
        let path = data_dir.join(LOCK_NAME);
        let attempt = || -> io::Result<Result<File, String>> {
            std::fs::create_dir_all(data_dir)?;
            let mut file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut pid = String::new();
                    // Only for the message.
                    let _ = (&file).take(PID_BYTES_MAX).read_to_string(&mut pid);
                    return Ok(Err(pid.trim().to_owned()));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Only for messages: on a full disk it is not worth a start.
            let name_owner = |file: &mut File| {
                file.set_len(0)?;
                file.rewind()?;
                writeln!(file, "{}", std::process::id())
            };
            if let Err(error) = name_owner(&mut file) {
                tracing::warn!(path = %path.display(), %error, "cannot note who owns the data directory");
            }
            Ok(Ok(file))
        };
        match attempt() {
            Ok(Ok(file)) => Ok(Owner { _file: file }),
            Ok(Err(pid)) => Err(OwnError::Owned { path, pid }),
            Err(error) => Err(OwnError::Io { path, error }),
        }
    }
}

/// Sixteen random bytes for [`super::Log::open`].
pub fn fresh_id() -> io::Result<LogId> {
    let mut id = LogId::default();
    File::open("/dev/urandom")?.read_exact(&mut id)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_and_says_who() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let owner = Owner::take(&data).unwrap();
        let refused = Owner::take(&data).unwrap_err();
        assert!(
            refused.to_string().contains(&format!("held by process {}", std::process::id())),
            "{refused}"
        );
        drop(owner);
        // The file is still there, the lock is not.
        assert!(data.join(LOCK_NAME).exists());
        Owner::take(&data).unwrap();
    }

    #[test]
    fn ids_differ() {
        assert_ne!(fresh_id().unwrap(), fresh_id().unwrap());
    }
}
