//! The control socket: how `kitgate` as a tool speaks to a running gateway on the same machine.
//!
//! `<data_dir>/control.sock`, for the owner of the directory alone. One request a connection, one line of JSON each way:
//!
//! ```text
//! → {"verb":"reload"}                     ← {"ok":true,"text":"…"}
//! → {"verb":"upgrade"}                    ← {"ok":false,"text":"why not"}
//! → {"verb":"tool","job":{…}}             ← {"ok":true,"text":"…","result":{…}}
//! ```
//!
//! The socket says nothing of who owns the directory: that is the kernel lock's word. A socket file that a dead process
//! left is replaced by the next owner.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

const SOCKET_NAME: &str = "control.sock";

/// A request names what is to be done; data travels by path.
const REQUEST_BYTES_MAX: u64 = 1 << 20;

/// An answer may list every segment of a large spool.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// For the request to arrive: it is one line from this machine.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);

/// What is asked of a running gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Request {
    /// Read the configuration again and apply it.
    Reload,
    /// Hand listeners and spool to a new process of the program that now lies at the same path.
    Upgrade,
    /// Something of `kitgate spool` or `kitgate dlq` that changes what is kept.
    Tool { job: Value },
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub ok: bool,
    /// For people.
    pub text: String,
    /// For machines.
    #[serde(default)]
    pub result: Value,
}

impl Answer {
    pub fn good(text: impl Into<String>) -> Answer {
        Answer { ok: true, text: text.into(), result: Value::Null }
    }

    pub fn bad(text: impl Into<String>) -> Answer {
        Answer { ok: false, text: text.into(), result: Value::Null }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum CallError {
    /// No gateway listens there: none runs on this directory, or it has only just begun.
    NotRunning,
    /// One listens and does not answer as it should.
    Io(io::Error),
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CallError::NotRunning => f.write_str("no gateway runs on this data directory"),
            CallError::Io(error) => write!(f, "the gateway does not answer: {error}"),
        }
    }
}

/// A path to the socket that fits into an address, which has room for about a hundred bytes: by way of the open
/// directory.
struct Address {
    _dir: std::fs::File,
    path: PathBuf,
}

fn address(data_dir: &Path) -> io::Result<Address> {
    let dir = std::fs::File::open(data_dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(SOCKET_NAME);
    Ok(Address { _dir: dir, path })
}

/// Listens for the owner of `data_dir`, in place of whatever socket is there: call it under the lock.
pub fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    let address = address(data_dir)?;
    match std::fs::remove_file(&address.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&address.path)?;
    std::fs::set_permissions(&address.path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves one connection. Errors are the client's: they end its connection and nothing else.
pub fn serve(stream: &UnixStream, handle: impl FnOnce(Request) -> Answer) -> io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_PATIENCE))?;
    stream.set_write_timeout(Some(REQUEST_PATIENCE))?;
    let answer = match read_line(stream, REQUEST_BYTES_MAX) {
        Ok(line) => match serde_json::from_str(&line) {
            Ok(request) => handle(request),
            Err(error) => Answer::bad(format!("not a request: {error}")),
        },
        Err(error) => Answer::bad(format!("not a request: {error}")),
    };
    write_line(stream, &answer)
}

/// Asks the gateway that runs on `data_dir`, waiting for its answer as long as `patience`.
pub fn call(data_dir: &Path, request: &Request, patience: Duration) -> Result<Answer, CallError> {
    let connect = || -> io::Result<UnixStream> { UnixStream::connect(address(data_dir)?.path) };
    let stream = connect().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => CallError::NotRunning,
        _ => CallError::Io(error),
    })?;
    let exchange = || -> io::Result<Answer> {
        stream.set_read_timeout(Some(patience))?;
        write_line(&stream, request)?;
        let line = read_line(&stream, ANSWER_BYTES_MAX)?;
        Ok(serde_json::from_str(&line)?)
    };
    exchange().map_err(CallError::Io)
}

fn read_line(stream: &UnixStream, bytes_max: u64) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream.take(bytes_max)).read_line(&mut line)?;
    if line.ends_with('\n') {
        Ok(line)
    } else {
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the line has no end"))
    }
}

fn write_line(mut stream: &UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(data_dir: &Path, times: usize) -> std::thread::JoinHandle<()> {
        let listener = listen(data_dir).unwrap();
        std::thread::spawn(move || {
            for _ in 0..times {
                let (stream, _) = listener.accept().unwrap();
                let _ = serve(&stream, |request| Answer::good(format!("{request:?}")));
            }
        })
    }

    #[test]
    fn a_request_gets_its_answer_also_where_paths_are_long() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("d".repeat(120));
        std::fs::create_dir(&data_dir).unwrap();
        assert!(matches!(call(&data_dir, &Request::Reload, REQUEST_PATIENCE), Err(CallError::NotRunning)));
        let server = answered(&data_dir, 2);
        assert_eq!(call(&data_dir, &Request::Reload, REQUEST_PATIENCE).unwrap(), Answer::good("Reload"));
        let job = serde_json::json!({ "drop": 7 });
        let answer = call(&data_dir, &Request::Tool { job }, REQUEST_PATIENCE).unwrap();
        assert!(answer.text.contains("drop"), "{answer:?}");
        server.join().unwrap();
        // The file is still there, its listener is not: the next owner replaces it.
        assert!(matches!(call(&data_dir, &Request::Reload, REQUEST_PATIENCE), Err(CallError::NotRunning)));
        let mode = std::fs::metadata(data_dir.join(SOCKET_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let server = answered(&data_dir, 1);
        assert!(call(&data_dir, &Request::Upgrade, REQUEST_PATIENCE).unwrap().ok);
        server.join().unwrap();
    }

    #[test]
    fn garbage_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let server = answered(dir.path(), 2);
        for garbage in ["{\"verb\":\"fly\"}\n", "\n"] {
            let mut stream = UnixStream::connect(dir.path().join(SOCKET_NAME)).unwrap();
            stream.write_all(garbage.as_bytes()).unwrap();
            let answer: Answer = serde_json::from_str(&read_line(&stream, 1 << 20).unwrap()).unwrap();
            assert!(!answer.ok && answer.text.starts_with("not a request"), "{answer:?}");
        }
        server.join().unwrap();
    }
}
