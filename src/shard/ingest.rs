//! The path of one request, on one screen: route → decode → check → encode → open block → ticket → answer.
//!
//! Small bodies go straight into the lane's open block, in one piece, with nothing awaited. Large ones, and those that
//! find their lane without room, go the slow way: the body is kept, decoded in slices with other connections served
//! in between, sealed as blocks of its own, and sent once the whole of it has proved good.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::admin::{self, Question};
use crate::http1::target::decode_path;
use crate::http1::{Connection, DateCache, Head, HeadError, Method, response};
use crate::intake::access::public::CHECK_TOKEN_PREFIX;
use crate::intake::access::{self, RateHeaders};
use crate::intake::aside::AsidePlan;
use crate::intake::convert::ConvertPlan;
use crate::intake::datakit::error::{ApiError, overloaded};
use crate::intake::datakit::rum::sources;
use crate::intake::datakit::write::{self, ContentEncoding, Decoded, Scratch, WritePlan, Written};
use crate::intake::profiling::ProfilePlan;
use crate::intake::raw::RawPlan;
use crate::intake::{self, Ack, Action, Clock, Peer, Reply, datakit};
use crate::limits::{DIRECT_BODY_BYTES_MAX, DIRECT_CODED_BYTES_MAX, DIRECT_HOOKED_BYTES_MAX};
use crate::metrics::counters::{DropReason, Refusal, ShardCounters};
use crate::metrics::names::{
    API_404, API_CHECK_TOKEN, API_LIVEZ, API_NTP, API_OPENAPI, API_OTHER, API_PING, API_READYZ, API_WRITE,
    API_WRITE_UNKNOWN,
};
use crate::net::{Admission, Answer, Incoming, OwnedBody, Service};
use crate::rt::time;

use super::Common;
use super::aside;
use super::convert::{self, Direct};
use super::dedup::{Guard, Seen};
use super::lanes::{Lane, Lanes};
use super::profile;
use super::raw;
use super::slow;
use super::ticket::{Progress, Ticket};

/// What a sender that is turned away should wait, in seconds: long enough for a burst to pass, short against the
/// minutes that agents buffer.
pub const RETRY_AFTER_S: u32 = 3;

/// By how much smaller a body is to be whose points meet filters or scripts, that it is decoded in one go.
const HOOKED_SHARE: usize = DIRECT_BODY_BYTES_MAX / DIRECT_HOOKED_BYTES_MAX;

/// The answer to a sender who wanted to wait for the destination.
pub const LEFT: &str = "the gateway is stopping; the destination has not answered yet";

/// The path's shared parts, one a shard.
pub struct Core {
    pub lanes: Rc<Lanes>,
    pub common: Arc<Common>,
    pub counters: Arc<ShardCounters>,
    pub scratch: RefCell<Scratch>,
    pub convert_scratch: RefCell<intake::convert::Scratch>,
    pub draining: Cell<bool>,
    /// A bit for each category whose last body had points with a script.
    pub scripted: Cell<u32>,
}

/// The service behind every connection of a shard.
pub struct Ingest {
    pub core: Rc<Core>,
    pub date: RefCell<DateCache>,
}

/// A write that is not answered yet.
pub struct Pending {
    state: State,
    about: About,
    /// Where requests are counted: what every answer says about it.
    rate: Option<RateHeaders>,
    /// Who says no in the words of another protocol than DataKit's.
    dialect: Option<Arc<ConvertPlan>>,
    /// The package it is, until it is known what became of it.
    guard: Option<Guard>,
    /// Nothing of it is stored: time out means that the question was not answered.
    aside: bool,
}

impl Pending {
    fn new(state: State, about: About) -> Pending {
        Pending { state, about, rate: None, dialect: None, guard: None, aside: false }
    }
}

/// What is needed to answer and to count.
#[derive(Clone, Copy)]
struct About {
    api: usize,
    connection: Connection,
    started: time::Instant,
    body_bytes: usize,
    method: &'static str,
}

