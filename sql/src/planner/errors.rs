//! DataFusion's errors as ours: what was wrong, where in the text, what may have been meant.
//!
//! Nothing of DataFusion's reaches a user without a sentence that explains it. Its errors carry a place only where a column or
//! table was looked up; the caller lends the others the place of their statement.

use datafusion::common::{Column, DataFusionError, Diagnostic, SchemaError};
use weir_api::connector::nearest;
use weir_api::error::Code;

use crate::error::SqlError;
use crate::statement::Position;

/// The most columns that a message lists.
const MAX_LISTED: usize = 12;

/// DataFusion's names of types, in messages, and ours.
const ARROW_NAMES: &[(&str, &str)] = &[
    ("Boolean", "BOOLEAN"),
    ("Int8", "TINYINT"),
    ("Int16", "SMALLINT"),
    ("Int32", "INT"),
    ("Int64", "BIGINT"),
    ("Float32", "FLOAT"),
    ("Float64", "DOUBLE"),
    ("Decimal128", "DECIMAL"),
    ("Utf8", "STRING"),
    ("Date32", "DATE"),
    ("Timestamp(ms)", "TIMESTAMP(3)"),
    ("Timestamp(µs)", "TIMESTAMP(6)"),
    ("Timestamp(ns)", "TIMESTAMP(9)"),
    ("Timestamp(s)", "TIMESTAMP(0)"),
];

/// An error of ours on its way through DataFusion.
pub(super) fn placed(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// `; did you mean 'x'?`, or which columns there are.
pub(super) fn nearest_column<'a>(name: &str, columns: impl Iterator<Item = &'a str>) -> String {
    let columns: Vec<&str> = columns.collect();
    if let Some(near) = nearest(name, columns.iter().copied()) {
        return format!("; did you mean '{near}'?");
    }
    match columns.get(..MAX_LISTED) {
        Some(first) => format!("; there are: {}, …", first.join(", ")),
        None if columns.is_empty() => String::new(),
        None => format!("; there are: {}", columns.join(", ")),
    }
}

/// The error of planning a query that begins at `query`.
pub(super) fn planning_error(error: &DataFusionError, query: Position) -> SqlError {
    let place = error.diagnostic().and_then(place_of).unwrap_or(query);
    translate(error, error.diagnostic(), place)
}

fn place_of(diagnostic: &Diagnostic) -> Option<Position> {
    let span = diagnostic.span.or_else(|| diagnostic.notes.iter().find_map(|note| note.span))?;
    (span.start.line > 0).then_some(Position { line: span.start.line, column: span.start.column.max(1) })
}

fn translate(error: &DataFusionError, diagnostic: Option<&Diagnostic>, place: Position) -> SqlError {
    match error {
        DataFusionError::Diagnostic(_, inner) => translate(inner, diagnostic, place),
        DataFusionError::Context(_, inner) => translate(inner, diagnostic, place),
        DataFusionError::Shared(inner) => translate(inner, diagnostic, place),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => {
                let own = first.diagnostic().or(diagnostic);
                translate(first, own, own.and_then(place_of).unwrap_or(place))
            }
            None => SqlError::at(Code::Internal, place, "planning failed without a reason"),
        },
        DataFusionError::External(inner) => match inner.downcast_ref::<SqlError>() {
            Some(ours) => SqlError::at(ours.code(), ours.position().unwrap_or(place), ours.message()),
            None => SqlError::at(Code::Internal, place, format!("the query can't be planned: {inner}")),
        },
        DataFusionError::SchemaError(schema_error, _) => schema_problem(schema_error, place),
        DataFusionError::NotImplemented(what) => {
            let message = format!("the query uses something that isn't supported: {}", first_sentence(what));
            SqlError::at(Code::Unsupported, place, message)
        }
        DataFusionError::Plan(what) => plan_problem(what, diagnostic, place),
        DataFusionError::ArrowError(what, _) => {
            SqlError::at(Code::SqlType, place, format!("a constant of the query can't be computed: {what}"))
        }
        DataFusionError::Execution(what) if what.contains("Cannot access field") => {
            let message =
                "a field is read of something that isn't a ROW: what stands before the point must be one";
            SqlError::at(Code::SqlType, place, message)
        }
        DataFusionError::Execution(what) => {
            SqlError::at(Code::SqlType, place, format!("a constant of the query can't be computed: {what}"))
        }
        other => {
            let message =
                format!("the query can't be planned, though it should be: {}", other.strip_backtrace());
            SqlError::at(Code::Internal, place, message)
        }
    }
}

