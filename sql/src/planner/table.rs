//! A table of the catalog, bound: its computed columns, its metadata columns of other types than the connector's, and its
//! watermark are expressions over what the connector reads.
//!
//! DataFusion sees all columns alike, computed ones included; what a computed column means is put in when the scan is lowered
//! (see [`super::scan`]), so that it is computed only where it is read.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column as ColumnName, DFSchema, Result as DataFusionResult};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, TableProviderFilterPushDown, TableSource};
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;
use weir_api::error::Code;
use weir_api::source::Source;
use weir_proto::v1::TableSpec;

use super::context::QueryContext;
use super::errors::planning_error;
use super::normalise::normalise_expression;
use super::typing::coerce_expression;
use crate::catalog::{ColumnSource, SideTables, Table};
use crate::error::{SqlError, SqlResult};
use crate::statement::Position;
use crate::types::flink_type_name;

/// A table that is read.
pub(super) struct BoundTable {
    /// `catalog.database.table`.
    pub name: String,
    /// The last part of the name.
    pub short_name: String,
    /// What tells it from other tables of its name in the text, see [`crate::catalog::DeclaredTable::variant`].
    pub variant: String,
    /// What the connector is told.
    pub spec: TableSpec,
    /// What the connector can read: physical columns, then metadata columns in the connector's types.
    pub physical: SchemaRef,
    /// All columns, in their order.
    pub columns: Vec<BoundColumn>,
    /// Its watermark.
    pub watermark: Option<BoundWatermark>,
    /// Where the records go that can't be used.
    pub side_tables: SideTables,
    /// The connector's view of it.
    pub source: Arc<dyn Source>,
    schema: SchemaRef,
}

/// A column of a [`BoundTable`].
pub(super) struct BoundColumn {
    /// Its name.
    pub name: String,
    /// Its value, over what the connector reads; a physical column is itself, so is metadata of the declared type.
    pub value: Expr,
}

/// The watermark of a [`BoundTable`].
pub(super) struct BoundWatermark {
    /// The time attribute: one of the columns.
    pub column: String,
    /// The watermark of a row, over what the connector reads.
    pub expression: Expr,
}

impl BoundTable {
    /// Types the table's expressions.
    pub fn bind(table: &Table, source: Arc<dyn Source>, context: &QueryContext<'_>) -> SqlResult<Self> {
        let BoundColumns { columns, schema, watermark } = bind_columns(table, context)?;
        Ok(Self {
            name: table.path.to_string(),
            short_name: table.path.object.clone(),
            variant: String::new(),
            spec: table.spec.clone(),
            physical: table.read_schema(),
            columns,
            watermark,
            side_tables: SideTables::read(&table.path, &table.spec.options, &table.option_positions)?,
            source,
            schema,
        })
    }

    /// A table that no statement declares: plain columns and nothing else.
    pub fn of_columns(
        short_name: String,
        spec: TableSpec,
        columns: SchemaRef,
        source: Arc<dyn Source>,
    ) -> Self {
        let bound = |field: &FieldRef| BoundColumn {
            name: field.name().clone(),
            value: Expr::Column(ColumnName::new_unqualified(field.name())),
        };
        Self {
            name: spec.name.clone(),
            variant: String::new(),
            short_name,
            spec,
            physical: columns.clone(),
            columns: columns.fields().iter().map(bound).collect(),
            watermark: None,
            side_tables: SideTables::default(),
            source,
            schema: columns,
        }
    }

    /// Whether the connector fills the column beside the record.
    pub fn is_metadata(&self, column: &str) -> bool {
        self.spec.metadata_columns.iter().any(|metadata| metadata.name == column)
    }

    /// An expression over the table's columns, over its physical columns.
    pub fn inline(&self, expression: Expr) -> DataFusionResult<Expr> {
        inline(expression, &self.columns)
    }
}

/// What the expressions of a table's columns mean, whoever reads it.
struct BoundColumns {
    columns: Vec<BoundColumn>,
    schema: SchemaRef,
    watermark: Option<BoundWatermark>,
}

fn bind_columns(table: &Table, context: &QueryContext<'_>) -> SqlResult<BoundColumns> {
    let stored = Scope::new(table.read_schema())?;
    let given = given_columns(table, &stored)?;
    let scope = Scope::new(Arc::new(Schema::new(
        given.iter().map(|(field, _)| field.clone()).collect::<Vec<Field>>(),
    )))?;
    let metadata: Vec<BoundColumn> = given
        .iter()
        .map(|(field, value)| BoundColumn { name: field.name().clone(), value: value.clone() })
        .collect();
    let mut given = given.into_iter();
    let mut columns = Vec::with_capacity(table.columns.len());
    let mut fields = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        let (field, value) = match &column.source {
            ColumnSource::Computed(expression) => {
                let value = scope.expression(expression, context, column.position)?;
                let (data_type, nullable) = scope.type_of(&value, column.position)?;
                let value =
                    inline(value, &metadata).map_err(|error| planning_error(&error, column.position))?;
                (Field::new(&column.name, data_type, nullable), value)
            }
            ColumnSource::Physical(_) | ColumnSource::Metadata { .. } => given.next().ok_or_else(|| {
                let message = format!("column {} has no field", column.name);
                SqlError::at(Code::Internal, column.position, message)
            })?,
        };
        fields.push(field);
        columns.push(BoundColumn { name: column.name.clone(), value });
    }
    let schema = Arc::new(Schema::new(fields));
    let watermark = bind_watermark(table, &schema, &columns, context)?;
    Ok(BoundColumns { columns, schema, watermark })
}

