//! Scripts on the path of points: what a point meets between its checks and its filters.

use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::sync::Arc;

use bumpalo::Bump;

use super::{
    category::Category as Scripted,
    draft,
    post::{self, StatusOptions},
    record::Record,
    store::{CategoryScripts, Choice, Script, Selector, key_in, key_of},
    vm::Host,
};
use crate::metrics::scripts::Runs;
use crate::point::draft::{Draft, Value};
use crate::point::encode::{self, Found, Hook};
use crate::point::filter::{FilterSet, Filtering};
use crate::point::{Batch, Category};

/// The arena keeps this much from one point to the next; a point that needs more is rare.
const ARENA_BYTES_KEPT: usize = 1 << 20;

/// Up to this a key that no script has been found for is taken at its word: no check cuts it.
const PLAIN_KEY_BYTES_MAX: usize = 256;

/// One run in so many is timed: looking at the clock takes as long as a small script.
const TIMED_EVERY: u64 = 16;

/// What the scripts of one body may create, encoded. Past it `create_point()` comes to nothing and the run counts as failed.
const CREATED_BYTES_MAX: usize = 32 << 20;

/// A batch of created points is given out when it has grown to this, well before the size of a commit (1 MiB).
const BATCH_BYTES: usize = 768 << 10;

/// Memory that is reused from one point to the next. One a shard.
#[derive(Debug, Default)]
pub struct Scratch {
    arena: Bump,
    key: Vec<u8>,
}

/// What scripts have done to the points of a body.
#[derive(Debug, Default)]
pub struct Met {
    /// Points of the body that were dropped.
    pub dropped: u32,
    pub created: Created,
    runs: Vec<(Arc<Script>, Runs, Option<String>)>,
}

/// Points that scripts have made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Created {
    /// Encoded; none is empty.
    pub batches: Vec<(Category, Batch)>,
    /// Those that filters do not let pass.
    pub filtered: Vec<(Category, u64)>,
}

impl Created {
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.filtered.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.batches.iter().map(|(_, batch)| batch.bytes.len()).sum()
    }

    /// Encodes a point that a script has made. The error says why there is none.
    pub fn make<'r>(
        &mut self,
        record: &Record<'r>,
        arena: &'r Bump,
        filters: Option<&FilterSet>,
        corrected_to: Option<i64>,
    ) -> Result<(), String> {
        if record.dropped {
            return Ok(());
        }
        let Some(category) = carried(record.category) else {
            return Err(format!("a point of category {} cannot be sent", record.category.name()));
        };
        if self.bytes() >= CREATED_BYTES_MAX {
            return Err(format!("more than {CREATED_BYTES_MAX} bytes of created points in one body"));
        }
        let mut draft = draft::write(record, None, arena);
        let mut dropped = 0;
        {
            let batch = self.batch(category);
            let mut put = |draft: &mut Draft<'_>| encode::put_made(draft, corrected_to, batch);
            match filters {
                Some(filters) => {
                    let filtering = Filtering::new(filters.of(category), category);
                    filtering.meet(&mut draft, &mut put);
                    dropped = filtering.dropped();
                }
                None => put(&mut draft),
            }
        }
        if dropped > 0 {
            match self.filtered.iter_mut().find(|(of, _)| *of == category) {
                Some((_, sum)) => *sum += u64::from(dropped),
                None => self.filtered.push((category, u64::from(dropped))),
            }
        }
        Ok(())
    }

    fn batch(&mut self, category: Category) -> &mut Batch {
        let open = |(of, batch): &(Category, Batch)| *of == category && batch.bytes.len() < BATCH_BYTES;
        let index = self.batches.iter().rposition(open).unwrap_or_else(|| {
            self.batches.push((category, Batch::default()));
            self.batches.len() - 1
        });
        &mut self.batches[index].1
    }
}

impl Met {
    /// How many points scripts have run over.
    pub fn points(&self) -> u64 {
        self.runs.iter().map(|(_, runs, _)| runs.points).sum()
    }

