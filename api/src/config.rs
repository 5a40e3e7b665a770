//! Typed configuration under Flink's keys.
//!
//! One table of options ([`options`]) holds every key with its type, default and documentation; the reference page
//! `docs/configuration.md` is made from it. Invariant: a [`Configuration`] holds only known keys with values that parse, so
//! reading one can't fail. Unknown keys are refused with the nearest name; Flink's keys without a meaning here are accepted
//! with a warning that says why.

mod ignored;
pub mod options;
mod value;
mod yaml;

use std::collections::BTreeMap;

pub use options::{ConfigOption, Description, Scope};
pub use value::{ByteSize, PortRange, Value};

use crate::connector::nearest;
use crate::error::{Code, Error, Result};

/// A set of checked keys and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    values: BTreeMap<String, String>,
}

/// Something the user should hear about, though nothing is wrong enough to stop.
pub type Warning = String;

impl Configuration {
    /// Reads a configuration file: Flink's `config.yaml`, keys nested or flat. Errors name line and column.
    pub fn from_yaml(text: &str) -> Result<(Self, Vec<Warning>)> {
        let mut configuration = Self::default();
        let mut warnings = Vec::new();
        for entry in yaml::flatten(text)? {
            let warning = configuration.set(&entry.key, &entry.value).map_err(|error| match entry.line {
                Some(line) => error.context(format!("line {line}")),
                None => error,
            })?;
            warnings.extend(warning);
        }
        Ok((configuration, warnings))
    }

    /// Takes keys and values, as of `-D` or `SET`.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(Self, Vec<Warning>)> {
        let mut configuration = Self::default();
        let mut warnings = Vec::new();
        for (key, value) in pairs {
            warnings.extend(configuration.set(key, value)?);
        }
        Ok((configuration, warnings))
    }

    /// Sets a key after checking it; returns a warning for one of Flink's keys that has no meaning here.
    pub fn set(&mut self, key: &str, value: &str) -> Result<Option<Warning>> {
        if let Some(option) = options::find(key) {
            (option.check)(value).map_err(|expected| {
                Error::new(
                    Code::InvalidConfiguration,
                    format!("the value '{value}' of '{key}' doesn't fit: {expected}"),
                )
            })?;
            self.values.insert(option.key.to_owned(), value.trim().to_owned());
            return Ok(None);
        }
        if let Some(reason) = ignored::reason(key) {
            return Ok(Some(format!("'{key}' has no effect: {reason}")));
        }
        let hint = nearest(key, options::ALL.iter().map(|option| option.key))
            .map_or_else(String::new, |name| format!("; did you mean '{name}'?"));
        Err(Error::new(Code::InvalidConfiguration, format!("there is no configuration key '{key}'{hint}")))
    }

    /// The value of an option, or its default.
    #[must_use]
    pub fn get<T: Value>(&self, option: &ConfigOption<T>) -> T {
        self.get_set(option).unwrap_or_else(|| (option.default)())
    }

    /// The value of an option, if it was set.
    #[must_use]
    pub fn get_set<T: Value>(&self, option: &ConfigOption<T>) -> Option<T> {
        // `set` has checked it, so only absence is left.
        self.values.get(option.key).and_then(|text| T::parse(text).ok())
    }

    /// Adds the other's keys over this one's.
    pub fn merge(&mut self, over: &Self) {
        self.values.extend(over.values.iter().map(|(key, value)| (key.clone(), value.clone())));
    }

    /// Keys and values that were set.
    #[must_use]
    pub const fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }
}

/// The reference page of all options, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Configuration\n\nMade from the code: every key, its default and its meaning. Keys are Flink's where Flink has them. They \
         go into `config.yaml` (nested or flat), after `-D` on the command line, under `config:` in a job's YAML, or into `SET \
         'key' = 'value'` for those of scope *job*. An unknown key is an error that names the nearest one; a key of Flink's that \
         has no meaning here is accepted with a warning.\n\n| key | default | type | scope | meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    for option in options::ALL {
        let default =
            if option.default.is_empty() { "(none)".to_owned() } else { format!("`{}`", option.default) };
        page.push_str(&format!(
            "| `{}` | {default} | {} | {} | {} |\n",
            option.key,
            option.type_name,
            option.scope.as_str(),
            option.description
        ));
    }
    page.push_str("\n## Keys that are accepted without effect\n\n| keys | why |\n| --- | --- |\n");
    for (prefix, reason) in ignored::PREFIXES {
        page.push_str(&format!("| `{prefix}` | {reason} |\n"));
    }
    page
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_default_parses_and_keys_are_unique() {
        let mut keys = std::collections::HashSet::new();
        for option in options::ALL {
            assert!(keys.insert(option.key), "{} twice", option.key);
            assert!(option.default.is_empty() || (option.check)(option.default).is_ok(), "{}", option.key);
        }
    }

    #[test]
    fn nested_and_flat_keys_and_positions() {
        let text = "taskmanager:\n  numberOfTaskSlots: 3\nheartbeat.interval: 5 s\n";
        let (configuration, warnings) = Configuration::from_yaml(text).expect("valid");
        assert_eq!(configuration.get(&options::TASK_SLOTS), 3);
        assert_eq!(configuration.get(&options::HEARTBEAT_INTERVAL), Duration::from_secs(5));
        assert_eq!(configuration.get(&options::REST_PORT), 8081);
        assert!(warnings.is_empty());

        let error = Configuration::from_yaml("rest:\n  prot: 1\n").expect_err("unknown key");
        assert!(error.message().contains("line 2") && error.message().contains("'rest.port'"), "{error}");
        let error = Configuration::from_yaml("rest.port: many\n").expect_err("no number");
        assert!(error.message().contains("line 1") && error.message().contains("'many'"), "{error}");
        let error = Configuration::from_yaml("a: [\n").expect_err("no YAML");
        assert!(error.message().contains("line"), "{error}");
    }

    #[test]
    fn keys_of_the_jvm_are_accepted_with_a_warning() {
        let (configuration, warnings) =
            Configuration::from_pairs([("taskmanager.memory.jvm-metaspace.size", "256m")]).expect("accepted");
        assert!(configuration.values().is_empty());
        assert!(warnings[0].contains("JVM"), "{warnings:?}");
    }

    #[test]
    fn the_reference_page_matches_the_code() {
        let path = "../docs/configuration.md";
        if std::env::var_os("WEIR_ACCEPT").is_some() {
            std::fs::write(path, reference()).expect("docs are writable");
        }
        let page = std::fs::read_to_string(path).expect("docs/configuration.md is there");
        assert_eq!(page, reference(), "run the test with WEIR_ACCEPT=1 to renew docs/configuration.md");
    }
}
