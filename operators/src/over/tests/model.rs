//! What the operator should answer: a walk over rows.

use std::collections::BTreeMap;

use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::over_aggregate_spec::Frame;
use weir_proto::v1::{AggregateCall, OverAggregateSpec};

use super::harness::{NAME, NUMBER, Row, SMALL, TEXT, VALUE};

/// See the module.
#[derive(Clone)]
pub(super) struct Model {
    spec: OverAggregateSpec,
    /// The rows of each key so far.
    seen: BTreeMap<String, Vec<Row>>,
    waiting: Vec<Row>,
    pub(super) watermark: i64,
    pub(super) late: u64,
}

fn key_of(spec: &OverAggregateSpec, row: &Row) -> String {
    let part = |column: &u32| match *column {
        NUMBER => format!("{:?}", row.number),
        SMALL => format!("{:?}", row.small),
        NAME => format!("{:?}", row.name),
        other => panic!("column {other} is no key"),
    };
    spec.key_columns.iter().map(part).collect::<Vec<_>>().join(",")
}

/// The result of a call over rows.
fn result(call: &AggregateCall, rows: &[Row]) -> String {
    let rows = rows.iter().filter(|row| call.filter_column.is_none() || row.flag == Some(true));
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let Some(&argument) = call.arguments.first() else { return rows.count().to_string() };
    if argument == TEXT {
        let values: Vec<&String> = rows.filter_map(|row| row.text.as_ref()).collect();
        return match call.function() {
            Function::Min => text(values.into_iter().min().cloned()),
            Function::Max => text(values.into_iter().max().cloned()),
            Function::FirstValue => text(values.first().copied().cloned()),
            Function::LastValue => text(values.last().copied().cloned()),
            other => panic!("{other:?} of a text"),
        };
    }
    assert_eq!(argument, VALUE);
    let values: Vec<i64> = rows.filter_map(|row| row.value).collect();
    let sum = || values.iter().fold(0_i64, |sum, value| sum.wrapping_add(*value));
    let number = |value: Option<i64>| text(value.map(|value| value.to_string()));
    let any = !values.is_empty();
    match call.function() {
        Function::Count => values.len().to_string(),
        Function::Sum => number(any.then(sum)),
        Function::Avg => number(any.then(|| sum().wrapping_div(values.len() as i64))),
        Function::Min => number(values.iter().min().copied()),
        Function::Max => number(values.iter().max().copied()),
        Function::FirstValue => number(values.first().copied()),
        Function::LastValue => number(values.last().copied()),
        other => panic!("{other:?} of a number"),
    }
}

fn answer(spec: &OverAggregateSpec, row: &Row, rows: &[Row]) -> String {
    let results = spec.aggregates.iter().map(|call| result(call, rows));
    std::iter::once(row.id.to_string()).chain(results).collect::<Vec<_>>().join(" | ")
}

impl Model {
    pub(super) fn new(spec: &OverAggregateSpec) -> Self {
        let (seen, waiting) = (BTreeMap::new(), Vec::new());
        Self { spec: spec.clone(), seen, waiting, watermark: i64::MIN, late: 0 }
    }

    pub(super) fn process(&mut self, rows: &[Row]) -> Vec<String> {
        if self.spec.time_column.is_some() {
            for row in rows {
                if row.time > self.watermark {
                    self.waiting.push(row.clone());
                } else {
                    self.late += 1;
                }
            }
            return Vec::new();
        }
        rows.iter().map(|row| self.push(row)).collect()
    }

    fn push(&mut self, row: &Row) -> String {
        let rows = self.seen.entry(key_of(&self.spec, row)).or_default();
        rows.push(row.clone());
        answer(&self.spec, row, rows)
    }

    pub(super) fn watermark(&mut self, watermark: i64) -> Vec<String> {
        self.watermark = self.watermark.max(watermark);
        let (mut due, waiting): (Vec<Row>, Vec<Row>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|row| row.time <= watermark);
        self.waiting = waiting;
        due.sort_by_key(|row| row.time);
        if self.spec.frame() == Frame::Rows {
            return due.iter().map(|row| self.push(row)).collect();
        }
        let mut answers = Vec::new();
        for peers in due.chunk_by(|a, b| a.time == b.time) {
            peers.iter().for_each(|row| {
                self.push(row);
            });
            answers.extend(
                peers.iter().map(|row| answer(&self.spec, row, &self.seen[&key_of(&self.spec, row)])),
            );
        }
        answers
    }

    /// What waits.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many keys have been seen.
    pub(super) fn keys(&self) -> usize {
        self.seen.len()
    }
}
