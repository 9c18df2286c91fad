//! A body of any format, stretch by stretch: parse, check, encode.
//!
//! Up to two passes go over each stretch. One looks at the points as the client wrote them, for strict requests and for
//! echoes; the other encodes what is fed, with global tags and corrected times.

use crate::buf::Padded;
use crate::codec::content_encoding;
use crate::codec::line_protocol::{self, Tape};
use crate::intake::Settings;
use crate::intake::datakit::rum;
use crate::intake::datakit::rum::sources::{Asked, Question};
use crate::intake::hooks::{Gone, Hooks};
use crate::pipeline::hook;
use crate::pipeline::store::{Choice, KeptChoice};
use crate::point::draft::Warn;
use crate::point::encode::{BadJson, Encoder, GENERAL_COST, JsonAt, Rules, Stretch};
use crate::point::{Batch, Category, Compat, GlobalTags, Mark, echo, rules};

use super::super::logstreaming;
use super::{ApiError, BodyFormat, Echo, TagSet, WritePlan, Written};

/// So many lines are encoded before the batch is looked at: short lines grow, and a stretch has many of them.
const RUN_POINTS: usize = 512;

/// So many where some may meet scripts: it is seen soon that they do.
const HOOKED_RUN_POINTS: usize = 64;

/// A step without a script lets the next one be so many times as large, up to the whole.
const PACE_UP: usize = 4;

/// A step that only looks at points stops when they take this much.
const LOOK_GROWTH_BYTES: usize = 1 << 20;

/// Memory that decoding reuses from one body to the next. One a shard.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) tape: Tape,
    pub(super) encoder: Encoder,
    /// The decompressed body.
    pub(super) body: Vec<u8>,
    pub(super) decompress: content_encoding::Decoder,
    /// Points as they are echoed: without what is added when points are fed.
    pub(super) echo: Batch,
    pub(super) scripts: hook::Scratch,
}

/// Why reading ends early.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    Refused(ApiError),
    /// Something is wrong with the points: [`super::explain`] says what.
    Bad,
    /// The batch has no room for more, or scripts run over more points than one go should have.
    TooMuch,
    /// All is read, and this is to be found out before it is read again.
    Unresolved(Vec<Question>),
}

/// Where encoded points go.
pub(super) trait Fed {
    /// The batch for the next ones, and by how much it should grow at most. `None`: there is no room.
    fn batch(&mut self) -> Option<(&mut Batch, usize)>;
}

/// How far a body is read.
#[derive(Clone, Copy, Debug)]
enum At {
    Lines(usize),
    Points(Elements),
}

impl At {
    fn start(format: BodyFormat) -> At {
        match format {
            BodyFormat::LineProtocol | BodyFormat::Text | BodyFormat::Firelens => At::Lines(0),
            BodyFormat::Json => At::Points(Elements::Json(JsonAt::default())),
            BodyFormat::Protobuf => At::Points(Elements::Protobuf(0)),
        }
    }
}

/// A format whose points are encoded straight from the body.
#[derive(Clone, Copy, Debug)]
enum Elements {
    Json(JsonAt),
    Protobuf(usize),
}

impl Elements {
    fn encode(
        &mut self,
        encoder: &mut Encoder,
        body: Padded<'_>,
        stretch: Stretch,
        rules: &Rules<'_>,
        batch: &mut Batch,
    ) -> Result<Option<Warn>, Stop> {
        match self {
            Elements::Json(at) => {
                encoder.encode_json(body, at, stretch, rules, batch).map_err(|BadJson| Stop::Bad)
            }
            Elements::Protobuf(at) => {
                encoder.encode_protobuf(body, at, stretch, rules, batch).map_err(|_| Stop::Bad)
            }
        }
    }

    fn offset(&self) -> usize {
        match self {
            Elements::Json(at) => at.offset(),
            Elements::Protobuf(at) => *at,
        }
    }

