//! What SHOW, DESCRIBE and EXPLAIN answer, for people: as Flink's SQL client prints it.
//!
//! Invariant: any answer is printed, whatever is in it: a cell is one line in a table, control characters are shown as blanks.

use serde_json::Value;

use crate::output;

/// The column of an answer that is one text, which is printed as it is.
const TEXT: &str = "result";

/// An answer as a table with borders and the number of its rows, or as the text that it is.
pub fn text(result: &Value) -> String {
    let columns: Vec<&str> =
        result["columns"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let rows = result["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    if columns == [TEXT]
        && let [row] = rows
        && let Some(text) = row[0].as_str()
    {
        return format!("{text}\n");
    }
    if rows.is_empty() {
        return "Empty set\n".to_owned();
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN).set_header(columns.clone());
    for row in rows {
        table.add_row(row.as_array().into_iter().flatten().map(cell));
    }
    let count = if rows.len() == 1 { "1 row".to_owned() } else { format!("{} rows", rows.len()) };
    format!("{table}\n{count} in set\n")
}

/// A cell; one without a value is empty.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        value => output::cell(value).chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_tables_or_texts() {
        let tables = json!({ "columns": ["name", "key"], "rows": [["a\nb", null], ["c", "PRI(c)"]] });
        let text = text(&tables);
        assert!(text.contains("| name | key    |") && text.contains("| a b  |        |"), "{text}");
        assert!(text.ends_with("2 rows in set\n"), "{text}");
        let plan = json!({ "columns": ["result"], "rows": [["CREATE\nTABLE"]] });
        assert_eq!(super::text(&plan), "CREATE\nTABLE\n");
        assert_eq!(super::text(&json!({ "columns": ["x"], "rows": [] })), "Empty set\n");
    }
}
