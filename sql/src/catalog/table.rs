//! From a CREATE TABLE to a [`Table`]: every check that needs no planner.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use weir_api::connector::{Connector, ConnectorRegistry, nearest};
use weir_api::error::Code;
use weir_api::schema;
use weir_proto::v1::TableSpec;

use super::metadata::{metadata_columns, metadata_source, with_metadata};
use super::{Column, ColumnSource, DeclaredTable, ObjectPath, SideTables, Table, Watermark};
use crate::error::{SqlError, SqlResult};
use crate::statement::{ColumnDefinition, ColumnKind, CreateTable, Name, TableOption};
use crate::types::{FlinkType, flink_type_name, of_arrow};

/// The option that names the connector.
pub(super) const CONNECTOR: &str = "connector";

/// The table that a statement declares; errors without a place are the whole statement's.
pub(super) fn build_table(
    create: &CreateTable,
    path: ObjectPath,
    registry: &ConnectorRegistry,
) -> SqlResult<Table> {
    let options = options_of(create, &path)?;
    let (connector_option, connector) = connector_of(create, &path, registry)?;
    let names: Vec<Name> = create.columns.iter().map(|column| column.name.clone()).collect();
    check_distinct(&names, &format!("table {path}"))?;

    let mut fields = physical_fields(create, &path, connector)?;
    let mut spec = TableSpec {
        name: path.to_string(),
        connector: connector_option.value.clone(),
        options: options.into_iter().collect(),
        schema: schema::encode(&Schema::new(fields.clone())),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        metadata_columns: Vec::new(),
    };
    let columns = columns_of(create, &path, connector, &spec)?;
    let primary_key = key_of(create, &path, &columns, &mut fields)?;
    let partition_keys = partitions_of(create, &path, &columns)?;
    let watermark = watermark_of(create, &path, &columns, &fields)?;
    let physical_schema = Arc::new(Schema::new(fields));

    spec.schema = schema::encode(&with_metadata(&physical_schema, &columns));
    spec.primary_key.clone_from(&primary_key);
    spec.partition_keys.clone_from(&partition_keys);
    spec.metadata_columns = metadata_columns(&columns);
    registry.check_options(&spec).map_err(|error| place_of_option(error, create))?;
    let option_positions =
        create.options.iter().map(|option| (option.key.clone(), option.position)).collect();
    SideTables::read(&path, &spec.options, &option_positions)?;
    Ok(Table {
        path,
        spec,
        physical_schema,
        columns,
        watermark,
        primary_key,
        partition_keys,
        comment: create.comment.clone(),
        option_positions,
        position: create.position,
    })
}

/// Refuses a name that is written twice.
pub(super) fn check_distinct(names: &[Name], of: &str) -> SqlResult<()> {
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(&name.value)) {
        Some(name) => {
            let message = format!("{of}: the column '{name}' is declared twice");
            Err(SqlError::at(Code::InvalidArgument, name.position, message))
        }
        None => Ok(()),
    }
}

fn options_of(create: &CreateTable, path: &ObjectPath) -> SqlResult<BTreeMap<String, String>> {
    let mut options = BTreeMap::new();
    for option in &create.options {
        if options.insert(option.key.clone(), option.value.clone()).is_some() {
            let message = format!("table {path}: the option '{}' is given twice", option.key);
            return Err(SqlError::at(Code::TableOptions, option.position, message));
        }
    }
    Ok(options)
}

fn connector_of<'a>(
    create: &'a CreateTable,
    path: &ObjectPath,
    registry: &'a ConnectorRegistry,
) -> SqlResult<(&'a TableOption, &'a dyn Connector)> {
    let option = create.options.iter().find(|option| option.key == CONNECTOR).ok_or_else(|| {
        let known: Vec<&str> = registry.iter().map(Connector::identifier).collect();
        let message = format!(
            "table {path} needs the option 'connector', as in WITH ('connector' = '{}') (there are: {})",
            known.first().copied().unwrap_or("filesystem"),
            known.join(", ")
        );
        SqlError::at(Code::TableOptions, create.name.position, message)
    })?;
    let connector = registry
        .get(&option.value)
        .map_err(|error| SqlError::from(error).or_at(option.position).context(format!("table {path}")))?;
    Ok((option, connector))
}

/// The physical fields: those declared, or the connector's own where none is.
fn physical_fields(
    create: &CreateTable,
    path: &ObjectPath,
    connector: &dyn Connector,
) -> SqlResult<Vec<Field>> {
    let declared: Vec<Field> = create
        .columns
        .iter()
        .filter_map(|column| match &column.kind {
            ColumnKind::Physical(data_type) => Some(data_type.to_field(&column.name.value)),
            ColumnKind::Computed(_) | ColumnKind::Metadata { .. } => None,
        })
        .collect();
    if !declared.is_empty() {
        return Ok(declared);
    }
    let own = connector.default_schema().ok_or_else(|| {
        let message = format!(
            "table {path} declares no columns that its connector '{}' could read or write",
            connector.identifier()
        );
        SqlError::at(Code::InvalidArgument, create.name.position, message)
    })?;
    Ok(own.fields().iter().map(|field| field.as_ref().clone()).collect())
}

