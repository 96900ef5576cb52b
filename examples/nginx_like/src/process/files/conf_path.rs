//! The path of the configuration.

use std::path::PathBuf;

use crate::config::main::Config;
use crate::process::error::StartError;

/// The path of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct ConfPath {
    /// The file, below `prefix` unless absolute.
    pub(crate) conf: PathBuf,
    /// The directory that relative names start from.
    pub(crate) prefix: PathBuf,
}

impl ConfPath {
    /// Reads the configuration as the user of the process.
    pub(crate) fn load(&self) -> Result<Config, StartError> {
        Ok(Config::load(&self.conf, &self.prefix)?)
    }
}
