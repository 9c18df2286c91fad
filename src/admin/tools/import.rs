//! `kitgate spool import-datakit`: the old agent's disk queue into this gateway.
//!
//! Stop the agent first: what it still sends itself would come twice. Its files are only read. How far each is imported is
//! noted after its points are durable here, under what the file begins with, so that a file is known after the agent has
//! renamed it; an import that was cut off goes on, a second one adds nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::blocks::{Batch, Packer};
use super::datakit::{self, Next, Package, PayloadType, Queue, Records};
use super::progress::Progress;
use super::{Failure, Said, Tools, at, shown};
use crate::admin::spools::Spools;
use crate::buf::{PADDING, Padded};
use crate::codec::content_encoding::{Decoder, Encoding, Limits};
use crate::codec::line_protocol::{self, Tape};
use crate::config::Settings;
use crate::limits::DECODED_BODY_BYTES_MAX_DEFAULT;
use crate::point::encode::{Encoder, JsonAt, Rules, Stretch};
use crate::point::sinker::VALUE_BYTES_MAX;
use crate::point::time::Precision;
use crate::point::{Batch as Points, Category, Route, pb, rules};
use crate::spool::Block;

/// The name of the notes.
const NOTES: &str = "imported-datakit";

/// Bad records that are named; the rest is counted.
const NAMED_MAX: usize = 100;

/// A route is stored with every frame: no token or index is nearly as long.
const ROUTE_TEXT_BYTES_MAX: usize = 128;

/// Headers of the agent that say nothing that is not known here.
const PLAIN_HEADERS: [&str; 8] = [
    "X-Points",
    "X-Pkg-Id",
    "X-Storage-Index-Name",
    "X-Fail-Cache-Retry",
    "Content-Type",
    "Content-Encoding",
    "Content-Length",
    "User-Agent",
];

#[derive(Default)]
struct Counts {
    records: u64,
    points: u64,
    by_category: BTreeMap<Category, (u64, u64)>,
    known_files: u64,
    skipped: BTreeMap<String, (u64, u64)>,
    named: Vec<String>,
    headers_left_out: u64,
}

impl Counts {
    fn skip(&mut self, place: &str, why: String, points: u64) {
        if self.named.len() < NAMED_MAX {
            self.named.push(format!("{place}: {why}"));
        }
        let group = self.skipped.entry(why).or_default();
        *group = (group.0 + 1, group.1 + points);
    }
}

/// Makes blocks of packages.
struct Converter<'a> {
    settings: &'a Settings,
    packer: Packer,
    decoder: Decoder,
    encoder: Encoder,
    tape: Tape,
    now_ms: u64,
}

