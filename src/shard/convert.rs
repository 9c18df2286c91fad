//! The way of a body that is converted: read whole, then its points go where those of a write go.
//!
//! A small body is converted at once, its points are appended to the open blocks of their categories, and the answer waits
//! for those blocks. A body that is larger, or that finds a lane without room, is kept: it becomes blocks of its own, and
//! one of some size is converted on a thread beside the shards. Nothing is sent before the whole body has proved good; of
//! several categories each is made durable by itself, and what cannot be is answered so that the client sends all of it
//! again.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::buf::Padded;
use crate::intake::convert::{self, BodyEncoding, ConvertPlan, Converted, Fault, Reach, Scratch};
use crate::intake::{Ack, Reply};
use crate::limits::{DIRECT_BODY_BYTES_MAX, DIRECT_CODED_BYTES_MAX};
use crate::metrics::counters::{DropReason, Refusal};
use crate::net::OwnedBody;
use crate::rt::{blocking, time, yield_now};

use super::ingest::{Core, LEFT, RETRY_AFTER_S, wanted};
use super::sinking;
use super::slow::{Permit, ROOM_WAIT, Unsent};
use super::ticket::{Progress, Ticket};

/// An open block takes this much from one body; what has become more goes as blocks of its own.
const GROWTH_BYTES_MAX: usize = 2 * DIRECT_BODY_BYTES_MAX;

/// Bodies up to this size, decompressed, are converted on their shard: others wait a few milliseconds and no longer.
/// Larger ones go to another thread, and so do those that become more than this many bytes of points.
const SHARD_BODY_BYTES_MAX: usize = 1 << 20;
const POINTS_BYTES_MAX: usize = 4 << 20;

/// What became of a body that was looked at once.
pub enum Direct {
    Answer(Reply),
    /// Its points are in open blocks: the answer is for when those are where they are to be.
    Sent(Sent),
    /// Its points are too many for the open blocks, or those have no room: [`send`].
    Converted(Reply, Converted),
    /// The body must be kept: [`store`].
    Keep,
}

/// Points on their way, and the answer.
pub struct Sent {
    tickets: Vec<Rc<Ticket>>,
    reply: Reply,
}

impl Sent {
    /// The answer, once every block is as far as the plan wants it.
    pub fn poll(&mut self, core: &Core, plan: &ConvertPlan, cx: &mut Context<'_>) -> Poll<Reply> {
        let mut worst = wanted(plan.ack);
        for ticket in &self.tickets {
            match ticket.poll(wanted(plan.ack), cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(reached) => worst = worst_of(worst, reached),
            }
        }
        Poll::Ready(core.converted_outcome(plan, std::mem::take(&mut self.reply), worst))
    }
}

fn worst_of(worst: Progress, reached: Progress) -> Progress {
    match reached {
        Progress::Full | Progress::TooLarge | Progress::Failed | Progress::Left => reached,
        Progress::Pending | Progress::Durable | Progress::Delivered => worst,
    }
}

impl Core {
    /// Converts a body into the open blocks, if it is small and they have room.
    pub fn convert(&self, plan: &ConvertPlan, body: Padded<'_>) -> Direct {
        let small = match plan.encoding {
            BodyEncoding::Identity | BodyEncoding::Unknown => DIRECT_BODY_BYTES_MAX,
            BodyEncoding::Coded(_) | BodyEncoding::Snappy => DIRECT_CODED_BYTES_MAX,
        };
        if body.len() > small || self.common.live().intake.scripts.any_once() {
            return Direct::Keep;
        }
        let mut scratch = self.convert_scratch.borrow_mut();
        let reach = Reach { body_bytes_max: DIRECT_BODY_BYTES_MAX, points_bytes_max: POINTS_BYTES_MAX };
        match convert::run(plan, body, time::wall_ns(), &self.common.live().intake, &mut scratch, reach) {
            Err(fault) => Direct::Answer(self.refuse_converted(plan, &fault)),
            Ok(None) => Direct::Keep,
            Ok(Some((reply, converted)))
                if converted.bytes() > GROWTH_BYTES_MAX || self.common.live().intake.sinker.is_some() =>
            {
                Direct::Converted(reply, converted)
            }
            Ok(Some((reply, converted))) => self.append(plan, reply, converted, &mut scratch),
        }
    }

