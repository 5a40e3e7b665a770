//! A job as YAML: `name`, `parallelism`, `config`, `sql`.
//!
//! Invariant: nothing in the file is ignored: an unknown or repeated key is an error that names line and column.

use std::collections::BTreeMap;

use serde::Deserialize;
use weir_api::error::{Code, Error, Result};

use super::Submission;

/// The largest job file.
const MAX_BYTES: usize = 4 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobFile {
    name: Option<String>,
    parallelism: Option<u32>,
    #[serde(default)]
    config: BTreeMap<String, Scalar>,
    sql: String,
}

/// `true`, `3`, `1.5` and texts are all texts to the configuration.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(value) => value,
        }
    }
}

/// Reads a job file.
pub fn parse(text: &str) -> Result<Submission> {
    if text.len() > MAX_BYTES {
        return Err(Error::new(
            Code::Yaml,
            format!("the job file holds {} bytes, more than {MAX_BYTES}", text.len()),
        ));
    }
    let file: JobFile = serde_yaml::from_str(text).map_err(|error| {
        let message = error.to_string();
        if let Some(message) = repeated(&message, text) {
            return Error::new(Code::Yaml, format!("the job file isn't right: {message}"));
        }
        let place = error.location().map(|at| format!("line {} column {}", at.line(), at.column()));
        let place = place.filter(|_| !message.contains(" at line "));
        let message = place.map_or_else(|| message.clone(), |place| format!("{message} at {place}"));
        Error::new(
            Code::Yaml,
            format!("the job file isn't right: {message} (keys are name, parallelism, config and sql)"),
        )
    })?;
    Ok(Submission {
        sql: file.sql,
        name: file.name,
        parallelism: file.parallelism,
        config: file.config.into_iter().map(|(key, value)| (key, value.into_text())).collect(),
    })
}

/// For a repeated key the parser names the start of the file; the second occurrence is what helps.
fn repeated(message: &str, text: &str) -> Option<String> {
    let key = message.strip_prefix("duplicate field `")?.split('`').next()?;
    let is_key = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':'));
    let (second, _) = text.lines().enumerate().filter(|(_, line)| is_key(line)).nth(1)?;
    Some(format!("the key `{key}` occurs twice, again at line {} column 1", second + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys() {
        let job = parse(
            "name: fraud\nparallelism: 3\nconfig:\n  execution.buffer-timeout.interval: 10 ms\n  \
             pipeline.operator-chaining.enabled: false\n  pipeline.max-parallelism: 64\nsql: |\n  SELECT 1;\n  SELECT 2;\n",
        )
        .expect("valid");
        assert_eq!((job.name.as_deref(), job.parallelism), (Some("fraud"), Some(3)));
        assert_eq!(job.sql, "SELECT 1;\nSELECT 2;\n");
        assert_eq!(job.config["pipeline.operator-chaining.enabled"], "false");
        assert_eq!(job.config["pipeline.max-parallelism"], "64");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, what, place) in [
            ("sql: SELECT 1\nparalelism: 2\n", "paralelism", "line 2 column 1"),
            ("name: x\n", "sql", ""),
            ("sql: a\nparallelism: many\n", "many", "line 2 column 14"),
            ("sql: [\n", "", "line"),
            ("sql: a\nsql: b\n", "`sql`", "line 2 column 1"),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.code(), Code::Yaml);
            assert!(error.message().contains(what) && error.message().contains(place), "{text:?}: {error}");
        }
    }
}
