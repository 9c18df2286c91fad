//! Points on their way to the lanes they belong to: all to that of their request, or, where the sinker is on, each to that
//! of its group.
//!
//! A group that is small is put into its lane's open block, beside what other requests have put there; a larger one becomes a
//! block of its own. So do all where the sinker is off: such bodies come here only because they are large.

use std::rc::Rc;

use crate::intake::Ack;
use crate::limits::BLOCK_RAW_BYTES;
use crate::point::sinker::{Groups, VALUE_BYTES_MAX};
use crate::point::{Batch, Category, Route};
use crate::rt::time;
use crate::spool::ROUTE_BYTES_MAX;

use super::ingest::Core;
use super::slow::{Unsent, room, sent};
use super::ticket::Ticket;

/// Points of one lane.
pub(super) struct Part {
    route: Route,
    batch: Batch,
    /// Several requests share the lane's blocks.
    is_group: bool,
}

impl Part {
    pub(super) fn points(&self) -> u64 {
        u64::from(self.batch.points)
    }
}

/// What is told to senders whose points cannot be put anywhere.
const BUSY: &str = "the gateway is busy";
const TOO_MANY_ROUTES: &str = "too many routes at once";
const TOO_MANY_VALUES: &str = "too many values of the sinker's keys in one request";

// A value, an index and a token, each byte of which may take three, and their names.
const _: () = assert!(3 * (VALUE_BYTES_MAX + 256 + 128) + 64 <= ROUTE_BYTES_MAX);

/// The points of a request by their lanes; why they cannot be sent.
pub(super) fn spread(
    core: &Core,
    category: Category,
    route: &Route,
    batches: Vec<Batch>,
) -> Result<Vec<Part>, &'static str> {
    let live = core.common.live();
    let Some(sinker) = &live.intake.sinker else {
        let part = |batch| Part { route: route.clone(), batch, is_group: false };
        return Ok(batches.into_iter().map(part).collect());
    };
    let mut parts = Vec::new();
    let mut groups = Groups::default();
    for batch in batches {
        sinker.split(category, &batch, &mut groups).map_err(|_| TOO_MANY_VALUES)?;
        // Blocks stay as large as those that batches were made for.
        for (value, batch) in groups.take_larger_than(BLOCK_RAW_BYTES) {
            parts.push(Part { route: with(route, &value), batch, is_group: true });
        }
    }
    for (value, batch) in groups.take_larger_than(0) {
        parts.push(Part { route: with(route, &value), batch, is_group: true });
    }
    Ok(parts)
}

fn with(route: &Route, value: &str) -> Route {
    Route { global_tags: Some(value.into()), ..route.clone() }
}

/// Puts points into a block of their lane. The result is its ticket, or why there is no room until the deadline: then they
/// are accounted for.
pub(super) async fn put(
    core: &Rc<Core>,
    category: Category,
    part: Part,
    ack: Ack,
    unsent: &mut Unsent<'_>,
    deadline: time::Instant,
) -> Result<Rc<Ticket>, &'static str> {
    let lane = loop {
        match core.lanes.lane(category, &part.route) {
            Some(lane) if lane.has_room() => break lane,
            // Lanes become free as their blocks go.
            Some(_) | None if room(core, deadline).await => {}
            Some(_) => return Err(BUSY),
            None => return Err(TOO_MANY_ROUTES),
        }
    };
    unsent.points -= u64::from(part.batch.points);
    if part.is_group && part.batch.bytes.len() < BLOCK_RAW_BYTES {
        let mut open = lane.open();
        open.bytes.extend_from_slice(&part.batch.bytes);
        open.points += part.batch.points;
        drop(open);
        let ticket = lane.ticket();
        if ack == Ack::Upstream {
            ticket.want_delivery();
        }
        core.lanes.grown(&lane);
        return Ok(ticket);
    }
    let ticket = Ticket::new();
    if ack == Ack::Upstream {
        ticket.want_delivery();
    }
    let sealed = core.lanes.send(&lane, &part.batch, &ticket);
    drop(part);
    if sent(core, &lane, sealed, deadline).await { Ok(ticket) } else { Err(BUSY) }
}
