//! Which statement it is, and the small ones: INSERT, SET, RESET, EXPLAIN, DROP, statement sets.

use datafusion::sql::sqlparser::tokenizer::Token;
use weir_api::connector::nearest;

use super::create;
use super::cursor::Cursor;
use super::dialect::FlinkDialect;
use super::tokens::{StatementTokens, split};
use super::window::Placeholders;
use crate::error::{SqlError, SqlResult};
use crate::statement::{Drop, Explain, ExplainTarget, Insert, Position, Reset, Set, Statement};

/// What a statement may begin with.
const VERBS: &[&str] =
    &["CREATE", "DROP", "EXECUTE", "EXPLAIN", "INSERT", "RESET", "SELECT", "SET", "VALUES", "WITH"];

/// Flink's statements that aren't read yet, and what there is instead.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("ADD", "jars can't be loaded: connectors and functions are built in"),
    ("ALTER", "drop the table and create it again"),
    ("ANALYZE", "there are no table statistics"),
    ("CALL", "there are no procedures"),
    ("COMPILE", "a job is planned from its text"),
    ("DELETE", "tables are written with INSERT INTO"),
    ("DESC", "EXPLAIN shows a query's columns"),
    ("DESCRIBE", "EXPLAIN shows a query's columns"),
    ("LOAD", "there are no modules"),
    ("MERGE", "tables are written with INSERT INTO"),
    ("REMOVE", "jars can't be loaded: connectors and functions are built in"),
    ("SHOW", "a text's tables are those that it creates"),
    ("STOP", "use the command line or the REST API"),
    ("TRUNCATE", "tables are written with INSERT INTO"),
    ("UNLOAD", "there are no modules"),
    ("UPDATE", "tables are written with INSERT INTO"),
    ("USE", "write the table's full name, catalog.database.table"),
];

/// EXPLAIN's details.
const DETAILS: &[&str] = &["ESTIMATED_COST", "CHANGELOG_MODE", "JSON_EXECUTION_PLAN", "PLAN_ADVICE"];

/// An open statement set.
struct OpenSet {
    inserts: Vec<Insert>,
    start: Position,
    /// The details of the EXPLAIN in front of it, if there is one.
    explain: Option<Vec<String>>,
}

/// The statements of a text.
pub(super) fn parse(text: &str) -> SqlResult<Vec<Statement>> {
    let mut placeholders = Placeholders::default();
    let mut statements = Vec::new();
    let mut open: Option<OpenSet> = None;
    for tokens in split(text)? {
        let start = tokens.start;
        let dialect = FlinkDialect::for_tokens(tokens.tokens.len());
        let StatementTokens { tokens, end, .. } = tokens;
        let mut cursor = Cursor::new(&dialect, tokens, end);
        if open.is_none() {
            open = begin_set(&mut cursor, start)?;
            if open.is_some() && cursor.at_end() {
                continue;
            }
        }
        match &mut open {
            None => statements.push(statement(&mut cursor, start, &mut placeholders)?),
            Some(_) if cursor.takes(&["END"]) => {
                cursor.expect_end()?;
                statements.extend(open.take().map(close_set));
            }
            Some(set) => {
                if !cursor.sees(&["INSERT"]) {
                    return Err(cursor.unexpected("INSERT INTO, or END of the statement set"));
                }
                set.inserts.push(insert(&mut cursor, &mut placeholders)?);
                cursor.expect_end()?;
            }
        }
    }
    match open {
        Some(set) => Err(SqlError::syntax(set.start, "this statement set has no END;")),
        None => Ok(statements),
    }
}

/// `EXECUTE STATEMENT SET BEGIN`, `BEGIN STATEMENT SET;`, `EXPLAIN … STATEMENT SET BEGIN`.
fn begin_set(cursor: &mut Cursor<'_>, start: Position) -> SqlResult<Option<OpenSet>> {
    let open = |explain| Some(OpenSet { inserts: Vec::new(), start, explain });
    if cursor.takes(&["EXECUTE"]) {
        cursor.expect(&["STATEMENT", "SET"])?;
        cursor.expect(&["BEGIN"])?;
        return Ok(open(None));
    }
    if cursor.takes(&["BEGIN"]) {
        cursor.expect(&["STATEMENT", "SET"])?;
        cursor.expect_end()?;
        return Ok(open(None));
    }
    if !cursor.sees(&["EXPLAIN"]) {
        return Ok(None);
    }
    // Only the set is taken here; any other EXPLAIN begins anew.
    let mut index = 1;
    while !(cursor.sees_nth(index, "STATEMENT") && cursor.sees_nth(index + 1, "SET")) {
        if index > 2 * DETAILS.len() || !cursor.is_word_or_comma(index) {
            return Ok(None);
        }
        index += 1;
    }
    cursor.expect(&["EXPLAIN"])?;
    let details = details(cursor)?;
    cursor.expect(&["STATEMENT", "SET"])?;
    cursor.expect(&["BEGIN"])?;
    Ok(open(Some(details)))
}

fn close_set(set: OpenSet) -> Statement {
    match set.explain {
        Some(details) => Statement::Explain(Box::new(Explain {
            target: ExplainTarget::Inserts(set.inserts),
            details,
            position: set.start,
        })),
        None => Statement::StatementSet(set.inserts),
    }
}

