//! The dead-letter files: frames that a destination refused for ever, kept whole, with the reason.
//!
//!     <data_dir>/dead/<category>/<YYYY-MM-DD>.dead       appended; a new number when it has grown: <day>.<n>.dead
//!
//!     file     record*
//!     record   magic      8 bytes   "KGDEAD01"
//!              note_len   u32 LE    at most 64 KiB
//!              data_len   u32 LE
//!              crc32c     u32 LE    of note and data
//!              note       JSON, one object: package, seq, first_point, category, route, token, kind, codec, points,
//!                         raw_bytes, sealed_ms, died_ms, destination, reason, status, answer, history
//!              data       the frame's payload as it was spooled: points, or (kind "raw") a request as it came;
//!                         of a frame of which only some points are refused, these, compressed again
//!
//! A record is synced before its window is completed. A crash may leave a torn one at the end of a file; its window was
//! not completed, so it comes again. Such a file is left as it is and the next number is begun: nothing is ever cut out
//! of a dead-letter file that was not put there by the very call that failed. Tokens are taken out of answers before they
//! get here; the one of the route, which is needed to send the data again, stands apart from what people read, in base64.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::secret::Secret;
use crate::point::Category;
use crate::sink::archive::Day;
use crate::spool::{Codec, Kind};

/// How a record begins.
pub const MAGIC: &[u8; 8] = b"KGDEAD01";
/// What stands before note and data.
pub const HEADER_BYTES: usize = 20;

/// A note is some hundred bytes, a capped answer and a route.
const NOTE_BYTES_MAX: usize = 64 << 10;

/// A file past this gets a successor: files stay easy to move and to read.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Tries that a letter remembers: enough to see how it went, of a package that may have waited for a day.
const HISTORY_MAX: usize = 16;

/// Files of one day and category at most: 64 GiB of refused data on one day is a destination that refuses everything,
/// and the rest waits in the spool.
const FILES_PER_DAY_MAX: u32 = 1024;

/// One try, as letters remember it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// When it ended, Unix milliseconds.
    pub ms: u64,
    /// None: no whole answer came.
    pub status: Option<u16>,
}

/// The tries at one package, oldest first: the first ones and the last ones of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    tries: Vec<Tried>,
    /// All there were, kept or not.
    pub count: u32,
    /// Those that were answered.
    answers: u32,
}

impl History {
    /// As it was kept.
    pub fn of(tries: &[Tried], count: u32) -> History {
        let tries: Vec<Tried> = tries.iter().take(HISTORY_MAX).copied().collect();
        let answers = tries.iter().filter(|tried| tried.status.is_some()).count() as u32;
        History { tries, count, answers }
    }

    /// Notes one more.
    pub fn add(&mut self, tried: Tried) {
        self.count = self.count.saturating_add(1);
        self.answers = self.answers.saturating_add(u32::from(tried.status.is_some()));
        if self.tries.len() == HISTORY_MAX {
            // How it began stays, and how it went last.
            self.tries.remove(HISTORY_MAX / 2);
        }
        self.tries.push(tried);
    }

    /// How often the destination has answered.
    pub fn answers(&self) -> u32 {
        self.answers
    }

    /// What is kept of them.
    pub fn tries(&self) -> &[Tried] {
        &self.tries
    }

    /// When the first try ended.
    pub fn first_ms(&self) -> Option<u64> {
        self.tries.first().map(|tried| tried.ms)
    }
}

/// What is known about a dead frame, or about the dead points of a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub package: String,
    pub seq: u64,
    /// The place in the frame of the first of these points. Not 0, or fewer `points` than the frame had: the rest of
    /// the frame had a fate of its own.
    #[serde(default)]
    pub first_point: u32,
    pub category: String,
    /// The route, with stars for its token.
    pub route: String,
    /// What the data is; absent in the letters of earlier versions, which are points.
    #[serde(default)]
    pub kind: String,
    /// The token of the route, if it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<KeptToken>,
    pub codec: String,
    pub points: u32,
    pub raw_bytes: u32,
    pub sealed_ms: u64,
    pub died_ms: u64,
    pub destination: String,
    pub reason: String,
    pub status: Option<u16>,
    /// The start of the destination's answer.
    pub answer: String,
    /// The tries at the package that held them last; absent in the letters of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Tried>,
}

