//! `kitgate dlq ls` and `show`: the dead-letter files, and the marks on letters that are done with.
//!
//! A dead-letter file is never rewritten: a gateway may be adding to it. What becomes of its letters stands in a file
//! beside it, `<file>.marks`: one line a letter,
//!
//!     <offset> <CRC32C, 8 hex digits> redriven|purged <Unix ms>
//!
//! appended and synced after what it says is true. The checksum is the letter's own: a mark never hits another one. A line
//! without its end is of a tool that was killed, and counts for nothing.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::arguments::{Format, Which};
use super::{Failure, Said, Tools, at, blocks, dump, folders, shown, sync_dir};
use crate::point::{Category, Route};
use crate::spool::{Block, Codec, Kind};
use crate::upload::dead::{self, DeadLetter, codec_name, kind_name};

/// The suffix of a dead-letter file, and of the marks beside it.
const SUFFIX: &str = ".dead";
const MARKS_SUFFIX: &str = ".marks";

/// What one read of a search asks for.
const SEARCH_BYTES: usize = 1 << 20;

/// What has become of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Redriven,
    Purged,
}

impl Mark {
    fn name(self) -> &'static str {
        match self {
            Mark::Redriven => "redriven",
            Mark::Purged => "purged",
        }
    }
}

/// Where a letter lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LetterAt {
    pub offset: u64,
    pub crc: u32,
}

/// A letter as it was found.
pub struct Found {
    pub at: LetterAt,
    pub letter: DeadLetter,
    pub mark: Option<Mark>,
}

/// A file of dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterFile {
    pub category: Category,
    pub path: PathBuf,
}

/// What a file holds beside whole letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Spots that are no letters, with letters behind them.
    pub damaged: u64,
    /// Bytes at the end that are no whole letter: one that was cut off, or is being written.
    pub torn_bytes: u64,
}

/// The files of one category or of all, oldest first.
pub fn files(tools: &Tools<'_>, category: Option<Category>) -> Result<Vec<LetterFile>, Failure> {
    let dead = tools.settings.data_dir.join(crate::upload::DEAD_DIR);
    let mut found = Vec::new();
    for name in folders(&dead)? {
        let Some(here) =
            Category::from_name(&name).filter(|one| category.is_none_or(|wanted| wanted == *one))
        else {
            continue;
        };
        let folder = dead.join(&name);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(at(&folder))? {
            let name = entry.map_err(at(&folder))?.file_name().to_string_lossy().into_owned();
            let Some(stem) = name.strip_suffix(SUFFIX) else { continue };
            let (day, number) = stem.split_once('.').unwrap_or((stem, "0"));
            let number: u32 = number.parse().unwrap_or(u32::MAX);
            files.push(((day.to_owned(), number), folder.join(&name)));
        }
        files.sort();
        found.extend(files.into_iter().map(|(_, path)| LetterFile { category: here, path }));
    }
    found.sort_by_key(|file| file.category);
    Ok(found)
}

