//! SIGHUP: the configuration is read again, and the difference applied.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lb_proxy::{Handle, Reloaded};
use tracing::{error, info, warn};

use crate::assemble::{self, Kept};
use crate::config::Config;
use crate::error::StartError;
use crate::files::{Files, PidGuard};
use crate::inherited::Inherited;
use crate::logs::Logging;
use crate::loops;

/// Applies what the configuration says when it is read again.
#[derive(Debug)]
pub(crate) struct Reloader {
    /// What the process was started with.
    started: Config,
    kept: Kept,
    pid_file: PidSlot,
}

/// The pid file, if there is one. The main thread empties it at the end, whatever the control thread does then.
pub(crate) type PidSlot = Arc<Mutex<Option<PidGuard>>>;

impl Reloader {
    pub(crate) const fn new(started: Config, kept: Kept, pid_file: PidSlot) -> Self {
        Self {
            started,
            kept,
            pid_file,
        }
    }

    /// Applies what the configuration says now. If that is wrong or cannot be listened on nothing changes.
    ///
    /// Blocks on files, so no thread that carries traffic may run it.
    pub(crate) async fn reload(&mut self, files: &Files, handle: &Handle, logging: &Logging) {
        info!("SIGHUP: reading the configuration again");
        match self.apply(files, handle, logging).await {
            Ok(Reloaded {
                added,
                kept,
                replaced,
                removed,
                ..
            }) => info!(?added, ?kept, ?replaced, ?removed, "Configuration applied"),
            Err(error) => error!(%error, "Configuration not applied, nothing changes"),
        }
    }

    async fn apply(
        &mut self,
        files: &Files,
        handle: &Handle,
        logging: &Logging,
    ) -> Result<Reloaded, StartError> {
        let config = files.load()?;
        for warning in &config.warnings {
            warn!("{warning}");
        }
        let mut kept = self.kept.clone();
        let proxy = assemble::proxy(&config, &mut kept, Inherited::default())?;
        let logs = logging.open(&config, files)?;
        let pid_path = config.pid.as_deref();
        let pid_stays = self.pid_file().as_ref().map(PidGuard::path) == pid_path;
        let pid_file = pid_path.filter(|_| !pid_stays);
        let pid_file = pid_file.map(|path| files.write_pid(path)).transpose()?;
        let reloaded = handle.reload(proxy).await?;
        self.kept = kept;
        logging.replace(logs);
        if !pid_stays {
            let before = std::mem::replace(&mut *self.pid_file(), pid_file);
            drop(before);
        }
        self.warn_of_the_rest(&config);
        loops::warn_of(&config);
        Ok(reloaded)
    }

    /// No code that can panic or block runs under the lock.
    fn pid_file(&self) -> MutexGuard<'_, Option<PidGuard>> {
        let slot = self.pid_file.lock();
        slot.unwrap_or_else(PoisonError::into_inner)
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
