//! USE, SHOW, DESCRIBE, SET and RESET.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use crate::error::{SqlError, SqlResult};
use crate::statement::{
    Inspect, Inspection, Pattern, Position, Reset, Set, Statement, TableName, Use, UseTarget,
};

/// Flink's SHOW statements that aren't read, and what there is instead.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("CONNECTIONS", "connectors are told their options in WITH (…)"),
    ("JARS", "jars can't be loaded: connectors and functions are built in"),
    ("JOBS", "`weir list` and GET /jobs/overview show jobs"),
    ("MATERIALIZED", "there are no materialized tables"),
    ("MODELS", "there are no models"),
    ("MODULES", "there are no modules"),
    ("PARTITIONS", "partitions are the connector's and aren't listed"),
    ("PROCEDURES", "there are no procedures"),
];

/// `USE [CATALOG] name`.
pub(super) fn use_statement(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.expect(&["USE"])?;
    if cursor.takes(&["MODULES"]) {
        return Err(SqlError::unsupported(cursor.position(), "there are no modules"));
    }
    let target = if cursor.takes(&["CATALOG"]) {
        UseTarget::Catalog(cursor.name("the name of a catalog")?)
    } else {
        UseTarget::Database(database_name(cursor)?)
    };
    Ok(Statement::Use(Use { target }))
}

/// `[catalog.]database`.
fn database_name(cursor: &mut Cursor<'_>) -> SqlResult<TableName> {
    let name = cursor.table_name("the name of a database")?;
    if name.parts.len() > 2 {
        return Err(SqlError::syntax(name.position, "a database's name has at most two parts"));
    }
    Ok(name)
}

/// `SHOW …`, `DESCRIBE …`, `DESC …`.
pub(super) fn inspect(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let position = cursor.position();
    let start = cursor.index();
    let inspection = if cursor.takes(&["SHOW"]) { show(cursor, position)? } else { describe(cursor)? };
    Ok(Statement::Inspect(Box::new(Inspect { inspection, text: cursor.text_since(start), position })))
}

fn show(cursor: &mut Cursor<'_>, position: Position) -> SqlResult<Inspection> {
    if cursor.takes(&["CURRENT", "CATALOG"]) {
        return Ok(Inspection::CurrentCatalog);
    }
    if cursor.takes(&["CURRENT", "DATABASE"]) {
        return Ok(Inspection::CurrentDatabase);
    }
    if cursor.takes(&["CREATE", "TABLE"]) {
        return Ok(Inspection::CreateTable(cursor.table_name("the name of a table")?));
    }
    if cursor.takes(&["CREATE", "VIEW"]) {
        return Ok(Inspection::CreateView(cursor.table_name("the name of a view")?));
    }
    if cursor.takes(&["CATALOGS"]) {
        return Ok(Inspection::Catalogs(pattern(cursor)?));
    }
    if cursor.takes(&["DATABASES"]) {
        let catalog = if from(cursor) { Some(cursor.name("the name of a catalog")?) } else { None };
        return Ok(Inspection::Databases(catalog, pattern(cursor)?));
    }
    if cursor.takes(&["TABLES"]) {
        return Ok(Inspection::Tables(of_database(cursor)?, pattern(cursor)?));
    }
    if cursor.takes(&["VIEWS"]) {
        return Ok(Inspection::Views(of_database(cursor)?, pattern(cursor)?));
    }
    if cursor.takes(&["COLUMNS"]) {
        if !from(cursor) {
            return Err(cursor.unexpected("FROM and the name of a table"));
        }
        return Ok(Inspection::Columns(cursor.table_name("the name of a table")?, pattern(cursor)?));
    }
    let user = cursor.takes(&["USER"]);
    if cursor.takes(&["FUNCTIONS"]) {
        return Ok(Inspection::Functions { user, database: of_database(cursor)?, pattern: pattern(cursor)? });
    }
    let _ = cursor.takes(&["FULL"]);
    let upper = cursor.word().map(str::to_ascii_uppercase).unwrap_or_default();
    match UNSUPPORTED.iter().find(|(what, _)| *what == upper) {
        Some((what, instead)) => {
            Err(SqlError::unsupported(position, format!("SHOW {what} is not supported; {instead}")))
        }
        None => Err(cursor.unexpected(
            "CATALOGS, DATABASES, TABLES, VIEWS, COLUMNS, [USER] FUNCTIONS, CREATE TABLE, CREATE VIEW, CURRENT CATALOG or \
             CURRENT DATABASE",
        )),
    }
}