/// A token that is written into a note and printed as stars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptToken(pub Secret);

impl Serialize for KeptToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0.expose()))
    }
}

impl<'de> Deserialize<'de> for KeptToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KeptToken, D::Error> {
        let text = String::deserialize(deserializer)?;
        let token = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        token.map(|token| KeptToken(Secret::new(token))).ok_or_else(|| D::Error::custom("a token in base64"))
    }
}

/// A dead frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub note: Note,
    pub data: Bytes,
}

/// The word for a kind in notes.
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Points => "points",
        Kind::Raw => "raw",
        Kind::Parked => "parked",
    }
}

/// The word for a codec in notes: that of `Content-Encoding`.
pub fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::Identity => "identity",
        Codec::Gzip => "gzip",
        Codec::Zstd => "zstd",
    }
}

/// The dead letters of all categories of a shard. Cheap to clone; writes of one file are one after another.
#[derive(Clone)]
pub struct DeadLetters {
    dir: PathBuf,
    /// For each category the file and the length that its whole records are known to have, so that a file is read
    /// through once a run and not at every append.
    known: Arc<Mutex<HashMap<Category, (PathBuf, u64)>>>,
}

impl DeadLetters {
    pub fn new(dir: PathBuf) -> DeadLetters {
        DeadLetters { dir, known: Arc::default() }
    }

    /// Appends `letters` and syncs them. Blocks.
    pub fn append(&self, category: Category, letters: &[DeadLetter], now_ms: u64) -> io::Result<()> {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut bytes = Vec::new();
        for letter in letters {
            encode(letter, &mut bytes)?;
        }
        let folder = self.dir.join(category.name());
        std::fs::create_dir_all(&folder)?;
        let (path, mut file, end) = open_with_room(&folder, &Day::of_ms(now_ms), known.get(&category))?;
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        if written.is_err() {
            known.remove(&category);
            // Whatever came of it: the file ends where its records end. If this fails too, the file is left behind.
            let _ = file.set_len(end);
        }
        written?;
        known.insert(category, (path, end + bytes.len() as u64));
        sync_dir(&folder)?;
        sync_dir(&self.dir)
    }
}

/// The day's first file that has room and ends with a whole record, positioned at its end.
fn open_with_room(
    folder: &Path,
    day: &Day,
    known: Option<&(PathBuf, u64)>,
) -> io::Result<(PathBuf, File, u64)> {
    for number in 0..FILES_PER_DAY_MAX {
        let path = folder.join(match number {
            0 => format!("{}.dead", day.as_str()),
            _ => format!("{}.{number}.dead", day.as_str()),
        });
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let len = file.metadata()?.len();
        let is_known = known.is_some_and(|known| *known == (path.clone(), len));
        if len >= FILE_BYTES_MAX || (!is_known && whole_records_end(&mut file, len)? != len) {
            continue;
        }
        file.seek(SeekFrom::Start(len))?;
        return Ok((path, file, len));
    }
    Err(io::Error::new(io::ErrorKind::QuotaExceeded, "too many dead-letter files for one day"))
}

/// Where the whole records end: goes from header to header.
fn whole_records_end(file: &mut File, len: u64) -> io::Result<u64> {
    let mut at = 0;
    let mut header = [0; HEADER_BYTES];
    while at + HEADER_BYTES as u64 <= len {
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut header)?;
        let Some(header) = Header::read(&header) else { break };
        let next = at + header.record_bytes();
        // The last record may have its length but not its bytes: its checksum decides.
        if next > len || (next == len && !checksum_holds(file, &header)?) {
            break;
        }
        at = next;
    }
    Ok(at)
}

