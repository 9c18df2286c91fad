//! The slow way of a write: bodies too large to decode in one go, and bodies whose lane has no room yet.
//!
//! A body is taken whole or not at all, so a large one is decoded to its end before any of it is sent. It becomes
//! blocks of its own, which go to the ring behind whatever the lane has open. A very large one is decoded on a thread
//! beside the shards: there it can take as long as it takes.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::intake::Reply;
use crate::intake::datakit::write::{Decoder, Scratch, Step, Stop, WritePlan, Written};
use crate::metrics::counters::Refusal;
use crate::net::OwnedBody;
use crate::point::Batch;
use crate::rt::{blocking, time, yield_now};

use super::common::Common;
use super::ingest::{Core, is_direct, wanted};
use super::lanes::Lane;
use super::ticket::{Progress, Ticket};

/// How long a request waits for room in the rings before its sender is told to come again.
pub(super) const ROOM_WAIT: Duration = Duration::from_secs(5);

/// Bodies up to this size, decompressed, are decoded in slices on their shard: even if all of one is a single unusual
/// point, which cannot be sliced, others wait a few milliseconds and no longer. Larger ones go to another thread.
const SLICED_BODY_BYTES_MAX: usize = 1 << 20;

/// So many larger ones are in memory at once in the whole process, decompressed and encoded: each may be twice as long as
/// the bound on decompressed bodies. Others wait their turn as they were received.
const BIG_BODIES_MAX: usize = 4;

/// How often a body looks whether it is its turn.
const PERMIT_PAUSE: Duration = Duration::from_millis(2);

/// Handles one write whose body is kept.
pub async fn write(core: Rc<Core>, plan: Box<WritePlan>, body: OwnedBody) -> Reply {
    let Some(lane) = core.lanes.lane(plan.category, &plan.route) else {
        return core.refuse(Refusal::Overload, "too many routes at once");
    };
    let deadline = time::Instant::now() + ROOM_WAIT;
    while !lane.has_room() {
        if !room(&core, deadline).await {
            return core.refuse(Refusal::Overload, "the gateway is busy");
        }
    }
    if is_direct(&plan, body.padded().len()) {
        match core.decode(&plan, body.padded(), &lane) {
            Err(reply) => return reply,
            Ok(Some((written, _))) if plan.dry || written.points == 0 => return plan.reply(written),
            Ok(Some((written, ticket))) => return finish(&core, &plan, written, &[ticket]).await,
            // More than it looked like.
            Ok(None) => {}
        }
    }
    // Held until all of the body is sent.
    let mut permit = None;
    let (written, batches) = match decode(&core, &plan, body, deadline, &mut permit).await {
        Ok(decoded) => decoded,
        Err(reply) => return reply,
    };
    if plan.dry || written.points == 0 {
        return plan.reply(written);
    }
    core.accepted(&plan, written.points);
    let mut tickets = Vec::with_capacity(batches.len());
    let mut batches = batches.into_iter();
    while let Some(batch) = batches.next() {
        let ticket = Ticket::new();
        if wanted(plan.ack) == Progress::Delivered {
            ticket.want_delivery();
        }
        // Decoding took its time, and each block sent is progress: the wait begins anew.
        let deadline = time::Instant::now() + ROOM_WAIT;
        if !send(&core, &lane, batch, &ticket, deadline).await {
            // What went before stays: the sender, told 503, sends all of it again.
            core.lanes.drop_unsent(plan.category, batches.map(|batch| u64::from(batch.points)).sum());
            return core.refuse(Refusal::Overload, "the gateway is busy");
        }
        tickets.push(ticket);
        yield_now().await;
    }
    finish(&core, &plan, written, &tickets).await
}

