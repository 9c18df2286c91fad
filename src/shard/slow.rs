//! The slow way of a write: bodies too large to decode in one go, and bodies whose lane has no room yet.
//!
//! A body is taken whole or not at all, so a large one is decoded to its end before any of it is sent. It becomes
//! blocks of its own, which go to the ring behind whatever the lane has open.

use std::rc::Rc;
use std::time::Duration;

use crate::intake::Reply;
use crate::intake::datakit::write::{Decoder, Step, WritePlan, Written};
use crate::metrics::counters::Refusal;
use crate::net::OwnedBody;
use crate::point::Batch;
use crate::rt::{time, yield_now};

use super::ingest::{Core, is_direct, wanted};
use super::lanes::Lane;
use super::ticket::{Progress, Ticket};

/// How long a request waits for room in the rings before its sender is told to come again.
pub(super) const ROOM_WAIT: Duration = Duration::from_secs(5);

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
        return match core.decode(&plan, body.padded(), &lane) {
            Err(reply) => *reply,
            Ok((written, _)) if plan.dry => plan.reply(written),
            Ok((written, ticket)) => finish(&core, &plan, written, &[ticket]).await,
        };
    }
    let (written, batches) = match decode(&core, &plan, &body).await {
        Ok(decoded) => decoded,
        Err(reply) => {
            core.counters.refuse(Refusal::Points);
            return *reply;
        }
    };
    drop(body);
    if plan.dry {
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

/// Decodes the body in slices, with other connections served in between.
async fn decode(
    core: &Rc<Core>,
    plan: &WritePlan,
    body: &OwnedBody,
) -> Result<(Written, Vec<Batch>), Box<Reply>> {
    let mut decoder = Decoder::new(time::wall_ns());
    loop {
        let step = decoder.step(plan, body.padded(), &core.common.intake, &mut core.scratch.borrow_mut())?;
        match step {
            Step::Done(written) => return Ok((written, decoder.into_batches())),
            Step::More => yield_now().await,
        }
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
