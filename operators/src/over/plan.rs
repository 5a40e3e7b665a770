//! What a spec means: columns found, types checked, once.
//!
//! Invariant: every position in a [`Plan`] exists in the operator's input, and every result can be given in its output column's
//! type; so the operators don't check again.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use weir_api::batch::Batch;
use weir_api::error::{Code, Error, Result};
use weir_api::graph::partial_columns;
use weir_api::schema;
use weir_api::state::KEY_GROUP_COLUMN;
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::over_aggregate_spec::Frame;
use weir_proto::v1::{AggregateCall, OverAggregateSpec};

use crate::accumulator::{check_result, running};

/// Name of the state column with the time of a key's last change, where keys are forgotten.
pub(super) const WRITTEN: &str = "__written";

/// See the module.
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) input: SchemaRef,
    pub(super) output: SchemaRef,
    pub(super) keys: Vec<usize>,
    pub(super) key_types: Vec<DataType>,
    pub(super) kept: Vec<usize>,
    pub(super) calls: Vec<Call>,
    /// `None`: processing time.
    pub(super) event: Option<Event>,
    /// After which time without a change a key is forgotten, in milliseconds.
    pub(super) ttl_millis: Option<i64>,
}

/// Event time.
#[derive(Clone, Copy)]
pub(super) struct Event {
    pub(super) time: usize,
    /// Rows of one key and one time see each other.
    pub(super) peers: bool,
}

/// One aggregate.
pub(super) struct Call {
    pub(super) name: String,
    pub(super) function: Function,
    pub(super) argument: Option<usize>,
    pub(super) argument_type: Option<DataType>,
    pub(super) filter: Option<usize>,
    pub(super) result_type: DataType,
}

fn malformed(what: String) -> Error {
    Error::new(Code::MalformedMessage, what)
}

impl Plan {
    pub(super) fn new(
        name: &str,
        spec: &OverAggregateSpec,
        input: &SchemaRef,
        output: SchemaRef,
    ) -> Result<Self> {
        let positions = |positions: &[u32]| positions.iter().map(|&position| position as usize).collect();
        let keys: Vec<usize> = positions(&spec.key_columns);
        let kept: Vec<usize> = positions(&spec.kept_columns);
        let key_types = types_of(input, &keys)?;
        let kept_types = types_of(input, &kept)?;
        let fields = output.fields();
        if fields.len() != kept.len() + spec.aggregates.len() {
            return Err(malformed(format!(
                "emits {} columns where {} belong",
                fields.len(),
                kept.len() + spec.aggregates.len()
            )));
        }
        for (field, data_type) in fields.iter().zip(&kept_types) {
            if field.data_type() != data_type {
                let found = field.data_type();
                return Err(malformed(format!("emits '{}' as {found}, not {data_type}", field.name())));
            }
        }
        let results = fields.iter().skip(kept.len());
        let calls = spec
            .aggregates
            .iter()
            .zip(results)
            .map(|(call, field)| Call::new(call, input, field.data_type()))
            .collect::<Result<_>>()?;
        let event = match spec.time_column {
            None => None,
            Some(time) => Some(Event::new(time as usize, spec.frame(), input)?),
        };
        let ttl_millis = i64::try_from(spec.state_ttl_millis).ok().filter(|&ttl| ttl > 0);
        let name = name.to_owned();
        Ok(Self { name, input: Arc::clone(input), output, keys, key_types, kept, calls, event, ttl_millis })
    }

    /// The columns of the accumulators' state.
    pub(super) fn state_schema(&self) -> Result<SchemaRef> {
        let mut fields = self.key_fields();
        if self.ttl_millis.is_some() {
            fields.push(Field::new(WRITTEN, DataType::Int64, true));
        }
        for call in &self.calls {
            fields.extend(partial_columns(call.function, &call.name, call.argument_type.as_ref())?);
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    /// What each state's columns begin with.
    pub(super) fn key_fields(&self) -> Vec<Field> {
        let keys = self.keys.iter().filter_map(|&key| self.input.fields().get(key));
        let keys = keys.map(|field| plain(field).with_nullable(true));
        std::iter::once(Field::new(KEY_GROUP_COLUMN, DataType::UInt32, false)).chain(keys).collect()
    }
}

/// The field without metadata.
pub(super) fn plain(field: &Field) -> Field {
    Field::new(field.name(), field.data_type().clone(), field.is_nullable())
}

impl Event {
    fn new(time: usize, frame: Frame, input: &Schema) -> Result<Self> {
        let data_type = field_of(input, time)?.data_type();
        if !schema::is_timestamp(data_type) {
            let name = field_of(input, time)?.name();
            return Err(malformed(format!(
                "the time column '{name}' is of type {data_type}, not a timestamp"
            )));
        }
        match frame {
            Frame::Rows => Ok(Self { time, peers: false }),
            Frame::Range => Ok(Self { time, peers: true }),
            Frame::Unspecified => Err(malformed("has no frame".to_owned())),
        }
    }
}

impl Call {
    fn new(call: &AggregateCall, input: &Schema, result: &DataType) -> Result<Self> {
        let function = call.function();
        if call.arguments.len() > 1 || call.distinct || !call.parameters.is_empty() {
            let name = function.as_str_name();
            return Err(Error::new(Code::Unsupported, format!("{name} with DISTINCT or parameters OVER")));
        }
        let argument = call.arguments.first().map(|&argument| argument as usize);
        let argument_type =
            argument.map(|argument| Ok::<_, Error>(field_of(input, argument)?.data_type().clone()));
        let argument_type = argument_type.transpose()?;
        let filter = call.filter_column.map(|filter| filter as usize);
        if let Some(filter) = filter
            && *field_of(input, filter)?.data_type() != DataType::Boolean
        {
            return Err(malformed(format!("the FILTER column {filter} isn't boolean")));
        }
        check_result(function, argument_type.as_ref(), result)?;
        // Errors of aggregates come at deployment, not with the first row.
        running::create(function, argument_type.as_ref())?;
        let (name, result_type) = (call.name.clone(), result.clone());
        Ok(Self { name, function, argument, argument_type, filter, result_type })
    }
}

fn field_of(schema: &Schema, column: usize) -> Result<&Field> {
    let field = schema.fields().get(column).map(AsRef::as_ref);
    field.ok_or_else(|| malformed(format!("has no column {column} of {}", schema.fields().len())))
}

fn types_of(schema: &Schema, columns: &[usize]) -> Result<Vec<DataType>> {
    columns.iter().map(|&column| Ok(field_of(schema, column)?.data_type().clone())).collect()
}

/// A column of a batch.
pub(super) fn column(records: &RecordBatch, index: usize) -> Result<&ArrayRef> {
    let columns = records.columns();
    let missing = || Error::internal(format!("column {index} of a batch of {} columns", columns.len()));
    columns.get(index).ok_or_else(missing)
}

/// Which rows a FILTER lets through; `None`: all.
pub(super) fn mask_of(filter: &ArrayRef) -> Result<Option<BooleanBuffer>> {
    let mask = filter.as_boolean_opt().ok_or_else(|| Error::internal("a FILTER that isn't boolean"))?;
    let mask = if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() };
    Ok((mask.true_count() < mask.len()).then(|| mask.values().clone()))
}

/// Running aggregates take rows, not changes of rows.
pub(super) fn refuse_changes(operator: &str, batch: &Batch) -> Result<()> {
    if batch.kinds().is_none() {
        return Ok(());
    }
    let message = format!("operator '{operator}' aggregates an append-only input; it got updates or deletes");
    Err(Error::new(Code::Unsupported, message))
}
