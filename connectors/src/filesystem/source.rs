//! The source: what its options mean, which splits its files give, which reader reads them.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use regex::Regex;
use tokio::runtime::Handle;
use weir_api::batch::TARGET_ROWS;
use weir_api::error::{Code, Error, Result};
use weir_api::source::{Boundedness, ReaderContext, Source, SourceReader};
use weir_api::storage::{FileSystems, Location};
use weir_proto::v1::{Predicate, Split};

use super::columns::{Assembly, Layout};
use super::input::Inputs;
use super::parquet_blocks::{ParquetBlocks, footer};
use super::partitions::Condition;
use super::pruned::Splits;
use super::read_ahead::ReadAhead;
use super::record_blocks::RecordBlocks;
use super::split::{FileInfo, FileSplit, Given, Part};
use super::{Format, listing, location};
use crate::formats::parquet::filter::Filter;
use crate::formats::values;
use crate::on_error::{Malformed, OnError};
use crate::options::Options;

/// Bytes of lines in a split.
const SPLIT_BYTES: u64 = 64 << 20;

/// A `filesystem` table that is read.
pub struct FileSource {
    table: String,
    file_systems: FileSystems,
    location: Location,
    pattern: Option<Regex>,
    format: Format,
    layout: Layout,
    on_error: OnError,
    /// How often to look for further files.
    monitor: Option<Duration>,
}

impl FileSource {
    /// From the options of a table.
    pub fn new(options: &Options<'_>, file_systems: &FileSystems) -> Result<Self> {
        let table = options.table();
        let format = Format::of(options)?;
        let layout = Layout::of(table, options.required("partition.default-name")?)?;
        let ignores_parse_errors = match &format {
            Format::Records(format) => {
                format.check_read(&table.name, &layout.record)?;
                format.check_lines(&table.name, &layout.record)?;
                format.ignores_parse_errors()
            }
            Format::Parquet => {
                values::check(&table.name, "", &layout.record, "format 'parquet'")?;
                false
            }
        };
        let on_error = OnError::of(options, ignores_parse_errors)?;
        let monitor = match options.text("source.monitor-interval") {
            None => None,
            Some(_) => Some(options.duration("source.monitor-interval")?),
        };
        if monitor.is_some_and(|interval| interval.is_zero()) {
            return Err(options.refuse("source.monitor-interval", "a duration above 0"));
        }
        Ok(Self {
            table: table.name.clone(),
            file_systems: file_systems.clone(),
            location: location(options, file_systems)?,
            pattern: listing::path_pattern(options)?,
            format,
            layout,
            on_error,
            monitor,
        })
    }

    async fn list(&self) -> Result<Vec<FileInfo>> {
        listing::list(&self.location, self.pattern.as_ref()).await.map_err(|error| self.within(error))
    }

    fn within(&self, error: Error) -> Error {
        error.context(format_args!("table {}", self.table))
    }

    /// The splits of these files, in their order and that of the offsets.
    async fn splits(&self, files: Vec<FileInfo>) -> Result<Vec<Split>> {
        let most = match &self.format {
            Format::Records(format) if format.quotes().is_some() => u64::MAX,
            Format::Records(_) => SPLIT_BYTES,
            Format::Parquet => {
                let inputs = Inputs::new(self.file_systems.clone(), Handle::current());
                return tokio::task::spawn_blocking(move || row_group_splits(&inputs, files))
                    .await
                    .map_err(|error| Error::internal("reading footers ended early").with_source(error))?
                    .map_err(|error| self.within(error));
            }
        };
        let mut splits = Vec::new();
        files.iter().try_for_each(|file| line_splits(file, most, &mut splits))?;
        Ok(splits)
    }

    /// The predicate on a column of Parquet files that this one is, if it is one.
    fn filter(&self, predicate: &Predicate) -> Option<Filter> {
        matches!(self.format, Format::Parquet).then(|| Filter::of(predicate, &self.layout.record))?
    }

    /// The predicate on a partition's key that this one is, if it is one.
    fn condition(&self, predicate: &Predicate) -> Option<Condition> {
        let [name] = predicate.path.as_slice() else { return None };
        Condition::of(predicate, name, self.layout.partition_type(name)?)
    }
}

/// Ranges of about `most` bytes. A line's end within quotes can't be told from another one without reading all before it: where
/// there are quotes, a file is one range.
fn line_splits(file: &FileInfo, most: u64, splits: &mut Vec<Split>) -> Result<()> {
    let mut start = 0;
    while start < file.len {
        // A remainder of less than half a split isn't worth one of its own.
        let rest = file.len - start;
        let len = if rest < most.saturating_add(most / 2) { rest } else { most };
        let part = Part::Lines { start, end: start + len };
        splits.push(FileSplit { file: file.clone(), part }.encode(len)?);
        start += len;
    }
    Ok(())
}

