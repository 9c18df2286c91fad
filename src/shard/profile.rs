//! The way of a profile: read and made into packages on a thread beside the shards, made durable, answered; then the numbers
//! in it become points.
//!
//! Nothing of it is done on the shard but waiting: an upload may have thirty megabytes, and others are served meanwhile.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::intake::convert::Fault;
use crate::intake::profiling::{Package, ProfilePlan, points};
use crate::intake::{Ack, Reply};
use crate::metrics::counters::{DropReason, ProfileMetrics, Refusal};
use crate::net::OwnedBody;
use crate::point::Category;
use crate::rt::{blocking, spawn, time};

use super::convert;
use super::ingest::{Core, RETRY_AFTER_S, wanted};
use super::raw::{outcome, put};
use super::slow::{Permit, ROOM_WAIT};
use super::sums;
use super::ticket::Progress;

/// Bodies above this take leave before they are copied: of those only a few are in memory twice.
const BIG_BODY_BYTES: usize = 1 << 20;

/// Bytes of profiles that wait for their numbers to be found, in the whole process. What comes past it goes without: the
/// profile itself is safe by then.
const WAITING_BYTES_MAX: usize = 128 << 20;

/// A package with its checksum, and what is to be done with it.
struct Ready {
    payload: Bytes,
    crc: u32,
    package: Package,
    wants_numbers: bool,
}

/// A profile that did not come by a connection.
pub struct Submitted {
    pub plan: ProfilePlan,
    pub body: Vec<u8>,
    /// Told whether it is durable.
    pub done: flume::Sender<bool>,
}

/// Handles one upload whose body is there.
pub async fn store(core: Rc<Core>, plan: Box<ProfilePlan>, body: OwnedBody) -> Reply {
    let mut permit = None;
    if body.padded().len() > BIG_BODY_BYTES {
        permit = Permit::wait(&core, time::Instant::now() + ROOM_WAIT).await;
        if permit.is_none() {
            return busy(&core, &plan, Refusal::Overload, "the gateway is busy with other large bodies");
        }
    }
    let (body, held) = body.detach();
    let plan = Arc::new(*plan);
    let reply =
        keep(&core, &plan, move |plan, live, now_ns| plan.prepare(&body.padded(), now_ns, live)).await;
    // Not before: the bounds on receive buffers and on big bodies bound the copies too, while they wait for the disk.
    drop((held, permit));
    reply
}

/// Stores profiles that the gateway itself has fetched.
pub async fn serve(core: Rc<Core>, submitted: flume::Receiver<Submitted>) {
    while let Ok(Submitted { plan, body, done }) = submitted.recv_async().await {
        let plan = Arc::new(plan);
        let reply = keep(&core, &plan, move |plan, live, now_ns| plan.prepare(&body, now_ns, live)).await;
        // Whoever has gone away wants no answer.
        let _ = done.send(reply.status / 100 == 2);
    }
}

