//! A table or view as the statement that makes it again: SHOW CREATE.
//!
//! Invariant: what is written here parses, and declares the same.

use crate::catalog::{DeclaredTable, View};
use crate::parser::{literal_text, quoted};
use crate::statement::{ColumnDefinition, ColumnKind, Name};

/// `CREATE TABLE …` of a table.
pub(crate) fn create_table(table: &DeclaredTable) -> String {
    let definition = &table.definition;
    let mut elements: Vec<String> = definition.columns.iter().map(column).collect();
    if let Some(watermark) = &definition.watermark {
        let column = quoted(&watermark.column.value);
        elements.push(format!("WATERMARK FOR {column} AS {}", watermark.expression));
    }
    if !definition.primary_key.is_empty() {
        elements.push(format!("PRIMARY KEY ({}) NOT ENFORCED", names(&definition.primary_key)));
    }
    let mut text = format!("CREATE {}TABLE {}", temporary(definition.temporary), path(&table.path));
    if !elements.is_empty() {
        text.push_str(&format!(" (\n  {}\n)", elements.join(",\n  ")));
    }
    if let Some(comment) = &definition.comment {
        text.push_str(&format!("\nCOMMENT {}", literal_text(comment)));
    }
    if !definition.partitioned_by.is_empty() {
        text.push_str(&format!("\nPARTITIONED BY ({})", names(&definition.partitioned_by)));
    }
    let options: Vec<String> = definition
        .options
        .iter()
        .map(|option| {
            format!("  {} = {}", literal_text(&option.key), literal_text(shown(&option.key, &option.value)))
        })
        .collect();
    text.push_str(&format!("\nWITH (\n{}\n)", options.join(",\n")));
    text
}

/// `CREATE VIEW …` of a view.
pub(crate) fn create_view(view: &View) -> String {
    let mut text = format!("CREATE {}VIEW {}", temporary(view.temporary), path(&view.path));
    if !view.columns.is_empty() {
        text.push_str(&format!(" ({})", names(&view.columns)));
    }
    if let Some(comment) = &view.comment {
        text.push_str(&format!("\nCOMMENT {}", literal_text(comment)));
    }
    text.push_str(&format!("\nAS {}", view.query.text));
    text
}

/// An option's value; a secret isn't shown.
pub(crate) fn shown<'a>(key: &str, value: &'a str) -> &'a str {
    let key = key.to_ascii_lowercase();
    let is_secret = ["password", "secret", "token", "credential", "apikey", "api-key", "jaas"]
        .iter()
        .any(|word| key.contains(word));
    if is_secret { "******" } else { value }
}

const fn temporary(is_temporary: bool) -> &'static str {
    if is_temporary { "TEMPORARY " } else { "" }
}

fn path(path: &crate::catalog::ObjectPath) -> String {
    format!("{}.{}.{}", quoted(&path.catalog), quoted(&path.database), quoted(&path.object))
}

fn names(names: &[Name]) -> String {
    names.iter().map(|name| quoted(&name.value)).collect::<Vec<_>>().join(", ")
}

fn column(column: &ColumnDefinition) -> String {
    let mut text = quoted(&column.name.value);
    match &column.kind {
        ColumnKind::Physical(data_type) => text.push_str(&format!(" {data_type}")),
        ColumnKind::Computed(expression) => text.push_str(&format!(" AS {expression}")),
        ColumnKind::Metadata { data_type, key, is_virtual } => {
            text.push_str(&format!(" {data_type} METADATA"));
            if let Some(key) = key {
                text.push_str(&format!(" FROM {}", literal_text(key)));
            }
            if *is_virtual {
                text.push_str(" VIRTUAL");
            }
        }
    }
    if let Some(comment) = &column.comment {
        text.push_str(&format!(" COMMENT {}", literal_text(comment)));
    }
    text
}