impl Converter<'_> {
    /// The block of a package; none: there are no points in it.
    fn block(&mut self, queue: &Queue, package: &Package<'_>) -> Result<Option<(Category, Block)>, String> {
        let category = match queue.category() {
            Some(category) => category?,
            None => package.category()?,
        };
        let route = Route {
            storage_index: package
                .header("X-Storage-Index-Name")
                .filter(|name| category == Category::Logging && !name.is_empty())
                .map(Into::into),
            token: package.token(),
            global_tags: package.header("X-Global-Tags").map(Into::into),
        };
        let long = |text: Option<usize>| text.is_some_and(|len| len > ROUTE_TEXT_BYTES_MAX);
        if long(route.storage_index.as_ref().map(|index| index.len()))
            || route.global_tags.as_ref().is_some_and(|tags| tags.len() > VALUE_BYTES_MAX)
            || long(route.token.as_ref().map(|token| token.expose().len()))
        {
            return Err("a token, an index or global tags that are too long".to_owned());
        }
        let mut body = self.unpacked(package.payload)?;
        let kind = package.payload_type()?;
        let points = match kind {
            PayloadType::Protobuf => {
                let count = pb::points(&body).try_fold(0_u32, |count, point| point.map(|_| count + 1));
                let points = count.map_err(|error| format!("no protobuf points: {error}"))?;
                Points { bytes: body, points }
            }
            PayloadType::LineProtocol | PayloadType::Json => {
                self.encoded(kind, category, package.seconds, &mut body)?
            }
        };
        if points.points == 0 {
            return Ok(None);
        }
        let block = self.packer.pack(category, &route, &points.bytes, points.points, self.now_ms);
        block.map(|block| Some((category, block))).ok_or_else(|| "more than a frame can hold".to_owned())
    }

    fn unpacked(&mut self, payload: &[u8]) -> Result<Vec<u8>, String> {
        let coding = match payload {
            [0x1f, 0x8b, ..] => Encoding::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Encoding::Zstd,
            _ => return Ok(payload.to_vec()),
        };
        let mut body = Vec::new();
        self.decoder.reset(coding);
        self.decoder
            .decode_all(payload, &mut body, &Limits::new(DECODED_BODY_BYTES_MAX_DEFAULT))
            .map_err(|error| format!("a payload that cannot be unpacked: {error:?}"))?;
        Ok(body)
    }

    /// Points that are not protobuf yet. The agent has checked them and added its tags; a missing time is that of the package.
    fn encoded(
        &mut self,
        kind: PayloadType,
        category: Category,
        seconds: u64,
        body: &mut Vec<u8>,
    ) -> Result<Points, String> {
        let rules = Rules {
            category: rules(category, self.settings.compat),
            precision: Precision::Nanos,
            now_ns: i64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000_000),
            added_tags: None,
            time_correction: false,
            hook: None,
        };
        let mut points = Points::with_capacity(body.len() + PADDING);
        let body = Padded::pad(body);
        if kind == PayloadType::LineProtocol {
            line_protocol::parse(body, &mut self.tape).map_err(|_| "no line protocol".to_owned())?;
            self.encoder.encode(body, &self.tape, &rules, &mut points);
        } else {
            let mut json = JsonAt::default();
            while !json.is_done() {
                self.encoder
                    .encode_json(body, &mut json, Stretch::WHOLE, &rules, &mut points)
                    .map_err(|_| "no JSON points".to_owned())?;
            }
        }
        Ok(points)
    }
}

pub(super) fn import(tools: &mut Tools<'_>, from: &Path) -> Result<Said, Failure> {
    let queues = datakit::queues(from).map_err(at(from))?;
    if queues.is_empty() {
        return Err(Failure::Failed(format!("{}: there is no queue of the agent here", from.display())));
    }
    let _alone = tools.alone()?;
    let mut progress = Progress::load(&tools.own_dir(), NOTES)?;
    let mut spools = tools.spools()?;
    let mut converter = Converter {
        settings: tools.settings,
        packer: Packer::new(tools.settings.destination.compression()),
        decoder: Decoder::default(),
        encoder: Encoder::default(),
        tape: Tape::default(),
        now_ms: tools.now_ms,
    };
    let mut counts = Counts::default();
    for queue in &queues {
        let position = queue.position().map_err(at(&queue.dir))?;
        for name in queue.files().map_err(at(&queue.dir))? {
            let read = position.as_ref().filter(|(file, _)| *file == name).map_or(0, |(_, offset)| *offset);
            import_file(queue, &name, read, &mut converter, &mut *spools, &mut progress, &mut counts)?;
        }
    }
    Ok(said(&counts))
}

/// What a file is known by: its beginning, up to the end of its first record. None: it has no record.
fn fingerprint(path: &Path) -> Result<Option<String>, Failure> {
    let mut records = Records::open(path, 0).map_err(at(path))?;
    match records.next_record().map_err(at(path))? {
        Next::Record(record, _) => {
            // Two sums of different kinds: files of one folder that begin alike in both do not turn up by chance.
            let other = record.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
            Ok(Some(format!("{:08x}{other:016x}-{}", crc32c::crc32c(&record), record.len())))
        }
        Next::End | Next::Bad(_) => Ok(None),
    }
}