    fn is_done(&self, body: &[u8]) -> bool {
        match self {
            Elements::Json(at) => at.is_done(),
            Elements::Protobuf(at) => *at >= body.len(),
        }
    }
}

/// One body being read.
#[derive(Debug)]
pub(super) struct Reader {
    format: BodyFormat,
    at: At,
    now_ns: i64,
    points: u32,
    gone: Gone,
    lost_points: u32,
    lost_values: u32,
    /// The first warning, for strict requests.
    warn: Option<Warn>,
    /// The request's own tags and the global ones, where there are both.
    joined_tags: Option<GlobalTags>,
    /// What the points meet that are fed: what holds at the body's beginning holds to its end.
    hooks: Hooks,
    /// Lines: by how much a step is shorter than it could be if no point met anything.
    pace: usize,
    /// Scripts are to run over no more points than so.
    scripted_max: u64,
    /// Which script the request names for which points.
    choice: Option<KeptChoice>,
    /// Errors whose original source is not known.
    asked: Asked,
}

impl Reader {
    /// `now_ns` stands in for missing times: the clock at the head of the request.
    pub fn new(plan: &WritePlan, settings: &Settings, now_ns: i64) -> Reader {
        let global_tags = plan.global_tags(settings);
        let hooks = if plan.dry { Hooks::default() } else { Hooks::of(plan.category, settings) };
        Reader {
            format: plan.format,
            at: At::start(plan.format),
            now_ns,
            points: 0,
            gone: Gone::default(),
            lost_points: 0,
            lost_values: 0,
            warn: None,
            asked: Asked::default(),
            joined_tags: match global_tags {
                Some(global_tags) if !plan.own_tags.is_empty() => Some(plan.own_tags.joined(global_tags)),
                _ => None,
            },
            choice: if hooks.is_empty() { None } else { plan.choice() },
            pace: if hooks.is_empty() { 1 } else { GENERAL_COST },
            scripted_max: u64::MAX,
            hooks,
        }
    }

    /// Whether there are points with a script, and others that are spared.
    pub fn spares(&self, plan: &WritePlan) -> bool {
        !self.hooks.is_empty() && self.hooks.spares(plan.category)
    }

    /// Lets it end with [`Stop::TooMuch`] once scripts have run over more lines than so; as long as they have not, a step is
    /// as large as it could be.
    pub fn with_scripted_max(self, scripted_max: u64) -> Reader {
        Reader { scripted_max, pace: 1, ..self }
    }

    /// What the body is read as: what its head says, unless a browser sends JSON under another name.
    pub fn format(&self) -> BodyFormat {
        self.format
    }

    /// Looks at a decompressed body before its first stretch is read.
    pub fn look(&mut self, plan: &WritePlan, settings: &Settings, body: &[u8]) {
        let from_browsers = matches!(plan.category, Category::Rum | Category::Logging)
            && plan.stream.is_none()
            && settings.options.compat == Compat::Documented;
        if from_browsers && self.format == BodyFormat::LineProtocol && rum::looks_like_json(body) {
            self.format = BodyFormat::Json;
            self.at = At::start(self.format);
        }
    }