fn statement(
    cursor: &mut Cursor<'_>,
    start: Position,
    placeholders: &mut Placeholders,
) -> SqlResult<Statement> {
    let verb = cursor.word().map(str::to_ascii_uppercase);
    let statement = match verb.as_deref() {
        Some("CREATE") => create::statement(cursor, placeholders)?,
        Some("INSERT") => Statement::Insert(Box::new(insert(cursor, placeholders)?)),
        Some("SET") => set(cursor)?,
        Some("RESET") => reset(cursor)?,
        Some("EXPLAIN") => explain(cursor, placeholders)?,
        Some("DROP") => drop_statement(cursor)?,
        _ if cursor.begins_query() => Statement::Query(Box::new(cursor.query(placeholders)?)),
        _ => return Err(unknown_verb(cursor, start)),
    };
    cursor.expect_end()?;
    Ok(statement)
}

fn unknown_verb(cursor: &Cursor<'_>, start: Position) -> SqlError {
    let Some(word) = cursor.word() else { return cursor.unexpected("a statement") };
    let upper = word.to_ascii_uppercase();
    if let Some((verb, instead)) = UNSUPPORTED.iter().find(|(verb, _)| *verb == upper) {
        return SqlError::unsupported(start, format!("{verb} is not supported; {instead}"));
    }
    let hint = nearest(word, VERBS.iter().copied())
        .map_or_else(|| format!(" ({})", VERBS.join(", ")), |verb| format!("; did you mean {verb}?"));
    SqlError::syntax(start, format!("no statement begins with '{word}'{hint}"))
}

/// `INSERT INTO table [(columns)] query`.
pub(super) fn insert(cursor: &mut Cursor<'_>, placeholders: &mut Placeholders) -> SqlResult<Insert> {
    let position = cursor.position();
    cursor.expect(&["INSERT"])?;
    if cursor.sees(&["OVERWRITE"]) {
        return Err(SqlError::unsupported(
            cursor.position(),
            "INSERT OVERWRITE is not supported yet; use INSERT INTO",
        ));
    }
    cursor.expect(&["INTO"])?;
    let _ = cursor.sees(&["TABLE"]) && cursor.takes(&["TABLE"]);
    let table = cursor.table_name("the name of a table")?;
    if cursor.sees(&["PARTITION"]) {
        let message =
            "INSERT INTO … PARTITION is not supported yet; select the partition's columns like others";
        return Err(SqlError::unsupported(cursor.position(), message));
    }
    let is_column_list = cursor.sees_token(&Token::LParen) && !cursor.begins_query();
    let columns = if is_column_list { cursor.names("the name of a column")? } else { Vec::new() };
    let query = cursor.query(placeholders)?;
    if cursor.sees(&["ON", "CONFLICT"]) {
        return Err(SqlError::unsupported(cursor.position(), "ON CONFLICT is not supported yet"));
    }
    Ok(Insert { table, columns, query, position })
}

/// `SET 'key' = 'value'`.
fn set(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.expect(&["SET"])?;
    let position = cursor.position();
    if cursor.at_end() {
        return Err(SqlError::unsupported(position, "SET without a key, which lists them, is not supported"));
    }
    let key = cursor.string("a key in quotes, as in SET 'parallelism.default' = '4'")?;
    cursor.expect_token(&Token::Eq)?;
    let value = cursor.string("a value in quotes, as in SET 'parallelism.default' = '4'")?;
    Ok(Statement::Set(Set { key, value, position }))
}

/// `RESET ['key']`.
fn reset(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let position = cursor.position();
    cursor.expect(&["RESET"])?;
    let key = if cursor.at_end() { None } else { Some(cursor.string("a key in quotes")?) };
    Ok(Statement::Reset(Reset { key, position }))
}

/// `PLAN FOR`, or details, or nothing.
fn details(cursor: &mut Cursor<'_>) -> SqlResult<Vec<String>> {
    let mut details = Vec::new();
    if cursor.takes(&["PLAN", "FOR"]) {
        return Ok(details);
    }
    while let Some(detail) = DETAILS.iter().find(|detail| cursor.sees(&[detail])) {
        cursor.expect(&[detail])?;
        details.push((*detail).to_owned());
        if !cursor.takes_token(&Token::Comma) {
            return Ok(details);
        }
    }
    if details.is_empty() {
        Ok(details)
    } else {
        Err(cursor.unexpected(&format!("one of {}", DETAILS.join(", "))))
    }
}

/// `EXPLAIN … query` or `EXPLAIN … INSERT`.
fn explain(cursor: &mut Cursor<'_>, placeholders: &mut Placeholders) -> SqlResult<Statement> {
    let position = cursor.position();
    cursor.expect(&["EXPLAIN"])?;
    let details = details(cursor)?;
    let target = if cursor.sees(&["INSERT"]) {
        ExplainTarget::Inserts(vec![insert(cursor, placeholders)?])
    } else if cursor.begins_query() {
        ExplainTarget::Query(cursor.query(placeholders)?)
    } else {
        return Err(cursor.unexpected("a query or INSERT INTO to explain"));
    };
    Ok(Statement::Explain(Box::new(Explain { target, details, position })))
}

/// `DROP [TEMPORARY] TABLE|VIEW [IF EXISTS] name`.
fn drop_statement(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let position = cursor.position();
    cursor.expect(&["DROP"])?;
    let _ = cursor.takes(&["TEMPORARY"]);
    let is_view = cursor.takes(&["VIEW"]);
    if !is_view && !cursor.takes(&["TABLE"]) {
        return Err(cursor.unexpected("TABLE or VIEW"));
    }
    let if_exists = cursor.takes(&["IF", "EXISTS"]);
    let name = cursor.table_name("the name of a table or view")?;
    Ok(Statement::Drop(Drop { is_view, name, if_exists, position }))
}