impl LetterFile {
    fn marks_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(MARKS_SUFFIX);
        PathBuf::from(name)
    }

    /// The day that it is of, as its name says.
    pub fn day(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.split('.').next().unwrap_or_default().to_owned()
    }

    fn marks(&self) -> Result<HashMap<(u64, u32), Mark>, Failure> {
        let path = self.marks_path();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
            Err(error) => return Err(at(&path)(error)),
        };
        let mut marks = HashMap::new();
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let mut words = line.split(' ');
            let offset = words.next().and_then(|word| word.parse().ok());
            let crc = words.next().and_then(|word| u32::from_str_radix(word, 16).ok());
            let mark = words
                .next()
                .and_then(|word| [Mark::Redriven, Mark::Purged].into_iter().find(|mark| mark.name() == word));
            if let (Some(offset), Some(crc), Some(mark)) = (offset, crc, mark) {
                marks.insert((offset, crc), mark);
            }
        }
        Ok(marks)
    }

    /// Marks letters, durably.
    pub fn mark(&self, letters: &[LetterAt], mark: Mark, now_ms: u64) -> Result<(), Failure> {
        let path = self.marks_path();
        let mut lines = String::new();
        for LetterAt { offset, crc } in letters {
            let _ = writeln!(lines, "{offset} {crc:08x} {} {now_ms}", mark.name());
        }
        let written = || -> io::Result<()> {
            let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
            let len = file.metadata()?.len();
            let mut last = [b'\n'];
            if len > 0 {
                file.seek(SeekFrom::Start(len - 1))?;
                file.read_exact(&mut last)?;
            }
            if last != [b'\n'] {
                // A tool was killed here: its line is closed, so that this one stands alone.
                file.write_all(b"\n")?;
            }
            file.write_all(lines.as_bytes())?;
            file.sync_data()?;
            path.parent().map_or(Ok(()), sync_dir)
        };
        written().map_err(at(&path))
    }

    /// Gives every whole letter, one at a time in memory; and says what else there is.
    pub fn each(&self, mut take: impl FnMut(Found) -> Result<(), Failure>) -> Result<Rest, Failure> {
        let marks = self.marks()?;
        let failed = at(&self.path);
        let mut file = File::open(&self.path).map_err(&failed)?;
        let len = file.metadata().map_err(&failed)?.len();
        let (mut rest, mut at_byte, mut damaged_from) = (Rest::default(), 0, None);
        while at_byte < len {
            let Some((record, crc)) = read_record(&mut file, at_byte, len).map_err(&failed)? else {
                damaged_from.get_or_insert(at_byte);
                match next_magic(&mut file, at_byte + 1, len).map_err(&failed)? {
                    Some(next) => at_byte = next,
                    None => break,
                }
                continue;
            };
            rest.damaged += u64::from(damaged_from.take().is_some());
            let (letter, bytes) = record;
            let found = LetterAt { offset: at_byte, crc };
            let mark = marks.get(&(at_byte, crc)).copied();
            take(Found { at: found, letter, mark })?;
            at_byte += bytes as u64;
        }
        rest.torn_bytes = damaged_from.map_or(0, |from| len - from);
        Ok(rest)
    }

    /// Removes the file and its marks. Nobody may be adding to it.
    pub fn remove(&self) -> Result<(), Failure> {
        std::fs::remove_file(&self.path).map_err(at(&self.path))?;
        let marks = self.marks_path();
        match std::fs::remove_file(&marks) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&marks)(error)),
            _ => {}
        }
        self.path.parent().map_or(Ok(()), sync_dir).map_err(at(&self.path))
    }
}

/// The record at `offset` with its length, and its checksum; none if there is no whole one.
fn read_record(file: &mut File, offset: u64, len: u64) -> io::Result<Option<((DeadLetter, usize), u32)>> {
    let mut header = [0; dead::HEADER_BYTES];
    if len - offset < header.len() as u64 {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut header)?;
    let Some((bytes, crc)) = dead::record_of(&header) else { return Ok(None) };
    if bytes > len - offset || bytes > blocks::FRAME_BYTES_MAX {
        return Ok(None);
    }
    let mut record = vec![0; usize::try_from(bytes).unwrap_or(0)];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut record)?;
    Ok(dead::decode(&record).map(|letter| (letter, crc)))
}

/// The next thing that looks like a record.
fn next_magic(file: &mut File, from: u64, len: u64) -> io::Result<Option<u64>> {
    let mut start = from;
    let mut piece = vec![0; SEARCH_BYTES];
    while start < len {
        file.seek(SeekFrom::Start(start))?;
        let mut got = 0;
        while got < piece.len() {
            match file.read(piece.get_mut(got..).unwrap_or_default())? {
                0 => break,
                count => got += count,
            }
        }
        let bytes = piece.get(..got).unwrap_or_default();
        if let Some(found) = memchr::memmem::find(bytes, dead::MAGIC) {
            return Ok(Some(start + found as u64));
        }
        if got < piece.len() {
            return Ok(None);
        }
        // A magic may lie across the boundary.
        start += (got - (dead::MAGIC.len() - 1)) as u64;
    }
    Ok(None)
}

impl Which {
    /// Whether a letter is meant.
    pub fn takes(&self, letter: &DeadLetter) -> bool {
        let note = &letter.note;
        self.package.as_ref().is_none_or(|package| *package == note.package)
            && self.seq.is_none_or(|seq| seq == note.seq)
            && self.reason.as_ref().is_none_or(|reason| *reason == note.reason)
    }
}

