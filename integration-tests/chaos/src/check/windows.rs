//! I4 and I5: each key's window fires once with the right aggregates, and every record is on time or late, never both or neither.
//!
//! A planted record is late unless its partition ran ahead of the others: then it opens a window where only planted ones belong.
//! So a window there must hold exactly those of its planted records that aren't in the late output.

use std::collections::BTreeMap;

use super::{Finding, Kind, Row, finding, places};
use crate::workload::{Aggregate, Record, Window, Workload, millis_of, timestamp};

/// By what a late record is known: it keeps only the columns that the window reads.
type Trace = (i64, i64, i64);

/// What stands in the windows' output topic and in that of late records.
pub fn check(workload: &Workload, windows: &[Row], late: &[Row]) -> Vec<Finding> {
    let mut planted: BTreeMap<Trace, u64> = BTreeMap::new();
    for record in workload.all().filter(Record::is_planted) {
        *planted.entry((record.key, record.millis(), record.amount)).or_default() += 1;
    }
    let late_findings = take_late(&mut planted, late);
    let mut expected = workload.windows();
    expected.extend(on_time(&planted));
    let mut findings = compare(&expected, windows);
    findings.extend(late_findings);
    findings
}

/// Takes the records of the late output away from the planted ones.
fn take_late(planted: &mut BTreeMap<Trace, u64>, late: &[Row]) -> Option<Finding> {
    let mut foreign = Vec::new();
    for row in late {
        match trace(row).and_then(|trace| planted.get_mut(&trace)).filter(|left| **left > 0) {
            Some(left) => *left -= 1,
            None => foreign.push(row),
        }
    }
    finding("I5", Kind::Wrong, foreign.len(), || {
        format!(
            "late, though they came in time or are in the late output already, at {}",
            places(foreign.iter().copied())
        )
    })
}

/// The windows of planted records that weren't late.
fn on_time(planted: &BTreeMap<Trace, u64>) -> BTreeMap<Window, Aggregate> {
    let mut amounts: BTreeMap<Window, Vec<i64>> = BTreeMap::new();
    for ((key, at, amount), count) in planted {
        let window = (*key, *at - at.rem_euclid(crate::workload::WINDOW_MILLIS));
        let copies = usize::try_from(*count).unwrap_or(usize::MAX);
        if copies > 0 {
            amounts.entry(window).or_default().extend(std::iter::repeat_n(*amount, copies));
        }
    }
    amounts.into_iter().filter_map(|(window, amounts)| Some((window, Aggregate::over(amounts)?))).collect()
}

fn compare(expected: &BTreeMap<Window, Aggregate>, rows: &[Row]) -> Vec<Finding> {
    let mut seen: BTreeMap<Window, u64> = BTreeMap::new();
    let (mut doubled, mut wrong) = (Vec::new(), Vec::new());
    for row in rows {
        let Some((window, aggregate)) = read(row) else {
            wrong.push((row, "unreadable".to_owned()));
            continue;
        };
        let times = seen.entry(window).or_default();
        *times += 1;
        if *times > 1 {
            doubled.push(row);
        } else if expected.get(&window) != Some(&aggregate) {
            wrong.push((
                row,
                format!("{} says {aggregate:?}, truth {:?}", named(window), expected.get(&window)),
            ));
        }
    }
    let lost: Vec<Window> = expected.keys().filter(|window| !seen.contains_key(window)).copied().collect();
    [
        finding("I4", Kind::Lost, lost.len(), || {
            lost.iter().take(8).map(|window| named(*window)).collect::<Vec<_>>().join(", ")
        }),
        finding("I4", Kind::Doubled, doubled.len(), || places(doubled.iter().copied())),
        finding("I4", Kind::Wrong, wrong.len(), || {
            let shown: Vec<_> = wrong.iter().take(5).map(|(_, text)| text.as_str()).collect();
            format!("{}; all at {}", shown.join(", "), places(wrong.iter().map(|(row, _)| *row)))
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn named((key, start): Window) -> String {
    format!("key {key} at {}", timestamp(start))
}

fn read(row: &Row) -> Option<(Window, Aggregate)> {
    let number = |name: &str| row.value.get(name)?.as_i64();
    let start = millis_of(row.value.get("window_start")?.as_str()?)?;
    let aggregate = Aggregate {
        count: row.value.get("n")?.as_u64()?,
        sum: number("total")?,
        min: number("least")?,
        max: number("greatest")?,
    };
    Some(((number("key")?, start), aggregate))
}

/// The late output's row is the record as JSON in a text.
fn trace(row: &Row) -> Option<Trace> {
    let late: serde_json::Value = serde_json::from_str(row.value.get("row")?.as_str()?).ok()?;
    Some((late.get("key")?.as_i64()?, millis_of(late.get("ts")?.as_str()?)?, late.get("amount")?.as_i64()?))
}