    /// Counts the runs: once the body has proved good.
    pub fn count(&mut self) {
        for (script, runs, error) in self.runs.drain(..) {
            script.stats.add(&runs);
            if let Some(error) = error {
                script.stats.failed(error);
            }
        }
    }

    fn of(&mut self, script: &Arc<Script>) -> &mut (Arc<Script>, Runs, Option<String>) {
        let index =
            self.runs.iter().rposition(|(known, ..)| Arc::ptr_eq(known, script)).unwrap_or_else(|| {
                self.runs.push((Arc::clone(script), Runs::default(), None));
                self.runs.len() - 1
            });
        &mut self.runs[index]
    }
}

/// What does not change from point to point.
#[derive(Clone, Copy)]
pub struct Around<'s> {
    pub scripts: &'s CategoryScripts,
    pub choices: &'s [Choice<'s>],
    pub status: &'s StatusOptions,
    pub host: &'s dyn Host,
    /// What points meet behind the scripts.
    pub next: Option<&'s dyn Hook>,
    /// Of all categories: for the points that are made.
    pub filters: Option<&'s FilterSet>,
    /// Where times are corrected: now.
    pub corrected_to: Option<i64>,
    /// Tags of points that are summed up.
    pub tags: &'s [(String, String)],
}

/// The scripts of a category, for the points of one call.
pub struct Scripting<'s> {
    category: Scripted,
    around: Around<'s>,
    state: RefCell<State<'s>>,
}

struct State<'s> {
    selector: Selector<'s>,
    scratch: &'s mut Scratch,
    met: &'s mut Met,
}

impl fmt::Debug for Scripting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripting").field("category", &self.category).finish_non_exhaustive()
    }
}

impl<'s> Scripting<'s> {
    /// For the points of a category that has scripts.
    pub fn new(
        category: Scripted,
        around: Around<'s>,
        scratch: &'s mut Scratch,
        met: &'s mut Met,
    ) -> Scripting<'s> {
        let selector = Selector::new(around.scripts, around.choices);
        Scripting { category, around, state: RefCell::new(State { selector, scratch, met }) }
    }

    fn next(&self, point: &mut Draft<'_>, pass: &mut dyn FnMut(&mut Draft<'_>)) {
        match self.around.next {
            Some(hook) => hook.meet(point, pass),
            None => pass(point),
        }
    }

    fn run(
        &self,
        script: &Arc<Script>,
        arena: &Bump,
        met: &mut Met,
        point: &mut Draft<'_>,
        pass: &mut dyn FnMut(&mut Draft<'_>),
    ) {
        let Around { host, status, .. } = self.around;
        let (warns, debugs) = (mem::take(&mut point.warns), mem::take(&mut point.debugs));
        let point = &*point;
        let is_timed = met.of(script).1.points.is_multiple_of(TIMED_EVERY);
        let started = if is_timed { host.now_ns() } else { 0 };
        let record = draft::read(self.category, point, arena);
        let mut outcome = script.set.run(script.at, record, arena, host);
        if outcome.error.is_none() {
            post::finish(&mut outcome.record, status, arena);
        } else {
            // What a run that failed has asked for beside its point is not done: it may be half of something.
            outcome.record.dropped = false;
            outcome.record.created.clear();
        }
        let created = mem::take(&mut outcome.record.created);
        let state = script.set.state(script.at);
        let mut let_through = Vec::new();
        let mut summed_up = Vec::new();
        if let Some(state) = state {
            // The clock is looked at for points with a window alone.
            if outcome.record.window.is_some() {
                let_through = state.moved(&outcome.record, host.now_ns());
            }
            summed_up = state.take_ready();
        }
        let mut error = outcome.error.map(|error| error.to_string());
        let mut made = 0;
        let mut count = |result: Result<(), String>| match result {
            Ok(()) => made += 1,
            Err(text) => error = error.take().or(Some(text)),
        };
        created.iter().for_each(|record| count(self.make(record, arena, &mut met.created)));
        for point in let_through {
            count(self.make(&point.record(arena, &[]), arena, &mut met.created));
        }
        for point in summed_up {
            count(self.make(&point.record(arena, self.around.tags), arena, &mut met.created));
        }
        let (_, runs, last_error) = met.of(script);
        runs.points += 1;
        runs.created += made;
        if is_timed {
            runs.ns += u64::try_from(host.now_ns() - started).unwrap_or(0) * TIMED_EVERY;
        }
        if error.is_some() {
            runs.errors += 1;
            *last_error = error;
        }
        if outcome.record.dropped {
            runs.dropped += 1;
            met.dropped += 1;
            return;
        }
        let mut written = draft::write(&outcome.record, Some(point), arena);
        (written.warns, written.debugs) = (warns, debugs);
        self.next(&mut written, pass);
    }

    fn make<'r>(&self, record: &Record<'r>, arena: &'r Bump, created: &mut Created) -> Result<(), String> {
        created.make(record, arena, self.around.filters, self.around.corrected_to)
    }
}

