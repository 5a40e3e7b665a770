//! `properties.*`: what of a table's options reaches the clients, and what is refused.
//!
//! Invariant: only keys of the allow-list get through, none that would break what the connector promises, and no message shows
//! a secret. Knows nothing of topics.

mod allowed;
mod security;

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use weir_api::connector::nearest;
use weir_api::error::{Code, Error, Result};

use self::allowed::{OWN, PASSED, REFUSED, Scope, WITHOUT_EFFECT, is_secret};
use crate::options::Options;

const PREFIX: &str = "properties.";

/// What a group that has no offset begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reset {
    /// The first record that is kept.
    Earliest,
    /// The end.
    Latest,
    /// It is an error.
    None,
}

/// The checked properties of a table.
#[derive(Clone, Debug)]
pub struct Properties {
    table: String,
    consumer: BTreeMap<&'static str, String>,
    producer: BTreeMap<&'static str, String>,
    /// Whose committed offsets `group-offsets` means.
    pub group_id: Option<String>,
    /// Whether checkpoints commit the group's offsets.
    pub commits_offsets: bool,
    /// What stands in for them.
    pub reset: Reset,
    /// How long a question to the cluster may take.
    pub api_timeout: Duration,
}

impl Properties {
    /// The properties of a table.
    pub fn of(options: &Options<'_>) -> Result<Self> {
        let table = options.table().name.clone();
        let given: BTreeMap<&str, &str> = options
            .table()
            .options
            .iter()
            .filter_map(|(key, value)| key.strip_prefix(PREFIX).map(|key| (key, value.as_str())))
            .collect();
        for key in given.keys() {
            check_key(&table, key)?;
        }
        let property = |key: &str| given.get(key).copied();
        if property("bootstrap.servers").is_none_or(str::is_empty) {
            return Err(Error::new(
                Code::TableOptions,
                format!(
                    "table {table}: connector 'kafka' needs the option 'properties.bootstrap.servers': brokers to ask first, as host:port, with commas between"
                ),
            ));
        }
        let reset = match property("auto.offset.reset") {
            None | Some("none") => Reset::None,
            Some("earliest") => Reset::Earliest,
            Some("latest") => Reset::Latest,
            Some(_) => {
                return Err(options.refuse("properties.auto.offset.reset", "'earliest', 'latest' or 'none'"));
            }
        };
        let millis = |key: &str| match property(key) {
            None => Ok(None),
            Some(text) => text
                .trim()
                .parse()
                .map(|millis| Some(Duration::from_millis(millis)))
                .map_err(|_| options.refuse(&format!("{PREFIX}{key}"), "a number of milliseconds")),
        };
        let mut properties = Self {
            consumer: BTreeMap::new(),
            producer: BTreeMap::new(),
            commits_offsets: match property("commit.offsets.on.checkpoint").map(str::trim) {
                None | Some("true") => true,
                Some("false") => false,
                Some(_) => {
                    return Err(
                        options.refuse("properties.commit.offsets.on.checkpoint", "'true' or 'false'")
                    );
                }
            },
            group_id: property("group.id").map(str::to_owned),
            reset,
            api_timeout: millis("default.api.timeout.ms")?.unwrap_or(Duration::from_secs(60)),
            table,
        };
        for (key, scope, native) in PASSED {
            if let Some(value) = property(key) {
                properties.set(*scope, native, adapted(native, value));
            }
        }
        properties.set_own(options, &property)?;
        properties.check_values()?;
        Ok(properties)
    }

