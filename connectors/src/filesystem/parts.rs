//! Writes one subtask's files: checks rows, shares them out to partitions, rolls. Runs on the I/O runtime, where it may block.
//!
//! Invariant: at most [`MAX_OPEN`] files are open, the one that was written longest ago is ended for a new one; a committable is
//! given only for what is durable. Every preparation ends all files, so that each holds rows of one checkpoint's interval.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{Schema, SchemaRef};
use tokio::runtime::Handle;
use weir_api::Batch;
use weir_api::error::{Code, Error, Result};
use weir_api::metrics::OperatorMetrics;
use weir_api::sink::Committable;
use weir_api::storage::{Location, Upload};

use super::layout::Names;
use super::output::Output;
use super::part::{Encoding, PartFile};
use super::partitions;
use crate::formats::values::{PlainStyle, Values, write_plain};
use crate::handover::Destination;

/// Files that are open at once, one a partition.
const MAX_OPEN: usize = 32;

/// What a table's declaration says of what is written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The table's name, for messages.
    pub table: String,
    /// The declared columns.
    pub schema: SchemaRef,
    /// Positions of the columns that stand in the folders' names, in their order.
    pub keys: Vec<usize>,
    /// Stands for null in a folder's name.
    pub default_name: String,
    /// How rows are encoded.
    pub encoding: Encoding,
    /// The table's folder.
    pub root: Location,
    /// How objects are uploaded.
    pub upload: Upload,
}

/// See the module.
pub struct Parts {
    to: Written,
    /// The columns of a file.
    in_file: SchemaRef,
    names: Names,
    io: Handle,
    metrics: Arc<OperatorMetrics>,
    /// By the partition's folder; the one written last stands at the end.
    open: Vec<(String, PartFile)>,
    finished: Vec<Committable>,
    count: u32,
}

impl Parts {
    /// Nothing is created before the first row.
    pub fn new(to: Written, names: Names, io: Handle, metrics: Arc<OperatorMetrics>) -> Self {
        let fields = to.schema.fields().iter().enumerate().filter(|(index, _)| !to.keys.contains(index));
        let in_file = Arc::new(Schema::new(fields.map(|(_, field)| field.clone()).collect::<Vec<_>>()));
        Self { to, in_file, names, io, metrics, open: Vec::new(), finished: Vec::new(), count: 0 }
    }

    fn within(&self, error: Error) -> Error {
        error.context(format_args!("table {}: write to {}", self.to.table, self.to.root))
    }