enum State {
    /// The body is on its way from the connection.
    Planned(Box<WritePlan>),
    /// The same, of a raw package.
    PlannedRaw(Box<RawPlan>),
    /// The same, of profiles.
    PlannedProfile(Box<ProfilePlan>),
    /// The same, of a request for another thread.
    PlannedAside(Box<AsidePlan>),
    /// The same, of a body of another protocol.
    PlannedConvert(Arc<ConvertPlan>),
    /// Converted; the blocks that hold it are on their way.
    Converted(convert::Sent, Arc<ConvertPlan>),
    /// Decoded; the block that holds it is on its way.
    Sent {
        ticket: Rc<Ticket>,
        plan: Box<WritePlan>,
        written: Written,
    },
    Slow(Pin<Box<dyn Future<Output = Reply>>>),
}

/// How a body went that was decoded at once.
pub enum Read {
    Written(Written, Rc<Ticket>),
    /// The same, and scripts have made points of it that are in other blocks.
    Spread(Written, Vec<Rc<Ticket>>),
    /// It must go the slow way.
    InSteps,
    /// And so it must to have its errors resolved.
    Unresolved(Vec<sources::Question>),
}

impl Core {
    /// The answer to a write whose block got as far as `progress`.
    pub fn outcome(&self, plan: &WritePlan, written: Written, progress: Progress) -> Reply {
        match progress {
            Progress::Durable | Progress::Delivered => plan.reply(written),
            Progress::Pending if plan.ack == Ack::Memory => plan.reply(written),
            Progress::Full => self.refuse(Refusal::SpoolFull, "the spool is full"),
            Progress::TooLarge => {
                let capacity = self.common.live().settings.spool.capacity_bytes(plan.category.name());
                self.refuse_write(plan, &ApiError::body_too_large(capacity as usize))
            }
            Progress::Left => self.refuse(Refusal::Stopping, LEFT),
            Progress::Failed | Progress::Pending => {
                self.refuse(Refusal::DiskError, "the spool cannot be written")
            }
        }
    }

    /// 503: nothing is wrong with the request, and its sender keeps it.
    pub fn refuse(&self, reason: Refusal, text: &str) -> Reply {
        self.counters.refuse(reason);
        overloaded(text, RETRY_AFTER_S)
    }

    /// Decodes a body into the lane's open block; the ticket is that of the block.
    pub fn decode(
        &self,
        plan: &WritePlan,
        body: crate::buf::Padded<'_>,
        lane: &Rc<Lane>,
    ) -> Result<Read, Reply> {
        let mut scratch = self.scratch.borrow_mut();
        let now_ns = time::wall_ns();
        let live = self.common.live();
        let mark = lane.open().mark();
        let decoded = write::decode(plan, body, now_ns, &live.intake, &mut scratch, &mut lane.open());
        let mut written = match decoded.map_err(|error| self.refuse_write(plan, &error))? {
            Decoded::Written(written) => written,
            Decoded::InSteps => return Ok(Read::InSteps),
            Decoded::Unresolved(questions) => return Ok(Read::Unresolved(questions)),
        };
        if !written.created.is_empty() {
            let created = std::mem::take(&mut written.created);
            return match self.lanes_of(plan, &created) {
                Some(lanes) => {
                    Ok(Read::Spread(written.clone(), self.spread(plan, &written, created, lane, &lanes)))
                }
                None => {
                    lane.open().rollback(mark);
                    Ok(Read::InSteps)
                }
            };
        }
        let ticket = lane.ticket();
        self.accepted(plan, &written);
        if !plan.dry && written.points > 0 {
            if plan.ack == Ack::Upstream {
                ticket.want_delivery();
            }
            self.lanes.grown(lane);
        }
        Ok(Read::Written(written, ticket))
    }

    /// The answer to a write that is at fault, counted.
    pub fn refuse_write(&self, plan: &WritePlan, error: &ApiError) -> Reply {
        self.counters.refuse(refusal_of(error));
        plan.refuse(error)
    }

    /// Counts points that are in a block or are to be put into one, and those that filters and scripts have dropped.
    pub fn accepted(&self, plan: &WritePlan, written: &Written) {
        if plan.dry {
            return;
        }
        let (counters, bit) = (&self.counters.categories[plan.category.index()], 1 << plan.category.index());
        let others = self.scripted.get() & !bit;
        self.scripted.set(if written.scripted > 0 { others | bit } else { others });
        for (reason, points) in
            [(DropReason::Filtered, written.filtered), (DropReason::Script, written.dropped)]
        {
            if points > 0 {
                counters.points_in.add(u64::from(points));
                counters.drop_points(reason, u64::from(points));
            }
        }
        if written.points > 0 {
            counters.points_in.add(u64::from(written.points));
            counters.requests_in.add(1);
        }
    }

