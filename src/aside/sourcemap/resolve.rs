//! From a stack to the original one: which archive, which program, and what comes out.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::config::SourcemapSettings;
use crate::intake::datakit::rum::sources::{Answer, Answers, Platform, Question, answer};

use super::frames::{self, Resolved};
use super::map::SourceMap;
use super::mobile::{self, Address, Addresses, Shrinker};
use super::store::{OutOfTime, Store};
use super::tools;

/// Maps that one stack may ask for: a page has some scripts, and each costs unpacking the first time.
const MAPS_OF_STACK_MAX: usize = 64;

/// Programs that one stack may have run.
const RUNS_OF_STACK_MAX: usize = 32;

/// Files and folders that are looked at for a module's symbols.
const SEARCHED_MAX: usize = 20_000;

/// How much of a mapping tells who wrote it.
const MAPPING_HEAD_BYTES: u64 = 64 * 1024;

/// How long it holds that a stack could not be resolved: a program may be busy, symbols on their way.
const FAILURE_HOLDS: Duration = Duration::from_secs(15);

/// How long a request's stacks are worked on once its points have gone on without: what is found serves the next ones.
pub const BEYOND_WAIT: Duration = Duration::from_secs(60);

/// Why there is no resolved stack.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no such archive, or none that can be read.
    NoArchive,
    OutOfTime,
    /// Of no matter to whoever sent the stack: told in the log.
    Other(String),
}

impl From<OutOfTime> for Failure {
    fn from(_: OutOfTime) -> Failure {
        Failure::OutOfTime
    }
}

impl Store {
    /// Resolves what a request asked, into `answers` as it is found, and keeps it for others.
    pub fn answer(
        &self,
        questions: &[Question],
        answers: &Answers,
        settings: &SourcemapSettings,
        deadline: Instant,
    ) {
        for question in questions {
            if Instant::now() >= deadline {
                return;
            }
            let found = self.resolve(question, settings, deadline);
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let (found, until_ns): (Answer, i64) = match found {
                Ok(stack) => (answer(&stack), i64::MAX),
                // There will be time again.
                Err(Failure::OutOfTime) => continue,
                Err(failure) => {
                    let platform = question.platform.name();
                    tracing::debug!(platform, archive = %question.archive, ?failure, "a stack is not resolved");
                    (None, (now + FAILURE_HOLDS).as_nanos() as i64)
                }
            };
            answers.put(question.key, found.clone());
            self.sources().keep(question.key, found, until_ns);
        }
    }

    fn resolve(
        &self,
        question: &Question,
        settings: &SourcemapSettings,
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let (platform, archive) = (question.platform, &*question.archive);
        match platform {
            Platform::Web | Platform::Miniapp => self
                .resolve_web(platform, archive, &question.stack, settings, deadline)
                .map(|found| found.stack),
            Platform::Android => {
                self.resolve_android(archive, &question.error_type, &question.stack, settings, deadline)
            }
            Platform::Ios => self.resolve_ios(archive, &question.stack, settings, deadline),
        }
    }

    /// A browser's stack, by maps.
    pub fn resolve_web(
        &self,
        platform: Platform,
        archive: &str,
        stack: &[u8],
        settings: &SourcemapSettings,
        deadline: Instant,
    ) -> Result<Resolved, Failure> {
        let open = self.open(platform, archive, Instant::now()).ok_or(Failure::NoArchive)?;
        let mut maps: HashMap<Box<str>, Option<Arc<SourceMap>>> = HashMap::new();
        let mut out_of_time = false;
        let resolved = frames::resolve(stack, &mut |path| {
            if let Some(map) = maps.get(path) {
                return map.clone();
            }
            if maps.len() >= MAPS_OF_STACK_MAX || out_of_time {
                return None;
            }
            let map = self.map(&open, path, settings, deadline).unwrap_or_else(|OutOfTime| {
                out_of_time = true;
                None
            });
            maps.insert(path.into(), map.clone());
            map
        });
        if out_of_time { Err(Failure::OutOfTime) } else { Ok(resolved) }
    }

    /// A crash on Android, by the programs of its makers.
    fn resolve_android(
        &self,
        archive: &str,
        error_type: &[u8],
        stack: &[u8],
        settings: &SourcemapSettings,
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let folder = self.unpacked(Platform::Android, archive);
        match error_type {
            b"java_crash" => {
                let mapping = folder.join("mapping.txt");
                let tool = match mobile::shrinker(&head_of(&mapping)?) {
                    Shrinker::R8 => within(&settings.android_cmdline_home, "bin/retrace")?,
                    Shrinker::Proguard => within(&settings.proguard_home, "bin/retrace.sh")?,
                };
                let arguments = [tool.as_os_str(), mapping.as_os_str()];
                let output = self.run(Path::new("/bin/sh"), &arguments, stack, settings, deadline)?;
                Ok(mobile::retraced(&output))
            }
            b"native_crash" => {
                let tool = within(&settings.ndk_home, "ndk-stack")?;
                let abi = mobile::abi(stack).ok_or_else(|| other("the stack names no known ABI"))?;
                let symbols = folder.join(abi);
                if !symbols.is_dir() {
                    return Err(other("the archive has no folder of the ABI"));
                }
                let arguments = [OsStr::new("--sym"), symbols.as_os_str()];
                let output = self.run(&tool, &arguments, stack, settings, deadline)?;
                Ok(mobile::with_native_trace(stack, &output))
            }
            _ => Err(other("neither java_crash nor native_crash")),
        }
    }

