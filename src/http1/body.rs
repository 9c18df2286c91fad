//! Chunked bodies, decoded strictly and resumable at every byte.
//!
//! ```text
//! size [;extension] CR LF  data CR LF  …  0 [;extension] CR LF  (trailer CR LF)*  CR LF
//! ```
//!
//! Data is copied in whole runs; only the few bytes between runs go through the state machine. Extensions and trailers
//! are checked for shape, bounded, and ignored: nothing in a trailer can change what the head has said. A line that
//! ends in a bare LF, a space beside a size, a size that is signed or too long, data that is longer than its chunk:
//! all of these are errors, and an error ends the connection.

use super::framing::{is_token_byte, is_value_byte};
use super::target::hex_digit;

/// Hex digits of a chunk size; sixteen fit `u64`. Leading zeros count.
pub const SIZE_DIGITS_MAX: u32 = 16;

/// Bytes of extensions over a whole body. Nobody uses them but attackers; a signature a chunk would fit.
pub const EXTENSION_BYTES_MAX: u32 = 4 * 1024;

/// Bytes of trailers, line ends included. A digest and a status, with room.
pub const TRAILER_BYTES_MAX: u32 = 4 * 1024;

/// Chunks this small are counted...
pub const SMALL_CHUNK_BYTES: u64 = 64;

/// ...and so many of them are taken in one body: a client that sends single bytes makes us do fifty times the work.
/// Honest writers that flush each line stay far below it.
pub const SMALL_CHUNKS_MAX: u32 = 256 * 1024;

/// Why a chunked body is refused. Each of these ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// No hex digit where a size should start, or something else than `;` and CR behind it.
    Size,
    /// More digits than a size can have.
    SizeOverflow,
    /// A control byte in an extension.
    Extension,
    /// More extension bytes than are taken.
    ExtensionsTooLarge,
    /// CR without LF, or LF without CR.
    LineEnd,
    /// No CR LF behind the data of a chunk.
    DataEnd,
    /// A trailer line that is no header field.
    Trailer,
    /// More trailer bytes than are taken.
    TrailersTooLarge,
    /// More tiny chunks than are taken.
    TooManyChunks,
    /// The chunks announced so far exceed the caller's bound.
    TooLarge,
}

impl ChunkError {
    /// The status to refuse with.
    pub fn status(self) -> u16 {
        match self {
            ChunkError::TooLarge => 413,
            _ => 400,
        }
    }

    /// What to tell the client, in a few words.
    pub fn text(self) -> &'static str {
        match self {
            ChunkError::Size => "malformed chunk size",
            ChunkError::SizeOverflow => "chunk size too large",
            ChunkError::Extension => "malformed chunk extension",
            ChunkError::ExtensionsTooLarge => "chunk extensions too large",
            ChunkError::LineEnd => "lines must end with CR LF",
            ChunkError::DataEnd => "chunk data without line end",
            ChunkError::Trailer => "malformed trailer",
            ChunkError::TrailersTooLarge => "trailers too large",
            ChunkError::TooManyChunks => "too many small chunks",
            ChunkError::TooLarge => "request body too large",
        }
    }
}

impl std::fmt::Display for ChunkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for ChunkError {}

/// How far a call to [`ChunkedDecoder::decode`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that belong to the body. All of them, unless the body is done.
    pub consumed: usize,
    /// Whether the body is complete. What follows `consumed` is the next message.
    pub done: bool,
}

/// The next byte is...
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// the first digit of a size
    SizeStart,
    /// a further digit, `;` or CR
    Size,
    /// within an extension, or CR
    Extension,
    /// LF of a size line
    SizeLf,
    /// data; `left` is positive
    Data,
    /// CR behind data
    DataCr,
    /// LF behind data
    DataLf,
    /// the first of a trailer line, or CR of the last line
    TrailerStart,
    /// within a trailer's name
    TrailerName,
    /// within a trailer's value, or CR
    TrailerValue,
    /// LF of a trailer line
    TrailerLf,
    /// LF of the last line
    EndLf,
    /// beyond the body
    Done,
    /// beyond the first fault
    Failed(ChunkError),
}

/// Decodes one chunked body. Start a new one for each message.
#[derive(Clone, Debug)]
pub struct ChunkedDecoder {
    state: State,
    /// Of the chunk: its size while that is read, then what of its data is still to come.
    left: u64,
    /// Digits of the size seen. At most [`SIZE_DIGITS_MAX`].
    digits: u32,
    /// Over all chunks so far, announced sizes included. At most the caller's bound.
    announced: u64,
    extension_bytes: u32,
    trailer_bytes: u32,
    small_chunks: u32,
}

impl Default for ChunkedDecoder {
    fn default() -> ChunkedDecoder {
        ChunkedDecoder::new()
    }
}

