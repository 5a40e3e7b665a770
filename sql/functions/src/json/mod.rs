//! Functions on JSON texts, and those that make JSON.
//!
//! A query's clauses (`RETURNING`, `ON EMPTY`, `WRAPPER`, …) come as further literal arguments, written by the SQL parser: the
//! values of a constructor come as JSON already, so that one constructor's result is another one's value.

mod find;
mod make;
mod path;
mod quote;
mod read;
mod write;

use crate::function::Definition;

pub(crate) fn definitions() -> impl Iterator<Item = &'static Definition> {
    [read::DEFINITIONS, make::DEFINITIONS, quote::DEFINITIONS].into_iter().flatten()
}
