//! The windows' state as tables by key group, out and in.
//!
//! Three kinds of tables: `panes` holds partial results per pane and key, `distinct.<n>` the values that aggregate n has seen,
//! `fired` how far the windows of each key group have fired. Without key columns everything is of key group 0. Invariant: what is
//! exported and imported, in any parts, continues with the same results.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use weir_api::batch::TARGET_ROWS;
use weir_api::error::{Code, Error, Result};
use weir_api::graph::{KeyGroupRange, PANE_COLUMN, PANE_START_COLUMN, partial_columns};
use weir_api::state::{Frozen, KEY_GROUP_COLUMN, KeyedState, Pieces, Scope, StateTable};

use super::pane::{PaneTable, Partials, Scratch};
use super::restored::key_groups;
use super::split::{Part, by_pane};
use super::windowed::WindowAggregate;
use crate::event_time::pane_bounds;
use crate::window::Pane;

const PANES: &str = "panes";
const DISTINCT: &str = "distinct.";
const FIRED: &str = "fired";

/// The rows of one pane in an imported batch: which, their keys, and the columns after the pane's.
type Imported = (Part, Vec<ArrayRef>, Vec<ArrayRef>);

impl KeyedState for WindowAggregate {
    fn freeze(&mut self, _scope: Scope) -> Result<Box<dyn Frozen>> {
        let tables = self.export(self.context().key_groups)?;
        Ok(Box::new(Pieces(tables.into_iter().map(|table| (Scope::Full, table)).collect())))
    }

    fn import(&mut self, table: &StateTable) -> Result<()> {
        let call = table.name.strip_prefix(DISTINCT).and_then(|call| call.parse::<usize>().ok());
        let schema = match (table.name.as_str(), call) {
            (FIRED, _) => fired_schema(),
            (PANES, _) => self.panes_schema()?,
            (_, Some(call)) => self.distinct_schema(call)?,
            (other, None) => return Err(self.misfit(&format!("a state '{other}', which it doesn't have"))),
        };
        let types = |schema: &Schema| {
            schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>()
        };
        if types(&schema) != types(&table.schema) {
            let (found, wanted) = (types(&table.schema), types(&schema));
            return Err(
                self.misfit(&format!("the state '{}' as {found:?} where it keeps {wanted:?}", table.name))
            );
        }
        for batch in &table.batches {
            match (table.name.as_str(), call) {
                (FIRED, _) => self.import_fired(batch),
                (_, Some(call)) => self.import_distinct(call, batch)?,
                (_, None) => self.import_panes(batch)?,
            }
        }
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        self.panes.bytes() as u64
    }
}

impl WindowAggregate {
    /// All rows whose key group lies in `range`.
    fn export(&self, range: KeyGroupRange) -> Result<Vec<StateTable>> {
        if self.firing.is_some() {
            return Err(Error::internal(format!("operator '{}' is exported while it fires", self.plan.name)));
        }
        let mut tables = vec![self.export_fired(range)?, self.export_panes(range)?];
        for call in 0..self.plan.calls.len() {
            if self.plan.calls[call].distinct {
                tables.push(self.export_distinct(call, range)?);
            }
        }
        Ok(tables)
    }
}

impl WindowAggregate {
    fn misfit(&self, what: &str) -> Error {
        let message = format!(
            "operator '{}' can't take {what}; restore with the query that made the snapshot, or without this state",
            self.plan.name
        );
        Error::new(Code::InvalidArgument, message)
    }