fn checksum_holds(file: &mut File, header: &Header) -> io::Result<bool> {
    let mut rest = vec![0; header.note_bytes + header.data_bytes];
    file.read_exact(&mut rest)?;
    Ok(crc32c::crc32c(&rest) == header.crc)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

struct Header {
    note_bytes: usize,
    data_bytes: usize,
    crc: u32,
}

impl Header {
    fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Header> {
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let (note, data, crc) = (word(8)?, word(12)?, word(16)?);
        let header = Header { note_bytes: note as usize, data_bytes: data as usize, crc };
        (bytes.starts_with(MAGIC) && header.note_bytes <= NOTE_BYTES_MAX).then_some(header)
    }

    fn record_bytes(&self) -> u64 {
        (HEADER_BYTES + self.note_bytes + self.data_bytes) as u64
    }
}

fn encode(letter: &DeadLetter, out: &mut Vec<u8>) -> io::Result<()> {
    let note = serde_json::to_vec(&letter.note)?;
    let data_bytes = u32::try_from(letter.data.len()).map_err(io::Error::other)?;
    if note.len() > NOTE_BYTES_MAX {
        return Err(io::Error::other("the note of a dead letter is too long"));
    }
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(note.len() as u32).to_le_bytes());
    out.extend_from_slice(&data_bytes.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c_append(crc32c::crc32c(&note), &letter.data).to_le_bytes());
    out.extend_from_slice(&note);
    out.extend_from_slice(&letter.data);
    Ok(())
}

/// How long the record is that begins like this, all told, and its checksum; none: no record does.
pub fn record_of(header: &[u8; HEADER_BYTES]) -> Option<(u64, u32)> {
    Header::read(header).map(|header| (header.record_bytes(), header.crc))
}

/// Reads the first record of `input` and says how long it is; none when it is torn or damaged.
pub fn decode(input: &[u8]) -> Option<(DeadLetter, usize)> {
    let header = Header::read(input.first_chunk()?)?;
    let rest = input.get(HEADER_BYTES..HEADER_BYTES + header.note_bytes + header.data_bytes)?;
    if crc32c::crc32c(rest) != header.crc {
        return None;
    }
    let (note, data) = rest.split_at(header.note_bytes);
    let note = serde_json::from_slice(note).ok()?;
    Some((DeadLetter { note, data: Bytes::copy_from_slice(data) }, HEADER_BYTES + rest.len()))
}

