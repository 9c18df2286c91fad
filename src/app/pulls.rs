//! Go programs that are asked for their profiles: started and stopped with what is configured.

use std::sync::Arc;
use std::time::Duration;

use crate::aside::pprof_pull::{self, ANSWER_TIMEOUT, HandIn, PullOptions, Puller};
use crate::config::GoPull;
use crate::intake::profiling::ProfilePlan;
use crate::shard::{Common, Submitted};

/// For a profile to be durable. Whoever asks for the next one waits for that.
const DURABLE_PATIENCE: Duration = Duration::from_secs(10);

/// Those that are asked.
#[derive(Default)]
pub struct Pulls {
    targets: Vec<GoPull>,
    pullers: Vec<Puller>,
}

impl Pulls {
    /// Asks those that are configured now. Where any has changed all begin anew: what they add up from is a round ago at most.
    pub fn renew(&mut self, common: &Arc<Common>) {
        let live = common.live_owned();
        let wanted = &live.settings.go_pulls;
        if *wanted == self.targets {
            return;
        }
        self.stop();
        for target in wanted {
            let options = PullOptions {
                version: live.intake.options.version.clone(),
                body_bytes_max: live.settings.profiling.body_bytes_max,
                answer_timeout: ANSWER_TIMEOUT,
                stats: Arc::clone(common.registry.pulls()),
            };
            match pprof_pull::start(target.clone(), options, hand_in(common)) {
                Ok(puller) => self.pullers.push(puller),
                Err(error) => {
                    tracing::error!(%error, program = target.name, "nobody asks this program for its profiles");
                }
            }
        }
        self.targets.clone_from(wanted);
    }

    /// Asks nobody any more.
    pub fn stop(&mut self) {
        self.targets.clear();
        pprof_pull::stop(std::mem::take(&mut self.pullers));
    }
}

/// Gives a profile to the first shard, and says whether it is durable.
fn hand_in(common: &Common) -> HandIn {
    let shard = common.submitted.0.clone();
    Box::new(move |pulled| {
        let (done, durable) = flume::bounded(1);
        let plan = ProfilePlan::own(&pulled.content_type, &pulled.headers);
        let submitted = Submitted { plan, body: pulled.body, done };
        shard.send_timeout(submitted, DURABLE_PATIENCE).is_ok()
            && durable.recv_timeout(DURABLE_PATIENCE).unwrap_or(false)
    })
}
