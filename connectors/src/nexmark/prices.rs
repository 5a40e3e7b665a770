//! Prices: 10^x dollars for x uniform in [0, 6), in cents.
//!
//! `pow` would be the most expensive thing in a bid, so the exponent's bits are looked up in two tables and the rest is
//! linear. Tables come from multiplications alone, which are the same on every machine.

use crate::random::Lane;

/// Bits that each table is indexed with.
const BITS: u32 = 10;
const SIZE: usize = 1 << BITS;
/// 10^(6 / 2^10)
const COARSE_STEP: f64 = 1.013_583_133_334_065_7;
/// 10^(6 / 2^20)
const FINE_STEP: f64 = 1.000_013_175_584_384_4;
/// 6 ln 10: the slope of 10^(6 x) at 0.
const SLOPE: f64 = 13.815_510_557_964_275;

/// A source of prices.
#[derive(Clone)]
pub struct Prices {
    coarse: Box<[f64; SIZE]>,
    fine: Box<[f64; SIZE]>,
}

fn powers(first: f64, step: f64) -> Box<[f64; SIZE]> {
    let mut table = Box::new([first; SIZE]);
    let mut power = first;
    for entry in table.iter_mut() {
        *entry = power;
        power *= step;
    }
    table
}

impl Prices {
    /// The tables.
    #[must_use]
    pub fn new() -> Self {
        Self { coarse: powers(100.0, COARSE_STEP), fine: powers(1.0, FINE_STEP) }
    }

    /// Price `n` of a lane.
    #[inline]
    #[must_use]
    pub fn price(&self, lane: Lane, n: u64) -> i64 {
        let bits = lane.bits(n);
        let coarse = self.coarse[(bits >> (64 - BITS)) as usize % SIZE];
        let fine = self.fine[(bits >> (64 - 2 * BITS)) as usize % SIZE];
        // What is left of the fraction, below 2^-20: its power is linear to 1e-10.
        let rest = (bits << (2 * BITS) >> 11) as f64 / (1_u64 << 53) as f64 / (SIZE * SIZE) as f64;
        // Adding a half and truncating is `round` for what is never negative, without a call.
        (coarse * fine * (1.0 + SLOPE * rest) + 0.5) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_the_roots_that_they_say() {
        assert!((COARSE_STEP - 10_f64.powf(6.0 / 1024.0)).abs() < 1e-15);
        assert!((FINE_STEP - 10_f64.powf(6.0 / 1_048_576.0)).abs() < 1e-15);
    }

    #[test]
    fn prices_are_log_uniform_from_one_to_a_million_dollars() {
        let (prices, lane) = (Prices::new(), Lane::new(1, 1));
        let mut decades = [0_u32; 6];
        for n in 0..60_000 {
            let price = prices.price(lane, n);
            let exact = 10_f64.powf(lane.bits(n) as f64 / 2_f64.powi(64) * 6.0) * 100.0;
            assert!((price as f64 - exact).abs() <= 0.51 + exact * 1e-9, "{price} {exact}");
            decades[((price as f64 / 100.0).log10() as usize).min(5)] += 1;
        }
        assert!(decades.iter().all(|count| (9_500..10_500).contains(count)), "{decades:?}");
    }
}
