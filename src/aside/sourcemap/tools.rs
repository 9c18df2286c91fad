//! Programs that know symbols: run with a bound on their number, their time and what they print.
//!
//! A program gets the stack as a file and prints into a pipe that is read until it ends, so that neither side can wait for
//! the other. It runs in a process group of its own, which is killed whole when its time is up. Of the environment it sees
//! what programs need to run, and not what the gateway was started with: tokens come that way.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process_group};

/// What a program may print; a resolved stack is some times as long as the stack.
const OUTPUT_BYTES_MAX: usize = 8 << 20;

/// What programs may see of the environment.
const PASSED_ON: [&str; 5] = ["PATH", "LANG", "LC_ALL", "JAVA_HOME", "TMPDIR"];

/// How often a program that has closed its output is looked at: it is about to end.
const END_PAUSE: Duration = Duration::from_millis(5);

/// Leaves to do something, so many at once.
#[derive(Debug, Default)]
pub struct Slots {
    taken: Mutex<usize>,
    freed: Condvar,
}

/// A leave; given back when dropped.
#[derive(Debug)]
pub struct Slot<'a>(&'a Slots);

impl Slots {
    /// Waits for one until the deadline.
    pub fn take(&self, most: usize, deadline: Instant) -> Option<Slot<'_>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken >= most.max(1) {
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            let waited = self.freed.wait_timeout(taken, left);
            taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *taken += 1;
        Some(Slot(self))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.freed.notify_one();
    }
}

/// Runs a program with `input`, and gives what it prints. An error tells why there is nothing.
pub fn run(program: &Path, arguments: &[&OsStr], input: &[u8], deadline: Instant) -> io::Result<Vec<u8>> {
    let mut given = File::from(memfd_create("stack", MemfdFlags::CLOEXEC)?);
    given.write_all(input)?;
    given.rewind()?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir("/").process_group(0);
    // Programs keep caches there.
    command.env("HOME", std::env::temp_dir());
    command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(given).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = Running(command.spawn()?);
    let output = running.output(deadline)?;
    let status = running.end(deadline)?;
    if !status.success() {
        return Err(io::Error::other(format!("the program ended with {status}")));
    }
    Ok(output)
}

/// A program that is killed with all it has started, unless it has ended.
struct Running(Child);

impl Running {
    fn output(&mut self, deadline: Instant) -> io::Result<Vec<u8>> {
        let mut pipe = self.0.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut output = Vec::new();
        let mut piece = vec![0; 64 * 1024];
        loop {
            let left = left(deadline)?;
            let wait = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
            match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&wait)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            match pipe.read(&mut piece)? {
                0 => return Ok(output),
                bytes if output.len() + bytes > OUTPUT_BYTES_MAX => {
                    return Err(io::Error::other("the program prints too much"));
                }
                bytes => output.extend_from_slice(&piece[..bytes]),
            }
        }
    }

    fn end(&mut self, deadline: Instant) -> io::Result<std::process::ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            let wait = Timespec::try_from(left(deadline)?.min(END_PAUSE)).unwrap_or_default();
            // Nothing is polled for: a pause.
            let _ = poll(&mut [], Some(&wait));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.0.try_wait() {
            return;
        }
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::Error::new(io::ErrorKind::TimedOut, "the program took too long"))
    } else {
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: &[u8], limit_ms: u64) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + Duration::from_millis(limit_ms);
        run(Path::new("/bin/sh"), &["-c".as_ref(), script.as_ref()], input, deadline)
    }

    #[test]
    fn a_program_reads_the_stack_and_prints() {
        let input = b"line\n".repeat(100_000);
        assert_eq!(shell("cat", &input, 10_000).unwrap(), input);
        assert_eq!(shell("echo $HOME; cat >/dev/null", b"", 10_000).unwrap(), b"/tmp\n");
    }

    #[test]
    fn what_goes_wrong_is_told() {
        let text = |result: io::Result<Vec<u8>>| result.unwrap_err().to_string();
        assert!(text(shell("echo x; exit 3", b"", 10_000)).contains("exit status: 3"));
        assert!(text(shell("yes", b"", 10_000)).contains("too much"));
        let missing = run(Path::new("/nonexistent/program"), &[], b"", Instant::now() + END_PAUSE);
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children() {
        let mark = format!("{}", 3_000_000 + std::process::id());
        for script in ["exec sleep N", "sleep N & sleep N", "sleep N & exec >&-; wait"] {
            let begun = Instant::now();
            let result = shell(&script.replace('N', &mark), b"", 300);
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut, "{script}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{script}");
        }
        let is_left = || {
            std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
                let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                line.starts_with(b"sleep\0") && memchr::memmem::find(&line, mark.as_bytes()).is_some()
            })
        };
        // Killed is not yet gone.
        let patience = Instant::now() + Duration::from_secs(5);
        while is_left() && Instant::now() < patience {
            std::thread::sleep(END_PAUSE);
        }
        assert!(!is_left());
    }

    #[test]
    fn no_more_than_so_many_at_once() {
        let slots = Slots::default();
        let soon = || Instant::now() + Duration::from_millis(20);
        let first = slots.take(2, soon()).unwrap();
        let _second = slots.take(2, soon()).unwrap();
        assert!(slots.take(2, soon()).is_none());
        drop(first);
        assert!(slots.take(2, soon()).is_some());
        // None at all would be never.
        assert!(Slots::default().take(0, soon()).is_some());
    }
}
