//! The text of Flink's dialect to statements.
//!
//! Statements are read by hand on sqlparser's tokens, queries and expressions by sqlparser under our dialect. Invariants: no
//! text makes it panic or run away (see `tokens` and `dialect` for the limits); every error has a place. It knows no names:
//! what a statement means is [`crate::catalog`]'s and the planner's.

mod alter;
mod create;
mod cursor;
pub(crate) mod data_type;
mod dialect;
mod functions;
mod hints;
pub(crate) mod interval;
mod show;
mod statements;
mod subqueries;
mod tokens;
mod window;

#[cfg(test)]
pub(crate) mod tests;

pub use data_type::{from_ast as type_from_ast, parse_text as parse_type};
pub use interval::Interval;
pub use tokens::MAX_TEXT;
pub(crate) use tokens::{BYTE_ORDER_MARK, literal_text, quoted};

use crate::error::SqlResult;
use crate::statement::Statement;

/// The statements of a text, in their order.
///
/// Trees may be thousands of levels deep, and their drop recurses: call this where the stack is large, as [`crate::plan`] does.
pub fn parse(text: &str) -> SqlResult<Vec<Statement>> {
    parse_with_warnings(text).map(|(statements, _)| statements)
}

/// The statements of a text as [`parse`] gives them, and what the user should hear about.
pub fn parse_with_warnings(text: &str) -> SqlResult<(Vec<Statement>, Vec<String>)> {
    statements::parse(text)
}