    /// Properties that have a counterpart of another shape.
    fn set_own<'a>(
        &mut self,
        options: &Options<'_>,
        property: &impl Fn(&str) -> Option<&'a str>,
    ) -> Result<()> {
        if let Some(timeout) = property("request.timeout.ms") {
            self.set(Scope::Consumer, "socket.timeout.ms", timeout.to_owned());
            self.set(Scope::Producer, "request.timeout.ms", timeout.to_owned());
        }
        if let Some(text) = property("buffer.memory") {
            let bytes: u64 = text
                .trim()
                .parse()
                .map_err(|_| options.refuse("properties.buffer.memory", "a number of bytes"))?;
            self.set(Scope::Producer, "queue.buffering.max.kbytes", (bytes / 1024).max(1).to_string());
        }
        if let Some(jaas) = property("sasl.jaas.config") {
            for (native, value) in security::of_jaas(&self.table, jaas)? {
                self.set(Scope::Both, native, value);
            }
        }
        for (native, value) in security::of_stores(&self.table, property)? {
            self.set(Scope::Both, native, value);
        }
        Ok(())
    }

    fn set(&mut self, scope: Scope, native: &'static str, value: String) {
        if scope != Scope::Producer {
            self.consumer.insert(native, value.clone());
        }
        if scope != Scope::Consumer {
            self.producer.insert(native, value);
        }
    }

    /// Lets librdkafka look at every value, now rather than in a task.
    fn check_values(&self) -> Result<()> {
        for config in [self.consumer(ClientConfig::new()), self.producer(ClientConfig::new())] {
            config.create_native_config().map_err(|error| self.refuse_value(&error))?;
        }
        Ok(())
    }

    /// The error for a value that librdkafka doesn't take; its text may quote the value.
    fn refuse_value(&self, error: &KafkaError) -> Error {
        let (key, why) = match error {
            KafkaError::ClientConfig(_, description, key, _) => (key.as_str(), description.as_str()),
            other => return Error::new(Code::TableOptions, format!("table {}: {other}", self.table)),
        };
        let why = if is_secret(key) { "its value can't be used" } else { why };
        Error::new(Code::TableOptions, format!("table {}: option '{PREFIX}{key}': {why}", self.table))
    }

    /// What the user wants of consumers, over `defaults`.
    pub fn consumer(&self, defaults: ClientConfig) -> ClientConfig {
        over(defaults, &self.consumer)
    }

    /// What the user wants of producers, over `defaults`.
    pub fn producer(&self, defaults: ClientConfig) -> ClientConfig {
        over(defaults, &self.producer)
    }

    /// What the user says of a producer's property.
    pub fn of_producer(&self, native: &str) -> Option<&str> {
        self.producer.get(native).map(String::as_str)
    }

    /// The error of a client that can't be made; never with a value in it.
    pub fn client_error(&self, error: &KafkaError) -> Error {
        match error {
            KafkaError::ClientConfig(..) => self.refuse_value(error),
            other => Error::new(Code::Io, format!("table {}: make a Kafka client: {other}", self.table)),
        }
    }

    /// Brokers, for messages.
    pub fn brokers(&self) -> &str {
        self.consumer.get("bootstrap.servers").map_or("", String::as_str)
    }
}

// Not by `ClientConfig::config_map`: that one blots out secrets.
fn over(mut config: ClientConfig, properties: &BTreeMap<&'static str, String>) -> ClientConfig {
    for (key, value) in properties {
        config.set(*key, value);
    }
    config
}

/// Values that Java writes in another way.
fn adapted(native: &str, value: &str) -> String {
    match native {
        "security.protocol" => value.to_ascii_lowercase(),
        "ssl.endpoint.identification.algorithm" if value.is_empty() => "none".to_owned(),
        _ => value.to_owned(),
    }
}

fn check_key(table: &str, key: &str) -> Result<()> {
    let passed = PASSED.iter().map(|(key, ..)| *key);
    if passed
        .clone()
        .chain(OWN.iter().copied())
        .chain(WITHOUT_EFFECT.iter().copied())
        .any(|known| known == key)
    {
        return Ok(());
    }
    let why = match REFUSED.iter().find(|(refused, _)| *refused == key) {
        Some((_, why)) => (*why).to_owned(),
        None => {
            let hint = nearest(key, passed.chain(OWN.iter().copied()))
                .map_or_else(String::new, |name| format!("; did you mean 'properties.{name}'?"));
            format!("it isn't among the properties that are passed on (docs/kafka.md lists them){hint}")
        }
    };
    Err(Error::new(Code::TableOptions, format!("table {table}: option '{PREFIX}{key}' can't be set: {why}")))
}