/// Every whole record at the start of `input`.
pub fn decode_all(mut input: &[u8]) -> Vec<DeadLetter> {
    let mut letters = Vec::new();
    while let Some((letter, len)) = decode(input) {
        letters.push(letter);
        input = &input[len..];
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(seq: u64, data: &'static [u8]) -> DeadLetter {
        let note = Note {
            package: "dk_0a1b2c3d4e5f6g7h8i9j".to_owned(),
            seq,
            first_point: 5,
            category: "logging".to_owned(),
            route: "storage_index=a".to_owned(),
            kind: "points".to_owned(),
            token: None,
            codec: "gzip".to_owned(),
            points: 3,
            raw_bytes: 100,
            sealed_ms: 1,
            died_ms: 2,
            destination: "http://h".to_owned(),
            reason: "invalid".to_owned(),
            status: Some(400),
            answer: "no \"good\"\n日志".to_owned(),
            history: vec![Tried { ms: 1, status: None }, Tried { ms: 2, status: Some(400) }],
        };
        DeadLetter { note, data: Bytes::from_static(data) }
    }

    #[test]
    fn letters_are_read_back_and_damaged_ones_are_not() {
        let mut bytes = Vec::new();
        encode(&letter(7, b"payload"), &mut bytes).unwrap();
        assert_eq!(decode(&bytes), Some((letter(7, b"payload"), bytes.len())));
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), None);
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(decode(&damaged), None, "byte {at}");
        }
    }

    #[test]
    fn a_letter_of_an_earlier_version_is_read() {
        let mut old = letter(7, b"payload");
        (old.note.first_point, old.note.history) = (0, Vec::new());
        let text = serde_json::to_string(&old.note).unwrap().replace("\"first_point\":0,", "");
        assert!(!text.contains("first_point") && !text.contains("history"));
        assert_eq!(serde_json::from_str::<Note>(&text).unwrap(), old.note);
    }

    #[test]
    fn a_long_history_keeps_its_beginning_and_its_end() {
        let mut history = History::default();
        for ms in 0..100 {
            history.add(Tried { ms, status: None });
        }
        let kept: Vec<u64> = history.tries().iter().map(|tried| tried.ms).collect();
        assert_eq!(kept, [0, 1, 2, 3, 4, 5, 6, 7, 92, 93, 94, 95, 96, 97, 98, 99]);
        assert_eq!((history.count, history.first_ms()), (100, Some(0)));
    }

    #[test]
    fn a_token_is_kept_and_not_shown() {
        let mut letter = letter(7, b"payload");
        letter.note.token = Some(KeptToken(Secret::new("tkn_0123456789abcdef0123456789abcdef")));
        let mut bytes = Vec::new();
        encode(&letter, &mut bytes).unwrap();
        assert!(
            !bytes.windows(8).any(|window| window == b"01234567") && !format!("{letter:?}").contains("0123")
        );
        assert_eq!(decode(&bytes).unwrap().0, letter);
    }

    #[test]
    fn letters_are_appended_and_a_file_with_a_torn_end_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("dead/logging");
        let append = |letters: &[DeadLetter]| {
            DeadLetters::new(dir.path().join("dead")).append(Category::Logging, letters, 0).unwrap();
        };
        append(&[letter(1, b"one")]);
        append(&[letter(2, b"two")]);
        let whole = std::fs::read(folder.join("1970-01-01.dead")).unwrap();
        assert_eq!(decode_all(&whole), [letter(1, b"one"), letter(2, b"two")]);

        let (_, first) = decode(&whole).unwrap();
        let mut zeros = whole.clone();
        zeros[first + HEADER_BYTES..].fill(0);
        let torn: [&[u8]; 4] =
            [&whole[..first + 1], &whole[..first + HEADER_BYTES], &whole[..whole.len() - 1], &zeros];
        for (round, torn) in torn.into_iter().enumerate() {
            let newest = |number: usize| match number {
                0 => folder.join("1970-01-01.dead"),
                _ => folder.join(format!("1970-01-01.{number}.dead")),
            };
            std::fs::write(newest(round), torn).unwrap();
            append(&[letter(3, b"three")]);
            append(&[letter(4, b"four")]);
            assert_eq!(std::fs::read(newest(round)).unwrap(), torn, "left as it was");
            let next = std::fs::read(newest(round + 1)).unwrap();
            assert_eq!(decode_all(&next), [letter(3, b"three"), letter(4, b"four")]);
        }
    }

    #[test]
    fn a_grown_file_gets_a_successor() {
        let dir = tempfile::tempdir().unwrap();
        let dead = DeadLetters::new(dir.path().to_owned());
        dead.append(Category::Rum, &[letter(1, b"one")], 0).unwrap();
        let first = dir.path().join("rum/1970-01-01.dead");
        OpenOptions::new().write(true).open(&first).unwrap().set_len(FILE_BYTES_MAX).unwrap();
        dead.append(Category::Rum, &[letter(2, b"two")], 0).unwrap();
        let second = std::fs::read(dir.path().join("rum/1970-01-01.1.dead")).unwrap();
        assert_eq!(decode_all(&second), [letter(2, b"two")]);
    }
}