    /// Goes on for about `budget` bytes; `true`: that was all. Always called with the same plan and body, and with an
    /// `echo` to which nobody else adds. Points go to `fed` unless the request is dry.
    #[expect(clippy::too_many_arguments, reason = "the parts of a shard, each borrowed by itself")]
    pub fn read(
        &mut self,
        plan: &WritePlan,
        body: Padded<'_>,
        settings: &Settings,
        scratch: &mut Scratch,
        echo: &mut Batch,
        fed: &mut dyn Fed,
        budget: usize,
    ) -> Result<bool, Stop> {
        if plan.echo.is_none() {
            echo.clear();
        }
        match self.at {
            At::Lines(from) => self.read_lines(plan, body, from, settings, scratch, echo, fed, budget),
            At::Points(from) => self.read_points(plan, body, from, settings, scratch, echo, fed, budget),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "as `read`")]
    fn read_points(
        &mut self,
        plan: &WritePlan,
        body: Padded<'_>,
        from: Elements,
        settings: &Settings,
        scratch: &mut Scratch,
        echo: &mut Batch,
        fed: &mut dyn Fed,
        budget: usize,
    ) -> Result<bool, Stop> {
        let Scratch { encoder, scripts, .. } = scratch;
        let mut at = from;
        let is_looked_at = self.is_looked_at(plan);
        if !plan.dry {
            let (batch, growth) = fed.batch().ok_or(Stop::TooMuch)?;
            let before = batch.mark();
            let stretch = Stretch { budget, growth, ..Stretch::WHOLE };
            let mut hooks = std::mem::take(&mut self.hooks);
            let choice = self.choice();
            let (encoded, gone) = hooks.with(plan.category, choice, settings, self.now_ns, scripts, |hook| {
                let rules = Rules { hook, ..self.feed_rules(plan, settings) };
                at.encode(encoder, body, stretch, &rules, batch)
            });
            self.hooks = hooks;
            encoded?;
            if !is_looked_at {
                check(plan, batch.since(before), settings)?;
            }
            self.gone += gone;
            self.points += batch.points - before.points() + gone.points();
            resolve(&mut self.asked, plan, settings, batch, before, self.now_ns);
        }
        if plan.dry || is_looked_at {
            // The same points again, or as many as a step should.
            let stretch = match plan.dry {
                true => Stretch { budget, growth: LOOK_GROWTH_BYTES, ..Stretch::WHOLE },
                false => Stretch { until: at.offset(), ..Stretch::WHOLE },
            };
            let (mut looked_at, before) = (from, echo.mark());
            let rules = self.look_rules(plan, settings);
            let warn = looked_at.encode(encoder, body, stretch, &rules, echo)?;
            check(plan, echo.since(before), settings)?;
            self.warn = self.warn.take().or(warn);
            if plan.dry {
                at = looked_at;
                self.points += echo.points - before.points();
            }
            resolve(&mut self.asked, plan, settings, echo, before, self.now_ns);
        }
        self.at = At::Points(at);
        Ok(at.is_done(&body))
    }

    #[expect(clippy::too_many_arguments, reason = "as `read`")]
    fn read_lines(
        &mut self,
        plan: &WritePlan,
        body: Padded<'_>,
        from: usize,
        settings: &Settings,
        scratch: &mut Scratch,
        echo: &mut Batch,
        fed: &mut dyn Fed,
        budget: usize,
    ) -> Result<bool, Stop> {
        let Scratch { tape, encoder, scripts, .. } = scratch;
        // A step is to take as long as ever.
        let budget = (budget / self.pace).max(1);
        let next = match &plan.stream {
            Some(stream) if plan.format != BodyFormat::LineProtocol => {
                logstreaming::read_some(plan.format, stream, body, from, budget, tape)
                    .map_err(|_| Stop::Bad)?
            }
            _ => line_protocol::parse_some(body, from, budget, tape).map_err(|_| Stop::Bad)?,
        };
        self.at = At::Lines(next);
        self.points += tape.points.len() as u32;
        self.lost_points += tape.lost_points;
        self.lost_values += tape.lost_values;
        let is_looked_at = self.is_looked_at(plan);
        if is_looked_at {
            let before = echo.mark();
            let warn = encoder.encode(body, tape, &self.look_rules(plan, settings), echo);
            check(plan, echo.since(before), settings)?;
            self.warn = self.warn.take().or(warn);
            resolve(&mut self.asked, plan, settings, echo, before, self.now_ns);
        }
        if !plan.dry {
            let mut asked = std::mem::take(&mut self.asked);
            let mut hooks = std::mem::take(&mut self.hooks);
            let fed =
                self.feed_lines(plan, body, tape, settings, encoder, scripts, &mut hooks, &mut asked, fed);
            (self.hooks, self.asked) = (hooks, asked);
            fed?;
        }
        Ok(next >= body.len())
    }

