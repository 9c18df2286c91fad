//! The old agent's disk queue, as its version 1.84.1 writes it. Read only.
//!
//! ```text
//! <cache>/dw-wal/
//!   metric/ logging/ … dynamic_dw/ dialtesting/ object_change/    a queue for each category, and
//!   fc/                                                           one for what failed once
//!     data                                   being written
//!     data.<32 digits>                       rotated; read in this order, before `data`, and removed when read
//!     .pos                                   8 bytes LE: how far the file is read whose name follows
//!
//! file     record*, then 0xdeadbeef LE
//! record   length u32 LE, CacheData (protobuf): 1 category, 2 payload type, 3 payload, 4 points, 5 raw length,
//!          6 repeated header {1 key, 2 value}, 7 URL of its own, 8 seconds since 1970
//! ```
//!
//! A payload is points as line protocol, protobuf or JSON, and compressed with gzip where it was sent before.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use crate::config::secret::Secret;
use crate::point::Category;

/// How a file ends.
const END: u32 = 0xdead_beef;
/// The longest record that is read: far above what the agent makes, which is a megabyte and its headers.
pub const RECORD_BYTES_MAX: u32 = 128 << 20;

/// Folders whose records say themselves what they are.
const MIXED: [&str; 2] = ["fc", "dynamic_dw"];

/// A folder of the agent's cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    pub name: String,
    pub dir: PathBuf,
}

/// The queues in a folder: below it, or itself.
pub fn queues(from: &Path) -> io::Result<Vec<Queue>> {
    let mut queues = Vec::new();
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let queue = Queue { name: entry.file_name().to_string_lossy().into_owned(), dir: entry.path() };
            if !queue.files()?.is_empty() {
                queues.push(queue);
            }
        }
    }
    let itself = Queue {
        name: from.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        dir: from.to_path_buf(),
    };
    if !itself.files()?.is_empty() {
        queues.push(itself);
    }
    queues.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(queues)
}

impl Queue {
    /// The data files in the order in which the agent reads them.
    pub fn files(&self) -> io::Result<Vec<String>> {
        let mut rotated = Vec::new();
        let mut open = false;
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            if !entry.file_type()?.is_file() {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            match name.strip_prefix("data.") {
                Some(number) => {
                    if let Ok(number) = number.parse::<u64>() {
                        rotated.push((number, name));
                    }
                }
                None => open |= name == "data",
            }
        }
        rotated.sort();
        let files = rotated.into_iter().map(|(_, name)| name);
        Ok(files.chain(open.then(|| "data".to_owned())).collect())
    }

    /// How far the agent has come: a file and an offset in it.
    pub fn position(&self) -> io::Result<Option<(String, u64)>> {
        let bytes = match std::fs::read(self.dir.join(".pos")) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some((offset, name)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
        let name = String::from_utf8_lossy(name);
        let name = Path::new(&*name).file_name().map(|name| name.to_string_lossy().into_owned());
        // Before the first record it says −1.
        let offset = u64::try_from(i64::from_le_bytes(*offset)).ok();
        Ok(name.zip(offset))
    }

    /// The category of its records; none: they say it themselves.
    pub fn category(&self) -> Option<Result<Category, String>> {
        if MIXED.contains(&self.name.as_str()) {
            return None;
        }
        Some(Category::from_name(&self.name).ok_or_else(|| format!("a queue of {:?}", self.name)))
    }
}

/// What comes next in a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A record, and the offset behind it.
    Record(Vec<u8>, u64),
    /// The file ends here, as it should or as far as it has been written.
    End,
    /// From here on nothing can be read.
    Bad(&'static str),
}

/// Reads a data file from an offset on.
pub struct Records {
    file: BufReader<File>,
    offset: u64,
    len: u64,
}

impl Records {
    pub fn open(path: &Path, offset: u64) -> io::Result<Records> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(offset))?;
        Ok(Records { file: BufReader::new(file), offset, len })
    }

    pub fn offset(&self) -> u64 {
        self.offset
    }

    pub fn next_record(&mut self) -> io::Result<Next> {
        let left = self.len.saturating_sub(self.offset);
        if left == 0 {
            return Ok(Next::End);
        }
        if left < 4 {
            return Ok(Next::Bad("a length that was cut off"));
        }
        let mut length = [0; 4];
        self.file.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length == END {
            return Ok(Next::End);
        }
        if length > RECORD_BYTES_MAX {
            return Ok(Next::Bad("a length that no record has"));
        }
        if u64::from(length) > left - 4 {
            return Ok(Next::Bad("a record that was cut off"));
        }
        let mut record = vec![0; length as usize];
        self.file.read_exact(&mut record)?;
        self.offset += 4 + u64::from(length);
        Ok(Next::Record(record, self.offset))
    }
}

