//! The slow way of a write: bodies too large to decode in one go, and bodies whose lane has no room yet.
//!
//! A body is taken whole or not at all, so a large one is decoded to its end before any of it is sent. It becomes
//! blocks of its own, which go to the ring behind whatever the lane has open. A very large one is decoded on a thread
//! beside the shards: there it can take as long as it takes.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::intake::Reply;
use crate::intake::datakit::rum::sources::{Answers, Question};
use crate::intake::datakit::write::{Decoder, Scratch, Step, Stop, WritePlan, Written};
use crate::metrics::counters::Refusal;
use crate::net::OwnedBody;
use crate::point::{Batch, Category};
use crate::rt::{blocking, time, yield_now};

use super::common::{Common, Live};
use super::exchange::Sealed;
use super::ingest::{Core, Read, wanted};
use super::lanes::{Lane, Lanes};
use super::sinking;
use super::ticket::{Progress, Ticket};

/// How long a request waits for room in the rings before its sender is told to come again.
pub(super) const ROOM_WAIT: Duration = Duration::from_secs(5);

/// Bodies up to this size, decompressed, are decoded in slices on their shard: even if all of one is a single unusual
/// point, which cannot be sliced, others wait a few milliseconds and no longer. Larger ones go to another thread.
const SLICED_BODY_BYTES_MAX: usize = 1 << 20;

/// So many larger ones are in memory at once in the whole process, decompressed and encoded: each may be twice as long as
/// the bound on decompressed bodies. Others wait their turn as they were received.
const BIG_BODIES_MAX: usize = 4;

/// How often a body looks whether it is its turn.
const PERMIT_PAUSE: Duration = Duration::from_millis(2);

/// Nor may the points of a body that is decoded in slices take more: many such bodies are decoded at once, and the
/// smallest of points grow fiftyfold.
const SLICED_POINTS_BYTES_MAX: usize = 2 << 20;

/// What a body came to, and the leave to hold it if it is big.
type Decoded = (Written, Vec<Batch>, Option<Permit>);

/// Handles one write whose body is kept.
pub async fn write(core: Rc<Core>, mut plan: Box<WritePlan>, body: OwnedBody) -> Reply {
    let Some(lane) = core.lanes.lane(plan.category, &plan.route) else {
        return core.refuse(Refusal::Overload, "too many routes at once");
    };
    let mut deadline = time::Instant::now() + ROOM_WAIT;
    loop {
        while !lane.has_room() {
            if !room(&core, deadline).await {
                return core.refuse(Refusal::Overload, "the gateway is busy");
            }
        }
        if !core.is_direct(&plan, body.padded().len()) {
            break;
        }
        match core.decode(&plan, body.padded(), &lane) {
            Err(reply) => return reply,
            Ok(Read::Written(written, _)) if plan.dry || written.points == 0 => return plan.reply(written),
            Ok(Read::Written(written, ticket)) => return finish(&core, &plan, written, &[ticket]).await,
            Ok(Read::Spread(written, tickets)) => return finish(&core, &plan, written, &tickets).await,
            // More than it looked like.
            Ok(Read::InSteps) => break,
            // Once: with answers nothing is asked.
            Ok(Read::Unresolved(questions)) => {
                plan.answers = Some(resolve(&core, questions).await);
                deadline = time::Instant::now() + ROOM_WAIT;
            }
        }
    }
    let (mut written, batches, permit) = match decode(&core, &mut plan, body, deadline).await {
        Ok(decoded) => decoded,
        Err(reply) => return reply,
    };
    let created = std::mem::take(&mut written.created);
    let mut lots = Vec::with_capacity(1 + created.batches.len());
    if !plan.dry {
        let own = (!batches.is_empty()).then_some((plan.category, batches));
        let made = created.batches.into_iter().map(|(category, batch)| (category, vec![batch]));
        for (category, batches) in own.into_iter().chain(made) {
            match sinking::spread(&core, category, &plan.route.of(category), batches) {
                Ok(parts) => lots.push((category, parts)),
                Err(reason) => return core.refuse(Refusal::Overload, reason),
            }
        }
        let made = lots.iter().skip(usize::from(written.points > 0));
        core.made(made.map(|(category, parts)| (*category, points_of(parts))), &created.filtered);
    }
    core.accepted(&plan, &written);
    if lots.is_empty() {
        return plan.reply(written);
    }
    let mut unsent: Vec<Unsent<'_>> = Vec::with_capacity(lots.len());
    for (category, parts) in &lots {
        unsent.push(Unsent { lanes: &core.lanes, category: *category, points: points_of(parts) });
    }
    let mut tickets = Vec::with_capacity(lots.len());
    for ((category, parts), unsent) in lots.into_iter().zip(&mut unsent) {
        for part in parts {
            // Decoding took its time, and each block sent is progress: the wait begins anew.
            let deadline = time::Instant::now() + ROOM_WAIT;
            match sinking::put(&core, category, part, plan.ack, unsent, deadline).await {
                Ok(ticket) => tickets.push(ticket),
                // What went before stays: the sender, told 503, sends all of it again.
                Err(reason) => return core.refuse(Refusal::Overload, reason),
            }
            yield_now().await;
        }
    }
    // All of the body is sent: nothing of it is held here any more.
    drop(permit);
    finish(&core, &plan, written, &tickets).await
}

