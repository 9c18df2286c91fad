//! What scripts ask of the world: the clock, the zone of this machine, where addresses are, reference tables, other hosts.
//!
//! One for the whole process: all of it may be asked on every shard and blocks nobody, but for other hosts. Those are asked
//! only by a job that may wait ([`run_long`]); anywhere else `http_request()` gives nil.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::aside::scripts::Asker;
use crate::intake::datakit::rum::geo::LiveGeo;
use crate::pipeline::lib::time::Zone;
use crate::pipeline::outside::{HttpRequest, HttpResponse, Place};
use crate::pipeline::state::tables::{LiveTables, Tables};
use crate::pipeline::vm::Host;
use crate::rt::blocking::{self, Aside};
use crate::rt::time;

use super::Common;

/// For all requests of other hosts that the scripts of one body make. Its sender waits for as long.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

thread_local! {
    /// Until when this thread may wait for other hosts.
    static WAITS: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs a job on a thread that may wait: its scripts get answers of other hosts.
pub(super) fn may_wait<T>(job: impl FnOnce() -> T) -> T {
    /// A job that panics leaves no leave behind.
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            WAITS.set(None);
        }
    }
    WAITS.set(Some(Instant::now() + WAIT_MAX));
    let _leave = Leave;
    job()
}

/// Why a job did not come to its end.
#[derive(Debug)]
pub enum NotRun {
    /// Too many wait for other hosts.
    Busy,
    Panicked(io::Error),
}

/// What is told to senders then.
pub const ASKING: &str = "too many requests wait for other hosts, which scripts ask";

/// Runs a job that takes long on a thread beside the shards: one that asks other hosts on one of those that wait for others
/// anyway, so that it holds nobody up.
pub async fn run_long<T: Send + 'static>(
    asks: bool,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotRun> {
    if !asks {
        return blocking::run_long(job).await.map_err(NotRun::Panicked);
    }
    match blocking::run_aside(|| may_wait(job)).await {
        Aside::Done(done) => Ok(done),
        Aside::Busy => Err(NotRun::Busy),
        Aside::Panicked => Err(NotRun::Panicked(io::Error::other("a job beside the shards panicked"))),
    }
}

/// The world.
pub struct World {
    zone: Zone,
    geo: Arc<LiveGeo>,
    tables: Arc<LiveTables>,
    common: Weak<Common>,
    /// For the settings that hold; made when it is asked for.
    asker: Mutex<Option<Arc<Asker>>>,
}

impl World {
    pub fn new(common: &Arc<Common>) -> World {
        World {
            zone: local_zone().clone(),
            geo: Arc::clone(&common.live().intake.geo),
            tables: Arc::clone(&common.tables),
            common: Arc::downgrade(common),
            asker: Mutex::default(),
        }
    }

    fn asker(&self) -> Option<Arc<Asker>> {
        let common = self.common.upgrade()?;
        let live = common.live();
        let settings = &live.settings.pipeline.http;
        let mut asker = self.asker.lock().unwrap_or_else(PoisonError::into_inner);
        if !asker.as_ref().is_some_and(|asker| asker.is_of(settings)) {
            *asker = Some(Arc::new(Asker::new(settings)));
        }
        asker.clone()
    }
}

impl Host for World {
    fn now_ns(&self) -> i64 {
        time::wall_ns()
    }

    fn zone(&self) -> &Zone {
        &self.zone
    }

    fn tables(&self, look: &mut dyn FnMut(&Tables)) {
        if let Some(tables) = self.tables.load().as_deref() {
            look(tables);
        }
    }

    fn place(&self, ip: &str) -> Option<Place> {
        let found = self.geo.load().find(ip)?;
        Some(Place { country: found.country, province: found.province, city: found.city, isp: found.isp })
    }

    fn http(&self, request: &HttpRequest<'_>) -> Option<HttpResponse> {
        let left = WAITS.get()?.saturating_duration_since(Instant::now());
        self.asker()?.ask(request, left)
    }
}

/// The zone of this machine: `TZ`, else what `/etc/localtime` leads to, else UTC.
pub fn local_zone() -> &'static Zone {
    static ZONE: OnceLock<Zone> = OnceLock::new();
    ZONE.get_or_init(|| {
        let variable = std::env::var("TZ").ok();
        let link = std::fs::read_link("/etc/localtime").ok();
        zone_of(variable.as_deref(), link.as_deref())
    })
}

fn zone_of(variable: Option<&str>, link: Option<&Path>) -> Zone {
    // Set and empty is UTC, as Go has it; what is unknown too.
    let name = match variable {
        Some(name) => name.trim_start_matches(':').to_owned(),
        None => link.map(Path::to_string_lossy).unwrap_or_default().into_owned(),
    };
    let name = name.split_once("zoneinfo/").map_or(name.as_str(), |(_, name)| name);
    Zone::named(name).unwrap_or(Zone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_is_that_of_the_machine() {
        let offset = |variable: Option<&str>, link: Option<&str>| {
            zone_of(variable, link.map(Path::new)).offset_at(1_700_000_000)
        };
        let link = Some("/usr/share/zoneinfo/Asia/Shanghai");
        assert_eq!(offset(None, link), 8 * 3600);
        assert_eq!(offset(None, Some("../usr/share/zoneinfo/Asia/Shanghai")), 8 * 3600);
        assert_eq!(offset(Some("Asia/Tokyo"), link), 9 * 3600);
        assert_eq!(offset(Some(":/usr/share/zoneinfo/Asia/Tokyo"), link), 9 * 3600);
        assert_eq!((offset(Some(""), link), offset(Some("no/where"), link), offset(None, None)), (0, 0, 0));
    }

    #[test]
    fn leave_to_wait_ends_with_the_job() {
        assert!(WAITS.get().is_none());
        may_wait(|| assert!(WAITS.get().is_some_and(|until| until > Instant::now())));
        assert!(WAITS.get().is_none());
        let caught = std::panic::catch_unwind(|| may_wait(|| panic!("a bug")));
        assert!(caught.is_err() && WAITS.get().is_none());
    }
}
