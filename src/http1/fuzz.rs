//! Bodies of the fuzz targets over this folder: any bytes, no panic, and the same result however they are cut.
//!
//! Unit tests run them too, over generated and over fixed input.

use super::body::{ChunkError, ChunkedDecoder, Progress};
use super::client::{self, Reply, ResponseError, ResponseReader};
use super::head::{HeadError, HeadLimits, HeadOutcome, HeadScan, HeaderSlots, parse_head};
use super::{Framing, query, target};

/// Bounds small enough for a fuzzer to pass them.
pub const HEAD_LIMITS: HeadLimits = HeadLimits { head_bytes_max: 512, target_bytes_max: 64, headers_max: 8 };

/// Bound of a chunked body.
pub const BODY_BYTES_MAX: u64 = 1024;

/// What a head amounts to, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Bytes of the head.
    pub len: usize,
    /// Method and target as written.
    pub line: (String, String),
    /// How the body is delimited.
    pub framing: Framing,
    /// Keep-alive and expectation.
    pub flags: (bool, bool),
    /// All headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Reads a head in one piece. `None` while it is not whole.
pub fn head_whole(input: &[u8], limits: &HeadLimits) -> Result<Option<Read>, HeadError> {
    let mut slots = HeaderSlots::new();
    Ok(match parse_head(input, &mut slots, limits)? {
        HeadOutcome::Partial => None,
        HeadOutcome::Complete { head, len } => {
            assert!(
                len <= input.len()
                    && head.target.contains(head.path.trim_matches('/'))
                    && head.target.ends_with(head.query)
            );
            assert!(target::decode_path(head.path).is_some());
            let headers =
                head.headers.iter().map(|header| (header.name.to_owned(), header.value.to_owned())).collect();
            Some(Read {
                len,
                line: (head.method_text.to_owned(), head.target.to_owned()),
                framing: head.framing,
                flags: (head.keep_alive, head.expect_continue),
                headers,
            })
        }
    })
}

/// Reads a head that grows by the pieces that `cuts` makes, as a connection would.
pub fn head_in_pieces(input: &[u8], cuts: &[usize], limits: &HeadLimits) -> Result<Option<Read>, HeadError> {
    let mut scan = HeadScan::default();
    let mut end = 0;
    for piece in pieces(input, cuts) {
        end += piece.len();
        if scan.worth_parsing(&input[..end], limits)
            && let Some(read) = head_whole(&input[..end], limits)?
        {
            return Ok(Some(read));
        }
    }
    Ok(None)
}

/// Any bytes as a request head, cut in every place.
pub fn head(data: &[u8]) {
    let whole = head_whole(data, &HEAD_LIMITS);
    // A fault in a head that has no end may be seen late, when more has come; never a different one, never none.
    let line = data.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(data.len());
    let ends = data[line..].windows(3).any(|bytes| bytes == b"\n\r\n")
        || data[line..].windows(2).any(|bytes| bytes == b"\n\n");
    for cut in 0..=data.len() {
        let in_pieces = head_in_pieces(data, &[cut], &HEAD_LIMITS);
        assert!(
            in_pieces == whole || (!ends && in_pieces == Ok(None)),
            "cut at {cut}: {in_pieces:?}, whole: {whole:?}"
        );
    }
}

/// Decodes in one piece or several; the bytes used, and the data.
pub fn chunked_in_pieces(
    input: &[u8],
    cuts: &[usize],
    body_bytes_max: u64,
) -> Result<(Progress, Vec<u8>), ChunkError> {
    let mut decoder = ChunkedDecoder::new();
    let mut out = Vec::new();
    let mut total = Progress { consumed: 0, done: false };
    for piece in pieces(input, cuts) {
        let progress = decoder.decode(piece, &mut out, body_bytes_max)?;
        assert!(progress.consumed <= piece.len() && (progress.done || progress.consumed == piece.len()));
        assert!(out.len() as u64 <= decoder.announced() && decoder.announced() <= body_bytes_max);
        total.consumed += progress.consumed;
        total.done = progress.done;
    }
    Ok((total, out))
}

/// Any bytes as a chunked body, cut in every place.
pub fn chunked(data: &[u8]) {
    let whole = chunked_in_pieces(data, &[], BODY_BYTES_MAX);
    for cut in 0..=data.len() {
        assert_eq!(chunked_in_pieces(data, &[cut], BODY_BYTES_MAX), whole, "cut at {cut}");
    }
}

/// Reads a response that comes in pieces and then ends; the bytes used, and the reply.
pub fn response_in_pieces(
    input: &[u8],
    cuts: &[usize],
    to_head: bool,
) -> Result<(usize, Reply), ResponseError> {
    let mut reader = ResponseReader::new(to_head);
    let mut used = 0;
    for piece in pieces(input, cuts) {
        match reader.read(piece)? {
            client::Progress::More => used += piece.len(),
            client::Progress::Done { consumed } => {
                assert!(consumed <= piece.len());
                return reader.into_reply().map(|reply| (used + consumed, reply));
            }
            client::Progress::Enough => break,
        }
    }
    reader.close()?;
    reader.into_reply().map(|reply| (used, reply))
}

/// Any bytes as a response, cut in every place.
pub fn response(data: &[u8]) {
    for to_head in [false, true] {
        let whole = response_in_pieces(data, &[], to_head);
        for cut in 0..=data.len() {
            assert_eq!(response_in_pieces(data, &[cut], to_head), whole, "cut at {cut}");
        }
    }
}

/// Any text as a query and as a path.
pub fn text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    assert!(query::pairs(&text).count() <= query::PAIRS_MAX);
    let decoded = target::decode_path(&text);
    assert!(decoded.is_none_or(|decoded| decoded.len() <= text.len()));
    let mut escaped = String::from("k=");
    query::escape(&text, &mut escaped);
    assert_eq!(query::first(&escaped, "k").as_deref(), Some(&*text));
}

/// `input` cut at the given places, in order; places out of order or out of range are passed over.
fn pieces<'a>(input: &'a [u8], cuts: &[usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut start = 0;
    let ends = cuts.iter().copied().chain([input.len()]);
    ends.filter_map(move |end| {
        let piece = input.get(start..end)?;
        start = end;
        Some(piece)
    })
}
