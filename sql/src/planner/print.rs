//! A SELECT that is run: its rows go to a made table of the connector `print`.
//!
//! The table has the query's own columns and a name of one part, which no table of a text has. All such tables share it:
//! their sinks are told apart by what they read, so that a sink keeps its uid when other SELECTs come or go.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema};
use weir_api::schema;
use weir_proto::v1::TableSpec;

use super::sink::lower_sink;
use super::stream::{NodeId, StreamPlan};
use crate::catalog::{Column, ColumnSource, DEFAULT_CATALOG, DEFAULT_DATABASE, ObjectPath, Session, Table};
use crate::error::{SqlError, SqlResult};
use crate::statement::{Insert, Name, Query, TableName};

/// The connector, and the table's name.
const PRINT: &str = "print";

/// Adds the sink that prints the rows of `node`, which is the query's; `identifier` precedes each of them.
pub(super) fn lower_print(
    plan: &mut StreamPlan,
    query: &Query,
    node: NodeId,
    identifier: Option<&str>,
    session: &Session,
) -> SqlResult<NodeId> {
    let table = print_table(&plan.node(node)?.schema, query, identifier);
    session.registry().sink(&table.spec).map_err(|error| {
        SqlError::from(error)
            .or_at(query.position)
            .context("the rows of a SELECT without INSERT INTO are printed")
    })?;
    let name = Name { value: PRINT.to_owned(), position: query.position };
    let insert = Insert {
        table: TableName { parts: vec![name], position: query.position },
        options: Vec::new(),
        partition: Vec::new(),
        columns: Vec::new(),
        query: query.clone(),
        position: query.position,
    };
    lower_sink(plan, &insert, &table, &table.sink()?, node).map_err(|error| error.or_at(query.position))
}

fn print_table(columns: &Schema, query: &Query, identifier: Option<&str>) -> Table {
    // What a column means for event time ends here.
    let fields: Vec<Field> =
        columns.fields().iter().map(|field| field.as_ref().clone().with_metadata(HashMap::new())).collect();
    let physical_schema = Arc::new(Schema::new(fields));
    let options = identifier.map(|identifier| ("print-identifier".to_owned(), identifier.to_owned()));
    Table {
        path: ObjectPath {
            catalog: DEFAULT_CATALOG.to_owned(),
            database: DEFAULT_DATABASE.to_owned(),
            object: PRINT.to_owned(),
        },
        spec: TableSpec {
            name: PRINT.to_owned(),
            connector: PRINT.to_owned(),
            options: options.into_iter().collect(),
            schema: schema::encode(&physical_schema),
            primary_key: Vec::new(),
            partition_keys: Vec::new(),
            metadata_columns: Vec::new(),
        },
        columns: physical_schema
            .fields()
            .iter()
            .enumerate()
            .map(|(index, field)| Column {
                name: field.name().clone(),
                source: ColumnSource::Physical(index),
                comment: None,
                position: query.position,
            })
            .collect(),
        physical_schema,
        watermark: None,
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        comment: None,
        option_positions: BTreeMap::new(),
        position: query.position,
    }
}
