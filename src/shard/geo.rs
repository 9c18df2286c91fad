//! Watches the databases that say where clients are. They are replaced under a running gateway, as `geoipupdate` does: what
//! is there now is read and checked off the shard, and takes the old one's place as a whole. A file that cannot be read or
//! is damaged leaves the old one where it is, and is told of once.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::intake::datakit::rum::geo::Geo;
use crate::rt::{blocking, time};

use super::Common;

/// How often the files are looked at: they change once or twice a week, and tests do not like to wait.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// A database of the whole world has some hundred megabytes; what is above is another file.
const FILE_BYTES_MAX: u64 = 2 << 30;

/// How the bytes of a file join what is known.
type Join = fn(&Geo, Vec<u8>) -> Result<Geo, String>;

/// One file, and what was last seen of it.
struct Watched {
    path: PathBuf,
    join: Join,
    seen: Option<Seen>,
}

/// What tells one version of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Missing,
    File { modified: SystemTime, bytes: u64, inode: u64 },
}

/// The files of a configuration.
pub struct Watcher {
    files: Vec<Watched>,
    common: Arc<Common>,
}

impl Watcher {
    pub fn new(common: &Arc<Common>) -> Watcher {
        let live = common.live();
        let (rum, pipeline) = (&live.settings.rum, &live.settings.pipeline);
        let files: [(Option<&PathBuf>, Join); 2] = [
            (rum.geoip_database.as_ref().or(pipeline.geoip_database.as_ref()), Geo::with_city),
            (rum.isp_database.as_ref().or(pipeline.isp_database.as_ref()), Geo::with_isp),
        ];
        let watched = files
            .into_iter()
            .filter_map(|(path, join)| Some(Watched { path: path?.clone(), join, seen: None }));
        Watcher { files: watched.collect(), common: Arc::clone(common) }
    }

    /// Looks at the files once, so that the first request finds what is there.
    pub async fn look(&mut self) -> io::Result<()> {
        if self.files.is_empty() {
            return Ok(());
        }
        let (mut files, common) = (std::mem::take(&mut self.files), Arc::clone(&self.common));
        self.files = blocking::run(move || {
            for file in &mut files {
                file.look(&common);
            }
            files
        })
        .await?;
        Ok(())
    }

    /// Goes on looking, for as long as the shard runs.
    pub async fn run(mut self) {
        while !self.files.is_empty() {
            time::sleep(LOOK_INTERVAL).await;
            if let Err(error) = self.look().await {
                tracing::error!(%error, "databases of addresses are no longer watched");
            }
        }
    }
}

impl Watched {
    /// Looks once, and reads the file if it is another one than before. Blocks.
    fn look(&mut self, common: &Common) {
        let file = self.path.display();
        let seen = match see(&self.path) {
            Ok(seen) => seen,
            Err(error) => {
                if self.seen.replace(Seen::Missing) != Some(Seen::Missing) {
                    tracing::error!(%file, %error, "no database of addresses there; what was known stays known");
                }
                return;
            }
        };
        if self.seen.replace(seen) == Some(seen) {
            return;
        }
        let live = &common.live().intake.geo;
        let joined = read(&self.path).map_err(|error| error.to_string());
        match joined.and_then(|bytes| (self.join)(&live.load(), bytes)) {
            Ok(geo) => {
                live.store(geo);
                tracing::info!(%file, "addresses are looked up in this database");
            }
            Err(error) => {
                tracing::error!(%file, error, "the database of addresses is damaged; what was known stays known");
            }
        }
    }
}

fn see(path: &Path) -> io::Result<Seen> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path)?;
    Ok(Seen::File { modified: metadata.modified()?, bytes: metadata.len(), inode: metadata.ino() })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large for a database of addresses"));
    }
    std::fs::read(path)
}
