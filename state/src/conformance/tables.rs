//! What random work doesn't reach: limits, refusals, types, memory.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int16Array, Int64Array,
    ListArray, RecordBatch, TimestampMillisecondArray,
};
use arrow::datatypes::{Field, Int64Type};
use weir_api::error::{Code, Error, Result};
use weir_api::state::backend::{ABSENT, Fold, Instance, Keys, StateBackends, TableKind};
use weir_api::state::{Scope, StateTable};

use super::chain::Chain;
use super::job::{MAX_PARALLELISM, numbers, open, spec};
use super::{ManualClock, same};

pub(super) fn check(backends: &dyn StateBackends) -> Result<()> {
    types(backends).map_err(|error| error.context("values of all types"))?;
    limit(backends).map_err(|error| error.context("the limit of memory"))?;
    memory(backends).map_err(|error| error.context("memory that is given back"))?;
    returning(backends).map_err(|error| error.context("keys that come back"))?;
    refusals(backends).map_err(|error| error.context("what is refused"))
}

fn columns() -> Vec<ArrayRef> {
    vec![
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(Int16Array::from(vec![Some(-3), Some(7), None])),
        Arc::new(Float64Array::from(vec![Some(-0.5), Some(f64::INFINITY), None])),
        Arc::new(Date32Array::from(vec![Some(-1), None, Some(20_000)])),
        Arc::new(TimestampMillisecondArray::from(vec![Some(-1), None, Some(5)]).with_timezone("UTC")),
        Arc::new(Decimal128Array::from(vec![Some(-1), None, Some(1 << 100)])),
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
            Some(vec![Some(1), None]),
            None,
            Some(Vec::new()),
        ])),
    ]
}

fn types(backends: &dyn StateBackends) -> Result<()> {
    let clock = ManualClock::new();
    let values = columns();
    let fields: Vec<Field> = values
        .iter()
        .zip(0..)
        .map(|(column, at)| Field::new(format!("c{at}"), column.data_type().clone(), true))
        .collect();
    let declared =
        || spec("typed", vec![fields[1].clone(), fields[4].clone()], TableKind::Value, fields.clone());
    let keys = [Arc::clone(&values[1]), Arc::clone(&values[4])];
    let mut backend = open(backends, &clock, 0, 1)?;
    let table = backend.declare(declared())?;
    let mut rows = Vec::new();
    backend.intern(table, Keys { columns: &keys, rows: 3 }, &mut rows)?;
    backend.write(table, &rows, &values)?;
    let mut frozen = backend.keyed_state().freeze(Scope::Full)?;
    let mut restored = open(backends, &clock, 0, 1)?;
    restored.declare(declared())?;
    while let Some((_, piece)) = frozen.next()? {
        restored.keyed_state().import(&piece)?;
    }
    for backend in [&mut backend, &mut restored] {
        backend.find(table, Keys { columns: &keys, rows: 3 }, &mut rows)?;
        same("values", &backend.read(table, &rows)?, &values)?;
    }
    Ok(())
}

fn limit(backends: &dyn StateBackends) -> Result<()> {
    let clock = ManualClock::new();
    let mut backend = backends.open(Instance {
        uid: weir_api::id::OperatorUid::new("limited")?,
        key_groups: weir_api::graph::KeyGroupRange { start: 0, end: MAX_PARALLELISM },
        max_parallelism: MAX_PARALLELISM,
        limit_bytes: 1 << 20,
        clock,
    })?;
    let key = Field::new("k", arrow::datatypes::DataType::Int64, false);
    let table = backend.declare(spec("limited", vec![key], TableKind::Value, Vec::new()))?;
    for start in 0..1000_i64 {
        let keys: [ArrayRef; 1] = [Arc::new(Int64Array::from_iter_values(start * 1000..start * 1000 + 1000))];
        if let Err(error) = backend.intern(table, Keys { columns: &keys, rows: 1000 }, &mut Vec::new()) {
            same("the code", &error.code(), &Code::StateLimit)?;
            return same("whether it names the operator", &error.message().contains("limited"), &true);
        }
    }
    Err(Error::internal("a million keys fit into a mebibyte"))
}

