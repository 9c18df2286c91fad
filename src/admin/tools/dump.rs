//! `kitgate spool dump`: what is spooled, as text, as JSON, or as frames that `replay` reads.

use std::io::Write;

use serde_json::{Value, json};

use super::arguments::{DumpArguments, DumpAs, Format};
use super::{EXIT_FAILED, Failure, LogPlace, Tools, at, blocks};
use crate::codec::raw_package::RawPackage;
use crate::point::echo::{PbJsonStyle, pbjson};
use crate::sink::lines;
use crate::spool::inspect::{Export, Found, FoundFrame, LogView, SegmentView, Stand, Walk};
use crate::spool::{Block, Kind};
use crate::upload::parked::Parked;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a dump passed over.
#[derive(Default)]
struct Skipped {
    frames: u64,
    points: u64,
}

pub(super) fn dump(tools: &mut Tools<'_>, what: &DumpArguments) -> Result<u8, Failure> {
    let segment = what.segment.as_deref().map(segment_id).transpose()?;
    let logs = tools.logs(what.category.map(|named| named.0))?;
    let mut skipped = Skipped::default();
    if what.form == DumpAs::Frames {
        let categories = logs.iter().filter(|log| log.side.is_none()).count();
        if categories != 1 || what.category.is_none() {
            return Err(Failure::Usage("frames are dumped of one category at a time: name it".to_owned()));
        }
    }
    let mut found = segment.is_none();
    for log in logs {
        // One stream of frames is of one log.
        if what.form == DumpAs::Frames && log.side.is_some() {
            continue;
        }
        let view = log.view()?;
        let mut export = Export::new(&mut *tools.out, log.category as u8, view.id);
        for one in view.segments.iter().filter(|one| segment.is_none_or(|wanted| wanted == one.id)) {
            found = true;
            let all = what.delivered || segment.is_some();
            let mut dump =
                Dump { form: what.form, format: tools.format, log: &log, skipped: &mut skipped, all };
            dump.segment(&view, one, &mut export)?;
        }
        if what.form == DumpAs::Frames {
            export.finish()?;
        }
    }
    tools.out.flush()?;
    if !found {
        return Err(Failure::Failed("there is no such segment".to_owned()));
    }
    if skipped.frames == 0 {
        return Ok(0);
    }
    eprintln!("kitgate: {} damaged frames with {} points were left out", skipped.frames, skipped.points);
    Ok(EXIT_FAILED)
}

fn segment_id(text: &str) -> Result<u64, Failure> {
    let digits = text.trim_start_matches("segment-").trim_start_matches("0x");
    u64::from_str_radix(digits, 16)
        .map_err(|_| Failure::Usage(format!("{text:?} is no segment's number, which are hexadecimal")))
}

struct Dump<'a> {
    form: DumpAs,
    format: Format,
    log: &'a LogPlace,
    skipped: &'a mut Skipped,
    all: bool,
}

