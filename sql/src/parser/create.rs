//! CREATE: tables, views, functions, databases, catalogs.

use datafusion::sql::sqlparser::tokenizer::Token;
use weir_api::connector::nearest;

use super::cursor::Cursor;
use super::window::Placeholders;
use crate::error::{SqlError, SqlResult};
use crate::statement::{
    AsQuery, ColumnDefinition, ColumnKind, ColumnPlace, CreateFunction, CreateNamespace, CreateTable,
    CreateView, Feature, Like, Merging, Name, Parameter, Position, Statement, TableElement, TableOption,
    WatermarkDefinition,
};

/// Flink's CREATE statements that aren't read, and what there is instead.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("CONNECTION", "give the connector its options in WITH (…)"),
    ("MATERIALIZED", "use CREATE TABLE and INSERT INTO"),
    ("MODEL", "there are no models"),
    (
        "OR",
        "CREATE OR REPLACE/ALTER would replace what a catalog keeps, and a text's tables end with it; drop the table first",
    ),
];

/// A CREATE statement.
pub(super) fn statement(cursor: &mut Cursor<'_>, placeholders: &mut Placeholders) -> SqlResult<Statement> {
    let position = cursor.position();
    cursor.expect(&["CREATE"])?;
    let temporary = cursor.takes(&["TEMPORARY"]);
    if cursor.takes(&["TABLE"]) {
        return create_table(cursor, temporary, position, placeholders);
    }
    if cursor.takes(&["VIEW"]) {
        return Ok(Statement::CreateView(Box::new(create_view(cursor, temporary, position, placeholders)?)));
    }
    let system = temporary && cursor.takes(&["SYSTEM"]);
    if cursor.takes(&["FUNCTION"]) {
        let function = create_function(cursor, temporary, system, position)?;
        return Ok(Statement::CreateFunction(Box::new(function)));
    }
    if !temporary && cursor.takes(&["CATALOG"]) {
        return Ok(Statement::CreateNamespace(Box::new(create_namespace(cursor, true)?)));
    }
    if !temporary && cursor.takes(&["DATABASE"]) {
        return Ok(Statement::CreateNamespace(Box::new(create_namespace(cursor, false)?)));
    }
    let what = "TABLE, VIEW, FUNCTION, DATABASE or CATALOG";
    let Some(word) = cursor.word() else { return Err(cursor.unexpected(what)) };
    let upper = word.to_ascii_uppercase();
    if let Some((what, instead)) = UNSUPPORTED.iter().find(|(what, _)| *what == upper) {
        return Err(SqlError::unsupported(
            cursor.position(),
            format!("CREATE {what} is not supported; {instead}"),
        ));
    }
    let known = ["TABLE", "VIEW", "TEMPORARY", "FUNCTION", "DATABASE", "CATALOG"];
    let hint =
        nearest(word, known.into_iter()).map_or_else(String::new, |near| format!("; did you mean {near}?"));
    Err(SqlError::syntax(cursor.position(), format!("expected {what}, found {word}{hint}")))
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

/// `[IF NOT EXISTS] [catalog.]name [COMMENT '…'] [WITH (…)]`.
fn create_namespace(cursor: &mut Cursor<'_>, is_catalog: bool) -> SqlResult<CreateNamespace> {
    let if_not_exists = cursor.takes(&["IF", "NOT", "EXISTS"]);
    let (what, parts) = if is_catalog { ("catalog", 1) } else { ("database", 2) };
    let name = cursor.table_name(&format!("the name of the {what}"))?;
    if name.parts.len() > parts {
        let message =
            format!("the name of a {what} has at most {parts} part{}", if parts > 1 { "s" } else { "" });
        return Err(SqlError::syntax(name.position, message));
    }
    let comment = comment(cursor)?;
    let options = if cursor.takes(&["WITH"]) { cursor.list(option)? } else { Vec::new() };
    Ok(CreateNamespace { is_catalog, name, if_not_exists, comment, options })
}

/// `[IF NOT EXISTS] name ([parameter type, …]) RETURNS type [LANGUAGE SQL] RETURN expression`.
fn create_function(
    cursor: &mut Cursor<'_>,
    temporary: bool,
    system: bool,
    position: Position,
) -> SqlResult<CreateFunction> {
    const FORM: &str =
        "a function is an expression here: CREATE FUNCTION f(x BIGINT) RETURNS BIGINT RETURN x + 1";
    let if_not_exists = cursor.takes(&["IF", "NOT", "EXISTS"]);
    let name = cursor.table_name("the name of the function")?;
    if cursor.sees(&["AS"]) || cursor.sees(&["LANGUAGE"]) || cursor.sees(&["USING"]) {
        let message = format!("functions of classes, jars and scripts can't be loaded; {FORM}");
        return Err(SqlError::unsupported(cursor.position(), message));
    }
    let mut parameters = Vec::new();
    if cursor.sees_token(&Token::LParen) && cursor.sees_nth_token(1, &Token::RParen) {
        cursor.expect_token(&Token::LParen)?;
        cursor.expect_token(&Token::RParen)?;
    } else {
        parameters = cursor.list(|cursor| {
            let name = cursor.name("the name of a parameter")?;
            Ok(Parameter { name, data_type: cursor.data_type()? })
        })?;
    }
    cursor.expect(&["RETURNS"])?;
    let returns = cursor.data_type()?;
    if cursor.takes(&["LANGUAGE"]) && !cursor.takes(&["SQL"]) {
        let message = format!("the language {} is not supported, SQL is; {FORM}", cursor.found());
        return Err(SqlError::unsupported(cursor.position(), message));
    }
    let _ = cursor.takes(&["DETERMINISTIC"]) || cursor.takes(&["NOT", "DETERMINISTIC"]);
    if cursor.sees(&["AS"]) {
        let message =
            format!("functions of classes can't be loaded, and an expression stands behind RETURN; {FORM}");
        return Err(SqlError::unsupported(cursor.position(), message));
    }
    cursor.expect(&["RETURN"])?;
    let body = cursor.expression()?;
    Ok(CreateFunction { name, temporary, system, if_not_exists, parameters, returns, body, position })
}

/// `[IF NOT EXISTS] name [(…)] [COMMENT '…'] [PARTITIONED BY (…)] [WITH (…)] [LIKE … | AS query]`.
fn create_table(
    cursor: &mut Cursor<'_>,
    temporary: bool,
    position: Position,
    placeholders: &mut Placeholders,
) -> SqlResult<Statement> {
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
    let lists_names = cursor.sees_token(&Token::LParen)
        && (cursor.sees_nth_token(2, &Token::Comma) || cursor.sees_nth_token(2, &Token::RParen));
    let mut order = Vec::new();
    if lists_names {
        order = cursor.names("the name of a column")?;
    } else if cursor.sees_token(&Token::LParen) {
        cursor.list(|cursor| {
            let element = table_element(cursor)?;
            add_element(&mut table, element)
        })?;
    }
    table.comment = comment(cursor)?;
    if cursor.sees(&["DISTRIBUTED"]) {
        return Err(SqlError::unsupported(cursor.position(), "DISTRIBUTED BY is not supported"));
    }
    if cursor.takes(&["PARTITIONED", "BY"]) {
        table.partitioned_by = cursor.names("the name of a column")?;
    }
    if cursor.takes(&["WITH"]) {
        table.options = cursor.list(option)?;
    }
    if cursor.takes(&["AS"]) {
        let query = cursor.query(placeholders)?;
        return Ok(Statement::CreateTableAs(Box::new(table), Box::new(AsQuery { order, query })));
    }
    if let Some(first) = order.first() {
        let message =
            format!("the column '{first}' has no type; only CREATE TABLE … AS SELECT lists names alone");
        return Err(SqlError::syntax(first.position, message));
    }
    if cursor.takes(&["LIKE"]) {
        let like = like(cursor)?;
        return Ok(Statement::CreateTableLike(Box::new(table), Box::new(like)));
    }
    Ok(Statement::CreateTable(Box::new(table)))
}

/// `table [(INCLUDING ALL EXCLUDING OPTIONS …)]`.
fn like(cursor: &mut Cursor<'_>) -> SqlResult<Like> {
    const FEATURES: [(&str, Feature); 8] = [
        ("ALL", Feature::All),
        ("CONSTRAINTS", Feature::Constraints),
        ("DISTRIBUTION", Feature::Distribution),
        ("GENERATED", Feature::Generated),
        ("METADATA", Feature::Metadata),
        ("OPTIONS", Feature::Options),
        ("PARTITIONS", Feature::Partitions),
        ("WATERMARKS", Feature::Watermarks),
    ];
    const MERGINGS: [(&str, Merging); 3] = [
        ("INCLUDING", Merging::Including),
        ("EXCLUDING", Merging::Excluding),
        ("OVERWRITING", Merging::Overwriting),
    ];
    let source = cursor.table_name("the name of a table")?;
    let mut rules: Vec<(Feature, Merging)> = Vec::new();
    if !cursor.takes_token(&Token::LParen) {
        return Ok(Like { source, rules });
    }
    while !cursor.takes_token(&Token::RParen) {
        let position = cursor.position();
        let Some((_, merging)) = MERGINGS.into_iter().find(|(word, _)| cursor.takes(&[word])) else {
            return Err(cursor.unexpected("INCLUDING, EXCLUDING or OVERWRITING"));
        };
        let Some((word, feature)) = FEATURES.into_iter().find(|(word, _)| cursor.takes(&[word])) else {
            return Err(cursor.unexpected(&format!("one of {}", FEATURES.map(|(word, _)| word).join(", "))));
        };
        let is_whole = matches!(
            feature,
            Feature::All | Feature::Constraints | Feature::Distribution | Feature::Partitions
        );
        if is_whole && merging == Merging::Overwriting {
            let message = format!("{word} can be INCLUDING or EXCLUDING, but not OVERWRITING");
            return Err(SqlError::syntax(position, message));
        }
        if rules.iter().any(|(known, _)| *known == feature) {
            return Err(SqlError::syntax(position, format!("what becomes of {word} is said twice")));
        }
        rules.push((feature, merging));
        let _ = cursor.takes_token(&Token::Comma);
    }
    Ok(Like { source, rules })
}

pub(super) fn comment(cursor: &mut Cursor<'_>) -> SqlResult<Option<String>> {
    if cursor.takes(&["COMMENT"]) { Ok(Some(cursor.string("a comment in quotes")?)) } else { Ok(None) }
}

/// `'key' = 'value'`.
pub(super) fn option(cursor: &mut Cursor<'_>) -> SqlResult<TableOption> {
    let position = cursor.position();
    let key = cursor.string("an option's key in quotes, as in 'connector' = 'filesystem'")?;
    cursor.expect_token(&Token::Eq)?;
    let value = cursor.string("the option's value in quotes")?;
    Ok(TableOption { key, value, position })
}

/// A column, the watermark or a constraint.
pub(super) fn table_element(cursor: &mut Cursor<'_>) -> SqlResult<Elements> {
    let position = cursor.position();
    if cursor.takes(&["WATERMARK", "FOR"]) {
        let column = cursor.name("the name of a column")?;
        if cursor.sees_token(&Token::Period) {
            let message =
                "a watermark on a field of a ROW is not supported; declare a computed column of it first";
            return Err(SqlError::unsupported(cursor.position(), message));
        }
        cursor.expect(&["AS"])?;
        let expression = cursor.expression()?;
        return Ok(vec![TableElement::Watermark(WatermarkDefinition { column, expression, position })]);
    }
    let is_named = cursor.takes(&["CONSTRAINT"]);
    if is_named {
        cursor.name("the name of the constraint")?;
    }
    if cursor.takes(&["PRIMARY", "KEY"]) {
        let columns = cursor.names("the name of a column")?;
        return Ok(vec![primary_key(cursor, columns, position)?]);
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
    column(cursor)
}

/// What one item of a table's list says: a column may be its own key.
pub(super) type Elements = Vec<TableElement>;

/// Puts an item of its list into a CREATE TABLE.
fn add_element(table: &mut CreateTable, elements: Elements) -> SqlResult<()> {
    for element in elements {
        match element {
            TableElement::Column(column, None) => table.columns.push(column),
            TableElement::Column(column, Some(_)) => {
                let message = "FIRST and AFTER belong into ALTER TABLE; here columns stand in their order";
                return Err(SqlError::syntax(column.name.position, message));
            }
            TableElement::Key(_, position) if !table.primary_key.is_empty() => {
                return Err(SqlError::syntax(position, "a table has one PRIMARY KEY at most"));
            }
            TableElement::Key(columns, _) => table.primary_key = columns,
            TableElement::Watermark(watermark) if table.watermark.is_some() => {
                return Err(SqlError::syntax(watermark.position, "a table has one WATERMARK at most"));
            }
            TableElement::Watermark(watermark) => table.watermark = Some(watermark),
        }
    }
    Ok(())
}

fn primary_key(cursor: &mut Cursor<'_>, columns: Vec<Name>, position: Position) -> SqlResult<TableElement> {
    if !cursor.takes(&["NOT", "ENFORCED"]) {
        let message = "a primary key is a promise that isn't checked: write PRIMARY KEY … NOT ENFORCED";
        return Err(SqlError::syntax(cursor.position(), message));
    }
    Ok(TableElement::Key(columns, position))
}

/// `name AS expression`, `name TYPE`, `name TYPE METADATA …`, each with a comment.
fn column(cursor: &mut Cursor<'_>) -> SqlResult<Elements> {
    let name = cursor.name("the name of a column, WATERMARK FOR or PRIMARY KEY")?;
    let kind = if cursor.takes(&["AS"]) {
        ColumnKind::Computed(cursor.expression()?)
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
    let key = if cursor.takes(&["PRIMARY", "KEY"]) {
        Some(primary_key(cursor, vec![name.clone()], position)?)
    } else {
        None
    };
    let comment = comment(cursor)?;
    let place = if cursor.takes(&["FIRST"]) {
        Some(ColumnPlace::First)
    } else if cursor.takes(&["AFTER"]) {
        Some(ColumnPlace::After(cursor.name("the name of a column")?))
    } else {
        None
    };
    let column = TableElement::Column(ColumnDefinition { name, kind, comment }, place);
    Ok(std::iter::once(column).chain(key).collect())
}