    fn export_fired(&self, range: KeyGroupRange) -> Result<StateTable> {
        let owned = self.context().key_groups;
        let groups: Vec<(u32, i64)> = (range.start.max(owned.start)..range.end.min(owned.end))
            .map(|group| (group, self.restored.fired(group).max(self.fired)))
            .filter(|(_, fired)| *fired > i64::MIN)
            .collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(groups.iter().map(|(group, _)| *group).collect::<UInt32Array>()),
            Arc::new(groups.iter().map(|(_, fired)| *fired).collect::<Int64Array>()),
        ];
        let schema = fired_schema();
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        Ok(StateTable { name: FIRED.to_owned(), schema, key_columns: 0, batches: vec![batch] })
    }

    fn import_fired(&mut self, batch: &RecordBatch) {
        let groups = batch.column(0).as_primitive::<UInt32Type>().values();
        let fired = batch.column(1).as_primitive::<Int64Type>().values();
        groups.iter().zip(fired).for_each(|(&group, &fired)| self.restored.add(group, fired));
    }

    fn export_panes(&self, range: KeyGroupRange) -> Result<StateTable> {
        let mut rows = KeyedRows::default();
        for (pane, table) in self.panes.iter() {
            for start in (0..table.len()).step_by(TARGET_ROWS) {
                let groups = start..(start + TARGET_ROWS).min(table.len());
                let Partials { keys, calls, count } = table.partials(groups.into())?;
                let mut columns = pane_columns(pane, count);
                columns.extend(calls.into_iter().flatten());
                rows.add(keys, columns, count, range, self.context().max_parallelism)?;
            }
        }
        rows.into_table(PANES.to_owned(), self.panes_schema()?, self.plan.key_types.len() + 2)
    }

    fn import_panes(&mut self, batch: &RecordBatch) -> Result<()> {
        for (part, keys, values) in self.imported(batch)? {
            let mut values = values.into_iter();
            let calls = self
                .plan
                .calls
                .iter()
                .map(|call| {
                    let width = if call.distinct {
                        0
                    } else {
                        partial_columns(call.function, "", call.argument_type.as_ref())?.len()
                    };
                    Ok(values.by_ref().take(width).collect())
                })
                .collect::<Result<_>>()?;
            let partials = Partials { keys, calls, count: part.rows.count(batch.num_rows()) };
            self.import_part(part.pane, |table| table.merge(&partials, &mut Scratch::default()))?;
        }
        Ok(())
    }

    fn export_distinct(&self, call: usize, range: KeyGroupRange) -> Result<StateTable> {
        let mut rows = KeyedRows::default();
        for (pane, table) in self.panes.iter() {
            let Some(distinct) = table.distinct(call) else { continue };
            let keys = table.keys((0..table.len()).into())?;
            for start in (0..distinct.len()).step_by(TARGET_ROWS) {
                let pairs = start..(start + TARGET_ROWS).min(distinct.len());
                let count = pairs.len();
                let (groups, values) = distinct.pairs(pairs.into())?;
                let keys =
                    keys.iter().map(|key| Ok(take(key, &groups, None)?)).collect::<Result<Vec<_>>>()?;
                let mut columns = pane_columns(pane, count);
                columns.push(values);
                rows.add(keys, columns, count, range, self.context().max_parallelism)?;
            }
        }
        rows.into_table(
            format!("{DISTINCT}{call}"),
            self.distinct_schema(call)?,
            self.plan.key_types.len() + 3,
        )
    }

    fn import_distinct(&mut self, call: usize, batch: &RecordBatch) -> Result<()> {
        for (part, keys, values) in self.imported(batch)? {
            let values = values.first().ok_or_else(|| Error::internal("distinct state without values"))?;
            let count = part.rows.count(batch.num_rows());
            self.import_part(part.pane, |table| {
                let mut ids = Vec::new();
                table.intern(&keys, count, &mut ids)?;
                table.merge_distinct(call, values, &ids)
            })?;
        }
        Ok(())
    }

    /// The rows of each pane in an imported batch.
    fn imported(&self, batch: &RecordBatch) -> Result<Vec<Imported>> {
        let keys = self.plan.key_types.len();
        let ends = pane_bounds(batch.column(1 + keys), PANE_COLUMN)?;
        let starts = pane_bounds(batch.column(2 + keys), PANE_START_COLUMN)?;
        by_pane(batch.num_rows(), |row| Pane { end: ends[row], start: starts[row] })
            .into_iter()
            .filter(|part| part.rows.count(batch.num_rows()) > 0)
            .map(|part| {
                let columns =
                    batch.columns().iter().map(|column| part.rows.of(column)).collect::<Result<Vec<_>>>()?;
                let values = columns.iter().skip(3 + keys).cloned().collect();
                Ok((part, columns.into_iter().skip(1).take(keys).collect(), values))
            })
            .collect()
    }

    fn import_part(&mut self, pane: Pane, change: impl FnOnce(&mut PaneTable) -> Result<()>) -> Result<()> {
        let plan = &self.plan;
        self.panes.update(pane, |capacity| plan.new_table(capacity), change)
    }

    fn keyed_fields(&self) -> Vec<Field> {
        let mut fields = vec![Field::new(KEY_GROUP_COLUMN, DataType::UInt32, false)];
        let keys = self.plan.layout.fields().iter().take(self.plan.key_types.len());
        fields.extend(keys.map(|field| field.as_ref().clone().with_nullable(true)));
        fields.push(Field::new(PANE_COLUMN, DataType::Int64, false));
        fields.push(Field::new(PANE_START_COLUMN, DataType::Int64, false));
        fields
    }

    fn panes_schema(&self) -> Result<SchemaRef> {
        let mut fields = self.keyed_fields();
        for (number, call) in self.plan.calls.iter().enumerate().filter(|(_, call)| !call.distinct) {
            fields.extend(partial_columns(call.function, &number.to_string(), call.argument_type.as_ref())?);
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    fn distinct_schema(&self, call: usize) -> Result<SchemaRef> {
        let argument = self
            .plan
            .calls
            .get(call)
            .filter(|call| call.distinct)
            .and_then(|call| call.argument_type.clone());
        let argument =
            argument.ok_or_else(|| self.misfit(&format!("distinct values of aggregate {call}")))?;
        let mut fields = self.keyed_fields();
        fields.push(Field::new("value", argument, true));
        Ok(Arc::new(Schema::new(fields)))
    }
}

fn fired_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(KEY_GROUP_COLUMN, DataType::UInt32, false),
        Field::new("fired", DataType::Int64, false),
    ]))
}

