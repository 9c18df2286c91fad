//! `kitgate spool` and `kitgate dlq`: to see, check, mend, take out, put in again, and give up what is kept on disk.
//!
//! - Looking is done on the files, whether or not a gateway runs on them: `list`, `verify`, `dump`, and `dlq ls | show`.
//! - What adds to a log or takes from it goes through [`Spools`]: on a stopped gateway the tool takes the owner's lock and
//!   opens the logs, on a running one it asks by the control socket. The same code runs in both cases: `replay`, `drop`,
//!   `redrive`, `import`.
//! - `repair` rewrites files and therefore needs a stopped gateway.
//!
//! Whatever moves data makes it durable at its new place before it notes that it did, so a crash between the two moves
//! some of it twice, and never loses any.

pub mod arguments;
mod blocks;
mod datakit;
mod drop;
mod dump;
mod import;
mod letters;
mod list;
mod progress;
mod purge;
mod redrive;
mod remote;
mod repair;
mod replay;
mod shown;
mod verify;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use remote::serve;

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::control::{CallError, Request, call};
use super::spools::Spools;
use crate::config::Settings;
use crate::point::Category;
use crate::spool::inspect::LogView;
use crate::spool::{OpenError, OwnError, Owner};
use arguments::{DlqVerb, Format, SpoolVerb};

/// Damage was found, or the thing could not be done.
pub const EXIT_FAILED: u8 = 1;
/// The command makes no sense as it was given.
pub const EXIT_USAGE: u8 = 2;
/// `EX_TEMPFAIL` of sysexits.h: somebody has the data directory and does not answer.
pub const EXIT_BUSY: u8 = 75;

/// Why a tool ends before it is done.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    Usage(String),
    Failed(String),
    Busy(String),
}

impl Failure {
    pub fn code(&self) -> u8 {
        match self {
            Failure::Usage(_) => EXIT_USAGE,
            Failure::Failed(_) => EXIT_FAILED,
            Failure::Busy(_) => EXIT_BUSY,
        }
    }

    pub fn text(&self) -> &str {
        let (Failure::Usage(text) | Failure::Failed(text) | Failure::Busy(text)) = self;
        text
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Failed(error.to_string())
    }
}

/// Adds to an error of a file which one it was.
fn at(path: &Path) -> impl Fn(io::Error) -> Failure + '_ {
    move |error| Failure::Failed(format!("{}: {error}", path.display()))
}

/// What a tool has to say in the end.
pub struct Said {
    pub text: String,
    pub json: Value,
    /// Whether all is well; if not, the tool ends with [`EXIT_FAILED`].
    pub good: bool,
}

/// Opens the logs of a data directory that nobody else has.
pub type OpenOffline = fn(&Settings) -> Result<Box<dyn Spools>, String>;

/// Where a tool works, and how it gets there.
pub struct Tools<'a> {
    pub settings: &'a Settings,
    pub open_offline: OpenOffline,
    pub format: Format,
    /// For what streams; what is said in the end goes there too.
    pub out: &'a mut dyn Write,
    pub now_ms: u64,
}

/// One log on disk: a category's, or a side lane of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LogPlace {
    category: Category,
    /// The target of a side lane.
    side: Option<String>,
    dir: PathBuf,
}

impl LogPlace {
    fn name(&self) -> String {
        match &self.side {
            Some(target) => format!("{} (side lane {target})", self.category.name()),
            None => self.category.name().to_owned(),
        }
    }

    fn view(&self) -> Result<LogView, Failure> {
        LogView::open(&self.dir, self.category as u8).map_err(|error| open_failure(&self.dir, &error))
    }
}

/// What the spool says of a directory, with its name.
fn open_failure(dir: &Path, error: &OpenError) -> Failure {
    Failure::Failed(format!("{}: {error}", dir.display()))
}

