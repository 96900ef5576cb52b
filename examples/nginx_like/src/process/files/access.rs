//! Access to files that outlives the change of the process to another user.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use lb_proxy::admin::{AdminError, AdminToken};
use rustix::fs::Uid;
use tracing::error;

use super::conf_path::ConfPath;
use super::open_log;
use super::pid::{PidFile, PidGuard};
use crate::config::main::Config;
use crate::config::pid::PidPath;
use crate::process::credentials::Credentials;
use crate::process::error::StartError;
use crate::process::helper::client::Helper;
use crate::process::helper::sockets::HelperSockets;
use crate::process::upgrade::invocation::Invocation;

/// Access to the configuration, the logs and the pid file, with the rights of the user that started the process.
#[derive(Debug)]
pub(crate) struct FileAccess {
    path: ConfPath,
    /// Present if the process switches to another user.
    helper: Option<Arc<Helper>>,
}

impl FileAccess {
    /// Access with the rights of the process.
    const fn direct(path: ConfPath) -> Self {
        Self { path, helper: None }
    }

    /// Access that outlives the switch to `credentials`. Starts a [`Helper`] for it.
    ///
    /// # Errors
    ///
    /// The helper cannot be started, or cannot read the configuration.
    pub(crate) fn for_credentials(
        path: ConfPath,
        credentials: Option<&Credentials>,
        invocation: &Invocation,
    ) -> Result<Self, StartError> {
        let mut files = Self::direct(path);
        if let Some(user) = credentials.and_then(Credentials::unprivileged_user) {
            let helper = Helper::start(user.as_raw(), invocation);
            let helper = helper.map_err(StartError::Helper)?;
            files.helper = Some(Arc::new(helper));
            // The helper opens only files that a configuration names which it has read.
            files.load()?;
        }
        Ok(files)
    }

    /// Lets the helper, if there is one, open `sockets`.
    pub(crate) fn open_sockets_for(&self, sockets: &HelperSockets) {
        if let Some(helper) = &self.helper {
            sockets.set(helper);
        }
    }

    /// The helper, if there is one.
    pub(crate) const fn helper(&self) -> Option<&Arc<Helper>> {
        self.helper.as_ref()
    }

    /// Sets whether the helper, if there is one, leaves the files of unix sockets at its end.
    pub(crate) fn keep_sockets(&self, keep: bool) {
        if let Some(helper) = &self.helper
            && let Err(error) = helper.keep_unix(keep)
        {
            error!(%error, "Files of unix sockets not handed over");
        }
    }

    /// Makes the helper, if there is one, the owner of the file of a unix socket that another process has opened.
    pub(crate) fn adopt_socket(&self, path: &Path) {
        if let Some(helper) = &self.helper
            && let Err(error) = helper.adopt_unix(path)
        {
            error!(path = %path.display(), %error, "File of a unix socket not taken over");
        }
    }

    /// Reads the configuration.
    pub(crate) fn load(&self) -> Result<Config, StartError> {
        let Some(helper) = &self.helper else {
            return self.path.load();
        };
        let recording = helper.load().map_err(StartError::Helper)?;
        let path = &self.path;
        let replayed = Config::replay(recording, &path.conf, &path.prefix, &path.overrides);
        Ok(replayed?)
    }

    /// Whether a process that switches to `credentials` can write the pid file. Creates the file if there is none.
    pub(crate) fn test_pid(pid: &PidPath, credentials: Option<&Credentials>) -> io::Result<()> {
        if pid.is_default {
            return Ok(());
        }
        let user = credentials.and_then(Credentials::unprivileged_user);
        PidFile::check(&pid.path, user.map(|user| Uid::from_raw(user.as_raw())))
    }

    /// Whether a process that switches to `credentials` can open a log. Creates the file if there is none.
    pub(crate) fn test_log(path: &Path, credentials: Option<&Credentials>) -> io::Result<()> {
        let opened = match credentials.and_then(Credentials::unprivileged_user) {
            Some(user) => open_log::try_for(path, Uid::from_raw(user.as_raw())),
            None => open_log::open(path),
        };
        opened.map(drop)
    }

    /// Opens a log to append to it. Creates the file if there is none.
    pub(crate) fn open_log(&self, path: &Path) -> io::Result<File> {
        match &self.helper {
            Some(helper) => helper.open_log(path),
            None => open_log::open(path),
        }
    }

    /// Reads the token of the admin server. The helper opens a file that the process may not read.
    pub(crate) fn read_token(&self, path: &Path) -> Result<AdminToken, AdminError> {
        match (AdminToken::read(path), &self.helper) {
            (Err(AdminError::ReadToken { source, .. }), Some(helper))
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                let opened = helper.open_token(path);
                let opened = opened.map_err(|source| AdminError::ReadToken {
                    path: path.to_owned(),
                    source,
                });
                AdminToken::read_open(opened?, path)
            }
            (read, _) => read,
        }
    }

    /// Opens the pid file, for [`PidGuard::write`] to write the id of the process to it. Does not change its content. `None` if
    /// a file that the configuration does not name cannot be opened.
    pub(crate) fn open_pid(&self, pid: &PidPath) -> Result<Option<PidGuard>, StartError> {
        let path = &pid.path;
        let opened = match &self.helper {
            Some(helper) => {
                let opened = helper.open_pid(path);
                opened.map(|()| PidGuard::by_helper(path, helper))
            }
            None => PidFile::open(path, None).map(PidGuard::Own),
        };
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(_) if pid.is_default => Ok(None),
            Err(error) => Err(StartError::open(path)(error)),
        }
    }

    /// Ends the access, at the end of the process. The helper, if there is one, removes the pid file and ends.
    pub(crate) fn end(&self) {
        if let Some(helper) = &self.helper {
            helper.end();
        }
    }
}
