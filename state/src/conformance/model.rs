//! The model: maps, as the contract reads.

use std::collections::{BTreeMap, BTreeSet};

/// What a text key and a number key lead to.
pub(super) type TwoKeys = (Option<String>, Option<i64>);

/// A sum, a minimum, a maximum and a last text.
pub(super) type Folded = (Option<i64>, Option<i64>, Option<i64>, Option<String>);

/// All tables of the job.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) values: BTreeMap<TwoKeys, (Option<i64>, Option<String>)>,
    /// With the time of the last write.
    pub(super) expiring: BTreeMap<i64, (Option<i64>, i64)>,
    pub(super) aggregates: BTreeMap<i64, Folded>,
    pub(super) maps: BTreeMap<i64, BTreeMap<String, Option<i64>>>,
    pub(super) lists: BTreeMap<i64, Vec<Option<String>>>,
    /// Time, then key.
    pub(super) timers: BTreeSet<(i64, i64)>,
}

/// How long rows of `expiring` are there.
pub(super) const TIME_TO_LIVE: i64 = 50;

impl Model {
    pub(super) fn fold(&mut self, key: i64, number: Option<i64>, text: Option<String>) {
        let row = self.aggregates.entry(key).or_default();
        if let Some(number) = number {
            row.0 = Some(row.0.unwrap_or(0).wrapping_add(number));
            row.1 = Some(row.1.map_or(number, |least| least.min(number)));
            row.2 = Some(row.2.map_or(number, |most| most.max(number)));
        }
        if text.is_some() {
            row.3 = text;
        }
    }

    pub(super) fn unexpired(&self, key: i64, now: i64) -> Option<Option<i64>> {
        let (value, written) = self.expiring.get(&key)?;
        (written + TIME_TO_LIVE > now).then_some(*value)
    }
}
