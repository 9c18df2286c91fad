//! The slow way of a write: bodies too large to decode in one go, and bodies whose lane has no room yet.
//!
//! A body is taken whole or not at all, so a large one is decoded to its end before any of it is sent. What it becomes
//! is compressed block by block on the way; only then do the blocks go to the ring.

use std::rc::Rc;
use std::time::Duration;

use crate::intake::Reply;
use crate::intake::datakit::write::{Decoder, Step, WritePlan};
use crate::metrics::counters::Refusal;
use crate::net::OwnedBody;
use crate::point::Batch;
use crate::rt::{time, yield_now};

use super::exchange::Sealed;
use super::ingest::{Core, wanted};
use super::lanes::{BLOCK_RAW_BYTES, Lane};
use super::ticket::{Progress, Ticket};

/// How long a request waits for room in the rings before its sender is told to come again.
const ROOM_WAIT: Duration = Duration::from_secs(5);

/// Body bytes decoded before other connections get their turn.
const SLICE_BYTES: usize = 128 << 10;

/// Handles one write whose body is kept.
pub async fn write(core: Rc<Core>, plan: Box<WritePlan>, body: OwnedBody) -> Reply {
    let Some(lane) = core.lanes.lane(plan.category, &plan.route) else {
        return core.refuse(Refusal::Overload, "too many routes at once");
    };
    let deadline = time::Instant::now() + ROOM_WAIT;
    if !wait_for_room(&core, &lane, deadline).await {
        return core.refuse(Refusal::Overload, "the gateway is busy");
    }
    match decode(&core, &plan, &body, &lane).await {
        Ok((written, sealed, tickets)) => {
            drop(body);
            if plan.dry {
                return plan.reply(written);
            }
            core.accepted(&plan, written.points);
            for block in sealed {
                if !send(&core, &lane, block, deadline).await {
                    return core.refuse(Refusal::Overload, "the gateway is busy");
                }
            }
            let mut progress = Progress::Delivered;
            for ticket in &tickets {
                let reached = std::future::poll_fn(|cx| ticket.poll(wanted(plan.ack), cx)).await;
                if matches!(reached, Progress::Full | Progress::Failed) {
                    progress = reached;
                }
            }
            core.outcome(&plan, written, progress)
        }
        Err(reply) => {
            core.counters.refuse(Refusal::Points);
            *reply
        }
    }
}
