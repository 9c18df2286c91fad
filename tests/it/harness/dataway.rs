//! A stand-in for DataWay: takes packages, keeps them, and answers as it is told.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use super::{
    PATIENCE,
    points::{self, Point},
};

/// What it does with a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Takes it: 200.
    Take,
    /// Answers this status.
    Status(u16),
    /// Answers this status with `Retry-After: <seconds>`.
    RetryAfter(u16, u32),
    /// Reads it and closes the connection without an answer.
    Close,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Package {
    pub path: String,
    pub query: String,
    pub headers: BTreeMap<String, String>,
    pub points: Vec<Point>,
    /// The body of what is no package of points.
    pub raw: Vec<u8>,
    /// How many bytes the body had before and after decompression.
    pub wire_bytes: usize,
    pub raw_bytes: usize,
    pub answered: Step,
}

impl Package {
    /// The id under which it came.
    pub fn id(&self) -> &str {
        &self.headers["x-pkg-id"]
    }
}

/// Listens until it is dropped.
pub struct Dataway {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// A call that brought no package: somebody asked for rules.
#[derive(Clone, Debug)]
pub struct Asked {
    pub target: String,
    pub headers: BTreeMap<String, String>,
}

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    asked_scripts: Vec<Asked>,
    scripts: Option<String>,
    /// What it answers then.
    rules: Option<(u16, String)>,
    packages: Vec<Package>,
    /// For the next packages; then `always`.
    script: VecDeque<Step>,
    always: Option<Step>,
    stopped: bool,
    connections: Vec<TcpStream>,
}

impl Dataway {
    /// One on a free port that takes everything.
    pub fn start() -> Dataway {
        Dataway::start_at("127.0.0.1:0".parse().expect("an address"))
    }

