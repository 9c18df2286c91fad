//! What is counted of spans (`tracing_metrics`), as points: once a minute, and at the end. One shard does it for all.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::buf::Padded;
use crate::intake::convert::{self, ConvertPlan, Reach};
use crate::intake::tracing::metrics;
use crate::rt::time;

use super::convert::send;
use super::ingest::Core;

/// DataKit's.
const INTERVAL: Duration = Duration::from_secs(60);

/// How often it is tried to store points, and when again: a disk that is full for longer has other troubles than these.
const TRIES: usize = 5;
const RETRY_AFTER: Duration = Duration::from_secs(3);

/// Reports each minute, for as long as the shard runs.
pub async fn run(core: Rc<Core>) {
    loop {
        time::sleep(INTERVAL).await;
        report(&core).await;
    }
}

/// Writes what was counted since the last time.
pub async fn report(core: &Rc<Core>) {
    let plans = metrics::plans(&core.common.live().intake, time::wall_ns());
    for plan in plans {
        store(core, Arc::new(plan)).await;
    }
}

async fn store(core: &Rc<Core>, plan: Arc<ConvertPlan>) {
    for _ in 0..TRIES {
        let done = {
            let mut body = Vec::new();
            let body = Padded::pad(&mut body);
            let mut scratch = core.convert_scratch.borrow_mut();
            let live = core.common.live();
            convert::run(&plan, body, time::wall_ns(), &live.intake, &mut scratch, Reach::WHOLE)
        };
        let status = match done {
            Ok(Some((reply, converted))) => {
                send(Rc::clone(core), Arc::clone(&plan), reply, converted).await.status
            }
            Ok(None) => return,
            Err(fault) => {
                tracing::warn!(reason = %fault.text(), "numbers of spans are lost");
                return;
            }
        };
        if status < 300 {
            return;
        }
        time::sleep(RETRY_AFTER).await;
    }
    tracing::warn!("numbers of spans are lost: they could not be stored");
}
