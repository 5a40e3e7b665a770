//! The reference page of all connectors and their options, made from their own descriptions.

use weir_api::config::Configuration;
use weir_api::connector::{OptionDescription, PLANNER_OPTIONS};

use crate::registry;

/// The page `docs/connectors.md`, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Connectors\n\nMade from the code: every connector with its options, which go into `WITH ('connector' = '…', …)`. An unknown option \
         is an error that names the nearest one. In a key, `#` stands for a column's name.\n\nFiles are read by the TaskManagers, listed and \
         renamed by the JobManager: all of them must see them under the same path. A folder is read file by file in the order of the \
         paths; Parquet files are split by row groups, JSON files by ranges of whole lines of about 64 MiB. What a sink writes appears \
         when the job has finished; until then it stands in a hidden folder of the job's attempt, which a restart or a cancel \
         removes.\n",
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
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/connectors.md");
        if std::env::var_os("WEIR_ACCEPT").is_some() {
            std::fs::write(path, reference()).expect("docs are writable");
        }
        let page = std::fs::read_to_string(path).expect("docs/connectors.md is there");
        assert_eq!(page, reference(), "run the test with WEIR_ACCEPT=1 to renew docs/connectors.md");
    }
}
