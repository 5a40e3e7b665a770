//! The reference page of all functions, made from their own descriptions.

use crate::describe;

/// The page `docs/functions.md`, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Functions\n\nMade from the code: every scalar function, its forms and its meaning. Names are read in any case. Unless it says \
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
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/functions.md");
        if std::env::var_os("WEIR_ACCEPT").is_some() {
            std::fs::write(path, reference()).expect("docs are writable");
        }
        let page = std::fs::read_to_string(path).expect("docs/functions.md is there");
        assert_eq!(page, reference(), "run the test with WEIR_ACCEPT=1 to renew docs/functions.md");
    }
}
