//! The scripts in force: read by every request, replaced as a whole by whoever brings new ones.
//!
//! A request asks once, and goes by what it was given to its end. Where no category has a script that is one look at a flag.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;

use crate::pipeline::hook::scripted;
use crate::pipeline::store::{CategoryScripts, Store};
use crate::pipeline::vm::Host;
use crate::point::Category;

/// What runs ask of the world.
pub type SharedHost = Arc<dyn Host + Send + Sync>;

/// The scripts of now.
#[derive(Default)]
pub struct LiveScripts {
    store: ArcSwap<Store>,
    /// One bit a category that has scripts.
    some: AtomicU32,
    /// One bit a category of which scripts ask other hosts.
    asking: AtomicU32,
    /// One bit a category of which a script must not run twice over a point.
    once: AtomicU32,
    host: OnceLock<SharedHost>,
}

impl fmt::Debug for LiveScripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveScripts").field("store", &self.store).finish_non_exhaustive()
    }
}

impl LiveScripts {
    /// The scripts, if this category has any.
    pub fn of(&self, category: Category) -> Option<Arc<Store>> {
        self.has(category).then(|| self.store.load_full())
    }

    /// Whether a category has scripts.
    pub fn has(&self, category: Category) -> bool {
        self.some.load(Ordering::Acquire) >> category.index() & 1 != 0
    }

    /// Whether scripts of a category ask other hosts: then no shard is to run them.
    pub fn asks(&self, category: Category) -> bool {
        self.asking.load(Ordering::Acquire) >> category.index() & 1 != 0
    }

    /// Whether scripts of a category are to run over a body when it is certain that this is the only time: they wait for other
    /// hosts, or leave something behind for their next runs.
    pub fn once(&self, category: Category) -> bool {
        self.once.load(Ordering::Acquire) >> category.index() & 1 != 0
    }

    /// The same of any category.
    pub fn any_once(&self) -> bool {
        self.once.load(Ordering::Acquire) != 0
    }

    /// The scripts, if any category has some: for a body that becomes points of several.
    pub fn any(&self) -> Option<Arc<Store>> {
        (self.some.load(Ordering::Acquire) != 0).then(|| self.store.load_full())
    }

    /// All of them, for whoever builds the next ones.
    pub fn store(&self) -> Arc<Store> {
        self.store.load_full()
    }

    /// Puts others in force, for every request from now on. Without a host none is run.
    pub fn replace(&self, store: Store) {
        let bits = |holds: &dyn Fn(&CategoryScripts) -> bool| {
            let of = |category: &Category| scripted(*category).is_some_and(|of| holds(store.of(of)));
            Category::ALL.into_iter().filter(of).fold(0, |bits, category| bits | 1 << category.index())
        };
        let (some, asking) = (bits(&|scripts| !scripts.is_empty()), bits(&CategoryScripts::asks));
        let keeping = bits(&CategoryScripts::keeps);
        self.store.store(Arc::new(store));
        self.asking.store(asking, Ordering::Release);
        self.once.store(asking | keeping, Ordering::Release);
        self.some.store(if self.host.get().is_some() { some } else { 0 }, Ordering::Release);
    }

    /// Says what runs ask of the world: once, before the first scripts.
    pub fn set_host(&self, host: SharedHost) {
        let _ = self.host.set(host);
    }

    pub fn host(&self) -> Option<&SharedHost> {
        self.host.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::scripts::ScriptStats;
    use crate::pipeline::category::Category as Scripted;
    use crate::pipeline::store::{Namespace, Sources};

    struct Still;

    impl Host for Still {
        fn now_ns(&self) -> i64 {
            0
        }
    }

    #[test]
    fn only_categories_with_scripts_are_told_of() {
        let scripts = LiveScripts::default();
        let mut sources = Sources::default();
        sources.add(Namespace::Confd, Scripted::Rum, "a.p", "add_key(a, 1)");
        let build = || Store::build(&sources, None, &|_, _, _| Arc::<ScriptStats>::default());
        scripts.replace(build());
        assert!(scripts.any().is_none(), "nobody could run them");
        scripts.set_host(Arc::new(Still));
        scripts.replace(build());
        assert!(scripts.any().is_some() && scripts.of(Category::Logging).is_none());
        let held = scripts.of(Category::Rum).unwrap();
        scripts.replace(Store::default());
        assert!(scripts.of(Category::Rum).is_none());
        assert_eq!(held.of(Scripted::Rum).len(), 1, "a request goes by what it was given");
    }
}
