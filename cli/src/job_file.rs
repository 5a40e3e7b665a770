//! What is submitted: SQL as it is, or a job's YAML, wrapped into the body of `POST /v1/jobs`.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};
use weir_api::error::{Code, Error, Result};
use weir_jobmanager::submit::Submission;

use crate::args::JobFileArgs;

/// The largest job file that is sent.
const MAX_BYTES: u64 = 4 << 20;

/// The request body for a job file and the flags beside it.
pub fn request_body(arguments: &JobFileArgs) -> Result<Value> {
    let text = read(&arguments.file)?;
    let is_yaml = is_yaml(&arguments.file);
    let config: Map<String, Value> =
        arguments.define.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
    let mut body = Map::new();
    body.insert(if is_yaml { "yaml" } else { "sql" }.to_owned(), Value::String(text));
    let name = arguments.name.clone().or_else(|| (!is_yaml).then(|| stem(&arguments.file)).flatten());
    if let Some(name) = name {
        body.insert("name".to_owned(), json!(name));
    }
    if let Some(parallelism) = arguments.parallelism {
        body.insert("parallelism".to_owned(), json!(parallelism));
    }
    if !config.is_empty() {
        body.insert("config".to_owned(), Value::Object(config));
    }
    Ok(Value::Object(body))
}

/// What a job file says.
pub fn submission(file: &Path) -> Result<Submission> {
    let text = read(file)?;
    if is_yaml(file) {
        return weir_jobmanager::submit::job_file::parse(&text).map_err(|error| error.context(name(file)));
    }
    Ok(Submission { sql: text, ..Submission::default() })
}

fn is_yaml(file: &Path) -> bool {
    matches!(file.extension().and_then(|extension| extension.to_str()), Some("yaml" | "yml"))
}

/// What messages call the file.
pub fn name(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}

fn stem(file: &Path) -> Option<String> {
    file.file_stem().and_then(|stem| stem.to_str()).filter(|stem| *stem != "-").map(str::to_owned)
}

fn read(file: &Path) -> Result<String> {
    let failed = |error: std::io::Error| {
        Error::new(Code::NotFound, format!("the job file {} can't be read", file.display()))
            .with_source(error)
    };
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    } else {
        std::fs::File::open(file)
            .map_err(failed)?
            .take(MAX_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(failed)?;
    }
    if text.len() as u64 > MAX_BYTES {
        return Err(Error::new(
            Code::InvalidArgument,
            format!("the job file {} is over the limit of {MAX_BYTES} bytes", file.display()),
        ));
    }
    Ok(text)
}
