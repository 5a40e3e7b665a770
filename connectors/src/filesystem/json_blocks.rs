//! Reads splits of JSON lines, and decides what becomes of a malformed one.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use weir_api::batch::TARGET_ROWS;
use weir_api::error::{Code, Error, Result};
use weir_api::metrics::OperatorMetrics;
use weir_api::source::SourceEvent;

use super::lines::{Line, Lines};
use super::read_ahead::Blocks;
use super::split::{FileSplit, Part};
use crate::formats::json::MAX_LINE_BYTES;
use crate::formats::json::cursor::Problem;
use crate::formats::json::decoder::Decoder;

/// A batch ends after so many bytes of lines, too.
const BATCH_BYTES: u64 = 8 << 20;
/// How much of a line an error shows on each side of the problem.
const SNIPPET_BYTES: usize = 40;

struct Open {
    index: usize,
    split: FileSplit,
    lines: Lines<File>,
}

/// See the module.
pub struct JsonBlocks {
    table: String,
    splits: VecDeque<(usize, FileSplit)>,
    open: Option<Open>,
    decoder: Decoder,
    skip_malformed: bool,
    has_warned: bool,
    metrics: Arc<OperatorMetrics>,
}

/// How a table wants its lines read.
#[derive(Clone, Debug)]
pub struct LinesOptions {
    /// The table's name, for messages.
    pub table: String,
    /// Whether a missing field makes a line malformed.
    pub fail_on_missing_field: bool,
    /// Whether malformed lines are skipped.
    pub skip_malformed: bool,
}

impl JsonBlocks {
    /// Reads `splits` into batches of `schema`.
    pub fn new(
        options: &LinesOptions,
        schema: SchemaRef,
        splits: VecDeque<(usize, FileSplit)>,
        metrics: Arc<OperatorMetrics>,
    ) -> Result<Self> {
        Ok(Self {
            table: options.table.clone(),
            splits,
            open: None,
            decoder: Decoder::new(schema, options.fail_on_missing_field, TARGET_ROWS)?,
            skip_malformed: options.skip_malformed,
            has_warned: false,
            metrics,
        })
    }

    fn open(&self, index: usize, split: FileSplit) -> Result<Open> {
        let Part::Lines { start, end } = split.part else {
            return Err(Error::internal(format!(
                "a Parquet split of {} for a JSON table",
                split.path.display()
            )));
        };
        let lines = File::open(&split.path)
            .and_then(|file| Lines::new(file, start, end, MAX_LINE_BYTES))
            .map_err(|error| reading(&self.table, &split.path).with_source(error))?;
        Ok(Open { index, split, lines })
    }

    /// Counts a malformed line, or fails on it.
    fn malformed(&mut self, path: &Path, line: &[u8], offset: u64, problem: &Problem) -> Result<()> {
        if !self.skip_malformed {
            return Err(error(&self.table, path, line, offset, problem));
        }
        self.metrics.num_records_in_errors.add(1);
        if !std::mem::replace(&mut self.has_warned, true) {
            tracing::warn!(
                table = self.table, path = %path.display(), byte = offset, problem = %problem.what,
                "skipped a malformed line; further ones of this reader are only counted"
            );
        }
        Ok(())
    }

    /// Adds lines until a batch is full; whether the split has ended.
    fn fill(&mut self, open: &mut Open) -> Result<bool> {
        let mut bytes = 0;
        let ended = loop {
            let next = open
                .lines
                .next()
                .map_err(|error| reading(&self.table, &open.split.path).with_source(error))?;
            match next {
                None => break true,
                Some(Line::Whole { offset, range, is_utf8 }) => {
                    let line = open.lines.bytes().get(range).unwrap_or_default();
                    bytes += line.len() as u64 + 1;
                    if let Err(problem) = self.decoder.line(line, is_utf8) {
                        self.malformed(&open.split.path, line, offset, &problem)?;
                    }
                }
                Some(Line::TooLong { offset }) => {
                    let what = format!("a line longer than {} MiB", MAX_LINE_BYTES >> 20).into();
                    self.malformed(&open.split.path, b"", offset, &Problem { at: 0, what })?;
                }
            }
            if self.decoder.rows() >= TARGET_ROWS || bytes >= BATCH_BYTES {
                break false;
            }
        };
        self.metrics.num_bytes_in.add(bytes);
        Ok(ended)
    }
}

impl Blocks for JsonBlocks {
    fn next(&mut self) -> Result<Option<SourceEvent>> {
        loop {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => match self.splits.pop_front() {
                    Some((index, split)) => self.open(index, split)?,
                    None => return Ok(None),
                },
            };
            let ended = self.fill(&mut open)?;
            let index = open.index;
            let rows = self.decoder.rows();
            if !ended || rows > 0 {
                // An ended split is looked at once more and then finishes, with nothing left in it.
                self.open = Some(open);
            }
            if rows > 0 {
                return Ok(Some(SourceEvent::Records { split: index, records: self.decoder.finish()? }));
            }
            if ended {
                return Ok(Some(SourceEvent::SplitFinished { split: index }));
            }
        }
    }
}

fn reading(table: &str, path: &Path) -> Error {
    Error::new(Code::Io, format!("table {table}: read {}", path.display()))
}

fn error(table: &str, path: &Path, line: &[u8], offset: u64, problem: &Problem) -> Error {
    let at = offset + problem.at as u64;
    let number = line_number(path, offset).map_or_else(String::new, |number| format!("line {number}, "));
    let snippet =
        if line.is_empty() { String::new() } else { format!(", near `{}`", snippet(line, problem.at)) };
    Error::new(
        Code::MalformedRecord,
        format!(
            "table {table}: {}, {number}byte {at}: {}{snippet}; mend the file, or set 'on-error' = 'skip' to leave such lines out",
            path.display(),
            problem.what
        ),
    )
}

/// What stands around a position, with what can't be shown replaced.
fn snippet(line: &[u8], at: usize) -> String {
    let start = at.min(line.len()).saturating_sub(SNIPPET_BYTES);
    let end = at.saturating_add(SNIPPET_BYTES).min(line.len());
    String::from_utf8_lossy(line.get(start..end).unwrap_or_default())
        .trim()
        .replace(char::is_control, "\u{FFFD}")
}

/// The number of the line that starts at `offset`, from 1: counted only when a job fails on it.
fn line_number(path: &Path, offset: u64) -> Option<u64> {
    let mut before = File::open(path).ok()?.take(offset);
    let mut block = vec![0; 1 << 20];
    let mut number = 1;
    loop {
        match before.read(&mut block).ok()? {
            0 => return Some(number),
            read => number += memchr::memchr_iter(b'\n', block.get(..read)?).count() as u64,
        }
    }
}
