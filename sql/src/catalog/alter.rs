//! `ALTER TABLE` on a table's definition.
//!
//! Knows no connectors: what comes out is checked like a statement that its author had written out.

use weir_api::connector::nearest;
use weir_api::error::Code;

use crate::error::{SqlError, SqlResult};
use crate::statement::{
    Alteration, ColumnDefinition, ColumnKind, ColumnPlace, CreateTable, Name, Position, TableElement,
};

/// Changes a definition; renaming the table is the session's.
pub(super) fn apply(table: &mut CreateTable, alteration: &Alteration, position: Position) -> SqlResult<()> {
    match alteration {
        Alteration::Rename(_) => Ok(()),
        Alteration::RenameColumn(from, to) => rename_column(table, from, to),
        Alteration::Set(options) => {
            for option in options {
                match table.options.iter_mut().find(|known| known.key == option.key) {
                    Some(known) => *known = option.clone(),
                    None => table.options.push(option.clone()),
                }
            }
            Ok(())
        }
        Alteration::Reset(keys) => {
            for (key, position) in keys {
                if key == "connector" {
                    let message = "ALTER TABLE RESET can't take the option 'connector' away; SET another";
                    return Err(SqlError::at(Code::TableOptions, *position, message));
                }
                table.options.retain(|option| option.key != *key);
            }
            Ok(())
        }
        Alteration::Add(elements) => elements.iter().try_for_each(|element| add(table, element)),
        Alteration::Modify(elements) => elements.iter().try_for_each(|element| modify(table, element)),
        Alteration::DropColumns(names) => names.iter().try_for_each(|name| drop_column(table, name)),
        Alteration::DropKey(_) if table.primary_key.is_empty() => {
            Err(missing(position, "the table has no primary key"))
        }
        Alteration::DropKey(_) => {
            table.primary_key.clear();
            Ok(())
        }
        Alteration::DropWatermark(_) if table.watermark.is_none() => {
            Err(missing(position, "the table has no watermark"))
        }
        Alteration::DropWatermark(_) => {
            table.watermark = None;
            Ok(())
        }
    }
}

fn missing(position: Position, message: impl Into<String>) -> SqlError {
    SqlError::at(Code::InvalidArgument, position, message)
}

fn place_of(table: &CreateTable, name: &Name) -> SqlResult<usize> {
    table.columns.iter().position(|column| column.name.value == name.value).ok_or_else(|| {
        let hint = nearest(&name.value, table.columns.iter().map(|column| column.name.value.as_str()))
            .map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
        let message = format!("the table {} has no column '{name}'{hint}", table.name);
        SqlError::at(Code::SqlUnknownName, name.position, message)
    })
}

fn add(table: &mut CreateTable, element: &TableElement) -> SqlResult<()> {
    match element {
        TableElement::Column(column, place) => {
            if table.columns.iter().any(|known| known.name.value == column.name.value) {
                let message = format!("the table {} has a column '{}' already", table.name, column.name);
                return Err(missing(column.name.position, message));
            }
            put(table, column.clone(), place.as_ref(), None)
        }
        TableElement::Key(_, position) if !table.primary_key.is_empty() => {
            Err(missing(*position, "the table has a primary key already: MODIFY it"))
        }
        TableElement::Key(columns, _) => {
            table.primary_key.clone_from(columns);
            Ok(())
        }
        TableElement::Watermark(watermark) if table.watermark.is_some() => {
            Err(missing(watermark.position, "the table has a watermark already: MODIFY it"))
        }
        TableElement::Watermark(watermark) => {
            table.watermark = Some(watermark.clone());
            Ok(())
        }
    }
}

fn modify(table: &mut CreateTable, element: &TableElement) -> SqlResult<()> {
    match element {
        TableElement::Column(column, place) => {
            let index = place_of(table, &column.name)?;
            let old = table.columns.remove(index);
            let comment = column.comment.clone().or(old.comment);
            put(table, ColumnDefinition { comment, ..column.clone() }, place.as_ref(), Some(index))
        }
        TableElement::Key(_, position) if table.primary_key.is_empty() => {
            Err(missing(*position, "the table has no primary key to modify: ADD one"))
        }
        TableElement::Key(columns, _) => {
            table.primary_key.clone_from(columns);
            Ok(())
        }
        TableElement::Watermark(watermark) if table.watermark.is_none() => {
            Err(missing(watermark.position, "the table has no watermark to modify: ADD one"))
        }
        TableElement::Watermark(watermark) => {
            table.watermark = Some(watermark.clone());
            Ok(())
        }
    }
}

