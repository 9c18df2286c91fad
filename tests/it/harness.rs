//! The real binary on free ports with a folder of its own, a blocking HTTP client, and a stand-in for DataWay.
//!
//! Everything here panics when something is not as it should be: the panic is the test's failure.

pub mod canned;
pub mod dataway;
pub mod http;
pub mod points;

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use self::http::{Answer, Client};

/// How long anything may take before the test gives up; generous, because test machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The path of the binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_kitgate");

/// A folder on the disk of the build, not in memory: where direct I/O works if it works anywhere.
pub fn scratch() -> TempDir {
    TempDir::with_prefix_in("kitgate-", env!("CARGO_TARGET_TMPDIR")).expect("a scratch folder")
}

/// A configured gateway and its folder, running or not. Ends with the value.
pub struct Gateway {
    folder: TempDir,
    config: PathBuf,
    running: Option<Running>,
    /// Everything it has written to standard error, over all its runs.
    pub log: Vec<String>,
}

struct Running {
    child: Child,
    /// The process that has taken over from the child.
    successor: Option<rustix::process::Pid>,
    lines: Receiver<String>,
    address: SocketAddr,
}

impl Gateway {
    /// Starts one. `top` holds keys of the top level, `tables` the rest; the data directory, one shard and free
    /// ports are set unless the text sets them.
    pub fn start(top: &str, tables: &str) -> Gateway {
        let mut gateway = Gateway::prepared(top, tables);
        gateway.run();
        gateway
    }

    /// The same without starting it.
    pub fn prepared(top: &str, tables: &str) -> Gateway {
        let folder = scratch();
        let config = folder.path().join("gateway.toml");
        let mut text = format!("data_dir = {:?}\n{top}\n", folder.path().join("data"));
        if !top.contains("shards") {
            text.push_str("shards = 1\n");
        }
        for (table, listen) in
            [("http_api", "127.0.0.1:0"), ("intake.datadog", ""), ("intake.skywalking", "")]
        {
            if !tables.contains(&format!("[{table}]")) {
                text.push_str(&format!("[{table}]\nlisten = {listen:?}\n"));
            }
        }
        text.push_str(tables);
        fs::write(&config, text).expect("the configuration is written");
        Gateway { folder, config, running: None, log: Vec::new() }
    }

    /// Starts it, again or for the first time, and waits until it is ready.
    pub fn run(&mut self) {
        assert!(self.running.is_none(), "it is running");
        let mut child = Command::new(BINARY)
            .args(["run", "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("stderr is piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut address = None;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if let Some(at) = line
                        .strip_prefix("kitgate: listening on ")
                        .and_then(|line| line.split_once("://"))
                        .map(|(_, at)| at)
                    {
                        let (at, name) = at.split_once(' ').expect("a listener has a name");
                        if name == "(datakit)" {
                            address = Some(at.parse().expect("an address"));
                        }
                    }
                    if line == "kitgate: ready" {
                        break;
                    }
                }
                Err(error) => {
                    let _ = child.kill();
                    let status = child.wait();
                    panic!("not ready: {error}, {status:?}\n{}", self.log.join("\n"));
                }
            }
        }
        let address = address.expect("it says where it listens");
        self.running = Some(Running { child, successor: None, lines, address });
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it is running")
    }

    /// Where the DataKit API is.
    pub fn address(&self) -> SocketAddr {
        self.running().address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.running().child.id()
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The configuration file, to be changed between two runs.
    pub fn config_file(&self) -> &Path {
        &self.config
    }

    /// A connection of its own.
    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// One request on a connection of its own.
    pub fn post(&self, target: &str, body: &[u8]) -> Answer {
        self.client().request("POST", target, &[], body)
    }

    /// One request on a connection of its own.
    pub fn get(&self, target: &str) -> Answer {
        self.client().request("GET", target, &[], b"")
    }

    /// The value on `/metrics` of a sample, given as it stands there up to the space.
    pub fn metric(&self, sample: &str) -> f64 {
        let page = self.get("/metrics");
        assert_eq!(page.status, 200);
        let page = page.text();
        let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {sample} in\n{page}")).parse().expect("a number")
    }

    /// Waits until `metric(sample)` is `value`.
    pub fn await_metric(&self, sample: &str, value: f64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.metric(sample);
            if now == value {
                return;
            }
            assert!(Instant::now() < deadline, "{sample} is {now}, not {value}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGTERM, then waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// SIGKILL, as a crash.
    pub fn kill(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        assert_eq!(self.wait().signal(), Some(9));
    }

    /// Sends a signal and does not wait.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let running = self.running();
        let pid = running.successor.unwrap_or_else(|| rustix::process::Pid::from_child(&running.child));
        rustix::process::kill_process(pid, signal).expect("the process is there");
    }

    /// The owner with this process id has handed over: waits for its end, and speaks to the new one from now on.
    pub fn await_successor(&mut self, old: &str) {
        let pid = fs::read_to_string(self.data_dir().join("LOCK")).expect("a lock file names its owner");
        let pid = pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw).expect("a process");
        let running = self.running.as_mut().expect("it is running");
        let deadline = Instant::now() + PATIENCE;
        if old == running.child.id().to_string() {
            assert!(running.child.wait().expect("its status").success());
        }
        while Path::new("/proc").join(old).exists() {
            assert!(Instant::now() < deadline, "the old process does not end");
            thread::sleep(Duration::from_millis(5));
        }
        running.successor = Some(pid);
    }

    /// Waits until a line of the log holds `text`, from where it was last read.
    pub fn await_line(&mut self, text: &str) -> String {
        let running = self.running.as_mut().expect("it is running");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line =
                running.lines.recv_timeout(left).unwrap_or_else(|error| panic!("no {text:?}: {error}"));
            self.log.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Runs the program with these arguments and the configuration; its status and what it printed, errors last.
    pub fn tool(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(BINARY)
            .args(arguments)
            .arg("--config")
            .arg(&self.config)
            .output()
            .expect("the program runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8(text).expect("text"))
    }

    /// Changes the configuration file.
    pub fn edit(&self, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(&self.config).expect("the configuration");
        fs::write(&self.config, change(text)).expect("the configuration is written");
    }

    /// Waits for the end and takes the rest of the log.
    pub fn wait(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("it is running");
        let deadline = Instant::now() + PATIENCE;
        loop {
            match running.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.log.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let _ = running.child.kill();
                    panic!("it does not end\n{}", self.log.join("\n"));
                }
            }
        }
        running.child.wait().expect("its status")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            if let Some(successor) = running.successor {
                let _ = rustix::process::kill_process(successor, rustix::process::Signal::KILL);
            }
            let _ = running.child.kill();
            let _ = running.child.wait();
            if thread::panicking() {
                self.log.extend(running.lines.try_iter());
                eprintln!("the gateway's log:\n{}", self.log.join("\n"));
            }
        }
    }
}
