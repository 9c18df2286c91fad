//! The form that goes to the destination: files as they came, byte for byte, and with them `event.json`.

use std::ops::Range;

use crate::codec::multipart::{Form, FormError, Part};

use super::metadata::Metadata;

/// What the destination calls the part that describes the others.
const EVENT: &[u8] = b"event";
const EVENT_FILE: &[u8] = b"event.json";

/// A file in a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub name: String,
    pub file_name: String,
    /// Where in the body.
    pub at: Range<usize>,
}

impl File {
    /// `pprof` or `jfr`, by how its name ends.
    fn format(&self) -> Option<&'static str> {
        let of = |name: &str| {
            let (_, extension) = name.rsplit_once('.')?;
            FORMATS.into_iter().find(|format| extension.eq_ignore_ascii_case(format))
        };
        of(&self.name).or_else(|| of(&self.file_name))
    }
}

const FORMATS: [&str; 2] = ["pprof", "jfr"];

/// A form as a client sent it.
#[derive(Debug)]
pub struct Received<'a> {
    body: &'a [u8],
    /// Plain values and files but the event, in order.
    parts: Vec<Part<'a>>,
    pub event: Option<&'a [u8]>,
}

impl<'a> Received<'a> {
    pub fn read(body: &'a [u8], boundary: &[u8]) -> Result<Received<'a>, FormError> {
        let mut form = Form::open(body, boundary)?;
        let mut received = Received { body, parts: Vec::new(), event: None };
        while let Some(part) = form.next_part()? {
            let is_event =
                |name: Option<Vec<u8>>| name.is_some_and(|name| name == EVENT || name == EVENT_FILE);
            if is_event(part.name()) || is_event(part.file_name()) {
                received.event = received.event.or(Some(part.content));
            } else {
                received.parts.push(part);
            }
        }
        Ok(received)
    }

    /// Plain values: what is no text is none.
    pub fn values(&self) -> impl Iterator<Item = (String, &'a str)> + use<'a, '_> {
        self.parts.iter().filter(|part| part.file_name().is_none()).filter_map(|part| {
            Some((String::from_utf8(part.name()?).ok()?, std::str::from_utf8(part.content).ok()?))
        })
    }

    pub fn files(&self) -> Vec<File> {
        let files = self.parts.iter().filter_map(|part| {
            let file_name = part.file_name()?;
            // Of this body: both are pieces of one memory.
            let start = (part.content.as_ptr() as usize).checked_sub(self.body.as_ptr() as usize)?;
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            Some(File {
                name: text(part.name().unwrap_or_default()),
                file_name: text(file_name),
                at: start..start.checked_add(part.content.len())?,
            })
        });
        files.collect()
    }
}

/// The format of a profile, by its files.
pub fn format_of(files: &[File]) -> &'static str {
    files.iter().find_map(File::format).unwrap_or("unknown")
}

/// Writes a form.
pub struct Writer<'o> {
    boundary: &'o [u8],
    out: &'o mut Vec<u8>,
}

impl<'o> Writer<'o> {
    pub fn new(boundary: &'o [u8], out: &'o mut Vec<u8>) -> Writer<'o> {
        Writer { boundary, out }
    }

    fn delimiter(&mut self) {
        self.out.extend_from_slice(b"--");
        self.out.extend_from_slice(self.boundary);
    }

    /// A part as it came. Where its lines end in LF alone, its head gets the line ends that are due.
    fn part(&mut self, part: &Part<'_>) -> Range<usize> {
        self.delimiter();
        for line in
            part.head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        {
            self.out.extend_from_slice(b"\r\n");
            self.out.extend_from_slice(line);
        }
        self.content(part.content)
    }

    fn content(&mut self, content: &[u8]) -> Range<usize> {
        self.out.extend_from_slice(b"\r\n\r\n");
        let start = self.out.len();
        self.out.extend_from_slice(content);
        let range = start..self.out.len();
        self.out.extend_from_slice(b"\r\n");
        range
    }

    /// A file; where it lies in what is written.
    pub fn file(&mut self, name: &str, file_name: &str, media_type: &str, content: &[u8]) -> Range<usize> {
        self.delimiter();
        let head = format!(
            "\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\nContent-Type: {media_type}",
            escaped(name),
            escaped(file_name)
        );
        self.out.extend_from_slice(head.as_bytes());
        self.content(content)
    }

    pub fn event(&mut self, json: &[u8]) {
        self.file("event", "event.json", "application/json", json);
    }

    pub fn end(mut self) {
        self.delimiter();
        self.out.extend_from_slice(b"--\r\n");
    }
}

