//! I6 and I7: a reader that watched saw exactly what stands there afterwards, and committed records are a part of all records.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Kind, Row, View, finding, places};

/// The views of one topic.
pub fn check(topic: &str, view: &View) -> Vec<Finding> {
    let (live, fresh) = (by_place(&view.live), by_place(&view.fresh));
    let vanished: Vec<_> =
        live.iter().filter(|(place, _)| !fresh.contains_key(*place)).map(|(_, row)| *row).collect();
    let unseen: Vec<_> =
        fresh.iter().filter(|(place, _)| !live.contains_key(*place)).map(|(_, row)| *row).collect();
    let changed: Vec<_> = live
        .iter()
        .filter(|(place, row)| fresh.get(*place).is_some_and(|other| other.value != row.value))
        .map(|(_, row)| *row)
        .collect();
    let all: BTreeSet<_> = view.uncommitted.iter().map(|row| (row.partition, row.offset)).collect();
    let missing: Vec<_> =
        fresh.iter().filter(|(place, _)| !all.contains(*place)).map(|(_, row)| *row).collect();
    [
        finding("I6", Kind::Wrong, vanished.len(), || {
            format!(
                "{topic}: seen while it happened and not committed afterwards: {}",
                places(vanished.iter().copied())
            )
        }),
        finding("I6", Kind::Lost, unseen.len(), || {
            format!("{topic}: committed and never seen by who watched: {}", places(unseen.iter().copied()))
        }),
        finding("I6", Kind::Wrong, changed.len(), || {
            format!("{topic}: another content afterwards: {}", places(changed.iter().copied()))
        }),
        finding("I7", Kind::Wrong, missing.len(), || {
            format!("{topic}: committed, but not among all records: {}", places(missing.iter().copied()))
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn by_place(rows: &[Row]) -> BTreeMap<(i32, i64), &Row> {
    rows.iter().map(|row| ((row.partition, row.offset), row)).collect()
}
