//! The old process's side of an upgrade, on the control thread.

use std::io::Write;
use std::sync::Arc;

use lb_proxy::Handle;
use lb_proxy::readiness_report::SharedReadyFile;
use lb_proxy::reports::Phase;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{error, info, warn};

use super::invocation::Invocation;
use super::message::COMMITTED;
use super::predecessor::Predecessor;
use super::ready_successor::ReadySuccessor;
use super::successor::Successor;
use super::watch::watch;
use crate::process::error::StartError;
use crate::process::files::access::FileAccess;
use crate::process::files::file_threads::FileThreads;
use crate::process::reload::Reloader;
use crate::process::task::Task;

/// Starts new binaries, one at a time, and reacts to their ends.
#[derive(Debug)]
pub(crate) struct Upgrader {
    invocation: Invocation,
    tasks: UnboundedSender<Task>,
    ready: ReadySuccessor,
    running: Option<Running>,
    /// The process that started this one as its new binary, and may still run.
    predecessor: Option<Arc<Predecessor>>,
    ready_file: SharedReadyFile,
    /// Whether the terminal of the process, if it has one, sends it no signals.
    is_daemon: bool,
}

#[derive(Debug)]
struct Running {
    successor: Arc<Successor>,
    is_ready: bool,
    leaves: bool,
}

/// What a task of the upgrader works with.
pub(crate) struct UpgradeContext<'a> {
    pub(crate) files: &'a Arc<FileAccess>,
    pub(crate) threads: &'a FileThreads,
    pub(crate) reloader: &'a mut Reloader,
    pub(crate) handle: &'a Handle,
}

impl Upgrader {
    pub(crate) fn new(
        invocation: Invocation,
        tasks: UnboundedSender<Task>,
        predecessor: Option<Arc<Predecessor>>,
        ready_file: SharedReadyFile,
        is_daemon: bool,
    ) -> Self {
        Self {
            invocation,
            tasks,
            ready: ReadySuccessor::default(),
            running: None,
            predecessor,
            ready_file,
            is_daemon,
        }
    }

    /// The process of the new binary, for other threads.
    pub(crate) fn successor(&self) -> ReadySuccessor {
        self.ready.clone()
    }

    /// SIGUSR2. Must run inside of the server's runtime.
    pub(crate) fn start(&mut self, context: &UpgradeContext<'_>) {
        if let Some(Running { successor, .. }) = &self.running {
            let pid = successor.pid;
            warn!(
                pid,
                "SIGUSR2 ignored: the process of a new binary runs already"
            );
            return;
        }
        if self.predecessor.is_some() {
            warn!(
                "SIGUSR2 ignored: the process of the old binary still serves, end it by SIGQUIT first"
            );
            return;
        }
        info!("SIGUSR2 received: changing binary");
        if let Err(error) = self.try_start(context) {
            let program = self.invocation.program.display();
            error!(%program, %error, "New binary not started, nothing changed");
        }
    }

    fn try_start(&mut self, context: &UpgradeContext<'_>) -> Result<(), StartError> {
        let mut sockets = context
            .handle
            .listening_sockets()
            .map_err(StartError::upgrade("duplicating the listening sockets"))?;
        let admin = context.reloader.admin().listening_socket();
        sockets.extend(admin.map_err(StartError::upgrade(
            "duplicating the socket of \"lb_admin\"",
        ))?);
        context.reloader.pid_file().retire(context.threads)?;
        let started = Successor::start(&self.invocation, context.files.helper());
        let successor = match started {
            Ok(successor) => Arc::new(successor),
            Err(error) => {
                context.reloader.pid_file().restore(context.threads);
                return Err(StartError::upgrade("starting the process")(error));
            }
        };
        info!(pid = successor.pid, "Process of the new binary started");
        let limit = context.reloader.upgrade_timeout();
        tokio::spawn(watch(
            Arc::clone(&successor),
            sockets,
            limit,
            self.tasks.clone(),
        ));
        self.running = Some(Running {
            successor,
            is_ready: false,
            leaves: false,
        });
        Ok(())
    }