    fn append(
        &self,
        plan: &ConvertPlan,
        reply: Reply,
        converted: Converted,
        scratch: &mut Scratch,
    ) -> Direct {
        let mut lanes = Vec::with_capacity(converted.batches.len());
        for (category, _) in &converted.batches {
            match self.lanes.lane(*category, &plan.route) {
                Some(lane) if lane.has_room() => lanes.push(lane),
                Some(_) => return Direct::Converted(reply, converted),
                None => {
                    let fault =
                        Fault::Busy { reason: "too many routes at once", retry_after_s: RETRY_AFTER_S };
                    self.counters.refuse(Refusal::Overload);
                    return Direct::Answer(plan.job.refuse(&fault).with_cors(&plan.cors));
                }
            }
        }
        self.count_converted(&converted);
        let mut tickets = Vec::with_capacity(lanes.len());
        for (lane, (_, batch)) in lanes.iter().zip(converted.batches) {
            let mut open = lane.open();
            open.bytes.extend_from_slice(&batch.bytes);
            open.points += batch.points;
            drop(open);
            let ticket = lane.ticket();
            if plan.ack == Ack::Upstream {
                ticket.want_delivery();
            }
            self.lanes.grown(lane);
            tickets.push(ticket);
            scratch.reuse(batch);
        }
        if tickets.is_empty() || plan.ack == Ack::Memory {
            return Direct::Answer(self.taken(plan, reply));
        }
        Direct::Sent(Sent { tickets, reply })
    }

    /// Counts the points of a body that was read to its end.
    fn count_converted(&self, converted: &Converted) {
        for (category, batch) in &converted.batches {
            let counters = &self.counters.categories[category.index()];
            counters.points_in.add(u64::from(batch.points));
            counters.requests_in.add(1);
        }
        for (reason, sums) in
            [(DropReason::Filtered, &converted.filtered), (DropReason::Script, &converted.dropped)]
        {
            for (category, points) in sums {
                let counters = &self.counters.categories[category.index()];
                counters.points_in.add(*points);
                counters.drop_points(reason, *points);
            }
        }
    }

    fn taken(&self, plan: &ConvertPlan, reply: Reply) -> Reply {
        Reply { ack: Some(plan.ack), ..reply }.with_cors(&plan.cors)
    }

    fn converted_outcome(&self, plan: &ConvertPlan, reply: Reply, progress: Progress) -> Reply {
        match progress {
            Progress::Durable | Progress::Delivered => self.taken(plan, reply),
            Progress::Pending if plan.ack == Ack::Memory => self.taken(plan, reply),
            Progress::Full => self.busy(plan, Refusal::SpoolFull, "the spool is full"),
            Progress::TooLarge => {
                let capacity = self.common.live().settings.limits.decoded_body_bytes_max;
                self.refuse_converted(plan, &Fault::TooLarge(capacity))
            }
            Progress::Left => self.busy(plan, Refusal::Stopping, LEFT),
            Progress::Failed | Progress::Pending => {
                self.busy(plan, Refusal::DiskError, "the spool cannot be written")
            }
        }
    }

    /// The answer to a body that is at fault, counted.
    fn refuse_converted(&self, plan: &ConvertPlan, fault: &Fault) -> Reply {
        self.counters.refuse(match fault {
            Fault::Malformed(_) => Refusal::Points,
            Fault::Unsupported(_) => Refusal::Encoding,
            Fault::TooLarge(_) => Refusal::BodyTooLarge,
            Fault::Busy { .. } => Refusal::Overload,
        });
        plan.job.refuse(fault).with_cors(&plan.cors)
    }

    /// Nothing is wrong with the request, and its sender keeps it: in the words of its protocol.
    pub fn busy(&self, plan: &ConvertPlan, refusal: Refusal, reason: &'static str) -> Reply {
        self.counters.refuse(refusal);
        let fault = Fault::Busy { reason, retry_after_s: RETRY_AFTER_S };
        plan.job.refuse(&fault).with_cors(&plan.cors)
    }
}

