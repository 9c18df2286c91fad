//! CRC32C at the sizes that are checked: a frame header, a small payload, a block.
//!
//!     cargo bench --bench crc
//!
//! A table-driven implementation stands beside it: what there is without the instruction. The median over the rounds.

use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 9;
/// Bytes hashed in a turn.
const TURN_BYTES: usize = 32 << 20;

fn main() {
    println!("{:>8} {:>14} {:>14} {:>14} {:>14}", "bytes", "crc32c ns", "GB/s", "table ns", "ratio");
    let table = table();
    for size in [80, 512, 4 << 10, 64 << 10, 1 << 20] {
        let data: Vec<u8> = (0..size).map(|at| (at * 31 + at / 251) as u8).collect();
        assert_eq!(crc32c::crc32c(&data), by_table(&table, &data), "the two disagree");
        let fast = median(|| crc32c::crc32c(black_box(&data)), size);
        let slow = median(|| by_table(&table, black_box(&data)), size);
        println!("{size:>8} {fast:>14.1} {:>14.2} {slow:>14.1} {:>14.1}", size as f64 / fast, slow / fast);
    }
}

fn median(mut work: impl FnMut() -> u32, size: usize) -> f64 {
    let repeats = TURN_BYTES / size;
    let mut results: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..repeats {
                black_box(work());
            }
            begun.elapsed().as_nanos() as f64 / repeats as f64
        })
        .collect();
    results.sort_by(f64::total_cmp);
    results[ROUNDS / 2]
}

fn table() -> [u32; 256] {
    std::array::from_fn(|byte| {
        (0..8).fold(byte as u32, |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

fn by_table(table: &[u32; 256], data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, byte| table[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8))
}
