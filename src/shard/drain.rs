//! Stop in order: no new connections, the requests in work get their answers, open blocks are sealed and committed,
//! uploads end within their budget; what is left is on disk and comes again at the next start.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::net::Gate;
use crate::rt::time;
use crate::upload::Uploads;

use super::ingest::Core;
use super::uploads::HomeLog;

/// For requests in work to be answered and their connections to end.
const ANSWER_BUDGET: Duration = Duration::from_secs(10);

/// For blocks to reach the disk. A disk that takes longer keeps what it has; nobody was told that the rest is there.
const COMMIT_BUDGET: Duration = Duration::from_secs(10);

/// For uploads in flight to be answered. What is not stays spooled.
const UPLOAD_BUDGET: Duration = Duration::from_secs(5);

/// How often the other shards are looked at; a stop happens once.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Takes this shard down.
pub async fn drain(core: &Rc<Core>, gate: &Rc<Gate>, uploads: &Uploads, homes: &[Rc<HomeLog>]) {
    core.draining.set(true);
    gate.stop();
    within(ANSWER_BUDGET, async {
        while gate.open_here() > 0 {
            gate.closed().await;
        }
    })
    .await;
    within(COMMIT_BUDGET, async {
        while !core.lanes.is_empty() {
            time::sleep(LOOK_INTERVAL).await;
        }
    })
    .await;
    // Homes serve the blocks of every shard: go on until all have come this far.
    core.common.feeding.fetch_sub(1, Ordering::AcqRel);
    within(ANSWER_BUDGET + COMMIT_BUDGET, async {
        while core.common.feeding.load(Ordering::Acquire) > 0 {
            time::sleep(LOOK_INTERVAL).await;
        }
    })
    .await;
    let stopped = uploads.stop(UPLOAD_BUDGET).await;
    if stopped.windows_abandoned > 0 {
        tracing::info!(
            windows = stopped.windows_abandoned,
            "uploads in flight go out again at the next start"
        );
    }
    for home in homes {
        home.close().await;
    }
}

async fn within(budget: Duration, work: impl Future<Output = ()>) {
    if time::timeout(budget, work).await.is_err() {
        tracing::warn!(budget_s = budget.as_secs(), "a step of the stop ran out of its time");
    }
}
