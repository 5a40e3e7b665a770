//! What statements answer to the person who asks: small tables of text, in the order of the statements.

use serde::Serialize;
use weir_api::error::Code;

use crate::error::{SqlError, SqlResult};
use crate::statement::Position;

/// The most bytes that the answers of one text may take.
const MAX_BYTES: usize = 16 << 20;
/// The column of an answer that is one text.
const RESULT: &str = "result";

/// The answer of one statement.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct StatementResult {
    /// The statement as it was written, but for white space and comments.
    pub statement: String,
    /// The line where it begins.
    pub line: u64,
    /// The columns' names; `result` alone: the one cell is a text of lines.
    pub columns: Vec<String>,
    /// The rows; a cell without a value is `None`.
    pub rows: Vec<Vec<Option<String>>>,
}

/// The answers of a text so far.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub all: Vec<StatementResult>,
    bytes: usize,
}

/// The rows of one answer, with their columns.
pub(crate) struct Rows {
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

impl Rows {
    /// No rows so far.
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|&column| column.to_owned()).collect(), rows: Vec::new() }
    }

    /// One text.
    pub fn text(text: impl Into<String>) -> Self {
        let mut rows = Self::new(&[RESULT]);
        rows.push([Some(text.into())]);
        rows
    }

    /// One column of names.
    pub fn names(column: &str, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut rows = Self::new(&[column]);
        for name in names {
            rows.push([Some(name.into())]);
        }
        rows
    }

    /// Adds a row.
    pub fn push(&mut self, row: impl IntoIterator<Item = Option<String>>) {
        self.rows.push(row.into_iter().collect());
    }
}

impl Results {
    /// Adds an answer.
    pub fn push(&mut self, statement: String, position: Position, rows: Rows) -> SqlResult<()> {
        let Rows { columns, rows } = rows;
        let cells: usize = rows.iter().flatten().map(|cell| cell.as_ref().map_or(0, String::len) + 24).sum();
        self.bytes = self.bytes.saturating_add(cells + statement.len());
        if self.bytes > MAX_BYTES {
            let message =
                format!("the answers of this text take more than {MAX_BYTES} bytes; ask for less at once");
            return Err(SqlError::at(Code::InvalidArgument, position, message));
        }
        self.all.push(StatementResult { statement, line: position.line, columns, rows });
        Ok(())
    }
}