/// How a payload's points are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadType {
    LineProtocol,
    Protobuf,
    Json,
}

/// A record's content.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Package<'a> {
    category: u64,
    payload_type: u64,
    pub payload: &'a [u8],
    pub points: u64,
    pub headers: Vec<(String, String)>,
    url: Option<String>,
    pub seconds: u64,
}

impl<'a> Package<'a> {
    /// None: it is not protobuf, or not this message.
    pub fn read(record: &'a [u8]) -> Option<Package<'a>> {
        let mut package = Package::default();
        for field in (Fields { rest: record }) {
            match field? {
                (1, Field::Number(value)) => package.category = value,
                (2, Field::Number(value)) => package.payload_type = value,
                (3, Field::Bytes(value)) => package.payload = value,
                (4, Field::Number(value)) => package.points = value,
                (6, Field::Bytes(value)) => {
                    let (mut key, mut text) = (String::new(), String::new());
                    for field in (Fields { rest: value }) {
                        match field? {
                            (1, Field::Bytes(bytes)) => key = String::from_utf8_lossy(bytes).into_owned(),
                            (2, Field::Bytes(bytes)) => text = String::from_utf8_lossy(bytes).into_owned(),
                            _ => {}
                        }
                    }
                    package.headers.push((key, text));
                }
                (7, Field::Bytes(value)) if !value.is_empty() => {
                    package.url = Some(std::str::from_utf8(value).ok()?.to_owned());
                }
                (8, Field::Number(value)) => package.seconds = value,
                _ => {}
            }
        }
        Some(package)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_str())
    }

    pub fn payload_type(&self) -> Result<PayloadType, String> {
        match self.payload_type {
            0 => Ok(PayloadType::LineProtocol),
            1 => Ok(PayloadType::Protobuf),
            2 | 3 => Ok(PayloadType::Json),
            other => Err(format!("a payload of type {other}")),
        }
    }

    /// The category, by its number, or for data with a URL of its own by the path.
    pub fn category(&self) -> Result<Category, String> {
        match self.category {
            2 | 3 => Ok(Category::Metric),
            4 => Ok(Category::Network),
            5 => Ok(Category::Keyevent),
            6 => Ok(Category::Object),
            8 => Ok(Category::CustomObject),
            9 => Ok(Category::Logging),
            10 => Ok(Category::Tracing),
            11 => Ok(Category::Rum),
            12 => Ok(Category::Security),
            13 => Ok(Category::Profiling),
            1 => {
                let url = self.url.as_deref().ok_or("data with a URL of its own, and no URL")?;
                let path = url.split(['?', '#']).next().unwrap_or_default();
                let name = path.rsplit('/').next().unwrap_or_default();
                Category::from_name(name).ok_or_else(|| "a URL without a known category".to_owned())
            }
            7 => Err("category object_change, which this gateway does not have".to_owned()),
            14 => Err("category dialtesting, which this gateway does not have".to_owned()),
            other => Err(format!("category number {other}")),
        }
    }