/// The block that a letter's data was; the error says why it cannot be made again.
pub fn block_of(letter: &DeadLetter, category: Category, now_ms: u64) -> Result<Block, &'static str> {
    let note = &letter.note;
    let mut route = Route::decode(note.route.as_bytes()).map_err(|_| "its route cannot be read")?;
    match (&note.token, route.token.is_some()) {
        (Some(token), _) => route.token = Some(token.0.clone()),
        // It must not go out under another token than its own.
        (None, true) => return Err("its token was not kept"),
        (None, false) => {}
    }
    let codec =
        [Codec::Identity, Codec::Gzip, Codec::Zstd].into_iter().find(|one| codec_name(*one) == note.codec);
    let kind = match note.kind.as_str() {
        "" => Some(Kind::Points),
        name => [Kind::Points, Kind::Raw].into_iter().find(|one| kind_name(*one) == name),
    };
    Ok(Block {
        category: category as u8,
        codec: codec.ok_or("its codec is not known")?,
        kind: kind.ok_or("its kind is not known")?,
        points: note.points,
        raw_bytes: note.raw_bytes,
        sealed_ms: now_ms,
        route: route.encode().into(),
        payload_crc: crc32c::crc32c(&letter.data),
        payload: letter.data.clone(),
    })
}

#[derive(Default)]
struct Group {
    letters: u64,
    points: u64,
}

#[derive(Default)]
struct Summary {
    files: u64,
    bytes: u64,
    waiting: Group,
    redriven: Group,
    purged: Group,
    oldest_ms: Option<u64>,
    newest_ms: Option<u64>,
    reasons: BTreeMap<String, Group>,
    rest: Rest,
}

impl Group {
    fn add(&mut self, points: u32) {
        self.letters += 1;
        self.points += u64::from(points);
    }

    fn json(&self) -> Value {
        json!({ "letters": self.letters, "points": self.points })
    }
}

/// `kitgate dlq ls`.
pub(super) fn ls(tools: &Tools<'_>) -> Result<Said, Failure> {
    let mut all: BTreeMap<Category, Summary> = BTreeMap::new();
    for file in files(tools, None)? {
        let sums = all.entry(file.category).or_default();
        sums.files += 1;
        sums.bytes += std::fs::metadata(&file.path).map_or(0, |about| about.len());
        let rest = file.each(|found| {
            let note = &found.letter.note;
            match found.mark {
                Some(Mark::Redriven) => sums.redriven.add(note.points),
                Some(Mark::Purged) => sums.purged.add(note.points),
                None => {
                    sums.waiting.add(note.points);
                    sums.reasons.entry(note.reason.clone()).or_default().add(note.points);
                    sums.oldest_ms = Some(sums.oldest_ms.map_or(note.died_ms, |ms| ms.min(note.died_ms)));
                    sums.newest_ms = Some(sums.newest_ms.map_or(note.died_ms, |ms| ms.max(note.died_ms)));
                }
            }
            Ok(())
        })?;
        sums.rest.damaged += rest.damaged;
        sums.rest.torn_bytes += rest.torn_bytes;
    }
    let head =
        ["category", "letters", "points", "oldest", "newest", "redriven", "purged", "on disk", "reasons"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let (mut json_rows, mut damaged) = (Vec::new(), 0);
    for (category, sums) in &all {
        let age = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), |ms| shown::age(ms, tools.now_ms));
        let reasons: Vec<String> =
            sums.reasons.iter().map(|(reason, group)| format!("{reason} {}", group.letters)).collect();
        rows.push(vec![
            category.name().to_owned(),
            shown::number(sums.waiting.letters),
            shown::number(sums.waiting.points),
            age(sums.oldest_ms),
            age(sums.newest_ms),
            shown::number(sums.redriven.letters),
            shown::number(sums.purged.letters),
            shown::bytes(sums.bytes),
            reasons.join(", "),
        ]);
        damaged += sums.rest.damaged;
        let reasons: serde_json::Map<String, Value> =
            sums.reasons.iter().map(|(reason, group)| (reason.clone(), group.json())).collect();
        json_rows.push(json!({
            "category": category.name(), "files": sums.files, "bytes": sums.bytes,
            "letters": sums.waiting.letters, "points": sums.waiting.points, "oldest_ms": sums.oldest_ms,
            "newest_ms": sums.newest_ms, "redriven": sums.redriven.json(), "purged": sums.purged.json(),
            "reasons": reasons, "damaged_spots": sums.rest.damaged, "torn_bytes": sums.rest.torn_bytes,
        }));
    }
    let mut text = if all.is_empty() { "no dead letters\n".to_owned() } else { shown::table(&rows) };
    if damaged > 0 {
        let _ = writeln!(text, "{} in these files cannot be read", shown::count(damaged, "spot"));
    }
    Ok(Said { text, json: json!({ "categories": json_rows }), good: damaged == 0 })
}

