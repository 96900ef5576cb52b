//! The configuration that the command line names.

use std::path::PathBuf;

use crate::config::main::Config;
use crate::config::overrides::Overrides;
use crate::process::error::StartError;
use crate::syntax::include::KeptFile;

/// The configuration that the command line names.
#[derive(Clone, Debug)]
pub(crate) struct ConfPath {
    /// The file, below `prefix` unless absolute.
    pub(crate) conf: PathBuf,
    /// The directory that relative names start from.
    pub(crate) prefix: PathBuf,
    /// What the command line adds to the file.
    pub(crate) overrides: Overrides,
}

impl ConfPath {
    /// The path of the file.
    pub(crate) fn file(&self) -> PathBuf {
        self.prefix.join(&self.conf)
    }

    /// Reads the configuration as the user of the process.
    pub(crate) fn load(&self) -> Result<Config, StartError> {
        self.load_kept(false).map(|(_, config)| config)
    }

    /// Reads as [`load`](Self::load), and returns the files that it read if `keeps` says so.
    pub(crate) fn load_kept(&self, keeps: bool) -> Result<(Vec<KeptFile>, Config), StartError> {
        let (kept, config) = Config::load_kept(&self.conf, &self.prefix, &self.overrides, keeps);
        Ok((kept, config?))
    }
}
