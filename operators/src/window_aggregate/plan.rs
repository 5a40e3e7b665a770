//! What a spec means: columns found, types checked, once.
//!
//! Invariant: every position in a [`Plan`] exists in the input that its phase reads, and every result can be given in its
//! output column's type; so the operators don't check again.

use arrow::datatypes::{DataType, Schema, SchemaRef};
use weir_api::error::{Code, Error, Result};
use weir_api::graph::{PANE_COLUMN, ROWS_COLUMN, partial_columns, window_aggregate_layout};
use weir_api::schema;
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::window_aggregate_spec::{Phase, WindowProperty};
use weir_proto::v1::{AggregateCall, WindowAggregateSpec};

use super::late::LateRows;
use super::pane::PaneTable;
use crate::accumulator::{self, Options};
use crate::window::Windows;

/// See the module.
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) phase: Phase,
    pub(super) windows: Windows,
    /// What LOCAL emits for the same spec: the accumulators' types.
    pub(super) layout: SchemaRef,
    pub(super) output: SchemaRef,
    pub(super) key_types: Vec<DataType>,
    pub(super) calls: Vec<Call>,
    pub(super) properties: Vec<WindowProperty>,
    pub(super) input: Input,
    /// What becomes of late rows; `None`: they are counted.
    pub(super) late: Option<LateRows>,
}

/// Where a phase finds what it reads.
pub(super) enum Input {
    Rows(RowInput),
    Partials(PartialInput),
}

/// Columns of rows.
pub(super) struct RowInput {
    pub(super) keys: Vec<usize>,
    /// The time attribute of aligned windows.
    pub(super) time_column: usize,
    /// Names of all columns, for messages.
    pub(super) names: Vec<String>,
}

impl RowInput {
    pub(super) fn name(&self, column: usize) -> &str {
        self.names.get(column).map_or("?", String::as_str)
    }
}

/// Columns of LOCAL's layout: keys come first.
pub(super) struct PartialInput {
    pub(super) pane: usize,
    pub(super) pane_start: Option<usize>,
    /// For each call, the range of its columns.
    pub(super) calls: Vec<std::ops::Range<usize>>,
    pub(super) rows: usize,
}

/// One aggregate.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) function: Function,
    /// Positions in the rows.
    pub(super) argument: Option<usize>,
    pub(super) argument_type: Option<DataType>,
    pub(super) filter: Option<usize>,
    pub(super) distinct: bool,
    pub(super) options: Options,
}

impl Plan {
    pub(super) fn new(name: &str, spec: &WindowAggregateSpec, output: SchemaRef) -> Result<Self> {
        let rows = schema::decode(&spec.input_schema)?;
        let layout = window_aggregate_layout(spec, &rows)?;
        let windows = Windows::new(spec.window.as_ref())?;
        let phase = spec.phase();
        let keys: Vec<usize> = spec.key_columns.iter().map(|&key| key as usize).collect();
        let key_types =
            keys.iter().map(|&key| Ok(field_type(&rows, key)?.clone())).collect::<Result<Vec<_>>>()?;
        let calls = spec.aggregates.iter().map(|call| Call::new(call, &rows)).collect::<Result<Vec<_>>>()?;
        if phase != Phase::Single && calls.iter().any(|call| call.distinct) {
            return Err(Error::new(Code::Unsupported, "DISTINCT aggregates can't be split into two phases"));
        }
        check_windows(windows, spec, &rows)?;
        let late = LateRows::new(spec, &rows)?;
        if late.is_some() && phase != Phase::Single {
            let what = "late rows can leave only where whole rows come in, in a single phase";
            return Err(Error::new(Code::MalformedMessage, what));
        }
        let properties = spec.properties().collect::<Vec<_>>();
        let plan = Self {
            name: name.to_owned(),
            phase,
            windows,
            input: match phase {
                Phase::Global => Input::Partials(PartialInput::new(&layout, keys.len(), &calls)?),
                _ => Input::Rows(RowInput {
                    keys,
                    time_column: spec.time_column as usize,
                    names: rows.fields().iter().map(|field| field.name().clone()).collect(),
                }),
            },
            layout,
            output,
            key_types,
            calls,
            properties,
            late,
        };
        plan.check_output()?;
        Ok(plan)
    }

    /// An empty table for one pane or window.
    pub(super) fn new_table(&self, capacity: usize) -> Result<PaneTable> {
        PaneTable::new(&self.key_types, &self.calls, capacity)
    }

    /// Whether a pane's start travels beside its end.
    pub(super) fn has_pane_start(&self) -> bool {
        matches!(self.windows, Windows::Attached { .. })
    }

