//! Filter, then project.
//!
//! Columns that the projection only passes on aren't copied unless rows are dropped. Knows nothing of time or state.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::FilterBuilder;
use arrow::datatypes::SchemaRef;
use weir_api::batch::Batch;
use weir_api::error::{Code, Error, Result};
use weir_api::operator::{Operator, Progress};
use weir_api::output::Output;
use weir_proto::v1::CalcSpec;

use crate::expression::Expression;

/// See the module.
pub(crate) struct Calc {
    name: String,
    predicate: Option<Expression>,
    /// Over the input's columns.
    projection: Vec<Expression>,
    /// The input's columns that the projection reads, and the projection over only these: what is filtered.
    kept: Vec<usize>,
    kept_schema: SchemaRef,
    projection_of_kept: Vec<Expression>,
    output: SchemaRef,
}

impl Calc {
    pub(crate) fn new(
        name: &str,
        spec: &CalcSpec,
        input: &SchemaRef,
        output: SchemaRef,
        time_zone: Option<&str>,
    ) -> Result<Self> {
        let decode = |bytes: &[u8]| Expression::decode(bytes, input, name, time_zone);
        let predicate = if spec.predicate.is_empty() { None } else { Some(decode(&spec.predicate)?) };
        let projection =
            spec.projection.iter().map(|named| decode(&named.expression)).collect::<Result<Vec<_>>>()?;
        check_types(name, predicate.as_ref(), &projection, &output)?;
        let mut kept: Vec<usize> = projection.iter().flat_map(Expression::columns).collect();
        kept.sort_unstable();
        kept.dedup();
        let projection_of_kept =
            projection.iter().map(|expression| expression.over_columns(&kept)).collect::<Result<_>>()?;
        let kept_schema = Arc::new(input.project(&kept)?);
        Ok(Self {
            name: name.to_owned(),
            predicate,
            projection,
            kept,
            kept_schema,
            projection_of_kept,
            output,
        })
    }

    fn project(&self, projection: &[Expression], records: &RecordBatch) -> Result<RecordBatch> {
        let columns =
            projection.iter().map(|expression| expression.evaluate(records)).collect::<Result<_>>()?;
        batch_of(Arc::clone(&self.output), columns, records.num_rows())
            .map_err(|error| error.context(format_args!("operator '{}' projects", self.name)))
    }

    /// The rows that pass, with only the columns that the projection reads.
    fn filter(&self, records: &RecordBatch, mask: &BooleanArray) -> Result<RecordBatch> {
        let filter = FilterBuilder::new(mask);
        let filter = if self.kept.len() > 1 { filter.optimize() } else { filter }.build();
        let columns = self
            .kept
            .iter()
            .map(|&column| filter.filter(records.column(column)))
            .collect::<std::result::Result<_, _>>()?;
        batch_of(Arc::clone(&self.kept_schema), columns, filter.count())
    }
}

impl Operator for Calc {
    fn output_schema(&self) -> Option<SchemaRef> {
        Some(Arc::clone(&self.output))
    }

    fn process(&mut self, _input: u32, batch: Batch, out: &mut Output) -> Result<Progress> {
        let records = batch.records();
        let mask =
            self.predicate.as_ref().map(|predicate| predicate.evaluate_predicate(records)).transpose()?;
        let result = match mask {
            Some(mask) if mask.true_count() < records.num_rows() => {
                if mask.true_count() == 0 {
                    return Ok(Progress::Done);
                }
                let projected = self.project(&self.projection_of_kept, &self.filter(records, &mask)?)?;
                derive(&batch, projected, Some(&mask))?
            }
            _ => derive(&batch, self.project(&self.projection, records)?, None)?,
        };
        out.push(result);
        Ok(Progress::Done)
    }
}

/// Records with a row count even when there are no columns.
pub(crate) fn batch_of(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(|error| {
        let code = if error.to_string().contains("non-nullable") { Code::Evaluation } else { Code::Internal };
        Error::new(code, "the computed columns don't fit the operator's schema").with_source(error)
    })
}

/// `records` made from `batch`, with its permits and with the row kinds of the rows that passed `mask`.
pub(crate) fn derive(batch: &Batch, records: RecordBatch, mask: Option<&BooleanArray>) -> Result<Batch> {
    let Some(kinds) = batch.kinds() else { return Ok(batch.derive(records)) };
    let kinds = match mask {
        Some(mask) => arrow::compute::filter(kinds, mask)?,
        None => Arc::new(kinds.clone()),
    };
    let kinds =
        kinds.as_any().downcast_ref().cloned().ok_or_else(|| Error::internal("row kinds changed type"))?;
    let derived = Batch::with_kinds(records, kinds)?;
    Ok(batch.permits().iter().cloned().fold(derived, Batch::with_permit))
}

fn check_types(
    name: &str,
    predicate: Option<&Expression>,
    projection: &[Expression],
    output: &SchemaRef,
) -> Result<()> {
    let malformed = |what: String| Error::new(Code::MalformedMessage, format!("operator '{name}': {what}"));
    if let Some(predicate) = predicate
        && *predicate.data_type() != arrow::datatypes::DataType::Boolean
    {
        return Err(malformed(format!("the predicate is of type {}", predicate.data_type())));
    }
    if projection.len() != output.fields().len() {
        return Err(malformed(format!(
            "{} expressions for {} columns",
            projection.len(),
            output.fields().len()
        )));
    }
    for (expression, field) in projection.iter().zip(output.fields()) {
        if expression.data_type() != field.data_type() {
            return Err(malformed(format!(
                "column '{}' is computed as {} but declared as {}",
                field.name(),
                expression.data_type(),
                field.data_type()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
