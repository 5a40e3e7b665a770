//! The REST client: one blocking request at a time, errors as the server words them.

use std::time::Duration;

use serde_json::Value;
use weir_api::error::{Code, Error, Result};

/// The error as the server made it: its text begins with its code.
fn with_its_code(message: &str) -> Error {
    let coded = Code::ALL.iter().find_map(|code| {
        let rest = message.strip_prefix(&format!("[{code}] "))?;
        Some(Error::new(*code, rest))
    });
    coded.unwrap_or_else(|| Error::new(Code::InvalidArgument, message))
}

/// The longest answer that is read.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// A JobManager's REST service.
pub struct Client {
    agent: ureq::Agent,
    base: String,
}

impl Client {
    /// For the service at `address`: `host:port`, with or without `http://`.
    pub fn new(address: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_global(Some(Duration::from_secs(120)))
            .proxy(None)
            .build()
            .into();
        let address = address.trim_end_matches('/');
        let base = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        Self { agent, base }
    }

    /// `GET path`.
    pub fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}{path}", self.base);
        self.read(self.agent.get(&url).call(), &url)
    }

    /// `POST path` with a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{path}", self.base);
        self.read(self.agent.post(&url).send_json(body), &url)
    }

    /// `PATCH path` without a body.
    pub fn patch(&self, path: &str) -> Result<Value> {
        let url = format!("{}{path}", self.base);
        self.read(self.agent.patch(&url).send_empty(), &url)
    }

    fn read(
        &self,
        answer: std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>,
        url: &str,
    ) -> Result<Value> {
        let mut answer = answer.map_err(|error| {
            Error::new(
                Code::NotFound,
                format!(
                    "no JobManager answers at {}: start one with `weir local`, or name it with -m",
                    self.base
                ),
            )
            .with_source(error)
        })?;
        let status = answer.status();
        let text =
            answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string().map_err(|error| {
                Error::new(Code::Io, format!("the answer of {url} can't be read")).with_source(error)
            })?;
        if status.is_success() {
            if text.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_str(&text).map_err(|error| {
                Error::new(Code::Io, format!("{url} doesn't answer in JSON")).with_source(error)
            });
        }
        let errors = serde_json::from_str::<Value>(&text).ok().and_then(|body| {
            let errors = body.get("errors")?.as_array()?;
            Some(errors.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"))
        });
        let message = errors.unwrap_or_else(|| format!("{url} answers {status}: {text}"));
        Err(with_its_code(&message))
    }

    /// The full id of the one job that starts with `prefix`.
    pub fn resolve_job(&self, prefix: &str) -> Result<String> {
        if prefix.len() == 32 {
            return Ok(prefix.to_owned());
        }
        let jobs = self.get("/jobs/overview")?;
        let ids: Vec<&str> = jobs["jobs"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|job| job["jid"].as_str())
            .filter(|id| id.starts_with(prefix))
            .collect();
        match ids.as_slice() {
            [id] => Ok((*id).to_owned()),
            [] => Err(Error::new(
                Code::UnknownJob,
                format!("no job's id starts with '{prefix}'; see `weir list --all`"),
            )),
            several => Err(Error::new(
                Code::UnknownJob,
                format!("{} jobs' ids start with '{prefix}': {}", several.len(), several.join(", ")),
            )),
        }
    }
}
