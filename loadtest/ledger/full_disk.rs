//! A small file system of its own is filled to the last byte while points are written: what is acknowledged stays, what
//! cannot be stored is refused with 503, the process starts again where there is no room at all, and resumes by itself
//! when there is some.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::books::Books;
use super::check;
use super::client::{self, Fleet};
use super::gateway::{self, Gateway};
use super::kill9::{drain, end_in_words, in_words};
use crate::shared::child::{Scratch, free_port};
use crate::shared::{Outcome, http};
use crate::upstream::{self, Mode, Upstream};

/// The configuration of the case.
pub const TEMPLATE: &str = include_str!("../cases/full-disk/gateway.toml");
const DISK_BYTES: u64 = 64 << 20;
const STOP_PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// For the disk to run full, and for intake to resume.
const PATIENCE: Duration = Duration::from_secs(120);

/// Settings of the case.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The gateway's binary.
    #[arg(long)]
    pub gateway: PathBuf,
    /// How long the disk stays full, in seconds.
    #[arg(long, default_value_t = 6)]
    pub seconds: u64,
    /// Connections.
    #[arg(long, default_value_t = 16)]
    pub connections: u32,
    /// Parent of the scratch directory.
    #[arg(long)]
    pub scratch: Option<PathBuf>,
}

/// A file system in a file, mounted for as long as this lives.
struct Mounted {
    at: PathBuf,
}

impl Mounted {
    fn new(scratch: &Path) -> Outcome<Mounted> {
        let (image, at) = (scratch.join("disk.img"), scratch.join("disk"));
        File::create(&image)?.set_len(DISK_BYTES)?;
        std::fs::create_dir(&at)?;
        tool("mkfs.ext4", &["-q", "-F", &image.display().to_string()])?;
        tool("mount", &["-o", "loop", &image.display().to_string(), &at.display().to_string()])?;
        Ok(Mounted { at })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = tool("umount", &[&self.at.display().to_string()]);
        if let Err(error) = unmounted {
            eprintln!("{error}");
        }
    }
}

fn tool(program: &str, arguments: &[&str]) -> Outcome<()> {
    let output = Command::new(program).args(arguments).output().map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// Runs the case; true when every claim holds.
pub fn run(options: &Options) -> Outcome<bool> {
    let mut scratch = Scratch::create(options.scratch.as_deref(), "full-disk")?;
    let outcome = Mounted::new(scratch.path()).and_then(|disk| case(options, &scratch, &disk));
    if !matches!(outcome, Ok(true)) {
        scratch.keep();
        println!("kept for a look: {}", scratch.path().display());
    }
    outcome
}

fn case(options: &Options, scratch: &Scratch, disk: &Mounted) -> Outcome<bool> {
    let upstream = Upstream::start(&upstream::Options {
        mode: Mode::Absent,
        core: Some(1),
        ..upstream::Options::local()
    })?;
    let address = ([127, 0, 0, 1], free_port()?).into();
    let template =
        gateway::template(None, TEMPLATE)?.replace("${DATA}", &format!("{}/data", disk.at.display()));
    let gateway =
        Gateway::prepare(&options.gateway, &template, scratch.path(), address, upstream.address(), "0,1")?;
    let (mut server, _) = gateway.start()?;
    let fleet = Fleet::start(&client::Options {
        address,
        run: 1,
        connections: options.connections,
        categories: ["metric", "logging", "tracing"].map(str::to_owned).to_vec(),
        points_max: 100,
        pause_ms_max: 1,
        gzip_share: 0.2,
        query: "ack=disk".into(),
        seed: 11,
        core: None,
    });
    let refused = || fleet.progress().refused.load(Ordering::Relaxed);
    let acknowledged = || fleet.progress().acknowledged.load(Ordering::Relaxed);
    let full_at = until(|| Ok(refused() > 0))?;
    // The rest too, to the last byte, while it goes on trying.
    let filler = disk.at.join("filler");
    let mut fill = File::create(&filler)?;
    let (begun, full_for) = (Instant::now(), Duration::from_secs(options.seconds));
    let mut restarted = None;
    while begun.elapsed() < full_for {
        let mut piece = 1 << 20;
        while piece > 0 {
            if fill.write_all(&vec![0; piece]).is_err() {
                piece /= 2;
            }
        }
        let _ = fill.sync_all();
        if let Some(status) = server.exited()? {
            return Err(format!("it ended by itself ({status}): {}", server.log_tail()).into());
        }
        if restarted.is_none() && begun.elapsed() > full_for / 2 {
            server.kill()?;
            let (again, took) = gateway.start()?;
            server = again;
            restarted = Some(took);
        }
        std::thread::sleep(POLL);
    }
    let ready = http::call(address, "GET", "/readyz")?.0;
    let while_full = Books::read(&gateway.metrics()?)?;
    println!("full: {} points acknowledged, {} requests refused; {while_full}", acknowledged(), refused());

    // The destination comes back first: delivering and letting go of segments must work where nothing can be written.
    upstream.shared().set_mode(Mode::Fast);
    let before = acknowledged();
    std::thread::sleep(Duration::from_secs(1));
    drop(fill);
    std::fs::remove_file(&filler)?;
    let resumed = until(|| Ok(acknowledged() > before + 1000))?;
    let p = fleet.progress();
    let read = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    let wrong =
        read(&p.without_retry_after) + read(&p.refused_for_ever) + read(&p.other_ack) + read(&p.unanswered);
    let (sent, remarks) = fleet.finish()?;
    let drained = drain(&upstream, &sent, Duration::from_secs(120));
    let mut books = Books::default();
    let settled = until(|| {
        books = Books::read(&gateway.metrics()?)?;
        Ok(books.is_settled())
    })?;
    let delivered = upstream.shared().account().ledger_points;
    let verified = gateway.tool(&["spool", "verify"]);
    let stop = server.stop(STOP_PATIENCE)?;
    let verdict = check::check(&sent, &upstream.shared().account());
    println!("{verdict}");
    println!(
        "refused after {}; started again on the full disk in {}; /readyz while full: {ready}; resumed after {}; backlog \
         gone after {}",
        in_words(full_at),
        in_words(restarted),
        in_words(resumed),
        in_words(drained)
    );
    println!(
        "the gateway's ledger: {books}; settled after {}; {delivered} points arrived",
        in_words(settled)
    );
    println!("spool verify: {}; clean stop: {}", words(&verified), end_in_words(stop));
    remarks.iter().for_each(|remark| println!("  ! {remark}"));
    Ok(verdict.holds()
        && verdict.acknowledged > 0
        && [full_at, restarted, resumed, drained, settled].iter().all(Option::is_some)
        && ready == 503
        && wrong == 0
        && books.of("delivered") == delivered
        && books.of("lost") == 0
        && verified.is_ok()
        && stop.is_some_and(|status| status.success()))
}

fn words(verified: &Outcome<String>) -> String {
    match verified {
        Ok(text) => text.lines().last().unwrap_or("good").to_owned(),
        Err(error) => format!("FAILED: {error}"),
    }
}

fn until(mut holds: impl FnMut() -> Outcome<bool>) -> Outcome<Option<Duration>> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if holds()? {
            return Ok(Some(begin.elapsed()));
        }
        std::thread::sleep(POLL);
    }
    Ok(None)
}
