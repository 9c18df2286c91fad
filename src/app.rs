//! The process: probe the host, bind every address, start one shard a core, and then do what signals and the control
//! socket say until one of them says stop.
//!
//! - [`filters`]: puts the rules in force by which points are dropped
//! - [`scripts`]: reads the scripts by which points are rewritten, and puts them in force
//! - [`sockets`]: the addresses that are served
//! - [`reload`]: another configuration, as a whole or not at all
//! - [`tables`]: fetches reference tables of scripts
//! - [`tags`]: tags that requests change
//! - [`upgrade`]: another process takes over

mod filters;
mod pulls;
mod reload;
mod scripts;
mod sockets;
mod tables;
mod tags;
mod upgrade;

use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use crate::admin::control::{self, Answer, Request};
use crate::admin::spools::Spools;
use crate::admin::tools;
use crate::aside::{TagOrder, sourcemap};
use crate::config::{self, Resolved, Settings};
use crate::metrics::Registry;
use crate::rt::wake::Waker;
use crate::rt::{blocking, probe, shard as executor};
use crate::shard::common::{Live, Stop};
use crate::shard::control::Offline;
use crate::shard::exchange::{self, Ends};
use crate::shard::world::World;
use crate::shard::{self, Change, Common, Orders, ShardParts};
use crate::sink;
use crate::spool::Owner;
use pulls::Pulls;
use sockets::Bound;
use upgrade::{Predecessor, Successor};

/// The process failed.
const EXIT_FAILURE: u8 = 1;

/// A job that nobody waits for any more, as a dead letter being written, ends within this time before the spool changes
/// hands.
const SETTLE_PATIENCE: Duration = Duration::from_secs(10);

/// Where settings come from: read again at every reload.
pub struct Source {
    pub file: Option<PathBuf>,
    /// Problems are for people, a line each.
    pub load: fn(Option<&Path>) -> Result<Resolved, Vec<String>>,
}

/// What the main thread waits for.
enum Event {
    Signal(i32),
    Ready,
    Ended {
        shard: usize,
        result: io::Result<()>,
    },
    /// From the control socket.
    Asked {
        request: Request,
        reply: flume::Sender<Answer>,
    },
    /// A request changes tags.
    Tags(TagOrder),
    /// A new process could take over, or could not.
    Prepared(Result<Successor, String>),
}

/// Where a configuration is read from: the file that was named, or what stands in for it.
pub fn config_file(given: Option<&Path>, data_dir: &Path) -> PathBuf {
    tags::file(given, data_dir)
}

/// How the shards ended.
enum End {
    Stopped,
    /// For a new process, and for whoever asked for it.
    HandOver {
        successor: Successor,
        reply: flume::Sender<Answer>,
    },
}