    /// Whether a body of this size is decoded in one go, into the open block of its lane.
    pub fn is_direct(&self, plan: &WritePlan, body_bytes: usize) -> bool {
        let live = self.common.live();
        if live.intake.scripts.once(plan.category) {
            // What is decoded in one go may have to be decoded again.
            return false;
        }
        if live.intake.sinker.is_some() {
            // Which lanes its points belong to is known only afterwards.
            return false;
        }
        let most = match plan.encoding {
            ContentEncoding::Coded(_) => DIRECT_CODED_BYTES_MAX,
            _ => DIRECT_BODY_BYTES_MAX,
        };
        // What scripts did to the last body they are likely to do to this one.
        let is_scripted =
            live.intake.scripts.has(plan.category) && self.scripted.get() >> plan.category.index() & 1 != 0;
        let is_hooked = is_scripted || live.intake.filters.has(plan.category);
        body_bytes <= if is_hooked { most / HOOKED_SHARE } else { most }
    }
}

/// How a refused write is counted.
fn refusal_of(error: &ApiError) -> Refusal {
    match (error.status, error.code) {
        (413, _) => Refusal::BodyTooLarge,
        (_, "datakit.decodeBodyFailed") => Refusal::Encoding,
        (_, "datakit.emptyBody" | "datakit.noPoints") => Refusal::Empty,
        (_, "datakit.pointGotWarning") => Refusal::Strict,
        _ => Refusal::Points,
    }
}

/// How far a block must come before its request is answered.
pub fn wanted(ack: Ack) -> Progress {
    match ack {
        Ack::Memory => Progress::Pending,
        Ack::Disk => Progress::Durable,
        Ack::Upstream => Progress::Delivered,
    }
}

impl Ingest {
    fn write(
        &self,
        plan: Box<WritePlan>,
        request: &Incoming<'_>,
        about: About,
        out: &mut Vec<u8>,
    ) -> Answer<Pending> {
        let core = &self.core;
        let Some(lane) = core.lanes.lane(plan.category, &plan.route) else {
            self.reply(&core.refuse(Refusal::Overload, "too many routes at once"), about, false, out);
            return Answer::Done;
        };
        let guard = match core.common.dedup.look(request.head, &plan, &request.body, wanted(plan.ack)) {
            None => None,
            Some(Seen::New(guard)) => Some(guard),
            Some(Seen::Stored) => {
                self.reply(&plan.reply(Written::default()), about, false, out);
                return Answer::Done;
            }
            Some(Seen::UnderWay) => {
                let reply = core.refuse(Refusal::Overload, "this package is being stored");
                self.reply(&reply, about, false, out);
                return Answer::Done;
            }
        };
        if !core.is_direct(&plan, request.body.len()) || !lane.has_room() {
            return Answer::KeepBody(Pending { guard, ..Pending::new(State::Planned(plan), about) });
        }
        match core.decode(&plan, request.body, &lane) {
            Err(reply) => {
                self.reply(&reply, about, false, out);
                Answer::Done
            }
            Ok(Read::InSteps | Read::Unresolved(_)) => {
                Answer::KeepBody(Pending { guard, ..Pending::new(State::Planned(plan), about) })
            }
            Ok(Read::Written(written, _)) if plan.dry || written.points == 0 || plan.ack == Ack::Memory => {
                if let Some(guard) = guard {
                    guard.stored();
                }
                self.reply(&plan.reply(written), about, false, out);
                Answer::Done
            }
            Ok(Read::Spread(written, tickets)) => {
                let core = Rc::clone(core);
                let reply = async move { slow::finish(&core, &plan, written, &tickets).await };
                let state = State::Slow(guarded(guard, reply));
                Answer::Later(Pending::new(state, about))
            }
            Ok(Read::Written(written, ticket)) => {
                if let Some(guard) = guard {
                    ticket.carry(guard);
                }
                Answer::Later(Pending::new(State::Sent { ticket, plan, written }, about))
            }
        }
    }

