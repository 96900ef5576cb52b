//! Files that the process reads or opens again while it serves: the configuration, the logs and the pid file.

mod log;
mod pid;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::StartError;

pub(crate) use pid::PidFile;

/// Where the configuration is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The file, below `prefix` unless absolute.
    pub(crate) conf: PathBuf,
    /// The directory that relative names start from.
    pub(crate) prefix: PathBuf,
}

impl Place {
    /// Reads the configuration as the user of the process.
    pub(crate) fn load(&self) -> Result<Config, StartError> {
        Ok(Config::load(&self.conf, &self.prefix)?)
    }
}

/// Access to those files.
#[derive(Debug)]
pub(crate) struct Files {
    place: Place,
}

impl Files {
    /// Access as the user of the process.
    pub(crate) const fn new(place: Place) -> Self {
        Self { place }
    }

    /// Reads the configuration.
    pub(crate) fn load(&self) -> Result<Config, StartError> {
        self.place.load()
    }

    /// Opens a log to append to it, and makes it if there is none.
    pub(crate) fn open_log(&self, path: &Path) -> io::Result<File> {
        log::open(path)
    }

    /// Writes the id of the process to `path`.
    pub(crate) fn write_pid(&self, path: &Path) -> Result<PidFile, StartError> {
        PidFile::write(path, std::process::id()).map_err(StartError::open(path))
    }
}