impl Dump<'_> {
    fn segment<W: Write>(
        &mut self,
        view: &LogView,
        segment: &SegmentView,
        export: &mut Export<W>,
    ) -> Result<(), Failure> {
        let path = view.path(segment);
        let mut walk = view.walk(segment, true).map_err(at(&path))?;
        while let Some(found) = walk.next_found().map_err(at(&path))? {
            match found {
                Found::Frame(frame) if !self.all && view.stand(frame.seq()) == Stand::Done => {}
                Found::Frame(frame) if frame.is_whole => self.frame(&mut walk, &frame, export)?,
                Found::Frame(frame) => self.skip(1, frame.header.points.into()),
                Found::Gap(gap) => {
                    let lost = view.not_done(gap.from, gap.to);
                    self.skip(lost.frames, lost.points);
                }
                Found::Leftover(_) => {}
            }
        }
        Ok(())
    }

    fn skip(&mut self, frames: u64, points: u64) {
        self.skipped.frames += frames;
        self.skipped.points += points;
    }

    fn frame<W: Write>(
        &mut self,
        walk: &mut Walk,
        frame: &FoundFrame,
        export: &mut Export<W>,
    ) -> Result<(), Failure> {
        let header = &frame.header;
        if !blocks::fits(header) {
            self.skip(1, header.points.into());
            return Ok(());
        }
        if self.form == DumpAs::Frames {
            if let Some(bytes) = walk.bytes(frame)? {
                export.frame(header, bytes)?;
            }
            return Ok(());
        }
        let Some(block) = walk.block(frame)? else {
            self.skip(1, header.points.into());
            return Ok(());
        };
        let route = blocks::route_shown(&block.route);
        let name = self.log.name();
        let out = export.out();
        match (self.form, self.format) {
            (DumpAs::Headers, Format::Text) => {
                writeln!(out, "{}", blocks::header_text(&name, header, &route))?;
            }
            (DumpAs::Headers, Format::Json) => {
                let head = blocks::header_json(self.log.category.name(), header, &route, frame.offset);
                writeln!(out, "{}", Value::Object(head))?;
            }
            (DumpAs::Json, _) => {
                let mut head = blocks::header_json(self.log.category.name(), header, &route, frame.offset);
                if let Some((key, value)) = content_json(&block) {
                    head.insert(key.to_owned(), value);
                } else {
                    self.skip(1, header.points.into());
                }
                writeln!(export.out(), "{}", Value::Object(head))?;
            }
            _ => {
                writeln!(out, "# {}", blocks::header_text(&name, header, &route))?;
                let mut text = Vec::new();
                if !content_lines(&block, &mut text) {
                    self.skip(1, header.points.into());
                }
                export.out().write_all(&text)?;
            }
        }
        Ok(())
    }
}

/// The blocks whose points stand in a frame: itself, or those of the package that it parks.
fn inner(block: &Block) -> Option<Vec<Block>> {
    match block.kind {
        Kind::Parked => Some(Parked::read(block)?.frames.into_iter().map(|frame| frame.block).collect()),
        Kind::Points | Kind::Raw => Some(vec![block.clone()]),
    }
}

/// Appends a frame's points as lines; what is no points, as a comment. False: it is not what it says it is.
pub(super) fn content_lines(block: &Block, out: &mut Vec<u8>) -> bool {
    let Some(all) = inner(block) else { return false };
    all.iter().all(|block| {
        let Some(content) = blocks::unpack(block) else { return false };
        match block.kind {
            Kind::Points => {
                let before = out.len();
                let written = lines::line_protocol(&content, out).is_ok();
                if !written {
                    out.truncate(before);
                }
                written
            }
            Kind::Raw | Kind::Parked => {
                out.extend_from_slice(b"# a request as it came, in base64: ");
                out.extend_from_slice(STANDARD.encode(&content).as_bytes());
                out.push(b'\n');
                true
            }
        }
    })
}

/// A frame's points as JSON, or the request that it is.
pub(super) fn content_json(block: &Block) -> Option<(&'static str, Value)> {
    let mut points = Vec::new();
    for block in inner(block)? {
        let content = blocks::unpack(&block)?;
        if block.kind == Kind::Raw {
            let package = RawPackage::read(&content)?;
            let headers: Vec<Value> = package
                .headers()
                .filter(|(name, _)| !is_secret(name))
                .map(|(name, value)| json!([name, String::from_utf8_lossy(value)]))
                .collect();
            let body = STANDARD.encode(content.get(package.body_at..)?);
            return Some((
                "request",
                json!({ "path": package.path, "headers": headers, "body_base64": body }),
            ));
        }
        let mut text = Vec::new();
        pbjson(&content, PbJsonStyle::default(), &mut text).ok()?;
        match serde_json::from_slice(&text) {
            Ok(Value::Array(more)) => points.extend(more),
            // A number that JSON has no word for: the points as they are.
            _ => return Some(("points_base64", Value::String(STANDARD.encode(&content)))),
        }
    }
    Some(("points", Value::Array(points)))
}

/// A header that may hold what is nobody's business.
fn is_secret(name: &str) -> bool {
    ["authorization", "cookie", "x-token", "proxy-authorization"]
        .iter()
        .any(|one| name.eq_ignore_ascii_case(one))
}
