//! Stop in order: requests still come for a while and are told that theirs is the last on its connection; then no new
//! connections, the requests in work get their answers, open blocks are sealed and committed, uploads end. All of it
//! within a budget; what is left is on disk and comes again at the next start.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::rt::sync::Notify;
use crate::rt::{spawn, time};

use super::change::Front;
use super::common::Stop;
use super::ingest::Core;

/// How much of the budget requests in work may use up to be answered and their connections to end; blocks may take the
/// same to reach the disk. A disk that takes longer keeps what it has; nobody was told that the rest is there.
const ANSWER_SHARE: f64 = 0.4;

/// How often the other shards are looked at; a stop happens once.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Takes this shard down.
pub async fn drain(core: &Rc<Core>, front: &Rc<Front>) {
    let Stop { delay, budget, uploads_at_once } = core.common.how_to_stop();
    let step = budget.mul_f64(ANSWER_SHARE);
    let begun = time::Instant::now();
    let gate = &front.context.gate;
    core.draining.set(true);
    let uploads = Rc::new(Ending::default());
    if uploads_at_once {
        // Somebody waits to go on with them.
        spawn(Rc::clone(&uploads).end(Rc::clone(front), delay));
    }
    time::sleep(delay).await;
    gate.stop();
    within(step, async {
        while gate.open_here() > 0 {
            gate.closed().await;
        }
    })
    .await;
    if front.index == 0 {
        // What others still count is not in it.
        within(step, super::tracing::report(core)).await;
        within(step, super::sums::finish(core)).await;
    }
    within(step, async {
        while !core.lanes.is_empty() {
            time::sleep(LOOK_INTERVAL).await;
        }
    })
    .await;
    // Homes serve the blocks of every shard: go on until all have come this far.
    core.common.feeding.fetch_sub(1, Ordering::AcqRel);
    within(2 * step, async {
        while core.common.feeding.load(Ordering::Acquire) > 0 {
            time::sleep(LOOK_INTERVAL).await;
        }
    })
    .await;
    if !uploads_at_once {
        let left =
            (budget + delay).saturating_sub(begun.elapsed()).max(budget.mul_f64(1.0 - 2.0 * ANSWER_SHARE));
        spawn(Rc::clone(&uploads).end(Rc::clone(front), left));
    }
    uploads.ended().await;
    for home in &front.homes {
        home.close().await;
    }
}

/// The end of the uploads, waited for from elsewhere.
#[derive(Default)]
struct Ending {
    is_over: Cell<bool>,
    over: Notify,
}

impl Ending {
    async fn end(self: Rc<Self>, front: Rc<Front>, budget: Duration) {
        let uploads = Rc::clone(&front.uploads.borrow());
        let stopped = uploads.stop(budget).await;
        if stopped.windows_abandoned > 0 {
            tracing::info!(
                windows = stopped.windows_abandoned,
                "uploads in flight go out again at the next start"
            );
        }
        front.homes.iter().for_each(|home| home.leave_deliveries());
        self.is_over.set(true);
        self.over.notify_all();
    }

    async fn ended(&self) {
        loop {
            let over = self.over.notified();
            if self.is_over.get() {
                return;
            }
            over.await;
        }
    }
}

async fn within(budget: Duration, work: impl Future<Output = ()>) {
    if time::timeout(budget, work).await.is_err() {
        tracing::warn!(budget_s = budget.as_secs(), "a step of the stop ran out of its time");
    }
}
