//! SIGHUP: the configuration is read again, and the difference applied.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lb_proxy::{Handle, ReloadReport};
use tracing::{error, info, warn};

use super::files::access::Files;
use super::files::patience::Patience;
use super::files::pid::PidGuard;
use super::logs::logging::Logging;
use crate::build::inherited::Inherited;
use crate::build::kept::Kept;
use crate::build::loops;
use crate::build::proxy::proxy;
use crate::config::main::Config;
use crate::error::StartError;

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
    pub(crate) async fn reload(
        &mut self,
        files: &Arc<Files>,
        patience: &Patience,
        handle: &Handle,
        logging: &Logging,
    ) {
        info!("SIGHUP: reading the configuration again");
        match self.apply(files, patience, handle, logging).await {
            Ok(ReloadReport {
                listeners,
                upstreams,
                ..
            }) => info!(?listeners, ?upstreams, "Configuration applied"),
            Err(error) => error!(%error, "Configuration not applied, nothing changes"),
        }
    }

    async fn apply(
        &mut self,
        files: &Arc<Files>,
        patience: &Patience,
        handle: &Handle,
        logging: &Logging,
    ) -> Result<ReloadReport, StartError> {
        // Each step by itself: one that was left behind does not go on to the next one when it ends.
        let reader = Arc::clone(files);
        let read = patience.run(move || reader.load());
        let config = read.map_err(StartError::hung("reading the configuration"))??;
        for warning in &config.warnings {
            warn!("{warning}");
        }
        let config = Arc::new(config);
        let (described, mut kept) = (Arc::clone(&config), self.kept.clone());
        let assembled = patience.run(move || {
            let proxy = proxy(&described, &mut kept, Inherited::default())?;
            Ok::<_, StartError>((proxy, kept))
        });
        let (proxy, kept) = assembled.map_err(StartError::hung("reading what it names"))??;
        let (described, opener, now) = (Arc::clone(&config), Arc::clone(files), logging.clone());
        let opened = patience.run(move || now.open(&described, &opener));
        let logs = opened.map_err(StartError::hung("opening the logs"))??;
        let pid_path = config.pid.as_deref();
        let pid_stays = self.pid_file().as_ref().map(PidGuard::path) == pid_path;
        let pid_file = pid_path.filter(|_| !pid_stays);
        let pid_file = pid_file.map(|path| open_pid(files, patience, path));
        let pid_file = pid_file.transpose()?;
        let reloaded = handle.reload(proxy).await?;
        self.kept = kept;
        logging.replace(logs);
        if !pid_stays {
            self.move_pid_file(patience, pid_file);
        }
        self.warn_of_the_rest(&config);
        loops::warn_of(&config);
        Ok(reloaded)
    }

    /// Writes the new pid file and removes the old one. The configuration is applied, so what fails here is only logged.
    fn move_pid_file(&self, patience: &Patience, new: Option<PidGuard>) {
        let written = new.map(|mut new| {
            let written = patience.run(move || new.write().map(|()| new));
            written.flatten()
        });
        match written.transpose() {
            Ok(new) => {
                let before = std::mem::replace(&mut *self.pid_file(), new);
                if let Err(error) = patience.run(move || drop(before)) {
                    error!(%error, "Old pid file not removed");
                }
            }
            Err(error) => error!(%error, "Pid file not written, the old one stays"),
        }
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

fn open_pid(files: &Arc<Files>, patience: &Patience, path: &Path) -> Result<PidGuard, StartError> {
    let (files, path) = (Arc::clone(files), path.to_owned());
    let opened = patience.run(move || files.open_pid(&path));
    opened.map_err(StartError::hung("opening the pid file"))?
}