    /// Encodes the lines of a step, some at a time.
    #[expect(clippy::too_many_arguments, reason = "as `read`")]
    fn feed_lines(
        &mut self,
        plan: &WritePlan,
        body: Padded<'_>,
        tape: &Tape,
        settings: &Settings,
        encoder: &mut Encoder,
        scripts: &mut hook::Scratch,
        hooks: &mut Hooks,
        asked: &mut Asked,
        fed: &mut dyn Fed,
    ) -> Result<(), Stop> {
        let is_looked_at = self.is_looked_at(plan);
        let run_points = if hooks.is_empty() { RUN_POINTS } else { HOOKED_RUN_POINTS };
        let scripted = hooks.scripted();
        for first in (0..tape.points.len()).step_by(run_points) {
            let run = first..tape.points.len().min(first + run_points);
            let (batch, _) = fed.batch().ok_or(Stop::TooMuch)?;
            let before = batch.mark();
            let (_, gone) =
                hooks.with(plan.category, self.choice(), settings, self.now_ns, scripts, |hook| {
                    let rules = Rules { hook, ..self.feed_rules(plan, settings) };
                    encoder.encode_range(body, tape, run, &rules, batch)
                });
            self.gone += gone;
            if !is_looked_at {
                check(plan, batch.since(before), settings)?;
            }
            resolve(asked, plan, settings, batch, before, self.now_ns);
            if hooks.scripted() > self.scripted_max {
                return Err(Stop::TooMuch);
            }
        }
        self.pace = match hooks.spares(plan.category) && hooks.scripted() == scripted {
            true => (self.pace / PACE_UP).max(1),
            false => GENERAL_COST,
        };
        Ok(())
    }

    /// What the whole body came to. `echo` holds the points that were looked at.
    pub fn finish(&mut self, plan: &WritePlan, settings: &Settings, echo: &Batch) -> Result<Written, Stop> {
        self.check_lost(plan).map_err(Stop::Refused)?;
        if let Some(warn) = self.warn.take().filter(|_| plan.strict) {
            return Err(Stop::Refused(ApiError::point_got_warning(warn.text())));
        }
        let questions = self.asked.take();
        if !questions.is_empty() {
            return Err(Stop::Unresolved(questions));
        }
        let echo = plan.echo.map(|format| write_echo(format, &echo.bytes, settings));
        let Gone { filtered, dropped } = self.gone;
        let points = self.points - self.gone.points();
        let scripted = self.hooks.scripted();
        Ok(Written { points, filtered, dropped, echo, scripted, created: self.hooks.finish() })
    }

    /// What the parser left out. DataKit drops a point whose value cannot be decoded and says nothing as long as another
    /// point is left; here the body is refused. A value that is only not what was written refuses a strict request.
    fn check_lost(&self, plan: &WritePlan) -> Result<(), ApiError> {
        if self.points == 0 && plan.stream.is_none() {
            return Err(ApiError::NO_POINTS);
        }
        if self.lost_points > 0 {
            let message = format!(
                "{} points have a value that cannot be decoded: base64 that is none, an array of mixed kinds, \
                 or bytes behind a closing quote",
                self.lost_points
            );
            return Err(ApiError::invalid_line_point(message));
        }
        if self.lost_values > 0 && plan.strict {
            let values = self.lost_values;
            let message =
                format!("{values} values are not what was written: an array that is empty or mixed");
            return Err(ApiError::invalid_line_point(message));
        }
        Ok(())
    }

