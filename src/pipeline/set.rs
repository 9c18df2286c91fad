//! The scripts of one namespace and category, compiled together: they can use each other.

use std::sync::LazyLock;

use bumpalo::Bump;

use super::{
    compile::{Compiled, Use, compile},
    error::{Error, Lines, ScriptError},
    lib::grok::Patterns,
    node::Program,
    record::Record,
    state::ScriptState,
    vm::{Host, Vm},
};

/// How many scripts in a row use each other, the first one included.
pub const USES_MAX: usize = 32;

/// Scripts by name. One with an error cannot be run, nor can one that uses it.
#[derive(Debug, Default)]
pub struct ScriptSet {
    /// By name.
    scripts: Vec<Script>,
}

#[derive(Debug)]
struct Script {
    name: String,
    program: Result<Program, Error>,
    /// What its runs leave behind.
    state: ScriptState,
    /// It, or a script that it uses, asks other hosts.
    asks: bool,
    /// Likewise, it leaves something behind for its next runs.
    keeps: bool,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome<'r> {
    /// As the run left it, also after an error.
    pub record: Record<'r>,
    pub error: Option<Error>,
}

impl ScriptSet {
    /// Compiles scripts, each a name with `.p` and a text. Of equal names the last one counts.
    pub fn compile<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> ScriptSet {
        static BUILT_IN: LazyLock<Patterns> = LazyLock::new(Patterns::built_in);
        ScriptSet::compile_with(sources, &BUILT_IN)
    }

    /// The same, with patterns of the user's beside the built-in ones.
    pub fn compile_with<'a>(
        sources: impl IntoIterator<Item = (&'a str, &'a str)>,
        patterns: &Patterns,
    ) -> ScriptSet {
        let sources: std::collections::BTreeMap<&str, &str> = sources.into_iter().collect();
        let names: Vec<&str> = sources.keys().copied().collect();
        let index = |name: &str| names.binary_search(&name).ok();
        let compiled: Vec<_> =
            sources.iter().map(|(name, source)| compile(name, source, &index, patterns)).collect();
        let linked: Vec<_> = (0..names.len()).map(|at| Linker::new(&compiled).link(at)).collect();
        let asking = with_uses(&compiled, |program| program.asks);
        let keeping = with_uses(&compiled, |program| program.keeps);
        let scripts = names.iter().zip(compiled).zip(linked).zip(asking.into_iter().zip(keeping));
        let scripts = scripts.map(|(((name, compiled), linked), (asks, keeps))| {
            let program = match linked {
                Ok(()) => compiled.map(|compiled| compiled.program),
                Err(error) => Err(error),
            };
            Script { name: (*name).to_owned(), program, state: ScriptState::default(), asks, keeps }
        });
        ScriptSet { scripts: scripts.collect() }
    }

    /// The place of a script, if it can be run; else what is wrong with it. None if there is no such script.
    pub fn find(&self, name: &str) -> Option<Result<usize, &ScriptError>> {
        let at = self.scripts.binary_search_by(|script| script.name.as_str().cmp(name)).ok()?;
        let script = self.scripts.get(at)?;
        Some(match &script.program {
            Ok(_) => Ok(at),
            Err(error) => Err(error),
        })
    }

    /// The names of all scripts, each with its error if it has one.
    pub fn names(&self) -> impl Iterator<Item = (&str, Option<&ScriptError>)> {
        self.scripts
            .iter()
            .map(|script| (script.name.as_str(), script.program.as_ref().err().map(|error| &**error)))
    }

    pub(super) fn program(&self, at: usize) -> Option<&Program> {
        self.scripts.get(at)?.program.as_ref().ok()
    }

    /// What the runs of the script at that place have left behind.
    pub fn state(&self, at: usize) -> Option<&ScriptState> {
        self.scripts.get(at).map(|script| &script.state)
    }

    /// What scripts have left behind, by name, of those that leave something.
    pub fn states(&self) -> impl Iterator<Item = (&str, &ScriptState)> {
        let keeping = self.scripts.iter().filter(|script| script.keeps);
        keeping.map(|script| (script.name.as_str(), &script.state))
    }

    /// Whether the script at that place asks other hosts: such a run may take long, for it waits for them.
    pub fn asks(&self, at: usize) -> bool {
        self.scripts.get(at).is_some_and(|script| script.asks)
    }

    /// Whether it leaves something behind for its next runs: two runs over a point are not the same as one.
    pub fn keeps(&self, at: usize) -> bool {
        self.scripts.get(at).is_some_and(|script| script.keeps)
    }

    /// Runs the script at that place (see [`ScriptSet::find`]) over a point.
    pub fn run<'r>(
        &'r self,
        at: usize,
        record: Record<'r>,
        arena: &'r Bump,
        host: &'r dyn Host,
    ) -> Outcome<'r> {
        let (Some(program), Some(state)) = (self.program(at), self.state(at)) else {
            return Outcome { record, error: None };
        };
        let mut vm = Vm::new(arena, host, self, program, state, record);
        let error = vm.run_body().err();
        Outcome { record: vm.record, error }
    }
}

