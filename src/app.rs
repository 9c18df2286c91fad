//! The process: probe the host, bind every address, start one shard a core, wait for a signal, drain, say why it
//! ended.

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};

use crate::config::Settings;
use crate::metrics::Registry;
use crate::rt::{net, probe, shard as executor};
use crate::shard::exchange::{self, Ends};
use crate::shard::{self, Common, ShardParts};
use crate::sink;

/// The process failed.
const EXIT_FAILURE: u8 = 1;

/// What the main thread waits for.
enum Event {
    Signal(i32),
    Ready,
    Ended { shard: usize, result: io::Result<()> },
}

/// Runs the gateway until a signal or a failure.
pub fn run(settings: Settings) -> ExitCode {
    match start(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kitgate: {error}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

/// What the host does not grant, for `check` and for the start.
pub fn probe(settings: &Settings) -> Vec<probe::Finding> {
    probe::probe(&probe::Wanted {
        shards: settings.shards.len(),
        connections_max: settings.limits.connections_max as u64,
        data_dir: &settings.data_dir,
    })
}

fn start(settings: Settings) -> io::Result<()> {
    let findings = probe(&settings);
    let mut fatal = false;
    for finding in &findings {
        fatal |= finding.fatal;
        eprintln!("kitgate: {}: {finding}", if finding.fatal { "cannot start" } else { "warning" });
    }
    if fatal {
        return Err(io::Error::other("the host does not grant what is needed"));
    }
    let bound = bind(&settings)?;
    let shards = settings.shards.len();
    let registry = Registry::new(shards);
    let common = Arc::new(Common::new(settings, registry, Arc::new(AtomicUsize::new(0)), shards)?);
    let (events, inbox) = flume::unbounded();
    signals(events.clone())?;
    announce(&common, &bound);
    let mut wakers = Vec::new();
    let mut listeners = per_shard(bound, shards);
    let ends: Vec<Ends> = exchange::wire(shards)?;
    for (ends, listeners) in ends.into_iter().zip(listeners.drain(..)) {
        wakers.clone_from(&ends.wakers);
        let index = ends.index;
        let core = common.settings.shards[index];
        let ready = events.clone();
        let parts = ShardParts {
            ends,
            listeners,
            common: Arc::clone(&common),
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
    let mut running = shards;
    let mut ready = 0;
    let mut failure = None;
    while running > 0 {
        match inbox.recv() {
            Ok(Event::Ready) => {
                ready += 1;
                if ready == shards {
                    common.mark_ready();
                    eprintln!("kitgate: ready");
                }
            }
            Ok(Event::Signal(signal)) => {
                if common.is_stopping() {
                    return Err(io::Error::other(
                        "interrupted a second time; what was not on disk was not acknowledged",
                    ));
                }
                tracing::info!(signal, "stopping: no new connections, answering what is in work");
                common.stop();
                wakers.iter().for_each(|waker| waker.wake());
            }
            Ok(Event::Ended { shard, result }) => {
                running -= 1;
                match result {
                    Ok(()) if common.is_stopping() => {}
                    Ok(()) => return Err(io::Error::other(format!("shard {shard} ended by itself"))),
                    // A dead shard with an open listener would swallow connections: the process ends, loudly.
                    Err(error) if !common.is_stopping() => {
                        return Err(io::Error::other(format!("shard {shard} failed: {error}")));
                    }
                    Err(error) => failure = Some(io::Error::other(format!("shard {shard} failed: {error}"))),
                }
            }
            Err(_) => return Err(io::Error::other("BUG: every sender of events is gone")),
        }
    }
    match failure {
        Some(error) => Err(error),
        None => {
            eprintln!("kitgate: stopped; {}", common.summary());
            Ok(())
        }
    }
}

/// One bound socket a shard and address, all before any shard runs, so that a port in use is an error at once.
struct Bound {
    name: &'static str,
    address: std::net::SocketAddr,
    sockets: Vec<OwnedFd>,
}

fn bind(settings: &Settings) -> io::Result<Vec<Bound>> {
    let mut all = Vec::new();
    for listener in &settings.http.listen {
        let refused = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("cannot listen on {} ({}): {error}", listener.address, listener.name),
            )
        };
        // With port reuse two gateways could share an address and each take half of the connections.
        net::refuse_shared(listener.address).map_err(refused)?;
        let first = net::bind(listener.address).map_err(refused)?;
        let address = net::local_addr(&first)?;
        let mut sockets = vec![first];
        for _ in 1..settings.shards.len() {
            sockets.push(net::bind(address).map_err(refused)?);
        }
        all.push(Bound { name: listener.name, address, sockets });
    }
    Ok(all)
}

fn per_shard(bound: Vec<Bound>, shards: usize) -> Vec<Vec<(&'static str, OwnedFd)>> {
    let mut all: Vec<Vec<(&'static str, OwnedFd)>> = (0..shards).map(|_| Vec::new()).collect();
    for bound in bound {
        for (shard, socket) in all.iter_mut().zip(bound.sockets) {
            shard.push((bound.name, socket));
        }
    }
    all
}

fn announce(common: &Common, bound: &[Bound]) {
    let settings = &common.settings;
    eprintln!("kitgate {} on {} shard(s)", env!("CARGO_PKG_VERSION"), settings.shards.len());
    for bound in bound {
        eprintln!("kitgate: listening on http://{} ({})", bound.address, bound.name);
    }
    eprintln!("kitgate: spooling to {}", settings.spool.dir.display());
    eprintln!("kitgate: delivering to {}", sink::describe(&settings.destination));
}

fn signals(events: flume::Sender<Event>) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGQUIT])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if events.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// How long a stop may take before what is left stays in the spool.
pub const DRAIN_BUDGET: Duration = Duration::from_secs(10);
