//! Which columns of a table are in a record's key, which in its value, and which stand beside it.
//!
//! Decides what `key.fields`, `key.fields-prefix` and `value.fields-include` mean, as Flink does. Reading and writing share it.

use arrow::datatypes::{Field, Fields, SchemaRef};
use weir_api::error::{Code, Error, Result};

use super::metadata::Key as MetadataKey;
use crate::formats::format::RecordFormat;
use crate::options::Options;
use crate::types;

/// One half of a record: its format and its columns.
#[derive(Clone, Debug)]
pub struct Part {
    /// How it is encoded.
    pub format: RecordFormat,
    /// Its columns, by their places in the table's schema.
    pub columns: Vec<usize>,
    /// Their names and types within the record: a key's without the prefix.
    pub fields: Fields,
}

/// The columns of a table.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The table's name, for messages.
    pub table: String,
    /// All columns, metadata columns last.
    pub schema: SchemaRef,
    /// The key, where the table declares one.
    pub key: Option<Part>,
    /// The value.
    pub value: Part,
    /// Metadata columns, by their places in the schema.
    pub metadata: Vec<(usize, MetadataKey)>,
}

impl Layout {
    /// The layout of a table.
    pub fn of(options: &Options<'_>) -> Result<Self> {
        let table = options.table();
        types::refuse_partitions(table)?;
        let schema = types::declared(table)?;
        let physical = schema.fields().len().checked_sub(table.metadata_columns.len()).ok_or_else(|| {
            Error::internal(format!("table {}: more metadata columns than columns", table.name))
        })?;
        let metadata = table
            .metadata_columns
            .iter()
            .zip(physical..)
            .map(|(column, place)| Ok((place, MetadataKey::of(&table.name, &column.key)?)))
            .collect::<Result<_>>()?;
        let prefix = options.text("key.fields-prefix").unwrap_or_default();
        let except_key = options.one_of("value.fields-include", &[("ALL", false), ("EXCEPT_KEY", true)])?;
        if !prefix.is_empty() && !except_key {
            return Err(options.refuse("key.fields-prefix", "'' beside 'value.fields-include' = 'ALL'"));
        }
        let key = key(options, prefix, schema.fields(), physical)?;
        let is_of_key = |place: &usize| key.as_ref().is_some_and(|key| key.columns.contains(place));
        let columns: Vec<usize> = (0..physical).filter(|place| !(except_key && is_of_key(place))).collect();
        let fields = columns.iter().map(|place| schema.fields()[*place].clone()).collect();
        let value = Part { format: value_format(options)?, columns, fields };
        Ok(Self { table: table.name.clone(), schema, key, value, metadata })
    }
}

fn value_format(options: &Options<'_>) -> Result<RecordFormat> {
    match (options.is_given("format"), options.is_given("value.format")) {
        (true, true) => Err(options.refuse("value.format", "nothing beside 'format', which says the same")),
        (_, true) => RecordFormat::of(options, "value.format"),
        _ => RecordFormat::of(options, "format"),
    }
}

fn key(options: &Options<'_>, prefix: &str, fields: &Fields, physical: usize) -> Result<Option<Part>> {
    let names: Vec<&str> = options
        .text("key.fields")
        .unwrap_or_default()
        .split(';')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    match (options.is_given("key.format"), names.is_empty()) {
        (false, true) => return Ok(None),
        (true, true) => {
            return Err(Error::new(
                Code::TableOptions,
                format!(
                    "table {}: 'key.format' needs the option 'key.fields': the columns of the key, with ';' between",
                    options.table().name
                ),
            ));
        }
        (false, false) => {
            return Err(options.refuse("key.fields", "nothing without the option 'key.format'"));
        }
        (true, false) => {}
    }
    let mut columns = Vec::with_capacity(names.len());
    let mut of_key = Vec::with_capacity(names.len());
    for name in names {
        let place = fields.iter().take(physical).position(|field| field.name() == name);
        let (Some(place), Some(plain)) = (place, name.strip_prefix(prefix).filter(|name| !name.is_empty()))
        else {
            return Err(options.refuse(
                "key.fields",
                format_args!("physical columns of the table whose names start with '{prefix}'"),
            ));
        };
        if columns.contains(&place) {
            return Err(options.refuse("key.fields", "each column once"));
        }
        let field: &Field = &fields[place];
        columns.push(place);
        of_key.push(field.clone().with_name(plain));
    }
    Ok(Some(Part { format: RecordFormat::of(options, "key.format")?, columns, fields: Fields::from(of_key) }))
}
