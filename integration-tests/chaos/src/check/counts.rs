//! I2: a key's running counts are exactly 1, 2, …, n in the order of the log, one for each record.
//!
//! The most sensitive of all: a commit that came twice repeats numbers, a lost one jumps, state that went back without its output
//! counts down, two live writers interleave, input before a restore begins at 1 again.

use std::collections::{BTreeMap, BTreeSet};

use super::identity::by_partition;
use super::{Finding, Kind, Row, finding, places};
use crate::workload::Workload;

struct Count {
    key: i64,
    n: u64,
    name: (u32, u64),
}

/// What stands in the counts' output topic.
pub fn check(workload: &Workload, rows: &[Row]) -> Vec<Finding> {
    let truth: BTreeMap<(u32, u64), i64> =
        workload.all().map(|record| ((record.p, record.seq), record.key)).collect();
    let mut next: BTreeMap<i64, u64> = BTreeMap::new();
    let mut home: BTreeMap<i64, i32> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let (mut foreign, mut doubled, mut jumps) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let Some(count) = read(row).filter(|count| truth.get(&count.name) == Some(&count.key)) else {
            foreign.push(row);
            continue;
        };
        if !seen.insert(count.name) {
            doubled.push((count.name, row));
        }
        // A key whose rows stand in two partitions has no order that could be checked.
        let is_elsewhere = *home.entry(count.key).or_insert(row.partition) != row.partition;
        let expected = next.entry(count.key).or_insert(1);
        if count.n != *expected || is_elsewhere {
            jumps.push((count.key, *expected, count.n, row));
        }
        *expected = count.n + 1;
    }
    let lost: Vec<_> = truth.keys().filter(|name| !seen.contains(name)).copied().collect();
    [
        finding("I2", Kind::Lost, lost.len(), || by_partition(lost.iter().copied())),
        finding("I2", Kind::Doubled, doubled.len(), || {
            let names = by_partition(doubled.iter().map(|(name, _)| *name));
            format!("{names} again at {}", places(doubled.iter().map(|(_, row)| *row)))
        }),
        finding("I2", Kind::Wrong, foreign.len(), || {
            format!("no such record of this key, at {}", places(foreign.iter().copied()))
        }),
        finding("I2", Kind::Wrong, jumps.len(), || describe(&jumps)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn describe(jumps: &[(i64, u64, u64, &Row)]) -> String {
    let shown = jumps.iter().take(5).map(|(key, expected, found, row)| {
        format!("key {key} says {found} instead of {expected} at {}:{}", row.partition, row.offset)
    });
    format!("{}; all at {}", shown.collect::<Vec<_>>().join(", "), places(jumps.iter().map(|(.., row)| *row)))
}

fn read(row: &Row) -> Option<Count> {
    let number = |name: &str| row.value.get(name)?.as_u64();
    Some(Count {
        key: row.value.get("key")?.as_i64()?,
        n: number("n")?,
        name: (u32::try_from(number("p")?).ok()?, number("seq")?),
    })
}