/// A name inside of quotes: as Go writes it, and without what would end the line.
fn escaped(name: &str) -> String {
    let kept = name.chars().filter(|letter| !letter.is_control());
    kept.collect::<String>().replace('\\', "\\\\").replace('"', "\\\"")
}

/// Appends the form with another event, and gives its files' places there: values first, then the event, then files.
pub fn rebuild(
    received: &Received<'_>,
    boundary: &[u8],
    metadata: &Metadata,
    out: &mut Vec<u8>,
) -> Vec<File> {
    let mut files = received.files();
    let mut attachments: Vec<String> = vec!["event".to_owned()];
    attachments.extend(files.iter().map(|file| file.name.clone()));
    let event = metadata.event_json(metadata.profiler(), format_of(&files), &attachments);
    let mut writer = Writer::new(boundary, out);
    for part in received.parts.iter().filter(|part| part.file_name().is_none()) {
        writer.part(part);
    }
    writer.event(&event);
    let file_parts = received.parts.iter().filter(|part| part.file_name().is_some());
    for (part, file) in file_parts.zip(&mut files) {
        file.at = writer.part(part);
    }
    writer.end();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"--b\r\nContent-Disposition: form-data; name=\"event\"; filename=\"event.json\"\r\n\
        Content-Type: application/json\r\n\r\n{\"tags_profiler\":\"service:a\"}\r\n--b\r\n\
        Content-Disposition: form-data; name=\"cpu.pprof\"; filename=\"cpu.pprof\"\r\nX-Own: 1\r\n\r\n\x00\r\n--c\xff\r\n--b\r\n\
        Content-Disposition: form-data; name=\"kind\"\r\n\r\nfull\r\n--b--\r\n";

    #[test]
    fn files_pass_through_unchanged_and_the_event_is_replaced() {
        let received = Received::read(BODY, b"b").unwrap();
        assert_eq!(received.event, Some(&b"{\"tags_profiler\":\"service:a\"}"[..]));
        assert_eq!(received.values().collect::<Vec<_>>(), [("kind".to_owned(), "full")]);
        let mut metadata = Metadata::from_event(received.event.unwrap()).unwrap();
        metadata.add("host", "h");
        let mut out = b"before".to_vec();
        let files = rebuild(&received, b"b", &metadata, &mut out);
        assert_eq!(&out[files[0].at.clone()], b"\x00\r\n--c\xff");
        let again = Received::read(&out[6..], b"b").unwrap();
        let mut places = again.files();
        places.iter_mut().for_each(|file| file.at = file.at.start + 6..file.at.end + 6);
        assert_eq!(places, files);
        assert_eq!(again.parts[1].header("x-own"), Some(&b"1"[..]));
        assert_eq!(again.values().collect::<Vec<_>>(), [("kind".to_owned(), "full")]);
        let event: serde_json::Value = serde_json::from_slice(again.event.unwrap()).unwrap();
        assert_eq!(event["tags_profiler"], "service:a,host:h");
        assert_eq!(event["attachments"], serde_json::json!(["event", "cpu.pprof"]));
        assert_eq!(event["format"], "pprof");
    }

    #[test]
    fn names_cannot_break_out_of_their_line() {
        let mut out = Vec::new();
        let mut writer = Writer::new(b"b", &mut out);
        writer.file("a\"\r\nX: 1", "f\\", "application/octet-stream", b"1");
        writer.end();
        let form = Received::read(&out, b"b").unwrap();
        assert_eq!((form.files()[0].name.as_str(), form.files()[0].file_name.as_str()), ("a\"X: 1", "f\\"));
        assert_eq!(form.parts[0].header("x"), None);
    }

    #[test]
    fn formats_are_told_by_names() {
        let file =
            |name: &str, file_name: &str| File { name: name.into(), file_name: file_name.into(), at: 0..0 };
        assert_eq!(format_of(&[file("code-provenance", "x.json"), file("auto", "auto.pprof")]), "pprof");
        assert_eq!(format_of(&[file("main.JFR", "")]), "jfr");
        assert_eq!(format_of(&[file("metrics", "metrics.json")]), "unknown");
    }
}