fn schema_problem(error: &SchemaError, place: Position) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => unknown_column(field, valid_fields, place),
        SchemaError::AmbiguousReference { field } => SqlError::at(
            Code::SqlUnknownName,
            place_of_column(field).unwrap_or(place),
            format!(
                "the column '{}' could be of several tables: write its table's name before it",
                field.name
            ),
        ),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => SqlError::at(
            Code::SqlUnknownName,
            place,
            format!("two columns are called '{name}': give one of them another name with AS"),
        ),
    }
}

pub(super) fn place_of_column(column: &Column) -> Option<Position> {
    let start = column.spans().first()?.start;
    (start.line > 0).then_some(Position { line: start.line, column: start.column.max(1) })
}

fn unknown_column(column: &Column, valid: &[Column], place: Position) -> SqlError {
    let hint = nearest_column(&column.name, valid.iter().map(|valid| valid.name.as_str()));
    let message = format!("there is no column '{}'{hint}", column.flat_name().replace('"', ""));
    SqlError::at(Code::SqlUnknownName, place_of_column(column).unwrap_or(place), message)
}

fn plan_problem(what: &str, diagnostic: Option<&Diagnostic>, place: Position) -> SqlError {
    if let Some(name) = between(what, "Invalid function '", "'") {
        if let Some(reason) = weir_functions::why_absent(name) {
            let message = format!("{} isn't supported: {reason}", name.to_uppercase());
            return SqlError::at(Code::Unsupported, place, message);
        }
        let mut message = format!("there is no function '{}'", name.to_uppercase());
        if let Some(near) = between(what, "Did you mean '", "'") {
            message.push_str(&format!("; did you mean '{}'?", near.to_uppercase()));
        }
        return SqlError::at(Code::SqlUnknownName, place, message);
    }
    if what.contains("GROUP BY") {
        let column = between(what, "column \"", "\"").or_else(|| between(what, "column '", "'"));
        let short = column.map(|name| name.rsplit('.').next().unwrap_or(name));
        let subject = short.map_or_else(|| "a column".to_owned(), |name| format!("the column '{name}'"));
        let message = format!(
            "{subject} is neither grouped nor aggregated: add it to GROUP BY or put it into an aggregate function"
        );
        return SqlError::at(Code::SqlType, place, message);
    }
    if let Some(field) = between(what, "Field ", " not found in struct") {
        return SqlError::at(Code::SqlUnknownName, place, format!("the ROW has no field '{field}'"));
    }
    if let Some(call) = between(what, "argument types '", "'") {
        return SqlError::at(Code::SqlType, place, wrong_arguments(call));
    }
    let detail = diagnostic.map(|diagnostic| {
        let notes: Vec<&str> = diagnostic.notes.iter().map(|note| note.message.as_str()).collect();
        if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) }
    });
    let message =
        format!("the query doesn't fit together: {}{}", what.trim_end(), detail.unwrap_or_default());
    SqlError::at(Code::SqlType, place, message)
}

/// How a function is called, for one that was called with other arguments: `upper(Int64, Int64)`.
fn wrong_arguments(call: &str) -> String {
    let (name, types) = call.split_once('(').unwrap_or((call, ")"));
    let types = types.strip_suffix(')').unwrap_or(types);
    let mut flink = types.to_owned();
    for (arrow, sql) in ARROW_NAMES {
        flink = flink.replace(arrow, sql);
    }
    let known = weir_functions::describe().into_iter().find(|function| function.name == name);
    let usage =
        known.map_or_else(String::new, |function| format!("; it is called as {}", function.signature));
    format!("{} can't be called with ({flink}){usage}", name.to_uppercase())
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inside, _)| inside)
}

/// Without the debugging print of syntax trees that some of DataFusion's messages end with.
fn first_sentence(what: &str) -> &str {
    let end = what.find(" { ").or_else(|| what.find(['{', '\n'])).unwrap_or(what.len());
    what.get(..end).unwrap_or(what).trim_end()
}
