//! I1 and I3: each record of the input stands in the output once, as it was, and in the order of its partition and key.

use std::collections::BTreeMap;

use super::{Finding, Kind, Row, finding, places, ranges};
use crate::workload::{Record, Workload};

/// The name under which a record is found: partition and number.
type Name = (u32, u64);

/// What stands in the input topic is what the seed says, in its order.
pub fn input(workload: &Workload, rows: &[Row]) -> Vec<Finding> {
    multiset("input", workload, rows).into_iter().chain(order("input", rows)).collect()
}

/// What stands in the identity's output topic.
pub fn check(workload: &Workload, rows: &[Row]) -> Vec<Finding> {
    multiset("I1", workload, rows).into_iter().chain(order("I3", rows)).collect()
}

fn multiset(invariant: &'static str, workload: &Workload, rows: &[Row]) -> Vec<Finding> {
    let mut truth: BTreeMap<Name, Record> = BTreeMap::new();
    truth.extend(workload.all().map(|record| ((record.p, record.seq), record)));
    let mut seen: BTreeMap<Name, Vec<&Row>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in rows {
        match (name(row).and_then(|name| truth.get(&name)), record(row)) {
            (Some(expected), Some(found)) if found == *expected => {
                seen.entry((found.p, found.seq)).or_default().push(row);
            }
            _ => wrong.push(row),
        }
    }
    let lost: Vec<Name> = truth.keys().filter(|name| !seen.contains_key(name)).copied().collect();
    let doubled: Vec<(Name, &Row)> =
        seen.iter().flat_map(|(name, rows)| rows.iter().skip(1).map(move |row| (*name, *row))).collect();
    let names = doubled.iter().map(|(name, _)| *name);
    [
        finding(invariant, Kind::Lost, lost.len(), || by_partition(lost.iter().copied())),
        finding(invariant, Kind::Doubled, doubled.len(), || {
            format!("{} again at {}", by_partition(names), places(doubled.iter().map(|(_, row)| *row)))
        }),
        finding(invariant, Kind::Wrong, wrong.len(), || {
            format!("no such record, at {}", places(wrong.iter().copied()))
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Rows of one partition and key whose number isn't larger than that of the one before in the log.
fn order(invariant: &'static str, rows: &[Row]) -> Option<Finding> {
    let mut last: BTreeMap<(i32, u32, i64), u64> = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in rows {
        let Some(record) = record(row) else { continue };
        let place = last.entry((row.partition, record.p, record.key)).or_default();
        // A doubled one is counted as such, by the other check.
        if record.kseq < *place {
            wrong.push(row);
        }
        *place = record.kseq.max(*place);
    }
    finding(invariant, Kind::Wrong, wrong.len(), || {
        format!("behind a later record of its partition and key, at {}", places(wrong.iter().copied()))
    })
}

fn name(row: &Row) -> Option<Name> {
    Some((u32::try_from(row.value.get("p")?.as_u64()?).ok()?, row.value.get("seq")?.as_u64()?))
}

/// The record that a row holds, its time made anew from the text.
fn record(row: &Row) -> Option<Record> {
    let mut record: Record = serde_json::from_value(row.value.clone()).ok()?;
    record.read_time().then_some(record)
}

pub(super) fn by_partition(names: impl IntoIterator<Item = Name>) -> String {
    let mut numbers: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for (p, seq) in names {
        numbers.entry(p).or_default().push(seq);
    }
    let of = |(p, numbers): (u32, Vec<u64>)| format!("p {p} seq {}", ranges(numbers));
    numbers.into_iter().map(of).collect::<Vec<_>>().join("; ")
}
