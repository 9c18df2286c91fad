//! Certificates that change on disk while the gateway runs: a new pair takes the old one's place as a whole, half of one does
//! not. A file that is replaced, rewritten or linked anew is another one.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::ServerConfig;

use crate::config::TlsFiles;
use crate::net::tls::server_config;
use crate::rt::{blocking, time};

use super::Common;
use super::common::Live;

/// How often the files are looked at: a certificate is renewed days before its end.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Chains have some kilobytes; what is above is another file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What clients see, and which files it was read from.
pub struct Loaded {
    pub config: Arc<ServerConfig>,
    seen: Vec<Seen>,
}

/// Reads the files. Blocks. The error is for people.
pub fn load(files: &TlsFiles) -> Result<Loaded, String> {
    // Before they are read: what changes meanwhile is found to have changed.
    let seen = see(files);
    let read = |path: &Path| {
        let bytes = std::fs::metadata(path).and_then(|metadata| match metadata.len() {
            0..=FILE_BYTES_MAX => std::fs::read(path),
            _ => Err(io::ErrorKind::FileTooLarge.into()),
        });
        bytes.map_err(|error| format!("{}: {error}", path.display()))
    };
    let client_ca = files.client_ca.as_deref().map(read).transpose()?;
    let config = server_config(&read(&files.cert)?, &read(&files.privkey)?, client_ca.as_deref())?;
    Ok(Loaded { config, seen })
}

/// What tells one version of a file from the next.
type Seen = Option<(u64, u64, i64, i64, u64)>;

fn see(files: &TlsFiles) -> Vec<Seen> {
    let paths = [Some(&files.cert), Some(&files.privkey), files.client_ca.as_ref()];
    let seen = paths.into_iter().flatten().map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
        Some((metadata.dev(), metadata.ino(), seconds, nanoseconds, metadata.len()))
    });
    seen.collect()
}

/// Looks at the files, for as long as the shard runs.
pub async fn watch(common: Arc<Common>) {
    // What was last seen, and with which settings.
    let mut known: Option<(Arc<Live>, Vec<Seen>)> = None;
    loop {
        time::sleep(LOOK_INTERVAL).await;
        let live = common.live_owned();
        let (Some(files), Some(loaded)) = (live.settings.http.tls.clone(), &live.tls) else { continue };
        // After a reload it is what the reload has read.
        let before = match known.take() {
            Some((settings, seen)) if Arc::ptr_eq(&settings, &live) => seen,
            _ => loaded.seen.clone(),
        };
        let shared = Arc::clone(&common);
        let looked = blocking::run(move || {
            let seen = see(&files);
            if seen != before {
                match load(&files) {
                    Ok(loaded) => {
                        shared.tls.store(Some(loaded.config));
                        tracing::info!("the certificate has been read again");
                        return loaded.seen;
                    }
                    Err(error) => {
                        tracing::error!(
                            error,
                            "the certificate has changed and is no good; the old one stays"
                        );
                    }
                }
            }
            seen
        });
        match looked.await {
            Ok(seen) => known = Some((live, seen)),
            Err(error) => tracing::error!(%error, "looking at the certificate failed"),
        }
    }
}
