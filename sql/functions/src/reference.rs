//! The reference page of all functions, made from their own descriptions.

use crate::aggregates::{ABSENT, AGGREGATES, ROWS};
use crate::describe;

/// The page `docs/functions.md`, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Functions\n\nMade from the code: every scalar function with its forms, meaning and an example, then the aggregate functions, and what isn't here. Names are read in any case. Unless it says \
         otherwise, a function of NULL is NULL. The examples are run by the tests.\n\n| function | forms | meaning | example |\n| --- | --- | --- | --- |\n",
    );
    for function in describe() {
        let aliases = match function.aliases.len() {
            0 => String::new(),
            _ => format!(
                " (also {})",
                function.aliases.iter().map(|alias| format!("`{alias}`")).collect::<Vec<_>>().join(", ")
            ),
        };
        page.push_str(&format!(
            "| `{}`{aliases} | `{}` | {} | {} |\n",
            function.name,
            cell(function.signature),
            cell(function.description),
            function.example.map_or_else(String::new, |example| {
                format!("`{}` → `{}`", cell(example.expression), cell(&example.result.replace('\t', "\\t")))
            })
        ));
    }
    page.push_str(
        "\n# Aggregate functions\n\nOver the rows of a window, or of an input that ends; each takes `FILTER (WHERE condition)`. \
         Functions that keep all values of a group hold at most 1 GiB of them in a window. The examples are over the rows\n`",
    );
    page.push_str(&ROWS.replace('\n', " "));
    page.push_str("`.\n\n| function | forms | meaning | example |\n| --- | --- | --- | --- |\n");
    for function in AGGREGATES {
        page.push_str(&format!(
            "| `{}` | `{}` | {} | `{}` → `{}` |\n",
            function.name,
            cell(function.signature),
            cell(function.description),
            cell(function.expression),
            cell(function.result)
        ));
    }
    page.push_str("\n# Functions of Flink that aren't here\n\n| function | why |\n| --- | --- |\n");
    for (name, reason) in ABSENT {
        page.push_str(&format!("| {} | {} |\n", cell(name), cell(reason)));
    }
    page
}

/// Text that can stand in a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_matches_the_code() {
        let path = "../../docs/functions.md";
        if std::env::var_os("WEIR_ACCEPT").is_some() {
            std::fs::write(path, reference()).expect("docs are writable");
        }
        let page = std::fs::read_to_string(path).expect("docs/functions.md is there");
        assert_eq!(page, reference(), "run the test with WEIR_ACCEPT=1 to renew docs/functions.md");
    }
}
