//! SIGHUP: the configuration is read again, and the difference applied.

use std::fmt;

use lb_proxy::{Handle, Reloaded};
use tracing::{error, info, warn};

use crate::assemble::{self, Kept};
use crate::config::Config;
use crate::error::StartError;
use crate::inherited::Inherited;
use crate::logs::Logs;

/// Reads the configuration again.
pub(crate) struct Reloader {
    load: Box<dyn Fn() -> Result<Config, StartError> + Send>,
    /// What the process was started with.
    started: Config,
    kept: Kept,
}

impl Reloader {
    pub(crate) fn new(
        load: impl Fn() -> Result<Config, StartError> + Send + 'static,
        started: Config,
        kept: Kept,
    ) -> Self {
        Self {
            load: Box::new(load),
            started,
            kept,
        }
    }

    /// Applies what the configuration says now. If that is wrong or cannot be listened on nothing changes.
    pub(crate) fn reload(&mut self, handle: &Handle, logs: &Logs) {
        info!("SIGHUP: reading the configuration again");
        match self.apply(handle, logs) {
            Ok(Reloaded {
                added,
                kept,
                removed,
                ..
            }) => info!(?added, ?kept, ?removed, "Configuration applied"),
            Err(error) => error!(%error, "Configuration is wrong, nothing changes"),
        }
    }

    fn apply(&mut self, handle: &Handle, logs: &Logs) -> Result<Reloaded, StartError> {
        let config = (self.load)()?;
        let mut kept = self.kept.clone();
        let proxy = assemble::proxy(&config, &mut kept, Inherited::default())?;
        let reloaded = handle.reload(proxy)?;
        self.kept = kept;
        self.warn_of_the_rest(&config, logs);
        Ok(reloaded)
    }

    /// Names what only a new process can change.
    fn warn_of_the_rest(&self, config: &Config, logs: &Logs) {
        let started = &self.started;
        let name = |config: &Config| {
            let user = config.user.as_ref();
            user.map(|user| (user.name.clone(), user.group.clone()))
        };
        let differ = [
            ("user", name(config) != name(started)),
            ("pid", config.pid != started.pid),
            ("error_log", !logs.are_of(config)),
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
