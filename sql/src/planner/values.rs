//! Rows without a table: VALUES, and SELECT without FROM.
//!
//! Constants become a table of the connector `values`, which carries its rows in an option; a row that isn't constant (it calls
//! `NOW()` or `RAND()`) is computed from a single row when the job runs. Invariant: a column's values have the type that
//! Flink gives to all of them together.

use std::fmt::Write;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, TableReference, plan_err};
use datafusion::logical_expr::type_coercion::binary::type_union_resolution;
use datafusion::logical_expr::{
    Cast, EmptyRelation, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Values,
};
use weir_api::connector::ConnectorRegistry;
use weir_api::error::Code;
use weir_api::schema;
use weir_proto::v1::TableSpec;
use xxhash_rust::xxh3::xxh3_128;

use super::calc::{ROW, simplify};
use super::context::Planning;
use super::errors::placed;
use super::table::{BoundTable, CatalogSource};
use super::typing::coerce_expression;
use crate::error::SqlError;
use crate::types::flink_type_name;

/// The connector, and its option that holds the rows.
const CONNECTOR: &str = "values";
const ROWS: &str = "rows";
/// The most bytes of all rows.
const MAX_BYTES: usize = 1 << 20;

/// The rows as a plan, in columns `EXPR$0`, `EXPR$1` and so on.
pub(super) fn values_plan(rows: Vec<Vec<Expr>>) -> Result<LogicalPlan> {
    let width = rows.first().map_or(0, Vec::len);
    if let Some(other) = rows.iter().find(|row| row.len() != width) {
        return plan_err!(
            "all rows of VALUES have as many values: the first has {width}, another has {}",
            other.len()
        );
    }
    let nothing = DFSchema::empty();
    let mut rows = rows
        .into_iter()
        .map(|row| row.into_iter().map(|value| coerce_expression(value, &nothing)).collect())
        .collect::<Result<Vec<Vec<Expr>>>>()?;
    let mut fields = Vec::with_capacity(width);
    for column in 0..width {
        let mut types: Vec<DataType> = Vec::new();
        let mut nullable = false;
        for value in rows.iter().filter_map(|row| row.get(column)) {
            let data_type = value.get_type(&nothing)?;
            nullable |= value.nullable(&nothing)?;
            if !types.contains(&data_type) && !data_type.is_null() {
                types.push(data_type);
            }
        }
        let common = match types.as_slice() {
            [] => DataType::Null,
            [one] => one.clone(),
            several => common_type(several)?,
        };
        for value in rows.iter_mut().filter_map(|row| row.get_mut(column)) {
            if value.get_type(&nothing)? != common {
                *value = Expr::Cast(Cast::new(Box::new(value.clone()), common.clone()));
            }
        }
        fields.push(Field::new(format!("EXPR${column}"), common, nullable));
    }
    let schema = Arc::new(DFSchema::try_from(Schema::new(fields))?);
    Ok(LogicalPlan::Values(Values { schema, values: rows }))
}

fn common_type(types: &[DataType]) -> Result<DataType> {
    let is_text = |data_type: &DataType| *data_type == DataType::Utf8;
    let mixed = types.iter().any(is_text) && !types.iter().all(is_text);
    match type_union_resolution(types).filter(|_| !mixed) {
        Some(common) => Ok(common),
        None => {
            let names: Vec<String> = types.iter().map(|data_type| flink_type_name(data_type, true)).collect();
            plan_err!("the values of a column of VALUES have no type in common: {}", names.join(", "))
        }
    }
}

/// The plan with a table in place of all rows without one.
pub(super) fn with_tables(plan: LogicalPlan, planning: &Planning<'_>) -> Result<LogicalPlan> {
    let replaced = plan.transform_up(|plan| {
        Ok(match &plan {
            LogicalPlan::Values(values) => Transformed::yes(values_scan(values, planning)?),
            LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, .. }) => Transformed::yes(
                LogicalPlanBuilder::from(one_row(planning)?).project(Vec::<Expr>::new())?.build()?,
            ),
            _ => Transformed::no(plan),
        })
    })?;
    Ok(replaced.data)
}

/// One run of rows that are alike in being constant.
enum Run {
    Constant(Vec<Vec<ScalarValue>>),
    Computed(Vec<Expr>),
}

