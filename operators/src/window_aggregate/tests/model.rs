//! The model: rows are kept as they came, windows are found by their definition, aggregates are computed row by row.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, TimestampMillisecondArray};
use arrow::util::display::array_value_to_string;
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::window::Kind;
use weir_proto::v1::{AggregateCall, WindowAggregateSpec};

use super::harness::{FLAG, MAX_PARALLELISM, Row, TEXT, VALUE, batch_of, in_order};
use crate::window_aggregate::restored::key_groups;

/// A key as text, and its key group.
type Key = (String, u32);

#[derive(Clone)]
pub(super) struct Model {
    spec: WindowAggregateSpec,
    rows: BTreeMap<Key, Vec<Row>>,
    /// By key group.
    fired: Vec<i64>,
    pub(super) late: Vec<Row>,
}

impl Model {
    pub(super) fn new(spec: &WindowAggregateSpec) -> Self {
        Self {
            spec: spec.clone(),
            rows: BTreeMap::new(),
            fired: vec![i64::MIN; MAX_PARALLELISM as usize],
            late: Vec::new(),
        }
    }

    /// Ends of the windows that hold a time, by definition.
    fn ends(&self, time: i64) -> Vec<i64> {
        let (size, slide, offset) = match self.spec.window.as_ref().unwrap().kind.as_ref().unwrap() {
            Kind::Tumble(tumble) => {
                (tumble.size_millis as i64, tumble.size_millis as i64, tumble.offset_millis)
            }
            Kind::Hop(hop) => (hop.size_millis as i64, hop.slide_millis as i64, hop.offset_millis),
            Kind::Cumulate(cumulate) => {
                let (size, step) = (cumulate.size_millis as i64, cumulate.step_millis as i64);
                let start = (time - cumulate.offset_millis).div_euclid(size) * size + cumulate.offset_millis;
                return (1..=size / step)
                    .map(|number| start + number * step)
                    .filter(|end| time < *end)
                    .collect();
            }
            other => panic!("{other:?}"),
        };
        (time - size + 1..=time)
            .filter(|start| (start - offset).rem_euclid(slide) == 0)
            .map(|start| start + size)
            .collect()
    }

    fn start(&self, end: i64) -> i64 {
        match self.spec.window.as_ref().unwrap().kind.as_ref().unwrap() {
            Kind::Tumble(tumble) => end - tumble.size_millis as i64,
            Kind::Hop(hop) => end - hop.size_millis as i64,
            Kind::Cumulate(cumulate) => {
                let (size, offset) = (cumulate.size_millis as i64, cumulate.offset_millis);
                (end - 1 - offset).div_euclid(size) * size + offset
            }
            other => panic!("{other:?}"),
        }
    }

    fn key(&self, row: &Row) -> Key {
        let batch = batch_of(std::slice::from_ref(row));
        let columns: Vec<_> =
            self.spec.key_columns.iter().map(|&key| batch.column(key as usize).clone()).collect();
        let text: Vec<String> =
            columns
                .iter()
                .map(|column| {
                    if column.is_null(0) { "-".to_owned() } else { array_value_to_string(column, 0).unwrap() }
                })
                .collect();
        (text.join(" | "), key_groups(&columns, 1, MAX_PARALLELISM).unwrap()[0])
    }

    pub(super) fn process(&mut self, row: &Row) {
        let key = self.key(row);
        let ends = self.ends(row.time);
        if ends.is_empty() {
            return;
        }
        if ends.iter().all(|end| end - 1 <= self.fired[key.1 as usize]) {
            self.late.push(row.clone());
        } else {
            self.rows.entry(key).or_default().push(row.clone());
        }
    }

    /// Event time has come to `watermark` for these key groups; the results, in no order.
    pub(super) fn watermark(&mut self, watermark: i64, groups: std::ops::Range<u32>) -> Vec<String> {
        let mut results = Vec::new();
        for (key, rows) in self.rows.iter().filter(|(key, _)| groups.contains(&key.1)) {
            let ends: BTreeSet<i64> = rows.iter().flat_map(|row| self.ends(row.time)).collect();
            for end in
                ends.into_iter().filter(|end| end - 1 > self.fired[key.1 as usize] && end - 1 <= watermark)
            {
                let held: Vec<&Row> = rows.iter().filter(|row| self.ends(row.time).contains(&end)).collect();
                results.push(self.result(&key.0, &held, end));
            }
        }
        for group in groups {
            let fired = &mut self.fired[group as usize];
            *fired = watermark.max(*fired);
        }
        results
    }

    fn result(&self, key: &str, rows: &[&Row], end: i64) -> String {
        let mut cells: Vec<String> =
            if self.spec.key_columns.is_empty() { Vec::new() } else { vec![key.to_owned()] };
        cells.extend(self.spec.aggregates.iter().map(|call| aggregate(call, rows)));
        for time in [self.start(end), end, end - 1] {
            cells.push(array_value_to_string(&TimestampMillisecondArray::from(vec![time]), 0).unwrap());
        }
        cells.join(" | ")
    }
}

fn aggregate(call: &AggregateCall, rows: &[&Row]) -> String {
    let rows: Vec<&&Row> = match call.filter_column {
        Some(FLAG) => rows.iter().filter(|row| row.flag == Some(true)).collect(),
        _ => rows.iter().collect(),
    };
    let null = || "-".to_owned();
    match call.arguments.first() {
        None => rows.len().to_string(),
        Some(&VALUE) => {
            let mut values: Vec<i64> = rows.iter().filter_map(|row| row.value).collect();
            if call.distinct {
                values = values.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
            }
            let sum = values.iter().fold(0_i64, |sum, &value| sum.wrapping_add(value));
            match call.function() {
                Function::Count => values.len().to_string(),
                Function::ApproxCountDistinct => values.iter().collect::<BTreeSet<_>>().len().to_string(),
                _ if values.is_empty() => null(),
                Function::ArrayAgg => {
                    let values: Vec<String> = values.iter().map(i64::to_string).collect();
                    in_order(&format!("[{}]", values.join(", ")))
                }
                Function::Sum => sum.to_string(),
                Function::Avg => (sum / values.len() as i64).to_string(),
                Function::Min => values.iter().min().unwrap().to_string(),
                Function::Max => values.iter().max().unwrap().to_string(),
                other => panic!("{other:?}"),
            }
        }
        Some(&TEXT) => {
            let mut values: Vec<&String> = rows.iter().filter_map(|row| row.text.as_ref()).collect();
            if call.distinct {
                values = values.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
            }
            match call.function() {
                Function::Collect if !values.is_empty() => {
                    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
                    values.iter().for_each(|value| *counts.entry(value).or_default() += 1);
                    let counts: Vec<String> =
                        counts.iter().map(|(value, count)| format!("{value}: {count}")).collect();
                    in_order(&format!("{{{}}}", counts.join(", ")))
                }
                Function::Collect => null(),
                Function::Count => values.len().to_string(),
                Function::Min => values.iter().min().map_or_else(null, ToString::to_string),
                Function::Max => values.iter().max().map_or_else(null, ToString::to_string),
                other => panic!("{other:?}"),
            }
        }
        other => panic!("{other:?}"),
    }
}
