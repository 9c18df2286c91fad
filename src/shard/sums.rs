//! Points of what scripts have added up: made when the interval of a bucket is over, when its script gives way to another one,
//! and at the end. One shard does it for all.
//!
//! They meet the filters and no script. Whoever brought the values has had an answer by then; as in DataKit, values that were
//! added since the last points are lost with the process.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bumpalo::Bump;

use crate::intake::Ack;
use crate::pipeline::hook::Created;
use crate::pipeline::set::ScriptSet;
use crate::pipeline::state::ScriptState;
use crate::point::Route;
use crate::rt::{time, yield_now};

use super::ingest::Core;
use super::sinking;
use super::slow::{ROOM_WAIT, Unsent};

/// How often buckets are looked at: their least interval.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is told that something found no room.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// Points that are encoded before others of the shard have their turn.
const POINTS_A_TURN: usize = 256;

/// Looks at all buckets, for as long as the shard runs.
pub async fn run(core: Rc<Core>) {
    let mut known: Vec<Arc<ScriptSet>> = Vec::new();
    let mut told = time::Instant::now();
    loop {
        time::sleep(LOOK_INTERVAL).await;
        let now: Vec<_> = core.common.live().intake.scripts.store().sets().cloned().collect();
        for set in &known {
            if !now.iter().any(|there| Arc::ptr_eq(there, set)) {
                give_out(&core, set, ScriptState::finish).await;
            }
        }
        for set in &now {
            give_out(&core, set, ScriptState::tick).await;
        }
        if told.elapsed() >= TELL_INTERVAL {
            now.iter().for_each(|set| tell(set));
            told = time::Instant::now();
        }
        known = now;
    }
}

/// Says which scripts found no room for what they keep.
fn tell(set: &ScriptSet) {
    for (script, state) in set.states() {
        let refused = state.take_refused();
        if refused > 0 {
            tracing::warn!(script, refused, "a script finds no room for what it keeps: it keeps too much");
        }
    }
}

/// Makes points of everything there is.
pub async fn finish(core: &Rc<Core>) {
    let sets: Vec<_> = core.common.live().intake.scripts.store().sets().cloned().collect();
    for set in &sets {
        give_out(core, set, ScriptState::finish).await;
    }
}

/// Stores the points of a set's buckets that `make` has made.
async fn give_out(core: &Rc<Core>, set: &ScriptSet, make: fn(&ScriptState, i64)) {
    for (_, state) in set.states() {
        make(state, time::wall_ns());
        let mut points = state.take_ready().into_iter();
        loop {
            let some: Vec<_> = points.by_ref().take(POINTS_A_TURN).collect();
            if some.is_empty() {
                break;
            }
            let mut created = Created::default();
            {
                let live = core.common.live();
                let filters = live.intake.filters.any();
                let arena = Bump::new();
                for point in some.iter().filter(|point| point.has_field()) {
                    let record = point.record(&arena, &live.intake.options.host_tag_pairs);
                    // Its time is now: there is nothing to correct.
                    if let Err(error) = created.make(&record, &arena, filters.as_deref(), None) {
                        tracing::warn!(error, "a point of agg_create() is lost");
                    }
                }
            }
            store(core, created).await;
            yield_now().await;
        }
    }
}

/// Stores points that came of no request's own.
pub(super) async fn store(core: &Rc<Core>, created: Created) {
    let made = created.batches.iter().map(|(category, batch)| (*category, u64::from(batch.points)));
    core.made(made, &created.filtered);
    for (category, batch) in created.batches {
        // What finds no room is counted as dropped.
        let mut unsent = Unsent { lanes: &core.lanes, category, points: u64::from(batch.points) };
        let parts = match sinking::spread(core, category, &Route::default(), vec![batch]) {
            Ok(parts) => parts,
            Err(reason) => {
                tracing::warn!(reason, category = category.name(), "points of agg_create() are lost");
                continue;
            }
        };
        for part in parts {
            let deadline = time::Instant::now() + ROOM_WAIT;
            if let Err(reason) = sinking::put(core, category, part, Ack::Memory, &mut unsent, deadline).await
            {
                tracing::warn!(reason, category = category.name(), "points of agg_create() are lost");
                break;
            }
        }
    }
}