fn values_scan(values: &Values, planning: &Planning<'_>) -> Result<LogicalPlan> {
    let nothing = Arc::new(DFSchema::empty());
    let mut runs: Vec<Run> = Vec::new();
    for row in &values.values {
        let row = row
            .iter()
            .map(|value| {
                simplify(value.clone(), &nothing, &planning.options(), Vec::new()).map_err(|error| {
                    DataFusionError::External(Box::new(SqlError::new(Code::SqlType, error.message())))
                })
            })
            .collect::<Result<Vec<Expr>>>()?;
        let constant: Option<Vec<ScalarValue>> = row
            .iter()
            .map(|value| match value {
                Expr::Literal(value, _) => Some(value.clone()),
                _ => None,
            })
            .collect();
        match (constant, runs.last_mut()) {
            (Some(row), Some(Run::Constant(rows))) => rows.push(row),
            (Some(row), _) => runs.push(Run::Constant(vec![row])),
            (None, _) => runs.push(Run::Computed(row)),
        }
    }
    let names: Vec<&String> = values.schema.fields().iter().map(|field| field.name()).collect();
    let mut plan: Option<LogicalPlanBuilder> = None;
    for run in runs {
        let rows = match run {
            Run::Constant(rows) => {
                let scan = scan_of(batch_of(values, &rows)?, planning)?;
                let columns: Vec<Expr> = scan
                    .schema()
                    .columns()
                    .into_iter()
                    .zip(&names)
                    .map(|(column, name)| Expr::Column(column).alias(name.as_str()))
                    .collect();
                LogicalPlanBuilder::from(scan).project(columns)?.build()?
            }
            Run::Computed(row) => {
                let columns: Vec<Expr> =
                    row.into_iter().zip(&names).map(|(value, name)| value.alias(name.as_str())).collect();
                LogicalPlanBuilder::from(one_row(planning)?).project(columns)?.build()?
            }
        };
        plan = Some(match plan {
            Some(plan) => plan.union(rows)?,
            None => LogicalPlanBuilder::from(rows),
        });
    }
    match plan {
        Some(plan) => plan.build(),
        None => plan_err!("VALUES without rows"),
    }
}

/// A table of one row, of which nothing is read.
fn one_row(planning: &Planning<'_>) -> Result<LogicalPlan> {
    let row: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    scan_of(RecordBatch::try_from_iter_with_nullable([(ROW, row, false)])?, planning)
}

fn batch_of(values: &Values, rows: &[Vec<ScalarValue>]) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(values.schema.fields().len());
    for column in 0..values.schema.fields().len() {
        let values = rows.iter().filter_map(|row| row.get(column).cloned());
        columns.push(ScalarValue::iter_to_array(values)?);
    }
    let fields: Vec<Field> = values
        .schema
        .fields()
        .iter()
        .zip(&columns)
        .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), field.is_nullable()))
        .collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// The scan of a table of these rows. Its name depends on them: equal rows are one table.
fn scan_of(rows: RecordBatch, planning: &Planning<'_>) -> Result<LogicalPlan> {
    let bytes = encode(&rows)?;
    if bytes.len() > MAX_BYTES {
        let message = format!(
            "the rows of VALUES take {} bytes; at most {MAX_BYTES} are possible: put them into a file",
            bytes.len()
        );
        return Err(placed(SqlError::new(Code::Unsupported, message)));
    }
    let name = format!("values-{:032x}", xxh3_128(&bytes));
    let spec = TableSpec {
        name: name.clone(),
        connector: CONNECTOR.to_owned(),
        options: [(ROWS.to_owned(), hex(&bytes))].into_iter().collect(),
        schema: schema::encode(rows.schema_ref()),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        metadata_columns: Vec::new(),
    };
    let table = bound(spec, &rows, planning.session.registry())?;
    let source = Arc::new(CatalogSource(Arc::new(table)));
    LogicalPlanBuilder::scan(TableReference::bare(name), source, None)?.build()
}

fn bound(spec: TableSpec, rows: &RecordBatch, registry: &ConnectorRegistry) -> Result<BoundTable> {
    let source = registry.source(&spec).map_err(|error| placed(SqlError::from(error)))?;
    Ok(BoundTable::of_columns("Values".to_owned(), spec, rows.schema(), source))
}

fn encode(rows: &RecordBatch) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, rows.schema_ref())?;
    writer.write(rows)?;
    writer.finish()?;
    drop(writer);
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
