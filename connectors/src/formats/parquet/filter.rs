//! Predicates on Parquet's columns: row groups that hold no wanted row are left out by their statistics, and of the others only
//! the rows that are wanted are decoded.
//!
//! Invariant: a predicate is taken only if it is applied exactly, on values as the table declares them; null never fulfils one.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Datum, Int64Array, RecordBatch, Scalar, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::compute::kernels::cmp;
use arrow::compute::{and, cast};
use arrow::datatypes::{DataType, FieldRef, Fields, TimeUnit};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{ArrowPredicateFn, ArrowReaderMetadata, RowFilter};
use weir_api::error::{Code, Error, Result};
use weir_proto::v1::Predicate;
use weir_proto::v1::literal::Value as Literal;
use weir_proto::v1::predicate::Operator;

use super::{Adapter, projection};

/// A predicate on one column.
#[derive(Clone, Debug)]
pub struct Filter {
    field: FieldRef,
    operator: Operator,
    /// One value, of the type that is compared in.
    literal: ArrayRef,
}

impl Filter {
    /// The predicate on one of these fields, if it can be applied exactly.
    #[must_use]
    pub fn of(predicate: &Predicate, fields: &Fields) -> Option<Self> {
        let [name] = predicate.path.as_slice() else { return None };
        let (_, field) = fields.find(name)?;
        let operator = Operator::try_from(predicate.operator).ok()?;
        if operator == Operator::Unspecified {
            return None;
        }
        let literal: ArrayRef = match (field.data_type(), predicate.literal.as_ref()?.value.as_ref()?) {
            (
                DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64,
                Literal::Integer(value),
            ) => Arc::new(Int64Array::from(vec![*value])),
            (DataType::Utf8, Literal::String(value)) => Arc::new(StringArray::from(vec![value.as_str()])),
            (DataType::Date32, Literal::DateDays(days)) => Arc::new(Date32Array::from(vec![*days])),
            (DataType::Timestamp(unit, zone), Literal::TimestampMillis(millis)) => match unit {
                TimeUnit::Second => return None,
                TimeUnit::Millisecond => {
                    Arc::new(TimestampMillisecondArray::from(vec![*millis]).with_timezone_opt(zone.clone()))
                }
                TimeUnit::Microsecond => Arc::new(
                    TimestampMicrosecondArray::from(vec![millis.checked_mul(1_000)?])
                        .with_timezone_opt(zone.clone()),
                ),
                TimeUnit::Nanosecond => Arc::new(
                    TimestampNanosecondArray::from(vec![millis.checked_mul(1_000_000)?])
                        .with_timezone_opt(zone.clone()),
                ),
            },
            _ => return None,
        };
        Some(Self { field: field.clone(), operator, literal })
    }

    /// For each value of the column, as declared, whether it fulfils the operator.
    fn compare(&self, values: &ArrayRef, operator: Operator) -> Result<BooleanArray, ArrowError> {
        let literal: &dyn Datum = &Scalar::new(self.literal.clone());
        let values = if values.data_type() == self.literal.data_type() {
            values.clone()
        } else {
            cast(values, self.literal.data_type())?
        };
        match operator {
            Operator::Eq => cmp::eq(&values, literal),
            Operator::NotEq => cmp::neq(&values, literal),
            Operator::Lt => cmp::lt(&values, literal),
            Operator::LtEq => cmp::lt_eq(&values, literal),
            Operator::Gt => cmp::gt(&values, literal),
            Operator::GtEq => cmp::gt_eq(&values, literal),
            Operator::Unspecified => Err(ArrowError::ComputeError("an unspecified operator".into())),
        }
    }

    /// Whether a row group may hold a row that fulfils it, by the smallest and the largest value that the file tells.
    #[must_use]
    pub fn may_hold(&self, footer: &ArrowReaderMetadata, group: usize) -> bool {
        self.bounds(footer, group).ok().flatten().is_none_or(|(least, most)| {
            // What can't be compared rules nothing out, and so does a bound that isn't known.
            let of = |bound: &ArrayRef, operator| {
                let result = self.compare(bound, operator).ok();
                result.is_none_or(|result| result.iter().next().flatten().unwrap_or(true))
            };
            match self.operator {
                Operator::Eq => of(&least, Operator::LtEq) && of(&most, Operator::GtEq),
                Operator::Lt | Operator::LtEq => of(&least, self.operator),
                Operator::Gt | Operator::GtEq => of(&most, self.operator),
                Operator::NotEq | Operator::Unspecified => true,
            }
        })
    }

    /// The smallest and the largest value, as declared.
    fn bounds(&self, footer: &ArrowReaderMetadata, group: usize) -> Result<Option<(ArrayRef, ArrayRef)>> {
        let Ok(statistics) =
            StatisticsConverter::try_new(self.field.name(), footer.schema(), footer.parquet_schema())
        else {
            return Ok(None);
        };
        let Some(group) = footer.metadata().row_groups().get(group) else { return Ok(None) };
        let (Ok(least), Ok(most)) = (statistics.row_group_mins([group]), statistics.row_group_maxes([group]))
        else {
            return Ok(None);
        };
        let in_file = footer.schema().fields();
        let Some((_, read)) = in_file.find(self.field.name()) else { return Ok(None) };
        let read = Fields::from(vec![read.clone()]);
        let adapter = Adapter::new(&Fields::from(vec![self.field.clone()]), &read, in_file)?;
        let declared = |bound: ArrayRef| Ok::<_, Error>(adapter.columns(&[bound])?.into_iter().next());
        Ok(declared(least)?.zip(declared(most)?))
    }
}

/// What decodes the wanted rows alone; `None` where all are wanted. Errors: see [`Adapter::new`].
pub fn row_filter(filters: &[Filter], footer: &ArrowReaderMetadata) -> Result<Option<RowFilter>> {
    if filters.is_empty() {
        return Ok(None);
    }
    let mut fields: Vec<FieldRef> = Vec::new();
    for filter in filters {
        if !fields.contains(&filter.field) {
            fields.push(filter.field.clone());
        }
    }
    let fields = Fields::from(fields);
    let in_file = footer.schema().fields().clone();
    let filters = filters.to_vec();
    let mask = projection(&fields, footer.parquet_schema());
    let evaluate = move |read: RecordBatch| {
        wanted(&filters, &fields, &read, &in_file).map_err(|error| ArrowError::ExternalError(Box::new(error)))
    };
    Ok(Some(RowFilter::new(vec![Box::new(ArrowPredicateFn::new(mask, evaluate))])))
}

fn wanted(filters: &[Filter], fields: &Fields, read: &RecordBatch, in_file: &Fields) -> Result<BooleanArray> {
    let columns = Adapter::new(fields, read.schema().fields(), in_file)?.columns(read.columns())?;
    let mut all: Option<BooleanArray> = None;
    for filter in filters {
        let column =
            fields.iter().position(|field| *field == filter.field).and_then(|index| columns.get(index));
        let column = column.ok_or_else(|| Error::internal("a predicate's column wasn't read"))?;
        let one = filter.compare(column, filter.operator).map_err(|error| {
            Error::new(Code::Evaluation, "compare a column with a literal").with_source(error)
        })?;
        all = Some(match all {
            Some(all) => and(&all, &one)?,
            None => one,
        });
    }
    all.ok_or_else(|| Error::internal("a filter without predicates"))
}
