//! ALTER and DROP.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::create::{option, table_element};
use super::cursor::Cursor;
use super::window::Placeholders;
use crate::error::{SqlError, SqlResult};
use crate::statement::{
    AlterTable, AlterView, Alteration, Drop, DropTarget, Name, Position, Statement, TableElement,
    ViewAlteration,
};

/// An ALTER statement.
pub(super) fn alter(cursor: &mut Cursor<'_>, placeholders: &mut Placeholders) -> SqlResult<Statement> {
    let position = cursor.position();
    cursor.expect(&["ALTER"])?;
    let is_view = cursor.takes(&["VIEW"]);
    if !is_view && !cursor.takes(&["TABLE"]) {
        if ["DATABASE", "CATALOG", "FUNCTION", "TEMPORARY", "MATERIALIZED", "MODEL"]
            .iter()
            .any(|what| cursor.sees(&[what]))
        {
            let message =
                "of ALTER statements there are ALTER TABLE and ALTER VIEW; drop it and create it again";
            return Err(SqlError::unsupported(cursor.position(), message));
        }
        return Err(cursor.unexpected("TABLE or VIEW"));
    }
    let if_exists = cursor.takes(&["IF", "EXISTS"]);
    let name = cursor.table_name("the name of a table or view")?;
    if is_view {
        let alteration = if cursor.takes(&["RENAME", "TO"]) {
            ViewAlteration::Rename(cursor.table_name("the view's new name")?)
        } else if cursor.takes(&["AS"]) {
            ViewAlteration::As(Box::new(cursor.query(placeholders)?))
        } else {
            return Err(cursor.unexpected("RENAME TO or AS"));
        };
        return Ok(Statement::AlterView(Box::new(AlterView { name, if_exists, alteration, position })));
    }
    let alteration = alteration(cursor)?;
    Ok(Statement::AlterTable(Box::new(AlterTable { name, if_exists, alteration, position })))
}

fn alteration(cursor: &mut Cursor<'_>) -> SqlResult<Alteration> {
    let position = cursor.position();
    if cursor.takes(&["RENAME", "TO"]) {
        return Ok(Alteration::Rename(cursor.table_name("the table's new name")?));
    }
    if cursor.takes(&["RENAME"]) {
        let from = cursor.name("TO or the name of a column")?;
        cursor.expect(&["TO"])?;
        return Ok(Alteration::RenameColumn(from, cursor.name("the column's new name")?));
    }
    if cursor.takes(&["SET"]) {
        return Ok(Alteration::Set(cursor.list(option)?));
    }
    if cursor.takes(&["RESET"]) {
        let keys = cursor.list(|cursor| {
            let position = cursor.position();
            Ok((cursor.string("an option's key in quotes")?, position))
        })?;
        return Ok(Alteration::Reset(keys));
    }
    if cursor.takes(&["ADD"]) {
        return Ok(Alteration::Add(elements(cursor)?));
    }
    if cursor.takes(&["MODIFY"]) {
        return Ok(Alteration::Modify(elements(cursor)?));
    }
    if cursor.takes(&["DROP"]) {
        return drop_part(cursor, position);
    }
    Err(cursor.unexpected("RENAME, SET, RESET, ADD, MODIFY or DROP"))
}

/// One column, key or watermark, or several in brackets.
fn elements(cursor: &mut Cursor<'_>) -> SqlResult<Vec<TableElement>> {
    if cursor.sees(&["PARTITION"]) || cursor.sees(&["DISTRIBUTION"]) {
        let message = "partitions come with their rows, and tables aren't distributed";
        return Err(SqlError::unsupported(cursor.position(), message));
    }
    if cursor.sees_token(&Token::LParen) {
        return Ok(cursor.list(table_element)?.into_iter().flatten().collect());
    }
    table_element(cursor)
}

fn drop_part(cursor: &mut Cursor<'_>, position: Position) -> SqlResult<Alteration> {
    if cursor.takes(&["PRIMARY", "KEY"]) {
        return Ok(Alteration::DropKey(position));
    }
    if cursor.takes(&["CONSTRAINT"]) {
        // The only one that a table can have.
        cursor.name("the name of the constraint")?;
        return Ok(Alteration::DropKey(position));
    }
    if cursor.takes(&["WATERMARK"]) {
        return Ok(Alteration::DropWatermark(position));
    }
    let columns: Vec<Name> = if cursor.sees_token(&Token::LParen) {
        cursor.names("the name of a column")?
    } else {
        vec![cursor.name("the name of a column")?]
    };
    Ok(Alteration::DropColumns(columns))
}

/// `DROP [TEMPORARY] TABLE|VIEW|FUNCTION|DATABASE|CATALOG [IF EXISTS] name`.
pub(super) fn drop_statement(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let position = cursor.position();
    cursor.expect(&["DROP"])?;
    let temporary = cursor.takes(&["TEMPORARY"]);
    let target = if cursor.takes(&["TABLE"]) {
        DropTarget::Table
    } else if cursor.takes(&["VIEW"]) {
        DropTarget::View
    } else if cursor.takes(&["FUNCTION"]) {
        DropTarget::Function { system: false }
    } else if temporary && cursor.takes(&["SYSTEM", "FUNCTION"]) {
        DropTarget::Function { system: true }
    } else if !temporary && cursor.takes(&["DATABASE"]) {
        DropTarget::Database
    } else if !temporary && cursor.takes(&["CATALOG"]) {
        DropTarget::Catalog
    } else {
        return Err(cursor.unexpected("TABLE, VIEW, FUNCTION, DATABASE or CATALOG"));
    };
    let if_exists = cursor.takes(&["IF", "EXISTS"]);
    let name = cursor.table_name("the name of what is dropped")?;
    let cascade = target == DropTarget::Database && cursor.takes(&["CASCADE"]);
    if target == DropTarget::Database && !cascade {
        let _ = cursor.takes(&["RESTRICT"]);
    }
    Ok(Statement::Drop(Drop { target, temporary, name, if_exists, cascade, position }))
}
