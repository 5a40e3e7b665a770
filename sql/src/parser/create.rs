//! `CREATE TABLE` and `CREATE VIEW`.

use datafusion::sql::sqlparser::tokenizer::Token;
use weir_api::connector::nearest;

use super::cursor::Cursor;
use super::window::Placeholders;
use crate::error::{SqlError, SqlResult};
use crate::statement::{
    ColumnDefinition, ColumnKind, CreateTable, CreateView, Name, Position, Statement, TableOption,
    WatermarkDefinition,
};

/// Flink's CREATE statements that aren't read yet, and what there is instead.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("CATALOG", "tables belong to the text that creates them"),
    ("CONNECTION", "give the connector its options in WITH (…)"),
    ("DATABASE", "names like database.table work without it"),
    ("FUNCTION", "the built-in functions are all there are so far"),
    ("MATERIALIZED", "use CREATE TABLE and INSERT INTO"),
    ("MODEL", "there are no models"),
    ("OR", "CREATE OR REPLACE/ALTER is not read; drop the table first"),
    ("SYSTEM", "the built-in functions are all there are so far"),
];

/// A CREATE statement.
pub(super) fn statement(cursor: &mut Cursor<'_>, placeholders: &mut Placeholders) -> SqlResult<Statement> {
    let position = cursor.position();
    cursor.expect(&["CREATE"])?;
    let temporary = cursor.takes(&["TEMPORARY"]);
    if cursor.takes(&["TABLE"]) {
        return Ok(Statement::CreateTable(Box::new(create_table(cursor, temporary, position)?)));
    }
    if cursor.takes(&["VIEW"]) {
        return Ok(Statement::CreateView(Box::new(create_view(cursor, temporary, position, placeholders)?)));
    }
    let Some(word) = cursor.word() else { return Err(cursor.unexpected("TABLE or VIEW")) };
    let upper = word.to_ascii_uppercase();
    if let Some((what, instead)) = UNSUPPORTED.iter().find(|(what, _)| *what == upper) {
        return Err(SqlError::unsupported(
            cursor.position(),
            format!("CREATE {what} is not supported; {instead}"),
        ));
    }
    let hint = nearest(word, ["TABLE", "VIEW", "TEMPORARY"].into_iter())
        .map_or_else(String::new, |near| format!("; did you mean {near}?"));
    Err(SqlError::syntax(cursor.position(), format!("expected TABLE or VIEW, found {word}{hint}")))
}

/// `[IF NOT EXISTS] name [(columns)] [COMMENT '…'] AS query`.
fn create_view(
    cursor: &mut Cursor<'_>,
    temporary: bool,
    position: Position,
    placeholders: &mut Placeholders,
) -> SqlResult<CreateView> {
    let if_not_exists = cursor.takes(&["IF", "NOT", "EXISTS"]);
    let name = cursor.table_name("the name of the view")?;
    let columns =
        if cursor.sees_token(&Token::LParen) { cursor.names("the name of a column")? } else { Vec::new() };
    let comment = comment(cursor)?;
    cursor.expect(&["AS"])?;
    let query = cursor.query(placeholders)?;
    Ok(CreateView { name, temporary, if_not_exists, columns, comment, query, position })
}

/// `[IF NOT EXISTS] name [(…)] [COMMENT '…'] [PARTITIONED BY (…)] WITH (…)`.
fn create_table(cursor: &mut Cursor<'_>, temporary: bool, position: Position) -> SqlResult<CreateTable> {
    let if_not_exists = cursor.takes(&["IF", "NOT", "EXISTS"]);
    let name = cursor.table_name("the name of the table")?;
    let mut table = CreateTable {
        name,
        temporary,
        if_not_exists,
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        comment: None,
        partitioned_by: Vec::new(),
        options: Vec::new(),
        position,
    };
    if cursor.sees_token(&Token::LParen) {
        cursor.list(|cursor| table_element(cursor, &mut table))?;
    }
    table.comment = comment(cursor)?;
    refuse(cursor, &["DISTRIBUTED"], "DISTRIBUTED BY is not supported")?;
    if cursor.takes(&["PARTITIONED", "BY"]) {
        table.partitioned_by = cursor.names("the name of a column")?;
    }
    if cursor.takes(&["WITH"]) {
        table.options = cursor.list(option)?;
    }
    refuse(cursor, &["LIKE"], "CREATE TABLE … LIKE is not supported yet; write the columns out")?;
    refuse(cursor, &["AS"], "CREATE TABLE … AS is not supported yet; create the table, then INSERT INTO it")?;
    Ok(table)
}

