//! Spans of version 1 in Thrift's binary protocol, read in place: a list of structs, each its fields behind their types
//! and numbers, until a field of type 0. No length is trusted and nothing recurses deeper than [`DEPTH_MAX`].

use crate::intake::convert::Fault;

use super::span::{Span, TAGS_MAX};

// Types.
const STOP: u8 = 0;
const BOOL: u8 = 2;
const BYTE: u8 = 3;
const DOUBLE: u8 = 4;
const I16: u8 = 6;
const I32: u8 = 8;
const I64: u8 = 10;
const STRING: u8 = 11;
const STRUCT: u8 = 12;
const MAP: u8 = 13;
const SET: u8 = 14;
const LIST: u8 = 15;

/// Kinds of a binary annotation that are shown as they are meant; all others are their bytes.
const OF_BOOL: i32 = 0;
const OF_I16: i32 = 2;
const OF_I32: i32 = 3;
const OF_I64: i32 = 4;
const OF_DOUBLE: i32 = 5;

/// Containers inside each other in what is passed over: Zipkin's own go three deep.
const DEPTH_MAX: usize = 16;

fn end() -> Fault {
    Fault::malformed("the body ends inside a span")
}

fn wrong() -> Fault {
    Fault::malformed("the body is no list of spans in Thrift's binary protocol")
}

struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or_else(end)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn i32(&mut self) -> Result<i32, Fault> {
        self.take().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, Fault> {
        self.take().map(i64::from_be_bytes)
    }

    fn text(&mut self) -> Result<&'b [u8], Fault> {
        let len = usize::try_from(self.i32()?).map_err(|_| wrong())?;
        let (text, rest) = self.rest.split_at_checked(len).ok_or_else(end)?;
        self.rest = rest;
        Ok(text)
    }

    /// How many elements follow, which are of this type. Each is a byte at least.
    fn list(&mut self, of: u8) -> Result<usize, Fault> {
        let there = self.byte()?;
        let count = usize::try_from(self.i32()?).map_err(|_| wrong())?;
        match count {
            0 => Ok(0),
            _ if there != of => Err(wrong()),
            count if count > self.rest.len() => Err(end()),
            count => Ok(count),
        }
    }

    /// Calls `take` with type and number of each field of a struct; what it does not take is passed over.
    fn fields(
        &mut self,
        take: &mut dyn FnMut(&mut Reader<'b>, u8, i16) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        loop {
            let kind = self.byte()?;
            if kind == STOP {
                return Ok(());
            }
            let number = i16::from_be_bytes(self.take()?);
            if !take(self, kind, number)? {
                self.skip(kind, DEPTH_MAX)?;
            }
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), Fault> {
        let depth = depth.checked_sub(1).ok_or_else(wrong)?;
        match kind {
            BOOL | BYTE => self.take::<1>().map(|_| ()),
            I16 => self.take::<2>().map(|_| ()),
            I32 => self.take::<4>().map(|_| ()),
            I64 | DOUBLE => self.take::<8>().map(|_| ()),
            STRING => self.text().map(|_| ()),
            STRUCT => loop {
                let kind = self.byte()?;
                if kind == STOP {
                    return Ok(());
                }
                self.take::<2>()?;
                self.skip(kind, depth)?;
            },
            MAP => {
                let kinds = self.take::<2>()?;
                for _ in 0..usize::try_from(self.i32()?).map_err(|_| wrong())? {
                    self.skip(kinds[0], depth)?;
                    self.skip(kinds[1], depth)?;
                }
                Ok(())
            }
            SET | LIST => {
                let of = self.byte()?;
                for _ in 0..usize::try_from(self.i32()?).map_err(|_| wrong())? {
                    self.skip(of, depth)?;
                }
                Ok(())
            }
            _ => Err(wrong()),
        }
    }

    /// The name of the service at an endpoint.
    fn endpoint(&mut self, service: &mut Vec<u8>) -> Result<(), Fault> {
        self.fields(&mut |reader, kind, number| match (kind, number) {
            (STRING, 3) => {
                let name = reader.text()?;
                if service.is_empty() {
                    *service = name.to_vec();
                }
                Ok(true)
            }
            _ => Ok(false),
        })
    }

    fn annotation(&mut self, span: &mut Span, times: &mut Vec<i64>) -> Result<(), Fault> {
        self.fields(&mut |reader, kind, number| match (kind, number) {
            (I64, 1) => {
                let time = reader.i64()?;
                if times.len() < TAGS_MAX {
                    times.push(time);
                }
                Ok(true)
            }
            (STRUCT, 3) => reader.endpoint(&mut span.service).map(|()| true),
            _ => Ok(false),
        })
    }

    fn binary_annotation(&mut self, span: &mut Span) -> Result<(), Fault> {
        let (mut key, mut value, mut of): (&[u8], &[u8], _) = (b"", b"", None);
        self.fields(&mut |reader, kind, number| {
            match (kind, number) {
                (STRING, 1) => key = reader.text()?,
                (STRING, 2) => value = reader.text()?,
                (I32, 3) => of = Some(reader.i32()?),
                (STRUCT, 4) => reader.endpoint(&mut span.service)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if span.tags.len() < TAGS_MAX {
            span.tags.push((key.to_vec(), shown(of, value)));
        }
        Ok(())
    }

    fn span(&mut self) -> Result<Span, Fault> {
        let mut span = Span::default();
        let (mut ids, mut times) = ([0i64; 4], Vec::new());
        self.fields(&mut |reader, kind, number| {
            match (kind, number) {
                (I64, 1) => ids[0] = reader.i64()?,
                (I64, 12) => ids[1] = reader.i64()?,
                (I64, 4) => ids[2] = reader.i64()?,
                (I64, 5) => ids[3] = reader.i64()?,
                (STRING, 3) => span.name = reader.text()?.to_vec(),
                (I64, 10) => span.timestamp_us = reader.i64()?,
                (I64, 11) => span.duration_us = reader.i64()?,
                (LIST, 6) => {
                    for _ in 0..reader.list(STRUCT)? {
                        reader.annotation(&mut span, &mut times)?;
                    }
                }
                (LIST, 8) => {
                    for _ in 0..reader.list(STRUCT)? {
                        reader.binary_annotation(&mut span)?;
                    }
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let hex = |id: i64| if id == 0 { String::new() } else { format!("{id:016x}") };
        let low = if ids[1] == 0 { hex(ids[0]) } else { format!("{:016x}", ids[0]) };
        span.trace_id = hex(ids[1]) + &low;
        span.id = hex(ids[2]);
        span.parent_id = hex(ids[3]);
        span.times_of(times.into_iter());
        span.checked()
    }
}

/// The value of a binary annotation as text.
fn shown(of: Option<i32>, value: &[u8]) -> Vec<u8> {
    match (of, value) {
        (Some(OF_BOOL), [value]) => (*value != 0).to_string().into_bytes(),
        (Some(OF_I16), &[a, b]) => i16::from_be_bytes([a, b]).to_string().into_bytes(),
        (Some(OF_I32), &[a, b, c, d]) => i32::from_be_bytes([a, b, c, d]).to_string().into_bytes(),
        (Some(OF_I64), _) if let Ok(bytes) = value.try_into() => {
            i64::from_be_bytes(bytes).to_string().into_bytes()
        }
        (Some(OF_DOUBLE), _) if let Ok(bytes) = value.try_into() => {
            f64::from_be_bytes(bytes).to_string().into_bytes()
        }
        // Strings should be UTF-8.
        _ => String::from_utf8_lossy(value).into_owned().into_bytes(),
    }
}

/// Calls `take` with each span of a body.
pub fn each(body: &[u8], take: &mut dyn FnMut(Span) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut reader = Reader { rest: body };
    for _ in 0..reader.list(STRUCT)? {
        take(reader.span()?)?;
    }
    Ok(())
}

#[cfg(test)]
pub mod testing {
    //! Writes what this reads.

    use super::*;

    pub enum Value<'a> {
        I32(i32),
        I64(i64),
        Text(&'a [u8]),
        Struct(Vec<(i16, Value<'a>)>),
        List(Vec<Value<'a>>),
    }

    impl Value<'_> {
        fn kind(&self) -> u8 {
            match self {
                Value::I32(_) => I32,
                Value::I64(_) => I64,
                Value::Text(_) => STRING,
                Value::Struct(_) => STRUCT,
                Value::List(_) => LIST,
            }
        }

        pub fn write(&self, out: &mut Vec<u8>) {
            match self {
                Value::I32(value) => out.extend(value.to_be_bytes()),
                Value::I64(value) => out.extend(value.to_be_bytes()),
                Value::Text(text) => {
                    out.extend((text.len() as i32).to_be_bytes());
                    out.extend_from_slice(text);
                }
                Value::Struct(fields) => {
                    for (number, value) in fields {
                        out.push(value.kind());
                        out.extend(number.to_be_bytes());
                        value.write(out);
                    }
                    out.push(STOP);
                }
                Value::List(items) => {
                    out.push(items.first().map_or(STRUCT, Value::kind));
                    out.extend((items.len() as i32).to_be_bytes());
                    items.iter().for_each(|item| item.write(out));
                }
            }
        }
    }
}