    fn check_output(&self) -> Result<()> {
        let malformed = |what: String| Error::new(Code::MalformedMessage, what);
        if self.phase == Phase::Local {
            let types = |schema: &Schema| {
                schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>()
            };
            if types(&self.output) != types(&self.layout) {
                return Err(malformed(format!(
                    "emits {:?}, not the layout {:?}",
                    types(&self.output),
                    types(&self.layout)
                )));
            }
            return Ok(());
        }
        let fields = self.output.fields();
        let wanted = self.key_types.len() + self.calls.len() + self.properties.len();
        if fields.len() != wanted {
            return Err(malformed(format!("emits {} columns where {wanted} belong", fields.len())));
        }
        for (field, key) in fields.iter().zip(&self.key_types) {
            if field.data_type() != key {
                return Err(malformed(format!(
                    "emits the key '{}' as {}, not {key}",
                    field.name(),
                    field.data_type()
                )));
            }
        }
        for (field, call) in fields.iter().skip(self.key_types.len()).zip(&self.calls) {
            accumulator::check_result(call.function, call.argument_type.as_ref(), field.data_type())?;
        }
        for (field, property) in
            fields.iter().skip(self.key_types.len() + self.calls.len()).zip(&self.properties)
        {
            let unknown = *property == WindowProperty::Unspecified || self.windows == Windows::EndOfInput;
            if unknown || !schema::is_timestamp(field.data_type()) {
                return Err(malformed(format!("can't emit {property:?} as '{}'", field.name())));
            }
        }
        Ok(())
    }
}

impl Call {
    fn new(call: &AggregateCall, rows: &Schema) -> Result<Self> {
        let function = call.function();
        if call.arguments.len() > 1 {
            return Err(Error::new(
                Code::Unsupported,
                format!("{} over {} arguments", function.as_str_name(), call.arguments.len()),
            ));
        }
        let argument = call.arguments.first().map(|&argument| argument as usize);
        let argument_type = argument.map(|argument| field_type(rows, argument).cloned()).transpose()?;
        let filter = call.filter_column.map(|filter| filter as usize);
        if let Some(filter) = filter
            && *field_type(rows, filter)? != DataType::Boolean
        {
            return Err(Error::new(
                Code::MalformedMessage,
                format!("the FILTER column {filter} isn't boolean"),
            ));
        }
        // The extremes of distinct values are those of all values.
        let distinct = call.distinct && !matches!(function, Function::Min | Function::Max);
        if distinct && argument.is_none() {
            return Err(Error::new(Code::MalformedMessage, "DISTINCT without an argument"));
        }
        let options = Options { parameters: call.parameters.clone(), keeps_nulls: call.keeps_nulls };
        Ok(Self { function, argument, argument_type, filter, distinct, options })
    }
}

impl PartialInput {
    fn new(layout: &Schema, keys: usize, calls: &[Call]) -> Result<Self> {
        let mut next = layout.index_of(PANE_COLUMN).unwrap_or(keys) + 1;
        let pane_start = layout
            .fields()
            .get(next)
            .filter(|field| field.name() == weir_api::graph::PANE_START_COLUMN)
            .map(|_| next);
        next += usize::from(pane_start.is_some());
        let calls = calls
            .iter()
            .map(|call| {
                let width = partial_columns(call.function, "", call.argument_type.as_ref())?.len();
                next += width;
                Ok(next - width..next)
            })
            .collect::<Result<Vec<_>>>()?;
        if layout.fields().get(next).is_none_or(|field| field.name() != ROWS_COLUMN) {
            return Err(Error::internal(format!(
                "the layout of partial results doesn't end in {ROWS_COLUMN}"
            )));
        }
        Ok(Self { pane: keys, pane_start, calls, rows: next })
    }
}

fn check_windows(windows: Windows, spec: &WindowAggregateSpec, rows: &Schema) -> Result<()> {
    let columns = match windows {
        Windows::Aligned(_) => vec![spec.time_column as usize],
        Windows::Attached { start_column, end_column } => vec![start_column, end_column],
        Windows::EndOfInput => Vec::new(),
    };
    for column in columns {
        let data_type = field_type(rows, column)?;
        if !schema::is_timestamp(data_type) {
            return Err(Error::new(
                Code::MalformedMessage,
                format!(
                    "the time column '{}' is of type {data_type}, not a timestamp",
                    rows.field(column).name()
                ),
            ));
        }
    }
    Ok(())
}

fn field_type(schema: &Schema, column: usize) -> Result<&DataType> {
    schema.fields().get(column).map(|field| field.data_type()).ok_or_else(|| {
        Error::new(
            Code::MalformedMessage,
            format!("column {column} of {} doesn't exist", schema.fields().len()),
        )
    })
}
