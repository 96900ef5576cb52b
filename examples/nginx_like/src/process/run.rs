//! Runs the server from the start to the end of the process.

use std::future::Future;
use std::sync::{Arc, PoisonError};

use lb_proxy::{Proxy, Server};
use tokio::runtime::Builder;
use tokio::spawn;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::admin::{DesiredAdmin, RunningAdmin};
use super::build_as_user::build_as_user;
use super::control::{Control, ControlContext};
use super::credentials::Credentials;
use super::daemon::Readiness;
use super::error::StartError;
use super::files::access::FileAccess;
use super::files::conf_path::ConfPath;
use super::helper::sockets::HelperSockets;
use super::limits::{limit_core, limit_files, set_priority};
use super::logs::configured::writes_to_stderr;
use super::logs::logging::{Logging, Logs};
use super::metrics::ReloadRecord;
use super::metrics::collector::registry;
use super::readiness::{ReadinessReporter, SharedReadyFile};
use super::reload::{PidSlot, Reloader};
use super::signals::Signals;
use super::state_file::{self, LAST_WRITE, StateSaver};
use crate::build::loops;
use crate::build::reload_state::ReloadState;
use crate::config::main::Config;
use crate::config::state::StateConfig;

/// Serves the configuration at `path` until a signal ends it. `load` reads the configuration the first time. `readiness`
/// reports that the server listens.
pub(crate) fn run(
    path: ConfPath,
    readiness: Readiness,
    load: impl FnOnce() -> Result<Config, StartError>,
) -> Result<(), StartError> {
    let config = load()?;
    let credentials = Credentials::look_up(config.user.as_ref())?;
    let mut state = ReloadState::default();
    let unprivileged = credentials
        .as_ref()
        .and_then(Credentials::unprivileged_user);
    let sockets = unprivileged.map(|_| Arc::new(HelperSockets::default()));
    state.socket_opener = sockets.clone().map(|sockets| sockets as _);
    let files = Arc::new(FileAccess::for_credentials(path, credentials.as_ref())?);
    if let Some(sockets) = &sockets {
        files.open_sockets_for(sockets);
    }
    let logs = Logs::open(&config, &files)?;
    let proxy = build_as_user(&config, credentials.as_ref(), &mut state, logs.sinks());
    let logging = logs.install();
    let _flush = FlushGuard(&logging);
    let served = proxy.and_then(|proxy| {
        let prepared = Prepared {
            config,
            credentials,
            state,
            files,
            proxy,
        };
        prepared.serve(&logging, readiness)
    });
    if let Err(error) = &served {
        logging.write_failed_start(error);
    }
    served
}

/// A server whose logs are open.
struct Prepared {
    config: Config,
    credentials: Option<Credentials>,
    state: ReloadState,
    files: Arc<FileAccess>,
    proxy: Proxy,
}

impl Prepared {
    /// Opens the sockets, and serves until a signal ends it.
    fn serve(self, logging: &Logging, readiness: Readiness) -> Result<(), StartError> {
        let Self {
            config,
            credentials,
            state,
            files,
            proxy,
        } = self;
        loops::warn_of(&config);
        // With the rights of the superuser, as a file of root's may be the token.
        let admin = DesiredAdmin::open(&config, None, &files)?;
        limit_files(config.worker_rlimit_nofile);
        limit_core(config.worker_rlimit_core);
        set_priority(config.worker_priority);
        // Before the sockets are opened: the kernel lets sockets share an address only if one user has opened them, and
        // sockets that a reload adds belong to this user.
        if let Some(credentials) = &credentials {
            credentials.switch_to(config.has_transparent_source())?;
        }
        // As the user of the process, which has to write it to the end; and before anything can go wrong: the file of a process
        // that was killed may say that the server is ready.
        let ready_file = SharedReadyFile::create(config.ready_file.as_ref());
        let ready_file = ready_file.map_err(StartError::ready_file(&config))?;
        if let Some(state) = &config.state {
            state_file::restore(state, &proxy);
        }
        let outputs = Outputs {
            ready_file,
            state: config.state.clone(),
            reloaded: Arc::default(),
        };
        let pid_file = PidSlot::default();
        let done = block_on(async {
            let signals = Signals::listen()?;
            let server = proxy.bind().await?;
            let mut opened = files.open_pid(&config.pid)?;
            if let Some(file) = &mut opened {
                file.write().map_err(StartError::open(file.path()))?;
            }
            *pid_file.lock().unwrap_or_else(PoisonError::into_inner) = opened;
            readiness.announce(writes_to_stderr(&config))?;
            let record = Arc::new(ReloadRecord::started());
            let registry = registry(server.handle(), Arc::clone(&record), logging.clone());
            let mut running = RunningAdmin::new(server.handle(), registry, logging);
            running.apply(admin);
            let context = ControlContext {
                reloader: Reloader::new(config, state, Arc::clone(&pid_file), running, record),
                files: Arc::clone(&files),
                reloaded: Arc::clone(&outputs.reloaded),
            };
            serve(server, signals, logging, outputs, Some(context)).await
        });
        files.end();
        // The control thread may hang on a file and keep its reference, so the guard is taken out of the slot.
        let pid_file = pid_file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(pid_file);
        done
    }
}

/// What other programs and the next process read of a running server.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    ready_file: SharedReadyFile,
    state: Option<StateConfig>,
    /// Notified after each reload.
    reloaded: Arc<Notify>,
}

/// Serves until a signal ends it.
pub(crate) async fn serve(
    server: Server,
    signals: Signals,
    logging: &Logging,
    outputs: Outputs,
    context: Option<ControlContext>,
) -> Result<(), StartError> {
    let control = Control::new(context, server.handle(), logging.clone());
    let Outputs {
        ready_file,
        state,
        reloaded,
    } = outputs;
    let reporter = ReadinessReporter::new(server.handle(), ready_file.clone());
    let reporting = spawn(reporter.run());
    let saver = state.map(|state| StateSaver::new(server.handle(), &state, reloaded));
    let saving = saver.map(|saver| spawn(saver.run()));
    let following = spawn(signals.follow(server.handle(), control, ready_file));
    server.run(std::future::pending()).await;
    following.abort();
    reporting.abort();
    if let Some(saving) = saving {
        // A file that hangs must not keep the process.
        let _ = timeout(LAST_WRITE, saving).await;
    }
    Ok(())
}

/// Runs `main` on a runtime of the main thread. With one worker it runs everything, with several all but the sessions.
///
/// Blocking tasks that still run when `main` ends are abandoned.
pub(crate) fn block_on(
    main: impl Future<Output = Result<(), StartError>>,
) -> Result<(), StartError> {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().build().map_err(StartError::Runtime)?;
    let done = runtime.block_on(main);
    runtime.shutdown_background();
    done
}

/// Flushes the logs when it is dropped, however the process ends.
#[derive(Debug)]
pub(crate) struct FlushGuard<'a>(pub(crate) &'a Logging);

impl Drop for FlushGuard<'_> {
    fn drop(&mut self) {
        self.0.flush();
    }
}