fn points_of(parts: &[sinking::Part]) -> u64 {
    parts.iter().map(sinking::Part::points).sum()
}

/// Has the errors of a body resolved, as far as that is done in time: what is not, goes without.
async fn resolve(core: &Rc<Core>, questions: Vec<Question>) -> Arc<Answers> {
    let answers = Arc::new(Answers::default());
    let settings = core.common.live_owned();
    let settings = &settings.settings.rum.sourcemap;
    if let Some(done) = core.common.desk.sourcemaps.ask(questions, &answers, settings) {
        let _ = time::timeout(settings.wait, done.recv_async()).await;
    }
    answers
}

/// Decodes the body: in slices with other connections served in between, or, once it proves to be big, on another
/// thread.
async fn decode(
    core: &Rc<Core>,
    plan: &mut WritePlan,
    body: OwnedBody,
    deadline: time::Instant,
) -> Result<Decoded, Reply> {
    let live = core.common.live_owned();
    let settings = &live.intake;
    let mut decoder = Decoder::new(plan, settings, time::wall_ns());
    loop {
        if settings.scripts.asks(plan.category)
            || decoder.body_bytes(&body.padded()) > SLICED_BODY_BYTES_MAX
            || decoder.points_bytes() > SLICED_POINTS_BYTES_MAX
        {
            break;
        }
        let step = decoder.step(plan, body.padded(), settings, &mut core.scratch.borrow_mut());
        match step {
            Ok(Step::Done(written)) => return Ok((written, decoder.into_batches(), None)),
            Ok(Step::More) => yield_now().await,
            Err(Stop::Refused(error)) => return Err(core.refuse_write(plan, &error)),
            // To say what is wrong takes long: not here.
            Err(Stop::Bad) => return Err(explain_elsewhere(core, plan, body, decoder).await),
            Err(Stop::TooMuch) => return Err(core.refuse(Refusal::Overload, "the body holds too much")),
            Err(Stop::Unresolved(questions)) => {
                plan.answers = Some(resolve(core, questions).await);
                decoder = Decoder::new(plan, settings, time::wall_ns());
            }
        }
    }
    match Permit::wait(core, deadline).await {
        Some(permit) => decode_elsewhere(core, plan, body, decoder, permit, Arc::clone(&live)).await,
        None => Err(core.refuse(Refusal::Overload, "the gateway is busy with other large bodies")),
    }
}

async fn decode_elsewhere(
    core: &Rc<Core>,
    plan: &WritePlan,
    body: OwnedBody,
    mut decoder: Decoder,
    permit: Permit,
    live: Arc<Live>,
) -> Result<Decoded, Reply> {
    let (body, _held) = body.detach();
    let (mut its_plan, store) = (plan.clone(), Arc::clone(&core.common.desk.sourcemaps));
    // The permit goes with the job: a request that is given up leaves it running, with all its memory.
    let job = move || {
        let mut scratch = Scratch::default();
        loop {
            match decoder.step(&its_plan, body.padded(), &live.intake, &mut scratch) {
                Ok(Step::More) => {}
                Ok(Step::Done(written)) => return Ok((written, decoder.into_batches(), Some(permit))),
                Err(Stop::Refused(error)) => return Err(error),
                Err(Stop::Bad | Stop::TooMuch) => return Err(decoder.explain(&body.padded())),
                // This thread may wait.
                Err(Stop::Unresolved(questions)) => {
                    let (answers, settings) = (Arc::new(Answers::default()), &live.settings.rum.sourcemap);
                    if let Some(done) = store.ask(questions, &answers, settings) {
                        let _ = done.recv_timeout(settings.wait);
                    }
                    its_plan.answers = Some(answers);
                    decoder = Decoder::new(&its_plan, &live.intake, time::wall_ns());
                }
            }
        }
    };
    match blocking::run_long(job).await {
        Ok(decoded) => decoded.map_err(|error| core.refuse_write(plan, &error)),
        Err(error) => Err(broken(core, &error)),
    }
}