/// Makes packages of a body, and them durable; says what became of it.
async fn keep<F>(core: &Rc<Core>, plan: &Arc<ProfilePlan>, prepare: F) -> Reply
where
    F: FnOnce(&ProfilePlan, &crate::intake::Settings, i64) -> Result<Vec<Package>, Fault> + Send + 'static,
{
    let (live, its_plan, now_ns) = (core.common.live_owned(), Arc::clone(plan), time::wall_ns());
    let job = move || {
        let packages = prepare(&its_plan, &live.intake, now_ns)?;
        let ready = packages.into_iter().map(|mut package| {
            let wants_numbers = points::is_wanted(&package, &live.intake.options.profiling);
            let payload = package.take_bytes();
            Ready { crc: crc32c::crc32c(&payload), payload, package, wants_numbers }
        });
        Ok(ready.collect::<Vec<_>>())
    };
    let ready = match blocking::run_long(job).await {
        Ok(Ok(ready)) => ready,
        Ok(Err(fault)) => {
            core.counters.refuse(match fault {
                Fault::TooLarge(_) => Refusal::BodyTooLarge,
                Fault::Unsupported(_) => Refusal::Encoding,
                Fault::Busy { .. } => Refusal::Overload,
                Fault::Malformed(_) => Refusal::Points,
            });
            return plan.refuse(&fault);
        }
        Err(error) => {
            // A bug of ours, and the sender keeps its data.
            tracing::error!(%error, "a profile could not be read");
            return busy(core, plan, Refusal::Overload, "the profile could not be read");
        }
    };
    let mut tickets = Vec::with_capacity(ready.len());
    let mut numbers = Vec::new();
    for Ready { payload, crc, mut package, wants_numbers } in ready {
        sums::store(core, std::mem::take(&mut package.created)).await;
        if package.filtered || package.dropped {
            let counters = &core.counters.categories[Category::Profiling.index()];
            counters.points_in.add(1);
            let reason = if package.dropped { DropReason::Script } else { DropReason::Filtered };
            counters.drop_points(reason, 1);
            continue;
        }
        let Some(lane) = core.lanes.lane(Category::Profiling, &package.route) else {
            return busy(core, plan, Refusal::Overload, "too many routes at once");
        };
        let bytes = payload.len();
        // What went before stays: the sender sends all of it again.
        let Some(ticket) = put(core, &lane, payload.clone(), crc, plan.ack).await else {
            return busy(core, plan, Refusal::Overload, "the gateway is busy");
        };
        tickets.push((ticket, bytes));
        if wants_numbers {
            numbers.extend(Numbers::take(core, payload, package));
        }
    }
    for (ticket, bytes) in &tickets {
        let reached = std::future::poll_fn(|cx| ticket.poll(wanted(plan.ack), cx)).await;
        let is_good = match reached {
            Progress::Durable | Progress::Delivered => true,
            reached => reached == Progress::Pending && plan.ack == Ack::Memory,
        };
        if !is_good {
            return outcome(core, plan.ack, plan.taken(), reached, *bytes);
        }
    }
    for one in numbers {
        spawn(one.write(Rc::clone(core)));
    }
    plan.taken()
}

/// Nothing is wrong with the request, and its sender keeps it.
fn busy(core: &Core, plan: &ProfilePlan, refusal: Refusal, reason: &'static str) -> Reply {
    core.counters.refuse(refusal);
    plan.refuse(&Fault::Busy { reason, retry_after_s: RETRY_AFTER_S })
}

/// A profile whose numbers are to be found.
struct Numbers {
    payload: Bytes,
    package: Package,
    _waiting: Waiting,
}

/// Bytes of [`WAITING_BYTES_MAX`], until it is dropped.
struct Waiting(usize);

static WAITING_BYTES: AtomicUsize = AtomicUsize::new(0);

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING_BYTES.fetch_sub(self.0, Ordering::AcqRel);
    }
}

impl Numbers {
    /// None: too many wait already.
    fn take(core: &Core, payload: Bytes, package: Package) -> Option<Numbers> {
        let bytes = payload.len();
        let waiting = Waiting(bytes);
        if WAITING_BYTES.fetch_add(bytes, Ordering::AcqRel) > WAITING_BYTES_MAX {
            core.counters.profile_metrics(ProfileMetrics::Skipped);
            return None;
        }
        Some(Numbers { payload, package, _waiting: waiting })
    }

    /// Finds them and writes their point.
    async fn write(self, core: Rc<Core>) {
        let live = core.common.live_owned();
        let job = move || {
            let Numbers { payload, mut package, _waiting } = self;
            package.give_back(payload);
            points::plan(&package, &live.intake.options.profiling)
        };
        // The profile is safe, and its sender has its answer.
        let plan = match blocking::run_background(job).await {
            Ok(Ok(Some(plan))) => plan,
            Ok(Ok(None)) => return core.counters.profile_metrics(ProfileMetrics::None),
            Ok(Err(error)) => {
                tracing::debug!(error, "no metrics could be made of a profile");
                return core.counters.profile_metrics(ProfileMetrics::Failed);
            }
            Err(error) => {
                tracing::error!(%error, "the metrics of a profile could not be made");
                return core.counters.profile_metrics(ProfileMetrics::Failed);
            }
        };
        let reply = convert::write_own(&core, plan).await;
        core.counters.profile_metrics(match reply.status {
            200 => ProfileMetrics::Made,
            _ => ProfileMetrics::Failed,
        });
    }
}