    /// A crash on iOS, by a program that reads its symbols.
    pub fn resolve_ios(
        &self,
        archive: &str,
        stack: &[u8],
        settings: &SourcemapSettings,
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let tool = atos(settings)?;
        let folder = self.unpacked(Platform::Ios, archive);
        if !folder.is_dir() {
            return Err(Failure::NoArchive);
        }
        let addresses = mobile::addresses(stack);
        if addresses.is_empty() {
            return Err(other("the stack has no addresses"));
        }
        let mut symbols = Vec::new();
        let mut runs = 0;
        self.symbols(&tool, &folder, &addresses, settings, deadline, &mut runs, &mut symbols)?;
        Ok(mobile::with_symbols(stack, &symbols))
    }

    #[expect(clippy::too_many_arguments, reason = "one step of the above, by itself for its loop")]
    fn symbols(
        &self,
        tool: &Path,
        folder: &Path,
        addresses: &Addresses,
        settings: &SourcemapSettings,
        deadline: Instant,
        runs: &mut usize,
        symbols: &mut Vec<(Address, Vec<u8>)>,
    ) -> Result<(), Failure> {
        for (module, loads) in addresses {
            let Some(file) = symbol_file(folder, module) else { continue };
            for (load, of_load) in loads {
                let mut ask = |asked: &[Address]| -> Result<Vec<Vec<u8>>, Failure> {
                    *runs += 1;
                    if *runs > RUNS_OF_STACK_MAX {
                        return Ok(Vec::new());
                    }
                    let mut arguments: Vec<&OsStr> =
                        vec!["-o".as_ref(), file.as_os_str(), "-l".as_ref(), load.as_ref()];
                    arguments.extend(asked.iter().map(|address| OsStr::new(&address.address)));
                    match self.run(tool, &arguments, b"", settings, deadline) {
                        Ok(output) => Ok(mobile::lines(&output)),
                        Err(Failure::OutOfTime) => Err(Failure::OutOfTime),
                        Err(_) => Ok(Vec::new()),
                    }
                };
                let found = ask(of_load)?;
                if found.len() == of_load.len() {
                    symbols.extend(of_load.iter().cloned().zip(found));
                } else if !found.is_empty() && of_load.len() > 1 {
                    // One of them was answered in none or several lines: each by itself.
                    for address in of_load {
                        if let Ok([symbol]) = <[Vec<u8>; 1]>::try_from(ask(std::slice::from_ref(address))?) {
                            symbols.push((address.clone(), symbol));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn run(
        &self,
        tool: &Path,
        arguments: &[&OsStr],
        stack: &[u8],
        settings: &SourcemapSettings,
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let _slot = self.tools.take(settings.tool_runs, deadline).ok_or(Failure::OutOfTime)?;
        let own = Instant::now() + settings.tool_timeout;
        tools::run(tool, arguments, stack, own.min(deadline)).map_err(|error| {
            match error.kind() == std::io::ErrorKind::TimedOut && deadline <= own {
                true => Failure::OutOfTime,
                false => other(&format!("{}: {error}", tool.display())),
            }
        })
    }
}

fn other(text: &str) -> Failure {
    Failure::Other(text.to_owned())
}

/// A program below a configured folder, if both are there.
fn within(home: &Option<PathBuf>, name: &str) -> Result<PathBuf, Failure> {
    let path =
        home.as_ref().map(|home| home.join(name)).ok_or_else(|| other("its program is not configured"))?;
    if !path.is_file() {
        return Err(other(&format!("there is no {}", path.display())));
    }
    Ok(path)
}

/// The program for symbols of iOS: the configured one or, where that is not there, one of the usual name.
fn atos(settings: &SourcemapSettings) -> Result<PathBuf, Failure> {
    let configured = settings.atos_bin_path.as_ref().ok_or_else(|| other("its program is not configured"))?;
    if configured.is_file() {
        return Ok(configured.clone());
    }
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&search).map(|folder| folder.join("atosl")).find(|path| path.is_file());
    found.ok_or_else(|| other(&format!("there is no {}", configured.display())))
}

fn head_of(mapping: &Path) -> Result<Vec<u8>, Failure> {
    let mut head = Vec::new();
    let file = File::open(mapping).map_err(|error| other(&format!("{}: {error}", mapping.display())))?;
    file.take(MAPPING_HEAD_BYTES).read_to_end(&mut head).map_err(|error| other(&error.to_string()))?;
    Ok(head)
}

/// Where the symbols of a module are: `<module>….dSYM`, a file, or a folder with the file inside.
fn symbol_file(folder: &Path, module: &str) -> Option<PathBuf> {
    if module.contains('/') || module == "." || module == ".." {
        return None;
    }
    let mut folders = std::collections::VecDeque::from([folder.to_owned()]);
    let mut searched = 0;
    while let Some(folder) = folders.pop_front() {
        let mut entries: Vec<fs::DirEntry> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            searched += 1;
            if searched > SEARCHED_MAX {
                return None;
            }
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(module) && name.to_ascii_lowercase().ends_with(".dsym") {
                let inside = entry.path().join("Contents/Resources/DWARF").join(module);
                if kind.is_file() {
                    return Some(entry.path());
                } else if kind.is_dir() && inside.is_file() {
                    return Some(inside);
                }
            }
            if kind.is_dir() {
                folders.push_back(entry.path());
            }
        }
    }
    None
}