async fn explain_elsewhere(core: &Rc<Core>, plan: &WritePlan, body: OwnedBody, decoder: Decoder) -> Reply {
    let (body, _held) = body.detach();
    match blocking::run_long(move || decoder.explain(&body.padded())).await {
        Ok(error) => core.refuse_write(plan, &error),
        Err(error) => broken(core, &error),
    }
}

/// A bug of ours, and the sender keeps its data.
fn broken(core: &Rc<Core>, error: &std::io::Error) -> Reply {
    tracing::error!(%error, "a body could not be decoded");
    core.refuse(Refusal::Overload, "the body could not be decoded")
}

/// Leave to hold one big body and what it becomes.
pub(super) struct Permit(Arc<Common>);

impl Permit {
    pub(super) async fn wait(core: &Rc<Core>, deadline: time::Instant) -> Option<Permit> {
        loop {
            let taken = core.common.big_bodies.fetch_add(1, Ordering::AcqRel);
            let permit = Permit(Arc::clone(&core.common));
            if taken < BIG_BODIES_MAX {
                return Some(permit);
            }
            drop(permit);
            if time::Instant::now() >= deadline {
                return None;
            }
            time::sleep(PERMIT_PAUSE).await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.big_bodies.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Waits until a block has gone. False once the deadline has passed.
pub(super) async fn room(core: &Rc<Core>, deadline: time::Instant) -> bool {
    let left = deadline.saturating_duration_since(time::Instant::now());
    !left.is_zero() && time::timeout(left, core.lanes.room.notified()).await.is_ok()
}

/// Sees to it that a block is in its ring: `false` if there is no room until the deadline. Whoever stops waiting, a
/// request that is given up too, leaves the block accounted for.
pub(super) async fn sent(
    core: &Rc<Core>,
    lane: &Rc<Lane>,
    mut refused: Result<(), Sealed>,
    deadline: time::Instant,
) -> bool {
    while let Err(sealed) = refused {
        let mut waiting = Waiting { lanes: &core.lanes, sealed: Some(sealed) };
        if !room(core, deadline).await {
            return false;
        }
        match waiting.sealed.take() {
            Some(sealed) => refused = core.lanes.resend(lane, sealed),
            None => return false,
        }
    }
    true
}

/// A block that waits for room.
struct Waiting<'a> {
    lanes: &'a Lanes,
    sealed: Option<Sealed>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(sealed) = self.sealed.take() {
            self.lanes.give_up(sealed);
        }
    }
}

/// Points that are counted as taken and are in no block yet.
pub(super) struct Unsent<'a> {
    pub(super) lanes: &'a Lanes,
    pub(super) category: Category,
    pub(super) points: u64,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        self.lanes.drop_unsent(self.category, self.points);
    }
}

/// Waits until every block is where the sender wants it.
pub(super) async fn finish(
    core: &Rc<Core>,
    plan: &WritePlan,
    written: Written,
    tickets: &[Rc<Ticket>],
) -> Reply {
    let mut worst = wanted(plan.ack);
    for ticket in tickets {
        let reached = std::future::poll_fn(|cx| ticket.poll(wanted(plan.ack), cx)).await;
        if matches!(reached, Progress::Full | Progress::TooLarge | Progress::Failed) {
            worst = reached;
        }
    }
    core.outcome(plan, written, worst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::counters::DropReason;
    use crate::shard::lanes::testing::lanes;

    /// A request that was given up while it waited for room left its points neither sent nor dropped.
    #[test]
    fn a_request_that_is_given_up_leaves_its_points_accounted_for() {
        let (lanes, counters) = lanes();
        let lane = lanes.lane(Category::Metric, &crate::point::Route::default()).unwrap();
        let batch = Batch { bytes: vec![0; 1 << 20], points: 3 };
        // Nobody takes blocks from this ring: it fills.
        let refused = loop {
            if let Err(sealed) = lanes.send(&lane, &batch, &Ticket::new()) {
                break sealed;
            }
        };
        let dropped = || counters.categories[Category::Metric.index()].dropped(DropReason::Overload);
        assert_eq!(dropped(), 0);
        let mut unsent = Unsent { lanes: &lanes, category: Category::Metric, points: 10 };
        unsent.points -= 3;
        drop(Waiting { lanes: &lanes, sealed: Some(refused) });
        assert_eq!(dropped(), 3);
        drop(unsent);
        assert_eq!(dropped(), 10);
    }
}