    /// One at a given address: the port of one that was stopped.
    pub fn start_at(address: SocketAddr) -> Dataway {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut state = lock(&shared);
                if state.stopped {
                    break;
                }
                state.connections.push(stream.try_clone().expect("a second handle"));
                drop(state);
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Dataway { address, state }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The `[dataway]` table that sends to it; more keys can be put behind it.
    pub fn table(&self) -> String {
        format!(
            "[dataway]\nurls = [\"http://{}?token=tkn_0123456789abcdef0123456789abcdef\"]\nretry_delay = \"50ms\"\nretry_delay_max = \"200ms\"\n",
            self.address
        )
    }

    /// What to do with the next packages, before it takes everything again.
    pub fn script(&self, steps: &[Step]) {
        self.state().script.extend(steps);
    }

    /// What to do with every package from now on.
    pub fn always(&self, step: Step) {
        self.state().always = Some(step);
    }

    /// What it answers from now on when it is asked for rules; before that: none.
    pub fn answer_rules(&self, status: u16, body: &str) {
        self.state().rules = Some((status, body.to_owned()));
    }

    /// What it answers from now on when it is asked for scripts; before that: none.
    pub fn answer_scripts(&self, body: &str) {
        self.state().scripts = Some(body.to_owned());
    }

    /// The calls that asked for scripts.
    pub fn asked_scripts(&self) -> Vec<Asked> {
        self.state().asked_scripts.clone()
    }

    /// The calls that asked for rules.
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// Waits until it was asked that often.
    pub fn await_asked(&self, enough: usize) -> Vec<Asked> {
        self.wait_for(|| self.asked(), |asked| asked.len() >= enough)
    }

    /// Everything that came, also what was not taken.
    pub fn packages(&self) -> Vec<Package> {
        self.state().packages.clone()
    }

    /// The packages that were taken, one per id.
    pub fn taken(&self) -> Vec<Package> {
        let mut taken: Vec<Package> = Vec::new();
        for package in &self.state().packages {
            let repeated = taken.iter().find(|other| other.id() == package.id());
            if let Some(first) = repeated {
                assert!(
                    first.points == package.points && first.raw == package.raw,
                    "two bodies under one id"
                );
            } else if package.answered == Step::Take {
                taken.push(package.clone());
            }
        }
        taken
    }

    /// The raw packages that were taken, one per id.
    pub fn raw(&self) -> Vec<Package> {
        self.taken().into_iter().filter(|package| !package.headers.contains_key("x-points")).collect()
    }

    /// Waits until so many raw packages were taken.
    pub fn await_raw(&self, enough: usize) -> Vec<Package> {
        self.wait_for(|| self.raw(), |packages| packages.len() >= enough)
    }

    /// The points of the packages that were taken.
    pub fn points(&self) -> Vec<Point> {
        self.taken().into_iter().flat_map(|package| package.points).collect()
    }

    /// Waits until `enough` packages have come, whatever was answered.
    pub fn await_packages(&self, enough: usize) -> Vec<Package> {
        self.wait_for(|| self.packages(), |packages| packages.len() >= enough)
    }

    /// Waits until at least so many points were taken.
    pub fn await_points(&self, enough: usize) -> Vec<Point> {
        self.wait_for(|| self.points(), |points| points.len() >= enough)
    }

    fn wait_for<T>(&self, mut look: impl FnMut() -> Vec<T>, done: impl Fn(&[T]) -> bool) -> Vec<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = look();
            if done(&seen) {
                return seen;
            }
            assert!(Instant::now() < deadline, "the stand-in has {} and waits for more", seen.len());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Dataway {
    fn drop(&mut self) {
        let mut state = self.state();
        state.stopped = true;
        for connection in state.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        drop(state);
        // Wakes the accepting thread, which then ends and closes the port.
        let _ = TcpStream::connect_timeout(&self.address, PATIENCE);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A test that failed while it held the lock has said so already.
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    while let Some((request, expects_more)) = read_request(&mut reader) {
        let mut package = match request {
            Came::Package(package) => *package,
            Came::Asked(asked) => {
                let (status, body) = {
                    let mut state = lock(state);
                    if state.always == Some(Step::Close) {
                        drop(state);
                        let _ = reader.get_ref().shutdown(Shutdown::Both);
                        return;
                    }
                    let nothing = || "{\"content\":{}}".to_owned();
                    if asked.target.contains("remote_pipelines=true") {
                        state.asked_scripts.push(asked);
                        (200, state.scripts.clone().unwrap_or_else(nothing))
                    } else {
                        state.asked.push(asked);
                        state.rules.clone().unwrap_or_else(|| (200, nothing()))
                    }
                };
                let head = format!("HTTP/1.1 {status} Told\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                if reader.get_mut().write_all(head.as_bytes()).is_err() || !expects_more {
                    return;
                }
                continue;
            }
        };
        let step = {
            let mut state = lock(state);
            let always = state.always.unwrap_or(Step::Take);
            package.answered = state.script.pop_front().unwrap_or(always);
            let step = package.answered;
            state.packages.push(package);
            step
        };
        let head = match step {
            Step::Take => "HTTP/1.1 200 OK\r\n".to_owned(),
            Step::Status(status) => format!("HTTP/1.1 {status} Told\r\n"),
            Step::RetryAfter(status, seconds) => {
                format!("HTTP/1.1 {status} Told\r\nRetry-After: {seconds}\r\n")
            }
            Step::Close => {
                // Another handle of this socket is kept, so dropping this one would not close it.
                let _ = reader.get_ref().shutdown(Shutdown::Both);
                return;
            }
        };
        if reader.get_mut().write_all(format!("{head}Content-Length: 0\r\n\r\n").as_bytes()).is_err()
            || !expects_more
        {
            return;
        }
    }
}

/// What has come.
enum Came {
    Package(Box<Package>),
    Asked(Asked),
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(Came, bool)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ');
    let method = words.next().map(str::to_owned);
    let target = words.next().expect("a target").to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').expect("a header");
        assert!(headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()).is_none(), "{name} twice");
    }
    let close = headers.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    if method.as_deref() == Some("GET") {
        assert!(target.starts_with("/v1/datakit/pull?"), "{target}");
        return Some((Came::Asked(Asked { target, headers }), !close));
    }
    assert_eq!(method.as_deref(), Some("POST"), "{line}");
    let mut body = vec![0; headers["content-length"].parse().expect("a length")];
    reader.read_exact(&mut body).ok()?;
    let raw = match headers.get("content-encoding").map(String::as_str) {
        None => body.clone(),
        Some("gzip") => {
            let mut raw = Vec::new();
            flate2::read::MultiGzDecoder::new(body.as_slice()).read_to_end(&mut raw).expect("gzip");
            raw
        }
        Some("zstd") => zstd::decode_all(body.as_slice()).expect("zstd"),
        Some(other) => panic!("Content-Encoding: {other}"),
    };
    // Of a raw package the body is kept; it says nothing of points.
    let points = match headers.get("x-points") {
        Some(count) => {
            let points = points::read(&raw);
            assert_eq!(*count, points.len().to_string());
            points
        }
        None => Vec::new(),
    };
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let package = Package {
        path: path.to_owned(),
        query: query.to_owned(),
        points,
        wire_bytes: body.len(),
        raw_bytes: raw.len(),
        raw: if headers.contains_key("x-points") { Vec::new() } else { body },
        headers,
        answered: Step::Take,
    };
    Some((Came::Package(Box::new(package)), !close))
}
