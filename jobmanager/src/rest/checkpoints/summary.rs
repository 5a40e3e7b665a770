//! Least, largest, average and percentiles of the last checkpoints that completed.

use serde::Serialize;
use utoipa::ToSchema;

use super::entry::Entry;

/// See the module.
#[derive(Serialize, ToSchema)]
pub(super) struct Summary {
    checkpointed_size: Spread,
    state_size: Spread,
    end_to_end_duration: Spread,
    alignment_buffered: Spread,
    processed_data: Spread,
    persisted_data: Spread,
}

/// How values spread.
#[derive(Serialize, ToSchema, Default)]
pub(super) struct Spread {
    min: u64,
    max: u64,
    avg: u64,
    p50: f64,
    p90: f64,
    p95: f64,
    p99: f64,
    p999: f64,
}

impl Summary {
    pub(super) fn of(entries: impl Iterator<Item = Entry>) -> Self {
        let entries: Vec<_> = entries.filter(|entry| entry.is_completed).collect();
        let spread = |field: fn(&Entry) -> u64| Spread::of(entries.iter().map(field).collect());
        Self {
            checkpointed_size: spread(|entry| entry.checkpointed_size),
            state_size: spread(|entry| entry.state_size),
            end_to_end_duration: spread(|entry| entry.end_to_end_duration),
            alignment_buffered: Spread::default(),
            processed_data: Spread::default(),
            persisted_data: Spread::default(),
        }
    }
}

impl Spread {
    pub(super) fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else { return Self::default() };
        // The nearest rank.
        let rank = |share: f64| {
            let place = (share * values.len() as f64).ceil() as usize;
            values.get(place.saturating_sub(1)).map_or(0.0, |value| *value as f64)
        };
        Self {
            min,
            max,
            avg: values.iter().sum::<u64>() / values.len() as u64,
            p50: rank(0.5),
            p90: rank(0.9),
            p95: rank(0.95),
            p99: rank(0.99),
            p999: rank(0.999),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_none_one_and_many() {
        assert_eq!(Spread::of(Vec::new()).max, 0);
        let one = Spread::of(vec![7]);
        assert_eq!((one.min, one.avg, one.p50, one.p999), (7, 7, 7.0, 7.0));
        let many = Spread::of((1..=100).rev().collect());
        assert_eq!((many.min, many.max, many.avg), (1, 100, 50));
        assert_eq!((many.p50, many.p90, many.p99, many.p999), (50.0, 90.0, 99.0, 100.0));
    }
}
