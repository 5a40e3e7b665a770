//! The reference page of all connectors and their options, made from their own descriptions.

use weir_api::config::Configuration;
use weir_api::connector::{OptionDescription, PLANNER_OPTIONS};

use crate::registry;

/// The page `docs/connectors.md`, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Connectors\n\nMade from the code: every connector with its options, which go into `WITH ('connector' = '…', …)`. An unknown option \
         is an error that names the nearest one. In a key, `#` stands for a column's name.\n\nFormats, splits and order, object stores, partitions and what \
         becomes of malformed records: [files.md](files.md).\n",
    );
    for connector in registry(&Configuration::default()).iter() {
        page.push_str(&format!("\n## `{}`\n\n", connector.identifier()));
        table(&mut page, connector.options());
    }
    page.push_str("\n## Options of every table\n\n");
    table(&mut page, PLANNER_OPTIONS);
    page
}

fn table(page: &mut String, options: &[OptionDescription]) {
    page.push_str("| option | default | meaning |\n| --- | --- | --- |\n");
    for option in options {
        let default = match (option.required, option.default) {
            (true, _) => "required".to_owned(),
            (false, Some(default)) => format!("`{default}`"),
            (false, None) => String::new(),
        };
        page.push_str(&format!(
            "| `{}` | {default} | {} |\n",
            option.key,
            option.description.replace('|', "\\|")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_matches_the_code() {
        let path = "../docs/connectors.md";
        if std::env::var_os("WEIR_ACCEPT").is_some() {
            std::fs::write(path, reference()).expect("docs are writable");
        }
        let page = std::fs::read_to_string(path).expect("docs/connectors.md is there");
        assert_eq!(page, reference(), "run the test with WEIR_ACCEPT=1 to renew docs/connectors.md");
    }
}
