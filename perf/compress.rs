//! Compression of blocks of 64 KiB as they are sealed: encoded points, each block on its own.
//!
//!     cargo bench --bench compress [-- metrics | logs | short]
//!
//! gzip is zlib-rs behind flate2; its context is reused, as the gateway reuses it. Levels below zero are zstd's fast
//! ones. The time is that of one block, the median over all; the ratio is over all blocks together.

use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use kitgate::buf::{PADDING, Padded};
use kitgate::codec::line_protocol::{self, Tape};
use kitgate::point::encode::{Encoder, Rules};
use kitgate::point::{Batch, Category, Compat, Precision, rules};

#[path = "corpus.rs"]
mod corpus;

use corpus::Corpus;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes of encoded points in a block.
const BLOCK_BYTES: usize = 64 << 10;
/// How often every block is compressed.
const ROUNDS: usize = 5;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let corpora = [
        (Category::Metric, corpus::metrics(6_000, 16 << 10)),
        (Category::Logging, corpus::logs(2_000, 16 << 10)),
        (Category::Metric, corpus::short(12_000, 16 << 10)),
    ];
    for (category, corpus) in corpora {
        if wanted.is_empty() || wanted.iter().any(|name| name == corpus.name) {
            run(category, &corpus);
        }
    }
}

/// Compresses a block into the buffer.
type Method = Box<dyn FnMut(&[u8], &mut Vec<u8>)>;

fn run(category: Category, corpus: &Corpus) {
    let (blocks, points) = blocks(category, corpus);
    let bytes: usize = blocks.iter().map(Vec::len).sum();
    println!("{}: {} blocks of {} bytes, {} points", corpus.name, blocks.len(), bytes / blocks.len(), points);
    println!("{:<16} {:>12} {:>10} {:>12} {:>8}", "", "ns a block", "MB/s", "ns a point", "ratio");
    for (name, mut method) in methods() {
        let mut out = Vec::with_capacity(2 * BLOCK_BYTES);
        let (mut times, mut compressed) = (Vec::new(), 0);
        for _ in 0..ROUNDS {
            compressed = 0;
            for block in &blocks {
                out.clear();
                let begun = Instant::now();
                method(black_box(block), &mut out);
                times.push(begun.elapsed().as_nanos() as f64);
                compressed += out.len();
            }
        }
        times.sort_by(f64::total_cmp);
        let ns = times[times.len() / 2];
        println!(
            "{name:<16} {ns:>12.0} {:>10.0} {:>12.0} {:>8.2}",
            BLOCK_BYTES as f64 / ns * 1e3,
            ns * blocks.len() as f64 / points as f64,
            bytes as f64 / compressed as f64
        );
    }
}

fn methods() -> Vec<(&'static str, Method)> {
    let mut methods: Vec<(&'static str, Method)> = Vec::new();
    for (name, level) in [("gzip 1 (zlib-rs)", 1), ("gzip 6 (zlib-rs)", 6)] {
        let mut encoder = flate2::Compress::new_gzip(flate2::Compression::new(level), 15);
        methods.push((
            name,
            Box::new(move |block, out| {
                encoder.reset();
                let status = encoder.compress_vec(block, out, flate2::FlushCompress::Finish);
                assert!(matches!(status, Ok(flate2::Status::StreamEnd)), "{status:?}");
            }),
        ));
    }
    for (name, level) in [("zstd -5", -5), ("zstd -1", -1), ("zstd 1", 1), ("zstd 3", 3)] {
        let Ok(mut encoder) = zstd::bulk::Compressor::new(level) else { continue };
        methods.push((
            name,
            Box::new(move |block, out| assert!(encoder.compress_to_buffer(block, out).is_ok())),
        ));
    }
    methods.push(("copy", Box::new(|block, out| assert!(out.write_all(block).is_ok()))));
    methods
}

/// The corpus as it stands in sealed blocks, and its points.
fn blocks(category: Category, corpus: &Corpus) -> (Vec<Vec<u8>>, u32) {
    let rules = Rules {
        category: rules(category, Compat::Documented),
        precision: Precision::Auto,
        now_ns: 1_800_000_000_000_000_000,
        added_tags: None,
        time_correction: false,
        hook: None,
    };
    let (mut encoder, mut tape) = (Encoder::default(), Tape::default());
    let (mut blocks, mut points) = (Vec::new(), 0);
    let mut batch = Batch::default();
    for body in &corpus.bodies {
        let mut bytes = body.text.clone().into_bytes();
        let len = bytes.len();
        bytes.resize(len + PADDING, 0);
        let Some(padded) = Padded::new(&bytes, len) else { continue };
        line_protocol::parse(padded, &mut tape).expect("a good corpus");
        encoder.encode(padded, &tape, &rules, &mut batch);
        if batch.bytes.len() >= BLOCK_BYTES {
            points += batch.points;
            blocks.push(std::mem::take(&mut batch.bytes));
            batch.clear();
        }
    }
    (blocks, points)
}
