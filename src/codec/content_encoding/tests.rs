//! All formats against the same properties, and what is particular to each.

use std::io::Write;

use flate2::{Compression, GzBuilder, write::DeflateEncoder, write::GzEncoder, write::ZlibEncoder};
use proptest::prelude::*;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn brotli(bytes: &[u8]) -> Vec<u8> {
    let params = ::brotli::enc::BrotliEncoderParams { quality: 3, lgwin: 18, ..Default::default() };
    let mut out = Vec::new();
    ::brotli::BrotliCompress(&mut &*bytes, &mut out, &params).unwrap();
    out
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::bulk::compress(bytes, 1).unwrap()
}

fn encode(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Gzip => gzip(bytes),
        Encoding::Deflate => deflate(bytes),
        Encoding::Brotli => brotli(bytes),
        Encoding::Zstd => zstd(bytes),
    }
}

fn decode(encoding: Encoding, input: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::default();
    let mut out = Vec::new();
    decoder.reset(encoding);
    decoder.decode_all(input, &mut out, &Limits::new(bytes_max)).map(|()| out)
}

fn any_encoding() -> impl Strategy<Value = Encoding> {
    prop::sample::select(Encoding::ALL.to_vec())
}

const LINES: &[u8] = b"cpu,host=a v=1i\ncpu,host=b v=2i 1700000000\nmem,host=a free=12345i,used=3.5\n";