    fn choice(&self) -> Option<Choice<'_>> {
        self.choice.as_ref().map(KeptChoice::lend)
    }

    /// Whether the points are needed as the client wrote them.
    fn is_looked_at(&self, plan: &WritePlan) -> bool {
        let is_rum = plan.category == Category::Rum;
        // Where nothing is fed, or not all of it, what must be checked is looked at.
        plan.strict || plan.echo.is_some() || (is_rum && (plan.dry || !self.hooks.is_empty()))
    }

    /// For points that are looked at.
    fn look_rules<'a>(&self, plan: &'a WritePlan, settings: &Settings) -> Rules<'a> {
        Rules {
            category: rules(plan.category, settings.options.compat),
            precision: plan.precision,
            now_ns: self.now_ns,
            added_tags: Some(&plan.own_tags),
            time_correction: false,
            hook: None,
        }
    }

    /// For points that are fed.
    fn feed_rules<'a>(&'a self, plan: &'a WritePlan, settings: &'a Settings) -> Rules<'a> {
        Rules {
            category: rules(plan.category, settings.options.compat),
            precision: plan.precision,
            now_ns: self.now_ns,
            added_tags: self.joined_tags.as_ref().or_else(|| match plan.own_tags.is_empty() {
                true => plan.global_tags(settings),
                false => Some(&plan.own_tags),
            }),
            time_correction: settings.options.time_correction,
            hook: None,
        }
    }
}

/// Gives errors their original source, as far as it is known.
fn resolve(
    asked: &mut Asked,
    plan: &WritePlan,
    settings: &Settings,
    batch: &mut Batch,
    before: Mark,
    now_ns: i64,
) {
    if plan.category == Category::Rum {
        asked.look(batch, before, &settings.sources, plan.answers.as_deref(), now_ns);
    }
}

/// What a category wants of encoded points beyond the rules of all.
fn check(plan: &WritePlan, points: &[u8], settings: &Settings) -> Result<(), Stop> {
    if plan.category != Category::Rum {
        return Ok(());
    }
    rum::check(points, &settings.options).map_err(|message| {
        Stop::Refused(match plan.format {
            BodyFormat::LineProtocol | BodyFormat::Text | BodyFormat::Firelens => {
                ApiError::invalid_line_point(message)
            }
            BodyFormat::Json => ApiError::invalid_json_point(message),
            BodyFormat::Protobuf => ApiError::invalid_protobuf_point(message),
        })
    })
}

impl WritePlan {
    /// The key of points, and the script they are to have: of `?source=X` that is `X.p` for points with the key `X`, of
    /// `?pipeline=` of a stream its script for the stream's points.
    fn choice(&self) -> Option<KeptChoice> {
        let source = self.source.as_ref()?;
        let (key, script) = match &self.stream {
            Some(stream) => (&stream.source, source.as_bytes().into()),
            None => (source, [source.as_bytes(), b".p"].concat().into()),
        };
        Some(KeptChoice { key: key.as_bytes().into(), script })
    }

    fn global_tags<'a>(&self, settings: &'a Settings) -> Option<&'a GlobalTags> {
        match self.tags {
            TagSet::Host => Some(&settings.options.host_tags),
            TagSet::Election => Some(&settings.options.election_tags),
            TagSet::None => None,
        }
    }
}

fn write_echo(format: Echo, points: &[u8], settings: &Settings) -> Vec<u8> {
    let mut out = Vec::with_capacity(points.len() * 2);
    let recorded = settings.options.compat == Compat::Datakit184;
    let result = match format {
        Echo::LineProtocol if recorded => {
            echo::line_protocol_as_recorded(points, &mut out).map_err(echo::EchoError::from)
        }
        Echo::LineProtocol => echo::line_protocol(points, &mut out).map_err(echo::EchoError::from),
        Echo::Json => echo::json(points, &mut out),
        Echo::PbJson => {
            let style = echo::PbJsonStyle { empty_warns_after_warned: recorded, omit_empty_fields: false };
            echo::pbjson(points, style, &mut out)
        }
    };
    if let Err(error) = result {
        // Recorded: status 200, and the encoder's error in place of the points.
        out = error.to_string().into_bytes();
    }
    out
}
