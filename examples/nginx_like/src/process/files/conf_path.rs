//! The configuration that the command line names.

use std::path::PathBuf;

use crate::config::admin::AdminListen;
use crate::config::main::Config;
use crate::config::overrides::Overrides;
use crate::process::error::StartError;
use crate::syntax::error::ConfigError;
use crate::syntax::include::KeptFile;
use crate::syntax::span::Warning;

/// Where nginx keeps its configuration, below the prefix.
pub(crate) const DEFAULT_CONF: &str = "conf/nginx.conf";

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

/// All that reading a configuration finds.
#[derive(Debug)]
pub(crate) struct ReadAll {
    /// The files that were read.
    pub(crate) files: Vec<KeptFile>,
    /// The warnings, if there are mistakes. A configuration has its own.
    pub(crate) warnings: Vec<Warning>,
    pub(crate) config: Result<Config, Vec<StartError>>,
}

impl ConfPath {
    /// The path of the file.
    pub(crate) fn file(&self) -> PathBuf {
        self.prefix.join(&self.conf)
    }

    /// Reads the configuration as the user of the process.
    pub(crate) fn load(&self) -> Result<Config, StartError> {
        let read = self.read_all(false);
        read.config.map_err(|mut errors| errors.swap_remove(0))
    }

    /// Reads the `lb_admin` of the configuration as the user of the process, whatever mistakes the rest of it has.
    pub(crate) fn admin(&self) -> Result<Option<AdminListen>, ConfigError> {
        Config::find_admin(&self.conf, &self.prefix, &self.overrides)
    }

    /// Reads as [`load`](Self::load), and returns every mistake, at least one, and the files that it read if `keeps` says so.
    pub(crate) fn read_all(&self, keeps: bool) -> ReadAll {
        let read = Config::load_all(&self.conf, &self.prefix, &self.overrides, keeps);
        let (files, warnings, config) = read;
        let started = |errors: Vec<_>| errors.into_iter().map(StartError::from).collect();
        ReadAll {
            files,
            warnings,
            config: config.map_err(started),
        }
    }
}