proptest! {
    #[test]
    fn steps_give_what_one_go_gives(
        encoding in any_encoding(),
        bytes in proptest::collection::vec(0u8..4, 0..5000),
        cut in 0usize..5000,
        step in 1usize..3000,
    ) {
        let mut input = encode(encoding, &bytes);
        // Those that may follow one another do.
        if matches!(encoding, Encoding::Gzip | Encoding::Zstd) {
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            input = [encode(encoding, first), encode(encoding, second)].concat();
        }
        let limits = Limits::new(10_000);
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        decoder.reset(encoding);
        loop {
            let before = decoder.at + out.len();
            let ended = decoder.decode_some(&input, &mut out, &limits, step).unwrap();
            // A piece may read and write a step's worth each; headers are taken whole.
            prop_assert!(decoder.at + out.len() - before <= 3 * step + 32);
            if ended {
                break;
            }
        }
        prop_assert_eq!(&out, &bytes);
        out.clear();
        decoder.reset(encoding);
        decoder.decode_all(&input, &mut out, &limits).unwrap();
        prop_assert_eq!(&out, &bytes);
    }

    #[test]
    fn garbage_ends_in_an_error_or_in_bytes(
        encoding in any_encoding(),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        headed in any::<bool>(),
    ) {
        let head: &[u8] = match encoding {
            Encoding::Gzip => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0],
            Encoding::Deflate => &[0x78, 0x9c],
            Encoding::Brotli => &[0x1b],
            Encoding::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
        };
        let mut input = if headed { head.to_vec() } else { Vec::new() };
        input.extend(bytes);
        if let Ok(out) = decode(encoding, &input, 100_000) {
            prop_assert!(out.len() <= 100_000);
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed_or_harmless(encoding in any_encoding(), at in 0usize..10_000, bit in 0u8..8) {
        let mut input = encode(encoding, &LINES.repeat(30));
        let at = at % input.len();
        input[at] ^= 1 << bit;
        match (encoding, decode(encoding, &input, 100_000)) {
            // Flags and the time in the header, and the bits between the last block and the checksum, say nothing
            // about the contents; those are under the checksum.
            (Encoding::Gzip, Ok(out)) => prop_assert_eq!(out, LINES.repeat(30)),
            // The others carry no checksum: what comes out is bounded, that is all.
            (_, Ok(out)) => prop_assert!(out.len() <= 100_000),
            (_, Err(_)) => {}
        }
    }
}

#[test]
fn every_cut_is_noticed() {
    for encoding in Encoding::ALL {
        let whole = encode(encoding, &LINES.repeat(40));
        for len in 0..whole.len() {
            assert_eq!(
                decode(encoding, &whole[..len], 100_000),
                Err(DecodeError::Malformed),
                "{encoding:?} cut at {len} of {}",
                whole.len()
            );
        }
        assert_eq!(decode(encoding, &whole, 100_000).unwrap(), LINES.repeat(40), "{encoding:?}");
        assert_eq!(decode(encoding, b"plain text, nothing else", 100), Err(DecodeError::Malformed));
    }
}

/// Recorded: three refuse what stands behind the end, deflate does not look.
#[test]
fn bytes_behind_the_end() {
    for encoding in Encoding::ALL {
        for behind in [&b"garbage!"[..], &[0; 8], &[0]] {
            let input = [&*encode(encoding, LINES), behind].concat();
            let expected = match encoding {
                Encoding::Deflate => Ok(LINES.to_vec()),
                _ => Err(DecodeError::Malformed),
            };
            assert_eq!(decode(encoding, &input, 1000), expected, "{encoding:?} and {behind:?}");
        }
    }
}

#[test]
fn bombs_cost_no_more_than_the_caps() {
    let zeros = vec![0; 64 << 20];
    for encoding in Encoding::ALL {
        let bomb = encode(encoding, &zeros);
        for bytes_max in [100_000, 8 << 20, 128 << 20] {
            let mut decoder = Decoder::default();
            let mut out = Vec::new();
            decoder.reset(encoding);
            // Half of what the ratio is: deflate, too, goes beyond that.
            let limits = Limits { bytes_max, ratio_max: RATIO_MAX / 2 };
            let result = decoder.decode_all(&bomb, &mut out, &limits);
            assert_eq!(result, Err(DecodeError::TooLarge), "{encoding:?} of {}", bomb.len());
            // The ratio alone stops it where the cap is far away.
            let most = bytes_max.min((limits.ratio_max * bomb.len()).max(RATIO_FREE_BYTES));
            assert!(out.capacity() <= most + 1 + 2 * PADDING, "{encoding:?}: {}", out.capacity());
            assert!(out.len() <= most + 1);
        }
        // The last byte that may come out, and one more.
        assert_eq!(decode(encoding, &encode(encoding, &[7; 1000]), 1000).unwrap().len(), 1000);
        assert_eq!(decode(encoding, &encode(encoding, &[7; 1001]), 1000), Err(DecodeError::TooLarge));
    }
}

#[test]
fn small_bodies_may_grow_as_they_like_and_large_ones_as_text_does() {
    let input = zstd(&vec![b'a'; RATIO_FREE_BYTES]);
    assert!(input.len() * RATIO_MAX < RATIO_FREE_BYTES, "the floor counts here, not the ratio");
    assert_eq!(decode(Encoding::Zstd, &input, usize::MAX).unwrap().len(), RATIO_FREE_BYTES);
    let input = [input, zstd(b"!")].concat();
    assert!(decode(Encoding::Zstd, &input, usize::MAX) == Err(DecodeError::TooLarge));
    // Deflate's own limit is below ours.
    let same = gzip(&vec![b'a'; 2 * RATIO_FREE_BYTES]);
    assert_eq!(decode(Encoding::Gzip, &same, usize::MAX).unwrap().len(), 2 * RATIO_FREE_BYTES);
    // Idle hosts: the same values, minute after minute.
    let lines: String = (0..900_000)
        .map(|i| {
            format!("cpu,host=h{},region=eu usage=0,count=0i {}\n", i % 100, 1_700_000_000 + i / 100 * 60)
        })
        .collect();
    for encoding in Encoding::ALL {
        let input = encode(encoding, lines.as_bytes());
        assert!(lines.len() > 2 * RATIO_FREE_BYTES && lines.len() / input.len() > 10, "{encoding:?}");
        assert_eq!(decode(encoding, &input, usize::MAX).unwrap().len(), lines.len(), "{encoding:?}");
    }
    let strict = Limits { bytes_max: usize::MAX, ratio_max: 10 };
    let mut decoder = Decoder::default();
    decoder.reset(Encoding::Zstd);
    let result = decoder.decode_all(&zstd(lines.as_bytes()), &mut Vec::new(), &strict);
    assert_eq!(result, Err(DecodeError::TooLarge));
}

#[test]
fn an_ended_or_failed_decoder_waits_for_its_reset() {
    let mut decoder = Decoder::default();
    let (limits, mut out) = (Limits::new(100), Vec::new());
    assert_eq!(decoder.decode_some(&gzip(b"x"), &mut out, &limits, 10), Err(DecodeError::Malformed));
    for encoding in Encoding::ALL {
        decoder.reset(encoding);
        assert!(decoder.decode_all(b"none of them", &mut out, &limits).is_err());
        assert!(decoder.decode_all(&encode(encoding, b"good"), &mut out, &limits).is_err());
        for text in [&b"one"[..], b"two"] {
            out.clear();
            decoder.reset(encoding);
            decoder.decode_all(&encode(encoding, text), &mut out, &limits).unwrap();
            assert_eq!(out, text, "{encoding:?}");
        }
        assert_eq!(
            decoder.decode_some(&encode(encoding, b"two"), &mut out, &limits, 10),
            Err(DecodeError::Malformed)
        );
    }
}

#[test]
fn names_are_the_recorded_words() {
    for name in ["gzip", "deflate", "br", "zstd"] {
        assert_eq!(Encoding::from_name(name).map(Encoding::name), Some(name));
    }
    for name in ["", "GZIP", "x-gzip", "identity", "brotli", "gzip, gzip"] {
        assert_eq!(Encoding::from_name(name), None, "{name}");
    }
}

#[test]
fn gzip_members_follow_one_another_and_headers_may_have_everything() {
    let mut encoder = GzBuilder::new()
        .filename("a name")
        .comment("a comment")
        .extra(vec![1, 2, 3, 0, 5])
        .write(Vec::new(), Compression::best());
    encoder.write_all(b"first ").unwrap();
    let mut input = encoder.finish().unwrap();
    input.extend(gzip(b""));
    input.extend(gzip(b"second"));
    assert_eq!(decode(Encoding::Gzip, &input, 100).unwrap(), b"first second");
    let whole = gzip(LINES);
    for at in whole.len() - 8..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        assert_eq!(decode(Encoding::Gzip, &damaged, 1000), Err(DecodeError::Malformed), "flipped at {at}");
    }
}