fn refuse(cursor: &Cursor<'_>, words: &[&str], message: &str) -> SqlResult<()> {
    if cursor.sees(words) { Err(SqlError::unsupported(cursor.position(), message)) } else { Ok(()) }
}

fn comment(cursor: &mut Cursor<'_>) -> SqlResult<Option<String>> {
    if cursor.takes(&["COMMENT"]) { Ok(Some(cursor.string("a comment in quotes")?)) } else { Ok(None) }
}

/// `'key' = 'value'`.
fn option(cursor: &mut Cursor<'_>) -> SqlResult<TableOption> {
    let position = cursor.position();
    let key = cursor.string("an option's key in quotes, as in 'connector' = 'filesystem'")?;
    cursor.expect_token(&Token::Eq)?;
    let value = cursor.string("the option's value in quotes")?;
    Ok(TableOption { key, value, position })
}

/// A column, the watermark or a constraint.
fn table_element(cursor: &mut Cursor<'_>, table: &mut CreateTable) -> SqlResult<()> {
    let position = cursor.position();
    if cursor.takes(&["WATERMARK", "FOR"]) {
        if table.watermark.is_some() {
            return Err(SqlError::syntax(position, "a table has one WATERMARK at most"));
        }
        let column = cursor.name("the name of a column")?;
        if cursor.sees_token(&Token::Period) {
            let message =
                "a watermark on a field of a ROW is not supported; declare a computed column of it first";
            return Err(SqlError::unsupported(cursor.position(), message));
        }
        cursor.expect(&["AS"])?;
        let expression = cursor.expression()?;
        table.watermark = Some(WatermarkDefinition { column, expression, position });
        return Ok(());
    }
    let is_named = cursor.takes(&["CONSTRAINT"]);
    if is_named {
        cursor.name("the name of the constraint")?;
    }
    if cursor.takes(&["PRIMARY", "KEY"]) {
        let columns = cursor.names("the name of a column")?;
        return primary_key(cursor, table, columns, position);
    }
    if cursor.sees(&["UNIQUE"]) && (is_named || cursor.sees_nth_token(1, &Token::LParen)) {
        return Err(SqlError::unsupported(
            position,
            "UNIQUE is not supported; PRIMARY KEY (…) NOT ENFORCED is",
        ));
    }
    if is_named {
        return Err(cursor.unexpected("PRIMARY KEY"));
    }
    column(cursor, table)
}

fn primary_key(
    cursor: &mut Cursor<'_>,
    table: &mut CreateTable,
    columns: Vec<Name>,
    position: Position,
) -> SqlResult<()> {
    if !table.primary_key.is_empty() {
        return Err(SqlError::syntax(position, "a table has one PRIMARY KEY at most"));
    }
    if !cursor.takes(&["NOT", "ENFORCED"]) {
        let message = "a primary key is a promise that isn't checked: write PRIMARY KEY … NOT ENFORCED";
        return Err(SqlError::syntax(cursor.position(), message));
    }
    table.primary_key = columns;
    Ok(())
}

/// `name AS expression`, `name TYPE`, `name TYPE METADATA …`, each with a comment.
fn column(cursor: &mut Cursor<'_>, table: &mut CreateTable) -> SqlResult<()> {
    let name = cursor.name("the name of a column, WATERMARK FOR or PRIMARY KEY")?;
    let kind = if cursor.takes(&["AS"]) {
        ColumnKind::Computed(Box::new(cursor.expression()?))
    } else {
        let data_type = cursor.data_type()?;
        if cursor.takes(&["METADATA"]) {
            let key = if cursor.takes(&["FROM"]) {
                Some(cursor.string("the metadata's key in quotes")?)
            } else {
                None
            };
            ColumnKind::Metadata { data_type, key, is_virtual: cursor.takes(&["VIRTUAL"]) }
        } else {
            ColumnKind::Physical(data_type)
        }
    };
    let position = cursor.position();
    let is_named = cursor.takes(&["CONSTRAINT"]);
    if is_named {
        cursor.name("the name of the constraint")?;
    }
    if is_named && !cursor.sees(&["PRIMARY", "KEY"]) {
        return Err(cursor.unexpected("PRIMARY KEY"));
    }
    if cursor.takes(&["PRIMARY", "KEY"]) {
        primary_key(cursor, table, vec![name.clone()], position)?;
    }
    let comment = comment(cursor)?;
    table.columns.push(ColumnDefinition { name, kind, comment });
    Ok(())
}
