//! Puts scripts in force: those of folders in the data directory, and those that the first destination has for its workspace,
//! which is asked for them at the start and every minute.
//!
//! ```text
//! <data_dir>/pipeline/<category>/*.p                    namespace default
//! <data_dir>/gitrepos/<repository>/pipeline/…           gitrepo
//! <data_dir>/pipeline_confd/…                           confd
//! <data_dir>/pipeline_remote.json                       remote: the last answer of the destination
//! ```
//!
//! Files in `<data_dir>/pipeline/pattern` hold patterns for `grok`, a line each: a name, and its expression. A script beside
//! the folders of categories is one for logs. Those that come with the gateway lie under `default`'s. All are read anew at a
//! reload and when the destination has others; the whole set is compiled aside and then put in force at once. What does not
//! compile is left out and told of.

mod remote;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::admin::scripts::files::{entries, patterns, scripts};
use crate::pipeline::category::Category;
use crate::pipeline::hook::carried;
use crate::pipeline::shipped;
use crate::pipeline::store::{Namespace, Sources, Store, Texts};
use crate::shard::Common;
use crate::shard::common::Live;

pub use remote::start;

/// One set is built at a time: the thread that asks the destination and a reload may want it at once.
static BUILDING: Mutex<()> = Mutex::new(());

/// Puts the scripts in force that are there without asking anybody.
pub fn put_in_force(common: &Common, live: &Live) {
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let started = Instant::now();
    let settings = &live.settings;
    let mut sources = Sources::default();
    for name in &settings.pipeline.shipped_scripts {
        for (script, text) in shipped::named(name) {
            sources.add(Namespace::Default, Category::Logging, script, text);
        }
    }
    read_folders(&settings.data_dir, &mut sources);
    if let Some(remote) = remote::kept(settings) {
        remote.add_to(&mut sources);
    }
    for (category, script) in &settings.pipeline.default_scripts {
        if let Some(category) = Category::named(category) {
            sources.defaults.insert(category, script.clone());
        }
    }
    let before = live.intake.scripts.store();
    let stats = common.registry.scripts();
    let store = Store::build(&sources, Some(&before), &|category, namespace, name| {
        stats.of(category.name(), namespace.name(), name)
    });
    for broken in &store.broken {
        let (category, namespace) = (broken.category.name(), broken.namespace.name());
        tracing::warn!(
            category,
            namespace,
            script = broken.name,
            error = broken.error,
            "a script is left out"
        );
    }
    for (name, error) in &store.broken_patterns {
        tracing::warn!(name, error, "a pattern is left out");
    }
    for category in Category::ALL {
        if let Some(carried) = carried(category) {
            stats.loaded[carried.index()].set(store.of(category).len() as u64);
        }
    }
    stats.broken.set(store.broken.len() as u64);
    stats.updates.add(1);
    stats.updated_s.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    if !store.is_empty() {
        let took_ms = started.elapsed().as_millis() as u64;
        tracing::info!(scripts = store.len(), left_out = store.broken.len(), took_ms, "scripts are in force");
    }
    live.intake.scripts.replace(store);
}

fn read_folders(data_dir: &Path, sources: &mut Sources) {
    sources.patterns = patterns(&data_dir.join("pipeline/pattern"));
    read_namespace(&data_dir.join("pipeline"), Namespace::Default, sources);
    for repository in entries(&data_dir.join("gitrepos")) {
        read_namespace(&repository.join("pipeline"), Namespace::Gitrepo, sources);
    }
    read_namespace(&data_dir.join("pipeline_confd"), Namespace::Confd, sources);
}

fn read_namespace(folder: &Path, namespace: Namespace, sources: &mut Sources) {
    // Those beside the folders first: a script of that name in `logging` takes their place.
    let of_logging = scripts(folder);
    add(namespace, Category::Logging, of_logging, sources);
    for category in Category::ALL {
        let texts = scripts(&folder.join(category.name()));
        add(namespace, category, texts, sources);
    }
}

fn add(namespace: Namespace, category: Category, texts: Texts, sources: &mut Sources) {
    for (name, text) in &texts {
        sources.add(namespace, category, name, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_by_namespace_and_category() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("pipeline/nginx.p", "beside");
        write("pipeline/mysql.p", "mysql");
        write("pipeline/logging/nginx.p", "inside");
        write("pipeline/metric/cpu.p", "cpu");
        write("pipeline/metric/deep/none.p", "deeper folders are not looked into");
        write("pipeline/readme.md", "no script");
        write("pipeline/pattern/own", "# mine\nORDER  [A-Z]+-\\d+ \n\nNAME\n");
        write("gitrepos/one/pipeline/nginx.p", "git");
        write("pipeline_confd/tracing/shop.p", "shop");
        let mut sources = Sources::default();
        read_folders(dir.path(), &mut sources);
        assert_eq!(sources.patterns, [("ORDER".to_owned(), "[A-Z]+-\\d+".to_owned())]);
        let found: Vec<(&str, &str, &str, &str)> = sources
            .texts
            .iter()
            .flat_map(|((namespace, category), texts)| {
                let of = move |(name, text): (&'_ String, &'_ String)| {
                    (
                        namespace.name(),
                        category.name(),
                        name.clone().leak() as &str,
                        text.clone().leak() as &str,
                    )
                };
                texts.iter().map(of)
            })
            .collect();
        assert_eq!(
            found,
            [
                ("default", "metric", "cpu.p", "cpu"),
                ("default", "logging", "mysql.p", "mysql"),
                ("default", "logging", "nginx.p", "inside"),
                ("gitrepo", "logging", "nginx.p", "git"),
                ("confd", "tracing", "shop.p", "shop"),
            ]
        );
    }
}
