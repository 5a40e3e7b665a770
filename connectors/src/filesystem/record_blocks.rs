//! Reads splits of files that hold a record a line, and says where a malformed one stands.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use weir_api::batch::TARGET_ROWS;
use weir_api::error::{Code, Error, Result};
use weir_api::metrics::OperatorMetrics;
use weir_api::source::{SourceEvent, SplitProgress};

use super::columns::Assembly;
use super::input::{Inputs, cause};
use super::lines::{Line, Lines, first_byte};
use super::pruned::{Next, Splits};
use super::read_ahead::{Blocks, Step};
use super::split::{FileInfo, FileSplit, Given, Part};
use crate::formats::csv::quotes::QuoteScanner;
use crate::formats::record::{MAX_RECORD_BYTES, Problem, RecordDecoder};
use crate::on_error::Malformed;

/// A batch ends after so many bytes of records, too.
const BATCH_BYTES: u64 = 8 << 20;

struct Open {
    index: usize,
    split: FileSplit,
    lines: Lines<Box<dyn Read + Send>>,
}

/// See the module.
pub struct RecordBlocks {
    table: String,
    splits: Splits,
    inputs: Inputs,
    open: Option<Open>,
    assembly: Assembly,
    decoder: Box<dyn RecordDecoder>,
    quotes: Option<QuoteScanner>,
    malformed: Malformed,
    metrics: Arc<OperatorMetrics>,
}

impl RecordBlocks {
    /// Reads `splits` into batches of `assembly`, whose records the decoder gives.
    pub fn new(
        table: &str,
        (splits, inputs): (Splits, Inputs),
        assembly: Assembly,
        (decoder, quotes): (Box<dyn RecordDecoder>, Option<QuoteScanner>),
        malformed: Malformed,
        metrics: Arc<OperatorMetrics>,
    ) -> Self {
        Self {
            table: table.to_owned(),
            splits,
            inputs,
            open: None,
            assembly,
            decoder,
            quotes,
            malformed,
            metrics,
        }
    }

    fn open(&mut self, index: usize, split: FileSplit, from: Option<u64>) -> Result<Open> {
        let Part::Lines { start, end } = split.part else {
            return Err(Error::internal(format!(
                "a Parquet split of {} for a table of records",
                split.file.path
            )));
        };
        let within =
            |error: Error| error.context(format_args!("table {}: read {}", self.table, split.file.path));
        let first = from.unwrap_or(first_byte(start));
        let place = from.map(|position| format!("byte {position}"));
        self.inputs
            .check(&split.file, place.as_ref().map(|place| place as &dyn fmt::Display))
            .map_err(within)?;
        let input = self.inputs.from(&split.file, first, end).map_err(within)?;
        let lines = match from {
            Some(position) => Ok(Lines::from(input, position, end, MAX_RECORD_BYTES, self.quotes.clone())),
            None => Lines::new(input, start, end, MAX_RECORD_BYTES, self.quotes.clone()),
        }
        .map_err(|error| reading(&self.table, &split.file.path, error))?;
        self.assembly
            .open(&split.file)
            .map_err(|error| error.context(format_args!("table {}", self.table)))?;
        Ok(Open { index, split, lines })
    }

    /// Adds records until a batch is full; whether the split has ended.
    fn fill(&mut self, open: &mut Open) -> Result<bool> {
        let mut bytes = 0;
        let ended = loop {
            let next =
                open.lines.next().map_err(|error| reading(&self.table, &open.split.file.path, error))?;
            match next {
                None => break true,
                Some(Line::Whole { offset, range, is_utf8 }) => {
                    let line = open.lines.bytes().get(range).unwrap_or_default();
                    bytes += line.len() as u64 + 1;
                    if let Err(problem) = self.decoder.record(line, is_utf8) {
                        let position =
                            Position { inputs: &self.inputs, file: &open.split.file, offset, at: problem.at };
                        self.malformed.record(position, Some(line), &problem)?;
                    }
                }
                Some(Line::TooLong { offset }) => {
                    let what = format!("a line longer than {} MiB", MAX_RECORD_BYTES >> 20).into();
                    let position = Position { inputs: &self.inputs, file: &open.split.file, offset, at: 0 };
                    self.malformed.record(position, None, &Problem { at: 0, what })?;
                }
            }
            if self.decoder.rows() >= TARGET_ROWS || bytes >= BATCH_BYTES || self.malformed.is_full() {
                break false;
            }
        };
        self.metrics.num_bytes_in.add(bytes);
        Ok(ended)
    }
}

impl Blocks for RecordBlocks {
    fn add(&mut self, splits: Vec<Given>) {
        self.splits.add(splits);
    }

    fn next(&mut self) -> Result<Option<Step>> {
        loop {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => match self.splits.next() {
                    Some(Next::Read(index, split, from)) => self.open(index, split, from)?,
                    Some(Next::PassOver(split)) => return Ok(Some(Step::finished(split))),
                    None => return Ok(None),
                },
            };
            let split = open.index;
            // Dead letters follow the batch beside whose records they stood: no snapshot comes between.
            if let Some(letters) = self.malformed.take()? {
                let after = Some((split, SplitProgress::At(open.lines.position())));
                self.open = Some(open);
                return Ok(Some(Step { event: SourceEvent::DeadLetters(letters), after }));
            }
            let ended = self.fill(&mut open)?;
            let rows = self.decoder.rows();
            if rows > 0 {
                let whole = (split, SplitProgress::At(open.lines.position()));
                let after = (!self.malformed.has_letters()).then_some(whole);
                let records = self.assembly.batch(self.decoder.finish()?, rows)?;
                // An ended split is looked at once more and then finishes, with nothing left in it.
                self.open = Some(open);
                return Ok(Some(Step { event: SourceEvent::Records { split, records }, after }));
            }
            if ended && !self.malformed.has_letters() {
                return Ok(Some(Step::finished(split)));
            }
            self.open = Some(open);
        }
    }
}

fn reading(table: &str, path: &str, error: std::io::Error) -> Error {
    let code = cause(&error).map_or(Code::Io, Error::code);
    Error::new(code, format!("table {table}: read {path}")).with_source(error)
}

/// Where a record stands: `path:offset`, or with the line's number for people.
struct Position<'a> {
    inputs: &'a Inputs,
    file: &'a FileInfo,
    offset: u64,
    at: usize,
}

impl fmt::Display for Position<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return write!(f, "{}:{}", self.file.path, self.offset);
        }
        write!(f, "{}, ", self.file.path)?;
        if let Some(number) = line_number(self.inputs, self.file, self.offset) {
            write!(f, "line {number}, ")?;
        }
        write!(f, "byte {}", self.offset + self.at as u64)
    }
}

/// The number of the line that starts at `offset`, from 1: counted only when a job fails on it.
fn line_number(inputs: &Inputs, file: &FileInfo, offset: u64) -> Option<u64> {
    let mut before = inputs.from(file, 0, offset).ok()?.take(offset);
    let mut block = vec![0; 1 << 20];
    let mut number = 1;
    loop {
        match before.read(&mut block).ok()? {
            0 => return Some(number),
            read => number += memchr::memchr_iter(b'\n', block.get(..read)?).count() as u64,
        }
    }
}
