//! Side lanes on disk: `<data_dir>/side/<category>/<destination>`, each a log as those of the categories.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::rc::Weak;
use std::time::Duration;

use crate::rt::{blocking, spawn, time};
use crate::spool::{DirectDisk, Log, RecoveryReport};
use crate::upload::side_log::SideDisks;

use super::uploads::HomeLog;

/// The folder of side lanes in the data directory.
pub const SIDE_DIR: &str = "side";

/// Completions within this time share a durable write of the cursor; and the pause after one that failed.
const MAINTAIN_PAUSE: Duration = Duration::from_millis(100);
const MAINTAIN_RETRY: Duration = Duration::from_secs(1);

/// The side lanes of one category.
pub struct SideFolders {
    dir: PathBuf,
    /// Who counts what is in them; set once it is there.
    home: RefCell<Weak<HomeLog>>,
}

impl SideFolders {
    pub fn new(dir: PathBuf) -> SideFolders {
        SideFolders { dir, home: RefCell::default() }
    }

    pub fn counted_by(&self, home: &Rc<HomeLog>) {
        *self.home.borrow_mut() = Rc::downgrade(home);
    }
}

impl SideDisks for SideFolders {
    type Disk = DirectDisk;

    async fn open(&self, name: &str) -> io::Result<DirectDisk> {
        DirectDisk::open(&self.dir.join(name)).await
    }

    async fn names(&self) -> io::Result<Vec<String>> {
        let dir = self.dir.clone();
        blocking::run(move || {
            let entries = match std::fs::read_dir(&dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                entries => entries?,
            };
            let mut names = Vec::new();
            for entry in entries {
                let entry = entry?;
                if entry.file_type()?.is_dir()
                    && let Ok(name) = entry.file_name().into_string()
                {
                    names.push(name);
                }
            }
            names.sort();
            Ok(names)
        })
        .await?
    }

    fn opened(&self, name: &str, log: &Rc<Log<DirectDisk>>, report: &RecoveryReport) {
        let home = self.home.borrow().clone();
        if let Some(home) = home.upgrade() {
            home.side_opened(name, log, report);
        }
        spawn(maintain(Rc::clone(log), home, name.to_owned()));
    }
}

/// Keeps a side lane in order, for ever.
async fn maintain(log: Rc<Log<DirectDisk>>, home: Weak<HomeLog>, name: String) {
    loop {
        log.maintenance_needed().await;
        time::sleep(MAINTAIN_PAUSE).await;
        if let Err(error) = log.maintain().await {
            tracing::warn!(side_lane = name, %error, "a side lane's background work failed; trying again");
            time::sleep(MAINTAIN_RETRY).await;
        }
        if let Some(home) = home.upgrade() {
            home.publish();
        }
    }
}
