//! A process' configuration: `config.yaml` of the configuration folder, then `-D`; in a local run, `-D` alone.

use weir_api::config::Configuration;
use weir_api::config::options::{self, Scope};
use weir_api::error::{Code, Error, Result};

use crate::args::{ConfigArgs, RunArgs};

/// Reads file and flags; warnings go to the log.
pub fn load(arguments: &ConfigArgs) -> Result<Configuration> {
    let mut configuration = Configuration::default();
    if let Some(folder) = &arguments.config_dir {
        let file = folder.join("config.yaml");
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Error::new(Code::NotFound, format!("the configuration {} can't be read", file.display()))
                .with_source(error)
        })?;
        let (read, warnings) =
            Configuration::from_yaml(&text).map_err(|error| error.context(file.display()))?;
        warnings.iter().for_each(|warning| tracing::warn!(file = %file.display(), "{warning}"));
        configuration = read;
    }
    for (key, value) in &arguments.define {
        if let Some(warning) = configuration.set(key, value).map_err(|error| error.context("-D"))? {
            tracing::warn!("-D {warning}");
        }
    }
    Ok(configuration)
}

/// The configuration of the processes of a local run, whose ports are free ones if nothing is said, and what is left for the job.
pub fn of_local_run(arguments: &RunArgs) -> Result<(Configuration, RunArgs)> {
    let mut processes = Configuration::default();
    for (key, value) in
        [("rest.port", "0"), ("jobmanager.rpc.port", "0"), ("metrics.reporter.prom.port", "0")]
    {
        processes.set(key, value)?;
    }
    let mut job = Vec::new();
    for (key, value) in &arguments.job.define {
        let mut one = Configuration::default();
        // What has no effect is told by whoever gets it.
        one.set(key, value).map_err(|error| error.context("-D"))?;
        let mut known = one.values().keys();
        let of_process = known.any(|name| {
            options::ALL.iter().any(|option| option.key == name && option.scope == Scope::Process)
        });
        if of_process {
            processes.set(key, value)?;
        } else {
            job.push((key.clone(), value.clone()));
        }
    }
    let mut arguments = arguments.clone();
    arguments.job.define = job;
    Ok((processes, arguments))
}
