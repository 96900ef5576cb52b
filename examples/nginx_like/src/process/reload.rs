//! SIGHUP: reads the configuration again and applies the difference.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_core::Escaped;
use lb_proxy::Handle;
use lb_proxy::reports::ReloadReport;
use tracing::{error, info, warn};

use super::admin::{DesiredAdmin, RunningAdmin};
use super::files::access::FileAccess;
use super::files::file_threads::FileThreads;
use super::files::pid::PidGuard;
use super::logs::logging::Logging;
use super::metrics::ReloadRecord;
use crate::build::inherited::InheritedSockets;
use crate::build::loops;
use crate::build::proxy::proxy;
use crate::build::reload_state::ReloadState;
use crate::config::main::Config;
use crate::config::pid::PidPath;
use crate::logs::sink::EMERG_TARGET;
use crate::process::error::StartError;

/// Loads the configuration again, applies the difference, and logs it.
#[derive(Debug)]
pub(crate) struct Reloader {
    /// The configuration at the start of the process.
    started: Config,
    state: ReloadState,
    pid_file: PidSlot,
    admin: RunningAdmin,
    record: Arc<ReloadRecord>,
    upgrade_timeout: Duration,
    unix_paths: Vec<Arc<Path>>,
}

/// The pid file, if there is one. The main thread empties the slot at the end, even if the control thread hangs then.
pub(crate) type PidSlot = Arc<Mutex<Option<PidGuard>>>;

impl Reloader {
    /// Counts the reloads in `record`.
    pub(crate) fn new(
        started: Config,
        state: ReloadState,
        pid_file: PidSlot,
        admin: RunningAdmin,
        record: Arc<ReloadRecord>,
    ) -> Self {
        Self {
            upgrade_timeout: started.lb_upgrade_timeout,
            unix_paths: unix_paths(&started),
            started,
            state,
            pid_file,
            admin,
            record,
        }
    }

    pub(crate) const fn admin(&self) -> &RunningAdmin {
        &self.admin
    }

    pub(crate) const fn admin_mut(&mut self) -> &mut RunningAdmin {
        &mut self.admin
    }

    /// How long a new binary may take to become ready.
    pub(crate) const fn upgrade_timeout(&self) -> Duration {
        self.upgrade_timeout
    }

    /// The paths of the unix sockets that the configuration in use listens on.
    pub(crate) fn unix_paths(&self) -> Vec<Arc<Path>> {
        self.unix_paths.clone()
    }

    /// Writes the pid file that was opened at the start.
    pub(crate) fn write_pid_file(&self, threads: &FileThreads) {
        self.change_pid_file(threads, "Pid file not written", PidGuard::write);
    }

    /// Renames the pid file for a new binary.
    pub(crate) fn retire_pid_file(&self, threads: &FileThreads) -> Result<(), StartError> {
        let renamed = self.try_change_pid_file(threads, PidGuard::retire);
        renamed.map_err(StartError::upgrade("renaming the pid file"))
    }

    /// Undoes [`retire_pid_file`](Self::retire_pid_file).
    pub(crate) fn restore_pid_file(&self, threads: &FileThreads) {
        self.change_pid_file(threads, "Pid file not renamed", PidGuard::restore);
    }

    fn change_pid_file(
        &self,
        threads: &FileThreads,
        failed: &str,
        change: fn(&mut PidGuard) -> io::Result<()>,
    ) {
        if let Err(error) = self.try_change_pid_file(threads, change) {
            error!(%error, "{failed}");
        }
    }

    /// The slot is empty meanwhile: at the end of the process nothing waits for a file that hangs.
    fn try_change_pid_file(
        &self,
        threads: &FileThreads,
        change: fn(&mut PidGuard) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(mut guard) = self.pid_file().take() else {
            return Ok(());
        };
        let slot = Arc::clone(&self.pid_file);
        let changed = threads.run(move || {
            let changed = change(&mut guard);
            let slot = slot.lock();
            slot.unwrap_or_else(PoisonError::into_inner).replace(guard);
            changed
        });
        changed.flatten()
    }

    /// Applies the configuration as it is now. If it has an error, or a listener cannot be bound, nothing changes.
    ///
    /// Blocks on files, so no thread that carries traffic may run it.
    pub(crate) async fn reload(
        &mut self,
        files: &Arc<FileAccess>,
        threads: &FileThreads,
        handle: &Handle,
        logging: &Logging,
    ) {
        info!("SIGHUP received: reconfiguring");
        let applied = self.apply(files, threads, handle, logging).await;
        self.record.note(applied.is_ok());
        match applied {
            Ok(report) => log(&report),
            Err(error) => {
                // lb-proxy has noted its own error.
                let is_noted = matches!(
                    error,
                    StartError::Reload(_) | StartError::AdminInTheWay { .. }
                );
                if !is_noted {
                    handle.note_failed_reload(Escaped(&error.to_string()).to_string());
                }
                error!(target: EMERG_TARGET, "{error}");
                error!("Configuration not applied, nothing changed");
            }
        }
    }