impl Hook for Scripting<'_> {
    fn meet(&self, point: &mut Draft<'_>, pass: &mut dyn FnMut(&mut Draft<'_>)) {
        let mut state = self.state.borrow_mut();
        let State { selector, scratch, met } = &mut *state;
        let script = {
            let point = &*point;
            let text = |key: &[u8]| {
                let kv = point.kvs.iter().find(|kv| &*kv.key == key)?;
                if let Value::Str(text) = &kv.value { Some(&**text) } else { None }
            };
            key_of(self.category, &point.name, text, &mut scratch.key).and_then(|key| selector.select(key))
        };
        let Some(script) = script else { return self.next(point, pass) };
        self.run(script, &scratch.arena, met, point, pass);
        if scratch.arena.allocated_bytes() > ARENA_BYTES_KEPT {
            scratch.arena = Bump::new();
        } else {
            scratch.arena.reset();
        }
    }

    fn spares(&self) -> bool {
        self.around.next.is_none() && !self.around.scripts.has_default()
    }

    fn is_nothing_to(&self, point: &Found<'_>) -> bool {
        let mut state = self.state.borrow_mut();
        let State { selector, scratch, .. } = &mut *state;
        // What a check may change is looked at when it has.
        let is_plain = |text: &[u8]| {
            (1..=PLAIN_KEY_BYTES_MAX).contains(&text.len())
                && !text.contains(&b'\n')
                && !text.ends_with(b"\\")
        };
        let Some(name) = point.name().filter(|name| is_plain(name)) else { return false };
        let mut has_none = |text: Option<&[u8]>| {
            let key = key_of(self.category, name, |_| text, &mut scratch.key);
            key.is_none_or(|key| selector.select(key).is_none())
        };
        match key_in(self.category) {
            None => has_none(None),
            Some(key) => point.all_texts(key, |text| is_plain(text) && has_none(Some(text))),
        }
    }
}

/// The category under which a script's points are sent.
pub fn carried(category: Scripted) -> Option<Category> {
    Category::from_name(category.name())
}

