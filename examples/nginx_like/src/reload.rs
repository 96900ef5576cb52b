//! SIGHUP: the configuration is read again, and the difference applied.

use std::fmt;

use lb_proxy::{Handle, Reloaded};
use tracing::{error, info, warn};

use crate::assemble::{self, Kept};
use crate::config::Config;
use crate::error::StartError;
use crate::inherited::Inherited;
use crate::logs::Logging;
use crate::loops;
use crate::process::PidFile;

/// Reads the configuration again.
pub(crate) struct Reloader {
    load: Box<dyn Fn() -> Result<Config, StartError> + Send>,
    /// What the process was started with.
    started: Config,
    kept: Kept,
    pid_file: Option<PidFile>,
}

impl Reloader {
    pub(crate) fn new(
        load: impl Fn() -> Result<Config, StartError> + Send + 'static,
        started: Config,
        kept: Kept,
        pid_file: Option<PidFile>,
    ) -> Self {
        Self {
            load: Box::new(load),
            started,
            kept,
            pid_file,
        }
    }

    /// Applies what the configuration says now. If that is wrong or cannot be listened on nothing changes.
    pub(crate) fn reload(&mut self, handle: &Handle, logging: &Logging) {
        info!("SIGHUP: reading the configuration again");
        match self.apply(handle, logging) {
            Ok(Reloaded {
                added,
                kept,
                removed,
                ..
            }) => info!(?added, ?kept, ?removed, "Configuration applied"),
            Err(error) => error!(%error, "Configuration not applied, nothing changes"),
        }
    }

    fn apply(&mut self, handle: &Handle, logging: &Logging) -> Result<Reloaded, StartError> {
        let config = (self.load)()?;
        let mut kept = self.kept.clone();
        let proxy = assemble::proxy(&config, &mut kept, Inherited::default())?;
        let logs = logging.open(&config)?;
        let pid_path = config.pid.as_deref();
        let pid_stays = self.pid_file.as_ref().map(PidFile::path) == pid_path;
        let pid_file = pid_path.filter(|_| !pid_stays).map(PidFile::write);
        let pid_file = pid_file.transpose()?;
        let reloaded = handle.reload(proxy)?;
        self.kept = kept;
        logging.replace(logs);
        if !pid_stays {
            self.pid_file = pid_file;
        }
        self.warn_of_the_rest(&config);
        loops::warn_of(&config);
        Ok(reloaded)
    }

    /// Names what only a new process can change.
    fn warn_of_the_rest(&self, config: &Config) {
        let started = &self.started;
        let name = |config: &Config| {
            let user = config.user.as_ref();
            user.map(|user| (user.name.clone(), user.group.clone()))
        };
        let differ = [
            ("user", name(config) != name(started)),
            (
                "worker_processes",
                config.worker_processes != started.worker_processes,
            ),
            (
                "worker_rlimit_nofile",
                config.worker_rlimit_nofile != started.worker_rlimit_nofile,
            ),
        ];
        for (directive, _) in differ.iter().filter(|(_, differs)| *differs) {
            warn!("\"{directive}\" has changed, which takes a restart");
        }
    }
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader")
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}
