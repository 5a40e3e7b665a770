//! What becomes of a record that can't be decoded: it fails the job, is counted, or becomes a dead letter.
//!
//! Invariant: each malformed record is exactly one of an error, a count, or a count and a dead letter. Dead letters are
//! gathered up to a bound in bytes, past which the reader hands them on before it reads further. Knows no format and nothing of
//! where records come from: readers say the position.

use std::fmt::Display;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, RecordBatch, StringArray, StringBuilder, TimestampMillisecondBuilder,
};
use weir_api::batch::TARGET_ROWS;
use weir_api::clock::Clock;
use weir_api::connector::OptionDescription;
use weir_api::error::{Code, Error, Result};
use weir_api::metrics::OperatorMetrics;
use weir_api::side_output;

use crate::formats::record::Problem;
use crate::options::Options;

/// So many bytes of dead letters are handed on at once.
const FULL_BYTES: usize = 1 << 20;
/// A longer record is left out of its dead letter: the letter has to pass the network as one row.
const MAX_RAW_BYTES: usize = 8 << 20;
/// How much of a record an error shows on each side of the problem.
const SNIPPET_BYTES: usize = 40;

/// The option, for the list of a connector.
pub const OPTION: OptionDescription = OptionDescription {
    key: "on-error",
    required: false,
    default: Some("fail"),
    description: "What a malformed record does: fail the job; skip (counted in numRecordsInErrors); or dlq: counted, and written as a dead letter to the table 'on-error.dlq-table'.",
};

const DLQ_TABLE: &str = "on-error.dlq-table";

/// See [`OPTION`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnError {
    /// The job fails.
    Fail,
    /// It is counted.
    Skip,
    /// It is counted and goes to the side output.
    DeadLetter,
}

impl OnError {
    /// What a table's options say; `ignore_parse_errors`: what its format's own option says.
    pub fn of(options: &Options<'_>, ignore_parse_errors: bool) -> Result<Self> {
        let words = [("fail", Self::Fail), ("skip", Self::Skip), ("dlq", Self::DeadLetter)];
        let mut on_error = options.one_of(OPTION.key, &words)?;
        if ignore_parse_errors && on_error == Self::Fail {
            if options.is_given(OPTION.key) {
                return Err(
                    options.refuse(OPTION.key, "'skip' or 'dlq' beside an 'ignore-parse-errors' = 'true'")
                );
            }
            on_error = Self::Skip;
        }
        match (on_error, options.is_given(DLQ_TABLE)) {
            (Self::DeadLetter, false) => Err(Error::new(
                Code::TableOptions,
                format!(
                    "table {}: 'on-error' = 'dlq' needs the option '{DLQ_TABLE}': the table for dead letters",
                    options.table().name
                ),
            )),
            (Self::Fail | Self::Skip, true) => {
                Err(options.refuse(DLQ_TABLE, "nothing without 'on-error' = 'dlq'"))
            }
            _ => Ok(on_error),
        }
    }
}

/// See the module.
pub struct Malformed {
    table: String,
    on_error: OnError,
    clock: Arc<dyn Clock>,
    metrics: Arc<OperatorMetrics>,
    has_warned: bool,
    letters: Letters,
}

#[derive(Default)]
struct Letters {
    rows: usize,
    bytes: usize,
    positions: StringBuilder,
    raws: BinaryBuilder,
    errors: StringBuilder,
    times: TimestampMillisecondBuilder,
}

impl Malformed {
    /// For the records of one reader of `table`.
    #[must_use]
    pub fn new(table: &str, on_error: OnError, clock: Arc<dyn Clock>, metrics: Arc<OperatorMetrics>) -> Self {
        Self {
            table: table.to_owned(),
            on_error,
            clock,
            metrics,
            has_warned: false,
            letters: Letters::default(),
        }
    }

    /// Whether a malformed record fails the job.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.on_error == OnError::Fail
    }

    /// A record is malformed. `position` says where it stands and is written only when needed: plain for a dead letter, in the
    /// alternate form (`{:#}`) for people. `raw`: its bytes, if the format has them and they could be read.
    pub fn record(&mut self, position: impl Display, raw: Option<&[u8]>, problem: &Problem) -> Result<()> {
        if self.on_error == OnError::Fail {
            return Err(self.error(&position, raw.unwrap_or_default(), problem));
        }
        self.metrics.num_records_in_errors.add(1);
        if !std::mem::replace(&mut self.has_warned, true) {
            tracing::warn!(
                table = self.table, position = %position, problem = %problem.what,
                "a malformed record; further ones of this reader are only counted"
            );
        }
        if self.on_error == OnError::DeadLetter {
            let now = self.clock.unix_millis();
            self.letters.add(&position, raw, problem, now);
        }
        Ok(())
    }

    fn error(&self, position: &impl Display, raw: &[u8], problem: &Problem) -> Error {
        let near =
            if raw.is_empty() { String::new() } else { format!(", near `{}`", snippet(raw, problem.at)) };
        Error::new(
            Code::MalformedRecord,
            format!(
                "table {}: {position:#}: {}{near}; mend it, or set 'on-error' to 'skip' to leave such records out or to 'dlq' to keep them in a table",
                self.table, problem.what
            ),
        )
    }

    /// Enough is gathered to hand it on before reading further.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.letters.bytes >= FULL_BYTES || self.letters.rows >= TARGET_ROWS
    }

    /// Whether dead letters wait to be handed on.
    #[must_use]
    pub const fn has_letters(&self) -> bool {
        self.letters.rows > 0
    }

    /// Takes the dead letters out: rows of [`side_output::dead_letters`].
    pub fn take(&mut self) -> Result<Option<RecordBatch>> {
        if self.letters.rows == 0 {
            return Ok(None);
        }
        let mut letters = std::mem::take(&mut self.letters);
        let sources = StringArray::from_iter_values(std::iter::repeat_n(&self.table, letters.rows));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(sources),
            Arc::new(letters.positions.finish()),
            Arc::new(letters.raws.finish()),
            Arc::new(letters.errors.finish()),
            Arc::new(letters.times.finish().with_timezone("UTC")),
        ];
        Ok(Some(RecordBatch::try_new(side_output::dead_letters(), columns)?))
    }
}

impl Letters {
    fn add(&mut self, position: &impl Display, raw: Option<&[u8]>, problem: &Problem, now: i64) {
        let raw = raw.filter(|raw| raw.len() <= MAX_RAW_BYTES);
        let position = position.to_string();
        let error = match problem.at {
            0 => problem.what.to_string(),
            at => format!("{} (byte {at} of the record)", problem.what),
        };
        self.rows += 1;
        self.bytes += raw.map_or(0, <[u8]>::len) + position.len() + error.len();
        self.positions.append_value(position);
        self.raws.append_option(raw);
        self.errors.append_value(error);
        self.times.append_value(now);
    }
}

/// What stands around a position, with what can't be shown replaced.
fn snippet(raw: &[u8], at: usize) -> String {
    let start = at.min(raw.len()).saturating_sub(SNIPPET_BYTES);
    let end = at.saturating_add(SNIPPET_BYTES).min(raw.len());
    String::from_utf8_lossy(raw.get(start..end).unwrap_or_default())
        .trim()
        .replace(char::is_control, "\u{FFFD}")
}
