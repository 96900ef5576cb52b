//! The signals of nginx's master process.

use std::sync::Arc;

use lb_proxy::Handle;
use lb_proxy::readiness_report::SharedReadyFile;
use tokio::select;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::info;

use super::control::Control;
use super::error::StartError;
use super::task::Task;
use super::upgrade::neighbours::Neighbours;
use crate::session_log::shutdown;

/// Streams of the signals that the process handles.
#[derive(Debug)]
pub(crate) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
    reopen: Signal,
    terminate: Signal,
    upgrade: Signal,
    window: Signal,
    /// Tasks that other parts of the process request.
    tasks: UnboundedReceiver<Task>,
    requests: UnboundedSender<Task>,
    ending: Arc<Notify>,
}

impl Signals {
    /// Installs the handlers. From now on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self, StartError> {
        let listen = |kind| {
            signal(kind).map_err(|source| StartError::System {
                call: "sigaction()".to_owned(),
                source,
            })
        };
        let (requests, tasks) = unbounded_channel();
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            reopen: listen(SignalKind::user_defined1())?,
            terminate: listen(SignalKind::terminate())?,
            upgrade: listen(SignalKind::user_defined2())?,
            window: listen(SignalKind::window_change())?,
            tasks,
            requests,
            ending: Arc::default(),
        })
    }

    /// Requests tasks of the control thread, from any thread.
    pub(crate) fn requests(&self) -> UnboundedSender<Task> {
        self.requests.clone()
    }

    /// Notified when a signal ends the process.
    pub(crate) fn ending(&self) -> Arc<Notify> {
        Arc::clone(&self.ending)
    }

    /// Handles signals until it is dropped. It never waits for a file.
    pub(crate) async fn follow(
        mut self,
        handle: Handle,
        control: Control,
        ready_file: SharedReadyFile,
        neighbours: Neighbours,
    ) {
        loop {
            select! {
                _ = self.hangup.recv() => control.request(Task::Reload),
                _ = self.interrupt.recv() => self.stop("SIGINT", &handle, &ready_file, &neighbours),
                _ = self.quit.recv() => {
                    info!("SIGQUIT received: shutting down gracefully");
                    neighbours.leave(&handle, &ready_file);
                    self.ending.notify_one();
                    handle.shutdown();
                }
                _ = self.reopen.recv() => control.request(Task::Reopen),
                _ = self.terminate.recv() => self.stop("SIGTERM", &handle, &ready_file, &neighbours),
                _ = self.upgrade.recv() => control.request(Task::Upgrade),
                _ = self.window.recv() => control.request(Task::Pause),
                Some(task) = self.tasks.recv() => control.request(task),
            }
        }
    }

    fn stop(
        &self,
        signal: &str,
        handle: &Handle,
        ready_file: &SharedReadyFile,
        neighbours: &Neighbours,
    ) {
        info!("{signal} received: exiting");
        shutdown::note_fast();
        neighbours.leave(handle, ready_file);
        self.ending.notify_one();
        handle.abort();
    }
}
