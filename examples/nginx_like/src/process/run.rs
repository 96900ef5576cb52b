//! Runs the server from the start to the end of the process.

use std::future::Future;
use std::sync::Arc;

use lb_proxy::network_watch::NetworkWatch;
use lb_proxy::readiness_report::{ReadinessReporter, SharedReadyFile};
use lb_proxy::settings::InheritableSockets;
use lb_proxy::{Handle, Proxy, Server};
use tokio::runtime::Builder;
use tokio::time::timeout;
use tokio::{select, spawn};
use tracing::warn;

use super::admin::{DesiredAdmin, RunningAdmin};
use super::build_as_user::build_as_user;
use super::control::{Control, ControlContext};
use super::credentials::Credentials;
use super::daemon::StartReport;
use super::error::StartError;
use super::files::access::FileAccess;
use super::files::conf_path::ConfPath;
use super::files::pid_slot::PidSlot;
use super::helper::sockets::HelperSockets;
use super::limits::{limit_core, limit_files, set_priority};
use super::logs::configured::writes_to_stderr;
use super::logs::logging::Logging;
use super::logs::open_logs::Logs;
use super::metrics::LoadCounters;
use super::metrics::collector::registry;
use super::reload::Reloader;
use super::signals::Signals;
use super::state_file::{self, LAST_WRITE, StateRequests, StateSaver, StateWrites};
use super::upgrade::invocation::Invocation;
use super::upgrade::neighbours::Neighbours;
use super::upgrade::predecessor::Predecessor;
use super::upgrade::upgrader::Upgrader;
use crate::build::inherited::InheritedSockets;
use crate::build::loops;
use crate::build::reload_state::ReloadState;
use crate::config::main::Config;
use crate::config::state::StateConfig;

/// Serves the configuration at `path` until a signal ends it. `load` reads the configuration the first time.
pub(crate) fn run(
    path: ConfPath,
    start: Start,
    load: impl FnOnce() -> Result<Config, StartError>,
) -> Result<(), StartError> {
    let Start {
        invocation,
        readiness,
        predecessor,
    } = start;
    let config = load()?;
    let (predecessor, mut inherited) = match predecessor {
        Some((predecessor, sockets)) => (
            Some(Arc::new(predecessor)),
            InheritedSockets::from_groups(sockets),
        ),
        None => (None, InheritedSockets::take()),
    };
    let admin_socket = match (&predecessor, config.admin()) {
        (Some(_), Some(listen)) => inherited.remove(&listen.address.endpoint()),
        _ => None,
    };
    let credentials = Credentials::look_up(config.user.as_ref())?;
    let mut state = ReloadState::default();
    let unprivileged = credentials
        .as_ref()
        .and_then(Credentials::unprivileged_user);
    let sockets = unprivileged.map(|_| Arc::new(HelperSockets::default()));
    state.socket_opener = sockets.clone().map(|sockets| sockets as _);
    let files = Arc::new(FileAccess::for_credentials(
        path,
        credentials.as_ref(),
        &invocation,
    )?);
    if let Some(sockets) = &sockets {
        files.open_sockets_for(sockets);
    }
    let logs = Logs::open(&config, &files)?;
    let user = credentials.as_ref();
    let proxy = build_as_user(&config, user, &mut state, inherited, logs.sinks());
    let logging = Logging::install(logs);
    let _flush = FlushGuard(&logging);
    let served = proxy.and_then(|proxy| {
        let prepared = Prepared {
            config,
            credentials,
            state,
            files,
            proxy,
            invocation,
            predecessor,
            admin_socket,
        };
        prepared.serve(&logging, readiness)
    });
    if let Err(error) = &served {
        logging.write_failed_start(error);
    }
    served
}

/// How the process was started.
pub(crate) struct Start {
    pub(crate) invocation: Invocation,
    /// Reports that the server listens.
    pub(crate) readiness: StartReport,
    /// The process of the old binary, and its sockets.
    pub(crate) predecessor: Option<(Predecessor, Vec<InheritableSockets>)>,
}

/// A server whose logs are open.
struct Prepared {
    config: Config,
    credentials: Option<Credentials>,
    state: ReloadState,
    files: Arc<FileAccess>,
    proxy: Proxy,
    invocation: Invocation,
    predecessor: Option<Arc<Predecessor>>,
    /// The socket of `lb_admin` of the old binary's process.
    admin_socket: Option<InheritableSockets>,
}

impl Prepared {
    /// Opens the sockets, and serves until a signal ends it.
    fn serve(mut self, logging: &Logging, report: StartReport) -> Result<(), StartError> {
        loops::warn_of(&self.config);
        // With the rights of the superuser, as a file of root's may be the token.
        let admin = DesiredAdmin::open(&self.config, None, self.admin_socket.take(), &self.files)?;
        self.limit_process()?;
        let outputs = self.outputs()?;
        let pid_file = PidSlot::default();
        let files = Arc::clone(&self.files);
        let done = block_on(self.accept(logging, report, admin, outputs, pid_file.clone()));
        files.end();
        // The control thread may hang on a file and keep its reference, so the guard is taken out of the slot.
        drop(pid_file.take_last());
        done
    }

