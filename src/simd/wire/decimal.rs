//! Decimal numbers, eight digits at once by multiplications: no table and no loop.

use super::{Isa, Writer};

/// What a number has at most, and what its first word may write beyond its digits.
const ROOM_BYTES: usize = 3 * 8;

const EIGHT: u64 = 100_000_000;
const SIXTEEN: u64 = EIGHT * EIGHT;

/// Makes characters of eight digits.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The digits of a number below 100,000,000, one a byte, the first of them in the lowest.
#[inline(always)]
fn eight(value: u64) -> u64 {
    let fours = (value / 10_000) | (value % 10_000) << 32;
    // A hundredth of each half, then a tenth of each quarter: exact for as many digits as these are.
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = (fours - 100 * hundreds) << 16 | hundreds;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    (twos - 10 * tens) << 8 | tens
}

/// The same for a number below 10,000, with zeros in front.
#[inline(always)]
fn four(value: u64) -> u64 {
    let hundreds = (value * 10_486) >> 20;
    let twos = (value - 100 * hundreds) << 16 | hundreds;
    let tens = ((twos * 103) >> 10) & 0x000f_000f;
    ((twos - 10 * tens) << 8 | tens) << 32
}

impl<I: Isa> Writer<'_, I> {
    /// Appends `before` and a number.
    #[inline(always)]
    pub fn decimal<const N: usize>(&mut self, before: &[u8; N], value: u64) {
        self.room(N + ROOM_BYTES);
        // SAFETY: there is room for `before` and three words: eight digits in front, of which one at least counts, and two
        // words behind them.
        unsafe {
            self.place.at.cast::<[u8; N]>().write_unaligned(*before);
            self.advance(N);
            if value < 10 {
                self.put(b'0' + value as u8);
            } else if value < EIGHT {
                self.first_digits(eight(value));
            } else if value < SIXTEEN {
                self.first_digits(eight(value / EIGHT));
                self.more_digits(value % EIGHT);
            } else {
                let rest = value % SIXTEEN;
                self.first_digits(four(value / SIXTEEN));
                self.more_digits(rest / EIGHT);
                self.more_digits(rest % EIGHT);
            }
        }
    }

    /// Appends digits without the zeros in front of them.
    ///
    /// # Safety
    /// There is room for eight bytes.
    #[inline(always)]
    unsafe fn first_digits(&mut self, digits: u64) {
        // The last digit stays, whatever it is.
        let zeros = (digits | 1 << 56).trailing_zeros() & !7;
        // SAFETY: the caller's promise.
        unsafe {
            self.place.at.cast::<u64>().write_unaligned(((digits | ZEROS) >> zeros).to_le());
            self.advance(8 - zeros as usize / 8);
        }
    }

    /// Appends eight digits.
    ///
    /// # Safety
    /// There is room for eight bytes.
    #[inline(always)]
    unsafe fn more_digits(&mut self, value: u64) {
        // SAFETY: the caller's promise.
        unsafe {
            self.place.at.cast::<u64>().write_unaligned((eight(value) | ZEROS).to_le());
            self.advance(8);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Kernel, Layout, run, run_plain};
    use super::*;

    /// Writes every number behind a comma.
    struct Script<'a>(&'a [u64]);

    impl Kernel for Script<'_> {
        type Output = String;

        #[inline(always)]
        fn run<I: Isa>(self) -> String {
            let mut out = Vec::new();
            let mut writer: Writer<'_, I> =
                Writer::new(&mut out, Layout { field: 0, key: 0, is_tag: [0, 0] });
            self.0.iter().for_each(|value| writer.decimal(b",", *value));
            writer.finish();
            String::from_utf8(out).unwrap()
        }
    }

    fn check(values: &[u64]) {
        let plain: String = values.iter().map(|value| format!(",{value}")).collect();
        assert_eq!(run(Script(values)), plain);
        assert_eq!(run_plain(Script(values)), plain);
    }

    #[test]
    fn digits_are_those_of_the_number() {
        for value in (0..EIGHT).step_by(7_919).chain(0..100_000).chain(EIGHT - 100_000..EIGHT) {
            let text = format!("{value:08}");
            assert_eq!((eight(value) | ZEROS).to_le_bytes(), text.as_bytes(), "{value}");
            if value < 10_000 {
                assert_eq!(four(value), eight(value), "{value}");
            }
        }
    }

    #[test]
    fn numbers_of_every_length_are_written() {
        let mut values = vec![0, u64::MAX];
        for power in 0..20 {
            let ten = 10u64.pow(power);
            values.extend([ten - 1, ten, ten + 1, ten.wrapping_mul(9), i64::MAX as u64 / ten]);
        }
        check(&values);
        values.iter().for_each(|value| check(&[*value]));
    }

    proptest! {
        #[test]
        fn any_number_is_written(values in proptest::collection::vec((any::<u64>(), 0u32..64), 0..40)) {
            check(&values.iter().map(|(value, shift)| value >> shift).collect::<Vec<_>>());
        }
    }
}
