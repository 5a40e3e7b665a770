//! Exactly-once for any topic whose records carry a key and a number that counts up by one: what is missing, what is there twice,
//! what is out of order. For users' own pipelines, whose truth nobody can compute.
//!
//! A key's numbers must be one unbroken run. Where it begins and ends isn't known here: what is missing at either end shows only
//! against the wanted count.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Finding, Kind, Row, finding, places, ranges};

/// Which fields of a record say what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Columns {
    /// The fields that tell sequences apart; none: the whole topic is one.
    pub keys: Vec<String>,
    /// The number within the sequence.
    pub sequence: String,
    /// What a sequence begins with; `None`: with whatever its smallest number is.
    pub first: Option<u64>,
    /// How many records each sequence must have; `None`: not checked.
    pub count: Option<u64>,
    /// Whether a sequence's records must stand in order, each in one partition.
    pub ordered: bool,
}

/// What was found, and how much was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sequences {
    /// Different keys.
    pub keys: u64,
    /// Records.
    pub records: u64,
    /// What is wrong; nothing, if all sequences are whole.
    pub findings: Vec<Finding>,
}

#[derive(Default)]
struct Sequence<'a> {
    /// Where each number stands.
    numbers: BTreeMap<u64, Vec<&'a Row>>,
    last: Option<(i32, u64)>,
    disordered: Vec<&'a Row>,
}

impl Columns {
    /// Checks these rows, which stand in the order of their partitions.
    #[must_use]
    pub fn check(&self, rows: &[Row]) -> Sequences {
        let mut sequences: BTreeMap<String, Sequence<'_>> = BTreeMap::new();
        let mut unreadable = Vec::new();
        for row in rows {
            match self.read(row) {
                Some((key, number)) => sequences.entry(key).or_default().add(number, row),
                None => unreadable.push(row),
            }
        }
        let mut findings: Vec<_> =
            sequences.iter().flat_map(|(key, sequence)| self.judge(key, sequence)).collect();
        findings.extend(finding("columns", Kind::Wrong, unreadable.len(), || {
            format!("without {} as a number at {}", self.sequence, places(unreadable.iter().copied()))
        }));
        Sequences { keys: sequences.len() as u64, records: rows.len() as u64, findings }
    }

    fn read(&self, row: &Row) -> Option<(String, u64)> {
        let keys: Option<Vec<String>> =
            self.keys.iter().map(|key| Some(format!("{key} {}", plain(row.value.get(key)?)))).collect();
        Some((keys?.join(", "), row.value.get(&self.sequence)?.as_u64()?))
    }

    fn judge(&self, key: &str, sequence: &Sequence<'_>) -> Vec<Finding> {
        let smallest = sequence.numbers.keys().next().copied().unwrap_or(0);
        let largest = sequence.numbers.keys().next_back().copied().unwrap_or(0);
        let first = self.first.unwrap_or(smallest);
        let last = self.count.map_or(largest, |count| (first + count).saturating_sub(1));
        let lost = gaps(sequence.numbers.keys().copied(), first, last);
        let missing: u64 = lost.iter().map(|(from, to)| to - from + 1).sum();
        let doubled: Vec<_> =
            sequence.numbers.values().flat_map(|rows| rows.iter().skip(1).copied()).collect();
        let foreign: Vec<_> = sequence
            .numbers
            .iter()
            .filter(|(number, _)| **number < first || **number > last)
            .flat_map(|(_, rows)| rows.iter().copied())
            .collect();
        let disordered = if self.ordered { sequence.disordered.as_slice() } else { &[] };
        let shown = lost.iter().take(12).map(|(from, to)| format!("{from}-{to}"));
        [
            finding("sequence", Kind::Lost, usize::try_from(missing).unwrap_or(usize::MAX), || {
                format!("{key}: {}", shown.collect::<Vec<_>>().join(", "))
            }),
            finding("sequence", Kind::Doubled, doubled.len(), || {
                let again =
                    sequence.numbers.iter().filter(|(_, rows)| rows.len() > 1).map(|(number, _)| *number);
                format!("{key}: {} again at {}", ranges(again.collect()), places(doubled.iter().copied()))
            }),
            finding("sequence", Kind::Wrong, foreign.len(), || {
                format!("{key}: outside {first}-{last} at {}", places(foreign.iter().copied()))
            }),
            finding("order", Kind::Wrong, disordered.len(), || {
                format!("{key}: not behind its predecessor at {}", places(disordered.iter().copied()))
            }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl<'a> Sequence<'a> {
    fn add(&mut self, number: u64, row: &'a Row) {
        let follows = self.last.is_none_or(|(partition, last)| partition == row.partition && number > last);
        if !follows {
            self.disordered.push(row);
        }
        self.last = Some((row.partition, number));
        self.numbers.entry(number).or_default().push(row);
    }
}

/// The runs of numbers from `first` to `last` that `numbers`, ascending, leave out.
fn gaps(numbers: impl Iterator<Item = u64>, first: u64, last: u64) -> Vec<(u64, u64)> {
    let mut gaps = Vec::new();
    let mut next = first;
    for number in numbers.filter(|number| (first..=last).contains(number)) {
        if number > next {
            gaps.push((next, number - 1));
        }
        next = number + 1;
    }
    if next <= last {
        gaps.push((next, last));
    }
    gaps
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
