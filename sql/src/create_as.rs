//! `CREATE TABLE … AS query`: the table that the query's columns make, and the INSERT that fills it.
//!
//! As in Flink: the columns that the statement declares come first, those of the query behind them; one that both have stays
//! at its place in the query and has the declared type. A list of names alone only changes the order.

use datafusion::arrow::datatypes::FieldRef;
use weir_api::error::Code;

use crate::error::{SqlError, SqlResult};
use crate::statement::{AsQuery, ColumnDefinition, ColumnKind, CreateTable, Insert, Name, TableName};
use crate::types::{FlinkType, of_arrow};

/// The table and its insert; `fields` are the query's columns.
pub(crate) fn split(
    mut create: CreateTable,
    source: AsQuery,
    fields: &[FieldRef],
) -> SqlResult<(CreateTable, Insert)> {
    let AsQuery { order, query } = source;
    let position = query.position;
    let mut of_query = Vec::with_capacity(fields.len());
    for field in fields {
        let kind = of_arrow(field.data_type()).ok_or_else(|| {
            let message = format!(
                "the column '{}' of the query is {}, which a table can't have; CAST it",
                field.name(),
                field.data_type()
            );
            SqlError::at(Code::SqlType, position, message)
        })?;
        let data_type = FlinkType { kind, nullable: field.is_nullable() };
        let name = Name { value: field.name().clone(), position };
        of_query.push(ColumnDefinition { name, kind: ColumnKind::Physical(data_type), comment: None });
    }
    let names = of_query.iter().map(|column| column.name.clone()).collect();
    create.columns = if order.is_empty() {
        merged(std::mem::take(&mut create.columns), of_query)?
    } else {
        ordered(&order, of_query, &create.name)?
    };
    let insert = Insert {
        table: create.name.clone(),
        options: Vec::new(),
        partition: Vec::new(),
        columns: names,
        query,
        position: create.position,
    };
    Ok((create, insert))
}

fn merged(
    declared: Vec<ColumnDefinition>,
    mut of_query: Vec<ColumnDefinition>,
) -> SqlResult<Vec<ColumnDefinition>> {
    let mut columns = Vec::with_capacity(declared.len() + of_query.len());
    for column in declared {
        match of_query.iter_mut().find(|known| known.name.value == column.name.value) {
            None => columns.push(column),
            Some(known) if matches!(column.kind, ColumnKind::Physical(_)) => *known = column,
            Some(_) => {
                let message = format!(
                    "the query gives the column '{}' its values, so it can be neither computed nor metadata",
                    column.name
                );
                return Err(SqlError::at(Code::InvalidArgument, column.name.position, message));
            }
        }
    }
    columns.extend(of_query);
    Ok(columns)
}

fn ordered(
    order: &[Name],
    of_query: Vec<ColumnDefinition>,
    table: &TableName,
) -> SqlResult<Vec<ColumnDefinition>> {
    let mut columns = Vec::with_capacity(order.len());
    for name in order {
        let Some(column) = of_query.iter().find(|column| column.name.value == name.value) else {
            let message = format!("the query of CREATE TABLE {table} has no column '{name}'");
            return Err(SqlError::at(Code::SqlUnknownName, name.position, message));
        };
        columns.push(ColumnDefinition { name: name.clone(), ..column.clone() });
    }
    if let Some(left) =
        of_query.iter().find(|column| order.iter().all(|name| name.value != column.name.value))
    {
        let message = format!(
            "the list of CREATE TABLE {table} leaves out the column '{}' of the query; it names all of them, in another order",
            left.name
        );
        return Err(SqlError::at(Code::InvalidArgument, table.position, message));
    }
    Ok(columns)
}
