//! Points that scripts make of others: they go to lanes of their own categories, and the answer to the request that brought
//! the others waits for them too.

use std::rc::Rc;

use crate::intake::Ack;
use crate::intake::datakit::write::{WritePlan, Written};
use crate::limits::DIRECT_BODY_BYTES_MAX;
use crate::metrics::counters::DropReason;
use crate::pipeline::hook::Created;
use crate::point::Category;

use super::ingest::Core;
use super::lanes::Lane;
use super::ticket::Ticket;

/// What scripts have made of a body goes into open blocks up to this much; more becomes blocks of its own.
const CREATED_BYTES_MAX: usize = DIRECT_BODY_BYTES_MAX;

impl Core {
    /// The lanes of points that scripts have made, if those can go into their open blocks.
    pub(super) fn lanes_of(&self, plan: &WritePlan, created: &Created) -> Option<Vec<Rc<Lane>>> {
        if created.bytes() > CREATED_BYTES_MAX {
            return None;
        }
        let lane =
            |category| self.lanes.lane(category, &plan.route.of(category)).filter(|lane| lane.has_room());
        created.batches.iter().map(|(category, _)| lane(*category)).collect()
    }

    /// Puts points that scripts have made beside those of the body, which are in their block already; the tickets of all.
    pub(super) fn spread(
        &self,
        plan: &WritePlan,
        written: &Written,
        created: Created,
        lane: &Rc<Lane>,
        lanes: &[Rc<Lane>],
    ) -> Vec<Rc<Ticket>> {
        self.accepted(plan, written);
        let made = created.batches.iter().map(|(category, batch)| (*category, u64::from(batch.points)));
        self.made(made, &created.filtered);
        for (lane, (_, batch)) in lanes.iter().zip(&created.batches) {
            let mut open = lane.open();
            open.bytes.extend_from_slice(&batch.bytes);
            open.points += batch.points;
        }
        let own = (written.points > 0).then_some(lane);
        let mut tickets = Vec::with_capacity(lanes.len() + 1);
        for lane in own.into_iter().chain(lanes) {
            let ticket = lane.ticket();
            if plan.ack == Ack::Upstream {
                ticket.want_delivery();
            }
            tickets.push(ticket);
        }
        own.into_iter().chain(lanes).for_each(|lane| self.lanes.grown(lane));
        tickets
    }

    /// Counts points that scripts have made.
    pub(super) fn made(&self, made: impl Iterator<Item = (Category, u64)>, filtered: &[(Category, u64)]) {
        for (category, points) in made {
            self.counters.categories[category.index()].points_in.add(points);
        }
        for (category, points) in filtered {
            let counters = &self.counters.categories[category.index()];
            counters.points_in.add(*points);
            counters.drop_points(DropReason::Filtered, *points);
        }
    }
}