    fn convert(
        &self,
        plan: Arc<ConvertPlan>,
        request: &Incoming<'_>,
        about: About,
        out: &mut Vec<u8>,
    ) -> Answer<Pending> {
        let dialect = Some(Arc::clone(&plan));
        match self.core.convert(&plan, request.body) {
            Direct::Answer(reply) => {
                self.reply(&reply, about, false, out);
                Answer::Done
            }
            Direct::Sent(sent) => {
                let state = State::Converted(sent, plan);
                Answer::Later(Pending { dialect, ..Pending::new(state, about) })
            }
            Direct::Converted(reply, converted) => {
                let sending = convert::send(Rc::clone(&self.core), plan, reply, converted);
                Answer::Later(Pending { dialect, ..Pending::new(State::Slow(Box::pin(sending)), about) })
            }
            Direct::Keep => {
                let state = State::PlannedConvert(plan);
                Answer::KeepBody(Pending { dialect, ..Pending::new(state, about) })
            }
        }
    }

    /// Writes an answer and counts the request.
    fn reply(&self, reply: &Reply, about: About, head_only: bool, out: &mut Vec<u8>) {
        self.reply_to(about.method, reply, about, head_only, out);
    }

    fn reply_to(&self, method: &str, reply: &Reply, about: About, head_only: bool, out: &mut Vec<u8>) {
        let mut date = self.date.borrow_mut();
        let date = date.at(time::wall_ns() / 1_000_000_000);
        reply.write(&self.core.common.live().intake.envelope, date, about.connection, head_only, out);
        let elapsed_ns = about.started.elapsed().as_nanos() as u64;
        self.core.counters.request(about.api, method, reply.status, elapsed_ns, about.body_bytes as u64);
    }

    fn refusal(&self, status: u16, text: &str, out: &mut Vec<u8>) {
        let mut date = self.date.borrow_mut();
        response::write_refusal(status, text, date.at(time::wall_ns() / 1_000_000_000), out);
    }

    fn page(&self, page: admin::Page, cors: intake::Cors) -> Reply {
        Reply::page(page.status, page.content_type, page.body.into_bytes(), cors)
    }

    /// Whether a request may be made, from what its head says.
    fn access(&self, head: &Head<'_>, peer: SocketAddr) -> Result<(), Box<Reply>> {
        let common = &self.core.common;
        let Some(path) = decode_path(head.path) else { return Ok(()) };
        let live = common.live();
        let limiter = live.limiter.as_deref();
        let now_ns = limiter.map_or(0, |_| common.uptime().as_nanos() as u64);
        access::check(head, &path, &Peer::Ip(peer.ip()), now_ns, &live.intake, limiter).map_err(
            |(reason, reply)| {
                self.core.counters.refuse(match reason {
                    access::Reason::NotPublic => Refusal::NotPublic,
                    access::Reason::TooMany => Refusal::RateLimit,
                });
                reply
            },
        )
    }

    /// Answers a request that may not be made, before its body has come.
    fn turn_away(&self, reply: &Reply, head: &Head<'_>, peer: SocketAddr, out: &mut Vec<u8>) -> Admission {
        let skip = access::may_skip(head) && !self.core.draining.get();
        let connection = if skip { head.connection() } else { Connection::Close };
        let started = time::Instant::now();
        let about = About { api: API_OTHER, connection, started, body_bytes: 0, method: "POST" };
        let start = out.len();
        self.reply_to(head.method_text, reply, about, head.method == Method::Head, out);
        if let Some(rate) = self.rate_headers(head, peer) {
            rate.insert(out, start);
        }
        if skip { Admission::Skip } else { Admission::Refuse }
    }

    /// What every answer to a counted request says; none where requests are not limited.
    fn rate_headers(&self, head: &Head<'_>, peer: SocketAddr) -> Option<RateHeaders> {
        let live = self.core.common.live();
        let limiter = live.limiter.as_deref()?;
        let path = decode_path(head.path)?;
        datakit::limited(head.method, &path).map(|_| limiter.headers(head, peer))
    }

