//! When number n happens, for a rate that is constant or goes through a cycle of steps. Pure; milliseconds from the start.

use weir_api::error::{Code, Error, Result};

/// The moments of all numbers.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Rates, in numbers per second, each for `step_millis`; with one alone, for ever.
    rates: Vec<u64>,
    step_millis: u64,
    /// Numbers before each step of the cycle; the last entry is the whole cycle's.
    before: Vec<u64>,
}

impl Timeline {
    /// `rate` numbers a second, for ever.
    pub fn constant(rate: u64) -> Result<Self> {
        Self::steps(vec![rate], 0)
    }

    /// A cycle of rates, each for `step_millis`.
    pub fn steps(rates: Vec<u64>, step_millis: u64) -> Result<Self> {
        let constant = rates.len() == 1;
        let mut before = vec![0];
        for rate in &rates {
            let numbers = rate.checked_mul(step_millis).map(|product| product / 1000);
            let (Some(last), Some(numbers)) = (before.last().copied(), numbers) else {
                return Err(Error::new(Code::TableOptions, "the rate's period is too long"));
            };
            if *rate == 0 || (!constant && numbers == 0) {
                return Err(Error::new(
                    Code::TableOptions,
                    "each step of the rate's period must hold at least one event",
                ));
            }
            before.push(last + numbers);
        }
        if rates.is_empty() {
            return Err(Error::internal("a timeline without a rate"));
        }
        Ok(Self { rates, step_millis, before })
    }

    /// When number `n` happens.
    #[inline]
    #[must_use]
    pub fn millis(&self, n: u64) -> u64 {
        match self.rates.as_slice() {
            [rate] => scaled(n, *rate),
            rates => {
                let cycle = self.before.last().copied().unwrap_or(1).max(1);
                let (turns, rest) = (n / cycle, n % cycle);
                let step = self
                    .before
                    .partition_point(|&numbers| numbers <= rest)
                    .saturating_sub(1)
                    .min(rates.len() - 1);
                let within = scaled(rest - self.before[step], rates[step]);
                (turns * rates.len() as u64 + step as u64) * self.step_millis + within
            }
        }
    }

    /// How many numbers have happened by `millis`, that moment included.
    #[must_use]
    pub fn due(&self, millis: u64) -> u64 {
        let ceiling = |millis: u64, rate: u64| {
            let product = u128::from(millis + 1) * u128::from(rate);
            u64::try_from(product.div_ceil(1000)).unwrap_or(u64::MAX)
        };
        match self.rates.as_slice() {
            [rate] => ceiling(millis, *rate),
            rates => {
                let (steps, within) = (millis / self.step_millis, millis % self.step_millis);
                let count = rates.len() as u64;
                let (turns, step) = (steps / count, (steps % count) as usize);
                let cycle = self.before.last().copied().unwrap_or(1);
                let in_step = self.before[step + 1] - self.before[step];
                turns * cycle + self.before[step] + ceiling(within, rates[step]).min(in_step)
            }
        }
    }
}

/// `n` numbers at `rate` a second, in whole milliseconds.
#[inline]
fn scaled(n: u64, rate: u64) -> u64 {
    match n.checked_mul(1000) {
        Some(product) => product / rate,
        None => u64::try_from(u128::from(n) * 1000 / u128::from(rate)).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn due_is_the_inverse_of_millis(rates in prop::collection::vec(1_u64..5_000, 1..4), step in 1_000_u64..4_000, millis in 0_u64..50_000) {
            let timeline = Timeline::steps(rates, step).expect("valid");
            let due = timeline.due(millis);
            prop_assert!(due == 0 || timeline.millis(due - 1) <= millis);
            prop_assert!(timeline.millis(due) > millis);
        }

        #[test]
        fn time_never_goes_back(rates in prop::collection::vec(1_u64..50, 1..4), n in 0_u64..10_000) {
            let timeline = Timeline::steps(rates, 1_000).expect("valid");
            prop_assert!(timeline.millis(n) <= timeline.millis(n + 1));
        }
    }

    #[test]
    fn constant_rate() {
        let timeline = Timeline::constant(10_000).expect("valid");
        assert_eq!(timeline.millis(0), 0);
        assert_eq!(timeline.millis(9), 0);
        assert_eq!(timeline.millis(10), 1);
        assert_eq!(timeline.due(0), 10);
        assert!(Timeline::constant(0).is_err());
        assert_eq!(Timeline::constant(1).expect("valid").millis(u64::MAX / 2), u64::MAX);
    }
}
