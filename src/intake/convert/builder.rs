//! One point at a time into a tape, from texts that lie in the body or anywhere else.
//!
//! A text in the body stays there; any other is copied into the tape's arena. Of a key that comes twice the first stays:
//! what a protocol says of itself is added before what its client says.

use crate::codec::line_protocol::{Kind, Kv, PointSpan, Tape, span};
use crate::point::check::{FIELDS_MAX, TAGS_MAX};

/// A point in the making.
pub struct Builder<'t> {
    tape: &'t mut Tape,
    body: &'t [u8],
    /// Where the point's tags begin.
    first: usize,
    /// Fields wait here: a point's tags come first.
    fields: Vec<Kv>,
}

impl<'t> Builder<'t> {
    /// Begins a point. Texts are looked for in `body`, which is what is given to the encoder with the tape.
    pub fn new(tape: &'t mut Tape, body: &'t [u8]) -> Builder<'t> {
        let first = tape.kvs.len();
        Builder { tape, body, first, fields: Vec::with_capacity(16) }
    }

    /// Whether the point has a key.
    pub fn has(&self, key: &[u8]) -> bool {
        let tags = self.tape.kvs.get(self.first..).unwrap_or_default();
        tags.iter().chain(&self.fields).any(|kv| self.tape.key(self.body, kv) == key)
    }

    /// The value of a tag that was added.
    pub fn tag_value(&self, key: &[u8]) -> Option<&[u8]> {
        let tags = self.tape.kvs.get(self.first..).unwrap_or_default();
        let tag = tags.iter().find(|kv| self.tape.key(self.body, kv) == key)?;
        Some(self.tape.text(self.body, tag))
    }

    /// Adds a tag, unless its key is there.
    pub fn tag(&mut self, key: &[u8], value: &[u8]) {
        // One beyond the most, so that the check sees that there were too many; no more, so that a look for a key that
        // is there stays short whatever a client sends.
        let full = self.tape.kvs.len() - self.first > TAGS_MAX;
        if full || key.is_empty() || self.has(key) {
            return;
        }
        let (value, flags) = self.text(value);
        let kv = self.kv(key, Kind::Tag, flags, value);
        self.tape.kvs.push(kv);
    }

    /// Adds a text field, unless its key is there.
    pub fn text_field(&mut self, key: &[u8], value: &[u8]) {
        if self.takes(key) {
            let (value, flags) = self.text(value);
            self.push_field(key, Kind::Str, flags, value);
        }
    }

    /// Adds a text field that `write` appends to the arena, unless its key is there.
    pub fn written_field(&mut self, key: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        if self.takes(key) {
            let start = self.tape.arena.len();
            write(&mut self.tape.arena);
            let value = span(start, self.tape.arena.len() - start);
            self.push_field(key, Kind::Str, Kv::VALUE_IN_ARENA, value);
        }
    }

    pub fn int_field(&mut self, key: &[u8], value: i64) {
        if self.takes(key) {
            self.push_field(key, Kind::Int, 0, value as u64);
        }
    }

    pub fn bool_field(&mut self, key: &[u8], value: bool) {
        if self.takes(key) {
            self.push_field(key, Kind::Bool, 0, u64::from(value));
        }
    }

    /// What is not a number makes no field: no store has a place for it.
    pub fn float_field(&mut self, key: &[u8], value: f64) {
        if !value.is_nan() && self.takes(key) {
            self.push_field(key, Kind::Float, 0, value.to_bits());
        }
    }

    /// Ends the point, whose time is in the precision that the tape is encoded with; 0 is none. A point without fields is
    /// none, and leaves nothing behind.
    pub fn finish(mut self, name: &[u8], time: i64) {
        if self.fields.is_empty() {
            self.tape.kvs.truncate(self.first);
            return;
        }
        let (tags, fields) = (self.tape.kvs.len() - self.first, self.fields.len());
        self.tape.kvs.append(&mut self.fields);
        let (name_span, flags) = self.text(name);
        self.tape.points.push(PointSpan {
            name: (name_span >> 32) as u32,
            name_len: name_span as u32,
            kv: self.first as u32,
            tags: tags as u32,
            fields: fields as u32,
            name_in_arena: flags & Kv::VALUE_IN_ARENA != 0,
            time: Some(time),
        });
    }

    fn takes(&self, key: &[u8]) -> bool {
        self.fields.len() <= FIELDS_MAX && !key.is_empty() && !self.has(key)
    }

    fn push_field(&mut self, key: &[u8], kind: Kind, flags: u8, value: u64) {
        let kv = self.kv(key, kind, flags, value);
        self.fields.push(kv);
    }

    fn kv(&mut self, key: &[u8], kind: Kind, flags: u8, value: u64) -> Kv {
        // One that the tape has no room for is cut; longer than 64 KiB it is no name any more.
        let key = key.get(..usize::from(u16::MAX)).unwrap_or(key);
        let (key_span, key_flags) = self.text(key);
        let key_in_arena = if key_flags & Kv::VALUE_IN_ARENA != 0 { Kv::KEY_IN_ARENA } else { 0 };
        let (key, key_len) = ((key_span >> 32) as u32, key_span as u16);
        Kv { key, key_len, kind, flags: flags | key_in_arena, value }
    }

    /// Where a text is: in the body, or, from now on, in the arena.
    fn text(&mut self, text: &[u8]) -> (u64, u8) {
        let inside = (text.as_ptr() as usize).checked_sub(self.body.as_ptr() as usize);
        if let Some(at) = inside.filter(|at| at + text.len() <= self.body.len()) {
            return (span(at, text.len()), 0);
        }
        let at = self.tape.arena.len();
        self.tape.arena.extend_from_slice(text);
        (span(at, text.len()), Kv::VALUE_IN_ARENA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::Padded;
    use crate::point::encode::{Encoder, Rules};
    use crate::point::{Batch, Category, Compat, Precision, echo, rules};

    fn lines(tape: &mut Tape, body: Padded<'_>) -> String {
        tape.seal();
        let (mut encoder, mut batch) = (Encoder::default(), Batch::default());
        let rules = Rules {
            category: rules(Category::Logging, Compat::Datakit184),
            precision: Precision::Nanos,
            now_ns: 7,
            added_tags: None,
            time_correction: false,
            hook: None,
        };
        encoder.encode(body, tape, &rules, &mut batch);
        let mut out = Vec::new();
        echo::line_protocol(&batch.bytes, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_of_the_body_stay_there_and_the_first_of_a_key_wins() {
        let mut body = b"name key value".to_vec();
        let body = Padded::pad(&mut body);
        let mut tape = Tape::default();
        let mut point = Builder::new(&mut tape, &body);
        point.tag(&body[5..8], &body[9..14]);
        point.tag(b"key", b"other");
        point.int_field(b"key", 1);
        point.tag(b"", b"no key");
        point.text_field(b"status", b"ok");
        point.float_field(b"f", f64::NAN);
        point.float_field(b"g", 1.5);
        point.bool_field(b"b", true);
        point.written_field(b"m", |out| out.extend_from_slice(b"made"));
        assert_eq!(point.tag_value(b"key"), Some(&b"value"[..]));
        point.finish(&body[..4], 0);
        let empty = Builder::new(&mut tape, &body);
        empty.finish(b"nothing", 1);
        assert_eq!(tape.arena.len(), "statusokgbmmade".len());
        assert_eq!(tape.points.len(), 1);
        assert_eq!(lines(&mut tape, body), "name,key=value b=true,g=1.5,m=\"made\",status=\"ok\" 7");
    }

    #[test]
    fn more_keys_than_a_point_takes_cost_no_more_than_those() {
        let mut body = Vec::new();
        let body = Padded::pad(&mut body);
        let mut tape = Tape::default();
        let mut point = Builder::new(&mut tape, &body);
        for index in 0..100_000 {
            point.tag(format!("t{index}").as_bytes(), b"v");
            point.int_field(format!("f{index}").as_bytes(), 1);
        }
        point.finish(b"m", 5);
        assert_eq!(
            (tape.points[0].tags, tape.points[0].fields),
            (TAGS_MAX as u32 + 1, FIELDS_MAX as u32 + 1)
        );
    }
}