/// Which scripts do something, themselves or by those that they use.
fn with_uses(scripts: &[Result<Compiled, Error>], does: impl Fn(&Program) -> bool) -> Vec<bool> {
    let mut doing: Vec<bool> =
        scripts.iter().map(|script| script.as_ref().is_ok_and(|script| does(&script.program))).collect();
    // Those that use one which does, then those that use these, as far as uses go.
    for _ in 0..USES_MAX {
        let mut changed = false;
        for (at, script) in scripts.iter().enumerate() {
            let uses = script.iter().flat_map(|script| &script.uses).filter_map(|used| used.index);
            let does = uses.into_iter().any(|used| doing.get(used).copied().unwrap_or(false));
            if let Some(known) = doing.get_mut(at)
                && does
                && !*known
            {
                (*known, changed) = (true, true);
            }
        }
        if !changed {
            break;
        }
    }
    doing
}

/// Follows the uses of scripts.
struct Linker<'a> {
    scripts: &'a [Result<Compiled, Error>],
    /// Whose uses are being followed, from the first one inward, each with the use that is.
    path: Vec<(usize, &'a Use)>,
    /// Known to have no error.
    sound: Vec<bool>,
}

impl<'a> Linker<'a> {
    fn new(scripts: &'a [Result<Compiled, Error>]) -> Linker<'a> {
        Linker { scripts, path: Vec::new(), sound: vec![false; scripts.len()] }
    }

    fn lines(&self, at: usize) -> Option<&'a Lines> {
        Some(&self.scripts.get(at)?.as_ref().ok()?.program.lines)
    }

    fn link(&mut self, at: usize) -> Result<(), Error> {
        let Some(script) = self.scripts.get(at) else { return Ok(()) };
        let compiled = script.as_ref().map_err(Error::clone)?;
        if self.sound.get(at).copied().unwrap_or(false) {
            return Ok(());
        }
        let lines = &compiled.program.lines;
        for used in &compiled.uses {
            let Some(index) = used.index else {
                return Err(lines.error(used.pos, format!("script {} not found", used.script)));
            };
            self.path.push((at, used));
            let result = self.follow(index);
            self.path.pop();
            result.map_err(|error| lines.called(error, used.pos))?;
        }
        if let Some(sound) = self.sound.get_mut(at) {
            *sound = true;
        }
        Ok(())
    }

    fn follow(&mut self, at: usize) -> Result<(), Error> {
        let Some(from) = self.path.iter().position(|(script, _)| *script == at) else {
            if self.path.len() >= USES_MAX {
                let (script, used) = self.path.last().copied().unwrap_or((at, &NO_USE));
                let message = format!("more than {USES_MAX} scripts use each other");
                return Err(self.lines(script).map_or_else(unknown, |lines| lines.error(used.pos, message)));
            }
            return self.link(at);
        };
        let circle = self.path.get(from..).unwrap_or_default();
        let names = circle.iter().map(|(script, _)| *script).chain(std::iter::once(at));
        let names: Vec<&str> = names.filter_map(|script| self.lines(script)).map(Lines::file).collect();
        let message = format!("circular dependency: {}", names.join(" -> "));
        let pos = circle.first().map_or(0, |(_, used)| used.pos);
        Err(self.lines(at).map_or_else(unknown, |lines| lines.error(pos, message)))
    }
}

static NO_USE: Use = Use { script: String::new(), index: None, pos: 0 };

fn unknown() -> Error {
    Box::new(ScriptError { places: Vec::new(), message: "script not found".to_owned() })
}
