//! All scripts that are in force: by namespace and category, and which of them a point gets.
//!
//! Scripts come from four places. The same name in several of them means the highest one, of those that compile; `use()` finds
//! only what came from the same place for the same category. What has not changed since the last time is taken over as it is,
//! with whatever its runs have left behind.

mod select;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{
    category::Category, error::ScriptError, lib::grok::Patterns, post::StatusOptions, set::ScriptSet,
};
use crate::metrics::scripts::ScriptStats;

pub use select::{Choice, KeptChoice, Selector, key_in, key_of};

/// A script's text, at most: those that people write have some kilobytes.
pub const SCRIPT_BYTES_MAX: usize = 1 << 20;
/// Scripts of all places together. A thousand of them compile in about a second.
pub const SCRIPTS_MAX: usize = 4096;

/// Where scripts come from, the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// Those that ship with the product, and whatever is put beside them.
    Default,
    Gitrepo,
    Confd,
    /// The workspace's own, from the destination.
    Remote,
}

impl Namespace {
    pub const ALL: [Namespace; 4] =
        [Namespace::Default, Namespace::Gitrepo, Namespace::Confd, Namespace::Remote];

    pub const fn name(self) -> &'static str {
        match self {
            Namespace::Default => "default",
            Namespace::Gitrepo => "gitrepo",
            Namespace::Confd => "confd",
            Namespace::Remote => "remote",
        }
    }
}

/// The scripts of one place and category: texts by name, with `.p`.
pub type Texts = BTreeMap<String, String>;

/// What a store is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sources {
    pub texts: BTreeMap<(Namespace, Category), Texts>,
    /// Scripts of the keys of points, as the destination has them.
    pub relation: BTreeMap<Category, BTreeMap<String, String>>,
    /// What points get that have no script of their own.
    pub defaults: BTreeMap<Category, String>,
    /// Patterns of `grok` beside the built-in ones: name, expression.
    pub patterns: Vec<(String, String)>,
}

impl Sources {
    /// Adds a script. Of equal names the last one counts.
    pub fn add(&mut self, namespace: Namespace, category: Category, name: &str, text: &str) {
        self.texts.entry((namespace, category)).or_default().insert(name.to_owned(), text.to_owned());
    }
}

/// One script in force.
#[derive(Debug)]
pub struct Script {
    /// With `.p`.
    pub name: String,
    pub namespace: Namespace,
    pub set: Arc<ScriptSet>,
    /// Its place in the set.
    pub at: usize,
    pub stats: Arc<ScriptStats>,
}

/// A script that is left out.
#[derive(Clone, Debug)]
pub struct Broken {
    pub namespace: Namespace,
    pub category: Category,
    pub name: String,
    pub error: String,
}

/// The scripts of one category.
#[derive(Debug, Default)]
pub struct CategoryScripts {
    scripts: HashMap<Box<[u8]>, Arc<Script>>,
    relation: HashMap<Box<[u8]>, Box<[u8]>>,
    default: Option<Arc<Script>>,
}

impl CategoryScripts {
    pub fn len(&self) -> usize {
        self.scripts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.scripts.is_empty()
    }

    /// Whether every point that has a key has a script.
    pub fn has_default(&self) -> bool {
        self.default.is_some()
    }

    /// By name, with `.p`.
    pub fn named(&self, name: &[u8]) -> Option<&Arc<Script>> {
        self.scripts.get(name)
    }

    /// Whether any asks other hosts: such a run may take long.
    pub fn asks(&self) -> bool {
        self.scripts.values().any(|script| script.set.asks(script.at))
    }