fn row_group_splits(inputs: &Inputs, files: Vec<FileInfo>) -> Result<Vec<Split>> {
    let mut splits = Vec::new();
    for file in files {
        let failed = || format!("read the footer of {}", file.path);
        let chunks = inputs.chunks(&file).map_err(|error| error.context(failed()))?;
        let footer = footer(&chunks)
            .map_err(|error| Error::new(Code::MalformedRecord, failed()).with_source(error))?;
        for (index, group) in footer.metadata().row_groups().iter().enumerate() {
            let weight = u64::try_from(group.compressed_size()).unwrap_or(0);
            splits.push(FileSplit { file: file.clone(), part: Part::RowGroup(index) }.encode(weight)?);
        }
    }
    Ok(splits)
}

#[async_trait]
impl Source for FileSource {
    fn boundedness(&self) -> Boundedness {
        if self.monitor.is_some() { Boundedness::Unbounded } else { Boundedness::Bounded }
    }

    fn accepts(&self, predicates: &[Predicate]) -> Vec<bool> {
        let is_applied = |predicate| self.condition(predicate).is_some() || self.filter(predicate).is_some();
        predicates.iter().map(is_applied).collect()
    }

    async fn discover(&self, _parallelism: u32) -> Result<Vec<Split>> {
        self.splits(self.list().await?).await
    }

    fn discovery_interval(&self) -> Option<Duration> {
        self.monitor
    }

    async fn discover_more(&self, known: &[Split]) -> Result<Vec<Split>> {
        let known = known
            .iter()
            .map(|split| FileSplit::of(split).map(|split| split.file.path))
            .collect::<Result<HashSet<_>>>()?;
        let mut files = self.list().await?;
        files.retain(|file| !known.contains(&file.path));
        // Found together, they are read in the order in which they were written.
        files.sort_by(|one, other| {
            (one.modified_millis, &one.path).cmp(&(other.modified_millis, &other.path))
        });
        self.splits(files).await
    }

    fn reader(&self, context: ReaderContext, splits: Vec<Split>) -> Result<Box<dyn SourceReader>> {
        let splits = splits.iter().map(Given::of).collect::<Result<Vec<_>>>()?;
        let (mut conditions, mut filters) = (Vec::new(), Vec::new());
        for predicate in &context.filters {
            match (self.condition(predicate), self.filter(predicate)) {
                (Some(condition), _) => conditions.push(condition),
                (None, Some(filter)) => filters.push(filter),
                (None, None) => {
                    return Err(Error::internal("files were given a predicate that they refused"));
                }
            }
        }
        let waiting = Splits::new(splits.clone(), conditions, &self.layout.default_name);
        let inputs = Inputs::new(self.file_systems.clone(), context.io.clone());
        let assembly = Assembly::new(&self.layout, context.projected_schema);
        let (metrics, more) = (context.metrics, self.monitor.is_some());
        let malformed = Malformed::new(&self.table, self.on_error, context.clock, metrics.clone());
        Ok(Box::new(match &self.format {
            Format::Records(format) => {
                let wanted = assembly.record.clone();
                let decoder = format.decoder(&self.table, &self.layout.record, wanted, TARGET_ROWS)?;
                let blocks = RecordBlocks::new(
                    &self.table,
                    (waiting, inputs),
                    assembly,
                    (decoder, format.quotes()),
                    malformed,
                    metrics,
                );
                ReadAhead::new(blocks, &context.io, context.read_ahead_bytes, &splits, more)
            }
            Format::Parquet => {
                let blocks =
                    ParquetBlocks::new(&self.table, (waiting, inputs), assembly, filters, malformed, metrics);
                ReadAhead::new(blocks, &context.io, context.read_ahead_bytes, &splits, more)
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_cut_into_ranges_in_order() {
        let file = |path: &str, len| FileInfo { path: path.into(), len, modified_millis: 0, etag: None };
        let mut splits = Vec::new();
        line_splits(&file("/a", 349), 100, &mut splits).unwrap();
        line_splits(&file("/b", 0), 100, &mut splits).unwrap();
        let parts: Vec<_> = splits.iter().map(|split| FileSplit::of(split).unwrap().part).collect();
        let expected = [(0, 100), (100, 200), (200, 349)].map(|(start, end)| Part::Lines { start, end });
        assert_eq!(parts, expected);
        assert_eq!(splits[2].weight, 149);
    }
}