/// Keys that come and go, with snapshots all the while, don't pile up.
fn memory(backends: &dyn StateBackends) -> Result<()> {
    let clock = ManualClock::new();
    let mut backend = open(backends, &clock, 0, 1)?;
    let key = Field::new("k", arrow::datatypes::DataType::Int64, false);
    let text = Field::new("t", arrow::datatypes::DataType::Utf8, true);
    let table = backend.declare(spec("passing", vec![key], TableKind::Value, vec![text]))?;
    let mut early = 0;
    for round in 0..200_i64 {
        let keys: [ArrayRef; 1] = [numbers((0..2000).map(|key| Some(round * 2000 + key)))];
        let keys = Keys { columns: &keys, rows: 2000 };
        let texts: ArrayRef =
            Arc::new((0..2000).map(|_| Some("some text of a length")).collect::<arrow::array::StringArray>());
        let mut rows = Vec::new();
        backend.intern(table, keys, &mut rows)?;
        backend.write(table, &rows, &[texts])?;
        if round % 2 == 0 {
            let mut frozen = backend.keyed_state().freeze(Scope::Changes)?;
            while frozen.next()?.is_some() {}
        }
        backend.find(table, keys, &mut rows)?;
        backend.remove(table, &rows)?;
        if round == 20 {
            early = backend.size_bytes();
        }
    }
    let late = backend.size_bytes();
    same("whether memory stays within twice of what it was", &(late <= 2 * early), &true)
        .map_err(|error| error.context(format_args!("{early} bytes became {late}")))
}

/// Keys that are removed, told of, and come back one by one, some to be removed again.
fn returning(backends: &dyn StateBackends) -> Result<()> {
    let clock = ManualClock::new();
    let mut backend = open(backends, &clock, 0, 1)?;
    let key = Field::new("k", arrow::datatypes::DataType::Int64, false);
    let table = backend.declare(spec("returning", vec![key], TableKind::Value, Vec::new()))?;
    let (mut chain, mut rows) = (Chain::default(), Vec::new());
    let batch = |keys: std::ops::Range<i64>| [numbers(keys.map(Some))];
    let all = batch(0..1000);
    let all = Keys { columns: &all, rows: 1000 };
    backend.intern(table, all, &mut rows)?;
    chain.add(backend.keyed_state().freeze(Scope::Full)?.as_mut())?;
    backend.remove(table, &rows)?;
    chain.add(backend.keyed_state().freeze(Scope::Changes)?.as_mut())?;
    for key in (900..1000).rev() {
        let one = batch(key..key + 1);
        let one = Keys { columns: &one, rows: 1 };
        backend.intern(table, one, &mut rows)?;
        if key != 950 {
            backend.remove(table, &rows)?;
        }
    }
    for _ in 0..1000 {
        backend.find(table, Keys { columns: &batch(0..1), rows: 1 }, &mut rows)?;
    }
    chain.add(backend.keyed_state().freeze(Scope::Changes)?.as_mut())?;
    let left: usize =
        chain.tables()?.iter().flat_map(|table| &table.batches).map(RecordBatch::num_rows).sum();
    same("how many keys the snapshot has", &left, &1)?;
    backend.find(table, all, &mut rows)?;
    same("how many keys there are", &rows.iter().filter(|row| **row != ABSENT).count(), &1)?;
    backend.intern(table, all, &mut rows)?;
    rows.sort_unstable();
    rows.dedup();
    same("how many rows 1,000 keys have", &rows.len(), &1000)
}

fn refusals(backends: &dyn StateBackends) -> Result<()> {
    let clock = ManualClock::new();
    let mut backend = open(backends, &clock, 0, 1)?;
    let key = || vec![Field::new("k", arrow::datatypes::DataType::Int64, false)];
    let value = |data_type| vec![Field::new("v", data_type, true)];
    let int = arrow::datatypes::DataType::Int64;
    backend.declare(spec("here", key(), TableKind::Value, value(int.clone())))?;
    let fold = TableKind::Aggregate(vec![Fold::Sum]);
    let refused = backend.declare(spec("sums", key(), fold, value(arrow::datatypes::DataType::Utf8)));
    same("the sum of texts", &refused.map_err(|error| error.code()).err(), &Some(Code::Unsupported))?;
    let mut other = open(backends, &clock, 0, 1)?;
    other.declare(spec("here", key(), TableKind::Value, value(arrow::datatypes::DataType::Utf8)))?;
    other.declare(spec("there", key(), TableKind::Value, value(int)))?;
    let mut frozen = other.keyed_state().freeze(Scope::Full)?;
    while let Some((_, piece)) = frozen.next()? {
        let StateTable { name, .. } = &piece;
        let error = match backend.keyed_state().import(&piece) {
            Ok(()) => return Err(Error::internal(format!("state '{name}' of another query is taken"))),
            Err(error) => error,
        };
        same("whether it names the state", &error.message().contains(name.as_str()), &true)?;
        same("whether it names the operator", &error.message().contains("conformance"), &true)?;
    }
    Ok(())
}