/// The scripts that a category's points meet.
pub fn scripted(category: Category) -> Option<Scripted> {
    Scripted::named(category.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::Padded;
    use crate::codec::line_protocol::{self, Tape};
    use crate::pipeline::store::{Namespace, Sources, Store};
    use crate::point::encode::{Encoder, JsonAt, Rules, Stretch};
    use crate::point::{Compat, GlobalTags, Precision, rules};
    use proptest::prelude::*;
    use std::cell::Cell;

    const NOW: i64 = 1_800_000_000_000_000_000;

    struct Still;

    impl Host for Still {
        fn now_ns(&self) -> i64 {
            NOW
        }
    }

    /// Counts the points that are not spared.
    #[derive(Debug)]
    struct Counted<'h>(Scripting<'h>, Cell<usize>);

    impl Hook for Counted<'_> {
        fn meet(&self, point: &mut Draft<'_>, pass: &mut dyn FnMut(&mut Draft<'_>)) {
            self.1.set(self.1.get() + 1);
            self.0.meet(point, pass);
        }

        fn spares(&self) -> bool {
            self.0.spares()
        }

        fn is_nothing_to(&self, point: &Found<'_>) -> bool {
            self.0.is_nothing_to(point)
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Body<'b> {
        Lines(&'b str),
        Json(&'b str),
        Protobuf(&'b [u8]),
    }

    impl Body<'_> {
        /// Appends its points; `plainly`: each by the general path. `None`: it is refused.
        fn encode(self, rules: &Rules<'_>, plainly: bool, batch: &mut Batch) -> Option<()> {
            let mut encoder = Encoder::default();
            let bytes = match self {
                Body::Lines(text) | Body::Json(text) => text.as_bytes(),
                Body::Protobuf(bytes) => bytes,
            };
            let mut bytes = bytes.to_vec();
            let body = Padded::pad(&mut bytes);
            let (mut at, mut json_at, whole) = (0, JsonAt::default(), Stretch::WHOLE);
            match (self, plainly) {
                (Body::Lines(_), _) => {
                    let mut tape = Tape::default();
                    // An error is a tag twice.
                    line_protocol::parse(body, &mut tape).ok()?;
                    match plainly {
                        false => encoder.encode(body, &tape, rules, batch),
                        true => encoder.encode_general(body, &tape, 0..tape.points.len(), rules, batch),
                    }
                }
                (Body::Json(_), false) => {
                    encoder.encode_json(body, &mut json_at, whole, rules, batch).unwrap()
                }
                (Body::Json(_), true) => {
                    encoder.encode_json_general(body, &mut json_at, whole, rules, batch).unwrap()
                }
                (Body::Protobuf(_), false) => {
                    encoder.encode_protobuf(body, &mut at, whole, rules, batch).unwrap()
                }
                (Body::Protobuf(_), true) => {
                    encoder.encode_protobuf_plain(body, &mut at, whole, rules, batch).unwrap()
                }
            };
            Some(())
        }
    }

    fn fed(category: Category, added: &GlobalTags) -> Rules<'_> {
        Rules {
            category: rules(category, Compat::Datakit184),
            precision: Precision::Auto,
            now_ns: NOW,
            added_tags: Some(added),
            time_correction: true,
            hook: None,
        }
    }

    struct Outcome {
        points: Vec<u8>,
        dropped: u32,
        runs: u64,
        meetings: usize,
    }

    /// What comes of a body when each point meets scripts only where it may not be spared them, and when each does whatever
    /// it is.
    fn both(category: Category, body: Body<'_>, added: &GlobalTags) -> Option<[Outcome; 2]> {
        let mut sources = Sources::default();
        let of = scripted(category).unwrap();
        for name in ["nginx.p", "a_b_nginx.p", "shop.p", "o_k.p"] {
            sources.add(Namespace::Default, of, name, "if x == \"drop\" { drop() }\nadd_key(met, true)");
        }
        let store = Store::build(&sources, None, &|_, _, _| Arc::default());
        let run = |plainly| {
            let (mut scratch, mut met, mut batch) = (Scratch::default(), Met::default(), Batch::default());
            let around = Around {
                scripts: store.of(of),
                choices: &[],
                status: &store.status,
                host: &Still,
                next: None,
                filters: None,
                corrected_to: None,
                tags: &[],
            };
            let hook = Counted(Scripting::new(of, around, &mut scratch, &mut met), Cell::new(0));
            let rules = Rules { hook: Some(&hook), ..fed(category, added) };
            body.encode(&rules, plainly, &mut batch)?;
            let meetings = hook.1.get();
            drop(hook);
            Some(Outcome { points: batch.bytes, dropped: met.dropped, runs: met.points(), meetings })
        };
        Some([run(false)?, run(true)?])
    }

    /// Points as lines, the tags and fields of each in order.
    fn told(points: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let mut out = Vec::new();
        crate::point::echo::line_protocol(points, &mut out).unwrap();
        let parts = |line: &[u8]| {
            let mut parts: Vec<_> = line.split(|byte| b", ".contains(byte)).map(<[u8]>::to_vec).collect();
            parts.sort();
            parts
        };
        out.split(|byte| *byte == b'\n').map(parts).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
        #[test]
        fn a_point_that_is_spared_would_have_been_left_alone(
            category in prop::sample::select(vec![
                Category::Logging, Category::Metric, Category::Tracing, Category::Rum, Category::Keyevent,
                Category::Security,
            ]),
            points in prop::collection::vec((
                prop::sample::select(vec!["nginx", "other", "shop", "a b", "x.y"]),
                prop::collection::vec((
                    prop::sample::select(vec!["service", "app_id", "app.id", "df_source", "category", "x", "y"]),
                    prop::sample::select(vec!["nginx", "shop", "a_b", "o_k", "drop", "o\nk", "plain", "shop\\\\"]),
                    any::<bool>(),
                ), 0..5),
            ), 1..12),
            added in prop::sample::select(vec!["", "shop", "else"]),
        ) {
            let (mut lines, mut json) = (String::new(), Vec::new());
            for (name, kvs) in points {
                lines.push_str(&name.replace(' ', "\\ "));
                let (mut tags, mut fields) = (Vec::new(), Vec::new());
                for (key, value, is_tag) in &kvs {
                    let value = if *is_tag { value.replace(['\n', '\\'], "") } else { value.to_string() };
                    let of_json = format!("\"{key}\":\"{}\"", value.replace('\n', "\\n"));
                    match is_tag {
                        true => {
                            lines.push_str(&format!(",{key}={value}"));
                            tags.push(of_json);
                        }
                        false => fields.push((format!(",{key}=\"{value}\""), of_json)),
                    }
                }
                let (of_lines, mut fields): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
                lines.push_str(&format!(" f=1i{} {NOW}\n", of_lines.concat()));
                fields.push("\"f\":1".to_owned());
                let (tags, fields) = (tags.join(","), fields.join(","));
                json.push(format!(
                    "{{\"measurement\":\"{name}\",\"tags\":{{{tags}}},\"fields\":{{{fields}}},\"time\":{NOW}}}"
                ));
            }
            let json = format!("[{}]", json.join(","));
            let (none, mut protobuf) = (GlobalTags::default(), Batch::default());
            let _ = Body::Lines(&lines).encode(&fed(category, &none), true, &mut protobuf);
            let tags: Vec<_> = [("service", added)].into_iter().filter(|(_, value)| !value.is_empty()).collect();
            let tags = GlobalTags::new(tags).unwrap();
            for body in [Body::Lines(&lines), Body::Json(&json), Body::Protobuf(&protobuf.bytes)] {
                let Some([spared, met]) = both(category, body, &tags) else { continue };
                prop_assert_eq!(spared.dropped, met.dropped);
                prop_assert_eq!(spared.runs, met.runs, "runs for {:?}", body);
                prop_assert_eq!(told(&spared.points), told(&met.points), "{:?}", body);
            }
        }
    }

    #[test]
    fn points_without_a_script_are_spared() {
        let lines = "other f=1i\nnginx f=1i\nother f=2i\n";
        let json = r#"[{"measurement":"other","fields":{"f":1}},{"measurement":"nginx","fields":{"f":1}},
            {"measurement":"other","fields":{"f":1}}]"#;
        let (none, mut protobuf) = (GlobalTags::default(), Batch::default());
        Body::Lines(lines).encode(&fed(Category::Logging, &none), false, &mut protobuf).unwrap();
        for body in [Body::Lines(lines), Body::Json(json), Body::Protobuf(&protobuf.bytes)] {
            let [spared, met] = both(Category::Logging, body, &none).unwrap();
            assert_eq!(
                [(spared.runs, spared.meetings), (met.runs, met.meetings)],
                [(1, 1), (1, 3)],
                "{body:?}"
            );
        }
    }
}