/// Puts a column where the statement says, else where it was, else behind the others.
fn put(
    table: &mut CreateTable,
    column: ColumnDefinition,
    place: Option<&ColumnPlace>,
    before: Option<usize>,
) -> SqlResult<()> {
    let index = match place {
        Some(ColumnPlace::First) => 0,
        Some(ColumnPlace::After(name)) => place_of(table, name)? + 1,
        None => before.unwrap_or(table.columns.len()),
    };
    table.columns.insert(index.min(table.columns.len()), column);
    Ok(())
}

/// Whether an expression's text names a column; strings and longer names don't count.
fn names(text: &str, column: &str) -> bool {
    let quoted = crate::parser::quoted(column);
    let outside = text.split('\'').step_by(2);
    let is_part = |character: char| character.is_alphanumeric() || matches!(character, '_' | '$' | '`');
    outside.into_iter().any(|piece| {
        piece.contains(&quoted) || piece.split(|character| !is_part(character)).any(|word| word == column)
    })
}

/// What hangs on a column, for messages.
fn dependent(table: &CreateTable, name: &Name) -> Option<String> {
    if table.primary_key.iter().any(|key| key.value == name.value) {
        return Some("the primary key".to_owned());
    }
    if table.partitioned_by.iter().any(|key| key.value == name.value) {
        return Some("PARTITIONED BY".to_owned());
    }
    let uses_it = |watermark: &crate::statement::WatermarkDefinition| {
        watermark.column.value == name.value || names(&watermark.expression.text, &name.value)
    };
    if table.watermark.as_ref().is_some_and(uses_it) {
        return Some("the watermark".to_owned());
    }
    table.columns.iter().find_map(|column| match &column.kind {
        ColumnKind::Computed(expression) if names(&expression.text, &name.value) => {
            Some(format!("the computed column '{}'", column.name))
        }
        _ => None,
    })
}

fn drop_column(table: &mut CreateTable, name: &Name) -> SqlResult<()> {
    let index = place_of(table, name)?;
    if let Some(what) = dependent(table, name) {
        return Err(missing(name.position, format!("the column '{name}' can't be dropped: {what} needs it")));
    }
    table.columns.remove(index);
    Ok(())
}

fn rename_column(table: &mut CreateTable, from: &Name, to: &Name) -> SqlResult<()> {
    let index = place_of(table, from)?;
    if table.columns.iter().any(|column| column.name.value == to.value) {
        return Err(missing(to.position, format!("the table {} has a column '{to}' already", table.name)));
    }
    let by_expression = table.columns.iter().any(|column| {
        matches!(&column.kind, ColumnKind::Computed(expression) if names(&expression.text, &from.value))
    }) || table.watermark.as_ref().is_some_and(|watermark| names(&watermark.expression.text, &from.value));
    if by_expression {
        let message = format!(
            "the column '{from}' can't be renamed: a computed column or the watermark is an expression over it; MODIFY or DROP that first"
        );
        return Err(missing(from.position, message));
    }
    if let Some(column) = table.columns.get_mut(index) {
        // Metadata keeps its key.
        if let ColumnKind::Metadata { key, .. } = &mut column.kind {
            key.get_or_insert_with(|| from.value.clone());
        }
        column.name = to.clone();
    }
    for key in table.primary_key.iter_mut().chain(&mut table.partitioned_by) {
        if key.value == from.value {
            key.value.clone_from(&to.value);
        }
    }
    if let Some(watermark) = &mut table.watermark
        && watermark.column.value == from.value
    {
        watermark.column.value.clone_from(&to.value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_name_columns() {
        assert!(names("a + b", "a") && names("`a` + 1", "a") && names("f(a)", "a") && names("r.a", "a"));
        assert!(!names("ab + 1", "a") && !names("'a' || b", "a") && !names("`a b`", "a b c"));
        assert!(names("`a b`", "a b"));
    }
}
