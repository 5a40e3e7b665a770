//! A process' configuration: `config.yaml` of the configuration folder, then `-D`.

use weir_api::config::Configuration;
use weir_api::error::{Code, Error, Result};

use crate::args::ConfigArgs;

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