    /// The rows under the declared names and types.
    fn declared(&self, records: &RecordBatch) -> Result<RecordBatch> {
        let (table, schema) = (&self.to.table, &self.to.schema);
        if records.num_columns() != schema.fields().len() {
            return Err(Error::internal(format!(
                "table {table}: rows of {} columns for {}",
                records.num_columns(),
                schema.fields().len()
            )));
        }
        let checked = CastOptions { safe: false, ..CastOptions::default() };
        let columns = records
            .columns()
            .iter()
            .zip(schema.fields())
            .map(|(column, field)| {
                if column.null_count() > 0 && !field.is_nullable() {
                    let what = format!(
                        "table {table}: column `{}` is NOT NULL, but a null is to be written",
                        field.name()
                    );
                    return Err(Error::new(Code::Evaluation, what));
                }
                if column.data_type() == field.data_type() {
                    Ok(column.clone())
                } else {
                    Ok(cast_with_options(column, field.data_type(), &checked)?)
                }
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(schema.clone(), columns)?)
    }

    /// Shares the rows of a batch out to the partitions' files.
    fn share(&mut self, rows: &RecordBatch) -> Result<()> {
        if self.to.keys.is_empty() {
            return self.add(String::new(), rows);
        }
        let in_file: Vec<&ArrayRef> = rows
            .columns()
            .iter()
            .enumerate()
            .filter(|(index, _)| !self.to.keys.contains(index))
            .map(|(_, column)| column)
            .collect();
        for (folder, indices) in self.folders(rows)? {
            let indices = UInt32Array::from(indices);
            let columns = in_file
                .iter()
                .map(|column| {
                    if indices.len() == rows.num_rows() {
                        Ok((*column).clone())
                    } else {
                        Ok(take(column, &indices, None)?)
                    }
                })
                .collect::<Result<Vec<_>>>()?;
            self.add(folder, &RecordBatch::try_new(self.in_file.clone(), columns)?)?;
        }
        Ok(())
    }

    /// The rows of each partition, by its folder, in the order of their first rows.
    fn folders(&self, rows: &RecordBatch) -> Result<Vec<(String, Vec<u32>)>> {
        const STYLE: PlainStyle = PlainStyle { date_time_separator: b' ', java_decimals: false };
        let keys = self
            .to
            .keys
            .iter()
            .map(|index| {
                Ok((self.to.schema.field(*index).name(), Values::new(rows.column(*index).as_ref())?))
            })
            .collect::<Result<Vec<_>>>()?;
        let mut found: Vec<(String, Vec<u32>)> = Vec::new();
        let (mut folder, mut text) = (String::new(), Vec::new());
        let mut last = 0;
        for row in 0..rows.num_rows() {
            folder.clear();
            for (name, values) in &keys {
                text.clear();
                if !values.is_null(row) {
                    write_plain(&mut text, values, row, STYLE);
                }
                let value = std::str::from_utf8(&text).ok().filter(|_| !values.is_null(row));
                partitions::folder(&mut folder, name, value, &self.to.default_name);
            }
            // Rows of one partition tend to follow each other.
            let same = found.get(last).is_some_and(|(name, _)| *name == folder);
            if !same {
                last = found.iter().position(|(name, _)| *name == folder).unwrap_or_else(|| {
                    found.push((folder.clone(), Vec::new()));
                    found.len() - 1
                });
            }
            if let (Some((_, indices)), Ok(row)) = (found.get_mut(last), u32::try_from(row)) {
                indices.push(row);
            }
        }
        Ok(found)
    }

    fn add(&mut self, folder: String, rows: &RecordBatch) -> Result<()> {
        let mut part = match self.open.iter().position(|(name, _)| *name == folder) {
            Some(index) => self.open.remove(index).1,
            None => {
                if self.open.len() == MAX_OPEN {
                    let (_, oldest) = self.open.remove(0);
                    self.close(oldest)?;
                }
                self.open(&folder)?
            }
        };
        let size = part.add(rows, &self.metrics)?;
        if size >= self.to.encoding.roll_bytes || part.is_old(&self.to.encoding) {
            return self.close(part);
        }
        self.open.push((folder, part));
        Ok(())
    }

    fn open(&mut self, folder: &str) -> Result<PartFile> {
        let name = self.names.part(self.count);
        self.count += 1;
        let output = match &self.to.root {
            Location::Local(root) => {
                let to: PathBuf = root.join(folder).join(&name);
                Output::file(&self.names.hidden_folder(root), &name, to)?
            }
            Location::Object(root) => {
                let to = root.bucket.at(self.names.object(&root.key, folder, &name)?);
                let marker = self.names.marker(&root.key, &name)?;
                Output::object(to, marker, self.to.upload, self.io.clone())?
            }
        };
        PartFile::new(&self.to.table, &self.in_file, &self.to.encoding, output)
    }

    fn close(&mut self, part: PartFile) -> Result<()> {
        self.finished.push(part.finish(&self.metrics)?.encode()?);
        Ok(())
    }

    fn prepare_all(&mut self) -> Result<()> {
        for (_, part) in std::mem::take(&mut self.open) {
            self.close(part)?;
        }
        if let Location::Local(root) = &self.to.root
            && !self.finished.is_empty()
        {
            sync_folder(&self.names.hidden_folder(root))?;
            // The hidden folder is new: its own entry must last too.
            sync_folder(root)?;
        }
        Ok(())
    }
}

impl Destination for Parts {
    fn write(&mut self, batches: Vec<Batch>) -> Result<()> {
        for batch in batches {
            if batch.kinds().is_some() {
                return Err(Error::internal(format!(
                    "table {}: changes for a sink that takes inserts only",
                    self.to.table
                )));
            }
            let rows = self.declared(batch.records())?;
            self.share(&rows).map_err(|error| self.within(error))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let metrics = self.metrics.clone();
        let flushed = self.open.iter_mut().try_for_each(|(_, part)| part.flush(&metrics));
        flushed.map_err(|error| self.within(error))
    }

    fn prepare(&mut self) -> Result<Vec<Committable>> {
        self.prepare_all().map_err(|error| self.within(error))?;
        Ok(std::mem::take(&mut self.finished))
    }
}

/// Makes a folder's entries durable.
pub fn sync_folder(folder: &std::path::Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}
