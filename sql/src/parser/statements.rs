//! Which statement it is, and INSERT, EXPLAIN and statement sets.

use datafusion::sql::sqlparser::tokenizer::Token;
use weir_api::connector::nearest;

use super::cursor::Cursor;
use super::dialect::FlinkDialect;
use super::tokens::split;
use super::window::Placeholders;
use super::{alter, create, show};
use crate::error::{SqlError, SqlResult};
use crate::statement::{Explain, ExplainTarget, Insert, PartitionValue, Position, Statement, TableHint};

/// What a statement may begin with.
const VERBS: &[&str] = &[
    "ALTER", "CREATE", "DESCRIBE", "DROP", "EXECUTE", "EXPLAIN", "INSERT", "RESET", "SELECT", "SET", "SHOW",
    "USE", "VALUES", "WITH",
];

/// Flink's statements that aren't read yet, and what there is instead.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("ADD", "jars can't be loaded: connectors and functions are built in"),
    ("ANALYZE", "there are no table statistics"),
    ("CALL", "there are no procedures"),
    ("COMPILE", "a job is planned from its text"),
    ("DELETE", "tables are written with INSERT INTO"),
    ("LOAD", "there are no modules"),
    ("MERGE", "tables are written with INSERT INTO"),
    ("REMOVE", "jars can't be loaded: connectors and functions are built in"),
    ("STOP", "use the command line or the REST API"),
    ("TRUNCATE", "tables are written with INSERT INTO"),
    ("UNLOAD", "there are no modules"),
    ("UPDATE", "tables are written with INSERT INTO"),
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
pub(super) fn parse(text: &str) -> SqlResult<(Vec<Statement>, Vec<String>)> {
    let mut placeholders = Placeholders::default();
    let mut statements = Vec::new();
    let mut open: Option<OpenSet> = None;
    let (texts, warnings) = split(text)?;
    for tokens in texts {
        let start = tokens.start;
        let dialect = FlinkDialect::for_tokens(tokens.tokens.len());
        placeholders.hints.open.clone_from(&tokens.hints);
        let mut cursor = Cursor::new(&dialect, tokens);
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
        placeholders.hints.expect_taken()?;
    }
    match open {
        Some(set) => Err(SqlError::syntax(set.start, "this statement set has no END;")),
        None => Ok((statements, warnings)),
    }
}

/// `EXECUTE STATEMENT SET BEGIN`, `BEGIN STATEMENT SET;`, `EXPLAIN … STATEMENT SET BEGIN`.
fn begin_set(cursor: &mut Cursor<'_>, start: Position) -> SqlResult<Option<OpenSet>> {
    let open = |explain| Some(OpenSet { inserts: Vec::new(), start, explain });
    // EXECUTE in front of one statement changes nothing.
    if cursor.takes(&["EXECUTE", "STATEMENT", "SET"]) {
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
        Some("EXECUTE") => {
            cursor.expect(&["EXECUTE"])?;
            if cursor.sees(&["INSERT"]) {
                Statement::Insert(Box::new(insert(cursor, placeholders)?))
            } else if cursor.begins_query() {
                Statement::Query(Box::new(cursor.query(placeholders)?))
            } else {
                return Err(cursor.unexpected("STATEMENT SET, INSERT INTO or a query"));
            }
        }
        Some("INSERT") => Statement::Insert(Box::new(insert(cursor, placeholders)?)),
        Some("SET") => show::set(cursor)?,
        Some("RESET") => show::reset(cursor)?,
        Some("EXPLAIN") => explain(cursor, placeholders)?,
        Some("ALTER") => alter::alter(cursor, placeholders)?,
        Some("DROP") => alter::drop_statement(cursor)?,
        Some("USE") => show::use_statement(cursor)?,
        Some("SHOW" | "DESCRIBE" | "DESC") => show::inspect(cursor)?,
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
            "INSERT OVERWRITE is not supported: no connector can replace what is there as one step; use INSERT INTO",
        ));
    }
    cursor.expect(&["INTO"])?;
    let _ = cursor.sees(&["TABLE"]) && cursor.takes(&["TABLE"]);
    let mut table = cursor.table_name("the name of a table")?;
    let mut options = Vec::new();
    if let Some(last) = table.parts.last_mut()
        && let Some(hint) = placeholders.hints.take(&last.value)
    {
        last.value = TableHint::split(&last.value).0.to_owned();
        options = hint.options;
    }
    let partition = if cursor.takes(&["PARTITION"]) {
        cursor.list(partition_value)?.into_iter().flatten().collect()
    } else {
        Vec::new()
    };
    let is_column_list = cursor.sees_token(&Token::LParen) && !cursor.begins_query();
    let columns = if is_column_list { cursor.names("the name of a column")? } else { Vec::new() };
    let query = cursor.query(placeholders)?;
    if cursor.sees(&["ON", "CONFLICT"]) {
        return Err(SqlError::unsupported(cursor.position(), "ON CONFLICT is not supported yet"));
    }
    Ok(Insert { table, options, partition, columns, query, position })
}

/// `column = value`, or `column` alone, which says nothing: the query gives it its values as any other.
fn partition_value(cursor: &mut Cursor<'_>) -> SqlResult<Option<PartitionValue>> {
    let column = cursor.name("the name of a column")?;
    if !cursor.takes_token(&Token::Eq) {
        return Ok(None);
    }
    let position = cursor.position();
    for word in ["DATE", "TIMESTAMP", "TIME"] {
        let _ = matches!(cursor.peek_nth(1), Token::SingleQuotedString(_)) && cursor.takes(&[word]);
    }
    let minus = if cursor.takes_token(&Token::Minus) { "-" } else { "" };
    let value = match cursor.peek() {
        Token::SingleQuotedString(text) | Token::UnicodeStringLiteral(text) if minus.is_empty() => {
            Some(text.clone())
        }
        Token::Number(text, _) => Some(format!("{minus}{text}")),
        Token::Word(_) if cursor.sees(&["NULL"]) => None,
        Token::Word(word) if cursor.sees(&["TRUE"]) || cursor.sees(&["FALSE"]) => {
            Some(word.value.to_lowercase())
        }
        _ => return Err(cursor.unexpected("a constant")),
    };
    cursor.next_token();
    Ok(Some(PartitionValue { column, value, position }))
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
    } else if cursor.sees(&["CREATE"]) {
        let start = cursor.position();
        match create::statement(cursor, placeholders)? {
            Statement::CreateTableAs(table, query) => ExplainTarget::CreateTableAs(table, query),
            _ => {
                let message = "of CREATE statements only CREATE TABLE … AS SELECT has a plan";
                return Err(SqlError::unsupported(start, message));
            }
        }
    } else if cursor.begins_query() {
        ExplainTarget::Query(cursor.query(placeholders)?)
    } else {
        return Err(cursor.unexpected("a query or INSERT INTO to explain"));
    };
    Ok(Statement::Explain(Box::new(Explain { target, details, position })))
}
