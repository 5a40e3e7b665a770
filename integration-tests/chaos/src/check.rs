//! The judge: compares what stands in topics with what the seed says must stand there.
//!
//! Invariants, by the names under which they are reported: **I1** identity (each record once), **I2** running counts (per key
//! exactly 1, 2, …, n in the log's order), **I3** order (records of a partition and key stay in order), **I4** windows (each
//! key's window once, with the right aggregates), **I5** accounts (on time + late = input), **I6** live view (what a reader saw
//! while it happened is what stands there afterwards), **I7** committed (what a reader of committed records sees, one of all
//! records sees too). Input is checked first, so that a fault of the generator isn't blamed on the engine.
//!
//! The judge shares no code with the engine, nor with what makes windows or counts there. It doesn't know how rows were read.

mod counts;
mod identity;
mod sequence;
#[cfg(test)]
mod tests;
mod views;
mod windows;

use std::fmt;

use serde_json::Value;

use crate::workload::Workload;

pub use sequence::{Columns, Sequences};

/// A row of an output topic.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// The topic's partition.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// The record's value; not JSON: null.
    pub value: Value,
}

/// A violated invariant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Its name.
    pub invariant: &'static str,
    /// Whether something is missing, there too often, or wrong.
    pub kind: Kind,
    /// How many records it concerns.
    pub records: u64,
    /// Which ones and where.
    pub text: String,
}

/// What is wrong with records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// They aren't there.
    Lost,
    /// They are there more often than once.
    Doubled,
    /// They are there with another content, in another order, or though nothing says they should.
    Wrong,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}: {}", self.invariant, self.kind, self.records, self.text)
    }
}

/// All rows of a round's topics.
#[derive(Clone, Default, Debug)]
pub struct Outputs {
    /// The records as they were written.
    pub input: Vec<Row>,
    /// The identity's output.
    pub identity: View,
    /// The running counts.
    pub counts: View,
    /// The windows.
    pub windows: View,
    /// What came too late for its window.
    pub late: View,
}

/// A topic as several readers saw it.
#[derive(Clone, Default, Debug)]
pub struct View {
    /// A reader of committed records that was there from the start.
    pub live: Vec<Row>,
    /// A reader of committed records that began at the end.
    pub fresh: Vec<Row>,
    /// A reader of all records that began at the end.
    pub uncommitted: Vec<Row>,
}

impl View {
    /// Rows that stand in the log without being committed.
    #[must_use]
    pub fn aborted(&self) -> usize {
        self.uncommitted.len().saturating_sub(self.fresh.len())
    }
}

/// Everything that is wrong; nothing, if all invariants hold.
#[must_use]
pub fn all(workload: &Workload, outputs: &Outputs) -> Vec<Finding> {
    let input = identity::input(workload, &outputs.input);
    if !input.is_empty() {
        return input;
    }
    let mut findings = identity::check(workload, &outputs.identity.fresh);
    findings.extend(counts::check(workload, &outputs.counts.fresh));
    findings.extend(windows::check(workload, &outputs.windows.fresh, &outputs.late.fresh));
    let views = [
        ("identity", &outputs.identity),
        ("counts", &outputs.counts),
        ("windows", &outputs.windows),
        ("late", &outputs.late),
    ];
    findings.extend(views.iter().flat_map(|(name, view)| views::check(name, view)));
    findings
}

/// Whether everything that must come has come, as far as numbers of rows tell.
#[must_use]
pub fn is_complete(workload: &Workload, identity: u64, counts: u64, windows: u64) -> bool {
    let total = workload.total();
    identity >= total && counts >= total && windows >= workload.windows().len() as u64
}

/// Numbers as ranges: `3-5, 9`; of very many, the first ones.
fn ranges(mut numbers: Vec<u64>) -> String {
    const SHOWN: usize = 12;
    numbers.sort_unstable();
    numbers.dedup();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, end)) if *end + 1 == number => *end = number,
            _ => ranges.push((number, number)),
        }
    }
    let hidden = ranges.len().saturating_sub(SHOWN);
    let shown = ranges
        .iter()
        .take(SHOWN)
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if hidden > 0 {
        text.push_str(&format!(" and {hidden} more"));
    }
    text
}

/// Offsets of rows as ranges by partition.
fn places<'a>(rows: impl IntoIterator<Item = &'a Row>) -> String {
    let mut by_partition: std::collections::BTreeMap<i32, Vec<u64>> = std::collections::BTreeMap::new();
    for row in rows {
        by_partition.entry(row.partition).or_default().push(row.offset.unsigned_abs());
    }
    let of =
        |(partition, offsets): (i32, Vec<u64>)| format!("partition {partition} offsets {}", ranges(offsets));
    by_partition.into_iter().map(of).collect::<Vec<_>>().join("; ")
}

/// Rows of one kind of fault as a finding; nothing for none.
fn finding(
    invariant: &'static str,
    kind: Kind,
    records: usize,
    text: impl FnOnce() -> String,
) -> Option<Finding> {
    (records > 0).then(|| Finding { invariant, kind, records: records as u64, text: text() })
}