impl ChunkedDecoder {
    /// A decoder at the first byte behind the head.
    pub fn new() -> ChunkedDecoder {
        ChunkedDecoder {
            state: State::SizeStart,
            left: 0,
            digits: 0,
            announced: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
            small_chunks: 0,
        }
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of data that the chunk sizes seen so far announce: what has been appended, and the rest of the chunk.
    pub fn announced(&self) -> u64 {
        self.announced
    }

    /// Decodes `input`, the bytes that follow those of the last call, and appends the data to `out`.
    ///
    /// The body as a whole stays within `body_bytes_max`, however often `out` is emptied in between: a chunk that
    /// would pass it is refused at its size, before its data. No memory is taken for what is only announced. Input
    /// behind the end of the body is left alone. Once failed, it fails the same way for ever.
    pub fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        body_bytes_max: u64,
    ) -> Result<Progress, ChunkError> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Data => {
                    let rest = &input[at..];
                    let run = usize::try_from(self.left).map_or(rest.len(), |left| left.min(rest.len()));
                    out.extend_from_slice(&rest[..run]);
                    at += run;
                    self.left -= run as u64;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    continue;
                }
                State::Done => break,
                _ => {}
            }
            match self.step(byte, body_bytes_max) {
                Ok(next) => self.state = next,
                Err(error) => {
                    self.state = State::Failed(error);
                    return Err(error);
                }
            }
            at += 1;
        }
        match self.state {
            // Also for empty input behind a fault.
            State::Failed(error) => Err(error),
            state => Ok(Progress { consumed: at, done: state == State::Done }),
        }
    }

    /// Takes one byte of everything that is not data.
    fn step(&mut self, byte: u8, body_bytes_max: u64) -> Result<State, ChunkError> {
        match self.state {
            State::SizeStart => {
                let digit = hex_digit(byte).ok_or(ChunkError::Size)?;
                self.left = u64::from(digit);
                self.digits = 1;
                Ok(State::Size)
            }
            State::Size => match byte {
                b'\r' => self.size_ends(body_bytes_max),
                b';' => {
                    self.extension_byte()?;
                    Ok(State::Extension)
                }
                _ => {
                    let digit = hex_digit(byte).ok_or(ChunkError::Size)?;
                    if self.digits >= SIZE_DIGITS_MAX {
                        return Err(ChunkError::SizeOverflow);
                    }
                    self.digits += 1;
                    self.left = self.left << 4 | u64::from(digit);
                    Ok(State::Size)
                }
            },
            State::Extension => match byte {
                b'\r' => self.size_ends(body_bytes_max),
                b'\n' => Err(ChunkError::LineEnd),
                byte if is_value_byte(byte) => {
                    self.extension_byte()?;
                    Ok(State::Extension)
                }
                _ => Err(ChunkError::Extension),
            },
            State::SizeLf => match (byte, self.left) {
                (b'\n', 0) => Ok(State::TrailerStart),
                (b'\n', _) => Ok(State::Data),
                _ => Err(ChunkError::LineEnd),
            },
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => Ok(State::SizeStart),
            State::DataCr | State::DataLf => Err(ChunkError::DataEnd),
            State::TrailerStart if byte == b'\r' => Ok(State::EndLf),
            State::EndLf | State::TrailerLf if byte != b'\n' => Err(ChunkError::LineEnd),
            State::EndLf => Ok(State::Done),
            State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf => {
                self.trailer_bytes += 1;
                if self.trailer_bytes > TRAILER_BYTES_MAX {
                    return Err(ChunkError::TrailersTooLarge);
                }
                self.trailer(byte)
            }
            State::Failed(error) => Err(error),
            State::Data | State::Done => unreachable!("BUG: {:?} takes no single byte", self.state),
        }
    }

    /// The size line is complete but for its LF.
    fn size_ends(&mut self, body_bytes_max: u64) -> Result<State, ChunkError> {
        self.announced = self.announced.checked_add(self.left).ok_or(ChunkError::TooLarge)?;
        if self.announced > body_bytes_max {
            return Err(ChunkError::TooLarge);
        }
        if self.left < SMALL_CHUNK_BYTES {
            self.small_chunks += 1;
            if self.small_chunks > SMALL_CHUNKS_MAX {
                return Err(ChunkError::TooManyChunks);
            }
        }
        Ok(State::SizeLf)
    }

    fn extension_byte(&mut self) -> Result<(), ChunkError> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES_MAX { Err(ChunkError::ExtensionsTooLarge) } else { Ok(()) }
    }

    fn trailer(&self, byte: u8) -> Result<State, ChunkError> {
        match (self.state, byte) {
            (State::TrailerStart | State::TrailerName, byte) if is_token_byte(byte) => Ok(State::TrailerName),
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, b'\n') => Err(ChunkError::LineEnd),
            (State::TrailerValue, byte) if is_value_byte(byte) => Ok(State::TrailerValue),
            (State::TrailerLf, _) => Ok(State::TrailerStart),
            _ => Err(ChunkError::Trailer),
        }
    }
}

/// Appends `data` as one chunk. Empty data would end the body, so it adds nothing.
pub fn write_chunk(data: &[u8], out: &mut Vec<u8>) {
    if data.is_empty() {
        return;
    }
    let mut size = [0u8; 16];
    let mut left = data.len();
    let mut start = size.len();
    while left > 0 {
        start -= 1;
        size[start] = b"0123456789abcdef"[left & 15];
        left >>= 4;
    }
    out.reserve(size.len() + data.len() + 4);
    out.extend_from_slice(&size[start..]);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Ends a chunked body, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests;
