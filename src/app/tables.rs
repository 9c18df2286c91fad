//! Fetches the reference tables of scripts, at the start and at every interval. An answer that is none, or holds a table
//! that is none, leaves those that there are.

use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::aside::scripts::fetch_tables;
use crate::config::TableSettings;
use crate::config::secret::Secret;
use crate::pipeline::state::tables::Tables;
use crate::shard::Common;

/// How often the thread looks whether it is still wanted, and whether the configuration is another one.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Starts the thread that fetches. It ends with the shards.
pub fn start(common: &Arc<Common>) -> io::Result<()> {
    let common = Arc::downgrade(common);
    let body = move || Puller::default().run(&common);
    std::thread::Builder::new().name("tables".to_owned()).spawn(body).map(drop)
}

#[derive(Default)]
struct Puller {
    /// Where they were fetched last.
    url: Option<Secret>,
    /// Of the last document that was one.
    digest: Option<[u8; 32]>,
    next: Option<Instant>,
    /// The last time came to nothing, which was said.
    has_failed: bool,
}

impl Puller {
    fn run(mut self, common: &Weak<Common>) {
        loop {
            let Some(common) = common.upgrade().filter(|common| !common.is_stopping()) else { return };
            let settings = common.live().settings.pipeline.tables.clone();
            self.look(&common, &settings);
            drop(common);
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    fn look(&mut self, common: &Common, settings: &TableSettings) {
        if settings.url != self.url {
            // Tables of another place are other tables.
            common.tables.store(None);
            *self = Puller { url: settings.url.clone(), ..Puller::default() };
        }
        let Some(url) = &self.url else { return };
        if self.next.is_some_and(|next| Instant::now() < next) {
            return;
        }
        match fetch_tables(url).and_then(|document| self.take(common, &document)) {
            Ok(()) => self.has_failed = false,
            Err(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    tracing::warn!(
                        error,
                        "no reference tables from refer_table_url; those that are there stay"
                    );
                }
            }
        }
        self.next = Some(Instant::now() + settings.interval);
    }

    /// Puts a document in place, unless it is there already.
    fn take(&mut self, common: &Common, document: &[u8]) -> Result<(), String> {
        let mut digest = [0; 32];
        digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, document).as_ref());
        if self.digest == Some(digest) {
            return Ok(());
        }
        let tables = Tables::read(document).map_err(|error| format!("the answer {error}"))?;
        tracing::info!(tables = tables.len(), rows = tables.rows(), "reference tables are in place");
        common.tables.store(Some(tables));
        self.digest = Some(digest);
        Ok(())
    }
}