/// All columns, in their order; `spec` has the physical ones.
fn columns_of(
    create: &CreateTable,
    path: &ObjectPath,
    connector: &dyn Connector,
    spec: &TableSpec,
) -> SqlResult<Vec<Column>> {
    let mut columns: Vec<Column> = Vec::new();
    if !create.columns.iter().any(|column| matches!(column.kind, ColumnKind::Physical(_))) {
        let own = connector.default_schema();
        for (index, field) in own.iter().flat_map(|own| own.fields()).enumerate() {
            columns.push(Column {
                name: field.name().clone(),
                source: ColumnSource::Physical(index),
                comment: None,
                position: create.name.position,
            });
        }
    }
    let mut physical = 0;
    let mut offered = None;
    for definition in &create.columns {
        let Name { value: name, position } = definition.name.clone();
        if columns.iter().any(|column: &Column| column.name == name) {
            let message = format!("table {path}: the connector itself has a column '{name}'");
            return Err(SqlError::at(Code::InvalidArgument, position, message));
        }
        let source = match &definition.kind {
            ColumnKind::Physical(_) => {
                physical += 1;
                ColumnSource::Physical(physical - 1)
            }
            ColumnKind::Computed(expression) => ColumnSource::Computed(expression.ast.clone()),
            kind @ ColumnKind::Metadata { .. } => {
                let offered = offered.get_or_insert_with(|| connector.metadata(spec));
                metadata_source(&definition.name, kind, offered, path, connector.identifier())?
            }
        };
        columns.push(Column { name, source, comment: definition.comment.clone(), position });
    }
    Ok(columns)
}

/// The column of a name; the error names the nearest.
fn column_of<'a>(
    columns: &'a [Column],
    name: &Name,
    clause: &str,
    path: &ObjectPath,
) -> SqlResult<&'a Column> {
    columns.iter().find(|column| column.name == name.value).ok_or_else(|| {
        let hint = nearest(&name.value, columns.iter().map(|column| column.name.as_str()))
            .map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
        let message = format!("table {path}: {clause} names a column '{name}' that doesn't exist{hint}");
        SqlError::at(Code::SqlUnknownName, name.position, message)
    })
}

/// The position in the schema of a column that must be physical.
fn physical_of(columns: &[Column], name: &Name, clause: &str, path: &ObjectPath) -> SqlResult<usize> {
    match column_of(columns, name, clause, path)?.source {
        ColumnSource::Physical(index) => Ok(index),
        ColumnSource::Computed(_) | ColumnSource::Metadata { .. } => {
            let message =
                format!("table {path}: {clause} can only name physical columns, and '{name}' isn't one");
            Err(SqlError::at(Code::InvalidArgument, name.position, message))
        }
    }
}

/// The primary key; its fields become `NOT NULL`, as in Flink.
fn key_of(
    create: &CreateTable,
    path: &ObjectPath,
    columns: &[Column],
    fields: &mut [Field],
) -> SqlResult<Vec<String>> {
    check_distinct(&create.primary_key, &format!("table {path}, PRIMARY KEY"))?;
    for name in &create.primary_key {
        let index = physical_of(columns, name, "PRIMARY KEY", path)?;
        if let Some(field) = fields.get_mut(index) {
            *field = field.clone().with_nullable(false);
        }
    }
    Ok(create.primary_key.iter().map(|name| name.value.clone()).collect())
}

fn partitions_of(create: &CreateTable, path: &ObjectPath, columns: &[Column]) -> SqlResult<Vec<String>> {
    check_distinct(&create.partitioned_by, &format!("table {path}, PARTITIONED BY"))?;
    for name in &create.partitioned_by {
        physical_of(columns, name, "PARTITIONED BY", path)?;
    }
    Ok(create.partitioned_by.iter().map(|name| name.value.clone()).collect())
}

fn watermark_of(
    create: &CreateTable,
    path: &ObjectPath,
    columns: &[Column],
    fields: &[Field],
) -> SqlResult<Option<Watermark>> {
    let Some(definition) = &create.watermark else { return Ok(None) };
    let column = column_of(columns, &definition.column, "WATERMARK", path)?;
    // The type of a computed column is known to the planner only.
    let declared = match &column.source {
        ColumnSource::Physical(index) => fields.get(*index),
        ColumnSource::Metadata { field, .. } => Some(field.as_ref()),
        ColumnSource::Computed(_) => None,
    };
    if let Some(field) = declared
        && !schema::is_timestamp(field.data_type())
    {
        let message = format!(
            "table {path}: the watermark's column '{}' is {}; it must be a TIMESTAMP or TIMESTAMP_LTZ",
            column.name,
            flink_type_name(field.data_type(), true)
        );
        return Err(SqlError::at(Code::SqlType, definition.column.position, message));
    }
    Ok(Some(Watermark {
        column: column.name.clone(),
        expression: definition.expression.ast.clone(),
        position: definition.position,
    }))
}

/// The error of a connector about its options, at the option that it names.
fn place_of_option(error: weir_api::Error, create: &CreateTable) -> SqlError {
    let named = create
        .options
        .iter()
        .filter(|option| option.key != CONNECTOR)
        .find(|option| error.message().contains(&format!("'{}'", option.key)));
    let position = named.map_or(create.name.position, |option| option.position);
    SqlError::from(error).or_at(position)
}

/// A table's definition with the columns that its connector has lent it.
pub(super) fn written_out(table: &DeclaredTable) -> CreateTable {
    let mut definition = table.definition.clone();
    if definition.columns.iter().any(|column| matches!(column.kind, ColumnKind::Physical(_))) {
        return definition;
    }
    let lent = table.physical_schema.fields().iter().filter_map(|field| {
        let data_type = FlinkType { kind: of_arrow(field.data_type())?, nullable: field.is_nullable() };
        let name = Name { value: field.name().clone(), position: definition.name.position };
        Some(ColumnDefinition { name, kind: ColumnKind::Physical(data_type), comment: None })
    });
    definition.columns = lent.chain(std::mem::take(&mut definition.columns)).collect();
    definition
}