    /// Whether any leaves something behind for its next runs: then two runs over a point are not the same as one.
    pub fn keeps(&self) -> bool {
        self.scripts.values().any(|script| script.set.keeps(script.at))
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Script>> {
        self.scripts.values()
    }
}

/// The scripts in force.
#[derive(Debug, Default)]
pub struct Store {
    categories: [CategoryScripts; Category::ALL.len()],
    sets: BTreeMap<(Namespace, Category), (Texts, Arc<ScriptSet>)>,
    patterns: Vec<(String, String)>,
    pub status: StatusOptions,
    /// Those that are left out, which is to be told.
    pub broken: Vec<Broken>,
    /// Patterns that are left out, each with what is wrong with it.
    pub broken_patterns: Vec<(String, String)>,
}

impl Store {
    /// Compiles what is new. `stats` gives a script its counts.
    pub fn build(
        sources: &Sources,
        before: Option<&Store>,
        stats: &dyn Fn(Category, Namespace, &str) -> Arc<ScriptStats>,
    ) -> Store {
        let mut store = Store::default();
        store.patterns.clone_from(&sources.patterns);
        let before = before.filter(|before| before.patterns == sources.patterns);
        let added = sources.patterns.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let (patterns, refused) = Patterns::with(added);
        store.broken_patterns = refused.into_iter().map(|(name, error)| (name, error.to_string())).collect();
        let mut room = SCRIPTS_MAX;
        // The highest place first: what it has, the lower ones do not give.
        for (&(namespace, category), texts) in sources.texts.iter().rev() {
            let known = before.and_then(|before| before.sets.get(&(namespace, category)));
            let set = match known.filter(|(known, _)| known == texts) {
                Some((_, set)) => Arc::clone(set),
                None => {
                    let kept = texts.iter().filter(|(name, text)| {
                        let fits = text.len() <= SCRIPT_BYTES_MAX;
                        if !fits {
                            let error = format!("longer than {SCRIPT_BYTES_MAX} bytes");
                            store.leave_out(namespace, category, name, error);
                        }
                        fits
                    });
                    let kept: Vec<(&str, &str)> =
                        kept.map(|(name, text)| (name.as_str(), text.as_str())).collect();
                    Arc::new(ScriptSet::compile_with(kept, &patterns))
                }
            };
            for (name, error) in set.names() {
                if let Some(error) = error {
                    store.leave_out(namespace, category, name, error.to_string());
                    continue;
                }
                let Some(Ok(at)) = set.find(name) else { continue };
                let scripts = &mut store.categories[category as usize].scripts;
                if scripts.contains_key(name.as_bytes()) {
                    continue;
                }
                if room == 0 {
                    store.leave_out(namespace, category, name, format!("more than {SCRIPTS_MAX} scripts"));
                    continue;
                }
                room -= 1;
                let stats = stats(category, namespace, name);
                let script = Script { name: name.to_owned(), namespace, set: Arc::clone(&set), at, stats };
                scripts.insert(name.as_bytes().into(), Arc::new(script));
            }
            store.sets.insert((namespace, category), (texts.clone(), set));
        }
        for (&category, relation) in &sources.relation {
            let of = &mut store.categories[category as usize];
            of.relation =
                relation.iter().map(|(key, name)| (key.as_bytes().into(), name.as_bytes().into())).collect();
        }
        for (&category, name) in &sources.defaults {
            let of = &mut store.categories[category as usize];
            of.default = of.scripts.get(name.as_bytes()).cloned();
        }
        store
    }

    fn leave_out(&mut self, namespace: Namespace, category: Category, name: &str, error: String) {
        self.broken.push(Broken { namespace, category, name: name.to_owned(), error });
    }

    pub fn of(&self, category: Category) -> &CategoryScripts {
        &self.categories[category as usize]
    }

    /// The sets that scripts belong to, those without any in force too.
    pub fn sets(&self) -> impl Iterator<Item = &Arc<ScriptSet>> {
        self.sets.values().map(|(_, set)| set)
    }

    /// How many scripts there are.
    pub fn len(&self) -> usize {
        self.categories.iter().map(CategoryScripts::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is wrong with a script of a place, if it is there and something is.
    pub fn error(&self, namespace: Namespace, category: Category, name: &str) -> Option<&ScriptError> {
        let (_, set) = self.sets.get(&(namespace, category))?;
        set.find(name)?.err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(sources: &Sources, before: Option<&Store>) -> Store {
        Store::build(sources, before, &|category, namespace, name| {
            Arc::new(ScriptStats::new(category.name(), namespace.name(), name))
        })
    }

    #[test]
    fn the_highest_place_that_has_a_good_one_gives_it() {
        let mut sources = Sources::default();
        sources.add(Namespace::Default, Category::Logging, "a.p", "add_key(a, 1)");
        sources.add(Namespace::Confd, Category::Logging, "a.p", "add_key(a, 2)");
        sources.add(Namespace::Remote, Category::Logging, "a.p", "x = @");
        sources.add(Namespace::Remote, Category::Logging, "b.p", "use(\"none.p\")");
        sources.add(Namespace::Gitrepo, Category::Logging, "huge.p", &" ".repeat(SCRIPT_BYTES_MAX + 1));
        sources.defaults.insert(Category::Logging, "a.p".to_owned());
        let store = build(&sources, None);
        let logging = store.of(Category::Logging);
        assert_eq!((logging.len(), store.len()), (1, 1));
        assert_eq!(logging.named(b"a.p").map(|script| script.namespace), Some(Namespace::Confd));
        assert_eq!(logging.default.as_ref().map(|script| script.namespace), Some(Namespace::Confd));
        let broken: Vec<_> =
            store.broken.iter().map(|broken| (broken.namespace.name(), broken.name.as_str())).collect();
        assert_eq!(broken, [("remote", "a.p"), ("remote", "b.p"), ("gitrepo", "huge.p")]);
        assert!(store.of(Category::Metric).is_empty());
    }

    #[test]
    fn what_has_not_changed_is_taken_over() {
        let mut sources = Sources::default();
        sources.add(Namespace::Default, Category::Logging, "a.p", "add_key(a, 1)");
        sources.add(Namespace::Default, Category::Metric, "a.p", "add_key(a, 1)");
        let first = build(&sources, None);
        sources.add(Namespace::Default, Category::Metric, "a.p", "add_key(a, 2)");
        let second = build(&sources, Some(&first));
        let set = |store: &Store, category| Arc::clone(&store.of(category).named(b"a.p").unwrap().set);
        assert!(Arc::ptr_eq(&set(&first, Category::Logging), &set(&second, Category::Logging)));
        assert!(!Arc::ptr_eq(&set(&first, Category::Metric), &set(&second, Category::Metric)));
    }
}