fn import_file(
    queue: &Queue,
    name: &str,
    read: u64,
    converter: &mut Converter<'_>,
    spools: &mut dyn Spools,
    progress: &mut Progress,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let path = queue.dir.join(name);
    let sign = fingerprint(&path)?;
    let key = |name: &str| sign.as_ref().map(|sign| format!("{}/{name}/{sign}", queue.name));
    let noted = key(name);
    // The agent may have renamed the file that it was writing since an earlier import.
    let keys = [noted.clone(), key("data")];
    let done = keys.iter().flatten().map(|key| progress.done_through(key)).max().unwrap_or(0);
    let start = done.max(read);
    counts.known_files += u64::from(done > 0);
    let mut records = Records::open(&path, start).map_err(at(&path))?;
    let mut batches: BTreeMap<Category, Batch<u64>> = BTreeMap::new();
    loop {
        let begins = records.offset();
        let place = format!("{}/{name} at {begins}", queue.name);
        let record = match records.next_record().map_err(at(&path))? {
            Next::Record(record, _) => record,
            Next::End => break,
            Next::Bad(why) => {
                counts.skip(&place, format!("{why}; the rest of the file with it"), 0);
                break;
            }
        };
        let Some(package) = Package::read(&record) else {
            counts.skip(&place, "a record that is no package".to_owned(), 0);
            continue;
        };
        let known = |header: &str| PLAIN_HEADERS.iter().any(|plain| plain.eq_ignore_ascii_case(header));
        counts.headers_left_out += package.headers.iter().filter(|(header, _)| !known(header)).count() as u64;
        match converter.block(queue, &package) {
            Ok(Some((category, block))) => {
                counts.records += 1;
                counts.points += u64::from(block.points);
                let group = counts.by_category.entry(category).or_default();
                *group = (group.0 + 1, group.1 + u64::from(block.points));
                batches.entry(category).or_default().push(block);
            }
            Ok(None) => {}
            Err(why) => counts.skip(&place, why, package.points),
        }
        if batches.values().any(Batch::is_full) {
            settle(&mut batches, noted.as_deref(), records.offset(), spools, progress)?;
        }
    }
    settle(&mut batches, noted.as_deref(), records.offset(), spools, progress)
}

fn settle(
    batches: &mut BTreeMap<Category, Batch<u64>>,
    key: Option<&str>,
    through: u64,
    spools: &mut dyn Spools,
    progress: &mut Progress,
) -> Result<(), Failure> {
    for (category, batch) in batches.iter_mut() {
        batch.commit(spools, *category)?;
    }
    if let Some(key) = key {
        progress.note(key, 0, through);
        progress.store()?;
    }
    Ok(())
}

fn said(counts: &Counts) -> Said {
    let mut text = format!(
        "imported {} with {}\n",
        shown::count(counts.records, "record"),
        shown::count(counts.points, "point")
    );
    for (category, (records, points)) in &counts.by_category {
        let (records, points) = (shown::count(*records, "record"), shown::count(*points, "point"));
        text.push_str(&format!("  {}: {records} with {points}\n", category.name()));
    }
    if counts.known_files > 0 {
        let files = shown::count(counts.known_files, "file");
        text.push_str(&format!("went on in {files} of which something was imported before\n"));
    }
    for (why, (records, points)) in &counts.skipped {
        let (records, points) = (shown::count(*records, "record"), shown::count(*points, "point"));
        text.push_str(&format!("left out {records} with {points}: {why}\n"));
    }
    for named in &counts.named {
        text.push_str(&format!("  {named}\n"));
    }
    if counts.headers_left_out > 0 {
        let headers = shown::count(counts.headers_left_out, "header");
        text.push_str(&format!("{headers} that have no meaning here were left out\n"));
    }
    let categories: serde_json::Map<String, serde_json::Value> = counts
        .by_category
        .iter()
        .map(|(category, (records, points))| {
            (category.name().to_owned(), json!({ "records": records, "points": points }))
        })
        .collect();
    let skipped: serde_json::Map<String, serde_json::Value> = counts
        .skipped
        .iter()
        .map(|(why, (records, points))| (why.clone(), json!({ "records": records, "points": points })))
        .collect();
    let json = json!({
        "records": counts.records, "points": counts.points, "categories": categories, "skipped": skipped,
        "bad": counts.named, "files_known": counts.known_files, "headers_left_out": counts.headers_left_out,
    });
    Said { text, json, good: true }
}