    /// Routes a request and answers it, or says when its answer will come.
    fn serve(&self, request: Incoming<'_>, out: &mut Vec<u8>) -> Answer<Pending> {
        let head = request.head;
        let started = time::Instant::now();
        let clock = Clock { now_ns: time::wall_ns(), uptime: self.core.common.uptime() };
        let peer = Peer::Ip(request.peer.ip());
        let head_only = head.method == Method::Head;
        let mut about = About {
            api: API_OTHER,
            connection: request.connection,
            started,
            body_bytes: request.body.len(),
            method: match head.method {
                Method::Get => "GET",
                Method::Put => "PUT",
                Method::Delete => "DELETE",
                // Nothing else waits for an answer.
                _ => "POST",
            },
        };
        if head.method == Method::Get
            && let Some(question @ (Question::Livez | Question::Readyz)) = Question::at(head.path)
        {
            let page = match question {
                Question::Readyz => self.core.common.readiness().page(),
                _ => admin::livez(),
            };
            about.api = if question == Question::Readyz { API_READYZ } else { API_LIVEZ };
            self.reply_to(head.method_text, &self.page(page, intake::Cors::Any), about, head_only, out);
            return Answer::Done;
        }
        let action = intake::route(head, &peer, &clock, &self.core.common.live().intake);
        about.api = api_of(&action, head.path);
        match action {
            Action::Write(plan) => return self.write(plan, &request, about, out),
            Action::Raw(plan) => {
                return Answer::KeepBody(Pending::new(State::PlannedRaw(plan), about));
            }
            Action::Profile(plan) => {
                return Answer::KeepBody(Pending::new(State::PlannedProfile(plan), about));
            }
            Action::Convert(plan) => return self.convert(Arc::from(plan), &request, about, out),
            Action::Aside(plan) => {
                return Answer::KeepBody(Pending {
                    aside: true,
                    ..Pending::new(State::PlannedAside(plan), about)
                });
            }
            Action::Reply(reply) => {
                if reply.status == 403 {
                    self.core.counters.refuse(Refusal::Token);
                }
                self.reply_to(head.method_text, &reply, about, head_only, out);
            }
        }
        Answer::Done
    }
}

/// Tells the guard of a package what became of it.
fn guarded(
    guard: Option<Guard>,
    write: impl Future<Output = Reply> + 'static,
) -> Pin<Box<dyn Future<Output = Reply>>> {
    Box::pin(async move {
        let reply = write.await;
        if let Some(guard) = guard.filter(|_| reply.status / 100 == 2) {
            guard.stored();
        }
        reply
    })
}

/// The label of a request in metrics: a bounded set, whatever clients ask for.
fn api_of(action: &Action, path: &str) -> usize {
    match action {
        Action::Write(plan) => API_WRITE + plan.category.index(),
        Action::Raw(plan) => API_WRITE + plan.category.index(),
        Action::Profile(plan) => plan.api,
        Action::Convert(plan) => plan.api,
        Action::Aside(plan) => plan.api,
        Action::Reply(reply) => match (path, reply.status) {
            ("/v1/ping", _) => API_PING,
            ("/v1/ntp", _) => API_NTP,
            (intake::openapi::PATH, _) => API_OPENAPI,
            (path, 200 | 403) if path.starts_with(CHECK_TOKEN_PREFIX) => API_CHECK_TOKEN,
            (path, 400) if path.starts_with("/v1/write/") => API_WRITE_UNKNOWN,
            (_, 404) => API_404,
            _ => API_OTHER,
        },
    }
}

impl Service for Ingest {
    type Pending = Pending;

    fn admit(&self, head: &Head<'_>, peer: SocketAddr, out: &mut Vec<u8>) -> Admission {
        if let Err(reply) = self.access(head, peer) {
            return self.turn_away(&reply, head, peer, out);
        }
        let live = self.core.common.live();
        match intake::refuse_early(head, &live.intake) {
            None => {
                let configured = live.settings.limits.body_bytes_max;
                Admission::Accept { body_bytes_max: intake::body_bytes_max(head, &live.intake, configured) }
            }
            Some(reply) => {
                if reply.status != 200 {
                    self.core.counters.refuse(Refusal::BodyTooLarge);
                }
                self.turn_away(&reply, head, peer, out)
            }
        }
    }

    fn call(&self, request: Incoming<'_>, out: &mut Vec<u8>) -> Answer<Pending> {
        let rate = self.rate_headers(request.head, request.peer);
        let start = out.len();
        let mut answer = self.serve(request, out);
        match (&mut answer, rate) {
            (_, None) => {}
            (Answer::Done, Some(rate)) => rate.insert(out, start),
            (Answer::Later(pending) | Answer::KeepBody(pending), rate) => pending.rate = rate,
        }
        answer
    }

