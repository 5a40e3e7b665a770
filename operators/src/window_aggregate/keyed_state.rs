//! The windows' state as tables by key group, out and in.
//!
//! Three kinds of tables: `panes` holds partial results per pane and key, `distinct.<n>` the values that aggregate n has seen,
//! `fired` how far the windows of each key group have fired. Without key columns everything is of key group 0. Invariant: what
//! is frozen and imported, in any parts, continues with the same results. A freeze comes between two calls of the operator, so
//! never while windows are on their way out.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use weir_api::error::{Code, Error, Result};
use weir_api::graph::{PANE_COLUMN, PANE_START_COLUMN, partial_columns};
use weir_api::state::{Frozen, KEY_GROUP_COLUMN, KeyedState, Scope, StateTable};

use super::frozen::{FrozenWindows, Shape, State};
use super::pane::{PaneTable, Partials, Scratch};
use super::plan::Plan;
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
    fn freeze(&mut self, scope: Scope) -> Result<Box<dyn Frozen>> {
        if self.firing.is_some() {
            let message = format!("operator '{}' is asked for its state while it fires", self.plan.name);
            return Err(Error::internal(message));
        }
        // A row for each key group: told whole each time.
        let fired = (Scope::Full, self.fired_table()?);
        let (scope, panes) = self.panes.freeze(scope);
        Ok(Box::new(FrozenWindows {
            shape: Arc::clone(&self.shape),
            scope,
            max_parallelism: self.context().max_parallelism,
            key_groups: self.context().key_groups.len(),
            panes,
            ready: VecDeque::from([fired]),
            next_state: 0,
            cursor: None,
        }))
    }

    fn import(&mut self, table: &StateTable) -> Result<()> {
        let call = table.name.strip_prefix(DISTINCT).and_then(|call| call.parse::<usize>().ok());
        let schema = match (table.name.as_str(), call) {
            (FIRED, _) => fired_schema(),
            (name, _) => match self.shape.states.iter().find(|state| state.name == name) {
                Some(state) => Arc::clone(&state.schema),
                None => return Err(self.misfit(&format!("a state '{name}', which it doesn't have"))),
            },
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
    fn misfit(&self, what: &str) -> Error {
        let message = format!(
            "operator '{}' can't take {what}; restore with the query that made the snapshot, or without this state",
            self.plan.name
        );
        Error::new(Code::InvalidArgument, message)
    }

    /// How far the windows of each key group have fired.
    fn fired_table(&self) -> Result<StateTable> {
        let owned = self.context().key_groups;
        let groups: Vec<(u32, i64)> = (owned.start..owned.end)
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
        let owned = self.context().key_groups;
        let rows = groups.iter().zip(fired).filter(|(group, _)| owned.contains(**group));
        rows.for_each(|(&group, &fired)| self.restored.add(group, fired));
        self.resume_at(self.restored.least(owned));
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
        self.panes.import(pane, || plan.new_table(0), change)
    }
}

/// What the plan's state looks like.
pub(super) fn shape(plan: &Plan) -> Result<Shape> {
    let keys = plan.key_types.len() as u32;
    let mut panes = keyed_fields(plan);
    let mut states = Vec::new();
    for (number, call) in plan.calls.iter().enumerate() {
        if !call.distinct {
            panes.extend(partial_columns(call.function, &number.to_string(), call.argument_type.as_ref())?);
            continue;
        }
        let argument =
            call.argument_type.clone().ok_or_else(|| Error::internal("DISTINCT without an argument"))?;
        let mut fields = keyed_fields(plan);
        fields.push(Field::new("value", argument, true));
        states.push(State {
            name: format!("{DISTINCT}{number}"),
            schema: Arc::new(Schema::new(fields)),
            key_columns: keys + 3,
            distinct: Some(number),
        });
    }
    let panes = State {
        name: PANES.to_owned(),
        schema: Arc::new(Schema::new(panes)),
        key_columns: keys + 2,
        distinct: None,
    };
    states.insert(0, panes);
    Ok(Shape { key_types: plan.key_types.clone(), calls: plan.calls.clone(), states })
}

fn keyed_fields(plan: &Plan) -> Vec<Field> {
    let mut fields = vec![Field::new(KEY_GROUP_COLUMN, DataType::UInt32, false)];
    let keys = plan.layout.fields().iter().take(plan.key_types.len());
    fields.extend(keys.map(|field| field.as_ref().clone().with_nullable(true)));
    fields.push(Field::new(PANE_COLUMN, DataType::Int64, false));
    fields.push(Field::new(PANE_START_COLUMN, DataType::Int64, false));
    fields
}

fn fired_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(KEY_GROUP_COLUMN, DataType::UInt32, false),
        Field::new("fired", DataType::Int64, false),
    ]))
}
