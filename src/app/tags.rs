//! Tags that are changed while the gateway runs: first where they are kept, then in force.
//!
//! They are kept in the configuration's file. Without one, in a file of the data directory that is read instead of it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::sockets::Bound;
use super::{Source, reload};
use crate::aside::TagOrder;
use crate::config::edit;
use crate::intake::aside::{TagChange, TagSet};
use crate::intake::datakit::tags::{Tags, changed};
use crate::shard::{Change, Common};

/// Stands in for the configuration's file where none was named: what was changed at run time, and nothing else.
const FILE: &str = "kitgate.toml";

/// The file that the configuration is read from.
pub fn file(given: Option<&Path>, data_dir: &Path) -> PathBuf {
    given.map_or_else(|| data_dir.join(FILE), Path::to_owned)
}

/// Makes a change; gives the host's tags and the election's.
pub fn change(
    order: &TagOrder,
    common: &Common,
    source: &Source,
    shards: &[flume::Sender<Change>],
    bound: &mut Vec<Bound>,
) -> Result<(Tags, Tags), String> {
    let mut settings = common.live().settings.clone();
    let (before, table) = match order.set {
        TagSet::Host => (&settings.global_host_tags, "global_host_tags"),
        TagSet::Election => (&settings.global_election_tags, "election.tags"),
    };
    let (after, changes) = changed(before, &order.change);
    if changes {
        match order.set {
            TagSet::Host => {
                if !settings.election {
                    settings.global_election_tags.clone_from(&after);
                }
                settings.global_host_tags = after;
            }
            TagSet::Election => settings.global_election_tags = after,
        }
        let tags = (settings.global_host_tags.clone(), settings.global_election_tags.clone());
        let path = file(source.file.as_deref(), &settings.data_dir);
        reload::apply(settings, common, shards, bound)?;
        // In force already: who cannot write its configuration (as in a container) has the tags until it ends.
        if let Err(error) = keep(&path, table, &order.change) {
            tracing::warn!(file = %path.display(), %error, "tags were changed, and cannot be kept over a restart");
        }
        return Ok(tags);
    }
    Ok((settings.global_host_tags, settings.global_election_tags))
}

fn keep(path: &Path, table: &str, change: &TagChange) -> io::Result<()> {
    let before = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let (set, removed): (&[_], &[_]) = match change {
        TagChange::Set(set) => (set, &[]),
        TagChange::Remove(keys) => (&[], keys),
    };
    let after = edit::set_tags(&before, table, set, removed).map_err(io::Error::other)?;
    if after == before {
        return Ok(());
    }
    replace(path, after.as_bytes())
}

/// Puts a file in the place of another, as a whole or not at all. A link stays one, and so do the permissions.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    let mut file = File::create(&fresh)?;
    let written = (|| {
        file.write_all(bytes)?;
        if let Ok(metadata) = fs::metadata(path) {
            file.set_permissions(metadata.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    })();
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.toml");
        let change = TagChange::Set(vec![("a".to_owned(), "1".to_owned())]);
        keep(&path, "global_host_tags", &change).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[global_host_tags]\na = \"1\"\n");
        let link = dir.path().join("link.toml");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        keep(&link, "global_host_tags", &TagChange::Remove(vec!["a".to_owned()])).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[global_host_tags]\n");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
