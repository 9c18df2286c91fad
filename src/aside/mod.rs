//! What is done aside of the shards: requests that ask another host, read files or take long. Their bodies and answers
//! are small in number; here they may block, on threads that serve nothing else.
//!
//! - [`forward`]: calls to the first destination, and what is made of its answers
//! - [`dialtest`]: dial tests, run once
//! - [`errors`]: what other programs report of themselves
//! - [`pipeline`]: scripts, tried
//! - [`pprof_pull`]: Go programs, asked for their profiles
//! - [`scripts`]: what scripts ask of other hosts
//! - [`sourcemap`]: archives of maps and symbols, and stacks resolved by them
//! - tags are changed by the main thread, which has the configuration: [`Desk::orders`]
//!
//! Every call has a deadline and bounded memory. What is asked is in [`crate::intake::aside`].

pub mod dialtest;
pub mod errors;
pub mod forward;
pub mod pipeline;
pub mod pprof_pull;
pub mod scripts;
pub mod sourcemap;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config;
use crate::intake::aside::{AsidePlan, TagChange, TagSet, What};
use crate::intake::datakit::error::{overloaded, timed_out};
use crate::intake::datakit::tags::{self, Tags};
use crate::intake::{self, Reply};
use crate::metrics::Registry;

use forward::Forward;

/// What is asked of the main thread.
pub struct TagOrder {
    pub set: TagSet,
    pub change: TagChange,
    /// The host's tags and the election's as they are then, or why nothing has changed.
    pub reply: flume::Sender<Result<(Tags, Tags), String>>,
}

/// Takes orders for the main thread; false when it is gone.
pub type Orders = Box<dyn Fn(TagOrder) -> bool + Send + Sync>;

/// What requests aside share, one a process.
pub struct Desk {
    pub forward: Forward,
    pub orders: Orders,
    pub registry: Registry,
    /// Source maps, and who resolves stacks by them.
    pub sourcemaps: Arc<sourcemap::Store>,
}

/// One request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub plan: &'a AsidePlan,
    pub body: &'a [u8],
    pub settings: &'a config::Settings,
    pub intake: &'a intake::Settings,
    /// The answer is wanted by then.
    pub deadline: Instant,
    /// As configured: for answers that say it.
    pub timeout: Duration,
}

impl Request<'_> {
    /// What is left of the time.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

impl Desk {
    pub fn new(orders: Orders, registry: Registry, sourcemaps: Arc<sourcemap::Store>) -> Desk {
        Desk { forward: Forward::default(), orders, registry, sourcemaps }
    }

    /// Answers a request. Blocks, until its deadline at most.
    pub fn answer(&self, request: &Request<'_>) -> Reply {
        if request.left().is_zero() {
            return timed_out(request.timeout);
        }
        let reply = match &request.plan.what {
            // Of the shards' own counters: whoever has those has the page.
            What::Metrics { .. } => return Reply::empty(404),
            What::Query => forward::query(self, request),
            What::SetLabels => forward::labels(self, request, "POST"),
            What::UnsetLabels => forward::labels(self, request, "DELETE"),
            What::Workspace => forward::workspace(self, request),
            What::EnvVariable => forward::env_variable(self, request),
            What::LastError => errors::report(self, request),
            What::SourceMap(asked) => sourcemap::answer(&self.sourcemaps, *asked, request),
            What::DialTest => {
                let version = &request.intake.options.version;
                let options = dialtest::Options::new(request.settings, version, request.timeout);
                dialtest::debug(&options, request.body, request.deadline)
            }
            What::Pipeline => pipeline::debug(request),
            What::Tags(set, change) => self.change_tags(*set, change, request),
        };
        reply.with_cors(&request.plan.cors)
    }

    fn change_tags(&self, set: TagSet, change: &TagChange, request: &Request<'_>) -> Reply {
        let (reply, answer) = flume::bounded(1);
        if !(self.orders)(TagOrder { set, change: change.clone(), reply }) {
            return overloaded("the gateway is stopping", RETRY_AFTER_S);
        }
        match answer.recv_timeout(request.left()) {
            Ok(Ok((host, election))) => tags::reply(&host, &election),
            Ok(Err(text)) => tags::refused(&text),
            Err(flume::RecvTimeoutError::Timeout) => timed_out(request.timeout),
            Err(flume::RecvTimeoutError::Disconnected) => {
                overloaded("the gateway is stopping", RETRY_AFTER_S)
            }
        }
    }
}

/// For whoever finds no thread free, or the gateway on its way out, in seconds.
pub const RETRY_AFTER_S: u32 = 3;
