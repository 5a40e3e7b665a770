//! Where a table's columns come from: the file's records, the folders that it lies in, or the file itself.
//!
//! Invariant: a batch has the projected schema, whatever its columns come from. Values that are the same for all rows of a file
//! are made once per file.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMillisecondArray,
    UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use weir_api::batch::TARGET_ROWS;
use weir_api::connector::MetadataDescription;
use weir_api::error::{Code, Error, Result};
use weir_proto::v1::TableSpec;

use super::partitions;
use super::split::FileInfo;
use crate::formats::json::columns::Column;
use crate::types;

/// The metadata columns of the connector.
#[must_use]
pub fn metadata() -> Vec<MetadataDescription> {
    let read_only = |key, data_type, description| MetadataDescription {
        key,
        data_type,
        nullable: false,
        writable: false,
        description,
    };
    let instant = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    vec![
        read_only("file.path", DataType::Utf8, "The full path of the file, or its URL in an object store."),
        read_only("file.name", DataType::Utf8, "The name of the file, without its folder."),
        read_only("file.size", DataType::Int64, "The length of the file in bytes, when it was listed."),
        read_only("file.modification-time", instant, "When the file was written last, when it was listed."),
    ]
}

/// What a table's declaration says of its columns.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The fields of a record in a file, in their order.
    pub record: Fields,
    /// The columns that stand in the folders' names, in their order.
    pub partition_keys: Vec<String>,
    /// The declared columns, metadata included.
    declared: SchemaRef,
    /// Metadata columns: name and key.
    metadata: Vec<(String, String)>,
    /// Stands for null in a folder's name.
    pub default_name: String,
}

impl Layout {
    /// Of a table.
    pub fn of(table: &TableSpec, default_name: &str) -> Result<Self> {
        let declared = types::declared(table)?;
        for key in &table.partition_keys {
            let Ok(field) = declared.field_with_name(key) else {
                let what =
                    format!("table {}: PARTITIONED BY names `{key}`, which isn't a column", table.name);
                return Err(Error::new(Code::TableOptions, what));
            };
            if field.data_type().is_nested()
                || matches!(field.data_type(), DataType::Binary | DataType::FixedSizeBinary(_))
            {
                return Err(types::refuse_type(&table.name, key, field.data_type(), "PARTITIONED BY"));
            }
        }
        let metadata: Vec<_> =
            table.metadata_columns.iter().map(|column| (column.name.clone(), column.key.clone())).collect();
        let in_record = |name: &str| {
            !table.partition_keys.iter().any(|key| key == name)
                && !metadata.iter().any(|(column, _)| column == name)
        };
        let record: Fields =
            declared.fields().iter().filter(|field| in_record(field.name())).cloned().collect();
        if record.is_empty() && !table.partition_keys.is_empty() {
            let what = format!(
                "table {}: at least one column must stand in the files themselves, not in PARTITIONED BY",
                table.name
            );
            return Err(Error::new(Code::TableOptions, what));
        }
        Ok(Self {
            record,
            partition_keys: table.partition_keys.clone(),
            declared,
            metadata,
            default_name: default_name.to_owned(),
        })
    }

    /// The type of a column that stands in the folders' names.
    #[must_use]
    pub fn partition_type(&self, name: &str) -> Option<&DataType> {
        self.partition_keys.iter().find(|key| *key == name)?;
        self.declared.field_with_name(name).ok().map(Field::data_type)
    }
}

enum Origin {
    /// A decoded column.
    Record(usize),
    /// A partition's key.
    Partition(Field),
    Metadata(String),
}

/// Puts batches of a projected schema together.
pub struct Assembly {
    schema: SchemaRef,
    /// What has to be decoded, in this order.
    pub record: SchemaRef,
    origins: Vec<Origin>,
    default_name: String,
    /// The columns of the current file that don't come from its records, with as many rows as were asked for.
    constants: Vec<Option<ArrayRef>>,
}

impl Assembly {
    /// For batches of `schema`, a part of the table's columns.
    #[must_use]
    pub fn new(layout: &Layout, schema: SchemaRef) -> Self {
        let mut record = Vec::new();
        let origins = schema
            .fields()
            .iter()
            .map(|field| {
                if layout.partition_keys.contains(field.name()) {
                    return Origin::Partition(field.as_ref().clone());
                }
                if let Some((_, key)) = layout.metadata.iter().find(|(name, _)| name == field.name()) {
                    return Origin::Metadata(key.clone());
                }
                record.push(field.clone());
                Origin::Record(record.len() - 1)
            })
            .collect();
        let default_name = layout.default_name.clone();
        Self { schema, record: Arc::new(Schema::new(record)), origins, default_name, constants: Vec::new() }
    }

    /// Records of another file follow.
    pub fn open(&mut self, file: &FileInfo) -> Result<()> {
        self.constants =
            self.origins.iter().map(|origin| self.constant(origin, file)).collect::<Result<_>>()?;
        Ok(())
    }

    fn constant(&self, origin: &Origin, file: &FileInfo) -> Result<Option<ArrayRef>> {
        let one: ArrayRef = match origin {
            Origin::Record(_) => return Ok(None),
            Origin::Partition(field) => self.partition(field, file)?,
            Origin::Metadata(key) => match key.as_str() {
                "file.path" => Arc::new(StringArray::from(vec![file.path.as_str()])),
                "file.name" => {
                    let name = file.path.rsplit_once('/').map_or(file.path.as_str(), |(_, name)| name);
                    Arc::new(StringArray::from(vec![name]))
                }
                "file.size" => Arc::new(Int64Array::from(vec![i64::try_from(file.len).unwrap_or(i64::MAX)])),
                "file.modification-time" => {
                    Arc::new(TimestampMillisecondArray::from(vec![file.modified_millis]).with_timezone("UTC"))
                }
                other => {
                    return Err(Error::internal(format!(
                        "a metadata column '{other}' that files don't have"
                    )));
                }
            },
        };
        repeated(&one, TARGET_ROWS).map(Some)
    }

    /// The one value of a partition's key.
    fn partition(&self, field: &Field, file: &FileInfo) -> Result<ArrayRef> {
        let wrong = |what: String| Error::new(Code::MalformedRecord, format!("{}: {what}", file.path));
        let value = partitions::value(&file.path, field.name(), &self.default_name).ok_or_else(|| {
            wrong(format!("the path has no folder `{}=…`, which PARTITIONED BY asks for", field.name()))
        })?;
        let mut column = Column::new(field.data_type(), field.is_nullable(), false, 1)?;
        let added = match &value {
            Some(text) => column.add_text(text.as_bytes(), 0),
            None => column.add_null(0),
        };
        added.map_err(|problem| wrong(format!("the folder `{}=…`: {}", field.name(), problem.what)))?;
        column.finish()
    }

    /// A batch of the decoded columns and those of the file.
    pub fn batch(&mut self, decoded: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.origins.len());
        for (origin, constant) in self.origins.iter().zip(&mut self.constants) {
            let column = match (origin, constant) {
                (Origin::Record(index), _) => decoded.get(*index).cloned(),
                (_, Some(constant)) => {
                    if constant.len() < rows {
                        *constant = repeated(constant, rows)?;
                    }
                    Some(constant.slice(0, rows))
                }
                _ => None,
            };
            columns.push(column.ok_or_else(|| Error::internal("a decoder left out a column"))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

/// The first value, `rows` times.
fn repeated(array: &ArrayRef, rows: usize) -> Result<ArrayRef> {
    Ok(take(array, &UInt32Array::from(vec![0; rows]), None)?)
}