    async fn apply(
        &mut self,
        files: &Arc<FileAccess>,
        threads: &FileThreads,
        handle: &Handle,
        logging: &Logging,
    ) -> Result<ReloadReport, StartError> {
        // One thread for each step: an abandoned thread does not go on to the next step when it ends.
        let reader = Arc::clone(files);
        let read = threads.run(move || reader.load());
        let config = read.map_err(StartError::hung("reading the configuration"))??;
        for warning in &config.warnings {
            warn!("{warning}");
        }
        let config = Arc::new(config);
        let (described, opener, now) = (Arc::clone(&config), Arc::clone(files), logging.clone());
        let opened = threads.run(move || now.open(&described, &opener));
        let logs = opened.map_err(StartError::hung("opening the logs"))??;
        let (described, mut state) = (Arc::clone(&config), self.state.clone());
        let sinks = logs.sinks().clone();
        let built = threads.run(move || {
            let proxy = proxy(&described, &mut state, InheritedSockets::default(), &sinks)?;
            Ok::<_, StartError>((proxy, state))
        });
        let (proxy, state) =
            built.map_err(StartError::hung("reading the files that it names"))??;
        let pid_stays =
            self.pid_file().as_ref().map(PidGuard::path) == Some(config.pid.path.as_path());
        let pid_file = match pid_stays {
            true => None,
            false => open_pid(files, threads, &config.pid)?,
        };
        let (described, running) = (Arc::clone(&config), self.admin.listening());
        let opener = Arc::clone(files);
        let admin =
            threads.run(move || DesiredAdmin::open(&described, running.as_ref(), None, &opener));
        let admin = admin.map_err(StartError::hung("opening the admin server"))??;
        let reloaded = handle.reload(proxy).await;
        let reloaded = reloaded.map_err(|error| self.admin.explain_bind(error))?;
        self.admin.apply(admin).await;
        self.state = state;
        self.upgrade_timeout = config.lb_upgrade_timeout;
        self.unix_paths = unix_paths(&config);
        logging.replace(logs);
        if !pid_stays {
            self.move_pid_file(threads, pid_file);
        }
        self.warn_of_fixed_settings(&config);
        loops::warn_of(&config);
        Ok(reloaded)
    }

    /// Writes the new pid file and removes the old one. The configuration is applied already, so errors are only logged.
    fn move_pid_file(&self, threads: &FileThreads, new: Option<PidGuard>) {
        let written = new.map(|mut new| {
            let written = threads.run(move || new.write().map(|()| new));
            written.flatten()
        });
        match written.transpose() {
            Ok(new) => {
                let before = std::mem::replace(&mut *self.pid_file(), new);
                if let Err(error) = threads.run(move || drop(before)) {
                    error!(%error, "Old pid file not removed");
                }
            }
            Err(error) => error!(%error, "Pid file not written, the old one remains"),
        }
    }

    /// No code that can panic or block runs under the lock.
    fn pid_file(&self) -> MutexGuard<'_, Option<PidGuard>> {
        let slot = self.pid_file.lock();
        slot.unwrap_or_else(PoisonError::into_inner)
    }

    /// Warns of changed settings that need a new process.
    fn warn_of_fixed_settings(&self, config: &Config) {
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
            ("lb_ready_file", config.ready_file != started.ready_file),
            ("lb_state", config.state != started.state),
            // The process has given up the right, unless it is the superuser or never was.
            (
                "proxy_bind ... transparent",
                started.user.is_some()
                    && config.has_transparent_source()
                    && !started.has_transparent_source(),
            ),
        ];
        for (directive, _) in differ.iter().filter(|(_, differs)| *differs) {
            warn!("\"{directive}\" changed, not applied before a restart");
        }
    }
}

fn unix_paths(config: &Config) -> Vec<Arc<Path>> {
    let servers = config.stream.iter().flat_map(|stream| &stream.servers);
    let listens = servers.flat_map(|server| &server.listens);
    listens.filter_map(|listen| listen.unix.clone()).collect()
}

/// Upstreams that are kept are only counted: there may be thousands.
fn log(report: &ReloadReport) {
    let (listeners, upstreams) = (&report.listeners, &report.upstreams);
    info!(
        listeners.added = ?listeners.added,
        listeners.kept = ?listeners.kept,
        listeners.changed = ?listeners.changed,
        listeners.removed = ?listeners.removed,
        upstreams.added = ?upstreams.added,
        upstreams.kept = upstreams.kept.len(),
        upstreams.changed = ?upstreams.changed,
        upstreams.removed = ?upstreams.removed,
        "Configuration applied"
    );
}

fn open_pid(
    files: &Arc<FileAccess>,
    threads: &FileThreads,
    pid: &PidPath,
) -> Result<Option<PidGuard>, StartError> {
    let (files, pid) = (Arc::clone(files), pid.clone());
    let opened = threads.run(move || files.open_pid(&pid));
    opened.map_err(StartError::hung("opening the pid file"))?
}
