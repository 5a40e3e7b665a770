//! Errors of a text of SQL, with their place in it.
//!
//! Invariant: an error that a user's statement caused knows where, or is given the place of its statement by
//! [`SqlError::or_at`]. It becomes a [`weir_api::Error`] once the text is at hand, which lends it the offending line.

use std::fmt;

use weir_api::error::Code;

use crate::statement::Position;

/// The result of parsing and planning.
pub type SqlResult<T> = std::result::Result<T, SqlError>;

/// The most characters of an offending line that a message shows.
const MAX_LINE_SHOWN: usize = 160;

/// What is wrong with a statement, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}{message}", PositionPrefix(*position))]
pub struct SqlError {
    code: Code,
    message: String,
    position: Option<Position>,
    #[source]
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl SqlError {
    /// An error at a place.
    pub fn at(code: Code, position: Position, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), position: Some(position), cause: None }
    }

    /// An error whose place the caller knows; see [`SqlError::or_at`].
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), position: None, cause: None }
    }

    /// A statement that doesn't parse.
    pub fn syntax(position: Position, message: impl Into<String>) -> Self {
        Self::at(Code::SqlSyntax, position, message)
    }

    /// Something that Weir doesn't do.
    pub fn unsupported(position: Position, message: impl Into<String>) -> Self {
        Self::at(Code::Unsupported, position, message)
    }

    /// The same error, at `position` if it had no place of its own.
    #[must_use]
    pub fn or_at(mut self, position: Position) -> Self {
        self.position.get_or_insert(position);
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The same error, its message preceded by what was being done.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The message without its place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Its place, if known.
    #[must_use]
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// The error for those outside: `line 3, column 12: …`, followed by the line of `text` that it speaks of.
    #[must_use]
    pub fn into_error(self, text: &str) -> weir_api::Error {
        let mut message = self.to_string();
        if let Some(excerpt) = self.position.and_then(|position| excerpt(text, position)) {
            message.push('\n');
            message.push_str(&excerpt);
        }
        let error = weir_api::Error::new(self.code, message);
        match self.cause {
            Some(cause) => error.with_source(cause),
            None => error,
        }
    }
}

impl From<weir_api::Error> for SqlError {
    fn from(error: weir_api::Error) -> Self {
        let converted = Self::new(error.code(), error.message());
        match std::error::Error::source(&error) {
            Some(cause) => converted.with_cause(cause.to_string()),
            None => converted,
        }
    }
}

/// Writes a place and a colon, or nothing.
struct PositionPrefix(Option<Position>);

impl fmt::Display for PositionPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(position) => write!(f, "{position}: "),
            None => Ok(()),
        }
    }
}

/// The line at `position` with a caret under its column, or nothing where the text has no such line.
fn excerpt(text: &str, position: Position) -> Option<String> {
    // A byte order mark takes no column; the parser doesn't count it either.
    let text = text.trim_start_matches(crate::parser::BYTE_ORDER_MARK);
    let line_index = usize::try_from(position.line.checked_sub(1)?).ok()?;
    let line = text.lines().nth(line_index)?;
    let column = usize::try_from(position.column.saturating_sub(1)).ok()?;
    // A line of a generated statement may be megabytes long: show what surrounds the column.
    let start = column.saturating_sub(MAX_LINE_SHOWN / 2);
    let shown: String = line
        .chars()
        .skip(start)
        .take(MAX_LINE_SHOWN)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    let shown = shown.trim_end();
    let number = position.line.to_string();
    let caret = column - start;
    Some(format!("  {number} | {shown}\n  {:width$} | {:caret$}^", "", "", width = number.len()))
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn an_error_shows_its_line() {
        let text = "SELECT a,\n  b ? c\nFROM t";
        let error = SqlError::syntax(Position { line: 2, column: 5 }, "expected a comma").into_error(text);
        assert_eq!(error.message(), "line 2, column 5: expected a comma\n  2 |   b ? c\n    |     ^");
        assert_eq!(error.code(), Code::SqlSyntax);
    }

    #[test]
    fn long_lines_are_cut_around_the_column() {
        let text = format!("{}?{}", "a".repeat(100_000), "b".repeat(100_000));
        let error = SqlError::syntax(Position { line: 1, column: 100_001 }, "no").into_error(&text);
        assert!(error.message().len() < 600);
        let lines: Vec<&str> = error.message().lines().collect();
        let caret = lines[2].find('^').expect("a caret");
        assert_eq!(lines[1].as_bytes()[caret], b'?');
    }

    #[test]
    fn a_place_is_given_once() {
        let here = Position { line: 1, column: 1 };
        let there = Position { line: 2, column: 2 };
        assert_eq!(SqlError::syntax(here, "x").or_at(there).position(), Some(here));
        assert_eq!(SqlError::new(Code::SqlType, "x").or_at(there).position(), Some(there));
        assert_eq!(SqlError::syntax(here, "x").into_error("").message(), "line 1, column 1: x");
    }
}