#[test]
fn deflate_may_have_its_frame() {
    for bytes in [&b""[..], b"x", LINES] {
        let mut input = zlib(bytes);
        assert_eq!(decode(Encoding::Deflate, &input, 1000).unwrap(), bytes);
        // The checksum is not looked at, nor missed.
        let last = input.len() - 1;
        input[last] ^= 1;
        assert_eq!(decode(Encoding::Deflate, &input, 1000).unwrap(), bytes);
        assert_eq!(decode(Encoding::Deflate, &input[..last - 3], 1000).unwrap(), bytes);
    }
    // Wrong check bits: no frame, and no deflate either.
    assert_eq!(decode(Encoding::Deflate, &[0x78, 0x9d, 3, 0], 100), Err(DecodeError::Malformed));
    assert_eq!(decode(Encoding::Deflate, &[0x78, 0x9c], 100), Err(DecodeError::Malformed));
    assert_eq!(decode(Encoding::Deflate, &[3, 0], 100).unwrap(), b"");
}

#[test]
fn zstd_frames_may_be_of_every_kind() {
    let mut encoder = ::zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(b"checked, ").unwrap();
    let checked = encoder.finish().unwrap();
    let skipped = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc";
    let input = [&checked[..], skipped, &zstd(b""), &zstd(b"known")].concat();
    assert_eq!(decode(Encoding::Zstd, &input, 100).unwrap(), b"checked, known");
    let mut damaged = checked.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(decode(Encoding::Zstd, &damaged, 100), Err(DecodeError::Malformed));
    assert_eq!(decode(Encoding::Zstd, &skipped[..skipped.len() - 1], 100), Err(DecodeError::Malformed));
}

/// A frame that asks for a window of `log` bits and holds one raw byte.
fn frame_with_window(log: u8) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
    frame.extend([1 | 1 << 3, 0, 0, b'x']);
    frame
}

#[test]
fn zstd_windows_have_a_bound() {
    let largest = zstd::WINDOW_LOG_MAX as u8;
    for log in [10, 17, largest] {
        assert_eq!(decode(Encoding::Zstd, &frame_with_window(log), 100).unwrap(), b"x", "{log}");
    }
    for log in [largest + 1, 27, 31, 41] {
        assert_eq!(
            decode(Encoding::Zstd, &frame_with_window(log), 100),
            Err(DecodeError::Malformed),
            "{log}"
        );
    }
}

#[test]
fn large_contexts_do_not_outlive_their_body() {
    let mut decoder = Decoder::default();
    let mut out = Vec::new();
    for (log, kept) in [(17, true), (23, false), (10, true)] {
        out.clear();
        decoder.reset(Encoding::Zstd);
        decoder.decode_all(&frame_with_window(log), &mut out, &Limits::new(100)).unwrap();
        assert_eq!(decoder.zstd.is_some(), kept, "a window of {log} bits");
    }
    out.clear();
    decoder.reset(Encoding::Brotli);
    decoder.decode_all(&brotli(b"x"), &mut out, &Limits::new(100)).unwrap();
    assert!(decoder.brotli.is_none());
}

/// A brotli stream may announce any window; the buffer behind it grows with what comes out.
#[test]
fn brotli_windows_beyond_the_rfc_are_refused() {
    // The escape code of large windows: 0x11, then six bits of size.
    for bits in [25u8, 30] {
        assert_eq!(decode(Encoding::Brotli, &[0x11, bits, 3], 100), Err(DecodeError::Malformed));
    }
}