/// Decodes the body: in slices with other connections served in between, or, once it proves to be big, on another
/// thread.
async fn decode(
    core: &Rc<Core>,
    plan: &WritePlan,
    body: OwnedBody,
    deadline: time::Instant,
    permit: &mut Option<Permit>,
) -> Result<(Written, Vec<Batch>), Reply> {
    let settings = &core.common.intake;
    let mut decoder = Decoder::new(plan, settings, time::wall_ns());
    loop {
        if decoder.body_bytes(&body.padded()) > SLICED_BODY_BYTES_MAX {
            break;
        }
        let step = decoder.step(plan, body.padded(), settings, &mut core.scratch.borrow_mut());
        match step {
            Ok(Step::Done(written)) => return Ok((written, decoder.into_batches())),
            Ok(Step::More) => yield_now().await,
            Err(Stop::Refused(error)) => return Err(core.refuse_write(plan, &error)),
            // To say what is wrong takes long: not here.
            Err(Stop::Bad) => return Err(explain_elsewhere(core, plan, body, decoder).await),
            Err(Stop::TooMuch) => return Err(core.refuse(Refusal::Overload, "the body holds too much")),
        }
    }
    *permit = Permit::wait(core, deadline).await;
    if permit.is_none() {
        return Err(core.refuse(Refusal::Overload, "the gateway is busy with other large bodies"));
    }
    decode_elsewhere(core, plan, body, decoder).await
}

async fn decode_elsewhere(
    core: &Rc<Core>,
    plan: &WritePlan,
    body: OwnedBody,
    mut decoder: Decoder,
) -> Result<(Written, Vec<Batch>), Reply> {
    let (body, _held) = body.detach();
    let (common, its_plan) = (Arc::clone(&core.common), plan.clone());
    let job = move || {
        let mut scratch = Scratch::default();
        loop {
            match decoder.step(&its_plan, body.padded(), &common.intake, &mut scratch) {
                Ok(Step::More) => {}
                Ok(Step::Done(written)) => return Ok((written, decoder.into_batches())),
                Err(Stop::Refused(error)) => return Err(error),
                Err(Stop::Bad | Stop::TooMuch) => return Err(decoder.explain(&body.padded())),
            }
        }
    };
    match blocking::run_long(job).await {
        Ok(decoded) => decoded.map_err(|error| core.refuse_write(plan, &error)),
        Err(error) => Err(broken(core, &error)),
    }
}

async fn explain_elsewhere(core: &Rc<Core>, plan: &WritePlan, body: OwnedBody, decoder: Decoder) -> Reply {
    let (body, _held) = body.detach();
    match blocking::run_long(move || decoder.explain(&body.padded())).await {
        Ok(error) => core.refuse_write(plan, &error),
        Err(error) => broken(core, &error),
    }
}

/// A bug of ours, and the sender keeps its data.
fn broken(core: &Rc<Core>, error: &std::io::Error) -> Reply {
    tracing::error!(%error, "a body could not be decoded");
    core.refuse(Refusal::Overload, "the body could not be decoded")
}

/// Leave to hold one big body and what it becomes.
struct Permit(Arc<Common>);

impl Permit {
    async fn wait(core: &Rc<Core>, deadline: time::Instant) -> Option<Permit> {
        loop {
            let taken = core.common.big_bodies.fetch_add(1, Ordering::AcqRel);
            let permit = Permit(Arc::clone(&core.common));
            if taken < BIG_BODIES_MAX {
                return Some(permit);
            }
            drop(permit);
            if time::Instant::now() >= deadline {
                return None;
            }
            time::sleep(PERMIT_PAUSE).await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.big_bodies.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Waits until a block has gone. False once the deadline has passed.
pub(super) async fn room(core: &Rc<Core>, deadline: time::Instant) -> bool {
    let left = deadline.saturating_duration_since(time::Instant::now());
    !left.is_zero() && time::timeout(left, core.lanes.room.notified()).await.is_ok()
}

async fn send(
    core: &Rc<Core>,
    lane: &Rc<Lane>,
    batch: Batch,
    ticket: &Rc<Ticket>,
    deadline: time::Instant,
) -> bool {
    let mut refused = core.lanes.send(lane, &batch, ticket);
    drop(batch);
    while let Err(sealed) = refused {
        if !room(core, deadline).await {
            core.lanes.give_up(sealed);
            return false;
        }
        refused = core.lanes.resend(lane, sealed);
    }
    true
}

/// Waits until every block is where the sender wants it.
async fn finish(core: &Rc<Core>, plan: &WritePlan, written: Written, tickets: &[Rc<Ticket>]) -> Reply {
    let mut worst = wanted(plan.ack);
    for ticket in tickets {
        let reached = std::future::poll_fn(|cx| ticket.poll(wanted(plan.ack), cx)).await;
        if matches!(reached, Progress::Full | Progress::TooLarge | Progress::Failed) {
            worst = reached;
        }
    }
    core.outcome(plan, written, worst)
}