impl Tools<'_> {
    /// `kitgate spool …`.
    pub fn spool(&mut self, verb: &SpoolVerb) -> Result<u8, Failure> {
        let said = match verb {
            SpoolVerb::Ls => list::ls(self)?,
            SpoolVerb::Stat { category } => list::stat(self, category.0)?,
            SpoolVerb::Verify { category } => verify::verify(self, category.map(|named| named.0))?,
            SpoolVerb::Repair { category } => repair::repair(self, category.0)?,
            SpoolVerb::Dump(what) => return dump::dump(self, what),
            SpoolVerb::Replay { from, all } => replay::replay(self, from, *all)?,
            SpoolVerb::Drop { category, what, yes } => drop::drop_frames(self, category.0, what, *yes)?,
            SpoolVerb::ImportDatakit { from } => import::import(self, from)?,
        };
        self.say(&said)
    }

    /// `kitgate dlq …`.
    pub fn dlq(&mut self, verb: &DlqVerb) -> Result<u8, Failure> {
        let said = match verb {
            DlqVerb::Ls => letters::ls(self)?,
            DlqVerb::Show { which, points } => return letters::show(self, which, *points),
            DlqVerb::Redrive { which } => redrive::redrive(self, which)?,
            DlqVerb::Purge { which, yes } => purge::purge(self, which, *yes)?,
        };
        self.say(&said)
    }

    fn say(&mut self, said: &Said) -> Result<u8, Failure> {
        match self.format {
            Format::Text => self.out.write_all(said.text.as_bytes())?,
            Format::Json => writeln!(self.out, "{}", said.json)?,
        }
        self.out.flush()?;
        Ok(if said.good { 0 } else { EXIT_FAILED })
    }

    /// The folder of everything that tools keep: notes of how far they are, data on its way to a running gateway.
    fn own_dir(&self) -> PathBuf {
        self.settings.data_dir.join("tools")
    }

    /// The logs here, of one category or of all; side lanes behind their category.
    fn logs(&self, category: Option<Category>) -> Result<Vec<LogPlace>, Failure> {
        let spool = &self.settings.spool;
        if !self.settings.data_dir.is_dir() {
            let text = format!("{} is not a data directory", self.settings.data_dir.display());
            return Err(Failure::Failed(text));
        }
        let mut logs = Vec::new();
        for one in Category::ALL.into_iter().filter(|one| category.is_none_or(|wanted| wanted == *one)) {
            let dir = spool.dir(one.name());
            if dir.is_dir() {
                logs.push(LogPlace { category: one, side: None, dir });
            }
            let side = self.settings.data_dir.join("side").join(one.name());
            let mut targets = folders(&side)?;
            targets.sort();
            for target in targets {
                let dir = side.join(&target);
                logs.push(LogPlace { category: one, side: Some(target), dir });
            }
        }
        Ok(logs)
    }

    /// One tool at a time moves data here: two would move the same.
    fn alone(&self) -> Result<File, Failure> {
        let dir = self.own_dir();
        if !self.settings.data_dir.is_dir() {
            let text = format!("{} is not a data directory", self.settings.data_dir.display());
            return Err(Failure::Failed(text));
        }
        std::fs::create_dir_all(&dir).map_err(at(&dir))?;
        let path = dir.join("LOCK");
        let file = File::create(&path).map_err(at(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                Err(Failure::Busy("another tool is moving data here; try again when it has ended".to_owned()))
            }
            Err(TryLockError::Error(error)) => Err(at(&path)(error)),
        }
    }

    /// Whether somebody may be adding to the logs: the process whose number is in the lock is there. A number that is in
    /// use again errs on the careful side.
    fn is_live(&self) -> bool {
        let pid = std::fs::read_to_string(self.settings.data_dir.join("LOCK"));
        let pid = pid.ok().and_then(|text| text.trim().parse::<u32>().ok());
        pid.is_some_and(|pid| pid != std::process::id() && Path::new(&format!("/proc/{pid}")).exists())
    }

    /// The logs, to be added to and taken from: those of the gateway that runs here, or opened by this process.
    fn spools(&self) -> Result<Box<dyn Spools>, Failure> {
        let data_dir = &self.settings.data_dir;
        if !data_dir.is_dir() {
            return Err(Failure::Failed(format!("{} is not a data directory", data_dir.display())));
        }
        match Owner::take(data_dir) {
            Ok(owner) => {
                std::mem::drop(owner);
                let opened = (self.open_offline)(self.settings);
                opened.map_err(Failure::Failed)
            }
            Err(OwnError::Io { path, error }) => {
                Err(Failure::Failed(format!("cannot lock {}: {error}", path.display())))
            }
            Err(owned @ OwnError::Owned { .. }) => {
                let hello = Request::Tool { job: remote::Job::Hello.as_value() };
                match call(data_dir, &hello, remote::HELLO_PATIENCE) {
                    Ok(answer) if answer.ok => {
                        Ok(Box::new(remote::Remote::new(data_dir.clone(), self.own_dir())))
                    }
                    Ok(answer) => Err(Failure::Failed(answer.text)),
                    Err(CallError::NotRunning) => {
                        Err(Failure::Busy(format!("{owned}, which takes no orders (yet); try again")))
                    }
                    Err(CallError::Io(error)) => {
                        Err(Failure::Busy(format!("{owned}, which does not answer: {error}")))
                    }
                }
            }
        }
    }
}

/// The folders in a folder; none where there is no such folder.
fn folders(dir: &Path) -> Result<Vec<String>, Failure> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(at(dir))?;
        if entry.file_type().map_err(at(dir))?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