/// A letter for machines, with stars for its token.
fn letter_json(found: &Found, points: bool) -> Value {
    let mut note = found.letter.note.clone();
    let had_token = note.token.take().is_some();
    let mut value = serde_json::to_value(&note).unwrap_or(Value::Null);
    if let Value::Object(map) = &mut value {
        if had_token {
            map.insert("token".to_owned(), crate::config::secret::TOKEN_SHOWN.into());
        }
        map.insert("state".to_owned(), found.mark.map_or("waiting", Mark::name).into());
        map.insert("data_bytes".to_owned(), found.letter.data.len().into());
        if points {
            let category = Category::from_name(&note.category).unwrap_or(Category::Metric);
            let content = block_of(&found.letter, category, 0).ok();
            match content.as_ref().and_then(dump::content_json) {
                Some((key, value)) => map.insert(key.to_owned(), value),
                None => map.insert("data_base64".to_owned(), STANDARD.encode(&found.letter.data).into()),
            };
        }
    }
    value
}

fn letter_text(found: &Found, points: bool) -> Vec<u8> {
    let note = &found.letter.note;
    let mut out = String::new();
    let status = note.status.map_or_else(String::new, |status| format!(" with {status}"));
    let state = found.mark.map_or_else(String::new, |mark| format!(" [{}]", mark.name()));
    let part =
        if note.first_point == 0 { String::new() } else { format!(" from point {} on", note.first_point) };
    let _ = writeln!(
        out,
        "{}: package {}, frame {}{part}, {}: {}{status} at {}{state}",
        note.category,
        note.package,
        note.seq,
        shown::count(note.points.into(), "point"),
        note.reason,
        shown::time(note.died_ms),
    );
    let _ = writeln!(out, "  destination  {}", note.destination);
    if !note.route.is_empty() {
        let _ = writeln!(out, "  route        {}", note.route);
    }
    let sealed = shown::time(note.sealed_ms);
    let _ = writeln!(
        out,
        "  data         {} in {}, sealed {sealed}",
        shown::bytes(found.letter.data.len() as u64),
        note.codec
    );
    if !note.answer.is_empty() {
        // Whatever a destination says, it stays on its line.
        let _ = writeln!(out, "  answer       {:?}", note.answer);
    }
    for tried in &note.history {
        let answer = tried.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let _ = writeln!(out, "  tried        {}: {answer}", shown::time(tried.ms));
    }
    let mut out = out.into_bytes();
    if points {
        let category = Category::from_name(&note.category).unwrap_or(Category::Metric);
        let written =
            block_of(&found.letter, category, 0).is_ok_and(|block| dump::content_lines(&block, &mut out));
        if !written {
            out.extend_from_slice(b"  its data cannot be read as points\n");
        }
    }
    out
}

/// `kitgate dlq show`.
pub(super) fn show(tools: &mut Tools<'_>, which: &Which, points: bool) -> Result<u8, Failure> {
    for file in files(tools, which.category.map(|named| named.0))? {
        let (format, out) = (tools.format, &mut *tools.out);
        file.each(|found| {
            if !which.takes(&found.letter) || (found.mark.is_some() && !which.all) {
                return Ok(());
            }
            match format {
                Format::Text => out.write_all(&letter_text(&found, points))?,
                Format::Json => writeln!(out, "{}", letter_json(&found, points))?,
            }
            Ok(())
        })?;
    }
    tools.out.flush()?;
    Ok(0)
}

/// A file whose every letter is marked and that nobody adds to any more.
pub fn is_done_with(file: &LetterFile, rest_too: bool) -> Result<bool, Failure> {
    let mut waiting = 0;
    let rest = file.each(|found| {
        waiting += u64::from(found.mark.is_none());
        Ok(())
    })?;
    Ok(waiting == 0 && (rest_too || rest == Rest::default()))
}

/// Whether a gateway may still add to files of this day. Its clock and ours may be a day apart, at most.
pub fn is_past(day: &str, now_ms: u64) -> bool {
    const DAY_MS: u64 = 86_400_000;
    let yesterday = crate::sink::archive::Day::of_ms(now_ms.saturating_sub(DAY_MS));
    day < yesterday.as_str()
}
