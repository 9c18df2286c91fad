//! Requests that are answered on another thread: the body goes there, the answer comes back.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::aside::{self, RETRY_AFTER_S};
use crate::intake::aside::{AsidePlan, What};
use crate::intake::datakit::error::{ApiError, overloaded};
use crate::intake::{Reply, datakit};
use crate::metrics::counters::Refusal;
use crate::net::OwnedBody;
use crate::rt::blocking::{self, Aside};

use super::Common;
use super::ingest::Core;
use super::world::may_wait;

/// Where requests have no deadline by configuration, these have one all the same: each holds a thread.
const TIMEOUT_MAX: Duration = Duration::from_secs(120);

/// Answers a request whose body is there.
pub async fn answer(core: Rc<Core>, plan: Box<AsidePlan>, body: OwnedBody) -> Reply {
    let common = Arc::clone(&core.common);
    let cors = plan.cors.clone();
    if let What::Metrics { gzip } = plan.what {
        let page = blocking::run(move || metrics(&common, gzip)).await;
        return page.unwrap_or_else(|error| failed(&error.to_string())).with_cors(&cors);
    }
    let timeout = match common.live().settings.http.timeout {
        Duration::ZERO => TIMEOUT_MAX,
        timeout => timeout.min(TIMEOUT_MAX),
    };
    let deadline = Instant::now() + timeout;
    let (body, held) = body.detach();
    let job = move || {
        let live = common.live_owned();
        common.desk.answer(&aside::Request {
            plan: &plan,
            body: &body.padded(),
            settings: &live.settings,
            intake: &live.intake,
            deadline,
            timeout,
        })
    };
    let reply = match blocking::run_aside(|| may_wait(job)).await {
        Aside::Done(reply) => reply,
        Aside::Busy => {
            core.counters.refuse(Refusal::Overload);
            overloaded("too many such requests at once", RETRY_AFTER_S).with_cors(&cors)
        }
        Aside::Panicked => failed("the request could not be answered").with_cors(&cors),
    };
    drop(held);
    reply
}

fn metrics(common: &Common, gzip: bool) -> Reply {
    let page = common.metrics_page();
    let mut reply =
        Reply::page(page.status, page.content_type, page.body.into_bytes(), crate::intake::Cors::Any);
    if gzip {
        reply.body = crate::codec::compress::gzip(&reply.body);
        reply.headers.push(("Content-Encoding", "gzip".into()));
    }
    reply
}

fn failed(text: &str) -> Reply {
    let error = ApiError { status: 500, code: "kitgate.internal", message: text.to_owned() };
    error.reply()
}

/// The answer to a request that has taken too long: as the recorded server gives it.
pub fn timed_out(timeout: Duration) -> Reply {
    datakit::error::timed_out(timeout)
}
