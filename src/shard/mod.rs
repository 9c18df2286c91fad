//! One core: builds its stages, joins them, and waits. Does no work of its own.
//!
//! - [`ingest`]: the path of one request
//! - [`slow`]: the same for large bodies and full lanes; [`raw`]: for requests that are kept as they came; [`convert`]: for
//!   bodies of other protocols; [`aside`]: for what another thread answers
//! - [`sinking`]: to which lanes points go
//! - [`geo`]: watches the databases that say where clients are; [`tls`]: certificates
//! - `made`: points that scripts make of others
//! - [`lanes`], [`seal`], [`ticket`]: open blocks, and how requests hear of them
//! - [`dedup`]: packages that come again
//! - [`exchange`]: what crosses shards; [`placement`]: which core runs what
//! - [`home`]: commits of the categories at home here; [`uploads`]: their logs, and what is taken from them; [`side`]:
//!   the small logs beside them
//! - [`books`]: where every point is that was ever made durable; [`control`]: orders from tools; [`change`]: what a reload changes
//! - [`tracing`]: what is counted of spans; [`sums`]: what scripts add up
//! - [`policy`]: ages, and what all logs together may hold
//! - [`world`]: what scripts ask for
//! - [`drain`]: stop in order

pub mod aside;
pub mod books;
pub mod change;
pub mod common;
pub mod control;
pub mod convert;
pub mod dedup;
pub mod drain;
pub mod exchange;
pub mod geo;
pub mod home;
pub mod ingest;
pub mod lanes;
mod made;
pub mod placement;
pub mod policy;
mod profile;
pub mod raw;
pub mod seal;
pub mod side;
pub mod sinking;
pub mod slow;
pub mod sums;
pub mod ticket;
pub mod tls;
pub mod tracing;
pub mod uploads;
pub mod world;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use crate::http1::DateCache;
use crate::net::Gate;
use crate::net::buffers::Buffers;
use crate::net::conn::ConnContext;
use crate::point::CATEGORY_COUNT;
use crate::ring::Consumer;
use crate::rt::net::Driver;
use crate::rt::spawn;
use crate::rt::sync::Notify;
use crate::rt::wake::WakeListener;

pub use change::{Change, Opened};
use change::{Front, conn_limits, proxies};
pub use common::Common;
pub use control::{Order, Orders};
use exchange::{Ends, Report};
use geo::Watcher;
use home::{Home, Reporter};
use ingest::{Core, Ingest};
use lanes::{Lanes, LanesParts};
pub use profile::Submitted;
use ticket::Tickets;
use uploads::HomeLog;

/// What a shard is started with.
pub struct ShardParts {
    pub ends: Ends,
    pub listeners: Vec<Opened>,
    pub common: Arc<Common>,
    /// What reloads change here, and what tools have done to the logs here.
    pub changes: flume::Receiver<Change>,
    pub orders: flume::Receiver<Order>,
    /// Called once the shard's logs are recovered and it accepts connections.
    pub ready: Box<dyn FnOnce() + Send>,
}

/// Runs one shard to its end.
pub async fn run(parts: ShardParts) -> io::Result<()> {
    let ShardParts { ends, listeners, common, changes, orders, ready } = parts;
    let live = common.live_owned();
    let settings = &live.settings;
    let shards = ends.wakers.len();
    let index = ends.index;
    let counters = common.registry.shard(index);
    Driver::start()?;

    // Towards the homes of all categories, and back.
    let arrived: Rc<Vec<Notify>> = Rc::new((0..CATEGORY_COUNT).map(|_| Notify::new()).collect());
    let lanes = Lanes::new(LanesParts {
        index,
        shards,
        rings: ends.blocks_out,
        wakers: ends.wakers.clone(),
        local: Rc::clone(&arrived),
        tickets: Rc::new(Tickets::default()),
        compression: settings.destination.compression(),
        counters: Arc::clone(&counters),
    });
    let reporter = Reporter::new(index, ends.reports_out, ends.wakers.clone(), Rc::clone(&lanes));
    let woken = Rc::new(Notify::new());
    let listener = WakeListener::new(&ends.wakers[index])?;
    spawn(inbox(listener, Rc::clone(&arrived), Rc::clone(&woken)));
    spawn(hear(ends.reports_in, Rc::clone(&woken), Rc::clone(&lanes)));

    // The homes here: recover, then commit.
    let mut homes = Vec::new();
    for (category, rings) in ends.blocks_in {
        let home = HomeLog::open(category, &common, &counters, &reporter).await?;
        spawn(Rc::clone(&home).maintain());
        let committer =
            Home { home: Rc::clone(&home), arrived: Rc::clone(&arrived), reporter: Rc::clone(&reporter) };
        spawn(committer.run(rings));
        homes.push(home);
    }
    spawn(control::serve(orders, homes.clone()));
    spawn(policy::run(Arc::clone(&common), homes.clone()));
    spawn(Rc::clone(&lanes).run());

    // Requests in, uploads out.
    let core = Rc::new(Core {
        lanes: Rc::clone(&lanes),
        common: Arc::clone(&common),
        counters,
        scratch: RefCell::default(),
        convert_scratch: RefCell::default(),
        draining: Cell::new(false),
        scripted: Cell::new(0),
    });
    let service = Rc::new(Ingest { core: Rc::clone(&core), date: RefCell::new(DateCache::new()) });
    let context = Rc::new(ConnContext {
        buffers: Buffers::new(),
        gate: Gate::new(Arc::clone(&common.connections), settings.limits.connections_max),
        limits: Cell::new(conn_limits(&settings.limits)),
        proxies: RefCell::new(proxies(&settings.http)),
        tls: Arc::clone(&common.tls),
    });
    if index == 0 {
        spawn(profile::serve(Rc::clone(&core), common.submitted.1.clone()));
        spawn(tls::watch(Arc::clone(&common)));
        spawn(tracing::run(Rc::clone(&core)));
        spawn(sums::run(Rc::clone(&core)));
        let mut watcher = Watcher::new(&common);
        watcher.look().await?;
        spawn(watcher.run());
    }
    let front = Front::new(index, Arc::clone(&common), service, Rc::clone(&context), homes);
    for opened in listeners {
        front.open(opened)?;
    }
    spawn(Rc::clone(&front).run(changes));
    ready();

    while !common.is_stopping() {
        woken.notified().await;
    }
    drain::drain(&core, &front).await;
    Ok(())
}

/// Wakes from other shards, passed on to everything that may have been meant.
async fn inbox(listener: WakeListener, arrived: Rc<Vec<Notify>>, woken: Rc<Notify>) {
    loop {
        listener.woken().await;
        woken.notify_all();
        for category in arrived.iter() {
            category.notify_all();
        }
    }
}

/// Word of this shard's blocks from the other shards.
async fn hear(mut rings: Vec<Consumer<Report>>, woken: Rc<Notify>, lanes: Rc<Lanes>) {
    loop {
        let mut heard = false;
        for ring in &mut rings {
            while let Some(report) = ring.pop() {
                heard = true;
                lanes.report(report.ticket, report.progress);
            }
        }
        if heard {
            continue;
        }
        let mut asleep = true;
        for ring in &mut rings {
            asleep &= ring.prepare_sleep();
        }
        if asleep {
            woken.notified().await;
        }
        for ring in &mut rings {
            ring.cancel_sleep();
        }
    }
}