/// Handles one request whose body is kept.
pub async fn store(core: Rc<Core>, plan: Arc<ConvertPlan>, body: OwnedBody) -> Reply {
    let deadline = time::Instant::now() + ROOM_WAIT;
    let is_small =
        body.padded().len() <= SHARD_BODY_BYTES_MAX && !core.common.live().intake.scripts.any_once();
    let mut permit = None;
    let done = if is_small {
        let mut scratch = core.convert_scratch.borrow_mut();
        let reach = Reach { body_bytes_max: SHARD_BODY_BYTES_MAX, points_bytes_max: POINTS_BYTES_MAX };
        convert::run(&plan, body.padded(), time::wall_ns(), &core.common.live().intake, &mut scratch, reach)
    } else {
        Ok(None)
    };
    let (reply, converted) = match done {
        Err(fault) => return core.refuse_converted(&plan, &fault),
        Ok(Some(done)) => done,
        Ok(None) => match Permit::wait(&core, deadline).await {
            None => {
                return core.busy(&plan, Refusal::Overload, "the gateway is busy with other large bodies");
            }
            Some(leave) => match elsewhere(&core, &plan, body, leave).await {
                Ok((reply, converted, leave)) => {
                    permit = Some(leave);
                    (reply, converted)
                }
                Err(reply) => return reply,
            },
        },
    };
    let reply = send(core, plan, reply, converted).await;
    drop(permit);
    reply
}

/// Converts on a thread beside the shards, where it can take as long as it takes.
async fn elsewhere(
    core: &Rc<Core>,
    plan: &Arc<ConvertPlan>,
    body: OwnedBody,
    permit: Permit,
) -> Result<(Reply, Converted, Permit), Reply> {
    let (body, _held) = body.detach();
    let (live, its_plan, now_ns) = (core.common.live_owned(), Arc::clone(plan), time::wall_ns());
    // The permit goes with the job: a request that is given up leaves it running, with all its memory.
    let job = move || {
        let mut scratch = Scratch::default();
        let done = convert::run(&its_plan, body.padded(), now_ns, &live.intake, &mut scratch, Reach::WHOLE);
        done.map(|done| (done, permit))
    };
    match blocking::run_long(job).await {
        Ok(Ok((Some((reply, converted)), permit))) => Ok((reply, converted, permit)),
        Ok(Ok((None, _))) => Err(core.busy(plan, Refusal::Overload, "the body could not be decoded")),
        Ok(Err(fault)) => Err(core.refuse_converted(plan, &fault)),
        Err(error) => {
            // A bug of ours, and the sender keeps its data.
            tracing::error!(%error, "a body could not be converted");
            Err(core.busy(plan, Refusal::Overload, "the body could not be decoded"))
        }
    }
}

/// Sends points as blocks of their own and waits until they are where the sender wants them.
pub async fn send(core: Rc<Core>, plan: Arc<ConvertPlan>, reply: Reply, converted: Converted) -> Reply {
    let (core, plan) = (&core, &*plan);
    let mut unsent: Vec<Unsent<'_>> = Vec::new();
    for (category, batch) in &converted.batches {
        let points = u64::from(batch.points);
        unsent.push(Unsent { lanes: &core.lanes, category: *category, points });
    }
    core.count_converted(&converted);
    let mut tickets = Vec::with_capacity(converted.batches.len());
    for ((category, batch), unsent) in converted.batches.into_iter().zip(&mut unsent) {
        let parts = match sinking::spread(core, category, &plan.route, vec![batch]) {
            Ok(parts) => parts,
            Err(reason) => return core.busy(plan, Refusal::Overload, reason),
        };
        for part in parts {
            let deadline = time::Instant::now() + ROOM_WAIT;
            match sinking::put(core, category, part, plan.ack, unsent, deadline).await {
                Ok(ticket) => tickets.push(ticket),
                // What went before stays: the sender sends all of it again.
                Err(reason) => return core.busy(plan, Refusal::Overload, reason),
            }
            yield_now().await;
        }
    }
    let mut worst = wanted(plan.ack);
    for ticket in &tickets {
        worst = worst_of(worst, std::future::poll_fn(|cx| ticket.poll(wanted(plan.ack), cx)).await);
    }
    if tickets.is_empty() { core.taken(plan, reply) } else { core.converted_outcome(plan, reply, worst) }
}

/// Writes points that the gateway itself has made, and waits until they are durable. What is on its way when the process
/// ends is finished, as any request is; what comes later is not taken.
pub async fn write_own(core: &Rc<Core>, plan: ConvertPlan) -> Reply {
    let plan = Arc::new(plan);
    let done = {
        let mut scratch = core.convert_scratch.borrow_mut();
        let mut nothing = Vec::new();
        let body = Padded::pad(&mut nothing);
        convert::run(&plan, body, time::wall_ns(), &core.common.live().intake, &mut scratch, Reach::WHOLE)
    };
    match done {
        Ok(Some((reply, converted))) => send(Rc::clone(core), plan, reply, converted).await,
        Ok(None) => core.busy(&plan, Refusal::Overload, "too much at once"),
        Err(fault) => core.refuse_converted(&plan, &fault),
    }
}