/// The columns of a table as queries see them.
pub(super) fn schema_of(table: &Table, context: &QueryContext<'_>) -> SqlResult<SchemaRef> {
    Ok(bind_columns(table, context)?.schema)
}

/// The type of an expression over columns of a schema.
pub(super) fn type_of(
    expression: &ast::Expr,
    schema: SchemaRef,
    context: &QueryContext<'_>,
    position: Position,
) -> SqlResult<Expr> {
    let scope = Scope::new(schema)?;
    let typed = scope.expression(expression, context, position)?;
    scope.type_of(&typed, position)?;
    Ok(typed)
}

/// The columns that the connector fills, in their order, in the declared types: each with its value over what is read.
fn given_columns(table: &Table, stored: &Scope) -> SqlResult<Vec<(Field, Expr)>> {
    let mut given = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        let itself = || Expr::Column(ColumnName::new_unqualified(&column.name));
        given.push(match &column.source {
            ColumnSource::Physical(index) => {
                let field = table.physical_schema.fields().get(*index).ok_or_else(|| {
                    let message = format!("column {} has no field", column.name);
                    SqlError::at(Code::Internal, column.position, message)
                })?;
                (field.as_ref().clone(), itself())
            }
            ColumnSource::Metadata { field, stored: own, .. } => {
                if field.data_type().equals_datatype(own.data_type()) {
                    (own.as_ref().clone(), itself())
                } else {
                    let cast = Expr::Cast(Cast::new(Box::new(itself()), field.data_type().clone()));
                    let value = coerce_expression(cast, &stored.schema)
                        .map_err(|error| planning_error(&error, column.position))?;
                    let (data_type, nullable) = stored.type_of(&value, column.position)?;
                    (Field::new(&column.name, data_type, nullable), value)
                }
            }
            ColumnSource::Computed(_) => continue,
        });
    }
    Ok(given)
}

fn bind_watermark(
    table: &Table,
    schema: &SchemaRef,
    columns: &[BoundColumn],
    context: &QueryContext<'_>,
) -> SqlResult<Option<BoundWatermark>> {
    let Some(watermark) = &table.watermark else { return Ok(None) };
    let scope = Scope::new(schema.clone())?;
    let expression = scope.expression(&watermark.expression, context, watermark.position)?;
    let (data_type, _) = scope.type_of(&expression, watermark.position)?;
    let of_column = schema.field_with_name(&watermark.column).ok().map(Field::data_type);
    for (what, data_type) in [("column", of_column), ("expression", Some(&data_type))] {
        let Some(data_type) = data_type else { continue };
        if !weir_api::schema::is_timestamp(data_type) {
            let message = format!(
                "table {}: the watermark's {what} is {}; it must be a TIMESTAMP or TIMESTAMP_LTZ",
                table.path,
                flink_type_name(data_type, true)
            );
            return Err(SqlError::at(Code::SqlType, watermark.position, message));
        }
    }
    let expression =
        inline(expression, columns).map_err(|error| planning_error(&error, watermark.position))?;
    Ok(Some(BoundWatermark { column: watermark.column.clone(), expression }))
}

fn inline(expression: Expr, columns: &[BoundColumn]) -> DataFusionResult<Expr> {
    let inlined = expression.transform_up(|expression| {
        Ok(match &expression {
            Expr::Column(column) => match columns.iter().find(|bound| bound.name == column.name) {
                Some(bound) => Transformed::yes(bound.value.clone()),
                None => Transformed::no(expression),
            },
            _ => Transformed::no(expression),
        })
    })?;
    Ok(inlined.data)
}

/// The columns that an expression of a table may name.
struct Scope {
    schema: DFSchema,
}

impl Scope {
    fn new(schema: SchemaRef) -> SqlResult<Self> {
        let schema = DFSchema::try_from(schema).map_err(|error| planning_error(&error, Position::START))?;
        Ok(Self { schema })
    }

    fn expression(
        &self,
        expression: &ast::Expr,
        context: &QueryContext<'_>,
        position: Position,
    ) -> SqlResult<Expr> {
        SqlToRel::new(context)
            .sql_to_expr(normalise_expression(expression), &self.schema, &mut PlannerContext::new())
            .and_then(|expression| coerce_expression(expression, &self.schema))
            .map_err(|error| planning_error(&error, position))
    }

    fn type_of(&self, expression: &Expr, position: Position) -> SqlResult<(DataType, bool)> {
        expression
            .to_field(&self.schema)
            .map(|(_, field)| (field.data_type().clone(), field.is_nullable()))
            .map_err(|error| planning_error(&error, position))
    }
}

/// A [`BoundTable`] as DataFusion sees it.
pub(super) struct CatalogSource(pub Arc<BoundTable>);

impl TableSource for CatalogSource {
    fn schema(&self) -> SchemaRef {
        self.0.schema.clone()
    }

    /// All of them: what the connector doesn't take is applied right after the source.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }
}
