//! Files that the process reads or opens again while it serves: the configuration, the logs and the pid file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Uid;

use super::log;
use super::pid::{PidFile, PidGuard};
use crate::config::main::Config;
use crate::error::StartError;
use crate::process::helper::client::Helper;
use crate::process::user::Identity;

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

/// Access to those files, by the user that started the process.
#[derive(Debug)]
pub(crate) struct Files {
    place: Place,
    /// Where that user is not the one that the process becomes.
    helper: Option<Arc<Helper>>,
}

impl Files {
    /// Access as the user of the process, now and later.
    pub(crate) const fn own(place: Place) -> Self {
        Self {
            place,
            helper: None,
        }
    }

    /// Access that outlives the change to the user `identity`. Starts a [`Helper`] for it.
    ///
    /// # Errors
    ///
    /// The helper cannot be started, or cannot read the configuration.
    pub(crate) fn for_identity(
        place: Place,
        identity: Option<&Identity>,
    ) -> Result<Self, StartError> {
        let mut files = Self::own(place);
        if let Some(user) = identity.and_then(Identity::lesser_user) {
            let helper = Helper::start(user.as_raw()).map_err(StartError::Helper)?;
            files.helper = Some(Arc::new(helper));
            // The helper opens what it has seen in the configuration.
            files.load()?;
        }
        Ok(files)
    }

    /// Reads the configuration.
    pub(crate) fn load(&self) -> Result<Config, StartError> {
        let Some(helper) = &self.helper else {
            return self.place.load();
        };
        let record = helper.load().map_err(StartError::Helper)?;
        let Place { conf, prefix } = &self.place;
        Ok(Config::replay(record, conf, prefix)?)
    }

    /// Whether a pid file can be written by a process that becomes the user `identity`. It is made if there is none.
    pub(crate) fn test_pid(path: &Path, identity: Option<&Identity>) -> io::Result<()> {
        let user = identity.and_then(Identity::lesser_user);
        PidFile::check(path, user.map(|user| Uid::from_raw(user.as_raw())))
    }

    /// Whether a log can be opened by a process that becomes the user `identity`. It is made if there is none.
    pub(crate) fn test_log(path: &Path, identity: Option<&Identity>) -> io::Result<()> {
        let opened = match identity.and_then(Identity::lesser_user) {
            Some(user) => log::try_for(path, Uid::from_raw(user.as_raw())),
            None => log::open(path),
        };
        opened.map(drop)
    }

    /// Opens a log to append to it, and makes it if there is none.
    pub(crate) fn open_log(&self, path: &Path) -> io::Result<File> {
        match &self.helper {
            Some(helper) => helper.open_log(path),
            None => log::open(path),
        }
    }

    /// Opens `path`, for [`PidGuard::write`] to write the id of the process to it. What it says is left alone.
    pub(crate) fn open_pid(&self, path: &Path) -> Result<PidGuard, StartError> {
        let opened = match &self.helper {
            Some(helper) => {
                let opened = helper.open_pid(path);
                opened.map(|()| PidGuard::by_helper(path, helper))
            }
            None => PidFile::open(path, None).map(PidGuard::Own),
        };
        opened.map_err(StartError::open(path))
    }

    /// The process ends: nothing is opened any more. The helper, if there is one, removes the pid file and ends.
    pub(crate) fn end(&self) {
        if let Some(helper) = &self.helper {
            helper.end();
        }
    }
}