fn from(cursor: &mut Cursor<'_>) -> bool {
    cursor.takes(&["FROM"]) || cursor.takes(&["IN"])
}

fn of_database(cursor: &mut Cursor<'_>) -> SqlResult<Option<TableName>> {
    if from(cursor) { Ok(Some(database_name(cursor)?)) } else { Ok(None) }
}

fn pattern(cursor: &mut Cursor<'_>) -> SqlResult<Option<Pattern>> {
    let negated = cursor.takes(&["NOT"]);
    let ignore_case = cursor.takes(&["ILIKE"]);
    if !ignore_case && !cursor.takes(&["LIKE"]) {
        return if negated { Err(cursor.unexpected("LIKE or ILIKE")) } else { Ok(None) };
    }
    let text = cursor.string("a pattern in quotes")?;
    Ok(Some(Pattern { negated, ignore_case, text }))
}

fn describe(cursor: &mut Cursor<'_>) -> SqlResult<Inspection> {
    if !cursor.takes(&["DESCRIBE"]) {
        cursor.expect(&["DESC"])?;
    }
    // Each may be a table's name too.
    let is_last = cursor.sees_nth_token(1, &Token::EOF) || cursor.sees_nth_token(1, &Token::Period);
    if !is_last && cursor.takes(&["CATALOG"]) {
        let _ = cursor.takes(&["EXTENDED"]);
        return Ok(Inspection::Catalog(cursor.name("the name of a catalog")?));
    }
    if !is_last && cursor.takes(&["DATABASE"]) {
        let _ = cursor.takes(&["EXTENDED"]);
        return Ok(Inspection::Database(database_name(cursor)?));
    }
    if !is_last && cursor.takes(&["FUNCTION"]) {
        let _ = cursor.takes(&["EXTENDED"]);
        return Ok(Inspection::Function(cursor.table_name("the name of a function")?));
    }
    if !is_last && cursor.sees(&["JOB"]) {
        let message = "DESCRIBE JOB is not supported; `weir info` and GET /jobs/:id show a job";
        return Err(SqlError::unsupported(cursor.position(), message));
    }
    if !is_last {
        let _ = cursor.takes(&["EXTENDED"]);
    }
    Ok(Inspection::Columns(cursor.table_name("the name of a table or view")?, None))
}

/// `SET`, `SET 'key' = 'value'`, `SET key = value`.
pub(super) fn set(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let start = cursor.position();
    cursor.expect(&["SET"])?;
    let position = cursor.position();
    if cursor.at_end() {
        let inspect = Inspect { inspection: Inspection::Settings, text: "SET".to_owned(), position: start };
        return Ok(Statement::Inspect(Box::new(inspect)));
    }
    let key = key(cursor, "a key, as in SET 'parallelism.default' = '4'")?;
    cursor.expect_token(&Token::Eq)?;
    if cursor.at_end() {
        return Err(cursor.unexpected("a value, as in SET 'parallelism.default' = '4'"));
    }
    let value = if is_string_alone(cursor) {
        cursor.string("a value")?
    } else {
        let first = cursor.index();
        while !cursor.at_end() {
            cursor.next_token();
        }
        cursor.text_since(first)
    };
    Ok(Statement::Set(Set { key, value, position }))
}

/// Whether only a text in quotes is left.
fn is_string_alone(cursor: &Cursor<'_>) -> bool {
    cursor.sees_string() && cursor.sees_nth_token(1, &Token::EOF)
}

/// A key in quotes, or words with points and dashes.
fn key(cursor: &mut Cursor<'_>, what: &str) -> SqlResult<String> {
    if cursor.sees_string() {
        return cursor.string(what);
    }
    if cursor.word().is_none() {
        return Err(cursor.unexpected(what));
    }
    let first = cursor.index();
    while !cursor.at_end() && !cursor.sees_token(&Token::Eq) {
        if !matches!(cursor.peek(), Token::Word(_) | Token::Period | Token::Minus | Token::Number(..)) {
            return Err(cursor.unexpected("'=' or a key in quotes"));
        }
        cursor.next_token();
    }
    let text = cursor.text_since(first);
    if text.contains(' ') {
        return Err(cursor.unexpected("a key without spaces, then '='"));
    }
    Ok(text)
}

/// `RESET [key]`.
pub(super) fn reset(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let position = cursor.position();
    cursor.expect(&["RESET"])?;
    let key = if cursor.at_end() { None } else { Some(key(cursor, "a key")?) };
    Ok(Statement::Reset(Reset { key, position }))
}