/// Runs the gateway until a signal or a failure.
pub fn run(settings: Settings, source: &Source) -> ExitCode {
    match serve(settings, source) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kitgate: {error}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

/// The spools of a data directory on which no gateway runs, for tools.
pub fn open_spools(settings: &Settings) -> Result<Box<dyn Spools>, String> {
    Ok(Box::new(Offline::open(&settings.data_dir, &settings.spool)?))
}

/// What the host does not grant, for `check` and for the start.
pub fn probe(settings: &Settings) -> Vec<probe::Finding> {
    probe::probe(&probe::Wanted {
        shards: settings.shards.len(),
        connections_max: settings.limits.connections_max as u64,
        data_dir: &settings.data_dir,
    })
}

fn serve(settings: Settings, source: &Source) -> io::Result<()> {
    let findings = probe(&settings);
    let mut fatal = false;
    for finding in &findings {
        fatal |= finding.fatal;
        eprintln!("kitgate: {}: {finding}", if finding.fatal { "cannot start" } else { "warning" });
    }
    if fatal {
        return Err(io::Error::other("the host does not grant what is needed"));
    }
    // Now: after an upgrade something else may lie there.
    let program = std::env::current_exe()?;
    let names: Vec<&'static str> = config::LISTENERS.to_vec();
    let (mut predecessor, before) = match Predecessor::find(&names)? {
        Some((predecessor, before)) => (Some(predecessor), before),
        None => (None, Vec::new()),
    };
    let mut bound = sockets::bind(&settings.http.listen, settings.shards.len(), before)?;
    let mut live = Live::new(settings, None)?;
    let (events, inbox) = flume::unbounded();
    signals(events.clone())?;
    if let Some(predecessor) = &predecessor {
        predecessor.await_turn()?;
    }
    loop {
        let data_dir = live.settings.data_dir.clone();
        let owner = own(&live.settings)?;
        let mut process = Process::start(live, &bound, &events)?;
        match control::listen(&data_dir) {
            Ok(control) => process.control(control, events.clone())?,
            // As on a disk that is full to the last byte: data can be taken out of it all the same.
            Err(error) => tracing::error!(%error, "no control socket: tools cannot speak to this gateway"),
        }
        let (end, summary) = process.run(&inbox, &mut bound, source, &program, &mut predecessor)?;
        let settled = blocking::settle(SETTLE_PATIENCE);
        match end {
            End::Stopped => {
                drop(owner);
                eprintln!("kitgate: stopped; {summary}");
                return Ok(());
            }
            End::HandOver { .. } if !settled => {
                // The successor is killed as it is dropped.
                return Err(io::Error::other("something still writes; the spool cannot change hands"));
            }
            End::HandOver { successor, reply } => {
                drop(owner);
                match successor.go() {
                    Ok(()) => {
                        let _ = reply.send(Answer::good("the new process serves"));
                        // The answer is on its way; its thread needs a moment that nobody else waits for.
                        std::thread::sleep(Duration::from_millis(50));
                        eprintln!("kitgate: handed over; {summary}");
                        return Ok(());
                    }
                    Err(text) => {
                        tracing::error!(text, "the new process failed; this one goes on");
                        let _ = reply.send(Answer::bad(format!("{text}; the old process goes on")));
                        live = Live::new(process.settings(), None)?;
                    }
                }
            }
        }
    }
}

/// Takes the data directory, and the folders that single queues have elsewhere.
fn own(settings: &Settings) -> io::Result<Vec<Owner>> {
    let elsewhere = settings.spool.dir_of.iter().map(|(_, dir)| dir);
    let dirs = std::iter::once(&settings.data_dir).chain(elsewhere);
    dirs.map(|dir| Owner::take(dir).map_err(|error| io::Error::other(error.to_string()))).collect()
}

/// The shards, and what they are spoken to by.
struct Process {
    common: Arc<Common>,
    orders: Orders,
    changes: Vec<flume::Sender<Change>>,
    wakers: Vec<Waker>,
    events: flume::Sender<Event>,
    pulls: Pulls,
}

impl Process {
    fn start(live: Live, bound: &[Bound], events: &flume::Sender<Event>) -> io::Result<Process> {
        let cores = live.settings.shards.clone();
        let shards = cores.len();
        let asked = events.clone();
        let orders = Box::new(move |order| asked.send(Event::Tags(order)).is_ok());
        let common = Arc::new(Common::new(live, Registry::new(shards), shards, orders));
        announce(&common, bound);
        filters::put_in_force(&common, &common.live());
        filters::start(&common)?;
        common.live().intake.scripts.set_host(Arc::new(World::new(&common)));
        scripts::put_in_force(&common, &common.live());
        scripts::start(&common)?;
        tables::start(&common)?;
        let weak = Arc::downgrade(&common);
        sourcemap::Store::keep_looking(&common.desk.sourcemaps, move || {
            let common = weak.upgrade().filter(|common| !common.is_stopping())?;
            Some(common.live().settings.rum.sourcemap.clone())
        })?;
        let (orders, order_ends) = Orders::wire(shards);
        let (changes, change_ends): (Vec<_>, Vec<_>) = (0..shards).map(|_| flume::unbounded()).unzip();
        let listeners = sockets::deal(bound, shards)?;
        let mut wakers = Vec::new();
        let parts = exchange::wire(shards)?.into_iter().zip(cores).zip(listeners);
        for ((((ends, core), listeners), orders), changes) in parts.zip(order_ends).zip(change_ends) {
            let ends: Ends = ends;
            wakers.clone_from(&ends.wakers);
            let index = ends.index;
            let ready = events.clone();
            let parts = ShardParts {
                ends,
                listeners,
                common: Arc::clone(&common),
                changes,
                orders,
                ready: Box::new(move || {
                    let _ = ready.send(Event::Ready);
                }),
            };
            let handle = executor::start(&format!("shard-{index}"), core, move || shard::run(parts))?;
            let ended = events.clone();
            std::thread::Builder::new().name(format!("watch-{index}")).spawn(move || {
                let result = handle.join().and_then(|result| result);
                let _ = ended.send(Event::Ended { shard: index, result });
            })?;
        }
        let mut pulls = Pulls::default();
        pulls.renew(&common);
        Ok(Process { common, orders, changes, wakers, events: events.clone(), pulls })
    }

    fn settings(&self) -> Settings {
        self.common.live().settings.clone()
    }

    /// Does what events say until the shards have ended. Beside the end: where the points went.
    fn run(
        &mut self,
        inbox: &flume::Receiver<Event>,
        bound: &mut Vec<Bound>,
        source: &Source,
        program: &Path,
        predecessor: &mut Option<Predecessor>,
    ) -> io::Result<(End, String)> {
        let mut running = self.wakers.len();
        let mut starting = running;
        let mut failure = None;
        let mut end = End::Stopped;
        let mut asking: Option<flume::Sender<Answer>> = None;
        while running > 0 {
            let Ok(event) = inbox.recv() else {
                return Err(io::Error::other("BUG: every sender of events is gone"));
            };
            match event {
                Event::Ready => {
                    starting -= 1;
                    if starting == 0 {
                        self.common.mark_ready();
                        if let Some(predecessor) = predecessor.take() {
                            // Whatever has become of the old process: this one serves.
                            if let Err(error) = predecessor.ready() {
                                tracing::warn!(%error, "the old process does not hear that this one is ready");
                            }
                        }
                        eprintln!("kitgate: ready");
                    }
                }
                Event::Signal(SIGHUP) => match self.reload(source, bound) {
                    Ok(text) => tracing::info!(text, "reloaded"),
                    Err(text) => tracing::error!(text, "not reloaded; the old configuration stays"),
                },
                Event::Signal(signal) => {
                    if self.common.is_stopping() && matches!(end, End::Stopped) {
                        return Err(io::Error::other(
                            "interrupted a second time; what was not on disk was not acknowledged",
                        ));
                    }
                    tracing::info!(signal, "stopping: answering what is in work");
                    // A new process that waits for its turn does not get it.
                    end = End::Stopped;
                    let shutdown = self.common.live().settings.shutdown;
                    self.stop(Stop {
                        delay: shutdown.delay,
                        budget: shutdown.budget,
                        uploads_at_once: false,
                    });
                }
                Event::Asked { request: Request::Reload, reply } => {
                    let answer = self.reload(source, bound).map_or_else(Answer::bad, Answer::good);
                    let _ = reply.send(answer);
                }
                Event::Asked { request: Request::Upgrade, reply } => {
                    if asking.is_some() || self.common.is_stopping() || starting > 0 {
                        let _ = reply.send(Answer::bad("not now: starting, stopping, or upgrading already"));
                    } else {
                        asking = Some(reply);
                        self.prepare(program, bound)?;
                    }
                }
                Event::Asked { request: Request::Tool { .. }, reply } => {
                    let _ = reply.send(Answer::bad("BUG: a tool's job has come the wrong way"));
                }
                Event::Tags(order) => {
                    let changed = match self.common.is_stopping() {
                        true => Err("the gateway is stopping".to_owned()),
                        false => tags::change(&order, &self.common, source, &self.changes, bound),
                    };
                    if let Err(text) = &changed {
                        tracing::warn!(text, "tags were not changed");
                    }
                    let _ = order.reply.send(changed);
                }
                Event::Prepared(prepared) => match (prepared, asking.take()) {
                    (Ok(successor), Some(reply)) if !self.common.is_stopping() => {
                        tracing::info!("handing over to a new process");
                        end = End::HandOver { successor, reply };
                        let budget = self.common.live().settings.shutdown.budget;
                        self.stop(upgrade::stop(budget));
                    }
                    (Err(text), Some(reply)) => {
                        tracing::error!(text, "no upgrade");
                        let _ = reply.send(Answer::bad(text));
                    }
                    // Dropped, and so killed: this process stops.
                    _ => {}
                },
                Event::Ended { shard, result } => {
                    running -= 1;
                    match result {
                        Ok(()) if self.common.is_stopping() => {}
                        Ok(()) => return Err(io::Error::other(format!("shard {shard} ended by itself"))),
                        // A dead shard with an open listener would swallow connections: the process ends, loudly.
                        Err(error) if !self.common.is_stopping() => {
                            return Err(io::Error::other(format!("shard {shard} failed: {error}")));
                        }
                        Err(error) => {
                            failure = Some(io::Error::other(format!("shard {shard} failed: {error}")));
                        }
                    }
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok((end, self.common.summary())),
        }
    }

    fn stop(&mut self, how: Stop) {
        self.common.stop(how);
        self.wakers.iter().for_each(Waker::wake);
        self.pulls.stop();
    }

    fn reload(&mut self, source: &Source, bound: &mut Vec<Bound>) -> Result<String, String> {
        if self.common.is_stopping() {
            return Err("the gateway is stopping".to_owned());
        }
        let resolved = (source.load)(source.file.as_deref()).map_err(|problems| problems.join("; "))?;
        resolved.warnings.iter().for_each(|warning| tracing::warn!(%warning, "configuration"));
        let said = reload::apply(resolved.settings, &self.common, &self.changes, bound)?;
        self.pulls.renew(&self.common);
        Ok(said)
    }

    /// Starts a new process aside; an event says what came of it.
    fn prepare(&self, program: &Path, bound: &[Bound]) -> io::Result<()> {
        let copies = bound.iter().map(|bound| {
            let sockets = bound.sockets.iter().map(|socket| socket.try_clone()).collect::<io::Result<_>>()?;
            let Bound { name, configured, address, .. } = bound;
            Ok(Bound { name, configured: configured.clone(), address: address.clone(), sockets })
        });
        let copies: Vec<Bound> = copies.collect::<io::Result<_>>()?;
        let (program, events) = (program.to_owned(), self.events.clone());
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let data_dir = self.common.live().settings.data_dir.clone();
        std::thread::Builder::new().name("upgrade".to_owned()).spawn(move || {
            let prepared = Successor::prepare(&program, &arguments, &data_dir, &copies);
            let _ = events.send(Event::Prepared(prepared));
        })?;
        Ok(())
    }

    /// Serves the control socket, one connection after another, until its file is replaced by that of another owner.
    fn control(&self, listener: UnixListener, events: flume::Sender<Event>) -> io::Result<()> {
        let orders = self.orders.clone();
        let common = Arc::downgrade(&self.common);
        let data_dir = self.common.live().settings.data_dir.clone();
        std::thread::Builder::new().name("control".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                // The process goes on without these shards: another thread listens for the new ones.
                if common.strong_count() == 0 {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (orders, events) = (orders.clone(), events.clone());
                let data_dir = data_dir.clone();
                let served =
                    control::serve(&stream, move |request| answer(request, &events, orders, &data_dir));
                if let Err(error) = served {
                    tracing::warn!(%error, "the control socket");
                }
            }
        })?;
        Ok(())
    }
}

/// What a request on the control socket comes to.
fn answer(request: Request, events: &flume::Sender<Event>, mut orders: Orders, data_dir: &Path) -> Answer {
    if let Request::Tool { job } = request {
        return tools::serve(job, data_dir, &mut orders);
    }
    let stopping = || Answer::bad("the gateway is stopping");
    let (reply, answer) = flume::bounded(1);
    if events.send(Event::Asked { request, reply }).is_err() {
        return stopping();
    }
    answer.recv().unwrap_or_else(|_| stopping())
}

fn announce(common: &Common, bound: &[Bound]) {
    let live = common.live();
    let settings = &live.settings;
    eprintln!("kitgate {} on {} shard(s)", env!("CARGO_PKG_VERSION"), settings.shards.len());
    for bound in bound {
        let tls = live.tls.is_some() && bound.name == config::LISTENERS[0];
        eprintln!("kitgate: listening on {} ({})", bound.address.url(tls), bound.name);
    }
    eprintln!("kitgate: spooling to {}", settings.spool.dir.display());
    eprintln!("kitgate: delivering to {}", sink::describe(&settings.destination));
}

fn signals(events: flume::Sender<Event>) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGHUP])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if events.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
