//! Metadata columns: what a connector offers beside the record itself, and what of it a table declares.
//!
//! Reading, the connector gives a column in its own type and the declared type is a cast of it; writing, the other way round.
//! Invariant: a table's metadata columns name keys that its connector offers, once each, in types that can be cast. Knows no
//! plans: the planner writes the casts.

use std::sync::Arc;

use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use weir_api::connector::{MetadataDescription, nearest};
use weir_api::error::Code;
use weir_api::schema;
use weir_proto::v1::{MetadataColumn, TableSpec};

use super::{Column, ColumnSource, ObjectPath, Table};
use crate::error::{SqlError, SqlResult};
use crate::statement::{ColumnKind, Name};
use crate::types::flink_type_name;

/// A column that an INSERT fills.
#[derive(Clone, Debug)]
pub struct SinkColumn {
    /// As the table declares it.
    pub declared: FieldRef,
    /// As the connector takes it; under the same name.
    pub stored: FieldRef,
    /// Whether it is metadata: those come last in [`SinkTable::spec`].
    pub is_metadata: bool,
}

/// A table as its writers see it.
#[derive(Clone, Debug)]
pub struct SinkTable {
    /// What its connector is told: the metadata columns without the virtual ones.
    pub spec: TableSpec,
    /// The columns that an INSERT fills, in the order of their declaration.
    pub columns: Vec<SinkColumn>,
}

impl Table {
    /// What a reader can emit: the physical columns, then the metadata columns in their connector's types.
    #[must_use]
    pub fn read_schema(&self) -> SchemaRef {
        with_metadata(&self.physical_schema, &self.columns)
    }

    /// The table as a sink; an error if it has a metadata column that can only be read and isn't declared VIRTUAL.
    pub fn sink(&self) -> SqlResult<SinkTable> {
        let mut columns = Vec::with_capacity(self.columns.len());
        let mut metadata_columns = Vec::new();
        for column in &self.columns {
            match &column.source {
                ColumnSource::Physical(index) => {
                    let field = self.physical_schema.fields().get(*index);
                    columns.extend(field.map(|field| SinkColumn {
                        declared: field.clone(),
                        stored: field.clone(),
                        is_metadata: false,
                    }));
                }
                ColumnSource::Metadata { is_virtual: true, .. } | ColumnSource::Computed(_) => {}
                ColumnSource::Metadata { key, writable: false, .. } => {
                    let message = format!(
                        "table {}: the metadata column '{}' ('{key}') can only be read: declare it VIRTUAL to write to the table",
                        self.path, column.name
                    );
                    return Err(SqlError::at(Code::InvalidArgument, column.position, message));
                }
                ColumnSource::Metadata { field, stored, key, .. } => {
                    columns.push(SinkColumn {
                        declared: field.clone(),
                        stored: stored.clone(),
                        is_metadata: true,
                    });
                    metadata_columns.push(MetadataColumn { name: column.name.clone(), key: key.clone() });
                }
            }
        }
        let physical = self.physical_schema.fields().iter().cloned();
        let metadata = columns.iter().filter(|column| column.is_metadata).map(|column| column.stored.clone());
        let schema = Schema::new(physical.chain(metadata).collect::<Vec<FieldRef>>());
        let spec = TableSpec { schema: schema::encode(&schema), metadata_columns, ..self.spec.clone() };
        Ok(SinkTable { spec, columns })
    }
}

/// The physical columns, then the metadata columns of a table, as its connector gives them.
pub(super) fn with_metadata(physical: &Schema, columns: &[Column]) -> SchemaRef {
    let metadata = columns.iter().filter_map(|column| match &column.source {
        ColumnSource::Metadata { stored, .. } => Some(stored.clone()),
        ColumnSource::Physical(_) | ColumnSource::Computed(_) => None,
    });
    Arc::new(Schema::new(physical.fields().iter().cloned().chain(metadata).collect::<Vec<FieldRef>>()))
}

/// The metadata columns of a table, as its connector is told of them.
pub(super) fn metadata_columns(columns: &[Column]) -> Vec<MetadataColumn> {
    columns
        .iter()
        .filter_map(|column| match &column.source {
            ColumnSource::Metadata { key, .. } => {
                Some(MetadataColumn { name: column.name.clone(), key: key.clone() })
            }
            ColumnSource::Physical(_) | ColumnSource::Computed(_) => None,
        })
        .collect()
}

/// The source of a column `name TYPE METADATA [FROM 'key'] [VIRTUAL]`, of what the connector offers.
pub(super) fn metadata_source(
    name: &Name,
    kind: &ColumnKind,
    offered: &[MetadataDescription],
    path: &ObjectPath,
    connector: &str,
) -> SqlResult<ColumnSource> {
    let ColumnKind::Metadata { data_type, key, is_virtual } = kind else {
        return Err(SqlError::at(Code::Internal, name.position, "a column that isn't metadata"));
    };
    let key = key.as_ref().unwrap_or(&name.value);
    let Some(description) = offered.iter().find(|description| description.key == key) else {
        return Err(SqlError::at(
            Code::SqlUnknownName,
            name.position,
            unknown_key(key, offered, path, connector),
        ));
    };
    let declared = data_type.to_field(&name.value);
    let castable = castable(&description.data_type, declared.data_type())
        && (*is_virtual || !description.writable || castable(declared.data_type(), &description.data_type));
    if !castable {
        let message = format!(
            "table {path}: the metadata column '{name}' is declared as {}, but '{key}' of the connector '{connector}' is {}, which can't be cast",
            flink_type_name(declared.data_type(), true),
            flink_type_name(&description.data_type, true)
        );
        return Err(SqlError::at(Code::SqlType, name.position, message));
    }
    Ok(ColumnSource::Metadata {
        field: Arc::new(declared),
        stored: Arc::new(Field::new(&name.value, description.data_type.clone(), description.nullable)),
        key: key.clone(),
        is_virtual: *is_virtual,
        writable: description.writable,
    })
}

/// Whether an explicit cast leads from one type to the other; text can be read as many things, but never fails to be tried.
fn castable(from: &DataType, to: &DataType) -> bool {
    from.equals_datatype(to) || can_cast_types(from, to)
}

fn unknown_key(key: &str, offered: &[MetadataDescription], path: &ObjectPath, connector: &str) -> String {
    if offered.is_empty() {
        return format!(
            "table {path}: the connector '{connector}' has no metadata columns, so there is no '{key}'"
        );
    }
    let hint = nearest(key, offered.iter().map(|description| description.key))
        .map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
    let there: Vec<String> = offered
        .iter()
        .map(|description| {
            let data_type = flink_type_name(&description.data_type, description.nullable);
            let how = if description.writable { "" } else { " VIRTUAL" };
            format!("'{}' {data_type}{how}", description.key)
        })
        .collect();
    format!(
        "table {path}: the connector '{connector}' has no metadata '{key}'{hint} (there are: {})",
        there.join(", ")
    )
}
