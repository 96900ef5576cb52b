//! SIGHUP: reads the configuration again and applies the difference.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lb_core::Escaped;
use lb_proxy::Handle;
use lb_proxy::reports::ReloadReport;
use tracing::{error, info, warn};

use super::admin::{DesiredAdmin, RunningAdmin};
use super::files::access::FileAccess;
use super::files::file_threads::FileThreads;
use super::files::pid_slot::{self, PidSlot};
use super::logs::logging::Logging;
use super::metrics::LoadCounters;
use crate::build::inherited::InheritedSockets;
use crate::build::loops;
use crate::build::proxy::proxy;
use crate::build::reload_state::ReloadState;
use crate::config::main::Config;
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
    record: Arc<LoadCounters>,
    upgrade_timeout: Duration,
    unix_paths: Vec<Arc<Path>>,
}

impl Reloader {
    /// Counts the reloads in `record`.
    pub(crate) fn new(
        started: Config,
        state: ReloadState,
        pid_file: PidSlot,
        admin: RunningAdmin,
        record: Arc<LoadCounters>,
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

    pub(crate) const fn pid_file(&self) -> &PidSlot {
        &self.pid_file
    }

    /// The paths of the unix sockets that the configuration in use listens on.
    pub(crate) fn unix_paths(&self) -> Vec<Arc<Path>> {
        self.unix_paths.clone()
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
        let pid_file = match self.pid_file.is_at(&config.pid.path) {
            true => None,
            false => Some(pid_slot::open(files, threads, &config.pid)?),
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
        if let Some(new) = pid_file {
            self.pid_file.replace(threads, new);
        }
        self.warn_of_fixed_settings(&config);
        loops::warn_of(&config);
        Ok(reloaded)
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