    /// The token of the URL of its own.
    pub fn token(&self) -> Option<Secret> {
        let (_, query) = self.url.as_deref()?.split_once('?')?;
        let query = query.split('#').next().unwrap_or_default();
        let token = query.split('&').find_map(|pair| pair.strip_prefix("token="))?;
        let token = percent_decode_str(token).decode_utf8().ok()?;
        (!token.is_empty()).then(|| Secret::new(token))
    }
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a protobuf message; `None` where it is none.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => self.take(8).map(|_| Field::Other)?,
            2 => {
                let len = self.varint()?;
                Field::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Field::Other)?,
            _ => return None,
        };
        Some((tag >> 3, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Field<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::END;

    /// A record's fields.
    pub struct Sample<'a> {
        pub category: u8,
        pub payload_type: u8,
        pub payload: &'a [u8],
        pub headers: &'a [(&'a str, &'a str)],
        pub url: &'a str,
    }

    fn bytes(number: u8, value: &[u8], out: &mut Vec<u8>) {
        out.push(number << 3 | 2);
        let mut len = value.len();
        while len >= 0x80 {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend_from_slice(value);
    }

    impl Sample<'_> {
        /// The record with its length, as it lies in a file.
        pub fn record(&self) -> Vec<u8> {
            let mut out = vec![0x08, self.category, 0x10, self.payload_type];
            bytes(3, self.payload, &mut out);
            out.extend_from_slice(&[0x20, 1, 0x28, 9]);
            for (key, value) in self.headers {
                let mut pair = Vec::new();
                bytes(1, key.as_bytes(), &mut pair);
                bytes(2, value.as_bytes(), &mut pair);
                bytes(6, &pair, &mut out);
            }
            bytes(7, self.url.as_bytes(), &mut out);
            // 1,700,000,000 seconds.
            out.extend_from_slice(&[0x40, 0x80, 0xe2, 0xcf, 0xaa, 0x06]);
            [&(out.len() as u32).to_le_bytes()[..], &out].concat()
        }
    }

    /// A whole file.
    pub fn file(records: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = records.concat();
        bytes.extend_from_slice(&END.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Sample, file};
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Sample<'_> =
        Sample { category: 9, payload_type: 1, payload: b"payload", headers: &[], url: "" };

    #[test]
    fn packages_are_read() {
        let sample = Sample {
            category: 1,
            headers: &[("X-Storage-Index-Name", "idx"), ("X-Points", "1")],
            url: "https://h:9527/v1/write/logging?to=1&token=tkn%5Fabc",
            ..PLAIN
        };
        let record = sample.record();
        let package = Package::read(&record[4..]).unwrap();
        assert_eq!((package.payload, package.points, package.seconds), (&b"payload"[..], 1, 1_700_000_000));
        assert_eq!(package.header("x-storage-index-name"), Some("idx"));
        assert_eq!(
            (package.category(), package.payload_type()),
            (Ok(Category::Logging), Ok(PayloadType::Protobuf))
        );
        assert_eq!(package.token().unwrap().expose(), "tkn_abc");
        assert!(!format!("{:?}", package.token()).contains("abc"));
        let numbers: Vec<_> = (0..16)
            .map(|category| {
                let record = Sample { category, ..PLAIN }.record();
                Package::read(&record[4..]).unwrap().category().map_or("-", Category::name)
            })
            .collect();
        assert_eq!(
            numbers,
            [
                "-",
                "-",
                "metric",
                "metric",
                "network",
                "keyevent",
                "object",
                "-",
                "custom_object",
                "logging",
                "tracing",
                "rum",
                "security",
                "profiling",
                "-",
                "-"
            ]
        );
    }

    #[test]
    fn files_are_read_in_order_and_to_where_they_are_bad() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue { name: "logging".to_owned(), dir: dir.path().to_path_buf() };
        let names = ["data", ".pos", ".lock", "data.00000000000000000000000000000010", "data.9", "data.x"];
        for name in names {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        assert_eq!(queue.files().unwrap(), ["data.9", names[3], "data"]);
        assert_eq!(queue.position().unwrap(), None);
        std::fs::write(dir.path().join(".pos"), [&7_i64.to_le_bytes()[..], b"/old/path/data.9"].concat())
            .unwrap();
        assert_eq!(queue.position().unwrap(), Some(("data.9".to_owned(), 7)));
        std::fs::write(dir.path().join(".pos"), (-1_i64).to_le_bytes()).unwrap();
        assert_eq!(queue.position().unwrap(), None);

        let path = dir.path().join("data");
        let record = PLAIN.record();
        let len = record.len() as u64;
        let outcome = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let mut records = Records::open(&path, 0).unwrap();
            assert_eq!(records.next_record().unwrap(), Next::Record(record[4..].to_vec(), len));
            records.next_record().unwrap()
        };
        assert_eq!(outcome(&file(std::slice::from_ref(&record))), Next::End);
        assert_eq!(outcome(&record), Next::End);
        let cut = [&record[..], &record[..9]].concat();
        assert_eq!(outcome(&cut), Next::Bad("a record that was cut off"));
        assert_eq!(outcome(&[&record[..], &[0xff; 4]].concat()), Next::Bad("a length that no record has"));
        assert_eq!(outcome(&[&record[..], &[1, 0]].concat()), Next::Bad("a length that was cut off"));
    }

    proptest! {
        #[test]
        fn hostile_records_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(package) = Package::read(&bytes) {
                let _ = (package.category(), package.payload_type(), package.token());
            }
        }

        #[test]
        fn damaged_records_never_panic(at in 0_usize..60, with in any::<u8>()) {
            let mut record = PLAIN.record();
            let at = at % record.len();
            record[at] = with;
            let _ = Package::read(&record[4..]);
        }
    }
}