fn pane_columns(pane: Pane, rows: usize) -> Vec<ArrayRef> {
    vec![Arc::new(Int64Array::from_value(pane.end, rows)), Arc::new(Int64Array::from_value(pane.start, rows))]
}

/// Rows with their key groups, to be sorted by them.
#[derive(Default)]
struct KeyedRows {
    chunks: Vec<Vec<ArrayRef>>,
    /// Key group, chunk, row.
    order: Vec<(u32, u32, u32)>,
}

impl KeyedRows {
    /// Adds the rows whose key group lies in `range`.
    fn add(
        &mut self,
        keys: Vec<ArrayRef>,
        columns: Vec<ArrayRef>,
        count: usize,
        range: KeyGroupRange,
        max_parallelism: u32,
    ) -> Result<()> {
        let groups = key_groups(&keys, count, max_parallelism)?;
        let chunk = self.chunks.len() as u32;
        self.order.extend(
            groups
                .iter()
                .zip(0..)
                .filter(|(group, _)| range.contains(**group))
                .map(|(&group, row)| (group, chunk, row)),
        );
        let groups: ArrayRef = Arc::new(UInt32Array::from(groups));
        self.chunks.push(std::iter::once(groups).chain(keys).chain(columns).collect());
        Ok(())
    }

    fn into_table(mut self, name: String, schema: SchemaRef, key_columns: usize) -> Result<StateTable> {
        self.order.sort_unstable();
        let batches = self
            .order
            .chunks(TARGET_ROWS)
            .map(|rows| {
                let indices: Vec<(usize, usize)> =
                    rows.iter().map(|&(_, chunk, row)| (chunk as usize, row as usize)).collect();
                let columns = (0..schema.fields().len())
                    .map(|column| {
                        let chunks: Vec<&dyn Array> =
                            self.chunks.iter().map(|chunk| chunk[column].as_ref()).collect();
                        Ok(interleave(&chunks, &indices)?)
                    })
                    .collect::<Result<Vec<_>>>()?;
                Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(StateTable { name, schema, key_columns: key_columns as u32, batches })
    }
}