    fn attach(&self, pending: &mut Pending, body: OwnedBody) {
        let core = Rc::clone(&self.core);
        pending.state = match &pending.state {
            State::Planned(plan) => {
                State::Slow(guarded(pending.guard.take(), slow::write(core, plan.clone(), body)))
            }
            State::PlannedRaw(plan) => State::Slow(Box::pin(raw::store(core, plan.clone(), body))),
            State::PlannedProfile(plan) => State::Slow(Box::pin(profile::store(core, plan.clone(), body))),
            State::PlannedAside(plan) => State::Slow(Box::pin(aside::answer(core, plan.clone(), body))),
            State::PlannedConvert(plan) => {
                State::Slow(Box::pin(convert::store(core, Arc::clone(plan), body)))
            }
            State::Sent { .. } | State::Converted(..) | State::Slow(_) => return,
        };
    }

    fn poll_finish(&self, pending: &mut Pending, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<()> {
        let about = pending.about;
        let reply = match &mut pending.state {
            State::Sent { ticket, plan, written } => match ticket.poll(wanted(plan.ack), cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(progress) => self.core.outcome(plan, std::mem::take(written), progress),
            },
            State::Slow(future) => match future.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(reply) => reply,
            },
            State::Converted(sent, plan) => match sent.poll(&self.core, plan, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(reply) => reply,
            },
            State::Planned(_)
            | State::PlannedRaw(_)
            | State::PlannedProfile(_)
            | State::PlannedConvert(_)
            | State::PlannedAside(_) => self.core.refuse(Refusal::Overload, "the body was lost on the way"),
        };
        let start = out.len();
        self.reply(&reply, about, false, out);
        if let Some(rate) = &pending.rate {
            rate.insert(out, start);
        }
        Poll::Ready(())
    }

    fn answer_timeout(&self) -> Option<Duration> {
        let timeout = self.core.common.live().settings.http.timeout;
        (!timeout.is_zero()).then_some(timeout)
    }

    fn give_up(&self, pending: &mut Pending, out: &mut Vec<u8>) {
        // What was written stays written and may yet become durable: the sender, told 503, sends it again.
        let reason = "the points could not be stored in time";
        let reply = match &pending.dialect {
            None if pending.aside => aside::timed_out(self.answer_timeout().unwrap_or_default()),
            Some(plan) => self.core.busy(plan, Refusal::Timeout, reason),
            None => self.core.refuse(Refusal::Timeout, reason),
        };
        let start = out.len();
        self.reply(&reply, pending.about, false, out);
        if let Some(rate) = &pending.rate {
            rate.insert(out, start);
        }
    }

    fn refuse_head(&self, error: HeadError, out: &mut Vec<u8>) {
        self.core.counters.refuse(if error.status() == 431 {
            Refusal::HeadTooLarge
        } else {
            Refusal::Framing
        });
        self.refusal(error.status(), error.text(), out);
    }

    fn refuse_body(&self, status: u16, text: &'static str, out: &mut Vec<u8>) {
        self.core.counters.refuse(match status {
            413 => Refusal::BodyTooLarge,
            408 => Refusal::Timeout,
            503 => Refusal::Overload,
            _ => Refusal::Framing,
        });
        if status == 503 {
            let reply = Reply { close: true, ..overloaded(text, RETRY_AFTER_S) };
            let mut date = self.date.borrow_mut();
            let date = date.at(time::wall_ns() / 1_000_000_000);
            reply.write(&self.core.common.live().intake.envelope, date, Connection::Close, false, out);
        } else {
            self.refusal(status, text, out);
        }
    }

    fn refuse_connection(&self, out: &mut Vec<u8>) {
        self.core.counters.refuse(Refusal::Connections);
        let reply = Reply { close: true, ..overloaded("too many connections", RETRY_AFTER_S) };
        let mut date = self.date.borrow_mut();
        let date = date.at(time::wall_ns() / 1_000_000_000);
        reply.write(&self.core.common.live().intake.envelope, date, Connection::Close, false, out);
    }

    fn refused_entrance(&self) {
        self.core.counters.refuse(Refusal::Entrance);
    }

    fn draining(&self) -> bool {
        self.core.draining.get()
    }
}
