//! The source: what its options mean, which splits its files give, which reader reads them.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::path::PathBuf;

use arrow::datatypes::Fields;
use async_trait::async_trait;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use regex::Regex;
use weir_api::batch::TARGET_ROWS;
use weir_api::error::{Code, Error, Result};
use weir_api::source::{Boundedness, ReaderContext, Source, SourceReader};
use weir_api::storage::FileSystems;
use weir_proto::v1::Split;

use super::Format;
use super::listing::{self, Listed};
use super::parquet_blocks::ParquetBlocks;
use super::read_ahead::ReadAhead;
use super::record_blocks::RecordBlocks;
use super::split::{FileSplit, Part};
use crate::formats::values;
use crate::on_error::{Malformed, OnError};
use crate::options::Options;
use crate::types;

/// Bytes of lines in a split.
const SPLIT_BYTES: u64 = 64 << 20;

/// A `filesystem` table that is read.
#[derive(Clone)]
pub struct FileSource {
    table: String,
    path: PathBuf,
    pattern: Option<Regex>,
    format: Format,
    /// The declared columns, which a record holds in this order.
    record: Fields,
    on_error: OnError,
    split_bytes: u64,
}

impl FileSource {
    /// From the options of a table.
    pub fn new(options: &Options<'_>, _file_systems: &FileSystems) -> Result<Self> {
        let table = options.table();
        types::refuse_partitions(table)?;
        let format = Format::of(options)?;
        let record = types::declared(table)?.fields().clone();
        let ignores_parse_errors = match &format {
            Format::Records(format) => {
                format.check_read(&table.name, &record)?;
                format.check_lines(&table.name, &record)?;
                format.ignores_parse_errors()
            }
            Format::Parquet => {
                values::check(&table.name, "", &record, "format 'parquet'")?;
                false
            }
        };
        let on_error = OnError::of(options, ignores_parse_errors)?;
        if on_error != OnError::Fail && matches!(format, Format::Parquet) {
            return Err(options.refuse("on-error", "'fail' beside 'format' = 'parquet'"));
        }
        Ok(Self {
            table: table.name.clone(),
            path: listing::local_path(options)?,
            pattern: listing::path_pattern(options)?,
            format,
            record,
            on_error,
            split_bytes: SPLIT_BYTES,
        })
    }

    /// The splits of the files there are now, in the order of paths and offsets.
    fn splits(&self) -> Result<Vec<Split>> {
        let mut splits = Vec::new();
        for file in listing::list(&self.path, self.pattern.as_ref())? {
            match &self.format {
                Format::Records(format) => {
                    let most = if format.quotes().is_some() { u64::MAX } else { self.split_bytes };
                    line_splits(&file, most, &mut splits)?;
                }
                Format::Parquet => row_group_splits(&file, &mut splits)?,
            }
        }
        Ok(splits)
    }
}

/// Ranges of about `most` bytes. A line's end within quotes can't be told from another one without reading all before it: where
/// there are quotes, a file is one range.
fn line_splits(file: &Listed, most: u64, splits: &mut Vec<Split>) -> Result<()> {
    let mut start = 0;
    while start < file.len {
        // A remainder of less than half a split isn't worth one of its own.
        let rest = file.len - start;
        let len = if rest < most.saturating_add(most / 2) { rest } else { most };
        let part = Part::Lines { start, end: start + len };
        splits.push(FileSplit { path: file.path.clone(), part }.encode(len)?);
        start += len;
    }
    Ok(())
}

fn row_group_splits(file: &Listed, splits: &mut Vec<Split>) -> Result<()> {
    let failed = || format!("read the footer of {}", file.path.display());
    let handle = File::open(&file.path).map_err(|error| Error::new(Code::Io, failed()).with_source(error))?;
    let metadata = ArrowReaderMetadata::load(&handle, ArrowReaderOptions::new())
        .map_err(|error| Error::new(Code::MalformedRecord, failed()).with_source(error))?;
    for (index, group) in metadata.metadata().row_groups().iter().enumerate() {
        let weight = u64::try_from(group.compressed_size()).unwrap_or(0);
        splits.push(FileSplit { path: file.path.clone(), part: Part::RowGroup(index) }.encode(weight)?);
    }
    Ok(())
}

#[async_trait]
impl Source for FileSource {
    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    async fn discover(&self, _parallelism: u32) -> Result<Vec<Split>> {
        let source = self.clone();
        tokio::task::spawn_blocking(move || source.splits())
            .await
            .map_err(|error| Error::internal("listing files ended early").with_source(error))?
            .map_err(|error| error.context(format_args!("table {}", self.table)))
    }

    fn reader(&self, context: ReaderContext, splits: Vec<Split>) -> Result<Box<dyn SourceReader>> {
        let splits: VecDeque<_> = splits
            .iter()
            .enumerate()
            .map(|(index, split)| Ok((index, FileSplit::of(split)?)))
            .collect::<Result<_>>()?;
        let continues = continuations(&splits);
        let (schema, metrics) = (context.projected_schema, context.metrics);
        Ok(Box::new(match &self.format {
            Format::Records(format) => {
                let decoder = format.decoder(&self.table, &self.record, schema.clone(), TARGET_ROWS)?;
                let malformed = Malformed::new(&self.table, self.on_error, context.clock, metrics.clone());
                let blocks = RecordBlocks::new(
                    &self.table,
                    schema,
                    splits,
                    (decoder, format.quotes()),
                    malformed,
                    metrics,
                );
                ReadAhead::new(blocks, &context.io, context.read_ahead_bytes, continues)
            }
            Format::Parquet => {
                let blocks = ParquetBlocks::new(&self.table, schema, splits, metrics);
                ReadAhead::new(blocks, &context.io, context.read_ahead_bytes, continues)
            }
        }))
    }
}

/// A file's parts are one stream, read in their order: all but the first of each file go on where another one has ended. Files
/// among themselves have no order in event time.
fn continuations(splits: &VecDeque<(usize, FileSplit)>) -> Vec<bool> {
    let mut begun = HashSet::new();
    splits.iter().map(|(_, split)| !begun.insert(&split.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_file_continue_each_other_and_files_do_not() {
        let split = |path: &str, group| FileSplit { path: path.into(), part: Part::RowGroup(group) };
        let splits = [split("a", 0), split("a", 3), split("b", 1), split("b", 2), split("c", 0)];
        assert_eq!(
            continuations(&splits.into_iter().enumerate().collect()),
            [false, true, false, true, false]
        );
    }

    #[test]
    fn files_are_cut_into_ranges_in_order() {
        let mut splits = Vec::new();
        line_splits(&Listed { path: "/a".into(), len: 349 }, 100, &mut splits).unwrap();
        line_splits(&Listed { path: "/b".into(), len: 0 }, 100, &mut splits).unwrap();
        let parts: Vec<_> = splits.iter().map(|split| FileSplit::of(split).unwrap().part).collect();
        let expected = [(0, 100), (100, 200), (200, 349)].map(|(start, end)| Part::Lines { start, end });
        assert_eq!(parts, expected);
        assert_eq!(splits[2].weight, 149);
    }
}