    /// Sets the limits of the process, and makes it that of its user.
    ///
    /// Before the sockets are opened: the kernel lets sockets share an address only if one user has opened them, and sockets
    /// that a reload adds belong to this user.
    fn limit_process(&self) -> Result<(), StartError> {
        limit_files(self.config.worker_rlimit_nofile);
        limit_core(self.config.worker_rlimit_core);
        set_priority(self.config.worker_priority);
        if let Some(credentials) = &self.credentials {
            credentials.switch_to(self.config.has_transparent_source())?;
        }
        Ok(())
    }

    /// Creates the readiness file, and restores the saved state.
    ///
    /// As the user of the process, which writes the file to the end; and before anything can go wrong: the file of a process
    /// that was killed may say that the server is ready.
    fn outputs(&self) -> Result<Outputs, StartError> {
        let config = &self.config;
        let another_serves = Arc::clone(&self.state.another_serves);
        let ready_file = match &self.predecessor {
            None => SharedReadyFile::create(config.ready_file.as_ref()),
            // It says that the service is ready, and the old binary's process writes it.
            Some(_) => Ok(SharedReadyFile::deferred(config.ready_file.as_ref())),
        };
        let ready_file = ready_file.map_err(StartError::ready_file(config))?;
        let ready_file = ready_file.another_serves(another_serves);
        let mut outputs = Outputs {
            ready_file,
            ..Outputs::default()
        };
        if let Some(state) = &config.state {
            state_file::restore(state, &self.proxy);
            let (writes, requests) = StateWrites::channel();
            outputs.state = Some((state.clone(), requests));
            outputs.state_writes = writes;
        }
        Ok(outputs)
    }

    /// Binds and serves, on the runtime of the main thread.
    async fn accept(
        self,
        logging: &Logging,
        report: StartReport,
        admin: DesiredAdmin,
        outputs: Outputs,
        pid_file: PidSlot,
    ) -> Result<(), StartError> {
        let Self {
            config,
            state,
            files,
            proxy,
            invocation,
            predecessor,
            ..
        } = self;
        let signals = Signals::listen()?;
        let server = proxy.bind().await?;
        let mut opened = files.open_pid(&config.pid)?;
        // Beside an old binary's process it is written when that knows that this one accepts.
        if let Some(file) = &mut opened
            && predecessor.is_none()
        {
            file.write().map_err(StartError::open(file.path()))?;
        }
        pid_file.set(opened);
        let is_daemon = report.is_daemon();
        report.announce(writes_to_stderr(&config))?;
        let record = Arc::new(LoadCounters::started());
        let registry = registry(server.handle(), Arc::clone(&record), logging.clone());
        let mut running = RunningAdmin::new(server.handle(), registry, logging);
        running.apply(admin).await;
        if predecessor.is_some() {
            running.pause();
        }
        let context = ControlContext {
            reloader: Reloader::new(config, state, pid_file, running, record),
            files,
            upgrader: Upgrader::new(
                invocation,
                signals.requests(),
                predecessor.clone(),
                outputs.ready_file.clone(),
                is_daemon,
            ),
            state: outputs.state_writes.clone(),
        };
        serve(
            server,
            signals,
            logging,
            outputs,
            Some(context),
            predecessor,
        )
        .await
    }
}

/// What other programs and the next process read of a running server.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    ready_file: SharedReadyFile,
    state: Option<(StateConfig, StateRequests)>,
    state_writes: StateWrites,
}

/// Serves until a signal ends it. Beside the process of an old binary, accepts when every upstream has backends.
pub(crate) async fn serve(
    server: Server,
    signals: Signals,
    logging: &Logging,
    outputs: Outputs,
    context: Option<ControlContext>,
    predecessor: Option<Arc<Predecessor>>,
) -> Result<(), StartError> {
    let handle = server.handle();
    let (requests, ending) = (signals.requests(), signals.ending());
    let successor = context.as_ref().map(|context| context.upgrader.successor());
    let control = Control::new(context, handle.clone(), logging.clone());
    let Outputs {
        ready_file, state, ..
    } = outputs;
    let reporter =
        ReadinessReporter::new(handle.clone(), ready_file.clone(), predecessor.is_some());
    let reporting = spawn(reporter.run());
    let successor = successor.unwrap_or_default();
    let saver = state.map(|(state, requests)| {
        let (successor, ready_file) = (successor.clone(), ready_file.clone());
        StateSaver::new(handle.clone(), &state, requests, successor, ready_file)
    });
    let saving = saver.map(|saver| spawn(saver.run()));
    let neighbours = Neighbours {
        successor,
        predecessor: predecessor.clone(),
    };
    let network = spawn(follow_network(handle.clone()));
    let following = signals.follow(handle.clone(), control, ready_file, neighbours);
    let following = spawn(following);
    if let Some(predecessor) = predecessor {
        select! {
            () = memberships(&handle) => {}
            () = ending.notified() => {}
        }
        spawn(async move { predecessor.follow(handle, requests).await });
    }
    server.run(std::future::pending()).await;
    following.abort();
    network.abort();
    reporting.abort();
    if let Some(saving) = saving {
        // A file that hangs must not keep the process.
        let _ = timeout(LAST_WRITE, saving).await;
    }
    Ok(())
}

/// Acts on links, routes and addresses of this machine that are lost and return. A sandbox may forbid to look.
async fn follow_network(handle: Handle) {
    match NetworkWatch::open() {
        Ok(watch) => handle.follow_network(watch).await,
        Err(error) => warn!(%error, "Network not watched"),
    }
}

/// Waits for the first membership of every upstream.
async fn memberships(handle: &Handle) {
    for upstream in handle.upstreams() {
        upstream.ready().await;
    }
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
