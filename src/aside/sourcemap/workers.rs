//! The threads that resolve what requests ask: two for maps, which take milliseconds, and some for external programs, which
//! take seconds and are not to hold up the others.

use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::config::SourcemapSettings;
use crate::intake::datakit::rum::sources::{Answers, Platform, Question};

use super::store::Store;

const MAP_THREADS: usize = 2;

/// However many programs may run at once: each thread waits for one.
const TOOL_THREADS_MAX: usize = 16;

/// Requests that wait for a thread. Past it, points go without.
const WAITING_MAX: usize = 256;

/// Threads for work in the background stand back behind the shards.
const NICE: i32 = 5;

/// What one request asked.
struct Job {
    questions: Vec<Question>,
    answers: Arc<Answers>,
    settings: SourcemapSettings,
    deadline: Instant,
    /// Dropped when the job is done.
    _done: flume::Sender<()>,
}

/// See the head of this file. They end with the store.
#[derive(Debug)]
pub struct Workers {
    maps: flume::Sender<Job>,
    tools: flume::Sender<Job>,
}

impl Workers {
    pub fn start(store: &Arc<Store>, settings: &SourcemapSettings) -> Workers {
        let tools = settings.tool_runs.clamp(1, TOOL_THREADS_MAX);
        Workers { maps: start(store, "maps", MAP_THREADS), tools: start(store, "symbols", tools) }
    }

    /// Has questions answered into `answers`. What is returned is disconnected when all that can be are: at the deadline, or
    /// at once where nobody has time.
    pub fn ask(
        &self,
        questions: Vec<Question>,
        answers: &Arc<Answers>,
        settings: &SourcemapSettings,
        deadline: Instant,
    ) -> flume::Receiver<()> {
        let (done, wait) = flume::bounded(1);
        let takes_map = |question: &Question| matches!(question.platform, Platform::Web | Platform::Miniapp);
        let (maps, tools): (Vec<Question>, Vec<Question>) = questions.into_iter().partition(takes_map);
        for (queue, questions) in [(&self.maps, maps), (&self.tools, tools)] {
            if questions.is_empty() {
                continue;
            }
            let (answers, settings) = (Arc::clone(answers), settings.clone());
            // Refused where too many wait.
            let _ = queue.try_send(Job { questions, answers, settings, deadline, _done: done.clone() });
        }
        wait
    }
}

fn start(store: &Arc<Store>, name: &str, threads: usize) -> flume::Sender<Job> {
    let (sender, receiver) = flume::bounded::<Job>(WAITING_MAX);
    for index in 0..threads {
        let (receiver, store): (flume::Receiver<Job>, Weak<Store>) =
            (receiver.clone(), Arc::downgrade(store));
        let work = move || {
            // Of this thread alone; refused nowhere, and no loss where it is.
            let _ = rustix::process::nice(NICE);
            while let (Ok(job), Some(store)) = (receiver.recv(), store.upgrade()) {
                store.answer(&job.questions, &job.answers, &job.settings, job.deadline);
            }
        };
        if let Err(error) = std::thread::Builder::new().name(format!("{name}-{index}")).spawn(work) {
            tracing::error!(%error, "cannot start a thread for stacks");
        }
    }
    sender
}