    /// The new process accepts.
    pub(crate) fn successor_ready(&mut self, context: &mut UpgradeContext<'_>) {
        let Some(Running {
            successor,
            is_ready,
            ..
        }) = &mut self.running
        else {
            return;
        };
        *is_ready = true;
        self.ready_file.yield_to_successor();
        keep_socket_files(context, true);
        context.reloader.admin_mut().pause();
        self.ready.set(successor);
        info!(pid = successor.pid, "Process of the new binary is ready");
        // If it has ended, its end is noticed elsewhere. If this one ends already, nothing more can be sent, which says as much.
        let _ = (&successor.channel).write_all(&[COMMITTED]);
    }

    /// The new process, which was ready, begins to end.
    pub(crate) fn successor_leaves(&mut self, context: &mut UpgradeContext<'_>) {
        let Some(Running {
            successor, leaves, ..
        }) = &mut self.running
        else {
            return;
        };
        *leaves = true;
        self.ready.clear();
        // A process that ends has left everything to that one, which may have had a successor itself.
        if context.handle.phase() == Phase::Serving {
            warn!(pid = successor.pid, "Process of the new binary leaves");
            context.reloader.admin_mut().resume();
            context.handle.resume();
            self.ready_file.claim(context.handle);
        }
    }

    /// The new process has ended.
    pub(crate) fn successor_ended(&mut self, context: &mut UpgradeContext<'_>) {
        let Some(Running {
            successor,
            is_ready,
            ..
        }) = self.running.take()
        else {
            return;
        };
        let pid = successor.pid;
        let status = match successor.reap() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let serves = context.handle.phase() == Phase::Serving;
        // A supervisor would take one that drains and has the pid file for the main process, and its end for the wanted end.
        if serves || !is_ready {
            context.reloader.pid_file().restore(context.threads);
        }
        if serves {
            keep_socket_files(context, false);
        }
        match is_ready {
            true => warn!(pid, %status, "Process of the new binary ended"),
            false => error!(pid, %status, "Process of the new binary failed, nothing changed"),
        }
    }

    /// SIGHUP while a new binary runs accepts again and reads no configuration, as in nginx. Returns whether one runs.
    pub(crate) fn resume(&self, handle: &Handle) -> bool {
        if self.running.is_some() {
            info!(
                "SIGHUP received: accepting beside the new binary, the configuration is not read"
            );
            handle.resume();
        }
        self.running.is_some()
    }

    /// SIGWINCH. A terminal sends it as well when its size changes.
    pub(crate) fn pause(&self, handle: &Handle) {
        let is_ready = self
            .running
            .as_ref()
            .is_some_and(|running| running.is_ready && !running.leaves);
        if is_ready || self.is_daemon && self.running.is_none() {
            info!("SIGWINCH received: no longer accepting");
            handle.pause();
        }
    }

    /// The process of the old binary knows that this one accepts.
    pub(crate) fn predecessor_committed(&self, context: &mut UpgradeContext<'_>) {
        // If this one ends by now, it has left everything to that one again.
        let old = self.predecessor.as_deref();
        if old.is_some_and(Predecessor::has_left) {
            return;
        }
        self.ready_file.claim_when_ready();
        context.reloader.admin_mut().resume();
        context.reloader.pid_file().write(context.threads);
    }

    /// The process of the old binary ends: files that both used belong to this one.
    pub(crate) fn predecessor_ended(&mut self, context: &mut UpgradeContext<'_>) {
        self.predecessor = None;
        self.ready_file.claim(context.handle);
        info!("Process of the old binary leaves");
        keep_socket_files(context, false);
        for path in context.reloader.unix_paths() {
            context.files.adopt_socket(&path);
        }
    }
}

fn keep_socket_files(context: &mut UpgradeContext<'_>, keep: bool) {
    context.handle.keep_socket_files(keep);
    context.files.keep_sockets(keep);
    context.reloader.admin_mut().keep_file(keep);
}
