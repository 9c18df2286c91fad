//! The way of a raw package: the body as it came becomes a block of its own, is made durable, and then answered for.
//!
//! A package may have tens of megabytes. It is copied once, from the receive buffer behind its head, and that copy is what the
//! spool writes and the upload sends; it is made and checksummed in slices, with other connections served in between.

use std::rc::Rc;

use bytes::Bytes;

use crate::intake::datakit::error::ApiError;
use crate::intake::raw::{Kept, RawPlan};
use crate::intake::{Ack, Reply};
use crate::metrics::counters::{DropReason, Refusal};
use crate::net::OwnedBody;
use crate::rt::{time, yield_now};

use super::ingest::{Core, LEFT, wanted};
use super::lanes::Lane;
use super::slow::{ROOM_WAIT, sent};
use super::ticket::{Progress, Ticket};

/// What is copied and checksummed between two yields: about 50 µs.
const SLICE_BYTES: usize = 256 << 10;

/// Handles one request whose body is kept.
pub async fn store(core: Rc<Core>, plan: Box<RawPlan>, body: OwnedBody) -> Reply {
    let mut plan = plan;
    if !plan.is_whole(&body.padded()) {
        core.counters.refuse(Refusal::Points);
        return plan.refused;
    }
    let look = plan.look;
    let kept = look(&mut plan, &body.padded(), &core.common.live().intake);
    if kept == Kept::No {
        let counters = &core.counters.categories[plan.category.index()];
        counters.points_in.add(1);
        counters.drop_points(DropReason::Filtered, 1);
        return plan.filtered;
    }
    // A browser shows a script nothing of an answer without these headers, not even its status.
    let cors = plan.stored.cors.clone();
    keep(&core, *plan, body).await.with_cors(&cors)
}

/// Makes the package durable, and says what became of it.
async fn keep(core: &Rc<Core>, plan: RawPlan, body: OwnedBody) -> Reply {
    let Some(lane) = core.lanes.lane(plan.category, &plan.route) else {
        return core.refuse(Refusal::Overload, "too many routes at once");
    };
    let package_bytes = plan.head.len() + body.padded().len();
    let (payload, crc) = package(&plan.head, &body).await;
    let Some(ticket) = put(core, &lane, payload, crc, plan.ack).await else {
        return core.refuse(Refusal::Overload, "the gateway is busy");
    };
    let reached = std::future::poll_fn(|cx| ticket.poll(wanted(plan.ack), cx)).await;
    // Not before: the bound on receive buffers bounds the copies too, for as long as they wait for the disk.
    drop(body);
    outcome(core, plan.ack, plan.stored, reached, package_bytes)
}

/// Sends a package on its way, once there is room for it.
pub async fn put(core: &Rc<Core>, lane: &Rc<Lane>, payload: Bytes, crc: u32, ack: Ack) -> Option<Rc<Ticket>> {
    let counters = &core.counters.categories[lane.category.index()];
    counters.points_in.add(1);
    counters.requests_in.add(1);
    let ticket = Ticket::new();
    if ack == Ack::Upstream {
        ticket.want_delivery();
    }
    let deadline = time::Instant::now() + ROOM_WAIT;
    let refused = core.lanes.send_raw(lane, payload, crc, &ticket);
    sent(core, lane, refused, deadline).await.then_some(ticket)
}

/// The answer to a package that got as far as `reached`.
pub fn outcome(core: &Core, ack: Ack, stored: Reply, reached: Progress, package_bytes: usize) -> Reply {
    match reached {
        Progress::Durable | Progress::Delivered => stored,
        Progress::Pending if ack == Ack::Memory => stored,
        Progress::Full => core.refuse(Refusal::SpoolFull, "the spool is full"),
        Progress::TooLarge => {
            core.counters.refuse(Refusal::BodyTooLarge);
            ApiError::body_too_large(package_bytes.saturating_sub(1)).reply()
        }
        Progress::Left => core.refuse(Refusal::Stopping, LEFT),
        Progress::Failed | Progress::Pending => {
            core.refuse(Refusal::DiskError, "the spool cannot be written")
        }
    }
}

/// Head and body in one piece, and the checksum of it.
async fn package(head: &[u8], body: &OwnedBody) -> (Bytes, u32) {
    let body = body.padded();
    let mut payload = Vec::with_capacity(head.len() + body.len());
    payload.extend_from_slice(head);
    let mut crc = crc32c::crc32c(head);
    for slice in body.chunks(SLICE_BYTES) {
        payload.extend_from_slice(slice);
        crc = crc32c::crc32c_append(crc, slice);
        if payload.len() < payload.capacity() {
            yield_now().await;
        }
    }
    (payload.into(), crc)
}
